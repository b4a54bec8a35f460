//! The states of a session: which command is legal when, what it answers, and what
//! it asks the driver to do.
//!
//! ```text
//!  Commands ──DATA, BDAT: Message──▶ Receiving ──final dot, BDAT LAST──▶ Answering ──▶ Commands
//!    ▲  │ LHLO MAIL RCPT RSET          │  ▲ octets,                       one reply for
//!    └──┘ VRFY NOOP HELP STARTTLS      │  └ BDAT after BDAT               each recipient
//!    ▲                                 │
//!    └─────too large, RSET, refused────┘
//! ```
//!
//! Each state is a type of its own, so that what is asked in one cannot be asked in
//! another, nor answered; what leads on consumes the one and makes the other. This
//! room decides; it neither waits nor knows whose an address is, where a message goes
//! or how late it is.

mod answering;
mod commands;
mod context;
mod receiving;

use std::sync::Arc;

use crate::action::{Close, Receive, State, Step, Summary, TurnAway};
use crate::measure::Facts;
use crate::refusal::Refusal;
use crate::reply;
use crate::settings::{Channel, Settings};
use context::Context;

pub use answering::Answering;
pub use commands::Commands;
pub use receiving::Receiving;

/// One LMTP session: between messages ([`Commands`]), while one comes ([`Receiving`]),
/// or while it is answered ([`Answering`]). What only another state asks cannot be
/// answered:
///
/// ```compile_fail,E0599
/// use std::sync::Arc;
/// use restante_lmtp::{Channel, Session, Settings};
///
/// let mut session = Session::new(Arc::new(Settings::default()), Channel::default());
/// session.answer(Ok(""), &mut Vec::new());
/// ```
pub struct Session<P = Commands> {
    context: Context,
    phase: P,
}

impl Session<Commands> {
    /// A session that has not begun.
    pub fn new(settings: Arc<Settings>, channel: Channel) -> Self {
        Session {
            context: Context::new(settings, channel),
            phase: Commands::new(),
        }
    }

    /// The greeting. Due once, before the first step.
    pub fn greet(&mut self, out: &mut Vec<u8>) {
        reply::greeting(out, &self.context.settings);
    }

    /// Takes octets off the front of `input` and answers into `out`, until the driver
    /// has to do something.
    ///
    /// Takes nothing behind the line that led to an action, and stops once `out`
    /// holds [`Limits::output_bytes`](crate::Limits::output_bytes); one reply (below 1 KiB)
    /// may go beyond that.
    ///
    /// # Panics
    /// When the last action is not answered yet.
    pub fn step(&mut self, input: &mut &[u8], out: &mut Vec<u8>) -> Step {
        loop {
            if let Some(step) = self.phase.advance(&mut self.context, input, out) {
                return step;
            }
        }
    }

    /// Answers [`Action::Mail`](crate::Action::Mail).
    ///
    /// # Panics
    /// Without that question.
    pub fn mail(&mut self, answer: Result<(), &Refusal>, out: &mut Vec<u8>) {
        self.phase.mail(answer, out);
    }

    /// Answers [`Action::Recipient`](crate::Action::Recipient).
    ///
    /// # Panics
    /// Without that question.
    pub fn recipient(&mut self, answer: Result<(), &Refusal>, out: &mut Vec<u8>) {
        self.phase.recipient(answer, out);
    }

    /// Answers [`Action::Client`](crate::Action::Client): with a greeting, since the session
    /// begins again.
    ///
    /// # Panics
    /// Without that question.
    pub fn client(&mut self, answer: Result<(), &Refusal>, out: &mut Vec<u8>) {
        self.phase.client(answer, &mut self.context, out);
    }

    /// Answers [`Action::StartTls`](crate::Action::StartTls): TLS is up. Whatever was said
    /// in the clear is forgotten, LHLO and the begin of a line included; there is no
    /// second greeting (RFC 3207 section 4.2).
    ///
    /// # Panics
    /// Without that question.
    pub fn tls_started(&mut self, channel: Channel) {
        self.phase.tls_started(channel, &mut self.context);
    }

    /// Answers [`Action::Message`](crate::Action::Message): the driver takes the message.
    ///
    /// # Panics
    /// Without that question.
    pub fn receive(self, out: &mut Vec<u8>) -> Session<Receiving> {
        let Session { mut context, phase } = self;
        let (transaction, arrival) = phase.receive();
        let phase = Receiving::begin(transaction, arrival, &mut context, out);
        Session { context, phase }
    }

    /// The negative answer to [`Action::Message`](crate::Action::Message). A chunk that
    /// follows is thrown away first.
    ///
    /// # Panics
    /// Without that question.
    pub fn refuse_message(&mut self, refusal: &Refusal, out: &mut Vec<u8>) {
        self.phase.refuse_message(refusal, &mut self.context, out);
    }

    /// Ends the session by 421: instead of the greeting, or of the next answer.
    ///
    /// # Panics
    /// While a message that was refused is still coming, in the middle of its answers,
    /// and while an action waits for its own.
    pub fn turn_away(&mut self, why: TurnAway, out: &mut Vec<u8>) {
        self.phase.turn_away(why, out);
    }

    /// Where it stands.
    pub fn state(&self) -> State {
        self.phase.state()
    }

    /// Why it is over, if it is.
    pub fn closed(&self) -> Option<Close> {
        self.phase.closed()
    }
}

impl Session<Receiving> {
    /// Takes octets off the front of `input`, until the driver has to do something. In
    /// between, commands between the chunks of a message are answered into `out`, as
    /// [`Session::step`] does.
    pub fn step<'a>(&mut self, input: &mut &'a [u8], out: &mut Vec<u8>) -> Receive<'a> {
        loop {
            if let Some(step) = self.phase.advance(&mut self.context, input, out) {
                return step;
            }
        }
    }

    /// Octets of the message so far, as SIZE counts them.
    pub fn octets(&self) -> u64 {
        self.phase.octets()
    }

    /// [`State::Message`] while octets are to come, [`State::Transaction`] between two
    /// chunks, when a command is.
    pub fn state(&self) -> State {
        self.phase.state()
    }

    /// After [`Receive::Whole`]: each recipient is to be answered.
    ///
    /// # Panics
    /// Without that step.
    pub fn whole(self) -> Session<Answering> {
        let Session { mut context, phase } = self;
        let phase = phase.whole(&mut context.summary);
        Session { context, phase }
    }

    /// After [`Receive::Dropped`]: the session goes on, and answers itself once what is
    /// still to come of the message has been thrown away.
    ///
    /// # Panics
    /// Without that step.
    pub fn dropped(self) -> Session<Commands> {
        let Session { context, phase } = self;
        Session {
            context,
            phase: Commands::at(phase.dropped()),
        }
    }

    /// The driver can take no more of the message, at any time before
    /// [`Session::whole`]: what is still to come is thrown away, and then each recipient
    /// is answered with this.
    pub fn refuse(self, refusal: &Refusal) -> Session<Commands> {
        let Session { mut context, phase } = self;
        let stage = phase.refuse(refusal, &mut context);
        Session {
            context,
            phase: Commands::at(stage),
        }
    }
}

impl Session<Answering> {
    /// What is known of the message.
    pub fn facts(&self) -> &Facts {
        self.phase.facts()
    }

    /// How many recipients are still to be answered.
    pub fn left(&self) -> u32 {
        self.phase.left()
    }

    /// Answers the next recipient, by the order in which they were accepted: the message
    /// is there to stay, with a text for logs, or it is not. A driver writes `out` in
    /// between, since a reply has up to 512 octets and nothing here bounds how many are
    /// in `out`.
    ///
    /// # Panics
    /// When all have been answered.
    pub fn answer(&mut self, answer: Result<&str, &Refusal>, out: &mut Vec<u8>) {
        self.phase.answer(answer, &mut self.context.summary, out);
    }

    /// All have been answered, and the session goes on.
    ///
    /// # Panics
    /// When one has not.
    pub fn answered(self) -> Session<Commands> {
        let Session { context, phase } = self;
        Session {
            context,
            phase: phase.answered(),
        }
    }
}

impl<P> Session<P> {
    /// What the session is spoken over.
    pub fn channel(&self) -> &Channel {
        &self.context.channel
    }

    /// The name that the client gave itself by LHLO: printable ASCII, 255 octets at most.
    pub fn client_name(&self) -> Option<&str> {
        self.context.client_name.as_deref()
    }

    /// How many lines came so far, good or bad: a timer for commands starts again when
    /// it moves. While a message comes, what moves is the message.
    pub fn commands(&self) -> u64 {
        self.context.commands
    }

    /// What happened so far.
    pub fn summary(&self) -> Summary {
        self.context.summary
    }
}

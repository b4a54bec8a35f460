//! The states of a session (RFC 1939 section 3): which command is legal when,
//! what it answers, and what it asks the driver to do.
//!
//! ```text
//!  AUTHORIZATION ──Login──▶ TRANSACTION ──QUIT: Update──▶ UPDATE ──▶ closed
//!    ▲  │ USER, CAPA          ▲  │ STAT LIST UIDL DELE NOOP RSET CAPA
//!    └──┘ STLS: StartTls      └──┘ RETR TOP: Retrieve
//! ```
//!
//! Each variant of [`Phase`] owns what is legal in it and nothing else; a
//! transition consumes the old one. This room decides; it neither waits nor
//! knows who logs in, what a message says or how late it is.

use std::fmt;
use std::mem;
use std::sync::Arc;

use crate::action::{Action, Close, Login, State, Step, Summary};
use crate::command::{Command, Number, Syntax};
use crate::line::LineReader;
use crate::maildrop::Maildrop;
use crate::reply::{
    self, Capabilities, Column, Contents, Lines, Refusal, ResponseCode, negative, positive,
};
use crate::settings::{Channel, Settings};

/// One POP3 session.
pub struct Session {
    settings: Arc<Settings>,
    channel: Channel,
    lines: LineReader,
    phase: Phase,
    /// Lines seen, good or bad.
    commands: u64,
    bad_commands: u32,
    login_failures: u32,
    summary: Summary,
}

/// Where a session stands. Phases that wait for the driver's answer are named
/// after what it is doing.
enum Phase {
    /// AUTHORIZATION. The user is there only if the line before was an accepted
    /// USER: PASS has to follow "immediately" (RFC 1939 section 7).
    Authorization {
        user: Option<String>,
    },
    LoggingIn,
    StartingTls,
    /// TRANSACTION.
    Transaction(Maildrop),
    /// In the middle of a multi-line LIST or UIDL.
    Listing(Maildrop, Lines),
    /// Asked for a message, nothing promised to the client yet.
    Retrieving(Maildrop, Retrieval),
    /// "+OK" is out: either the whole message follows, or the connection ends.
    Sending(Maildrop, Retrieval),
    /// UPDATE.
    Updating {
        left: usize,
    },
    Over(State, Close),
}

struct Retrieval {
    octets: u64,
    top: bool,
}

impl Session {
    /// A session in AUTHORIZATION state.
    pub fn new(settings: Arc<Settings>, channel: Channel) -> Self {
        let lines = LineReader::new(settings.limits.effective_line_octets());
        Session {
            settings,
            channel,
            lines,
            phase: Phase::Authorization { user: None },
            commands: 0,
            bad_commands: 0,
            login_failures: 0,
            summary: Summary::default(),
        }
    }

    /// The greeting (RFC 1939 section 4). Due once, before the first step.
    pub fn greet(&mut self, out: &mut Vec<u8>) {
        reply::greeting(out, &self.settings.greeting);
    }

    /// Takes octets off the front of `input` and answers into `out`, until the
    /// driver has to do something.
    ///
    /// Takes nothing behind the line that led to an [`Action`], and stops once
    /// `out` holds [`Limits::output_octets`](crate::Limits::output_octets); one reply (below 1 KiB) may go
    /// beyond that.
    ///
    /// # Panics
    /// When the last [`Action`] is not answered yet.
    pub fn step(&mut self, input: &mut &[u8], out: &mut Vec<u8>) -> Step {
        let high_water = self.settings.limits.effective_output_octets();
        loop {
            let (phase, action) = match self.take_phase() {
                Phase::Over(state, close) => {
                    self.phase = Phase::Over(state, close);
                    return Step::Close(close);
                }
                Phase::LoggingIn
                | Phase::StartingTls
                | Phase::Retrieving(..)
                | Phase::Sending(..)
                | Phase::Updating { .. } => panic!("step() while an Action waits for its answer"),
                phase if out.len() >= high_water => {
                    self.phase = phase;
                    return Step::Flush;
                }
                Phase::Listing(maildrop, mut lines) => {
                    if lines.go_on(&maildrop, out, high_water) {
                        (Phase::Transaction(maildrop), None)
                    } else {
                        (Phase::Listing(maildrop, lines), None)
                    }
                }
                Phase::Authorization { user } => match self.next_command(input) {
                    Some(command) => self.authorization(user, command, out),
                    None => {
                        self.phase = Phase::Authorization { user };
                        return Step::Read;
                    }
                },
                Phase::Transaction(maildrop) => match self.next_command(input) {
                    Some(command) => self.transaction(maildrop, command, out),
                    None => {
                        self.phase = Phase::Transaction(maildrop);
                        return Step::Read;
                    }
                },
            };
            self.phase = phase;
            if let Some(action) = action {
                return Step::Act(action);
            }
        }
    }

    /// Answers [`Action::Login`]: the maildrop is locked and open.
    ///
    /// # Panics
    /// Without that question.
    pub fn logged_in(&mut self, maildrop: Maildrop, out: &mut Vec<u8>) {
        match self.take_phase() {
            Phase::LoggingIn => {
                positive(out, Contents::of(&maildrop));
                self.summary.messages = maildrop.listing().len() as u64;
                self.summary.octets = maildrop.listing().total_octets();
                self.phase = Phase::Transaction(maildrop);
            }
            phase => phase.unasked("logged_in()"),
        }
    }

    /// Answers [`Action::Retrieve`]: the octets are at hand. What follows into
    /// `out` is the message through [`Stuffing`](crate::Stuffing), then
    /// [`Session::retrieved`]. Should the message break off, the driver closes
    /// the connection without the final dot.
    ///
    /// # Panics
    /// Without that question.
    pub fn retrieving(&mut self, out: &mut Vec<u8>) {
        match self.take_phase() {
            Phase::Retrieving(maildrop, retrieval) => {
                if retrieval.top {
                    positive(out, "top of message follows");
                } else {
                    positive(out, format_args!("{} octets", retrieval.octets));
                }
                self.phase = Phase::Sending(maildrop, retrieval);
            }
            phase => phase.unasked("retrieving()"),
        }
    }

    /// The message is in `out` to its final dot; `wire_octets` as
    /// [`Stuffing::finish`](crate::Stuffing::finish) counts them.
    ///
    /// # Panics
    /// Without [`Session::retrieving`] before it.
    pub fn retrieved(&mut self, wire_octets: u64) {
        match self.take_phase() {
            Phase::Sending(maildrop, retrieval) => {
                let Summary {
                    retr,
                    retr_octets,
                    top,
                    top_octets,
                    ..
                } = &mut self.summary;
                let (served, octets) = if retrieval.top {
                    (top, top_octets)
                } else {
                    (retr, retr_octets)
                };
                *served += 1;
                *octets = octets.saturating_add(wire_octets);
                self.phase = Phase::Transaction(maildrop);
            }
            phase => phase.unasked("retrieved()"),
        }
    }

    /// Answers [`Action::Update`]: all of it is removed, and the lock released.
    ///
    /// # Panics
    /// Without that question.
    pub fn updated(&mut self, out: &mut Vec<u8>) {
        match self.take_phase() {
            Phase::Updating { left } => {
                match left {
                    0 => positive(out, "signing off (maildrop empty)"),
                    1 => positive(out, "signing off (1 message left)"),
                    _ => positive(out, format_args!("signing off ({left} messages left)")),
                }
                self.phase = Phase::Over(State::Update, Close::Quit);
            }
            phase => phase.unasked("updated()"),
        }
    }

    /// Answers [`Action::StartTls`]: TLS is up. Whatever was said in the clear
    /// is forgotten, a USER and the begin of a line included; there is no second
    /// greeting (RFC 2595 section 4).
    ///
    /// # Panics
    /// Without that question.
    pub fn tls_started(&mut self, channel: Channel) {
        match self.take_phase() {
            Phase::StartingTls => {
                self.channel = channel;
                self.lines = LineReader::new(self.settings.limits.effective_line_octets());
                self.phase = Phase::Authorization { user: None };
            }
            phase => phase.unasked("tls_started()"),
        }
    }

    /// The negative answer to [`Action::Login`], [`Action::Retrieve`] and
    /// [`Action::Update`]. A refused login counts as a failure only with the
    /// code [`ResponseCode::Auth`]; a refused UPDATE ends the session.
    ///
    /// # Panics
    /// Without such a question.
    pub fn refuse(&mut self, refusal: &Refusal, out: &mut Vec<u8>) {
        self.phase = match self.take_phase() {
            Phase::LoggingIn => self.after_refused_login(refusal.code()),
            Phase::Retrieving(maildrop, _) => Phase::Transaction(maildrop),
            Phase::Updating { .. } => Phase::Over(State::Update, Close::UpdateFailed),
            phase => phase.unasked("refuse()"),
        };
        negative(out, refusal);
    }

    /// The state, by which the driver chooses its timer.
    pub fn state(&self) -> State {
        self.phase.state()
    }

    /// How many lines came so far, good or bad: the autologout timer starts anew
    /// when it moves (RFC 1939 section 3).
    pub fn commands(&self) -> u64 {
        self.commands
    }

    /// What happened so far.
    pub fn summary(&self) -> Summary {
        let mut summary = self.summary;
        if let Some(maildrop) = self.phase.maildrop() {
            summary.del = maildrop.marked() as u64;
        }
        summary
    }

    /// Takes the phase out to be consumed. What stands in its place ends a
    /// session that lost its phase in a panic, and removes nothing.
    fn take_phase(&mut self) -> Phase {
        let gone = Phase::Over(self.phase.state(), Close::UpdateFailed);
        mem::replace(&mut self.phase, gone)
    }

    /// The next line, parsed; None once the input is used up.
    fn next_command(&mut self, input: &mut &[u8]) -> Option<Result<Command, Syntax>> {
        let line = self.lines.next(input)?;
        self.commands += 1;
        Some(line.octets().map_or(Err(Syntax::TooLong), Command::parse))
    }

    /// RFC 1939 sections 4 and 7, RFC 2449 section 5, RFC 2595 section 4. Every
    /// line but PASS forgets the USER before it.
    fn authorization(
        &mut self,
        user: Option<String>,
        command: Result<Command, Syntax>,
        out: &mut Vec<u8>,
    ) -> (Phase, Option<Action>) {
        let anew = Phase::Authorization { user: None };
        let command = match command {
            Ok(command) => command,
            Err(syntax) => return (self.bad(anew, syntax, out), None),
        };
        let phase = match command {
            Command::User(_) | Command::Pass(_) if !self.channel.plaintext_login => {
                self.bad(anew, self.no_plaintext_login(), out)
            }
            // The same answer for every name: it never says who exists.
            Command::User(user) => {
                positive(out, "send PASS");
                Phase::Authorization { user: Some(user) }
            }
            Command::Pass(secret) => match user {
                Some(user) => {
                    let login = Login::Password { user, secret };
                    return (Phase::LoggingIn, Some(Action::Login(login)));
                }
                None => self.bad(anew, "USER has to come first", out),
            },
            Command::Stls if self.channel.tls => self.bad(anew, "TLS is active already", out),
            Command::Stls if !self.channel.starttls => self.bad(anew, "TLS is not offered", out),
            Command::Stls => {
                positive(out, "begin TLS negotiation");
                return (Phase::StartingTls, Some(Action::StartTls));
            }
            Command::Capa => {
                self.capabilities(State::Authorization).render(out);
                anew
            }
            Command::Quit => {
                positive(out, "signing off");
                Phase::Over(State::Authorization, Close::Quit)
            }
            Command::Stat
            | Command::List(_)
            | Command::Retr(_)
            | Command::Dele(_)
            | Command::Noop
            | Command::Rset
            | Command::Top { .. }
            | Command::Uidl(_) => self.bad(anew, "log in first", out),
        };
        (phase, None)
    }

    /// RFC 1939 sections 5 to 7, RFC 2449 section 5.
    fn transaction(
        &mut self,
        mut maildrop: Maildrop,
        command: Result<Command, Syntax>,
        out: &mut Vec<u8>,
    ) -> (Phase, Option<Action>) {
        let command = match command {
            Ok(command) => command,
            Err(syntax) => return (self.bad(Phase::Transaction(maildrop), syntax, out), None),
        };
        match command {
            Command::Stat => {
                positive(
                    out,
                    format_args!("{} {}", maildrop.len(), maildrop.octets()),
                );
            }
            Command::List(number) => return (list(Column::Octets, number, maildrop, out), None),
            Command::Uidl(number) => return (list(Column::UniqueIds, number, maildrop, out), None),
            Command::Retr(number) => return retrieve(number, None, maildrop, out),
            Command::Top {
                message,
                body_lines,
            } => return retrieve(message, Some(body_lines), maildrop, out),
            Command::Dele(number) => match maildrop.message(number) {
                Ok(message) => {
                    maildrop.mark(message);
                    positive(out, format_args!("message {message} deleted"));
                }
                Err(no_message) => negative(out, no_message),
            },
            Command::Noop => positive(out, "nothing done"),
            Command::Rset => {
                maildrop.reset();
                positive(
                    out,
                    format_args!("maildrop has {}", Contents::of(&maildrop)),
                );
            }
            Command::Capa => self.capabilities(State::Transaction).render(out),
            Command::Quit => {
                self.summary.del = maildrop.marked() as u64;
                let left = maildrop.len();
                let remove = maildrop.into_marked();
                return (Phase::Updating { left }, Some(Action::Update { remove }));
            }
            Command::User(_) | Command::Pass(_) | Command::Stls => {
                let phase = Phase::Transaction(maildrop);
                return (self.bad(phase, "only before login", out), None);
            }
        }
        (Phase::Transaction(maildrop), None)
    }

    /// What is true now: USER wherever it is allowed (RFC 2449 section 6.2:
    /// both states), STLS where it is "permitted in the current state" (RFC
    /// 2595 section 4).
    fn capabilities(&self, state: State) -> Capabilities<'_> {
        let Channel {
            tls,
            starttls,
            plaintext_login,
        } = self.channel;
        Capabilities {
            user: plaintext_login,
            stls: starttls && !tls && state == State::Authorization,
            implementation: self.settings.implementation.as_deref(),
        }
    }

    fn no_plaintext_login(&self) -> &'static str {
        if self.channel.starttls && !self.channel.tls {
            "no plaintext login without TLS: use STLS first"
        } else {
            "no plaintext login on this port"
        }
    }

    /// A command that is no command, or not here: answered, counted, and one
    /// too many closes (which ends cross-protocol attacks, CVE-2021-3618).
    fn bad(&mut self, stay: Phase, why: impl fmt::Display, out: &mut Vec<u8>) -> Phase {
        self.bad_commands = self.bad_commands.saturating_add(1);
        let limits = &self.settings.limits;
        let limit = match stay.maildrop() {
            Some(_) => limits.bad_commands_after_login,
            None => limits.bad_commands_before_login,
        };
        if self.bad_commands <= limit {
            negative(out, why);
            return stay;
        }
        negative(out, "too many bad commands, closing");
        if let Some(maildrop) = stay.maildrop() {
            self.summary.del = maildrop.marked() as u64;
        }
        Phase::Over(stay.state(), Close::BadCommands)
    }

    fn after_refused_login(&mut self, code: Option<ResponseCode>) -> Phase {
        if code == Some(ResponseCode::Auth) {
            self.login_failures = self.login_failures.saturating_add(1);
            if self.login_failures >= self.settings.limits.login_failures {
                return Phase::Over(State::Authorization, Close::LoginFailures);
            }
        }
        Phase::Authorization { user: None }
    }
}

/// RFC 1939 section 5, LIST, and section 7, UIDL.
fn list(column: Column, number: Option<Number>, maildrop: Maildrop, out: &mut Vec<u8>) -> Phase {
    let Some(number) = number else {
        let lines = Lines::begin(column, &maildrop, out);
        return Phase::Listing(maildrop, lines);
    };
    match maildrop.message(number) {
        Ok(message) => {
            out.extend_from_slice(b"+OK ");
            column.line(&maildrop, message.position(), out);
        }
        Err(no_message) => negative(out, no_message),
    }
    Phase::Transaction(maildrop)
}

/// RFC 1939 section 5, RETR, and section 7, TOP.
fn retrieve(
    number: Number,
    body_lines: Option<u64>,
    maildrop: Maildrop,
    out: &mut Vec<u8>,
) -> (Phase, Option<Action>) {
    let message = match maildrop.message(number) {
        Ok(message) => message,
        Err(no_message) => {
            negative(out, no_message);
            return (Phase::Transaction(maildrop), None);
        }
    };
    let octets = maildrop.listing().octets(message.position());
    let retrieval = Retrieval {
        octets,
        top: body_lines.is_some(),
    };
    let action = Action::Retrieve {
        message,
        octets,
        body_lines,
    };
    (Phase::Retrieving(maildrop, retrieval), Some(action))
}

impl Phase {
    fn state(&self) -> State {
        match self {
            Phase::Authorization { .. } | Phase::LoggingIn | Phase::StartingTls => {
                State::Authorization
            }
            Phase::Transaction(_)
            | Phase::Listing(..)
            | Phase::Retrieving(..)
            | Phase::Sending(..) => State::Transaction,
            Phase::Updating { .. } => State::Update,
            Phase::Over(state, _) => *state,
        }
    }

    fn maildrop(&self) -> Option<&Maildrop> {
        match self {
            Phase::Transaction(maildrop)
            | Phase::Listing(maildrop, _)
            | Phase::Retrieving(maildrop, _)
            | Phase::Sending(maildrop, _) => Some(maildrop),
            Phase::Authorization { .. }
            | Phase::LoggingIn
            | Phase::StartingTls
            | Phase::Updating { .. }
            | Phase::Over(..) => None,
        }
    }

    /// For the messages of panics: what the driver was asked and has not
    /// answered.
    fn question(&self) -> &'static str {
        match self {
            Phase::LoggingIn => "Action::Login",
            Phase::StartingTls => "Action::StartTls",
            Phase::Retrieving(..) => "Action::Retrieve",
            Phase::Sending(..) => "Action::Retrieve (retrieved() is due)",
            Phase::Updating { .. } => "Action::Update",
            Phase::Authorization { .. }
            | Phase::Transaction(_)
            | Phase::Listing(..)
            | Phase::Over(..) => "nothing",
        }
    }

    fn unasked(self, answer: &str) -> ! {
        panic!(
            "{answer} does not answer what was asked: {}",
            self.question()
        )
    }
}

//! The states of a session (RFC 1939 section 3): which command is legal when,
//! what it answers, and what it asks the driver to do.
//!
//! ```text
//!  AUTHORIZATION ──Login──▶ TRANSACTION ──QUIT: Update──▶ UPDATE ──▶ closed
//!    ▲  │ USER, CAPA          ▲  │ STAT LIST UIDL DELE NOOP RSET CAPA
//!    │  │ UTF8, LANG          │  │ LANG
//!    │  │ AUTH: ScramKeys     └──┘ RETR TOP: Retrieve
//!    └──┘ STLS: StartTls
//! ```
//!
//! Each state is a type of its own, so that what is asked in one cannot be asked
//! in the other, nor answered; the login consumes the one and makes the other. This
//! room decides; it neither waits nor knows who logs in, what a message says or how
//! late it is.

mod authorization;
mod context;
mod phase;
mod transaction;

use std::sync::Arc;

use crate::action::{Close, State, Step, Summary};
use crate::maildrop::Maildrop;
use crate::policy::Retention;
use crate::refusal::Refusal;
use crate::reply::{self, refused};
use crate::sasl::{MockCredentials, ScramKeys, ScramNonce, Timestamp};
use crate::settings::{Channel, Settings};
use context::{Context, Policy};

pub use authorization::Authorization;
pub use phase::Phase;
pub use transaction::Transaction;

/// One POP3 session, in AUTHORIZATION or, from its login on, in TRANSACTION and
/// UPDATE. An answer to what only the other state asks does not compile:
///
/// ```compile_fail,E0599
/// use std::sync::Arc;
/// use restante_pop3::{Channel, Session, Settings};
///
/// let mut session = Session::new(Arc::new(Settings::default()), Channel::default());
/// session.updated(0, &mut Vec::new());
/// ```
pub struct Session<P = Authorization> {
    context: Context,
    phase: P,
}

impl Session<Authorization> {
    /// A session in AUTHORIZATION state.
    pub fn new(settings: Arc<Settings>, channel: Channel) -> Self {
        Session {
            context: Context::new(settings, channel),
            phase: Authorization::new(),
        }
    }

    /// Hands in what APOP and CRAM-MD5 make their challenges of; without it
    /// neither is offered. Before the greeting.
    #[must_use]
    pub fn with_timestamp(mut self, timestamp: Timestamp) -> Self {
        self.context.timestamp = Some(timestamp);
        self
    }

    /// The greeting (RFC 1939 section 4). Due once, before the first step.
    pub fn greet(&mut self, out: &mut Vec<u8>) {
        let Context {
            timestamp,
            channel,
            settings,
            ..
        } = &self.context;
        let timestamp = timestamp.as_ref().filter(|_| channel.apop);
        self.phase.apop_announced = timestamp.is_some();
        reply::greeting(out, &settings.greeting, timestamp);
    }

    /// Says which policy holds for the user who logs in, where it is not the
    /// general one of the [`Settings`]. To be called while
    /// [`AuthorizationAction::Login`](crate::AuthorizationAction::Login) waits for its answer.
    pub fn policy(&mut self, expire: Option<Retention>, login_delay_seconds: Option<u32>) {
        self.context.policy = Policy {
            expire,
            login_delay_seconds,
        };
    }

    /// Answers [`AuthorizationAction::Login`](crate::AuthorizationAction::Login): the maildrop is
    /// locked and open.
    ///
    /// # Panics
    /// Without that question.
    pub fn logged_in(self, maildrop: Maildrop, out: &mut Vec<u8>) -> Session<Transaction> {
        let Session { mut context, phase } = self;
        phase.logged_in();
        let phase = Transaction::begin(maildrop, &mut context, out);
        Session { context, phase }
    }

    /// Which mock credentials [`Session::scram_keys`] goes by from now on, in place of the
    /// settings' own, and as whose: under the name that the user would be looked up by.
    pub fn mock_credentials(&mut self, mock_credentials: MockCredentials, user: String) {
        self.phase.mock_credentials(mock_credentials, user);
    }

    /// Answers [`AuthorizationAction::ScramKeys`](crate::AuthorizationAction::ScramKeys). A refusal with
    /// [`ResponseCode::Auth`](crate::ResponseCode::Auth) says that there are none: the exchange goes on all
    /// the same, with mock credentials, and fails at its end. Any other refusal ends it here.
    ///
    /// The nonce is for this exchange alone.
    ///
    /// # Panics
    /// Without that question, or with keys for another hash.
    pub fn scram_keys(
        &mut self,
        keys: Result<ScramKeys, Refusal>,
        nonce: &ScramNonce,
        out: &mut Vec<u8>,
    ) {
        self.phase.scram_keys(keys, nonce, &mut self.context, out);
    }

    /// Answers [`AuthorizationAction::StartTls`](crate::AuthorizationAction::StartTls): TLS is up. Whatever
    /// was said in the clear is forgotten, a USER, UTF8, LANG and the begin of a line
    /// included; there is no second greeting (RFC 2595 section 4).
    ///
    /// # Panics
    /// Without that question.
    pub fn tls_started(&mut self, channel: Channel) {
        self.phase.tls_started(channel, &mut self.context);
    }

    /// The negative answer to [`AuthorizationAction::Login`](crate::AuthorizationAction::Login) and
    /// [`AuthorizationAction::LoginFailed`](crate::AuthorizationAction::LoginFailed). It counts as a failure only
    /// with the code [`ResponseCode::Auth`](crate::ResponseCode::Auth).
    ///
    /// # Panics
    /// Without such a question.
    pub fn refuse_login(&mut self, refusal: &Refusal, out: &mut Vec<u8>) {
        self.phase.refuse_login(refusal, &mut self.context, out);
    }
}

impl Session<Transaction> {
    /// Answers [`TransactionAction::Retrieve`](crate::TransactionAction::Retrieve): the octets are at hand.
    /// What follows into `out` is the message through [`Stuffing`](crate::Stuffing), then
    /// [`Session::retrieved`]. Should the message break off, the driver closes the
    /// connection without the final dot.
    ///
    /// `octets` is what RETR promises: the listing's, or those of the surrogate that
    /// is sent in its place, as far as they are known beforehand.
    ///
    /// # Panics
    /// Without that question.
    pub fn retrieving(&mut self, octets: u64, out: &mut Vec<u8>) {
        self.phase.retrieving(octets, &mut self.context, out);
    }

    /// The message is in `out` to its final dot; `octets` as
    /// [`Stuffing::finish`](crate::Stuffing::finish) counts them.
    ///
    /// # Panics
    /// Without [`Session::retrieving`] before it.
    pub fn retrieved(&mut self, octets: u64) {
        self.phase.retrieved(octets, &mut self.context);
    }

    /// The negative answer to [`TransactionAction::Retrieve`](crate::TransactionAction::Retrieve).
    ///
    /// # Panics
    /// Without that question.
    pub fn refuse(&mut self, refusal: &Refusal, out: &mut Vec<u8>) {
        self.phase.refuse(refusal, &mut self.context, out);
    }

    /// Answers [`TransactionAction::Update`](crate::TransactionAction::Update), and ends the session: all of it is
    /// removed, and the lock released. `expired` is how many unmarked messages the
    /// maildrop's policy removed besides (EXPIRE, RFC 2449 section 6.7).
    ///
    /// # Panics
    /// Without that question.
    pub fn updated(&mut self, expired: usize, out: &mut Vec<u8>) -> Close {
        self.phase.updated(expired, &mut self.context, out)
    }

    /// The negative answer to [`TransactionAction::Update`](crate::TransactionAction::Update), which ends the
    /// session too.
    ///
    /// # Panics
    /// Without that question.
    pub fn refuse_update(&mut self, refusal: &Refusal, out: &mut Vec<u8>) -> Close {
        self.phase.refuse_update(refusal, &mut self.context, out)
    }
}

impl<P: Phase> Session<P> {
    /// Takes octets off the front of `input` and answers into `out`, until the
    /// driver has to do something.
    ///
    /// Takes nothing behind the line that led to an action, and stops once `out`
    /// holds [`Limits::output_bytes`](crate::Limits::output_bytes); one reply (below 1 KiB) may go
    /// beyond that.
    ///
    /// # Panics
    /// When the last action is not answered yet.
    pub fn step(&mut self, input: &mut &[u8], out: &mut Vec<u8>) -> Step<P::Action> {
        loop {
            if let Some(step) = self.phase.advance(&mut self.context, input, out) {
                return step;
            }
        }
    }

    /// Ends the session with these words: instead of the greeting (RFC 1939 section
    /// 3 knows a negative one from practice only, and every client understands it),
    /// or of the next answer. Nothing is removed.
    ///
    /// # Panics
    /// In UPDATE, in the middle of an answer, and while an action waits for its own.
    pub fn turn_away(&mut self, refusal: &Refusal, out: &mut Vec<u8>) {
        self.phase.turn_away();
        refused(out, self.context.voice, refusal);
    }

    /// The state, by RFC 1939's name.
    pub fn state(&self) -> State {
        self.phase.state()
    }

    /// Has the client said UTF8 (RFC 6856 section 2)? It may before login only.
    pub fn utf8(&self) -> bool {
        self.context.voice.utf8
    }

    /// How many lines came so far, good or bad: the autologout timer starts again
    /// when it moves (RFC 1939 section 3).
    pub fn commands(&self) -> u64 {
        self.context.commands
    }

    /// What happened so far.
    pub fn summary(&self) -> Summary {
        let mut summary = self.context.summary;
        if let Some(marked) = self.phase.marked() {
            summary.del = marked as u64;
        }
        summary
    }
}

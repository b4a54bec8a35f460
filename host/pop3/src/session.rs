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
//! Each variant of [`Phase`] owns what is legal in it and nothing else; a
//! transition consumes the old one. This room decides; it neither waits nor
//! knows who logs in, what a message says or how late it is.

mod authorization;
mod phase;
mod transaction;

use std::mem;
use std::sync::Arc;

use crate::action::{Action, Close, State, Step, Summary};
use crate::command::{Command, Syntax};
use crate::line::{Line, LineReader};
use crate::maildrop::Maildrop;
use crate::reply::{self, Capabilities, Refusal, ResponseCode, negative, positive, refused};
use crate::sasl::{Decoy, Mechanism, Mechanisms, ScramKeys, ScramNonce, Timestamp};
use crate::settings::{ByUser, Channel, Retention, Settings};
use crate::wording::{Contents, Phrase, Voice};
use phase::Phase;

/// One POP3 session.
pub struct Session {
    settings: Arc<Settings>,
    /// In place of the settings' own.
    decoy: Option<Decoy>,
    channel: Channel,
    timestamp: Option<Timestamp>,
    lines: LineReader,
    phase: Phase,
    voice: Voice,
    /// The greeting showed the timestamp.
    apop_announced: bool,
    /// The USER right before an AUTH, which an AUTH that fails leaves as it was.
    user_before_auth: Option<String>,
    /// CRAM-MD5 exchanges begun.
    cram_exchanges: u32,
    /// What the driver said of the user who logs in.
    policy: Policy,
    /// Lines seen, good or bad.
    commands: u64,
    bad_commands: u32,
    login_failures: u32,
    summary: Summary,
}

/// Where a line leads, and what the driver is asked on the way.
type Transition = (Phase, Option<Action>);

#[derive(Default)]
struct Policy {
    expire: Option<Retention>,
    login_delay_seconds: Option<u32>,
}

impl Session {
    /// A session in AUTHORIZATION state.
    pub fn new(settings: Arc<Settings>, channel: Channel) -> Self {
        let lines = LineReader::new(settings.limits.effective_line_octets());
        Session {
            settings,
            decoy: None,
            channel,
            timestamp: None,
            lines,
            phase: Phase::Authorization { user: None },
            voice: Voice::default(),
            apop_announced: false,
            user_before_auth: None,
            cram_exchanges: 0,
            policy: Policy::default(),
            commands: 0,
            bad_commands: 0,
            login_failures: 0,
            summary: Summary::default(),
        }
    }

    /// Hands in what APOP and CRAM-MD5 make their challenges of; without it
    /// neither is offered. Before the greeting.
    #[must_use]
    pub fn with_timestamp(mut self, timestamp: Timestamp) -> Self {
        self.timestamp = Some(timestamp);
        self
    }

    /// The greeting (RFC 1939 section 4). Due once, before the first step.
    pub fn greet(&mut self, out: &mut Vec<u8>) {
        let timestamp = self.timestamp.as_ref().filter(|_| self.channel.apop);
        self.apop_announced = timestamp.is_some();
        reply::greeting(out, &self.settings.greeting, timestamp);
    }

    /// Ends the session with these words: instead of the greeting (RFC 1939 section
    /// 3 knows a negative one from practice only, and every client understands it),
    /// or of the next answer. Nothing is removed.
    ///
    /// # Panics
    /// In UPDATE, in the middle of an answer, and while an [`Action`] waits for its
    /// own.
    pub fn turn_away(&mut self, refusal: &Refusal, out: &mut Vec<u8>) {
        let state = match self.take_phase() {
            Phase::Authorization { .. } | Phase::Exchanging(_) => State::Authorization,
            Phase::Transaction(_) => State::Transaction,
            phase => phase.unasked("turn_away()"),
        };
        refused(out, self.voice, refusal);
        self.phase = Phase::Over(state, Close::TurnedAway);
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
                Phase::LoggingIn { .. }
                | Phase::FetchingKeys(_)
                | Phase::LoginFailing
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
                Phase::Exchanging(exchange) => match self.next_line(input) {
                    Some(line) => self.response(exchange, line.octets(), out),
                    None => {
                        self.phase = Phase::Exchanging(exchange);
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

    /// Says which policy holds for the user who logs in, where it is not the
    /// general one of the [`Settings`]. To be called while [`Action::Login`]
    /// waits for its answer.
    pub fn policy(&mut self, expire: Option<Retention>, login_delay_seconds: Option<u32>) {
        self.policy = Policy {
            expire,
            login_delay_seconds,
        };
    }

    /// Answers [`Action::Login`]: the maildrop is locked and open.
    ///
    /// # Panics
    /// Without that question.
    pub fn logged_in(&mut self, maildrop: Maildrop, out: &mut Vec<u8>) {
        match self.take_phase() {
            Phase::LoggingIn { .. } => {
                positive(out, self.voice, Phrase::Contents(Contents::of(&maildrop)));
                self.summary.messages = maildrop.listing().len() as u64;
                self.summary.octets = maildrop.listing().total_octets();
                self.phase = Phase::Transaction(maildrop);
            }
            phase => phase.unasked("logged_in()"),
        }
    }

    /// Which decoy [`Session::scram_keys`] goes by from now on, in place of the
    /// settings' own.
    pub fn decoy(&mut self, decoy: Decoy) {
        self.decoy = Some(decoy);
    }

    /// Answers [`Action::ScramKeys`]. A refusal with [`ResponseCode::Auth`] says
    /// that there are none: the exchange goes on all the same, with a decoy, and
    /// fails at its end. Any other refusal ends it here.
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
        let first = match self.take_phase() {
            Phase::FetchingKeys(first) => first,
            phase => phase.unasked("scram_keys()"),
        };
        let decoy = self.decoy.as_ref().or(self.settings.decoy.as_ref());
        let keys = match (keys, decoy) {
            (Ok(keys), _) => keys,
            (Err(refusal), Some(decoy)) if refusal.code() == Some(ResponseCode::Auth) => {
                decoy.keys(first.hash(), first.user())
            }
            (Err(refusal), _) => {
                self.phase = self.login_refused(&refusal, out);
                return;
            }
        };
        let (phase, _) = self.turn(first.challenge(keys, nonce), None, out);
        self.phase = phase;
    }

    /// What will be sent is a surrogate of so many octets, as far as that is known
    /// beforehand: said in place of the listing's by [`Session::retrieving`].
    ///
    /// # Panics
    /// Without [`Action::Retrieve`] before it.
    pub fn surrogate(&mut self, octets: u64) {
        match &mut self.phase {
            Phase::Retrieving(_, retrieval) => retrieval.octets = octets,
            _ => self.take_phase().unasked("surrogate()"),
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
                let phrase = match retrieval.top {
                    true => Phrase::TopFollows,
                    false => Phrase::Octets(retrieval.octets),
                };
                positive(out, self.voice, phrase);
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
        self.updated_and_expired(0, out);
    }

    /// The same, where the maildrop's policy removed so many unmarked messages
    /// besides (EXPIRE, RFC 2449 section 6.7).
    ///
    /// # Panics
    /// Without that question.
    pub fn updated_and_expired(&mut self, expired: usize, out: &mut Vec<u8>) {
        match self.take_phase() {
            Phase::Updating { left } => {
                let left = left.saturating_sub(expired);
                positive(out, self.voice, Phrase::SignedOff(left));
                self.phase = Phase::Over(State::Update, Close::Quit);
            }
            phase => phase.unasked("updated()"),
        }
    }

    /// Answers [`Action::StartTls`]: TLS is up. Whatever was said in the clear
    /// is forgotten, a USER, UTF8, LANG and the begin of a line included; there is
    /// no second greeting (RFC 2595 section 4).
    ///
    /// # Panics
    /// Without that question.
    pub fn tls_started(&mut self, channel: Channel) {
        match self.take_phase() {
            Phase::StartingTls => {
                self.channel = channel;
                self.voice = Voice::default();
                self.lines = LineReader::new(self.settings.limits.effective_line_octets());
                self.phase = Phase::Authorization { user: None };
            }
            phase => phase.unasked("tls_started()"),
        }
    }

    /// The negative answer to [`Action::Login`], [`Action::LoginFailed`],
    /// [`Action::Retrieve`] and [`Action::Update`]. A refused login counts as a
    /// failure only with the code [`ResponseCode::Auth`]; a refused UPDATE ends
    /// the session.
    ///
    /// # Panics
    /// Without such a question.
    pub fn refuse(&mut self, refusal: &Refusal, out: &mut Vec<u8>) {
        self.phase = match self.take_phase() {
            // The client hears it as OAuth wants it, and counted once it answered.
            Phase::LoggingIn {
                bearer: Some(bearer),
            } if refusal.code() == Some(ResponseCode::Auth) => {
                let turn = bearer.refused(refusal.clone(), &self.settings.discovery);
                self.turn(turn, None, out).0
            }
            Phase::LoggingIn { .. } | Phase::LoginFailing => self.login_refused(refusal, out),
            Phase::Retrieving(maildrop, _) => {
                refused(out, self.voice, refusal);
                Phase::Transaction(maildrop)
            }
            Phase::Updating { .. } => {
                refused(out, self.voice, refusal);
                Phase::Over(State::Update, Close::UpdateFailed)
            }
            phase => phase.unasked("refuse()"),
        };
    }

    /// The state, by which the driver chooses its timer.
    pub fn state(&self) -> State {
        self.phase.state()
    }

    /// Has the client said UTF8 (RFC 6856 section 2)? It may before login only.
    pub fn utf8(&self) -> bool {
        self.voice.utf8
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
        let line = self.next_line(input)?;
        Some(line.octets().map_or(Err(Syntax::TooLong), Command::parse))
    }

    fn next_line<'a>(&mut self, input: &mut &'a [u8]) -> Option<Line<'a>> {
        let line = self.lines.next(input)?;
        self.commands += 1;
        Some(line)
    }

    /// What is offered now: as much as channel, settings and session can carry.
    fn offered(&self) -> Mechanisms {
        self.channel
            .offered()
            .iter()
            .filter(|mechanism| match mechanism {
                Mechanism::CramMd5 => self.timestamp.is_some(),
                Mechanism::ScramSha1
                | Mechanism::ScramSha1Plus
                | Mechanism::ScramSha256
                | Mechanism::ScramSha256Plus => self.settings.decoy.is_some(),
                _ => true,
            })
            .collect()
    }

    /// What is true now: USER, SASL, UTF8 and LANG wherever they are allowed (RFC
    /// 2449 section 5: what is announced before login is announced after it), STLS
    /// where it is "permitted in the current state" (RFC 2595 section 4).
    fn capabilities(&self, state: State) -> Capabilities<'_> {
        let Channel {
            tls,
            starttls,
            plaintext_login,
            ..
        } = self.channel;
        let settings = &self.settings;
        let before_login = state == State::Authorization;
        Capabilities {
            expire: in_force(settings.expire, self.policy.expire, before_login),
            login_delay_seconds: in_force(
                settings.login_delay_seconds,
                self.policy.login_delay_seconds,
                before_login,
            ),
            user: plaintext_login,
            sasl: self.offered(),
            utf8: settings.utf8,
            lang: settings.language.is_some(),
            stls: starttls && !tls && before_login,
            implementation: settings.implementation.as_deref(),
        }
    }

    /// A command that is no command, or not here: answered, counted, and one
    /// too many closes (which ends cross-protocol attacks, CVE-2021-3618).
    fn bad(&mut self, stay: Phase, why: Phrase, out: &mut Vec<u8>) -> Phase {
        self.bad_commands = self.bad_commands.saturating_add(1);
        let limits = &self.settings.limits;
        let limit = match stay.maildrop() {
            Some(_) => limits.bad_commands_after_login,
            None => limits.bad_commands_before_login,
        };
        if self.bad_commands <= limit {
            negative(out, self.voice, why);
            return stay;
        }
        negative(out, self.voice, Phrase::TooManyBadCommands);
        if let Some(maildrop) = stay.maildrop() {
            self.summary.del = maildrop.marked() as u64;
        }
        Phase::Over(stay.state(), Close::BadCommands)
    }

    fn login_refused(&mut self, refusal: &Refusal, out: &mut Vec<u8>) -> Phase {
        refused(out, self.voice, refusal);
        self.policy = Policy::default();
        if refusal.code() == Some(ResponseCode::Auth) {
            self.login_failures = self.login_failures.saturating_add(1);
            if self.login_failures >= self.settings.limits.login_failures {
                return Phase::Over(State::Authorization, Close::LoginFailures);
            }
        }
        self.as_before_auth()
    }
}

/// The general value until login, the user's own after it.
fn in_force<T: Copy>(
    general: Option<ByUser<T>>,
    own: Option<T>,
    before_login: bool,
) -> Option<ByUser<T>> {
    if before_login {
        return general;
    }
    let value = own.or(general.map(|policy| policy.general))?;
    Some(ByUser {
        general: value,
        differs: false,
    })
}

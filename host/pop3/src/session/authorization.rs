//! The AUTHORIZATION state: who is it, and on which channel?

use std::mem;

use super::context::{Context, Policy};
use super::phase::Phase;
use crate::action::{AuthorizationAction, Close, State, Step};
use crate::code::ResponseCode;
use crate::command::{Auth, Command};
use crate::login::{Cause, Credentials, DigestAlgorithm, FailedLogin, Login};
use crate::refusal::Refusal;
use crate::reply::{mechanisms, positive, refused};
use crate::sasl::{
    self, Bearer, ClientFirst, Exchange, Mechanism, MockCredentials, ScramKeys, ScramNonce, Stop,
    Terms, Turn,
};
use crate::secret::Sensitive;
use crate::settings::Channel;
use crate::syntax::{Malformed, Syntax};
use crate::wording::Phrase;

/// Nobody is logged in.
pub struct Authorization {
    stage: Stage,
    /// In place of the settings' own.
    mock_credentials: Option<(MockCredentials, String)>,
    /// The greeting showed the timestamp.
    pub(super) apop_announced: bool,
    /// The USER right before an AUTH, which an AUTH that fails leaves as it was.
    user_before_auth: Option<String>,
    /// CRAM-MD5 exchanges begun.
    cram_exchanges: u32,
    login_failures: u32,
}

/// Where a session stands before login. Stages that wait for the driver's answer
/// are named after what it is doing.
enum Stage {
    /// The user is there only if the line before was an accepted USER, failed
    /// AUTHs not counted: PASS has to follow "immediately" (RFC 1939 section 7).
    Command {
        user: Option<String>,
    },
    /// In the middle of AUTH: the next line is a response, whatever it says.
    Exchanging(Exchange),
    FetchingKeys(ClientFirst),
    LoggingIn {
        /// With a token: a refusal takes one turn more.
        bearer: Option<Bearer>,
    },
    LoginFailing,
    StartingTls,
    Over(Close),
}

/// Where a line leads, and what the driver is asked on the way.
type Transition = (Stage, Option<AuthorizationAction>);

impl Phase for Authorization {
    type Action = AuthorizationAction;

    fn advance(
        &mut self,
        context: &mut Context,
        input: &mut &[u8],
        out: &mut Vec<u8>,
    ) -> Option<Step<AuthorizationAction>> {
        let (stage, step) = match self.take_stage() {
            Stage::Over(close) => (Stage::Over(close), Some(Step::Close(close))),
            Stage::LoggingIn { .. }
            | Stage::FetchingKeys(_)
            | Stage::LoginFailing
            | Stage::StartingTls => panic!("step() while an action waits for its answer"),
            stage if out.len() >= context.settings.limits.effective_output_bytes() => {
                (stage, Some(Step::Flush))
            }
            Stage::Command { user } => match context.next_command(input) {
                Some(command) => acting(self.command(user, command, context, out)),
                None => (Stage::Command { user }, Some(Step::Read)),
            },
            Stage::Exchanging(exchange) => match context.next_line(input) {
                Some(line) => acting(self.response(exchange, line.octets(), context, out)),
                None => (Stage::Exchanging(exchange), Some(Step::Read)),
            },
        };
        self.stage = stage;
        step
    }

    fn turn_away(&mut self) {
        match self.take_stage() {
            Stage::Command { .. } | Stage::Exchanging(_) => {
                self.stage = Stage::Over(Close::TurnedAway);
            }
            stage => stage.unasked("turn_away()"),
        }
    }

    fn state(&self) -> State {
        State::Authorization
    }

    fn marked(&self) -> Option<usize> {
        None
    }
}

fn acting((stage, action): Transition) -> (Stage, Option<Step<AuthorizationAction>>) {
    (stage, action.map(Step::Act))
}

impl Authorization {
    pub(super) fn new() -> Self {
        Authorization {
            stage: Stage::Command { user: None },
            mock_credentials: None,
            apop_announced: false,
            user_before_auth: None,
            cram_exchanges: 0,
            login_failures: 0,
        }
    }

    pub(super) fn mock_credentials(&mut self, mock_credentials: MockCredentials, user: String) {
        self.mock_credentials = Some((mock_credentials, user));
    }

    /// The login that was asked for succeeds.
    pub(super) fn logged_in(mut self) {
        match self.take_stage() {
            Stage::LoggingIn { .. } => {}
            stage => stage.unasked("logged_in()"),
        }
    }

    pub(super) fn scram_keys(
        &mut self,
        keys: Result<ScramKeys, Refusal>,
        nonce: &ScramNonce,
        context: &mut Context,
        out: &mut Vec<u8>,
    ) {
        let first = match self.take_stage() {
            Stage::FetchingKeys(first) => first,
            stage => stage.unasked("scram_keys()"),
        };
        let own = self.mock_credentials.take();
        let mock_credentials = match &own {
            Some((mock_credentials, user)) => Some((mock_credentials, user.as_str())),
            None => (context.settings.mock_credentials.as_ref())
                .map(|mock_credentials| (mock_credentials, first.user())),
        };
        let keys = match (keys, mock_credentials) {
            (Ok(keys), _) => keys,
            (Err(refusal), Some((mock_credentials, user)))
                if refusal.code() == Some(ResponseCode::Auth) =>
            {
                mock_credentials.keys(first.hash(), user)
            }
            (Err(refusal), _) => {
                self.stage = self.login_refused(&refusal, context, out);
                return;
            }
        };
        let turn = Turn::scram_challenge(first, keys, nonce);
        (self.stage, _) = self.turn(turn, None, out);
    }

    pub(super) fn tls_started(&mut self, channel: Channel, context: &mut Context) {
        match self.take_stage() {
            Stage::StartingTls => {
                context.begin_again(channel);
                self.stage = Stage::Command { user: None };
            }
            stage => stage.unasked("tls_started()"),
        }
    }

    pub(super) fn refuse_login(
        &mut self,
        refusal: &Refusal,
        context: &mut Context,
        out: &mut Vec<u8>,
    ) {
        self.stage = match self.take_stage() {
            // The client hears it as OAuth wants it, and counted once it answered.
            Stage::LoggingIn {
                bearer: Some(bearer),
            } if refusal.code() == Some(ResponseCode::Auth) => {
                let discovery = &context.settings.discovery;
                let turn = Turn::bearer_refused(bearer, refusal.clone(), discovery);
                self.turn(turn, None, out).0
            }
            Stage::LoggingIn { .. } | Stage::LoginFailing => {
                self.login_refused(refusal, context, out)
            }
            stage => stage.unasked("refuse_login()"),
        };
    }

    /// Takes the stage out to be consumed. What stands in its place ends a session
    /// that lost its stage in a panic.
    fn take_stage(&mut self) -> Stage {
        mem::replace(&mut self.stage, Stage::Over(Close::UpdateFailed))
    }

    /// RFC 1939 sections 4 and 7, RFC 2449 section 5, RFC 2595 section 4, RFC
    /// 5034, RFC 6856. Every line but PASS forgets the USER before it, and so does
    /// AUTH unless it fails.
    fn command(
        &mut self,
        user: Option<String>,
        command: Result<Command, Syntax>,
        context: &mut Context,
        out: &mut Vec<u8>,
    ) -> Transition {
        let forgotten = Stage::Command { user: None };
        let command = match command {
            Ok(command) => command,
            // Nobody has such a password: a problem with the credentials, which
            // the client has to hear as one (RFC 3206 section 6).
            Err(Syntax::Password) if user.is_some() && context.channel.plaintext_login => {
                let cause = Cause::Preparation;
                let failed = FailedLogin { user, cause };
                return self.stopped(Stop::Failed(failed), context, out);
            }
            Err(syntax) => return (bad(forgotten, Phrase::Syntax(syntax), context, out), None),
        };
        let stage = match command {
            Command::User(_) | Command::Pass(_) if !context.channel.plaintext_login => {
                bad(forgotten, no_plaintext_login(context), context, out)
            }
            // The same answer for every name: it never says who exists.
            Command::User(user) => {
                positive(out, context.voice, Phrase::SendPass);
                Stage::Command { user: Some(user) }
            }
            Command::Pass(secret) => match user {
                Some(user) => {
                    let credentials = Credentials::Password {
                        user,
                        acting_as: None,
                        secret,
                    };
                    return logging_in(Login::Credentials(credentials), None);
                }
                None => bad(forgotten, Phrase::UserFirst, context, out),
            },
            Command::Apop { user, digest } => match &context.timestamp {
                Some(timestamp) if self.apop_announced && context.channel.apop => {
                    let credentials = Credentials::Digest {
                        user,
                        algorithm: DigestAlgorithm::Md5,
                        challenge: timestamp.to_string(),
                        response: digest,
                    };
                    return logging_in(Login::Credentials(credentials), None);
                }
                _ => bad(forgotten, Phrase::NotOffered, context, out),
            },
            Command::Auth(None) if context.offered().is_empty() => {
                bad(forgotten, Phrase::NoMechanism, context, out)
            }
            Command::Auth(None) => {
                mechanisms(context.offered(), context.voice, out);
                forgotten
            }
            Command::Auth(Some(auth)) => {
                self.user_before_auth = user;
                return self.auth(auth, context, out);
            }
            Command::Utf8 if !context.settings.utf8 => {
                bad(forgotten, Phrase::NotOffered, context, out)
            }
            Command::Utf8 => {
                context.voice.utf8 = true;
                positive(out, context.voice, Phrase::Utf8Begins);
                forgotten
            }
            Command::Lang(range) => match context.lang(range, out) {
                Ok(()) => forgotten,
                Err(why) => bad(forgotten, why, context, out),
            },
            Command::Stls if context.channel.tls => {
                bad(forgotten, Phrase::TlsIsActive, context, out)
            }
            Command::Stls if !context.channel.starttls => {
                bad(forgotten, Phrase::TlsNotOffered, context, out)
            }
            Command::Stls => {
                positive(out, context.voice, Phrase::BeginTls);
                return (Stage::StartingTls, Some(AuthorizationAction::StartTls));
            }
            Command::Capa => {
                context
                    .capabilities(State::Authorization)
                    .render(context.voice, out);
                forgotten
            }
            Command::Quit => {
                positive(out, context.voice, Phrase::SigningOff);
                Stage::Over(Close::Quit)
            }
            Command::Stat
            | Command::List(_)
            | Command::Retr(_)
            | Command::Dele(_)
            | Command::Noop
            | Command::Rset
            | Command::Top { .. }
            | Command::Uidl(_) => bad(forgotten, Phrase::LogInFirst, context, out),
        };
        (stage, None)
    }

    /// RFC 5034 section 4: after an AUTH that failed, the session is "as if the
    /// client had not issued the AUTH command".
    fn as_before_auth(&mut self) -> Stage {
        Stage::Command {
            user: self.user_before_auth.take(),
        }
    }

    /// RFC 5034 section 4.
    fn auth(&mut self, auth: Auth, context: &mut Context, out: &mut Vec<u8>) -> Transition {
        let Some(mechanism) = auth.mechanism else {
            return self.auth_is_bad(Phrase::UnknownMechanism, context, out);
        };
        let mut terms = terms(context);
        if !terms.offered.contains(mechanism) {
            let why = not_offered(mechanism, context);
            return self.auth_is_bad(why, context, out);
        }
        let initial = match auth.initial.transpose() {
            Ok(initial) => initial,
            Err(malformed) => return self.stopped(Stop::Malformed(malformed), context, out),
        };
        if mechanism == Mechanism::CramMd5 {
            let timestamp = context.timestamp.as_ref();
            terms.challenge = timestamp.map(|it| it.challenge(self.cram_exchanges));
        }
        let turn = Exchange::begin(mechanism, initial.as_deref(), terms);
        if mechanism == Mechanism::CramMd5 {
            self.cram_exchanges = self.cram_exchanges.saturating_add(1);
        }
        match turn {
            Ok(turn) => self.turn(turn, Bearer::of(mechanism), out),
            Err(stop) => self.stopped(stop, context, out),
        }
    }

    /// The client's response in an exchange: a line, or None for one too long.
    /// Whatever is wrong with it ends the exchange, and the next line is a command
    /// again; as long as the exchange goes on, none is (RFC 5034 section 4).
    fn response(
        &mut self,
        exchange: Exchange,
        line: Option<&[u8]>,
        context: &mut Context,
        out: &mut Vec<u8>,
    ) -> Transition {
        let bearer = match &exchange {
            Exchange::Initial(mechanism) => Bearer::of(*mechanism),
            // The dummy and "*" say the same (RFC 7628 section 3.2.3).
            Exchange::BearerRefused { refusal } => {
                return (self.login_refused(refusal, context, out), None);
            }
            _ => None,
        };
        let Some(line) = line else {
            return self.auth_is_bad(Phrase::Syntax(Syntax::TooLong), context, out);
        };
        let decoded = match line {
            b"*" => Err(Malformed::Cancelled),
            // Legal in the AUTH line only, but curl writes every empty response so.
            b"=" => Ok(Sensitive::default()),
            line => sasl::decoded(line),
        };
        let turn = decoded
            .map_err(Stop::Malformed)
            .and_then(|response| exchange.respond(&response, &terms(context)));
        match turn {
            Ok(turn) => self.turn(turn, bearer, out),
            Err(stop) => self.stopped(stop, context, out),
        }
    }

    /// Goes on with an exchange as it wants.
    fn turn(&self, turn: Turn, bearer: Option<Bearer>, out: &mut Vec<u8>) -> Transition {
        match turn {
            Turn::Challenge(challenge, exchange) => {
                sasl::challenge_line(&challenge, out);
                (Stage::Exchanging(exchange), None)
            }
            Turn::Login(login) => logging_in(login, bearer),
            Turn::ScramKeys(first) => {
                let action = AuthorizationAction::ScramKeys {
                    user: first.user().to_owned(),
                    acting_as: first.acting_as().map(str::to_owned),
                    hash: first.hash(),
                };
                (Stage::FetchingKeys(first), Some(action))
            }
        }
    }

    /// An exchange that is over before anybody was asked. One that is broken off
    /// counts as a bad command, so that it cannot be done for ever.
    fn stopped(&mut self, stop: Stop, context: &mut Context, out: &mut Vec<u8>) -> Transition {
        match stop {
            Stop::Malformed(malformed) => {
                self.auth_is_bad(Phrase::Malformed(malformed), context, out)
            }
            Stop::Failed(failed) => {
                let action = AuthorizationAction::LoginFailed(failed);
                (Stage::LoginFailing, Some(action))
            }
        }
    }

    /// An AUTH that fails as a bad command.
    fn auth_is_bad(&mut self, why: Phrase, context: &mut Context, out: &mut Vec<u8>) -> Transition {
        let before = self.as_before_auth();
        (bad(before, why, context, out), None)
    }

    fn login_refused(
        &mut self,
        refusal: &Refusal,
        context: &mut Context,
        out: &mut Vec<u8>,
    ) -> Stage {
        refused(out, context.voice, refusal);
        context.policy = Policy::default();
        if refusal.code() == Some(ResponseCode::Auth) {
            self.login_failures = self.login_failures.saturating_add(1);
            if self.login_failures >= context.settings.limits.login_failures {
                return Stage::Over(Close::LoginFailures);
            }
        }
        self.as_before_auth()
    }
}

impl Stage {
    /// For the messages of panics: what the driver was asked and has not answered.
    fn question(&self) -> &'static str {
        match self {
            Stage::FetchingKeys(_) => "AuthorizationAction::ScramKeys",
            Stage::LoggingIn { .. } => "AuthorizationAction::Login",
            Stage::LoginFailing => "AuthorizationAction::LoginFailed",
            Stage::StartingTls => "AuthorizationAction::StartTls",
            Stage::Command { .. } | Stage::Exchanging(_) | Stage::Over(_) => "nothing",
        }
    }

    fn unasked(self, answer: &str) -> ! {
        panic!(
            "{answer} does not answer what was asked: {}",
            self.question()
        )
    }
}

fn bad(stay: Stage, why: Phrase, context: &mut Context, out: &mut Vec<u8>) -> Stage {
    let limit = context.settings.limits.bad_commands_before_login;
    if context.bad_command(limit, why, out) {
        stay
    } else {
        Stage::Over(Close::BadCommands)
    }
}

fn terms(context: &Context) -> Terms<'_> {
    Terms {
        offered: context.offered(),
        binding: context.channel.binding.as_ref(),
        challenge: None,
        discovery: &context.settings.discovery,
    }
}

fn not_offered(mechanism: Mechanism, context: &Context) -> Phrase {
    if context.offered().is_empty() {
        Phrase::NoMechanism
    } else if mechanism.is_plaintext() {
        no_plaintext_login(context)
    } else {
        Phrase::MechanismNotOffered
    }
}

fn no_plaintext_login(context: &Context) -> Phrase {
    if context.channel.starttls && !context.channel.tls {
        Phrase::StlsFirst
    } else {
        Phrase::NoPlaintextLogin
    }
}

fn logging_in(login: Login, bearer: Option<Bearer>) -> Transition {
    let action = AuthorizationAction::Login(login);
    (Stage::LoggingIn { bearer }, Some(action))
}

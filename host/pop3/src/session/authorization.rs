//! The AUTHORIZATION state: who is it, and on which channel?

use super::{Phase, Session, Transition};
use crate::action::{Action, Close, DigestAlgorithm, Login, State};
use crate::command::{Auth, Command, LanguageRange, Syntax};
use crate::reply::{languages, mechanisms, negative, positive, status};
use crate::sasl::{
    self, Bearer, Cause, Exchange, FailedLogin, Malformed, Mechanism, Stop, Terms, Turn,
};
use crate::secret::Sensitive;
use crate::wording::{Language, Phrase};

impl Session {
    /// RFC 1939 sections 4 and 7, RFC 2449 section 5, RFC 2595 section 4, RFC
    /// 5034, RFC 6856. Every line but PASS forgets the USER before it, and so does
    /// AUTH unless it fails.
    pub(super) fn authorization(
        &mut self,
        user: Option<String>,
        command: Result<Command, Syntax>,
        out: &mut Vec<u8>,
    ) -> Transition {
        let anew = Phase::Authorization { user: None };
        let command = match command {
            Ok(command) => command,
            // Nobody has such a password: a problem with the credentials, which
            // the client has to hear as one (RFC 3206 section 6).
            Err(Syntax::Password) if user.is_some() && self.channel.plaintext_login => {
                let cause = Cause::Preparation;
                return self.stopped(Stop::Failed(FailedLogin { user, cause }), out);
            }
            Err(syntax) => return (self.bad(anew, Phrase::Syntax(syntax), out), None),
        };
        let phase = match command {
            Command::User(_) | Command::Pass(_) if !self.channel.plaintext_login => {
                self.bad(anew, self.no_plaintext_login(), out)
            }
            // The same answer for every name: it never says who exists.
            Command::User(user) => {
                positive(out, self.voice, Phrase::SendPass);
                Phase::Authorization { user: Some(user) }
            }
            Command::Pass(secret) => match user {
                Some(user) => {
                    let login = Login::Password {
                        user,
                        acting_as: None,
                        secret,
                    };
                    return logging_in(login, None);
                }
                None => self.bad(anew, Phrase::UserFirst, out),
            },
            Command::Apop { user, digest } => match &self.timestamp {
                Some(timestamp) if self.apop_announced && self.channel.apop => {
                    let login = Login::Digest {
                        user,
                        algorithm: DigestAlgorithm::Md5,
                        challenge: timestamp.to_string(),
                        response: digest,
                    };
                    return logging_in(login, None);
                }
                _ => self.bad(anew, Phrase::NotOffered, out),
            },
            Command::Auth(None) if self.offered().is_empty() => {
                self.bad(anew, Phrase::NoMechanism, out)
            }
            Command::Auth(None) => {
                mechanisms(self.offered(), self.voice, out);
                anew
            }
            Command::Auth(Some(auth)) => {
                self.user_before_auth = user;
                return self.auth(auth, out);
            }
            Command::Utf8 if !self.settings.utf8 => self.bad(anew, Phrase::NotOffered, out),
            Command::Utf8 => {
                self.voice.utf8 = true;
                positive(out, self.voice, Phrase::Utf8Begins);
                anew
            }
            Command::Lang(range) => self.lang(range, anew, out),
            Command::Stls if self.channel.tls => self.bad(anew, Phrase::TlsIsActive, out),
            Command::Stls if !self.channel.starttls => self.bad(anew, Phrase::TlsNotOffered, out),
            Command::Stls => {
                positive(out, self.voice, Phrase::BeginTls);
                return (Phase::StartingTls, Some(Action::StartTls));
            }
            Command::Capa => {
                self.capabilities(State::Authorization)
                    .render(self.voice, out);
                anew
            }
            Command::Quit => {
                positive(out, self.voice, Phrase::SigningOff);
                Phase::Over(State::Authorization, Close::Quit)
            }
            Command::Stat
            | Command::List(_)
            | Command::Retr(_)
            | Command::Dele(_)
            | Command::Noop
            | Command::Rset
            | Command::Top { .. }
            | Command::Uidl(_) => self.bad(anew, Phrase::LogInFirst, out),
        };
        (phase, None)
    }

    /// RFC 6856 section 3.2: a language that nobody speaks here changes nothing.
    pub(super) fn lang(
        &mut self,
        range: Option<LanguageRange>,
        stay: Phase,
        out: &mut Vec<u8>,
    ) -> Phase {
        let Some(preferred) = self.settings.language else {
            return self.bad(stay, Phrase::NotOffered, out);
        };
        let language = match range {
            None => {
                languages(self.voice, out);
                return stay;
            }
            Some(LanguageRange::Any) => Some(preferred),
            Some(LanguageRange::Basic(range)) => Language::matching(&range),
        };
        match language {
            Some(language) => {
                self.voice.language = language;
                let text = self.voice.say(Phrase::LanguageChosen);
                status(out, "+OK", format_args!("{} {text}", language.tag()));
            }
            None => negative(out, self.voice, Phrase::UnknownLanguage),
        }
        stay
    }

    /// RFC 5034 section 4: after an AUTH that failed, the session is "as if the
    /// client had not issued the AUTH command".
    pub(super) fn as_before_auth(&mut self) -> Phase {
        Phase::Authorization {
            user: self.user_before_auth.take(),
        }
    }

    /// RFC 5034 section 4.
    fn auth(&mut self, auth: Auth, out: &mut Vec<u8>) -> Transition {
        let Some(mechanism) = auth.mechanism else {
            return self.auth_is_bad(Phrase::UnknownMechanism, out);
        };
        let mut terms = self.terms();
        if !terms.offered.contains(mechanism) {
            let why = self.not_offered(mechanism);
            return self.auth_is_bad(why, out);
        }
        let initial = match auth.initial.transpose() {
            Ok(initial) => initial,
            Err(malformed) => return self.stopped(Stop::Malformed(malformed), out),
        };
        if mechanism == Mechanism::CramMd5 {
            let timestamp = self.timestamp.as_ref();
            terms.challenge = timestamp.map(|it| it.challenge(self.cram_exchanges));
        }
        let turn = Exchange::begin(mechanism, initial.as_deref(), terms);
        if mechanism == Mechanism::CramMd5 {
            self.cram_exchanges = self.cram_exchanges.saturating_add(1);
        }
        match turn {
            Ok(turn) => self.turn(turn, Bearer::of(mechanism), out),
            Err(stop) => self.stopped(stop, out),
        }
    }

    /// The client's response in an exchange: a line, or None for one too long.
    /// Whatever is wrong with it ends the exchange, and the next line is a command
    /// again; as long as the exchange goes on, none is (RFC 5034 section 4).
    pub(super) fn response(
        &mut self,
        exchange: Exchange,
        line: Option<&[u8]>,
        out: &mut Vec<u8>,
    ) -> Transition {
        let bearer = match &exchange {
            Exchange::Initial(mechanism) => Bearer::of(*mechanism),
            // The dummy and "*" say the same (RFC 7628 section 3.2.3).
            Exchange::BearerRefused { refusal } => return (self.login_refused(refusal, out), None),
            _ => None,
        };
        let Some(line) = line else {
            return self.auth_is_bad(Phrase::Syntax(Syntax::TooLong), out);
        };
        let decoded = match line {
            b"*" => Err(Malformed::Cancelled),
            // Legal in the AUTH line only, but curl writes every empty response so.
            b"=" => Ok(Sensitive::default()),
            line => sasl::decoded(line),
        };
        let turn = decoded
            .map_err(Stop::Malformed)
            .and_then(|response| exchange.respond(&response, &self.terms()));
        match turn {
            Ok(turn) => self.turn(turn, bearer, out),
            Err(stop) => self.stopped(stop, out),
        }
    }

    /// Goes on with an exchange as it wants.
    pub(super) fn turn(
        &mut self,
        turn: Turn,
        bearer: Option<Bearer>,
        out: &mut Vec<u8>,
    ) -> Transition {
        match turn {
            Turn::Challenge(challenge, exchange) => {
                sasl::challenge_line(&challenge, out);
                (Phase::Exchanging(exchange), None)
            }
            Turn::Login(login) => logging_in(login, bearer),
            Turn::ScramKeys(first) => {
                let action = Action::ScramKeys {
                    user: first.user().to_owned(),
                    acting_as: first.acting_as().map(str::to_owned),
                    hash: first.hash(),
                };
                (Phase::FetchingKeys(first), Some(action))
            }
        }
    }

    /// An exchange that is over before anybody was asked. One that is broken off
    /// counts as a bad command, so that it cannot be done for ever.
    fn stopped(&mut self, stop: Stop, out: &mut Vec<u8>) -> Transition {
        match stop {
            Stop::Malformed(malformed) => self.auth_is_bad(Phrase::Malformed(malformed), out),
            Stop::Failed(failed) => (Phase::LoginFailing, Some(Action::LoginFailed(failed))),
        }
    }

    /// An AUTH that fails as a bad command.
    fn auth_is_bad(&mut self, why: Phrase, out: &mut Vec<u8>) -> Transition {
        let before = self.as_before_auth();
        (self.bad(before, why, out), None)
    }

    fn terms(&self) -> Terms<'_> {
        Terms {
            offered: self.offered(),
            binding: self.channel.binding.as_ref(),
            challenge: None,
            discovery: &self.settings.discovery,
        }
    }

    fn not_offered(&self, mechanism: Mechanism) -> Phrase {
        if self.offered().is_empty() {
            Phrase::NoMechanism
        } else if mechanism.is_plaintext() {
            self.no_plaintext_login()
        } else {
            Phrase::MechanismNotOffered
        }
    }

    fn no_plaintext_login(&self) -> Phrase {
        if self.channel.starttls && !self.channel.tls {
            Phrase::StlsFirst
        } else {
            Phrase::NoPlaintextLogin
        }
    }
}

fn logging_in(login: Login, bearer: Option<Bearer>) -> Transition {
    (Phase::LoggingIn { bearer }, Some(Action::Login(login)))
}

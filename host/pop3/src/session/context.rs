//! What a session has in every state: its settings and channel, its way to speak,
//! the lines that come, and what is counted.

use std::sync::Arc;

use restante_lines::{Line, LineEnd, LineReader};

use crate::action::{State, Summary};
use crate::command::{Command, LanguageRange};
use crate::policy::{ByUser, Retention};
use crate::reply::{Capabilities, languages, negative, status};
use crate::sasl::{Mechanism, Mechanisms, Timestamp};
use crate::settings::{Channel, Settings};
use crate::syntax::Syntax;
use crate::wording::{Language, Phrase, Voice};

/// What a session has in every state.
pub struct Context {
    pub(super) settings: Arc<Settings>,
    pub(super) channel: Channel,
    pub(super) timestamp: Option<Timestamp>,
    pub(super) voice: Voice,
    /// What the driver said of the user who logs in.
    pub(super) policy: Policy,
    pub(super) summary: Summary,
    /// Lines seen, good or bad.
    pub(super) commands: u64,
    bad_commands: u32,
    lines: LineReader,
}

#[derive(Default)]
pub(super) struct Policy {
    pub(super) expire: Option<Retention>,
    pub(super) login_delay_seconds: Option<u32>,
}

impl Context {
    pub(super) fn new(settings: Arc<Settings>, channel: Channel) -> Self {
        let lines = LineReader::new(settings.limits.effective_line_octets(), LineEnd::Lf);
        Context {
            settings,
            channel,
            timestamp: None,
            voice: Voice::default(),
            policy: Policy::default(),
            summary: Summary::default(),
            commands: 0,
            bad_commands: 0,
            lines,
        }
    }

    /// The session goes on over another channel, as if nothing had been said.
    pub(super) fn begin_again(&mut self, channel: Channel) {
        self.channel = channel;
        self.voice = Voice::default();
        self.lines = LineReader::new(self.settings.limits.effective_line_octets(), LineEnd::Lf);
    }

    /// The next line, parsed; None once the input is used up.
    pub(super) fn next_command(&mut self, input: &mut &[u8]) -> Option<Result<Command, Syntax>> {
        let line = self.next_line(input)?;
        Some(line.octets().map_or(Err(Syntax::TooLong), Command::parse))
    }

    pub(super) fn next_line<'a>(&mut self, input: &mut &'a [u8]) -> Option<Line<'a>> {
        let line = self.lines.next(input)?;
        self.commands += 1;
        Some(line)
    }

    /// Answers and counts a command that is no command, or not here. False: it was
    /// one more than `limit`, and the session is over (which ends cross-protocol
    /// attacks, CVE-2021-3618).
    pub(super) fn bad_command(&mut self, limit: u32, why: Phrase, out: &mut Vec<u8>) -> bool {
        self.bad_commands = self.bad_commands.saturating_add(1);
        let is_forgiven = self.bad_commands <= limit;
        let phrase = if is_forgiven {
            why
        } else {
            Phrase::TooManyBadCommands
        };
        negative(out, self.voice, phrase);
        is_forgiven
    }

    /// RFC 6856 section 3.2: a language that nobody speaks here changes nothing.
    ///
    /// # Errors
    /// Where LANG is not offered: then nothing is answered yet.
    pub(super) fn lang(
        &mut self,
        range: Option<LanguageRange>,
        out: &mut Vec<u8>,
    ) -> Result<(), Phrase> {
        let preferred = self.settings.language.ok_or(Phrase::NotOffered)?;
        let language = match range {
            None => {
                languages(self.voice, out);
                return Ok(());
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
        Ok(())
    }

    /// What is offered now: as much as channel, settings and session can carry.
    pub(super) fn offered(&self) -> Mechanisms {
        self.channel
            .offered()
            .iter()
            .filter(|mechanism| match mechanism {
                Mechanism::CramMd5 => self.timestamp.is_some(),
                Mechanism::ScramSha1
                | Mechanism::ScramSha1Plus
                | Mechanism::ScramSha256
                | Mechanism::ScramSha256Plus => self.settings.mock_credentials.is_some(),
                _ => true,
            })
            .collect()
    }

    /// What is true now: USER, SASL, UTF8 and LANG wherever they are allowed (RFC
    /// 2449 section 5: what is announced before login is announced after it), STLS
    /// where it is "permitted in the current state" (RFC 2595 section 4).
    pub(super) fn capabilities(&self, state: State) -> Capabilities<'_> {
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

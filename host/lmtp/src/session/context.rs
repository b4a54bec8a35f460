//! What a session has in every state: its settings and channel, the lines that come,
//! and what is counted.

use std::sync::Arc;

use restante_lines::{Line, LineEnd, LineReader};

use crate::action::Summary;
use crate::client::Attributes;
use crate::command::{Command, NoCommand};
use crate::envelope::Terms;
use crate::fault::Fault;
use crate::reply::{self, Reply};
use crate::settings::{Channel, Settings};

const OK: Reply = Reply::new(250, "2.0.0", "OK");
const HELP: Reply = Reply::new(
    214,
    "2.0.0",
    "LHLO MAIL RCPT DATA BDAT RSET VRFY NOOP HELP QUIT: see RFC 2033",
);
/// RFC 5321 section 3.5.3.
const CANNOT_VERIFY: Reply = Reply::new(252, "2.0.0", "Not verified: RCPT says more");
const TOO_MANY_BAD_COMMANDS: Reply =
    Reply::new(421, "4.7.0", "Too many bad commands, closing connection");
const BAD_CHUNK: Reply = Reply::new(
    501,
    "5.5.4",
    "Syntax: BDAT octets [LAST]; cannot tell what follows, closing connection",
);

/// What a session has in every state.
pub(super) struct Context {
    pub(super) settings: Arc<Settings>,
    pub(super) channel: Channel,
    pub(super) client_name: Option<String>,
    /// What XFORWARD said for the next message.
    pub(super) forwarded: Option<Attributes>,
    pub(super) summary: Summary,
    /// Lines seen, good or bad.
    pub(super) commands: u64,
    bad_commands: u32,
    lines: LineReader,
}

impl Context {
    pub(super) fn new(settings: Arc<Settings>, channel: Channel) -> Self {
        let lines = line_reader(&settings);
        Context {
            settings,
            channel,
            client_name: None,
            forwarded: None,
            summary: Summary::default(),
            commands: 0,
            bad_commands: 0,
            lines,
        }
    }

    /// The session goes on with another client, or over another channel, as if nothing
    /// had been said.
    pub(super) fn begin_again(&mut self) {
        self.client_name = None;
        self.forwarded = None;
    }

    /// What came over the channel before is gone, a half line too.
    pub(super) fn change_channel(&mut self, channel: Channel) {
        self.channel = channel;
        self.lines = line_reader(&self.settings);
        self.begin_again();
    }

    /// The next line; None once the input is used up.
    pub(super) fn next_line<'a>(&mut self, input: &mut &'a [u8]) -> Option<Line<'a>> {
        let line = self.lines.next(input)?;
        self.commands += 1;
        Some(line)
    }

    /// What of MAIL is offered.
    pub(super) fn terms(&self) -> Terms {
        Terms {
            smtputf8: self.settings.smtputf8,
            chunking: self.settings.chunking,
            message_octets: self.settings.limits.message_octets,
        }
    }

    /// Answers a command that is not obeyed. False: it was one bad command more than
    /// are forgiven, and the session is over (which ends cross-protocol attacks,
    /// CVE-2021-3618).
    pub(super) fn fault(&mut self, fault: &Fault, out: &mut Vec<u8>) -> bool {
        if self.forgives(fault, out) {
            fault.reply.write(out);
            return true;
        }
        false
    }

    /// The same, but it is answered later if it is forgiven.
    pub(super) fn forgives(&mut self, fault: &Fault, out: &mut Vec<u8>) -> bool {
        self.bad_commands = self.bad_commands.saturating_add(u32::from(fault.is_bad));
        let is_forgiven = self.bad_commands <= self.settings.limits.bad_commands;
        if !is_forgiven {
            TOO_MANY_BAD_COMMANDS.write(out);
        }
        is_forgiven
    }

    /// LHLO: what was said before is void.
    pub(super) fn hello(&mut self, name: &str, out: &mut Vec<u8>) {
        self.begin_again();
        self.client_name = Some(name.to_owned());
        reply::capabilities(out, &self.settings, &self.channel);
    }
}

fn line_reader(settings: &Settings) -> LineReader {
    LineReader::new(settings.limits.effective_line_octets(), LineEnd::CrLf)
}

/// Reads a line.
pub(super) fn command<'l>(line: &'l Line<'_>) -> Result<Command<'l>, NoCommand> {
    match (line, line.octets()) {
        (_, Some(octets)) => Command::parse(octets),
        (Line::BareLineFeed, None) => Err(Fault::BARE_LINE_FEED.into()),
        (_, None) => Err(Fault::TOO_LONG.into()),
    }
}

/// 250.
pub(super) fn ok(out: &mut Vec<u8>) {
    OK.write(out);
}

/// HELP's answer.
pub(super) fn help(out: &mut Vec<u8>) {
    HELP.write(out);
}

/// VRFY's answer.
pub(super) fn cannot_verify(out: &mut Vec<u8>) {
    CANNOT_VERIFY.write(out);
}

/// QUIT's answer.
pub(super) fn goodbye(out: &mut Vec<u8>) {
    Reply::new(221, "2.0.0", "Goodbye").write(out);
}

/// The answer to a BDAT that cannot be followed.
pub(super) fn bad_chunk(out: &mut Vec<u8>) {
    BAD_CHUNK.write(out);
}

//! Plays a dialogue against one server, line for line: an answer for each line
//! that the client sends, how it ended, and what is left of the mail.

use std::fs;
use std::io::ErrorKind;
use std::sync::Arc;

use rustls::ClientConfig;

use super::outcome::{Outcome, Step};
use super::wire::{Answer, Wire, escaped};
use crate::dialogue::{Channel, Dialogue, Turn};
use crate::pair::Player;

/// Plays it to its end: a step for each line that the client sends, and as many
/// whatever the server does.
pub(crate) fn play(player: &dyn Player, dialogue: &Dialogue, tls: &Arc<ClientConfig>) -> Vec<Step> {
    let before = contents(player, dialogue);
    let mut session = Session {
        player,
        dialogue,
        tls,
        wire: None,
        stls: false,
        logged_in: false,
        marked: false,
        responds: false,
        partial: Vec::new(),
        steps: Vec::new(),
    };
    let greeting = session.connect();
    session.step("(connects)", greeting);
    for turn in &dialogue.turns {
        match turn {
            Turn::Send { octets, answered } => session.send(octets, *answered),
            Turn::StartTls => {
                let outcome = session.start_tls();
                session.step("(TLS)", outcome);
            }
        }
    }
    session.end();
    let mut steps = session.steps;
    steps.push(Step {
        sent: "(mail that is left)".into(),
        outcome: Outcome::Seen(left(&before, &contents(player, dialogue))),
    });
    steps
}

struct Session<'a> {
    player: &'a dyn Player,
    dialogue: &'a Dialogue,
    tls: &'a Arc<ClientConfig>,
    /// None when it is closed.
    wire: Option<Wire>,
    /// Whether the client said STLS on this connection or the one before.
    stls: bool,
    logged_in: bool,
    /// Whether a message is marked, or was: a new session could not go on.
    marked: bool,
    /// Whether the next line responds to a challenge.
    responds: bool,
    /// The front of a line that is not ended yet.
    partial: Vec<u8>,
    steps: Vec<Step>,
}

impl Session<'_> {
    /// A new connection, up to where the client was; its greeting.
    fn connect(&mut self) -> Outcome {
        let connected = Wire::connect(self.player.address()).and_then(|mut wire| {
            if self.dialogue.channel == Channel::Implicit {
                wire.start_tls(self.tls)?;
            }
            let greeting = wire.greeting();
            if self.stls {
                wire.send(b"STLS\r\n");
                wire.answer(b"STLS", false);
                wire.start_tls(self.tls)?;
            }
            if self.logged_in {
                let Dialogue { user, password, .. } = self.dialogue;
                for line in [format!("USER {user}\r\n"), format!("PASS {password}\r\n")] {
                    wire.send(line.as_bytes());
                    wire.answer(line.as_bytes(), false);
                }
            }
            Ok((wire, greeting))
        });
        match connected {
            Ok((wire, greeting)) => {
                self.wire = Some(wire);
                Outcome::Answer(greeting)
            }
            Err(error) => Outcome::Seen(format!("no connection: {error}")),
        }
    }

    fn step(&mut self, sent: &str, outcome: Outcome) {
        self.steps.push(Step {
            sent: sent.to_owned(),
            outcome,
        });
    }

    fn start_tls(&mut self) -> Outcome {
        self.responds = false;
        self.partial.clear();
        let Some(wire) = &mut self.wire else {
            return Outcome::Answer(Answer::Closed);
        };
        match wire.start_tls(self.tls) {
            Ok(()) => {
                self.stls = true;
                Outcome::Seen("done".into())
            }
            Err(error) => {
                self.wire = None;
                Outcome::Seen(match error.kind() {
                    ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset => "closed".into(),
                    _ => format!("failed: {error}"),
                })
            }
        }
    }

    /// Sends in one piece, and takes an answer for each line of it.
    fn send(&mut self, octets: &[u8], answered: bool) {
        if let Some(wire) = &mut self.wire {
            wire.send(octets);
        }
        let mut rest = octets;
        while let Some(end) = rest.iter().position(|&octet| octet == b'\n') {
            let (line, behind) = rest.split_at(end + 1);
            let said = [&self.partial[..], line].concat();
            let outcome = self.outcome(&said, rest, answered);
            let said_stls = said.trim_ascii().eq_ignore_ascii_case(b"STLS");
            let accepted = is_ok(&outcome);
            self.step(&shown(&said), outcome);
            self.partial.clear();
            rest = behind;
            if said_stls && accepted {
                // What is behind it was sent in the clear, to be lost.
                return;
            }
        }
        self.partial.extend(rest);
    }

    /// The answer to a line. Where the server closed although the dialogue goes
    /// on, the rest is said on a new connection.
    fn outcome(&mut self, line: &[u8], rest: &[u8], answered: bool) -> Outcome {
        let answer = self.answer(line);
        if answer != Answer::Closed || self.marked || self.responds || !answered {
            return Outcome::Answer(answer);
        }
        self.connect();
        if let Some(wire) = &mut self.wire {
            wire.send(rest);
        }
        Outcome::Anew(self.answer(line))
    }

    fn answer(&mut self, line: &[u8]) -> Answer {
        let Some(wire) = &mut self.wire else {
            return Answer::Closed;
        };
        let answer = wire.answer(line, self.responds);
        let keyword: String = shown(line).chars().take(4).collect();
        let ended_exchange = std::mem::take(&mut self.responds);
        match &answer {
            Answer::Challenge(_) => self.responds = true,
            Answer::Closed | Answer::Silence | Answer::Noise(_) => self.wire = None,
            Answer::Said { status, lines } => {
                self.marked |= status == "+OK" && keyword.eq_ignore_ascii_case("DELE");
                let login = ["PASS", "AUTH", "APOP"].contains(&&keyword.to_ascii_uppercase()[..]);
                self.logged_in |=
                    status.starts_with("+OK") && lines.is_none() && (login || ended_exchange);
            }
        }
        answer
    }

    /// Whether the connection is still open; then the client closes it. Half a
    /// line is left as it is: what is sent behind it would be its end.
    fn end(&mut self) {
        let ended = match &mut self.wire {
            None => "closed",
            Some(_) if !self.partial.is_empty() => "within a line",
            Some(wire) => {
                wire.send(b"NOOP\r\n");
                match wire.answer(b"NOOP", self.responds) {
                    Answer::Closed => "closed",
                    _ => "open",
                }
            }
        };
        self.step("(then)", Outcome::Seen(ended.into()));
        if let Some(wire) = self.wire.take() {
            wire.end();
        }
    }
}

fn is_ok(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Answer(Answer::Said { status, .. })
        | Outcome::Anew(Answer::Said { status, .. }) => status.starts_with("+OK"),
        _ => false,
    }
}

/// A line as it is shown: without CRLF, any other line end to be seen.
fn shown(line: &[u8]) -> String {
    escaped(line.strip_suffix(b"\r\n").unwrap_or(line))
}

/// The dialogue's name of each message that is there, and its octets.
fn contents(player: &dyn Player, dialogue: &Dialogue) -> Vec<(String, Vec<u8>)> {
    let files = player.maildir().files();
    files
        .iter()
        .map(|file| {
            let octets = fs::read(file).expect("a message can be read");
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            // A Maildir numbers its deliveries: SECOND.MnP1.HOST
            let number = name
                .split(['M', 'P'])
                .nth(1)
                .and_then(|number| number.parse::<usize>().ok());
            let mail = number.and_then(|number| dialogue.mail.get(number - 1));
            let id = mail.map_or_else(|| name.clone().into_owned(), |mail| mail.id.clone());
            (id, octets)
        })
        .collect()
}

fn left(before: &[(String, Vec<u8>)], after: &[(String, Vec<u8>)]) -> String {
    let words: Vec<String> = after
        .iter()
        .map(|message| match before.contains(message) {
            true => message.0.clone(),
            false => format!("{} (changed)", message.0),
        })
        .collect();
    match words[..] {
        [] => "nothing".into(),
        _ => words.join(" "),
    }
}

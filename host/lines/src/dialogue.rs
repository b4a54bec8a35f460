//! Conversations between a client and a server as text files, and the ways to cut
//! what the client sends: a protocol's answers must not depend on them.
//!
//! First directives, `key: value`, one a line; then a blank line; then what is said.
//! What directives mean is up to the protocol, but `about:`, which each dialogue
//! needs: the requirement that it shows.
//!
//! | line | says |
//! |---|---|
//! | `C: …` | the client sends this and CRLF |
//! | `c: …` | the client sends exactly this |
//! | `S: …` | the server sends this and CRLF |
//! | `=== TLS ===` | TLS is up; what the client said in the clear behind it is lost |
//!
//! `#` begins a comment line. Escapes are those of [`octets`]. `…` at the end of an
//! `S:` line stands for any human-readable text, which begins with no `[`.

mod escapes;

use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};

pub use escapes::{number, octets, text};

/// What a dialogue file says, whatever the protocol.
#[derive(Debug)]
pub struct Script {
    directives: Vec<(String, String)>,
    /// Until TLS is up, and then.
    segments: Vec<Vec<Turn>>,
}

#[derive(Debug)]
enum Turn {
    Client(Vec<u8>),
    Server(Expected),
}

#[derive(Debug)]
struct Expected {
    octets: Vec<u8>,
    /// Human-readable text may follow.
    any_text: bool,
}

/// A server that can be played with.
pub trait Player {
    /// Greets.
    fn greet(&mut self);
    /// Takes these octets of the client's.
    fn receive(&mut self, octets: &[u8]);
    /// What was left of a segment is lost.
    fn next_segment(&mut self);
    /// All that the server has said.
    fn wire(&self) -> &[u8];
}

/// How what the client sends is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Not at all.
    Whole,
    /// Octet by octet.
    Octets,
    /// In two, in one place.
    Split {
        /// In which segment.
        segment: usize,
        /// In front of which octet of it.
        octet: usize,
    },
}

impl Cut {
    fn chunks(self, segment: usize, octets: &[u8]) -> Vec<&[u8]> {
        match self {
            Cut::Octets => octets.chunks(1).collect(),
            Cut::Split { segment: at, octet } if at == segment => {
                let (one, two) = octets.split_at(octet);
                vec![one, two]
            }
            Cut::Whole | Cut::Split { .. } => vec![octets],
        }
    }
}

impl Script {
    /// Reads a dialogue.
    ///
    /// # Errors
    /// Which line is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (head, body) = text
            .split_once("\n\n")
            .ok_or("a blank line has to follow the directives")?;
        let mut directives = Vec::new();
        for line in head.lines().filter(|line| !line.starts_with('#')) {
            let (key, value) = line
                .split_once(": ")
                .ok_or_else(|| format!("not a directive: {line}"))?;
            directives.push((key.to_owned(), value.to_owned()));
        }
        if !directives.iter().any(|(key, _)| key == "about") {
            return Err("about: is missing".into());
        }
        let mut segments = vec![Vec::new()];
        for line in body.lines() {
            if line == "=== TLS ===" {
                segments.push(Vec::new());
            } else if !line.is_empty() && !line.starts_with('#') {
                let turn = turn(line).map_err(|why| format!("{why}: {line}"))?;
                segments.last_mut().expect("never without one").push(turn);
            }
        }
        Ok(Script {
            directives,
            segments,
        })
    }

    /// The directives in their order, `about` among them.
    pub fn directives(&self) -> impl Iterator<Item = (&str, &str)> {
        let directives = self.directives.iter();
        directives.map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// What the client sends: until TLS is up, and then.
    pub fn input(&self) -> Vec<Vec<u8>> {
        let client = |turn: &Turn| match turn {
            Turn::Client(octets) => octets.clone(),
            Turn::Server(_) => Vec::new(),
        };
        self.segments
            .iter()
            .map(|turns| turns.iter().flat_map(client).collect())
            .collect()
    }

    /// Plays it to its end.
    pub fn play<P: Player>(&self, mut player: P, cut: Cut) -> P {
        player.greet();
        for (index, segment) in self.input().iter().enumerate() {
            for chunk in cut.chunks(index, segment) {
                player.receive(chunk);
            }
            player.next_segment();
        }
        player
    }

    /// Whether these octets are what the server says in the whole dialogue.
    ///
    /// # Errors
    /// What it says instead.
    pub fn expect_output(&self, wire: &[u8]) -> Result<(), String> {
        let expected = self
            .segments
            .iter()
            .flatten()
            .filter_map(|turn| match turn {
                Turn::Server(expected) => Some(expected),
                Turn::Client(_) => None,
            });
        let rest = expected_at_front(expected, wire)?;
        if !rest.is_empty() {
            return Err(format!("said too much: {}", rest.escape_ascii()));
        }
        Ok(())
    }

    /// Whether each answer comes where it stands: before the client's next turn.
    ///
    /// # Errors
    /// Where it does not.
    pub fn expect_turns(&self, player: &mut impl Player) -> Result<(), String> {
        player.greet();
        let mut seen = 0;
        for turns in &self.segments {
            for turn in turns {
                match turn {
                    Turn::Client(octets) if seen == player.wire().len() => player.receive(octets),
                    Turn::Client(octets) => {
                        return Err(format!(
                            "before {} the server says {}",
                            octets.escape_ascii(),
                            player.wire()[seen..].escape_ascii()
                        ));
                    }
                    Turn::Server(expected) => {
                        let rest = expected_at_front([expected], &player.wire()[seen..])?.len();
                        seen = player.wire().len() - rest;
                    }
                }
            }
            player.next_segment();
        }
        Ok(())
    }

    /// Whether `play` ends as `whole` however the client's octets are cut: octet by
    /// octet, and in two at every place.
    ///
    /// # Errors
    /// Which way it does not.
    pub fn expect_same<E: PartialEq + Display>(
        &self,
        whole: &E,
        mut play: impl FnMut(Cut) -> E,
    ) -> Result<(), String> {
        let segments = self.input().into_iter().enumerate();
        let splits = segments.flat_map(|(segment, octets)| {
            (0..=octets.len()).map(move |octet| Cut::Split { segment, octet })
        });
        for cut in [Cut::Octets].into_iter().chain(splits) {
            let ending = play(cut);
            if ending != *whole {
                return Err(format!("{cut:?}:\n{ending}\nbut whole:\n{whole}"));
            }
        }
        Ok(())
    }
}

/// The dialogues of a folder, by their names.
///
/// # Panics
/// When it cannot be read.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .expect("a folder of dialogues")
        .map(|entry| entry.expect("a readable folder").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    files.sort();
    files
}

fn turn(line: &str) -> Result<Turn, String> {
    let (who, what) = match line.split_at_checked(2) {
        Some((who, what)) => (who, what.strip_prefix(' ').unwrap_or(what)),
        None => return Err("neither C: nor S:".into()),
    };
    Ok(match who {
        "C:" => Turn::Client([octets(what)?, b"\r\n".to_vec()].concat()),
        "c:" => Turn::Client(octets(what)?),
        "S:" => {
            let any_text = what.strip_suffix(" …");
            Turn::Server(Expected {
                octets: octets(any_text.unwrap_or(what))?,
                any_text: any_text.is_some(),
            })
        }
        _ => return Err("neither C: nor S:".into()),
    })
}

/// Takes what is expected off the front; the rest is returned.
fn expected_at_front<'a, 'w>(
    expected: impl IntoIterator<Item = &'a Expected>,
    wire: &'w [u8],
) -> Result<&'w [u8], String> {
    let mut rest = wire;
    for Expected { octets, any_text } in expected {
        let said = rest.strip_prefix(&octets[..]).and_then(|behind| {
            let end = behind.windows(2).position(|pair| pair == b"\r\n")?;
            let (text, behind) = (&behind[..end], &behind[end + 2..]);
            let fits = match text {
                [] => true,
                [b' ', first, ..] => *any_text && *first != b'[' && text.iter().all(printable),
                _ => false,
            };
            fits.then_some(behind)
        });
        rest = said.ok_or_else(|| {
            format!(
                "expected {}, got {}",
                octets.escape_ascii(),
                rest[..rest.len().min(200)].escape_ascii()
            )
        })?;
    }
    Ok(rest)
}

fn printable(octet: &u8) -> bool {
    matches!(octet, 0x20..=0x7e)
}

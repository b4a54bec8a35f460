//! A dialogue of host/pop3/tests/dialogues as two servers can play it: what the
//! client sends, and how the servers have to be set up. Its README.md there says
//! how it is written.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use restante_lines::dialogue as escapes;
use restante_tests::repository;

/// Mechanisms that both servers offer: those of a password file.
const MECHANISMS: [&str; 2] = ["PLAIN", "LOGIN"];
/// The shortest line that the configuration allows, in octets.
const SHORTEST_LINE: u32 = 255;

/// What both servers can play.
#[derive(Debug)]
pub(crate) struct Dialogue {
    /// The file's name without its ending.
    pub(crate) name: String,
    pub(crate) channel: Channel,
    /// Whether USER and PASS are allowed before TLS.
    pub(crate) plaintext: bool,
    pub(crate) user: String,
    pub(crate) password: String,
    /// Settings of `[server.limits]`, with their values.
    pub(crate) limits: Vec<(&'static str, String)>,
    pub(crate) mail: Vec<Mail>,
    pub(crate) turns: Vec<Turn>,
}

/// How the connection begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Channel {
    Clear,
    StartTls,
    Implicit,
}

#[derive(Debug)]
pub(crate) struct Mail {
    /// What the dialogue calls it.
    pub(crate) id: String,
    pub(crate) content: Vec<u8>,
}

/// What the client does next.
#[derive(Debug)]
pub(crate) enum Turn {
    /// It sends this, in one piece.
    Send {
        octets: Vec<u8>,
        /// Whether the dialogue goes on with an answer.
        answered: bool,
    },
    /// It begins TLS.
    StartTls,
}

/// Why a dialogue is left out; of several reasons, the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum LeftOut {
    Refusals,
    Pinned,
    Identities,
    Mechanisms,
    Channel,
    Unset,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            LeftOut::Refusals => {
                "A store or an authenticator must fail on command, and neither server has one that does."
            }
            LeftOut::Pinned => {
                "The exchange depends on a timestamp, a nonce or a channel binding that the dialogue fixes, and both servers choose their own."
            }
            LeftOut::Identities => {
                "The login is by a token, a certificate or the right to act as another user, for which the two servers have no common setup."
            }
            LeftOut::Mechanisms => {
                "It is about mechanisms that need more than a password file, or about having none."
            }
            LeftOut::Channel => {
                "USER and PASS are refused under TLS, which neither server can be set to."
            }
            LeftOut::Unset => {
                "It is about an extension that one of the two servers always offers, or cannot offer."
            }
        })
    }
}

/// All dialogues, by name.
pub(crate) fn all() -> (Vec<Dialogue>, BTreeMap<LeftOut, Vec<String>>) {
    let folder = repository().join("host/pop3/tests/dialogues");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("the dialogues are in the checkout")
        .map(|entry| entry.expect("a readable folder").path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "txt"))
        .collect();
    files.sort();
    let mut dialogues = Vec::new();
    let mut left_out: BTreeMap<LeftOut, Vec<String>> = BTreeMap::new();
    for file in files {
        let name = name(&file);
        let text = std::fs::read_to_string(&file).expect("a dialogue is UTF-8");
        match read(&name, &text).unwrap_or_else(|why| panic!("{name}: {why}")) {
            Ok(dialogue) => dialogues.push(dialogue),
            Err(why) => left_out.entry(why).or_default().push(name),
        }
    }
    (dialogues, left_out)
}

fn name(file: &Path) -> String {
    let stem = file.file_stem().expect("a file has a name");
    stem.to_string_lossy().into_owned()
}

/// The dialogue, or why both servers cannot play it; the outer error is a
/// mistake in the file.
fn read(name: &str, text: &str) -> Result<Result<Dialogue, LeftOut>, String> {
    let (head, body) = text.split_once("\n\n").ok_or("no blank line")?;
    let directives: Vec<(&str, &str)> = head
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split_once(": ").ok_or_else(|| line.to_owned()))
        .collect::<Result<_, _>>()?;
    let lines = lines(body)?;
    if let Some(why) = directives
        .iter()
        .filter_map(|(key, value)| unsuited(key, value))
        .min()
        .or_else(|| unsuited_mechanisms(&directives, &lines))
    {
        return Ok(Err(why));
    }
    let value = |wanted: &str| {
        let found = directives.iter().find(|(key, _)| *key == wanted);
        found.map(|(_, value)| *value)
    };
    let words: Vec<&str> = value("channel")
        .unwrap_or("tls plaintext")
        .split(' ')
        .collect();
    let (user, password) = match value("account") {
        None => ("mrose".to_owned(), "secret".to_owned()),
        Some(account) => {
            let (user, password) = account.split_once(' ').ok_or("no password")?;
            (escapes::text(user)?, escapes::text(password)?)
        }
    };
    Ok(Ok(Dialogue {
        name: name.to_owned(),
        channel: match () {
            () if words.contains(&"tls") => Channel::Implicit,
            () if words.contains(&"starttls") => Channel::StartTls,
            () => Channel::Clear,
        },
        plaintext: words.contains(&"plaintext"),
        user,
        password,
        limits: value("limits").map_or(Ok(Vec::new()), limits)?,
        mail: directives
            .iter()
            .filter(|(key, _)| *key == "mail")
            .map(|(_, value)| mail(value))
            .collect::<Result<_, _>>()?,
        turns: turns(&lines),
    }))
}

/// Why a directive cannot be had from both servers.
fn unsuited(key: &str, value: &str) -> Option<LeftOut> {
    match key {
        "at-login" | "at-scram" | "at-retrieve" | "at-update" => Some(LeftOut::Refusals),
        "timestamp" | "nonce" | "binding" | "digest" | "scram" | "mock_credentials" => {
            Some(LeftOut::Pinned)
        }
        "token" | "certificate" | "acts-as" => Some(LeftOut::Identities),
        "utf8" | "utf8-mail" | "expire" | "login-delay" | "policy" => Some(LeftOut::Unset),
        // What the server has for everybody.
        "language" if value != "en" => Some(LeftOut::Unset),
        "channel" | "channel-after-tls"
            if value.split(' ').any(|word| word == "tls") && !value.contains("plaintext") =>
        {
            Some(LeftOut::Channel)
        }
        _ => None,
    }
}

/// Whether AUTH is answered as only a server with other mechanisms can.
fn unsuited_mechanisms(directives: &[(&str, &str)], lines: &[Line]) -> Option<LeftOut> {
    let mechanisms = directives.iter().find(|(key, _)| *key == "mechanisms");
    let in_the_clear = directives
        .iter()
        .any(|(key, value)| *key == "channel" && !value.split(' ').any(|word| word == "tls"));
    for (at, line) in lines.iter().enumerate() {
        let Line::Client(octets) = line else { continue };
        let said = String::from_utf8_lossy(octets).to_ascii_uppercase();
        let Some(argument) = said.strip_prefix("AUTH") else {
            continue;
        };
        let mut answer = lines[at + 1..].iter().map_while(|line| match line {
            Line::Server(line) => Some(line.as_str()),
            _ => None,
        });
        let refused = answer
            .next()
            .is_some_and(|status| status.starts_with("-ERR"));
        let suits = match (argument.split_whitespace().next(), mechanisms) {
            (_, None) => false,
            (None, Some(_)) => answer.all(|line| line == "." || MECHANISMS.contains(&line)),
            (Some(named), Some((_, offered))) => {
                MECHANISMS.contains(&named)
                    || refused && (in_the_clear || !offered.split(' ').any(|name| name == named))
            }
        };
        if !suits {
            return Some(LeftOut::Mechanisms);
        }
    }
    None
}

fn limits(value: &str) -> Result<Vec<(&'static str, String)>, String> {
    let mut limits = Vec::new();
    for limit in value.split(' ') {
        let (name, value) = limit.split_once('=').ok_or("name=number")?;
        let value = number(value)?;
        limits.push(match name {
            "line-octets" => ("max-line", format!("\"{}B\"", value.max(SHORTEST_LINE))),
            "bad-before" => ("bad-commands-before-login", value.to_string()),
            "bad-after" => ("bad-commands-after-login", value.to_string()),
            "login-failures" => ("login-failures", value.to_string()),
            _ => return Err(format!("unknown limit {name}")),
        });
    }
    Ok(limits)
}

fn mail(value: &str) -> Result<Mail, String> {
    let mut parts = value.splitn(3, ' ');
    let (Some(id), Some(_octets)) = (parts.next(), parts.next()) else {
        return Err("mail: ID OCTETS CONTENT".into());
    };
    Ok(Mail {
        id: id.to_owned(),
        content: escapes::octets(parts.next().unwrap_or_default())?,
    })
}

/// What is said, line by line.
enum Line {
    Client(Vec<u8>),
    Server(String),
    Tls,
}

fn lines(body: &str) -> Result<Vec<Line>, String> {
    let mut lines = Vec::new();
    for line in body.lines() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if line == "=== TLS ===" {
            lines.push(Line::Tls);
            continue;
        }
        let (who, what) = line.split_at_checked(2).ok_or("neither C: nor S:")?;
        let what = what.strip_prefix(' ').unwrap_or(what);
        lines.push(match who {
            "C:" => Line::Client([escapes::octets(what)?, b"\r\n".to_vec()].concat()),
            "c:" => Line::Client(escapes::octets(what)?),
            "S:" => Line::Server(what.to_owned()),
            _ => return Err(format!("neither C: nor S: {line}")),
        });
    }
    Ok(lines)
}

fn turns(lines: &[Line]) -> Vec<Turn> {
    let mut turns: Vec<Turn> = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        match line {
            Line::Server(_) => {}
            Line::Tls => turns.push(Turn::StartTls),
            Line::Client(octets) => {
                let lost = lines[at + 1..]
                    .iter()
                    .find(|line| !matches!(line, Line::Client(_)));
                let stls = turns.last_mut().filter(|_| matches!(lost, Some(Line::Tls)));
                match stls {
                    // Behind STLS, and to be lost: in the same segment, or it
                    // would disturb the handshake.
                    Some(Turn::Send { octets: stls, .. }) => stls.extend(octets),
                    _ => turns.push(Turn::Send {
                        octets: octets.clone(),
                        answered: matches!(lines.get(at + 1), Some(Line::Server(_))),
                    }),
                }
            }
        }
    }
    turns
}

fn number(value: &str) -> Result<u32, String> {
    value.parse().map_err(|_| format!("{value} is no number"))
}

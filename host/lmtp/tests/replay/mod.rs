//! Reads dialogues and plays them: a session, and a driver that answers its actions
//! as the dialogue's directives say. How a dialogue is written: `dialogues/README.md`.

mod driver;

use std::fmt;

use restante_lines::dialogue::{Script, number, octets};
use restante_lmtp::{BareLineEnds, Channel, Close, Reason, Refusal, Settings, TurnAway};

pub(crate) use driver::Replay;

/// A dialogue file, read.
pub(crate) struct Dialogue {
    /// Who says what.
    pub(crate) script: Script,
    settings: Settings,
    channel: Channel,
    channel_after_tls: Channel,
    at_mail: Option<Refusal>,
    at_message: Option<Refusal>,
    /// The driver refuses a message once so many of its octets have come.
    at_octets: Option<(u64, Refusal)>,
    at_client: Option<Refusal>,
    /// Recipients that are refused, and how.
    at_recipient: Vec<(String, Refusal)>,
    /// Recipients that are refused once the message is whole.
    at_delivery: Vec<(String, Refusal)>,
    turned_away: Option<TurnAway>,
    /// What the driver is handed, a line each.
    told: Vec<String>,
    ends: String,
}

impl Dialogue {
    /// Reads a dialogue; errors say which line is wrong.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let script = Script::parse(text)?;
        let mut dialogue = Dialogue {
            settings: Settings {
                host_name: "mx.example.com".into(),
                ..Settings::default()
            },
            channel: Channel::default(),
            channel_after_tls: channel("tls")?,
            at_mail: None,
            at_message: None,
            at_octets: None,
            at_client: None,
            at_recipient: Vec::new(),
            at_delivery: Vec::new(),
            turned_away: None,
            told: Vec::new(),
            ends: "open".into(),
            script,
        };
        let directives = dialogue.script.directives();
        let directives = directives.map(|(key, value)| (key.to_owned(), value.to_owned()));
        for (key, value) in directives.collect::<Vec<_>>() {
            dialogue
                .directive(&key, &value)
                .map_err(|why| format!("{why}: {key}: {value}"))?;
        }
        Ok(dialogue)
    }

    fn directive(&mut self, key: &str, value: &str) -> Result<(), String> {
        match key {
            "about" => {}
            "channel" => self.channel = channel(value)?,
            "channel-after-tls" => self.channel_after_tls = channel(value)?,
            "limits" => self.limits(value)?,
            "offers" => {
                for word in value.split(' ') {
                    match word {
                        "no-smtputf8" => self.settings.smtputf8 = false,
                        "no-chunking" => self.settings.chunking = false,
                        _ => return Err(format!("no offer is {word}")),
                    }
                }
            }
            "bare-line-ends" => {
                self.settings.bare_line_ends = match value {
                    "keep" => BareLineEnds::Keep,
                    "refuse" => BareLineEnds::Refuse,
                    _ => return Err("keep or refuse".into()),
                }
            }
            "at-mail" => self.at_mail = Some(refusal(value)?),
            "at-message" => self.at_message = Some(refusal(value)?),
            "at-client" => self.at_client = Some(refusal(value)?),
            "at-octets" => {
                let (octets, value) = value.split_once(' ').ok_or("a reason is missing")?;
                self.at_octets = Some((number(octets)?, refusal(value)?));
            }
            "at-recipient" => self.at_recipient.push(about(value)?),
            "at-delivery" => self.at_delivery.push(about(value)?),
            "turned-away" => {
                self.turned_away = Some(match value {
                    "going-down" => TurnAway::GoingDown,
                    "too-many-connections" => TurnAway::TooManyConnections,
                    "timeout" => TurnAway::Timeout,
                    _ => return Err("nobody is turned away for that".into()),
                });
            }
            "told" => self.told.push(value.to_owned()),
            "ends" => self.ends = value.to_owned(),
            _ => return Err("no such directive".into()),
        }
        Ok(())
    }

    fn limits(&mut self, value: &str) -> Result<(), String> {
        let limits = &mut self.settings.limits;
        for limit in value.split(' ') {
            let (name, value) = limit.split_once('=').ok_or("a limit is name=number")?;
            match name {
                "line-octets" => limits.line_octets = number(value)?,
                "recipients" => limits.recipients = number(value)?,
                "message-octets" => limits.message_octets = number(value)?,
                "bad-commands" => limits.bad_commands = number(value)?,
                _ => return Err(format!("unknown limit {name}")),
            }
        }
        Ok(())
    }

    /// Whether what the driver was told and the close are as the directives say.
    pub(crate) fn expect_ending(&self, ending: &Ending) -> Result<(), String> {
        if ending.told != self.told {
            let (told, expected) = (ending.told.join("\n"), self.told.join("\n"));
            return Err(format!(
                "the driver was told:\n{told}\nand not:\n{expected}"
            ));
        }
        let closed = match ending.closed {
            None => "open",
            Some(Close::Quit) => "quit",
            Some(Close::BadCommands) => "bad-commands",
            Some(Close::BadChunk) => "bad-chunk",
            Some(Close::TurnedAway) => "turned-away",
        };
        if closed != self.ends {
            return Err(format!("ends with {closed} instead of {}", self.ends));
        }
        Ok(())
    }
}

/// How a replay ended, and everything that was said.
#[derive(PartialEq)]
pub(crate) struct Ending {
    pub(crate) wire: Vec<u8>,
    pub(crate) told: Vec<String>,
    pub(crate) closed: Option<Close>,
}

impl fmt::Display for Ending {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ending { wire, told, closed } = self;
        write!(
            out,
            "{}\ntold {told:#?}, closed {closed:?}",
            wire.escape_ascii()
        )
    }
}

fn channel(words: &str) -> Result<Channel, String> {
    let mut channel = Channel::default();
    for word in words.split(' ') {
        match word {
            "tls" => channel.tls = true,
            "starttls" => channel.starttls = true,
            "tls-required" => channel.tls_required = true,
            "xclient" => channel.xclient = true,
            "xforward" => channel.xforward = true,
            "none" => {}
            _ => return Err(format!("no channel is {word}")),
        }
    }
    Ok(channel)
}

/// `ADDRESS REASON TEXT`
fn about(value: &str) -> Result<(String, Refusal), String> {
    let (address, value) = value.split_once(' ').ok_or("a reason is missing")?;
    Ok((address.to_owned(), refusal(value)?))
}

/// `REASON TEXT`, the reason by its enhanced status code.
fn refusal(value: &str) -> Result<Refusal, String> {
    let (status, words) = value.split_once(' ').unwrap_or((value, ""));
    let mut reasons = Reason::ALL.into_iter();
    let reason = reasons.find(|reason| Refusal::from(*reason).status() == status);
    let words = String::from_utf8(octets(words)?).map_err(|error| error.to_string())?;
    Ok(Refusal::new(reason.ok_or("no such reason")?, &words))
}

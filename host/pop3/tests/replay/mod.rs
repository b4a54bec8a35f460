//! Reads dialogues and plays them: a session, and a driver that answers its
//! actions as the dialogue's directives say.

mod credentials;
mod driver;

use std::fmt;

use restante_lines::dialogue::{self, Script, octets, text};
use restante_pop3::{
    ByUser, Channel, ChannelBinding, Close, Mechanism, Mechanisms, MockCredentials, Refusal,
    Retention, ScramNonce, Settings, Timestamp,
};

use credentials::Accepted;
pub(crate) use driver::Replay;

/// A dialogue file, read.
pub(crate) struct Dialogue {
    /// Who says what.
    pub(crate) script: Script,
    settings: Settings,
    channel: Channel,
    channel_after_tls: Channel,
    mail: Vec<Mail>,
    timestamp: Option<Timestamp>,
    nonce: Option<ScramNonce>,
    credentials: Accepted,
    /// What the driver says of the user at login: EXPIRE and LOGIN-DELAY.
    policy: Option<(Retention, u32)>,
    /// Messages that only a client may see who said UTF8.
    utf8_mail: Vec<u32>,
    /// Why logins fail within their exchanges.
    causes: String,
    at_login: Vec<Refusal>,
    at_scram: Option<Refusal>,
    at_retrieve: Vec<(u32, Refusal)>,
    at_update: Option<Refusal>,
    removes: Option<Vec<u32>>,
    ends: String,
}

struct Mail {
    id: String,
    octets: u64,
    content: Vec<u8>,
}

impl Dialogue {
    /// Reads a dialogue; errors say which line is wrong.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let script = Script::parse(text)?;
        let mut dialogue = Dialogue {
            script,
            settings: Settings::default(),
            channel: channel("tls plaintext")?,
            channel_after_tls: channel("tls plaintext")?,
            mail: Vec::new(),
            timestamp: None,
            nonce: None,
            credentials: Accepted::default(),
            policy: None,
            utf8_mail: Vec::new(),
            causes: String::new(),
            at_login: Vec::new(),
            at_scram: None,
            at_retrieve: Vec::new(),
            at_update: None,
            removes: None,
            ends: "open".into(),
        };
        let directives = dialogue.script.directives();
        let directives = directives.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let mut directives: Vec<_> = directives.collect();
        // The channels first: other directives add to them.
        directives.sort_by_key(|(key, _)| !key.starts_with("channel"));
        for (key, value) in directives {
            dialogue
                .directive(&key, &value)
                .map_err(|why| format!("{why}: {key}: {value}"))?;
        }
        if dialogue.channel.tls {
            dialogue.channel.binding = dialogue.channel_after_tls.binding.clone();
        }
        Ok(dialogue)
    }

    fn directive(&mut self, key: &str, value: &str) -> Result<(), String> {
        match key {
            "about" => {}
            "channel" => self.channel = channel(value)?,
            "channel-after-tls" => self.channel_after_tls = channel(value)?,
            "greeting" => self.settings.greeting = text(value)?,
            "implementation" => self.settings.implementation = Some(text(value)?),
            "limits" => self.limits(value)?,
            "mail" => self.mail.push(mail(value)?),
            "mechanisms" => self.mechanisms(value)?,
            "binding" => self.channel_after_tls.binding = Some(binding(value)?),
            "timestamp" => {
                let (unique, host) = value.split_once('@').ok_or("unique@host")?;
                let timestamp = Timestamp::new(unique, host);
                self.timestamp = Some(timestamp.map_err(|error| error.to_string())?);
            }
            "nonce" => {
                let nonce = ScramNonce::new(value).map_err(|error| error.to_string())?;
                self.nonce = Some(nonce);
            }
            "mock-credentials" => {
                let (iterations, salt) = value.split_once(' ').ok_or("a length is missing")?;
                let mock_credentials =
                    MockCredentials::new([7; 32], number(iterations)?, number(salt)? as usize);
                self.settings.mock_credentials = Some(mock_credentials);
            }
            "utf8" => self.settings.utf8 = value == "offered",
            "utf8-mail" => self.utf8_mail.push(number(value)?),
            "language" => {
                let language = restante_pop3::Language::matching(value);
                self.settings.language = Some(language.ok_or("no such language")?);
            }
            "expire" => self.settings.expire = Some(by_user(value, retention)?),
            "login-delay" => self.settings.login_delay_seconds = Some(by_user(value, number)?),
            "policy" => {
                let (expire, delay) = value.split_once(' ').ok_or("a delay is missing")?;
                self.policy = Some((retention(expire)?, number(delay)?));
            }
            "scope" => self.settings.discovery.scope = Some(text(value)?),
            "openid-configuration" => {
                self.settings.discovery.openid_configuration = Some(text(value)?);
            }
            "causes" => self.causes = value.into(),
            "at-scram" => self.at_scram = Some(refusal(value)?),
            "at-login" => self.at_login.push(refusal(value)?),
            "at-retrieve" => {
                let (message, value) = value.split_once(' ').ok_or("a code is missing")?;
                self.at_retrieve.push((number(message)?, refusal(value)?));
            }
            "at-update" => self.at_update = Some(refusal(value)?),
            "removes" if value == "nothing" => self.removes = Some(Vec::new()),
            "removes" => {
                let messages = value.split(' ').map(number);
                self.removes = Some(messages.collect::<Result<_, _>>()?);
            }
            "ends" => self.ends = value.into(),
            _ => return self.credentials.directive(key, value),
        }
        Ok(())
    }

    fn mechanisms(&mut self, value: &str) -> Result<(), String> {
        let named = |name| {
            let mut all = Mechanism::ALL.into_iter();
            let mechanism = all.find(|mechanism| mechanism.name() == name);
            mechanism.ok_or_else(|| format!("no mechanism is {name}"))
        };
        let mechanisms: Mechanisms = match value {
            "all" => Mechanism::ALL.into_iter().collect(),
            names => names.split(' ').map(named).collect::<Result<_, _>>()?,
        };
        self.channel.mechanisms = mechanisms;
        self.channel_after_tls.mechanisms = mechanisms;
        Ok(())
    }

    fn limits(&mut self, value: &str) -> Result<(), String> {
        let limits = &mut self.settings.limits;
        for limit in value.split(' ') {
            let (name, value) = limit.split_once('=').ok_or("a limit is name=number")?;
            let value = number(value)?;
            match name {
                "line-octets" => limits.line_octets = value as usize,
                "bad-before" => limits.bad_commands_before_login = value,
                "bad-after" => limits.bad_commands_after_login = value,
                "login-failures" => limits.login_failures = value,
                _ => return Err(format!("unknown limit {name}")),
            }
        }
        Ok(())
    }

    /// Whether removal and close are as the directives say.
    pub(crate) fn expect_ending(&self, ending: &Ending) -> Result<(), String> {
        if ending.removes != self.removes {
            let Ending { removes, .. } = ending;
            return Err(format!("removes {removes:?} instead of {:?}", self.removes));
        }
        let closed = match ending.closed {
            None => "open",
            Some(Close::Quit) => "quit",
            Some(Close::UpdateFailed) => "update-failed",
            Some(Close::BadCommands) => "bad-commands",
            Some(Close::LoginFailures) => "login-failures",
            Some(Close::TurnedAway) => "turned-away",
        };
        if closed != self.ends {
            return Err(format!("ends with {closed} instead of {}", self.ends));
        }
        let causes = ending.causes.join(", ");
        if causes != self.causes {
            return Err(format!("logins fail for {causes}, not for {}", self.causes));
        }
        Ok(())
    }
}

/// How a replay ended, and everything the server said.
#[derive(PartialEq)]
pub(crate) struct Ending {
    pub(crate) wire: Vec<u8>,
    pub(crate) removes: Option<Vec<u32>>,
    pub(crate) closed: Option<Close>,
    pub(crate) causes: Vec<String>,
}

impl fmt::Display for Ending {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ending {
            wire,
            removes,
            closed,
            causes,
        } = self;
        write!(
            out,
            "{}\nremoves {removes:?}, closed {closed:?}, causes {causes:?}",
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
            "plaintext" => channel.plaintext_login = true,
            "apop" => channel.apop = true,
            "none" => {}
            _ => return Err(format!("no channel is {word}")),
        }
    }
    Ok(channel)
}

/// `exporter=OCTETS unique=OCTETS`
fn binding(value: &str) -> Result<ChannelBinding, String> {
    let mut binding = ChannelBinding::default();
    for part in value.split(' ') {
        let (name, value) = part.split_once('=').ok_or("a binding is name=octets")?;
        let value = Some(octets(value)?);
        match name {
            "exporter" => binding.exporter = value,
            "unique" => binding.unique = value,
            "server-end-point" => binding.server_end_point = value,
            _ => return Err(format!("no binding is {name}")),
        }
    }
    Ok(binding)
}

/// `VALUE` or `VALUE USER`
fn by_user<T>(value: &str, read: impl Fn(&str) -> Result<T, String>) -> Result<ByUser<T>, String> {
    let general = value.strip_suffix(" USER");
    Ok(ByUser {
        general: read(general.unwrap_or(value))?,
        differs: general.is_some(),
    })
}

fn retention(value: &str) -> Result<Retention, String> {
    match value {
        "NEVER" => Ok(Retention::Never),
        days => number(days).map(Retention::Days),
    }
}

/// Counts the octets again, so that a slip of the author's pen is found.
fn mail(value: &str) -> Result<Mail, String> {
    let mut parts = value.splitn(3, ' ');
    let (Some(id), Some(counted)) = (parts.next(), parts.next()) else {
        return Err("mail: ID OCTETS CONTENT".into());
    };
    let content = octets(parts.next().unwrap_or_default())?;
    let counted: u64 = number(counted)?.into();
    let mut octets = 0;
    for (index, octet) in content.iter().enumerate() {
        let bare = *octet == b'\n' && (index == 0 || content[index - 1] != b'\r');
        octets += if bare { 2 } else { 1 };
    }
    if !content.is_empty() && !content.ends_with(b"\n") {
        octets += 2;
    }
    if octets != counted {
        return Err(format!("{octets} octets, not {counted}"));
    }
    Ok(Mail {
        id: id.into(),
        octets,
        content,
    })
}

fn refusal(value: &str) -> Result<Refusal, String> {
    let (code, words) = value.split_once(' ').unwrap_or((value, ""));
    let code = match code {
        "-" => None,
        code => Some(code.parse().map_err(|error| format!("{code}: {error}"))?),
    };
    Ok(Refusal::new(code, &text(words)?))
}

fn number(value: &str) -> Result<u32, String> {
    dialogue::number(value)
}

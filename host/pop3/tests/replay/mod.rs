//! Reads dialogues and plays them: a session, and a driver that answers its
//! actions as the dialogue's directives say.

use std::fmt;
use std::sync::Arc;

use restante_pop3::{
    Action, Channel, Close, Listing, Login, Maildrop, Refusal, Session, Settings, Step, Stuffing,
};

/// A dialogue file, read.
pub(crate) struct Dialogue {
    settings: Settings,
    channel: Channel,
    channel_after_tls: Channel,
    mail: Vec<Mail>,
    account: (String, String),
    at_login: Vec<Refusal>,
    at_retrieve: Vec<(u32, Refusal)>,
    at_update: Option<Refusal>,
    removes: Option<Vec<u32>>,
    ends: String,
    segments: Vec<Vec<Turn>>,
}

struct Mail {
    id: String,
    octets: u64,
    content: Vec<u8>,
}

enum Turn {
    Client(Vec<u8>),
    Server(Expected),
}

struct Expected {
    octets: Vec<u8>,
    /// Human-readable text may follow.
    any_text: bool,
}

impl Dialogue {
    /// Reads a dialogue; errors say which line is wrong.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (head, body) = text
            .split_once("\n\n")
            .ok_or("a blank line has to follow the directives")?;
        let mut dialogue = Dialogue {
            settings: Settings::default(),
            channel: channel("tls plaintext")?,
            channel_after_tls: channel("tls plaintext")?,
            mail: Vec::new(),
            account: ("mrose".into(), "secret".into()),
            at_login: Vec::new(),
            at_retrieve: Vec::new(),
            at_update: None,
            removes: None,
            ends: "open".into(),
            segments: vec![Vec::new()],
        };
        let mut about = false;
        for line in head.lines().filter(|line| !line.starts_with('#')) {
            let (key, value) = line
                .split_once(": ")
                .ok_or_else(|| format!("not a directive: {line}"))?;
            about |= key == "about";
            dialogue
                .directive(key, value)
                .map_err(|why| format!("{why}: {line}"))?;
        }
        if !about {
            return Err("about: is missing".into());
        }
        for line in body.lines() {
            dialogue
                .said(line)
                .map_err(|why| format!("{why}: {line}"))?;
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
            "account" => {
                let (user, password) = value.split_once(' ').ok_or("a password is missing")?;
                self.account = (text(user)?, text(password)?);
            }
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
            _ => return Err("unknown directive".into()),
        }
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

    fn said(&mut self, line: &str) -> Result<(), String> {
        if line.is_empty() || line.starts_with('#') {
            return Ok(());
        }
        if line == "=== TLS ===" {
            self.segments.push(Vec::new());
            return Ok(());
        }
        let (who, what) = match line.split_at_checked(2) {
            Some((who, what)) => (who, what.strip_prefix(' ').unwrap_or(what)),
            None => return Err("neither C: nor S:".into()),
        };
        let turn = match who {
            "C:" => Turn::Client([octets(what)?, b"\r\n".to_vec()].concat()),
            "c:" => Turn::Client(octets(what)?),
            "S:" => Turn::Server(expected(what)?),
            _ => return Err("neither C: nor S:".into()),
        };
        self.segments
            .last_mut()
            .expect("never without a segment")
            .push(turn);
        Ok(())
    }

    /// What the client sends: until TLS is up, and then.
    pub(crate) fn input(&self) -> Vec<Vec<u8>> {
        let client = |turn: &Turn| match turn {
            Turn::Client(octets) => octets.clone(),
            Turn::Server(_) => Vec::new(),
        };
        self.segments
            .iter()
            .map(|turns| turns.iter().flat_map(client).collect())
            .collect()
    }

    /// Whether these octets are what the server says in the whole dialogue.
    pub(crate) fn expect_output<'a>(&'a self, wire: &[u8]) -> Result<(), String> {
        let server = |turn: &'a Turn| match turn {
            Turn::Server(expected) => Some(expected),
            Turn::Client(_) => None,
        };
        let expected = self.segments.iter().flatten().filter_map(server);
        let rest = expected_at_front(expected, wire)?;
        if !rest.is_empty() {
            return Err(format!("said too much: {}", rest.escape_ascii()));
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
        };
        if closed != self.ends {
            return Err(format!("ends with {closed} instead of {}", self.ends));
        }
        Ok(())
    }

    /// Whether each answer comes where it stands: before the client's next turn.
    pub(crate) fn expect_turns(&self) -> Result<(), String> {
        let mut replay = Replay::new(self);
        replay.greet();
        let mut seen = 0;
        for turns in &self.segments {
            for turn in turns {
                match turn {
                    Turn::Client(octets) if seen == replay.wire.len() => replay.receive(octets),
                    Turn::Client(octets) => {
                        return Err(format!(
                            "before {} the server says {}",
                            octets.escape_ascii(),
                            replay.wire[seen..].escape_ascii()
                        ));
                    }
                    Turn::Server(expected) => {
                        let rest = expected_at_front([expected], &replay.wire[seen..])?;
                        seen = replay.wire.len() - rest.len();
                    }
                }
            }
            replay.next_segment();
        }
        Ok(())
    }
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

/// How a replay ended, and everything the server said.
#[derive(PartialEq)]
pub(crate) struct Ending {
    pub(crate) wire: Vec<u8>,
    pub(crate) removes: Option<Vec<u32>>,
    pub(crate) closed: Option<Close>,
}

impl fmt::Display for Ending {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ending {
            wire,
            removes,
            closed,
        } = self;
        write!(
            out,
            "{}\nremoves {removes:?}, closed {closed:?}",
            wire.escape_ascii()
        )
    }
}

/// A session and its driver.
pub(crate) struct Replay<'a> {
    dialogue: &'a Dialogue,
    session: Session,
    wire: Vec<u8>,
    out: Vec<u8>,
    logins: usize,
    removes: Option<Vec<u32>>,
    closed: Option<Close>,
    /// STLS was accepted: what else comes in this segment is lost.
    deaf: bool,
}

impl<'a> Replay<'a> {
    pub(crate) fn new(dialogue: &'a Dialogue) -> Self {
        let settings = Arc::new(dialogue.settings.clone());
        Replay {
            dialogue,
            session: Session::new(settings, dialogue.channel),
            wire: Vec::new(),
            out: Vec::new(),
            logins: 0,
            removes: None,
            closed: None,
            deaf: false,
        }
    }

    /// The same with another high-water mark.
    pub(crate) fn with_output_octets(mut self, octets: usize) -> Self {
        let mut settings = self.dialogue.settings.clone();
        settings.limits.output_octets = octets;
        self.session = Session::new(Arc::new(settings), self.dialogue.channel);
        self
    }

    /// Plays it all, each segment in the chunks that `cut` makes of it.
    pub(crate) fn run(mut self, mut cut: impl FnMut(&[u8]) -> Vec<&[u8]>) -> Ending {
        self.greet();
        for segment in self.dialogue.input() {
            for chunk in cut(&segment) {
                self.receive(chunk);
            }
            self.next_segment();
        }
        Ending {
            wire: self.wire,
            removes: self.removes,
            closed: self.closed,
        }
    }

    fn greet(&mut self) {
        self.session.greet(&mut self.out);
        self.flush();
    }

    fn next_segment(&mut self) {
        self.deaf = false;
    }

    fn flush(&mut self) {
        self.wire.append(&mut self.out);
    }

    fn receive(&mut self, chunk: &[u8]) {
        let mut input = chunk;
        while self.closed.is_none() && !self.deaf {
            match self.session.step(&mut input, &mut self.out) {
                Step::Read => {
                    assert!(input.is_empty(), "Read with input left");
                    break;
                }
                Step::Flush => assert!(!self.out.is_empty(), "Flush with nothing to write"),
                Step::Act(action) => self.act(action),
                Step::Close(close) => self.closed = Some(close),
            }
            self.flush();
        }
        self.flush();
        // A session that is over stays over, without a word more.
        if let Some(close) = self.closed {
            let again = self.session.step(&mut input, &mut self.out);
            assert!(matches!(again, Step::Close(same) if same == close));
            assert!(self.out.is_empty());
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Login(Login::Password { user, secret }) => self.login(&user, secret.expose()),
            Action::StartTls => {
                self.deaf = true;
                self.session.tls_started(self.dialogue.channel_after_tls);
            }
            Action::Retrieve {
                message,
                octets,
                body_lines,
            } => self.retrieve(message.get(), octets, body_lines),
            Action::Update { remove } => {
                assert!(self.removes.is_none(), "UPDATE is entered once");
                self.removes = Some(remove.iter().map(|message| message.get()).collect());
                match &self.dialogue.at_update {
                    Some(refusal) => self.session.refuse(refusal, &mut self.out),
                    None => self.session.updated(&mut self.out),
                }
            }
        }
    }

    fn login(&mut self, user: &str, password: &str) {
        let (known, secret) = &self.dialogue.account;
        if (user, password) != (known, secret) {
            let code = "AUTH".parse().ok();
            let refusal = Refusal::new(code, "wrong user name or password");
            return self.session.refuse(&refusal, &mut self.out);
        }
        if let Some(refusal) = self.dialogue.at_login.get(self.logins) {
            self.logins += 1;
            return self.session.refuse(refusal, &mut self.out);
        }
        let mail = self.dialogue.mail.iter();
        let listing = Listing::new(mail.map(|mail| (mail.id.as_str(), mail.octets)));
        let listing = Arc::new(listing.expect("a dialogue's listing is legal"));
        let maildrop = Maildrop::new(listing);
        self.session.logged_in(maildrop, &mut self.out);
    }

    fn retrieve(&mut self, message: u32, octets: u64, body_lines: Option<u64>) {
        let mut refusals = self.dialogue.at_retrieve.iter();
        if let Some((_, refusal)) = refusals.find(|(refused, _)| *refused == message) {
            return self.session.refuse(refusal, &mut self.out);
        }
        self.session.retrieving(&mut self.out);
        let mail = &self.dialogue.mail[message as usize - 1];
        assert_eq!(octets, mail.octets);
        let mut stuffing = Stuffing::new(body_lines);
        for chunk in mail.content.chunks(7) {
            stuffing.feed(chunk, &mut self.out);
        }
        let sent = stuffing.finish(&mut self.out);
        self.session.retrieved(sent);
        self.flush();
    }
}

fn channel(words: &str) -> Result<Channel, String> {
    let mut channel = Channel {
        tls: false,
        starttls: false,
        plaintext_login: false,
    };
    for word in words.split(' ') {
        match word {
            "tls" => channel.tls = true,
            "starttls" => channel.starttls = true,
            "plaintext" => channel.plaintext_login = true,
            "none" => {}
            _ => return Err(format!("no channel is {word}")),
        }
    }
    Ok(channel)
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

fn expected(what: &str) -> Result<Expected, String> {
    let any_text = what.strip_suffix(" …");
    Ok(Expected {
        octets: octets(any_text.unwrap_or(what))?,
        any_text: any_text.is_some(),
    })
}

fn number(value: &str) -> Result<u32, String> {
    value
        .parse()
        .map_err(|error| format!("{value} is no number: {error}"))
}

fn text(escaped: &str) -> Result<String, String> {
    String::from_utf8(octets(escaped)?).map_err(|error| error.to_string())
}

/// Undoes the escapes that `dialogues/README.md` lists.
fn octets(escaped: &str) -> Result<Vec<u8>, String> {
    let mut octets = Vec::new();
    let mut rest = escaped;
    while let Some((before, behind)) = rest.split_once('\\') {
        octets.extend(before.as_bytes());
        let mut chars = behind.chars();
        let escape = chars.next().ok_or("\\ at the end")?;
        rest = chars.as_str();
        match escape {
            'n' => octets.push(b'\n'),
            'r' => octets.push(b'\r'),
            't' => octets.push(b'\t'),
            '0' => octets.push(0),
            's' => octets.push(b' '),
            '\\' => octets.push(b'\\'),
            'x' => {
                let (hex, behind) = rest.split_at_checked(2).ok_or("\\xHH")?;
                octets.push(u8::from_str_radix(hex, 16).map_err(|error| error.to_string())?);
                rest = behind;
            }
            '{' => {
                let (repeat, behind) = rest.split_once('}').ok_or("\\{a*3}")?;
                let (what, times) = repeat.rsplit_once('*').ok_or("\\{a*3}")?;
                octets.extend(what.repeat(number(times)? as usize).as_bytes());
                rest = behind;
            }
            _ => return Err(format!("unknown escape \\{escape}")),
        }
    }
    octets.extend(rest.as_bytes());
    Ok(octets)
}

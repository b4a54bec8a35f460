//! A session with the other server: the client's side of RFC 1939.
//!
//! TLS is the host's: what is read and written here is POP3 itself.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use restante_guest::log;
use restante_guest::types::{Failure, Secret};

use crate::settings::{Login, Settings};

/// Octets that are received at once.
const BUFFER: usize = 32 * 1024;
/// Octets of a line that is not mail.
const LINE: usize = 1024;
/// DELEs that are under way at once, where the other server takes that.
const PIPELINED: usize = 50;

/// What goes wrong with the other server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// It cannot be reached, or hung up.
    Away(String),
    /// It says what makes no sense.
    Nonsense(&'static str),
    /// It says no, in these words.
    Refused(String),
}

impl Trouble {
    /// The code in front of a refusal (RFC 2449 section 8).
    pub(crate) fn code(&self) -> Option<&str> {
        let Trouble::Refused(words) = self else {
            return None;
        };
        Some(words.strip_prefix('[')?.split_once(']')?.0)
    }

    /// For the client, and the operator's log. `doing`: "the listing".
    pub(crate) fn into_failure(self, doing: &str) -> Failure {
        match &self {
            Trouble::Away(why) => log::error!("{doing}: the other server is away: {why}"),
            Trouble::Nonsense(what) => log::error!("{doing}: the other server answers {what}"),
            Trouble::Refused(words) => log::warn!("{doing}: the other server refuses: {words}"),
        }
        match self.code().map(str::to_ascii_uppercase).as_deref() {
            Some("IN-USE") => Failure::in_use("the mailbox is in use"),
            Some("LOGIN-DELAY") => {
                Failure::Other(("LOGIN-DELAY".into(), "wait before the next login".into()))
            }
            Some("AUTH" | "SYS/PERM") => {
                Failure::permanent("the mail server behind this one refuses")
            }
            _ => Failure::temporary("the mail server behind this one does not serve at the moment"),
        }
    }
}

impl From<std::io::Error> for Trouble {
    fn from(error: std::io::Error) -> Trouble {
        Trouble::Away(error.to_string())
    }
}

type Answer<T> = Result<T, Trouble>;

/// One session.
pub(crate) struct Upstream {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// Octets of the buffer that were taken.
    taken: usize,
    /// It takes commands before it has answered those in front (RFC 2449 section
    /// 6.6).
    pipelines: bool,
}

impl Upstream {
    /// Connects, and takes the greeting.
    pub(crate) fn connect(server: &str) -> Answer<Upstream> {
        let mut upstream = Upstream {
            stream: TcpStream::connect(server)?,
            buffer: Vec::new(),
            taken: 0,
            pipelines: false,
        };
        upstream.reply()?;
        Ok(upstream)
    }

    /// Logs in. `acting_as`: whose mail is wanted, where that is not the user's own
    /// (RFC 4616); it takes PLAIN.
    pub(crate) fn log_in(
        &mut self,
        login: Login,
        user: &str,
        acting_as: Option<&str>,
        password: &Secret,
    ) -> Answer<()> {
        let password = password.expose();
        if login == Login::User && acting_as.is_none() {
            self.command(&format!("USER {user}"))?;
            self.command(&format!("PASS {password}"))?;
            return Ok(());
        }
        let acting_as = acting_as.unwrap_or_default();
        let response = STANDARD.encode(format!("{acting_as}\0{user}\0{password}"));
        self.send("AUTH PLAIN")?;
        let line = self.line()?;
        match line.strip_prefix('+') {
            Some(rest) if rest.is_empty() || rest.starts_with(' ') => {}
            _ => return refused(&line).map(drop),
        }
        self.command(&response)?;
        Ok(())
    }

    /// Logs in as the plugin's settings say for a maildrop of ours.
    pub(crate) fn open(settings: &Settings, maildrop: &str, password: &Secret) -> Answer<Upstream> {
        let mut upstream = Upstream::connect(&settings.server)?;
        upstream.prepare()?;
        let there = settings.user.there(maildrop);
        match &settings.master {
            Some(master) => {
                upstream.log_in(Login::Plain, &master.user, Some(there), password)?;
            }
            None => upstream.log_in(settings.login, there, None, password)?,
        }
        Ok(upstream)
    }

    /// Sends a command and takes the answer, which must be positive.
    pub(crate) fn command(&mut self, line: &str) -> Answer<String> {
        self.send(line)?;
        self.reply()
    }

    /// Sends a command whose answer has many lines, and shows each of them.
    pub(crate) fn lines(
        &mut self,
        command: &str,
        mut each: impl FnMut(&str) -> Answer<()>,
    ) -> Answer<()> {
        self.command(command)?;
        loop {
            let line = self.line()?;
            match line.strip_prefix('.') {
                Some("") => return Ok(()),
                Some(stuffed) => each(stuffed)?,
                None => each(&line)?,
            }
        }
    }

    /// Marks these messages deleted.
    pub(crate) fn delete(&mut self, numbers: &[u32]) -> Answer<()> {
        let at_once = if self.pipelines { PIPELINED } else { 1 };
        for batch in numbers.chunks(at_once) {
            let commands: Vec<String> = batch
                .iter()
                .map(|number| format!("DELE {number}\r\n"))
                .collect();
            self.stream.write_all(commands.concat().as_bytes())?;
            for _ in batch {
                self.reply()?;
            }
        }
        Ok(())
    }

    /// Asks what it can do, and for mail as it is (RFC 6856 section 2): without UTF8
    /// it might send surrogates of messages. Who knows no CAPA can nothing of it.
    fn prepare(&mut self) -> Answer<()> {
        let (mut pipelines, mut utf8) = (false, false);
        let asked = self.lines("CAPA", |line| {
            let name = line.split(' ').next().unwrap_or_default();
            pipelines |= name.eq_ignore_ascii_case("PIPELINING");
            utf8 |= name.eq_ignore_ascii_case("UTF8");
            Ok(())
        });
        match asked {
            Ok(()) => self.pipelines = pipelines,
            Err(Trouble::Refused(_)) => return Ok(()),
            Err(trouble) => return Err(trouble),
        }
        match utf8.then(|| self.command("UTF8")) {
            Some(Err(Trouble::Refused(_)) | Ok(_)) | None => Ok(()),
            Some(Err(trouble)) => Err(trouble),
        }
    }

    pub(crate) fn send(&mut self, line: &str) -> Answer<()> {
        self.stream.write_all(format!("{line}\r\n").as_bytes())?;
        Ok(())
    }

    pub(crate) fn reply(&mut self) -> Answer<String> {
        let line = self.line()?;
        refused(&line)
    }

    /// A line without its end.
    fn line(&mut self) -> Answer<String> {
        let mut line = Vec::new();
        loop {
            let (octets, ends) = {
                let there = self.fill()?;
                match memchr::memchr(b'\n', there) {
                    Some(at) => (&there[..at], true),
                    None => (there, false),
                }
            };
            if line.len() + octets.len() > LINE {
                return Err(Trouble::Nonsense("lines without end"));
            }
            line.extend_from_slice(octets);
            let taken = octets.len() + usize::from(ends);
            self.consume(taken);
            if ends {
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                return String::from_utf8(line)
                    .map_err(|_| Trouble::Nonsense("something else than text"));
            }
        }
    }

    /// What was received and not taken yet: never nothing.
    pub(crate) fn fill(&mut self) -> Answer<&[u8]> {
        if self.taken == self.buffer.len() {
            self.buffer.resize(BUFFER, 0);
            self.taken = 0;
            let received = loop {
                match self.stream.read(&mut self.buffer) {
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    received => break received,
                }
            };
            self.buffer.truncate(*received.as_ref().unwrap_or(&0));
            if received? == 0 {
                return Err(Trouble::Away("it hung up".to_owned()));
            }
        }
        Ok(&self.buffer[self.taken..])
    }

    pub(crate) fn consume(&mut self, octets: usize) {
        self.taken = self.buffer.len().min(self.taken + octets);
    }
}

/// A status line's text, or the refusal in it.
fn refused(line: &str) -> Answer<String> {
    let after = |indicator: &str| {
        let start = line.get(..indicator.len())?;
        let rest = &line[indicator.len()..];
        let fits = start.eq_ignore_ascii_case(indicator);
        (fits && (rest.is_empty() || rest.starts_with(' '))).then(|| rest.trim().to_owned())
    };
    if let Some(text) = after("+OK") {
        return Ok(text);
    }
    match after("-ERR") {
        Some(words) => Err(Trouble::Refused(words)),
        None => Err(Trouble::Nonsense("neither +OK nor -ERR")),
    }
}

//! Another POP3 server, which does what a test tells it to.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use restante_tests::PATIENCE;

/// Everybody's password.
pub(crate) const PASSWORD: &str = "x";
/// Who may read everybody's mail.
pub(crate) const MASTER: &str = "master";

/// A message: unique-id and octets as RETR sends them, unstuffed.
pub(crate) type Message = (String, Vec<u8>);

/// What it does amiss.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Misdeed {
    None,
    /// LIST counts line ends as one octet.
    CountsLineFeeds,
    /// Closes in the middle of whatever message.
    ClosesInTheMiddle,
    /// Answers QUIT with -ERR.
    RemovesNothing,
    /// Closes instead of answering QUIT.
    ClosesAtQuit,
    /// Refuses the second DELE.
    RefusesDele,
    /// All unique-ids are one.
    OneUniqueId,
    /// UIDL has a line without end.
    EndlessLine,
    /// Says nothing at all.
    Silent,
    /// Refuses logins with this code.
    Refuses(&'static str),
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) misdeed: Misdeed,
    pub(crate) pipelining: bool,
    /// By user.
    pub(crate) maildrops: HashMap<String, Vec<Message>>,
    /// What whoever has no maildrop is given; None: the login is refused.
    pub(crate) sample: Option<Vec<Message>>,
    /// Every command, without passwords.
    pub(crate) commands: Vec<String>,
}

pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Upstream {
    /// One whose user "ada" has these messages.
    pub(crate) fn start(messages: Vec<Message>) -> Upstream {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State {
            misdeed: Misdeed::None,
            pipelining: true,
            maildrops: HashMap::from([("ada".to_owned(), messages)]),
            sample: None,
            commands: Vec::new(),
        }));
        let shared = state.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let shared = shared.clone();
                // Whatever breaks off, breaks off: the client is what is tested.
                thread::spawn(move || serve(stream.unwrap(), &shared));
            }
        });
        Upstream { address, state }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Ada's unique-ids.
    pub(crate) fn unique_ids(&self) -> Vec<String> {
        let messages = &self.state().maildrops["ada"];
        messages.iter().map(|(id, _)| id.clone()).collect()
    }
}

/// Messages with these contents.
pub(crate) fn messages(contents: &[&[u8]]) -> Vec<Message> {
    let contents = contents.iter().enumerate();
    contents
        .map(|(at, content)| (format!("id-{at}"), content.to_vec()))
        .collect()
}

fn stuffed(content: &[u8]) -> Vec<u8> {
    let mut wire = Vec::new();
    for line in content.split_inclusive(|octet| *octet == b'\n') {
        if line.starts_with(b".") {
            wire.push(b'.');
        }
        wire.extend_from_slice(line);
    }
    wire.extend_from_slice(b".\r\n");
    wire
}

struct Session {
    user: String,
    messages: Vec<Message>,
    deleted: Vec<bool>,
}

impl Session {
    fn message(&self, number: &str) -> Option<usize> {
        let at = number.parse::<usize>().ok()?.checked_sub(1)?;
        (at < self.messages.len() && !self.deleted[at]).then_some(at)
    }

    /// "NUMBER WHAT" of one message, or of all.
    fn scan(
        &self,
        command: &str,
        number: Option<&str>,
        what: impl Fn(&Message) -> String,
    ) -> String {
        let line = |at: usize| format!("{} {}", at + 1, what(&self.messages[at]));
        match number {
            Some(number) => match self.message(number) {
                Some(at) => format!("+OK {}\r\n", line(at)),
                None => "-ERR no such message\r\n".to_owned(),
            },
            None => {
                let mut all = format!("+OK {command}\r\n");
                for at in (0..self.messages.len()).filter(|at| !self.deleted[*at]) {
                    let _ = write!(all, "{}\r\n", line(at));
                }
                all + ".\r\n"
            }
        }
    }
}

fn serve(stream: TcpStream, shared: &Mutex<State>) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    let mut wire = stream.try_clone()?;
    let mut lines = BufReader::new(stream).lines();
    let silent = || shared.lock().unwrap().misdeed == Misdeed::Silent;
    if silent() {
        while lines.next().is_some_and(|line| line.is_ok()) {}
        return Ok(());
    }
    wire.write_all(b"+OK ready\r\n")?;
    let mut session: Option<Session> = None;
    let mut user = String::new();
    while let Some(Ok(line)) = lines.next() {
        let (command, argument) = match line.split_once(' ') {
            Some((command, argument)) => (command, Some(argument.to_owned())),
            None => (&*line, None),
        };
        let (misdeed, pipelining) = {
            let mut state = shared.lock().unwrap();
            let shown = if command == "PASS" { command } else { &line };
            state.commands.push(shown.to_owned());
            (state.misdeed, state.pipelining)
        };
        match (command, &mut session) {
            ("CAPA", _) => {
                let more = if pipelining { "PIPELINING\r\n" } else { "" };
                wire.write_all(format!("+OK\r\nUIDL\r\n{more}.\r\n").as_bytes())?;
            }
            ("USER", None) => {
                user = argument.unwrap_or_default();
                wire.write_all(b"+OK\r\n")?;
            }
            ("PASS", None) => {
                let right = argument.as_deref() == Some(PASSWORD);
                session = log_in(&mut wire, shared, &user, right)?;
            }
            ("AUTH", None) => {
                wire.write_all(b"+ \r\n")?;
                let Some(Ok(response)) = lines.next() else {
                    break;
                };
                let response = String::from_utf8(STANDARD.decode(response).unwrap()).unwrap();
                let parts: Vec<&str> = response.split('\0').collect();
                let whose = if parts[0].is_empty() {
                    parts[1]
                } else {
                    parts[0]
                };
                let may = parts[0].is_empty() || parts[1] == MASTER;
                session = log_in(&mut wire, shared, whose, may && parts[2] == PASSWORD)?;
            }
            ("QUIT", session) => {
                let session = session.take();
                return quit(&mut wire, shared, session, misdeed);
            }
            (_, None) => wire.write_all(b"-ERR log in first\r\n")?,
            (command, Some(session)) => {
                let argument = argument.as_deref();
                if !transaction(&mut wire, session, command, argument, misdeed)? {
                    break;
                }
            }
        }
    }
    Ok(())
}

fn log_in(
    wire: &mut TcpStream,
    shared: &Mutex<State>,
    user: &str,
    right: bool,
) -> io::Result<Option<Session>> {
    let mut state = shared.lock().unwrap();
    if let Misdeed::Refuses(code) = state.misdeed {
        wire.write_all(format!("-ERR [{code}] not now\r\n").as_bytes())?;
        return Ok(None);
    }
    if let (true, Some(sample), true) = (right, state.sample.clone(), user.starts_with("copy")) {
        state.maildrops.entry(user.to_owned()).or_insert(sample);
    }
    let found = state.maildrops.get(user).filter(|_| right).cloned();
    let Some(messages) = found else {
        wire.write_all(b"-ERR wrong\r\n")?;
        return Ok(None);
    };
    wire.write_all(b"+OK welcome\r\n")?;
    Ok(Some(Session {
        user: user.to_owned(),
        deleted: vec![false; messages.len()],
        messages,
    }))
}

/// False: it hangs up.
fn transaction(
    wire: &mut TcpStream,
    session: &mut Session,
    command: &str,
    argument: Option<&str>,
    misdeed: Misdeed,
) -> io::Result<bool> {
    match command {
        "LIST" => {
            let octets = |(_, content): &Message| match misdeed {
                Misdeed::CountsLineFeeds => content.iter().filter(|octet| **octet != b'\r').count(),
                _ => content.len(),
            };
            let all = session.scan(command, argument, |message| octets(message).to_string());
            wire.write_all(all.as_bytes())?;
        }
        "UIDL" => {
            if misdeed == Misdeed::EndlessLine {
                wire.write_all(b"+OK\r\n1 ")?;
                while wire.write_all(&[b'x'; 4096]).is_ok() {}
                return Ok(false);
            }
            let all = session.scan(command, argument, |(id, _)| match misdeed {
                Misdeed::OneUniqueId => "same".to_owned(),
                _ => id.clone(),
            });
            wire.write_all(all.as_bytes())?;
        }
        "RETR" => {
            let Some(at) = session.message(argument.unwrap_or_default()) else {
                wire.write_all(b"-ERR no such message\r\n")?;
                return Ok(true);
            };
            let message = stuffed(&session.messages[at].1);
            wire.write_all(b"+OK here it is\r\n")?;
            if misdeed == Misdeed::ClosesInTheMiddle {
                wire.write_all(&message[..message.len() / 2])?;
                return Ok(false);
            }
            wire.write_all(&message)?;
        }
        "DELE" => {
            let at = session.message(argument.unwrap_or_default());
            let again = session.deleted.contains(&true);
            match at {
                Some(at) if !(again && misdeed == Misdeed::RefusesDele) => {
                    session.deleted[at] = true;
                    wire.write_all(b"+OK\r\n")?;
                }
                _ => wire.write_all(b"-ERR no\r\n")?,
            }
        }
        _ => wire.write_all(b"-ERR what\r\n")?,
    }
    Ok(true)
}

/// UPDATE.
fn quit(
    wire: &mut TcpStream,
    shared: &Mutex<State>,
    session: Option<Session>,
    misdeed: Misdeed,
) -> io::Result<()> {
    let Some(session) = session else {
        return wire.write_all(b"+OK\r\n");
    };
    if misdeed == Misdeed::ClosesAtQuit {
        return Ok(());
    }
    if misdeed == Misdeed::RemovesNothing {
        return wire.write_all(b"-ERR some messages were not removed\r\n");
    }
    let gone: Vec<&str> = (session.messages.iter().zip(&session.deleted))
        .filter(|(_, deleted)| **deleted)
        .map(|((id, _), _)| id.as_str())
        .collect();
    let mut state = shared.lock().unwrap();
    if let Some(maildrop) = state.maildrops.get_mut(&session.user) {
        maildrop.retain(|(id, _)| !gone.contains(&&**id));
    }
    drop(state);
    wire.write_all(b"+OK\r\n")
}

//! One connection, in the clear or under TLS, and the answers on it, taken apart
//! by RFC 1939 section 3 without a view on what they should be.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// How long an answer may take before it counts as none.
const SILENCE: Duration = Duration::from_secs(15);

/// What came for one line that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// A status line, and the lines of a multi-line answer.
    Said {
        /// Status indicator, response code and, where it is data, what follows.
        status: String,
        /// Each without its line end, escaped, and byte-stuffed as it came.
        lines: Option<Vec<String>>,
    },
    /// `+ `, with the challenge.
    Challenge(String),
    /// The connection is closed.
    Closed,
    /// Nothing.
    Silence,
    /// Something that is no answer.
    Noise(String),
}

/// A connection.
pub(crate) struct Wire {
    stream: Stream,
    buffer: Vec<u8>,
}

enum Stream {
    Clear(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
    /// Between the two.
    None,
}

/// Whom TLS connections trust.
pub(crate) fn trusting(authority: &Path) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_file(authority).expect("the test's own authority");
    roots.add(authority).expect("the test's own authority");
    let config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

impl Wire {
    pub(crate) fn connect(address: SocketAddr) -> io::Result<Wire> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(SILENCE))?;
        stream.set_write_timeout(Some(SILENCE))?;
        stream.set_nodelay(true)?;
        Ok(Wire {
            stream: Stream::Clear(stream),
            buffer: Vec::new(),
        })
    }

    /// A handshake on what is there.
    pub(crate) fn start_tls(&mut self, config: &Arc<ClientConfig>) -> io::Result<()> {
        let Stream::Clear(mut socket) = std::mem::replace(&mut self.stream, Stream::None) else {
            return Err(io::Error::other("TLS twice"));
        };
        if !self.buffer.is_empty() {
            let early = self.buffer.escape_ascii();
            return Err(io::Error::other(format!("in the clear: {early}")));
        }
        let name = ServerName::try_from("localhost").expect("a name");
        let mut tls = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
        while tls.is_handshaking() {
            tls.complete_io(&mut socket)?;
        }
        self.stream = Stream::Tls(Box::new(StreamOwned::new(tls, socket)));
        Ok(())
    }

    /// Sends; a connection that is gone is noticed when it is read.
    pub(crate) fn send(&mut self, octets: &[u8]) {
        let _ = match &mut self.stream {
            Stream::Clear(stream) => stream.write_all(octets),
            Stream::Tls(stream) => stream.write_all(octets).and_then(|()| stream.flush()),
            Stream::None => Ok(()),
        };
    }

    /// The answer to a line, which is a command unless it responds to a challenge.
    pub(crate) fn answer(&mut self, line: &[u8], responds: bool) -> Answer {
        let status = match self.line() {
            Ok(Some(line)) => line,
            Ok(None) => return Answer::Closed,
            Err(_) => return Answer::Silence,
        };
        if let Some(challenge) = status.strip_prefix("+ ") {
            return Answer::Challenge(challenge.to_owned());
        }
        let (ok, rest) = match (status.strip_prefix("+OK"), status.strip_prefix("-ERR")) {
            (Some(rest), _) => (true, rest),
            (_, Some(rest)) => (false, rest),
            _ => return Answer::Noise(status),
        };
        if !rest.is_empty() && !rest.starts_with(' ') {
            return Answer::Noise(status);
        }
        let command = if responds { None } else { Command::of(line) };
        let text = rest.strip_prefix(' ').unwrap_or_default();
        let mut said = if ok { "+OK" } else { "-ERR" }.to_owned();
        match command {
            Some(Command::Data) if ok => said = format!("{said} {text}"),
            _ => said.extend(code(text).map(|code| format!(" [{code}]"))),
        }
        let lines = match command {
            Some(Command::MultiLine) if ok => match self.lines() {
                Ok(lines) => Some(lines),
                Err(cut) => return Answer::Noise(format!("{said}, and then {cut}")),
            },
            _ => None,
        };
        Answer::Said {
            status: said,
            lines,
        }
    }

    /// The greeting: its status, and whether it has a timestamp.
    pub(crate) fn greeting(&mut self) -> Answer {
        match self.line() {
            Ok(Some(line)) => {
                let (status, text) = line.split_once(' ').unwrap_or((&line, ""));
                let timestamp = match text.contains('<') {
                    true => " with a timestamp",
                    false => "",
                };
                Answer::Said {
                    status: format!("{status}{timestamp}"),
                    lines: None,
                }
            }
            Ok(None) => Answer::Closed,
            Err(_) => Answer::Silence,
        }
    }

    /// Ends the client's side in order, and takes what still comes as far as the
    /// server's end: whatever it does in the session is done then.
    pub(crate) fn end(mut self) {
        let socket = match &mut self.stream {
            Stream::Clear(socket) => socket,
            Stream::Tls(stream) => {
                stream.conn.send_close_notify();
                let _ = stream.flush();
                &mut stream.sock
            }
            Stream::None => return,
        };
        let _ = socket.shutdown(Shutdown::Write);
        let _ = io::copy(socket, &mut io::sink());
    }

    /// The lines of a multi-line answer, or what came instead.
    fn lines(&mut self) -> Result<Vec<String>, String> {
        let mut lines = Vec::new();
        loop {
            match self.line() {
                Ok(Some(line)) if line == "." => return Ok(lines),
                Ok(Some(line)) => lines.push(line),
                Ok(None) => return Err(format!("closed after {lines:?}")),
                Err(error) => return Err(format!("{error} after {lines:?}")),
            }
        }
    }

    /// One line without its CRLF, escaped; none when the connection is closed.
    fn line(&mut self) -> io::Result<Option<String>> {
        loop {
            if let Some(end) = self.buffer.iter().position(|&octet| octet == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                // A line end that is not CRLF stays to be seen.
                let line = line.strip_suffix(b"\r\n").unwrap_or(&line);
                return Ok(Some(escaped(line)));
            }
            let mut chunk = [0; 16 * 1024];
            let read = match &mut self.stream {
                Stream::Clear(stream) => stream.read(&mut chunk),
                Stream::Tls(stream) => stream.read(&mut chunk),
                Stream::None => Ok(0),
            };
            match read {
                Ok(0) => return Ok(None),
                Ok(read) => self.buffer.extend(&chunk[..read]),
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                    ) =>
                {
                    return Err(error);
                }
                // Reset, or TLS without its close_notify.
                Err(_) => return Ok(None),
            }
        }
    }
}

/// What kind of answer a command has.
enum Command {
    /// Lines up to the dot.
    MultiLine,
    /// Its status line holds data, not text.
    Data,
}

impl Command {
    fn of(line: &[u8]) -> Option<Command> {
        let line = String::from_utf8_lossy(line).to_ascii_uppercase();
        let mut words = line.split_whitespace();
        match (words.next()?, words.next()) {
            ("CAPA" | "RETR" | "TOP", _) | ("LIST" | "UIDL" | "AUTH" | "LANG", None) => {
                Some(Command::MultiLine)
            }
            ("STAT", _) | ("LIST" | "UIDL", Some(_)) => Some(Command::Data),
            _ => None,
        }
    }
}

/// The response code at the front of a text (RFC 2449 section 8).
fn code(text: &str) -> Option<&str> {
    Some(text.strip_prefix('[')?.split_once(']')?.0)
}

/// Octets as text: as they are where they are UTF-8 and printable.
pub(crate) fn escaped(octets: &[u8]) -> String {
    match std::str::from_utf8(octets) {
        Ok(text) if !text.chars().any(char::is_control) => text.to_owned(),
        _ => octets.escape_ascii().to_string(),
    }
}

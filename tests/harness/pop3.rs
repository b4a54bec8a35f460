//! A POP3 client that hides nothing: it sends what it is told to, and takes
//! the answers apart by the letter of RFC 1939 section 3.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};

use rustls::SupportedProtocolVersion;

use crate::tls::Stream;
use crate::{Certificate, PATIENCE};

/// A status line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// `+OK`, not `-ERR`.
    pub ok: bool,
    /// What follows the status indicator, without the line end.
    pub text: String,
}

/// One connection, in the clear or under TLS.
#[derive(Debug)]
pub struct Pop3 {
    stream: Stream,
    buffer: Vec<u8>,
    start: usize,
    greeting: String,
}

impl Pop3 {
    /// Connects and takes the greeting, which must be positive.
    pub fn connect(address: SocketAddr) -> Pop3 {
        let mut client = Pop3::silent(address);
        client.greeted();
        client
    }

    /// The same where TLS begins with the first octet.
    pub fn connect_tls(address: SocketAddr, certificate: &Certificate) -> Pop3 {
        let mut client = Pop3::silent(address);
        client.stream = client.stream.under_tls("localhost", certificate);
        client.greeted();
        client
    }

    /// Connects under TLS with this server name, and leaves the greeting to be taken.
    pub fn silent_tls(address: SocketAddr, name: &str, certificate: &Certificate) -> Pop3 {
        let mut client = Pop3::silent(address);
        client.stream = client.stream.under_tls(name, certificate);
        client
    }

    /// STLS, accepted, and then everything under TLS.
    pub fn stls(self, certificate: &Certificate) -> Pop3 {
        self.try_stls(rustls::DEFAULT_VERSIONS, "localhost", certificate)
            .unwrap()
    }

    /// The same with these versions of TLS only, and this server name.
    ///
    /// # Errors
    /// The server does not agree.
    pub fn try_stls(
        mut self,
        versions: &[&'static SupportedProtocolVersion],
        name: &str,
        certificate: &Certificate,
    ) -> io::Result<Pop3> {
        self.accepted("STLS");
        assert!(
            self.buffer[self.start..].is_empty(),
            "octets in the clear behind the answer to STLS"
        );
        self.stream = self.stream.try_tls_of(versions, name, certificate)?;
        Ok(self)
    }

    /// Connects, and leaves the greeting to be taken.
    pub fn silent(address: SocketAddr) -> Pop3 {
        let stream = TcpStream::connect(address)
            .unwrap_or_else(|error| panic!("cannot connect to {address}: {error}"));
        Pop3::over(stream)
    }

    /// The same from an address of this machine, such as 127.0.0.2.
    pub fn silent_from(from: IpAddr, address: SocketAddr) -> Pop3 {
        use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
        let family = match from {
            IpAddr::V4(_) => AddressFamily::INET,
            IpAddr::V6(_) => AddressFamily::INET6,
        };
        let socket = socket(family, SocketType::STREAM, None).unwrap();
        bind(&socket, &SocketAddr::new(from, 0))
            .unwrap_or_else(|error| panic!("cannot connect from {from}: {error}"));
        connect(&socket, &address)
            .unwrap_or_else(|error| panic!("cannot connect to {address}: {error}"));
        Pop3::over(socket.into())
    }

    /// Connects from an address of this machine, and takes the greeting.
    pub fn connect_from(from: IpAddr, address: SocketAddr) -> Pop3 {
        let mut client = Pop3::silent_from(from, address);
        client.greeted();
        client
    }

    fn over(stream: TcpStream) -> Pop3 {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Pop3 {
            stream: Stream::Clear(stream),
            buffer: Vec::new(),
            start: 0,
            greeting: String::new(),
        }
    }

    fn greeted(&mut self) {
        let greeting = self.status();
        assert!(greeting.ok, "greeting: {greeting:?}");
        self.greeting = greeting.text;
    }

    /// The text of the greeting.
    pub fn greeting(&self) -> &str {
        &self.greeting
    }

    /// Connects and logs in with USER and PASS; both must be accepted.
    pub fn login(address: SocketAddr, user: &str, password: &str) -> Pop3 {
        let mut client = Pop3::connect(address);
        let status = client.authenticate(user, password);
        assert!(status.ok, "login of {user}: {status:?}");
        client
    }

    /// USER and PASS; the answer to PASS, or to USER if it is refused already.
    pub fn authenticate(&mut self, user: &str, password: &str) -> Status {
        let status = self.command(&format!("USER {user}"));
        if !status.ok {
            return status;
        }
        self.command(&format!("PASS {password}"))
    }

    /// Sends a command line and takes its status line.
    pub fn command(&mut self, line: &str) -> Status {
        self.send(line);
        self.status()
    }

    /// Sends a command that must be accepted; the text of its status line.
    pub fn accepted(&mut self, line: &str) -> String {
        let status = self.command(line);
        assert!(status.ok, "{line}: {status:?}");
        status.text
    }

    /// Sends a command that must be refused; the text of its status line.
    pub fn refused(&mut self, line: &str) -> String {
        let status = self.command(line);
        assert!(!status.ok, "{line}: {status:?}");
        status.text
    }

    /// Sends a command that must be accepted and takes its multi-line answer:
    /// the octets without byte-stuffing and without the terminating line.
    pub fn multi_line(&mut self, line: &str) -> Vec<u8> {
        self.accepted(line);
        self.body()
    }

    /// A multi-line answer as text lines (LIST, UIDL, CAPA).
    pub fn lines(&mut self, line: &str) -> Vec<String> {
        let body = self.multi_line(line);
        let text = String::from_utf8(body).unwrap();
        text.split_terminator("\r\n").map(str::to_owned).collect()
    }

    /// LIST: octets, by message-number.
    pub fn list(&mut self) -> Vec<(u32, u64)> {
        self.lines("LIST")
            .iter()
            .map(|line| {
                let (number, octets) = pair(line);
                (number.parse().unwrap(), octets.parse().unwrap())
            })
            .collect()
    }

    /// UIDL: unique-ids, by message-number.
    pub fn uidl(&mut self) -> Vec<(u32, String)> {
        self.lines("UIDL")
            .iter()
            .map(|line| {
                let (number, id) = pair(line);
                (number.parse().unwrap(), id.to_owned())
            })
            .collect()
    }

    /// STAT: how many messages, and their octets together.
    pub fn stat(&mut self) -> (u32, u64) {
        let text = self.accepted("STAT");
        let (count, octets) = pair(&text);
        (count.parse().unwrap(), octets.parse().unwrap())
    }

    /// RETR: the message, without byte-stuffing.
    pub fn retr(&mut self, number: u32) -> Vec<u8> {
        self.multi_line(&format!("RETR {number}"))
    }

    /// TOP: the header and so many lines of the body, without byte-stuffing.
    pub fn top(&mut self, number: u32, lines: u64) -> Vec<u8> {
        self.multi_line(&format!("TOP {number} {lines}"))
    }

    /// QUIT, accepted, and the server closes.
    pub fn quit(mut self) {
        self.accepted("QUIT");
        self.closed();
    }

    /// The server must close now, without another octet.
    pub fn closed(&mut self) {
        match self.octet_line() {
            None => {}
            Some(line) => panic!(
                "instead of the end of the connection: {}",
                line.escape_ascii()
            ),
        }
    }

    /// The connection goes away without QUIT.
    pub fn drop_connection(self) {
        // Nobody listens any more when this fails: gone is gone.
        let _ = self.stream.socket().shutdown(Shutdown::Both);
    }

    /// Sends a line, without looking at answers.
    pub fn send(&mut self, line: &str) {
        self.send_octets(format!("{line}\r\n").as_bytes());
    }

    /// Sends octets as they are.
    pub fn send_octets(&mut self, octets: &[u8]) {
        self.stream.write_all(octets).unwrap();
    }

    /// A second handle of the socket, to write from another thread in the clear.
    pub fn writer(&self) -> TcpStream {
        self.stream.socket().try_clone().unwrap()
    }

    /// Takes one line, whatever it is: a challenge of SASL is no status line.
    pub fn line(&mut self) -> String {
        let line = self.octet_line();
        let line = line.unwrap_or_else(|| panic!("the server closed instead of answering"));
        let line = String::from_utf8(line).unwrap();
        line.strip_suffix("\r\n").unwrap().to_owned()
    }

    /// Takes one status line.
    pub fn status(&mut self) -> Status {
        self.status_if_open()
            .unwrap_or_else(|| panic!("the server closed instead of answering"))
    }

    /// Takes one status line; none when the connection ended instead.
    pub fn status_if_open(&mut self) -> Option<Status> {
        let line = self.octet_line()?;
        // RFC 2449 section 4: the first line of an answer is at most 512 octets.
        assert!(line.len() <= 512, "a status line of {} octets", line.len());
        let line = String::from_utf8(line).unwrap();
        let line = line
            .strip_suffix("\r\n")
            .unwrap_or_else(|| panic!("a status line without CRLF: {line:?}"));
        let (ok, rest) = match (line.strip_prefix("+OK"), line.strip_prefix("-ERR")) {
            (Some(rest), _) => (true, rest),
            (_, Some(rest)) => (false, rest),
            _ => panic!("neither +OK nor -ERR: {line:?}"),
        };
        assert!(
            rest.is_empty() || rest.starts_with(' '),
            "status indicator runs into the text: {line:?}"
        );
        Some(Status {
            ok,
            text: rest.trim_start_matches(' ').to_owned(),
        })
    }

    /// Takes a challenge in the middle of AUTH: what follows `+` and its space
    /// (RFC 5034 section 4).
    pub fn challenge(&mut self) -> String {
        let line = self.octet_line().expect("a challenge");
        let line = String::from_utf8(line).unwrap();
        line.strip_prefix("+ ")
            .and_then(|line| line.strip_suffix("\r\n"))
            .unwrap_or_else(|| panic!("no challenge: {line:?}"))
            .to_owned()
    }

    /// Takes the lines of a multi-line answer, the terminating line included;
    /// what came, without byte-stuffing.
    pub fn body(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        self.body_into(&mut body);
        body
    }

    /// As [`Pop3::body`], into a buffer that is used again.
    pub fn body_into(&mut self, body: &mut Vec<u8>) {
        body.clear();
        loop {
            let line = self
                .octet_line()
                .expect("a multi-line answer that ends with its terminating line");
            assert!(
                line.ends_with(b"\r\n"),
                "a line that ends in a bare LF: {}",
                line.escape_ascii()
            );
            match line.as_slice() {
                b".\r\n" => return,
                [b'.', b'.', ..] => body.extend_from_slice(&line[1..]),
                [b'.', ..] => panic!("a line without byte-stuffing: {}", line.escape_ascii()),
                _ => body.extend_from_slice(&line),
            }
        }
    }

    /// Everything that comes until the server closes.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut rest = self.buffer.split_off(self.start);
        self.buffer.clear();
        self.start = 0;
        match self.stream.read_to_end(&mut rest) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            Err(error) => panic!("not closed within {PATIENCE:?}: {error}"),
        }
        rest
    }

    /// Octets as far as the next LF; none at the end of the connection. A cut
    /// connection (reset) counts as its end.
    fn octet_line(&mut self) -> Option<Vec<u8>> {
        let mut searched = self.start;
        loop {
            if let Some(length) = self.buffer[searched..].iter().position(|&o| o == b'\n') {
                let end = searched + length + 1;
                let line = self.buffer[self.start..end].to_vec();
                self.start = end;
                return Some(line);
            }
            searched = self.buffer.len() - self.start;
            self.buffer.drain(..self.start);
            self.start = 0;
            let filled = self.buffer.len();
            self.buffer.resize(filled + 64 * 1024, 0);
            let got = match self.stream.read(&mut self.buffer[filled..]) {
                Ok(got) => got,
                Err(error) if error.kind() == ErrorKind::ConnectionReset => 0,
                Err(error) => panic!("no answer within {PATIENCE:?}: {error}"),
            };
            self.buffer.truncate(filled + got);
            if got == 0 {
                assert!(
                    self.buffer.is_empty(),
                    "the connection ended within a line: {}",
                    self.buffer.escape_ascii()
                );
                return None;
            }
        }
    }
}

/// "a b" taken apart.
fn pair(line: &str) -> (&str, &str) {
    line.split_once(' ')
        .unwrap_or_else(|| panic!("two words expected: {line:?}"))
}

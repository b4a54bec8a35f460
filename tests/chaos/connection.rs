//! A client's connection to a server that may go away at any moment: that is no fault of the
//! server's, unlike an answer that is none.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// The connection ended, or nothing came for as long as the client waits.
#[derive(Debug)]
pub(crate) struct Gone;

/// A status line.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) ok: bool,
    /// What follows the status indicator.
    pub(crate) text: String,
}

#[derive(Debug)]
pub(crate) struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    /// Waits no longer than this for anything.
    pub(crate) fn open(address: SocketAddr, patience: Duration) -> Result<Self, Gone> {
        let stream = TcpStream::connect_timeout(&address, patience).map_err(|_| Gone)?;
        stream.set_nodelay(true).map_err(|_| Gone)?;
        stream.set_read_timeout(Some(patience)).map_err(|_| Gone)?;
        stream.set_write_timeout(Some(patience)).map_err(|_| Gone)?;
        Ok(Connection {
            stream: BufReader::with_capacity(64 << 10, stream),
        })
    }

    pub(crate) fn send(&mut self, line: &str) -> Result<(), Gone> {
        let line = format!("{line}\r\n");
        let sent = self.stream.get_mut().write_all(line.as_bytes());
        sent.map_err(|_| Gone)
    }

    pub(crate) fn answer(&mut self) -> Result<Answer, Gone> {
        let line = String::from_utf8(self.line()?).unwrap();
        let (ok, text) = match (line.strip_prefix("+OK"), line.strip_prefix("-ERR")) {
            (Some(text), _) => (true, text),
            (_, Some(text)) => (false, text),
            _ => panic!("neither +OK nor -ERR: {line:?}"),
        };
        let text = text.trim_start().to_owned();
        Ok(Answer { ok, text })
    }

    pub(crate) fn ask(&mut self, line: &str) -> Result<Answer, Gone> {
        self.send(line)?;
        self.answer()
    }

    /// A multi-line answer whole, without its byte-stuffing and its last line.
    pub(crate) fn body(&mut self) -> Result<Vec<u8>, Gone> {
        let mut body = Vec::new();
        loop {
            let line = self.line()?;
            match line.strip_prefix(b".") {
                Some(b"") => return Ok(body),
                Some(rest) => {
                    assert!(rest.starts_with(b"."), "a line without byte-stuffing");
                    body.extend_from_slice(rest);
                }
                None => body.extend_from_slice(&line),
            }
            body.extend_from_slice(b"\r\n");
        }
    }

    /// The lines of UIDL or LIST, in two.
    pub(crate) fn pairs(&mut self, command: &str) -> Result<Vec<(u32, String)>, Gone> {
        let answer = self.ask(command)?;
        assert!(answer.ok, "{command}: {answer:?}");
        let body = String::from_utf8(self.body()?).unwrap();
        let pairs = body.lines().map(|line| {
            let (number, value) = line.split_once(' ').unwrap();
            (number.parse().unwrap(), value.to_owned())
        });
        Ok(pairs.collect())
    }

    fn line(&mut self) -> Result<Vec<u8>, Gone> {
        let mut line = Vec::new();
        let read = self.stream.read_until(b'\n', &mut line);
        read.map_err(|_| Gone)?;
        match line.strip_suffix(b"\n") {
            None => Err(Gone),
            Some(line) => {
                let line = line.strip_suffix(b"\r");
                Ok(line.expect("a line ends in CRLF").to_vec())
            }
        }
    }
}

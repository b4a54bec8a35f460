//! One request on one connection, octet for octet.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use restante_tests::PATIENCE;
use serde_json::Value;

/// What the server answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) header: HashMap<String, String>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.header["content-type"], "application/json", "{self:?}");
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Where the admin address is, and what is shown there.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    place: Place,
    pub(crate) host: String,
    pub(crate) token: Option<String>,
}

#[derive(Debug, Clone)]
enum Place {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl Client {
    pub(crate) fn tcp(address: SocketAddr, token: &str) -> Client {
        Client {
            place: Place::Tcp(address),
            host: address.to_string(),
            token: Some(token.to_owned()),
        }
    }

    pub(crate) fn unix(path: &Path) -> Client {
        Client {
            place: Place::Unix(path.to_owned()),
            host: "localhost".to_owned(),
            token: None,
        }
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "")
    }

    pub(crate) fn post(&self, path: &str, body: &str) -> Answer {
        self.ask("POST", path, body)
    }

    pub(crate) fn ask(&self, method: &str, path: &str, body: &str) -> Answer {
        let token = match &self.token {
            Some(token) => format!("Authorization: Bearer {token}\r\n"),
            None => String::new(),
        };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\n{token}Content-Length: {}\r\n\r\n{body}",
            self.host,
            body.len()
        );
        parse(&self.octets(request.as_bytes()))
    }

    /// Sends these octets and takes everything until the server closes.
    pub(crate) fn octets(&self, request: &[u8]) -> String {
        let mut answer = Vec::new();
        match &self.place {
            Place::Tcp(address) => {
                let mut stream = TcpStream::connect(address).unwrap();
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                // It may have closed already, with its reasons in the answer.
                let _ = stream.write_all(request);
                let _ = stream.read_to_end(&mut answer);
            }
            Place::Unix(path) => {
                let mut stream = UnixStream::connect(path).unwrap();
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                let _ = stream.write_all(request);
                let _ = stream.read_to_end(&mut answer);
            }
        }
        String::from_utf8(answer).unwrap()
    }
}

fn parse(answer: &str) -> Answer {
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .unwrap_or_else(|| panic!("no answer of HTTP: {answer:?}"));
    let mut lines = head.lines();
    let status = lines.next().unwrap();
    let (version, status) = status.split_once(' ').unwrap();
    assert_eq!(version, "HTTP/1.1");
    let header: HashMap<String, String> = lines
        .map(|line| {
            let (name, value) = line.split_once(": ").unwrap();
            (name.to_ascii_lowercase(), value.to_owned())
        })
        .collect();
    Answer {
        status: status[..3].parse().unwrap(),
        header,
        body: body.to_owned(),
    }
}

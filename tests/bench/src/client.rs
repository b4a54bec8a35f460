//! The client: says what a script says and checks every answer. In a *proof*
//! each octet of the mail is compared; under load, counts and ends.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, HandshakeKind, RootCertStore, version};

use crate::mail::Class;

/// The password of every user.
pub(crate) const PASSWORD: &str = "x";

/// Octets that are read at once by a client that takes mail.
const BUFFER_OCTETS: usize = 128 * 1024;

/// The same for a client that idles: ten thousand of them are held at once.
const IDLE_BUFFER_OCTETS: usize = 2048;

/// A status line at most (RFC 2449 section 4).
const STATUS_OCTETS: usize = 512;

/// How every multi-line answer ends.
const END: [u8; 5] = *b"\r\n.\r\n";

/// How clients do TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tls {
    /// Not at all.
    Off,
    /// A full handshake each time.
    Full,
    /// From the tickets of the connection before.
    Resumed,
}

/// Where a client connects, and how.
#[derive(Clone)]
pub(crate) struct Target {
    address: SocketAddr,
    tls: Option<TlsConnector>,
}

impl Target {
    /// In the clear.
    pub(crate) fn plain(address: SocketAddr) -> Self {
        Target { address, tls: None }
    }

    /// With TLS 1.3, one suite and one group that every server has, so that all
    /// of them do the same sums. Tickets belong to this target.
    pub(crate) fn tls(address: SocketAddr, certificate: &Path, resume: bool) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(certificate)?)?;
        let provider = CryptoProvider {
            cipher_suites: vec![aws_lc_rs::cipher_suite::TLS13_AES_256_GCM_SHA384],
            kx_groups: vec![aws_lc_rs::kx_group::X25519],
            ..aws_lc_rs::default_provider()
        };
        let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&version::TLS13])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.resumption = match resume {
            true => Resumption::in_memory_sessions(4),
            false => Resumption::disabled(),
        };
        Ok(Target {
            address,
            tls: Some(TlsConnector::from(Arc::new(config))),
        })
    }
}

/// A negative status line.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Refused(String);

/// Whether the server asked the client to come again (RFC 3206 section 4).
pub(crate) fn is_temporary(error: &anyhow::Error) -> bool {
    let refused = error.downcast_ref::<Refused>();
    refused.is_some_and(|Refused(line)| line.starts_with("-ERR [SYS/TEMP]"))
}

/// What a session asks for after login.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Script {
    pub(crate) stat: bool,
    pub(crate) uidl: bool,
    pub(crate) list: bool,
    /// RETR of every message, so many at a time; 0 for none.
    pub(crate) retrieve: usize,
}

impl Script {
    /// STAT alone.
    pub(crate) const LOOK: Script = Script {
        stat: true,
        uidl: false,
        list: false,
        retrieve: 0,
    };
    /// STAT and UIDL, as a client that leaves its mail on the server.
    pub(crate) const POLL: Script = Script {
        uidl: true,
        ..Script::LOOK
    };
    /// UIDL, LIST and every message, one by one.
    pub(crate) const FETCH: Script = Script {
        stat: false,
        uidl: true,
        list: true,
        retrieve: 1,
    };
    /// The same with 64 RETRs under way.
    pub(crate) const PIPE: Script = Script {
        retrieve: 64,
        ..Script::FETCH
    };
    /// Every message and nothing else.
    pub(crate) const BULK: Script = Script {
        stat: false,
        uidl: false,
        list: false,
        retrieve: 1,
    };
}

/// A maildrop as the client expects it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expected {
    class: Class,
    /// Messages there are, later deliveries included.
    messages: usize,
    listed_octets: usize,
    sent_octets: usize,
}

impl Expected {
    /// As it was made, and with so many deliveries since.
    pub(crate) fn new(class: Class, deliveries: usize) -> Self {
        Expected {
            class,
            messages: class.messages + deliveries,
            listed_octets: class.listed_octets(),
            sent_octets: class.sent_octets(),
        }
    }

    /// One more.
    pub(crate) fn delivered(self) -> Self {
        Expected {
            messages: self.messages + 1,
            ..self
        }
    }
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// One connection.
pub(crate) struct Client {
    stream: Stream,
    buffer: Vec<u8>,
    begin: usize,
    end: usize,
}

impl Client {
    /// Connects, shakes hands and takes the greeting.
    async fn connect(target: &Target, buffer_octets: usize) -> Result<Self> {
        let tcp = TcpStream::connect(target.address)
            .await
            .with_context(|| format!("cannot connect to {}", target.address))?;
        tcp.set_nodelay(true)?;
        let stream = match &target.tls {
            None => Stream::Plain(tcp),
            Some(tls) => {
                let name = ServerName::try_from("localhost")?;
                let stream = tls.connect(name, tcp).await.context("TLS handshake")?;
                Stream::Tls(Box::new(stream))
            }
        };
        let mut client = Client {
            stream,
            buffer: vec![0; buffer_octets],
            begin: 0,
            end: 0,
        };
        client.accepted("the greeting").await?;
        Ok(client)
    }

    /// Connects and logs in, and stays there.
    pub(crate) async fn idle(target: &Target, user: &str) -> Result<Self> {
        let mut client = Client::connect(target, IDLE_BUFFER_OCTETS).await?;
        client.login(user).await?;
        Ok(client)
    }

    /// Connects and logs in, to take mail.
    pub(crate) async fn enter(target: &Target, user: &str) -> Result<Self> {
        let mut client = Client::connect(target, BUFFER_OCTETS).await?;
        client.login(user).await?;
        Ok(client)
    }

    async fn login(&mut self, user: &str) -> Result<()> {
        self.command(&format!("USER {user}\r\n")).await?;
        self.command(&format!("PASS {PASSWORD}\r\n")).await?;
        Ok(())
    }

    /// NOOP, which tells whether the other side is still there.
    pub(crate) async fn noop(&mut self) -> Result<()> {
        self.command("NOOP\r\n").await.map(drop)
    }

    /// DELE of so many messages from the first on, all under way at once.
    pub(crate) async fn delete_first(&mut self, messages: usize) -> Result<()> {
        let numbers = 1..=messages;
        let asked: String = numbers.map(|at| format!("DELE {at}\r\n")).collect();
        self.send(&asked).await?;
        for _ in 0..messages {
            self.accepted("DELE").await?;
        }
        Ok(())
    }

    /// RETR of the first message, which is so many octets on the wire.
    pub(crate) async fn retrieve_first(&mut self, octets: usize) -> Result<()> {
        self.command("RETR 1\r\n").await?;
        self.message(octets, None).await
    }

    /// QUIT, its answer, and the end of the connection.
    pub(crate) async fn quit(mut self) -> Result<()> {
        self.command("QUIT\r\n").await?;
        ensure!(self.begin == self.end, "octets behind the answer to QUIT");
        Ok(())
    }

    /// Whether the handshake used a ticket.
    fn resumed(&self) -> bool {
        match &self.stream {
            Stream::Plain(_) => false,
            Stream::Tls(stream) => {
                stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed)
            }
        }
    }

    async fn command(&mut self, line: &str) -> Result<String> {
        self.send(line).await?;
        self.accepted(line.trim_end()).await
    }

    async fn send(&mut self, text: &str) -> Result<()> {
        match &mut self.stream {
            Stream::Plain(stream) => stream.write_all(text.as_bytes()).await?,
            Stream::Tls(stream) => {
                stream.write_all(text.as_bytes()).await?;
                stream.flush().await?;
            }
        }
        Ok(())
    }

    /// Reads more; the buffer must have room.
    async fn fill(&mut self) -> Result<()> {
        let room = &mut self.buffer[self.end..];
        let read = match &mut self.stream {
            Stream::Plain(stream) => stream.read(room).await,
            Stream::Tls(stream) => stream.read(room).await,
        };
        let read = read.context("the connection broke")?;
        ensure!(read > 0, "the server closed the connection");
        self.end += read;
        Ok(())
    }

    /// A positive status line; what follows the indicator.
    async fn accepted(&mut self, to: &str) -> Result<String> {
        loop {
            let there = &self.buffer[self.begin..self.end];
            if let Some(length) = memchr::memchr(b'\n', there) {
                let line = &there[..=length];
                let text = line
                    .strip_prefix(b"+OK")
                    .and_then(|line| line.strip_suffix(b"\r\n"));
                let Some(text) = text else {
                    let line = String::from_utf8_lossy(line).trim_end().to_owned();
                    return Err(anyhow::Error::new(Refused(line)).context(to.to_owned()));
                };
                let text = String::from_utf8_lossy(text).trim().to_owned();
                self.begin += length + 1;
                return Ok(text);
            }
            ensure!(
                there.len() <= STATUS_OCTETS,
                "{to}: no end of the status line"
            );
            self.buffer.copy_within(self.begin..self.end, 0);
            self.end -= self.begin;
            self.begin = 0;
            self.fill().await?;
        }
    }

    /// What has come and is not taken yet; at least one octet.
    async fn there(&mut self) -> Result<&[u8]> {
        if self.begin == self.end {
            (self.begin, self.end) = (0, 0);
            self.fill().await?;
        }
        Ok(&self.buffer[self.begin..self.end])
    }

    /// So many octets of a message and its terminating line, which are these
    /// where `proof` has them.
    async fn message(&mut self, octets: usize, proof: Option<&[u8]>) -> Result<()> {
        let whole = octets + 3;
        let mut tail = Tail::default();
        let mut taken = 0;
        while taken < whole {
            let there = self.there().await?;
            let part = &there[..there.len().min(whole - taken)];
            if let Some(proof) = proof {
                let message = &part[..part.len().min(octets.saturating_sub(taken))];
                let same = proof.get(taken..taken + message.len()) == Some(message);
                ensure!(same, "other octets than the message's");
            }
            tail.push(part);
            taken += part.len();
            self.begin += part.len();
        }
        ensure!(
            tail.0 == END,
            "a message of another length than {octets} octets"
        );
        Ok(())
    }

    /// A listing of so many lines, nothing behind it; its text where `keep` says so.
    async fn listing(&mut self, lines: usize, keep: bool) -> Result<String> {
        let mut tail = Tail(*b"...\r\n");
        let mut counted = 0;
        let mut text = Vec::new();
        while counted <= lines {
            let there = self.there().await?;
            counted += memchr::memchr_iter(b'\n', there).count();
            tail.push(there);
            if keep {
                text.extend_from_slice(there);
            }
            self.begin = self.end;
        }
        ensure!(
            counted == lines + 1 && tail.0 == END,
            "a listing of another length than {lines} lines"
        );
        Ok(String::from_utf8(text)?)
    }
}

/// The last octets of a stream.
#[derive(Default)]
struct Tail([u8; 5]);

impl Tail {
    fn push(&mut self, part: &[u8]) {
        let kept = part.len().min(5);
        self.0.rotate_left(kept);
        self.0[5 - kept..].copy_from_slice(&part[part.len() - kept..]);
    }
}

/// A whole session; whether its handshake was resumed.
pub(crate) async fn session(
    target: &Target,
    user: &str,
    script: Script,
    expected: &Expected,
    proof: bool,
) -> Result<bool> {
    let mut client = Client::enter(target, user).await?;
    if script.stat {
        let told = client.command("STAT\r\n").await?;
        let octets = expected.messages * expected.listed_octets;
        let right = told == format!("{} {octets}", expected.messages);
        ensure!(right, "STAT: {told}, not {} {octets}", expected.messages);
    }
    if script.uidl {
        client.command("UIDL\r\n").await?;
        let text = client
            .listing(expected.messages, proof)
            .await
            .context("UIDL")?;
        if proof {
            check_unique_ids(&text).context("UIDL")?;
        }
    }
    if script.list {
        client.command("LIST\r\n").await?;
        let text = client
            .listing(expected.messages, proof)
            .await
            .context("LIST")?;
        if proof {
            check_scan_listing(&text, expected.listed_octets).context("LIST")?;
        }
    }
    if script.retrieve > 0 {
        retrieve(&mut client, script.retrieve, expected, proof).await?;
    }
    // Before the end: QUIT's answer is the last place where tickets may come.
    let resumed = client.resumed();
    client.quit().await?;
    Ok(resumed)
}

async fn retrieve(
    client: &mut Client,
    depth: usize,
    expected: &Expected,
    proof: bool,
) -> Result<()> {
    let mut asked = String::new();
    for first in (1..=expected.messages).step_by(depth) {
        let numbers = first..(first + depth).min(expected.messages + 1);
        asked.clear();
        for number in numbers.clone() {
            asked.push_str(&format!("RETR {number}\r\n"));
        }
        client.send(&asked).await?;
        for number in numbers {
            let message = proof.then(|| expected.class.sent(number));
            client.accepted("RETR").await?;
            client
                .message(expected.sent_octets, message.as_deref())
                .await
                .with_context(|| format!("RETR {number}"))?;
        }
    }
    Ok(())
}

fn check_unique_ids(text: &str) -> Result<()> {
    let mut seen = std::collections::HashSet::new();
    for (at, line) in listed(text).enumerate() {
        let unique_id = line.strip_prefix(&format!("{} ", at + 1));
        let unique_id = unique_id.with_context(|| format!("line {}: {line}", at + 1))?;
        let legal = (1..=70).contains(&unique_id.len());
        ensure!(legal && seen.insert(unique_id), "line {}: {line}", at + 1);
    }
    Ok(())
}

fn check_scan_listing(text: &str, octets: usize) -> Result<()> {
    for (at, line) in listed(text).enumerate() {
        let right = line == format!("{} {octets}", at + 1);
        ensure!(right, "line {}: {line}, not {octets} octets", at + 1);
    }
    Ok(())
}

/// The lines before the terminating one.
fn listed(text: &str) -> impl Iterator<Item = &str> {
    let body = text.strip_suffix(".\r\n").unwrap_or(text);
    body.split_terminator("\r\n")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    const CLASS: Class = Class {
        name: "some",
        users: 1,
        messages: 2,
        octets: 500,
    };

    #[test]
    fn the_tail_is_the_same_at_every_cut() {
        let text = b"some text\r\n.\r\n";
        for cut in 0..=text.len() {
            let mut tail = Tail::default();
            tail.push(&text[..cut]);
            tail.push(&text[cut..]);
            assert_eq!(tail.0, END, "{cut}");
        }
    }

    #[test]
    fn listings_are_checked_line_by_line() {
        assert!(check_unique_ids("1 a\r\n2 b\r\n.\r\n").is_ok());
        for wrong in ["1 a\r\n2 a\r\n.\r\n", "2 a\r\n.\r\n", "1 \r\n.\r\n"] {
            assert!(check_unique_ids(wrong).is_err(), "{wrong:?}");
        }
        assert!(check_scan_listing("1 9\r\n2 9\r\n.\r\n", 9).is_ok());
        assert!(check_scan_listing("1 9\r\n2 8\r\n.\r\n", 9).is_err());
        assert!(check_scan_listing(".\r\n", 9).is_ok());
    }

    #[test]
    fn a_server_may_ask_to_come_again() {
        for (said, temporary) in [
            ("-ERR [SYS/TEMP] soon\r\n", true),
            ("-ERR [SYS/PERM] never\r\n", false),
            ("-ERR no [SYS/TEMP]\r\n", false),
        ] {
            let said = format!("+OK\r\n+OK\r\n{said}");
            let error = against(said.as_bytes(), 4, Script::LOOK, false).unwrap_err();
            assert_eq!(is_temporary(&error.context("more")), temporary, "{said}");
        }
    }

    /// Runs a session against a server that says exactly this, in two pieces.
    fn against(answers: &[u8], cut: usize, script: Script, proof: bool) -> Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
            let target = Target::plain(listener.local_addr().unwrap());
            let (first, second) = answers.split_at(cut);
            let server = async {
                let (mut stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                stream.write_all(first).await.unwrap();
                tokio::time::sleep(std::time::Duration::from_millis(2)).await;
                // The client may have had enough by now.
                let _ = stream.write_all(second).await;
                let _ = stream.shutdown().await;
                // Until the client has said everything, lest it be reset.
                let mut said = Vec::new();
                let _ = stream.read_to_end(&mut said).await;
            };
            let expected = Expected::new(CLASS, 0);
            let client = session(&target, "some-0", script, &expected, proof);
            tokio::join!(server, client).1.map(drop)
        })
    }

    /// Everything that a server says in a session of two messages.
    fn mail(first: &[u8], second: &[u8]) -> Vec<u8> {
        let mut said = b"+OK hello\r\n+OK\r\n+OK\r\n".to_vec();
        for message in [first, second] {
            said.extend_from_slice(b"+OK follows\r\n");
            said.extend_from_slice(message);
            said.extend_from_slice(b".\r\n");
        }
        said.extend_from_slice(b"+OK bye\r\n");
        said
    }

    #[test]
    fn mail_is_counted_at_every_cut_and_compared_in_a_proof() {
        let (one, two) = (CLASS.sent(1), CLASS.sent(2));
        let right = mail(&one, &two);
        for cut in (0..right.len()).step_by(37) {
            against(&right, cut, Script::BULK, true).unwrap();
        }
        let mixed_up = mail(&two, &one);
        against(&mixed_up, 9, Script::BULK, false).unwrap();
        let error = against(&mixed_up, 9, Script::BULK, true).unwrap_err();
        assert!(format!("{error:#}").contains("other octets"), "{error:#}");
        let longer = [&two[..], b"x\r\n"].concat();
        for wrong in [mail(&one[1..], &two), mail(&one, &longer)] {
            assert!(against(&wrong, 9, Script::BULK, false).is_err());
        }
        let cut_off = &right[..right.len() - 30];
        assert!(against(cut_off, 9, Script::BULK, false).is_err());
    }

    #[test]
    fn wrong_words_are_an_error_that_has_them() {
        for (said, words) in [
            (&b"+OK\r\n+OK\r\n-ERR [AUTH] no\r\n"[..], "[AUTH] no"),
            (b"+OK\r\n+OK\r\n+OK\r\n+OK 2 1\r\n", "STAT: 2 1, not 2 "),
        ] {
            let error = against(said, 4, Script::LOOK, false).unwrap_err();
            assert!(format!("{error:#}").contains(words), "{error:#}");
        }
    }
}

//! The floor: a POP3 server with no login, no storage and no policy. It says
//! from memory what a real one would, over the same runtime and the same TLS;
//! what a real server uses beyond it is that server's own.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use anyhow::{Context, Result};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::mail::Class;

/// Octets of commands that are read at once.
const INPUT_OCTETS: usize = 2048;

/// From so many octets on answers are sent before the next command is looked at.
const OUTPUT_OCTETS: usize = 64 * 1024;

/// What the floor is told.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Arguments {
    /// PEM of the certificate chain.
    #[arg(long)]
    certificate: PathBuf,
    /// PEM of its key.
    #[arg(long)]
    key: PathBuf,
    /// Maildrops: what a user's name begins with, the messages and their octets.
    #[arg(long = "class", value_name = "NAME=MESSAGESxOCTETS")]
    classes: Vec<Class>,
}

/// Serves until it is killed. The first line says where: `floor PLAIN TLS`.
///
/// # Errors
/// When it cannot start.
pub(crate) fn run(arguments: Arguments) -> Result<()> {
    let tls = tls(&arguments.certificate, &arguments.key)?;
    let maildrops = arguments.classes.into_iter();
    let maildrops: HashMap<_, _> = maildrops
        .map(|class| (class.name, Canned::new(class)))
        .collect();
    let maildrops: &'static _ = Box::leak(Box::new(maildrops));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let (plain, implicit) = (listen(any)?, listen(any)?);
        let mut out = std::io::stdout();
        writeln!(
            out,
            "floor {} {}",
            plain.local_addr()?,
            implicit.local_addr()?
        )?;
        tokio::spawn(accept(plain, None, maildrops));
        accept(implicit, Some(tls), maildrops).await;
        Ok(())
    })
}

fn listen(address: SocketAddr) -> Result<TcpListener> {
    let socket = tokio::net::TcpSocket::new_v4()?;
    socket.bind(address)?;
    Ok(socket.listen(4096)?)
}

fn tls(certificate: &Path, key: &Path) -> Result<TlsAcceptor> {
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .with_context(|| certificate.display().to_string())?;
    let key = PrivateKeyDer::from_pem_file(key).with_context(|| key.display().to_string())?;
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.ticketer = tokio_rustls::rustls::crypto::aws_lc_rs::Ticketer::new()?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

type Maildrops = HashMap<&'static str, Canned>;

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, maildrops: &'static Maildrops) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let tls = tls.clone();
        tokio::spawn(async move {
            // A client that goes away is nobody's error here.
            let _ = stream.set_nodelay(true);
            let _ = match tls {
                None => serve(stream, maildrops).await,
                Some(tls) => match tls.accept(stream).await {
                    Ok(stream) => serve(stream, maildrops).await,
                    Err(error) => Err(error),
                },
            };
        });
    }
}

/// A class's answers.
struct Canned {
    class: Class,
    drop_listing: String,
    scan_listing: OnceLock<String>,
    unique_ids: OnceLock<String>,
    /// RETR's answer up to where the message's number stands no more.
    header_octets: usize,
    message: Vec<u8>,
}

impl Canned {
    fn new(class: Class) -> Self {
        let message = class.sent(1);
        let blank = memchr::memmem::find(&message, b"\r\n\r\n").unwrap_or(0);
        Canned {
            class,
            drop_listing: format!(
                "+OK {} {}\r\n",
                class.messages,
                class.messages * class.listed_octets()
            ),
            scan_listing: OnceLock::new(),
            unique_ids: OnceLock::new(),
            header_octets: blank,
            message,
        }
    }

    fn scan_listing(&self) -> &str {
        self.scan_listing.get_or_init(|| {
            let octets = self.class.listed_octets();
            self.listing(|out, number| write!(out, "{number} {octets}\r\n"))
        })
    }

    fn unique_ids(&self) -> &str {
        self.unique_ids.get_or_init(|| {
            self.listing(|out, number| write!(out, "{number} {}\r\n", Class::unique_id(number)))
        })
    }

    fn listing(&self, line: impl Fn(&mut String, usize) -> std::fmt::Result) -> String {
        let mut text = "+OK\r\n".to_owned();
        for number in 1..=self.class.messages {
            line(&mut text, number).expect("a String takes everything");
        }
        text.push_str(".\r\n");
        text
    }

    /// The message's own header, and what it shares with the others.
    fn message(&self, number: usize) -> (Vec<u8>, &[u8]) {
        let (header, rest) = self.message.split_at(self.header_octets);
        let mut header = header.to_vec();
        // Wherever the first one's number stands.
        let figures = format!("{number:07}");
        for at in memchr::memmem::find_iter(&self.message[..self.header_octets], b"0000001") {
            header[at..at + figures.len()].copy_from_slice(figures.as_bytes());
        }
        (header, rest)
    }
}

async fn serve<S>(mut stream: S, maildrops: &'static Maildrops) -> std::io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    stream.write_all(b"+OK\r\n").await?;
    stream.flush().await?;
    let mut input = [0; INPUT_OCTETS];
    let mut filled = 0;
    let mut output = Vec::new();
    let mut maildrop = None;
    loop {
        let read = stream.read(&mut input[filled..]).await?;
        if read == 0 {
            return Ok(());
        }
        filled += read;
        let mut begin = 0;
        let mut quit = false;
        while let Some(length) = memchr::memchr(b'\n', &input[begin..filled]) {
            let line = &input[begin..begin + length];
            begin += length + 1;
            let (verb, argument) = line.split_at(line.len().min(4));
            let canned: &mut Option<&Canned> = &mut maildrop;
            let text = match (verb, &*canned) {
                (b"USER", _) => {
                    *canned = class(argument).and_then(|class| maildrops.get(class));
                    "+OK\r\n"
                }
                (b"STAT", Some(canned)) => &canned.drop_listing,
                (b"LIST", Some(canned)) => canned.scan_listing(),
                (b"UIDL", Some(canned)) => canned.unique_ids(),
                (b"RETR", Some(canned)) => {
                    let (header, rest) = canned.message(number(argument));
                    output.extend_from_slice(b"+OK\r\n");
                    output.extend_from_slice(&header);
                    send(&mut stream, &mut output, rest).await?;
                    ".\r\n"
                }
                (b"PASS" | b"NOOP", _) => "+OK\r\n",
                (verb, _) => {
                    quit = verb == b"QUIT";
                    if quit { "+OK\r\n" } else { "-ERR\r\n" }
                }
            };
            send(&mut stream, &mut output, text.as_bytes()).await?;
        }
        input.copy_within(begin..filled, 0);
        filled -= begin;
        stream.write_all(&output).await?;
        stream.flush().await?;
        output.clear();
        output.shrink_to(0);
        if quit {
            return stream.shutdown().await;
        }
    }
}

/// Small answers wait for each other, large ones go out as they lie in memory.
async fn send<S>(stream: &mut S, output: &mut Vec<u8>, octets: &[u8]) -> std::io::Result<()>
where
    S: AsyncWrite + Unpin,
{
    if output.len() + octets.len() <= OUTPUT_OCTETS {
        output.extend_from_slice(octets);
        return Ok(());
    }
    stream.write_all(output).await?;
    output.clear();
    if octets.len() <= OUTPUT_OCTETS {
        output.extend_from_slice(octets);
        return Ok(());
    }
    stream.write_all(octets).await
}

/// `fetch` of ` fetch-12`.
fn class(argument: &[u8]) -> Option<&str> {
    let user = std::str::from_utf8(argument).ok()?.trim();
    Some(user.rsplit_once('-')?.0)
}

fn number(argument: &[u8]) -> usize {
    let text = std::str::from_utf8(argument).unwrap_or_default();
    text.trim().parse().unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const CLASS: Class = Class {
        name: "some",
        users: 1,
        messages: 12,
        octets: 3000,
    };

    #[test]
    fn messages_are_those_of_the_class() {
        let canned = Canned::new(CLASS);
        for number in [1, 7, 12] {
            let (header, rest) = canned.message(number);
            assert_eq!([&header, rest].concat(), CLASS.sent(number), "{number}");
        }
    }

    #[test]
    fn listings_have_a_line_for_each_message() {
        let canned = Canned::new(CLASS);
        assert_eq!(canned.scan_listing().lines().count(), 14);
        assert!(
            canned
                .unique_ids()
                .contains("\r\n12 1700000012.M0000012P1.bench\r\n.\r\n")
        );
        assert_eq!(
            canned.drop_listing,
            format!("+OK 12 {}\r\n", 12 * CLASS.listed_octets())
        );
    }

    #[test]
    fn users_belong_to_classes() {
        assert_eq!(class(b" a-b-12\r"), Some("a-b"));
        assert_eq!(class(b" ada\r"), None);
        assert_eq!(number(b" 12\r"), 12);
    }
}

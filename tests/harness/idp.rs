//! An identity provider: keys, signed tokens, and a small HTTP/1.1 server, in the
//! clear or over TLS, that answers what a test tells it to.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

use crate::{Certificate, PATIENCE};

/// What a path answers.
#[derive(Debug, Clone)]
pub enum Answer {
    /// Status 200 and this body.
    Json(Value),
    /// Status 200 and a body that is no JSON.
    Garbage,
    /// Another status; of 300 and more with this place to go to.
    Status(u16, String),
    /// A header, and then nothing more for so long.
    Stalls(Duration),
    /// Says nothing for so long.
    Silent(Duration),
    /// So many octets, without saying how many.
    Huge(u64),
    /// A header without end.
    HeaderWithoutEnd,
    /// Closes instead.
    Closes,
}

/// A request that came in.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Method and path, "GET /keys".
    pub line: String,
    /// Header fields, names in lower case.
    pub header: HashMap<String, String>,
    /// The body.
    pub body: String,
}

#[derive(Debug, Default)]
struct Shared {
    answers: Mutex<HashMap<String, Answer>>,
    asked: Mutex<Vec<Asked>>,
    connections: AtomicUsize,
    over: AtomicBool,
}

/// A running identity provider. Its thread ends with the test.
pub struct Idp {
    origin: String,
    shared: Arc<Shared>,
    key: RsaKeyPair,
}

impl Idp {
    /// In the clear.
    pub fn plain() -> Idp {
        Idp::start(None)
    }

    /// Over TLS, with a certificate for `localhost`.
    pub fn tls(certificate: &Certificate) -> Idp {
        let chain = CertificateDer::pem_file_iter(&certificate.certificate).unwrap();
        let key = PrivateKeyDer::from_pem_file(&certificate.key).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain.map(Result::unwrap).collect(), key)
            .unwrap();
        Idp::start(Some(Arc::new(config)))
    }

    fn start(tls: Option<Arc<ServerConfig>>) -> Idp {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let shared = Arc::new(Shared::default());
        let idp = Idp {
            origin: format!("{scheme}://localhost:{port}"),
            shared: shared.clone(),
            key: RsaKeyPair::generate(KeySize::Rsa2048).unwrap(),
        };
        thread::spawn(move || {
            for stream in listener.incoming() {
                if shared.over.load(Ordering::Relaxed) {
                    return;
                }
                let (shared, tls) = (shared.clone(), tls.clone());
                let stream = stream.unwrap();
                thread::spawn(move || connection(stream, tls, &shared));
            }
        });
        idp.answer("/keys", Answer::Json(json!({"keys": [idp.jwk("k1")]})));
        idp
    }

    /// "https://localhost:12345"
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// A URL of this server's.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.origin)
    }

    /// From now on this path answers so.
    pub fn answer(&self, path: &str, answer: Answer) {
        let mut answers = self.shared.answers.lock().unwrap();
        answers.insert(path.to_owned(), answer);
    }

    /// Everything that was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().unwrap().clone()
    }

    /// How many connections there were so far.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// The public key under this name.
    pub fn jwk(&self, kid: &str) -> Value {
        // RSAPublicKey: SEQUENCE, INTEGER and a zero before the modulus.
        let n = &self.key.public_key().as_ref()[9..9 + 256];
        json!({"kty": "RSA", "kid": kid, "n": encode(n), "e": "AQAB"})
    }

    /// The claims of a token for this user, good for some minutes.
    pub fn claims(&self, user: &str) -> Value {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        json!({
            "iss": self.origin,
            "aud": "mail",
            "preferred_username": user,
            "exp": now.as_secs() + 300,
        })
    }

    /// A token with these claims, signed with RS256 by the key of this name.
    pub fn token(&self, kid: &str, claims: &Value) -> String {
        let header = json!({"alg": "RS256", "typ": "JWT", "kid": kid});
        let message = format!(
            "{}.{}",
            encode(header.to_string()),
            encode(claims.to_string())
        );
        let mut signature = vec![0; self.key.public_modulus_len()];
        let random = SystemRandom::new();
        self.key
            .sign(
                &RSA_PKCS1_SHA256,
                &random,
                message.as_bytes(),
                &mut signature,
            )
            .unwrap();
        format!("{message}.{}", encode(signature))
    }
}

impl Drop for Idp {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        // Wakes the thread that accepts; if it is gone already, so much the better.
        let _ = TcpStream::connect(self.origin.rsplit('/').next().unwrap());
    }
}

fn encode(octets: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(octets)
}

trait Stream: Read + Write + Send {}

impl<T: Read + Write + Send> Stream for T {}

fn connection(stream: TcpStream, tls: Option<Arc<ServerConfig>>, shared: &Shared) {
    shared.connections.fetch_add(1, Ordering::Relaxed);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let stream: Box<dyn Stream> = match tls {
        None => Box::new(stream),
        Some(config) => {
            let tls = ServerConnection::new(config).unwrap();
            Box::new(StreamOwned::new(tls, stream))
        }
    };
    let mut stream = BufReader::new(stream);
    // Whatever breaks off, breaks off: the client's side is what is tested.
    while let Ok(Some(asked)) = request(&mut stream) {
        let (_, path) = asked.line.split_once(' ').unwrap();
        let answer = shared.answers.lock().unwrap().get(path).cloned();
        shared.asked.lock().unwrap().push(asked);
        let answer = answer.unwrap_or(Answer::Status(404, String::new()));
        if respond(stream.get_mut(), answer).is_err() {
            return;
        }
    }
}

fn request(stream: &mut impl BufRead) -> std::io::Result<Option<Asked>> {
    let mut first = String::new();
    if stream.read_line(&mut first)? == 0 {
        return Ok(None);
    }
    let mut header = HashMap::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        match line.trim_end().split_once(": ") {
            Some((name, value)) => header.insert(name.to_lowercase(), value.to_owned()),
            None => break,
        };
    }
    let length = header.get("content-length").map(|length| length.parse());
    let mut body = vec![0; length.and_then(Result::ok).unwrap_or(0)];
    stream.read_exact(&mut body)?;
    let line = first.rsplit_once(' ').map_or("", |(line, _)| line);
    Ok(Some(Asked {
        line: line.to_owned(),
        header,
        body: String::from_utf8_lossy(&body).into_owned(),
    }))
}

/// An error ends the connection.
fn respond(stream: &mut dyn Stream, answer: Answer) -> std::io::Result<()> {
    const OVER: ErrorKind = ErrorKind::ConnectionAborted;
    let (status, place, body) = match answer {
        Answer::Json(json) => (200, String::new(), json.to_string()),
        Answer::Garbage => (200, String::new(), "<html>".repeat(100)),
        Answer::Status(status, place) => (status, place, String::new()),
        Answer::Stalls(time) => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{")?;
            stream.flush()?;
            thread::sleep(time);
            return Err(OVER.into());
        }
        Answer::Silent(time) => {
            thread::sleep(time);
            return Err(OVER.into());
        }
        Answer::Huge(octets) => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")?;
            for _ in 0..octets / 4096 {
                stream.write_all(b"1000\r\n")?;
                stream.write_all(&[b' '; 4096])?;
                stream.write_all(b"\r\n")?;
            }
            stream.write_all(b"0\r\n\r\n")?;
            return stream.flush();
        }
        Answer::HeaderWithoutEnd => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nx: ")?;
            for _ in 0..10_000 {
                stream.write_all(&[b'x'; 4096])?;
            }
            return Err(OVER.into());
        }
        Answer::Closes => return Err(OVER.into()),
    };
    write!(
        stream,
        "HTTP/1.1 {status} Status\r\nlocation: {place}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )?;
    stream.flush()
}

//! TLS: a certificate from files or made on the spot → what a listener and STLS
//! shake hands with. Versions 1.2 and 1.3 (RFC 8996 forbids the older ones).
//!
//! Knows nothing of sessions or sockets.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::rustls;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert, ServerSessionMemoryCache};
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, ServerConfig};
use zeroize::Zeroizing;

use crate::config::{Config, Pem};
use crate::names::ServerNames;

/// The protocol's name in ALPN (RFC 7301, IANA). A client that offers others
/// only is refused: it took us for another server (ALPACA).
pub const ALPN: &[u8] = b"pop3";

/// Octets of a certificate or key file at most.
const PEM_OCTETS: u64 = 1024 * 1024;

/// TLS 1.2 sessions that are remembered for clients without tickets.
const REMEMBERED_SESSIONS: usize = 1024;

/// Names of the certificate that is made on the spot.
const OWN_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// Why there is no TLS.
#[derive(Debug)]
pub enum TlsError {
    /// A file cannot be used as it is.
    File {
        /// Which one.
        path: PathBuf,
        /// What is wrong with it.
        what: FileProblem,
    },
    /// The key is not the certificate's.
    Mismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// The cryptographic library said no.
    Crypto(String),
}

/// What is wrong with a PEM file.
#[derive(Debug)]
pub enum FileProblem {
    /// The system does not hand it out.
    Unreadable(io::Error),
    /// It is a directory.
    Directory,
    /// It is too large to be what it should be.
    TooLarge,
    /// It is not PEM.
    NotPem(String),
    /// It has no CERTIFICATE section.
    NoCertificate,
    /// It has no PRIVATE KEY section.
    NoKey,
    /// The first certificate cannot be understood.
    BadCertificate(String),
    /// The key cannot be understood.
    BadKey(String),
}

impl fmt::Display for TlsError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TlsError::File { path, what } => write!(out, "{}: {what}", path.display()),
            TlsError::Mismatch { certificate, key } => write!(
                out,
                "{}: this is not the private key of the first certificate in {}",
                key.display(),
                certificate.display()
            ),
            TlsError::Crypto(what) => write!(out, "TLS cannot be set up: {what}"),
        }
    }
}

impl std::error::Error for TlsError {}

impl fmt::Display for FileProblem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FileProblem::Unreadable(error) => write!(out, "cannot be read: {error}"),
            FileProblem::Directory => write!(out, "is a directory, a PEM file is wanted"),
            FileProblem::TooLarge => {
                write!(
                    out,
                    "is larger than {PEM_OCTETS} octets, this is no PEM file"
                )
            }
            FileProblem::NotPem(what) => write!(out, "is not a PEM file: {what}"),
            FileProblem::NoCertificate => {
                write!(
                    out,
                    "holds no certificate (no line -----BEGIN CERTIFICATE-----)"
                )
            }
            FileProblem::NoKey => write!(
                out,
                "holds no private key without a passphrase (no line -----BEGIN PRIVATE KEY-----)"
            ),
            FileProblem::BadCertificate(what) => {
                write!(out, "its first certificate cannot be used: {what}")
            }
            FileProblem::BadKey(what) => write!(out, "its private key cannot be used: {what}"),
        }
    }
}

/// What listeners and STLS shake hands with; None: the configuration names no
/// certificate.
///
/// # Errors
/// Everything that is wrong with the files.
pub fn server_config(config: &Config) -> Result<Option<Arc<ServerConfig>>, Vec<TlsError>> {
    let mut loaded = HashMap::new();
    let mut certificates = Certificates::default();
    let mut errors = Vec::new();
    let mut load = |pem: &Pem| {
        // Tenants may share a certificate; its problems are told once.
        let known = loaded.entry((pem.certificate.clone(), pem.key.clone()));
        known
            .or_insert_with(|| load(pem).map_err(|more| errors.extend(more)).ok())
            .clone()
    };
    if let Some(pem) = &config.server.certificate {
        certificates.default = load(pem);
    }
    for tenant in &config.tenants {
        let Some(certified) = tenant.certificate.as_ref().and_then(&mut load) else {
            continue;
        };
        for name in &tenant.server_names {
            certificates.by_name.insert(name, Arc::clone(&certified));
        }
        if config.server.certificate.is_none() && (tenant.default || config.tenants.len() == 1) {
            certificates.default = Some(certified);
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    if loaded.is_empty() {
        return Ok(None);
    }
    with_certificates(certificates)
        .map(Some)
        .map_err(|error| vec![error])
}

/// Certificates by the name that a client asks for (SNI, RFC 6066 section 3).
#[derive(Debug, Default)]
struct Certificates {
    by_name: ServerNames<Arc<CertifiedKey>>,
    /// For clients that ask for no name, or for one that nobody has. None: they
    /// are refused.
    default: Option<Arc<CertifiedKey>>,
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        hello
            .server_name()
            .and_then(|name| self.by_name.find(name))
            .or(self.default.as_ref())
            .cloned()
    }
}

/// Reads a certificate chain and its key.
fn load(pem: &Pem) -> Result<Arc<CertifiedKey>, Vec<TlsError>> {
    match (load_chain(&pem.certificate), load_key(&pem.key)) {
        (Ok(chain), Ok(key)) => certified(chain, key, pem)
            .map(Arc::new)
            .map_err(|error| vec![error]),
        (chain, key) => Err(chain.err().into_iter().chain(key.err()).collect()),
    }
}

fn certified(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    pem: &Pem,
) -> Result<CertifiedKey, TlsError> {
    let signing = aws_lc_rs::default_provider()
        .key_provider
        .load_private_key(key)
        .map_err(|error| problem(&pem.key, FileProblem::BadKey(error.to_string())))?;
    let certified = CertifiedKey::new(chain, signing);
    match certified.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(certified),
        Err(rustls::Error::InconsistentKeys(_)) => Err(TlsError::Mismatch {
            certificate: pem.certificate.clone(),
            key: pem.key.clone(),
        }),
        Err(error) => {
            let what = FileProblem::BadCertificate(error.to_string());
            Err(problem(&pem.certificate, what))
        }
    }
}

/// A certificate that was made on the spot, for this machine's loopback names.
pub struct SelfSigned {
    /// What to shake hands with.
    pub config: Arc<ServerConfig>,
    /// The certificate, for clients to trust.
    pub certificate_pem: String,
    /// Its private key.
    pub key_pem: Zeroizing<String>,
}

/// Makes a key and a certificate for localhost, 127.0.0.1 and ::1.
///
/// # Errors
/// When the cryptographic library fails.
pub fn self_signed() -> Result<SelfSigned, TlsError> {
    let crypto = |error: &dyn fmt::Display| TlsError::Crypto(error.to_string());
    let made = rcgen::generate_simple_self_signed(OWN_NAMES.map(String::from))
        .map_err(|error| crypto(&error))?;
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let signing = aws_lc_rs::default_provider()
        .key_provider
        .load_private_key(key.into())
        .map_err(|error| crypto(&error))?;
    let chain = vec![made.cert.der().clone()];
    Ok(SelfSigned {
        config: with_certificates(Certificates {
            default: Some(Arc::new(CertifiedKey::new(chain, signing))),
            ..Certificates::default()
        })?,
        certificate_pem: made.cert.pem(),
        key_pem: Zeroizing::new(made.signing_key.serialize_pem()),
    })
}

fn with_certificates(certificates: Certificates) -> Result<Arc<ServerConfig>, TlsError> {
    let crypto = |error: rustls::Error| TlsError::Crypto(error.to_string());
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(crypto)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(certificates));
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.ticketer = aws_lc_rs::Ticketer::new().map_err(crypto)?;
    config.session_storage = ServerSessionMemoryCache::new(REMEMBERED_SESSIONS);
    // A POP3 client comes back one connection at a time.
    config.send_tls13_tickets = 1;
    Ok(Arc::new(config))
}

fn load_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let octets = read(path)?;
    let chain = CertificateDer::pem_slice_iter(&octets)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| problem(path, FileProblem::NotPem(error.to_string())))?;
    if chain.is_empty() {
        return Err(problem(path, FileProblem::NoCertificate));
    }
    Ok(chain)
}

fn load_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    use rustls::pki_types::pem::Error;
    let octets = Zeroizing::new(read(path)?);
    PrivateKeyDer::from_pem_slice(&octets).map_err(|error| match error {
        Error::NoItemsFound => problem(path, FileProblem::NoKey),
        error => problem(path, FileProblem::NotPem(error.to_string())),
    })
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let unreadable = |error| problem(path, FileProblem::Unreadable(error));
    let file = File::open(path).map_err(unreadable)?;
    if file.metadata().map_err(unreadable)?.is_dir() {
        return Err(problem(path, FileProblem::Directory));
    }
    let mut octets = Vec::new();
    file.take(PEM_OCTETS + 1)
        .read_to_end(&mut octets)
        .map_err(unreadable)?;
    if octets.len() as u64 > PEM_OCTETS {
        return Err(problem(path, FileProblem::TooLarge));
    }
    Ok(octets)
}

fn problem(path: &Path, what: FileProblem) -> TlsError {
    TlsError::File {
        path: path.to_owned(),
        what,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn pair() -> (String, String) {
        let made = rcgen::generate_simple_self_signed(OWN_NAMES.map(String::from))
            .expect("a certificate can be made");
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    /// What `load` says of these two files, without their folder.
    fn said(certificate: &str, key: &str) -> Result<(), String> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let at = |name: &str, text: &str| {
            let path = folder.path().join(name);
            match text {
                "missing" => {}
                "directory" => fs::create_dir(&path).expect("a new folder"),
                text => fs::write(&path, text).expect("a new file"),
            }
            path
        };
        let pem = Pem {
            certificate: at("chain.pem", certificate),
            key: at("key.pem", key),
        };
        let folder = format!("{}/", folder.path().display());
        load(&pem).map(|_| ()).map_err(|errors| {
            let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
            errors.join("\n").replace(&folder, "")
        })
    }

    #[test]
    fn a_chain_and_its_key() {
        let (certificate, key) = pair();
        assert_eq!(said(&certificate, &key), Ok(()));
        let both = format!("{key}{certificate}");
        assert_eq!(said(&both, &both), Ok(()));
    }

    #[test]
    fn every_mistake_has_its_words() {
        let (certificate, key) = pair();
        let (_, other) = pair();
        let of = |certificate: &str, key: &str| said(certificate, key).expect_err("a mistake");
        assert!(of("missing", &key).starts_with("chain.pem: cannot be read: No such file"));
        assert!(of(&certificate, "missing").starts_with("key.pem: cannot be read: No such file"));
        assert_eq!(
            of("directory", &key),
            "chain.pem: is a directory, a PEM file is wanted"
        );
        assert_eq!(
            of(&certificate, "directory"),
            "key.pem: is a directory, a PEM file is wanted"
        );
        assert!(of(&key, &key).starts_with("chain.pem: holds no certificate"));
        assert!(of("", &key).starts_with("chain.pem: holds no certificate"));
        assert!(of(&certificate, &certificate).starts_with("key.pem: holds no private key"));
        assert_eq!(
            of(&certificate, &other),
            "key.pem: this is not the private key of the first certificate in chain.pem"
        );
        let damaged = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(of(damaged, &key).starts_with("chain.pem: its first certificate cannot be used"));
        let damaged = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        assert!(of(&certificate, damaged).starts_with("key.pem: its private key cannot be used"));
        assert_eq!(
            of("directory", "directory"),
            "chain.pem: is a directory, a PEM file is wanted\nkey.pem: is a directory, a PEM file is wanted"
        );
        let large = "x".repeat(PEM_OCTETS as usize + 1);
        assert!(of(&large, &key).contains("is larger than"));
    }

    #[test]
    fn made_on_the_spot() {
        let made = self_signed().expect("a certificate can be made");
        assert_eq!(said(&made.certificate_pem, &made.key_pem), Ok(()));
        assert_eq!(made.config.alpn_protocols, [ALPN]);
    }

    /// The certificate that a client is shown who asks for `name`, from a
    /// configuration with these lines of `[server]` and two tenants.
    fn shown(folder: &Path, server: &str, name: &'static str) -> Option<Vec<u8>> {
        let path = |name: &str| folder.join(name).display().to_string();
        let tenant = |name: &str, server_names: &str| {
            format!(
                "[tenant.{name}]\nserver-names = {server_names}\ncertificate = {:?}\nkey = {:?}\nauthenticators = ['p']\nstore = 'p'\n",
                path(&format!("{name}.pem")),
                path(&format!("{name}.key")),
            )
        };
        let text = format!(
            "[server]\n{server}\n[listener.l]\naddress = '127.0.0.1:0'\ntls = 'implicit'\n[plugin.p]\ncomponent = 'builtin:p'\n{}{}",
            tenant("exact", "['pop.acme.example']"),
            tenant("wild", "['*.acme.example']"),
        );
        let config = Config::parse(&text, Path::new("test.toml"), folder).expect("in order");
        let server = server_config(&config).expect("in order").expect("TLS");
        let mut server = rustls::ServerConnection::new(server).expect("a server");
        let mut roots = rustls::RootCertStore::empty();
        for file in ["exact.pem", "wild.pem", "server.pem"] {
            for certificate in load_chain(&folder.join(file)).expect("a chain") {
                roots.add(certificate).expect("a root");
            }
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let client = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = name.try_into().expect("a name");
        let mut client = rustls::ClientConnection::new(Arc::new(client), name).expect("a client");
        while client.is_handshaking() {
            let mut octets = Vec::new();
            client.write_tls(&mut octets).expect("memory");
            server.read_tls(&mut octets.as_slice()).expect("memory");
            server.process_new_packets().ok()?;
            octets.clear();
            server.write_tls(&mut octets).expect("memory");
            client.read_tls(&mut octets.as_slice()).expect("memory");
            client.process_new_packets().ok()?;
        }
        Some(client.peer_certificates()?[0].to_vec())
    }

    #[test]
    fn certificates_go_by_the_name_that_is_asked_for() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let make = |name: &str, names: &[&str]| {
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
            let at = |end: &str| folder.path().join(format!("{name}.{end}"));
            fs::write(at("pem"), made.cert.pem()).expect("a new file");
            fs::write(at("key"), made.signing_key.serialize_pem()).expect("a new file");
            made.cert.der().to_vec()
        };
        let exact = make("exact", &["pop.acme.example"]);
        let wild = make("wild", &["*.acme.example"]);
        let default = make("server", &["elsewhere.example"]);
        let server = format!(
            "certificate = {:?}\nkey = {:?}\n",
            folder.path().join("server.pem"),
            folder.path().join("server.key")
        );
        let shown = |server: &str, name| shown(folder.path(), server, name);
        assert_eq!(shown(&server, "pop.acme.example"), Some(exact.clone()));
        assert_eq!(shown(&server, "imap.acme.example"), Some(wild));
        assert_eq!(shown(&server, "elsewhere.example"), Some(default));
        assert_eq!(shown("", "pop.acme.example"), Some(exact));
        // Nobody's name, and no default certificate.
        assert_eq!(shown("", "elsewhere.example"), None);
    }
}

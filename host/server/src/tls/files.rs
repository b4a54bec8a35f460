//! Certificates, keys and authorities from PEM files, and the words for every way
//! in which a file can fail to be one.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::InconsistentKeys;
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use tokio_rustls::rustls;
use zeroize::Zeroizing;

use crate::secret_file;
use restante_config::Pem;

/// Bytes of a certificate or key file at most.
const MAX_PEM_BYTES: u64 = 1024 * 1024;

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
    /// One of the authorities' certificates cannot be understood.
    BadAuthority(String),
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

impl TlsError {
    /// The file that cannot be used as it is.
    pub fn path(&self) -> Option<&Path> {
        match self {
            TlsError::File { path, .. } => Some(path),
            _ => None,
        }
    }
}

impl fmt::Display for FileProblem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FileProblem::Unreadable(error) => write!(out, "cannot be read: {error}"),
            FileProblem::Directory => write!(out, "is a directory, a PEM file is wanted"),
            FileProblem::TooLarge => {
                write!(
                    out,
                    "is larger than {MAX_PEM_BYTES} bytes, this is no PEM file"
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
            FileProblem::BadAuthority(what) => {
                write!(out, "a certificate in it is no authority's: {what}")
            }
            FileProblem::BadKey(what) => write!(out, "its private key cannot be used: {what}"),
        }
    }
}

/// Reads a certificate chain and its key.
pub(super) fn load(pem: &Pem) -> Result<Arc<CertifiedKey>, Vec<TlsError>> {
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

/// The authorities whose certificates clients may show.
pub(super) fn authorities(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in load_chain(path)? {
        roots.add(certificate).map_err(|error| {
            let what = FileProblem::BadAuthority(error.to_string());
            problem(path, what)
        })?;
    }
    Ok(roots)
}

pub(super) fn load_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bytes = read(path, File::open(path))?;
    let chain = CertificateDer::pem_slice_iter(&bytes)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| problem(path, FileProblem::NotPem(error.to_string())))?;
    if chain.is_empty() {
        return Err(problem(path, FileProblem::NoCertificate));
    }
    Ok(chain)
}

fn load_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    use rustls::pki_types::pem::Error;
    let bytes = Zeroizing::new(read(path, secret_file::open(path, "a private key"))?);
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| match error {
        Error::NoItemsFound => problem(path, FileProblem::NoKey),
        error => problem(path, FileProblem::NotPem(error.to_string())),
    })
}

fn read(path: &Path, opened: io::Result<File>) -> Result<Vec<u8>, TlsError> {
    let unreadable = |error: io::Error| match error.kind() {
        io::ErrorKind::IsADirectory => problem(path, FileProblem::Directory),
        _ => problem(path, FileProblem::Unreadable(error)),
    };
    let file = opened.map_err(unreadable)?;
    if file.metadata().map_err(unreadable)?.is_dir() {
        return Err(problem(path, FileProblem::Directory));
    }
    let mut bytes = Vec::new();
    file.take(MAX_PEM_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() as u64 > MAX_PEM_BYTES {
        return Err(problem(path, FileProblem::TooLarge));
    }
    Ok(bytes)
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
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])
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
        let large = "x".repeat(MAX_PEM_BYTES as usize + 1);
        assert!(of(&large, &key).contains("is larger than"));
    }
}

//! Whose certificates servers must have that plugins are let to: the system's
//! authorities, and those of a file that the operator names.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;
use tokio_rustls::rustls;
use tracing::warn;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// Octets of a file of authorities: the world's take a fifth of that.
const AUTHORITIES: u64 = 1 << 20;

/// Why a plugin cannot have the TLS that its grants ask for.
#[derive(Debug, Error)]
pub enum AuthorityError {
    /// The file of authorities.
    #[error("cannot read {path:?}: {error}")]
    Read {
        /// As configured.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// It is something else.
    #[error("{path:?} is no file of certificates in PEM form: {what}")]
    NotAuthorities {
        /// As configured.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// Nobody's certificate could be verified.
    #[error(
        "the system has no certificate authorities: install its package of them (ca-certificates), or name some in the grants (`http-authorities`, `connect-authorities`)"
    )]
    NoAuthorities,
    /// The cryptographic library said no.
    #[error("no TLS: {0}")]
    Tls(rustls::Error),
}

/// TLS towards servers. `needed`: whether any of them is reached under TLS; if
/// not, no authority is looked for. Reads files.
pub(crate) fn client_config(
    needed: bool,
    file: Option<&Path>,
) -> Result<ClientConfig, AuthorityError> {
    let roots = match needed {
        true => authorities(file)?,
        false => RootCertStore::empty(),
    };
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(AuthorityError::Tls)?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

/// The system's authorities, and those of the file.
fn authorities(file: Option<&Path>) -> Result<RootCertStore, AuthorityError> {
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    for error in native.errors {
        warn!(%error, "some of the system's certificate authorities cannot be read");
    }
    roots.add_parsable_certificates(native.certs);
    if let Some(path) = file {
        let not = |what: String| AuthorityError::NotAuthorities {
            path: path.to_owned(),
            what,
        };
        let pem = read(path).map_err(|error| AuthorityError::Read {
            path: path.to_owned(),
            error,
        })?;
        let mut found = 0;
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            let certificate = certificate.map_err(|error| not(error.to_string()))?;
            roots
                .add(certificate)
                .map_err(|error| not(error.to_string()))?;
            found += 1;
        }
        if found == 0 {
            return Err(not("it holds none".into()));
        }
    }
    if roots.is_empty() {
        return Err(AuthorityError::NoAuthorities);
    }
    Ok(roots)
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let size = std::fs::metadata(path)?.len();
    if size > AUTHORITIES {
        let what = format!("{size} octets; there may be {AUTHORITIES}");
        return Err(io::Error::other(what));
    }
    std::fs::read(path)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_authorities_is_looked_over() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ca.pem");
        let refused = |path: &Path| match client_config(true, Some(path)) {
            Ok(_) => panic!("accepted"),
            Err(error) => error.to_string(),
        };
        assert!(refused(&path).contains("cannot read"));
        std::fs::write(&path, "no certificate").unwrap();
        assert!(refused(&path).contains("it holds none"));
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        std::fs::write(&path, broken).unwrap();
        assert!(refused(&path).contains("in PEM form"));
        std::fs::write(&path, vec![b' '; 2 << 20]).unwrap();
        assert!(refused(&path).contains("there may be"));
    }
}

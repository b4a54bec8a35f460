//! TLS towards an object store.

use std::path::Path;
use std::sync::Arc;

use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::problem::Problem;

/// Trusts the authorities of the file, or the system's.
pub(super) fn config(authorities: Option<&Path>) -> Result<ClientConfig, Problem> {
    let roots = match authorities {
        Some(path) => of_file(path)?,
        None => of_system()?,
    };
    trusting(roots)
}

fn trusting(roots: RootCertStore) -> Result<ClientConfig, Problem> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|error| Problem::invalid(format!("no TLS: {error}")))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

fn of_file(path: &Path) -> Result<RootCertStore, Problem> {
    let wrong = |what: &dyn std::fmt::Display| {
        Problem::invalid(format!(
            "{}: no certificates in PEM form: {what}",
            path.display()
        ))
    };
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(path).map_err(|error| wrong(&error))?;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| wrong(&error))?;
        roots.add(certificate).map_err(|error| wrong(&error))?;
    }
    match roots.is_empty() {
        true => Err(wrong(&"there is none in it")),
        false => Ok(roots),
    }
}

fn of_system() -> Result<RootCertStore, Problem> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    match roots.is_empty() {
        true => Err(Problem::invalid(
            "the system has no certificate authorities: install its package of them \
             (ca-certificates), or name a file of those that are to be trusted",
        )),
        false => Ok(roots),
    }
}

/// Trusts nobody: for a store that is reached without TLS.
pub(super) fn without_authorities() -> Result<ClientConfig, Problem> {
    trusting(RootCertStore::empty())
}

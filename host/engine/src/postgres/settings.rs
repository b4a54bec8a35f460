//! How a database is reached, as the operator says it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use zeroize::Zeroizing;

use crate::problem::Problem;

/// How long to wait for a connection to one host, and for a peer that is silent with
/// octets under way.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// When to ask whether a silent peer is still there, and how often.
pub(super) const KEEPALIVE_IDLE: Duration = Duration::from_secs(5);
pub(super) const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(2);
pub(super) const KEEPALIVE_RETRIES: u32 = 3;

/// Where a database is.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// As PostgreSQL writes it: `postgresql://ROLE@HOST,HOST/DATABASE?…`. Of several hosts
    /// an engine uses the one that can be written to, a database of the operator's the first
    /// that answers, unless it says `target_session_attrs=read-write`. Unless it says `sslmode=disable`, a host that
    /// is not this machine must prove by its certificate that it has this name.
    pub url: String,
    /// The role's password.
    pub password: Option<Zeroizing<String>>,
    /// Authorities in PEM to trust instead of the system's.
    pub authorities: Option<PathBuf>,
}

/// What to connect with.
pub(super) struct Target {
    pub(super) config: Config,
    pub(super) tls: MakeRustlsConnect,
    /// Without anything secret, for the log.
    pub(super) name: String,
}

impl Settings {
    /// # Errors
    /// [`Problem::Invalid`]: what is wrong with which setting. Reads files.
    pub(super) fn target(&self) -> Result<Target, Problem> {
        let mut config: Config = self.url.parse().map_err(|error| {
            Problem::invalid(format!(
                "the database's URL cannot be read: {}; sslmode is disable or require, which \
                 always checks the certificate and its name",
                chain(&error)
            ))
        })?;
        if config.get_password().is_some() {
            return Err(Problem::invalid(
                "the database's URL has a password in it: write it into a file and name that \
                 (password-file)",
            ));
        }
        if config.get_hosts().is_empty() {
            return Err(Problem::invalid("the database's URL names no host"));
        }
        if config.get_dbname().is_none() || config.get_user().is_none() {
            return Err(Problem::invalid(
                "the database's URL has to name the role and the database: postgresql://ROLE@HOST/DATABASE",
            ));
        }
        if let Some(password) = &self.password {
            config.password(password.as_str());
        }
        let is_here = config.get_hosts().iter().all(is_this_machine);
        match config.get_ssl_mode() {
            SslMode::Prefer if is_here => config.ssl_mode(SslMode::Disable),
            SslMode::Prefer => config.ssl_mode(SslMode::Require),
            _ => &mut config,
        };
        config
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_user_timeout(CONNECT_TIMEOUT)
            .keepalives(true)
            .keepalives_idle(KEEPALIVE_IDLE)
            .keepalives_interval(KEEPALIVE_INTERVAL)
            .keepalives_retries(KEEPALIVE_RETRIES);
        if config.get_application_name().is_none() {
            config.application_name("restante");
        }
        Ok(Target {
            tls: MakeRustlsConnect::new(self.tls(config.get_ssl_mode())?),
            name: name(&config),
            config,
        })
    }

    fn tls(&self, mode: SslMode) -> Result<ClientConfig, Problem> {
        let mut roots = RootCertStore::empty();
        if let Some(path) = &self.authorities {
            let wrong = |why: &dyn std::fmt::Display| {
                Problem::invalid(format!("authorities in {}: {why}", path.display()))
            };
            let found = CertificateDer::pem_file_iter(path).map_err(|error| wrong(&error))?;
            for certificate in found {
                let certificate = certificate.map_err(|error| wrong(&error))?;
                roots.add(certificate).map_err(|error| wrong(&error))?;
            }
            if roots.is_empty() {
                return Err(wrong(&"there is no certificate in it"));
            }
        } else if mode != SslMode::Disable {
            let native = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(native.certs);
        }
        let provider = tokio_rustls::rustls::crypto::aws_lc_rs::default_provider();
        let builder = ClientConfig::builder_with_provider(Arc::new(provider));
        let builder = builder.with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| Problem::invalid(format!("TLS: {error}")))?;
        Ok(builder.with_root_certificates(roots).with_no_client_auth())
    }
}

fn is_this_machine(host: &Host) -> bool {
    match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            name == "localhost"
                || name
                    .parse()
                    .is_ok_and(|address: std::net::IpAddr| address.is_loopback())
        }
    }
}

fn name(config: &Config) -> String {
    let hosts = config.get_hosts().iter().map(|host| match host {
        Host::Tcp(name) => name.clone(),
        Host::Unix(path) => path.display().to_string(),
    });
    let hosts: Vec<_> = hosts.collect();
    let database = config.get_dbname().unwrap_or_default();
    format!("PostgreSQL database {database} at {}", hosts.join(","))
}

/// An error with what it comes from.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(url: &str) -> SslMode {
        let settings = Settings {
            url: url.into(),
            ..Settings::default()
        };
        settings.target().unwrap().config.get_ssl_mode()
    }

    #[test]
    fn another_machine_has_to_prove_its_name_unless_the_url_says_not_to() {
        assert_eq!(mode("postgresql://r@127.0.0.1/d"), SslMode::Disable);
        assert_eq!(mode("postgresql://r@%2Frun%2Fpg/d"), SslMode::Disable);
        assert_eq!(mode("postgresql://r@db/d"), SslMode::Require);
        assert_eq!(mode("postgresql://r@127.0.0.1,db/d"), SslMode::Require);
        assert_eq!(
            mode("postgresql://r@db/d?sslmode=disable"),
            SslMode::Disable
        );
    }

    #[test]
    fn what_is_wrong_with_a_url_is_said() {
        for (url, said) in [
            ("postgresql://r:secret@h/d", "password-file"),
            ("postgresql://r@h", "postgresql://ROLE@HOST/DATABASE"),
            ("postgresql://h/d", "postgresql://ROLE@HOST/DATABASE"),
            ("postgresql://r@h/d?sslmode=verify-full", "always checks"),
            ("user=r dbname=d", "no host"),
        ] {
            let settings = Settings {
                url: url.into(),
                ..Settings::default()
            };
            let Err(Problem::Invalid(text)) = settings.target().map(|_| ()) else {
                panic!("{url} is taken");
            };
            assert!(text.contains(said) && !text.contains("secret"), "{text}");
        }
    }
}

//! `client-certificate`: EXTERNAL (RFC 4422 appendix A) for clients with a
//! certificate of the tenant's own authorities (`client-authorities`).
//!
//! Whether the certificate is genuine and valid the host has verified before
//! this plugin is asked; here it is only read. The user is the one that it names,
//! and may act as nobody else. The maildrop is the user.
//!
//! Settings:
//! - `user`: where the name stands: `email` (the default), the one e-mail address
//!   in the subject's alternative names (RFC 5280 section 4.2.1.6), or
//!   `common-name`, the subject's one common name;
//! - `domains`: a list, one a line; only users with one of these behind their "@"
//!   are let in. Without it, all are.
//!
//! A certificate that names nobody, or more than one, logs nobody in.

#![cfg_attr(test, allow(clippy::unwrap_used))]

use restante_guest::accepts::{Accepts, Kinds};
use restante_guest::prelude::*;
use restante_guest::users::Case;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

struct ClientCertificate;

restante_guest::export! {
    authenticator: ClientCertificate,
    accepts: ClientCertificate,
    settings: ClientCertificate,
}

restante_guest::describe_settings! {
    "user": "where the name stands: \"email\" (if it is not set) or \"common-name\"",
    "domains": "only users with one of these behind their @ are let in",
}

impl Accepts for ClientCertificate {
    fn accepts() -> Kinds {
        Kinds::CERTIFICATE
    }
}

impl Authenticator for ClientCertificate {
    fn authenticate(_: Connection, credentials: Credentials) -> Result<Account, Denial> {
        let Credentials::Certificate { acting_as, der } = credentials else {
            return Err(Denial::Unknown);
        };
        let settings = Settings::parse(settings::all()).map_err(|problems| {
            log::error!("{}", problems.join("; "));
            Failure::permanent("certificates are not set up")
        })?;
        settings.decide(&der, acting_as.as_deref())
    }
}

impl Validate for ClientCertificate {
    fn validate() -> Result<(), Vec<String>> {
        Settings::parse(settings::all()).map(|_| ())
    }
}

#[derive(Debug)]
struct Settings {
    named_in: NamedIn,
    /// None: any.
    domains: Vec<String>,
}

/// Where the user's name stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NamedIn {
    Email,
    CommonName,
}

impl Settings {
    fn parse(all: Vec<(String, String)>) -> Result<Settings, Vec<String>> {
        let mut problems = Vec::new();
        let mut settings = Settings {
            named_in: NamedIn::Email,
            domains: Vec::new(),
        };
        for (key, value) in all {
            match (key.as_str(), value.as_str()) {
                ("user", "email") => settings.named_in = NamedIn::Email,
                ("user", "common-name") => settings.named_in = NamedIn::CommonName,
                ("user", _) => problems.push("user: must be \"email\" or \"common-name\"".into()),
                ("domains", list) => {
                    settings.domains = list.lines().map(str::to_owned).collect();
                }
                _ => problems.push(format!(
                    "{key}: unknown setting; there are user and domains"
                )),
            }
        }
        if problems.is_empty() {
            Ok(settings)
        } else {
            Err(problems)
        }
    }

    fn decide(&self, der: &[u8], acting_as: Option<&str>) -> Result<Account, Denial> {
        let user = match self.user(der) {
            Ok(user) => user,
            Err(problem) => {
                log::warn!("a certificate of our authorities {problem}");
                return Err(Denial::Rejected);
            }
        };
        if !self.may_come(&user) {
            log::warn!("a certificate names {user:?}, whose domain is not one of `domains`");
            return Err(Denial::Rejected);
        }
        if acting_as.is_some_and(|other| !Case::Exact.is_same(other, &user)) {
            return Err(Denial::Rejected);
        }
        Ok(Account {
            maildrop: user.clone(),
            user,
            attributes: Vec::new(),
        })
    }

    fn user(&self, der: &[u8]) -> Result<String, &'static str> {
        let (rest, certificate) =
            X509Certificate::from_der(der).map_err(|_| "cannot be understood")?;
        if !rest.is_empty() {
            return Err("has something behind its end");
        }
        let name = match self.named_in {
            NamedIn::Email => {
                let names = certificate
                    .subject_alternative_name()
                    .map_err(|_| "has alternative names that cannot be understood")?;
                let names = names.iter().flat_map(|names| &names.value.general_names);
                only(names.filter_map(|name| match name {
                    GeneralName::RFC822Name(address) => Some(*address),
                    _ => None,
                }))
            }
            NamedIn::CommonName => {
                let names = certificate.subject().iter_common_name();
                only(names.filter_map(|name| name.as_str().ok()))
            }
        }?;
        if name.chars().any(char::is_control) {
            return Err("names somebody with a control character");
        }
        Ok(name.to_owned())
    }

    fn may_come(&self, user: &str) -> bool {
        let domain = user.rsplit_once('@').map(|(_, domain)| domain);
        let is_listed = |domain| {
            let mut domains = self.domains.iter();
            domains.any(|listed| Case::Fold.is_same(listed, domain))
        };
        self.domains.is_empty() || domain.is_some_and(is_listed)
    }
}

fn only<'a>(mut names: impl Iterator<Item = &'a str>) -> Result<&'a str, &'static str> {
    match (names.next(), names.next()) {
        (Some(name), None) if !name.is_empty() => Ok(name),
        (Some(_), Some(_)) => Err("names more than one user"),
        _ => Err("names no user"),
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    fn certificate(common_names: &[&str], addresses: &[&str]) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        for name in common_names {
            params.distinguished_name.push(DnType::CommonName, *name);
        }
        let address = |address: &&str| SanType::Rfc822Name((*address).try_into().unwrap());
        params.subject_alt_names = addresses.iter().map(address).collect();
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    fn settings(lines: &[(&str, &str)]) -> Settings {
        let lines = lines.iter();
        let lines = lines.map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        Settings::parse(lines.collect()).unwrap()
    }

    fn user(settings: &Settings, der: &[u8], acting_as: Option<&str>) -> Option<String> {
        match settings.decide(der, acting_as) {
            Ok(account) => {
                assert_eq!(account.user, account.maildrop);
                Some(account.user)
            }
            Err(Denial::Rejected) => None,
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_user_is_whom_the_certificate_names() {
        let der = certificate(&["Mary Rose"], &["mrose@example.org"]);
        let email = settings(&[]);
        assert_eq!(
            user(&email, &der, None).as_deref(),
            Some("mrose@example.org")
        );
        let common = settings(&[("user", "common-name")]);
        assert_eq!(user(&common, &der, None).as_deref(), Some("Mary Rose"));
    }

    #[test]
    fn nobody_acts_as_somebody_else() {
        let der = certificate(&[], &["a@example.org"]);
        let email = settings(&[]);
        assert!(user(&email, &der, Some("a@example.org")).is_some());
        assert_eq!(user(&email, &der, Some("b@example.org")), None);
        assert_eq!(user(&email, &der, Some("A@example.org")), None);
    }

    #[test]
    fn one_name_and_no_more() {
        let (email, common) = (settings(&[]), settings(&[("user", "common-name")]));
        let none = certificate(&[], &[]);
        let two = certificate(&[], &["a@example.org", "b@example.org"]);
        for der in [&none, &two, &b"".to_vec(), &b"not DER".to_vec()] {
            assert_eq!(user(&email, der, None), None);
            assert_eq!(user(&common, der, None), None);
        }
        let mut longer = certificate(&["u"], &["a@example.org"]);
        longer.push(0);
        assert_eq!(user(&email, &longer, None), None);
        let forged = certificate(&["root\nlogin"], &[]);
        assert_eq!(user(&common, &forged, None), None);
    }

    #[test]
    fn other_domains_stay_out() {
        let ours = settings(&[("domains", "example.org\nExample.NET")]);
        for (address, comes) in [
            ("a@example.org", true),
            ("a@EXAMPLE.net", true),
            ("a@sub.example.org", false),
            ("a@elsewhere.example", false),
        ] {
            let der = certificate(&[], &[address]);
            assert_eq!(user(&ours, &der, None).is_some(), comes, "{address}");
        }
        let common = settings(&[("user", "common-name"), ("domains", "example.uk")]);
        // KELVIN SIGN is no k.
        for name in ["nobody", "a@example.u\u{212a}", "a@example.u\u{ff4b}"] {
            assert_eq!(
                user(&common, &certificate(&[name], &[]), None),
                None,
                "{name}"
            );
        }
        assert!(user(&common, &certificate(&["a@example.UK"], &[]), None).is_some());
    }

    #[test]
    fn settings_say_what_is_wrong() {
        let wrong = [("user".into(), "dn".into()), ("usr".into(), String::new())];
        let problems = Settings::parse(wrong.to_vec()).unwrap_err();
        assert_eq!(
            problems,
            [
                "user: must be \"email\" or \"common-name\"",
                "usr: unknown setting; there are user and domains"
            ]
        );
    }
}

//! Role `authenticator`: decide who the client is.

use std::marker::PhantomData;

use crate::bindings::authenticator::exports::restante::plugin::authenticator as raw;
use crate::types::{Account, Connection, Secret};

pub use crate::types::Denial;
pub use raw::DigestAlgorithm;

/// Decides who the client is.
///
/// ```
/// use restante_guest::prelude::*;
///
/// struct Users;
///
/// impl Authenticator for Users {
///     fn authenticate(_: Connection, credentials: Credentials) -> Result<Account, Denial> {
///         let (user, secret) = credentials.into_password().ok_or(Denial::Rejected)?;
///         if user != "alice" {
///             return Err(Denial::Unknown);
///         }
///         let hash = settings::get("hash").ok_or_else(|| Failure::permanent("not set up"))?;
///         match passwords::verify(&hash, secret.expose()) {
///             Ok(true) => Ok(Account::new(user)),
///             Ok(false) => Err(Denial::Rejected),
///             Err(problem) => {
///                 log::error!("{problem}");
///                 Err(Failure::permanent("not set up").into())
///             }
///         }
///     }
/// }
///
/// # use restante_guest::testing;
/// // In a test:
/// testing::set_settings([("hash", "{PLAIN}tanstaaf")]);
/// let login = |user: &str, password: &str| {
///     let credentials = Credentials::Password {
///         user: user.into(),
///         acting_as: None,
///         secret: Secret::new(password),
///     };
///     Users::authenticate(testing::connection(), credentials)
/// };
/// assert_eq!(login("alice", "tanstaaf"), Ok(Account::new("alice")));
/// assert_eq!(login("alice", "tanstaff"), Err(Denial::Rejected));
/// assert_eq!(login("bob", "tanstaaf"), Err(Denial::Unknown));
/// ```
pub trait Authenticator {
    /// The account that the credentials open.
    ///
    /// # Errors
    /// [`Denial::Unknown`] hands on to the tenant's next authenticator,
    /// [`Denial::Rejected`] ends the attempt, [`Denial::Failed`] says that it
    /// could not be decided. Nobody is logged in on any of them.
    fn authenticate(connection: Connection, credentials: Credentials) -> Result<Account, Denial>;
}

/// What a client shows to prove who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credentials {
    /// USER and PASS (RFC 1939 section 7), or a plaintext SASL mechanism.
    Password {
        /// The authentication identity.
        user: String,
        /// The identity to act as, where it differs (SASL authzid). `None`
        /// unless the tenant lets this authenticator judge it (`acting-as = true`).
        acting_as: Option<String>,
        /// The password.
        secret: Secret,
    },
    /// APOP (RFC 1939 section 7), CRAM-MD5 (RFC 2195).
    Digest {
        /// The authentication identity.
        user: String,
        /// How it was made.
        algorithm: DigestAlgorithm,
        /// What the host had asked, angle brackets included.
        challenge: String,
        /// Lower-case hex.
        response: String,
    },
    /// OAUTHBEARER (RFC 7628) or XOAUTH2.
    Bearer {
        /// As the client gave it; OAUTHBEARER may leave it out.
        user: Option<String>,
        /// The access token.
        token: Secret,
    },
    /// EXTERNAL (RFC 4422 appendix A) with a TLS client certificate.
    Certificate {
        /// The identity to act as, if the client asked for one; told likewise.
        acting_as: Option<String>,
        /// DER, already verified by the host.
        der: Vec<u8>,
    },
}

impl Credentials {
    /// The user and the password of somebody who logs in with one, and as
    /// nobody else; `None` for every other kind of credentials.
    pub fn into_password(self) -> Option<(String, Secret)> {
        match self {
            Credentials::Password {
                user,
                acting_as,
                secret,
            } if acting_as.as_ref().is_none_or(|other| *other == user) => Some((user, secret)),
            _ => None,
        }
    }
}

impl From<raw::Credentials> for Credentials {
    fn from(credentials: raw::Credentials) -> Credentials {
        match credentials {
            raw::Credentials::Password(password) => Credentials::Password {
                user: password.user,
                acting_as: password.acting_as,
                secret: Secret::new(password.secret),
            },
            raw::Credentials::Digest(digest) => Credentials::Digest {
                user: digest.user,
                algorithm: digest.algorithm,
                challenge: digest.challenge,
                response: digest.response,
            },
            raw::Credentials::Bearer(bearer) => Credentials::Bearer {
                user: bearer.user,
                token: Secret::new(bearer.token),
            },
            raw::Credentials::Certificate(certificate) => Credentials::Certificate {
                acting_as: certificate.acting_as,
                der: certificate.der,
            },
        }
    }
}

/// Joins an [`Authenticator`] to the generated bindings.
#[doc(hidden)]
pub struct Adapter<T>(PhantomData<T>);

impl<T: Authenticator> raw::Guest for Adapter<T> {
    fn authenticate(
        connection: Connection,
        credentials: raw::Credentials,
    ) -> Result<Account, Denial> {
        T::authenticate(connection, credentials.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_its_owners_alone() {
        let login = |acting_as: Option<&str>| Credentials::Password {
            user: "mrose".into(),
            acting_as: acting_as.map(str::to_owned),
            secret: Secret::new("tanstaaf"),
        };
        let expected = Some(("mrose".to_owned(), Secret::new("tanstaaf")));
        assert_eq!(login(None).into_password(), expected);
        assert_eq!(login(Some("mrose")).into_password(), expected);
        assert_eq!(login(Some("postmaster")).into_password(), None);
        let certificate = Credentials::Certificate {
            acting_as: None,
            der: vec![1],
        };
        assert_eq!(certificate.into_password(), None);
    }

    #[test]
    fn credentials_print_no_secret() {
        let password = raw::Credentials::Password(raw::Password {
            user: "mrose".into(),
            acting_as: None,
            secret: "tanstaaf".into(),
        });
        let bearer = raw::Credentials::Bearer(raw::Bearer {
            user: None,
            token: "tanstaaf".into(),
        });
        for credentials in [password, bearer] {
            let printed = format!("{:?}", Credentials::from(credentials));
            assert!(!printed.contains("tanstaaf"), "{printed}");
        }
    }
}

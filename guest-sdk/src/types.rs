//! Types that every role shares: [`Account`], [`Connection`], [`Tls`],
//! [`Failure`], [`Denial`] and [`Secret`].

use std::fmt;
use std::net::IpAddr;

pub use crate::bindings::host::restante::plugin::types::{
    Account, Connection, Denial, Failure, Tls,
};

impl Account {
    /// An account whose maildrop has the user's name, without attributes.
    pub fn new(user: impl Into<String>) -> Account {
        let user = user.into();
        Account {
            maildrop: user.clone(),
            user,
            attributes: Vec::new(),
        }
    }

    /// The value of the first attribute called `key`.
    ///
    /// ```
    /// use restante_guest::types::Account;
    ///
    /// let mut account = Account::new("alice");
    /// account.attributes.push(("group".into(), "staff".into()));
    /// assert_eq!(account.attribute("group"), Some("staff"));
    /// assert_eq!(account.attribute("quota"), None);
    /// ```
    pub fn attribute(&self, key: &str) -> Option<&str> {
        self.attributes
            .iter()
            .find(|(name, _)| name == key)
            .map(|(_, value)| value.as_str())
    }
}

impl Connection {
    /// The client's IP address; none where nobody knows it: its proxy does not say whom
    /// it speaks for, or speaks for itself. Such a client is a stranger.
    ///
    /// ```
    /// let mut connection = restante_guest::testing::connection();
    /// assert!(connection.client().is_some());
    /// connection.client_address = "::".into();
    /// assert_eq!(connection.client(), None);
    /// ```
    pub fn client(&self) -> Option<IpAddr> {
        let address: IpAddr = self.client_address.parse().ok()?;
        (!address.is_unspecified()).then_some(address)
    }
}

impl Failure {
    /// [SYS/TEMP] (RFC 3206): trying again later may help. The text is shown
    /// to the client.
    pub fn temporary(text: impl Into<String>) -> Failure {
        Failure::Temporary(text.into())
    }

    /// [SYS/PERM] (RFC 3206): it will fail until somebody acts. The text is
    /// shown to the client.
    pub fn permanent(text: impl Into<String>) -> Failure {
        Failure::Permanent(text.into())
    }

    /// [IN-USE] (RFC 2449): somebody else holds the maildrop. The text is
    /// shown to the client.
    pub fn in_use(text: impl Into<String>) -> Failure {
        Failure::InUse(text.into())
    }

    /// [LOGIN-DELAY] (RFC 2449): `seconds` until the next login is welcome.
    pub fn login_delay(seconds: u32) -> Failure {
        Failure::LoginDelay(seconds)
    }
}

impl From<Failure> for Denial {
    fn from(failure: Failure) -> Denial {
        Denial::Failed(failure)
    }
}

/// A password or token. It does not print; [`expose`](Secret::expose) is the
/// one way to its text.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text that nobody is to print.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// The text itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_never_prints() {
        let secret = Secret::new("tanstaaf");
        assert_eq!(format!("{secret:?} {:?}", Some(&secret)), "*** Some(***)");
        assert_eq!(secret.expose(), "tanstaaf");
    }

    #[test]
    fn the_first_attribute_of_a_name_counts() {
        let mut account = Account::new("mrose");
        assert_eq!(account.maildrop, "mrose");
        account.attributes = vec![("quota".into(), "1".into()), ("quota".into(), "2".into())];
        assert_eq!(account.attribute("quota"), Some("1"));
        assert_eq!(account.attribute("Quota"), None);
    }
}

//! Between the contract's types and the host's own.

use std::ops::Deref;
use std::sync::Arc;

use crate::bindings::exports::restante::plugin::authenticator;
use crate::bindings::restante::plugin::types as wit;
use restante_roles::backend::{Account, Connection, Denial, Failure, wipe_secrets};

pub(crate) fn connection(connection: &Arc<Connection>) -> wit::Connection {
    let (address, port) = connection.client.parts();
    wit::Connection {
        session: connection.session.clone(),
        tenant: connection.tenant.clone(),
        listener: connection.listener.clone(),
        client_address: address.to_string(),
        client_port: port,
        tls: connection.tls.as_ref().map(|tls| wit::Tls {
            version: tls.version.clone(),
            cipher: tls.cipher.clone(),
            server_name: tls.server_name.clone(),
            client_certificate: tls
                .client_certificate
                .as_ref()
                .map(|certificate| certificate.der.clone()),
        }),
    }
}

/// An account in the contract's form, whose secrets are wiped when it is done with.
pub(crate) struct Given(wit::Account);

impl Deref for Given {
    type Target = wit::Account;

    fn deref(&self) -> &wit::Account {
        &self.0
    }
}

impl Drop for Given {
    fn drop(&mut self) {
        wipe_secrets(&mut self.0.attributes);
    }
}

pub(crate) fn account(account: &Account) -> Given {
    Given(wit::Account {
        user: account.user.clone(),
        maildrop: account.maildrop.clone(),
        attributes: owned(account.attributes.exposed()),
    })
}

/// The same for those whom an account's secrets do not concern: everybody but the
/// store.
pub(crate) fn account_without_secrets(account: &Account) -> wit::Account {
    wit::Account {
        user: account.user.clone(),
        maildrop: account.maildrop.clone(),
        attributes: owned(account.attributes.shown()),
    }
}

fn owned<'a>(attributes: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<(String, String)> {
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    attributes.map(owned).collect()
}

impl From<wit::Account> for Account {
    fn from(account: wit::Account) -> Self {
        Account {
            user: account.user,
            maildrop: account.maildrop,
            attributes: account.attributes.into(),
        }
    }
}

/// Octets of a text of a guest's for a client or for the log: a status line has
/// room for half of it (RFC 2449 section 4).
const WORDS: usize = 1024;

/// As much of a guest's words as anybody has use for.
pub(crate) fn words(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(WORDS));
    text
}

impl From<wit::Failure> for Failure {
    fn from(failure: wit::Failure) -> Self {
        match failure {
            wit::Failure::Temporary(text) => Failure::Temporary(words(text)),
            wit::Failure::Permanent(text) => Failure::Permanent(words(text)),
            wit::Failure::InUse(text) => Failure::InUse(words(text)),
            wit::Failure::LoginDelay(seconds) => Failure::LoginDelay(seconds),
            wit::Failure::Other((code, text)) => Failure::Other(words(code), words(text)),
        }
    }
}

impl From<Failure> for wit::Failure {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Temporary(text) => wit::Failure::Temporary(text),
            Failure::Permanent(text) => wit::Failure::Permanent(text),
            Failure::InUse(text) => wit::Failure::InUse(text),
            Failure::LoginDelay(seconds) => wit::Failure::LoginDelay(seconds),
            Failure::Other(code, text) => wit::Failure::Other((code, text)),
        }
    }
}

impl From<authenticator::Denial> for Denial {
    fn from(denial: authenticator::Denial) -> Self {
        match denial {
            authenticator::Denial::Unknown => Denial::Unknown,
            authenticator::Denial::Rejected => Denial::Rejected,
            authenticator::Denial::Failed(failure) => Denial::Failed(failure.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use restante_roles::backend::Attributes;

    #[test]
    fn secrets_are_the_stores_alone() {
        let attribute = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let whole = Account {
            user: "ada".into(),
            maildrop: "ada".into(),
            attributes: vec![
                attribute("quota", "1"),
                attribute("secret.password", "tanstaaf"),
                attribute("secretary", "bob"),
            ]
            .into(),
        };
        let to_filters = account_without_secrets(&whole);
        let shown = [attribute("quota", "1"), attribute("secretary", "bob")];
        assert_eq!(to_filters.attributes, shown);
        let to_the_store = account(&whole).attributes.clone();
        assert_eq!(Attributes::from(to_the_store), whole.attributes);
        assert!(!format!("{whole:?}").contains("tanstaaf"));
    }
}

//! The contract's types as a recording has them: to JSON without secrets, and
//! back into what a guest is asked.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use restante_pop3::ScramHash;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::bindings::exports::restante::plugin::{
    admission, authenticator, filter, scram, selector, store,
};
use crate::bindings::restante::plugin::types;
use restante_roles::backend;
use restante_roles::recording::{Octets, Redactor};

/// `types.connection`.
#[derive(Serialize, Deserialize)]
pub(crate) struct Connection {
    session: String,
    tenant: String,
    listener: String,
    client_address: String,
    client_port: u16,
    tls: Option<Tls>,
}

#[derive(Serialize, Deserialize)]
struct Tls {
    version: String,
    cipher: String,
    server_name: Option<String>,
    client_certificate: Option<Octets>,
}

impl From<types::Connection> for Connection {
    fn from(of: types::Connection) -> Self {
        Connection {
            session: of.session,
            tenant: of.tenant,
            listener: of.listener,
            client_address: of.client_address,
            client_port: of.client_port,
            tls: of.tls.map(|tls| Tls {
                version: tls.version,
                cipher: tls.cipher,
                server_name: tls.server_name,
                client_certificate: tls.client_certificate.map(Octets),
            }),
        }
    }
}

impl From<Connection> for types::Connection {
    fn from(of: Connection) -> Self {
        types::Connection {
            session: of.session,
            tenant: of.tenant,
            listener: of.listener,
            client_address: of.client_address,
            client_port: of.client_port,
            tls: of.tls.map(|tls| types::Tls {
                version: tls.version,
                cipher: tls.cipher,
                server_name: tls.server_name,
                client_certificate: tls.client_certificate.map(|der| der.0),
            }),
        }
    }
}

/// `types.account`.
#[derive(Serialize, Deserialize)]
pub(crate) struct Account {
    user: String,
    maildrop: String,
    attributes: Vec<(String, String)>,
}

impl Account {
    fn of(account: &types::Account, redactor: &mut Redactor) -> Self {
        Account {
            user: account.user.clone(),
            maildrop: account.maildrop.clone(),
            attributes: redactor.attributes(&account.attributes),
        }
    }
}

impl From<Account> for types::Account {
    fn from(of: Account) -> Self {
        types::Account {
            user: of.user,
            maildrop: of.maildrop,
            attributes: of.attributes,
        }
    }
}

/// `authenticator.credentials`: how the contract's own type is written.
#[derive(Serialize, Deserialize)]
#[serde(remote = "authenticator::Credentials", rename_all = "kebab-case")]
enum Credentials {
    Password(#[serde(with = "Password")] authenticator::Password),
    Digest(#[serde(with = "Digest")] authenticator::Digest),
    Bearer(#[serde(with = "Bearer")] authenticator::Bearer),
    Certificate(#[serde(with = "Certificate")] authenticator::Certificate),
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "authenticator::Password")]
struct Password {
    user: String,
    acting_as: Option<String>,
    secret: String,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "authenticator::Digest")]
struct Digest {
    user: String,
    #[serde(with = "Algorithm")]
    algorithm: authenticator::DigestAlgorithm,
    challenge: String,
    response: String,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "authenticator::DigestAlgorithm", rename_all = "kebab-case")]
enum Algorithm {
    Md5,
    HmacMd5,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "authenticator::Bearer")]
struct Bearer {
    user: Option<String>,
    token: String,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "authenticator::Certificate")]
struct Certificate {
    acting_as: Option<String>,
    #[serde(with = "base64_octets")]
    der: Vec<u8>,
}

/// Octets as [`Octets`] writes them.
mod base64_octets {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use restante_roles::recording::Octets;

    pub(crate) fn serialize<S: Serializer>(octets: &[u8], out: S) -> Result<S::Ok, S::Error> {
        Octets(octets.to_vec()).serialize(out)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        Octets::deserialize(from).map(|octets| octets.0)
    }
}

/// The same without secrets.
fn redacted(
    credentials: &authenticator::Credentials,
    redactor: &mut Redactor,
) -> authenticator::Credentials {
    use authenticator::Credentials::{Bearer, Certificate, Digest, Password};
    match credentials {
        Password(shown) => Password(authenticator::Password {
            user: shown.user.clone(),
            acting_as: shown.acting_as.clone(),
            secret: redactor.secret(&shown.secret),
        }),
        Digest(shown) => Digest(authenticator::Digest {
            user: shown.user.clone(),
            algorithm: shown.algorithm,
            // With it and the response a password can be guessed.
            challenge: redactor.secret(&shown.challenge),
            response: redactor.secret(&shown.response),
        }),
        Bearer(shown) => Bearer(authenticator::Bearer {
            user: shown.user.clone(),
            token: redactor.secret(&shown.token),
        }),
        Certificate(shown) => Certificate(shown.clone()),
    }
}

/// The arguments of `authenticator.authenticate`.
#[derive(Serialize, Deserialize)]
pub(crate) struct Authenticate {
    pub(crate) connection: Connection,
    #[serde(with = "Credentials")]
    pub(crate) credentials: authenticator::Credentials,
}

impl Authenticate {
    pub(crate) fn of(
        connection: types::Connection,
        credentials: &authenticator::Credentials,
        redactor: &mut Redactor,
    ) -> Self {
        Authenticate {
            connection: connection.into(),
            credentials: redacted(credentials, redactor),
        }
    }
}

/// The arguments of `scram.lookup`.
#[derive(Serialize, Deserialize)]
pub(crate) struct Lookup {
    pub(crate) connection: Connection,
    pub(crate) user: String,
    pub(crate) acting_as: Option<String>,
    hash: String,
}

impl Lookup {
    pub(crate) fn of(
        connection: types::Connection,
        user: &str,
        acting_as: Option<&str>,
        hash: ScramHash,
    ) -> Self {
        Lookup {
            connection: connection.into(),
            user: user.to_owned(),
            acting_as: acting_as.map(str::to_owned),
            hash: match hash {
                ScramHash::Sha1 => "sha1".to_owned(),
                ScramHash::Sha256 => "sha256".to_owned(),
            },
        }
    }

    pub(crate) fn hash(&self) -> scram::Hash {
        match self.hash.as_str() {
            "sha1" => scram::Hash::Sha1,
            _ => scram::Hash::Sha256,
        }
    }
}

/// The arguments of `admission.admit`.
#[derive(Serialize, Deserialize)]
pub(crate) struct Admit {
    pub(crate) connection: Connection,
}

/// The arguments of `store.open`.
#[derive(Serialize, Deserialize)]
pub(crate) struct Open {
    pub(crate) account: Account,
}

impl Open {
    pub(crate) fn of(account: &types::Account, redactor: &mut Redactor) -> Self {
        Open {
            account: Account::of(account, redactor),
        }
    }
}

/// The arguments of `filter.screen`: what the message tells of itself anyway.
#[derive(Serialize, Deserialize)]
pub(crate) struct Screen {
    pub(crate) account: Account,
    pub(crate) unique_id: String,
    pub(crate) octets: u64,
    pub(crate) received: u64,
}

impl Screen {
    pub(crate) fn of(
        account: &types::Account,
        message: &dyn backend::Message,
        redactor: &mut Redactor,
    ) -> Self {
        Screen {
            account: Account::of(account, redactor),
            unique_id: message.unique_id().to_owned(),
            octets: message.octets(),
            received: message.received(),
        }
    }
}

/// The arguments of `selector.select`: the whole view.
#[derive(Serialize, Deserialize)]
pub(crate) struct Select {
    pub(crate) connection: Connection,
    pub(crate) account: Account,
    pub(crate) unique_ids: Vec<String>,
    pub(crate) octets: Vec<u64>,
    pub(crate) received: Vec<u64>,
}

impl Select {
    pub(crate) fn of(
        connection: types::Connection,
        account: &types::Account,
        entries: &backend::Entries,
        redactor: &mut Redactor,
    ) -> Self {
        let listing = &entries.listing;
        let positions = || 0..listing.len();
        Select {
            connection: connection.into(),
            account: Account::of(account, redactor),
            unique_ids: positions()
                .map(|at| listing.unique_id(at).to_owned())
                .collect(),
            octets: positions().map(|at| listing.octets(at)).collect(),
            received: entries.received.clone(),
        }
    }
}

/// Any of the arguments or answers as JSON.
pub(crate) fn value(of: impl Serialize) -> Value {
    // Maps have text keys and no number is odd: this cannot fail.
    serde_json::to_value(of).unwrap_or_default()
}

pub(crate) fn failure(of: &types::Failure) -> Value {
    match of {
        types::Failure::Temporary(text) => json!({ "temporary": text }),
        types::Failure::Permanent(text) => json!({ "permanent": text }),
        types::Failure::InUse(text) => json!({ "in-use": text }),
        types::Failure::LoginDelay(seconds) => json!({ "login-delay": seconds }),
        types::Failure::Other((code, text)) => json!({ "code": code, "text": text }),
    }
}

/// A result whose error is a failure.
pub(crate) fn result<T>(of: &Result<T, types::Failure>, ok: impl FnOnce(&T) -> Value) -> Value {
    match of {
        Ok(of) => ok(of),
        Err(of) => json!({ "failure": failure(of) }),
    }
}

fn denial(of: &authenticator::Denial) -> Value {
    match of {
        authenticator::Denial::Unknown => json!("unknown"),
        authenticator::Denial::Rejected => json!("rejected"),
        authenticator::Denial::Failed(of) => json!({ "failure": failure(of) }),
    }
}

/// The answer of `authenticator.authenticate`.
pub(crate) fn decision(
    of: &Result<types::Account, authenticator::Denial>,
    redactor: Option<&mut Redactor>,
) -> Value {
    match of {
        Ok(account) => json!({ "account": account_of(account, redactor) }),
        Err(of) => denial(of),
    }
}

fn account_of(account: &types::Account, redactor: Option<&mut Redactor>) -> Value {
    let attributes = match redactor {
        Some(redactor) => redactor.attributes(&account.attributes),
        None => account.attributes.clone(),
    };
    value(Account {
        user: account.user.clone(),
        maildrop: account.maildrop.clone(),
        attributes,
    })
}

/// The answer of `scram.lookup`.
pub(crate) fn keys(
    of: &Result<scram::Keys, authenticator::Denial>,
    redactor: Option<&mut Redactor>,
) -> Value {
    let keys = match of {
        Ok(keys) => keys,
        Err(of) => return denial(of),
    };
    let [salt, stored, server] = [&keys.salt, &keys.stored_key, &keys.server_key].map(|octets| {
        STANDARD.encode(match &redactor {
            Some(redactor) => redactor.secret_octets(octets),
            None => octets.clone(),
        })
    });
    let account = keys.account.as_ref();
    let account = account.map(|account| account_of(account, redactor));
    json!({
        "salt": salt,
        "iterations": keys.iterations,
        "stored-key": stored,
        "server-key": server,
        "account": account,
    })
}

/// The answer of `admission.admit`.
pub(crate) fn leave(of: &admission::Verdict) -> Value {
    match of {
        admission::Verdict::Admit => json!("admit"),
        admission::Verdict::Delay(milliseconds) => json!({ "delay": milliseconds }),
        admission::Verdict::Deny(text) => json!({ "deny": text }),
    }
}

/// The answer of `filter.screen`; header fields may be made of mail.
pub(crate) fn verdict(of: &filter::Verdict, mail: bool) -> Value {
    match of {
        filter::Verdict::Show => json!("show"),
        filter::Verdict::Hide => json!("hide"),
        filter::Verdict::Annotate(fields) if mail => json!({ "annotate": fields }),
        filter::Verdict::Annotate(fields) => json!({ "annotate": { "fields": fields.len() } }),
    }
}

/// The answer of `selector.select`.
pub(crate) fn spans(of: &[selector::Span]) -> Value {
    let spans = of.iter().map(|span| json!([span.start, span.length]));
    json!({ "hide": spans.collect::<Vec<_>>() })
}

/// Texts out of a packed column.
pub(crate) fn unpacked(texts: &str) -> Vec<&str> {
    texts.split_terminator('\0').collect()
}

/// The answer of `store.listing`.
pub(crate) fn listing(of: &store::Listing) -> Value {
    let surrogates = of.surrogates.iter();
    let surrogates = surrogates.map(|surrogate| json!([surrogate.position, surrogate.octets]));
    json!({
        "unique-ids": unpacked(&of.unique_ids),
        "octets": of.octets,
        "received": of.received,
        "names": unpacked(&of.names),
        "surrogates": surrogates.collect::<Vec<_>>(),
        "memo": of.memo,
    })
}

/// The answer of `store.changes`.
pub(crate) fn changes(of: &Option<store::Changes>) -> Value {
    match of {
        None => json!("all anew"),
        Some(changes) => json!({
            "gone": unpacked(&changes.gone),
            "came": listing(&changes.came),
        }),
    }
}

/// The answer of `store.content`; a reader is known by a number.
pub(crate) fn content(of: &store::Content, reader: u64, inline: impl Fn(&[u8]) -> Value) -> Value {
    match of {
        store::Content::Inline(octets) => json!({ "inline": inline(octets) }),
        store::Content::File(range) => json!({
            "file": { "path": range.path, "offset": range.offset, "length": range.length },
        }),
        store::Content::Reader(_) => json!({ "reader": reader }),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// A recording is read by other versions of the server than the one that wrote it.
    #[test]
    fn credentials_are_written_as_they_always_were() {
        use authenticator::{Bearer, Certificate, Digest, DigestAlgorithm, Password};
        for (credentials, written) in [
            (
                authenticator::Credentials::Password(Password {
                    user: "ada".into(),
                    acting_as: Some("bob".into()),
                    secret: "s".into(),
                }),
                json!({"password": {"user": "ada", "acting_as": "bob", "secret": "s"}}),
            ),
            (
                authenticator::Credentials::Digest(Digest {
                    user: "ada".into(),
                    algorithm: DigestAlgorithm::HmacMd5,
                    challenge: "<1@h>".into(),
                    response: "00".into(),
                }),
                json!({"digest": {
                    "user": "ada", "algorithm": "hmac-md5", "challenge": "<1@h>", "response": "00",
                }}),
            ),
            (
                authenticator::Credentials::Bearer(Bearer {
                    user: None,
                    token: "t".into(),
                }),
                json!({"bearer": {"user": null, "token": "t"}}),
            ),
            (
                authenticator::Credentials::Certificate(Certificate {
                    acting_as: None,
                    der: vec![0x30, 0],
                }),
                json!({"certificate": {"acting_as": null, "der": "MAA="}}),
            ),
        ] {
            let found = Credentials::serialize(&credentials, serde_json::value::Serializer);
            assert_eq!(found.unwrap(), written);
            let read = Credentials::deserialize(&written).unwrap();
            let again = Credentials::serialize(&read, serde_json::value::Serializer);
            assert_eq!(again.unwrap(), written);
        }
    }
}

//! A backend of vectors: users and mail that live as long as the process.
//!
//! It implements the same traits as the plugins do, so everything between the
//! socket and the policy can be run, and tested, without a sandbox.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use hmac::{Hmac, KeyInit, Mac};
use md5::{Digest, Md5};
use parking_lot::{Mutex, MutexGuard};
use restante_pop3::{DigestAlgorithm, Listing, Scales, ScramHash, ScramKeys, Weight};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use tracing::warn;

use crate::backend::{
    Accepts, Account, Attributes, Authenticator, Connection, Content, Credentials, Denial, Entries,
    Failure, FoundMaildrop, Maildrop, Store,
};
use crate::passwords::ScramSecret;

/// Of every user's SCRAM keys.
const SCRAM_ITERATIONS: u32 = 4096;
const SCRAM_SALT_OCTETS: usize = 16;

/// One message, as it is kept.
#[derive(Debug, Clone)]
pub struct Mail {
    /// Its unique-id, never given to another message.
    pub unique_id: String,
    /// Seconds since the Unix epoch; 0: not known.
    pub received: u64,
    /// Its octets, with whatever line ends.
    pub content: Arc<[u8]>,
}

/// Users and their mail.
pub struct Memory {
    accepts: Mutex<Accepts>,
    users: Mutex<HashMap<String, User>>,
    /// Whose each is.
    tokens: Mutex<HashMap<String, String>>,
    maildrops: Arc<Mutex<HashMap<String, Vec<Mail>>>>,
}

struct User {
    password: String,
    account: Account,
    /// Others that this user may act as.
    others: Vec<String>,
}

impl Default for Memory {
    fn default() -> Self {
        Memory::new()
    }
}

impl Memory {
    /// Nobody and nothing.
    pub fn new() -> Self {
        Memory {
            accepts: Mutex::new(Accepts::PASSWORD),
            users: Mutex::default(),
            tokens: Mutex::default(),
            maildrops: Arc::default(),
        }
    }

    /// Judges these kinds of credentials, and not passwords alone. To be said before
    /// it is put to work.
    pub fn accept(&self, accepts: Accepts) {
        *lock(&self.accepts) = accepts;
    }

    /// Adds a user, or replaces the one of this name.
    pub fn add_user(&self, name: &str, password: &str, maildrop: &str) {
        let account = Account {
            user: name.into(),
            maildrop: maildrop.into(),
            attributes: Attributes::default(),
        };
        let user = User {
            password: password.into(),
            account,
            others: Vec::new(),
        };
        lock(&self.users).insert(name.into(), user);
    }

    /// A user who is there may act as another one.
    pub fn let_act_as(&self, name: &str, other: &str) {
        if let Some(user) = lock(&self.users).get_mut(name) {
            user.others.push(other.into());
        }
    }

    /// Adds an access token of a user.
    pub fn add_token(&self, token: &str, name: &str) {
        lock(&self.tokens).insert(token.into(), name.into());
    }

    /// Delivers a message behind those that are there.
    pub fn deliver(&self, maildrop: &str, mail: Mail) {
        lock(&self.maildrops)
            .entry(maildrop.into())
            .or_default()
            .push(mail);
    }

    /// What is in a maildrop now.
    pub fn mail(&self, maildrop: &str) -> Vec<Mail> {
        lock(&self.maildrops)
            .get(maildrop)
            .cloned()
            .unwrap_or_default()
    }
}

/// Every change is one call on the map.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock()
}

#[async_trait]
impl Authenticator for Memory {
    fn accepts(&self) -> Accepts {
        *lock(&self.accepts)
    }

    fn judges_acting_as(&self) -> bool {
        true
    }

    async fn authenticate(
        &self,
        _connection: &Arc<Connection>,
        credentials: &Credentials,
    ) -> Result<Account, Denial> {
        match credentials {
            Credentials::Password {
                user,
                acting_as,
                secret,
            } => {
                let right = |password: &str| same(password, secret.expose());
                self.with_password(user, acting_as.as_deref(), right)
            }
            Credentials::Digest {
                user,
                algorithm,
                challenge,
                response,
            } => {
                let right =
                    |password: &str| same(&digest(*algorithm, challenge, password), response);
                self.with_password(user, None, right)
            }
            Credentials::Bearer { user, token, .. } => {
                let name = lock(&self.tokens).get(token.expose()).cloned();
                let name = name.ok_or(Denial::Rejected)?;
                if user.as_ref().is_some_and(|user| *user != name) {
                    return Err(Denial::Rejected);
                }
                let users = lock(&self.users);
                users
                    .get(&name)
                    .map(|user| user.account.clone())
                    .ok_or(Denial::Rejected)
            }
            Credentials::Certificate { .. } => Err(Denial::Unknown),
        }
    }

    async fn scram_keys(
        &self,
        _connection: &Arc<Connection>,
        user: &str,
        acting_as: Option<&str>,
        hash: ScramHash,
    ) -> Result<(ScramKeys, Option<Account>), Denial> {
        let (password, account) = {
            let users = lock(&self.users);
            let known = users.get(user).ok_or(Denial::Unknown)?;
            (known.password.clone(), acts(&users, known, acting_as))
        };
        // There is nothing here that a salt could keep from anybody.
        let salt = &Sha256::digest(user)[..SCRAM_SALT_OCTETS];
        let keys = ScramSecret::derive(hash, &password, salt, SCRAM_ITERATIONS)
            .map_err(|_| Denial::Failed(Failure::internal()))?;
        let keys = ScramKeys::new(
            hash,
            salt,
            SCRAM_ITERATIONS,
            &keys.stored_key,
            &keys.server_key,
        );
        let keys = keys.map_err(|_| Denial::Failed(Failure::internal()))?;
        Ok((keys, account))
    }
}

impl Memory {
    fn with_password(
        &self,
        user: &str,
        acting_as: Option<&str>,
        right: impl FnOnce(&str) -> bool,
    ) -> Result<Account, Denial> {
        let users = lock(&self.users);
        let user = users.get(user).ok_or(Denial::Unknown)?;
        if !right(&user.password) {
            return Err(Denial::Rejected);
        }
        acts(&users, user, acting_as).ok_or(Denial::Rejected)
    }
}

/// The account of a user, or of another whom it may act as.
fn acts(users: &HashMap<String, User>, user: &User, acting_as: Option<&str>) -> Option<Account> {
    match acting_as {
        Some(other) if other != user.account.user => {
            let may = user.others.iter().any(|one| one == other);
            let other = users.get(other).filter(|_| may)?;
            Some(other.account.clone())
        }
        _ => Some(user.account.clone()),
    }
}

/// In lower-case hexadecimal.
fn digest(algorithm: DigestAlgorithm, challenge: &str, password: &str) -> String {
    let octets = match algorithm {
        DigestAlgorithm::Md5 => Md5::digest(format!("{challenge}{password}")),
        DigestAlgorithm::HmacMd5 => <Hmac<Md5> as KeyInit>::new_from_slice(password.as_bytes())
            .expect("HMAC takes a key of any length")
            .chain_update(challenge)
            .finalize()
            .into_bytes(),
    };
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

fn same(one: &str, other: &str) -> bool {
    one.as_bytes().ct_eq(other.as_bytes()).into()
}

#[async_trait]
impl Store for Memory {
    async fn find(
        &self,
        _connection: &Arc<Connection>,
        account: &Account,
    ) -> Result<Box<dyn FoundMaildrop>, Failure> {
        Ok(Box::new(Found {
            maildrops: Arc::clone(&self.maildrops),
            name: account.maildrop.clone(),
            key: format!("memory:{}", account.maildrop),
        }))
    }
}

struct Found {
    maildrops: Arc<Mutex<HashMap<String, Vec<Mail>>>>,
    name: String,
    key: String,
}

#[async_trait]
impl FoundMaildrop for Found {
    fn lock_key(&self) -> &str {
        &self.key
    }

    fn shared_key(&self) -> Result<String, Failure> {
        Ok(self.key.clone())
    }

    async fn open(self: Box<Self>) -> Result<Box<dyn Maildrop>, Failure> {
        let opened = lock(&self.maildrops).get(&self.name).cloned();
        Ok(Box::new(MemoryMaildrop {
            opened: opened.unwrap_or_default(),
            maildrops: self.maildrops,
            name: self.name,
        }))
    }
}

struct MemoryMaildrop {
    maildrops: Arc<Mutex<HashMap<String, Vec<Mail>>>>,
    name: String,
    opened: Vec<Mail>,
}

impl MemoryMaildrop {
    fn at(&self, position: usize) -> Result<&Mail, Failure> {
        self.opened.get(position).ok_or_else(Failure::internal)
    }
}

#[async_trait]
impl Maildrop for MemoryMaildrop {
    async fn listing(&mut self) -> Result<Arc<Entries>, Failure> {
        let weights: Vec<Weight> = self
            .opened
            .iter()
            .map(|mail| Scales::weigh(&mail.content))
            .collect();
        let ids = self.opened.iter().map(|mail| mail.unique_id.as_str());
        let listing = Listing::new(ids.zip(weights.iter().map(|weight| weight.octets)));
        let surrogates = weights.iter().map(|weight| weight.surrogate).enumerate();
        let both = listing.and_then(|listing| {
            let surrogates = listing.with_octets(surrogates)?;
            Ok((listing, surrogates))
        });
        let (listing, surrogates) = both.map_err(|error| {
            warn!(maildrop = self.name, %error, "the mail that was delivered makes no listing");
            Failure::internal()
        })?;
        Ok(Arc::new(Entries {
            listing: Arc::new(listing),
            surrogates: Arc::new(surrogates),
            received: self.opened.iter().map(|mail| mail.received).collect(),
        }))
    }

    async fn content(&mut self, position: usize) -> Result<Content, Failure> {
        let mail = self.at(position)?;
        let there = lock(&self.maildrops)
            .get(&self.name)
            .is_some_and(|mails| mails.iter().any(|other| other.unique_id == mail.unique_id));
        if there {
            Ok(Content::Inline(mail.content.to_vec()))
        } else {
            Err(Failure::Temporary("the message is gone".into()))
        }
    }

    async fn remove(&mut self, positions: &[usize]) -> Result<(), Failure> {
        let mut removed = Vec::with_capacity(positions.len());
        for &position in positions {
            removed.push(self.at(position)?.unique_id.as_str());
        }
        if let Some(mails) = lock(&self.maildrops).get_mut(&self.name) {
            mails.retain(|mail| !removed.contains(&mail.unique_id.as_str()));
        }
        Ok(())
    }
}

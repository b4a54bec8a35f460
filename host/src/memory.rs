//! A backend of vectors: users and mail that live as long as the process.
//!
//! It implements the same traits as the plugins do, so everything between the
//! socket and the policy can be run, and tested, without a sandbox.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use restante_pop3::{Listing, Measure};
use subtle::ConstantTimeEq;
use tracing::warn;

use crate::backend::{
    Accepts, Account, Authenticator, Connection, Content, Credentials, Denial, Entries, Failure,
    Maildrop, Store,
};

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
#[derive(Default)]
pub struct Memory {
    users: Mutex<HashMap<String, User>>,
    maildrops: Arc<Mutex<HashMap<String, Vec<Mail>>>>,
}

struct User {
    password: String,
    account: Account,
}

impl Memory {
    /// Nobody and nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a user, or replaces the one of this name.
    pub fn add_user(&self, name: &str, password: &str, maildrop: &str) {
        let account = Account {
            user: name.into(),
            maildrop: maildrop.into(),
            attributes: Vec::new(),
        };
        let user = User {
            password: password.into(),
            account,
        };
        lock(&self.users).insert(name.into(), user);
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

/// Every change is one call on the map: poison means nothing.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[async_trait]
impl Authenticator for Memory {
    fn accepts(&self) -> Accepts {
        Accepts::PASSWORD
    }

    async fn authenticate(
        &self,
        _connection: &Arc<Connection>,
        credentials: &Credentials,
    ) -> Result<Account, Denial> {
        let Credentials::Password {
            user,
            acting_as,
            secret,
        } = credentials
        else {
            return Err(Denial::Unknown);
        };
        let users = lock(&self.users);
        let user = users.get(user).ok_or(Denial::Unknown)?;
        let right = user.password.as_bytes().ct_eq(secret.expose().as_bytes());
        // Nobody may act for anybody else here.
        let myself = acting_as
            .as_ref()
            .is_none_or(|other| *other == user.account.user);
        if bool::from(right) && myself {
            Ok(user.account.clone())
        } else {
            Err(Denial::Rejected)
        }
    }
}

#[async_trait]
impl Store for Memory {
    async fn lock_key(
        &self,
        _connection: &Connection,
        account: &Account,
    ) -> Result<String, Failure> {
        Ok(format!("memory:{}", account.maildrop))
    }

    async fn open(
        &self,
        _connection: &Arc<Connection>,
        account: &Account,
    ) -> Result<Box<dyn Maildrop>, Failure> {
        Ok(Box::new(MemoryMaildrop {
            maildrops: Arc::clone(&self.maildrops),
            name: account.maildrop.clone(),
            opened: self.mail(&account.maildrop),
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
        let octets = |mail: &Mail| {
            let mut measure = Measure::new();
            measure.feed(&mail.content);
            measure.finish()
        };
        let messages = self.opened.iter();
        let listing = Listing::new(messages.map(|mail| (mail.unique_id.as_str(), octets(mail))));
        let listing = listing.map_err(|error| {
            warn!(maildrop = self.name, %error, "the mail that was delivered makes no listing");
            Failure::internal()
        })?;
        Ok(Arc::new(Entries {
            listing: Arc::new(listing),
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

//! Listings, remembered across sessions while the store's stamp stays the
//! same: a client that polls an unchanged maildrop costs no listing.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use lru::LruCache;

use crate::backend::{Account, Entries};

/// Messages whose listings are remembered, over all maildrops; about
/// [`MESSAGE_OCTETS`] each.
const MESSAGES: usize = 2_000_000;

/// Octets of text that count as one message: a guest chooses how long its names
/// and its stamp are.
const MESSAGE_OCTETS: usize = 150;

/// What a listing depends on beside the stamp. The account is there whole: a
/// store may tell two accounts on one maildrop different things.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    /// Of the plugin: its component, settings and grants.
    pub(super) identity: Arc<str>,
    pub(super) tenant: String,
    pub(super) path: Option<PathBuf>,
    pub(super) account: Account,
}

/// What a store told of a maildrop.
pub(super) struct Listed {
    pub(super) entries: Arc<Entries>,
    /// None: the unique-ids serve.
    pub(super) names: Option<Names>,
}

impl Listed {
    /// The store's own name for a message.
    pub(super) fn name(&self, position: usize) -> Option<&str> {
        if position >= self.entries.listing.len() {
            return None;
        }
        match &self.names {
            Some(names) => names.get(position),
            None => Some(self.entries.listing.unique_id(position)),
        }
    }
}

/// Many short texts in one.
pub(super) struct Names {
    text: String,
    ends: Vec<usize>,
}

impl Names {
    pub(super) fn pack(names: &[String]) -> Self {
        let mut text = String::with_capacity(names.iter().map(String::len).sum());
        let mut ends = Vec::with_capacity(names.len());
        for name in names {
            text.push_str(name);
            ends.push(text.len());
        }
        Self { text, ends }
    }

    fn get(&self, position: usize) -> Option<&str> {
        let end = *self.ends.get(position)?;
        let start = match position.checked_sub(1) {
            Some(before) => self.ends[before],
            None => 0,
        };
        Some(&self.text[start..end])
    }
}

/// The memory itself.
pub(super) struct Listings {
    inner: Mutex<Inner>,
}

struct Inner {
    listings: LruCache<Key, (String, Arc<Listed>)>,
    messages: usize,
}

impl Listings {
    pub(super) fn new() -> Self {
        Self {
            inner: Mutex::new(Inner {
                listings: LruCache::unbounded(),
                messages: 0,
            }),
        }
    }

    /// The listing told under this stamp.
    pub(super) fn recall(&self, key: &Key, stamp: &str) -> Option<Arc<Listed>> {
        let mut inner = self.lock();
        let (told, listed) = inner.listings.get(key)?;
        (told == stamp).then(|| listed.clone())
    }

    pub(super) fn remember(&self, key: Key, stamp: String, listed: Arc<Listed>) {
        let mut inner = self.lock();
        // One message at least, so that empty maildrops are bounded too.
        inner.messages += weight(&key, &stamp, &listed);
        if let Some((key, (stamp, old))) = inner.listings.push(key, (stamp, listed)) {
            inner.messages -= weight(&key, &stamp, &old);
        }
        while inner.messages > MESSAGES {
            let Some((key, (stamp, old))) = inner.listings.pop_lru() else {
                break;
            };
            inner.messages -= weight(&key, &stamp, &old);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        // At worst a sum is off after a panic, and the bound with it.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn weight(key: &Key, stamp: &str, listed: &Listed) -> usize {
    let names = listed.names.as_ref().map_or(0, |names| names.text.len());
    let octets = names + stamp.len() + key.account.octets();
    listed
        .entries
        .listing
        .len()
        .max(octets / MESSAGE_OCTETS)
        .max(1)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use restante_pop3::Listing;

    fn key(user: &str) -> Key {
        Key {
            identity: "plugin".into(),
            tenant: "tenant".into(),
            path: None,
            account: Account {
                user: user.into(),
                maildrop: "maildrop".into(),
                attributes: Vec::new(),
            },
        }
    }

    fn listed(messages: usize) -> Arc<Listed> {
        let ids = (0..messages).map(|number| (number.to_string(), 1));
        let listing = Arc::new(Listing::new(ids).unwrap());
        Arc::new(Listed {
            entries: Arc::new(Entries {
                listing: listing.clone(),
                surrogates: listing,
                received: vec![0; messages],
            }),
            names: None,
        })
    }

    #[test]
    fn a_listing_is_recalled_under_its_own_stamp_and_account_only() {
        let listings = Listings::new();
        listings.remember(key("a"), "1".into(), listed(3));
        assert!(listings.recall(&key("a"), "1").is_some());
        assert!(listings.recall(&key("a"), "2").is_none());
        assert!(listings.recall(&key("b"), "1").is_none());
    }

    #[test]
    fn the_sum_of_messages_is_bounded_and_the_oldest_goes() {
        let listings = Listings::new();
        let large = listed(MESSAGES / 4);
        for user in ["a", "b", "c", "d"] {
            listings.remember(key(user), "1".into(), large.clone());
        }
        listings.remember(key("e"), "1".into(), listed(1));
        assert!(listings.recall(&key("a"), "1").is_none());
        assert!(listings.recall(&key("d"), "1").is_some());
        for _ in 0..10 {
            listings.remember(key("d"), "2".into(), large.clone());
        }
        assert!(listings.recall(&key("b"), "1").is_some());
        assert!(listings.lock().messages <= MESSAGES);
    }

    #[test]
    fn names_come_out_as_they_went_in() {
        let names = Names::pack(&["cur/a".into(), String::new(), "new/b".into()]);
        assert_eq!(names.get(0), Some("cur/a"));
        assert_eq!(names.get(1), Some(""));
        assert_eq!(names.get(2), Some("new/b"));
        assert_eq!(names.get(3), None);
    }
}

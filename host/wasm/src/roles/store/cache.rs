//! Listings, remembered across sessions: while the store's stamp stays the
//! same, a client that polls an unchanged maildrop costs no listing; and for
//! what changed since, where the store can tell that, not all of one.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use hmac::{Hmac, KeyInit, Mac};
use parking_lot::Mutex;
use sha2::Sha256;

use crate::disk::left_out::AllLeftOut;
use crate::instance::facts::Facts;
use restante_roles::backend::{Account, Entries};
use restante_roles::tenant_cache::TenantCache;

/// Bytes that remembered listings take, over all maildrops.
const MAX_BYTES: usize = 512 << 20;

/// Bytes of them that are one tenant's: its own oldest makes room.
const MAX_BYTES_OF_TENANT: usize = MAX_BYTES / 4;

/// An account, all of it, as a digest with a key of this process's own: what is
/// remembered when the session is over has no secret of the account's in it, and nothing
/// that one could be guessed by.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct AccountKey([u8; ACCOUNT_KEY_OCTETS]);

/// Octets of such a digest.
const ACCOUNT_KEY_OCTETS: usize = 32;

/// The key of the digests. None: the system has no randomness, and nothing has a digest.
static DIGEST_KEY: LazyLock<Option<[u8; ACCOUNT_KEY_OCTETS]>> = LazyLock::new(|| {
    let mut key = [0; ACCOUNT_KEY_OCTETS];
    getrandom::fill(&mut key).ok().map(|()| key)
});

impl AccountKey {
    /// None: the system has no randomness.
    pub(crate) fn of(account: &Account) -> Option<Self> {
        let key = (*DIGEST_KEY)?;
        let mut digest =
            Hmac::<Sha256>::new_from_slice(&key).expect("HMAC takes keys of any length");
        // Each part goes in with its length, so that no two lists of parts are the same
        // octets.
        let mut part = |text: &str| {
            digest.update(&(text.len() as u64).to_le_bytes());
            digest.update(text.as_bytes());
        };
        part(&account.user);
        part(&account.maildrop);
        for (name, value) in account.attributes.exposed() {
            part(name);
            part(value);
        }
        Some(AccountKey(digest.finalize().into_bytes().into()))
    }
}

/// What a listing depends on beside the stamp. The whole account is in it: a
/// store may tell two accounts on one maildrop different things.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    /// Of the plugin: its component, settings and grants.
    pub(crate) identity: Arc<str>,
    pub(crate) tenant: String,
    pub(crate) path: Option<PathBuf>,
    pub(crate) account: AccountKey,
}

/// What a store told of a maildrop.
pub(crate) struct Listed {
    pub(crate) entries: Arc<Entries>,
    /// None: the unique-ids serve.
    pub(crate) names: Option<Names>,
}

impl Listed {
    /// The store's own name for a message.
    pub(crate) fn name(&self, position: usize) -> Option<&str> {
        if position >= self.entries.listing.len() {
            return None;
        }
        match &self.names {
            Some(names) => names.get(position),
            None => Some(self.entries.listing.unique_id(position)),
        }
    }
}

/// Many short texts in one, each with a NUL behind it.
#[derive(Default)]
pub(crate) struct Names {
    text: String,
    /// Where each ends, its NUL included.
    ends: Vec<u32>,
}

impl Names {
    /// What the guest handed over, which has a NUL at its end. At most 4 GiB: its
    /// whole memory.
    pub(crate) fn packed(text: String) -> Self {
        let ends = memchr::memchr_iter(0, text.as_bytes());
        let ends = ends.map(|at| at as u32 + 1).collect();
        Self { text, ends }
    }

    pub(crate) fn with_capacity(octets: usize) -> Self {
        Self {
            text: String::with_capacity(octets),
            ends: Vec::new(),
        }
    }

    /// Those at some positions of another, in no more memory than they need.
    pub(crate) fn exactly(from: &Names, positions: &Range<usize>) -> Self {
        let start = from.start(positions.start);
        let end = from.start(positions.end);
        let mut names = Self {
            text: String::with_capacity(end - start),
            ends: Vec::with_capacity(positions.len()),
        };
        names.append(from, positions);
        names
    }

    pub(crate) fn octets(&self) -> usize {
        self.text.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.text.capacity() + self.ends.capacity() * size_of::<u32>()
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Appends those at some positions of another.
    pub(crate) fn append(&mut self, from: &Names, positions: &Range<usize>) {
        let ends = &from.ends[positions.clone()];
        let start = from.start(positions.start);
        let end = ends.last().map_or(start, |end| *end as usize);
        let base = self.text.len();
        self.text.push_str(&from.text[start..end]);
        let ends = ends.iter().map(|end| *end as usize - start + base);
        self.ends.extend(ends.map(|end| end as u32));
    }

    fn start(&self, position: usize) -> usize {
        match position.checked_sub(1) {
            Some(before) => self.ends[before] as usize,
            None => 0,
        }
    }

    /// Of names in order: the position behind this one.
    pub(crate) fn after(&self, name: &str) -> usize {
        let mut positions = 0..self.len();
        while !positions.is_empty() {
            let middle = usize::midpoint(positions.start, positions.end);
            match self.get(middle).is_some_and(|other| other <= name) {
                true => positions.start = middle + 1,
                false => positions.end = middle,
            }
        }
        positions.start
    }

    pub(crate) fn get(&self, position: usize) -> Option<&str> {
        let end = *self.ends.get(position)? as usize;
        Some(&self.text[self.start(position)..end - 1])
    }
}

/// A listing, and what it was told with.
#[derive(Clone)]
pub(crate) struct CachedListing {
    /// None: the store would not vouch for it.
    pub(crate) stamp: Option<String>,
    /// While these hold the stamp is the same. None: the store has to be asked.
    pub(crate) facts: Option<Facts>,
    /// None: the store cannot tell changes.
    pub(crate) memo: Option<Arc<str>>,
    /// What the scans behind it left out.
    pub(crate) left_out: AllLeftOut,
    pub(crate) listed: Arc<Listed>,
}

/// The memory itself.
pub(crate) struct Listings(Mutex<TenantCache<Key, CachedListing>>);

impl Listings {
    pub(crate) fn new() -> Self {
        Self::bounded(MAX_BYTES, MAX_BYTES_OF_TENANT)
    }

    /// One that has no room for any.
    pub(crate) fn none() -> Self {
        Self::bounded(0, 0)
    }

    fn bounded(most: usize, most_of_tenant: usize) -> Self {
        Self(Mutex::new(TenantCache::new(most, most_of_tenant)))
    }

    /// The listing that was told last.
    pub(crate) fn recall(&self, key: &Key) -> Option<CachedListing> {
        self.lock().get(key).cloned()
    }

    pub(crate) fn remember(&self, key: Key, told: CachedListing) {
        let (tenant, weight) = (key.tenant.clone(), weight(&key, &told));
        self.lock().insert(&tenant, key, told, weight);
    }

    /// Something in it was not true.
    pub(crate) fn forget(&self, key: &Key) {
        self.lock().remove(key);
    }

    fn lock(&self) -> parking_lot::MutexGuard<'_, TenantCache<Key, CachedListing>> {
        // At worst a sum is off after a panic, and the bound with it.
        self.0.lock()
    }
}

/// In bytes, all that it holds: a guest chooses how long its texts are.
fn weight(key: &Key, told: &CachedListing) -> usize {
    let listed = &told.listed;
    let entries = &listed.entries;
    let names = listed.names.as_ref().map_or(0, Names::bytes);
    let stamp = told.stamp.as_ref().map_or(0, String::len);
    let memo = told.memo.as_ref().map_or(0, |memo| memo.len());
    let facts = told.facts.as_ref().map_or(0, Facts::octets);
    let path = key.path.as_ref().map_or(0, |path| path.as_os_str().len());
    // Its octets and the end of its unique-id.
    let listing = &entries.listing;
    let left_out = told.left_out.bytes();
    let columns = listing.len() * (size_of::<u64>() + size_of::<u32>());
    let ids: usize = (0..listing.len())
        .map(|at| listing.unique_id(at).len())
        .sum();
    // The same unique-ids, with other octets.
    let surrogates = match Arc::ptr_eq(listing, &entries.surrogates) {
        true => 0,
        false => entries.surrogates.len() * size_of::<u64>(),
    };
    let received = entries.received.len() * size_of::<u64>();
    let told = columns + ids + surrogates + received + names + stamp + memo + facts + left_out;
    told + size_of::<(Key, CachedListing, Entries)>() + path + key.tenant.len()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use restante_pop3::Listing;
    use restante_roles::tenant_cache::ENTRY_BYTES;

    fn key(user: &str) -> Key {
        Key {
            identity: "plugin".into(),
            tenant: "tenant".into(),
            path: None,
            account: AccountKey::of(&account(user, "attribute", "value")).unwrap(),
        }
    }

    fn account(user: &str, name: &str, value: &str) -> Account {
        Account {
            user: user.into(),
            maildrop: "maildrop".into(),
            attributes: vec![(name.into(), value.into())].into(),
        }
    }

    #[test]
    fn another_secret_is_another_key_and_the_key_has_no_secret() {
        let of = |name, value| AccountKey::of(&account("u", name, value)).unwrap();
        let key = of("secret.password", "tanstaaf");
        assert!(key == of("secret.password", "tanstaaf"));
        assert!(key != of("secret.password", "tanstaafl"));
        assert!(key != of("secret.passwordt", "anstaaf"));
        // A digest and nothing else: it has no room for what went into it.
        assert_eq!(size_of_val(&key), ACCOUNT_KEY_OCTETS);
    }

    fn told(messages: usize) -> CachedListing {
        let ids = (0..messages).map(|number| (number.to_string(), 1));
        let listing = Arc::new(Listing::new(ids).unwrap());
        let listed = Listed {
            entries: Arc::new(Entries {
                listing: listing.clone(),
                surrogates: listing,
                received: vec![0; messages],
            }),
            names: None,
        };
        CachedListing {
            stamp: None,
            facts: None,
            memo: None,
            left_out: AllLeftOut::default(),
            listed: Arc::new(listed),
        }
    }

    #[test]
    fn a_listing_is_recalled_for_its_own_account_only_until_it_is_forgotten() {
        let listings = Listings::new();
        listings.remember(key("a"), told(3));
        assert!(listings.recall(&key("a")).is_some());
        assert!(listings.recall(&key("b")).is_none());
        listings.forget(&key("a"));
        listings.forget(&key("b"));
        assert!(listings.recall(&key("a")).is_none());
        assert!(listings.lock().is_empty());
    }

    #[test]
    fn what_is_remembered_is_bounded_in_all_and_by_tenant() {
        let large = told(1000);
        let one = weight(&key("a"), &large) + ENTRY_BYTES;
        let of = |tenant: &str, user: &str| Key {
            tenant: tenant.into(),
            ..key(user)
        };
        // Room for four, and for two of one tenant.
        let room = |listings: usize| listings * one + one / 2;
        let listings = Listings::bounded(room(4), room(2));
        listings.remember(of("tenan1", "a"), large.clone());
        for user in ["a", "b", "c"] {
            listings.remember(key(user), large.clone());
        }
        assert!(listings.recall(&key("a")).is_none(), "its own oldest goes");
        assert!(listings.recall(&key("b")).is_some());
        assert!(
            listings.recall(&of("tenan1", "a")).is_some(),
            "nobody else's"
        );
        listings.remember(of("tenan2", "a"), large.clone());
        listings.remember(of("tenan2", "b"), large.clone());
        assert!(listings.recall(&key("c")).is_none(), "the oldest of all");
        for _ in 0..10 {
            listings.remember(of("tenan2", "b"), large.clone());
        }
        assert!(listings.recall(&key("b")).is_some());
        let mut with_memo = told(1);
        with_memo.memo = Some("x".repeat(room(2)).into());
        listings.remember(key("d"), with_memo);
        assert!(listings.recall(&key("d")).is_none(), "too large");
        assert!(listings.lock().bytes() <= room(4));
    }

    #[test]
    fn where_there_is_no_room_nothing_is_remembered() {
        let listings = Listings::none();
        listings.remember(key("a"), told(0));
        assert!(listings.recall(&key("a")).is_none());
    }

    #[test]
    fn a_listing_weighs_what_it_holds() {
        let empty = weight(&key("a"), &told(0));
        // A digit or more of unique-id, its end, its octets, its time.
        assert!(weight(&key("a"), &told(1000)) >= empty + 1000 * (1 + 4 + 8 + 8));
    }

    #[test]
    fn names_come_out_as_they_went_in() {
        let names = Names::packed("cur/a\0\0new/b\0".into());
        assert_eq!(names.len(), 3);
        assert_eq!(names.get(0), Some("cur/a"));
        assert_eq!(names.get(1), Some(""));
        assert_eq!(names.get(2), Some("new/b"));
        assert_eq!(names.get(3), None);
        let ordered = Names::packed("a\0b\0d\0".into());
        for (name, after) in [("", 0), ("a", 1), ("b", 2), ("c", 2), ("d", 3), ("e", 3)] {
            assert_eq!(ordered.after(name), after, "{name}");
        }
        let mut some = Names::default();
        some.append(&names, &(1..3));
        some.append(&names, &(0..1));
        some.append(&names, &(2..2));
        assert_eq!(some.get(0), Some(""));
        assert_eq!(some.get(1), Some("new/b"));
        assert_eq!(some.get(2), Some("cur/a"));
        assert_eq!(some.len(), 3);
    }
}

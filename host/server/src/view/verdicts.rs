//! What filters said of messages, remembered across logins.
//!
//! A verdict follows from filter, account and message alone. A digest over the
//! filter's name, tenant and the whole account names a *scope*, and a scope holds
//! one column of verdicts beside the listing they were given for, and the identity
//! of the filter that gave them: what another version of the plugin, or other
//! settings, had said takes no room once the new one was asked. While the maildrop
//! is unchanged the store hands out the same listing, and looking a verdict up is
//! indexing a vector.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use restante_pop3::Listing;
use sha2::{Digest, Sha256};

use restante_roles::backend::Account;
use restante_roles::tenant_cache::TenantCache;

/// Bytes of memory that remembered verdicts take at most, in the whole process.
pub const MAX_VERDICTS_BYTES: usize = 64 * 1024 * 1024;

/// Bytes that a message costs beside its unique-id: its columns in the listing
/// that is kept, and its verdict.
const MESSAGE_BYTES: usize = 32;

/// A checked verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Remembered {
    Show,
    Hide,
    /// Header fields, each with its CRLF.
    Annotate(Arc<[u8]>),
}

type Scope = [u8; 32];

/// The verdicts of all filters, bounded by [`MAX_VERDICTS_BYTES`], and a quarter of that for
/// one tenant: the accounts that were not seen for longest are forgotten first.
pub struct Verdicts(Mutex<TenantCache<Scope, Arc<Column>>>);

/// One scope's verdicts, by position in `listing`.
struct Column {
    identity: Box<str>,
    listing: Arc<Listing>,
    marks: Vec<Mark>,
    annotations: HashMap<usize, Arc<[u8]>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    NotAsked,
    Show,
    Hide,
    Annotate,
}

impl Default for Verdicts {
    fn default() -> Self {
        Self::new(MAX_VERDICTS_BYTES)
    }
}

impl Verdicts {
    /// Remembers nothing yet, and at most `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Verdicts(Mutex::new(TenantCache::new(limit, limit / 4)))
    }

    /// What this filter said of this account's messages so far. New verdicts are
    /// remembered when the round is dropped, however it ends.
    pub(super) fn begin(
        &self,
        filter: &str,
        identity: &str,
        tenant: &str,
        account: &Account,
        listing: &Arc<Listing>,
    ) -> Round<'_> {
        let scope = scope(filter, tenant, account);
        let known = self.lock().get(&scope).cloned();
        let column = match known {
            Some(known) if *known.identity != *identity => Arc::new(Column::new(identity, listing)),
            Some(known) if Arc::ptr_eq(&known.listing, listing) => known,
            Some(known) => Arc::new(known.carried_over(listing)),
            None => Arc::new(Column::new(identity, listing)),
        };
        Round {
            verdicts: self,
            tenant: tenant.to_owned(),
            scope,
            column,
            news: false,
        }
    }

    fn remember(&self, tenant: &str, scope: Scope, column: Arc<Column>) {
        let bytes = column.bytes();
        self.lock().insert(tenant, scope, column, bytes);
    }
    fn lock(&self) -> MutexGuard<'_, TenantCache<Scope, Arc<Column>>> {
        self.0.lock()
    }
}

/// One filter's verdicts for one login.
pub(super) struct Round<'a> {
    verdicts: &'a Verdicts,
    tenant: String,
    scope: Scope,
    column: Arc<Column>,
    news: bool,
}

impl Round<'_> {
    /// What was said of the message at this position.
    pub(super) fn get(&self, position: usize) -> Option<Remembered> {
        self.column.get(position)
    }

    /// Notes what was said just now.
    pub(super) fn put(&mut self, position: usize, verdict: Remembered) {
        self.news = true;
        Arc::make_mut(&mut self.column).put(position, verdict);
    }
}

impl Drop for Round<'_> {
    fn drop(&mut self) {
        if self.news {
            let column = Arc::clone(&self.column);
            self.verdicts.remember(&self.tenant, self.scope, column);
        }
    }
}

impl Clone for Column {
    fn clone(&self) -> Self {
        Column {
            identity: self.identity.clone(),
            listing: Arc::clone(&self.listing),
            marks: self.marks.clone(),
            annotations: self.annotations.clone(),
        }
    }
}

impl Column {
    fn new(identity: &str, listing: &Arc<Listing>) -> Self {
        Column {
            identity: identity.into(),
            listing: Arc::clone(listing),
            marks: vec![Mark::NotAsked; listing.len()],
            annotations: HashMap::new(),
        }
    }

    fn get(&self, position: usize) -> Option<Remembered> {
        match self.marks[position] {
            Mark::NotAsked => None,
            Mark::Show => Some(Remembered::Show),
            Mark::Hide => Some(Remembered::Hide),
            Mark::Annotate => self
                .annotations
                .get(&position)
                .map(|fields| Remembered::Annotate(Arc::clone(fields))),
        }
    }

    fn put(&mut self, position: usize, verdict: Remembered) {
        self.marks[position] = match verdict {
            Remembered::Show => Mark::Show,
            Remembered::Hide => Mark::Hide,
            Remembered::Annotate(fields) => {
                self.annotations.insert(position, fields);
                Mark::Annotate
            }
        };
    }

    /// The same verdicts for a listing that changed: by unique-id, which is
    /// never used for another message.
    fn carried_over(&self, listing: &Arc<Listing>) -> Column {
        let mut column = Column::new(&self.identity, listing);
        // Mail comes in at the end: most of the time the beginning is the same.
        let same = (0..listing.len().min(self.listing.len()))
            .take_while(|&at| listing.unique_id(at) == self.listing.unique_id(at))
            .count();
        let moved: HashMap<&str, usize> = (same..self.listing.len())
            .map(|at| (self.listing.unique_id(at), at))
            .collect();
        for position in 0..listing.len() {
            let old = if position < same {
                Some(position)
            } else {
                moved.get(listing.unique_id(position)).copied()
            };
            if let Some(verdict) = old.and_then(|old| self.get(old)) {
                column.put(position, verdict);
            }
        }
        column
    }

    /// All that it holds, the listing among it: a guest chooses how long its unique-ids
    /// are.
    fn bytes(&self) -> usize {
        let ids: usize = (0..self.listing.len())
            .map(|at| self.listing.unique_id(at).len())
            .sum();
        let annotations: usize = self
            .annotations
            .values()
            .map(|fields| fields.len() + MESSAGE_BYTES)
            .sum();
        let itself = size_of::<(Scope, Column, Listing)>() + self.identity.len();
        itself + ids + self.marks.len() * MESSAGE_BYTES + annotations
    }
}

/// Each part goes in with its length, so that no two lists of parts are the same
/// bytes.
fn scope(filter: &str, tenant: &str, account: &Account) -> Scope {
    let mut digest = Sha256::new();
    let mut part = |text: &str| {
        digest.update((text.len() as u64).to_le_bytes());
        digest.update(text.as_bytes());
    };
    part(filter);
    part(tenant);
    part(&account.user);
    part(&account.maildrop);
    // What a filter is shown of it.
    for (name, value) in account.attributes.shown() {
        part(name);
        part(value);
    }
    digest.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use restante_roles::backend::Attributes;

    fn account(user: &str, maildrop: &str) -> Account {
        Account {
            user: user.into(),
            maildrop: maildrop.into(),
            attributes: Attributes::default(),
        }
    }

    fn listing(ids: &[&str]) -> Arc<Listing> {
        let listing = Listing::new(ids.iter().map(|&id| (id, 1)));
        Arc::new(listing.expect("a good listing"))
    }

    #[test]
    fn verdicts_follow_their_messages() {
        let verdicts = Verdicts::default();
        let account = account("u", "m");
        let old = listing(&["a", "b", "c", "d"]);
        let mut round = verdicts.begin("f", "1", "t", &account, &old);
        round.put(0, Remembered::Show);
        round.put(1, Remembered::Hide);
        round.put(3, Remembered::Annotate(Arc::from(&b"X: y\r\n"[..])));
        drop(round);
        let round = verdicts.begin("f", "1", "t", &account, &old);
        assert_eq!(round.get(0), Some(Remembered::Show));
        assert_eq!(round.get(1), Some(Remembered::Hide));
        assert_eq!(round.get(2), None);
        drop(round);
        let new = listing(&["a", "d", "e", "b"]);
        let round = verdicts.begin("f", "1", "t", &account, &new);
        assert_eq!(round.get(0), Some(Remembered::Show));
        assert!(matches!(round.get(1), Some(Remembered::Annotate(_))));
        assert_eq!(round.get(2), None);
        assert_eq!(round.get(3), Some(Remembered::Hide));
    }

    #[test]
    fn nobody_gets_anothers_verdict() {
        let verdicts = Verdicts::default();
        let listing = listing(&["a"]);
        let mine = account("u", "m");
        verdicts
            .begin("f", "1", "t", &mine, &listing)
            .put(0, Remembered::Hide);
        let known = |filter, tenant, account: &Account| {
            verdicts
                .begin(filter, "1", tenant, account, &listing)
                .get(0)
        };
        assert!(known("f", "t", &mine).is_some());
        assert!(known("g", "t", &mine).is_none());
        assert!(known("f", "s", &mine).is_none());
        assert!(known("ft", "", &mine).is_none());
        assert!(known("f", "t", &account("um", "")).is_none());
        assert!(known("f", "t", &account("", "um")).is_none());
        let mut with_attribute = mine.clone();
        with_attribute.attributes = vec![("k".into(), "v".into())].into();
        assert!(known("f", "t", &with_attribute).is_none());
    }

    #[test]
    fn another_version_of_a_filter_takes_the_place_of_the_last() {
        let verdicts = Verdicts::default();
        let (account, listing) = (account("u", "m"), listing(&["a"]));
        for identity in ["1", "2", "3"] {
            let mut round = verdicts.begin("f", identity, "t", &account, &listing);
            assert_eq!(round.get(0), None, "{identity}");
            round.put(0, Remembered::Hide);
        }
        assert_eq!(verdicts.lock().len(), 1);
        let round = verdicts.begin("f", "3", "t", &account, &listing);
        assert_eq!(round.get(0), Some(Remembered::Hide));
    }

    fn hide_all(verdicts: &Verdicts, tenant: &str, user: &str, listing: &Arc<Listing>) {
        let account = account(user, "m");
        let mut round = verdicts.begin("f", "1", tenant, &account, listing);
        for position in 0..listing.len() {
            round.put(position, Remembered::Hide);
        }
    }

    fn is_known(verdicts: &Verdicts, tenant: &str, user: &str, listing: &Arc<Listing>) -> bool {
        let account = account(user, "m");
        let round = verdicts.begin("f", "1", tenant, &account, listing);
        round.get(0).is_some()
    }

    #[test]
    fn verdicts_are_bounded_in_all_and_by_tenant() {
        let limit = 64 << 10;
        let verdicts = Verdicts::new(limit);
        let small = listing(&["a"]);
        hide_all(&verdicts, "neighbour", "u", &small);
        for user in 0..1000 {
            hide_all(&verdicts, "t", &user.to_string(), &small);
        }
        assert!(is_known(&verdicts, "t", "999", &small));
        assert!(!is_known(&verdicts, "t", "0", &small));
        assert!(is_known(&verdicts, "neighbour", "u", &small));
        assert!(verdicts.lock().bytes() <= limit / 4 + limit / 64);

        let ids: Vec<String> = (0..1000).map(|id| format!("{id:04}")).collect();
        let large = Arc::new(Listing::new(ids.iter().map(|id| (id, 1))).expect("a good listing"));
        hide_all(&verdicts, "t", "large", &large);
        assert!(!is_known(&verdicts, "t", "large", &large));
        assert!(is_known(&verdicts, "t", "999", &small));
    }

    #[test]
    fn verdicts_weigh_what_they_hold() {
        let ids: Vec<String> = (0..1000).map(|id| format!("{id:070}")).collect();
        let ids = ids.iter().map(String::as_str).chain(["z"]);
        let long = listing(&ids.collect::<Vec<_>>());
        let column = Column::new("1", &long);
        assert!(column.bytes() >= 1000 * 70, "{}", column.bytes());
    }
}

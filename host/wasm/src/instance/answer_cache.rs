//! Answers of a database that are remembered for a while, as the operator allows: a login
//! asks the database no more for who logged in lately.
//!
//! What is remembered belongs to the tenant that asked. Where all of it is too large, the
//! tenant with the most loses what it has not used for longest, so none pushes out another.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use lru::LruCache;
use parking_lot::Mutex;
use sha2::Sha256;
use tokio::time::Instant;

use restante_engine::{Answer, Statement, Value, Values};
use restante_roles::metrics::{CacheLookup, CachedAnswers};

/// Bytes of the largest answer that is remembered.
const MAX_ANSWER_BYTES: u64 = 64 << 10;

/// Bytes of the largest statement whose answer is remembered, parameters included: a call
/// keeps those that were answered from memory.
const MAX_STATEMENT_BYTES: usize = 16 << 10;

/// Bytes that an answer takes beside its own.
const OVERHEAD_BYTES: u64 = 512;

/// How long answers are remembered, and how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnswerLifetimes {
    /// Of answers that have a row.
    pub found: Duration,
    /// Of answers without one.
    pub missing: Duration,
    /// Bytes of all together.
    pub max_bytes: u64,
}

/// A statement with its parameters, told from all others. A digest: the names in it are not
/// kept.
type Key = [u8; 32];

/// The answers of one database.
pub(crate) struct AnswerCache {
    lifetimes: AnswerLifetimes,
    secret: [u8; 32],
    state: Mutex<State>,
    counts: Arc<CachedAnswers>,
}

#[derive(Default)]
struct State {
    tenants: HashMap<String, Remembered>,
    bytes: u64,
    /// Of them, those that are counted in the metrics.
    counted: u64,
    /// Grows when all are forgotten: what was asked before then is not remembered.
    epoch: u64,
}

struct Remembered {
    answers: LruCache<Key, Entry>,
    bytes: u64,
}

struct Entry {
    answer: Answer,
    bytes: u64,
    until: Instant,
}

/// A question of a tenant's that is being asked, whose answer may be remembered.
pub(crate) struct Asking {
    tenant: String,
    key: Key,
    epoch: u64,
}

impl AnswerCache {
    /// None: nothing is to be remembered, or the system has no random numbers, without which
    /// keys could be guessed.
    pub(crate) fn new(lifetimes: AnswerLifetimes, counts: Arc<CachedAnswers>) -> Option<Self> {
        if lifetimes.found.is_zero() && lifetimes.missing.is_zero() {
            return None;
        }
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).ok()?;
        Some(AnswerCache {
            lifetimes,
            secret,
            state: Mutex::default(),
            counts,
        })
    }

    /// To be called before the database is asked. None: its answer is not remembered.
    pub(crate) fn asking(&self, tenant: &str, statement: &Statement) -> Option<Asking> {
        (bytes_of_statement(statement) <= MAX_STATEMENT_BYTES).then(|| Asking {
            tenant: tenant.to_owned(),
            key: self.key(statement),
            epoch: self.state.lock().epoch,
        })
    }

    /// What is remembered of a question.
    pub(crate) fn recall(&self, tenant: &str, statement: &Statement) -> Option<Answer> {
        let answer = self.found(tenant, statement);
        self.counts.looked_up(match answer {
            Some(_) => CacheLookup::Hit,
            None => CacheLookup::Miss,
        });
        answer
    }

    fn found(&self, tenant: &str, statement: &Statement) -> Option<Answer> {
        if bytes_of_statement(statement) > MAX_STATEMENT_BYTES {
            return None;
        }
        let key = self.key(statement);
        let mut state = self.state.lock();
        let remembered = state.tenants.get_mut(tenant)?;
        let entry = remembered.answers.get(&key)?;
        if Instant::now() < entry.until {
            return Some(entry.answer.clone());
        }
        state.forget(tenant, &key);
        self.count(&mut state);
        None
    }

    /// The database has said this.
    pub(crate) fn remember(&self, asking: Asking, answer: &Answer) {
        let lifetime = match answer.rows {
            0 => self.lifetimes.missing,
            _ => self.lifetimes.found,
        };
        let bytes = bytes_of(answer) + OVERHEAD_BYTES;
        let mut state = self.state.lock();
        state.forget(&asking.tenant, &asking.key);
        self.count(&mut state);
        if asking.epoch != state.epoch || lifetime.is_zero() || bytes > MAX_ANSWER_BYTES {
            return;
        }
        let remembered = state.tenants.entry(asking.tenant);
        let remembered = remembered.or_insert_with(|| Remembered {
            answers: LruCache::unbounded(),
            bytes: 0,
        });
        let entry = Entry {
            answer: answer.clone(),
            bytes,
            until: Instant::now() + lifetime,
        };
        remembered.answers.put(asking.key, entry);
        remembered.bytes += bytes;
        state.bytes += bytes;
        while state.bytes > self.lifetimes.max_bytes && state.make_room() {}
        self.count(&mut state);
    }

    /// Forgets all, also what is being asked now. Returns how many answers they were.
    pub(crate) fn flush(&self) -> usize {
        let mut state = self.state.lock();
        state.epoch += 1;
        state.bytes = 0;
        self.count(&mut state);
        let tenants = std::mem::take(&mut state.tenants);
        drop(state);
        tenants.values().map(|of| of.answers.len()).sum()
    }

    /// Tells the metrics how much it is by now.
    fn count(&self, state: &mut State) {
        self.counts.resized(state.counted, state.bytes);
        state.counted = state.bytes;
    }

    fn key(&self, statement: &Statement) -> Key {
        // A key of any length will do.
        #[allow(clippy::expect_used, reason = "HMAC takes keys of any length")]
        let mut digest = Hmac::<Sha256>::new_from_slice(&self.secret).expect("any key");
        let mut part = |kind: u8, octets: &[u8]| {
            digest.update(&[kind]);
            digest.update(&(octets.len() as u64).to_be_bytes());
            digest.update(octets);
        };
        part(0, statement.text.as_bytes());
        for parameter in &statement.parameters {
            match parameter {
                Value::Null => part(1, &[]),
                Value::Integer(integer) => part(2, &integer.to_be_bytes()),
                Value::Text(text) => part(3, text.as_bytes()),
                Value::Octets(octets) => part(4, octets),
            }
        }
        digest.finalize().into_bytes().into()
    }
}

impl Drop for AnswerCache {
    fn drop(&mut self) {
        self.counts.resized(self.state.get_mut().counted, 0);
    }
}

impl State {
    fn forget(&mut self, tenant: &str, key: &Key) {
        let Some(remembered) = self.tenants.get_mut(tenant) else {
            return;
        };
        if let Some(entry) = remembered.answers.pop(key) {
            remembered.bytes -= entry.bytes;
            self.bytes -= entry.bytes;
        }
    }

    /// False: there is nothing to forget.
    fn make_room(&mut self) -> bool {
        let most = self.tenants.iter_mut().max_by_key(|(_, of)| of.bytes);
        let Some((tenant, remembered)) = most else {
            return false;
        };
        let tenant = tenant.clone();
        let Some((_, entry)) = remembered.answers.pop_lru() else {
            return false;
        };
        remembered.bytes -= entry.bytes;
        self.bytes -= entry.bytes;
        if remembered.answers.is_empty() {
            self.tenants.remove(&tenant);
        }
        true
    }
}

fn bytes_of_statement(statement: &Statement) -> usize {
    let parameters = statement.parameters.iter().map(|value| match value {
        Value::Null | Value::Integer(_) => 8,
        Value::Text(text) => text.len(),
        Value::Octets(octets) => octets.len(),
    });
    statement.text.len() + parameters.sum::<usize>()
}

fn bytes_of(answer: &Answer) -> u64 {
    let columns = answer.columns.iter().map(|column| {
        let values = match &column.values {
            Values::Integers(integers) => 8 * integers.len(),
            Values::Texts(texts) => texts.len(),
            Values::Octets(octets, ends) => octets.len() + 4 * ends.len(),
        };
        values + column.name.len() + 4 * column.nulls.len()
    });
    columns.sum::<usize>() as u64
}

impl std::fmt::Debug for AnswerCache {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let of = (&self.lifetimes, self.state.lock().bytes);
        write!(out, "AnswerCache({of:?})")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use restante_engine::Column;

    use super::*;

    fn cache(found: u64, missing: u64, max_bytes: u64) -> AnswerCache {
        let lifetimes = AnswerLifetimes {
            found: Duration::from_secs(found),
            missing: Duration::from_secs(missing),
            max_bytes,
        };
        AnswerCache::new(lifetimes, CachedAnswers::new("d")).unwrap()
    }

    fn statement(user: &str) -> Statement {
        Statement {
            text: "select hash from users where name = $1".into(),
            parameters: vec![Value::Text(user.into())],
        }
    }

    fn answer(text: &str) -> Answer {
        Answer {
            rows: 1,
            columns: vec![Column {
                name: "hash".into(),
                values: Values::Texts(format!("{text}\0")),
                nulls: Vec::new(),
            }],
        }
    }

    fn nothing() -> Answer {
        Answer {
            rows: 0,
            columns: Vec::new(),
        }
    }

    fn learn(cache: &AnswerCache, tenant: &str, user: &str, answer: &Answer) {
        cache.remember(cache.asking(tenant, &statement(user)).unwrap(), answer);
    }

    fn known(cache: &AnswerCache, tenant: &str, user: &str) -> Option<Answer> {
        cache.recall(tenant, &statement(user))
    }

    #[tokio::test(start_paused = true)]
    async fn each_kind_of_answer_is_remembered_for_its_time() {
        let cache = cache(60, 10, 1 << 20);
        learn(&cache, "t", "ann", &answer("x"));
        learn(&cache, "t", "bob", &nothing());
        assert_eq!(known(&cache, "t", "ann"), Some(answer("x")));
        assert_eq!(known(&cache, "t", "bob"), Some(nothing()));
        assert_eq!(known(&cache, "t", "eve"), None);
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(known(&cache, "t", "bob"), None);
        tokio::time::advance(Duration::from_secs(50)).await;
        assert_eq!(known(&cache, "t", "ann"), None);
        assert_eq!(cache.state.lock().bytes, 0);
        assert!(
            AnswerCache::new(
                AnswerLifetimes {
                    found: Duration::ZERO,
                    missing: Duration::ZERO,
                    max_bytes: 1
                },
                CachedAnswers::new("d")
            )
            .is_none()
        );
    }

    /// One tenant's answers are not another's, nor do they take its room.
    #[tokio::test]
    async fn a_tenant_that_asks_for_much_pushes_out_nobody_else() {
        let cache = cache(60, 60, 20 << 10);
        learn(&cache, "quiet", "ann", &answer("x"));
        assert_eq!(known(&cache, "loud", "ann"), None);
        for user in 0..1000 {
            learn(&cache, "loud", &user.to_string(), &answer("y"));
            assert!(cache.state.lock().bytes <= 20 << 10);
        }
        assert_eq!(known(&cache, "quiet", "ann"), Some(answer("x")));
        assert_eq!(known(&cache, "loud", "999"), Some(answer("y")));
        assert_eq!(known(&cache, "loud", "0"), None);
    }

    #[tokio::test]
    async fn what_was_asked_before_all_was_forgotten_is_not_remembered() {
        let cache = cache(60, 60, 1 << 20);
        learn(&cache, "t", "ann", &answer("old"));
        let asking = cache.asking("t", &statement("bob")).unwrap();
        assert_eq!(cache.flush(), 1);
        cache.remember(asking, &answer("old"));
        assert_eq!(known(&cache, "t", "ann"), None);
        assert_eq!(known(&cache, "t", "bob"), None);
    }

    #[tokio::test]
    async fn statements_are_told_apart_by_each_part() {
        let cache = cache(60, 60, 1 << 20);
        let with = |parameters: Vec<Value>| {
            let text = "q".to_owned();
            cache.key(&Statement { text, parameters })
        };
        let text = |text: &str| Value::Text(text.into());
        let mut keys = vec![
            with(vec![]),
            with(vec![Value::Null]),
            with(vec![text("")]),
            with(vec![text("ab"), text("c")]),
            with(vec![text("a"), text("bc")]),
            with(vec![Value::Octets(b"abc".to_vec())]),
            with(vec![text("abc")]),
            with(vec![Value::Integer(1)]),
            with(vec![Value::Octets(1_i64.to_be_bytes().to_vec())]),
        ];
        let count = keys.len();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), count);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_remembered_is_counted_however_it_ends() {
        let cache = cache(60, 60, 20 << 10);
        let counts = cache.counts.clone();
        assert_eq!(known(&cache, "t", "ann"), None);
        learn(&cache, "t", "ann", &answer("x"));
        let one = counts.bytes();
        assert!(one > OVERHEAD_BYTES);
        learn(&cache, "t", "ann", &answer("x"));
        assert_eq!(counts.bytes(), one);
        assert!(known(&cache, "t", "ann").is_some());
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(known(&cache, "t", "ann"), None);
        assert_eq!(counts.bytes(), 0);
        assert_eq!(counts.lookups(CacheLookup::Hit), 1);
        assert_eq!(counts.lookups(CacheLookup::Miss), 2);
        for user in 0..1000 {
            learn(&cache, "t", &user.to_string(), &answer("y"));
            assert_eq!(counts.bytes(), cache.state.lock().bytes);
        }
        cache.flush();
        assert_eq!(counts.bytes(), 0);
        learn(&cache, "t", "ann", &answer("x"));
        drop(cache);
        assert_eq!(counts.bytes(), 0);
    }

    #[tokio::test]
    async fn what_is_large_is_not_remembered() {
        let cache = cache(60, 60, 1 << 30);
        learn(&cache, "t", "ann", &answer(&"x".repeat(64 << 10)));
        assert_eq!(known(&cache, "t", "ann"), None);
        assert_eq!(cache.state.lock().bytes, 0);
        let long = statement(&"x".repeat(16 << 10));
        assert!(cache.asking("t", &long).is_none());
        assert_eq!(cache.recall("t", &long), None);
    }
}

//! A cache of what belongs to tenants: weighed by what each entry holds, bounded in all and by
//! tenant. A tenant over its own bound loses its own entries, that which was used least
//! recently first; over the bound in all, the same over all tenants.
//!
//! Knows nothing of what it keeps.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::Arc;

/// Bytes that an entry takes by itself: its places in the maps below, and its allocations.
pub const ENTRY_BYTES: usize = 256;

/// The cache. Not shared by itself: put it under a mutex.
#[derive(Debug)]
pub struct TenantCache<K, V> {
    entries: HashMap<Arc<K>, Entry<V>>,
    /// All keys, by when they were used last.
    order: Order<K>,
    /// By name, those that have entries.
    tenants: HashMap<Arc<str>, TenantEntries<K>>,
    /// Counts uses.
    clock: u64,
    bytes: usize,
    max_bytes: usize,
    max_tenant_bytes: usize,
}

type Order<K> = BTreeMap<u64, Arc<K>>;

#[derive(Debug)]
struct Entry<V> {
    value: V,
    tenant: Arc<str>,
    bytes: usize,
    /// Its key in the orders.
    used: u64,
}

#[derive(Debug)]
struct TenantEntries<K> {
    order: Order<K>,
    bytes: usize,
}

impl<K: Hash + Eq, V> TenantCache<K, V> {
    /// Remembers nothing yet, and at most so many bytes in all and of one tenant.
    pub fn new(max_bytes: usize, max_tenant_bytes: usize) -> Self {
        TenantCache {
            entries: HashMap::new(),
            order: Order::new(),
            tenants: HashMap::new(),
            clock: 0,
            bytes: 0,
            max_bytes,
            max_tenant_bytes,
        }
    }

    /// What is remembered under this key; it counts as used.
    pub fn get(&mut self, key: &K) -> Option<&V> {
        let entry = self.entries.get_mut(key)?;
        self.clock += 1;
        let last = std::mem::replace(&mut entry.used, self.clock);
        let own = self.tenants.get_mut(&entry.tenant);
        let own = own.map(|of_tenant| &mut of_tenant.order);
        for order in own.into_iter().chain([&mut self.order]) {
            if let Some(key) = order.remove(&last) {
                order.insert(self.clock, key);
            }
        }
        Some(&entry.value)
    }

    /// Remembers a value of a tenant's that holds so many bytes, in the place of what was
    /// under the key. Nothing else goes for one that is over a bound by itself.
    pub fn insert(&mut self, tenant: &str, key: K, value: V, bytes: usize) {
        self.remove(&key);
        let bytes = bytes.saturating_add(ENTRY_BYTES);
        if bytes > self.max_tenant_bytes.min(self.max_bytes) {
            return;
        }
        self.clock += 1;
        let (key, tenant) = (Arc::new(key), self.name(tenant));
        let of_tenant =
            (self.tenants.entry(Arc::clone(&tenant))).or_insert_with(|| TenantEntries {
                order: Order::new(),
                bytes: 0,
            });
        of_tenant.bytes += bytes;
        of_tenant.order.insert(self.clock, Arc::clone(&key));
        self.order.insert(self.clock, Arc::clone(&key));
        self.bytes += bytes;
        let entry = Entry {
            value,
            tenant: Arc::clone(&tenant),
            bytes,
            used: self.clock,
        };
        self.entries.insert(key, entry);
        while let Some(oldest) = self.over_its_bound(&tenant) {
            self.remove(&oldest);
        }
        while self.bytes > self.max_bytes
            && let Some((_, oldest)) = self.order.first_key_value()
        {
            let oldest = Arc::clone(oldest);
            self.remove(&oldest);
        }
    }

    /// Forgets what is under this key.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        let entry = self.entries.remove(key)?;
        self.bytes -= entry.bytes;
        self.order.remove(&entry.used);
        if let Some(of_tenant) = self.tenants.get_mut(&entry.tenant) {
            of_tenant.bytes -= entry.bytes;
            of_tenant.order.remove(&entry.used);
            if of_tenant.order.is_empty() {
                self.tenants.remove(&entry.tenant);
            }
        }
        Some(entry.value)
    }

    /// Bytes that are remembered, each entry with its [`ENTRY_BYTES`].
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Entries that are remembered.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// One allocation for all entries of a tenant.
    fn name(&self, tenant: &str) -> Arc<str> {
        let known = self.tenants.get_key_value(tenant);
        known.map_or_else(|| tenant.into(), |(name, _)| Arc::clone(name))
    }

    /// Of a tenant with too much: what it used least recently.
    fn over_its_bound(&self, tenant: &str) -> Option<Arc<K>> {
        let of_tenant = self.tenants.get(tenant)?;
        let (_, oldest) = of_tenant.order.first_key_value()?;
        (of_tenant.bytes > self.max_tenant_bytes).then(|| Arc::clone(oldest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What an entry of these tests holds.
    const BYTES: usize = 1000;
    const WHOLE: usize = BYTES + ENTRY_BYTES;

    fn of(all: usize, tenant: usize) -> TenantCache<String, u32> {
        TenantCache::new(all * WHOLE, tenant * WHOLE)
    }

    fn put(all: &mut TenantCache<String, u32>, tenant: &str, keys: &[&str]) {
        for key in keys {
            all.insert(tenant, (*key).to_owned(), 7, BYTES);
        }
    }

    fn has(all: &TenantCache<String, u32>) -> Vec<&str> {
        let mut keys: Vec<&str> = all.entries.keys().map(|key| key.as_str()).collect();
        keys.sort_unstable();
        keys
    }

    /// The sums are those of the entries, and nothing is left of what went.
    fn adds_up(all: &TenantCache<String, u32>) {
        let sum: usize = all.entries.values().map(|entry| entry.bytes).sum();
        assert_eq!(all.bytes, sum);
        assert_eq!(all.order.len(), all.entries.len());
        let own = all.tenants.values();
        assert_eq!(own.clone().map(|one| one.bytes).sum::<usize>(), sum);
        assert_eq!(
            own.map(|one| one.order.len()).sum::<usize>(),
            all.entries.len()
        );
        assert!(all.tenants.values().all(|one| one.bytes > 0));
    }

    #[test]
    fn a_tenant_over_its_bound_loses_its_own() {
        let mut all = of(100, 2);
        put(&mut all, "neighbour", &["n1", "n2"]);
        put(&mut all, "tenant", &["t1", "t2", "t3"]);
        assert_eq!(has(&all), ["n1", "n2", "t2", "t3"]);
        assert!(all.get(&"t2".to_owned()).is_some());
        put(&mut all, "tenant", &["t4"]);
        assert_eq!(has(&all), ["n1", "n2", "t2", "t4"], "t2 was used");
        adds_up(&all);
    }

    #[test]
    fn over_the_bound_in_all_the_least_recently_used_goes() {
        let mut all = of(4, 3);
        put(&mut all, "one", &["a", "b"]);
        put(&mut all, "two", &["c", "d"]);
        assert!(all.get(&"a".to_owned()).is_some());
        put(&mut all, "three", &["e"]);
        assert_eq!(has(&all), ["a", "c", "d", "e"]);
        put(&mut all, "three", &["f"]);
        assert_eq!(has(&all), ["a", "d", "e", "f"]);
        adds_up(&all);
    }

    #[test]
    fn what_is_too_large_is_not_remembered_and_drives_nothing_out() {
        let mut all = of(4, 2);
        put(&mut all, "one", &["a", "b"]);
        all.insert("one", "large".into(), 7, 2 * BYTES + 2 * ENTRY_BYTES);
        assert_eq!(has(&all), ["a", "b"]);
        all.insert("one", "a".into(), 7, usize::MAX);
        assert_eq!(
            has(&all),
            ["b"],
            "what was under the key is not true any more"
        );
        adds_up(&all);
    }

    #[test]
    fn a_key_that_comes_back_weighs_what_it_weighs_now() {
        let mut all = of(4, 4);
        for bytes in [BYTES, 10, BYTES, 0] {
            all.insert("one", "a".into(), 7, bytes);
        }
        assert_eq!((all.len(), all.bytes()), (1, ENTRY_BYTES));
        adds_up(&all);
        assert_eq!(all.remove(&"a".to_owned()), Some(7));
        assert!(all.is_empty() && all.tenants.is_empty());
        adds_up(&all);
    }

    /// A tenant at its bound that puts in one after the other, among many entries of
    /// others, which a search from the oldest on would look at each time.
    #[test]
    fn making_room_does_not_look_at_the_entries_of_others() {
        let others = 100_000;
        let mut all: TenantCache<u32, ()> = TenantCache::new(usize::MAX, others * WHOLE);
        for key in 0..others as u32 {
            all.insert("neighbour", key, (), BYTES);
        }
        all.max_tenant_bytes = 10 * WHOLE;
        let begun = std::time::Instant::now();
        for key in 0..others as u32 {
            all.insert("tenant", others as u32 + key, (), BYTES);
        }
        assert_eq!(all.len(), others + 10);
        // A search takes minutes of it.
        let took = begun.elapsed();
        assert!(took < std::time::Duration::from_secs(60), "{took:?}");
    }
}

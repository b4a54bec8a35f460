//! What failed logins cost a client address: the answer to each waits longer,
//! up to a limit, and time alone makes it shorter again.
//!
//! - Whether a user exists makes no difference: nobody tells this room.
//! - The same user with the same wrong password again costs as much as it did,
//!   and not more: that is a mail client with an old password, not somebody who
//!   guesses.
//! - A login that succeeds changes nothing. It never waits, whatever others did
//!   from its address, and whoever has one good account cannot buy guesses with
//!   it.
//! - Who hangs up instead of waiting gains nothing: the server waits on, and the
//!   connection counts until it is over. So one address makes no more guesses
//!   than it may have connections in the time that an answer waits.
//!
//! IPv4 clients are told apart by address, IPv6 clients by networks of 48 bits,
//! since a network of 64 bits is what anybody gets, many times over. Clients whose
//! address is not known are one client together.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use lru::LruCache;
use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;

use restante_roles::address::{Client, Network};

/// Bits that tell clients apart.
const V4_BITS: u8 = 32;
const V6_BITS: u8 = 48;

/// Addresses that are remembered; for one more, that which failed least recently
/// is forgotten. Some 200 octets each.
const MOST_ADDRESSES: usize = 16 * 1024;

/// Wrong passwords of an address that are recognized: the latest.
const MOST_FINGERPRINTS: usize = 8;

/// How the waiting grows and shrinks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// For an address's first failed login. Zero: nobody ever waits.
    pub first: Duration,
    /// What it grows to, doubled with each more.
    pub longest: Duration,
    /// After so long without another, one failed login less counts.
    pub decay: Duration,
}

impl Backoff {
    /// How long the answer to the last of so many waits.
    fn delay(&self, failures: u32) -> Duration {
        let doubled = 2_u32.saturating_pow(failures.saturating_sub(1));
        self.first.saturating_mul(doubled).min(self.longest)
    }

    /// From here on nothing grows, and more would only take longer to decay.
    fn most_failures(&self) -> u32 {
        let grows = |failures: &u32| self.delay(*failures) < self.delay(failures + 1);
        (1..32).find(|failures| !grows(failures)).unwrap_or(32)
    }
}

/// A user and a password, beyond recognition but for this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(u64);

/// The failed logins of all addresses.
#[derive(Debug)]
pub struct Penalties {
    /// Keyed at random, once for each process.
    hasher: RandomState,
    records: Mutex<LruCache<Network, Record>>,
    /// What other servers have yet to hear of.
    changes: Mutex<Changes>,
}

/// Addresses whose failed logins have become more since others heard of them; the one that
/// failed last is the last.
#[derive(Debug)]
struct Changes {
    /// None: there are no others.
    networks: Option<LruCache<Network, ()>>,
    dropped: u64,
}

/// What an address owes, for other servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Debt {
    /// The address, or its network.
    pub network: Network,
    /// How many failed logins counted then.
    pub failures: u32,
    /// How long ago that was.
    pub age: Duration,
    /// How long some of them count still.
    pub remaining: Duration,
}

/// The failed logins of one address.
#[derive(Debug)]
struct Record {
    /// How many counted at `since`.
    failures: u32,
    since: Instant,
    /// The latest last.
    fingerprints: Vec<Fingerprint>,
}

impl Default for Penalties {
    fn default() -> Self {
        Penalties::new()
    }
}

impl Penalties {
    /// Nobody has failed yet.
    pub fn new() -> Self {
        Penalties {
            hasher: RandomState::new(),
            // Bounded in `failed`: a bounded one takes all its room at once.
            records: Mutex::new(LruCache::unbounded()),
            changes: Mutex::new(Changes {
                networks: None,
                dropped: 0,
            }),
        }
    }

    /// From now on it is kept what other servers have to hear of ([`Penalties::take_changes`]).
    pub fn tell_others(&self) {
        let mut changes = self.changes.lock();
        changes.networks.get_or_insert_with(LruCache::unbounded);
    }

    /// What addresses have come to owe here since the last time: at most `most`, those that
    /// failed first before the others, and how many were dropped, since there were too many.
    pub fn take_changes(&self, most: usize, growth: &Backoff) -> (Vec<Debt>, u64) {
        let mut changes = self.changes.lock();
        let dropped = std::mem::take(&mut changes.dropped);
        let mut networks = Vec::new();
        while networks.len() < most
            && let Some((network, ())) = changes.networks.as_mut().and_then(LruCache::pop_lru)
        {
            networks.push(network);
        }
        drop(changes);
        let now = Instant::now();
        let records = self.records();
        let owed = networks.into_iter().filter_map(|network| {
            let record = records.peek(&network)?;
            let age = now.saturating_duration_since(record.since);
            let counts = growth.decay.saturating_mul(record.failures);
            let remaining = counts.checked_sub(age).filter(|time| !time.is_zero())?;
            Some(Debt {
                network,
                failures: record.failures,
                age,
                remaining,
            })
        });
        (owed.collect(), dropped)
    }

    /// It is not known whether others have heard of these.
    pub fn put_back(&self, debts: &[Debt]) {
        for debt in debts.iter().rev() {
            self.changed(debt.network, false);
        }
    }

    /// What others were told is lost: they have to hear again of all that counts still, also of what
    /// was heard from them. The greater of two counts counts, so that this makes none greater.
    pub fn tell_again(&self, growth: &Backoff) {
        let now = Instant::now();
        let records = self.records();
        let owing = records
            .iter()
            .filter(|(_, record)| record.failures_at(now, growth) > 0);
        let owing: Vec<Network> = owing.map(|(network, _)| *network).collect();
        drop(records);
        // The one that failed last is the first here, and each is put before all others.
        for network in owing {
            self.changed(network, false);
        }
    }

    /// Another server has told what an address owes there. What it owes here it does not owe
    /// twice: the greater of both counts, so that it does no harm to hear the same again.
    pub fn learn(&self, debt: &Debt, growth: &Backoff) {
        let now = Instant::now();
        let told = Record {
            failures: debt.failures.min(growth.most_failures()),
            since: now.checked_sub(debt.age).unwrap_or(now),
            fingerprints: Vec::new(),
        };
        let failures = told.failures_at(now, growth);
        if failures == 0 {
            return;
        }
        let mut records = self.records();
        let record = records.get_or_insert_mut(debt.network, || Record {
            failures: 0,
            since: now,
            fingerprints: Vec::new(),
        });
        let own = record.failures_at(now, growth);
        if own == 0 {
            record.fingerprints.clear();
        }
        if failures > own {
            record.failures = told.failures;
            record.since = told.since;
        }
        while records.len() > MOST_ADDRESSES {
            records.pop_lru();
        }
    }

    /// Others have to hear of this one.
    fn changed(&self, network: Network, is_new: bool) {
        let mut changes = self.changes.lock();
        let Some(networks) = &mut changes.networks else {
            return;
        };
        networks.put(network, ());
        if !is_new {
            // It failed before all that came since.
            networks.demote(&network);
        }
        let mut dropped = 0;
        while networks.len() > MOST_ADDRESSES {
            networks.pop_lru();
            dropped += 1;
        }
        changes.dropped += dropped;
    }

    /// What [`Penalties::failed`] recognizes this user with this password by.
    pub fn fingerprint(&self, user: &str, password: &str) -> Fingerprint {
        Fingerprint(self.hasher.hash_one((user, password)))
    }

    /// Counts a failed login, with its fingerprint where there was a password,
    /// and says how long its answer waits.
    pub fn failed(
        &self,
        client: Client,
        fingerprint: Option<Fingerprint>,
        growth: &Backoff,
    ) -> Duration {
        let now = Instant::now();
        let mut records = self.records();
        let record = records.get_or_insert_mut(key(client), || Record {
            failures: 0,
            since: now,
            fingerprints: Vec::new(),
        });
        let is_counted = record.count(fingerprint, now, growth);
        let delay = growth.delay(record.failures_at(now, growth));
        while records.len() > MOST_ADDRESSES {
            records.pop_lru();
        }
        drop(records);
        if is_counted {
            self.changed(key(client), true);
        }
        delay
    }

    /// How long an answer waits that refuses a login without having tried its
    /// password; it counts for nothing.
    pub fn delay(&self, client: Client, growth: &Backoff) -> Duration {
        let records = self.records();
        let record = records.peek(&key(client));
        let failures = record.map_or(0, |record| record.failures_at(Instant::now(), growth));
        growth.delay(failures)
    }

    /// What the latest failure of this client cost, as long as it counts.
    pub fn owed(&self, client: Client, growth: &Backoff) -> Duration {
        let records = self.records();
        let record = records.peek(&key(client));
        let failures = record.map_or(0, |record| record.failures_at(Instant::now(), growth));
        match failures {
            0 => Duration::ZERO,
            _ => growth.delay(failures),
        }
    }

    /// Of how many addresses something is remembered.
    pub fn addresses(&self) -> usize {
        self.records().len()
    }
    fn records(&self) -> MutexGuard<'_, LruCache<Network, Record>> {
        self.records.lock()
    }
}

impl Record {
    /// Whether it was another guess.
    fn count(&mut self, fingerprint: Option<Fingerprint>, now: Instant, growth: &Backoff) -> bool {
        let failures = self.failures_at(now, growth);
        if failures == 0 {
            self.fingerprints.clear();
        }
        if fingerprint.is_some_and(|one| self.fingerprints.contains(&one)) {
            return false;
        }
        self.failures = (failures + 1).min(growth.most_failures());
        self.since = now;
        if let Some(fingerprint) = fingerprint {
            if self.fingerprints.len() == MOST_FINGERPRINTS {
                self.fingerprints.remove(0);
            }
            self.fingerprints.push(fingerprint);
        }
        true
    }

    /// How many still count.
    fn failures_at(&self, now: Instant, growth: &Backoff) -> u32 {
        let decay = growth.decay.as_nanos().max(1);
        let decayed = now.saturating_duration_since(self.since).as_nanos() / decay;
        self.failures
            .saturating_sub(u32::try_from(decayed).unwrap_or(u32::MAX))
    }
}

fn key(client: Client) -> Network {
    client.network(V4_BITS, V6_BITS)
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4};

    use tokio::time::sleep;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const GROWTH: Backoff = Backoff {
        first: Duration::from_secs(2),
        longest: Duration::from_secs(15),
        decay: Duration::from_secs(60),
    };
    const CLIENT: Client = Client::At(SocketAddr::V4(SocketAddrV4::new(
        Ipv4Addr::new(192, 0, 2, 1),
        7,
    )));

    fn failed(penalties: &Penalties, client: Client, password: &str) -> u64 {
        let fingerprint = penalties.fingerprint("u", password);
        let delay = penalties.failed(client, Some(fingerprint), &GROWTH);
        assert_eq!(delay.subsec_nanos(), 0);
        delay.as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn it_grows_to_its_end_and_decays_step_by_step() {
        let penalties = Penalties::new();
        for (password, expected) in ["a", "b", "c", "d", "e", "f"]
            .iter()
            .zip([2, 4, 8, 15, 15, 15])
        {
            assert_eq!(failed(&penalties, CLIENT, password), expected);
        }
        // Six failed and four count: the delay of 15 s, and three steps below.
        for (expected, owed) in [(15, 15), (8, 8), (4, 4), (2, 2), (2, 0)] {
            assert_eq!(penalties.delay(CLIENT, &GROWTH).as_secs(), expected);
            assert_eq!(penalties.owed(CLIENT, &GROWTH).as_secs(), owed);
            sleep(60 * SECOND).await;
        }
        assert_eq!(failed(&penalties, CLIENT, "a"), 2);
        sleep(59 * SECOND).await;
        assert_eq!(failed(&penalties, CLIENT, "b"), 4);
        // What was not a password has no fingerprint, and counts each time.
        assert_eq!(penalties.failed(CLIENT, None, &GROWTH), 8 * SECOND);
        assert_eq!(penalties.failed(CLIENT, None, &GROWTH), 15 * SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn the_same_again_does_not_count() {
        let penalties = Penalties::new();
        for _ in 0..10 {
            assert_eq!(failed(&penalties, CLIENT, "old"), 2);
        }
        assert_eq!(failed(&penalties, CLIENT, "other"), 4);
        assert_eq!(failed(&penalties, CLIENT, "old"), 4);
        // The same password of another user is another guess.
        let other = penalties.fingerprint("v", "old");
        assert_eq!(penalties.failed(CLIENT, Some(other), &GROWTH), 8 * SECOND);
        // Nor does it keep up what was.
        sleep(50 * SECOND).await;
        assert_eq!(failed(&penalties, CLIENT, "old"), 8);
        sleep(10 * SECOND).await;
        assert_eq!(failed(&penalties, CLIENT, "old"), 4);
        // So many are recognized.
        let passwords: Vec<String> = (0..=MOST_FINGERPRINTS).map(|n| n.to_string()).collect();
        for password in &passwords {
            failed(&penalties, CLIENT, password);
        }
        sleep(60 * SECOND).await;
        assert_eq!(failed(&penalties, CLIENT, &passwords[1]), 8);
        assert_eq!(failed(&penalties, CLIENT, &passwords[0]), 15);
    }

    #[tokio::test(start_paused = true)]
    async fn clients_are_told_apart() {
        let penalties = Penalties::new();
        let v6 = |text: &str| Client::at((text.parse::<IpAddr>().unwrap(), 7).into());
        assert_eq!(failed(&penalties, CLIENT, "a"), 2);
        assert_eq!(failed(&penalties, v6("::ffff:192.0.2.1"), "b"), 4);
        assert_eq!(failed(&penalties, v6("192.0.2.2"), "b"), 2);
        assert_eq!(failed(&penalties, v6("2001:db8:1::1"), "a"), 2);
        assert_eq!(failed(&penalties, v6("2001:db8:1:ffff::2"), "b"), 4);
        assert_eq!(failed(&penalties, v6("2001:db8:2::1"), "c"), 2);
        assert_eq!(penalties.addresses(), 4);
        assert_eq!(penalties.delay(v6("192.0.2.3"), &GROWTH), 2 * SECOND);
        assert_eq!(penalties.addresses(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn unknown_clients_pay_together_and_for_nobody_else() {
        let penalties = Penalties::new();
        let loopback = Client::at(([127, 0, 0, 1], 7).into());
        assert_eq!(failed(&penalties, Client::Unknown, "a"), 2);
        assert_eq!(failed(&penalties, Client::Unknown, "b"), 4);
        assert_eq!(failed(&penalties, loopback, "a"), 2);
        assert_eq!(failed(&penalties, Client::Unknown, "c"), 8);
        assert_eq!(penalties.owed(loopback, &GROWTH), 2 * SECOND);
        assert_eq!(penalties.addresses(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn what_an_address_owes_at_another_server_it_owes_here() {
        let (here, there) = (Penalties::new(), Penalties::new());
        failed(&there, CLIENT, "before anybody listens");
        there.tell_others();
        assert_eq!(there.take_changes(9, &GROWTH), (Vec::new(), 0));
        assert_eq!(failed(&there, CLIENT, "a"), 4);
        // The same again is no other guess, and nothing to tell.
        let (told, _) = there.take_changes(9, &GROWTH);
        assert_eq!(failed(&there, CLIENT, "a"), 4);
        assert_eq!(there.take_changes(9, &GROWTH).0, []);
        assert_eq!((told.len(), told[0].failures), (1, 2));
        assert_eq!(told[0].remaining, 120 * SECOND);
        for _ in 0..2 {
            here.learn(&told[0], &GROWTH);
            assert_eq!(here.owed(CLIENT, &GROWTH), 4 * SECOND);
        }
        // What was heard is not told on, and what is owed here already is not owed twice.
        here.tell_others();
        here.learn(&told[0], &GROWTH);
        assert_eq!(here.take_changes(9, &GROWTH).0, []);
        assert_eq!(failed(&here, CLIENT, "b"), 8);
        there.learn(&here.take_changes(9, &GROWTH).0[0], &GROWTH);
        assert_eq!(there.owed(CLIENT, &GROWTH), 8 * SECOND);
        // It decays from when it was, whenever it is heard.
        sleep(60 * SECOND).await;
        let late = Penalties::new();
        let old = Debt {
            age: told[0].age + 60 * SECOND,
            ..told[0]
        };
        late.learn(&old, &GROWTH);
        assert_eq!(late.owed(CLIENT, &GROWTH), 2 * SECOND);
        sleep(60 * SECOND).await;
        assert_eq!(late.owed(CLIENT, &GROWTH), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn what_others_were_told_can_be_told_again() {
        let penalties = Penalties::new();
        penalties.tell_others();
        let at = |last| Client::at(([192, 0, 2, last], 7).into());
        failed(&penalties, at(1), "a");
        sleep(61 * SECOND).await;
        failed(&penalties, at(2), "a");
        failed(&penalties, at(3), "a");
        let heard = Debt {
            network: key(at(4)),
            failures: 2,
            age: SECOND,
            remaining: 119 * SECOND,
        };
        penalties.learn(&heard, &GROWTH);
        assert_eq!(penalties.take_changes(9, &GROWTH).0.len(), 2);
        failed(&penalties, at(5), "a");
        penalties.tell_again(&GROWTH);
        let (told, dropped) = penalties.take_changes(9, &GROWTH);
        let networks: Vec<Network> = told.iter().map(|debt| debt.network).collect();
        assert_eq!(networks, [2, 3, 4, 5].map(|last| key(at(last))));
        assert_eq!((told[2], dropped), (heard, 0));
        assert_eq!(penalties.take_changes(9, &GROWTH).0, []);
    }

    #[tokio::test(start_paused = true)]
    async fn what_others_have_to_hear_has_an_end() {
        let penalties = Penalties::new();
        penalties.tell_others();
        for number in 0..MOST_ADDRESSES as u128 + 3 {
            let address = Ipv6Addr::from((0x2001 << 112) + (number << 80));
            failed(&penalties, Client::at((address, 7).into()), "a");
        }
        let (first, dropped) = penalties.take_changes(2, &GROWTH);
        assert_eq!((first.len(), dropped), (2, 3));
        penalties.put_back(&first);
        let (again, dropped) = penalties.take_changes(2, &GROWTH);
        assert_eq!((again, dropped), (first, 0));
        let (rest, _) = penalties.take_changes(usize::MAX, &GROWTH);
        assert_eq!(rest.len(), MOST_ADDRESSES - 2);
    }

    #[tokio::test(start_paused = true)]
    async fn memory_has_an_end() {
        let penalties = Penalties::new();
        failed(&penalties, CLIENT, "a");
        for number in 0..MOST_ADDRESSES as u128 {
            let address = Ipv6Addr::from((0x2001 << 112) + (number << 80));
            let client = Client::at((address, 7).into());
            assert_eq!(failed(&penalties, client, "a"), 2);
        }
        assert_eq!(penalties.addresses(), MOST_ADDRESSES);
        assert_eq!(failed(&penalties, CLIENT, "b"), 2, "forgotten");
    }

    #[test]
    fn other_growths() {
        let growth = |first, longest| Backoff {
            first: Duration::from_millis(first),
            longest: Duration::from_millis(longest),
            decay: SECOND,
        };
        for (growth, most, longest) in [
            (growth(0, 15_000), 1, 0),
            (growth(0, 0), 1, 0),
            (growth(2000, 2000), 1, 2000),
            (growth(1, 60_000), 17, 60_000),
            (growth(60_000, 60_000), 1, 60_000),
            (growth(2000, 15_000), 4, 15_000),
        ] {
            assert_eq!(growth.most_failures(), most);
            assert_eq!(growth.delay(most), Duration::from_millis(longest));
            assert_eq!(
                growth.delay(u32::MAX),
                growth.longest.min(growth.delay(most))
            );
            assert_eq!(growth.delay(0), growth.first);
        }
    }
}

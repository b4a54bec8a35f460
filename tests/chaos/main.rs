//! Three servers on one database with a synchronous standby, with mail in the engine, while
//! servers are killed or stand still, the database fails over, and what is between them breaks.
//! A checker decides by what clients and the deliverer saw whether mail was kept as promised;
//! and it is shown that it finds what it is there for.
//!
//! A short run is part of the tests; `RESTANTE_CHAOS_SECONDS=600 cargo xtask test --test chaos
//! -- --nocapture` is the long one. `RESTANTE_SEED` repeats the schedule of a run.
#![allow(clippy::unwrap_used, reason = "tests")]

mod checker;
mod client;
mod cluster;
mod connection;
mod delivery;
mod faults;
mod history;
mod link;
mod takeover;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use restante_tests::{GLANCE, PATIENCE, Postgres};
use tokio::runtime::Runtime;

use checker::{Violation, check};
use client::{Addresses, Counts, Kind, World};
use cluster::{Cluster, NODES};
use delivery::Deliverer;
use faults::{ALL, Faults};
use history::{History, Quit};

/// Of the short run.
const SECONDS: u64 = 25;
const USERS: usize = 64;
/// Deliveries at once.
const DELIVERERS: usize = 4;

/// What these tests need of the machine, they do not share.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn number_of(variable: &str) -> Option<u64> {
    let number = std::env::var(variable).ok()?;
    let number = number.parse();
    Some(number.unwrap_or_else(|error| panic!("{variable}: {error}")))
}

/// What the deliverers were told.
#[derive(Debug, Default)]
struct Deliveries {
    acknowledged: AtomicU64,
    others: AtomicU64,
}

fn deliver(
    deliverer: &Deliverer,
    world: &World,
    mut rng: Rng,
    counts: &Deliveries,
    end: &AtomicBool,
) {
    while !end.load(Ordering::Relaxed) {
        let to = rng.usize(..USERS);
        let acknowledged = deliverer.deliver(to, &world.history, &mut rng).is_some();
        let counter = match acknowledged {
            true => &counts.acknowledged,
            false => &counts.others,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        thread::sleep(Duration::from_millis(rng.u64(20..100)));
    }
}

/// Everything works again: everybody is served on any server, and all mail is to be had.
fn fetch_all(world: &World) {
    for user in 0..USERS {
        let begun = Instant::now();
        for attempt in 0.. {
            let Err(why) = client::fetch_all(user, attempt % NODES.len(), world) else {
                break;
            };
            let waited = begun.elapsed();
            assert!(waited < PATIENCE, "user {user} after {waited:?}: {why}");
            thread::sleep(GLANCE);
        }
    }
}

fn report(seed: u64, world: &World, deliveries: &Deliveries, faults: &Faults, lost: u32) {
    let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let Counts {
        sessions,
        no_logins,
        fetched,
        removed,
        refused,
        unknown,
    } = &world.counts;
    eprintln!(
        "RESTANTE_SEED={seed}: {} sessions and {} logins that came to nothing; {} deliveries acknowledged and {} not; \
         {} messages fetched, {} removed; {} removals refused, {} unknown; {lost} answers lost; faults {:?}",
        get(sessions),
        get(no_logins),
        get(&deliveries.acknowledged),
        get(&deliveries.others),
        get(fetched),
        get(removed),
        get(refused),
        get(unknown),
        faults.counts,
    );
}

/// The violations of all maildrops; the history of each that has some is printed.
fn violations(history: &History, deliverer: &Deliverer) -> Vec<(usize, Violation)> {
    let mut all = Vec::new();
    for (user, maildrop) in history.maildrops() {
        let (events, left) = (maildrop.events(), deliverer.left(user));
        let found = check(&events, &left);
        if !found.is_empty() {
            eprintln!("---- user {user}: {found:#?}");
            events.iter().for_each(|event| eprintln!("{event}"));
            eprintln!("left: {left:?}");
        }
        all.extend(found.into_iter().map(|violation| (user, violation)));
    }
    all
}

#[test]
fn whatever_fails_no_message_is_lost_or_comes_back_or_has_two_removers() {
    let _alone = alone();
    let seed = number_of("RESTANTE_SEED").unwrap_or_else(|| fastrand::u64(..));
    let seconds = number_of("RESTANTE_CHAOS_SECONDS").unwrap_or(SECONDS);
    eprintln!("RESTANTE_SEED={seed}");
    let runtime = Arc::new(Runtime::new().unwrap());
    let addresses = Arc::new(Addresses::new(NODES.len()));
    let test = "whatever_fails_no_message_is_lost_or_comes_back_or_has_two_removers";
    let Some(mut cluster) = Cluster::start(test, &runtime, USERS, &addresses) else {
        return;
    };
    let deliverer = Deliverer::open(&runtime, cluster.url(), cluster.database_password());
    for node in 0..NODES.len() {
        cluster.start_node(node);
    }
    let world = World {
        history: History::new(USERS),
        addresses: addresses.clone(),
        counts: Counts::default(),
        is_over: AtomicBool::new(false),
    };
    let (deliveries, no_more) = (Deliveries::default(), AtomicBool::new(false));
    let mut rng = Rng::with_seed(seed);
    let faults = thread::scope(|scope| {
        let schedule = rng.fork();
        let mut deliverers = Vec::new();
        for _ in 0..DELIVERERS {
            let rng = rng.fork();
            let (deliverer, world, deliveries, no_more) =
                (&deliverer, &world, &deliveries, &no_more);
            deliverers
                .push(scope.spawn(move || deliver(deliverer, world, rng, deliveries, no_more)));
        }
        for user in 0..USERS {
            for kind in [Kind::Deletes, Kind::Leaves] {
                let (world, rng) = (&world, rng.fork());
                scope.spawn(move || client::run(kind, user, world, rng));
            }
        }
        let ended = Ended([&no_more, &world.is_over]);
        let until = Instant::now() + Duration::from_secs(seconds);
        let faults = faults::run(&mut cluster, &world.history, schedule, until);
        no_more.store(true, Ordering::Relaxed);
        for deliverer in deliverers {
            deliverer.join().unwrap();
        }
        drop(ended);
        faults
    });
    fetch_all(&world);
    report(seed, &world, &deliveries, &faults, cluster.lost_answers());
    let violations = violations(&world.history, &deliverer);
    if !violations.is_empty() {
        faults.log.iter().for_each(|line| eprintln!("{line}"));
    }
    assert!(
        violations.is_empty(),
        "RESTANTE_SEED={seed}: {violations:#?}"
    );
    // It was a test of something.
    for fault in ALL {
        assert!(faults.counts.contains_key(&fault), "{fault:?} never was");
    }
    assert!(cluster.lost_answers() > 0, "no answer was lost");
    for (counter, least) in [
        (&world.counts.sessions, 100),
        (&world.counts.removed, 100),
        (&deliveries.acknowledged, 100),
    ] {
        let counted = counter.load(Ordering::Relaxed);
        assert!(counted >= least, "{counted} of {least}: {world:?}");
    }
}

/// Sets these when it is dropped, also by a panic: threads wait for them.
struct Ended<'a>([&'a AtomicBool; 2]);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        for flag in self.0 {
            flag.store(true, Ordering::Relaxed);
        }
    }
}

#[test]
fn a_removal_that_was_held_up_until_a_take_over_removes_nothing() {
    let _alone = alone();
    let test = "a_removal_that_was_held_up_until_a_take_over_removes_nothing";
    let Some(postgres) = Postgres::shared(test) else {
        return;
    };
    let outcome = takeover::play(postgres, false);
    assert_eq!(outcome.told.0, Quit::Refused, "{:?}", outcome.told);
    assert_eq!(outcome.violations, []);
}

#[test]
fn the_checker_finds_a_removal_that_does_not_look_at_its_hold() {
    let _alone = alone();
    let test = "the_checker_finds_a_removal_that_does_not_look_at_its_hold";
    let Some(postgres) = Postgres::shared(test) else {
        return;
    };
    let outcome = takeover::play(postgres, true);
    assert_eq!(outcome.told.0, Quit::Done, "{:?}", outcome.told);
    let found = outcome.violations.as_slice();
    assert!(
        matches!(found, [Violation::RemovedAfterTakeOver { .. }]),
        "{found:?}"
    );
}

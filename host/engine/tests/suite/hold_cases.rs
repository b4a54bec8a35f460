//! What holds owe.

use std::collections::HashSet;
use std::time::{Duration, Instant, SystemTime};

use restante_engine::{
    Acquired, Folder, Hold, MAX_HOLD_FOLDERS, Node, Problem, Retention, Summary, Visit,
};

use super::{Engine, entry, folder};

pub(crate) async fn one_holds_and_the_others_hear_who(make: impl AsyncFn(Retention) -> Engine) {
    let engine = make(Retention::default()).await;
    let holds = &engine.holds;
    let (first, hold) = engine.holder("first", "k").await;
    let second = holds.join("second", "another").await.unwrap();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = now.unwrap().as_secs();
    for node in [&first, &second] {
        let Acquired::InUse {
            node,
            since,
            fence,
            wait,
        } = holds.acquire("k", node).await.unwrap()
        else {
            panic!("held twice");
        };
        assert_eq!((node.as_str(), fence, wait), ("first", hold.fence, None));
        assert!(since.abs_diff(now) < 100, "{since}, {now}");
    }
    assert_eq!(holds.check(&hold).await, Ok(()));
    holds.release(&hold).await.unwrap();
    assert_eq!(holds.check(&hold).await, Err(Problem::Lost));
    holds.release(&hold).await.unwrap();
    let next = engine.held("k", &second).await;
    // A release that comes late is of a hold that is over.
    holds.release(&hold).await.unwrap();
    assert_eq!(holds.check(&next).await, Ok(()));
    assert_ne!(next.token, hold.token);
    assert!(format!("{next:?}").contains("Token(…)"), "a token is shown");
}

pub(crate) async fn fences_rise_and_keys_are_apart(make: impl AsyncFn(Retention) -> Engine) {
    let engine = make(Retention::default()).await;
    let node = engine.holds.join("n", "a test").await.unwrap();
    let mut last = None;
    let mut tokens = HashSet::new();
    for key in ["a", "A", "ä", "a ", "a", "A"] {
        let hold = engine.held(key, &node).await;
        assert_eq!(hold.key, key);
        assert!(last < Some(hold.fence), "{last:?} {}", hold.fence);
        last = Some(hold.fence);
        assert!(tokens.insert(hold.token));
        if key.eq_ignore_ascii_case("a") {
            engine.holds.release(&hold).await.unwrap();
        }
    }
}

pub(crate) async fn of_many_at_once_one_gets_it(make: impl AsyncFn(Retention) -> Engine) {
    let engine = make(Retention::default()).await;
    for round in 0..5 {
        let mut tries = tokio::task::JoinSet::new();
        for number in 0..12 {
            let holds = engine.holds.clone();
            tries.spawn(async move {
                let node = holds
                    .join(&format!("node {number}"), "a test")
                    .await
                    .unwrap();
                holds.acquire(&format!("key {round}"), &node).await.unwrap()
            });
        }
        let acquired = tries.join_all().await;
        let held = acquired
            .iter()
            .filter(|one| matches!(one, Acquired::Held(_)));
        assert_eq!(held.count(), 1, "{acquired:?}");
    }
}

pub(crate) async fn a_node_that_starts_again_frees_what_it_held(
    make: impl AsyncFn(Retention) -> Engine,
) {
    let engine = make(Retention::default()).await;
    let holds = &engine.holds;
    let (before, hold) = engine.holder("n", "k").await;
    let (_, elsewhere) = engine.holder("m", "other").await;
    let after = holds.join("n", "a test").await.unwrap();
    assert!(after.term > before.term);
    assert_eq!(holds.beat(&before).await, Err(Problem::Lost));
    assert_eq!(holds.acquire("free", &before).await, Err(Problem::Lost));
    assert_eq!(holds.beat(&after).await, Ok(()));
    // Nobody has taken it: it is in force still.
    assert_eq!(holds.check(&hold).await, Ok(()));
    let taken = engine.held("k", &after).await;
    assert!(taken.fence > hold.fence);
    assert_eq!(holds.check(&hold).await, Err(Problem::Lost));
    assert_eq!(holds.check(&elsewhere).await, Ok(()));
    // The one of before leaves: it has nothing to do with the one of now.
    holds.leave(&before).await.unwrap();
    assert_eq!(holds.beat(&after).await, Ok(()));
}

pub(crate) async fn a_node_that_leaves_frees_what_it_held(make: impl AsyncFn(Retention) -> Engine) {
    let engine = make(Retention::default()).await;
    let holds = &engine.holds;
    let (first, hold) = engine.holder("first", "k").await;
    let second = holds.join("second", "a test").await.unwrap();
    holds.leave(&first).await.unwrap();
    holds.leave(&first).await.unwrap();
    assert_eq!(holds.beat(&first).await, Err(Problem::Lost));
    assert_eq!(holds.acquire("free", &first).await, Err(Problem::Lost));
    engine.held("k", &second).await;
    assert_eq!(holds.check(&hold).await, Err(Problem::Lost));
    let again = holds.join("first", "a test").await.unwrap();
    assert!(again.term > first.term);
    assert!(matches!(
        holds.acquire("k", &again).await,
        Ok(Acquired::InUse { .. })
    ));
}

pub(crate) async fn a_term_runs_out_without_heartbeats_and_not_with_them(
    make: impl AsyncFn(Retention) -> Engine,
) {
    const TERM: Duration = Duration::from_secs(3);
    /// Far more than the term.
    const PATIENCE: Duration = Duration::from_secs(60);
    let engine = make(Retention {
        term: TERM,
        ..Retention::default()
    })
    .await;
    let holds = &engine.holds;
    let (beating, kept) = engine.holder("beating", "kept").await;
    let (silent, lost) = engine.holder("silent", "lost").await;
    let asking = holds.join("asking", "a test").await.unwrap();
    if !holds.has_terms() {
        // Nobody but this process can have it, so that silence means nothing.
        tokio::time::sleep(TERM + TERM / 2).await;
        for key in ["kept", "lost"] {
            let acquired = holds.acquire(key, &asking).await;
            assert!(matches!(acquired, Ok(Acquired::InUse { .. })), "{key}");
        }
        assert_eq!(holds.check(&lost).await, Ok(()));
        engine.held("free", &silent).await;
        return;
    }
    let started = Instant::now();
    let taken = loop {
        holds.beat(&beating).await.unwrap();
        holds.beat(&asking).await.unwrap();
        if let Acquired::Held(taken) = holds.acquire("lost", &asking).await.unwrap() {
            break taken;
        }
        assert!(started.elapsed() < PATIENCE, "it never ran out");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert!(taken.fence > lost.fence);
    assert_eq!(holds.check(&lost).await, Err(Problem::Lost));
    assert_eq!(holds.acquire("free", &silent).await, Err(Problem::Lost));
    assert!(matches!(
        holds.acquire("kept", &asking).await,
        Ok(Acquired::InUse { .. })
    ));
    assert_eq!(holds.check(&kept).await, Ok(()));
    // It was silent and is back before anybody took its name; what was taken stays taken.
    holds.beat(&silent).await.unwrap();
    engine.held("free", &silent).await;
    assert_eq!(holds.check(&lost).await, Err(Problem::Lost));
}

pub(crate) async fn a_hold_that_was_taken_over_does_nothing(
    make: impl AsyncFn(Retention) -> Engine,
) {
    let engine = make(Retention::default()).await;
    let inbox = folder("a", "b", "");
    let id = engine.kept(&inbox, &entry("a")).await;
    let (before, hold) = engine.holder("n", "k").await;
    engine.holds.leave(&before).await.unwrap();
    let (_, taken) = engine.holder("m", "k").await;
    let ids = std::slice::from_ref(&id);
    assert_eq!(
        engine.index.remove(&inbox, ids, &hold).await,
        Err(Problem::Lost)
    );
    assert_eq!(engine.names(&inbox).await, ["a"]);
    engine.holds.release(&hold).await.unwrap();
    assert_eq!(engine.index.remove(&inbox, ids, &taken).await, Ok(()));
    assert_eq!(engine.names(&inbox).await, [""; 0]);
}

pub(crate) async fn names_are_checked(make: impl AsyncFn(Retention) -> Engine) {
    let engine = make(Retention::default()).await;
    let node = engine.holds.join("n", "a test").await.unwrap();
    let long = "x".repeat(1025);
    for name in ["", "a\0b", "a\nb", &long] {
        let joined = engine.holds.join(name, "a test").await;
        assert!(
            matches!(joined, Err(Problem::Invalid(_))),
            "{name:?}: {joined:?}"
        );
        let acquired = engine.holds.acquire(name, &node).await;
        assert!(
            matches!(acquired, Err(Problem::Invalid(_))),
            "{name:?}: {acquired:?}"
        );
    }
    engine.held(&long[1..], &node).await;
}

/// Holds "k", and what folders held then; None: somebody else has it.
async fn held_with_states(
    engine: &Engine,
    node: &Node,
    folders: &[Folder],
) -> Option<(Hold, Vec<Summary>)> {
    let asked = engine.holds.acquire_with_states("k", node, folders).await;
    match asked.unwrap() {
        (Acquired::Held(hold), states) => Some((hold, states.unwrap())),
        (Acquired::InUse { .. }, states) => {
            assert_eq!(states, None);
            None
        }
        (other, _) => panic!("{other:?}"),
    }
}

pub(crate) async fn a_hold_brings_what_the_index_says(make: impl AsyncFn(Retention) -> Engine) {
    let engine = make(Retention::default()).await;
    let node = engine.holds.join("n", "a test").await.unwrap();
    let inbox = folder("a", "b", "");
    let folders = [
        folder("a", "b", "lists"),
        // In it nothing ever was.
        folder("a", "b", "none"),
        inbox.clone(),
        folder("a", "other", ""),
        folder("b", "b", ""),
    ];
    engine.kept(&inbox, &entry("a")).await;
    let id = engine.kept(&inbox, &entry("b")).await;
    engine.kept(&folders[0], &entry("c")).await;
    for other in &folders[3..] {
        for _ in 0..3 {
            engine.kept(other, &entry("d")).await;
        }
    }
    let told = async || {
        let mut told = Vec::new();
        for folder in &folders {
            told.push(engine.index.state(folder).await.unwrap());
        }
        told
    };
    let (hold, states) = held_with_states(&engine, &node, &folders).await.unwrap();
    assert_eq!(states, told().await);
    let versions: Vec<u64> = states.iter().map(|state| state.version).collect();
    assert_eq!(versions, [1, 0, 2, 3, 3]);
    assert!(held_with_states(&engine, &node, &folders).await.is_none());
    // It is a hold like others.
    assert_eq!(engine.holds.check(&hold).await, Ok(()));
    let ids = std::slice::from_ref(&id);
    engine.index.remove(&inbox, ids, &hold).await.unwrap();
    engine.holds.release(&hold).await.unwrap();
    let (hold, states) = held_with_states(&engine, &node, &folders).await.unwrap();
    assert_eq!(states, told().await);
    assert_eq!(states[2].version, 3);
    assert_eq!((states[2].messages, states[2].octets), (1, 100));
    engine.holds.release(&hold).await.unwrap();
    let (_, states) = held_with_states(&engine, &node, &[]).await.unwrap();
    assert!(states.is_empty());
    let many = vec![inbox; MAX_HOLD_FOLDERS + 1];
    let of_many = engine.holds.acquire_with_states("m", &node, &many).await;
    assert!(matches!(of_many, Err(Problem::Invalid(_))), "{of_many:?}");
    let most = &many[1..];
    let most = engine.holds.acquire_with_states("m", &node, most).await;
    let (_, most) = most.unwrap();
    assert_eq!(most.map(|states| states.len()), Some(MAX_HOLD_FOLDERS));
    engine.holds.leave(&node).await.unwrap();
    let lost = engine.holds.acquire_with_states("k", &node, &folders).await;
    assert_eq!(lost, Err(Problem::Lost));
}

/// What a holder removed before it gave the key back is known to the next one.
pub(crate) async fn what_a_hold_brings_is_read_when_it_is_taken(
    make: impl AsyncFn(Retention) -> Engine,
) {
    let engine = make(Retention::default()).await;
    let inbox = folder("a", "b", "");
    let folders = std::slice::from_ref(&inbox);
    let before = engine.holds.join("before", "a test").await.unwrap();
    let next = engine.holds.join("next", "a test").await.unwrap();
    for round in 1..=20 {
        let id = engine.kept(&inbox, &entry("a")).await;
        let hold = engine.held("k", &before).await;
        let (index, holds) = (engine.index.clone(), engine.holds.clone());
        let (of, ids) = (inbox.clone(), [id]);
        let removing = tokio::spawn(async move {
            index.remove(&of, &ids, &hold).await.unwrap();
            holds.release(&hold).await.unwrap();
        });
        let (hold, states) = loop {
            if let Some(held) = held_with_states(&engine, &next, folders).await {
                break held;
            }
        };
        assert_eq!((states[0].version, states[0].messages), (2 * round, 0));
        engine.holds.release(&hold).await.unwrap();
        removing.await.unwrap();
    }
}

fn visit(visitor: &str, delay: u64, most_elsewhere: u32) -> Visit {
    Visit {
        visitor: visitor.to_owned(),
        delay: Duration::from_secs(delay),
        most_elsewhere,
    }
}

impl Engine {
    async fn visited(&self, key: &str, node: &Node, visit: &Visit) -> Acquired {
        let acquiring = self.holds.acquire_for(key, node, &[], Some(visit));
        acquiring.await.unwrap().0
    }
}

fn held(acquired: Acquired) -> Hold {
    match acquired {
        Acquired::Held(hold) => hold,
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn a_login_delay_runs_on_all_nodes(make: impl AsyncFn(Retention) -> Engine) {
    let engine = make(Retention::default()).await;
    let holds = &engine.holds;
    let first = holds.join("first", "a test").await.unwrap();
    let second = holds.join("second", "a test").await.unwrap();
    let ada = visit("t:ada", 3600, 9);
    // A login that came to nothing is none.
    let hold = held(engine.visited("k", &first, &ada).await);
    holds.release(&hold).await.unwrap();
    let hold = held(engine.visited("k", &first, &ada).await);
    // Who has it is told before who was there. To end her session would not let her in.
    let (hour, minute) = (Duration::from_secs(3600), Duration::from_secs(60));
    let in_use = async |visit: &Visit| match engine.visited("k", &second, visit).await {
        Acquired::InUse { fence, wait, .. } => {
            assert_eq!(fence, hold.fence);
            wait
        }
        other => panic!("{other:?}"),
    };
    let waits = in_use(&ada).await;
    let at_once = in_use(&visit("t:ada", 0, 9)).await;
    if holds.has_terms() {
        let left = waits.unwrap();
        assert!(left <= hour && left > hour - minute, "{left:?}");
        assert_eq!(at_once, Some(Duration::ZERO));
    } else {
        assert_eq!((waits, at_once), (None, None));
    }
    let of_another = in_use(&visit("t:eve", 3600, 9)).await;
    assert_eq!(of_another, None);
    holds.release_login(&hold).await.unwrap();
    holds.release_login(&hold).await.unwrap();
    if !holds.has_terms() {
        held(engine.visited("k", &second, &ada).await);
        return;
    }
    for node in [&first, &second] {
        for key in ["k", "another maildrop of hers"] {
            let Acquired::TooSoon(wait) = engine.visited(key, node, &ada).await else {
                panic!("{key}: she has just been here");
            };
            assert!(wait <= hour && wait > hour - minute, "{wait:?}");
        }
    }
    // Others need not wait, and neither does who has a shorter delay.
    let eve = held(
        engine
            .visited("other", &second, &visit("t:eve", 3600, 9))
            .await,
    );
    holds.release_login(&eve).await.unwrap();
    let now = visit("t:ada", 0, 9);
    let hold = held(engine.visited("k", &second, &now).await);
    holds.release(&hold).await.unwrap();
    // A hold for something else than a login neither waits nor forgets.
    let hold = engine.held("k", &first).await;
    holds.release(&hold).await.unwrap();
    let again = engine.visited("k", &first, &ada).await;
    assert!(matches!(again, Acquired::TooSoon(_)), "{again:?}");
}

pub(crate) async fn holds_of_one_visitor_are_counted_on_other_nodes(
    make: impl AsyncFn(Retention) -> Engine,
) {
    let engine = make(Retention::default()).await;
    let holds = &engine.holds;
    let first = holds.join("first", "a test").await.unwrap();
    let second = holds.join("second", "a test").await.unwrap();
    let one = held(engine.visited("one", &first, &visit("t:ada", 0, 0)).await);
    // The node's own it counts itself.
    held(engine.visited("two", &first, &visit("t:ada", 0, 0)).await);
    if !holds.has_terms() {
        held(
            engine
                .visited("three", &second, &visit("t:ada", 0, 0))
                .await,
        );
        return;
    }
    let none_elsewhere = visit("t:ada", 0, 1);
    assert_eq!(
        engine.visited("three", &second, &none_elsewhere).await,
        Acquired::TooMany
    );
    // Nor would she be let in if another session of hers gave its maildrop up.
    let none_left = engine.visited("one", &second, &visit("t:ada", 0, 0)).await;
    assert_eq!(none_left, Acquired::TooMany);
    held(engine.visited("four", &second, &visit("t:ada", 0, 2)).await);
    held(engine.visited("five", &second, &visit("t:eve", 0, 0)).await);
    // What was refused is not held.
    holds.release(&one).await.unwrap();
    held(engine.visited("three", &second, &none_elsewhere).await);
    // What a node holds that is gone is nobody's.
    holds.leave(&first).await.unwrap();
    held(engine.visited("six", &second, &visit("t:ada", 0, 0)).await);
    let odd = visit("a\nb", 0, 0);
    let refused = holds.acquire_for("k", &second, &[], Some(&odd)).await;
    assert!(matches!(refused, Err(Problem::Invalid(_))), "{refused:?}");
}

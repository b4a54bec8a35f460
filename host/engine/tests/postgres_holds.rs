//! What comes with a hold, and with a heartbeat, in a PostgreSQL database.

use restante_engine::{Acquired, Exchanged, Holds, MailIndex, News, Penalty, Report};
use restante_tests::{PgBouncer, Postgres as Server};

use crate::postgres_faults::{Blocker, Site, WAITING, held, kept};
use crate::proxy::Proxy;
use crate::suite::folder;

/// What a warm login asks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hold_and_what_it_brings_take_one_round_trip() {
    let Some(server) = Server::shared("one round trip") else {
        return;
    };
    let site = Site::new(server).await;
    let proxy = Proxy::start(server.port()).await;
    let engine = site.through(proxy.port()).await;
    let node = engine.join("n", "a test").await.unwrap();
    kept(&site.engine, "a").await;
    let folders = [folder("a", "b", ""), folder("a", "b", "lists")];
    // Its connection is open by now.
    let before = proxy.statements();
    proxy.keep_answers_for(2);
    let (acquired, states) = engine
        .acquire_with_states("k", &node, &folders)
        .await
        .unwrap();
    assert!(matches!(acquired, Acquired::Held(_)), "{acquired:?}");
    let states = states.unwrap();
    assert_eq!((states[0].version, states[1].version), (1, 0));
    assert_eq!(proxy.statements() - before, 2);
    // Without them it is one statement.
    engine.acquire("other", &node).await.unwrap();
    assert_eq!(proxy.statements() - before, 3);
}

/// A hold that waits for a removal under way sees what is removed, and all that came.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_hold_brings_is_of_after_its_wait() {
    let Some(server) = Server::shared("a hold that waits") else {
        return;
    };
    let site = Site::new(server).await;
    kept(&site.engine, "a").await;
    let hold = held(&site.engine, "n").await;
    site.engine.release(&hold).await.unwrap();
    let mut ways = vec![site.through(server.port()).await];
    let pooler = PgBouncer::start("what_a_hold_brings_is_of_after_its_wait", server);
    if let Some(pooler) = &pooler {
        ways.push(site.through(pooler.port()).await);
    }
    for (round, way) in (1..).zip(ways) {
        let node = way.join(&format!("way {round}"), "a test").await.unwrap();
        let locked = "select from restante.hold where key = 'k' for update";
        let blocker = Blocker::new(&site, &format!("blocker {round}"), locked).await;
        let asking = way.clone();
        let asking = tokio::spawn(async move {
            let folders = [folder("a", "b", "")];
            asking.acquire_with_states("k", &node, &folders).await
        });
        site.until(WAITING, "1").await;
        kept(&site.engine, "later").await;
        blocker.end();
        let (acquired, states) = asking.await.unwrap().unwrap();
        let Acquired::Held(hold) = acquired else {
            panic!("{acquired:?}");
        };
        let state = site.engine.state(&folder("a", "b", "")).await.unwrap();
        assert_eq!(state.version, 1 + round);
        assert_eq!(states, Some(vec![state]));
        way.release(&hold).await.unwrap();
    }
}

/// What cannot be read keeps nobody from the hold.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hold_without_what_it_should_bring_is_a_hold() {
    let Some(server) = Server::shared("a hold alone") else {
        return;
    };
    let site = Site::new(server).await;
    let node = site.engine.join("n", "a test").await.unwrap();
    site.run("alter table restante.maildrop rename to moved");
    let folders = [folder("a", "b", "")];
    let asked = site.engine.acquire_with_states("k", &node, &folders).await;
    let (acquired, states) = asked.unwrap();
    let Acquired::Held(hold) = acquired else {
        panic!("{acquired:?}");
    };
    assert_eq!(states, None);
    assert_eq!(site.engine.check(&hold).await, Ok(()));
}

/// What nodes tell one another is worth less than that they are there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_told_keeps_no_heartbeat_from_being_one() {
    let Some(server) = Server::shared("nothing is told") else {
        return;
    };
    let site = Site::new(server).await;
    let engine = &site.engine;
    let node = engine.join("n", "a test").await.unwrap();
    let other = engine.join("other", "a test").await.unwrap();
    let whole = Report {
        is_whole: true,
        ..Report::default()
    };
    let told = Exchanged::News(News::default());
    assert_eq!(engine.exchange(&node, &whole).await.unwrap(), told);
    site.run("alter table restante.penalty rename to elsewhere");
    let expiry = "select expires from restante.node where id = 'n'";
    let before = site.run(expiry);
    let Exchanged::Failed(why) = engine.exchange(&node, &whole).await.unwrap() else {
        panic!("the table is not there");
    };
    assert!(why.contains("penalty"), "{why}");
    assert_ne!(site.run(expiry), before, "the term runs on");
    let acquired = engine.acquire("k", &node).await.unwrap();
    assert!(matches!(acquired, Acquired::Held(_)), "{acquired:?}");
    site.run("alter table restante.elsewhere rename to penalty");
    // Whoever has it locked for long is not waited for.
    let blocker = Blocker::new(&site, "blocker", "lock table restante.penalty").await;
    let failed = engine.exchange(&node, &Report::default()).await.unwrap();
    assert!(matches!(failed, Exchanged::Failed(_)), "{failed:?}");
    blocker.end();
    // As after a crash.
    let owed = Report {
        penalties: vec![Penalty {
            network: "192.0.2.1/32".to_owned(),
            failures: 1,
            age: std::time::Duration::ZERO,
            remaining: std::time::Duration::from_secs(600),
        }],
        ..Report::default()
    };
    engine.exchange(&other, &owed).await.unwrap();
    site.run("truncate restante.told, restante.session, restante.penalty, restante.asked");
    let lost = engine.exchange(&node, &Report::default()).await.unwrap();
    let expected = News {
        is_report_lost: true,
        ..News::default()
    };
    assert_eq!(lost, Exchanged::News(expected));
    assert_eq!(engine.exchange(&node, &whole).await.unwrap(), told);
}

/// Holds are committed without a wait for the disk, so a crash takes the last of them back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fences_grow_over_a_crash_that_takes_the_last_holds_back() {
    const KEYS: usize = 40;
    let Some(server) = Server::start("fences and a crash") else {
        return;
    };
    let site = Site::new(&server).await;
    let acquired = async || {
        // Only with a term that the database knows of.
        let node = site.engine.join("n", "a test").await.unwrap();
        let mut fences = Vec::new();
        for key in 0..KEYS {
            match site.engine.acquire(&format!("k{key}"), &node).await {
                Ok(Acquired::Held(hold)) => fences.push(hold.fence),
                other => panic!("{other:?}"),
            }
        }
        fences
    };
    let mut before = acquired().await;
    // Keys that are there and keys that are lost, whichever the crash makes of these.
    for _ in 0..2 {
        server.crash();
        server.restart();
        let after = acquired().await;
        for (before, after) in before.iter().zip(&after) {
            assert!(before < after, "{before}, then {after}");
        }
        assert!(after.iter().all(|fence| *fence < 1 << 53), "{after:?}");
        before = after;
    }
}

/// The last fence of a key is known, and the clock says less.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fences_grow_where_the_clock_was_set_back() {
    let Some(server) = Server::shared("fences and a clock") else {
        return;
    };
    let site = Site::new(server).await;
    let hold = held(&site.engine, "n").await;
    site.engine.release(&hold).await.unwrap();
    let ahead = site.run("update restante.hold set fence = fence + 3600000000 returning fence");
    let next = held(&site.engine, "n").await;
    assert_eq!(next.fence, ahead.parse::<u64>().unwrap() + 1);
}

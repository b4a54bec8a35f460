//! Maildrops that several nodes serve: each world is a node, and all have the mail in common.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use restante_config::ListenerTls;
use restante_pop3::Close;
use restante_roles::shared_holds::{
    NotHeld, NotInForce, SharedHold, SharedHolds, Successor, Visit,
};
use restante_server::connection::End;
use tokio::time::{Instant, sleep};

use crate::client::Client;
use crate::world::{Plan, World};

const MAIL: [(&str, &str); 2] = [("one", "Subject: one\n\nHello.\n"), ("two", "\nTwo.\n")];

/// What nodes ask: who holds what by which number, and whether it answers.
#[derive(Debug, Default)]
struct Engine {
    held: Mutex<HashMap<String, (String, u64)>>,
    next: Mutex<u64>,
    is_away: Mutex<bool>,
    /// What comes of the next login.
    refusal: Mutex<Option<NotHeld>>,
    /// How long a user has to wait who logs in twice.
    wait: Mutex<Duration>,
    /// Who wanted to log in.
    visits: Mutex<Vec<Visit>>,
    /// Who did.
    logins: Mutex<Vec<String>>,
    /// Who asked whom for what.
    asked: Mutex<Vec<(String, String, Successor)>>,
}

impl Engine {
    fn held(&self) -> MutexGuard<'_, HashMap<String, (String, u64)>> {
        self.held.lock().unwrap()
    }

    fn away(&self, is_away: bool) {
        *self.is_away.lock().unwrap() = is_away;
    }

    fn is_away(&self) -> bool {
        *self.is_away.lock().unwrap()
    }

    fn release(&self, key: &str, number: u64) {
        let mut held = self.held();
        if held.get(key).is_some_and(|(_, now)| *now == number) {
            held.remove(key);
        }
    }

    /// As when a node's term has run out: another one has everything.
    fn take_all_over(&self) {
        for holder in self.held().values_mut() {
            *holder = ("thief".into(), u64::MAX);
        }
    }
}

#[derive(Debug)]
struct Node {
    name: &'static str,
    engine: Arc<Engine>,
}

#[async_trait]
impl SharedHolds for Node {
    async fn acquire(&self, key: &str) -> Result<Box<dyn SharedHold>, NotHeld> {
        if self.engine.is_away() {
            return Err(NotHeld::Unavailable("it is away".into()));
        }
        let mut held = self.engine.held();
        if let Some((node, fence)) = held.get(key) {
            return Err(NotHeld::InUse {
                node: node.clone(),
                since: 1,
                fence: *fence,
                wait: Some(*self.engine.wait.lock().unwrap()),
            });
        }
        let mut number = self.engine.next.lock().unwrap();
        *number += 1;
        held.insert(key.into(), (self.name.into(), *number));
        Ok(Box::new(Held {
            engine: Arc::clone(&self.engine),
            key: key.into(),
            number: *number,
        }))
    }

    async fn acquire_for(&self, key: &str, visit: &Visit) -> Result<Box<dyn SharedHold>, NotHeld> {
        self.engine.visits.lock().unwrap().push(visit.clone());
        let refusal = self.engine.refusal.lock().unwrap().take();
        match refusal {
            Some(refusal) => Err(refusal),
            None => self.acquire(key).await,
        }
    }

    async fn ask_holder(&self, node: &str, key: &str, successor: &Successor) -> bool {
        let asked = (node.to_owned(), key.to_owned(), successor.clone());
        self.engine.asked.lock().unwrap().push(asked);
        true
    }
}

struct Held {
    engine: Arc<Engine>,
    key: String,
    number: u64,
}

#[async_trait]
impl SharedHold for Held {
    fn fence(&self) -> u64 {
        self.number
    }

    async fn check(&self) -> Result<(), NotInForce> {
        if self.engine.is_away() {
            return Err(NotInForce::Unavailable("it is away".into()));
        }
        let held = self.engine.held();
        let is_mine = held
            .get(&self.key)
            .is_some_and(|(_, number)| *number == self.number);
        is_mine.then_some(()).ok_or(NotInForce::Lost)
    }

    fn logged_in(&self) {
        self.engine.logins.lock().unwrap().push(self.key.clone());
    }

    async fn release(self: Box<Self>) {
        // As far away as an engine is.
        sleep(Duration::from_millis(5)).await;
        self.engine.release(&self.key, self.number);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.engine.release(&self.key, self.number);
    }
}

/// Two nodes with the same mail.
fn nodes() -> (Arc<Engine>, World, World) {
    nodes_whose_tenant("")
}

/// The same, where the second one's tenant has these lines too.
fn nodes_whose_tenant(lines: &'static str) -> (Arc<Engine>, World, World) {
    let engine = Arc::new(Engine::default());
    let first = Plan::new().mail(&MAIL);
    let mut second = Plan::new();
    second.has_mail_of(&first);
    second.tenant_lines = lines;
    let node = |plan: Plan, name| {
        let engine = Arc::clone(&engine);
        let mut world = plan.begin();
        world.holds = Some(Arc::new(Node { name, engine }));
        world
    };
    let worlds = (node(first, "mx-a"), node(second, "mx-b"));
    (engine, worlds.0, worlds.1)
}

#[tokio::test(start_paused = true)]
async fn a_maildrop_that_another_node_has_is_in_use_until_its_session_has_said_quit() {
    let (engine, a, b) = nodes();
    let (mut older, _session) = a.logged_in().await;
    let (mut newer, _other) = b.pipe(ListenerTls::Off);
    newer.greeting().await;
    newer.ok("USER u").await;
    let asked = Instant::now();
    newer.err("PASS secret", "[IN-USE]").await;
    assert_eq!(asked.elapsed(), Duration::from_millis(250));
    // By another account that leads to the same mail likewise.
    newer.ok("USER alias").await;
    newer.err("PASS secret", "[IN-USE]").await;
    older.ok("DELE 1").await;
    older.ok("QUIT").await;
    assert_eq!(engine.held().len(), 0, "given back before the answer");
    newer.ok("USER u").await;
    newer.ok("PASS secret").await;
    assert_eq!(newer.ok("STAT").await, "+OK 1 8");
    newer.ok("QUIT").await;
}

#[tokio::test(start_paused = true)]
async fn a_login_says_who_it_is_and_is_refused_if_another_node_was_first() {
    let (engine, a, _b) = nodes();
    for (refusal, code) in [
        (NotHeld::TooSoon(Duration::from_secs(9)), "[LOGIN-DELAY]"),
        (NotHeld::TooManySessions, "[IN-USE]"),
    ] {
        *engine.refusal.lock().unwrap() = Some(refusal);
        let (mut client, _session) = a.pipe(ListenerTls::Off);
        client.greeting().await;
        client.ok("USER u").await;
        client.err("PASS secret", code).await;
    }
    assert_eq!(engine.logins.lock().unwrap().len(), 0);
    assert_eq!(engine.held().len(), 0);
    let (_client, _session) = a.logged_in().await;
    assert_eq!(engine.logins.lock().unwrap().len(), 1);
    let visits = engine.visits.lock().unwrap().clone();
    assert_eq!(visits.len(), 3);
    for visit in visits {
        assert!(visit.visitor.ends_with(":u"), "{visit:?}");
        assert_eq!(visit.delay, Duration::ZERO);
    }
}

#[tokio::test(start_paused = true)]
async fn by_setting_a_login_asks_the_other_node_for_the_maildrop_and_waits_for_it() {
    let (engine, a, b) = nodes_whose_tenant("when-in-use = \"take-over\"\n");
    let (older, session) = a.logged_in().await;
    // It hears of it, and is in no hurry.
    tokio::spawn(async move {
        sleep(Duration::from_secs(4)).await;
        drop(older);
        drop(session.await);
    });
    let began = Instant::now();
    let (newer, _other) = b.logged_in().await;
    let took = began.elapsed();
    assert!(
        took >= Duration::from_secs(4) && took < Duration::from_secs(5),
        "{took:?}"
    );
    let asked = std::mem::take(&mut *engine.asked.lock().unwrap());
    assert_eq!(asked.len(), 1);
    let (node, key, successor) = &asked[0];
    assert_eq!(node, "mx-a");
    assert!(engine.held().contains_key(key), "{key}");
    assert_eq!(successor.user, "u");
    assert!(successor.session.len() > 1, "{successor:?}");
    assert_eq!(successor.fence, 1, "that of the older session's hold");
    // Where the other does not give it back, the login is refused.
    let tenant = b.serving.tenants.named("t").unwrap();
    assert_eq!(tenant.ledger.totals().sessions_taken_over, 1);
    drop(newer);
    while !engine.held().is_empty() {
        sleep(Duration::from_millis(10)).await;
    }
    let (_stays, _session) = a.logged_in().await;
    let (mut newer, _other) = b.pipe(ListenerTls::Off);
    newer.greeting().await;
    newer.ok("USER u").await;
    newer.err("PASS secret", "[IN-USE]").await;
    assert_eq!(tenant.ledger.totals().sessions_taken_over, 1);
}

/// It would be refused also if the older session ended for it.
#[tokio::test(start_paused = true)]
async fn a_login_that_comes_too_soon_ends_no_session_on_another_node() {
    let (engine, a, b) = nodes_whose_tenant("when-in-use = \"take-over\"\n");
    *engine.wait.lock().unwrap() = Duration::from_secs(9);
    let (mut older, _session) = a.logged_in().await;
    let (mut newer, _other) = b.pipe(ListenerTls::Off);
    newer.greeting().await;
    newer.ok("USER u").await;
    newer.err("PASS secret", "[LOGIN-DELAY]").await;
    assert_eq!(engine.asked.lock().unwrap().len(), 0);
    older.ok("NOOP").await;
}

/// The node that has it may be about to give it back.
#[tokio::test(start_paused = true)]
async fn a_login_asks_once_more_before_it_is_refused() {
    let (_engine, a, b) = nodes();
    let (older, session) = a.logged_in().await;
    tokio::spawn(async move {
        sleep(Duration::from_millis(100)).await;
        drop(older);
        drop(session.await);
    });
    let (_newer, _other) = b.logged_in().await;
}

#[tokio::test(start_paused = true)]
async fn whatever_ends_a_session_its_maildrop_is_given_back() {
    let (engine, a, _b) = nodes();
    let (client, session) = a.logged_in().await;
    assert_eq!(engine.held().len(), 1);
    drop(client);
    session.await.unwrap();
    assert_eq!(engine.held().len(), 0);
    let (_client, session) = a.logged_in().await;
    session.abort();
    assert!(session.await.is_err());
    assert_eq!(engine.held().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn whose_hold_is_lost_reads_on_and_removes_nothing() {
    let (engine, a, _b) = nodes();
    let (mut client, session) = a.logged_in().await;
    client.ok("DELE 1").await;
    engine.take_all_over();
    client.ok("RETR 2").await;
    client.body().await;
    client.err("QUIT", "[SYS/TEMP]").await;
    assert_eq!(a.left(), ["one", "two"]);
    assert!(matches!(
        session.await,
        Ok(End::Session(Close::UpdateFailed))
    ));
    // What is the other's is not given back for it.
    assert_eq!(engine.held().len(), 1);
}

/// A store that rests may take long until it can be asked: the look at the hold comes after.
#[tokio::test(start_paused = true)]
async fn a_hold_that_is_lost_while_the_store_is_woken_is_lost() {
    let (engine, a, _b) = nodes();
    let (mut client, _session) = a.logged_in().await;
    client.ok("DELE 1").await;
    *a.doctored.waking.lock().unwrap() = Some(Box::new(move || engine.take_all_over()));
    client.err("QUIT", "[SYS/TEMP]").await;
    assert_eq!(a.left(), ["one", "two"]);
}

/// Nobody asks where nothing is to be removed.
#[tokio::test(start_paused = true)]
async fn whose_hold_is_lost_says_goodbye_as_always_if_nothing_is_marked() {
    let (engine, a, _b) = nodes();
    let (mut client, _session) = a.logged_in().await;
    engine.take_all_over();
    client.ok("QUIT").await;
}

#[tokio::test(start_paused = true)]
async fn while_the_engine_is_away_logins_are_refused_and_nothing_is_removed() {
    let (engine, a, b) = nodes();
    let (mut client, _session) = a.logged_in().await;
    client.ok("DELE 1").await;
    engine.away(true);
    let (mut newer, _other) = b.pipe(ListenerTls::Off);
    newer.greeting().await;
    newer.ok("USER v").await;
    newer.err("PASS other", "[SYS/TEMP]").await;
    client.ok("RETR 2").await;
    client.body().await;
    client.err("QUIT", "[SYS/TEMP]").await;
    assert_eq!(a.left(), ["one", "two"]);
    engine.away(false);
    newer.ok("USER v").await;
    newer.ok("PASS other").await;
}

/// A process asks nobody for what its own sessions have.
#[tokio::test(start_paused = true)]
async fn sessions_of_one_process_do_not_wait_for_the_engine() {
    let (engine, a, _b) = nodes();
    let (_older, _session) = a.logged_in().await;
    engine.away(true);
    let (mut newer, _other): (Client<_>, _) = a.pipe(ListenerTls::Off);
    newer.greeting().await;
    newer.ok("USER u").await;
    newer.err("PASS secret", "[IN-USE]").await;
}

use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use tokio::time::sleep;

use super::*;
use crate::cluster::News;
use crate::memory::Memory;
use crate::retention::Retention;

const HEARTBEAT: Duration = Duration::from_secs(2);
/// What the engine says that it computes for a hold.
const ENGINE_TIME: Duration = Duration::from_secs(1234);

/// Memory's holds, whose answers can be kept back.
#[derive(Debug)]
struct Line {
    memory: Memory,
    is_cut: AtomicBool,
    is_slow: AtomicBool,
    /// What is told has no answer, and a bare heartbeat has.
    is_full: AtomicBool,
    has_terms: bool,
    /// Keys that begin with this cannot be given back.
    stuck: &'static str,
}

impl Line {
    fn new() -> Arc<Self> {
        Line::of(true)
    }

    fn of(has_terms: bool) -> Arc<Self> {
        Arc::new(Line {
            has_terms,
            memory: Memory::new(Retention::default()),
            is_cut: AtomicBool::new(false),
            is_slow: AtomicBool::new(false),
            is_full: AtomicBool::new(false),
            stuck: "stuck",
        })
    }

    fn cut(&self, is_cut: bool) {
        self.is_cut.store(is_cut, Ordering::Relaxed);
    }

    async fn pass(&self) {
        if self.is_cut.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    }

    /// The engine has done it, and the answer is under way.
    async fn answer(&self) {
        if self.is_slow.load(Ordering::Relaxed) {
            sleep(Duration::from_secs(1)).await;
        }
    }
}

#[async_trait]
impl Holds for Line {
    fn has_terms(&self) -> bool {
        self.has_terms
    }
    async fn join(&self, name: &str, about: &str) -> Result<Node, Problem> {
        self.pass().await;
        self.memory.join(name, about).await
    }
    async fn exchange(&self, node: &Node, report: &Report) -> Result<Exchanged, Problem> {
        self.pass().await;
        if self.is_full.load(Ordering::Relaxed) && !report.is_deaf {
            std::future::pending::<()>().await;
        }
        self.memory.exchange(node, report).await
    }
    async fn sessions_elsewhere(&self, node: &Node) -> Result<Vec<NodeSession>, Problem> {
        self.pass().await;
        self.memory.sessions_elsewhere(node).await
    }
    async fn end_elsewhere(
        &self,
        node: &Node,
        which: &SessionChoice,
        only: Option<&str>,
    ) -> Result<Vec<NodeSession>, Problem> {
        self.pass().await;
        self.memory.end_elsewhere(node, which, only).await
    }
    async fn leave(&self, node: &Node) -> Result<(), Problem> {
        self.pass().await;
        self.memory.leave(node).await
    }
    async fn acquire_for(
        &self,
        key: &str,
        node: &Node,
        folders: &[Folder],
        visit: Option<&Visit>,
    ) -> Result<(Acquired, Option<Vec<Summary>>), Problem> {
        self.pass().await;
        Meter::of_task().charge(ENGINE_TIME);
        let acquired = self.memory.acquire_for(key, node, folders, visit).await;
        self.answer().await;
        acquired
    }
    async fn release(&self, hold: &Hold) -> Result<(), Problem> {
        self.pass().await;
        if hold.key.starts_with(self.stuck) {
            return Err(Problem::unavailable("its row is locked"));
        }
        self.memory.release(hold).await
    }
    async fn release_login(&self, hold: &Hold) -> Result<(), Problem> {
        self.pass().await;
        self.memory.release_login(hold).await
    }
    async fn check(&self, hold: &Hold) -> Result<(), Problem> {
        self.pass().await;
        self.memory.check(hold).await
    }
}

async fn join(line: &Arc<Line>, name: &str) -> Arc<Membership> {
    let holds: Arc<dyn Holds> = line.clone();
    Membership::join(holds, "e", name, "a test", HEARTBEAT)
        .await
        .unwrap()
}

async fn held(membership: &Arc<Membership>, name: &str) -> Held {
    match membership.acquire(name).await.unwrap() {
        Answer::Held(held) => held,
        other => panic!("{other:?}"),
    }
}

async fn holder(membership: &Arc<Membership>, name: &str) -> String {
    match membership.acquire(name).await.unwrap() {
        Answer::InUse { node, .. } => node,
        other => panic!("{other:?}"),
    }
}

fn standing(membership: &Membership) -> Standing {
    *membership.standing().borrow()
}

#[tokio::test(start_paused = true)]
async fn one_node_at_a_time_holds_a_name_and_gives_it_back_before_release_returns() {
    let line = Line::new();
    let (a, b) = (join(&line, "a").await, join(&line, "b").await);
    let first = held(&a, "t:/mail/ada").await;
    assert_eq!(holder(&b, "t:/mail/ada").await, "a");
    let other = held(&b, "t:/mail/bob").await;
    first.check().await.unwrap();
    first.release().await;
    let second = held(&b, "t:/mail/ada").await;
    assert_eq!(holder(&a, "t:/mail/ada").await, "b");
    drop((other, second));
}

#[tokio::test(start_paused = true)]
async fn what_a_hold_brings_is_told_once_and_who_asks_pays() {
    let line = Line::new();
    let a = join(&line, "a").await;
    let folders = ["", "lists"].map(|folder| Folder::new("t", "m", folder).unwrap());
    let charged = Arc::new(Mutex::new(Vec::new()));
    let heard = charged.clone();
    let meter = Meter::new(move |time| heard.lock().push(time));
    let asked = meter.pay_for(a.acquire_with_states("k", &folders)).await;
    let Answer::Held(mut held) = asked.unwrap() else {
        panic!("nobody has it");
    };
    assert_eq!(held.take_states(), Some(vec![Summary::default(); 2]));
    assert_eq!(held.take_states(), None);
    let engine = || {
        charged
            .lock()
            .iter()
            .filter(|time| **time == ENGINE_TIME)
            .count()
    };
    assert_eq!(engine(), 1);
    // Nobody was named.
    drop(self::held(&a, "other").await);
    assert_eq!(engine(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_dropped_is_given_back_also_when_the_engine_is_away() {
    let line = Line::new();
    let (a, b) = (join(&line, "a").await, join(&line, "b").await);
    drop(held(&a, "k").await);
    sleep(Duration::from_millis(1)).await;
    let again = held(&b, "k").await;
    line.cut(true);
    again.release().await;
    drop(held_later(&line, &a, "k").await);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_given_back_keeps_the_others_from_nothing() {
    let line = Line::new();
    let (a, b) = (join(&line, "a").await, join(&line, "b").await);
    for number in 0..9 {
        drop(held(&a, &format!("stuck{number}")).await);
    }
    for number in 0..9 {
        drop(held(&a, &number.to_string()).await);
    }
    sleep(Duration::from_secs(60)).await;
    for number in 0..9 {
        held(&b, &number.to_string()).await.release().await;
        assert_eq!(holder(&b, &format!("stuck{number}")).await, "a");
    }
}

/// Once the line is there again.
async fn held_later(line: &Line, membership: &Arc<Membership>, name: &str) -> Held {
    line.cut(false);
    for _ in 0..100 {
        if let Ok(Answer::Held(held)) = membership.acquire(name).await {
            return held;
        }
        sleep(Duration::from_millis(250)).await;
    }
    panic!("it is never free again");
}

/// The session before may have ended a moment ago.
#[tokio::test(start_paused = true)]
async fn a_node_is_not_in_its_own_way() {
    let line = Line::new();
    let a = join(&line, "a").await;
    for _ in 0..10 {
        drop(held(&a, "k").await);
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_acquired_for_nobody_is_given_back() {
    let line = Line::new();
    let (a, b) = (join(&line, "a").await, join(&line, "b").await);
    line.is_slow.store(true, Ordering::Relaxed);
    let given_up = timeout(Duration::from_millis(10), a.acquire("k")).await;
    assert!(given_up.is_err());
    assert_eq!(holder(&b, "k").await, "a");
    sleep(HEARTBEAT).await;
    drop(held(&b, "k").await);
}

#[tokio::test(start_paused = true)]
async fn while_the_engine_is_away_nobody_waits_for_it_and_later_it_goes_on() {
    let line = Line::new();
    let a = join(&line, "a").await;
    let kept = held(&a, "k").await;
    line.cut(true);
    sleep(2 * HEARTBEAT + Duration::from_millis(1)).await;
    assert_eq!(standing(&a), Standing::Away);
    let asked = Instant::now();
    assert!(matches!(
        a.acquire("other").await,
        Err(Problem::Unavailable(_))
    ));
    assert_eq!(asked.elapsed(), Duration::ZERO);
    assert!(matches!(kept.check().await, Err(Problem::Unavailable(_))));
    line.cut(false);
    sleep(2 * HEARTBEAT).await;
    assert_eq!(standing(&a), Standing::Member);
    kept.check().await.unwrap();
    drop(held(&a, "other").await);
}

/// A file that is this process's own is nobody else's, however slow its disk is.
#[tokio::test(start_paused = true)]
async fn without_terms_no_login_is_refused_for_a_heartbeat() {
    let line = Line::of(false);
    let a = join(&line, "a").await;
    let kept = held(&a, "k").await;
    line.cut(true);
    sleep(2 * HEARTBEAT + Duration::from_millis(1)).await;
    assert_eq!(standing(&a), Standing::Member);
    line.cut(false);
    drop(held(&a, "other").await);
    kept.check().await.unwrap();
    // Who has lost the name hears of it all the same.
    let _twin = join(&line, "a").await;
    assert!(matches!(a.acquire("more").await, Err(Problem::Lost)));
    assert_eq!(standing(&a), Standing::Lost);
    assert!(matches!(kept.check().await, Err(Problem::Lost)));
}

#[tokio::test(start_paused = true)]
async fn who_loses_the_name_has_lost_what_it_held_and_acquires_nothing_more() {
    let line = Line::new();
    let a = join(&line, "a").await;
    let kept = held(&a, "k").await;
    let twin = join(&line, "a").await;
    sleep(2 * HEARTBEAT).await;
    assert_eq!(standing(&a), Standing::Lost);
    // Not even if the engine would say otherwise.
    line.cut(true);
    assert!(matches!(kept.check().await, Err(Problem::Lost)));
    assert!(matches!(a.acquire("k").await, Err(Problem::Lost)));
    line.cut(false);
    let theirs = held(&twin, "k").await;
    drop(kept);
    sleep(HEARTBEAT).await;
    theirs.check().await.unwrap();
    a.leave().await;
    theirs.check().await.unwrap();
    assert_eq!(standing(&twin), Standing::Member);
}

#[tokio::test(start_paused = true)]
async fn who_leaves_frees_at_once_what_nobody_uses_any_more() {
    let line = Line::new();
    let (a, b) = (join(&line, "a").await, join(&line, "b").await);
    let kept = held(&a, "k").await;
    line.cut(true);
    drop(kept);
    line.cut(false);
    a.leave().await;
    held(&b, "k").await.check().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn who_leaves_keeps_what_is_in_use_for_its_term() {
    let line = Line::new();
    let (a, b) = (join(&line, "a").await, join(&line, "b").await);
    let kept = held(&a, "k").await;
    a.leave().await;
    assert!(matches!(kept.check().await, Err(Problem::Lost)));
    drop(kept);
    assert_eq!(holder(&b, "k").await, "a");
}

/// Tells nothing but how often it was asked.
#[derive(Debug, Default)]
struct Teller {
    answers: Mutex<Vec<Option<Exchanged>>>,
}

impl Correspondent for Teller {
    fn report(&self) -> Report {
        Report {
            is_whole: true,
            ..Report::default()
        }
    }
    fn answered(&self, exchanged: Option<Exchanged>) {
        self.answers.lock().push(exchanged);
    }
}

#[tokio::test(start_paused = true)]
async fn who_tells_is_asked_with_each_heartbeat_and_hears_what_became_of_it() {
    let line = Line::new();
    let a = join(&line, "a").await;
    let asked = a.ask_holder("b", ("k", 1), ("t", "ada"), "later").await;
    assert_eq!(asked, Ok(false), "nobody here would hear of it");
    let teller = Arc::new(Teller::default());
    let correspondent: Arc<dyn Correspondent> = teller.clone();
    a.correspond(&correspondent);
    let asked = a.ask_holder("b", ("k", 1), ("t", "ada"), "later").await;
    assert_eq!(asked, Ok(true));
    sleep(2 * HEARTBEAT + Duration::from_millis(1)).await;
    assert_eq!(
        std::mem::take(&mut *teller.answers.lock()),
        vec![Some(Exchanged::News(News::default())); 2]
    );
    line.cut(true);
    sleep(2 * HEARTBEAT).await;
    assert_eq!(*teller.answers.lock(), [None]);
    assert_eq!(standing(&a), Standing::Away);
    assert!(matches!(
        a.sessions_elsewhere().await,
        Err(Problem::Unavailable(_))
    ));
    line.cut(false);
    // Without it, heartbeats go on.
    drop((correspondent, teller));
    sleep(2 * HEARTBEAT).await;
    assert_eq!(standing(&a), Standing::Member);
}

#[tokio::test(start_paused = true)]
async fn who_has_too_much_to_tell_is_a_member_again_by_a_bare_heartbeat() {
    let line = Line::new();
    let a = join(&line, "a").await;
    let teller = Arc::new(Teller::default());
    let correspondent: Arc<dyn Correspondent> = teller.clone();
    a.correspond(&correspondent);
    line.is_full.store(true, Ordering::Relaxed);
    // What is told is given up after a heartbeat each time, and the next bare one follows at once.
    sleep(6 * HEARTBEAT + HEARTBEAT / 2).await;
    assert_eq!(standing(&a), Standing::Member);
    assert!(matches!(a.acquire("k").await, Ok(Answer::Held(_))));
    // Nothing is told while no heartbeat is answered.
    line.cut(true);
    sleep(3 * HEARTBEAT).await;
    assert_eq!(standing(&a), Standing::Away);
    let answers = std::mem::take(&mut *teller.answers.lock());
    assert!(answers.len() > 3, "{answers:?}");
    assert!(answers.iter().all(Option::is_none), "{answers:?}");
    line.cut(false);
    line.is_full.store(false, Ordering::Relaxed);
    sleep(4 * HEARTBEAT).await;
    assert_eq!(standing(&a), Standing::Member);
    assert!(matches!(teller.answers.lock().last(), Some(Some(_))));
}

#[tokio::test(start_paused = true)]
async fn a_login_counts_from_its_hold_however_that_ends() {
    let line = Line::new();
    let (a, b) = (join(&line, "a").await, join(&line, "b").await);
    let visit = || {
        Some(Visit {
            visitor: "t:a\nname".to_owned(),
            delay: Duration::from_secs(3600),
            most_elsewhere: 9,
        })
    };
    let Answer::Held(failed) = a.acquire_for("k", &[], visit()).await.unwrap() else {
        panic!("nobody has it");
    };
    failed.release().await;
    let Answer::Held(held) = a.acquire_for("k", &[], visit()).await.unwrap() else {
        panic!("nobody logged in");
    };
    held.logged_in();
    line.cut(true);
    drop(held);
    sleep(Duration::from_millis(1)).await;
    line.cut(false);
    let mut answer = b.acquire_for("k", &[], visit()).await.unwrap();
    for _ in 0..100 {
        if !matches!(answer, Answer::InUse { .. }) {
            break;
        }
        sleep(Duration::from_millis(250)).await;
        answer = b.acquire_for("k", &[], visit()).await.unwrap();
    }
    assert!(matches!(answer, Answer::TooSoon(_)), "{answer:?}");
}

/// Nothing that a session owns keeps a task alive.
#[tokio::test(start_paused = true)]
async fn heartbeats_end_with_the_membership() {
    let line = Line::new();
    let a = join(&line, "a").await;
    let weak = Arc::downgrade(&a);
    drop(a);
    sleep(HEARTBEAT * 2).await;
    assert!(weak.upgrade().is_none());
    assert_eq!(Arc::strong_count(&line), 1);
}

#[test]
fn any_name_has_a_key_of_its_own() {
    let long = "x".repeat(2000);
    let names = ["t:/mail/ada", "a\nb", "", &long, "sha256:00"];
    let keys: std::collections::HashSet<String> = names.iter().map(|name| key(name)).collect();
    assert_eq!(keys.len(), names.len());
    assert!(keys.contains("t:/mail/ada"));
    for made in &keys {
        names::check("the key", made).unwrap();
    }
    assert!(!keys.contains("sha256:00"));
}

//! A removal that comes to the database in time and is held up there, until another server has
//! taken the maildrop over: what the look at the token in the transaction of the removal is
//! for. With that look planted away, the checker must find it.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use restante_tests::{Postgres, Server, wait_for};
use tokio::runtime::Runtime;

use crate::checker::{Violation, check};
use crate::client::{Listed, Session};
use crate::cluster::{NODES, site};
use crate::delivery::Deliverer;
use crate::history::{History, Quit};

/// Longer than a server stands still here, and than a take-over takes.
const PATIENCE: Duration = Duration::from_secs(60);
/// The lock that holds removals up, of which the test has the other side.
const GATE: u32 = 4711;
/// What the session is called that closes the gate.
const KEEPER: &str = "keeper of the gate";

/// What the client of the server that stood still was told, and what the checker says.
pub(crate) struct Outcome {
    pub(crate) told: (Quit, String),
    pub(crate) violations: Vec<Violation>,
}

/// Plays it on two servers; `plant`: without the look at the token.
pub(crate) fn play(postgres: &Postgres, plant: bool) -> Outcome {
    let runtime = Arc::new(Runtime::new().unwrap());
    let database = postgres.database();
    let url = postgres.url(&database, None);
    let deliverer = Deliverer::open(&runtime, url.clone(), postgres.password());
    let history = History::new(1);
    let mut rng = Rng::with_seed(1);
    let delivered = [(); 2].map(|()| deliverer.deliver(0, &history, &mut rng));
    let [first, second] = delivered.map(Option::unwrap);
    let run = |sql: &str| postgres.run(&database, sql);
    change_removal(&run, plant);
    let sites = [0, 1].map(|node| {
        let mut site = site(NODES[node], &url, postgres.password(), 1);
        // Nobody is told that nothing is known before the server goes on.
        site.plugins[1].limits = "wall-time = \"2m\"\n".to_owned();
        site
    });
    let [slow, other] = [0, 1].map(|node: usize| sites[node].start());

    let mut session = login(&history, 0, &slow);
    take(&mut session, &first);
    let closing = format!(
        "set application_name = '{KEEPER}'; select pg_advisory_lock({GATE}); select pg_sleep(600)"
    );
    let keeper = postgres.session(&database, &closing);
    let closed = format!(
        "select count(*) from pg_stat_activity
        where application_name = '{KEEPER}' and wait_event = 'PgSleep'"
    );
    until(&run, &closed, "1");
    // The server has looked at its hold before it sends the removal.
    session.send_quit().unwrap();
    let held_up = "select count(*) > 0 from pg_stat_activity
        where datname = current_database() and wait_event = 'advisory'";
    until(&run, held_up, "t");
    slow.stand_still();

    let mut holder = login(&history, 1, &other);
    take(&mut holder, &second);
    let opening = format!(
        "select count(pg_terminate_backend(pid)) from pg_stat_activity
        where application_name = '{KEEPER}'"
    );
    assert_eq!(run(&opening), "1");
    keeper.join().unwrap();
    let at_work = "select count(*) from pg_stat_activity
        where datname = current_database() and application_name = 'restante'
            and state = 'active' and query like '%restante.remove%'";
    until(&run, at_work, "0");
    slow.go_on();
    let told = session.quit_answer().unwrap();
    holder.send_quit().unwrap();
    let (answer, said) = holder.quit_answer().unwrap();
    assert_eq!(answer, Quit::Done, "the holder's QUIT: {said}");
    Outcome {
        told,
        violations: check(&history.maildrop(0).events(), &deliverer.left(0)),
    }
}

/// Has removals of this database wait at the gate, and, as a plant, take any token.
fn change_removal(run: &impl Fn(&str) -> String, plant: bool) {
    let mut function = run("select pg_get_functiondef('restante.remove'::regproc)");
    let begins = "perform restante.lasting();";
    let gate = format!("perform pg_advisory_xact_lock_shared({GATE}); {begins}");
    let mut change = |from: &str, to: &str| {
        assert_eq!(function.matches(from).count(), 1, "{from} in {function}");
        function = function.replace(from, to);
    };
    change(begins, &gate);
    if plant {
        change("is_held := found;", "is_held := true;");
    }
    run(&function);
}

/// Logs in as soon as that is possible.
fn login<'a>(history: &'a History, number: usize, server: &Server) -> Session<'a> {
    wait_for("a login", || {
        Session::login(history, 0, number, server.pop3(), PATIENCE).ok()
    })
}

/// Lists both messages, and fetches and marks one of them.
fn take(session: &mut Session<'_>, unique_id: &str) {
    let listing = session.list().unwrap();
    assert_eq!(listing.len(), 2, "{listing:?}");
    let wanted = listing.iter().find(|it| it.unique_id == unique_id);
    let wanted: &Listed = wanted.unwrap();
    assert!(session.fetch(wanted).unwrap());
    session.mark(wanted).unwrap();
}

fn until(run: &impl Fn(&str) -> String, sql: &str, told: &str) {
    wait_for(&format!("{told} of {sql}"), || {
        (run(sql) == told).then_some(())
    });
}

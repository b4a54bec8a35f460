//! PostgreSQL while something goes wrong: back ends and servers that are killed, answers that are
//! lost, holders that come back.

use std::sync::Arc;
use std::time::Duration;

use restante_engine::Migration;
use restante_engine::postgres::{Postgres, Settings, pending_migration};
use restante_engine::{
    Acquired, Appended, Hold, Holds, MailIndex, Meter, Problem, Retention, Tables,
};
use restante_tests::{Certificate, PgBouncer, Postgres as Server};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::postgres::settings;
use crate::proxy::Proxy;
use crate::suite::{FREE, entry, folder, listed};

/// A database of its own, reached through this port.
pub(crate) struct Site<'a> {
    server: &'a Server,
    database: String,
    pub(crate) engine: Arc<Postgres>,
}

impl<'a> Site<'a> {
    pub(crate) async fn new(server: &'a Server) -> Self {
        let database = server.database();
        let engine = open(server, &database, None).await;
        Self {
            server,
            database,
            engine: Arc::new(engine),
        }
    }

    /// The same database for another process, through a port.
    pub(crate) async fn through(&self, port: u16) -> Arc<Postgres> {
        Arc::new(open(self.server, &self.database, Some(port)).await)
    }

    pub(crate) fn run(&self, sql: &str) -> String {
        self.server.run(&self.database, sql)
    }

    /// Waits until psql tells this.
    pub(crate) async fn until(&self, sql: &str, told: &str) {
        for _ in 0..1200 {
            if self.run(sql) == told {
                return;
            }
            sleep(Duration::from_millis(50)).await;
        }
        panic!("waited for {told:?} of {sql}");
    }

    async fn names(&self) -> Vec<String> {
        let entries = self.engine.read(&folder("a", "b", "")).await.unwrap();
        listed(&entries).into_iter().map(|(_, name)| name).collect()
    }
}

async fn open(server: &Server, database: &str, port: Option<u16>) -> Postgres {
    let settings = settings(server, server.url(database, port));
    let engine = Postgres::open(&settings, Retention::default(), Tables::Made).await;
    engine.unwrap()
}

pub(crate) async fn kept(engine: &Postgres, name: &str) -> String {
    let (folder, entry) = (folder("a", "b", ""), entry(name));
    match engine.append(&folder, &entry, &FREE, None).await.unwrap() {
        Appended::Kept(id) => id,
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn held(engine: &Postgres, node: &str) -> Hold {
    let node = engine.join(node, "a test").await.unwrap();
    match engine.acquire("k", &node).await.unwrap() {
        Acquired::Held(hold) => hold,
        other => panic!("{other:?}"),
    }
}

fn removal(engine: &Arc<Postgres>, id: &str, hold: &Hold) -> JoinHandle<Result<(), Problem>> {
    let (engine, ids, hold) = (engine.clone(), vec![id.to_owned()], hold.clone());
    tokio::spawn(async move { engine.remove(&folder("a", "b", ""), &ids, &hold).await })
}

/// Removes as soon as a server answers; until then nothing was removed, and the engine says so.
async fn removed(engine: &Arc<Postgres>, id: &str, hold: &Hold) -> Result<(), Problem> {
    loop {
        match removal(engine, id, hold).await.unwrap() {
            Err(Problem::Unavailable(text)) => {
                assert!(!text.contains("not known"), "{text}");
                sleep(Duration::from_millis(50)).await;
            }
            answered => return answered,
        }
    }
}

/// A session of psql that has a lock until it is ended.
pub(crate) struct Blocker<'a> {
    site: &'a Site<'a>,
    name: String,
    client: std::thread::JoinHandle<()>,
}

impl<'a> Blocker<'a> {
    /// Begins a transaction with this statement, and keeps it open.
    pub(crate) async fn new(site: &'a Site<'a>, name: &str, sql: &str) -> Self {
        let sql = format!("set application_name = '{name}'; begin; {sql}; select pg_sleep(600)");
        let client = site.server.session(&site.database, &sql);
        let waits = format!(
            "select count(*) from pg_stat_activity
            where application_name = '{name}' and wait_event = 'PgSleep'"
        );
        site.until(&waits, "1").await;
        Self {
            site,
            name: name.to_owned(),
            client,
        }
    }

    pub(crate) fn end(self) {
        let sql = format!(
            "select count(pg_terminate_backend(pid)) from pg_stat_activity
            where application_name = '{}'",
            self.name
        );
        self.site.run(&sql);
        self.client.join().unwrap();
    }
}

/// How many statements of engines wait for a lock.
pub(crate) const WAITING: &str = "select count(*) from pg_stat_activity
    where datname = current_database() and application_name = 'restante' and wait_event_type = 'Lock'";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn back_ends_that_are_killed_at_any_moment_change_no_answer() {
    let Some(server) = Server::shared("killed back ends") else {
        return;
    };
    let site = Site::new(server).await;
    let hold = held(&site.engine, "n").await;
    let killing = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let (database, on) = (site.database.clone(), killing.clone());
    let killer = std::thread::spawn(move || {
        let mut killed = 0;
        while on.load(std::sync::atomic::Ordering::Relaxed) {
            let sql = "select count(pg_terminate_backend(pid)) from pg_stat_activity
                where datname = current_database() and application_name = 'restante'";
            killed += server.run(&database, sql).parse::<u32>().unwrap();
        }
        killed
    });
    for number in 0..60 {
        let name = format!("m{number}");
        let id = kept(&site.engine, &name).await;
        assert_eq!(site.names().await, [name]);
        assert_eq!(removal(&site.engine, &id, &hold).await.unwrap(), Ok(()));
    }
    killing.store(false, std::sync::atomic::Ordering::Relaxed);
    let killed = killer.join().unwrap();
    assert!(killed > 10, "{killed} were killed");
    // Once each, though some were sent twice.
    assert_eq!(
        site.run("select version, messages from restante.maildrop"),
        "120|0"
    );
    assert_eq!(site.run("select count(*) from restante.gone"), "60");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_was_killed_and_comes_back_has_what_was_told() {
    let Some(server) = Server::start("a killed server") else {
        return;
    };
    let site = Site::new(&server).await;
    let hold = held(&site.engine, "n").await;
    let (gone, stays) = (
        kept(&site.engine, "gone").await,
        kept(&site.engine, "stays").await,
    );
    assert_eq!(removal(&site.engine, &gone, &hold).await.unwrap(), Ok(()));
    server.crash();
    let (engine, at) = (site.engine.clone(), hold.clone());
    let late = tokio::spawn(async move { removed(&engine, &stays, &at).await });
    server.restart();
    // Its last hold may be lost with a crash; then it is told so, and another is to be had.
    match late.await.unwrap() {
        Ok(()) => assert_eq!(site.names().await, [""; 0]),
        refused => {
            assert_eq!(refused, Err(Problem::Lost));
            assert_eq!(site.names().await, ["stays"]);
        }
    }
    let again = held(&site.engine, "n").await;
    assert_eq!(site.engine.check(&again).await, Ok(()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_takes_over_waits_for_a_removal_and_lists_what_is_left() {
    let Some(server) = Server::shared("a take-over") else {
        return;
    };
    let site = Site::new(server).await;
    let other = site.through(server.port()).await;
    let hold = held(&site.engine, "first").await;
    let (id, _) = (
        kept(&site.engine, "removed").await,
        kept(&site.engine, "left").await,
    );
    // The removal has the hold's row, and waits for the maildrop's.
    let blocker = Blocker::new(&site, "slow", "select from restante.maildrop for update").await;
    let removing = removal(&site.engine, &id, &hold);
    site.until(WAITING, "1").await;
    // The first one's term is over.
    site.run("update restante.node set expires = now() - interval '1 s' where id = 'first'");
    let taking = tokio::spawn(async move { (held(&other, "second").await, other) });
    site.until(WAITING, "2").await;
    assert!(!taking.is_finished() && !removing.is_finished());
    blocker.end();
    assert_eq!(removing.await.unwrap(), Ok(()));
    let (taken, other) = taking.await.unwrap();
    let listed = listed(&other.read(&folder("a", "b", "")).await.unwrap());
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].1, "left");
    // The token of before is refused, and the one of now is not.
    assert_eq!(
        removal(&site.engine, &listed[0].0, &hold).await.unwrap(),
        Err(Problem::Lost)
    );
    assert_eq!(site.names().await, ["left"]);
    assert_eq!(removal(&other, &listed[0].0, &taken).await.unwrap(), Ok(()));
    assert_eq!(site.names().await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removal_whose_answer_is_lost_ends_with_the_truth() {
    let Some(server) = Server::shared("a lost answer") else {
        return;
    };
    let site = Site::new(server).await;
    let proxy = Proxy::start(server.port()).await;
    let engine = site.through(proxy.port()).await;
    let hold = held(&engine, "n").await;
    for round in 0..3 {
        let id = kept(&engine, "a").await;
        // What was sent arrives, and no answer comes back: it was committed.
        proxy.lose_next_answer();
        assert_eq!(
            removal(&engine, &id, &hold).await.unwrap(),
            Ok(()),
            "{round}"
        );
        assert_eq!(site.names().await, [""; 0]);
        // A delivery likewise: it is there once.
        proxy.lose_next_answer();
        let id = kept(&engine, "b").await;
        assert_eq!(site.names().await, ["b"]);
        assert_eq!(removal(&engine, &id, &hold).await.unwrap(), Ok(()));
    }
    assert_eq!(proxy.lost(), 6);
    assert_eq!(
        site.run("select version, messages from restante.maildrop"),
        "12|0"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_is_asked_for_after_another_has_removed_too() {
    let Some(server) = Server::shared("a late inquiry") else {
        return;
    };
    let site = Site::new(server).await;
    let proxy = Proxy::start(server.port()).await;
    let late = site.through(proxy.port()).await;
    let hold = held(&late, "late").await;
    let (first, second) = (kept(&late, "first").await, kept(&late, "second").await);
    proxy.lose_next_answer();
    proxy.refuse(true);
    let removing = removal(&late, &first, &hold);
    site.until("select messages from restante.maildrop", "1")
        .await;
    // Committed, and nobody knows. Meanwhile its term is over, and another comes and goes.
    site.run("update restante.node set expires = now() - interval '1 s' where id = 'late'");
    let taken = held(&site.engine, "other").await;
    assert_eq!(
        removal(&site.engine, &second, &taken).await.unwrap(),
        Ok(())
    );
    site.engine.release(&taken).await.unwrap();
    proxy.refuse(false);
    assert_eq!(removing.await.unwrap(), Ok(()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hold_whose_answer_is_lost_is_had_by_its_node_again() {
    let Some(server) = Server::shared("a lost hold") else {
        return;
    };
    let site = Site::new(server).await;
    let proxy = Proxy::start(server.port()).await;
    let engine = site.through(proxy.port()).await;
    let node = engine.join("n", "a test").await.unwrap();
    // The session ends before it hears that it has it.
    proxy.refuse(true);
    proxy.lose_next_answer();
    let (asking, asked) = (engine.clone(), node.clone());
    let asking = tokio::spawn(async move { asking.acquire("k", &asked).await });
    site.until(
        "select count(*) from restante.hold where token is not null",
        "1",
    )
    .await;
    asking.abort();
    proxy.refuse(false);
    let _ = asking.await;
    let other = site.engine.join("m", "a test").await.unwrap();
    let refused = site.engine.acquire("k", &other).await.unwrap();
    assert!(matches!(refused, Acquired::InUse { node, .. } if node == "n"));
    let Acquired::Held(hold) = engine.acquire("k", &node).await.unwrap() else {
        panic!("its own hold keeps it out");
    };
    let again = engine.acquire("k", &node).await.unwrap();
    assert!(matches!(again, Acquired::InUse { .. }));
    assert_eq!(engine.check(&hold).await, Ok(()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_of_it_works_behind_a_pooler() {
    let Some(server) = Server::shared("a pooler") else {
        return;
    };
    let Some(pooler) = PgBouncer::start("a pooler", server) else {
        return;
    };
    let site = Site::new(server).await;
    let engine = site.through(pooler.port()).await;
    let hold = held(&engine, "n").await;
    // Eight at once, over four connections of the pooler's.
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..8 {
        let engine = engine.clone();
        tasks.spawn(async move {
            for number in 0..10 {
                kept(&engine, &format!("{task} {number}")).await;
            }
        });
    }
    tasks.join_all().await;
    let entries = engine.read(&folder("a", "b", "")).await.unwrap();
    let ids: Vec<_> = listed(&entries).into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids.len(), 80);
    engine
        .remove(&folder("a", "b", ""), &ids, &hold)
        .await
        .unwrap();
    let url = server.url(&site.database, Some(pooler.port()));
    let accounts = restante_engine::postgres::PostgresDatabase::new(&settings(server, url));
    let accounts: Box<dyn restante_engine::Database> = Box::new(accounts.unwrap());
    for _ in 0..20 {
        let statement = restante_engine::Statement {
            text: "select messages from restante.maildrop where name = $1".into(),
            parameters: vec![restante_engine::Value::Text("b".into())],
        };
        assert_eq!(
            accounts
                .query(statement, &Meter::nobody())
                .await
                .unwrap()
                .rows,
            1
        );
        let none = restante_engine::Statement {
            text: "select messages from restante.maildrop where name = 'x'".into(),
            parameters: vec![],
        };
        let answer = accounts.query(none, &Meter::nobody()).await.unwrap();
        assert_eq!((answer.rows, answer.columns.len()), (0, 1));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_are_made_once_and_what_is_to_be_done_is_said_before() {
    let Some(server) = Server::shared("migrations") else {
        return;
    };
    let database = server.database();
    let settings: Settings = settings(server, server.url(&database, None));
    let pending = pending_migration(&settings).await.unwrap();
    let Some(Migration {
        from: 0,
        to: 2,
        steps,
        ..
    }) = pending
    else {
        panic!("{pending:?}");
    };
    assert_eq!(steps.len(), 2);
    // A database without tables may be the wrong one: it stays as it is.
    let expected = Postgres::open(&settings, Retention::default(), Tables::Expected).await;
    let Err(Problem::Unavailable(text)) = expected else {
        panic!("{expected:?}");
    };
    assert!(text.contains("no tables"), "{text}");
    assert!(matches!(pending_migration(&settings).await, Ok(Some(_))));
    // Four nodes start at once.
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let settings = settings.clone();
        tasks.spawn(
            async move { Postgres::open(&settings, Retention::default(), Tables::Made).await },
        );
    }
    for opened in tasks.join_all().await {
        opened.unwrap();
    }
    assert_eq!(pending_migration(&settings).await, Ok(None));
    // In one transaction: nobody sees tables of an older version, whenever a node is killed.
    let transactions = "select count(distinct xmin::text) from pg_proc
        where pronamespace = 'restante'::regnamespace";
    assert_eq!(server.run(&database, transactions).trim(), "1");
    let there = Postgres::open(&settings, Retention::default(), Tables::Expected).await;
    there.unwrap();
    server.run(&database, "update restante.version set number = 99");
    let newer = Postgres::open(&settings, Retention::default(), Tables::Migrated).await;
    let Err(Problem::Invalid(text)) = newer else {
        panic!("{newer:?}")
    };
    assert!(text.contains("version 99"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_let_in_with_a_wrong_password_and_the_log_says_why() {
    let Some(server) = Server::shared("a wrong password") else {
        return;
    };
    let settings = Settings {
        url: server.url("postgres", None),
        password: Some("wrong".to_owned().into()),
        authorities: None,
    };
    let refused = Postgres::open(&settings, Retention::default(), Tables::Made).await;
    let Err(Problem::Unavailable(text)) = refused else {
        panic!("{refused:?}")
    };
    assert!(
        text.contains("28P01") && text.contains("pg_hba.conf"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_has_to_prove_its_name() {
    let Some(server) = Server::start("TLS") else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let certificate = Certificate::create_for(directory.path(), &["localhost".to_owned()], 180);
    server.use_tls(&certificate);
    let url = format!(
        "postgresql://postgres@localhost:{}/postgres?sslmode=require",
        server.port()
    );
    let mut settings = settings(&server, url);
    // Nobody vouches for it.
    let refused = Postgres::open(&settings, Retention::default(), Tables::Made).await;
    assert!(
        matches!(refused, Err(Problem::Unavailable(_))),
        "{refused:?}"
    );
    settings.authorities = Some(certificate.authority.clone());
    let engine = Postgres::open(&settings, Retention::default(), Tables::Made)
        .await
        .unwrap();
    kept(&engine, "a").await;
    let encrypted = "select bool_and(ssl) from pg_stat_ssl s join pg_stat_activity a using (pid)
        where a.application_name = 'restante'";
    assert_eq!(server.run("postgres", encrypted), "t");
    // By an address that is not in its certificate.
    settings.url = settings.url.replace("localhost", "127.0.0.1");
    let refused = Postgres::open(&settings, Retention::default(), Tables::Made).await;
    let Err(Problem::Unavailable(text)) = refused else {
        panic!("{refused:?}")
    };
    assert!(text.contains("certificate"), "{text}");
}

/// An engine on a primary and its standby, with a hold of the node "n".
async fn on_both(primary: &Server, standby: &Server, database: &str) -> (Arc<Postgres>, Hold) {
    let url = format!(
        "postgresql://postgres@127.0.0.1:{},127.0.0.1:{}/{database}",
        primary.port(),
        standby.port()
    );
    let settings = settings(primary, url);
    let engine = Postgres::open(&settings, Retention::default(), Tables::Made).await;
    let engine = Arc::new(engine.unwrap());
    let hold = held(&engine, "n").await;
    (engine, hold)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_that_is_promoted_has_what_was_told_and_the_hold() {
    let Some(primary) = Server::start("a fail-over") else {
        return;
    };
    let database = primary.database();
    let standby = primary.standby();
    let (engine, hold) = on_both(&primary, &standby, &database).await;
    let (gone, next) = (kept(&engine, "gone").await, kept(&engine, "next").await);
    kept(&engine, "stays").await;
    assert_eq!(removal(&engine, &gone, &hold).await.unwrap(), Ok(()));
    primary.crash();
    // Asked while there is none.
    let (asking, at) = (engine.clone(), hold.clone());
    let removing = tokio::spawn(async move { removed(&asking, &next, &at).await });
    standby.promote();
    assert_eq!(removing.await.unwrap(), Ok(()));
    let entries = engine.read(&folder("a", "b", "")).await.unwrap();
    let names: Vec<_> = listed(&entries).into_iter().map(|(_, name)| name).collect();
    assert_eq!(names, ["stays"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_the_standby_has_not_is_told_to_nobody() {
    let Some(primary) = Server::start("a lost commit") else {
        return;
    };
    let database = primary.database();
    let standby = primary.standby();
    let (engine, hold) = on_both(&primary, &standby, &database).await;
    let id = kept(&engine, "a").await;
    standby.stop();
    let removing = removal(&engine, &id, &hold);
    // It waits for the standby, and nobody sees it.
    let waiting = "select count(*) from pg_stat_activity where wait_event = 'SyncRep'";
    while primary.run(&database, waiting) == "0" {
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(
        primary.run(&database, "select count(*) from restante.message"),
        "1"
    );
    primary.crash();
    primary.restart();
    // Now everybody sees it, and whoever asks without waiting for the standby is told what
    // is lost with the next fail-over.
    assert_eq!(
        primary.run(&database, "select count(*) from restante.message"),
        "0"
    );
    assert!(!removing.is_finished());
    primary.crash();
    standby.restart();
    assert_eq!(
        standby.run(&database, "select count(*) from restante.message"),
        "1"
    );
    assert!(!removing.is_finished());
    standby.promote();
    assert_eq!(removing.await.unwrap(), Ok(()));
    assert_eq!(
        standby.run(&database, "select count(*) from restante.message"),
        "0"
    );
}

//! Engines on PostgreSQL.

use restante_engine::postgres::{Postgres, PostgresBlobs, PostgresDatabase, Settings};
use restante_engine::{
    Acquired, Agreements, Database, Holds, MailIndex, Meter, Problem, Refusal, Retention,
    Statement, Tables, Value, Values,
};
use restante_tests::PgBouncer;
use std::sync::Arc;

use crate::suite::{Accounts, BlobStore, Engine, FREE, entry, folder, listed};

pub(crate) const TABLE: &str = "
    create table account (name text primary key, quota bigint, hash bytea, note text not null);
    insert into account values
        ('alice', 1, '\\x00ff', 'n'), ('bob', null, null, ''), ('carol', -3, '', 'ü');";

pub(crate) fn is_there(test: &str) -> bool {
    restante_tests::Postgres::is_there(test)
}

pub(crate) fn settings(server: &restante_tests::Postgres, url: String) -> Settings {
    Settings {
        url,
        password: Some(server.password().to_owned().into()),
        authorities: None,
    }
}

/// Rows come as they are in the table, and an update moves them there.
#[tokio::test]
async fn a_folder_is_in_order_however_its_rows_are_stored() {
    if !is_there("a_folder_is_in_order_however_its_rows_are_stored") {
        return;
    }
    let server = restante_tests::Postgres::shared("PostgreSQL").unwrap();
    let name = server.database();
    let settings = settings(server, server.url(&name, None));
    let opened = Postgres::open(&settings, Retention::default(), Tables::Made).await;
    let index = opened.unwrap();
    let inbox = folder("a", "b", "");
    let names: Vec<String> = (0..40).map(|number| format!("m{number}")).collect();
    for (number, name) in names.iter().enumerate() {
        let entry = restante_engine::Entry {
            surrogate: (number % 4 == 0).then_some(number as u64),
            octets: 1000 + number as u64,
            ..entry(name)
        };
        index.append(&inbox, &entry, &FREE, None).await.unwrap();
    }
    let before = index.read(&inbox).await.unwrap();
    let stored: Vec<String> = listed(&before).into_iter().map(|(_, name)| name).collect();
    assert_eq!(stored, names);
    assert_eq!(before.version, 40);
    server.run(
        &name,
        "update restante.message set name = name where number % 3 = 0",
    );
    assert_eq!(index.read(&inbox).await.unwrap(), before);
}

#[tokio::test]
async fn what_is_agreed_on_is_noted_once_for_all_servers() {
    if !is_there("what_is_agreed_on_is_noted_once_for_all_servers") {
        return;
    }
    let server = restante_tests::Postgres::shared("PostgreSQL").unwrap();
    let settings = settings(server, server.url(&server.database(), None));
    let open = || Postgres::open(&settings, Retention::default(), Tables::Made);
    let (one, other) = (open().await.unwrap(), open().await.unwrap());
    crate::suite::agreed_once(&one).await;
    let agreed = Ok(Some("b".to_owned()));
    assert_eq!(other.agreed("bucket").await, agreed);
    let looked = restante_engine::postgres::agreed(&settings, "bucket").await;
    assert_eq!(looked, agreed);
}

async fn opened(retention: Retention) -> Postgres {
    let server = restante_tests::Postgres::shared("PostgreSQL").unwrap();
    let url = server.url(&server.database(), None);
    let postgres = Postgres::open(&settings(server, url), retention, Tables::Made).await;
    postgres.unwrap()
}

pub(crate) async fn engine(retention: Retention) -> Engine {
    let postgres = Arc::new(opened(retention).await);
    Engine {
        index: postgres.clone(),
        holds: postgres,
        keep: Box::new(()),
    }
}

pub(crate) async fn blobs() -> BlobStore {
    let postgres = opened(Retention::default()).await;
    BlobStore {
        blobs: Arc::new(PostgresBlobs::new(&postgres, "mail").unwrap()),
        keep: Box::new(()),
    }
}

/// A database with a table, where it is, and its name there.
fn database() -> (PostgresDatabase, &'static restante_tests::Postgres, String) {
    let server = restante_tests::Postgres::shared("PostgreSQL").unwrap();
    let name = server.database();
    server.run(&name, TABLE);
    let settings = settings(server, server.url(&name, None));
    (PostgresDatabase::new(&settings).unwrap(), server, name)
}

pub(crate) async fn accounts() -> Accounts {
    let (database, ..) = database();
    Accounts {
        database: Arc::new(database),
        keep: Box::new(()),
    }
}

engine_suite!(crate::postgres::engine, if crate::postgres::is_there);
blob_suite!(crate::postgres::blobs, if crate::postgres::is_there);
database_suite!(crate::postgres::accounts, if crate::postgres::is_there);

fn statement(text: &str) -> Statement {
    Statement {
        text: text.to_owned(),
        parameters: Vec::new(),
    }
}

async fn told(database: &PostgresDatabase, text: &str) -> Result<Values, Refusal> {
    let nobody = Meter::nobody();
    let mut answer = database.query(statement(text), &nobody).await?;
    Ok(answer.columns.remove(0).values)
}

fn state(told: Result<Values, Refusal>) -> String {
    match told {
        Err(Refusal::Refused { state, .. }) => state,
        told => panic!("{told:?}"),
    }
}

/// PostgreSQL's comments are nested: what looks like the end of one may be within another, and a
/// parameter may be in none. That is the statement's fault, and no database's that is away.
#[tokio::test]
async fn a_statement_with_another_number_of_parameters_is_at_fault() {
    let test = "a_statement_with_another_number_of_parameters_is_at_fault";
    if !is_there(test) {
        return;
    }
    let (accounts, server, name) = database();
    let mut all = vec![accounts];
    let pooler = PgBouncer::start(test, server);
    all.extend(pooler.as_ref().map(|pooler| {
        let url = server.url(&name, Some(pooler.port()));
        PostgresDatabase::new(&settings(server, url)).unwrap()
    }));
    let nested = "select name from account where name = $1 /* /* */ and note = '' */ or note = $2";
    for database in all {
        let asked = Statement {
            text: nested.to_owned(),
            parameters: vec![Value::Text("alice".to_owned())],
        };
        let answer = database.query(asked, &Meter::nobody()).await;
        let answer = answer.map(|_| Values::Integers(Vec::new()));
        assert_eq!(state(answer), "08P01");
        assert!(told(&database, "select name from account").await.is_ok());
    }
}

/// A row has to be whole before the driver hands it over.
#[tokio::test]
async fn a_row_that_is_too_large_does_not_arrive() {
    if !is_there("a_row_that_is_too_large_does_not_arrive") {
        return;
    }
    let (accounts, ..) = database();
    let large = told(&accounts, "select repeat('x', 100000000)").await;
    assert_eq!(large, Err(Refusal::TooLarge));
    let fits = told(&accounts, "select length(repeat('x', 100000000))").await;
    assert_eq!(fits, Ok(Values::Integers(vec![100_000_000])));
}

#[tokio::test]
async fn nothing_of_a_call_stays_in_its_session() {
    if !is_there("nothing_of_a_call_stays_in_its_session") {
        return;
    }
    let (accounts, server, name) = database();
    let path = "select set_config('search_path', 'nowhere', false)";
    told(&accounts, path).await.unwrap();
    told(&accounts, "select name from account").await.unwrap();
    server.run(&name, "create role other; grant other to current_user");
    let mut ways = vec![server.url(&name, None)];
    let pooler = PgBouncer::start("nothing_of_a_call_stays_in_its_session", server);
    ways.extend(
        pooler
            .as_ref()
            .map(|pooler| server.url(&name, Some(pooler.port()))),
    );
    for way in ways {
        let accounts = PostgresDatabase::new(&settings(server, way)).unwrap();
        for left in [
            "select 'mallory' as name into temp account",
            "select set_config('role', 'other', false)",
            "select pg_advisory_lock(7)::text",
        ] {
            let left = vec![statement(left)];
            accounts.change(left, &Meter::nobody()).await.unwrap();
            let names = "select name from account where name = 'mallory'";
            let names = accounts.query(statement(names), &Meter::nobody()).await;
            assert_eq!(names.unwrap().rows, 0);
        }
    }
    let locks = "select count(*) from pg_locks where locktype = 'advisory'";
    assert_eq!(told(&accounts, locks).await, Ok(Values::Integers(vec![0])));
    let session = "select pg_backend_pid()";
    let first = told(&accounts, session).await.unwrap();
    // A guest's mistake costs no new connection.
    assert_eq!(
        state(told(&accounts, "select no_such_column").await),
        "42703"
    );
    assert_eq!(told(&accounts, session).await, Ok(first));
    // Types of the database's own: the driver looks each up with statements that it keeps.
    let types = [
        "create type color as enum ('red')",
        "create type size as enum ('big')",
    ];
    for (made, value) in types.into_iter().zip(["'red'::color", "'big'::size"]) {
        server.run(&name, made);
        for _ in 0..2 {
            assert_eq!(
                state(told(&accounts, &format!("select {value}")).await),
                "42804"
            );
        }
    }
}

/// What is checked at the end of the transaction is checked within its limits, and told.
#[tokio::test]
async fn what_the_commit_would_refuse_is_refused() {
    if !is_there("what_the_commit_would_refuse_is_refused") {
        return;
    }
    let (accounts, server, name) = database();
    server.run(
        &name,
        "create table box (name text references account deferrable initially deferred)",
    );
    let orphan = vec![statement("insert into box values ('nobody')")];
    let told_of = accounts.change(orphan, &Meter::nobody()).await;
    let told_of = told_of.map(|_| Values::Integers(Vec::new()));
    assert_eq!(state(told_of), "23503");
}

/// A host that is silent leaves time for the next one.
#[tokio::test]
async fn a_silent_host_keeps_nobody_from_the_next() {
    if !is_there("a_silent_host_keeps_nobody_from_the_next") {
        return;
    }
    let (_, server, name) = database();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = server.url(&name, None);
    let here = format!("127.0.0.1:{}", server.port());
    let both = format!("{},{here}", silent.local_addr().unwrap());
    let url = url.replace(&here, &both);
    let accounts = PostgresDatabase::new(&settings(server, url)).unwrap();
    assert!(told(&accounts, "select name from account").await.is_ok());
}

/// Who only looks users up needs no more.
#[tokio::test]
async fn a_role_that_can_change_nothing_will_do() {
    if !is_there("a_role_that_can_change_nothing_will_do") {
        return;
    }
    let (accounts, server, name) = database();
    server.run(
        &name,
        &format!("alter database {name} set default_transaction_read_only = on"),
    );
    assert!(told(&accounts, "select name from account").await.is_ok());
    let delete = vec![statement("delete from account")];
    let deleted = accounts.change(delete, &Meter::nobody()).await;
    let Err(Refusal::Refused { state, .. }) = deleted else {
        panic!("{deleted:?}");
    };
    assert_eq!(state, "25006");
    let url = format!(
        "{}?target_session_attrs=read-write",
        server.url(&name, None)
    );
    let writable = PostgresDatabase::new(&settings(server, url)).unwrap();
    let told = told(&writable, "select 1").await;
    assert!(matches!(told, Err(Refusal::Unavailable(_))), "{told:?}");
}

/// What is in tables of an older version stays, and several nodes that change them at once are
/// in nobody's way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_of_version_1_are_changed_when_that_is_asked_for() {
    let Some(server) = restante_tests::Postgres::shared("migrations from version 1") else {
        return;
    };
    let database = server.database();
    let first = concat!(
        "create schema restante; create table restante.version (number int not null);
        insert into restante.version values (1);",
        include_str!("../src/postgres/schema.sql")
    );
    server.run(&database, first);
    server.run(&database, "select restante.join_node('n', 'a test', 3600)");
    let taken = "select outcome from restante.acquire('k', gen_random_uuid(), 'n', 1, false)";
    assert_eq!(server.run(&database, taken).trim(), "held");
    let settings: Settings = settings(server, server.url(&database, None));
    for tables in [Tables::Expected, Tables::Made] {
        let opened = Postgres::open(&settings, Retention::default(), tables).await;
        let Err(Problem::Invalid(text)) = opened else {
            panic!("{opened:?}");
        };
        assert!(text.contains("version 1 of its tables becomes 2"), "{text}");
    }
    // Another one is at it, and needs longer than one waits for a lock.
    let slow = "begin; update restante.version set number = number; select pg_sleep(11); rollback";
    let slow = server.session(&database, slow);
    let is_at_it = "select count(*) from pg_stat_activity
        where datname = current_database() and wait_event = 'PgSleep'";
    while server.run(&database, is_at_it).trim() != "1" {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let settings = settings.clone();
        tasks.spawn(async move {
            Postgres::open(&settings, Retention::default(), Tables::Migrated).await
        });
    }
    for opened in tasks.join_all().await {
        let engine = opened.unwrap();
        let node = engine.join("other", "a test").await.unwrap();
        let acquired = engine.acquire("k", &node).await.unwrap();
        assert!(matches!(acquired, Acquired::InUse { .. }), "{acquired:?}");
    }
    slow.join().unwrap();
}

//! A SQLite file of the operator's.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use restante_engine::sqlite::SqliteDatabase;
use restante_engine::{Database, Meter, Problem, Refusal, Statement, Values};

use crate::suite::Accounts;

const TABLE: &str = "
    create table account (name text primary key, quota integer, hash blob, note text not null);
    insert into account values
        ('alice', 1, x'00ff', 'n'), ('bob', null, null, ''), ('carol', -3, x'', 'ü');";

fn make_file(path: &Path, sql: &str) {
    let file = rusqlite::Connection::open(path).unwrap();
    file.execute_batch(sql).unwrap();
}

pub(crate) async fn accounts() -> Accounts {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("users.sqlite");
    make_file(&path, TABLE);
    Accounts {
        database: Arc::new(SqliteDatabase::open(&path, 3, true).unwrap()),
        keep: Box::new(directory),
    }
}

database_suite!(crate::database::accounts);

fn statement(text: &str) -> Statement {
    Statement {
        text: text.to_owned(),
        parameters: Vec::new(),
    }
}

fn state<T: std::fmt::Debug>(told: Result<T, Refusal>) -> String {
    match told {
        Err(Refusal::Refused { state, .. }) => state,
        told => panic!("{told:?}"),
    }
}

#[tokio::test]
async fn a_statement_reaches_no_other_file_and_no_table_but_as_rows() {
    let directory = tempfile::tempdir().unwrap();
    let (path, other) = (
        directory.path().join("users"),
        directory.path().join("other"),
    );
    make_file(&path, TABLE);
    make_file(&other, "create table secret (text text)");
    let database = SqliteDatabase::open(&path, 2, true).unwrap();
    let other = other.display();
    for sql in [
        format!("attach '{other}' as other"),
        format!("vacuum into '{other}2'"),
        "vacuum".to_owned(),
        "detach main".to_owned(),
        "pragma journal_mode = off".to_owned(),
        "pragma query_only = off".to_owned(),
        "select * from pragma_table_info('account')".to_owned(),
        "select load_extension('x')".to_owned(),
        "create table more (a integer)".to_owned(),
        "create temp table more (a integer)".to_owned(),
        "drop table account".to_owned(),
        "alter table account rename to other".to_owned(),
        "create trigger t after insert on account begin delete from account; end".to_owned(),
        "savepoint s".to_owned(),
        "analyze".to_owned(),
        "reindex".to_owned(),
        "update sqlite_schema set sql = ''".to_owned(),
    ] {
        let queried = state(database.query(statement(&sql), &Meter::nobody()).await);
        let changed = state(
            database
                .change(vec![statement(&sql)], &Meter::nobody())
                .await,
        );
        for state in [queried, changed] {
            assert!(
                ["42501", "42000", "42601"].contains(&state.as_str()),
                "{sql}: {state}"
            );
        }
    }
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 2);
    let answer = database
        .query(statement("select count(*) from account"), &Meter::nobody())
        .await
        .unwrap();
    assert_eq!(answer.columns[0].values, Values::Integers(vec![3]));
}

#[tokio::test]
async fn what_takes_too_long_is_given_up_and_others_go_on() {
    let accounts = accounts().await;
    let endless = "with recursive n (i) as (select 1 union all select i + 1 from n)
        select max(i) from n";
    let started = Instant::now();
    let (charged, nobody) = (Arc::new(Mutex::new(Duration::ZERO)), Meter::nobody());
    let sum = charged.clone();
    let meter = Meter::new(move |time| *sum.lock().unwrap() += time);
    let told = accounts.database.query(statement(endless), &meter);
    let next = accounts.database.query(statement("select 1"), &nobody);
    let (told, next) = tokio::join!(told, next);
    let Err(Refusal::Unavailable(text)) = told else {
        panic!("{told:?}");
    };
    assert!(text.contains("longer than 5 s"), "{text}");
    // Who asks pays for the thread that computed.
    let charged = *charged.lock().unwrap();
    assert!(charged > Duration::from_secs(1), "{charged:?}");
    // It ended for its deadline, not for the patience of the caller.
    assert!(started.elapsed() >= Duration::from_secs(5));
    assert_eq!(next.unwrap().rows, 1);
    let next = accounts
        .database
        .query(statement("select 1"), &Meter::nobody())
        .await;
    assert_eq!(next.unwrap().rows, 1);
}

#[tokio::test]
async fn values_of_no_kind_or_of_two_are_refused() {
    let accounts = accounts().await;
    for sql in [
        "select 1.5",
        "select 1 union all select 'a'",
        "select cast(x'ff' as text)",
        "select 'a' || char(0) || 'b'",
        "select zeroblob(64 * 1024 * 1024 + 1)",
    ] {
        state(
            accounts
                .database
                .query(statement(sql), &Meter::nobody())
                .await,
        );
    }
}

#[tokio::test]
async fn a_file_that_takes_the_name_is_read_from_then_on() {
    let directory = tempfile::tempdir().unwrap();
    let (path, next) = (
        directory.path().join("users"),
        directory.path().join("next"),
    );
    make_file(&path, TABLE);
    let database = SqliteDatabase::open(&path, 2, true).unwrap();
    let count = async || {
        let answer = database
            .query(statement("select count(*) from account"), &Meter::nobody())
            .await;
        answer.unwrap().columns.remove(0).values
    };
    assert_eq!(count().await, Values::Integers(vec![3]));
    let is_away = async || {
        let select = statement("select count(*) from account");
        let told = database.query(select, &Meter::nobody()).await;
        assert!(matches!(told, Err(Refusal::Unavailable(_))), "{told:?}");
    };
    // Nobody is let in by a file that is gone.
    std::fs::remove_file(&path).unwrap();
    is_away().await;
    std::fs::write(&path, "no database".repeat(100)).unwrap();
    is_away().await;
    make_file(&next, TABLE);
    make_file(&next, "delete from account where name = 'bob'");
    std::fs::rename(&next, &path).unwrap();
    assert_eq!(count().await, Values::Integers(vec![2]));
    let deleted = database
        .change(vec![statement("delete from account")], &Meter::nobody())
        .await;
    assert_eq!(deleted.unwrap()[0].rows, 2);
    assert_eq!(count().await, Values::Integers(vec![0]));
}

/// The log of the file of before would be read over the new one.
#[tokio::test]
async fn a_file_in_wal_mode_is_not_replaced_while_it_is_open() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    make_file(&at("users"), TABLE);
    make_file(&at("users"), "pragma journal_mode = wal");
    let database = SqliteDatabase::open(&at("users"), 2, true).unwrap();
    let all = "select name from account";
    let nobody = Meter::nobody();
    let before = database.query(statement(all), &nobody).await;
    assert_eq!(before.unwrap().rows, 3);
    make_file(&at("next"), TABLE);
    std::fs::rename(at("next"), at("users")).unwrap();
    let told = database.query(statement(all), &nobody).await;
    let Err(Refusal::Unavailable(text)) = told else {
        panic!("{told:?}");
    };
    assert!(text.contains("restart this server"), "{text}");
}

/// A table that no statement names bounds nobody, and a row in it may be long.
#[tokio::test]
async fn tables_may_be_wide_and_rows_long_where_statements_do_not_ask_for_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("users");
    make_file(&path, TABLE);
    let columns: Vec<String> = (0..250).map(|number| format!("c{number}")).collect();
    make_file(
        &path,
        &format!("create table wide ({})", columns.join(", ")),
    );
    make_file(
        &path,
        "insert into account (name, hash, note) values ('zoe', zeroblob(1000000), 'z')",
    );
    let database = SqliteDatabase::open(&path, 2, true).unwrap();
    let nobody = Meter::nobody();
    let note = "select note, length(hash) from account where name = 'zoe'";
    assert_eq!(
        database.query(statement(note), &nobody).await.unwrap().rows,
        1
    );
    for refused in ["select hash from account", "select * from wide"] {
        state(database.query(statement(refused), &nobody).await);
    }
    let few = "select c0, c249 from wide";
    assert_eq!(
        database.query(statement(few), &nobody).await.unwrap().rows,
        0
    );
}

/// SQLite looks at the clock between its instructions: none of them may take long, nor all
/// that one statement has room for.
#[tokio::test]
async fn no_function_keeps_a_thread_beyond_the_deadline() {
    let accounts = accounts().await;
    let text = "printf('%.*c', 250000, 'a')";
    let part = "printf('%.*c', 125000, 'a') || 'b'";
    for function in [
        format!("instr({text}, {part})"),
        format!("length(replace({text}, {part}, ''))"),
        format!("length(trim({text}, {text}))"),
        format!("{text} like '%a%a%a%a%a%a%a%a%a%a%b'"),
    ] {
        let sum = vec![function; 400].join("+");
        let started = Instant::now();
        let nobody = Meter::nobody();
        let select = statement(&format!("select {sum}"));
        let told = accounts.database.query(select, &nobody).await;
        let late =
            matches!(&told, Err(Refusal::Unavailable(text)) if text.contains("longer than 5 s"));
        assert!(told.is_ok() || late, "{told:?}");
        assert!(started.elapsed() < Duration::from_secs(8), "{sum:.60}");
    }
    let nobody = Meter::nobody();
    for refused in [
        format!("select {}", vec!["1"; 300].join(", ")),
        "select length(printf('%.*c', 300000, 'a'))".to_owned(),
        "select length(zeroblob(300000))".to_owned(),
        "select 'a' glob 'b'".to_owned(),
        "select json_patch('{}', '{}')".to_owned(),
        format!("select {}", vec!["1"; 40_000].join("+")),
    ] {
        let select = statement(&refused);
        state(accounts.database.query(select, &nobody).await);
    }
}

#[tokio::test]
async fn what_is_granted_for_reading_is_read_only() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("users");
    make_file(&path, TABLE);
    let database = SqliteDatabase::open(&path, 1, false).unwrap();
    let deleted = database
        .change(vec![statement("delete from account")], &Meter::nobody())
        .await;
    assert_eq!(state(deleted), "25006");
    let answer = database
        .query(statement("select name from account"), &Meter::nobody())
        .await;
    assert_eq!(answer.unwrap().rows, 3);
}

#[tokio::test]
async fn another_program_s_lock_is_waited_for_and_then_told() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("users");
    make_file(&path, TABLE);
    let database = SqliteDatabase::open(&path, 2, true).unwrap();
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("begin exclusive").unwrap();
    let told = database
        .change(vec![statement("delete from account")], &Meter::nobody())
        .await;
    let Err(Refusal::Unavailable(text)) = told else {
        panic!("{told:?}");
    };
    assert!(text.contains("another program has locked it"), "{text}");
    other.execute_batch("rollback").unwrap();
    let deleted = database
        .change(vec![statement("delete from account")], &Meter::nobody())
        .await;
    assert_eq!(deleted.unwrap()[0].rows, 3);
}

#[test]
fn a_file_that_cannot_be_opened_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("users");
    let opened = SqliteDatabase::open(&path, 1, false);
    assert!(
        matches!(&opened, Err(Problem::Unavailable(text)) if text.contains("users")),
        "{opened:?}"
    );
    assert!(!path.exists());
    std::fs::write(&path, "no database".repeat(100)).unwrap();
    let opened = SqliteDatabase::open(&path, 1, false);
    assert!(
        matches!(&opened, Err(Problem::Unavailable(text)) if text.contains("no SQLite file")),
        "{opened:?}"
    );
    make_file(&directory.path().join("good"), TABLE);
    for (connections, may_change) in [(0, false), (1, true), (17, false)] {
        let opened = SqliteDatabase::open(&directory.path().join("good"), connections, may_change);
        assert!(matches!(opened, Err(Problem::Invalid(_))), "{connections}");
    }
}

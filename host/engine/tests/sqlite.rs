//! An index in a SQLite file.

use std::sync::Arc;

use restante_engine::sqlite::Sqlite;
use restante_engine::{Agreements, MailIndex, Problem, Retention, Tables};

use crate::suite::{Engine, entry, folder};

pub(crate) async fn engine(retention: Retention) -> Engine {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mail.sqlite");
    let sqlite = Arc::new(Sqlite::open(&path, retention, Tables::Made).unwrap());
    Engine {
        index: sqlite.clone(),
        holds: sqlite,
        keep: Box::new(directory),
    }
}

engine_suite!(crate::sqlite::engine);

#[test]
fn a_file_is_one_opener_s_at_a_time_and_the_next_hears_whose() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mail.sqlite");
    let first = Sqlite::open(&path, Retention::default(), Tables::Made).unwrap();
    let Err(Problem::Invalid(text)) = Sqlite::open(&path, Retention::default(), Tables::Made)
    else {
        panic!("opened twice");
    };
    let own = format!("process {} uses it", std::process::id());
    assert!(
        text.contains(&own) && text.contains(path.to_str().unwrap()),
        "{text}"
    );
    drop(first);
    Sqlite::open(&path, Retention::default(), Tables::Made).unwrap();
}

#[tokio::test]
async fn nobody_else_may_read_what_is_made() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mail.sqlite");
    let sqlite = Sqlite::open(&path, Retention::default(), Tables::Made).unwrap();
    let (inbox, one) = (folder("a", "b", ""), entry("a"));
    sqlite
        .append(&inbox, &one, &crate::suite::FREE, None)
        .await
        .unwrap();
    let mut made = 0;
    for file in std::fs::read_dir(directory.path()).unwrap() {
        let file = file.unwrap();
        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{:?}: {mode:o}", file.path());
        made += 1;
    }
    assert_eq!(made, 4, "the file, its log, its index, the lock");
}

#[tokio::test]
async fn what_is_in_a_file_stays_and_holds_do_not() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mail.sqlite");
    let inbox = folder("a", "b", "");
    let open = || {
        let sqlite = Arc::new(Sqlite::open(&path, Retention::default(), Tables::Made).unwrap());
        Engine {
            index: sqlite.clone(),
            holds: sqlite,
            keep: Box::new(()),
        }
    };
    let engine = open();
    let id = engine.kept(&inbox, &entry("a")).await;
    let (before, hold) = engine.holder("n", "k").await;
    drop(engine);
    let engine = open();
    assert_eq!(engine.names(&inbox).await, ["a"]);
    assert_eq!(engine.holds.check(&hold).await, Err(Problem::Lost));
    assert_eq!(engine.holds.beat(&before).await, Err(Problem::Lost));
    let ids = [id];
    assert_eq!(
        engine.index.remove(&inbox, &ids, &hold).await,
        Err(Problem::Lost)
    );
    let (after, next) = engine.holder("n", "k").await;
    assert!(after.term > before.term && next.fence > hold.fence);
    assert_eq!(engine.index.remove(&inbox, &ids, &next).await, Ok(()));
}

#[test]
fn a_file_of_another_program_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mail.sqlite");
    std::fs::write(
        &path,
        "no SQLite file, and longer than a header of one is: ".repeat(20),
    )
    .unwrap();
    let opened = Sqlite::open(&path, Retention::default(), Tables::Migrated);
    let Err(Problem::Unavailable(text)) = opened else {
        panic!("{opened:?}");
    };
    assert!(text.contains("is damaged or no SQLite file"), "{text}");

    std::fs::remove_file(&path).unwrap();
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute("create table users (name text)", []).unwrap();
    let opened = Sqlite::open(&path, Retention::default(), Tables::Migrated);
    let Err(Problem::Invalid(text)) = opened else {
        panic!("{opened:?}");
    };
    assert!(text.contains("of another program"), "{text}");
    let tables = "select count(*) from sqlite_schema";
    let tables: i64 = other.query_row(tables, [], |row| row.get(0)).unwrap();
    assert_eq!(tables, 1);
}

#[tokio::test]
async fn what_is_agreed_on_is_noted_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mail.sqlite");
    let sqlite = Sqlite::open(&path, Retention::default(), Tables::Made).unwrap();
    let again = || restante_engine::sqlite::agreed(&path, "bucket").unwrap();
    assert_eq!(again(), None);
    crate::suite::agreed_once(&sqlite).await;
    assert_eq!(again(), Some("b".to_owned()));
    drop(sqlite);
    let sqlite = Sqlite::open(&path, Retention::default(), Tables::Expected).unwrap();
    let agreed = sqlite.agreed("bucket").await;
    assert_eq!(agreed, Ok(Some("b".to_owned())));
}

/// The directory may be what a file system is to be mounted on.
#[tokio::test]
async fn a_file_that_has_to_be_there_is_not_made() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mail.sqlite");
    let open = |tables| Sqlite::open(&path, Retention::default(), tables);
    let no_tables = |opened: Result<Sqlite, Problem>| match opened {
        Err(Problem::Unavailable(text)) => assert!(text.contains("no tables"), "{text}"),
        other => panic!("{other:?}"),
    };
    no_tables(open(Tables::Expected));
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    // What is there without tables is no better.
    std::fs::write(&path, "").unwrap();
    no_tables(open(Tables::Expected));
    drop(open(Tables::Made).unwrap());
    open(Tables::Expected).unwrap();
}

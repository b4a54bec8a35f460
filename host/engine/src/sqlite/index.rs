//! An index in one file.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use async_trait::async_trait;
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

use super::aborted::Aborted;
use super::lock_file::{self, LockFile};
use super::threads::{Clock, Keep, Threads};
use super::{failure, rows, schema, tokens, writes};
use crate::blobs::{BlobPath, check_batch};
use crate::bounds::MAX_BATCH;
use crate::hold::Hold;
use crate::index::{
    Appended, Difference, Entries, Entry, Folder, Limits, MailIndex, Placed, Summary, check_entry,
    check_placed, check_unique_ids,
};
use crate::meter::Meter;
use crate::migration::{NO_TABLES, Tables};
use crate::names;
use crate::problem::Problem;
use crate::retention::Retention;
use crate::thread_time::Stretch;

/// Connections that read; one more writes.
const READERS: usize = 2;
/// Prepared statements that a connection keeps: all that there are.
const STATEMENTS: usize = 64;

/// An index and its holds in a SQLite file, which is this process's own.
#[derive(Debug)]
pub struct Sqlite {
    writer: Threads<Connection>,
    readers: Threads<Connection>,
    pub(super) retention: Retention,
    /// The next term or fence: larger than all of before, those of earlier processes too.
    pub(super) next: Arc<AtomicU64>,
}

impl Sqlite {
    /// Opens the file at `path`, or makes it if its tables may be made; its directory has to
    /// be there. May wait for the disk.
    ///
    /// # Errors
    /// [`Problem::Invalid`] if another process has it, if it is of another version, or no
    /// file of ours. [`Problem::Unavailable`] if it has to be there and is not.
    pub fn open(path: &Path, retention: Retention, tables: Tables) -> Result<Self, Problem> {
        if tables == Tables::Expected && !path.exists() {
            // Not to leave a lock where something is to be mounted. Should the file go away
            // now, it is not made all the same.
            return Err(missing(path));
        }
        let lock: Keep = Arc::new(LockFile::lock(path)?);
        let told = |error: rusqlite::Error| failure::problem(path, &error);
        if tables != Tables::Expected {
            lock_file::make_private(path)?;
        }
        let mut writer = connect(path).map_err(told)?;
        check_mode(path, &writer)?;
        schema::prepare(path, &mut writer, tables)?;
        let opened = tokens::begin(&writer).map_err(told)?;
        let mut readers = Vec::new();
        for _ in 0..READERS {
            let reader = connect(path).map_err(told)?;
            reader
                .pragma_update(None, "query_only", true)
                .map_err(told)?;
            readers.push(reader);
        }
        let threads = |connections: Vec<Connection>| {
            let mut watched = Vec::new();
            for mut connection in connections {
                let clock = Clock::new();
                clock.watch(&mut connection).map_err(told)?;
                watched.push((connection, clock));
            }
            let threads = Threads::new(path, watched, Some(lock.clone()));
            threads.map_err(Problem::Unavailable)
        };
        Ok(Sqlite {
            writer: threads(vec![writer])?,
            readers: threads(readers)?,
            retention,
            next: Arc::new(AtomicU64::new(opened << 32)),
        })
    }

    /// One transaction that may change something. It lasts when this returns.
    pub(super) async fn change<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, Aborted> + Send + 'static,
    ) -> Result<T, Problem> {
        self.transact(&self.writer, TransactionBehavior::Immediate, work)
            .await
    }

    /// One transaction that changes holds alone, which are in memory.
    pub(super) async fn change_holds<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, Aborted> + Send + 'static,
    ) -> Result<T, Problem> {
        self.transact(&self.writer, TransactionBehavior::Deferred, work)
            .await
    }

    /// One transaction that sees one state.
    pub(super) async fn look<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, Aborted> + Send + 'static,
    ) -> Result<T, Problem> {
        self.transact(&self.readers, TransactionBehavior::Deferred, work)
            .await
    }

    async fn transact<T: Send + 'static>(
        &self,
        threads: &Threads<Connection>,
        behavior: TransactionBehavior,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, Aborted> + Send + 'static,
    ) -> Result<T, Problem> {
        let meter = Meter::of_task();
        let run = move |connection: &mut Connection| {
            let _stretch = Stretch::begin(|time| meter.charge(time));
            let transaction = connection.transaction_with_behavior(behavior)?;
            let done = work(&transaction)?;
            transaction.commit().map_err(Aborted::Commit)?;
            Ok(done)
        };
        // The others change nothing that lasts.
        let may_change = matches!(behavior, TransactionBehavior::Immediate);
        let done = threads.call(run).await;
        let done = done.map_err(|error| match may_change && error.is_unknown {
            true => Problem::Unknown(error.text),
            false => Problem::Unavailable(error.text),
        })?;
        done.map_err(|aborted| match aborted {
            // The log may have it nevertheless, and be read after a crash.
            Aborted::Commit(error) if may_change && failure::is_of_the_disk(&error) => {
                Problem::Unknown(failure::told(threads.path(), &error))
            }
            Aborted::Sqlite(error) | Aborted::Commit(error) => {
                failure::problem(threads.path(), &error)
            }
            Aborted::Problem(problem) => problem,
        })
    }
}

/// A connection, set up. What a commit says lasts does so when the power fails.
fn missing(path: &Path) -> Problem {
    Problem::Unavailable(format!("{}: {NO_TABLES}", path.display()))
}

/// Opens a file that is there.
fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    // A backup program may have it for a moment.
    connection.busy_timeout(std::time::Duration::from_secs(2))?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "temp_store", "memory")?;
    connection.pragma_update(None, "trusted_schema", false)?;
    // What one large transaction made of the log is given back, in bytes.
    connection.pragma_update(None, "journal_size_limit", 64 << 20)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(connection)
}

/// SQLite says nothing where it cannot do what it was asked for.
fn check_mode(path: &Path, connection: &Connection) -> Result<(), Problem> {
    let mode = connection.query_row("pragma journal_mode", [], |row| row.get::<_, String>(0));
    match mode
        .map_err(|error| failure::problem(path, &error))?
        .as_str()
    {
        "wal" => Ok(()),
        mode => Err(Problem::invalid(format!(
            "{}: SQLite has no write-ahead log there (its mode is {mode}): \
             put the file on a file system of this machine",
            path.display()
        ))),
    }
}

#[async_trait]
impl MailIndex for Sqlite {
    async fn state(&self, folder: &Folder) -> Result<Summary, Problem> {
        let folder = folder.clone();
        self.look(move |transaction| Ok(rows::summary(transaction, &folder)?))
            .await
    }

    async fn read(&self, folder: &Folder) -> Result<Entries, Problem> {
        let folder = folder.clone();
        self.look(move |transaction| {
            Ok(match rows::find(transaction, &folder)? {
                Some(found) => rows::entries_since(transaction, &found, 0)?,
                None => Entries::default(),
            })
        })
        .await
    }

    async fn changes(&self, folder: &Folder, version: u64) -> Result<Option<Difference>, Problem> {
        let folder = folder.clone();
        self.look(move |transaction| {
            Ok(match rows::find(transaction, &folder)? {
                Some(found) => rows::changes(transaction, &found, version)?,
                None => (version == 0).then(Difference::default),
            })
        })
        .await
    }

    async fn intend(&self, placed: &Placed) -> Result<(), Problem> {
        check_placed(placed)?;
        let placed = placed.clone();
        self.change(move |transaction| writes::intend(transaction, &placed))
            .await
    }

    async fn append(
        &self,
        folder: &Folder,
        entry: &Entry,
        limits: &Limits,
        placed: Option<&Placed>,
    ) -> Result<Appended, Problem> {
        check_entry(entry)?;
        placed.map_or(Ok(()), check_placed)?;
        let append = writes::Append {
            folder: folder.clone(),
            entry: entry.clone(),
            limits: *limits,
            placed: placed.cloned(),
            retention: self.retention,
        };
        self.change(move |transaction| append.run(transaction))
            .await
    }

    async fn remove(
        &self,
        folder: &Folder,
        unique_ids: &[String],
        hold: &Hold,
    ) -> Result<(), Problem> {
        check_unique_ids(unique_ids)?;
        let (folder, hold) = (folder.clone(), hold.clone());
        let unique_ids = unique_ids.to_vec();
        self.change(move |transaction| {
            tokens::check(transaction, &hold)?;
            writes::remove(transaction, &folder, &unique_ids)
        })
        .await
    }

    async fn expire(&self, limit: u32) -> Result<u64, Problem> {
        let (limit, retention) = (limit.min(MAX_BATCH), self.retention);
        self.change(move |transaction| writes::expire(transaction, limit, &retention))
            .await
    }

    async fn garbage(
        &self,
        place: &str,
        after: Option<&BlobPath>,
        limit: u32,
    ) -> Result<Vec<BlobPath>, Problem> {
        names::check("the place's name", place)?;
        let (place, limit) = (place.to_owned(), limit.min(MAX_BATCH));
        let after = after.cloned();
        self.look(move |transaction| rows::garbage(transaction, &place, after.as_ref(), limit))
            .await
    }

    async fn forget_garbage(&self, place: &str, paths: &[BlobPath]) -> Result<(), Problem> {
        check_batch(paths)?;
        let (place, paths) = (place.to_owned(), paths.to_vec());
        self.change(move |transaction| {
            let sql = "delete from garbage where place = ?1 and path = ?2";
            let mut delete = transaction.prepare_cached(sql)?;
            for path in &paths {
                delete.execute((&place, path.as_str()))?;
            }
            Ok(())
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str) -> Entry {
        Entry {
            unique_id: None,
            octets: 1,
            surrogate: None,
            received: 0,
            name: name.to_owned(),
            digest: None,
            weight: 1,
        }
    }

    async fn limit_pages(sqlite: &Sqlite, pages: u32) {
        let limit = move |writer: &mut Connection| {
            writer.query_row(&format!("pragma max_page_count = {pages}"), [], |row| {
                row.get::<_, i64>(0)
            })
        };
        sqlite.writer.call(limit).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_full_disk_is_told_as_one_and_nothing_is_half_done() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("mail.sqlite");
        let sqlite = Sqlite::open(&path, Retention::default(), Tables::Made).unwrap();
        let inbox = Folder::new("a", "b", "").unwrap();
        let long = entry(&"x".repeat(1024));
        let append = async || {
            let none = Limits::default();
            sqlite.append(&inbox, &long, &none, None).await
        };
        limit_pages(&sqlite, 40).await;
        let mut kept = Vec::new();
        let text = loop {
            match append().await {
                Ok(Appended::Kept(id)) => kept.push(id + "\0"),
                Err(Problem::Unavailable(text)) => break text,
                other => panic!("{other:?}"),
            }
        };
        assert!(text.contains("no space is left"), "{text}");
        let read = sqlite.read(&inbox).await.unwrap();
        assert_eq!(read.unique_ids, kept.concat());
        assert_eq!(
            sqlite.state(&inbox).await.unwrap().messages,
            kept.len() as u64
        );
        // Room comes back.
        limit_pages(&sqlite, 1000).await;
        assert!(matches!(append().await, Ok(Appended::Kept(_))));
    }

    #[test]
    fn a_file_without_a_write_ahead_log_is_refused() {
        // In memory, as on some file systems, there is none.
        let connection = connect(Path::new(":memory:")).unwrap();
        let refused = check_mode(Path::new("/x/mail"), &connection);
        assert!(
            matches!(&refused, Err(Problem::Invalid(text)) if text.contains("its mode is memory")),
            "{refused:?}"
        );
    }

    #[tokio::test]
    async fn what_was_counted_for_entries_is_given_back() {
        use crate::hold::{Acquired, Holds};
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("mail.sqlite");
        let sqlite = Sqlite::open(&path, Retention::default(), Tables::Made).unwrap();
        let inbox = Folder::new("a", "b", "").unwrap();
        let (mut ids, mut bytes) = (Vec::new(), 0);
        for number in 0..40 {
            let one = Entry {
                unique_id: (number % 2 == 0).then(|| format!("brought{number}")),
                ..entry(&"ü".repeat(number + 1))
            };
            let none = Limits::default();
            let Ok(Appended::Kept(id)) = sqlite.append(&inbox, &one, &none, None).await else {
                panic!("not kept");
            };
            bytes += crate::index::entry_bytes(&id, &one.name);
            ids.push(id);
        }
        let counted = async || {
            let folder = inbox.clone();
            let found = sqlite.look(move |transaction| Ok(rows::find(transaction, &folder)?));
            let found = found.await.unwrap().unwrap();
            [found.messages, found.octets, found.weight, found.bytes]
        };
        assert_eq!(counted().await, [40, 40, 40, bytes]);
        let node = sqlite.join("n", "a test").await.unwrap();
        let Ok(Acquired::Held(hold)) = sqlite.acquire("k", &node).await else {
            panic!("in use");
        };
        sqlite.remove(&inbox, &ids[..39], &hold).await.unwrap();
        let last = crate::index::entry_bytes(&ids[39], &"ü".repeat(40));
        assert_eq!(counted().await, [1, 1, 1, last]);
        sqlite.remove(&inbox, &ids[39..], &hold).await.unwrap();
        assert_eq!(counted().await, [0; 4]);
    }
}

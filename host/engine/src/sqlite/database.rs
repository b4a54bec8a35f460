//! A SQLite file of the operator's.
//!
//! Statements come from plugins, so a connection does for them only what rows need:
//! SQLite asks, while it prepares a statement, whether it may do each of the things in
//! it ([`authorize`]). No other file is opened, no table made, no transaction ended.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::limits::Limit;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::refusal::{refusal, refused};
use super::threads::{Clock, Threads};
use super::{failure, functions, parameters};
use crate::bounds::{MAX_ANSWER_BYTES, MAX_CONNECTIONS};
use crate::database::{Answer, Cell, Columns, Database, Refusal, Statement, check_statements};
use crate::meter::Meter;
use crate::problem::Problem;
use crate::thread_time::Stretch;

/// How long another program may have the file locked.
const LOCKED: Duration = Duration::from_secs(3);
/// Prepared statements that a connection keeps, and octets of the longest of them.
const STATEMENTS: usize = 64;
const MAX_KEPT_OCTETS: usize = 16 << 10;
/// Octets of a value, of a row that is written, and of a statement's text: SQLite looks at
/// the clock between its instructions, and each of those that a text has room for may go
/// through a whole value ([`functions`]).
const MAX_VALUE_OCTETS: i32 = 256 << 10;
const MAX_SQL_OCTETS: i32 = 64 << 10;
/// Columns of what a statement selects: a row is in memory before it is counted. Tables may
/// have as many as SQLite allows.
const MAX_SELECTED: i32 = 200;
const MAX_COLUMNS: i32 = 2000;

/// A SQLite file of the operator's, which other programs may use and replace.
#[derive(Debug)]
pub struct SqliteDatabase {
    path: PathBuf,
    readers: Threads<Opened>,
    writer: Option<Threads<Opened>>,
}

impl SqliteDatabase {
    /// Opens the file at `path`, which has to be there, with 1 to [`MAX_CONNECTIONS`]
    /// connections. Without `may_change` nothing is changed in it. May wait for the disk.
    ///
    /// # Errors
    /// If it cannot be opened, or the number of connections is none.
    pub fn open(path: &Path, connections: usize, may_change: bool) -> Result<Self, Problem> {
        let readers = connections.saturating_sub(usize::from(may_change));
        if readers == 0 || connections > MAX_CONNECTIONS {
            let least = 1 + usize::from(may_change);
            return Err(Problem::invalid(format!(
                "{}: {connections} connections: {least} to {MAX_CONNECTIONS} are possible",
                path.display()
            )));
        }
        let open = |is_writer: bool, count: usize| {
            let mut all = Vec::new();
            for _ in 0..count {
                let opened = Opened::new(path, is_writer);
                let opened = opened.map_err(|error| failure::problem(path, &error))?;
                let clock = opened.clock.clone();
                all.push((opened, clock));
            }
            Threads::new(path, all, None).map_err(Problem::Unavailable)
        };
        Ok(SqliteDatabase {
            path: path.to_owned(),
            readers: open(false, readers)?,
            writer: may_change.then(|| open(true, 1)).transpose()?,
        })
    }
}

#[async_trait]
impl Database for SqliteDatabase {
    async fn query(&self, statement: Statement, meter: &Meter) -> Result<Answer, Refusal> {
        check_statements(std::slice::from_ref(&statement))?;
        let (path, meter) = (self.path.clone(), meter.clone());
        let query = move |opened: &mut Opened| {
            let _stretch = Stretch::begin(|time| meter.charge(time));
            let told = opened.transact(&path, TransactionBehavior::Deferred, &[statement])?;
            told.into_iter().next().ok_or(Refusal::TooLarge)
        };
        let answer = self.readers.call(query).await;
        answer.map_err(|error| Refusal::Unavailable(error.text))?
    }

    async fn change(
        &self,
        statements: Vec<Statement>,
        meter: &Meter,
    ) -> Result<Vec<Answer>, Refusal> {
        check_statements(&statements)?;
        let Some(writer) = &self.writer else {
            return Err(refused("25006", "the database is granted for reading only"));
        };
        let (path, meter) = (self.path.clone(), meter.clone());
        let change = move |opened: &mut Opened| {
            let _stretch = Stretch::begin(|time| meter.charge(time));
            opened.transact(&path, TransactionBehavior::Immediate, &statements)
        };
        let answers = writer.call(change).await;
        answers.map_err(|error| match error.is_unknown {
            true => Refusal::Unknown(error.text),
            false => Refusal::Unavailable(error.text),
        })?
    }
}

/// A connection, and which file it is to.
struct Opened {
    connection: Connection,
    is_writer: bool,
    file: Option<Identity>,
    clock: Clock,
    /// A plugin's statement is at work.
    is_guest: Arc<AtomicBool>,
}

/// What tells a file from the one that takes its name: device and inode.
type Identity = (u64, u64);

fn identity(path: &Path) -> Option<Identity> {
    use std::os::unix::fs::MetadataExt;
    let about = std::fs::metadata(path).ok()?;
    Some((about.dev(), about.ino()))
}

impl Opened {
    fn new(path: &Path, is_writer: bool) -> rusqlite::Result<Self> {
        let access = match is_writer {
            true => OpenFlags::SQLITE_OPEN_READ_WRITE,
            false => OpenFlags::SQLITE_OPEN_READ_ONLY,
        };
        let file = identity(path);
        let mut connection =
            Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        connection.busy_timeout(LOCKED)?;
        connection.pragma_update(None, "trusted_schema", false)?;
        connection.pragma_update(None, "foreign_keys", true)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        for (limit, most) in [
            (Limit::SQLITE_LIMIT_LENGTH, MAX_VALUE_OCTETS),
            (Limit::SQLITE_LIMIT_SQL_LENGTH, MAX_SQL_OCTETS),
            (Limit::SQLITE_LIMIT_ATTACHED, 0),
        ] {
            connection.set_limit(limit, most)?;
        }
        let is_guest = Arc::new(AtomicBool::new(false));
        let asked = is_guest.clone();
        connection.authorizer(Some(move |context: AuthContext<'_>| {
            match asked.load(Ordering::Relaxed) {
                true => authorize(&context.action),
                false => Authorization::Allow,
            }
        }))?;
        let clock = Clock::new();
        watch(&clock, &mut connection)?;
        // Opening reads nothing: what is no database shows here.
        connection.query_row("pragma schema_version", [], |_| Ok(()))?;
        // Where it may not write, SQLite opens a file for reading without a word.
        if is_writer && connection.is_readonly("main")? {
            let failure = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_READONLY);
            let text = "for reading only".to_owned();
            return Err(rusqlite::Error::SqliteFailure(failure, Some(text)));
        }
        Ok(Opened {
            connection,
            is_writer,
            // One that was replaced meanwhile is opened again at the next call.
            file: file.filter(|file| identity(path) == Some(*file)),
            clock,
            is_guest,
        })
    }

    /// Opens the file anew if another has taken its name: nobody is to log in by one that is
    /// gone.
    fn follow(&mut self, path: &Path) -> Result<(), Refusal> {
        let told = |error: rusqlite::Error| Refusal::Unavailable(failure::told(path, &error));
        let now = identity(path);
        if now.is_some() && now == self.file {
            return Ok(());
        }
        // The log of the file of before is found by name: SQLite would read the new file with
        // the old one's changes over it.
        let mode = |row: &rusqlite::Row<'_>| row.get::<_, String>(0);
        let mode = (self.connection).query_row("pragma journal_mode", [], mode);
        if now.is_some() && mode.is_ok_and(|mode| mode == "wal") {
            return Err(Refusal::Unavailable(format!(
                "{}: another file has taken its name while this one, which is in WAL mode, was open: stop the programs that use it, put the file in place again, start them, and restart this server",
                path.display()
            )));
        }
        let mut opened = Opened::new(path, self.is_writer).map_err(told)?;
        // The thread sets the deadline of the clock that it has.
        opened.clock = self.clock.clone();
        watch(&opened.clock, &mut opened.connection).map_err(told)?;
        *self = opened;
        Ok(())
    }

    fn transact(
        &mut self,
        path: &Path,
        behavior: TransactionBehavior,
        statements: &[Statement],
    ) -> Result<Vec<Answer>, Refusal> {
        self.follow(path)?;
        let told = |error: rusqlite::Error| refusal(path, &error);
        let is_guest = self.is_guest.clone();
        // As a call left it that ended badly.
        is_guest.store(false, Ordering::Relaxed);
        let transaction = self.connection.transaction_with_behavior(behavior);
        let transaction = transaction.map_err(told)?;
        let limit = |most| transaction.set_limit(Limit::SQLITE_LIMIT_COLUMN, most);
        // The tables are read as they are for this transaction, and only then it is bounded
        // what a statement may select.
        limit(MAX_COLUMNS).map_err(told)?;
        let tables = transaction.query_row("select count(*) from sqlite_schema", [], |_| Ok(()));
        tables.map_err(told)?;
        limit(MAX_SELECTED).map_err(told)?;
        let mut answers = Vec::with_capacity(statements.len());
        let mut bytes_left = MAX_ANSWER_BYTES;
        for statement in statements {
            is_guest.store(true, Ordering::Relaxed);
            let answer = run(path, &transaction, statement, &mut bytes_left);
            is_guest.store(false, Ordering::Relaxed);
            answers.push(answer?);
        }
        transaction.commit().map_err(told)?;
        Ok(answers)
    }
}

/// From now on the clock is looked at.
fn watch(clock: &Clock, connection: &mut Connection) -> rusqlite::Result<()> {
    clock.watch(connection)?;
    functions::make_anew(connection, clock, MAX_VALUE_OCTETS as usize)
}

/// Whether a plugin's statement may do this.
fn authorize(action: &AuthAction<'_>) -> Authorization {
    match action {
        AuthAction::Select
        | AuthAction::Read { .. }
        | AuthAction::Insert { .. }
        | AuthAction::Update { .. }
        | AuthAction::Delete { .. }
        | AuthAction::Recursive => Authorization::Allow,
        AuthAction::Function { function_name }
            if !functions::DENIED
                .iter()
                .any(|denied| function_name.eq_ignore_ascii_case(denied)) =>
        {
            Authorization::Allow
        }
        _ => Authorization::Deny,
    }
}

fn run(
    path: &Path,
    connection: &Connection,
    statement: &Statement,
    bytes_left: &mut u64,
) -> Result<Answer, Refusal> {
    let told = |error: rusqlite::Error| refusal(path, &error);
    let (mut once, mut kept);
    let prepared: &mut rusqlite::Statement<'_> = match statement.text.len() <= MAX_KEPT_OCTETS {
        true => {
            kept = connection.prepare_cached(&statement.text).map_err(told)?;
            &mut kept
        }
        false => {
            once = connection.prepare(&statement.text).map_err(told)?;
            &mut once
        }
    };
    parameters::bind(path, prepared, &statement.parameters)?;
    let columns = prepared.column_count();
    if columns == 0 {
        let changed = prepared.raw_execute().map_err(told)?;
        return Ok(Answer {
            rows: changed as u64,
            columns: Vec::new(),
        });
    }
    let names = prepared.column_names().map(str::to_owned);
    let mut packed = Columns::new(names.collect(), *bytes_left);
    let mut rows = prepared.raw_query();
    while let Some(row) = rows.next().map_err(told)? {
        for position in 0..columns {
            let cell = match row.get_ref(position).map_err(told)? {
                ValueRef::Null => Cell::Null,
                ValueRef::Integer(integer) => Cell::Integer(integer),
                ValueRef::Text(text) => {
                    let text = std::str::from_utf8(text);
                    Cell::Text(text.map_err(|_| {
                        refused("22021", "a text is not in UTF-8: cast it to a blob")
                    })?)
                }
                ValueRef::Blob(octets) => Cell::Octets(octets),
                ValueRef::Real(_) => {
                    let text = "a number that is no integer: cast it to an integer or a text";
                    return Err(refused("22000", text));
                }
            };
            packed.push(position, cell)?;
        }
        packed.end_row()?;
    }
    *bytes_left -= packed.bytes();
    Ok(packed.answer())
}

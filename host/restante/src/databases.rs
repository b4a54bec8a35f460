//! The databases of a configuration that plugins are granted: opened when they are first
//! asked, kept from one generation to the next while nothing about them has changed.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::thread;

use async_trait::async_trait;
use futures_core::future::BoxFuture;
use parking_lot::Mutex;
use restante_config::{Config, DatabaseKind};
use restante_engine::postgres::PostgresDatabase;
use restante_engine::sqlite::SqliteDatabase;
use restante_engine::{
    Answer, CALL_DEADLINE, Database, MAX_CONNECTIONS, Meter, Problem, Refusal, Statement,
};
use restante_roles::metrics::{CachedAnswers, Metrics};
use restante_roles::stamp::Stamp;
use restante_wasm::{AnswerLifetimes, CallPlaces as Places, SharedDatabase};
use tokio::task::spawn_blocking;

use crate::engines;
use crate::on_demand::OnDemand;

/// Connections to a SQLite file of which one changes it, at the first change.
const WITH_WRITER: usize = 2;
const READERS: usize = MAX_CONNECTIONS - WITH_WRITER;

/// The databases of one generation.
#[derive(Default)]
pub struct Databases {
    all: Vec<Kept>,
    problems: Vec<(String, Problem)>,
    /// Of all generations.
    alive: Arc<Alive>,
}

/// The databases of all generations that somebody still asks: sessions go on with those of the
/// generation that they began with.
#[derive(Default)]
struct Alive(Mutex<Vec<Weak<SharedDatabase>>>);

#[derive(Clone)]
struct Kept {
    section: restante_config::Database,
    /// The files that its place names.
    files: Vec<Stamp>,
    shared: Arc<SharedDatabase>,
}

impl Databases {
    /// Those of a configuration. What of `before` is the same goes on as it is. Connects to
    /// nothing: a database that is away keeps no server from starting.
    pub async fn of(config: &Config, before: Option<&Databases>, metrics: &Metrics) -> Self {
        let mut databases = Databases {
            alive: before
                .map(|before| before.alive.clone())
                .unwrap_or_default(),
            ..Databases::default()
        };
        for section in &config.databases {
            let files = stamps(&section.kind).await;
            let known = before.and_then(|before| {
                let same = |kept: &&Kept| kept.section == *section && kept.files == files;
                let settled = files.iter().all(Stamp::is_settled);
                before.all.iter().find(same).filter(|_| settled)
            });
            if let Some(known) = known {
                databases.all.push(known.clone());
                continue;
            }
            match open(section).await {
                Ok(database) => {
                    let counts = metrics.database(&section.name);
                    let shared = shared(section, database, counts);
                    databases.alive.add(&shared);
                    databases.all.push(Kept {
                        section: section.clone(),
                        files,
                        shared,
                    });
                }
                Err(problem) => databases.problems.push((section.name.clone(), problem)),
            }
        }
        databases
    }

    /// For grants.
    pub fn shared(&self) -> Vec<Arc<SharedDatabase>> {
        self.all.iter().map(|kept| kept.shared.clone()).collect()
    }

    /// Forgets what is remembered of their answers, and of those of the databases of earlier
    /// generations that sessions still ask. Returns how many answers they were.
    pub fn flush(&self) -> usize {
        let alive = self.alive.all();
        alive.iter().map(|shared| shared.flush()).sum()
    }

    /// Why the database of this name cannot be used as it is configured.
    pub fn problem(&self, name: &str) -> Option<&Problem> {
        let found = self.problems.iter().find(|(of, _)| of == name);
        found.map(|(_, problem)| problem)
    }
}

impl Alive {
    fn add(&self, shared: &Arc<SharedDatabase>) {
        let mut all = self.0.lock();
        all.retain(|one| one.strong_count() > 0);
        all.push(Arc::downgrade(shared));
    }

    fn all(&self) -> Vec<Arc<SharedDatabase>> {
        self.0.lock().iter().filter_map(Weak::upgrade).collect()
    }
}

/// A section's database, as plugins ask it.
fn shared(
    section: &restante_config::Database,
    database: Arc<dyn Database>,
    counts: Arc<CachedAnswers>,
) -> Arc<SharedDatabase> {
    let places = match section.kind {
        DatabaseKind::Postgres(_) => Places {
            at_once: MAX_CONNECTIONS,
            has_one_writer: false,
        },
        DatabaseKind::Sqlite { .. } => Places {
            at_once: READERS,
            has_one_writer: true,
        },
    };
    let lifetimes = AnswerLifetimes {
        found: section.cache.lifetime,
        missing: section.cache.negative_lifetime,
        max_bytes: section.cache.max_bytes,
    };
    let place = format!("{:?}", section.kind);
    SharedDatabase::new(&section.name, place, database, places, lifetimes, counts)
}

/// Whether a database answers.
///
/// # Errors
/// Why it does not.
pub fn look(section: &restante_config::Database) -> BoxFuture<'_, Result<(), Problem>> {
    Box::pin(async move {
        let database = open(section).await?;
        let statement = Statement {
            text: "select 1".to_owned(),
            parameters: Vec::new(),
        };
        let answer = database.query(statement, &Meter::nobody()).await;
        answer
            .map(drop)
            .map_err(|refusal| Problem::unavailable(refusal.to_string()))
    })
}

async fn open(section: &restante_config::Database) -> Result<Arc<dyn Database>, Problem> {
    Ok(match &section.kind {
        DatabaseKind::Postgres(place) => {
            let settings = engines::postgres_settings(place).await?;
            // Reads the authorities' file.
            let opened = spawn_blocking(move || PostgresDatabase::new(&settings)).await;
            Arc::new(opened.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))?)
        }
        DatabaseKind::Sqlite { file } => Arc::new(SqliteFile {
            readers: Slot::new(file, READERS, false),
            writer: Slot::new(file, WITH_WRITER, true),
        }),
    })
}

async fn stamps(kind: &DatabaseKind) -> Vec<Stamp> {
    let files: Vec<PathBuf> = match kind {
        DatabaseKind::Postgres(place) => place.files().cloned().collect(),
        // Whoever has it open sees when another takes its place.
        DatabaseKind::Sqlite { .. } => Vec::new(),
    };
    let stamped = spawn_blocking(move || files.iter().map(|file| Stamp::of(file)).collect()).await;
    stamped.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}

/// A file that is opened when it is first asked, again and again until that works.
#[derive(Debug)]
struct SqliteFile {
    readers: Slot,
    writer: Slot,
}

/// Some of the connections to a file.
#[derive(Debug)]
struct Slot {
    file: PathBuf,
    connections: usize,
    may_change: bool,
    opened: Arc<OnDemand<SqliteDatabase>>,
}

impl Slot {
    fn new(file: &Path, connections: usize, may_change: bool) -> Self {
        Slot {
            file: file.to_owned(),
            connections,
            may_change,
            opened: OnDemand::new(close),
        }
    }

    async fn open(&self) -> Result<Arc<SqliteDatabase>, Refusal> {
        let open = || {
            let (file, connections, may_change) =
                (self.file.clone(), self.connections, self.may_change);
            engines::in_background(move || SqliteDatabase::open(&file, connections, may_change))
        };
        match self.opened.get(CALL_DEADLINE, open).await {
            Some(opened) => opened.map_err(|problem| Refusal::Unavailable(problem.to_string())),
            None => Err(Refusal::Unavailable(format!(
                "{}: it could not be opened within 5 s: see whether its disk or mount answers",
                self.file.display()
            ))),
        }
    }
}

/// Waits for what its threads do, on a thread of its own.
fn close(database: Arc<SqliteDatabase>) {
    let closing = thread::Builder::new().name("sqlite-close".into());
    // Without a thread it is done here.
    let _ = closing.spawn(move || drop(database));
}

#[async_trait]
impl Database for SqliteFile {
    async fn query(&self, statement: Statement, meter: &Meter) -> Result<Answer, Refusal> {
        let readers = self.readers.open().await?;
        readers.query(statement, meter).await
    }

    async fn change(
        &self,
        statements: Vec<Statement>,
        meter: &Meter,
    ) -> Result<Vec<Answer>, Refusal> {
        let writer = self.writer.open().await?;
        writer.change(statements, meter).await
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;

    use super::*;

    fn config(sections: &str) -> Config {
        let text = format!(
            "[listener.l]\naddress = '127.0.0.1:0'\ntls = 'off'\n{sections}\
             [plugin.p]\ncomponent = 'builtin:sql-users'\ngrants = {{ databases = ['d'] }}\n\
             [tenant.t]\ndefault = true\nauthenticators = ['p']\nstore = 'p'\n"
        );
        Config::parse(&text, "test.toml".as_ref(), "/".as_ref()).unwrap()
    }

    fn section(file: &std::path::Path) -> String {
        format!("[database.d]\nkind = 'sqlite'\nfile = {file:?}\n")
    }

    #[tokio::test]
    async fn a_database_is_kept_while_its_section_is_the_same() {
        let directory = tempfile::tempdir().unwrap();
        let one = config(&section(&directory.path().join("one")));
        let other = config(&section(&directory.path().join("other")));
        let first = Databases::of(&one, None, &Metrics::new()).await;
        let second = Databases::of(&one, Some(&first), &Metrics::new()).await;
        assert!(Arc::ptr_eq(&first.all[0].shared, &second.all[0].shared));
        let third = Databases::of(&other, Some(&second), &Metrics::new()).await;
        assert!(!Arc::ptr_eq(&second.all[0].shared, &third.all[0].shared));
        assert_ne!(second.all[0].shared.place(), third.all[0].shared.place());
    }

    /// Whoever connected before the reload logs in by it.
    #[tokio::test]
    async fn a_database_of_an_earlier_generation_is_flushed_while_somebody_asks_it() {
        let directory = tempfile::tempdir().unwrap();
        let one = config(&section(&directory.path().join("one")));
        let other = config(&section(&directory.path().join("other")));
        let first = Databases::of(&one, None, &Metrics::new()).await;
        let old = first.all[0].shared.clone();
        let next = Databases::of(&other, Some(&first), &Metrics::new()).await;
        drop(first);
        let is_flushed = |shared: &Arc<SharedDatabase>| {
            let alive = next.alive.all();
            alive.iter().any(|one| Arc::ptr_eq(one, shared))
        };
        assert!(is_flushed(&old) && is_flushed(&next.all[0].shared));
        drop(old);
        assert_eq!(next.alive.all().len(), 1);
    }

    /// It may come later: a mount, a file that another program makes.
    #[tokio::test]
    async fn a_file_that_is_away_is_asked_again() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("users");
        let config = config(&section(&file));
        let away = look(&config.databases[0]).await.unwrap_err();
        assert!(away.to_string().contains("users"), "{away}");
        let database = open(&config.databases[0]).await.unwrap();
        let statement = Statement {
            text: "select 1".to_owned(),
            parameters: Vec::new(),
        };
        let refused = database.query(statement.clone(), &Meter::nobody()).await;
        assert!(
            matches!(refused, Err(Refusal::Unavailable(_))),
            "{refused:?}"
        );
        assert!(!file.exists(), "a file was made");
        // SQLite takes an empty file for an empty database.
        fs::write(&file, "").unwrap();
        let answer = database.query(statement, &Meter::nobody()).await.unwrap();
        assert_eq!(answer.rows, 1);
    }

    #[tokio::test]
    async fn a_password_that_cannot_be_read_is_told() {
        let sections = "[database.d]\nkind = 'postgres'\nurl = 'postgresql://r@localhost/d'\n\
                        password-file = '/nonexistent/password'\n";
        let databases = Databases::of(&config(sections), None, &Metrics::new()).await;
        let problem = databases.problem("d").unwrap().to_string();
        assert!(problem.contains("/nonexistent/password"), "{problem}");
    }
}

//! The engines of a configuration: opened, looked at, changed for a newer program.

use std::fmt::Display;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_core::future::BoxFuture;
use restante_config::{BucketPlace, Engine, EngineKind, PostgresPlace};
use restante_engine::files::Files;
use restante_engine::s3::{S3, S3Credentials, S3Settings};
use restante_engine::{
    Agreements, Blobs, Holds, MAX_CONNECTIONS, MailIndex, OWN_PLACE, Problem, Retention,
    SplitBlobs, Tables, postgres, sqlite,
};
use restante_server::secret_file;
use tokio::task::spawn_blocking;
use zeroize::Zeroizing;

use crate::engine_bucket::{self, FirstBucket};

/// The file of an embedded engine, in its directory.
const FILE: &str = "mail.sqlite";
/// The directory of its blobs, likewise.
const BLOBS: &str = "blobs";

/// Of a password's file no more than this is read.
const MAX_PASSWORD_BYTES: u64 = 4096;
/// Likewise of a file with the key to a bucket, which may have comments.
const MAX_KEY_BYTES: u64 = 64 << 10;

/// Connections to a PostgreSQL engine with a bucket that its smaller messages have at once:
/// each is looked for by its key, and has no more than a part.
pub(crate) const FOR_INLINE: usize = 4;

/// How a look at an engine found it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// A server can use it.
    Ready,
    /// It has no tables: [`migrate`] makes them, and so does the first server if no plugin has
    /// maildrops in it.
    New,
    /// This has to be done to it first, in the words of [`migrate`].
    Outdated(String),
    /// Its larger messages are in another bucket than the configuration has; in words.
    OtherBucket(String),
}

/// What an engine consists of.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) index: Arc<dyn MailIndex>,
    pub(crate) holds: Arc<dyn Holds>,
    pub(crate) blobs: Arc<dyn Blobs>,
    pub(crate) agreements: Arc<dyn Agreements>,
}

/// What has to be done to an engine, without doing it.
///
/// # Errors
/// It cannot be reached, or is nothing for this program.
pub fn look(engine: &Engine) -> BoxFuture<'_, Result<Condition, Problem>> {
    Box::pin(async move {
        let (condition, bucket) = match &engine.kind {
            EngineKind::Embedded { directory } => {
                let directory = directory.clone();
                in_background(move || {
                    let file = file_in(&directory)?;
                    if sqlite::has_no_tables(&file)? {
                        return Ok((Condition::New, None));
                    }
                    // What it leads to has to be there, too.
                    Files::look(&directory.join(BLOBS))?;
                    let pending = sqlite::pending_migration(&file)?;
                    match pending {
                        Some(pending) => Ok((Condition::Outdated(pending.to_string()), None)),
                        None => Ok((
                            Condition::Ready,
                            sqlite::agreed(&file, engine_bucket::NAME)?,
                        )),
                    }
                })
                .await?
            }
            EngineKind::Postgres(place) => {
                let settings = postgres_settings(place).await?;
                let pending = postgres::pending_migration(&settings).await?;
                match pending {
                    None => (
                        Condition::Ready,
                        postgres::agreed(&settings, engine_bucket::NAME).await?,
                    ),
                    Some(pending) if pending.from == 0 => (Condition::New, None),
                    Some(pending) => (Condition::Outdated(pending.to_string()), None),
                }
            }
        };
        // Noted where tables are of this version.
        let other = engine_bucket::difference(engine, bucket.as_deref());
        Ok(other.map_or(condition, Condition::OtherBucket))
    })
}

/// Tries to reach the bucket of an engine, if it has one. Nothing is written.
///
/// # Errors
/// It cannot be reached or read, and what to do about that.
pub fn reach_bucket(engine: &Engine) -> BoxFuture<'_, Result<(), Problem>> {
    Box::pin(async move {
        match &engine.s3 {
            Some(place) => bucket(place).await?.probe().await,
            None => Ok(()),
        }
    })
}

/// Does to an engine what has to be done ([`look`]), and notes its bucket if none was: whoever
/// changes tables is no server by accident. The bucket is not asked.
///
/// # Errors
/// It cannot be reached, or it fails: what was done by then stays, and it can be gone on
/// with.
pub fn migrate(engine: &Engine) -> BoxFuture<'_, Result<(), Problem>> {
    Box::pin(async move {
        let parts = open_tables(engine, Tables::Migrated).await?;
        engine_bucket::check(&*parts.agreements, engine, FirstBucket::Noted).await
    })
}

/// Has an engine take the bucket of the configuration, or none, for the one that its larger
/// messages are in. No object is asked for or moved.
///
/// # Errors
/// It cannot be reached.
pub fn accept_bucket(engine: &Engine) -> BoxFuture<'_, Result<(), Problem>> {
    Box::pin(async move {
        let parts = open_tables(engine, Tables::Expected).await?;
        engine_bucket::accept(&*parts.agreements, engine).await
    })
}

/// Opens an engine. Its bucket is asked when it is needed, and not before.
///
/// # Errors
/// It cannot be reached, or cannot be used as it is.
pub(crate) async fn open(engine: &Engine, tables: Tables) -> Result<Parts, Problem> {
    open_as(engine, tables, FirstBucket::Noted).await
}

/// The same for whoever is no server: no tables are made, and no bucket is noted.
pub(crate) async fn open_beside_the_server(
    engine: &Engine,
    first: FirstBucket,
) -> Result<Parts, Problem> {
    open_as(engine, Tables::Expected, first).await
}

async fn open_as(engine: &Engine, tables: Tables, first: FirstBucket) -> Result<Parts, Problem> {
    let bucket = match &engine.s3 {
        Some(place) => Some((bucket(place).await?, place.max_inline)),
        None => None,
    };
    let mut parts = open_tables(engine, tables).await?;
    engine_bucket::check(&*parts.agreements, engine, first).await?;
    if let Some((bucket, max_inline)) = bucket {
        parts.blobs = Arc::new(SplitBlobs::new(parts.blobs, Arc::new(bucket), max_inline));
    }
    Ok(parts)
}

/// The same without its bucket.
async fn open_tables(engine: &Engine, tables: Tables) -> Result<Parts, Problem> {
    match &engine.kind {
        EngineKind::Embedded { directory } => {
            let directory = directory.clone();
            in_background(move || {
                let file = file_in(&directory)?;
                let (index, blobs) = embedded_parts(&file, &directory.join(BLOBS), tables)?;
                let index = Arc::new(index);
                Ok(Parts {
                    index: index.clone(),
                    holds: index.clone(),
                    agreements: index,
                    blobs: Arc::new(blobs),
                })
            })
            .await
        }
        EngineKind::Postgres(place) => {
            let settings = postgres_settings(place).await?;
            let index = postgres::Postgres::open(&settings, Retention::default(), tables).await?;
            let connections = match engine.s3 {
                Some(_) => FOR_INLINE,
                None => MAX_CONNECTIONS,
            };
            let blobs = postgres::PostgresBlobs::with_connections(&index, OWN_PLACE, connections)?;
            let index = Arc::new(index);
            Ok(Parts {
                index: index.clone(),
                holds: index.clone(),
                agreements: index,
                blobs: Arc::new(blobs),
            })
        }
    }
}

/// A bucket, with the key that is in the file by now. Asks nobody.
async fn bucket(place: &BucketPlace) -> Result<S3, Problem> {
    const WHAT: &str = "the key to the bucket";
    let place = place.clone();
    in_background(move || {
        let file = &place.credentials_file;
        let text = secret(file, WHAT, MAX_KEY_BYTES)?;
        let credentials = S3Credentials::parse(&text)
            .map_err(|wrong| Problem::invalid(format!("{WHAT} in {}: {wrong}", file.display())))?;
        S3::new(&S3Settings {
            endpoint: place.endpoint.to_string(),
            bucket: place.bucket,
            region: place.region,
            credentials,
            prefix: place.prefix,
            authorities_file: place.ca_file,
            reads_back: place.read_back,
        })
    })
    .await
}

/// The index and the blobs of an embedded engine. The directory of blobs is made before the
/// tables are, and never later: if it is missing beside tables, it is away, and an empty one in its
/// place would have what is garbage in it forgotten.
fn embedded_parts(
    file: &Path,
    blobs: &Path,
    tables: Tables,
) -> Result<(sqlite::Sqlite, Files), Problem> {
    let open_index = || sqlite::Sqlite::open(file, Retention::default(), tables);
    if tables != Tables::Expected && sqlite::has_no_tables(file)? {
        let blobs = Files::open(blobs)?;
        return Ok((open_index()?, blobs));
    }
    let index = open_index()?;
    Ok((index, Files::open_existing(blobs)?))
}

/// How a PostgreSQL is reached, with the password that is in the file by now.
///
/// # Errors
/// The file cannot be read, or there is no password in it.
pub(crate) async fn postgres_settings(
    place: &PostgresPlace,
) -> Result<postgres::Settings, Problem> {
    let password = match place.password_file.clone() {
        Some(file) => Some(in_background(move || password(&file)).await?),
        None => None,
    };
    Ok(postgres::Settings {
        url: place.url.clone(),
        password,
        authorities: place.ca_file.clone(),
    })
}

/// The first line of a file.
fn password(file: &Path) -> Result<Zeroizing<String>, Problem> {
    const WHAT: &str = "the database's password";
    let text = secret(file, WHAT, MAX_PASSWORD_BYTES)?;
    match text.lines().next() {
        None | Some("") => Err(Problem::invalid(format!(
            "{WHAT} in {}: its first line is empty: write the password there",
            file.display()
        ))),
        Some(line) => Ok(Zeroizing::new(line.to_owned())),
    }
}

/// What is in a file, up to so many bytes of it; messages call it `what`.
fn secret(file: &Path, what: &str, max_bytes: u64) -> Result<Zeroizing<String>, Problem> {
    let cannot = |problem: &dyn Display| {
        Problem::invalid(format!("{what} in {}: {problem}", file.display()))
    };
    let mut text = Zeroizing::new(String::new());
    let opened = secret_file::open(file, what).map_err(|error| cannot(&error))?;
    let mut opened = opened.take(max_bytes);
    (opened.read_to_string(&mut text)).map_err(|error| cannot(&error))?;
    Ok(text)
}

/// The engine's file, if nobody but the server's user and root can put another there.
fn file_in(directory: &Path) -> Result<PathBuf, Problem> {
    let shown = directory.display();
    let about = std::fs::metadata(directory)
        .map_err(|error| Problem::invalid(format!("directory {shown}: {error}")))?;
    let user = rustix::process::geteuid().as_raw();
    if ![0, user].contains(&about.uid()) {
        return Err(Problem::invalid(format!(
            "directory {shown} belongs to user number {}, and this runs as user number {user}: run it as the server's user, or give the directory to that user (chown)",
            about.uid()
        )));
    }
    if about.mode() & 0o022 != 0 {
        return Err(Problem::invalid(format!(
            "others may write to directory {shown} (its mode is {:04o}): chmod 0700",
            about.mode() & 0o7777
        )));
    }
    Ok(directory.join(FILE))
}

/// Work that may wait for the disk.
pub(crate) async fn in_background<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    spawn_blocking(work)
        .await
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn embedded(directory: &Path) -> Engine {
        Engine {
            name: "e".into(),
            kind: EngineKind::Embedded {
                directory: directory.into(),
            },
            s3: None,
        }
    }

    #[tokio::test]
    async fn an_embedded_engine_is_made_once_and_is_one_process_es() {
        let directory = tempfile::tempdir().unwrap();
        let engine = embedded(directory.path());
        assert_eq!(look(&engine).await, Ok(Condition::New));
        let opened = open(&engine, Tables::Made).await.unwrap();
        assert_eq!(look(&engine).await, Ok(Condition::Ready));
        let second = open(&engine, Tables::Made).await.unwrap_err().to_string();
        assert!(second.contains("only one process can"), "{second}");
        drop(opened);
    }

    /// It may be a mount of its own, whose file system is away.
    #[tokio::test]
    async fn blobs_that_are_away_are_not_made_anew() {
        let directory = tempfile::tempdir().unwrap();
        let engine = embedded(directory.path());
        let blobs = directory.path().join(BLOBS);
        // As a process leaves it that is killed before it has made the tables.
        fs::create_dir(&blobs).unwrap();
        drop(open(&engine, Tables::Migrated).await.unwrap());
        fs::write(blobs.join("tmp/kept"), "").unwrap();
        let away = directory.path().join("away");
        fs::rename(&blobs, &away).unwrap();
        for is_mount_point in [false, true] {
            if is_mount_point {
                fs::create_dir(&blobs).unwrap();
            }
            for tables in [Tables::Expected, Tables::Made, Tables::Migrated] {
                let refused = open(&engine, tables).await.unwrap_err();
                assert!(matches!(refused, Problem::Unavailable(_)), "{refused}");
                assert!(refused.to_string().contains("bring back"), "{refused}");
            }
            let looked = look(&engine).await.unwrap_err().to_string();
            assert!(looked.contains("bring back"), "{looked}");
        }
        assert_eq!(
            fs::read_dir(&blobs).unwrap().count(),
            0,
            "something was made"
        );
        fs::remove_dir(&blobs).unwrap();
        fs::rename(&away, &blobs).unwrap();
        assert_eq!(look(&engine).await, Ok(Condition::Ready));
        drop(open(&engine, Tables::Expected).await.unwrap());
        assert!(blobs.join("tmp/kept").exists());
    }

    #[tokio::test]
    async fn a_directory_that_others_may_write_to_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let open_to_all = fs::Permissions::from_mode(0o777);
        fs::set_permissions(directory.path(), open_to_all).unwrap();
        let refused = open(&embedded(directory.path()), Tables::Made)
            .await
            .unwrap_err();
        assert!(refused.to_string().contains("chmod 0700"), "{refused}");
        let missing = embedded(&directory.path().join("none"));
        assert!(open(&missing, Tables::Made).await.is_err() && look(&missing).await.is_err());
    }

    /// A port that nobody listens at.
    #[tokio::test]
    async fn a_database_that_does_not_answer_is_told() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let engine = Engine {
            name: "db".into(),
            kind: EngineKind::Postgres(PostgresPlace {
                url: format!("postgresql://r@127.0.0.1:{port}/d"),
                password_file: None,
                ca_file: None,
            }),
            s3: None,
        };
        let problem = look(&engine).await.unwrap_err();
        assert!(matches!(problem, Problem::Unavailable(_)), "{problem}");
    }

    #[tokio::test]
    async fn what_is_wrong_with_the_key_to_a_bucket_is_told_without_it() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("key");
        let text = format!(
            "[engine.e]\nkind = 'embedded'\ndirectory = '.'\n\
             [engine.e.s3]\nendpoint = 'http://127.0.0.1:9'\nbucket = 'b'\ncredentials-file = {file:?}\n\
             [listener.l]\naddress = '127.0.0.1:0'\ntls = 'off'\n\
             [plugin.p]\ncomponent = 'builtin:spool'\ngrants.maildrop = 'engine:e/{{user}}'\n\
             [tenant.t]\nauthenticators = ['p']\nstore = 'p'\n"
        );
        // A configuration names no file that is not there.
        fs::write(&file, "").unwrap();
        let config = restante_config::Config::parse(&text, "t".as_ref(), directory.path());
        let engine = config.unwrap().engines.remove(0);
        fs::remove_file(&file).unwrap();
        for (key, words) in [
            (None, "the key to the bucket in"),
            (Some("hidden"), "line 1"),
            (
                Some("aws_access_key_id = hidden"),
                "aws_secret_access_key is missing",
            ),
        ] {
            if let Some(key) = key {
                fs::write(&file, key).unwrap();
                fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
            }
            let told = [
                open(&engine, Tables::Made).await.unwrap_err().to_string(),
                reach_bucket(&engine).await.unwrap_err().to_string(),
            ];
            for told in told {
                assert!(told.contains(words) && !told.contains("hidden"), "{told}");
            }
            assert_eq!(look(&engine).await, Ok(Condition::New));
        }
        fs::write(&file, "aws_access_key_id = k\naws_secret_access_key = s\n").unwrap();
        drop(open(&engine, Tables::Made).await.unwrap());
        // Nobody listens there.
        let away = reach_bucket(&engine).await;
        assert!(matches!(away, Err(Problem::Unavailable(_))), "{away:?}");
    }
}

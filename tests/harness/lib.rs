//! What the tests of the whole server share: a site (a directory with users,
//! maildrops and a configuration), the running server, a POP3 client that
//! hides nothing, and the messages.
//!
//! Everything here looks at the server from outside: it knows the command
//! line, the configuration file, the wire, the log and the Maildir on disk,
//! and none of the server's crates. A broken expectation panics with what was
//! seen, because its only callers are tests and the benchmark.
#![allow(
    clippy::unwrap_used,
    reason = "a test harness: a panic is how it reports"
)]

mod bucket;
mod certificate;
mod idp;
mod mail;
mod maildir;
mod mount;
mod object_store;
mod pop3;
mod postgres;
mod s3_server;
mod server;
mod site;
mod sqlite;
mod tls;
mod tools;

pub use bucket::Bucket;
pub use certificate::{Certificate, private_key};
pub use idp::{Answer, Asked, Idp};
pub use mail::{corpus, long_line, own_messages, repository, ten_megabytes};
pub use maildir::Maildir;
pub use mount::SmallFileSystem;
pub use object_store::{CREDENTIALS, Fault, ObjectStore, Store, serve as serve_objects};
pub use pop3::{Pop3, Status};
pub use postgres::{PgBouncer, Postgres};
pub use s3_server::{S3Kind, S3Server};
pub use server::{
    Finished, Process, Server, binary, plugin_in_another_language, run_to_end, test_guest,
};
pub use site::{Listener, Plugin, Site, Tenant};
pub use sqlite::sqlite;
pub use tls::Stream;
pub use tools::{Tool, python, require};

use std::time::{Duration, Instant};

/// The longest a test waits for anything, in seconds: far above what a slow
/// two-core machine under load needs, so that only a real hang gets there.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// How long between two looks at something that is waited for.
pub const GLANCE: Duration = Duration::from_millis(10);

/// Looks again and again until `seen` gives something, and panics with `what`
/// after [`PATIENCE`].
pub fn wait_for<T>(what: &str, mut seen: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = seen() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}");
        std::thread::sleep(GLANCE);
    }
}

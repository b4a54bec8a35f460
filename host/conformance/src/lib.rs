//! The conformance kit: what each role owes the host and POP3, asked of a plugin
//! without a mail client. Each check has a rule; a failed one says what was sent
//! and what came back.
//!
//! Knows the roles as [`backend`](restante_roles::backend) has them, and what a view makes
//! of verdicts. How a component becomes a role is not its business.

mod admission;
mod authenticator;
mod filter;
mod messages;
mod selector;
mod store;

use std::fmt::{self, Display};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use std::{fs, io};

use serde::Serialize;
use tokio::time::Instant;

use restante_roles::address::Client;
use restante_roles::backend::{
    Account, Admission, Attributes, Authenticator, ClientCertificate, Connection, Failure, Filter,
    Selector, Store, Tls,
};
use restante_roles::metrics::Ledger;

pub use filter::message;

/// A plugin's roles, and what they are asked about.
pub struct Candidate {
    /// Each role that it has.
    pub authenticator: Option<Arc<dyn Authenticator>>,
    /// See above.
    pub store: Option<Arc<dyn Store>>,
    /// See above.
    pub filter: Option<Arc<dyn Filter>>,
    /// See above.
    pub selector: Option<Arc<dyn Selector>>,
    /// See above.
    pub admission: Option<Arc<dyn Admission>>,
    /// A user whom the authenticator knows, and the password.
    pub user: Option<(String, String)>,
    /// Where stores find mail.
    pub maildrops: Maildrops,
}

impl Candidate {
    /// A client from this address. Each is of a tenant of its own: a plugin that
    /// fails does not get a rest for it, and no listing is remembered.
    fn connection(&self, client: Client, tls: Option<Tls>) -> Arc<Connection> {
        static TENANTS: AtomicU32 = AtomicU32::new(0);
        let tenant = format!("kit{}", TENANTS.fetch_add(1, Ordering::Relaxed));
        Arc::new(Connection {
            session: "kit".into(),
            ledger: Ledger::new(&tenant),
            tenant,
            listener: "kit".into(),
            client,
            penalised: false,
            tls,
            recording: None,
        })
    }

    fn usual_connection(&self) -> Arc<Connection> {
        let tls = Tls {
            version: "TLSv1.3".into(),
            cipher: "TLS13_AES_256_GCM_SHA384".into(),
            server_name: Some("pop.example.org".into()),
            client_certificate: None,
        };
        // RFC 5737: an address for documentation.
        self.connection(Client::at(([192, 0, 2, 7], 54321).into()), Some(tls))
    }

    /// The same for a client that has shown this certificate, in DER.
    fn connection_with_certificate(&self, der: Vec<u8>) -> Arc<Connection> {
        let mut connection = (*self.usual_connection()).clone();
        let tenant = connection.tenant.clone();
        let tls = connection.tls.as_mut().expect("the usual one has TLS");
        tls.client_certificate = Some(ClientCertificate { der, tenant });
        Arc::new(connection)
    }

    fn account(&self, maildrop: &str) -> Account {
        let user = match &self.user {
            Some((user, _)) => user.clone(),
            None => "kit@example.org".into(),
        };
        Account {
            user,
            maildrop: maildrop.into(),
            attributes: Attributes::default(),
        }
    }
}

/// Maildrops to try things on: each a copy of its own, so that nothing that is
/// removed is missed.
#[derive(Clone)]
pub struct Maildrops {
    source: PathBuf,
    root: PathBuf,
    made: Arc<AtomicU32>,
}

/// Octets and files of a maildrop that is copied for each check.
const COPIED_OCTETS: u64 = 1 << 30;
const COPIED_FILES: usize = 100_000;

impl Maildrops {
    /// Copies of `source` appear below `root`, which stands in the grant as
    /// `root/{maildrop}`.
    pub fn of(source: PathBuf, root: PathBuf) -> Self {
        let made = Arc::default();
        Maildrops { source, root, made }
    }

    /// Copies of another maildrop, in the same place.
    #[must_use]
    pub fn beside(&self, source: PathBuf) -> Self {
        Maildrops {
            source,
            ..self.clone()
        }
    }

    /// Copies of a Maildir of the kit's own messages, which is made in `folder`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn sample(folder: &Path, root: PathBuf) -> io::Result<Self> {
        let source = folder.join("sample");
        for part in ["cur", "new", "tmp"] {
            fs::create_dir_all(source.join(part))?;
        }
        for (position, (_, octets)) in messages::all().into_iter().enumerate() {
            let (directory, flags) = match position % 2 {
                0 => ("new", ""),
                _ => ("cur", ":2,S"),
            };
            let name = format!("{}.M{position}P1.kit{flags}", 1_700_000_000 + position);
            fs::write(source.join(directory).join(name), octets)?;
        }
        Ok(Maildrops::of(source, root))
    }

    /// The name of a new copy, as an account has it.
    ///
    /// # Errors
    /// When the maildrop cannot be copied, or is too large for that.
    pub fn fresh(&self) -> io::Result<String> {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let name = format!("copy{number}");
        let mut left = (COPIED_FILES, COPIED_OCTETS);
        copy(&self.source, &self.root.join(&name), &mut left)?;
        Ok(name)
    }

    /// What is not needed any more takes no room.
    fn discard(&self, name: &str) {
        let _ = fs::remove_dir_all(self.root.join(name));
    }
}

/// Regular files and directories; with their times, which stores may go by.
fn copy(from: &Path, to: &Path, left: &mut (usize, u64)) -> io::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let about = entry.metadata()?;
        let target = to.join(entry.file_name());
        if about.is_dir() {
            copy(&entry.path(), &target, left)?;
        } else if about.is_file() {
            let files = left.0.checked_sub(1);
            let octets = left.1.checked_sub(about.len());
            let (Some(files), Some(octets)) = (files, octets) else {
                return Err(io::Error::other(format!(
                    "it has more than {COPIED_FILES} files or {COPIED_OCTETS} octets: give a smaller one"
                )));
            };
            *left = (files, octets);
            fs::copy(entry.path(), &target)?;
            let modified = about.modified()?;
            fs::File::options()
                .append(true)
                .open(&target)?
                .set_modified(modified)?;
        }
    }
    let modified = fs::metadata(from)?.modified()?;
    fs::File::open(to)?.set_modified(modified)
}

/// What became of one check.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// The role that it is about.
    pub role: &'static str,
    /// What was checked.
    pub check: &'static str,
    /// What it is checked by, and where that is said.
    pub rule: &'static str,
    /// How it went.
    #[serde(flatten)]
    pub result: CheckResult,
    /// How long it took.
    pub milliseconds: u64,
    /// What was logged meanwhile, by the plugin and about it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<String>,
}

/// How a check went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "result", rename_all = "lowercase")]
pub enum CheckResult {
    /// As it should.
    Passed,
    /// The rule is broken.
    Failed {
        /// What the plugin was asked.
        sent: String,
        /// What came of it.
        got: String,
    },
    /// There was nothing to check it with.
    Skipped {
        /// What is missing.
        why: String,
    },
}

/// Takes what was logged since it was asked last.
pub type TakeLog<'a> = &'a (dyn Fn() -> Vec<String> + Sync);

/// Every check of every role that the candidate has. `told` hears of each as soon
/// as it is done.
pub async fn examine(
    candidate: &Candidate,
    take_log: TakeLog<'_>,
    told: &mut (dyn FnMut(&Outcome) + Send),
) -> Vec<Outcome> {
    let mut exam = Exam {
        candidate,
        take_log,
        told,
        role: "",
        outcomes: Vec::new(),
    };
    if let Some(role) = &candidate.authenticator {
        authenticator::examine(exam.of("authenticator"), &**role).await;
    }
    if let Some(role) = &candidate.store {
        store::examine(exam.of("store"), role).await;
    }
    if let Some(role) = &candidate.filter {
        filter::examine(exam.of("filter"), &**role).await;
    }
    if let Some(role) = &candidate.selector {
        selector::examine(exam.of("selector"), &**role).await;
    }
    if let Some(role) = &candidate.admission {
        admission::examine(exam.of("admission"), &**role).await;
    }
    exam.outcomes
}

/// An examination under way.
struct Exam<'e> {
    candidate: &'e Candidate,
    take_log: TakeLog<'e>,
    told: &'e mut (dyn FnMut(&Outcome) + Send),
    role: &'static str,
    outcomes: Vec<Outcome>,
}

impl<'e> Exam<'e> {
    fn of(&mut self, role: &'static str) -> &mut Exam<'e> {
        self.role = role;
        self
    }

    async fn check(
        &mut self,
        check: &'static str,
        rule: &'static str,
        work: impl Future<Output = Checked> + Send,
    ) {
        let begun = Instant::now();
        let result = match work.await {
            Ok(()) => CheckResult::Passed,
            Err(Fault::Broken { sent, got }) => CheckResult::Failed { sent, got },
            Err(Fault::Skip(why)) => CheckResult::Skipped { why },
        };
        let outcome = Outcome {
            role: self.role,
            check,
            rule,
            result,
            milliseconds: whole_milliseconds(begun.elapsed()),
            log: (self.take_log)(),
        };
        (self.told)(&outcome);
        self.outcomes.push(outcome);
    }
}

fn whole_milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Why a check did not pass.
enum Fault {
    Broken { sent: String, got: String },
    Skip(String),
}

type Checked<T = ()> = Result<T, Fault>;

fn broken<T>(sent: impl Display, got: impl Display) -> Checked<T> {
    Err(Fault::Broken {
        sent: sent.to_string(),
        got: got.to_string(),
    })
}

fn skip<T>(why: impl Into<String>) -> Checked<T> {
    Err(Fault::Skip(why.into()))
}

/// Holds the answer to this question?
fn expect(holds: bool, sent: impl Display, got: impl Display) -> Checked {
    if holds { Ok(()) } else { broken(sent, got) }
}

/// A call that must be served.
fn served<T>(answer: Result<T, Failure>, sent: impl Display) -> Checked<T> {
    answer.or_else(|failure| broken(sent, format_args!("it failed, {failure}")))
}

/// A name or a message as a report shows it: printable, and not endless.
struct Shown<'a>(&'a [u8]);

/// Octets of it that are shown.
const SHOWN_OCTETS: usize = 60;

impl Display for Shown<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cut = self.0.len().min(SHOWN_OCTETS);
        write!(out, "\"{}\"", self.0[..cut].escape_ascii())?;
        match self.0.len() - cut {
            0 => Ok(()),
            more => write!(out, " and {more} more octets"),
        }
    }
}

/// Names that have got the better of somebody before, each with what it tries.
fn unpleasant_names() -> Vec<(String, &'static str)> {
    let long = "x".repeat(64 * 1024);
    let names = [
        ("", "no name at all"),
        (" ", "a blank"),
        ("..", "the directory above"),
        ("../../etc/passwd", "a way out of the directory"),
        ("/etc/passwd", "an absolute path"),
        ("a/b", "a slash"),
        ("a\\b", "a backslash"),
        ("'", "a quote"),
        ("' OR '1'='1", "an injection into SQL"),
        ("\"", "a double quote"),
        ("*)(uid=*", "an injection into LDAP"),
        ("%s%n%00", "format and URL escapes"),
        ("{user}", "a placeholder"),
        ("$(id)`id`", "a shell's substitution"),
        ("a\0b", "a NUL"),
        ("a\r\nb:c", "a line end"),
        ("a:b", "a colon"),
        ("@", "a domain of no name"),
        ("@example.org", "no local part"),
        ("a@b@c", "two domains"),
        ("\u{fc}\u{df}\u{4f60}", "UTF-8"),
        ("a\u{202e}b", "a letter that turns the direction round"),
    ];
    let mut names: Vec<_> = names
        .into_iter()
        .map(|(name, what)| (name.to_owned(), what))
        .collect();
    names.push((long, "64 KiB"));
    names
}

//! Checks, what became of them, and what they are made of.

use std::fmt::{self, Display};
use std::time::Duration;

use restante_roles::backend::Failure;
use serde::Serialize;
use tokio::time::Instant;

use crate::candidate::Candidate;

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

/// An examination under way.
pub(crate) struct Exam<'e> {
    pub(crate) candidate: &'e Candidate,
    pub(crate) take_log: TakeLog<'e>,
    pub(crate) told: &'e mut (dyn FnMut(&Outcome) + Send),
    pub(crate) role: &'static str,
    pub(crate) outcomes: Vec<Outcome>,
}

impl<'e> Exam<'e> {
    pub(crate) fn of(&mut self, role: &'static str) -> &mut Exam<'e> {
        self.role = role;
        self
    }

    pub(crate) async fn check(
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
pub(crate) enum Fault {
    Broken { sent: String, got: String },
    Skip(String),
}

pub(crate) type Checked<T = ()> = Result<T, Fault>;

pub(crate) fn broken<T>(sent: impl Display, got: impl Display) -> Checked<T> {
    Err(Fault::Broken {
        sent: sent.to_string(),
        got: got.to_string(),
    })
}

pub(crate) fn skip<T>(why: impl Into<String>) -> Checked<T> {
    Err(Fault::Skip(why.into()))
}

/// Holds the answer to this question?
pub(crate) fn expect(holds: bool, sent: impl Display, got: impl Display) -> Checked {
    if holds { Ok(()) } else { broken(sent, got) }
}

/// A call that must be served.
pub(crate) fn served<T>(answer: Result<T, Failure>, sent: impl Display) -> Checked<T> {
    answer.or_else(|failure| broken(sent, format_args!("it failed, {failure}")))
}

/// A name or a message as a report shows it: printable, and not endless.
pub(crate) struct Printable<'a>(pub(crate) &'a [u8]);

/// Octets of it that are shown.
const SHOWN_OCTETS: usize = 60;

impl Display for Printable<'_> {
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
pub(crate) fn unpleasant_names() -> Vec<(String, &'static str)> {
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

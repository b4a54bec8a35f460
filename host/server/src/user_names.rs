//! How log lines show what a client gave for a user name.
//!
//! It may be no name: people type their password there, and log in with the right name
//! and that password a moment later. So a failed login's name is shown as it is only where
//! something speaks for it being one:
//!
//! 1. With it somebody has logged in since the server started (it is in the log anyway), or
//! 2. it is a plain name of a domain that a tenant claims, or
//! 3. it looks like a name (letters of any script, digits and some signs, of bounded length),
//!    and the operator wants all that do ([`UserNames::Full`]).
//!
//! Never where the client showed the same text for a password too, in this attempt or in one
//! before it on the same connection. Everything else is shown as a digest: the same text has
//! the same digest for as long as the process lives, so that repeats can be seen, and nobody
//! who has the log alone can tell what it was.
//!
//! Nobody is asked for any of this, and it happens while the client waits for its penalty:
//! the client learns nothing by it.

use std::fmt;
use std::hash::{BuildHasher, RandomState};

use lru::LruCache;
use parking_lot::{Mutex, MutexGuard};
use restante_pop3::Secret;

use restante_config::UserNames;

/// Characters of a name that are shown.
const MAX_SHOWN_CHARACTERS: usize = 128;

/// Names with which somebody logged in that are remembered, by digest; for one more, that
/// which was used least recently is forgotten. Some 100 bytes each.
const MAX_KNOWN: usize = 64 * 1024;

/// Octets of a local part, and of a whole name (RFC 5321 section 4.5.3.1).
const MAX_LOCAL_OCTETS: usize = 64;
const MAX_NAME_OCTETS: usize = 254;

/// Signs in names, beside letters and digits.
const SIGNS: &str = "._+-@=/%\\";

/// Octets of the shortest name that is looked for within other texts.
const MIN_SEARCHED_OCTETS: usize = 4;

/// Passwords of one connection that are compared with names: the latest.
const MAX_PASSWORDS: usize = 8;

/// The names that are known to be some, of the whole process.
#[derive(Debug)]
pub struct KnownNames {
    /// Keyed at random, once for each process.
    hasher: RandomState,
    known: Mutex<LruCache<u64, ()>>,
}

impl Default for KnownNames {
    fn default() -> Self {
        KnownNames::new()
    }
}

impl KnownNames {
    /// None are.
    pub fn new() -> Self {
        KnownNames {
            hasher: RandomState::new(),
            // Bounded in `logged_in`: a bounded one takes all its room at once.
            known: Mutex::new(LruCache::unbounded()),
        }
    }

    /// Somebody has logged in under this name.
    pub fn logged_in(&self, name: &str) {
        let digest = self.digest(name);
        let mut known = self.known();
        known.put(digest, ());
        while known.len() > MAX_KNOWN {
            known.pop_lru();
        }
    }

    /// How the name of a failed login is shown. `is_claimed`: it ends in a domain that a
    /// tenant claims; `passwords`: what the client showed for passwords so far, in this
    /// attempt too.
    pub fn shown(
        &self,
        name: &str,
        setting: UserNames,
        is_claimed: bool,
        passwords: &Passwords,
    ) -> ShownName {
        let digest = self.digest(name);
        let looks_like_one = match setting {
            UserNames::Known => is_claimed && is_plain(name),
            UserNames::Full => is_plain(name),
        };
        let is_name = looks_like_one || self.known().contains(&digest);
        match (is_name && !passwords.0.contains(&digest)) || name.is_empty() {
            true => ShownName::Whole(name.to_owned()),
            false => ShownName::Digest(digest, Secret::from(name.to_owned())),
        }
    }

    fn digest(&self, text: &str) -> u64 {
        self.hasher.hash_one(text)
    }
    fn known(&self) -> MutexGuard<'_, LruCache<u64, ()>> {
        self.known.lock()
    }
}

/// What a client showed for passwords on one connection, beyond recognition but for this
/// process.
#[derive(Debug, Default)]
pub struct Passwords(Vec<u64>);

impl Passwords {
    /// One more.
    pub fn add(&mut self, names: &KnownNames, password: &str) {
        let digest = names.digest(password);
        if !self.0.contains(&digest) {
            if self.0.len() == MAX_PASSWORDS {
                self.0.remove(0);
            }
            self.0.push(digest);
        }
    }
}

/// A failed login's name, fit for a log line.
#[derive(Debug)]
pub enum ShownName {
    /// As the client gave it.
    Whole(String),
    /// It may be something else.
    Digest(u64, Secret),
}

impl ShownName {
    /// A text in which the name may stand, as it may be shown.
    pub fn hide_in(&self, text: String) -> String {
        match self {
            ShownName::Digest(_, name) if name.expose().len() >= MIN_SEARCHED_OCTETS => {
                // Plugins are told its domain in another case, and without a final dot.
                let name = name.expose().trim_end_matches('.');
                // As it stands in texts that were quoted, too.
                let quoted = format!("{name:?}");
                let inside = &quoted[1..quoted.len() - 1];
                redact(&redact(&text, name), inside)
            }
            _ => text,
        }
    }
}

/// The text without the name, in any case.
fn redact(text: &str, name: &str) -> String {
    let mut rest = text;
    let mut redacted = String::with_capacity(text.len());
    while let Some(next) = rest.chars().next() {
        let there = rest.get(..name.len());
        if !name.is_empty() && there.is_some_and(|there| there.eq_ignore_ascii_case(name)) {
            redacted.push_str("<redacted>");
            rest = &rest[name.len()..];
        } else {
            redacted.push(next);
            rest = &rest[next.len_utf8()..];
        }
    }
    redacted
}

impl fmt::Display for ShownName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ShownName::Whole(name) => write!(out, "{:?}", Name(name)),
            ShownName::Digest(digest, name) => {
                let octets = name.expose().len();
                // Half of the digest is enough to see repeats.
                let digest = digest >> 32;
                write!(out, "\"<redacted, {octets} octets, {digest:08x}>\"")
            }
        }
    }
}

/// Whether a text looks like a user name or an address.
fn is_plain(name: &str) -> bool {
    let local = name.rsplit_once('@').map_or(name, |(local, _)| local);
    name.len() <= MAX_NAME_OCTETS
        && local.len() <= MAX_LOCAL_OCTETS
        && name
            .chars()
            .all(|letter| letter.is_alphanumeric() || SIGNS.contains(letter))
}

/// A name that is one (an account's, or one that the server was told by its operator), fit
/// for a log line: quoted, control characters escaped, cut.
pub struct Name<'a>(pub &'a str);

impl fmt::Debug for Name<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self.0.char_indices().nth(MAX_SHOWN_CHARACTERS);
        match end {
            Some((end, _)) => write!(out, "{:?}…", &self.0[..end]),
            None => write!(out, "{:?}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(names: &KnownNames, name: &str, setting: UserNames, is_claimed: bool) -> String {
        let passwords = Passwords::default();
        names
            .shown(name, setting, is_claimed, &passwords)
            .to_string()
    }

    #[test]
    fn names_cannot_forge_log_lines() {
        let name = format!("{:?}", Name("a\r\nlogin user=\"b\"\x1b[2J\u{202e}"));
        assert_eq!(name, r#""a\r\nlogin user=\"b\"\u{1b}[2J\u{202e}""#);
        let long = "ä".repeat(500);
        let logged = format!("{:?}", Name(&long));
        assert_eq!(logged.chars().count(), MAX_SHOWN_CHARACTERS + 3);
    }

    #[test]
    fn what_nothing_speaks_for_is_shown_as_a_digest() {
        let names = KnownNames::new();
        let first = shown(&names, "hunter2", UserNames::Known, false);
        assert!(first.starts_with("\"<redacted, 7 octets, "), "{first}");
        assert!(!first.contains("hunter2"));
        assert_eq!(first, shown(&names, "hunter2", UserNames::Known, false));
        assert_ne!(first, shown(&names, "hunter3", UserNames::Known, false));
        let restarted = KnownNames::new();
        assert_ne!(first, shown(&restarted, "hunter2", UserNames::Known, false));
        assert_eq!(shown(&names, "", UserNames::Known, false), "\"\"");
    }

    #[test]
    fn what_somebody_logged_in_with_is_a_name() {
        let names = KnownNames::new();
        names.logged_in("O'Brien, Tom");
        for setting in [UserNames::Known, UserNames::Full] {
            assert_eq!(
                shown(&names, "O'Brien, Tom", setting, false),
                "\"O'Brien, Tom\""
            );
            assert!(shown(&names, "o'brien, tom", setting, false).contains("redacted"));
        }
        for number in 0..MAX_KNOWN {
            names.logged_in(&number.to_string());
        }
        assert!(shown(&names, "O'Brien, Tom", UserNames::Known, false).contains("redacted"));
        assert_eq!(names.known().len(), MAX_KNOWN);
    }

    #[test]
    fn plain_names_of_a_claimed_domain_are_names() {
        let names = KnownNames::new();
        for (name, is_name) in [
            ("ada@example.org", true),
            ("ada.lovelace+x@example.org", true),
            ("жанна@example.org", true),
            ("correct horse@example.org", false),
            ("Tr0ub4dor&3@example.org", false),
            (&format!("{}@example.org", "x".repeat(64)), true),
            (&format!("{}@example.org", "x".repeat(65)), false),
        ] {
            let known = shown(&names, name, UserNames::Known, true);
            assert_eq!(!known.contains("redacted"), is_name, "{name}: {known}");
            assert!(shown(&names, name, UserNames::Known, false).contains("redacted"));
            let full = shown(&names, name, UserNames::Full, false);
            assert_eq!(!full.contains("redacted"), is_name, "{name}: {full}");
        }
    }

    #[test]
    fn what_was_shown_for_a_password_is_no_name() {
        let names = KnownNames::new();
        names.logged_in("hunter2");
        let mut passwords = Passwords::default();
        passwords.add(&names, "hunter2");
        for setting in [UserNames::Known, UserNames::Full] {
            let name = names.shown("hunter2", setting, true, &passwords);
            assert!(!name.to_string().contains("hunter2"), "{name}");
        }
        for number in 0..100 {
            passwords.add(&names, &number.to_string());
        }
        assert_eq!(passwords.0.len(), MAX_PASSWORDS);
    }

    #[test]
    fn a_name_that_is_not_shown_is_not_in_the_reason_either() {
        let names = KnownNames::new();
        let passwords = Passwords::default();
        let setting = UserNames::Known;
        let name = names.shown("hunt\"er2", setting, false, &passwords);
        let hidden = name.hide_in("hunt\"er2 is unknown: \"hunt\\\"er2\"".to_owned());
        assert_eq!(hidden, "<redacted> is unknown: \"<redacted>\"");
        let domain = names.shown("hunter@TWO.", setting, false, &passwords);
        let hidden = domain.hide_in("é hunter@two is unknown".to_owned());
        assert_eq!(hidden, "é <redacted> is unknown");
        let short = names.shown("in", setting, false, &passwords);
        assert_eq!(short.hide_in("maildrop in use".into()), "maildrop in use");
    }
}

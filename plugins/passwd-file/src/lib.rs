//! `passwd-file`: authenticates against a file of lines
//!
//! ```text
//! user:hash[:maildrop[:key=value …]]
//! ```
//!
//! Blank lines and lines that begin with `#` are passed over. The hash is
//! whatever [`passwords::verify`] takes, or several of it with `|` between them, of
//! which the first is what passwords are checked against; a field that begins with
//! `!` or `*` locks the user out. The maildrop is the user where it is left out or empty.
//! Attributes are parted by blanks and are handed on to store and filters. Of
//! several lines for one user the first counts.
//!
//! Settings:
//! - `file`: its path inside a granted directory;
//! - `case`: `exact` (the default), or `fold` to compare and to report user
//!   names in lower case ([`restante_guest::users::Case`]);
//! - `legacy-hashes`: `true` to check the hashes that migrations bring ([`legacy`]) too;
//! - `rehash`: the scheme of the hashes that these are replaced by, at a login, in the file
//!   ([`rehash`]).
//!
//! A line that cannot be used locks its user: a login fails as with a wrong password, and as
//! late. The log says why, at each start and reload, and at each such login.
//!
//! The file is read anew for each login, from its first line to its last:
//! nothing is kept, a change counts at once, and how long it takes says nothing
//! about who is in it. For the same reason the secret of an unknown user is
//! verified too, against the first hash of the file.
//!
//! SCRAM is judged with the keys of `{SCRAM-SHA-256}` and `{SCRAM-SHA-1}`, or with
//! keys that the host makes of a `{PLAIN}` password; APOP and CRAM-MD5 with `{PLAIN}`
//! alone. What is offered is settled when the host loads its configuration. What a login needs is asked
//! of the host through [`files`]: WASI would cost it a thread for each question.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod check;
mod digest;
mod file;
mod hash;
mod keys;
mod legacy;
mod offer;
mod rehash;
#[cfg(test)]
mod tests;

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use restante_guest::accepts::{Accepts, Kinds};
use restante_guest::files::Reader;
use restante_guest::passwords::HashScheme;
use restante_guest::prelude::*;
use restante_guest::scram::{Hash, Keys, Scram};

use crate::digest::Response;
use crate::file::{Entry, Line, Rules, Search, StandIn};
use crate::keys::Wanted;
use crate::rehash::Unchanged;

struct PasswdFile;

restante_guest::export! {
    authenticator: PasswdFile,
    accepts: PasswdFile,
    scram: PasswdFile,
    settings: PasswdFile,
}

restante_guest::describe_settings! {
    "file": "where the users are, inside a granted directory",
    "case": "\"fold\" compares and reports user names in lower case; \"exact\" if it is not set",
    "legacy-hashes": "true checks hashes of other servers that are fast to guess; false if it is not set",
    "rehash": "\"argon2id\" or another scheme of new hashes: a login replaces its legacy hash in the file; never if it is not set",
}

/// Times that the file is read again because it changed meanwhile.
const RETRIES: u32 = 3;

impl Authenticator for PasswdFile {
    fn authenticate(_: Connection, credentials: Credentials) -> Result<Account, Denial> {
        let settings = Settings::of_the_host()?;
        match credentials {
            Credentials::Password {
                user,
                acting_as,
                secret,
            } => {
                let search = settings.search(&user, StandIn::Hash)?;
                let attempt = Attempt { acting_as, secret };
                let (number, entry) = decide(&settings, search, &attempt, &mut verify)?;
                settings.after_login(number, &entry, &attempt.secret);
                Ok(entry.into_account())
            }
            Credentials::Digest {
                user,
                algorithm,
                challenge,
                response,
            } => {
                let search = settings.search(&user, StandIn::Clear)?;
                let response = Response {
                    algorithm,
                    challenge,
                    digest: response,
                };
                decide_by_digest(&settings, search, &response)
            }
            Credentials::Bearer { .. } | Credentials::Certificate { .. } => Err(Denial::Unknown),
        }
    }
}

impl Accepts for PasswdFile {
    fn accepts() -> Kinds {
        let kinds = Settings::parse(settings::all()).map(|settings| {
            let path = settings.path();
            from_one_file(|| offer::kinds(Reader::open(&path)?, settings.rules, &mut verify))
        });
        // What is wrong with the settings or the file, `validate` says.
        match kinds {
            Ok(Ok(kinds)) => kinds,
            Ok(Err(_)) | Err(_) => Kinds::PASSWORD,
        }
    }
}

impl Scram for PasswdFile {
    fn lookup(
        _: Connection,
        user: String,
        acting_as: Option<String>,
        hash: Hash,
    ) -> Result<Keys, Denial> {
        let settings = Settings::of_the_host()?;
        let search = settings.search(&user, StandIn::Clear)?;
        let wanted = Wanted {
            user,
            acting_as,
            hash,
        };
        keys::look_up(&settings, search, &wanted, &mut passwords::derive_scram)
    }
}

impl Validate for PasswdFile {
    fn validate() -> Result<(), Vec<String>> {
        let settings = Settings::parse(settings::all())?;
        let path = settings.path();
        let looked = from_one_file(|| {
            let file = Reader::open(&path)?;
            check::file(file, settings.rules, &mut verify)
        });
        let lines = looked
            .map_err(|error| vec![format!("file: {} cannot be read: {error}", settings.file)])?;
        for line in lines {
            log::warn!("{}: {line}", settings.file);
        }
        if settings.rehash.is_some() {
            rehash::check(&path).map_err(|problem| vec![format!("rehash: {problem}")])?;
        }
        Ok(())
    }
}

/// Checks a password against a hash: here what is computed at once, by the host what takes its
/// time. Whether legacy hashes are taken at all is settled when a line is read.
fn verify(hash: &str, secret: &str) -> Result<bool, String> {
    match legacy::parse(hash) {
        None => passwords::verify(hash, secret),
        Some(Ok(legacy)) => Ok(legacy.verify(secret)),
        Some(Err(legacy::Malformed { scheme })) => {
            Err(format!("the {{{scheme}}} hash is malformed"))
        }
    }
}

struct Settings {
    file: String,
    rules: Rules,
    /// What legacy hashes are replaced by.
    rehash: Option<HashScheme>,
}

impl Settings {
    /// As they are now.
    fn of_the_host() -> Result<Settings, Failure> {
        Settings::parse(settings::all()).map_err(|problems| {
            log::error!("{}", problems.join("; "));
            Failure::permanent("the user list is not set up")
        })
    }

    fn parse(all: Vec<(String, String)>) -> Result<Settings, Vec<String>> {
        let mut problems = Vec::new();
        let mut file = None;
        let mut rules = Rules::default();
        let mut rehash = None;
        for (key, value) in all {
            match (key.as_str(), value.as_str()) {
                ("file", "") => {}
                ("file", _) => file = Some(value),
                ("case", _) => match value.parse() {
                    Ok(said) => rules.case = said,
                    Err(problem) => problems.push(format!("case: {problem}")),
                },
                ("legacy-hashes", _) => match value.parse() {
                    Ok(said) => rules.legacy_hashes = said,
                    Err(_) => problems.push("legacy-hashes: must be true or false".to_owned()),
                },
                ("rehash", _) => match value.parse() {
                    Ok(scheme) => rehash = Some(scheme),
                    Err(problem) => problems.push(format!("rehash: {problem}")),
                },
                _ => problems.push(format!(
                    "{key}: unknown setting; there are file, case, legacy-hashes and rehash"
                )),
            }
        }
        if rehash.is_some() && !rules.legacy_hashes {
            problems.push(
                "rehash: only legacy hashes are replaced: set `legacy-hashes = true` too, or take this setting away"
                    .to_owned(),
            );
        }
        match file {
            Some(file) if problems.is_empty() => Ok(Settings {
                file,
                rules,
                rehash,
            }),
            Some(_) => Err(problems),
            None => {
                problems.push("file: must name the file, inside a granted directory".to_owned());
                Err(problems)
            }
        }
    }

    /// A path without "/" in front means the same as one with it.
    fn path(&self) -> PathBuf {
        Path::new("/").join(&self.file)
    }

    fn search(&self, user: &str, stand_in: StandIn) -> Result<Search, Failure> {
        let path = self.path();
        let search = || file::search(Reader::open(&path)?, user, self.rules, stand_in);
        from_one_file(search).map_err(|error| {
            log::error!("{} cannot be read: {error}", self.file);
            Failure::temporary("the user list cannot be read")
        })
    }

    /// Replaces a legacy hash, where the setting says so. The login has succeeded, whatever comes
    /// of this.
    fn after_login(&self, number: usize, entry: &Entry, secret: &Secret) {
        let Some(legacy) = entry.hash.legacy_scheme() else {
            return;
        };
        let file = &self.file;
        log::info!("{file}: line {number}: a login with a legacy hash, {{{legacy}}}");
        let Some(scheme) = self.rehash else {
            return;
        };
        let make = || passwords::hash(secret.expose(), scheme);
        match rehash::rehash(&self.path(), self.rules, entry, make) {
            Ok(new) => log::info!(
                "{file}: line {}: {{{legacy}}} was replaced by {}",
                new.line,
                new.scheme
            ),
            Err(Unchanged::ForNow(why)) => {
                log::info!("{file}: line {number}: {{{legacy}}} stays until a later login: {why}")
            }
            Err(Unchanged::Failed(why)) => {
                log::warn!("{file}: line {number}: {{{legacy}}} stays: {why}");
            }
        }
    }
}

/// Reads again if the file changed meanwhile: half a line of the old one and
/// half a line of the new one could let somebody in.
fn from_one_file<R>(mut read: impl FnMut() -> io::Result<R>) -> io::Result<R> {
    let mut retries = RETRIES;
    loop {
        match read() {
            Err(error) if error.kind() == ErrorKind::ResourceBusy && retries > 0 => retries -= 1,
            read => return read,
        }
    }
}

/// Somebody who wants to log in.
struct Attempt {
    acting_as: Option<String>,
    secret: Secret,
}

type Verify<'a> = dyn FnMut(&str, &str) -> Result<bool, String> + 'a;

/// The line that lets them in, with its number.
fn decide(
    settings: &Settings,
    mut search: Search,
    attempt: &Attempt,
    verify: &mut Verify<'_>,
) -> Result<(usize, Entry), Denial> {
    let (number, entry) = match usable(settings, search.found.take()) {
        Ok(found) => found,
        Err(denial) => {
            search.waste_time(attempt.secret.expose(), verify);
            return Err(denial);
        }
    };
    let hash = entry.hash.for_passwords();
    let verified = match verify(hash, attempt.secret.expose()) {
        Ok(verified) => verified,
        Err(problem) => {
            search.waste_time(attempt.secret.expose(), verify);
            return Err(locked(settings, number, &check::named(hash, problem)));
        }
    };
    if verified && entry.may_act_as(attempt.acting_as.as_deref(), settings.rules.case) {
        Ok((number, entry))
    } else {
        Err(Denial::Rejected)
    }
}

fn decide_by_digest(
    settings: &Settings,
    mut search: Search,
    response: &Response,
) -> Result<Account, Denial> {
    let usable = usable(settings, search.found.take());
    let password = match &usable {
        Ok((_, entry)) => entry.hash.clear(),
        Err(_) => None,
    };
    // Without a password there is one to compare with, and it is never right.
    let stand_in = search.password().unwrap_or_default();
    let right = response.is_made_with(password.unwrap_or(stand_in)) & password.is_some();
    let (_, entry) = usable?;
    if right {
        Ok(entry.into_account())
    } else {
        Err(Denial::Rejected)
    }
}

/// The user's entry and the number of its line, if anybody can log in with it.
fn usable(settings: &Settings, found: Option<(usize, Line)>) -> Result<(usize, Entry), Denial> {
    match found {
        None => Err(Denial::Unknown),
        Some((_, Line::Entry(entry))) if entry.hash.is_locked() => Err(Denial::Rejected),
        Some((number, Line::Entry(entry))) => Ok((number, entry)),
        Some((number, Line::Broken(problem))) => Err(locked(settings, number, &problem)),
    }
}

/// What a user is told whose line cannot be used: nothing that a wrong password would not be
/// answered with.
fn locked(settings: &Settings, number: usize, problem: &str) -> Denial {
    log::warn!(
        "{}: line {number} cannot be used, and its user is locked: {problem}",
        settings.file
    );
    Denial::Rejected
}

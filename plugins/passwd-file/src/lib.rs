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
//!   names in lower case ([`Case`]).
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
mod offer;

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use restante_guest::accepts::{Accepts, Kinds};
use restante_guest::files::Reader;
use restante_guest::prelude::*;
use restante_guest::scram::{Hash, Keys, Scram};
use restante_guest::users::Case;

use crate::digest::Response;
use crate::file::{Entry, Line, Search, StandIn};
use crate::keys::Wanted;

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
                decide(&settings, search, &attempt, &mut passwords::verify)
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
            let read = || offer::of_file(Reader::open(&path)?, settings.case);
            from_one_file(read).map(|offer| {
                for warning in &offer.warnings {
                    log::warn!("{}: {warning}", settings.file);
                }
                offer.kinds
            })
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
        let problems = match Reader::open(&path) {
            Ok(file) => check::file(file, settings.case, &mut passwords::verify),
            Err(error) => vec![format!("file: {} cannot be read: {error}", settings.file)],
        };
        if problems.is_empty() {
            Ok(())
        } else {
            Err(problems)
        }
    }
}

struct Settings {
    file: String,
    case: Case,
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
        let mut case = Case::default();
        for (key, value) in all {
            match (key.as_str(), value.as_str()) {
                ("file", "") => {}
                ("file", _) => file = Some(value),
                ("case", _) => match value.parse() {
                    Ok(said) => case = said,
                    Err(problem) => problems.push(format!("case: {problem}")),
                },
                _ => problems.push(format!("{key}: unknown setting; there are file and case")),
            }
        }
        match file {
            Some(file) if problems.is_empty() => Ok(Settings { file, case }),
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
        let search = || file::search(Reader::open(&path)?, user, self.case, stand_in);
        from_one_file(search).map_err(|error| {
            log::error!("{} cannot be read: {error}", self.file);
            Failure::temporary("the user list cannot be read")
        })
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

fn decide(
    settings: &Settings,
    mut search: Search,
    attempt: &Attempt,
    verify: &mut Verify<'_>,
) -> Result<Account, Denial> {
    let (number, entry) = match usable(settings, search.found.take()) {
        Ok(found) => found,
        Err(denial) => {
            search.waste_time(attempt.secret.expose(), verify);
            return Err(denial);
        }
    };
    let hash = entry.hash.for_passwords();
    let verified = verify(hash, attempt.secret.expose()).map_err(|problem| {
        log::error!("{}: line {number}: {problem}", settings.file);
        Failure::permanent("the account is not set up properly")
    })?;
    if verified && entry.may_act_as(attempt.acting_as.as_deref(), settings.case) {
        Ok(entry.into_account())
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
    let stand_in = search.stand_in.as_deref().unwrap_or_default();
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
        Some((number, Line::Broken(problem))) => {
            log::error!("{}: line {number}: {problem}", settings.file);
            Err(Failure::permanent("the account is not set up properly").into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# staff\n\
        alice:$hash-of-alice:a/drop:quota=5 shell=/bin/x=y\r\n\
        \n\
        bob:{PLAIN}builder\n\
        Carl:$hash-of-carl::x=1\n\
        dora:!$hash-of-dora\n\
        :no-user\n\
        erik:\n\
        bob:$hash-of-second-bob\n";

    /// Logs in with the password "sesame" everywhere; says which hashes were
    /// asked about.
    fn login(case: &str, user: &str, acting_as: Option<&str>) -> (Result<Account, Denial>, String) {
        let settings = Settings::parse(vec![
            ("file".into(), "/users/passwd".into()),
            ("case".into(), case.into()),
        ])
        .unwrap();
        let search = file::search(FILE.as_bytes(), user, settings.case, StandIn::Hash).unwrap();
        let attempt = Attempt {
            acting_as: acting_as.map(str::to_owned),
            secret: Secret::new("sesame"),
        };
        let mut asked = Vec::new();
        let answer = decide(&settings, search, &attempt, &mut |hash, secret| {
            assert_eq!(secret, "sesame");
            asked.push(hash.to_owned());
            Ok(hash.starts_with('$'))
        });
        (answer, asked.join(" "))
    }

    #[test]
    fn a_line_becomes_an_account() {
        let (alice, asked) = login("exact", "alice", None);
        let alice = alice.unwrap();
        assert_eq!(
            (alice.user.as_str(), alice.maildrop.as_str()),
            ("alice", "a/drop")
        );
        assert_eq!(
            alice.attributes,
            [
                ("quota".to_owned(), "5".to_owned()),
                ("shell".to_owned(), "/bin/x=y".to_owned())
            ]
        );
        assert_eq!(asked, "$hash-of-alice");
        let carl = login("exact", "Carl", Some("Carl")).0.unwrap();
        assert_eq!(
            (carl.maildrop.as_str(), carl.attribute("x")),
            ("Carl", Some("1"))
        );
    }

    #[test]
    fn the_first_line_of_a_user_counts() {
        let (bob, asked) = login("exact", "bob", None);
        assert!(matches!(bob, Err(Denial::Rejected)), "{bob:?}");
        assert_eq!(asked, "{PLAIN}builder");
    }

    #[test]
    fn unknown_users_take_as_long_as_known_ones() {
        for user in [
            "nobody",
            "ALICE",
            "carl",
            "# staff",
            "",
            ":",
            "alice:$hash-of-alice",
            "ali",
        ] {
            let (answer, asked) = login("exact", user, None);
            assert!(matches!(answer, Err(Denial::Unknown)), "{user}: {answer:?}");
            assert_eq!(asked, "$hash-of-alice", "{user}");
        }
    }

    #[test]
    fn a_locked_or_broken_user_is_not_let_in_and_not_faster() {
        let (dora, asked) = login("exact", "dora", None);
        assert!(matches!(dora, Err(Denial::Rejected)), "{dora:?}");
        assert_eq!(asked, "$hash-of-alice");
        let (erik, asked) = login("exact", "erik", None);
        assert!(
            matches!(erik, Err(Denial::Failed(Failure::Permanent(_)))),
            "{erik:?}"
        );
        assert_eq!(asked, "$hash-of-alice");
    }

    #[test]
    fn nobody_acts_as_somebody_else() {
        let (alice, asked) = login("exact", "alice", Some("Carl"));
        assert!(matches!(alice, Err(Denial::Rejected)), "{alice:?}");
        assert_eq!(asked, "$hash-of-alice");
        let (alice, _) = login("exact", "alice", Some("ALICE"));
        assert!(matches!(alice, Err(Denial::Rejected)), "{alice:?}");
    }

    #[test]
    fn folding_is_for_both_sides() {
        let carl = login("fold", "CARL", Some("caRl")).0.unwrap();
        assert_eq!(
            (carl.user.as_str(), carl.maildrop.as_str()),
            ("carl", "carl")
        );
        assert!(login("fold", "Alice", None).0.is_ok());
    }

    #[test]
    fn a_hash_that_the_host_cannot_check_lets_nobody_in() {
        let settings = Settings::parse(vec![("file".into(), "/users/passwd".into())]).unwrap();
        let attempt = Attempt {
            acting_as: None,
            secret: Secret::new("sesame"),
        };
        for user in ["alice", "nobody"] {
            let search = file::search(FILE.as_bytes(), user, settings.case, StandIn::Hash).unwrap();
            let answer = decide(&settings, search, &attempt, &mut |_, _| {
                Err("unknown".into())
            });
            match user {
                "alice" => assert!(matches!(answer, Err(Denial::Failed(_))), "{answer:?}"),
                _ => assert!(matches!(answer, Err(Denial::Unknown)), "{answer:?}"),
            }
        }
    }

    #[test]
    fn digests_are_for_passwords_in_the_clear() {
        use restante_guest::authenticator::DigestAlgorithm;
        // RFC 1939 section 7.
        const FILE: &str = "tim:$6$x\nmrose:{PLAIN}tanstaaf:drop\nlocked:!{PLAIN}tanstaaf\n\
            broken:{PLAIN}\n";
        let settings = Settings::parse(vec![("file".into(), "/users/passwd".into())]).unwrap();
        let decide = |user: &str, digest: &str| {
            let search =
                file::search(FILE.as_bytes(), user, settings.case, StandIn::Clear).unwrap();
            let response = Response {
                algorithm: DigestAlgorithm::Md5,
                challenge: "<1896.697170952@dbc.mtview.ca.us>".into(),
                digest: digest.into(),
            };
            decide_by_digest(&settings, search, &response)
        };
        let right = "c4c9334bac560ecc979e58001b3e22fb";
        assert_eq!(decide("mrose", right).unwrap().maildrop, "drop");
        let wrong = "c4c9334bac560ecc979e58001b3e22fc";
        assert!(matches!(decide("mrose", wrong), Err(Denial::Rejected)));
        assert!(matches!(decide("mrose", ""), Err(Denial::Rejected)));
        // Not even with what stands in for them.
        assert!(matches!(decide("nobody", right), Err(Denial::Unknown)));
        assert!(matches!(decide("tim", right), Err(Denial::Rejected)));
        assert!(matches!(decide("locked", right), Err(Denial::Rejected)));
        // MD5 of the challenge alone.
        let of_nothing = "6d7379174f7df9fb329480e5c47c1f1a";
        for digest in [right, of_nothing] {
            let broken = decide("broken", digest);
            assert!(matches!(broken, Err(Denial::Failed(_))), "{broken:?}");
        }
    }

    #[test]
    fn every_bad_setting_is_named() {
        let problems = Settings::parse(vec![
            ("fiel".into(), "/users/passwd".into()),
            ("case".into(), "lower".into()),
        ])
        .err()
        .unwrap();
        let keys: Vec<_> = problems
            .iter()
            .map(|problem| problem.split(':').next().unwrap())
            .collect();
        assert_eq!(keys, ["fiel", "case", "file"]);
    }

    #[test]
    fn the_roles_work_on_a_real_file() {
        let path = std::env::temp_dir().join(format!("passwd-file-{}", std::process::id()));
        let log_in = |secret: &str| {
            PasswdFile::authenticate(
                connection(),
                Credentials::Password {
                    user: "bob".into(),
                    acting_as: None,
                    secret: Secret::new(secret),
                },
            )
        };
        restante_guest::testing::set_settings([("file", path.to_str().unwrap())]);
        assert!(matches!(
            log_in("builder"),
            Err(Denial::Failed(Failure::Temporary(_)))
        ));
        assert!(PasswdFile::validate().unwrap_err()[0].starts_with("file: "));
        std::fs::write(&path, "bob:{PLAIN}builder\n").unwrap();
        assert_eq!(PasswdFile::validate(), Ok(()));
        let scram = Kinds::SCRAM_SHA1 | Kinds::SCRAM_SHA256;
        let kinds = Kinds::PASSWORD | Kinds::DIGEST | scram;
        assert_eq!(PasswdFile::accepts(), kinds);
        assert_eq!(log_in("builder").unwrap(), Account::new("bob"));
        assert!(matches!(log_in("Builder"), Err(Denial::Rejected)));
        std::fs::write(&path, "bob:{PLAIN}changed\n").unwrap();
        assert!(log_in("changed").is_ok());
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_large_file_that_is_replaced_meanwhile_is_read_again() {
        let path = std::env::temp_dir().join(format!("passwd-file-large-{}", std::process::id()));
        // Each "old" or "new" as a whole, and longer than what is read at once.
        let write = |word: &str| {
            let next = path.with_extension("next");
            let filler = format!("{word}:{{PLAIN}}{word}\n").repeat(200_000);
            std::fs::write(&next, filler + "end:{PLAIN}end\n").unwrap();
            std::fs::rename(&next, &path).unwrap();
        };
        let lines = |replace: &mut dyn FnMut()| {
            from_one_file(|| {
                let mut words = std::collections::BTreeSet::new();
                file::each_line(Reader::open(&path)?, |number, line| {
                    if number == 1 {
                        replace();
                    }
                    words.insert(String::from_utf8(line.to_vec()).unwrap());
                })?;
                Ok(words.into_iter().collect::<Vec<_>>())
            })
        };
        write("old");
        let mut times = 0;
        let read = lines(&mut || {
            times += 1;
            if times == 1 {
                write("new");
            }
        });
        assert_eq!(read.unwrap(), ["end:{PLAIN}end", "new:{PLAIN}new"]);
        assert_eq!(times, 2);
        let read = lines(&mut || write("new"));
        assert_eq!(read.unwrap_err().kind(), ErrorKind::ResourceBusy);
        std::fs::remove_file(&path).unwrap();
    }

    fn connection() -> Connection {
        Connection {
            session: "s1".into(),
            tenant: "acme".into(),
            listener: "pop3".into(),
            client_address: "192.0.2.1".into(),
            client_port: 1,
            tls: None,
        }
    }
}

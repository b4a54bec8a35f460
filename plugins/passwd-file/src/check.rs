//! Looks over the whole file when the host loads its configuration, and tells of what is
//! wrong with its lines. A line that cannot be used costs one user the login, and nobody else.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead};

use restante_guest::scram::Hash;

use crate::Verify;
use crate::file::{Entry, Line, Rules, each_line, parse};
use crate::hash::{Problem, kind, shown_scheme};

/// Lines that are told one by one; of more, only the number.
const TOLD: usize = 100;
/// Hashes that the host is asked to verify, to learn whether it can.
const TRIALS: usize = 200;

/// What there is to say of the file, each as one line that names the line that it is about, and
/// nothing of what that says but its user and a scheme's name.
///
/// # Errors
/// The file cannot be read to its end.
pub(crate) fn file(
    file: impl BufRead,
    rules: Rules,
    verify: &mut Verify<'_>,
) -> io::Result<Vec<String>> {
    let mut report = Report::default();
    let mut users = BTreeMap::new();
    let mut legacy: BTreeMap<&'static str, usize> = BTreeMap::new();
    let mut mechanisms = [Hash::Sha1, Hash::Sha256].map(Mechanism::new);
    let mut clear = Clear::default();
    let mut hashes = Hashes {
        known: BTreeSet::new(),
        trials: TRIALS,
        verify,
    };
    each_line(file, |number, line| match parse(line, rules) {
        None => {}
        Some(Line::Broken(problem)) => report.locked(number, None, &problem),
        Some(Line::Entry(entry)) => {
            if let Some(first) = users.get(&entry.user) {
                let user = entry.user.escape_debug();
                report.line(format!(
                    "line {number} is not used: {user} stands in line {first} already, which counts"
                ));
                return;
            }
            match hashes.check(&entry) {
                Err(problem) => report.locked(number, Some(&entry.user), &problem),
                Ok(()) if entry.hash.is_locked() => {}
                Ok(()) => {
                    if let Some(scheme) = entry.hash.legacy_scheme() {
                        *legacy.entry(scheme).or_default() += 1;
                    }
                    for mechanism in &mut mechanisms {
                        mechanism.count(number, &entry);
                    }
                    clear.count(number, &entry);
                }
            }
            users.insert(entry.user, number);
        }
    })?;
    report.legacy(&legacy);
    for mechanism in mechanisms {
        report.lines.extend(mechanism.finish());
    }
    report.lines.extend(clear.finish());
    Ok(report.finish())
}

#[derive(Default)]
struct Report {
    lines: Vec<String>,
    more: usize,
}

impl Report {
    /// A line that locks its user out. Who that is, is known of lines that have their form.
    fn locked(&mut self, number: usize, user: Option<&str>, problem: &str) {
        let user = user.map_or(String::new(), |user| format!(" ({})", user.escape_debug()));
        self.line(format!(
            "line {number}{user} cannot be used: {problem}; its user is locked until it is mended"
        ));
    }

    fn line(&mut self, line: String) {
        if self.lines.len() < TOLD {
            self.lines.push(line);
        } else {
            self.more += 1;
        }
    }

    fn legacy(&mut self, schemes: &BTreeMap<&'static str, usize>) {
        let users: usize = schemes.values().sum();
        if users == 0 {
            return;
        }
        let each = schemes
            .iter()
            .map(|(scheme, users)| format!("{{{scheme}}}: {users}"));
        let each: Vec<String> = each.collect();
        self.lines.push(format!(
            "{} with legacy hashes ({}), which give passwords away to whoever gets the file: give them new ones (restante hash-password), or have their logins do it (`rehash`)",
            counted(users),
            each.join(", ")
        ));
    }

    fn finish(mut self) -> Vec<String> {
        if self.more > 0 {
            let more = format!("{} more lines cannot be used", self.more);
            self.lines.insert(TOLD, more);
        }
        self.lines
    }
}

fn counted(users: usize) -> String {
    match users {
        1 => "1 user".to_owned(),
        users => format!("{users} users"),
    }
}

/// Whether users without keys keep a SCRAM mechanism from those with them.
struct Mechanism {
    hash: Hash,
    /// Users with keys of their own.
    with: usize,
    /// Users who could not log in by it.
    without: usize,
    /// The line of the first of these.
    first: usize,
}

impl Mechanism {
    fn new(hash: Hash) -> Self {
        Mechanism {
            hash,
            with: 0,
            without: 0,
            first: 0,
        }
    }

    fn count(&mut self, number: usize, entry: &Entry) {
        if entry.hash.clear().is_some() {
            return;
        }
        if entry.hash.scram(self.hash).is_some() {
            self.with += 1;
        } else {
            self.without += 1;
            if self.without == 1 {
                self.first = number;
            }
        }
    }

    fn finish(self) -> Option<String> {
        let name = match self.hash {
            Hash::Sha1 => "SCRAM-SHA-1",
            Hash::Sha256 => "SCRAM-SHA-256",
        };
        (self.with > 0 && self.without > 0).then(|| {
            format!(
                "{name} is offered to nobody, unless the tenant has `scram = \"on\"`: it would lock out {} without keys for it, the first in line {}; give them keys (restante hash-password --scheme {}), or lock them",
                counted(self.without),
                self.first,
                name.to_ascii_lowercase()
            )
        })
    }
}

/// Whether users have no password for APOP and CRAM-MD5, where others have one.
#[derive(Default)]
struct Clear {
    with: usize,
    without: usize,
    /// The line of the first of those without.
    first: usize,
}

impl Clear {
    fn count(&mut self, number: usize, entry: &Entry) {
        if entry.hash.clear().is_some() {
            self.with += 1;
            return;
        }
        self.without += 1;
        if self.without == 1 {
            self.first = number;
        }
    }

    fn finish(self) -> Option<String> {
        (self.with > 0 && self.without > 0).then(|| {
            format!(
                "APOP and CRAM-MD5, where the tenant turns them on, lock out {} without a {{PLAIN}} password, the first in line {}",
                counted(self.without),
                self.first
            )
        })
    }
}

/// Verifying takes its time by design, so a kind of hash is tried only until
/// the host was able to verify one of it.
struct Hashes<'a, 'b> {
    known: BTreeSet<String>,
    trials: usize,
    verify: &'a mut Verify<'b>,
}

impl Hashes<'_, '_> {
    fn check(&mut self, entry: &Entry) -> Result<(), Problem> {
        if entry.hash.is_locked() {
            return Ok(());
        }
        entry.hash.parts().try_for_each(|hash| self.check_one(hash))
    }

    fn check_one(&mut self, hash: &str) -> Result<(), Problem> {
        let kind = kind(hash)
            .ok_or("the hash has no known form (a password in the clear needs {PLAIN} in front)")?;
        if self.trials == 0 || self.known.contains(kind) {
            return Ok(());
        }
        self.trials -= 1;
        (self.verify)(hash, "a secret for trial").map_err(|problem| named(hash, problem))?;
        self.known.insert(kind.to_owned());
        Ok(())
    }
}

/// What the host says of a hash, with the hash's scheme.
pub(crate) fn named(hash: &str, problem: String) -> Problem {
    match shown_scheme(hash) {
        Some(scheme) => format!("{scheme}: {problem}").into(),
        None => problem.into(),
    }
}

#[cfg(test)]
mod tests {
    use restante_guest::users::Case;

    use super::*;

    const SCRAM: &str = "{SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";

    fn rules(case: Case, legacy_hashes: bool) -> Rules {
        Rules {
            case,
            legacy_hashes,
        }
    }

    fn report(text: &str, rules: Rules) -> Vec<String> {
        file(text.as_bytes(), rules, &mut |_, _| Ok(false)).unwrap()
    }

    #[test]
    fn every_line_that_is_wrong_is_named_and_locks_its_user_alone() {
        let text = "a:$6$one\nb:{PLAIN}two\na:$6$three\n# d\nnothing\ne:hash-of-e\n\
            f:{MD9}five\ng:$6$six\nh:{MD9}seven\ni:!\nj:{open\nk:$6$l|$5$m\n";
        let mut tried = Vec::new();
        let lines = file(text.as_bytes(), Rules::default(), &mut |hash, _| {
            tried.push(hash.to_owned());
            if hash.contains("MD9") {
                Err("not supported".into())
            } else {
                Ok(false)
            }
        });
        let unknown = "the hash has no known form (a password in the clear needs {PLAIN} in front)";
        let locked = "its user is locked until it is mended";
        assert_eq!(
            lines.unwrap(),
            [
                "line 3 is not used: a stands in line 1 already, which counts".to_owned(),
                format!("line 5 cannot be used: there is no \":\" behind the user; {locked}"),
                format!("line 6 (e) cannot be used: {unknown}; {locked}"),
                format!("line 7 (f) cannot be used: {{MD9}}: not supported; {locked}"),
                format!("line 9 (h) cannot be used: {{MD9}}: not supported; {locked}"),
                format!("line 11 (j) cannot be used: {unknown}; {locked}"),
                "APOP and CRAM-MD5, where the tenant turns them on, lock out 3 users without a {PLAIN} password, the first in line 1".to_owned(),
            ]
        );
        assert_eq!(
            tried,
            ["$6$one", "{PLAIN}two", "{MD9}five", "{MD9}seven", "$5$m"]
        );
    }

    #[test]
    fn folding_finds_second_lines_too() {
        let text = "Ann:{PLAIN}1\nANN:{PLAIN}2\n";
        let report = |case| report(text, rules(case, false));
        assert_eq!(report(Case::Exact), Vec::<String>::new());
        assert_eq!(
            report(Case::Fold),
            ["line 2 is not used: ann stands in line 1 already, which counts"]
        );
    }

    #[test]
    fn a_file_of_another_kind_is_not_told_line_by_line() {
        let lines = report(&"x\n".repeat(250), Rules::default());
        assert_eq!(lines.len(), TOLD + 1);
        assert_eq!(lines[TOLD], "150 more lines cannot be used");
    }

    #[test]
    fn legacy_hashes_are_counted_or_locked_by_the_setting() {
        let text = "a:{SHA}mceXLazDGdDKC69o0r8TxUM8VO8=\nb:{SHA}mceXLazDGdDKC69o0r8TxUM8VO8=\n\
            c:$1$5RPVAd$r5e/USfSwsah24DMCHXUw0\nd:!{SHA}mceXLazDGdDKC69o0r8TxUM8VO8=\n";
        let told = report(text, rules(Case::Exact, true));
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(
            told[0].starts_with("3 users with legacy hashes ({MD5-CRYPT}: 1, {SHA}: 2), "),
            "{told:?}"
        );
        let told = report(text, rules(Case::Exact, false));
        assert_eq!(told.len(), 3, "{told:?}");
        for (line, (number, scheme)) in told.iter().zip([(1, "SHA"), (2, "SHA"), (3, "MD5-CRYPT")])
        {
            let begins = format!(
                "line {number} cannot be used: {{{scheme}}} is a legacy hash: set `legacy-hashes = true`"
            );
            assert!(line.starts_with(&begins), "{line}");
        }
    }

    #[test]
    fn users_who_keep_scram_from_the_others_are_counted() {
        let text = format!("a:{SCRAM}\nb:$6$x\nc:$6$y|{SCRAM}\nd:$6$z\ne:{{PLAIN}}p\nf:!$6$x\n");
        let told = report(&text, Rules::default());
        assert_eq!(told.len(), 2, "{told:?}");
        assert_eq!(
            told[1],
            "APOP and CRAM-MD5, where the tenant turns them on, lock out 4 users without a {PLAIN} password, the first in line 1"
        );
        assert!(
            told[0].starts_with("SCRAM-SHA-256 is offered to nobody, unless the tenant has `scram = \"on\"`: it would lock out 2 users without keys for it, the first in line 2; "),
            "{told:?}"
        );
        for all_alike in [
            format!("a:{SCRAM}\ne:!{{PLAIN}}p\n"),
            "a:$6$x\nb:$6$y\n".into(),
        ] {
            assert_eq!(report(&all_alike, Rules::default()), [""; 0]);
        }
    }
}

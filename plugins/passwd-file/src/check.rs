//! Looks over the whole file when the host loads its configuration.

use std::collections::{BTreeMap, BTreeSet};
use std::io::BufRead;

use restante_guest::users::Case;

use crate::Verify;
use crate::file::{Entry, Line, each_line, parse};

/// Problems that are told one by one; of more, only the number.
const PROBLEMS: usize = 100;
/// Hashes that the host is asked to verify, to learn whether it can.
const TRIALS: usize = 200;

/// Every problem of the file, each with the number of its line and without a
/// word of what the line says, but for the user of a second line.
pub(crate) fn file(file: impl BufRead, case: Case, verify: &mut Verify<'_>) -> Vec<String> {
    let mut report = Report::default();
    let mut users = BTreeMap::new();
    let mut hashes = Hashes {
        known: BTreeSet::new(),
        trials: TRIALS,
        verify,
    };
    let read = each_line(file, |number, line| match parse(line, case) {
        None => {}
        Some(Line::Broken(problem)) => report.line(number, problem),
        Some(Line::Entry(entry)) => {
            if let Err(problem) = hashes.check(&entry) {
                report.line(number, &problem);
            }
            if let Some(first) = users.get(&entry.user) {
                let user = entry.user.escape_debug();
                report.line(
                    number,
                    &format!("{user} stands in line {first} already, which counts"),
                );
            } else {
                users.insert(entry.user, number);
            }
        }
    });
    if let Err(error) = read {
        report.add(format!("file: cannot be read to its end: {error}"));
    }
    report.finish()
}

#[derive(Default)]
struct Report {
    problems: Vec<String>,
    more: usize,
}

impl Report {
    fn line(&mut self, number: usize, problem: &str) {
        self.add(format!("file: line {number}: {problem}"));
    }

    fn add(&mut self, problem: String) {
        if self.problems.len() < PROBLEMS {
            self.problems.push(problem);
        } else {
            self.more += 1;
        }
    }

    fn finish(mut self) -> Vec<String> {
        if self.more > 0 {
            self.problems
                .push(format!("file: and {} problems more", self.more));
        }
        self.problems
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
    fn check(&mut self, entry: &Entry) -> Result<(), String> {
        if entry.hash.is_locked() {
            return Ok(());
        }
        entry.hash.parts().try_for_each(|hash| self.check_one(hash))
    }

    fn check_one(&mut self, hash: &str) -> Result<(), String> {
        let kind = kind(hash)
            .ok_or("the hash has no known form (a password in the clear needs {PLAIN} in front)")?;
        if self.trials == 0 || self.known.contains(kind) {
            return Ok(());
        }
        self.trials -= 1;
        (self.verify)(hash, "a secret for trial")?;
        self.known.insert(kind.to_owned());
        Ok(())
    }
}

/// How a hash begins: "{SCHEME}", "$id$", or both.
fn kind(hash: &str) -> Option<&str> {
    let scheme = match hash.strip_prefix('{') {
        Some(rest) => rest.find('}')? + 2,
        None => 0,
    };
    let id = match hash[scheme..].strip_prefix('$') {
        Some(rest) => rest.find('$').map_or(0, |end| end + 2),
        None => 0,
    };
    (scheme + id > 0).then(|| &hash[..scheme + id])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_that_is_wrong_is_named() {
        let text = "a:$6$one\nb:{PLAIN}two\na:$6$three\n# d\nnothing\ne:hash-of-e\n\
            f:{MD9}five\ng:$6$six\nh:{MD9}seven\ni:!\nj:{open\nk:$6$l|$5$m\n";
        let mut tried = Vec::new();
        let problems = file(text.as_bytes(), Case::Exact, &mut |hash, _| {
            tried.push(hash.to_owned());
            if hash.contains("MD9") {
                Err("not supported".into())
            } else {
                Ok(false)
            }
        });
        let unknown = "the hash has no known form (a password in the clear needs {PLAIN} in front)";
        assert_eq!(
            problems,
            [
                "file: line 3: a stands in line 1 already, which counts".to_owned(),
                "file: line 5: there is no \":\" behind the user".to_owned(),
                format!("file: line 6: {unknown}"),
                "file: line 7: not supported".to_owned(),
                "file: line 9: not supported".to_owned(),
                format!("file: line 11: {unknown}"),
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
        let report = |case| file(text.as_bytes(), case, &mut |_, _| Ok(false));
        assert_eq!(report(Case::Exact), Vec::<String>::new());
        assert_eq!(
            report(Case::Fold),
            ["file: line 2: ann stands in line 1 already, which counts"]
        );
    }

    #[test]
    fn a_file_of_another_kind_is_not_told_line_by_line() {
        let problems = file("x\n".repeat(250).as_bytes(), Case::Exact, &mut |_, _| {
            Ok(true)
        });
        assert_eq!(problems.len(), PROBLEMS + 1);
        assert_eq!(problems[PROBLEMS], "file: and 150 problems more");
    }

    #[test]
    fn a_kind_is_how_a_hash_begins() {
        assert_eq!(kind("{SHA512-CRYPT}$6$salt$x"), Some("{SHA512-CRYPT}$6$"));
        assert_eq!(kind("$argon2id$v=19$x"), Some("$argon2id$"));
        assert_eq!(kind("{PLAIN}$"), Some("{PLAIN}"));
        assert_eq!(kind("é"), None);
        assert_eq!(kind("$x"), None);
    }
}

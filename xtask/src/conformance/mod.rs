//! What the server owes, what shows it, and the table that says so.
//!
//! tests/conformance/*.toml is the catalogue: one sentence for each requirement,
//! where it stands, and the tests that show it. A run of all tests says what came
//! of them, and docs/conformance.md is the two together; nothing in it is written
//! by hand.

mod catalogue;
mod sources;
mod table;

use std::fs;

use anyhow::{Context, Result, bail};

use crate::cargo::Workspace;
use crate::tally::{Verdict, Verdicts};
use catalogue::{Catalogue, Requirement};
use sources::Sources;

const CATALOGUE: &str = "tests/conformance";
const TABLE: &str = "docs/conformance.md";

/// What to do with the table that a run gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Table {
    /// Compare it with the one that is there.
    Check,
    /// Put it there.
    Write,
}

/// Reads the catalogue against what a run of all tests came to. An error lists
/// everything that is wrong.
pub(crate) fn conclude(workspace: &Workspace, verdicts: &Verdicts, what: Table) -> Result<()> {
    let catalogue = Catalogue::read(&workspace.root.join(CATALOGUE))?;
    let sources = Sources::read(&workspace.root)?;
    let table = table::render(&catalogue, verdicts, &sources);
    let path = workspace.root.join(TABLE);
    let mut problems = problems(&catalogue, verdicts);
    match what {
        Table::Write => fs::write(&path, table).with_context(|| format!("cannot write {TABLE}"))?,
        Table::Check => {
            // A table that is not there is not what the run gives either.
            if fs::read_to_string(&path).unwrap_or_default() != table {
                problems.push(format!(
                    "{TABLE} is not what this run gives: `cargo xtask conformance` writes it anew"
                ));
            }
        }
    }
    if problems.is_empty() {
        return Ok(());
    }
    bail!("{}", problems.join("\n"))
}

/// Tests that the catalogue names and that do not show what they should.
fn problems(catalogue: &Catalogue, verdicts: &Verdicts) -> Vec<String> {
    let mut problems = Vec::new();
    for area in &catalogue.areas {
        for requirement in &area.requirements {
            for test in &requirement.tests {
                let why = match verdicts.get(test).map(Vec::as_slice) {
                    Some([Verdict::Passed]) => continue,
                    Some([Verdict::Failed]) => "failed",
                    Some([Verdict::Ignored]) => "is ignored",
                    Some(_) => "is the name of several tests: give one of them another",
                    None => "did not run, or does not exist",
                };
                let (file, text) = (&area.file, &requirement.text);
                problems.push(format!("{CATALOGUE}/{file}: \"{text}\": {test} {why}"));
            }
        }
    }
    problems
}

/// What the tests of a requirement came to: the worst of them.
fn result(requirement: &Requirement, verdicts: &Verdicts) -> &'static str {
    let mut worst = Verdict::Passed;
    for test in &requirement.tests {
        match verdicts
            .get(test)
            .and_then(|verdicts| verdicts.iter().max())
        {
            Some(verdict) => worst = worst.max(*verdict),
            None => return "**did not run**",
        }
    }
    match worst {
        Verdict::Passed => PASSED,
        Verdict::Ignored => "**ignored**",
        Verdict::Failed => "**failed**",
    }
}

const PASSED: &str = "passed";

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::path::Path;

    fn catalogue() -> Catalogue {
        let text = "title = \"STLS\"\n[[requirement]]\ntext = \"It is there.\"\n\
            source = \"RFC 2595 §4\"\ntests = [\"stls.txt\", \"tls::stls\"]\n";
        Catalogue::parse([("stls.toml".to_owned(), text.to_owned())]).unwrap()
    }

    fn verdicts(told: &[(&str, Verdict)]) -> Verdicts {
        let mut verdicts = Verdicts::new();
        for (name, verdict) in told {
            verdicts
                .entry((*name).to_owned())
                .or_default()
                .push(*verdict);
        }
        verdicts
    }

    #[test]
    fn every_named_test_has_to_pass_once() {
        use Verdict::{Failed, Ignored, Passed};
        let catalogue = catalogue();
        let dialogue = ("stls.txt", Passed);
        let said = |told: &[(&str, Verdict)]| problems(&catalogue, &verdicts(told)).join("\n");
        assert_eq!(
            said(&[dialogue, ("tls::stls", Passed), ("other", Failed)]),
            ""
        );
        let place = "tests/conformance/stls.toml: \"It is there.\": tls::stls ";
        for (told, why) in [
            (&[][..], "did not run, or does not exist"),
            (&[("tls::stls", Failed)], "failed"),
            (&[("tls::stls", Ignored)], "is ignored"),
            (
                &[("tls::stls", Passed), ("tls::stls", Passed)],
                "is the name of several tests: give one of them another",
            ),
        ] {
            assert_eq!(said(&[&[dialogue], told].concat()), format!("{place}{why}"));
        }
    }

    #[test]
    fn a_result_is_the_worst_of_its_tests() {
        use Verdict::{Failed, Ignored, Passed};
        let catalogue = catalogue();
        let requirement = &catalogue.areas[0].requirements[0];
        for (first, second, expected) in [
            (Passed, Passed, "passed"),
            (Passed, Ignored, "**ignored**"),
            (Failed, Ignored, "**failed**"),
        ] {
            let verdicts = verdicts(&[("stls.txt", first), ("tls::stls", second)]);
            assert_eq!(result(requirement, &verdicts), expected);
        }
        let half = verdicts(&[("stls.txt", Passed)]);
        assert_eq!(result(requirement, &half), "**did not run**");
    }

    /// The registry of POP3 extensions (RFC 2449 section 9.2, RFC 3206, RFC 6856):
    /// whatever stands in it has a row.
    #[test]
    fn the_registry_is_in_the_catalogue() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let catalogue = Catalogue::read(&root.join(CATALOGUE)).unwrap();
        let rows = |file: &str| -> Vec<String> {
            let area = catalogue
                .areas
                .iter()
                .find(|area| area.file.ends_with(file));
            let rows = &area.unwrap().requirements;
            rows.iter().map(|row| row.text.clone()).collect()
        };
        for (file, names) in [
            (
                "capabilities.toml",
                "CAPA TOP USER SASL RESP-CODES LOGIN-DELAY PIPELINING EXPIRE UIDL \
                 IMPLEMENTATION STLS AUTH-RESP-CODE UTF8 LANG",
            ),
            (
                "response-codes.toml",
                "[LOGIN-DELAY] [IN-USE] [SYS/TEMP] [SYS/PERM] [AUTH] [UTF8]",
            ),
        ] {
            for name in names.split(' ') {
                let begins = format!("`{name}`");
                let rows = rows(file);
                assert!(
                    rows.iter().any(|row| row.starts_with(&begins)),
                    "{file} has no row that begins with {begins}"
                );
            }
        }
    }
}

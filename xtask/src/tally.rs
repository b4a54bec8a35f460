//! Counts tests from what the test programs print. Each begins with "running N
//! tests" and ends with "test result: …"; what a failing test printed stands
//! between the two and may look like either.

use std::collections::BTreeMap;

/// What became of one test, the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    Passed,
    Ignored,
    Failed,
}

/// What each test came to, by the name that its program prints. Two programs may
/// have tests of one name.
pub(crate) type Verdicts = BTreeMap<String, Vec<Verdict>>;

/// The sums over all test programs so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    /// Those that are marked `#[ignore]`.
    pub(crate) skipped: u64,
}

/// Reads test programs' output line by line.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    counts: Counts,
    /// How many tests the running program said it has; none between programs.
    running: Option<u64>,
    /// Programs that began and never came to a result: they crashed, or were killed.
    unfinished: u64,
    verdicts: Verdicts,
}

impl Tally {
    /// Takes one line, without its line end.
    pub(crate) fn line(&mut self, line: &str) {
        if let Some(tests) = parse_running(line) {
            self.unfinished += u64::from(self.running.is_some());
            self.running = Some(tests);
        } else if let (Some(counts), Some(tests)) = (parse_result(line), self.running)
            && counts.passed + counts.failed + counts.skipped == tests
        {
            self.counts.passed += counts.passed;
            self.counts.failed += counts.failed;
            self.counts.skipped += counts.skipped;
            self.running = None;
        } else if let (Some((name, verdict)), Some(_)) = (parse_verdict(line), self.running) {
            let verdicts = self.verdicts.entry(name.to_owned()).or_default();
            verdicts.push(verdict);
        }
    }

    /// What was said of each test so far.
    pub(crate) fn verdicts(&self) -> &Verdicts {
        &self.verdicts
    }

    /// The sums at the end, and how many test programs came to no result. Each of
    /// those counts as one failed test: nobody knows how many it was.
    pub(crate) fn finish(self) -> (Counts, u64) {
        let unfinished = self.unfinished + u64::from(self.running.is_some());
        let mut counts = self.counts;
        counts.failed += unfinished;
        (counts, unfinished)
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)?;
        match self.skipped {
            0 => Ok(()),
            skipped => write!(f, ", {skipped} skipped"),
        }
    }
}

/// "running 3 tests", "running 1 test".
fn parse_running(line: &str) -> Option<u64> {
    let (number, word) = line.strip_prefix("running ")?.split_once(' ')?;
    matches!(word, "test" | "tests")
        .then(|| number.parse().ok())
        .flatten()
}

/// "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out;
/// finished in 0.01s". Benchmarks ("measured") were run and count as passed.
fn parse_result(line: &str) -> Option<Counts> {
    let (_, numbers) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let number = |word: &str| {
        numbers.split("; ").find_map(|part| {
            part.strip_suffix(word)?
                .strip_suffix(' ')?
                .parse::<u64>()
                .ok()
        })
    };
    Some(Counts {
        passed: number("passed")?.checked_add(number("measured").unwrap_or(0))?,
        failed: number("failed")?,
        skipped: number("ignored")?,
    })
}

/// "test tls::a_handshake_has_its_time ... ok", "test a - should panic ... FAILED",
/// "test b ... ignored, it takes an hour".
fn parse_verdict(line: &str) -> Option<(&str, Verdict)> {
    let (name, verdict) = line.strip_prefix("test ")?.split_once(" ... ")?;
    let verdict = match verdict {
        "ok" => Verdict::Passed,
        "FAILED" => Verdict::Failed,
        _ if verdict.starts_with("ignored") => Verdict::Ignored,
        _ => return None,
    };
    let name = name.strip_suffix(" - should panic").unwrap_or(name);
    Some((name.trim_end(), verdict))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(text: &str) -> (Counts, u64) {
        let mut tally = Tally::default();
        text.lines().for_each(|line| tally.line(line));
        tally.finish()
    }

    fn counts(passed: u64, failed: u64, skipped: u64) -> Counts {
        Counts {
            passed,
            failed,
            skipped,
        }
    }

    const OK: &str = "\nrunning 3 tests\ntest a ... ok\ntest b ... ok\ntest c ... ignored\n\n\
        test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 4 filtered out; finished in 0.00s\n";

    #[test]
    fn results_are_summed() {
        assert_eq!(tally(&format!("{OK}\n{OK}")), (counts(4, 0, 2), 0));
        assert_eq!(tally(""), (counts(0, 0, 0), 0));
    }

    #[test]
    fn a_failing_program_is_counted() {
        let text = "running 2 tests\ntest a ... ok\ntest b ... FAILED\n\nfailures:\n\n\
            ---- b stdout ----\nboo\n\nfailures:\n    b\n\n\
            test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.20s\n";
        assert_eq!(tally(text), (counts(1, 1, 0), 0));
    }

    #[test]
    fn a_result_that_a_test_printed_does_not_count() {
        let text = "running 2 tests\ntest a ... FAILED\n---- a stdout ----\n\
            test result: ok. 900 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out\n\
            test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out\n\
            test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out\n";
        assert_eq!(tally(text), (counts(1, 1, 0), 0));
    }

    #[test]
    fn a_program_that_dies_is_a_failure() {
        let died = "running 5 tests\ntest a ... ok\n";
        assert_eq!(tally(&format!("{died}{OK}")), (counts(2, 1, 1), 1));
        assert_eq!(tally(&format!("{OK}{died}")), (counts(2, 1, 1), 1));
    }

    #[test]
    fn each_test_has_its_verdict() {
        use Verdict::{Failed, Ignored, Passed};
        let text = "test early ... ok\nrunning 5 tests\ntest a::b ... ok\n\
            test stls.txt     ... FAILED\ntest c - should panic ... ok\ntest d ... ignored, slow\n\
            test e ... odd\n test f ... ok\n\
            test result: ok. 3 passed; 1 failed; 1 ignored; 0 measured\ntest late ... ok\n\
            running 1 test\ntest a::b ... FAILED\n";
        let mut tally = Tally::default();
        text.lines().for_each(|line| tally.line(line));
        let verdicts: Vec<_> = tally
            .verdicts()
            .iter()
            .map(|(name, verdicts)| (&**name, &**verdicts))
            .collect();
        let expected: [(&str, &[Verdict]); 4] = [
            ("a::b", &[Passed, Failed]),
            ("c", &[Passed]),
            ("d", &[Ignored]),
            ("stls.txt", &[Failed]),
        ];
        assert_eq!(verdicts, expected);
    }

    #[test]
    fn lines_that_only_resemble_are_passed_over() {
        for line in [
            "running 3 tests in parallel",
            "running many tests",
            "  running 3 tests",
            "test result: ok.",
            "test result: ok. x passed; 0 failed; 0 ignored",
            "my test result: ok. 1 passed; 0 failed; 0 ignored",
        ] {
            assert_eq!(tally(line), (counts(0, 0, 0), 0), "{line}");
        }
        assert_eq!(parse_running("running 1 test"), Some(1));
    }

    #[test]
    fn the_closing_line_has_one_form() {
        assert_eq!(counts(3, 0, 0).to_string(), "3 passed, 0 failed");
        assert_eq!(counts(3, 1, 2).to_string(), "3 passed, 1 failed, 2 skipped");
    }
}

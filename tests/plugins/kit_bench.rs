//! `restante plugin` in a folder of its own, for tests of the conformance kit.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use restante_tests::{Finished, binary, run_to_end, test_guest};
use serde_json::Value;

/// What is compiled is compiled once for all tests.
pub(crate) fn cache() -> PathBuf {
    std::env::temp_dir().join("restante-test-kit")
}

/// A folder of the test's own, with a password and a place for what is compiled.
pub(crate) struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    pub(crate) fn new() -> Bench {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("password"), "x\n").unwrap();
        Bench { folder }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn password(&self) -> PathBuf {
        self.path().join("password")
    }

    pub(crate) fn plugin(&self, arguments: &[&str]) -> Finished {
        run_to_end(
            Command::new(binary())
                .arg("plugin")
                .args(arguments)
                .current_dir(self.path())
                .env("XDG_CACHE_HOME", cache()),
        )
    }

    /// The report of `plugin test`.
    pub(crate) fn examine(&self, component: &str, arguments: &[&str]) -> (Option<i32>, Value) {
        let mut all = vec!["test", "--json", component];
        all.extend(arguments);
        let finished = self.plugin(&all);
        let report = serde_json::from_str(&finished.stdout);
        let report = report.unwrap_or_else(|error| panic!("{error}: {finished:#?}"));
        (finished.code, report)
    }

    pub(crate) fn keeps_every_rule(&self, component: &str, arguments: &[&str]) -> Value {
        let (code, report) = self.examine(component, arguments);
        assert_eq!(
            (code, &report["failed"]),
            (Some(0), &0.into()),
            "{report:#}"
        );
        assert!(report["passed"].as_u64().unwrap() > 0, "{report:#}");
        report
    }

    /// What the kit says of this check of the hostile guest.
    pub(crate) fn found(&self, settings: &[&str], check: &str) -> String {
        let guest = test_guest("hostile");
        let password = self.password();
        let mut arguments = vec!["--user", "ada", "--password-file"];
        arguments.push(password.to_str().unwrap());
        for setting in settings {
            arguments.extend(["--settings", setting]);
        }
        let (code, report) = self.examine(guest.to_str().unwrap(), &arguments);
        assert_eq!(code, Some(1));
        let mut checks = report["checks"].as_array().unwrap().iter();
        let found = checks.find(|found| found["check"] == check);
        let found = found.unwrap_or_else(|| panic!("{check} is not in {report:#}"));
        assert_eq!(found["result"], "failed", "{found:#}");
        for words in ["sent", "got", "rule"] {
            assert!(!found[words].as_str().unwrap().is_empty(), "{found:#}");
        }
        found.to_string()
    }
}

pub(crate) fn skipped(report: &Value) -> Vec<&str> {
    let checks = report["checks"].as_array().unwrap().iter();
    checks
        .filter(|check| check["result"] == "skipped")
        .map(|check| check["check"].as_str().unwrap())
        .collect()
}

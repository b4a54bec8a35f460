//! Where a test is written, by its name.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// The rooms that have tests.
const ROOMS: [&str; 5] = ["guest-sdk", "host", "plugins", "tests", "xtask"];

/// The files of all functions, below the checkout, `/` between the parts.
pub(super) struct Sources {
    functions: BTreeMap<String, Vec<String>>,
}

impl Sources {
    /// Looks through every Rust file of the workspace.
    pub(super) fn read(root: &Path) -> Result<Self> {
        let mut sources = Self {
            functions: BTreeMap::new(),
        };
        for room in ROOMS {
            sources.folder(root, room)?;
        }
        Ok(sources)
    }

    fn folder(&mut self, root: &Path, folder: &str) -> Result<()> {
        let mut names = Vec::new();
        for entry in fs::read_dir(root.join(folder)).with_context(|| folder.to_owned())? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            names.push((name, entry.file_type()?.is_dir()));
        }
        names.sort();
        for (name, is_folder) in names {
            let path = format!("{folder}/{name}");
            if is_folder && name != "target" {
                self.folder(root, &path)?;
            } else if name.ends_with(".rs") {
                let text = fs::read_to_string(root.join(&path)).context(path.clone())?;
                self.file(&path, &text);
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &str, text: &str) {
        let functions = text.lines().filter_map(|line| {
            let line = line.trim_start();
            let line = line.strip_prefix("async ").unwrap_or(line);
            let (name, _) = line.strip_prefix("fn ")?.split_once('(')?;
            Some(name)
        });
        for function in functions {
            let paths = self.functions.entry(function.to_owned()).or_default();
            paths.push(path.to_owned());
        }
    }

    /// The file of a test, if only one can be meant: a dialogue's by its name, a
    /// function's by its own and those of its modules.
    pub(super) fn of(&self, test: &str) -> Option<String> {
        if test.ends_with(".txt") {
            return Some(format!("host/pop3/tests/dialogues/{test}"));
        }
        let mut modules: Vec<&str> = test.split("::").collect();
        let paths = self.functions.get(modules.pop()?)?;
        let fits = |path: &&String| {
            let parts: Vec<&str> = path.trim_end_matches(".rs").split('/').collect();
            let mut modules = modules.iter().filter(|module| **module != "tests");
            modules.all(|module| parts.contains(module))
        };
        let mut fitting = paths.iter().filter(fits);
        let path = fitting.next()?;
        fitting.next().is_none().then(|| path.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_is_found_by_its_name_and_its_modules() {
        let mut sources = Sources {
            functions: BTreeMap::new(),
        };
        sources.file(
            "host/server/src/tls.rs",
            "    fn mine() {}\n    fn both() {}\n",
        );
        sources.file("tests/tls.rs", "async fn both() {}\nfn alone(");
        sources.file("tests/other.rs", "fn both() {}\n");
        let of = |test| sources.of(test);
        assert_eq!(
            of("tls::tests::mine").as_deref(),
            Some("host/server/src/tls.rs")
        );
        assert_eq!(of("other::both").as_deref(), Some("tests/other.rs"));
        assert_eq!(of("alone").as_deref(), Some("tests/tls.rs"));
        assert_eq!(of("tls::both"), None);
        assert_eq!(of("door::mine"), None);
        assert_eq!(of("nobody"), None);
        let dialogue = "host/pop3/tests/dialogues/stls.txt";
        assert_eq!(of("stls.txt").as_deref(), Some(dialogue));
    }
}

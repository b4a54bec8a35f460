//! The catalogue of requirements: a file for each area, in the order of their names.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

/// All areas.
pub(super) struct Catalogue {
    pub(super) areas: Vec<Area>,
}

/// One file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Area {
    #[serde(skip)]
    pub(super) file: String,
    pub(super) title: String,
    #[serde(rename = "requirement")]
    pub(super) requirements: Vec<Requirement>,
}

/// One sentence, and what shows that it holds.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Requirement {
    pub(super) text: String,
    /// "RFC 2595 §4", "CVE-2021-33515" or other words, separated by commas.
    pub(super) source: String,
    /// Names as the tests' programs print them.
    pub(super) tests: Vec<String>,
}

impl Catalogue {
    /// Reads every `.toml` file of a folder.
    pub(super) fn read(folder: &Path) -> Result<Self> {
        let mut files = BTreeMap::new();
        let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
        for entry in entries {
            let path = entry?.path();
            if path
                .extension()
                .is_some_and(|extension| extension == "toml")
            {
                let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
                let name = path.file_name().unwrap_or_default();
                files.insert(name.to_string_lossy().into_owned(), text);
            }
        }
        Self::parse(files)
    }

    /// Names and texts of files, in order.
    pub(super) fn parse(files: impl IntoIterator<Item = (String, String)>) -> Result<Self> {
        let mut areas: Vec<Area> = Vec::new();
        for (file, text) in files {
            let mut area: Area = toml::from_str(&text).with_context(|| file.clone())?;
            area.file = file;
            areas.push(area);
        }
        let catalogue = Self { areas };
        catalogue.check()?;
        Ok(catalogue)
    }

    fn check(&self) -> Result<()> {
        let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
        for area in &self.areas {
            let file = &*area.file;
            for Requirement {
                text,
                source,
                tests,
            } in &area.requirements
            {
                ensure!(
                    text.ends_with('.') && !text.contains(['\n', '|']),
                    "{file}: \"{text}\" is no sentence on one line, without |"
                );
                ensure!(!source.is_empty(), "{file}: \"{text}\" has no source");
                ensure!(!tests.is_empty(), "{file}: \"{text}\" names no test");
                for (index, test) in tests.iter().enumerate() {
                    ensure!(
                        !tests[..index].contains(test),
                        "{file}: \"{text}\" names {test} twice"
                    );
                }
                if let Some(other) = seen.insert(text, file) {
                    anyhow::bail!("\"{text}\" stands in {other} and in {file}");
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const GOOD: &str = "title = \"A\"\n[[requirement]]\ntext = \"It is so.\"\nsource = \"RFC 1 §2\"\ntests = [\"a\"]\n";

    fn parse(text: &str) -> Result<Catalogue> {
        Catalogue::parse([("a.toml".to_owned(), text.to_owned())])
    }

    #[test]
    fn a_requirement_is_whole_or_an_error() {
        assert_eq!(parse(GOOD).unwrap().areas[0].requirements.len(), 1);
        for (from, to) in [
            ("title = \"A\"\n", ""),
            ("It is so.", "It is so"),
            ("It is so.", "It is | so."),
            ("It is so.", "It is\\nso."),
            ("RFC 1 §2", ""),
            ("[\"a\"]", "[]"),
            ("[\"a\"]", "[\"a\", \"a\"]"),
            ("tests =", "test ="),
        ] {
            let bad = GOOD.replacen(from, to, 1);
            assert_ne!(bad, GOOD);
            assert!(parse(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_requirement_stands_once() {
        let twice = ["a.toml", "b.toml"].map(|name| (name.to_owned(), GOOD.to_owned()));
        let error = Catalogue::parse(twice).map(drop).unwrap_err().to_string();
        assert_eq!(error, "\"It is so.\" stands in a.toml and in b.toml");
    }
}

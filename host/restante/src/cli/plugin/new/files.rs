//! The files that projects are made of, embedded when the server is built.

use std::collections::BTreeMap;

use anyhow::Context;

include!(concat!(env!("OUT_DIR"), "/project_files.rs"));

/// The files of a project by their paths in it.
pub(super) type Files = BTreeMap<String, String>;

/// One of them.
pub(super) fn embedded(path: &str) -> anyhow::Result<&'static str> {
    let found = PROJECT_FILES.iter().find(|(name, _)| *name == path);
    found
        .map(|(_, text)| *text)
        .with_context(|| format!("{path} is not embedded"))
}

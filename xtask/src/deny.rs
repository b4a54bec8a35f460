//! The crates that restante is made of, held to deny.toml by cargo-deny: licences, bans and
//! sources always; advisories where their database can be had, and said aloud where not.

use std::env;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use crate::cargo::{self, Workspace};
use crate::machine::crates_io;

/// The version that deny.toml is written for.
const CARGO_DENY: &str = "0.20.2";

/// Whoever sets it to 1 gets a failure where advisories cannot be checked.
const REQUIRE_ADVISORIES: &str = "RESTANTE_REQUIRE_ADVISORIES";

/// Checks all that deny.toml says.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let program = program(workspace)?;
    // None of these needs the database of advisories, or the network.
    let mut deny = workspace.tool(&program);
    cargo::run(deny.args([
        "check",
        "--hide-inclusion-graph",
        "bans",
        "licenses",
        "sources",
    ]))?;
    let mut fetch = workspace.tool(&program);
    if let Err(error) = cargo::run(fetch.args(["fetch", "db"])) {
        let required = env::var_os(REQUIRE_ADVISORIES).is_some_and(|value| value == "1");
        return not_checked(
            &format!("their database cannot be fetched: {error:#}"),
            required,
        );
    }
    let mut deny = workspace.tool(&program);
    cargo::run(deny.args(["check", "--disable-fetch", "advisories"]))
}

/// An error where it is required that they are checked, else words that nobody overlooks.
fn not_checked(why: &str, required: bool) -> Result<()> {
    if required {
        bail!("advisories: not checked: {why} ({REQUIRE_ADVISORIES} is 1)");
    }
    eprintln!("    advisories: NOT CHECKED: {why}");
    eprintln!("    {REQUIRE_ADVISORIES}=1 makes this a failure");
    Ok(())
}

/// cargo-deny: the one below the target folder, or else the one in PATH, or else one that is
/// installed below the target folder.
fn program(workspace: &Workspace) -> Result<PathBuf> {
    let own = crates_io::place(workspace, "cargo-deny", CARGO_DENY);
    if own.is_file() {
        return Ok(own);
    }
    let mut version = Command::new("cargo-deny");
    version
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if version.status().is_ok_and(|status| status.success()) {
        return Ok("cargo-deny".into());
    }
    crates_io::installed(workspace, "cargo-deny", CARGO_DENY)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn advisories_that_cannot_be_checked_fail_where_they_must_be() {
        not_checked("no network", false).unwrap();
        let error = not_checked("no network", true).unwrap_err().to_string();
        assert!(
            error.contains("no network") && error.contains(REQUIRE_ADVISORIES),
            "{error}"
        );
    }

    /// An exception that nobody looks at again is no exception but the rule.
    #[test]
    fn each_exception_has_a_date_and_a_reason() {
        let text = include_str!("../../deny.toml");
        let deny: toml::Table = toml::from_str(text).unwrap();
        let exceptions = deny["advisories"]["ignore"].as_array().unwrap();
        for exception in exceptions {
            let reason = exception.get("reason").and_then(|reason| reason.as_str());
            let reason = reason.unwrap_or_else(|| panic!("no reason: {exception:?}"));
            let (date, why) = reason.split_once(": ").unwrap_or_default();
            let form: String = date
                .chars()
                .map(|one| if one.is_ascii_digit() { '0' } else { one })
                .collect();
            assert_eq!(form, "0000-00-00", "the date of {exception:?}");
            assert!(why.len() > 40, "why {exception:?} does not concern us");
        }
    }
}

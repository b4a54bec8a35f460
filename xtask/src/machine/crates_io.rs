//! Commands that crates.io has, installed below the target folder.

use std::env;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::cargo::{self, Workspace};

/// Where a command of this version is, or is to be installed.
pub(crate) fn place(workspace: &Workspace, name: &str, version: &str) -> PathBuf {
    root(workspace, name, version)
        .join("bin")
        .join(name)
        .with_extension(env::consts::EXE_EXTENSION)
}

fn root(workspace: &Workspace, name: &str, version: &str) -> PathBuf {
    let tools = workspace.target.join("tools");
    tools.join(format!("{name}-{version}"))
}

/// A command, at exactly this version; installed if this is the first time. Built without
/// optimisation: it is built far longer than it runs.
///
/// # Errors
/// It cannot be downloaded or built.
pub(crate) fn installed(workspace: &Workspace, name: &str, version: &str) -> Result<PathBuf> {
    installed_with(workspace, name, version, &[])
}

/// The same, built with these features beside its default ones.
///
/// # Errors
/// It cannot be downloaded or built.
pub(crate) fn installed_with(
    workspace: &Workspace,
    name: &str,
    version: &str,
    features: &[&str],
) -> Result<PathBuf> {
    let program = place(workspace, name, version);
    if program.is_file() {
        return Ok(program);
    }
    let mut install = workspace.cargo();
    install
        .args(["install", name, "--locked", "--debug", "--version", version])
        .arg("--root")
        .arg(root(workspace, name, version))
        .args(features.iter().flat_map(|feature| ["--features", *feature]));
    cargo::run(&mut install).with_context(|| {
        format!(
            "{name} {version} cannot be installed: is there a network, and a mirror of crates.io? \
             Where it cannot be built here, put one at {}",
            program.display()
        )
    })?;
    Ok(program)
}

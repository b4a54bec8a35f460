//! `cargo xtask demo`: from a fresh clone to a running server.

use std::ffi::OsString;
use std::process::Command;

use anyhow::{Context, Result};

use crate::Outcome;
use crate::build;
use crate::cargo::Workspace;
use crate::step::Steps;

/// Builds everything, then becomes `restante demo` with these arguments.
pub(crate) fn run(workspace: &Workspace, arguments: &[OsString]) -> Result<Outcome> {
    let server = build::everything(workspace, &mut Steps::new(build::STEPS))?;
    // In the caller's own folder: a path among the arguments is meant from there.
    let mut demo = Command::new(&server);
    demo.arg("demo").args(arguments);
    start(&mut demo).with_context(|| format!("cannot run {}", server.display()))
}

/// Puts the server in this process's place: Ctrl-C and every other signal reach
/// it and nobody else.
#[cfg(unix)]
fn start(demo: &mut Command) -> std::io::Result<Outcome> {
    use std::os::unix::process::CommandExt as _;
    Err(demo.exec())
}

#[cfg(not(unix))]
fn start(demo: &mut Command) -> std::io::Result<Outcome> {
    Ok(if demo.status()?.success() {
        Outcome::Done
    } else {
        Outcome::Failed
    })
}

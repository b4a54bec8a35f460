//! `cargo xtask check`: formatting and lints. Apart from the tests, because
//! clippy checks every dependency once more.

use anyhow::Result;

use crate::Outcome;
use crate::build::{guest_cargo, packages};
use crate::cargo::{self, Workspace};
use crate::step::Steps;
use crate::wasm_target;

/// Everything that can be said about the code without running it.
pub(crate) fn run(workspace: &Workspace) -> Result<Outcome> {
    let mut steps = Steps::new(4);
    steps.run("formatting", || {
        cargo::run(workspace.cargo().args(["fmt", "--all", "--", "--check"]))
    })?;
    steps.run("clippy: the host, the tests, the commands", || {
        cargo::run(
            workspace
                .cargo()
                .arg("clippy")
                .args(workspace.native_members())
                .args(["--all-targets", "--", "-D", "warnings"]),
        )
    })?;
    let target = steps.run("wasm target", || wasm_target::prepare(workspace))?;
    let guests: Vec<_> = [&*workspace.plugins, &*workspace.test_guests].concat();
    steps.run("clippy: the components", || {
        cargo::run(
            guest_cargo(workspace, &target, "clippy")
                .args(packages(&guests))
                .args(["--", "-D", "warnings"]),
        )
    })?;
    Ok(Outcome::Done)
}

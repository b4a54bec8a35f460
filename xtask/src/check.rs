//! `cargo xtask check`: formatting, lints, and the crates that all is made of. Apart from the tests, because
//! clippy checks every dependency once more.

use anyhow::Result;

use crate::Outcome;
use crate::build::{guest_cargo, packages};
use crate::cargo::{self, Workspace};
use crate::deny;
use crate::fuzz;
use crate::step::Steps;
use crate::wasm_target;

/// Everything that can be said about the code without running it.
pub(crate) fn run(workspace: &Workspace) -> Result<Outcome> {
    let mut steps = Steps::new(6);
    let fuzz_manifest = workspace.root.join("tests/fuzz/Cargo.toml");
    steps.run("formatting", || {
        cargo::run(workspace.cargo().args(["fmt", "--all", "--", "--check"]))?;
        let mut fuzz = workspace.cargo();
        fuzz.arg("fmt").arg("--manifest-path").arg(&fuzz_manifest);
        cargo::run(fuzz.args(["--", "--check"]))
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
    steps.run("clippy: the fuzz targets", || {
        if !fuzz::has_cxx() {
            eprintln!("    left out: there is no C++ compiler");
            return Ok(());
        }
        let mut clippy = workspace.cargo();
        clippy
            .arg("clippy")
            .arg("--manifest-path")
            .arg(&fuzz_manifest);
        let target = workspace.target.join("fuzz/check");
        clippy.arg("--target-dir").arg(target);
        cargo::run(clippy.args(["--all-targets", "--", "-D", "warnings"]))
    })?;
    steps.run("licences, sources and advisories of crates", || {
        deny::run(workspace)
    })?;
    Ok(Outcome::Done)
}

//! `cargo xtask check`: formatting, lints, documentation, packages, and the crates that
//! all is made of. Apart from the tests, because clippy checks every dependency once more.
//!
//! In the profile of the tests: what runs while crates are built (build scripts with
//! whole libraries in C, macros) is then built and run once for both.

use anyhow::Result;

use crate::Outcome;
use crate::build::{guest_cargo, packages};
use crate::cargo::{self, Member, Workspace};
use crate::deny;
use crate::machine::cxx;
use crate::step::Steps;
use crate::wasm_target;

/// Everything that can be said about the code without running it.
pub(crate) fn run(workspace: &Workspace) -> Result<Outcome> {
    let mut steps = Steps::new(8);
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
                .args(["clippy", "--release"])
                .args(workspace.native_members())
                .args(["--all-targets", "--", "-D", "warnings"]),
        )
    })?;
    steps.run("documentation of the crates", || document(workspace))?;
    steps.run("packages of what is published", || package(workspace))?;
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
        if !cxx::has_cxx() {
            eprintln!("    left out: there is no C++ compiler");
            return Ok(());
        }
        let mut clippy = workspace.cargo();
        clippy
            .args(["clippy", "--release"])
            .arg("--manifest-path")
            .arg(&fuzz_manifest);
        // Most of what they are made of has been checked above.
        clippy.arg("--target-dir").arg(&workspace.target);
        cargo::run(clippy.args(["--all-targets", "--", "-D", "warnings"]))
    })?;
    steps.run("licences, sources and advisories of crates", || {
        deny::run(workspace)
    })?;
    Ok(Outcome::Done)
}

/// Every link in the documentation leads somewhere: in what others read, and in
/// that of private items, for who works on the code.
fn document(workspace: &Workspace) -> Result<()> {
    let mut members: Vec<Member> = [&*workspace.host, &*workspace.published].concat();
    members.sort();
    members.dedup();
    for more in [&["--document-private-items"][..], &[]] {
        cargo::run(
            workspace
                .cargo()
                .args(["doc", "--release", "--no-deps"])
                .args(more)
                .args(packages(&members))
                .env("RUSTDOCFLAGS", "-D warnings"),
        )?;
    }
    Ok(())
}

/// What would be published builds from its package alone.
fn package(workspace: &Workspace) -> Result<()> {
    cargo::run(
        workspace
            .cargo()
            // What Cargo.lock names has been downloaded by now, and no newer version is
            // to decide whether a change goes in.
            .args(["package", "--offline", "--quiet"])
            // While somebody works on them, too.
            .arg("--allow-dirty")
            .args(packages(&workspace.published)),
    )
}

//! `cargo xtask test`: everything that is a test, counted.

use std::ffi::{OsStr, OsString};
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context, Result};

use crate::Outcome;
use crate::build;
use crate::cargo::Workspace;
use crate::conformance::{self, Table};
use crate::languages;
use crate::s3_servers;
use crate::step::Steps;
use crate::tally::Tally;
use crate::wasm_target::{self, WasmTarget};

/// Builds everything, runs the tests with these arguments to `cargo test`, and
/// closes with a line that counts them. Only a run of everything can say whether
/// docs/conformance.md holds.
pub(crate) fn run(workspace: &Workspace, arguments: &[OsString]) -> Result<Outcome> {
    let table = arguments.is_empty().then_some(Table::Check);
    run_and_conclude(workspace, arguments, table)
}

/// Runs everything, and writes docs/conformance.md.
pub(crate) fn conformance(workspace: &Workspace) -> Result<Outcome> {
    run_and_conclude(workspace, &[], Some(Table::Write))
}

fn run_and_conclude(
    workspace: &Workspace,
    arguments: &[OsString],
    table: Option<Table>,
) -> Result<Outcome> {
    let mut steps = Steps::new(7);
    let target = steps.run("wasm target", || wasm_target::prepare(workspace))?;
    build::plugins(workspace, &target, &mut steps)?;
    build::test_guests(workspace, &target, &mut steps)?;
    languages::plugins(workspace, &mut steps)?;
    let server = build::host(workspace, &mut steps)?;
    let mut cargo = cargo_test(workspace, &server, arguments);
    pass_on(&target, &mut cargo);
    steps.run("S3 servers for the tests", || {
        s3_servers::pass_on(workspace, &mut cargo)
    })?;
    if table == Some(Table::Write) {
        // What is written is committed: nothing may be skipped for want of a tool.
        cargo.env("CI", "true");
    }
    let (status, tally) = steps.run("tests", || run_tests(&mut cargo))?;

    let conformance = table.map_or(Ok(()), |table| {
        conformance::conclude(workspace, tally.verdicts(), table)
    });
    let (counts, unfinished) = tally.finish();
    if unfinished > 0 {
        eprintln!("{unfinished} test programs ended without a result");
    }
    let ran = counts.passed + counts.failed > 0;
    if !ran {
        eprintln!("no test ran");
    }
    if let Err(error) = &conformance {
        eprintln!("error: conformance: {error:#}");
    }
    writeln!(io::stdout(), "{counts}").context("cannot write the result")?;
    let passed = status.success() && counts.failed == 0 && ran && conformance.is_ok();
    Ok(match passed {
        true => Outcome::Done,
        false => Outcome::Failed,
    })
}

fn cargo_test(workspace: &Workspace, server: &Path, arguments: &[OsString]) -> Command {
    let mut cargo = workspace.cargo();
    cargo
        .args(["test", "--release", "--no-fail-fast"])
        .env("RESTANTE_BIN", server);
    if !selects_packages(arguments) {
        cargo.args(workspace.native_members());
    }
    cargo.args(arguments);
    cargo
}

/// Tells tests/plugins/new.rs, which builds components as their authors do, what a cargo
/// needs for that on this machine: lines of `NAME=VALUE`, and of arguments.
fn pass_on(target: &WasmTarget, cargo: &mut Command) {
    let mut env = OsString::new();
    for (name, value) in &target.env {
        for part in [name.as_os_str(), OsStr::new("="), value, OsStr::new("\n")] {
            env.push(part);
        }
    }
    cargo.env("RESTANTE_WASM_ENV", env);
    cargo.env("RESTANTE_WASM_ARGS", target.args.join(OsStr::new("\n")));
}

/// Whether the arguments before `--` say which packages to test; cargo would
/// test all of them beside `--workspace`.
fn selects_packages(arguments: &[OsString]) -> bool {
    arguments
        .iter()
        .take_while(|argument| *argument != "--")
        .map(|argument| argument.to_string_lossy())
        .any(|argument| {
            argument.starts_with("-p")
                || argument == "--package"
                || argument.starts_with("--package=")
        })
}

/// Passes the tests' output through while counting.
fn run_tests(cargo: &mut Command) -> Result<(ExitStatus, Tally)> {
    let mut child = cargo
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run cargo")?;
    let output = child
        .stdout
        .take()
        .context("the tests' output is not piped")?;
    let mut tally = Tally::default();
    pass_through(BufReader::new(output), &mut io::stdout().lock(), &mut tally)
        .context("cannot pass on what the tests say")?;
    let status = child.wait().context("cannot wait for cargo")?;
    Ok((status, tally))
}

fn pass_through(mut from: impl BufRead, to: &mut impl Write, tally: &mut Tally) -> io::Result<()> {
    let mut line = Vec::new();
    while from.read_until(b'\n', &mut line)? > 0 {
        to.write_all(&line)?;
        to.flush()?;
        let text = String::from_utf8_lossy(&line);
        tally.line(text.trim_end_matches(['\r', '\n']));
        line.clear();
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn output_is_passed_on_to_the_octet_and_counted() {
        let said = b"running 1 test\r\n\xff no UTF-8\ntest result: ok. 1 passed; 0 failed; \
            0 ignored; 0 measured; 0 filtered out\nno line end";
        let (mut passed_on, mut tally) = (Vec::new(), Tally::default());
        pass_through(&said[..], &mut passed_on, &mut tally).unwrap();
        assert_eq!(passed_on, said);
        assert_eq!(tally.finish().0.to_string(), "1 passed, 0 failed");
    }

    #[test]
    fn a_choice_of_packages_is_seen() {
        let selects = |arguments: &[&str]| {
            let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
            selects_packages(&arguments)
        };
        assert!(selects(&["-p", "restante-pop3"]));
        assert!(selects(&["-prestante-pop3"]));
        assert!(selects(&["filter", "--package=restante"]));
        assert!(!selects(&["filter"]));
        assert!(!selects(&["--", "-p"]));
        assert!(!selects(&["--profile", "release"]));
    }
}

//! The project's own commands: `cargo xtask …`.
//!
//! What a stranger with a fresh clone would otherwise have to know is here: how
//! the WebAssembly target is had, that plugins are built before the host that
//! embeds them, and what counts as all of the tests. Nothing here is part of the
//! server, and nothing outside cargo's target folder is changed (save for the
//! target that rustup adds to the toolchain in use).

mod bench;
mod build;
mod cargo;
mod check;
mod conformance;
mod contract;
mod demo;
mod deny;
mod fuzz;
mod languages;
mod machine;
mod s3_servers;
mod step;
mod tally;
mod test;
#[cfg(test)]
mod walls;
mod wasm_target;

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Result;

use crate::cargo::Workspace;

const HELP: &str = "\
The project's own commands.

Usage: cargo xtask COMMAND

  demo [ARGS]    build everything and run `restante demo ARGS`:
                   --listen ADDR, --listen-tls ADDR, --maildrop DIR, …
  build          build everything: the wasm target, the plugins, the host
  plugins        build only the components (and those that tests need)
  test [ARGS]    build everything, run every test and count them;
                   ARGS go to `cargo test`: a FILTER, -p CRATE, -- --nocapture, …
  conformance    run every test, and write docs/conformance.md
  bench [ARGS]   build everything and measure it beside a null server and Dovecot:
                   --quick, --row NAME, --list, …
  wit-reference  write what is made of the contract in wit/: docs/plugins/reference.md
                   and the SDK's copy, guest-sdk/wit
  freeze [--again]
                 make wit/ the released contract of its version, below
                   wit/released; --again: in place of the one that is there
  check          formatting, clippy, the crates' documentation, the packages of those
                   that are published; licences, sources and advisories of the
                   crates (installs cargo-deny below target/)
  fuzz [TARGET] [--seconds N] [--smoke]
                 build the fuzz targets and run each for N seconds (600), or for
                   12 from the seeds alone; needs a C++ compiler
  help           this text

Exit status: 0 done, 1 something failed, 2 no such command or argument.
";

/// What became of a command that ran to its end.
enum Outcome {
    Done,
    Failed,
}

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let command = arguments.next();
    let rest: Vec<OsString> = arguments.collect();
    match run(command, rest) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Option<OsString>, rest: Vec<OsString>) -> Result<ExitCode> {
    let Some(command) = command else {
        return Ok(usage("which command?"));
    };
    let name = command.to_string_lossy();
    let outcome = match (&*name, &*rest) {
        ("help" | "--help" | "-h", _) => {
            eprint!("{HELP}");
            Outcome::Done
        }
        ("demo", _) => demo::run(&Workspace::open()?, &rest)?,
        ("bench", _) => bench::run(&Workspace::open()?, &rest)?,
        ("test", _) => test::run(&Workspace::open()?, &rest)?,
        ("fuzz", _) => match fuzz::Plan::read(&rest) {
            Ok(plan) => fuzz::run(&Workspace::open()?, &plan)?,
            Err(problem) => return Ok(usage(&problem)),
        },
        ("freeze", []) => contract::freeze(&Workspace::open()?, false)?,
        ("freeze", [again]) if again == "--again" => contract::freeze(&Workspace::open()?, true)?,
        (
            "build" | "plugins" | "check" | "conformance" | "wit-reference" | "freeze",
            [first, ..],
        ) => {
            return Ok(usage(&format!(
                "`{name}` takes no argument, and there is \"{}\"",
                first.to_string_lossy()
            )));
        }
        ("build", []) => build::run(&Workspace::open()?)?,
        ("plugins", []) => build::run_plugins(&Workspace::open()?)?,
        ("conformance", []) => test::conformance(&Workspace::open()?)?,
        ("wit-reference", []) => contract::write_reference(&Workspace::open()?)?,
        ("check", []) => check::run(&Workspace::open()?)?,
        _ => return Ok(usage(&format!("there is no command \"{name}\""))),
    };
    Ok(match outcome {
        Outcome::Done => ExitCode::SUCCESS,
        Outcome::Failed => ExitCode::FAILURE,
    })
}

fn usage(problem: &str) -> ExitCode {
    eprintln!("error: {problem}\n\n{HELP}");
    ExitCode::from(2)
}

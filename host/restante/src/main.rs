//! The command line: wires the rooms, the only one that knows them all.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}

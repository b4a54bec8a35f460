//! `cargo xtask bench`: builds the server and what measures it, finds Dovecot,
//! and hands over to `restante-bench`.

use std::ffi::OsString;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::Outcome;
use crate::build;
use crate::cargo::Workspace;
use crate::languages::LANGUAGES;
use crate::machine::dovecot;
use crate::step::Steps;

/// Builds everything and measures; the arguments go to `restante-bench run`.
pub(crate) fn run(workspace: &Workspace, arguments: &[OsString]) -> Result<Outcome> {
    let mut steps = Steps::new(build::STEPS + 1 + LANGUAGES.len());
    let server = build::everything(workspace, &mut steps)?;
    // One build makes both.
    let bench = server.with_file_name("restante-bench");
    ensure!(bench.is_file(), "there is no {}", bench.display());
    let work = workspace.target.join("bench");
    let found = steps.run("Dovecot, to compare with", || dovecot::find(&work));
    let authenticators = LANGUAGES.map(|language| {
        let what = format!("an authenticator in {}", language.name);
        let built = steps.run(&what, || language.component(workspace));
        (language.name, built)
    });

    let mut command = Command::new(&bench);
    command
        .arg("run")
        .arg("--server")
        .arg(&server)
        .arg("--work")
        .arg(&work)
        .arg("--docs")
        .arg(workspace.root.join("docs/benchmarks"));
    match found {
        Ok(dovecot) => {
            command.arg("--dovecot");
            command.args([dovecot.master, dovecot.pop3, dovecot.pop3_login]);
        }
        Err(error) => eprintln!("    it is left out: {error:#}"),
    }
    for (name, built) in authenticators {
        match built {
            Ok(component) => {
                let mut pair = OsString::from(format!("{name}="));
                pair.push(component);
                command.arg("--authenticator").arg(pair);
            }
            Err(error) => eprintln!("    {name} is left out: {error:#}"),
        }
    }
    let status = command
        .args(arguments)
        .status()
        .with_context(|| format!("cannot run {}", bench.display()))?;
    Ok(match status.success() {
        true => Outcome::Done,
        false => Outcome::Failed,
    })
}

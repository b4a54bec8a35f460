//! Programs that the tests need beside the server: found, or installed where
//! that is allowed, or named as missing.

use std::fs::File;
use std::io::Write as _;
use std::process::{Command, Stdio};

use rustix::process::geteuid;

/// A program and where it comes from.
#[derive(Debug)]
pub struct Tool {
    /// What people call it.
    pub name: &'static str,
    /// A command that succeeds exactly when it is there.
    pub probe: &'static [&'static str],
    /// The Debian packages that bring it.
    pub packages: &'static [&'static str],
}

/// The Python that runs the reference.
const PYTHON: Tool = Tool {
    name: "python3",
    probe: &["python3", "-c", "import mailbox, poplib, ssl"],
    packages: &["python3"],
};

/// Whether all of these are there: missing ones are installed if this is root
/// on a machine with apt. One that cannot be had fails the test where `CI` is
/// true; elsewhere the test is skipped, and says so.
pub fn require(test: &str, tools: &[&Tool]) -> bool {
    for tool in tools {
        if is_there(tool) {
            continue;
        }
        let Err(why) = install(tool) else { continue };
        skip(&format!(
            "{test} needs {} (Debian: {}), which is not here and could not be installed: {why}",
            tool.name,
            tool.packages.join(" ")
        ));
        return false;
    }
    true
}

/// Says that a test is left out, which fails it where `CI` is true.
pub(crate) fn skip(why: &str) {
    assert!(
        std::env::var("CI").as_deref() != Ok("true"),
        "skipped: {why}; with CI=true nothing may be skipped"
    );
    // Written past the capture of the test runner: a skip must be seen.
    let _ = writeln!(std::io::stderr(), "skipped: {why}");
}

/// A Python command, or none when the test has to be skipped.
pub fn python(test: &str) -> Option<Command> {
    require(test, &[&PYTHON]).then(|| Command::new("python3"))
}

fn is_there(tool: &Tool) -> bool {
    succeeds(Command::new(tool.probe[0]).args(&tool.probe[1..])).is_ok()
}

/// Installs a tool with apt, one test at a time.
fn install(tool: &Tool) -> Result<(), String> {
    if !geteuid().is_root() {
        return Err("this is not root".to_owned());
    }
    let lock = std::env::temp_dir().join("restante-tests-install.lock");
    let lock = File::create(&lock).map_err(|error| error.to_string())?;
    lock.lock().map_err(|error| error.to_string())?;
    // Another test may have been at it while this one waited.
    if is_there(tool) {
        return Ok(());
    }
    if apt_install(tool).is_err() {
        // A fresh container has no package lists.
        succeeds(apt().arg("update"))?;
        apt_install(tool)?;
    }
    if is_there(tool) {
        Ok(())
    } else {
        Err(format!("installed, but `{}` fails", tool.probe.join(" ")))
    }
}

fn apt_install(tool: &Tool) -> Result<(), String> {
    succeeds(
        apt()
            .args(["install", "--yes", "--no-install-recommends"])
            .args(tool.packages),
    )
}

fn apt() -> Command {
    let mut command = Command::new("apt-get");
    command
        .args(["--quiet", "-o", "DPkg::Lock::Timeout=300"])
        .env("DEBIAN_FRONTEND", "noninteractive");
    command
}

/// Runs a command quietly; why it failed.
fn succeeds(command: &mut Command) -> Result<(), String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{}: {error}", command.get_program().display()))?;
    if output.status.success() {
        return Ok(());
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    let last = stderr.lines().last().unwrap_or("no message").to_owned();
    Err(format!("{}: {last}", command.get_program().display()))
}

//! The target that components are built for, had in one of four ways: it is
//! there; an earlier run prepared it; rustup adds it; Debian's packages hold what
//! it is built from.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::cargo::Workspace;
use crate::machine::debian;

/// WASI 0.2; its linker makes components without further tools.
pub(crate) const TRIPLE: &str = "wasm32-wasip2";

/// How long rustup may take. A download takes some seconds; where there is no
/// network, this is what a first run loses.
const RUSTUP_TIMEOUT: Duration = Duration::from_secs(120);

/// How often to look whether rustup has ended.
const RUSTUP_POLL: Duration = Duration::from_millis(50);

/// What a cargo needs beyond `--target` to build for the target.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct WasmTarget {
    /// Environment variables.
    pub(crate) env: Vec<(OsString, OsString)>,
    /// Arguments, to follow cargo's verb.
    pub(crate) args: Vec<OsString>,
}

/// The compiler in use.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Toolchain {
    /// Where its libraries are.
    pub(crate) sysroot: PathBuf,
    /// Its version, as in "1.95.0" or "1.97.0-nightly".
    pub(crate) release: String,
    /// The triple of this machine.
    pub(crate) host: String,
}

/// Finds the target or has it made. The error names what to install.
pub(crate) fn prepare(workspace: &Workspace) -> Result<WasmTarget> {
    let toolchain = Toolchain::in_use()?;
    if toolchain.has_target() {
        eprintln!("    installed, for rustc {}", toolchain.release);
        return Ok(WasmTarget::default());
    }
    let sysroot = workspace.target.join("wasm-sysroot");
    if let Some(target) = debian::prepared(&toolchain, &sysroot) {
        eprintln!("    prepared earlier, in {}", sysroot.display());
        return target;
    }
    eprintln!(
        "    not installed for rustc {}: asking rustup",
        toolchain.release
    );
    let rustup = match add_with_rustup(&toolchain) {
        Ok(()) => return Ok(WasmTarget::default()),
        Err(error) => format!("{error:#}"),
    };
    eprintln!("    {rustup}; asking Debian's archive for the sources");
    let debian = match debian::prepare(&toolchain, &sysroot) {
        Ok(target) => return Ok(target),
        Err(error) => format!("{error:#}"),
    };
    bail!(
        "the Rust target {TRIPLE} is missing, and could not be had:\n  \
         rustc {release} has no {folder}\n  \
         rustup: {rustup}\n  \
         Debian: {debian}\n\
         Install one of these, then call this command again:\n  \
         rustup target add {TRIPLE}\n  \
         the package of your distribution with Rust's standard library for {TRIPLE}, \
         of version {release}",
        release = toolchain.release,
        folder = toolchain.target_libraries().display(),
    )
}

impl Toolchain {
    /// The compiler that cargo calls.
    pub(crate) fn in_use() -> Result<Self> {
        let version = rustc_says(&["-vV"])?;
        let sysroot = rustc_says(&["--print", "sysroot"])?;
        Self::from_output(&version, &sysroot)
    }

    fn from_output(version: &str, sysroot: &str) -> Result<Self> {
        let line = |key: &str| {
            version
                .lines()
                .find_map(|line| line.strip_prefix(key)?.strip_prefix(": "))
                .map(str::to_owned)
                .with_context(|| format!("`rustc -vV` names no {key}"))
        };
        Ok(Self {
            sysroot: sysroot.trim_end().into(),
            release: line("release")?,
            host: line("host")?,
        })
    }

    fn target_libraries(&self) -> PathBuf {
        self.sysroot.join("lib/rustlib").join(TRIPLE).join("lib")
    }

    /// Whether the standard library is there; the folder alone may be left over.
    fn has_target(&self) -> bool {
        fs::read_dir(self.target_libraries()).is_ok_and(|files| {
            files.flatten().any(|file| {
                let name = file.file_name();
                let name = name.to_string_lossy();
                name.starts_with("libstd-") && name.ends_with(".rlib")
            })
        })
    }

    /// The linker of the target: part of Rust's own toolchains, but not of every
    /// distribution's.
    pub(crate) fn has_component_linker(&self) -> bool {
        const LINKER: &str = "wasm-component-ld";
        let own = self
            .sysroot
            .join("lib/rustlib")
            .join(&self.host)
            .join("bin");
        let path = env::var_os("PATH").unwrap_or_default();
        env::split_paths(&path).chain([own]).any(|folder| {
            folder
                .join(LINKER)
                .with_extension(env::consts::EXE_EXTENSION)
                .is_file()
        })
    }
}

fn rustc_says(arguments: &[&str]) -> Result<String> {
    let rustc = env::var_os("RUSTC").unwrap_or("rustc".into());
    let output = Command::new(&rustc)
        .args(arguments)
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot run {}", rustc.to_string_lossy()))?;
    ensure!(
        output.status.success(),
        "`rustc {}` failed",
        arguments.join(" ")
    );
    String::from_utf8(output.stdout).context("rustc's answer is not UTF-8")
}

/// Lets rustup add the target to the toolchain in use, and to no other.
fn add_with_rustup(toolchain: &Toolchain) -> Result<()> {
    let output = Command::new("rustup")
        .args(["which", "rustc"])
        .stderr(Stdio::null())
        .output()
        .ok()
        .context("rustup is not installed")?;
    let rustc = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.success() && is_below(Path::new(rustc.trim_end()), &toolchain.sysroot),
        "rustup does not manage the compiler in use"
    );
    let mut rustup = Command::new("rustup");
    rustup.args(["target", "add", TRIPLE]);
    run_with_timeout(&mut rustup, RUSTUP_TIMEOUT)?;
    ensure!(
        toolchain.has_target(),
        "`rustup target add {TRIPLE}` left no standard library behind"
    );
    Ok(())
}

fn is_below(file: &Path, folder: &Path) -> bool {
    match (file.canonicalize(), folder.canonicalize()) {
        (Ok(file), Ok(folder)) => file.starts_with(folder),
        _ => false,
    }
}

fn run_with_timeout(command: &mut Command, timeout: Duration) -> Result<()> {
    let mut child = command.spawn().context("cannot run it")?;
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if begun.elapsed() >= timeout {
            // It may end by itself just now; either way it is waited for.
            let _ = child.kill();
            child.wait()?;
            bail!("rustup took more than {} s", timeout.as_secs());
        }
        thread::sleep(RUSTUP_POLL);
    };
    ensure!(status.success(), "`rustup target add {TRIPLE}` failed");
    Ok(())
}

/// cargo's list of flags for the compiler: those that the caller has set, then ours.
/// Encoded, so that a path may hold spaces.
pub(crate) fn encoded_rustflags(
    encoded: Option<&OsStr>,
    plain: Option<&OsStr>,
    ours: &[OsString],
) -> OsString {
    const SEPARATOR: &str = "\u{1f}";
    let callers = match (encoded, plain) {
        (Some(encoded), _) => encoded.to_owned(),
        (None, Some(plain)) => {
            let plain = plain.to_string_lossy();
            let flags: Vec<_> = plain.split_whitespace().collect();
            flags.join(SEPARATOR).into()
        }
        (None, None) => OsString::new(),
    };
    let callers = Some(callers).filter(|flags| !flags.is_empty());
    let flags: Vec<OsString> = callers.into_iter().chain(ours.iter().cloned()).collect();
    flags.join(OsStr::new(SEPARATOR))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const VERSION: &str = "rustc 1.95.0 (59807616e 2026-04-14)\nbinary: rustc\n\
        commit-hash: 59807616e1fa2540724bfbac14d7976d7e4a3860\ncommit-date: 2026-04-14\n\
        host: x86_64-unknown-linux-gnu\nrelease: 1.95.0\nLLVM version: 22.1.2\n";

    #[test]
    fn the_compiler_is_read_from_its_own_words() {
        let toolchain = Toolchain::from_output(VERSION, "/usr/lib/rust 1.95\n").unwrap();
        assert_eq!(
            toolchain,
            Toolchain {
                sysroot: "/usr/lib/rust 1.95".into(),
                release: "1.95.0".into(),
                host: "x86_64-unknown-linux-gnu".into(),
            }
        );
        assert!(Toolchain::from_output("rustc 1.95.0\n", "/usr").is_err());
    }

    #[test]
    fn a_target_without_its_standard_library_is_not_installed() {
        let folder = tempfile::tempdir().unwrap();
        let toolchain = Toolchain::from_output(VERSION, folder.path().to_str().unwrap()).unwrap();
        assert!(!toolchain.has_target());
        let libraries = toolchain.target_libraries();
        fs::create_dir_all(&libraries).unwrap();
        fs::write(libraries.join("libcore-0123.rlib"), b"").unwrap();
        assert!(!toolchain.has_target());
        fs::write(libraries.join("libstd-0123.rlib"), b"").unwrap();
        assert!(toolchain.has_target());
    }

    #[test]
    fn the_callers_flags_stay() {
        let ours = ["-Lnative=/a b".into(), "-Cx".into()];
        let join = |encoded: Option<&str>, plain: Option<&str>| {
            encoded_rustflags(encoded.map(OsStr::new), plain.map(OsStr::new), &ours)
        };
        assert_eq!(join(None, None), "-Lnative=/a b\u{1f}-Cx");
        assert_eq!(
            join(None, Some(" -D  warnings ")),
            "-D\u{1f}warnings\u{1f}-Lnative=/a b\u{1f}-Cx"
        );
        assert_eq!(
            join(Some("-A\u{1f}b"), Some("-Z")),
            "-A\u{1f}b\u{1f}-Lnative=/a b\u{1f}-Cx"
        );
        assert_eq!(join(Some(""), None), "-Lnative=/a b\u{1f}-Cx");
    }

    #[cfg(unix)]
    #[test]
    fn a_command_that_hangs_is_ended() {
        let begun = Instant::now();
        let mut sleep = Command::new("sleep");
        let result = run_with_timeout(sleep.arg("60"), Duration::from_millis(100));
        assert!(result.unwrap_err().to_string().contains("more than"));
        assert!(begun.elapsed() < Duration::from_secs(30));
        assert!(run_with_timeout(&mut Command::new("true"), Duration::from_secs(30)).is_ok());
        assert!(run_with_timeout(&mut Command::new("false"), Duration::from_secs(30)).is_err());
    }
}

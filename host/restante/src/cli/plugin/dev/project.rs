//! A plugin's project: what it is written in, how it is built, and where what was
//! built lies.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::SystemTime;

use anyhow::{Context, bail};
use parking_lot::{Mutex, MutexGuard};
use rustix::process::{Pid, Signal, kill_process_group};

/// Folders within folders that are searched for what was built.
const DEPTH: usize = 8;

/// The first octets of a component (the component model's layer of WebAssembly).
const COMPONENT: [u8; 8] = *b"\0asm\x0d\0\x01\0";

/// Lines of a README.md that are shown.
const CURL_LINES: usize = 4;

pub(super) struct Project {
    directory: PathBuf,
    tools: Tools,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tools {
    Cargo,
    Npm,
    ComponentizePy,
    Make,
}

impl Project {
    /// Finds out by its files how a project is built.
    pub(super) fn find(directory: &Path) -> anyhow::Result<Project> {
        let known = [
            ("Cargo.toml", Tools::Cargo),
            ("package.json", Tools::Npm),
            ("requirements.txt", Tools::ComponentizePy),
            ("Makefile", Tools::Make),
        ];
        let tools = known
            .into_iter()
            .find(|(file, _)| directory.join(file).is_file());
        let Some((_, tools)) = tools else {
            bail!(
                "{}: this is not a plugin's project: it has no Cargo.toml, package.json, requirements.txt or Makefile; `restante plugin new` makes one",
                directory.display()
            );
        };
        Ok(Project {
            directory: directory.to_owned(),
            tools,
        })
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(super) fn language(&self) -> &'static str {
        match self.tools {
            Tools::Cargo => "Rust",
            Tools::Npm if self.directory.join("tsconfig.json").is_file() => "TypeScript",
            Tools::Npm => "JavaScript",
            Tools::ComponentizePy => "Python",
            Tools::Make => "C",
        }
    }

    pub(super) fn command(&self) -> &'static str {
        match self.tools {
            Tools::Cargo => "cargo build --release --target wasm32-wasip2",
            Tools::Npm => "npm run build",
            Tools::ComponentizePy => "componentize-py",
            Tools::Make => "make",
        }
    }

    /// The lines of the README that talk to a server.
    pub(super) fn curl_lines(&self) -> Vec<String> {
        let text = fs::read_to_string(self.directory.join("README.md")).unwrap_or_default();
        let lines = text.lines().map(str::trim);
        let lines = lines.filter(|line| line.starts_with("curl "));
        lines.take(CURL_LINES).map(str::to_owned).collect()
    }

    /// Builds it. What the tools say goes to stderr. `known`: where the component
    /// will lie, if that is known.
    pub(super) fn build(&self, running: &Running, known: Option<&Path>) -> anyhow::Result<PathBuf> {
        match self.tools {
            Tools::Cargo => {
                let arguments = ["build", "--release", "--target", "wasm32-wasip2"];
                running.run(self.tool("cargo", arguments), "cargo build")?;
            }
            Tools::Npm => {
                if !self.directory.join("node_modules").is_dir() {
                    running.run(self.tool("npm", ["install"]), "npm install")?;
                }
                running.run(self.tool("npm", ["run", "build"]), "npm run build")?;
            }
            Tools::ComponentizePy => self.componentize(running, known)?,
            Tools::Make => running.run(self.tool("make", [""; 0]), "make")?,
        }
        match known {
            Some(known) if known.is_file() => Ok(known.to_owned()),
            Some(known) => bail!("the build made no {}", known.display()),
            None => self.newest(),
        }
    }

    fn componentize(&self, running: &Running, known: Option<&Path>) -> anyhow::Result<()> {
        let environment = self.directory.join(".venv");
        if !environment.is_dir() {
            let arguments = ["-m", "venv", ".venv"];
            running.run(self.tool("python3", arguments), "python3 -m venv")?;
        }
        let tool = environment.join("bin/componentize-py");
        if !tool.is_file() {
            let pip = environment.join("bin/pip");
            let arguments = ["install", "--quiet", "--requirement", "requirements.txt"];
            running.run(self.tool(pip, arguments), "pip install")?;
        }
        let output = match known {
            Some(known) => known.to_owned(),
            None => {
                let name = self.directory.file_name().unwrap_or("plugin".as_ref());
                self.directory.join(name).with_extension("wasm")
            }
        };
        let mut command = self.tool(tool, ["--wit-path", "wit", "--world", "plugin"]);
        command
            .args(["componentize", "plugin", "--output"])
            .arg(output);
        running.run(command, "componentize-py")
    }

    fn tool<A: Into<OsString>>(
        &self,
        program: impl Into<OsString>,
        arguments: impl IntoIterator<Item = A>,
    ) -> Command {
        let mut command = Command::new(program.into());
        command
            .args(arguments.into_iter().map(Into::into))
            .current_dir(&self.directory);
        command
    }

    /// The component that was written last.
    fn newest(&self) -> anyhow::Result<PathBuf> {
        let mut newest = None;
        let folder = match self.tools {
            Tools::Cargo => self.cargo_target()?.join("wasm32-wasip2/release"),
            _ => self.directory.clone(),
        };
        search(&folder, DEPTH, self.tools == Tools::Cargo, &mut newest);
        let found = newest.map(|(_, path)| path);
        found.with_context(|| {
            format!(
                "the build left no component in {}: {} must make one (a .wasm of wasm32-wasip2, or one that was wrapped)",
                folder.display(),
                self.command()
            )
        })
    }

    /// Where cargo builds: a workspace may have it elsewhere.
    fn cargo_target(&self) -> anyhow::Result<PathBuf> {
        let arguments = ["metadata", "--no-deps", "--format-version", "1"];
        let said = self.tool("cargo", arguments).output();
        let said = said.context("cargo metadata")?;
        let about: serde_json::Value = serde_json::from_slice(&said.stdout)
            .with_context(|| String::from_utf8_lossy(&said.stderr).into_owned())?;
        let target = about["target_directory"].as_str();
        Ok(target
            .context("cargo metadata names no target directory")?
            .into())
    }
}

/// The newest component below a folder. `flat`: in the folder itself.
fn search(folder: &Path, depth: usize, flat: bool, newest: &mut Option<(SystemTime, PathBuf)>) {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    for entry in entries {
        let (path, Ok(about)) = (entry.path(), entry.metadata()) else {
            continue;
        };
        if about.is_dir() {
            if !flat && depth > 0 && !is_fetched(&entry.file_name()) {
                search(&path, depth - 1, flat, newest);
            }
        } else if path.extension().is_some_and(|ending| ending == "wasm") && is_component(&path) {
            let modified = about.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            if newest.as_ref().is_none_or(|(last, _)| modified > *last) {
                *newest = Some((modified, path));
            }
        }
    }
}

/// Whether a folder holds what others have built.
fn is_fetched(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    name.starts_with('.') || name == "node_modules"
}

fn is_component(path: &Path) -> bool {
    let mut first = [0; COMPONENT.len()];
    let read = fs::File::open(path).and_then(|mut file| file.read_exact(&mut first));
    read.is_ok() && first == COMPONENT
}

/// The tool that runs now, with whatever it started: they are one process group,
/// and end together.
#[derive(Default)]
pub(super) struct Running(Mutex<State>);

#[derive(Default)]
struct State {
    group: Option<Pid>,
    stopped: bool,
}

impl Running {
    /// Runs a tool to its end.
    pub(super) fn run(&self, mut command: Command, name: &str) -> anyhow::Result<()> {
        let stderr = || std::io::stderr().as_fd().try_clone_to_owned();
        command
            .stdin(Stdio::null())
            .stdout(Stdio::from(stderr()?))
            .stderr(Stdio::from(stderr()?))
            .process_group(0);
        let mut child = self.start(command, name)?;
        let status = child.wait();
        self.state().group = None;
        let status = status.with_context(|| name.to_owned())?;
        match status.success() {
            true => Ok(()),
            false => bail!("{name} failed ({status})"),
        }
    }

    fn start(&self, mut command: Command, name: &str) -> anyhow::Result<Child> {
        let mut state = self.state();
        if state.stopped {
            bail!("{name}: not started, because the server is stopping");
        }
        let program = command.get_program().to_owned();
        let child = command.spawn();
        let child = child
            .with_context(|| format!("{name}: {program:?} cannot be started; is it installed?"))?;
        state.group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        Ok(child)
    }

    /// Ends it, and lets no other begin.
    pub(super) fn stop(&self) {
        let mut state = self.state();
        state.stopped = true;
        if let Some(group) = state.group.take() {
            // Fails only if all of it is gone.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in it can be half done.
        self.0.lock()
    }
}

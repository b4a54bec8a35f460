//! The benchmark's authenticators in other languages, built with those languages'
//! own tools, which are fetched below the target folder. Nothing is installed.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use anyhow::{Context, Result, ensure};

use crate::cargo::{self, Workspace};

/// Where the sources are, below the workspace.
const SOURCES: &str = "tests/bench/authenticators";
/// The contract, likewise.
const CONTRACT: &str = "wit";
const WORLD: &str = "authenticator-plugin";

/// The versions that are known to build them.
const COMPONENTIZE_PY: &str = "componentize-py==0.25.1";
const JCO: &str = "@bytecodealliance/jco@1.35.0";

/// A language, and how an authenticator in it becomes a component.
pub(crate) struct Language {
    /// As the benchmark calls it.
    pub(crate) name: &'static str,
    source: &'static str,
    build: fn(&Workspace, tools: &Path, component: &Path) -> Result<()>,
}

pub(crate) const LANGUAGES: [Language; 2] = [
    Language {
        name: "python",
        source: "authenticator.py",
        build: python,
    },
    Language {
        name: "javascript",
        source: "authenticator.js",
        build: javascript,
    },
];

impl Language {
    /// The component, built below `work` unless it is newer than all it is made of.
    pub(crate) fn component(&self, workspace: &Workspace, work: &Path) -> Result<PathBuf> {
        let tools = work.join(self.name);
        fs::create_dir_all(&tools)?;
        let component = tools.join("authenticator.wasm");
        let source = workspace.root.join(SOURCES).join(self.source);
        let newest = newest(&source)?.max(newest(&workspace.root.join(CONTRACT))?);
        let built = fs::metadata(&component).and_then(|about| about.modified());
        if !built.is_ok_and(|built| built > newest) {
            (self.build)(workspace, &tools, &component)
                .with_context(|| format!("the authenticator in {}", self.name))?;
            ensure!(component.is_file(), "there is no {}", component.display());
        }
        Ok(component)
    }
}

/// When a file, or the last of those in a folder, was written.
fn newest(path: &Path) -> Result<SystemTime> {
    let about = fs::metadata(path).with_context(|| format!("cannot find {}", path.display()))?;
    let mut newest = about.modified()?;
    if about.is_dir() {
        for entry in fs::read_dir(path)? {
            newest = newest.max(self::newest(&entry?.path())?);
        }
    }
    Ok(newest)
}

fn python(workspace: &Workspace, tools: &Path, component: &Path) -> Result<()> {
    let environment = tools.join("environment");
    let tool = environment.join("bin/componentize-py");
    if !tool.is_file() {
        cargo::run(
            Command::new("python3")
                .args(["-m", "venv"])
                .arg(&environment),
        )?;
        let pip = environment.join("bin/pip");
        cargo::run(Command::new(pip).args(["install", "--quiet", COMPONENTIZE_PY]))?;
    }
    let mut componentize = workspace.tool(&tool);
    componentize
        .args([
            "-d",
            CONTRACT,
            "-w",
            WORLD,
            "componentize",
            "--stub-wasi",
            "-p",
            SOURCES,
        ])
        .args(["authenticator", "-o"])
        .arg(component);
    cargo::run(&mut componentize)
}

fn javascript(workspace: &Workspace, tools: &Path, component: &Path) -> Result<()> {
    let tool = tools.join("node_modules/.bin/jco");
    if !tool.exists() {
        let mut npm = Command::new("npm");
        npm.args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"]);
        cargo::run(npm.arg(tools).arg(JCO))?;
    }
    // It takes paths below the working directory only, and goes to the source's own
    // folder unless it is told where to be.
    let below = component
        .strip_prefix(&workspace.root)
        .map_or_else(|_| OsString::from(component), OsString::from);
    let mut componentize = workspace.tool(&tool);
    componentize
        .arg("componentize")
        .arg(Path::new(SOURCES).join("authenticator.js"))
        .args(["--cwd", ".", "--wit", CONTRACT, "-n", WORLD])
        .args(["--backend", "qjs"])
        .args([
            "--backend-qjs-disable-async",
            "--backend-qjs-stub-wasi",
            "-o",
        ])
        .arg(below);
    cargo::run(&mut componentize)
}

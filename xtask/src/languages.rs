//! Components in other languages than Rust, built with those languages' own tools,
//! which are fetched below the target folder: the plugins of plugins/ that are no
//! packages of cargo, and the benchmark's authenticators. Nothing is installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use anyhow::{Context, Result, ensure};

use crate::cargo::{self, Workspace};
use crate::machine::clang;
use crate::step::Steps;

/// Where the benchmark's authenticators are, below the workspace.
const AUTHENTICATORS: &str = "tests/bench/authenticators";
const PLUGINS: &str = "plugins";
/// The contract, likewise.
const CONTRACT: &str = "wit";
const AUTHENTICATOR_WORLD: &str = "authenticator-plugin";
/// The folder of the built plugins, below that of the components.
const BUILT: &str = "languages";

/// The versions that are known to build everything here. Those of a plugin are in
/// its requirements.txt or package.json too, for whoever builds it alone.
const PYTHON_PACKAGES: [&str; 2] = ["componentize-py==0.25.1", "tzdata==2026.6"];
/// It brings componentize-js along, which the plugins are built with.
const JCO: &str = "@bytecodealliance/jco@1.35.0";

/// A language, and how it becomes a component.
pub(crate) struct Language {
    /// As the benchmark calls it.
    pub(crate) name: &'static str,
    authenticator: &'static str,
    /// The file by which a plugin's folder is known to be in this language.
    plugin: &'static str,
    fetch: fn(tools: &Path) -> Result<()>,
    build_authenticator: fn(&Workspace, tools: &Path, component: &Path) -> Result<()>,
    build_plugin: fn(&Workspace, tools: &Path, plugin: &Plugin, component: &Path) -> Result<()>,
}

pub(crate) const LANGUAGES: [Language; 2] = [
    Language {
        name: "python",
        authenticator: "authenticator.py",
        plugin: "app.py",
        fetch: fetch_python,
        build_authenticator: python_authenticator,
        build_plugin: python_plugin,
    },
    Language {
        name: "javascript",
        authenticator: "authenticator.js",
        plugin: "plugin.js",
        fetch: fetch_javascript,
        build_authenticator: javascript_authenticator,
        build_plugin: javascript_plugin,
    },
];

/// A plugin of plugins/ in one of the languages.
struct Plugin {
    name: String,
    folder: PathBuf,
}

impl Language {
    /// The benchmark's authenticator.
    pub(crate) fn component(&self, workspace: &Workspace) -> Result<PathBuf> {
        let tools = self.tools(workspace);
        let component = tools.join("authenticator.wasm");
        let source = workspace.root.join(AUTHENTICATORS).join(self.authenticator);
        if !is_built(workspace, &source, &component)? {
            (self.fetch)(&tools)?;
            (self.build_authenticator)(workspace, &tools, &component)
                .with_context(|| format!("the authenticator in {}", self.name))?;
            ensure!(component.is_file(), "there is no {}", component.display());
        }
        Ok(component)
    }

    fn tools(&self, workspace: &Workspace) -> PathBuf {
        workspace.target.join("languages").join(self.name)
    }

    fn plugins(&self, workspace: &Workspace) -> Result<Vec<Plugin>> {
        let mut plugins = Vec::new();
        for entry in fs::read_dir(workspace.root.join(PLUGINS))? {
            let folder = entry?.path();
            let name = folder.file_name().and_then(|name| name.to_str());
            if let Some(name) = name
                && folder.join(self.plugin).is_file()
            {
                let name = name.to_owned();
                plugins.push(Plugin { name, folder });
            }
        }
        plugins.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(plugins)
    }

    fn build(&self, workspace: &Workspace, plugin: &Plugin, component: &Path) -> Result<()> {
        let tools = self.tools(workspace);
        (self.fetch)(&tools)?;
        (self.build_plugin)(workspace, &tools, plugin, component)?;
        ensure!(component.is_file(), "there is no {}", component.display());
        Ok(())
    }
}

/// Builds the plugins in other languages. Where one cannot be built, for want of a
/// tool say, it is left out and its tests are skipped; with `CI` true that fails.
pub(crate) fn plugins(workspace: &Workspace, steps: &mut Steps) -> Result<()> {
    let folder = workspace.components().join(BUILT);
    let is_ci = std::env::var_os("CI").is_some_and(|ci| ci == "true");
    steps.run("plugins in other languages", || {
        fs::create_dir_all(&folder)?;
        for language in &LANGUAGES {
            for plugin in language.plugins(workspace)? {
                let component = folder.join(format!("{}.wasm", plugin.name));
                if is_built(workspace, &plugin.folder, &component)? {
                    continue;
                }
                // What cannot be built must not be tested as it once was.
                let _ = fs::remove_file(&component);
                let built = language
                    .build(workspace, &plugin, &component)
                    .with_context(|| format!("{} in {}", plugin.name, language.name));
                match built {
                    Err(error) if is_ci => return Err(error),
                    Err(error) => eprintln!("    left out: {error:#}"),
                    Ok(()) => {}
                }
            }
        }
        if let Err(error) = clang::find(workspace) {
            ensure!(!is_ci, "{error:#}");
            eprintln!("    no tests of C: {error:#}");
        }
        Ok(())
    })
}

/// Whether a component is newer than all it is made of.
fn is_built(workspace: &Workspace, source: &Path, component: &Path) -> Result<bool> {
    let newest = newest(source)?.max(newest(&workspace.root.join(CONTRACT))?);
    let built = fs::metadata(component).and_then(|about| about.modified());
    Ok(built.is_ok_and(|built| built > newest))
}

/// When a file, or the last of those in a folder, was written.
fn newest(path: &Path) -> Result<SystemTime> {
    let about = fs::metadata(path).with_context(|| format!("cannot find {}", path.display()))?;
    let mut newest = about.modified()?;
    if about.is_dir() {
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            if !is_made_by_tools(&entry.file_name().to_string_lossy()) {
                newest = newest.max(self::newest(&entry.path())?);
            }
        }
    }
    Ok(newest)
}

/// What somebody who works in a plugin's folder has there beside its sources.
fn is_made_by_tools(name: &str) -> bool {
    name.starts_with('.') || matches!(name, "node_modules" | "__pycache__")
}

fn fetch_python(tools: &Path) -> Result<()> {
    let stamp = tools.join("packages");
    let wanted = PYTHON_PACKAGES.join("\n");
    if fs::read_to_string(&stamp).is_ok_and(|there| there == wanted) {
        return Ok(());
    }
    fs::create_dir_all(tools)?;
    let environment = tools.join("environment");
    cargo::run(
        Command::new("python3")
            .args(["-m", "venv"])
            .arg(&environment),
    )?;
    let pip = environment.join("bin/pip");
    cargo::run(
        Command::new(pip)
            .args(["install", "--quiet"])
            .args(PYTHON_PACKAGES),
    )?;
    fs::write(stamp, wanted)?;
    Ok(())
}

/// componentize-py, told of the contract.
fn componentize_py(workspace: &Workspace, tools: &Path) -> Command {
    let environment = tools.join("environment");
    let mut componentize = workspace.tool(&environment.join("bin/componentize-py"));
    // It looks for packages there.
    componentize.env("VIRTUAL_ENV", environment);
    componentize.args(["--quiet", "-d", CONTRACT]);
    componentize
}

fn python_authenticator(workspace: &Workspace, tools: &Path, component: &Path) -> Result<()> {
    let mut componentize = componentize_py(workspace, tools);
    componentize
        .args(["-w", AUTHENTICATOR_WORLD, "componentize", "--stub-wasi"])
        .args(["-p", AUTHENTICATORS, "authenticator", "-o"])
        .arg(component);
    cargo::run(&mut componentize)
}

fn python_plugin(
    workspace: &Workspace,
    tools: &Path,
    plugin: &Plugin,
    component: &Path,
) -> Result<()> {
    let mut componentize = componentize_py(workspace, tools);
    componentize
        .arg("-d")
        .arg(plugin.folder.join("world.wit"))
        .arg("-w")
        .arg(format!("restante:{}/plugin", plugin.name))
        .args(["componentize", "-p"])
        .arg(&plugin.folder)
        .args(["app", "-o"])
        .arg(component)
        .env("PYTHONDONTWRITEBYTECODE", "1");
    cargo::run(&mut componentize)
}

fn fetch_javascript(tools: &Path) -> Result<()> {
    let stamp = tools.join("packages");
    if fs::read_to_string(&stamp).is_ok_and(|there| there == JCO) {
        return Ok(());
    }
    fs::create_dir_all(tools)?;
    let mut npm = Command::new("npm");
    npm.args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"]);
    cargo::run(npm.arg(tools).arg(JCO))?;
    fs::write(stamp, JCO)?;
    Ok(())
}

fn javascript_authenticator(workspace: &Workspace, tools: &Path, component: &Path) -> Result<()> {
    let mut componentize = workspace.tool(&tools.join("node_modules/.bin/jco"));
    componentize
        .arg("componentize")
        // It looks for a relative one below the source's own folder.
        .arg(workspace.root.join(AUTHENTICATORS).join("authenticator.js"))
        .args(["--wit", CONTRACT, "-n", AUTHENTICATOR_WORLD])
        .args(["--backend", "qjs", "--backend-qjs-disable-async"])
        .args(["--backend-qjs-stub-wasi", "-o"])
        .arg(component);
    cargo::run(&mut componentize)
}

fn javascript_plugin(
    workspace: &Workspace,
    tools: &Path,
    plugin: &Plugin,
    component: &Path,
) -> Result<()> {
    // Packages are found in folders above the program that asks for them.
    let copy = tools.join(&plugin.name);
    fs::create_dir_all(&copy)?;
    for entry in fs::read_dir(&plugin.folder)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            fs::copy(entry.path(), copy.join(entry.file_name()))?;
        }
    }
    let mut node = workspace.tool(Path::new("node"));
    node.arg(copy.join("build.mjs"))
        .arg(workspace.root.join(CONTRACT))
        .arg(component);
    cargo::run(&mut node)
}

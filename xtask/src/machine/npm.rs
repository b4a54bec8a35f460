//! Commands that npm's registry has, installed below the target folder.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::cargo::{self, Workspace};

/// A command, of exactly this version of the package that has its name; installed if this is the
/// first time.
///
/// # Errors
/// It cannot be downloaded.
pub(crate) fn installed(workspace: &Workspace, name: &str, version: &str) -> Result<PathBuf> {
    let tools = workspace.target.join("tools");
    let folder = tools.join(format!("{name}-{version}"));
    if !folder.is_dir() {
        fs::create_dir_all(&tools)?;
        // Made aside and renamed: what has the version's name is whole.
        let work = tools.join(format!("{name}-{version}.work"));
        remove(&work)?;
        let mut npm = Command::new("npm");
        npm.args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"]);
        npm.arg(&work).arg(format!("{name}@{version}"));
        cargo::run(&mut npm).with_context(|| {
            format!(
                "{name} {version} cannot be installed: are Node.js and npm there, a network, and a \
                 mirror of npm's registry?"
            )
        })?;
        fs::rename(&work, &folder)
            .with_context(|| format!("cannot move {} to {}", work.display(), folder.display()))?;
    }
    let program = folder.join("node_modules/.bin").join(name);
    ensure!(
        program.is_file(),
        "there is no {}: remove {}, and run this again",
        program.display(),
        folder.display()
    );
    Ok(program)
}

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

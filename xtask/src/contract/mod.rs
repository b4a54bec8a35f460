//! The contract in wit/ as data: to describe it (docs/plugins/reference.md), to
//! freeze it, and to hold it against what was released.

mod compatible;
mod copy;
mod freeze;
mod reference;
mod released;
mod words;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, ensure};
use wit_parser::{PackageId, Resolve, SourceMap, UnresolvedPackageGroup};

use crate::Outcome;
use crate::cargo::Workspace;

pub(crate) use freeze::freeze;

/// Where the contract is, below the workspace.
const CONTRACT: &str = "wit";
/// The copy of it that is inside the SDK's package.
const COPY: &str = "guest-sdk/wit";
/// What was released of it, a folder a version.
const RELEASED: &str = "wit/released";
/// The world that has every role and all that the host has.
const WHOLE_WORLD: &str = "every-role";

/// Writes all that is made of the contract and committed: its reference, and the
/// SDK's copy.
pub(crate) fn write_reference(workspace: &Workspace) -> Result<Outcome> {
    reference::write(&workspace.root)?;
    copy::write(&workspace.root)?;
    Ok(Outcome::Done)
}

/// A version of the contract, with the packages that it names.
struct Contract {
    resolve: Resolve,
    package: PackageId,
}

impl Contract {
    /// Reads a folder of *.wit with their dependencies below deps/.
    fn read(folder: &Path) -> Result<Contract> {
        let mut dependencies = Vec::new();
        for dependency in sorted(&folder.join("deps"))? {
            if dependency.is_dir() {
                dependencies.push(package(&dependency)?);
            }
        }
        let mut resolve = Resolve::new();
        let package = resolve
            .push_groups(package(folder)?, dependencies)
            .map_err(|error| anyhow!("{}: {error}", folder.display()))?;
        Ok(Contract { resolve, package })
    }

    /// "0.1.0".
    fn version(&self) -> Result<String> {
        let name = &self.resolve.packages[self.package].name;
        let version = name.version.as_ref();
        let version = version.with_context(|| format!("{name} has no version"))?;
        Ok(version.to_string())
    }
}

fn package(folder: &Path) -> Result<UnresolvedPackageGroup> {
    let mut sources = SourceMap::new();
    for file in wit_files(folder)? {
        let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        sources.push_str(&file.to_string_lossy(), text);
    }
    sources
        .parse()
        .map_err(|(_, error)| anyhow!("{}: {error}", folder.display()))
}

/// The contract's files: its own, and those of the packages that it names.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = wit_files(folder)?;
    for dependency in sorted(&folder.join("deps"))? {
        files.extend(wit_files(&dependency)?);
    }
    Ok(files)
}

/// Makes `to` a copy of the contract in `from`, without what else is there.
fn copy_files(from: &Path, to: &Path) -> Result<()> {
    if to.exists() {
        fs::remove_dir_all(to)?;
    }
    for file in files(from)? {
        let copy = to.join(file.strip_prefix(from)?);
        fs::create_dir_all(copy.parent().context("a file has a folder")?)?;
        fs::copy(&file, copy)?;
    }
    Ok(())
}

/// The *.wit of a folder, in the order of their names.
fn wit_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = sorted(folder)?;
    files.retain(|file| file.extension().is_some_and(|end| end == "wit"));
    ensure!(
        !files.is_empty(),
        "there is no *.wit in {}",
        folder.display()
    );
    Ok(files)
}

fn sorted(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut paths = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

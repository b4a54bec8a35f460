//! The contract in wit/ as data: to describe it (docs/plugins/reference.md), to
//! freeze it, and to hold it against what was released.

mod compatible;
mod freeze;
mod reference;
mod released;
mod words;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, ensure};
use wit_parser::{PackageId, Resolve, SourceMap, UnresolvedPackageGroup};

pub(crate) use freeze::freeze;
pub(crate) use reference::write_reference;

/// Where the contract is, below the workspace.
const CONTRACT: &str = "wit";
/// What was released of it, a folder a version.
const RELEASED: &str = "wit/released";
/// The world that has every role and all that the host has.
const WHOLE_WORLD: &str = "every-role";

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

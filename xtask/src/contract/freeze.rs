//! `cargo xtask freeze`: wit/ as it is becomes the released contract of its version.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use sha2::{Digest, Sha256};

use super::released::DIGESTS;
use super::{CONTRACT, Contract, RELEASED, compatible, copy_files, sorted};
use crate::Outcome;
use crate::cargo::Workspace;

const TABLE: &str = "xtask/src/contract/released.rs";

/// Copies wit/ to wit/released/VERSION, and writes its digest into the table. A
/// version that is there already is only replaced where `again` says so: until the
/// first release with it, that is.
pub(crate) fn freeze(workspace: &Workspace, again: bool) -> Result<Outcome> {
    let from = workspace.root.join(CONTRACT);
    let contract = Contract::read(&from)?;
    let version = contract.version()?;
    let to = workspace.root.join(RELEASED).join(&version);
    ensure!(
        again || !to.exists(),
        "{version} is released: what changes needs another version in wit/*.wit. If nobody has \
         it yet, `cargo xtask freeze --again`"
    );
    for (released, _) in DIGESTS.iter().filter(|(there, _)| *there != version) {
        let folder = workspace.root.join(RELEASED).join(released);
        let differences = compatible::differences(&Contract::read(&folder)?, &contract);
        ensure!(
            differences.is_empty(),
            "{version} does not serve what was built for {released}:\n{}",
            differences.join("\n")
        );
    }
    copy_files(&from, &to)?;
    let mut digests: Vec<(String, String)> = DIGESTS
        .iter()
        .map(|(version, digest)| ((*version).to_owned(), (*digest).to_owned()))
        .filter(|(there, _)| *there != version)
        .collect();
    digests.push((version, digest(&to)?));
    fs::write(workspace.root.join(TABLE), table(&digests))?;
    eprintln!("{} is frozen", to.display());
    Ok(Outcome::Done)
}

/// Of all files below a folder, their names included.
fn digest(folder: &Path) -> Result<String> {
    let mut hasher = Sha256::new();
    for file in all_below(folder)? {
        let name = file.strip_prefix(folder)?.to_string_lossy().into_owned();
        let octets = fs::read(&file)?;
        hasher.update(format!("{name} {}\n", octets.len()));
        hasher.update(octets);
    }
    let mut hex = String::new();
    for octet in hasher.finalize() {
        write!(hex, "{octet:02x}")?;
    }
    Ok(hex)
}

fn all_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in sorted(folder)? {
        match path.is_dir() {
            true => files.extend(all_below(&path)?),
            false => files.push(path),
        }
    }
    Ok(files)
}

fn table(digests: &[(String, String)]) -> String {
    let mut text = String::from(
        "//! The released versions of the contract, and the digests of their files. Written by\n\
         //! `cargo xtask freeze`.\n\n\
         pub(super) const DIGESTS: &[(&str, &str)] = &[\n",
    );
    for (version, digest) in digests {
        text.push_str(&format!(
            "    (\n        \"{version}\",\n        \"{digest}\",\n    ),\n"
        ));
    }
    text.push_str("];\n");
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn no_released_contract_has_changed() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        for (version, expected) in DIGESTS {
            let folder = root.join(RELEASED).join(version);
            assert_eq!(
                digest(&folder).unwrap(),
                *expected,
                "wit/released/{version} is not what was released: take the change back"
            );
        }
    }

    #[test]
    fn each_change_of_a_file_or_a_name_changes_the_digest() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("deps")).unwrap();
        fs::write(path("a.wit"), "one").unwrap();
        fs::write(path("deps/b.wit"), "two").unwrap();
        let mut seen = vec![digest(folder.path()).unwrap()];
        let mut is_new = || {
            let digest = digest(folder.path()).unwrap();
            assert!(!seen.contains(&digest));
            seen.push(digest);
        };
        fs::write(path("deps/b.wit"), "2").unwrap();
        is_new();
        fs::rename(path("a.wit"), path("c.wit")).unwrap();
        is_new();
        fs::write(path("d.wit"), "").unwrap();
        is_new();
    }
}

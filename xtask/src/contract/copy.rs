//! guest-sdk/wit: the contract once more, since a package of cargo holds nothing
//! from outside its own folder.

use std::path::Path;

use anyhow::Result;

use super::{CONTRACT, COPY, copy_files};

/// Writes the copy anew: the contract as it is, without its released versions.
pub(super) fn write(root: &Path) -> Result<()> {
    copy_files(&root.join(CONTRACT), &root.join(COPY))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;
    use std::path::PathBuf;

    use super::super::files;
    use super::*;

    /// The octets of each file of a contract, by its path in it.
    fn octets(contract: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
        let files = files(contract).unwrap().into_iter();
        files
            .map(|file| {
                let name = file.strip_prefix(contract).unwrap().to_owned();
                (name, fs::read(&file).unwrap())
            })
            .collect()
    }

    fn is_same(root: &Path) -> bool {
        octets(&root.join(CONTRACT)) == octets(&root.join(COPY))
    }

    #[test]
    fn the_sdk_has_the_contract_octet_for_octet() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        assert!(octets(&root.join(COPY)).len() > 5);
        assert!(
            is_same(root),
            "{COPY} is not {CONTRACT}: `cargo xtask wit-reference` writes it"
        );
    }

    #[test]
    fn a_copy_loses_what_the_contract_has_lost_and_takes_no_released_version() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        for (file, text) in [
            ("wit/a.wit", "a"),
            ("wit/deps/b/b.wit", "b"),
            ("wit/released/0.1.0/a.wit", "old"),
            ("guest-sdk/wit/gone.wit", "gone"),
        ] {
            let file = root.join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        write(root).unwrap();
        assert!(is_same(root));
        let copied: Vec<PathBuf> = octets(&root.join(COPY)).into_keys().collect();
        assert_eq!(copied, [Path::new("a.wit"), Path::new("deps/b/b.wit")]);
        assert!(!root.join(COPY).join("released").exists());
        fs::write(root.join("wit/a.wit"), "changed").unwrap();
        assert!(!is_same(root));
    }
}

//! What plugins in C are built with: Debian's clang, its linker and the C library for
//! wasm, as they are installed or unpacked below the target folder. Nothing is installed.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::cargo::Workspace;
use crate::machine::apt::Apt;

/// As guest-sdk/c/README.md names them.
const PACKAGES: [&str; 4] = ["clang", "lld", "wasi-libc", "libclang-rt-dev-wasm32"];

/// Files that show that all is there.
const NEEDED: [&str; 3] = [
    "usr/bin/clang",
    "usr/bin/wasm-ld",
    "usr/lib/wasm32-wasi/libc.a",
];

/// Where the tools are: below `/`, or below the target folder's `languages/c`, where
/// the tests look too.
pub(crate) fn find(workspace: &Workspace) -> Result<PathBuf> {
    let installed = Path::new("/");
    if is_whole(installed) {
        return Ok(installed.to_owned());
    }
    let folder = workspace.target.join("languages/c");
    if !is_whole(&folder) {
        unpack(&folder).context("Debian's clang and wasi-libc")?;
    }
    Ok(folder)
}

fn is_whole(root: &Path) -> bool {
    NEEDED.iter().all(|needed| root.join(needed).exists())
}

fn unpack(to: &Path) -> Result<()> {
    // Built aside and renamed: what is there is whole.
    let aside = to.with_extension("work");
    if aside.exists() {
        fs::remove_dir_all(&aside)?;
    }
    let apt = Apt::new(&aside.join("apt"))?;
    // Those with a hyphen are parts of a release.
    let suites = Apt::suites_in_use()?;
    let releases = suites.iter().filter(|suite| !suite.name.contains('-'));
    let missing = releases
        .filter_map(|suite| {
            eprintln!("    looking in {}", suite.name);
            apt.use_suite(suite).ok()?;
            apt.missing(&PACKAGES).ok()
        })
        .next()
        .context("no suite that this machine is set up for has them")?;
    let unpacked = aside.join("unpacked");
    fs::create_dir_all(&unpacked)?;
    for (package, version) in &missing {
        apt.unpack(package, version, &unpacked)?;
    }
    ensure!(
        is_whole(&unpacked),
        "of {} some is installed and some is not: install the rest",
        PACKAGES.join(", ")
    );
    if to.exists() {
        fs::remove_dir_all(to)?;
    }
    fs::rename(&unpacked, to)?;
    fs::remove_dir_all(&aside)?;
    Ok(())
}

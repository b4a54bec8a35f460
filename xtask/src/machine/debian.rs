//! The wasm target from Debian's archive, for machines that reach a Debian mirror
//! and not Rust's own: the sources of the standard library (package rust-src) are
//! built against Debian's wasi-libc. Both are unpacked below the target folder;
//! nothing is installed.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use crate::machine::apt::{Apt, Suite};
use crate::wasm_target::{TRIPLE, Toolchain, WasmTarget, encoded_rustflags};

/// Suites that every Debian mirror has, tried after those of this machine's release.
const SUITES: [&str; 3] = ["trixie-backports", "forky", "sid"];

/// The target from an earlier run for this compiler, if there was one.
pub(crate) fn prepared(toolchain: &Toolchain, sysroot: &Path) -> Option<Result<WasmTarget>> {
    let unpacked = sysroot.join(&toolchain.release);
    unpacked
        .is_dir()
        .then(|| target(&unpacked, &toolchain.release))
}

/// Downloads what the target is built from.
pub(crate) fn prepare(toolchain: &Toolchain, sysroot: &Path) -> Result<WasmTarget> {
    ensure!(
        is_stable(&toolchain.release),
        "it has no sources of rustc {}, which is not a release",
        toolchain.release
    );
    ensure!(
        toolchain.has_component_linker(),
        "rustc {} comes without the linker wasm-component-ld (`cargo install wasm-component-ld`)",
        toolchain.release
    );
    let suites = suites_to_try(&Apt::suites_in_use()?.into_iter().collect::<Vec<_>>());
    ensure!(!suites.is_empty(), "apt is set up for no mirror");

    // Built aside and renamed: a folder with the release's name is whole.
    let work = sysroot.join("work");
    remove(&work)?;
    let apt = Apt::new(&work.join("apt"))?;
    let unpacked = work.join("unpacked");
    let mut refusals = Vec::new();
    let served = suites.iter().find(|suite| {
        from_suite(&apt, suite, &toolchain.release, &unpacked)
            .inspect_err(|error| refusals.push(format!("{}: {error:#}", suite.name)))
            .is_ok()
    });
    let Some(suite) = served else {
        bail!("no suite served\n    {}", refusals.join("\n    "));
    };
    eprintln!(
        "    took rust-src {} from {}",
        toolchain.release, suite.name
    );

    let to = sysroot.join(&toolchain.release);
    fs::rename(&unpacked, &to)
        .with_context(|| format!("cannot move {} to {}", unpacked.display(), to.display()))?;
    remove(&work)?;
    target(&to, &toolchain.release)
}

fn from_suite(apt: &Apt, suite: &Suite, release: &str, unpacked: &Path) -> Result<()> {
    eprintln!("    looking in {}", suite.name);
    apt.use_suite(suite)?;
    let versions = apt.versions("rust-src")?;
    let sources = versions
        .iter()
        .find(|version| upstream(version) == release)
        .with_context(|| match versions.len() {
            0 => "there is no rust-src".into(),
            _ => format!("rust-src is of version {}", versions.join(", ")),
        })?;
    let libc = apt.versions("wasi-libc")?;
    let libc = libc.first().context("there is no wasi-libc")?;
    remove(unpacked)?;
    fs::create_dir_all(unpacked)?;
    apt.unpack("rust-src", sources, unpacked)?;
    apt.unpack("wasi-libc", libc, unpacked)?;
    // The compiler's own sources are five times the library's, and not needed.
    for part in ["compiler", "src"] {
        remove(&unpacked.join(sources_folder(release)).join(part))?;
    }
    target(unpacked, release).map(drop)
}

/// Where rust-src has its sources.
fn sources_folder(release: &str) -> String {
    format!("usr/src/rustc-{release}")
}

/// The suites of the machine's own release, then [`SUITES`], on each mirror.
/// Backports come first: their index is small, and they hold the newer compilers.
fn suites_to_try(in_use: &[Suite]) -> Vec<Suite> {
    // Those with a hyphen are parts of a release, on mirrors that may have
    // nothing else.
    let releases = in_use.iter().filter(|suite| !suite.name.contains('-'));
    let mut suites: Vec<Suite> = Vec::new();
    for release in releases {
        let own = [
            format!("{}-backports", release.name),
            SUITES[0].into(),
            release.name.clone(),
        ];
        for name in own
            .into_iter()
            .chain(SUITES[1..].iter().map(|&name| name.into()))
        {
            let suite = Suite {
                base: release.base.clone(),
                name,
            };
            if !suites.contains(&suite) {
                suites.push(suite);
            }
        }
    }
    suites
}

/// How cargo builds for the target from what was unpacked.
fn target(unpacked: &Path, release: &str) -> Result<WasmTarget> {
    let sources = unpacked.join(sources_folder(release)).join("library");
    let libc = unpacked.join("usr/lib").join(TRIPLE);
    // Components are libraries: they have no main, and start as reactors.
    let start = libc.join("crt1-reactor.o");
    for needed in [
        sources.join("std/Cargo.toml"),
        libc.join("libc.a"),
        start.clone(),
    ] {
        ensure!(needed.is_file(), "{} is missing", needed.display());
    }
    let flags = [
        "-Clink-self-contained=no".into(),
        with_path("-Lnative=", &libc),
        with_path("-Clink-arg=", &start),
    ];
    let rustflags = encoded_rustflags(
        env::var_os("CARGO_ENCODED_RUSTFLAGS").as_deref(),
        env::var_os("RUSTFLAGS").as_deref(),
        &flags,
    );
    Ok(WasmTarget {
        env: vec![
            // Building the standard library is a feature that cargo keeps for
            // nightly; on a release it has to be asked for like this.
            ("RUSTC_BOOTSTRAP".into(), "1".into()),
            ("__CARGO_TESTS_ONLY_SRC_ROOT".into(), sources.into()),
            ("CARGO_ENCODED_RUSTFLAGS".into(), rustflags),
        ],
        args: vec!["-Zbuild-std=std,panic_abort".into()],
    })
}

fn with_path(flag: &str, path: &Path) -> OsString {
    let mut flag = OsString::from(flag);
    flag.push(path);
    flag
}

/// The upstream part of a Debian version: without the epoch, the mark of a
/// repacked source and the revision.
fn upstream(version: &str) -> &str {
    let version = version.split_once(':').map_or(version, |(_, rest)| rest);
    version.split(['+', '-', '~']).next().unwrap_or(version)
}

/// Whether a compiler's version is that of a release: three numbers.
fn is_stable(release: &str) -> bool {
    let numbers: Vec<_> = release.split('.').collect();
    numbers.len() == 3 && numbers.iter().all(|number| number.parse::<u32>().is_ok())
}

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn debian_versions_are_cut_to_upstreams() {
        for (version, expected) in [
            ("1.95.0+dfsg1-2~bpo13+1", "1.95.0"),
            ("1.95.0~beta.3+dfsg1-1", "1.95.0"),
            ("1:1.95.0-1", "1.95.0"),
            ("1.95.0", "1.95.0"),
        ] {
            assert_eq!(upstream(version), expected, "{version}");
        }
    }

    #[test]
    fn only_releases_have_sources_in_debian() {
        assert!(is_stable("1.95.0"));
        for other in ["1.97.0-nightly", "1.96.0-beta.2", "1.95", ""] {
            assert!(!is_stable(other), "{other}");
        }
    }

    #[test]
    fn suites_follow_the_machines_release() {
        let suite = |name: &str| Suite {
            base: "http://mirror.example/debian/".into(),
            name: name.into(),
        };
        let names = |in_use: &[Suite]| {
            let suites = suites_to_try(in_use);
            suites
                .into_iter()
                .map(|suite| suite.name)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            names(&[suite("bookworm"), suite("bookworm-updates")]),
            [
                "bookworm-backports",
                "trixie-backports",
                "bookworm",
                "forky",
                "sid"
            ]
        );
        assert_eq!(
            names(&[suite("trixie")]),
            ["trixie-backports", "trixie", "forky", "sid"]
        );
        assert_eq!(
            names(&[suite("sid")]),
            ["sid-backports", "trixie-backports", "sid", "forky"]
        );
        assert!(names(&[suite("bookworm-security")]).is_empty());
    }

    #[test]
    fn a_target_is_whole_or_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let unpacked = folder.path();
        assert!(target(unpacked, "1.95.0").is_err());
        let library = unpacked.join("usr/src/rustc-1.95.0/library");
        let libc = unpacked.join("usr/lib/wasm32-wasip2");
        fs::create_dir_all(library.join("std")).unwrap();
        fs::create_dir_all(&libc).unwrap();
        fs::write(library.join("std/Cargo.toml"), "").unwrap();
        fs::write(libc.join("libc.a"), "").unwrap();
        let missing = target(unpacked, "1.95.0").unwrap_err().to_string();
        assert!(missing.contains("crt1-reactor.o"), "{missing}");
        fs::write(libc.join("crt1-reactor.o"), "").unwrap();
        let target = target(unpacked, "1.95.0").unwrap();
        assert_eq!(target.args, ["-Zbuild-std=std,panic_abort"]);
        let flags = target
            .env
            .iter()
            .find(|(name, _)| name == "CARGO_ENCODED_RUSTFLAGS");
        let flags = flags.unwrap().1.to_string_lossy().into_owned();
        assert!(
            flags.contains(&format!("-Lnative={}", libc.display())),
            "{flags}"
        );
    }
}

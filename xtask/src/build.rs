//! Builds in the one order that works: the components first, then the host that
//! embeds them.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::Outcome;
use crate::cargo::{self, Artifact, Member, Workspace};
use crate::languages;
use crate::step::Steps;
use crate::wasm_target::{self, WasmTarget, encoded_rustflags};

/// The steps that [`everything`] takes.
pub(crate) const STEPS: usize = 3;

/// The profile that components are built with (Cargo.toml of the workspace).
const PROFILE: &str = "plugin";

/// Where cargo is told flags for the compiler, encoded.
const RUSTFLAGS: &str = "CARGO_ENCODED_RUSTFLAGS";

/// Bytes of a component's own stack, which lies in front of its data. Rust's 1 MiB would put
/// all that a plugin writes on behind what the host keeps resident of a memory
/// (host/wasm/src/component/engine.rs). A plugin that needs more traps.
const STACK_BYTES: u32 = 128 << 10;

/// How a component begins: the magic number, the version and the layer that
/// tells a component from a core module.
const COMPONENT_PREAMBLE: [u8; 8] = [0x00, b'a', b's', b'm', 0x0d, 0x00, 0x01, 0x00];

/// `cargo xtask build`.
pub(crate) fn run(workspace: &Workspace) -> Result<Outcome> {
    let server = everything(workspace, &mut Steps::new(STEPS))?;
    eprintln!("the server: {}", server.display());
    Ok(Outcome::Done)
}

/// `cargo xtask plugins`.
pub(crate) fn run_plugins(workspace: &Workspace) -> Result<Outcome> {
    let mut steps = Steps::new(4);
    let target = steps.run("wasm target", || wasm_target::prepare(workspace))?;
    plugins(workspace, &target, &mut steps)?;
    test_guests(workspace, &target, &mut steps)?;
    languages::plugins(workspace, &mut steps)?;
    eprintln!("the components: {}", workspace.components().display());
    Ok(Outcome::Done)
}

/// The wasm target, the plugins, the host. Returns the server.
pub(crate) fn everything(workspace: &Workspace, steps: &mut Steps) -> Result<PathBuf> {
    let target = steps.run("wasm target", || wasm_target::prepare(workspace))?;
    plugins(workspace, &target, steps)?;
    host(workspace, steps)
}

/// Builds the plugins and puts them where the host embeds them from.
pub(crate) fn plugins(workspace: &Workspace, target: &WasmTarget, steps: &mut Steps) -> Result<()> {
    let what = format!("plugins: {}", names(&workspace.plugins));
    steps.run(&what, || {
        ensure!(
            !workspace.plugins.is_empty(),
            "there is no package in plugins/"
        );
        let folder = workspace.components();
        components(workspace, target, &workspace.plugins, &folder)?;
        // A folder that somebody chose may hold components of their own.
        if folder == workspace.default_components() {
            remove_others(&folder, &workspace.plugins)?;
        }
        Ok(())
    })
}

/// Builds the components that only tests load.
pub(crate) fn test_guests(
    workspace: &Workspace,
    target: &WasmTarget,
    steps: &mut Steps,
) -> Result<()> {
    let guests = &workspace.test_guests;
    let what = match guests.len() {
        0 => "components for tests: none".into(),
        _ => format!("components for tests: {}", names(guests)),
    };
    steps.run(&what, || {
        expect_members(workspace)?;
        let folder = workspace.components().join("test");
        if !guests.is_empty() {
            components(workspace, target, guests, &folder)?;
        }
        remove_others(&folder, guests)
    })
}

/// Builds the host with the plugins inside. Returns the server.
pub(crate) fn host(workspace: &Workspace, steps: &mut Steps) -> Result<PathBuf> {
    let first = !workspace.target.join("release/restante").exists();
    let what = match first {
        true => "host (the first build compiles wasmtime: some minutes)",
        false => "host",
    };
    steps.run(what, || {
        let artifacts = cargo::build(
            workspace
                .cargo()
                .args(["build", "--release", "--bins"])
                .args(workspace.native_members()),
        )?;
        artifacts
            .into_iter()
            .filter(|artifact| artifact.target == "restante")
            .find_map(|artifact| artifact.executable)
            .context("cargo built no program `restante`")
    })
}

/// A cargo that builds, checks or lints components.
pub(crate) fn guest_cargo(workspace: &Workspace, target: &WasmTarget, verb: &str) -> Command {
    let mut cargo = workspace.cargo();
    cargo
        .args([verb, "--profile", PROFILE, "--target", wasm_target::TRIPLE])
        .args(&target.args)
        .envs(target.env.iter().map(|(name, value)| (name, value)))
        .env(RUSTFLAGS, rustflags(target));
    cargo
}

/// Flags for the compiler: the caller's or the target's, and the size of the stack.
fn rustflags(target: &WasmTarget) -> OsString {
    let of_target = target.env.iter().find(|(name, _)| name == RUSTFLAGS);
    let of_target = of_target.map(|(_, flags)| flags.clone());
    let encoded = of_target.or_else(|| env::var_os(RUSTFLAGS));
    let plain = env::var_os("RUSTFLAGS");
    let stack = OsString::from(format!("-Clink-arg=-zstack-size={STACK_BYTES}"));
    encoded_rustflags(encoded.as_deref(), plain.as_deref(), &[stack])
}

/// The arguments that select these packages.
pub(crate) fn packages(members: &[Member]) -> impl Iterator<Item = OsString> {
    members
        .iter()
        .flat_map(|member| ["--package".into(), (&member.name).into()])
}

fn names(members: &[Member]) -> String {
    let names: Vec<_> = members.iter().map(|member| &*member.name).collect();
    names.join(", ")
}

fn components(
    workspace: &Workspace,
    target: &WasmTarget,
    members: &[Member],
    folder: &Path,
) -> Result<()> {
    let artifacts = cargo::build(guest_cargo(workspace, target, "build").args(packages(members)))?;
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    for member in members {
        let name = &member.name;
        let built = component_of(&artifacts, member).with_context(|| {
            format!("{name} is no component: its Cargo.toml wants [lib] crate-type = [\"cdylib\"]")
        })?;
        install(built, &folder.join(format!("{name}.wasm"))).with_context(|| name.clone())?;
    }
    Ok(())
}

/// The `.wasm` that was built for a package.
fn component_of<'a>(artifacts: &'a [Artifact], member: &Member) -> Option<&'a Path> {
    artifacts
        .iter()
        .filter(|artifact| artifact.manifest == member.manifest)
        .flat_map(|artifact| &artifact.files)
        .map(PathBuf::as_path)
        .find(|file| file.extension().is_some_and(|end| end == "wasm"))
}

/// Copies a component if it is another than the one that is there: an
/// unchanged file keeps its time, and what embeds it is not built again.
fn install(built: &Path, to: &Path) -> Result<()> {
    let octets = fs::read(built).with_context(|| format!("cannot read {}", built.display()))?;
    if !octets.starts_with(&COMPONENT_PREAMBLE) {
        bail!("{} is not a WebAssembly component", built.display());
    }
    if fs::File::open(to).is_ok_and(|file| has_octets(file, &octets)) {
        return Ok(());
    }
    // Renamed into place: a build that runs meanwhile sees the old or the new.
    let new = to.with_extension("wasm.new");
    fs::write(&new, &octets)
        .and_then(|()| fs::rename(&new, to))
        .with_context(|| format!("cannot write {}", to.display()))
}

fn has_octets(mut file: fs::File, octets: &[u8]) -> bool {
    let mut there = Vec::with_capacity(octets.len());
    file.read_to_end(&mut there).is_ok() && there == octets
}

/// Removes components of packages that are gone, lest they be embedded for ever.
fn remove_others(folder: &Path, members: &[Member]) -> Result<()> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).with_context(|| folder.display().to_string()),
    };
    for entry in entries {
        let path = entry?.path();
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        let known = stem.is_some_and(|stem| members.iter().any(|member| member.name == stem));
        if path.extension().is_some_and(|end| end == "wasm") && !known {
            fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    Ok(())
}

/// A package in tests/guests/ that the workspace does not know would be left
/// out in silence.
fn expect_members(workspace: &Workspace) -> Result<()> {
    let Ok(entries) = fs::read_dir(workspace.root.join("tests/guests")) else {
        return Ok(());
    };
    let packages = entries
        .flatten()
        .filter(|entry| entry.path().join("Cargo.toml").is_file())
        .count();
    ensure!(
        packages == workspace.test_guests.len(),
        "tests/guests/ holds {packages} packages, of which {} are members of the workspace: \
         Cargo.toml wants \"tests/guests/*\" among its members",
        workspace.test_guests.len()
    );
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn member(name: &str) -> Member {
        Member {
            name: name.into(),
            manifest: Path::new("/w/plugins").join(name).join("Cargo.toml"),
        }
    }

    fn component(rest: &[u8]) -> Vec<u8> {
        [&COMPONENT_PREAMBLE, rest].concat()
    }

    #[test]
    fn an_unchanged_component_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (built, to) = (folder.path().join("built"), folder.path().join("a.wasm"));
        fs::write(&built, component(b"one")).unwrap();
        install(&built, &to).unwrap();
        let long_ago = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000);
        let file = fs::File::options().write(true).open(&to).unwrap();
        file.set_modified(long_ago).unwrap();

        install(&built, &to).unwrap();
        assert_eq!(fs::metadata(&to).unwrap().modified().unwrap(), long_ago);

        fs::write(&built, component(b"two")).unwrap();
        install(&built, &to).unwrap();
        assert_eq!(fs::read(&to).unwrap(), component(b"two"));
        assert_ne!(fs::metadata(&to).unwrap().modified().unwrap(), long_ago);
    }

    #[test]
    fn a_core_module_is_not_installed() {
        let folder = tempfile::tempdir().unwrap();
        let (built, to) = (folder.path().join("built"), folder.path().join("a.wasm"));
        fs::write(&built, b"\0asm\x01\0\0\0").unwrap();
        assert!(install(&built, &to).is_err());
        assert!(!to.exists());
    }

    #[test]
    fn components_of_packages_that_are_gone_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["kept.wasm", "gone.wasm", "gone.txt"] {
            fs::write(folder.path().join(name), b"").unwrap();
        }
        remove_others(folder.path(), &[member("kept")]).unwrap();
        assert!(folder.path().join("kept.wasm").exists());
        assert!(!folder.path().join("gone.wasm").exists());
        assert!(folder.path().join("gone.txt").exists());
        remove_others(&folder.path().join("absent"), &[]).unwrap();
    }

    #[test]
    fn a_component_is_told_by_its_manifest() {
        let artifacts = [
            Artifact {
                target: "shared".into(),
                manifest: member("other").manifest,
                executable: None,
                files: vec!["/t/shared.wasm".into()],
            },
            Artifact {
                target: "renamed".into(),
                manifest: member("rules").manifest,
                executable: None,
                files: vec!["/t/librenamed.rlib".into(), "/t/renamed.wasm".into()],
            },
        ];
        let found = component_of(&artifacts, &member("rules"));
        assert_eq!(found, Some(Path::new("/t/renamed.wasm")));
        assert_eq!(component_of(&artifacts, &member("maildir")), None);
    }
}

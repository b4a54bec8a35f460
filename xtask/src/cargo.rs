//! What cargo knows about this workspace, and how it is called.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use cargo_metadata::{Message, Metadata, MetadataCommand};

/// Where the built components go; the host's build script reads the same one.
const COMPONENTS_VARIABLE: &str = "RESTANTE_COMPONENTS";

/// The checkout and its members.
pub(crate) struct Workspace {
    /// The folder of the workspace's Cargo.toml.
    pub(crate) root: PathBuf,
    /// cargo's target folder.
    pub(crate) target: PathBuf,
    /// The server's own crates: those in host/.
    pub(crate) host: Vec<Member>,
    /// The members that others build with, from crates.io.
    pub(crate) published: Vec<Member>,
    /// The members that become components of the server: those in plugins/.
    pub(crate) plugins: Vec<Member>,
    /// The members that become components for tests: those in tests/guests/.
    pub(crate) test_guests: Vec<Member>,
}

/// One package of the workspace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Member {
    /// Its name, which its component bears too.
    pub(crate) name: String,
    /// Its Cargo.toml.
    pub(crate) manifest: PathBuf,
}

/// One file that cargo built.
pub(crate) struct Artifact {
    /// The name of the target: of the binary or the library.
    pub(crate) target: String,
    /// The manifest of its package.
    pub(crate) manifest: PathBuf,
    /// The program, where the target is one.
    pub(crate) executable: Option<PathBuf>,
    /// All files that were made.
    pub(crate) files: Vec<PathBuf>,
}

impl Workspace {
    /// Asks cargo about the workspace that this command belongs to.
    pub(crate) fn open() -> Result<Self> {
        // At run time where cargo says it, so that a checkout may be moved.
        let manifest =
            env::var_os("CARGO_MANIFEST_DIR").unwrap_or(env!("CARGO_MANIFEST_DIR").into());
        let root = Path::new(&manifest)
            .parent()
            .context("the folder xtask/ has no parent")?
            .to_owned();
        let metadata = metadata(&root)?;
        Ok(Self::from_metadata(root, &metadata))
    }

    fn from_metadata(root: PathBuf, metadata: &Metadata) -> Self {
        let (mut host, mut published) = (Vec::new(), Vec::new());
        let mut plugins = Vec::new();
        let mut test_guests = Vec::new();
        for package in &metadata.packages {
            let member = Member {
                name: package.name.to_string(),
                manifest: package.manifest_path.clone().into(),
            };
            // `publish = false` is a list of registries without any in it.
            if package.publish.is_none() {
                published.push(member.clone());
            }
            match member.manifest.parent().and_then(Path::parent) {
                Some(room) if room == root.join("host") => host.push(member),
                Some(room) if room == root.join("plugins") => plugins.push(member),
                Some(room) if room == root.join("tests/guests") => test_guests.push(member),
                _ => {}
            }
        }
        for members in [&mut host, &mut published, &mut plugins, &mut test_guests] {
            members.sort();
        }
        Self {
            root,
            target: metadata.target_directory.clone().into(),
            host,
            published,
            plugins,
            test_guests,
        }
    }

    /// A cargo in the workspace's root.
    pub(crate) fn cargo(&self) -> Command {
        command(&self.root)
    }

    /// Another program that calls cargo, in the workspace's root.
    pub(crate) fn tool(&self, program: &Path) -> Command {
        in_root(Command::new(program), &self.root)
    }

    /// The folder of the built components. That of the tests' is `test` below it.
    pub(crate) fn components(&self) -> PathBuf {
        match env::var_os(COMPONENTS_VARIABLE).filter(|folder| !folder.is_empty()) {
            Some(folder) => self.root.join(folder),
            None => self.default_components(),
        }
    }

    /// Where components go when nobody chose another folder.
    pub(crate) fn default_components(&self) -> PathBuf {
        self.root.join("target/components")
    }

    /// The members that only ever run as wasm are no part of a native build.
    /// Every native build of the workspace selects the same members: the
    /// features of shared dependencies, and with them the minutes that wasmtime
    /// takes, depend on the selection.
    pub(crate) fn native_members(&self) -> impl Iterator<Item = OsString> {
        let excluded = self
            .test_guests
            .iter()
            .flat_map(|guest| ["--exclude".into(), (&guest.name).into()]);
        std::iter::once("--workspace".into()).chain(excluded)
    }
}

/// The members of the workspace, without what they depend on.
pub(crate) fn metadata(root: &Path) -> Result<Metadata> {
    let mut ask = MetadataCommand::new();
    ask.current_dir(root).no_deps();
    let output = in_root(ask.cargo_command(), root)
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run cargo")?;
    ensure!(output.status.success(), "`cargo metadata` failed");
    let json = std::str::from_utf8(&output.stdout).context("`cargo metadata`")?;
    MetadataCommand::parse(json).context("`cargo metadata`")
}

fn command(root: &Path) -> Command {
    in_root(
        Command::new(env::var_os("CARGO").unwrap_or("cargo".into())),
        root,
    )
}

fn in_root(mut command: Command, root: &Path) -> Command {
    command.current_dir(root);
    // What cargo told this program about itself would look to build scripts like
    // a change of theirs, and rebuild them whenever the two ways of calling cargo
    // take turns.
    for (name, _) in env::vars_os() {
        if tells_about_xtask(&name) {
            command.env_remove(name);
        }
    }
    command
}

fn tells_about_xtask(variable: &OsStr) -> bool {
    let name = variable.to_string_lossy();
    [
        "CARGO_PKG_",
        "CARGO_MANIFEST_",
        "CARGO_BIN_",
        "CARGO_CRATE_",
    ]
    .iter()
    .any(|prefix| name.starts_with(prefix))
        || name == "CARGO_PRIMARY_PACKAGE"
}

/// Runs a cargo or another tool to its end, in full view; an error if it fails.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status();
    let status = status.with_context(|| format!("cannot run {}", said(command)))?;
    ensure!(status.success(), "{} failed", said(command));
    Ok(())
}

/// Runs a cargo that builds; its progress stays in view. Returns what it built
/// or found fresh.
pub(crate) fn build(command: &mut Command) -> Result<Vec<Artifact>> {
    command
        .arg("--message-format=json-render-diagnostics")
        .stdout(Stdio::piped());
    let mut child = command.spawn().context("cannot run cargo")?;
    let messages = child.stdout.take().context("cargo's output is not piped")?;
    let mut artifacts = Vec::new();
    for message in Message::parse_stream(BufReader::new(messages)) {
        if let Message::CompilerArtifact(built) = message.context("cannot read what cargo says")? {
            artifacts.push(Artifact {
                target: built.target.name,
                manifest: built.manifest_path.into(),
                executable: built.executable.map(Into::into),
                files: built.filenames.into_iter().map(Into::into).collect(),
            });
        }
    }
    let status = child.wait().context("cannot wait for cargo")?;
    if !status.success() {
        bail!("{} failed", said(command));
    }
    Ok(artifacts)
}

/// The command in words, short: without the list of packages.
fn said(command: &Command) -> String {
    let verb = command.get_args().next().unwrap_or_default();
    format!("`cargo {}`", verb.to_string_lossy())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn members_are_sorted_into_rooms() {
        let workspace = Workspace::open().unwrap();
        let names = |members: &[Member]| {
            let names = members.iter().map(|member| member.name.clone());
            names.collect::<Vec<_>>()
        };
        let plugins = names(&workspace.plugins);
        assert!(plugins.is_sorted());
        assert!(plugins.contains(&"maildir".to_owned()), "{plugins:?}");
        let guests = names(&workspace.test_guests);
        assert!(guests.contains(&"hostile".to_owned()), "{guests:?}");
        assert!(!plugins.contains(&"restante".to_owned()), "{plugins:?}");
        let host = names(&workspace.host);
        assert!(host.contains(&"restante-wasm".to_owned()), "{host:?}");
        let published = names(&workspace.published);
        assert_eq!(
            published,
            [
                "restante-guest",
                "restante-lines",
                "restante-lmtp",
                "restante-pop3"
            ]
        );
        let members: Vec<_> = workspace.native_members().collect();
        assert_eq!(members.len(), 1 + 2 * guests.len());
        assert!(members.contains(&"hostile".into()));
    }

    #[test]
    fn only_what_concerns_this_program_is_kept_from_cargo() {
        for name in [
            "CARGO_PKG_NAME",
            "CARGO_MANIFEST_DIR",
            "CARGO_PRIMARY_PACKAGE",
        ] {
            assert!(tells_about_xtask(OsStr::new(name)), "{name}");
        }
        for name in [
            "CARGO_HOME",
            "CARGO_TARGET_DIR",
            "CARGO_NET_OFFLINE",
            "RUSTFLAGS",
        ] {
            assert!(!tells_about_xtask(OsStr::new(name)), "{name}");
        }
    }
}

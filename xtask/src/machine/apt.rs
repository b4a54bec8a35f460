//! apt, with a private configuration: it reads which mirror and which proxy this
//! machine uses, but keeps its lists, its cache and what it downloads in a folder
//! of ours, and installs nothing.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

/// How long apt waits for a mirror that does not answer, in seconds.
const MIRROR_TIMEOUT_S: u32 = 30;

/// Debian's keys, under the names that the package debian-archive-keyring has
/// given them.
const KEYRINGS: [&str; 2] = [
    "/usr/share/keyrings/debian-archive-keyring.pgp",
    "/usr/share/keyrings/debian-archive-keyring.gpg",
];

/// One suite of a mirror.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Suite {
    /// The mirror, up to before "dists/".
    pub(crate) base: String,
    /// The suite's name there.
    pub(crate) name: String,
}

/// A private apt.
pub(crate) struct Apt {
    folder: PathBuf,
    keyring: &'static str,
}

impl Apt {
    /// Lays out the private folders below `folder`.
    pub(crate) fn new(folder: &Path) -> Result<Self> {
        let path = folder
            .to_str()
            .context("the target folder's path is not UTF-8")?;
        ensure!(
            !path.contains(['"', '\\', '\n']),
            "apt's configuration cannot hold the path {path}"
        );
        let keyring = KEYRINGS
            .into_iter()
            .find(|keyring| Path::new(keyring).is_file())
            .context("there is no debian-archive-keyring to check signatures with")?;
        for room in [
            "lists/partial",
            "cache/archives/partial",
            "empty",
            "packages",
        ] {
            fs::create_dir_all(folder.join(room))?;
        }
        fs::write(folder.join("status"), "")?;
        fs::write(folder.join("apt.conf"), configuration(path))?;
        Ok(Self {
            folder: folder.to_owned(),
            keyring,
        })
    }

    /// The suites that this machine is set up for, asked of apt itself.
    pub(crate) fn suites_in_use() -> Result<BTreeSet<Suite>> {
        // Not `indextargets`: that is empty until somebody called `apt-get update`,
        // as it is in a fresh container.
        let said = output(Command::new("apt-get").args(["update", "--print-uris"]))?;
        Ok(parse_uris(&said))
    }

    /// Reads the index of one suite, checking its signature; forgets that of any other.
    pub(crate) fn use_suite(&self, suite: &Suite) -> Result<()> {
        let line = format!(
            "deb [signed-by={} target=Packages] {} {} main\n",
            self.keyring, suite.base, suite.name
        );
        fs::write(self.folder.join("sources.list"), line)?;
        let done = self.command("apt-get").args(["-qq", "update"]).output()?;
        if !done.status.success() {
            // The rest are consequences of the first.
            let errors = String::from_utf8_lossy(&done.stderr);
            let first = errors.lines().find(|line| line.starts_with("E: "));
            bail!("{}", first.unwrap_or("E: apt-get update failed"));
        }
        Ok(())
    }

    /// The versions of a package in the suite in use, newest first.
    pub(crate) fn versions(&self, package: &str) -> Result<Vec<String>> {
        let said = output(self.command("apt-cache").args(["madison", package]))?;
        Ok(parse_madison(&said, package))
    }

    /// What installing these packages would bring to this machine, in the suite in
    /// use: names and versions.
    pub(crate) fn missing(&self, packages: &[&str]) -> Result<Vec<(String, String)>> {
        let said = output(
            self.command("apt-get")
                .args(["-o", "Dir::State::status=/var/lib/dpkg/status"])
                .args(["--simulate", "--no-install-recommends", "install"])
                .args(packages),
        )?;
        Ok(parse_simulation(&said))
    }

    /// Downloads a version of a package, checked against the signed index, and
    /// unpacks it into `to`.
    pub(crate) fn unpack(&self, package: &str, version: &str, to: &Path) -> Result<()> {
        let packages = self.folder.join("packages");
        let mut download = self.command("apt-get");
        download
            .args(["-q", "download", &format!("{package}={version}")])
            .current_dir(&packages);
        // Its progress is worth seeing, and belongs where cargo's is.
        download.stdout(std::io::stderr());
        ensure!(
            download.status()?.success(),
            "cannot download {package} {version}"
        );
        let file = fs::read_dir(&packages)?
            .flatten()
            .map(|entry| entry.path())
            .find(|path| is_package(path, package))
            .with_context(|| format!("apt downloaded no {package}"))?;
        let status = Command::new("dpkg").arg("-x").arg(&file).arg(to).status();
        ensure!(
            status.context("cannot run dpkg")?.success(),
            "cannot unpack {package}"
        );
        fs::remove_file(&file)?;
        Ok(())
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.arg("-c").arg(self.folder.join("apt.conf"));
        command
    }
}

fn is_package(path: &Path, package: &str) -> bool {
    let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
    name.strip_prefix(package)
        .is_some_and(|rest| rest.starts_with('_') && rest.ends_with(".deb"))
}

fn output(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stderr(Stdio::null())
        .output()
        .with_context(|| format!("there is no {program}"))?;
    ensure!(output.status.success(), "{program} failed");
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// What differs from the machine's own configuration, which apt reads first.
fn configuration(folder: &str) -> String {
    // The hooks of the machine's configuration are cleared because they may
    // touch its caches. A mirror out of reach is an error, or it would pass for
    // one without packages. The sandbox user could not write below the folder.
    format!(
        "#clear APT::Update;\n\
         #clear DPkg;\n\
         APT::Update::Error-Mode \"any\";\n\
         Dir::Etc::SourceList \"{folder}/sources.list\";\n\
         Dir::Etc::SourceParts \"{folder}/empty\";\n\
         Dir::Etc::Preferences \"/dev/null\";\n\
         Dir::Etc::PreferencesParts \"{folder}/empty\";\n\
         Dir::State \"{folder}\";\n\
         Dir::State::Lists \"{folder}/lists\";\n\
         Dir::State::status \"{folder}/status\";\n\
         Dir::Cache \"{folder}/cache\";\n\
         Dir::Cache::archives \"{folder}/cache/archives\";\n\
         APT::Sandbox::User \"root\";\n\
         APT::Get::AllowUnauthenticated \"false\";\n\
         Acquire::AllowInsecureRepositories \"false\";\n\
         Acquire::AllowWeakRepositories \"false\";\n\
         Acquire::AllowDowngradeToInsecureRepositories \"false\";\n\
         Acquire::Languages \"none\";\n\
         Acquire::Retries \"1\";\n\
         Acquire::http::Timeout \"{MIRROR_TIMEOUT_S}\";\n\
         Acquire::https::Timeout \"{MIRROR_TIMEOUT_S}\";\n"
    )
}

/// The suites in the words of `apt-get update --print-uris`: lines that begin
/// with an address in single quotes.
fn parse_uris(text: &str) -> BTreeSet<Suite> {
    text.lines()
        .filter_map(|line| {
            let (address, _) = line.strip_prefix('\'')?.split_once('\'')?;
            let (base, rest) = address.rsplit_once("/dists/")?;
            let name = rest.strip_suffix("/InRelease")?;
            (!name.contains('/')).then(|| Suite {
                base: format!("{base}/"),
                name: name.to_owned(),
            })
        })
        .collect()
}

/// The versions in the words of `apt-cache madison`: `package | version | origin`.
fn parse_madison(text: &str, package: &str) -> Vec<String> {
    text.lines()
        .filter_map(|line| {
            let mut columns = line.split('|').map(str::trim);
            let (name, version) = (columns.next()?, columns.next()?);
            let origin = columns.next()?;
            // Sources are listed too, where they are in use.
            (name == package && !origin.ends_with(" Sources") && !version.is_empty())
                .then(|| version.to_owned())
        })
        .collect()
}

/// Names and versions in the words of `apt-get --simulate install`:
/// `Inst NAME [OLD] (VERSION …`.
fn parse_simulation(text: &str) -> Vec<(String, String)> {
    text.lines()
        .filter_map(|line| {
            let line = line.strip_prefix("Inst ")?;
            let (name, _) = line.split_once(' ')?;
            let (_, version) = line.split_once('(')?;
            let version = version.split([' ', ')']).next()?;
            Some((name.to_owned(), version.to_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suite(base: &str, name: &str) -> Suite {
        Suite {
            base: base.into(),
            name: name.into(),
        }
    }

    #[test]
    fn suites_are_read_from_apts_addresses() {
        let text = "\
'http://mirror.example/debian/dists/bookworm/InRelease' mirror.example_InRelease 0 \n\
'http://mirror.example/debian/dists/bookworm/main/binary-all/Packages.xz' x 0 \n\
'https://mirror.example/dists/x/debian/dists/bookworm-updates/InRelease' y 0 \n\
'http://old.example/security/dists/bookworm/updates/InRelease' z 0 \n\
W: something else\n";
        let found: Vec<_> = parse_uris(text).into_iter().collect();
        assert_eq!(
            found,
            [
                suite("http://mirror.example/debian/", "bookworm"),
                suite("https://mirror.example/dists/x/debian/", "bookworm-updates"),
            ]
        );
        assert!(parse_uris("").is_empty());
    }

    #[test]
    fn versions_are_read_from_madison() {
        let text = "  rust-src | 1.96.1+dfsg1-2~bpo13+1 | http://m.example/debian s/main amd64 Packages\n  \
            rust-src | 1.95.0+dfsg1-2~bpo13+1 | http://m.example/debian s/main amd64 Packages\n     \
            rustc | 1.95.0+dfsg1-2~bpo13+1 | http://m.example/debian s/main amd64 Packages\n  \
            rust-src | 1.94.1+dfsg1-1 | http://m.example/debian s/main Sources\n";
        assert_eq!(
            parse_madison(text, "rust-src"),
            ["1.96.1+dfsg1-2~bpo13+1", "1.95.0+dfsg1-2~bpo13+1"]
        );
        assert!(parse_madison("N: Unable to locate package\n", "rust-src").is_empty());
    }

    #[test]
    fn what_is_missing_is_read_from_a_simulation() {
        let text = "Reading package lists...\n\
Inst libgc1 (1:8.2.2-3 Debian:12.15/oldstable [amd64])\n\
Inst libz1 [1.0-1] (1.0-2 Debian:12.15/oldstable [amd64]) []\n\
Conf libgc1 (1:8.2.2-3 Debian:12.15/oldstable [amd64])\n";
        let missing = [("libgc1", "1:8.2.2-3"), ("libz1", "1.0-2")];
        assert_eq!(
            parse_simulation(text),
            missing.map(|(name, version)| (name.to_owned(), version.to_owned()))
        );
    }

    #[test]
    fn a_package_is_told_by_its_file_name() {
        let name = "rust-src_1.95.0+dfsg1-2~bpo13+1_all.deb";
        assert!(is_package(Path::new(name), "rust-src"));
        assert!(!is_package(Path::new(name), "rust"));
        assert!(!is_package(
            Path::new("rust-src_1.95.0_all.deb.FAILED"),
            "rust-src"
        ));
    }
}

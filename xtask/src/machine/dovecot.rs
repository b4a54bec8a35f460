//! Debian's Dovecot, to measure against: as it is installed, or, where only its
//! core is, with the POP3 part of the same version unpacked below the target
//! folder. Nothing is installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::machine::apt::Apt;

/// Where Debian puts Dovecot's programs. They look there for each other.
const MASTER: &str = "/usr/sbin/dovecot";
const PROGRAMS: &str = "usr/lib/dovecot";

/// The package of the POP3 part.
const PACKAGE: &str = "dovecot-pop3d";

/// Dovecot's programs.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Dovecot {
    pub(crate) master: PathBuf,
    pub(crate) pop3: PathBuf,
    pub(crate) pop3_login: PathBuf,
}

/// Finds Dovecot, unpacking what is missing below `work`.
pub(crate) fn find(work: &Path) -> Result<Dovecot> {
    ensure!(
        Path::new(MASTER).is_file(),
        "there is no Dovecot (`apt-get install {PACKAGE}`)"
    );
    if let Some(installed) = below(Path::new("/")) {
        return Ok(installed);
    }
    let version = installed_version("dovecot-core")?;
    let unpacked = work.join("dovecot").join(&version);
    if let Some(prepared) = below(&unpacked) {
        return Ok(prepared);
    }
    unpack(&version, &work.join("dovecot"), &unpacked)?;
    below(&unpacked).with_context(|| format!("{PACKAGE} {version} lacks its programs"))
}

fn below(root: &Path) -> Option<Dovecot> {
    let programs = root.join(PROGRAMS);
    let found = Dovecot {
        master: MASTER.into(),
        pop3: programs.join("pop3"),
        pop3_login: programs.join("pop3-login"),
    };
    let both = found.pop3.is_file() && found.pop3_login.is_file();
    both.then_some(found)
}

/// The version of a package as dpkg has it: parts of two versions would refuse
/// each other.
fn installed_version(package: &str) -> Result<String> {
    let said = Command::new("dpkg-query")
        .args(["--show", "--showformat=${Version}", package])
        .output()
        .context("there is no dpkg-query")?;
    let version = String::from_utf8_lossy(&said.stdout).trim().to_owned();
    let known = said.status.success() && !version.is_empty();
    ensure!(known, "{package} is no package of this machine");
    Ok(version)
}

fn unpack(version: &str, folder: &Path, to: &Path) -> Result<()> {
    // Built aside and renamed: what has the version's name is whole.
    let aside = folder.join("work");
    if aside.exists() {
        fs::remove_dir_all(&aside)?;
    }
    let apt = Apt::new(&aside.join("apt"))?;
    let suite = Apt::suites_in_use()?.into_iter().find(|suite| {
        eprintln!("    looking in {}", suite.name);
        apt.use_suite(suite)
            .and_then(|()| apt.versions(PACKAGE))
            .is_ok_and(|versions| versions.iter().any(|one| one == version))
    });
    suite.with_context(|| format!("no suite has {PACKAGE} {version}"))?;
    let unpacked = aside.join("unpacked");
    fs::create_dir_all(&unpacked)?;
    apt.unpack(PACKAGE, version, &unpacked)?;
    fs::rename(&unpacked, to)?;
    fs::remove_dir_all(&aside)?;
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn it_is_there_when_both_programs_are() {
        let folder = tempfile::tempdir().unwrap();
        let programs = folder.path().join(PROGRAMS);
        fs::create_dir_all(&programs).unwrap();
        fs::write(programs.join("pop3"), "").unwrap();
        assert_eq!(below(folder.path()), None);
        fs::write(programs.join("pop3-login"), "").unwrap();
        assert_eq!(below(folder.path()).unwrap().pop3, programs.join("pop3"));
    }
}

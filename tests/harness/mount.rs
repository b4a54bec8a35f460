//! A small file system of the test's own, which becomes full and read-only for real.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rustix::process::{getegid, geteuid};

use crate::tools::skip;
use crate::wait_for;

/// A tmpfs, until it is dropped.
#[derive(Debug)]
pub struct SmallFileSystem {
    path: PathBuf,
}

impl SmallFileSystem {
    /// Mounts one of so many KiB, that belongs to this user, on a directory. None: the
    /// test has to be skipped, since that takes root, or sudo without a password.
    pub fn mount(test: &str, path: &Path, kib: u32) -> Option<SmallFileSystem> {
        let (user, group) = (geteuid().as_raw(), getegid().as_raw());
        let options = format!("size={kib}k,mode=0700,uid={user},gid={group}");
        let arguments = ["-t", "tmpfs", "-o", &options, "restante-test"];
        match as_root("mount", &arguments, path) {
            Ok(()) => Some(SmallFileSystem {
                path: path.to_owned(),
            }),
            Err(why) => {
                skip(&format!("{test} needs to mount a file system: {why}"));
                None
            }
        }
    }

    /// From now on nothing can be written: as soon as nobody has a file open for writing.
    pub fn make_read_only(&self) {
        wait_for("the file system to be read-only", || {
            as_root("mount", &["-o", "remount,ro"], &self.path).ok()
        });
    }
}

impl Drop for SmallFileSystem {
    fn drop(&mut self) {
        // The server may have it open still.
        let _ = as_root("umount", &["-l"], &self.path);
    }
}

fn as_root(program: &str, arguments: &[&str], path: &Path) -> Result<(), String> {
    let run = |command: &mut Command| -> Result<Output, String> {
        let output = command.args(arguments).arg(path).output();
        output.map_err(|error| error.to_string())
    };
    let mut output = run(&mut Command::new(program))?;
    if !output.status.success() && !geteuid().is_root() {
        output = run(Command::new("sudo").args(["-n", program]))?;
    }
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
    }
}

//! Servers of others that speak S3's API, for the tests of buckets.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::cargo::Workspace;
use crate::machine::{crates_io, npm};

/// It checks signatures. Later versions need a later compiler than the oldest that is supported.
const S3S_FS: (&str, &str) = ("s3s-fs", "0.14.1");
/// It speaks TLS, and has its own ways with ranges.
const S3RVER: (&str, &str) = ("s3rver", "3.7.1");

/// The variables by which tests/harness/s3_server.rs finds the programs.
const S3S_FS_VARIABLE: &str = "RESTANTE_S3S_FS";
const S3RVER_VARIABLE: &str = "RESTANTE_S3RVER";

/// Installs the servers, and tells the tests where they are. Where one cannot be had it is left
/// out and its tests are skipped; with `CI` true that fails.
pub(crate) fn pass_on(workspace: &Workspace, tests: &mut Command) -> Result<()> {
    let is_ci = env::var_os("CI").is_some_and(|ci| ci == "true");
    let servers: [(&str, Result<PathBuf>); 2] = [
        (
            S3S_FS_VARIABLE,
            crates_io::installed_with(workspace, S3S_FS.0, S3S_FS.1, &["binary"]),
        ),
        (
            S3RVER_VARIABLE,
            npm::installed(workspace, S3RVER.0, S3RVER.1),
        ),
    ];
    for (variable, installed) in servers {
        match installed {
            Ok(program) => {
                tests.env(variable, program);
            }
            Err(error) if is_ci => return Err(error),
            Err(error) => eprintln!("    left out: {error:#}"),
        }
    }
    Ok(())
}

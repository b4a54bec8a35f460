//! `restante hash-password`: what stands in a passwd-file for a password.

use std::io::{IsTerminal, Read};

use anyhow::{Context, bail};
use clap::Args;
use restante_roles::passwords::{Scheme, hash};
use zeroize::Zeroizing;

use super::print::print;

/// Longest password that is read, in octets.
const PASSWORD: u64 = 4096;

/// What a client's library may refuse less than (RFC 5802 section 5.1).
const LEAST_ITERATIONS: i64 = 4096;

#[derive(Args)]
pub(super) struct Options {
    /// The scheme of the hash; repeat it for several hashes of the password, of which
    /// PASS and PLAIN are checked against the first
    #[arg(long = "scheme", value_name = "SCHEME", default_value = "argon2id")]
    schemes: Vec<Scheme>,
    /// The iterations of SCRAM's schemes: use the value of `scram-iterations` in
    /// [server]; otherwise SCRAM reveals which users exist
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = 4096,
        value_parser = clap::value_parser!(u32).range(LEAST_ITERATIONS..)
    )]
    iterations: u32,
}

/// Prints the hashes as one field of a line, "|" between them.
pub(super) fn hash_password(options: &Options) -> anyhow::Result<()> {
    let password = password()?;
    let hashes = options
        .schemes
        .iter()
        .map(|scheme| hash(*scheme, options.iterations, &password))
        .collect::<Result<Vec<_>, _>>()?;
    print(&hashes.join("|"))
}

/// Typed twice at a terminal, or all of stdin but its line end.
fn password() -> anyhow::Result<Zeroizing<String>> {
    let password = if std::io::stdin().is_terminal() {
        let password = Zeroizing::new(rpassword::prompt_password("Password: ")?);
        let again = Zeroizing::new(rpassword::prompt_password("Once more: ")?);
        if *password != *again {
            bail!("the two passwords differ; nothing was hashed");
        }
        password
    } else {
        // Room for all of it, or what is outgrown would stay in memory.
        let mut text = Zeroizing::new(String::with_capacity(PASSWORD as usize + 1));
        std::io::stdin()
            .take(PASSWORD + 1)
            .read_to_string(&mut text)
            .context("the password on stdin")?;
        let password = text.trim_end_matches(['\r', '\n']);
        Zeroizing::new(password.to_owned())
    };
    if password.is_empty() {
        bail!("the password is empty; type it, or give it on stdin");
    }
    Ok(password)
}

//! `check`: a configuration looked over as `serve` would find it, with the rights of the user
//! that the server becomes. Nothing is written.
//!
//! A problem is what keeps a tenant, or the server, from being served; a warning is what works
//! today and not tomorrow, or here and not for the server: another machine may be meant.

use std::io;
use std::path::Path;

use anyhow::{Context, anyhow, ensure};
use restante::databases;
use restante::generations::Generations;
use restante::server::StartError;
use restante_config::{Config, Log, MaildropGrant, Plugin};
use restante_server::admin;
use restante_server::listener::{BindError, BindErrors, Bound};
use rustix::fs::{Access, AtFlags, CWD, accessat};

use super::as_server::{as_the_server, warning};
use super::compiler::compiler;
use super::serve::{executor, load, refused};
use super::table::counted;
use super::{descriptors, engine, plugin, port_holder};

/// `restante check`.
pub(super) fn check(file: &Path, deep: bool) -> anyhow::Result<()> {
    let config = load(file)?;
    let lines = match deep {
        true => Some(plugin::Lines::begin()?),
        false => {
            restante_log::begin(&Log {
                filter: "warn".into(),
                ..Log::default()
            })?;
            None
        }
    };
    if let Some(shortage) = descriptors::shortage(&config) {
        warning(shortage);
    }
    // The server has its ports before it becomes another, and only root sees who else has
    // them.
    for words in taken(&config) {
        warning(words);
    }
    let config = as_the_server(config, file)?;
    for problem in &config.warnings {
        warning(problem);
    }
    for words in config.plugins.iter().flat_map(out_of_reach) {
        warning(words);
    }
    let executor = executor()?;
    let admin = admin_address(&config);
    let built = executor.block_on(async {
        let built = Generations::check(&config, compiler(&config.server)?).await;
        built.map_err(|error| match error {
            StartError::Refused(problems) => refused(file, &problems),
            error => error.into(),
        })
    });
    let built = match (built, admin) {
        (Err(built), Err(admin)) => Err(anyhow!("{built:#}\n{admin:#}")),
        (built, admin) => built.and(admin),
    };
    if let Some(lines) = lines {
        for line in lines.take() {
            eprintln!("log: {line}");
        }
        built?;
        let mut away = executor.block_on(engine::problems(&config));
        away.extend(executor.block_on(databases_away(&config)));
        ensure!(away.is_empty(), "{}", away.join("\n"));
        let kept = executor.block_on(plugin::deep(&config, lines))?;
        ensure!(kept, "{}: a plugin breaks a rule", file.display());
    } else {
        built?;
    }
    eprintln!(
        "{}: in order ({}, {}, {})",
        file.display(),
        counted(config.tenants.len(), "tenant"),
        counted(config.plugins.len(), "plugin"),
        counted(config.listeners.len(), "listener")
    );
    Ok(())
}

/// What is wrong with the databases of a configuration, each in a line.
async fn databases_away(config: &Config) -> Vec<String> {
    let mut problems = Vec::new();
    for database in &config.databases {
        if let Err(problem) = databases::look(database).await {
            problems.push(format!("[database.{}]: {problem}", database.name));
        }
    }
    problems
}

/// What is to be said of listeners that cannot have their addresses now.
fn taken(config: &Config) -> Vec<String> {
    let Err(BindErrors(errors)) = Bound::try_all(&config.listeners) else {
        return Vec::new();
    };
    errors.iter().map(of_listener).collect()
}

fn of_listener(error: &BindError) -> String {
    if error.error.kind() != io::ErrorKind::AddrInUse {
        return error.to_string().replace("\n  ", "; ");
    }
    let BindError {
        listener, address, ..
    } = error;
    let holder = match port_holder::of(*address) {
        Some(holder) => format!("process {} ({})", holder.process, holder.command),
        None => "another program".to_owned(),
    };
    format!(
        "listener `{listener}`: {address} is taken by {holder}: unless that is the server that this configuration is for, or a service manager that hands the socket over, the server does not start"
    )
}

/// # Errors
/// The admin token cannot be used. That the address cannot be had is a warning: the server
/// itself may have it.
fn admin_address(config: &Config) -> anyhow::Result<()> {
    let Some(admin) = &config.server.admin else {
        return Ok(());
    };
    match admin::Bound::look(admin) {
        Ok(()) => Ok(()),
        Err(error @ admin::BindError::Token(_)) => Err(error).context("[server] admin-token-file"),
        Err(error) => {
            warning(format_args!(
                "{error}: unless the server that this configuration is for has it, or its service manager makes the directory, the server does not start"
            ));
            Ok(())
        }
    }
}

/// What is to be said of directories that are there and that this user cannot use.
fn out_of_reach(plugin: &Plugin) -> Vec<String> {
    let grants = &plugin.grants;
    let mut wanted = Vec::new();
    for directory in &grants.directories {
        let mut access = Access::READ_OK | Access::EXEC_OK;
        if directory.write {
            access |= Access::WRITE_OK;
        }
        wanted.push(("directories", directory.host.clone(), access));
    }
    let maildrop = grants.maildrop.as_ref();
    if let Some(template) = maildrop.and_then(MaildropGrant::directory) {
        let mut access = Access::EXEC_OK;
        if grants.create_maildrop {
            access |= Access::WRITE_OK;
        }
        wanted.push(("maildrop", template.prefix(), access));
    }
    let words = wanted.into_iter().filter_map(|(key, path, access)| {
        // Of what is not there the configuration's own reader has told.
        let error = accessat(CWD, &path, access, AtFlags::EACCESS).err()?;
        let error = io::Error::from(error);
        if error.kind() == io::ErrorKind::NotFound {
            return None;
        }
        let wish = match access.contains(Access::WRITE_OK) {
            true => "use and write to",
            false => "use",
        };
        Some(format!(
            "[plugin.{}.grants] {key}: the server cannot {wish} {}: {error}; give its user the right to",
            plugin.name,
            path.display()
        ))
    });
    words.collect()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn config(address: &str, grants: &str) -> Config {
        let text = format!(
            "[listener.l]\naddress = \"{address}\"\ntls = \"off\"\n\
             [plugin.p]\ncomponent = \"builtin:p\"\n[plugin.p.grants]\n{grants}\n\
             [tenant.t]\nauthenticators = [\"p\"]\nstore = \"p\"\n"
        );
        Config::parse(&text, Path::new("test.toml"), Path::new("/")).expect("a configuration")
    }

    #[test]
    fn a_port_that_is_taken_is_told_with_its_holder() {
        let taken_by_us = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = taken_by_us.local_addr().expect("its address");
        let told = taken(&config(&address.to_string(), ""));
        assert_eq!(told.len(), 1, "{told:?}");
        let us = format!("{address} is taken by process {} (", std::process::id());
        assert!(
            told[0].starts_with(&format!("listener `l`: {us}")),
            "{told:?}"
        );
        drop(taken_by_us);
        assert_eq!(taken(&config(&address.to_string(), "")), [""; 0]);
        // To look takes nothing from anybody.
        assert!(TcpListener::bind(address).is_ok());
        // An address for documentation (RFC 5737), which no machine has.
        let told = taken(&config("192.0.2.1:110", ""));
        assert!(told[0].contains("does not have this address"), "{told:?}");
    }

    #[test]
    fn directories_that_are_out_of_reach_are_told() {
        let there = tempfile::tempdir().expect("a folder");
        let there = there.path().display();
        let of = |grants: &str| {
            let config = config("127.0.0.1:0", grants);
            out_of_reach(&config.plugins[0])
        };
        assert_eq!(of(&format!("maildrop = \"{there}/{{user}}\"")), [""; 0]);
        assert_eq!(
            of(&format!("maildrop = \"{there}/none/{{user}}\"")),
            [""; 0]
        );
        // No mode stops root, but a name that leads through a file stops anyone.
        let file = format!("{there}/file");
        std::fs::write(&file, "").expect("a new file");
        let told = of(&format!("maildrop = \"{file}/mail/{{user}}\""));
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(
            told[0].starts_with("[plugin.p.grants] maildrop: the server cannot use "),
            "{told:?}"
        );
    }
}

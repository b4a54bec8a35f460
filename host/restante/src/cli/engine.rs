//! `engine`: the engines of a configuration, looked at and changed for a newer program.

use std::path::{Path, PathBuf};

use anyhow::{anyhow, bail};
use restante::engines::{self, Condition};
use restante::mail_engines;
use restante_config::{Config, Engine};
use restante_engine::NO_TABLES;

use super::as_server::as_the_server;
use super::print::print;
use super::serve::{executor, load};

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Try to reach each engine of a configuration and show its condition; exit status 1 if a
    /// server cannot use one. Nothing is changed
    Status {
        /// The configuration file
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Change the tables of an engine for this version of the program, or the bucket that it takes
    /// for its own. Says what it will do, and does it with --yes only
    Migrate {
        /// The configuration file
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// NAME of its section [engine.NAME]
        name: String,
        /// Do it
        #[arg(long)]
        yes: bool,
    },
}

/// What it means that an engine takes another bucket for its own.
const OTHER_BUCKET: &str = "the engine will take what the configuration has for the place of its larger messages. No \
     object is moved: a message whose object is not there gets [SYS/TEMP] at RETR, and garbage \
     that is left in the old place stays there for good, since the engine forgets it. Copy all \
     objects to the new place first, with the same names below the prefix";

/// `restante engine`.
pub(super) fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Status { config } => status(&config),
        Command::Migrate { config, name, yes } => migrate(&config, &name, yes),
    }
}

fn status(file: &Path) -> anyhow::Result<()> {
    let config = as_the_server(load(file)?, file)?;
    if config.engines.is_empty() {
        return print(&format!("{} has no [engine.NAME]\n", file.display()));
    }
    let problems = executor()?.block_on(async {
        let mut problems = 0;
        for engine in &config.engines {
            let (line, fits) = condition(&config, engine).await;
            print(&format!("{}: {line}\n", engine.name))?;
            problems += usize::from(!fits);
        }
        anyhow::Ok(problems)
    })?;
    match problems {
        0 => Ok(()),
        count => Err(anyhow!("a server cannot use {count} of the engines above")),
    }
}

/// In words, and whether a server can use it and its bucket.
async fn condition(config: &Config, engine: &Engine) -> (String, bool) {
    let (line, fits) = tables(config, engine).await;
    match engines::reach_bucket(engine).await {
        Ok(()) => (line, fits),
        Err(problem) => (format!("{line}\nits bucket: {problem}"), false),
    }
}

/// The same of an engine without its bucket.
async fn tables(config: &Config, engine: &Engine) -> (String, bool) {
    let has_mail = mail_engines::with_mail(config).contains(&engine.name.as_str());
    match engines::look(engine).await {
        Ok(Condition::Ready) => ("ready".into(), true),
        Ok(Condition::New) if has_mail => (
            format!("reached; {}", NO_TABLES.replace("NAME", &engine.name)),
            false,
        ),
        Ok(Condition::New) => (
            "reached; it has no tables, the first server makes them".into(),
            true,
        ),
        Ok(Condition::Outdated(steps)) => (
            format!(
                "{steps}\nits tables are of an older version: stop all servers that use it, make a backup, and run `restante engine migrate --config FILE {} --yes`",
                engine.name
            ),
            false,
        ),
        Ok(Condition::OtherBucket(difference)) => (
            format!(
                "{difference}: correct [engine.{0}.s3]; if it was changed on purpose, `restante engine migrate --config FILE {0}` says what that means",
                engine.name
            ),
            false,
        ),
        Err(problem) => (problem.to_string(), false),
    }
}

/// What is wrong with the engines of a configuration, each in a line.
pub(super) async fn problems(config: &Config) -> Vec<String> {
    let mut problems = Vec::new();
    for engine in &config.engines {
        let (line, fits) = condition(config, engine).await;
        if !fits {
            problems.push(format!("[engine.{}]: {line}", engine.name));
        }
    }
    problems
}

fn migrate(file: &Path, name: &str, yes: bool) -> anyhow::Result<()> {
    let config = as_the_server(load(file)?, file)?;
    let engine = config.engines.iter().find(|engine| engine.name == name);
    let Some(engine) = engine else {
        bail!("{} has no [engine.{name}]", file.display());
    };
    executor()?.block_on(async {
        match engines::look(engine).await? {
            Condition::Ready => {
                if yes {
                    // Its bucket may have to be noted yet.
                    engines::migrate(engine).await?;
                }
                print("nothing to do: its tables are of this version\n")
            }
            Condition::New if !yes => print(
                "it has no tables, so there is nothing in it: --yes makes them\n",
            ),
            Condition::New => {
                engines::migrate(engine).await?;
                print("its tables were made\n")
            }
            Condition::Outdated(steps) => {
                print(&format!("{steps}\n"))?;
                if !yes {
                    return print(
                        "nothing was changed: stop all servers that use it, make a backup, and repeat this with --yes\n",
                    );
                }
                engines::migrate(engine).await?;
                print("done\n")
            }
            Condition::OtherBucket(difference) => {
                print(&format!("{difference}\n{OTHER_BUCKET}\n"))?;
                if !yes {
                    return print(
                        "nothing was changed: stop all servers that use the engine, see that the objects are where the configuration says, and repeat this with --yes\n",
                    );
                }
                engines::accept_bucket(engine).await?;
                print("done\n")
            }
        }
    })
}

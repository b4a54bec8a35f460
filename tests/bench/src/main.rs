//! What the server costs: every row is run against a null server (the floor),
//! Restante and, where it is there, Dovecot, interleaved in rounds.
//!
//! The measure is CPU time of a server's whole process tree for a unit of work:
//! on a machine that runs the clients too it is the one figure that stands
//! still. Throughput and latency are given beside it. Every answer is checked;
//! a wrong one ends the run.
//!
//! Everything here looks at the servers from outside. Of the project's crates it knows
//! one, with which it puts mail into engines, since nothing delivers into them yet.

mod client;
mod extras;
mod floor;
mod load;
mod machine;
mod mail;
mod process;
mod report;
mod rows;
mod servers;
mod statistics;
mod svg;
mod table;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::mail::{Class, Tree};
use crate::servers::{Dovecot, Kind, Programs};

#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask bench",
    about = "What the server costs, beside a null server and Dovecot"
)]
struct Cli {
    #[command(subcommand)]
    command: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Measure.
    Run(RunArguments),
    /// Be the null server.
    #[command(hide = true)]
    Floor(floor::Arguments),
}

#[derive(Debug, clap::Args)]
struct RunArguments {
    /// A two-minute look: few rounds, and not every row.
    #[arg(long)]
    quick: bool,
    /// Only rows and tables whose name begins so; may be given again.
    #[arg(long = "row", value_name = "NAME")]
    rows: Vec<String>,
    /// Rounds.
    #[arg(long)]
    rounds: Option<usize>,
    /// Seconds for each row, server and round.
    #[arg(long)]
    seconds: Option<f64>,
    /// Names of rows and tables, and nothing else.
    #[arg(long)]
    list: bool,
    /// Folder for the report; without it, docs/benchmarks gets a full run and
    /// target/bench any other.
    #[arg(long)]
    out: Option<PathBuf>,
    /// An authenticator to log in with beside the built-in one, as
    /// NAME=COMPONENT; it has to accept every user with the password "x".
    #[arg(long = "authenticator", value_name = "NAME=COMPONENT")]
    authenticators: Vec<String>,
    #[arg(long, hide = true)]
    server: PathBuf,
    #[arg(long, hide = true)]
    work: PathBuf,
    #[arg(long, hide = true)]
    docs: PathBuf,
    /// Dovecot's master, pop3 and pop3-login.
    #[arg(long, hide = true, num_args = 3)]
    dovecot: Vec<PathBuf>,
}

/// A run.
struct Bench {
    programs: Programs,
    trees: [Tree; 3],
    quick: bool,
    wanted: Vec<String>,
    rounds: usize,
    /// For each row, server and round.
    time: Duration,
    authenticators: Vec<(String, PathBuf)>,
    begun: Instant,
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        What::Floor(arguments) => floor::run(arguments),
        What::Run(arguments) => run(arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: RunArguments) -> Result<()> {
    if arguments.list {
        for name in names() {
            table::say(name)?;
        }
        return Ok(());
    }
    for wanted in &arguments.rows {
        ensure!(
            names().any(|name| name.starts_with(wanted.as_str())),
            "there is no row \"{wanted}\"; --list names them"
        );
    }
    raise_descriptors()?;
    let machine = machine::Machine::look();
    let scratch = tempfile::Builder::new()
        .prefix("restante-bench-")
        .tempdir()?;
    // Dovecot's processes of other users have to get through.
    open_to_others(scratch.path())?;
    let bench = Bench::new(&arguments, scratch.path())?;
    let measured = rows::measure(&bench)?;
    let tables = extras::measure(&bench)?;
    let report = report::Report {
        machine,
        quick: arguments.quick,
        rounds: bench.rounds,
        time: bench.time,
        measured,
        tables,
    };
    let whole = !arguments.quick && arguments.rows.is_empty();
    let out = match (arguments.out, whole) {
        (Some(out), _) => out,
        (None, true) => arguments.docs,
        (None, false) => arguments.work,
    };
    report.write(&out)?;
    bench.say(&format!(
        "the report: {}",
        out.join(report::MARKDOWN).display()
    ));
    Ok(())
}

fn names() -> impl Iterator<Item = &'static str> {
    let rows = rows::ROWS.iter().map(|row| row.name);
    rows.chain(extras::EXTRAS.iter().map(|extra| extra.name))
}

impl Bench {
    fn new(arguments: &RunArguments, scratch: &Path) -> Result<Self> {
        let mail = arguments.work.join("mail");
        fs::create_dir_all(&mail)?;
        let mail = mail.canonicalize()?;
        let dovecot = match &arguments.dovecot[..] {
            [master, pop3, pop3_login] => Some(Dovecot {
                master: master.clone(),
                pop3: pop3.clone(),
                pop3_login: pop3_login.clone(),
            }),
            _ => None,
        };
        let owner = dovecot
            .as_ref()
            .map(|_| servers::dovecot_user())
            .transpose()?;
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
        let (certificate, key) = (scratch.join("server.pem"), scratch.join("server.key"));
        fs::write(&certificate, made.cert.pem())?;
        fs::write(&key, made.signing_key.serialize_pem())?;
        let (rounds, seconds) = if arguments.quick { (2, 0.6) } else { (5, 4.0) };
        let rounds = arguments.rounds.unwrap_or(rounds);
        let seconds = arguments.seconds.unwrap_or(seconds);
        ensure!(rounds > 0, "at least one round");
        Ok(Bench {
            programs: Programs {
                restante: arguments.server.clone(),
                dovecot,
                scratch: scratch.to_owned(),
                state: arguments.work.join("state"),
                certificate,
                key,
            },
            trees: [
                Tree::new(mail.join("restante"), None),
                Tree::new(mail.join("rules"), None),
                Tree::new(mail.join("dovecot"), owner),
            ],
            quick: arguments.quick,
            wanted: arguments.rows.clone(),
            rounds,
            time: Duration::try_from_secs_f64(seconds).context("--seconds")?,
            authenticators: arguments
                .authenticators
                .iter()
                .map(|text| {
                    let (name, path) = text
                        .split_once('=')
                        .context("--authenticator takes NAME=COMPONENT")?;
                    Ok((name.to_owned(), PathBuf::from(path).canonicalize()?))
                })
                .collect::<Result<_>>()?,
            begun: Instant::now(),
        })
    }

    /// Whether a row or a table is to be measured.
    fn wants(&self, name: &str, in_quick: bool) -> bool {
        match &self.wanted[..] {
            [] => in_quick || !self.quick,
            wanted => wanted
                .iter()
                .any(|wanted| name.starts_with(wanted.as_str())),
        }
    }

    /// Where a server keeps its mail. The floor keeps none.
    fn tree(&self, kind: Kind) -> &Tree {
        let [restante, rules, dovecot] = &self.trees;
        match kind {
            Kind::Floor | Kind::Restante => restante,
            Kind::Rules => rules,
            Kind::Dovecot => dovecot,
        }
    }

    /// Makes a server's maildrops of a class, if they are not there yet.
    fn make(&self, kind: Kind, class: &Class) -> Result<()> {
        let first = self.tree(Kind::Restante);
        first.make(class, None)?;
        match kind {
            Kind::Floor | Kind::Restante => Ok(()),
            Kind::Rules | Kind::Dovecot => self.tree(kind).make(class, Some(first)),
        }
    }

    /// One line to whoever watches.
    fn say(&self, what: &str) {
        eprintln!("{:6.1} s  {what}", self.begun.elapsed().as_secs_f64());
    }
}

/// Ten thousand sessions want as many descriptors, here and in each server.
fn raise_descriptors() -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            ..limit
        },
    )
    .context("cannot raise the limit of open files")
}

fn open_to_others(folder: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

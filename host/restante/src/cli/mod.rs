//! Commands, arguments, exit codes. 0: done. 1: refused, with every reason on
//! stderr. 2: the arguments are not those of a command.

mod as_server;
mod check;
mod compiler;
mod config;
mod control;
mod demo;
mod descriptors;
mod engine;
mod hash_password;
mod maildrop;
mod plugin;
mod port_holder;
mod print;
mod serve;
mod service;
mod table;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::Duration;

use clap::{Parser, Subcommand};
use restante_wasm::{COMPILE_COMMAND, ProcessUser, serve_compiler};

/// A POP3 server with policy in WebAssembly components.
#[derive(Parser)]
#[command(name = "restante", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve mail as a configuration file says, until SIGTERM or Ctrl-C
    Serve {
        /// The configuration file (docs/configuration.md lists its keys)
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        #[command(flatten)]
        record: serve::Record,
    },
    /// Check a configuration, with the rights that the server will have, and report every problem;
    /// exit status 1 if there is any. Nothing is written
    Check {
        /// The configuration file
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Check each plugin against the rules of its roles too, as `plugin test` does, and try to
        /// reach each engine
        #[arg(long)]
        deep: bool,
    },
    /// Show what a configuration file may say
    Config {
        /// List every key: what it may be, its default, whether it takes a restart
        #[arg(long, required = true)]
        keys: bool,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Serve sample mail on this machine with the built-in plugins, without a configuration
    Demo {
        /// Listen here for POP3 (in the clear, with STLS)
        #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:1110")]
        listen: SocketAddr,
        /// Listen here for POP3 over TLS
        #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:1995")]
        listen_tls: SocketAddr,
        /// Serve this Maildir instead of the sample; messages that a client deletes are deleted in it
        #[arg(long, value_name = "DIR")]
        maildrop: Option<PathBuf>,
    },
    /// Show the status of a running server
    Status {
        #[command(flatten)]
        ask: control::Ask,
    },
    /// List the sessions of a running server, and of all others that share its holds
    Sessions {
        #[command(flatten)]
        ask: control::Ask,
        #[command(flatten)]
        whose: control::SessionChoice,
    },
    /// End sessions of a running server, or of others that share its holds, deleting nothing; exit
    /// status 1 if there was none
    Kick {
        #[command(flatten)]
        which: control::Which,
        #[command(flatten)]
        place: control::Where,
        #[command(flatten)]
        ask: control::Ask,
    },
    /// Reload a running server's configuration; if it has problems, print them, keep the current
    /// one and exit with status 1
    Reload {
        #[command(flatten)]
        ask: control::Ask,
    },
    /// What a running server remembers of databases' answers
    Cache {
        #[command(subcommand)]
        command: CacheCommand,
    },
    /// List what each tenant of a running server has used since its start
    Tenants {
        #[command(flatten)]
        ask: control::Ask,
    },
    /// Create, inspect, test and measure plugins
    Plugin {
        #[command(subcommand)]
        command: plugin::Command,
    },
    /// Look at the engines of a configuration, and change their tables for this version
    Engine {
        #[command(subcommand)]
        command: engine::Command,
    },
    /// Move users' mail
    Maildrop {
        #[command(subcommand)]
        command: maildrop::Command,
    },
    /// Compile a component from stdin to stdout, within limits; the server runs this itself
    #[command(name = COMPILE_COMMAND, hide = true)]
    CompileComponent {
        /// CPU time, in seconds
        seconds: u64,
        /// Memory, in octets
        memory: u64,
        /// Whom root becomes, by number
        #[arg(long, requires = "group")]
        user: Option<u32>,
        /// With this group, by number
        #[arg(long, requires = "user")]
        group: Option<u32>,
    },
    /// Read a password from the terminal or stdin and print its hash for a passwd-file
    HashPassword(hash_password::Options),
}

#[derive(clap::Subcommand)]
enum CacheCommand {
    /// Forget all of it: the next login asks the database
    Flush {
        #[command(flatten)]
        ask: control::Ask,
    },
}

/// Runs the command that the arguments name.
pub(crate) fn run() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Serve { config, record } => serve::serve(&config, record),
        Command::Check { config, deep } => check::check(&config, deep),
        Command::Config { keys: _, json } => config::keys(json),
        Command::Demo {
            listen,
            listen_tls,
            maildrop,
        } => demo::demo(listen, listen_tls, maildrop.as_deref()),
        Command::Status { ask } => control::status(&ask),
        Command::Sessions { ask, whose } => control::sessions(&ask, &whose),
        Command::Kick { which, place, ask } => control::kick(&ask, &which, &place),
        Command::Reload { ask } => control::reload(&ask),
        Command::Cache {
            command: CacheCommand::Flush { ask },
        } => control::flush_cache(&ask),
        Command::Tenants { ask } => control::tenants(&ask),
        Command::Plugin { command } => plugin::run(command),
        Command::Engine { command } => engine::run(command),
        Command::Maildrop { command } => maildrop::run(command),
        Command::CompileComponent {
            seconds,
            memory,
            user,
            group,
        } => {
            let user = user.zip(group);
            let user = user.map(|(user, group)| ProcessUser { user, group });
            return ExitCode::from(serve_compiler(seconds, memory, user));
        }
        Command::HashPassword(options) => hash_password::hash_password(&options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            last_words(format!("restante: {error:#}\n"));
            ExitCode::FAILURE
        }
    }
}

/// What stderr is told at the end. A reader that has stopped reading keeps no process
/// from its end.
fn last_words(words: String) {
    const PATIENCE: Duration = Duration::from_secs(1);
    let (said, heard) = mpsc::channel();
    std::thread::spawn(move || {
        eprint!("{words}");
        let _ = said.send(());
    });
    let _ = heard.recv_timeout(PATIENCE);
}

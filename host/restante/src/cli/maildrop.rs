//! `maildrop`: users' mail, copied from one store to another.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use restante::maildrop_copy::{self, Copied, Event, Order};
use restante_config::Log;
use restante_roles::backend::{Account, Attributes, SECRET_ATTRIBUTE};
use tokio::signal::unix::{SignalKind, signal};

use super::as_server::{as_the_server, warning};
use super::compiler::compiler;
use super::plugin;
use super::print::print;
use super::serve::{executor, load};
use super::table::counted;

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Copy a user's maildrop into an engine, with unique-ids, times and order, and compare the two;
    /// run it again to go on. Removes nothing. Says what it will do, and does it with --yes only
    Copy(CopyOptions),
}

#[derive(clap::Args)]
pub(super) struct CopyOptions {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The tenant of the user
    #[arg(long, value_name = "NAME")]
    tenant: String,
    /// The user's name, as the authenticator returns it
    #[arg(long, value_name = "USER")]
    user: String,
    /// The maildrop that the authenticator returns for the user [default: the user's name]
    #[arg(long, value_name = "NAME")]
    maildrop: Option<String>,
    /// An attribute that the authenticator returns for the user; may be repeated
    #[arg(long = "attribute", value_name = "KEY=VALUE")]
    attributes: Vec<String>,
    /// The same with the value in the first line of a file, for secrets; may be repeated
    #[arg(long = "attribute-file", value_name = "KEY=FILE")]
    attribute_files: Vec<String>,
    /// The plugin that has the mail: NAME of its section [plugin.NAME]
    from: String,
    /// The plugin whose maildrops are in an engine, likewise
    to: String,
    /// Take it for no mistake if the user has no maildrop, or no mail in it
    #[arg(long)]
    allow_empty: bool,
    /// Copy also where messages were removed from the copy, which may bring them back
    #[arg(long)]
    restore_removed: bool,
    /// Do it
    #[arg(long)]
    yes: bool,
}

/// `restante maildrop`.
pub(super) fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Copy(options) => copy(options),
    }
}

impl CopyOptions {
    fn account(&self) -> anyhow::Result<Account> {
        let mut attributes = Vec::new();
        for attribute in &self.attributes {
            let (key, value) = attribute.split_once('=').with_context(|| {
                format!("--attribute {attribute}: an attribute is written KEY=VALUE")
            })?;
            ensure!(
                !key.starts_with(SECRET_ATTRIBUTE),
                "--attribute {key}: other users of this machine can see it: write the value into a file, and give --attribute-file {key}=FILE"
            );
            attributes.push((key.to_owned(), value.to_owned()));
        }
        for attribute in &self.attribute_files {
            let (key, file) = attribute
                .split_once('=')
                .with_context(|| format!("--attribute-file {attribute}: it is written KEY=FILE"))?;
            let value = plugin::password(file.as_ref())?;
            attributes.push((key.to_owned(), value));
        }
        Ok(Account {
            user: self.user.clone(),
            maildrop: self.maildrop.clone().unwrap_or_else(|| self.user.clone()),
            attributes: Attributes::from(attributes),
        })
    }
}

fn copy(options: CopyOptions) -> anyhow::Result<()> {
    let file = options.config.clone();
    let config = load(&file)?;
    // Files with secrets may be another user's than the server's.
    let account = options.account()?;
    restante_log::begin(&Log {
        filter: "warn".into(),
        ..Log::default()
    })?;
    let config = as_the_server(config, &file)?;
    let CopyOptions {
        tenant,
        from,
        to,
        allow_empty,
        restore_removed,
        yes,
        ..
    } = options;
    let mut progress = Progress::new(&from);
    let copied = executor()?.block_on(async {
        let order = Order {
            compiler: compiler(&config.server)?,
            config,
            tenant,
            account,
            from,
            to: to.clone(),
            is_wanted: yes,
            allows_empty: allow_empty,
            restores_removed: restore_removed,
        };
        let mut terminate = signal(SignalKind::terminate()).context("SIGTERM")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT")?;
        let stop = Box::pin(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        });
        let mut tell = |event| progress.tell(event);
        let copied = maildrop_copy::copy(&order, stop, &mut tell).await;
        anyhow::Ok(copied)
    });
    progress.clear();
    print(&report(copied??, &to, yes))
}

fn report(copied: Copied, to: &str, is_done: bool) -> String {
    let Copied {
        messages,
        octets,
        already,
        others,
        moved,
        reordered,
    } = copied;
    let (messages, octets) = (counted(messages, "message"), counted(octets, "octet"));
    let mut text = match is_done {
        true => format!("copied {messages}, {octets}; verified\n"),
        false => {
            format!("would copy {messages}, {octets}: --yes does it. Nothing was changed\n")
        }
    };
    let kinds = [
        (already, format!("in `{to}` already")),
        (
            others,
            format!(
                "in `{to}` alone: delivered there, or removed from the original since then"
            ),
        ),
        (
            moved,
            "with the time of the message before, to keep the order: its own is not known, or earlier"
                .to_owned(),
        ),
        (
            reordered,
            "in another order there, among those that came in the same second or have the time of another one"
                .to_owned(),
        ),
    ];
    for (number, what) in kinds {
        if number > 0 {
            text.push_str(&format!("{} {what}\n", counted(number, "message")));
        }
    }
    text
}

/// A line on a terminal that says how far it is.
struct Progress {
    from: String,
    is_shown: bool,
    /// When it was last shown.
    last: Option<Instant>,
}

impl Progress {
    /// From one line to the next: a terminal is slow.
    const EVERY: Duration = Duration::from_millis(500);

    fn new(from: &str) -> Self {
        Progress {
            from: from.to_owned(),
            is_shown: io::stdout().is_terminal() && io::stderr().is_terminal(),
            last: None,
        }
    }

    fn tell(&mut self, event: Event) {
        match event {
            Event::Unprotected => {
                let from = &self.from;
                warning(format_args!(
                    "nothing keeps sessions of a running server out of the maildrop in `{from}` (`holds` in [server] names no engine): keep the user from logging in meanwhile, or run this again afterwards, which copies what came since"
                ));
            }
            Event::Copied { messages, of } => self.show("copied", messages, of),
            Event::Compared { messages, of } => self.show("compared", messages, of),
        }
    }

    fn show(&mut self, what: &str, messages: usize, of: usize) {
        if !self.is_shown || self.last.is_some_and(|last| last.elapsed() < Self::EVERY) {
            return;
        }
        self.last = Some(Instant::now());
        self.write(&format!("\r{what} {messages} of {of} messages\x1b[K"));
    }

    /// Leaves the line free for what is said next.
    fn clear(&self) {
        if self.last.is_some() {
            self.write("\r\x1b[K");
        }
    }

    fn write(&self, text: &str) {
        let mut terminal = io::stderr().lock();
        // Nobody misses it where it cannot be shown.
        let _ = terminal
            .write_all(text.as_bytes())
            .and_then(|()| terminal.flush());
    }
}

//! `plugin run`: one question to a component, and everything that came of it.

use std::fs;
use std::io::{IsTerminal, Write as _};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use restante_conformance as kit;
use restante_pop3::Secret;
use restante_roles::address::Client;
use restante_roles::backend::{
    Account, Admitted, Attributes, Connection, Credentials, Denial, Failure, Verdict,
};
use restante_roles::content::Source;
use restante_roles::metrics::Ledger;
use restante_roles::work::WorkHold;
use tokio::time::Instant;

use super::candidate::{Candidate, Given, Listings, Stage, password};
use crate::cli::print::print;
use crate::cli::serve::executor;
use crate::cli::table::counted;

#[derive(clap::Args)]
pub(in crate::cli) struct Options {
    #[command(flatten)]
    given: Given,
    /// The user name in the account that stores, filters and selectors get
    #[arg(long, value_name = "NAME", default_value = "ada@example.org")]
    account: String,
    /// The client's address; "::" is a client whose address is not known
    #[arg(long, value_name = "ADDRESS", default_value = "192.0.2.7")]
    client: IpAddr,
    #[command(subcommand)]
    call: Call,
}

#[derive(clap::Subcommand)]
enum Call {
    /// Log a user in with an authenticator
    Authenticate {
        /// The user's name
        #[arg(long, value_name = "NAME")]
        user: String,
        /// The file with the password in its first line; - for stdin
        #[arg(long, value_name = "FILE", default_value = "-")]
        password_file: PathBuf,
    },
    /// Ask a filter what a client sees of a message
    Screen {
        /// The message's file
        message: PathBuf,
    },
    /// Ask a store for its listing
    List,
    /// Ask a store for a message, and write it as it is stored
    Retr {
        /// Its number in the listing, from 1
        number: usize,
    },
    /// Ask an admission whether the client may connect
    Admit,
}

pub(super) fn run(options: &Options) -> anyhow::Result<()> {
    executor()?.block_on(call(options))
}

async fn call(options: &Options) -> anyhow::Result<()> {
    let (stage, candidate) = options.given.ready(Listings::Remembered).await?;
    // What it said while it was made ready is not about the call.
    let _ = stage.log.take();
    let ledger = Ledger::new("run");
    let run = Run {
        options,
        stage: &stage,
        candidate: &candidate,
        connection: Arc::new(Connection {
            session: "run".into(),
            ledger: Arc::clone(&ledger),
            tenant: "run".into(),
            listener: "run".into(),
            client: Client::at((options.client, 54321).into()),
            penalised: false,
            tls: None,
            recording: None,
            hold: WorkHold::default(),
        }),
    };
    let answer = match &options.call {
        Call::Authenticate {
            user,
            password_file,
        } => run.authenticate(user, password(password_file)?).await,
        Call::Screen { message } => run.screen(message).await,
        Call::List => run.list().await,
        Call::Retr { number } => run.retr(*number).await,
        Call::Admit => run.admit().await,
    };
    let lines = stage.log.take();
    let used = ledger.totals();
    let (answer, took) = match answer {
        Ok(told) => told,
        Err(error) => {
            report(&lines);
            return Err(error);
        }
    };
    let say = |text: &str| match options.call {
        // The message goes to stdout, and nothing else.
        Call::Retr { .. } => {
            eprintln!("{text}");
            Ok(())
        }
        _ => print(text),
    };
    say(&answer)?;
    say(&format!(
        "took {:.2} ms, {:.2} ms of it the plugin's own; {} KiB of memory at most; {} through host calls",
        milliseconds(took),
        milliseconds(Duration::from_nanos(used.guest_cpu_nanoseconds)),
        used.peak_memory_octets / 1024,
        counted(used.host_call_octets, "octet"),
    ))?;
    report(&lines);
    Ok(())
}

fn report(lines: &[String]) {
    for line in lines {
        eprintln!("log: {line}");
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// What was answered, and how long it took.
type Answer = (String, Duration);

struct Run<'a> {
    options: &'a Options,
    stage: &'a Stage,
    candidate: &'a Candidate,
    connection: Arc<Connection>,
}

impl Run<'_> {
    fn account(&self, maildrop: String) -> Account {
        Account {
            user: self.options.account.clone(),
            maildrop,
            attributes: Attributes::default(),
        }
    }

    async fn authenticate(&self, user: &str, password: String) -> anyhow::Result<Answer> {
        let role = self
            .candidate
            .plugin
            .authenticator(self.candidate.accepts)?;
        let credentials = Credentials::Password {
            user: user.to_owned(),
            acting_as: None,
            secret: Secret::from(password),
        };
        ensure!(
            self.candidate.accepts.takes(&credentials),
            "it does not accept passwords (see its interface accepts)"
        );
        let begun = Instant::now();
        let answer = role.authenticate(&self.connection, &credentials).await;
        let took = begun.elapsed();
        let text = match answer {
            Ok(account) => {
                let mut text = format!("user {:?}, maildrop {:?}", account.user, account.maildrop);
                for (key, value) in account.attributes.shown() {
                    text.push_str(&format!(", {key} = {value:?}"));
                }
                text
            }
            Err(Denial::Unknown) => "unknown: the next authenticator is asked".to_owned(),
            Err(Denial::Rejected) => "rejected".to_owned(),
            Err(Denial::Failed(failure)) => bail!("failed, {failure}"),
        };
        Ok((text, took))
    }

    async fn screen(&self, message: &PathBuf) -> anyhow::Result<Answer> {
        let octets = fs::read(message).with_context(|| message.display().to_string())?;
        let role = self.candidate.plugin.filter()?;
        let account = self.account("run".to_owned());
        let begun = Instant::now();
        let screener = role.screener(&self.connection, &account).await;
        let mut screener = served(screener)?;
        let verdict = served(screener.screen(kit::message(&octets)).await)?;
        let took = begun.elapsed();
        let text = match verdict {
            Verdict::Show => "show".to_owned(),
            Verdict::Hide => "hide".to_owned(),
            Verdict::Annotate(fields) => format!("annotate\n  {}", fields.join("\n  ")),
        };
        Ok((text, took))
    }

    async fn maildrop(&self) -> anyhow::Result<kit::OpenMaildrop> {
        let role = self.candidate.plugin.store()?;
        let maildrops = self
            .stage
            .maildrops(self.candidate, self.options.given.maildrop.as_deref())?;
        let copy = maildrops.fresh().await;
        let copy = copy.context("the maildrop cannot be copied")?;
        let mut connection = (*self.connection).clone();
        // What it costs is counted for the call, whosever the maildrop is.
        if let Some(tenant) = copy.tenant {
            connection.tenant = tenant;
        }
        let account = self.account(copy.maildrop);
        served(kit::open(&*role, &Arc::new(connection), &account).await)
    }

    async fn list(&self) -> anyhow::Result<Answer> {
        let begun = Instant::now();
        let entries = served(self.maildrop().await?.listing().await)?;
        let took = begun.elapsed();
        let mut text = String::new();
        for position in 0..entries.listing.len() {
            text.push_str(&format!(
                "{:>6} {:>10} {:>12}  {}\n",
                position + 1,
                entries.listing.octets(position),
                entries.received.get(position).copied().unwrap_or_default(),
                entries.listing.unique_id(position),
            ));
        }
        text.push_str(&format!(
            "{}, {}",
            counted(entries.listing.len(), "message"),
            counted(entries.listing.total_octets(), "octet")
        ));
        Ok((text, took))
    }

    async fn retr(&self, number: usize) -> anyhow::Result<Answer> {
        let begun = Instant::now();
        let mut maildrop = self.maildrop().await?;
        let entries = served(maildrop.listing().await)?;
        let messages = entries.listing.len();
        ensure!(
            (1..=messages).contains(&number),
            "there is no message {number}: the store lists {messages}"
        );
        let mut source = Source::new(served(maildrop.content(number - 1).await)?);
        let (mut chunk, mut octets) = (Vec::new(), 0);
        let mut out = std::io::stdout().lock();
        while !source.ended() {
            source.next(&mut chunk).await?;
            octets += chunk.len();
            out.write_all(&chunk)?;
        }
        if out.is_terminal() && !chunk.ends_with(b"\n") {
            out.write_all(b"\n")?;
        }
        out.flush()?;
        let unique_id = entries.listing.unique_id(number - 1);
        Ok((
            format!("{unique_id}, {} as stored", counted(octets, "octet")),
            begun.elapsed(),
        ))
    }

    async fn admit(&self) -> anyhow::Result<Answer> {
        let role = self.candidate.plugin.admission()?;
        let begun = Instant::now();
        let answer = served(role.admit(&self.connection).await)?;
        let took = begun.elapsed();
        let text = match answer {
            Admitted::Yes => "admitted".to_owned(),
            Admitted::Delayed(milliseconds) => format!("admitted after {milliseconds} ms"),
            Admitted::No(text) => format!("not admitted: {text:?}"),
        };
        Ok((text, took))
    }
}

fn served<T>(answer: Result<T, Failure>) -> anyhow::Result<T> {
    answer.map_err(|failure| anyhow::anyhow!("failed, {failure}"))
}

//! `plugin bench`: what a component costs, beside the built-in plugin of the same
//! role, in rounds by turns: what else the machine does meets both.

mod report;

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use restante_conformance as kit;
use restante_conformance::{MaildropCopy, MaildropSource};
use restante_pop3::{Listing, Secret};
use restante_roles::address::Client;
use restante_roles::backend::{
    Account, Attributes, Connection, Credentials, Denial, Entries, Failure,
};
use restante_roles::content::Source;
use restante_roles::metrics::Ledger;
use restante_roles::work::WorkHold;
use restante_wasm::inspect;

use super::candidate::{Candidate, Given, Listings, Stage, password};
use crate::cli::print::print;
use crate::cli::serve::executor;
use report::{BuiltIn, Compared, Made, ROUNDS, Report, Spread};

/// Instances that are made in a round.
const INSTANCES: u32 = 16;
/// Messages that a selector is shown.
const SELECTED: u32 = 1000;
/// Octets that are pulled out of a store at most for one message.
const MESSAGE_OCTETS: usize = 64 << 20;

/// The user who is asked about where none is given.
const USER: &str = "ada@example.org";
const PASSWORD: &str = "a word for the bench";

/// What filters are shown.
const MESSAGE: &[u8] =
    b"From: eve@example.net\r\nTo: ada@example.org\r\nSubject: a message of the bench\r\nX-Spam-Flag: NO\r\n\r\nIt says little.\r\n";

#[derive(clap::Args)]
pub(in crate::cli) struct Options {
    #[command(flatten)]
    given: Given,
    /// A user that the authenticator knows
    #[arg(long, value_name = "NAME", requires = "password_file")]
    user: Option<String>,
    /// The file with this user's password in its first line; - for stdin
    #[arg(long, value_name = "FILE", requires = "user")]
    password_file: Option<PathBuf>,
    /// Measure each kind of call for this many seconds
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(options: &Options) -> anyhow::Result<()> {
    executor()?.block_on(bench(options))
}

/// A question to a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Question {
    Authenticate,
    List,
    Fetch,
    Screen,
    Select,
    Admit,
}

impl Question {
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Question::Authenticate => ("authenticator", "a password"),
            Question::List => ("store", "open and list"),
            Question::Fetch => ("store", "the first message"),
            Question::Screen => ("filter", "a message"),
            Question::Select => ("selector", "1000 messages"),
            Question::Admit => ("admission", "a client"),
        }
    }

    fn built_in(self) -> Option<&'static str> {
        match self {
            Question::Authenticate => Some("builtin:passwd-file"),
            Question::List | Question::Fetch => Some("builtin:maildir"),
            Question::Screen | Question::Select => Some("builtin:rules"),
            Question::Admit => None,
        }
    }
}

async fn bench(options: &Options) -> anyhow::Result<()> {
    let user = match (&options.user, &options.password_file) {
        (Some(user), Some(file)) => (user.clone(), password(file)?),
        _ => (USER.to_owned(), PASSWORD.to_owned()),
    };
    // Logins are measured as a server has them.
    let (stage, candidate) = options.given.ready(Listings::Remembered).await?;
    let maildrops = Mailrooms::new(options, &stage, &candidate)?;
    let own = Side::new(&*maildrops.own, candidate, &options.given, &user).await?;
    let questions = own.questions();
    if questions.is_empty() {
        bail!("{}: it has no role that can be measured", own.name);
    }
    let mut others: Vec<Side> = Vec::new();
    for name in questions.iter().filter_map(|question| question.built_in()) {
        if others.iter().all(|other| other.name != name) {
            let given = built_in(&stage, name, &user)?;
            let candidate = stage.ready(&given.parsed()?.1).await?;
            let side = Side::new(&*maildrops.built_in, candidate, &given, &user);
            others.push(side.await?);
        }
    }
    let mut report = Report {
        component: own.name.clone(),
        octets: own.octets,
        compile_milliseconds: 0.0,
        seconds_a_question: options.seconds,
        rounds: ROUNDS,
        questions: Vec::new(),
        instances: Vec::new(),
    };
    for question in questions {
        let other = question.built_in();
        let other = others.iter().find(|side| Some(side.name.as_str()) == other);
        let compared = compare(question, &own, other, options.seconds).await?;
        report.questions.push(compared);
    }
    for side in std::iter::once(&own).chain(&others) {
        progress(&format!("{}: instances, compilation", side.name));
        report.instances.push(side.made(&stage).await?);
    }
    if let Some(own) = report.instances.first() {
        report.compile_milliseconds = own.compile_milliseconds;
    }
    match options.json {
        true => print(&serde_json::to_string_pretty(&report)?)?,
        false => print(&report.text())?,
    }
    Ok(())
}

/// A built-in plugin, given the same to work with.
fn built_in(stage: &Stage, name: &str, user: &(String, String)) -> anyhow::Result<Given> {
    let (settings, directories): (&[&str], _) = match name {
        "builtin:passwd-file" => {
            let folder = stage.folder()?;
            let line = format!("{}:{{PLAIN}}{}\n", user.0, user.1);
            fs::write(folder.join("passwd"), line)?;
            let grant = format!("{}:/users", folder.display());
            (&["file=/users/passwd"], vec![grant])
        }
        "builtin:rules" => (&["hide-header=X-Spam-Flag: YES", "newest=500"], Vec::new()),
        _ => (&[], Vec::new()),
    };
    let settings = settings.iter().map(|&setting| setting.to_owned());
    Ok(Given::of(name, settings.collect(), directories))
}

#[allow(clippy::print_stderr, reason = "progress")]
fn progress(text: &str) {
    eprintln!("bench: {text}");
}

/// Rounds of both, by turns.
async fn compare(
    question: Question,
    own: &Side,
    other: Option<&Side>,
    seconds: u64,
) -> anyhow::Result<Compared> {
    let (role, words) = question.words();
    let sides: Vec<&Side> = std::iter::once(own).chain(other).collect();
    let mut asked = Vec::with_capacity(sides.len());
    for side in &sides {
        let mut one = side.begin(question);
        // What is done once only is done now.
        one.ask().await?;
        asked.push((one, Vec::with_capacity(ROUNDS)));
    }
    let turns = u32::try_from(ROUNDS * sides.len())?;
    let slice = Duration::from_secs(seconds) / turns;
    for round in 1..=ROUNDS {
        progress(&format!("{role}, {words}: round {round} of {ROUNDS}"));
        for (one, rates) in &mut asked {
            let begun = Instant::now();
            let mut calls = 0_u32;
            while calls == 0 || begun.elapsed() < slice {
                one.ask().await?;
                calls += 1;
            }
            rates.push(f64::from(calls) / begun.elapsed().as_secs_f64());
        }
    }
    let mut results = asked.into_iter().map(|(one, rates)| {
        let peak = one.ledger.totals().peak_memory_octets;
        (Spread::of(rates), peak, one.note())
    });
    let (calls_a_second, peak_memory_octets, note) = results.next().context("no candidate")?;
    Ok(Compared {
        role,
        question: words,
        calls_a_second,
        peak_memory_octets,
        built_in: question.built_in().zip(results.next()).map(
            |(component, (calls_a_second, peak_memory_octets, _))| BuiltIn {
                component,
                calls_a_second,
                peak_memory_octets,
            },
        ),
        note,
    })
}

/// The mail that stores are asked for.
struct Mailrooms {
    own: Arc<dyn MaildropSource>,
    built_in: Arc<dyn MaildropSource>,
}

impl Mailrooms {
    /// The maildrop that was given; for maildir only if it is one.
    fn new(options: &Options, stage: &Stage, candidate: &Candidate) -> anyhow::Result<Mailrooms> {
        let given = options.given.maildrop.as_deref();
        let maildir =
            given.filter(|given| ["cur", "new"].iter().all(|name| given.join(name).is_dir()));
        Ok(Mailrooms {
            own: stage.maildrops(candidate, given)?,
            built_in: Arc::new(stage.directories(maildir)?),
        })
    }
}

/// One of the two.
struct Side {
    name: String,
    octets: u64,
    candidate: Candidate,
    section: restante_config::Plugin,
    user: (String, String),
    /// The account's maildrop, where there is a store.
    maildrop: MaildropCopy,
}

impl Side {
    async fn new(
        maildrops: &dyn MaildropSource,
        candidate: Candidate,
        given: &Given,
        user: &(String, String),
    ) -> anyhow::Result<Side> {
        let section = given.parsed()?.1;
        let (inspection, _) = inspect(&section.component)?;
        let maildrop = match candidate.plugin.store() {
            Ok(_) => {
                let copy = maildrops.fresh().await;
                copy.context("the maildrop cannot be copied")?
            }
            Err(_) => MaildropCopy {
                maildrop: "bench".to_owned(),
                tenant: None,
            },
        };
        Ok(Side {
            name: given.component.clone(),
            octets: inspection.octets,
            candidate,
            section,
            user: user.clone(),
            maildrop,
        })
    }

    fn questions(&self) -> Vec<Question> {
        let plugin = &self.candidate.plugin;
        let mut questions = Vec::new();
        if plugin.authenticator(self.candidate.accepts).is_ok() {
            match self.candidate.accepts.password {
                true => questions.push(Question::Authenticate),
                false => progress("it does not accept passwords: its authenticator is left out"),
            }
        }
        for (has, questions_of) in [
            (
                plugin.store().is_ok(),
                &[Question::List, Question::Fetch][..],
            ),
            (plugin.filter().is_ok(), &[Question::Screen]),
            (plugin.selector().is_ok(), &[Question::Select]),
            (plugin.admission().is_ok(), &[Question::Admit]),
        ] {
            if has {
                questions.extend_from_slice(questions_of);
            }
        }
        questions
    }

    fn begin(&self, question: Question) -> Asking<'_> {
        let ledger = Ledger::new("bench");
        let tenant = self.maildrop.tenant.as_deref().unwrap_or("bench");
        Asking {
            side: self,
            question,
            connection: Arc::new(Connection {
                session: "bench".into(),
                ledger: Arc::clone(&ledger),
                tenant: tenant.to_owned(),
                listener: "bench".into(),
                // RFC 5737: an address for documentation.
                client: Client::at(([192, 0, 2, 7], 54321).into()),
                penalised: false,
                tls: None,
                recording: None,
                hold: WorkHold::default(),
            }),
            ledger,
            account: Account {
                user: self.user.0.clone(),
                maildrop: self.maildrop.maildrop.clone(),
                attributes: Attributes::default(),
            },
            entries: None,
            denied: false,
        }
    }

    async fn made(&self, stage: &Stage) -> anyhow::Result<Made> {
        let plugin = &self.candidate.plugin;
        let mut rounds = Vec::with_capacity(ROUNDS);
        let mut live = 0;
        for _ in 0..ROUNDS {
            let mut took = Duration::ZERO;
            for _ in 0..INSTANCES {
                let ledger = Ledger::new("bench");
                let (time, octets) = served(plugin.fresh_instance(&ledger).await)?;
                took += time;
                live = octets;
            }
            rounds.push(took.as_secs_f64() * 1e6 / f64::from(INSTANCES));
        }
        Ok(Made {
            component: self.name.clone(),
            octets: self.octets,
            fresh_microseconds: Spread::of(rounds),
            live_memory_octets: live,
            compile_milliseconds: stage.compile(&self.section).await?.as_secs_f64() * 1e3,
        })
    }
}

/// A question that is asked again and again.
struct Asking<'s> {
    side: &'s Side,
    question: Question,
    connection: Arc<Connection>,
    ledger: Arc<Ledger>,
    account: Account,
    entries: Option<Arc<Entries>>,
    denied: bool,
}

impl Asking<'_> {
    fn note(&self) -> Option<String> {
        self.denied.then(|| {
            "it refuses this user: give one that it knows with --user and --password-file"
                .to_owned()
        })
    }

    async fn ask(&mut self) -> anyhow::Result<()> {
        let plugin = &self.side.candidate.plugin;
        match self.question {
            Question::Authenticate => self.authenticate().await,
            Question::List => {
                let mut maildrop = self.maildrop().await?;
                served(maildrop.listing().await).map(drop)
            }
            Question::Fetch => self.fetch().await,
            Question::Screen => {
                let role = plugin.filter()?;
                let screener = role.screener(&self.connection, &self.account).await;
                let message = kit::message(MESSAGE);
                served(served(screener)?.screen(message).await).map(drop)
            }
            Question::Select => {
                let entries = match &self.entries {
                    Some(entries) => Arc::clone(entries),
                    None => Arc::clone(self.entries.insert(entries()?)),
                };
                let role = plugin.selector()?;
                let selected = role.select(&self.connection, &self.account, &entries);
                served(selected.await).map(drop)
            }
            Question::Admit => served(plugin.admission()?.admit(&self.connection).await).map(drop),
        }
    }

    async fn authenticate(&mut self) -> anyhow::Result<()> {
        let candidate = &self.side.candidate;
        let role = candidate.plugin.authenticator(candidate.accepts)?;
        let (user, secret) = self.side.user.clone();
        let credentials = Credentials::Password {
            user,
            acting_as: None,
            secret: Secret::from(secret),
        };
        match role.authenticate(&self.connection, &credentials).await {
            Ok(_) => Ok(()),
            Err(Denial::Unknown | Denial::Rejected) => {
                self.denied = true;
                Ok(())
            }
            Err(Denial::Failed(failure)) => served(Err(failure)),
        }
    }

    async fn maildrop(&self) -> anyhow::Result<kit::OpenMaildrop> {
        let role = self.side.candidate.plugin.store()?;
        // What the session before held is not this one's.
        let connection = Arc::new(Connection {
            hold: WorkHold::default(),
            ..(*self.connection).clone()
        });
        served(kit::open(&*role, &connection, &self.account).await)
    }

    async fn fetch(&self) -> anyhow::Result<()> {
        let mut maildrop = self.maildrop().await?;
        let entries = served(maildrop.listing().await)?;
        if entries.listing.is_empty() {
            bail!(
                "{}: its maildrop is empty: give one with mail with --maildrop",
                self.side.name
            );
        }
        let mut source = Source::new(served(maildrop.content(0).await)?);
        let (mut chunk, mut octets) = (Vec::new(), 0);
        while !source.ended() && octets < MESSAGE_OCTETS {
            source.next(&mut chunk).await?;
            octets += chunk.len();
        }
        Ok(())
    }
}

/// What a selector is shown.
fn entries() -> anyhow::Result<Arc<Entries>> {
    let ids: Vec<String> = (0..SELECTED).map(|at| format!("message-{at}")).collect();
    let listing = Listing::new(ids.iter().map(|id| (id.as_str(), 4096)));
    let listing = Arc::new(listing.map_err(|error| anyhow!("{error}"))?);
    let received = (0..u64::from(SELECTED)).map(|at| 1_700_000_000 + at);
    Ok(Arc::new(Entries {
        surrogates: Arc::clone(&listing),
        listing,
        received: received.collect(),
    }))
}

fn served<T>(answer: Result<T, Failure>) -> anyhow::Result<T> {
    answer.map_err(|failure| anyhow!("it fails: {failure}; `restante plugin run` shows its log"))
}

//! The rows: what is measured against every server, interleaved, in rounds.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::Bench;
use crate::client::{Script, Tls};
use crate::load::{Load, SETTLED, Sample};
use crate::mail::Class;
use crate::servers::{Kind, Server, Setup};

const fn class(name: &'static str, users: usize, messages: usize, octets: usize) -> Class {
    Class {
        name,
        users,
        messages,
        octets,
    }
}

/// Small maildrops, for logins.
pub(crate) const LOGIN: Class = class("login", 16, 10, 2048);
/// An ordinary day's mail.
pub(crate) const FETCH: Class = class("fetch", 16, 50, 8192);
/// 200 messages of 1 MB.
pub(crate) const BULK: Class = class("bulk", 2, 200, 1_000_000);
/// Maildrops that are left on the server.
const POLL_1K: Class = class("poll1k", 4, 1_000, 1024);
pub(crate) const POLL_100K: Class = class("poll100k", 1, 100_000, 600);
const POLL_1M: Class = class("poll1m", 1, 1_000_000, 600);

/// What a maildrop is like when a session begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Known to the server, and unchanged.
    Warm,
    /// One message more than last time.
    Delivered,
    /// Never seen: the server was just started, and has no index.
    Cold,
}

/// A row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    pub(crate) load: Load,
    pub(crate) state: State,
    /// Milliseconds of the server's CPU for a unit that the project set itself.
    pub(crate) goal: Option<f64>,
    kinds: &'static [Kind],
    in_quick: bool,
}

const ALL: &[Kind] = &[Kind::Floor, Kind::Restante, Kind::Rules, Kind::Dovecot];
const WITHOUT_RULES: &[Kind] = &[Kind::Floor, Kind::Restante, Kind::Dovecot];
const WITHOUT_DOVECOT: &[Kind] = &[Kind::Floor, Kind::Restante];

/// Every row, in the order of the tables.
pub(crate) const ROWS: &[Row] = &[
    Row::new(
        "login",
        "connect, USER, PASS, STAT, QUIT",
        LOGIN,
        Script::LOOK,
        8,
        ALL,
    )
    .goal(0.2),
    Row::new(
        "login-tls",
        "the same over TLS 1.3, full handshake (P-256)",
        LOGIN,
        Script::LOOK,
        8,
        WITHOUT_RULES,
    )
    .tls(Tls::Full)
    .goal(0.5),
    Row::new(
        "login-tls-resumed",
        "the same, handshake resumed",
        LOGIN,
        Script::LOOK,
        8,
        WITHOUT_RULES,
    )
    .tls(Tls::Resumed),
    Row::new(
        "fetch",
        "login, UIDL, LIST, 50 × RETR of 8 KB one by one",
        FETCH,
        Script::FETCH,
        8,
        ALL,
    )
    .goal(1.6),
    Row::new(
        "pipe",
        "the same, 64 RETRs at a time",
        FETCH,
        Script::PIPE,
        8,
        ALL,
    )
    .goal(0.6),
    Row::new(
        "bulk",
        "login, 200 × RETR of 1 MB",
        BULK,
        Script::BULK,
        2,
        WITHOUT_RULES,
    )
    .goal(120.0),
    Row::new(
        "bulk-tls",
        "the same over TLS 1.3",
        BULK,
        Script::BULK,
        2,
        WITHOUT_RULES,
    )
    .tls(Tls::Full)
    .goal(250.0),
    Row::new(
        "poll-1k",
        "login, STAT, UIDL of 1,000 messages, unchanged",
        POLL_1K,
        Script::POLL,
        2,
        ALL,
    ),
    Row::new(
        "poll-1k-delivery",
        "after one delivery",
        POLL_1K,
        Script::POLL,
        1,
        WITHOUT_RULES,
    )
    .state(State::Delivered)
    .not_quick(),
    Row::new(
        "poll-1k-cold",
        "server just started, no index",
        POLL_1K,
        Script::POLL,
        4,
        WITHOUT_RULES,
    )
    .state(State::Cold)
    .not_quick(),
    Row::new(
        "poll-100k",
        "of 100,000 messages, unchanged",
        POLL_100K,
        Script::POLL,
        1,
        WITHOUT_RULES,
    )
    .goal(3.0),
    Row::new(
        "poll-100k-delivery",
        "after one delivery",
        POLL_100K,
        Script::POLL,
        1,
        WITHOUT_RULES,
    )
    .state(State::Delivered)
    .goal(15.0),
    Row::new(
        "poll-100k-cold",
        "server just started, no index",
        POLL_100K,
        Script::POLL,
        1,
        WITHOUT_RULES,
    )
    .state(State::Cold)
    .not_quick(),
    Row::new(
        "poll-1m",
        "of 1,000,000 messages, unchanged",
        POLL_1M,
        Script::POLL,
        1,
        WITHOUT_DOVECOT,
    )
    .goal(30.0)
    .not_quick(),
    Row::new(
        "poll-1m-delivery",
        "after one delivery",
        POLL_1M,
        Script::POLL,
        1,
        WITHOUT_DOVECOT,
    )
    .state(State::Delivered)
    .not_quick(),
    Row::new(
        "poll-1m-cold",
        "server just started, no index",
        POLL_1M,
        Script::POLL,
        1,
        WITHOUT_DOVECOT,
    )
    .state(State::Cold)
    .not_quick(),
];

impl Row {
    const fn new(
        name: &'static str,
        what: &'static str,
        class: Class,
        script: Script,
        clients: usize,
        kinds: &'static [Kind],
    ) -> Self {
        Row {
            name,
            what,
            load: Load {
                class,
                script,
                tls: Tls::Off,
                clients,
            },
            state: State::Warm,
            goal: None,
            kinds,
            in_quick: true,
        }
    }

    const fn tls(mut self, tls: Tls) -> Self {
        self.load.tls = tls;
        self
    }

    const fn state(mut self, state: State) -> Self {
        self.state = state;
        self
    }

    const fn goal(mut self, milliseconds: f64) -> Self {
        self.goal = Some(milliseconds);
        self
    }

    const fn not_quick(mut self) -> Self {
        self.in_quick = false;
        self
    }

    fn kinds(&self, bench: &Bench) -> impl Iterator<Item = Kind> {
        let dovecot = bench.programs.dovecot.is_some();
        let kinds = self.kinds.iter().copied();
        kinds.filter(move |&kind| dovecot || kind != Kind::Dovecot)
    }
}

/// A row with what came out of each round, by server.
pub(crate) struct Measured {
    pub(crate) row: Row,
    pub(crate) samples: BTreeMap<Kind, Vec<Sample>>,
}

impl Measured {
    /// One figure of each round.
    pub(crate) fn each(&self, kind: Kind, figure: impl Fn(&Sample) -> f64) -> Vec<f64> {
        let samples = self.samples.get(&kind).map_or(&[][..], Vec::as_slice);
        samples.iter().map(figure).collect()
    }
}

/// Measures the rows that are wanted.
pub(crate) fn measure(bench: &Bench) -> Result<Vec<Measured>> {
    let mut measured: Vec<Measured> = ROWS
        .iter()
        .filter(|row| bench.wants(row.name, row.in_quick))
        .map(|&row| Measured {
            row,
            samples: BTreeMap::new(),
        })
        .collect();
    if measured.is_empty() {
        return Ok(measured);
    }
    let mut classes = vec![LOGIN];
    for Measured { row, .. } in &measured {
        if !classes.contains(&row.load.class) {
            classes.push(row.load.class);
        }
    }
    make_maildrops(bench, &measured)?;
    let mut servers = BTreeMap::new();
    for kind in measured.iter().flat_map(|one| one.row.kinds(bench)) {
        if let Entry::Vacant(vacant) = servers.entry(kind) {
            let setup = Setup::new(kind, bench.tree(kind), &classes);
            vacant.insert(bench.programs.start(&setup)?);
        }
    }
    prove(bench, &measured, &servers)?;
    for round in 0..bench.rounds {
        for one in &mut measured {
            bench.say(&format!(
                "round {} of {}: {}",
                round + 1,
                bench.rounds,
                one.row.name
            ));
            let mut kinds: Vec<Kind> = one.row.kinds(bench).collect();
            // Nobody is always the one behind somebody else's work.
            let turn = round % kinds.len();
            kinds.rotate_left(turn);
            for kind in kinds {
                let sample = one_sample(bench, &one.row, kind, &servers[&kind], &classes)
                    .with_context(|| format!("{}: {}", one.row.name, kind.name()))?;
                one.samples.entry(kind).or_default().push(sample);
            }
        }
    }
    for server in servers.into_values() {
        server.process.stop()?;
    }
    Ok(measured)
}

fn make_maildrops(bench: &Bench, measured: &[Measured]) -> Result<()> {
    bench.make(Kind::Restante, &LOGIN)?;
    for Measured { row, .. } in measured {
        for kind in row.kinds(bench) {
            bench.make(kind, &row.load.class)?;
        }
        if row.state == State::Cold {
            for kind in row.kinds(bench) {
                bench.make(kind, &LOGIN)?;
            }
        }
    }
    std::thread::sleep(SETTLED);
    Ok(())
}

/// Before anything is measured every server shows that it serves the right
/// octets, and gets to know its maildrops.
fn prove(bench: &Bench, measured: &[Measured], servers: &BTreeMap<Kind, Server>) -> Result<()> {
    bench.say("every server proves its octets");
    for Measured { row, .. } in measured {
        for kind in row.kinds(bench) {
            // Dovecot renames what is new, and looks again later at what it
            // has just changed itself.
            for _ in 0..2 {
                row.load
                    .prove(&servers[&kind])
                    .with_context(|| format!("{}: {}", row.name, kind.name()))?;
            }
        }
    }
    Ok(())
}

fn one_sample(
    bench: &Bench,
    row: &Row,
    kind: Kind,
    server: &Server,
    classes: &[Class],
) -> Result<Sample> {
    let load = &row.load;
    let sample = match row.state {
        State::Warm => {
            load.prove(server)?;
            load.run(server, bench.time)?
        }
        State::Delivered => {
            load.prove(server)?;
            let tree = (kind != Kind::Floor).then(|| bench.tree(kind));
            let sample = load.run_delivered(server, tree, bench.time)?;
            load.prove(server)?;
            sample
        }
        State::Cold => {
            let fresh = bench
                .programs
                .start(&Setup::new(kind, bench.tree(kind), classes))?;
            // What every server does once, whoever logs in.
            login_load().prove(&fresh)?;
            if kind != Kind::Floor {
                bench.tree(kind).forget_indexes(&load.class)?;
                std::thread::sleep(Duration::from_millis(200));
            }
            let sample = load.run_once_each(&fresh)?;
            fresh.process.stop()?;
            sample
        }
    };
    if load.tls == Tls::Resumed && kind != Kind::Dovecot {
        // Dovecot's login processes do not know each other's tickets.
        ensure!(
            sample.resumed > 0.9,
            "only {:.0} % resumed",
            sample.resumed * 100.0
        );
    }
    Ok(sample)
}

/// Logins of one client.
pub(crate) fn login_load() -> Load {
    Load {
        class: LOGIN,
        script: Script::LOOK,
        tls: Tls::Off,
        clients: 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_clients_have_maildrops() {
        for (at, row) in ROWS.iter().enumerate() {
            assert!(
                ROWS[..at].iter().all(|other| other.name != row.name),
                "{}",
                row.name
            );
            assert!(row.load.clients <= row.load.class.users, "{}", row.name);
            assert!(!row.load.class.name.contains('-'), "{}", row.name);
        }
    }
}

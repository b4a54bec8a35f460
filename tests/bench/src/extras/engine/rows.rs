//! The rows: what is asked of each server, and what was wanted of it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::keeper::{Kept, Maildrops};
use super::site::{Reading, Site, enter_in_time};
use crate::client::{Script, Tls};
use crate::load::{AFTERMATH, Load, SETTLED, block_on, milliseconds};
use crate::mail::Class;
use crate::rows::{FETCH, LOGIN};
use crate::statistics::percentile;

/// Rounds at most: each takes messages away.
pub(super) const MOST_ROUNDS: usize = 3;

/// Removals in a round.
const REMOVALS: usize = 4;

/// Messages that are removed at once.
const REMOVED: usize = 100;

/// Messages that are removed in all.
const REMOVED_IN_ALL: usize = MOST_ROUNDS * REMOVALS * REMOVED;

/// A large maildrop; with all removals made, it has 100,000 messages left.
const KEPT: Class = Class {
    name: "kept100k",
    users: 1,
    messages: 100_000 + REMOVED_IN_ALL,
    octets: 600,
};

/// The maildrops of the rows.
pub(super) const CLASSES: [Class; 3] = [LOGIN, FETCH, KEPT];

/// Likewise, and how much of them there is. What is removed leaves octets to be removed too.
pub(super) const MAILDROPS: [Maildrops; 3] = [
    whole(LOGIN),
    whole(FETCH),
    Maildrops {
        class: KEPT,
        with_octets: REMOVED_IN_ALL,
    },
];

const fn whole(class: Class) -> Maildrops {
    Maildrops {
        class,
        with_octets: class.messages,
    }
}

/// A row.
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) what: &'static str,
    pub(super) measure: fn(&mut Site<'_>, Duration) -> Result<Reading>,
    embedded_goal: &'static str,
    postgres_goal: &'static str,
}

impl Row {
    /// What the project set itself, in the words of the table's columns.
    pub(super) fn goal(&self, kept: Kept) -> &'static str {
        match kept {
            Kept::Maildir => "",
            Kept::Embedded => self.embedded_goal,
            Kept::Postgres => self.postgres_goal,
        }
    }
}

/// In the order of the table. What removes messages comes last in a round.
pub(super) const ROWS: &[Row] = &[
    Row {
        name: "login",
        what: "connect, USER, PASS, STAT, QUIT; one client",
        measure: login,
        embedded_goal: "server ≤ 0.05 more",
        postgres_goal: "server ≤ 0.15 more, p50 ≤ 1 more",
    },
    Row {
        name: "login-8",
        what: "the same, 8 clients",
        measure: logins,
        embedded_goal: "",
        postgres_goal: "",
    },
    Row {
        name: "fetch",
        what: "login, UIDL, LIST, 50 × RETR of 8 KB one by one; 8 clients",
        measure: fetch,
        embedded_goal: "server : Maildir ≤ 1",
        postgres_goal: "",
    },
    Row {
        name: "poll",
        what: "login, STAT, UIDL of 100,000 messages, unchanged",
        measure: poll,
        embedded_goal: "server : Maildir ≤ 1.3",
        postgres_goal: "server : Maildir ≤ 1.3",
    },
    Row {
        name: "poll-first",
        what: "the same, server just started, nothing remembered",
        measure: first_poll,
        embedded_goal: "p50 ≤ 100",
        postgres_goal: "p50 ≤ 100",
    },
    Row {
        name: "update",
        what: "QUIT that removes 100 of 100,000 messages",
        measure: update,
        embedded_goal: "",
        postgres_goal: "database ≤ 2",
    },
];

fn load(class: Class, script: Script, clients: usize) -> Load {
    Load {
        class,
        script,
        tls: Tls::Off,
        clients,
    }
}

/// The load after a proof that the octets are right; the maildrops are known by then.
fn warm(site: &Site<'_>, load: Load, time: Duration) -> Result<Reading> {
    for _ in 0..2 {
        load.prove(site.server()?)?;
    }
    site.reading(|server| load.run(server, time))
}

fn login(site: &mut Site<'_>, time: Duration) -> Result<Reading> {
    warm(site, load(LOGIN, Script::LOOK, 1), time)
}

fn logins(site: &mut Site<'_>, time: Duration) -> Result<Reading> {
    warm(site, load(LOGIN, Script::LOOK, 8), time)
}

fn fetch(site: &mut Site<'_>, time: Duration) -> Result<Reading> {
    warm(site, load(FETCH, Script::FETCH, 8), time)
}

fn poll(site: &mut Site<'_>, time: Duration) -> Result<Reading> {
    warm(site, poll_load(site), time)
}

/// A poll of what removals have left.
fn poll_load(site: &Site<'_>) -> Load {
    let left = Class {
        messages: KEPT.messages - site.removed,
        ..KEPT
    };
    load(left, Script::POLL, 1)
}

fn first_poll(site: &mut Site<'_>, _: Duration) -> Result<Reading> {
    site.restart()?;
    if let Some(tree) = site.tree() {
        tree.forget_indexes(&KEPT)?;
        std::thread::sleep(Duration::from_millis(200));
    }
    let load = poll_load(site);
    site.reading(|server| load.run_once_each(server))
}

/// The answer to QUIT alone, and what it costs: marking is the session's own affair.
fn update(site: &mut Site<'_>, _: Duration) -> Result<Reading> {
    let user = KEPT.user(0);
    let target = site.server()?.target(Tls::Off)?;
    let mut times = Vec::new();
    let (mut server, mut database) = (0.0, 0.0);
    for _ in 0..REMOVALS {
        block_on(async {
            let mut client = enter_in_time(&target, &user).await?;
            client.delete_first(REMOVED).await?;
            let before = site.cpu()?;
            let begun = Instant::now();
            client.quit().await?;
            times.push(begun.elapsed());
            tokio::time::sleep(AFTERMATH).await;
            let (of_server, of_database) = site.cpu()?.since(before);
            server += of_server;
            database += of_database;
            Ok(())
        })?;
        site.removed += REMOVED;
    }
    // As many are left as there should be. No store trusts times that are so new.
    poll_load(site).prove(site.server()?)?;
    std::thread::sleep(SETTLED);
    let at = |hundredths| {
        percentile(&times, hundredths)
            .map(milliseconds)
            .context("nothing was removed")
    };
    Ok(Reading {
        server: server / REMOVALS as f64,
        database: database / REMOVALS as f64,
        p50: at(50)?,
        p99: at(99)?,
    })
}

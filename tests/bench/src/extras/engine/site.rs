//! A server over maildrops of one keeper, and what is read of both.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::keeper::{Keeper, Kept};
use crate::Bench;
use crate::client::{Client, Target, Tls, is_temporary};
use crate::load::{Sample, block_on, milliseconds};
use crate::mail::{Class, Tree};
use crate::rows::{LOGIN, login_load};
use crate::servers::{Kind, Server, Setup};

/// How long a login may be asked to come again: an engine is being opened, or a large message
/// is seen for the first time.
const PATIENCE: Duration = Duration::from_secs(60);

/// Between two of these logins.
const PAUSE: Duration = Duration::from_millis(50);

/// What a unit cost, and what clients saw of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    /// Milliseconds of the server's CPU.
    pub(super) server: f64,
    /// Milliseconds of the database's CPU, where it is a process of its own.
    pub(super) database: f64,
    pub(super) p50: f64,
    pub(super) p99: f64,
}

/// CPU time since their starts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cpu {
    server: Duration,
    database: Duration,
}

impl Cpu {
    /// Milliseconds of both since then.
    pub(super) fn since(self, before: Cpu) -> (f64, f64) {
        let server = self.server.saturating_sub(before.server);
        let database = self.database.saturating_sub(before.database);
        (milliseconds(server), milliseconds(database))
    }
}

/// A server over maildrops of one keeper.
pub(super) struct Site<'a> {
    /// None while it is started again.
    server: Option<Server>,
    bench: &'a Bench,
    keeper: &'a Keeper,
    setup: Setup<'a>,
    /// Messages that removals have taken from the maildrop that is polled.
    pub(super) removed: usize,
}

impl<'a> Site<'a> {
    /// Starts a server over maildrops of these classes, and waits until it serves them.
    pub(super) fn start(
        bench: &'a Bench,
        keeper: &'a Keeper,
        classes: &'a [Class],
    ) -> Result<Self> {
        let tree = bench.tree(Kind::Restante);
        let mut setup = Setup::new(Kind::Restante, tree, classes);
        setup.engine = keeper.section();
        let mut site = Site {
            server: None,
            bench,
            keeper,
            setup,
            removed: 0,
        };
        site.restart()?;
        Ok(site)
    }

    /// Another server, which remembers nothing of the maildrops but what their keeper has.
    pub(super) fn restart(&mut self) -> Result<()> {
        // One at a time: an embedded engine is one server's.
        if let Some(server) = self.server.take() {
            server.process.stop()?;
        }
        let server = self.bench.programs.start(&self.setup)?;
        let target = server.target(Tls::Off)?;
        self.server = Some(server);
        block_on(async {
            let client = enter_in_time(&target, &LOGIN.user(0)).await?;
            client.quit().await
        })?;
        // What every server does once, whoever logs in.
        login_load().prove(self.server()?)
    }

    /// Stops it.
    pub(super) fn stop(mut self) -> Result<()> {
        match self.server.take() {
            Some(server) => server.process.stop(),
            None => Ok(()),
        }
    }

    pub(super) fn server(&self) -> Result<&Server> {
        self.server.as_ref().context("the server was not started")
    }

    pub(super) fn kind(&self) -> Kept {
        self.keeper.kind()
    }

    pub(super) fn name(&self) -> &'static str {
        self.keeper.name()
    }

    /// The Maildirs, where there are some.
    pub(super) fn tree(&self) -> Option<&'a Tree> {
        let bench = self.bench;
        match self.kind() {
            Kept::Maildir => Some(bench.tree(Kind::Restante)),
            Kept::Embedded | Kept::Postgres => None,
        }
    }

    pub(super) fn cpu(&self) -> Result<Cpu> {
        Ok(Cpu {
            server: self.server()?.process.cpu()?,
            database: self.keeper.database_cpu()?,
        })
    }

    /// What a load costs the database too.
    pub(super) fn reading(&self, load: impl FnOnce(&Server) -> Result<Sample>) -> Result<Reading> {
        let before = self.keeper.database_cpu()?;
        let sample = load(self.server()?)?;
        let database = self.keeper.database_cpu()?.saturating_sub(before);
        Ok(Reading {
            server: sample.cpu,
            database: milliseconds(database) / sample.units as f64,
            p50: sample.p50,
            p99: sample.p99,
        })
    }
}

/// A login that comes again as long as it is asked to.
pub(super) async fn enter_in_time(target: &Target, user: &str) -> Result<Client> {
    let begun = Instant::now();
    loop {
        match Client::enter(target, user).await {
            Err(error) if is_temporary(&error) && begun.elapsed() < PATIENCE => {
                tokio::time::sleep(PAUSE).await;
            }
            ended => return ended.with_context(|| format!("user {user}")),
        }
    }
}

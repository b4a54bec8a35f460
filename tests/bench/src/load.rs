//! Sessions by many clients at once, for a while, and what they cost the server.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tokio::task::{JoinSet, LocalSet};

use crate::client::{Expected, Script, Target, Tls, is_temporary, session};
use crate::mail::{Class, Tree};
use crate::process::Process;
use crate::servers::Server;
use crate::statistics::percentile;

/// For work that a server does after it has said good-bye.
pub(crate) const AFTERMATH: Duration = Duration::from_millis(50);

/// Modification times have a grain: what changed within it before it was read
/// may change again unseen, so servers trust nothing younger.
pub(crate) const SETTLED: Duration = Duration::from_millis(2500);

/// Logins until a maildrop has to be known.
const LOGINS: usize = 10;

/// What clients do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) class: Class,
    pub(crate) script: Script,
    pub(crate) tls: Tls,
    /// Sessions at a time.
    pub(crate) clients: usize,
}

/// What a while of it cost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    /// Units that came to their end.
    pub(crate) units: usize,
    /// CPU time of the server for a unit, in milliseconds.
    pub(crate) cpu: f64,
    /// Units in a second.
    pub(crate) rate: f64,
    /// Milliseconds that half of the units took at most.
    pub(crate) p50: f64,
    /// Milliseconds that 99 of 100 took at most.
    pub(crate) p99: f64,
    /// The share of handshakes that used a ticket.
    pub(crate) resumed: f64,
}

/// The runtime of the clients: one thread.
pub(crate) fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    LocalSet::new().block_on(&runtime, work)
}

impl Load {
    /// One session of each user. The first user's is a proof: each octet is
    /// compared.
    pub(crate) fn prove(&self, server: &Server) -> Result<()> {
        block_on(async {
            let target = server.target(self.tls)?;
            let expected = Expected::new(self.class, 0);
            for at in 0..self.class.users.min(self.clients) {
                let user = self.class.user(at);
                first(&target, &user, self.script, &expected, at == 0).await?;
            }
            Ok(())
        })
    }

    /// Sessions of all clients until the time is over.
    pub(crate) fn run(&self, server: &Server, time: Duration) -> Result<Sample> {
        block_on(self.sample(server, time))
    }

    /// The same, inside the runtime of the clients.
    pub(crate) async fn sample(&self, server: &Server, time: Duration) -> Result<Sample> {
        let meter = Meter::start(&server.process)?;
        let done = self.sessions(server, time).await?;
        meter.stop(&done)
    }

    async fn sessions(&self, server: &Server, time: Duration) -> Result<Done> {
        ensure!(
            self.clients <= self.class.users,
            "a maildrop is for one at a time"
        );
        let times = Rc::new(RefCell::new(Vec::new()));
        let resumed = Rc::new(Cell::new(0));
        let mut clients = JoinSet::new();
        let begun = Instant::now();
        for at in 0..self.clients {
            let (times, resumed) = (Rc::clone(&times), Rc::clone(&resumed));
            // Tickets are a client's own.
            let target = server.target(self.tls)?;
            let (script, user) = (self.script, self.class.user(at));
            let expected = Expected::new(self.class, 0);
            clients.spawn_local(async move {
                loop {
                    let one = Instant::now();
                    let used_ticket = session(&target, &user, script, &expected, false)
                        .await
                        .with_context(|| format!("user {user}"))?;
                    times.borrow_mut().push(one.elapsed());
                    resumed.set(resumed.get() + usize::from(used_ticket));
                    if begun.elapsed() >= time {
                        return anyhow::Ok(());
                    }
                }
            });
        }
        while let Some(ended) = clients.join_next().await {
            ended??;
        }
        Ok(Done {
            elapsed: begun.elapsed(),
            times: times.take(),
            resumed: resumed.get(),
        })
    }

    /// One client; before each session a message is delivered, which counts
    /// for nobody. The deliveries are taken back at the end.
    pub(crate) fn run_delivered(
        &self,
        server: &Server,
        tree: Option<&Tree>,
        time: Duration,
    ) -> Result<Sample> {
        let Some(tree) = tree else {
            // The floor has no storage that a delivery could change.
            return self.run(server, time);
        };
        let user = self.class.user(0);
        let target = server.target(self.tls)?;
        let mut expected = Expected::new(self.class, 0);
        let mut done = Done::default();
        let meter = Meter::start(&server.process)?;
        let outcome = loop {
            tree.deliver(&self.class, &user, done.times.len())?;
            expected = expected.delivered();
            let one = Instant::now();
            let ended = block_on(session(&target, &user, self.script, &expected, false));
            if let Err(error) = ended {
                break Err(error.context("after a delivery"));
            }
            done.times.push(one.elapsed());
            done.elapsed += one.elapsed();
            if done.elapsed >= time {
                break Ok(());
            }
        };
        let sample = meter.stop(&done);
        tree.remove_deliveries(&self.class)?;
        outcome?;
        std::thread::sleep(SETTLED);
        sample
    }

    /// One session of each user, in turn.
    pub(crate) fn run_once_each(&self, server: &Server) -> Result<Sample> {
        let target = server.target(self.tls)?;
        let expected = Expected::new(self.class, 0);
        let meter = Meter::start(&server.process)?;
        let begun = Instant::now();
        let times = block_on(async {
            let mut times = Vec::new();
            for at in 0..self.class.users {
                let one = Instant::now();
                let user = self.class.user(at);
                first(&target, &user, self.script, &expected, false).await?;
                times.push(one.elapsed());
            }
            Ok(times)
        })?;
        meter.stop(&Done {
            elapsed: begun.elapsed(),
            times,
            resumed: 0,
        })
    }
}

/// A session on a maildrop that the server may not know yet. Where that takes long,
/// clients are asked to come again, and do.
async fn first(
    target: &Target,
    user: &str,
    script: Script,
    expected: &Expected,
    proof: bool,
) -> Result<()> {
    let mut left = LOGINS;
    loop {
        left -= 1;
        match session(target, user, script, expected, proof).await {
            Err(error) if left > 0 && is_temporary(&error) => {}
            ended => return ended.map(drop).with_context(|| format!("user {user}")),
        }
    }
}

/// Sessions that came to their end.
#[derive(Default)]
struct Done {
    elapsed: Duration,
    times: Vec<Duration>,
    resumed: usize,
}

/// A server's CPU clock, from here on.
struct Meter<'a> {
    process: &'a Process,
    before: Duration,
}

impl<'a> Meter<'a> {
    fn start(process: &'a Process) -> Result<Self> {
        let before = process.cpu()?;
        Ok(Meter { process, before })
    }

    fn stop(self, done: &Done) -> Result<Sample> {
        std::thread::sleep(AFTERMATH);
        let cpu = self.process.cpu()?.saturating_sub(self.before);
        let count = done.times.len();
        let units = count as f64;
        let at = |hundredths| {
            percentile(&done.times, hundredths)
                .map(milliseconds)
                .context("no session came to its end")
        };
        Ok(Sample {
            units: count,
            cpu: milliseconds(cpu) / units,
            rate: units / done.elapsed.as_secs_f64(),
            p50: at(50)?,
            p99: at(99)?,
            resumed: done.resumed as f64 / units,
        })
    }
}

/// A time as tables have it.
pub(crate) fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

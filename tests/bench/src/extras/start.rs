//! How long a start takes, and what a reload does to those who come meanwhile.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::Bench;
use crate::load::{Load, Sample, block_on, milliseconds};
use crate::report::median;
use crate::rows::{LOGIN, login_load};
use crate::servers::{Kind, Setup};
use crate::table::Table;

/// Between two SIGHUPs.
const RELOAD_EVERY: Duration = Duration::from_millis(500);

/// From exec to the first login's end, with and without compiled components.
pub(super) fn start_up(bench: &Bench) -> Result<Vec<Table>> {
    bench.make(Kind::Restante, &LOGIN)?;
    let classes = [LOGIN];
    let mut table = Table::new(
        "Start",
        &[
            "compiled components",
            "ms to listening",
            "ms to the first login's end",
            "CPU ms",
        ],
        "Restante with passwd-file, maildir and rules; the middle of the rounds.",
    );
    let mut setup = Setup::new(Kind::Rules, bench.tree(Kind::Restante), &classes);
    let state = bench.programs.scratch.join("start-state");
    setup.state = Some(state.clone());
    for (words, keep) in [("none yet (cold)", false), ("kept (warm)", true)] {
        let (mut listening, mut logged_in, mut cpu) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..bench.rounds {
            if !keep && state.exists() {
                std::fs::remove_dir_all(&state)?;
            }
            let begun = Instant::now();
            let server = bench.programs.start(&setup)?;
            listening.push(milliseconds(begun.elapsed()));
            login_load().prove(&server)?;
            logged_in.push(milliseconds(begun.elapsed()));
            cpu.push(milliseconds(server.process.cpu()?));
            server.process.stop()?;
        }
        let figures = [&listening, &logged_in, &cpu].map(|values| median(values));
        let mut line = vec![words.to_owned()];
        line.extend(figures);
        table.rows.push(line);
    }
    Ok(vec![table])
}

/// Logins while SIGHUP comes twice a second, beside logins in peace.
pub(super) fn reload(bench: &Bench) -> Result<Vec<Table>> {
    bench.make(Kind::Restante, &LOGIN)?;
    let classes = [LOGIN];
    let server = bench.programs.start(&Setup::new(
        Kind::Restante,
        bench.tree(Kind::Restante),
        &classes,
    ))?;
    let load = Load {
        clients: 4,
        ..login_load()
    };
    load.prove(&server)?;
    let time = bench.time.max(4 * RELOAD_EVERY);
    let (mut quiet, mut reloading) = (Vec::new(), Vec::new());
    for _ in 0..bench.rounds {
        quiet.push(load.run(&server, time)?);
        reloading.push(block_on(async {
            let mut ticks = tokio::time::interval(RELOAD_EVERY);
            let load = load.sample(&server, time);
            tokio::pin!(load);
            loop {
                tokio::select! {
                    sample = &mut load => return sample,
                    _ = ticks.tick() => server.process.hang_up()?,
                }
            }
        })?);
    }
    let log = std::fs::read_to_string(server.folder.join("log"))?;
    ensure!(log.contains("reloaded"), "SIGHUP reloaded nothing");
    ensure!(!log.contains("nothing reloaded"), "a reload was refused");
    server.process.stop()?;

    let mut table = Table::new(
        "Logins while the configuration is reloaded",
        &["", "logins/s", "p50 ms", "p99 ms", "CPU ms each"],
        "Four clients; SIGHUP twice a second. The reloads' own CPU time is in the last figure.",
    );
    for (words, samples) in [("no reload", &quiet), ("two reloads a second", &reloading)] {
        let figure = |of: fn(&Sample) -> f64| median(&samples.iter().map(of).collect::<Vec<_>>());
        table.rows.push(vec![
            words.to_owned(),
            figure(|sample| sample.rate),
            figure(|sample| sample.p50),
            figure(|sample| sample.p99),
            figure(|sample| sample.cpu),
        ]);
    }
    Ok(vec![table])
}

//! Maildrops in an engine, beside Maildirs, in one run: what each costs the server, what it
//! costs the database, and what clients wait for.

mod compared;
mod keeper;
mod memory;
mod rows;
mod seed;
mod site;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};

use self::keeper::{Keeper, Kept};
use self::memory::LARGE;
use self::rows::{CLASSES, MAILDROPS, ROWS};
use self::site::Site;
use crate::Bench;
use crate::load::SETTLED;
use crate::mail::Class;
use crate::table::Table;

/// No round begins after this: a slow machine gets fewer of them, and says so.
const BOUND: Duration = Duration::from_secs(150);

/// These rows take one in so many of the seconds that the others take.
const SHARE: u32 = 2;

/// Both tables.
pub(super) fn measure(bench: &Bench) -> Result<Vec<Table>> {
    let keepers = Keeper::all(bench)?;
    bench.say("  maildrops are filled");
    // First what waits for no disk: its dirty pages would be in the way of those who do.
    let (maildirs, engines) = keepers
        .iter()
        .partition::<Vec<_>, _>(|keeper| keeper.kind() == Kept::Maildir);
    fill(bench, &maildirs)?;
    rustix::fs::sync();
    fill(bench, &engines)?;
    let mut classes: Vec<Class> = CLASSES.to_vec();
    classes.extend(LARGE.map(|large| large.class()));
    let mut sites = Vec::new();
    for keeper in &keepers {
        let site = Site::start(bench, keeper, &classes);
        sites.push(site.with_context(|| keeper.name().to_owned())?);
    }
    std::thread::sleep(SETTLED);
    let compared = compare(bench, &mut sites)?;
    let memory = memory::measure(bench, &mut sites)?;
    for site in sites {
        site.stop()?;
    }
    Ok(vec![compared, memory])
}

/// All of these at the same time: each waits for its disk.
fn fill(bench: &Bench, keepers: &[&Keeper]) -> Result<()> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = keepers
            .iter()
            .map(|&keeper| {
                let thread = scope.spawn(move || keeper.fill(bench, &MAILDROPS, &LARGE));
                (keeper.name(), thread)
            })
            .collect();
        for (name, thread) in threads {
            let filled = thread.join().map_err(|_| anyhow!("it panicked"));
            filled
                .flatten()
                .with_context(|| format!("cannot fill the maildrops: {name}"))?;
        }
        Ok(())
    })
}

fn compare(bench: &Bench, sites: &mut [Site<'_>]) -> Result<Table> {
    let time = bench.time / SHARE;
    let rounds = bench.rounds.min(rows::MOST_ROUNDS);
    let begun = Instant::now();
    let mut readings = BTreeMap::new();
    for round in 0..rounds {
        if round > 0 && begun.elapsed() > BOUND {
            bench.say(&format!("  only {round} rounds: they took long"));
            break;
        }
        for (at, row) in ROWS.iter().enumerate() {
            bench.say(&format!("  round {} of {rounds}: {}", round + 1, row.name));
            // Nobody is always the one behind somebody else's work.
            let mut turns: Vec<&mut Site<'_>> = sites.iter_mut().collect();
            let first = round % turns.len();
            turns.rotate_left(first);
            for site in turns {
                let reading = (row.measure)(site, time)
                    .with_context(|| format!("{}: {}", row.name, site.name()))?;
                let of_row: &mut Vec<_> = readings.entry((at, site.kind())).or_default();
                of_row.push(reading);
            }
        }
    }
    Ok(compared::table(ROWS, &readings))
}

//! How cost grows: with messages, with their size, with tenants. With sessions
//! it is in the table of idle ones.

use std::time::Instant;

use anyhow::Result;

use crate::Bench;
use crate::client::{Script, Tls};
use crate::load::{Load, SETTLED, milliseconds};
use crate::mail::Class;
use crate::report::median;
use crate::rows::{LOGIN, POLL_100K, login_load};
use crate::servers::{Kind, Setup};
use crate::table::{Table, figure};

/// Octets that a session retrieves in all, where size is what grows.
const RETRIEVED: usize = 20_000_000;

const fn poll(name: &'static str, messages: usize) -> Class {
    Class {
        name,
        users: 1,
        messages,
        octets: 600,
    }
}

pub(super) fn messages(bench: &Bench) -> Result<Vec<Table>> {
    let classes = [
        LOGIN,
        poll("poll10", 10),
        poll("poll100", 100),
        poll("poll1000", 1000),
        poll("poll10k", 10_000),
        POLL_100K,
    ];
    for class in &classes {
        bench.make(Kind::Restante, class)?;
    }
    std::thread::sleep(SETTLED);
    let tree = bench.tree(Kind::Restante);
    let start = || {
        bench
            .programs
            .start(&Setup::new(Kind::Restante, tree, &classes))
    };
    let server = start()?;
    let mut table = Table::new(
        "Backoff with messages: CPU ms of Restante for login, STAT, UIDL",
        &[
            "messages",
            "unchanged",
            "after one delivery",
            "index read, server new",
            "no index, server new",
        ],
        "",
    );
    for class in &classes[1..] {
        let load = Load {
            class: *class,
            script: Script::POLL,
            tls: Tls::Off,
            clients: 1,
        };
        let (mut unchanged, mut delivered, mut read, mut cold) = (vec![], vec![], vec![], vec![]);
        for _ in 0..bench.rounds {
            load.prove(&server)?;
            unchanged.push(load.run(&server, bench.time / 2)?.cpu);
            delivered.push(load.run_delivered(&server, Some(tree), bench.time / 2)?.cpu);
            load.prove(&server)?;
            for (forget, figures) in [(false, &mut read), (true, &mut cold)] {
                let fresh = start()?;
                login_load().prove(&fresh)?;
                if forget {
                    tree.forget_indexes(class)?;
                }
                figures.push(load.run_once_each(&fresh)?.cpu);
                fresh.process.stop()?;
            }
        }
        let mut line = vec![class.messages.to_string()];
        line.extend([&unchanged, &delivered, &read, &cold].map(|values| median(values)));
        table.rows.push(line);
    }
    server.process.stop()?;
    Ok(vec![table])
}

pub(super) fn size(bench: &Bench) -> Result<Vec<Table>> {
    const fn of(name: &'static str, octets: usize) -> Class {
        Class {
            name,
            users: 1,
            messages: RETRIEVED / octets,
            octets,
        }
    }
    let classes = [
        of("size1k", 1000),
        of("size10k", 10_000),
        of("size100k", 100_000),
        of("size1m", 1_000_000),
        of("size10m", 10_000_000),
    ];
    for class in &classes {
        bench.make(Kind::Restante, class)?;
    }
    std::thread::sleep(SETTLED);
    let servers = [Kind::Floor, Kind::Restante].map(|kind| {
        bench
            .programs
            .start(&Setup::new(kind, bench.tree(kind), &classes))
    });
    let [floor, restante] = servers;
    let (floor, restante) = (floor?, restante?);
    let mut table = Table::new(
        "Backoff with message size: RETR one by one",
        &[
            "octets",
            "µs CPU a message",
            "µs CPU a MB",
            "floor µs a MB",
            "Restante : floor",
        ],
        "A session of 20 MB each time, login included.",
    );
    for class in &classes {
        let load = Load {
            class: *class,
            script: Script::BULK,
            tls: Tls::Off,
            clients: 1,
        };
        let (mut ours, mut floors) = (Vec::new(), Vec::new());
        for server in [&floor, &restante] {
            load.prove(server)?;
        }
        for _ in 0..bench.rounds {
            floors.push(load.run(&floor, bench.time / 4)?.cpu);
            ours.push(load.run(&restante, bench.time / 4)?.cpu);
        }
        let scaled = |values: &[f64], by: f64| {
            median(&values.iter().map(|value| value * by).collect::<Vec<_>>())
        };
        let megabytes = RETRIEVED as f64 / 1e6;
        let ratios = crate::statistics::Figure::of_ratios(&ours, &floors);
        table.rows.push(vec![
            class.octets.to_string(),
            scaled(&ours, 1000.0 / class.messages as f64),
            scaled(&ours, 1000.0 / megabytes),
            scaled(&floors, 1000.0 / megabytes),
            ratios.map(|ratio| figure(ratio.median)).unwrap_or_default(),
        ]);
    }
    floor.process.stop()?;
    restante.process.stop()?;
    Ok(vec![table])
}

pub(super) fn tenants(bench: &Bench) -> Result<Vec<Table>> {
    bench.make(Kind::Restante, &LOGIN)?;
    let classes = [LOGIN];
    let mut table = Table::new(
        "Backoff with tenants",
        &["tenants", "ms to listening", "memory MiB", "CPU ms a login"],
        "Each with a domain of its own, all with the same plugins.",
    );
    for tenants in [1, 10, 100, 1000] {
        let mut setup = Setup::new(Kind::Restante, bench.tree(Kind::Restante), &classes);
        setup.tenants = tenants - 1;
        let (mut listening, mut memory, mut cpu) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..bench.rounds {
            let begun = Instant::now();
            let server = bench.programs.start(&setup)?;
            listening.push(milliseconds(begun.elapsed()));
            login_load().prove(&server)?;
            cpu.push(login_load().run(&server, bench.time / 4)?.cpu);
            memory.push(server.process.memory()? as f64 / 1024.0 / 1024.0);
            server.process.stop()?;
        }
        let figures = [&listening, &memory, &cpu].map(|values| median(values));
        let mut line = vec![tenants.to_string()];
        line.extend(figures);
        table.rows.push(line);
    }
    Ok(vec![table])
}

//! What plugins cost: a filter for each message, and authenticators.

use anyhow::Result;

use crate::Bench;
use crate::client::{Script, Tls};
use crate::load::{Load, SETTLED};
use crate::mail::Class;
use crate::report::median;
use crate::rows::{LOGIN, login_load};
use crate::servers::{Kind, Setup};
use crate::table::Table;

/// Each user is new to the filter once in a server's life, so there are some.
const FILTERED: Class = Class {
    name: "filtered",
    users: 8,
    messages: 1000,
    octets: 8192,
};

/// The difference that the rules filter makes, for each message.
pub(super) fn filter(bench: &Bench) -> Result<Vec<Table>> {
    bench.make(Kind::Restante, &FILTERED)?;
    bench.make(Kind::Restante, &LOGIN)?;
    std::thread::sleep(SETTLED);
    let tree = bench.tree(Kind::Restante);
    let classes = [LOGIN, FILTERED];
    let load = Load {
        class: FILTERED,
        script: Script::LOOK,
        tls: Tls::Off,
        clients: 1,
    };
    // The store's index is in order before anybody is measured.
    let server = bench
        .programs
        .start(&Setup::new(Kind::Restante, tree, &classes))?;
    load.run_once_each(&server)?;
    server.process.stop()?;

    let (mut first, mut remembered, mut plain) = (Vec::new(), Vec::new(), Vec::new());
    let each = 1000.0 / FILTERED.messages as f64;
    for _ in 0..bench.rounds {
        let mut looks = Vec::new();
        for kind in [Kind::Restante, Kind::Rules] {
            let server = bench.programs.start(&Setup::new(kind, tree, &classes))?;
            login_load().prove(&server)?;
            looks.push(load.run_once_each(&server)?.cpu);
            looks.push(load.run_once_each(&server)?.cpu);
            server.process.stop()?;
        }
        let [plain_first, plain_again, rules_first, rules_again] = looks[..] else {
            unreachable!("two looks at each of two servers");
        };
        first.push((rules_first - plain_first) * each);
        remembered.push((rules_again - plain_again) * each);
        plain.push(plain_first * each);
    }
    let mut table = Table::new(
        "What a filter costs, for each message, in microseconds of CPU time",
        &["rules with hide-header", "µs a message"],
        "Login and STAT of maildrops of 1,000 messages of 8 KB, less the same without the filter. \
         The last line is that: a listing read from the index.",
    );
    for (words, values) in [
        ("never seen (header read and judged)", &first),
        ("verdict remembered", &remembered),
        ("no filter, whole login", &plain),
    ] {
        table.rows.push(vec![words.to_owned(), median(values)]);
    }
    Ok(vec![table])
}

/// Logins with the built-in authenticator and with those that were given.
pub(super) fn authenticators(bench: &Bench) -> Result<Vec<Table>> {
    if bench.authenticators.is_empty() {
        return Ok(Vec::new());
    }
    bench.make(Kind::Restante, &LOGIN)?;
    let classes = [LOGIN];
    let mut table = Table::new(
        "Logins with authenticators in other languages",
        &["authenticator", "CPU ms a login", "logins/s", "p99 ms"],
        "Four clients. The built-in one is Rust and reads a file; the others accept everybody who says the password.",
    );
    let given = bench
        .authenticators
        .iter()
        .map(|(name, path)| (&**name, Some(path.clone())));
    for (name, component) in std::iter::once(("passwd-file (Rust)", None)).chain(given) {
        let mut setup = Setup::new(Kind::Restante, bench.tree(Kind::Restante), &classes);
        setup.authenticator = component;
        let server = bench.programs.start(&setup)?;
        let load = Load {
            clients: 4,
            ..login_load()
        };
        load.prove(&server)?;
        let (mut cpu, mut rate, mut p99) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..bench.rounds {
            let sample = load.run(&server, bench.time)?;
            cpu.push(sample.cpu);
            rate.push(sample.rate);
            p99.push(sample.p99);
        }
        server.process.stop()?;
        let figures = [&cpu, &rate, &p99].map(|values| median(values));
        let mut line = vec![name.to_owned()];
        line.extend(figures);
        table.rows.push(line);
    }
    Ok(vec![table])
}

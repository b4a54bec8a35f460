//! What does not fit a row: memory of idle sessions, start, reload, what a
//! filter costs, authenticators in other languages, how cost grows, and maildrops in an engine.

mod engine;
mod growth;
mod idle;
mod policy;
mod start;

use anyhow::{Context, Result};

use crate::Bench;
use crate::table::Table;

/// Tables that are measured by themselves.
pub(crate) struct Extra {
    pub(crate) name: &'static str,
    in_quick: bool,
    measure: fn(&Bench) -> Result<Vec<Table>>,
}

/// In the order of the report.
pub(crate) const EXTRAS: &[Extra] = &[
    Extra {
        name: "idle",
        in_quick: true,
        measure: idle::measure,
    },
    Extra {
        name: "start",
        in_quick: true,
        measure: start::start_up,
    },
    Extra {
        name: "reload",
        in_quick: true,
        measure: start::reload,
    },
    Extra {
        name: "filter",
        in_quick: true,
        measure: policy::filter,
    },
    Extra {
        name: "authenticators",
        in_quick: true,
        measure: policy::authenticators,
    },
    Extra {
        name: "growth-messages",
        in_quick: false,
        measure: growth::messages,
    },
    Extra {
        name: "growth-size",
        in_quick: false,
        measure: growth::size,
    },
    Extra {
        name: "growth-tenants",
        in_quick: false,
        measure: growth::tenants,
    },
    Extra {
        name: "engine",
        in_quick: false,
        measure: engine::measure,
    },
];

/// Measures the tables that are wanted.
pub(crate) fn measure(bench: &Bench) -> Result<Vec<Table>> {
    let mut tables = Vec::new();
    for extra in EXTRAS {
        if bench.wants(extra.name, extra.in_quick) {
            bench.say(extra.name);
            tables.extend((extra.measure)(bench).with_context(|| extra.name.to_owned())?);
        }
    }
    Ok(tables)
}

//! The table of the rows: each keeper beside Maildir.

use std::collections::BTreeMap;

use super::keeper::Kept;
use super::rows::Row;
use super::site::Reading;
use crate::report::median;
use crate::statistics::Figure;
use crate::table::{Table, figure};

/// What came out of each round, by row and keeper.
pub(super) type Readings = BTreeMap<(usize, Kept), Vec<Reading>>;

/// Differences and ratios are taken within a round.
pub(super) fn table(rows: &[Row], readings: &Readings) -> Table {
    let mut table = Table::new(
        "Maildrops in an engine, beside Maildir: milliseconds for a unit",
        &[
            "row",
            "unit",
            "mail in",
            "server CPU",
            "database CPU",
            "server more",
            "server : Maildir",
            "server + database : Maildir",
            "p50",
            "p50 more",
            "p99",
            "goal",
        ],
        "The middle of the rounds. \"More\" and \":\" are against Maildir in the same round. Database CPU is that of \
         all processes of PostgreSQL; the embedded one is in the server's. The goals are in the words of the columns.",
    );
    table.words = 3;
    for (at, row) in rows.iter().enumerate() {
        let of = |kept| readings.get(&(at, kept)).map_or(&[][..], Vec::as_slice);
        let maildir = of(Kept::Maildir);
        for kept in Kept::ALL {
            let ours = of(kept);
            if ours.is_empty() {
                continue;
            }
            let is_other = kept != Kept::Maildir;
            let each = |figure: fn(&Reading) -> f64| ours.iter().map(figure).collect::<Vec<_>>();
            let theirs =
                |figure: fn(&Reading) -> f64| maildir.iter().map(figure).collect::<Vec<_>>();
            let more = |figure: fn(&Reading) -> f64| match is_other {
                true => median(&differences(&each(figure), &theirs(figure))),
                false => String::new(),
            };
            let ratio = |figure_of: fn(&Reading) -> f64| match is_other {
                true => Figure::of_ratios(&each(figure_of), &theirs(figure_of))
                    .map(|ratio| figure(ratio.median))
                    .unwrap_or_default(),
                false => String::new(),
            };
            table.rows.push(vec![
                row.name.to_owned(),
                row.what.to_owned(),
                kept.name().to_owned(),
                median(&each(server)),
                match kept {
                    Kept::Postgres => median(&each(|reading| reading.database)),
                    Kept::Maildir | Kept::Embedded => String::new(),
                },
                more(server),
                ratio(server),
                ratio(|reading| reading.server + reading.database),
                median(&each(|reading| reading.p50)),
                more(|reading| reading.p50),
                median(&each(|reading| reading.p99)),
                row.goal(kept).to_owned(),
            ]);
        }
    }
    table
}

fn server(reading: &Reading) -> f64 {
    reading.server
}

/// Round by round; rounds that only one side has count for nothing.
fn differences(ours: &[f64], theirs: &[f64]) -> Vec<f64> {
    let pairs = ours.iter().zip(theirs);
    pairs.map(|(ours, theirs)| ours - theirs).collect()
}

#[cfg(test)]
mod tests {
    use super::super::rows::ROWS;
    use super::*;

    #[test]
    fn each_keeper_is_compared_with_maildir_in_its_round() {
        let reading = |server, database| Reading {
            server,
            database,
            p50: 2.0 * server,
            p99: 3.0 * server,
        };
        // The machine was half as fast in the second round; the ratio was not.
        let readings = Readings::from([
            (
                (0, Kept::Maildir),
                vec![reading(1.0, 0.0), reading(2.0, 0.0)],
            ),
            (
                (0, Kept::Postgres),
                vec![reading(1.5, 0.5), reading(3.0, 1.0)],
            ),
        ]);
        let table = table(ROWS, &readings);
        let [maildir, postgres] = &table.rows[..] else {
            panic!("{:?}", table.rows);
        };
        let figures = |row: &[String]| row[2..11].join(" ");
        assert_eq!(figures(maildir), "maildir 1.50     3.00  4.50");
        let expected = "postgres 2.25 0.75 0.75 1.50 2.00 4.50 1.50 6.75";
        assert_eq!(figures(postgres), expected);
        assert_eq!(table.head.len(), postgres.len());
        assert!(postgres[11].contains("0.15"), "{postgres:?}");
    }
}

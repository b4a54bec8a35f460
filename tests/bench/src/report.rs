//! What came out, as Markdown and as a picture.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::load::Sample;
use crate::machine::Machine;
use crate::rows::Measured;
use crate::servers::Kind;
use crate::statistics::Figure;
use crate::svg::{self, Group};
use crate::table::{self, Table, figure};

/// The report's file.
pub(crate) const MARKDOWN: &str = "results.md";

/// The picture's file, beside it.
const PICTURE: &str = "results.svg";

const KINDS: [Kind; 4] = [Kind::Floor, Kind::Restante, Kind::Rules, Kind::Dovecot];

/// Everything that was measured.
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) quick: bool,
    pub(crate) rounds: usize,
    pub(crate) time: Duration,
    pub(crate) measured: Vec<Measured>,
    pub(crate) tables: Vec<Table>,
}

impl Report {
    /// Writes both files and shows the tables.
    pub(crate) fn write(&self, folder: &Path) -> Result<()> {
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        let mut text = self.introduction();
        for table in self.rows().iter().chain(&self.tables) {
            let table = table.markdown();
            table::say(&table)?;
            text.push_str(&table);
            text.push('\n');
        }
        fs::write(folder.join(MARKDOWN), text.trim_end().to_owned() + "\n")?;
        if !self.measured.is_empty() {
            fs::write(folder.join(PICTURE), self.picture())?;
        }
        Ok(())
    }

    fn introduction(&self) -> String {
        let how = if self.quick {
            "A quick look: too short for the last digit."
        } else {
            "The whole run."
        };
        format!(
            "# Benchmarks\n\n\
             Written by `cargo xtask bench`; [performance.md](../performance.md) says what is measured and how.\n\n\
             {}.\n{how} {} rounds, {:.1} s for each row, server and round.\n\n\
             {}",
            self.machine,
            self.rounds,
            self.time.as_secs_f64(),
            if self.measured.is_empty() {
                String::new()
            } else {
                format!("![CPU time for a unit of work]({PICTURE})\n\n")
            }
        )
    }

    fn rows(&self) -> Vec<Table> {
        if self.measured.is_empty() {
            return Vec::new();
        }
        vec![self.costs(), self.ratios(), self.speeds()]
    }

    fn costs(&self) -> Table {
        let mut table = Table::new(
            "CPU time of the server for a unit, in milliseconds",
            &[
                "row",
                "unit",
                "floor",
                "Restante",
                "Restante + rules",
                "Dovecot",
                "goal",
            ],
            "The middle of the rounds; user and system time, children included.",
        );
        table.words = 2;
        for one in &self.measured {
            let mut line = vec![one.row.name.to_owned(), one.row.what.to_owned()];
            for kind in KINDS {
                line.push(median(&one.each(kind, |sample| sample.cpu)));
            }
            line.push(
                one.row
                    .goal
                    .map(|goal| format!("≤ {}", goal))
                    .unwrap_or_default(),
            );
            table.rows.push(line);
        }
        table
    }

    fn ratios(&self) -> Table {
        let mut table = Table::new(
            "Ratios of CPU time, within a round",
            &[
                "row",
                "Restante : floor",
                "with rules : floor",
                "Dovecot : Restante",
                "Dovecot : with rules",
            ],
            "The middle of the rounds, and the least and the most of them. Wanted: at most 2 and at least 8.",
        );
        for one in &self.measured {
            let cpu = |kind| one.each(kind, |sample: &Sample| sample.cpu);
            let mut line = vec![one.row.name.to_owned()];
            for (over, under) in [
                (Kind::Restante, Kind::Floor),
                (Kind::Rules, Kind::Floor),
                (Kind::Dovecot, Kind::Restante),
                (Kind::Dovecot, Kind::Rules),
            ] {
                let ratio = Figure::of_ratios(&cpu(over), &cpu(under));
                line.push(ratio.map(with_spread).unwrap_or_default());
            }
            table.rows.push(line);
        }
        table
    }

    fn speeds(&self) -> Table {
        let mut table = Table::new(
            "Throughput and latency",
            &["row", "server", "units/s", "p50 ms", "p99 ms", "resumed"],
            "Seen by clients on the same machine, which take their part of it.",
        );
        table.words = 2;
        for one in &self.measured {
            for kind in KINDS {
                let Some(samples) = one.samples.get(&kind).filter(|all| !all.is_empty()) else {
                    continue;
                };
                let resumed = median(&one.each(kind, |sample| 100.0 * sample.resumed));
                let any = samples.iter().any(|sample| sample.resumed > 0.0);
                table.rows.push(vec![
                    one.row.name.to_owned(),
                    kind.name().to_owned(),
                    median(&one.each(kind, |sample| sample.rate)),
                    median(&one.each(kind, |sample| sample.p50)),
                    median(&one.each(kind, |sample| sample.p99)),
                    if any {
                        format!("{resumed} %")
                    } else {
                        String::new()
                    },
                ]);
            }
        }
        table
    }

    fn picture(&self) -> String {
        let groups: Vec<Group> = self
            .measured
            .iter()
            .map(|one| Group {
                label: one.row.name.to_owned(),
                bars: KINDS
                    .iter()
                    .map(|&kind| {
                        let cpu = one.each(kind, |sample| sample.cpu);
                        Figure::of(&cpu).map(|figure| figure.median)
                    })
                    .collect(),
            })
            .collect();
        svg::picture(
            "CPU time of the server for a unit of work (logarithmic)",
            &KINDS.map(Kind::name),
            &groups,
        )
    }
}

/// The middle of the values, or nothing where there are none.
pub(crate) fn median(values: &[f64]) -> String {
    Figure::of(values)
        .map(|all| figure(all.median))
        .unwrap_or_default()
}

fn with_spread(ratio: Figure) -> String {
    format!(
        "{} ({}–{})",
        figure(ratio.median),
        figure(ratio.least),
        figure(ratio.most)
    )
}

//! What a bench has measured, as people and programs read it.

use serde::Serialize;

use crate::cli::table::{Align, Table};

/// Rounds of each question, for each of the two.
pub(super) const ROUNDS: usize = 11;

#[derive(Serialize)]
pub(super) struct Report {
    pub(super) component: String,
    pub(super) octets: u64,
    pub(super) compile_milliseconds: f64,
    pub(super) seconds_a_question: u64,
    pub(super) rounds: usize,
    pub(super) questions: Vec<Compared>,
    pub(super) instances: Vec<Made>,
}

#[derive(Serialize)]
pub(super) struct Compared {
    pub(super) role: &'static str,
    pub(super) question: &'static str,
    pub(super) calls_a_second: Spread,
    pub(super) peak_memory_octets: u64,
    /// None: no built-in plugin has the role.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) built_in: Option<BuiltIn>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) note: Option<String>,
}

#[derive(Serialize)]
pub(super) struct BuiltIn {
    pub(super) component: &'static str,
    pub(super) calls_a_second: Spread,
    pub(super) peak_memory_octets: u64,
}

#[derive(Serialize)]
pub(super) struct Made {
    pub(super) component: String,
    pub(super) octets: u64,
    pub(super) fresh_microseconds: Spread,
    pub(super) live_memory_octets: u64,
    pub(super) compile_milliseconds: f64,
}

/// A median, and the lowest and highest of all rounds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Spread {
    pub(super) median: f64,
    pub(super) lowest: f64,
    pub(super) highest: f64,
}

impl Spread {
    pub(super) fn of(mut values: Vec<f64>) -> Spread {
        values.sort_by(f64::total_cmp);
        let at = |at: usize| values.get(at).copied().unwrap_or_default();
        Spread {
            median: at(values.len() / 2),
            lowest: at(0),
            highest: at(values.len().saturating_sub(1)),
        }
    }

    fn text(&self) -> String {
        format!(
            "{} ({}–{})",
            figures(self.median),
            figures(self.lowest),
            figures(self.highest)
        )
    }
}

/// Three figures are as many as a bench has to say.
fn figures(value: f64) -> String {
    match value {
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

impl Report {
    pub(super) fn text(&self) -> String {
        let columns = [
            ("ROLE", Align::Left),
            ("QUESTION", Align::Left),
            ("CALLS A SECOND", Align::Right),
            ("PEAK KIB", Align::Right),
            ("BUILT-IN", Align::Left),
            ("CALLS A SECOND", Align::Right),
            ("PEAK KIB", Align::Right),
        ];
        let mut questions = Table::new(&columns);
        for of in &self.questions {
            let mut row = vec![
                of.role.to_owned(),
                of.question.to_owned(),
                of.calls_a_second.text(),
                (of.peak_memory_octets / 1024).to_string(),
            ];
            row.extend(match &of.built_in {
                Some(built_in) => [
                    built_in.component.to_owned(),
                    built_in.calls_a_second.text(),
                    (built_in.peak_memory_octets / 1024).to_string(),
                ],
                None => ["no built-in one", "", ""].map(str::to_owned),
            });
            questions.row(row);
        }
        let mut instances = Table::new(&[
            ("COMPONENT", Align::Left),
            ("OCTETS", Align::Right),
            ("COMPILED IN MS", Align::Right),
            ("INSTANCE IN µS", Align::Right),
            ("LIVE KIB", Align::Right),
        ]);
        for of in &self.instances {
            instances.row(vec![
                of.component.clone(),
                of.octets.to_string(),
                figures(of.compile_milliseconds),
                of.fresh_microseconds.text(),
                (of.live_memory_octets / 1024).to_string(),
            ]);
        }
        let mut text = format!("{}\n{}", questions.text(), instances.text());
        text.push_str(&format!(
            "\nmedians (lowest–highest) of {ROUNDS} alternating rounds; {} s for each kind of call; each call in a new instance, except for a message's octets\n",
            self.seconds_a_question
        ));
        for of in &self.questions {
            if let Some(note) = &of.note {
                text.push_str(&format!("{}: {note}\n", of.role));
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_the_middle_and_both_ends() {
        let spread = Spread::of(vec![3.0, 1.0, 250.4]);
        let expected = Spread {
            median: 3.0,
            lowest: 1.0,
            highest: 250.4,
        };
        assert_eq!(spread, expected);
        assert_eq!(spread.text(), "3.00 (1.00–250)");
        assert_eq!(Spread::of(Vec::new()).median, 0.0);
    }
}

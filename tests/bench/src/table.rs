//! A table as text: Markdown that is readable as it stands.

use std::fmt::Write as _;
use std::io::Write as _;

use anyhow::{Context, Result};

/// A table with a heading.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) title: String,
    /// What stands below it, in a sentence or two.
    pub(crate) note: String,
    pub(crate) head: Vec<String>,
    /// Columns with words, which come first.
    pub(crate) words: usize,
    pub(crate) rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(title: &str, head: &[&str], note: &str) -> Self {
        Table {
            title: title.to_owned(),
            note: note.to_owned(),
            head: head.iter().map(|&cell| cell.to_owned()).collect(),
            words: 1,
            rows: Vec::new(),
        }
    }

    /// Heading, rows and note; words to the left, figures to the right.
    pub(crate) fn markdown(&self) -> String {
        let columns = self.head.len();
        let lines = || std::iter::once(&self.head).chain(&self.rows);
        let widths: Vec<usize> = (0..columns)
            .map(|column| {
                let cells = lines().filter_map(|line| line.get(column));
                cells
                    .map(|cell| cell.chars().count())
                    .max()
                    .unwrap_or(0)
                    .max(3)
            })
            .collect();
        let mut text = format!("## {}\n\n", self.title);
        for (at, line) in lines().enumerate() {
            text.push('|');
            for (column, width) in widths.iter().enumerate() {
                let cell = line.get(column).map_or("", String::as_str);
                let padding = " ".repeat(width.saturating_sub(cell.chars().count()));
                match column < self.words {
                    true => text.push_str(&format!(" {cell}{padding} |")),
                    false => text.push_str(&format!(" {padding}{cell} |")),
                }
            }
            text.push('\n');
            if at == 0 {
                text.push('|');
                for (column, width) in widths.iter().enumerate() {
                    let end = if column < self.words { '-' } else { ':' };
                    text.push_str(&format!("-{}{end}|", "-".repeat(*width)));
                }
                text.push('\n');
            }
        }
        if !self.note.is_empty() {
            write!(text, "\n{}\n", self.note).expect("a String takes everything");
        }
        text
    }
}

/// A figure with three digits that count, as far as there are so many.
pub(crate) fn figure(value: f64) -> String {
    let digits = match value.abs() {
        value if value >= 99.95 => 0,
        value if value >= 9.995 => 1,
        value if value >= 0.095 => 2,
        _ => 3,
    };
    format!("{value:.digits$}")
}

/// A line on the standard output.
pub(crate) fn say(text: &str) -> Result<()> {
    writeln!(std::io::stdout(), "{text}").context("cannot write the result")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new("Some figures", &["row", "ms", "×"], "A note.");
        table.rows.push(vec!["login".into(), "1.00".into()]);
        assert_eq!(
            table.markdown(),
            "## Some figures\n\n\
             | row   |   ms |   × |\n\
             |-------|-----:|----:|\n\
             | login | 1.00 |     |\n\
             \nA note.\n"
        );
    }

    #[test]
    fn figures_have_three_digits() {
        for (value, text) in [
            (1234.5, "1234"),
            (99.96, "100"),
            (12.345, "12.3"),
            (1.2345, "1.23"),
            (0.2, "0.20"),
            (0.0123, "0.012"),
            (0.0, "0.000"),
        ] {
            assert_eq!(figure(value), text);
        }
    }
}

//! Tables for people: columns as wide as they need to be, nothing else.

use std::fmt::Write as _;

/// How a column stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Align {
    /// Texts.
    Left,
    /// Numbers.
    Right,
}

/// Rows under a heading.
pub(super) struct Table {
    columns: Vec<(&'static str, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new(columns: &[(&'static str, Align)]) -> Self {
        Table {
            columns: columns.to_vec(),
            rows: Vec::new(),
        }
    }

    /// Adds a row; texts may come from anywhere.
    pub(super) fn row(&mut self, cells: Vec<String>) {
        let cells = cells.iter().map(|cell| harmless(cell)).collect();
        self.rows.push(cells);
    }

    /// As text, each line with its end.
    pub(super) fn text(&self) -> String {
        let width = |at: usize| {
            let heading = self.columns[at].0.chars().count();
            let cells = self.rows.iter().filter_map(|row| row.get(at));
            let widest = cells.map(|cell| cell.chars().count()).max();
            heading.max(widest.unwrap_or(0))
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let headings = self.columns.iter().map(|(heading, _)| *heading);
        let mut text = self.line(headings, &widths);
        for row in &self.rows {
            text.push_str(&self.line(row.iter().map(String::as_str), &widths));
        }
        text
    }

    fn line<'a>(&self, cells: impl Iterator<Item = &'a str>, widths: &[usize]) -> String {
        let mut line = String::new();
        for ((cell, width), (_, align)) in cells.zip(widths).zip(&self.columns) {
            let _ = match align {
                Align::Left => write!(line, "{cell:<width$}  "),
                Align::Right => write!(line, "{cell:>width$}  "),
            };
        }
        line.truncate(line.trim_end().len());
        line.push('\n');
        line
    }
}

/// Without what a terminal could take for a command.
pub(super) fn harmless(text: &str) -> String {
    let mut harmless = String::with_capacity(text.len());
    for character in text.chars() {
        // What `escape_debug` leaves alone can be seen and does nothing.
        match character {
            '\'' | '"' | '\\' => harmless.push(character),
            other => harmless.extend(other.escape_debug()),
        }
    }
    harmless
}

/// Octets in the largest unit that leaves a number before the point.
pub(super) fn octets(octets: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let mut scaled = None;
    for (power, unit) in (1..).zip(UNITS) {
        let one = 1024_u64.pow(power);
        if octets >= one {
            scaled = Some((octets / one, octets % one * 10 / one, unit));
        }
    }
    match scaled {
        Some((whole, tenths, unit)) => format!("{whole}.{tenths} {unit}"),
        None => format!("{octets} B"),
    }
}

/// How many of something there are: `one` is its name where there is one, to which an s is added
/// where there are more, or none.
pub(super) fn counted(number: impl TryInto<u64>, one: &str) -> String {
    match number.try_into().unwrap_or(u64::MAX) {
        1 => format!("1 {one}"),
        many => format!("{many} {one}s"),
    }
}

/// A time in its two largest units.
pub(super) fn duration(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match () {
        () if days > 0 => format!("{days}d {}h", hours % 24),
        () if hours > 0 => format!("{hours}h {}m", minutes % 60),
        () if minutes > 0 => format!("{minutes}m {}s", seconds % 60),
        () => format!("{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_lines_have_no_blanks_at_their_end() {
        let mut table = Table::new(&[
            ("USER", Align::Left),
            ("N", Align::Right),
            ("", Align::Left),
        ]);
        table.row(vec!["ada".into(), "5".into(), String::new()]);
        table.row(vec!["bjørn".into(), "1000".into(), "x".into()]);
        assert_eq!(table.text(), "USER      N\nada       5\nbjørn  1000  x\n");
    }

    #[test]
    fn nothing_commands_the_terminal() {
        assert_eq!(
            harmless("a\x1b[2J\r\n\u{202e}b'\"\\"),
            "a\\u{1b}[2J\\r\\n\\u{202e}b'\"\\"
        );
    }

    #[test]
    fn units() {
        assert_eq!(octets(1023), "1023 B");
        assert_eq!(octets(1536), "1.5 KiB");
        assert_eq!(octets(u64::MAX), "16777215.9 TiB");
        assert_eq!(counted(0_usize, "tenant"), "0 tenants");
        assert_eq!(counted(1_u64, "tenant"), "1 tenant");
        assert_eq!(counted(21_u64, "tenant"), "21 tenants");
        assert_eq!(duration(59), "59s");
        assert_eq!(duration(3601), "1h 0m");
        assert_eq!(duration(90_000), "1d 1h");
    }
}

//! Entries as they come from the database, row by row, until they are the columns of an answer.
//!
//! They come nearly sorted by their numbers, and are put in order here: a server with little
//! memory for that would write files. No row is kept beside the columns, and whoever computes lets
//! others go on after a few thousand rows.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;

use crate::bounds::MAX_ANSWER_BYTES;
use crate::index::{Entries, entry_bytes};

/// Rows that are computed at once: some milliseconds.
const MAX_ROWS_AT_ONCE: u32 = 4096;

/// Lets others go on now and then.
#[derive(Debug, Default)]
pub(super) struct Pace {
    rows: u32,
}

impl Pace {
    /// A row is done.
    pub(super) async fn step(&mut self) {
        self.rows += 1;
        if self.rows == MAX_ROWS_AT_ONCE {
            self.rows = 0;
            tokio::task::yield_now().await;
        }
    }
}

/// What there is to say of an entry.
#[derive(Debug, Clone, Copy)]
pub(super) struct Item<'a> {
    pub(super) unique_id: &'a str,
    pub(super) octets: u64,
    pub(super) surrogate: Option<u64>,
    pub(super) received: u64,
    pub(super) name: &'a str,
}

/// More than there may be in an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooMuch;

/// Entries in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    entries: Entries,
    bytes: u64,
    numbers: Vec<i64>,
    /// Where each entry's unique-id and name begin.
    begins: Vec<(u32, u32)>,
    /// Where entries begin that are sorted among themselves.
    runs: Vec<usize>,
}

impl Gathered {
    /// What the folder's row says.
    pub(super) fn set_version(&mut self, version: u64) {
        self.entries.version = version;
    }

    /// The next entry.
    pub(super) fn push(&mut self, number: i64, item: Item<'_>) -> Result<(), TooMuch> {
        let bytes = self.bytes + entry_bytes(item.unique_id, item.name);
        if bytes > MAX_ANSWER_BYTES {
            return Err(TooMuch);
        }
        self.bytes = bytes;
        if self.numbers.last().is_none_or(|last| *last > number) {
            self.runs.push(self.numbers.len());
        }
        self.numbers.push(number);
        // An answer is far smaller than what these count to.
        self.begins.push((
            self.entries.unique_ids.len() as u32,
            self.entries.names.len() as u32,
        ));
        push_item(&mut self.entries, item);
        Ok(())
    }

    /// All of them, by their numbers.
    pub(super) async fn sorted(self) -> Entries {
        if self.runs.len() <= 1 {
            return self.entries;
        }
        let ends = self.runs.iter().skip(1).copied();
        let ends = ends.chain([self.numbers.len()]);
        let runs = self.runs.iter().copied().zip(ends);
        let mut runs: Vec<Range<usize>> = runs.map(|(begin, end)| begin..end).collect();
        let firsts = runs.iter().enumerate();
        let mut next: BinaryHeap<_> = firsts
            .map(|(run, range)| Reverse((self.numbers[range.start], run)))
            .collect();
        let mut sorted = Entries {
            unique_ids: String::with_capacity(self.entries.unique_ids.len()),
            octets: Vec::with_capacity(self.numbers.len()),
            received: Vec::with_capacity(self.numbers.len()),
            names: String::with_capacity(self.entries.names.len()),
            surrogates: Vec::with_capacity(self.entries.surrogates.len()),
            version: self.entries.version,
        };
        let mut pace = Pace::default();
        while let Some(Reverse((_, run))) = next.pop() {
            let range = &mut runs[run];
            push_item(&mut sorted, self.item(range.start));
            range.start += 1;
            if range.start < range.end {
                next.push(Reverse((self.numbers[range.start], run)));
            }
            pace.step().await;
        }
        sorted
    }

    fn item(&self, at: usize) -> Item<'_> {
        let of = &self.entries;
        let (unique_id, name) = self.begins[at];
        let surrogate = (of.surrogates).binary_search_by_key(&(at as u32), |(at, _)| *at);
        Item {
            unique_id: text_at(&of.unique_ids, unique_id),
            octets: of.octets[at],
            surrogate: surrogate.ok().map(|found| of.surrogates[found].1),
            received: of.received[at],
            name: text_at(&of.names, name),
        }
    }
}

/// The text that begins there in a packed column.
fn text_at(packed: &str, begin: u32) -> &str {
    let rest = &packed[begin as usize..];
    rest.split_once('\0').map_or(rest, |(text, _)| text)
}

/// Adds an entry to columns.
pub(super) fn push_item(entries: &mut Entries, item: Item<'_>) {
    push_text(&mut entries.unique_ids, item.unique_id);
    if let Some(octets) = item.surrogate {
        let position = entries.octets.len() as u32;
        entries.surrogates.push((position, octets));
    }
    entries.octets.push(item.octets);
    entries.received.push(item.received);
    push_text(&mut entries.names, item.name);
}

/// Packs one text more.
pub(super) fn push_text(packed: &mut String, text: &str) {
    packed.push_str(text);
    packed.push('\0');
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;

    use super::*;

    /// What entry `number` has, some with a surrogate.
    fn gathered(numbers: &[i64]) -> Gathered {
        let mut gathered = Gathered::default();
        gathered.set_version(7);
        for number in numbers {
            let item = Item {
                unique_id: &format!("id{number}"),
                octets: *number as u64,
                surrogate: (number % 3 == 0).then_some(*number as u64 + 1),
                received: *number as u64 + 2,
                name: &format!("{number} \u{e4}"),
            };
            gathered.push(*number, item).unwrap();
        }
        gathered
    }

    #[tokio::test]
    async fn entries_are_in_order_however_they_come() {
        let sorted: Vec<i64> = (1..=100).collect();
        let expected = gathered(&sorted).sorted().await;
        assert_eq!(expected.octets.len(), 100);
        assert_eq!(expected.surrogates[1], (5, 7));
        let reversed: Vec<i64> = sorted.iter().rev().copied().collect();
        // Each number once, since 101 is a prime.
        let mixed: Vec<i64> = sorted.iter().map(|number| number * 37 % 101).collect();
        for unsorted in [reversed, mixed] {
            assert_eq!(gathered(&unsorted).sorted().await, expected);
        }
        assert_eq!(
            gathered(&[]).sorted().await,
            Entries {
                version: 7,
                ..Entries::default()
            }
        );
    }

    #[tokio::test]
    async fn nobody_waits_until_all_are_in_order() {
        let rows = 10 * i64::from(MAX_ROWS_AT_ONCE);
        let reversed: Vec<i64> = (1..=rows).rev().collect();
        let mut sorting = pin!(gathered(&reversed).sorted());
        let mut polls = 0;
        let sorted = poll_fn(|context| {
            polls += 1;
            sorting.as_mut().poll(context)
        })
        .await;
        assert_eq!(sorted.octets[0], 1);
        assert!(polls >= 10, "{polls}");
    }

    #[test]
    fn what_is_too_much_is_refused_as_soon_as_it_is() {
        let mut gathered = Gathered::default();
        let name = "x".repeat(1 << 20);
        let item = Item {
            unique_id: "a",
            octets: 1,
            surrogate: None,
            received: 0,
            name: &name,
        };
        for number in 0..63 {
            assert_eq!(gathered.push(number, item), Ok(()));
        }
        assert_eq!(gathered.push(63, item), Err(TooMuch));
        assert_eq!(gathered.numbers.len(), 63);
    }
}

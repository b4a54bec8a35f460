//! Role `selector`: which part of a maildrop a login gets to see.

use std::marker::PhantomData;

use crate::bindings::host::restante::plugin::maildrop as host;
use crate::bindings::selector::exports::restante::plugin::selector as raw;
use crate::types::{Account, Connection, Failure};

pub use raw::Span;

/// Selects part of a maildrop. Asked once for each login, before the filters.
///
/// ```
/// use restante_guest::prelude::*;
/// use restante_guest::testing::{self, SampleMessage};
///
/// struct NothingLarge;
///
/// impl Selector for NothingLarge {
///     fn select(_: Connection, _: Account, view: &View<'_>) -> Result<Positions, Failure> {
///         let large = (0..).zip(view.octets()).filter(|(_, octets)| *octets > 1000);
///         Ok(large.map(|(position, _)| position).collect())
///     }
/// }
///
/// // In a test:
/// let messages = [10, 2000, 10].map(|octets| SampleMessage::new("1", 0, "x".repeat(octets)));
/// let view = View::from(&messages[..]);
/// let hidden = NothingLarge::select(testing::connection(), Account::new("alice"), &view)?;
/// assert_eq!(hidden, [1].into_iter().collect());
/// # Ok::<(), Failure>(())
/// ```
pub trait Selector {
    /// The positions to hide. Nothing is deleted.
    ///
    /// # Errors
    /// The login is refused with what the [`Failure`] says.
    fn select(
        connection: Connection,
        account: Account,
        view: &View<'_>,
    ) -> Result<Positions, Failure>;
}

/// Columns of a maildrop's listing, oldest first. Positions count from 0.
pub struct View<'a>(Inner<'a>);

enum Inner<'a> {
    Host(&'a host::View),
    #[cfg(not(target_family = "wasm"))]
    Sample(&'a [crate::testing::SampleMessage]),
}

/// Rows that [`View`] fetches from the host at a time.
const PIECE: u32 = 4096;

impl View<'_> {
    /// How many messages there are.
    pub fn count(&self) -> u32 {
        match &self.0 {
            Inner::Host(view) => view.count(),
            #[cfg(not(target_family = "wasm"))]
            Inner::Sample(sample) => u32::try_from(sample.len()).unwrap_or(u32::MAX),
        }
    }

    /// Every message's unique-id.
    pub fn unique_ids(&self) -> impl Iterator<Item = String> {
        self.column(
            |view, start, length| view.unique_ids(start, length),
            #[cfg(not(target_family = "wasm"))]
            |message| message.unique_id.clone(),
        )
    }

    /// Every message's octets.
    pub fn octets(&self) -> impl Iterator<Item = u64> {
        self.column(
            |view, start, length| view.octets(start, length),
            #[cfg(not(target_family = "wasm"))]
            |message| message.octets(),
        )
    }

    /// When each message came, in seconds since the Unix epoch; 0: not known.
    pub fn received(&self) -> impl Iterator<Item = u64> {
        self.column(
            |view, start, length| view.received(start, length),
            #[cfg(not(target_family = "wasm"))]
            |message| message.received,
        )
    }

    /// A column, fetched in pieces: a maildrop may hold more messages than an
    /// instance may hold strings.
    fn column<T>(
        &self,
        fetch: impl Fn(&host::View, u32, u32) -> Vec<T>,
        #[cfg(not(target_family = "wasm"))] sample: impl Fn(&crate::testing::SampleMessage) -> T,
    ) -> impl Iterator<Item = T> {
        let count = self.count();
        (0..count.div_ceil(PIECE)).flat_map(move |piece| {
            let start = piece * PIECE;
            let length = PIECE.min(count - start);
            match &self.0 {
                Inner::Host(view) => fetch(view, start, length),
                #[cfg(not(target_family = "wasm"))]
                Inner::Sample(messages) => messages[start as usize..(start + length) as usize]
                    .iter()
                    .map(&sample)
                    .collect(),
            }
        })
    }
}

#[cfg(not(target_family = "wasm"))]
impl<'a> From<&'a [crate::testing::SampleMessage]> for View<'a> {
    fn from(messages: &'a [crate::testing::SampleMessage]) -> View<'a> {
        View(Inner::Sample(messages))
    }
}

/// A set of positions, kept as the fewest spans in rising order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Positions(Vec<Span>);

impl Positions {
    /// No position at all.
    pub fn none() -> Positions {
        Positions::default()
    }

    /// The spans, in rising order, neither touching nor empty.
    pub fn spans(&self) -> &[Span] {
        &self.0
    }

    /// The positions that are in this set or in the other.
    #[must_use]
    pub fn union(self, other: Positions) -> Positions {
        let mut spans = self.0;
        spans.extend(other.0);
        spans.sort_by_key(|span| span.start);
        let mut positions = Positions::none();
        for span in spans {
            positions.append(span);
        }
        positions
    }

    /// Puts a span behind or into the last one; its start is not below that
    /// one's.
    fn append(&mut self, span: Span) {
        if span.length == 0 {
            return;
        }
        if let Some(last) = self.0.last_mut()
            && span.start <= last.start.saturating_add(last.length)
        {
            let end = span.start.saturating_add(span.length);
            last.length = last.length.max(end - last.start);
        } else {
            self.0.push(span);
        }
    }
}

impl From<Span> for Positions {
    fn from(span: Span) -> Positions {
        let mut positions = Positions::none();
        positions.append(span);
        positions
    }
}

/// From positions in any order.
impl FromIterator<u32> for Positions {
    fn from_iter<I: IntoIterator<Item = u32>>(items: I) -> Positions {
        let mut positions = Positions::none();
        let mut late = Vec::new();
        for start in items {
            let span = Span { start, length: 1 };
            match positions.0.last() {
                Some(last) if start < last.start => late.push(start),
                _ => positions.append(span),
            }
        }
        if late.is_empty() {
            return positions;
        }
        late.sort_unstable();
        positions.union(late.into_iter().collect())
    }
}

/// Joins a [`Selector`] to the generated bindings.
#[doc(hidden)]
pub struct Adapter<T>(PhantomData<T>);

impl<T: Selector> raw::Guest for Adapter<T> {
    fn select(
        connection: Connection,
        account: Account,
        view: &host::View,
    ) -> Result<Vec<Span>, Failure> {
        T::select(connection, account, &View(Inner::Host(view))).map(|positions| positions.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(positions: &Positions) -> Vec<(u32, u32)> {
        positions
            .spans()
            .iter()
            .map(|span| (span.start, span.length))
            .collect()
    }

    #[test]
    fn positions_become_the_fewest_spans() {
        let positions: Positions = [7, 1, 2, 3, 2, 9, 8, 0].into_iter().collect();
        assert_eq!(spans(&positions), [(0, 4), (7, 3)]);
    }

    #[test]
    fn a_union_merges_what_touches_or_overlaps() {
        let first = Positions::from(Span {
            start: 0,
            length: 5,
        });
        let second: Positions = [3, 4, 5, 8].into_iter().collect();
        assert_eq!(spans(&first.union(second)), [(0, 6), (8, 1)]);
        assert_eq!(
            spans(&Positions::none().union(Positions::from(Span {
                start: 4,
                length: 0
            }))),
            []
        );
    }

    #[test]
    fn a_union_agrees_with_a_set() {
        let mut state = 7_u32;
        let mut draw = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 16) % 40
        };
        for _ in 0..500 {
            let left: Vec<u32> = (0..draw()).map(|_| draw()).collect();
            let right: Vec<u32> = (0..draw()).map(|_| draw()).collect();
            let expected: std::collections::BTreeSet<u32> =
                left.iter().chain(&right).copied().collect();
            let union = left
                .into_iter()
                .collect::<Positions>()
                .union(right.into_iter().collect());
            let got: Vec<u32> = union
                .spans()
                .iter()
                .flat_map(|span| span.start..span.start + span.length)
                .collect();
            assert_eq!(got, expected.into_iter().collect::<Vec<_>>());
            let apart = union
                .spans()
                .windows(2)
                .all(|pair| pair[0].start + pair[0].length < pair[1].start);
            assert!(apart, "{union:?}");
        }
    }
}

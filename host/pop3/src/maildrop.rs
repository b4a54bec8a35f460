//! What a session knows of its maildrop: the listing, and which messages are
//! marked deleted. The only place where a client's number becomes a
//! [`MessageNumber`]. Where messages are kept, nobody here knows.

use std::collections::HashSet;
use std::error::Error;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// Longest unique-id in octets (RFC 1939 section 7, UIDL).
const MAX_UNIQUE_ID_OCTETS: usize = 70;

/// Most messages in a listing: so many that all unique-ids together still are
/// counted by a u32.
const MAX_MESSAGES: usize = u32::MAX as usize / MAX_UNIQUE_ID_OCTETS;

/// A maildrop's messages as a client may see them: unique-ids and octets, in
/// packed columns. Immutable, so that sessions can share it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    octets: Vec<u64>,
    unique_ids: Arc<UniqueIds>,
    total_octets: u64,
}

/// Many short texts in one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct UniqueIds {
    /// One behind the other.
    text: String,
    /// Where each one ends in `text`.
    ends: Vec<u32>,
}

impl UniqueIds {
    fn get(&self, position: usize) -> &str {
        let start = match position {
            0 => 0,
            _ => self.ends[position - 1] as usize,
        };
        &self.text[start..self.ends[position] as usize]
    }

    /// The first that is another's as well.
    fn duplicate(&self) -> Option<usize> {
        // They mostly begin with a time: what rises has nothing twice.
        if (1..self.ends.len()).all(|position| self.get(position - 1) < self.get(position)) {
            return None;
        }
        let mut seen = HashSet::with_capacity(self.ends.len());
        (0..self.ends.len()).find(|&position| !seen.insert(self.get(position)))
    }
}

/// Why columns are no listing. Positions count from 0; the first offending one
/// is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ListingError {
    /// A unique-id without an octet.
    Empty {
        /// Whose.
        position: usize,
    },
    /// A unique-id of more than 70 octets.
    TooLong {
        /// Whose.
        position: usize,
        /// How long it is.
        octets: usize,
    },
    /// A unique-id with an octet outside 0x21..=0x7E.
    BadOctet {
        /// Whose.
        position: usize,
        /// The octet.
        octet: u8,
    },
    /// A unique-id that another message has already.
    Duplicate {
        /// Of the second one.
        position: usize,
    },
    /// More messages than a listing holds.
    TooMany {
        /// How many it holds.
        limit: usize,
    },
    /// The octets of all messages up to this one do not fit a u64.
    OctetsOverflow {
        /// Where the sum went over.
        position: usize,
    },
}

/// Messages of a listing that is put together from two, by their positions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Of the one that is asked.
    One(Range<usize>),
    /// Of the other one.
    Other(Range<usize>),
}

impl UniqueIds {
    /// Appends those at some positions of another.
    fn append(&mut self, from: &UniqueIds, positions: &Range<usize>) {
        let start = match positions.start {
            0 => 0,
            position => from.ends[position - 1],
        };
        let ends = &from.ends[positions.clone()];
        let end = ends.last().copied().unwrap_or(start);
        // So many that all together are counted by a u32 are in no listing.
        let base = self.text.len() as u32;
        self.text.push_str(&from.text[start as usize..end as usize]);
        self.ends.extend(ends.iter().map(|end| end - start + base));
    }
}

impl Listing {
    /// Packs unique-ids and octets, in the order of the message-numbers to be.
    ///
    /// # Errors
    /// When a unique-id is not 1 to 70 octets of 0x21..=0x7E (RFC 1939 section
    /// 7) or not unique, and when there are too many messages or octets.
    pub fn new<I, S>(messages: I) -> Result<Self, ListingError>
    where
        I: IntoIterator<Item = (S, u64)>,
        S: AsRef<str>,
    {
        Listing::bounded(messages, MAX_MESSAGES)
    }

    fn bounded<I, S>(messages: I, limit: usize) -> Result<Self, ListingError>
    where
        I: IntoIterator<Item = (S, u64)>,
        S: AsRef<str>,
    {
        let messages = messages.into_iter();
        let expected = messages.size_hint().0.min(limit);
        let mut unique_ids = UniqueIds {
            text: String::new(),
            ends: Vec::with_capacity(expected),
        };
        let mut octets = Vec::with_capacity(expected);
        let mut total_octets = 0u64;
        let pushed = messages.map(Ok).try_for_each(|message| {
            let (unique_id, weight) = message?;
            let position = octets.len();
            if position >= limit {
                return Err(ListingError::TooMany { limit });
            }
            let unique_id = checked(unique_id.as_ref(), position)?;
            total_octets = total_octets
                .checked_add(weight)
                .ok_or(ListingError::OctetsOverflow { position })?;
            unique_ids.text.push_str(unique_id);
            let end = u32::try_from(unique_ids.text.len());
            unique_ids
                .ends
                .push(end.map_err(|_| ListingError::TooMany { limit })?);
            octets.push(weight);
            Ok(())
        });
        // A duplicate lies before whatever stopped the loop: it comes first.
        if let Some(position) = unique_ids.duplicate() {
            return Err(ListingError::Duplicate { position });
        }
        pushed.map(|()| Listing {
            octets,
            unique_ids: Arc::new(unique_ids),
            total_octets,
        })
    }

    /// The same messages, some of which have other octets: by position, from 0.
    /// The unique-ids are shared.
    ///
    /// # Errors
    /// When all octets together do not fit a u64 any more.
    ///
    /// # Panics
    /// When there is no such position.
    pub fn with_octets(
        &self,
        others: impl IntoIterator<Item = (usize, u64)>,
    ) -> Result<Self, ListingError> {
        let mut octets = self.octets.clone();
        for (position, weight) in others {
            octets[position] = weight;
        }
        let mut total_octets = 0u64;
        for (position, weight) in octets.iter().enumerate() {
            total_octets = total_octets
                .checked_add(*weight)
                .ok_or(ListingError::OctetsOverflow { position })?;
        }
        Ok(Listing {
            octets,
            unique_ids: Arc::clone(&self.unique_ids),
            total_octets,
        })
    }

    /// A listing made of parts of two, in this order.
    ///
    /// # Errors
    /// When it has too many messages or octets. Whether a unique-id stands in it
    /// twice is the caller's to know.
    ///
    /// # Panics
    /// When a part reaches beyond the end of its listing.
    pub fn spliced(&self, other: &Listing, parts: &[Part]) -> Result<Self, ListingError> {
        let part = |part: &Part| match part {
            Part::One(positions) => (self, positions.clone()),
            Part::Other(positions) => (other, positions.clone()),
        };
        let messages = parts.iter().map(|one| part(one).1.len()).sum();
        if messages > MAX_MESSAGES {
            return Err(ListingError::TooMany {
                limit: MAX_MESSAGES,
            });
        }
        let mut unique_ids = UniqueIds {
            text: String::with_capacity(self.unique_ids.text.len() + other.unique_ids.text.len()),
            ends: Vec::with_capacity(messages),
        };
        let mut octets: Vec<u64> = Vec::with_capacity(messages);
        let mut total_octets = 0u64;
        for (from, positions) in parts.iter().map(part) {
            unique_ids.append(&from.unique_ids, &positions);
            for &weight in &from.octets[positions] {
                let position = octets.len();
                total_octets = total_octets
                    .checked_add(weight)
                    .ok_or(ListingError::OctetsOverflow { position })?;
                octets.push(weight);
            }
        }
        Ok(Listing {
            octets,
            unique_ids: Arc::new(unique_ids),
            total_octets,
        })
    }

    /// How many messages there are.
    pub fn len(&self) -> usize {
        self.octets.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.octets.is_empty()
    }

    /// The unique-id of the message at `position`, from 0.
    ///
    /// # Panics
    /// When there is no such position.
    pub fn unique_id(&self, position: usize) -> &str {
        self.unique_ids.get(position)
    }

    /// The octets of the message at `position`, from 0, as RFC 1939 section 11
    /// counts them: line ends are CRLF, byte-stuffing does not count.
    ///
    /// # Panics
    /// When there is no such position.
    pub fn octets(&self, position: usize) -> u64 {
        self.octets[position]
    }

    /// The octets of all messages together.
    pub fn total_octets(&self) -> u64 {
        self.total_octets
    }
}

fn checked(unique_id: &str, position: usize) -> Result<&str, ListingError> {
    if unique_id.is_empty() {
        return Err(ListingError::Empty { position });
    }
    if unique_id.len() > MAX_UNIQUE_ID_OCTETS {
        let octets = unique_id.len();
        return Err(ListingError::TooLong { position, octets });
    }
    if let Some(octet) = unique_id.bytes().find(|octet| !octet.is_ascii_graphic()) {
        return Err(ListingError::BadOctet { position, octet });
    }
    Ok(unique_id)
}

/// What stands where a message-number belongs: decimal digits. A number beyond
/// u64 is kept as the largest one, which no maildrop has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Number(pub(crate) u64);

/// The number of a message that exists, and was not marked deleted when it was
/// asked for: from 1, never an index. Only [`Maildrop`] makes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageNumber(u32);

impl MessageNumber {
    /// As the client says it, from 1.
    pub fn get(self) -> u32 {
        self.0
    }

    /// Where it stands in the [`Listing`], from 0.
    pub fn position(self) -> usize {
        self.0 as usize - 1
    }

    fn at(position: usize) -> Self {
        let number = u32::try_from(position + 1).expect("a listing has fewer messages than a u32");
        MessageNumber(number)
    }
}

impl fmt::Display for MessageNumber {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

/// Why a number names no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoMessage {
    /// The maildrop has only this many.
    OnlyThereAre(usize),
    /// It is marked deleted (RFC 1939 section 5, DELE).
    Deleted(MessageNumber),
}

impl fmt::Display for NoMessage {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoMessage::OnlyThereAre(1) => {
                out.write_str("no such message, only 1 message in maildrop")
            }
            NoMessage::OnlyThereAre(messages) => {
                write!(out, "no such message, only {messages} messages in maildrop")
            }
            NoMessage::Deleted(message) => write!(out, "message {message} already deleted"),
        }
    }
}

impl Error for NoMessage {}

/// One session's view of a [`Listing`]: which of its messages are marked
/// deleted. The only gate for message-numbers.
#[derive(Debug, Clone)]
pub struct Maildrop {
    listing: Arc<Listing>,
    /// A bit for each position; empty as long as nothing is marked.
    marks: Vec<u64>,
    marked: usize,
    marked_octets: u64,
}

const WORD: usize = u64::BITS as usize;

impl Maildrop {
    /// A maildrop with no message marked.
    pub fn new(listing: Arc<Listing>) -> Self {
        Maildrop {
            listing,
            marks: Vec::new(),
            marked: 0,
            marked_octets: 0,
        }
    }

    /// The listing below.
    pub fn listing(&self) -> &Arc<Listing> {
        &self.listing
    }

    /// How many messages are not marked.
    pub fn len(&self) -> usize {
        self.listing.len() - self.marked
    }

    /// Whether every message is marked, or none was there.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The octets of the messages that are not marked.
    pub fn octets(&self) -> u64 {
        self.listing.total_octets() - self.marked_octets
    }

    /// How many messages are marked.
    pub fn marked(&self) -> usize {
        self.marked
    }

    /// The gate: what the client said becomes a message, or does not.
    pub(crate) fn message(&self, number: Number) -> Result<MessageNumber, NoMessage> {
        let messages = self.listing.len();
        let position = number
            .0
            .checked_sub(1)
            .and_then(|position| usize::try_from(position).ok())
            .filter(|&position| position < messages)
            .ok_or(NoMessage::OnlyThereAre(messages))?;
        let message = MessageNumber::at(position);
        if self.is_marked(position) {
            return Err(NoMessage::Deleted(message));
        }
        Ok(message)
    }

    /// Marks a message deleted (RFC 1939 section 5, DELE).
    pub(crate) fn mark(&mut self, message: MessageNumber) {
        let position = message.position();
        if self.is_marked(position) {
            return;
        }
        if self.marks.is_empty() {
            self.marks = vec![0; self.listing.len().div_ceil(WORD)];
        }
        self.marks[position / WORD] |= 1 << (position % WORD);
        self.marked += 1;
        self.marked_octets += self.listing.octets(position);
    }

    /// Takes every mark off (RFC 1939 section 5, RSET).
    pub(crate) fn reset(&mut self) {
        self.marks = Vec::new();
        self.marked = 0;
        self.marked_octets = 0;
    }

    /// The first message from `position` on that is not marked.
    pub(crate) fn next_visible(&self, position: usize) -> Option<MessageNumber> {
        let mut position = position;
        // A word of marks at a time: a maildrop may be all marked, and long.
        while let Some(word) = self.marks.get(position / WORD) {
            let free = (!word >> (position % WORD)).trailing_zeros() as usize;
            if free < WORD - position % WORD {
                position += free;
                break;
            }
            position += WORD - position % WORD;
        }
        (position < self.listing.len()).then(|| MessageNumber::at(position))
    }

    /// Every marked message, by rising number: what the UPDATE state removes.
    pub(crate) fn into_marked(self) -> Vec<MessageNumber> {
        let mut messages = Vec::with_capacity(self.marked);
        for (index, mut word) in self.marks.into_iter().enumerate() {
            while word != 0 {
                let bit = word.trailing_zeros() as usize;
                messages.push(MessageNumber::at(index * WORD + bit));
                word &= word - 1;
            }
        }
        messages
    }

    fn is_marked(&self, position: usize) -> bool {
        self.marks
            .get(position / WORD)
            .is_some_and(|word| word >> (position % WORD) & 1 == 1)
    }
}

impl fmt::Display for ListingError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListingError::Empty { position } => {
                write!(out, "position {position}: the unique-id is empty")
            }
            ListingError::TooLong { position, octets } => write!(
                out,
                "position {position}: the unique-id has {octets} octets, {MAX_UNIQUE_ID_OCTETS} are allowed"
            ),
            ListingError::BadOctet { position, octet } => write!(
                out,
                "position {position}: the unique-id has the octet 0x{octet:02X}, 0x21 to 0x7E are allowed"
            ),
            ListingError::Duplicate { position } => write!(
                out,
                "position {position}: another message has the same unique-id"
            ),
            ListingError::TooMany { limit } => {
                write!(out, "more than {limit} messages")
            }
            ListingError::OctetsOverflow { position } => write!(
                out,
                "position {position}: the octets so far do not fit 64 bits"
            ),
        }
    }
}

impl Error for ListingError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn maildrop(messages: usize) -> Maildrop {
        let messages = (0..messages).map(|n| (format!("id{n}"), 100 + n as u64));
        Maildrop::new(Arc::new(Listing::new(messages).unwrap()))
    }

    #[test]
    fn a_listing_keeps_its_columns() {
        let longest = "~".repeat(70);
        let listing = Listing::new([("!", 0), (longest.as_str(), 7), ("a/b", 5)]).unwrap();
        assert_eq!(listing.len(), 3);
        assert_eq!(
            [0, 1, 2].map(|position| (listing.unique_id(position), listing.octets(position))),
            [("!", 0), (longest.as_str(), 7), ("a/b", 5)]
        );
        assert_eq!(listing.total_octets(), 12);
        assert!(Listing::new::<_, &str>([]).unwrap().is_empty());
    }

    #[test]
    fn other_octets_for_the_same_messages() {
        let listing = Listing::new([("a", 1), ("b", 2), ("c", 3)]).unwrap();
        let other = listing.with_octets([(0, 10), (2, 30)]).unwrap();
        assert_eq!(
            [0, 1, 2].map(|position| (other.unique_id(position), other.octets(position))),
            [("a", 10), ("b", 2), ("c", 30)]
        );
        assert_eq!((listing.total_octets(), other.total_octets()), (6, 42));
        assert_eq!(
            listing.with_octets([(1, u64::MAX)]),
            Err(ListingError::OctetsOverflow { position: 1 })
        );
    }

    #[test]
    fn a_listing_is_put_together_from_parts_of_two() {
        let one = Listing::new([("a", 1), ("bb", 2), ("ccc", 3)]).unwrap();
        let other = Listing::new([("x", 10), ("yy", 20)]).unwrap();
        let parts = [
            Part::One(1..3),
            Part::Other(1..2),
            Part::One(0..1),
            Part::Other(0..0),
        ];
        let whole = one.spliced(&other, &parts).unwrap();
        let expected = Listing::new([("bb", 2), ("ccc", 3), ("yy", 20), ("a", 1)]).unwrap();
        assert_eq!(whole, expected);
        let huge = Listing::new([("z", u64::MAX)]).unwrap();
        assert_eq!(
            one.spliced(&huge, &[Part::One(0..1), Part::Other(0..1)]),
            Err(ListingError::OctetsOverflow { position: 1 })
        );
        assert!(one.spliced(&huge, &[]).unwrap().is_empty());
    }

    #[test]
    fn a_lie_is_named_by_its_first_position() {
        let long = "x".repeat(71);
        for (ids, error) in [
            (vec!["a", ""], ListingError::Empty { position: 1 }),
            (
                vec!["a", "b", long.as_str()],
                ListingError::TooLong {
                    position: 2,
                    octets: 71,
                },
            ),
            (
                vec!["a b"],
                ListingError::BadOctet {
                    position: 0,
                    octet: b' ',
                },
            ),
            (
                vec!["a", "\u{e4}"],
                ListingError::BadOctet {
                    position: 1,
                    octet: 0xc3,
                },
            ),
            (
                vec!["\r\n."],
                ListingError::BadOctet {
                    position: 0,
                    octet: b'\r',
                },
            ),
            (
                vec!["a", "b", "a", "b", ""],
                ListingError::Duplicate { position: 2 },
            ),
        ] {
            let messages = ids.iter().map(|id| (*id, 1));
            assert_eq!(Listing::new(messages), Err(error), "{ids:?}");
        }
        assert_eq!(
            Listing::new([("a", u64::MAX), ("b", 0), ("c", 1)]),
            Err(ListingError::OctetsOverflow { position: 2 })
        );
        assert_eq!(
            Listing::bounded([("a", 1), ("b", 1), ("c", 1)], 2),
            Err(ListingError::TooMany { limit: 2 })
        );
    }

    #[test]
    fn the_gate_lets_only_numbers_of_unmarked_messages_pass() {
        let mut drop = maildrop(3);
        for number in [0, 4, u64::from(u32::MAX) + 2, u64::MAX] {
            assert_eq!(
                drop.message(Number(number)),
                Err(NoMessage::OnlyThereAre(3))
            );
        }
        let second = drop.message(Number(2)).unwrap();
        assert_eq!((second.get(), second.position()), (2, 1));
        drop.mark(second);
        assert_eq!(drop.message(Number(2)), Err(NoMessage::Deleted(second)));
        assert_eq!(drop.message(Number(3)).unwrap().get(), 3);
    }

    #[test]
    fn runs_of_marks_are_skipped_whole() {
        let mut drop = maildrop(200);
        for number in 65..=192 {
            drop.mark(MessageNumber(number));
        }
        for (position, next) in [(0, 1), (63, 64), (64, 193), (100, 193), (191, 193)] {
            assert_eq!(drop.next_visible(position), Some(MessageNumber(next)));
        }
        for number in 193..=200 {
            drop.mark(MessageNumber(number));
        }
        for position in [64, 128, 192, 199, 200] {
            assert_eq!(drop.next_visible(position), None);
        }
    }

    #[test]
    fn marks_count_once_and_come_off_again() {
        let mut drop = maildrop(200);
        let all = drop.octets();
        for number in [1, 64, 65, 128, 200, 64] {
            drop.mark(MessageNumber(number));
        }
        assert_eq!((drop.len(), drop.marked()), (195, 5));
        assert_eq!(drop.octets(), all - 100 - 163 - 164 - 227 - 299);
        assert_eq!(drop.next_visible(0), Some(MessageNumber(2)));
        assert_eq!(drop.next_visible(63), Some(MessageNumber(66)));
        assert_eq!(drop.next_visible(199), None);
        let marked = drop.clone().into_marked();
        assert_eq!(marked, [1, 64, 65, 128, 200].map(MessageNumber));
        drop.reset();
        assert_eq!((drop.len(), drop.octets()), (200, all));
        assert!(drop.into_marked().is_empty());
    }
}

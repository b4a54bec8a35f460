//! Two listings beside each other: what is still to be copied, and what differs.

use std::collections::HashMap;

use restante_roles::backend::Entries;

use super::error::{CopyError, Named};

/// A maildrop as its plugin lists it.
pub(super) struct Listed<'a> {
    /// The plugin's name.
    pub(super) plugin: &'a str,
    pub(super) entries: &'a Entries,
}

impl<'a> Listed<'a> {
    pub(super) fn len(&self) -> usize {
        self.entries.listing.len()
    }

    pub(super) fn named(&self, position: usize) -> Named<'a> {
        Named {
            position,
            plugin: self.plugin,
            unique_id: self.entries.listing.unique_id(position),
        }
    }

    /// Octets as LIST has them.
    pub(super) fn octets(&self, position: usize) -> u64 {
        self.entries.listing.octets(position)
    }

    /// The same for a client that has not said UTF8.
    pub(super) fn surrogate(&self, position: usize) -> u64 {
        self.entries.surrogates.octets(position)
    }

    /// When it came, in seconds since the Unix epoch; 0: not known.
    pub(super) fn received(&self, position: usize) -> u64 {
        let received = self.entries.received.get(position);
        received.copied().unwrap_or_default()
    }

    /// When each message is said to have come where a listing is in the order of these times:
    /// as it is, but never before the one in front of it. Of messages whose time is not known
    /// the order is kept so.
    pub(super) fn times_in_order(&self) -> Vec<u64> {
        let mut latest = 0;
        let all = 0..self.len();
        all.map(|position| {
            latest = self.received(position).max(latest);
            latest
        })
        .collect()
    }

    /// Whether it has the time of the message in front of it.
    fn is_as_in_front(&self, position: usize) -> bool {
        let front = position.checked_sub(1);
        front.is_some_and(|front| self.received(front) == self.received(position))
    }

    fn positions(&self) -> HashMap<&'a str, usize> {
        let listing = &self.entries.listing;
        let all = 0..self.len();
        all.map(|position| (listing.unique_id(position), position))
            .collect()
    }
}

/// What to do about a message of a copy that is not what was copied. Nothing removes it there
/// before a tenant uses the copy.
pub(super) fn begin_anew(to: &str) -> String {
    format!(
        "If no user works with `{to}` yet, {}. Otherwise find out which message is right; where that is the one of the original, have it deleted in `{to}` by POP3, and run this again with --restore-removed",
        another_name(to)
    )
}

fn another_name(to: &str) -> String {
    format!(
        "begin anew: give `maildrop` in the grants of [plugin.{to}] another name in the engine, and run this again"
    )
}

/// A copy in which every message is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Whole {
    /// Where each message is.
    pub(super) places: Vec<usize>,
    /// So many are behind one in the original and in front of it in the copy, where both have the
    /// same second, or one of them has that of the message it was copied after.
    pub(super) reordered: u64,
}

/// Where each message of `from` is in `to`; None: it is not there.
///
/// # Errors
/// Another message is there under its unique-id.
pub(super) fn places(from: &Listed<'_>, to: &Listed<'_>) -> Result<Vec<Option<usize>>, CopyError> {
    let known = to.positions();
    let all = 0..from.len();
    all.map(|position| {
        let named = from.named(position);
        let Some(&place) = known.get(named.unique_id) else {
            return Ok(None);
        };
        let of = |listed: &Listed<'_>, at| [listed.octets(at), listed.surrogate(at)];
        let (here, there) = (of(from, position), of(to, place));
        if here == there {
            return Ok(Some(place));
        }
        let text = |[octets, surrogate]: [u64; 2]| match octets == surrogate {
            true => format!("{octets} octets"),
            false => format!("{octets} octets ({surrogate} without UTF8)"),
        };
        Err(CopyError::new(format!(
            "{named} has {}, and {} has {}: they are two messages. {}",
            text(here),
            to.named(place),
            text(there),
            begin_anew(to.plugin)
        )))
    })
    .collect()
}

/// The same of a copy that is whole: every message is there, in the same order, with its time.
/// A store may order those of one second by what an engine does not have, which orders them as
/// they were copied. A message that has the time of another one was copied after that, and stays
/// there, though others may have come in front of it since.
/// `times`: when each was said to have come, where it was copied now.
///
/// # Errors
/// The first message that is not.
pub(super) fn whole(from: &Listed<'_>, to: &Listed<'_>, times: &[u64]) -> Result<Whole, CopyError> {
    // The last one with its own time, and the last one.
    let (mut last, mut latest, mut reordered) = (None, None, 0);
    let mut found = Vec::with_capacity(from.len());
    for (position, (place, time)) in places(from, to)?.into_iter().zip(times).enumerate() {
        let named = from.named(position);
        let Some(place) = place else {
            return Err(named.error(&format_args!(
                "it is not in the listing of `{}`, though it was copied: another program may have removed it there; run this again",
                to.plugin
            )));
        };
        let (own, there) = (from.received(position), to.received(place));
        let is_borrowed = there > own && to.is_as_in_front(place) || own == 0 && there == 0;
        if own != 0 && ![own, *time].contains(&there) && !is_borrowed {
            return Err(named.error(&format_args!(
                "it was received at {own} (seconds since 1970), and in `{}` at {there}. {}",
                to.plugin,
                begin_anew(to.plugin)
            )));
        }
        if !is_borrowed {
            if let Some(last) = last.filter(|last| *last > place && to.received(*last) != there) {
                return Err(named.error(&format_args!(
                    "in `{0}` it is before {1}, and in `{2}` it is not: the messages are the same, but `{2}` does not have them in the order of their times, or has got others in front of some since they were copied. If no user works with `{0}` yet, {3}",
                    to.plugin,
                    to.named(last),
                    from.plugin,
                    another_name(to.plugin)
                )));
            }
            last = last.max(Some(place));
        }
        if latest > Some(place) {
            reordered += 1;
        }
        latest = latest.max(Some(place));
        found.push(place);
    }
    Ok(Whole {
        places: found,
        reordered,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use restante_pop3::Listing;

    use super::*;

    /// Of unique-id, octets and time of receipt.
    fn entries(messages: &[(&str, u64, u64)]) -> Entries {
        let listing = Listing::new(messages.iter().map(|(id, octets, _)| (*id, *octets)));
        let listing = Arc::new(listing.unwrap());
        Entries {
            surrogates: listing.clone(),
            listing,
            received: messages.iter().map(|(_, _, at)| *at).collect(),
        }
    }

    fn whole_in(
        from: &[(&str, u64, u64)],
        to: &[(&str, u64, u64)],
    ) -> Result<(Vec<usize>, u64), String> {
        let (from, to) = (entries(from), entries(to));
        let of = |plugin, entries| Listed { plugin, entries };
        let (from, to) = (of("old", &from), of("new", &to));
        let whole = whole(&from, &to, &from.times_in_order());
        let whole = whole.map(|whole| (whole.places, whole.reordered));
        whole.map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_there_already_is_found_and_another_message_is_told_with_both_places() {
        let from = entries(&[("a", 1, 1), ("b", 2, 2), ("c", 3, 3)]);
        let to = entries(&[("x", 9, 0), ("b", 2, 2)]);
        let (from, mut to) = (
            Listed {
                plugin: "old",
                entries: &from,
            },
            Listed {
                plugin: "new",
                entries: &to,
            },
        );
        assert_eq!(places(&from, &to).unwrap(), [None, Some(1), None]);
        let other = entries(&[("x", 9, 0), ("c", 4, 3)]);
        to.entries = &other;
        let told = places(&from, &to).unwrap_err().to_string();
        for words in [
            "message 3 of `old` (unique-id c) has 3 octets",
            "message 2 of `new` (unique-id c) has 4 octets",
        ] {
            assert!(told.contains(words), "{told}");
        }
        // Only a client without UTF8 gets another one.
        let alike = entries(&[("c", 3, 3)]);
        let surrogates = alike.listing.with_octets([(0, 5)]).unwrap();
        let with_surrogate = Entries {
            surrogates: Arc::new(surrogates),
            ..alike
        };
        to.entries = &with_surrogate;
        let told = places(&from, &to).unwrap_err().to_string();
        assert!(told.contains("3 octets (5 without UTF8)"), "{told}");
    }

    #[test]
    fn a_copy_is_whole_with_every_message_in_its_place_and_time() {
        let from = [("a", 1, 1), ("b", 2, 5), ("c", 3, 5)];
        assert_eq!(whole_in(&from, &from), Ok((vec![0, 1, 2], 0)));
        // What else is there is another's.
        let more = [("a", 1, 1), ("x", 9, 2), ("b", 2, 5), ("c", 3, 5)];
        assert_eq!(whole_in(&from, &more), Ok((vec![0, 2, 3], 0)));
        // Within one second the original knows more of the order.
        let of_one_second = [("a", 1, 1), ("c", 3, 5), ("b", 2, 5)];
        assert_eq!(whole_in(&from, &of_one_second), Ok((vec![0, 2, 1], 1)));
        for (to, words) in [
            (
                &[("a", 1, 1), ("c", 3, 5)][..],
                "(unique-id b): it is not in",
            ),
            (
                &[("a", 1, 1), ("b", 2, 4), ("c", 3, 5)],
                "(unique-id b): it was received at 5",
            ),
        ] {
            let told = whole_in(&from, to).unwrap_err();
            assert!(told.contains(words), "{told}");
        }
        let without_time = [("a", 1, 7), ("b", 2, 0), ("c", 3, 9)];
        let before = [("b", 2, 3), ("a", 1, 7), ("c", 3, 9)];
        let told = whole_in(&without_time, &before).unwrap_err();
        for words in [
            "message 2 of `old` (unique-id b): in `new` it is before message 2 of `new` (unique-id a)",
            "give `maildrop` in the grants of [plugin.new] another name",
        ] {
            assert!(told.contains(words), "{told}");
        }
    }

    /// A listing is in the order of these times.
    #[test]
    fn a_message_without_a_time_gets_that_of_the_one_in_front() {
        let from = [("a", 1, 0), ("b", 2, 7), ("c", 3, 0), ("d", 4, 9)];
        let all = entries(&from);
        let listed = Listed {
            plugin: "old",
            entries: &all,
        };
        assert_eq!(listed.times_in_order(), [0, 7, 7, 9]);
        let to = [("a", 1, 0), ("b", 2, 7), ("c", 3, 7), ("d", 4, 9)];
        assert_eq!(whole_in(&from, &to), Ok((vec![0, 1, 2, 3], 0)));
    }

    /// It was copied after that one, which may be gone by now, or have got others behind it.
    #[test]
    fn a_message_that_has_the_time_of_another_one_stays_behind_that() {
        let copied = [("a", 1, 10), ("b", 2, 10), ("c", 3, 10)];
        // As they were copied, and without the one that they have the time of.
        for from in [
            &[("a", 1, 10), ("b", 2, 5), ("c", 3, 0)][..],
            &[("b", 2, 5), ("c", 3, 0)],
            &[("c", 3, 7)],
        ] {
            let places = (copied.len() - from.len()..copied.len()).collect();
            assert_eq!(whole_in(from, &copied), Ok((places, 0)));
        }
        // Others have come since.
        let between = [("a", 1, 10), ("d", 4, 12), ("b", 2, 5), ("c", 3, 0)];
        let later = [("a", 1, 10), ("b", 2, 10), ("c", 3, 10), ("d", 4, 12)];
        assert_eq!(whole_in(&between, &later), Ok((vec![0, 3, 1, 2], 2)));
        let behind = [("b", 2, 5), ("d", 4, 7)];
        let before = [("d", 4, 7), ("a", 1, 10), ("b", 2, 10)];
        assert_eq!(whole_in(&behind, &before), Ok((vec![2, 0], 1)));
        let first = [("d", 4, 12), ("b", 2, 0)];
        let unknown = [("b", 2, 0), ("d", 4, 12)];
        assert_eq!(whole_in(&first, &unknown), Ok((vec![1, 0], 1)));
        // No copy makes a time of nobody's, or an earlier one.
        for to in [[("a", 1, 9), ("b", 2, 10)], [("a", 1, 4), ("b", 2, 4)]] {
            let told = whole_in(&[("b", 2, 5)], &to).unwrap_err();
            assert!(told.contains("it was received at 5"), "{told}");
        }
    }
}

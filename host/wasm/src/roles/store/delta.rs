//! Brings a listing that is remembered up to date with what a store says has
//! changed since, without telling all of it anew.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use foldhash::fast::RandomState;
use restante_pop3::{Listing, Part};

use crate::roles::store::cache::{Listed, Names};
use restante_roles::backend::Entries;

/// The listing as it is after some messages went and others came. None: the
/// changes do not fit it, and the store is to be asked for all of it.
///
/// Takes time in proportion to what is remembered, whatever a guest says.
pub(crate) fn apply(before: &Listed, gone: &str, came: &Listed) -> Option<Listed> {
    let removed = removed(before, gone, came)?;
    let parts = parts(before, &removed, came);
    let (old, new) = (&before.entries, &came.entries);
    let names = match (&before.names, &came.names) {
        (Some(old), Some(new)) => Some(old.spliced(new, &parts)),
        (None, None) => None,
        (None, Some(_)) if new.listing.is_empty() => None,
        _ => return None,
    };
    let listing = Arc::new(old.listing.spliced(&new.listing, &parts).ok()?);
    Some(Listed {
        entries: Arc::new(Entries {
            surrogates: surrogates(&listing, old, new, &parts)?,
            listing,
            received: splice(&old.received, &new.received, &parts),
        }),
        names,
    })
}

/// The same messages as `listing`, with the octets of their surrogates.
fn surrogates(
    listing: &Arc<Listing>,
    old: &Entries,
    new: &Entries,
    parts: &[Part],
) -> Option<Arc<Listing>> {
    let have_none = |entries: &Entries| Arc::ptr_eq(&entries.listing, &entries.surrogates);
    if have_none(old) && have_none(new) {
        return Some(listing.clone());
    }
    let from = parts.iter().flat_map(|part| {
        let (entries, positions) = match part {
            Part::One(positions) => (old, positions.clone()),
            Part::Other(positions) => (new, positions.clone()),
        };
        positions.map(|position| entries.surrogates.octets(position))
    });
    let octets = from.enumerate();
    let others = octets.filter(|(position, octets)| *octets != listing.octets(*position));
    listing.with_octets(others).ok().map(Arc::new)
}

/// The positions of what is gone, rising. None: something is not there that is
/// said to be gone, or something is there that is said to have come.
fn removed(before: &Listed, gone: &str, came: &Listed) -> Option<Vec<usize>> {
    let listing = &before.entries.listing;
    let mut gone: HashSet<&str, RandomState> = gone.split_terminator('\0').collect();
    if gone.is_empty() && came.entries.listing.is_empty() {
        return Some(Vec::new());
    }
    let came = &came.entries.listing;
    let came: HashSet<&str, RandomState> = (0..came.len())
        .map(|position| came.unique_id(position))
        .collect();
    let mut removed = Vec::with_capacity(gone.len());
    for position in 0..listing.len() {
        let unique_id = listing.unique_id(position);
        if gone.remove(unique_id) {
            removed.push(position);
        } else if came.contains(unique_id) {
            return None;
        }
    }
    gone.is_empty().then_some(removed)
}

/// What the new listing is made of. A message stands behind the last one that
/// was not received later.
fn parts(before: &Listed, removed: &[usize], came: &Listed) -> Vec<Part> {
    let (old, new) = (&before.entries.received, &came.entries.received);
    let mut latest_first: Vec<usize> = (0..new.len()).collect();
    latest_first.sort_by_key(|&position| new[position]);
    latest_first.reverse();
    let mut end = old.len();
    let mut places = vec![0; new.len()];
    for position in latest_first {
        while end > 0 && old[end - 1] > new[position] {
            end -= 1;
        }
        places[position] = end;
    }
    let mut inserted: Vec<(usize, usize)> = places.into_iter().zip(0..).collect();
    inserted.sort();

    let mut parts = Vec::with_capacity(inserted.len() + removed.len() + 1);
    let mut done = 0;
    let mut removed = removed.iter().copied().peekable();
    let mut keep_until = |parts: &mut Vec<Part>, place: usize| {
        while let Some(gone) = removed.next_if(|gone| *gone < place) {
            keep(parts, done..gone);
            done = gone + 1;
        }
        keep(parts, done..place);
        done = place.max(done);
    };
    for (place, position) in inserted {
        keep_until(&mut parts, place);
        parts.push(Part::Other(position..position + 1));
    }
    keep_until(&mut parts, old.len());
    parts
}

fn keep(parts: &mut Vec<Part>, positions: Range<usize>) {
    if !positions.is_empty() {
        parts.push(Part::One(positions));
    }
}

/// A column put together from parts of two.
pub(crate) fn splice<T: Copy>(one: &[T], other: &[T], parts: &[Part]) -> Vec<T> {
    let mut column = Vec::with_capacity(one.len() + other.len());
    for part in parts {
        column.extend_from_slice(match part {
            Part::One(positions) => &one[positions.clone()],
            Part::Other(positions) => &other[positions.clone()],
        });
    }
    column
}

impl Names {
    fn spliced(&self, other: &Names, parts: &[Part]) -> Names {
        let mut names = Names::with_capacity(self.octets() + other.octets());
        for part in parts {
            match part {
                Part::One(positions) => names.append(self, positions),
                Part::Other(positions) => names.append(other, positions),
            }
        }
        names
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn listed(messages: &[(&str, u64)]) -> Listed {
        let listing = Listing::new(messages.iter().map(|(id, received)| (*id, received * 10)));
        let listing = Arc::new(listing.unwrap());
        // Those of an odd second need UTF-8.
        let odd = messages.iter().enumerate();
        let odd = odd.filter(|(_, (_, received))| received % 2 == 1);
        let surrogates: Vec<_> = odd.map(|(at, (_, received))| (at, received * 20)).collect();
        let names: String = messages
            .iter()
            .flat_map(|(id, _)| ["/", id, "\0"])
            .collect();
        Listed {
            entries: Arc::new(Entries {
                surrogates: match surrogates.is_empty() {
                    true => listing.clone(),
                    false => Arc::new(listing.with_octets(surrogates).unwrap()),
                },
                listing,
                received: messages.iter().map(|(_, received)| *received).collect(),
            }),
            names: Some(Names::packed(names)),
        }
    }

    fn rows(listed: &Listed) -> Vec<(String, u64)> {
        let Entries {
            listing,
            surrogates,
            received,
        } = &*listed.entries;
        assert_eq!(listing.len(), received.len());
        let octets = (0..listing.len()).map(|position| listing.octets(position));
        assert_eq!(listing.total_octets(), octets.sum::<u64>());
        (0..listing.len())
            .map(|position| {
                let id = listing.unique_id(position);
                assert_eq!(listed.name(position), Some(&*format!("/{id}")));
                assert_eq!(listing.octets(position), received[position] * 10);
                let factor = 10 + received[position] % 2 * 10;
                assert_eq!(surrogates.octets(position), received[position] * factor);
                (id.to_owned(), received[position])
            })
            .collect()
    }

    #[test]
    fn what_went_and_what_came_is_in_its_place() {
        let before = listed(&[("a", 10), ("b", 20), ("c", 20), ("d", 30)]);
        for (gone, came, expected) in [
            ("", vec![], vec!["a", "b", "c", "d"]),
            ("", vec![("x", 40)], vec!["a", "b", "c", "d", "x"]),
            ("", vec![("x", 20)], vec!["a", "b", "c", "x", "d"]),
            (
                "",
                vec![("x", 5), ("y", 5)],
                vec!["x", "y", "a", "b", "c", "d"],
            ),
            ("b\0", vec![("x", 21)], vec!["a", "c", "x", "d"]),
            ("b\0", vec![("b", 20)], vec!["a", "c", "b", "d"]),
            ("d\0a\0", vec![], vec!["b", "c"]),
            (
                "c\0",
                vec![("x", 30), ("y", 10)],
                vec!["a", "y", "b", "d", "x"],
            ),
            ("a\0b\0c\0d\0", vec![], vec![]),
            ("a\0b\0c\0d\0", vec![("x", 20)], vec!["x"]),
        ] {
            let after = apply(&before, gone, &listed(&came)).unwrap();
            let ids: Vec<String> = rows(&after).into_iter().map(|(id, _)| id).collect();
            assert_eq!(ids, expected, "{gone:?} {came:?}");
        }
    }

    #[test]
    fn an_order_that_is_not_by_time_is_kept() {
        let before = listed(&[("a", 50), ("b", 20), ("c", 40)]);
        let after = apply(&before, "", &listed(&[("x", 30), ("y", 45), ("z", 60)])).unwrap();
        let ids: Vec<String> = rows(&after).into_iter().map(|(id, _)| id).collect();
        assert_eq!(ids, ["a", "b", "x", "c", "y", "z"]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let before = listed(&[("a", 10), ("b", 20)]);
        assert!(apply(&before, "c\0", &listed(&[])).is_none());
        assert!(apply(&before, "", &listed(&[("a", 10)])).is_none());
        let listing = Arc::new(Listing::new([("x", u64::MAX)]).unwrap());
        let huge = Listed {
            entries: Arc::new(Entries {
                listing: listing.clone(),
                surrogates: listing,
                received: vec![1],
            }),
            names: Some(Names::packed("x\0".into())),
        };
        assert!(apply(&before, "", &huge).is_none());
        let mut nameless = listed(&[("x", 30)]);
        nameless.names = None;
        assert!(apply(&before, "", &nameless).is_none());
    }
}

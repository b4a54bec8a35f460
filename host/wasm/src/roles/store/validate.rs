//! A listing as a guest tells it: nothing of it is believed before it is looked at.

use std::sync::Arc;

use restante_pop3::Listing;

use crate::bindings::exports::restante::plugin::store as wit;
use crate::roles::store::cache::{Listed, Names};
use restante_roles::backend::Entries;

/// Octets of a memo: it is remembered with the listing.
const MEMO: usize = 64 << 10;

/// Octets of a listing as it crossed the border.
pub(crate) fn weight(told: &wit::Listing) -> usize {
    let memo = told.memo.as_ref().map_or(0, String::len);
    let numbers = told.octets.len() + told.received.len() + 2 * told.surrogates.len();
    told.unique_ids.len() + told.names.len() + memo + 8 * numbers
}

/// Columns of one length, unique-ids that are some; and the memo, if there is one
/// and it is short enough.
pub(crate) fn checked(told: wit::Listing) -> Result<(Listed, Option<Arc<str>>), String> {
    let ids = told.unique_ids.split_terminator('\0');
    let count = memchr::memchr_iter(0, told.unique_ids.as_bytes()).count();
    if [&told.unique_ids, &told.names]
        .into_iter()
        .any(|packed| !packed.is_empty() && !packed.ends_with('\0'))
    {
        return Err("a text without a NUL behind it".into());
    }
    let has_names = count == 0 || !told.names.is_empty();
    let names = Names::packed(told.names);
    if told.octets.len() != count
        || told.received.len() != count
        || (has_names && names.len() != count)
    {
        return Err(format!(
            "columns of different length: {count} unique-ids, {} octets, {} received, {} names",
            told.octets.len(),
            told.received.len(),
            names.len()
        ));
    }
    let octets = told.octets.iter().copied();
    let listing = Listing::new(octets.zip(ids).map(|(octets, id)| (id, octets)));
    let listing = Arc::new(listing.map_err(|error| error.to_string())?);
    let surrogates = with_surrogates(&listing, &told.surrogates)?;
    let listed = Listed {
        entries: Arc::new(Entries {
            listing,
            surrogates,
            received: told.received,
        }),
        names: has_names.then_some(names),
    };
    let memo = told.memo.filter(|memo| memo.len() <= MEMO).map(Arc::from);
    Ok((listed, memo))
}

fn with_surrogates(
    listing: &Arc<Listing>,
    surrogates: &[wit::Surrogate],
) -> Result<Arc<Listing>, String> {
    if surrogates.is_empty() {
        return Ok(Arc::clone(listing));
    }
    if !surrogates.is_sorted_by(|one, next| one.position < next.position) {
        return Err("the positions of surrogates do not rise".to_owned());
    }
    let last = surrogates.last().map_or(0, |last| last.position as usize);
    if last >= listing.len() {
        return Err(format!(
            "a surrogate of position {last}, and {} messages",
            listing.len()
        ));
    }
    let octets = surrogates
        .iter()
        .map(|surrogate| (surrogate.position as usize, surrogate.octets));
    let listing = listing.with_octets(octets);
    listing.map(Arc::new).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(surrogates: &[(u32, u64)]) -> wit::Listing {
        let surrogates = surrogates.iter();
        wit::Listing {
            unique_ids: "a\0b\0c\0".into(),
            octets: vec![1, 2, 3],
            received: vec![0; 3],
            names: String::new(),
            memo: None,
            surrogates: surrogates
                .map(|&(position, octets)| wit::Surrogate { position, octets })
                .collect(),
        }
    }

    #[test]
    fn surrogates_have_octets_of_their_own() {
        let entries = checked(told(&[(0, 9), (2, 8)]))
            .ok()
            .map(|(told, _)| told.entries);
        let entries = entries.expect("nothing is wrong with it");
        assert_eq!([0, 1, 2].map(|at| entries.listing.octets(at)), [1, 2, 3]);
        assert_eq!([0, 1, 2].map(|at| entries.surrogates.octets(at)), [9, 2, 8]);
        let entries = checked(told(&[])).ok().map(|(told, _)| told.entries);
        let entries = entries.expect("nothing is wrong with it");
        assert!(Arc::ptr_eq(&entries.listing, &entries.surrogates));
    }

    #[test]
    fn columns_are_of_one_length_and_their_texts_whole() {
        let honest = || told(&[]);
        assert!(checked(honest()).is_ok());
        for (ids, names) in [
            ("a\0b\0", ""),
            ("a\0b\0c\0d\0", ""),
            ("a\0b\0c", ""),
            ("a\0b\0c\0x", ""),
            ("a\0b\0c\0", "x\0"),
            ("a\0b\0c\0", "x\0y\0z"),
            ("a\0b\0c\0", "x"),
            ("", ""),
        ] {
            let lie = wit::Listing {
                unique_ids: ids.into(),
                names: names.into(),
                ..honest()
            };
            assert!(checked(lie).is_err(), "{ids:?} {names:?}");
        }
        let with_memo = |octets| wit::Listing {
            memo: Some("x".repeat(octets)),
            ..honest()
        };
        let memo = |octets| checked(with_memo(octets)).ok().and_then(|(_, memo)| memo);
        assert_eq!(memo(MEMO).map(|memo| memo.len()), Some(MEMO));
        assert_eq!(memo(MEMO + 1), None);
    }

    #[test]
    fn lies_about_surrogates_are_found() {
        for surrogates in [
            &[(3, 1)][..],
            &[(1, 1), (1, 1)],
            &[(2, 1), (0, 1)],
            &[(u32::MAX, 1)],
            &[(0, u64::MAX)],
        ] {
            assert!(checked(told(surrogates)).is_err(), "{surrogates:?}");
        }
    }
}

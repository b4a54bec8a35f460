//! Whether what is handed to an index is as it has to be; the same for every kind.

use std::collections::HashSet;

use super::types::{Entry, Placed};
use crate::bounds::{MAX_ENTRIES, MAX_MESSAGE_OCTETS, MAX_NAME_OCTETS, MAX_UNIQUE_ID_OCTETS};
use crate::names;
use crate::problem::Problem;

/// Bytes of an entry in the columns of an answer, at most: numbers, and texts with the NUL
/// after each. `unique_id` is the one that it has in the end. The sum over a folder never
/// exceeds [`crate::MAX_ANSWER_BYTES`]: an append that would make it so is
/// [`super::Appended::Full`].
pub fn entry_bytes(unique_id: &str, name: &str) -> u64 {
    // Octets, time of receipt, and a position with the octets of a surrogate.
    const NUMBERS: u64 = 8 + 8 + 16;
    NUMBERS + unique_id.len() as u64 + 1 + name.len() as u64 + 1
}

/// Unique-ids that are to be removed: each possible, none twice, not more than a folder
/// has.
///
/// # Errors
/// [`Problem::Invalid`].
pub fn check_unique_ids(unique_ids: &[String]) -> Result<(), Problem> {
    if unique_ids.len() as u64 > MAX_ENTRIES {
        return Err(Problem::invalid("more unique-ids than a folder has"));
    }
    let mut known = HashSet::with_capacity(unique_ids.len());
    for id in unique_ids {
        check_unique_id(id)?;
        if !known.insert(id) {
            return Err(Problem::invalid(format!("unique-id {id} is named twice")));
        }
    }
    Ok(())
}

/// An entry, as far as it can be judged without the folder.
///
/// # Errors
/// [`Problem::Invalid`].
pub fn check_entry(entry: &Entry) -> Result<(), Problem> {
    if let Some(id) = &entry.unique_id {
        check_unique_id(id)?;
    }
    if entry.name.is_empty() || entry.name.len() > MAX_NAME_OCTETS {
        let octets = entry.name.len();
        let text = format!("the entry's name has {octets} octets: 1 to 1,024 are possible");
        return Err(Problem::Invalid(text));
    }
    if entry.name.contains('\0') {
        return Err(Problem::invalid("the entry's name has a NUL in it"));
    }
    let surrogate = entry.surrogate.unwrap_or_default();
    if entry.octets.max(surrogate).max(entry.weight) > MAX_MESSAGE_OCTETS {
        return Err(Problem::invalid("the entry has more than 1 TiB"));
    }
    if i64::try_from(entry.received).is_err() {
        return Err(Problem::invalid("the entry's time of receipt is no time"));
    }
    Ok(())
}

/// A unique-id that was brought into a folder whose own begin with `epoch`: it is none
/// that could be made there later.
///
/// # Errors
/// [`Problem::Invalid`].
pub fn check_not_made_here(unique_id: &str, epoch: u64) -> Result<(), Problem> {
    if unique_id.starts_with(&format!("{epoch:x}.")) {
        let text = format!("unique-id {unique_id} is of the kind that is made here: give none");
        return Err(Problem::Invalid(text));
    }
    Ok(())
}

/// Where octets were placed.
///
/// # Errors
/// [`Problem::Invalid`].
pub fn check_placed(placed: &Placed) -> Result<(), Problem> {
    names::check("the place's name", &placed.place)
}

fn check_unique_id(id: &str) -> Result<(), Problem> {
    let octets = 1..=MAX_UNIQUE_ID_OCTETS;
    if octets.contains(&id.len()) && id.bytes().all(|octet| (0x21..=0x7e).contains(&octet)) {
        return Ok(());
    }
    let shown: String = id.chars().take(100).collect();
    Err(Problem::invalid(format!(
        "unique-id {shown:?} is none: 1 to 70 octets from \"!\" to \"~\" (RFC 1939 section 7)"
    )))
}

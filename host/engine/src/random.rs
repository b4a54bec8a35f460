//! Octets that nobody can guess.

use crate::problem::Problem;

/// So many octets from the system.
pub(crate) fn octets<const N: usize>() -> Result<[u8; N], Problem> {
    let mut octets = [0; N];
    getrandom::fill(&mut octets).map_err(|error| {
        Problem::unavailable(format!("the system has no random numbers: {error}"))
    })?;
    Ok(octets)
}

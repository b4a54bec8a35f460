//! Names of all kinds.

use crate::bounds::MAX_NAME_OCTETS;
use crate::problem::Problem;

/// A name of 1 to [`MAX_NAME_OCTETS`] octets without control characters.
///
/// # Errors
/// [`Problem::Invalid`]: `what` is wrong, and why.
pub fn check(what: &str, name: &str) -> Result<(), Problem> {
    let wrong = if name.is_empty() {
        "is empty"
    } else if name.len() > MAX_NAME_OCTETS {
        "has more than 1,024 octets"
    } else if name.chars().any(char::is_control) {
        "has a control character"
    } else {
        return Ok(());
    };
    let shown: String = name.chars().take(100).collect();
    Err(Problem::invalid(format!("{what} {shown:?} {wrong}")))
}

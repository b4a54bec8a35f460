//! Why an exchange ends before anybody is asked, and what any mechanism's
//! messages may be stopped for.

use crate::login::{Cause, FailedLogin};
use crate::prepare::{self, Unprepared};
use crate::syntax::Malformed;

/// Why an exchange ends here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The client does not keep to the mechanism.
    Malformed(Malformed),
    /// The credentials are wrong, and the session knows it.
    Failed(FailedLogin),
}

impl From<Unprepared> for Stop {
    fn from(_: Unprepared) -> Self {
        Stop::Failed(FailedLogin {
            user: None,
            cause: Cause::Preparation,
        })
    }
}

/// A message that has to be UTF-8.
pub(super) fn text(message: &[u8]) -> Result<&str, Stop> {
    std::str::from_utf8(message).map_err(|_| Stop::Malformed(Malformed::Message))
}

/// The authorization identity (RFC 5034 section 4), where it is not the
/// authentication identity again.
pub(super) fn acting_as(authzid: Option<&str>, user: &str) -> Result<Option<String>, Stop> {
    let authzid = match authzid {
        None | Some("") => return Ok(None),
        Some(authzid) => prepare::user_name(authzid)?,
    };
    Ok((authzid != user).then_some(authzid))
}

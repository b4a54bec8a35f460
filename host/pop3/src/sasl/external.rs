//! EXTERNAL (RFC 4422 appendix A): TLS has shown who the client is, the message
//! says only as whom it wants to act.

use super::stop::{Stop, text};
use crate::login::Credentials;
use crate::prepare;

/// ```text
/// external-initial-resp = authz-id-string
/// authz-id-string       = *( UTF8-char-no-nul )
/// ```
pub(super) fn external(message: &[u8]) -> Result<Credentials, Stop> {
    let acting_as = match text(message)? {
        "" => None,
        authzid => Some(prepare::user_name(authzid)?),
    };
    Ok(Credentials::Certificate { acting_as })
}

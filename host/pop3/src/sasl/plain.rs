//! PLAIN (RFC 4616) and LOGIN: the password comes as it is.

use super::stop::{Stop, acting_as, text};
use crate::login::Credentials;
use crate::prepare;
use crate::syntax::Malformed;

/// What LOGIN's servers have always said.
pub(super) const USER_NAME: &[u8] = b"Username:";
pub(super) const PASSWORD: &[u8] = b"Password:";

/// The one message of PLAIN (RFC 4616 section 2):
///
/// ```text
/// message   = [authzid] UTF8NUL authcid UTF8NUL passwd
/// ```
pub(super) fn plain(message: &[u8]) -> Result<Credentials, Stop> {
    let malformed = Stop::Malformed(Malformed::Message);
    let mut parts = text(message)?.split('\0');
    let (Some(authzid), Some(authcid), Some(passwd), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(malformed);
    };
    if authcid.is_empty() || passwd.is_empty() {
        return Err(malformed);
    }
    let user = prepare::user_name(authcid)?;
    Ok(Credentials::Password {
        acting_as: acting_as(Some(authzid), &user)?,
        secret: prepare::password(passwd)?,
        user,
    })
}

/// LOGIN's first response: the user.
pub(super) fn login_name(message: &[u8]) -> Result<String, Stop> {
    match text(message)? {
        "" => Err(Stop::Malformed(Malformed::Message)),
        name => Ok(prepare::user_name(name)?),
    }
}

/// LOGIN's second response.
pub(super) fn login_password(user: String, message: &[u8]) -> Result<Credentials, Stop> {
    match text(message)? {
        "" => Err(Stop::Malformed(Malformed::Message)),
        password => Ok(Credentials::Password {
            user,
            acting_as: None,
            secret: prepare::password(password)?,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::login::Cause;

    fn read(message: &[u8]) -> Result<(String, Option<String>, String), Stop> {
        match plain(message)? {
            Credentials::Password {
                user,
                acting_as,
                secret,
            } => Ok((user, acting_as, secret.expose().to_owned())),
            credentials => panic!("{credentials:?}"),
        }
    }

    /// RFC 4616 section 4.
    #[test]
    fn the_examples_of_rfc_4616() {
        assert_eq!(
            read(b"\0tim\0tanstaaftanstaaf"),
            Ok(("tim".into(), None, "tanstaaftanstaaf".into()))
        );
        assert_eq!(
            read(b"Ursel\0Kurt\0xipj3plmq"),
            Ok(("Kurt".into(), Some("Ursel".into()), "xipj3plmq".into()))
        );
    }

    #[test]
    fn acting_as_oneself_is_acting_as_nobody_else() {
        assert_eq!(read(b"tim\0tim\0x"), Ok(("tim".into(), None, "x".into())));
        let message = "t\u{ad}im\0tim\0x".as_bytes();
        assert_eq!(read(message), Ok(("tim".into(), None, "x".into())));
    }

    #[test]
    fn names_and_passwords_are_prepared() {
        let message = "\0\u{2168}\0I\u{ad}X".as_bytes();
        assert_eq!(read(message), Ok(("IX".into(), None, "IX".into())));
    }

    #[test]
    fn up_to_255_octets_and_more() {
        let long = "\u{e4}".repeat(200);
        let message = format!("{long}1\0{long}2\0{long}3");
        let expected = (
            format!("{long}2"),
            Some(format!("{long}1")),
            format!("{long}3"),
        );
        assert_eq!(read(message.as_bytes()), Ok(expected));
    }

    #[test]
    fn what_is_no_message_of_plain() {
        for message in [
            &b""[..],
            b"\0",
            b"\0\0",
            b"tim",
            b"tim\0x",
            b"\0tim\0",
            b"\0\0x",
            b"\0tim\0x\0",
            b"\0tim\0x\0y",
            b"\0t\xefm\0x",
        ] {
            let stop = Err(Stop::Malformed(Malformed::Message));
            assert_eq!(read(message), stop, "{}", message.escape_ascii());
        }
    }

    #[test]
    fn what_cannot_be_prepared_fails() {
        for message in ["\0a\u{7}b\0x", "\0tim\0a\u{7}b", "\u{7}\0tim\0x"] {
            match read(message.as_bytes()) {
                Err(Stop::Failed(failed)) => assert_eq!(failed.cause, Cause::Preparation),
                other => panic!("{other:?}"),
            }
        }
    }
}

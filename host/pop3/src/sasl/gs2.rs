//! The header that SCRAM and OAUTHBEARER put in front of their first message
//! (RFC 5801 section 4, RFC 5802 section 7).

use super::stop::Stop;
use crate::syntax::Malformed;

/// ```text
/// gs2-header      = gs2-cbind-flag "," [ authzid ] ","
/// gs2-cbind-flag  = ("p=" cb-name) / "n" / "y"
/// authzid         = "a=" saslname
/// ```
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Header<'a> {
    pub(super) flag: Flag<'a>,
    /// The authorization identity, its escapes undone, not prepared.
    pub(super) authzid: Option<String>,
    /// The whole header, as SCRAM's `c=` repeats it.
    pub(super) raw: &'a str,
}

/// What the client says of channel binding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flag<'a> {
    /// "n": it has none.
    Unsupported,
    /// "y": it has it, and believes that the server has not.
    NotOffered,
    /// "p=": it uses the binding of this name.
    Used(&'a str),
}

impl<'a> Header<'a> {
    /// Takes the header off the front of a message; the rest is returned too.
    pub(super) fn parse(message: &'a str) -> Result<(Self, &'a str), Stop> {
        let malformed = Stop::Malformed(Malformed::Message);
        let (flag, behind) = message.split_once(',').ok_or(malformed.clone())?;
        let (authzid, rest) = behind.split_once(',').ok_or(malformed.clone())?;
        let flag = match flag {
            "n" => Flag::Unsupported,
            "y" => Flag::NotOffered,
            flag => match flag.strip_prefix("p=") {
                Some(name) if is_binding_name(name) => Flag::Used(name),
                _ => return Err(malformed),
            },
        };
        let authzid = match authzid {
            "" => None,
            authzid => {
                let name = authzid.strip_prefix("a=").ok_or(malformed)?;
                Some(saslname(name)?)
            }
        };
        let raw = &message[..message.len() - rest.len()];
        Ok((Header { flag, authzid, raw }, rest))
    }
}

/// Undoes the escapes of a name that holds neither NUL nor ",".
///
/// ```text
/// saslname        = 1*(value-safe-char / "=2C" / "=3D")
/// ```
pub(super) fn saslname(escaped: &str) -> Result<String, Stop> {
    let malformed = Stop::Malformed(Malformed::Message);
    if escaped.is_empty() || escaped.contains(['\0', ',']) {
        return Err(malformed);
    }
    let mut parts = escaped.split('=');
    let mut name = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (char, rest) = match part.split_at_checked(2) {
            Some(("2C", rest)) => (',', rest),
            Some(("3D", rest)) => ('=', rest),
            _ => return Err(malformed),
        };
        name.push(char);
        name.push_str(rest);
    }
    Ok(name)
}

/// `cb-name = 1*(ALPHA / DIGIT / "." / "-")`
fn is_binding_name(name: &str) -> bool {
    let legal = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'.' | b'-');
    !name.is_empty() && name.bytes().all(legal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers() {
        for (message, flag, authzid, raw, rest) in [
            (
                "n,,n=user,r=x",
                Flag::Unsupported,
                None,
                "n,,",
                "n=user,r=x",
            ),
            ("y,a=tim,", Flag::NotOffered, Some("tim"), "y,a=tim,", ""),
            (
                "p=tls-exporter,a=a=2Cb=3Dc,,",
                Flag::Used("tls-exporter"),
                Some("a,b=c"),
                "p=tls-exporter,a=a=2Cb=3Dc,",
                ",",
            ),
        ] {
            let authzid = authzid.map(String::from);
            let header = Header { flag, authzid, raw };
            assert_eq!(Header::parse(message), Ok((header, rest)), "{message}");
        }
    }

    #[test]
    fn what_is_no_header() {
        for message in [
            "",
            "n",
            "n,",
            "n=user,r=x",
            "N,,",
            "p,,",
            "p=,,",
            "p=tls unique,,",
            "x,,",
            "F,n,,",
            "n,b=x,",
            "n,a=,",
            "n,a=x=2c,",
            "n,a=x=,",
            "n,a=x=2,",
            "n,a=\0,",
            "n,user=someuser@example.com,",
        ] {
            assert!(Header::parse(message).is_err(), "{message:?}");
        }
    }
}

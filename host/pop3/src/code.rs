//! Extended response codes: what programs read of a negative answer.

use std::error::Error;
use std::fmt;
use std::str::FromStr;

/// Extended response codes (RFC 2449 section 8, RFC 3206, RFC 6856).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ResponseCode {
    /// The user logged in too recently.
    LoginDelay,
    /// Somebody else holds the maildrop.
    InUse,
    /// A failure that trying again later may mend.
    SysTemp,
    /// A failure that lasts until somebody acts.
    SysPerm,
    /// The credentials are the problem.
    Auth,
    /// It cannot be done without UTF8.
    Utf8,
}

const RESPONSE_CODES: [(ResponseCode, &str); 6] = [
    (ResponseCode::LoginDelay, "LOGIN-DELAY"),
    (ResponseCode::InUse, "IN-USE"),
    (ResponseCode::SysTemp, "SYS/TEMP"),
    (ResponseCode::SysPerm, "SYS/PERM"),
    (ResponseCode::Auth, "AUTH"),
    (ResponseCode::Utf8, "UTF8"),
];

impl ResponseCode {
    #[cfg(test)]
    pub(crate) const ALL: [ResponseCode; 6] = [
        ResponseCode::LoginDelay,
        ResponseCode::InUse,
        ResponseCode::SysTemp,
        ResponseCode::SysPerm,
        ResponseCode::Auth,
        ResponseCode::Utf8,
    ];
}

impl fmt::Display for ResponseCode {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = RESPONSE_CODES.iter().find(|(code, _)| code == self);
        out.write_str(known.expect("every code stands in the table").1)
    }
}

/// A response code that is not registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownResponseCode;

impl fmt::Display for UnknownResponseCode {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("not a registered POP3 response code")
    }
}

impl Error for UnknownResponseCode {}

impl FromStr for ResponseCode {
    type Err = UnknownResponseCode;

    /// Reads a code in any case, without its brackets.
    fn from_str(text: &str) -> Result<Self, UnknownResponseCode> {
        RESPONSE_CODES
            .iter()
            .find(|(_, name)| name.eq_ignore_ascii_case(text))
            .map(|(code, _)| *code)
            .ok_or(UnknownResponseCode)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_reads_as_it_is_written() {
        assert_eq!(RESPONSE_CODES.map(|(code, _)| code), ResponseCode::ALL);
        for (code, name) in &RESPONSE_CODES {
            assert_eq!(code.to_string(), *name);
            assert_eq!(name.parse(), Ok(*code));
            assert_eq!(name.to_lowercase().parse(), Ok(*code));
        }
        for text in ["", "SYS", "SYS/", "[AUTH]", "AUTH "] {
            assert_eq!(text.parse::<ResponseCode>(), Err(UnknownResponseCode));
        }
    }
}

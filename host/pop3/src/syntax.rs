//! What can be wrong with a line: with a command, or with a response in a SASL
//! exchange. Plain values; who finds it and what follows is decided elsewhere.

use std::fmt;

/// Why a line is no command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Syntax {
    /// Longer than the session's limit.
    TooLong,
    /// NUL, CR, TAB, DEL …
    ControlCharacter,
    /// Not a keyword that this server knows.
    UnknownKeyword,
    /// The command takes none, or fewer.
    UnexpectedArgument,
    /// The command needs one, or one more.
    MissingArgument,
    /// Digits belong there.
    NotANumber,
    /// Not UTF-8, or SASLprep refuses it, or with a space in front.
    UserName,
    /// Not UTF-8, or SASLprep refuses it.
    Password,
    /// APOP's is 32 hexadecimal digits.
    Digest,
    /// Not letters, digits and hyphens in their order.
    LanguageRange,
}

/// What is wrong with a response in a SASL exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// Not Base64, or not strictly (RFC 5034 section 4).
    Base64,
    /// Not a message of this mechanism.
    Message,
    /// The mechanism begins with a challenge, so there is nothing to respond to.
    InitialResponse,
    /// "*": the client wants no more of it.
    Cancelled,
}

impl fmt::Display for Syntax {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Syntax::TooLong => "line too long",
            Syntax::ControlCharacter => "control character in command",
            Syntax::UnknownKeyword => "unknown command",
            Syntax::UnexpectedArgument => "argument not expected",
            Syntax::MissingArgument => "argument missing",
            Syntax::NotANumber => "argument is not a number",
            Syntax::UserName => "not a user name",
            Syntax::Password => "not a password",
            Syntax::Digest => "a digest of 32 hexadecimal digits is missing",
            Syntax::LanguageRange => "not a language range",
        })
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Malformed::Base64 => "not Base64",
            Malformed::Message => "the response does not fit the mechanism",
            Malformed::InitialResponse => "this mechanism takes no initial response",
            Malformed::Cancelled => "authentication cancelled",
        })
    }
}

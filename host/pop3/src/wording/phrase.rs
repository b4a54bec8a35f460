//! What can be said, in no language yet.

use crate::code::ResponseCode;
use crate::maildrop::{Maildrop, MessageNumber, NoMessage};
use crate::syntax::{Malformed, Syntax};

/// Everything that replies say to humans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phrase {
    SendPass,
    BeginTls,
    CapabilitiesFollow,
    MechanismsFollow,
    LanguagesFollow,
    LanguageChosen,
    Utf8Begins,
    SigningOff,
    /// After QUIT in TRANSACTION, with what is left.
    SignedOff(usize),
    /// What is in the maildrop.
    Contents(Contents),
    /// The same, told by RSET.
    MaildropHas(Contents),
    Octets(u64),
    TopFollows,
    UniqueIdsFollow,
    MessageDeleted(MessageNumber),
    NothingDone,

    NoMessage(NoMessage),
    LogInFirst,
    OnlyBeforeLogin,
    UserFirst,
    TlsIsActive,
    TlsNotOffered,
    StlsFirst,
    NoPlaintextLogin,
    NoMechanism,
    UnknownMechanism,
    MechanismNotOffered,
    NotOffered,
    UnknownLanguage,
    TooManyBadCommands,
    Syntax(Syntax),
    Malformed(Malformed),
    /// The code's own words, for a refusal without any.
    Refused(Option<ResponseCode>),
}

/// "2 messages (320 octets)".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Contents {
    pub(crate) messages: usize,
    pub(crate) octets: u64,
}

impl Contents {
    pub(crate) fn of(maildrop: &Maildrop) -> Self {
        Contents {
            messages: maildrop.len(),
            octets: maildrop.octets(),
        }
    }
}

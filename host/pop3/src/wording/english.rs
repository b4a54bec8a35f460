//! English.

use std::fmt::{self, Display};

use super::phrase::{Contents, Phrase};
use crate::code::ResponseCode;

pub(super) fn word(phrase: &Phrase, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    out.write_str(match *phrase {
        Phrase::SendPass => "send PASS",
        Phrase::BeginTls => "begin TLS negotiation",
        Phrase::CapabilitiesFollow => "capability list follows",
        Phrase::MechanismsFollow => "mechanism list follows",
        Phrase::LanguagesFollow => "language listing follows",
        Phrase::LanguageChosen => "English it is",
        Phrase::Utf8Begins => "UTF-8 from here on",
        Phrase::SigningOff => "signing off",
        Phrase::SignedOff(0) => "signing off (maildrop empty)",
        Phrase::SignedOff(1) => "signing off (1 message left)",
        Phrase::SignedOff(left) => return write!(out, "signing off ({left} messages left)"),
        Phrase::Contents(contents) => return counted(contents, out),
        Phrase::MaildropHas(contents) => {
            out.write_str("maildrop has ")?;
            return counted(contents, out);
        }
        Phrase::Octets(octets) => return write!(out, "{octets} octets"),
        Phrase::TopFollows => "top of message follows",
        Phrase::UniqueIdsFollow => "unique-id listing follows",
        Phrase::MessageDeleted(message) => return write!(out, "message {message} deleted"),
        Phrase::NothingDone => "nothing done",

        Phrase::NoMessage(no_message) => return no_message.fmt(out),
        Phrase::LogInFirst => "log in first",
        Phrase::OnlyBeforeLogin => "only before login",
        Phrase::UserFirst => "USER has to come first",
        Phrase::TlsIsActive => "TLS is active already",
        Phrase::TlsNotOffered => "TLS is not offered",
        Phrase::StlsFirst => "no plaintext login without TLS: use STLS first",
        Phrase::NoPlaintextLogin => "no plaintext login on this port",
        Phrase::NoMechanism => "no mechanism is offered",
        Phrase::UnknownMechanism => "unknown mechanism",
        Phrase::MechanismNotOffered => "this mechanism is not offered here",
        Phrase::NotOffered => "not offered here",
        Phrase::UnknownLanguage => "this language is not spoken here",
        Phrase::TooManyBadCommands => "too many bad commands, closing",
        Phrase::Syntax(syntax) => return syntax.fmt(out),
        Phrase::Malformed(malformed) => return malformed.fmt(out),
        Phrase::Refused(None) => "refused",
        Phrase::Refused(Some(code)) => match code {
            ResponseCode::LoginDelay => "logged in too recently, try again later",
            ResponseCode::InUse => "maildrop is in use by another session",
            ResponseCode::SysTemp => "temporary failure, try again later",
            ResponseCode::SysPerm => "failure, ask your administrator",
            ResponseCode::Auth => "authentication failed",
            ResponseCode::Utf8 => "UTF8 is required",
        },
    })
}

fn counted(Contents { messages, octets }: Contents, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    let plural = if messages == 1 { "" } else { "s" };
    write!(out, "{messages} message{plural} ({octets} octets)")
}

#[cfg(test)]
mod tests {
    use crate::wording::{Contents, Phrase, Voice};

    #[test]
    fn one_message_is_no_messages() {
        let contents = |messages| {
            let octets = 7;
            let phrase = Phrase::Contents(Contents { messages, octets });
            Voice::default().say(phrase).to_string()
        };
        assert_eq!(
            [0, 1, 2].map(contents),
            [
                "0 messages (7 octets)",
                "1 message (7 octets)",
                "2 messages (7 octets)"
            ]
        );
    }
}

//! The human part of replies: what is said, in which language (RFC 6856 section
//! 3), in which letters. What is said when is decided elsewhere; what programs
//! read (status, codes, numbers, listings) never comes from here.

mod english;
mod french;
mod german;
mod language;
mod phrase;
mod voice;

pub use language::Language;
pub(crate) use phrase::{Contents, Phrase};
pub(crate) use voice::Voice;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::voice::Worded;
    use super::*;
    use crate::code::ResponseCode;
    use crate::maildrop::{Listing, Maildrop, NoMessage, Number};
    use crate::syntax::{Malformed, Syntax};

    fn contents(messages: usize) -> Contents {
        Contents {
            messages,
            octets: 320,
        }
    }

    /// Every phrase, with every kind of argument.
    fn phrases() -> Vec<Phrase> {
        let listing = Listing::new([("a", 1)]).unwrap();
        let maildrop = Maildrop::new(Arc::new(listing));
        let message = maildrop.message(Number(1)).unwrap();
        let mut phrases = vec![
            Phrase::SendPass,
            Phrase::BeginTls,
            Phrase::CapabilitiesFollow,
            Phrase::MechanismsFollow,
            Phrase::LanguagesFollow,
            Phrase::LanguageChosen,
            Phrase::Utf8Begins,
            Phrase::SigningOff,
            Phrase::Octets(u64::MAX),
            Phrase::TopFollows,
            Phrase::UniqueIdsFollow,
            Phrase::MessageDeleted(message),
            Phrase::NothingDone,
            Phrase::NoMessage(NoMessage::Deleted(message)),
            Phrase::LogInFirst,
            Phrase::OnlyBeforeLogin,
            Phrase::UserFirst,
            Phrase::TlsIsActive,
            Phrase::TlsNotOffered,
            Phrase::StlsFirst,
            Phrase::NoPlaintextLogin,
            Phrase::NoMechanism,
            Phrase::UnknownMechanism,
            Phrase::MechanismNotOffered,
            Phrase::NotOffered,
            Phrase::UnknownLanguage,
            Phrase::TooManyBadCommands,
        ];
        for messages in [0, 1, 2, usize::MAX] {
            phrases.extend([
                Phrase::SignedOff(messages),
                Phrase::Contents(contents(messages)),
                Phrase::MaildropHas(contents(messages)),
                Phrase::NoMessage(NoMessage::OnlyThereAre(messages)),
            ]);
        }
        phrases.extend(
            [
                Syntax::TooLong,
                Syntax::ControlCharacter,
                Syntax::UnknownKeyword,
                Syntax::UnexpectedArgument,
                Syntax::MissingArgument,
                Syntax::NotANumber,
                Syntax::UserName,
                Syntax::Password,
                Syntax::Digest,
                Syntax::LanguageRange,
            ]
            .map(Phrase::Syntax),
        );
        phrases.extend(
            [
                Malformed::Base64,
                Malformed::Message,
                Malformed::InitialResponse,
                Malformed::Cancelled,
            ]
            .map(Phrase::Malformed),
        );
        phrases.push(Phrase::Refused(None));
        phrases.extend(ResponseCode::ALL.map(|code| Phrase::Refused(Some(code))));
        phrases
    }

    #[test]
    fn every_phrase_is_a_legal_text_in_every_language() {
        for language in Language::ALL {
            for phrase in phrases() {
                for utf8 in [false, true] {
                    let voice = Voice { language, utf8 };
                    let text = voice.say(phrase).to_string();
                    assert!(!text.is_empty() && !text.starts_with(['[', ' ']), "{text}");
                    assert!(!text.chars().any(char::is_control), "{text}");
                    assert!(utf8 || text.is_ascii(), "{text}");
                    assert!(!text.contains('?'), "{text}: a letter is missing");
                    // "-ERR [LOGIN-DELAY] " and the line end have room beside it.
                    assert!(text.len() <= 200, "{text}");
                }
            }
        }
    }

    #[test]
    fn no_language_speaks_another() {
        for phrase in phrases() {
            let said = Language::ALL.map(|language| Worded(language, phrase).to_string());
            for (index, text) in said.iter().enumerate() {
                assert!(!said[..index].contains(text), "{phrase:?}: {text}");
            }
        }
    }

    #[test]
    fn letters_follow_utf8() {
        let said = |utf8| {
            let voice = Voice {
                language: Language::French,
                utf8,
            };
            (
                voice.listing(Language::French).to_string(),
                voice
                    .say(Phrase::Refused(Some(ResponseCode::Auth)))
                    .to_string(),
            )
        };
        assert_eq!(said(true).0, "fr Français");
        assert_eq!(said(false).0, "fr Francais");
        assert!(said(true).1.contains("échoué") && said(false).1.contains("echoue"));
    }

    #[test]
    fn ranges_find_their_language() {
        for (range, language) in [
            ("en", Some(Language::English)),
            ("DE", Some(Language::German)),
            ("de-CH", Some(Language::German)),
            ("fr-Latn-CA-x-y", Some(Language::French)),
            ("mul", None),
            ("deu", None),
            ("d", None),
            ("x-de", None),
            ("*", None),
            ("", None),
        ] {
            assert_eq!(Language::matching(range), language, "{range}");
        }
    }
}

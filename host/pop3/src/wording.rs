//! The human part of replies: what is said, in which language (RFC 6856 section
//! 3), in which letters. What is said when is decided elsewhere; what programs
//! read (status, codes, numbers, listings) never comes from here.

mod english;
mod french;
mod german;

use std::fmt::{self, Write};

use crate::command::Syntax;
use crate::maildrop::{Maildrop, MessageNumber, NoMessage};
use crate::reply::ResponseCode;
use crate::sasl::Malformed;

/// A language in which replies can be worded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Language {
    /// "en".
    #[default]
    English,
    /// "de".
    German,
    /// "fr".
    French,
}

impl Language {
    /// All of them, in the order of the language listing.
    pub const ALL: [Language; 3] = [Language::English, Language::German, Language::French];

    /// The language tag (RFC 5646).
    pub fn tag(self) -> &'static str {
        match self {
            Language::English => "en",
            Language::German => "de",
            Language::French => "fr",
        }
    }

    /// The language's name in itself.
    fn name(self) -> &'static str {
        match self {
            Language::English => "English",
            Language::German => "Deutsch",
            Language::French => "Français",
        }
    }

    /// The language for a basic language range in any case: what lies behind its
    /// last hyphen is dropped until there is one (RFC 4647 section 3.4).
    pub fn matching(range: &str) -> Option<Self> {
        let mut range = range;
        loop {
            let is = |language: &Language| language.tag().eq_ignore_ascii_case(range);
            let language = Language::ALL.into_iter().find(is);
            match range.rsplit_once('-') {
                Some((wider, _)) if language.is_none() => range = wider,
                _ => return language,
            }
        }
    }
}

/// How a session speaks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Voice {
    pub(crate) language: Language,
    /// The client said UTF8. Without it every letter is ASCII (RFC 6856 section
    /// 2.1), which is UTF-8 as well.
    pub(crate) utf8: bool,
}

impl Voice {
    /// The phrase, ready to be written.
    pub(crate) fn say(self, phrase: Phrase) -> impl fmt::Display {
        Said {
            voice: self,
            phrase,
        }
    }

    /// A line of the language listing, without its end: "de Deutsch".
    pub(crate) fn listing(self, language: Language) -> impl fmt::Display {
        let letters = move |text: &'static str| Letters {
            utf8: self.utf8,
            text,
        };
        fmt::from_fn(move |out| write!(out, "{} {}", language.tag(), letters(language.name())))
    }
}

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

/// A phrase in its language, with every letter the language has.
struct Worded(Language, Phrase);

impl fmt::Display for Worded {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Worded(language, phrase) = self;
        match language {
            Language::English => english::word(phrase, out),
            Language::German => german::word(phrase, out),
            Language::French => french::word(phrase, out),
        }
    }
}

struct Said {
    voice: Voice,
    phrase: Phrase,
}

impl fmt::Display for Said {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Said {
            voice: Voice { language, utf8 },
            phrase,
        } = self;
        let text = Worded(*language, *phrase);
        Letters { utf8: *utf8, text }.fmt(out)
    }
}

/// A text in the letters that the client takes.
struct Letters<T> {
    utf8: bool,
    text: T,
}

impl<T: fmt::Display> fmt::Display for Letters<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.utf8 {
            return self.text.fmt(out);
        }
        write!(InAscii(out), "{}", self.text)
    }
}

/// Writes German and French in ASCII, as people do who lack the keys.
struct InAscii<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl Write for InAscii<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|char| self.write_char(char))
    }

    fn write_char(&mut self, char: char) -> fmt::Result {
        self.0.write_str(match char {
            'ä' => "ae",
            'ö' => "oe",
            'ü' => "ue",
            'Ä' => "Ae",
            'Ö' => "Oe",
            'Ü' => "Ue",
            'ß' => "ss",
            'à' | 'â' => "a",
            'ç' => "c",
            'é' | 'è' | 'ê' | 'ë' => "e",
            'É' | 'È' => "E",
            'î' | 'ï' => "i",
            'ô' => "o",
            'ù' | 'û' => "u",
            '’' => "'",
            '\u{a0}' => " ",
            char if char.is_ascii() => return self.0.write_char(char),
            _ => "?",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use crate::maildrop::Listing;

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
        let message = maildrop.message(crate::command::Number(1)).unwrap();
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

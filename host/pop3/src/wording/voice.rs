//! A phrase in a language, in the letters that the client takes.

use std::fmt::{self, Write};

use super::language::Language;
use super::phrase::Phrase;
use super::{english, french, german};

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
        Phrasing {
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

/// A phrase in its language, with every letter the language has.
pub(super) struct Worded(pub(super) Language, pub(super) Phrase);

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

struct Phrasing {
    voice: Voice,
    phrase: Phrase,
}

impl fmt::Display for Phrasing {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Phrasing {
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

//! The languages, by their tags and their own names.

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
    pub(super) fn name(self) -> &'static str {
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

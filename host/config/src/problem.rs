//! What is wrong with a configuration, as a person wants to read it: what,
//! where, and how to mend it.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::path::{Path, PathBuf};

use restante_pop3::without_url_secrets;

/// Characters of a value that a message repeats; the rest is "…".
const SHOWN_CHARACTERS: usize = 80;

/// Everything that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

/// One thing that is wrong (or, as a warning, odd).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The configuration file, or one that it includes.
    pub file: PathBuf,
    /// Where in it; none where the file as a whole is meant.
    pub place: Option<Place>,
    /// What is wrong. It may repeat a value; what goes out is [`Problem::what`].
    pub what: String,
    /// What to do about it; likewise.
    pub mend: Option<String>,
}

/// A place in a text. Lines and columns count from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Which file it is: 0 for the main one, else one that it includes.
    pub file: usize,
    /// The line.
    pub line: usize,
    /// The character in it.
    pub column: usize,
}

impl Problem {
    /// A problem of a file as a whole.
    pub(super) fn of_file(file: &Path, what: String, mend: &str) -> Self {
        Problem {
            file: file.to_owned(),
            place: None,
            what,
            mend: Some(mend.to_owned()),
        }
    }

    /// What is wrong, as it may be shown: whoever's words it is (a value of the
    /// file, a plugin's about its settings), secrets in URLs are hidden.
    pub fn what(&self) -> Cow<'_, str> {
        without_url_secrets(&self.what)
    }

    /// What to do about it, likewise.
    pub fn mend(&self) -> Option<Cow<'_, str>> {
        self.mend.as_deref().map(without_url_secrets)
    }

    /// As a log line.
    pub fn one_line(&self) -> String {
        self.to_string().replace("\n  ", "; ")
    }
}

/// A text's lines, to say where an octet of it stands.
pub(super) struct Lines<'t> {
    text: &'t str,
    /// Where each line begins, in octets.
    starts: Vec<usize>,
}

impl<'t> Lines<'t> {
    pub(super) fn of(text: &'t str) -> Self {
        let behind_line_feeds = text.match_indices('\n').map(|(offset, _)| offset + 1);
        Lines {
            text,
            starts: std::iter::once(0).chain(behind_line_feeds).collect(),
        }
    }

    /// How long the text is.
    pub(super) fn octets(&self) -> usize {
        self.text.len()
    }

    /// The place of the octet at `offset`; an offset beyond the text is its end.
    pub(super) fn place(&self, offset: usize) -> Place {
        let mut end = offset.min(self.text.len());
        while !self.text.is_char_boundary(end) {
            end -= 1;
        }
        // The first line begins at 0, so at least one begins at or before `end`.
        let line = self.starts.partition_point(|start| *start <= end);
        let start = self.starts[line - 1];
        Place {
            file: 0,
            line,
            column: self.text[start..end].chars().count() + 1,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.file.display())?;
        if let Some(Place { line, column, .. }) = self.place {
            write!(out, ":{line}:{column}")?;
        }
        write!(out, ": {}", self.what())?;
        if let Some(mend) = self.mend() {
            write!(out, "\n  {mend}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                writeln!(out)?;
            }
            write!(out, "{problem}")?;
        }
        Ok(())
    }
}

impl Error for Problems {}

/// A word of the file as a message shows it: in backquotes, control characters
/// escaped, secrets in URLs hidden, not endless.
pub(super) fn quoted(word: impl AsRef<str>) -> String {
    // Before it is cut: half a URL would not be known as one.
    let word = without_url_secrets(word.as_ref());
    let mut shown = String::from("`");
    for (index, character) in word.chars().enumerate() {
        if index == SHOWN_CHARACTERS {
            shown.push('…');
            break;
        }
        if character.is_control() {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown.push('`');
    shown
}

/// A path, likewise.
pub(super) fn quoted_path(path: &Path) -> String {
    quoted(path.to_string_lossy())
}

/// The one of `known` that `word` was probably meant to be.
pub(super) fn closest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let plain = |text: &str| text.to_lowercase().replace('_', "-");
    let word = plain(word);
    let letters = word.chars().count();
    // A third of the letters may differ; more is another word.
    let near = |distance: usize, candidate: &str| distance * 3 <= candidate.chars().count().max(3);
    known
        .iter()
        // So many differ at least. To say how many takes time and memory for every
        // letter of one with every letter of the other.
        .filter(|candidate| near(letters.abs_diff(candidate.chars().count()), candidate))
        .map(|candidate| {
            (
                strsim::damerau_levenshtein(&word, &plain(candidate)),
                *candidate,
            )
        })
        .filter(|(distance, candidate)| near(*distance, candidate))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// "did you mean" where something is close, else everything there is.
pub(super) fn suggest(word: &str, known: &[&str]) -> String {
    match closest(word, known) {
        Some(candidate) => format!("did you mean `{candidate}`?"),
        None => format!("known here: {}", list(known)),
    }
}

/// "`a`, `b`, `c`"
pub(super) fn list(words: &[&str]) -> String {
    let words: Vec<String> = words.iter().map(quoted).collect();
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_meant_when_a_third_of_it_differs_at_most() {
        let known = ["certificate", "key", "autologout"];
        for (word, meant) in [
            ("certifcate", Some("certificate")),
            ("Certificate", Some("certificate")),
            ("certificates.pe", None),
            ("certificatexxx", Some("certificate")),
            ("ke", Some("key")),
            ("keys", Some("key")),
            ("k", None),
            ("keyss", None),
            ("auto_logout", Some("autologout")),
            ("", None),
        ] {
            assert_eq!(closest(word, &known), meant, "{word}");
        }
    }

    #[test]
    fn secrets_in_urls_are_not_shown() {
        let long = format!(
            "https://ada:{}hunter2@idp.example/",
            "x".repeat(SHOWN_CHARACTERS - 15)
        );
        assert_eq!(quoted(&long), "`https://***@idp.example/`");
        let what = format!("the plugin says: \"{long}?token=hunter2\" cannot be reached");
        let problem = Problem::of_file(Path::new("x.toml"), what, "write no https://hunter2@h/");
        assert_eq!(
            problem.to_string(),
            "x.toml: the plugin says: \"https://***@idp.example/?token=***\" cannot be reached\n  write no https://***@h/"
        );
        assert!(!problem.one_line().contains("hunter2"));
    }

    /// Letter by letter against "autologout" this took minutes and gigabytes.
    #[test]
    fn an_endless_word_is_not_compared_letter_by_letter() {
        let endless = "x".repeat(16 * 1024 * 1024);
        assert_eq!(closest(&endless, &["autologout"]), None);
    }
}

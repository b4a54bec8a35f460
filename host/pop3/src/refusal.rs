//! Negative answers in the words of whoever gives them. Nothing here knows what
//! they are given to.

use std::fmt::{self, Display};

use crate::code::ResponseCode;
use crate::text::{MAX_LINE_OCTETS, clean};
use crate::wording::{Phrase, Voice};

/// A negative answer: a code, and a text for the human behind the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    code: Option<ResponseCode>,
    text: String,
}

impl Refusal {
    /// Cleans the text, wherever it came from: printable ASCII, anything else
    /// becomes `?`; a leading `[` becomes `(`, since a text that starts with `[`
    /// is read as a code (RFC 2449 section 8); cut so that the whole line keeps
    /// within 512 octets. For an empty one the session puts the code's own words,
    /// in the client's language.
    pub fn new(code: Option<ResponseCode>, text: &str) -> Self {
        let code_octets = code.map_or(0, |code| code.to_string().len() + "[] ".len());
        let room = MAX_LINE_OCTETS - "-ERR \r\n".len() - code_octets;
        let text = clean(text, room);
        Refusal { code, text }
    }

    /// The code, if there is one.
    pub fn code(&self) -> Option<ResponseCode> {
        self.code
    }

    /// The text as it goes out, or nothing where the code's own words do.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The whole of it behind "-ERR ", in the client's language where it has no
    /// text of its own.
    pub(crate) fn said(&self, voice: Voice) -> impl Display {
        fmt::from_fn(move |out| {
            if let Some(code) = self.code {
                write!(out, "[{code}] ")?;
            }
            if self.text.is_empty() {
                voice.say(Phrase::Refused(self.code)).fmt(out)
            } else {
                out.write_str(&self.text)
            }
        })
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.said(Voice::default()).fmt(out)
    }
}

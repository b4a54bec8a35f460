//! A header field to look for.

use restante_guest::header::{Field, is_name};

/// `Name: value`, the value perhaps with `*` at its end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Pattern {
    name: String,
    /// In lower case, one space between words, as [`Field`] has it.
    value: String,
    is_prefix: bool,
}

impl Pattern {
    pub(crate) fn parse(text: &str) -> Result<Pattern, &'static str> {
        let (name, value) = text.split_once(':').ok_or("is not \"Name: value\"")?;
        let name = name.trim();
        if !is_name(name) {
            return Err("has no header field's name before the \":\"");
        }
        let value = value.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
        let (value, is_prefix) = match value.strip_suffix('*') {
            Some(prefix) => (prefix, true),
            None => (value.as_str(), false),
        };
        Ok(Pattern {
            name: name.to_owned(),
            value: value.to_lowercase(),
            is_prefix,
        })
    }

    pub(crate) fn matches(&self, field: &Field<'_>) -> bool {
        if !field.is(&self.name) {
            return false;
        }
        let value = field.value.to_lowercase();
        if self.is_prefix {
            value.starts_with(&self.value)
        } else {
            value == self.value
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use restante_guest::header::fields;

    fn matches(pattern: &str, header: &str) -> bool {
        let pattern = Pattern::parse(pattern).unwrap();
        fields(header.as_bytes()).any(|field| pattern.matches(&field))
    }

    #[test]
    fn name_and_value_are_compared_in_any_case_and_trimmed() {
        assert!(matches("X-Spam-Flag: YES", "x-spam-flag:  yes \r\n"));
        assert!(matches("x-spam-flag:yes", "X-Spam-Flag: YES\n"));
        assert!(matches("Subject: GRÜSSE", "Subject: grüsse\n"));
        assert!(!matches("X-Spam-Flag: YES", "X-Spam-Flag: YES, really\n"));
        assert!(!matches("X-Spam-Flag: YES", "X-Spam-Flag: NO\n"));
        assert!(!matches(
            "X-Spam-Flag: YES",
            "X-Spam: YES\nX-Spam-Flagg: YES\n"
        ));
    }

    #[test]
    fn folding_does_not_hide_a_value() {
        assert!(matches("X-Spam: very  bad", "X-Spam: very\r\n\tbad\r\n"));
    }

    #[test]
    fn a_star_at_the_end_stands_for_anything() {
        assert!(matches("X-Spam-Level: ***", "X-Spam-Level: ****\n"));
        assert!(!matches("X-Spam-Level: ***", "X-Spam-Level: *\n"));
        assert!(matches("List-Id: *", "List-Id:\n"));
        assert!(!matches("List-Id:", "List-Id: x\n"));
        assert!(matches("List-Id:", "List-Id:\n"));
    }

    #[test]
    fn what_is_no_field_is_refused() {
        for text in ["X-Spam-Flag", ": YES", "X Spam: YES", "Größe: 1", ""] {
            assert!(Pattern::parse(text).is_err(), "{text}");
        }
    }
}

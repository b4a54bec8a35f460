//! Hides messages with the header field of the setting `header`, "Name: value", or
//! shows them with the field of the setting `annotate` in front.

use restante_guest::filter::Verdict;
use restante_guest::header;
use restante_guest::prelude::*;

struct Marked;

impl Filter for Marked {
    fn screen(_: Account, message: &Message<'_>) -> Result<Verdict, Failure> {
        let wanted = settings::get("header").unwrap_or_default();
        let Some((name, value)) = field(&wanted) else {
            // `validate` has refused such settings.
            return Err(Failure::permanent("the filter is not configured"));
        };
        let section = message.header()?;
        let marked = header::fields(&section)
            .any(|field| field.is(name) && field.value.eq_ignore_ascii_case(value));
        Ok(match (marked, settings::get("annotate")) {
            (false, _) => Verdict::Show,
            (true, None) => Verdict::Hide,
            (true, Some(line)) => Verdict::Annotate(vec![line]),
        })
    }
}

impl Validate for Marked {
    fn validate() -> Result<(), Vec<String>> {
        let mut problems = Vec::new();
        match settings::get("header") {
            None => problems.push("header: is missing; give \"Name: value\"".to_owned()),
            Some(line) if field(&line).is_none() => {
                problems.push("header: is not \"Name: value\"".to_owned());
            }
            Some(_) => (),
        }
        if settings::get("annotate").is_some_and(|line| field(&line).is_none()) {
            problems.push("annotate: is not \"Name: value\"".to_owned());
        }
        match problems.is_empty() {
            true => Ok(()),
            false => Err(problems),
        }
    }
}

/// Name and value of a header field on one line.
fn field(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split_once(':')?;
    let printable = value.bytes().all(|octet| (b' '..=b'~').contains(&octet));
    let value = value.trim();
    (header::is_name(name) && printable && !value.is_empty()).then_some((name, value))
}

export! { filter: Marked, settings: Marked }

restante_guest::describe_settings! {
    "header": "messages with this header field are marked: \"Name: value\"",
    "annotate": "show marked messages with this field in front; they are hidden if it is not set",
}

#[cfg(test)]
mod tests {
    use super::*;
    use restante_guest::testing::{SampleMessage, set_settings};

    fn screen(text: &str) -> Verdict {
        let message = SampleMessage::new("uid-1", 0, text);
        Marked::screen(Account::new("alice"), &Message::from(&message)).expect("a verdict")
    }

    const SPAM: &str = "Subject: x\nx-spam-flag:\n yes\n\nbody\n";
    const BODY: &str = "Subject: x\n\nX-Spam-Flag: YES\n";

    #[test]
    fn what_is_marked_is_hidden() {
        set_settings([("header", "X-Spam-Flag: YES")]);
        assert_eq!(Marked::validate(), Ok(()));
        assert_eq!(screen(SPAM), Verdict::Hide);
        assert_eq!(screen(BODY), Verdict::Show);
    }

    #[test]
    fn or_it_is_annotated() {
        set_settings([("header", "X-Spam-Flag: YES"), ("annotate", "X-Notice: spam")]);
        let verdict = Verdict::Annotate(vec!["X-Notice: spam".to_owned()]);
        assert_eq!(screen(SPAM), verdict);
        assert_eq!(screen(BODY), Verdict::Show);
    }

    #[test]
    fn settings_that_cannot_be_are_named() {
        set_settings([("header", "X-Spam-Flag"), ("annotate", "X: a\r\nY: b")]);
        let problems = Marked::validate().expect_err("both are broken");
        assert_eq!(problems.len(), 2, "{problems:?}");
    }
}

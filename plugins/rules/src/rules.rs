//! The settings as rules, and what they say of messages.

use restante_guest::filter::Verdict;
use restante_guest::header::{self, is_name};
use restante_guest::prelude::*;
use restante_guest::selector::Span;

use crate::pattern::Pattern;

/// Octets of the longest header field that is put in front (RFC 5322 section
/// 2.1.1, less the line end).
const FIELD_OCTETS: usize = 998;
/// The longest time that `days` may name: a hundred years.
const DAYS: u64 = 36_525;
const SECONDS_A_DAY: u64 = 86_400;

/// What the settings ask for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Rules {
    hide: Vec<Pattern>,
    annotations: Vec<String>,
    annotate_when: Vec<Pattern>,
    newest: Option<u32>,
    days: Option<u64>,
    max_octets: Option<u64>,
}

impl Rules {
    /// Reads the settings; the problems name their keys.
    pub(crate) fn parse(settings: &[(String, String)]) -> Result<Rules, Vec<String>> {
        let mut rules = Rules::default();
        let mut problems = Vec::new();
        for (key, value) in settings {
            let taken = match key.as_str() {
                "hide-header" => patterns(value).map(|patterns| rules.hide = patterns),
                "annotate-header" => annotations(value).map(|fields| rules.annotations = fields),
                "annotate-when" => patterns(value).map(|patterns| rules.annotate_when = patterns),
                "newest" => number(value, 0, u32::MAX.into())
                    .map(|count| rules.newest = u32::try_from(count).ok()),
                "days" => number(value, 1, DAYS).map(|days| rules.days = Some(days)),
                "max-octets" => {
                    number(value, 0, u64::MAX).map(|octets| rules.max_octets = Some(octets))
                }
                _ => Err(vec![
                    "unknown setting; there are hide-header, annotate-header, annotate-when, \
                     newest, days and max-octets"
                        .to_owned(),
                ]),
            };
            if let Err(wrong) = taken {
                problems.extend(wrong.into_iter().map(|wrong| format!("{key}: {wrong}")));
            }
        }
        let given = |wanted: &str| settings.iter().any(|(key, _)| key == wanted);
        if given("annotate-when") && !given("annotate-header") {
            problems.push("annotate-when: needs annotate-header beside it".to_owned());
        }
        if problems.is_empty() {
            Ok(rules)
        } else {
            Err(problems)
        }
    }

    /// The filter. The header is fetched only if a rule needs it.
    pub(crate) fn screen(&self, message: &Message<'_>) -> Result<Verdict, Failure> {
        let mut hide = false;
        let mut annotate = !self.annotations.is_empty() && self.annotate_when.is_empty();
        if !self.hide.is_empty() || !self.annotate_when.is_empty() {
            for field in header::fields(&message.header()?) {
                hide |= self.hide.iter().any(|pattern| pattern.matches(&field));
                annotate |= self
                    .annotate_when
                    .iter()
                    .any(|pattern| pattern.matches(&field));
            }
        }
        Ok(if hide {
            Verdict::Hide
        } else if annotate {
            Verdict::Annotate(self.annotations.clone())
        } else {
            Verdict::Show
        })
    }

    /// The selector: every rule hides, none shows again. `now` is in seconds
    /// since the Unix epoch.
    pub(crate) fn select(&self, view: &View<'_>, now: u64) -> Positions {
        let mut hidden = Positions::none();
        if let Some(newest) = self.newest {
            hidden = hidden.union(Positions::from(Span {
                start: 0,
                length: view.count().saturating_sub(newest),
            }));
        }
        if let Some(days) = self.days {
            let since = now.saturating_sub(days * SECONDS_A_DAY);
            // Of 0 it is not known when it came: shown.
            let is_old = |received: u64| received != 0 && received < since;
            hidden = hidden.union(where_so(view.received(), is_old));
        }
        if let Some(most) = self.max_octets {
            hidden = hidden.union(where_so(view.octets(), |octets| octets > most));
        }
        hidden
    }
}

/// The positions of a column's values that are so.
fn where_so(column: impl Iterator<Item = u64>, is_so: impl Fn(u64) -> bool) -> Positions {
    (0..)
        .zip(column)
        .filter(|(_, value)| is_so(*value))
        .map(|(position, _)| position)
        .collect()
}

/// The values of an array; blank ones are none.
fn several(value: &str) -> impl Iterator<Item = &str> {
    value.lines().map(str::trim).filter(|line| !line.is_empty())
}

fn patterns(value: &str) -> Result<Vec<Pattern>, Vec<String>> {
    sort_out(several(value).map(|text| {
        Pattern::parse(text).map_err(|problem| format!("{} {problem}", text.escape_debug()))
    }))
}

fn annotations(value: &str) -> Result<Vec<String>, Vec<String>> {
    sort_out(several(value).map(|text| {
        annotation(text).map_err(|problem| format!("{} {problem}", text.escape_debug()))
    }))
}

/// A field as it is put in front. No octet above 0x7F: a client that did not
/// say UTF8 must not get one (RFC 6856 section 2).
fn annotation(text: &str) -> Result<String, &'static str> {
    let (name, value) = text.split_once(':').ok_or("is not \"Name: value\"")?;
    if !is_name(name) {
        return Err("has no header field's name before the \":\"");
    }
    if !value
        .bytes()
        .all(|octet| octet == b'\t' || (b' '..=b'~').contains(&octet))
    {
        return Err("has a value that is not printable US-ASCII");
    }
    let field = format!("{name}: {}", value.trim());
    if field.len() > FIELD_OCTETS {
        return Err("is too long for a header field");
    }
    Ok(field)
}

fn number(value: &str, least: u64, most: u64) -> Result<u64, Vec<String>> {
    value
        .trim()
        .parse()
        .ok()
        .filter(|number| (least..=most).contains(number))
        .ok_or_else(|| vec![format!("must be a whole number from {least} to {most}")])
}

/// All values, or else all problems.
fn sort_out<T>(results: impl Iterator<Item = Result<T, String>>) -> Result<Vec<T>, Vec<String>> {
    let mut values = Vec::new();
    let mut problems = Vec::new();
    for result in results {
        match result {
            Ok(value) => values.push(value),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() {
        Ok(values)
    } else {
        Err(problems)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use restante_guest::testing::SampleMessage;

    const NOW: u64 = 1_800_000_000;

    fn rules(settings: &[(&str, &str)]) -> Result<Rules, Vec<String>> {
        let settings: Vec<(String, String)> = settings
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        Rules::parse(&settings)
    }

    fn screen(settings: &[(&str, &str)], text: &[u8]) -> Verdict {
        let sample = SampleMessage::new("1", 0, text);
        rules(settings)
            .unwrap()
            .screen(&Message::from(&sample))
            .unwrap()
    }

    /// Hidden positions, of messages given by their age in days and octets.
    fn select(settings: &[(&str, &str)], messages: &[(Option<u64>, usize)]) -> Vec<u32> {
        let samples: Vec<SampleMessage> = messages
            .iter()
            .map(|(age, octets)| {
                let received = age.map_or(0, |days| NOW - days * SECONDS_A_DAY);
                SampleMessage::new("1", received, format!("{}\r\n", "x".repeat(octets - 2)))
            })
            .collect();
        let hidden = rules(settings)
            .unwrap()
            .select(&View::from(&samples[..]), NOW);
        hidden
            .spans()
            .iter()
            .flat_map(|span| span.start..span.start + span.length)
            .collect()
    }

    #[test]
    fn without_settings_everything_is_shown() {
        assert_eq!(screen(&[], b"X-Spam-Flag: YES\n\n"), Verdict::Show);
        assert_eq!(select(&[], &[(Some(900), 1_000_000), (None, 2)]), []);
    }

    #[test]
    fn spam_is_hidden_by_any_of_several_headers() {
        let settings = [("hide-header", "X-Spam-Flag: YES\nX-Spam-Level: *****\n")];
        assert_eq!(
            screen(&settings, b"a: b\nx-spam-flag: yes\n\nhi"),
            Verdict::Hide
        );
        assert_eq!(
            screen(&settings, b"X-Spam-Level: ***** (bad)\n"),
            Verdict::Hide
        );
        assert_eq!(
            screen(&settings, b"X-Spam-Level:\n *****\n\n"),
            Verdict::Hide
        );
        assert_eq!(
            screen(&settings, b"a: b\n\nX-Spam-Flag: YES\n"),
            Verdict::Show
        );
        assert_eq!(screen(&settings, b""), Verdict::Show);
        assert_eq!(
            screen(&settings, b"\xff\x00\n\xff: \xfe\n : :\n\n"),
            Verdict::Show
        );
    }

    #[test]
    fn what_is_shown_is_annotated() {
        let seen = Verdict::Annotate(vec!["X-Restante: seen".into(), "X-Two: 2".into()]);
        let settings = [("annotate-header", "X-Restante:seen\nX-Two: 2 ")];
        assert_eq!(screen(&settings, b"a: b\n\n"), seen);
        let settings = [
            settings[0],
            ("annotate-when", "From: boss@*"),
            ("hide-header", "X-Spam: *"),
        ];
        assert_eq!(screen(&settings, b"From: Boss@example.org\n\n"), seen);
        assert_eq!(
            screen(&settings, b"From: clerk@example.org\n\n"),
            Verdict::Show
        );
        assert_eq!(
            screen(&settings, b"From: boss@example.org\nX-Spam: 1\n\n"),
            Verdict::Hide
        );
    }

    #[test]
    fn the_newest_are_the_last() {
        let three = [(None, 2); 3];
        assert_eq!(select(&[("newest", "2")], &three), [0]);
        assert_eq!(select(&[("newest", "3")], &three), []);
        assert_eq!(select(&[("newest", "1000")], &three), []);
        assert_eq!(select(&[("newest", "0")], &three), [0, 1, 2]);
        assert_eq!(select(&[("newest", "0")], &[]), []);
    }

    #[test]
    fn old_messages_are_hidden_and_undated_ones_are_not() {
        let messages = [(Some(31), 2), (None, 2), (Some(30), 2), (Some(0), 2)];
        assert_eq!(select(&[("days", "30")], &messages), [0]);
        assert_eq!(select(&[("days", "36525")], &messages), []);
    }

    #[test]
    fn octets_are_those_that_list_shows() {
        let messages = [(None, 100), (None, 101), (None, 3), (None, 102)];
        assert_eq!(select(&[("max-octets", "100")], &messages), [1, 3]);
    }

    #[test]
    fn rules_add_up_over_more_than_one_piece_of_the_columns() {
        let messages: Vec<(Option<u64>, usize)> = (0..9000)
            .map(|n| (Some(9000 - n), if n % 3 == 0 { 50 } else { 10 }))
            .collect();
        let settings = [("newest", "5000"), ("days", "4100"), ("max-octets", "20")];
        let expected: Vec<u32> = (0..9000)
            .filter(|n| *n < 4000 || 9000 - n > 4100 || n % 3 == 0)
            .collect();
        assert_eq!(select(&settings, &messages), expected);
    }

    #[test]
    fn every_bad_setting_is_named() {
        let problems = rules(&[
            ("hide-header", "X-Spam-Flag\nX-Good: 1\n: x"),
            ("annotate-header", "X-Größe: 1\nX-Size: große"),
            ("annotate-when", ""),
            ("newest", "-1"),
            ("days", "0"),
            ("max-octets", "20MiB"),
            ("max-octet", "1"),
        ])
        .unwrap_err();
        let keys: Vec<&str> = problems
            .iter()
            .map(|problem| problem.split_once(": ").unwrap().0)
            .collect();
        assert_eq!(
            keys,
            [
                "hide-header",
                "hide-header",
                "annotate-header",
                "annotate-header",
                "newest",
                "days",
                "max-octets",
                "max-octet"
            ]
        );
        let alone = rules(&[("annotate-when", "A: b")]).unwrap_err();
        assert_eq!(alone, ["annotate-when: needs annotate-header beside it"]);
    }

    #[test]
    fn an_annotation_is_one_line_of_a_bounded_length() {
        assert!(annotation("X: a\rb").is_err());
        assert!(annotation("X: a\0").is_err());
        assert!(annotation(&format!("X: {}", "a".repeat(FIELD_OCTETS - 3))).is_ok());
        assert!(annotation(&format!("X: {}", "a".repeat(FIELD_OCTETS - 2))).is_err());
    }
}

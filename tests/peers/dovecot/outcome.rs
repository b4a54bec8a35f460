//! What came of a step, and how two outcomes differ: in words, for the list.

use std::collections::BTreeSet;
use std::fmt;

use super::wire::Answer;

/// A line that was sent, or another moment to look, and what came of it.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) sent: String,
    pub(crate) outcome: Outcome,
}

/// What came of a step.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The answer to a line.
    Answer(Answer),
    /// The connection had been closed, and a new one gave this answer.
    Anew(Answer),
    /// What was seen where there is no answer.
    Seen(String),
}

/// Two outcomes of the same line in words, or none when they are the same.
pub(crate) fn differ(sent: &str, ours: &Outcome, dovecots: &Outcome) -> Option<(String, String)> {
    if ours == dovecots {
        return None;
    }
    let (Some(ours_has), Some(dovecots_has)) = (ours.set(sent), dovecots.set(sent)) else {
        return Some((ours.to_string(), dovecots.to_string()));
    };
    let more = |this: &BTreeSet<String>, other: &BTreeSet<String>| {
        let more: Vec<&str> = this.difference(other).map(String::as_str).collect();
        match more[..] {
            [] => "+OK".to_owned(),
            _ => format!("+OK with {}", more.join(", ")),
        }
    };
    let words = (
        ours.with_prefix(&more(&ours_has, &dovecots_has)),
        dovecots.with_prefix(&more(&dovecots_has, &ours_has)),
    );
    (words.0 != words.1).then_some(words)
}

impl Outcome {
    /// The lines of an answer that are in no order: capabilities and mechanisms.
    fn set(&self, sent: &str) -> Option<BTreeSet<String>> {
        let keyword = sent.split_whitespace().next()?.to_ascii_uppercase();
        match self {
            Outcome::Answer(Answer::Said { lines, .. })
            | Outcome::Anew(Answer::Said { lines, .. })
                if keyword == "CAPA" || keyword == "AUTH" =>
            {
                let lines = lines.as_ref()?.iter();
                Some(lines.map(|line| without_version(line).to_owned()).collect())
            }
            _ => None,
        }
    }

    fn with_prefix(&self, words: &str) -> String {
        match self {
            Outcome::Anew(_) => format!("closed; anew: {words}"),
            Outcome::Answer(_) | Outcome::Seen(_) => words.to_owned(),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.with_prefix(&match self {
            Outcome::Answer(answer) | Outcome::Anew(answer) => words(answer),
            Outcome::Seen(words) => words.clone(),
        }))
    }
}

fn words(answer: &Answer) -> String {
    match answer {
        Answer::Said {
            status,
            lines: None,
        } => status.clone(),
        Answer::Said {
            status,
            lines: Some(lines),
        } => {
            let lines = lines.iter().map(|line| format!(" / {line}"));
            format!("{status}{} / .", lines.collect::<String>())
        }
        Answer::Challenge(challenge) => format!("+ {challenge}"),
        Answer::Closed => "closed".to_owned(),
        Answer::Silence => "no answer".to_owned(),
        Answer::Noise(noise) => format!("no answer of POP3: {noise}"),
    }
}

/// IMPLEMENTATION tells a version, which every release changes.
fn without_version(line: &str) -> &str {
    match line.split_once(' ') {
        Some((tag @ "IMPLEMENTATION", _)) => tag,
        _ => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(lines: &[&str]) -> Answer {
        Answer::Said {
            status: "+OK".into(),
            lines: Some(lines.iter().map(|&line| line.into()).collect()),
        }
    }

    #[test]
    fn capabilities_have_no_order_and_listings_have() {
        let (one, other) = (said(&["TOP", "UIDL"]), said(&["UIDL", "TOP"]));
        let (one, other) = (Outcome::Answer(one), Outcome::Answer(other));
        assert_eq!(differ("CAPA", &one, &other), None);
        assert!(differ("RETR 1", &one, &other).is_some());
        let more = Outcome::Answer(said(&["TOP", "UIDL", "IMPLEMENTATION x-1"]));
        let words = ("+OK".to_owned(), "+OK with IMPLEMENTATION".to_owned());
        assert_eq!(differ("CAPA", &one, &more), Some(words));
    }

    #[test]
    fn a_new_connection_is_a_difference() {
        let refused = || Answer::Said {
            status: "-ERR".into(),
            lines: None,
        };
        let (one, other) = (Outcome::Answer(refused()), Outcome::Anew(refused()));
        let words = ("-ERR".to_owned(), "closed; anew: -ERR".to_owned());
        assert_eq!(differ("NOOP", &one, &other), Some(words));
    }
}

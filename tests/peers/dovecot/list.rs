//! The list of differences: what is committed, what was found, and the page that
//! is made of it.
//!
//! - `reasons.toml`, by hand: who is right, and by which sentence.
//! - `differences.toml`: each step of each dialogue in which the two servers
//!   differ, and its reason. Written anew with [`BLESS`]; a difference that was
//!   never seen before gets the reason [`UNJUDGED`] there, and fails the test
//!   until somebody has judged it.
//! - `docs/dovecot-differences.md`, made of the two.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use restante_tests::repository;
use serde::{Deserialize, Serialize};

use crate::dialogue::LeftOut;

/// The variable that asks for the files to be written instead of compared.
const BLESS: &str = "RESTANTE_BLESS";
/// The reason of a difference that nobody has judged yet.
const UNJUDGED: &str = "unjudged";
/// Columns of a cell in the page, beyond which it is cut.
const CELL: usize = 72;

/// A step in which the two servers differ.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Difference {
    pub(crate) dialogue: String,
    /// Counted from the greeting, which is 0.
    pub(crate) step: usize,
    pub(crate) client: String,
    pub(crate) ours: String,
    pub(crate) dovecot: String,
    /// Of `reasons.toml`.
    #[serde(default)]
    pub(crate) reason: String,
}

impl Difference {
    /// What was judged: the same in another dialogue is judged alike.
    fn words(&self) -> (&str, &str, &str) {
        (&self.client, &self.ours, &self.dovecot)
    }

    /// What was found, without its reason.
    fn found(&self) -> (&str, usize, (&str, &str, &str)) {
        (&self.dialogue, self.step, self.words())
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Differences {
    #[serde(default)]
    difference: Vec<Difference>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Reasons {
    reason: Vec<Reason>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Reason {
    id: String,
    verdict: Verdict,
    title: String,
    /// The document and its section.
    rfc: Option<String>,
    /// A few words of it.
    quote: Option<String>,
    why: String,
}

/// Who is right. There is no verdict for Dovecot: where it is, ours is mended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Verdict {
    /// The RFC makes ours right.
    Ours,
    /// The RFC allows both.
    Either,
    /// No difference of its own: the two are in different states since an
    /// earlier step of the dialogue.
    Follows,
}

impl Verdict {
    const ALL: [(Verdict, &'static str); 3] = [
        (Verdict::Ours, "Where the RFC makes Restante right"),
        (Verdict::Either, "Where the RFC allows both"),
        (Verdict::Follows, "What follows from these"),
    ];
}

/// Compares what was found with what is committed, or writes it.
pub(crate) fn settle(
    played: usize,
    left_out: &BTreeMap<LeftOut, Vec<String>>,
    mut found: Vec<Difference>,
) {
    let listed = listed();
    let reasons = reasons();
    let blessing = std::env::var_os(BLESS).is_some_and(|value| value == "1");
    found.sort();
    judge(&mut found, &listed);
    if blessing {
        let text = toml::to_string(&Differences {
            difference: found.clone(),
        });
        fs::write(list_path(), text.unwrap()).unwrap();
    }
    let mut wrong = Vec::new();
    if !blessing {
        wrong.extend(changes(&found, &listed));
    }
    wrong.extend(unreasoned(&found, &reasons));

    let page = page(played, left_out, &found, &reasons);
    if blessing {
        fs::write(page_path(), &page).unwrap();
    } else if fs::read_to_string(page_path()).unwrap_or_default() != page {
        wrong.push("docs/dovecot-differences.md is not what the list makes".to_owned());
    }
    assert!(
        wrong.is_empty(),
        "\n{}\n\nIf Dovecot is right, fix Restante. Otherwise {BLESS}=1 writes the list and the page again; give every \
         `{UNJUDGED}` its reason in tests/peers/dovecot.",
        wrong.join("\n")
    );
}

/// Gives each difference the reason that it had, or that the same words have
/// wherever else they are listed.
fn judge(found: &mut [Difference], listed: &[Difference]) {
    for difference in found {
        let same = listed
            .iter()
            .find(|known| known.found() == difference.found());
        let alike = || -> BTreeSet<&str> {
            let known = listed
                .iter()
                .filter(|known| known.words() == difference.words());
            known.map(|known| known.reason.as_str()).collect()
        };
        difference.reason = match same {
            Some(known) => known.reason.clone(),
            None => match alike().iter().collect::<Vec<_>>()[..] {
                [only] => (*only).to_string(),
                _ => UNJUDGED.to_owned(),
            },
        };
    }
}

/// What is found and not listed, and what is listed and gone.
fn changes(found: &[Difference], listed: &[Difference]) -> Vec<String> {
    let lacks = |these: &[Difference], those: &[Difference], words: &str| -> Vec<String> {
        these
            .iter()
            .filter(|one| !those.iter().any(|other| other.found() == one.found()))
            .map(|one| {
                format!(
                    "{words}: {} {}, {:?}: ours {:?}, Dovecot's {:?}",
                    one.dialogue, one.step, one.client, one.ours, one.dovecot
                )
            })
            .collect()
    };
    let mut changes = lacks(found, listed, "not in the list");
    changes.extend(lacks(listed, found, "gone, but in the list"));
    changes
}

/// Differences without a reason, and reasons without a difference.
fn unreasoned(found: &[Difference], reasons: &[Reason]) -> Vec<String> {
    let ids: BTreeSet<&str> = reasons.iter().map(|reason| reason.id.as_str()).collect();
    let mut wrong: Vec<String> = found
        .iter()
        .filter(|difference| !ids.contains(&difference.reason[..]))
        .map(|difference| {
            format!(
                "{} {} has the reason {:?}, which is not in reasons.toml",
                difference.dialogue, difference.step, difference.reason
            )
        })
        .collect();
    assert_eq!(ids.len(), reasons.len(), "a reason's id is there twice");
    for reason in reasons {
        if !found
            .iter()
            .any(|difference| difference.reason == reason.id)
        {
            wrong.push(format!("no difference has the reason {:?}", reason.id));
        }
        let sentence = reason.rfc.is_some() && reason.quote.is_some();
        if reason.verdict == Verdict::Ours && !sentence {
            wrong.push(format!("reason {:?} names no sentence", reason.id));
        }
    }
    wrong
}

fn page(
    played: usize,
    left_out: &BTreeMap<LeftOut, Vec<String>>,
    found: &[Difference],
    reasons: &[Reason],
) -> String {
    let mut page = format!(
        "# Side by side with Dovecot\n\n\
         Made by tests/peers/dovecot.rs, which fails when this page is no longer true; `RESTANTE_BLESS=1` writes it again.\n\n\
         {played} of the dialogues in host/pop3/tests/dialogues are played against Restante and against Debian's Dovecot \
         {SERIES} (dovecot-pop3d) on the same Maildir: the same octets to both, over TCP, STLS or TLS as the dialogue says. \
         For each line of the client, the test compares the status indicator, the response code, data (drop listing, scan and \
         unique-id listing, capabilities in any order, challenges) and the octets of messages. It also compares whether the \
         connection is closed, and what is in the Maildir afterwards. Text for people is not compared. Dovecot is set up as \
         much like Restante as possible: passwd-file, PLAIN and LOGIN, no delays, unique-ids from file names.\n\n\
         If Dovecot closes the connection before the end of a dialogue, and no message is marked, the dialogue goes on with a \
         new connection: \"closed; anew:\".\n",
        SERIES = super::SERIES,
    );
    for (verdict, title) in Verdict::ALL {
        let _ = write!(page, "\n## {title}\n");
        for reason in reasons.iter().filter(|reason| reason.verdict == verdict) {
            describe(&mut page, reason, found);
        }
    }
    let _ = write!(page, "\n## Left out\n\n| dialogues | why |\n|---|---|\n");
    for (why, names) in left_out {
        let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
        let _ = writeln!(page, "| {}: {} | {why} |", names.len(), names.join(", "));
    }
    page
}

fn describe(page: &mut String, reason: &Reason, found: &[Difference]) {
    let _ = write!(page, "\n### {}\n\n{}\n", reason.title, reason.why.trim());
    match (&reason.rfc, &reason.quote) {
        (Some(rfc), Some(quote)) => {
            let _ = write!(page, "\n> {quote} ({rfc})\n");
        }
        (Some(rfc), None) => {
            let _ = write!(page, "\nSee {rfc}.\n");
        }
        _ => {}
    }
    let mut rows: BTreeMap<(&str, &str, &str), Vec<String>> = BTreeMap::new();
    for difference in found {
        if difference.reason == reason.id {
            let place = format!("{} {}", difference.dialogue, difference.step);
            rows.entry(difference.words()).or_default().push(place);
        }
    }
    page.push_str("\n| client | Restante | Dovecot | dialogue, step |\n|---|---|---|---|\n");
    for ((client, ours, dovecot), places) in rows {
        let _ = writeln!(
            page,
            "| {} | {} | {} | {} |",
            cell(client),
            cell(ours),
            cell(dovecot),
            places.join(", ")
        );
    }
}

/// Code in a table.
fn cell(text: &str) -> String {
    let mut shown: String = text.chars().take(CELL).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    let shown = shown.replace('|', "\\|");
    match shown.contains('`') {
        _ if shown.is_empty() => "(an empty line)".to_owned(),
        true => format!("`` {shown} ``"),
        false => format!("`{shown}`"),
    }
}

fn listed() -> Vec<Difference> {
    let text = fs::read_to_string(list_path()).unwrap_or_default();
    let differences: Differences = toml::from_str(&text).unwrap();
    differences.difference
}

fn reasons() -> Vec<Reason> {
    let text = fs::read_to_string(directory().join("reasons.toml")).unwrap();
    let reasons: Reasons = toml::from_str(&text).unwrap();
    reasons.reason
}

fn directory() -> PathBuf {
    repository().join("tests/peers/dovecot")
}

fn list_path() -> PathBuf {
    directory().join("differences.toml")
}

fn page_path() -> PathBuf {
    repository().join("docs/dovecot-differences.md")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn difference(step: usize, ours: &str, reason: &str) -> Difference {
        Difference {
            dialogue: "x".into(),
            step,
            client: "NOOP".into(),
            ours: ours.into(),
            dovecot: "-ERR".into(),
            reason: reason.into(),
        }
    }

    #[test]
    fn what_changes_is_said() {
        let listed = [difference(1, "+OK", "a"), difference(2, "+OK", "a")];
        assert!(changes(&listed, &listed).is_empty());
        let new = changes(&listed, &listed[..1]);
        assert_eq!(new.len(), 1);
        assert!(new[0].starts_with("not in the list: x 2"), "{new:?}");
        let gone = changes(&listed[..1], &listed);
        assert!(
            gone[0].starts_with("gone, but in the list: x 2"),
            "{gone:?}"
        );
    }

    #[test]
    fn the_same_words_are_judged_alike_and_others_are_not() {
        let listed = [difference(1, "+OK", "a")];
        let mut found = [difference(7, "+OK", ""), difference(8, "closed", "")];
        judge(&mut found, &listed);
        assert_eq!(found[0].reason, "a");
        assert_eq!(found[1].reason, UNJUDGED);
        let listed = [difference(1, "+OK", "a"), difference(2, "+OK", "b")];
        judge(&mut found, &listed);
        assert_eq!(found[0].reason, UNJUDGED);
    }

    #[test]
    fn every_difference_has_a_reason_and_every_reason_a_difference() {
        let reason = |id: &str, quote: Option<&str>| Reason {
            id: id.into(),
            verdict: Verdict::Ours,
            title: String::new(),
            rfc: Some("RFC 1939 section 3".into()),
            quote: quote.map(str::to_owned),
            why: String::new(),
        };
        let found = [difference(1, "+OK", "a")];
        assert!(unreasoned(&found, &[reason("a", Some("x"))]).is_empty());
        assert_eq!(unreasoned(&found, &[]).len(), 1);
        assert_eq!(unreasoned(&found, &[reason("a", None)]).len(), 1);
        let unused = [reason("a", Some("x")), reason("b", Some("x"))];
        assert_eq!(unreasoned(&found, &unused).len(), 1);
    }
}

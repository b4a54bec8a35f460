//! The catalogue and a run's verdicts, as Markdown.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::catalogue::{Area, Catalogue, Requirement};
use super::sources::Sources;
use super::{PASSED, result};
use crate::tally::Verdicts;

const HEAD: &str = "\
# Conformance

What a POP3 server owes its clients, their mail and its operators, sentence by sentence: where it is asked for, the
tests that show it, and what came of them.

`cargo xtask test` runs every test and fails if one that is named here failed or did not run, or if this table is
not what the run gives. `cargo xtask conformance` runs them and writes the table; the requirements are in
[tests/conformance](../tests/conformance). One test alone: `cargo xtask test NAME`. A name that ends in `.txt` is a
[dialogue](../host/pop3/tests/dialogues/README.md): what both sides say, replayed whole, octet by octet and at every
split in two.

";

/// The whole file.
pub(super) fn render(catalogue: &Catalogue, verdicts: &Verdicts, sources: &Sources) -> String {
    let mut out = HEAD.to_owned();
    let all = catalogue.areas.iter().flat_map(|area| &area.requirements);
    let tests: BTreeSet<&String> = all.clone().flat_map(|row| &row.tests).collect();
    let (asked, held) = (all.clone().count(), passed(all, verdicts));
    line(
        &mut out,
        format_args!(
            "**{asked} requirements, {} tests that show them: {held} passed, {} did not.**\n",
            tests.len(),
            asked - held
        ),
    );
    line(
        &mut out,
        "| area | requirements | passed |\n|---|---:|---:|",
    );
    for Area {
        title,
        requirements,
        ..
    } in &catalogue.areas
    {
        let (asked, held) = (requirements.len(), passed(requirements, verdicts));
        let anchor = anchor(title);
        line(
            &mut out,
            format_args!("| [{title}](#{anchor}) | {asked} | {held} |"),
        );
    }
    for area in &catalogue.areas {
        line(&mut out, format_args!("\n## {}\n", area.title));
        line(
            &mut out,
            "| requirement | source | tests | result |\n|---|---|---|---|",
        );
        for requirement in &area.requirements {
            row(&mut out, requirement, verdicts, sources);
        }
    }
    out
}

fn passed<'a>(
    requirements: impl IntoIterator<Item = &'a Requirement>,
    verdicts: &Verdicts,
) -> usize {
    let passed = |requirement: &&Requirement| result(requirement, verdicts) == PASSED;
    requirements.into_iter().filter(passed).count()
}

fn row(out: &mut String, requirement: &Requirement, verdicts: &Verdicts, sources: &Sources) {
    let cited: Vec<String> = requirement.source.split(", ").map(cited).collect();
    let tests = requirement.tests.iter().map(|test| match sources.of(test) {
        Some(path) => format!("[{}](../{path})", shown(test)),
        None => shown(test),
    });
    let tests: Vec<String> = tests.collect();
    let (text, result) = (&requirement.text, result(requirement, verdicts));
    let (cited, tests) = (cited.join(", "), tests.join("<br>"));
    line(
        out,
        format_args!("| {text} | {cited} | {tests} | {result} |"),
    );
}

fn line(out: &mut String, text: impl std::fmt::Display) {
    writeln!(out, "{text}").expect("a String takes every text");
}

fn shown(test: &str) -> String {
    format!("`{test}`")
}

/// RFC sections and CVE numbers lead to where they are published.
fn cited(source: &str) -> String {
    if source.starts_with("CVE-") {
        return format!("[{source}](https://www.cve.org/CVERecord?id={source})");
    }
    let Some(rfc) = source.strip_prefix("RFC ") else {
        return source.to_owned();
    };
    let (number, section) = rfc.split_once(" §").unwrap_or((rfc, ""));
    let anchor = match section.chars().next() {
        None => String::new(),
        Some(first) if first.is_ascii_digit() => format!("#section-{section}"),
        Some(_) => format!("#appendix-{section}"),
    };
    format!("[{source}](https://www.rfc-editor.org/rfc/rfc{number}{anchor})")
}

/// As the pages that show Markdown make them of headings.
fn anchor(title: &str) -> String {
    title
        .to_lowercase()
        .chars()
        .filter_map(|char| match char {
            ' ' => Some('-'),
            char if char.is_alphanumeric() || char == '-' => Some(char),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_lead_to_where_they_stand() {
        assert_eq!(
            cited("RFC 2595 §4"),
            "[RFC 2595 §4](https://www.rfc-editor.org/rfc/rfc2595#section-4)"
        );
        assert_eq!(
            cited("RFC 4422 §A.2"),
            "[RFC 4422 §A.2](https://www.rfc-editor.org/rfc/rfc4422#appendix-A.2)"
        );
        assert_eq!(
            cited("RFC 3206"),
            "[RFC 3206](https://www.rfc-editor.org/rfc/rfc3206)"
        );
        assert!(cited("CVE-2021-33515").ends_with("?id=CVE-2021-33515)"));
        assert_eq!(cited("practice"), "practice");
    }

    #[test]
    fn headings_are_found() {
        assert_eq!(anchor("STAT, LIST and UIDL"), "stat-list-and-uidl");
        assert_eq!(anchor("UTF8/LANG (RFC 6856)"), "utf8lang-rfc-6856");
    }
}

//! `rules`: what a client sees of a maildrop, by simple rules. A filter and a
//! selector in one component.
//!
//! Settings, all of them optional; an array may stand wherever several are
//! meant:
//!
//! | key | role | meaning |
//! |---|---|---|
//! | `hide-header` | filter | hide messages with one of these header fields |
//! | `annotate-header` | filter | put these header fields in front of what is shown |
//! | `annotate-when` | filter | but only of messages with one of these header fields |
//! | `newest` | selector | show only so many messages, the newest |
//! | `days` | selector | show only what came within so many days |
//! | `max-octets` | selector | show only messages of at most so many octets |
//!
//! A header field to look for is written `Name: value`. Name and value are
//! compared in whichever case, the value unfolded and trimmed; a `*` at its end
//! stands for anything. Nothing that is hidden is ever deleted.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod pattern;
mod rules;

use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

use restante_guest::filter::Verdict;
use restante_guest::prelude::*;

use crate::rules::Rules;

struct Plugin;

restante_guest::export! { filter: Plugin, selector: Plugin, settings: Plugin }

restante_guest::describe_settings! {
    "hide-header": "hide messages with this header field, \"Name: value\"",
    "annotate-header": "put this header field in front of what is shown",
    "annotate-when": "annotate only where a message has this header field",
    "newest": "show only so many messages, the newest",
    "days": "show only what came within so many days",
    "max-octets": "show only messages of at most so many octets",
}

/// Settings hold for the life of an instance, and a filter is asked often.
static RULES: LazyLock<Result<Rules, Vec<String>>> =
    LazyLock::new(|| Rules::parse(&settings::all()));

fn rules() -> Result<&'static Rules, Failure> {
    RULES.as_ref().map_err(|problems| {
        log::error!("{}", problems.join("; "));
        Failure::permanent("the rules for this maildrop are not set up")
    })
}

impl Filter for Plugin {
    fn screen(_: Account, message: &Message<'_>) -> Result<Verdict, Failure> {
        rules()?.screen(message)
    }
}

impl Selector for Plugin {
    fn select(_: Connection, _: Account, view: &View<'_>) -> Result<Positions, Failure> {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        Ok(rules()?.select(view, now))
    }
}

impl Validate for Plugin {
    fn validate() -> Result<(), Vec<String>> {
        Rules::parse(&settings::all()).map(|_| ())
    }
}

//! What the host asks when it loads its configuration: whether the settings are right,
//! and what clients may be offered. The query is tried for a user that does not exist; an
//! answer without rows still has its columns.

use restante_guest::accepts::Kinds;
use restante_guest::database::{Problem, Rows};
use restante_guest::prelude::*;

use crate::columns::{Columns, Known};
use crate::settings::Settings;
use crate::{Verify, ask};

/// RFC 6761: a domain that nobody has.
const USER: &str = "restante-trial@restante.invalid";
/// Hardly the name of a tenant.
const TENANT: &str = "restante.invalid";

fn trial(settings: &Settings) -> Result<Rows, Problem> {
    ask::rows(settings, &settings.case.canonical(USER), TENANT)
}

/// A database that is away is no reason to refuse the plugin: a restart must not depend on
/// it.
pub(crate) fn check(settings: &Settings, verify: &mut Verify<'_>) -> Result<(), Vec<String>> {
    let mut problems = Vec::new();
    if let Err(problem) = settings.stand_in.check(verify) {
        problems.push(format!("scheme: {problem}"));
    }
    match trial(settings) {
        Ok(rows) => {
            if let Err(problem) = Columns::of(&rows) {
                problems.push(format!(
                    "user-query: {}",
                    problem.trim_start_matches("user-query ")
                ));
            }
            if !rows.is_empty() {
                log::warn!(
                    "user-query returns a row for {USER}, a user that does not exist: it may do so for any name"
                );
            }
        }
        Err(problem) if ask::is_of_the_query(&problem) => {
            problems.push(format!("user-query: {}", ask::words(settings, &problem)));
        }
        Err(problem) => log::warn!(
            "{}; user-query is not checked, and SCRAM is offered if it was before: reload when the database is back",
            ask::words(settings, &problem)
        ),
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(problems)
    }
}

/// SCRAM is offered where the query has the columns. That each user has keys is the
/// operator's to see to: there is no query for all of them.
pub(crate) fn kinds(settings: &Settings) -> Kinds {
    let mut kinds = Kinds::PASSWORD;
    // What is wrong, `check` says.
    let columns = trial(settings)
        .ok()
        .and_then(|rows| Columns::of(&rows).ok());
    if let Some(columns) = columns {
        if columns.have(Known::ScramSha256) {
            kinds = kinds | Kinds::SCRAM_SHA256;
        }
        if columns.have(Known::ScramSha1) {
            kinds = kinds | Kinds::SCRAM_SHA1;
        }
    }
    kinds
}

//! `plugin test`: the conformance kit on the command line.

use std::path::PathBuf;

use anyhow::bail;
use restante::kit::{self, CheckResult, Outcome};
use serde::Serialize;

use super::candidate::{Given, password};
use super::print;
use crate::cli::serve::executor;

#[derive(clap::Args)]
pub(in crate::cli) struct Options {
    #[command(flatten)]
    given: Given,
    /// A maildrop for stores to be tried on; copies are granted, it stays as it is [default: a
    /// Maildir of strange messages]
    #[arg(long, value_name = "DIR")]
    maildrop: Option<PathBuf>,
    /// A user whom the authenticator knows
    #[arg(long, value_name = "NAME", requires = "password_file")]
    user: Option<String>,
    /// The file with this user's password in its first line; - for stdin
    #[arg(long, value_name = "FILE", requires = "user")]
    password_file: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report<'a> {
    component: &'a str,
    passed: usize,
    failed: usize,
    skipped: usize,
    checks: &'a [Outcome],
}

pub(super) fn test(options: &Options) -> anyhow::Result<()> {
    executor()?.block_on(examine(options))
}

async fn examine(options: &Options) -> anyhow::Result<()> {
    let user = match (&options.user, &options.password_file) {
        (Some(user), Some(file)) => Some((user.clone(), password(file)?)),
        _ => None,
    };
    let candidate = options.given.ready().await?;
    let maildrops = candidate.maildrops(options.maildrop.as_deref())?;
    let plugin = &candidate.plugin;
    let asked = kit::Candidate {
        authenticator: plugin.authenticator(candidate.accepts).ok(),
        store: plugin.store().ok(),
        filter: plugin.filter().ok(),
        selector: plugin.selector().ok(),
        admission: plugin.admission().ok(),
        user,
        maildrops,
    };
    let json = options.json;
    let mut role = "";
    let take_log = || candidate.log.take();
    let outcomes = kit::examine(&asked, &take_log, &mut |outcome: &Outcome| {
        if json {
            return;
        }
        if role != outcome.role {
            role = outcome.role;
            print(role);
        }
        print(&line(outcome));
    })
    .await;
    let count = |wanted: fn(&CheckResult) -> bool| {
        outcomes
            .iter()
            .filter(|outcome| wanted(&outcome.result))
            .count()
    };
    let report = Report {
        component: &options.given.component,
        passed: count(|result| matches!(result, CheckResult::Passed)),
        failed: count(|result| matches!(result, CheckResult::Failed { .. })),
        skipped: count(|result| matches!(result, CheckResult::Skipped { .. })),
        checks: &outcomes,
    };
    if json {
        print(&serde_json::to_string_pretty(&report)?);
    } else {
        print(&format!(
            "{} passed, {} failed, {} skipped",
            report.passed, report.failed, report.skipped
        ));
    }
    match report.failed {
        0 => Ok(()),
        1 => bail!("{}: a rule is broken", report.component),
        rules => bail!("{}: {rules} rules are broken", report.component),
    }
}

fn line(outcome: &Outcome) -> String {
    let Outcome {
        check,
        rule,
        result,
        milliseconds,
        log,
        ..
    } = outcome;
    match result {
        CheckResult::Passed => format!("  ok      {check} ({milliseconds} ms)"),
        CheckResult::Skipped { why } => format!("  skipped {check}: {why}"),
        CheckResult::Failed { sent, got } => {
            let mut text = format!(
                "  FAILED  {check}\n          sent  {sent}\n          got   {got}\n          rule  {rule}"
            );
            for line in log {
                text.push_str("\n          log   ");
                text.push_str(line);
            }
            text
        }
    }
}

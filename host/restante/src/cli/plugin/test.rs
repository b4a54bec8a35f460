//! `plugin test`: the conformance kit on the command line.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail};
use restante_config::Config;
use restante_conformance as kit;
use restante_conformance::{CheckResult, MaildropSource, Outcome};
use serde::Serialize;

use super::candidate::{Candidate, Given, Lines, Listings, Stage, password};
use crate::cli::print::print;
use crate::cli::serve::executor;

#[derive(clap::Args)]
pub(in crate::cli) struct Options {
    #[command(flatten)]
    given: Given,
    /// A user that the authenticator knows
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
    let (stage, candidate) = options.given.ready(Listings::Forgotten).await?;
    let maildrops = stage.maildrops(&candidate, options.given.maildrop.as_deref())?;
    // Told here once, and not by each check.
    if let (Some(given), Ok(_)) = (&options.given.maildrop, candidate.plugin.store()) {
        let copy = maildrops.fresh().await;
        let copy =
            copy.with_context(|| format!("--maildrop {}: it cannot be copied", given.display()))?;
        maildrops.discard(&copy);
    }
    let outcomes = ask(&stage, &candidate, maildrops, user, !options.json).await;
    let report = Report::of(&options.given.component, &outcomes);
    if options.json {
        print(&serde_json::to_string_pretty(&report)?)?;
    } else {
        print(&report.counts())?;
    }
    match report.failed {
        0 => Ok(()),
        1 => bail!("{}: a rule is broken", report.component),
        rules => bail!("{}: {rules} rules are broken", report.component),
    }
}

/// `restante check --deep`: every plugin of a configuration, as it is configured
/// there, but for the maildrop, which is the kit's own: a directory, or in an engine in memory
/// where the configuration has it in an engine. Whether all rules are kept.
pub(in crate::cli) async fn deep(config: &Config, log: Lines) -> anyhow::Result<bool> {
    let stage = Stage::begin(config, log, Listings::Forgotten).await?;
    let mut failed = 0;
    for section in &config.plugins {
        print(&format!("[plugin.{}] {}", section.name, section.component))?;
        let candidate = stage.ready(section).await?;
        let maildrops = stage.maildrops(&candidate, None)?;
        let outcomes = ask(&stage, &candidate, maildrops, None, true).await;
        let report = Report::of(&section.name, &outcomes);
        print(&report.counts())?;
        failed += report.failed;
    }
    Ok(failed == 0)
}

async fn ask(
    stage: &Stage,
    candidate: &Candidate,
    maildrops: Arc<dyn MaildropSource>,
    user: Option<(String, String)>,
    aloud: bool,
) -> Vec<Outcome> {
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
    let mut role = "";
    let take_log = || stage.log.take();
    kit::examine(&asked, &take_log, &mut |outcome: &Outcome| {
        if !aloud {
            return;
        }
        if role != outcome.role {
            role = outcome.role;
            // What cannot be written is found out with the counts at the end.
            let _ = print(role);
        }
        let _ = print(&line(outcome));
    })
    .await
}

impl<'a> Report<'a> {
    fn of(component: &'a str, checks: &'a [Outcome]) -> Self {
        let count = |wanted: fn(&CheckResult) -> bool| {
            let results = checks.iter().map(|outcome| &outcome.result);
            results.filter(|result| wanted(result)).count()
        };
        Report {
            component,
            passed: count(|result| matches!(result, CheckResult::Passed)),
            failed: count(|result| matches!(result, CheckResult::Failed { .. })),
            skipped: count(|result| matches!(result, CheckResult::Skipped { .. })),
            checks,
        }
    }

    fn counts(&self) -> String {
        let Report {
            passed,
            failed,
            skipped,
            ..
        } = self;
        format!("{passed} passed, {failed} failed, {skipped} skipped")
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

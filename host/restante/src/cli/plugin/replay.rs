//! `plugin replay`: the calls of recorded sessions, asked of another build.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use restante_config as config;
use restante_roles::recording::{Answered, Call, PluginLine, Recording};
use restante_wasm::{Comparison, Plugin, Replayed};
use serde::Serialize;
use serde_json::Value;

use super::candidate::{Given, Listings, Stage, warn};
use crate::cli::print::print;
use crate::cli::serve::executor;
use crate::cli::table::counted;

/// Characters of a question or an answer that are shown.
const SHOWN: usize = 400;
/// Notes that are shown of one call.
const NOTES: usize = 3;

#[derive(clap::Args)]
pub(in crate::cli) struct Options {
    /// A file that `serve --record` wrote, or a directory of them
    recording: PathBuf,
    #[command(flatten)]
    given: Given,
    /// Repeat only the calls of this plugin, by its name in the configuration, or of this role:
    /// authenticator, store, filter, selector, admission [default: all roles of the component]
    #[arg(long, value_name = "NAME")]
    plugin: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize, Default)]
struct Report {
    component: String,
    sessions: Vec<SessionReport>,
    calls: usize,
    same: usize,
    different: usize,
    not_compared: usize,
}

#[derive(Serialize)]
struct SessionReport {
    file: String,
    session: String,
    tenant: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    cut: Option<String>,
    /// Plugins of the recording, and the settings of theirs that were replaced.
    plugins: Vec<PluginReport>,
    calls: Vec<CallReport>,
}

#[derive(Serialize)]
struct PluginReport {
    plugin: String,
    digest: String,
    redacted_settings: Vec<String>,
}

#[derive(Serialize)]
struct CallReport {
    plugin: String,
    call: String,
    asked: Value,
    then: Answered,
    now: Option<Answered>,
    result: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unasked: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    left_out: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    log: Vec<String>,
}

pub(super) fn run(options: &Options) -> anyhow::Result<()> {
    executor()?.block_on(replay(options))
}

async fn replay(options: &Options) -> anyhow::Result<()> {
    let files = files(&options.recording)?;
    let mut recordings = Vec::with_capacity(files.len());
    for file in files {
        let recording = Recording::read(&file);
        let recording = recording.with_context(|| file.display().to_string())?;
        recordings.push((file, recording));
    }
    let (stage, section) = options.given.section(Listings::Remembered).await?;
    let roles = roles_of(&stage, &section).await?;
    let mut report = Report {
        component: options.given.component.clone(),
        ..Report::default()
    };
    for (file, recording) in &recordings {
        let session = Session {
            options,
            stage: &stage,
            section: &section,
            roles: &roles,
            recording,
        };
        let of_session = session.replay(file).await?;
        report.add(of_session);
    }
    if report.calls == 0 {
        bail!("{}", nothing(options, &recordings));
    }
    match options.json {
        true => print(&serde_json::to_string_pretty(&report)?)?,
        false => print(&report.text())?,
    }
    match report.different {
        0 => Ok(()),
        1 => bail!("{}: one call is answered differently", report.component),
        calls => bail!(
            "{}: {calls} calls are answered differently",
            report.component
        ),
    }
}

/// The roles that the component exports.
async fn roles_of(stage: &Stage, section: &config::Plugin) -> anyhow::Result<Vec<&'static str>> {
    let plugin = stage.load(section).await?;
    warn(&section.component.to_string(), &plugin);
    let accepts = restante_roles::backend::Accepts::PASSWORD;
    let all = [
        ("authenticator", plugin.authenticator(accepts).is_ok()),
        ("store", plugin.store().is_ok()),
        ("filter", plugin.filter().is_ok()),
        ("selector", plugin.selector().is_ok()),
        ("admission", plugin.admission().is_ok()),
    ];
    let has = all.into_iter().filter(|(_, has)| *has);
    Ok(has.map(|(role, _)| role).collect())
}

fn files(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let shown = || path.display().to_string();
    if !fs::metadata(path).with_context(shown)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path).with_context(shown)? {
        let path = entry.with_context(shown)?.path();
        if path.extension().is_some_and(|ending| ending == "jsonl") {
            files.push(path);
        }
    }
    files.sort();
    ensure!(
        !files.is_empty(),
        "{}: no recording is in this directory (files that end with .jsonl)",
        shown()
    );
    Ok(files)
}

/// Why there was nothing to ask.
fn nothing(options: &Options, recordings: &[(PathBuf, Recording)]) -> String {
    let mut known = BTreeSet::new();
    for (_, recording) in recordings {
        for call in &recording.calls {
            let role = Plugin::role_of(call).map_or("", |role| role.name());
            known.insert(format!("{} ({role})", call.plugin));
        }
    }
    let known: Vec<String> = known.into_iter().collect();
    let known = match known.as_slice() {
        [] => "it has no calls".to_owned(),
        known => format!("it has calls of {}", known.join(", ")),
    };
    let shown = options.recording.display();
    match &options.plugin {
        Some(name) => format!("{shown}: no call is of --plugin {name}; {known}"),
        None => format!(
            "{shown}: no call is of a role that {} has; {known}",
            options.given.component
        ),
    }
}

struct Session<'a> {
    options: &'a Options,
    stage: &'a Stage,
    section: &'a config::Plugin,
    roles: &'a [&'static str],
    recording: &'a Recording,
}

impl Session<'_> {
    async fn replay(&self, file: &Path) -> anyhow::Result<SessionReport> {
        let header = &self.recording.header;
        let mut report = SessionReport {
            file: file.display().to_string(),
            session: header.session.clone(),
            tenant: header.tenant.clone(),
            cut: self.recording.cut.clone(),
            plugins: Vec::new(),
            calls: Vec::new(),
        };
        for of in &self.recording.plugins {
            let calls: Vec<&Call> = (self.recording.calls.iter())
                .filter(|call| call.plugin == of.plugin && self.wants(call))
                .collect();
            // A plugin that was reloaded has a line for each build.
            let seen = report.plugins.iter().any(|seen| seen.plugin == of.plugin);
            if calls.is_empty() || seen {
                continue;
            }
            report.plugins.push(PluginReport {
                plugin: of.plugin.clone(),
                digest: of.digest.clone(),
                redacted_settings: of.redacted.clone(),
            });
            let plugin = self.stage.load(&self.section_of(of)).await?;
            self.ask(&plugin, &calls, &mut report).await?;
        }
        Ok(report)
    }

    async fn ask(
        &self,
        plugin: &Arc<Plugin>,
        calls: &[&Call],
        report: &mut SessionReport,
    ) -> anyhow::Result<()> {
        let _ = self.stage.log.take();
        let scratch = self.stage.folder()?;
        let begun = self.recording.header.begun;
        let replayed = plugin.replay(calls, begun, &scratch).await;
        // What cannot be removed goes with the stage.
        let _ = fs::remove_dir_all(&scratch);
        let log = self.stage.log.take();
        for replayed in replayed {
            if let Some(call) = calls.get(replayed.position) {
                report.calls.push(CallReport::of(call, replayed));
            }
        }
        let differs = report.calls.iter_mut().rev();
        if let Some(last) = differs.into_iter().find(|call| call.result == "different") {
            last.log = log;
        }
        Ok(())
    }

    fn wants(&self, call: &Call) -> bool {
        let role = Plugin::role_of(call).map(|role| role.name());
        match &self.options.plugin {
            Some(name) if call.plugin == *name => true,
            Some(name) => role == Some(name.as_str()),
            None => role.is_some_and(|role| self.roles.contains(&role)),
        }
    }

    /// The component with the settings that were recorded; those of the command
    /// line count more.
    fn section_of(&self, of: &PluginLine) -> config::Plugin {
        let mut section = self.section.clone();
        for (key, value) in &of.settings {
            if !section.settings.iter().any(|(known, _)| known == key) {
                section.settings.push((key.clone(), value.clone()));
            }
        }
        section
    }
}

impl CallReport {
    fn of(call: &Call, replayed: Replayed) -> CallReport {
        let (result, why) = match replayed.comparison {
            Comparison::Same => ("same", None),
            Comparison::Different => ("different", None),
            Comparison::NotCompared(why) => ("not-compared", Some(why)),
        };
        CallReport {
            plugin: call.plugin.clone(),
            call: call.call.clone(),
            asked: call.asked.clone(),
            then: call.answered.clone(),
            now: replayed.now,
            result,
            why,
            unasked: replayed.unasked,
            left_out: replayed.left_out,
            log: Vec::new(),
        }
    }

    fn text(&self, out: &mut Vec<String>) {
        match (self.result, &self.why) {
            ("same", _) if self.unasked.is_empty() => return,
            ("same", _) => out.push(format!(
                "  same answer, other calls of the host  {} of {}",
                self.call, self.plugin
            )),
            ("different", _) => {
                out.push(format!("  DIFFERENT  {} of {}", self.call, self.plugin));
                out.push(format!(
                    "    asked  {}",
                    shown(&without_connection(&self.asked))
                ));
                out.push(format!("    then   {}", answer(Some(&self.then))));
                out.push(format!("    now    {}", answer(self.now.as_ref())));
            }
            (_, why) => out.push(format!(
                "  not compared  {} of {}: {}",
                self.call,
                self.plugin,
                why.as_deref().unwrap_or_default()
            )),
        }
        for (words, notes) in [
            ("the recording has no answer to", &self.unasked),
            ("the recording leaves out", &self.left_out),
        ] {
            for note in notes.iter().take(NOTES) {
                out.push(format!("    {words} {note}"));
            }
        }
        for line in &self.log {
            out.push(format!("    log    {line}"));
        }
    }
}

fn without_connection(asked: &Value) -> Value {
    let mut asked = asked.clone();
    if let Some(fields) = asked.as_object_mut() {
        fields.remove("connection");
    }
    asked
}

fn answer(answer: Option<&Answered>) -> String {
    match answer {
        Some(Answered::Answered(value)) => shown(value),
        Some(Answered::Failed(why)) => format!("failed: {why}"),
        None => "not asked".to_owned(),
    }
}

fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

impl Report {
    fn add(&mut self, session: SessionReport) {
        for call in &session.calls {
            self.calls += 1;
            match call.result {
                "same" => self.same += 1,
                "different" => self.different += 1,
                _ => self.not_compared += 1,
            }
        }
        self.sessions.push(session);
    }

    fn text(&self) -> String {
        let mut out = Vec::new();
        for session in &self.sessions {
            let mut lines = Vec::new();
            for of in &session.plugins {
                if !of.redacted_settings.is_empty() {
                    lines.push(format!(
                        "  settings of {} that are replaced in the recording: {}",
                        of.plugin,
                        of.redacted_settings.join(", ")
                    ));
                }
            }
            if let Some(cut) = &session.cut {
                lines.push(format!("  the recording is not whole: {cut}"));
            }
            session.calls.iter().for_each(|call| call.text(&mut lines));
            let calls = counted(session.calls.len(), "call");
            out.push(format!("session {}: {calls}", session.session));
            out.extend(lines);
        }
        out.push(format!(
            "{}: {} the same, {} different, {} not compared",
            counted(self.calls, "call"),
            self.same,
            self.different,
            self.not_compared
        ));
        out.join("\n")
    }
}

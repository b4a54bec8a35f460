//! `plugin inspect` and `plugin diff`: what a component is, and what a new
//! version of it asks for that the old one did not; nothing is compiled or run
//! for them. `plugin test`: whether it keeps the rules of its roles. `plugin run`:
//! what it answers to one question. `plugin new`: a project to begin with.

mod bench;
mod candidate;
mod dev;
mod engine_maildrops;
mod memory_engine;
mod new;
mod replay;
mod run;
mod test;

pub(super) use candidate::{Lines, password};
pub(super) use test::deep;

use std::fmt::Write as _;
use std::path::PathBuf;

use crate::cli::print::print;
use anyhow::{Context, anyhow, bail};
use restante_config::ComponentSource;
use restante_config::signature::PublicKey;
use restante_wasm::{
    Difference, Differences, Import, Inspection, Need, inspect, read_signature, signature_path,
};
use serde::Serialize;

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Create a project for a plugin, with a working example, its test and its build
    New(new::Options),
    /// Show a component's roles, its imports with the grants that they need, and its signature;
    /// exit status 1 if this version of restante would refuse it
    Inspect {
        /// A component's file, or builtin:NAME
        component: String,
        /// Check the signature beside the file with this minisign public key; may be repeated
        #[arg(long = "key", value_name = "RW…")]
        keys: Vec<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Check each role of a component against its rules, without a mail client; exit status 1 if
    /// a rule is broken
    Test(test::Options),
    /// Call a component once, and show its answer, its time and memory, and its log
    Run(run::Options),
    /// Repeat the calls of a recorded session, and show the answers that differ; exit status 1 if
    /// there are any
    Replay(replay::Options),
    /// Build a plugin's project on every change, and serve mail with it on this machine
    Dev(dev::Options),
    /// Measure what a component costs, beside the built-in plugin of the same role
    Bench(bench::Options),
    /// Show the differences between two versions of a component: exports, imports, grants that
    /// they need, settings
    Diff {
        /// The old version: a component's file, or builtin:NAME
        old: String,
        /// The new version: a component's file, or builtin:NAME
        new: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::New(options) => new::new(&options),
        Command::Inspect {
            component,
            keys,
            json,
        } => show(&component, &keys, json),
        Command::Test(options) => test::test(&options),
        Command::Run(options) => run::run(&options),
        Command::Replay(options) => replay::run(&options),
        Command::Dev(options) => dev::run(&options),
        Command::Bench(options) => bench::run(&options),
        Command::Diff { old, new, json } => diff(&old, &new, json),
    }
}

fn show(component: &str, keys: &[String], json: bool) -> anyhow::Result<()> {
    let keys = keys
        .iter()
        .map(|text| {
            PublicKey::parse(text).ok_or_else(|| {
                anyhow!("{text:?} is not a minisign public key: give the second line of minisign.pub, 56 characters that begin with RW")
            })
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    let (inspection, octets) = look_at(component)?;
    let report = Report {
        component,
        signature: signature(component, &octets, &keys),
        inspection: &inspection,
    };
    print(&match json {
        true => serde_json::to_string_pretty(&report)?,
        false => report.text(),
    })?;
    let wrong = match &report.signature {
        Signature::Wrong { reason } => Some(reason.clone()),
        Signature::None { .. } | Signature::By { verified: None, .. } if !keys.is_empty() => {
            Some("it has no signature by any of the given keys".to_owned())
        }
        _ => None,
    };
    let refused: Vec<&str> = inspection
        .problems
        .iter()
        .chain(&wrong)
        .map(String::as_str)
        .collect();
    match refused.as_slice() {
        [] => Ok(()),
        reasons => bail!("{component} would be refused: {}", reasons.join("; ")),
    }
}

fn look_at(component: &str) -> anyhow::Result<(Inspection, Vec<u8>)> {
    inspect(&source(component)).with_context(|| component.to_owned())
}

fn source(component: &str) -> ComponentSource {
    match component.strip_prefix("builtin:") {
        Some(name) => ComponentSource::Builtin(name.to_owned()),
        None => ComponentSource::Path(PathBuf::from(component)),
    }
}

#[derive(Serialize)]
struct Report<'a> {
    component: &'a str,
    signature: Signature,
    #[serde(flatten)]
    inspection: &'a Inspection,
}

/// The signature beside a file.
#[derive(Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
enum Signature {
    /// It is part of restante.
    BuiltIn,
    /// There is none.
    None { file: PathBuf },
    /// There is one. It was not checked where no key was given that it names.
    By {
        key: String,
        trusted_comment: String,
        /// The key it fits.
        verified: Option<String>,
    },
    /// It is of no use, or does not fit its key.
    Wrong { reason: String },
}

fn signature(component: &str, octets: &[u8], keys: &[PublicKey]) -> Signature {
    let ComponentSource::Path(path) = source(component) else {
        return Signature::BuiltIn;
    };
    let signature = match read_signature(&path) {
        Ok(Some(signature)) => signature,
        Ok(None) => {
            return Signature::None {
                file: signature_path(&path),
            };
        }
        Err(error) => {
            return Signature::Wrong {
                reason: error.to_string(),
            };
        }
    };
    let mut named = keys
        .iter()
        .filter(|key| key.id() == signature.key())
        .peekable();
    let tried = named.peek().is_some();
    let verified = named.find(|key| signature.fits(key, octets));
    if tried && verified.is_none() {
        return Signature::Wrong {
            reason: format!(
                "its signature by the key {} does not fit: the component or the signature was changed",
                signature.key()
            ),
        };
    }
    Signature::By {
        key: signature.key().to_string(),
        trusted_comment: signature.trusted_comment().to_owned(),
        verified: verified.map(|key| key.id().to_string()),
    }
}

impl Signature {
    fn text(&self) -> String {
        match self {
            Signature::BuiltIn => "none needed: it is part of restante".into(),
            Signature::None { file } => format!("none ({} does not exist)", file.display()),
            Signature::By {
                key,
                trusted_comment,
                verified: Some(_),
            } => format!("by the key {key}, it fits: {trusted_comment:?}"),
            Signature::By {
                key,
                trusted_comment,
                verified: None,
            } => format!(
                "says it is by the key {key}: {trusted_comment:?} (not checked: give that key with --key)"
            ),
            Signature::Wrong { reason } => reason.clone(),
        }
    }
}

impl Report<'_> {
    fn text(&self) -> String {
        let of = self.inspection;
        let or_none = |list: &[String]| match list {
            [] => "none".to_owned(),
            list => list.join(", "),
        };
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = writeln!(text, "component  {}", self.component);
        let _ = writeln!(text, "size       {} octets", of.octets);
        let _ = writeln!(text, "sha256     {}", of.sha256);
        let _ = writeln!(text, "signature  {}", self.signature.text());
        let _ = writeln!(
            text,
            "contract   restante:plugin {} (this restante: {})",
            or_none(&of.contract),
            of.contract_here
        );
        let _ = writeln!(text, "roles      {}", or_none(&of.roles));
        for (field, values) in &of.producers {
            let _ = writeln!(text, "{field:<10} {}", values.join(", "));
        }
        if !of.settings.is_empty() {
            text.push_str("settings\n");
            for (key, meaning) in &of.settings {
                let _ = writeln!(text, "  {key:<20} {meaning}");
            }
        }
        text.push_str("imports\n");
        for Import { interface, need } in &of.imports {
            let _ = writeln!(text, "  {:<44} {}", interface.name, need.words());
            if *need == Need::Absent {
                let _ = writeln!(text, "    {}", interface.functions.join(", "));
            }
        }
        text
    }
}

fn diff(old: &str, new: &str, json: bool) -> anyhow::Result<()> {
    let ((before, _), (after, _)) = (look_at(old)?, look_at(new)?);
    let differences = Differences::between(&before, &after);
    if json {
        print(&serde_json::to_string_pretty(&differences)?)?;
        return Ok(());
    }
    let mut text = String::new();
    let _ = writeln!(
        text,
        "size       {} -> {} octets",
        before.octets, after.octets
    );
    let _ = writeln!(text, "sha256     {} -> {}", before.sha256, after.sha256);
    for (title, difference) in [
        ("contract", &differences.contract),
        ("exports", &differences.exports),
        ("imports", &differences.imports),
        ("asks for", &differences.needs),
        ("settings", &differences.settings),
        ("made with", &differences.producers),
    ] {
        section(&mut text, title, difference);
    }
    if before.sha256 == after.sha256 {
        text.push_str("the same component\n");
    } else if differences.is_empty() {
        text.push_str("exports, imports and grants are the same\n");
    }
    for problem in &after.problems {
        let _ = writeln!(text, "would be refused: {problem}");
    }
    print(&text)?;
    Ok(())
}

fn section(text: &mut String, title: &str, difference: &Difference) {
    if difference.is_empty() {
        return;
    }
    let _ = writeln!(text, "{title}");
    for (sign, names) in [("+", &difference.added), ("-", &difference.removed)] {
        for name in names {
            let _ = writeln!(text, "  {sign} {name}");
        }
    }
}

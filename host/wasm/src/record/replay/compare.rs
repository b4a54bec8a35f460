//! What a plugin answers now beside what was recorded: which of it is a
//! difference, and which cannot be told.

use serde_json::{Value, json};

use crate::record::player::Notes;
use restante_roles::backend::Failure;
use restante_roles::recording::{Answered, Call};

/// What became of a call when it was asked again.
#[derive(Debug)]
pub struct Replayed {
    /// Its position among the calls that were given.
    pub position: usize,
    /// What came back now. None: it could not be asked.
    pub now: Option<Answered>,
    /// How that compares.
    pub comparison: Comparison,
    /// What the plugin asked the host that the recording has no answer to.
    pub unasked: Vec<String>,
    /// What the recording leaves out and the plugin asked for.
    pub left_out: Vec<String>,
}

/// How an answer compares with the recorded one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Comparison {
    /// No difference.
    Same,
    /// Another.
    Different,
    /// The recording does not hold enough to tell: why.
    NotCompared(String),
}

/// Why a call could not be asked again.
pub(super) enum Unasked {
    /// The recording says not enough, or what no recording says.
    Recording(String),
    /// The plugin did not answer.
    Failed,
}

impl From<Failure> for Unasked {
    fn from(_: Failure) -> Self {
        // The log says why.
        Unasked::Failed
    }
}

pub(super) type Asked<T = Value> = Result<T, Unasked>;

pub(super) fn judged(position: usize, call: &Call, now: Asked, notes: Notes) -> Replayed {
    let (now, comparison) = match now {
        Ok(now) => {
            let comparison = compare(call, &now, &notes);
            (Some(Answered::Answered(now)), comparison)
        }
        Err(Unasked::Failed) => {
            let comparison = match &call.answered {
                Answered::Failed(_) => Comparison::Same,
                Answered::Answered(_) if !notes.left_out.is_empty() => left_out(),
                Answered::Answered(_) => Comparison::Different,
            };
            let failed = Answered::Failed("no answer; the log says why".to_owned());
            (Some(failed), comparison)
        }
        Err(Unasked::Recording(why)) => (None, Comparison::NotCompared(why)),
    };
    Replayed {
        position,
        now,
        comparison,
        unasked: notes.unasked,
        left_out: notes.left_out,
    }
}

fn left_out() -> Comparison {
    Comparison::NotCompared("it asks for mail or files that the recording leaves out".to_owned())
}

fn compare(call: &Call, now: &Value, notes: &Notes) -> Comparison {
    let Answered::Answered(then) = &call.answered else {
        return Comparison::Different;
    };
    let (mut then, mut now) = (then.clone(), now.clone());
    match call.call.as_str() {
        // The store's own words to itself.
        "store.stamp" => (then, now) = (is_failure(&then).into(), is_failure(&now).into()),
        "store.listing" => {
            forget(&mut then, "memo");
            forget(&mut now, "memo");
        }
        "store.changes" => {
            let anew = json!("all anew");
            if (then == anew) != (now == anew) {
                let why = "what it makes of a memo that another build wrote is its own affair";
                return Comparison::NotCompared(why.to_owned());
            }
            for value in [&mut then, &mut now] {
                if let Some(came) = value.get_mut("came") {
                    forget(came, "memo");
                }
            }
        }
        "store.content" | "store.reader.read" | "filter.screen" => level(&mut then, &mut now),
        "authenticator.authenticate" if call.asked["credentials"].get("digest").is_some() => {
            let why = "a digest is computed with the password, which the recording does not have";
            return Comparison::NotCompared(why.to_owned());
        }
        _ => {}
    }
    if then == now {
        Comparison::Same
    } else if !notes.left_out.is_empty() {
        left_out()
    } else {
        Comparison::Different
    }
}

fn is_failure(value: &Value) -> bool {
    value.get("failure").is_some()
}

fn forget(value: &mut Value, field: &str) {
    if let Some(fields) = value.as_object_mut() {
        fields.remove(field);
    }
}

/// Where one side has only the octets' number, or the fields', that is all that is
/// compared.
fn level(then: &mut Value, now: &mut Value) {
    for path in ["/inline", ""] {
        if let (Some(then), Some(now)) = (then.pointer_mut(path), now.pointer_mut(path))
            && then.get("octets").is_some()
            && then.get("base64").is_none()
        {
            forget(now, "base64");
        }
    }
    if let Some(fields) = now["annotate"].as_array().map(Vec::len)
        && then["annotate"].is_object()
    {
        now["annotate"] = json!({ "fields": fields });
    }
}

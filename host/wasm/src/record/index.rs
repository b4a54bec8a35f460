//! Calls of the maildrop's index as a recording has them.

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::bindings::restante::plugin::mail_index::{Difference, Entries, Problem, Summary};
use crate::record::form::{self, unpacked};
use restante_roles::metrics::EngineCall;
use restante_roles::recording::Kept;

/// What a guest asks.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) call: EngineCall,
    pub(crate) folder: String,
    /// For changes.
    pub(crate) version: u64,
    /// For a removal.
    pub(crate) unique_ids: Vec<String>,
}

impl Question {
    pub(crate) fn new(call: EngineCall, folder: String) -> Self {
        Question {
            call,
            folder,
            version: 0,
            unique_ids: Vec::new(),
        }
    }

    /// What the call is named.
    pub(crate) fn name(&self) -> &'static str {
        match self.call {
            EngineCall::State => "mail-index.state",
            EngineCall::Read => "mail-index.read",
            EngineCall::Changes => "mail-index.changes",
            EngineCall::Remove => "mail-index.remove",
            // Of blobs: no function of the index asks for them.
            EngineCall::OpenBlob | EngineCall::ReadBlob => "mail-index",
        }
    }

    /// Octets that crossed the border with it.
    pub(crate) fn octets(&self) -> usize {
        let unique_ids = self.unique_ids.iter().map(String::len);
        self.folder.len() + unique_ids.sum::<usize>()
    }

    /// Its arguments.
    pub(crate) fn asked(&self) -> Value {
        let mut asked = json!({ "folder": self.folder });
        match self.call {
            EngineCall::Changes => asked["version"] = json!(self.version),
            EngineCall::Remove => asked["unique-ids"] = json!(self.unique_ids),
            _ => {}
        }
        asked
    }
}

/// An answer of the index.
pub(crate) trait Told: Sized {
    /// As a recording has it.
    fn value(&self) -> Value;

    /// What a recording has. None: nothing of the kind.
    fn played(value: &Value) -> Option<Self>;

    /// Octets that crossed the border.
    fn octets(&self) -> usize;
}

impl Told for Summary {
    fn value(&self) -> Value {
        json!({ "version": self.version, "messages": self.messages, "octets": self.octets })
    }

    fn played(value: &Value) -> Option<Self> {
        Some(Summary {
            version: value["version"].as_u64()?,
            messages: value["messages"].as_u64()?,
            octets: value["octets"].as_u64()?,
        })
    }

    fn octets(&self) -> usize {
        size_of::<Self>()
    }
}

impl Told for Entries {
    fn value(&self) -> Value {
        json!({
            "unique-ids": unpacked(&self.unique_ids),
            "octets": self.octets,
            "received": self.received,
            "names": unpacked(&self.names),
            "surrogates": self.surrogates,
            "version": self.version,
        })
    }

    fn played(value: &Value) -> Option<Self> {
        Some(Entries {
            unique_ids: packed(&value["unique-ids"])?,
            octets: read_as(&value["octets"])?,
            received: read_as(&value["received"])?,
            names: packed(&value["names"])?,
            surrogates: read_as(&value["surrogates"])?,
            version: value["version"].as_u64()?,
        })
    }

    fn octets(&self) -> usize {
        let numbers = self.octets.len() + self.received.len() + 2 * self.surrogates.len();
        self.unique_ids.len() + self.names.len() + 8 * numbers
    }
}

impl Told for Option<Difference> {
    fn value(&self) -> Value {
        match self {
            None => Value::Null,
            Some(told) => json!({ "gone": unpacked(&told.gone), "came": told.came.value() }),
        }
    }

    fn played(value: &Value) -> Option<Self> {
        if value.is_null() {
            return Some(None);
        }
        Some(Some(Difference {
            gone: packed(&value["gone"])?,
            came: Entries::played(&value["came"])?,
        }))
    }

    fn octets(&self) -> usize {
        self.as_ref()
            .map_or(0, |told| told.gone.len() + told.came.octets())
    }
}

impl Told for () {
    fn value(&self) -> Value {
        json!("removed")
    }

    fn played(value: &Value) -> Option<Self> {
        (*value == "removed").then_some(())
    }

    fn octets(&self) -> usize {
        0
    }
}

/// Part of a message. None: there is no such message.
impl Told for Option<Kept> {
    fn value(&self) -> Value {
        self.as_ref().map_or(Value::Null, form::value)
    }

    fn played(value: &Value) -> Option<Self> {
        if value.is_null() {
            return Some(None);
        }
        read_as(value).map(Some)
    }

    fn octets(&self) -> usize {
        let octets = self.as_ref().map_or(0, |kept| kept.octets);
        usize::try_from(octets).unwrap_or(usize::MAX)
    }
}

/// What came of a call.
pub(crate) fn answered<T: Told>(answer: &Result<T, Problem>) -> Value {
    match answer {
        Ok(told) => json!({ "ok": told.value() }),
        Err(Problem::Unavailable(text)) => json!({ "unavailable": text }),
        Err(Problem::Unknown(text)) => json!({ "unknown": text }),
        Err(Problem::Lost) => json!({ "lost": true }),
        Err(Problem::Invalid(text)) => json!({ "invalid": text }),
    }
}

/// What a recording has for an answer. None: nothing of the kind.
pub(crate) fn played<T: Told>(answer: &Value) -> Option<Result<T, Problem>> {
    let text = |key: &str| answer[key].as_str().map(str::to_owned);
    if let Some(text) = text("unavailable") {
        return Some(Err(Problem::Unavailable(text)));
    }
    if let Some(text) = text("unknown") {
        return Some(Err(Problem::Unknown(text)));
    }
    if let Some(text) = text("invalid") {
        return Some(Err(Problem::Invalid(text)));
    }
    if answer["lost"] == true {
        return Some(Err(Problem::Lost));
    }
    T::played(answer.get("ok")?).map(Ok)
}

fn packed(texts: &Value) -> Option<String> {
    let texts: Vec<String> = read_as(texts)?;
    Some(
        texts
            .iter()
            .flat_map(|text| [text.as_str(), "\0"])
            .collect(),
    )
}

fn read_as<T: DeserializeOwned>(value: &Value) -> Option<T> {
    serde_json::from_value(value.clone()).ok()
}

#[cfg(test)]
mod tests {
    use restante_roles::recording::Octets;

    use super::*;

    fn entries() -> Entries {
        Entries {
            unique_ids: "1.a\0b\0".into(),
            octets: vec![3, 4],
            received: vec![7, 0],
            names: "2026/x note\0\u{e4}\0".into(),
            surrogates: vec![(1, 9)],
            version: 12,
        }
    }

    fn again<T: Told>(told: T) -> String {
        let value = answered(&Ok(told));
        let Some(Ok(played)) = played::<T>(&value) else {
            panic!("{value}");
        };
        assert_eq!(answered(&Ok(played)), value);
        value.to_string()
    }

    #[test]
    fn an_answer_is_played_as_it_was_told() {
        let value = answered(&Ok(entries()));
        let Some(Ok(played)) = played::<Entries>(&value) else {
            panic!("{value}");
        };
        assert_eq!(format!("{played:?}"), format!("{:?}", entries()));
        again(Summary {
            version: u64::MAX,
            messages: 2,
            octets: 7,
        });
        again(());
        again::<Option<Difference>>(None);
        let gone = again(Some(Difference {
            gone: "x\0y\0".into(),
            came: entries(),
        }));
        assert!(gone.contains(r#""gone":["x","y"]"#), "{gone}");
        assert!(super::played::<Summary>(&json!({})).is_none());
        assert!(super::played::<()>(&json!({ "ok": null })).is_none());
    }

    #[test]
    fn part_of_a_message_is_played_if_it_was_kept() {
        again::<Option<Kept>>(None);
        for base64 in [None, Some(Octets(b"mail".to_vec()))] {
            let kept = Kept { octets: 4, base64 };
            assert_eq!(Some(kept.clone()).octets(), 4);
            let text = again(Some(kept.clone()));
            assert_eq!(text.contains("bWFpbA=="), kept.base64.is_some(), "{text}");
        }
        assert!(super::played::<Option<Kept>>(&json!({ "ok": "mail" })).is_none());
    }

    #[test]
    fn a_problem_of_then_is_one_again() {
        for problem in [
            Problem::Unavailable("a".into()),
            Problem::Unknown("b".into()),
            Problem::Lost,
            Problem::Invalid("c".into()),
        ] {
            let value = answered::<()>(&Err(problem.clone()));
            let again = played::<()>(&value).map(|played| format!("{:?}", played.err()));
            assert_eq!(again, Some(format!("{:?}", Some(problem))));
        }
    }
}

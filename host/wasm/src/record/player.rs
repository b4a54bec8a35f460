//! The host as a recording remembers it: what it was asked it answers as it did
//! then, and it notes what it was never asked.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::{Mutex, MutexGuard};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use wasmtime_wasi::clocks::HostWallClock;

use crate::bindings::restante::plugin::database::{Answer, Problem, Statement};
use crate::bindings::restante::plugin::files::{Chunk, Kind, Names, Status, Weight};
use crate::bindings::restante::plugin::mail_index;
use crate::bindings::restante::plugin::passwords::{HashScheme, ScramHash, ScramKeys};
use crate::record::index::{self, Question, Told};
use crate::record::query;
use crate::record::tape::{hash_name, scheme_name};
use restante_roles::backend::{Failure, Message};
use restante_roles::recording::{Call, HostCall, Kept, Octets};

/// Notes of one call; the rest is counted.
const NOTES: usize = 20;
/// Octets of a question that a note shows.
const SHOWN: usize = 120;

/// What a guest hears where the recording has nothing.
const NO_ANSWER: &str = "the recording has no answer to this";
const LEFT_OUT: &str = "the recording leaves this out";

#[derive(Default)]
pub(crate) struct Player {
    under_way: Mutex<UnderWay>,
    /// Nanoseconds since the Unix epoch: when the call was.
    now: AtomicU64,
    /// All answers of the session, by call and question.
    known: HashMap<(String, String), Value>,
    /// Whole files that were read, by path.
    files: HashMap<String, Value>,
}

#[derive(Default)]
struct UnderWay {
    /// Of the call, in order; None: given already.
    answers: Vec<Option<HostCall>>,
    notes: Notes,
}

/// What the recording did not have.
#[derive(Default)]
pub(crate) struct Notes {
    /// Questions that were not asked then.
    pub(crate) unasked: Vec<String>,
    /// Answers that were left out when it was recorded.
    pub(crate) left_out: Vec<String>,
}

impl Player {
    pub(crate) fn new(calls: &[&Call]) -> Arc<Player> {
        let mut player = Player::default();
        for host in calls.iter().flat_map(|call| &call.host) {
            let question = (host.call.clone(), host.asked.to_string());
            if host.call == "files.read" && host.asked["offset"] == 0 {
                let path = host.asked["path"].as_str().unwrap_or_default();
                player.files.insert(path.to_owned(), host.answered.clone());
            }
            player.known.insert(question, host.answered.clone());
        }
        Arc::new(player)
    }

    /// From now on it answers as in this call, at that time.
    pub(crate) fn begin(&self, call: &Call, unix_nanoseconds: u64) {
        self.now.store(unix_nanoseconds, Ordering::Relaxed);
        *self.under_way() = UnderWay {
            answers: call.host.iter().cloned().map(Some).collect(),
            notes: Notes::default(),
        };
    }

    pub(crate) fn take_notes(&self) -> Notes {
        std::mem::take(&mut self.under_way().notes)
    }

    /// The answer to this very question: the call's own next one, or else the
    /// session's.
    fn find(&self, call: &str, asked: &Value) -> Option<Value> {
        let mut under_way = self.under_way();
        let fits = |of: &&mut Option<HostCall>| {
            of.as_ref()
                .is_some_and(|host| host.call == call && host.asked == *asked)
        };
        if let Some(found) = under_way.answers.iter_mut().find(fits) {
            return found.take().map(|host| host.answered);
        }
        let question = (call.to_owned(), asked.to_string());
        self.known.get(&question).cloned()
    }

    fn missing(&self, call: &str, asked: &Value) {
        note(&mut self.under_way().notes.unasked, call, asked);
    }

    fn left_out(&self, call: &str, asked: &Value) {
        note(&mut self.under_way().notes.left_out, call, asked);
    }

    fn answer<T: DeserializeOwned>(&self, call: &str, asked: &Value) -> Result<T, String> {
        let Some(answer) = self.find(call, asked) else {
            self.missing(call, asked);
            return Err(NO_ANSWER.to_owned());
        };
        if let Some(text) = answer["error"].as_str() {
            return Err(text.to_owned());
        }
        serde_json::from_value(answer["ok"].clone()).map_err(|_| {
            self.missing(call, asked);
            NO_ANSWER.to_owned()
        })
    }

    pub(crate) fn verify(&self, hash: &str, secret: &str) -> Result<bool, String> {
        self.answer(
            "passwords.verify",
            &json!({ "hash": hash, "secret": secret }),
        )
    }

    pub(crate) fn derive(
        &self,
        user: &str,
        secret: &str,
        hash: ScramHash,
    ) -> Result<ScramKeys, String> {
        let asked = json!({ "user": user, "secret": secret, "hash": hash_name(hash) });
        let keys: KeysOf = self.answer("passwords.derive-scram", &asked)?;
        Ok(ScramKeys {
            salt: keys.salt.0,
            iterations: keys.iterations,
            stored_key: keys.stored_key.0,
            server_key: keys.server_key.0,
        })
    }

    pub(crate) fn hash(&self, secret: &str, scheme: HashScheme) -> Result<String, String> {
        let asked = json!({ "secret": secret, "scheme": scheme_name(scheme) });
        self.answer("passwords.hash", &asked)
    }

    pub(crate) fn scan(&self, directory: &str) -> Result<Names, String> {
        let found: Scanned = self.answer("files.scan", &json!({ "directory": directory }))?;
        let mut names = String::new();
        for name in &found.names {
            names.push_str(name);
            names.push('\0');
        }
        Ok(Names {
            names,
            identities: found.identities,
        })
    }

    pub(crate) fn measure(&self, path: &str) -> Result<Option<Weight>, String> {
        let found: Option<WeightOf> = self.answer("files.measure", &json!({ "path": path }))?;
        Ok(found.map(|found| Weight {
            octets: found.octets,
            surrogate: found.surrogate,
            status: found.status.into(),
        }))
    }

    pub(crate) fn stat(&self, path: &str) -> Result<Option<Status>, String> {
        let found: Option<StatusOf> = self.answer("files.stat", &json!({ "path": path }))?;
        Ok(found.map(Status::from))
    }

    /// What was read then with this offset and length, or a part of what was read
    /// whole.
    pub(crate) fn read(
        &self,
        path: &str,
        offset: u64,
        length: u32,
    ) -> Result<Option<Chunk>, String> {
        let asked = json!({ "path": path, "offset": offset, "length": length });
        let exact = self.find("files.read", &asked);
        let is_exact = exact.is_some();
        let Some(answer) = exact.or_else(|| self.files.get(path).cloned()) else {
            self.missing("files.read", &asked);
            return Err(NO_ANSWER.to_owned());
        };
        if let Some(text) = answer["error"].as_str() {
            return Err(text.to_owned());
        }
        if answer["ok"].is_null() {
            return Ok(None);
        }
        let Ok(found) = serde_json::from_value::<ChunkOf>(answer["ok"].clone()) else {
            self.missing("files.read", &asked);
            return Err(NO_ANSWER.to_owned());
        };
        let mail = found.mail.and_then(|mail| mail.base64);
        let octets = found.text.map(String::into_bytes);
        let Some(octets) = octets.or(mail.map(|mail| mail.0)) else {
            self.left_out("files.read", &asked);
            return Err(LEFT_OUT.to_owned());
        };
        let status = Status::from(found.status);
        if is_exact {
            return Ok(Some(Chunk { octets, status }));
        }
        if octets.len() as u64 != status.size {
            self.missing("files.read", &asked);
            return Err(NO_ANSWER.to_owned());
        }
        Ok(Some(Chunk {
            octets: part(&octets, offset, length),
            status,
        }))
    }

    pub(crate) fn database(
        &self,
        database: &str,
        statements: &[Statement],
        is_change: bool,
    ) -> Result<Vec<Answer>, Problem> {
        let call = query::call(is_change);
        let asked = query::asked(database, statements, str::to_owned);
        let answer = self.find(call, &asked);
        let answer = answer.as_ref().and_then(query::played);
        answer.unwrap_or_else(|| {
            self.missing(call, &asked);
            Err(Problem::Unavailable(NO_ANSWER.to_owned()))
        })
    }

    pub(crate) fn index<T: Told>(&self, question: &Question) -> Result<T, mail_index::Problem> {
        let (call, asked) = (question.name(), question.asked());
        let answer = self.find(call, &asked);
        let answer = answer.as_ref().and_then(index::played);
        answer.unwrap_or_else(|| {
            self.missing(call, &asked);
            Err(mail_index::Problem::Unavailable(NO_ANSWER.to_owned()))
        })
    }

    /// What was read then with this offset and length.
    pub(crate) fn blob(
        &self,
        path: &str,
        offset: u64,
        length: u32,
    ) -> Result<Option<Vec<u8>>, mail_index::Problem> {
        const CALL: &str = "blobs.read";
        let asked = json!({ "path": path, "offset": offset, "length": length });
        let answer = self.find(CALL, &asked);
        let Some(answer) = answer.as_ref().and_then(index::played::<Option<Kept>>) else {
            self.missing(CALL, &asked);
            return Err(mail_index::Problem::Unavailable(NO_ANSWER.to_owned()));
        };
        let Some(kept) = answer? else {
            return Ok(None);
        };
        match kept.base64 {
            Some(octets) => Ok(Some(octets.0)),
            None => {
                self.left_out(CALL, &asked);
                Err(mail_index::Problem::Unavailable(LEFT_OUT.to_owned()))
            }
        }
    }

    pub(crate) fn fence(&self) -> Option<u64> {
        // Without an answer there is a note.
        self.answer("hold.fence", &json!({})).unwrap_or_default()
    }

    fn mail(&self, call: &str, asked: &Value) -> Option<Result<Vec<u8>, Failure>> {
        let answer = self.find(call, asked)?;
        if answer.get("failure").is_some() {
            return Some(Err(Failure::Temporary("it failed then, too".to_owned())));
        }
        let kept: Kept = serde_json::from_value(answer).ok()?;
        Some(match kept.base64 {
            Some(octets) => Ok(octets.0),
            None => {
                self.left_out(call, asked);
                Err(Failure::Temporary(LEFT_OUT.to_owned()))
            }
        })
    }

    fn under_way(&self) -> MutexGuard<'_, UnderWay> {
        // Nothing in it can be half done.
        self.under_way.lock()
    }
}

fn note(notes: &mut Vec<String>, call: &str, asked: &Value) {
    if notes.len() < NOTES {
        let asked = asked.to_string();
        let end = asked.floor_char_boundary(SHOWN);
        let more = if end < asked.len() { "…" } else { "" };
        notes.push(format!("{call} {}{more}", &asked[..end]));
    }
}

fn part(octets: &[u8], offset: u64, length: u32) -> Vec<u8> {
    let start = usize::try_from(offset)
        .unwrap_or(usize::MAX)
        .min(octets.len());
    let end = start.saturating_add(length as usize).min(octets.len());
    octets[start..end].to_vec()
}

/// The time of the call that is replayed.
pub(crate) struct Clock(pub(crate) Arc<Player>);

impl HostWallClock for Clock {
    fn resolution(&self) -> Duration {
        Duration::from_micros(1)
    }

    fn now(&self) -> Duration {
        Duration::from_nanos(self.0.now.load(Ordering::Relaxed))
    }
}

/// The message of a call that is replayed.
pub(crate) struct Played {
    pub(crate) player: Arc<Player>,
    pub(crate) unique_id: String,
    pub(crate) octets: u64,
    pub(crate) received: u64,
}

#[async_trait]
impl Message for Played {
    fn unique_id(&self) -> &str {
        &self.unique_id
    }

    fn octets(&self) -> u64 {
        self.octets
    }

    fn received(&self) -> u64 {
        self.received
    }

    async fn header(&self) -> Result<Vec<u8>, Failure> {
        const CALL: &str = "message.header";
        // Asked without words, it is the same of every message: the call's own only.
        let asked = json!({});
        let of_call = self
            .player
            .under_way()
            .answers
            .iter()
            .any(|host| host.as_ref().is_some_and(|host| host.call == CALL));
        let answer = of_call.then(|| self.player.mail(CALL, &asked)).flatten();
        answer.unwrap_or_else(|| {
            self.player.missing(CALL, &asked);
            Err(Failure::Temporary(NO_ANSWER.to_owned()))
        })
    }

    async fn read(&self, offset: u64, length: u32) -> Result<Vec<u8>, Failure> {
        const CALL: &str = "message.read";
        let asked = json!({ "offset": offset, "length": length });
        let of_call = self.player.under_way().answers.iter().any(|host| {
            host.as_ref()
                .is_some_and(|host| host.call == CALL && host.asked == asked)
        });
        let answer = of_call.then(|| self.player.mail(CALL, &asked)).flatten();
        answer.unwrap_or_else(|| {
            self.player.missing(CALL, &asked);
            Err(Failure::Temporary(NO_ANSWER.to_owned()))
        })
    }
}

#[derive(Deserialize)]
struct Scanned {
    names: Vec<String>,
    identities: Vec<u64>,
}

#[derive(Deserialize)]
struct StatusOf {
    kind: String,
    size: u64,
    modified: u64,
    created: Option<u64>,
    identity: u64,
}

impl From<StatusOf> for Status {
    fn from(of: StatusOf) -> Self {
        Status {
            kind: match of.kind.as_str() {
                "file" => Kind::File,
                "directory" => Kind::Directory,
                _ => Kind::Other,
            },
            size: of.size,
            modified: of.modified,
            created: of.created,
            identity: of.identity,
        }
    }
}

#[derive(Deserialize)]
struct WeightOf {
    octets: u64,
    surrogate: u64,
    status: StatusOf,
}

#[derive(Deserialize)]
struct ChunkOf {
    status: StatusOf,
    text: Option<String>,
    mail: Option<Kept>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct KeysOf {
    salt: Octets,
    iterations: u32,
    stored_key: Octets,
    server_key: Octets,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// In a call in which the host was asked this.
    fn in_call(call: &str, asked: Value, answered: Value) -> Player {
        let player = Player::default();
        player.under_way().answers = vec![Some(HostCall {
            call: call.to_owned(),
            asked,
            answered,
        })];
        player
    }

    #[test]
    fn the_fence_of_then_is_told() {
        for (answered, fence) in [(json!({ "ok": 7 }), Some(7)), (json!({ "ok": null }), None)] {
            let player = in_call("hold.fence", json!({}), answered);
            assert_eq!(player.fence(), fence);
            assert!(player.take_notes().unasked.is_empty());
            assert_eq!(player.fence(), None);
            assert_eq!(player.take_notes().unasked.len(), 1, "it is not known");
        }
    }

    #[test]
    fn part_of_a_message_is_told_if_this_very_part_was_kept() {
        let asked = || json!({ "path": "/blobs/x", "offset": 2, "length": 9 });
        let kept = json!({ "ok": { "octets": 4, "base64": "bWFpbA==" } });
        let player = in_call("blobs.read", asked(), kept);
        let octets = player.blob("/blobs/x", 2, 9).ok().unwrap();
        assert_eq!(octets.as_deref(), Some(&b"mail"[..]));
        let other = player.blob("/blobs/x", 3, 9);
        assert!(matches!(other, Err(mail_index::Problem::Unavailable(_))));
        let notes = player.take_notes();
        assert_eq!((notes.unasked.len(), notes.left_out.len()), (1, 0));

        let player = in_call("blobs.read", asked(), json!({ "ok": { "octets": 4 } }));
        let left_out = player.blob("/blobs/x", 2, 9);
        assert!(matches!(left_out, Err(mail_index::Problem::Unavailable(why)) if why == LEFT_OUT));
        assert_eq!(player.take_notes().left_out.len(), 1);

        let player = in_call("blobs.read", asked(), json!({ "ok": null }));
        assert!(matches!(player.blob("/blobs/x", 2, 9), Ok(None)));
        let player = in_call("blobs.read", asked(), json!({ "invalid": "no" }));
        let invalid = player.blob("/blobs/x", 2, 9);
        assert!(matches!(invalid, Err(mail_index::Problem::Invalid(why)) if why == "no"));
    }
}

//! What one instance says and hears while it is recorded: the call under way, and
//! what the guest asks the host meanwhile. An instance that is not recorded has
//! no tape.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::{Mutex, MutexGuard};
use restante_pop3::Secret;
use serde_json::{Value, json};

use crate::bindings::restante::plugin::database;
use crate::bindings::restante::plugin::files::{Chunk, Kind, Names, Status, Weight};
use crate::bindings::restante::plugin::mail_index;
use crate::bindings::restante::plugin::passwords::{HashScheme, ScramHash, ScramKeys};
use crate::bindings::restante::plugin::types::Failure;
use crate::disk::grants::MAILDROP;
use crate::record::{form, index, query};
use restante_roles::recording::{
    self, Answered, Called, Described, HostCall, Octets, Redactor, words,
};

/// Octets of what the host answered in one call that are kept, and how many
/// answers.
const HEARD_OCTETS: usize = 8 << 20;
const HEARD: usize = 200_000;

/// Octets of the largest policy file whose form is kept: more words than that are
/// slow to replace.
const POLICY_OCTETS: usize = 1 << 20;

/// The arguments that say whom a call is about. Their words stay in files.
const ABOUT: [&str; 4] = ["credentials", "user", "acting_as", "account"];

/// The plugin that a recording is about.
pub(crate) struct Subject<'a> {
    pub(crate) plugin: &'a str,
    pub(crate) component: &'a str,
    pub(crate) digest: &'a str,
    pub(crate) settings: &'a [(String, String)],
}

pub(crate) struct Tape {
    session: Arc<recording::Session>,
    instance: u64,
    readers: AtomicU64,
    under_way: Mutex<UnderWay>,
}

struct UnderWay {
    begun: Instant,
    heard: Vec<Exchange>,
    octets: usize,
    left_out: u64,
}

/// What the host was asked, and what it said.
pub(crate) enum Exchange {
    Verify {
        hash: Secret,
        secret: Secret,
        answer: Result<bool, String>,
    },
    Derive {
        user: String,
        secret: Secret,
        hash: ScramHash,
        answer: Result<ScramKeys, String>,
    },
    Hash {
        secret: Secret,
        scheme: HashScheme,
        answer: Result<Secret, String>,
    },
    Scan {
        directory: String,
        answer: Result<Names, String>,
    },
    Measure {
        path: String,
        answer: Result<Option<Weight>, String>,
    },
    Stat {
        path: String,
        answer: Result<Option<Status>, String>,
    },
    Read {
        path: String,
        offset: u64,
        length: u32,
        answer: Result<Option<Chunk>, String>,
    },
    Database {
        database: String,
        statements: Vec<database::Statement>,
        is_change: bool,
        answer: Result<Vec<database::Answer>, database::Problem>,
    },
    Blob {
        path: String,
        offset: u64,
        length: u32,
        answer: Result<Option<Vec<u8>>, mail_index::Problem>,
    },
    Fence {
        answer: Option<u64>,
    },
    /// Of the maildrop's index; there are no secrets in it.
    Index {
        call: &'static str,
        asked: Value,
        answered: Value,
    },
    Header {
        answer: Result<Vec<u8>, Failure>,
    },
    ReadMessage {
        offset: u64,
        length: u32,
        answer: Result<Vec<u8>, Failure>,
    },
}

impl Tape {
    pub(crate) fn new(session: &Arc<recording::Session>) -> Arc<Tape> {
        Arc::new(Tape {
            session: Arc::clone(session),
            instance: session.next_instance(),
            readers: AtomicU64::new(0),
            under_way: Mutex::new(UnderWay {
                begun: Instant::now(),
                heard: Vec::new(),
                octets: 0,
                left_out: 0,
            }),
        })
    }

    /// Another call begins. What was heard before belongs to none if nobody told
    /// of it.
    pub(crate) fn begin(&self) {
        let mut under_way = self.under_way();
        under_way.begun = Instant::now();
        under_way.heard.clear();
        (under_way.octets, under_way.left_out) = (0, 0);
    }

    /// The host has answered.
    pub(crate) fn hear(&self, heard: Exchange) {
        self.hear_sized(heard.octets(), || heard);
    }

    /// The same where it takes so many octets, which are made into what is kept only if there is
    /// room for them.
    pub(crate) fn hear_sized(&self, octets: usize, heard: impl FnOnce() -> Exchange) {
        self.under_way().hear(octets, heard);
    }

    /// Whether there is room for so many octets more. If not, they are left out.
    pub(crate) fn has_room(&self, octets: usize) -> bool {
        self.under_way().has_room(octets)
    }

    /// Numbers the instance's readers.
    pub(crate) fn next_reader(&self) -> u64 {
        self.readers.fetch_add(1, Ordering::Relaxed)
    }

    /// The call is over. `answer`: None if there was none.
    pub(crate) fn tell(
        &self,
        subject: &Subject<'_>,
        call: &'static str,
        describe: impl FnOnce(&mut Redactor) -> (Value, Option<Value>),
    ) {
        let (begun, heard, host_left_out) = {
            let mut under_way = self.under_way();
            let heard = std::mem::take(&mut under_way.heard);
            (under_way.begun, heard, under_way.left_out)
        };
        let called = Called {
            plugin: subject.plugin,
            component: subject.component,
            digest: subject.digest,
            settings: subject.settings,
            instance: self.instance,
            call,
            begun,
        };
        self.session.tell(&called, |redactor| {
            let (mut asked, answer) = describe(redactor);
            let mut answered = match answer {
                Some(answer) => Answered::Answered(answer),
                None => Answered::Failed(
                    "no answer: it trapped, took too long, or was not let in; the log says which"
                        .to_owned(),
                ),
            };
            let mut named = HashSet::new();
            if heard.iter().any(Exchange::is_of_policy) {
                for part in ABOUT {
                    words(&asked[part], &mut named);
                }
                if let Answered::Answered(answer) = &answered {
                    words(&answer["account"], &mut named);
                }
            }
            if !leads_to_an_account(call, &answered) {
                redactor.hide_names(user_names(&asked));
            }
            let heard = heard.into_iter().map(|heard| heard.told(redactor, &named));
            let mut host: Vec<HostCall> = heard.collect();
            // Where a connection came from is no matter of names.
            for part in ABOUT {
                if let Some(part) = asked.get_mut(part) {
                    redactor.sweep(part);
                }
            }
            if let Answered::Answered(answer) = &mut answered {
                redactor.sweep(answer);
            }
            for heard in &mut host {
                redactor.sweep(&mut heard.asked);
                redactor.sweep(&mut heard.answered);
            }
            redactor.show_names();
            redactor.sweep(&mut asked);
            Described {
                asked,
                answered,
                host,
                host_left_out,
            }
        });
    }

    fn under_way(&self) -> MutexGuard<'_, UnderWay> {
        // Nothing in it can be half done.
        self.under_way.lock()
    }
}

impl UnderWay {
    fn hear(&mut self, octets: usize, heard: impl FnOnce() -> Exchange) {
        if self.has_room(octets) {
            self.octets += octets;
            self.heard.push(heard());
        }
    }

    /// What is too much is counted, and so nothing comes after it either: what is left out is the
    /// end of a call.
    fn has_room(&mut self, octets: usize) -> bool {
        let has_room = self.octets.saturating_add(octets) <= HEARD_OCTETS
            && self.heard.len() < HEARD
            && self.left_out == 0;
        if !has_room {
            self.left_out += 1;
        }
        has_room
    }
}

/// Whether the call shows that the name it is about is a user's: only there it is kept.
/// Calls about accounts come after that.
fn leads_to_an_account(call: &str, answered: &Answered) -> bool {
    match (call, answered) {
        ("authenticator.authenticate", Answered::Answered(answer)) => {
            answer.get("account").is_some()
        }
        ("scram.lookup", Answered::Answered(answer)) => answer.get("salt").is_some(),
        ("authenticator.authenticate" | "scram.lookup", Answered::Failed(_)) => false,
        _ => true,
    }
}

/// What a client gave for a user's name.
fn user_names(asked: &Value) -> impl Iterator<Item = &str> {
    let credentials = asked["credentials"].as_object().into_iter();
    let credentials = credentials.flat_map(|kinds| kinds.values());
    let named = std::iter::once(asked).chain(credentials);
    named
        .flat_map(|of| [&of["user"], &of["acting_as"]])
        .filter_map(Value::as_str)
}

impl Exchange {
    fn octets(&self) -> usize {
        match self {
            Exchange::Scan {
                answer: Ok(names), ..
            } => names.names.len() + 8 * names.identities.len(),
            Exchange::Read {
                answer: Ok(Some(chunk)),
                ..
            } => chunk.octets.len(),
            Exchange::Database {
                answer: Ok(answers),
                ..
            } => answers.iter().map(query::bytes).sum(),
            Exchange::Header { answer: Ok(octets) }
            | Exchange::ReadMessage {
                answer: Ok(octets), ..
            } => octets.len(),
            _ => 0,
        }
    }

    /// Whether it holds texts of which the call's own words stay.
    fn is_of_policy(&self) -> bool {
        matches!(
            self,
            Exchange::Read { .. }
                | Exchange::Verify { .. }
                | Exchange::Hash { .. }
                | Exchange::Database { .. }
        )
    }

    fn told(self, redactor: &mut Redactor, named: &HashSet<String>) -> HostCall {
        let (call, asked, answered) = match self {
            Exchange::Verify {
                hash,
                secret,
                answer,
            } => {
                let secret = redactor.secret(secret.expose());
                let hash = redactor.policy(hash.expose(), named);
                let asked = json!({ "hash": hash, "secret": secret });
                (
                    "passwords.verify",
                    asked,
                    fallible(answer, |yes| json!(yes)),
                )
            }
            Exchange::Derive {
                user,
                secret,
                hash,
                answer,
            } => {
                let secret = redactor.secret(secret.expose());
                let asked = json!({ "user": user, "secret": secret, "hash": hash_name(hash) });
                let answered = fallible(answer, |keys| derived(&keys, redactor));
                ("passwords.derive-scram", asked, answered)
            }
            Exchange::Hash {
                secret,
                scheme,
                answer,
            } => {
                let secret = redactor.secret(secret.expose());
                let asked = json!({ "secret": secret, "scheme": scheme_name(scheme) });
                let answered =
                    fallible(answer, |hash| json!(redactor.policy(hash.expose(), named)));
                ("passwords.hash", asked, answered)
            }
            Exchange::Scan { directory, answer } => {
                let asked = json!({ "directory": directory });
                (
                    "files.scan",
                    asked,
                    fallible(answer, |names| scanned(&names)),
                )
            }
            Exchange::Measure { path, answer } => {
                let asked = json!({ "path": path });
                let answered = fallible(answer, |weight| {
                    form::value(weight.map(|weight| {
                        json!({
                            "octets": weight.octets,
                            "surrogate": weight.surrogate,
                            "status": status(&weight.status),
                        })
                    }))
                });
                ("files.measure", asked, answered)
            }
            Exchange::Stat { path, answer } => {
                let answered = fallible(answer, |found| {
                    form::value(found.map(|found| status(&found)))
                });
                ("files.stat", json!({ "path": path }), answered)
            }
            Exchange::Read {
                path,
                offset,
                length,
                answer,
            } => {
                let asked = json!({ "path": path, "offset": offset, "length": length });
                let of_maildrop = is_of_maildrop(&path);
                let answered = fallible(answer, |chunk| {
                    form::value(chunk.map(|chunk| match of_maildrop {
                        true => mail_file(&chunk, redactor),
                        false => policy_file(&chunk, offset, redactor, named),
                    }))
                });
                ("files.read", asked, answered)
            }
            Exchange::Database {
                database,
                statements,
                is_change,
                answer,
            } => {
                let words = |text: &str| redactor.policy(text, named);
                let asked = query::asked(&database, &statements, words);
                let answered = query::answered(answer, words);
                (query::call(is_change), asked, answered)
            }
            Exchange::Blob {
                path,
                offset,
                length,
                answer,
            } => {
                let asked = json!({ "path": path, "offset": offset, "length": length });
                let kept = answer.map(|octets| octets.map(|octets| redactor.mail(&octets)));
                ("blobs.read", asked, index::answered(&kept))
            }
            Exchange::Fence { answer } => ("hold.fence", json!({}), json!({ "ok": answer })),
            Exchange::Index {
                call,
                asked,
                answered,
            } => (call, asked, answered),
            Exchange::Header { answer } => {
                let answered = form::result(&answer, |octets| form::value(redactor.mail(octets)));
                ("message.header", json!({}), answered)
            }
            Exchange::ReadMessage {
                offset,
                length,
                answer,
            } => {
                let answered = form::result(&answer, |octets| form::value(redactor.mail(octets)));
                let asked = json!({ "offset": offset, "length": length });
                ("message.read", asked, answered)
            }
        };
        HostCall {
            call: call.to_owned(),
            asked,
            answered,
        }
    }
}

fn fallible<T>(answer: Result<T, String>, ok: impl FnOnce(T) -> Value) -> Value {
    match answer {
        Ok(answer) => json!({ "ok": ok(answer) }),
        Err(text) => json!({ "error": text }),
    }
}

/// Whether a guest's path leads into the session's maildrop.
pub(crate) fn is_of_maildrop(path: &str) -> bool {
    match path.strip_prefix(MAILDROP) {
        Some(rest) => rest.is_empty() || rest.starts_with('/'),
        None => !path.starts_with('/'),
    }
}

pub(crate) fn hash_name(hash: ScramHash) -> &'static str {
    match hash {
        ScramHash::Sha1 => "sha1",
        ScramHash::Sha256 => "sha256",
    }
}

pub(crate) fn scheme_name(scheme: HashScheme) -> &'static str {
    match scheme {
        HashScheme::Argon2id => "argon2id",
        HashScheme::Scrypt => "scrypt",
        HashScheme::Bcrypt => "bcrypt",
        HashScheme::Sha512Crypt => "sha512-crypt",
        HashScheme::ScramSha256 => "scram-sha256",
        HashScheme::ScramSha1 => "scram-sha1",
    }
}

fn derived(keys: &ScramKeys, redactor: &Redactor) -> Value {
    let octets = |octets: &[u8]| form::value(Octets(redactor.secret_octets(octets)));
    json!({
        "salt": octets(&keys.salt),
        "iterations": keys.iterations,
        "stored-key": octets(&keys.stored_key),
        "server-key": octets(&keys.server_key),
    })
}

fn scanned(names: &Names) -> Value {
    let each: Vec<&str> = names.names.split_terminator('\0').collect();
    json!({ "names": each, "identities": names.identities })
}

fn status(of: &Status) -> Value {
    json!({
        "kind": match of.kind {
            Kind::File => "file",
            Kind::Directory => "directory",
            Kind::Other => "other",
        },
        "size": of.size,
        "modified": of.modified,
        "created": of.created,
        "identity": of.identity,
    })
}

/// Part of a file in the maildrop: for all the host knows it is mail.
fn mail_file(chunk: &Chunk, redactor: &Redactor) -> Value {
    json!({ "status": status(&chunk.status), "mail": redactor.mail(&chunk.octets) })
}

/// A file of the plugin's own. It has another length without its secrets, and is
/// told whole or not at all.
fn policy_file(chunk: &Chunk, offset: u64, redactor: &Redactor, named: &HashSet<String>) -> Value {
    let whole = offset == 0 && chunk.octets.len() as u64 == chunk.status.size;
    let text = str::from_utf8(&chunk.octets).ok();
    let text = text.filter(|text| whole && text.len() <= POLICY_OCTETS);
    let Some(text) = text else {
        let left_out = json!({ "octets": chunk.octets.len() });
        return json!({ "status": status(&chunk.status), "left-out": left_out });
    };
    let text = redactor.file(text, named);
    let mut status = status(&chunk.status);
    status["size"] = text.len().into();
    json!({ "status": status, "text": text })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange() -> Exchange {
        Exchange::Index {
            call: "mail-index.read",
            asked: json!({}),
            answered: json!({}),
        }
    }

    /// The columns of a large maildrop are many times as large in JSON.
    #[test]
    fn what_is_too_large_to_keep_is_not_made() {
        let mut under_way = UnderWay {
            begun: Instant::now(),
            heard: Vec::new(),
            octets: 0,
            left_out: 0,
        };
        under_way.hear(HEARD_OCTETS, exchange);
        assert_eq!((under_way.heard.len(), under_way.left_out), (1, 0));
        under_way.hear(1, || panic!("it was made"));
        assert_eq!((under_way.heard.len(), under_way.left_out), (1, 1));
        under_way.hear(0, || panic!("it was made after one that is left out"));
        assert_eq!((under_way.heard.len(), under_way.left_out), (1, 2));
    }
}

//! Delivers into an engine, by the crate that keeps it.

use std::sync::Arc;

use fastrand::Rng;
use restante_engine::postgres::{self, PostgresBlobs};
use restante_engine::{
    Appended, Blobs, Entry, Folder, Limits, MAX_BLOB_CHUNK_BYTES, MailIndex, OWN_PLACE, Placed,
    Problem, Retention, Tables, blob_of_maildrop,
};
use tokio::runtime::Runtime;

use crate::checker::Left;
use crate::history::{Delivered, Digest, Event, History};

/// The tenant of the servers' sites.
pub(crate) const TENANT: &str = "test";
/// One message of so many is so large that its blob has several parts.
const LARGE: usize = 40;
/// How often a delivery is tried of which nobody knows whether it was made.
const ATTEMPTS: u32 = 3;

/// The name of the user of this number.
pub(crate) fn user(number: usize) -> String {
    format!("user{number}")
}

/// What somebody who is no server reaches of an engine.
pub(crate) struct Deliverer {
    runtime: Arc<Runtime>,
    index: Arc<dyn MailIndex>,
    blobs: Arc<dyn Blobs>,
}

impl Deliverer {
    /// Makes the tables if there are none.
    pub(crate) fn open(runtime: &Arc<Runtime>, url: String, password: &str) -> Deliverer {
        let settings = postgres::Settings {
            url,
            password: Some(password.to_owned().into()),
            authorities: None,
        };
        let opening = postgres::Postgres::open(&settings, Retention::default(), Tables::Made);
        let index = runtime.block_on(opening).unwrap();
        Deliverer {
            runtime: runtime.clone(),
            blobs: Arc::new(PostgresBlobs::new(&index, OWN_PLACE).unwrap()),
            index: Arc::new(index),
        }
    }

    /// Delivers a message that nobody had before, and notes what came of it. None: it was not
    /// acknowledged; otherwise its unique-id, or "" if that was not told.
    pub(crate) fn deliver(&self, to: usize, history: &History, rng: &mut Rng) -> Option<String> {
        let delivery = history.number();
        let message = message(&user(to), delivery, rng);
        let digest = Digest::of(&message);
        let maildrop = history.maildrop(to);
        maildrop.note(Event::Delivering {
            delivery,
            digest,
            octets: message.len() as u64,
        });
        let came = self.runtime.block_on(async {
            let mut came = Delivered::Refused;
            for attempt in 0..ATTEMPTS {
                let path = format!("{delivery}-{attempt}");
                match self.attempt(to, &path, digest, &message).await {
                    Ok(Appended::Kept(unique_id)) => return Delivered::Kept(unique_id),
                    // The digest is this message's alone.
                    Ok(Appended::Duplicate) => {
                        assert_eq!(came, Delivered::Unknown, "delivery {delivery}: a duplicate");
                        return Delivered::Before;
                    }
                    Ok(Appended::Full) => panic!("a maildrop without limits is full"),
                    Err(Problem::Unknown(_)) => came = Delivered::Unknown,
                    Err(_) if came == Delivered::Refused => break,
                    // It says nothing about the attempt before.
                    Err(_) => {}
                }
            }
            came
        });
        maildrop.note(Event::Delivered {
            delivery,
            came: came.clone(),
        });
        match came {
            Delivered::Kept(unique_id) => Some(unique_id),
            Delivered::Before => Some(String::new()),
            Delivered::Refused | Delivered::Unknown => None,
        }
    }

    async fn attempt(
        &self,
        to: usize,
        path: &str,
        digest: Digest,
        message: &[u8],
    ) -> Result<Appended, Problem> {
        let octets = message.len() as u64;
        let maildrop = maildrop(to);
        let placed = Placed {
            place: OWN_PLACE.to_owned(),
            path: blob_of_maildrop(TENANT, &maildrop, path)?,
        };
        // Of these nobody sees anything before the append.
        self.index.intend(&placed).await?;
        let mut blob = self.blobs.create(&placed.path, octets).await?;
        for chunk in message.chunks(MAX_BLOB_CHUNK_BYTES) {
            let written = blob.write(chunk.to_vec().into()).await;
            written.map_err(not_visible)?;
        }
        blob.finish().await.map_err(not_visible)?;
        let entry = Entry {
            unique_id: None,
            octets,
            surrogate: None,
            received: 1_700_000_000,
            name: path.to_owned(),
            digest: Some(digest.octets()),
            weight: octets,
        };
        let folder = folder(to)?;
        let free = Limits::default();
        let appended = self.index.append(&folder, &entry, &free, Some(&placed));
        appended.await
    }

    /// What is in the maildrop of a user now.
    pub(crate) fn left(&self, of: usize) -> Vec<Left> {
        let folder = folder(of).unwrap();
        let entries = self.runtime.block_on(self.index.read(&folder)).unwrap();
        let unique_ids = entries.unique_ids.split_terminator('\0');
        let left = unique_ids.zip(&entries.octets).map(|(id, octets)| Left {
            unique_id: id.to_owned(),
            octets: *octets,
        });
        left.collect()
    }
}

/// A blob of which nobody knows whether it is there: no entry leads to it.
fn not_visible(problem: Problem) -> Problem {
    match problem {
        Problem::Unknown(text) => Problem::Unavailable(text),
        problem => problem,
    }
}

fn maildrop(user_number: usize) -> String {
    format!("{TENANT}/{}", user(user_number))
}

fn folder(of: usize) -> Result<Folder, Problem> {
    Folder::new(TENANT, &maildrop(of), "")
}

/// A message as clients get it: no two are the same.
fn message(to: &str, delivery: u64, rng: &mut Rng) -> Vec<u8> {
    let mut message = format!(
        "Subject: {delivery} {:016x}\r\nTo: {to}\r\n\r\n",
        rng.u64(..)
    )
    .into_bytes();
    let lines = match rng.usize(..LARGE) {
        0 => rng.usize(4_000..8_000),
        _ => rng.usize(..40),
    };
    for line in 0..lines {
        let line = match line % 7 {
            3 => ".\r\n".to_owned(),
            5 => format!("..{line}\r\n"),
            _ => format!("line {line} of {lines} {}\r\n", "x".repeat(60)),
        };
        message.extend_from_slice(line.as_bytes());
    }
    message
}

//! The octets of one message: read as a session reads them, and written into an engine.

use std::fmt::Write as _;

use restante_engine::{Appended, Entry, Limits, OWN_PLACE, Placed};
use restante_pop3::Scales;
use restante_roles::content::{ContentError, Source};
use restante_wasm::{EngineMaildrop, MailEngine};
use sha2::{Digest as _, Sha256};

use super::error::MessageError;

/// What the paths of copied messages begin with, in their maildrop.
const FOLDER: &str = "copied";

/// What was read of a message, as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) octets: u64,
    /// SHA-256.
    digest: [u8; 32],
}

/// What an index is told of a message.
pub(super) struct Message<'a> {
    pub(super) unique_id: &'a str,
    /// As LIST has them.
    pub(super) octets: u64,
    /// The same for a client that has not said UTF8.
    pub(super) surrogate: u64,
    pub(super) received: u64,
}

/// Reads a message to its end.
pub(super) async fn read(mut source: Source) -> Result<Stored, ContentError> {
    let (mut hash, mut octets, mut chunk) = (Sha256::new(), 0, Vec::new());
    while !source.ended() {
        source.next(&mut chunk).await?;
        hash.update(&chunk);
        octets += chunk.len() as u64;
    }
    Ok(Stored {
        octets,
        digest: hash.finalize().into(),
    })
}

/// Appends a message of `stored` octets to a maildrop. Nothing of it is to be seen there before
/// all of it is; what comes to nothing becomes garbage of the engine's.
pub(super) async fn append(
    engine: &MailEngine,
    maildrop: &EngineMaildrop,
    message: &Message<'_>,
    mut source: Source,
    stored: u64,
) -> Result<Stored, MessageError> {
    // No path is used twice, not even by a copy that was killed before.
    let name = fresh_path().map_err(MessageError::Randomness)?;
    let placed = Placed {
        place: OWN_PLACE.to_owned(),
        path: maildrop.blob(&name).map_err(MessageError::Engine)?,
    };
    let folder = maildrop.folder("").map_err(MessageError::Engine)?;
    let entry = Entry {
        unique_id: Some(message.unique_id.to_owned()),
        octets: message.octets,
        surrogate: (message.surrogate != message.octets).then_some(message.surrogate),
        received: message.received,
        name,
        // Two messages may have the same octets.
        digest: None,
        weight: stored,
    };
    let intended = engine.index.intend(&placed).await;
    intended.map_err(MessageError::Engine)?;
    let writer = engine.blobs.create(&placed.path, stored).await;
    let mut writer = writer.map_err(MessageError::Engine)?;
    let (mut hash, mut scales) = (Sha256::new(), Scales::new());
    let (mut octets, mut chunk) = (0, Vec::new());
    while !source.ended() {
        source.next(&mut chunk).await?;
        hash.update(&chunk);
        octets += chunk.len() as u64;
        if octets > stored {
            return Err(MessageError::Changed);
        }
        let written = writer.write(chunk.clone().into()).await;
        written.map_err(MessageError::Engine)?;
        scales.feed(&mut chunk);
    }
    if octets != stored {
        return Err(MessageError::Changed);
    }
    // What a client would be promised is what it gets.
    let actual = scales.finish().octets;
    if actual != message.octets {
        return Err(MessageError::Octets {
            listed: message.octets,
            actual,
        });
    }
    writer.finish().await.map_err(MessageError::Engine)?;
    let free = Limits::default();
    let appended = engine.index.append(&folder, &entry, &free, Some(&placed));
    match appended.await.map_err(MessageError::Engine)? {
        Appended::Kept(_) => Ok(Stored {
            octets,
            digest: hash.finalize().into(),
        }),
        // It has no digest that another one could have.
        Appended::Full | Appended::Duplicate => Err(MessageError::Full),
    }
}

fn fresh_path() -> Result<String, getrandom::Error> {
    let mut octets = [0_u8; 16];
    getrandom::fill(&mut octets)?;
    let mut path = format!("{FOLDER}/");
    for octet in octets {
        // A String takes whatever is written to it.
        let _ = write!(path, "{octet:02x}");
    }
    Ok(path)
}

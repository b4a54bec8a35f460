//! RETR and TOP: a message from its store to the client, chunk by chunk.
//!
//! "+OK" is a promise of so many octets and a final dot. What can be checked
//! before it is given is checked before; what turns out wrong afterwards ends
//! the connection without the dot, so that a cut message never looks whole.
//!
//! A client that has not said UTF8 gets a surrogate where a header needs it (RFC
//! 6856 section 2.1). LIST says its octets where the store knows them; what "+OK"
//! promises is as much as the first chunk tells.

use restante_pop3::{Measure, Refusal, ResponseCode, Retrieval, Stuffing, Surrogate};
use tokio::io::{AsyncRead, AsyncWrite};
use tracing::warn;

use super::end::{BrokenOff, End};
use super::open::Open;
use super::refusal::refusal_for;
use super::transaction::TransactionDriver;
use super::wire::OUTPUT_BYTES;
use restante_config::Utf8;
use restante_roles::backend::Failure;
use restante_roles::content::Source;

/// What the client has had.
pub(super) struct Sent {
    /// The whole message (RETR), not its top.
    pub(super) whole: bool,
    /// Octets, without byte-stuffing and the terminating line.
    pub(super) octets: u64,
}

/// A message on its way.
struct Sending {
    source: Source,
    /// Read, and through `surrogate`; not fed to `stuffing` yet.
    chunk: Vec<u8>,
    /// None: it goes out as it is.
    surrogate: Option<Surrogate>,
    stuffing: Stuffing,
    /// What filters put in front, and the message as it is stored.
    octets: u64,
}

impl Sending {
    /// Makes the chunk that was read what goes out.
    fn shown(&mut self) {
        if let Some(surrogate) = &mut self.surrogate {
            surrogate.feed(&mut self.chunk);
            if self.source.ended() {
                surrogate.finish(&mut self.chunk);
            }
        }
    }

    /// Octets that the client will have got, if nothing of what is to come needs
    /// a surrogate.
    fn promised(&self) -> u64 {
        let growth = self.surrogate.as_ref().map_or(0, Surrogate::growth);
        self.octets.saturating_add_signed(growth)
    }
}

impl<S> TransactionDriver<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    /// Sends what is wanted. None: it was refused, and the session goes on.
    pub(super) async fn retrieve(
        &mut self,
        open: &Open,
        wanted: Retrieval,
    ) -> Result<Option<Sent>, End> {
        let Retrieval {
            message,
            octets,
            body_lines,
            utf8,
        } = wanted;
        let position = message.position();
        let annotation = open.view.annotation(position);
        let stored_octets = open.view.stored_octets(position);
        let policy = match utf8 {
            true => Utf8::Off,
            false => (open.tenant.utf8).unwrap_or(self.serving.settings.utf8),
        };
        // A refusal needs all of what is looked at.
        let filled = body_lines.is_none() || policy == Utf8::Refuse;
        let begun = begin(open, position, stored_octets, filled);
        let (source, chunk) = match self.wire.flush_while(begun).await? {
            Ok(begun) => begun,
            Err(failure) => {
                self.session.refuse(&refusal_for(&failure), self.wire.out());
                return Ok(None);
            }
        };
        let mut sending = Sending {
            source,
            chunk,
            surrogate: (policy != Utf8::Off).then(Surrogate::new),
            stuffing: Stuffing::new(body_lines),
            octets: stored_octets.saturating_add(annotation.len() as u64),
        };
        sending.shown();
        let is_needed = sending.surrogate.as_ref().is_some_and(Surrogate::is_needed);
        if is_needed && policy == Utf8::Refuse {
            self.session.refuse(&needs_utf8(), self.wire.out());
            return Ok(None);
        }
        // What is behind the first chunk the listing knows, if the store does.
        let says_more = !sending.source.ended() && octets != sending.octets;
        let promised = if says_more {
            octets
        } else {
            sending.promised()
        };
        self.session.retrieving(promised, self.wire.out());
        sending.stuffing.feed(annotation, self.wire.out());
        let sent = self.send(sending).await;
        if let Err(End::BrokenOff(why)) = &sent {
            let unique_id = open.view.listing().unique_id(position);
            warn!(unique_id, %why, "message broke off, closing");
            self.wire.flush().await?;
        }
        let octets = sent?;
        self.session.retrieved(octets);
        let whole = body_lines.is_none();
        Ok(Some(Sent { whole, octets }))
    }

    /// Everything behind "+OK". Returns the octets sent.
    async fn send(&mut self, sending: Sending) -> Result<u64, End> {
        let mut sending = sending;
        loop {
            sending.stuffing.feed(&sending.chunk, self.wire.out());
            let stuffing = &sending.stuffing;
            if stuffing.is_complete()
                || sending.source.ended()
                || stuffing.octets() > sending.promised()
            {
                break;
            }
            if self.wire.out().len() >= OUTPUT_BYTES {
                self.wire.flush().await?;
            }
            let more = sending.source.next(&mut sending.chunk);
            let more = self.wire.flush_while(more).await?;
            more.map_err(BrokenOff::Content)?;
            sending.shown();
        }
        let promised = sending.promised();
        let cut = sending.stuffing.is_complete();
        let out = self.wire.out();
        let without_end = out.len();
        let actual = sending.stuffing.finish(out);
        if !cut && actual != promised {
            out.truncate(without_end);
            return Err(End::BrokenOff(BrokenOff::Octets {
                listed: promised,
                actual,
            }));
        }
        Ok(actual)
    }
}

/// Everything before "+OK": the content and its first chunk, which is the whole
/// message most of the time.
async fn begin(
    open: &Open,
    position: usize,
    stored_octets: u64,
    filled: bool,
) -> Result<(Source, Vec<u8>), Failure> {
    let unique_id = open.view.listing().unique_id(position);
    let stored = open.view.store_position(position);
    let content = open.maildrop.lock().await.content(stored).await?;
    let mut source = Source::new(content);
    let length = source.length_left();
    let mut chunk = Vec::new();
    // TOP of a message that is pulled does not wait for more than it may need.
    let read = if filled || length.is_some() {
        source.fill(&mut chunk).await
    } else {
        source.next(&mut chunk).await
    };
    if let Err(error) = read {
        warn!(unique_id, %error, "message cannot be read");
        return Err(error.into_failure());
    }
    let plausible = match length {
        _ if source.ended() => measured(&chunk) == stored_octets,
        // Every octet counts at least once, a line end may count double, and the
        // last line end may be missing.
        Some(length) => {
            length <= stored_octets && stored_octets <= length.saturating_mul(2).saturating_add(2)
        }
        None => true,
    };
    if !plausible {
        warn!(
            unique_id,
            listed = stored_octets,
            length,
            counted = source.ended().then(|| measured(&chunk)),
            "message is not what its listing says"
        );
        open.maildrop.lock().await.doubt(stored).await;
        return Err(Failure::Temporary(
            "the message is not what the listing says".into(),
        ));
    }
    Ok((source, chunk))
}

fn measured(octets: &[u8]) -> u64 {
    let mut measure = Measure::new();
    measure.feed(octets);
    measure.finish()
}

/// RFC 6856 section 5.
fn needs_utf8() -> Refusal {
    Refusal::new(Some(ResponseCode::Utf8), "message needs UTF8")
}

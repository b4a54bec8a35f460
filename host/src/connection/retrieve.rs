//! RETR and TOP: a message from its store to the client, chunk by chunk.
//!
//! "+OK" is a promise of so many octets and a final dot. What can be checked
//! before it is given is checked before; what turns out wrong afterwards ends
//! the connection without the dot, so that a cut message never looks whole.

use restante_pop3::{Measure, MessageNumber, Stuffing};
use tokio::io::{AsyncRead, AsyncWrite};
use tracing::warn;

use super::login::Open;
use super::refusal::refusal_for;
use super::wire::OUTPUT_OCTETS;
use super::{BrokenOff, Driver, End};
use crate::backend::Failure;
use crate::content::Source;

/// A message on its way.
struct Sending {
    source: Source,
    /// Read and not fed to `stuffing` yet.
    chunk: Vec<u8>,
    stuffing: Stuffing,
    /// As the listing has them.
    octets: u64,
}

impl<S> Driver<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    pub(super) async fn retrieve(
        &mut self,
        open: &Open,
        message: MessageNumber,
        octets: u64,
        body_lines: Option<u64>,
    ) -> Result<(), End> {
        let position = message.position();
        let annotation = open.view.annotation(position);
        // The view added the one to the other.
        let stored_octets = octets.saturating_sub(annotation.len() as u64);
        let begun = begin(open, position, stored_octets, body_lines.is_none());
        let (source, chunk) = match self.wire.flush_while(begun).await? {
            Ok(begun) => begun,
            Err(failure) => {
                self.session.refuse(&refusal_for(&failure), self.wire.out());
                return Ok(());
            }
        };
        let mut sending = Sending {
            source,
            chunk,
            stuffing: Stuffing::new(body_lines),
            octets,
        };
        self.session.retrieving(self.wire.out());
        sending.stuffing.feed(annotation, self.wire.out());
        match self.send(sending).await? {
            Ok(sent) => {
                self.session.retrieved(sent);
                Ok(())
            }
            Err(why) => {
                let unique_id = open.view.listing().unique_id(position);
                warn!(unique_id, %why, "message broke off, closing");
                self.wire.flush().await?;
                Err(End::BrokenOff(why))
            }
        }
    }

    /// Everything behind "+OK". Returns the octets sent.
    async fn send(&mut self, sending: Sending) -> Result<Result<u64, BrokenOff>, End> {
        let Sending {
            mut source,
            mut chunk,
            mut stuffing,
            octets,
        } = sending;
        loop {
            stuffing.feed(&chunk, self.wire.out());
            if stuffing.is_complete() || source.ended() || stuffing.octets() > octets {
                break;
            }
            if self.wire.out().len() >= OUTPUT_OCTETS {
                self.wire.flush().await?;
            }
            let more = source.next(&mut chunk);
            if let Err(error) = self.wire.flush_while(more).await? {
                return Ok(Err(error.into()));
            }
        }
        let cut = stuffing.is_complete();
        let out = self.wire.out();
        let without_end = out.len();
        let actual = stuffing.finish(out);
        if !cut && actual != octets {
            out.truncate(without_end);
            return Ok(Err(BrokenOff::Octets {
                listed: octets,
                actual,
            }));
        }
        Ok(Ok(actual))
    }
}

/// Everything before "+OK": the content and its first chunk, which is the whole
/// message most of the time.
async fn begin(
    open: &Open,
    position: usize,
    stored_octets: u64,
    whole: bool,
) -> Result<(Source, Vec<u8>), Failure> {
    let unique_id = open.view.listing().unique_id(position);
    let stored = open.view.store_position(position);
    let content = open.maildrop.lock().await.content(stored).await?;
    let mut source = Source::new(content);
    let length = source.length_left();
    let mut chunk = Vec::new();
    // TOP of a message that is pulled does not wait for more than it may need.
    let read = if whole || length.is_some() {
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

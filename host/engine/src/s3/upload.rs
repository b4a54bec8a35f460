//! A blob on its way into a bucket.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use sha2::{Digest, Sha256};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::JoinHandle;
use tokio::time;

use super::client::{Body, Client, MAX_RANGE_BYTES};
use crate::blobs::{BlobPath, BlobWriter};
use crate::bounds::CALL_DEADLINE;
use crate::problem::Problem;

/// For a store to have a blob on all its disks, after the last octet.
const SYNC_DEADLINE: Duration = Duration::from_secs(60);
/// Chunks between the writer and the connection.
const CHUNKS: usize = 2;

/// Begins to send a blob, once fewer requests are under way than may be.
pub(super) async fn begin(
    client: Arc<Client>,
    path: &BlobPath,
    octets: u64,
) -> Result<Box<dyn BlobWriter>, Problem> {
    client.check_contact(path).await?;
    let permit = time::timeout(CALL_DEADLINE, client.permits.clone().acquire_owned()).await;
    let Ok(Ok(permit)) = permit else {
        return Err(client.problem(path, "too many requests are under way: it is too slow"));
    };
    Ok(Box::new(Writer {
        client,
        path: path.clone(),
        octets,
        written: 0,
        digest: Sha256::new(),
        held_back: Bytes::new(),
        permit: Some(permit),
        under_way: None,
        is_over: false,
    }))
}

struct Writer {
    client: Arc<Client>,
    path: BlobPath,
    octets: u64,
    written: u64,
    digest: Sha256,
    /// The last octets are sent when it finishes: else a blob would be there whose writer
    /// is dropped before.
    held_back: Bytes,
    permit: Option<OwnedSemaphorePermit>,
    /// None: nothing was sent yet, or the request is over.
    under_way: Option<UnderWay>,
    is_over: bool,
}

/// A request that is being sent.
struct UnderWay {
    /// How many requests the store had answered when it began.
    answers: u64,
    chunks: mpsc::Sender<Bytes>,
    put: JoinHandle<Result<(), Problem>>,
}

impl Drop for UnderWay {
    /// Breaks it off: a store keeps nothing of fewer octets than announced.
    fn drop(&mut self) {
        self.put.abort();
    }
}

impl UnderWay {
    /// What the store says.
    async fn answer(
        &mut self,
        client: &Client,
        path: &BlobPath,
        deadline: Duration,
    ) -> Result<(), Problem> {
        match time::timeout(deadline, &mut self.put).await {
            Ok(Ok(answered)) => answered,
            Ok(Err(error)) => Err(client.problem(path, &error.to_string())),
            Err(_) => Err(client.late(
                path,
                self.answers,
                "it does not answer in time; whether the blob is there is not known",
            )),
        }
    }
}

impl Writer {
    fn check(&self) -> Result<(), Problem> {
        match self.is_over {
            true => Err(Problem::invalid(
                "the blob's writer has failed before: begin again",
            )),
            false => Ok(()),
        }
    }

    /// The request, which begins now if it has not. It is over, unless it is put back.
    fn under_way(&mut self) -> Result<UnderWay, Problem> {
        if std::mem::replace(&mut self.is_over, true) {
            return Err(Problem::invalid(
                "the blob's writer has failed before: begin again",
            ));
        }
        if let Some(under_way) = self.under_way.take() {
            return Ok(under_way);
        }
        let (chunks, body) = channel(self.octets);
        let (client, path, octets) = (self.client.clone(), self.path.clone(), self.octets);
        let (permit, answers) = (self.permit.take(), self.client.answers());
        let put = tokio::spawn(async move {
            let _permit = permit;
            client.put(&path, octets, body).await
        });
        Ok(UnderWay {
            answers,
            chunks,
            put,
        })
    }

    /// Sends octets. After a problem the request is over.
    async fn send(&mut self, chunk: Bytes) -> Result<(), Problem> {
        let mut under_way = self.under_way()?;
        match time::timeout(CALL_DEADLINE, under_way.chunks.send(chunk)).await {
            Ok(Ok(())) => {
                self.under_way = Some(under_way);
                self.is_over = false;
                Ok(())
            }
            // The request is over before all was sent: its answer says why.
            Ok(Err(_)) => {
                under_way
                    .answer(&self.client, &self.path, CALL_DEADLINE)
                    .await?;
                Err(self
                    .client
                    .problem(&self.path, "it answers before it has all octets"))
            }
            Err(_) => {
                Err(self
                    .client
                    .late(&self.path, under_way.answers, "it takes no octets in time"))
            }
        }
    }

    async fn read_back(&self) -> Result<(), Problem> {
        let mut digest = Sha256::new();
        let mut offset = 0;
        loop {
            let part = self.client.get(&self.path, offset, MAX_RANGE_BYTES).await?;
            let part = part.filter(|part| part.total == self.octets);
            let Some(part) = part else {
                return Err(self.lied());
            };
            digest.update(&part.bytes);
            offset += part.bytes.len() as u64;
            if part.bytes.is_empty() || offset >= self.octets {
                break;
            }
        }
        match digest.finalize() == self.digest.clone().finalize() {
            true => Ok(()),
            false => Err(self.lied()),
        }
    }

    fn lied(&self) -> Problem {
        let what = "it has acknowledged what is not there, or not as it was sent";
        self.client.problem(&self.path, what)
    }
}

#[async_trait]
impl BlobWriter for Writer {
    async fn write(&mut self, chunk: Bytes) -> Result<(), Problem> {
        self.check()?;
        let written = self.written + chunk.len() as u64;
        if written > self.octets {
            return Err(Problem::more_octets(self.path.as_str(), self.octets));
        }
        if chunk.is_empty() {
            return Ok(());
        }
        if !self.held_back.is_empty() {
            let before = std::mem::take(&mut self.held_back);
            self.send(before).await?;
        }
        self.digest.update(&chunk);
        self.held_back = chunk;
        self.written = written;
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<(), Problem> {
        if self.written != self.octets {
            return Err(Problem::fewer_octets(self.path.as_str(), self.octets));
        }
        if !self.held_back.is_empty() {
            let last = std::mem::take(&mut self.held_back);
            self.send(last).await?;
        }
        let mut under_way = self.under_way()?;
        under_way
            .answer(&self.client, &self.path, SYNC_DEADLINE)
            .await?;
        match self.client.reads_back {
            true => self.read_back().await,
            false => Ok(()),
        }
    }
}

/// A request's body of so many octets, and where they are put in.
fn channel(octets: u64) -> (mpsc::Sender<Bytes>, Body) {
    let (sender, chunks) = mpsc::channel(CHUNKS);
    let left = octets;
    (sender, UnsyncBoxBody::new(Chunks { chunks, left }))
}

struct Chunks {
    chunks: mpsc::Receiver<Bytes>,
    left: u64,
}

impl http_body::Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let chunk = std::task::ready!(self.chunks.poll_recv(context));
        Poll::Ready(chunk.map(|chunk| {
            self.left = self.left.saturating_sub(chunk.len() as u64);
            Ok(Frame::data(chunk))
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

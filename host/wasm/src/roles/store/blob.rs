//! A message that an engine keeps as a blob: read part by part, as the client takes it.

use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::time::Instant;
use tracing::warn;

use crate::instance::calls::charging;
use crate::instance::engines::MailEngine;
use crate::instance::maildrop::EngineMaildrop;
use restante_engine::{BlobReader, Problem};
use restante_roles::backend::{Connection, Content, ContentReader, Failure};
use restante_roles::content::FILE_READ_TIMEOUT;
use restante_roles::metrics::EngineCall;
use restante_roles::turns::{MAX_BUSY_WAIT, Owner};
use restante_roles::work::WorkRoom;

/// A session that asks for blobs of its maildrop.
pub(super) struct BlobAsker {
    maildrop: EngineMaildrop,
    /// Where it works, and who pays.
    room: WorkRoom,
    owner: Owner,
}

impl BlobAsker {
    pub(super) fn new(maildrop: &EngineMaildrop, connection: &Connection) -> Self {
        BlobAsker {
            maildrop: maildrop.clone(),
            room: connection.work(),
            owner: connection.owner(),
        }
    }

    /// Opens the blob that the guest calls `path`, from `offset` on: to its end, or `length`
    /// octets.
    pub(super) async fn open(
        self,
        path: &str,
        offset: u64,
        length: Option<u64>,
    ) -> io::Result<Content> {
        let invalid = |problem: Problem| io::Error::new(io::ErrorKind::InvalidInput, problem);
        let path = self.maildrop.blob(path).map_err(invalid)?;
        let opened = self.ask(EngineCall::OpenBlob, move |engine| async move {
            engine.blobs.open(&path, offset, length).await
        });
        let opened = opened.await;
        match opened {
            Ok(Some(reader)) => Ok(Content::Reader(Box::new(Blob {
                left: reader.octets(),
                reader: Some(reader),
                asker: self,
            }))),
            Ok(None) => Err(io::Error::new(
                io::ErrorKind::NotFound,
                "there is no such blob",
            )),
            // The range that was named leads beyond its end.
            Err(problem @ Problem::Invalid(_)) => {
                Err(io::Error::new(io::ErrorKind::UnexpectedEof, problem))
            }
            Err(problem) => Err(io::Error::other(problem)),
        }
    }

    async fn ask<T, F>(
        &self,
        call: EngineCall,
        ask: impl FnOnce(MailEngine) -> F + Send + 'static,
    ) -> Result<T, Problem>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Problem>> + Send + 'static,
    {
        let engine = Arc::clone(self.maildrop.engine());
        // The client has its +OK: a short wait would cut the message.
        let patience = match call {
            EngineCall::ReadBlob => FILE_READ_TIMEOUT,
            _ => MAX_BUSY_WAIT,
        };
        let turn = engine.turns(call).turn(self.owner.clone(), patience);
        let turn = turn.await.map_err(|_| {
            Problem::unavailable("no free place in time: other calls of this engine take too long")
        })?;
        let meter = charging(self.room.clone(), turn);
        let meter = meter.map_err(|_| Problem::unavailable("the session is over"))?;
        let deadline = Instant::now() + FILE_READ_TIMEOUT;
        engine.ask(call, meter, deadline, ask).await
    }
}

/// A blob that is open.
struct Blob {
    asker: BlobAsker,
    /// None: a call is on its way, or one came to nothing.
    reader: Option<Box<dyn BlobReader>>,
    /// Octets to come.
    left: u64,
}

#[async_trait]
impl ContentReader for Blob {
    async fn read(&mut self, limit: u32) -> Result<Vec<u8>, Failure> {
        if self.left == 0 {
            return Ok(Vec::new());
        }
        let mut reader = self.reader.take().ok_or_else(Failure::internal)?;
        let read = self.asker.ask(EngineCall::ReadBlob, move |_| async move {
            let octets = reader.read(limit as usize).await?;
            Ok((reader, octets))
        });
        let (reader, octets) = read.await.map_err(|problem| {
            warn!(maildrop = %self.asker.maildrop, %problem, "a message cannot be read on");
            Failure::Temporary("the message cannot be read now".into())
        })?;
        self.reader = Some(reader);
        self.left = self.left.saturating_sub(octets.len() as u64);
        Ok(octets.into())
    }

    fn octets_left(&self) -> Option<u64> {
        Some(self.left)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use bytes::Bytes;
    use restante_engine::memory::MemoryBlobs;
    use restante_engine::{BlobPath, BlobWriter, Blobs, Removal};
    use restante_roles::content::{CHUNK_OCTETS, Source};
    use restante_roles::metrics::Ledger;

    use super::*;
    use crate::instance::testing::TestEngine;

    fn asker(maildrop: &EngineMaildrop) -> BlobAsker {
        let ledger = Ledger::new("t");
        BlobAsker {
            maildrop: maildrop.clone(),
            owner: Owner::operator(ledger.tenant()),
            room: WorkRoom::new(ledger),
        }
    }

    async fn write(blobs: &dyn Blobs, path: &BlobPath, octets: &[u8]) {
        let mut writer = blobs.create(path, octets.len() as u64).await.unwrap();
        writer.write(Bytes::copy_from_slice(octets)).await.unwrap();
        writer.finish().await.unwrap();
    }

    async fn all(content: Content) -> Vec<u8> {
        let mut source = Source::new(content);
        let (mut all, mut chunk) = (Vec::new(), Vec::new());
        while !source.ended() {
            source.next(&mut chunk).await.unwrap();
            assert!(chunk.len() <= CHUNK_OCTETS);
            all.extend_from_slice(&chunk);
        }
        all
    }

    fn kind<T>(opened: io::Result<T>) -> io::ErrorKind {
        opened.err().expect("it is not opened").kind()
    }

    #[tokio::test]
    async fn a_blob_is_read_whole_and_in_part_below_its_maildrop_alone() {
        let blobs = Arc::new(MemoryBlobs::default());
        let (_, shared) = TestEngine::with(blobs.clone());
        let own = EngineMaildrop::new(&shared, "t", "m").unwrap();
        let octets: Vec<u8> = (0..3 * CHUNK_OCTETS + 7)
            .map(|at| (at % 251) as u8)
            .collect();
        write(&*blobs, &own.blob("2026/x").unwrap(), &octets).await;
        let open = async |path: &str, offset, length| asker(&own).open(path, offset, length).await;
        let Ok(Content::Reader(reader)) = open("2026/x", 0, None).await else {
            panic!("no reader");
        };
        assert_eq!(reader.octets_left(), Some(octets.len() as u64));
        assert!(all(Content::Reader(reader)).await == octets);
        let part = all(open("2026/x", 10, Some(70_000)).await.unwrap()).await;
        assert!(part == octets[10..70_010]);
        assert!(
            all(open("2026/x", 10, Some(0)).await.unwrap())
                .await
                .is_empty()
        );
        let beyond = open("2026/x", 10, Some(octets.len() as u64)).await;
        assert_eq!(kind(beyond), io::ErrorKind::UnexpectedEof);
        assert_eq!(kind(open("none", 0, None).await), io::ErrorKind::NotFound);

        // Another's, by whatever path.
        for (tenant, name) in [("t", "n"), ("u", "m")] {
            let other = EngineMaildrop::new(&shared, tenant, name).unwrap();
            let there = other.blob("secret").unwrap();
            write(&*blobs, &there, b"mail").await;
            let there = there.as_str();
            for path in [
                "secret",
                there,
                &format!("../../{there}"),
                &format!("/{there}"),
            ] {
                assert!(open(path, 0, None).await.is_err(), "{path}");
            }
        }
    }

    /// A blob that fails in the middle.
    #[derive(Debug)]
    struct Failing;

    struct HalfRead(u64);

    #[async_trait]
    impl BlobReader for HalfRead {
        fn octets(&self) -> u64 {
            20
        }

        async fn read(&mut self, _: usize) -> Result<Bytes, Problem> {
            self.0 += 10;
            match self.0 {
                10 => Ok(Bytes::from_static(b"0123456789")),
                _ => Err(Problem::unavailable("the engine went away")),
            }
        }
    }

    #[async_trait]
    impl Blobs for Failing {
        async fn create(&self, _: &BlobPath, _: u64) -> Result<Box<dyn BlobWriter>, Problem> {
            Err(Problem::unavailable("away"))
        }

        async fn read(&self, _: &BlobPath, _: u64, _: u32) -> Result<Option<Bytes>, Problem> {
            Err(Problem::unavailable("away"))
        }

        async fn open(
            &self,
            _: &BlobPath,
            _: u64,
            _: Option<u64>,
        ) -> Result<Option<Box<dyn BlobReader>>, Problem> {
            Ok(Some(Box::new(HalfRead(0))))
        }

        async fn remove(&self, _: &[BlobPath]) -> Result<Removal, Problem> {
            Err(Problem::unavailable("away"))
        }
    }

    /// It is no message that ends early.
    #[tokio::test]
    async fn a_blob_that_fails_in_the_middle_fails_and_does_not_end() {
        let (_, shared) = TestEngine::with(Arc::new(Failing));
        let maildrop = EngineMaildrop::new(&shared, "t", "m").unwrap();
        let content = asker(&maildrop).open("x", 0, None).await.unwrap();
        let mut source = Source::new(content);
        let mut chunk = Vec::new();
        source.next(&mut chunk).await.unwrap();
        assert!(chunk == b"0123456789" && !source.ended());
        for _ in 0..2 {
            assert!(source.next(&mut chunk).await.is_err());
            assert!(!source.ended());
        }
    }
}

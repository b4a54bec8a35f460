//! Pulls a message's octets out of its content, one bounded chunk at a time and
//! as they are stored: line ends and byte-stuffing come later.
//!
//! What can go wrong has a name here, because a message that breaks off in the
//! middle must never look whole to anybody.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::backend::{Content, ContentReader, Failure};
use crate::nowait;
use crate::work::{WorkError, WorkRoom};

/// Octets of one chunk at most: what one read of a file, one pull of a guest's
/// reader and one turn of the session loop move.
pub const CHUNK_OCTETS: usize = 64 * 1024;

/// How long one read of a file may take before the disk counts as gone.
pub const FILE_READ_TIMEOUT: Duration = Duration::from_secs(60);

/// Why a message's octets ended before the message did.
#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    /// The file could not be read.
    #[error("cannot read {}: {error}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The file ended before its length, as it was when it was opened.
    #[error("{} ends {missing} octets early", path.display())]
    Shrank {
        /// Which file.
        path: PathBuf,
        /// Octets that should have followed.
        missing: u64,
    },
    /// The file did not answer within [`FILE_READ_TIMEOUT`].
    #[error("{} cannot be read in time", path.display())]
    Late {
        /// Which file.
        path: PathBuf,
    },
    /// The reader failed.
    #[error("its reader failed: {0}")]
    Reader(Failure),
    /// The reader gave more than it was asked for.
    #[error("its reader gave {given} octets when {asked} were asked for")]
    TooMuch {
        /// The limit of the call.
        asked: usize,
        /// What came back.
        given: usize,
    },
}

impl ContentError {
    /// What the client may hear of it.
    pub fn into_failure(self) -> Failure {
        match self {
            ContentError::Reader(failure) => failure,
            _ => Failure::Temporary("the message cannot be read now".into()),
        }
    }
}

/// A message's stored octets, front to back.
pub struct Source {
    origin: Origin,
    ended: bool,
}

enum Origin {
    Inline { octets: Vec<u8>, at: usize },
    File(FileSource),
    Reader(Box<dyn ContentReader>),
}

/// From this length on a file is closed where that may wait: if another program has
/// removed it meanwhile, the last one that closes it gives its blocks back.
const LARGE_OCTETS: u64 = 16 * 1024 * 1024;

struct FileSource {
    file: Arc<File>,
    path: PathBuf,
    at: u64,
    left: u64,
    /// Whether to close it may take time.
    is_large: bool,
    work: WorkRoom,
}

impl Drop for FileSource {
    fn drop(&mut self) {
        if self.is_large {
            self.work.close(Box::new(Arc::clone(&self.file)));
        }
    }
}

impl Source {
    /// Starts at the first octet. Nothing is read yet.
    pub fn new(content: Content) -> Self {
        let origin = match content {
            Content::Inline(octets) => Origin::Inline { octets, at: 0 },
            Content::Reader(reader) => Origin::Reader(reader),
            Content::File(range) => Origin::File(FileSource {
                file: Arc::new(range.file),
                path: range.path,
                at: range.offset,
                left: range.length,
                is_large: range.length >= LARGE_OCTETS,
                work: range.work,
            }),
        };
        let mut source = Source {
            origin,
            ended: false,
        };
        source.ended = source.length_left() == Some(0);
        source
    }

    /// Stored octets that are still to come, where that is known beforehand.
    pub fn length_left(&self) -> Option<u64> {
        match &self.origin {
            Origin::Inline { octets, at } => Some((octets.len() - at) as u64),
            Origin::File(file) => Some(file.left),
            Origin::Reader(reader) => reader.octets_left(),
        }
    }

    /// Has everything been handed out?
    pub fn ended(&self) -> bool {
        self.ended
    }

    /// Puts the next octets into `chunk`, in place of what is there: at most
    /// [`CHUNK_OCTETS`], and none only at the end.
    pub async fn next(&mut self, chunk: &mut Vec<u8>) -> Result<(), ContentError> {
        chunk.clear();
        self.more(chunk, CHUNK_OCTETS).await
    }

    /// Like `next`, but goes on until the chunk is full or the end is certain.
    /// Only a reader needs more than one pull for that.
    pub async fn fill(&mut self, chunk: &mut Vec<u8>) -> Result<(), ContentError> {
        chunk.clear();
        while !self.ended && chunk.len() < CHUNK_OCTETS {
            self.more(chunk, CHUNK_OCTETS - chunk.len()).await?;
        }
        Ok(())
    }

    async fn more(&mut self, chunk: &mut Vec<u8>, limit: usize) -> Result<(), ContentError> {
        if self.ended {
            return Ok(());
        }
        match &mut self.origin {
            Origin::Inline { octets, at } => {
                let end = octets.len().min(*at + limit);
                chunk.extend_from_slice(&octets[*at..end]);
                *at = end;
            }
            Origin::File(file) => file.read(chunk, limit).await?,
            Origin::Reader(reader) => {
                let asked = u32::try_from(limit).unwrap_or(u32::MAX);
                let pulled = reader.read(asked).await.map_err(ContentError::Reader)?;
                if pulled.len() > limit {
                    return Err(ContentError::TooMuch {
                        asked: limit,
                        given: pulled.len(),
                    });
                }
                self.ended = pulled.is_empty() || reader.octets_left() == Some(0);
                if chunk.is_empty() {
                    *chunk = pulled;
                } else {
                    chunk.extend_from_slice(&pulled);
                }
                return Ok(());
            }
        }
        self.ended = self.length_left() == Some(0);
        Ok(())
    }
}

impl FileSource {
    /// Appends what one read yields: never nothing.
    async fn read(&mut self, chunk: &mut Vec<u8>, limit: usize) -> Result<(), ContentError> {
        let start = chunk.len();
        let length = usize::try_from(self.left).map_or(limit, |left| left.min(limit));
        chunk.resize(start + length, 0);
        let read = match nowait::read_at(&self.file, &mut chunk[start..], self.at) {
            Some(read) => read,
            None => self.read_waiting(chunk, start).await?,
        };
        let read = read.map_err(|error| ContentError::File {
            path: self.path.clone(),
            error,
        })?;
        chunk.truncate(start + read);
        if read == 0 {
            return Err(ContentError::Shrank {
                path: self.path.clone(),
                missing: self.left,
            });
        }
        self.at += read as u64;
        self.left -= read as u64;
        Ok(())
    }

    async fn read_waiting(
        &self,
        chunk: &mut Vec<u8>,
        start: usize,
    ) -> Result<io::Result<usize>, ContentError> {
        let file = Arc::clone(&self.file);
        let mut space = std::mem::take(chunk);
        let at = self.at;
        let reading = self.work.run(Instant::now() + FILE_READ_TIMEOUT, move |_| {
            let read = read_at(&file, &mut space[start..], at);
            (space, read)
        });
        match reading.await {
            Ok((space, read)) => {
                *chunk = space;
                Ok(read)
            }
            Err(WorkError::Late) => Err(ContentError::Late {
                path: self.path.clone(),
            }),
            Err(error) => Ok(Err(error.into())),
        }
    }
}

fn read_at(file: &File, space: &mut [u8], at: u64) -> io::Result<usize> {
    loop {
        match file.read_at(space, at) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::backend::FileRange;
    use crate::metrics::Ledger;

    struct Pulls(Vec<Result<Vec<u8>, Failure>>);

    /// The same, of which it is known how many octets they are.
    struct Counted(Pulls, u64);

    #[async_trait::async_trait]
    impl ContentReader for Counted {
        async fn read(&mut self, limit: u32) -> Result<Vec<u8>, Failure> {
            let octets = self.0.read(limit).await?;
            self.1 -= octets.len() as u64;
            Ok(octets)
        }

        fn octets_left(&self) -> Option<u64> {
            Some(self.1)
        }
    }

    #[async_trait::async_trait]
    impl ContentReader for Pulls {
        async fn read(&mut self, _limit: u32) -> Result<Vec<u8>, Failure> {
            if self.0.is_empty() {
                return Ok(Vec::new());
            }
            self.0.remove(0)
        }
    }

    fn file(octets: &[u8], offset: u64, length: u64) -> Content {
        let mut file = tempfile::tempfile().expect("a temporary file");
        file.write_all(octets).expect("room for it");
        Content::File(FileRange {
            file,
            path: "test".into(),
            offset,
            length,
            work: WorkRoom::new(Ledger::new("t")),
        })
    }

    async fn all(content: Content) -> Result<Vec<u8>, ContentError> {
        let mut source = Source::new(content);
        let (mut all, mut chunk) = (Vec::new(), Vec::new());
        while !source.ended() {
            source.next(&mut chunk).await?;
            assert!(chunk.len() <= CHUNK_OCTETS);
            all.extend_from_slice(&chunk);
        }
        Ok(all)
    }

    fn octets(length: usize) -> Vec<u8> {
        (0..length).map(|at| (at % 251) as u8).collect()
    }

    #[tokio::test]
    async fn every_origin_gives_the_same_octets() {
        for length in [0, 1, CHUNK_OCTETS - 1, CHUNK_OCTETS, 3 * CHUNK_OCTETS + 7] {
            let octets = octets(length);
            let pulls = octets.chunks(1000).map(|part| Ok(part.to_vec())).collect();
            let reader = Content::Reader(Box::new(Pulls(pulls)));
            for content in [
                Content::Inline(octets.clone()),
                file(&octets, 0, length as u64),
                reader,
            ] {
                assert!(all(content).await.expect("nothing fails") == octets);
            }
        }
    }

    #[tokio::test]
    async fn a_range_of_a_file() {
        let octets = octets(200_000);
        let range = all(file(&octets, 1000, 150_000)).await;
        assert!(range.expect("nothing fails") == octets[1000..151_000]);
    }

    #[tokio::test]
    async fn a_file_read_on_the_blocking_thread() {
        let octets = octets(200_000);
        let source = Source::new(file(&octets, 1000, 199_000));
        let Origin::File(file) = &source.origin else {
            unreachable!("it is a file");
        };
        let mut chunk = vec![7; 100];
        chunk.resize(50_000, 0);
        let read = file.read_waiting(&mut chunk, 100).await;
        let read = read.expect("in time").expect("nothing fails");
        assert!(read > 0 && chunk[..100] == [7; 100]);
        assert!(chunk[100..100 + read] == octets[1000..1000 + read]);
    }

    #[tokio::test]
    async fn a_file_that_is_shorter_than_it_was() {
        let error = all(file(b"abc", 0, 5)).await.expect_err("two are missing");
        assert!(matches!(error, ContentError::Shrank { missing: 2, .. }));
    }

    #[tokio::test]
    async fn a_reader_that_gives_too_much_or_fails() {
        let pulls = vec![Ok(vec![0; CHUNK_OCTETS + 1])];
        let error = all(Content::Reader(Box::new(Pulls(pulls)))).await;
        assert!(matches!(error, Err(ContentError::TooMuch { .. })));
        let pulls = vec![Ok(vec![0]), Err(Failure::internal())];
        let error = all(Content::Reader(Box::new(Pulls(pulls)))).await;
        assert!(matches!(error, Err(ContentError::Reader(_))));
    }

    /// No pull is made only to find its end.
    #[tokio::test]
    async fn a_reader_of_known_length_ends_with_its_last_octet() {
        let pulls = vec![Ok(vec![1; 3]), Ok(vec![2; 2]), Err(Failure::internal())];
        let reader = Counted(Pulls(pulls), 5);
        let mut source = Source::new(Content::Reader(Box::new(reader)));
        assert_eq!((source.length_left(), source.ended()), (Some(5), false));
        let mut chunk = Vec::new();
        source.fill(&mut chunk).await.expect("nothing fails");
        assert_eq!(chunk, [1, 1, 1, 2, 2]);
        assert!(source.ended());
        let nothing = Counted(Pulls(Vec::new()), 0);
        assert!(Source::new(Content::Reader(Box::new(nothing))).ended());
        // What ends early has ended, and is as short as it is.
        let early = Counted(Pulls(vec![Ok(vec![1])]), 5);
        let early = all(Content::Reader(Box::new(early))).await;
        assert_eq!(early.expect("nothing fails"), [1]);
    }

    #[tokio::test]
    async fn filling_collects_a_readers_pulls() {
        let pulls = (0..10).map(|part| Ok(vec![part; 10])).collect();
        let mut source = Source::new(Content::Reader(Box::new(Pulls(pulls))));
        let mut chunk = Vec::new();
        source.fill(&mut chunk).await.expect("nothing fails");
        assert_eq!(chunk.len(), 100);
        assert!(source.ended());
    }
}

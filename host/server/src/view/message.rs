//! A message as a filter looks at it: read from the store only when, and only
//! as far as, the filter asks.

use std::sync::{Arc, Weak};

use async_trait::async_trait;
use restante_pop3::LineEnds;
use tokio::sync::Mutex;
use tokio::task::coop::consume_budget;
use tracing::warn;

use restante_roles::backend::{Entries, Failure, Maildrop, Message};
use restante_roles::content::Source;
use restante_roles::validate::{HEADER_OCTETS, READ_OCTETS};

/// A session's maildrop, shared with the messages that its filters look at.
pub type OpenMaildrop = Arc<Mutex<Box<dyn Maildrop>>>;

/// What the store has, whatever other filters put in front: a verdict that is
/// remembered for this filter must not follow from another one's.
pub(super) struct StoredMessage {
    /// Not kept alive: a message that somebody holds on to must not hold the
    /// maildrop beyond its session.
    maildrop: LentMaildrop,
    entries: Arc<Entries>,
    position: usize,
    cursor: Mutex<Option<Cursor>>,
}

/// A window on the message that slides towards its end.
struct Cursor {
    source: Source,
    line_ends: Option<LineEnds>,
    chunk: Vec<u8>,
    window: Vec<u8>,
    /// Offset of the window's first octet.
    start: u64,
}

/// A maildrop for as long as somebody else keeps it open.
pub(super) type LentMaildrop = Weak<Mutex<Box<dyn Maildrop>>>;

impl StoredMessage {
    pub(super) fn new(maildrop: &OpenMaildrop, entries: &Arc<Entries>, position: usize) -> Self {
        Self::lent(Arc::downgrade(maildrop), entries, position)
    }

    /// The same without a hold on the maildrop to begin with.
    pub(super) fn lent(maildrop: LentMaildrop, entries: &Arc<Entries>, position: usize) -> Self {
        StoredMessage {
            maildrop,
            entries: Arc::clone(entries),
            position,
            cursor: Mutex::new(None),
        }
    }

    /// Whether the session is over, and nothing can be read any more.
    pub(super) fn is_gone(&self) -> bool {
        self.maildrop.strong_count() == 0
    }

    async fn open(&self) -> Result<Cursor, Failure> {
        let Some(maildrop) = self.maildrop.upgrade() else {
            return Err(Failure::Temporary("the session is over".into()));
        };
        let content = maildrop.lock().await.content(self.position).await?;
        Ok(Cursor {
            source: Source::new(content),
            line_ends: Some(LineEnds::new()),
            chunk: Vec::new(),
            window: Vec::new(),
            start: 0,
        })
    }

    async fn read_into(&self, space: &mut Vec<u8>, offset: u64, end: u64) -> Result<(), Failure> {
        let mut place = self.cursor.lock().await;
        // Taken out while it works: a cursor whose work was cut short is lost.
        let mut cursor = match place.take() {
            Some(cursor) if cursor.start <= offset => cursor,
            _ => self.open().await?,
        };
        loop {
            cursor.copy(space, offset, end);
            let reached = offset + space.len() as u64 >= end;
            if reached || cursor.line_ends.is_none() {
                *place = Some(cursor);
                return Ok(());
            }
            space.clear();
            cursor.slide(offset);
            // What is cached takes no waiting, however much there is of it.
            consume_budget().await;
            if let Err(error) = cursor.pull().await {
                let unique_id = self.unique_id();
                warn!(unique_id, %error, "a filter cannot read the message");
                return Err(error.into_failure());
            }
        }
    }
}

impl Cursor {
    /// Appends what the window has of `offset..end`, if it has the beginning.
    fn copy(&self, space: &mut Vec<u8>, offset: u64, end: u64) {
        let within = |offset: u64| usize::try_from(offset - self.start).unwrap_or(usize::MAX);
        let end = within(end).min(self.window.len());
        if let Some(octets) = self.window.get(within(offset)..end) {
            space.extend_from_slice(octets);
        }
    }

    /// Forgets what lies before `offset`.
    fn slide(&mut self, offset: u64) {
        let behind = usize::try_from(offset - self.start).unwrap_or(usize::MAX);
        let behind = behind.min(self.window.len());
        self.window.drain(..behind);
        self.start += behind as u64;
    }

    async fn pull(&mut self) -> Result<(), restante_roles::content::ContentError> {
        self.source.next(&mut self.chunk).await?;
        if let Some(line_ends) = &mut self.line_ends {
            line_ends.feed(&self.chunk, &mut self.window);
        }
        if self.source.ended()
            && let Some(line_ends) = self.line_ends.take()
        {
            line_ends.finish(&mut self.window);
            self.chunk = Vec::new();
        }
        Ok(())
    }
}

#[async_trait]
impl Message for StoredMessage {
    fn unique_id(&self) -> &str {
        self.entries.listing.unique_id(self.position)
    }

    fn octets(&self) -> u64 {
        self.entries.listing.octets(self.position)
    }

    fn received(&self) -> u64 {
        // The columns' lengths were compared when the listing came in.
        self.entries
            .received
            .get(self.position)
            .copied()
            .unwrap_or(0)
    }

    async fn header(&self) -> Result<Vec<u8>, Failure> {
        let (mut header, mut piece) = (Vec::new(), Vec::new());
        while header.len() < HEADER_OCTETS {
            let offset = header.len() as u64;
            let wanted = HEADER_OCTETS.min(header.len() + READ_OCTETS as usize) as u64;
            piece.clear();
            self.read_into(&mut piece, offset, wanted).await?;
            // The blank line may lie across two pieces.
            let seen = header.len().saturating_sub(3);
            header.extend_from_slice(&piece);
            if let Some(end) = header_end(&header, seen) {
                header.truncate(end);
                break;
            }
            if offset + (piece.len() as u64) < wanted {
                break;
            }
        }
        Ok(header)
    }

    async fn read(&self, offset: u64, length: u32) -> Result<Vec<u8>, Failure> {
        let end = offset.saturating_add(u64::from(length.min(READ_OCTETS)));
        let mut octets = Vec::new();
        if end > offset {
            self.read_into(&mut octets, offset, end).await?;
        }
        Ok(octets)
    }
}

/// Where the header section ends: before the blank line.
fn header_end(octets: &[u8], from: usize) -> Option<usize> {
    if octets.starts_with(b"\r\n") {
        return Some(0);
    }
    let blank = octets
        .get(from..)?
        .windows(4)
        .position(|four| four == b"\r\n\r\n")?;
    Some(from + blank + 2)
}

//! Octets under paths: directories, object stores and tables look the same.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;

use crate::bounds::{MAX_BATCH, MAX_NAME_OCTETS};
use crate::problem::Problem;

/// Octets of one component of a path.
const MAX_COMPONENT_OCTETS: usize = 255;

/// A path of a blob, checked: relative, 1 to [`MAX_NAME_OCTETS`] octets, components
/// joined by "/" of which none is empty, "." or "..", and no control characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobPath(String);

impl BlobPath {
    /// # Errors
    /// What is wrong with it.
    pub fn new(path: impl Into<String>) -> Result<Self, Problem> {
        let path = path.into();
        let wrong = if path.is_empty() {
            "is empty"
        } else if path.len() > MAX_NAME_OCTETS {
            "has more than 1,024 octets"
        } else if path.starts_with('/') {
            "is absolute: leave out the first \"/\""
        } else if path.chars().any(char::is_control) {
            "has a control character"
        } else if path.split('/').any(|part| part.is_empty()) {
            "has an empty component"
        } else if path.split('/').any(|part| part == "." || part == "..") {
            "has \".\" or \"..\" as a component"
        } else if path
            .split('/')
            .any(|part| part.len() > MAX_COMPONENT_OCTETS)
        {
            "has a component of more than 255 octets"
        } else {
            return Ok(BlobPath(path));
        };
        let shown: String = path.chars().take(100).collect();
        Err(Problem::invalid(format!("blob path {shown:?} {wrong}")))
    }

    /// As it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for BlobPath {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, out)
    }
}

impl fmt::Display for BlobPath {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, out)
    }
}

/// Where octets are. A path is written once and never changed; after it was removed it
/// is not used again: [`crate::MailIndex::intend`] sees to that. Most kinds refuse to
/// write over what is there; an object store cannot tell.
#[async_trait]
pub trait Blobs: Send + Sync + fmt::Debug {
    /// Begins to write `octets` octets under a path. Nothing can be seen there before
    /// [`BlobWriter::finish`], and nothing ever if the writer is dropped before.
    ///
    /// # Errors
    /// [`Problem::Invalid`] if something is there already, unless the kind tells it when
    /// it finishes, or cannot tell.
    async fn create(&self, path: &BlobPath, octets: u64) -> Result<Box<dyn BlobWriter>, Problem>;

    /// Part of a blob: fewer than `length` bytes only at its end, none beyond it. At most
    /// [`crate::MAX_BLOB_CHUNK_BYTES`] are told. None: there is nothing under this path.
    async fn read(
        &self,
        path: &BlobPath,
        offset: u64,
        length: u32,
    ) -> Result<Option<Bytes>, Problem>;

    /// Opens a blob to read it from `offset` on: to its end, or `length` octets. None:
    /// there is nothing under this path. What is removed meanwhile may be read to its end,
    /// or not.
    ///
    /// # Errors
    /// [`Problem::Invalid`] if the range leads beyond its end.
    async fn open(
        &self,
        path: &BlobPath,
        offset: u64,
        length: Option<u64>,
    ) -> Result<Option<Box<dyn BlobReader>>, Problem>;

    /// Removes what is there under these paths, at most [`crate::MAX_BATCH`]; what is not
    /// there is no problem. One that cannot be removed keeps no other from being.
    ///
    /// # Errors
    /// What became of any of them is not known; some may be gone: repeat it.
    async fn remove(&self, paths: &[BlobPath]) -> Result<Removal, Problem>;
}

/// What became of a removal.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Removal {
    /// Paths under which something may be still, and why. Under all others nothing is.
    pub kept: Vec<(BlobPath, Problem)>,
    /// So many removals failed that what is named after this path was not tried, and is kept.
    pub gave_up_after: Option<BlobPath>,
}

/// A blob that is being written.
#[async_trait]
pub trait BlobWriter: Send {
    /// Takes the next octets, of any number up to [`crate::MAX_BLOB_CHUNK_BYTES`].
    ///
    /// # Errors
    /// [`Problem::Invalid`] if there would be more than were announced.
    async fn write(&mut self, chunk: Bytes) -> Result<(), Problem>;

    /// Makes it last, and visible under its path.
    ///
    /// # Errors
    /// [`Problem::Invalid`] if fewer octets came than were announced, or something is
    /// under this path already (if the kind can tell); then nothing was changed.
    async fn finish(self: Box<Self>) -> Result<(), Problem>;
}

/// A blob, or part of one, that is being read.
#[async_trait]
pub trait BlobReader: Send {
    /// How many octets there were to read when it was opened.
    fn octets(&self) -> u64;

    /// The next octets: at least one and at most `limit`, which counts up to
    /// [`crate::MAX_BLOB_CHUNK_BYTES`] and is not 0. None is the end, and comes only after
    /// [`BlobReader::octets`] octets: a blob that turns out shorter is a problem.
    async fn read(&mut self, limit: usize) -> Result<Bytes, Problem>;
}

/// How many octets there are from `offset` on in a blob of `octets`.
///
/// # Errors
/// [`Problem::Invalid`] if the range leads beyond its end.
pub fn check_range(
    path: &BlobPath,
    octets: u64,
    offset: u64,
    length: Option<u64>,
) -> Result<u64, Problem> {
    let left = octets.checked_sub(offset);
    let left = left.filter(|left| length.is_none_or(|length| length <= *left));
    left.map(|left| length.unwrap_or(left)).ok_or_else(|| {
        Problem::invalid(format!(
            "blob path {path:?} has {octets} octets: the range leads beyond"
        ))
    })
}

/// # Errors
/// [`Problem::Invalid`] if these are more than one call may name.
pub fn check_batch(paths: &[BlobPath]) -> Result<(), Problem> {
    match paths.len() > MAX_BATCH as usize {
        true => Err(Problem::invalid("more than 1,000 paths at once")),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_nowhere_but_below() {
        let long = "a/".repeat(512) + "b";
        let wide = "a".repeat(256);
        for path in [
            "", "/", "/a", "a/", "a//b", ".", "..", "a/..", "../a", "a/./b", "a\0b", "a\nb",
            "a\u{85}b", &long, &wide,
        ] {
            let problem = BlobPath::new(path);
            assert!(matches!(problem, Err(Problem::Invalid(_))), "{path:?}");
        }
        let longest = format!("{}b", "ab/".repeat(341));
        assert_eq!(longest.len(), MAX_NAME_OCTETS);
        for path in ["a", "a/b", "...", "a/.b", "ü/%2F", "a b", &longest] {
            assert_eq!(BlobPath::new(path).map(|path| path.0), Ok(path.to_owned()));
        }
    }
}

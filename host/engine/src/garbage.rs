//! Removes blobs that nothing leads to.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use crate::blobs::{BlobPath, Blobs};
use crate::bounds::MAX_BATCH;
use crate::index::MailIndex;
use crate::problem::Problem;

/// What one turn of a [`GarbageCollector`] came to.
#[derive(Debug, Default)]
pub struct Collected {
    /// Intents, removals and digests that were too old.
    pub expired: u64,
    /// Blobs that were removed.
    pub removed: u64,
    /// Places with garbage that could not be removed, and why, for the first of it; it is
    /// kept, and tried again.
    pub problems: Vec<(String, Problem)>,
    /// There may be more than this turn has seen.
    has_more: bool,
}

impl Collected {
    /// Whether another turn at once would find nothing to do, or nothing that it can.
    pub fn is_done(&self) -> bool {
        !self.has_more
    }
}

/// Removes garbage turn by turn, and passes by what cannot be removed: that is tried again
/// once all behind it was.
#[derive(Debug, Default)]
pub struct GarbageCollector {
    /// By place: up to here something is left that could not be removed.
    passed: BTreeMap<String, BlobPath>,
}

impl GarbageCollector {
    /// One turn: of each kind and in each place at most `limit`, up to [`MAX_BATCH`].
    /// Safe at any time, from several processes at once, and after a turn that was broken
    /// off: a blob is removed first and forgotten then, and no path is used again before.
    ///
    /// # Errors
    /// If the index does not answer.
    pub async fn turn(
        &mut self,
        index: &dyn MailIndex,
        places: &BTreeMap<String, Arc<dyn Blobs>>,
        limit: u32,
    ) -> Result<Collected, Problem> {
        let limit = limit.min(MAX_BATCH);
        let expired = index.expire(limit).await?;
        let mut collected = Collected {
            expired,
            has_more: expired > 0,
            ..Collected::default()
        };
        for (place, blobs) in places {
            let removing = self.in_place(index, place, &**blobs, limit, &mut collected);
            collected.has_more |= removing.await?;
        }
        Ok(collected)
    }

    /// Whether there may be more that can be removed.
    async fn in_place(
        &mut self,
        index: &dyn MailIndex,
        place: &str,
        blobs: &dyn Blobs,
        limit: u32,
        collected: &mut Collected,
    ) -> Result<bool, Problem> {
        let passed = self.passed.get(place);
        let paths = index.garbage(place, passed, limit).await?;
        let is_last = paths.len() < limit as usize;
        if paths.is_empty() {
            self.passed.remove(place);
            return Ok(false);
        }
        let removal = match blobs.remove(&paths).await {
            Ok(removal) => removal,
            Err(problem) => {
                collected.problems.push((place.to_owned(), problem));
                return Ok(false);
            }
        };
        let kept: HashSet<&BlobPath> = removal.kept.iter().map(|(path, _)| path).collect();
        let gone = paths.iter().filter(|path| !kept.contains(path));
        let gone: Vec<BlobPath> = gone.cloned().collect();
        if !gone.is_empty() {
            index.forget_garbage(place, &gone).await?;
            collected.removed += gone.len() as u64;
        }
        if let Some((_, problem)) = removal.kept.first() {
            collected.problems.push((place.to_owned(), problem.clone()));
        }
        if kept.is_empty() && !self.passed.contains_key(place) {
            return Ok(!gone.is_empty());
        }
        let (last, has_more) = match removal.gave_up_after {
            // It may be away: no more of it now.
            Some(last) => (Some(last), false),
            // All of it was tried: what is left is for another time, from the first on.
            None if is_last => (None, false),
            None => (paths.last().cloned(), true),
        };
        match last {
            Some(last) => self.passed.insert(place.to_owned(), last),
            None => self.passed.remove(place),
        };
        Ok(has_more)
    }
}

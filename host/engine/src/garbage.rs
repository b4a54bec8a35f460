//! Removes blobs that nothing leads to.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::blobs::Blobs;
use crate::index::MailIndex;
use crate::problem::Problem;

/// What one turn of [`collect_garbage`] came to.
#[derive(Debug, Default)]
pub struct Collected {
    /// Intents, removals and digests that were too old.
    pub expired: u64,
    /// Blobs that were removed.
    pub removed: u64,
    /// Places that did not answer; their garbage is kept for the next turn.
    pub problems: Vec<(String, Problem)>,
}

impl Collected {
    /// Whether another turn at once would find nothing to do, or nothing that it can.
    pub fn is_done(&self) -> bool {
        self.expired == 0 && self.removed == 0
    }
}

/// One turn: of each kind and in each place at most `limit`, up to [`crate::MAX_BATCH`].
/// Safe at any time, from several processes at once, and after a turn that was broken
/// off: a blob is removed first and forgotten then, and no path is used again before.
///
/// # Errors
/// If the index does not answer.
pub async fn collect_garbage(
    index: &dyn MailIndex,
    places: &BTreeMap<String, Arc<dyn Blobs>>,
    limit: u32,
) -> Result<Collected, Problem> {
    let mut collected = Collected {
        expired: index.expire(limit).await?,
        ..Collected::default()
    };
    for (place, blobs) in places {
        let paths = index.garbage(place, limit).await?;
        if paths.is_empty() {
            continue;
        }
        match blobs.remove(&paths).await {
            Ok(()) => {
                index.forget_garbage(place, &paths).await?;
                collected.removed += paths.len() as u64;
            }
            Err(problem) => collected.problems.push((place.clone(), problem)),
        }
    }
    Ok(collected)
}

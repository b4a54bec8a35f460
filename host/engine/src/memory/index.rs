//! An index in memory.

use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;

use super::folder::Contents;
use super::state::State;
use crate::blobs::BlobPath;
use crate::bounds::MAX_BATCH;
use crate::hold::Hold;
use crate::index::{
    Appended, Difference, Entries, Entry, Folder, Limits, MailIndex, Placed, Summary, check_entry,
    check_placed, check_unique_ids, fresh_epoch,
};
use crate::names;
use crate::problem::Problem;
use crate::retention::Retention;

/// An index and its holds in memory. Clones share what they hold.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    pub(super) state: Arc<Mutex<State>>,
    pub(super) retention: Retention,
}

impl Memory {
    /// Empty.
    pub fn new(retention: Retention) -> Self {
        Memory {
            retention,
            ..Memory::default()
        }
    }

    /// Forgets the maildrops of a tenant, and that octets of theirs were placed here, as if
    /// there had never been any.
    pub fn forget(&self, tenant: &str, placed: &[Placed]) {
        let mut state = self.state.lock();
        state.folders.retain(|folder, _| folder.tenant() != tenant);
        for placed in placed {
            state.intents.remove(placed);
            state.garbage.remove(placed);
        }
    }
}

#[async_trait]
impl MailIndex for Memory {
    async fn state(&self, folder: &Folder) -> Result<Summary, Problem> {
        Ok(self.state.lock().summary(folder))
    }

    async fn read(&self, folder: &Folder) -> Result<Entries, Problem> {
        let state = self.state.lock();
        let contents = state.folders.get(folder);
        let entries = contents.map(|contents| contents.entries_since(0));
        Ok(entries.unwrap_or_default())
    }

    async fn changes(&self, folder: &Folder, version: u64) -> Result<Option<Difference>, Problem> {
        let state = self.state.lock();
        Ok(match state.folders.get(folder) {
            Some(contents) => contents.changes(version),
            None => (version == 0).then(Difference::default),
        })
    }

    async fn intend(&self, placed: &Placed) -> Result<(), Problem> {
        check_placed(placed)?;
        let mut state = self.state.lock();
        if state.garbage.contains(placed) || state.intents.contains_key(placed) {
            return Err(Problem::in_use(&placed.place, placed.path.as_str()));
        }
        let now = std::time::Instant::now();
        state.intents.insert(placed.clone(), now);
        Ok(())
    }

    async fn append(
        &self,
        folder: &Folder,
        entry: &Entry,
        limits: &Limits,
        placed: Option<&Placed>,
    ) -> Result<Appended, Problem> {
        check_entry(entry)?;
        placed.map_or(Ok(()), check_placed)?;
        let mut state = self.state.lock();
        let is_intended = placed.is_some_and(|placed| state.intents.contains_key(placed));
        let retention = &self.retention;
        let appended = match state.folders.get_mut(folder) {
            Some(contents) => contents.append(entry, limits, placed, is_intended, retention)?,
            None => {
                let mut contents = Contents::new(fresh_epoch()?);
                let appended = contents.append(entry, limits, placed, is_intended, retention)?;
                if matches!(appended, Appended::Kept(_)) {
                    state.folders.insert(folder.clone(), contents);
                }
                appended
            }
        };
        if let (Appended::Kept(_), Some(placed)) = (&appended, placed) {
            state.intents.remove(placed);
        }
        Ok(appended)
    }

    async fn remove(
        &self,
        folder: &Folder,
        unique_ids: &[String],
        hold: &Hold,
    ) -> Result<(), Problem> {
        check_unique_ids(unique_ids)?;
        let mut state = self.state.lock();
        state.check(hold)?;
        let garbage = match (state.folders.get_mut(folder), unique_ids.first()) {
            (Some(contents), _) => contents.remove(unique_ids)?,
            (None, Some(first)) => return Err(Problem::is_not_there(first)),
            (None, None) => return Ok(()),
        };
        state.garbage.extend(garbage);
        Ok(())
    }

    async fn expire(&self, limit: u32) -> Result<u64, Problem> {
        let limit = limit.min(MAX_BATCH) as usize;
        let mut state = self.state.lock();
        let state = &mut *state;
        let intents = state.intents.iter();
        let old = intents.filter(|(_, at)| at.elapsed() >= self.retention.intents);
        let old: Vec<Placed> = old.map(|(placed, _)| placed.clone()).take(limit).collect();
        for placed in &old {
            state.intents.remove(placed);
        }
        let mut expired = old.len() as u64;
        state.garbage.extend(old);
        for contents in state.folders.values_mut() {
            expired += contents.expire(limit, &self.retention);
        }
        Ok(expired)
    }

    async fn garbage(
        &self,
        place: &str,
        after: Option<&BlobPath>,
        limit: u32,
    ) -> Result<Vec<BlobPath>, Problem> {
        names::check("the place's name", place)?;
        let limit = limit.min(MAX_BATCH) as usize;
        let state = self.state.lock();
        let garbage = state.garbage.iter();
        let garbage = garbage.filter(|placed| placed.place == place);
        let garbage = garbage.filter(|placed| after.is_none_or(|after| placed.path > *after));
        Ok(garbage
            .map(|placed| placed.path.clone())
            .take(limit)
            .collect())
    }

    async fn forget_garbage(&self, place: &str, paths: &[BlobPath]) -> Result<(), Problem> {
        let mut state = self.state.lock();
        for path in paths {
            state.garbage.remove(&Placed {
                place: place.to_owned(),
                path: path.clone(),
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hold::{Acquired, Holds};

    #[tokio::test]
    async fn what_is_forgotten_was_never_there_and_others_stay() {
        let memory = Memory::default();
        let path = |path: &str| Placed {
            place: "own".to_owned(),
            path: BlobPath::new(path).unwrap(),
        };
        let free = Limits::default();
        let entry = |name: &str| Entry {
            unique_id: None,
            octets: 1,
            surrogate: None,
            received: 1,
            name: name.to_owned(),
            digest: None,
            weight: 1,
        };
        let [a, b] = ["a", "b"].map(|tenant| Folder::new(tenant, "m", "").unwrap());
        let mut ids = Vec::new();
        for (folder, name) in [(&a, "a1"), (&a, "a2"), (&b, "b1")] {
            let placed = path(name);
            let entry = entry(name);
            memory.intend(&placed).await.unwrap();
            let kept = memory.append(folder, &entry, &free, Some(&placed));
            match kept.await.unwrap() {
                Appended::Kept(id) => ids.push(id),
                other => panic!("{other:?}"),
            }
        }
        // One of each kind: an entry, garbage, and what was only intended.
        let node = memory.join("n", "a test").await.unwrap();
        let Acquired::Held(hold) = memory.acquire("k", &node).await.unwrap() else {
            panic!("it is held");
        };
        memory.remove(&a, &ids[..1], &hold).await.unwrap();
        memory.intend(&path("a3")).await.unwrap();
        memory.forget("a", &["a1", "a2", "a3"].map(path));
        assert_eq!(memory.state(&a).await.unwrap(), Summary::default());
        assert!(memory.garbage("own", None, 10).await.unwrap().is_empty());
        assert_eq!(memory.state(&b).await.unwrap().messages, 1);
        for name in ["a1", "a2", "a3"] {
            memory.intend(&path(name)).await.unwrap();
        }
    }
}

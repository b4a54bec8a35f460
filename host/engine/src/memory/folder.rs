//! One folder as vectors and maps.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Instant;

use crate::bounds::{MAX_ANSWER_BYTES, MAX_ENTRIES};
use crate::index::{
    Appended, DIGEST_BYTES, Difference, Entries, Entry, Limits, Placed, Summary,
    check_not_made_here, entry_bytes, made_unique_id,
};
use crate::problem::Problem;
use crate::retention::Retention;

#[derive(Debug)]
struct Message {
    unique_id: String,
    entry: Entry,
    placed: Option<Placed>,
}

#[derive(Debug)]
struct Gone {
    version: u64,
    number: u64,
    unique_id: String,
    at: Instant,
}

/// What is in a folder, and what was.
#[derive(Debug, Default)]
pub(super) struct Contents {
    epoch: u64,
    version: u64,
    /// Changes since an older version cannot be told.
    pruned: u64,
    messages: BTreeMap<u64, Message>,
    numbers: HashMap<String, u64>,
    octets: u64,
    weight: u64,
    bytes: u64,
    gone: Vec<Gone>,
    seen: HashMap<[u8; DIGEST_BYTES], Instant>,
}

impl Contents {
    pub(super) fn new(epoch: u64) -> Self {
        Contents {
            epoch,
            ..Contents::default()
        }
    }

    pub(super) fn summary(&self) -> Summary {
        Summary {
            version: self.version,
            messages: self.messages.len() as u64,
            octets: self.octets,
        }
    }

    /// Entries that came after a version.
    pub(super) fn entries_since(&self, version: u64) -> Entries {
        let mut entries = Entries {
            version: self.version,
            ..Entries::default()
        };
        let came = self.messages.range(version.saturating_add(1)..);
        for (position, (_, message)) in came.enumerate() {
            push(&mut entries.unique_ids, &message.unique_id);
            entries.octets.push(message.entry.octets);
            entries.received.push(message.entry.received);
            push(&mut entries.names, &message.entry.name);
            if let Some(octets) = message.entry.surrogate {
                entries.surrogates.push((position as u32, octets));
            }
        }
        entries
    }

    pub(super) fn changes(&self, version: u64) -> Option<Difference> {
        if version < self.pruned || version > self.version {
            return None;
        }
        let mut gone = String::new();
        let went = self.gone.iter();
        for one in went.filter(|one| one.version > version && one.number <= version) {
            push(&mut gone, &one.unique_id);
        }
        let came = self.messages.range(version + 1..);
        let bytes = came.map(|(_, one)| entry_bytes(&one.unique_id, &one.entry.name));
        if gone.len() as u64 + bytes.sum::<u64>() > MAX_ANSWER_BYTES {
            return None;
        }
        let came = self.entries_since(version);
        Some(Difference { gone, came })
    }

    /// `is_intended`: whether the entry's blob is; the caller takes the intent away if the
    /// entry is kept.
    pub(super) fn append(
        &mut self,
        entry: &Entry,
        limits: &Limits,
        placed: Option<&Placed>,
        is_intended: bool,
        retention: &Retention,
    ) -> Result<Appended, Problem> {
        let seen = entry.digest.and_then(|digest| self.seen.get(&digest));
        if seen.is_some_and(|at| at.elapsed() < retention.duplicates) {
            return Ok(Appended::Duplicate);
        }
        let number = self.version + 1;
        let unique_id = match &entry.unique_id {
            Some(unique_id) => unique_id.clone(),
            None => made_unique_id(self.epoch, number),
        };
        let bytes = self.bytes + entry_bytes(&unique_id, &entry.name);
        let messages = self.messages.len() as u64 + 1;
        let weight = self.weight + entry.weight;
        if messages > limits.messages.unwrap_or(MAX_ENTRIES).min(MAX_ENTRIES)
            || limits.weight.is_some_and(|limit| weight > limit)
            || bytes > MAX_ANSWER_BYTES
        {
            return Ok(Appended::Full);
        }
        if entry.unique_id.is_some() {
            check_not_made_here(&unique_id, self.epoch)?;
            if self.numbers.contains_key(&unique_id) {
                return Err(Problem::is_there(&unique_id));
            }
        }
        if let Some(placed) = placed.filter(|_| !is_intended) {
            return Err(Problem::not_intended(&placed.place, placed.path.as_str()));
        }
        self.version = number;
        self.octets += entry.octets;
        (self.weight, self.bytes) = (weight, bytes);
        if let Some(digest) = entry.digest {
            self.seen.insert(digest, Instant::now());
        }
        self.numbers.insert(unique_id.clone(), number);
        let message = Message {
            unique_id: unique_id.clone(),
            entry: entry.clone(),
            placed: placed.cloned(),
        };
        self.messages.insert(number, message);
        Ok(Appended::Kept(unique_id))
    }

    /// Their blobs.
    pub(super) fn remove(&mut self, unique_ids: &[String]) -> Result<Vec<Placed>, Problem> {
        let number = |id: &String| match self.numbers.get(id) {
            Some(number) => Ok(*number),
            None => Err(Problem::is_not_there(id)),
        };
        let numbers: Result<Vec<u64>, Problem> = unique_ids.iter().map(number).collect();
        let mut numbers = numbers?;
        numbers.sort_unstable();
        if !numbers.is_empty() {
            self.version += 1;
        }
        let mut garbage = Vec::new();
        for number in numbers {
            let Some(message) = self.messages.remove(&number) else {
                continue;
            };
            self.numbers.remove(&message.unique_id);
            self.octets -= message.entry.octets;
            self.weight -= message.entry.weight;
            self.bytes -= entry_bytes(&message.unique_id, &message.entry.name);
            garbage.extend(message.placed);
            self.gone.push(Gone {
                version: self.version,
                number,
                unique_id: message.unique_id,
                at: Instant::now(),
            });
        }
        Ok(garbage)
    }

    /// Forgets what is too old, at most `limit` of each kind; how many.
    pub(super) fn expire(&mut self, limit: usize, retention: &Retention) -> u64 {
        let old = self.gone.iter();
        let old = old.take_while(|one| one.at.elapsed() >= retention.changes);
        let old = old.take(limit).count();
        for one in self.gone.drain(..old) {
            self.pruned = self.pruned.max(one.version);
        }
        let seen = self.seen.iter();
        let seen = seen.filter(|(_, at)| at.elapsed() >= retention.duplicates);
        let seen: HashSet<_> = seen.map(|(digest, _)| *digest).take(limit).collect();
        self.seen.retain(|digest, _| !seen.contains(digest));
        (old + seen.len()) as u64
    }
}

/// Packs one text more.
fn push(packed: &mut String, text: &str) {
    packed.push_str(text);
    packed.push('\0');
}

//! Files of one base name. The name is what a message is known by, so of several files
//! that have it in common one keeps its unique-id, and each other one gets a unique-id of
//! its own, which the index remembers: it stays when the name changes, and when the first
//! file goes.
//!
//! Two names of one file (a move by link and unlink that was broken off) are one message.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::path::Path;

use restante_guest::files::Status;
use restante_guest::{files, log};

use crate::index::{Entry, Index};
use crate::name;
use crate::scan::{Found, Message};

/// Gives those files the unique-ids that the index remembers for them which their names
/// do not tell. They are as the directories have them, in any order.
pub(crate) fn recall(root: &Path, found: &mut [Message<'_>], index: &Index) {
    if !index.has_own_ids() {
        return;
    }
    let mut shared: HashMap<String, Shared<'_>> = HashMap::new();
    for entry in index.entries().filter(Entry::has_own_id) {
        let told = name::unique_id(entry.name).into_owned();
        shared.entry(told).or_default().own.push(entry);
    }
    for entry in index.entries() {
        if let Some(shared) = shared.get_mut(entry.unique_id) {
            shared.keeper = Some(entry.record.identity);
        }
    }
    let mut rest = Vec::new();
    for (at, Message { first, .. }) in found.iter_mut().enumerate() {
        let Some(shared) = shared.get_mut(&*first.unique_id) else {
            continue;
        };
        let is_it = |entry: &Entry<'_>| entry.record.identity == first.identity;
        match shared.own.iter().position(is_it) {
            Some(entry) => first.set_own_id(shared.own.swap_remove(entry).unique_id),
            None if shared.keeper == Some(first.identity) => {}
            None => rest.push(at),
        }
    }
    // Files that were copied here, as from a backup, have other numbers.
    for at in rest {
        let first = &mut found[at].first;
        let shared = shared.get_mut(&*first.unique_id);
        let Some(shared) = shared.filter(|shared| !shared.own.is_empty()) else {
            continue;
        };
        let Ok(Some(status)) = files::stat(root.join(first.path())) else {
            continue;
        };
        let is_it = |entry: &Entry<'_>| entry.record.is_for(&status);
        if let Some(entry) = shared.own.iter().position(is_it) {
            first.set_own_id(shared.own.swap_remove(entry).unique_id);
        }
    }
}

/// What an index knows of files with one base name.
#[derive(Default)]
struct Shared<'a> {
    /// Those with unique-ids of their own that are not yet found.
    own: Vec<Entry<'a>>,
    /// The number of the one with the unique-id that the name tells.
    keeper: Option<u64>,
}

/// What came of files that had one unique-id.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Settled {
    /// Some got a unique-id that the index has to remember.
    pub(crate) has_new_ids: bool,
    /// Some moved meanwhile, and it is not known where to.
    pub(crate) some_gone: bool,
}

/// Settles who is who among files with one unique-id. Messages are in order, one name
/// each, and are so afterwards, with further names of the same file joined to it.
pub(crate) fn settle(root: &Path, messages: &mut Vec<Message<'_>>) -> Settled {
    let is_twice = |pair: &[Message<'_>]| pair[0].first.unique_id == pair[1].first.unique_id;
    let mut settled = Settled::default();
    if messages.windows(2).any(is_twice) {
        let mut settlement = Settlement {
            root,
            taken: messages
                .iter()
                .filter(|message| name::is_hashed(&message.first.unique_id))
                .map(|message| message.first.unique_id.as_ref().to_owned())
                .collect(),
            messages: Vec::with_capacity(messages.len()),
            renamed: Vec::new(),
            some_gone: false,
        };
        let mut all = std::mem::take(messages).into_iter().peekable();
        while let Some(Message { first, .. }) = all.next() {
            let mut group = vec![first];
            while let Some(next) = all.next_if(|next| next.first.unique_id == group[0].unique_id) {
                group.push(next.first);
            }
            settlement.group(group);
        }
        settled = settlement.end(messages);
    }
    mark(messages);
    settled
}

/// Marks every message whose base name another one has, or had: it takes more than the
/// name to find it again.
fn mark(messages: &mut [Message<'_>]) {
    let shared: HashSet<String> = messages
        .iter()
        .filter(|message| message.first.has_own_id)
        .map(|message| name::unique_id(message.first.name).into_owned())
        .collect();
    if shared.is_empty() {
        return;
    }
    for Message { first, .. } in messages {
        first.shares_name = first.has_own_id || shared.contains(&*first.unique_id);
    }
}

struct Settlement<'a, 'b> {
    root: &'b Path,
    /// Unique-ids that a further file might get, and does not.
    taken: HashSet<String>,
    messages: Vec<Message<'a>>,
    /// Paths of the first file and of the further one, for the log.
    renamed: Vec<(String, String)>,
    some_gone: bool,
}

impl<'a> Settlement<'a, '_> {
    /// Files of one unique-id, in order.
    fn group(&mut self, group: Vec<Found<'a>>) {
        if group.len() == 1 {
            self.messages.extend(group.into_iter().map(Message::from));
            return;
        }
        let mut files: Vec<(Message<'a>, Status)> = Vec::new();
        let mut gone = Vec::new();
        for found in group {
            let Ok(Some(status)) = files::stat(self.root.join(found.path())) else {
                gone.push(found.identity);
                continue;
            };
            match files.iter_mut().find(|(_, other)| *other == status) {
                Some((message, _)) => message.links.push(found),
                None => files.push((found.into(), status)),
            }
        }
        // What moved was seen in both its places, if it was seen to the end.
        let is_there = |identity: &u64| {
            let mut there = files.iter();
            there.any(|(message, _)| message.first.identity == *identity)
        };
        self.some_gone |= !gone.iter().all(is_there);
        let Some(keeper) = keeper(&files) else {
            return;
        };
        let (first, _) = files.swap_remove(keeper);
        files.sort_by(|(one, _), (other, _)| one.order(other));
        for (mut further, status) in files {
            let paths = (first.first.path(), further.first.path());
            let own_id = self.own_id(further.first.name, &status);
            further.first.set_own_id(&own_id);
            self.renamed.push(paths);
            self.messages.push(further);
        }
        self.messages.push(first);
    }

    fn own_id(&mut self, name: &str, status: &Status) -> String {
        let ids =
            (0..).map(|turn| name::further_unique_id(name, status.size, status.modified, turn));
        let mut free = ids.filter(|id| !self.taken.contains(id));
        let own_id = free.next().expect("there are more turns than messages");
        self.taken.insert(own_id.clone());
        own_id
    }

    fn end(self, messages: &mut Vec<Message<'a>>) -> Settled {
        if let Some((first, further)) = self.renamed.first() {
            log::warn!(
                "files with the base name of another file: {}, the first is {further:?}, beside \
                 {first:?}; each is listed as a message, with a unique-id of its own",
                self.renamed.len()
            );
        }
        *messages = self.messages;
        messages.sort_by(Message::order);
        Settled {
            has_new_ids: !self.renamed.is_empty(),
            some_gone: self.some_gone,
        }
    }
}

/// Which of these files keeps the unique-id that all of them have: the one that the index
/// knows by it, else the first.
fn keeper(files: &[(Message<'_>, Status)]) -> Option<usize> {
    let of = |is_it: &dyn Fn(&Found<'_>, &Status) -> bool| {
        files
            .iter()
            .position(|(message, status)| message.names().any(|found| is_it(found, status)))
    };
    let has_identity = |found: &Found<'_>, _: &Status| {
        found
            .record
            .is_some_and(|record| record.identity == found.identity)
    };
    let has_times = |found: &Found<'_>, status: &Status| {
        found.record.is_some_and(|record| record.is_for(status))
    };
    of(&has_identity)
        .or_else(|| of(&has_times))
        .or((!files.is_empty()).then_some(0))
}

impl Found<'_> {
    /// From here on it has this unique-id, which its name does not tell.
    fn set_own_id(&mut self, unique_id: &str) {
        self.unique_id = Cow::Owned(unique_id.to_owned());
        self.has_own_id = true;
        // That was another file's.
        self.record = None;
        self.is_known = false;
    }
}

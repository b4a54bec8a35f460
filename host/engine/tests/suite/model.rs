//! Random sequences of calls, and a vector that knows the answers.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use restante_engine::{
    Acquired, Appended, BlobPath, Difference, Entries, Entry, Folder, Hold, Limits, Node, Placed,
    Problem, Retention, Summary,
};
use tokio::runtime::Handle;

use super::{Engine, folder};

/// Sequences, and calls in each of them.
const CASES: u32 = 48;
const MAX_CALLS: usize = 60;

const FOLDERS: usize = 2;
const NODES: usize = 3;
const KEYS: usize = 2;
const PATHS: usize = 4;

/// One call. Numbers choose among what there is by then.
#[derive(Debug, Clone)]
enum Call {
    Append {
        folder: usize,
        unique_id: Option<u8>,
        digest: Option<u8>,
        weight: u64,
        surrogate: Option<u64>,
        limits: (Option<u64>, Option<u64>),
        path: Option<usize>,
    },
    Remove {
        folder: usize,
        /// Each among those that are there, or among all that ever were.
        chosen: Vec<(usize, bool)>,
        /// From the last one back.
        hold: usize,
    },
    Read(usize),
    /// From the last version back; now and then beyond.
    Changes(usize, u64),
    Intend(usize),
    Forget(usize),
    Expire,
    Join(usize),
    Leave(usize),
    Beat(usize),
    Acquire(usize, usize),
    Release(usize),
    Check(usize),
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    let folder = 0..FOLDERS;
    let limits = (
        prop::option::weighted(0.2, 0..60u64),
        prop::option::weighted(0.2, 0..8u64),
    );
    let append = (
        folder.clone(),
        prop::option::weighted(0.3, 0..4u8),
        prop::option::weighted(0.3, 0..4u8),
        0..20u64,
        prop::option::weighted(0.3, 0..1000u64),
        limits,
        prop::option::weighted(0.4, 0..PATHS),
    );
    let append = append.prop_map(
        |(folder, unique_id, digest, weight, surrogate, limits, path)| Call::Append {
            folder,
            unique_id,
            digest,
            weight,
            surrogate,
            limits,
            path,
        },
    );
    let chosen = (0..64usize, prop::bool::weighted(0.1));
    let hold = prop_oneof![6 => Just(0), 1 => 0..8usize];
    let remove = (folder.clone(), prop::collection::vec(chosen, 0..4), hold);
    let call = prop_oneof![
        12 => append,
        6 => remove.prop_map(|(folder, chosen, hold)| Call::Remove { folder, chosen, hold }),
        2 => folder.clone().prop_map(Call::Read),
        4 => (folder, 0..10u64).prop_map(|(folder, back)| Call::Changes(folder, back)),
        6 => (0..PATHS).prop_map(Call::Intend),
        1 => (0..PATHS).prop_map(Call::Forget),
        1 => Just(Call::Expire),
        2 => (0..NODES).prop_map(Call::Join),
        1 => (0..NODES).prop_map(Call::Leave),
        1 => (0..NODES).prop_map(Call::Beat),
        6 => (0..NODES, 0..KEYS).prop_map(|(node, key)| Call::Acquire(node, key)),
        1 => (0..8usize).prop_map(Call::Release),
        2 => (0..8usize).prop_map(Call::Check),
    ];
    let calls = prop::collection::vec(call, 1..MAX_CALLS);
    // Most of what there is to go wrong needs a hold.
    calls.prop_map(|mut calls| {
        calls.splice(0..0, [Call::Join(0), Call::Acquire(0, 0)]);
        calls
    })
}

/// What ought to be in a folder: every entry that ever was, by its number.
#[derive(Debug, Default)]
struct Shelf {
    version: u64,
    entries: Vec<Shelved>,
    digests: BTreeSet<u8>,
    /// What its own unique-ids begin with, once one was told.
    epoch: Option<String>,
}

#[derive(Debug)]
struct Shelved {
    number: u64,
    unique_id: String,
    entry: Entry,
    path: Option<usize>,
    removed: Option<u64>,
}

impl Shelf {
    fn there(&self) -> impl Iterator<Item = &Shelved> {
        self.entries.iter().filter(|one| one.removed.is_none())
    }

    fn since(&self, version: u64) -> Entries {
        let mut entries = Entries {
            version: self.version,
            ..Entries::default()
        };
        let came = self.there().filter(|one| one.number > version);
        for (position, one) in came.enumerate() {
            entries.unique_ids += &format!("{}\0", one.unique_id);
            entries.octets.push(one.entry.octets);
            entries.received.push(one.entry.received);
            entries.names += &format!("{}\0", one.entry.name);
            entries
                .surrogates
                .extend(one.entry.surrogate.map(|octets| (position as u32, octets)));
        }
        entries
    }

    fn changes(&self, version: u64) -> Option<Difference> {
        let went = self.entries.iter();
        let went = went.filter(|one| one.number <= version && one.removed > Some(version));
        let mut went: Vec<_> = went
            .map(|one| (one.removed, one.number, &one.unique_id))
            .collect();
        went.sort();
        let gone = went.iter().map(|(_, _, id)| format!("{id}\0")).collect();
        let came = self.since(version);
        (version <= self.version).then_some(Difference { gone, came })
    }
}

/// Everything that ought to be.
#[derive(Default)]
struct Model {
    shelves: [Shelf; FOLDERS],
    intents: BTreeSet<usize>,
    garbage: BTreeSet<usize>,
    /// The last term of each name, and whether it was left.
    terms: [Option<(Node, bool)>; NODES],
    /// Every hold that was ever given: key, which node by its place and term.
    given: Vec<(Hold, usize, usize, u64)>,
    /// By key: which of `given` is in force.
    holders: [Option<usize>; KEYS],
    /// Every node that ever was.
    nodes: Vec<(usize, Node)>,
}

impl Model {
    fn is_running(&self, name: usize, term: u64) -> bool {
        let last = self.terms[name].as_ref();
        last.is_some_and(|(node, is_left)| node.term == term && !is_left)
    }

    fn is_in_force(&self, given: usize) -> bool {
        self.holders[self.given[given].1] == Some(given)
    }
}

/// Names of a sequence's own, so that many share an engine.
struct Names {
    folders: [Folder; FOLDERS],
    case: u32,
}

impl Names {
    fn node(&self, number: usize) -> String {
        format!("case {} node {number}", self.case)
    }

    fn key(&self, number: usize) -> String {
        format!("case {} key {number}", self.case)
    }

    fn path(&self, number: usize) -> Placed {
        Placed {
            place: format!("case {}", self.case),
            path: BlobPath::new(format!("blob/{number}")).unwrap(),
        }
    }
}

macro_rules! same {
    ($left:expr, $right:expr) => {
        prop_assert_eq!($left, $right)
    };
}

struct Playing<'a> {
    engine: &'a Engine,
    names: Names,
    model: Model,
    count: u64,
}

impl Playing<'_> {
    async fn play(&mut self, call: &Call) -> Result<(), TestCaseError> {
        match call {
            Call::Append { .. } => self.append(call).await?,
            Call::Remove {
                folder,
                chosen,
                hold,
            } => self.remove(*folder, chosen, *hold).await?,
            Call::Read(folder) => self.read(*folder).await?,
            Call::Changes(folder, back) => {
                let shelf = &self.model.shelves[*folder];
                let version = (shelf.version + 1).saturating_sub(*back);
                let told = self
                    .engine
                    .index
                    .changes(&self.names.folders[*folder], version)
                    .await;
                same!(told, Ok(shelf.changes(version)));
            }
            Call::Intend(path) => {
                let told = self.engine.index.intend(&self.names.path(*path)).await;
                let is_used =
                    self.model.garbage.contains(path) || !self.model.intents.insert(*path);
                same!(is_invalid(&told)?, is_used);
            }
            Call::Forget(path) => {
                let Placed { place, path: blob } = self.names.path(*path);
                let told = self.engine.index.forget_garbage(&place, &[blob]).await;
                same!(told, Ok(()));
                self.model.garbage.remove(path);
            }
            Call::Expire => same!(self.engine.index.expire(1000).await, Ok(0)),
            _ => self.play_hold(call).await?,
        }
        Ok(())
    }

    async fn append(&mut self, call: &Call) -> Result<(), TestCaseError> {
        let Call::Append {
            folder,
            unique_id,
            digest,
            weight,
            surrogate,
            limits,
            path,
        } = call
        else {
            return Ok(());
        };
        self.count += 1;
        let shelf = &mut self.model.shelves[*folder];
        let entry = Entry {
            unique_id: unique_id.map(|id| format!("brought{id}")),
            octets: weight * 7,
            surrogate: *surrogate,
            received: self.count,
            name: format!("name {}", self.count),
            digest: digest.map(|digest| [digest; 32]),
            weight: *weight,
        };
        let limits = Limits {
            weight: limits.0,
            messages: limits.1,
        };
        let placed = path.map(|path| self.names.path(path));
        let index = &self.engine.index;
        let told = index.append(
            &self.names.folders[*folder],
            &entry,
            &limits,
            placed.as_ref(),
        );
        let told = told.await;

        let messages = shelf.there().count() as u64 + 1;
        let weights = shelf.there().map(|one| one.entry.weight).sum::<u64>() + entry.weight;
        let is_there = entry.unique_id.as_ref();
        let is_there = is_there.is_some_and(|id| shelf.there().any(|one| one.unique_id == *id));
        if digest.is_some_and(|digest| shelf.digests.contains(&digest)) {
            same!(told, Ok(Appended::Duplicate));
            return Ok(());
        }
        if limits.messages.is_some_and(|limit| messages > limit)
            || limits.weight.is_some_and(|limit| weights > limit)
        {
            same!(told, Ok(Appended::Full));
            return Ok(());
        }
        if is_there || path.is_some_and(|path| !self.model.intents.contains(&path)) {
            prop_assert!(is_invalid(&told)?);
            return Ok(());
        }
        let Ok(Appended::Kept(kept)) = told else {
            return Err(TestCaseError::fail(format!("{told:?}")));
        };
        shelf.version += 1;
        shelf.digests.extend(digest);
        if let Some(path) = path {
            self.model.intents.remove(path);
        }
        match &entry.unique_id {
            Some(brought) => same!(&kept, brought),
            None => {
                let (epoch, number) = kept.split_once('.').unwrap_or_default();
                let known = shelf.epoch.get_or_insert(epoch.to_owned());
                same!(epoch, known);
                same!(number, format!("{:x}", shelf.version));
            }
        }
        shelf.entries.push(Shelved {
            number: shelf.version,
            unique_id: kept,
            entry,
            path: *path,
            removed: None,
        });
        Ok(())
    }

    async fn remove(
        &mut self,
        folder: usize,
        chosen: &[(usize, bool)],
        hold: usize,
    ) -> Result<(), TestCaseError> {
        if self.model.given.is_empty() {
            return Ok(());
        }
        // The last ones are more likely in force.
        let hold = self.model.given.len() - 1 - hold % self.model.given.len();
        let shelf = &self.model.shelves[folder];
        let ids = chosen.iter().map(|(number, is_of_all)| {
            let there = shelf.entries.iter();
            let there = there.filter(|one| *is_of_all || one.removed.is_none());
            let there: Vec<&String> = there.map(|one| &one.unique_id).collect();
            match there.len() {
                0 => "no.such".to_owned(),
                known => there[number % known].clone(),
            }
        });
        let ids: Vec<String> = ids.collect();
        let index = &self.engine.index;
        let told = index.remove(&self.names.folders[folder], &ids, &self.model.given[hold].0);
        let told = told.await;

        let distinct: BTreeSet<_> = ids.iter().collect();
        let is_there = |id: &String| shelf.there().any(|one| one.unique_id == *id);
        if distinct.len() < ids.len() {
            prop_assert!(is_invalid(&told)?);
        } else if !self.model.is_in_force(hold) {
            same!(told, Err(Problem::Lost));
        } else if !ids.iter().all(is_there) {
            prop_assert!(is_invalid(&told)?);
        } else {
            same!(told, Ok(()));
            let shelf = &mut self.model.shelves[folder];
            shelf.version += u64::from(!ids.is_empty());
            let there = shelf.entries.iter_mut().filter(|one| one.removed.is_none());
            for one in there.filter(|one| distinct.contains(&one.unique_id)) {
                one.removed = Some(shelf.version);
                self.model.garbage.extend(one.path);
            }
        }
        Ok(())
    }

    async fn read(&self, folder: usize) -> Result<(), TestCaseError> {
        let (index, shelf) = (&self.engine.index, &self.model.shelves[folder]);
        let summary = Summary {
            version: shelf.version,
            messages: shelf.there().count() as u64,
            octets: shelf.there().map(|one| one.entry.octets).sum(),
        };
        same!(index.state(&self.names.folders[folder]).await, Ok(summary));
        same!(
            index.read(&self.names.folders[folder]).await,
            Ok(shelf.since(0))
        );
        let garbage = index.garbage(&self.names.path(0).place, None, 1000).await;
        let mut garbage = garbage.map_err(|problem| TestCaseError::fail(problem.to_string()))?;
        garbage.sort();
        let paths = self
            .model
            .garbage
            .iter()
            .map(|path| self.names.path(*path).path);
        same!(garbage, paths.collect::<Vec<_>>());
        Ok(())
    }

    async fn play_hold(&mut self, call: &Call) -> Result<(), TestCaseError> {
        let (holds, model) = (&self.engine.holds, &mut self.model);
        match call {
            Call::Join(name) => {
                let node = holds.join(&self.names.node(*name), "a test").await;
                let node = node.map_err(|problem| TestCaseError::fail(problem.to_string()))?;
                let before = model.terms[*name].as_ref();
                prop_assert!(before.is_none_or(|(before, _)| before.term < node.term));
                model.terms[*name] = Some((node.clone(), false));
                model.nodes.push((*name, node));
            }
            Call::Leave(chosen) | Call::Beat(chosen) | Call::Acquire(chosen, _) => {
                if model.nodes.is_empty() {
                    return Ok(());
                }
                let (name, node) = &model.nodes[model.nodes.len() - 1 - chosen % model.nodes.len()];
                let (name, node) = (*name, node.clone());
                let is_running = model.is_running(name, node.term);
                match call {
                    Call::Leave(_) => {
                        same!(holds.leave(&node).await, Ok(()));
                        if is_running && let Some((_, is_left)) = &mut model.terms[name] {
                            *is_left = true;
                        }
                    }
                    Call::Acquire(_, key) => self.acquire(name, node, *key).await?,
                    _ => {
                        let expected = is_running.then_some(()).ok_or(Problem::Lost);
                        same!(holds.beat(&node).await, expected);
                    }
                }
            }
            Call::Release(chosen) | Call::Check(chosen) => {
                if model.given.is_empty() {
                    return Ok(());
                }
                let given = model.given.len() - 1 - chosen % model.given.len();
                let is_in_force = model.is_in_force(given);
                let (hold, key, ..) = &model.given[given];
                match call {
                    Call::Release(_) => {
                        same!(holds.release(hold).await, Ok(()));
                        if is_in_force {
                            model.holders[*key] = None;
                        }
                    }
                    _ => {
                        let expected = is_in_force.then_some(()).ok_or(Problem::Lost);
                        same!(holds.check(hold).await, expected);
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    async fn acquire(&mut self, name: usize, node: Node, key: usize) -> Result<(), TestCaseError> {
        let model = &mut self.model;
        let told = self.engine.holds.acquire(&self.names.key(key), &node).await;
        if !model.is_running(name, node.term) {
            same!(told, Err(Problem::Lost));
            return Ok(());
        }
        let holder = model.holders[key].map(|given| &model.given[given]);
        let holder = holder.filter(|(_, _, name, term)| model.is_running(*name, *term));
        match (told, holder) {
            (Ok(Acquired::InUse { node, .. }), Some((_, _, name, _))) => {
                same!(node, self.names.node(*name));
            }
            (Ok(Acquired::Held(hold)), None) => {
                let fences = model.given.iter().map(|(hold, ..)| hold.fence);
                prop_assert!(fences.max() < Some(hold.fence));
                model.holders[key] = Some(model.given.len());
                model.given.push((hold, key, name, node.term));
            }
            (told, holder) => {
                return Err(TestCaseError::fail(format!("{told:?}, and {holder:?}")));
            }
        }
        Ok(())
    }
}

/// Whether it was refused as not as it has to be.
fn is_invalid<T: std::fmt::Debug>(told: &Result<T, Problem>) -> Result<bool, TestCaseError> {
    match told {
        Ok(_) => Ok(false),
        Err(Problem::Invalid(_)) => Ok(true),
        Err(problem) => Err(TestCaseError::fail(format!("{problem:?}"))),
    }
}

pub(crate) async fn answers_are_those_of_a_vector(make: impl AsyncFn(Retention) -> Engine) {
    let engine = Arc::new(make(Retention::default()).await);
    let case = AtomicU32::new(0);
    let runtime = Handle::current();
    let run = || {
        let config = Config {
            cases: CASES,
            failure_persistence: None,
            ..Config::default()
        };
        TestRunner::new(config).run(&calls(), |calls| {
            let case = case.fetch_add(1, Ordering::Relaxed);
            let tenant = format!("case {case}");
            let mut playing = Playing {
                engine: &engine,
                names: Names {
                    folders: [folder(&tenant, "b", ""), folder(&tenant, "b", "other")],
                    case,
                },
                model: Model::default(),
                count: 0,
            };
            runtime.block_on(async {
                for call in &calls {
                    playing.play(call).await?;
                }
                for folder in 0..FOLDERS {
                    playing.read(folder).await?;
                }
                Ok(())
            })
        })
    };
    tokio::task::block_in_place(run).unwrap_or_else(|error| panic!("{error}"));
}

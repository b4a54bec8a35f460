//! A maildrop in an engine, in memory.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use crate::bindings::host::restante::plugin::mail_index as raw;
use crate::mail_index::{Problem, Summary};
use crate::wire_octets;

/// Bytes that one call of a host may be handed.
const ARGUMENT_BYTES: usize = 2 << 20;
/// Of them for each text of a list, beside its own.
const TEXT_BYTES: usize = 24;
/// When the first message of [`MailIndex::deliver`] comes, in seconds since the Unix epoch.
const BEGINNING: u64 = 1_700_000_000;

thread_local! {
    static GRANTED: RefCell<Option<Rc<RefCell<State>>>> = const { RefCell::new(None) };
}

/// A maildrop of the test's own in an engine, granted to this thread's plugin until it is
/// dropped: what [`mail_index`](crate::mail_index) tells of, what [`blobs`](crate::blobs) reads,
/// and where [`Content::blob`](crate::store::Content::blob) leads to.
///
/// ```
/// use restante_guest::mail_index::{self, Problem};
/// use restante_guest::testing::MailIndex;
///
/// let index = MailIndex::new();
/// index.deliver("1.eml", "Subject: hello\n\nbody\n");
/// assert_eq!(mail_index::state("")?.octets, 24);
/// index.set_problem(Problem::Unavailable("no route".into()));
/// assert!(mail_index::read("").is_err());
/// # Ok::<(), Problem>(())
/// ```
#[derive(Debug)]
pub struct MailIndex(Rc<RefCell<State>>);

/// A message for [`MailIndex::append`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SampleEntry {
    /// 1 to 70 octets of 0x21..0x7E.
    pub unique_id: String,
    /// As a client gets it.
    pub octets: u64,
    /// As a client gets it that has not issued UTF8, where that differs.
    pub surrogate: Option<u64>,
    /// Seconds since the Unix epoch; 0: not known.
    pub received: u64,
    /// The path of its octets, and perhaps a space and more.
    pub name: String,
}

#[derive(Debug, Default)]
pub(super) struct State {
    folders: BTreeMap<String, Folder>,
    blobs: BTreeMap<String, Vec<u8>>,
    problem: Option<raw::Problem>,
}

#[derive(Debug, Default)]
struct Folder {
    version: u64,
    /// Changes since an older version cannot be told.
    forgotten: u64,
    /// By the version that brought them, which is their number.
    entries: BTreeMap<u64, SampleEntry>,
    /// The numbers of what is there, by unique-id.
    numbers: BTreeMap<String, u64>,
    gone: Vec<Gone>,
}

#[derive(Debug)]
struct Gone {
    version: u64,
    number: u64,
    unique_id: String,
}

impl MailIndex {
    /// An empty maildrop, granted to this thread's plugin.
    #[expect(clippy::new_without_default, reason = "it grants something")]
    pub fn new() -> MailIndex {
        let state = Rc::<RefCell<State>>::default();
        GRANTED.with(|granted| granted.replace(Some(Rc::clone(&state))));
        MailIndex(state)
    }

    /// A message comes into a folder ("" is the maildrop itself), behind all others.
    ///
    /// # Panics
    /// No engine takes it: its unique-id is none or is in the folder, or its name is empty or
    /// has a NUL in it.
    pub fn append(&self, folder: &str, entry: SampleEntry) {
        let SampleEntry {
            unique_id, name, ..
        } = &entry;
        let is_one = (1..=70).contains(&unique_id.len())
            && unique_id.bytes().all(|octet| octet.is_ascii_graphic());
        assert!(is_one, "{unique_id:?} is no unique-id (RFC 1939 section 7)");
        assert!(
            !name.is_empty() && !name.contains('\0'),
            "{name:?} is no name"
        );
        let mut state = self.0.borrow_mut();
        let folder = state.folders.entry(folder.to_owned()).or_default();
        folder.version += 1;
        let before = folder.numbers.insert(unique_id.clone(), folder.version);
        assert!(before.is_none(), "{unique_id} is in the folder already");
        folder.entries.insert(folder.version, entry);
    }

    /// A message comes into the maildrop, with its octets, which are stored under `path`. Each
    /// comes a second after the last one. Its unique-id is returned.
    ///
    /// # Panics
    /// The path is empty, or has a space or a NUL in it.
    pub fn deliver(&self, path: &str, text: impl AsRef<[u8]>) -> String {
        assert!(!path.contains(' '), "{path:?} ends at the space");
        let version = {
            let state = self.0.borrow();
            state.folders.get("").map_or(0, |folder| folder.version)
        };
        let unique_id = format!("1.{:x}", version + 1);
        let entry = SampleEntry {
            unique_id: unique_id.clone(),
            octets: wire_octets(text.as_ref()),
            surrogate: None,
            received: BEGINNING + version,
            name: path.to_owned(),
        };
        self.append("", entry);
        let mut state = self.0.borrow_mut();
        state.blobs.insert(path.to_owned(), text.as_ref().to_vec());
        unique_id
    }

    /// Messages go, as with a session of another server, in one change.
    ///
    /// # Panics
    /// One of them is not there, or is named twice.
    pub fn remove(&self, folder: &str, unique_ids: &[&str]) {
        let unique_ids: Vec<String> = unique_ids.iter().map(|id| (*id).to_owned()).collect();
        let removed = self.0.borrow_mut().remove(folder, &unique_ids);
        removed.unwrap_or_else(|problem| panic!("{}", Problem::from(problem)));
    }

    /// The octets under a path are lost, and its entry stays.
    ///
    /// # Panics
    /// There are none.
    pub fn lose_blob(&self, path: &str) {
        let lost = self.0.borrow_mut().blobs.remove(path);
        assert!(lost.is_some(), "nothing is under {path:?}");
    }

    /// What has changed until now cannot be told any more.
    pub fn forget_changes(&self) {
        for folder in self.0.borrow_mut().folders.values_mut() {
            folder.forgotten = folder.version;
        }
    }

    /// Answers each call with this problem from now on; none: with what is there.
    pub fn set_problem(&self, problem: impl Into<Option<Problem>>) {
        self.0.borrow_mut().problem = problem.into().map(raw::Problem::from);
    }
}

impl Drop for MailIndex {
    fn drop(&mut self) {
        GRANTED.with(|granted| {
            let is_this = |state: &mut Rc<RefCell<State>>| Rc::ptr_eq(state, &self.0);
            granted.borrow_mut().take_if(is_this);
        });
    }
}

impl State {
    /// The octets under a path.
    pub(super) fn blob(&self, path: &str) -> Option<&[u8]> {
        self.blobs.get(path).map(Vec::as_slice)
    }

    fn remove(&mut self, folder: &str, unique_ids: &[String]) -> Result<(), raw::Problem> {
        let folder = self.folders.entry(folder.to_owned()).or_default();
        let mut numbers = BTreeSet::new();
        for unique_id in unique_ids {
            let Some(number) = folder.numbers.get(unique_id) else {
                let text = format!("unique-id {unique_id} is not in the folder");
                return Err(raw::Problem::Invalid(text));
            };
            if !numbers.insert(*number) {
                let text = format!("unique-id {unique_id} is named twice");
                return Err(raw::Problem::Invalid(text));
            }
        }
        if numbers.is_empty() {
            return Ok(());
        }
        folder.version += 1;
        for number in numbers {
            let Some(SampleEntry { unique_id, .. }) = folder.entries.remove(&number) else {
                continue;
            };
            folder.numbers.remove(&unique_id);
            folder.gone.push(Gone {
                version: folder.version,
                number,
                unique_id,
            });
        }
        Ok(())
    }
}

impl Folder {
    /// What came after a version and is there.
    fn since(&self, version: u64) -> raw::Entries {
        let mut came = raw::Entries {
            unique_ids: String::new(),
            octets: Vec::new(),
            received: Vec::new(),
            names: String::new(),
            surrogates: Vec::new(),
            version: self.version,
        };
        for (number, entry) in &self.entries {
            if *number <= version {
                continue;
            }
            if let Some(octets) = entry.surrogate {
                let position = u32::try_from(came.octets.len()).unwrap_or(u32::MAX);
                came.surrogates.push((position, octets));
            }
            came.unique_ids.extend([entry.unique_id.as_str(), "\0"]);
            came.octets.push(entry.octets);
            came.received.push(entry.received);
            came.names.extend([entry.name.as_str(), "\0"]);
        }
        came
    }

    fn changes(&self, version: u64) -> Option<raw::Difference> {
        if !(self.forgotten..=self.version).contains(&version) {
            return None;
        }
        let gone = self.gone.iter();
        let gone = gone.filter(|gone| gone.version > version && gone.number <= version);
        Some(raw::Difference {
            gone: gone
                .flat_map(|gone| [gone.unique_id.as_str(), "\0"])
                .collect(),
            came: self.since(version),
        })
    }
}

impl From<Problem> for raw::Problem {
    fn from(problem: Problem) -> raw::Problem {
        match problem {
            Problem::Unavailable(text) => raw::Problem::Unavailable(text),
            Problem::Unknown(text) => raw::Problem::Unknown(text),
            Problem::Lost => raw::Problem::Lost,
            Problem::Invalid(text) => raw::Problem::Invalid(text),
        }
    }
}

/// What is granted answers, or its problem.
pub(super) fn ask<T>(
    answer: impl FnOnce(&mut State) -> Result<T, raw::Problem>,
) -> Result<T, raw::Problem> {
    GRANTED.with(|granted| {
        let granted = granted.borrow();
        let Some(state) = &*granted else {
            return Err(raw::Problem::Invalid(
                "no maildrop in an engine is granted: tests have a testing::MailIndex".to_owned(),
            ));
        };
        let mut state = state.borrow_mut();
        match &state.problem {
            Some(problem) => Err(problem.clone()),
            None => answer(&mut state),
        }
    })
}

fn ask_folder<T>(folder: &str, answer: impl FnOnce(&Folder) -> T) -> Result<T, raw::Problem> {
    ask(|state| {
        Ok(match state.folders.get(folder) {
            Some(folder) => answer(folder),
            None => answer(&Folder::default()),
        })
    })
}

pub(crate) fn state(folder: &str) -> Result<Summary, raw::Problem> {
    ask_folder(folder, |folder| Summary {
        version: folder.version,
        messages: folder.entries.len() as u64,
        octets: folder.entries.values().map(|entry| entry.octets).sum(),
    })
}

pub(crate) fn read(folder: &str) -> Result<raw::Entries, raw::Problem> {
    ask_folder(folder, |folder| folder.since(0))
}

pub(crate) fn changes(folder: &str, version: u64) -> Result<Option<raw::Difference>, raw::Problem> {
    ask_folder(folder, |folder| folder.changes(version))
}

pub(crate) fn remove(folder: &str, unique_ids: &[String]) -> Result<(), raw::Problem> {
    let bytes = unique_ids.iter().map(|id| TEXT_BYTES + id.len());
    let bytes = folder.len() + bytes.sum::<usize>();
    assert!(
        bytes <= ARGUMENT_BYTES,
        "a call of the host is handed {bytes} bytes, more than 2 MiB"
    );
    ask(|state| state.remove(folder, unique_ids))
}

/// The octets under a path. None: there are none, or nothing is granted.
pub(crate) fn blob(path: &str) -> Option<Vec<u8>> {
    GRANTED.with(|granted| {
        let granted = granted.borrow();
        let state = granted.as_ref()?.borrow();
        state.blob(path).map(<[u8]>::to_vec)
    })
}

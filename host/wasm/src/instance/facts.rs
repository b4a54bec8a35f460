//! What a guest's answer rests on, so that the same need not be asked twice.
//!
//! A guest computes: with the same arguments, in a fresh instance, it answers the same,
//! unless it learned something else of the world meanwhile. All that it learns comes
//! through the border, so it is enough to watch that. Where it was nothing but its
//! settings, the state of files in its maildrop, and what an engine's index says of the
//! maildrop's folders in short, those *facts* stand for the answer: as long as they are true
//! the guest would say what it said before. The time, what is in a file or a folder, a line
//! of log or any other call of the host: then it has to be asked again.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::bindings::restante::plugin::files::Status;
use crate::disk::grants::Root;
use crate::disk::look::{Changed, plain, status_at_once};
use restante_engine::{MAX_HOLD_FOLDERS, Summary};
use restante_roles::stamp::RACY_WINDOW;

/// Files that facts are about, at most.
const FILES: usize = 8;

/// Folders of an engine's maildrop that facts are about, at most: those that a hold brings.
const FOLDERS: usize = MAX_HOLD_FOLDERS;

/// Sees what crosses the border of one instance.
#[derive(Debug, Default)]
pub(crate) struct Witness {
    /// Calls into the guest.
    calls: u32,
    /// Calls of the host.
    asked: u64,
    /// Those among them that facts can stand for.
    understood: u64,
    looked: Vec<Looked>,
    states: Vec<FolderState>,
    /// Of a file that may change once more without a new time.
    is_fresh: bool,
    /// The host could not do what it was asked for.
    has_failed: bool,
    /// When what it looked at was last changed, all in one.
    changes: DefaultHasher,
}

/// A look at a file.
#[derive(Debug)]
struct Looked {
    /// Below the maildrop.
    path: String,
    /// None: there was none.
    status: Option<(Status, Changed)>,
}

/// What an engine's index told of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FolderState {
    /// In the session's maildrop; "" is the maildrop itself.
    pub(crate) folder: String,
    /// Its version grows with each change.
    pub(crate) summary: Summary,
}

/// What was true when the guest answered.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    looked: Arc<[Looked]>,
    states: Arc<[FolderState]>,
}

/// What became of what an engine told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// All of it is as it was.
    Same,
    /// There were changes since, or it is not known whether there were.
    Unsure,
    /// A folder is of an older version than it was, or another one of the same: the engine
    /// was set back. What was told of it then says nothing of now.
    SetBack,
}

/// What the answers of an instance rest on.
#[derive(Debug)]
pub(crate) enum Grounds {
    /// On these, and on nothing else.
    Facts(Facts),
    /// Whatever else they rest on, a file was changed just before: it could change again
    /// and look as it did. An answer that is meant to tell changes cannot.
    Fresh,
    /// On something else.
    Unknown,
}

impl Witness {
    /// The guest is called.
    pub(crate) fn called(&mut self) {
        self.calls += 1;
    }

    /// The guest calls the host.
    pub(crate) fn asked(&mut self) {
        self.asked += 1;
    }

    /// It was for what never changes while the plugin is the same, or for nothing that
    /// it learns from.
    pub(crate) fn constant(&mut self) {
        self.understood += 1;
    }

    /// It was for the state of a file, at this path below the maildrop. None: the file is
    /// elsewhere, where facts do not reach.
    pub(crate) fn looked(&mut self, path: Option<&str>, status: Option<&(Status, Changed)>) {
        self.is_fresh |= status.is_some_and(|(status, _)| is_fresh(status, SystemTime::now()));
        (path, status.map(|(_, changed)| changed)).hash(&mut self.changes);
        let Some(path) = path.filter(|_| self.looked.len() < FILES) else {
            return;
        };
        self.understood += 1;
        self.looked.push(Looked {
            path: path.to_owned(),
            status: status.cloned(),
        });
    }

    /// It was for what a folder of the session's maildrop in an engine holds, in short.
    pub(crate) fn folder(&mut self, folder: &str, summary: Summary) {
        if self.states.len() < FOLDERS {
            self.understood += 1;
            self.states.push(FolderState {
                folder: folder.to_owned(),
                summary,
            });
        }
    }

    /// The host could not do what the guest asked for, this time: a disk that did not
    /// answer, no descriptor left. What the guest says then may be less than there is.
    pub(crate) fn failed(&mut self) {
        self.has_failed = true;
    }

    /// Whether anything failed so far.
    pub(crate) fn has_failed(&self) -> bool {
        self.has_failed
    }

    /// Stands for the times of change of all that was looked at: a guest does not
    /// learn them, and a restored time of modification would hide a change from it.
    pub(crate) fn changes(&self) -> u64 {
        self.changes.finish()
    }

    /// What the answers to the first so many calls rest on. Later ones could rest on
    /// the arguments of those before. `grown`: how often it asked for more memory, and
    /// had it.
    pub(crate) fn grounds(&mut self, calls: u32, grown: u64) -> Grounds {
        if self.is_fresh {
            return Grounds::Fresh;
        }
        if self.asked != self.understood + grown || self.calls != calls {
            return Grounds::Unknown;
        }
        Grounds::Facts(Facts {
            looked: std::mem::take(&mut self.looked).into(),
            states: std::mem::take(&mut self.states).into(),
        })
    }
}

fn whole((status, changed): (Status, Changed)) -> impl PartialEq {
    (plain(status), changed)
}

impl Facts {
    /// Whether all of it is true now, of a maildrop that is a directory. False also where it
    /// would take waiting to know.
    pub(crate) fn hold(&self, maildrop: &Arc<Root>) -> bool {
        let looked = self.looked.iter().all(|looked| {
            let now = status_at_once(maildrop, &looked.path);
            now.is_some_and(|now| now.map(whole) == looked.status.map(whole))
        });
        looked && self.states.is_empty()
    }

    /// The same of a maildrop in an engine, which tells this now.
    pub(crate) fn standing(&self, now: &[FolderState]) -> Standing {
        let mut all = match self.looked.is_empty() {
            true => Standing::Same,
            false => Standing::Unsure,
        };
        for then in &*self.states {
            let now = now.iter().find(|now| now.folder == then.folder);
            match now.map(|now| now.summary) {
                Some(now) if now == then.summary => {}
                Some(now) if now.version <= then.summary.version => return Standing::SetBack,
                Some(_) | None => all = Standing::Unsure,
            }
        }
        all
    }

    /// The folders that an engine has to tell of again.
    pub(crate) fn folders(&self) -> impl Iterator<Item = &str> {
        self.states.iter().map(|state| state.folder.as_str())
    }

    /// Octets that they take.
    pub(crate) fn octets(&self) -> usize {
        let looked = self.looked.iter();
        let looked = looked.map(|looked| size_of::<Looked>() + looked.path.len());
        let states = self.states.iter();
        let states = states.map(|state| size_of::<FolderState>() + state.folder.len());
        looked.sum::<usize>() + states.sum::<usize>()
    }
}

/// Whether a file can change again and keep its time of change. One that lies in the
/// future tells nothing.
fn is_fresh(status: &Status, now: SystemTime) -> bool {
    let modified = UNIX_EPOCH + Duration::from_nanos(status.modified);
    let rest = now.duration_since(modified);
    rest.map_or(true, |rest| rest <= RACY_WINDOW)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::bindings::restante::plugin::files::Kind;

    fn status(modified: SystemTime) -> Status {
        let since = modified.duration_since(UNIX_EPOCH).unwrap();
        Status {
            kind: Kind::Directory,
            size: 4096,
            modified: since.as_nanos() as u64,
            created: Some(7),
            identity: 9,
        }
    }

    fn old() -> (Status, Changed) {
        (status(SystemTime::now() - Duration::from_secs(60)), (0, 0))
    }

    fn facts(witness: &mut Witness, calls: u32) -> Option<Facts> {
        match witness.grounds(calls, 0) {
            Grounds::Facts(facts) => Some(facts),
            Grounds::Fresh | Grounds::Unknown => None,
        }
    }

    fn of_files(looked: Vec<Looked>) -> Facts {
        Facts {
            looked: looked.into(),
            states: Arc::default(),
        }
    }

    #[test]
    fn settings_and_files_are_grounds_and_nothing_else_is() {
        let mut witness = Witness::default();
        witness.called();
        witness.asked();
        witness.constant();
        witness.called();
        witness.asked();
        witness.looked(Some("new"), Some(&old()));
        witness.asked();
        assert!(facts(&mut witness, 2).is_none());
        let Grounds::Facts(facts_and_memory) = witness.grounds(2, 1) else {
            panic!("memory is no knowledge");
        };
        assert_eq!(facts_and_memory.looked.len(), 1);
        // The time, say.
        witness.asked();
        assert!(matches!(witness.grounds(2, 1), Grounds::Unknown));
    }

    #[test]
    fn an_instance_that_was_called_before_may_know_more() {
        let mut witness = Witness::default();
        for _ in 0..3 {
            witness.called();
        }
        assert!(facts(&mut witness, 2).is_none());
        assert!(facts(&mut witness, 3).is_some());
    }

    #[test]
    fn what_changed_just_now_may_change_again_unseen() {
        let now = SystemTime::now();
        for (changed, fresh) in [
            (now - RACY_WINDOW - Duration::from_millis(100), false),
            (now - RACY_WINDOW + Duration::from_millis(500), true),
            (now, true),
            (now + Duration::from_secs(3600), true),
        ] {
            let mut witness = Witness::default();
            witness.called();
            witness.asked();
            witness.looked(Some("new"), Some(&(status(changed), (0, 0))));
            assert_eq!(matches!(witness.grounds(1, 0), Grounds::Fresh), fresh);
        }
    }

    #[test]
    fn what_is_fresh_is_so_whatever_else_the_answer_rests_on() {
        let mut witness = Witness::default();
        witness.called();
        // A line of log, say.
        witness.asked();
        for _ in 0..FILES {
            witness.asked();
            witness.looked(Some("new"), Some(&old()));
        }
        assert!(matches!(witness.grounds(1, 0), Grounds::Unknown));
        witness.asked();
        witness.looked(None, Some(&(status(SystemTime::now()), (0, 0))));
        assert!(matches!(witness.grounds(1, 0), Grounds::Fresh));
    }

    #[test]
    fn more_files_than_are_kept_are_no_grounds() {
        let mut witness = Witness::default();
        for _ in 0..=FILES {
            witness.asked();
            witness.looked(Some("new"), Some(&old()));
        }
        assert!(facts(&mut witness, 0).is_none());
    }

    #[test]
    fn facts_hold_until_something_changes() {
        let dir = tempfile::tempdir().unwrap();
        let root = Arc::new(Root::open(dir.path()).unwrap());
        std::fs::create_dir(dir.path().join("new")).unwrap();
        let facts = |root| {
            let mut looked = Vec::new();
            for path in ["new", "cur"] {
                // The kernel knows of it then, be it that there is none.
                let _ = dir.path().join(path).exists();
                let status = status_at_once(root, path).unwrap();
                let path = path.to_owned();
                looked.push(Looked { path, status });
            }
            of_files(looked)
        };
        let before = facts(&root);
        assert!(before.hold(&root));
        std::fs::create_dir(dir.path().join("cur")).unwrap();
        assert!(!before.hold(&root));
        let before = facts(&root);
        std::thread::sleep(Duration::from_millis(20));
        std::fs::write(dir.path().join("cur/1.a.h"), "a").unwrap();
        assert!(!before.hold(&root));
        let before = facts(&root);
        std::fs::rename(dir.path().join("new"), dir.path().join("old")).unwrap();
        assert!(!before.hold(&root));
    }

    #[test]
    fn times_that_are_set_back_hide_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let new = dir.path().join("new");
        std::fs::create_dir(&new).unwrap();
        let root = Arc::new(Root::open(dir.path()).unwrap());
        let look = || {
            let mut witness = Witness::default();
            let _ = new.exists();
            let status = status_at_once(&root, "new")?;
            witness.looked(Some("new"), status.as_ref());
            let path = "new".to_owned();
            Some((of_files(vec![Looked { path, status }]), witness.changes()))
        };
        // Where the system cannot tell there are no facts.
        let Some((facts, changes)) = look() else {
            return;
        };
        let modified = std::fs::metadata(&new).unwrap().modified().unwrap();
        std::thread::sleep(Duration::from_millis(20));
        std::fs::write(new.join("1.a.h"), "mail").unwrap();
        let opened = std::fs::File::open(&new).unwrap();
        opened.set_modified(modified).unwrap();
        assert!(!facts.hold(&root));
        assert_ne!(look().unwrap().1, changes);
    }

    fn of(version: u64, messages: u64) -> Summary {
        Summary {
            version,
            messages,
            octets: 100 * messages,
        }
    }

    fn now(folders: &[(&str, Summary)]) -> Vec<FolderState> {
        let states = folders.iter().map(|(folder, summary)| FolderState {
            folder: (*folder).to_owned(),
            summary: *summary,
        });
        states.collect()
    }

    #[test]
    fn what_an_engine_tells_of_folders_is_grounds_until_it_tells_something_else() {
        let mut witness = Witness::default();
        witness.called();
        for (folder, summary) in [("", of(7, 3)), ("lists", of(0, 0))] {
            witness.asked();
            witness.folder(folder, summary);
        }
        let facts = facts(&mut witness, 1).unwrap();
        assert_eq!(facts.folders().collect::<Vec<_>>(), ["", "lists"]);
        assert!(facts.octets() >= "lists".len());
        for (inbox, lists, standing) in [
            (of(7, 3), of(0, 0), Standing::Same),
            (of(8, 4), of(0, 0), Standing::Unsure),
            (of(7, 3), of(1, 1), Standing::Unsure),
            (of(6, 2), of(0, 0), Standing::SetBack),
            // Set back, and others came.
            (of(7, 4), of(0, 0), Standing::SetBack),
            (of(6, 2), of(1, 1), Standing::SetBack),
        ] {
            let now = now(&[("lists", lists), ("", inbox), ("other", of(1, 1))]);
            assert_eq!(facts.standing(&now), standing, "{inbox:?} {lists:?}");
        }
        assert_eq!(facts.standing(&now(&[("", of(7, 3))])), Standing::Unsure);
        assert_eq!(facts.standing(&[]), Standing::Unsure);
        // In a directory there is no such thing.
        let dir = tempfile::tempdir().unwrap();
        assert!(!facts.hold(&Arc::new(Root::open(dir.path()).unwrap())));
    }

    #[test]
    fn what_is_in_a_folder_is_no_grounds() {
        let mut witness = Witness::default();
        witness.called();
        witness.asked();
        witness.folder("", of(7, 3));
        // To read it, say.
        witness.asked();
        assert!(facts(&mut witness, 1).is_none());
        let mut witness = Witness::default();
        for number in 0..=FOLDERS {
            witness.asked();
            witness.folder(&number.to_string(), of(1, 1));
        }
        assert!(facts(&mut witness, 0).is_none(), "more than are kept");
    }

    #[test]
    fn of_an_engine_files_tell_nothing() {
        let facts = of_files(vec![Looked {
            path: "new".to_owned(),
            status: None,
        }]);
        assert_eq!(facts.standing(&[]), Standing::Unsure);
    }
}

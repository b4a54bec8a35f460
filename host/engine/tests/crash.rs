//! A process is killed between any two steps of a delivery or a removal, and at any
//! moment at all: what it was told lasts is there, and nothing else is left over.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use restante_engine::files::Files;
use restante_engine::sqlite::Sqlite;
use restante_engine::{
    Acquired, Appended, Blobs, Folder, GarbageCollector, Holds, MailIndex, Retention, Tables,
};

use crate::files::files_below;
use crate::suite::{FREE, entry, folder, listed, placed};

/// Where the child works; it is none without it.
const DIRECTORY: &str = "RESTANTE_ENGINE_CRASH_DIRECTORY";
/// The step at which it stops and waits to be killed.
const STEP: &str = "RESTANTE_ENGINE_CRASH_STEP";
const STEPS: [&str; 7] = [
    "intended",
    "half written",
    "placed",
    "appended",
    "removed",
    "deleted",
    "forgotten",
];
/// For a child to come to its step.
const PATIENCE: Duration = Duration::from_secs(120);
const OCTETS: usize = 3000;

fn inbox() -> Folder {
    folder("a", "b", "")
}

fn open(directory: &Path) -> (Sqlite, Arc<Files>) {
    let retention = Retention {
        intents: Duration::ZERO,
        ..Retention::default()
    };
    let sqlite = Sqlite::open(&directory.join("mail.sqlite"), retention, Tables::Made).unwrap();
    let files = Files::open(&directory.join("blobs")).unwrap();
    (sqlite, Arc::new(files))
}

fn content(path: &str) -> Bytes {
    path.bytes().cycle().take(OCTETS).collect()
}

/// What the child was told, one line each. What is written survives its process.
struct Journal {
    file: File,
    step: String,
}

impl Journal {
    fn say(&mut self, line: &str) {
        self.file.write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    fn step(&mut self, round: u32, step: &str) {
        if round >= 4 && self.step == step {
            self.say("AT");
            loop {
                std::thread::park();
            }
        }
    }
}

/// The child's work; without a directory, a test of nothing.
#[tokio::test]
async fn child() {
    let Some(directory) = std::env::var_os(DIRECTORY).map(PathBuf::from) else {
        return;
    };
    let (sqlite, files) = open(&directory);
    let journal = directory.join("journal");
    let mut journal = Journal {
        file: File::options()
            .append(true)
            .create(true)
            .open(journal)
            .unwrap(),
        step: std::env::var(STEP).unwrap(),
    };
    let node = sqlite.join("n", "a test").await.unwrap();
    let Acquired::Held(hold) = sqlite.acquire("k", &node).await.unwrap() else {
        panic!("in use");
    };
    for round in 0.. {
        let path = format!("{}-{round}", std::process::id());
        let blob = placed(&path);
        sqlite.intend(&blob).await.unwrap();
        journal.step(round, "intended");
        let mut writer = files.create(&blob.path, OCTETS as u64).await.unwrap();
        writer
            .write(content(&path).slice(..OCTETS / 2))
            .await
            .unwrap();
        journal.step(round, "half written");
        writer
            .write(content(&path).slice(OCTETS / 2..))
            .await
            .unwrap();
        writer.finish().await.unwrap();
        journal.step(round, "placed");
        journal.say(&format!("APPENDING {path}"));
        let kept = sqlite
            .append(&inbox(), &entry(&path), &FREE, Some(&blob))
            .await;
        let Ok(Appended::Kept(id)) = kept else {
            panic!("{kept:?}");
        };
        journal.step(round, "appended");
        journal.say(&format!("KEPT {id} {path}"));
        if round % 2 == 0 {
            continue;
        }
        let entries = listed(&sqlite.read(&inbox()).await.unwrap());
        let ids: Vec<String> = entries.into_iter().map(|(id, _)| id).take(2).collect();
        journal.say(&format!("REMOVING {}", ids.join(" ")));
        sqlite.remove(&inbox(), &ids, &hold).await.unwrap();
        journal.step(round, "removed");
        journal.say(&format!("REMOVED {}", ids.join(" ")));
        let garbage = sqlite.garbage("mail", None, 1).await.unwrap();
        files.remove(&garbage).await.unwrap();
        journal.step(round, "deleted");
        sqlite.forget_garbage("mail", &garbage).await.unwrap();
        journal.step(round, "forgotten");
    }
}

/// A child at work. It ends with this, whatever becomes of the test.
struct Running(Child);

impl Running {
    fn start(directory: &Path, step: &str) -> Self {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crash::child", "--nocapture"])
            .env(DIRECTORY, directory)
            .env(STEP, step)
            .stdout(Stdio::null())
            .spawn();
        Running(child.unwrap())
    }

    fn kill(mut self) {
        let ended = self.0.try_wait().unwrap();
        assert!(ended.is_none(), "it ended by itself: {ended:?}");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // SIGKILL. It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn journal(directory: &Path) -> String {
    std::fs::read_to_string(directory.join("journal")).unwrap_or_default()
}

/// Holds what is there against what was told.
async fn check(directory: &Path) {
    let (mut kept, mut removed) = (BTreeMap::new(), BTreeSet::new());
    // What was asked for and not answered, by each of the processes.
    let (mut appending, mut removing) = (BTreeSet::new(), Vec::new());
    for line in journal(directory).lines() {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        match (words[0].as_str(), &words[1..]) {
            ("APPENDING", [path]) => {
                appending.insert(path.clone());
            }
            ("KEPT", [id, path]) => {
                kept.insert(id.clone(), path.clone());
                appending.remove(path);
            }
            ("REMOVING", ids) => removing.push(ids.to_vec()),
            ("REMOVED", ids) => {
                removing.retain(|removing| removing != ids);
                removed.extend(ids.iter().cloned());
            }
            _ => assert_eq!(line, "AT"),
        }
    }
    let (sqlite, files) = open(directory);
    let entries = sqlite.read(&inbox()).await.unwrap();
    let there: BTreeMap<String, String> = listed(&entries).into_iter().collect();
    let is_doubtful = |id: &String| removing.iter().flatten().any(|removing| removing == id);
    for (id, path) in &kept {
        assert!(
            !(there.contains_key(id) && removed.contains(id)),
            "{id} came back"
        );
        let may_be_gone = removed.contains(id) || is_doubtful(id);
        assert!(may_be_gone || there.get(id) == Some(path), "{id} is lost");
    }
    for ids in &removing {
        let left = ids.iter().filter(|id| there.contains_key(*id)).count();
        assert!(
            left == 0 || left == ids.len(),
            "a removal is half done: {ids:?}"
        );
    }
    for (id, path) in &there {
        assert!(
            kept.contains_key(id) || appending.contains(path),
            "{id} came from nowhere"
        );
    }
    let summary = sqlite.state(&inbox()).await.unwrap();
    assert_eq!(summary.messages, there.len() as u64);
    assert_eq!(summary.octets, entries.octets.iter().sum::<u64>());

    let blobs: Arc<dyn Blobs> = files;
    let places = BTreeMap::from([("mail".to_owned(), blobs.clone())]);
    let mut collector = GarbageCollector::default();
    while !collector.turn(&sqlite, &places, 7).await.unwrap().is_done() {}
    for path in there.values() {
        let read = blobs.read(&placed(path).path, 0, u32::MAX).await.unwrap();
        assert!(
            read == Some(content(path)),
            "{path} is not what was written"
        );
    }
    let root = directory.join("blobs");
    let files = files_below(&root);
    let files = files
        .iter()
        .filter(|file| !file.starts_with(root.join("tmp")));
    assert_eq!(files.count(), there.len(), "blobs without entries");
}

#[tokio::test]
async fn killed_between_any_two_steps_nothing_is_lost_or_left() {
    let directory = tempfile::tempdir().unwrap();
    for step in STEPS {
        let stopped = journal(directory.path()).matches("AT\n").count();
        let mut child = Running::start(directory.path(), step);
        let started = Instant::now();
        while journal(directory.path()).matches("AT\n").count() == stopped {
            let status = child.0.try_wait().unwrap();
            assert!(status.is_none(), "{step}: {status:?}");
            assert!(started.elapsed() < PATIENCE, "it does not come to {step:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        child.kill();
        check(directory.path()).await;
    }
}

#[tokio::test]
async fn killed_at_any_moment_nothing_is_lost_or_left() {
    let directory = tempfile::tempdir().unwrap();
    for round in 0..12u64 {
        let before = journal(directory.path()).len();
        let child = Running::start(directory.path(), "none");
        let started = Instant::now();
        while journal(directory.path()).len() == before {
            assert!(started.elapsed() < PATIENCE, "it does nothing");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // Somewhere else in its work each time.
        tokio::time::sleep(Duration::from_micros(round * round * 700 + round * 137)).await;
        child.kill();
        check(directory.path()).await;
    }
}

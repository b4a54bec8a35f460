//! What becomes of blobs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use restante_engine::memory::MemoryBlobs;
use restante_engine::{
    Appended, BlobPath, BlobReader, BlobWriter, Blobs, Entry, GarbageCollector, Limits, Placed,
    Problem, Removal, Retention,
};

use super::{Engine, FREE, entry, folder, placed};

fn in_no_time() -> Retention {
    Retention {
        intents: Duration::ZERO,
        ..Retention::default()
    }
}

async fn garbage(engine: &Engine) -> Vec<String> {
    let paths = engine.index.garbage("mail", None, 1000).await.unwrap();
    let mut paths: Vec<_> = paths.iter().map(|path| path.as_str().to_owned()).collect();
    paths.sort();
    paths
}

pub(crate) async fn an_entry_has_a_blob_that_was_intended_for_it_alone(
    make: impl AsyncFn(Retention) -> Engine,
) {
    let engine = make(Retention::default()).await;
    let inbox = folder("a", "b", "");
    let (index, blob) = (&engine.index, placed("x/1"));
    let append = async |entry: &Entry, limits: &Limits| {
        index.append(&inbox, entry, limits, Some(&blob)).await
    };
    let refused = append(&entry("x/1"), &FREE).await;
    assert!(matches!(refused, Err(Problem::Invalid(_))), "{refused:?}");
    assert_eq!(index.state(&inbox).await.unwrap().version, 0);

    index.intend(&blob).await.unwrap();
    let again = index.intend(&blob).await;
    assert!(matches!(again, Err(Problem::Invalid(_))), "{again:?}");
    // The same path of another place is another one.
    let elsewhere = Placed {
        place: "elsewhere".into(),
        ..blob.clone()
    };
    index.intend(&elsewhere).await.unwrap();

    // What is not kept leaves the intent.
    let digested = Entry {
        digest: Some([1; 32]),
        ..entry("other")
    };
    engine.kept(&inbox, &digested).await;
    assert_eq!(append(&digested, &FREE).await, Ok(Appended::Duplicate));
    let none = Limits {
        messages: Some(1),
        ..FREE
    };
    assert_eq!(append(&entry("x/1"), &none).await, Ok(Appended::Full));
    let there = Entry {
        unique_id: Some("A".into()),
        ..entry("x")
    };
    engine.kept(&inbox, &there).await;
    assert!(matches!(
        append(&there, &FREE).await,
        Err(Problem::Invalid(_))
    ));

    assert!(matches!(
        append(&entry("x/1"), &FREE).await,
        Ok(Appended::Kept(_))
    ));
    let second = append(&entry("x/1"), &FREE).await;
    assert!(matches!(second, Err(Problem::Invalid(_))), "{second:?}");
    assert_eq!(engine.names(&inbox).await, ["other", "x", "x/1"]);
    assert_eq!(index.expire(1000).await, Ok(0));
    assert_eq!(garbage(&engine).await, [""; 0]);
}

pub(crate) async fn what_was_intended_and_not_kept_becomes_garbage(
    make: impl AsyncFn(Retention) -> Engine,
) {
    let engine = make(in_no_time()).await;
    let inbox = folder("a", "b", "");
    let index = &engine.index;
    for path in ["1", "2", "3", "4"] {
        index.intend(&placed(path)).await.unwrap();
    }
    let kept = index
        .append(&inbox, &entry("2"), &FREE, Some(&placed("2")))
        .await;
    assert!(matches!(kept, Ok(Appended::Kept(_))), "{kept:?}");
    assert_eq!(garbage(&engine).await, [""; 0]);
    assert_eq!(index.expire(2).await, Ok(2));
    assert_eq!(index.expire(2).await, Ok(1));
    assert_eq!(index.expire(2).await, Ok(0));
    assert_eq!(garbage(&engine).await, ["1", "3", "4"]);
    assert_eq!(index.garbage("mail", None, 2).await.unwrap().len(), 2);
    assert_eq!(index.garbage("elsewhere", None, 2).await, Ok(vec![]));
    // Too late: its blob may be gone by now.
    let late = index
        .append(&inbox, &entry("1"), &FREE, Some(&placed("1")))
        .await;
    assert!(matches!(late, Err(Problem::Invalid(_))), "{late:?}");
    let again = index.intend(&placed("1")).await;
    assert!(matches!(again, Err(Problem::Invalid(_))), "{again:?}");
    assert_eq!(engine.names(&inbox).await, ["2"]);

    let paths = [placed("1").path, placed("2").path, placed("no such").path];
    index.forget_garbage("elsewhere", &paths).await.unwrap();
    index.forget_garbage("mail", &paths).await.unwrap();
    index.forget_garbage("mail", &paths).await.unwrap();
    assert_eq!(garbage(&engine).await, ["3", "4"]);
}

pub(crate) async fn blobs_of_what_was_removed_become_garbage(
    make: impl AsyncFn(Retention) -> Engine,
) {
    let engine = make(Retention::default()).await;
    let inbox = folder("a", "b", "");
    let (index, mut ids) = (&engine.index, Vec::new());
    for path in ["1", "2", "3"] {
        index.intend(&placed(path)).await.unwrap();
        let kept = index
            .append(&inbox, &entry(path), &FREE, Some(&placed(path)))
            .await;
        let Ok(Appended::Kept(id)) = kept else {
            panic!("{kept:?}");
        };
        ids.push(id);
    }
    ids.push(engine.kept(&inbox, &entry("no blob")).await);
    let (_, hold) = engine.holder("n", "k").await;
    let wrong = [ids[0].clone(), "no.such".to_owned()];
    assert!(index.remove(&inbox, &wrong, &hold).await.is_err());
    assert_eq!(garbage(&engine).await, [""; 0]);
    let named = [ids[0].clone(), ids[2].clone(), ids[3].clone()];
    index.remove(&inbox, &named, &hold).await.unwrap();
    assert_eq!(garbage(&engine).await, ["1", "3"]);
}

async fn write(blobs: &dyn Blobs, path: &str) {
    let path = BlobPath::new(path).unwrap();
    let mut writer = blobs.create(&path, 4).await.unwrap();
    writer.write(Bytes::from_static(b"mail")).await.unwrap();
    writer.finish().await.unwrap();
}

pub(crate) async fn a_turn_removes_garbage_and_forgets_it(make: impl AsyncFn(Retention) -> Engine) {
    let engine = make(in_no_time()).await;
    let inbox = folder("a", "b", "");
    let blobs: Arc<dyn Blobs> = Arc::new(MemoryBlobs::default());
    let places = BTreeMap::from([("mail".to_owned(), blobs.clone())]);
    for path in ["1", "2", "3", "4", "5"] {
        engine.index.intend(&placed(path)).await.unwrap();
        if path != "4" {
            write(&*blobs, path).await;
        }
        if path == "2" {
            let (index, blob) = (&engine.index, placed(path));
            index
                .append(&inbox, &entry(path), &FREE, Some(&blob))
                .await
                .unwrap();
        }
    }
    let mut collector = GarbageCollector::default();
    let first = collector.turn(&*engine.index, &places, 3).await.unwrap();
    assert_eq!(
        (first.expired, first.removed, first.is_done()),
        (3, 3, false)
    );
    let second = collector.turn(&*engine.index, &places, 3).await.unwrap();
    assert_eq!((second.expired, second.removed), (1, 1));
    let third = collector.turn(&*engine.index, &places, 3).await.unwrap();
    assert!(third.is_done());
    for path in ["1", "2", "3", "4", "5"] {
        let is_there = blobs
            .read(&placed(path).path, 0, 1)
            .await
            .unwrap()
            .is_some();
        assert_eq!(is_there, path == "2", "{path}");
    }
}

#[derive(Debug)]
struct Unavailable;

#[async_trait]
impl Blobs for Unavailable {
    async fn create(&self, _: &BlobPath, _: u64) -> Result<Box<dyn BlobWriter>, Problem> {
        Err(Problem::unavailable("away"))
    }

    async fn read(&self, _: &BlobPath, _: u64, _: u32) -> Result<Option<Bytes>, Problem> {
        Err(Problem::unavailable("away"))
    }

    async fn open(
        &self,
        _: &BlobPath,
        _: u64,
        _: Option<u64>,
    ) -> Result<Option<Box<dyn BlobReader>>, Problem> {
        Err(Problem::unavailable("away"))
    }

    async fn remove(&self, _: &[BlobPath]) -> Result<Removal, Problem> {
        Err(Problem::unavailable("away"))
    }
}

pub(crate) async fn a_place_that_does_not_answer_keeps_its_garbage_and_no_other(
    make: impl AsyncFn(Retention) -> Engine,
) {
    let engine = make(in_no_time()).await;
    let blobs: Arc<dyn Blobs> = Arc::new(MemoryBlobs::default());
    let away: Arc<dyn Blobs> = Arc::new(Unavailable);
    let places = BTreeMap::from([("away".to_owned(), away), ("mail".to_owned(), blobs)]);
    engine.index.intend(&placed("1")).await.unwrap();
    let elsewhere = Placed {
        place: "away".into(),
        ..placed("2")
    };
    engine.index.intend(&elsewhere).await.unwrap();
    let mut collector = GarbageCollector::default();
    let turn = collector.turn(&*engine.index, &places, 10).await.unwrap();
    assert_eq!((turn.expired, turn.removed), (2, 1));
    let problem = ("away".to_owned(), Problem::unavailable("away"));
    assert_eq!(turn.problems, [problem]);
    assert_eq!(
        engine.index.garbage("away", None, 10).await.unwrap(),
        [elsewhere.path]
    );
    assert_eq!(garbage(&engine).await, [""; 0]);
}

/// Blobs of which some cannot be removed, and that give up where all of a batch were such.
#[derive(Debug, Default)]
struct Stuck {
    blobs: MemoryBlobs,
    stuck: Vec<&'static str>,
    asked: AtomicUsize,
}

#[async_trait]
impl Blobs for Stuck {
    async fn create(&self, path: &BlobPath, octets: u64) -> Result<Box<dyn BlobWriter>, Problem> {
        self.blobs.create(path, octets).await
    }

    async fn read(
        &self,
        path: &BlobPath,
        offset: u64,
        length: u32,
    ) -> Result<Option<Bytes>, Problem> {
        self.blobs.read(path, offset, length).await
    }

    async fn open(
        &self,
        path: &BlobPath,
        offset: u64,
        length: Option<u64>,
    ) -> Result<Option<Box<dyn BlobReader>>, Problem> {
        self.blobs.open(path, offset, length).await
    }

    async fn remove(&self, paths: &[BlobPath]) -> Result<Removal, Problem> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let (kept, others): (Vec<_>, Vec<_>) =
            (paths.iter().cloned()).partition(|path| self.stuck.contains(&path.as_str()));
        self.blobs.remove(&others).await?;
        let gave_up = others.is_empty() && kept.len() > 1;
        let kept = kept
            .into_iter()
            .map(|path| (path, Problem::unavailable("stuck")));
        Ok(Removal {
            gave_up_after: gave_up.then(|| paths[0].clone()),
            kept: kept.collect(),
        })
    }
}

pub(crate) async fn what_cannot_be_removed_keeps_nothing_else_from_being_removed(
    make: impl AsyncFn(Retention) -> Engine,
) {
    let engine = make(in_no_time()).await;
    let stuck = Arc::new(Stuck {
        stuck: vec!["1", "2", "5"],
        ..Stuck::default()
    });
    let blobs: Arc<dyn Blobs> = stuck.clone();
    let places = BTreeMap::from([("mail".to_owned(), blobs.clone())]);
    for path in ["1", "2", "3", "4", "5", "6"] {
        engine.index.intend(&placed(path)).await.unwrap();
        write(&*blobs, path).await;
    }
    engine.index.expire(1000).await.unwrap();
    let mut collector = GarbageCollector::default();
    // As often as the clock would come round; in each, turns until one is done.
    for _ in 0..4 {
        for turn in 0.. {
            assert!(turn < 20, "it never ends");
            let collected = collector.turn(&*engine.index, &places, 2).await.unwrap();
            if collected.is_done() {
                break;
            }
        }
    }
    assert_eq!(garbage(&engine).await, ["1", "2", "5"]);
    for path in ["1", "2", "3", "4", "5", "6"] {
        let found = blobs.read(&placed(path).path, 0, 1).await.unwrap();
        assert_eq!(found.is_some(), stuck.stuck.contains(&path), "{path}");
    }
    // They are tried again, and go when they can.
    let free: Arc<dyn Blobs> = Arc::new(stuck.blobs.clone());
    let places = BTreeMap::from([("mail".to_owned(), free)]);
    for _ in 0..2 {
        while !collector
            .turn(&*engine.index, &places, 2)
            .await
            .unwrap()
            .is_done()
        {}
    }
    assert_eq!(garbage(&engine).await, [""; 0]);
    assert!(stuck.asked.load(Ordering::Relaxed) < 40);
}

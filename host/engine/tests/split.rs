//! Small blobs in one place and large ones in another, which may be away.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use restante_engine::files::Files;
use restante_engine::memory::MemoryBlobs;
use restante_engine::s3::{S3, S3Credentials, S3Settings};
use restante_engine::sqlite::Sqlite;
use restante_engine::{
    BlobPath, Blobs, GarbageCollector, MailIndex, Problem, Removal, Retention, SplitBlobs, Tables,
};
use restante_tests::{CREDENTIALS, Fault, Store, serve_objects};

use crate::suite::{BlobStore, placed};

const MAX_SMALL: u64 = 8;

async fn bucket() -> (Arc<S3>, Arc<Store>) {
    let (address, store) = serve_objects(None).await;
    let s3 = S3::new(&S3Settings {
        endpoint: format!("http://{address}"),
        bucket: "bucket".to_owned(),
        region: "garage".to_owned(),
        credentials: S3Credentials::parse(CREDENTIALS).unwrap(),
        prefix: String::new(),
        authorities_file: None,
        reads_back: false,
    });
    (Arc::new(s3.unwrap()), store)
}

/// Of blobs of the cases some are larger than this, and some are not.
pub(crate) async fn blobs() -> BlobStore {
    let (s3, store) = bucket().await;
    let directory = tempfile::tempdir().unwrap();
    let files = Files::open(&directory.path().join("blobs")).unwrap();
    BlobStore {
        blobs: Arc::new(SplitBlobs::new(Arc::new(files), s3, MAX_SMALL)),
        keep: Box::new((directory, store)),
    }
}

object_store_suite!(crate::split::blobs);

fn path(path: &str) -> BlobPath {
    BlobPath::new(path).unwrap()
}

async fn write(blobs: &dyn Blobs, at: &str, octets: &'static [u8]) -> Result<(), Problem> {
    let mut writer = blobs.create(&path(at), octets.len() as u64).await?;
    writer.write(Bytes::from_static(octets)).await?;
    writer.finish().await
}

async fn read(blobs: &dyn Blobs, at: &str) -> Result<Option<Bytes>, Problem> {
    blobs.read(&path(at), 0, 100).await
}

#[tokio::test]
async fn blobs_are_found_wherever_an_earlier_bound_has_put_them() {
    let (s3, store) = bucket().await;
    let small = Arc::new(MemoryBlobs::default());
    let with = |max| SplitBlobs::new(small.clone(), s3.clone(), max);
    // Without a bucket all were here.
    write(&*small, "before", b"more than eight").await.unwrap();
    write(&with(8), "8", b"12345678").await.unwrap();
    write(&with(8), "9", b"123456789").await.unwrap();
    write(&with(0), "1", b"1").await.unwrap();
    write(&with(0), "0", b"").await.unwrap();
    assert_eq!(store.objects.lock().unwrap().len(), 2);
    for max in [0, 8, 256 << 10] {
        let blobs = with(max);
        for (at, octets) in [
            ("before", &b"more than eight"[..]),
            ("8", b"12345678"),
            ("9", b"123456789"),
            ("1", b"1"),
            ("0", b""),
        ] {
            assert_eq!(
                read(&blobs, at).await,
                Ok(Some(Bytes::from(octets))),
                "{at}"
            );
        }
        assert_eq!(read(&blobs, "none").await, Ok(None));
    }
    // What is there is not hidden by what would be larger.
    let over = write(&with(8), "8", b"123456789").await;
    assert!(matches!(over, Err(Problem::Invalid(_))), "{over:?}");
    let all = ["before", "8", "9", "1", "0", "none"].map(path);
    assert_eq!(with(4).remove(&all).await, Ok(Removal::default()));
    assert!(store.objects.lock().unwrap().is_empty());
    assert_eq!(read(&*small, "before").await, Ok(None));
}

#[tokio::test]
async fn small_blobs_need_nothing_of_the_place_for_large_ones() {
    let (s3, store) = bucket().await;
    let small = Arc::new(MemoryBlobs::default());
    let blobs = SplitBlobs::new(small.clone(), s3, MAX_SMALL);
    write(&blobs, "small", b"mail").await.unwrap();
    write(&blobs, "large", b"more of mail").await.unwrap();
    let requests = store.requests.lock().unwrap().len();
    store.fail(Fault::Close, u32::MAX);
    assert_eq!(read(&blobs, "small").await, Ok(Some(Bytes::from("mail"))));
    assert_eq!(store.requests.lock().unwrap().len(), requests);
    for at in ["large", "none"] {
        let told = read(&blobs, at).await;
        assert!(matches!(told, Err(Problem::Unavailable(_))), "{told:?}");
        let opened = blobs.open(&path(at), 0, None).await;
        assert!(matches!(opened, Err(Problem::Unavailable(_))), "{at}");
    }
    let removal = blobs.remove(&["large", "small"].map(path)).await.unwrap();
    let kept: Vec<&str> = removal.kept.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(kept, ["large"]);
    assert_eq!(read(&*small, "small").await, Ok(None));
    store.recover();
    assert_eq!(
        read(&blobs, "large").await,
        Ok(Some(Bytes::from("more of mail")))
    );
}

/// Nobody who is told that there is no such blob may conclude that from half an answer.
#[tokio::test]
async fn large_blobs_are_read_while_the_place_for_small_ones_is_away() {
    let (away, store) = bucket().await;
    let large = Arc::new(MemoryBlobs::default());
    write(&*large, "large", b"more of mail").await.unwrap();
    let blobs = SplitBlobs::new(away, large, MAX_SMALL);
    store.fail(Fault::Close, u32::MAX);
    assert_eq!(
        read(&blobs, "large").await,
        Ok(Some(Bytes::from("more of mail")))
    );
    assert!(blobs.open(&path("large"), 0, None).await.unwrap().is_some());
    let told = read(&blobs, "none").await;
    assert!(matches!(told, Err(Problem::Unavailable(_))), "{told:?}");
    let removed = blobs.remove(&[path("large")]).await;
    assert!(
        matches!(removed, Err(Problem::Unavailable(_))),
        "{removed:?}"
    );
    assert!(read(&blobs, "large").await.unwrap().is_some());
}

#[tokio::test]
async fn garbage_waits_for_a_bucket_that_is_away_and_holds_up_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let retention = Retention {
        intents: std::time::Duration::ZERO,
        ..Retention::default()
    };
    let sqlite = Sqlite::open(&directory.path().join("f"), retention, Tables::Made).unwrap();
    let (s3, store) = bucket().await;
    let small = Arc::new(Files::open(&directory.path().join("blobs")).unwrap());
    let split: Arc<dyn Blobs> = Arc::new(SplitBlobs::new(small, s3, MAX_SMALL));
    for number in 0..30 {
        let (large, small) = (format!("{number}/large"), format!("{number}/small"));
        for at in [&large, &small] {
            sqlite.intend(&placed(at)).await.unwrap();
        }
        write(&*split, &large, b"more of mail").await.unwrap();
        write(&*split, &small, b"mail").await.unwrap();
    }
    sqlite.expire(1000).await.unwrap();
    let places = BTreeMap::from([("mail".to_owned(), split.clone())]);
    let mut collector = GarbageCollector::default();
    let mut round = async || {
        let mut problems = 0;
        loop {
            let collected = collector.turn(&sqlite, &places, 1000).await.unwrap();
            problems += collected.problems.len();
            if collected.is_done() {
                return problems;
            }
        }
    };
    store.fail(Fault::Close, u32::MAX);
    assert!(round().await > 0);
    let left = sqlite.garbage("mail", None, 1000).await.unwrap();
    assert_eq!(left.len(), 30);
    assert!(left.iter().all(|path| path.as_str().ends_with("large")));
    store.recover();
    // It may have been passed by in the first of them.
    for _ in 0..2 {
        assert_eq!(round().await, 0);
    }
    assert_eq!(sqlite.garbage("mail", None, 1000).await, Ok(vec![]));
    assert!(store.objects.lock().unwrap().is_empty());
}

/// It is removed turn by turn, and each turn gives the bucket up.
#[tokio::test]
async fn small_garbage_waits_for_no_large_garbage_that_cannot_be_removed() {
    const TURN: u32 = 60;
    let directory = tempfile::tempdir().unwrap();
    let retention = Retention {
        intents: std::time::Duration::ZERO,
        ..Retention::default()
    };
    let sqlite = Sqlite::open(&directory.path().join("f"), retention, Tables::Made).unwrap();
    let (s3, store) = bucket().await;
    let small = Arc::new(MemoryBlobs::default());
    let split: Arc<dyn Blobs> = Arc::new(SplitBlobs::new(small, s3, MAX_SMALL));
    // Garbage is gone through in this order.
    let large = (0..2 * TURN).map(|number| (format!("1-large/{number:03}"), &b"more of mail"[..]));
    let small = (0..10).map(|number| (format!("2-small/{number:03}"), &b"mail"[..]));
    for (at, octets) in large.chain(small) {
        sqlite.intend(&placed(&at)).await.unwrap();
        write(&*split, &at, octets).await.unwrap();
    }
    sqlite.expire(1000).await.unwrap();
    let places = BTreeMap::from([("mail".to_owned(), split.clone())]);
    let mut collector = GarbageCollector::default();
    store.fail(Fault::Close, u32::MAX);
    for _ in 0..3 {
        let collected = collector.turn(&sqlite, &places, TURN).await.unwrap();
        assert!(collected.is_done() || collected.removed > 0);
    }
    let left = sqlite.garbage("mail", None, 1000).await.unwrap();
    assert_eq!(left.len(), 2 * TURN as usize);
    assert!(left.iter().all(|path| path.as_str().starts_with("1-large")));
}

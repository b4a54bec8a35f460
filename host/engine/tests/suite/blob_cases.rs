//! What a place for blobs owes.

use bytes::Bytes;
use restante_engine::{BlobPath, Blobs, MAX_BATCH, MAX_BLOB_CHUNK_BYTES, Problem};

use super::BlobStore;

fn path(path: &str) -> BlobPath {
    BlobPath::new(path).unwrap()
}

async fn write(blobs: &dyn Blobs, at: &str, octets: &[u8]) -> Result<(), Problem> {
    let mut writer = blobs.create(&path(at), octets.len() as u64).await?;
    for chunk in octets.chunks(MAX_BLOB_CHUNK_BYTES) {
        writer.write(Bytes::copy_from_slice(chunk)).await?;
    }
    writer.finish().await
}

/// All of it from `offset` on, read in parts.
async fn streamed(
    blobs: &dyn Blobs,
    at: &str,
    offset: u64,
    length: Option<u64>,
    limit: usize,
) -> Vec<u8> {
    let mut reader = blobs
        .open(&path(at), offset, length)
        .await
        .unwrap()
        .unwrap();
    let mut octets = Vec::new();
    loop {
        let part = reader.read(limit).await.unwrap();
        assert!(part.len() <= limit);
        if part.is_empty() {
            assert_eq!(octets.len() as u64, reader.octets());
            return octets;
        }
        octets.extend_from_slice(&part);
    }
}

pub(crate) async fn what_was_written_is_read_whole_and_in_part(make: impl AsyncFn() -> BlobStore) {
    let store = make().await;
    let blobs = &*store.blobs;
    let octets = b"From: a\n\nmail\0\xff";
    write(blobs, "a/b", octets).await.unwrap();
    write(blobs, "empty", b"").await.unwrap();
    let read = async |at: &str, offset: u64, length: u32| {
        blobs.read(&path(at), offset, length).await.unwrap()
    };
    let all = Bytes::from_static(octets);
    assert_eq!(read("a/b", 0, 100).await, Some(all.clone()));
    assert_eq!(read("a/b", 0, u32::MAX).await, Some(all.clone()));
    assert_eq!(read("a/b", 2, 3).await, Some(all.slice(2..5)));
    assert_eq!(read("a/b", 14, 3).await, Some(all.slice(14..)));
    for beyond in [15, 16, u64::MAX / 2, u64::MAX] {
        assert_eq!(read("a/b", beyond, 3).await, Some(Bytes::new()), "{beyond}");
    }
    assert_eq!(read("a/b", 0, 0).await, Some(Bytes::new()));
    assert_eq!(read("empty", 0, 3).await, Some(Bytes::new()));
    for missing in ["a", "a/b/c", "b"] {
        assert_eq!(read(missing, 0, 3).await, None, "{missing}");
        assert!(blobs.open(&path(missing), 0, None).await.unwrap().is_none());
    }
    assert_eq!(streamed(blobs, "a/b", 0, None, 4).await, octets);
    assert_eq!(streamed(blobs, "a/b", 3, None, 100).await, &octets[3..]);
    assert_eq!(streamed(blobs, "a/b", 3, Some(5), 2).await, &octets[3..8]);
    assert_eq!(streamed(blobs, "a/b", 15, None, 2).await, b"");
    assert_eq!(streamed(blobs, "empty", 0, None, 2).await, b"");
    for (offset, length) in [
        (16, None),
        (0, Some(16)),
        (10, Some(6)),
        (u64::MAX, Some(u64::MAX)),
    ] {
        let opened = blobs.open(&path("a/b"), offset, length).await;
        assert!(
            matches!(opened, Err(Problem::Invalid(_))),
            "{offset} {length:?}"
        );
    }
}

pub(crate) async fn nothing_is_there_before_it_is_finished(make: impl AsyncFn() -> BlobStore) {
    let store = make().await;
    let blobs = &*store.blobs;
    let mut writer = blobs.create(&path("a"), 8).await.unwrap();
    writer.write(Bytes::from_static(b"12345678")).await.unwrap();
    assert_eq!(blobs.read(&path("a"), 0, 1).await, Ok(None));
    drop(writer);
    drop(blobs.create(&path("a"), 0).await.unwrap());
    // Time for what would be on its way.
    for _ in 0..20 {
        assert_eq!(blobs.read(&path("a"), 0, 1).await, Ok(None));
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    write(blobs, "a", b"again").await.unwrap();
    assert_eq!(streamed(blobs, "a", 0, None, 10).await, b"again");
}

pub(crate) async fn octets_are_as_many_as_were_announced(make: impl AsyncFn() -> BlobStore) {
    let store = make().await;
    let blobs = &*store.blobs;
    let mut writer = blobs.create(&path("more"), 4).await.unwrap();
    writer.write(Bytes::from_static(b"123")).await.unwrap();
    let more = writer.write(Bytes::from_static(b"45")).await;
    assert!(matches!(more, Err(Problem::Invalid(_))), "{more:?}");
    drop(writer);
    let mut writer = blobs.create(&path("fewer"), 4).await.unwrap();
    writer.write(Bytes::from_static(b"123")).await.unwrap();
    let fewer = writer.finish().await;
    assert!(matches!(fewer, Err(Problem::Invalid(_))), "{fewer:?}");
    for at in ["more", "fewer"] {
        assert_eq!(blobs.read(&path(at), 0, 1).await, Ok(None));
    }
}

pub(crate) async fn nothing_is_written_over(make: impl AsyncFn() -> BlobStore) {
    let store = make().await;
    let mut writes = tokio::task::JoinSet::new();
    for number in 0..8 {
        let blobs = store.blobs.clone();
        writes.spawn(async move {
            let octets = [b'0' + number; 1000];
            (number, write(&*blobs, "same", &octets).await)
        });
    }
    let written = writes.join_all().await;
    let kept: Vec<u8> = written
        .iter()
        .filter(|(_, result)| result.is_ok())
        .map(|(n, _)| *n)
        .collect();
    assert_eq!(kept.len(), 1, "{written:?}");
    for (_, result) in &written {
        assert!(
            matches!(result, Ok(()) | Err(Problem::Invalid(_))),
            "{result:?}"
        );
    }
    let octets = streamed(&*store.blobs, "same", 0, None, 4096).await;
    assert_eq!(octets, [b'0' + kept[0]; 1000]);
}

pub(crate) async fn what_is_removed_is_gone_and_removing_is_repeated_freely(
    make: impl AsyncFn() -> BlobStore,
) {
    let store = make().await;
    let blobs = &*store.blobs;
    for at in ["a", "b", "c/d"] {
        write(blobs, at, b"mail").await.unwrap();
    }
    let named = [path("a"), path("missing"), path("c/d")];
    for _ in 0..2 {
        blobs.remove(&named).await.unwrap();
    }
    blobs.remove(&[]).await.unwrap();
    for (at, is_there) in [("a", false), ("b", true), ("c/d", false)] {
        let read = blobs.read(&path(at), 0, 1).await.unwrap();
        assert_eq!(read.is_some(), is_there, "{at}");
    }
    let many = vec![path("b"); MAX_BATCH as usize + 1];
    let removed = blobs.remove(&many).await;
    assert!(matches!(removed, Err(Problem::Invalid(_))), "{removed:?}");
    assert!(blobs.read(&path("b"), 0, 1).await.unwrap().is_some());
}

pub(crate) async fn paths_that_look_alike_are_apart(make: impl AsyncFn() -> BlobStore) {
    let store = make().await;
    let blobs = &*store.blobs;
    let paths = [
        "a", "A", "a/b", "a%2Fb", "a%2fb", "a b", "a+b", "ä", "a\u{308}", ".a", "a.", "..a",
        "a?b#c", "a\\b", "a:b", "~", "tmp",
    ];
    are_apart(blobs, &paths).await;
}

pub(crate) async fn long_paths_that_look_alike_are_apart(make: impl AsyncFn() -> BlobStore) {
    let store = make().await;
    let long = "lo/ng".repeat(200);
    let longer = format!("{long}r");
    are_apart(&*store.blobs, &[&long, &longer, "lo/ng"]).await;
}

async fn are_apart(blobs: &dyn Blobs, paths: &[&str]) {
    for at in paths {
        write(blobs, at, at.as_bytes()).await.unwrap();
    }
    for at in paths {
        assert_eq!(streamed(blobs, at, 0, None, 4096).await, at.as_bytes());
    }
}

pub(crate) async fn large_blobs_are_streamed(make: impl AsyncFn() -> BlobStore) {
    const OCTETS: usize = 3 * MAX_BLOB_CHUNK_BYTES + 17;
    let store = make().await;
    let blobs = &*store.blobs;
    let octets: Vec<u8> = (0..OCTETS).map(|at| (at % 251) as u8).collect();
    write(blobs, "large", &octets).await.unwrap();
    // More than at most is told is not told.
    let part = blobs
        .read(&path("large"), 1, u32::MAX)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(part, octets[1..=MAX_BLOB_CHUNK_BYTES]);
    let limit = MAX_BLOB_CHUNK_BYTES;
    assert!(streamed(blobs, "large", 0, None, limit).await == octets);
    assert!(
        streamed(blobs, "large", 500_000, Some(2_000_000), 300_001).await
            == octets[500_000..2_500_000]
    );
}

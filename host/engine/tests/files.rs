//! Blobs as files of a directory.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use restante_engine::files::Files;
use restante_engine::{BlobPath, Blobs, Problem};

use crate::suite::BlobStore;

pub(crate) async fn blobs() -> BlobStore {
    let directory = tempfile::tempdir().unwrap();
    let files = Files::open(&directory.path().join("blobs")).unwrap();
    BlobStore {
        blobs: Arc::new(files),
        keep: Box::new(directory),
    }
}

blob_suite!(crate::files::blobs);

/// Every file below.
pub(crate) fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        match entry.file_type().unwrap().is_dir() {
            true => found.extend(files_below(&entry.path())),
            false => found.push(entry.path()),
        }
    }
    found
}

/// What is not there, and what nobody made for blobs, may be away.
#[test]
fn a_directory_that_has_to_be_there_is_not_made() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("blobs");
    Files::look(&path).unwrap_err();
    let refused = || match Files::open_existing(&path) {
        Err(Problem::Unavailable(text)) => assert!(text.contains("bring back"), "{text}"),
        other => panic!("{other:?}"),
    };
    refused();
    assert!(!path.exists());
    std::fs::create_dir(&path).unwrap();
    refused();
    assert_eq!(std::fs::read_dir(&path).unwrap().count(), 0);
    drop(Files::open(&path).unwrap());
    Files::look(&path).unwrap();
    Files::open_existing(&path).unwrap();
}

async fn write(files: &Files, path: &str) -> Result<(), Problem> {
    let mut writer = files.create(&BlobPath::new(path).unwrap(), 4).await?;
    writer.write(Bytes::from_static(b"mail")).await?;
    writer.finish().await
}

#[tokio::test]
async fn a_link_in_place_of_a_directory_or_a_file_leads_nowhere() {
    let directory = tempfile::tempdir().unwrap();
    let (root, outside) = (
        directory.path().join("blobs"),
        directory.path().join("outside"),
    );
    std::fs::create_dir(&outside).unwrap();
    let files = Files::open(&root).unwrap();
    let path = BlobPath::new("a").unwrap();
    write(&files, "a").await.unwrap();
    let file = files_below(&root).pop().unwrap();
    let inner = file.parent().unwrap();
    let outer = inner.parent().unwrap();
    let name = file.file_name().unwrap();
    std::fs::write(outside.join(name), "secret").unwrap();
    let (inner_name, there) = (inner.file_name().unwrap(), outside.join("inner"));
    std::fs::create_dir(&there).unwrap();
    std::fs::write(there.join(name), "secret").unwrap();
    std::fs::create_dir(outside.join(inner_name)).unwrap();
    std::fs::write(outside.join(inner_name).join(name), "secret").unwrap();
    for (place, target) in [
        (file.as_path(), outside.join(name)),
        (inner, there),
        (outer, outside.clone()),
    ] {
        let aside = directory.path().join("aside");
        std::fs::rename(place, &aside).unwrap();
        symlink(&target, place).unwrap();
        let read = files.read(&path, 0, 10).await;
        assert!(
            matches!(read, Err(Problem::Unavailable(_))),
            "{place:?}: {read:?}"
        );
        assert!(files.open(&path, 0, None).await.is_err(), "{place:?}");
        assert!(write(&files, "a").await.is_err(), "{place:?}");
        if place != file {
            let removal = files.remove(std::slice::from_ref(&path)).await.unwrap();
            assert_eq!(removal.kept.len(), 1, "{place:?}: {removal:?}");
        }
        std::fs::remove_file(place).unwrap();
        std::fs::rename(&aside, place).unwrap();
    }
    assert_eq!(files_below(&outside).len(), 3);
    assert_eq!(
        files.read(&path, 0, 10).await,
        Ok(Some(Bytes::from_static(b"mail")))
    );
}

#[tokio::test]
async fn nobody_waits_at_what_is_no_file() {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    let directory = tempfile::tempdir().unwrap();
    let files = Files::open(directory.path()).unwrap();
    write(&files, "a").await.unwrap();
    let file = files_below(directory.path()).pop().unwrap();
    std::fs::remove_file(&file).unwrap();
    mknodat(CWD, &file, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    let read = files.read(&BlobPath::new("a").unwrap(), 0, 10).await;
    assert!(
        matches!(&read, Err(Problem::Unavailable(text)) if text.contains("no regular file")),
        "{read:?}"
    );
}

#[tokio::test]
async fn what_was_left_half_written_is_cleared_a_day_later() {
    let directory = tempfile::tempdir().unwrap();
    drop(Files::open(directory.path()).unwrap());
    let (old, new) = (
        directory.path().join("tmp/old"),
        directory.path().join("tmp/new"),
    );
    for path in [&old, &new] {
        std::fs::write(path, "half").unwrap();
    }
    let before = std::time::SystemTime::now() - std::time::Duration::from_secs(25 * 60 * 60);
    std::fs::File::options()
        .write(true)
        .open(&old)
        .unwrap()
        .set_modified(before)
        .unwrap();
    Files::open(directory.path()).unwrap();
    assert!(!old.exists() && new.exists());
}

#[tokio::test]
async fn a_writer_that_is_given_up_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let files = Files::open(directory.path()).unwrap();
    for finish in [false, true] {
        let mut writer = files.create(&BlobPath::new("a").unwrap(), 4).await.unwrap();
        writer.write(Bytes::from_static(b"ma")).await.unwrap();
        match finish {
            true => drop(writer.finish().await),
            false => drop(writer),
        }
    }
    // It is removed by a thread that may wait for the disk.
    let started = std::time::Instant::now();
    while !files_below(directory.path()).is_empty() {
        assert!(
            started.elapsed() < std::time::Duration::from_secs(60),
            "it is still there"
        );
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

#[test]
fn a_root_that_cannot_be_used_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    for path in [file.clone(), directory.path().join("no/such")] {
        let Err(Problem::Unavailable(text)) = Files::open(&path) else {
            panic!("opened");
        };
        assert!(text.contains(path.to_str().unwrap()), "{text}");
    }
    let shared = directory.path().join("shared");
    std::fs::create_dir(&shared).unwrap();
    std::fs::set_permissions(&shared, Permissions::from_mode(0o1777)).unwrap();
    let opened = Files::open(&shared);
    assert!(
        matches!(&opened, Err(Problem::Invalid(text)) if text.contains("chmod o-w")),
        "{opened:?}"
    );
    std::fs::set_permissions(&shared, Permissions::from_mode(0o770)).unwrap();
    Files::open(&shared).unwrap();
}

use std::fs;
use std::sync::mpsc;
use std::time::Duration;

use super::*;
use crate::instance::testing::state;
use restante_roles::metrics::Ledger;
use restante_roles::work::{MAX_TENANT_OPEN, MAX_TENANT_PLACES, Stop, WorkRoom};

/// A grant of this directory.
fn granted(state: &mut State, path: &std::path::Path, permissions: FsPerms) -> u32 {
    let mode = match permissions {
        FsPerms::ReadOnly => OpenMode::READ,
        FsPerms::ReadWrite => OpenMode::READ | OpenMode::WRITE,
    };
    let directory = super::granted(File::open(path).unwrap(), permissions, mode);
    state.has_open(directory).unwrap().rep()
}

fn at(descriptor: u32) -> Resource<Descriptor> {
    Resource::new_borrow(descriptor)
}

async fn open(state: &mut State, directory: u32, path: &str, write: bool) -> u32 {
    let flags = match write {
        true => DescriptorFlags::READ | DescriptorFlags::WRITE,
        false => DescriptorFlags::READ,
    };
    let create = match write {
        true => OpenFlags::CREATE,
        false => OpenFlags::empty(),
    };
    let how = PathFlags::SYMLINK_FOLLOW;
    let opened = state.open_at(at(directory), how, path.into(), create, flags);
    opened.await.unwrap().rep()
}

#[tokio::test]
async fn every_operation_is_done_where_it_may_wait() {
    let root = tempfile::tempdir().unwrap();
    let ledger = Ledger::new("t");
    let mut state = state(&ledger);
    let dir = granted(&mut state, root.path(), FsPerms::ReadWrite);
    let file = open(&mut state, dir, "file", true).await;
    let none = PathFlags::empty();
    let now = NewTimestamp::Now;

    assert_eq!(
        state
            .write(at(file), b"0123456789".into(), 0)
            .await
            .unwrap(),
        10
    );
    let (octets, is_end) = state.read(at(file), 4, 3).await.unwrap();
    assert_eq!((&*octets, is_end), (&b"3456"[..], false));
    assert!(state.read(at(file), 4, 10).await.unwrap().1);
    assert_eq!(ledger.totals().host_call_octets, 14);
    state.set_size(at(file), 5).await.unwrap();
    assert_eq!(state.stat(at(file)).await.unwrap().size, 5);
    state
        .advise(at(file), 0, 5, Advice::Sequential)
        .await
        .unwrap();
    state.sync(at(file)).await.unwrap();
    state.sync_data(at(file)).await.unwrap();
    state.set_times(at(file), now, now).await.unwrap();
    assert_eq!(
        state.get_type(at(file)).await.unwrap(),
        DescriptorType::RegularFile
    );
    let flags = state.get_flags(at(file)).await.unwrap();
    assert!(flags.contains(DescriptorFlags::READ | DescriptorFlags::WRITE));

    state
        .create_directory_at(at(dir), "made".into())
        .await
        .unwrap();
    let made = open(&mut state, dir, "made", false).await;
    state
        .symlink_at(at(dir), "file".into(), "link".into())
        .await
        .unwrap();
    assert_eq!(
        state.readlink_at(at(dir), "link".into()).await.unwrap(),
        "file"
    );
    for how in [none, PathFlags::SYMLINK_FOLLOW] {
        let set = state.set_times_at(at(dir), how, "link".into(), now, now);
        set.await.unwrap();
    }
    let seen = state.stat_at(at(dir), none, "link".into()).await.unwrap();
    assert_eq!(seen.type_, DescriptorType::SymbolicLink);
    let hash = state.metadata_hash(at(file)).await.unwrap();
    let by_path = state
        .metadata_hash_at(at(dir), none, "file".into())
        .await
        .unwrap();
    assert_eq!((hash.lower, hash.upper), (by_path.lower, by_path.upper));
    state
        .link_at(at(dir), none, "file".into(), at(made), "twin".into())
        .await
        .unwrap();
    let twin = open(&mut state, dir, "made/twin", false).await;
    assert!(state.is_same_object(at(file), at(twin)).await.unwrap());
    state
        .rename_at(at(made), "twin".into(), at(dir), "other".into())
        .await
        .unwrap();
    state.unlink_file_at(at(dir), "other".into()).await.unwrap();
    state
        .remove_directory_at(at(dir), "made".into())
        .await
        .unwrap();
    let left: Vec<_> = fs::read_dir(root.path()).unwrap().flatten().collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

#[tokio::test]
async fn what_is_granted_for_reading_is_not_written() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("file"), "mail").unwrap();
    let mut state = state(&Ledger::new("t"));
    let dir = granted(&mut state, root.path(), FsPerms::ReadOnly);
    let file = open(&mut state, dir, "file", false).await;
    let refused = |result: FsResult<()>| {
        let code = result.unwrap_err().downcast().unwrap();
        assert_eq!(code, ErrorCode::NotPermitted);
    };
    refused(state.write(at(file), b"x".into(), 0).await.map(|_| ()));
    refused(state.set_size(at(file), 0).await);
    refused(
        state
            .set_times(at(file), NewTimestamp::Now, NewTimestamp::Now)
            .await,
    );
    refused(state.unlink_file_at(at(dir), "file".into()).await);
    refused(state.create_directory_at(at(dir), "made".into()).await);
    refused(state.write_via_stream(at(file), 0).map(|_| ()));
    refused(state.append_via_stream(at(file)).map(|_| ()));
    assert_eq!(fs::read(root.path().join("file")).unwrap(), b"mail");
}

#[tokio::test]
async fn what_fails_says_why() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("file"), "mail").unwrap();
    fs::create_dir(root.path().join("full")).unwrap();
    fs::write(root.path().join("full/file"), "mail").unwrap();
    let mut state = state(&Ledger::new("t"));
    let dir = granted(&mut state, root.path(), FsPerms::ReadWrite);
    let failed = |result: FsResult<()>, expected: ErrorCode| {
        let code = result.unwrap_err().downcast().unwrap();
        assert_eq!(code, expected);
    };
    let name = || "file".to_owned();
    failed(
        state.create_directory_at(at(dir), name()).await,
        ErrorCode::Exist,
    );
    failed(
        state.remove_directory_at(at(dir), "full".into()).await,
        ErrorCode::NotEmpty,
    );
    failed(
        state.unlink_file_at(at(dir), "none".into()).await,
        ErrorCode::NoEntry,
    );
    failed(
        state
            .rename_at(at(dir), "none".into(), at(dir), name())
            .await,
        ErrorCode::NoEntry,
    );
    let none = PathFlags::empty();
    failed(
        state
            .link_at(at(dir), none, name(), at(dir), "full/file".into())
            .await,
        ErrorCode::Exist,
    );
    // Another file system, whatever it is here.
    let other = granted(&mut state, "/dev".as_ref(), FsPerms::ReadWrite);
    let elsewhere = format!("restante-{}", std::process::id());
    failed(
        state
            .link_at(at(dir), none, name(), at(other), elsewhere)
            .await,
        ErrorCode::CrossDevice,
    );
    // A write that failed: the next sync of the file tells why.
    let full = File::options().write(true).open("/dev/full").unwrap();
    let full = filesystem::File::new(full, FsPerms::ReadWrite, OpenMode::WRITE, ON_ITS_THREAD);
    let full = Handle::granted(Descriptor::File(full));
    let full = state.has_open(full).unwrap().rep();
    let written = state.write(at(full), b"mail".into(), 0).await.map(drop);
    failed(written, ErrorCode::InsufficientSpace);
    let stream = state.write_via_stream(at(full), 0).unwrap();
    let stream = state.table.get_mut(&stream).unwrap();
    let written = stream.blocking_write_and_flush("mail".into()).await;
    assert!(written.is_err());
    failed(state.sync(at(full)).await, ErrorCode::InsufficientSpace);
}

/// As on a disk that does not answer: what is under way can neither be ended nor told to.
#[tokio::test]
async fn operation_on_a_file_keeps_its_place_though_its_instance_is_gone() {
    let root = tempfile::tempdir().unwrap();
    let ledger = Ledger::new("t");
    let mut held = Vec::new();
    for _ in 0..MAX_TENANT_PLACES {
        let mut state = state(&ledger);
        let dir = granted(&mut state, root.path(), FsPerms::ReadOnly);
        let (let_go, wait) = mpsc::channel::<()>();
        let (begun, began) = tokio::sync::oneshot::channel();
        let instance = tokio::spawn(async move {
            let hangs = async move |_: &mut WasiFilesystemCtxView<'_>, [_]: [_; 1]| {
                let _ = begun.send(());
                let _ = wait.recv();
                Ok(())
            };
            state.on_disk([&at(dir)], hangs).await
        });
        began.await.unwrap();
        instance.abort();
        assert!(instance.await.unwrap_err().is_cancelled());
        held.push(let_go);
    }
    let mut state = state(&ledger);
    let dir = granted(&mut state, root.path(), FsPerms::ReadOnly);
    state.work.begin_call(Duration::from_millis(20));
    assert!(state.stat(at(dir)).await.is_err(), "no place is free");
    drop(held.pop());
    state.work.begin_call(Duration::from_secs(60));
    assert!(state.stat(at(dir)).await.is_ok());
}

#[tokio::test]
async fn what_a_guest_opened_is_closed_where_waiting_is_no_harm() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("file"), "mail").unwrap();
    let ledger = Ledger::new("t");
    let room = WorkRoom::new(ledger.clone());
    // Whether by itself or with the whole instance, with streams over it or without.
    for (streams, by_itself) in [(false, true), (false, false), (true, true), (true, false)] {
        let mut state = state(&ledger);
        let dir = granted(&mut state, root.path(), FsPerms::ReadOnly);
        let file = open(&mut state, dir, "file", false).await;
        let Descriptor::File(opened) = state.handle(&at(file)).unwrap().descriptor() else {
            panic!("it is a file");
        };
        let opened = std::sync::Arc::downgrade(&opened.file);
        if streams {
            state.read_via_stream(at(file), 0).unwrap();
            let listed = state.stream_directory(&at(dir)).await.unwrap();
            state.table.push(listed.unwrap()).unwrap();
        }
        // All places are taken: it can be closed nowhere but on this thread.
        let mut let_go = Vec::new();
        for _ in 0..MAX_TENANT_PLACES {
            let (go_on, wait) = mpsc::channel::<()>();
            let (begun, began) = tokio::sync::oneshot::channel();
            let room = room.clone();
            let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
            tokio::spawn(async move {
                let hangs = move |_: &Stop| {
                    let _ = begun.send(());
                    let _ = wait.recv();
                };
                room.run(deadline, hangs).await
            });
            began.await.unwrap();
            let_go.push(go_on);
        }
        if by_itself {
            HostDescriptor::drop(&mut state, Resource::new_own(file)).unwrap();
        }
        drop(state);
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        assert!(opened.strong_count() > 0, "it was closed on this thread");
        drop(let_go);
        while opened.strong_count() > 0 {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn a_tenant_has_so_much_open_in_all_its_instances() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("file"), "mail").unwrap();
    let ledger = Ledger::new("t");
    let mut state = state(&ledger);
    let dir = granted(&mut state, root.path(), FsPerms::ReadWrite);
    let file = open(&mut state, dir, "file", false).await;
    let room = WorkRoom::new(ledger.clone());
    let others: Vec<_> = std::iter::from_fn(|| room.open_permit().ok()).collect();
    assert_eq!(others.len(), MAX_TENANT_OPEN - 1);
    let none = PathFlags::empty();
    let (plain, reading) = (OpenFlags::empty(), DescriptorFlags::READ);
    let busy = |error: FsError| assert_eq!(error.downcast().unwrap(), ErrorCode::Busy);
    let more = state.open_at(at(dir), none, "file".into(), plain, reading);
    busy(more.await.unwrap_err());
    busy(state.read_via_stream(at(file), 0).unwrap_err());
    busy(state.append_via_stream(at(file)).unwrap_err());
    let listed = state.stream_directory(&at(dir)).await.unwrap();
    assert_eq!(listed.err(), Some(ErrorCode::Busy));
    drop(others);
    assert!(state.read_via_stream(at(file), 0).is_ok());
}

use std::fs;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use restante_pop3::Decoy;
use wasmtime_wasi::WasiCtx;

use super::*;
use crate::disk::ahead::Ahead;
use crate::disk::left_out::AllLeftOut;
use crate::instance::errors::WriteFailures;
use crate::instance::facts::Witness;
use crate::instance::http::Http;
use crate::instance::output::Voice;
use crate::instance::sockets::Sockets;
use crate::instance::state::{Border, CallWork, Limits};
use restante_roles::metrics::Ledger;
use restante_roles::turns::Owner;
use restante_roles::work::MAX_TENANT_PLACES;

/// An instance's state, in a call without an end.
fn state(ledger: &Arc<Ledger>) -> State {
    let limits = Limits::new(0, ledger.instance(true));
    let meter = limits.meter();
    let mut work = CallWork::new(meter.work());
    work.begin_call(Duration::from_secs(60));
    State {
        wasi: WasiCtx::builder().build(),
        table: ResourceTable::new(),
        http: Http::new(None, meter.work()),
        sockets: Sockets::new(None, meter),
        limits,
        settings: Arc::default(),
        maildrop: None,
        directories: Arc::default(),
        voice: Arc::new(Mutex::new(Voice::new("p".into(), "t".into(), 0))),
        salts: Decoy::new([0; 32], 4096, 16),
        owner: Owner::operator(&"t".into()),
        border: Border::Live,
        witness: Witness::default(),
        ahead: Ahead::default(),
        left_out: AllLeftOut::default(),
        write_failures: WriteFailures::default(),
        work,
    }
}

/// A grant of this directory.
fn granted(state: &mut State, path: &std::path::Path, permissions: FsPerms) -> u32 {
    let mode = match permissions {
        FsPerms::ReadOnly => OpenMode::READ,
        FsPerms::ReadWrite => OpenMode::READ | OpenMode::WRITE,
    };
    let directory = directory(File::open(path).unwrap(), permissions, mode);
    state.table.push(directory).unwrap().rep()
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
    let full = state.table.push(Descriptor::File(full)).unwrap().rep();
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

//! `wasi:filesystem/types`, where the ready-made host side can be held up.
//!
//! To open a FIFO waits for whoever opens its other end, for ever, and holds a
//! thread of the blocking pool that all tenants share. A guest cannot make a FIFO,
//! but a tenant with an account on the mail server can put one into a maildrop. So
//! what is opened is looked at first, and nothing but files and directories is.

use std::io;
use std::sync::Arc;

use cap_std::fs::Dir;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi::WasiView;
use wasmtime_wasi::filesystem::{Descriptor, WasiFilesystemView};
use wasmtime_wasi::p2::bindings::filesystem::types::{
    DescriptorFlags, ErrorCode, Host, HostDescriptor, OpenFlags, PathFlags,
};

use super::state::State;

/// The interface, in the version that wasmtime-wasi links.
const INTERFACE: &str = "wasi:filesystem/types@0.2.12";
/// The function that takes the place of wasmtime-wasi's.
const OPEN_AT: &str = "[method]descriptor.open-at";

type Parameters = (
    Resource<Descriptor>,
    PathFlags,
    String,
    OpenFlags,
    DescriptorFlags,
);

/// Takes the place of what is linked already.
pub(super) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    linker.instance(INTERFACE)?.func_wrap_async(
        OPEN_AT,
        |mut store, (descriptor, how, path, create, flags): Parameters| {
            Box::new(async move {
                let state: &mut State = store.data_mut();
                if let Some(dir) = directory(state, &descriptor)? {
                    let (wanted, follow) = (path.clone(), how.contains(PathFlags::SYMLINK_FOLLOW));
                    let look = move || is_neither_file_nor_directory(dir, &wanted, follow);
                    if tokio::task::spawn_blocking(look).await? {
                        return Ok((Err(ErrorCode::NotPermitted),));
                    }
                }
                let mut wasi = state.filesystem();
                match HostDescriptor::open_at(&mut wasi, descriptor, how, path, create, flags).await
                {
                    Ok(opened) => Ok((Ok(opened),)),
                    Err(error) => Ok((Err(wasi.convert_error_code(error)?),)),
                }
            })
        },
    )?;
    linker.allow_shadowing(false);
    Ok(())
}

/// The directory behind a descriptor; None: it is a file.
fn directory(
    state: &mut State,
    descriptor: &Resource<Descriptor>,
) -> wasmtime::Result<Option<Arc<std::fs::File>>> {
    Ok(match state.ctx().table.get(descriptor)? {
        Descriptor::Dir(dir) => Some(dir.dir.clone()),
        Descriptor::File(_) => None,
    })
}

/// Whether there is something under this path that may keep whoever opens it
/// waiting. What cannot be looked at cannot be opened either.
fn is_neither_file_nor_directory(dir: Arc<std::fs::File>, path: &str, follow: bool) -> bool {
    let about = || -> io::Result<_> {
        let dir = Dir::from_std_file(dir.try_clone()?);
        match follow {
            true => dir.metadata(path),
            false => dir.symlink_metadata(path),
        }
    };
    about().is_ok_and(|about| !about.is_file() && !about.is_dir() && !about.is_symlink())
}

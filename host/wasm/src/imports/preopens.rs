//! `wasi:filesystem/preopens`: the directories that a plugin was granted.

use wasmtime::component::Resource;
use wasmtime_wasi::FsPerms;
use wasmtime_wasi::filesystem::{Descriptor, OpenMode};
use wasmtime_wasi::p2::bindings::filesystem::preopens;

use super::filesystem;
use crate::disk::grants::MAILDROP;
use crate::instance::handle::Handle;
use crate::instance::state::State;

/// What a standard library learns of its directories, when it first asks: `wasi`
/// itself has none.
impl preopens::Host for State {
    fn get_directories(&mut self) -> wasmtime::Result<Vec<(Resource<Descriptor>, String)>> {
        // Opened once, however often a guest asks.
        let preopened = match self.preopened.take() {
            Some(preopened) => preopened,
            None => self.preopen()?,
        };
        let given = preopened.iter().map(|(handle, guest)| {
            let handle = self.table.push(handle.clone())?;
            Ok((Resource::new_own(handle.rep()), guest.clone()))
        });
        let given = given.collect();
        self.preopened = Some(preopened);
        given
    }
}

impl State {
    fn preopen(&self) -> wasmtime::Result<Vec<(Handle, String)>> {
        let maildrop = self.maildrop.iter().map(|root| (&**root, MAILDROP, true));
        let granted = self.directories.iter();
        let granted = granted.map(|granted| (&granted.root, &*granted.guest, granted.write));
        granted
            .chain(maildrop)
            .map(|(root, guest, write)| {
                let (permissions, mode) = match write {
                    true => (FsPerms::ReadWrite, OpenMode::READ | OpenMode::WRITE),
                    false => (FsPerms::ReadOnly, OpenMode::READ),
                };
                let dir = root.dir().try_clone()?.into_std_file();
                let handle = filesystem::granted(dir, permissions, mode);
                Ok((handle, guest.to_owned()))
            })
            .collect()
    }
}

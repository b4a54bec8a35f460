//! `restante:plugin/files`: whole-directory and whole-file work over what was granted.

use std::io;

use crate::bindings::restante::plugin::files::{Chunk, Host, Names, Status, Weight};
use crate::disk::look::{
    Base, Place, measure_cached, place, present, read_cached, read_waiting, scan, stat, stat_cached,
};
use crate::instance::state::State;
use crate::record::tape::Exchange;

const NO_MAILDROP: &str = "there is no maildrop directory: not granted, or it does not exist";

impl Host for State {
    async fn scan(&mut self, directory: String) -> wasmtime::Result<Result<Names, String>> {
        if let Some(player) = self.player() {
            return Ok(player.scan(&directory));
        }
        let asked = self.copied(&directory);
        let answer = self.scanned(directory).await;
        self.hear(asked, |directory| Exchange::Scan {
            directory,
            answer: answer.clone(),
        });
        Ok(answer)
    }

    async fn measure(&mut self, path: String) -> wasmtime::Result<Result<Option<Weight>, String>> {
        if let Some(player) = self.player() {
            return Ok(player.measure(&path));
        }
        let asked = self.copied(&path);
        let answer = self.measured(path).await;
        self.hear(asked, |path| Exchange::Measure {
            path,
            answer: answer.clone(),
        });
        Ok(answer)
    }

    async fn stat(&mut self, path: String) -> wasmtime::Result<Result<Option<Status>, String>> {
        if let Some(player) = self.player() {
            return Ok(player.stat(&path));
        }
        let answer = self.looked_at(&path).await;
        self.hear(self.copied(&path), |path| Exchange::Stat {
            path,
            answer: answer.clone(),
        });
        Ok(answer)
    }

    async fn read(
        &mut self,
        path: String,
        offset: u64,
        length: u32,
    ) -> wasmtime::Result<Result<Option<Chunk>, String>> {
        if let Some(player) = self.player() {
            return Ok(player.read(&path, offset, length));
        }
        let answer = self.part_of(&path, offset, length).await;
        self.hear(self.copied(&path), |path| Exchange::Read {
            path,
            offset,
            length,
            answer: answer.clone(),
        });
        Ok(answer)
    }
}

impl State {
    /// Notes where the guest does not learn what it asked for, though it is there.
    fn noted<R>(&mut self, found: io::Result<R>) -> io::Result<R> {
        let is_known = |error: &io::Error| {
            matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            )
        };
        found.inspect_err(|error| {
            if !is_known(error) {
                self.witness.failed();
            }
        })
    }

    async fn scanned(&mut self, directory: String) -> Result<Names, String> {
        let maildrop = self.maildrop.clone().ok_or(NO_MAILDROP)?;
        let of = directory.clone();
        let scanned = self
            .work
            .run(move |stop| scan(maildrop.dir(), &of, stop))
            .await;
        let scanned = self.noted(scanned);
        let (names, left_out) = scanned.map_err(|error| error.to_string())?;
        self.left_out.scanned(&directory, left_out);
        Ok(names)
    }

    async fn measured(&mut self, path: String) -> Result<Option<Weight>, String> {
        let base = Base::Maildrop(self.maildrop.clone().ok_or(NO_MAILDROP)?);
        if let Some(weight) = self.ahead.take(&path) {
            return Ok(Some(weight));
        }
        let place = Place { base, path };
        if let Some(measured) = self.at_once(|| measure_cached(&place)) {
            return present(self.noted(measured));
        }
        let batch = self.ahead.miss();
        let done = self.work.run(move |stop| Ok(batch.run(&place, stop))).await;
        let measured = done.and_then(|(measured, batch)| {
            self.ahead.done(batch);
            measured
        });
        present(self.noted(measured))
    }

    async fn looked_at(&mut self, path: &str) -> Result<Option<Status>, String> {
        let Some(place) = place(self.maildrop.as_ref(), &self.directories, path)? else {
            return Ok(None);
        };
        let below_maildrop = match place.base {
            Base::Maildrop(_) => Some(place.path.clone()),
            Base::Granted(..) => None,
        };
        let found = match self.at_once(|| stat_cached(&place)) {
            Some(status) => status,
            None => self.work.run(move |_| stat(&place)).await,
        };
        let found = present(self.noted(found))?;
        self.witness
            .looked(below_maildrop.as_deref(), found.as_ref());
        Ok(found.map(|(status, _)| status))
    }

    async fn part_of(
        &mut self,
        path: &str,
        offset: u64,
        length: u32,
    ) -> Result<Option<Chunk>, String> {
        let Some(place) = place(self.maildrop.as_ref(), &self.directories, path)? else {
            return Ok(None);
        };
        let read = match self.at_once(|| read_cached(&place, offset, length)) {
            Some(chunk) => chunk,
            None => {
                self.work
                    .run(move |_| read_waiting(&place, offset, length))
                    .await
            }
        };
        if let Ok(chunk) = &read {
            self.limits.carried(chunk.octets.len());
        }
        present(self.noted(read))
    }

    /// Tries work that takes no waiting. None: it may take waiting, or something is
    /// wrong.
    fn at_once<R>(
        &mut self,
        work: impl FnOnce() -> Option<io::Result<R>>,
    ) -> Option<io::Result<R>> {
        work().filter(|done| match done {
            Ok(_) => true,
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        })
    }
}

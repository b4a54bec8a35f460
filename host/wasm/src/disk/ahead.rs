//! Measuring ahead: a guest that goes through a directory that is not in the kernel's
//! caches would have one hand-over to another thread for each file, which costs several
//! times what the file does. So once it does, the thread that measures a file for it
//! goes on with those behind it in the directory.
//!
//! As the kernel's own read-ahead does it, the more of that was asked for the further it
//! goes. What was measured is good for the call under way and no longer.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::look::{Place, measure, scan, stat};
use crate::bindings::restante::plugin::files::Weight;
use crate::roles::store::cache::Names;
use restante_roles::work::Stop;

/// Files that were not cached before any is measured ahead.
const MISSES: u32 = 4;
/// Files that are measured ahead at once, at first and at most.
const FIRST: usize = 16;
const MOST: usize = 512;
/// Octets of a file that is measured ahead, at most: of larger ones a guest may have
/// another way to know.
const LARGE: u64 = 1 << 20;
/// Octets of files, and time, after which it is enough for once.
const OCTETS: u64 = 8 << 20;
const TIME: Duration = Duration::from_millis(50);
/// Bytes of a directory's names that are kept for the call, of those behind the one that
/// was asked for: a quarter of a million of common ones. Where there are more, the
/// directory is read once more when these have been gone through.
const MAX_NAMES_BYTES: usize = 16 << 20;

/// What was measured ahead for one instance, in the call under way.
#[derive(Default)]
pub(crate) struct Ahead {
    misses: u32,
    window: usize,
    /// Gone through last.
    directory: Option<Arc<Directory>>,
    ready: HashMap<String, Weight>,
    /// Files that were measured ahead last time.
    guessed: usize,
}

/// A directory's files, or a part of them.
struct Directory {
    path: String,
    /// The part has those behind this one.
    behind: String,
    /// In order.
    names: Names,
    /// There are more of them.
    is_cut: bool,
}

impl Directory {
    /// Of all that there are, as many behind this one as are kept.
    fn part(path: &str, all: Names, name: &str, max_bytes: usize) -> Self {
        let mut part = Directory {
            path: path.to_owned(),
            behind: String::new(),
            names: all,
            is_cut: false,
        };
        if part.names.bytes() <= max_bytes {
            return part;
        }
        let all = std::mem::take(&mut part.names);
        let begin = all.after(name);
        let (mut end, mut octets) = (begin, 0);
        while let Some(next) = all.get(end) {
            if octets + next.len() + NAME_BYTES > max_bytes {
                break;
            }
            octets += next.len() + NAME_BYTES;
            end += 1;
        }
        part.behind = name.to_owned();
        part.is_cut = end < all.len();
        part.names = Names::exactly(&all, &(begin..end));
        part
    }

    /// Whether it knows what is behind this one.
    fn has_behind(&self, path: &str, name: &str) -> bool {
        let is_in_front = || self.names.after(name) < self.names.len();
        self.path == path && *self.behind <= *name && (!self.is_cut || is_in_front())
    }
}

/// What a name takes beside its own octets: its end and a NUL.
const NAME_BYTES: usize = size_of::<u32>() + 1;

/// What a thread does where waiting is no harm.
pub(crate) struct Batch {
    window: usize,
    /// After which it is enough for once.
    time: Duration,
    directory: Option<Arc<Directory>>,
    ready: HashMap<String, Weight>,
}

impl Ahead {
    /// A file that was measured already.
    pub(crate) fn take(&mut self, path: &str) -> Option<Weight> {
        self.ready.remove(path)
    }

    /// A file was not cached and has to be waited for.
    pub(crate) fn miss(&mut self) -> Batch {
        self.misses += 1;
        if self.misses > MISSES {
            let asked = self.guessed - self.ready.len();
            self.window = match asked * 2 >= self.guessed {
                true => (self.window * 2).clamp(FIRST, MOST),
                // Enough to see that it pays again.
                false => (self.window / 4).max(1),
            };
        }
        Batch {
            window: self.window,
            time: TIME,
            directory: self.directory.take(),
            ready: HashMap::new(),
        }
    }

    /// What came of it.
    pub(crate) fn done(&mut self, batch: Batch) {
        self.guessed = batch.ready.len();
        self.ready = batch.ready;
        self.directory = batch.directory;
    }

    /// The call is over.
    pub(crate) fn end_call(&mut self) {
        if self.misses > 0 {
            *self = Ahead::default();
        }
    }
}

impl Batch {
    /// Measures a file, and some of those behind it. Blocks on the disk.
    pub(crate) fn run(mut self, place: &Place, stop: &Stop) -> (io::Result<Weight>, Batch) {
        let measured = measure(place, stop);
        if measured.is_ok() && self.window > 0 {
            self.go_on(place, stop);
        }
        (measured, self)
    }

    fn go_on(&mut self, place: &Place, stop: &Stop) {
        let begun = Instant::now();
        let (directory, name) = place.path.rsplit_once('/').unwrap_or(("", &place.path));
        let Some(names) = self.names(place, directory, name, stop) else {
            return;
        };
        let names = &names.names;
        let mut octets = 0;
        for position in (names.after(name)..names.len()).take(self.window) {
            let next = names.get(position).unwrap_or_default();
            let path = match directory {
                "" => next.to_owned(),
                _ => [directory, "/", next].concat(),
            };
            let place = Place {
                base: place.base.clone(),
                path,
            };
            // What cannot be measured is told when it is asked for.
            let is_large = stat(&place).is_ok_and(|(status, _)| status.size > LARGE);
            if !is_large && let Ok(weight) = measure(&place, stop) {
                octets += weight.status.size;
                self.ready.insert(place.path, weight);
            }
            if octets > OCTETS || begun.elapsed() > self.time || stop.is_set() {
                return;
            }
        }
    }

    /// What is behind a file in its directory.
    fn names(
        &mut self,
        place: &Place,
        directory: &str,
        name: &str,
        stop: &Stop,
    ) -> Option<Arc<Directory>> {
        let known = self.directory.take();
        let known = known.filter(|known| known.has_behind(directory, name));
        self.directory = known;
        if self.directory.is_none() {
            let all = scan(place.dir(), directory, stop).ok()?.0.names;
            let all = Names::packed(all);
            let part = Directory::part(directory, all, name, MAX_NAMES_BYTES);
            self.directory = Some(Arc::new(part));
        }
        self.directory.clone()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::look::Base;
    use super::*;
    use crate::disk::grants::Root;

    fn never() -> Stop {
        Stop::new(tokio::time::Instant::now() + Duration::from_secs(3600))
    }

    /// A directory "new" with so many files, named 100, 101 …, of a line each.
    fn tree(files: usize) -> (tempfile::TempDir, Base) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("new")).unwrap();
        for number in 100..100 + files {
            let path = dir.path().join(format!("new/{number}"));
            std::fs::write(path, format!("{number}\n")).unwrap();
        }
        let base = Base::Maildrop(Arc::new(Root::open(dir.path()).unwrap()));
        (dir, base)
    }

    fn place(base: &Base, path: &str) -> Place {
        Place {
            base: base.clone(),
            path: path.to_owned(),
        }
    }

    fn run(ahead: &mut Ahead, place: &Place) -> io::Result<Weight> {
        let mut batch = ahead.miss();
        // However slow this machine is.
        batch.time = Duration::MAX;
        let (measured, batch) = batch.run(place, &never());
        ahead.done(batch);
        measured
    }

    #[test]
    fn files_behind_one_that_was_not_cached_are_measured_with_it() {
        let (_dir, base) = tree(100);
        let mut ahead = Ahead::default();
        let mut threads = 0;
        for number in 100..200 {
            let place = place(&base, &format!("new/{number}"));
            let weight = match ahead.take(&place.path) {
                Some(weight) => weight,
                None => {
                    threads += 1;
                    run(&mut ahead, &place).unwrap()
                }
            };
            let by_itself = measure(&place, &never()).unwrap();
            assert_eq!(format!("{weight:?}"), format!("{by_itself:?}"), "{number}");
        }
        // 4 by themselves, 17, 33, and the rest with one.
        assert_eq!(threads, 7);
    }

    #[test]
    fn of_many_names_a_part_is_kept_and_then_the_next() {
        let all = || -> String { (100..200).map(|number| format!("{number}\0")).collect() };
        let max_bytes = 10 * (3 + NAME_BYTES) + 1;
        let mut part = Directory::part("new", Names::packed(all()), "", max_bytes);
        let (mut seen, mut parts) = (Vec::new(), 1);
        let names = (100..199).map(|number| number.to_string());
        for name in std::iter::once(String::new()).chain(names) {
            if !part.has_behind("new", &name) {
                part = Directory::part("new", Names::packed(all()), &name, max_bytes);
                parts += 1;
            }
            assert!(part.names.bytes() <= max_bytes);
            let next = part.names.get(part.names.after(&name)).unwrap();
            seen.push(next.parse::<u32>().unwrap());
        }
        assert_eq!(seen, Vec::from_iter(100..200));
        assert_eq!(parts, 10);
        assert!(!part.has_behind("new", "150"), "it was gone through");
        assert!(!part.has_behind("cur", "199"));
        // What fits is kept whole.
        let whole = Directory::part("new", Names::packed(all()), "150", MAX_NAMES_BYTES);
        assert_eq!(whole.names.len(), 100);
        assert!(whole.has_behind("new", "100"));
    }

    #[test]
    fn who_asks_for_others_has_less_measured_ahead() {
        let (_dir, base) = tree(200);
        let mut ahead = Ahead::default();
        for number in 100..=100 + MISSES as usize {
            run(&mut ahead, &place(&base, &format!("new/{number}"))).unwrap();
        }
        assert_eq!(ahead.ready.len(), FIRST);
        for number in [150, 200, 250, 270] {
            run(&mut ahead, &place(&base, &format!("new/{number}"))).unwrap();
        }
        assert_eq!(ahead.ready.len(), 1);
    }

    #[test]
    fn what_vanishes_is_left_out_and_nothing_outlives_the_call() {
        let (dir, base) = tree(30);
        let mut ahead = Ahead::default();
        for number in 100..=100 + MISSES as usize {
            run(&mut ahead, &place(&base, &format!("new/{number}"))).unwrap();
        }
        let gone = 101 + MISSES;
        assert!(ahead.take(&format!("new/{gone}")).is_some());
        ahead.end_call();
        assert!(ahead.ready.is_empty());

        for number in 100..100 + MISSES {
            run(&mut ahead, &place(&base, &format!("new/{number}"))).unwrap();
        }
        std::fs::remove_file(dir.path().join(format!("new/{gone}"))).unwrap();
        run(&mut ahead, &place(&base, &format!("new/{}", gone - 1))).unwrap();
        assert!(ahead.take(&format!("new/{gone}")).is_none());
        assert!(ahead.take(&format!("new/{}", gone + 1)).is_some());
        // Large ones wait until they are asked for.
        let large = dir.path().join(format!("new/{}", gone + 3));
        std::fs::File::create(large)
            .unwrap()
            .set_len(LARGE + 1)
            .unwrap();
        ahead.end_call();
        for number in 100..=100 + MISSES {
            run(&mut ahead, &place(&base, &format!("new/{number}"))).unwrap();
        }
        assert!(ahead.take(&format!("new/{}", gone + 2)).is_some());
        assert!(ahead.take(&format!("new/{}", gone + 3)).is_none());
        // What is asked for and not there is what it is.
        assert!(run(&mut ahead, &place(&base, "new/nothing")).is_err());
    }
}

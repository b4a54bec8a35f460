//! What messages weigh where the other server's word is wrong or not asked for,
//! kept in the maildrop's directory, if one is granted: a line for each, its octets and
//! its unique-id. Whatever is not whole is as if it were not there.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufRead as _, Write as _};
use std::path::PathBuf;

use restante_guest::{files, log};

/// Lines beyond twice the messages that are kept before the file is written anew.
const SLACK: usize = 1000;

/// What is known, by unique-id.
#[derive(Default)]
pub(crate) struct Sizes {
    known: HashMap<String, u64>,
    lines: usize,
}

fn path() -> PathBuf {
    files::root().join("octets-by-unique-id")
}

/// Whether there is a place to keep anything.
pub(crate) fn is_granted() -> bool {
    fs::metadata(files::root()).is_ok_and(|about| about.is_dir())
}

impl Sizes {
    pub(crate) fn read() -> Sizes {
        let mut sizes = Sizes::default();
        let path = path();
        let Ok(file) = files::Reader::open(&path) else {
            return sizes;
        };
        for line in file.lines() {
            let Ok(line) = line else { break };
            sizes.lines += 1;
            if let Some((octets, id)) = line.split_once(' ')
                && let Ok(octets) = octets.parse()
            {
                sizes.known.insert(id.to_owned(), octets);
            }
        }
        sizes
    }

    pub(crate) fn get(&self, id: &str) -> Option<u64> {
        self.known.get(id).copied()
    }

    /// Leaves out what is gone, once that is worth it.
    pub(crate) fn tidy<'a>(&self, ids: impl Iterator<Item = &'a str>, messages: usize) {
        if self.lines <= 2 * messages + SLACK {
            return;
        }
        let rewrite = || -> io::Result<()> {
            let next = path().with_extension("new");
            let mut file = io::BufWriter::new(File::create(&next)?);
            for id in ids {
                if let Some(octets) = self.get(id) {
                    writeln!(file, "{octets} {id}")?;
                }
            }
            file.into_inner().map_err(|error| error.into_error())?;
            fs::rename(&next, path())
        };
        if let Err(error) = rewrite() {
            log::warn!("the octets of messages cannot be written anew: {error}");
        }
    }
}

/// Keeps one for the logins to come. Without a directory there is nothing to do.
pub(crate) fn keep(id: &str, octets: u64) {
    let line = format!("{octets} {id}\n");
    let append = || -> io::Result<()> {
        let mut file = File::options().append(true).create(true).open(path())?;
        file.write_all(line.as_bytes())
    };
    if is_granted()
        && let Err(error) = append()
    {
        log::warn!("the octets of a message cannot be kept: {error}");
    }
}

//! Puts mail into an engine by the crate that keeps it, as nothing else does yet.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use restante_engine::files::Files;
use restante_engine::postgres::{self, PostgresBlobs};
use restante_engine::sqlite::Sqlite;
use restante_engine::{
    Appended, Blobs, Entry, Folder, Limits, MailIndex, OWN_PLACE, Placed, Retention, Tables,
    blob_of_maildrop,
};
use tokio::runtime::Runtime;

use super::keeper::Maildrops;
use crate::mail::{Class, Large};
use crate::servers::{MAIN_TENANT, maildrop_in_engine};

/// How long filling an engine may take, so that the whole does not take an hour on a slow disk.
const PATIENCE: Duration = Duration::from_secs(120);

/// An engine that is open in this process.
pub(super) struct Seed {
    begun: Instant,
    runtime: Runtime,
    index: Arc<dyn MailIndex>,
    blobs: Arc<dyn Blobs>,
}

/// A message, as the index has to know it.
#[derive(Debug, Clone, Copy)]
struct Known<'a> {
    user: &'a str,
    /// Counts from 1.
    number: usize,
    listed_octets: usize,
    stored_octets: usize,
}

impl Seed {
    /// In this directory, with its tables; no server may have it open.
    pub(super) fn embedded(directory: &Path) -> Result<Self> {
        let index = Sqlite::open(
            &directory.join("mail.sqlite"),
            Retention::default(),
            Tables::Made,
        )?;
        Ok(Seed {
            begun: Instant::now(),
            runtime: Runtime::new()?,
            index: Arc::new(index),
            blobs: Arc::new(Files::open(&directory.join("blobs"))?),
        })
    }

    /// In this database, with its tables.
    pub(super) fn postgres(url: &str, password: &str) -> Result<Self> {
        let settings = postgres::Settings {
            url: url.to_owned(),
            password: Some(password.to_owned().into()),
            authorities: None,
        };
        let runtime = Runtime::new()?;
        let opening = postgres::Postgres::open(&settings, Retention::default(), Tables::Made);
        let index = runtime.block_on(opening)?;
        Ok(Seed {
            begun: Instant::now(),
            runtime,
            blobs: Arc::new(PostgresBlobs::new(&index, OWN_PLACE)?),
            index: Arc::new(index),
        })
    }

    /// Delivers all of these.
    pub(super) fn fill(self, mail: &[Maildrops], large: &[Large]) -> Result<()> {
        self.runtime.block_on(async {
            for maildrops in mail {
                for at in 0..maildrops.class.users {
                    self.maildrop(maildrops, &maildrops.class.user(at)).await?;
                }
            }
            for &large in large {
                let user = large.class().user(0);
                let message = Known {
                    user: &user,
                    number: 1,
                    listed_octets: large.listed_octets(),
                    stored_octets: large.stored_octets(),
                };
                self.deliver(message, large.pieces()).await?;
            }
            Ok(())
        })
    }

    async fn maildrop(&self, maildrops: &Maildrops, user: &str) -> Result<()> {
        let class = &maildrops.class;
        let listed_octets = class.listed_octets();
        for number in 1..=class.messages {
            let message = Known {
                user,
                number,
                listed_octets,
                stored_octets: class.octets,
            };
            if number <= maildrops.with_octets {
                let pieces = std::iter::once(class.stored(number));
                self.deliver(message, pieces).await?;
            } else {
                self.append(message, None).await?;
            }
        }
        Ok(())
    }

    async fn deliver(
        &self,
        message: Known<'_>,
        pieces: impl Iterator<Item = Vec<u8>>,
    ) -> Result<()> {
        let maildrop = maildrop_in_engine(message.user);
        let placed = Placed {
            place: OWN_PLACE.to_owned(),
            path: blob_of_maildrop(MAIN_TENANT, &maildrop, &path(message.number))?,
        };
        self.index.intend(&placed).await?;
        let octets = message.stored_octets as u64;
        let mut blob = self.blobs.create(&placed.path, octets).await?;
        for piece in pieces {
            blob.write(piece.into()).await?;
        }
        blob.finish().await?;
        self.append(message, Some(&placed)).await
    }

    async fn append(&self, message: Known<'_>, placed: Option<&Placed>) -> Result<()> {
        let Known { user, number, .. } = message;
        let folder = Folder::new(MAIN_TENANT, &maildrop_in_engine(user), "")?;
        let entry = Entry {
            unique_id: None,
            octets: message.listed_octets as u64,
            surrogate: None,
            received: Class::received(number),
            name: path(number),
            digest: None,
            weight: message.stored_octets as u64,
        };
        let free = Limits::default();
        let appending = self.index.append(&folder, &entry, &free, placed);
        match appending.await? {
            Appended::Kept(_) => {}
            other => bail!("message {number} of {user} was not kept: {other:?}"),
        }
        ensure!(
            self.begun.elapsed() < PATIENCE,
            "after {} s only {number} messages of {user} are in: the disk is too slow to measure with",
            PATIENCE.as_secs()
        );
        Ok(())
    }
}

/// What a store calls the octets of a message; some thousand in one directory.
fn path(number: usize) -> String {
    format!("{}/{number:07}", number / 1000)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const SMALL: Class = Class {
        name: "small",
        users: 2,
        messages: 3,
        octets: 500,
    };

    #[test]
    fn what_is_filled_is_in_order_and_has_its_octets() {
        let folder = tempfile::tempdir().unwrap();
        let large = Large {
            name: "large",
            octets: 1,
        };
        let mail = Maildrops {
            class: SMALL,
            with_octets: 2,
        };
        let seed = Seed::embedded(folder.path()).unwrap();
        seed.fill(&[mail], &[large]).unwrap();

        let seed = Seed::embedded(folder.path()).unwrap();
        let listed = |user: &str| {
            let folder = Folder::new(MAIN_TENANT, &maildrop_in_engine(user), "").unwrap();
            seed.runtime.block_on(seed.index.read(&folder)).unwrap()
        };
        let octets = |user: &str, number: usize| {
            let maildrop = maildrop_in_engine(user);
            let path = blob_of_maildrop(MAIN_TENANT, &maildrop, &path(number)).unwrap();
            let read = seed.blobs.read(&path, 0, 1 << 20);
            let read = seed.runtime.block_on(read).unwrap();
            read.map(|octets| octets.to_vec())
        };
        for user in ["small-0", "small-1"] {
            let entries = listed(user);
            assert_eq!(entries.octets, [SMALL.listed_octets() as u64; 3]);
            assert!(entries.received.is_sorted(), "{:?}", entries.received);
            assert_eq!(octets(user, 1), Some(SMALL.stored(1)));
            assert_eq!(octets(user, 2), Some(SMALL.stored(2)));
            assert_eq!(octets(user, 3), None);
        }
        let entries = listed("large-0");
        assert_eq!(entries.octets, [large.listed_octets() as u64]);
        let stored = large.pieces().collect::<Vec<_>>().concat();
        assert!(octets("large-0", 1) == Some(stored));
    }
}

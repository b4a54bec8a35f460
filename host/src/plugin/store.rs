//! The role `store`: one instance for each session, with that session's
//! maildrop and no other in its world.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use restante_pop3::Listing;
use tokio::sync::MutexGuard;
use tracing::{info, warn};
use wasmtime::component::ResourceAny;

use super::bindings::exports::restante::plugin::store as wit;
use super::instance::Instance;
use super::listings::{Key, Listed, Names};
use super::{Plugin, convert, grants};
use crate::backend::{
    Account, Connection, Content, ContentReader, Entries, Failure, FileRange, Maildrop, Store,
};
use crate::cached;
use crate::metrics::Ledger;

/// Octets of a stamp: it is remembered with the listing.
const STAMP: usize = 4096;

pub(super) struct PluginStore {
    pub(super) plugin: Arc<Plugin>,
    pub(super) functions: wit::GuestIndices,
}

impl PluginStore {
    fn maildrop_path(
        &self,
        connection: &Connection,
        account: &Account,
    ) -> Result<Option<std::path::PathBuf>, Failure> {
        grants::maildrop_path(&self.plugin.grants, &connection.tenant, account).map_err(|error| {
            warn!(
                plugin = %self.plugin.name, tenant = connection.tenant, user = ?account.user, %error,
                "the maildrop grant does not expand for this account"
            );
            Failure::Permanent("this account has no maildrop".into())
        })
    }
}

#[async_trait]
impl Store for PluginStore {
    async fn lock_key(
        &self,
        connection: &Connection,
        account: &Account,
    ) -> Result<String, Failure> {
        let Some(path) = self.maildrop_path(connection, account)? else {
            return Ok(format!(
                "{}\n{}\n{}",
                connection.tenant, self.plugin.name, account.maildrop
            ));
        };
        let canonical = if cached::knows(&path) {
            grants::canonical(&path)
        } else {
            tokio::task::spawn_blocking(move || grants::canonical(&path))
                .await
                .map_err(|_| Failure::internal())?
        };
        Ok(canonical.to_string_lossy().into_owned())
    }

    async fn open(
        &self,
        connection: &Arc<Connection>,
        account: &Account,
    ) -> Result<Box<dyn Maildrop>, Failure> {
        let key = Key {
            identity: self.plugin.identity.clone(),
            tenant: connection.tenant.clone(),
            path: self.maildrop_path(connection, account)?,
            account: account.clone(),
        };
        let maildrop = PluginMaildrop {
            plugin: self.plugin.clone(),
            functions: self.functions.clone(),
            shared: Arc::default(),
            key,
            ledger: connection.ledger.clone(),
            listed: None,
        };
        drop(maildrop.awake().await?);
        Ok(Box::new(maildrop))
    }
}

/// An instance that has opened the maildrop.
struct Awake {
    instance: Instance,
    functions: wit::Guest,
    maildrop: ResourceAny,
    /// Tells the session's instances apart.
    number: u64,
}

/// The session's instance, shared with the readers that came out of it. None:
/// it rests, or has failed; the next call makes another.
#[derive(Default)]
struct Shared {
    awake: tokio::sync::Mutex<Option<Awake>>,
    /// Readers that nobody pulls at any more, still held by the guest, with the
    /// number of their instance.
    done: Mutex<Vec<(u64, ResourceAny)>>,
    instances: AtomicU64,
}

type AwakeGuard<'a> = tokio::sync::MappedMutexGuard<'a, Awake>;

struct PluginMaildrop {
    plugin: Arc<Plugin>,
    functions: wit::GuestIndices,
    shared: Arc<Shared>,
    key: Key,
    ledger: Arc<Ledger>,
    listed: Option<Arc<Listed>>,
}

impl PluginMaildrop {
    /// The session's instance, with the maildrop open.
    async fn awake(&self) -> Result<AwakeGuard<'_>, Failure> {
        let mut awake = self.shared.awake.lock().await;
        if !awake
            .as_ref()
            .is_some_and(|awake| awake.instance.is_alive())
        {
            *awake = None;
            *awake = Some(self.wake().await?);
        }
        let mut awake = MutexGuard::map(awake, |awake| {
            awake.as_mut().expect("made above, if it was not there")
        });
        self.release(&mut awake).await?;
        Ok(awake)
    }

    async fn wake(&self) -> Result<Awake, Failure> {
        let path = self.key.path.clone();
        let mut instance = Instance::new(&self.plugin, &self.ledger, path).await?;
        let functions = self.functions.clone();
        let account = convert::account(&self.key.account);
        let (functions, opened) = instance
            .call("store.open", |store, guest| {
                Box::pin(async move {
                    let functions = functions.load(&mut *store, guest)?;
                    let opened = functions.maildrop().call_open(store, &account).await?;
                    Ok((functions, opened))
                })
            })
            .await?;
        Ok(Awake {
            instance,
            functions,
            maildrop: opened?,
            number: self.shared.instances.fetch_add(1, Ordering::Relaxed),
        })
    }

    /// Hands finished readers back to the guest, whose destructor may run.
    async fn release(&self, awake: &mut Awake) -> Result<(), Failure> {
        for (number, reader) in self.shared.take_done() {
            // Those of an earlier instance went with it.
            if number == awake.number {
                awake
                    .instance
                    .call("store.reader.drop", |store, _| {
                        Box::pin(reader.resource_drop_async(store))
                    })
                    .await?;
            }
        }
        Ok(())
    }

    async fn stamp(&mut self) -> Result<Option<String>, Failure> {
        let mut awake = self.awake().await?;
        let (functions, maildrop) = (awake.functions.clone(), awake.maildrop);
        let stamp = awake
            .instance
            .call("store.stamp", |store, _| {
                Box::pin(async move { functions.maildrop().call_stamp(store, maildrop).await })
            })
            .await?
            .map_err(Failure::from)?;
        match stamp.as_ref().map_or(0, String::len) {
            octets if octets > STAMP => {
                let what = format!("a stamp of {octets} octets, more than {STAMP}");
                Err(awake.instance.lie("store.stamp", what))
            }
            _ => Ok(stamp),
        }
    }

    /// The listing as the guest tells it, checked.
    async fn ask(&mut self) -> Result<Listed, Failure> {
        let mut awake = self.awake().await?;
        let (functions, maildrop) = (awake.functions.clone(), awake.maildrop);
        let told = awake
            .instance
            .call("store.listing", |store, _| {
                Box::pin(async move { functions.maildrop().call_listing(store, maildrop).await })
            })
            .await?
            .map_err(Failure::from)?;
        awake.instance.carried(weight(&told));
        checked(told).map_err(|lie| awake.instance.lie("store.listing", lie))
    }

    fn names(&self, positions: &[usize]) -> Result<Vec<String>, Failure> {
        let listed = self.listed.as_ref().ok_or_else(Failure::internal)?;
        positions
            .iter()
            .map(|position| listed.name(*position).map(str::to_owned))
            .collect::<Option<_>>()
            .ok_or_else(Failure::internal)
    }

    /// What the guest says of a message.
    async fn ask_content(&self, name: &str) -> Result<(wit::Content, u64), Failure> {
        let mut awake = self.awake().await?;
        let (functions, maildrop) = (awake.functions.clone(), awake.maildrop);
        let name = name.to_owned();
        let content = awake
            .instance
            .call("store.content", |store, _| {
                Box::pin(async move {
                    functions
                        .maildrop()
                        .call_content(store, maildrop, &name)
                        .await
                })
            })
            .await?
            .map_err(Failure::from)?;
        if let wit::Content::Inline(octets) = &content {
            awake.instance.carried(octets.len());
        }
        Ok((content, awake.number))
    }

    /// Opens the file that the guest has named: at once if its path is cached,
    /// else where waiting does no harm.
    async fn open_file(&self, named: &wit::FileRange) -> Result<io::Result<FileRange>, Failure> {
        let maildrop = {
            let mut awake = self.awake().await?;
            let state = awake.instance.state();
            match state.and_then(|state| state.maildrop.clone()) {
                Some(maildrop) => maildrop,
                None => {
                    let what = "a file, without a granted maildrop";
                    return Err(awake.instance.lie("store.content", what));
                }
            }
        };
        let opened = match grants::open_cached_below(&maildrop, &named.path) {
            Some(opened) => opened,
            None => {
                let path = named.path.clone();
                tokio::task::spawn_blocking(move || grants::open_below(&maildrop, &path))
                    .await
                    .map_err(|_| Failure::internal())?
            }
        };
        Ok(opened.and_then(|file| grants::range(file, &named.path, named.offset, named.length)))
    }
}

#[async_trait]
impl Maildrop for PluginMaildrop {
    async fn listing(&mut self) -> Result<Arc<Entries>, Failure> {
        let stamp = self.stamp().await?;
        let listings = &self.plugin.runtime.listings;
        let remembered = stamp
            .as_ref()
            .and_then(|stamp| listings.recall(&self.key, stamp));
        let listed = match remembered {
            Some(listed) => listed,
            None => {
                let listed = Arc::new(self.ask().await?);
                if let Some(stamp) = stamp {
                    let listings = &self.plugin.runtime.listings;
                    listings.remember(self.key.clone(), stamp, listed.clone());
                }
                listed
            }
        };
        self.listed = Some(listed.clone());
        Ok(listed.entries.clone())
    }

    async fn content(&mut self, position: usize) -> Result<Content, Failure> {
        let name = self.names(&[position])?.remove(0);
        // A store may name a file without looking at it. If it is not there (a
        // mail program has moved it), the store is asked once more.
        for last in [false, true] {
            let (content, number) = self.ask_content(&name).await?;
            let named = match content {
                wit::Content::Inline(octets) => return Ok(Content::Inline(octets)),
                wit::Content::Reader(reader) => {
                    return Ok(Content::Reader(Box::new(PluginReader {
                        shared: self.shared.clone(),
                        number,
                        reader,
                    })));
                }
                wit::Content::File(named) => named,
            };
            match self.open_file(&named).await? {
                Ok(range) => return Ok(Content::File(range)),
                Err(error) if last => info!(
                    plugin = %self.plugin.name, tenant = self.key.tenant, path = ?named.path, %error,
                    "a message's file cannot be opened"
                ),
                Err(_) => {}
            }
        }
        Err(Failure::Temporary("the message cannot be read".into()))
    }

    async fn remove(&mut self, positions: &[usize]) -> Result<(), Failure> {
        let names = self.names(positions)?;
        let mut awake = self.awake().await?;
        let (functions, maildrop) = (awake.functions.clone(), awake.maildrop);
        awake
            .instance
            .call("store.remove", |store, _| {
                Box::pin(async move {
                    functions
                        .maildrop()
                        .call_remove(store, maildrop, &names)
                        .await
                })
            })
            .await?
            .map_err(Failure::from)
    }

    async fn rest(&mut self) {
        *self.shared.awake.lock().await = None;
        self.shared.take_done();
    }
}

impl Shared {
    fn take_done(&self) -> Vec<(u64, ResourceAny)> {
        // Nothing in the list can be half done.
        std::mem::take(&mut *self.done.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

struct PluginReader {
    shared: Arc<Shared>,
    number: u64,
    reader: ResourceAny,
}

#[async_trait]
impl ContentReader for PluginReader {
    async fn read(&mut self, limit: u32) -> Result<Vec<u8>, Failure> {
        let mut awake = self.shared.awake.lock().await;
        // A reader does not outlive its instance.
        let awake = awake
            .as_mut()
            .filter(|awake| awake.number == self.number)
            .ok_or_else(Failure::internal)?;
        let (functions, reader) = (awake.functions.clone(), self.reader);
        let octets = awake
            .instance
            .call("store.reader.read", |store, _| {
                Box::pin(async move { functions.reader().call_read(store, reader, limit).await })
            })
            .await?
            .map_err(Failure::from)?;
        awake.instance.carried(octets.len());
        if octets.len() > limit as usize {
            return Err(awake.instance.lie(
                "store.reader.read",
                format!("{} octets where {limit} were asked for", octets.len()),
            ));
        }
        Ok(octets)
    }
}

impl Drop for PluginReader {
    fn drop(&mut self) {
        let mut done = self
            .shared
            .done
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        done.push((self.number, self.reader));
    }
}

/// Octets of a listing as it crossed the border.
fn weight(told: &wit::Listing) -> usize {
    let texts = told.unique_ids.iter().chain(&told.names);
    let numbers = told.octets.len() + told.received.len();
    texts.map(String::len).sum::<usize>() + 8 * numbers + 16 * told.surrogates.len()
}

/// Columns of one length, unique-ids that are some.
fn checked(told: wit::Listing) -> Result<Listed, String> {
    let count = told.unique_ids.len();
    let names = told.names.len();
    if told.octets.len() != count || told.received.len() != count || (names != count && names != 0)
    {
        return Err(format!(
            "columns of different length: {count} unique-ids, {} octets, {} received, {names} names",
            told.octets.len(),
            told.received.len()
        ));
    }
    let listing =
        Listing::new(told.unique_ids.iter().zip(told.octets)).map_err(|error| error.to_string())?;
    let listing = Arc::new(listing);
    let surrogates = with_surrogates(&listing, &told.surrogates)?;
    Ok(Listed {
        entries: Arc::new(Entries {
            listing,
            surrogates,
            received: told.received,
        }),
        names: (names > 0).then(|| Names::pack(&told.names)),
    })
}

fn with_surrogates(
    listing: &Arc<Listing>,
    surrogates: &[wit::Surrogate],
) -> Result<Arc<Listing>, String> {
    if surrogates.is_empty() {
        return Ok(Arc::clone(listing));
    }
    if !surrogates.is_sorted_by(|one, next| one.position < next.position) {
        return Err("the positions of surrogates do not rise".to_owned());
    }
    let last = surrogates.last().map_or(0, |last| last.position as usize);
    if last >= listing.len() {
        return Err(format!(
            "a surrogate of position {last}, and {} messages",
            listing.len()
        ));
    }
    let octets = surrogates
        .iter()
        .map(|surrogate| (surrogate.position as usize, surrogate.octets));
    let listing = listing.with_octets(octets);
    listing.map(Arc::new).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(surrogates: &[(u32, u64)]) -> wit::Listing {
        let surrogates = surrogates.iter();
        wit::Listing {
            unique_ids: vec!["a".into(), "b".into(), "c".into()],
            octets: vec![1, 2, 3],
            received: vec![0; 3],
            names: Vec::new(),
            surrogates: surrogates
                .map(|&(position, octets)| wit::Surrogate { position, octets })
                .collect(),
        }
    }

    #[test]
    fn surrogates_have_octets_of_their_own() {
        let entries = checked(told(&[(0, 9), (2, 8)]))
            .ok()
            .map(|told| told.entries);
        let entries = entries.expect("nothing is wrong with it");
        assert_eq!([0, 1, 2].map(|at| entries.listing.octets(at)), [1, 2, 3]);
        assert_eq!([0, 1, 2].map(|at| entries.surrogates.octets(at)), [9, 2, 8]);
        let entries = checked(told(&[])).ok().map(|told| told.entries);
        let entries = entries.expect("nothing is wrong with it");
        assert!(Arc::ptr_eq(&entries.listing, &entries.surrogates));
    }

    #[test]
    fn lies_about_surrogates_are_found() {
        for surrogates in [
            &[(3, 1)][..],
            &[(1, 1), (1, 1)],
            &[(2, 1), (0, 1)],
            &[(u32::MAX, 1)],
            &[(0, u64::MAX)],
        ] {
            assert!(checked(told(surrogates)).is_err(), "{surrogates:?}");
        }
    }
}

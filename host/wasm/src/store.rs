//! The role `store`: one instance for each session, with that session's
//! maildrop and no other in its world.

mod reader;

use std::fmt::Write;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::sync::MutexGuard;
use tokio::time::Instant;
use tracing::{error, info, warn};
use wasmtime::component::ResourceAny;

use super::bindings::exports::restante::plugin::store as wit;
use super::bindings::restante::plugin::types;
use super::breaker::Caller;
use super::facts::{Facts, Grounds};
use super::grants::{Named, Root};
use super::instance::Instance;
use super::listings::{AccountKey, Key, Listed, Told};
use super::maildrop_directory::{Found, Identity, MaildropDirectory, MaildropError};
use super::told::{checked, weight};
use super::{Plugin, changes, convert, grants, recorded};
use reader::PluginReader;
use restante_config::template::AccountPath;
use restante_roles::backend::{
    Account, Connection, Content, Entries, Failure, FileRange, FoundMaildrop, Maildrop, Store,
};
use restante_roles::recording::Redactor;
use restante_roles::work::{MAX_WORK_TIME, Stop, WorkRoom};

/// Octets of a stamp: it is remembered with the listing.
const STAMP: usize = 4096;
/// Calls into a fresh instance until the stamp is told: `open` and `stamp`.
const CALLS_TO_STAMP: u32 = 2;

pub(super) struct PluginStore {
    pub(super) plugin: Arc<Plugin>,
    pub(super) functions: wit::GuestIndices,
}

impl PluginStore {
    /// None: the plugin was granted no maildrop.
    fn directory(
        &self,
        connection: &Connection,
        account: &Account,
    ) -> Result<Option<MaildropDirectory>, Failure> {
        let path = grants::maildrop_path(&self.plugin.grants, &connection.tenant, account);
        let path = path.map_err(|error| {
            warn!(
                plugin = %self.plugin.name, tenant = connection.tenant, user = ?account.user, %error,
                "the maildrop grant does not expand for this account"
            );
            Failure::Permanent("this account has no maildrop".into())
        })?;
        let rules = self.plugin.maildrop_rules.clone();
        Ok(path.map(|path| MaildropDirectory { path, rules }))
    }
}

#[async_trait]
impl Store for PluginStore {
    async fn find(
        &self,
        connection: &Arc<Connection>,
        account: &Account,
    ) -> Result<Box<dyn FoundMaildrop>, Failure> {
        let mut root = None;
        let (lock_key, directory) = match self.directory(connection, account)? {
            None => {
                let parts = [&connection.tenant, &*self.plugin.name, &account.maildrop];
                (parts.join("\n"), None)
            }
            Some(directory) => {
                let work = WorkRoom::new(connection.ledger.clone());
                let found = directory.find(&work).await;
                if matches!(
                    found,
                    Ok(Found::Nothing(_))
                        | Err(MaildropError::Missing
                            | MaildropError::NoPrefix(_)
                            | MaildropError::NoMarker(_)
                            | MaildropError::Dangling(_))
                ) {
                    connection.ledger.found_no_maildrop();
                }
                let found = found.map_err(|error| {
                    self.plugin
                        .unopened(&connection.tenant, &directory.path, &error)
                })?;
                let lock_key = directory.lock_key(&found);
                let identity = match found {
                    Found::Directory(opened, identity) => {
                        root = Some(opened);
                        Some(identity)
                    }
                    Found::Nothing(_) => None,
                };
                (lock_key, Some((directory, identity)))
            }
        };
        let key = Key {
            identity: self.plugin.identity.clone(),
            tenant: connection.tenant.clone(),
            path: directory.as_ref().map(|(at, _)| at.path.whole()),
            account: AccountKey::of(account).ok_or_else(|| {
                error!("the system has no randomness: the login is refused");
                Failure::Temporary("no randomness".into())
            })?,
        };
        let shared = Shared {
            root: Mutex::new(root),
            ..Shared::default()
        };
        let maildrop = PluginMaildrop {
            plugin: self.plugin.clone(),
            functions: self.functions.clone(),
            shared: Arc::new(shared),
            key,
            directory,
            account: account.clone(),
            connection: connection.clone(),
            known: None,
            listed: None,
        };
        Ok(Box::new(PluginFound { maildrop, lock_key }))
    }
}

struct PluginFound {
    maildrop: PluginMaildrop,
    lock_key: String,
}

#[async_trait]
impl FoundMaildrop for PluginFound {
    fn lock_key(&self) -> &str {
        &self.lock_key
    }

    /// Nothing is asked where it is known what the guest would say.
    async fn open(self: Box<Self>) -> Result<Box<dyn Maildrop>, Failure> {
        let mut maildrop = self.maildrop;
        maildrop.known = maildrop.recall_known();
        if maildrop.known.is_none() {
            drop(maildrop.awake().await?);
        }
        Ok(Box::new(maildrop))
    }
}

impl Plugin {
    /// A maildrop's directory cannot be opened: the operator is told why.
    fn unopened(&self, tenant: &str, path: &AccountPath, error: &MaildropError) -> Failure {
        let path = path.whole();
        error!(plugin = %self.name, tenant, ?path, %error, "a maildrop cannot be opened");
        Failure::internal()
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
    /// The maildrop's directory, for as long as an instance lives. None: it is not
    /// open, or there is none.
    root: Mutex<Option<Arc<Root>>>,
}

type AwakeGuard<'a> = tokio::sync::MappedMutexGuard<'a, Awake>;

struct PluginMaildrop {
    plugin: Arc<Plugin>,
    functions: wit::GuestIndices,
    shared: Arc<Shared>,
    key: Key,
    /// Where its directory is, and which one the session's lock is for: it has no other,
    /// and none if none was there. None: the plugin was granted no maildrop.
    directory: Option<(MaildropDirectory, Option<Identity>)>,
    /// With its secrets, for as long as the session.
    account: Account,
    connection: Arc<Connection>,
    /// What the guest need not be asked for.
    known: Option<Told>,
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
        let root = self.root().await?;
        let caller = Caller::account(&self.account);
        let mut instance =
            Instance::new(&self.plugin, &self.connection, root, Some(caller)).await?;
        let functions = self.functions.clone();
        let account = Arc::new(convert::account(&self.account));
        let of = account.clone();
        let opened = instance
            .call("store.open", |store, guest| {
                Box::pin(async move {
                    let functions = functions.load(&mut *store, guest)?;
                    let opened = functions.maildrop().call_open(store, &of).await?;
                    Ok((functions, opened))
                })
            })
            .await;
        if let Some(tape) = instance.tape() {
            tape.tell(&self.plugin, "store.open", |redactor| {
                let asked = recorded::Open::of(&account, redactor);
                let answer = opened.as_ref().ok();
                let answer = answer.map(|(_, opened)| recorded::result(opened, |_| json!("open")));
                (recorded::value(asked), answer)
            });
        }
        let (functions, opened) = opened?;
        let maildrop = opened?;
        if let Some(state) = instance.state() {
            // To have this handle made the guest has called the host.
            state.witness.constant();
        }
        Ok(Awake {
            instance,
            functions,
            maildrop,
            number: self.shared.instances.fetch_add(1, Ordering::Relaxed),
        })
    }

    /// The maildrop's directory: opened for the session, and again after a rest.
    async fn root(&self) -> Result<Option<Arc<Root>>, Failure> {
        let Some((directory, Some(identity))) = &self.directory else {
            return Ok(None);
        };
        if let Some(opened) = &*self.shared.root() {
            return Ok(Some(opened.clone()));
        }
        let found = directory.find_again(*identity, &self.work()).await;
        let found = found.map_err(|error| {
            self.plugin
                .unopened(&self.key.tenant, &directory.path, &error)
        })?;
        *self.shared.root() = Some(found.clone());
        Ok(Some(found))
    }

    /// Where the host works for this session.
    fn work(&self) -> WorkRoom {
        WorkRoom::new(self.connection.ledger.clone())
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

    /// The listing that is remembered, if the facts behind its stamp still hold: a fresh
    /// instance would open the maildrop and say that stamp again. A recording has what was
    /// asked, so there all is.
    fn recall_known(&self) -> Option<Told> {
        if self.connection.recording.is_some() {
            return None;
        }
        let maildrop = self.shared.root().clone()?;
        let told = self.plugin.runtime.listings.recall(&self.key)?;
        let holds = told.facts.as_ref()?.hold(&maildrop);
        holds.then_some(told)
    }

    /// The stamp, and the facts that stand for it where there are such. None also where
    /// it rests on files that could change again and look the same.
    async fn stamp(&mut self) -> Result<(Option<String>, Option<Facts>), Failure> {
        let mut awake = self.awake().await?;
        let (functions, maildrop) = (awake.functions.clone(), awake.maildrop);
        let stamp = awake
            .instance
            .call("store.stamp", |store, _| {
                Box::pin(async move { functions.maildrop().call_stamp(store, maildrop).await })
            })
            .await;
        self.tell(
            &awake,
            "store.stamp",
            || json!({}),
            &stamp,
            |_, stamp| recorded::value(stamp),
        );
        let mut stamp = stamp?.map_err(Failure::from)?;
        match stamp.as_ref().map(String::len) {
            None => Ok((None, None)),
            Some(octets) if octets > STAMP => {
                let what = format!("a stamp of {octets} octets, more than {STAMP}");
                Err(awake.instance.lie("store.stamp", what))
            }
            Some(_) => {
                let state = awake.instance.state();
                if let (Some(stamp), Some(state)) = (&mut stamp, &state) {
                    let _ = write!(stamp, "\0{:016x}", state.witness.changes());
                }
                let grounds = state.map(|state| {
                    let grown = state.limits.grown();
                    state.witness.grounds(CALLS_TO_STAMP, grown)
                });
                Ok(match grounds.unwrap_or(Grounds::Unknown) {
                    Grounds::Facts(facts) => (stamp, Some(facts)),
                    Grounds::Fresh => (None, None),
                    Grounds::Unknown => (stamp, None),
                })
            }
        }
    }

    /// The listing as the guest tells it, checked, and the memo with it.
    async fn ask(&mut self) -> Result<(Listed, Option<Arc<str>>), Failure> {
        let mut awake = self.awake().await?;
        let (functions, maildrop) = (awake.functions.clone(), awake.maildrop);
        let told = awake
            .instance
            .call("store.listing", |store, _| {
                Box::pin(async move { functions.maildrop().call_listing(store, maildrop).await })
            })
            .await;
        self.tell(
            &awake,
            "store.listing",
            || json!({}),
            &told,
            |_, told| recorded::listing(told),
        );
        let told = told?.map_err(Failure::from)?;
        awake.instance.carried(weight(&told));
        checked(told).map_err(|lie| awake.instance.lie("store.listing", lie))
    }

    /// The listing that is remembered, brought up to date. None: the guest cannot
    /// tell the changes.
    async fn ask_changes(&mut self, told: &Told) -> Result<Option<Told>, Failure> {
        let Some(memo) = told.memo.clone() else {
            return Ok(None);
        };
        let mut awake = self.awake().await?;
        let (functions, maildrop) = (awake.functions.clone(), awake.maildrop);
        let of = memo.clone();
        let changes = awake
            .instance
            .call("store.changes", |store, _| {
                Box::pin(async move {
                    functions
                        .maildrop()
                        .call_changes(store, maildrop, &of)
                        .await
                })
            })
            .await;
        let asked = || json!({ "memo": &*memo });
        self.tell(&awake, "store.changes", asked, &changes, |_, changes| {
            recorded::changes(changes)
        });
        let changes = changes?.map_err(Failure::from)?;
        let Some(wit::Changes { gone, came }) = changes else {
            return Ok(None);
        };
        awake.instance.carried(gone.len() + weight(&came));
        let (came, memo) = checked(came).map_err(|lie| awake.instance.lie("store.changes", lie))?;
        let listed = if gone.is_empty() && came.entries.listing.is_empty() {
            Some(told.listed.clone())
        } else {
            changes::apply(&told.listed, &gone, &came).map(Arc::new)
        };
        Ok(listed.map(|listed| Told {
            stamp: None,
            facts: None,
            memo,
            listed,
        }))
    }

    /// The listing as it is now, as cheaply as the guest can have it told.
    async fn told(&mut self) -> Result<Told, Failure> {
        let (stamp, facts) = self.stamp().await?;
        let remembered = self.plugin.runtime.listings.recall(&self.key);
        if let Some(told) = remembered {
            if stamp.is_some() && told.stamp == stamp {
                return Ok(Told { facts, ..told });
            }
            if let Some(told) = self.ask_changes(&told).await? {
                return Ok(Told {
                    stamp,
                    facts,
                    ..told
                });
            }
        }
        let (listed, memo) = self.ask().await?;
        Ok(Told {
            stamp,
            facts,
            memo,
            listed: Arc::new(listed),
        })
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
    async fn ask_content(&self, name: &str) -> Result<(wit::Content, u64, Option<u64>), Failure> {
        let mut awake = self.awake().await?;
        let (functions, maildrop) = (awake.functions.clone(), awake.maildrop);
        let of = name.to_owned();
        let content = awake
            .instance
            .call("store.content", |store, _| {
                Box::pin(async move {
                    functions
                        .maildrop()
                        .call_content(store, maildrop, &of)
                        .await
                })
            })
            .await;
        let tape = awake.instance.tape();
        let reader = match &content {
            Ok(Ok(wit::Content::Reader(_))) => tape.map(|tape| tape.next_reader()),
            _ => None,
        };
        let asked = || json!({ "name": name });
        self.tell(&awake, "store.content", asked, &content, |redactor, of| {
            recorded::content(of, reader.unwrap_or_default(), |octets| {
                recorded::value(redactor.mail(octets))
            })
        });
        let content = content?.map_err(Failure::from)?;
        if let wit::Content::Inline(octets) = &content {
            awake.instance.carried(octets.len());
        }
        Ok((content, awake.number, reader))
    }

    /// A call of the instance's is over: it is written down, if it is to be.
    fn tell<T>(
        &self,
        awake: &Awake,
        call: &'static str,
        asked: impl FnOnce() -> Value,
        answer: &Result<Result<T, types::Failure>, Failure>,
        ok: impl FnOnce(&Redactor, &T) -> Value,
    ) {
        if let Some(tape) = awake.instance.tape() {
            tape.tell(&self.plugin, call, |redactor| {
                let answer = answer.as_ref().ok();
                let answer = answer.map(|of| recorded::result(of, |of| ok(redactor, of)));
                (asked(), answer)
            });
        }
    }

    /// Opens the file that the guest has named: at once if its path is cached,
    /// else where waiting does no harm.
    async fn open_file(&self, named: Named) -> Result<io::Result<FileRange>, Failure> {
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
        let work = self.work();
        match grants::range_at_once(&maildrop, &named, &work) {
            Some(range) => Ok(range),
            None => {
                let (room, deadline) = (work.clone(), Instant::now() + MAX_WORK_TIME);
                let open = move |_: &Stop| grants::range(maildrop.dir(), &named, &work);
                Ok(room.run_io(deadline, open).await)
            }
        }
    }
}

#[async_trait]
impl Maildrop for PluginMaildrop {
    async fn listing(&mut self) -> Result<Arc<Entries>, Failure> {
        if let Some(known) = self.known.take() {
            self.listed = Some(known.listed.clone());
            return Ok(known.listed.entries.clone());
        }
        let told = self.told().await?;
        self.listed = Some(told.listed.clone());
        let entries = told.listed.entries.clone();
        if told.stamp.is_some() || told.memo.is_some() {
            let listings = &self.plugin.runtime.listings;
            listings.remember(self.key.clone(), told);
        }
        Ok(entries)
    }

    async fn content(&mut self, position: usize) -> Result<Content, Failure> {
        let name = self.names(&[position])?.remove(0);
        // A store may name a file without looking at it. If it is not there (a
        // mail program has moved it), the store is asked once more.
        for last in [false, true] {
            let asked = self.ask_content(&name).await;
            if asked.is_err() {
                // Perhaps it was listed wrongly.
                self.plugin.runtime.listings.forget(&self.key);
            }
            let (content, number, recorded) = asked?;
            let named = match content {
                wit::Content::Inline(octets) => return Ok(Content::Inline(octets)),
                wit::Content::Reader(reader) => {
                    return Ok(Content::Reader(Box::new(PluginReader {
                        shared: self.shared.clone(),
                        number,
                        reader,
                        plugin: self.plugin.clone(),
                        recorded,
                    })));
                }
                wit::Content::File(named) => named,
            };
            let path = named.path.clone();
            let named = Named {
                path: named.path,
                offset: named.offset,
                length: named.length,
            };
            match self.open_file(named).await? {
                Ok(range) => return Ok(Content::File(range)),
                Err(error) if last => info!(
                    plugin = %self.plugin.name, tenant = self.key.tenant, ?path, %error,
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
        let names = Arc::new(names);
        let of = names.clone();
        let removed = awake
            .instance
            .call("store.remove", |store, _| {
                Box::pin(
                    async move { functions.maildrop().call_remove(store, maildrop, &of).await },
                )
            })
            .await;
        let asked = || json!({ "names": &*names });
        self.tell(&awake, "store.remove", asked, &removed, |_, ()| {
            json!("removed")
        });
        removed?.map_err(Failure::from)
    }

    async fn doubt(&mut self, position: usize) {
        self.plugin.runtime.listings.forget(&self.key);
        let Ok(name) = self.names(&[position]).map(|mut names| names.remove(0)) else {
            return;
        };
        // A store that is asked twice looks.
        for _ in 0..2 {
            let _ = self.ask_content(&name).await;
        }
    }

    async fn rest(&mut self) {
        *self.shared.awake.lock().await = None;
        *self.shared.root() = None;
        self.shared.take_done();
    }
}

impl Shared {
    fn root(&self) -> std::sync::MutexGuard<'_, Option<Arc<Root>>> {
        // It is replaced whole.
        self.root.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_done(&self) -> Vec<(u64, ResourceAny)> {
        // Nothing in the list can be half done.
        std::mem::take(&mut *self.done.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

//! The role `store`: one instance for each session, with that session's
//! maildrop and no other in its world.

mod awake;
mod blob;
pub(crate) mod cache;
mod delta;
pub(crate) mod find;
mod hold;
mod place;
mod reader;
mod recall;
mod validate;

use std::fmt::Write;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::sync::MutexGuard;
use tokio::time::Instant;
use tracing::{error, info, warn};

use crate::bindings::exports::restante::plugin::store as wit;
use crate::bindings::restante::plugin::types;
use crate::convert;
use crate::disk::grants;
use crate::disk::grants::{Named, Root};
use crate::disk::left_out::AllLeftOut;
use crate::disk::maildrop_directory::MaildropError;
use crate::instance::Instance;
use crate::instance::breaker::Caller;
use crate::instance::facts::{Facts, Grounds};
use crate::instance::maildrop::{BLOBS, SessionMaildrop};
use crate::plugin::Plugin;
use crate::record::form;
use crate::roles::store::cache::{CachedListing, Key, Listed};
use crate::roles::store::validate::{checked, weight};
use awake::{Awake, AwakeGuard, Shared};
use blob::BlobAsker;
use place::Place;
use reader::PluginReader;
use restante_config::template::AccountPath;
use restante_roles::backend::{
    Account, Connection, Content, Entries, Failure, FileRange, Maildrop,
};
use restante_roles::recording::Redactor;
use restante_roles::work::{MAX_WORK_TIME, Stop, WorkRoom};

/// Octets of a stamp: it is remembered with the listing.
const STAMP: usize = 4096;
/// Calls into a fresh instance until the stamp is told: `open` and `stamp`.
const CALLS_TO_STAMP: u32 = 2;

impl Plugin {
    /// A maildrop's directory cannot be opened: the operator is told why.
    fn unopened(&self, tenant: &str, path: &AccountPath, error: &MaildropError) -> Failure {
        let path = path.whole();
        error!(plugin = %self.name, tenant, ?path, %error, "a maildrop cannot be opened");
        Failure::Temporary("the maildrop cannot be opened, try again later".into())
    }
}

/// What a recording is told of a call of the maildrop's.
fn to_tell<T>(
    asked: impl FnOnce() -> Value,
    ok: impl FnOnce(&Redactor, &T) -> Value,
) -> impl FnOnce(&mut Redactor, Option<&Result<T, types::Failure>>) -> (Value, Option<Value>) {
    |redactor, answer| {
        let answer = answer.map(|of| form::result(of, |of| ok(redactor, of)));
        (asked(), answer)
    }
}

struct PluginMaildrop {
    plugin: Arc<Plugin>,
    functions: wit::GuestIndices,
    shared: Arc<Shared>,
    key: Key,
    place: Place,
    /// With its secrets, for as long as the session.
    account: Account,
    connection: Arc<Connection>,
    /// What the guest need not be asked for.
    known: Option<CachedListing>,
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
        let maildrop = match &self.place {
            Place::Engine(maildrop) => SessionMaildrop::Engine(maildrop.clone()),
            Place::Elsewhere | Place::Directory(..) => self.root().await?.into(),
        };
        let caller = Caller::account(&self.account);
        let instance = Instance::of_store(&self.plugin, &self.connection, maildrop, caller);
        let mut instance = instance.await?;
        instance.speak_of(&self.account.user, self.place.shown());
        let functions = self.functions.clone();
        let account = Arc::new(convert::account(&self.account));
        let of = account.clone();
        let opened = instance
            .ask(
                "store.open",
                |store, guest| {
                    Box::pin(async move {
                        let functions = functions.load(&mut *store, guest)?;
                        let opened = functions.maildrop().call_open(store, &of).await?;
                        Ok((functions, opened))
                    })
                },
                |redactor, answer| {
                    let asked = form::Open::of(&account, redactor);
                    let answer = answer.map(|(_, opened)| form::result(opened, |_| json!("open")));
                    (form::value(asked), answer)
                },
            )
            .await;
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
        let Place::Directory(directory, Some(identity)) = &self.place else {
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

    /// A message's file cannot be opened: the operator is told why.
    fn unopened(&self, path: &str, error: &io::Error) {
        let maildrop = self.place.shown();
        let maildrop = maildrop.as_ref().map(tracing::field::debug);
        let (plugin, tenant) = (&*self.plugin.name, &*self.key.tenant);
        let user = &self.account.user;
        let text = "a message's file cannot be opened";
        // There is nothing to mend about what another program has removed or cut.
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof => {
                info!(plugin, tenant, ?user, maildrop, ?path, %error, "{text}");
            }
            _ => error!(plugin, tenant, ?user, maildrop, ?path, %error, "{text}"),
        }
    }

    /// Where the host works for this session.
    fn work(&self) -> WorkRoom {
        self.connection.work()
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

    /// The stamp, and the facts that stand for it where there are such. None also where
    /// it rests on files that could change again and look the same.
    async fn stamp(&mut self) -> Result<(Option<String>, Option<Facts>), Failure> {
        let mut awake = self.awake().await?;
        let (functions, maildrop) = (awake.functions.clone(), awake.maildrop);
        let stamp = awake
            .instance
            .ask(
                "store.stamp",
                |store, _| {
                    Box::pin(async move { functions.maildrop().call_stamp(store, maildrop).await })
                },
                to_tell(|| json!({}), |_, stamp| form::value(stamp)),
            )
            .await;
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
            .ask(
                "store.listing",
                |store, _| {
                    Box::pin(
                        async move { functions.maildrop().call_listing(store, maildrop).await },
                    )
                },
                to_tell(|| json!({}), |_, told| form::listing(told)),
            )
            .await;
        let told = told?.map_err(Failure::from)?;
        awake.instance.carried(weight(&told));
        checked(told).map_err(|lie| awake.instance.lie("store.listing", lie))
    }

    /// The listing that is remembered, brought up to date. None: the guest cannot
    /// tell the changes.
    async fn ask_changes(
        &mut self,
        told: &CachedListing,
    ) -> Result<Option<CachedListing>, Failure> {
        let Some(memo) = told.memo.clone() else {
            return Ok(None);
        };
        let mut awake = self.awake().await?;
        let (functions, maildrop) = (awake.functions.clone(), awake.maildrop);
        let of = memo.clone();
        let changes = awake
            .instance
            .ask(
                "store.changes",
                |store, _| {
                    Box::pin(async move {
                        functions
                            .maildrop()
                            .call_changes(store, maildrop, &of)
                            .await
                    })
                },
                to_tell(
                    || json!({ "memo": &*memo }),
                    |_, changes| form::changes(changes),
                ),
            )
            .await;
        let changes = changes?.map_err(Failure::from)?;
        let Some(wit::Changes { gone, came }) = changes else {
            return Ok(None);
        };
        awake.instance.carried(gone.len() + weight(&came));
        let (came, memo) = checked(came).map_err(|lie| awake.instance.lie("store.changes", lie))?;
        let listed = if gone.is_empty() && came.entries.listing.is_empty() {
            Some(told.listed.clone())
        } else {
            delta::apply(&told.listed, &gone, &came).map(Arc::new)
        };
        Ok(listed.map(|listed| CachedListing {
            stamp: None,
            facts: None,
            memo,
            left_out: AllLeftOut::default(),
            listed,
        }))
    }

    /// The listing as it is now, as cheaply as the guest can have it told.
    async fn told(&mut self) -> Result<CachedListing, Failure> {
        let (stamp, facts) = self.stamp().await?;
        let remembered = self.plugin.runtime.listings.recall(&self.key);
        let mut left_out = AllLeftOut::default();
        if let Some(told) = remembered {
            if stamp.is_some() && told.stamp == stamp {
                return Ok(CachedListing { facts, ..told });
            }
            left_out = told.left_out.clone();
            if let Some(told) = self.ask_changes(&told).await? {
                let told = CachedListing {
                    stamp,
                    facts,
                    left_out: self.with_left_out(left_out).await?,
                    ..told
                };
                return self.vouched_for(told).await;
            }
        }
        let (listed, memo) = self.ask().await?;
        let told = CachedListing {
            stamp,
            facts,
            memo,
            left_out: self.with_left_out(left_out).await?,
            listed: Arc::new(listed),
        };
        self.vouched_for(told).await
    }

    /// The same, with nothing to know it again by where the host could not do something
    /// that the guest asked for meanwhile: what that leaves out is there at the next login.
    async fn vouched_for(&self, told: CachedListing) -> Result<CachedListing, Failure> {
        let mut awake = self.awake().await?;
        let state = awake.instance.state();
        Ok(
            match state.is_some_and(|state| state.witness.has_failed()) {
                false => told,
                true => CachedListing {
                    stamp: None,
                    facts: None,
                    memo: None,
                    ..told
                },
            },
        )
    }

    /// What is left out of the maildrop: as it was known before, and in the directories
    /// that the session's instance has scanned.
    async fn with_left_out(&self, known: AllLeftOut) -> Result<AllLeftOut, Failure> {
        let mut awake = self.awake().await?;
        Ok(match awake.instance.state() {
            Some(state) => known.with(&state.left_out),
            None => known,
        })
    }

    /// Tells the operator what the user does not see.
    fn tell_left_out(&self, left_out: &AllLeftOut) {
        let Some(left_out) = left_out.summary() else {
            return;
        };
        let maildrop = self.place.shown();
        let maildrop = maildrop.as_ref().map(tracing::field::debug);
        let (plugin, tenant) = (&*self.plugin.name, &*self.key.tenant);
        let user = &self.account.user;
        let (odd_names, links) = (left_out.odd_names, left_out.links);
        warn!(
            plugin,
            tenant,
            ?user,
            maildrop,
            odd_names,
            links,
            example = left_out.example,
            "files of a maildrop are not shown: rename those whose names are not UTF-8, and put \
             files in the place of symbolic links"
        );
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
        let tape = awake.instance.tape().cloned();
        let mut reader = None;
        let content = awake
            .instance
            .ask(
                "store.content",
                |store, _| {
                    Box::pin(async move {
                        functions
                            .maildrop()
                            .call_content(store, maildrop, &of)
                            .await
                    })
                },
                to_tell(
                    || json!({ "name": name }),
                    |redactor, of| {
                        if let wit::Content::Reader(_) = of {
                            reader = tape.map(|tape| tape.next_reader());
                        }
                        form::content(of, reader.unwrap_or_default(), |octets| {
                            form::value(redactor.mail(octets))
                        })
                    },
                ),
            )
            .await;
        let content = content?.map_err(Failure::from)?;
        if let wit::Content::Inline(octets) = &content {
            awake.instance.carried(octets.len());
        }
        Ok((content, awake.number, reader))
    }

    /// Opens what the guest has named: a blob of an engine's, or a file.
    async fn open_named(&self, named: Named) -> Result<io::Result<Content>, Failure> {
        if let (Place::Engine(maildrop), Some(path)) = (&self.place, named.path.strip_prefix(BLOBS))
        {
            let asker = BlobAsker::new(maildrop, &self.connection);
            return Ok(asker.open(path, named.offset, named.length).await);
        }
        Ok(self.open_file(named).await?.map(Content::File))
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
            self.tell_left_out(&known.left_out);
            self.listed = Some(known.listed.clone());
            return Ok(known.listed.entries.clone());
        }
        let told = self.told().await?;
        self.tell_left_out(&told.left_out);
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
            match self.open_named(named).await? {
                Ok(content) => return Ok(content),
                Err(error) if last => {
                    // Perhaps it is listed wrongly: an index may have been set back.
                    self.plugin.runtime.listings.forget(&self.key);
                    self.unopened(&path, &error);
                }
                Err(_) => {}
            }
        }
        Err(Failure::Temporary("the message cannot be read".into()))
    }

    async fn wake(&mut self) -> Result<(), Failure> {
        self.awake().await.map(drop)
    }

    async fn remove(&mut self, positions: &[usize]) -> Result<(), Failure> {
        let names = self.names(positions)?;
        let mut awake = self.awake().await?;
        let (functions, maildrop) = (awake.functions.clone(), awake.maildrop);
        let names = Arc::new(names);
        let of = names.clone();
        let removed = awake
            .instance
            .ask(
                "store.remove",
                |store, _| {
                    Box::pin(
                        async move { functions.maildrop().call_remove(store, maildrop, &of).await },
                    )
                },
                to_tell(|| json!({ "names": &*names }), |_, ()| json!("removed")),
            )
            .await;
        if !matches!(removed, Ok(Ok(()))) {
            // What was listed may be wrong, where an index was set back say: else each session
            // that marks such a message would fail alike.
            self.plugin.runtime.listings.forget(&self.key);
        }
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

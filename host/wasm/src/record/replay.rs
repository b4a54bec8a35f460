//! Calls of a recording asked again, of whatever build: each with the arguments
//! of then, at the time of then, and with the host's answers of then.

mod compare;

use std::collections::HashMap;
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use futures_core::future::BoxFuture;
use restante_pop3::Listing;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use wasmtime::component::{Resource, ResourceAny};

use crate::bindings::exports::restante::plugin::store as wit;
use crate::component::exports::Role;
use crate::disk::grants::Root;
use crate::instance::Instance;
use crate::instance::lent::{MessageEntry, ViewEntry};
use crate::instance::maildrop::SessionMaildrop;
use crate::plugin::Plugin;
use crate::record::form::{self, Admit, Authenticate, Lookup, Open, Screen, Select};
use crate::record::player::{Played, Player};
use compare::{Asked, Unasked, judged};
pub use compare::{Comparison, Replayed};
use restante_roles::backend::Entries;
use restante_roles::metrics::Ledger;
use restante_roles::recording::{Answered, Call};

/// Files that a replayed store finds in its maildrop.
const FILES: usize = 100_000;

impl Plugin {
    /// The role that a recorded call is of.
    pub fn role_of(call: &Call) -> Option<Role> {
        let (interface, _) = call.call.split_once('.')?;
        Some(match interface {
            "authenticator" | "scram" => Role::Authenticator,
            "store" => Role::Store,
            "filter" => Role::Filter,
            "selector" => Role::Selector,
            "admission" => Role::Admission,
            _ => return None,
        })
    }

    /// Asks all these again, which are of one plugin in one session that began so
    /// many milliseconds after the Unix epoch. `scratch`: an empty folder, for the
    /// maildrop's files, without what was in them.
    pub fn replay<'a>(
        self: &'a Arc<Self>,
        calls: &'a [&'a Call],
        begun: u64,
        scratch: &'a Path,
    ) -> BoxFuture<'a, Vec<Replayed>> {
        Box::pin(async move {
            let mut replay = Replay {
                plugin: self,
                player: Player::new(calls),
                ledger: Ledger::new("replay"),
                maildrop: maildrop(calls, scratch),
                actors: HashMap::new(),
            };
            let mut replayed = Vec::with_capacity(calls.len());
            for (position, call) in calls.iter().enumerate() {
                let at = begun.saturating_mul(1000) + call.at_microseconds;
                replay.player.begin(call, at.saturating_mul(1000));
                let now = replay.ask(call).await;
                let notes = replay.player.take_notes();
                replayed.push(judged(position, call, now, notes));
            }
            replayed
        })
    }
}

struct Replay<'r> {
    plugin: &'r Arc<Plugin>,
    player: Arc<Player>,
    ledger: Arc<Ledger>,
    maildrop: Option<PathBuf>,
    /// By the number of the instance that was recorded.
    actors: HashMap<u64, Actor>,
}

struct Actor {
    instance: Instance,
    store: Option<(wit::Guest, ResourceAny)>,
    readers: HashMap<u64, ResourceAny>,
}

fn read_as<T: DeserializeOwned>(call: &Call) -> Asked<T> {
    serde_json::from_value(call.asked.clone()).map_err(|error| {
        Unasked::Recording(format!(
            "the arguments of {} are damaged: {error}",
            call.call
        ))
    })
}

fn text(call: &Call, field: &str) -> Asked<String> {
    let text = call.asked[field].as_str().map(str::to_owned);
    text.ok_or_else(|| damaged(call))
}

fn damaged(call: &Call) -> Unasked {
    Unasked::Recording(format!("the arguments of {} are damaged", call.call))
}

impl Replay<'_> {
    async fn ask(&mut self, call: &Call) -> Asked {
        let name = call.call.as_str();
        match name {
            "authenticator.authenticate" => self.authenticate(call).await,
            "scram.lookup" => self.look_up(call).await,
            "admission.admit" => self.admit(call).await,
            "filter.screen" => self.screen(call).await,
            "selector.select" => self.select(call).await,
            "store.open" => self.open(call).await,
            "store.reader.read" => self.read(call).await,
            "store.stamp" | "store.listing" | "store.changes" | "store.content"
            | "store.remove" => self.store(call).await,
            _ => Err(Unasked::Recording(format!(
                "this restante knows no call {name}"
            ))),
        }
    }

    async fn actor(&mut self, call: &Call) -> Asked<&mut Actor> {
        let number = call.instance;
        let lost = (self.actors.get(&number)).is_some_and(|actor| !actor.instance.is_alive());
        if lost {
            let why = "its instance is gone since an earlier call failed";
            return Err(Unasked::Recording(why.to_owned()));
        }
        if !self.actors.contains_key(&number) {
            let root = self
                .maildrop
                .as_ref()
                .and_then(|path| Root::open(path).ok());
            let (plugin, ledger) = (self.plugin, &self.ledger);
            let player = Arc::clone(&self.player);
            let maildrop = SessionMaildrop::from(root.map(Arc::new));
            let instance = Instance::replayed(plugin, ledger, player, maildrop).await?;
            let actor = Actor {
                instance,
                store: None,
                readers: HashMap::new(),
            };
            self.actors.insert(number, actor);
        }
        self.actors
            .get_mut(&number)
            .ok_or_else(|| Unasked::Recording("no instance".to_owned()))
    }

    fn missing(&self, role: Role) -> Unasked {
        Unasked::Recording(self.plugin.missing(role).to_string())
    }

    async fn authenticate(&mut self, call: &Call) -> Asked {
        let asked: Authenticate = read_as(call)?;
        let functions = self.plugin.compiled.roles.authenticator.clone();
        let functions = functions.ok_or_else(|| self.missing(Role::Authenticator))?;
        let (connection, credentials) = (asked.connection.into(), asked.credentials);
        let actor = self.actor(call).await?;
        let answer = actor
            .instance
            .call("authenticator.authenticate", |store, guest| {
                Box::pin(async move {
                    let functions = functions.load(&mut *store, guest)?;
                    functions
                        .call_authenticate(store, &connection, &credentials)
                        .await
                })
            })
            .await?;
        Ok(form::decision(&answer, None))
    }

    async fn look_up(&mut self, call: &Call) -> Asked {
        let asked: Lookup = read_as(call)?;
        let functions = self.plugin.compiled.roles.scram.clone();
        let functions = functions.ok_or_else(|| {
            Unasked::Recording("the component does not export the interface scram".to_owned())
        })?;
        let hash = asked.hash();
        let (connection, user, acting_as) = (asked.connection.into(), asked.user, asked.acting_as);
        let actor = self.actor(call).await?;
        let answer = actor
            .instance
            .call("scram.lookup", |store, guest| {
                Box::pin(async move {
                    let functions = functions.load(&mut *store, guest)?;
                    functions
                        .call_lookup(store, &connection, &user, acting_as.as_deref(), hash)
                        .await
                })
            })
            .await?;
        Ok(form::keys(&answer, None))
    }

    async fn admit(&mut self, call: &Call) -> Asked {
        let asked: Admit = read_as(call)?;
        let functions = self.plugin.compiled.roles.admission.clone();
        let functions = functions.ok_or_else(|| self.missing(Role::Admission))?;
        let connection = asked.connection.into();
        let actor = self.actor(call).await?;
        let answer = actor
            .instance
            .call("admission.admit", |store, guest| {
                Box::pin(async move {
                    let functions = functions.load(&mut *store, guest)?;
                    functions.call_admit(store, &connection).await
                })
            })
            .await?;
        Ok(form::leave(&answer))
    }

    async fn screen(&mut self, call: &Call) -> Asked {
        let asked: Screen = read_as(call)?;
        let functions = self.plugin.compiled.roles.filter.clone();
        let functions = functions.ok_or_else(|| self.missing(Role::Filter))?;
        let message = MessageEntry(Arc::new(Played {
            player: Arc::clone(&self.player),
            unique_id: asked.unique_id,
            octets: asked.octets,
            received: asked.received,
        }));
        let account = asked.account.into();
        let actor = self.actor(call).await?;
        let answer = actor
            .instance
            .call("filter.screen", |store, guest| {
                Box::pin(async move {
                    let functions = functions.load(&mut *store, guest)?;
                    let owned = store.data_mut().table.push(message)?;
                    let lent = Resource::new_borrow(owned.rep());
                    let verdict = functions.call_screen(&mut *store, &account, lent).await?;
                    store.data_mut().table.delete(owned)?;
                    Ok(verdict)
                })
            })
            .await?;
        Ok(form::result(&answer, |verdict| {
            form::verdict(verdict, true)
        }))
    }

    async fn select(&mut self, call: &Call) -> Asked {
        let asked: Select = read_as(call)?;
        let functions = self.plugin.compiled.roles.selector.clone();
        let functions = functions.ok_or_else(|| self.missing(Role::Selector))?;
        let ids = asked.unique_ids.iter().map(String::as_str);
        let listing = Listing::new(ids.zip(asked.octets.iter().copied()));
        let listing = Arc::new(listing.map_err(|_| damaged(call))?);
        if asked.received.len() != listing.len() {
            return Err(damaged(call));
        }
        let entries = Arc::new(Entries {
            surrogates: Arc::clone(&listing),
            listing,
            received: asked.received,
        });
        let (connection, account) = (asked.connection.into(), asked.account.into());
        let actor = self.actor(call).await?;
        let answer = actor
            .instance
            .call("selector.select", |store, guest| {
                Box::pin(async move {
                    let functions = functions.load(&mut *store, guest)?;
                    let owned = store.data_mut().table.push(ViewEntry(entries))?;
                    let lent = Resource::new_borrow(owned.rep());
                    let spans = functions
                        .call_select(&mut *store, &connection, &account, lent)
                        .await?;
                    store.data_mut().table.delete(owned)?;
                    Ok(spans)
                })
            })
            .await?;
        Ok(form::result(&answer, |spans| form::spans(spans)))
    }

    async fn open(&mut self, call: &Call) -> Asked {
        let asked: Open = read_as(call)?;
        let functions = self.plugin.compiled.roles.store.clone();
        let functions = functions.ok_or_else(|| self.missing(Role::Store))?;
        let account = asked.account.into();
        let actor = self.actor(call).await?;
        let (functions, opened) = actor
            .instance
            .call("store.open", |store, guest| {
                Box::pin(async move {
                    let functions = functions.load(&mut *store, guest)?;
                    let opened = functions.maildrop().call_open(store, &account).await?;
                    Ok((functions, opened))
                })
            })
            .await?;
        let answer = form::result(&opened, |_| json!("open"));
        if let Ok(maildrop) = opened {
            actor.store = Some((functions, maildrop));
        }
        Ok(answer)
    }

    async fn store(&mut self, call: &Call) -> Asked {
        let actor = self.actor(call).await?;
        let Some((functions, maildrop)) = actor.store.clone() else {
            let why = "the maildrop was not opened";
            return Err(Unasked::Recording(why.to_owned()));
        };
        let instance = &mut actor.instance;
        Ok(match call.call.as_str() {
            "store.stamp" => {
                let answer = instance.call("store.stamp", |store, _| {
                    Box::pin(async move { functions.maildrop().call_stamp(store, maildrop).await })
                });
                form::result(&answer.await?, |stamp| form::value(stamp))
            }
            "store.listing" => {
                let answer = instance.call("store.listing", |store, _| {
                    Box::pin(
                        async move { functions.maildrop().call_listing(store, maildrop).await },
                    )
                });
                form::result(&answer.await?, form::listing)
            }
            "store.changes" => {
                let memo = text(call, "memo")?;
                let answer = instance.call("store.changes", |store, _| {
                    Box::pin(async move {
                        let guest = functions.maildrop();
                        guest.call_changes(store, maildrop, &memo).await
                    })
                });
                form::result(&answer.await?, form::changes)
            }
            "store.remove" => {
                let names = call.asked["names"].as_array().cloned().unwrap_or_default();
                let names = names.iter().map(|name| name.as_str().map(str::to_owned));
                let names: Option<Vec<String>> = names.collect();
                let names = names.ok_or_else(|| damaged(call))?;
                let answer = instance.call("store.remove", |store, _| {
                    Box::pin(async move {
                        let guest = functions.maildrop();
                        guest.call_remove(store, maildrop, &names).await
                    })
                });
                form::result(&answer.await?, |()| json!("removed"))
            }
            _ => {
                let name = text(call, "name")?;
                let answer = instance.call("store.content", |store, _| {
                    Box::pin(async move {
                        let guest = functions.maildrop();
                        guest.call_content(store, maildrop, &name).await
                    })
                });
                let answer = answer.await?;
                let number = match &call.answered {
                    Answered::Answered(then) => then["reader"].as_u64().unwrap_or_default(),
                    Answered::Failed(_) => 0,
                };
                if let Ok(wit::Content::Reader(reader)) = &answer {
                    actor.readers.insert(number, *reader);
                }
                form::result(&answer, |content| form::content(content, number, whole))
            }
        })
    }

    async fn read(&mut self, call: &Call) -> Asked {
        let number = call.asked["reader"].as_u64();
        let limit = call.asked["limit"].as_u64();
        let limit = limit.and_then(|limit| u32::try_from(limit).ok());
        let (Some(number), Some(limit)) = (number, limit) else {
            return Err(damaged(call));
        };
        let actor = self.actor(call).await?;
        let reader = actor.readers.get(&number).copied();
        let (Some(reader), Some((functions, _))) = (reader, actor.store.clone()) else {
            let why = "there is no reader: the content came otherwise this time";
            return Err(Unasked::Recording(why.to_owned()));
        };
        let answer = actor
            .instance
            .call("store.reader.read", |store, _| {
                Box::pin(async move { functions.reader().call_read(store, reader, limit).await })
            })
            .await?;
        Ok(form::result(&answer, |octets| whole(octets)))
    }
}

fn whole(octets: &[u8]) -> Value {
    let kept = restante_roles::recording::Octets(octets.to_owned());
    json!({ "octets": octets.len(), "base64": kept })
}

/// A maildrop with the files that were there, as far as directories were scanned,
/// and nothing in them: enough to rename and remove. None: no store was recorded,
/// or it had none.
fn maildrop(calls: &[&Call], scratch: &Path) -> Option<PathBuf> {
    calls.iter().find(|call| call.call == "store.open")?;
    let mut made = 0;
    for host in calls.iter().flat_map(|call| &call.host) {
        if host.call != "files.scan" {
            continue;
        }
        let directory = below(scratch, host.asked["directory"].as_str()?)?;
        // What cannot be made is missed by the plugin, which says so.
        let _ = fs::create_dir_all(&directory);
        let names = host.answered["ok"]["names"].as_array();
        for name in names.into_iter().flatten().filter_map(Value::as_str) {
            made += 1;
            if made > FILES {
                return Some(scratch.to_owned());
            }
            if let Some(path) = below(&directory, name) {
                let _ = fs::File::create(path);
            }
        }
    }
    Some(scratch.to_owned())
}

/// A path below a folder that does not lead out of it.
fn below(folder: &Path, path: &str) -> Option<PathBuf> {
    let path = Path::new(path);
    let plain = path
        .components()
        .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    plain.then(|| folder.join(path))
}

//! Copies a maildrop into an engine: read as a session reads it, through its own store plugin,
//! written natively, since the contract has no way for a plugin to append, and compared as a
//! session sees both.
//!
//! A message is known again by its unique-id, and none is removed anywhere. So a copy that was
//! broken off, however that was, goes on when it is begun again.

mod compare;
mod error;
mod party;
mod transfer;

use std::sync::Arc;

use futures_core::future::BoxFuture;
use restante_config as config;
use restante_config::{Config, EngineKind, MaildropGrant, MissingMaildrop};
use restante_engine::Problem;
use restante_roles::backend::{Account, Maildrop};
use restante_roles::content::Source;
use restante_roles::metrics::Metrics;
use restante_roles::shared_holds::{SharedHold, SharedHolds};
use restante_wasm::{Compiler, EngineMaildrop, MailEngine};

use crate::mail_engines::Engines;
use crate::maildir_settings;
use crate::start_error::StartError;
use compare::{Listed, Whole};
pub use error::CopyError;
use error::MessageError;
use party::{Party, Workshop};
use transfer::{Message, Stored};

/// What an engine calls the node that copies, after the server's own name.
const ROLE: &str = "copy";

/// What an operator does where the user has no maildrop, or no mail in it.
const SEE_ACCOUNT: &str = ": see whether USER, --maildrop and --attribute are right; if the user \
     has had no mail yet, add --allow-empty";

/// What is to be copied, and where to.
#[derive(Debug)]
pub struct Order {
    /// The configuration of the server.
    pub config: Config,
    /// Who compiles components.
    pub compiler: Compiler,
    /// Name of the tenant.
    pub tenant: String,
    /// The user, as an authenticator of the tenant would have it.
    pub account: Account,
    /// Name of the plugin that has the mail.
    pub from: String,
    /// Name of the plugin whose maildrops are in an engine.
    pub to: String,
    /// Whether it is done, or only found out what there is to do.
    pub is_wanted: bool,
    /// Whether the user may have no mail, or no maildrop, in `from`.
    pub allows_empty: bool,
    /// Whether it is done also where messages were removed from `to`, and might be brought back.
    pub restores_removed: bool,
}

/// How far a copy has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Nothing that processes share keeps sessions out of the maildrop that is copied.
    Unprotected,
    /// A message was copied.
    Copied {
        /// So many so far.
        messages: usize,
        /// So many there are to copy.
        of: usize,
    },
    /// A message was found to be the same in both.
    Compared {
        /// So many so far.
        messages: usize,
        /// So many there are.
        of: usize,
    },
}

/// Whom a copy tells how far it has come.
pub type Tell<'a> = dyn FnMut(Event) + Send + 'a;

/// What came of a copy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Copied {
    /// Messages that were copied, or that would be.
    pub messages: u64,
    /// Their octets, as LIST has them.
    pub octets: u64,
    /// Messages that were there already.
    pub already: u64,
    /// Messages that are there and not in what was copied.
    pub others: u64,
    /// Messages that have the time of receipt of the one in front, since their own is not known
    /// or is an earlier one.
    pub moved: u64,
    /// Messages that are in another order than in what was copied, among those that came in the
    /// same second or have the time of another one.
    pub reordered: u64,
}

/// Copies a maildrop, or finds out what there is to copy. Ends early when `stop` comes to an
/// end.
///
/// # Errors
/// It did not come to its end: what was copied by then stays.
pub fn copy<'a>(
    order: &'a Order,
    stop: BoxFuture<'a, ()>,
    tell: &'a mut Tell<'_>,
) -> BoxFuture<'a, Result<Copied, CopyError>> {
    Box::pin(async move {
        let metrics = Metrics::new();
        let engines = match order.is_wanted {
            true => Engines::beside_the_server(&order.config, ROLE, &metrics),
            // A node's name would end a copy that is under way.
            false => Engines::only_looked_at(&order.config, &metrics),
        };
        let done = tokio::select! {
            done = run(order, &engines, metrics, tell) => done,
            () = stop => Err(CopyError::new(
                "stopped by a signal. Nothing is lost: run this again, and it goes on",
            )),
        };
        // Whatever became of it, both maildrops are free.
        engines.leave().await;
        done
    })
}

async fn run(
    order: &Order,
    engines: &Engines,
    metrics: Arc<Metrics>,
    tell: &mut Tell<'_>,
) -> Result<Copied, CopyError> {
    let config = &order.config;
    let tenant = config.tenants.iter().find(|one| one.name == order.tenant);
    let tenant =
        tenant.ok_or_else(|| CopyError::new(format!("there is no [tenant.{}]", order.tenant)))?;
    let (from, to) = (section(config, &order.from)?, section(config, &order.to)?);
    let Some(engine) = to.grants.maildrop.as_ref().and_then(MaildropGrant::engine) else {
        return Err(CopyError::new(format!(
            "mail can be copied only into an engine, and the maildrops of `{}` are in none: name a plugin with maildrop = \"engine:NAME/…\" in its grants, such as one with component = \"builtin:spool\"",
            order.to
        )));
    };
    let workshop = Workshop::new(config, order.compiler.clone(), engines, metrics).await?;
    // The mail is read, and nothing about it is changed.
    let mut from = maildir_settings::marking_nothing(from.clone());
    from.grants.create_maildrop = false;
    from.grants.missing_maildrop = match order.allows_empty {
        true => MissingMaildrop::Empty,
        false => MissingMaildrop::Refuse,
    };
    let from = workshop.party(from, tenant, &order.account).await?;
    let to = workshop.party(to.clone(), tenant, &order.account).await?;
    let mail = engines.mail(engine).await;
    let mail = mail.map_err(|problem| unusable(config, engine, &problem))?;
    let place = to.place.clone().ok_or_else(|| {
        CopyError::new(format!("the maildrops of `{}` are in no engine", order.to))
    })?;
    if from.place.as_ref().map(ToString::to_string) == Some(place.to_string()) {
        return Err(CopyError::new(format!(
            "`{}` and `{}` have one and the same maildrop, {place}: there is nothing to copy",
            order.from, order.to
        )));
    }

    let found = to.find().await?;
    let mut holds = Vec::new();
    if order.is_wanted {
        // Its engine's own.
        let hold = to.hold_of(&*found, tenant, None)?;
        if let Some(hold) = hold {
            holds.push(to.hold(hold).await?);
        }
    }
    let mut target = to.open(found).await?;
    if from.place.is_none() && config.holds().is_none() {
        tell(Event::Unprotected);
    }
    let found = from.find().await;
    let found = found.map_err(|error| match order.allows_empty {
        true => error,
        false => error.with(SEE_ACCOUNT),
    })?;
    if order.is_wanted {
        let shared = match &from.place {
            Some(_) => None,
            None => shared_holds(config, engines).await?,
        };
        let hold = from.hold_of(&*found, tenant, shared)?;
        if let Some(hold) = hold {
            holds.push(from.hold(hold).await?);
        }
    }
    let mut source = from.open(found).await?;

    let listed = source.listing().await.map_err(|why| from.error(&why))?;
    let there = target.listing().await.map_err(|why| to.error(&why))?;
    drop(target);
    let listed = Listed {
        plugin: &order.from,
        entries: &listed,
    };
    let there = Listed {
        plugin: &order.to,
        entries: &there,
    };
    if listed.len() == 0 && there.len() == 0 && !order.allows_empty {
        return Err(CopyError::new(format!(
            "`{}` has no messages for {:?}, and there is nothing to copy{SEE_ACCOUNT}",
            order.from, order.account.user
        )));
    }
    let copying = Copying {
        listed: &listed,
        times: listed.times_in_order(),
        missing: missing(&listed, &there)?,
        holds: &holds,
    };
    let target = Target {
        engine: &mail,
        place: &place,
    };
    if !copying.missing.is_empty() && !order.restores_removed {
        let has_had_more = target.has_had_more().await;
        if has_had_more.map_err(|problem| unusable(config, engine, &problem))? {
            return Err(removed(order, copying.missing.len()));
        }
    }
    let mut copied = copying.count(&there);
    if order.is_wanted {
        let read = copying.write(&mut *source, &target, tell).await?;
        let compared = copying.compare(&mut *source, &to, read, tell).await?;
        copied.others = compared.others;
        copied.reordered = compared.reordered;
    }
    drop(source);
    for hold in holds {
        hold.release().await;
    }
    Ok(copied)
}

fn section<'c>(config: &'c Config, name: &str) -> Result<&'c config::Plugin, CopyError> {
    let named = config.plugins.iter().find(|plugin| plugin.name == name);
    named.ok_or_else(|| CopyError::new(format!("there is no [plugin.{name}]")))
}

fn unusable(config: &Config, engine: &str, problem: &Problem) -> CopyError {
    let mut named = config.engines.iter().filter(|one| one.name == engine);
    let is_one_process_es = named.any(|one| matches!(one.kind, EngineKind::Embedded { .. }));
    let mend = match is_one_process_es {
        true => ". If the server has it open, stop the server while mail is copied",
        false => "",
    };
    CopyError::new(format!("[engine.{engine}] cannot be used: {problem}{mend}"))
}

/// Where servers hold maildrops that have no place of their own for that, if they share any.
async fn shared_holds(
    config: &Config,
    engines: &Engines,
) -> Result<Option<Arc<dyn SharedHolds>>, CopyError> {
    match engines.holds(config).await {
        Ok(holds) => Ok(holds.map(|holds| holds as Arc<dyn SharedHolds>)),
        Err(StartError::Engine { engine, problem }) => Err(unusable(config, &engine, &problem)),
        Err(error) => Err(CopyError::new(error.to_string())),
    }
}

/// Messages were removed from the copy, and as many are missing there.
fn removed(order: &Order, missing: usize) -> CopyError {
    let Order { from, to, .. } = order;
    CopyError::new(format!(
        "messages of `{from}` that are not in `{to}`: {missing}; and messages were removed from `{to}`: if its user works with `{to}` already, a copy would bring back what was removed there. Nothing was copied. If all that is missing is to come to `{to}`, add --restore-removed"
    ))
}

/// The positions of what is not there yet.
fn missing(listed: &Listed<'_>, there: &Listed<'_>) -> Result<Vec<usize>, CopyError> {
    let places = compare::places(listed, there)?.into_iter().enumerate();
    let missing = places.filter(|(_, place)| place.is_none());
    Ok(missing.map(|(position, _)| position).collect())
}

/// What a comparison has found that is no mistake.
struct Compared {
    /// Messages that the copy has beside.
    others: u64,
    /// Messages that are in another order.
    reordered: u64,
}

/// Where mail is written to.
struct Target<'a> {
    engine: &'a MailEngine,
    place: &'a EngineMaildrop,
}

impl Target<'_> {
    /// Whether there were messages in it that are gone: its version counts each change, and one
    /// more than messages are there was no delivery.
    async fn has_had_more(&self) -> Result<bool, Problem> {
        let state = self.engine.index.state(&self.place.folder("")?).await?;
        Ok(state.version > state.messages)
    }
}

/// A maildrop that is copied.
struct Copying<'a> {
    listed: &'a Listed<'a>,
    /// When each message is said to have come.
    times: Vec<u64>,
    /// Positions, rising.
    missing: Vec<usize>,
    /// On both maildrops.
    holds: &'a [Box<dyn SharedHold>],
}

impl Copying<'_> {
    /// What there is to do, beside what is `there`.
    fn count(&self, there: &Listed<'_>) -> Copied {
        let listed = self.listed;
        let missing = self.missing.iter();
        let already = listed.len() - self.missing.len();
        let moved = missing
            .clone()
            .filter(|&&position| self.times.get(position) != Some(&listed.received(position)));
        Copied {
            messages: missing.len() as u64,
            octets: missing
                .clone()
                .map(|&position| listed.octets(position))
                .sum(),
            already: already as u64,
            others: (there.len() - already) as u64,
            moved: moved.count() as u64,
            reordered: 0,
        }
    }

    /// That no session has either maildrop, by what processes share.
    async fn check(&self) -> Result<(), CopyError> {
        for hold in self.holds {
            hold.check().await?;
        }
        Ok(())
    }

    /// Copies what is missing, in its order. What was read of each message, by position.
    async fn write(
        &self,
        source: &mut dyn Maildrop,
        target: &Target<'_>,
        tell: &mut Tell<'_>,
    ) -> Result<Vec<Option<Stored>>, CopyError> {
        let mut read = vec![None; self.listed.len()];
        for (messages, &position) in (1..).zip(&self.missing) {
            self.check().await?;
            let written = self.write_one(source, target, position).await;
            if let Err(MessageError::Octets { .. }) = &written {
                // What its store remembers of it is wrong.
                source.doubt(position).await;
            }
            let named = self.listed.named(position);
            let written = written.map_err(|error| named.error(&error))?;
            if let Some(read) = read.get_mut(position) {
                *read = Some(written);
            }
            tell(Event::Copied {
                messages,
                of: self.missing.len(),
            });
        }
        Ok(read)
    }

    async fn write_one(
        &self,
        source: &mut dyn Maildrop,
        target: &Target<'_>,
        position: usize,
    ) -> Result<Stored, MessageError> {
        let message = Message {
            unique_id: self.listed.named(position).unique_id,
            octets: self.listed.octets(position),
            surrogate: self.listed.surrogate(position),
            received: self.times.get(position).copied().unwrap_or_default(),
        };
        let mut content = opened(source, position).await?;
        let stored = match content.length_left() {
            Some(stored) => stored,
            // A blob has a length before its first octet, so it is read twice.
            None => {
                let stored = transfer::read(content).await?.octets;
                content = opened(source, position).await?;
                stored
            }
        };
        transfer::append(target.engine, target.place, &message, content, stored).await
    }

    /// Compares both maildrops as a session sees them.
    async fn compare(
        &self,
        source: &mut dyn Maildrop,
        to: &Party,
        read: Vec<Option<Stored>>,
        tell: &mut Tell<'_>,
    ) -> Result<Compared, CopyError> {
        // Held all the while.
        let mut target = to.open(to.find().await?).await?;
        let entries = target.listing().await.map_err(|why| to.error(&why))?;
        let there = Listed {
            plugin: &to.name,
            entries: &entries,
        };
        let Whole { places, reordered } = compare::whole(self.listed, &there, &self.times)?;
        for (position, (place, read)) in places.iter().zip(read).enumerate() {
            let named = self.listed.named(position);
            let read = match read {
                Some(read) => read,
                None => stored(source, position)
                    .await
                    .map_err(|error| named.error(&error))?,
            };
            let copy = stored(&mut *target, *place).await;
            let copy = copy.map_err(|error| there.named(*place).error(&error))?;
            if read != copy {
                return Err(named.error(&format_args!(
                    "{} has other octets: it has {} as stored, and this one {}. {}",
                    there.named(*place),
                    copy.octets,
                    read.octets,
                    compare::begin_anew(there.plugin)
                )));
            }
            tell(Event::Compared {
                messages: position + 1,
                of: places.len(),
            });
        }
        self.check().await?;
        drop(target);
        Ok(Compared {
            others: (there.len() - places.len()) as u64,
            reordered,
        })
    }
}

/// A message, from its first octet on.
async fn opened(maildrop: &mut dyn Maildrop, position: usize) -> Result<Source, MessageError> {
    let content = maildrop.content(position).await;
    Ok(Source::new(content.map_err(MessageError::Store)?))
}

/// A message, read to its end.
async fn stored(maildrop: &mut dyn Maildrop, position: usize) -> Result<Stored, MessageError> {
    Ok(transfer::read(opened(maildrop, position).await?).await?)
}

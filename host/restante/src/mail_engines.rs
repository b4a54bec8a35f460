//! The engines of a server: each is opened once, when it is first needed, and then stays open
//! for all generations. The server is a member of each that is open, since an engine's index
//! removes by that engine's holds.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use restante_config::{Config, Engine, EngineKind, MaildropGrant};
use restante_engine::s3::MAX_REMOVALS;
use restante_engine::{CALL_DEADLINE, Folder, MAX_CONNECTIONS, Problem, Tables};
use restante_roles::metrics::{HoldCounts, HoldFailure, Metrics, Presence};
use restante_roles::shared_holds::{NotHeld, Successor, Visit};
use restante_wasm::{CallPlaces, EngineAccess, EnginePlaces, MailEngine, SharedEngine, TakenHold};
use tracing::{info, warn};

use crate::engine_bucket::FirstBucket;
use crate::engines::{self, FOR_INLINE, Parts};
use crate::garbage::{self, Collectable};
use crate::on_demand::OnDemand;
use crate::shared_holds::EngineHolds;
use crate::start_error::StartError;

/// How long a start waits for the engine without which nobody could log in.
const START_PATIENCE: Duration = Duration::from_secs(60);

/// What an embedded engine knows a server by that has no name.
const ONLY_NODE: &str = "local";

/// Calls of an embedded engine's index at once: what reads, and as many that wait in front of
/// it.
const EMBEDDED_AT_ONCE: usize = 4;
/// Connections to a PostgreSQL engine that no maildrop's calls take: logins and logouts have
/// them, for holds.
const FOR_HOLDS: usize = 4;

/// What a process does with the engines that it opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// It is their server, and removes their garbage.
    Serve,
    /// It takes holds beside the server, and decides nothing for servers.
    Work,
    /// It only reads: it is no member of any, and can hold nothing.
    Look,
}

/// The engines of a server, as its configuration had them when it started.
#[derive(Debug, Default)]
pub struct Engines {
    all: Vec<Arc<OneEngine>>,
    shared: Vec<Arc<SharedEngine>>,
}

impl Engines {
    /// Those of a configuration. Opens nothing.
    pub fn of(config: &Config, metrics: &Metrics) -> Arc<Self> {
        Self::joined_as(node(config), config, metrics, Purpose::Serve)
    }

    /// Those of a configuration, for a process that is another node than its server: two
    /// processes of one name would take each other's holds. It makes no engine, notes no bucket,
    /// and removes no garbage.
    pub(crate) fn beside_the_server(config: &Config, role: &str, metrics: &Metrics) -> Arc<Self> {
        // No name of a server's has a "/" in it.
        let node = format!("{}/{role}", node(config));
        Self::joined_as(&node, config, metrics, Purpose::Work)
    }

    /// Those of a configuration, for a process that changes nothing in them and holds nothing.
    pub(crate) fn only_looked_at(config: &Config, metrics: &Metrics) -> Arc<Self> {
        Self::joined_as(node(config), config, metrics, Purpose::Look)
    }

    fn joined_as(node: &str, config: &Config, metrics: &Metrics, purpose: Purpose) -> Arc<Self> {
        let mut engines = Engines::default();
        let named = with_mail(config);
        for section in &config.engines {
            let engine = Arc::new(OneEngine {
                section: section.clone(),
                node: node.to_owned(),
                purpose,
                open: OnDemand::new(close),
                has_mail: named.contains(&section.name.as_str()),
                presence: Presence::new(metrics.holds()),
                counts: metrics.holds().clone(),
            });
            engines.shared.push(SharedEngine::new(
                &section.name,
                format!("{:?} {:?}", section.kind, section.s3),
                engine.clone(),
                places(section),
                metrics.engine(&section.name),
            ));
            engines.all.push(engine);
        }
        Arc::new(engines)
    }

    /// For grants.
    pub fn shared(&self) -> &[Arc<SharedEngine>] {
        &self.shared
    }

    /// The holds that this configuration's `holds` names, opened now. None: it names none, or
    /// engines are only looked at.
    ///
    /// # Errors
    /// The engine cannot be used.
    pub(crate) async fn holds(
        &self,
        config: &Config,
    ) -> Result<Option<Arc<EngineHolds>>, StartError> {
        let Some((section, _)) = config.holds() else {
            return Ok(None);
        };
        let named = self.all.iter().find(|engine| engine.section == *section);
        let opened = match named {
            Some(engine) => engine.get(START_PATIENCE).await,
            None => Err(Problem::invalid("it is not among this server's engines")),
        };
        match opened {
            Ok(opened) => Ok(opened.holds.clone()),
            Err(problem) => Err(StartError::Engine {
                engine: section.name.clone(),
                problem,
            }),
        }
    }

    /// Opens those that plugins of this configuration have maildrops in, without waiting for
    /// that: what an earlier process held is free as soon as this one has joined.
    pub(crate) fn begin(&self, config: &Config) {
        let named = with_mail(config);
        for engine in &self.all {
            if named.contains(&engine.section.name.as_str()) {
                let engine = engine.clone();
                tokio::spawn(async move {
                    if let Err(problem) = engine.get(START_PATIENCE).await {
                        warn!(
                            engine = engine.section.name, %problem,
                            "an engine cannot be used yet: who has a maildrop in it cannot log in until it can"
                        );
                    }
                });
            }
        }
    }

    /// The mail of the engine of this name, opened first if it is not open.
    ///
    /// # Errors
    /// It cannot be used.
    pub(crate) async fn mail(&self, name: &str) -> Result<MailEngine, Problem> {
        let named = self.all.iter().find(|engine| engine.section.name == name);
        match named {
            Some(engine) => {
                let opened = engine.get(START_PATIENCE).await?;
                Ok(opened.store.mail.clone())
            }
            None => Err(Problem::invalid("it is not in the configuration")),
        }
    }

    /// The server ends: what it held in any of them is free.
    pub(crate) async fn leave(&self) {
        for engine in &self.all {
            let opened = engine.open.opened();
            if let Some(holds) = opened.as_ref().and_then(|opened| opened.holds.as_ref()) {
                holds.leave().await;
            }
        }
    }
}

/// What engines know the server of a configuration by.
fn node(config: &Config) -> &str {
    config.server.node.as_deref().unwrap_or(ONLY_NODE)
}

/// The engines that plugins have maildrops in, by their names.
pub fn with_mail(config: &Config) -> Vec<&str> {
    let plugins = config.plugins.iter();
    let grants = plugins.filter_map(|plugin| plugin.grants.maildrop.as_ref());
    grants.filter_map(MaildropGrant::engine).collect()
}

fn places(engine: &Engine) -> EnginePlaces {
    // Requests to a bucket are none of the index's connections, and some are for garbage.
    let in_bucket = engine.s3.as_ref().map(|_| CallPlaces {
        at_once: MAX_CONNECTIONS - MAX_REMOVALS,
        has_one_writer: false,
    });
    match &engine.kind {
        EngineKind::Embedded { .. } => EnginePlaces {
            index: CallPlaces {
                at_once: EMBEDDED_AT_ONCE,
                has_one_writer: true,
            },
            blobs: in_bucket.or(Some(CallPlaces {
                at_once: MAX_CONNECTIONS,
                has_one_writer: false,
            })),
        },
        EngineKind::Postgres(_) => EnginePlaces {
            index: CallPlaces {
                at_once: match in_bucket {
                    Some(_) => MAX_CONNECTIONS - FOR_HOLDS - FOR_INLINE,
                    None => MAX_CONNECTIONS - FOR_HOLDS,
                },
                has_one_writer: false,
            },
            blobs: in_bucket,
        },
    }
}

/// An engine, open or not.
#[derive(Debug)]
struct OneEngine {
    section: Engine,
    /// What it knows this server by.
    node: String,
    purpose: Purpose,
    open: Arc<OnDemand<OpenEngine>>,
    /// A plugin has maildrops in it.
    has_mail: bool,
    /// While it is not open.
    presence: Presence,
    counts: Arc<HoldCounts>,
}

/// An engine that is open.
#[derive(Debug)]
struct OpenEngine {
    /// As long as somebody has it, garbage is removed.
    store: Arc<Collectable>,
    /// Those of this process as a member. None: it only looks.
    holds: Option<Arc<EngineHolds>>,
}

impl OneEngine {
    async fn get(&self, patience: Duration) -> Result<Arc<OpenEngine>, Problem> {
        let open = || {
            let (section, node) = (self.section.clone(), self.node.clone());
            let counts = self.counts.clone();
            // One that is made anew in the place of one that is away has no mail, and would
            // tell all its users so.
            let tables = match self.has_mail || self.purpose != Purpose::Serve {
                true => Tables::Expected,
                false => Tables::Made,
            };
            let purpose = self.purpose;
            async move { OpenEngine::open(&section, &node, counts, tables, purpose).await }
        };
        let opened = self.open.get(patience, open).await.unwrap_or_else(|| {
            Err(Problem::unavailable(format!(
                "it could not be opened within {} s: see whether its server, disk or mount answers",
                patience.as_secs()
            )))
        });
        self.presence.set_away(opened.is_err());
        opened
    }
}

impl OpenEngine {
    async fn open(
        section: &Engine,
        node: &str,
        counts: Arc<HoldCounts>,
        tables: Tables,
        purpose: Purpose,
    ) -> Result<Self, Problem> {
        let Parts {
            index,
            holds,
            blobs,
            agreements,
        } = match purpose {
            Purpose::Serve => engines::open(section, tables).await?,
            Purpose::Work => engines::open_beside_the_server(section, FirstBucket::Refused).await?,
            Purpose::Look => engines::open_beside_the_server(section, FirstBucket::Passed).await?,
        };
        let name = &section.name;
        let holds = match purpose {
            Purpose::Serve | Purpose::Work => {
                Some(EngineHolds::join(holds, name, node, counts).await?)
            }
            Purpose::Look => None,
        };
        let store = Arc::new(Collectable {
            mail: MailEngine { index, blobs },
            agreements,
            section: section.clone(),
        });
        if purpose == Purpose::Serve {
            tokio::spawn(garbage::collect(Arc::downgrade(&store)));
        }
        info!(engine = name, "an engine is open");
        Ok(OpenEngine { store, holds })
    }
}

/// Waits for what its threads do, on a thread of its own.
fn close(engine: Arc<OpenEngine>) {
    let closing = thread::Builder::new().name("engine-close".into());
    // Without a thread it is done here.
    let _ = closing.spawn(move || drop(engine));
}

#[async_trait]
impl EngineAccess for OneEngine {
    async fn open(&self) -> Result<MailEngine, Problem> {
        let opened = self.get(CALL_DEADLINE).await?;
        Ok(opened.store.mail.clone())
    }

    async fn hold(
        &self,
        key: &str,
        folders: &[Folder],
        visit: Option<&Visit>,
    ) -> Result<TakenHold, NotHeld> {
        match self.get(CALL_DEADLINE).await {
            Ok(opened) => match &opened.holds {
                Some(holds) => holds.hold(key, folders, visit).await,
                None => Err(NotHeld::Unavailable(
                    "this process only looks at its engines".to_owned(),
                )),
            },
            Err(problem) => {
                self.counts.failed(HoldFailure::Unavailable);
                Err(NotHeld::Unavailable(problem.to_string()))
            }
        }
    }

    async fn ask_holder(&self, node: &str, key: &str, successor: &Successor) -> bool {
        let opened = self.open.opened();
        match opened.as_ref().and_then(|opened| opened.holds.as_ref()) {
            Some(holds) => holds.ask(node, key, successor).await,
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    use restante_engine::Summary;
    use restante_roles::shared_holds::SharedHolds as _;

    use super::*;
    use crate::engines::Condition;

    fn config(server: &str, directory: &Path) -> Config {
        let text = format!(
            "[server]\n{server}\n[engine.mail]\nkind = 'embedded'\ndirectory = {directory:?}\n\
             [listener.l]\naddress = '127.0.0.1:0'\ntls = 'off'\n\
             [plugin.p]\ncomponent = 'builtin:spool'\ngrants.maildrop = 'engine:mail/{{user}}'\n\
             [tenant.t]\nauthenticators = ['p']\nstore = 'p'\n"
        );
        Config::parse(&text, "test.toml".as_ref(), "/".as_ref()).unwrap()
    }

    /// A SQLite file is opened by one, whoever needs it.
    #[tokio::test]
    async fn holds_and_maildrops_of_one_engine_are_one_opened_engine() {
        let directory = tempfile::tempdir().unwrap();
        let config = config("node = 'a'\nholds = 'mail'", directory.path());
        engines::migrate(&config.engines[0]).await.unwrap();
        let metrics = Metrics::new();
        let engines = Engines::of(&config, &metrics);
        let holds = engines.holds(&config).await.unwrap().unwrap();
        let folder = Folder::new("t", "m", "").unwrap();
        let folders = std::slice::from_ref(&folder);
        let taken = engines.all[0]
            .hold("t:k", folders, None)
            .await
            .ok()
            .unwrap();
        let TakenHold { held, hold, states } = taken;
        assert_eq!(states, Some(vec![Summary::default()]));
        assert!(holds.acquire("t:k").await.is_err(), "it has it");
        let mail = EngineAccess::open(&*engines.all[0]).await.unwrap();
        mail.index.remove(&folder, &[], &hold).await.unwrap();
        held.release().await;
        let lost = mail.index.remove(&folder, &[], &hold).await;
        assert_eq!(lost, Err(Problem::Lost));
        drop(holds.acquire("t:k").await.ok().unwrap());
        engines.leave().await;
    }

    #[tokio::test]
    async fn who_is_no_server_makes_no_engine_and_who_looks_holds_nothing() {
        let directories = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let [mail, holds] = [0, 1].map(|at| directories[at].path());
        let server = format!(
            "node = 'a'\nholds = 'holds'\n[engine.holds]\nkind = 'embedded'\ndirectory = {holds:?}"
        );
        let config = config(&server, mail);
        let metrics = Metrics::new();
        let working = Engines::beside_the_server(&config, "work", &metrics);
        let refused = working.holds(&config).await.unwrap_err().to_string();
        assert!(refused.contains("no tables"), "{refused}");
        assert_eq!(std::fs::read_dir(holds).unwrap().count(), 0);
        for engine in &config.engines {
            engines::migrate(engine).await.unwrap();
        }
        let working = Engines::beside_the_server(&config, "work", &metrics);
        let held = working.holds(&config).await.unwrap().unwrap();
        drop(held.acquire("t:k").await.ok().unwrap());
        let looking = Engines::only_looked_at(&config, &metrics);
        looking.mail("mail").await.unwrap();
        let mail = looking
            .all
            .iter()
            .find(|engine| engine.section.name == "mail");
        let refused = mail.unwrap().hold("t:k", &[], None).await.err().unwrap();
        assert!(refused.to_string().contains("only looks"), "{refused}");
        working.leave().await;
    }

    /// All servers go by what is noted.
    #[tokio::test]
    async fn a_server_notes_the_bucket_and_who_works_beside_it_waits_for_that() {
        for is_server in [false, true] {
            let directory = tempfile::tempdir().unwrap();
            let key = directory.path().join("key");
            std::fs::write(&key, "aws_access_key_id = k\naws_secret_access_key = s\n").unwrap();
            let private = std::fs::Permissions::from_mode(0o600);
            std::fs::set_permissions(&key, private).unwrap();
            let bucket = format!(
                "[engine.mail.s3]\nendpoint = 'http://127.0.0.1:9'\nbucket = 'b'\ncredentials-file = {key:?}"
            );
            let config = config(&bucket, directory.path());
            let mut without = config.engines[0].clone();
            without.s3 = None;
            engines::migrate(&without).await.unwrap();
            let metrics = Metrics::new();
            let engines = match is_server {
                true => Engines::of(&config, &metrics),
                false => Engines::beside_the_server(&config, "work", &metrics),
            };
            let opened = engines.mail("mail").await;
            let found = engines::look(&without).await.unwrap();
            match is_server {
                true => assert!(matches!(found, Condition::OtherBucket(_)), "{found:?}"),
                false => assert_eq!(found, Condition::Ready),
            }
            // What it would write there nobody else would look for.
            assert_eq!(opened.is_ok(), is_server);
            engines.leave().await;
        }
    }

    #[tokio::test]
    async fn an_engine_that_is_away_is_asked_again() {
        let directory = tempfile::tempdir().unwrap();
        let there = directory.path().join("there");
        std::fs::create_dir(&there).unwrap();
        let config = config("", &there);
        std::fs::remove_dir(&there).unwrap();
        let metrics = Metrics::new();
        let engines = Engines::of(&config, &metrics);
        assert!(engines.holds(&config).await.unwrap().is_none());
        let refused = engines.all[0].hold("k", &[], None).await.err().unwrap();
        assert!(refused.to_string().contains("there"), "{refused}");
        assert_eq!(metrics.holds().engines_away(), 1);
        // Empty, as the directory is that a file system is mounted on.
        std::fs::create_dir(&there).unwrap();
        let refused = engines.all[0].hold("k", &[], None).await.err().unwrap();
        assert!(refused.to_string().contains("no tables"), "{refused}");
        assert_eq!(std::fs::read_dir(&there).unwrap().count(), 0);
        engines::migrate(&config.engines[0]).await.unwrap();
        drop(engines.all[0].hold("k", &[], None).await.ok().unwrap());
        assert_eq!(metrics.holds().engines_away(), 0);
        assert!(there.join("blobs").is_dir());
    }
}

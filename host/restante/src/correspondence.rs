//! What this server tells others with its heartbeats, and what it does with what they tell: its
//! sessions, what failed logins cost, and sessions that an operator wants to end from another
//! server.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use restante_engine::membership::{self, Membership};
use restante_engine::{
    Correspondent, Exchanged, MAX_REPORT_ROWS, News, NodeSession, Penalty, Problem, Report,
    SessionChoice,
};
use restante_roles::address::Network;
use restante_roles::metrics::HoldCounts;
use restante_server::listener::CurrentServing;
use restante_server::nodes::{OtherNodes, SessionElsewhere};
use restante_server::penalty::{Backoff, Debt, Penalties};
use restante_server::sessions::{Changed, Seen, Sessions, Which};
use tracing::{info, warn};

/// What this server tells and hears.
pub(crate) struct Correspondence {
    sessions: Arc<Sessions>,
    penalties: Arc<Penalties>,
    /// How penalties grow now.
    serving: CurrentServing,
    counts: Arc<HoldCounts>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// All sessions have to be told, since it is not known what others know.
    is_whole_due: bool,
    /// What was told of failed logins, until it is known to be heard.
    debts: Vec<Debt>,
    /// What was asked for and done.
    heard: Vec<u64>,
    last_penalty: u64,
}

impl Correspondence {
    /// Nothing was told yet.
    pub(crate) fn new(
        sessions: &Arc<Sessions>,
        penalties: &Arc<Penalties>,
        serving: CurrentServing,
        counts: &Arc<HoldCounts>,
    ) -> Arc<Self> {
        penalties.tell_others();
        Arc::new(Correspondence {
            sessions: Arc::clone(sessions),
            penalties: Arc::clone(penalties),
            serving,
            counts: Arc::clone(counts),
            state: Mutex::new(State {
                is_whole_due: true,
                debts: Vec::new(),
                heard: Vec::new(),
                last_penalty: 0,
            }),
        })
    }

    fn growth(&self) -> Backoff {
        (self.serving)().settings.failure_delay
    }

    fn hear(&self, news: News) {
        self.counts.dropped_news(news.left_out);
        let growth = self.growth();
        for penalty in &news.penalties {
            // One of a newer version may tell what this one does not know.
            if let Some(network) = Network::parse(&penalty.network) {
                let debt = Debt {
                    network,
                    failures: penalty.failures,
                    age: penalty.age,
                    remaining: penalty.remaining,
                };
                self.penalties.learn(&debt, &growth);
            }
        }
        let mut state = self.state.lock();
        state.debts.clear();
        state.heard = news.asked.iter().map(|(number, _)| *number).collect();
        state.last_penalty = news.last_penalty;
        state.is_whole_due |= news.is_report_lost;
        drop(state);
        if news.is_report_lost {
            // What was told of failed logins went with it.
            self.penalties.tell_again(&growth);
        }
        for (_, choice) in news.asked {
            let which = match choice {
                SessionChoice::Holder {
                    key,
                    fence,
                    tenant,
                    user,
                    by,
                } => {
                    let is_held =
                        |name: &str, held: u64| held == fence && membership::key(name) == key;
                    self.sessions.end_holder(&tenant, &user, is_held, &by);
                    continue;
                }
                SessionChoice::Session(id) => Which::Session(id),
                SessionChoice::User { user, tenant } => Which::User(user, tenant),
                SessionChoice::Tenant(tenant) => Which::Tenant(tenant),
            };
            let ended = self.sessions.kick(&which);
            if !ended.is_empty() {
                info!(
                    sessions = ended.len(),
                    ?which,
                    "sessions are ended by an operator, who asked at another server"
                );
            }
        }
    }

    /// It is not known what others know: nothing is kept for them until they are told again.
    fn lose(&self) {
        self.sessions.tell_nothing();
        let mut state = self.state.lock();
        state.is_whole_due = true;
        let debts = std::mem::take(&mut state.debts);
        drop(state);
        self.penalties.put_back(&debts);
    }
}

impl fmt::Debug for Correspondence {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Correspondence")
            .field("state", &*self.state.lock())
            .finish_non_exhaustive()
    }
}

impl Correspondent for Correspondence {
    fn report(&self) -> Report {
        let growth = self.growth();
        let (debts, dropped) = self.penalties.take_changes(MAX_REPORT_ROWS, &growth);
        self.counts.dropped_news(dropped);
        let mut state = self.state.lock();
        let is_whole = std::mem::take(&mut state.is_whole_due);
        if is_whole {
            self.sessions.tell_all();
        }
        let Changed { begun, ended } = self.sessions.take_changes(MAX_REPORT_ROWS);
        let penalties = debts.iter().map(|debt| Penalty {
            network: debt.network.to_string(),
            failures: debt.failures,
            age: debt.age,
            remaining: debt.remaining,
        });
        let penalties = penalties.collect();
        state.debts = debts;
        Report {
            is_deaf: false,
            is_whole,
            begun: begun.into_iter().filter_map(told).collect(),
            ended,
            penalties,
            heard: state.heard.clone(),
            last_penalty: state.last_penalty,
        }
    }

    fn answered(&self, exchanged: Option<Exchanged>) {
        match exchanged {
            Some(Exchanged::News(news)) => self.hear(news),
            Some(Exchanged::Failed(_)) => {
                self.counts.news_failed();
                self.lose();
            }
            None => self.lose(),
        }
    }
}

/// None: nobody is logged in.
fn told(seen: Seen) -> Option<NodeSession> {
    Some(NodeSession {
        node: String::new(),
        id: seen.session,
        tenant: seen.tenant?,
        user: seen.user?,
        client: seen.client.to_string(),
        listener: seen.listener,
        tls: seen.tls,
        since: seen.since,
    })
}

/// The other nodes of an engine.
#[derive(Debug)]
pub(crate) struct EngineNodes {
    membership: Arc<Membership>,
}

impl EngineNodes {
    pub(crate) fn new(membership: &Arc<Membership>) -> Arc<Self> {
        Arc::new(EngineNodes {
            membership: Arc::clone(membership),
        })
    }
}

#[async_trait]
impl OtherNodes for EngineNodes {
    /// A heartbeat may have just gone, and another one take as long as it may.
    fn hears_within(&self) -> Duration {
        2 * self.membership.heartbeat()
    }

    async fn sessions(&self) -> Result<Vec<SessionElsewhere>, String> {
        let told = self.membership.sessions_elsewhere().await;
        told.map(shown).map_err(unknown)
    }

    async fn end(
        &self,
        which: &Which,
        only: Option<&str>,
    ) -> Result<Vec<SessionElsewhere>, String> {
        let choice = match which {
            Which::Session(id) => SessionChoice::Session(id.clone()),
            Which::User(user, tenant) => SessionChoice::User {
                user: user.clone(),
                tenant: tenant.clone(),
            },
            Which::Tenant(tenant) => SessionChoice::Tenant(tenant.clone()),
        };
        let asked = self.membership.end_elsewhere(&choice, only).await;
        asked.map(shown).map_err(unknown)
    }
}

fn shown(told: Vec<NodeSession>) -> Vec<SessionElsewhere> {
    let shown = told.into_iter().map(|one| SessionElsewhere {
        node: one.node,
        session: one.id,
        tenant: one.tenant,
        user: one.user,
        client: one.client,
        listener: one.listener,
        tls: one.tls,
        since: one.since,
    });
    shown.collect()
}

fn unknown(problem: Problem) -> String {
    let why = match problem {
        Problem::Lost => "another server has joined under this one's `node`".to_owned(),
        problem => problem.to_string(),
    };
    warn!(why, "nothing is known of sessions on other servers");
    format!("nothing is known of sessions on other servers: {why}")
}

#[cfg(test)]
mod tests {
    use restante_config::Config;
    use restante_engine::memory::Memory;
    use restante_engine::{Holds as _, Node, Retention};
    use restante_roles::address::Client;
    use restante_roles::metrics::GenerationMark;
    use restante_server::shutdown::Ending;
    use restante_server::tenant::{Serving, SessionSettings, Tenants, mock_credentials};

    use super::*;

    fn serving() -> CurrentServing {
        let text = "[listener.l]\naddress = \"127.0.0.1:0\"\ntls = \"off\"\n\
                    [plugin.p]\ncomponent = \"builtin:p\"\n\
                    [tenant.t]\nauthenticators = [\"p\"]\nstore = \"p\"\n";
        let config = Config::parse(text, "test.toml".as_ref(), "/".as_ref()).unwrap();
        let mock_credentials = mock_credentials(&config.server, [7; 32]);
        let serving = Arc::new(Serving {
            tenants: Tenants::new(),
            tls: None,
            settings: SessionSettings::new(&config.server, &config.tenants, mock_credentials),
            generation: GenerationMark::default(),
            ending: Ending::default(),
            recorder: None,
        });
        Arc::new(move || Arc::clone(&serving))
    }

    struct Server {
        engine: Memory,
        node: Node,
        sessions: Arc<Sessions>,
        penalties: Arc<Penalties>,
        correspondence: Arc<Correspondence>,
    }

    impl Server {
        async fn join(engine: &Memory, name: &str) -> Self {
            let (sessions, penalties) = (Sessions::new(), Arc::new(Penalties::new()));
            let counts = Arc::default();
            Server {
                engine: engine.clone(),
                node: engine.join(name, "a test").await.unwrap(),
                correspondence: Correspondence::new(&sessions, &penalties, serving(), &counts),
                sessions,
                penalties,
            }
        }

        async fn beat(&self) {
            let report = self.correspondence.report();
            let exchanged = self.engine.exchange(&self.node, &report).await;
            self.correspondence.answered(exchanged.ok());
        }

        /// Its answer is lost.
        fn beat_in_vain(&self) {
            let _ = self.correspondence.report();
            self.correspondence.answered(None);
        }

        async fn sees(&self) -> Vec<String> {
            let told = self.engine.sessions_elsewhere(&self.node).await.unwrap();
            let mut ids: Vec<String> = told.into_iter().map(|one| one.id).collect();
            ids.sort_unstable();
            ids
        }
    }

    const FAR: ([u8; 4], u16) = ([192, 0, 2, 1], 4000);

    #[tokio::test(start_paused = true)]
    async fn servers_hear_of_sessions_and_of_failed_logins_whatever_is_lost_on_the_way() {
        let engine = Memory::new(Retention::default());
        let mut a = Server::join(&engine, "mx-a").await;
        let mut b = Server::join(&engine, "mx-b").await;
        let client = Client::at(FAR.into());
        let begin = |id: &str, user: &str| {
            let listed = a.sessions.begin(id, &"pop3".into(), client, 1);
            listed.session().logged_in(&"t".into(), user);
            listed
        };
        let first = begin("1", "ada");
        let _stranger = a.sessions.begin("0", &"pop3".into(), client, 1);
        a.beat_in_vain();
        let second = begin("2", "eve");
        a.beat().await;
        assert_eq!(b.sees().await, ["1", "2"]);
        drop(first);
        a.beat_in_vain();
        let growth = a.correspondence.growth();
        let delay = a.penalties.failed(client, None, &growth);
        a.beat_in_vain();
        let third = begin("3", "ada");
        a.beat().await;
        assert_eq!(b.sees().await, ["2", "3"]);
        drop(second);
        a.beat().await;
        assert_eq!(b.sees().await, ["3"]);

        assert_eq!(b.penalties.owed(client, &growth), Duration::ZERO);
        b.beat().await;
        assert_eq!(b.penalties.owed(client, &growth), delay);
        b.beat().await;
        assert_eq!(b.penalties.owed(client, &growth), delay);
        b.penalties.failed(client, None, &growth);
        b.beat().await;
        a.beat().await;
        assert_eq!(
            a.penalties.owed(client, &growth),
            b.penalties.owed(client, &growth)
        );

        // An engine that has lost all is told all again.
        let engine = Memory::new(Retention::default());
        a.engine = engine.clone();
        a.node = engine.join("mx-a", "a test").await.unwrap();
        b.engine = engine.clone();
        b.node = engine.join("mx-b", "a test").await.unwrap();
        let late = Server::join(&engine, "mx-c").await;
        for _ in 0..2 {
            a.beat().await;
        }
        late.beat().await;
        assert_eq!(late.sees().await, ["3"]);
        let owed = a.penalties.owed(client, &growth);
        assert_eq!(late.penalties.owed(client, &growth), owed);
        assert!(owed > delay, "{owed:?}");

        // Twice what is asked for is heard once.
        let which = SessionChoice::User {
            user: "ada".to_owned(),
            tenant: None,
        };
        let asked = engine.end_elsewhere(&b.node, &which, None).await.unwrap();
        assert_eq!(asked.len(), 1);
        a.beat().await;
        third.session().ended().await;
        a.beat().await;
        let later = begin("4", "ada");
        a.beat().await;
        assert_eq!(later.session().ended_by(), None);
    }
}

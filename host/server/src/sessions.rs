//! Who is connected: every connection with what is known of it, and the way to
//! end one.
//!
//! The list is locked for a moment when a connection begins, when it ends, and
//! when somebody asks for it; never while a session is at work.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Instant, SystemTime};

use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::Notify;

use restante_roles::address::Client;

use crate::session_changes::SessionChanges;
use crate::socket::SocketWatch;

/// What a session is at (RFC 1939 section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum State {
    /// Nobody is logged in yet.
    Authorization,
    /// Somebody is.
    Transaction,
    /// After QUIT: what was marked is removed.
    Update,
}

/// A connection that lives.
#[derive(Debug)]
pub struct LiveSession {
    id: String,
    listener: Arc<str>,
    client: Client,
    generation: u64,
    began: Instant,
    began_at: SystemTime,
    tls: OnceLock<String>,
    login: OnceLock<Login>,
    /// What it has its maildrop by, where several servers share it: the key, and the fence of its
    /// hold.
    held: Mutex<Option<(String, u64)>>,
    state: AtomicU8,
    octets: AtomicU64,
    /// Its client's end, where it has a socket.
    socket: OnceLock<SocketWatch>,
    end: Notify,
    /// The first that wanted its end.
    ended_by: OnceLock<EndedBy>,
    changes: Arc<SessionChanges>,
}

/// Who ends a session from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndedBy {
    /// An operator.
    Operator,
    /// A later login of the same user, in the session of this id, which wants the
    /// maildrop.
    TakeOver(String),
    /// A later login found its client gone.
    ClientGone,
}

#[derive(Debug)]
struct Login {
    tenant: Arc<str>,
    user: String,
}

/// What is known of a connection at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Seen {
    /// As in each of its log lines.
    pub session: String,
    /// None before login.
    pub tenant: Option<String>,
    /// The canonical name; none before login.
    pub user: Option<String>,
    /// Where the client speaks from: address and port, or "unknown".
    pub client: Client,
    /// Name of the listener.
    pub listener: String,
    /// "TLSv1.3"; none in the clear.
    pub tls: Option<String>,
    /// What it is at.
    pub state: State,
    /// When it connected, in seconds since the Unix epoch.
    pub since: u64,
    /// How long ago that is, in seconds.
    pub seconds: u64,
    /// Octets of messages that it has had.
    pub octets: u64,
    /// The generation it belongs to.
    pub generation: u64,
}

/// Which sessions to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// This one.
    Session(String),
    /// All of a user, by canonical name; of one tenant, where it is said.
    User(String, Option<String>),
    /// All of a tenant.
    Tenant(String),
}

impl Which {
    fn fits(&self, session: &LiveSession) -> bool {
        let login = session.login.get();
        match self {
            Which::Session(id) => session.id == *id,
            Which::User(user, tenant) => login.is_some_and(|login| {
                login.user == *user
                    && tenant
                        .as_ref()
                        .is_none_or(|tenant| *tenant == *login.tenant)
            }),
            Which::Tenant(tenant) => login.is_some_and(|login| *tenant == *login.tenant),
        }
    }
}

/// Everybody who is connected.
#[derive(Debug, Default)]
pub struct Sessions {
    live: Mutex<HashMap<String, Arc<LiveSession>>>,
    /// Of those with a login.
    changes: Arc<SessionChanges>,
}

/// Sessions with a login that began and ended since somebody asked last.
#[derive(Debug, Default)]
pub struct Changed {
    /// Those that live still.
    pub begun: Vec<Seen>,
    /// Their ids.
    pub ended: Vec<String>,
}

impl Sessions {
    /// Nobody is.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// A connection begins; it is in the list until the place is dropped.
    pub fn begin(
        self: &Arc<Self>,
        id: &str,
        listener: &Arc<str>,
        client: Client,
        generation: u64,
    ) -> Listed {
        let session = Arc::new(LiveSession {
            id: id.to_owned(),
            listener: Arc::clone(listener),
            client,
            generation,
            began: Instant::now(),
            began_at: SystemTime::now(),
            tls: OnceLock::new(),
            login: OnceLock::new(),
            held: Mutex::default(),
            state: AtomicU8::new(State::Authorization as u8),
            octets: AtomicU64::new(0),
            socket: OnceLock::new(),
            end: Notify::new(),
            ended_by: OnceLock::new(),
            changes: Arc::clone(&self.changes),
        });
        self.live.lock().insert(id.to_owned(), Arc::clone(&session));
        Listed {
            sessions: Arc::clone(self),
            session,
        }
    }

    /// How many there are, logged in or not.
    pub fn count(&self) -> usize {
        self.live.lock().len()
    }

    /// Everybody, who connected first before the others.
    pub fn list(&self) -> Vec<Seen> {
        let mut all: Vec<_> = self.live.lock().values().cloned().collect();
        all.sort_by(|one, other| (one.began, &one.id).cmp(&(other.began, &other.id)));
        all.iter().map(|session| session.seen()).collect()
    }

    /// Tells of all sessions with a login, and from now on of changes, in
    /// [`Sessions::take_changes`].
    pub fn tell_all(&self) {
        let logged_in = || {
            let live = self.live.lock();
            let logged_in = live.values().filter(|session| session.is_logged_in());
            logged_in.map(|session| session.id.clone()).collect()
        };
        self.changes.begin(logged_in);
    }

    /// Keeps no changes until somebody wants all of them again.
    pub fn tell_nothing(&self) {
        self.changes.forget();
    }

    /// Changes since the last time, at most `most` of each kind; the others come the next time.
    pub fn take_changes(&self, most: usize) -> Changed {
        let (begun, ended) = self.changes.take(most);
        let live = self.live.lock();
        let begun = begun.iter().filter_map(|id| live.get(id));
        Changed {
            begun: begun.map(|session| session.seen()).collect(),
            ended,
        }
    }

    /// Ends the session of this user that has what is held like this, for a later login of the
    /// same user, on another server: the session `by`. One that is opening the maildrop still, or
    /// has said QUIT, is left alone.
    pub fn end_holder(
        &self,
        tenant: &str,
        user: &str,
        is_held: impl Fn(&str, u64) -> bool,
        by: &str,
    ) {
        let all: Vec<_> = self.live.lock().values().cloned().collect();
        let which = Which::User(user.to_owned(), Some(tenant.to_owned()));
        for session in all.iter().filter(|session| which.fits(session)) {
            let held = session.held.lock();
            let has_it = held
                .as_ref()
                .is_some_and(|(key, fence)| is_held(key, *fence));
            drop(held);
            if has_it && session.state() == State::Transaction {
                session.end(EndedBy::TakeOver(by.to_owned()));
            }
        }
    }

    /// Ends sessions as the end of the server would: nothing is removed, what a
    /// client had marked included. One that has said QUIT is left to finish. Says
    /// which were told.
    pub fn kick(&self, which: &Which) -> Vec<String> {
        let chosen: Vec<_> = match which {
            Which::Session(id) => self.live.lock().get(id).cloned().into_iter().collect(),
            _ => self.live.lock().values().cloned().collect(),
        };
        let mut told: Vec<_> = chosen
            .iter()
            .filter(|session| which.fits(session) && session.state() != State::Update)
            .map(|session| {
                session.end(EndedBy::Operator);
                session.id.clone()
            })
            .collect();
        told.sort_unstable();
        told
    }
}

/// A connection's place in the list.
#[derive(Debug)]
#[must_use = "the connection is in the list for as long as this lives"]
pub struct Listed {
    sessions: Arc<Sessions>,
    session: Arc<LiveSession>,
}

impl Listed {
    /// What others see of the connection.
    pub fn session(&self) -> &Arc<LiveSession> {
        &self.session
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.sessions.live.lock().remove(&self.session.id);
        if self.session.is_logged_in() {
            self.sessions.changes.ended(&self.session.id);
        }
    }
}

impl LiveSession {
    /// As in each of its log lines.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What it is spoken over.
    pub fn has_socket(&self, socket: SocketWatch) {
        let _ = self.socket.set(socket);
    }

    /// Its client's end of the connection.
    pub fn socket(&self) -> Option<&SocketWatch> {
        self.socket.get()
    }

    /// Where the client speaks from.
    pub fn client(&self) -> Client {
        self.client
    }

    /// Who has ended it from outside. Nobody does in UPDATE.
    pub fn ended_by(&self) -> Option<&EndedBy> {
        self.ended_by.get().filter(|_| !self.is_updating())
    }

    /// Ends it, unless it is in UPDATE. Nothing is removed.
    pub fn end(&self, by: EndedBy) {
        let _ = self.ended_by.set(by);
        self.end.notify_one();
    }

    /// TLS is up, in this version.
    pub fn tls_started(&self, version: &str) {
        let _ = self.tls.set(version.to_owned());
    }

    /// Somebody is logged in.
    pub fn logged_in(&self, tenant: &Arc<str>, user: &str) {
        let login = Login {
            tenant: Arc::clone(tenant),
            user: user.to_owned(),
        };
        let _ = self.login.set(login);
        self.state
            .store(State::Transaction as u8, Ordering::Relaxed);
        self.changes.began(&self.id);
    }

    /// It has its maildrop by this key and the hold of this fence, among several servers.
    pub fn holds(&self, key: &str, fence: u64) {
        *self.held.lock() = Some((key.to_owned(), fence));
    }

    /// QUIT was said.
    pub fn updates(&self) {
        self.state.store(State::Update as u8, Ordering::Relaxed);
    }

    /// Whether QUIT was said, and mail is being removed.
    pub fn is_updating(&self) -> bool {
        self.state() == State::Update
    }

    /// Whether its maildrop is open, or was.
    pub fn is_logged_in(&self) -> bool {
        self.state() != State::Authorization
    }

    /// It has had this many octets of messages more.
    pub fn had(&self, octets: u64) {
        self.octets.fetch_add(octets, Ordering::Relaxed);
    }

    /// Returns once somebody wants it to end. In UPDATE nobody can: mail that the
    /// client was told to be gone is gone.
    pub async fn ended(&self) -> EndedBy {
        loop {
            self.end.notified().await;
            if self.state() != State::Update {
                let by = self.ended_by.get().cloned();
                return by.unwrap_or(EndedBy::Operator);
            }
        }
    }

    fn state(&self) -> State {
        match self.state.load(Ordering::Relaxed) {
            0 => State::Authorization,
            1 => State::Transaction,
            _ => State::Update,
        }
    }

    fn seen(&self) -> Seen {
        let login = self.login.get();
        let since = self.began_at.duration_since(SystemTime::UNIX_EPOCH);
        Seen {
            session: self.id.clone(),
            tenant: login.map(|login| login.tenant.to_string()),
            user: login.map(|login| login.user.clone()),
            client: self.client,
            listener: self.listener.to_string(),
            tls: self.tls.get().cloned(),
            state: self.state(),
            since: since.unwrap_or_default().as_secs(),
            seconds: self.began.elapsed().as_secs(),
            octets: self.octets.load(Ordering::Relaxed),
            generation: self.generation,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    fn begin(sessions: &Arc<Sessions>, id: &str, login: Option<(&str, &str)>) -> Listed {
        let client = Client::at(([192, 0, 2, 1], 4000).into());
        let listed = sessions.begin(id, &"pop3".into(), client, 7);
        if let Some((tenant, user)) = login {
            listed.session().logged_in(&tenant.into(), user);
        }
        listed
    }

    #[test]
    fn list_holds_who_is_connected_and_nobody_else() {
        let sessions = Sessions::new();
        let first = begin(&sessions, "z", Some(("acme", "ada")));
        let second = begin(&sessions, "a", None);
        first.session().tls_started("TLSv1.3");
        first.session().had(1200);
        first.session().had(34);
        let seen = sessions.list();
        assert_eq!(seen.len(), 2);
        assert_eq!(seen[0].session, "z");
        assert_eq!(seen[0].user.as_deref(), Some("ada"));
        assert_eq!(seen[0].tenant.as_deref(), Some("acme"));
        assert_eq!(seen[0].tls.as_deref(), Some("TLSv1.3"));
        assert_eq!((seen[0].octets, seen[0].generation), (1234, 7));
        assert_eq!(seen[0].state, State::Transaction);
        assert_eq!(seen[1].state, State::Authorization);
        assert_eq!(seen[1].user, None);
        drop(first);
        assert_eq!(sessions.count(), 1);
        drop(second);
        assert_eq!(sessions.list(), []);
    }

    #[test]
    fn a_session_ends_for_a_later_login_of_its_user_that_wants_the_same() {
        let sessions = Sessions::new();
        let all = [
            begin(&sessions, "1", Some(("acme", "ada"))),
            begin(&sessions, "2", Some(("acme", "ada"))),
            begin(&sessions, "3", Some(("other", "ada"))),
            begin(&sessions, "4", Some(("acme", "ada"))),
            begin(&sessions, "5", Some(("acme", "bob"))),
            begin(&sessions, "6", Some(("acme", "ada"))),
        ];
        for (listed, key) in all.iter().zip(["k", "another", "k", "k", "k"]) {
            listed.session().holds(key, 7);
        }
        all[3].session().updates();
        // Of a login that came after whoever asks had looked.
        all[5].session().holds("k", 8);
        let is_held = |key: &str, fence| (key, fence) == ("k", 7);
        sessions.end_holder("acme", "ada", is_held, "later");
        let ended = all.iter().filter_map(|one| {
            let by = one.session().ended_by()?;
            Some((one.session().id(), by.clone()))
        });
        let ended: Vec<_> = ended.collect();
        assert_eq!(ended, [("1", EndedBy::TakeOver("later".into()))]);
    }

    #[test]
    fn changes_are_told_from_when_somebody_asks() {
        let sessions = Sessions::new();
        let told = |most| {
            let Changed { begun, ended } = sessions.take_changes(most);
            let begun: Vec<String> = begun.into_iter().map(|seen| seen.session).collect();
            (begun, ended)
        };
        let none: (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
        let ids = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
        let before = begin(&sessions, "1", Some(("acme", "ada")));
        let stranger = begin(&sessions, "2", None);
        drop(begin(&sessions, "3", Some(("acme", "eve"))));
        assert_eq!(told(9), none);
        sessions.tell_all();
        let later = begin(&sessions, "4", Some(("acme", "bob")));
        // Nobody needs to hear of what came and went.
        drop(begin(&sessions, "5", Some(("acme", "eve"))));
        drop(stranger);
        let (one, _) = told(1);
        let (other, ended) = told(9);
        let mut both = [one, other].concat();
        both.sort_unstable();
        assert_eq!((both, ended), (ids(&["1", "4"]), ids(&[])));
        drop(before);
        assert_eq!(told(9), (ids(&[]), ids(&["1"])));
        assert_eq!(told(9), none);
        sessions.tell_nothing();
        drop(begin(&sessions, "6", Some(("acme", "ada"))));
        drop(later);
        assert_eq!(told(9), none);
        sessions.tell_all();
        assert_eq!(told(9), none);
    }

    #[test]
    fn kick_chooses_by_session_user_or_tenant() {
        let sessions = Sessions::new();
        let _all = [
            begin(&sessions, "1", Some(("acme", "ada"))),
            begin(&sessions, "2", Some(("acme", "bob"))),
            begin(&sessions, "3", Some(("other", "ada"))),
            begin(&sessions, "4", None),
        ];
        let kick = |which| sessions.kick(&which);
        let none: [&str; 0] = [];
        assert_eq!(kick(Which::Session("4".into())), ["4"]);
        assert_eq!(kick(Which::Session("5".into())), none);
        assert_eq!(kick(Which::User("ada".into(), None)), ["1", "3"]);
        let of_acme = Which::User("ada".into(), Some("acme".into()));
        assert_eq!(kick(of_acme), ["1"]);
        assert_eq!(kick(Which::Tenant("acme".into())), ["1", "2"]);
        assert_eq!(kick(Which::Tenant("nobody".into())), none);
    }

    #[tokio::test(start_paused = true)]
    async fn kick_ends_a_session_but_not_in_update() {
        let sessions = Sessions::new();
        let one = begin(&sessions, "1", Some(("t", "ada")));
        let which = Which::Session("1".into());
        let hour = Duration::from_secs(3600);
        assert!(timeout(hour, one.session().ended()).await.is_err());
        assert_eq!(sessions.kick(&which), ["1"]);
        assert!(timeout(hour, one.session().ended()).await.is_ok());
        // Told a moment before QUIT came in.
        sessions.kick(&which);
        one.session().updates();
        assert!(timeout(hour, one.session().ended()).await.is_err());
        assert!(sessions.kick(&which).is_empty());
    }
}

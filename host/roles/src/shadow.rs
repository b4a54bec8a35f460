//! Shadows: plugins that are asked what the live ones were asked, and whose answers
//! change nothing. How often they differ is counted, and logged without a word of
//! what clients or mail said.
//!
//! A shadow is asked once the live answer is known, in a task of its own that
//! nobody waits for; a few at once for a tenant, and what is over that is left out.
//! What it uses is neither charged to the tenant's share nor seen in its ledger.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::timeout;
use tracing::{Instrument, info};

use crate::acting::{self, Denied};
use crate::backend::{
    Account, Admission, Admitted, Authenticator, Connection, Credentials, Denial, Failure, Filter,
};
use crate::metrics::{Ledger, PluginCalls, ShadowResult};
use crate::work::WorkHold;

/// Questions to shadows under way at once, of one tenant.
const AT_ONCE: usize = 4;

/// The longest that one login's questions to a shadow may take in all.
const LONGEST: Duration = Duration::from_secs(60);

/// A plugin in a role, to be asked beside the live ones.
pub struct Shadow<R: ?Sized> {
    /// As the configuration calls it.
    pub plugin: Arc<str>,
    /// Whom to ask.
    pub role: Arc<R>,
    /// Where its answers are counted.
    pub calls: Arc<PluginCalls>,
}

// By hand: a role need not be clonable.
impl<R: ?Sized> Clone for Shadow<R> {
    fn clone(&self) -> Self {
        Shadow {
            plugin: Arc::clone(&self.plugin),
            role: Arc::clone(&self.role),
            calls: Arc::clone(&self.calls),
        }
    }
}

/// One tenant's.
pub struct Shadows {
    /// Compared with what the authenticators decide together.
    pub authenticators: Vec<Shadow<dyn Authenticator>>,
    /// Compared with what the admissions decide together.
    pub admissions: Vec<Shadow<dyn Admission>>,
    /// Compared with what the filters make of each message together.
    pub filters: Vec<Shadow<dyn Filter>>,
    ledger: Arc<Ledger>,
    places: Arc<Semaphore>,
}

impl Shadows {
    /// None, of this tenant.
    pub fn new(tenant: &str) -> Self {
        Shadows {
            authenticators: Vec::new(),
            admissions: Vec::new(),
            filters: Vec::new(),
            ledger: Ledger::new(tenant),
            places: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    /// The connection as shadows are asked about it.
    pub fn connection(&self, connection: &Connection) -> Arc<Connection> {
        Arc::new(Connection {
            ledger: Arc::clone(&self.ledger),
            // They have no maildrop, and may be asked when the session is over.
            hold: WorkHold::default(),
            ..connection.clone()
        })
    }

    /// Asks in a task of its own; nobody waits for it.
    pub fn ask(
        &self,
        calls: &Arc<PluginCalls>,
        role: &'static str,
        question: impl Future<Output = ()> + Send + 'static,
    ) {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            calls.shadowed(role, ShadowResult::LeftOut, 1);
            return;
        };
        let calls = Arc::clone(calls);
        let asking = async move {
            let _place = place;
            if timeout(LONGEST, question).await.is_err() {
                calls.shadowed(role, ShadowResult::Failed, 1);
            }
        };
        tokio::spawn(asking.in_current_span());
    }

    /// The authenticators have decided.
    pub fn authenticated(
        &self,
        connection: &Connection,
        credentials: &Arc<Credentials>,
        live: impl Fn() -> Decision,
    ) {
        let able = |one: &&Shadow<dyn Authenticator>| one.role.accepts().takes(credentials);
        for shadow in self.authenticators.iter().filter(able).cloned() {
            let connection = self.connection(connection);
            let (credentials, live) = (Arc::clone(credentials), live());
            let calls = Arc::clone(&shadow.calls);
            self.ask(&calls, "authenticator", async move {
                let said = acting::authenticate(&*shadow.role, &connection, &credentials).await;
                shadow.compare("authenticator", &connection, &live, &Decision::of(said));
            });
        }
    }

    /// The admissions have decided.
    pub fn admitted(&self, connection: &Connection, live: &Leave) {
        for shadow in self.admissions.iter().cloned() {
            let (connection, live) = (self.connection(connection), live.clone());
            let calls = Arc::clone(&shadow.calls);
            self.ask(&calls, "admission", async move {
                let said = Leave::of(shadow.role.admit(&connection).await);
                shadow.compare("admission", &connection, &live, &said);
            });
        }
    }
}

impl<R: ?Sized> Shadow<R> {
    fn compare<A: Answer>(&self, role: &'static str, connection: &Connection, live: &A, said: &A) {
        let result = match said {
            said if said.has_failed() => ShadowResult::Failed,
            said if said == live => ShadowResult::Same,
            _ => ShadowResult::Different,
        };
        self.calls.shadowed(role, result, 1);
        if result != ShadowResult::Same {
            info!(
                plugin = %self.plugin, tenant = connection.tenant, role,
                live = live.word(), shadow = said.word(),
                "the shadow differs"
            );
        }
    }
}

/// An answer that can be compared, and named without telling what is in it.
trait Answer: PartialEq {
    fn word(&self) -> &'static str;
    fn has_failed(&self) -> bool;
}

/// What became of credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// This account.
    Account(Account),
    /// Nobody.
    Denied,
    /// It could not be decided.
    Failed,
}

impl Decision {
    fn of(said: Result<Account, Denied>) -> Self {
        match said {
            Ok(account) => Decision::Account(account),
            Err(Denied::Denial(Denial::Failed(_))) => Decision::Failed,
            Err(_) => Decision::Denied,
        }
    }
}

impl Answer for Decision {
    fn word(&self) -> &'static str {
        match self {
            Decision::Account(_) => "account",
            Decision::Denied => "denied",
            Decision::Failed => "failed",
        }
    }

    fn has_failed(&self) -> bool {
        *self == Decision::Failed
    }
}

/// What became of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leave {
    /// Let in, after so many milliseconds.
    Admitted(u32),
    /// Turned away.
    Denied,
    /// It could not be decided.
    Failed,
}

impl Leave {
    fn of(said: Result<Admitted, Failure>) -> Self {
        match said {
            Ok(Admitted::Yes) => Leave::Admitted(0),
            Ok(Admitted::Delayed(milliseconds)) => Leave::Admitted(milliseconds),
            Ok(Admitted::No(_)) => Leave::Denied,
            Err(_) => Leave::Failed,
        }
    }
}

impl Answer for Leave {
    fn word(&self) -> &'static str {
        match self {
            Leave::Admitted(0) => "admitted",
            Leave::Admitted(_) => "delayed",
            Leave::Denied => "denied",
            Leave::Failed => "failed",
        }
    }

    fn has_failed(&self) -> bool {
        *self == Leave::Failed
    }
}

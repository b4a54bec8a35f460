//! Databases of the operator's that plugins were granted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::time::Instant;
use tracing::warn;

use crate::instance::answer_cache::{AnswerCache, AnswerLifetimes};
use crate::instance::calls::{self, CallPlaces, Queues, SEE_LOG};
use restante_engine::{Answer, Database, Meter, Refusal, Statement};
use restante_roles::metrics::CachedAnswers;
use restante_roles::throttle::Complaints;
use restante_roles::turns::Turns;

/// A database that tenants share.
#[derive(Debug)]
pub struct SharedDatabase {
    name: Arc<str>,
    /// Where it is, in words in which no two places are alike.
    place: String,
    database: Arc<dyn Database>,
    queues: Queues,
    /// None: each question is asked.
    cache: Option<Arc<AnswerCache>>,
    /// The last call came to nothing. Then nothing is answered from memory either: whoever
    /// guesses passwords meanwhile would be told which are right, and no refusal is certain
    /// enough to count against him.
    is_away: AtomicBool,
    complaints: Complaints,
}

/// A call of a guest's.
#[derive(Debug, Clone)]
pub(crate) enum Question {
    Query(Statement),
    Change(Vec<Statement>),
}

impl SharedDatabase {
    /// `name`: what grants and plugins call it. `place`: where it is; no two places of one
    /// name may be alike in it. `counts`: where it is counted what is remembered of its answers.
    pub fn new(
        name: &str,
        place: String,
        database: Arc<dyn Database>,
        places: CallPlaces,
        lifetimes: AnswerLifetimes,
        counts: Arc<CachedAnswers>,
    ) -> Arc<Self> {
        Arc::new(SharedDatabase {
            name: name.into(),
            place,
            database,
            queues: Queues::new(places),
            cache: AnswerCache::new(lifetimes, counts).map(Arc::new),
            is_away: AtomicBool::new(false),
            complaints: Complaints::default(),
        })
    }

    /// What grants and plugins call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it is.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Where a call waits for its place.
    pub(crate) fn turns(&self, question: &Question) -> &Arc<Turns> {
        match question {
            Question::Query(_) => &self.queues.reads,
            Question::Change(_) => &self.queues.changes,
        }
    }

    /// What is remembered of a query of this tenant's.
    pub(crate) fn recall(&self, tenant: &str, statement: &Statement) -> Option<Answer> {
        let cache = self.cache.as_ref()?;
        match self.is_away.load(Ordering::Relaxed) {
            true => None,
            false => cache.recall(tenant, statement),
        }
    }

    /// Whether a call came to nothing, be it for want of a place.
    pub(crate) fn set_away(&self, is_away: bool) {
        self.is_away.store(is_away, Ordering::Relaxed);
    }

    /// Forgets what is remembered. Returns how many answers they were.
    pub fn flush(&self) -> usize {
        self.cache.as_ref().map_or(0, |cache| cache.flush())
    }

    /// Asks. `meter` keeps what the call holds until the last that is charged is over, also
    /// where the guest waits no longer ([`calls::charging`]). The answer to a query is
    /// remembered for the tenant `remembered_for`, if there is one.
    pub(crate) async fn ask(
        &self,
        question: Question,
        meter: Meter,
        deadline: Instant,
        remembered_for: Option<&str>,
    ) -> Result<Vec<Answer>, Refusal> {
        let database = self.database.clone();
        let is_change = matches!(question, Question::Change(_));
        let paying = meter.clone();
        let asking = match (&self.cache, &question, remembered_for) {
            (Some(cache), Question::Query(statement), Some(tenant)) => {
                (cache.asking(tenant, statement)).map(|asking| (cache, asking))
            }
            _ => None,
        };
        let cache = self.cache.clone();
        let call = async move {
            match question {
                Question::Query(statement) => {
                    let answer = database.query(statement, &paying).await?;
                    Ok(vec![answer])
                }
                Question::Change(statements) => {
                    let changed = database.change(statements, &paying).await;
                    // Whoever asked before may have been told what was so before.
                    if let Some(cache) = cache {
                        cache.flush();
                    }
                    changed
                }
            }
        };
        let made = calls::made(call, meter, deadline).await;
        self.set_away(matches!(
            made,
            Err(_) | Ok(Err(Refusal::Unavailable(_) | Refusal::Unknown(_)))
        ));
        match made {
            Ok(Err(Refusal::Unavailable(cause))) => {
                self.complain(&cause);
                Err(Refusal::Unavailable(SEE_LOG.to_owned()))
            }
            Ok(Err(Refusal::Unknown(cause))) => {
                self.complain(&cause);
                Err(Refusal::Unknown(SEE_LOG.to_owned()))
            }
            Ok(answer) => {
                if let (Some((cache, asking)), Ok([answer])) = (asking, answer.as_deref()) {
                    cache.remember(asking, answer);
                }
                answer
            }
            Err(unfinished) if is_change && unfinished.has_begun => {
                Err(Refusal::Unknown(unfinished.why.to_owned()))
            }
            Err(unfinished) => Err(Refusal::Unavailable(unfinished.why.to_owned())),
        }
    }

    fn complain(&self, cause: &str) {
        if let Some(left_out) = self.complaints.line() {
            warn!(
                database = &*self.name,
                cause, left_out, "a call of a database failed"
            );
        }
    }
}

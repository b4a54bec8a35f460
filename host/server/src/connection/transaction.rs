//! The TRANSACTION state and UPDATE: a session from its login to the end.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use restante_pop3::{Close, MessageNumber, Session, Summary, Transaction, TransactionAction};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::end::End;
use super::open::Open;
use super::refusal::refusal_for;
use super::rest::REST_AFTER;
use super::wire::Wire;
use crate::clock::Clock;
use crate::eviction::EvictingSlots;
use crate::sessions::LiveSession;
use crate::shutdown::{Ending, Signal};
use crate::tenant::Serving;
use restante_roles::backend::Failure;
use restante_roles::recording;

/// What an answer may take that a session is in the middle of when its generation
/// has to go.
const LAST_ANSWER: Duration = Duration::from_secs(60);

/// One connection at work, once somebody is logged in.
pub(super) struct TransactionDriver<S> {
    /// What others see of this connection.
    pub(super) live: Arc<LiveSession>,
    pub(super) serving: Arc<Serving>,
    /// Where it is silent with a store awake.
    pub(super) awake: Arc<EvictingSlots>,
    pub(super) shutdown: Signal,
    pub(super) wire: Wire<S>,
    pub(super) session: Session<Transaction>,
    /// How many commands there were when the autologout timer was set, and when
    /// it rings.
    pub(super) autologout: Option<(u64, Instant)>,
    /// Ends with the session, if it is recorded.
    pub(super) _recording: OnceLock<Option<Arc<recording::Session>>>,
}

impl<S> TransactionDriver<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    /// Goes on to the end, and closes. `accepted` is when the connection was.
    pub(super) async fn run(mut self: Box<Self>, open: Box<Open>, accepted: Instant) -> End {
        let shutdown = self.shutdown.clone();
        let live = Arc::clone(&self.live);
        let serving = Arc::clone(&self.serving);
        let end = tokio::select! {
            biased;
            () = shutdown.over() => End::Shutdown,
            by = live.ended() => End::EndedBy(by),
            () = cut_off(&serving.ending, &live) => End::Drained,
            end = self.transaction(open) => end.map_or_else(|end| end, End::Session),
        };
        log_out(&end, &self.session.summary(), accepted);
        self.wire.close(&end).await;
        end
    }

    async fn transaction(&mut self, mut open: Box<Open>) -> Result<Close, End> {
        loop {
            match self.next_action(&open).await? {
                TransactionAction::Retrieve(wanted) => {
                    let sent = Box::pin(self.retrieve(&open, wanted)).await?;
                    let Some(sent) = sent else { continue };
                    if sent.whole {
                        open.retrieved(wanted.message);
                    }
                    open.ledger().retrieved(sent.whole.into(), sent.octets);
                    self.live.had(sent.octets);
                }
                TransactionAction::Update { remove } => {
                    let close = Box::pin(self.update(open, &remove)).await?;
                    self.wire.flush().await?;
                    return Ok(close);
                }
            }
        }
    }

    /// Goes on until the session asks for something or is over.
    async fn next_action(&mut self, open: &Open) -> Result<TransactionAction, End> {
        loop {
            if let Some(action) = self.wire.advance(&mut self.session).await? {
                return Ok(action);
            }
            let serving = Arc::clone(&self.serving);
            let deadline = self.autologout();
            match serving.ending.unless_over(self.read(deadline, open)).await {
                Some(read) => read?,
                None => return Err(self.wire.drained(&mut self.session).await),
            }
        }
    }

    /// Waits for the client; the maildrop is let rest meanwhile.
    async fn read(&mut self, deadline: Instant, open: &Open) -> Result<(), End> {
        let silent = self.awake.enter();
        tokio::select! {
            biased;
            read = self.wire.read(Some(deadline)) => return read,
            () = silent.displaced() => {}
            () = sleep(REST_AFTER) => {}
        }
        drop(silent);
        open.maildrop.lock().await.rest().await;
        self.wire.read(Some(deadline)).await
    }

    /// When the autologout timer rings. Complete commands start it again, octets
    /// do not; while we work or write it stands still.
    fn autologout(&mut self) -> Instant {
        let commands = self.session.commands();
        let deadline = match self.autologout {
            Some((seen, deadline)) if seen == commands => deadline,
            _ => Instant::now() + self.serving.settings.autologout,
        };
        self.autologout = Some((commands, deadline));
        deadline
    }

    /// The UPDATE state (RFC 1939 section 6). The maildrop is let go of before
    /// the answer, so that whoever hears it can log in again at once.
    async fn update(&mut self, open: Box<Open>, remove: &[MessageNumber]) -> Result<Close, End> {
        self.live.updates();
        let mut positions: Vec<usize> = remove.iter().map(|message| message.position()).collect();
        let set_forward = Clock::now().set_forward_since(self.serving.settings.clock);
        let expired = open.add_expired(&mut positions, set_forward);
        for position in &mut positions {
            *position = open.view.store_position(*position);
        }
        if expired > 0 {
            info!(messages = expired, "expired messages are removed");
        }
        let removing = async {
            let removed = remove_positions(&open, &positions).await;
            open.let_go().await;
            removed
        };
        let removed = self.wire.flush_while(removing).await?;
        Ok(match removed {
            Ok(()) => self.session.updated(expired, self.wire.out()),
            Err(failure) => {
                info!(%failure, messages = remove.len(), "messages could not be removed");
                let refusal = refusal_for(&failure);
                self.session.refuse_update(&refusal, self.wire.out())
            }
        })
    }
}

/// Removes these messages, if no other node may have the maildrop.
async fn remove_positions(open: &Open, positions: &[usize]) -> Result<(), Failure> {
    if !positions.is_empty() {
        let mut maildrop = open.maildrop.lock().await;
        // Whatever takes long comes before the look at the hold, not between it and the act.
        maildrop.wake().await?;
        if let Err(why) = open.check_hold().await {
            warn!(
                tenant = open.tenant.name, %why,
                "messages were not removed: see `restante engine status`"
            );
            let text = "the maildrop's lock cannot be confirmed, nothing was removed";
            return Err(Failure::Temporary(text.into()));
        }
        maildrop.remove(positions).await?;
    }
    open.ledger().removed(positions.len() as u64);
    Ok(())
}

/// Returns when a session of a generation that had to go is still in the middle of
/// an answer: its client takes what it gets at leisure. In UPDATE it is left to
/// finish.
async fn cut_off(ending: &Ending, live: &LiveSession) {
    ending.over().await;
    sleep(LAST_ANSWER).await;
    if live.is_updating() {
        std::future::pending::<()>().await;
    }
}

fn log_out(end: &End, summary: &Summary, accepted: Instant) {
    info!(
        why = %end,
        retr = summary.retr,
        retr_octets = summary.retr_octets,
        top = summary.top,
        top_octets = summary.top_octets,
        del = summary.del,
        messages = summary.messages,
        octets = summary.octets,
        duration_ms = u64::try_from(accepted.elapsed().as_millis()).unwrap_or(u64::MAX),
        "logout"
    );
}

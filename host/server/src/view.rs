//! What a client sees of a maildrop: the store's listing, less what selectors
//! and filters hide, with the header fields that filters put in front.
//!
//! Two numbering systems meet here and nowhere else: a *store position* is an
//! index into the store's own listing, a *visible position* one into what the
//! session shows. Both count from 0.

mod message;
mod shadow;
mod verdicts;

use std::collections::HashMap;
use std::sync::Arc;

use restante_pop3::Listing;
use tokio::sync::Mutex;
use tokio::task::coop::consume_budget;
use tracing::{debug, warn};

use crate::tenant::Tenant;
use restante_config::FilterFailure;
use restante_roles::backend::{
    Account, Connection, Entries, Failure, Filter, Maildrop, Screener, Selector, Verdict,
};
use restante_roles::validate;

use message::StoredMessage;
pub use verdicts::{MAX_VERDICTS_BYTES, Verdicts};
use verdicts::{Remembered, Round};

/// How many times one filter may fail in one login, until it is not asked about the
/// rest: each failure may take as long as a call may.
const FILTER_FAILURES: u32 = 3;

/// A session's maildrop, shared with the messages that its filters look at.
pub type OpenMaildrop = Arc<Mutex<Box<dyn Maildrop>>>;

/// Which octets a view lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Octets {
    /// Of each message as it is stored.
    Stored,
    /// Of the surrogate, where a message needs one and the store knows it.
    Surrogates,
}

/// A maildrop as its client sees it. Fixed for the length of the session.
#[derive(Debug)]
pub struct View {
    listing: Arc<Listing>,
    /// Visible position → store position; None: they are the same.
    positions: Option<Vec<u32>>,
    /// By visible position.
    annotations: HashMap<usize, Vec<u8>>,
    entries: Arc<Entries>,
}

impl View {
    /// Asks the store for its listing, then the tenant's selectors and filters
    /// what to make of it.
    ///
    /// # Errors
    /// Whatever one of them fails with, and an internal failure where one of
    /// them lies: a view that policy did not decide is never shown.
    pub async fn new(
        tenant: &Tenant,
        connection: &Arc<Connection>,
        account: &Account,
        maildrop: &OpenMaildrop,
        verdicts: &Arc<Verdicts>,
        octets: Octets,
    ) -> Result<View, Failure> {
        let entries = maildrop.lock().await.listing().await?;
        let messages = entries.listing.len();
        if entries.received.len() != messages {
            warn!(
                role = "store",
                messages,
                received = entries.received.len(),
                "the columns of the listing differ in length"
            );
            return Err(Failure::internal());
        }
        let mut draft = Draft::new(entries);
        for selector in &tenant.selectors {
            draft.select(&**selector, connection, account).await?;
        }
        let asking = Asking {
            connection,
            account,
            maildrop,
            on_failure: tenant.filter_failure,
        };
        let selected = draft.hidden.clone();
        for filter in &tenant.filters {
            draft.filter(&**filter, &asking, verdicts).await?;
        }
        shadow::ask(&tenant.shadows, &draft, &selected, &asking, verdicts);
        draft.finish(octets)
    }

    /// What the session shows.
    pub fn listing(&self) -> &Arc<Listing> {
        &self.listing
    }

    /// Where the store has the message at this visible position.
    pub fn store_position(&self, visible: usize) -> usize {
        match &self.positions {
            Some(positions) => positions[visible] as usize,
            None => visible,
        }
    }

    /// When the message at this visible position came: seconds since the Unix
    /// epoch; 0: not known.
    pub fn received(&self, visible: usize) -> u64 {
        self.entries.received[self.store_position(visible)]
    }

    /// What the message at this visible position weighs as it is stored, and
    /// without the header fields of filters.
    pub fn stored_octets(&self, visible: usize) -> u64 {
        self.entries.listing.octets(self.store_position(visible))
    }

    /// The header fields that go in front of the message at this visible
    /// position, each with its CRLF. Its octets in the listing include them.
    pub fn annotation(&self, visible: usize) -> &[u8] {
        self.annotations.get(&visible).map_or(&[], Vec::as_slice)
    }
}

/// For whom filters are asked.
struct Asking<'a> {
    connection: &'a Arc<Connection>,
    account: &'a Account,
    maildrop: &'a OpenMaildrop,
    on_failure: FilterFailure,
}

/// A view in the making. Positions are the store's.
struct Draft {
    entries: Arc<Entries>,
    /// Empty as long as nothing is hidden.
    hidden: Vec<bool>,
    annotations: HashMap<usize, Vec<u8>>,
}

impl Draft {
    fn new(entries: Arc<Entries>) -> Self {
        Draft {
            entries,
            hidden: Vec::new(),
            annotations: HashMap::new(),
        }
    }

    fn is_hidden(&self, position: usize) -> bool {
        self.hidden.get(position).copied().unwrap_or(false)
    }

    fn hide(&mut self, positions: std::ops::Range<usize>) {
        if self.hidden.is_empty() && !positions.is_empty() {
            self.hidden = vec![false; self.entries.listing.len()];
        }
        if !positions.is_empty() {
            self.hidden[positions].fill(true);
        }
    }

    async fn select(
        &mut self,
        selector: &dyn Selector,
        connection: &Arc<Connection>,
        account: &Account,
    ) -> Result<(), Failure> {
        let spans = selector.select(connection, account, &self.entries).await?;
        if let Some(lie) = validate::invalid_spans(&spans, self.entries.listing.len()) {
            warn!(
                plugin = selector.name(),
                tenant = connection.tenant,
                role = "selector",
                lie,
                "the selector's answer is invalid"
            );
            return Err(Failure::internal());
        }
        for span in spans {
            let start = span.start as usize;
            self.hide(start..start + span.length as usize);
        }
        Ok(())
    }

    async fn filter(
        &mut self,
        filter: &dyn Filter,
        asking: &Asking<'_>,
        verdicts: &Verdicts,
    ) -> Result<(), Failure> {
        let listing = Arc::clone(&self.entries.listing);
        let tenant = &asking.connection.tenant;
        let (name, identity) = (filter.name(), filter.identity());
        let mut round = verdicts.begin(name, identity, tenant, asking.account, &listing);
        let mut screener: Option<Box<dyn Screener>> = None;
        let mut asked: usize = 0;
        let mut failures = 0;
        // Messages that it had no word for. They are asked about at the next login.
        let mut undecided: Vec<usize> = Vec::new();
        for position in (0..listing.len()).filter(|&position| !self.is_hidden(position)) {
            if round.get(position).is_some() {
                continue;
            }
            if failures == FILTER_FAILURES {
                undecided.push(position);
                continue;
            }
            // A hundred thousand quick answers are one long hold on the thread.
            consume_budget().await;
            asked += 1;
            match self.screen(filter, &mut screener, asking, position).await {
                Ok(verdict) => round.put(position, verdict),
                Err(failure) if asking.on_failure == FilterFailure::Refuse => return Err(failure),
                Err(_) => {
                    // Whatever it was, this one is not relied on any more.
                    screener = None;
                    failures += 1;
                    undecided.push(position);
                }
            }
        }
        if asked > 0 {
            debug!(role = "filter", asked, "messages screened");
        }
        self.apply(&round);
        if !undecided.is_empty() {
            let hidden = asking.on_failure == FilterFailure::Hide;
            warn!(
                plugin = filter.name(),
                tenant,
                role = "filter",
                failures,
                hidden,
                messages = undecided.len(),
                "the filter failed: filter-failure decides on these messages"
            );
            for position in undecided.into_iter().filter(|_| hidden) {
                self.hide(position..position + 1);
            }
        }
        Ok(())
    }

    /// What the filter says of one message.
    async fn screen(
        &self,
        filter: &dyn Filter,
        screener: &mut Option<Box<dyn Screener>>,
        asking: &Asking<'_>,
        position: usize,
    ) -> Result<Remembered, Failure> {
        let screener = match screener {
            Some(screener) => screener,
            None => screener.insert(filter.screener(asking.connection, asking.account).await?),
        };
        let message = StoredMessage::new(asking.maildrop, &self.entries, position);
        let verdict = screener.screen(Arc::new(message)).await?;
        checked(verdict).map_err(|lie| {
            warn!(
                plugin = filter.name(),
                tenant = asking.connection.tenant,
                role = "filter",
                unique_id = self.entries.listing.unique_id(position),
                lie,
                "the filter's verdict is invalid"
            );
            Failure::internal()
        })
    }

    fn apply(&mut self, round: &Round<'_>) {
        for position in 0..self.entries.listing.len() {
            if self.is_hidden(position) {
                continue;
            }
            match round.get(position) {
                None | Some(Remembered::Show) => {}
                Some(Remembered::Hide) => self.hide(position..position + 1),
                Some(Remembered::Annotate(fields)) => self
                    .annotations
                    .entry(position)
                    .or_default()
                    .extend_from_slice(&fields),
            }
        }
    }

    fn finish(mut self, octets: Octets) -> Result<View, Failure> {
        let stored = match octets {
            Octets::Stored => &self.entries.listing,
            Octets::Surrogates => &self.entries.surrogates,
        };
        self.annotations
            .retain(|&position, _| !self.hidden.get(position).is_some_and(|&hidden| hidden));
        if self.hidden.is_empty() && self.annotations.is_empty() {
            return Ok(View {
                listing: Arc::clone(stored),
                positions: None,
                annotations: HashMap::new(),
                entries: self.entries,
            });
        }
        // A listing has no more messages than a u32 counts.
        let positions: Vec<u32> = (0u32..)
            .zip(0..stored.len())
            .filter(|&(_, position)| !self.hidden.get(position).is_some_and(|&hidden| hidden))
            .map(|(position, _)| position)
            .collect();
        let mut annotations = HashMap::with_capacity(self.annotations.len());
        let mut shown = Vec::with_capacity(positions.len());
        for (visible, &position) in positions.iter().enumerate() {
            let position = position as usize;
            let fields = self.annotations.remove(&position).unwrap_or_default();
            let octets = stored.octets(position).saturating_add(fields.len() as u64);
            shown.push((stored.unique_id(position), octets));
            if !fields.is_empty() {
                annotations.insert(visible, fields);
            }
        }
        let listing = Listing::new(shown).map_err(|error| {
            warn!(%error, "the octets of the maildrop are too many to count");
            Failure::internal()
        })?;
        Ok(View {
            listing: Arc::new(listing),
            positions: Some(positions),
            annotations,
            entries: self.entries,
        })
    }
}

/// What is wrong with a verdict, or the verdict.
fn checked(verdict: Verdict) -> Result<Remembered, &'static str> {
    let fields = match verdict {
        Verdict::Show => return Ok(Remembered::Show),
        Verdict::Hide => return Ok(Remembered::Hide),
        Verdict::Annotate(fields) if fields.is_empty() => return Ok(Remembered::Show),
        Verdict::Annotate(fields) => fields,
    };
    if let Some(lie) = validate::invalid_annotation(&fields) {
        return Err(lie);
    }
    let octets = fields.iter().map(|field| field.len() + 2).sum();
    let mut lines = Vec::with_capacity(octets);
    for field in &fields {
        lines.extend_from_slice(field.as_bytes());
        lines.extend_from_slice(b"\r\n");
    }
    Ok(Remembered::Annotate(lines.into()))
}

#[cfg(test)]
mod tests;

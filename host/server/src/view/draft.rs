//! A view in the making: what selectors and filters make of a store's listing.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::task::coop::consume_budget;
use tracing::{debug, warn};

use super::message::{OpenMaildrop, StoredMessage};
use super::verdicts::{Remembered, Round, Verdicts};
use restante_config::FilterFailure;
use restante_roles::backend::{
    Account, Connection, Entries, Failure, Filter, Screener, Selector, Verdict,
};
use restante_roles::validate;

/// How many times one filter may fail in one login, until it is not asked about the
/// rest: each failure may take as long as a call may.
pub(super) const MAX_FILTER_FAILURES: u32 = 3;

/// For whom filters are asked.
pub(super) struct Asking<'a> {
    pub(super) connection: &'a Arc<Connection>,
    pub(super) account: &'a Account,
    pub(super) maildrop: &'a OpenMaildrop,
    pub(super) on_failure: FilterFailure,
}

/// A view in the making. Positions are the store's.
pub(super) struct Draft {
    pub(super) entries: Arc<Entries>,
    /// Empty as long as nothing is hidden.
    pub(super) hidden: Vec<bool>,
    pub(super) annotations: HashMap<usize, Vec<u8>>,
}

impl Draft {
    pub(super) fn new(entries: Arc<Entries>) -> Self {
        Draft {
            entries,
            hidden: Vec::new(),
            annotations: HashMap::new(),
        }
    }

    pub(super) fn is_hidden(&self, position: usize) -> bool {
        self.hidden.get(position).copied().unwrap_or(false)
    }

    pub(super) fn hide(&mut self, positions: std::ops::Range<usize>) {
        if self.hidden.is_empty() && !positions.is_empty() {
            self.hidden = vec![false; self.entries.listing.len()];
        }
        if !positions.is_empty() {
            self.hidden[positions].fill(true);
        }
    }

    pub(super) async fn select(
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

    pub(super) async fn filter(
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
            if failures == MAX_FILTER_FAILURES {
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
}

/// What is wrong with a verdict, or the verdict.
pub(super) fn checked(verdict: Verdict) -> Result<Remembered, &'static str> {
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

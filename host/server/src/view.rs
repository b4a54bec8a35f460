//! What a client sees of a maildrop: the store's listing, less what selectors
//! and filters hide, with the header fields that filters put in front.
//!
//! Two numbering systems meet here and nowhere else: a *store position* is an
//! index into the store's own listing, a *visible position* one into what the
//! session shows. Both count from 0.

mod draft;
mod message;
mod shadow;
mod verdicts;

use std::collections::HashMap;
use std::sync::Arc;

use restante_pop3::Listing;
use tracing::warn;

use restante_config::FilterFailure;
use restante_roles::backend::{Account, Connection, Entries, Failure, Filter, Selector};
use restante_roles::shadow::Shadows;

use draft::{Asking, Draft};
pub use message::OpenMaildrop;
pub use verdicts::{MAX_VERDICTS_BYTES, Verdicts};

/// Which octets a view lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Octets {
    /// Of each message as it is stored.
    Stored,
    /// Of the surrogate, where a message needs one and the store knows it.
    Surrogates,
}

/// Who decides what a client sees of its maildrop.
pub struct ViewPolicy<'a> {
    /// Asked one after another, before all filters.
    pub selectors: &'a [Arc<dyn Selector>],
    /// Asked one after another.
    pub filters: &'a [Arc<dyn Filter>],
    /// What holds for messages that a filter has no word for.
    pub filter_failure: FilterFailure,
    /// Filters that are asked beside these and change nothing.
    pub shadows: &'a Shadows,
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
    /// Asks the store for its listing, then selectors and filters what to make of it.
    ///
    /// # Errors
    /// Whatever one of them fails with, and an internal failure where one of
    /// them lies: a view that policy did not decide is never shown.
    pub async fn new(
        policy: &ViewPolicy<'_>,
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
        for selector in policy.selectors {
            draft.select(&**selector, connection, account).await?;
        }
        let asking = Asking {
            connection,
            account,
            maildrop,
            on_failure: policy.filter_failure,
        };
        let selected = draft.hidden.clone();
        for filter in policy.filters {
            draft.filter(&**filter, &asking, verdicts).await?;
        }
        shadow::ask(policy.shadows, &draft, &selected, &asking, verdicts);
        View::of(draft, octets)
    }

    /// What is shown of a draft that policy is done with.
    fn of(mut draft: Draft, octets: Octets) -> Result<View, Failure> {
        let stored = match octets {
            Octets::Stored => &draft.entries.listing,
            Octets::Surrogates => &draft.entries.surrogates,
        };
        draft
            .annotations
            .retain(|&position, _| !draft.hidden.get(position).is_some_and(|&hidden| hidden));
        if draft.hidden.is_empty() && draft.annotations.is_empty() {
            return Ok(View {
                listing: Arc::clone(stored),
                positions: None,
                annotations: HashMap::new(),
                entries: draft.entries,
            });
        }
        // A listing has no more messages than a u32 counts.
        let positions: Vec<u32> = (0u32..)
            .zip(0..stored.len())
            .filter(|&(_, position)| !draft.hidden.get(position).is_some_and(|&hidden| hidden))
            .map(|(position, _)| position)
            .collect();
        let mut annotations = HashMap::with_capacity(draft.annotations.len());
        let mut shown = Vec::with_capacity(positions.len());
        for (visible, &position) in positions.iter().enumerate() {
            let position = position as usize;
            let fields = draft.annotations.remove(&position).unwrap_or_default();
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
            entries: draft.entries,
        })
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

#[cfg(test)]
mod tests;

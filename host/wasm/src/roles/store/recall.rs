//! Whether what is remembered of a maildrop is what a store would tell, without the store.

use tracing::warn;

use super::PluginMaildrop;
use super::cache::CachedListing;
use super::place::Place;
use crate::instance::facts::Standing;

impl PluginMaildrop {
    /// The listing that is remembered, if the facts behind its stamp still hold: a fresh
    /// instance would open the maildrop and say that stamp again. Those of an engine came with
    /// the session's hold. A recording has what was asked, so there all is.
    pub(super) fn recall_known(&self) -> Option<CachedListing> {
        if self.connection.recording.is_some() {
            return None;
        }
        let listings = &self.plugin.runtime.listings;
        let told = listings.recall(&self.key)?;
        let facts = told.facts.as_ref()?;
        let holds = match &self.place {
            Place::Elsewhere => false,
            Place::Directory(..) => {
                let maildrop = self.shared.root().clone()?;
                facts.hold(&maildrop)
            }
            Place::Engine(maildrop) => match facts.standing(&maildrop.take_states()) {
                Standing::Same => true,
                Standing::Unsure => false,
                Standing::SetBack => {
                    listings.forget(&self.key);
                    self.tell_set_back();
                    false
                }
            },
        };
        holds.then_some(told)
    }

    /// Tells the operator that what is remembered says nothing of the maildrop any more.
    fn tell_set_back(&self) {
        let maildrop = self.place.shown();
        let maildrop = maildrop.as_ref().map(tracing::field::debug);
        let (plugin, tenant) = (&*self.plugin.name, &*self.key.tenant);
        let user = &self.account.user;
        warn!(
            plugin,
            tenant,
            ?user,
            maildrop,
            "the index of a maildrop is older than it was: its engine was restored from a backup, \
             or a standby that was behind has taken over; the listing is read again, and mail that \
             came after that state of the index is missing"
        );
    }
}

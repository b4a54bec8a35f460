//! Filters that are asked beside the live ones, once it is known what the client
//! sees.

use std::sync::Arc;

use restante_pop3::Listing;
use tokio::task::coop::consume_budget;
use tracing::info;

use super::draft::{Asking, Draft, MAX_FILTER_FAILURES, checked};
use super::message::StoredMessage;
use super::verdicts::{Remembered, Verdicts};
use restante_roles::backend::Filter;
use restante_roles::metrics::ShadowResult;
use restante_roles::shadow::{Shadow, Shadows};

/// Messages that a shadow is asked about in one login: its verdicts are remembered,
/// so the next logins go on from there.
const MESSAGES: usize = 1000;

const ROLE: &str = "filter";

/// What the live filters made of the messages.
struct Live {
    listing: Arc<Listing>,
    /// By position; None: no filter was asked, or nothing was said of it.
    seen: Vec<Option<Remembered>>,
}

/// Asks the tenant's shadows about what they were not asked before. `selected`: what
/// the selectors had hidden, of which filters know nothing.
pub(super) fn ask(
    shadows: &Shadows,
    draft: &Draft,
    selected: &[bool],
    asking: &Asking<'_>,
    verdicts: &Arc<Verdicts>,
) {
    if shadows.filters.is_empty() {
        return;
    }
    let listing = Arc::clone(&draft.entries.listing);
    let seen = (0..listing.len()).map(|position| {
        let selected_away = selected.get(position).copied().unwrap_or(false);
        (!selected_away).then(|| match draft.annotations.get(&position) {
            _ if draft.is_hidden(position) => Remembered::Hide,
            Some(fields) => Remembered::Annotate(fields.as_slice().into()),
            None => Remembered::Show,
        })
    });
    let live = Arc::new(Live {
        seen: seen.collect(),
        listing,
    });
    for shadow in shadows.filters.iter().cloned() {
        let connection = shadows.connection(asking.connection);
        let account = asking.account.clone();
        let messages = Arc::downgrade(asking.maildrop);
        let (entries, live) = (Arc::clone(&draft.entries), Arc::clone(&live));
        let verdicts = Arc::clone(verdicts);
        let calls = Arc::clone(&shadow.calls);
        shadows.ask(&calls, ROLE, async move {
            let filter = &*shadow.role;
            let tenant = &connection.tenant;
            let (name, identity) = (filter.name(), filter.identity());
            let mut round = verdicts.begin(name, identity, tenant, &account, &live.listing);
            let new = |position: &usize| round.get(*position).is_none();
            let asked = (0..live.listing.len()).filter(|at| live.seen[*at].is_some());
            let asked: Vec<usize> = asked.filter(new).take(MESSAGES).collect();
            let (mut screener, mut tally) = (None, Tally::default());
            for position in asked {
                if tally.failed == u64::from(MAX_FILTER_FAILURES) {
                    break;
                }
                consume_budget().await;
                let message = StoredMessage::lent(messages.clone(), &entries, position);
                if message.is_gone() {
                    break;
                }
                if screener.is_none() {
                    match filter.screener(&connection, &account).await {
                        Ok(made) => screener = Some(made),
                        Err(_) => {
                            tally.failed += 1;
                            continue;
                        }
                    }
                }
                let Some(asked) = screener.as_mut() else {
                    continue;
                };
                match asked
                    .screen(Arc::new(message))
                    .await
                    .ok()
                    .and_then(|said| checked(said).ok())
                {
                    Some(said) => {
                        tally.compare(&live, position, &said);
                        round.put(position, said);
                    }
                    None => {
                        screener = None;
                        tally.failed += 1;
                    }
                }
            }
            tally.tell(&shadow, tenant);
        });
    }
}

#[derive(Default)]
struct Tally {
    same: u64,
    different: u64,
    failed: u64,
    /// The first message that they differ on: its unique-id, and what the live ones
    /// and the shadow make of it.
    first: Option<(String, &'static str, &'static str)>,
}

impl Tally {
    fn compare(&mut self, live: &Live, position: usize, said: &Remembered) {
        let Some(seen) = &live.seen[position] else {
            return;
        };
        if seen == said {
            self.same += 1;
            return;
        }
        self.different += 1;
        let unique_id = live.listing.unique_id(position);
        self.first
            .get_or_insert_with(|| (unique_id.to_owned(), word(seen), word(said)));
    }

    fn tell(self, shadow: &Shadow<dyn Filter>, tenant: &str) {
        for (result, times) in [
            (ShadowResult::Same, self.same),
            (ShadowResult::Different, self.different),
            (ShadowResult::Failed, self.failed),
        ] {
            shadow.calls.shadowed(ROLE, result, times);
        }
        if self.different + self.failed > 0 {
            let (unique_id, live, said) = self.first.unwrap_or_default();
            info!(
                plugin = %shadow.plugin, tenant, role = ROLE,
                same = self.same, different = self.different, failed = self.failed,
                unique_id, live, shadow = said,
                "the shadow differs"
            );
        }
    }
}

fn word(verdict: &Remembered) -> &'static str {
    match verdict {
        Remembered::Show => "show",
        Remembered::Hide => "hide",
        Remembered::Annotate(_) => "annotate",
    }
}

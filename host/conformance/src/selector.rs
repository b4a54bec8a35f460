//! What a selector owes.

use std::sync::Arc;

use restante_pop3::Listing;

use crate::exam::{Checked, Exam, expect, served};
use restante_roles::backend::{Account, Connection, Entries, Selector};
use restante_roles::validate::invalid_spans;

/// Messages of the listings that it is shown.
const LISTINGS: [usize; 4] = [0, 1, 10, 100_000];

pub(super) async fn examine(exam: &mut Exam<'_>, selector: &dyn Selector) {
    let connection = exam.candidate.usual_connection();
    let account = exam.candidate.account("kit");
    exam.check(
        "spans that are some",
        "selector: spans that rise, do not overlap and lie within the listing, of an empty maildrop as of a large one",
        spans(selector, &connection, &account),
    )
    .await;
}

async fn spans(
    selector: &dyn Selector,
    connection: &Arc<Connection>,
    account: &Account,
) -> Checked {
    for messages in LISTINGS {
        let sent = format!("select() of a maildrop with {messages} messages");
        let entries = Arc::new(entries(messages));
        let first = served(selector.select(connection, account, &entries).await, &sent)?;
        let lie = invalid_spans(&first, messages);
        expect(lie.is_none(), &sent, lie.unwrap_or_default())?;
        let again = served(selector.select(connection, account, &entries).await, &sent)?;
        expect(first == again, &sent, "other spans the second time")?;
    }
    Ok(())
}

/// A message an hour, the newest now.
fn entries(messages: usize) -> Entries {
    let rows = (0..messages).map(|at| (format!("kit{at}"), 1000 + at as u64));
    let listing = Listing::new(rows).expect("names that differ and small sizes");
    let listing = Arc::new(listing);
    let now = std::time::SystemTime::now();
    let now = now
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    let age = |at: usize| 3600 * (messages - at) as u64;
    Entries {
        surrogates: Arc::clone(&listing),
        listing,
        received: (0..messages)
            .map(|at| now.as_secs().saturating_sub(age(at)))
            .collect(),
    }
}

//! What a store owes.

use std::sync::Arc;
use std::time::Duration;

use restante_pop3::{Listing, Scales};
use tokio::time::timeout;

use crate::candidate::Candidate;
use crate::exam::{Checked, Exam, Printable, broken, expect, served, skip, unpleasant_names};
use crate::maildrops::MaildropCopy;
use crate::session::{self, OpenMaildrop};
use restante_roles::backend::{Account, Connection, Content, Entries, Failure, Maildrop, Store};
use restante_roles::content::{CHUNK_OCTETS, Source};

/// Messages and octets whose content is read, of one maildrop.
const MESSAGES: usize = 2_000;
const OCTETS: u64 = 256 << 20;
/// How large the pieces are that readers are asked for.
const PIECES: [u32; 4] = [1, 7, 4096, 65_536];
/// Octets that are read one or seven at a time: more takes for ever.
const SMALL_PIECES_OF: u64 = 4096;
/// After how many microseconds a removal is broken off.
const BROKEN_OFF_AFTER: [u64; 12] = [0, 1, 5, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 20_000];

pub(super) async fn examine(exam: &mut Exam<'_>, store: &Arc<dyn Store>) {
    let bench = Bench {
        candidate: exam.candidate,
        store: &**store,
    };
    exam.check(
        "the listing",
        "store.listing: columns of one length; unique-ids of 1 to 70 octets 0x21..0x7E, no two the same (RFC 1939 section 7, UIDL)",
        bench.listing(),
    )
    .await;
    exam.check(
        "oldest first",
        "store.listing: oldest first, so that new mail has the highest numbers",
        bench.order(),
    )
    .await;
    exam.check(
        "the same names again",
        "store: a message keeps its unique-id and its octets across sessions (RFC 1939 section 7, UIDL)",
        bench.stable(),
    )
    .await;
    exam.check(
        "octets are what the content has",
        "store.listing: octets as they go out, line ends CRLF, byte-stuffing not counted (RFC 1939 section 11)",
        bench.octets(),
    )
    .await;
    exam.check(
        "the same content again",
        "store.content: the same octets each time, until the message is removed",
        bench.same_content(),
    )
    .await;
    exam.check(
        "readers, piece by piece",
        "store.reader: at most as many octets as asked for, nothing only at the end, the same octets in any pieces",
        bench.pieces(),
    )
    .await;
    exam.check(
        "nothing is removed for nothing",
        "store.remove: exactly the messages that are named (RFC 1939 section 6)",
        bench.remove_none(),
    )
    .await;
    exam.check(
        "what is named is removed",
        "store.remove: exactly the messages that are named, for good before it answers (RFC 1939 section 6)",
        bench.remove_some(),
    )
    .await;
    exam.check(
        "all are removed",
        "store.remove: exactly the messages that are named (RFC 1939 section 6)",
        bench.remove_all(),
    )
    .await;
    exam.check(
        "broken off in the middle",
        "store.remove: whenever it ends, nothing is gone that was not named (RFC 1939 section 6)",
        bench.broken_off(),
    )
    .await;
    exam.check(
        "an account without mail",
        "store.open: an account whose maildrop does not exist has no messages, or fails in words",
        bench.nobody(),
    )
    .await;
    exam.check(
        "paths, quotes, NUL, 8 bits in the account",
        "store.open: whatever an account is called, nobody else's mail is shown",
        bench.unpleasant(),
    )
    .await;
}

struct Bench<'a> {
    candidate: &'a Candidate,
    store: &'a dyn Store,
}

/// A copy of the maildrop that goes when the check is over.
struct Copy<'a> {
    candidate: &'a Candidate,
    made: MaildropCopy,
    account: Account,
}

impl Drop for Copy<'_> {
    fn drop(&mut self) {
        self.candidate.maildrops.discard(&self.made);
    }
}

impl Bench<'_> {
    async fn copy(&self) -> Checked<Copy<'_>> {
        match self.candidate.maildrops.fresh().await {
            Ok(made) => Ok(Copy {
                candidate: self.candidate,
                account: self.candidate.account(&made.maildrop),
                made,
            }),
            // Nothing would be checked, and whoever gave it would not know.
            Err(error) => broken("a copy of the maildrop", format_args!("none: {error}")),
        }
    }

    /// One session of a copy's at a time: the store may keep a second one out.
    async fn open(&self, copy: &Copy<'_>) -> Checked<OpenMaildrop> {
        let connection = self.candidate.connection_to(&copy.made);
        let opened = session::open(self.store, &connection, &copy.account).await;
        served(opened, "maildrop.open(account)")
    }

    async fn listed(&self, copy: &Copy<'_>) -> Checked<(OpenMaildrop, Arc<Entries>)> {
        let mut maildrop = self.open(copy).await?;
        let entries = served(maildrop.listing().await, "maildrop.listing()")?;
        Ok((maildrop, entries))
    }

    /// The same where there is mail to look at.
    async fn filled(&self, copy: &Copy<'_>) -> Checked<(OpenMaildrop, Arc<Entries>)> {
        let (maildrop, entries) = self.listed(copy).await?;
        if entries.listing.is_empty() {
            return skip(
                "the store lists no message of the maildrop: give one that it can read, --maildrop DIR",
            );
        }
        Ok((maildrop, entries))
    }

    async fn listing(&self) -> Checked {
        let copy = self.copy().await?;
        self.filled(&copy).await?;
        Ok(())
    }

    async fn order(&self) -> Checked {
        let copy = self.copy().await?;
        let (_, entries) = self.filled(&copy).await?;
        let known = |position: &usize| entries.received[*position] > 0;
        let positions: Vec<usize> = (0..entries.received.len()).filter(known).collect();
        for pair in positions.windows(2) {
            let [before, behind] = [pair[0], pair[1]].map(|at| entries.received[at]);
            expect(
                before <= behind,
                "maildrop.listing()",
                format_args!(
                    "position {} was received at {before}, and position {} behind it at {behind}",
                    pair[0], pair[1]
                ),
            )?;
        }
        match positions.len() {
            0 => skip("it tells of no message when it came"),
            _ => Ok(()),
        }
    }

    async fn stable(&self) -> Checked {
        let copy = self.copy().await?;
        let (_, first) = self.filled(&copy).await?;
        for session in ["a second", "a third"] {
            let (_, again) = self.listed(&copy).await?;
            let sent = format!("maildrop.listing() in {session} session, nothing has changed");
            same(&first.listing, &again.listing, &sent)?;
            same(&first.surrogates, &again.surrogates, &sent)?;
        }
        Ok(())
    }

    async fn octets(&self) -> Checked {
        let copy = self.copy().await?;
        let (mut maildrop, entries) = self.filled(&copy).await?;
        let mut read = 0;
        for position in 0..entries.listing.len().min(MESSAGES) {
            let unique_id = entries.listing.unique_id(position);
            let sent = format!("maildrop.content() of {unique_id}");
            let octets = content(&mut *maildrop, position).await?;
            let weight = Scales::weigh(&octets);
            let listed = entries.listing.octets(position);
            expect(
                weight.octets == listed,
                &sent,
                format_args!(
                    "{} octets on the wire, and its listing says {listed} (as it is stored: {})",
                    weight.octets,
                    octets.len()
                ),
            )?;
            let surrogate = entries.surrogates.octets(position);
            expect(
                surrogate == weight.surrogate || surrogate == listed,
                &sent,
                format_args!(
                    "its surrogate has {} octets, and its listing says {surrogate}",
                    weight.surrogate
                ),
            )?;
            read += octets.len() as u64;
            if read > OCTETS {
                break;
            }
        }
        Ok(())
    }

    async fn same_content(&self) -> Checked {
        let copy = self.copy().await?;
        let (mut maildrop, entries) = self.filled(&copy).await?;
        let (mut contents, mut read) = (Vec::new(), 0);
        for position in 0..entries.listing.len().min(MESSAGES) {
            let first = content(&mut *maildrop, position).await?;
            read += 3 * first.len() as u64;
            let again = content(&mut *maildrop, position).await?;
            same_octets(&entries, position, "the same", &first, &again)?;
            contents.push(first);
            if read > OCTETS {
                break;
            }
        }
        drop(maildrop);
        let (mut maildrop, _) = self.listed(&copy).await?;
        for (position, first) in contents.iter().enumerate() {
            let again = content(&mut *maildrop, position).await?;
            same_octets(&entries, position, "another", first, &again)?;
        }
        Ok(())
    }

    async fn pieces(&self) -> Checked {
        let copy = self.copy().await?;
        let (mut maildrop, entries) = self.filled(&copy).await?;
        let mut readers = 0;
        for position in 0..entries.listing.len().min(MESSAGES) {
            let unique_id = entries.listing.unique_id(position);
            let sent = format!("maildrop.content() of {unique_id}");
            let Content::Reader(_) = served(maildrop.content(position).await, &sent)? else {
                continue;
            };
            readers += 1;
            let whole = content(&mut *maildrop, position).await?;
            for piece in PIECES {
                if u64::from(piece) < SMALL_PIECES_OF && whole.len() as u64 > SMALL_PIECES_OF {
                    continue;
                }
                let sent = format!("reader.read({piece}) of {unique_id}, until it ends");
                let Content::Reader(mut reader) = served(maildrop.content(position).await, &sent)?
                else {
                    return broken(sent, "a reader one time, and none the other");
                };
                let mut octets = Vec::new();
                loop {
                    let got = served(reader.read(piece).await, &sent)?;
                    expect(
                        got.len() <= piece as usize,
                        &sent,
                        format_args!("{} octets at once", got.len()),
                    )?;
                    if got.is_empty() {
                        break;
                    }
                    octets.extend_from_slice(&got);
                    let endless = octets.len() > whole.len() + CHUNK_OCTETS;
                    expect(!endless, &sent, "no end where the message had one before")?;
                }
                expect(octets == whole, &sent, differing(&whole, &octets))?;
            }
        }
        match readers {
            0 => skip("its messages come from files or whole, not from readers"),
            _ => Ok(()),
        }
    }

    /// What is there after these positions were removed, in a new session.
    async fn remaining(&self, copy: &Copy<'_>, positions: &[usize]) -> Checked {
        let (mut maildrop, before) = self.filled(copy).await?;
        let mut left = Vec::new();
        for position in (0..before.listing.len()).filter(|at| !positions.contains(at)) {
            left.push((position, content(&mut *maildrop, position).await?));
        }
        let sent = format!(
            "maildrop.remove() of {} of {} messages",
            positions.len(),
            before.listing.len()
        );
        served(maildrop.remove(positions).await, &sent)?;
        drop(maildrop);
        let (mut maildrop, after) = self.listed(copy).await?;
        expect(
            after.listing.len() == left.len(),
            &sent,
            format_args!(
                "{} messages afterwards instead of {}",
                after.listing.len(),
                left.len()
            ),
        )?;
        for (at, (position, octets)) in left.iter().enumerate() {
            let unique_id = before.listing.unique_id(*position);
            let there = after.listing.unique_id(at);
            expect(
                there == unique_id,
                &sent,
                format_args!("{there} where {unique_id} was to stay"),
            )?;
            let now = content(&mut *maildrop, at).await?;
            expect(
                now == *octets,
                format_args!("{sent}; then maildrop.content() of {unique_id}, which stayed"),
                differing(octets, &now),
            )?;
        }
        Ok(())
    }

    async fn remove_none(&self) -> Checked {
        let copy = self.copy().await?;
        self.remaining(&copy, &[]).await
    }

    async fn remove_some(&self) -> Checked {
        let copy = self.copy().await?;
        let (_, entries) = self.filled(&copy).await?;
        let messages = entries.listing.len();
        let mut positions = vec![0, messages / 2, messages - 1];
        positions.dedup();
        self.remaining(&copy, &positions).await?;
        // Once more, on what the first time left.
        let (_, entries) = self.listed(&copy).await?;
        match entries.listing.len() {
            0 => Ok(()),
            messages => self.remaining(&copy, &[messages - 1]).await,
        }
    }

    async fn remove_all(&self) -> Checked {
        let copy = self.copy().await?;
        let (_, entries) = self.filled(&copy).await?;
        let all: Vec<usize> = (0..entries.listing.len()).collect();
        self.remaining(&copy, &all).await
    }

    /// The guest's call is dropped where it stands, as a time-out, a kick or the
    /// end of the process would.
    async fn broken_off(&self) -> Checked {
        for microseconds in BROKEN_OFF_AFTER {
            let copy = self.copy().await?;
            let (mut maildrop, before) = self.filled(&copy).await?;
            let positions: Vec<usize> = (0..before.listing.len()).step_by(2).collect();
            let removing = maildrop.remove(&positions);
            let _ = timeout(Duration::from_micros(microseconds), removing).await;
            drop(maildrop);
            let (mut maildrop, after) = self.listed(&copy).await?;
            let sent = format!(
                "maildrop.remove() of every other message, broken off after {microseconds} µs"
            );
            for position in (1..before.listing.len()).step_by(2) {
                let unique_id = before.listing.unique_id(position);
                let there =
                    (0..after.listing.len()).find(|&at| after.listing.unique_id(at) == unique_id);
                let Some(there) = there else {
                    return broken(
                        sent,
                        format_args!("{unique_id} is gone, which was not named"),
                    );
                };
                let octets = content(&mut *maildrop, there).await?;
                let (octets, listed) = (
                    Scales::weigh(&octets).octets,
                    before.listing.octets(position),
                );
                expect(
                    octets == listed,
                    &sent,
                    format_args!(
                        "{unique_id}, which was not named, has {octets} octets instead of {listed}"
                    ),
                )?;
            }
        }
        Ok(())
    }

    /// What the account is shown; none: it fails in words.
    async fn shown_to(
        &self,
        connection: &Arc<Connection>,
        account: &Account,
        sent: &str,
    ) -> Checked<Option<Arc<Entries>>> {
        let listing = async {
            let mut maildrop = session::open(self.store, connection, account).await?;
            maildrop.listing().await
        };
        let listing = listing.await;
        match listing {
            Ok(entries) => Ok(Some(entries)),
            // What a trap becomes, and nothing else.
            Err(failure) if failure == Failure::internal() => {
                broken(sent, "a trap, or an answer that is none")
            }
            Err(_) => Ok(None),
        }
    }

    async fn nobody(&self) -> Checked {
        let account = self.candidate.account("nobody-has-this-maildrop");
        let connection = self.candidate.usual_connection();
        let sent = "maildrop.open() of an account whose maildrop does not exist";
        let Some(entries) = self.shown_to(&connection, &account, sent).await? else {
            return Ok(());
        };
        let messages = entries.listing.len();
        expect(messages == 0, sent, format_args!("{messages} messages"))
    }

    async fn unpleasant(&self) -> Checked {
        let copy = self.copy().await?;
        let (_, own) = self.filled(&copy).await?;
        let ids = |listing: &Listing| -> Vec<String> {
            let ids = (0..listing.len()).map(|at| listing.unique_id(at).to_owned());
            ids.collect()
        };
        for (name, what) in unpleasant_names() {
            for (user, maildrop) in [("kit", name.as_str()), (name.as_str(), "elsewhere")] {
                let account = Account {
                    user: user.to_owned(),
                    maildrop: maildrop.to_owned(),
                    attributes: vec![(name.clone(), name.clone())].into(),
                };
                let sent = format!(
                    "maildrop.open() of user {}, maildrop {} ({what})",
                    Printable(user.as_bytes()),
                    Printable(maildrop.as_bytes())
                );
                // Another tenant's session would be kept from the mail by the host alone.
                let connection = self.candidate.connection_to(&copy.made);
                if let Some(entries) = self.shown_to(&connection, &account, &sent).await? {
                    expect(
                        ids(&entries.listing) != ids(&own.listing),
                        &sent,
                        format_args!("the mail of maildrop {}", copy.account.maildrop),
                    )?;
                }
            }
        }
        Ok(())
    }
}

/// A whole message as it is stored.
async fn content(maildrop: &mut dyn Maildrop, position: usize) -> Checked<Vec<u8>> {
    let sent = format!("maildrop.content() of position {position}");
    let content = served(maildrop.content(position).await, &sent)?;
    let (mut source, mut octets, mut chunk) = (Source::new(content), Vec::new(), Vec::new());
    while !source.ended() {
        if let Err(error) = source.next(&mut chunk).await {
            return broken(sent, error);
        }
        octets.extend_from_slice(&chunk);
        let endless = octets.len() as u64 > OCTETS;
        expect(!endless, &sent, format_args!("more than {OCTETS} octets"))?;
    }
    Ok(octets)
}

fn same(one: &Listing, other: &Listing, sent: &str) -> Checked {
    expect(
        one.len() == other.len(),
        sent,
        format_args!("{} messages instead of {}", other.len(), one.len()),
    )?;
    for position in 0..one.len() {
        let row = |listing: &Listing| {
            let unique_id = listing.unique_id(position).to_owned();
            (unique_id, listing.octets(position))
        };
        let (before, now) = (row(one), row(other));
        expect(
            before == now,
            sent,
            format_args!(
                "position {position} is {} with {} octets, and was {} with {}",
                now.0, now.1, before.0, before.1
            ),
        )?;
    }
    Ok(())
}

/// Whether a message that is asked for again has the octets that it had.
fn same_octets(
    entries: &Entries,
    position: usize,
    session: &str,
    first: &[u8],
    again: &[u8],
) -> Checked {
    let unique_id = entries.listing.unique_id(position);
    expect(
        again == first,
        format_args!("maildrop.content() of {unique_id} again, in {session} session"),
        differing(first, again),
    )
}

/// Where two contents part.
fn differing(one: &[u8], other: &[u8]) -> String {
    let at = one.iter().zip(other).position(|(one, other)| one != other);
    let at = at.unwrap_or(one.len().min(other.len()));
    format!(
        "{} octets instead of {}, different from octet {at} on: {} instead of {}",
        other.len(),
        one.len(),
        Printable(&other[at..]),
        Printable(&one[at..])
    )
}

//! Decides by the history of a maildrop, and by what is left in it, whether its mail was kept
//! as promised. It knows nothing of servers and engines: what it cannot prove from outside is
//! no violation, and so an answer that never came may have been either.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use crate::history::{At, Delivered, Digest, Event, Quit};

/// A promise that was broken. Sessions and deliveries by their numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Violation {
    /// A client got octets that nobody has delivered to this maildrop.
    NotDelivered { session: u64, unique_id: String },
    /// A listing, or the engine itself (none), has other octets than were delivered.
    WrongOctets {
        session: Option<u64>,
        unique_id: String,
        listed: u64,
        delivered: u64,
    },
    /// One unique-id is that of two messages.
    TwoMessages {
        unique_id: String,
        deliveries: [u64; 2],
    },
    /// One message has two unique-ids.
    TwoUniqueIds {
        delivery: u64,
        unique_ids: [String; 2],
    },
    /// A message is there whose delivery was refused.
    RefusedIsThere { delivery: u64, unique_id: String },
    /// There are more messages than deliveries that may have been made.
    TooMany { messages: usize, deliveries: usize },
    /// It was acknowledged and is gone, and nobody who marked it had it removed.
    Lost {
        delivery: u64,
        unique_id: Option<String>,
    },
    /// A session is not shown what was acknowledged before it logged in.
    Hidden { session: u64, unique_id: String },
    /// Two sessions were told that they have removed it.
    RemovedTwice {
        unique_id: String,
        sessions: [u64; 2],
    },
    /// A session was told that it is removed, and a later one, or the engine (none), has it.
    CameBack {
        unique_id: String,
        removed_by: u64,
        session: Option<u64>,
    },
    /// Two sessions, both told that they have removed something, were in TRANSACTION at once.
    TwoAtOnce { sessions: [u64; 2] },
    /// A session was told that it has removed what one that took the maildrop over, and
    /// removed something itself, was still shown.
    RemovedAfterTakeOver {
        unique_id: String,
        removed_by: u64,
        holder: u64,
    },
}

/// A message that is in the engine when everything is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Left {
    pub(crate) unique_id: String,
    pub(crate) octets: u64,
}

/// A message on its way in.
struct Delivery {
    octets: u64,
    /// None: not told.
    came: Option<(Duration, Delivered)>,
}

impl Delivery {
    fn acknowledged(&self) -> Option<Duration> {
        match &self.came {
            Some((at, Delivered::Kept(_) | Delivered::Before)) => Some(*at),
            _ => None,
        }
    }

    fn is_refused(&self) -> bool {
        matches!(self.came, Some((_, Delivered::Refused)))
    }
}

#[derive(Default)]
struct Session<'a> {
    login_sent: Option<Duration>,
    logged_in: Option<Duration>,
    listed: Option<(Duration, BTreeMap<&'a str, u64>)>,
    marked: BTreeSet<&'a str>,
    quit_sent: Option<Duration>,
    answered: Option<(Duration, Quit)>,
}

/// A session that was told that it has removed something.
struct Remover<'a> {
    session: u64,
    login_sent: Duration,
    logged_in: Duration,
    quit_sent: Duration,
    told: Duration,
    removed: &'a BTreeSet<&'a str>,
    listing: &'a BTreeMap<&'a str, u64>,
}

impl Session<'_> {
    /// When it asked to have removed what it had marked, unless it was told that it is not.
    fn may_have_removed(&self, unique_id: &str) -> Option<Duration> {
        let is_refused = matches!(self.answered, Some((_, Quit::Refused)));
        (!is_refused && self.marked.contains(unique_id))
            .then_some(self.quit_sent)
            .flatten()
    }

    fn as_remover(&self, session: u64) -> Option<Remover<'_>> {
        let (told, Quit::Done) = self.answered? else {
            return None;
        };
        if self.marked.is_empty() {
            return None;
        }
        Some(Remover {
            session,
            login_sent: self.login_sent?,
            logged_in: self.logged_in?,
            quit_sent: self.quit_sent?,
            told,
            removed: &self.marked,
            listing: &self.listed.as_ref()?.1,
        })
    }
}

/// The events of a maildrop, by what they are about.
#[derive(Default)]
struct Maildrop<'a> {
    deliveries: BTreeMap<u64, Delivery>,
    by_digest: BTreeMap<Digest, u64>,
    sessions: BTreeMap<u64, Session<'a>>,
    /// Which delivery has which unique-id, as was told or seen, and the other way round.
    messages: BTreeMap<&'a str, u64>,
    unique_ids: BTreeMap<u64, &'a str>,
    violations: Vec<Violation>,
}

/// What was broken in this maildrop: none, if nothing was.
pub(crate) fn check(events: &[At], left: &[Left]) -> Vec<Violation> {
    let mut maildrop = Maildrop::default();
    for At { at, event } in events {
        maildrop.take(*at, event);
    }
    maildrop.check_identities(left);
    maildrop.check_kept(left);
    maildrop.check_removed(left);
    maildrop.violations
}

impl<'a> Maildrop<'a> {
    fn take(&mut self, at: Duration, event: &'a Event) {
        match event {
            Event::Delivering {
                delivery,
                digest,
                octets,
            } => {
                let (octets, came) = (*octets, None);
                self.deliveries.insert(*delivery, Delivery { octets, came });
                self.by_digest.insert(*digest, *delivery);
            }
            Event::Delivered { delivery, came } => {
                if let Some(known) = self.deliveries.get_mut(delivery) {
                    known.came = Some((at, came.clone()));
                }
                if let Delivered::Kept(unique_id) = came {
                    self.is_of(unique_id, *delivery);
                }
            }
            Event::LoginSent { session, .. } => self.session(*session).login_sent = Some(at),
            Event::LoggedIn { session } => self.session(*session).logged_in = Some(at),
            Event::Listed { session, listing } => {
                let listing = listing.iter().map(|(id, octets)| (&**id, *octets));
                self.session(*session).listed = Some((at, listing.collect()));
            }
            Event::Fetched {
                session,
                unique_id,
                digest,
            } => match self.by_digest.get(digest).copied() {
                Some(delivery) => self.is_of(unique_id, delivery),
                None => self.violations.push(Violation::NotDelivered {
                    session: *session,
                    unique_id: unique_id.clone(),
                }),
            },
            Event::Marked { session, unique_id } => {
                self.session(*session).marked.insert(unique_id);
            }
            Event::QuitSent { session } => self.session(*session).quit_sent = Some(at),
            Event::QuitAnswered { session, answer } => {
                self.session(*session).answered = Some((at, *answer));
            }
        }
    }

    fn session(&mut self, session: u64) -> &mut Session<'a> {
        self.sessions.entry(session).or_default()
    }

    /// This unique-id is that of this message: of no other, and no other is its.
    fn is_of(&mut self, unique_id: &'a str, delivery: u64) {
        let before = *self.messages.entry(unique_id).or_insert(delivery);
        if before != delivery {
            self.violations.push(Violation::TwoMessages {
                unique_id: unique_id.to_owned(),
                deliveries: [before, delivery],
            });
            return;
        }
        let before = *self.unique_ids.entry(delivery).or_insert(unique_id);
        if before != unique_id {
            self.violations.push(Violation::TwoUniqueIds {
                delivery,
                unique_ids: [before.to_owned(), unique_id.to_owned()],
            });
        }
    }

    /// Whether each message that anybody saw is one that was delivered, once.
    fn check_identities(&mut self, left: &'a [Left]) {
        let mut found = Vec::new();
        let mut unnamed = HashSet::new();
        let listings = self.sessions.iter().flat_map(|(session, it)| {
            let listed = it.listed.iter().flat_map(|(_, listing)| listing);
            listed.map(|(id, octets)| (Some(*session), *id, *octets))
        });
        let left = left
            .iter()
            .map(|left| (None, &*left.unique_id, left.octets));
        for (session, unique_id, listed) in listings.chain(left) {
            let delivery = self.messages.get(unique_id);
            match delivery.and_then(|delivery| self.deliveries.get(delivery)) {
                Some(delivery) if delivery.octets != listed => {
                    found.push(Violation::WrongOctets {
                        session,
                        unique_id: unique_id.to_owned(),
                        listed,
                        delivered: delivery.octets,
                    });
                }
                Some(_) => {}
                None => {
                    unnamed.insert(unique_id);
                }
            }
        }
        let may_be = self.deliveries.iter().filter(|(number, delivery)| {
            !delivery.is_refused() && !self.unique_ids.contains_key(number)
        });
        let (messages, deliveries) = (unnamed.len(), may_be.count());
        if messages > deliveries {
            found.push(Violation::TooMany {
                messages,
                deliveries,
            });
        }
        let refused = self.unique_ids.iter().filter(|(delivery, _)| {
            let delivery = self.deliveries.get(delivery);
            delivery.is_some_and(Delivery::is_refused)
        });
        found.extend(refused.map(|(&delivery, id)| Violation::RefusedIsThere {
            delivery,
            unique_id: (*id).to_owned(),
        }));
        self.violations.extend(found);
    }

    /// Whether each message that was acknowledged is there, and shown, until somebody may have
    /// removed it.
    fn check_kept(&mut self, left: &[Left]) {
        let mut found = Vec::new();
        let left: HashSet<&str> = left.iter().map(|left| &*left.unique_id).collect();
        let unnamed = left.iter().filter(|id| !self.messages.contains_key(*id));
        let mut unnamed = unnamed.count();
        for (&number, delivery) in &self.deliveries {
            let Some(acknowledged) = delivery.acknowledged() else {
                continue;
            };
            let Some(&unique_id) = self.unique_ids.get(&number) else {
                // Nobody ever fetched it, so nobody who fetches first has marked it.
                match unnamed.checked_sub(1) {
                    Some(others) => unnamed = others,
                    None => found.push(Violation::Lost {
                        delivery: number,
                        unique_id: None,
                    }),
                }
                continue;
            };
            let sessions = self.sessions.values();
            let removed = sessions.filter_map(|it| it.may_have_removed(unique_id));
            let removed = removed.min();
            if removed.is_none() && !left.contains(unique_id) {
                found.push(Violation::Lost {
                    delivery: number,
                    unique_id: Some(unique_id.to_owned()),
                });
            }
            for (&session, it) in &self.sessions {
                let (Some(login_sent), Some((listed, listing))) = (it.login_sent, &it.listed)
                else {
                    continue;
                };
                let may_be_gone = removed.is_some_and(|removed| removed < *listed);
                if acknowledged < login_sent && !may_be_gone && !listing.contains_key(unique_id) {
                    found.push(Violation::Hidden {
                        session,
                        unique_id: unique_id.to_owned(),
                    });
                }
            }
        }
        self.violations.extend(found);
    }

    /// Whether what was removed stays so, and was removed by the one session that had the
    /// maildrop.
    fn check_removed(&mut self, left: &[Left]) {
        let mut found = Vec::new();
        let sessions = self.sessions.iter();
        let removers = sessions.filter_map(|(number, it)| it.as_remover(*number));
        let removers: Vec<Remover<'_>> = removers.collect();
        let mut removed: BTreeMap<&str, u64> = BTreeMap::new();
        for remover in &removers {
            for &unique_id in remover.removed {
                let first = *removed.entry(unique_id).or_insert(remover.session);
                if first != remover.session {
                    found.push(Violation::RemovedTwice {
                        unique_id: unique_id.to_owned(),
                        sessions: [first, remover.session],
                    });
                }
            }
            let came_back = |unique_id: &str, session| Violation::CameBack {
                unique_id: unique_id.to_owned(),
                removed_by: remover.session,
                session,
            };
            for (&session, it) in &self.sessions {
                let (Some(login_sent), Some((_, listing))) = (it.login_sent, &it.listed) else {
                    continue;
                };
                if login_sent > remover.told {
                    let again = remover.removed.iter();
                    let again = again.filter(|id| listing.contains_key(**id));
                    found.extend(again.map(|id| came_back(id, Some(session))));
                }
            }
            let again = left.iter().map(|left| &*left.unique_id);
            let again = again.filter(|id| remover.removed.contains(id));
            found.extend(again.map(|id| came_back(id, None)));
        }
        for (at, one) in removers.iter().enumerate() {
            for other in &removers[at + 1..] {
                if one.logged_in < other.quit_sent && other.logged_in < one.quit_sent {
                    found.push(Violation::TwoAtOnce {
                        sessions: [one.session, other.session],
                    });
                }
            }
        }
        for one in &removers {
            // Whoever asks for the maildrop after another has it gets it when that one has it
            // no more.
            let later = removers.iter().filter(|it| it.login_sent > one.logged_in);
            for other in later.filter(|it| it.login_sent <= one.told) {
                let shown = one.removed.iter();
                let shown = shown.filter(|id| other.listing.contains_key(**id));
                found.extend(shown.map(|id| Violation::RemovedAfterTakeOver {
                    unique_id: (*id).to_owned(),
                    removed_by: one.session,
                    holder: other.session,
                }));
            }
        }
        self.violations.extend(found);
    }
}

#[cfg(test)]
mod tests;

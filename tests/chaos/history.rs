//! What clients and the deliverer have seen of each maildrop, by one clock. What is sent is
//! noted before it is sent, and what is received after it has come: so whatever a server did
//! in between lies between the two.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};

/// SHA-256 of a message as a client gets it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Digest([u8; 32]);

impl Digest {
    pub(crate) fn of(octets: &[u8]) -> Digest {
        Digest(digest(&SHA256, octets).as_ref().try_into().unwrap())
    }

    pub(crate) fn octets(self) -> [u8; 32] {
        self.0
    }
}

impl fmt::Debug for Digest {
    /// As much as tells it from the others of a maildrop.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..4]
            .iter()
            .try_for_each(|octet| write!(out, "{octet:02x}"))
    }
}

/// What came of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Delivered {
    /// Acknowledged, under this unique-id.
    Kept(String),
    /// Acknowledged: an attempt before this one, whose answer did not come, was made.
    Before,
    /// It was not made, and will not be.
    Refused,
    /// Nobody knows.
    Unknown,
}

/// What came of a QUIT that was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Quit {
    /// +OK: what was marked is removed.
    Done,
    /// -ERR, and nothing was removed or will be.
    Refused,
    /// -ERR, and nobody knows.
    Unknown,
}

/// Something that a client or the deliverer did or saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    Delivering {
        delivery: u64,
        digest: Digest,
        octets: u64,
    },
    Delivered {
        delivery: u64,
        came: Delivered,
    },
    /// The password is about to be sent, to the server of this number.
    LoginSent {
        session: u64,
        server: usize,
    },
    LoggedIn {
        session: u64,
    },
    /// Unique-ids with octets, all that the session has.
    Listed {
        session: u64,
        listing: Vec<(String, u64)>,
    },
    /// The whole of it came.
    Fetched {
        session: u64,
        unique_id: String,
        digest: Digest,
    },
    /// DELE got +OK.
    Marked {
        session: u64,
        unique_id: String,
    },
    QuitSent {
        session: u64,
    },
    /// Without it no answer came.
    QuitAnswered {
        session: u64,
        answer: Quit,
    },
}

/// An event, and when it was noted.
#[derive(Debug, Clone)]
pub(crate) struct At {
    pub(crate) at: Duration,
    pub(crate) event: Event,
}

impl fmt::Display for At {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:>11.6} s  {:?}", self.at.as_secs_f64(), self.event)
    }
}

/// What happened to one maildrop.
#[derive(Debug)]
pub(crate) struct Maildrop {
    began: Instant,
    events: Mutex<Vec<At>>,
}

impl Maildrop {
    /// Notes that this happens now.
    pub(crate) fn note(&self, event: Event) {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        let at = self.began.elapsed();
        events.push(At { at, event });
    }

    /// All of it so far, in order.
    pub(crate) fn events(&self) -> Vec<At> {
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        events.clone()
    }
}

/// What happened to all maildrops.
#[derive(Debug)]
pub(crate) struct History {
    began: Instant,
    maildrops: Vec<Maildrop>,
    numbers: AtomicU64,
}

impl History {
    /// Of so many maildrops, in which nothing has happened.
    pub(crate) fn new(maildrops: usize) -> History {
        let began = Instant::now();
        let maildrops = (0..maildrops).map(|_| Maildrop {
            began,
            events: Mutex::default(),
        });
        History {
            began,
            maildrops: maildrops.collect(),
            numbers: AtomicU64::new(1),
        }
    }

    /// What its clock says.
    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    pub(crate) fn maildrop(&self, user: usize) -> &Maildrop {
        &self.maildrops[user]
    }

    /// Of all maildrops, by their users' numbers.
    pub(crate) fn maildrops(&self) -> impl Iterator<Item = (usize, &Maildrop)> {
        self.maildrops.iter().enumerate()
    }

    /// One that no session and no delivery has.
    pub(crate) fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }
}

//! Clients, each step of which is noted: those that delete what they have fetched, and those
//! that leave it on the server.

use std::collections::HashSet;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use fastrand::Rng;

use crate::connection::{Answer, Connection, Gone};
use crate::delivery::user;
use crate::history::{Digest, Event, History, Maildrop, Quit};

/// How long a client waits for an answer: as long as a server may stand still, or not.
const PATIENCE: [Duration; 2] = [Duration::from_secs(25), Duration::from_secs(3)];
/// Messages that a session fetches.
const FETCHED: usize = 25;

/// The password of a user.
pub(crate) fn password(user: usize) -> String {
    format!("secret of {user}")
}

/// Where the servers accept, of which some may be down.
#[derive(Debug)]
pub(crate) struct Addresses(Vec<AtomicU16>);

impl Addresses {
    pub(crate) fn new(servers: usize) -> Addresses {
        Addresses((0..servers).map(|_| AtomicU16::new(0)).collect())
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// None: it is down.
    pub(crate) fn set(&self, server: usize, address: Option<SocketAddr>) {
        let port = address.map_or(0, |address| address.port());
        self.0[server].store(port, Ordering::SeqCst);
    }

    fn get(&self, server: usize) -> Option<SocketAddr> {
        let port = self.0[server].load(Ordering::SeqCst);
        (port != 0).then(|| SocketAddr::from(([127, 0, 0, 1], port)))
    }
}

/// How sessions went.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) sessions: AtomicU64,
    /// Logins that came to nothing, whatever the reason.
    pub(crate) no_logins: AtomicU64,
    pub(crate) fetched: AtomicU64,
    /// Messages that were removed with +OK.
    pub(crate) removed: AtomicU64,
    /// QUITs with messages marked that removed none.
    pub(crate) refused: AtomicU64,
    /// QUITs with messages marked of which nobody knows.
    pub(crate) unknown: AtomicU64,
}

fn count(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}

/// What all clients have in common.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) history: History,
    pub(crate) addresses: Arc<Addresses>,
    pub(crate) counts: Counts,
    /// No further session begins.
    pub(crate) is_over: AtomicBool,
}

/// Why there is no session.
pub(crate) enum NoSession {
    Gone,
    /// As the server says.
    Refused(String),
}

impl fmt::Display for NoSession {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoSession::Gone => out.write_str("the connection ended"),
            NoSession::Refused(why) => out.write_str(why),
        }
    }
}

impl From<Gone> for NoSession {
    fn from(Gone: Gone) -> Self {
        NoSession::Gone
    }
}

/// A session in TRANSACTION.
pub(crate) struct Session<'a> {
    connection: Connection,
    maildrop: &'a Maildrop,
    number: u64,
    marked: u64,
}

/// A message of a listing.
#[derive(Debug, Clone)]
pub(crate) struct Listed {
    pub(crate) number: u32,
    pub(crate) unique_id: String,
}

impl<'a> Session<'a> {
    pub(crate) fn login(
        history: &'a History,
        of: usize,
        server: usize,
        address: SocketAddr,
        patience: Duration,
    ) -> Result<Session<'a>, NoSession> {
        let (maildrop, number) = (history.maildrop(of), history.number());
        let mut connection = Connection::open(address, patience)?;
        accepted(connection.answer()?)?;
        accepted(connection.ask(&format!("USER {}", user(of)))?)?;
        maildrop.note(Event::LoginSent {
            session: number,
            server,
        });
        accepted(connection.ask(&format!("PASS {}", password(of)))?)?;
        maildrop.note(Event::LoggedIn { session: number });
        Ok(Session {
            connection,
            maildrop,
            number,
            marked: 0,
        })
    }

    pub(crate) fn list(&mut self) -> Result<Vec<Listed>, Gone> {
        let unique_ids = self.connection.pairs("UIDL")?;
        let octets = self.connection.pairs("LIST")?;
        assert_eq!(unique_ids.len(), octets.len(), "UIDL and LIST differ");
        let listing = unique_ids.iter().zip(octets);
        let listing = listing.map(|((number, unique_id), (same, octets))| {
            assert_eq!(*number, same, "UIDL and LIST differ");
            (unique_id.clone(), octets.parse().unwrap())
        });
        self.maildrop.note(Event::Listed {
            session: self.number,
            listing: listing.collect(),
        });
        let listed = unique_ids.into_iter();
        let listed = listed.map(|(number, unique_id)| Listed { number, unique_id });
        Ok(listed.collect())
    }

    /// Whether it was to be had.
    pub(crate) fn fetch(&mut self, message: &Listed) -> Result<bool, Gone> {
        let answer = self.connection.ask(&format!("RETR {}", message.number))?;
        if answer.ok {
            let octets = self.connection.body()?;
            self.maildrop.note(Event::Fetched {
                session: self.number,
                unique_id: message.unique_id.clone(),
                digest: Digest::of(&octets),
            });
        }
        Ok(answer.ok)
    }

    pub(crate) fn mark(&mut self, message: &Listed) -> Result<(), Gone> {
        let answer = self.connection.ask(&format!("DELE {}", message.number))?;
        assert!(answer.ok, "DELE: {answer:?}");
        self.marked += 1;
        self.maildrop.note(Event::Marked {
            session: self.number,
            unique_id: message.unique_id.clone(),
        });
        Ok(())
    }

    pub(crate) fn send_quit(&mut self) -> Result<(), Gone> {
        let session = self.number;
        self.maildrop.note(Event::QuitSent { session });
        self.connection.send("QUIT")
    }

    /// The answer to QUIT, as the client understands it and as it was said.
    pub(crate) fn quit_answer(&mut self) -> Result<(Quit, String), Gone> {
        let said = self.connection.answer()?;
        // Other words are no promise (plugins/spool/README.md).
        let promises = ["messages were not removed", "nothing was removed"];
        let answer = match said.ok {
            true => Quit::Done,
            false if promises.iter().any(|words| said.text.contains(words)) => Quit::Refused,
            false => Quit::Unknown,
        };
        self.maildrop.note(Event::QuitAnswered {
            session: self.number,
            answer,
        });
        Ok((answer, said.text))
    }

    fn quit(mut self, counts: &Counts) {
        let sent = self.send_quit();
        let answered = sent.and_then(|()| self.quit_answer());
        match answered {
            _ if self.marked == 0 => {}
            Ok((Quit::Done, _)) => count(&counts.removed, self.marked),
            Ok((Quit::Refused, _)) => count(&counts.refused, 1),
            Ok((Quit::Unknown, _)) | Err(Gone) => count(&counts.unknown, 1),
        }
    }
}

fn accepted(answer: Answer) -> Result<(), NoSession> {
    match answer.ok {
        true => Ok(()),
        false => Err(NoSession::Refused(answer.text)),
    }
}

/// Whether a client deletes what it has fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Deletes,
    Leaves,
}

/// Sessions of a user on any server, until it is over.
pub(crate) fn run(kind: Kind, of: usize, world: &World, mut rng: Rng) {
    // By a client that leaves mail on the server.
    let mut had = HashSet::new();
    while !world.is_over.load(Ordering::Relaxed) {
        let server = rng.usize(..world.addresses.count());
        if let Some(address) = world.addresses.get(server) {
            let patience = PATIENCE[usize::from(rng.u8(..4) == 0)];
            let session = Session::login(&world.history, of, server, address, patience);
            match session {
                Ok(session) => {
                    count(&world.counts.sessions, 1);
                    // The connection may end anywhere.
                    let _ = session_of(kind, session, &mut had, world, &mut rng);
                }
                Err(_) => count(&world.counts.no_logins, 1),
            }
        }
        thread::sleep(Duration::from_millis(rng.u64(100..900)));
    }
}

fn session_of(
    kind: Kind,
    mut session: Session<'_>,
    had: &mut HashSet<String>,
    world: &World,
    rng: &mut Rng,
) -> Result<(), Gone> {
    let listing = session.list()?;
    let wanted = listing.iter().filter(|it| !had.contains(&it.unique_id));
    let wanted: Vec<_> = wanted.take(FETCHED).cloned().collect();
    for message in &wanted {
        if !session.fetch(message)? {
            continue;
        }
        count(&world.counts.fetched, 1);
        match kind {
            Kind::Deletes => session.mark(message)?,
            Kind::Leaves => {
                had.insert(message.unique_id.clone());
            }
        }
        // What happens to servers is to happen in sessions.
        if rng.u8(..10) == 0 {
            thread::sleep(Duration::from_millis(rng.u64(..100)));
        }
    }
    match rng.u8(..20) {
        // Without QUIT nothing is removed.
        0 => return Ok(()),
        1 | 2 => thread::sleep(Duration::from_millis(rng.u64(..4_000))),
        _ => {}
    }
    session.quit(&world.counts);
    Ok(())
}

/// A session when nothing fails any more: everything is fetched, and nothing is removed.
///
/// # Errors
/// What was in the way.
pub(crate) fn fetch_all(of: usize, server: usize, world: &World) -> Result<(), String> {
    let address = world.addresses.get(server).ok_or("the server is down")?;
    let session = Session::login(&world.history, of, server, address, PATIENCE[0]);
    let mut session = session.map_err(|why| why.to_string())?;
    let gone = |Gone| NoSession::Gone.to_string();
    for message in session.list().map_err(gone)? {
        if !session.fetch(&message).map_err(gone)? {
            return Err(format!("{} cannot be fetched", message.unique_id));
        }
    }
    session.send_quit().map_err(gone)?;
    match session.quit_answer().map_err(gone)? {
        (Quit::Done, _) => Ok(()),
        (_, said) => Err(said),
    }
}

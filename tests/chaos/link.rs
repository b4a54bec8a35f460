//! The way from one process to the database and its standby: a proxy that stands still, cuts
//! connections, or loses answers when it is told to.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU32, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// What is in the statements whose answers are lost: each is a transaction of its own, which
/// is committed before the first octet of its answer is sent.
const CHANGES: [&[u8]; 2] = [b"restante.remove(", b"restante.append("];

/// What the way is like.
#[derive(Debug, Clone, Copy, Default)]
struct State {
    /// Nothing passes, and nothing is closed: what is under way comes later.
    stalls: bool,
    /// New connections are closed at once.
    refuses: bool,
    /// How often all connections were cut.
    cuts: u64,
}

#[derive(Debug)]
struct Shared {
    state: watch::Sender<State>,
    /// Where each end leads to: ports of this machine.
    targets: [AtomicU16; 2],
    /// So many answers to changes are yet to be lost.
    loses: AtomicU32,
    lost: AtomicU32,
}

/// It ends with its runtime.
#[derive(Debug)]
pub(crate) struct Link {
    ports: [u16; 2],
    shared: Arc<Shared>,
}

impl Link {
    /// With an end of its own for each of these ports.
    pub(crate) fn start(runtime: &Runtime, targets: [u16; 2]) -> Link {
        let shared = Arc::new(Shared {
            state: watch::Sender::new(State::default()),
            targets: targets.map(AtomicU16::new),
            loses: AtomicU32::new(0),
            lost: AtomicU32::new(0),
        });
        let ports = [0, 1].map(|end| {
            let listening = TcpListener::bind(("127.0.0.1", 0));
            let listener = runtime.block_on(listening).unwrap();
            let port = listener.local_addr().unwrap().port();
            runtime.spawn(accept(listener, end, shared.clone()));
            port
        });
        Link { ports, shared }
    }

    /// A URL of both ends, for this role and database.
    pub(crate) fn url(&self, database: &str) -> String {
        let [first, second] = self.ports;
        format!(
            "postgresql://postgres@127.0.0.1:{first},127.0.0.1:{second}/{database}?target_session_attrs=read-write"
        )
    }

    /// New connections of this end lead there.
    pub(crate) fn lead(&self, end: usize, port: u16) {
        self.shared.targets[end].store(port, Ordering::SeqCst);
    }

    pub(crate) fn stall(&self, stalls: bool) {
        self.shared.state.send_modify(|state| state.stalls = stalls);
    }

    /// Cuts all connections.
    pub(crate) fn cut(&self) {
        self.shared.state.send_modify(|state| state.cuts += 1);
    }

    pub(crate) fn refuse(&self, refuses: bool) {
        let refuse = |state: &mut State| state.refuses = refuses;
        self.shared.state.send_modify(refuse);
    }

    /// The next so many changes arrive, and their connections end instead of the answers.
    pub(crate) fn lose_answers(&self, answers: u32) {
        self.shared.loses.store(answers, Ordering::SeqCst);
    }

    /// How many answers were lost.
    pub(crate) fn lost(&self) -> u32 {
        self.shared.lost.load(Ordering::SeqCst)
    }
}

async fn accept(listener: TcpListener, end: usize, shared: Arc<Shared>) {
    loop {
        // A process that was killed leaves connections that cannot be accepted any more.
        let Ok((client, _)) = listener.accept().await else {
            continue;
        };
        if !shared.state.borrow().refuses {
            let shared = shared.clone();
            // However it ends: its two ends notice.
            tokio::spawn(async move { pass(client, end, &shared).await });
        }
    }
}

async fn pass(client: TcpStream, end: usize, shared: &Shared) -> io::Result<()> {
    let mut state = shared.state.subscribe();
    let cuts = state.borrow().cuts;
    passable(&mut state, cuts).await?;
    let port = shared.targets[end].load(Ordering::SeqCst);
    let server = TcpStream::connect(("127.0.0.1", port)).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let loses = AtomicBool::new(false);
    let mut changes = Search::default();
    let asked = |octets: &[u8]| {
        if changes.finds(octets) && take_one(&shared.loses) {
            loses.store(true, Ordering::SeqCst);
        }
        true
    };
    let answered = |_: &[u8]| {
        let passes = !loses.load(Ordering::SeqCst);
        if !passes {
            shared.lost.fetch_add(1, Ordering::SeqCst);
        }
        passes
    };
    tokio::select! {
        ended = copy(from_client, to_server, state.clone(), cuts, asked) => ended,
        ended = copy(from_server, to_client, state.clone(), cuts, answered) => ended,
    }
}

fn take_one(counter: &AtomicU32) -> bool {
    let less = |count: u32| count.checked_sub(1);
    let taken = counter.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less);
    taken.is_ok()
}

/// Copies until one side ends, the connection is cut, or octets do not pass.
async fn copy(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut state: watch::Receiver<State>,
    cuts: u64,
    mut passes: impl FnMut(&[u8]) -> bool,
) -> io::Result<()> {
    let mut octets = vec![0; 64 << 10];
    loop {
        let read = tokio::select! {
            read = from.read(&mut octets) => read?,
            changed = state.changed() => {
                changed.map_err(io::Error::other)?;
                passable(&mut state, cuts).await?;
                continue;
            }
        };
        // What came before the way was closed has not arrived yet.
        passable(&mut state, cuts).await?;
        if read == 0 || !passes(&octets[..read]) {
            return Ok(());
        }
        to.write_all(&octets[..read]).await?;
    }
}

/// Waits while nothing passes; an error when this connection was cut.
async fn passable(state: &mut watch::Receiver<State>, cuts: u64) -> io::Result<()> {
    let decided = |state: &State| !state.stalls || state.cuts != cuts;
    let now = *state.wait_for(decided).await.map_err(io::Error::other)?;
    match now.cuts == cuts {
        true => Ok(()),
        false => Err(io::ErrorKind::ConnectionReset.into()),
    }
}

/// Finds the changes in what comes piece by piece.
#[derive(Default)]
struct Search {
    seen: Vec<u8>,
}

impl Search {
    fn finds(&mut self, octets: &[u8]) -> bool {
        self.seen.extend_from_slice(octets);
        let length = CHANGES[0].len();
        let found = self
            .seen
            .windows(length)
            .any(|window| CHANGES.contains(&window));
        // What may be the beginning of one.
        let kept = self.seen.len().saturating_sub(length - 1);
        self.seen.drain(..kept);
        found
    }
}

#[test]
fn a_change_is_found_wherever_it_is_cut() {
    assert_eq!(CHANGES[0].len(), CHANGES[1].len());
    for change in CHANGES {
        let statement = [b"select outcome from ", change, b"$1, $2)"].concat();
        for cut in 0..statement.len() {
            let mut search = Search::default();
            let (first, second) = statement.split_at(cut);
            let found = [first, second].map(|octets| search.finds(octets));
            assert_eq!(found.iter().filter(|found| **found).count(), 1, "{cut}");
            assert!(!search.finds(b"select restante.beat($1)"));
        }
    }
}

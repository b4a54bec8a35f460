//! A proxy that stands between an engine and its database, loses what it is told to, and keeps
//! answers back.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

#[derive(Debug, Default)]
struct State {
    loses: AtomicBool,
    refuses: AtomicBool,
    lost: AtomicU32,
    /// Statements that were sent.
    statements: AtomicU32,
    /// No answer passes before so many were.
    kept_until: AtomicU32,
}

/// What ends each statement (the message Sync of the protocol).
const SYNC: &[u8] = b"S\0\0\0\x04";

impl State {
    fn answers_pass(&self) -> bool {
        self.statements.load(Ordering::SeqCst) >= self.kept_until.load(Ordering::SeqCst)
    }
}

/// It ends with the runtime of its test.
#[derive(Debug)]
pub(crate) struct Proxy {
    port: u16,
    state: Arc<State>,
}

impl Proxy {
    pub(crate) async fn start(to: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State::default());
        let shared = state.clone();
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                if shared.refuses.load(Ordering::SeqCst) {
                    continue;
                }
                let state = shared.clone();
                tokio::spawn(async move { pass(client, to, &state).await });
            }
        });
        Self { port, state }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The next statement arrives; instead of its answer the connection ends.
    pub(crate) fn lose_next_answer(&self) {
        self.state.loses.store(true, Ordering::SeqCst);
    }

    /// Whether new connections are closed at once.
    pub(crate) fn refuse(&self, refuses: bool) {
        self.state.refuses.store(refuses, Ordering::SeqCst);
    }

    /// How many statements were sent so far.
    pub(crate) fn statements(&self) -> u32 {
        self.state.statements.load(Ordering::SeqCst)
    }

    /// No answer comes before so many more statements were sent: whoever waits for the first
    /// answer before the second statement waits without end.
    pub(crate) fn keep_answers_for(&self, statements: u32) {
        let until = self.statements() + statements;
        self.state.kept_until.store(until, Ordering::SeqCst);
    }

    /// How many answers were lost.
    pub(crate) fn lost(&self) -> u32 {
        self.state.lost.load(Ordering::SeqCst)
    }
}

/// Passes octets on, until an answer is to be lost: the whole of it, since the server has
/// committed when the first octet of it comes, or soon after that.
async fn pass(mut client: TcpStream, to: u16, state: &State) -> io::Result<()> {
    let mut server = TcpStream::connect(("127.0.0.1", to)).await?;
    let (mut sent, mut told) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    loop {
        tokio::select! {
            read = client.read(&mut sent) => match read? {
                0 => return Ok(()),
                octets => {
                    let syncs = sent[..octets].windows(SYNC.len()).filter(|part| *part == SYNC);
                    state.statements.fetch_add(syncs.count() as u32, Ordering::SeqCst);
                    server.write_all(&sent[..octets]).await?;
                }
            },
            read = server.read(&mut told), if state.answers_pass() => match read? {
                0 => return Ok(()),
                octets if !state.loses.swap(false, Ordering::SeqCst) => {
                    client.write_all(&told[..octets]).await?;
                }
                _ => {
                    state.lost.fetch_add(1, Ordering::SeqCst);
                    return Ok(());
                }
            },
        }
    }
}

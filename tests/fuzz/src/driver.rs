//! Drives a session over octets, and writes down what became of it.

use std::sync::Arc;

use restante_pop3::{
    AuthorizationAction, Channel, Close, Session, Settings, State, Step, Timestamp, Transaction,
    TransactionAction,
};

use crate::either::{Action, Either};

/// The client's first octet of TLS: in front of it everything behind STLS is lost.
const HANDSHAKE: u8 = 0x16;

/// Octets that one reply may go beyond [`restante_pop3::Limits::output_bytes`].
const ONE_REPLY_OCTETS: usize = 1024;

/// Whoever answers the session's questions.
pub(crate) trait Host {
    /// Answers this one, in any way that is legal.
    fn authorize(&mut self, action: AuthorizationAction, session: &mut Either, out: &mut Vec<u8>);

    /// The same, once somebody is logged in.
    fn serve(
        &mut self,
        action: TransactionAction,
        session: &mut Session<Transaction>,
        out: &mut Vec<u8>,
    );
}

/// All that came of a session.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Transcript {
    /// What the session said, the greeting included.
    pub(crate) wire: Vec<u8>,
    /// What it asked the driver for.
    pub(crate) asked: Vec<String>,
    /// The messages that UPDATE was to remove.
    pub(crate) removed: Option<Vec<usize>>,
    pub(crate) closed: Option<Close>,
}

/// A session and its driver.
pub(crate) struct Driver<H> {
    pub(crate) session: Either,
    pub(crate) host: H,
    pub(crate) transcript: Transcript,
    /// STLS was accepted, and the handshake has not begun.
    pub(crate) deaf: bool,
    /// Whether anything is written down.
    records: bool,
    out: Vec<u8>,
    /// Octets that `out` may hold after a step.
    most: usize,
}

impl<H: Host> Driver<H> {
    /// A driver that has greeted.
    pub(crate) fn new(settings: &Settings, channel: &Channel, host: H) -> Self {
        let timestamp = Timestamp::new("1896.697170952", "dbc.mtview.ca.us").expect("a msg-id");
        let session = Session::new(Arc::new(settings.clone()), channel.clone());
        let most = settings.limits.output_bytes.max(512) + ONE_REPLY_OCTETS;
        let mut driver = Driver {
            session: Either::Authorization(session.with_timestamp(timestamp)),
            host,
            transcript: Transcript::default(),
            deaf: false,
            records: true,
            out: Vec::with_capacity(2 * most),
            most,
        };
        driver.session.authorization().greet(&mut driver.out);
        driver.flush();
        driver
    }

    /// The same, but nothing is remembered: what memory it takes is the session's.
    pub(crate) fn without_records(mut self) -> Self {
        self.records = false;
        self.transcript = Transcript::default();
        self
    }

    /// What the session says to these octets.
    pub(crate) fn receive(&mut self, octets: &[u8]) -> Vec<u8> {
        let before = self.transcript.wire.len();
        let mut input = octets;
        while self.transcript.closed.is_none() {
            if self.deaf {
                let Some(begin) = input.iter().position(|octet| *octet == HANDSHAKE) else {
                    break;
                };
                input = &input[begin + 1..];
                self.deaf = false;
            }
            match self.step(&mut input) {
                Step::Read => {
                    assert!(input.is_empty(), "Read with input left");
                    break;
                }
                Step::Flush => assert!(!self.out.is_empty(), "Flush with nothing to write"),
                Step::Act(action) => self.act(action),
                Step::Close(close) => self.transcript.closed = Some(close),
            }
            self.flush();
        }
        self.flush();
        if let Some(close) = self.transcript.closed {
            // A session that is over stays over, without a word more.
            assert!(matches!(self.step(&mut &b"QUIT\r\n"[..]), Step::Close(same) if same == close));
            assert!(self.out.is_empty());
        }
        self.transcript.wire[before..].to_vec()
    }

    /// Whether a line is a command of the TRANSACTION state now.
    pub(crate) fn in_transaction(&self) -> bool {
        self.transcript.closed.is_none() && self.session.state() == State::Transaction
    }

    fn step(&mut self, input: &mut &[u8]) -> Step<Action> {
        let step = self.session.step(input, &mut self.out);
        assert!(self.out.len() <= self.most, "{} octets", self.out.len());
        step
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Authorization(action) => {
                self.note(&action);
                self.deaf |= matches!(action, AuthorizationAction::StartTls);
                self.host
                    .authorize(action, &mut self.session, &mut self.out);
            }
            Action::Transaction(action) => {
                self.note(&action);
                if let TransactionAction::Update { remove } = &action {
                    assert!(self.transcript.removed.is_none(), "UPDATE is entered once");
                    let numbers = remove.iter().map(|message| message.get() as usize);
                    self.transcript.removed = Some(numbers.collect());
                }
                let session = self.session.transaction();
                self.host.serve(action, session, &mut self.out);
            }
        }
    }

    fn note(&mut self, action: &impl std::fmt::Debug) {
        if self.records {
            self.transcript.asked.push(format!("{action:?}"));
        }
    }

    fn flush(&mut self) {
        if self.records {
            self.transcript.wire.extend_from_slice(&self.out);
        }
        self.out.clear();
    }
}

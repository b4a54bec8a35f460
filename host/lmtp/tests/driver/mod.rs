//! Drives a session over any octets, answers as it is told to, and writes down what
//! became of it: for property tests and for fuzzing.

use std::mem;
use std::sync::Arc;

use restante_lmtp::{
    Action, Channel, Close, Commands, Reason, Receive, Receiving, Refusal, Session, Settings, Step,
};

/// Octets that one reply may go beyond `Limits::output_bytes`.
const ONE_REPLY_OCTETS: usize = 1024;

/// All that came of a session. Octets of messages that were not whole are left out:
/// how many the driver was handed depends on how they came.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Transcript {
    /// What the session said, the greeting included.
    pub(crate) wire: Vec<u8>,
    /// What it asked the driver for, and told it.
    pub(crate) asked: Vec<String>,
    /// Messages that were whole.
    pub(crate) messages: Vec<Vec<u8>>,
    pub(crate) closed: Option<Close>,
}

enum Phase {
    Commands(Session<Commands>),
    Receiving(Session<Receiving>),
    /// In the middle of a change.
    Nowhere,
}

/// A session and its driver. `choose` decides how a question is answered: with 0 to
/// 191 as it was asked, otherwise with a refusal.
pub(crate) struct Driver<C> {
    phase: Phase,
    choose: C,
    pub(crate) transcript: Transcript,
    /// Whether anything is written down.
    records: bool,
    message: Vec<u8>,
    message_octets: u64,
    recipients: u32,
    out: Vec<u8>,
    /// Octets that `out` may hold after a step.
    most: usize,
}

impl<C: FnMut() -> u8> Driver<C> {
    /// A driver that has greeted.
    pub(crate) fn new(settings: &Settings, channel: Channel, choose: C) -> Self {
        let most = settings.limits.output_bytes.max(512) + ONE_REPLY_OCTETS;
        let mut session = Session::new(Arc::new(settings.clone()), channel);
        let mut out = Vec::with_capacity(2 * most);
        session.greet(&mut out);
        let mut driver = Driver {
            phase: Phase::Commands(session),
            choose,
            transcript: Transcript::default(),
            records: true,
            message: Vec::new(),
            message_octets: 0,
            recipients: 0,
            out,
            most,
        };
        driver.flush();
        driver
    }

    /// The same, but nothing is remembered: what memory it takes is the session's.
    #[allow(
        dead_code,
        reason = "the fuzzer counts memory, the property tests do not"
    )]
    pub(crate) fn without_records(mut self) -> Self {
        self.records = false;
        self.transcript = Transcript::default();
        self
    }

    /// Hands these octets in.
    pub(crate) fn receive(&mut self, octets: &[u8]) {
        let mut input = octets;
        while self.transcript.closed.is_none() && self.advance(&mut input) {
            assert!(self.out.len() <= self.most, "{} octets", self.out.len());
            self.flush();
        }
        self.flush();
        if let (Some(close), Phase::Commands(session)) = (self.transcript.closed, &mut self.phase) {
            let again = session.step(&mut &b"QUIT\r\n"[..], &mut self.out);
            assert!(matches!(again, Step::Close(same) if same == close));
            assert!(
                self.out.is_empty(),
                "a session that is over says no word more"
            );
        }
    }

    /// False: there is nothing to do until more comes.
    fn advance(&mut self, input: &mut &[u8]) -> bool {
        match mem::replace(&mut self.phase, Phase::Nowhere) {
            Phase::Commands(mut session) => match session.step(input, &mut self.out) {
                Step::Read => {
                    assert!(input.is_empty(), "Read with input left");
                    self.phase = Phase::Commands(session);
                    return false;
                }
                Step::Flush => {
                    assert!(!self.out.is_empty(), "Flush with nothing to write");
                    self.phase = Phase::Commands(session);
                }
                Step::Act(action) => self.act(action, session),
                Step::Close(close) => {
                    self.transcript.closed = Some(close);
                    self.phase = Phase::Commands(session);
                }
            },
            Phase::Receiving(mut session) => match session.step(input, &mut self.out) {
                Receive::Read => {
                    assert!(input.is_empty(), "Read with input left");
                    self.phase = Phase::Receiving(session);
                    return false;
                }
                Receive::Flush => {
                    assert!(!self.out.is_empty(), "Flush with nothing to write");
                    self.phase = Phase::Receiving(session);
                }
                Receive::Octets(octets) => {
                    assert!(!octets.is_empty(), "no octets are none");
                    self.message_octets += octets.len() as u64;
                    if self.records {
                        self.message.extend_from_slice(octets);
                    }
                    self.phase = Phase::Receiving(session);
                }
                Receive::Whole => self.whole(session),
                Receive::Dropped(why) => {
                    self.note(&why);
                    self.phase = Phase::Commands(session.dropped());
                }
            },
            Phase::Nowhere => panic!("a session got lost"),
        }
        true
    }

    fn act(&mut self, action: Action, mut session: Session<Commands>) {
        self.note(&action);
        let refusal = self.refusal();
        let answer = match &refusal {
            Some(refusal) => Err(refusal),
            None => Ok(()),
        };
        match action {
            Action::Mail(_) => {
                self.recipients = 0;
                session.mail(answer, &mut self.out);
            }
            Action::Recipient(_) => {
                self.recipients += u32::from(answer.is_ok());
                session.recipient(answer, &mut self.out);
            }
            Action::Client(_) => session.client(answer, &mut self.out),
            Action::StartTls => session.tls_started(Channel {
                tls: true,
                ..*session.channel()
            }),
            Action::Message => {
                self.message.clear();
                self.message_octets = 0;
                match answer {
                    Ok(()) => {
                        self.phase = Phase::Receiving(session.receive(&mut self.out));
                        return;
                    }
                    Err(refusal) => session.refuse_message(refusal, &mut self.out),
                }
            }
        }
        self.phase = Phase::Commands(session);
    }

    fn whole(&mut self, session: Session<Receiving>) {
        if let Some(refusal) = self.refusal().filter(Refusal::is_temporary) {
            self.phase = Phase::Commands(session.refuse(&refusal));
            return;
        }
        let mut session = session.whole();
        assert_eq!(session.facts().octets, self.message_octets);
        assert_eq!(session.left(), self.recipients);
        let facts = *session.facts();
        self.note(&facts);
        if self.records {
            self.transcript.messages.push(mem::take(&mut self.message));
        }
        while session.left() > 0 {
            match self.refusal() {
                Some(refusal) => session.answer(Err(&refusal), &mut self.out),
                None => session.answer(Ok("kept"), &mut self.out),
            }
            self.flush();
        }
        self.phase = Phase::Commands(session.answered());
    }

    fn refusal(&mut self) -> Option<Refusal> {
        let choice = (self.choose)();
        let reason = Reason::ALL[usize::from(choice) % Reason::ALL.len()];
        (choice >= 192)
            .then(|| Refusal::new(reason, ["", "no\r\n250 yes"][usize::from(choice & 1)]))
    }

    fn note(&mut self, what: &impl std::fmt::Debug) {
        if self.records {
            self.transcript.asked.push(format!("{what:?}"));
        }
    }

    fn flush(&mut self) {
        if self.records {
            self.transcript.wire.extend_from_slice(&self.out);
        }
        self.out.clear();
    }
}

/// Every line of these replies is one: a code, printable ASCII, 512 octets at most.
pub(crate) fn expect_legal(wire: &[u8]) {
    let said = std::str::from_utf8(wire).expect("ASCII");
    assert!(said.is_empty() || said.ends_with("\r\n"), "half a line");
    for line in said.split_terminator("\r\n") {
        let legal = match line.as_bytes() {
            [
                b'2'..=b'5',
                b'0'..=b'9',
                b'0'..=b'9',
                b' ' | b'-',
                text @ ..,
            ] => text.iter().all(|octet| matches!(octet, b' '..=b'~')),
            _ => false,
        };
        assert!(legal && line.len() <= 510, "{}", line.escape_debug());
    }
}

//! Plays a dialogue: a session, and a driver that answers its actions and writes
//! down what it was handed.

use std::sync::Arc;

use restante_lines::dialogue::{Cut, Player};
use restante_lmtp::{
    Action, Answering, Attribute, Body, Close, Commands, Mail, Receive, Receiving, Recipient,
    Refusal, Settings, Step,
};

use super::{Dialogue, Ending};

/// A session in any state.
enum Session {
    Commands(restante_lmtp::Session<Commands>),
    Receiving(restante_lmtp::Session<Receiving>),
    /// In the middle of a change.
    Nowhere,
}

/// A session and its driver.
pub(crate) struct Replay<'a> {
    dialogue: &'a Dialogue,
    session: Session,
    wire: Vec<u8>,
    out: Vec<u8>,
    recipients: Vec<String>,
    message: Vec<u8>,
    told: Vec<String>,
    closed: Option<Close>,
    /// STARTTLS was accepted: what else comes in this segment is lost.
    deaf: bool,
}

impl<'a> Replay<'a> {
    pub(crate) fn new(dialogue: &'a Dialogue) -> Self {
        Replay::with(dialogue, dialogue.settings.clone())
    }

    /// With the smallest high-water mark.
    pub(crate) fn with_small_output(dialogue: &'a Dialogue) -> Self {
        let mut settings = dialogue.settings.clone();
        settings.limits.output_bytes = 0;
        Replay::with(dialogue, settings)
    }

    fn with(dialogue: &'a Dialogue, settings: Settings) -> Self {
        let session = restante_lmtp::Session::new(Arc::new(settings), dialogue.channel);
        Replay {
            dialogue,
            session: Session::Commands(session),
            wire: Vec::new(),
            out: Vec::new(),
            recipients: Vec::new(),
            message: Vec::new(),
            told: Vec::new(),
            closed: None,
            deaf: false,
        }
    }

    /// Plays it all, cut like this.
    pub(crate) fn run(self, cut: Cut) -> Ending {
        let played = self.dialogue.script.play(self, cut);
        Ending {
            wire: played.wire,
            told: played.told,
            closed: played.closed,
        }
    }

    fn flush(&mut self) {
        self.wire.append(&mut self.out);
    }

    /// False: there is nothing to do until more comes.
    fn advance(&mut self, input: &mut &[u8]) -> bool {
        match std::mem::replace(&mut self.session, Session::Nowhere) {
            Session::Commands(mut session) => {
                let step = session.step(input, &mut self.out);
                self.session = Session::Commands(session);
                match step {
                    Step::Read => {
                        assert!(input.is_empty(), "Read with input left");
                        return false;
                    }
                    Step::Flush => assert!(!self.out.is_empty(), "Flush with nothing to write"),
                    Step::Act(action) => self.act(action),
                    Step::Close(close) => self.closed = Some(close),
                }
            }
            Session::Receiving(mut session) => match session.step(input, &mut self.out) {
                Receive::Read => {
                    assert!(input.is_empty(), "Read with input left");
                    self.session = Session::Receiving(session);
                    return false;
                }
                Receive::Flush => {
                    assert!(!self.out.is_empty(), "Flush with nothing to write");
                    self.session = Session::Receiving(session);
                }
                Receive::Octets(octets) => {
                    assert!(!octets.is_empty());
                    self.message.extend_from_slice(octets);
                    let at_octets = self.dialogue.at_octets.as_ref();
                    let refusal = at_octets.filter(|(at, _)| self.message.len() as u64 >= *at);
                    self.session = match refusal {
                        Some((_, refusal)) => {
                            self.told.push("refused".into());
                            Session::Commands(session.refuse(refusal))
                        }
                        None => Session::Receiving(session),
                    };
                }
                Receive::Whole => self.deliver(session.whole()),
                Receive::Dropped(why) => {
                    self.told.push(format!("dropped: {why}"));
                    self.session = Session::Commands(session.dropped());
                }
            },
            Session::Nowhere => panic!("a session got lost"),
        }
        true
    }

    fn act(&mut self, action: Action) {
        let Session::Commands(session) = &mut self.session else {
            panic!("only Commands asks");
        };
        let dialogue = self.dialogue;
        match action {
            Action::Mail(mail) => {
                self.recipients.clear();
                self.message.clear();
                self.told.push(told_mail(&mail));
                session.mail(answer(dialogue.at_mail.as_ref()), &mut self.out);
            }
            Action::Recipient(recipient) => {
                let address = recipient.address.to_string();
                let refusal = find(&dialogue.at_recipient, &address);
                self.told.push(told_recipient(&recipient));
                if refusal.is_none() {
                    self.recipients.push(address);
                }
                session.recipient(answer(refusal), &mut self.out);
            }
            Action::Message => match &dialogue.at_message {
                Some(refusal) => session.refuse_message(refusal, &mut self.out),
                None => {
                    let session = std::mem::replace(&mut self.session, Session::Nowhere);
                    let Session::Commands(session) = session else {
                        panic!("only Commands asks");
                    };
                    self.session = Session::Receiving(session.receive(&mut self.out));
                }
            },
            Action::Client(client) => {
                let addr = client
                    .addr()
                    .map(|addr| addr.to_string())
                    .unwrap_or_default();
                let name = client.get(Attribute::Name).unwrap_or_default();
                self.told.push(format!("client {name} {addr}"));
                session.client(answer(dialogue.at_client.as_ref()), &mut self.out);
            }
            Action::StartTls => {
                self.deaf = true;
                session.tls_started(dialogue.channel_after_tls);
            }
        }
    }

    fn deliver(&mut self, mut session: restante_lmtp::Session<Answering>) {
        let facts = session.facts();
        assert_eq!(facts.octets, self.message.len() as u64);
        let mut flags = String::new();
        for (flag, name) in [
            (facts.dot_at_line_start, " dots"),
            (facts.eight_bit, " 8bit"),
            (facts.nul, " nul"),
            (facts.bare_line_end, " bare"),
            (facts.unfinished_line, " unfinished"),
        ] {
            flags.push_str(if flag { name } else { "" });
        }
        let message = self.message.escape_ascii();
        let told = format!("message {} lines{flags}: {message}", facts.lines);
        self.told.push(told);
        assert_eq!(session.left() as usize, self.recipients.len());
        for recipient in &self.recipients {
            let answer = match find(&self.dialogue.at_delivery, recipient) {
                Some(refusal) => Err(refusal),
                None => Ok(recipient.as_str()),
            };
            session.answer(answer, &mut self.out);
        }
        self.session = Session::Commands(session.answered());
    }
}

impl Player for Replay<'_> {
    fn greet(&mut self) {
        let Session::Commands(session) = &mut self.session else {
            panic!("it has not begun");
        };
        match self.dialogue.turned_away {
            Some(why) => session.turn_away(why, &mut self.out),
            None => session.greet(&mut self.out),
        }
        self.flush();
    }

    fn receive(&mut self, octets: &[u8]) {
        let mut input = octets;
        while self.closed.is_none() && !self.deaf && self.advance(&mut input) {
            self.flush();
        }
        self.flush();
        // A session that is over stays over, without a word more.
        if let (Some(close), Session::Commands(session)) = (self.closed, &mut self.session) {
            let again = session.step(&mut input, &mut self.out);
            assert!(matches!(again, Step::Close(same) if same == close));
            assert_eq!((session.closed(), self.out.len()), (Some(close), 0));
        }
    }

    fn next_segment(&mut self) {
        self.deaf = false;
    }

    fn wire(&self) -> &[u8] {
        &self.wire
    }
}

fn answer(refusal: Option<&Refusal>) -> Result<(), &Refusal> {
    match refusal {
        Some(refusal) => Err(refusal),
        None => Ok(()),
    }
}

fn find<'r>(refusals: &'r [(String, Refusal)], address: &str) -> Option<&'r Refusal> {
    let mut refusals = refusals.iter();
    let (_, refusal) = refusals.find(|(refused, _)| refused == address)?;
    Some(refusal)
}

/// `mail a@b size=1 …`: what was said, and nothing else.
fn told_mail(mail: &Mail) -> String {
    let sender = mail.reverse_path.as_ref();
    let mut told = format!("mail {}", sender.map_or("<>".into(), ToString::to_string));
    if let Some(size) = mail.size {
        told += &format!(" size={size}");
    }
    match mail.body {
        Body::SevenBit => {}
        Body::EightBitMime => told += " 8bitmime",
        Body::BinaryMime => told += " binarymime",
    }
    if mail.smtputf8 {
        told += " smtputf8";
    }
    if let Some(ret) = mail.ret {
        told += &format!(" ret={ret:?}");
    }
    if let Some(id) = &mail.envelope_id {
        told += &format!(" envid={id}");
    }
    if let Some(forwarded) = &mail.forwarded {
        let of = |attribute| forwarded.get(attribute).unwrap_or("?");
        let (name, addr) = (of(Attribute::Name), of(Attribute::Addr));
        told += &format!(" for {name} {addr} {}", of(Attribute::Ident));
    }
    told
}

/// `recipient a@b …`
fn told_recipient(recipient: &Recipient) -> String {
    let mut told = format!("recipient {}", recipient.address);
    if let Some(notify) = recipient.notify {
        for (flag, name) in [
            (notify.success, " on-success"),
            (notify.failure, " on-failure"),
            (notify.delay, " on-delay"),
        ] {
            told += if flag { name } else { "" };
        }
    }
    if let Some(original) = &recipient.original {
        told += &format!(" at first {} {}", original.address_type, original.address);
    }
    told
}

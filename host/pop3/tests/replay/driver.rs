//! Plays a dialogue: a session, and a driver that answers its actions.

use std::sync::Arc;

use restante_pop3::{
    Action, Close, Listing, Login, Maildrop, Refusal, ResponseCode, ScramNonce, Session, Settings,
    Step, Stuffing,
};

use super::{Dialogue, Ending};

/// A session and its driver.
pub(crate) struct Replay<'a> {
    dialogue: &'a Dialogue,
    session: Session,
    pub(super) wire: Vec<u8>,
    out: Vec<u8>,
    logins: usize,
    removes: Option<Vec<u32>>,
    closed: Option<Close>,
    /// Why logins failed within their exchanges.
    causes: Vec<String>,
    /// STLS was accepted: what else comes in this segment is lost.
    deaf: bool,
}

impl<'a> Replay<'a> {
    pub(crate) fn new(dialogue: &'a Dialogue) -> Self {
        let settings = Arc::new(dialogue.settings.clone());
        Replay {
            dialogue,
            session: session(dialogue, settings),
            wire: Vec::new(),
            out: Vec::new(),
            logins: 0,
            removes: None,
            closed: None,
            causes: Vec::new(),
            deaf: false,
        }
    }

    /// The same with another high-water mark.
    pub(crate) fn with_output_octets(mut self, octets: usize) -> Self {
        let mut settings = self.dialogue.settings.clone();
        settings.limits.output_octets = octets;
        self.session = session(self.dialogue, Arc::new(settings));
        self
    }

    /// Plays it all, each segment in the chunks that `cut` makes of it.
    pub(crate) fn run(mut self, mut cut: impl FnMut(&[u8]) -> Vec<&[u8]>) -> Ending {
        self.greet();
        for segment in self.dialogue.input() {
            for chunk in cut(&segment) {
                self.receive(chunk);
            }
            self.next_segment();
        }
        Ending {
            wire: self.wire,
            removes: self.removes,
            closed: self.closed,
            causes: self.causes,
        }
    }

    pub(super) fn greet(&mut self) {
        self.session.greet(&mut self.out);
        self.flush();
    }

    pub(super) fn next_segment(&mut self) {
        self.deaf = false;
    }

    fn flush(&mut self) {
        self.wire.append(&mut self.out);
    }

    pub(super) fn receive(&mut self, chunk: &[u8]) {
        let mut input = chunk;
        while self.closed.is_none() && !self.deaf {
            match self.session.step(&mut input, &mut self.out) {
                Step::Read => {
                    assert!(input.is_empty(), "Read with input left");
                    break;
                }
                Step::Flush => assert!(!self.out.is_empty(), "Flush with nothing to write"),
                Step::Act(action) => self.act(action),
                Step::Close(close) => self.closed = Some(close),
            }
            self.flush();
        }
        self.flush();
        // A session that is over stays over, without a word more.
        if let Some(close) = self.closed {
            let again = self.session.step(&mut input, &mut self.out);
            assert!(matches!(again, Step::Close(same) if same == close));
            assert!(self.out.is_empty());
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Login(login) => self.login(&login),
            Action::LoginFailed(failed) => {
                self.causes.push(failed.cause.to_string());
                self.session.refuse(&wrong(), &mut self.out);
            }
            Action::ScramKeys { user, hash, .. } => {
                let keys = match &self.dialogue.at_scram {
                    Some(refusal) => Err(refusal.clone()),
                    None => {
                        let keys = self.dialogue.credentials.scram_keys(&user, hash);
                        keys.ok_or_else(wrong)
                    }
                };
                let random = ScramNonce::from_random([self.causes.len() as u8; 18]);
                let nonce = self.dialogue.nonce.as_ref().unwrap_or(&random);
                self.session.scram_keys(keys, nonce, &mut self.out);
            }
            Action::StartTls => {
                self.deaf = true;
                self.session
                    .tls_started(self.dialogue.channel_after_tls.clone());
            }
            Action::Retrieve {
                message,
                octets,
                body_lines,
                utf8,
            } => self.retrieve(message.get(), octets, body_lines, utf8),
            Action::Update { remove } => {
                assert!(self.removes.is_none(), "UPDATE is entered once");
                self.removes = Some(remove.iter().map(|message| message.get()).collect());
                match &self.dialogue.at_update {
                    Some(refusal) => self.session.refuse(refusal, &mut self.out),
                    None => self.session.updated(&mut self.out),
                }
            }
        }
    }

    fn login(&mut self, login: &Login) {
        if !self.dialogue.credentials.accept(login) {
            return self.session.refuse(&wrong(), &mut self.out);
        }
        if let Some(refusal) = self.dialogue.at_login.get(self.logins) {
            self.logins += 1;
            return self.session.refuse(refusal, &mut self.out);
        }
        let mail = self.dialogue.mail.iter();
        let listing = Listing::new(mail.map(|mail| (mail.id.as_str(), mail.octets)));
        let listing = Arc::new(listing.expect("a dialogue's listing is legal"));
        let maildrop = Maildrop::new(listing);
        if let Some((expire, login_delay_seconds)) = self.dialogue.policy {
            self.session.policy(Some(expire), Some(login_delay_seconds));
        }
        self.session.logged_in(maildrop, &mut self.out);
    }

    fn retrieve(&mut self, message: u32, octets: u64, body_lines: Option<u64>, utf8: bool) {
        if self.dialogue.utf8_mail.contains(&message) && !utf8 {
            let refusal = Refusal::new(Some(ResponseCode::Utf8), "");
            return self.session.refuse(&refusal, &mut self.out);
        }
        let mut refusals = self.dialogue.at_retrieve.iter();
        if let Some((_, refusal)) = refusals.find(|(refused, _)| *refused == message) {
            return self.session.refuse(refusal, &mut self.out);
        }
        self.session.retrieving(&mut self.out);
        let mail = &self.dialogue.mail[message as usize - 1];
        assert_eq!(octets, mail.octets);
        let mut stuffing = Stuffing::new(body_lines);
        for chunk in mail.content.chunks(7) {
            stuffing.feed(chunk, &mut self.out);
        }
        let sent = stuffing.finish(&mut self.out);
        self.session.retrieved(sent);
        self.flush();
    }
}

fn session(dialogue: &Dialogue, settings: Arc<Settings>) -> Session {
    let session = Session::new(settings, dialogue.channel.clone());
    match &dialogue.timestamp {
        Some(timestamp) => session.with_timestamp(timestamp.clone()),
        None => session,
    }
}

fn wrong() -> Refusal {
    let code = Some(ResponseCode::Auth);
    Refusal::new(code, "wrong user name or password")
}

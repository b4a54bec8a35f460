//! Plays a dialogue: a session, and a driver that answers its actions.

use std::sync::Arc;

use restante_lines::dialogue::{Cut, Player};
use restante_pop3::{
    AuthorizationAction, Close, Listing, Login, Maildrop, Refusal, ResponseCode, Retrieval,
    ScramNonce, Session, Settings, Step, Stuffing, TransactionAction,
};

use super::{Dialogue, Ending};
use crate::either::{Action, Either};

/// A session and its driver.
pub(crate) struct Replay<'a> {
    dialogue: &'a Dialogue,
    session: Either,
    wire: Vec<u8>,
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
    pub(crate) fn with_output_bytes(mut self, bytes: usize) -> Self {
        let mut settings = self.dialogue.settings.clone();
        settings.limits.output_bytes = bytes;
        self.session = session(self.dialogue, Arc::new(settings));
        self
    }

    /// Plays it all, cut like this.
    pub(crate) fn run(self, cut: Cut) -> Ending {
        let played = self.dialogue.script.play(self, cut);
        Ending {
            wire: played.wire,
            removes: played.removes,
            closed: played.closed,
            causes: played.causes,
        }
    }

    fn flush(&mut self) {
        self.wire.append(&mut self.out);
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Authorization(action) => self.authorize(action),
            Action::Transaction(TransactionAction::Retrieve(wanted)) => self.retrieve(wanted),
            Action::Transaction(TransactionAction::Update { remove }) => {
                assert!(self.removes.is_none(), "UPDATE is entered once");
                self.removes = Some(remove.iter().map(|message| message.get()).collect());
                let session = self.session.transaction();
                match &self.dialogue.at_update {
                    Some(refusal) => session.refuse_update(refusal, &mut self.out),
                    None => session.updated(0, &mut self.out),
                };
            }
        }
    }

    fn authorize(&mut self, action: AuthorizationAction) {
        let session = self.session.authorization();
        match action {
            AuthorizationAction::Login(login) => self.login(&login),
            AuthorizationAction::LoginFailed(failed) => {
                self.causes.push(failed.cause.to_string());
                session.refuse_login(&wrong(), &mut self.out);
            }
            AuthorizationAction::ScramKeys { user, hash, .. } => {
                let keys = match &self.dialogue.at_scram {
                    Some(refusal) => Err(refusal.clone()),
                    None => {
                        let keys = self.dialogue.credentials.scram_keys(&user, hash);
                        keys.ok_or_else(wrong)
                    }
                };
                let random = ScramNonce::from_random([self.causes.len() as u8; 18]);
                let nonce = self.dialogue.nonce.as_ref().unwrap_or(&random);
                session.scram_keys(keys, nonce, &mut self.out);
            }
            AuthorizationAction::StartTls => {
                self.deaf = true;
                session.tls_started(self.dialogue.channel_after_tls.clone());
            }
        }
    }

    fn login(&mut self, login: &Login) {
        let session = self.session.authorization();
        if !self.dialogue.credentials.accept(login) {
            return session.refuse_login(&wrong(), &mut self.out);
        }
        if let Some(refusal) = self.dialogue.at_login.get(self.logins) {
            self.logins += 1;
            return session.refuse_login(refusal, &mut self.out);
        }
        let mail = self.dialogue.mail.iter();
        let listing = Listing::new(mail.map(|mail| (mail.id.as_str(), mail.octets)));
        let listing = Arc::new(listing.expect("a dialogue's listing is legal"));
        let maildrop = Maildrop::new(listing);
        if let Some((expire, login_delay_seconds)) = self.dialogue.policy {
            session.policy(Some(expire), Some(login_delay_seconds));
        }
        self.session.logged_in(maildrop, &mut self.out);
    }

    fn retrieve(&mut self, wanted: Retrieval) {
        let session = self.session.transaction();
        let message = wanted.message.get();
        if self.dialogue.utf8_mail.contains(&message) && !wanted.utf8 {
            let refusal = Refusal::new(Some(ResponseCode::Utf8), "");
            return session.refuse(&refusal, &mut self.out);
        }
        let mut refusals = self.dialogue.at_retrieve.iter();
        if let Some((_, refusal)) = refusals.find(|(refused, _)| *refused == message) {
            return session.refuse(refusal, &mut self.out);
        }
        session.retrieving(wanted.octets, &mut self.out);
        let mail = &self.dialogue.mail[message as usize - 1];
        assert_eq!(wanted.octets, mail.octets);
        let mut stuffing = Stuffing::new(wanted.body_lines);
        for chunk in mail.content.chunks(7) {
            stuffing.feed(chunk, &mut self.out);
        }
        let sent = stuffing.finish(&mut self.out);
        session.retrieved(sent);
        self.flush();
    }
}

impl Player for Replay<'_> {
    fn greet(&mut self) {
        self.session.authorization().greet(&mut self.out);
        self.flush();
    }

    fn receive(&mut self, chunk: &[u8]) {
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

    fn next_segment(&mut self) {
        self.deaf = false;
    }

    fn wire(&self) -> &[u8] {
        &self.wire
    }
}

fn session(dialogue: &Dialogue, settings: Arc<Settings>) -> Either {
    let session = Session::new(settings, dialogue.channel.clone());
    Either::Authorization(match &dialogue.timestamp {
        Some(timestamp) => session.with_timestamp(timestamp.clone()),
        None => session,
    })
}

fn wrong() -> Refusal {
    let code = Some(ResponseCode::Auth);
    Refusal::new(code, "wrong user name or password")
}

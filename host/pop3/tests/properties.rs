//! Random sessions against a naive model of RFC 1939, and random octets
//! against the few rules that hold for any input.

mod either;
mod model;

use std::fmt::Write;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use restante_pop3::{
    AuthorizationAction, Channel, Close, Limits, Listing, Maildrop, Mechanisms, Refusal, Session,
    Settings, Step, Stuffing, TransactionAction,
};

use either::{Action, Either};
use model::{Model, Wish, octets, without_text};

const CHANNEL: Channel = Channel {
    tls: false,
    starttls: true,
    plaintext_login: true,
    mechanisms: Mechanisms::NONE,
    apop: false,
    binding: None,
};

fn settings(output_bytes: usize) -> Arc<Settings> {
    let limits = Limits {
        bad_commands_before_login: 1000,
        bad_commands_after_login: 1000,
        login_failures: 1000,
        output_bytes,
        ..Limits::default()
    };
    Arc::new(Settings {
        limits,
        ..Settings::default()
    })
}

fn maildrop(messages: usize) -> Maildrop {
    let columns = (1..=messages).map(|number| (format!("id{number}"), octets(number) as u64));
    Maildrop::new(Arc::new(Listing::new(columns).expect("a legal listing")))
}

/// Numbers go beyond the maildrop on both sides.
fn wish() -> impl Strategy<Value = Wish> {
    let number = || 0..9_usize;
    prop_oneof![
        6 => number().prop_map(Wish::Dele),
        1 => Just(Wish::Rset),
        3 => number().prop_map(Wish::Retr),
        1 => number().prop_map(Wish::Top),
        3 => proptest::option::of(number()).prop_map(Wish::List),
        2 => proptest::option::of(number()).prop_map(Wish::Uidl),
        2 => Just(Wish::Stat),
        1 => Just(Wish::Noise),
    ]
}

/// A driver that serves everything, and keeps what it is asked to remove.
struct Driver {
    session: Either,
    out: Vec<u8>,
    removed: Option<Vec<usize>>,
    closed: Option<Close>,
    messages: usize,
    login_refused: bool,
}

impl Driver {
    fn new(messages: usize, output_bytes: usize) -> Self {
        Driver {
            session: Either::Authorization(Session::new(settings(output_bytes), CHANNEL)),
            out: Vec::new(),
            removed: None,
            closed: None,
            messages,
            login_refused: false,
        }
    }

    /// What the session says to these octets.
    fn say(&mut self, octets: &[u8]) -> Vec<u8> {
        let mut input = octets;
        let mut wire = Vec::new();
        while self.closed.is_none() {
            let step = self.session.step(&mut input, &mut self.out);
            match step {
                Step::Read => break,
                Step::Flush => assert!(!self.out.is_empty()),
                Step::Close(close) => self.closed = Some(close),
                Step::Act(action) => self.act(action),
            }
            wire.append(&mut self.out);
        }
        wire.append(&mut self.out);
        wire
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Authorization(action) => self.authorize(action),
            Action::Transaction(action) => self.serve(action),
        }
    }

    fn authorize(&mut self, action: AuthorizationAction) {
        let out = &mut self.out;
        match action {
            // Every other login fails: both ways are walked.
            AuthorizationAction::Login(_) if !self.login_refused => {
                self.login_refused = true;
                let code = "AUTH".parse().ok();
                let refusal = Refusal::new(code, "no");
                self.session.authorization().refuse_login(&refusal, out);
            }
            AuthorizationAction::Login(_) => self.session.logged_in(maildrop(self.messages), out),
            AuthorizationAction::StartTls => self.session.authorization().tls_started(Channel {
                tls: true,
                ..CHANNEL
            }),
            AuthorizationAction::ScramKeys { .. } | AuthorizationAction::LoginFailed(_) => {
                unreachable!("nothing of the kind is offered")
            }
        }
    }

    fn serve(&mut self, action: TransactionAction) {
        let (session, out) = (self.session.transaction(), &mut self.out);
        match action {
            TransactionAction::Retrieve(wanted) => {
                session.retrieving(wanted.octets, out);
                let mut stuffing = Stuffing::new(wanted.body_lines);
                stuffing.feed(&vec![b'x'; wanted.message.get() as usize], out);
                let sent = stuffing.finish(out);
                session.retrieved(sent);
            }
            TransactionAction::Update { remove } => {
                assert!(self.removed.is_none(), "UPDATE is entered once");
                let numbers = remove.iter().map(|message| message.get() as usize);
                self.removed = Some(numbers.collect());
                session.updated(0, out);
            }
        }
    }
}

/// Fragments from which nearly valid input is made.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let words = [
        "USER",
        "PASS",
        "STLS",
        "CAPA",
        "QUIT",
        "STAT",
        "LIST",
        "RETR",
        "DELE",
        "NOOP",
        "RSET",
        "TOP",
        "UIDL",
        "user",
        " ",
        " ",
        " ",
        "  ",
        "1",
        "2",
        "0",
        "-1",
        "\r\n",
        "\r\n",
        "\r\n",
        "\n",
        "\r",
        "\0",
        "\t",
        ".",
        "\u{e4}",
        "USER a\r\nPASS b\r\n",
        "LIST\r\n",
        "DELE 1\r\n",
        "RETR 2\r\n",
        "TOP 1 0\r\n",
    ];
    let known = select(words.to_vec()).prop_map(|word| word.as_bytes().to_vec());
    let piece = prop_oneof![8 => known, 1 => vec(any::<u8>(), 0..4)];
    vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever a client does: what is removed is what is marked, and only QUIT
    /// removes.
    #[test]
    fn an_unmarked_message_is_never_removed(
        messages in 0..8_usize,
        wishes in vec(wish(), 0..40),
        quits in any::<bool>(),
        pipelined in any::<bool>(),
    ) {
        let mut driver = Driver::new(messages, 0);
        driver.say(b"USER a\r\nPASS b\r\nUSER a\r\nPASS b\r\n");
        let mut model = Model { marked: vec![false; messages] };
        if pipelined {
            let mut commands = String::new();
            for wish in &wishes {
                write!(commands, "{}", wish.command()).expect("a String takes all");
                model.reply(wish);
            }
            driver.say(commands.as_bytes());
        } else {
            for wish in &wishes {
                let reply = driver.say(wish.command().as_bytes());
                prop_assert_eq!(without_text(&reply, wish), model.reply(wish), "{:?}", wish);
            }
        }
        prop_assert_eq!(driver.session.summary().del as usize, model.numbers_marked().len());
        if quits {
            let reply = driver.say(b"QUIT\r\nDELE 1\r\nQUIT\r\n");
            prop_assert!(reply.starts_with(b"+OK "));
            prop_assert_eq!(driver.closed, Some(Close::Quit));
            prop_assert_eq!(driver.removed, Some(model.numbers_marked()));
        } else {
            prop_assert_eq!(driver.removed, None);
        }
    }

    /// Any octets, cut anywhere: no panic, the same answers, legal lines.
    #[test]
    fn any_input_is_answered_alike_however_it_is_cut(
        input in noise(),
        cuts in vec(0..20_usize, 1..6).prop_filter("some length", |all| all.iter().any(|n| *n > 0)),
    ) {
        let mut whole = Driver::new(2, 16 * 1024);
        let expected = whole.say(&input);
        let mut pieces = Driver::new(2, 0);
        let mut wire = Vec::new();
        let mut rest = &input[..];
        for length in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (chunk, behind) = rest.split_at((*length).min(rest.len()));
            wire.extend(pieces.say(chunk));
            rest = behind;
        }
        prop_assert_eq!(&wire, &expected);
        prop_assert_eq!(&pieces.removed, &whole.removed);
        prop_assert_eq!(pieces.closed, whole.closed);
        prop_assert!(wire.is_empty() || wire.ends_with(b"\r\n"));
        for line in wire.split_inclusive(|octet| *octet == b'\n') {
            prop_assert!(line.len() <= 512 && line.ends_with(b"\r\n"));
            let text = &line[..line.len() - 2];
            prop_assert!(text.iter().all(|octet| matches!(octet, 0x20..=0x7e)));
        }
    }

    /// One line, one answer: what is no multi-line reply never gets out of step.
    #[test]
    fn every_line_before_login_has_one_status_line(lines in vec(vec(any::<u8>(), 0..20), 0..20)) {
        let mut driver = Driver::new(2, 0);
        for mut line in lines {
            line.retain(|octet| *octet != b'\n');
            line.push(b'\n');
            let reply = driver.say(&line);
            if driver.closed.is_some() {
                break;
            }
            let status = reply.starts_with(b"+OK ") || reply.starts_with(b"-ERR ");
            prop_assert!(status, "{}", reply.escape_ascii());
        }
    }
}

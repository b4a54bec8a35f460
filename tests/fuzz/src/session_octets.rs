//! Line reader, parser and session together, and a driver that answers in any way
//! it may.

use std::sync::Arc;

use restante_pop3::{
    AuthorizationAction, ByUser, Channel, ChannelBinding, Language, Limits, Listing, Maildrop,
    Mechanism, MockCredentials, Refusal, ResponseCode, Retention, ScramKeys, ScramNonce, Session,
    Settings, Stuffing, Transaction, TransactionAction,
};

use crate::driver::{Driver, Host, Transcript};
use crate::either::Either;
use crate::input::{Answers, Input};
use crate::memory;
use crate::model::{Model, Wish, octets, without_text};
use crate::replies;

/// Texts from elsewhere: a plugin's, an operator's.
const TEXTS: [&str; 8] = [
    "",
    "ready",
    "[AUTH] no",
    "<1.2@three> \u{202e}",
    "a\r\nb\0c\t",
    "  x  [y] ",
    concat!(
        "long ",
        "0123456789012345678901234567890123456789012345678901234567890123"
    ),
    "\u{e4}\u{1f4a9}",
];

const CODES: [Option<ResponseCode>; 8] = [
    None,
    Some(ResponseCode::Auth),
    Some(ResponseCode::Auth),
    Some(ResponseCode::SysTemp),
    Some(ResponseCode::SysPerm),
    Some(ResponseCode::InUse),
    Some(ResponseCode::LoginDelay),
    Some(ResponseCode::Utf8),
];

/// What a session may keep beside what its lines make it keep, in octets: a
/// maildrop of a few messages, the states of an exchange.
const SESSION_OCTETS: usize = 16 * 1024;

/// What one octet of a line may make a session keep: SASLprep makes 33 octets of
/// some characters of 3, and an exchange has a message in two forms.
const KEPT_FOR_ONE_OCTET: usize = 24;

/// Any octets, cut anywhere: the same answers, questions and end as in one piece;
/// one legal reply to each line, in TRANSACTION that of the model; no message
/// removed that is not marked, and none but by QUIT; bounded memory.
pub fn session(input: &[u8]) {
    let input = Input::read(input);
    let (settings, channel) = (settings(&input, 16 * 1024), channel(input.settings[0]));
    let mut whole = Driver::new(&settings, &channel, World::new(&input));
    whole.receive(input.octets);

    let small = Settings {
        limits: Limits {
            output_bytes: 0,
            ..settings.limits
        },
        ..settings.clone()
    };
    let mut pieces = Driver::new(&small, &channel, World::new(&input));
    for chunk in input.chunks(input.octets) {
        pieces.receive(chunk);
    }
    assert_eq!(pieces.transcript, whole.transcript);

    let by_line = line_by_line(Driver::new(&small, &channel, World::new(&input)), &input);
    assert_eq!(by_line, whole.transcript);
    bounded_memory(&small, &channel, &input);
}

/// Bits: TLS, STLS, USER and PASS, mechanisms, APOP, channel bindings.
fn channel(choice: u8) -> Channel {
    let mechanisms = Mechanism::ALL.into_iter();
    Channel {
        tls: choice & 1 != 0,
        starttls: choice & 2 != 0,
        plaintext_login: choice & 4 != 0,
        mechanisms: mechanisms.filter(|_| choice & 8 != 0).collect(),
        apop: choice & 16 != 0,
        binding: (choice & 32 != 0).then(|| ChannelBinding {
            exporter: Some(vec![b'e'; 32]),
            unique: (choice & 64 != 0).then(|| vec![b'u'; 12]),
            server_end_point: None,
        }),
    }
}

fn settings(input: &Input<'_>, output_bytes: usize) -> Settings {
    let [_, offers, limits, texts] = input.settings;
    let offered = |bit: u8| offers & (1 << bit) != 0;
    let text = |choice: u8| TEXTS[usize::from(choice) % TEXTS.len()];
    Settings {
        greeting: text(texts).repeat(1 + usize::from(texts >> 6) * 8),
        implementation: offered(0).then(|| text(texts >> 3).repeat(1 + usize::from(texts >> 6))),
        expire: offered(1).then_some(ByUser {
            general: Retention::Days(30),
            differs: offered(2),
        }),
        login_delay_seconds: offered(3).then_some(ByUser {
            general: 900,
            differs: offered(2),
        }),
        utf8: offered(4),
        language: offered(5).then_some(Language::French),
        mock_credentials: offered(6).then(|| MockCredentials::new([7; 32], 4096, 16)),
        limits: Limits {
            line_octets: line_octets(limits),
            bad_commands_before_login: [0, 2, 20, u32::MAX][usize::from(limits >> 2 & 3)],
            bad_commands_after_login: [0, 2, 20, u32::MAX][usize::from(limits >> 4 & 3)],
            login_failures: [1, 2, 20, u32::MAX][usize::from(limits >> 6)],
            output_bytes,
        },
        ..Settings::default()
    }
}

fn line_octets(limits: u8) -> usize {
    [0, 255, 256, 1000][usize::from(limits & 3)]
}

/// Answers as the input chooses.
struct World {
    answers: Answers,
    /// Messages of the maildrop that was opened last.
    messages: usize,
    /// The last question was answered by [`Session::refuse`].
    refused: bool,
    /// Longest line, in octets.
    line_octets: usize,
}

impl World {
    fn new(input: &Input<'_>) -> Self {
        World {
            answers: input.answers.clone(),
            messages: 0,
            refused: false,
            line_octets: line_octets(input.settings[2]).max(255),
        }
    }
}

fn refusal(choice: u8) -> Refusal {
    let text = TEXTS[usize::from(choice >> 3) % TEXTS.len()];
    let times = 1 + usize::from(choice >> 6) * 10;
    Refusal::new(
        CODES[usize::from(choice) % CODES.len()],
        &text.repeat(times),
    )
}

fn maildrop(messages: usize) -> Maildrop {
    let columns = (1..=messages).map(|number| (format!("id{number}"), octets(number) as u64));
    Maildrop::new(Arc::new(Listing::new(columns).expect("a legal listing")))
}

impl Host for World {
    fn authorize(&mut self, action: AuthorizationAction, session: &mut Either, out: &mut Vec<u8>) {
        let choice = self.answers.next();
        self.refused = false;
        match action {
            AuthorizationAction::Login(_) if choice & 0xc0 == 0xc0 => {
                self.refused = true;
                session.authorization().refuse_login(&refusal(choice), out);
            }
            AuthorizationAction::Login(_) => {
                self.messages = usize::from(choice & 7);
                if choice & 8 != 0 {
                    let session = session.authorization();
                    session.policy(Some(Retention::Never), Some(choice.into()));
                }
                session.logged_in(maildrop(self.messages), out);
            }
            AuthorizationAction::LoginFailed(_) => {
                let refusal = Refusal::new(Some(ResponseCode::Auth), "");
                session.authorization().refuse_login(&refusal, out);
            }
            AuthorizationAction::ScramKeys { hash, .. } => {
                let (salt, key) = ([choice; 16], vec![choice; hash.octets()]);
                let keys = ScramKeys::new(hash, &salt, 4096, &key, &key);
                let keys = keys
                    .map_err(|_| refusal(1))
                    .and_then(|keys| match choice & 3 {
                        0 => Err(refusal(choice >> 2)),
                        _ => Ok(keys),
                    });
                let nonce = ScramNonce::from_random([choice; 18]);
                session.authorization().scram_keys(keys, &nonce, out);
            }
            AuthorizationAction::StartTls => session.authorization().tls_started(Channel {
                tls: true,
                ..channel(choice)
            }),
        }
    }

    fn serve(
        &mut self,
        action: TransactionAction,
        session: &mut Session<Transaction>,
        out: &mut Vec<u8>,
    ) {
        let choice = self.answers.next();
        self.refused = choice & 0xc0 == 0xc0;
        match action {
            TransactionAction::Retrieve(_) if self.refused => session.refuse(&refusal(choice), out),
            TransactionAction::Retrieve(wanted) => {
                let number = wanted.message.get() as usize;
                assert!(number <= self.messages, "a message that is not there");
                assert_eq!(wanted.octets, octets(number) as u64);
                session.retrieving(wanted.octets, out);
                let mut stuffing = Stuffing::new(wanted.body_lines);
                stuffing.feed(&vec![b'x'; number], out);
                let sent = stuffing.finish(out);
                session.retrieved(sent);
            }
            TransactionAction::Update { .. } if self.refused => {
                session.refuse_update(&refusal(choice), out);
            }
            TransactionAction::Update { .. } => {
                session.updated((choice & 3).into(), out);
            }
        }
    }
}

/// Feeds line after line and compares each reply with the model's.
fn line_by_line(mut driver: Driver<World>, input: &Input<'_>) -> Transcript {
    let greeting = &driver.transcript.wire;
    assert!(greeting.starts_with(b"+OK "));
    replies::one(greeting, false);
    assert!(driver.session.summary().del == 0);

    let utf8_may_be_said = contains_in_any_case(input.octets, b"UTF8");
    let mut model = None;
    for line in input.octets.split_inclusive(|octet| *octet == b'\n') {
        let silent = driver.transcript.closed.is_some()
            || driver.deaf && !line.contains(&0x16)
            || !line.ends_with(b"\n");
        let was_in_transaction = driver.in_transaction();
        let reply = driver.receive(line);
        if silent {
            assert!(reply.is_empty(), "{}", reply.escape_ascii());
            continue;
        }
        replies::one(&reply, utf8_may_be_said);
        if was_in_transaction {
            let model = model.as_mut().expect("somebody logged in");
            expect(model, line, &reply, &driver);
        } else if driver.in_transaction() {
            let marked = vec![false; driver.host.messages];
            model = Some(Model { marked });
        } else {
            assert_eq!(driver.transcript.removed, None);
        }
    }
    driver.transcript
}

/// In TRANSACTION: what is known is answered as the model says, nothing else marks
/// a message, and what QUIT removes is what is marked.
fn expect(model: &mut Model, line: &[u8], reply: &[u8], driver: &Driver<World>) {
    let too_long = line.len() > driver.host.line_octets;
    assert!(!too_long || reply.starts_with(b"-ERR "));
    let line = std::str::from_utf8(line).unwrap_or_default();
    let line = line.trim_end_matches('\n');
    let line = line.strip_suffix('\r').unwrap_or(line);
    // Spaces at the end are forgiven.
    let line = line.trim_end_matches(' ').to_ascii_uppercase();
    match wish(&line).filter(|_| !too_long) {
        Some(Wish::Retr(number) | Wish::Top(number)) if driver.host.refused => {
            let served = model.reply(&Wish::Retr(number)).starts_with("+OK");
            assert!(!served || reply.starts_with(b"-ERR "));
        }
        Some(wish) => assert_eq!(without_text(reply, &wish), model.reply(&wish), "{wish:?}"),
        None => {}
    }
    let marked = model.numbers_marked();
    assert_eq!(driver.session.summary().del as usize, marked.len());
    match &driver.transcript.removed {
        Some(removed) => {
            assert!(line == "QUIT" && !too_long, "only QUIT removes");
            assert_eq!(removed, &marked);
            assert!(driver.transcript.closed.is_some());
        }
        None => assert!(line != "QUIT" || too_long),
    }
}

/// What a line asks for, if it is one of those that the model knows.
fn wish(line: &str) -> Option<Wish> {
    let words: Vec<&str> = line.split(' ').collect();
    let number = |word: &str| {
        let digits = !word.is_empty() && word.bytes().all(|it| it.is_ascii_digit());
        digits.then(|| word.parse().unwrap_or(usize::MAX))
    };
    Some(match words[..] {
        ["DELE", word] => Wish::Dele(number(word)?),
        ["RETR", word] => Wish::Retr(number(word)?),
        ["TOP", word, lines] => number(lines).and(number(word)).map(Wish::Top)?,
        ["LIST", word] => Wish::List(Some(number(word)?)),
        ["UIDL", word] => Wish::Uidl(Some(number(word)?)),
        ["LIST"] => Wish::List(None),
        ["UIDL"] => Wish::Uidl(None),
        ["STAT"] => Wish::Stat,
        ["RSET"] => Wish::Rset,
        _ => return None,
    })
}

fn contains_in_any_case(octets: &[u8], word: &[u8]) -> bool {
    let mut windows = octets.windows(word.len());
    windows.any(|window| window.eq_ignore_ascii_case(word))
}

/// What a session keeps is bounded by its longest line, however much comes: the
/// input, then a line without an end.
fn bounded_memory(settings: &Settings, channel: &Channel, input: &Input<'_>) {
    let driver = Driver::new(settings, channel, World::new(input));
    let bound = SESSION_OCTETS + KEPT_FOR_ONE_OCTET * driver.host.line_octets;
    let mut driver = driver.without_records();
    let chunks = input.chunks(input.octets);
    let before = memory::allocated();
    let check = |driver: &mut Driver<World>, octets: &[u8]| {
        driver.receive(octets);
        let kept = memory::allocated().saturating_sub(before);
        assert!(kept <= bound, "{kept} octets, {bound} expected");
    };
    for chunk in chunks {
        check(&mut driver, chunk);
    }
    let filler = [b'\x16'; 256];
    for _ in 0..=2 * bound / filler.len() {
        check(&mut driver, &filler);
    }
}

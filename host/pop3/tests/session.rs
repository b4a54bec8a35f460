//! What a driver relies on: how much is taken from the input, how far `out`
//! grows, which answers fit which question, and what is counted.

use std::sync::Arc;

use restante_pop3::{
    AuthorizationAction, Channel, Close, Credentials, Limits, Listing, Login, Maildrop, Mechanisms,
    Phase, Refusal, ResponseCode, Retrieval, Session, Settings, State, Step, Summary, Transaction,
    TransactionAction,
};

const TLS: Channel = Channel {
    tls: true,
    starttls: false,
    plaintext_login: true,
    mechanisms: Mechanisms::NONE,
    apop: false,
    binding: None,
};

const IN_THE_CLEAR: Channel = Channel {
    tls: false,
    starttls: true,
    plaintext_login: true,
    mechanisms: Mechanisms::NONE,
    apop: false,
    binding: None,
};

/// The largest reply that is no message: CAPA with the longest implementation.
const ONE_REPLY_OCTETS: usize = 1024;

fn session(limits: Limits, channel: Channel) -> Session {
    let settings = Settings {
        limits,
        ..Settings::default()
    };
    Session::new(Arc::new(settings), channel)
}

fn listing(messages: usize) -> Arc<Listing> {
    let messages = (0..messages).map(|n| (format!("unique-id-{n}"), n as u64 * 7));
    Arc::new(Listing::new(messages).expect("a legal listing"))
}

fn logged_in(limits: Limits, messages: usize) -> Session<Transaction> {
    let mut session = session(limits, TLS);
    let mut out = Vec::new();
    let mut input: &[u8] = b"USER mrose\r\nPASS secret\r\n";
    let step = session.step(&mut input, &mut out);
    assert!(
        matches!(step, Step::Act(AuthorizationAction::Login(_))),
        "{step:?}"
    );
    session.logged_in(Maildrop::new(listing(messages)), &mut out)
}

/// All a session says to `input`, without actions, and the most that `out` held.
fn everything<P: Phase>(session: &mut Session<P>, input: &[u8]) -> (Vec<u8>, usize) {
    let mut input = input;
    let mut wire = Vec::new();
    let mut most = 0;
    let mut out = Vec::new();
    loop {
        let step = session.step(&mut input, &mut out);
        most = most.max(out.len());
        wire.append(&mut out);
        match step {
            Step::Flush => {}
            Step::Read => return (wire, most),
            step => panic!("{step:?}"),
        }
    }
}

#[test]
fn ten_thousand_lists_never_fill_the_memory() {
    let limits = Limits::default();
    let mut one: Vec<u8> = b"+OK 100 messages (34650 octets)\r\n".to_vec();
    for number in 1..=100 {
        one.extend(format!("{number} {}\r\n", (number - 1) * 7).bytes());
    }
    one.extend(b".\r\n");
    let mut session = logged_in(limits, 100);
    let (wire, most) = everything(&mut session, &b"LIST\r\n".repeat(10_000));
    assert_eq!(wire.len(), one.len() * 10_000);
    assert!(wire.chunks(one.len()).all(|reply| reply == one));
    assert!(most <= limits.output_bytes + ONE_REPLY_OCTETS, "{most}");
}

#[test]
fn a_hundred_thousand_messages_are_listed_piecewise() {
    let limits = Limits {
        output_bytes: 4096,
        ..Limits::default()
    };
    let mut session = logged_in(limits, 100_000);
    let (wire, most) = everything(&mut session, b"DELE 100000\r\nDELE 1\r\nLIST\r\nUIDL\r\n");
    let mut expected = String::from("+OK message 100000 deleted\r\n+OK message 1 deleted\r\n");
    expected += "+OK 99998 messages (34998950007 octets)\r\n";
    for number in 2..100_000_u64 {
        expected += &format!("{number} {}\r\n", (number - 1) * 7);
    }
    expected += ".\r\n+OK unique-id listing follows\r\n";
    for number in 2..100_000 {
        expected += &format!("{number} unique-id-{}\r\n", number - 1);
    }
    expected += ".\r\n";
    assert!(wire == expected.as_bytes());
    assert!(most <= 4096 + ONE_REPLY_OCTETS, "{most}");
}

#[test]
fn other_replies_never_fill_the_memory_either() {
    let settings = Settings {
        implementation: Some("x".repeat(2000)),
        limits: Limits {
            output_bytes: 0,
            bad_commands_before_login: u32::MAX,
            ..Limits::default()
        },
        ..Settings::default()
    };
    let settings = Arc::new(settings);
    for command in [&b"CAPA\r\n"[..], b"XYZZY\r\n", b"\n", b"USER mrose\r\n"] {
        let mut session = Session::new(Arc::clone(&settings), TLS);
        let (_, most) = everything(&mut session, &command.repeat(10_000));
        assert!(most <= 512 + ONE_REPLY_OCTETS, "{most}");
    }
}

#[test]
fn a_full_buffer_is_not_touched() {
    let mut session = logged_in(Limits::default(), 3);
    let mut out = vec![b'x'; Limits::default().output_bytes];
    let mut input: &[u8] = b"STAT\r\n";
    let step = session.step(&mut input, &mut out);
    assert!(matches!(step, Step::Flush), "{step:?}");
    assert_eq!(
        (input, out.len()),
        (&b"STAT\r\n"[..], Limits::default().output_bytes)
    );
}

#[test]
fn nothing_behind_an_action_is_taken() {
    let mut session = session(Limits::default(), IN_THE_CLEAR);
    let mut out = Vec::new();
    let mut input: &[u8] = b"STLS\r\nUSER mallory\r\n";
    let step = session.step(&mut input, &mut out);
    assert!(
        matches!(step, Step::Act(AuthorizationAction::StartTls)),
        "{step:?}"
    );
    assert_eq!(input, b"USER mallory\r\n");
    assert!(out.starts_with(b"+OK"));
    session.tls_started(TLS);

    input = b"USER mrose\nPASS  secret\nRETR 2\nQUIT\nSTAT\n";
    match session.step(&mut input, &mut out) {
        Step::Act(AuthorizationAction::Login(Login::Credentials(Credentials::Password {
            user,
            secret,
            ..
        }))) => {
            assert_eq!((user.as_str(), secret.expose()), ("mrose", " secret"));
        }
        step => panic!("{step:?}"),
    }
    assert_eq!(input, b"RETR 2\nQUIT\nSTAT\n");
    let mut session = session.logged_in(Maildrop::new(listing(3)), &mut out);
    match session.step(&mut input, &mut out) {
        Step::Act(TransactionAction::Retrieve(Retrieval {
            message,
            octets,
            body_lines,
            utf8,
        })) => assert_eq!(
            (message.get(), message.position(), octets, body_lines, utf8),
            (2, 1, 7, None, false)
        ),
        step => panic!("{step:?}"),
    }
    assert_eq!(input, b"QUIT\nSTAT\n");
    session.retrieving(7, &mut out);
    session.retrieved(7);
    match session.step(&mut input, &mut out) {
        Step::Act(TransactionAction::Update { remove }) => assert!(remove.is_empty()),
        step => panic!("{step:?}"),
    }
    assert_eq!(input, b"STAT\n");
    session.updated(0, &mut out);
    let step = session.step(&mut input, &mut out);
    assert!(matches!(step, Step::Close(Close::Quit)), "{step:?}");
    assert_eq!(input, b"STAT\n");
}

#[test]
fn a_secret_is_printed_by_no_action() {
    let mut session = session(Limits::default(), TLS);
    let mut input: &[u8] = b"USER mrose\r\nPASS tanstaaf\r\n";
    let step = session.step(&mut input, &mut Vec::new());
    let printed = format!("{step:?}");
    assert!(printed.contains("mrose") && !printed.contains("tanstaaf"));
}

#[test]
fn state_commands_and_summary() {
    let mut session = session(Limits::default(), TLS);
    let mut out = Vec::new();
    session.greet(&mut out);
    assert_eq!(
        (session.state(), session.commands()),
        (State::Authorization, 0)
    );
    let mut input: &[u8] = b"XYZZY\r\nUSER mrose\r\nPASS sec";
    assert!(matches!(session.step(&mut input, &mut out), Step::Read));
    assert_eq!(session.commands(), 2);
    input = b"ret\r\n";
    let step = session.step(&mut input, &mut out);
    assert!(
        matches!(step, Step::Act(AuthorizationAction::Login(_))),
        "{step:?}"
    );
    assert_eq!(
        (session.state(), session.commands()),
        (State::Authorization, 3)
    );
    let mut session = session.logged_in(Maildrop::new(listing(4)), &mut out);
    assert_eq!(session.state(), State::Transaction);
    assert_eq!(
        session.summary(),
        Summary {
            messages: 4,
            octets: 42,
            ..Summary::default()
        }
    );

    let mut served = |session: &mut Session<Transaction>, command: &[u8], octets| {
        let mut input = command;
        let step = session.step(&mut input, &mut out);
        assert!(
            matches!(step, Step::Act(TransactionAction::Retrieve(_))),
            "{step:?}"
        );
        session.retrieving(octets, &mut out);
        session.retrieved(octets);
    };
    served(&mut session, b"RETR 2\r\n", 100);
    served(&mut session, b"RETR 3\r\n", 200);
    served(&mut session, b"TOP 3 0\r\n", 50);
    let mut input: &[u8] = b"DELE 1\r\nDELE 2\r\nRETR 3\r\n";
    let step = session.step(&mut input, &mut out);
    assert!(
        matches!(step, Step::Act(TransactionAction::Retrieve(_))),
        "{step:?}"
    );
    session.refuse(&Refusal::new(None, "gone"), &mut out);
    let summary = Summary {
        retr: 2,
        retr_octets: 300,
        top: 1,
        top_octets: 50,
        del: 2,
        messages: 4,
        octets: 42,
    };
    assert_eq!(session.summary(), summary);
    input = b"QUIT\r\n";
    let step = session.step(&mut input, &mut out);
    assert!(
        matches!(step, Step::Act(TransactionAction::Update { .. })),
        "{step:?}"
    );
    assert_eq!(
        (session.state(), session.summary()),
        (State::Update, summary)
    );
    session.updated(0, &mut out);
    assert!(out.ends_with(b"+OK signing off (2 messages left)\r\n"));
    assert_eq!(
        (session.state(), session.summary()),
        (State::Update, summary)
    );
}

#[test]
fn a_session_closed_for_its_commands_keeps_its_summary() {
    let limits = Limits {
        bad_commands_after_login: 0,
        ..Limits::default()
    };
    let mut session = logged_in(limits, 2);
    let mut out = Vec::new();
    let mut input: &[u8] = b"DELE 1\r\nXYZZY\r\nQUIT\r\n";
    let step = session.step(&mut input, &mut out);
    assert!(matches!(step, Step::Close(Close::BadCommands)), "{step:?}");
    assert_eq!((session.summary().del, input), (1, &b"QUIT\r\n"[..]));
    assert_eq!(session.state(), State::Transaction);
}

#[test]
fn quit_before_login_never_enters_update() {
    let mut session = session(Limits::default(), TLS);
    let mut input: &[u8] = b"USER mrose\r\nQUIT\r\n";
    let step = session.step(&mut input, &mut Vec::new());
    assert!(matches!(step, Step::Close(Close::Quit)), "{step:?}");
    assert_eq!(session.state(), State::Authorization);
}

#[test]
fn only_auth_counts_as_a_failed_login() {
    let limits = Limits {
        login_failures: 2,
        ..Limits::default()
    };
    let mut session = session(limits, TLS);
    let mut out = Vec::new();
    let mut fails = |code| {
        let mut input: &[u8] = b"USER mrose\nPASS secret\n";
        let step = session.step(&mut input, &mut out);
        assert!(
            matches!(step, Step::Act(AuthorizationAction::Login(_))),
            "{step:?}"
        );
        session.refuse_login(&Refusal::new(code, ""), &mut out);
        session.step(&mut input, &mut out)
    };
    let none = [
        None,
        Some(ResponseCode::InUse),
        Some(ResponseCode::SysTemp),
        Some(ResponseCode::SysPerm),
        Some(ResponseCode::LoginDelay),
        Some(ResponseCode::Auth),
        None,
    ];
    for code in none {
        assert!(matches!(fails(code), Step::Read), "{code:?}");
    }
    let step = fails(Some(ResponseCode::Auth));
    assert!(
        matches!(step, Step::Close(Close::LoginFailures)),
        "{step:?}"
    );
}

#[test]
fn the_answer_to_user_is_the_same_for_every_name() {
    let answer = |name: &str| {
        let command = format!("USER {name}\r\n");
        everything(&mut session(Limits::default(), TLS), command.as_bytes()).0
    };
    for name in ["nobody", "root", "../../etc/passwd", "\u{e4}", "a b"] {
        assert_eq!(answer(name), answer("mrose"));
    }
}

#[test]
fn an_endless_line_costs_nothing_and_is_no_command() {
    let mut session = session(Limits::default(), TLS);
    let mut out = Vec::new();
    for _ in 0..1000 {
        let chunk = [b'x'; 4096];
        let mut input = &chunk[..];
        assert!(matches!(session.step(&mut input, &mut out), Step::Read));
    }
    assert_eq!((session.commands(), out.len()), (0, 0));
    let (wire, _) = everything(&mut session, b"\r\nCAPA\r\n");
    assert!(wire.starts_with(b"-ERR line too long\r\n+OK "));
    assert_eq!(session.commands(), 2);
}

#[test]
#[should_panic(expected = "step() while an action waits")]
fn stepping_over_a_question_is_a_bug() {
    let mut session = session(Limits::default(), TLS);
    let mut input: &[u8] = b"USER mrose\nPASS secret\nQUIT\n";
    let mut out = Vec::new();
    session.step(&mut input, &mut out);
    session.step(&mut input, &mut out);
}

#[test]
#[should_panic(expected = "updated() does not answer what was asked: TransactionAction::Retrieve")]
fn the_wrong_answer_is_a_bug() {
    let mut session = logged_in(Limits::default(), 1);
    let mut input: &[u8] = b"RETR 1\n";
    let mut out = Vec::new();
    session.step(&mut input, &mut out);
    session.updated(0, &mut out);
}

#[test]
#[should_panic(expected = "logged_in() does not answer what was asked: nothing")]
fn a_login_nobody_asked_for_is_a_bug() {
    let session = session(Limits::default(), TLS);
    session.logged_in(Maildrop::new(listing(1)), &mut Vec::new());
}

#[test]
#[should_panic(expected = "refuse() does not answer what was asked")]
fn a_message_once_promised_cannot_be_refused() {
    let mut session = logged_in(Limits::default(), 1);
    let mut input: &[u8] = b"RETR 1\n";
    let mut out = Vec::new();
    session.step(&mut input, &mut out);
    session.retrieving(0, &mut out);
    session.refuse(&Refusal::new(None, "too late"), &mut out);
}

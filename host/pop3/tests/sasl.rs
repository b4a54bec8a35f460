//! SASL as a driver sees it: what it is asked and told, that random octets in
//! any mechanism never get anybody in, and that how they are cut is the same.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use restante_pop3::{
    AuthorizationAction, Cause, Channel, ChannelBinding, Close, Credentials, DigestAlgorithm,
    Discovery, FailedLogin, Language, Limits, Listing, Login, Maildrop, Mechanism, MockCredentials,
    Refusal, ResponseCode, ScramHash, ScramKeys, ScramNonce, Session, Settings, Step, Timestamp,
};

/// The largest reply that is no message.
const ONE_REPLY_OCTETS: usize = 1024;

fn settings(output_bytes: usize) -> Arc<Settings> {
    Arc::new(Settings {
        utf8: true,
        language: Some(Language::French),
        mock_credentials: Some(MockCredentials::new([7; 32], 4096, 32)),
        discovery: Discovery {
            scope: Some("x".repeat(300)),
            openid_configuration: Some("y".repeat(350)),
        },
        limits: Limits {
            bad_commands_before_login: u32::MAX,
            bad_commands_after_login: u32::MAX,
            login_failures: u32::MAX,
            output_bytes,
            ..Limits::default()
        },
        ..Settings::default()
    })
}

fn channel() -> Channel {
    Channel {
        tls: true,
        plaintext_login: true,
        mechanisms: Mechanism::ALL.into_iter().collect(),
        apop: true,
        binding: Some(ChannelBinding {
            exporter: Some(vec![b'e'; 32]),
            ..ChannelBinding::default()
        }),
        ..Channel::default()
    }
}

fn session(output_bytes: usize) -> Session {
    let timestamp = Timestamp::new("1896.697170952", "dbc.mtview.ca.us").expect("a msg-id");
    let mut session = Session::new(settings(output_bytes), channel()).with_timestamp(timestamp);
    session.greet(&mut Vec::new());
    session
}

fn base64(octets: impl AsRef<[u8]>) -> String {
    STANDARD.encode(octets)
}

fn nonce() -> ScramNonce {
    ScramNonce::from_random([0; 18])
}

/// Steps over this input to the action it leads to.
fn action(session: &mut Session, input: &str) -> AuthorizationAction {
    let mut rest = input.as_bytes();
    match session.step(&mut rest, &mut Vec::new()) {
        Step::Act(action) => action,
        step => panic!("{input:?}: {step:?}"),
    }
}

fn login(input: &str) -> Credentials {
    match action(&mut session(0), input) {
        AuthorizationAction::Login(Login::Credentials(credentials)) => credentials,
        action => panic!("{input:?}: {action:?}"),
    }
}

#[test]
fn what_each_mechanism_tells_the_driver() {
    match login(&format!(
        "AUTH PLAIN {}\r\n",
        base64("Ursel\0Kurt\0xipj3plmq")
    )) {
        Credentials::Password {
            user,
            acting_as,
            secret,
        } => assert_eq!(
            (user.as_str(), acting_as.as_deref(), secret.expose()),
            ("Kurt", Some("Ursel"), "xipj3plmq")
        ),
        login => panic!("{login:?}"),
    }
    let digest = "c4c9334bac560ecc979e58001b3e22fb";
    let cram = base64(format!("two words {digest}"));
    for (input, name, expected) in [
        (
            format!("APOP mrose {digest}\r\n"),
            "mrose",
            DigestAlgorithm::Md5,
        ),
        (
            format!("AUTH CRAM-MD5\r\n{cram}\r\n"),
            "two words",
            DigestAlgorithm::HmacMd5,
        ),
    ] {
        match login(&input) {
            Credentials::Digest {
                user,
                algorithm,
                challenge,
                response,
            } => {
                assert_eq!((user.as_str(), algorithm), (name, expected));
                assert_eq!(challenge, "<1896.697170952@dbc.mtview.ca.us>");
                assert_eq!(response, digest);
            }
            login => panic!("{login:?}"),
        }
    }
    let bearer = "n,a=user@example.com,\x01host=server.example.com\x01port=995\x01\
                  auth=Bearer tok.en==\x01\x01";
    match login(&format!("AUTH OAUTHBEARER {}\r\n", base64(bearer))) {
        Credentials::Bearer {
            user,
            token,
            host,
            port,
        } => {
            assert_eq!(user.as_deref(), Some("user@example.com"));
            assert_eq!(token.expose(), "tok.en==");
            assert_eq!(
                (host.as_deref(), port),
                (Some("server.example.com"), Some(995))
            );
        }
        login => panic!("{login:?}"),
    }
    match login("AUTH EXTERNAL =\r\n") {
        Credentials::Certificate { acting_as } => assert_eq!(acting_as, None),
        login => panic!("{login:?}"),
    }
}

#[test]
fn a_secret_is_printed_by_no_action() {
    for message in [
        format!("AUTH PLAIN {}\r\n", base64("\0mrose\0tanstaaf")),
        format!(
            "AUTH LOGIN\r\n{}\r\n{}\r\n",
            base64("mrose"),
            base64("tanstaaf")
        ),
        format!(
            "AUTH XOAUTH2 {}\r\n",
            base64("user=mrose\x01auth=Bearer tanstaaf\x01\x01")
        ),
    ] {
        let printed = format!("{:?}", login(&message));
        assert!(printed.contains("mrose"), "{printed}");
        assert!(!printed.contains("tanstaaf"), "{printed}");
    }
}

#[test]
fn scram_asks_for_keys_and_tells_why_it_failed() {
    let mut session = session(0);
    let first = base64("n,,n=mrose,r=abc");
    let input = format!("AUTH SCRAM-SHA-256 {first}\r\nSTAT\r\n");
    let mut rest = input.as_bytes();
    match session.step(&mut rest, &mut Vec::new()) {
        Step::Act(AuthorizationAction::ScramKeys {
            user,
            acting_as,
            hash,
        }) => {
            assert_eq!((user.as_str(), hash), ("mrose", ScramHash::Sha256));
            assert_eq!(acting_as, None);
        }
        step => panic!("{step:?}"),
    }
    // Nothing behind the line is taken before the answer.
    assert_eq!(rest, b"STAT\r\n");
    let unknown = Refusal::new(Some(ResponseCode::Auth), "");
    session.scram_keys(Err(unknown), &nonce(), &mut Vec::new());

    let (server_nonce, proof) = (base64([0; 18]), base64([0; 32]));
    let last = base64(format!("c=biws,r=abc{server_nonce},p={proof}"));
    match action(&mut session, &format!("{last}\r\n")) {
        AuthorizationAction::LoginFailed(failed) => assert_eq!(
            failed,
            FailedLogin {
                user: Some("mrose".into()),
                cause: Cause::Proof
            }
        ),
        action => panic!("{action:?}"),
    }
    let mut out = Vec::new();
    session.refuse_login(&Refusal::new(Some(ResponseCode::Auth), ""), &mut out);
    assert_eq!(out, b"-ERR [AUTH] authentication failed\r\n");
}

#[test]
#[should_panic(
    expected = "logged_in() does not answer what was asked: AuthorizationAction::LoginFailed"
)]
fn who_failed_cannot_be_logged_in() {
    let mut session = session(0);
    let message = base64("\0mr\u{7}ose\0secret");
    let action = action(&mut session, &format!("AUTH PLAIN {message}\r\n"));
    assert!(
        matches!(action, AuthorizationAction::LoginFailed(_)),
        "{action:?}"
    );
    let listing = Listing::new([("a", 1)]).expect("a legal listing");
    session.logged_in(Maildrop::new(Arc::new(listing)), &mut Vec::new());
}

#[test]
#[should_panic(
    expected = "logged_in() does not answer what was asked: AuthorizationAction::ScramKeys"
)]
fn whose_keys_are_looked_up_is_not_logged_in() {
    let mut session = session(0);
    let first = base64("n,,n=mrose,r=abc");
    action(&mut session, &format!("AUTH SCRAM-SHA-1 {first}\r\n"));
    let listing = Listing::new([("a", 1)]).expect("a legal listing");
    session.logged_in(Maildrop::new(Arc::new(listing)), &mut Vec::new());
}

#[test]
#[should_panic(expected = "keys for the hash that was asked for")]
fn keys_for_another_hash_are_a_bug() {
    let mut session = session(0);
    let first = base64("n,,n=mrose,r=abc");
    action(&mut session, &format!("AUTH SCRAM-SHA-1 {first}\r\n"));
    let keys = ScramKeys::new(ScramHash::Sha256, b"salt", 4096, &[0; 32], &[0; 32]);
    let keys = keys.expect("keys of the right length");
    session.scram_keys(Ok(keys), &nonce(), &mut Vec::new());
}

#[test]
fn no_reply_of_an_exchange_fills_the_memory() {
    let longest_nonce = "n".repeat(256);
    let scram = base64(format!("n,,n=mrose,r={longest_nonce}"));
    let bearer = base64("n,,\x01auth=\x01\x01");
    for (line, answers) in [
        ("AUTH\r\n".to_owned(), "+OK "),
        ("LANG\r\n".to_owned(), "+OK "),
        (format!("AUTH OAUTHBEARER {bearer}\r\n\r\n"), "+ "),
        (format!("AUTH SCRAM-SHA-256 {scram}\r\n*\r\n"), "+ "),
    ] {
        let mut driver = Driver::new(0);
        let wire = driver.say(line.repeat(2000).as_bytes());
        assert!(wire.starts_with(answers.as_bytes()));
        let most = driver.most;
        assert!(most <= 512 + ONE_REPLY_OCTETS, "{line:?}: {most}");
    }
}

/// A driver that knows one user's keys, refuses every login, and keeps count.
struct Driver {
    session: Session,
    out: Vec<u8>,
    /// The most that `out` held.
    most: usize,
    logins: Vec<String>,
    closed: Option<Close>,
}

impl Driver {
    fn new(output_bytes: usize) -> Self {
        Driver {
            session: session(output_bytes),
            out: Vec::new(),
            most: 0,
            logins: Vec::new(),
            closed: None,
        }
    }

    fn say(&mut self, octets: &[u8]) -> Vec<u8> {
        let mut input = octets;
        let mut wire = Vec::new();
        while self.closed.is_none() {
            let step = self.session.step(&mut input, &mut self.out);
            self.most = self.most.max(self.out.len());
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

    fn act(&mut self, action: AuthorizationAction) {
        let refusal = Refusal::new(Some(ResponseCode::Auth), "");
        match action {
            AuthorizationAction::Login(login) => {
                self.logins.push(format!("{login:?}"));
                self.session.refuse_login(&refusal, &mut self.out);
            }
            AuthorizationAction::LoginFailed(failed) => {
                self.logins.push(format!("{failed:?}"));
                self.session.refuse_login(&refusal, &mut self.out);
            }
            AuthorizationAction::ScramKeys { user, hash, .. } => {
                let keys = ScramKeys::new(
                    hash,
                    &[1; 64],
                    u32::MAX,
                    &vec![2; hash.octets()],
                    &vec![3; hash.octets()],
                );
                let keys = keys.map_err(|_| refusal.clone());
                let keys = if user == "mrose" { keys } else { Err(refusal) };
                let out = &mut self.out;
                self.session.scram_keys(keys, &nonce(), out);
            }
            AuthorizationAction::StartTls => panic!("TLS is up already"),
        }
        self.most = self.most.max(self.out.len());
    }
}

/// Messages of all mechanisms and what looks like them.
fn message() -> impl Strategy<Value = Vec<u8>> {
    let words = [
        "n,,",
        "y,,",
        "p=tls-exporter,,",
        "p=tls-unique,,",
        "n,a=mrose,",
        "n=mrose,r=abc",
        "n=nobody,r=abc",
        ",",
        "=",
        "r=abcAAAAAAAAAAAAAAAAAAAAAAAA",
        "c=biws,",
        ",p=",
        "AAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        "m=x",
        "\x01",
        "\x01\x01",
        "auth=Bearer x",
        "auth=",
        "user=mrose",
        "host=h",
        "port=110",
        "\0",
        "mrose",
        "secret",
        "\u{e4}",
        "\u{ad}",
        " c4c9334bac560ecc979e58001b3e22fb",
        " ",
    ];
    let known = select(words.to_vec()).prop_map(|word| word.as_bytes().to_vec());
    let piece = prop_oneof![6 => known, 1 => vec(any::<u8>(), 0..6)];
    vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

/// A line of a client: AUTH, a response, or noise.
fn line() -> impl Strategy<Value = Vec<u8>> {
    let mechanism = || select(Mechanism::ALL.to_vec());
    let end = select(vec!["\r\n", "\r\n", "\r\n", "\n", ""]);
    let text = prop_oneof![
        4 => (mechanism(), message())
            .prop_map(|(name, message)| format!("AUTH {name} {}", base64(message)).into_bytes()),
        2 => mechanism().prop_map(|name| format!("AUTH {name}").into_bytes()),
        4 => message().prop_map(|message| base64(message).into_bytes()),
        1 => message(),
        1 => vec(any::<u8>(), 0..40),
        1 => select(vec!["*", "", "=", "AUTH", "CAPA", "LANG", "LANG de", "LANG *", "UTF8",
                         "APOP mrose c4c9334bac560ecc979e58001b3e22fb", "USER mrose", "PASS x"])
            .prop_map(|word| word.as_bytes().to_vec()),
    ];
    (text, end).prop_map(|(text, end)| [&text[..], end.as_bytes()].concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any octets in any mechanism, cut anywhere: no panic, the same answers, the
    /// same questions to the driver, legal lines, bounded memory, and no proof.
    #[test]
    fn any_exchange_is_answered_alike_however_it_is_cut(
        lines in vec(line(), 0..12),
        cuts in vec(0..30_usize, 1..6).prop_filter("some length", |all| all.iter().any(|n| *n > 0)),
    ) {
        let input = lines.concat();
        let mut whole = Driver::new(16 * 1024);
        let expected = whole.say(&input);
        let mut pieces = Driver::new(0);
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
        prop_assert_eq!(&pieces.logins, &whole.logins);
        prop_assert!(pieces.most <= 512 + ONE_REPLY_OCTETS);
        prop_assert!(!whole.logins.iter().any(|login| login.starts_with("Proved")));
        prop_assert!(wire.is_empty() || wire.ends_with(b"\r\n"));
        for line in wire.split_inclusive(|octet| *octet == b'\n') {
            let text = std::str::from_utf8(line).expect("UTF-8");
            let is_challenge = text.starts_with("+ ");
            prop_assert!(text.ends_with("\r\n") && (is_challenge || line.len() <= 512));
            let text = &text[..text.len() - 2];
            prop_assert!(!text.contains(|char: char| char.is_control()));
            if is_challenge {
                prop_assert!(STANDARD.decode(&text[2..]).is_ok());
            }
        }
    }

    /// A response, whatever it is, has one answer: the client never gets out of
    /// step.
    #[test]
    fn every_response_has_one_answer(
        mechanism in select(Mechanism::ALL.to_vec()),
        responses in vec(message(), 0..6),
    ) {
        let mut driver = Driver::new(0);
        let mut reply = driver.say(format!("AUTH {mechanism}\r\n").as_bytes());
        for response in responses {
            prop_assert_eq!(reply.iter().filter(|octet| **octet == b'\n').count(), 1);
            if !reply.starts_with(b"+ ") {
                prop_assert!(reply.starts_with(b"-ERR "));
                break;
            }
            reply = driver.say(format!("{}\r\n", base64(response)).as_bytes());
        }
    }
}

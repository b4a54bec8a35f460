//! SASL exchanges: what a client writes, and a SCRAM client that knows passwords.
//!
//! Behind the choices ([`crate::input`]) each line is one thing that the client
//! does, by its first octet:
//!
//! ```text
//! A n message   AUTH with mechanism n (a letter) and this initial response
//! B n           AUTH without an initial response
//! R message     a response
//! S xxxx        the SCRAM client begins, as four octets choose
//! F x           and ends, with a flaw or without one
//! E             an empty response
//! anything      goes out as it is
//! ```

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use restante_pop3::{
    AuthorizationAction, Channel, ChannelBinding, Credentials, DigestAlgorithm, Discovery,
    Language, Limits, Listing, Login, Maildrop, Mechanism, MockCredentials, Preparation, Refusal,
    ResponseCode, ScramNonce, Session, Settings, Transaction, TransactionAction, saslprep,
};
use sha2::{Digest, Sha256};

use crate::driver::{Driver, Host};
use crate::either::Either;
use crate::input::{Answers, Input};
use crate::replies;
use crate::scram_client::{self, Client, Flaw};

const TIMESTAMP: &str = "<1896.697170952@dbc.mtview.ca.us>";

/// Users with keys: as a client writes the name, prepared, its password.
const USERS: [(&str, &str, &str); 3] = [
    ("mrose", "mrose", "tanstaaf"),
    ("I\u{ad}X", "IX", "p\u{e4}ss word"),
    ("a=2Cb=3Dc", "a,b=c", "\u{1f40}"),
];

/// Few, so that an exchange costs little.
const ITERATIONS: u32 = 2;

/// Any exchange: nobody is proved but by a client that computed the proof for this
/// exchange, and whoever did is; what the driver is asked keeps what its types
/// promise; one legal reply to each line; the same octets, cut anywhere, come to
/// the same, and with another nonce prove nobody.
pub fn sasl(input: &[u8]) {
    let nonce_seed: [u8; 32] = Sha256::digest(input).into();
    let input = Input::read(input);
    let (settings, channel) = (settings(16 * 1024), channel(input.settings[0]));
    let world = World::new(&input, &channel, nonce_seed);
    let mut player = Player::new(Driver::new(&settings, &channel, world));
    for line in input.octets.split(|octet| *octet == b'\n') {
        player.does(line);
    }
    let (said, whole) = (player.said, player.driver);

    let world = World::new(&input, &channel, nonce_seed);
    let small = self::settings(0);
    let mut pieces = Driver::new(&small, &channel, world);
    for chunk in input.chunks(&said) {
        pieces.receive(chunk);
    }
    assert_eq!(pieces.transcript, whole.transcript);

    let other_nonce = nonce_seed.map(|octet| !octet);
    let world = World::new(&input, &channel, other_nonce);
    let mut replayed = Driver::new(&settings, &channel, world);
    replayed.receive(&said);
    assert_eq!(replayed.host.proved, 0, "an old proof is none");
}

fn settings(output_bytes: usize) -> Settings {
    Settings {
        utf8: true,
        language: Some(Language::German),
        mock_credentials: Some(MockCredentials::new([7; 32], ITERATIONS, 16)),
        discovery: Discovery {
            scope: Some("mail \"all\"".into()),
            openid_configuration: Some("y".repeat(600)),
        },
        limits: Limits {
            bad_commands_before_login: u32::MAX,
            bad_commands_after_login: u32::MAX,
            login_failures: u32::MAX,
            output_bytes,
            ..Limits::default()
        },
        ..Settings::default()
    }
}

/// Bits: TLS, USER and PASS, bindings.
fn channel(choice: u8) -> Channel {
    let has = |bit: u8| choice & (1 << bit) != 0;
    Channel {
        tls: has(0),
        plaintext_login: has(1),
        mechanisms: Mechanism::ALL.into_iter().collect(),
        apop: true,
        binding: has(2).then(|| ChannelBinding {
            exporter: has(3).then(|| vec![b'e'; 32]),
            unique: has(4).then(|| vec![b'u'; 12]),
            server_end_point: has(5).then(|| vec![b's'; 32]),
        }),
        ..Channel::default()
    }
}

fn binding<'c>(channel: &'c Channel, name: &str) -> Option<&'c [u8]> {
    let binding = channel.binding.as_ref().filter(|_| channel.tls)?;
    let octets = match name {
        "tls-exporter" => &binding.exporter,
        "tls-unique" => &binding.unique,
        "tls-server-end-point" => &binding.server_end_point,
        _ => return None,
    };
    octets.as_deref()
}

/// Knows the users' keys, and looks hard at each question.
struct World {
    answers: Answers,
    channel: Channel,
    nonce_seed: [u8; 32],
    exchanges: u32,
    /// The keys of the last question were given.
    keys_given: bool,
    /// How often somebody was proved, and who was.
    proved: usize,
    last_proved: Option<(String, Option<String>)>,
    last_password: Option<(String, Option<String>, String)>,
    last_challenge: Option<String>,
}

impl World {
    fn new(input: &Input<'_>, channel: &Channel, nonce_seed: [u8; 32]) -> Self {
        World {
            answers: input.answers.clone(),
            channel: channel.clone(),
            nonce_seed,
            exchanges: 0,
            keys_given: false,
            proved: 0,
            last_proved: None,
            last_password: None,
            last_challenge: None,
        }
    }

    /// Never the same twice, and not to be known when the input is made.
    fn nonce(&mut self) -> ScramNonce {
        self.exchanges += 1;
        let random = Sha256::new_with_prefix(self.nonce_seed)
            .chain_update(self.exchanges.to_be_bytes())
            .finalize();
        let random = random.first_chunk::<18>().expect("32 octets have 18");
        ScramNonce::from_random(*random)
    }

    fn login(&mut self, login: Login) {
        match login {
            Login::Credentials(credentials) => self.shown(credentials),
            Login::Proved { user, acting_as } => {
                names(Some(&user), acting_as.as_deref());
                assert!(self.keys_given, "of somebody without keys");
                self.proved += 1;
                self.last_proved = Some((user, acting_as));
            }
        }
    }

    fn shown(&mut self, credentials: Credentials) {
        let tls = self.channel.tls;
        match credentials {
            Credentials::Password {
                user,
                acting_as,
                secret,
            } => {
                assert!(tls || self.channel.plaintext_login, "in the clear");
                names(Some(&user), acting_as.as_deref());
                prepared(secret.expose());
                self.last_password = Some((user, acting_as, secret.expose().into()));
            }
            Credentials::Digest {
                user,
                algorithm,
                challenge,
                response,
            } => {
                names(Some(&user), None);
                let hex = |octet: u8| matches!(octet, b'0'..=b'9' | b'a'..=b'f');
                assert!(response.len() == 32 && response.bytes().all(hex));
                match algorithm {
                    DigestAlgorithm::Md5 => assert_eq!(challenge, TIMESTAMP),
                    DigestAlgorithm::HmacMd5 => {
                        assert_ne!(self.last_challenge.as_ref(), Some(&challenge), "twice");
                        self.last_challenge = Some(challenge);
                    }
                }
            }
            Credentials::Bearer {
                user, token, host, ..
            } => {
                assert!(tls, "RFC 7628 section 5");
                names(user.as_deref(), None);
                assert!(is_b64token(token.expose()), "RFC 6750 section 2.1");
                assert!(host.is_none_or(|host| !host.contains(char::is_control)));
            }
            Credentials::Certificate { acting_as } => {
                assert!(tls, "there is no certificate");
                names(None, acting_as.as_deref());
            }
        }
    }
}

fn names(user: Option<&str>, acting_as: Option<&str>) {
    user.into_iter().chain(acting_as).for_each(prepared);
    assert!(acting_as.is_none() || acting_as != user);
}

/// Not empty, without control characters, and as SASLprep leaves it.
fn prepared(text: &str) {
    assert!(!text.is_empty() && !text.contains(char::is_control));
    assert_eq!(saslprep(text, Preparation::Query).as_deref(), Ok(text));
}

fn is_b64token(token: &str) -> bool {
    let body = token.trim_end_matches('=');
    let legal = |octet: u8| octet.is_ascii_alphanumeric() || b"-._~+/".contains(&octet);
    !body.is_empty() && body.bytes().all(legal)
}

impl Host for World {
    fn authorize(&mut self, action: AuthorizationAction, session: &mut Either, out: &mut Vec<u8>) {
        let choice = self.answers.next();
        let refused = Refusal::new(Some(ResponseCode::Auth), "");
        match action {
            AuthorizationAction::Login(login) => {
                self.login(login);
                match choice & 0x0f {
                    0x0f => {
                        let listing = Listing::new([("a", 1)]).expect("a legal listing");
                        session.logged_in(Maildrop::new(Arc::new(listing)), out);
                    }
                    0x0e => {
                        let refused = Refusal::new(Some(ResponseCode::SysTemp), "");
                        session.authorization().refuse_login(&refused, out);
                    }
                    _ => session.authorization().refuse_login(&refused, out),
                }
            }
            AuthorizationAction::LoginFailed(_) => {
                session.authorization().refuse_login(&refused, out);
            }
            AuthorizationAction::ScramKeys {
                user,
                acting_as,
                hash,
            } => {
                names(Some(&user), acting_as.as_deref());
                let known = USERS.iter().find(|(_, name, _)| *name == user);
                let keys = match (known, choice >> 4) {
                    (_, 0x0f) => Err(Refusal::new(Some(ResponseCode::SysTemp), "")),
                    (Some((_, name, password)), _) => {
                        let salt = name.as_bytes();
                        Ok(scram_client::keys(hash, password, salt, ITERATIONS))
                    }
                    (None, _) => Err(refused),
                };
                self.keys_given = keys.is_ok();
                let nonce = self.nonce();
                session.authorization().scram_keys(keys, &nonce, out);
            }
            AuthorizationAction::StartTls => unreachable!("it is not offered"),
        }
    }

    fn serve(
        &mut self,
        action: TransactionAction,
        session: &mut Session<Transaction>,
        out: &mut Vec<u8>,
    ) {
        // An answer as before login: what each question is answered follows from how
        // many there were.
        self.answers.next();
        match action {
            TransactionAction::Retrieve(_) => session.refuse(&Refusal::new(None, "no"), out),
            TransactionAction::Update { .. } => {
                session.updated(0, out);
            }
        }
    }
}

/// Somebody whom the client should be, if nothing goes wrong.
struct Claim {
    client: Client,
    user: String,
    acting_as: Option<String>,
    /// Everything so far is as it should be.
    right: bool,
}

/// Where the client's exchange is.
enum Scram {
    Nothing,
    /// It has the server's first message.
    Challenged(Box<Claim>, String),
    /// The server has proved itself, and an empty response is due.
    Proved(Box<Claim>),
}

/// The client, and the session it speaks with.
struct Player {
    driver: Driver<World>,
    /// Every octet so far.
    said: Vec<u8>,
    scram: Scram,
    /// The last reply was a challenge.
    in_exchange: bool,
}

impl Player {
    fn new(driver: Driver<World>) -> Self {
        Player {
            driver,
            said: Vec::new(),
            scram: Scram::Nothing,
            in_exchange: false,
        }
    }

    /// One line of the input.
    fn does(&mut self, line: &[u8]) {
        let scram = std::mem::replace(&mut self.scram, Scram::Nothing);
        let proved = self.driver.host.proved;
        match (line, scram) {
            ([b'A', mechanism, message @ ..], _) => self.auth(mechanism_of(*mechanism), message),
            ([b'B', mechanism, ..], _) => {
                self.say(&format!("AUTH {}", mechanism_of(*mechanism)));
            }
            ([b'S', choices @ ..], _) => self.begin(choices),
            ([b'F', choices @ ..], Scram::Challenged(claim, server_first)) => {
                self.end(*claim, &server_first, choices);
            }
            ([] | [b'E', ..] | [b'R'], Scram::Proved(claim)) => return self.prove(*claim, ""),
            ([b'='], Scram::Proved(claim)) => return self.prove(*claim, "="),
            ([b'E', ..], _) => drop(self.say("")),
            ([b'R', message @ ..], _) => drop(self.say(&STANDARD.encode(message))),
            (line, _) => drop(self.say_octets(line)),
        }
        assert_eq!(self.driver.host.proved, proved, "nobody has a proof");
    }

    fn say(&mut self, line: &str) -> String {
        self.say_octets(line.as_bytes())
    }

    fn say_octets(&mut self, line: &[u8]) -> String {
        let line = [line, b"\r\n"].concat();
        self.said.extend_from_slice(&line);
        let was_over = self.driver.transcript.closed.is_some();
        let reply = self.driver.receive(&line);
        if was_over {
            return String::new();
        }
        replies::one(&reply, true);
        self.in_exchange = reply.starts_with(b"+ ");
        String::from_utf8(reply).expect("replies are UTF-8")
    }

    /// The challenge in the reply to this line, if it is one.
    fn challenge(&mut self, line: &str) -> Option<String> {
        let reply = self.say(line);
        let challenge = STANDARD.decode(reply.strip_prefix("+ ")?.trim_end()).ok()?;
        String::from_utf8(challenge).ok()
    }

    /// Whether the next line is a command, and AUTH is one.
    fn may_begin(&self) -> bool {
        let over = self.driver.transcript.closed.is_some();
        !over && !self.in_exchange && !self.driver.in_transaction()
    }

    /// AUTH in one line. PLAIN is compared with what RFC 4616 makes of it.
    fn auth(&mut self, mechanism: Mechanism, message: &[u8]) {
        let expected = match self.may_begin() && mechanism == Mechanism::Plain {
            true => plain(message, &self.driver.host.channel),
            false => None,
        };
        self.driver.host.last_password = None;
        let begins = self.may_begin();
        let initial = match message {
            b"" => "=".into(),
            message => STANDARD.encode(message),
        };
        let line = format!("AUTH {mechanism} {initial}");
        self.say(&line);
        let begins = begins && line.len() + 2 <= Limits::default().line_octets;
        if begins && mechanism == Mechanism::Plain {
            assert_eq!(self.driver.host.last_password, expected);
        }
    }

    /// Mechanism and header; user and authzid; password and nonce; binding.
    fn begin(&mut self, choices: &[u8]) {
        let choice = |index: usize| choices.get(index).copied().unwrap_or_default();
        let channel = self.driver.host.channel.clone();
        let mechanism = [
            Mechanism::ScramSha256,
            Mechanism::ScramSha1,
            Mechanism::ScramSha256Plus,
            Mechanism::ScramSha1Plus,
        ][usize::from(choice(0) & 3)];
        let plus = choice(0) & 2 != 0;
        let name = [
            "tls-exporter",
            "tls-unique",
            "tls-server-end-point",
            "tls-x",
        ][usize::from(choice(3) & 3)];
        let flag = match choice(0) >> 2 & 3 {
            0 if plus => format!("p={name}"),
            0 | 1 => "n".into(),
            2 => "y".into(),
            _ => format!("p={name}"),
        };
        let user = USERS.get(usize::from(choice(1) & 3));
        let (written, prepared, password) = *user.unwrap_or(&("nobody", "nobody", "x"));
        let (authzid, acting_as) = match choice(1) >> 2 & 3 {
            0 => (String::new(), None),
            1 => (format!("a={written}"), None),
            2 => ("a=other=2Cone".into(), Some("other,one".to_owned())),
            _ => ("a=other".into(), Some("other".to_owned())),
        };
        let wrong_password = choice(2) & 7 == 7;
        let password = if wrong_password { "wrong" } else { password };
        let nonce = format!("{:x}", choice(2) >> 3).repeat(1 + usize::from(choice(3) >> 4));

        // Which of it is legal: RFC 5802 section 6.
        let offered = channel.offered();
        let known = binding(&channel, name);
        let legal = match (flag.as_bytes()[0], plus) {
            (b'p', true) => known.is_some(),
            (b'n', false) => true,
            (b'y', false) => !offered.contains(match mechanism {
                Mechanism::ScramSha1 => Mechanism::ScramSha1Plus,
                _ => Mechanism::ScramSha256Plus,
            }),
            _ => false,
        };
        let binds = plus && flag.starts_with('p');
        let wrong_binding = binds && choice(3) & 0x0c == 0x0c;
        let binding = match known.filter(|_| binds) {
            Some(octets) if !wrong_binding => octets.to_vec(),
            Some(octets) => octets.iter().map(|octet| octet ^ 1).collect(),
            None => Vec::new(),
        };
        let right = self.may_begin()
            && offered.contains(mechanism)
            && legal
            && !wrong_binding
            && !wrong_password
            && user.is_some();

        let header = format!("{flag},{authzid},");
        let client = Client::new(mechanism, header, written, &nonce, &binding, password);
        let first = STANDARD.encode(client.first());
        let in_two_steps = choice(0) & 0x10 != 0;
        let server_first = match in_two_steps {
            false => self.challenge(&format!("AUTH {mechanism} {first}")),
            true => match self.challenge(&format!("AUTH {mechanism}")) {
                Some(empty) if empty.is_empty() => self.challenge(&first),
                _ => None,
            },
        };
        let keys_given = self.driver.host.keys_given;
        match server_first {
            Some(server_first) => {
                let claim = Claim {
                    client,
                    user: prepared.into(),
                    acting_as,
                    right: right && keys_given,
                };
                self.scram = Scram::Challenged(Box::new(claim), server_first);
            }
            None => assert!(!(right && keys_given), "a legal client is turned away"),
        }
    }

    fn end(&mut self, mut claim: Claim, server_first: &str, choices: &[u8]) {
        let flaw = Flaw::chosen(choices.first().copied().unwrap_or_default());
        let Some((last, right)) = claim.client.last(server_first, flaw) else {
            // The challenge of another mechanism.
            assert!(!claim.right);
            return drop(self.say("*"));
        };
        claim.right &= right;
        match self.challenge(&STANDARD.encode(last)) {
            Some(server_final) => {
                assert!(claim.right, "a wrong proof is taken: {flaw:?}");
                assert!(claim.client.accepts(&server_final));
                self.scram = Scram::Proved(Box::new(claim));
            }
            None => assert!(!claim.right, "a right proof is refused"),
        }
    }

    /// The empty response, in one of its two forms.
    fn prove(&mut self, claim: Claim, empty: &str) {
        let proved = self.driver.host.proved;
        self.say(empty);
        assert_eq!(self.driver.host.proved, proved + 1);
        let last = self.driver.host.last_proved.take();
        assert_eq!(last, Some((claim.user, claim.acting_as)));
    }
}

fn mechanism_of(letter: u8) -> Mechanism {
    Mechanism::ALL[usize::from(letter) % Mechanism::ALL.len()]
}

/// What a driver is asked after this message: RFC 4616 section 2.
fn plain(message: &[u8], channel: &Channel) -> Option<(String, Option<String>, String)> {
    if !channel.offered().contains(Mechanism::Plain) {
        return None;
    }
    let message = std::str::from_utf8(message).ok()?;
    let parts: Vec<&str> = message.split('\0').collect();
    let [authzid, authcid, password] = parts[..] else {
        return None;
    };
    let prepare = |text| saslprep(text, Preparation::Query).ok().map(String::from);
    let (user, password) = (prepare(authcid)?, prepare(password)?);
    let acting_as = match authzid {
        "" => None,
        authzid => Some(prepare(authzid)?).filter(|authzid| *authzid != user),
    };
    Some((user, acting_as, password))
}

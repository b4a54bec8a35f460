//! SASL (RFC 5034) and APOP through the whole session loop: SCRAM, digests and
//! tokens, what they cost who guesses, and what of a user they tell.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use restante_config::ListenerTls;
use restante_roles::backend::Accepts;
use restante_server::connection::End;
use sha1::Sha1;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, duplex};
use tokio::time::Instant;

use crate::client::Client;
use crate::tls::handshake;
use crate::world::{PIPE_BYTES, Plan, World};

pub(crate) const ALL: Accepts = Accepts {
    password: true,
    digest: true,
    bearer: true,
    certificate: true,
    scram_sha1: true,
    scram_sha256: true,
};

const CLIENT: [u8; 4] = [192, 0, 2, 1];
const SECOND: Duration = Duration::from_secs(1);

/// The client's nonce.
const NONCE: &str = "rOprNGfwEbeRWgbNEkqO";

fn plan() -> Plan {
    let plan = Plan::new().mail(&[("one", "Subject: one\n\nmail\n")]);
    plan.memory.accept(ALL);
    plan
}

/// A client's side of SCRAM, after RFC 5802 section 3.
pub(crate) struct Scram {
    mechanism: &'static str,
    /// The GS2 header.
    pub(crate) header: String,
    user: String,
    password: String,
    binding: Vec<u8>,
}

impl Scram {
    pub(crate) fn new(mechanism: &'static str, user: &str, password: &str) -> Self {
        Scram {
            mechanism,
            header: "n,,".into(),
            user: user.into(),
            password: password.into(),
            binding: Vec::new(),
        }
    }

    fn first(&self) -> String {
        STANDARD.encode(format!("{}{}", self.header, self.bare()))
    }

    fn bare(&self) -> String {
        format!("n={},r={NONCE}", self.user)
    }

    /// The client's last message, and the server's that has to follow.
    fn last(&self, server_first: &str) -> (String, String) {
        let attribute = |name: &str| {
            let mut attributes = server_first.split(',');
            attributes.find_map(|one| one.strip_prefix(name)).unwrap()
        };
        let nonce = attribute("r=");
        assert!(nonce.starts_with(NONCE) && nonce.len() > NONCE.len());
        let salt = STANDARD.decode(attribute("s=")).unwrap();
        let iterations: u32 = attribute("i=").parse().unwrap();
        let binding = STANDARD.encode([self.header.as_bytes(), &self.binding].concat());
        let without_proof = format!("c={binding},r={nonce}");
        let message = format!("{},{server_first},{without_proof}", self.bare());

        let salted = self.salted(&salt, iterations);
        let client_key = self.hmac(&salted, b"Client Key");
        let signature = self.hmac(&self.digest(&client_key), message.as_bytes());
        let proof: Vec<u8> = client_key
            .iter()
            .zip(&signature)
            .map(|(a, b)| a ^ b)
            .collect();
        let server_key = self.hmac(&salted, b"Server Key");
        let signature = self.hmac(&server_key, message.as_bytes());
        (
            STANDARD.encode(format!("{without_proof},p={}", STANDARD.encode(proof))),
            format!("v={}", STANDARD.encode(signature)),
        )
    }

    /// Hi().
    fn salted(&self, salt: &[u8], iterations: u32) -> Vec<u8> {
        let password = self.password.as_bytes();
        let mut last = self.hmac(password, &[salt, &[0, 0, 0, 1]].concat());
        let mut sum = last.clone();
        for _ in 1..iterations {
            last = self.hmac(password, &last);
            sum.iter_mut().zip(&last).for_each(|(sum, one)| *sum ^= one);
        }
        sum
    }

    fn is_sha256(&self) -> bool {
        self.mechanism.starts_with("SCRAM-SHA-256")
    }

    fn hmac(&self, key: &[u8], octets: &[u8]) -> Vec<u8> {
        match self.is_sha256() {
            true => hmac::<Hmac<Sha256>>(key, octets),
            false => hmac::<Hmac<Sha1>>(key, octets),
        }
    }

    fn digest(&self, octets: &[u8]) -> Vec<u8> {
        match self.is_sha256() {
            true => Sha256::digest(octets).to_vec(),
            false => Sha1::digest(octets).to_vec(),
        }
    }

    /// The first half: what the server says of the user.
    async fn begin<S>(&self, client: &mut Client<S>) -> String
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let command = format!("AUTH {} {}", self.mechanism, self.first());
        challenge(&client.ask(&command).await)
    }

    /// The whole exchange; the status line that ends it.
    pub(crate) async fn log_in<S>(&self, client: &mut Client<S>) -> String
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let server_first = self.begin(client).await;
        let (last, expected) = self.last(&server_first);
        let reply = client.ask(&last).await;
        if !reply.starts_with("+ ") {
            return reply;
        }
        assert_eq!(challenge(&reply), expected, "the server proves itself");
        client.ask("").await
    }
}

fn hmac<M: Mac + KeyInit>(key: &[u8], octets: &[u8]) -> Vec<u8> {
    let mut mac = <M as KeyInit>::new_from_slice(key).unwrap();
    mac.update(octets);
    mac.finalize().into_bytes().to_vec()
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// A challenge, decoded (RFC 5034 section 4).
fn challenge(line: &str) -> String {
    let base64 = line
        .strip_prefix("+ ")
        .unwrap_or_else(|| panic!("no challenge: {line}"));
    String::from_utf8(STANDARD.decode(base64).unwrap()).unwrap()
}

/// Behind the greeting.
pub(crate) async fn connected(world: &World) -> Client<DuplexStream> {
    let (mut client, _session) = world.pipe_from(CLIENT);
    client.greeting().await;
    client
}

async fn sasl_line<S: AsyncRead + AsyncWrite + Unpin>(client: &mut Client<S>) -> String {
    let capabilities = client.lines("CAPA").await;
    let mut lines = capabilities.lines();
    let line = lines.find_map(|line| line.strip_prefix("SASL"));
    line.unwrap_or_default().trim().to_owned()
}

#[tokio::test(start_paused = true)]
async fn what_is_judged_is_offered() {
    for (accepts, apop, clear, tls) in [
        (Accepts::PASSWORD, false, "PLAIN LOGIN", "PLAIN LOGIN"),
        (
            ALL,
            true,
            "SCRAM-SHA-256 SCRAM-SHA-1 CRAM-MD5 PLAIN LOGIN",
            "SCRAM-SHA-256-PLUS SCRAM-SHA-1-PLUS SCRAM-SHA-256 SCRAM-SHA-1 OAUTHBEARER XOAUTH2 \
             CRAM-MD5 PLAIN LOGIN",
        ),
        // Nobody is asked whether to turn it on who has no secrets.
        (
            Accepts {
                digest: false,
                bearer: false,
                scram_sha1: false,
                ..ALL
            },
            true,
            "SCRAM-SHA-256 PLAIN LOGIN",
            "SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN",
        ),
        (
            Accepts { ..ALL },
            false,
            "SCRAM-SHA-256 SCRAM-SHA-1 PLAIN LOGIN",
            "SCRAM-SHA-256-PLUS SCRAM-SHA-1-PLUS SCRAM-SHA-256 SCRAM-SHA-1 OAUTHBEARER XOAUTH2 \
             PLAIN LOGIN",
        ),
    ] {
        let mut plan = plan().tls();
        plan.memory.accept(accepts);
        (plan.apop, plan.cram_md5) = (apop, apop);
        let world = plan.begin();
        let (mut client, _session) = world.pipe(ListenerTls::StartTls);
        let greeting = client.line().await;
        assert_eq!(greeting.contains('<'), apop && accepts.digest, "{greeting}");
        assert_eq!(sasl_line(&mut client).await, clear);
        client.ok("STLS").await;
        let stream = handshake(&world, client.into_inner(), &[]).await.unwrap();
        let mut client = Client::new(stream);
        assert_eq!(sasl_line(&mut client).await, tls);
        // RFC 2449 section 5: what is announced before login is announced after it.
        client.log_in("u", "secret").await;
        assert_eq!(sasl_line(&mut client).await, tls);
    }
}

#[tokio::test(start_paused = true)]
async fn scram_logs_in_with_and_without_an_initial_response() {
    let world = plan().begin();
    for mechanism in ["SCRAM-SHA-1", "SCRAM-SHA-256", "scram-sha-256"] {
        let scram = Scram::new(
            match mechanism {
                "SCRAM-SHA-1" => "SCRAM-SHA-1",
                _ => "SCRAM-SHA-256",
            },
            "u",
            "secret",
        );
        let mut client = connected(&world).await;
        let done = scram.log_in(&mut client).await;
        assert!(done.starts_with("+OK"), "{done}");
        assert_eq!(client.ok("STAT").await, "+OK 1 22");
        client.ok("QUIT").await;

        let mut client = connected(&world).await;
        assert_eq!(client.ask(&format!("AUTH {mechanism}")).await, "+ ");
        let server_first = challenge(&client.ask(&scram.first()).await);
        let (last, _) = scram.last(&server_first);
        challenge(&client.ask(&last).await);
        client.ok("").await;
        client.ok("QUIT").await;
    }
}

#[tokio::test(start_paused = true)]
async fn scram_is_bound_to_its_channel() {
    let world = plan().tls().begin();
    let connect = async || {
        let (near, far) = duplex(PIPE_BYTES);
        let session = world.session(far, ListenerTls::Implicit);
        let stream = handshake(&world, near, &[]).await.unwrap();
        // RFC 9266 section 2.
        let binding = stream
            .get_ref()
            .1
            .export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(&[]))
            .unwrap();
        let mut client = Client::new(stream);
        client.greeting().await;
        (client, binding, session)
    };
    for mechanism in ["SCRAM-SHA-1-PLUS", "SCRAM-SHA-256-PLUS"] {
        let (mut client, binding, _session) = connect().await;
        let mut scram = Scram::new(mechanism, "u", "secret");
        scram.header = "p=tls-exporter,,".into();
        scram.binding = binding.to_vec();
        let done = scram.log_in(&mut client).await;
        assert!(done.starts_with("+OK"), "{done}");
        client.ok("QUIT").await;

        // Somebody in between has another channel to the server.
        let (mut client, ..) = connect().await;
        let done = scram.log_in(&mut client).await;
        assert!(done.starts_with("-ERR [AUTH]"), "{done}");
        // TLS 1.3 has no such binding.
        scram.header = "p=tls-unique,,".into();
        client
            .err(&format!("AUTH {mechanism} {}", scram.first()), "[AUTH]")
            .await;
    }
    // "y": the client could have, and saw no -PLUS (RFC 5802 section 6).
    let (mut client, ..) = connect().await;
    let mut scram = Scram::new("SCRAM-SHA-256", "u", "secret");
    scram.header = "y,,".into();
    client
        .err(&format!("AUTH SCRAM-SHA-256 {}", scram.first()), "[AUTH]")
        .await;
    // "n": it could not.
    scram.header = "n,,".into();
    assert!(scram.log_in(&mut client).await.starts_with("+OK"));
}

#[tokio::test(start_paused = true)]
async fn scram_acts_as_another_by_the_backends_word_alone() {
    let plan = plan();
    plan.memory.let_act_as("v", "u");
    let world = plan.begin();
    for (user, password, header, expected) in [
        ("u", "secret", "n,a=u,", "+OK"),
        ("v", "other", "n,a=u,", "+OK"),
        ("u", "secret", "n,a=v,", "-ERR [AUTH]"),
        ("u", "secret", "n,a=nobody,", "-ERR [AUTH]"),
    ] {
        let mut client = connected(&world).await;
        let mut scram = Scram::new("SCRAM-SHA-256", user, password);
        scram.header = header.into();
        let done = scram.log_in(&mut client).await;
        assert!(done.starts_with(expected), "{header} {done}");
        if expected == "+OK" {
            // The maildrop of "u".
            assert_eq!(client.ok("STAT").await, "+OK 1 22");
            client.ok("QUIT").await;
        }
    }
    // PLAIN says the same (RFC 4616).
    for (message, expected) in [
        ("u\0v\0other", "+OK"),
        ("v\0u\0secret", "-ERR [AUTH]"),
        ("u\0v\0secret", "-ERR [AUTH]"),
    ] {
        let mut client = connected(&world).await;
        let done = client
            .ask(&format!("AUTH PLAIN {}", STANDARD.encode(message)))
            .await;
        assert!(done.starts_with(expected), "{message:?} {done}");
    }
}

#[tokio::test(start_paused = true)]
async fn scram_does_not_tell_who_exists() {
    let world = plan().begin();
    let mut shapes = Vec::new();
    let mut salts = Vec::new();
    for user in ["u", "nobody", "nobody-else"] {
        for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-1"] {
            let scram = Scram::new(mechanism, user, "wrong");
            let mut said = Vec::new();
            for _ in 0..2 {
                let mut client = connected(&world).await;
                let first = scram.begin(&mut client).await;
                let (nonce, salted) = first.split_once(',').unwrap();
                said.push(salted.to_owned());
                let (last, _) = scram.last(&first);
                let refused = client.ask(&last).await;
                shapes.push((nonce.len(), salted.len(), refused));
            }
            assert_eq!(said[0], said[1], "{user}");
            assert!(said[0].ends_with(",i=4096"), "{said:?}");
            salts.push(said.remove(0));
        }
    }
    assert!(shapes.iter().all(|shape| *shape == shapes[0]), "{shapes:?}");
    assert!(shapes[0].2.starts_with("-ERR [AUTH]"), "{shapes:?}");
    // The backend's salts go by the user alone, mock credentials's by the hash too.
    salts.dedup();
    assert_eq!(salts.len(), 5, "{salts:?}");
}

#[tokio::test(start_paused = true)]
async fn proofs_and_digests_that_are_wrong_are_guesses() {
    let mut plan = plan();
    plan.cram_md5 = true;
    plan.limits.login_failures = 100;
    let world = plan.begin();
    let scram = |user, password| Scram::new("SCRAM-SHA-1", user, password);
    // There is no telling that it is the same again.
    for (user, seconds) in [("u", 2), ("u", 4), ("nobody", 8)] {
        let mut client = connected(&world).await;
        let first = scram(user, "wrong").begin(&mut client).await;
        let (last, _) = scram(user, "wrong").last(&first);
        let start = Instant::now();
        client.err(&last, "[AUTH]").await;
        assert_eq!(start.elapsed(), seconds * SECOND, "{user}");
    }
    let mut client = connected(&world).await;
    let start = Instant::now();
    client.ask("AUTH CRAM-MD5").await;
    let digest = STANDARD.encode(format!("u {}", "0".repeat(32)));
    client.err(&digest, "[AUTH]").await;
    assert_eq!(start.elapsed(), 15 * SECOND);
    // Who knows the password waits for nothing.
    let start = Instant::now();
    let done = scram("u", "secret").log_in(&mut client).await;
    assert!(done.starts_with("+OK"), "{done}");
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn who_may_not_act_as_another_made_no_guess() {
    let world = plan().begin();
    for _ in 0..2 {
        let mut client = connected(&world).await;
        let mut scram = Scram::new("SCRAM-SHA-1", "u", "secret");
        scram.header = "n,a=v,".into();
        let start = Instant::now();
        let done = scram.log_in(&mut client).await;
        assert!(done.starts_with("-ERR [AUTH]"), "{done}");
        assert_eq!(start.elapsed(), 2 * SECOND);
    }
    assert_eq!(world.penalties.addresses(), 0);
}

#[tokio::test(start_paused = true)]
async fn keys_serve_the_exchange_that_they_were_looked_up_for() {
    let world = plan().begin();
    let mut client = connected(&world).await;
    let scram = Scram::new("SCRAM-SHA-256", "u", "secret");
    let first = scram.begin(&mut client).await;
    client.err("*", "cancelled").await;
    // The last message of the exchange before is none of this one.
    let (last, _) = scram.last(&first);
    let other = Scram::new("SCRAM-SHA-256", "v", "other");
    other.begin(&mut client).await;
    client.err(&last, "").await;
    // And PLAIN is nobody but whom it names: "v" with "other".
    scram.begin(&mut client).await;
    client.err("*", "cancelled").await;
    client.ok("AUTH PLAIN AHYAb3RoZXI=").await;
    assert_eq!(client.ok("STAT").await, "+OK 0 0");
}

#[tokio::test(start_paused = true)]
async fn a_password_that_was_changed_meanwhile_does_not_matter() {
    // The keys are those that the exchange began with.
    let world = plan().begin();
    let mut client = connected(&world).await;
    let scram = Scram::new("SCRAM-SHA-256", "u", "secret");
    let first = scram.begin(&mut client).await;
    world.memory.add_user("u", "changed", "m");
    let (last, _) = scram.last(&first);
    challenge(&client.ask(&last).await);
    client.ok("").await;
    client.ok("QUIT").await;
    let mut client = connected(&world).await;
    let done = scram.log_in(&mut client).await;
    assert!(done.starts_with("-ERR [AUTH]"), "{done}");
}

#[tokio::test(start_paused = true)]
async fn digests_log_in_where_they_are_turned_on() {
    for (apop, cram_md5) in [(false, false), (true, false), (false, true), (true, true)] {
        let mut plan = plan();
        (plan.apop, plan.cram_md5) = (apop, cram_md5);
        let world = plan.begin();

        let (mut client, _session) = world.pipe_from(CLIENT);
        let greeting = client.line().await;
        assert_eq!(greeting.contains('<'), apop, "{greeting}");
        let timestamp = greeting.find('<').map_or("", |at| &greeting[at..]);
        assert_eq!(timestamp.ends_with("@test.example>"), apop, "{greeting}");
        // RFC 1939 section 7.
        let digest = hex(&Md5::digest(format!("{timestamp}secret")));
        let reply = client.ask(&format!("APOP u {digest}")).await;
        assert_eq!(reply.starts_with("+OK"), apop, "{reply}");

        let mut client = connected(&world).await;
        let asked = client.ask("AUTH CRAM-MD5").await;
        assert_eq!(asked.starts_with("+ "), cram_md5, "{asked}");
        if cram_md5 {
            // RFC 2195 section 2.
            let asked = challenge(&asked);
            let digest = hex(&hmac::<Hmac<Md5>>(b"other", asked.as_bytes()));
            client.ok(&STANDARD.encode(format!("v {digest}"))).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn digests_are_refused_for_tenants_that_have_not_turned_them_on() {
    let mut plan = plan();
    (plan.apop, plan.cram_md5, plan.other) = (true, true, true);
    plan.memory.add_user("u@other.example", "secret", "o");
    plan.memory.add_user("u@t.example", "secret", "p");
    let world = plan.begin();
    for (user, may) in [("u@t.example", true), ("u@other.example", false)] {
        let (mut client, _session) = world.pipe_from(CLIENT);
        let greeting = client.line().await;
        let timestamp = &greeting[greeting.find('<').unwrap()..];
        let digest = hex(&Md5::digest(format!("{timestamp}secret")));
        let reply = client.ask(&format!("APOP {user} {digest}")).await;
        assert_eq!(reply.starts_with("+OK"), may, "{reply}");

        let mut client = connected(&world).await;
        let asked = challenge(&client.ask("AUTH CRAM-MD5").await);
        let digest = hex(&hmac::<Hmac<Md5>>(b"secret", asked.as_bytes()));
        let reply = client
            .ask(&STANDARD.encode(format!("{user} {digest}")))
            .await;
        assert_eq!(
            reply.starts_with("+OK") || reply.contains("[IN-USE]"),
            may,
            "{reply}"
        );
        assert_eq!(reply.contains("[AUTH]"), !may, "{reply}");
    }
    // Nobody looked whether they were right.
    assert_eq!(world.penalties.addresses(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_bearer_who_is_refused_hears_why_in_json() {
    let plan = plan().tls();
    plan.memory.add_token("a-token", "u");
    let world = plan.begin();
    let (near, far) = duplex(PIPE_BYTES);
    let session = world.session(far, ListenerTls::Implicit);
    let mut client = Client::new(handshake(&world, near, &[]).await.unwrap());
    client.greeting().await;
    let token = |token: &str| {
        let bearer = format!("n,a=u,\u{1}auth=Bearer {token}\u{1}\u{1}");
        format!("AUTH OAUTHBEARER {}", STANDARD.encode(bearer))
    };
    // RFC 7628 section 3.2.3: the client answers with a dummy, and then it fails.
    let json = challenge(&client.ask(&token("no-token")).await);
    assert!(
        json.starts_with('{') && json.contains("\"status\":"),
        "{json}"
    );
    client.err("AQ==", "[AUTH]").await;
    let xoauth2 = STANDARD.encode("user=v\u{1}auth=Bearer a-token\u{1}\u{1}");
    let json = challenge(&client.ask(&format!("AUTH XOAUTH2 {xoauth2}")).await);
    assert!(json.starts_with('{'), "{json}");
    client.err("", "[AUTH]").await;
    client.ok(&token("a-token")).await;
    assert_eq!(client.ok("STAT").await, "+OK 1 22");
    client.ok("QUIT").await;
    assert!(matches!(session.await.unwrap(), End::Session(_)));
}

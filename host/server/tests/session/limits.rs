//! What one client, or many, can make the server hold.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use restante_config::{Listener, ListenerTls, TlsVersion};
use restante_roles::backend::{Content, ContentReader, Failure};
use restante_roles::content::CHUNK_OCTETS;
use restante_server::connection::MAX_INPUT_BYTES;
use restante_server::listener::Bound;
use tokio::io::{AsyncWriteExt, duplex, split};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::client::Client;
use crate::world::{PIPE_BYTES, Plan};

const RETRS: usize = 10_000;

/// Octets of answers that a session may hold for a client that does not read:
/// the buffer's mark, and one chunk where every octet counts twice.
const OUT_OCTETS: usize = 64 * 1024 + 2 * CHUNK_OCTETS + 1024;

fn pipelined() -> Vec<u8> {
    "RETR 1\r\n".repeat(RETRS).into_bytes()
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_retrs_that_nobody_reads() {
    let message = format!("Subject: x\n\n{}", "0123456789\n".repeat(90));
    let world = Plan::new().mail(&[("one", &message)]).begin();
    let (near, far) = duplex(PIPE_BYTES);
    let _session = world.session(far, ListenerTls::Off);
    let mut client = Client::new(near);
    client.greeting_and_login().await;

    let (reader, mut writer) = split(client.into_inner());
    let commands = pipelined();
    let mut taken = 0;
    let minute = Duration::from_secs(60);
    while let Ok(written) = timeout(minute, writer.write(&commands[taken..])).await {
        taken += written.unwrap();
    }
    // In the pipe, and in the session's one buffer.
    assert!(
        taken <= PIPE_BYTES + MAX_INPUT_BYTES,
        "{taken} octets were taken"
    );
    let expected = message.replace('\n', "\r\n");
    let asked = world.doctored.asked.load(Ordering::Relaxed);
    assert!(
        asked * expected.len() <= OUT_OCTETS + PIPE_BYTES + expected.len(),
        "{asked} messages were fetched"
    );

    let writing = tokio::spawn(async move {
        writer.write_all(&commands[taken..]).await.unwrap();
        writer
    });
    let mut client = Client::new(tokio::io::join(reader, tokio::io::sink()));
    let status = format!("+OK {} octets", expected.len());
    for _ in 0..RETRS {
        assert_eq!(client.line().await, status);
        assert!(client.body().await == expected.as_bytes());
    }
    writing.await.unwrap();
    assert_eq!(world.doctored.asked.load(Ordering::Relaxed), RETRS);
}

/// Counts what it gives away.
struct Counted(Arc<AtomicUsize>);

#[async_trait]
impl ContentReader for Counted {
    async fn read(&mut self, limit: u32) -> Result<Vec<u8>, Failure> {
        self.0.fetch_add(limit as usize, Ordering::Relaxed);
        Ok(vec![b'\n'; limit as usize])
    }
}

#[tokio::test(start_paused = true)]
async fn a_large_message_that_nobody_reads() {
    let world = Plan::new()
        .mail(&[("large", &"\n".repeat(10_000_000))])
        .begin();
    let given = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&given);
    world.doctored.replace(0, move || {
        Ok(Content::Reader(Box::new(Counted(Arc::clone(&counted)))))
    });
    let (mut client, _session) = world.logged_in().await;
    client.send("RETR 1\r\n").await;
    sleep(Duration::from_secs(60)).await;
    let given = given.load(Ordering::Relaxed);
    assert!(given <= OUT_OCTETS, "{given} octets were pulled");
}

#[tokio::test]
async fn ten_thousand_retrs_over_a_socket() {
    let message = "x".repeat(1000);
    let world = Plan::new().mail(&[("one", &message)]).begin();
    let (address, _listening) = world.listen(ListenerTls::Off);
    let mut client = Client::connect(address).await;
    client.greeting_and_login().await;
    let (reader, mut writer) = client.into_inner().into_split();
    let writing = tokio::spawn(async move {
        writer.write_all(&pipelined()).await.unwrap();
        writer
    });
    let mut client = Client::new(tokio::io::join(reader, tokio::io::sink()));
    let expected = format!("{message}\r\n");
    for _ in 0..RETRS {
        assert_eq!(client.line().await, "+OK 1002 octets");
        assert!(client.body().await == expected.as_bytes());
    }
    writing.await.unwrap();
}

#[tokio::test]
async fn a_line_without_end_is_skipped() {
    let world = Plan::new().begin();
    let (address, _listening) = world.listen(ListenerTls::Off);
    let mut client = Client::connect(address).await;
    client.greeting_and_login().await;
    client.send("x".repeat(1 << 20)).await;
    client.err("", "").await;
    client.ok("NOOP").await;
}

#[tokio::test(start_paused = true)]
async fn bad_commands_are_counted_and_the_answer_arrives() {
    let world = Plan::new().begin();
    let (mut client, _session) = world.pipe(ListenerTls::Off);
    client.greeting().await;
    // More than the server takes at a time: what it does not care for any more
    // has to be taken nevertheless, or a socket would be reset under the answer.
    client.send("GET / HTTP/1.1\r\n".repeat(1000)).await;
    let rest = String::from_utf8(client.rest().await).unwrap();
    let allowed = world.limits.bad_commands_before_login as usize;
    assert_eq!(rest.matches("-ERR").count(), allowed + 1, "{rest}");
    assert!(rest.ends_with("\r\n"));
}

#[tokio::test]
async fn the_oldest_without_a_login_makes_room() {
    let mut plan = Plan::new();
    plan.limits.unauthenticated = 2;
    let world = plan.begin();
    let (address, _listening) = world.listen(ListenerTls::Off);
    let mut logged_in = Client::connect(address).await;
    logged_in.greeting_and_login().await;
    let mut silent = Vec::new();
    for _ in 0..2 {
        let mut client = Client::connect(address).await;
        client.greeting().await;
        silent.push(client);
    }
    let mut newest = Client::connect(address).await;
    newest.greeting().await;
    silent[0].ends_without_a_word().await;
    silent[1].ok("CAPA").await;
    newest.log_in("v", "other").await;
    logged_in.ok("NOOP").await;
}

#[tokio::test]
async fn too_many_connections_are_told_so() {
    let mut plan = Plan::new();
    plan.limits.connections = 1;
    let world = plan.begin();
    let (address, _listening) = world.listen(ListenerTls::Off);
    let mut first = Client::connect(address).await;
    first.greeting().await;
    let mut second = Client::connect(address).await;
    assert!(second.line().await.starts_with("-ERR [SYS/TEMP] "));
    second.ends_without_a_word().await;
    first.ok("QUIT").await;
    first.ends_without_a_word().await;
    // The place is free as soon as the server is done with the first.
    loop {
        let mut third = Client::connect(address).await;
        if third.line().await.starts_with("+OK") {
            break;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_tenant_has_so_many_sessions_and_so_has_a_user() {
    let mut plan = Plan::new();
    plan.tenant_limits.sessions = 1;
    let world = plan.begin();
    let (mut first, session) = world.logged_in().await;
    let (mut second, _session) = world.pipe(ListenerTls::Off);
    second.greeting().await;
    second.ok("USER v").await;
    second.err("PASS other", "[SYS/TEMP]").await;
    first.ok("QUIT").await;
    session.await.unwrap();
    // A login that fails gives its place back.
    second.ok("USER v").await;
    second.err("PASS wrong", "[AUTH]").await;
    second.log_in("v", "other").await;

    let mut plan = Plan::new();
    plan.tenant_limits.sessions_per_user = 0;
    let world = plan.begin();
    let (mut client, _session) = world.pipe(ListenerTls::Off);
    client.greeting().await;
    client.ok("USER u").await;
    client.err("PASS secret", "[IN-USE]").await;
}

#[tokio::test]
async fn a_port_in_use_is_an_error_before_anything_starts() {
    let taken = TcpStream::connect(Plan::new().begin().listen(ListenerTls::Off).0).await;
    let taken = taken.unwrap().peer_addr().unwrap();
    let listener = |name: &str, address| Listener {
        name: name.into(),
        address,
        tls: ListenerTls::Off,
        tls_minimum: TlsVersion::V1_2,
        proxy_protocol_from: Vec::new(),
    };
    let free = ([127, 0, 0, 1], 0).into();
    let elsewhere = ([192, 0, 2, 1], 0).into();
    let listeners = [
        listener("good", free),
        listener("taken", taken),
        listener("elsewhere", elsewhere),
    ];
    let errors = Bound::all(&listeners, HashMap::new()).unwrap_err();
    assert_eq!(errors.0.len(), 2);
    let words = errors.to_string();
    assert!(words.starts_with(&format!("listener `taken`: cannot listen on {taken}: ")));
    assert!(words.contains("another program, or another listener, has this port"));
    assert!(words.contains("\nlistener `elsewhere`: cannot listen on 192.0.2.1:0: "));
}

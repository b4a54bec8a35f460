//! Listeners behind a proxy that says who its clients are, and clients who try
//! to say it themselves.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use restante_config::{ListenerTls, PlaintextLogin};
use restante_roles::address;
use restante_roles::backend::{
    Account, Authenticator, Connection, Entries, Failure, Selector, Span,
};
use restante_server::tenant::Tenant;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::client::Client;
use crate::logs::Captured;
use crate::tls::handshake;
use crate::world::{Plan, World};

const V1: &str = "PROXY TCP4 192.0.2.9 198.51.100.1 4711 110\r\n";
const PROXY: [u8; 4] = [127, 0, 0, 1];
const PROXIES: [&str; 2] = ["127.0.0.1/32", "10.0.0.0/8"];
const PATIENCE: Duration = Duration::from_secs(20);

/// A header of version 2 for 192.0.2.9:4711 with this command and these fields.
fn v2(command: u8, fields: &[(u8, &[u8])]) -> Vec<u8> {
    let mut block = vec![192, 0, 2, 9, 198, 51, 100, 1, 0x12, 0x67, 0, 110];
    for (kind, value) in fields {
        block.push(*kind);
        block.extend(u16::try_from(value.len()).unwrap().to_be_bytes());
        block.extend(*value);
    }
    let length = u16::try_from(block.len()).unwrap().to_be_bytes();
    [
        b"\r\n\r\n\0\r\nQUIT\n",
        &[0x20 | command, 0x11][..],
        &length,
        &block,
    ]
    .concat()
}

/// Headers that do not say who the client is.
fn unknown() -> Vec<Vec<u8>> {
    // Version 2 of this command, this family and these addresses, for a loopback client.
    let v2 = |command: u8, family: u8, addresses: usize| {
        let block = [&[127, 0, 0, 1, 127, 0, 0, 1][..], &[0; 208]].concat();
        let length = u16::try_from(addresses).unwrap().to_be_bytes();
        [
            b"\r\n\r\n\0\r\nQUIT\n",
            &[0x20 | command, family][..],
            &length,
            &block[..addresses],
        ]
        .concat()
    };
    vec![
        b"PROXY UNKNOWN\r\n".to_vec(),
        b"PROXY UNKNOWN 127.0.0.1 127.0.0.1 1 2\r\n".to_vec(),
        // An address that is nobody's.
        b"PROXY TCP4 0.0.0.0 127.0.0.1 1 2\r\n".to_vec(),
        b"PROXY TCP6 :: ::1 1 2\r\n".to_vec(),
        b"PROXY TCP6 ::ffff:0.0.0.0 ::1 1 2\r\n".to_vec(),
        // LOCAL, with an address that does not count; UNSPEC; UDP; a UNIX socket.
        v2(0, 0x11, 12),
        v2(0, 0x00, 0),
        v2(1, 0x00, 0),
        v2(1, 0x12, 12),
        v2(1, 0x31, 216),
    ]
}

/// Writes down which clients the guests see.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<address::Client>>>);

#[async_trait]
impl Selector for Seen {
    fn name(&self) -> &str {
        "seen"
    }

    async fn select(
        &self,
        connection: &Arc<Connection>,
        _account: &Account,
        _entries: &Arc<Entries>,
    ) -> Result<Vec<Span>, Failure> {
        self.0.lock().unwrap().push(connection.client);
        Ok(Vec::new())
    }
}

#[tokio::test]
async fn the_client_is_whom_the_proxy_names() {
    let seen = Seen::default();
    let mut plan = Plan::new();
    plan.selectors.push(Arc::new(seen.clone()));
    let world = plan.begin();
    let (captured, _capturing) = Captured::begin();
    let (address, _listening) = world.listen_behind(&PROXIES, ListenerTls::Off);
    for header in [V1.as_bytes().to_vec(), v2(1, &[])] {
        let mut client = Client::connect(address).await;
        client.send(header).await;
        client.greeting_and_login().await;
        client.ok("QUIT").await;
        client.ends_without_a_word().await;
    }
    // With the first command in the same segment, and octet by octet.
    let mut client = Client::connect(address).await;
    client
        .send(format!("{V1}USER u\r\nPASS secret\r\nQUIT\r\n"))
        .await;
    assert_eq!(
        client
            .rest()
            .await
            .iter()
            .filter(|octet| **octet == b'+')
            .count(),
        4
    );
    let mut client = Client::connect(address).await;
    for octet in v2(1, &[(0x04, &[0; 20])]) {
        client.send([octet]).await;
        sleep(Duration::from_millis(1)).await;
    }
    client.greeting_and_login().await;

    let client = address::Client::at("192.0.2.9:4711".parse().unwrap());
    assert_eq!(*seen.0.lock().unwrap(), [client; 4]);
    let log = captured.text();
    let logins = log.lines().filter(|line| line.contains("login tenant="));
    for line in logins {
        assert!(
            line.contains("client=192.0.2.9:4711 proxy=127.0.0.1:"),
            "{line}"
        );
    }
}

#[tokio::test]
async fn a_client_that_no_proxy_names_is_unknown() {
    let seen = Seen::default();
    let mut plan = Plan::new();
    plan.selectors.push(Arc::new(seen.clone()));
    let world = plan.begin();
    let (captured, _capturing) = Captured::begin();
    let (address, _listening) = world.listen_behind(&PROXIES, ListenerTls::Off);
    for header in unknown() {
        let mut client = Client::connect(address).await;
        client.send(header).await;
        client.greeting_and_login().await;
        client.ok("QUIT").await;
        client.ends_without_a_word().await;
        let seen = seen.0.lock().unwrap().pop();
        assert_eq!(seen, Some(address::Client::Unknown));
    }
    let log = captured.text();
    let logins: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("login tenant="))
        .collect();
    assert_eq!(logins.len(), unknown().len());
    for line in logins {
        assert!(line.contains("client=unknown proxy=127.0.0.1:"), "{line}");
    }
}

#[tokio::test]
async fn an_unknown_client_is_not_on_this_machine() {
    let mut plan = Plan::new();
    plan.plaintext_login = PlaintextLogin::Loopback;
    let world = plan.begin();
    let (address, _listening) = world.listen_behind(&PROXIES, ListenerTls::Off);
    for header in unknown() {
        let mut client = Client::connect(address).await;
        client.send(header).await;
        client.greeting().await;
        client.err("USER u", "").await;
    }
}

#[tokio::test]
async fn unknown_clients_have_limits_of_their_own() {
    let mut plan = Plan::new();
    plan.limits.connections_per_address = 2;
    let world = plan.begin();
    let (address, _listening) = world.listen_behind(&PROXIES, ListenerTls::Off);
    let mut inside = Vec::new();
    for header in &unknown()[..2] {
        let mut client = Client::connect(address).await;
        client.send(header).await;
        client.greeting().await;
        inside.push(client);
    }
    for header in unknown() {
        let mut client = Client::connect(address).await;
        client.send(header).await;
        assert!(client.line().await.starts_with("-ERR [SYS/TEMP]"));
    }
    // They took nothing from clients at the proxy's own address, nor from others.
    for header in ["PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n", V1] {
        let mut client = Client::connect(address).await;
        client.send(header).await;
        client.greeting().await;
    }
    drop(inside.pop());
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut client = Client::connect(address).await;
        client.send("PROXY UNKNOWN\r\n").await;
        if client.line().await.starts_with("+OK") {
            break;
        }
        assert!(Instant::now() < deadline, "a place is given back");
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn nobody_else_is_believed() {
    let seen = Seen::default();
    let mut plan = Plan::new();
    plan.selectors.push(Arc::new(seen.clone()));
    let world = plan.begin();
    let (address, _listening) = world.listen_behind(&PROXIES, ListenerTls::Off);
    let mut client = Client::connect_from([127, 0, 0, 2], address).await;
    // It is greeted at once, and what it says is a bad command.
    client.greeting().await;
    client.err(V1.trim_end(), "").await;
    client.log_in("u", "secret").await;
    let own = address::Client::at(client.local_addr());
    assert_eq!(*seen.0.lock().unwrap(), [own]);
    // Neither on a listener without proxies.
    let (address, _listening) = world.listen(ListenerTls::Off);
    let mut client = Client::connect(address).await;
    client.send(V1).await;
    client.greeting().await;
    assert!(client.line().await.starts_with("-ERR"));
}

#[tokio::test]
async fn a_proxy_without_a_header_is_closed_with_one_line() {
    let mut plan = Plan::new();
    plan.limits.proxy_timeout = Duration::from_secs(1);
    let world = plan.begin();
    let (captured, _capturing) = Captured::begin();
    let (address, _listening) = world.listen_behind(&PROXIES, ListenerTls::Off);
    let mut wrong_sum = v2(1, &[(0x03, &[1, 2, 3, 4])]);
    wrong_sum.extend(b"USER u\r\n");
    for (octets, why) in [
        (&b"CAPA\r\n"[..], "it begins like no PROXY header"),
        (b"PROXY TCP4 1.2.3.4\r\n", "its line is none"),
        (&wrong_sum, "its checksum is wrong"),
        (b"PROXY TCP4", "not complete in time"),
        (b"", "not complete in time"),
    ] {
        let mut client = Client::connect(address).await;
        client.send(octets).await;
        let heard = timeout(PATIENCE, client.whatever()).await.unwrap();
        assert!(heard.is_empty(), "{}", heard.escape_ascii());
        let log = captured.text();
        let lines: Vec<&str> = log.lines().filter(|line| line.contains("WARN")).collect();
        captured.clear();
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(
            lines[0].contains(why) && lines[0].contains("proxy=127.0.0.1:"),
            "{lines:?}"
        );
    }
    // What only looks whether the port is open is not worth one.
    drop(TcpStream::connect(address).await.unwrap());
    sleep(Duration::from_millis(100)).await;
    assert!(!captured.text().contains("WARN"), "{}", captured.text());
    assert!(
        captured.text().contains("closed at once"),
        "{}",
        captured.text()
    );
}

#[tokio::test]
async fn many_silent_proxies_keep_nobody_out() {
    let mut plan = Plan::new();
    plan.limits.unauthenticated = 2;
    plan.limits.connections_per_address = 2;
    plan.limits.proxy_timeout = Duration::from_secs(60);
    let world = plan.begin();
    let (address, _listening) = world.listen_behind(&PROXIES, ListenerTls::Off);
    let mut silent = Vec::new();
    for _ in 0..10 {
        silent.push(Client::connect_from(PROXY, address).await);
    }
    let mut waiting = Client::connect_from([127, 0, 0, 2], address).await;
    waiting.greeting().await;
    let mut client = Client::connect_from(PROXY, address).await;
    client.send(V1).await;
    client.greeting_and_login().await;
    waiting.ok("CAPA").await;
}

fn with_a_tenant_of_its_own(mut world: World, server_name: &str) -> World {
    let authenticators = vec![Arc::clone(&world.memory) as Arc<dyn Authenticator>];
    let strict = Tenant {
        plaintext_login: PlaintextLogin::Never,
        ..Tenant::new("strict", authenticators, Arc::new(world.doctored.clone()))
    };
    let serving = Arc::get_mut(&mut world.serving).unwrap();
    serving
        .tenants
        .add(Arc::new(strict), &[], &[server_name.into()], false);
    world
}

#[tokio::test]
async fn the_server_name_that_the_client_asked_the_proxy_for() {
    let world = with_a_tenant_of_its_own(Plan::new().begin(), "pop.strict.example");
    let (address, _listening) = world.listen_behind(&PROXIES, ListenerTls::Off);
    for (name, strict) in [("Pop.Strict.Example", true), ("pop.other.example", false)] {
        let mut client = Client::connect(address).await;
        // That there was TLS in front of the proxy is not taken for TLS here.
        let tls = [&[1, 0, 0, 0, 0][..], b"\x21\x00\x07TLSv1.3"].concat();
        client
            .send(v2(1, &[(0x02, name.as_bytes()), (0x20, &tls)]))
            .await;
        client.greeting().await;
        if strict {
            // Known already whose policy holds.
            client.err("USER u", "no plaintext login").await;
        } else {
            client.log_in("u", "secret").await;
        }
    }
}

#[tokio::test]
async fn a_header_in_front_of_tls() {
    let world = with_a_tenant_of_its_own(Plan::new().tls().begin(), "pop.strict.example");
    let (address, _listening) = world.listen_behind(&PROXIES, ListenerTls::Implicit);
    let (captured, _capturing) = Captured::begin();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let header = v2(1, &[(0x02, b"pop.strict.example")]);
    stream.write_all(&header).await.unwrap();
    let mut client = Client::new(handshake(&world, stream, &[]).await.unwrap());
    client.greeting_and_login().await;
    let log = captured.text();
    let login = log
        .lines()
        .find(|line| line.contains("login tenant="))
        .unwrap();
    // The client's own name comes before the one in the handshake with us.
    assert!(login.contains("tenant=\"strict\""), "{login}");
    assert!(login.contains("client=192.0.2.9:4711"), "{login}");
}

#[tokio::test]
async fn loopback_is_where_the_client_is() {
    let mut plan = Plan::new();
    plan.plaintext_login = PlaintextLogin::Loopback;
    let world = plan.begin();
    let (address, _listening) = world.listen_behind(&PROXIES, ListenerTls::Off);
    let mut client = Client::connect(address).await;
    client.send(V1).await;
    client.greeting().await;
    client.err("USER u", "").await;
    for near in [
        "PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n",
        "PROXY TCP6 ::ffff:127.0.0.1 ::1 1 2\r\n",
        "PROXY TCP6 ::1 ::1 1 2\r\n",
    ] {
        let mut client = Client::connect(address).await;
        client.send(near).await;
        client.greeting_and_login().await;
        client.ok("QUIT").await;
    }
}

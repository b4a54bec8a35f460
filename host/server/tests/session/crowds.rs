//! Many connections: of one client, of one network, and of those who are slow
//! on purpose.

use std::net::SocketAddr;
use std::time::Duration;

use restante_config::ListenerTls;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::client::Client;
use crate::logs::Captured;
use crate::world::{Plan, World};

const PATIENCE: Duration = Duration::from_secs(20);

/// What is said where there is no room for more of the same client.
const CROWDED: &str = "-ERR [SYS/TEMP] too many connections from your address";

async fn greeted(from: [u8; 4], address: SocketAddr) -> Client<TcpStream> {
    let mut client = Client::connect_from(from, address).await;
    client.greeting().await;
    client
}

async fn turned_away(from: [u8; 4], address: SocketAddr) {
    let mut client = Client::connect_from(from, address).await;
    assert_eq!(client.line().await, CROWDED);
    client.ends_without_a_word().await;
}

/// As soon as the server is done with one that left.
async fn greeted_in_time(from: [u8; 4], address: SocketAddr) -> Client<TcpStream> {
    let trying = async {
        loop {
            let mut client = Client::connect_from(from, address).await;
            if client.line().await.starts_with("+OK") {
                return client;
            }
        }
    };
    timeout(PATIENCE, trying).await.unwrap()
}

#[tokio::test]
async fn an_address_and_a_network_have_so_many() {
    let mut plan = Plan::new();
    plan.limits.connections_per_address = 2;
    plan.limits.connections_per_network = 3;
    let world = plan.begin();
    let (address, _listening) = world.listen(ListenerTls::Off);
    let (captured, _capturing) = Captured::begin();
    let start = Instant::now();
    let mut first = greeted([127, 0, 0, 1], address).await;
    // Logged in or not makes no difference.
    first.log_in("u", "secret").await;
    let _second = greeted([127, 0, 0, 1], address).await;
    for _ in 0..5 {
        turned_away([127, 0, 0, 1], address).await;
    }
    let _neighbour = greeted([127, 0, 0, 2], address).await;
    turned_away([127, 0, 0, 3], address).await;
    let _elsewhere = greeted([127, 0, 1, 3], address).await;
    first.ok("QUIT").await;
    let _third = greeted_in_time([127, 0, 0, 3], address).await;
    turned_away([127, 0, 0, 1], address).await;

    let log = captured.text();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("WARN")).collect();
    // A flood is not to fill it.
    let most = 1 + start.elapsed().as_secs();
    assert!((1..=most).contains(&(lines.len() as u64)), "{lines:?}");
    assert!(
        lines[0].contains("too many connections from this address"),
        "{lines:?}"
    );
    assert!(lines[0].contains("client=127.0.0.1:"), "{lines:?}");
}

#[tokio::test]
async fn through_implicit_tls_there_are_no_words() {
    let mut plan = Plan::new().tls();
    plan.limits.connections_per_address = 1;
    let world = plan.begin();
    let (address, _listening) = world.listen(ListenerTls::Implicit);
    let _first = TcpStream::connect(address).await.unwrap();
    let mut second = Client::connect(address).await;
    second.ends_without_a_word().await;
}

#[tokio::test]
async fn behind_a_proxy_its_clients_are_counted() {
    let mut plan = Plan::new();
    plan.limits.connections_per_address = 1;
    let world = plan.begin();
    let (address, _listening) = world.listen_behind(&["127.0.0.1/32"], ListenerTls::Off);
    let mut clients = Vec::new();
    for last in 1..=3 {
        for again in [false, true] {
            let mut client = Client::connect(address).await;
            client
                .send(format!("PROXY TCP4 192.0.2.{last} 192.0.2.200 1 110\r\n"))
                .await;
            if again {
                assert_eq!(client.line().await, CROWDED);
                client.ends_without_a_word().await;
            } else {
                client.greeting().await;
                clients.push(client);
            }
        }
    }
}

#[tokio::test]
async fn one_address_cannot_take_the_places_of_others() {
    let mut plan = Plan::new();
    plan.limits.unauthenticated = 4;
    plan.limits.connections_per_address = 3;
    let world = plan.begin();
    let (address, _listening) = world.listen(ListenerTls::Off);
    let mut patient = greeted([127, 0, 0, 1], address).await;
    let mut flood = Vec::new();
    for _ in 0..3 {
        flood.push(greeted([127, 0, 0, 2], address).await);
    }
    for _ in 0..20 {
        turned_away([127, 0, 0, 2], address).await;
    }
    patient.ok("CAPA").await;
}

/// The ways to keep a server busy without ever logging in.
#[derive(Clone, Copy)]
enum Slow {
    /// Waits for the answer to a wrong password.
    Wrong,
    /// Says an octet now and then, and never a whole line.
    Octets,
    /// Asks for TLS, and says no more.
    Stls,
    /// Has begun a TLS handshake.
    Handshake,
}

async fn slow(kind: Slow, clear: SocketAddr, implicit: SocketAddr) -> JoinHandle<()> {
    let address = if matches!(kind, Slow::Handshake) {
        implicit
    } else {
        clear
    };
    let mut client = Client::connect(address).await;
    match kind {
        Slow::Wrong => {
            client.greeting().await;
            client.ok("USER u").await;
            client.send("PASS wrong\r\n").await;
        }
        Slow::Octets => client.greeting().await,
        Slow::Stls => {
            client.greeting().await;
            client.ok("STLS").await;
        }
        Slow::Handshake => client.send(b"\x16\x03\x01\x02\x00\x01").await,
    }
    tokio::spawn(async move {
        if matches!(kind, Slow::Octets) {
            while client.try_send(b"x").await {
                sleep(Duration::from_millis(10)).await;
            }
        }
        client.whatever().await;
    })
}

/// With room for few: whoever means it gets in at once, while others do nothing
/// but wait; the oldest of these go, and what they held goes with them.
async fn slow_clients(world: &World) {
    const LOGINS: usize = 12;
    let (clear, _listening) = world.listen(ListenerTls::StartTls);
    let (implicit, _also) = world.listen(ListenerTls::Implicit);
    let mut slow_ones = Vec::new();
    let mut logged_in = Vec::new();
    for _ in 0..LOGINS {
        for kind in [Slow::Wrong, Slow::Octets, Slow::Stls, Slow::Handshake] {
            slow_ones.push(slow(kind, clear, implicit).await);
        }
        let mut client = Client::connect(clear).await;
        timeout(PATIENCE, client.greeting()).await.unwrap();
        let user = format!("user{}", logged_in.len());
        let login = client.log_in(&user, "secret");
        timeout(PATIENCE, login).await.unwrap();
        logged_in.push(client);
    }
    for client in &mut logged_in {
        client.ok("NOOP").await;
    }
    // All but those who have a place are gone.
    let gone = async {
        while slow_ones.iter().filter(|one| one.is_finished()).count()
            < slow_ones.len() - 2 * world.limits.unauthenticated
        {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, gone).await.unwrap();
}

#[tokio::test]
async fn slow_clients_hold_their_own_place_only() {
    let mut plan = Plan::new().tls();
    for user in 0..20 {
        plan.memory
            .add_user(&format!("user{user}"), "secret", &format!("maildrop{user}"));
    }
    plan.limits.failure_delay = Duration::from_secs(60);
    plan.limits.max_failure_delay = Duration::from_secs(60);
    plan.limits.unauthenticated = 4;
    // Of each listener: twelve logged in, four waiting, one that comes, and some
    // that are on their way out.
    plan.limits.connections = 12 + 4 + 1 + 8;
    plan.limits.connections_per_address = 1000;
    plan.limits.connections_per_network = 1000;
    slow_clients(&plan.begin()).await;
}

//! What failed logins cost, from connection to connection.

use std::time::Duration;

use restante_config::{ListenerTls, PlaintextLogin};
use restante_server::connection::End;
use tokio::time::{Instant, sleep};

use crate::client::Client;
use crate::world::{Plan, World};

const CLIENT: [u8; 4] = [192, 0, 2, 1];
const SECOND: Duration = Duration::from_secs(1);

/// How long a new connection waits for the answer to this password.
async fn answered_after(world: &World, from: [u8; 4], user: &str, password: &str) -> Duration {
    let (mut client, _session) = world.pipe_from(from);
    client.greeting().await;
    client.ok(&format!("USER {user}")).await;
    let start = Instant::now();
    client.ask(&format!("PASS {password}")).await;
    start.elapsed()
}

#[tokio::test(start_paused = true)]
async fn an_address_waits_longer_each_time() {
    let world = Plan::new().begin();
    // Users that exist, and users that do not.
    for (user, password, seconds) in [
        ("u", "a", 2),
        ("nobody", "b", 4),
        ("u", "c", 8),
        ("nobody", "d", 15),
        ("u", "e", 15),
    ] {
        let waited = answered_after(&world, CLIENT, user, password).await;
        assert_eq!(waited, seconds * SECOND, "{user} {password}");
    }
    // Others do not, and neither does who gives the right password.
    assert_eq!(
        answered_after(&world, [192, 0, 2, 2], "u", "a").await,
        2 * SECOND
    );
    assert_eq!(
        answered_after(&world, CLIENT, "u", "secret").await,
        Duration::ZERO
    );
    // Which changes nothing for the others of its address.
    assert_eq!(answered_after(&world, CLIENT, "u", "f").await, 15 * SECOND);
    sleep(4 * 60 * SECOND).await;
    assert_eq!(answered_after(&world, CLIENT, "u", "g").await, 2 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn an_old_password_is_not_a_guess() {
    let world = Plan::new().begin();
    for _ in 0..5 {
        assert_eq!(answered_after(&world, CLIENT, "u", "old").await, 2 * SECOND);
    }
    assert_eq!(answered_after(&world, CLIENT, "v", "old").await, 4 * SECOND);
    assert_eq!(answered_after(&world, CLIENT, "u", "old").await, 4 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn every_way_to_show_a_password_is_the_same() {
    let world = Plan::new().begin();
    assert_eq!(answered_after(&world, CLIENT, "u", "a").await, 2 * SECOND);
    // "u" with "a", then with "b" (RFC 4616).
    for (plain, seconds) in [("AHUAYQ==", 2), ("AHUAYg==", 4)] {
        let (mut client, _session) = world.pipe_from(CLIENT);
        client.greeting().await;
        let start = Instant::now();
        client.err(&format!("AUTH PLAIN {plain}"), "[AUTH]").await;
        assert_eq!(start.elapsed(), seconds * SECOND);
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_not_tried_is_not_a_guess() {
    let mut plan = Plan::new();
    plan.plaintext_login = PlaintextLogin::Loopback;
    plan.tenant_limits.sessions_per_user = 0;
    let world = plan.begin();
    // Refused with words of its own, and at once.
    for _ in 0..3 {
        let waited = answered_after(&world, [127, 0, 0, 1], "u", "secret").await;
        assert_eq!(waited, Duration::ZERO);
    }
    assert_eq!(
        answered_after(&world, [127, 0, 0, 1], "u", "a").await,
        2 * SECOND
    );
    assert_eq!(world.penalties.addresses(), 1);
}

#[tokio::test(start_paused = true)]
async fn who_hangs_up_waits_nevertheless() {
    let world = Plan::new().begin();
    let (mut client, session) = world.pipe_from(CLIENT);
    client.greeting().await;
    client.ok("USER u").await;
    let start = Instant::now();
    client.send("PASS a\r\n").await;
    // Longer than an answer to a right password takes.
    sleep(SECOND / 10).await;
    drop(client);
    assert!(matches!(session.await.unwrap(), End::Disconnected));
    assert_eq!(start.elapsed(), 2 * SECOND);
    assert_eq!(answered_after(&world, CLIENT, "u", "b").await, 4 * SECOND);
}

#[tokio::test]
async fn guesses_of_one_address_are_bounded_by_its_connections() {
    let mut plan = Plan::new();
    plan.limits.connections_per_address = 3;
    plan.limits.failure_delay = 60 * SECOND;
    plan.limits.max_failure_delay = 60 * SECOND;
    let world = plan.begin();
    let (address, _listening) = world.listen(ListenerTls::Off);
    for guess in 0..3 {
        let mut client = Client::connect(address).await;
        client.greeting().await;
        client.ok("USER u").await;
        client.send(format!("PASS {guess}\r\n")).await;
        sleep(SECOND / 20).await;
    }
    // All three have hung up, and their places are taken until they have waited.
    let mut fourth = Client::connect(address).await;
    assert!(fourth.line().await.starts_with("-ERR [SYS/TEMP]"));
}

#[tokio::test(start_paused = true)]
async fn no_delay_where_none_is_wanted() {
    let mut plan = Plan::new();
    plan.limits.failure_delay = Duration::ZERO;
    let world = plan.begin();
    for password in ["a", "b", "c"] {
        assert_eq!(
            answered_after(&world, CLIENT, "u", password).await,
            Duration::ZERO
        );
    }
}

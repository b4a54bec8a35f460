//! EXPIRE and LOGIN-DELAY (RFC 2449 sections 6.5 and 6.7), announced and carried
//! out.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::world::{Plan, World};

const DAY: u64 = 24 * 60 * 60;

fn days_ago(days: u64) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    now.as_secs() - days * DAY
}

/// Three messages: of unknown age, 40 days old, new.
fn world(tenant_lines: &'static str) -> World {
    let mut plan = Plan::new();
    plan.tenant_lines = tenant_lines;
    plan.deliver_at("unknown", b"Subject: unknown\n\n", 0);
    plan.deliver_at("old", b"Subject: old\n\n", days_ago(40));
    plan.deliver_at("new", b"Subject: new\n\n", days_ago(1));
    plan.begin()
}

#[tokio::test]
async fn what_is_older_than_expire_goes_at_quit() {
    let world = world("expire = \"30d\"");
    let (mut client, _session) = world.logged_in().await;
    assert!(client.lines("CAPA").await.contains("\r\nEXPIRE 30\r\n"));
    // It is there as long as the session lasts.
    assert!(client.lines("RETR 2").await.contains("old"));
    let answer = client.ok("QUIT").await;
    assert!(answer.contains("2 messages left"), "{answer}");
    assert_eq!(world.left(), ["unknown", "new"]);
}

#[tokio::test]
async fn without_quit_nothing_expires() {
    let world = world("expire = \"30d\"");
    let (client, session) = world.logged_in().await;
    drop(client);
    session.await.unwrap();
    assert_eq!(world.left(), ["unknown", "old", "new"]);
}

#[tokio::test]
async fn what_is_marked_and_expired_goes_once() {
    let world = world("expire = \"30d\"");
    let (mut client, _session) = world.logged_in().await;
    client.ok("DELE 2").await;
    client.ok("DELE 3").await;
    client.ok("QUIT").await;
    assert_eq!(world.left(), ["unknown"]);
}

#[tokio::test]
async fn with_expire_0_what_was_retrieved_goes() {
    let world = world("expire = \"0d\"");
    let (mut client, _session) = world.logged_in().await;
    assert!(client.lines("CAPA").await.contains("\r\nEXPIRE 0\r\n"));
    client.lines("RETR 3").await;
    // A part of it is not the message.
    client.lines("TOP 1 0").await;
    client.ok("QUIT").await;
    assert_eq!(world.left(), ["unknown", "old"]);
}

#[tokio::test]
async fn what_would_empty_a_maildrop_does_not_expire() {
    let lines = "expire = \"30d\"\nexpire-max-share = \"30%\"\n";
    let world = world(lines);
    let (mut client, _session) = world.logged_in().await;
    client.ok("DELE 3").await;
    client.ok("QUIT").await;
    // What the client marked goes all the same.
    assert_eq!(world.left(), ["unknown", "old"]);
    let tenant = world.serving.tenants.named("t").unwrap();
    assert_eq!(tenant.ledger.totals().expired_messages_kept, 1);
    assert_eq!(tenant.ledger.totals().removed_messages, 1);
}

#[tokio::test]
async fn where_the_clock_was_set_forward_nothing_expires() {
    for (jump, left) in [
        (Duration::from_secs(59 * 60), vec!["unknown", "new"]),
        (Duration::from_secs(40 * DAY), vec!["unknown", "old", "new"]),
    ] {
        let mut world = world("expire = \"30d\"");
        let serving = Arc::get_mut(&mut world.serving).unwrap();
        serving.settings.clock.told -= jump;
        let (mut client, _session) = world.logged_in().await;
        client.ok("QUIT").await;
        assert_eq!(world.left(), left);
    }
}

#[tokio::test]
async fn expire_never_is_said_and_nothing_goes() {
    let world = world("expire = \"never\"");
    let (mut client, _session) = world.logged_in().await;
    assert!(client.lines("CAPA").await.contains("\r\nEXPIRE NEVER\r\n"));
    client.lines("RETR 2").await;
    client.ok("QUIT").await;
    assert_eq!(world.left(), ["unknown", "old", "new"]);
}

#[tokio::test(start_paused = true)]
async fn who_comes_back_too_soon_hears_how_long_to_wait() {
    let world = world("login-delay = \"5m\"");
    let (mut client, _session) = world.logged_in().await;
    assert!(
        client
            .lines("CAPA")
            .await
            .contains("\r\nLOGIN-DELAY 300\r\n")
    );
    client.ok("QUIT").await;

    tokio::time::advance(Duration::from_secs(100)).await;
    let (mut client, _session) = world.pipe(restante_config::ListenerTls::Off);
    client.greeting().await;
    // The answer to USER never carries it (RFC 2449 section 6.5), and a wrong
    // password does not learn that the user was here.
    client.ok("USER u").await;
    client.err("PASS wrong", "[AUTH]").await;
    client.ok("USER u").await;
    client.err("PASS secret", "[LOGIN-DELAY]").await;
    // Nobody else has to wait.
    client.log_in("v", "other").await;
    client.ok("QUIT").await;

    tokio::time::advance(Duration::from_secs(300)).await;
    world.logged_in().await;
}

#[tokio::test]
async fn without_the_keys_nothing_is_said() {
    let world = world("");
    let (mut client, _session) = world.logged_in().await;
    let capabilities = client.lines("CAPA").await;
    assert!(!capabilities.contains("EXPIRE") && !capabilities.contains("LOGIN-DELAY"));
}

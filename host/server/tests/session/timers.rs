//! Every timer, with a clock that stands still until everybody waits.

use std::time::Duration;

use restante_config::ListenerTls;
use restante_server::connection::End;
use tokio::io::duplex;
use tokio::time::{Instant, sleep};

use crate::client::Client;
use crate::world::{FAILURE_DELAY, PIPE_BYTES, Plan};

const MINUTE: Duration = Duration::from_secs(60);
const MAIL: [(&str, &str); 1] = [("one", "1\n")];

#[tokio::test(start_paused = true)]
async fn autologout_after_ten_minutes_to_the_instant() {
    let world = Plan::new().mail(&MAIL).begin();
    let (mut client, session) = world.logged_in().await;
    client.ok("DELE 1").await;
    let last = Instant::now();
    client.ends_without_a_word().await;
    assert_eq!(last.elapsed(), 10 * MINUTE);
    assert!(matches!(session.await.unwrap(), End::Autologout));
    assert_eq!(world.left(), ["one"]);
    assert_eq!(world.locks.held(), 0);
}

#[tokio::test(start_paused = true)]
async fn commands_start_the_timer_anew_good_or_bad() {
    let world = Plan::new().mail(&MAIL).begin();
    let (mut client, _session) = world.logged_in().await;
    for command in ["NOOP", "NONSENSE", "RETR 9", "LIST 1"] {
        sleep(10 * MINUTE - Duration::from_millis(1)).await;
        client.ask(command).await;
    }
    let last = Instant::now();
    client.ends_without_a_word().await;
    assert_eq!(last.elapsed(), 10 * MINUTE);
}

#[tokio::test(start_paused = true)]
async fn octets_without_a_line_end_do_not() {
    let world = Plan::new().mail(&MAIL).begin();
    let (mut client, session) = world.logged_in().await;
    let last = Instant::now();
    for octet in ["N", "O", "O", "P", " ", " "] {
        sleep(MINUTE + MINUTE / 2).await;
        client.send(octet).await;
    }
    client.ends_without_a_word().await;
    assert_eq!(last.elapsed(), 10 * MINUTE);
    assert!(matches!(session.await.unwrap(), End::Autologout));
}

#[tokio::test(start_paused = true)]
async fn three_minutes_to_log_in_whatever_is_said() {
    let world = Plan::new().mail(&MAIL).begin();
    let start = Instant::now();
    let (mut client, session) = world.pipe(ListenerTls::Off);
    client.greeting().await;
    for _ in 0..3 {
        sleep(MINUTE - Duration::from_secs(1)).await;
        client.ok("USER u").await;
    }
    client.ends_without_a_word().await;
    assert_eq!(start.elapsed(), 3 * MINUTE);
    assert!(matches!(session.await.unwrap(), End::LoginTimeout));
    // Nor does it help to be in the middle of a login that fails.
    let start = Instant::now();
    let (mut client, _session) = world.pipe(ListenerTls::Off);
    client.greeting().await;
    sleep(3 * MINUTE - Duration::from_secs(1)).await;
    client.send("USER u\r\nPASS wrong\r\n").await;
    assert!(client.line().await.starts_with("+OK"));
    client.ends_without_a_word().await;
    assert_eq!(start.elapsed(), 3 * MINUTE);
}

#[tokio::test(start_paused = true)]
async fn the_login_timer_ends_with_the_login() {
    let world = Plan::new().mail(&MAIL).begin();
    let (mut client, _session) = world.pipe(ListenerTls::Off);
    client.greeting().await;
    sleep(2 * MINUTE).await;
    client.log_in("u", "secret").await;
    sleep(9 * MINUTE).await;
    client.ok("NOOP").await;
}

#[tokio::test(start_paused = true)]
async fn a_failed_login_takes_as_long_and_says_the_same_for_everybody() {
    let mut plan = Plan::new();
    plan.domains = vec!["known.example".into()];
    plan.default = false;
    plan.memory.add_user("u@known.example", "secret", "k");
    let world = plan.begin();
    let mut answers = Vec::new();
    for (user, last) in [
        ("u@known.example", 1),
        ("nobody@known.example", 2),
        ("u@unknown.example", 3),
    ] {
        let (mut client, _session) = world.pipe_from([192, 0, 2, last]);
        client.greeting().await;
        client.ok(&format!("USER {user}")).await;
        let start = Instant::now();
        let answer = client.ask("PASS wrong").await;
        assert_eq!(start.elapsed(), FAILURE_DELAY, "{user}");
        answers.push(answer);
    }
    assert!(answers[0].starts_with("-ERR [AUTH] "));
    assert!(answers.iter().all(|answer| *answer == answers[0]));
}

#[tokio::test(start_paused = true)]
async fn three_failed_logins_are_enough() {
    let world = Plan::new().begin();
    let (mut client, _session) = world.pipe(ListenerTls::Off);
    client.greeting().await;
    for _ in 0..3 {
        client.ok("USER u").await;
        client.err("PASS wrong", "[AUTH]").await;
    }
    client.ends_without_a_word().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_is_closed() {
    let large = "x\n".repeat(1 << 20);
    let world = Plan::new().mail(&[("large", &large)]).begin();
    let (mut client, session) = world.logged_in().await;
    client.send("RETR 1\r\n").await;
    let start = Instant::now();
    assert!(matches!(session.await.unwrap(), End::WriteTimeout));
    assert_eq!(start.elapsed(), world.limits.write_timeout);
    assert_eq!(world.locks.held(), 0);
    // What is cut has no final dot.
    assert!(!client.rest().await.ends_with(b"\r\n.\r\n"));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_little_is_served() {
    let large = "x\n".repeat(1 << 14);
    let world = Plan::new().mail(&[("large", &large)]).begin();
    let (near, far) = duplex(16);
    let _session = world.session(far, ListenerTls::Off);
    let mut client = Client::new(near);
    client.greeting_and_login().await;
    client.ok("RETR 1").await;
    // 16 octets every four minutes: for many hours, and never in silence.
    let mut octets = Vec::new();
    for _ in 0..200 {
        sleep(4 * MINUTE).await;
        octets.extend_from_slice(&client.octets::<16>().await);
    }
    octets.extend_from_slice(&client.body().await);
    assert!(octets == large.replace('\n', "\r\n").as_bytes());
    // The autologout timer stood still meanwhile.
    sleep(9 * MINUTE).await;
    client.ok("NOOP").await;
}

#[tokio::test(start_paused = true)]
async fn a_handshake_has_its_time() {
    let world = Plan::new().tls().begin();
    let (near, far) = duplex(PIPE_BYTES);
    let start = Instant::now();
    let session = world.session(far, ListenerTls::Implicit);
    let mut client = Client::new(near);
    client.ends_without_a_word().await;
    assert_eq!(start.elapsed(), world.limits.handshake_timeout);
    assert!(matches!(session.await.unwrap(), End::HandshakeTimeout));
}

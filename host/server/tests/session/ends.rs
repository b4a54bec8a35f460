//! The ways out of a session, and that only QUIT removes anything.

use std::time::Duration;

use restante_config::ListenerTls;
use restante_pop3::Close;
use restante_roles::backend::Failure;
use restante_server::connection::End;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use crate::client::Client;
use crate::world::Plan;

const MAIL: [(&str, &str); 2] = [("one", "1\n"), ("two", "2\n")];

#[tokio::test]
async fn a_client_that_goes_away_removes_nothing() {
    let world = Plan::new().mail(&MAIL).begin();
    let (mut client, session) = world.logged_in().await;
    client.ok("DELE 1").await;
    drop(client);
    assert!(matches!(session.await.unwrap(), End::Disconnected));
    assert_eq!(world.left(), ["one", "two"]);
    assert_eq!(world.locks.held(), 0);
    // Half a QUIT is none.
    let (mut client, session) = world.logged_in().await;
    client.ok("DELE 1").await;
    client.send("QUIT").await;
    drop(client);
    assert!(matches!(session.await.unwrap(), End::Disconnected));
    assert_eq!(world.left(), ["one", "two"]);
}

#[tokio::test]
async fn a_reset_removes_nothing() {
    let world = Plan::new().mail(&MAIL).begin();
    let (address, _listening) = world.listen(ListenerTls::Off);
    let mut client = Client::connect(address).await;
    client.greeting_and_login().await;
    client.ok("DELE 1").await;
    let stream: TcpStream = client.into_inner();
    stream.set_zero_linger().unwrap();
    drop(stream);
    // The lock is free as soon as the server has noticed.
    loop {
        let mut next = Client::connect(address).await;
        next.greeting().await;
        next.ok("USER u").await;
        if next.ask("PASS secret").await.starts_with("+OK") {
            break;
        }
        sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(world.left(), ["one", "two"]);
}

#[tokio::test]
async fn a_dropped_session_lets_go_and_removes_nothing() {
    let world = Plan::new().mail(&MAIL).begin();
    let (mut client, session) = world.logged_in().await;
    client.ok("DELE 1").await;
    assert_eq!(world.locks.held(), 1);
    session.abort();
    assert!(session.await.unwrap_err().is_cancelled());
    assert_eq!(world.locks.held(), 0);
    assert_eq!(world.left(), ["one", "two"]);
}

#[tokio::test]
async fn an_update_that_fails_says_so() {
    let world = Plan::new().mail(&MAIL).begin();
    let failure = Failure::Permanent("read-only".into());
    *world.doctored.removal.lock().unwrap() = Some(failure);
    let (mut client, session) = world.logged_in().await;
    client.ok("DELE 2").await;
    client.err("QUIT", "[SYS/PERM] read-only").await;
    client.ends_without_a_word().await;
    let end = session.await.unwrap();
    assert!(matches!(end, End::Session(Close::UpdateFailed)));
    assert_eq!(world.left(), ["one", "two"]);
    assert_eq!(world.locks.held(), 0);
    // Nothing to remove: the store is not asked.
    let (mut client, _session) = world.logged_in().await;
    client.ok("DELE 2").await;
    client.ok("RSET").await;
    client.ok("QUIT").await;
}

#[tokio::test]
async fn what_is_sent_behind_quit_is_not_obeyed() {
    let world = Plan::new().mail(&MAIL).begin();
    let (address, _listening) = world.listen(ListenerTls::Off);
    let mut client = Client::connect(address).await;
    client.greeting_and_login().await;
    client.send("QUIT\r\nDELE 1\r\nQUIT\r\n").await;
    let rest = String::from_utf8(client.rest().await).unwrap();
    assert_eq!(rest.matches("\r\n").count(), 1, "{rest}");
    assert_eq!(world.left(), ["one", "two"]);
}

#[tokio::test]
async fn shutdown_lets_sessions_finish() {
    let world = Plan::new().mail(&MAIL).begin();
    let (address, listening) = world.listen(ListenerTls::Off);
    let mut waiting = Client::connect(address).await;
    waiting.greeting().await;
    let mut working = Client::connect(address).await;
    working.greeting_and_login().await;
    working.ok("DELE 1").await;

    world.trigger.begin(Duration::from_secs(3600));
    waiting.ends_without_a_word().await;
    assert!(TcpStream::connect(address).await.is_err());
    assert_eq!(working.lines("RETR 2").await, "2\r\n");
    working.ok("QUIT").await;
    listening.await.unwrap();
    assert_eq!(world.left(), ["two"]);
}

#[tokio::test(start_paused = true)]
async fn after_the_grace_time_sessions_end_without_update() {
    let world = Plan::new().mail(&MAIL).begin();
    let (mut client, session) = world.logged_in().await;
    client.ok("DELE 1").await;
    let (mut waiting, not_logged_in) = world.pipe(ListenerTls::Off);
    waiting.greeting().await;
    let start = Instant::now();
    world.trigger.begin(Duration::from_secs(30));
    waiting.ends_without_a_word().await;
    assert!(matches!(not_logged_in.await.unwrap(), End::Shutdown));
    assert_eq!(start.elapsed(), Duration::ZERO);
    sleep(Duration::from_secs(20)).await;
    client.ok("NOOP").await;
    client.ends_without_a_word().await;
    assert_eq!(start.elapsed(), Duration::from_secs(30));
    assert!(matches!(session.await.unwrap(), End::Shutdown));
    assert_eq!(world.left(), ["one", "two"]);
    assert_eq!(world.locks.held(), 0);
}

//! A second login on a maildrop that a session has open.

use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use restante_config::ListenerTls;
use restante_pop3::Close;
use restante_roles::backend::{Content, ContentReader, Failure};
use restante_server::connection::End;
use restante_server::sessions::EndedBy;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use crate::client::Client;
use crate::world::{Plan, World};

const MAIL: [(&str, &str); 2] = [("one", "Subject: one\n\nHello.\n"), ("two", "\nTwo.\n")];

fn take_over() -> Plan {
    let mut plan = Plan::new().mail(&MAIL);
    plan.tenant_lines = "when-in-use = \"take-over\"\n";
    plan
}

fn taken_over(world: &World) -> u64 {
    let tenant = world.serving.tenants.named("t").unwrap();
    tenant.ledger.totals().sessions_taken_over
}

/// A message whose octets come after that time.
struct Late(Duration);

#[async_trait]
impl ContentReader for Late {
    async fn read(&mut self, _limit: u32) -> Result<Vec<u8>, Failure> {
        sleep(self.0).await;
        Err(Failure::internal())
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_word_the_older_session_goes_on_and_the_login_is_refused_at_once() {
    let world = Plan::new().mail(&MAIL).begin();
    let (mut older, _session) = world.logged_in().await;
    let (mut newer, _other) = world.pipe(ListenerTls::Off);
    newer.greeting().await;
    newer.ok("USER u").await;
    let asked = Instant::now();
    newer.err("PASS secret", "[IN-USE]").await;
    assert_eq!(asked.elapsed(), Duration::ZERO);
    older.ok("DELE 1").await;
    older.ok("QUIT").await;
    assert_eq!(world.left(), ["two"]);
    assert_eq!(taken_over(&world), 0);
}

#[tokio::test(start_paused = true)]
async fn by_setting_the_same_user_takes_the_maildrop_over_and_nothing_is_deleted() {
    let world = take_over().begin();
    let (mut older, session) = world.logged_in().await;
    older.ok("DELE 1").await;
    let (mut newer, _other) = world.pipe(ListenerTls::Off);
    newer.greeting_and_login().await;
    older.ends_without_a_word().await;
    let newer_id = world.sessions.list().last().unwrap().session.clone();
    assert!(matches!(
        session.await.unwrap(),
        End::EndedBy(EndedBy::TakeOver(by)) if by == newer_id
    ));
    assert_eq!(taken_over(&world), 1);
    assert_eq!(newer.lines("UIDL").await, "1 one\r\n2 two\r\n");
    newer.ok("QUIT").await;
    assert_eq!(world.left(), ["one", "two"]);
}

#[tokio::test(start_paused = true)]
async fn a_limit_of_one_session_of_a_user_is_no_obstacle() {
    let mut plan = take_over();
    plan.tenant_limits.sessions_per_user = 1;
    let world = plan.begin();
    for _ in 0..3 {
        let (client, _session) = world.logged_in().await;
        std::mem::forget(client);
    }
    assert_eq!(taken_over(&world), 2);
}

/// The older session's place is the newer one's, whoever else wants it.
#[tokio::test(start_paused = true)]
async fn a_tenant_at_its_limit_of_sessions_is_no_obstacle() {
    let mut plan = take_over();
    plan.tenant_limits.sessions = 1;
    let world = plan.begin();
    let (mut other, _session) = world.pipe(ListenerTls::Off);
    other.greeting().await;
    for round in 1..=3 {
        let (client, _session) = world.logged_in().await;
        std::mem::forget(client);
        assert_eq!(taken_over(&world), round - 1);
        // Whoever wants a place of its own has none, whichever moment it tries.
        other.ok("USER v").await;
        other.err("PASS other", "[SYS/TEMP]").await;
        // And nobody's session is ended by a wrong password.
        other.ok("USER u").await;
        other.err("PASS wrong", "[AUTH]").await;
    }
}

#[tokio::test(start_paused = true)]
async fn another_user_takes_nothing_over() {
    let world = take_over().begin();
    let (mut older, _session) = world.logged_in().await;
    let (mut newer, _other) = world.pipe(ListenerTls::Off);
    newer.greeting().await;
    // The same maildrop, by another name.
    newer.ok("USER alias").await;
    newer.err("PASS secret", "[IN-USE]").await;
    // Whoever does not know the password ends nobody's session.
    newer.ok("USER u").await;
    newer.err("PASS wrong", "[AUTH]").await;
    older.ok("QUIT").await;
    assert_eq!(taken_over(&world), 0);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_removes_is_waited_for_and_never_ended() {
    for plan in [Plan::new().mail(&MAIL), take_over()] {
        let world = plan.begin();
        *world.doctored.removal_time.lock().unwrap() = Duration::from_millis(1900);
        let (mut older, session) = world.logged_in().await;
        older.ok("DELE 1").await;
        older.send("QUIT\r\n").await;
        sleep(Duration::from_millis(10)).await;
        let (mut newer, _other) = world.pipe(ListenerTls::Off);
        newer.greeting_and_login().await;
        assert!(older.line().await.starts_with("+OK"));
        assert!(matches!(session.await.unwrap(), End::Session(Close::Quit)));
        assert_eq!(newer.lines("UIDL").await, "1 two\r\n");
        assert_eq!(taken_over(&world), 0);

        // One that takes longer is left to finish.
        *world.doctored.removal_time.lock().unwrap() = Duration::from_secs(60);
        newer.ok("DELE 1").await;
        newer.send("QUIT\r\n").await;
        sleep(Duration::from_millis(10)).await;
        let (mut last, _session) = world.pipe(ListenerTls::Off);
        last.greeting().await;
        last.ok("USER u").await;
        let asked = Instant::now();
        last.err("PASS secret", "[IN-USE]").await;
        assert_eq!(asked.elapsed().as_secs(), 2);
        assert!(newer.line().await.starts_with("+OK"));
        assert!(world.left().is_empty());
    }
}

/// A session that waits for its store sees nothing of its client.
async fn waiting_for_its_store(world: &World, time: Duration) -> (SocketAddr, Client<TcpStream>) {
    world
        .doctored
        .replace(0, move || Ok(Content::Reader(Box::new(Late(time)))));
    let (address, _listening) = world.listen(ListenerTls::Off);
    let mut client = Client::connect(address).await;
    client.greeting_and_login().await;
    client.send("RETR 1\r\n").await;
    sleep(Duration::from_millis(100)).await;
    (address, client)
}

#[tokio::test]
async fn a_session_whose_connection_was_reset_is_ended() {
    let world = Plan::new().mail(&MAIL).begin();
    let (address, client) = waiting_for_its_store(&world, Duration::from_secs(3600)).await;
    let mut newer = Client::connect(address).await;
    newer.greeting().await;
    newer.ok("USER u").await;
    newer.err("PASS secret", "[IN-USE]").await;
    let stream = client.into_inner();
    socket2::SockRef::from(&stream)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(stream);
    sleep(Duration::from_millis(100)).await;
    newer.log_in("u", "secret").await;
    assert_eq!(taken_over(&world), 0);
}

#[tokio::test]
async fn a_session_whose_client_has_closed_its_side_is_waited_for() {
    let world = Plan::new().mail(&MAIL).begin();
    let (address, client) = waiting_for_its_store(&world, Duration::from_millis(1000)).await;
    let mut stream = client.into_inner();
    stream.shutdown().await.unwrap();
    sleep(Duration::from_millis(100)).await;
    let mut newer = Client::connect(address).await;
    newer.greeting_and_login().await;
}

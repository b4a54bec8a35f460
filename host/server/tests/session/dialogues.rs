//! Sessions as clients have them, over real sockets.

use restante_config::ListenerTls;

use crate::client::Client;
use crate::world::{MAILDROP, Plan};

const MAIL: [(&str, &str); 3] = [
    ("one", "Subject: one\n\nHello.\n"),
    ("two", "Subject: two\r\n\r\n.dots\r\n..\r\n.\r\nno end"),
    ("three", ""),
];

#[tokio::test]
async fn log_in_look_around_fetch_delete() {
    let world = Plan::new().mail(&MAIL).begin();
    let (address, _listening) = world.listen(ListenerTls::Off);
    let mut client = Client::connect(address).await;
    assert_eq!(client.line().await, "+OK test.example POP3 server ready");
    client.log_in("u", "secret").await;
    assert!(client.ok("STAT").await.starts_with("+OK 3 62"));
    assert_eq!(client.lines("LIST").await, "1 24\r\n2 38\r\n3 0\r\n");
    assert_eq!(client.lines("UIDL").await, "1 one\r\n2 two\r\n3 three\r\n");
    assert_eq!(
        client.lines("RETR 1").await,
        "Subject: one\r\n\r\nHello.\r\n"
    );
    assert_eq!(
        client.lines("RETR 2").await,
        "Subject: two\r\n\r\n.dots\r\n..\r\n.\r\nno end\r\n"
    );
    assert_eq!(client.lines("RETR 3").await, "");
    assert_eq!(
        client.lines("TOP 2 1").await,
        "Subject: two\r\n\r\n.dots\r\n"
    );
    client.ok("DELE 1").await;
    client.ok("DELE 3").await;
    assert_eq!(world.left(), ["one", "two", "three"]);
    client.ok("QUIT").await;
    client.ends_without_a_word().await;
    assert_eq!(world.left(), ["two"]);
}

#[tokio::test]
async fn the_wire_has_the_stuffing() {
    let world = Plan::new().mail(&MAIL).begin();
    let (address, _listening) = world.listen(ListenerTls::Off);
    let mut client = Client::connect(address).await;
    client.greeting_and_login().await;
    client.send("RETR 2\r\nQUIT\r\n").await;
    let rest = String::from_utf8(client.rest().await).unwrap();
    let message = "Subject: two\r\n\r\n..dots\r\n...\r\n..\r\nno end\r\n.\r\n";
    assert!(rest.starts_with(&format!("+OK 38 octets\r\n{message}+OK")));
}

#[tokio::test]
async fn every_split_of_a_session() {
    let world = Plan::new().mail(&MAIL).begin();
    let (address, _listening) = world.listen(ListenerTls::Off);
    let dialogue = b"USER u\r\nPASS secret\r\nSTAT\r\nRETR 1\r\nQUIT\r\n";
    for split in 0..=dialogue.len() {
        let mut client = Client::connect(address).await;
        client.greeting().await;
        client.send(&dialogue[..split]).await;
        tokio::task::yield_now().await;
        client.send(&dialogue[split..]).await;
        let rest = String::from_utf8(client.rest().await).unwrap();
        let message = "+OK 24 octets\r\nSubject: one\r\n\r\nHello.\r\n.\r\n+OK";
        assert!(rest.contains(message), "split at {split}: {rest}");
    }
    assert_eq!(world.left().len(), 3);
}

#[tokio::test]
async fn a_maildrop_has_one_session() {
    let world = Plan::new().mail(&MAIL).begin();
    let (address, _listening) = world.listen(ListenerTls::Off);
    let mut first = Client::connect(address).await;
    first.greeting_and_login().await;
    let mut second = Client::connect(address).await;
    second.greeting().await;
    second.ok("USER u").await;
    second.err("PASS secret", "[IN-USE]").await;
    // Another name for the same maildrop leads to the same lock.
    second.ok("USER alias").await;
    second.err("PASS secret", "[IN-USE]").await;
    second.log_in("v", "other").await;
    // Who hears the answer to QUIT can log in at once.
    first.ok("QUIT").await;
    for _ in 0..100 {
        let mut client = Client::connect(address).await;
        client.greeting_and_login().await;
        client.ok("QUIT").await;
    }
}

#[tokio::test]
async fn mail_that_arrives_waits_for_the_next_session() {
    let plan = Plan::new().mail(&MAIL[..1]);
    let world = plan.begin();
    let (mut client, _session) = world.logged_in().await;
    let mail = restante_roles::memory::Mail {
        unique_id: "new".into(),
        received: 0,
        content: b"x".as_slice().into(),
    };
    world.memory.deliver(MAILDROP, mail);
    assert_eq!(client.lines("UIDL").await, "1 one\r\n");
    client.ok("DELE 1").await;
    client.ok("QUIT").await;
    assert_eq!(world.left(), ["new"]);
    let (mut client, _session) = world.logged_in().await;
    assert_eq!(client.lines("UIDL").await, "1 new\r\n");
}

#[tokio::test]
async fn sessions_side_by_side() {
    let plan = Plan::new();
    let users = 50;
    for user in 0..users {
        let name = format!("user{user}");
        plan.memory.add_user(&name, "secret", &name);
        for message in 0..20 {
            let mail = restante_roles::memory::Mail {
                unique_id: message.to_string(),
                received: 0,
                content: format!("Subject: {name}/{message}\n\n{}", "x\n".repeat(2000))
                    .into_bytes()
                    .into(),
            };
            plan.memory.deliver(&name, mail);
        }
    }
    let world = plan.begin();
    let (address, _listening) = world.listen(ListenerTls::Off);
    let mut clients = tokio::task::JoinSet::new();
    for user in 0..users {
        clients.spawn(async move {
            let mut client = Client::connect(address).await;
            client.greeting().await;
            client.log_in(&format!("user{user}"), "secret").await;
            for message in 0..20 {
                let expected = format!(
                    "Subject: user{user}/{message}\r\n\r\n{}",
                    "x\r\n".repeat(2000)
                );
                assert!(client.lines(&format!("RETR {}", message + 1)).await == expected);
                client.ok(&format!("DELE {}", message + 1)).await;
            }
            client.ok("QUIT").await;
        });
    }
    clients.join_all().await;
    for user in 0..users {
        assert!(world.memory.mail(&format!("user{user}")).is_empty());
    }
}

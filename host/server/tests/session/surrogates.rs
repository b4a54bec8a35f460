//! Headers beyond ASCII, for clients that have said UTF8 and for those that have
//! not (RFC 6856 sections 2.1 and 5).

use async_trait::async_trait;
use restante_config::{ListenerTls, Utf8};
use restante_roles::backend::{Content, ContentReader, Failure};

use crate::client::Client;
use crate::policy::filtered;
use crate::world::{Plan, World};

const MAIL: &str = "Subject: Grüße\nFrom: ü@example.org\n\nschön\nund gut\n";

/// The same as every client may read it.
const SURROGATE: &str = "Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\r\n\
                         From: =?utf-8?Q?=C3=BC=40example=2Eorg?=\r\n \
                         <invalid@internationalized-address.invalid>\r\n\
                         \r\n\
                         schön\r\nund gut\r\n";

/// As it was stored.
fn raw(stored: &str) -> String {
    stored.replace('\n', "\r\n")
}

fn world(utf8: Utf8, mail: &str) -> World {
    let mut plan = Plan::new();
    plan.utf8 = utf8;
    plan.mail(&[("m", mail), ("other", "A: 1\n\nfine\n")])
        .begin()
}

#[tokio::test]
async fn utf8_is_the_tenants_choice_before_the_servers() {
    for (server, tenant, is_raw, offered) in [
        (Utf8::Surrogate, "", false, true),
        (Utf8::Surrogate, "utf8 = 'off'\n", true, true),
        (Utf8::Off, "", true, false),
        (Utf8::Off, "utf8 = 'surrogate'\n", false, true),
    ] {
        let mut plan = Plan::new();
        plan.utf8 = server;
        plan.tenant_lines = tenant;
        let world = plan.mail(&[("m", MAIL)]).begin();
        let (mut client, _session) = world.logged_in().await;
        let expected = match is_raw {
            true => raw(MAIL),
            false => SURROGATE.to_owned(),
        };
        let listed = client.ok("LIST 1").await;
        assert_eq!(listed, format!("+OK 1 {}", expected.len()), "{tenant}");
        assert_eq!(client.lines("RETR 1").await, expected, "{tenant}");
        let capabilities = client.lines("CAPA").await;
        assert_eq!(capabilities.contains("UTF8"), offered, "{tenant}");
    }
    // Who cannot have it without may ask for it.
    let mut plan = Plan::new();
    plan.utf8 = Utf8::Off;
    plan.tenant_lines = "utf8 = 'refuse'\n";
    let world = plan.mail(&[("m", MAIL)]).begin();
    let (mut client, _session) = world.logged_in().await;
    client.err("RETR 1", "[UTF8]").await;
    client.ok("QUIT").await;
    let mut client = in_utf8(&world).await;
    assert_eq!(client.lines("RETR 1").await, raw(MAIL));
}

async fn in_utf8(world: &World) -> Client<tokio::io::DuplexStream> {
    let (mut client, _session) = world.pipe(ListenerTls::Off);
    client.greeting().await;
    client.ok("UTF8").await;
    client.log_in("u", "secret").await;
    client
}

async fn body(client: &mut Client<tokio::io::DuplexStream>) -> String {
    String::from_utf8(client.body().await).unwrap()
}

#[tokio::test]
async fn a_client_without_utf8_gets_a_surrogate() {
    let world = world(Utf8::Surrogate, MAIL);
    let (mut client, _session) = world.logged_in().await;
    let listed = SURROGATE.len();
    assert_eq!(client.ok("LIST 1").await, format!("+OK 1 {listed}"));
    assert_eq!(client.ok("STAT").await, format!("+OK 2 {}", listed + 14));
    let status = client.ok("RETR 1").await;
    assert_eq!(status, format!("+OK {} octets", SURROGATE.len()));
    assert_eq!(body(&mut client).await, SURROGATE);
    client.ok("TOP 1 1").await;
    let cut = SURROGATE.strip_suffix("und gut\r\n").unwrap();
    assert_eq!(body(&mut client).await, cut);
    client.ok("TOP 1 0").await;
    let cut = cut.strip_suffix("schön\r\n").unwrap();
    assert_eq!(body(&mut client).await, cut);
    assert_eq!(client.ok("RETR 2").await, "+OK 14 octets");
    assert_eq!(body(&mut client).await, "A: 1\r\n\r\nfine\r\n");
}

#[tokio::test]
async fn a_client_with_utf8_gets_the_message() {
    for policy in [Utf8::Surrogate, Utf8::Refuse] {
        let world = world(policy, MAIL);
        let mut client = in_utf8(&world).await;
        let octets = raw(MAIL).len();
        assert_eq!(client.ok("LIST 1").await, format!("+OK 1 {octets}"));
        assert_eq!(client.ok("RETR 1").await, format!("+OK {octets} octets"));
        assert_eq!(body(&mut client).await, raw(MAIL));
    }
}

#[tokio::test]
async fn where_it_is_refused_the_code_says_why() {
    let world = world(Utf8::Refuse, MAIL);
    let (mut client, _session) = world.logged_in().await;
    for command in ["RETR 1", "TOP 1 0"] {
        client.err(command, "[UTF8]").await;
    }
    assert_eq!(client.ok("RETR 2").await, "+OK 14 octets");
    assert_eq!(body(&mut client).await, "A: 1\r\n\r\nfine\r\n");
}

#[tokio::test]
async fn a_body_beyond_ascii_needs_nothing() {
    let mail = "Subject: a\nContent-Transfer-Encoding: 8bit\n\nA: schön\n";
    for policy in [Utf8::Surrogate, Utf8::Refuse] {
        let world = world(policy, mail);
        let (mut client, _session) = world.logged_in().await;
        client.ok("RETR 1").await;
        assert_eq!(body(&mut client).await, raw(mail));
    }
}

#[tokio::test]
async fn off_is_as_if_utf8_did_not_exist() {
    let world = world(Utf8::Off, MAIL);
    let (mut client, _session) = world.pipe(ListenerTls::Off);
    client.greeting().await;
    client.ok("CAPA").await;
    assert!(!body(&mut client).await.contains("UTF8"));
    client.err("UTF8", "").await;
    client.log_in("u", "secret").await;
    client.ok("RETR 1").await;
    assert_eq!(body(&mut client).await, raw(MAIL));
}

#[tokio::test]
async fn utf8_is_announced_with_user() {
    let world = world(Utf8::Surrogate, MAIL);
    let (mut client, _session) = world.pipe(ListenerTls::Off);
    client.greeting().await;
    client.ok("CAPA").await;
    assert!(body(&mut client).await.contains("\r\nUTF8 USER\r\n"));
}

/// A few octets at a time.
struct Pulls(Vec<u8>);

#[async_trait]
impl ContentReader for Pulls {
    async fn read(&mut self, limit: u32) -> Result<Vec<u8>, Failure> {
        let length = self.0.len().min(7).min(limit as usize);
        Ok(self.0.drain(..length).collect())
    }
}

#[tokio::test]
async fn what_comes_in_pieces_comes_whole() {
    let long = MAIL.to_owned() + &"0123456789abcde\n".repeat(20_000);
    for policy in [Utf8::Surrogate, Utf8::Refuse] {
        let world = world(policy, &long);
        let pulled = long.clone().into_bytes();
        world.doctored.replace(0, move || {
            Ok(Content::Reader(Box::new(Pulls(pulled.clone()))))
        });
        let (mut client, _session) = world.logged_in().await;
        if policy == Utf8::Refuse {
            client.err("RETR 1", "[UTF8]").await;
            client.err("TOP 1 0", "[UTF8]").await;
            continue;
        }
        let expected = SURROGATE.to_owned() + &"0123456789abcde\r\n".repeat(20_000);
        let status = client.ok("RETR 1").await;
        assert_eq!(status, format!("+OK {} octets", expected.len()));
        assert!(body(&mut client).await == expected);
        client.ok("TOP 1 0").await;
        assert!(body(&mut client).await.ends_with("invalid>\r\n\r\n"));
    }
}

/// What lies behind the first chunk the listing knows.
#[tokio::test]
async fn a_part_far_behind_gets_its_surrogate_too() {
    let text = "0123456789abcde\n".repeat(20_000);
    let part = "--b\nContent-Disposition: attachment; filename=ü\n\nü\n--b--\n";
    let mail = format!("Content-Type: multipart/mixed; boundary=b\n\n{text}{part}");
    let expected = raw(&mail).replace("filename=ü", "filename*=utf-8''%C3%BC");
    for policy in [Utf8::Surrogate, Utf8::Refuse] {
        let world = world(policy, &mail);
        let (mut client, _session) = world.logged_in().await;
        let status = client.ok("RETR 1").await;
        if policy == Utf8::Surrogate {
            assert_eq!(status, format!("+OK {} octets", expected.len()));
        }
        assert!(body(&mut client).await == expected);
        client.ok("NOOP").await;
    }
}

#[tokio::test]
async fn a_message_that_breaks_off_never_looks_whole() {
    let world = world(Utf8::Surrogate, MAIL);
    let long = MAIL.to_owned() + &"0123456789abcde\n".repeat(20_000);
    world.doctored.replace(0, move || {
        Ok(Content::Reader(Box::new(Pulls(long.clone().into_bytes()))))
    });
    let (mut client, _session) = world.logged_in().await;
    // More than is listed: closed without the dot.
    client.ok("RETR 1").await;
    let rest = client.rest().await;
    assert!(rest.starts_with(b"Subject: =?utf-8?"));
    assert!(!rest.ends_with(b"\r\n.\r\n"));
}

#[tokio::test]
async fn filters_fields_stand_before_a_surrogate() {
    let world = filtered().mail(&[("m", MAIL)]).begin();
    let (mut client, _session) = world.logged_in().await;
    let list = client.ok("LIST 1").await;
    let listed: usize = list.rsplit(' ').next().unwrap().parse().unwrap();
    let status = client.ok("RETR 1").await;
    assert_eq!(status, format!("+OK {listed} octets"));
    let got = body(&mut client).await;
    assert_eq!(got.len(), listed);
    assert!(got.starts_with("X-Octets: "), "{got}");
    assert!(got.ends_with(SURROGATE), "{got}");
}

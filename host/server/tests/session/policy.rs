//! What tenants decide: who may log in where, and what is seen of a maildrop.

use std::sync::Arc;

use async_trait::async_trait;
use restante_config::{ListenerTls, PlaintextLogin};
use restante_roles::backend::{Account, Connection, Failure, Filter, Message, Screener, Verdict};

use crate::world::Plan;

/// Hides what has "spam" in its header section, marks the rest.
struct Marker;

#[async_trait]
impl Filter for Marker {
    fn name(&self) -> &str {
        "marker"
    }

    fn identity(&self) -> &str {
        "marker"
    }

    async fn screener(
        &self,
        _connection: &Arc<Connection>,
        _account: &Account,
    ) -> Result<Box<dyn Screener>, Failure> {
        Ok(Box::new(Marker))
    }
}

#[async_trait]
impl Screener for Marker {
    async fn screen(&mut self, message: Arc<dyn Message>) -> Result<Verdict, Failure> {
        let header = String::from_utf8(message.header().await?).unwrap();
        if header.contains("broken") {
            return Err(Failure::Permanent("this filter is broken".into()));
        }
        if header.contains("spam") {
            return Ok(Verdict::Hide);
        }
        Ok(Verdict::Annotate(vec![
            format!("X-Octets: {}", message.octets()),
            "X-Marked: yes".into(),
        ]))
    }
}

pub(crate) fn filtered() -> Plan {
    let mut plan = Plan::new();
    plan.filters.push(Arc::new(Marker));
    plan
}

#[tokio::test]
async fn filters_decide_what_is_seen_and_octets_agree() {
    let world = filtered()
        .mail(&[
            ("a", "Subject: a\n\nspam in the body\n"),
            ("b", "Subject: spam\n\nb\n"),
            ("c", "Subject: c\n\n.c\n"),
            ("d", ""),
        ])
        .begin();
    let (mut client, _session) = world.logged_in().await;
    let marked = "X-Marked: yes\r\n";
    let expected = [
        format!("X-Octets: 32\r\n{marked}Subject: a\r\n\r\nspam in the body\r\n"),
        format!("X-Octets: 18\r\n{marked}Subject: c\r\n\r\n.c\r\n"),
        format!("X-Octets: 0\r\n{marked}"),
    ];
    let total: usize = expected.iter().map(String::len).sum();
    assert_eq!(client.ok("STAT").await, format!("+OK 3 {total}"));
    assert_eq!(client.lines("UIDL").await, "1 a\r\n2 c\r\n3 d\r\n");
    for (number, expected) in (1..).zip(&expected) {
        let scan = client.ok(&format!("LIST {number}")).await;
        assert_eq!(scan, format!("+OK {number} {}", expected.len()));
        assert_eq!(&client.lines(&format!("RETR {number}")).await, expected);
    }
    assert_eq!(
        client.lines("TOP 2 0").await,
        format!("X-Octets: 18\r\n{marked}Subject: c\r\n\r\n")
    );
    // Message 2 is the store's third.
    client.ok("DELE 2").await;
    client.ok("QUIT").await;
    assert_eq!(world.left(), ["a", "b", "d"]);
}

#[tokio::test]
async fn a_filter_that_fails_lets_nobody_in() {
    let world = filtered()
        .mail(&[("a", "Subject: a\n"), ("b", "Subject: broken\n")])
        .begin();
    let (mut client, _session) = world.pipe(ListenerTls::Off);
    client.greeting().await;
    client.ok("USER u").await;
    client
        .err("PASS secret", "[SYS/PERM] this filter is broken")
        .await;
    client.err("STAT", "").await;
    assert_eq!(world.locks.held(), 0);
}

#[tokio::test]
async fn a_user_has_the_domain_in_any_case_and_the_default_one() {
    let mut plan = Plan::new();
    plan.tenant_lines = "default-domain = \"acme.example\"\n";
    plan.memory.add_user("Ann@acme.example", "secret", "a");
    let world = plan.begin();
    let (mut client, _session) = world.pipe(ListenerTls::Off);
    client.greeting().await;
    // The local part is for the authenticator to compare.
    client.ok("USER ann@acme.example").await;
    client.err("PASS secret", "[AUTH]").await;
    for name in ["Ann", "Ann@acme.example", "Ann@ACME.Example."] {
        let (mut client, _session) = world.pipe(ListenerTls::Off);
        client.greeting().await;
        client.log_in(name, "secret").await;
        client.ok("QUIT").await;
    }
}

#[tokio::test]
async fn no_password_in_the_clear_where_the_tenant_says_so() {
    for policy in [PlaintextLogin::Never, PlaintextLogin::Loopback] {
        let mut plan = Plan::new();
        plan.plaintext_login = policy;
        let world = plan.begin();
        let (mut client, _session) = world.pipe(ListenerTls::Off);
        client.greeting().await;
        client.err("USER u", "").await;
        assert!(!client.lines("CAPA").await.lines().any(|tag| tag == "USER"));
    }
    let mut plan = Plan::new();
    plan.plaintext_login = PlaintextLogin::Loopback;
    let world = plan.begin();
    let (address, _listening) = world.listen(ListenerTls::Off);
    let mut client = crate::client::Client::connect(address).await;
    client.greeting_and_login().await;
}

#[tokio::test(start_paused = true)]
async fn one_tenants_leave_is_not_anothers() {
    use restante_roles::backend::Authenticator;
    use restante_server::tenant::Tenant;
    let mut plan = Plan::new();
    plan.domains = vec!["lax.example".into()];
    plan.default = false;
    plan.memory.add_user("u@lax.example", "secret", "l");
    plan.memory.add_user("u@strict.example", "secret", "s");
    let mut world = plan.begin();
    let authenticators = vec![Arc::clone(&world.memory) as Arc<dyn Authenticator>];
    let strict = Tenant {
        plaintext_login: PlaintextLogin::Never,
        ..Tenant::new("strict", authenticators, Arc::new(world.doctored.clone()))
    };
    let serving = Arc::get_mut(&mut world.serving).unwrap();
    let domains = ["strict.example".to_owned()];
    serving.tenants.add(Arc::new(strict), &domains, &[], false);
    let (mut client, _session) = world.pipe(ListenerTls::Off);
    client.greeting().await;
    // Allowed, because it is not known yet whose user is meant.
    client.ok("USER u@strict.example").await;
    client.err("PASS secret", "[AUTH] no plaintext login").await;
    client.log_in("u@lax.example", "secret").await;
}

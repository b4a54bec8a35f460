use super::*;
use crate::memory::Memory;

fn tenant(name: &str, plaintext_login: PlaintextLogin, sessions: usize) -> Arc<Tenant> {
    let memory = Arc::new(Memory::new());
    let authenticators = vec![Arc::clone(&memory) as Arc<dyn Authenticator>];
    Arc::new(Tenant {
        plaintext_login,
        limits: TenantLimits {
            sessions,
            sessions_per_user: 2,
            ..TenantLimits::default()
        },
        ..Tenant::new(name, authenticators, memory)
    })
}

fn tenants() -> Tenants {
    let mut tenants = Tenants::new();
    let names = |names: &[&str]| names.iter().map(|&name| name.into()).collect::<Vec<_>>();
    let add = |tenants: &mut Tenants, name: &str, domains, servers| {
        let one = tenant(name, PlaintextLogin::Never, 1);
        tenants.add(one, &names(domains), &names(servers), name == "rest");
    };
    add(
        &mut tenants,
        "acme",
        &["acme.example"],
        &["pop.acme.example"],
    );
    add(
        &mut tenants,
        "wild",
        &["wild.example"],
        &["*.acme.example", "*.Wild.example"],
    );
    add(&mut tenants, "rest", &[], &[]);
    tenants
}

#[test]
fn server_name_then_domain_then_default() {
    let tenants = tenants();
    let chosen = |server_name, user| {
        tenants
            .choose(server_name, user)
            .map(|tenant| tenant.name.as_str())
    };
    assert_eq!(chosen(None, "a@acme.example"), Some("acme"));
    assert_eq!(chosen(None, "a@ACME.Example"), Some("acme"));
    assert_eq!(chosen(None, "a@b@wild.example"), Some("wild"));
    assert_eq!(chosen(None, "a@wild.example@"), Some("rest"));
    assert_eq!(chosen(None, "a"), Some("rest"));
    assert_eq!(
        chosen(Some("POP.acme.example"), "a@wild.example"),
        Some("acme")
    );
    assert_eq!(
        chosen(Some("imap.acme.example"), "a@acme.example"),
        Some("wild")
    );
    assert_eq!(chosen(Some("x.WILD.example"), "a"), Some("wild"));
    // A wildcard stands for one label, as in certificates.
    assert_eq!(chosen(Some("x.y.wild.example"), "a"), Some("rest"));
    assert_eq!(chosen(Some("wild.example"), "a"), Some("rest"));
    assert_eq!(
        chosen(Some("elsewhere.example"), "a@acme.example"),
        Some("acme")
    );
}

#[test]
fn without_a_default_a_stranger_has_no_tenant() {
    let mut tenants = Tenants::new();
    let domains = ["acme.example".to_owned()];
    tenants.add(
        tenant("acme", PlaintextLogin::Never, 1),
        &domains,
        &[],
        false,
    );
    assert!(tenants.choose(None, "a@acme.example").is_some());
    assert!(tenants.choose(None, "a@other.example").is_none());
    assert!(tenants.choose(None, "a").is_none());
}

#[test]
fn passwords_in_the_clear() {
    let far: IpAddr = [192, 0, 2, 1].into();
    let near: IpAddr = [127, 9, 9, 9].into();
    let mapped: IpAddr = "::ffff:127.0.0.1".parse().expect("an address");
    let v6: IpAddr = "::1".parse().expect("an address");
    for (policy, expected) in [
        (PlaintextLogin::Never, [false, false, false, false]),
        (PlaintextLogin::Loopback, [false, true, true, true]),
        (PlaintextLogin::Always, [true, true, true, true]),
    ] {
        let tenant = tenant("a", policy, 1);
        let clients = [far, near, mapped, v6];
        let clear = clients.map(|client| tenant.allows_password(false, client));
        assert_eq!(clear, expected);
        assert!(tenant.allows_password(true, far));
        let offer = Offer::of(&tenant);
        assert_eq!(
            clients.map(|client| offer.password(false, client)),
            expected
        );
        assert!(offer.password(true, far));
    }
}

#[test]
fn scram_is_offered_where_it_locks_nobody_out() {
    let password = Accepts::PASSWORD;
    let sha256 = Accepts {
        scram_sha256: true,
        ..password
    };
    let both = Accepts {
        scram_sha1: true,
        ..sha256
    };
    let bearer = Accepts {
        bearer: true,
        ..Accepts::default()
    };
    let tenant = |name: &str, all: &[Accepts]| {
        let authenticators = all.iter().map(|accepts| {
            let memory = Memory::new();
            memory.accept(*accepts);
            Arc::new(memory) as Arc<dyn Authenticator>
        });
        Arc::new(Tenant::new(
            name,
            authenticators.collect(),
            Arc::new(Memory::new()),
        ))
    };
    let scram = |offer: Offer| {
        let mechanisms = offer.mechanisms();
        [Mechanism::ScramSha1, Mechanism::ScramSha256].map(|one| mechanisms.contains(one))
    };
    for (all, expected) in [
        (&[password][..], [false, false]),
        (&[sha256], [false, true]),
        (&[both], [true, true]),
        (&[both, sha256], [false, true]),
        (&[both, password], [false, false]),
        (&[both, bearer], [true, true]),
    ] {
        assert_eq!(scram(Offer::of(&tenant("t", all))), expected, "{all:?}");
    }
    let mut tenants = Tenants::new();
    let names = |name: &str| [format!("pop.{name}.example")];
    tenants.add(tenant("a", &[both]), &[], &names("a"), true);
    assert_eq!(scram(tenants.offer(None)), [true, true]);
    tenants.add(tenant("b", &[sha256]), &[], &names("b"), false);
    assert_eq!(scram(tenants.offer(None)), [false, true]);
    assert_eq!(scram(tenants.offer(Some("pop.a.example"))), [true, true]);
    assert_eq!(scram(tenants.offer(Some("pop.b.example"))), [false, true]);
}

#[test]
fn sessions_are_counted() {
    let tenant = tenant("a", PlaintextLogin::Never, 2);
    let first = tenant.permit().expect("room for one");
    let second = tenant.permit().expect("room for two");
    assert!(tenant.permit().is_none());
    assert_eq!(tenant.sessions.live(), 2);
    drop(first);
    assert!(tenant.permit().is_some());
    drop(second);
    assert_eq!(tenant.sessions.live(), 0);
}

#[test]
fn a_users_sessions_are_counted() {
    let tenant = tenant("a", PlaintextLogin::Never, 9);
    let first = tenant.user_permit("u").expect("room for one");
    let second = tenant.user_permit("u").expect("room for two");
    assert!(tenant.user_permit("u").is_none());
    assert!(tenant.user_permit("v").is_some());
    drop(first);
    assert!(tenant.user_permit("u").is_some());
    drop(second);
    assert!(tenant.sessions.users().is_empty());
}

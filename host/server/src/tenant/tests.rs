use std::sync::Arc;
use std::time::Duration;

use restante_pop3::Mechanism;

use super::*;
use restante_config::{PlaintextLogin, Scram, TenantLimits, TlsVersion};
use restante_roles::address::Client;
use restante_roles::backend::{Accepts, Authenticator, Store};
use restante_roles::memory::Memory;

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
fn plugins_are_told_a_domain_in_lower_case_and_the_default_one() {
    let tenant = |default: Option<&str>| {
        let memory = Arc::new(Memory::new());
        let authenticators = vec![Arc::clone(&memory) as Arc<dyn Authenticator>];
        Tenant {
            default_domain: default.map(str::to_owned),
            ..Tenant::new("t", authenticators, memory)
        }
    };
    for (given, told, with_default) in [
        ("Alice", "Alice", "Alice@acme.example"),
        (
            "Alice@ACME.Example",
            "Alice@acme.example",
            "Alice@acme.example",
        ),
        ("a@Acme.example.", "a@acme.example", "a@acme.example"),
        ("a@B@C.example", "a@B@c.example", "a@B@c.example"),
        ("a@", "a@", "a@"),
        // Not a letter of ASCII, and another domain.
        (
            "a@\u{212a}.example",
            "a@\u{212a}.example",
            "a@\u{212a}.example",
        ),
    ] {
        assert_eq!(tenant(None).name_for_plugins(given), told);
        let named = tenant(Some("acme.example")).name_for_plugins(given);
        assert_eq!(named, with_default);
    }
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
    let at = |text: &str| Client::at(text.parse().expect("an address"));
    let far = at("192.0.2.1:7");
    let (near, mapped, v6) = (at("127.9.9.9:7"), at("[::ffff:127.0.0.1]:7"), at("[::1]:7"));
    for (policy, expected) in [
        (PlaintextLogin::Never, [false, false, false, false, false]),
        (PlaintextLogin::Loopback, [false, false, true, true, true]),
        (PlaintextLogin::Always, [true, true, true, true, true]),
    ] {
        let tenant = tenant("a", policy, 1);
        let clients = [far, Client::Unknown, near, mapped, v6];
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
    // By the tenant's word, whoever has no keys.
    let tenant_with = |scram, all: &[Accepts]| {
        let tenant = Arc::into_inner(tenant("t", all)).expect("the only one");
        Tenant { scram, ..tenant }
    };
    for (scram_key, all, expected) in [
        (Scram::On, &[both, password][..], [false, true]),
        (Scram::On, &[sha256], [false, true]),
        (Scram::On, &[both], [true, true]),
        // Nobody could answer.
        (Scram::On, &[password], [false, false]),
        (Scram::Off, &[both], [false, false]),
    ] {
        let offer = Offer::of(&tenant_with(scram_key, all));
        assert_eq!(scram(offer), expected, "{scram_key:?} {all:?}");
    }
    // Where it is not known whose user comes, what is off for one is off.
    let mut tenants = Tenants::new();
    let off = tenant_with(Scram::Off, &[both]);
    tenants.add(tenant("a", &[both]), &["a.example".into()], &[], true);
    tenants.add(Arc::new(off), &["b.example".into()], &[], false);
    assert_eq!(scram(tenants.offer(None)), [false, false]);
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
    // What is left for other nodes.
    assert_eq!(tenant.visit("u", Duration::ZERO).most_elsewhere, 0);
    drop(first);
    let visit = tenant.visit("u", Duration::from_secs(9));
    assert_eq!(visit.most_elsewhere, 1);
    assert_eq!(visit.visitor, "a:u");
    assert_eq!(visit.delay, Duration::from_secs(9));
    assert!(tenant.user_permit("u").is_some());
    drop(second);
    assert!(tenant.sessions.users().is_empty());
}

#[test]
fn names_are_served_by_whose_they_are() {
    let tenants = tenants();
    let may = |tenant: &str, name: &str| {
        let tenant = tenants.named(tenant).expect("it was added");
        let (ask, serve) = (
            tenants.may_ask(tenant, name),
            tenants.may_serve(tenant, name),
        );
        (ask, serve)
    };
    for name in ["a@acme.example", "a@b@ACME.example", "a@acme.example."] {
        assert_eq!(may("acme", name), (true, true), "{name}");
        assert_eq!(may("wild", name), (false, false), "{name}");
        assert_eq!(may("rest", name), (false, false), "{name}");
    }
    // An authenticator may know what an alias means; it does not become a path.
    assert_eq!(may("acme", "a@elsewhere.example"), (true, false));
    assert_eq!(may("rest", "a@elsewhere.example"), (true, true));
    assert_eq!(may("acme", "a@acme.example@"), (true, false));
    for name in ["acme", "wild", "rest"] {
        assert_eq!(may(name, "acme.example"), (true, true));
    }
}

/// Numbers that look like chance and are the same in every run (SplitMix64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let end = u64::try_from(end).expect("a few");
        usize::try_from((mixed ^ (mixed >> 31)) % end).expect("below `end`")
    }

    fn of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.below(all.len())]
    }
}

/// Parts of names and of templates, chosen to fall together.
const LOCALS: [&str; 7] = ["ada", "a", "b", "c", "a.example", "ada@a.example", "x-a"];
const DOMAINS: [&str; 8] = [
    "a.example",
    "A.example",
    "b.example",
    "b.example.",
    "c.example",
    "a",
    "b",
    "",
];
const SERVER_NAMES: [&str; 4] = ["pop.a.example", "pop.b.example", "pop.c.example", "pop"];
const FOLDERS: [&str; 14] = [
    "{tenant}",
    "{tenant}",
    "{domain}",
    "{domain}",
    "{local}",
    "{user}",
    "{maildrop}",
    "x-{tenant}",
    "{tenant}{local}",
    "{attribute.home}",
    "a",
    "B",
    "a.example",
    "Maildir",
];

fn name(chance: &mut Chance) -> String {
    let local = chance.of(&LOCALS);
    match chance.below(4) {
        0 => local.to_owned(),
        _ => format!("{local}@{}", chance.of(&DOMAINS)),
    }
}

/// Two or three tenants as somebody could write them, good or not.
fn configuration(chance: &mut Chance) -> String {
    let mut text = "[listener.l]\naddress = '127.0.0.1:0'\ntls = 'off'\n\
        [plugin.p]\ncomponent = 'builtin:passwd-file'\n"
        .to_owned();
    let one_store = chance.below(2) == 0;
    let mut template = String::new();
    for tenant in &["a", "b", "c"][..2 + chance.below(2)] {
        if template.is_empty() || !one_store {
            let folders = (0..=chance.below(3)).map(|_| format!("/{}", chance.of(&FOLDERS)));
            template = format!("/mail{}", folders.collect::<String>());
        }
        let claim = match chance.below(3) {
            0 => format!("domains = ['{tenant}.example']\n"),
            1 => format!("domains = ['{tenant}', '{tenant}.example']\n"),
            _ => String::new(),
        };
        let shares = chance.below(5) == 0;
        text += &format!(
            "[plugin.m-{tenant}]\ncomponent = 'builtin:maildir'\ngrants.maildrop = '{template}'\n\
             [tenant.{tenant}]\n{claim}server-names = ['pop.{tenant}.example']\n\
             shares-maildrops-with-other-tenants = {shares}\n\
             authenticators = ['p']\nstore = 'm-{tenant}'\n"
        );
    }
    text
}

/// What a login came to: whose it was, and where its mail is.
struct Reached {
    tenant: Arc<Tenant>,
    path: std::path::PathBuf,
    lock_key: String,
}

/// No sequence of server name, names of a client and account of an authenticator
/// leads to a maildrop, a lock or a policy of another tenant, where the
/// configuration is one that is accepted.
#[test]
fn nothing_that_is_said_leads_to_another_tenant() {
    use restante_config::Config;
    use restante_config::template::Values;

    const CONFIGURATIONS: u64 = 4000;
    const LOGINS: usize = 60;
    let (mut accepted, mut logins, mut refused) = (0, 0, 0);
    for seed in 0..CONFIGURATIONS {
        let mut chance = Chance(seed);
        let text = configuration(&mut chance);
        let place = std::path::Path::new("/etc/restante");
        let Ok(config) = Config::parse(&text, &place.join("restante.toml"), place) else {
            continue;
        };
        accepted += 1;
        let mut tenants = Tenants::new();
        for one in &config.tenants {
            let made = Tenant::out(one, Vec::new());
            tenants.add(Arc::new(made), &one.domains, &one.server_names, one.default);
        }
        let mut all: Vec<Reached> = Vec::new();
        for _ in 0..LOGINS {
            let server_name = (chance.below(3) > 0).then(|| chance.of(&SERVER_NAMES));
            let (user, other, account) = (name(&mut chance), name(&mut chance), name(&mut chance));
            let Some(tenant) = tenants.choose(server_name, &user) else {
                continue;
            };
            let asked = [&user, &other].map(|name| tenants.may_ask(tenant, name));
            if asked.contains(&false) || !tenants.may_serve(tenant, &account) {
                refused += 1;
                continue;
            }
            // Whose policy it is: nobody's but the claimant's.
            for name in [&user, &other, &account] {
                let claimant = tenants.claimant(name);
                assert!(
                    claimant.is_none_or(|one| Arc::ptr_eq(one, tenant)),
                    "{name}\n{text}"
                );
            }
            let configured = config.tenants.iter().find(|one| one.name == tenant.name);
            let store = &configured.expect("it is one of them").store;
            let store = config.plugins.iter().find(|one| one.name == *store);
            let maildrop = store.and_then(|store| store.grants.maildrop.as_ref());
            let template = maildrop.map(|maildrop| maildrop.template());
            let home = name(&mut chance);
            let values = Values {
                tenant: &tenant.name,
                user: &account,
                maildrop: chance.of(&LOCALS),
                attributes: &[("home", &home)],
            };
            let Ok(path) = template.expect("each has one").expand(&values) else {
                continue;
            };
            let path = path.whole();
            logins += 1;
            all.push(Reached {
                tenant: Arc::clone(tenant),
                lock_key: tenant.lock_key(&path.to_string_lossy(), false),
                // To some file systems it is all one.
                path: path.to_string_lossy().to_lowercase().into(),
            });
        }
        for (at, one) in all.iter().enumerate() {
            for other in &all[..at] {
                let shared = one.tenant.shares_maildrops && other.tenant.shares_maildrops;
                if one.tenant.name == other.tenant.name || shared {
                    continue;
                }
                let (path, theirs) = (&one.path, &other.path);
                let meet = path.starts_with(theirs) || theirs.starts_with(path);
                assert!(!meet, "{path:?} and {theirs:?} with\n{text}");
                assert_ne!(one.lock_key, other.lock_key);
            }
        }
    }
    // That there was something to see.
    assert!(accepted > 200, "{accepted}");
    assert!(logins > 5000 && refused > 5000, "{logins}, {refused}");
}

/// Those that have their maildrops in common wait for each other's sessions.
#[test]
fn locks_are_by_tenant_unless_it_shares() {
    let tenant = |name: &str, shares_maildrops| Tenant {
        shares_maildrops,
        ..Tenant::new(name, Vec::new(), Arc::new(Memory::new()))
    };
    let key = |name: &str, shares| tenant(name, shares).lock_key("/mail/ada", false);
    assert_ne!(key("a", false), key("b", false));
    assert_ne!(key("a", true), key("a", false));
    assert_eq!(key("a", true), key("b", true));
    // No two tenants have a maildrop of an engine in common, and a tenant's is one.
    let of_engine = |shares| tenant("a", shares).lock_key("engine:mail/ada", true);
    assert_eq!(of_engine(true), of_engine(false));
    let of_engine = |shares| tenant("a", shares).shared_key("mail/ada", true);
    assert_eq!(of_engine(true), of_engine(false));
    let key = |name: &str, shares| tenant(name, shares).shared_key("/mail/ada", false);
    assert_ne!(key("a", false), key("b", false));
    assert_ne!(key("a", true), key("a", false));
    assert_eq!(key("a", true), key("b", true));
}

#[test]
fn a_tenant_takes_no_older_version_of_tls_than_it_wants() {
    let memory = Arc::new(Memory::new());
    let allows = |tls_minimum, version: &str| {
        let tenant = Tenant {
            tls_minimum,
            ..Tenant::new("t", Vec::new(), Arc::clone(&memory) as Arc<dyn Store>)
        };
        tenant.allows_tls(version)
    };
    assert!(allows(TlsVersion::V1_2, "TLSv1.2") && allows(TlsVersion::V1_2, "TLSv1.3"));
    assert!(allows(TlsVersion::V1_3, "TLSv1.3"));
    assert!(!allows(TlsVersion::V1_3, "TLSv1.2") && !allows(TlsVersion::V1_3, ""));
}

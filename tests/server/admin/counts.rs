//! What the metrics count.

use restante_tests::{Plugin, Pop3, Tenant, test_guest, wait_for};

use crate::admin::exposition::Exposition;
use crate::admin::{client, metrics, sessions, site};

#[test]
fn metrics_count_what_happened_exactly() {
    let mut site = site();
    site.tenants[0]
        .lines
        .push_str("domains = [\"test.example\"]\n");
    site.limits = "failure-delay = \"0ms\"\n".to_owned();
    site.user("ada@test.example", "x");
    let mut maildir = site.maildir("ada@test.example");
    let (first, second) = (
        &b"Subject: one\n\nfirst\n"[..],
        &b"Subject: two\n\nsecond\n"[..],
    );
    maildir.deliver(first);
    maildir.deliver(second);
    let server = site.start();
    let admin = client(&server);
    let fresh = metrics(&admin);
    let test = ("tenant", "test");
    let logins = |seen: &Exposition, tenant: &str, result: &str| {
        seen.count(
            "restante_logins_total",
            &[("tenant", tenant), ("result", result)],
        )
    };
    for result in ["ok", "rejected", "in_use", "failed"] {
        assert_eq!(logins(&fresh, "test", result), 0);
    }
    assert_eq!(fresh.count("restante_connections_total", &[]), 0);
    assert_eq!(fresh.count("restante_generation", &[]), 1);
    assert_eq!(fresh.count("restante_generations", &[]), 1);
    let calls = [("plugin", "mail"), ("role", "store")];
    assert_eq!(
        fresh.sample("restante_plugin_call_seconds_count", &calls),
        None
    );

    let mut ada = Pop3::login(server.pop3(), "ada@test.example", "x");
    let got = ada.retr(1).len() + ada.retr(2).len() + ada.top(1, 0).len();
    let mut second_ada = Pop3::connect(server.pop3());
    assert!(!second_ada.authenticate("ada@test.example", "x").ok);
    assert!(!second_ada.authenticate("ada@test.example", "wrong").ok);
    assert!(!second_ada.authenticate("eve@nowhere.example", "x").ok);

    let seen = metrics(&admin);
    assert_eq!(seen.count("restante_connections_total", &[]), 2);
    assert_eq!(seen.count("restante_connections_open", &[]), 2);
    assert_eq!(seen.count("restante_sessions", &[test]), 1);
    assert_eq!(logins(&seen, "test", "ok"), 1);
    assert_eq!(logins(&seen, "test", "in_use"), 1);
    assert_eq!(logins(&seen, "test", "rejected"), 1);
    assert_eq!(logins(&seen, "_none", "rejected"), 1);
    assert_eq!(seen.count("restante_retrieved_messages_total", &[test]), 2);
    assert_eq!(
        seen.count("restante_retrieved_bytes_total", &[test]),
        got as u64
    );
    assert_eq!(seen.count("restante_removed_messages_total", &[test]), 0);
    // Two logins that were judged, and the one that was refused.
    let judged = [("plugin", "users"), ("role", "authenticator")];
    let asked = seen.count("restante_plugin_call_seconds_count", &judged);
    assert_eq!(asked, 3, "ada, ada again, ada with another password");
    assert!(seen.count("restante_plugin_call_seconds_count", &calls) >= 4);
    assert!(
        seen.sample("restante_guest_cpu_seconds_total", &[test])
            .unwrap()
            > 0.0
    );
    assert!(seen.count("restante_guest_memory_peak_bytes", &[test]) >= 64 * 1024);
    // The store's instance, while ada's session is at work or shortly after.
    assert!(seen.count("restante_instances", &[test]) <= 1);
    let read = seen.count("restante_host_call_bytes_total", &[test]);
    assert!(read >= 1, "passwd-file reads its file");

    ada.accepted("DELE 1");
    ada.quit();
    drop(second_ada);
    sessions(&admin, 0);
    let seen = metrics(&admin);
    assert_eq!(seen.count("restante_removed_messages_total", &[test]), 1);
    assert_eq!(seen.count("restante_sessions", &[test]), 0);
    assert_eq!(seen.count("restante_connections_open", &[]), 0);
    assert_eq!(seen.count("restante_instances", &[test]), 0);
    assert_eq!(seen.count("restante_guest_memory_bytes", &[test]), 0);
    assert!(seen.count("restante_guest_memory_peak_bytes", &[test]) >= 64 * 1024);

    // They survive a reload, which is counted itself.
    assert!(!server.reload().contains("nothing"));
    let seen = metrics(&admin);
    assert_eq!(logins(&seen, "test", "ok"), 1);
    assert_eq!(seen.count("restante_plugin_call_seconds_count", &judged), 3);
    assert_eq!(seen.count("restante_generation", &[]), 2);
    assert_eq!(seen.count("restante_generations", &[]), 1);
    assert_eq!(seen.count("restante_reloads_total", &[("result", "ok")]), 1);
    assert_eq!(
        seen.count("restante_reloads_total", &[("result", "failed")]),
        0
    );
    server.stop();
}

/// Every way in which a call of a plugin fails has its count, and the pause of
/// one that fails again and again is seen while it lasts.
#[test]
fn failures_are_counted_by_kind_and_rest_is_seen() {
    let mut site = site();
    let mut plugin = Plugin::new("trap", test_guest("trapping").display().to_string());
    plugin.limits = "memory = \"16MiB\"\ncpu-time = \"500ms\"\nwall-time = \"2s\"\n".to_owned();
    site.plugins[0] = plugin;
    site.tenants[0].lines = "authenticators = [\"trap\"]\nstore = \"mail\"\n".to_owned();
    let server = site.start();
    let admin = client(&server);
    let failed = |user: &str| {
        let mut client = Pop3::connect(server.pop3());
        assert!(!client.authenticate(user, "x").ok, "{user}");
    };
    for (done, (user, kind)) in [
        ("panic", "trap"),
        ("loop", "cpu_time"),
        ("memory", "memory"),
        ("sleep", "timeout"),
    ]
    .into_iter()
    .enumerate()
    {
        failed(user);
        let seen = metrics(&admin);
        let labels = [
            ("plugin", "trap"),
            ("role", "authenticator"),
            ("kind", kind),
        ];
        assert_eq!(
            seen.count("restante_plugin_failures_total", &labels),
            1,
            "{kind}"
        );
        let result = [("tenant", "test"), ("result", "failed")];
        assert_eq!(
            seen.count("restante_logins_total", &result),
            done as u64 + 1
        );
    }
    let resting =
        |seen: &Exposition| seen.count("restante_plugin_resting_tenants", &[("plugin", "trap")]);
    for _ in 0..4 {
        failed("panic");
    }
    failed("panic");
    let seen = metrics(&admin);
    let labels = [
        ("plugin", "trap"),
        ("role", "instantiate"),
        ("kind", "resting"),
    ];
    assert_eq!(seen.count("restante_plugin_failures_total", &labels), 1);
    // It rests for that account; the tenant's others are served.
    assert_eq!(resting(&seen), 0);
    let mut client = Pop3::connect(server.pop3());
    assert!(client.authenticate("bob", "x").ok);
    server.stop();
}

/// A plugin that fails where no account is known rests for the tenant.
#[test]
fn tenants_that_a_plugin_rests_for_are_counted() {
    let mut site = site();
    let mut plugin = Plugin::new("hostile", test_guest("hostile").display().to_string());
    plugin.settings = "misdeed = \"trap\"\nat = \"admit\"\n".to_owned();
    site.plugins.push(plugin);
    site.tenants[0].lines =
        "authenticators = [\"users\"]\nstore = \"mail\"\nadmissions = [\"hostile\"]\n".to_owned();
    let server = site.start();
    let admin = client(&server);
    let resting = || {
        let seen = metrics(&admin);
        seen.count("restante_plugin_resting_tenants", &[("plugin", "hostile")])
    };
    for failures in 0..5 {
        assert_eq!(resting(), 0, "{failures}");
        let mut client = Pop3::silent(server.pop3());
        assert!(!client.status().ok);
        client.closed();
    }
    wait_for("the rest to be counted", || (resting() == 1).then_some(()));
    server.stop();
}

#[test]
fn labels_stay_few_however_many_tenants_there_are() {
    const TENANTS: usize = 150;
    let mut site = site();
    site.tenants = (0..TENANTS)
        .map(|number| Tenant {
            name: format!("t{number:03}"),
            lines: format!(
                "domains = [\"d{number}.example\"]\nauthenticators = [\"users\"]\nstore = \"mail\"\n"
            ),
        })
        .collect();
    for number in [0, 120, 121] {
        site.user(&format!("u@d{number}.example"), "x");
        site.maildir(&format!("u@d{number}.example"));
    }
    let server = site.start();
    let admin = client(&server);
    for number in [0, 120, 121] {
        Pop3::login(server.pop3(), &format!("u@d{number}.example"), "x").quit();
    }
    let seen = metrics(&admin);
    // A hundred, the others together, and those without a tenant.
    assert_eq!(seen.values("tenant").len(), 102);
    let ok = |tenant: &str| {
        let labels = [("tenant", tenant), ("result", "ok")];
        seen.sample("restante_logins_total", &labels)
    };
    assert_eq!(ok("t000"), Some(1.0));
    assert_eq!(ok("t120"), None);
    assert_eq!(ok("_other"), Some(2.0));
    assert!(seen.len() < 3000, "{} samples", seen.len());
    // The ledger has them all.
    let ledger = admin.get("/tenants").json();
    assert_eq!(ledger["tenants"].as_array().unwrap().len(), TENANTS);
    assert_eq!(ledger["tenants"][120]["tenant"], "t120");
    assert_eq!(ledger["tenants"][120]["logins"]["ok"], 1);
    assert!(
        ledger["tenants"][120]["guest_cpu_nanoseconds"]
            .as_u64()
            .unwrap()
            > 0
    );
    assert_eq!(ledger["tenants"][119]["guest_cpu_nanoseconds"], 0);
    assert!(
        ledger["tenants"][120]["peak_memory_octets"]
            .as_u64()
            .unwrap()
            > 0
    );
    server.stop();
}

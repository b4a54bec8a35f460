//! CAPA in each state × {clear, before STLS, after STLS, implicit TLS} × where
//! passwords may travel in the clear, line by line.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::TcpStream;

use restante_tests::{Site, Stream};

use crate::requirements::{PASSWORD, Way, site};

/// What is there always (RFC 2449 section 6, RFC 3206 section 6).
const ALWAYS: [&str; 5] = ["TOP", "UIDL", "RESP-CODES", "AUTH-RESP-CODE", "PIPELINING"];

/// What this server says of itself.
const IMPLEMENTATION: &str = concat!("IMPLEMENTATION restante-", env!("CARGO_PKG_VERSION"));

/// What depends on the connection: USER, SASL, STLS; empty: not there.
#[derive(Debug, Clone, Copy)]
struct Offer {
    user: &'static str,
    sasl: &'static str,
    stls: &'static str,
}

impl Offer {
    fn lines(self) -> Vec<&'static str> {
        let Offer { user, sasl, stls } = self;
        let some = [user, sasl, "UTF8 USER", "LANG", stls, IMPLEMENTATION];
        let all = ALWAYS.into_iter().chain(some);
        all.filter(|line| !line.is_empty()).collect()
    }
}

/// Where passwords may be shown in the clear. The site's passwd file keeps them so
/// that SCRAM can be had of them too.
const PASSWORDS: Offer = Offer {
    user: "USER",
    sasl: "SASL SCRAM-SHA-256 SCRAM-SHA-1 PLAIN LOGIN",
    stls: "",
};

/// Where they may not.
const NO_PASSWORDS: Offer = Offer {
    user: "",
    sasl: "SASL SCRAM-SHA-256 SCRAM-SHA-1",
    stls: "",
};

/// Under TLS 1.3 there is a channel to bind to.
const UNDER_TLS: Offer = Offer {
    sasl: "SASL SCRAM-SHA-256-PLUS SCRAM-SHA-1-PLUS SCRAM-SHA-256 SCRAM-SHA-1 PLAIN LOGIN",
    ..PASSWORDS
};

fn offer(way: Way, plaintext: bool) -> Offer {
    match (way, plaintext) {
        (Way::Clear, true) => PASSWORDS,
        (Way::Clear, false) => NO_PASSWORDS,
        (Way::BeforeStls, true) => Offer {
            stls: "STLS",
            ..PASSWORDS
        },
        (Way::BeforeStls, false) => Offer {
            stls: "STLS",
            ..NO_PASSWORDS
        },
        (Way::Stls | Way::Implicit, _) => UNDER_TLS,
    }
}

fn with_plaintext_login(policy: &str) -> Site {
    let mut site = site();
    let line = format!("plaintext-login = {policy:?}\n");
    site.tenants[0].lines.push_str(&line);
    site
}

#[test]
fn capabilities_in_each_state_over_each_connection() {
    // The tests' clients come over loopback.
    for (policy, plaintext) in [("always", true), ("loopback", true), ("never", false)] {
        let site = with_plaintext_login(policy);
        let server = site.start();
        for way in Way::ALL {
            let case = format!("{way:?}, plaintext-login = {policy}");
            let expected = offer(way, plaintext);
            let mut client = way.connect(&site, &server);
            assert_eq!(client.lines("CAPA"), expected.lines(), "{case}");
            if expected.user.is_empty() {
                client.refused("USER ada");
                assert_eq!(client.lines("CAPA"), expected.lines(), "{case}, no USER");
                continue;
            }
            client.accepted("USER ada");
            assert_eq!(client.lines("CAPA"), expected.lines(), "{case}, USER");
            client.accepted("USER ada");
            client.accepted(&format!("PASS {PASSWORD}"));
            // RFC 2449 section 5: what was there before is there still, but for
            // what only AUTHORIZATION permits.
            let after = Offer {
                stls: "",
                ..expected
            };
            assert_eq!(client.lines("CAPA"), after.lines(), "{case}, TRANSACTION");
            client.accepted("DELE 1");
            assert_eq!(client.lines("CAPA"), after.lines(), "{case}, DELE");
            client.accepted("RSET");
            client.quit();
        }
        server.stop();
    }
}

/// RFC 2449 sections 6.5 and 6.7: before a login the strictest of all tenants,
/// with USER behind it; after it the user's own.
#[test]
fn policies_are_the_strictest_before_a_login_and_the_users_own_after_it() {
    let mut site = Site::new();
    let mut tenants = Vec::new();
    for (name, expire, delay) in [("strict", "30d", "5m"), ("mild", "never", "1m")] {
        site.user(&format!("ada@{name}.example"), PASSWORD);
        let mut tenant = site.tenants[0].clone();
        tenant.name = name.to_owned();
        tenant.lines.push_str(&format!(
            "domains = [\"{name}.example\"]\nexpire = {expire:?}\nlogin-delay = {delay:?}\n"
        ));
        tenants.push(tenant);
    }
    site.tenants = tenants;
    let server = site.start();
    let said = |lines: Vec<String>| -> Vec<String> {
        let policy = |line: &String| line.starts_with("EXPIRE") || line.starts_with("LOGIN-DELAY");
        lines.into_iter().filter(policy).collect()
    };
    for (user, expected) in [
        ("ada@strict.example", ["EXPIRE 30", "LOGIN-DELAY 300"]),
        ("ada@mild.example", ["EXPIRE NEVER", "LOGIN-DELAY 60"]),
    ] {
        let mut client = Way::Clear.connect(&site, &server);
        let before = said(client.lines("CAPA"));
        assert_eq!(before, ["EXPIRE 30 USER", "LOGIN-DELAY 300 USER"]);
        let status = client.authenticate(user, PASSWORD);
        assert!(status.ok, "{user}: {status:?}");
        assert_eq!(said(client.lines("CAPA")), expected, "{user}");
        client.quit();
    }
    server.stop();
}

#[test]
fn bare_auth_lists_what_capa_announces() {
    let site = with_plaintext_login("never");
    let server = site.start();
    for way in Way::ALL {
        let mut client = way.connect(&site, &server);
        let announced: Vec<String> = client
            .lines("CAPA")
            .iter()
            .filter_map(|line| line.strip_prefix("SASL "))
            .flat_map(|mechanisms| mechanisms.split(' ').map(str::to_owned))
            .collect();
        if announced.is_empty() {
            client.refused("AUTH");
        } else {
            assert_eq!(client.lines("AUTH"), announced, "{way:?}");
        }
    }
    server.stop();
}

#[test]
fn a_greeting_has_a_timestamp_only_where_apop_is_offered() {
    let site = site();
    let server = site.start();
    for way in [Way::Clear, Way::BeforeStls, Way::Implicit] {
        let mut client = way.connect(&site, &server);
        assert_eq!(client.greeting(), "pop.test.example POP3 server ready");
        client.refused("APOP ada c4c9334bac560ecc979e58001b3e22fb");
    }
    server.stop();
}

/// RFC 1939 section 7: unique for each greeting, and a msg-id.
#[test]
fn every_greeting_has_another_timestamp_where_apop_is_offered() {
    let mut site = site();
    site.tenants[0].lines.push_str("apop = true\n");
    let server = site.start();
    let mut timestamps = HashSet::new();
    for way in [Way::Clear, Way::Clear, Way::BeforeStls, Way::Implicit] {
        let client = way.connect(&site, &server);
        let (_, timestamp) = client.greeting().split_once('<').unwrap();
        let (unique, host) = timestamp
            .strip_suffix('>')
            .unwrap()
            .split_once('@')
            .unwrap();
        assert!(
            unique.len() >= 16 && host == "pop.test.example",
            "{timestamp}"
        );
        assert!(timestamps.insert(timestamp.to_owned()), "{timestamp} again");
    }
    server.stop();
}

/// Under TLS 1.2 nobody can tell whether the extended master secret was agreed on,
/// without which RFC 9266 section 4.2 allows no binding.
#[test]
fn no_binding_is_offered_under_tls_1_2() {
    let site = site();
    let server = site.start();
    for (version, binding) in [
        (&rustls::version::TLS12, false),
        (&rustls::version::TLS13, true),
    ] {
        let socket = Stream::Clear(TcpStream::connect(server.address("pop3s")).unwrap());
        let mut stream = socket.under_tls_of(&[version], "localhost", &site.certificate);
        stream.write_all(b"CAPA\r\nQUIT\r\n").unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        assert!(said.contains(" SCRAM-SHA-256 "), "{said}");
        assert_eq!(said.contains("-PLUS"), binding, "{said}");
    }
    server.stop();
}

#[test]
fn implementation_can_be_kept_secret() {
    let mut site = site();
    site.server = "implementation = false\n".to_owned();
    let server = site.start();
    let mut client = Way::Clear.connect(&site, &server);
    for state in ["AUTHORIZATION", "TRANSACTION"] {
        let lines = client.lines("CAPA");
        assert!(
            !lines.iter().any(|line| line.starts_with("IMPLEMENTATION")),
            "{state}: {lines:?}"
        );
        let login = client.authenticate("ada", PASSWORD);
        assert_eq!(login.ok, state == "AUTHORIZATION");
    }
    server.stop();
}

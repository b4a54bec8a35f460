//! A plugin that fails again and again for one account is rested for that: who asks
//! is told so at once, and everybody else is served.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use restante_tests::{Pop3, Server, Site, Status, test_guest};

use crate::arena::{temporary, told, under_attack};

/// The guest "trapping" lets everybody in, but for those whose name is a way to
/// fail.
fn site() -> Site {
    let mut site = crate::arena::site("authenticator", "");
    site.plugins[2].component = test_guest("trapping").display().to_string();
    site
}

fn login(server: &Server, user: &str) -> Status {
    let mut client = Pop3::connect(server.pop3());
    let status = client.authenticate(user, "x");
    if status.ok {
        client.quit();
    }
    status
}

fn rests(status: &Status) {
    temporary(status);
    assert!(status.text.contains("out of service"), "{status:?}");
}

#[test]
fn plugin_that_traps_for_one_user_rests_for_that_one() {
    let site = site();
    let log = under_attack(&site, |server| {
        for _ in 0..5 {
            temporary(&login(server, "panic"));
        }
        let rested = Instant::now();
        // Fast, for whose logins made it fail; and for nobody else.
        for _ in 0..20 {
            rests(&login(server, "panic"));
        }
        assert!(login(server, "ada").ok);
        assert!(
            rested.elapsed() < Duration::from_secs(1),
            "{:?}",
            rested.elapsed()
        );
        // The first pause is one second; who comes after it is the probe.
        std::thread::sleep(Duration::from_millis(1100));
        assert!(!login(server, "panic").text.contains("out of service"));
        rests(&login(server, "panic"));
        assert!(login(server, "ada").ok);
    });
    told(&log, &["trap", "authenticator.authenticate"]);
    let line = |words: &str| log.lines().filter(|line| line.contains(words)).count();
    assert_eq!(line("one account rests"), 2, "{log}");
    assert_eq!(line("plugin rests"), 0, "{log}");
    assert_eq!(line("plugin call failed"), 6, "{log}");
}

/// From networks that have nothing in common the fault is the plugin's, and it is the
/// tenant's logins that rest; the neighbour has another authenticator.
#[test]
fn plugin_that_traps_for_several_networks_rests_for_the_tenant() {
    let site = site();
    let log = under_attack(&site, |server| {
        let login_from = |network: u8, user: &str| {
            let from = IpAddr::V4(Ipv4Addr::new(127, 0, network, 1));
            Pop3::connect_from(from, server.pop3()).authenticate(user, "x")
        };
        for network in 0..5 {
            temporary(&login_from(network, "panic"));
        }
        rests(&login_from(9, "ada"));
    });
    let line = |words: &str| log.lines().filter(|line| line.contains(words)).count();
    assert_eq!(line("plugin rests"), 1, "{log}");
}

#[test]
fn plugin_that_is_too_slow_rests_as_well_and_longer_each_time() {
    let mut site = site();
    site.plugins[2].limits = "wall-time = \"100ms\"\n".to_owned();
    let log = under_attack(&site, |server| {
        for _ in 0..5 {
            temporary(&login(server, "sleep"));
        }
        rests(&login(server, "sleep"));
        std::thread::sleep(Duration::from_millis(1100));
        // A probe that fails: two seconds from now on.
        assert!(!login(server, "sleep").text.contains("out of service"));
        std::thread::sleep(Duration::from_millis(1100));
        rests(&login(server, "sleep"));
        assert!(login(server, "ada").ok);
    });
    assert!(log.contains("seconds=2"), "{log}");
}

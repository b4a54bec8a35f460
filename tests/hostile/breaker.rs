//! A plugin that fails again and again is rested: its tenant is told so at once,
//! and comes back by itself.

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
fn plugin_that_traps_rests_until_a_probe_succeeds() {
    let site = site();
    let log = under_attack(&site, |server| {
        for _ in 0..5 {
            temporary(&login(server, "panic"));
        }
        let rested = Instant::now();
        // Fast, for everybody of the tenant, whoever it was that made it fail.
        for _ in 0..20 {
            rests(&login(server, "ada"));
        }
        assert!(
            rested.elapsed() < Duration::from_secs(1),
            "{:?}",
            rested.elapsed()
        );
        // The first pause is one second; who comes after it is the probe.
        std::thread::sleep(Duration::from_millis(1100));
        assert!(login(server, "ada").ok);
        assert!(login(server, "ada").ok);
    });
    told(&log, &["trap", "authenticator.authenticate"]);
    let line = |words: &str| log.lines().filter(|line| line.contains(words)).count();
    assert_eq!(line("plugin rests"), 1, "{log}");
    assert_eq!(line("plugin works again"), 1, "{log}");
    assert_eq!(line("plugin call failed"), 5, "{log}");
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
        rests(&login(server, "ada"));
        std::thread::sleep(Duration::from_millis(1000));
        assert!(login(server, "ada").ok);
    });
    assert!(log.contains("seconds=2"), "{log}");
}

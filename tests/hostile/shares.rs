//! `[tenant.NAME.limits]`: who is at one of them is told so, and the neighbour has
//! its own.

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use restante_tests::{Pop3, Server, Site, Status, binary, run_to_end, wait_for};

use crate::arena::{logged_in, login, temporary, told, under_attack};

/// The attacked tenant with that limit.
fn site(role: &str, settings: &str, limit: &str) -> Site {
    let mut site = crate::arena::site(role, settings);
    let lines = &mut site.tenants[0].lines;
    lines.push_str(&format!("[tenant.attacked.limits]\n{limit}\n"));
    site
}

/// CPU time is what ends a call, and not the wall clock, however busy the machine is.
fn patient(site: &mut Site) {
    let limits = &mut site.plugins[2].limits;
    *limits = limits.replace("\"4s\"", "\"60s\"");
}

fn too_much(status: &Status) {
    temporary(status);
    assert!(status.text.contains("too m"), "{status:?}");
}

/// One line of the log names tenant and key.
fn limited(log: &str, key: &str) {
    let lines = log
        .lines()
        .filter(|line| line.contains("used up its share"))
        .filter(|line| line.contains("attacked") && line.contains(&format!("limit=\"{key}\"")));
    let lines: Vec<&str> = lines.collect();
    assert!((1..10).contains(&lines.len()), "{lines:#?}\n{log}");
    assert!(!log.contains("tenant=\"neighbour\" limit"), "{log}");
}

#[test]
fn logins_per_minute() {
    let site = site("filter", "", "logins-per-minute = 5");
    let log = under_attack(&site, |server| {
        for _ in 0..5 {
            logged_in(server).quit();
        }
        for _ in 0..20 {
            let (mut client, status) = login(server);
            too_much(&status);
            client.accepted("CAPA");
            client.body();
            client.quit();
        }
    });
    limited(&log, "logins-per-minute");
}

#[test]
fn failed_logins_count_as_logins() {
    let site = site("filter", "", "logins-per-minute = 2");
    under_attack(&site, |server| {
        let wrong = Pop3::connect(server.pop3()).authenticate("ada", "y");
        assert!(wrong.text.starts_with("[AUTH]"), "{wrong:?}");
        logged_in(server).quit();
        too_much(&login(server).1);
    });
}

#[test]
fn instances_at_once() {
    let settings = "misdeed = \"sleep\"\nat = \"authenticate\"\n";
    let site = site("authenticator", settings, "instances = 1");
    let log = under_attack(&site, |server| {
        let asked = Instant::now();
        thread::scope(|scope| {
            for _ in 0..5 {
                scope.spawn(|| temporary(&login(server).1));
            }
        });
        // One after the other they would take five times four seconds.
        assert!(
            asked.elapsed() < Duration::from_secs(14),
            "{:?}",
            asked.elapsed()
        );
    });
    limited(&log, "instances");
}

#[test]
fn guest_memory() {
    let settings = "misdeed = \"memory\"\nat = \"listing\"\n";
    let site = site("store", settings, "guest-memory = \"8MiB\"");
    let log = under_attack(&site, |server| {
        // Not the plugin's fault: it is not rested.
        for _ in 0..8 {
            too_much(&login(server).1);
        }
    });
    limited(&log, "guest-memory");
    assert!(log.contains("guest-memory of the tenant reached"), "{log}");
    assert!(!log.contains("plugin rests"), "{log}");
}

#[test]
fn guest_cpu_per_minute() {
    let settings = "misdeed = \"loop\"\nat = \"authenticate\"\n";
    let mut site = site("authenticator", settings, "guest-cpu-per-minute = \"1s\"");
    patient(&mut site);
    let log = under_attack(&site, |server| {
        temporary(&login(server).1);
        let asked = Instant::now();
        for _ in 0..20 {
            too_much(&login(server).1);
        }
        assert!(
            asked.elapsed() < Duration::from_secs(1),
            "{:?}",
            asked.elapsed()
        );
    });
    limited(&log, "guest-cpu-per-minute");
}

/// A guest that has the host do the work has used what the host used for it.
#[test]
fn work_of_the_host_is_the_guests() {
    let settings = "misdeed = \"large-lines\"\nat = \"authenticate\"\n";
    let mut site = site("authenticator", settings, "guest-cpu-per-minute = \"1s\"");
    patient(&mut site);
    let log = under_attack(&site, |server| {
        let before = server.cpu_ticks();
        temporary(&login(server).1);
        let ticks = server.cpu_ticks() - before;
        // One second of it, and what the clients of the neighbour took meanwhile.
        assert!(
            ticks < 2000,
            "{ticks} ticks of processor time for a call of a second"
        );
        too_much(&login(server).1);
    });
    told(&log, &["authenticator.authenticate", "CPU time"]);
    limited(&log, "guest-cpu-per-minute");
}

/// What the ledger says that a tenant used is what the process used, within a factor: for
/// guests that compute, for guests that have the host compute, and, apart, for hashes. No
/// neighbour is at work meanwhile.
#[test]
fn charged_time_is_the_time_that_the_process_used() {
    for (misdeed, key) in [
        ("loop", "guest_cpu_nanoseconds"),
        ("large-lines", "guest_cpu_nanoseconds"),
        ("hashes", "password_hash_nanoseconds"),
    ] {
        let settings = format!("misdeed = \"{misdeed}\"\nat = \"authenticate\"\n");
        let mut site = crate::arena::site("authenticator", &settings);
        site.server = "admin = \"unix:admin.sock\"\n".to_owned();
        if misdeed != "hashes" {
            patient(&mut site);
        }
        let server = site.start();
        let before = used(&server);
        temporary(&login(&server).1);
        // A hash that nobody waits for goes on to its end, and is charged then.
        let charged = wait_for("what is charged", || {
            let all = ledger(&site);
            let others = ["guest_cpu_nanoseconds", "password_hash_nanoseconds"]
                .into_iter()
                .filter(|other| *other != key);
            for other in others {
                let time = nanoseconds(&all, other);
                assert!(
                    time < Duration::from_millis(500),
                    "{misdeed}: {other} {time:?}"
                );
            }
            Some(nanoseconds(&all, key)).filter(|time| *time > Duration::from_millis(500))
        });
        thread::sleep(Duration::from_secs(3));
        let charged = charged.max(nanoseconds(&ledger(&site), key));
        let used = used(&server) - before;
        let words = format!("{misdeed}: {charged:?} charged, {used:?} used");
        // The steps of the one clock, and what the server does for itself and for answers
        // about the ledger.
        let slack = Duration::from_millis(500);
        assert!(charged <= used + slack, "{words}");
        assert!(used <= charged * 2 + slack, "{words}");
        server.stop();
    }
}

/// Processor time of the server.
fn used(server: &Server) -> Duration {
    let ticks = u32::try_from(server.cpu_ticks()).unwrap();
    let per_second = u32::try_from(rustix::param::clock_ticks_per_second()).unwrap();
    Duration::from_secs(1) * ticks / per_second
}

/// What the ledger has of the attacked tenant.
fn ledger(site: &Site) -> serde_json::Value {
    let mut tenants = Command::new(binary());
    tenants
        .args(["tenants", "--json", "--admin", "unix:admin.sock"])
        .current_dir(site.path())
        .env_remove("RUST_LOG");
    let finished = run_to_end(&mut tenants);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    let all: serde_json::Value = serde_json::from_str(&finished.stdout).unwrap();
    let tenants = all["tenants"].as_array().unwrap().iter();
    let mut attacked = tenants.filter(|one| one["tenant"] == "attacked");
    attacked.next().unwrap().clone()
}

fn nanoseconds(ledger: &serde_json::Value, key: &str) -> Duration {
    Duration::from_nanos(ledger[key].as_u64().unwrap())
}

/// A message breaks off where its octets are more than the share has; without the
/// final dot.
#[test]
fn host_call_octets_per_minute() {
    let settings = "at = \"read\"\noctets = \"1000000\"\n";
    let limit = "host-call-octets-per-minute = \"200KiB\"";
    let site = site("store", settings, limit);
    let log = under_attack(&site, |server| {
        let mut client = logged_in(server);
        client.accepted("RETR 2");
        let rest = client.rest();
        assert!(
            (100_000..600_000).contains(&rest.len()),
            "{} octets",
            rest.len()
        );
        assert!(!rest.ends_with(b"\r\n.\r\n"), "looks whole");
        too_much(&login(server).1);
    });
    limited(&log, "host-call-octets-per-minute");
}

/// Limits of a new generation hold at once, and a tenant that is over its share
/// does not keep anybody from reloading.
#[test]
fn reload_with_other_limits() {
    let settings = "misdeed = \"loop\"\nat = \"authenticate\"\n";
    let mut site = site("authenticator", settings, "guest-cpu-per-minute = \"1s\"");
    patient(&mut site);
    under_attack(&site, |server| {
        temporary(&login(server).1);
        too_much(&login(server).1);
        let honest = site.config().replace("\"loop\"", "\"none\"");
        site.write_config(&honest);
        assert!(!server.reload().contains("nothing"));
        too_much(&login(server).1);
        site.write_config(&honest.replace("guest-cpu-per-minute = \"1s\"", ""));
        assert!(!server.reload().contains("nothing"));
        logged_in(server).quit();
    });
}

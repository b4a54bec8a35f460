//! Many clients of many tenants at once, over and over, while plugins misbehave,
//! components are replaced by broken files and back, and every second brings a
//! reload: no healthy tenant's client notices, and nothing grows.
//!
//! Beside that, disks.rs: mail and log on disks that come and go.
//!
//! A short run is part of the tests; `RESTANTE_SOAK_SECONDS=600 cargo xtask test
//! --test soak -- --nocapture` is the long one, and prints its figures.
#![allow(clippy::unwrap_used, reason = "tests")]

mod disks;

use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use restante_tests::{
    Certificate, Maildir, Plugin, Pop3, Server, Site, Tenant, binary, own_messages, run_to_end,
    test_guest,
};

/// Of the short run.
const SECONDS: u64 = 20;
const TENANTS: usize = 50;
const CLIENTS: usize = 200;
/// Clients of each tenant that misbehaves.
const HOSTILE_CLIENTS: usize = 4;
/// Messages of each maildrop, beside the one that each session takes away.
const KEPT: usize = 5;
/// Between two sessions of a client: they are to overlap, not to wait for each
/// other.
const PAUSE: Duration = Duration::from_millis(150);
const PASSWORD: &str = "a pass word";

/// What the run has seen so far.
#[derive(Default)]
struct Seen {
    sessions: AtomicU64,
    messages: AtomicU64,
    octets: AtomicU64,
    hostile: AtomicU64,
    failures: Mutex<Vec<String>>,
    milliseconds: Mutex<Vec<f32>>,
}

impl Seen {
    fn count(counter: &AtomicU64, more: u64) {
        counter.fetch_add(more, Ordering::Relaxed);
    }
}

/// A user's maildrop, and what is in it as it goes out.
struct Mailbox {
    user: String,
    maildir: Maildir,
    expected: Vec<Vec<u8>>,
}

/// How long a test runs: so many seconds, unless somebody asks for another time.
fn seconds(short: u64) -> u64 {
    let seconds = std::env::var("RESTANTE_SOAK_SECONDS");
    seconds.map_or(short, |seconds| seconds.parse().unwrap())
}

fn wire(stored: &[u8]) -> Vec<u8> {
    let mut octets = Vec::with_capacity(stored.len() + 64);
    for (at, &octet) in stored.iter().enumerate() {
        if octet == b'\n' && (at == 0 || stored[at - 1] != b'\r') {
            octets.push(b'\r');
        }
        octets.push(octet);
    }
    if !octets.is_empty() && !octets.ends_with(b"\r\n") {
        octets.extend_from_slice(b"\r\n");
    }
    octets
}

/// Messages that go out as they are, whatever the client says.
fn mail() -> Vec<Vec<u8>> {
    let messages = own_messages().into_iter().map(|(_, octets)| octets);
    messages
        .filter(|octets| octets.is_ascii() && octets.len() < 200_000)
        .collect()
}

fn mailbox(site: &Site, user: String, number: usize, mail: &[Vec<u8>]) -> Mailbox {
    let mut maildir = site.maildir(&user);
    let mut expected = Vec::new();
    for kept in 0..KEPT {
        let octets = &mail[(number * KEPT + kept) % mail.len()];
        maildir.deliver(octets);
        expected.push(wire(octets));
    }
    Mailbox {
        user,
        maildir,
        expected,
    }
}

/// One session: everything is read and compared, and what was delivered before
/// it is taken away.
fn session(
    mailbox: &mut Mailbox,
    round: u64,
    plain: std::net::SocketAddr,
    tls: std::net::SocketAddr,
    certificate: &Certificate,
    seen: &Seen,
) {
    let fresh = format!("Subject: {} {round}\n\nfresh\n.\n", mailbox.user).into_bytes();
    mailbox.maildir.deliver(&fresh);
    let mut client = match round % 2 {
        0 => Pop3::connect(plain),
        _ => Pop3::connect_tls(tls, certificate),
    };
    let status = client.authenticate(&mailbox.user, PASSWORD);
    assert!(status.ok, "login of {}: {status:?}", mailbox.user);
    let list = client.list();
    assert_eq!(list.len(), KEPT + 1, "LIST of {}", mailbox.user);
    let uidl = client.uidl();
    assert_eq!(uidl.len(), KEPT + 1);
    let wanted = mailbox.expected.iter().cloned().chain([wire(&fresh)]);
    for ((number, octets), wanted) in list.into_iter().zip(wanted) {
        assert_eq!(
            octets,
            wanted.len() as u64,
            "LIST {number} of {}",
            mailbox.user
        );
        let got = client.retr(number);
        assert!(
            got == wanted,
            "RETR {number} of {}: other octets",
            mailbox.user
        );
        Seen::count(&seen.messages, 1);
        Seen::count(&seen.octets, octets);
    }
    client.accepted(&format!("DELE {}", KEPT + 1));
    client.quit();
    assert_eq!(mailbox.maildir.files().len(), KEPT, "{}", mailbox.user);
}

fn healthy_client(
    mut mailbox: Mailbox,
    server: (std::net::SocketAddr, std::net::SocketAddr),
    certificate: &Certificate,
    seen: &Seen,
    end: &AtomicBool,
) {
    for round in 0.. {
        if end.load(Ordering::Relaxed) {
            return;
        }
        let begun = Instant::now();
        let work = AssertUnwindSafe(|| {
            session(&mut mailbox, round, server.0, server.1, certificate, seen);
        });
        if let Err(why) = catch_unwind(work) {
            let why = why.downcast_ref::<String>().cloned().unwrap_or_default();
            seen.failures.lock().unwrap().push(why);
            // What it left would be the next session's failure too.
            return;
        }
        Seen::count(&seen.sessions, 1);
        let took = begun.elapsed().as_secs_f32() * 1e3;
        seen.milliseconds.lock().unwrap().push(took);
        thread::sleep(PAUSE);
    }
}

/// Asks a tenant that misbehaves; whatever it answers is fine.
fn hostile_client(user: &str, server: std::net::SocketAddr, seen: &Seen, end: &AtomicBool) {
    while !end.load(Ordering::Relaxed) {
        let mut client = Pop3::connect(server);
        client.send(&format!("USER {user}\r\nPASS x\r\nRETR 2\r\nQUIT"));
        client.rest();
        Seen::count(&seen.hostile, 1);
        thread::sleep(PAUSE);
    }
}

struct Stage {
    site: Site,
    /// The component that is replaced by broken files and back.
    replaced: PathBuf,
    mailboxes: Vec<Mailbox>,
}

fn stage() -> Stage {
    let mut site = Site::new();
    // What changes on disk waits for the reload: the harness turns watching off.
    site.server = "admin = \"unix:admin.sock\"\n".to_owned();
    site.limits =
        "connections = 5000\nconnections-per-address = 5000\nconnections-per-network = 5000\n\
                   max-unauthenticated = 5000\ninstances = 300\n"
            .to_owned();
    let replaced = site.path().join("replaced.wasm");
    fs::copy(test_guest("hostile"), &replaced).unwrap();
    site.plugins
        .push(Plugin::new("replaced", replaced.display().to_string()));
    site.tenants.clear();
    for tenant in 0..TENANTS {
        let filters = match tenant % 5 {
            0 => "filters = [\"replaced\"]\n",
            _ => "",
        };
        site.tenants.push(Tenant {
            name: format!("tenant{tenant}"),
            lines: format!(
                "domains = [\"t{tenant}.example\"]\nauthenticators = [\"users\"]\nstore = \"mail\"\n{filters}"
            ),
        });
    }
    for (name, settings, lines) in [
        (
            "loops",
            "misdeed = \"loop\"\nat = \"authenticate\"\n",
            "authenticators = [\"loops\"]\nstore = \"mail\"\n",
        ),
        (
            "eats",
            "misdeed = \"memory\"\nat = \"listing\"\n",
            "authenticators = [\"eats\"]\nstore = \"eats\"\n",
        ),
    ] {
        let guest = test_guest("hostile").display().to_string();
        let mut plugin = Plugin::new(name, guest);
        plugin.settings = settings.to_owned();
        plugin.limits = "cpu-time = \"100ms\"\n".to_owned();
        site.plugins.push(plugin);
        site.tenants.push(Tenant {
            name: name.to_owned(),
            lines: format!("domains = [\"{name}.example\"]\n{lines}"),
        });
    }
    let mail = mail();
    let mailboxes = (0..CLIENTS)
        .map(|number| {
            let user = format!("user{number}@t{}.example", number % TENANTS);
            site.user(&user, PASSWORD);
            mailbox(&site, user, number, &mail)
        })
        .collect();
    Stage {
        site,
        replaced,
        mailboxes,
    }
}

/// Reloads by `restante reload`. Whether the next generation was taken.
fn reload(site: &Path) -> bool {
    let done = run_to_end(
        Command::new(binary())
            .args(["reload", "--admin"])
            .arg(format!("unix:{}", site.join("admin.sock").display())),
    );
    done.code == Some(0)
}

/// A reload a second. Every fifth finds a component that is broken, each time in
/// another way; every other time a plugin's settings have changed.
fn operator(
    folder: &Path,
    original: &str,
    replaced: &Path,
    end: Instant,
) -> BTreeMap<&'static str, u32> {
    let whole = fs::read(test_guest("hostile")).unwrap();
    let mut counts = BTreeMap::new();
    let mut config = original.to_owned();
    let mut round = 0u32;
    while Instant::now() < end {
        let begun = Instant::now();
        let breaks = round % 5 == 4;
        if breaks {
            let broken = match round % 3 {
                0 => whole[..whole.len() / 2].to_vec(),
                1 => Vec::new(),
                _ => b"no component".to_vec(),
            };
            fs::write(replaced, broken).unwrap();
        } else if round.is_multiple_of(5) {
            // By another file in its place, as one installs it.
            let next = replaced.with_extension("next");
            fs::write(&next, &whole).unwrap();
            fs::rename(next, replaced).unwrap();
        }
        if round % 2 == 1 {
            config = original.replace(
                "[plugin.replaced]",
                &format!("[plugin.replaced.settings]\nround = \"{round}\"\n[plugin.replaced]"),
            );
        }
        fs::write(folder.join("restante.toml"), &config).unwrap();
        let taken = reload(folder);
        assert_eq!(taken, !breaks, "reload {round}");
        *counts
            .entry(if taken { "taken" } else { "refused" })
            .or_default() += 1;
        round += 1;
        thread::sleep(Duration::from_secs(1).saturating_sub(begun.elapsed()));
    }
    fs::write(replaced, &whole).unwrap();
    counts
}

fn middle(values: &[u64]) -> u64 {
    let mut values = values.to_vec();
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or_default()
}

fn report(seen: &Seen, reloads: &BTreeMap<&str, u32>, resident: &[u64], server: &Server) {
    let mut took = seen.milliseconds.lock().unwrap().clone();
    took.sort_by(f32::total_cmp);
    let at = |part: usize| {
        took.get(took.len() * part / 100)
            .copied()
            .unwrap_or_default()
    };
    let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let eighth = |at: usize| &resident[resident.len() * at / 8..resident.len() * (at + 1) / 8];
    let eighths: Vec<u64> = (0..8).map(|at| middle(eighth(at))).collect();
    eprintln!(
        "{} sessions, {} messages, {} octets compared; {} sessions of tenants that misbehave; reloads {reloads:?}\n\
         a session took {:.0} ms (half), {:.0} ms (99 of 100), {:.0} ms (at most)\n\
         resident memory over each eighth of the time, KiB: {eighths:?}; {} descriptors, {} threads",
        get(&seen.sessions),
        get(&seen.messages),
        get(&seen.octets),
        get(&seen.hostile),
        at(50),
        at(99),
        took.last().copied().unwrap_or_default(),
        server.descriptors(),
        server.threads(),
    );
}

#[test]
fn nothing_fails_and_nothing_grows() {
    let seconds = seconds(SECONDS);
    let Stage {
        site,
        replaced,
        mailboxes,
    } = stage();
    let server = site.start();
    let addresses = (server.pop3(), server.address("pop3s"));
    let descriptors = server.descriptors();
    let seen = Arc::new(Seen::default());
    let end = AtomicBool::new(false);
    let until = Instant::now() + Duration::from_secs(seconds);
    let mut resident = Vec::new();
    let reloads = thread::scope(|scope| {
        for mailbox in mailboxes {
            let (seen, end, certificate) = (&seen, &end, &site.certificate);
            scope.spawn(move || healthy_client(mailbox, addresses, certificate, seen, end));
        }
        for tenant in ["loops", "eats"] {
            for number in 0..HOSTILE_CLIENTS {
                let (seen, end) = (&seen, &end);
                let user = format!("user{number}@{tenant}.example");
                scope.spawn(move || hostile_client(&user, addresses.0, seen, end));
            }
        }
        let operator = {
            let (folder, config, replaced) = (site.path().to_owned(), site.config(), &replaced);
            scope.spawn(move || operator(&folder, &config, replaced, until))
        };
        while Instant::now() < until {
            resident.push(server.resident());
            thread::sleep(Duration::from_millis(250));
        }
        let reloads = operator.join();
        end.store(true, Ordering::Relaxed);
        reloads.unwrap()
    });
    report(&seen, &reloads, &resident, &server);
    let failures = seen.failures.lock().unwrap();
    assert!(
        failures.is_empty(),
        "{} failed: {:#?}",
        failures.len(),
        &failures[..failures.len().min(5)]
    );
    assert!(seen.sessions.load(Ordering::Relaxed) >= CLIENTS as u64);
    assert!(seen.hostile.load(Ordering::Relaxed) > 0);
    assert!(
        reloads["taken"] > 0 && reloads["refused"] > 0,
        "{reloads:?}"
    );
    // Flat: what came after the first quarter is noise and caches that have bounds.
    let early = middle(&resident[resident.len() / 4..resident.len() / 2]);
    let late = middle(&resident[resident.len() * 3 / 4..]);
    assert!(
        late < early + early / 5 + 16 * 1024,
        "{early} KiB, then {late} KiB"
    );
    assert!(server.descriptors() < descriptors + 64, "descriptors");
    server.stop();
}

//! SIGHUP: policy changes for new sessions, running ones keep theirs, and a
//! mistake changes nothing.
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use restante_tests::{Plugin, Pop3, Server, Site, Tenant, test_guest, wait_for};

const SPAM: &[u8] = b"X-Spam-Flag: YES\nSubject: spam\n\nbody\n";
const HAM: &[u8] = b"Subject: ham\n\nbody\n";

fn site() -> Site {
    let mut site = Site::new();
    site.user("ada", "x");
    let mut maildir = site.maildir("ada");
    maildir.deliver(SPAM);
    maildir.deliver(HAM);
    site
}

#[test]
fn new_sessions_get_the_new_policy_and_running_ones_keep_theirs() {
    let mut site = site();
    site.user("bob", "x");
    site.maildir("bob").deliver(SPAM);
    let server = site.start();
    let mut before = Pop3::login(server.pop3(), "ada", "x");
    assert_eq!(before.list().len(), 2);
    let mut waiting = Pop3::connect(server.pop3());

    site.rules("hide-header = \"X-Spam-Flag: YES\"\n");
    site.write_config(&site.config());
    let line = server.reload();
    assert!(line.contains("plugins=3"), "{line}");

    // Connected before, and so of the old generation, logged in or not.
    assert_eq!(before.retr(1).len(), SPAM.len() + 4);
    assert!(waiting.authenticate("bob", "x").ok);
    assert_eq!(waiting.list().len(), 1);
    waiting.quit();
    before.accepted("DELE 1");
    before.accepted("RSET");
    before.quit();

    let mut after = Pop3::login(server.pop3(), "ada", "x");
    let listed = after.list();
    assert_eq!(listed.len(), 1);
    assert_eq!(after.retr(1), b"Subject: ham\r\n\r\nbody\r\n");
    after.quit();
    server.stop();
}

#[test]
fn mistake_is_told_whole_and_changes_nothing() {
    let site = site();
    let server = site.start();
    let mut running = Pop3::login(server.pop3(), "ada", "x");
    let good = site.config();
    let bad = good
        .replace("builtin:maildir", "builtin:no-such")
        .replace("hostname", "hostnam");
    site.write_config(&bad);
    let line = server.reload();
    assert!(line.contains("nothing reloaded"), "{line}");
    server.logged(&["unknown key `hostnam`", "hostname"]);
    // What only the compiler can tell comes once the text is in order.
    site.write_config(&bad.replace("hostnam ", "hostname "));
    assert!(server.reload().contains("nothing reloaded"));
    server.logged(&["no component \"no-such\""]);
    fs::remove_file(site.path().join("restante.toml")).unwrap();
    assert!(server.reload().contains("nothing reloaded"));

    assert_eq!(running.list().len(), 2);
    running.quit();
    Pop3::login(server.pop3(), "ada", "x").quit();
    site.write_config(&good);
    let line = server.reload();
    assert!(!line.contains("nothing"), "{line}");
    Pop3::login(server.pop3(), "ada", "x").quit();
    server.stop();
}

/// The octets that the server has read from files and sockets so far.
fn octets_read(server: &Server) -> u64 {
    let io = fs::read_to_string(server.proc("io")).unwrap();
    let line = io.lines().find_map(|line| line.strip_prefix("rchar: "));
    line.unwrap().parse().unwrap()
}

/// Components that no reload has touched are neither compiled nor loaded nor read
/// again; one whose file was touched and is the same is read and no more.
#[test]
fn unchanged_components_are_not_read_again() {
    const OCTETS: u64 = 8 << 20;
    let mut site = site();
    site.state = site.path().join("state");
    let component = site.path().join("users.wasm");
    let mut octets = fs::read(test_guest("one-user")).unwrap();
    // A custom section, as large as a name can make it seem.
    octets.extend_from_slice(&[0, 0x80, 0x80, 0x80, 0x04, 1, b'n']);
    octets.resize(octets.len() + OCTETS as usize - 2, 0);
    fs::write(&component, octets).unwrap();
    let mut users = Plugin::new("others", component.display().to_string());
    users.settings = "user = \"eve\"\nhash = \"{PLAIN}y\"\n".to_owned();
    site.plugins.push(users);
    site.tenants[0].lines =
        "authenticators = [\"users\", \"others\"]\nstore = \"mail\"\n".to_owned();
    // Younger files may have changed within one step of the clock.
    std::thread::sleep(Duration::from_secs(4));
    let server = site.start();
    let at_start = octets_read(&server);
    assert!(at_start > OCTETS, "{at_start}");
    for round in 0..5 {
        site.tenants[0].lines.push_str(&format!("# {round}\n"));
        site.write_config(&site.config());
        let before = octets_read(&server);
        assert!(!server.reload().contains("nothing"));
        let read = octets_read(&server) - before;
        assert!(read < OCTETS / 2, "{read} octets read by reload {round}");
        Pop3::login(server.pop3(), "eve", "y").quit();
    }
    let compiled = |log: &str| log.matches("component compiled").count();
    let before = compiled(&server.log());
    let same = fs::read(&component).unwrap();
    fs::write(&component, same).unwrap();
    let (read, resident) = (octets_read(&server), server.resident());
    assert!(!server.reload().contains("nothing"));
    assert!(octets_read(&server) - read > OCTETS);
    assert!(server.resident() < resident + 3 * (OCTETS >> 10));
    assert_eq!(compiled(&server.log()), before);
    Pop3::login(server.pop3(), "eve", "y").quit();
    server.stop();
}

/// What a plugin did is not forgotten by a reload of something else, and is by one
/// that changes the plugin.
#[test]
fn a_plugin_that_rests_goes_on_to_rest_after_a_reload_of_something_else() {
    let mut site = site();
    site.plugins.push(Plugin::new(
        "trap",
        test_guest("trapping").display().to_string(),
    ));
    site.tenants[0].lines = "authenticators = [\"trap\"]\nstore = \"mail\"\n".to_owned();
    let server = site.start();
    let refused = || {
        let mut client = Pop3::connect(server.pop3());
        let status = client.authenticate("panic", "x");
        assert!(status.text.starts_with("[SYS/TEMP] "), "{status:?}");
    };
    let failures = || server.log().matches("plugin call failed").count();
    // Twice rested: the second pause is long enough for what is to be seen in it.
    for failed in 1..=5 {
        refused();
        assert_eq!(failures(), failed);
    }
    wait_for("a trial that fails", || {
        refused();
        (failures() == 6).then_some(())
    });
    wait_for("a second trial that fails", || {
        refused();
        (failures() == 7).then_some(())
    });
    let rests = server.log().matches("one account rests").count();
    assert_eq!(rests, 3);
    site.server.push_str("implementation = false\n");
    site.write_config(&site.config());
    assert!(!server.reload().contains("nothing"));
    refused();
    assert_eq!(failures(), 7, "asked although it rests");
    // Another plugin by the same name has done nothing yet.
    site.plugins[2].limits = "memory = \"32MiB\"\n".to_owned();
    site.write_config(&site.config());
    assert!(!server.reload().contains("nothing"));
    refused();
    assert_eq!(failures(), 8);
    server.stop();
}

/// Sessions of an older generation end when the drain time is over: with words, and
/// without having removed anything.
#[test]
fn sessions_of_a_replaced_configuration_are_drained() {
    let mut site = site();
    site.user("bob", "x");
    site.maildir("bob").deliver(HAM);
    let server = site.start();
    let mut idle = Pop3::login(server.pop3(), "ada", "x");
    idle.accepted("DELE 1");
    let mut stranger = Pop3::connect(server.pop3());
    let first = server.reload();
    assert!(!first.contains("nothing"), "{first}");
    // Without a drain time nothing happens to them.
    std::thread::sleep(Duration::from_millis(1500));
    idle.accepted("NOOP");

    let mut busy = Pop3::login(server.pop3(), "bob", "x");
    site.limits = "drain-time = \"2s\"\n".to_owned();
    site.write_config(&site.config());
    assert!(!server.reload().contains("nothing"));
    let mut after = Pop3::connect(server.pop3());
    // Whoever is at work hears it as the answer to a command.
    let answer = wait_for("the end of the drain time", || {
        std::thread::sleep(Duration::from_millis(20));
        let status = busy.command("NOOP");
        (!status.ok).then_some(status)
    });
    assert!(answer.text.starts_with("[SYS/TEMP] "), "{answer:?}");
    busy.closed();
    // Whoever is not, finds it before the answer to the next one, of the very first
    // generation too.
    for client in [&mut idle, &mut stranger] {
        let status = client.status();
        assert!(
            !status.ok && status.text.starts_with("[SYS/TEMP] "),
            "{status:?}"
        );
        client.closed();
    }
    server.logged(&["logout", "configuration was replaced"]);
    after.accepted("USER ada");
    after.accepted("PASS x");
    assert_eq!(after.list().len(), 2, "nothing is removed");
    after.quit();
    server.stop();
}

/// A component's file replaced, a tenant added, and one taken away, a hundred
/// times while somebody collects: nobody notices, and nothing is left behind.
#[test]
fn hundred_reloads_leave_nothing_behind() {
    let mut site = site();
    site.state = site.path().join("state");
    let server = site.start();
    let plain = site.config();
    let component = site.path().join("users.wasm");
    let mut users = Plugin::new("others", component.display().to_string());
    users.settings = "user = \"eve@second.example\"\nhash = \"{PLAIN}y\"\n".to_owned();
    site.plugins.push(users);
    site.tenants[0].lines.push_str("default = true\n");
    site.tenants.push(Tenant {
        name: "second".to_owned(),
        lines: "domains = [\"second.example\"]\nauthenticators = [\"others\"]\nstore = \"mail\"\n"
            .to_owned(),
    });
    let with_second = site.config();
    let mut ada = Pop3::login(server.pop3(), "ada", "x");
    let mut resident = 0;
    for round in 0..50 {
        // Octets behind the last section of a component are a custom section:
        // another digest, the same code.
        let mut octets = fs::read(test_guest("one-user")).unwrap();
        octets.extend_from_slice(&[0, 3, 1, b'n', round]);
        fs::write(&component, octets).unwrap();
        for (config, second) in [(&with_second, true), (&plain, false)] {
            site.write_config(config);
            let line = server.reload();
            assert!(!line.contains("nothing"), "{line}");
            assert_eq!(ada.stat().0, 2);
            if second {
                Pop3::login(server.pop3(), "eve@second.example", "y").quit();
            }
        }
        if round == 10 {
            resident = server.resident();
        }
    }
    let grown = server.resident().saturating_sub(resident);
    assert!(grown < 16 * 1024, "{grown} KiB more after 40 rounds");
    ada.quit();
    server.stop();
}

/// How often the log says that.
fn said(server: &Server, words: &str) -> usize {
    server.log().matches(words).count()
}

fn reloads(server: &Server, count: usize) {
    wait_for(&format!("{count} reloads"), || {
        (said(server, " reloaded ") >= count).then_some(())
    });
}

/// Long enough for a change to be seen, settled and carried out, on a slow machine.
const WATCHED: Duration = Duration::from_secs(5);

#[test]
fn changes_on_disk_are_reloads() {
    let mut site = site();
    site.watch = true;
    let component = site.path().join("users.wasm");
    fs::copy(test_guest("one-user"), &component).unwrap();
    let mut users = Plugin::new("others", component.display().to_string());
    users.settings = "user = \"eve\"\nhash = \"{PLAIN}y\"\n".to_owned();
    site.plugins.push(users);
    site.tenants[0].lines =
        "default = true\nauthenticators = [\"users\", \"others\"]\nstore = \"mail\"\n\
         shares-maildrops-with-other-tenants = true\n"
            .to_owned();
    site.first = "include = \"tenants.d/*.toml\"\n".to_owned();
    fs::create_dir(site.path().join("tenants.d")).unwrap();
    let server = site.start();

    // The file itself, renamed over the old one.
    let text = site.config().replace("{PLAIN}y", "{PLAIN}z");
    fs::write(site.path().join("next"), &text).unwrap();
    fs::rename(site.path().join("next"), site.path().join("restante.toml")).unwrap();
    reloads(&server, 1);
    Pop3::login(server.pop3(), "eve", "z").quit();
    // A file that is new in a folder that is included, with a component that is not.
    let gone = site.path().join("gone.wasm");
    let tenant = format!(
        "[plugin.gone]\ncomponent = {gone:?}\n[plugin.gone.settings]\nuser = \"bob@b.example\"\nhash = \"{{PLAIN}}b\"\n\
         [tenant.b]\ndomains = [\"b.example\"]\nauthenticators = [\"gone\"]\nstore = \"mail\"\n\
         shares-maildrops-with-other-tenants = true\n"
    );
    fs::write(site.path().join("tenants.d/b.toml"), tenant).unwrap();
    server.logged(&["nothing reloaded"]);
    assert_eq!(said(&server, "gone.wasm` does not exist"), 1);
    fs::copy(test_guest("one-user"), &gone).unwrap();
    reloads(&server, 2);
    site.maildir("bob@b.example");
    Pop3::login(server.pop3(), "bob@b.example", "b").quit();
    // A component that is another one.
    let mut octets = fs::read(&component).unwrap();
    octets.extend_from_slice(&[0, 3, 1, b'n', 1]);
    fs::write(&component, octets).unwrap();
    reloads(&server, 3);
    // A certificate, behind a link.
    let site_certificate = &site.certificate.certificate;
    let moved = site.path().join("moved.pem");
    fs::rename(site_certificate, &moved).unwrap();
    std::os::unix::fs::symlink(&moved, site_certificate).unwrap();
    reloads(&server, 4);
    assert_eq!(said(&server, "nothing reloaded"), 1);

    // A mistake is told once, however long it stands.
    site.write_config(&text.replace("hostname", "hostnam"));
    wait_for("the mistake to be told", || {
        (said(&server, "nothing reloaded") == 2).then_some(())
    });
    std::thread::sleep(WATCHED);
    assert_eq!(said(&server, "nothing reloaded"), 2);
    // What is still being written makes no noise.
    let half = site.path().join("restante.toml");
    let (begin, end) = text.split_at(text.len() / 2);
    fs::write(&half, begin).unwrap();
    let mut file = fs::OpenOptions::new().append(true).open(&half).unwrap();
    let length = end.len() / 20;
    for piece in end.as_bytes().chunks(length.max(1)) {
        std::thread::sleep(Duration::from_millis(150));
        std::io::Write::write_all(&mut file, piece).unwrap();
    }
    reloads(&server, 5);
    assert_eq!(said(&server, "nothing reloaded"), 2);
    // And one that the operator asked for is not done again.
    site.write_config(&text.replace("watch = true", "watch = true\nimplementation = false"));
    assert!(!server.reload().contains("nothing"));
    std::thread::sleep(WATCHED);
    assert_eq!(said(&server, " reloaded "), 6);

    site.write_config(&text.replace("watch = true", "watch = false"));
    reloads(&server, 7);
    site.write_config(&text);
    std::thread::sleep(WATCHED);
    assert_eq!(said(&server, " reloaded "), 7);
    server.stop();
}

/// Octets of an answer of the admin socket.
fn post_reload(site: &Site) -> String {
    let mut stream = UnixStream::connect(site.path().join("admin.sock")).unwrap();
    stream
        .set_read_timeout(Some(restante_tests::PATIENCE))
        .unwrap();
    stream
        .write_all(b"POST /reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// A thousand reloads, each of which changes a plugin, while clients collect their
/// mail: no session fails, and nothing is left behind.
#[test]
fn thousand_reloads_under_load() {
    const RELOADS: usize = 1000;
    const CLIENTS: usize = 4;
    let mut site = Site::new();
    let users: Vec<String> = (0..CLIENTS).map(|number| format!("user{number}")).collect();
    for user in &users {
        site.user(user, "x");
        site.maildir(user).deliver(HAM);
    }
    site.server =
        "admin = \"unix:admin.sock\"\n[server.log]\nfilter = \"warn,restante_server::listener=info\"\n"
            .to_owned();
    site.rules("hide-header = \"X-A: 1\"\n");
    let configs = ["X-A: 1", "X-B: 1"].map(|field| site.config().replace("X-A: 1", field));
    let server = site.start();
    let (address, done) = (server.pop3(), AtomicBool::new(false));
    let sessions = AtomicUsize::new(0);
    let mut after_some = (0, 0);
    let count_files = || fs::read_dir(server.proc("fd")).unwrap().count();
    std::thread::scope(|scope| {
        for user in &users {
            let (done, sessions) = (&done, &sessions);
            scope.spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    let mut client = Pop3::login(address, user, "x");
                    assert_eq!(client.retr(1), b"Subject: ham\r\n\r\nbody\r\n");
                    client.quit();
                    sessions.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        // A panic here must not leave the clients at work.
        let _done = Finally(&done);
        for round in 1..=RELOADS {
            site.write_config(&configs[round % 2]);
            let answer = post_reload(&site);
            assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
            assert!(
                answer.contains(&format!("\"generation\":{}", round + 1)),
                "{answer}"
            );
            if round == RELOADS / 10 {
                after_some = (server.resident(), count_files());
            }
        }
    });
    let sessions = sessions.load(Ordering::Relaxed);
    assert!(sessions > RELOADS, "{sessions} sessions");
    let generations = || {
        let mut stream = UnixStream::connect(site.path().join("admin.sock")).unwrap();
        stream
            .write_all(b"GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.contains("\"generations\":1,").then_some(())
    };
    wait_for("the older generations to be gone", generations);
    let (memory, files) = after_some;
    let grown = server.resident().saturating_sub(memory);
    assert!(
        grown < 16 * 1024,
        "{grown} KiB more after {RELOADS} reloads"
    );
    assert!(
        count_files() <= files + CLIENTS,
        "{} files, {files} before",
        count_files()
    );
    let log = server.stop();
    assert!(!log.contains("WARN") && !log.contains("ERROR"), "{log}");
}

/// Sets a flag when it goes.
struct Finally<'a>(&'a AtomicBool);

impl Drop for Finally<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

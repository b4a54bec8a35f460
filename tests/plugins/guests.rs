//! Plugins that fail, lie and reach for more than they were granted: their
//! client is told so in POP3's words, the operator in one line of the log, and
//! nobody else notices.
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::symlink;

use restante_tests::{Plugin, Pop3, Server, Site, Status, test_guest};

/// Small enough to be reached soon, large enough for a slow machine.
const LIMITS: &str = "memory = \"16MiB\"\ncpu-time = \"1s\"\nwall-time = \"4s\"\nlog-lines = 100\n";

/// The name of the plugin under test in the configuration.
const NAME: &str = "suspect";

/// What the guest "lying" serves honestly.
const HONEST: &[u8] = b"Subject: honest\r\n\r\nbody\r\n";

fn suspect(guest: &str) -> Plugin {
    let mut plugin = Plugin::new(NAME, test_guest(guest).display().to_string());
    plugin.limits = LIMITS.to_owned();
    plugin
}

/// The guest "trapping" decides who logs in; mail comes from the Maildirs.
fn trapping() -> Site {
    let mut site = Site::new();
    site.plugins[0] = suspect("trapping");
    site.tenants[0].lines = format!("authenticators = [{NAME:?}]\nstore = \"mail\"\n");
    site.maildir("ada").deliver(b"Subject: hello\n\nbody\n");
    site
}

/// The guest "lying" keeps the mail; everybody in `users` logs in with "x".
fn lying(users: &[&str]) -> Site {
    let mut site = Site::new();
    for user in users {
        site.user(user, "x");
        site.maildir(user);
    }
    let mut plugin = suspect("lying");
    plugin.grants = site.plugins[1].grants.clone();
    site.plugins[1] = plugin;
    site.tenants[0].lines = format!("authenticators = [\"users\"]\nstore = {NAME:?}\n");
    site
}

fn login(server: &Server, user: &str) -> (Pop3, Status) {
    let mut client = Pop3::connect(server.pop3());
    let status = client.authenticate(user, "x");
    (client, status)
}

fn is_temporary(status: &Status) -> bool {
    !status.ok && status.text.starts_with("[SYS/TEMP] ")
}

/// The log lines on failed calls of the plugin.
fn failures(server: &Server) -> Vec<String> {
    server
        .log()
        .lines()
        .filter(|line| line.contains("plugin call failed") && line.contains(NAME))
        .map(str::to_owned)
        .collect()
}

#[test]
fn failing_authenticator_fails_its_client_only() {
    let site = trapping();
    let server = site.start();
    let (mut beside, status) = login(&server, "ada");
    assert!(status.ok, "{status:?}");
    for (failure, (user, words)) in [
        (
            "panic",
            &["words of the panic", "panic_in_a_named_function"][..],
        ),
        ("loop", &["CPU time", "loop_for_ever"]),
        ("memory", &["memory", "eat_memory"]),
        // A Rust guest keeps its stack at the bottom of its memory.
        ("stack", &["out of bounds", "recurse"]),
        ("sleep", &["wall-time"]),
        ("exit", &["exit"]),
    ]
    .into_iter()
    .enumerate()
    {
        let (mut client, status) = login(&server, user);
        assert!(is_temporary(&status), "{user}: {status:?}");
        let lines = failures(&server);
        assert_eq!(lines.len(), failure + 1, "one line for {user}: {lines:#?}");
        for word in ["authenticate", "ERROR"].iter().chain(words) {
            assert!(
                lines[failure].contains(word),
                "{word:?} in {}",
                lines[failure]
            );
        }
        // Nothing of the guest's goes to the client.
        assert!(!status.text.contains("panic"), "{status:?}");
        // The session beside it goes on, this one may try again.
        assert_eq!(beside.retr(1), b"Subject: hello\r\n\r\nbody\r\n");
        assert!(client.authenticate("bob", "x").ok, "after {user}");
        client.quit();
    }
    beside.quit();
    server.stop();
}

#[test]
fn busy_guests_leave_time_for_others() {
    let site = trapping();
    let server = site.start();
    let (mut beside, status) = login(&server, "ada");
    assert!(status.ok, "{status:?}");
    std::thread::scope(|scope| {
        // More of them than the server has threads.
        let busy: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| login(&server, "loop").1))
            .collect();
        for _ in 0..100 {
            assert_eq!(beside.retr(1), b"Subject: hello\r\n\r\nbody\r\n");
        }
        for client in busy {
            let status = client.join().unwrap();
            assert!(is_temporary(&status), "{status:?}");
        }
    });
    assert_eq!(failures(&server).len(), 8);
    beside.quit();
    server.stop();
}

#[test]
fn guest_reaches_nothing_that_was_not_granted() {
    let mut site = trapping();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    site.plugins[0].settings = format!("port = {port}\n");
    let server = site.start();
    let (_, status) = login(&server, "reach");
    assert_eq!(status.text, "[SYS/TEMP] nothing is within reach");
    server.stop();
}

#[test]
fn store_that_may_create_maildrops_reaches_nothing_else() {
    let mut site = trapping();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    site.plugins[0].settings = format!("port = {port}\n");
    site.plugins[0].grants = format!("{}create-maildrop = true\n", site.plugins[1].grants);
    let server = site.start();
    let (_, status) = login(&server, "reach");
    assert_eq!(status.text, "[SYS/TEMP] nothing is within reach");
    server.stop();
}

#[test]
fn guest_neither_floods_nor_forges_the_log() {
    let site = trapping();
    let server = site.start();
    let (_, status) = login(&server, "forge");
    assert!(status.ok, "{status:?}");
    let (_, status) = login(&server, "chatter");
    assert!(status.ok, "{status:?}");
    let log = server.stop();
    assert!(!log.contains('\x1b'), "a guest speaks to the terminal");
    assert!(
        !log.lines().any(|line| line.starts_with("2026-01-01T")),
        "a guest writes log lines of its own:\n{log}"
    );
    assert!(log.contains("forged line"), "what it said is lost");
    let lines = log.lines().filter(|line| line.contains("chatter ")).count();
    assert!((1..=110).contains(&lines), "{lines} lines of chatter");
    let longest = log.lines().map(str::len).max().unwrap();
    assert!(longest < 16 * 1024, "a log line of {longest} octets");
}

#[test]
fn lie_at_login_is_no_login() {
    let users = [
        "trap-open",
        "trap-listing",
        "id-empty",
        "id-with-space",
        "id-with-line-end",
        "id-not-ascii",
        "id-twice",
        "id-too-long",
        "octets-overflow",
    ];
    let mut all = users.to_vec();
    all.push("honest");
    let site = lying(&all);
    let server = site.start();
    for user in users {
        let (mut client, status) = login(&server, user);
        assert!(is_temporary(&status), "{user}: {status:?}");
        // The answers are in step, and the lock is free again.
        let again = client.authenticate(user, "x");
        assert!(is_temporary(&again), "{user}: {again:?}");
        let status = client.authenticate("honest", "x");
        assert!(status.ok, "after {user}: {status:?}");
        assert_eq!(client.retr(2), HONEST);
        client.quit();
    }
    let log = server.stop();
    assert!(
        log.contains("in open") && log.contains("in listing"),
        "{log}"
    );
}

#[test]
fn text_of_a_guest_cannot_pass_for_an_answer() {
    let site = lying(&["code-injection"]);
    let server = site.start();
    let (mut client, status) = login(&server, "code-injection");
    assert!(is_temporary(&status), "{status:?}");
    assert!(!status.text.contains('\r'), "{status:?}");
    // One answer to one command: the next answer is the next command's.
    assert!(client.lines("CAPA").contains(&"UIDL".to_owned()));
    client.quit();
    server.stop();
}

#[test]
fn content_that_fails_is_one_refused_retr() {
    let users = [
        "fail-content",
        "file-above",
        "file-absolute",
        "file-link",
        "file-directory",
        "file-beyond",
    ];
    let site = lying(&users);
    fs::write(site.path().join("mail/secret"), "of somebody else").unwrap();
    symlink("../secret", site.maildir_path("file-link").join("link")).unwrap();
    fs::write(site.maildir_path("file-beyond").join("own"), HONEST).unwrap();
    let server = site.start();
    for user in users {
        let (mut client, status) = login(&server, user);
        assert!(status.ok, "{user}: {status:?}");
        for command in ["RETR 2", "TOP 2 0"] {
            let status = client.command(command);
            assert!(is_temporary(&status), "{user}, {command}: {status:?}");
        }
        assert_eq!(client.retr(1), HONEST, "{user}");
        assert_eq!(client.retr(3), HONEST, "{user}");
        client.quit();
    }
    server.stop();
}

#[test]
fn trap_in_content_is_a_refused_retr() {
    let site = lying(&["trap-content"]);
    let server = site.start();
    let (mut client, status) = login(&server, "trap-content");
    assert!(status.ok, "{status:?}");
    let status = client.command("RETR 2");
    assert!(is_temporary(&status), "{status:?}");
    let lines = failures(&server);
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert!(lines[0].contains("content"), "{lines:#?}");
    // The session is in step and knows its maildrop.
    assert_eq!(client.stat().0, 3);
    assert_eq!(client.uidl().len(), 3);
    client.quit();
    server.stop();
}

#[test]
fn message_that_breaks_off_never_looks_whole() {
    let users = ["reader-traps", "reader-fails", "reader-sleeps"];
    let site = lying(&users);
    let server = site.start();
    for user in users {
        let (mut client, status) = login(&server, user);
        assert!(status.ok, "{user}: {status:?}");
        client.accepted("DELE 1");
        client.accepted("RETR 2");
        client.send("QUIT");
        let rest = client.rest();
        assert!(rest.len() > 100_000, "{user}: {} octets", rest.len());
        assert!(!contains(&rest, b"\r\n.\r\n"), "{user}: looks whole");
        assert!(!contains(&rest, b"\r\n+OK"), "{user}: went on");
        assert!(!contains(&rest, b"\r\n-ERR"), "{user}: went on");
    }
    let log = server.stop();
    assert!(
        log.contains("in read") && log.contains("wall-time"),
        "{log}"
    );
}

#[test]
fn message_of_other_octets_than_listed_never_looks_whole() {
    let users = ["too-short", "too-long"];
    let site = lying(&users);
    let server = site.start();
    for user in users {
        let (mut client, status) = login(&server, user);
        assert!(status.ok, "{user}: {status:?}");
        let status = client.command("RETR 2");
        if status.ok {
            let rest = client.rest();
            assert!(!contains(&rest, b"\r\n.\r\n"), "{user}: looks whole");
        } else {
            assert!(is_temporary(&status), "{user}: {status:?}");
            client.quit();
        }
    }
    server.stop();
}

#[test]
fn update_that_fails_is_told() {
    let site = lying(&["trap-remove", "fail-remove"]);
    let server = site.start();
    for (user, code) in [
        ("trap-remove", "[SYS/TEMP] "),
        ("fail-remove", "[SYS/PERM] "),
    ] {
        let (mut client, status) = login(&server, user);
        assert!(status.ok, "{user}: {status:?}");
        client.accepted("DELE 1");
        let status = client.command("QUIT");
        assert!(
            !status.ok && status.text.starts_with(code),
            "{user}: {status:?}"
        );
        client.closed();
        // Nobody has to wait for a lock of a session that failed.
        let (client, status) = login(&server, user);
        assert!(status.ok, "{user}, again: {status:?}");
        client.drop_connection();
    }
    server.stop();
}

fn contains(octets: &[u8], wanted: &[u8]) -> bool {
    octets.windows(wanted.len()).any(|window| window == wanted)
}

/// The first plugin of the README.
#[test]
fn first_plugin_of_the_readme_logs_its_user_in() {
    let mut site = Site::new();
    site.maildir("ada").deliver(b"Subject: hello\n\nbody\n");
    let mut users = Plugin::new("users", test_guest("one-user").display().to_string());
    users.settings = "user = \"ada\"\nhash = \"{PLAIN}secret word\"\n".to_owned();
    site.plugins[0] = users;
    let server = site.start();
    let mut ada = Pop3::login(server.pop3(), "ada", "secret word");
    assert_eq!(ada.stat(), (1, 24));
    ada.quit();
    for (user, password) in [("ada", "secret"), ("bob", "secret word")] {
        let status = Pop3::connect(server.pop3()).authenticate(user, password);
        assert!(
            !status.ok && status.text.starts_with("[AUTH] "),
            "{status:?}"
        );
    }
}

/// All roles in one component: the SDK's macros can be mixed, and a store can
/// hand out octets at hand and octets that are pulled.
#[test]
fn one_component_plays_every_role() {
    let mut site = Site::new();
    site.user("ada", "x");
    let mut every = Plugin::new("every", test_guest("every-role").display().to_string());
    every.settings = "greeting = \"hello\"\n".to_owned();
    site.plugins[1] = every;
    let lines = "authenticators = [\"every\", \"users\"]\nstore = \"every\"\n";
    site.tenants[0].lines = lines.to_owned();
    {
        let server = site.start();
        let mut ada = Pop3::login(server.pop3(), "ada", "x");
        assert_eq!(ada.list(), [(1, 25), (2, 21)]);
        assert_eq!(ada.retr(1), b"Subject: hello\r\n\r\nworld\r\n");
        assert_eq!(ada.retr(2), b"hello\r\nhello\r\nhello\r\n");
        assert_eq!(ada.top(2, 0), b"hello\r\nhello\r\nhello\r\n");
        ada.accepted("DELE 1");
        let refusal = ada.refused("QUIT");
        assert!(
            refusal.starts_with("[SYS/PERM] greetings stay"),
            "{refusal}"
        );
    }
    site.tenants[0].lines = format!("{lines}selectors = [\"every\"]\nfilters = [\"every\"]\n");
    let server = site.start();
    let mut ada = Pop3::login(server.pop3(), "ada", "x");
    assert_eq!(ada.list(), [(1, 38)]);
    assert_eq!(
        ada.retr(1),
        b"X-Fields: 1\r\nSubject: hello\r\n\r\nworld\r\n"
    );
    ada.quit();
}

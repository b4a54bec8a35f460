//! What several servers know of one another: their sessions, failed logins, and the logins of a
//! user.

use std::net::SocketAddr;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use restante_tests::{
    Finished, Maildir, Pop3, Postgres, Server, Site, binary, run_to_end, wait_for,
};
use serde_json::Value;

use crate::shared::{PASSWORD, TERM, ada, as_node, node, shared};

/// Within which what one server tells is heard by all: two heartbeats, and time to spare.
const HEARD: Duration = Duration::from_secs(5);

/// A server with an admin address of its own.
fn operated(site: &mut Site, name: &str) -> Server {
    as_node(site, name);
    let socket = socket(site, name);
    site.server.push_str(&format!("admin = {socket:?}\n"));
    site.start()
}

fn socket(site: &Site, name: &str) -> String {
    format!(
        "unix:{}",
        site.path().join(format!("{name}.sock")).display()
    )
}

/// A command at the admin address of this node.
fn ask(site: &Site, name: &str, arguments: &[&str]) -> Finished {
    run_to_end(
        Command::new(binary())
            .args(arguments)
            .args(["--admin", &socket(site, name)])
            .env_remove("RUST_LOG"),
    )
}

/// Sessions with a login as this node tells of them.
fn listed(site: &Site, name: &str, arguments: &[&str]) -> Vec<Value> {
    let asked = ask(site, name, &[&["sessions", "--json"], arguments].concat());
    assert_eq!(asked.code, Some(0), "{asked:?}");
    let answer: Value = serde_json::from_str(&asked.stdout).unwrap();
    let sessions = answer["sessions"].as_array().unwrap();
    let with_login = sessions.iter().filter(|one| !one["user"].is_null());
    with_login.cloned().collect()
}

/// Until this node knows of so many sessions.
fn known(site: &Site, name: &str, count: usize) -> Vec<Value> {
    wait_for(&format!("{name} to know of {count} sessions"), || {
        let sessions = listed(site, name, &[]);
        (sessions.len() == count).then_some(sessions)
    })
}

fn eves(site: &mut Site) -> Maildir {
    site.user("eve", PASSWORD);
    site.maildir("eve")
}

#[test]
fn sessions_of_all_servers_are_shown_and_ended_from_each() {
    let test = "sessions_of_all_servers_are_shown_and_ended_from_each";
    let Some(postgres) = Postgres::shared(test) else {
        return;
    };
    let (mut site, maildir) = shared(postgres);
    eves(&mut site);
    let (a, b) = (operated(&mut site, "mx-a"), operated(&mut site, "mx-b"));
    let mut ada = Pop3::login(a.pop3(), "ada", PASSWORD);
    ada.accepted("DELE 1");
    let mut eve = Pop3::login(b.pop3(), "eve", PASSWORD);
    // Nobody is logged in: others do not hear of it.
    let _stranger = Pop3::connect(b.pop3());
    let sessions = known(&site, "mx-a", 2);
    let of = |user: &str| {
        let found = sessions.iter().find(|one| one["user"] == user);
        found.unwrap_or_else(|| panic!("{user} in {sessions:#?}"))
    };
    assert_eq!(
        (&of("ada")["node"], &of("eve")["node"]),
        (&"mx-a".into(), &"mx-b".into())
    );
    assert_eq!(of("eve")["tenant"], "test");
    assert_eq!(of("eve")["listener"], "pop3");
    assert_eq!(of("eve")["octets"], Value::Null);
    assert!(
        of("eve")["client"]
            .as_str()
            .unwrap()
            .starts_with("127.0.0.1:")
    );
    let table = ask(&site, "mx-a", &["sessions"]).stdout;
    assert!(table.lines().next().unwrap().contains(" NODE "), "{table}");
    assert_eq!(listed(&site, "mx-a", &["--here"]).len(), 1);
    let there = listed(&site, "mx-a", &["--node", "mx-b"]);
    assert_eq!(there.len(), 1);
    assert_eq!(there[0]["session"], of("eve")["session"]);

    // Of one server alone, where there is none of hers.
    let kicked = ask(&site, "mx-b", &["kick", "--user", "ada", "--node", "mx-b"]);
    assert_eq!(kicked.code, Some(1), "{kicked:?}");
    assert!(
        kicked.stderr.contains("there is no such session"),
        "{kicked:?}"
    );
    known(&site, "mx-b", 2);
    let kicked = ask(&site, "mx-b", &["kick", "--user", "ada"]);
    assert_eq!(kicked.code, Some(0), "{kicked:?}");
    assert!(
        kicked.stdout.contains("asked node mx-a to end 1 session"),
        "{kicked:?}"
    );
    let asked = Instant::now();
    ada.closed();
    assert!(asked.elapsed() < TERM, "{:?}", asked.elapsed());
    let line = a.logged(&["logout", "ended by an operator"]);
    assert!(line.contains("del=1"), "{line}");
    assert_eq!(maildir.files().len(), 2);
    assert!(eve.command("NOOP").ok);
    known(&site, "mx-b", 1);
    known(&site, "mx-a", 1);
    let id = of("eve")["session"].as_str().unwrap();
    let kicked = ask(&site, "mx-a", &["kick", id]);
    assert!(kicked.stdout.contains("asked node mx-b"), "{kicked:?}");
    eve.closed();
    // Once it is known everywhere, there is none.
    known(&site, "mx-a", 0);
    let kicked = ask(&site, "mx-a", &["kick", id]);
    assert_eq!(kicked.code, Some(1), "{kicked:?}");
    assert!(
        kicked.stderr.contains("they were asked") && kicked.stderr.contains("within 4 seconds"),
        "{kicked:?}"
    );
    // Who was asked has done it once: the next session stays.
    let mut again = Pop3::login(b.pop3(), "eve", PASSWORD);
    sleep(HEARD);
    assert!(again.command("NOOP").ok);
    for server in [a, b] {
        server.stop();
    }
}

#[test]
fn sessions_of_a_killed_server_are_nobodys_when_its_term_is_over() {
    let test = "sessions_of_a_killed_server_are_nobodys_when_its_term_is_over";
    let Some(postgres) = Postgres::shared(test) else {
        return;
    };
    let (mut site, _maildir) = shared(postgres);
    let (mut a, _b) = (operated(&mut site, "mx-a"), operated(&mut site, "mx-b"));
    let _ada = Pop3::login(a.pop3(), "ada", PASSWORD);
    known(&site, "mx-b", 1);
    a.kill();
    let killed = Instant::now();
    known(&site, "mx-b", 0);
    assert!(killed.elapsed() < 2 * TERM, "{:?}", killed.elapsed());
    // Started again, it tells what it has now.
    let a = operated(&mut site, "mx-a");
    let _ada = Pop3::login(a.pop3(), "ada", PASSWORD);
    assert_eq!(known(&site, "mx-b", 1)[0]["node"], "mx-a");
}

/// How long the answer to a wrong password takes.
fn wrong(server: SocketAddr, password: &str) -> Duration {
    let mut client = Pop3::connect(server);
    let began = Instant::now();
    let status = client.authenticate("ada", password);
    assert!(
        !status.ok && status.text.starts_with("[AUTH]"),
        "{status:?}"
    );
    began.elapsed()
}

#[test]
fn failed_logins_at_one_server_count_at_the_other() {
    let test = "failed_logins_at_one_server_count_at_the_other";
    let Some(postgres) = Postgres::shared(test) else {
        return;
    };
    let (mut site, _maildir) = shared(postgres);
    site.limits = "failure-delay = \"500ms\"\nmax-failure-delay = \"8s\"\n".to_owned();
    let (a, b) = (node(&mut site, "mx-a"), node(&mut site, "mx-b"));
    for password in ["one", "two", "three"] {
        wrong(a.pop3(), password);
    }
    sleep(HEARD);
    let took = wrong(b.pop3(), "four");
    assert!(took >= Duration::from_millis(3500), "{took:?}");
    // Who has a good password waits nowhere.
    let began = Instant::now();
    Pop3::login(b.pop3(), "ada", PASSWORD).quit();
    assert!(
        began.elapsed() < Duration::from_secs(6),
        "{:?}",
        began.elapsed()
    );
}

#[test]
fn a_login_delay_runs_at_all_servers() {
    let test = "a_login_delay_runs_at_all_servers";
    let Some(postgres) = Postgres::shared(test) else {
        return;
    };
    let (mut site, _maildir) = shared(postgres);
    eves(&mut site);
    site.tenants[0].lines.push_str("login-delay = \"1h\"\n");
    let (a, b) = (node(&mut site, "mx-a"), node(&mut site, "mx-b"));
    Pop3::login(a.pop3(), "ada", PASSWORD).quit();
    for server in [&b, &a] {
        let mut client = Pop3::connect(server.pop3());
        let status = client.authenticate("ada", PASSWORD);
        assert!(
            !status.ok && status.text.starts_with("[LOGIN-DELAY]"),
            "{status:?}"
        );
    }
    let line = b.logged(&["login failed", "perhaps on another node"]);
    assert!(line.contains("has to wait"), "{line}");
    Pop3::login(b.pop3(), "eve", PASSWORD).quit();
}

#[test]
fn a_users_sessions_are_counted_at_all_servers() {
    let test = "a_users_sessions_are_counted_at_all_servers";
    let Some(postgres) = Postgres::shared(test) else {
        return;
    };
    let (mut site, _maildir) = shared(postgres);
    site.tenants[0]
        .lines
        .push_str("[tenant.test.limits]\nsessions-per-user = 1\n");
    let a = node(&mut site, "mx-a");
    // The same user has another maildrop there.
    let elsewhere = site.path().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    let here = site.path().join("mail").display().to_string();
    let mail = &mut site.plugins[1];
    mail.grants = mail.grants.replace(&here, &elsewhere.display().to_string());
    let b = node(&mut site, "mx-b");
    let first = Pop3::login(a.pop3(), "ada", PASSWORD);
    let mut second = Pop3::connect(b.pop3());
    let status = second.authenticate("ada", PASSWORD);
    assert!(
        !status.ok && status.text.starts_with("[IN-USE]"),
        "{status:?}"
    );
    assert!(status.text.contains("too many sessions"), "{status:?}");
    // At once: it is told before the answer to QUIT.
    first.quit();
    Pop3::login(b.pop3(), "ada", PASSWORD).quit();
}

#[test]
fn a_later_login_takes_a_maildrop_over_from_another_server() {
    let test = "a_later_login_takes_a_maildrop_over_from_another_server";
    let Some(postgres) = Postgres::shared(test) else {
        return;
    };
    let (mut site, maildir) = shared(postgres);
    let a = node(&mut site, "mx-a");
    site.tenants[0]
        .lines
        .push_str("when-in-use = \"take-over\"\n");
    let b = node(&mut site, "mx-b");
    let mut first = Pop3::login(a.pop3(), "ada", PASSWORD);
    first.accepted("DELE 1");
    // Where a server is slow, the first attempt may end before the other server has heard of it,
    // and the next one finds the maildrop free.
    let mut second = Pop3::connect(b.pop3());
    let is_taken_at_once = second.authenticate("ada", PASSWORD).ok;
    if !is_taken_at_once {
        second = ada(&b);
    }
    first.closed();
    a.logged(&["logout", "took the maildrop over"]);
    if is_taken_at_once {
        b.logged(&["a session on another node had the maildrop", "mx-a"]);
    }
    assert_eq!(second.stat().0, 2);
    // This one's tenant takes nothing over.
    let mut third = Pop3::connect(a.pop3());
    let status = third.authenticate("ada", PASSWORD);
    assert!(
        !status.ok && status.text.starts_with("[IN-USE]"),
        "{status:?}"
    );
    second.quit();
    assert_eq!(maildir.files().len(), 2);
}

#[test]
fn a_later_login_that_has_to_wait_takes_nothing_over() {
    let test = "a_later_login_that_has_to_wait_takes_nothing_over";
    let Some(postgres) = Postgres::shared(test) else {
        return;
    };
    let (mut site, _maildir) = shared(postgres);
    let lines = "when-in-use = \"take-over\"\nlogin-delay = \"1h\"\n";
    site.tenants[0].lines.push_str(lines);
    let (a, b) = (node(&mut site, "mx-a"), node(&mut site, "mx-b"));
    let mut first = Pop3::login(a.pop3(), "ada", PASSWORD);
    let mut second = Pop3::connect(b.pop3());
    let status = second.authenticate("ada", PASSWORD);
    assert!(
        !status.ok && status.text.starts_with("[LOGIN-DELAY]"),
        "{status:?}"
    );
    sleep(HEARD);
    assert!(first.command("NOOP").ok);
    first.quit();
}

#[test]
fn while_the_engine_is_away_each_server_goes_by_its_own() {
    let test = "while_the_engine_is_away_each_server_goes_by_its_own";
    let Some(postgres) = Postgres::start(test) else {
        return;
    };
    let (mut site, _maildir) = shared(&postgres);
    eves(&mut site);
    let (a, b) = (operated(&mut site, "mx-a"), operated(&mut site, "mx-b"));
    let mut ada = Pop3::login(a.pop3(), "ada", PASSWORD);
    let _eve = Pop3::login(b.pop3(), "eve", PASSWORD);
    known(&site, "mx-a", 2);
    postgres.stop();
    a.logged(&["WARN", "the engine is away"]);
    assert_eq!(known(&site, "mx-a", 1)[0]["user"], "ada");
    let asked = ask(&site, "mx-a", &["sessions"]);
    assert!(
        asked
            .stderr
            .contains("nothing is known of sessions on other servers"),
        "{asked:?}"
    );
    let kicked = ask(&site, "mx-a", &["kick", "--user", "eve"]);
    assert_eq!(kicked.code, Some(1), "{kicked:?}");
    assert!(
        kicked.stderr.contains("nothing is known of sessions"),
        "{kicked:?}"
    );
    assert!(ada.command("NOOP").ok);
    postgres.restart();
    a.logged(&["INFO", "the engine is back"]);
    known(&site, "mx-a", 2);
    let kicked = ask(&site, "mx-a", &["kick", "--user", "ada"]);
    assert!(kicked.stdout.starts_with("1 session ended"), "{kicked:?}");
    ada.closed();
}

//! One Maildir, several servers, and an engine that says who has which maildrop.

use std::process::Command;
use std::time::{Duration, Instant};

use restante_tests::{
    Finished, Maildir, Pop3, Postgres, Server, Site, binary, run_to_end, wait_for,
};

pub(crate) const PASSWORD: &str = "secret of ada";
/// What heartbeats keep: after a crash others have to wait this long.
pub(crate) const TERM: Duration = Duration::from_secs(10);

fn site() -> (Site, Maildir) {
    let mut site = Site::new();
    site.user("ada", PASSWORD);
    let mut maildir = site.maildir("ada");
    maildir.deliver(b"Subject: one\n\n");
    maildir.deliver(b"Subject: two\n\n");
    (site, maildir)
}

/// A site whose servers share holds in a new database of this server.
pub(crate) fn shared(postgres: &Postgres) -> (Site, Maildir) {
    let (mut site, maildir) = site();
    site.first = format!(
        "[engine.db]\nkind = \"postgres\"\nurl = {:?}\npassword-file = {:?}\n",
        postgres.url(&postgres.database(), None),
        postgres.password_file()
    );
    (site, maildir)
}

pub(crate) fn node(site: &mut Site, name: &str) -> Server {
    as_node(site, name);
    site.start()
}

pub(crate) fn as_node(site: &mut Site, name: &str) {
    site.server = format!("node = {name:?}\nholds = \"db\"\n");
}

/// Runs a command on the site's configuration.
pub(crate) fn run(site: &Site, arguments: &[&str]) -> Finished {
    let config = site.write_config(&site.config());
    run_to_end(
        Command::new(binary())
            .args(arguments)
            .arg("--config")
            .arg(config),
    )
}

fn refused(server: &Server, code: &str) {
    let mut client = Pop3::connect(server.pop3());
    let status = client.authenticate("ada", PASSWORD);
    assert!(!status.ok && status.text.starts_with(code), "{status:?}");
}

/// Logs in as soon as the maildrop is free.
pub(crate) fn ada(server: &Server) -> Pop3 {
    wait_for("the maildrop to be free", || {
        let mut client = Pop3::connect(server.pop3());
        let status = client.authenticate("ada", PASSWORD);
        status.ok.then_some(client)
    })
}

#[test]
fn two_servers_never_have_one_maildrop_open_at_once() {
    let test = "two_servers_never_have_one_maildrop_open_at_once";
    let Some(postgres) = Postgres::shared(test) else {
        return;
    };
    let (mut site, maildir) = shared(postgres);
    let (a, b) = (node(&mut site, "mx-a"), node(&mut site, "mx-b"));
    let mut first = Pop3::login(a.pop3(), "ada", PASSWORD);
    refused(&b, "[IN-USE]");
    let line = b.logged(&["login failed", "mx-a"]);
    assert!(line.contains("has had the maildrop open"), "{line}");
    first.accepted("DELE 1");
    first.quit();
    // At once: it was given back before the answer.
    let mut second = Pop3::login(b.pop3(), "ada", PASSWORD);
    assert_eq!(second.stat().0, 1);
    refused(&a, "[IN-USE]");
    // Without QUIT it is given back too.
    drop(second);
    ada(&a).quit();
    assert_eq!(maildir.files().len(), 1);
    for server in [a, b] {
        let log = server.stop();
        assert!(log.contains("left"), "{log}");
    }
}

#[test]
fn maildrops_of_a_killed_server_are_free_when_its_term_is_over_or_it_starts_again() {
    let test = "maildrops_of_a_killed_server_are_free_when_its_term_is_over_or_it_starts_again";
    let Some(postgres) = Postgres::shared(test) else {
        return;
    };
    let (mut site, maildir) = shared(postgres);
    let (mut a, b) = (node(&mut site, "mx-a"), node(&mut site, "mx-b"));
    let mut client = Pop3::login(a.pop3(), "ada", PASSWORD);
    client.accepted("DELE 1");
    a.kill();
    refused(&b, "[IN-USE]");
    let mut again = node(&mut site, "mx-a");
    let mut client = Pop3::login(again.pop3(), "ada", PASSWORD);
    assert_eq!(client.stat().0, 2);
    again.kill();
    let since = Instant::now();
    ada(&b).quit();
    assert!(since.elapsed() < 3 * TERM, "{:?}", since.elapsed());
    assert_eq!(maildir.files().len(), 2);
}

#[test]
fn without_the_engine_nobody_logs_in_nothing_is_removed_and_reading_goes_on() {
    let test = "without_the_engine_nobody_logs_in_nothing_is_removed_and_reading_goes_on";
    let Some(postgres) = Postgres::start(test) else {
        return;
    };
    let (mut site, maildir) = shared(&postgres);
    let a = node(&mut site, "mx-a");
    let mut client = Pop3::login(a.pop3(), "ada", PASSWORD);
    client.accepted("DELE 1");
    postgres.stop();
    a.logged(&["WARN", "the engine is away"]);
    client.multi_line("RETR 2");
    let said = client.refused("QUIT");
    assert!(said.starts_with("[SYS/TEMP]"), "{said}");
    assert_eq!(maildir.files().len(), 2);
    refused(&a, "[SYS/TEMP]");
    let late = run(&site, &["engine", "status"]);
    assert_eq!(late.code, Some(1), "{late:?}");
    // A server that would refuse every login does not start.
    as_node(&mut site, "mx-b");
    let start = run(&site, &["serve"]);
    assert_eq!(start.code, Some(1), "{start:?}");
    assert!(start.stderr.contains("engine `db`"), "{start:?}");
    postgres.restart();
    a.logged(&["INFO", "the engine is back"]);
    let mut client = ada(&a);
    client.accepted("DELE 1");
    client.quit();
    assert_eq!(maildir.files().len(), 1);
    let status = run(&site, &["engine", "status"]);
    assert_eq!(status.code, Some(0), "{status:?}");
    assert!(status.stdout.contains("db: ready"), "{status:?}");
}

#[test]
fn a_server_whose_name_another_one_takes_says_so_and_removes_nothing_more() {
    let test = "a_server_whose_name_another_one_takes_says_so_and_removes_nothing_more";
    let Some(postgres) = Postgres::shared(test) else {
        return;
    };
    let (mut site, maildir) = shared(postgres);
    let a = node(&mut site, "mx-a");
    let mut client = Pop3::login(a.pop3(), "ada", PASSWORD);
    client.accepted("DELE 1");
    let twin = node(&mut site, "mx-a");
    let line = a.logged(&["ERROR", "another process has joined"]);
    assert!(line.contains("`node`"), "{line}");
    client.multi_line("RETR 2");
    let said = client.refused("QUIT");
    assert!(said.starts_with("[SYS/TEMP]"), "{said}");
    refused(&a, "[SYS/TEMP]");
    let mut client = Pop3::login(twin.pop3(), "ada", PASSWORD);
    client.accepted("DELE 2");
    client.quit();
    assert_eq!(maildir.files().len(), 1);
}

/// The same process lock as ever comes first, and an embedded engine is one process's.
#[test]
fn an_embedded_engine_keeps_a_second_server_from_starting() {
    let (mut site, _maildir) = site();
    let directory = site.path().join("engine");
    std::fs::create_dir(&directory).unwrap();
    site.first = format!("[engine.db]\nkind = \"embedded\"\ndirectory = {directory:?}\n");
    let server = node(&mut site, "mx-a");
    server.logged(&["WARN", "one process alone can use it"]);
    let _client = Pop3::login(server.pop3(), "ada", PASSWORD);
    refused(&server, "[IN-USE]");
    as_node(&mut site, "mx-b");
    let second = run(&site, &["serve"]);
    assert_eq!(second.code, Some(1), "{second:?}");
    assert!(second.stderr.contains("only one process can"), "{second:?}");
}

//! The mail of another POP3 server, through `pop3-proxy`: of this server, in the
//! clear and under TLS, of Dovecot, and of one that does what it should not.
mod upstream;

use std::collections::HashMap;
use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use restante_tests::{
    Certificate, Maildir, Plugin, Pop3, Server, Site, Status, Tool, binary, corpus, long_line,
    own_messages, require, run_to_end, ten_megabytes,
};
use serde_json::Value;

use upstream::{MASTER, Misdeed, PASSWORD, Upstream, messages};

const DOVECOT: Tool = Tool {
    name: "Dovecot",
    probe: &["test", "-x", "/usr/lib/dovecot/pop3-login"],
    packages: &["dovecot-pop3d"],
};

const NO_DELAY: &str = "failure-delay = \"0s\"\nmax-failure-delay = \"0s\"\n";

/// After so long the host has dropped the instance of an idle session.
const IDLE: Duration = Duration::from_secs(4);

/// A site whose mail is where `place` leads, "tcp://127.0.0.1:110".
fn proxy(place: &str, settings: &str) -> Site {
    let mut site = Site::new();
    site.limits = NO_DELAY.to_owned();
    let mut plugin = Plugin::new("proxy", "builtin:pop3-proxy");
    let (_, server) = place.split_once("://").unwrap();
    plugin.settings = format!("server = {server:?}\n{settings}");
    plugin.grants = format!("connect = [{place:?}]\n");
    plugin.limits = "wall-time = \"20s\"\n".to_owned();
    site.plugins = vec![plugin];
    site.tenants[0].lines = "authenticators = [\"proxy\"]\nstore = \"proxy\"\n".to_owned();
    site
}

fn in_the_clear(address: SocketAddr) -> String {
    format!("tcp://{address}")
}

/// Ada's upstream, and the server in front of it.
fn before(upstream: &Upstream, settings: &str) -> (Site, Server) {
    let site = proxy(&in_the_clear(upstream.address), settings);
    let server = site.start();
    (site, server)
}

fn login(server: &Server) -> Pop3 {
    Pop3::login(server.pop3(), "ada", PASSWORD)
}

fn refused_login(server: &Server, password: &str) -> String {
    let mut client = Pop3::connect(server.pop3());
    let status = client.authenticate("ada", password);
    assert!(!status.ok, "{status:?}");
    status.text
}

fn temporary(status: &Status) {
    assert!(
        !status.ok && status.text.starts_with("[SYS/TEMP] "),
        "{status:?}"
    );
}

/// The maildrop through the proxy is the one behind it, octet for octet; but for
/// what LIST says behind it where that is not what is sent.
fn alike(mut behind: Pop3, mut through: Pop3) {
    assert_eq!(through.uidl(), behind.uidl());
    for ((number, octets), (_, listed)) in through.list().into_iter().zip(behind.list()) {
        let wanted = behind.retr(number);
        let got = through.retr(number);
        assert!(got == wanted, "message {number} differs");
        // TOP is cut here, by this server's rules.
        assert!(got.starts_with(&through.top(number, 0)), "TOP of {number}");
        assert_eq!(got.len() as u64, octets, "message {number}");
        // Dovecot does not count a last line end that it adds.
        assert!(
            [listed, listed + 2].contains(&octets),
            "message {number}: {listed}"
        );
    }
    behind.quit();
    through.quit();
}

fn fill(maildir: &mut Maildir) {
    for (_, octets) in own_messages().into_iter().chain(corpus()) {
        maildir.deliver(&octets);
    }
    maildir.deliver(&ten_megabytes());
    maildir.deliver(&long_line());
}

/// This server with Ada's mail, to be behind the proxy.
fn restante_behind() -> (Site, Server) {
    let mut site = Site::new();
    site.user("ada", PASSWORD);
    fill(&mut site.maildir("ada"));
    let server = site.start();
    (site, server)
}

#[test]
fn all_mail_of_restante_comes_through_as_it_is() {
    let (site, behind) = restante_behind();
    let certificate = &site.certificate;
    let tls = format!("tls://localhost:{}", behind.address("pop3s").port());
    for place in [in_the_clear(behind.pop3()), tls] {
        for settings in ["", "login = \"plain\"\n"] {
            let mut front = proxy(&place, settings);
            if place.starts_with("tls") {
                let authorities = format!("connect-authorities = {:?}\n", certificate.authority);
                front.plugins[0].grants.push_str(&authorities);
            }
            let server = front.start();
            let utf8 = |address| {
                let mut client = Pop3::connect(address);
                client.accepted("UTF8");
                assert!(client.authenticate("ada", PASSWORD).ok);
                client
            };
            // One after the other: there is one lock for a maildrop.
            let mut expected = utf8(behind.pop3());
            let (uidl, list) = (expected.uidl(), expected.list());
            let contents: Vec<_> = list
                .iter()
                .map(|(number, _)| expected.retr(*number))
                .collect();
            let tops: Vec<_> = list
                .iter()
                .map(|(number, _)| expected.top(*number, 3))
                .collect();
            expected.quit();
            let mut through = utf8(server.pop3());
            assert_eq!(through.uidl(), uidl);
            assert_eq!(through.list(), list);
            for ((number, octets), (content, top)) in list.iter().zip(contents.iter().zip(&tops)) {
                let got = through.retr(*number);
                assert_eq!(got.len() as u64, *octets, "message {number}");
                assert!(got == *content, "message {number} differs");
                assert!(through.top(*number, 3) == *top, "TOP of {number}");
            }
            through.quit();
            let log = server.stop();
            assert!(!log.contains("secret.password"), "{log}");
            assert!(!log.contains("ERROR"), "{log}");
        }
    }
}

#[test]
fn all_mail_of_dovecot_comes_through_as_it_is() {
    if !require("pop3-proxy before Dovecot", &[&DOVECOT]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let certificate = Certificate::create(folder.path());
    // Dovecot does not stuff a first line (docs/dovecot-differences.md): what begins
    // with a dot is not what it sends.
    let mut all: Vec<_> = own_messages().into_iter().chain(corpus()).collect();
    let count = all.len();
    all.retain(|(_, content)| !content.starts_with(b"."));
    assert!(all.len() + 20 > count, "{} of {count}", all.len());
    let mail = all
        .into_iter()
        .map(|(id, content)| crate::dialogue::Mail { id, content });
    let dialogue = crate::dialogue::Dialogue {
        name: "proxy".to_owned(),
        channel: crate::dialogue::Channel::Clear,
        plaintext: true,
        user: "ada".to_owned(),
        password: PASSWORD.to_owned(),
        limits: Vec::new(),
        mail: mail.collect(),
        turns: Vec::new(),
    };
    let dovecot = crate::pair::Dovecot::start(&certificate, &dialogue);
    let address = crate::pair::Player::address(&dovecot);
    let mut front = proxy(
        &in_the_clear(address),
        "login = \"plain\"\noctets = \"counted\"\n",
    );
    let known = remembering(&front);
    front.plugins[0].grants.push_str(&known);
    let server = front.start();
    let utf8 = || {
        let mut client = Pop3::connect(server.pop3());
        client.accepted("UTF8");
        assert!(client.authenticate("ada", PASSWORD).ok);
        client
    };
    alike(Pop3::login(address, "ada", PASSWORD), utf8());
    // And removal: exactly what was marked, and last.
    let mut client = utf8();
    let ids = client.uidl();
    client.accepted("DELE 1");
    client.accepted("DELE 3");
    client.quit();
    let mut behind = Pop3::login(address, "ada", PASSWORD);
    let left: Vec<String> = behind.uidl().into_iter().map(|(_, id)| id).collect();
    let wanted: Vec<String> = ids
        .into_iter()
        .filter(|(number, _)| ![1, 3].contains(number))
        .map(|(_, id)| id)
        .collect();
    assert_eq!(left, wanted);
    behind.quit();
    assert!(refused_login(&server, "wrong").starts_with("[AUTH]"));
    server.stop();
}

#[test]
fn a_mail_server_with_a_certificate_of_nobodys_is_not_told_a_password() {
    let (_site, behind) = restante_behind();
    let place = format!("tls://localhost:{}", behind.address("pop3s").port());
    let front = proxy(&place, "");
    let server = front.start();
    assert!(refused_login(&server, PASSWORD).starts_with("[SYS/TEMP]"));
    server.logged(&["WARN", "a connection failed", "certificate"]);
    server.stop();
    let log = behind.stop();
    assert!(!log.contains("login"), "{log}");
}

#[test]
fn what_is_removed_here_is_removed_there_and_nothing_else() {
    let contents = [&b"Subject: a\r\n\r\n1\r\n"[..]; 60];
    for pipelining in [true, false] {
        let upstream = Upstream::start(messages(&contents));
        upstream.state().pipelining = pipelining;
        let (_site, server) = before(&upstream, "");
        let mut client = login(&server);
        for number in 1..=55 {
            client.accepted(&format!("DELE {number}"));
        }
        client.drop_connection();
        let mut client = login(&server);
        assert_eq!(client.stat().0, 60);
        for number in (1..=60).filter(|number| number % 10 != 0) {
            client.accepted(&format!("DELE {number}"));
        }
        client.quit();
        let wanted = [9, 19, 29, 39, 49, 59].map(|at| format!("id-{at}"));
        assert_eq!(upstream.unique_ids(), wanted);
        server.stop();
    }
}

#[test]
fn a_removal_that_is_not_confirmed_is_none() {
    for misdeed in [
        Misdeed::RemovesNothing,
        Misdeed::ClosesAtQuit,
        Misdeed::RefusesDele,
    ] {
        let upstream = Upstream::start(messages(&[b"a\r\n", b"b\r\n", b"c\r\n"]));
        let (_site, server) = before(&upstream, "");
        let mut client = login(&server);
        client.accepted("DELE 1");
        client.accepted("DELE 2");
        upstream.state().misdeed = misdeed;
        let status = client.command("QUIT");
        assert!(!status.ok, "{misdeed:?}: {status:?}");
        assert_eq!(upstream.unique_ids().len(), 3, "{misdeed:?}");
        upstream.state().misdeed = Misdeed::None;
        assert_eq!(login(&server).stat().0, 3);
        server.stop();
    }
}

#[test]
fn messages_are_found_again_by_their_unique_ids() {
    let contents: [&[u8]; 4] = [b"zero\r\n", b"one\r\n", b"two\r\n", b"three\r\n"];
    let upstream = Upstream::start(messages(&contents));
    let (_site, server) = before(&upstream, "");
    let mut client = login(&server);
    assert_eq!(client.retr(1), contents[0]);
    client.accepted("DELE 2");
    std::thread::sleep(IDLE);
    // Meanwhile somebody else has removed the first and delivered another.
    let newer = ("id-9".to_owned(), b"nine\r\n".to_vec());
    let mut state = upstream.state();
    let maildrop = state.maildrops.get_mut("ada").unwrap();
    maildrop.remove(0);
    maildrop.push(newer);
    drop(state);
    assert_eq!(client.retr(3), contents[2]);
    assert_eq!(client.retr(4), contents[3]);
    let gone = client.refused("RETR 1");
    assert!(gone.contains("not there any more"), "{gone}");
    std::thread::sleep(IDLE);
    client.quit();
    assert_eq!(upstream.unique_ids(), ["id-2", "id-3", "id-9"]);
    server.stop();
}

#[test]
fn a_message_that_breaks_off_never_looks_whole() {
    let large = large();
    let upstream = Upstream::start(messages(&[b"Subject: small\r\n\r\nbody\r\n", &large]));
    let (_site, server) = before(&upstream, "");
    let mut client = login(&server);
    upstream.state().misdeed = Misdeed::ClosesInTheMiddle;
    // The small one was not begun yet.
    temporary(&client.command("RETR 1"));
    client.send("RETR 2");
    assert!(client.status().ok);
    let rest = client.rest();
    assert!(!rest.is_empty() && rest.len() < large.len());
    assert!(!rest.ends_with(b"\r\n.\r\n"));
    upstream.state().misdeed = Misdeed::None;
    let mut client = login(&server);
    assert!(client.retr(2) == large);
    client.quit();
    assert_eq!(upstream.unique_ids().len(), 2);
    server.stop();
}

#[test]
fn a_message_is_left_half_way_and_another_asked_for() {
    let large = large();
    let contents = [&large[..], b"Subject: b\r\n\r\nbody\r\n", &large];
    let upstream = Upstream::start(messages(&contents));
    let (_site, server) = before(&upstream, "");
    let mut client = login(&server);
    for _ in 0..3 {
        assert!(large.starts_with(&client.top(1, 1)));
        assert_eq!(client.retr(2), contents[1]);
        assert!(client.retr(3) == large);
    }
    client.quit();
    server.stop();
}

#[test]
fn octets_that_are_listed_wrongly_are_known_at_the_next_login() {
    let contents: [&[u8]; 2] = [b"Subject: a\r\n\r\nbody\r\n", b"no line end\r\n"];
    for settings in ["", "octets = \"counted\"\n"] {
        let upstream = Upstream::start(messages(&contents));
        upstream.state().misdeed = Misdeed::CountsLineFeeds;
        let mut site = proxy(&in_the_clear(upstream.address), settings);
        let known = remembering(&site);
        site.plugins[0].grants.push_str(&known);
        let server = site.start();
        let mut client = login(&server);
        if settings.is_empty() {
            for number in [1, 2] {
                temporary(&client.command(&format!("RETR {number}")));
            }
            client.quit();
            client = login(&server);
        }
        for (at, content) in contents.iter().enumerate() {
            let number = u32::try_from(at).unwrap() + 1;
            assert_eq!(client.retr(number), *content);
            assert_eq!(client.list()[at], (number, content.len() as u64));
        }
        client.quit();
        // What was counted is not read again.
        upstream.state().commands.clear();
        login(&server).quit();
        let commands = upstream.state().commands.clone();
        assert!(
            !commands.iter().any(|line| line.starts_with("RETR")),
            "{commands:?}"
        );
        server.stop();
    }
}

#[test]
fn the_other_servers_words_become_ours() {
    let upstream = Upstream::start(messages(&[b"a\r\n", b"b\r\n"]));
    let (_site, server) = before(&upstream, "");
    let wrong = refused_login(&server, "wrong");
    assert!(wrong.starts_with("[AUTH]"), "{wrong}");
    for (misdeed, code) in [
        (Misdeed::Refuses("IN-USE"), "[IN-USE]"),
        (Misdeed::Refuses("SYS/TEMP"), "[SYS/TEMP]"),
        (Misdeed::Refuses("SYS/PERM"), "[SYS/PERM]"),
        (Misdeed::Refuses("AUTH"), "[AUTH]"),
        (Misdeed::OneUniqueId, "[SYS/TEMP]"),
        (Misdeed::EndlessLine, "[SYS/TEMP]"),
        (Misdeed::Silent, "[SYS/TEMP]"),
    ] {
        upstream.state().misdeed = misdeed;
        let said = refused_login(&server, PASSWORD);
        assert!(said.starts_with(code), "{misdeed:?}: {said}");
    }
    upstream.state().misdeed = Misdeed::None;
    login(&server).quit();
    let log = server.stop();
    assert!(!log.contains("plugin call failed"), "{log}");
}

#[test]
fn a_server_that_is_down() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let site = proxy(&in_the_clear(address), "");
    let server = site.start();
    let said = refused_login(&server, PASSWORD);
    assert!(said.starts_with("[SYS/TEMP]"), "{said}");
    server.logged(&["WARN", "a connection failed", &address.to_string()]);
    server.stop();
}

#[test]
fn a_master_reads_everybodys_mail_for_whoever_logged_in_here() {
    let upstream = Upstream::start(messages(&[b"a\r\n"]));
    let settings = format!(
        "master-user = {MASTER:?}\nmaster-password-file = \"/secrets/master\"\nuser = \"local\"\n"
    );
    let mut site = proxy(&in_the_clear(upstream.address), &settings);
    let secrets = site.path().join("secrets");
    fs::create_dir(&secrets).unwrap();
    fs::write(secrets.join("master"), format!("{PASSWORD}\n")).unwrap();
    let grant = format!("directories = [{{ host = {secrets:?}, guest = \"/secrets\" }}]\n");
    site.plugins[0].grants.push_str(&grant);
    let users = Site::new().plugins[0].clone();
    site.plugins.push(users);
    site.user("ada@example.org", "of her own");
    let grants = format!(
        "directories = [{{ host = {:?}, guest = \"/users\" }}]\n",
        site.path().join("users")
    );
    site.plugins[1].grants = grants;
    site.tenants[0].lines = "authenticators = [\"users\"]\nstore = \"proxy\"\n".to_owned();
    let server = site.start();
    let mut client = Pop3::login(server.pop3(), "ada@example.org", "of her own");
    assert_eq!(client.retr(1), b"a\r\n");
    client.quit();
    server.stop();
}

#[test]
fn a_hundred_thousand_messages_fit() {
    let many = (0..100_000).map(|at| (format!("{at:070}"), b"a\r\n".to_vec()));
    let upstream = Upstream::start(many.collect());
    let (_site, server) = before(&upstream, "");
    let mut client = login(&server);
    assert_eq!(client.stat(), (100_000, 300_000));
    assert_eq!(client.retr(77_777), b"a\r\n");
    std::thread::sleep(IDLE);
    assert_eq!(client.retr(77_777), b"a\r\n");
    client.accepted("DELE 100000");
    client.quit();
    assert_eq!(upstream.unique_ids().len(), 99_999);
    server.stop();
}

#[test]
fn pop3_proxy_keeps_every_rule() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("secrets")).unwrap();
    fs::write(folder.path().join("secrets/master"), PASSWORD).unwrap();
    fs::write(folder.path().join("password"), PASSWORD).unwrap();
    let large = large();
    let contents: Vec<&[u8]> = vec![
        b"Subject: a\r\n\r\n.\r\n..\r\n",
        b"\r\n",
        &large[..300_000],
        b"x\r\n",
    ];
    let whole: Vec<Vec<u8>> = contents.iter().map(|content| lines(content)).collect();
    let whole: Vec<&[u8]> = whole.iter().map(Vec::as_slice).collect();
    let upstream = Upstream::start(messages(&whole));
    upstream.state().sample = Some(messages(&whole));
    let finished = run_to_end(
        Command::new(binary())
            .args(["plugin", "test", "--json", "builtin:pop3-proxy"])
            .args(["--settings", &format!("server={}", upstream.address)])
            .args(["--settings", &format!("master-user={MASTER}")])
            .args(["--settings", "master-password-file=/secrets/master"])
            .args(["--connect", &in_the_clear(upstream.address)])
            .args(["--directory", "secrets:/secrets"])
            .args(["--user", "ada", "--password-file", "password"])
            .current_dir(folder.path())
            .env("XDG_CACHE_HOME", folder.path()),
    );
    let report: Value = serde_json::from_str(&finished.stdout)
        .unwrap_or_else(|error| panic!("{error}: {finished:#?}"));
    assert_eq!(
        (finished.code, &report["failed"]),
        (Some(0), &0.into()),
        "{report:#}"
    );
    let checks = report["checks"].as_array().unwrap();
    let results: HashMap<&str, &str> = checks
        .iter()
        .map(|check| {
            (
                check["check"].as_str().unwrap(),
                check["result"].as_str().unwrap(),
            )
        })
        .collect();
    for check in [
        "readers, piece by piece",
        "all are removed",
        "broken off in the middle",
    ] {
        assert_eq!(results[check], "passed", "{report:#}");
    }
}

/// The grant of a place to remember octets in.
fn remembering(site: &Site) -> String {
    let known = site.path().join("known");
    fs::create_dir(&known).unwrap();
    format!(
        "maildrop = {:?}\ncreate-maildrop = true\n",
        known.join("{user}")
    )
}

/// Ten megabytes as they go over the wire.
fn large() -> Vec<u8> {
    let text = String::from_utf8(ten_megabytes()).unwrap();
    text.replace('\n', "\r\n").into_bytes()
}

/// Whole lines, each with CRLF.
fn lines(content: &[u8]) -> Vec<u8> {
    let mut whole = content.to_vec();
    if !whole.ends_with(b"\r\n") {
        whole.extend_from_slice(b"\r\n");
    }
    whole
}

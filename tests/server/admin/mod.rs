//! The server seen from outside: health, metrics, sessions and commands at the
//! admin address, and the commands of `restante` that ask there.
mod commands;
mod counts;
mod exposition;
pub(crate) mod http;
mod polls;
mod trouble;

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::process::Command;

use restante_tests::{Plugin, Pop3, Server, Site, Tenant, binary, run_to_end, wait_for};
use serde_json::Value;

use commands::restante;
use exposition::Exposition;
use http::Client;

pub(crate) const TOKEN: &str = "correct-horse-battery-staple";

/// Users ada and bob, two messages for ada, and the admin address on a port.
fn site() -> Site {
    let mut site = Site::new();
    for user in ["ada", "bob"] {
        site.user(user, "x");
        site.maildir(user);
    }
    let mut ada = site.maildir("ada");
    ada.deliver(b"Subject: one\n\nfirst\n");
    ada.deliver(b"Subject: two\n\nsecond\n");
    fs::write(site.path().join("token"), format!("{TOKEN}\n")).unwrap();
    site.server = "admin = \"127.0.0.1:0\"\nadmin-token-file = \"token\"\n".to_owned();
    site
}

/// The same with a socket.
fn site_with_socket() -> Site {
    let mut site = site();
    site.server = "admin = \"unix:admin.sock\"\n".to_owned();
    site
}

/// Where the admin address of a port 0 is.
fn address(server: &Server) -> SocketAddr {
    let line = server.logged(&["the admin address answers"]);
    let address = line.split("address=").nth(1).unwrap();
    let plain: String = address
        .chars()
        .skip_while(|c| !c.is_ascii_digit())
        .take_while(|c| c.is_ascii_digit() || ".:".contains(*c))
        .collect();
    plain.parse().unwrap_or_else(|_| panic!("{line:?}"))
}

pub(crate) fn client(server: &Server) -> Client {
    Client::tcp(address(server), TOKEN)
}

pub(crate) fn metrics(client: &Client) -> Exposition {
    let answer = client.get("/metrics");
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.header["content-type"],
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    );
    Exposition::parse(&answer.body)
}

/// Waits until so many sessions are connected: a client hears that it is closed
/// before the server has forgotten it.
fn sessions(client: &Client, count: usize) -> Vec<Value> {
    wait_for(&format!("{count} sessions"), || {
        let sessions = client.get("/sessions").json()["sessions"].clone();
        let sessions = sessions.as_array().unwrap().clone();
        (sessions.len() == count).then_some(sessions)
    })
}

#[test]
fn health_is_for_everybody_and_the_rest_for_who_has_the_token() {
    let site = site();
    let server = site.start();
    let known = client(&server);
    let mut stranger = known.clone();
    stranger.token = None;
    let mut guesser = known.clone();
    guesser.token = Some("correct-horse-battery-stapler".to_owned());
    for client in [&known, &stranger, &guesser] {
        for (path, words) in [("/healthz", "ok\n"), ("/readyz", "ready\n")] {
            let answer = client.get(path);
            assert_eq!((answer.status, answer.body.as_str()), (200, words));
        }
    }
    let closed = ["/metrics", "/status", "/sessions", "/tenants", "/", "/no"];
    for client in [&stranger, &guesser] {
        for path in closed {
            let answer = client.get(path);
            assert_eq!(answer.status, 401, "{path}");
            assert_eq!(answer.header["www-authenticate"], "Bearer");
        }
        for (path, body) in [("/reload", ""), ("/kick", r#"{"tenant":"test"}"#)] {
            assert_eq!(client.post(path, body).status, 401, "{path}");
        }
    }
    for path in &closed[..4] {
        assert_eq!(known.get(path).status, 200, "{path}");
    }
    assert_eq!(known.get("/no").status, 404);
    let log = server.stop();
    assert!(log.contains("did not show the token"), "{log}");
    assert!(!log.contains("stapler") && !log.contains(TOKEN), "{log}");
}

#[test]
fn other_hosts_methods_and_bodies_are_refused() {
    let site = site();
    let server = site.start();
    let client = client(&server);
    // A page that lets its domain point to loopback (DNS rebinding).
    let mut rebound = client.clone();
    rebound.host = format!("attacker.example:{}", address(&server).port());
    for path in ["/healthz", "/metrics", "/sessions"] {
        assert_eq!(rebound.get(path).status, 421, "{path}");
    }
    assert_eq!(rebound.post("/reload", "").status, 421);
    let mut local = client.clone();
    local.host = "localhost".to_owned();
    assert_eq!(local.get("/status").status, 200);

    for (method, path, allowed) in [
        ("GET", "/reload", "POST"),
        ("GET", "/kick", "POST"),
        ("POST", "/sessions", "GET, HEAD"),
        ("DELETE", "/sessions", "GET, HEAD"),
    ] {
        let answer = client.ask(method, path, "");
        assert_eq!(answer.status, 405, "{method} {path}");
        assert_eq!(answer.header["allow"], allowed);
    }
    let head = client.ask("HEAD", "/metrics", "");
    assert_eq!((head.status, head.body.as_str()), (200, ""));

    for body in [
        "",
        "{}",
        "session",
        r#"{"session": 5}"#,
        r#"{"sesion": "x"}"#,
        r#"{"session": "x", "tenant": "test"}"#,
        r#"{"tenant": null}"#,
    ] {
        assert_eq!(client.post("/kick", body).status, 400, "{body}");
    }
    let huge = format!(r#"{{"user": "{}"}}"#, "x".repeat(5000));
    assert_eq!(client.post("/kick", &huge).status, 413);
    // Headers have an end, and what is no HTTP gets no further.
    let endless = format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(100_000));
    let answer = client.octets(endless.as_bytes());
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
        "{answer}"
    );
    let answer = client.octets(b"USER ada\r\nPASS x\r\n\r\n");
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
        "{answer}"
    );
    // It is one request a connection.
    let two = format!(
        "GET /healthz HTTP/1.1\r\nHost: {0}\r\n\r\nGET /healthz HTTP/1.1\r\nHost: {0}\r\n\r\n",
        client.host
    );
    assert_eq!(client.octets(two.as_bytes()).matches("200 OK").count(), 1);
    assert_eq!(client.get("/healthz").status, 200);
    server.stop();
}

#[test]
fn kick_ends_the_session_and_deletes_nothing() {
    let site = site();
    let server = site.start();
    let admin = client(&server);
    let mut ada = Pop3::login(server.pop3(), "ada", "x");
    let mut bob = Pop3::connect_tls(server.address("pop3s"), &site.certificate);
    assert!(bob.authenticate("bob", "x").ok);
    let got = ada.retr(1).len() as u64;
    ada.accepted("DELE 1");
    ada.accepted("DELE 2");
    let stranger = Pop3::connect(server.pop3());

    let listed = sessions(&admin, 3);
    let of = |user: Option<&str>| {
        let found = listed.iter().find(|one| one["user"].as_str() == user);
        found.unwrap_or_else(|| panic!("{user:?} in {listed:#?}"))
    };
    let (of_ada, of_bob, of_stranger) = (of(Some("ada")), of(Some("bob")), of(None));
    assert_eq!(of_ada["tenant"], "test");
    assert_eq!(of_ada["state"], "transaction");
    assert_eq!(of_ada["listener"], "pop3");
    assert_eq!(of_ada["tls"], Value::Null);
    assert_eq!(of_ada["octets"], got);
    assert_eq!(of_ada["generation"], 1);
    assert!(of_ada["client"].as_str().unwrap().starts_with("127.0.0.1:"));
    assert_eq!(of_bob["tls"], "TLSv1.3");
    assert_eq!(of_bob["octets"], 0);
    assert_eq!(of_stranger["state"], "authorization");
    let id = of_ada["session"].as_str().unwrap();

    let answer = admin.post("/kick", &format!(r#"{{"session": "{id}"}}"#));
    assert_eq!(
        (answer.status, &answer.json()["kicked"][0]),
        (200, &id.into())
    );
    ada.closed();
    sessions(&admin, 2);
    assert_eq!(site.maildir("ada").files().len(), 2);
    let line = server.logged(&["logout", "ended by an operator", id]);
    assert!(line.contains("del=2"), "{line}");
    // The lock is gone with it.
    let mut ada = Pop3::login(server.pop3(), "ada", "x");
    assert_eq!(ada.stat().0, 2);
    assert!(bob.command("NOOP").ok);

    let answer = admin.post("/kick", r#"{"user": "bob", "tenant": "other"}"#);
    assert_eq!(answer.json()["kicked"].as_array().unwrap().len(), 0);
    assert!(bob.command("NOOP").ok);
    let answer = admin.post("/kick", r#"{"tenant": "test"}"#);
    assert_eq!(answer.json()["kicked"].as_array().unwrap().len(), 2);
    ada.closed();
    bob.closed();
    let id = of_stranger["session"].as_str().unwrap();
    sessions(&admin, 1);
    admin.post("/kick", &format!(r#"{{"session": "{id}"}}"#));
    sessions(&admin, 0);
    drop(stranger);
    server.stop();
}

#[test]
fn reload_is_answered_with_what_came_of_it() {
    let site = site();
    let server = site.start();
    let admin = client(&server);
    let done = admin.post("/reload", "");
    assert_eq!(done.status, 200);
    assert_eq!(done.json()["generation"], 2);
    assert_eq!(done.json()["tenants"], 1);
    assert_eq!(done.json()["plugins"], 2);
    let mut running = Pop3::login(server.pop3(), "ada", "x");

    let good = site.config();
    let bad = good
        .replace("hostname", "hostnam")
        .replace("builtin:maildir", "builtin:no such");
    let file = site.write_config(&bad);
    let line_of = |what: &str| {
        let at = bad.lines().position(|line| line.contains(what));
        at.unwrap() as u64 + 1
    };
    let refused = admin.post("/reload", "");
    assert_eq!(refused.status, 422);
    let problems = refused.json()["problems"].as_array().unwrap().clone();
    assert_eq!(problems.len(), 2, "{problems:#?}");
    for (problem, what) in problems.iter().zip(["hostnam ", "builtin:no such"]) {
        assert_eq!(problem["file"], file.to_str().unwrap());
        assert_eq!(problem["line"], line_of(what), "{problem}");
        assert!(problem["column"].as_u64().unwrap() > 0);
        assert!(!problem["what"].as_str().unwrap().is_empty());
        assert!(!problem["mend"].as_str().unwrap().is_empty());
    }
    // The log has the same.
    for problem in &problems {
        server.logged(&[problem["what"].as_str().unwrap()]);
    }
    assert_eq!(running.stat().0, 2);
    running.quit();
    let status = admin.get("/status").json();
    assert_eq!(status["generation"], 2);
    assert_eq!(status["reloads"], 1);
    assert_eq!(status["failed_reloads"], 1);

    let moved = good.replace(
        "127.0.0.1:0\"\ntls = \"off\"",
        "127.0.0.2:0\"\ntls = \"off\"",
    );
    assert_ne!(moved, good);
    site.write_config(&moved);
    let done = admin.post("/reload", "").json();
    assert_eq!(done["generation"], 3);
    assert_eq!(
        done["restart"],
        serde_json::json!(["[listener.pop3] address"])
    );
    server.stop();
}

#[test]
fn reloads_run_one_at_a_time_and_few_wait() {
    let site = site();
    let server = site.start();
    let admin = client(&server);
    let answers: Vec<_> = std::thread::scope(|scope| {
        let asking: Vec<_> = (0..20)
            .map(|_| scope.spawn(|| admin.post("/reload", "")))
            .collect();
        asking.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let mut built: Vec<u64> = answers
        .iter()
        .filter(|answer| answer.status == 200)
        .map(|answer| answer.json()["generation"].as_u64().unwrap())
        .collect();
    let refused = answers.iter().filter(|answer| answer.status == 429);
    assert_eq!(built.len() + refused.count(), answers.len());
    built.sort_unstable();
    let expected: Vec<u64> = (2..).take(built.len()).collect();
    assert_eq!(built, expected);
    assert!(!built.is_empty());
    let seen = metrics(&admin);
    assert_eq!(
        seen.count("restante_generation", &[]),
        built.len() as u64 + 1
    );
    assert_eq!(seen.count("restante_generations", &[]), 1);
    server.stop();
}

#[test]
fn tenants_that_are_out_are_counted_and_named_to_who_may_know() {
    let mut site = site();
    site.tenants[0].lines.push_str("default = true\n");
    site.plugins.push(Plugin::new("gone", "./gone.wasm"));
    site.tenants.push(Tenant {
        name: "broken".to_owned(),
        lines: "domains = [\"broken.example\"]\nauthenticators = [\"gone\"]\nstore = \"mail\"\n"
            .to_owned(),
    });
    let server = site.start();
    let admin = client(&server);
    let mut stranger = admin.clone();
    stranger.token = None;
    let ready = stranger.get("/readyz");
    assert_eq!(ready.status, 200);
    assert_eq!(ready.body, "ready, but 1 of 2 tenants are out\n");
    let seen = metrics(&admin);
    assert_eq!(seen.count("restante_tenants", &[]), 2);
    assert_eq!(seen.count("restante_tenants_unavailable", &[]), 1);
    let rows = admin.get("/tenants").json()["tenants"].clone();
    let problems = |at: usize| rows[at]["problems"].as_array().unwrap().len();
    assert_eq!((problems(0), problems(1)), (1, 0), "{rows}");
    let problem = rows[0]["problems"][0].to_string();
    assert!(problem.contains("gone.wasm` does not exist"), "{problem}");
    server.stop();
}

#[test]
fn readiness_ends_when_the_server_begins_to_stop() {
    let site = site();
    let mut server = site.start();
    let admin = client(&server);
    let mut ada = Pop3::login(server.pop3(), "ada", "x");
    assert_eq!(admin.get("/readyz").status, 200);
    server.terminate();
    wait_for("not to be ready", || {
        (admin.get("/readyz").status == 503).then_some(())
    });
    assert_eq!(admin.get("/healthz").status, 200);
    assert_eq!(admin.get("/status").json()["ready"], false);
    assert_eq!(ada.stat().0, 2);
    ada.quit();
    assert_eq!(server.ended().code(), Some(0));
}

#[test]
fn socket_is_its_owners_alone_and_gone_at_the_end() {
    let site = site_with_socket();
    let path = site.path().join("admin.sock");
    // Left behind by a server that was killed.
    drop(UnixListener::bind(&path).unwrap());
    let server = site.start();
    server.logged(&["the admin address answers"]);
    let metadata = fs::symlink_metadata(&path).unwrap();
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    let client = Client::unix(&path);
    assert_eq!(client.get("/status").status, 200);
    let status = restante(&["status", "--config", "restante.toml"], &site);
    assert_eq!(status.code, Some(0), "{}", status.stderr);

    // A second server is no reason to take it away from the first.
    let second = run_to_end(
        Command::new(binary())
            .args(["serve", "--config"])
            .arg(site.path().join("restante.toml")),
    );
    assert_eq!(second.code, Some(1));
    assert!(
        second.stderr.contains("another program answers there"),
        "{}",
        second.stderr
    );
    assert_eq!(client.get("/status").status, 200);
    server.stop();
    assert!(!path.exists());

    // What is no socket stays.
    fs::write(&path, "mine").unwrap();
    let refused = run_to_end(
        Command::new(binary())
            .args(["serve", "--config"])
            .arg(site.path().join("restante.toml")),
    );
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("no socket"), "{}", refused.stderr);
    assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
}

#[test]
fn token_that_is_none_is_told_at_the_start() {
    let site = site();
    fs::write(site.path().join("token"), "short\n").unwrap();
    let config = site.write_config(&site.config());
    let refused = run_to_end(
        Command::new(binary())
            .args(["serve", "--config"])
            .arg(config),
    );
    assert_eq!(refused.code, Some(1));
    assert!(
        refused.stderr.contains("does not hold a token"),
        "{}",
        refused.stderr
    );
    assert!(!refused.stderr.contains("short"), "{}", refused.stderr);
}

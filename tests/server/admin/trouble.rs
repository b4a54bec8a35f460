//! The operator gets through when others are in the way: connections that say nothing,
//! and a server without file descriptors.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::Command;

use restante_tests::{PATIENCE, Pop3, Process, Server, binary, run_to_end, wait_for};

use super::http::Client;
use super::{TOKEN, address, client, metrics, site, site_with_socket};

/// More than the admin address has places, with and without the token.
const CROWD: usize = 100;

/// Connections that say nothing, or never to the end.
fn tcp_crowd(address: SocketAddr, size: usize, words: &str) -> Vec<TcpStream> {
    let connect = |_| {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        // The oldest are closed while the last ones come.
        let _ = stream.write_all(words.as_bytes());
        stream
    };
    (0..size).map(connect).collect()
}

/// Whether the server closes this connection without a word.
fn is_closed(mut stream: impl Read) -> bool {
    let mut said = Vec::new();
    let read = stream.read_to_end(&mut said);
    read.is_err() || said.is_empty()
}

#[test]
fn silent_connections_do_not_shut_the_operator_out() {
    let site = site();
    let server = site.start();
    let admin = client(&server);
    let host = admin.host.clone();
    for words in [
        String::new(),
        format!("GET /status HTTP/1.1\r\nHost: {host}\r\n"),
        // Without the token a body is not waited for in the way of others.
        format!("POST /kick HTTP/1.1\r\nHost: {host}\r\nContent-Length: 5\r\n\r\n"),
    ] {
        let mut crowd = tcp_crowd(address(&server), CROWD, &words);
        assert_eq!(admin.get("/status").status, 200, "{words:?}");
        assert_eq!(admin.get("/healthz").status, 200, "{words:?}");
        let first = crowd.remove(0);
        assert!(words.starts_with("POST") || is_closed(first), "{words:?}");
    }

    // Who has shown the token keeps the place, with a request that is half there.
    let mut known = TcpStream::connect(address(&server)).unwrap();
    known.set_read_timeout(Some(PATIENCE)).unwrap();
    let body = r#"{"user": "nobody"}"#;
    let (octets, token) = (body.len(), format!("Authorization: Bearer {TOKEN}"));
    let head = format!(
        "POST /kick HTTP/1.1\r\nHost: {host}\r\n{token}\r\nContent-Length: {octets}\r\n\r\n"
    );
    known.write_all(head.as_bytes()).unwrap();
    // It is taken in before those that come later.
    assert_eq!(admin.get("/status").status, 200);
    let crowd = tcp_crowd(address(&server), CROWD, "");
    known.write_all(body.as_bytes()).unwrap();
    let mut answer = String::new();
    known.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    drop(crowd);
    server.stop();
}

#[test]
fn silent_connections_do_not_shut_the_operator_out_of_the_socket() {
    let site = site_with_socket();
    let server = site.start();
    server.logged(&["the admin address answers"]);
    let path = site.path().join("admin.sock");
    let admin = Client::unix(&path);
    let mut crowd = Vec::new();
    for number in 0..CROWD {
        let mut stream = UnixStream::connect(&path).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        if number % 2 == 0 {
            // There is no token here: a request that is half there is not known either.
            let half = b"POST /kick HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n{";
            let _ = stream.write_all(half);
        }
        crowd.push(stream);
    }
    assert_eq!(admin.get("/status").status, 200);
    assert!(is_closed(crowd.remove(0)));
    server.stop();
}

/// What a listener in the clear says first.
fn greeting(server: &Server) -> (TcpStream, String) {
    let stream = TcpStream::connect(server.pop3()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut line = String::new();
    BufReader::new(&stream).read_line(&mut line).unwrap();
    (stream, line)
}

#[test]
fn admin_address_answers_when_descriptors_are_gone() {
    let mut site = site();
    site.limits = "connections-per-address = 1000\nconnections-per-network = 1000\n".to_owned();
    let server = site.start();
    let admin = client(&server);
    assert_eq!(admin.get("/status").status, 200);
    server.limit_descriptors(server.descriptors() + 30);
    let mut silent = Vec::new();
    loop {
        let (stream, line) = greeting(&server);
        if line.starts_with("-ERR [SYS/TEMP] ") {
            break;
        }
        assert!(line.starts_with("+OK "), "{line}");
        silent.push(stream);
        assert!(silent.len() <= 60, "the limit does not hold");
    }
    for path in [
        "/healthz",
        "/readyz",
        "/metrics",
        "/status",
        "/sessions",
        "/tenants",
    ] {
        assert_eq!(admin.get(path).status, 200, "{path}");
    }
    let seen = metrics(&admin);
    assert!(seen.count("restante_accepts_without_descriptor_total", &[]) > 0);
    assert!(seen.count("restante_resident_memory_bytes", &[]) > 0);

    // Those that say nothing have no hold on the last descriptors either.
    let crowd = tcp_crowd(address(&server), 30, "");
    let id = admin.get("/sessions").json()["sessions"][0]["session"].clone();
    let kicked = admin.post("/kick", &format!(r#"{{"session": {id}}}"#));
    assert_eq!((kicked.status, &kicked.json()["kicked"][0]), (200, &id));
    drop(crowd);

    // Of those that came and never logged in the oldest make room.
    wait_for("a newcomer to be served", || {
        let (newcomer, line) = greeting(&server);
        silent.push(newcomer);
        line.starts_with("+OK ").then_some(())
    });
    drop(silent);
    wait_for("everybody to be served again", || {
        greeting(&server).1.starts_with("+OK ").then_some(())
    });
    let mut ada = Pop3::login(server.pop3(), "ada", "x");
    assert_eq!(ada.stat().0, 2);
    ada.quit();
    let log = server.stop();
    let told: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("no file descriptor is left"))
        .collect();
    assert!(!told.is_empty(), "{log}");
    for line in told {
        assert!(
            line.contains("WARN") && line.contains("LimitNOFILE="),
            "{line}"
        );
    }
}

#[test]
fn the_limit_on_descriptors_is_raised_and_one_that_is_too_low_is_told() {
    let site = site();
    let config = site.write_config(&site.config());
    let limited = |limits: &str, command: &str| {
        let mut shell = Command::new("sh");
        shell
            .args(["-c", &format!("{limits} && exec \"$0\" \"$@\"")])
            .arg(binary())
            .args([command, "--config"])
            .arg(&config)
            .env_remove("RUST_LOG");
        shell
    };
    // As `check` says it, so that it is known before a service starts.
    let checked = run_to_end(&mut limited("ulimit -n 500", "check"));
    assert_eq!(checked.code, Some(0), "{checked:#?}");
    for words in ["warning: ", "descriptors is 500 here", "LimitNOFILE="] {
        assert!(checked.stderr.contains(words), "{words}: {checked:#?}");
    }

    let outputs = site.path().join("limited");
    let mut server = Process::start(
        &mut limited("ulimit -S -n 200 && ulimit -H -n 500", "serve"),
        &outputs,
    );
    wait_for("the server to accept", || {
        assert!(server.is_running(), "{}", server.stderr());
        let log = server.stderr();
        (log.contains("listening") && log.contains("the admin address answers")).then_some(())
    });
    let log = server.stderr();
    assert!(
        log.contains("the limit on file descriptors is raised"),
        "{log}"
    );
    assert!(log.contains("LimitNOFILE="), "{log}");
    server.terminate();
    assert_eq!(server.ended().code(), Some(0), "{}", server.stderr());

    // Where it is enough nothing is said, and the soft limit alone is no reason to.
    let few = site
        .config()
        .replace("[server.limits]\n", "[server.limits]\nconnections = 20\n");
    site.write_config(&few);
    let checked = run_to_end(&mut limited("ulimit -S -n 200", "check"));
    assert_eq!(checked.code, Some(0), "{checked:#?}");
    assert!(!checked.stderr.contains("descriptors"), "{checked:#?}");
}

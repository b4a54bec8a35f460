//! Guests that were granted a place on the network, and want more.

use std::io::Read as _;
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use restante_tests::{PATIENCE, Site};

use crate::arena::{login, site, told, under_attack};

/// Somebody who takes connections and says nothing.
struct Peer {
    port: u16,
    came: Receiver<TcpStream>,
}

impl Peer {
    fn start() -> Peer {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (send, came) = channel();
        // Ends when the test has stopped listening to it.
        thread::spawn(move || {
            for stream in listener.incoming() {
                if send.send(stream.unwrap()).is_err() {
                    return;
                }
            }
        });
        Peer { port, came }
    }

    fn connections(&self) -> Vec<TcpStream> {
        self.came.try_iter().collect()
    }
}

/// The guest's misdeed at login, with these places and these grants.
fn attacked(misdeed: &str, places: &str, granted: &str) -> Site {
    let settings = format!("misdeed = {misdeed:?}\nat = \"authenticate\"\nplaces = {places:?}\n");
    let mut site = site("authenticator", &settings);
    site.plugins[2].grants = format!("connect = [{granted}]\n");
    site
}

#[test]
fn connections_elsewhere_than_granted() {
    let (peer, other) = (Peer::start(), Peer::start());
    let (port, elsewhere) = (peer.port, other.port);
    // By its address before the host has looked the name up, and after it.
    let places = [
        format!("127.0.0.1:{port}"),
        format!("127.0.0.2:{port}"),
        format!("127.0.0.1:{elsewhere}"),
        format!("localhost:{elsewhere}"),
        format!("ip6-localhost:{port}"),
        format!("neighbour.example:{port}"),
        format!("LocalHost:{port}"),
        format!("127.0.0.1:{port}"),
        format!("127.0.0.2:{port}"),
    ];
    let granted = format!("\"tcp://localhost:{port}\"");
    let site = attacked("connect", &places.join("\n"), &granted);
    let log = under_attack(&site, |server| {
        assert!(login(server).1.ok);
    });
    let said = told(&log, &["guest says"]);
    let seen: Vec<bool> = places
        .iter()
        .map(String::as_str)
        .chain(["listening", "UDP"])
        .zip(&said)
        .map(|(what, line)| {
            assert!(line.contains(what), "{what}: {line}");
            line.contains("reached: ")
        })
        .collect();
    let yes_and_no = [
        false, false, false, false, false, false, true, true, false, false, false,
    ];
    assert_eq!(seen, yes_and_no, "{said:#?}");
    assert_eq!(peer.connections().len(), 2);
    assert!(other.connections().is_empty());
    // One line for each, however often it was tried.
    for what in [
        format!("a connection to 127.0.0.1:{port}"),
        format!("a connection to 127.0.0.2:{port}"),
        format!("a connection to 127.0.0.1:{elsewhere}"),
        "the name neighbour.example".to_owned(),
    ] {
        let lines = log.lines().filter(|line| line.contains(&what)).count();
        assert_eq!(lines, 1, "{what}: {log}");
    }
}

#[test]
fn connections_without_number() {
    let peer = Peer::start();
    let place = format!("127.0.0.1:{}", peer.port);
    let site = attacked("connections", &place, &format!("\"tcp://{place}\""));
    let log = under_attack(&site, |server| {
        assert!(login(server).1.ok);
    });
    told(&log, &["no more than 4 connections"]);
    let connections = peer.connections();
    assert_eq!(connections.len(), 4);
    // None has outlived the instance.
    for mut connection in connections {
        connection.set_read_timeout(Some(PATIENCE)).unwrap();
        assert_eq!(connection.read(&mut [0; 10]).unwrap(), 0);
    }
}

#[test]
fn peer_that_says_nothing() {
    let peer = Peer::start();
    let place = format!("127.0.0.1:{}", peer.port);
    let site = attacked("wait-for-peer", &place, &format!("\"tcp://{place}\""));
    let log = under_attack(&site, |server| {
        let began = Instant::now();
        let logged_in: Vec<bool> = thread::scope(|scope| {
            // More of them than the server has threads.
            let clients: Vec<_> = (0..8).map(|_| scope.spawn(|| login(server).1.ok)).collect();
            let clients = clients.into_iter();
            clients.map(|client| client.join().unwrap()).collect()
        });
        // There is one lock for all of them.
        assert!(logged_in.contains(&true));
        // Three quarters of the call's wall-time, side by side.
        let took = began.elapsed();
        assert!(took > Duration::from_secs(2), "{took:?}");
        assert!(took < Duration::from_secs(15), "{took:?}");
    });
    told(&log, &["the peer said Err"]);
    let given_up = log.lines().filter(|line| {
        line.contains("a connection failed") && line.contains(&place) && line.contains("timed out")
    });
    assert!(given_up.count() > 0, "{log}");
    assert!(!log.contains("plugin call failed"), "{log}");
}

//! Misdeeds that any call can do.

use std::fs::File;
use std::hint::black_box;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use restante_guest::prelude::*;

use crate::store;

/// Octets of one very large text.
const HUGE: usize = 12 << 20;

/// Octets of a large one that the host still takes.
const LARGE: usize = 1_900_000;

/// A hash that would take minutes, and a gigabyte.
const MINUTES: &str =
    "$argon2id$v=19$m=1048576,t=100,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// One that is within the bounds, and takes as long as the bounds let it.
const A_SECOND: &str =
    "$argon2id$v=19$m=65536,t=16,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Does what is named, or nothing if it is none of these.
pub(crate) fn commit(misdeed: &str, call: &str) {
    match misdeed {
        "trap" => panic!("trapped in {call}"),
        "exit" => std::process::exit(0),
        "loop" => loop_for_ever(),
        "recursion" => drop(black_box(deeper(1))),
        "memory" => eat_memory(),
        "open-files" => open_files(),
        "handles" => store::make_handles(),
        "log" => {
            for line in 0..1_000_000 {
                log::info!("line {line} of a million");
            }
        }
        "stdout" => {
            let mut out = std::io::stdout();
            for _ in 0..64 {
                // It is to be taken, or refused; whichever, nothing may hang on it.
                let _ = out.write_all(&[b'x'; 1 << 20]);
            }
        }
        "huge-argument" => {
            let text = "a".repeat(HUGE);
            for _ in 0..10_000 {
                log::line(log::Level::Info, "huge", &text);
            }
        }
        "large-lines" => {
            // Each is less than the host takes, and nearly all of the work is the host's.
            let text = "a".repeat(LARGE);
            loop {
                log::line(log::Level::Info, "large", &text);
            }
        }
        "sleep" => std::thread::sleep(Duration::from_secs(3600)),
        "look-around" => look_around(),
        "connect" => connect_everywhere(),
        "connections" => make_connections(),
        "wait-for-peer" => wait_for_peer(),
        "hash-of-minutes" => {
            let answer = passwords::verify(MINUTES, "x");
            log::info!("a hash of minutes: {answer:?}");
        }
        "hashes" => loop {
            let _ = black_box(passwords::verify(A_SECOND, "x"));
        },
        _ => {}
    }
}

#[inline(never)]
fn loop_for_ever() {
    let mut turns = 0u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}

/// Nothing of it lies in linear memory: it is the host's own stack that grows.
#[inline(never)]
#[allow(unconditional_recursion, reason = "what it is for")]
fn deeper(depth: usize) -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let step = NEXT.load(Ordering::Relaxed) + 1;
    deeper(depth + step).wrapping_mul(3) ^ depth
}

#[inline(never)]
fn eat_memory() {
    let mut eaten: Vec<Vec<u8>> = Vec::new();
    loop {
        eaten.push(black_box(vec![1; 1 << 20]));
    }
}

/// Files that are never closed.
fn open_files() {
    for count in 0..1_000_000 {
        match File::open("/maildrop/own") {
            Ok(file) => std::mem::forget(file),
            Err(error) => panic!("no more than {count} files: {error}"),
        }
    }
}

/// Tries every path of the setting `paths` in every way that reads it.
fn look_around() {
    for path in settings::get("paths").unwrap_or_default().lines() {
        let path = path.replace("NUL", "\0");
        let absolute = format!("/maildrop/{path}");
        let touch = |way: &str, reached: bool| {
            let seen = if reached { "reached" } else { "nothing" };
            log::info!("{seen} by {way}: {path:?}");
        };
        touch("open", std::fs::read(&absolute).is_ok());
        touch(
            "write",
            File::options().append(true).open(&absolute).is_ok(),
        );
        touch(
            "list",
            std::fs::read_dir(&absolute).is_ok_and(|mut all| all.next().is_some()),
        );
        touch(
            "files.read",
            files::read(&path, 0, 100).is_ok_and(|chunk| chunk.is_some()),
        );
        touch(
            "files.measure",
            files::measure(&path).is_ok_and(|weight| weight.is_some()),
        );
        touch(
            "files.scan",
            files::scan(&path).is_ok_and(|all| all.iter().next().is_some()),
        );
        let target = format!("{absolute}.link");
        touch("hard link", std::fs::hard_link(&absolute, &target).is_ok());
        touch(
            "rename",
            std::fs::rename(&absolute, "/maildrop/renamed").is_ok(),
        );
    }
}

/// The places of the setting `places`.
fn places() -> Vec<String> {
    let places = settings::get("places").unwrap_or_default();
    places.lines().map(str::to_owned).collect()
}

/// Tries to reach every place, in the order that they stand in.
fn connect_everywhere() {
    let touch = |what: &str, reached: bool| {
        let seen = if reached { "reached" } else { "nothing" };
        log::info!("{seen}: {what}");
    };
    for place in places() {
        touch(&place, TcpStream::connect(&place).is_ok());
    }
    touch("listening", TcpListener::bind("127.0.0.1:0").is_ok());
    touch("UDP", UdpSocket::bind("127.0.0.1:0").is_ok());
}

/// Connections that are never closed.
fn make_connections() {
    let place = places().pop().unwrap_or_default();
    for count in 0..1000 {
        match TcpStream::connect(&place) {
            Ok(stream) => std::mem::forget(stream),
            Err(error) => {
                log::info!("no more than {count} connections: {error}");
                return;
            }
        }
    }
}

/// Waits for what never comes.
fn wait_for_peer() {
    let place = places().pop().unwrap_or_default();
    let read = TcpStream::connect(&place).and_then(|mut peer| peer.read(&mut [0; 100]));
    log::info!("the peer said {read:?}");
}

/// What the settings of this plugin are, and what the world says besides.
pub(crate) fn settings_in_words() -> String {
    let mut seen: Vec<String> = settings::all()
        .into_iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    seen.extend(std::env::vars().map(|(key, value)| format!("env {key}={value}")));
    seen.extend(std::env::args());
    let asked = [
        "secret",
        "../neighbour/secret",
        "plugin.other.settings.secret",
        "",
    ];
    seen.extend(asked.iter().filter_map(|key| settings::get(key)));
    seen.join(" ")
}

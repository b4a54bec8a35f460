//! An authenticator that fails in every way a guest can fail; the user name
//! says which. Everybody else is let in.

use std::hint::black_box;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use restante_guest::prelude::*;

struct Trapping;

restante_guest::export! { authenticator: Trapping }

impl Authenticator for Trapping {
    fn authenticate(_: Connection, credentials: Credentials) -> Result<Account, Denial> {
        let Some((user, _)) = credentials.into_password() else {
            return Err(Denial::Unknown);
        };
        match user.as_str() {
            "panic" => panic_in_a_named_function(),
            "loop" => loop_for_ever(),
            "memory" => eat_memory(),
            "stack" => drop(black_box(recurse(0))),
            "sleep" => std::thread::sleep(Duration::from_secs(3600)),
            "exit" => std::process::exit(0),
            "chatter" => chatter(),
            "forge" => eprintln!("\n2026-01-01T00:00:00Z  INFO forged line\r\n\x1b[2J"),
            "reach" => return Err(Denial::Failed(Failure::temporary(within_reach()))),
            _ => {}
        }
        Ok(Account::new(user))
    }
}

#[inline(never)]
fn panic_in_a_named_function() {
    panic!("words of the panic");
}

#[inline(never)]
fn loop_for_ever() {
    let mut turns = 0u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}

#[inline(never)]
fn eat_memory() {
    let mut eaten: Vec<Vec<u8>> = Vec::new();
    loop {
        eaten.push(black_box(vec![1; 1 << 20]));
    }
}

#[inline(never)]
#[allow(
    unconditional_recursion,
    reason = "what it is for: the guest's stack overflows"
)]
fn recurse(depth: u64) -> u64 {
    let room = black_box([depth; 64]);
    black_box(recurse(depth + 1)) + room[0]
}

/// More lines, and longer ones, than anybody wants in a log.
fn chatter() {
    for line in 0..100_000 {
        eprintln!("chatter {line}");
    }
    eprintln!("{}", "long ".repeat(100_000));
}

/// What of the world this guest can touch without a grant; none of it should
/// be. In words, for the test.
fn within_reach() -> String {
    let mut reached = Vec::new();
    let mut touch = |what: &str, touched: bool| {
        if touched {
            reached.push(what.to_owned());
        }
    };
    touch("a file", std::fs::read("/etc/passwd").is_ok());
    touch("the root", std::fs::read_dir("/").is_ok());
    touch("this directory", std::fs::read_dir(".").is_ok());
    touch("a maildrop", std::fs::read_dir("/maildrop").is_ok());
    touch("writing", std::fs::write("/tmp/reach", "").is_ok());
    touch("the environment", std::env::vars().next().is_some());
    touch("arguments", std::env::args().next().is_some());
    touch("UDP", UdpSocket::bind("127.0.0.1:0").is_ok());
    touch("listening", TcpListener::bind("127.0.0.1:0").is_ok());
    // Somebody listens there: the server that this guest runs in.
    let port = settings::get("port").and_then(|port| port.parse::<u16>().ok());
    touch(
        "TCP",
        TcpStream::connect(("127.0.0.1", port.unwrap_or(80))).is_ok(),
    );
    touch(
        "names",
        std::net::ToSocketAddrs::to_socket_addrs("localhost:80").is_ok(),
    );
    match reached.is_empty() {
        true => "nothing is within reach".to_owned(),
        false => format!("within reach: {}", reached.join(", ")),
    }
}

//! A log that nobody reads: a full pipe holds up no client, and no signal.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use restante_tests::{Pop3, Site, binary, wait_for};
use rustix::process::{Pid, Signal, kill_process};

/// Sessions whose lines are several times what the pipe holds.
const SESSIONS: usize = 400;

#[test]
fn full_pipe_holds_up_neither_clients_nor_the_end() {
    let mut site = Site::new();
    site.user("ada", "x");
    site.maildir("ada").deliver(b"Subject: hello\n\nbody\n");
    let config = site.write_config(&site.config());
    let mut server = Command::new(binary())
        .arg("serve")
        .arg("--config")
        .arg(config)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(server.stderr.take().unwrap());
    let address = listening(&mut log);
    // From here on nobody reads, and the other end stays open.
    for _ in 0..SESSIONS {
        let mut client = Pop3::connect(address);
        assert!(client.authenticate("ada", "x").ok);
        assert_eq!(client.stat().0, 1);
        client.quit();
    }
    let pid = Pid::from_raw(i32::try_from(server.id()).unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    let status = wait_for("the end of the server", || server.try_wait().unwrap());
    assert_eq!((status.code(), status.signal()), (Some(0), None));
    // The pipe was full: what it holds is not all that there was to say.
    let left = log.lines().map_while(Result::ok);
    let logins = left.filter(|line| line.contains(" login ")).count();
    assert!(logins < SESSIONS, "the pipe held all lines: {logins}");
}

/// Reads the log up to where the server listens.
fn listening(log: &mut impl BufRead) -> SocketAddr {
    let mut seen = String::new();
    loop {
        let start = seen.len();
        assert!(log.read_line(&mut seen).unwrap() > 0, "{seen}");
        let line = &seen[start..];
        if line.contains("listening") && line.contains("listener=pop3 ") {
            let (_, rest) = line.split_once("address=").unwrap();
            return rest.split_whitespace().next().unwrap().parse().unwrap();
        }
    }
}

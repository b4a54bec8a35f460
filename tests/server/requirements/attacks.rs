//! Clients that mean no good.

use std::fs;

use restante_tests::{Pop3, Server, Site, Stream};
use std::net::TcpStream;

use crate::requirements::{MESSAGE, PASSWORD, Way, site};

/// How much the server may grow, in KiB, while it is asked for the same thing
/// again and again: far less than one forgotten answer for each time.
const GROWTH: u64 = 2 * 1024;

/// Runs it often enough that a leak of 4 KiB a time could not hide in
/// [`GROWTH`], and says by how many KiB the server grew.
fn growth(server: &Server, mut once: impl FnMut(usize)) -> u64 {
    const WARM: usize = 200;
    const TIMES: usize = 2000;
    (0..WARM).for_each(&mut once);
    let before = server.resident();
    (WARM..WARM + TIMES).for_each(&mut once);
    server.resident().saturating_sub(before)
}

/// Names in which somebody else's maildrop, a template or a line of the log is
/// hidden: each is in the passwd file with this password, so only the way from
/// the name to the maildrop stands between them.
#[test]
fn hostile_user_names_reach_nothing() {
    let names = [
        "../ada",
        "..",
        ".",
        "ada/../ada",
        "/etc",
        "ada/cur",
        "{user}",
        "{local}",
        "ada%00",
        "$(touch x)",
        "ada'\"`\\",
        "%s%n",
        "ada INFO login user=root",
    ];
    let mut site = site();
    for name in names {
        site.user(name, "x");
    }
    let server = site.start();
    for name in names {
        let mut client = Pop3::connect(server.pop3());
        let status = client.authenticate(name, "x");
        // Either it has a maildrop of its own, an empty one, or none.
        if status.ok {
            assert_eq!(client.stat(), (0, 0), "{name}");
        } else {
            assert!(status.text.starts_with("[SYS/"), "{name}: {status:?}");
        }
    }
    for name in ["ada\r\n", "ada\0", "ada\x1b[2J", "ada\n+OK"] {
        let mut client = Pop3::connect(server.pop3());
        client.send_octets(format!("USER {name}\r\nPASS x\r\nQUIT\r\n").as_bytes());
        let said = String::from_utf8(client.rest()).unwrap();
        assert!(!said.contains("messages"), "{name:?}: {said}");
    }
    assert_eq!(Pop3::login(server.pop3(), "ada", PASSWORD).stat().0, 1);
    let log = server.stop();
    assert!(!log.contains('\x1b') && !log.contains('\0'), "{log}");
    assert!(
        !log.lines()
            .any(|line| line.trim_start().starts_with("INFO login user=root")),
        "{log}"
    );
    let entries = fs::read_dir(site.path().join("mail")).unwrap();
    assert_eq!(entries.count(), 1, "nothing was made beside ada's maildrop");
}

/// CVE-2025-59028.
#[test]
fn invalid_base64_disturbs_nobody_else() {
    let site = site();
    let server = site.start();
    let mut victim = Way::Implicit.connect(&site, &server);
    victim.send("AUTH LOGIN");
    assert_eq!(victim.challenge(), "VXNlcm5hbWU6");
    for junk in ["=AAA", "AAA=BBB", "%%%%", "\u{e4}", "A"] {
        let mut other = Way::Stls.connect(&site, &server);
        other.send("AUTH LOGIN");
        other.challenge();
        other.refused(junk);
        other.refused(&format!("AUTH PLAIN {junk}"));
    }
    victim.send("YWRh");
    assert_eq!(victim.challenge(), "UGFzc3dvcmQ6");
    // "secret of ada"
    victim.accepted("c2VjcmV0IG9mIGFkYQ==");
    assert_eq!(victim.stat().0, 1);
    victim.quit();
    server.stop();
}

/// CVE-2017-15132: also over many connections, each of which keeps within its
/// bad commands.
#[test]
fn cancelled_exchanges_cost_no_memory() {
    let site = site();
    let server = site.start();
    let grown = growth(&server, |_| {
        let mut client = Way::Clear.connect(&site, &server);
        for _ in 0..3 {
            client.send("AUTH LOGIN");
            client.challenge();
            client.refused("*");
        }
        client.quit();
    });
    assert!(grown < GROWTH, "grew by {grown} KiB");
    server.stop();
}

/// CVE-2017-15130: every handshake asks for another name.
#[test]
fn random_server_names_cost_no_memory() {
    let site = Site::new();
    let server = site.start();
    let address = server.address("pop3s");
    let grown = growth(&server, |number| {
        let socket = Stream::Clear(TcpStream::connect(address).unwrap());
        let random = fastrand::u64(..);
        let name = format!("{number}-{random:x}.names.example");
        drop(socket.under_tls(&name, &site.certificate));
    });
    assert!(grown < GROWTH, "grew by {grown} KiB");
    server.stop();
}

/// Unique-ids are promised for ever, not from UPDATE on (RFC 1939 section 7).
#[test]
fn unique_ids_survive_sessions_without_update() {
    let site = site();
    let mut maildir = site.maildir("bob");
    maildir.deliver(MESSAGE);
    let server = site.start();
    let ids = || {
        restante_tests::wait_for("the lock to be free", || {
            let mut client = Pop3::connect(server.pop3());
            let status = client.authenticate("ada", PASSWORD);
            status.ok.then(|| {
                let ids = client.uidl();
                client.accepted("DELE 1");
                client.drop_connection();
                ids
            })
        })
    };
    let first = ids();
    assert_eq!(first.len(), 1);
    for _ in 0..3 {
        assert_eq!(ids(), first);
    }
    server.stop();
}

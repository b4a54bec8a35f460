//! Guests that compute without end, and take what there is to take.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use restante_tests::{Pop3, run_to_end};

use crate::arena::{HONEST, knock, logged_in, login, site, temporary, told, under_attack};

fn deed(misdeed: &str, at: &str) -> String {
    format!("misdeed = {misdeed:?}\nat = {at:?}\n")
}

/// More of them than the server has threads.
#[test]
fn endless_loop() {
    let mut site = site("authenticator", &deed("loop", "authenticate"));
    // Eight of them and the neighbours share the processors.
    site.plugins[2].limits = site.plugins[2].limits.replace("\"4s\"", "\"60s\"");
    let log = under_attack(&site, |server| {
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| temporary(&login(server).1));
            }
        });
    });
    let lines = told(
        &log,
        &["authenticator.authenticate", "CPU time", "loop_for_ever"],
    );
    assert!(lines.len() <= 8, "one line for each call: {lines:#?}");
}

#[test]
fn deep_recursion() {
    let site = site("filter", &deed("recursion", "screen"));
    let log = under_attack(&site, |server| temporary(&login(server).1));
    told(&log, &["filter.screen", "call stack exhausted", "deeper"]);
}

#[test]
fn memory_growth() {
    let site = site("store", &deed("memory", "listing"));
    let log = under_attack(&site, |server| {
        let before = server.resident();
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    // The maildrop's lock lets one in at a time.
                    let (_, status) = login(server);
                    assert!(!status.ok, "{status:?}");
                });
            }
        });
        let grown = server.resident().saturating_sub(before);
        assert!(grown < 64 * 1024, "{grown} KiB more");
    });
    told(
        &log,
        &["store.listing", "memory limit reached", "eat_memory"],
    );
}

/// Rust has no word for a table that grows: this guest is written by hand.
#[test]
fn table_growth() {
    let mut site = site("admission", "");
    let component = site.path().join("tables.wasm");
    fs::write(&component, wat::parse_str(TABLES).unwrap()).unwrap();
    site.plugins[2].component = component.display().to_string();
    let log = under_attack(&site, |server| {
        let before = server.resident();
        for _ in 0..3 {
            let mut client = knock(&site, server);
            temporary(&client.status());
            client.closed();
        }
        let grown = server.resident().saturating_sub(before);
        assert!(grown < 64 * 1024, "{grown} KiB more");
    });
    told(&log, &["admission.admit", "table limit reached"]);
}

/// An admission whose table grows until it cannot, and which traps then.
const TABLES: &str = r#"
(component
  (import "restante:plugin/types@0.1.0" (instance $types
    (type $tls (record
      (field "version" string) (field "cipher" string) (field "server-name" (option string))
      (field "client-certificate" (option (list u8)))))
    (export "tls" (type $named-tls (eq $tls)))
    (type $connection (record
      (field "session" string) (field "tenant" string) (field "listener" string)
      (field "client-address" string) (field "client-port" u16)
      (field "tls" (option $named-tls))))
    (export "connection" (type (eq $connection)))))
  (alias export $types "connection" (type $connection))
  (core module $module
    (memory (export "memory") 1)
    (table $table 1 funcref)
    (global $free (mut i32) (i32.const 1024))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (global.get $free)
      (global.set $free (i32.and (i32.add (i32.add (global.get $free) (local.get 3))
        (i32.const 7)) (i32.const -8))))
    (func (export "admit") (param i32) (result i32)
      (loop $more
        (br_if $more (i32.ne (i32.const -1)
          (table.grow $table (ref.null func) (i32.const 1000)))))
      unreachable))
  (core instance $core (instantiate $module))
  (type $verdict (variant (case "admit") (case "delay" u32) (case "deny" string)))
  (export $named-verdict "verdict" (type $verdict))
  (func $admit (param "connection" $connection) (result $named-verdict)
    (canon lift (core func $core "admit") (memory (core memory $core "memory"))
      (realloc (core func $core "realloc"))))
  (instance $admission
    (export "connection" (type $connection))
    (export "verdict" (type $named-verdict))
    (export "admit" (func $admit)))
  (export "restante:plugin/admission@0.1.0" (instance $admission)))
"#;

#[test]
fn trap_in_every_export_of_a_login() {
    for (role, at, call) in [
        (
            "authenticator",
            "authenticate",
            "authenticator.authenticate",
        ),
        ("store", "open", "store.open"),
        ("store", "stamp", "store.stamp"),
        ("store", "listing", "store.listing"),
        ("selector", "select", "selector.select"),
        ("filter", "screen", "filter.screen"),
    ] {
        let site = site(role, &deed("trap", at));
        let log = under_attack(&site, |server| {
            let (mut client, status) = login(server);
            temporary(&status);
            // The session is in step, and nobody is let in the second time.
            temporary(&client.authenticate("ada", "x"));
            client.quit();
        });
        told(&log, &[call, &format!("trapped in {at}")]);
    }
}

#[test]
fn trap_before_the_greeting() {
    let site = site("admission", &deed("trap", "admit"));
    let log = under_attack(&site, |server| {
        let mut client = knock(&site, server);
        temporary(&client.status());
        client.closed();
    });
    told(&log, &["admission.admit", "trapped in admit"]);
}

#[test]
fn trap_in_a_session() {
    for (at, call) in [("content", "store.content"), ("remove", "store.remove")] {
        let site = site("store", &deed("trap", at));
        let log = under_attack(&site, |server| {
            let mut client = logged_in(server);
            client.accepted("DELE 1");
            if at == "content" {
                temporary(&client.command("RETR 2"));
                client.accepted("RSET");
                client.quit();
            } else {
                temporary(&client.command("QUIT"));
                client.closed();
            }
        });
        told(&log, &[call, &format!("trapped in {at}")]);
    }
}

/// In the reader, and in what runs when it is given back.
#[test]
fn trap_in_a_reader() {
    for (at, call) in [("read", "store.reader.read"), ("drop", "store.reader.drop")] {
        let settings = format!("{}octets = \"1000000\"\n", deed("trap", at));
        let site = site("store", &settings);
        let log = under_attack(&site, |server| {
            let mut client = logged_in(server);
            if at == "read" {
                temporary(&client.command("RETR 2"));
            } else {
                assert_eq!(client.retr(2).len(), 1_000_000);
                temporary(&client.command("RETR 2"));
            }
            assert_eq!(client.retr(1), HONEST);
            client.quit();
        });
        told(&log, &[call, &format!("trapped in {at}")]);
    }
}

/// What is asked when a generation is built is the operator's to hear.
#[test]
fn trap_while_a_generation_is_built() {
    for (at, words) in [
        ("validate", "looks over its settings"),
        ("accepts", "which credentials it accepts"),
    ] {
        let site = site("authenticator", &deed("trap", at));
        let finished = run_to_end(
            std::process::Command::new(restante_tests::binary())
                .args(["check", "--config"])
                .arg(site.write_config(&site.config())),
        );
        assert_eq!(finished.code, Some(1), "{finished:?}");
        let said = format!("{}{}", finished.stdout, finished.stderr);
        assert!(
            said.contains("[plugin.hostile]") && said.contains(words),
            "{said}"
        );
        assert!(said.contains(&format!("trapped in {at}")), "{said}");
    }
}

#[test]
fn trap_where_scram_asks() {
    let site = site(
        "authenticator",
        &format!("{}scram = true\n", deed("trap", "lookup")),
    );
    let log = under_attack(&site, |server| {
        let mut client = Pop3::connect(server.pop3());
        // n,,n=ada,r=rOprNGfwEbeRWgbNEkqO
        let first = "biwsbj1hZGEscj1yT3ByTkdmd0ViZVJXZ2JORWtxTw==";
        temporary(&client.command(&format!("AUTH SCRAM-SHA-256 {first}")));
        assert!(client.authenticate("ada", "x").ok);
        client.quit();
    });
    told(&log, &["scram.lookup", "trapped in lookup"]);
}

/// Open files are the process's, and all tenants share them.
#[test]
fn leaked_files() {
    let site = site("store", &deed("open-files", "content"));
    fs::write(site.maildir_path("ada").join("own"), "own").unwrap();
    let log = under_attack(&site, |server| {
        let before = server.descriptors();
        let mut client = logged_in(server);
        temporary(&client.command("RETR 2"));
        client.quit();
        // They are closed elsewhere, soon.
        let mut after = server.descriptors();
        for _ in 0..100 {
            if after < before + 100 {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
            after = server.descriptors();
        }
        assert!(after < before + 100, "{before} descriptors, then {after}");
    });
    told(&log, &["store.content"]);
}

#[test]
fn leaked_handles() {
    let site = site("store", &deed("handles", "content"));
    let log = under_attack(&site, |server| {
        let before = server.resident();
        let mut client = logged_in(server);
        temporary(&client.command("RETR 2"));
        client.quit();
        let grown = server.resident().saturating_sub(before);
        assert!(grown < 64 * 1024, "{grown} KiB more");
    });
    told(&log, &["store.content"]);
}

/// A guest that waits has its time, and no more.
#[test]
fn blocked_in_every_role() {
    for (role, at, call) in [
        (
            "authenticator",
            "authenticate",
            "authenticator.authenticate",
        ),
        ("store", "listing", "store.listing"),
        ("filter", "screen", "filter.screen"),
    ] {
        let site = site(role, &deed("sleep", at));
        let log = under_attack(&site, |server| {
            let asked = Instant::now();
            temporary(&login(server).1);
            assert!(
                asked.elapsed() < Duration::from_secs(30),
                "{:?}",
                asked.elapsed()
            );
        });
        told(&log, &[call, "wall-time"]);
    }
}

//! The commands of `restante` that ask the admin address.

use std::fs;
use std::process::Command;

use restante_tests::{Finished, Pop3, Site, binary, run_to_end};
use serde_json::Value;

use crate::admin::{address, site, site_with_socket};

/// `restante` with these arguments, in the site's folder.
pub(crate) fn restante(arguments: &[&str], site: &Site) -> Finished {
    run_to_end(
        Command::new(binary())
            .args(arguments)
            .current_dir(site.path())
            .env_remove("RUST_LOG"),
    )
}

#[test]
fn commands_show_tables_and_json() {
    let site = site_with_socket();
    let server = site.start();
    let at = ["--admin", "unix:admin.sock"];
    let run = |arguments: &[&str]| restante(&[arguments, &at].concat(), &site);
    let mut ada = Pop3::login(server.pop3(), "ada", "x");
    ada.retr(1);
    let bob = Pop3::login(server.pop3(), "bob", "x");

    let status = run(&["status"]);
    assert_eq!(status.code, Some(0), "{}", status.stderr);
    assert!(
        status.stdout.contains("state        serving\n"),
        "{}",
        status.stdout
    );
    assert!(
        status.stdout.contains("connections  2 (2 logged in)\n"),
        "{}",
        status.stdout
    );

    let listed = run(&["sessions"]);
    let lines: Vec<&str> = listed.stdout.lines().collect();
    assert_eq!(lines.len(), 3, "{}", listed.stdout);
    assert!(lines[0].starts_with("SESSION "), "{}", lines[0]);
    let column = lines[0].find("USER").unwrap();
    assert_eq!(&lines[1][column..column + 4], "ada ");
    assert_eq!(&lines[2][column..column + 4], "bob ");
    let json: Value = serde_json::from_str(&run(&["sessions", "--json"]).stdout).unwrap();
    assert_eq!(json["sessions"].as_array().unwrap().len(), 2);
    let only = run(&["sessions", "--user", "bob", "--json"]);
    let only: Value = serde_json::from_str(&only.stdout).unwrap();
    assert_eq!(only["sessions"].as_array().unwrap().len(), 1);
    assert_eq!(only["sessions"][0]["user"], "bob");

    let tenants = run(&["tenants"]);
    let lines: Vec<&str> = tenants.stdout.lines().collect();
    assert_eq!(lines.len(), 2, "{}", tenants.stdout);
    assert!(lines[1].starts_with("test "), "{}", tenants.stdout);

    let kicked = run(&["kick", "--user", "bob"]);
    assert_eq!(kicked.code, Some(0), "{}", kicked.stderr);
    assert_eq!(kicked.stdout, "1 session ended; nothing was deleted\n");
    let mut bob = bob;
    bob.closed();
    let nobody = run(&["kick", "no-such"]);
    assert_eq!(nobody.code, Some(1));
    assert!(
        nobody.stderr.contains("there is no such session"),
        "{}",
        nobody.stderr
    );
    assert_eq!(run(&["kick"]).code, Some(2));

    let done = run(&["reload"]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert!(
        done.stdout
            .starts_with("reloaded: generation 2, 1 tenant, 2 plugins"),
        "{}",
        done.stdout
    );
    let bad = site.config().replace("hostname", "hostnam");
    site.write_config(&bad);
    // Also where it is said by the file that is wrong.
    let refused = restante(&["reload", "--config", "restante.toml"], &site);
    assert_eq!(refused.code, Some(1));
    assert!(
        refused
            .stderr
            .contains("restante.toml:2:1: unknown key `hostnam`"),
        "{}",
        refused.stderr
    );
    assert!(
        refused.stderr.contains("nothing reloaded"),
        "{}",
        refused.stderr
    );
    ada.quit();
    server.stop();

    let gone = run(&["status"]);
    assert_eq!(gone.code, Some(1));
    assert!(
        gone.stderr.contains("the server does not answer"),
        "{}",
        gone.stderr
    );
    assert!(
        gone.stderr.contains("is the server running"),
        "{}",
        gone.stderr
    );
}

#[test]
fn commands_find_the_token() {
    let site = site();
    let server = site.start();
    let at = address(&server).to_string();
    let run = |more: &[&str]| restante(&[&["status", "--admin", &at], more].concat(), &site);
    // The port of the file is 0, the token it names is the right one.
    assert_eq!(run(&["--config", "restante.toml"]).code, Some(0));
    assert_eq!(run(&["--token-file", "token"]).code, Some(0));
    let none = run(&[]);
    assert_eq!(none.code, Some(1));
    assert!(none.stderr.contains("--token-file"), "{}", none.stderr);
    fs::write(site.path().join("other"), "some-other-token-of-20").unwrap();
    let wrong = run(&["--token-file", "other"]);
    assert_eq!(wrong.code, Some(1));
    assert!(
        wrong.stderr.contains("is not the server's"),
        "{}",
        wrong.stderr
    );
    server.stop();
    assert_eq!(restante(&["status"], &site).code, Some(2));
    let plain = Site::new();
    plain.write_config(&plain.config());
    let none = restante(&["status", "--config", "restante.toml"], &plain);
    assert_eq!(none.code, Some(1));
    assert!(
        none.stderr.contains("names no admin address"),
        "{}",
        none.stderr
    );
}

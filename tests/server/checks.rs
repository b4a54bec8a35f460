//! `restante check` finds what `serve` would find, with the rights that the server will
//! have, and leaves nothing behind.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, lchown};
use std::path::Path;

use restante_tests::{Certificate, Finished, Plugin, Site};

fn says(checked: &Finished, code: i32, words: &[&str]) {
    assert_eq!(checked.code, Some(code), "{checked:#?}");
    for word in words {
        assert!(checked.stderr.contains(word), "no {word:?} in {checked:#?}");
    }
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn check_leaves_no_state_directory_behind() {
    let mut site = Site::new();
    site.state = site.path().join("var/state");
    says(&site.check(), 0, &[": in order ("]);
    assert!(!site.path().join("var").exists());
}

#[test]
fn check_looks_with_the_rights_of_the_servers_user() {
    const NOBODY: u32 = 65534;
    let mut site = Site::new();
    site.server = "user = \"nobody\"\n".to_owned();
    site.state = site.path().join("state");
    if !rustix::process::geteuid().is_root() {
        let words = "what \"nobody\" may read and write is not known";
        says(&site.check(), 0, &["warning: ", words]);
        return;
    }
    chmod(site.path(), 0o755);
    // Readable for root alone, as it often is.
    chmod(&site.certificate.key, 0o600);
    let key = site.certificate.key.display().to_string();
    says(
        &site.check(),
        1,
        &[&key, "cannot be read: Permission denied"],
    );
    lchown(&site.certificate.key, Some(NOBODY), None).unwrap();
    says(&site.check(), 0, &[": in order ("]);
    assert!(!site.state.exists());

    // A directory that the user cannot go through: each login would fail.
    let mail = site.path().join("mail");
    chmod(&mail, 0o700);
    let words = format!(
        "[plugin.mail.grants] maildrop: the server cannot use {}",
        mail.display()
    );
    says(&site.check(), 0, &["warning: ", &words]);
    chmod(&mail, 0o755);

    // A state directory that root left behind.
    fs::create_dir(&site.state).unwrap();
    chmod(&site.state, 0o700);
    says(
        &site.check(),
        0,
        &["the state directory cannot be used by this user"],
    );
    assert_eq!(fs::read_dir(&site.state).unwrap().count(), 0);
    fs::remove_dir(&site.state).unwrap();

    // What root reads at the start is read by the user at each reload.
    let config = site.write_config(&site.config());
    chmod(&config, 0o600);
    let checked = site.check();
    says(
        &checked,
        0,
        &[
            "warning: ",
            "no reload works: \"nobody\", who reads it then, finds",
        ],
    );
}

#[test]
fn certificates_that_turn_clients_away_are_told() {
    let mut site = Site::new();
    let names = |names: &[&str]| {
        names
            .iter()
            .map(|&name| name.to_owned())
            .collect::<Vec<_>>()
    };
    let tls = site.path().join("tls");
    let made = |names: &[String], days| Certificate::create_for(&tls, names, days);
    site.tenants[0].lines += "default = true\nserver-names = [\"pop.acme.example\"]\n";

    site.certificate = made(&names(&["pop.acme.example"]), 180);
    let checked = site.check();
    says(&checked, 0, &[": in order ("]);
    assert!(!checked.stderr.contains("certificate"), "{checked:#?}");

    site.certificate = made(&names(&["pop.acme.example"]), 20);
    says(
        &site.check(),
        0,
        &["server.pem ends on 20", " days: renew it"],
    );
    site.certificate = made(&names(&["pop.acme.example"]), -2);
    says(
        &site.check(),
        0,
        &["server.pem ended on 20", "clients refuse it"],
    );
    site.certificate = made(&names(&["pop.beta.example"]), 180);
    says(
        &site.check(),
        0,
        &["[tenant.test] no certificate is for pop.acme.example"],
    );

    chmod(&site.certificate.key, 0o644);
    says(
        &site.check(),
        0,
        &["others may read or change a private key", "0644"],
    );
    // The server says the same, and serves.
    let server = site.start();
    server.logged(&["WARN", "no certificate is for pop.acme.example"]);
    server.stop();
}

#[test]
fn a_port_that_another_server_has_is_told_with_its_process() {
    let mut site = Site::new();
    let server = site.start();
    let taken = server.pop3();
    let process = fs::read_link(server.proc("exe")).unwrap();
    assert!(process.ends_with("restante"), "{process:?}");
    site.listeners[0].address = taken.to_string();
    let words = format!("warning: listener `pop3`: {taken} is taken by process ");
    says(&site.check(), 0, &[&words, "(restante)"]);
    server.stop();
    let checked = site.check();
    says(&checked, 0, &[": in order ("]);
    assert!(!checked.stderr.contains("is taken"), "{checked:#?}");
}

#[test]
fn an_admin_token_that_cannot_be_read_is_a_problem() {
    let mut site = Site::new();
    let token = site.path().join("admin.token");
    site.server = format!("admin = \"127.0.0.1:0\"\nadmin-token-file = {token:?}\n");
    fs::write(&token, "short\n").unwrap();
    chmod(&token, 0o600);
    says(&site.check(), 1, &["admin-token-file", "admin.token"]);
    fs::write(&token, "long-enough-for-a-token\n").unwrap();
    says(&site.check(), 0, &[": in order ("]);
}

/// A directory for a plugin that writes, which this user may only read, cannot be made
/// for root: no mode stops it.
#[test]
fn a_granted_directory_that_cannot_be_written_is_told() {
    let mut site = Site::new();
    let folder = site.path().join("notes");
    fs::create_dir(&folder).unwrap();
    let mut notes = Plugin::new("notes", "builtin:rules");
    notes.grants = format!(
        "directories = [{{ host = {folder:?}, guest = \"/n\", access = \"read-write\" }}]\n"
    );
    site.plugins.push(notes);
    site.server = "user = \"nobody\"\n".to_owned();
    if !rustix::process::geteuid().is_root() {
        return;
    }
    chmod(site.path(), 0o755);
    lchown(&site.certificate.key, Some(65534), None).unwrap();
    let words = format!("the server cannot use and write to {}", folder.display());
    says(
        &site.check(),
        0,
        &["warning: [plugin.notes.grants] directories: ", &words],
    );
}

//! Maildrops that an engine keeps, served by `builtin:spool`. Nothing delivers into an engine
//! yet: mail comes into it by the crate that keeps it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use restante_engine::files::Files;
use restante_engine::postgres::{self, PostgresBlobs};
use restante_engine::sqlite::Sqlite;
use restante_engine::{
    Appended, Blobs, Entry, Folder, Limits, MAX_BLOB_CHUNK_BYTES, MailIndex, OWN_PLACE, Placed,
    Retention, Tables, blob_of_maildrop,
};
use restante_tests::{
    PgBouncer, Plugin, Pop3, Postgres, Server, Site, binary, run_to_end, ten_megabytes, wait_for,
};
use tokio::runtime::Runtime;

/// The name of the engine, in the configuration and in the index.
pub(crate) const ENGINE: &str = "mail";
/// The tenant of the site.
pub(crate) const TENANT: &str = "test";

pub(crate) const HELLO: &[u8] = b"Subject: hello\nTo: ada\n\nbody\n.\n..dots\nand no end";
pub(crate) const SECOND: &[u8] = b"Subject: second\r\n\r\nwith CRLF\r\n";

/// What somebody who is no server reaches of an engine.
pub(crate) struct Seed {
    runtime: Runtime,
    index: Arc<dyn MailIndex>,
    pub(crate) blobs: Arc<dyn Blobs>,
}

impl Seed {
    /// While no server has it open.
    pub(crate) fn embedded(directory: &Path) -> Seed {
        let index = Sqlite::open(
            &directory.join("mail.sqlite"),
            Retention::default(),
            Tables::Made,
        );
        Seed {
            runtime: Runtime::new().unwrap(),
            index: Arc::new(index.unwrap()),
            blobs: Arc::new(Files::open(&directory.join("blobs")).unwrap()),
        }
    }

    pub(crate) fn postgres(server: &Postgres, database: &str) -> Seed {
        let settings = postgres::Settings {
            url: server.url(database, None),
            password: Some(server.password().to_owned().into()),
            authorities: None,
        };
        let runtime = Runtime::new().unwrap();
        let opening = postgres::Postgres::open(&settings, Retention::default(), Tables::Made);
        let index = runtime.block_on(opening).unwrap();
        Seed {
            runtime,
            blobs: Arc::new(PostgresBlobs::new(&index, OWN_PLACE).unwrap()),
            index: Arc::new(index),
        }
    }

    /// A message for a user, under this path; its unique-id.
    pub(crate) fn deliver(&self, user: &str, path: &str, octets: &[u8]) -> String {
        let maildrop = format!("{TENANT}/{user}");
        let placed = Placed {
            place: OWN_PLACE.to_owned(),
            path: blob_of_maildrop(TENANT, &maildrop, path).unwrap(),
        };
        let entry = Entry {
            unique_id: None,
            octets: wire(octets).len() as u64,
            surrogate: None,
            received: 1_700_000_000,
            name: path.to_owned(),
            digest: None,
            weight: octets.len() as u64,
        };
        let folder = Folder::new(TENANT, &maildrop, "").unwrap();
        self.runtime.block_on(async {
            self.index.intend(&placed).await.unwrap();
            let blob = self.blobs.create(&placed.path, octets.len() as u64);
            let mut blob = blob.await.unwrap();
            for chunk in octets.chunks(MAX_BLOB_CHUNK_BYTES) {
                blob.write(chunk.to_vec().into()).await.unwrap();
            }
            blob.finish().await.unwrap();
            let free = Limits::default();
            let kept = self.index.append(&folder, &entry, &free, Some(&placed));
            match kept.await.unwrap() {
                Appended::Kept(unique_id) => unique_id,
                other => panic!("{other:?}"),
            }
        })
    }
}

/// As a client gets it: with CRLF after each line (RFC 1939 section 3).
pub(crate) fn wire(octets: &[u8]) -> Vec<u8> {
    let mut wire = Vec::new();
    for line in octets.split_inclusive(|octet| *octet == b'\n') {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        wire.extend_from_slice(line.strip_suffix(b"\r").unwrap_or(line));
        wire.extend_from_slice(b"\r\n");
    }
    wire
}

fn password(user: &str) -> String {
    format!("secret of {user}")
}

/// A site of ada and bob, whose maildrops are in an engine with this section.
fn site(section: &str) -> Site {
    let mut site = Site::new();
    for user in ["ada", "bob"] {
        site.user(user, &password(user));
    }
    site.first = format!("[engine.{ENGINE}]\n{section}");
    let mut mail = Plugin::new("mail", "builtin:spool");
    mail.grants = format!("maildrop = \"engine:{ENGINE}/{{tenant}}/{{user}}\"\n");
    site.plugins[1] = mail;
    site
}

/// A site with an embedded engine, and the engine's directory.
pub(crate) fn embedded() -> (Site, PathBuf) {
    let mut site = site("");
    let directory = site.path().join("engine");
    fs::create_dir(&directory).unwrap();
    site.first
        .push_str(&format!("kind = \"embedded\"\ndirectory = {directory:?}\n"));
    // Makes its tables.
    drop(Seed::embedded(&directory));
    (site, directory)
}

/// A site whose servers share an engine in a new database of this server.
pub(crate) fn shared(server: &Postgres) -> (Site, String) {
    shared_through(server, None)
}

/// The same, where the servers reach the database through this port.
pub(crate) fn shared_through(server: &Postgres, port: Option<u16>) -> (Site, String) {
    let database = server.database();
    let site = site(&format!(
        "kind = \"postgres\"\nurl = {:?}\npassword-file = {:?}\n",
        server.url(&database, port),
        server.password_file()
    ));
    // Makes its tables.
    drop(Seed::postgres(server, &database));
    (site, database)
}

pub(crate) fn node(site: &mut Site, name: &str) -> Server {
    site.server = format!("node = {name:?}\n");
    site.start()
}

pub(crate) fn login(server: &Server, user: &str) -> Pop3 {
    Pop3::login(server.pop3(), user, &password(user))
}

/// Logs in as soon as that is possible.
pub(crate) fn login_in_time(server: &Server, user: &str) -> Pop3 {
    wait_for("a login", || {
        let mut client = Pop3::connect(server.pop3());
        let status = client.authenticate(user, &password(user));
        status.ok.then_some(client)
    })
}

fn refused(server: &Server, user: &str, code: &str) {
    let mut client = Pop3::connect(server.pop3());
    let status = client.authenticate(user, &password(user));
    assert!(!status.ok && status.text.starts_with(code), "{status:?}");
}

pub(crate) fn unique_ids(client: &mut Pop3) -> Vec<String> {
    client.uidl().into_iter().map(|(_, id)| id).collect()
}

/// The files below a directory.
pub(crate) fn blob_files(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files.extend(blob_files(&path)),
            false => files.push(path),
        }
    }
    files
}

#[test]
fn mail_in_an_embedded_engine_is_served_to_the_octet_and_removed() {
    let (site, directory) = embedded();
    let large = ten_megabytes();
    let messages: [&[u8]; 3] = [HELLO, &large, SECOND];
    let seed = Seed::embedded(&directory);
    let ids: Vec<String> = ["1", "2026/2", "x/y/z"]
        .into_iter()
        .zip(messages)
        .map(|(path, octets)| seed.deliver("ada", path, octets))
        .collect();
    seed.deliver("bob", "1", b"Subject: for bob\n\n");
    drop(seed);
    let blobs = directory.join("blobs");
    assert_eq!(blob_files(&blobs).len(), 4);

    let server = site.start();
    let mut ada = login(&server, "ada");
    refused(&server, "ada", "[IN-USE]");
    let octets: usize = messages.iter().map(|octets| wire(octets).len()).sum();
    assert_eq!(ada.stat(), (3, octets as u64));
    assert_eq!(unique_ids(&mut ada), ids);
    for (number, octets) in (1..).zip(messages) {
        let status = ada.accepted(&format!("RETR {number}"));
        assert_eq!(status, format!("{} octets", wire(octets).len()));
        assert!(ada.body() == wire(octets), "message {number}");
    }
    assert_eq!(ada.top(1, 0), wire(b"Subject: hello\nTo: ada\n\n"));
    assert_eq!(
        ada.top(2, 1),
        wire(b"Subject: ten megabytes\n\n.line 0 of a long message\n")
    );
    ada.accepted("DELE 2");
    ada.quit();
    let mut bob = login(&server, "bob");
    assert_eq!(bob.retr(1), wire(b"Subject: for bob\n\n"));
    bob.quit();

    let left = |server: &Server| {
        let mut ada = login(server, "ada");
        assert_eq!(unique_ids(&mut ada), [ids[0].clone(), ids[2].clone()]);
        assert_eq!(ada.retr(2), wire(SECOND));
        // What is marked and not followed by QUIT stays.
        ada.accepted("DELE 1");
        ada.drop_connection();
    };
    left(&server);
    server.stop();
    let again = site.start();
    left(&again);
    // A server looks for garbage when it opens the engine, and each minute.
    wait_for("the octets of the removed message to be removed", || {
        (blob_files(&blobs).len() == 3).then_some(())
    });
    again.stop();
    // What comes meanwhile is seen, after what was there.
    let seed = Seed::embedded(&directory);
    let new = seed.deliver("ada", "new", HELLO);
    drop(seed);
    let third = site.start();
    let mut ada = login(&third, "ada");
    let all = [ids[0].clone(), ids[2].clone(), new];
    assert_eq!(unique_ids(&mut ada), all);
    ada.quit();
}

/// A directory that is empty since its file system is away is no new engine.
#[test]
fn an_engine_is_made_by_nobody_but_the_operator() {
    let (site, directory) = embedded();
    fs::remove_dir_all(&directory).unwrap();
    fs::create_dir(&directory).unwrap();
    let server = site.start();
    refused(&server, "ada", "[SYS/TEMP]");
    assert!(blob_files(&directory).is_empty());
    server.logged(&["engine migrate", "there are no tables in it"]);
    let config = site.write_config(&site.config());
    let migrate = |more: &[&str]| {
        let mut command = Command::new(binary());
        command.args(["engine", "migrate", "--config"]).arg(&config);
        run_to_end(command.arg(ENGINE).args(more))
    };
    let told = migrate(&[]);
    assert_eq!(told.code, Some(0), "{told:?}");
    assert!(told.stdout.contains("--yes makes them"), "{told:?}");
    assert!(blob_files(&directory).is_empty());
    let made = migrate(&["--yes"]);
    assert_eq!(made.code, Some(0), "{made:?}");
    let mut ada = login_in_time(&server, "ada");
    assert_eq!(ada.stat(), (0, 0));
    ada.quit();
}

/// Where nothing was ever delivered there is nothing.
#[test]
fn a_maildrop_without_mail_is_empty() {
    let (site, _directory) = embedded();
    let server = site.start();
    let mut ada = login(&server, "ada");
    assert_eq!(ada.stat(), (0, 0));
    ada.quit();
}

#[test]
fn a_message_whose_octets_are_cut_never_looks_whole() {
    let (site, directory) = embedded();
    let large = [b"Subject: large\n\n".to_vec(), b"line\n".repeat(100_000)].concat();
    let seed = Seed::embedded(&directory);
    let blobs = directory.join("blobs");
    for (path, octets) in [("a", &*large), ("b", HELLO), ("c", HELLO), ("d", SECOND)] {
        seed.deliver("ada", path, octets);
    }
    drop(seed);
    let file = |path: &str| {
        let all = blob_files(&blobs).into_iter();
        let is_it = |file: &PathBuf| file.to_str().unwrap().ends_with(&format!("%2F{path}"));
        all.into_iter().find(is_it).unwrap()
    };
    let cut = |path: &str, octets: usize| {
        let file = File::options().write(true).open(file(path)).unwrap();
        file.set_len(octets as u64).unwrap();
    };
    cut("a", large.len() - 10);
    cut("b", HELLO.len() - 10);
    fs::remove_file(file("c")).unwrap();
    let server = site.start();
    let mut ada = login(&server, "ada");
    for number in [2, 3] {
        let said = ada.refused(&format!("RETR {number}"));
        assert!(said.starts_with("[SYS/TEMP]"), "{number}: {said}");
    }
    assert_eq!(ada.retr(4), wire(SECOND));
    // So much of it is right that it shows only at its end.
    ada.accepted("RETR 1");
    let got = ada.rest();
    assert!(got.len() > large.len() / 2, "{}", got.len());
    assert!(!got.ends_with(b"\r\n.\r\n"));
    server.logged(&["WARN", "broke off"]);
    // The maildrop is as it was.
    let mut ada = login_in_time(&server, "ada");
    assert_eq!(ada.stat().0, 4);
    ada.quit();
}

/// The first one to open it has it.
#[test]
fn an_embedded_engine_is_one_servers() {
    let (site, directory) = embedded();
    let seed = Seed::embedded(&directory);
    seed.deliver("ada", "1", HELLO);
    drop(seed);
    let first = site.start();
    login(&first, "ada").quit();
    let second = site.start();
    second.logged(&[
        "WARN",
        "an engine cannot be used yet",
        "only one process can",
    ]);
    refused(&second, "ada", "[SYS/TEMP]");
    second.logged(&["login failed", "only one process can"]);
    first.stop();
    let mut ada = login_in_time(&second, "ada");
    assert_eq!(ada.retr(1), wire(HELLO));
    ada.quit();
}

#[test]
fn holds_and_maildrops_may_be_of_one_embedded_engine() {
    let (mut site, _directory) = embedded();
    site.server = format!("node = \"mx-a\"\nholds = \"{ENGINE}\"\n");
    let server = site.start();
    let ada = login(&server, "ada");
    refused(&server, "ada", "[IN-USE]");
    ada.quit();
    login(&server, "ada").quit();
}

#[test]
fn two_servers_never_have_one_maildrop_of_an_engine_open_at_once() {
    let test = "two_servers_never_have_one_maildrop_of_an_engine_open_at_once";
    let Some(postgres) = Postgres::shared(test) else {
        return;
    };
    one_has_it_open_at_once(postgres, None);
}

#[test]
fn behind_a_pooler_one_server_has_a_maildrop_open_at_once() {
    let test = "behind_a_pooler_one_server_has_a_maildrop_open_at_once";
    let Some(postgres) = Postgres::shared(test) else {
        return;
    };
    let Some(pooler) = PgBouncer::start(test, postgres) else {
        return;
    };
    one_has_it_open_at_once(postgres, Some(pooler.port()));
}

/// Two servers, which reach the database through this port.
fn one_has_it_open_at_once(postgres: &Postgres, port: Option<u16>) {
    let (mut site, database) = shared_through(postgres, port);
    let (a, b) = (node(&mut site, "mx-a"), node(&mut site, "mx-b"));
    // The first login opens the engine.
    login(&a, "ada").quit();
    let seed = Seed::postgres(postgres, &database);
    let large = ten_megabytes();
    let ids = [HELLO, &*large].map(|octets| {
        let path = octets.len().to_string();
        seed.deliver("ada", &path, octets)
    });
    let mut first = login(&a, "ada");
    refused(&b, "ada", "[IN-USE]");
    let line = b.logged(&["login failed", "mx-a"]);
    assert!(line.contains("has had the maildrop open"), "{line}");
    // Another maildrop is free.
    login(&b, "bob").quit();
    assert!(first.retr(2) == wire(&large));
    first.accepted("DELE 1");
    first.quit();
    // At once: it was given back before the answer.
    let mut second = login(&b, "ada");
    assert_eq!(unique_ids(&mut second), [ids[1].clone()]);
    assert!(second.retr(1) == wire(&large));
    refused(&a, "ada", "[IN-USE]");
    drop(second);
    login_in_time(&a, "ada").quit();
    for server in [a, b] {
        let log = server.stop();
        assert!(log.contains("left"), "{log}");
    }
}

#[test]
fn a_hold_that_was_taken_over_removes_nothing_from_an_engine() {
    let test = "a_hold_that_was_taken_over_removes_nothing_from_an_engine";
    let Some(postgres) = Postgres::shared(test) else {
        return;
    };
    let (mut site, database) = shared(postgres);
    let seed = Seed::postgres(postgres, &database);
    seed.deliver("ada", "1", HELLO);
    let server = node(&mut site, "mx-a");
    let mut ada = login(&server, "ada");
    ada.accepted("DELE 1");
    // As another server does to the holds of one that has stood still for too long.
    let taken = "update restante.hold set token = gen_random_uuid() where token is not null";
    postgres.run(&database, taken);
    let said = ada.refused("QUIT");
    assert!(said.starts_with("[SYS/TEMP]"), "{said}");
    let left = "select count(*) from restante.message";
    assert_eq!(postgres.run(&database, left), "1");
    postgres.run(&database, "update restante.hold set token = null");
    let mut ada = login_in_time(&server, "ada");
    ada.accepted("DELE 1");
    ada.quit();
    assert_eq!(postgres.run(&database, left), "0");
}

#[test]
fn an_engine_that_is_away_refuses_logins_and_is_back_without_a_restart() {
    let test = "an_engine_that_is_away_refuses_logins_and_is_back_without_a_restart";
    let Some(postgres) = Postgres::start(test) else {
        return;
    };
    let (mut site, database) = shared(&postgres);
    let seed = Seed::postgres(&postgres, &database);
    for path in ["1", "2"] {
        seed.deliver("ada", path, HELLO);
    }
    let a = node(&mut site, "mx-a");
    let mut ada = login(&a, "ada");
    ada.accepted("DELE 1");
    postgres.stop();
    let said = ada.refused("RETR 2");
    assert!(said.starts_with("[SYS/TEMP]"), "{said}");
    assert_eq!(ada.list().len(), 1);
    let said = ada.refused("QUIT");
    assert!(said.starts_with("[SYS/TEMP]"), "{said}");
    refused(&a, "bob", "[SYS/TEMP]");
    // It keeps no server from starting.
    let b = node(&mut site, "mx-b");
    b.logged(&["WARN", "an engine cannot be used yet", ENGINE]);
    refused(&b, "bob", "[SYS/TEMP]");
    let config = site.write_config(&site.config());
    let mut deep = Command::new(binary());
    let deep = run_to_end(deep.args(["check", "--deep", "--config"]).arg(config));
    assert_eq!(deep.code, Some(1), "{deep:?}");
    assert!(deep.stderr.contains("[engine.mail]"), "{deep:?}");
    postgres.restart();
    login_in_time(&b, "bob").quit();
    let mut ada = login_in_time(&a, "ada");
    assert_eq!(ada.stat().0, 2);
    assert_eq!(ada.retr(2), wire(HELLO));
    ada.accepted("DELE 1");
    ada.quit();
    assert_eq!(
        postgres.run(&database, "select count(*) from restante.message"),
        "1"
    );
}

/// A reload goes on with the engines that are open.
#[test]
fn engines_are_opened_once_for_all_generations() {
    let (mut site, directory) = embedded();
    let seed = Seed::embedded(&directory);
    seed.deliver("ada", "1", HELLO);
    drop(seed);
    let server = site.start();
    let mut before = login(&server, "ada");
    site.limits = "login-failures = 7\n".into();
    site.write_config(&site.config());
    assert!(!server.reload().contains("nothing reloaded"));
    login(&server, "bob").quit();
    assert_eq!(before.retr(1), wire(HELLO));
    before.accepted("DELE 1");
    before.quit();
    // A plugin cannot be granted what was not there at the start.
    let other = site.path().join("other");
    fs::create_dir(&other).unwrap();
    site.first.push_str(&format!(
        "[engine.other]\nkind = \"embedded\"\ndirectory = {other:?}\n"
    ));
    site.plugins[1].grants = "maildrop = \"engine:other/{tenant}/{user}\"\n".into();
    site.write_config(&site.config());
    assert!(server.reload().contains("nothing reloaded"));
    server.logged(&["[engine.other]", "restart it"]);
    let mut ada = login(&server, "ada");
    assert_eq!(ada.stat().0, 0);
    ada.quit();
}

/// The index as it was then answers for the engine.
#[test]
fn a_recorded_session_on_an_engine_replays_the_same() {
    let (mut site, directory) = embedded();
    let seed = Seed::embedded(&directory);
    seed.deliver("ada", "1", HELLO);
    seed.deliver("ada", "2", SECOND);
    drop(seed);
    let recordings = site.path().join("recordings");
    let path = recordings.to_str().unwrap();
    let arguments = ["--record", path, "--record-tenant", TENANT];
    site.arguments = arguments.map(str::to_owned).to_vec();
    let server = site.start();
    let mut ada = login(&server, "ada");
    assert_eq!(ada.retr(1), wire(HELLO));
    ada.accepted("DELE 2");
    ada.quit();
    server.stop();
    let files = blob_files(&recordings).into_iter();
    let text: String = files
        .map(|file| fs::read_to_string(file).unwrap())
        .collect();
    for call in ["mail-index.state", "mail-index.read", "mail-index.remove"] {
        assert!(text.contains(call), "{call} is not in {text}");
    }
    let cache = std::env::temp_dir().join("restante-test-kit");
    let mut replay = Command::new(binary());
    replay.args(["plugin", "replay"]).arg(&recordings);
    let replayed = run_to_end(
        replay
            .args(["builtin:spool", "--json"])
            .env("XDG_CACHE_HOME", cache),
    );
    assert_eq!(replayed.code, Some(0), "{replayed:#?}");
    let report: serde_json::Value = serde_json::from_str(&replayed.stdout).unwrap();
    assert_eq!(report["different"], 0, "{report:#}");
    assert!(report["same"].as_u64().unwrap() >= 4, "{report:#}");
}

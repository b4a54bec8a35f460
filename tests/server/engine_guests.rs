//! What the host does for stores beside the mail index: they read messages of their maildrop in
//! an engine (`blobs`), and are told the fence of their session's hold (`hold`).

use std::fs;
use std::process::Command;

use restante_engine::blob_of_maildrop;
use restante_tests::{
    Plugin, Pop3, Postgres, Server, Site, binary, run_to_end, ten_megabytes, test_guest,
};

use crate::engine_maildrops::{
    ENGINE, HELLO, SECOND, Seed, TENANT, blob_files, embedded, login, node, shared, wire,
};

/// The site's store is the guest "peeking", which tries these paths at each login.
fn peeking(site: &mut Site, reach: &[String]) {
    let mut mail = Plugin::new("mail", test_guest("peeking").display().to_string());
    mail.grants = site.plugins[1].grants.clone();
    if !reach.is_empty() {
        mail.settings = format!("reach = {reach:?}\n");
    }
    site.plugins[1] = mail;
}

/// What the store was told in this session.
fn fence(client: &mut Pop3) -> Option<u64> {
    let message = String::from_utf8(client.retr(1)).unwrap();
    let (_, told) = message.split_once("\r\n\r\n").unwrap();
    match told.trim() {
        "none" => None,
        told => Some(told.parse().unwrap()),
    }
}

/// The fence of a session of ada's, which is the same for as long as it lasts.
fn fence_of_session(server: &Server) -> Option<u64> {
    let mut ada = login(server, "ada");
    let told = fence(&mut ada);
    assert_eq!(fence(&mut ada), told);
    ada.quit();
    told
}

/// Sessions on these servers, one after another, have larger and larger fences; the last one
/// is returned.
fn grows(before: u64, servers: &[&Server]) -> u64 {
    servers.iter().fold(before, |before, server| {
        let told = fence_of_session(server).expect("holds are shared");
        assert!(told > before, "{told} after {before}");
        told
    })
}

#[test]
fn a_store_reads_the_messages_of_its_maildrop_and_of_no_other() {
    let (mut site, directory) = embedded();
    let large = ten_megabytes();
    let messages: [(&str, &[u8]); 3] = [("1", HELLO), ("2026/2", &large), ("3", SECOND)];
    let seed = Seed::embedded(&directory);
    for (path, octets) in messages {
        seed.deliver("ada", path, octets);
    }
    seed.deliver("bob", "for-bob", b"Subject: for bob\n\n");
    drop(seed);
    let bobs = blob_of_maildrop(TENANT, &format!("{TENANT}/bob"), "for-bob").unwrap();
    let others = [
        "for-bob".to_owned(),
        bobs.to_string(),
        format!("../../{bobs}"),
        format!("../../blobs/{bobs}"),
        format!("/{bobs}"),
    ];
    let own = ["1".to_owned(), "not-there".to_owned()];
    peeking(&mut site, &[&own[..], &others[..]].concat());
    let server = site.start();
    let mut ada = login(&server, "ada");
    assert_eq!(ada.list().len(), 1 + messages.len());
    for (number, (path, octets)) in (2..).zip(messages) {
        assert!(ada.retr(number) == wire(octets), "{path}");
    }
    ada.quit();
    server.logged(&[&format!("reached 1: {} octets", HELLO.len())]);
    server.logged(&["reached not-there: nothing"]);
    for path in others {
        let line = server.logged(&[&format!("reached {path}: ")]);
        let is_out_of_reach = line.contains(": nothing") || line.contains(": refused");
        assert!(is_out_of_reach, "{line}");
    }
}

#[test]
fn each_session_of_an_embedded_engine_has_a_larger_fence() {
    let (mut site, _directory) = embedded();
    peeking(&mut site, &[]);
    let mut last = 0;
    for _ in 0..2 {
        let server = site.start();
        last = grows(last, &[&server, &server]);
        server.stop();
    }
}

#[test]
fn fences_grow_over_all_servers_that_share_an_engine() {
    let test = "fences_grow_over_all_servers_that_share_an_engine";
    let Some(postgres) = Postgres::shared(test) else {
        return;
    };
    let (mut site, database) = shared(postgres);
    Seed::postgres(postgres, &database).deliver("ada", "1", HELLO);
    peeking(&mut site, &[]);
    let (a, b) = (node(&mut site, "mx-a"), node(&mut site, "mx-b"));
    grows(0, &[&a, &b, &b, &a]);
    let mut ada = login(&b, "ada");
    assert_eq!(ada.retr(2), wire(HELLO));
    ada.quit();
}

/// Also where the mail is in no engine: in a directory, or where the host does not see it.
#[test]
fn a_store_of_its_own_is_told_the_fence_of_the_holds_that_servers_share() {
    let test = "a_store_of_its_own_is_told_the_fence_of_the_holds_that_servers_share";
    let Some(postgres) = Postgres::shared(test) else {
        return;
    };
    let (mut site, _database) = shared(postgres);
    let directory = site.path().join("mail/{user}");
    let directory = format!("maildrop = {directory:?}\n");
    site.maildir("ada");
    let mut last = 0;
    for grants in [directory, String::new()] {
        site.plugins[1].grants = grants;
        peeking(&mut site, &[]);
        let [a, b] = ["mx-a", "mx-b"].map(|name| {
            site.server = format!("node = {name:?}\nholds = {ENGINE:?}\n");
            site.start()
        });
        last = grows(last, &[&a, &b, &a]);
        for server in [a, b] {
            server.stop();
        }
    }
}

#[test]
fn a_hold_of_one_server_alone_has_no_fence() {
    let mut site = Site::new();
    site.user("ada", "secret of ada");
    peeking(&mut site, &[]);
    let server = site.start();
    for _ in 0..2 {
        assert_eq!(fence_of_session(&server), None);
    }
}

/// What the host told the store then it tells it again, and no engine is asked.
#[test]
fn a_recorded_session_replays_with_the_messages_and_the_fence_of_then() {
    let (mut site, directory) = embedded();
    let seed = Seed::embedded(&directory);
    seed.deliver("ada", "1", HELLO);
    seed.deliver("ada", "2", SECOND);
    drop(seed);
    peeking(&mut site, &["1".to_owned(), "not-there".to_owned()]);
    let component = site.plugins[1].component.clone();
    let recordings = site.path().join("recordings");
    let path = recordings.to_str().unwrap();
    let arguments = ["--record", path, "--record-tenant", TENANT, "--record-mail"];
    site.arguments = arguments.map(str::to_owned).to_vec();
    let server = site.start();
    let mut ada = login(&server, "ada");
    let told = fence(&mut ada).expect("the engine has a fence");
    assert_eq!(ada.retr(2), wire(HELLO));
    assert_eq!(ada.retr(3), wire(SECOND));
    ada.quit();
    server.stop();
    let files = blob_files(&recordings).into_iter();
    let text: String = files
        .map(|file| fs::read_to_string(file).unwrap())
        .collect();
    for words in ["blobs.read", "hold.fence", &format!("{{\"ok\":{told}}}")] {
        assert!(text.contains(words), "{words} is not in {text}");
    }
    let cache = std::env::temp_dir().join("restante-test-kit");
    let mut replay = Command::new(binary());
    replay.args(["plugin", "replay"]).arg(&recordings);
    let replay = replay.args([component.as_str(), "--json"]);
    let replayed = run_to_end(replay.env("XDG_CACHE_HOME", cache));
    assert_eq!(replayed.code, Some(0), "{replayed:#?}");
    let report: serde_json::Value = serde_json::from_str(&replayed.stdout).unwrap();
    assert_eq!(report["different"], 0, "{report:#}");
    assert!(report["same"].as_u64().unwrap() >= 4, "{report:#}");
}

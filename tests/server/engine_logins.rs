//! A maildrop in an engine that is as it was: what a login asks of its store and of the engine.

use std::fs;

use restante_tests::{PgBouncer, Postgres, Server, Site};

use crate::admin::http::Client;
use crate::admin::{TOKEN, client, metrics};
use crate::engine_maildrops::{
    ENGINE, HELLO, SECOND, Seed, TENANT, embedded, login, node, shared, shared_through, unique_ids,
    wire,
};

/// Starts a server with more keys of `[server]`, whose counts can be read.
fn watched(site: &mut Site, keys: &str) -> (Server, Client) {
    fs::write(site.path().join("token"), format!("{TOKEN}\n")).unwrap();
    site.server = format!("{keys}admin = \"127.0.0.1:0\"\nadmin-token-file = \"token\"\n");
    let server = site.start();
    let admin = client(&server);
    (server, admin)
}

/// What was asked until now.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Asked {
    instances: f64,
    store: f64,
    /// Calls of the engine's index, other than those that came with holds.
    index: f64,
}

fn asked(admin: &Client) -> Asked {
    let seen = metrics(admin);
    let plugin = |role| {
        let labels = [("plugin", "mail"), ("role", role)];
        let calls = seen.sample("restante_plugin_call_seconds_count", &labels);
        calls.unwrap_or_default()
    };
    let index = ["state", "read", "changes"].map(|call| {
        let labels = [("engine", ENGINE), ("call", call)];
        let calls = seen.sample("restante_engine_call_seconds_count", &labels);
        calls.unwrap_or_default()
    });
    Asked {
        instances: plugin("instantiate"),
        store: plugin("store"),
        index: index.iter().sum(),
    }
}

/// What ada's client sees: unique-ids, and octets.
fn listed(server: &Server) -> Vec<(String, u64)> {
    let mut ada = login(server, "ada");
    let octets = ada.list().into_iter().map(|(_, octets)| octets);
    let octets: Vec<u64> = octets.collect();
    let ids = unique_ids(&mut ada);
    ada.quit();
    assert_eq!(ids.len(), octets.len());
    ids.into_iter().zip(octets).collect()
}

/// A message that was delivered, as it is listed.
fn as_listed(id: &str, octets: &[u8]) -> (String, u64) {
    (id.to_owned(), wire(octets).len() as u64)
}

/// Logs in some times, and sees that this is all there is, without the store.
fn is_known(server: &Server, admin: &Client, messages: &[(String, u64)]) {
    let before = asked(admin);
    for _ in 0..3 {
        assert_eq!(listed(server), messages);
    }
    assert_eq!(asked(admin), before);
}

#[test]
fn a_maildrop_of_an_engine_that_is_as_it_was_is_listed_without_its_store() {
    let (mut site, directory) = embedded();
    let seed = Seed::embedded(&directory);
    let first = as_listed(&seed.deliver("ada", "1", HELLO), HELLO);
    let second = as_listed(&seed.deliver("ada", "2", SECOND), SECOND);
    drop(seed);
    let (server, admin) = watched(&mut site, "");
    let all = [first, second.clone()];
    assert_eq!(listed(&server), all);
    let cold = asked(&admin);
    assert!(
        cold.instances >= 1.0 && cold.store >= 1.0 && cold.index >= 2.0,
        "{cold:?}"
    );
    is_known(&server, &admin, &all);
    // Where nothing was ever delivered that is known, too.
    login(&server, "bob").quit();
    let before = asked(&admin);
    let mut bob = login(&server, "bob");
    assert_eq!(bob.stat(), (0, 0));
    bob.quit();
    assert_eq!(asked(&admin), before);
    // A session whose listing was known goes on like others.
    let mut ada = login(&server, "ada");
    assert_eq!(asked(&admin), before);
    assert_eq!(ada.retr(2), wire(SECOND));
    assert_eq!(ada.retr(1), wire(HELLO));
    let fetched = asked(&admin);
    assert!(fetched.store > before.store, "who else knows its name?");
    assert_eq!(fetched.index, before.index);
    ada.accepted("DELE 1");
    ada.quit();
    assert_eq!(listed(&server), std::slice::from_ref(&second));
    is_known(&server, &admin, &[second]);
}

#[test]
fn what_changed_between_two_logins_is_seen() {
    let Some(postgres) = Postgres::shared("what_changed_between_two_logins_is_seen") else {
        return;
    };
    changes_are_seen(postgres, None);
}

#[test]
fn behind_a_pooler_what_changed_between_two_logins_is_seen() {
    let test = "behind_a_pooler_what_changed_between_two_logins_is_seen";
    let Some(postgres) = Postgres::shared(test) else {
        return;
    };
    let Some(pooler) = PgBouncer::start(test, postgres) else {
        return;
    };
    changes_are_seen(postgres, Some(pooler.port()));
}

/// Of two servers, which reach the database through this port.
fn changes_are_seen(postgres: &Postgres, port: Option<u16>) {
    let (mut site, database) = shared_through(postgres, port);
    let (server, admin) = watched(&mut site, "node = \"mx-a\"\n");
    let other = node(&mut site, "mx-b");
    let seed = Seed::postgres(postgres, &database);
    let first = as_listed(&seed.deliver("ada", "1", HELLO), HELLO);
    assert_eq!(listed(&server), std::slice::from_ref(&first));
    is_known(&server, &admin, std::slice::from_ref(&first));
    // A delivery, which asks nobody for the maildrop.
    let second = as_listed(&seed.deliver("ada", "2", SECOND), SECOND);
    let all = [first, second.clone()];
    assert_eq!(listed(&server), all);
    is_known(&server, &admin, &all);
    // A delivery while the session is there is of the next one.
    let mut ada = login(&server, "ada");
    let third = as_listed(&seed.deliver("ada", "3", HELLO), HELLO);
    assert_eq!(ada.stat().0, 2);
    ada.quit();
    let all = [&all[..], std::slice::from_ref(&third)].concat();
    assert_eq!(listed(&server), all);
    is_known(&server, &admin, &all);
    // Another server's session removes.
    let mut ada = login(&other, "ada");
    ada.accepted("DELE 1");
    ada.quit();
    let left = [second, third];
    assert_eq!(listed(&server), left);
    is_known(&server, &admin, &left);
    // And one removes what another delivery has made up for.
    let mut ada = login(&other, "ada");
    ada.accepted("DELE 2");
    ada.quit();
    let again = as_listed(&seed.deliver("ada", "4", HELLO), HELLO);
    let [second, _] = left;
    assert_eq!(listed(&server), [second, again]);
}

/// As when the engine is restored from a backup, or its standby was behind.
#[test]
fn an_index_that_was_set_back_is_read_again() {
    let Some(postgres) = Postgres::shared("an_index_that_was_set_back_is_read_again") else {
        return;
    };
    let (mut site, database) = shared(postgres);
    let (server, admin) = watched(&mut site, "node = \"mx-a\"\n");
    let seed = Seed::postgres(postgres, &database);
    let first = as_listed(&seed.deliver("ada", "1", HELLO), HELLO);
    let second = as_listed(&seed.deliver("ada", "2", HELLO), HELLO);
    let set_back = || {
        let octets = wire(HELLO).len();
        let sql = format!(
            "delete from restante.message where number = 2;
            update restante.maildrop set version = 1, messages = 1, octets = {octets}"
        );
        postgres.run(&database, &sql);
    };
    let both = [first.clone(), second];
    assert_eq!(listed(&server), both);
    is_known(&server, &admin, &both);
    set_back();
    assert_eq!(listed(&server), std::slice::from_ref(&first));
    server.logged(&["WARN", "older than it was", "ada"]);
    is_known(&server, &admin, std::slice::from_ref(&first));
    // Set back, and of the same version again by what came: that is another message, under the
    // unique-id of the one that is lost.
    let second = as_listed(&seed.deliver("ada", "3", HELLO), HELLO);
    assert_eq!(listed(&server), [first.clone(), second]);
    set_back();
    let third = as_listed(&seed.deliver("ada", "4", SECOND), SECOND);
    let now = [first, third];
    assert_eq!(listed(&server), now);
    let mut ada = login(&server, "ada");
    assert_eq!(ada.retr(2), wire(SECOND));
    ada.quit();
    is_known(&server, &admin, &now);
}

/// A recording has all that was asked, so all is asked.
#[test]
fn while_sessions_are_recorded_the_store_is_asked_at_each_login() {
    let (mut site, directory) = embedded();
    let seed = Seed::embedded(&directory);
    let only = as_listed(&seed.deliver("ada", "1", HELLO), HELLO);
    drop(seed);
    let recordings = site.path().join("recordings");
    let path = recordings.to_str().unwrap();
    let arguments = ["--record", path, "--record-tenant", TENANT];
    site.arguments = arguments.map(str::to_owned).to_vec();
    let (server, admin) = watched(&mut site, "");
    let mut before = asked(&admin);
    for _ in 0..3 {
        assert_eq!(listed(&server), std::slice::from_ref(&only));
        let now = asked(&admin);
        assert!(now.instances > before.instances, "{now:?}");
        assert!(now.index > before.index, "{now:?}");
        before = now;
    }
}

//! Maildrops of an engine whose larger messages are in a bucket, which may be away.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use restante_engine::SplitBlobs;
use restante_engine::s3::{S3, S3Credentials, S3Settings};
use restante_tests::{
    Bucket, Fault, Finished, ObjectStore, Pop3, Postgres, S3Kind, S3Server, Site, binary,
    run_to_end, ten_megabytes, wait_for,
};

use crate::engine_maildrops::{
    ENGINE, HELLO, SECOND, Seed, embedded, login, login_in_time, node, shared, wire,
};

/// Octets of the largest message that is not in the bucket.
const MAX_INLINE: usize = 16 << 10;

/// Puts the larger messages of a site's engine into this bucket.
pub(crate) fn with_bucket(site: &mut Site, bucket: &Bucket) {
    let key = site.path().join("s3-key");
    fs::write(&key, bucket.credentials).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    site.first.push_str(&format!(
        "[engine.{ENGINE}.s3]\nendpoint = {:?}\nbucket = {:?}\nregion = {:?}\nprefix = {:?}\ncredentials-file = {key:?}\n",
        bucket.endpoint,
        Bucket::NAME,
        Bucket::REGION,
        bucket.prefix
    ));
    if let Some(authority) = &bucket.authority {
        site.first.push_str(&format!("ca-file = {authority:?}\n"));
    }
}

/// Delivers as a server with such a section would.
fn into_bucket(mut seed: Seed, bucket: &Bucket) -> Seed {
    let s3 = S3::new(&S3Settings {
        endpoint: bucket.endpoint.clone(),
        bucket: Bucket::NAME.to_owned(),
        region: Bucket::REGION.to_owned(),
        credentials: S3Credentials::parse(bucket.credentials).unwrap(),
        prefix: bucket.prefix.clone(),
        authorities_file: bucket.authority.clone(),
        reads_back: true,
    });
    let (small, large) = (seed.blobs.clone(), Arc::new(s3.unwrap()));
    seed.blobs = Arc::new(SplitBlobs::new(small, large, MAX_INLINE as u64));
    seed
}

fn objects(store: &ObjectStore) -> usize {
    store.objects.lock().unwrap().len()
}

fn status(site: &Site) -> Finished {
    let config = site.write_config(&site.config());
    let mut status = Command::new(binary());
    run_to_end(status.args(["engine", "status", "--config"]).arg(config))
}

/// A message of so many octets.
fn message(octets: usize) -> Vec<u8> {
    let mut message = b"Subject: of some size\n\n".to_vec();
    while message.len() < octets {
        message.extend_from_slice(b"a line of fewer octets than eighty\n");
    }
    message.truncate(octets);
    message
}

/// Messages of all sizes on their way through a bucket, and out of it. `objects` counts what is
/// in it.
fn messages_come_and_go(postgres: &Postgres, bucket: &Bucket, objects: impl Fn() -> usize) {
    let (mut site, database) = shared(postgres);
    // What was there before there was a bucket stays where it is.
    let before = message(MAX_INLINE + 1);
    Seed::postgres(postgres, &database).deliver("ada", "before", &before);
    with_bucket(&mut site, bucket);
    let seed = into_bucket(Seed::postgres(postgres, &database), bucket);
    let large = ten_megabytes();
    let (longest, next) = (message(MAX_INLINE), message(MAX_INLINE + 1));
    let messages: [&[u8]; 5] = [HELLO, &large, &longest, &next, SECOND];
    for (path, octets) in (1..).zip(messages) {
        seed.deliver("ada", &path.to_string(), octets);
    }
    assert_eq!(objects(), 2);
    let rows = || postgres.run(&database, "select count(*) from restante.blob");
    assert_eq!(rows(), "4");
    let server = node(&mut site, "mx-a");
    let found = status(&site);
    assert_eq!(found.code, Some(0), "{found:?}");
    let mut ada = login(&server, "ada");
    let mut all = vec![&before[..]];
    all.extend(messages);
    for (number, octets) in (1..).zip(all) {
        assert!(ada.retr(number) == wire(octets), "message {number}");
    }
    assert_eq!(
        ada.top(3, 1),
        wire(b"Subject: ten megabytes\n\n.line 0 of a long message\n")
    );
    for number in 1..=6 {
        ada.accepted(&format!("DELE {number}"));
    }
    ada.quit();
    server.stop();
    // A server looks for garbage when it opens the engine, and each minute.
    let again = node(&mut site, "mx-a");
    wait_for("octets of the removed messages to be removed", || {
        (objects() == 0 && rows() == "0").then_some(())
    });
    again.stop();
}

#[test]
fn large_messages_come_from_the_bucket_and_small_ones_from_the_engine() {
    let test = "large_messages_come_from_the_bucket_and_small_ones_from_the_engine";
    let Some(postgres) = Postgres::shared(test) else {
        return;
    };
    let store = ObjectStore::start();
    messages_come_and_go(postgres, &store.bucket(), || objects(&store));
}

#[test]
fn messages_come_and_go_through_a_server_that_checks_signatures() {
    let test = "messages_come_and_go_through_a_server_that_checks_signatures";
    let Some(postgres) = Postgres::shared(test) else {
        return;
    };
    let Some(store) = S3Server::shared(S3Kind::S3sFs, test) else {
        return;
    };
    let bucket = store.bucket();
    messages_come_and_go(postgres, &bucket, || store.objects(&bucket.prefix));
    // Who has the wrong secret is told what to look at.
    let wrong = Bucket {
        credentials: "aws_access_key_id = KEY\naws_secret_access_key = guessed\n",
        ..store.bucket()
    };
    let (mut site, _database) = shared(postgres);
    site.server = "node = \"mx-a\"\n".to_owned();
    with_bucket(&mut site, &wrong);
    let refused = status(&site);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(
        refused.stdout.contains("see the credentials file"),
        "{refused:?}"
    );
}

#[test]
fn messages_come_and_go_under_tls() {
    let test = "messages_come_and_go_under_tls";
    let Some(postgres) = Postgres::shared(test) else {
        return;
    };
    let Some(store) = S3Server::shared(S3Kind::S3rverTls, test) else {
        return;
    };
    let bucket = store.bucket();
    messages_come_and_go(postgres, &bucket, || store.objects(&bucket.prefix));
}

#[test]
fn while_the_bucket_is_away_all_but_its_messages_is_served() {
    let test = "while_the_bucket_is_away_all_but_its_messages_is_served";
    let Some(postgres) = Postgres::shared(test) else {
        return;
    };
    let store = ObjectStore::start();
    let (mut site, database) = shared(postgres);
    with_bucket(&mut site, &store.bucket());
    let seed = into_bucket(Seed::postgres(postgres, &database), &store.bucket());
    let large = message(3 << 20);
    for (path, octets) in [("1", HELLO), ("2", &*large), ("3", &*large)] {
        seed.deliver("ada", path, octets);
    }
    let server = node(&mut site, "mx-a");
    let found = status(&site);
    assert_eq!(found.code, Some(0), "{found:?}");
    store.fail(Fault::Close, u32::MAX);
    let away = status(&site);
    assert_eq!(away.code, Some(1), "{away:?}");
    assert!(away.stdout.contains("its bucket: "), "{away:?}");
    let mut ada = login(&server, "ada");
    assert_eq!(ada.list().len(), 3);
    assert_eq!(ada.uidl().len(), 3);
    let refused = ada.refused("RETR 2");
    assert!(refused.starts_with("[SYS/TEMP]"), "{refused}");
    assert_eq!(ada.retr(1), wire(HELLO));
    ada.accepted("DELE 2");
    ada.quit();
    let mut ada = login(&server, "ada");
    assert_eq!(ada.stat().0, 2);
    // One that is silent is away too.
    store.fail(Fault::Hang, u32::MAX);
    let refused = ada.refused("RETR 2");
    assert!(refused.starts_with("[SYS/TEMP]"), "{refused}");
    store.recover();
    // And is back, in the same session.
    assert!(ada.retr(2) == wire(&large));
    ada.quit();
    for (fault, remedy) in [
        (
            Fault::Answer(403, "AccessDenied"),
            "see the credentials file",
        ),
        (
            Fault::Answer(404, "NoSuchBucket"),
            "there is no such bucket",
        ),
    ] {
        store.fail(fault, u32::MAX);
        let away = status(&site);
        assert_eq!(away.code, Some(1), "{away:?}");
        assert!(away.stdout.contains(remedy), "{away:?}");
    }
    store.recover();
    server.stop();
    let again = node(&mut site, "mx-a");
    wait_for("the removed message to go from the bucket", || {
        (objects(&store) == 1).then_some(())
    });
    again.stop();
}

/// Whoever has no bucket would forget what is to be removed from it.
#[test]
fn the_bucket_of_an_engine_is_changed_on_purpose_alone() {
    let store = ObjectStore::start();
    let (mut site, directory) = embedded();
    let seed = Seed::embedded(&directory);
    seed.deliver("ada", "1", HELLO);
    drop(seed);
    let without = site.first.clone();
    with_bucket(&mut site, &store.bucket());
    let server = site.start();
    login_in_time(&server, "ada").quit();
    server.stop();
    site.first = without;
    let migrate = |site: &Site, yes: &[&str]| {
        let config = site.write_config(&site.config());
        let mut migrate = Command::new(binary());
        migrate.args(["engine", "migrate", "--config"]).arg(config);
        let done = run_to_end(migrate.arg(ENGINE).args(yes));
        assert_eq!(done.code, Some(0), "{done:?}");
        done.stdout
    };
    for _ in 0..2 {
        let found = status(&site);
        assert_eq!(found.code, Some(1), "{found:?}");
        assert!(found.stdout.contains("\"bucket/mail/\""), "{found:?}");
        let told = migrate(&site, &[]);
        for words in [
            "\"bucket/mail/\"",
            "No object is moved",
            "nothing was changed",
        ] {
            assert!(told.contains(words), "{told}");
        }
    }
    let server = site.start();
    let mut ada = Pop3::connect(server.pop3());
    let refused = ada.authenticate("ada", "secret of ada");
    assert!(!refused.ok, "{refused:?}");
    assert!(refused.text.starts_with("[SYS/TEMP]"), "{refused:?}");
    server.logged(&["WARN", "bucket/mail/"]);
    server.stop();
    let told = migrate(&site, &["--yes"]);
    assert!(told.ends_with("done\n"), "{told}");
    let found = status(&site);
    assert_eq!(found.code, Some(0), "{found:?}");
    let server = site.start();
    let mut ada = login_in_time(&server, "ada");
    assert_eq!(ada.retr(1), wire(HELLO));
    ada.quit();
    server.stop();
}

/// Small messages wait for the same places.
#[test]
fn a_bucket_that_is_silent_takes_no_small_messages_down() {
    const SESSIONS: usize = 10;
    let user = |number: usize| format!("user{number}");
    let store = ObjectStore::start();
    let (mut site, directory) = embedded();
    with_bucket(&mut site, &store.bucket());
    let seed = into_bucket(Seed::embedded(&directory), &store.bucket());
    let large = message(1 << 20);
    for number in 0..SESSIONS {
        site.user(&user(number), &format!("secret of {}", user(number)));
        seed.deliver(&user(number), "1", &large);
    }
    seed.deliver("ada", "1", HELLO);
    drop(seed);
    let server = site.start();
    let mut ada = login_in_time(&server, "ada");
    store.fail(Fault::Hang, u32::MAX);
    let mut sessions: Vec<_> = (0..SESSIONS)
        .map(|number| login(&server, &user(number)))
        .collect();
    std::thread::scope(|threads| {
        for session in &mut sessions {
            threads.spawn(move || {
                let begun = Instant::now();
                let refused = session.refused("RETR 1");
                assert!(refused.starts_with("[SYS/TEMP]"), "{refused}");
                let took = begun.elapsed();
                assert!(took < Duration::from_secs(12), "{took:?}");
            });
        }
        // All of them wait, for the bucket or for a place.
        std::thread::sleep(Duration::from_millis(500));
        let begun = Instant::now();
        assert_eq!(ada.retr(1), wire(HELLO));
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(6), "{took:?}");
    });
    // By now the server knows: they fail one after the other, and take nobody's time.
    let begun = Instant::now();
    std::thread::scope(|threads| {
        for session in &mut sessions {
            threads.spawn(move || session.refused("RETR 1"));
        }
        std::thread::sleep(Duration::from_millis(500));
        assert_eq!(ada.retr(1), wire(HELLO));
        let took = begun.elapsed();
        assert!(took < Duration::from_millis(2500), "{took:?}");
    });
    store.recover();
    for session in &mut sessions {
        assert!(session.retr(1) == wire(&large));
    }
}

#[test]
fn a_message_that_a_bucket_cuts_never_looks_whole() {
    let store = ObjectStore::start();
    let (mut site, directory) = embedded();
    with_bucket(&mut site, &store.bucket());
    let seed = into_bucket(Seed::embedded(&directory), &store.bucket());
    // Of several ranges.
    let large = message(3 << 20);
    seed.deliver("ada", "1", &large);
    drop(seed);
    let server = site.start();
    // The first range, and all attempts at it: nothing was promised yet.
    for fault in [Fault::Cut, Fault::WrongRange, Fault::Close] {
        store.fail(fault, u32::MAX);
        let mut ada = login_in_time(&server, "ada");
        let refused = ada.refused("RETR 1");
        assert!(refused.starts_with("[SYS/TEMP]"), "{fault:?}: {refused}");
        ada.quit();
        store.recover();
    }
    // A later one, and all attempts at it.
    for fault in [
        Fault::Cut,
        Fault::WrongRange,
        Fault::IgnoreRange,
        Fault::Answer(404, "NoSuchKey"),
    ] {
        store.fail_later(1, fault, u32::MAX);
        let mut ada = login_in_time(&server, "ada");
        ada.accepted("RETR 1");
        let got = ada.rest();
        assert!(
            got.len() > 100_000 && !got.ends_with(b"\r\n.\r\n"),
            "{fault:?}"
        );
        store.recover();
    }
    // What fails once is asked for once more.
    store.fail_later(1, Fault::Cut, 1);
    let mut ada = login_in_time(&server, "ada");
    assert!(ada.retr(1) == wire(&large));
    ada.quit();
    // Fewer octets than the index has.
    for object in store.objects.lock().unwrap().values_mut() {
        *object = object.slice(..object.len() - 10);
    }
    let mut ada = login_in_time(&server, "ada");
    ada.accepted("RETR 1");
    let got = ada.rest();
    assert!(got.len() > large.len() / 2 && !got.ends_with(b"\r\n.\r\n"));
    server.logged(&["WARN", "broke off"]);
    let mut ada = login_in_time(&server, "ada");
    assert_eq!(ada.stat().0, 1);
    ada.quit();
}

/// A message is whole, or it does not look so; and in the end nothing is left of it.
#[test]
fn whatever_a_bucket_does_no_part_looks_whole_and_no_garbage_is_left() {
    let test = "whatever_a_bucket_does_no_part_looks_whole_and_no_garbage_is_left";
    let Some(postgres) = Postgres::shared(test) else {
        return;
    };
    let store = ObjectStore::start();
    let (mut site, database) = shared(postgres);
    with_bucket(&mut site, &store.bucket());
    let seed = into_bucket(Seed::postgres(postgres, &database), &store.bucket());
    let large = message(3 << 20);
    for path in ["1", "2", "3"] {
        seed.deliver("ada", path, &large);
    }
    let server = node(&mut site, "mx-a");
    let faults = [
        Fault::Answer(500, "InternalError"),
        Fault::Answer(503, "SlowDown"),
        Fault::Short,
        Fault::Close,
    ];
    for fault in faults {
        // Nothing was promised yet.
        store.fail(fault, u32::MAX);
        let mut ada = login_in_time(&server, "ada");
        let refused = ada.refused("RETR 1");
        assert!(refused.starts_with("[SYS/TEMP]"), "{fault:?}: {refused}");
        // The session goes on, and of another message only the first range comes.
        store.fail_later(1, fault, u32::MAX);
        ada.accepted("RETR 2");
        let got = ada.rest();
        assert!(
            got.len() > 100_000 && !got.ends_with(b"\r\n.\r\n"),
            "{fault:?}: {}",
            got.len()
        );
        store.recover();
    }
    // One that is slow, and tells all of it.
    store.fail(Fault::Slow, u32::MAX);
    let mut ada = login_in_time(&server, "ada");
    assert!(ada.retr(1) == wire(&large));
    for number in 1..=3 {
        ada.accepted(&format!("DELE {number}"));
    }
    // In case that the server looks for garbage meanwhile.
    store.fail(Fault::Close, u32::MAX);
    ada.quit();
    server.stop();
    // Garbage waits until the bucket lets go of it. A server looks for garbage when it opens the
    // engine, and each minute.
    let garbage = || postgres.run(&database, "select count(*) from restante.garbage");
    for fault in faults.into_iter().filter(|fault| *fault != Fault::Short) {
        store.requests.lock().unwrap().clear();
        store.fail(fault, u32::MAX);
        let server = node(&mut site, "mx-a");
        wait_for("the server to try to remove octets", || {
            let requests = store.requests.lock().unwrap();
            let is_tried = requests.iter().any(|line| line.starts_with("DELETE "));
            is_tried.then_some(())
        });
        server.stop();
        assert_eq!((objects(&store), garbage().as_str()), (3, "3"), "{fault:?}");
    }
    store.recover();
    let server = node(&mut site, "mx-a");
    wait_for("no octets and no garbage to be left", || {
        (objects(&store) == 0 && garbage() == "0").then_some(())
    });
    server.stop();
}

//! `restante maildrop copy`: a client sees the same before and after, whatever came between.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use restante_engine::sqlite::Sqlite;
use restante_engine::{Appended, Entry, Folder, Limits, MailIndex as _, Retention, Tables};
use restante_tests::{
    Fault, Finished, ObjectStore, Plugin, Pop3, Postgres, Process, Server, Site, binary, corpus,
    own_messages, run_to_end, ten_megabytes, wait_for,
};

use crate::buckets::with_bucket;
use crate::engine_maildrops::blob_files;

const TENANT: &str = "test";
const PASSWORD: &str = "secret of ada";

/// A site of ada, whose mail is in the plugin `mail`, and `new` with maildrops in an engine.
fn site(section: &str) -> Site {
    let mut site = Site::new();
    site.user("ada", PASSWORD);
    site.first = format!("[engine.mail]\n{section}");
    let mut new = Plugin::new("new", "builtin:spool");
    new.grants = "maildrop = \"engine:mail/{tenant}/{user}\"\n".into();
    site.plugins.push(new);
    site
}

/// The same with an embedded engine, which has its tables, and the engine's directory.
fn embedded() -> (Site, PathBuf) {
    let mut site = site("");
    let directory = site.path().join("engine");
    fs::create_dir(&directory).unwrap();
    site.first
        .push_str(&format!("kind = \"embedded\"\ndirectory = {directory:?}\n"));
    migrate(&site);
    (site, directory)
}

fn migrate(site: &Site) {
    let config = site.write_config(&site.config());
    let mut command = Command::new(binary());
    command.args(["engine", "migrate", "--yes", "--config"]);
    let made = run_to_end(command.arg(config).arg("mail"));
    assert_eq!(made.code, Some(0), "{made:?}");
}

fn command(site: &Site, from: &str, to: &str) -> Command {
    let config = site.write_config(&site.config());
    let mut command = Command::new(binary());
    command.args(["maildrop", "copy", "--config"]).arg(config);
    command.args(["--tenant", TENANT, "--user", "ada", from, to]);
    command
}

fn copy(site: &Site, from: &str) -> Finished {
    run_to_end(command(site, from, "new").arg("--yes"))
}

/// A copy that comes to its end; what it says.
fn copied(site: &Site, from: &str) -> String {
    let done = copy(site, from);
    assert_eq!(done.code, Some(0), "{done:#?}");
    assert!(done.stdout.contains("; verified"), "{done:#?}");
    done.stdout
}

/// A copy that does not, and says why in these words.
fn fails(site: &Site, from: &str, words: &[&str]) {
    let failed = copy(site, from);
    assert_eq!(failed.code, Some(1), "{failed:#?}");
    assert!(!failed.stdout.contains("verified"), "{failed:#?}");
    for words in words {
        assert!(failed.stderr.contains(words), "{words}: {failed:#?}");
    }
}

/// What a client sees of a maildrop.
#[derive(PartialEq)]
struct Seen {
    unique_ids: Vec<(u32, String)>,
    octets: Vec<(u32, u64)>,
    messages: Vec<Vec<u8>>,
}

impl Seen {
    fn by(client: &mut Pop3) -> Seen {
        let octets = client.list();
        let messages = octets.iter().map(|(number, _)| client.retr(*number));
        Seen {
            messages: messages.collect(),
            unique_ids: client.uidl(),
            octets,
        }
    }

    fn assert_is(&self, other: &Seen) {
        assert_eq!(self.unique_ids, other.unique_ids);
        assert_eq!(self.octets, other.octets);
        for (number, (one, other)) in (1..).zip(self.messages.iter().zip(&other.messages)) {
            assert!(one == other, "message {number}");
        }
        assert!(self == other);
    }
}

fn serve(site: &mut Site, store: &str) -> Server {
    site.tenants[0].lines = format!("authenticators = [\"users\"]\nstore = {store:?}\n");
    site.start()
}

/// What ada sees where her mail is in this plugin.
fn seen(site: &mut Site, store: &str) -> Seen {
    let server = serve(site, store);
    let mut ada = Pop3::login(server.pop3(), "ada", PASSWORD);
    let seen = Seen::by(&mut ada);
    ada.quit();
    server.stop();
    seen
}

#[test]
fn what_a_client_sees_is_the_same_after_a_maildrop_was_copied() {
    let (mut site, engine) = embedded();
    let mut maildir = site.maildir("ada");
    for (number, (_, octets)) in own_messages().iter().chain(&corpus()).enumerate() {
        match number % 3 {
            0 => maildir.deliver(octets),
            1 => maildir.deliver_with_sizes(octets),
            _ => maildir.deliver_seen(octets, "RS"),
        };
    }
    // The plugin's digest is its unique-id.
    let long = format!("1700900000.{}.mta.example", "x".repeat(90));
    fs::write(maildir.root().join("new").join(long), "Subject: long\n\n").unwrap();
    let files = maildir.files();
    let before = seen(&mut site, "mail");
    assert_eq!(before.messages.len(), files.len());
    let flags = maildir.files();

    // Without --yes nothing is done.
    let told = run_to_end(&mut command(&site, "mail", "new"));
    assert_eq!(told.code, Some(0), "{told:#?}");
    let count = format!("would copy {} messages", files.len());
    assert!(told.stdout.starts_with(&count), "{told:#?}");
    assert!(blob_files(&engine.join("blobs")).is_empty());

    let said = copied(&site, "mail");
    let expected = format!("copied {} messages, ", files.len());
    assert!(said.starts_with(&expected), "{said}");
    // In order, and nothing was there.
    assert_eq!(said.lines().count(), 1, "{said}");
    seen(&mut site, "new").assert_is(&before);
    // The original is as it was.
    assert_eq!(maildir.files(), flags);
    seen(&mut site, "mail").assert_is(&before);

    // Once more: there is nothing to do but to look.
    let again = copied(&site, "mail");
    assert!(again.starts_with("copied 0 messages, 0 octets"), "{again}");
    let already = format!("{} messages in `new` already", files.len());
    assert!(again.contains(&already), "{again}");
    assert_eq!(blob_files(&engine.join("blobs")).len(), files.len());
}

#[test]
fn a_message_that_came_since_is_copied_when_it_is_run_again() {
    let (mut site, _engine) = embedded();
    let mut maildir = site.maildir("ada");
    maildir.deliver(b"Subject: one\n\nbody\n");
    let second = maildir.deliver(b"Subject: two\n\nbody\n");
    copied(&site, "mail");
    maildir.deliver(b"Subject: three\n\nbody\n");
    let before = seen(&mut site, "mail");
    let said = copied(&site, "mail");
    assert!(said.starts_with("copied 1 message,"), "{said}");
    seen(&mut site, "new").assert_is(&before);
    // What the user has removed meanwhile is told, and stays.
    fs::remove_file(second).unwrap();
    let said = copied(&site, "mail");
    assert!(said.contains("1 message in `new` alone"), "{said}");
    assert_eq!(seen(&mut site, "new").messages.len(), 3);
}

#[test]
fn what_was_removed_from_the_copy_does_not_come_back_unasked() {
    let (mut site, _engine) = embedded();
    let mut maildir = site.maildir("ada");
    maildir.deliver(b"Subject: one\n\nbody\n");
    maildir.deliver(b"Subject: two\n\nbody\n");
    copied(&site, "mail");
    let before = seen(&mut site, "new");
    let server = serve(&mut site, "new");
    let mut ada = Pop3::login(server.pop3(), "ada", PASSWORD);
    ada.accepted("DELE 1");
    ada.quit();
    server.stop();
    let words = ["that are not in `new`: 1;", "add --restore-removed"];
    fails(&site, "mail", &words);
    let look = run_to_end(&mut command(&site, "mail", "new"));
    assert_eq!(look.code, Some(1), "{look:#?}");
    assert_eq!(seen(&mut site, "new").messages.len(), 1);
    let mut wanted = command(&site, "mail", "new");
    let done = run_to_end(wanted.args(["--yes", "--restore-removed"]));
    assert_eq!(done.code, Some(0), "{done:#?}");
    assert!(done.stdout.starts_with("copied 1 message,"), "{done:#?}");
    seen(&mut site, "new").assert_is(&before);
    // Nothing is missing: there is nothing to bring back.
    copied(&site, "mail");
}

/// Somebody may have written USER, or a template, wrong.
#[test]
fn a_user_without_mail_is_a_mistake_unless_it_is_said_to_be_none() {
    let (site, _engine) = embedded();
    let may_be_empty = || {
        let mut command = command(&site, "mail", "new");
        let done = run_to_end(command.args(["--yes", "--allow-empty"]));
        assert_eq!(done.code, Some(0), "{done:#?}");
        assert!(done.stdout.starts_with("copied 0 messages"), "{done:#?}");
    };
    let words = ["see whether USER", "add --allow-empty"];
    fails(&site, "mail", &words);
    may_be_empty();
    let mut maildir = site.maildir("ada");
    fails(&site, "mail", &words);
    fails(&site, "mail", &["`mail` has no messages for \"ada\""]);
    may_be_empty();
    let only = maildir.deliver(b"Subject: one\n\nbody\n");
    copied(&site, "mail");
    // It has had some.
    fs::remove_file(only).unwrap();
    copied(&site, "mail");
}

/// An engine knows the second, and orders what came in it as it was copied.
#[test]
fn another_order_within_one_second_is_told_and_no_mistake() {
    let (site, _engine) = embedded();
    let maildir = site.maildir("ada");
    let deliver = |name: &str| {
        let path = maildir.root().join("new").join(name);
        fs::write(path, format!("Subject: {name}\n\nbody\n")).unwrap();
    };
    deliver("1700000000.M200P1.mta.example");
    copied(&site, "mail");
    deliver("1700000000.M100P2.mta.example");
    let said = copied(&site, "mail");
    assert!(said.contains("1 message in another order"), "{said}");
}

/// Messages in `site` that take a while to copy.
fn many(site: &Site) -> usize {
    let mut maildir = site.maildir("ada");
    for number in 0..600 {
        maildir.deliver(format!("Subject: {number}\n\nbody of {number}\n").as_bytes());
    }
    let large = ten_megabytes();
    for _ in 0..5 {
        maildir.deliver(&large);
    }
    maildir.files().len()
}

/// Begins a copy, and comes back when so many blobs are there, or the copy is over.
fn begun(site: &Site, engine: &Path, blobs: usize, name: &str) -> Process {
    let outputs = site.path().join(name);
    let mut process = Process::start(command(site, "mail", "new").arg("--yes"), &outputs);
    wait_for("a copy that is under way", || {
        let there = count(engine);
        (there >= blobs || !process.is_running()).then_some(())
    });
    process
}

/// Files that are under their names. What is written meanwhile is seen or not.
fn count(engine: &Path) -> usize {
    fn below(directory: &Path) -> usize {
        let Ok(entries) = fs::read_dir(directory) else {
            return 0;
        };
        let entries = entries.filter_map(Result::ok);
        entries
            .map(|entry| match entry.path().is_dir() {
                true => below(&entry.path()),
                false => 1,
            })
            .sum()
    }
    below(&engine.join("blobs"))
}

#[test]
fn a_copy_that_is_killed_goes_on_and_has_nothing_twice() {
    let (mut site, engine) = embedded();
    let messages = many(&site);
    let before = seen(&mut site, "mail");
    let mut killed = 0;
    for round in 0..5 {
        let wanted = count(&engine) + 40;
        let mut process = begun(&site, &engine, wanted, &format!("killed-{round}"));
        killed += usize::from(process.is_running());
        process.kill();
    }
    assert!(killed > 0, "it was over each time before it was killed");
    let said = copied(&site, "mail");
    assert!(said.contains("messages in `new` already"), "{said}");
    let after = seen(&mut site, "new");
    assert_eq!(after.messages.len(), messages);
    after.assert_is(&before);
}

#[test]
fn a_copy_that_is_told_to_stop_says_so_and_goes_on_later() {
    let (mut site, engine) = embedded();
    many(&site);
    let before = seen(&mut site, "mail");
    let mut process = begun(&site, &engine, 40, "stopped");
    assert!(process.is_running(), "it is over: {}", process.stderr());
    process.terminate();
    let status = process.ended();
    let stderr = process.stderr();
    assert_eq!(status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("stopped by a signal"), "{stderr}");
    copied(&site, "mail");
    seen(&mut site, "new").assert_is(&before);
}

#[test]
fn a_message_that_is_another_one_by_now_is_told() {
    let (site, _engine) = embedded();
    let mut maildir = site.maildir("ada");
    maildir.deliver(b"Subject: one\n\nbody\n");
    let file = maildir.deliver(b"Subject: two\n\nbody\n");
    let unique_id = file.file_name().unwrap().to_str().unwrap().to_owned();
    copied(&site, "mail");
    // As many octets: no listing shows it.
    fs::write(&file, b"Subject: TWO\n\nbody\n").unwrap();
    let of_original = format!("message 2 of `mail` (unique-id {unique_id})");
    let of_copy = format!("message 2 of `new` (unique-id {unique_id})");
    fails(&site, "mail", &[&of_original, &of_copy, "has other octets"]);
    fs::write(&file, b"Subject: two, and longer\n\nbody\n").unwrap();
    // What the plugin remembers of its size.
    let _ = fs::remove_file(maildir.root().join(".restante-index"));
    fails(&site, "mail", &[&of_original, &of_copy, "two messages"]);
    fs::write(&file, b"Subject: two\n\nbody\n").unwrap();
    let _ = fs::remove_file(maildir.root().join(".restante-index"));
    copied(&site, "mail");
}

#[test]
fn a_message_that_cannot_be_read_ends_the_copy_there() {
    let (mut site, _engine) = embedded();
    let mut maildir = site.maildir("ada");
    maildir.deliver(b"Subject: one\n\nbody\n");
    let unreadable = maildir.deliver(b"");
    // Larger than what the plugin reads, and none of it on the disk.
    let file = File::options().write(true).open(&unreadable).unwrap();
    file.set_len((1 << 30) + 1).unwrap();
    maildir.deliver(b"Subject: three\n\nbody\n");
    fails(&site, "mail", &["message 2 of `mail`", "run this again"]);
    assert_eq!(seen(&mut site, "new").messages.len(), 1);
    fs::remove_file(unreadable).unwrap();
    let said = copied(&site, "mail");
    assert!(said.starts_with("copied 1 message,"), "{said}");
    assert!(said.contains("1 message in `new` already"), "{said}");
    let before = seen(&mut site, "mail");
    seen(&mut site, "new").assert_is(&before);
}

/// A bucket that acknowledges what it does not have afterwards.
#[test]
fn a_message_that_a_bucket_does_not_keep_is_not_copied() {
    let (mut site, _engine) = embedded();
    let store = ObjectStore::start();
    with_bucket(&mut site, &store.bucket());
    site.first.push_str("read-back = true\n");
    let mut maildir = site.maildir("ada");
    maildir.deliver(b"Subject: small\n\nbody\n");
    maildir.deliver(&ten_megabytes());
    // Servers without the bucket would lose track of what is written to it.
    fails(
        &site,
        "mail",
        &["its bucket is not noted", "engine migrate"],
    );
    migrate(&site);
    for fault in [Fault::Lose, Fault::Corrupt] {
        store.fail(fault, u32::MAX);
        fails(
            &site,
            "mail",
            &["message 2 of `mail`", "acknowledged what is not there"],
        );
        store.recover();
        assert_eq!(seen(&mut site, "new").messages.len(), 1);
    }
    let said = copied(&site, "mail");
    assert!(said.starts_with("copied 1 message,"), "{said}");
    let before = seen(&mut site, "mail");
    seen(&mut site, "new").assert_is(&before);
}

/// One that the maildrop in the engine may give to a message of its own.
#[test]
fn a_unique_id_that_the_engine_refuses_is_told() {
    let (site, engine) = embedded();
    let index = Sqlite::open(
        &engine.join("mail.sqlite"),
        Retention::default(),
        Tables::Expected,
    )
    .unwrap();
    let entry = Entry {
        unique_id: None,
        octets: 2,
        surrogate: None,
        received: 1,
        name: "x".into(),
        digest: None,
        weight: 2,
    };
    let folder = Folder::new(TENANT, &format!("{TENANT}/ada"), "").unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let free = Limits::default();
    let appended = runtime.block_on(index.append(&folder, &entry, &free, None));
    let Appended::Kept(unique_id) = appended.unwrap() else {
        panic!("it is not kept");
    };
    drop((index, runtime));
    let (epoch, _) = unique_id.split_once('.').unwrap();
    let maildir = site.maildir("ada");
    let taken = format!("{epoch}.ffff");
    fs::write(maildir.root().join("new").join(&taken), "Subject: one\n\n").unwrap();
    let named = format!("message 1 of `mail` (unique-id {taken})");
    fails(&site, "mail", &[&named, "is of the kind that is made here"]);
}

#[test]
fn an_mbox_is_copied_too() {
    let (mut site, _engine) = embedded();
    let boxes = site.path().join("boxes");
    let folder = boxes.join("ada");
    fs::create_dir_all(&folder).unwrap();
    // A quoted line is read in the sandbox: how long the message is shows at its end.
    let text = "From a@b Tue Nov 14 22:13:20 2023\nSubject: one\n\n>From the beginning\n>>From\n\n\
        From a@b Tue Nov 14 22:13:21 2023\nSubject: two\n\nbody\n\n\
        From a@b Tue Nov 14 22:13:21 2023\nSubject: two\n\nbody\n";
    fs::write(folder.join("mbox"), text).unwrap();
    let mut mbox = Plugin::new("box", "builtin:mbox");
    mbox.settings = "quoting = \"mboxrd\"\n".into();
    mbox.grants = format!("maildrop = {:?}\n", boxes.join("{user}"));
    site.plugins.push(mbox);
    let before = seen(&mut site, "box");
    assert_eq!(before.messages.len(), 3);
    let said = copied(&site, "box");
    assert!(said.starts_with("copied 3 messages"), "{said}");
    seen(&mut site, "new").assert_is(&before);
    assert_eq!(fs::read_to_string(folder.join("mbox")).unwrap(), text);
}

#[test]
fn what_cannot_be_copied_is_told_before_anything_is_done() {
    let (mut site, _engine) = embedded();
    site.maildir("ada").deliver(b"Subject: one\n\n");
    for (from, to, words) in [
        ("new", "mail", "mail can be copied only into an engine"),
        ("new", "new", "one and the same maildrop"),
        ("none", "new", "there is no [plugin.none]"),
        ("users", "new", "does not export the role `store`"),
    ] {
        let refused = run_to_end(command(&site, from, to).arg("--yes"));
        assert_eq!(refused.code, Some(1), "{from} {to}: {refused:#?}");
        assert!(refused.stderr.contains(words), "{from} {to}: {refused:#?}");
    }
    let mut secret = command(&site, "mail", "new");
    let refused = run_to_end(secret.args(["--attribute", "secret.password=x"]));
    assert_eq!(refused.code, Some(1), "{refused:#?}");
    assert!(refused.stderr.contains("--attribute-file"), "{refused:#?}");
    // An embedded engine is the server's alone while it runs.
    let server = serve(&mut site, "new");
    Pop3::login(server.pop3(), "ada", PASSWORD).quit();
    fails(&site, "mail", &["only one process can", "stop the server"]);
    server.stop();
    copied(&site, "mail");
}

#[test]
fn a_maildrop_is_held_while_it_is_copied_and_the_server_goes_on() {
    let test = "a_maildrop_is_held_while_it_is_copied_and_the_server_goes_on";
    let Some(postgres) = Postgres::shared(test) else {
        return;
    };
    let database = postgres.database();
    let mut site = site(&format!(
        "kind = \"postgres\"\nurl = {:?}\npassword-file = {:?}\n",
        postgres.url(&database, None),
        postgres.password_file()
    ));
    site.server = "node = \"mx-a\"\n".into();
    migrate(&site);
    let mut maildir = site.maildir("ada");
    maildir.deliver(b"Subject: one\n\nbody\n");
    maildir.deliver(b"Subject: two\n\nbody\n");
    let before = seen(&mut site, "mail");
    let server = serve(&mut site, "new");
    let ada = Pop3::login(server.pop3(), "ada", PASSWORD);
    // Who only looks takes no hold, and is no node whose name would end a copy.
    let look = run_to_end(&mut command(&site, "mail", "new"));
    assert_eq!(look.code, Some(0), "{look:#?}");
    assert!(look.stderr.contains("warning: nothing keeps"), "{look:#?}");
    let beside = "select count(*) from restante.node where id like '%/%'";
    assert_eq!(postgres.run(&database, beside), "0");
    fails(&site, "mail", &["cannot be held", "mx-a"]);
    assert_eq!(postgres.run(&database, beside), "1");
    ada.quit();
    let done = copy(&site, "mail");
    assert_eq!(done.code, Some(0), "{done:#?}");
    // Sessions with the Maildir are not kept out of it.
    assert!(done.stderr.contains("warning: nothing keeps"), "{done:#?}");
    let mut ada = Pop3::login(server.pop3(), "ada", PASSWORD);
    Seen::by(&mut ada).assert_is(&before);
    ada.quit();
    server.stop();

    // Where servers share holds, they are kept out.
    site.server.push_str("holds = \"mail\"\n");
    let server = serve(&mut site, "mail");
    let ada = Pop3::login(server.pop3(), "ada", PASSWORD);
    fails(&site, "mail", &["`mail` cannot be held", "mx-a"]);
    ada.quit();
    let done = copy(&site, "mail");
    assert_eq!(done.code, Some(0), "{done:#?}");
    assert!(!done.stderr.contains("nothing keeps"), "{done:#?}");
    server.stop();
}

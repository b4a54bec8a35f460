//! `restante plugin test` and `run`: our own plugins keep every rule, and for each
//! rule that a plugin breaks the kit has words.
use std::fs;
use std::path::Path;
use std::process::Command;

use restante_engine::files::Files;
use restante_engine::sqlite::Sqlite;
use restante_engine::{Retention, Tables};
use restante_tests::{
    Maildir, Plugin, Site, binary, own_messages, python, run_to_end, sqlite, test_guest,
};
use serde_json::Value;

use crate::kit_bench::{Bench, cache, skipped};

#[test]
fn passwd_file_keeps_every_rule() {
    let bench = Bench::new();
    fs::create_dir(bench.path().join("users")).unwrap();
    let hashed = run_to_end(
        Command::new("sh")
            .args(["-c", "\"$0\" hash-password < password"])
            .arg(binary())
            .current_dir(bench.path()),
    );
    for hash in ["{PLAIN}x", hashed.stdout.trim()] {
        let line = format!("ada@example.org:{hash}\n");
        fs::write(bench.path().join("users/passwd"), line).unwrap();
        let report = bench.keeps_every_rule(
            "builtin:passwd-file",
            &[
                "--settings",
                "file=/users/passwd",
                "--directory",
                "users:/users",
                "--user",
                "ada@example.org",
                "--password-file",
                "password",
            ],
        );
        assert_eq!(skipped(&report), [""; 0], "{hash}: {report:#}");
    }
}

#[test]
fn sql_users_keeps_every_rule() {
    if python("sql_users_keeps_every_rule").is_none() {
        return;
    }
    let bench = Bench::new();
    let file = bench.path().join("users.sqlite");
    sqlite(&file, "create table users (name text, password text)");
    // What the kit measures: an unknown user takes as long as a hash of the scheme does.
    for scheme in ["plain", "argon2id", "scrypt", "bcrypt", "sha512-crypt"] {
        let hash = match scheme {
            "plain" => "{PLAIN}x".to_owned(),
            scheme => {
                let mut hashing = Command::new("sh");
                hashing.args(["-c", "\"$0\" hash-password --scheme \"$1\" < password"]);
                let hashed =
                    run_to_end(hashing.arg(binary()).arg(scheme).current_dir(bench.path()));
                hashed.stdout.trim().to_owned()
            }
        };
        let row =
            format!("delete from users; insert into users values ('ada@example.org', '{hash}')");
        sqlite(&file, &row);
        let report = bench.keeps_every_rule(
            "builtin:sql-users",
            &[
                "--database",
                "accounts=users.sqlite",
                "--settings",
                "database=accounts",
                "--settings",
                "user-query=select password from users where name = {user}",
                "--settings",
                &format!("scheme={scheme}"),
                "--user",
                "ada@example.org",
                "--password-file",
                "password",
            ],
        );
        assert_eq!(skipped(&report), [""; 0], "{scheme}: {report:#}");
    }
}

#[test]
fn maildir_keeps_every_rule_on_any_maildrop() {
    let bench = Bench::new();
    // Of the messages that the kit brings along.
    let report = bench.keeps_every_rule("builtin:maildir", &[]);
    assert_eq!(skipped(&report), ["readers, piece by piece"], "{report:#}");
    let mut maildir = Maildir::create(bench.path().join("mail"));
    for (_, octets) in own_messages() {
        maildir.deliver(&octets);
    }
    let before = maildir.files();
    let report = bench.keeps_every_rule("builtin:maildir", &["--maildrop", "mail"]);
    assert_eq!(skipped(&report), ["readers, piece by piece"], "{report:#}");
    assert_eq!(
        maildir.files(),
        before,
        "the maildrop that was given stays as it is"
    );
}

#[test]
fn mbox_keeps_every_rule_on_any_maildrop() {
    let bench = Bench::new();
    fs::create_dir(bench.path().join("mail")).unwrap();
    let mut mbox = Vec::new();
    for (number, (_, octets)) in own_messages().into_iter().enumerate() {
        let from = format!("From a@b Tue Nov 14 22:13:{:02} 2023\n", number % 60);
        mbox.extend_from_slice(from.as_bytes());
        mbox.extend_from_slice(&octets);
        mbox.extend_from_slice(b"\n\n");
    }
    mbox.extend_from_slice(b"From a@b Tue Nov 14 22:14:00 2023\n\n>From me\n>>From you\n");
    let file = bench.path().join("mail/mbox");
    fs::write(&file, &mbox).unwrap();
    let report = bench.keeps_every_rule("builtin:mbox", &["--maildrop", "mail"]);
    assert_eq!(skipped(&report), ["readers, piece by piece"], "{report:#}");
    let quoting = ["--maildrop", "mail", "--settings", "quoting=mboxrd"];
    let report = bench.keeps_every_rule("builtin:mbox", &quoting);
    assert_eq!(skipped(&report), [""; 0], "{report:#}");
    assert_eq!(fs::read(&file).unwrap(), mbox);
}

#[test]
fn spool_keeps_every_rule_on_maildrops_of_an_engine() {
    let bench = Bench::new();
    // Of the messages that the kit brings along.
    let report = bench.keeps_every_rule("builtin:spool", &["--engine"]);
    assert_eq!(skipped(&report), [""; 0], "{report:#}");
    let mut maildir = Maildir::create(bench.path().join("mail"));
    for (_, octets) in own_messages() {
        maildir.deliver(&octets);
    }
    let before = maildir.files();
    let report = bench.keeps_every_rule("builtin:spool", &["--engine", "--maildrop", "mail"]);
    assert_eq!(skipped(&report), [""; 0], "{report:#}");
    assert_eq!(maildir.files(), before, "it is only read");
}

#[test]
fn a_store_that_reads_an_index_and_has_none_is_told_of_the_option() {
    let bench = Bench::new();
    let finished = bench.plugin(&["test", "builtin:spool"]);
    assert_eq!(finished.code, Some(1), "{finished:#?}");
    let hint = "hint: builtin:spool: add --engine";
    assert!(finished.stderr.contains(hint), "{finished:#?}");
    let listed = bench.plugin(&["run", "builtin:spool", "--engine", "list"]);
    assert_eq!(listed.code, Some(0), "{listed:#?}");
    assert!(!listed.stderr.contains("hint:"), "{listed:#?}");
    // Nothing but the plugin's own lines is shown as its log.
    assert!(!listed.stderr.contains("log:"), "{listed:#?}");
    // No store asks, and no hint is given.
    let other = bench.plugin(&["run", "builtin:maildir", "list"]);
    assert!(!other.stderr.contains("hint:"), "{other:#?}");
    fs::create_dir(bench.path().join("empty")).unwrap();
    let refused = bench.plugin(&["test", "builtin:spool", "--engine", "--maildrop", "empty"]);
    assert_eq!(refused.code, Some(1), "{refused:#?}");
    assert!(
        refused.stderr.contains("neither cur nor new"),
        "{refused:#?}"
    );
}

#[test]
fn a_message_in_an_engine_is_listed_and_fetched() {
    let bench = Bench::new();
    let mut maildir = Maildir::create(bench.path().join("mail"));
    maildir.deliver(b"Subject: one\n\nbody\n");
    let given = ["run", "builtin:spool", "--engine", "--maildrop", "mail"];
    let ask = |question: &[&str]| {
        let finished = bench.plugin(&[&given[..], question].concat());
        assert_eq!(finished.code, Some(0), "{finished:#?}");
        finished.stdout
    };
    let listed = ask(&["list"]);
    assert!(listed.contains("1 message, 22 octets"), "{listed}");
    assert_eq!(ask(&["retr", "1"]), "Subject: one\n\nbody\n");
}

#[test]
fn rules_and_client_certificate_keep_every_rule() {
    let bench = Bench::new();
    let settings = ["--settings", "hide-header=X-Spam-Flag: YES"];
    bench.keeps_every_rule("builtin:rules", &settings);
    bench.keeps_every_rule("builtin:client-certificate", &[]);
}

#[test]
fn a_component_of_every_role_is_asked_for_each() {
    let bench = Bench::new();
    let guest = test_guest("every-role");
    let settings = ["--settings", "greeting=hello"];
    let (_, report) = bench.examine(guest.to_str().unwrap(), &settings);
    let roles: Vec<&str> = ["authenticator", "store", "filter", "selector", "admission"].to_vec();
    let checks = report["checks"].as_array().unwrap();
    for role in roles {
        assert!(
            checks.iter().any(|check| check["role"] == role),
            "{role}: {report:#}"
        );
    }
}

#[test]
fn lies_about_a_listing_have_words() {
    let bench = Bench::new();
    for (settings, words) in [
        (&["misdeed=few-ids"][..], "different length"),
        (&["misdeed=few-octets"], "different length"),
        (&["misdeed=few-received"], "different length"),
        (&["misdeed=few-names"], "different length"),
        (&["misdeed=surrogates"], "surrogate of position 3"),
        (&["misdeed=id", "id=first"], "unique-id"),
        (&["misdeed=id", "id="], "unique-id"),
        (&["misdeed=id", "id=a b"], "unique-id"),
        (&["misdeed=trap", "at=listing"], "trapped in listing"),
    ] {
        let found = bench.found(settings, "the listing");
        assert!(found.contains(words), "{settings:?}: {found}");
    }
}

#[test]
fn octets_and_content_that_do_not_agree_have_words() {
    let bench = Bench::new();
    let check = "octets are what the content has";
    for (settings, words) in [
        (
            &["octets=7"][..],
            "25 octets on the wire, and its listing says 7",
        ),
        (&["misdeed=inline-short"], "and its listing says 25"),
        (
            &["misdeed=greedy"],
            "65537 octets where 65536 were asked for",
        ),
        (&["misdeed=endless"], "more than"),
        (&["misdeed=trap", "at=content"], "trapped in content"),
        (&["misdeed=path", "path=../secret"], "content"),
    ] {
        let found = bench.found(settings, check);
        assert!(found.contains(words), "{settings:?}: {found}");
    }
    let found = bench.found(&["misdeed=greedy"], "readers, piece by piece");
    assert!(
        found.contains("at once") || found.contains("asked for"),
        "{found}"
    );
}

#[test]
fn a_removal_that_is_none_and_mail_for_everybody_have_words() {
    let bench = Bench::new();
    let found = bench.found(&[], "what is named is removed");
    assert!(
        found.contains("3 messages afterwards instead of"),
        "{found}"
    );
    let found = bench.found(&[], "an account without mail");
    assert!(found.contains("3 messages"), "{found}");
    let check = "paths, quotes, NUL, 8 bits in the account";
    let found = bench.found(&[], check);
    assert!(found.contains("the mail of maildrop"), "{found}");
    let found = bench.found(&["misdeed=trap", "at=remove"], "all are removed");
    assert!(found.contains("trapped in remove"), "{found}");
}

#[test]
fn an_authenticator_that_lets_anybody_in_or_nobody_has_words() {
    let bench = Bench::new();
    let found = bench.found(&["misdeed=deny-all"], "the right password");
    assert!(found.contains("rejected"), "{found}");
    // Who knows one password is everybody.
    let found = bench.found(&[], "somebody unknown");
    assert!(found.contains("another user's password"), "{found}");
    assert!(!found.contains("\"x\""), "no password is shown: {found}");
    let settings = ["misdeed=trap", "at=authenticate"];
    let found = bench.found(&settings, "a wrong password");
    assert!(found.contains("trapped in authenticate"), "{found}");
}

#[test]
fn verdicts_that_are_none_have_words() {
    let bench = Bench::new();
    let check = "header fields that are some";
    for (misdeed, words) in [
        ("field-injection", "not printable"),
        ("field-nul", "not printable"),
        ("field-without-colon", "without a colon"),
        ("field-too-long", "too long"),
        ("field-crowd", "too many"),
    ] {
        let setting = format!("misdeed={misdeed}");
        let found = bench.found(&[&setting], check);
        assert!(found.contains(words), "{misdeed}: {found}");
    }
    let found = bench.found(&["misdeed=fail"], "a verdict on any message");
    assert!(found.contains("out of order"), "{found}");
    let settings = ["misdeed=trap", "at=screen"];
    let found = bench.found(&settings, "a message that cannot be read");
    assert!(found.contains("a trap"), "{found}");
}

#[test]
fn an_admission_that_says_too_much_has_words() {
    let bench = Bench::new();
    for misdeed in ["misdeed=deny-injection", "misdeed=deny-at-length"] {
        let found = bench.found(&[misdeed], "any client");
        assert!(found.contains("more than a line"), "{misdeed}: {found}");
    }
}

#[test]
fn what_was_typed_wrong_is_said() {
    let bench = Bench::new();
    for (arguments, words) in [
        (&["test", "missing.wasm"][..], "missing.wasm"),
        (&["test", "builtin:nothing"], "builtin"),
        (&["test", "password"], "password"),
        (
            &["test", "builtin:rules", "--settings", "novalue"],
            "KEY=VALUE",
        ),
        (
            &["test", "builtin:rules", "--settings", "nonsense=1"],
            "nonsense",
        ),
        (
            &["test", "builtin:maildir", "--maildrop", "password"],
            "no directory",
        ),
        (
            &["test", "builtin:maildir", "--directory", "users"],
            "HOST:GUEST",
        ),
        (&["run", "builtin:rules", "list"], "store"),
        (
            &["run", "builtin:rules", "screen", "missing.eml"],
            "missing.eml",
        ),
        (
            &["run", "builtin:maildir", "retr", "1000"],
            "there is no message 1000",
        ),
    ] {
        let finished = bench.plugin(arguments);
        assert_eq!(finished.code, Some(1), "{arguments:?}: {finished:#?}");
        assert!(
            finished.stderr.contains(words),
            "{arguments:?}: {finished:#?}"
        );
        assert!(!finished.stderr.contains("panicked"), "{finished:#?}");
    }
}

/// Checks of nothing would all be passed, or skipped.
#[test]
fn a_maildrop_that_was_given_and_cannot_be_copied_is_an_error() {
    let bench = Bench::new();
    let mut maildir = Maildir::create(bench.path().join("mail"));
    // Larger than what is copied, and none of it on the disk.
    let file = maildir.deliver(b"");
    let file = fs::File::options().write(true).open(file).unwrap();
    file.set_len((1 << 30) + 1).unwrap();
    for arguments in [
        &["test", "builtin:maildir", "--maildrop", "mail"][..],
        &["test", "builtin:spool", "--engine", "--maildrop", "mail"],
    ] {
        let refused = bench.plugin(arguments);
        assert_eq!(refused.code, Some(1), "{arguments:?}: {refused:#?}");
        for words in ["--maildrop mail: it cannot be copied", "smaller one"] {
            assert!(
                refused.stderr.contains(words),
                "{arguments:?}: {refused:#?}"
            );
        }
    }
}

#[test]
fn one_question_is_answered_with_what_it_took() {
    let bench = Bench::new();
    fs::create_dir(bench.path().join("users")).unwrap();
    fs::write(bench.path().join("users/passwd"), "ada:{PLAIN}x\n").unwrap();
    fs::write(bench.path().join("spam.eml"), "X-Spam-Flag: YES\n\nbuy\n").unwrap();
    let mut maildir = Maildir::create(bench.path().join("mail"));
    maildir.deliver(b"Subject: one\n\nbody\n");
    let asked = |arguments: &[&str]| {
        let mut all = vec!["run"];
        all.extend(arguments);
        let finished = bench.plugin(&all);
        assert_eq!(finished.code, Some(0), "{finished:#?}");
        finished
    };
    let passwd = ["builtin:passwd-file", "--settings", "file=/users/passwd"];
    let mut question = passwd.to_vec();
    question.extend(["--directory", "users:/users"]);
    question.extend([
        "authenticate",
        "--user",
        "ada",
        "--password-file",
        "password",
    ]);
    let finished = asked(&question);
    assert!(
        finished.stdout.contains("user \"ada\", maildrop \"ada\""),
        "{finished:#?}"
    );
    assert!(
        finished.stdout.contains("ms of it the plugin's own"),
        "{finished:#?}"
    );
    let rules = [
        "builtin:rules",
        "--settings",
        "hide-header=X-Spam-Flag: YES",
    ];
    let mut question = rules.to_vec();
    question.extend(["screen", "spam.eml"]);
    assert!(asked(&question).stdout.starts_with("hide\n"));
    let finished = asked(&["builtin:maildir", "--maildrop", "mail", "list"]);
    assert!(
        finished.stdout.contains("1 message, 22 octets"),
        "{finished:#?}"
    );
    let finished = asked(&["builtin:maildir", "--maildrop", "mail", "retr", "1"]);
    assert_eq!(finished.stdout, "Subject: one\n\nbody\n");
    let guest = test_guest("hostile");
    let guest = guest.to_str().unwrap();
    let finished = asked(&[guest, "--settings", "misdeed=deny", "admit"]);
    assert!(
        finished.stdout.contains("not admitted: \"not today\""),
        "{finished:#?}"
    );
}

#[test]
fn a_configuration_is_checked_in_depth() {
    let mut site = Site::new();
    site.user("ada", "x");
    site.rules("hide-header = \"X-Spam-Flag: YES\"\n");
    let check = |site: &Site| {
        let config = site.write_config(&site.config());
        run_to_end(
            Command::new(binary())
                .args(["check", "--deep", "--config"])
                .arg(config)
                .env("XDG_CACHE_HOME", cache()),
        )
    };
    let finished = check(&site);
    assert_eq!(finished.code, Some(0), "{finished:#?}");
    for plugin in ["users", "mail", "rules"] {
        let title = format!("[plugin.{plugin}]");
        assert!(finished.stdout.contains(&title), "{finished:#?}");
    }
    assert!(!finished.stdout.contains(" 0 passed"), "{finished:#?}");
    let mut hostile = Plugin::new("hostile", test_guest("hostile").display().to_string());
    hostile.settings = "misdeed = \"field-injection\"\n".to_owned();
    site.plugins.push(hostile);
    let finished = check(&site);
    assert_eq!(finished.code, Some(1), "{finished:#?}");
    assert!(
        finished.stderr.contains("a plugin breaks a rule"),
        "{finished:#?}"
    );
    assert!(finished.stdout.contains("not printable"), "{finished:#?}");
}

#[test]
fn a_store_over_an_engine_is_checked_in_depth_and_the_engine_left_alone() {
    let mut site = Site::new();
    site.user("ada", "x");
    let directory = site.path().join("engine");
    fs::create_dir(&directory).unwrap();
    // Makes its tables, and is closed again.
    let tables = Sqlite::open(
        &directory.join("mail.sqlite"),
        Retention::default(),
        Tables::Made,
    );
    drop(tables.unwrap());
    let blobs = directory.join("blobs");
    drop(Files::open(&blobs).unwrap());
    site.first = format!("[engine.mail]\nkind = \"embedded\"\ndirectory = {directory:?}\n");
    let mut mail = Plugin::new("mail", "builtin:spool");
    mail.grants = "maildrop = \"engine:mail/{tenant}/{user}\"\n".to_owned();
    site.plugins[1] = mail;
    let config = site.write_config(&site.config());
    let finished = run_to_end(
        Command::new(binary())
            .args(["check", "--deep", "--config"])
            .arg(config)
            .env("XDG_CACHE_HOME", cache()),
    );
    assert_eq!(finished.code, Some(0), "{finished:#?}");
    let (_, of_mail) = finished
        .stdout
        .split_once("[plugin.mail] builtin:spool\nstore\n")
        .unwrap_or_else(|| panic!("no checks of the store: {finished:#?}"));
    let of_mail = of_mail.split("[plugin.").next().unwrap();
    for check in ["the listing", "what is named is removed", "all are removed"] {
        let passed = format!("  ok      {check} (");
        assert!(of_mail.contains(&passed), "{check}: {finished:#?}");
    }
    assert!(of_mail.contains(" 0 failed, 0 skipped"), "{finished:#?}");
    // The kit's messages were nowhere in the operator's engine.
    assert_eq!(files_below(&blobs), 0);
}

/// How many files a directory has, in whatever directories below it.
fn files_below(directory: &Path) -> usize {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap());
    let counts = entries.map(|entry| match entry.path().is_dir() {
        true => files_below(&entry.path()),
        false => 1,
    });
    counts.sum()
}

#[test]
fn what_a_component_costs_stands_beside_the_built_in_one() {
    let bench = Bench::new();
    let guest = test_guest("hostile");
    let password = bench.password();
    let arguments = [
        "bench",
        "--json",
        guest.to_str().unwrap(),
        "--user",
        "ada",
        "--password-file",
        password.to_str().unwrap(),
        "--seconds",
        "1",
    ];
    let finished = bench.plugin(&arguments);
    assert_eq!(finished.code, Some(0), "{finished:#?}");
    assert!(finished.stderr.contains("round 11 of 11"), "{finished:#?}");
    let report: Value = serde_json::from_str(&finished.stdout).unwrap();
    let questions = report["questions"].as_array().unwrap();
    for (role, built_in) in [
        ("authenticator", Some("builtin:passwd-file")),
        ("store", Some("builtin:maildir")),
        ("filter", Some("builtin:rules")),
        ("admission", None),
    ] {
        let of = questions.iter().find(|of| of["role"] == role);
        let of = of.unwrap_or_else(|| panic!("{role} is not in {report:#}"));
        let rate = |of: &Value| {
            let [low, median, high] = ["lowest", "median", "highest"]
                .map(|which| of["calls_a_second"][which].as_f64().unwrap());
            assert!(0.0 < low && low <= median && median <= high, "{of:#}");
            assert!(
                of["peak_memory_octets"].as_u64().unwrap() >= 65536,
                "{of:#}"
            );
        };
        rate(of);
        assert_eq!(of["built_in"]["component"].as_str(), built_in, "{of:#}");
        if built_in.is_some() {
            rate(&of["built_in"]);
        }
    }
    let instances = report["instances"].as_array().unwrap();
    assert_eq!(instances[0]["component"], guest.to_str().unwrap());
    for of in instances {
        assert!(of["live_memory_octets"].as_u64().unwrap() > 0, "{of:#}");
        assert!(of["compile_milliseconds"].as_f64().unwrap() > 1.0, "{of:#}");
        let fresh = of["fresh_microseconds"]["median"].as_f64().unwrap();
        assert!(fresh > 0.0, "{of:#}");
        assert!(of["octets"].as_u64().unwrap() > 1000, "{of:#}");
    }
    let finished = bench.plugin(&[
        "bench",
        "builtin:rules",
        "--seconds",
        "1",
        "--settings",
        "newest=5",
    ]);
    assert_eq!(finished.code, Some(0), "{finished:#?}");
    for words in [
        "CALLS A SECOND",
        "selector",
        "1000 messages",
        "builtin:rules",
        "medians",
    ] {
        assert!(finished.stdout.contains(words), "{words}: {finished:#?}");
    }
}

#[test]
fn a_store_over_an_engine_is_measured_beside_maildir() {
    let bench = Bench::new();
    let arguments = ["bench", "builtin:spool", "--engine", "--seconds", "1"];
    let finished = bench.plugin(&arguments);
    assert_eq!(finished.code, Some(0), "{finished:#?}");
    for words in ["open and list", "the first message", "builtin:maildir"] {
        assert!(finished.stdout.contains(words), "{words}: {finished:#?}");
    }
}

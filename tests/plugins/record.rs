//! `serve --record` and `plugin replay`: what is in a recording and what never is,
//! and what another build is found to answer otherwise.
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use restante_tests::{Finished, Pop3, Server, Site, binary, run_to_end, test_guest, wait_for};
use serde_json::Value;

const PASSWORD: &str = "correct horse 9f3";
const WRONG: &str = "battery:staple|77";
const SPAM: &[u8] =
    b"From: eve@example.net\r\nSubject: unlikely-subject-4711\r\nX-Spam-Flag: YES\r\n\r\nunlikely-body-0815\r\n";
const MAIL: &[u8] =
    b"From: bob@example.net\r\nSubject: unlikely-subject-4712\r\n\r\nunlikely-body-0816\r\n";

/// A site whose sessions are recorded.
struct Studio {
    site: Site,
    directory: PathBuf,
}

impl Studio {
    fn new(arguments: &[&str]) -> Studio {
        let mut site = Site::new();
        site.user("ada@example.org", PASSWORD);
        site.user("eve@example.org", "never-said-aloud");
        let mut mail = site.maildir("ada@example.org");
        mail.deliver(SPAM);
        mail.deliver(MAIL);
        let directory = site.path().join("recordings");
        site.arguments = [
            "--record",
            directory.to_str().unwrap(),
            "--record-tenant",
            "test",
        ]
        .iter()
        .chain(arguments)
        .map(|&argument| argument.to_owned())
        .collect();
        Studio { site, directory }
    }

    fn recordings(&self) -> Vec<PathBuf> {
        let files = fs::read_dir(&self.directory).unwrap();
        let mut files: Vec<PathBuf> = files.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }

    fn text(&self) -> String {
        let files = self.recordings();
        let texts = files.iter().map(|file| fs::read_to_string(file).unwrap());
        texts.collect()
    }

    fn replay(&self, component: &str, arguments: &[&str]) -> (Option<i32>, Value) {
        let finished = self.plugin(component, &[&["--json"], arguments].concat());
        let report = serde_json::from_str(&finished.stdout);
        let report = report.unwrap_or_else(|error| panic!("{error}: {finished:#?}"));
        (finished.code, report)
    }

    fn plugin(&self, component: &str, arguments: &[&str]) -> Finished {
        replay(&self.directory, component, arguments)
    }

    fn is_the_same(&self, component: &str) -> Value {
        let (code, report) = self.replay(component, &[]);
        assert_eq!(code, Some(0), "{report:#}");
        assert_eq!(report["different"], 0, "{report:#}");
        assert!(report["same"].as_u64().unwrap() > 0, "{report:#}");
        report
    }
}

fn replay(recording: &Path, component: &str, arguments: &[&str]) -> Finished {
    run_to_end(
        Command::new(binary())
            .args(["plugin", "replay"])
            .arg(recording)
            .arg(component)
            .args(arguments)
            .env(
                "XDG_CACHE_HOME",
                std::env::temp_dir().join("restante-test-kit"),
            ),
    )
}

fn whole_session(server: &Server) {
    let mut client = Pop3::connect(server.pop3());
    client.accepted("USER ada@example.org");
    client.refused(&format!("PASS {WRONG}"));
    client.accepted("USER ada@example.org");
    client.accepted(&format!("PASS {PASSWORD}"));
    client.uidl();
    client.retr(1);
    client.accepted("DELE 1");
    client.quit();
}

/// Of each that is not in it, in any common clothing.
fn holds_none(text: &str, secrets: &[&str]) {
    for secret in secrets {
        assert!(!text.contains(secret), "{secret} is in the recording");
        // Base64 of a short one may be in anything.
        let shifts = if secret.len() >= 12 { 3 } else { 0 };
        for cut in 0..shifts {
            // It may begin at any of three places.
            let mut octets = vec![b'x'; cut];
            octets.extend_from_slice(secret.as_bytes());
            let encoded = base64(&octets);
            let inner = &encoded[4..encoded.len() - 4];
            assert!(
                !text.contains(inner),
                "{secret} is in the recording, encoded"
            );
        }
    }
}

fn base64(octets: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    octets
        .chunks(3)
        .flat_map(|three| {
            let at = |n: usize| u32::from(three.get(n).copied().unwrap_or(0));
            let word = at(0) << 16 | at(1) << 8 | at(2);
            (0..4).map(move |n| char::from(LETTERS[(word >> (18 - 6 * n)) as usize & 63]))
        })
        .collect()
}

#[test]
fn a_session_is_recorded_without_secrets_and_mail_and_replays_the_same() {
    let mut studio = Studio::new(&[]);
    studio.site.rules("hide-header = \"X-Never: YES\"\n");
    let server = studio.site.start();
    whole_session(&server);
    server.stop();
    let files = studio.recordings();
    assert_eq!(files.len(), 1, "{files:?}");
    let mode = fs::metadata(&files[0]).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let text = studio.text();
    for call in [
        "authenticator.authenticate",
        "passwords.verify",
        "store.open",
        "store.listing",
        "store.content",
        "store.remove",
        "selector.select",
        "filter.screen",
        "files.scan",
        "\"why\":\"closed\"",
    ] {
        assert!(text.contains(call), "{call} is not in {text}");
    }
    holds_none(
        &text,
        &[
            PASSWORD,
            WRONG,
            "never-said-aloud",
            "unlikely-subject",
            "unlikely-body",
            "battery",
            "horse",
        ],
    );
    let report = studio.is_the_same("builtin:passwd-file");
    assert_eq!(report["calls"], 2, "{report:#}");
    let report = studio.is_the_same("builtin:maildir");
    assert_eq!(report["not_compared"], 0, "{report:#}");
    let report = studio.is_the_same("builtin:rules");
    // The selector is; the filter would have to see the header.
    assert_eq!(
        (&report["same"], &report["not_compared"]),
        (&1.into(), &2.into())
    );
    assert!(report.to_string().contains("leaves out"), "{report:#}");
}

#[test]
fn hashes_and_keys_are_not_in_a_recording_that_replays_all_the_same() {
    let studio = Studio::new(&[]);
    let hashed = |scheme: &str| {
        let command =
            format!("printf '%s\\n' '{PASSWORD}' | \"$0\" hash-password --scheme {scheme}");
        let finished = run_to_end(Command::new("sh").args(["-c", &command]).arg(binary()));
        assert_eq!(finished.code, Some(0), "{finished:#?}");
        finished.stdout.trim().to_owned()
    };
    let (argon2, scram) = (hashed("argon2id"), hashed("scram-sha-256"));
    let users = format!("bob@example.org:{{PLAIN}}x\nada@example.org:{argon2}|{scram}::\n");
    fs::write(studio.site.path().join("users/passwd"), users).unwrap();
    let server = studio.site.start();
    whole_session(&server);
    server.stop();
    let text = studio.text();
    let parts = argon2.rsplit('$').take(2);
    let keys = scram.split(',').skip(1);
    let secrets: Vec<&str> = parts.chain(keys).collect();
    assert_eq!(secrets.len(), 5, "{secrets:?}");
    holds_none(&text, &secrets);
    let report = studio.is_the_same("builtin:passwd-file");
    assert_eq!(report["same"], 2, "{report:#}");
}

/// Neither the legacy hash that the login was checked against, nor the one that replaced it.
#[test]
fn a_hash_that_a_login_makes_is_not_in_a_recording() {
    const SHA: &str = "UUIgkziwykxjLFkvb5b5uynHLsg=";
    let mut studio = Studio::new(&[]);
    let users = &mut studio.site.plugins[0];
    users.settings += "legacy-hashes = true\nrehash = \"argon2id\"\n";
    users.grants = users.grants.replace("\"read\"", "\"read-write\"");
    let file = studio.site.path().join("users/passwd");
    fs::write(&file, format!("ada@example.org:{{SHA}}{SHA}\n")).unwrap();
    let server = studio.site.start();
    whole_session(&server);
    server.stop();
    let hash = fs::read_to_string(file).unwrap();
    let hash = hash.trim_end().strip_prefix("ada@example.org:{ARGON2ID}");
    let parts: Vec<&str> = hash.expect("another line").rsplit('$').take(2).collect();
    let text = studio.text();
    assert!(text.contains("passwords.hash"), "{text}");
    holds_none(&text, &[PASSWORD, SHA, parts[0], parts[1]]);
}

#[test]
fn a_password_typed_as_a_name_is_not_in_a_recording() {
    let studio = Studio::new(&[]);
    let server = studio.site.start();
    let mut client = Pop3::connect(server.pop3());
    client.accepted(&format!("USER {PASSWORD}"));
    client.refused("PASS oops");
    client.accepted("USER ada@example.org");
    client.accepted(&format!("PASS {PASSWORD}"));
    client.quit();
    let mut client = Pop3::connect(server.pop3());
    client.accepted(&format!("USER {PASSWORD}"));
    client.refused(&format!("PASS {WRONG}"));
    client.quit();
    server.stop();
    assert_eq!(studio.recordings().len(), 2);
    let text = studio.text();
    holds_none(&text, &[PASSWORD, WRONG, "correct", "horse"]);
    assert!(text.contains("ada@example.org"), "{text}");
    let report = studio.is_the_same("builtin:passwd-file");
    assert_eq!(report["calls"], 3, "{report:#}");
}

#[test]
fn a_build_that_decides_otherwise_is_found_out() {
    let studio = Studio::new(&[]);
    let server = studio.site.start();
    whole_session(&server);
    server.stop();
    let hostile = test_guest("hostile");
    let hostile = hostile.to_str().unwrap();
    let deny = ["--plugin", "users", "--settings", "misdeed=deny-all"];
    let finished = studio.plugin(hostile, &deny);
    assert_eq!(finished.code, Some(1), "{finished:#?}");
    for words in [
        "DIFFERENT  authenticator.authenticate of users",
        "then   {\"account\":",
        "now    \"rejected\"",
        "ada@example.org",
    ] {
        assert!(finished.stdout.contains(words), "{words}: {finished:#?}");
    }
    assert!(
        finished.stderr.contains("one call is answered differently"),
        "{finished:#?}"
    );
    // By its role as well; a store that lists other mail; one that traps.
    let (code, report) = studio.replay(hostile, &["--plugin", "store"]);
    assert_eq!(code, Some(1), "{report:#}");
    let calls = report["sessions"][0]["calls"].as_array().unwrap();
    let listing = calls.iter().find(|call| call["call"] == "store.listing");
    assert_eq!(listing.unwrap()["result"], "different", "{report:#}");
    let trap = ["--plugin", "users", "--settings", "misdeed=trap"];
    let trap = [&trap[..], &["--settings", "at=authenticate"]].concat();
    let finished = studio.plugin(hostile, &trap);
    assert_eq!(finished.code, Some(1), "{finished:#?}");
    assert!(finished.stdout.contains("now    failed"), "{finished:#?}");
    assert!(finished.stdout.contains("log "), "{finished:#?}");
}

#[test]
fn what_the_recording_cannot_answer_is_said() {
    let studio = Studio::new(&[]);
    let server = studio.site.start();
    whole_session(&server);
    server.stop();
    let finished = studio.plugin("builtin:passwd-file", &["--settings", "file=/users/other"]);
    assert_eq!(finished.code, Some(1), "{finished:#?}");
    let words = "the recording has no answer to files.read";
    assert!(finished.stdout.contains(words), "{finished:#?}");
    assert!(finished.stdout.contains("/users/other"), "{finished:#?}");
}

#[test]
fn with_mail_filters_are_compared_too() {
    let mut studio = Studio::new(&["--record-mail"]);
    studio.site.rules("hide-header = \"X-Spam-Flag: YES\"\n");
    let server = studio.site.start();
    let mut client = Pop3::login(server.pop3(), "ada@example.org", PASSWORD);
    assert_eq!(client.list().len(), 1);
    client.quit();
    server.stop();
    holds_none(&studio.text(), &[PASSWORD, "never-said-aloud"]);
    let report = studio.is_the_same("builtin:rules");
    assert_eq!(report["not_compared"], 0, "{report:#}");
    let other = ["--settings", "hide-header=X-Never: YES"];
    let (code, report) = studio.replay("builtin:rules", &other);
    assert_eq!(
        (code, &report["different"]),
        (Some(1), &1.into()),
        "{report:#}"
    );
    assert!(report.to_string().contains("\"hide\""), "{report:#}");
}

#[test]
fn only_the_tenants_sessions_are_recorded() {
    let mut studio = Studio::new(&[]);
    let mut other = studio.site.tenants[0].clone();
    other.name = "other".to_owned();
    other.lines.push_str("domains = [\"example.org\"]\n");
    studio.site.tenants.push(other);
    studio.site.tenants[0].lines.push_str("default = true\n");
    let server = studio.site.start();
    Pop3::login(server.pop3(), "ada@example.org", PASSWORD).quit();
    server.stop();
    assert_eq!(studio.recordings(), Vec::<PathBuf>::new());
}

#[test]
fn without_a_directory_recording_stops_and_sessions_go_on() {
    let studio = Studio::new(&[]);
    let server = studio.site.start();
    Pop3::login(server.pop3(), "ada@example.org", PASSWORD).quit();
    wait_for("the first recording", || {
        studio.text().contains("closed").then_some(())
    });
    fs::remove_dir_all(&studio.directory).unwrap();
    for _ in 0..3 {
        Pop3::login(server.pop3(), "ada@example.org", PASSWORD).quit();
    }
    server.logged(&["recording stops"]);
    Pop3::login(server.pop3(), "ada@example.org", PASSWORD).quit();
    let log = server.stop();
    assert_eq!(log.matches("recording stops").count(), 1, "{log}");
}

#[test]
fn a_recording_that_breaks_off_or_is_none_has_words() {
    let studio = Studio::new(&[]);
    let server = studio.site.start();
    whole_session(&server);
    server.stop();
    let file = studio.recordings().remove(0);
    let text = fs::read_to_string(&file).unwrap();
    let at = |name: &str, text: &str| {
        let path = studio.site.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let cut = at("cut", &text[..text.len() / 2]);
    let finished = replay(&cut, "builtin:passwd-file", &[]);
    assert_eq!(finished.code, Some(0), "{finished:#?}");
    assert!(
        finished.stdout.contains("not whole: it breaks off"),
        "{finished:#?}"
    );
    let later = text.replacen("\"restante-recording\":1", "\"restante-recording\":9", 1);
    for (path, words) in [
        (at("foreign", "From: somebody\n"), "is no recording"),
        (at("empty", ""), "is no recording"),
        (at("later", &later), "format 9"),
        (
            at(
                "damaged",
                &text.replacen("\"line\":\"call\"", "\"lime\"", 1),
            ),
            "is damaged",
        ),
        (studio.site.path().join("missing"), "missing"),
        (
            studio.site.path().join("users"),
            "no recording is in this directory",
        ),
    ] {
        let finished = replay(&path, "builtin:passwd-file", &[]);
        assert_eq!(finished.code, Some(1), "{path:?}: {finished:#?}");
        assert!(finished.stderr.contains(words), "{path:?}: {finished:#?}");
        assert!(!finished.stderr.contains("panicked"), "{finished:#?}");
    }
    let finished = replay(&file, "builtin:passwd-file", &["--plugin", "nobody"]);
    assert_eq!(finished.code, Some(1), "{finished:#?}");
    for words in ["--plugin nobody", "users (authenticator)", "mail (store)"] {
        assert!(finished.stderr.contains(words), "{finished:#?}");
    }
}

#[test]
fn what_cannot_be_recorded_is_refused_at_the_start() {
    let studio = Studio::new(&[]);
    let config = studio.site.write_config(&studio.site.config());
    let serve = |arguments: &[&str]| {
        let mut command = Command::new(binary());
        command
            .args(["serve", "--config"])
            .arg(&config)
            .args(arguments);
        run_to_end(&mut command)
    };
    let directory = studio.directory.to_str().unwrap();
    let finished = serve(&["--record", directory, "--record-tenant", "nobody"]);
    assert_eq!(finished.code, Some(1), "{finished:#?}");
    assert!(finished.stderr.contains("there are test"), "{finished:#?}");
    let file = config.to_str().unwrap();
    let finished = serve(&["--record", file, "--record-tenant", "test"]);
    assert_eq!(finished.code, Some(1), "{finished:#?}");
    assert!(finished.stderr.contains("--record"), "{finished:#?}");
    for arguments in [&["--record", directory][..], &["--record-mail"]] {
        let finished = serve(arguments);
        assert_eq!(finished.code, Some(2), "{finished:#?}");
    }
}

//! Mail with UTF-8 in its headers, for clients that know UTF8 and for those that
//! do not: what Python's mail packages read in it, and what curl gets. And of
//! every message there is: no header beyond ASCII.
use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use restante_tests::{
    Pop3, Server, Site, Tool, corpus, own_messages, python, repository, require, run_to_end,
};

const PASSWORD: &str = "a pass word";

fn script() -> Option<Command> {
    let mut python = python("surrogates")?;
    python
        .arg(repository().join("tests/surrogates.py"))
        .env("PYTHONDONTWRITEBYTECODE", "1");
    Some(python)
}

/// Runs the script against a server of this policy; what clients without UTF8
/// got is in `out` of the site.
fn holds(policy: &str) -> Option<(Site, Server)> {
    let mut site = Site::new();
    site.user("ada", PASSWORD);
    site.server = format!("utf8 = \"{policy}\"\n");
    let maildir = site.maildir("ada");
    let filled = run_to_end(script()?.arg("fill").arg(maildir.root()));
    assert_eq!(filled.code, Some(0), "{filled:#?}");
    let out = site.path().join("out");
    fs::create_dir(&out).unwrap();
    let server = site.start();
    let port = server.pop3().port().to_string();
    let mut child = script()?
        .args([policy, "127.0.0.1", &port, "ada"])
        .args([maildir.root(), &out])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    writeln!(stdin, "{PASSWORD}").unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "{policy}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Some((site, server))
}

#[test]
fn surrogates_say_what_the_messages_say() {
    let Some((site, server)) = holds("surrogate") else {
        return;
    };
    let curl = Tool {
        name: "curl",
        probe: &["curl", "--version"],
        packages: &["curl"],
    };
    if require("surrogates", &[&curl]) {
        for number in ["1", "10", "13"] {
            let output = site.path().join("curl");
            let url = format!("pop3://127.0.0.1:{}/{number}", server.pop3().port());
            let finished = run_to_end(
                Command::new("curl")
                    .args(["--disable", "--silent", "--show-error", &url, "--user"])
                    .arg(format!("ada:{PASSWORD}"))
                    .arg("--output")
                    .arg(&output),
            );
            assert_eq!(finished.code, Some(0), "{finished:#?}");
            let expected = fs::read(site.path().join("out").join(number)).unwrap();
            assert_eq!(
                String::from_utf8_lossy(&fs::read(output).unwrap()),
                String::from_utf8_lossy(&expected)
            );
        }
    }
    server.stop();
}

#[test]
fn messages_that_need_utf8_are_refused_where_that_is_wanted() {
    if let Some((_site, server)) = holds("refuse") {
        server.stop();
    }
}

#[test]
fn without_utf8_mail_goes_out_as_it_is() {
    if let Some((_site, server)) = holds("off") {
        server.stop();
    }
}

/// Up to the blank line; nothing, if the message begins with no field.
fn header(message: &[u8]) -> &[u8] {
    let is_name = |octet: &u8| octet.is_ascii_graphic() && *octet != b':';
    let name = message.iter().take_while(|octet| is_name(octet)).count();
    if name == 0 || !matches!(message.get(name), Some(b':' | b' ')) {
        return b"";
    }
    let end = message.windows(4).position(|end| end == b"\r\n\r\n");
    end.map_or(message, |end| &message[..end])
}

#[test]
fn no_header_of_any_message_is_beyond_ascii() {
    let mut messages = own_messages();
    messages.extend(corpus());
    let mut site = Site::new();
    site.user("ada", PASSWORD);
    let mut maildir = site.maildir("ada");
    for (_, octets) in &messages {
        maildir.deliver(octets);
    }
    let server = site.start();
    let mut raw = Pop3::connect(server.pop3());
    raw.accepted("UTF8");
    assert!(raw.authenticate("ada", PASSWORD).ok);
    let as_stored: Vec<_> = (1..=messages.len())
        .map(|number| raw.retr(number as u32))
        .collect();
    raw.quit();
    let mut client = Pop3::login(server.pop3(), "ada", PASSWORD);
    let mut changed = 0;
    for (number, (stored, (name, _))) in as_stored.iter().zip(&messages).enumerate() {
        let got = client.retr(number as u32 + 1);
        assert!(header(&got).is_ascii(), "{name}");
        if stored.is_ascii() {
            assert!(&got == stored, "{name} is ASCII, and changed");
        }
        changed += usize::from(&got != stored);
    }
    assert!(changed > 0);
    client.quit();
    server.stop();
}

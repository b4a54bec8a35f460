//! Writes the seeds of every target into the folder that is named
//! (`tests/fuzz/seeds`): from the protocol's dialogues, the messages of
//! `tests/mail`, the examples of docs/configuration.md, and what is written down
//! here. Inputs that broke something once stand beside them and are left alone.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

#[path = "../../../host/pop3/tests/either/mod.rs"]
#[allow(dead_code, reason = "the tests use all of it")]
mod either;
#[path = "../../../host/pop3/tests/replay/mod.rs"]
#[allow(
    dead_code,
    unused_imports,
    reason = "dialogues are read here, not played"
)]
mod replay;

use replay::Dialogue;
use restante_lines::dialogue::Script;

/// Lengths of chunks; answers that log in and refuse nothing. What follows are
/// settings and channel.
const CHOICES: [u8; 12] = [7, 1, 0, 60, 7, 7, 7, 7, 7, 7, 7, 7];

/// Octets of a message that is worth having as a seed.
const MAIL_OCTETS: u64 = 1024;

type Written = Result<(), Box<dyn Error>>;

fn main() -> Written {
    let folder = PathBuf::from(std::env::args_os().nth(1).ok_or("which folder?")?);
    let put = |target: &str, name: &str, seed: Vec<u8>| -> Written {
        Ok(fs::write(folder.join(target).join(name), seed)?)
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for (name, path) in files(&root.join("host/pop3/tests/dialogues"), "txt")? {
        put("session", &name, session(&fs::read_to_string(path)?)?)?;
    }
    for (name, path) in files(&root.join("host/lmtp/tests/dialogues"), "txt")? {
        put("lmtp", &name, lmtp(&fs::read_to_string(path)?)?)?;
    }
    for (name, path) in files(&root.join("tests/mail"), "eml")? {
        if fs::metadata(&path)?.len() <= MAIL_OCTETS {
            let body_lines = [1, 0, 0, 0];
            let seed = [&CHOICES[..], &body_lines, &fs::read(path)?].concat();
            put("stuffing", &name, seed)?;
        }
    }
    let docs = fs::read_to_string(root.join("docs/configuration.md"))?;
    for (index, example) in docs.split("```toml\n").skip(1).enumerate() {
        let example = example.split("```").next().unwrap_or_default();
        put("config", &format!("docs-{}", index + 1), config(example))?;
    }
    for (name, seed) in sasl() {
        put("sasl", name, seed)?;
    }
    for (name, seed) in PROXY_HEADERS {
        put("proxy", name, seed.to_vec())?;
    }
    for (name, seed) in USER_NAMES {
        put("users", name, seed.into())?;
    }
    Ok(())
}

/// The files of this kind in a folder, and their names without the ending.
fn files(folder: &Path, kind: &str) -> Result<Vec<(String, PathBuf)>, Box<dyn Error>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == kind) {
            let name = path.file_stem().ok_or("a file without a name")?;
            files.push((name.to_string_lossy().into_owned(), path));
        }
    }
    Ok(files)
}

/// What the client says in a dialogue, on a channel like its own.
fn session(text: &str) -> Result<Vec<u8>, Box<dyn Error>> {
    let channel = match text.lines().find_map(|line| line.strip_prefix("channel: ")) {
        None => 0b0010_1101,
        Some(words) => [("tls", 1), ("starttls", 2), ("plaintext", 4), ("apop", 16)]
            .into_iter()
            .filter(|(word, _)| words.split(' ').any(|it| it == *word))
            .fold(0b0010_1000, |channel, (_, bit)| channel | bit),
    };
    let segments = Dialogue::parse(text)?.script.input();
    let settings = [channel, 0b0111_1111, 0b1111_1101, 1];
    Ok([&CHOICES[..], &settings, &segments.join(&b"\x16"[..])].concat())
}

/// What the client says in a dialogue of LMTP, where everything is offered and a
/// message may have 1 MiB.
fn lmtp(text: &str) -> Result<Vec<u8>, Box<dyn Error>> {
    let segments = Script::parse(text)?.input();
    let keep = text.contains("bare-line-ends: keep");
    let settings = [
        0b0001_1010,
        0b0000_0011 | u8::from(keep) << 2,
        0b0011_1111,
        0,
    ];
    Ok([&CHOICES[..], &settings, &segments.concat()].concat())
}

/// An example, its paths those that the target has.
fn config(example: &str) -> Vec<u8> {
    let word = |word: &str| {
        let path = word.trim_matches('"');
        match path.rsplit_once('.') {
            Some((_, ending @ ("pem" | "key" | "wasm"))) if path.len() + 2 == word.len() => {
                format!("\"a.{ending}\"")
            }
            _ if path == "/etc/restante/users" => word.replace(path, "a"),
            _ => word.into(),
        }
    };
    let line = |line: &str| line.split(' ').map(word).collect::<Vec<_>>().join(" ") + "\n";
    example.lines().map(line).collect::<String>().into_bytes()
}

/// Exchanges, one thing that the client does on each line. The channel's bits: TLS,
/// USER and PASS, bindings of each type.
fn sasl() -> Vec<(&'static str, Vec<u8>)> {
    let all = 0b0011_1111;
    let clear = 0b0000_0010;
    let scripts: [(&str, u8, &[u8]); 14] = [
        ("scram-sha-256", clear, b"S\0\0\0\0\nF\0\nE"),
        ("scram-sha-1-in-two-steps", clear, b"S\x11\x01\x08\x10\nF\x05\n="),
        ("scram-sha-256-plus", all, b"S\x02\x02\0\0\nF\0\nR"),
        ("scram-sha-1-plus", all, b"S\x03\0\0\x01\nF\0\n"),
        ("scram-acting-as", clear, b"S\0\x08\0\0\nF\0\nE\nS\0\x0c\0\0\nF\0\nE"),
        ("scram-downgrade", all, b"S\x08\0\0\0\nF\0\nE"),
        ("scram-y", clear, b"S\x08\0\0\0\nF\0\nE"),
        ("scram-other-channel", all, b"S\x02\0\0\x0c\nF\0\nE"),
        ("scram-nobody", clear, b"S\0\x03\0\0\nF\0\nE\nS\0\0\x07\0\nF\0\nE"),
        (
            "scram-flaws",
            clear,
            b"S\0\0\0\0\nF\x07\nS\0\0\0\0\nF\x08\nS\0\0\0\0\nF\x19\nS\0\0\0\0\nF\x0a\nS\0\0\0\0\nF\x0c\n\
              S\0\0\0\0\nF\x0d\nS\0\0\0\0\nF\x0e\nS\0\0\0\0\nF\x0f\nS\0\0\0\0\nF\0\nE",
        ),
        (
            "plain",
            all,
            b"Af\0mrose\0secret\nAfa\0mrose\0secret\nBf\nR\0I\xc2\xadX\0a\xc2\xa0b\nAf\0\0\nAf",
        ),
        ("login", all, b"Ag\nBg\nRmrose\nRsecret\nAgmrose\nRsecret\nBg\n*\nBg\n=\n!\nCAPA"),
        (
            "cram-md5-and-apop",
            clear,
            b"Be\nRmrose c4c9334bac560ecc979e58001b3e22fb\nBe\nRx C4C9334BAC560ECC979E58001B3E22FB\n\
              APOP mrose c4c9334bac560ecc979e58001b3e22fb\nAUTH\nLANG de\nUTF8",
        ),
        (
            "tokens-and-certificates",
            all,
            b"Acn,a=user@example.com,\x01host=server.example.com\x01port=995\x01auth=Bearer tok.en==\x01\x01\n\
              E\nAduser=a\x01auth=Bearer x\x01\x01\nE\nBc\n*\nAb\nAbother\nBb\n=\nAcn,,\x01auth=\x01\x01\nR\x01",
        ),
    ];
    let seed = |(name, channel, script): (&'static str, u8, &[u8])| {
        (name, [&CHOICES[..], &[channel, 0, 0, 0], script].concat())
    };
    scripts.into_iter().map(seed).collect()
}

/// Two names with a line end between them.
const USER_NAMES: [(&str, &str); 8] = [
    ("case", "Kate@Example.org\nKATE@example.ORG"),
    ("kelvin-sign", "\u{212a}ate\nkate"),
    ("long-s", "\u{17f}am\nsam"),
    ("dotted-i", "\u{130}da\nida"),
    ("umlaut", "J\u{d6}RG\nj\u{f6}rg"),
    ("decomposed", "jo\u{308}rg\nj\u{f6}rg"),
    ("beside-letters", "a@[`{z\nA@[`{Z"),
    ("one", "nobody"),
];

const PROXY_HEADERS: [(&str, &[u8]); 10] = [
    (
        "v1-tcp4",
        b"PROXY TCP4 192.0.2.1 198.51.100.7 56324 995\r\nCAPA\r\n",
    ),
    (
        "v1-tcp6",
        b"PROXY TCP6 2001:db8::1 2001:db8::2 56324 995\r\nCAPA\r\n",
    ),
    (
        "v1-unknown",
        b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\nCAPA\r\n",
    ),
    (
        "v1-unfinished",
        b"PROXY TCP4 192.0.2.1 198.51.100.7 56324 995\r",
    ),
    (
        "v2-tcp4",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\xc6\x33\x64\x07\xdc\x04\x03\xe3CAPA\r\n",
    ),
    (
        "v2-tcp6-with-a-name",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x2a\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\
          \x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02\xdc\x04\x03\xe3\x02\0\x03a.bCAPA\r\n",
    ),
    ("v2-local", b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0CAPA\r\n"),
    (
        "v2-checksum",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x13\xc0\0\x02\x01\xc6\x33\x64\x07\xdc\x04\x03\xe3\
          \x03\0\x04\0\0\0\0CAPA\r\n",
    ),
    (
        "v2-unix-and-nothing-known",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x31\0\x01xQUIT\r\n",
    ),
    // Made into headers: version 2 with IPv4, IPv6, a name, a checksum, padding.
    (
        "made",
        b"\xff0123456789abcdef0123456789abcdefghijexample.org and what else fits here",
    ),
];

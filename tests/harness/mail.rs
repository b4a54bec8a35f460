//! The messages that the tests serve.

use std::fs;
use std::path::{Path, PathBuf};

/// The checkout.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the package lies in the checkout")
        .to_owned()
}

/// Name and octets of each message in tests/mail, by name.
pub fn own_messages() -> Vec<(String, Vec<u8>)> {
    let messages = read_all(&repository().join("tests/mail"));
    assert!(messages.len() >= 30, "tests/mail has lost its messages");
    messages
}

/// Name and octets of each message of the corpus, when it stands beside the
/// checkout.
pub fn corpus() -> Vec<(String, Vec<u8>)> {
    let directory = repository().join("../shared/corpus");
    if directory.is_dir() {
        read_all(&directory)
    } else {
        Vec::new()
    }
}

/// A message of ten megabytes, line ends LF, dots in front of every tenth line.
pub fn ten_megabytes() -> Vec<u8> {
    let mut octets = b"Subject: ten megabytes\n\n".to_vec();
    let mut line = 0u64;
    while octets.len() < 10 << 20 {
        let dot = if line.is_multiple_of(10) { "." } else { "" };
        octets.extend_from_slice(format!("{dot}line {line} of a long message\n").as_bytes());
        line += 1;
    }
    octets
}

/// A message with one line of a megabyte, with dots and lone CR inside.
pub fn long_line() -> Vec<u8> {
    let mut octets = b"Subject: a line of a megabyte\n\n".to_vec();
    while octets.len() < 1 << 20 {
        octets.extend_from_slice(b".no end\r.in sight ");
    }
    octets.extend_from_slice(b"\n.\nafter it\n");
    octets
}

fn read_all(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let mut messages: Vec<(String, Vec<u8>)> = fs::read_dir(directory)
        .unwrap_or_else(|error| panic!("{}: {error}", directory.display()))
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "eml"))
        .map(|path| {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            (name, fs::read(&path).unwrap())
        })
        .collect();
    messages.sort();
    messages
}

//! What a message of the maildrop is called: the unique part of its file's name,
//! which stays for ever, or a hash of that.

use std::borrow::Cow;

use restante_guest::maildir::unique_part;
pub(crate) use restante_guest::maildir::{Sizes, delivered};
use sha2::{Digest, Sha256};

/// Octets of the longest unique-id (RFC 1939 section 7, UIDL).
const UNIQUE_ID_OCTETS: usize = 70;
/// What a unique-id that is a hash begins with, and no other does.
const HASHED: &str = "sha256-";
/// Octets of the hash that go into such a unique-id, twice as many digits.
const HASH_OCTETS: usize = 20;

/// The message's unique-id: the unique part, if it may be one and clients can make a
/// file name of it; else a hash of it.
pub(crate) fn unique_id(name: &str) -> Cow<'_, str> {
    let stem = unique_part(name);
    if is_unique_id(&stem) {
        return stem;
    }
    Cow::Owned(hashed(Sha256::digest(stem.as_bytes()).into()))
}

/// The unique-id of a further file of the same unique part, from what no program changes
/// of a message's file: its size and its time of modification in nanoseconds. `turn` tells
/// those apart that have both in common, from 0. No unique part has a NUL, so it is no
/// other file's [`unique_id`].
pub(crate) fn further_unique_id(name: &str, size: u64, modified: u64, turn: u32) -> String {
    let mut hash = Sha256::new();
    hash.update(unique_part(name).as_bytes());
    hash.update(format!("\0{size}/{modified}/{turn}"));
    hashed(hash.finalize().into())
}

/// Whether a unique-id may be one that no name tells: of a further file, or of an
/// earlier version.
pub(crate) fn is_hashed(unique_id: &str) -> bool {
    unique_id.starts_with(HASHED)
}

fn hashed(hash: [u8; 32]) -> String {
    let mut unique_id = String::with_capacity(HASHED.len() + 2 * HASH_OCTETS);
    unique_id.push_str(HASHED);
    for octet in &hash[..HASH_OCTETS] {
        for digit in [octet >> 4, octet & 15] {
            unique_id.push(char::from(b"0123456789abcdef"[usize::from(digit)]));
        }
    }
    unique_id
}

/// Changing this changes unique-ids: every client would fetch everything anew.
fn is_unique_id(stem: &str) -> bool {
    (1..=UNIQUE_ID_OCTETS).contains(&stem.len())
        && !stem.starts_with(HASHED)
        && !stem.starts_with('.')
        && !stem.ends_with('.')
        && stem
            .bytes()
            .all(|octet| octet.is_ascii_alphanumeric() || b"+,-.=@_%".contains(&octet))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unique_id_outlives_flags_sizes_and_the_move_to_cur() {
        let stem = "1700000000.M123456P42.host";
        for name in [
            "1700000000.M123456P42.host",
            "1700000000.M123456P42.host:2,",
            "1700000000.M123456P42.host:2,RS",
            "1700000000.M123456P42.host:1,x",
            "1700000000.M123456P42.host,S=4711",
            "1700000000.M123456P42.host,S=4711,W=4800:2,S",
            "1700000000.M123456P42.host,W=4800,S=4711:2,Sab",
        ] {
            assert_eq!(unique_id(name), stem);
        }
    }

    #[test]
    fn nothing_but_sizes_is_stripped() {
        assert_eq!(unique_id("1.a.b,U=5,S=3:2,"), "1.a.b,U=5");
        assert_eq!(unique_id("1.a.b,S=,W=x"), "1.a.b,S=,W=x");
        assert_eq!(unique_id("S=5,S=6"), "S=5");
    }

    #[test]
    fn an_awkward_stem_is_hashed_and_cannot_be_mistaken() {
        let long = "a".repeat(71);
        let mut seen = std::collections::BTreeSet::new();
        for name in [
            "1.a.host:port",
            "1.a b",
            "1.\\057",
            "1.é",
            ":2,S",
            "1.a.",
            "sha256-00",
            long.as_str(),
            "1.a/b",
            "a*",
            "a?",
            "a\"",
            "a\u{7f}",
        ] {
            let id = unique_id(name);
            assert!(id.starts_with(HASHED) && id.len() == 47, "{name}: {id}");
            assert!(seen.insert(id.into_owned()), "{name}");
        }
        assert_eq!(unique_id(&"a".repeat(70)), "a".repeat(70));
        // SHA-256 of the empty string, as FIPS 180 examples have it.
        assert_eq!(
            unique_id(":2,S"),
            "sha256-e3b0c44298fc1c149afbf4c8996fb92427ae41e4"
        );
        assert_eq!(unique_id("1.a b:2,S"), unique_id("1.a b,S=1:2,"));
    }

    #[test]
    fn unique_ids_of_further_files_never_change_between_versions() {
        let further = |name, turn| further_unique_id(name, 7, 9, turn);
        // SHA-256 of "1.a.h\0" and "7/9/0", by another program.
        let first = "sha256-1043f5c4d1f810073719e694daa3d0114434d72b";
        assert_eq!(further("1.a.h", 0), first);
        assert_eq!(further("1.a.h,S=7:2,RS", 0), first);
        assert_ne!(further("1.a.h", 1), first);
        assert_ne!(further("2.a.h", 0), first);
        assert_ne!(further_unique_id("1.a.h", 8, 9, 0), first);
        assert_ne!(further_unique_id("1.a.h", 7, 8, 0), first);
        assert!(is_hashed(first) && !is_hashed("1.a.h"));
    }
}

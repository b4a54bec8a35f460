//! What the name of a Maildir file tells: which message it is, when it came,
//! and what it weighs.
//!
//! ```text
//! 1700000000.M123456P42.host,S=4711,W=4800:2,RS
//! ^seconds   ^microseconds  ^octets on disk and with CRLF, ^flags
//! `-- stem -----------------'
//! ```
//!
//! The *stem* is what stays for ever: flags change, and tools add the sizes
//! later.

use std::borrow::Cow;

use sha2::{Digest, Sha256};

/// Octets of the longest unique-id (RFC 1939 section 7, UIDL).
const UNIQUE_ID_OCTETS: usize = 70;
/// What a unique-id that is a hash begins with, and no other does.
const HASHED: &str = "sha256-";
/// Octets of the hash that go into such a unique-id, twice as many digits.
const HASH_OCTETS: usize = 20;

/// The sizes that a delivery agent wrote into the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sizes {
    on_disk: u64,
    with_crlf: u64,
}

impl Sizes {
    /// `,S=` and `,W=`; none unless both are there.
    pub(crate) fn of(name: &str) -> Option<Sizes> {
        let field = |key: &str| {
            base(name)
                .split(',')
                .skip(1)
                .find_map(|field| digits(field.strip_prefix(key)?))
        };
        Some(Sizes {
            on_disk: field("S=")?,
            with_crlf: field("W=")?,
        })
    }

    /// The size of the file, as the name has it.
    pub(crate) fn on_disk(self) -> u64 {
        self.on_disk
    }

    /// The message's octets, if the sizes agree with the file and with each
    /// other: a CR for each LF at most, and a line end at the end.
    pub(crate) fn octets(self, size: u64) -> Option<u64> {
        let most = size.checked_mul(2)?.checked_add(2)?;
        (self.on_disk == size && (size..=most).contains(&self.with_crlf)).then_some(self.with_crlf)
    }
}

/// Seconds since the Unix epoch and microseconds of the delivery.
pub(crate) fn delivered(name: &str) -> Option<(u64, u64)> {
    let mut parts = name.split('.');
    let seconds = digits(parts.next()?)?;
    // The digits behind other letters are hexadecimal at most: no M in them.
    let microseconds = parts
        .next()
        .and_then(|part| part.split_once('M'))
        .and_then(|(_, rest)| {
            let end = rest
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(rest.len());
            digits(&rest[..end])
        });
    Some((seconds, microseconds.unwrap_or(0)))
}

/// The message's unique-id: the stem, if it may be one and clients can make a
/// file name of it; else a hash of the stem.
pub(crate) fn unique_id(name: &str) -> Cow<'_, str> {
    let stem = stem(name);
    if is_unique_id(&stem) {
        return stem;
    }
    let hash = Sha256::digest(stem.as_bytes());
    let mut unique_id = String::with_capacity(HASHED.len() + 2 * HASH_OCTETS);
    unique_id.push_str(HASHED);
    for octet in &hash[..HASH_OCTETS] {
        for digit in [octet >> 4, octet & 15] {
            unique_id.push(char::from(b"0123456789abcdef"[usize::from(digit)]));
        }
    }
    Cow::Owned(unique_id)
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

/// The name without flags and sizes.
fn stem(name: &str) -> Cow<'_, str> {
    let base = base(name);
    let Some((first, rest)) = base.split_once(',') else {
        return Cow::Borrowed(base);
    };
    if rest.split(',').all(is_size) {
        return Cow::Borrowed(first);
    }
    let mut stem = String::with_capacity(base.len());
    stem.push_str(first);
    for field in rest.split(',').filter(|field| !is_size(field)) {
        stem.push(',');
        stem.push_str(field);
    }
    Cow::Owned(stem)
}

/// The name without flags; ":1," is the draft of the same idea.
fn base(name: &str) -> &str {
    let end = name.find(":2,").or_else(|| name.find(":1,"));
    end.map_or(name, |end| &name[..end])
}

fn is_size(field: &str) -> bool {
    let value = field.strip_prefix("S=").or(field.strip_prefix("W="));
    value.is_some_and(|value| digits(value).is_some())
}

/// A number that is nothing but digits.
fn digits(text: &str) -> Option<u64> {
    if !text.bytes().all(|octet| octet.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
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
    fn the_time_of_delivery_stands_in_front() {
        assert_eq!(
            delivered("1700000000.M123456P42.host"),
            Some((1_700_000_000, 123_456))
        );
        assert_eq!(
            delivered("1700000000.V801I2fM99P4Q5.h"),
            Some((1_700_000_000, 99))
        );
        assert_eq!(
            delivered("1700000000.12_0.host.M5"),
            Some((1_700_000_000, 0))
        );
        assert_eq!(delivered("1700000000.Mx.host"), Some((1_700_000_000, 0)));
        assert_eq!(delivered("17"), Some((17, 0)));
        for name in [
            "mail.1",
            ".1",
            "",
            "+1.a",
            "1a.b",
            "99999999999999999999999.a",
        ] {
            assert_eq!(delivered(name), None, "{name}");
        }
    }

    #[test]
    fn sizes_count_only_if_they_can_be_true() {
        let octets = |name: &str, size| Sizes::of(name).and_then(|sizes| sizes.octets(size));
        assert_eq!(octets("1.a,S=10,W=12:2,S", 10), Some(12));
        assert_eq!(octets("1.a,W=10,S=10", 10), Some(10));
        assert_eq!(octets("1.a,S=10,W=22", 10), Some(22));
        assert_eq!(octets("1.a,S=10,W=23", 10), None);
        assert_eq!(octets("1.a,S=10,W=9", 10), None);
        assert_eq!(octets("1.a,S=11,W=12", 10), None);
        assert_eq!(octets("1.a,W=12", 10), None);
        assert_eq!(octets("1.a,S=10", 10), None);
        assert_eq!(octets("1.a:2,S=10,W=12", 10), None);
        assert_eq!(octets("1.a,S=18446744073709551615,W=1", u64::MAX), None);
    }
}

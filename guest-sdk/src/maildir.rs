//! What the name of a Maildir file tells: which message it is, when it came, what
//! it weighs, and what mail programs noted about it.
//!
//! ```text
//! 1700000000.M123456P42.host,S=4711,W=4800:2,RS
//! ^seconds   ^microseconds  ^octets on disk and with CRLF, ^flags
//! `-- unique part ----------'
//! ```
//!
//! The *unique part* is what stays for ever: flags change, and tools add the sizes
//! later. On file systems that allow no ":" in names (SMB, FAT), programs write the
//! flags behind ";2," or "!2,".
//!
//! ```
//! use restante_guest::maildir;
//!
//! let name = "1700000000.M123456P42.host,S=4711,W=4800:2,RS";
//! assert_eq!(maildir::unique_part(name), "1700000000.M123456P42.host");
//! assert_eq!(maildir::flags(name), "RS");
//! assert_eq!(maildir::delivered(name), Some((1_700_000_000, 123_456)));
//! let sizes = maildir::Sizes::of(name).expect("both are there");
//! assert_eq!(sizes.octets(4711), Some(4800));
//! ```

use std::borrow::Cow;

/// The sizes that a delivery agent wrote into the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    on_disk: u64,
    with_crlf: u64,
}

impl Sizes {
    /// `,S=` and `,W=`; none unless both are there.
    pub fn of(name: &str) -> Option<Sizes> {
        Some(Sizes {
            on_disk: field(name, "S=")?,
            with_crlf: field(name, "W=")?,
        })
    }

    /// The size of the file, as the name has it.
    pub fn on_disk(self) -> u64 {
        self.on_disk
    }

    /// The message's octets on the wire, if the sizes agree with the file's and with
    /// each other: a CR for each LF at most, and a line end at the end. Dovecot does
    /// not count a last line end that is missing: look whether the file has one.
    pub fn octets(self, size: u64) -> Option<u64> {
        let most = size.checked_mul(2)?.checked_add(2)?;
        (self.on_disk == size && (size..=most).contains(&self.with_crlf)).then_some(self.with_crlf)
    }
}

/// `,S=`: octets of the message as it was delivered, which count for its owner's quota
/// (Maildir++). The file has others if a mail program compressed it since. `None`: the
/// name does not say.
pub fn delivered_octets(name: &str) -> Option<u64> {
    field(name, "S=")
}

/// Seconds since the Unix epoch and microseconds of the delivery: what messages are
/// ordered by. `None`: the name does not begin with a time.
pub fn delivered(name: &str) -> Option<(u64, u64)> {
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

/// The name without flags and sizes: what a message keeps, wherever it is moved. It
/// may be no unique-id yet: those have bounds of their own
/// ([`Listing::push`](crate::store::Listing::push)).
pub fn unique_part(name: &str) -> Cow<'_, str> {
    let base = base(name);
    let Some((first, rest)) = base.split_once(',') else {
        return Cow::Borrowed(base);
    };
    if rest.split(',').all(is_size) {
        return Cow::Borrowed(first);
    }
    let mut part = String::with_capacity(base.len());
    part.push_str(first);
    for field in rest.split(',').filter(|field| !is_size(field)) {
        part.push(',');
        part.push_str(field);
    }
    Cow::Owned(part)
}

/// The flags behind `:2,` (or `;2,`, `!2,`): `"RS"` of one that was read and answered.
/// Empty: none, or the name has no such part.
pub fn flags(name: &str) -> &str {
    match info(name) {
        Some(at) if name[at + 1..].starts_with('2') => &name[at + 3..],
        _ => "",
    }
}

/// Whether the name has a part for flags, if only an empty one.
pub fn has_flags(name: &str) -> bool {
    info(name).is_some_and(|at| name[at + 1..].starts_with('2'))
}

/// The name without flags.
fn base(name: &str) -> &str {
    info(name).map_or(name, |end| &name[..end])
}

/// Where the part with the flags begins. ":1," is the draft of the same idea; ";" and
/// "!" stand for ":" where the file system allows none, so they count only without it.
fn info(name: &str) -> Option<usize> {
    let marks = [":2,", ":1,", ";2,", "!2,"];
    // The usual name without flags is settled in one look.
    if !name.contains([':', ';', '!']) {
        return None;
    }
    marks.into_iter().find_map(|mark| name.find(mark))
}

fn field(name: &str, key: &str) -> Option<u64> {
    let mut fields = base(name).split(',').skip(1);
    fields.find_map(|field| digits(field.strip_prefix(key)?))
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
        assert_eq!(delivered_octets("1.a,S=10:2,Z"), Some(10));
        assert_eq!(delivered_octets("1.a:2,S=10"), None);
        assert_eq!(octets("1.a,S=18446744073709551615,W=1", u64::MAX), None);
    }

    #[test]
    fn flags_stand_behind_the_last_part() {
        for (name, expected) in [
            ("1.a.host:2,RS", "RS"),
            ("1.a.host,S=3:2,", ""),
            ("1.a.host:1,x", ""),
            ("1.a.host", ""),
            ("1.a.host,S=3;2,RS", "RS"),
            ("1.a.host!2,S", "S"),
            ("1.a!b.host:2,S", "S"),
            ("1.a;2,x:2,S", "S"),
        ] {
            assert_eq!(flags(name), expected, "{name}");
        }
    }

    #[test]
    fn a_part_for_flags_may_be_empty() {
        for name in [
            "1.a.host:2,",
            "1.a.host,S=3:2,RS",
            "1.a.host;2,",
            "1.a.host!2,S",
        ] {
            assert!(has_flags(name), "{name}");
        }
        for name in ["1.a.host", "1.a.host:1,x", "1.a;b!c"] {
            assert!(!has_flags(name), "{name}");
        }
    }

    #[test]
    fn nothing_but_sizes_is_taken_off() {
        for (name, expected) in [
            ("1.a.b,U=5,S=3:2,", "1.a.b,U=5"),
            ("1.a.b,S=,W=x", "1.a.b,S=,W=x"),
            ("S=5,S=6", "S=5"),
            (":2,S", ""),
            ("1.a.b,S=3;2,RS", "1.a.b"),
            ("1.a.b,S=3!2,", "1.a.b"),
            ("1.a;b!c", "1.a;b!c"),
            ("1.a;2,x:2,S", "1.a;2,x"),
        ] {
            assert_eq!(unique_part(name), expected, "{name}");
        }
    }
}

//! Durations and sizes as the server's own configuration has them: a whole
//! number and its unit.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

const MILLISECONDS: [(&str, u64); 5] = [
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
];

const OCTETS: [(&str, u64); 8] = [
    ("B", 1),
    ("kB", 1_000),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

/// A duration as the server's own configuration has them: `"500ms"`, `"30s"`,
/// `"10m"`, `"2h"`, `"7d"`.
///
/// ```
/// use restante_guest::settings::Span;
/// use std::time::Duration;
///
/// assert_eq!("10m".parse(), Ok(Span(Duration::from_secs(600))));
/// assert!("10".parse::<Span>().is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

/// A number of octets as the server's own configuration has them: `"8KiB"`,
/// `"64MiB"`, `"1GB"`, `"512B"`.
///
/// ```
/// use restante_guest::settings::Size;
///
/// assert_eq!("8KiB".parse(), Ok(Size(8192)));
/// assert!("8 KiB".parse::<Size>().is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

/// A text is no [`Span`] or [`Size`]. Says what to write instead, and not what
/// was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadUnit {
    what: &'static str,
    mend: &'static str,
}

impl fmt::Display for BadUnit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}; {}", self.what, self.mend)
    }
}

impl std::error::Error for BadUnit {}

impl FromStr for Span {
    type Err = BadUnit;

    fn from_str(text: &str) -> Result<Span, BadUnit> {
        let mend = "write a whole number and its unit: 500ms, 30s, 10m, 2h, 7d";
        let milliseconds = measure(text, &MILLISECONDS, "is no duration");
        match milliseconds {
            Ok(milliseconds) => Ok(Span(Duration::from_millis(milliseconds))),
            Err(what) => Err(BadUnit { what, mend }),
        }
    }
}

impl FromStr for Size {
    type Err = BadUnit;

    fn from_str(text: &str) -> Result<Size, BadUnit> {
        let mend = "write a whole number and its unit: 512B, 8KiB, 64MiB, 1GiB, 1MB";
        match measure(text, &OCTETS, "is no size") {
            Ok(octets) => Ok(Size(octets)),
            Err(what) => Err(BadUnit { what, mend }),
        }
    }
}

fn measure(text: &str, units: &[(&str, u64)], what: &'static str) -> Result<u64, &'static str> {
    let digits = text.find(|octet: char| !octet.is_ascii_digit());
    let (number, unit) = text.split_at(digits.unwrap_or(text.len()));
    if number.is_empty() {
        return Err(what);
    }
    if unit.is_empty() {
        return Err("has no unit");
    }
    let (_, worth) = units.iter().find(|(name, _)| *name == unit).ok_or(what)?;
    // Digits alone: it can only be too large.
    let number: Option<u64> = number.parse().ok();
    let product = number.and_then(|number| number.checked_mul(*worth));
    product.ok_or("is too much")
}

#[cfg(feature = "serde")]
macro_rules! deserialize {
    ($($type:ident, $what:literal, $stand_in:literal;)+) => {
        $(impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<$type, D::Error> {
                struct Words;
                impl serde::de::Visitor<'_> for Words {
                    type Value = $type;
                    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                        formatter.write_str($what)
                    }
                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$type, E> {
                        text.parse().map_err(E::custom)
                    }
                    // What stands in for a missing one while further problems are
                    // looked for.
                    fn visit_unit<E: serde::de::Error>(self) -> Result<$type, E> {
                        self.visit_str($stand_in)
                    }
                }
                from.deserialize_any(Words)
            }
        })+
    };
}

#[cfg(feature = "serde")]
deserialize! {
    Span, "a duration", "0s";
    Size, "a size", "0B";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_their_units() {
        for (text, milliseconds) in [("0ms", 0), ("30s", 30_000), ("007d", 604_800_000)] {
            let span = Span(Duration::from_millis(milliseconds));
            assert_eq!(text.parse(), Ok(span));
        }
        for (text, octets) in [("1B", 1), ("1kB", 1000), ("1GiB", 1 << 30)] {
            assert_eq!(text.parse(), Ok(Size(octets)));
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, what) in [
            ("", "is no size"),
            ("MiB", "is no size"),
            ("-1B", "is no size"),
            ("1 B", "is no size"),
            ("1b", "is no size"),
            ("12", "has no unit"),
            ("18446744073709551616B", "is too much"),
            ("18446744073709551615GiB", "is too much"),
        ] {
            let error = text.parse::<Size>().unwrap_err();
            assert!(error.to_string().starts_with(what), "{text}: {error}");
        }
        let error = "5y".parse::<Span>().unwrap_err();
        assert!(error.to_string().contains("500ms, 30s, 10m, 2h, 7d"));
    }
}

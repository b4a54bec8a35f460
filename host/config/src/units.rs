//! Durations and sizes: a whole number and its unit.

use std::time::Duration;

use restante_pop3::Retention;

/// A value's text that is no duration or size, and what to write instead.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadUnit {
    pub(super) what: &'static str,
    pub(super) mend: String,
}

const MILLISECONDS: &[(&str, u64)] = &[
    ("ms", 1),
    ("s", 1000),
    ("m", 60 * 1000),
    ("h", 60 * 60 * 1000),
    ("d", 24 * 60 * 60 * 1000),
];

const OCTETS: &[(&str, u64)] = &[
    ("B", 1),
    ("kB", 1000),
    ("KB", 1000),
    ("MB", 1000 * 1000),
    ("GB", 1000 * 1000 * 1000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

/// "500ms", "30s", "10m", "2h", "7d"
pub(super) fn duration(text: &str) -> Result<Duration, BadUnit> {
    measure(text, MILLISECONDS)
        .map(Duration::from_millis)
        .map_err(|error| match error {
            Unmeasured::Form => BadUnit {
                what: "is not a duration",
                mend: "write a whole number and its unit: \"500ms\", \"30s\", \"10m\", \"2h\" or \"7d\"".into(),
            },
            Unmeasured::NoUnit(number) => duration_without_unit(number),
            Unmeasured::TooMuch => BadUnit {
                what: "is too long a duration",
                mend: "write a shorter one".into(),
            },
        })
}

/// "8KiB", "64MiB", "1GB", in octets.
pub(super) fn size(text: &str) -> Result<u64, BadUnit> {
    measure(text, OCTETS).map_err(|error| match error {
        Unmeasured::Form => BadUnit {
            what: "is not a size",
            mend: "write a whole number and its unit: \"8KiB\", \"64MiB\", \"1GiB\" (powers of 1024), \"1MB\" (of 1000) or \"512B\"".into(),
        },
        Unmeasured::NoUnit(number) => size_without_unit(number),
        Unmeasured::TooMuch => BadUnit {
            what: "is too large a size",
            mend: "write a smaller one".into(),
        },
    })
}

/// "never", or whole days: "30d".
pub(super) fn retention(text: &str) -> Option<Retention> {
    if text == "never" {
        return Some(Retention::Never);
    }
    let days = text.strip_suffix('d')?;
    let digits = !days.is_empty() && days.bytes().all(|octet| octet.is_ascii_digit());
    digits.then(|| days.parse().ok().map(Retention::Days))?
}

/// Whole percents, of at least one and at most a hundred: "90%".
pub(super) fn percent(text: &str) -> Option<u8> {
    let number = text.strip_suffix('%')?;
    let digits = !number.is_empty() && number.bytes().all(|octet| octet.is_ascii_digit());
    let percent: u8 = digits.then(|| number.parse().ok())??;
    (1..=100).contains(&percent).then_some(percent)
}

/// What is said of a bare number where a duration is wanted.
pub(super) fn duration_without_unit(number: &str) -> BadUnit {
    BadUnit {
        what: "has no unit",
        mend: format!("say the unit: \"{number}s\" for seconds, or ms, m, h, d"),
    }
}

/// What is said of a bare number where a size is wanted.
pub(super) fn size_without_unit(number: &str) -> BadUnit {
    BadUnit {
        what: "has no unit",
        mend: format!("say the unit: \"{number}B\" for octets, or KiB, MiB, GiB"),
    }
}

/// A duration as the file would say it.
pub(super) fn show_duration(duration: Duration) -> String {
    show(
        duration.as_millis(),
        &["d", "h", "m", "s", "ms"],
        MILLISECONDS,
    )
}

/// A size as the file would say it.
pub(super) fn show_size(octets: u64) -> String {
    show(octets.into(), &["GiB", "MiB", "KiB", "B"], OCTETS)
}

fn show(amount: u128, largest_first: &[&str], units: &[(&str, u64)]) -> String {
    for name in largest_first {
        let worth = units.iter().find(|(unit, _)| unit == name);
        if let Some(worth) = worth.map(|(_, worth)| u128::from(*worth))
            && amount >= worth
            && amount.is_multiple_of(worth)
        {
            return format!("{}{name}", amount / worth);
        }
    }
    format!("0{}", largest_first.last().unwrap_or(&""))
}

enum Unmeasured<'t> {
    Form,
    NoUnit(&'t str),
    TooMuch,
}

fn measure<'t>(text: &'t str, units: &[(&str, u64)]) -> Result<u64, Unmeasured<'t>> {
    let digits = text
        .find(|character: char| !character.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    if number.is_empty() {
        return Err(Unmeasured::Form);
    }
    if unit.is_empty() {
        return Err(Unmeasured::NoUnit(number));
    }
    let worth = units.iter().find(|(name, _)| *name == unit);
    let (_, worth) = worth.ok_or(Unmeasured::Form)?;
    // Digits alone: the number can only be too large for its type.
    let number: u64 = number.parse().map_err(|_| Unmeasured::TooMuch)?;
    number.checked_mul(*worth).ok_or(Unmeasured::TooMuch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, milliseconds) in [
            ("500ms", 500),
            ("0s", 0),
            ("30s", 30_000),
            ("10m", 600_000),
            ("2h", 7_200_000),
            ("7d", 604_800_000),
            ("007s", 7000),
        ] {
            assert_eq!(
                duration(text),
                Ok(Duration::from_millis(milliseconds)),
                "{text}"
            );
        }
        for text in [
            "", "s", "-1s", "+1s", "1.5s", "1 s", "1S", "1s ", "1min", "1h30m", "١s", "1µs",
        ] {
            assert_eq!(
                duration(text).unwrap_err().what,
                "is not a duration",
                "{text:?}"
            );
        }
        assert_eq!(
            duration("180").unwrap_err().mend,
            "say the unit: \"180s\" for seconds, or ms, m, h, d"
        );
        for text in ["18446744073709551616s", "18446744073709551615d"] {
            assert_eq!(duration(text).unwrap_err().what, "is too long a duration");
        }
    }

    #[test]
    fn days_and_never() {
        for (text, expected) in [
            ("never", Some(Retention::Never)),
            ("0d", Some(Retention::Days(0))),
            ("30d", Some(Retention::Days(30))),
            ("30", None),
            ("d", None),
            ("+3d", None),
            ("-1d", None),
            ("3h", None),
            ("99999999999d", None),
            ("", None),
        ] {
            assert_eq!(retention(text), expected, "{text:?}");
        }
    }

    #[test]
    fn sizes() {
        for (text, octets) in [
            ("0B", 0),
            ("255B", 255),
            ("8KiB", 8192),
            ("64MiB", 67_108_864),
            ("1GB", 1_000_000_000),
            ("1GiB", 1_073_741_824),
            ("2kB", 2000),
            ("2KB", 2000),
        ] {
            assert_eq!(size(text), Ok(octets), "{text}");
        }
        for text in ["", "KiB", "64M", "64mib", "-1B", "1.5MiB", "64 MiB", "1TiB"] {
            assert_eq!(size(text).unwrap_err().what, "is not a size", "{text:?}");
        }
        assert_eq!(
            size("8192").unwrap_err().mend,
            "say the unit: \"8192B\" for octets, or KiB, MiB, GiB"
        );
        assert_eq!(
            size("18446744073709551615GiB").unwrap_err().what,
            "is too large a size"
        );
    }

    #[test]
    fn shown_as_the_file_would_say_it() {
        for text in ["500ms", "90s", "10m", "2h", "7d", "1001ms"] {
            assert_eq!(show_duration(duration(text).unwrap()), text);
        }
        for text in ["255B", "8KiB", "64MiB", "4GiB", "1025B"] {
            assert_eq!(show_size(size(text).unwrap()), text);
        }
        assert_eq!(show_duration(Duration::ZERO), "0ms");
        assert_eq!(show_size(0), "0B");
    }
}

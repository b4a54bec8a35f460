//! The line that begins a message of an mbox:
//! `From sender Thu Jan  1 00:00:00 1970`.

/// How a From_ line begins.
pub(super) const FROM: &[u8] = b"From ";

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];
const DAY_SECONDS: i64 = 24 * 60 * 60;

/// Whether a line, with or without its end, begins a message: "From ", a sender
/// (perhaps none, perhaps with blanks), and a date as `asctime` writes it, with a
/// time zone before or behind the year or without one.
///
/// A line that merely begins with "From " is text.
///
/// ```
/// use restante_guest::mbox::is_from_line;
///
/// assert!(is_from_line(b"From alice@example.org Thu Jan  1 00:00:00 1970\n"));
/// assert!(is_from_line(b"From - Thu Jan 1 00:00 +0200 1970 remote from uucp"));
/// assert!(!is_from_line(b"From there it went downhill.\n"));
/// assert!(!is_from_line(b">From alice@example.org Thu Jan  1 00:00:00 1970\n"));
/// ```
pub fn is_from_line(line: &[u8]) -> bool {
    line.starts_with(FROM) && received(line).is_some()
}

/// When the message came, by its From_ line, in seconds since the Unix epoch.
/// `None`: it is none. A zone that is a name counts as UTC, and so does none at
/// all: whoever wrote the line knew the zone and did not say; what lies before
/// the epoch becomes 0.
///
/// ```
/// use restante_guest::mbox::received;
///
/// let line = b"From alice@example.org Thu Jan  1 02:00:05 1970 +0200";
/// assert_eq!(received(line), Some(5));
/// ```
pub fn received(line: &[u8]) -> Option<u64> {
    let line = line.strip_prefix(FROM)?;
    let words: Vec<&[u8]> = line
        .split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty())
        .collect();
    // A sender may look like anything, the date is behind it.
    (0..words.len()).rev().find_map(|at| date(&words[at..]))
}

/// Weekday, month, day, time, and then year and zone in either order.
fn date(words: &[&[u8]]) -> Option<u64> {
    let (fixed, rest) = words.split_first_chunk::<4>()?;
    let [weekday, month, day, time] = fixed.map(|word| str::from_utf8(word).unwrap_or(""));
    if !DAYS.contains(&weekday) {
        return None;
    }
    let month = MONTHS.iter().position(|name| *name == month)? as i64 + 1;
    let day = number(day, 1..=2, 31).filter(|day| *day > 0)?;
    let mut parts = time.split(':');
    let hour = number(parts.next()?, 1..=2, 23)?;
    let minute = number(parts.next()?, 2..=2, 59)?;
    let second = match parts.next() {
        Some(second) => number(second, 2..=2, 60)?,
        None => 0,
    };
    if parts.next().is_some() {
        return None;
    }
    let rest = rest.iter().map(|word| str::from_utf8(word).unwrap_or(""));
    // A zone of two words ("EST DST") at most, then the year; or the year first.
    let rest: Vec<&str> = rest.take(4).collect();
    let at = (0..rest.len().min(3)).find(|at| number(rest[*at], 4..=4, 9999).is_some())?;
    let year = number(rest[at], 4..=4, 9999)?;
    let zone = rest[..at].iter().chain(rest.get(at + 1));
    let east = zone.filter_map(|word| offset(word)).next().unwrap_or(0);
    let seconds =
        days_before(year, month, day) * DAY_SECONDS + hour * 3600 + minute * 60 + second - east;
    Some(u64::try_from(seconds).unwrap_or(0))
}

/// A number of so many digits, and not above a bound.
fn number(text: &str, digits: std::ops::RangeInclusive<usize>, most: i64) -> Option<i64> {
    let fits = digits.contains(&text.len()) && text.bytes().all(|octet| octet.is_ascii_digit());
    let number = fits.then(|| text.parse().ok())??;
    (number <= most).then_some(number)
}

/// "+0130": seconds east of Greenwich.
fn offset(zone: &str) -> Option<i64> {
    let (sign, digits) = match zone.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    let digits = number(digits, 4..=4, 9999)?;
    Some(sign * (digits / 100 * 3600 + digits % 100 * 60))
}

/// Days from 1970-01-01 in the Gregorian calendar. A day that the month has not
/// runs over into the next.
fn days_before(year: i64, month: i64, day: i64) -> i64 {
    // Years begin in March, so that the leap day is the last.
    let (year, month) = match month {
        1 | 2 => (year - 1, month + 9),
        _ => (year, month - 3),
    };
    let leap_days = year / 4 - year / 100 + year / 400;
    let until_month = (153 * month + 2) / 5;
    // From 0000-03-01 to 1970-01-01.
    365 * year + leap_days + until_month + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_in_all_their_shapes() {
        for (line, expected) in [
            ("From a Thu Jan  1 00:00:00 1970", 0),
            ("From a Sat Jan  1 00:00:00 2000\r\n", 946_684_800),
            ("From a Thu Feb 29 23:59:59 2024\n", 1_709_251_199),
            ("From a Tue Nov 14 22:13:20 2023", 1_700_000_000),
            ("From a Tue Nov 14 22:13 2023", 1_699_999_980),
            ("From a Tue Nov 14 22:13:20 UTC 2023", 1_700_000_000),
            ("From a Tue Nov 14 22:13:20 2023 -0130", 1_700_005_400),
            ("From a Tue Nov 14 22:13:20 +0130 2023", 1_699_994_600),
            ("From a Tue Nov 14 22:13:20 MET DST 2023", 1_700_000_000),
            (
                "From \"a b\"@c Tue Nov 14 22:13:20 2023 remote from x",
                1_700_000_000,
            ),
            ("From Tue Nov 14 22:13:20 2023", 1_700_000_000),
            ("From Mon Jan Tue Nov 14 22:13:20 2023", 1_700_000_000),
            ("From a Mon Jan  1 00:00:00 1900", 0),
        ] {
            assert_eq!(received(line.as_bytes()), Some(expected), "{line}");
            assert!(is_from_line(line.as_bytes()));
        }
    }

    #[test]
    fn text_that_begins_with_from_is_text() {
        for line in [
            "From ",
            "From\tx Tue Nov 14 22:13:20 2023",
            "from a Tue Nov 14 22:13:20 2023",
            "From a Tue Nov 14 22:13:20",
            "From a Tue Nov 14 24:13:20 2023",
            "From a Tue Nov 32 22:13:20 2023",
            "From a Tue Nov 0 22:13:20 2023",
            "From a Die Nov 14 22:13:20 2023",
            "From a Tue Okt 14 22:13:20 2023",
            "From a Tue Nov 14 22:13:20:1 2023",
            "From a Tue Nov 14 2023",
            "From a Tue Nov 14 22:13:20 20233",
            "From: a Tue Nov 14 22:13:20 2023",
            "From now on, Tuesday is Nov 14",
        ] {
            assert!(!is_from_line(line.as_bytes()), "{line}");
        }
        assert!(!is_from_line(b"From \xff\xfe\0"));
    }
}

//! The line that begins a message of an mbox:
//! `From sender Thu Jan  1 00:00:00 1970`.

/// How a From_ line begins.
pub(super) const FROM: &[u8] = b"From ";

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];
const DAY_SECONDS: i64 = 24 * 60 * 60;

/// Whether a line, with or without its end, begins a message if it follows a blank line:
/// "From ", a sender (perhaps none, perhaps with blanks), and a date. The date is one that
/// `asctime` writes, with a time zone before or after the year or without one; or one of
/// RFC 822, with its zone, at the end of the line. "From -" without a date is one, too, as
/// Mozilla's programs write it.
///
/// A line that merely begins with "From " is text.
///
/// ```
/// use restante_guest::mbox::is_from_line;
///
/// assert!(is_from_line(b"From alice@example.org Thu Jan  1 00:00:00 1970\n"));
/// assert!(is_from_line(b"From - Thu Jan 1 00:00 +0200 1970 remote from uucp"));
/// assert!(is_from_line(b"From alice@example.org Thu, 1 Jan 1970 00:00:00 +0200"));
/// assert!(!is_from_line(b"From there it went downhill.\n"));
/// assert!(!is_from_line(b">From alice@example.org Thu Jan  1 00:00:00 1970\n"));
/// ```
pub fn is_from_line(line: &[u8]) -> bool {
    FromLine::parse(line).is_some()
}

/// When the message came, by its From_ line, in seconds since the Unix epoch; 0: the line
/// has no date. `None`: it is no From_ line. A zone that is a name counts as UTC, and so
/// does none at all: the writer of the line knew the zone and did not say. What lies
/// before the epoch becomes 0.
///
/// ```
/// use restante_guest::mbox::received;
///
/// let line = b"From alice@example.org Thu Jan  1 02:00:05 1970 +0200";
/// assert_eq!(received(line), Some(5));
/// ```
pub fn received(line: &[u8]) -> Option<u64> {
    FromLine::parse(line).map(|line| line.received)
}

/// What a line that begins a message tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FromLine {
    /// Seconds since the Unix epoch; 0: it does not say.
    pub(super) received: u64,
    /// There is nothing in it but a sender, a date and perhaps "remote from": it is no
    /// sentence of a text.
    pub(super) is_whole: bool,
}

impl FromLine {
    pub(super) fn parse(line: &[u8]) -> Option<FromLine> {
        let line = line.strip_prefix(FROM)?;
        let words: Vec<&str> = line
            .split(u8::is_ascii_whitespace)
            .filter(|word| !word.is_empty())
            .map(|word| str::from_utf8(word).unwrap_or(NO_TEXT))
            .collect();
        if words == ["-"] {
            return Some(FromLine {
                received: 0,
                is_whole: false,
            });
        }
        // A sender may look like anything, the date follows it.
        (0..words.len()).rev().find_map(|at| {
            let (before, rest) = words.split_at(at);
            let found = asctime(rest).map(|date| (date, before));
            // Text may hold such a date as well: only one that is all there is counts.
            let found = found.or_else(|| {
                let date = rfc822(rest).filter(|date| date.is_to_the_end(rest))?;
                let before = match before.split_last() {
                    Some((day, sender)) if day.strip_suffix(',').is_some_and(is_weekday) => sender,
                    _ => before,
                };
                is_sender(before).then_some((date, before))
            });
            let (date, sender) = found?;
            Some(FromLine {
                received: u64::try_from(date.seconds).unwrap_or(0),
                is_whole: is_sender(sender) && date.is_to_the_end(rest),
            })
        })
    }
}

/// Stands for a word that is no text: it is part of no date.
const NO_TEXT: &str = "\u{fffd}";

/// One word, or one that holds blanks in quotes; or none.
fn is_sender(words: &[&str]) -> bool {
    match words {
        [] | [_] => true,
        [first, .., last] => first.starts_with('"') && last.contains('"'),
    }
}

fn is_weekday(word: &str) -> bool {
    DAYS.contains(&word)
}

/// A date that words begin with.
struct Date {
    /// Since the Unix epoch.
    seconds: i64,
    /// How many words it is made of.
    words: usize,
    /// Whether all that could be a zone is one.
    has_real_zones: bool,
}

impl Date {
    /// Whether nothing follows it but where a message came from.
    fn is_to_the_end(&self, words: &[&str]) -> bool {
        let rest = &words[self.words..];
        self.has_real_zones && matches!(rest, [] | ["remote", "from", _])
    }
}

/// Weekday, month, day, time, and then year and zone in either order.
fn asctime(words: &[&str]) -> Option<Date> {
    let (&[weekday, month, day, time], rest) = words.split_first_chunk::<4>()?;
    if !is_weekday(weekday) {
        return None;
    }
    // A zone of two words ("EST DST") at most, then the year; or the year first.
    let at = (0..rest.len().min(3)).find(|at| number(rest[*at], 4..=4, 9999).is_some())?;
    let year = number(rest[at], 4..=4, 9999)?;
    let after = rest.get(at + 1).filter(|word| is_zone(word));
    let zone = rest[..at].iter().chain(after);
    let east = zone.filter_map(|word| offset(word)).next().unwrap_or(0);
    Some(Date {
        seconds: seconds(year, month, day, time)? - east,
        words: 4 + at + 1 + usize::from(after.is_some()),
        has_real_zones: rest[..at].iter().all(|word| is_zone(word)),
    })
}

/// Day, month, year, time and zone, as in the header field Date (RFC 822 section 5). The
/// weekday stands before it.
fn rfc822(words: &[&str]) -> Option<Date> {
    let (&[day, month, year, time, zone], _) = words.split_first_chunk::<5>()?;
    let year = match number(year, 4..=4, 9999) {
        Some(year) => year,
        // RFC 5322 section 4.3.
        None => match number(year, 2..=2, 99)? {
            year @ 50.. => 1900 + year,
            year => 2000 + year,
        },
    };
    is_zone(zone).then_some(Date {
        seconds: seconds(year, month, day, time)? - offset(zone).unwrap_or(0),
        words: 5,
        has_real_zones: true,
    })
}

/// As if it were UTC.
fn seconds(year: i64, month: &str, day: &str, time: &str) -> Option<i64> {
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
    Some(days_before(year, month, day) * DAY_SECONDS + hour * 3600 + minute * 60 + second)
}

/// "+0130", or a name in capitals.
fn is_zone(word: &str) -> bool {
    let is_name = (1..=5).contains(&word.len()) && word.bytes().all(|at| at.is_ascii_uppercase());
    is_name || offset(word).is_some()
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
            ("From a Tue, 14 Nov 2023 22:13:20 +0000", 1_700_000_000),
            ("From a Tue, 14 Nov 2023 22:13:20 -0130", 1_700_005_400),
            ("From a 14 Nov 2023 22:13 GMT\r\n", 1_699_999_980),
            ("From a Tue, 14 Nov 23 22:13:20 UT", 1_700_000_000),
            ("From \"a b\"@c Wed, 5 Jan 94 00:00:00 EST", 757_728_000),
            ("From - Tue Nov 14 22:13:20 2023", 1_700_000_000),
            ("From -", 0),
            ("From - \r\n", 0),
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
            "From a Tue, 14 Nov 2023 22:13:20",
            "From a Die, 14 Nov 2023 22:13:20 +0000",
            "From there on 14 Nov 2023 22:13:20 GMT",
            "From Tue, 14 Nov 2023 22:13:20 GMT on",
            "From -x",
            "From - x",
        ] {
            assert!(!is_from_line(line.as_bytes()), "{line}");
        }
        assert!(!is_from_line(b"From \xff\xfe\0"));
    }

    #[test]
    fn a_line_is_whole_if_there_is_nothing_else_in_it() {
        for (line, is_whole) in [
            ("From a Tue Nov 14 22:13:20 2023", true),
            ("From Tue Nov 14 22:13:20 2023", true),
            ("From - Tue Nov 14 22:13:20 2023 +0100", true),
            ("From a Tue Nov 14 22:13:20 MET DST 2023\r\n", true),
            ("From a Tue Nov 14 22:13:20 2023 remote from x", true),
            ("From \"a b\"@c Tue Nov 14 22:13:20 2023", true),
            ("From a Tue, 14 Nov 2023 22:13:20 +0000", true),
            ("From a Tue Nov 14 22:13:20 2023 on", false),
            ("From a Tue Nov 14 22:13:20 2023 it was UTC", false),
            ("From a Tue Nov 14 22:13:20 in 2023", false),
            ("From here to Tue Nov 14 22:13:20 2023", false),
            ("From a Tue Nov 14 22:13:20 2023 remote from x y", false),
            ("From -", false),
        ] {
            let parsed = FromLine::parse(line.as_bytes()).unwrap();
            assert_eq!(parsed.is_whole, is_whole, "{line}");
        }
    }
}

//! Functions of SQLite's that take as long as one text times another, made anew so that they
//! do not, or look at the clock: SQLite looks at it between its instructions, and a call of a
//! function is one of them.

use std::borrow::Cow;
use std::collections::HashSet;

use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Error, Result, ffi};

use super::threads::Clock;

/// Those that nobody has made anew: a plugin does without them.
pub(super) const DENIED: [&str; 4] = ["glob", "json_patch", "jsonb_patch", "load_extension"];

/// Characters of a pattern of LIKE.
const MAX_PATTERN: usize = 1000;

/// Puts them in the place of SQLite's own. `max_octets`: of what they make.
pub(super) fn make_anew(connection: &Connection, clock: &Clock, max_octets: usize) -> Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8
        | FunctionFlags::SQLITE_DETERMINISTIC
        | FunctionFlags::SQLITE_INNOCUOUS;
    let of = |clock: &Clock| clock.clone();
    let late = of(clock);
    connection.create_scalar_function("instr", 2, flags, move |context| {
        in_time(&late)?;
        Ok(position(context.get_raw(0), context.get_raw(1)))
    })?;
    let late = of(clock);
    connection.create_scalar_function("replace", 3, flags, move |context| {
        in_time(&late)?;
        replace(context, max_octets)
    })?;
    for (name, start, end) in [
        ("trim", true, true),
        ("ltrim", true, false),
        ("rtrim", false, true),
    ] {
        for arguments in [1, 2] {
            let late = of(clock);
            connection.create_scalar_function(name, arguments, flags, move |context| {
                in_time(&late)?;
                Ok(trim(context, start, end))
            })?;
        }
    }
    for arguments in [2, 3] {
        let late = of(clock);
        connection.create_scalar_function("like", arguments, flags, move |context| {
            in_time(&late)?;
            like(context)
        })?;
    }
    Ok(())
}

fn in_time(clock: &Clock) -> Result<()> {
    match clock.is_late() {
        true => Err(failure(ffi::SQLITE_INTERRUPT)),
        false => Ok(()),
    }
}

/// SQLite's own text goes with it: with one of ours the code would become `SQLITE_ERROR`.
fn failure(code: i32) -> Error {
    Error::SqliteFailure(ffi::Error::new(code), None)
}

fn error(text: &str) -> Error {
    Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_ERROR), Some(text.to_owned()))
}

/// A value as the text that SQLite takes it for. None: null.
fn text(value: ValueRef<'_>) -> Option<Cow<'_, str>> {
    match value {
        ValueRef::Null => None,
        ValueRef::Integer(integer) => Some(integer.to_string().into()),
        ValueRef::Real(real) => Some(real.to_string().into()),
        ValueRef::Text(octets) | ValueRef::Blob(octets) => Some(String::from_utf8_lossy(octets)),
    }
}

/// Where the one begins in the other, from 1; 0: nowhere.
fn position(all: ValueRef<'_>, part: ValueRef<'_>) -> Option<i64> {
    if let (ValueRef::Blob(all), ValueRef::Blob(part)) = (all, part) {
        // One octet, one character: a search in texts takes as long as both together.
        let one_each = |octets: &[u8]| octets.iter().map(|octet| char::from(*octet)).collect();
        let (all, part): (String, String) = (one_each(all), one_each(part));
        return Some(position_in(&all, &part));
    }
    Some(position_in(&text(all)?, &text(part)?))
}

fn position_in(all: &str, part: &str) -> i64 {
    let found = all.find(part).map(|at| all[..at].chars().count() + 1);
    i64::try_from(found.unwrap_or_default()).unwrap_or(i64::MAX)
}

fn replace(context: &Context<'_>, max_octets: usize) -> Result<Option<String>> {
    let [all, part, other] = [0, 1, 2].map(|at| text(context.get_raw(at)));
    let (Some(all), Some(part)) = (all, part) else {
        return Ok(None);
    };
    // Before the third is looked at, which may be null.
    if part.is_empty() {
        return Ok(Some(all.into_owned()));
    }
    let Some(other) = other else {
        return Ok(None);
    };
    let more = other.len().saturating_sub(part.len());
    let octets = all.matches(&*part).count().saturating_mul(more);
    if all.len().saturating_add(octets) > max_octets {
        return Err(failure(ffi::SQLITE_TOOBIG));
    }
    Ok(Some(all.replace(&*part, &other)))
}

fn trim(context: &Context<'_>, start: bool, end: bool) -> Option<String> {
    let all = text(context.get_raw(0))?;
    let characters: HashSet<char> = match context.len() {
        1 => HashSet::from([' ']),
        _ => text(context.get_raw(1))?.chars().collect(),
    };
    let mut rest = &*all;
    if start {
        rest = rest.trim_start_matches(|one| characters.contains(&one));
    }
    if end {
        rest = rest.trim_end_matches(|one| characters.contains(&one));
    }
    Some(rest.to_owned())
}

/// A part of a pattern of LIKE.
#[derive(Clone, Copy, PartialEq)]
enum Part {
    /// "%"
    Any,
    /// "_"
    One,
    Character(char),
}

/// `like(PATTERN, TEXT)`: the operator has them the other way round.
fn like(context: &Context<'_>) -> Result<Option<bool>> {
    let escape = match context.len() {
        2 => None,
        _ => {
            let Some(escape) = text(context.get_raw(2)) else {
                return Ok(None);
            };
            let mut characters = escape.chars();
            match (characters.next(), characters.next()) {
                (Some(one), None) => Some(one),
                _ => {
                    return Err(error("ESCAPE expression must be a single character"));
                }
            }
        }
    };
    let (pattern, all) = (text(context.get_raw(0)), text(context.get_raw(1)));
    let (Some(pattern), Some(all)) = (pattern, all) else {
        return Ok(None);
    };
    if pattern.len() > MAX_PATTERN {
        return Err(error("LIKE pattern too complex"));
    }
    Ok(Some(fits(&parts(&pattern, escape), &all)))
}

fn parts(pattern: &str, escape: Option<char>) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        let part = match character {
            _ if Some(character) == escape => {
                // Nothing fits an escape without anything after it.
                Part::Character(characters.next().unwrap_or('\0'))
            }
            '%' => Part::Any,
            '_' => Part::One,
            other => Part::Character(other),
        };
        // Several in a row are one.
        if part != Part::Any || parts.last() != Some(&Part::Any) {
            parts.push(part);
        }
    }
    parts
}

/// Whether a text is as these parts say; in ASCII letters are the same in either case.
fn fits(parts: &[Part], all: &str) -> bool {
    let (mut at, mut rest) = (0, all.chars());
    // After the last "%": where the parts go on, and the text that it has not taken yet.
    let mut again = None;
    loop {
        let part = parts.get(at).copied();
        if part == Some(Part::Any) {
            at += 1;
            again = Some((at, rest.clone()));
            continue;
        }
        let fit = match (rest.next(), part) {
            (None, None) => return true,
            (None, Some(_)) => return false,
            (Some(_), Some(Part::One)) => true,
            (Some(one), Some(Part::Character(other))) => one.eq_ignore_ascii_case(&other),
            (Some(_), _) => false,
        };
        if fit {
            at += 1;
            continue;
        }
        let Some((after, taken)) = &mut again else {
            return false;
        };
        // It takes one more.
        if taken.next().is_none() {
            return false;
        }
        (at, rest) = (*after, taken.clone());
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn connections() -> (Connection, Connection, Clock) {
        let own = Connection::open_in_memory().unwrap();
        let clock = Clock::new();
        make_anew(&own, &clock, 1 << 20).unwrap();
        (own, Connection::open_in_memory().unwrap(), clock)
    }

    fn value(connection: &Connection, sql: &str) -> rusqlite::types::Value {
        let sql = format!("select {sql}");
        connection.query_row(&sql, [], |row| row.get(0)).unwrap()
    }

    /// SQLite is the judge.
    #[test]
    fn they_say_what_those_of_sqlite_say() {
        let (own, sqlite, _clock) = connections();
        let texts = [
            "null",
            "''",
            "'a'",
            "'A'",
            "'aa'",
            "'b a'",
            "' a '",
            "'äöü'",
            "'%'",
            "'a%'",
            "'_'",
            "'%a'",
            "'%a%'",
            "'_a_'",
            "'a\\%b'",
            "'a%b'",
            "'aab'",
            "x'61'",
            "x''",
            "12",
            "-1",
            "'%\\'",
            "'a_%b%'",
            "'ab ab ab'",
            "'%%'",
            "'Ä'",
            "'ä'",
        ];
        for one in texts {
            for other in texts {
                for sql in [
                    format!("instr({one}, {other})"),
                    format!("replace({one}, {other}, 'xy')"),
                    format!("replace('banana', {one}, {other})"),
                    format!("trim({one}, {other})"),
                    format!("ltrim({one}, {other})"),
                    format!("rtrim({one}, {other})"),
                    format!("trim({one}) || ltrim({one}) || rtrim({one})"),
                    format!("{one} like {other}"),
                    format!("{one} not like {other} escape '\\'"),
                ] {
                    assert_eq!(value(&own, &sql), value(&sqlite, &sql), "{sql}");
                }
            }
        }
    }

    #[test]
    fn none_is_called_when_the_time_is_over() {
        let (own, _sqlite, clock) = connections();
        clock.set(Instant::now() - Duration::from_secs(1));
        for sql in [
            "instr('a', 'b')",
            "replace('a', 'b', 'c')",
            "trim('a')",
            "'a' like 'b'",
        ] {
            let sql = format!("select {sql}");
            let told = own.query_row(&sql, [], |_| Ok(()));
            let code = told.unwrap_err().sqlite_error_code();
            assert_eq!(
                code,
                Some(rusqlite::ErrorCode::OperationInterrupted),
                "{sql}"
            );
        }
    }

    #[test]
    fn what_would_be_too_large_is_not_made() {
        let (own, _sqlite, _clock) = connections();
        let sql = "select replace(printf('%.*c', 1000000, 'a'), 'a', printf('%.*c', 1000000, 'b'))";
        let told = own.query_row(sql, [], |_| Ok(()));
        let code = told.unwrap_err().sqlite_error_code();
        assert_eq!(code, Some(rusqlite::ErrorCode::TooBig));
    }
}

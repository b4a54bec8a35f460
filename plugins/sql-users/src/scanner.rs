//! SQL, as far as it takes to tell code from quotes and comments, in the dialects of
//! PostgreSQL and SQLite. A mistake here lets nobody change a statement: what clients
//! send is never in its text.

/// A part of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part<'a> {
    Code(&'a str),
    /// A string literal or a quoted name, with its quotes.
    Quoted(&'a str),
    Comment(&'a str),
}

/// The parts of a statement, in order; joined they are the statement.
///
/// # Errors
/// What is never closed.
pub(crate) fn parts(sql: &str) -> Result<Vec<Part<'_>>, &'static str> {
    let mut parts = Vec::new();
    let mut rest = sql;
    while !rest.is_empty() {
        let Some((start, opening)) = next_opening(rest) else {
            parts.push(Part::Code(rest));
            break;
        };
        if start > 0 {
            parts.push(Part::Code(&rest[..start]));
        }
        rest = &rest[start..];
        let end = opening.end(rest)?;
        let (part, after) = rest.split_at(end);
        parts.push(match opening {
            Opening::Line | Opening::Block => Part::Comment(part),
            _ => Part::Quoted(part),
        });
        rest = after;
    }
    Ok(parts)
}

/// What begins a part that is no code.
#[derive(Clone, Copy)]
enum Opening {
    /// `'` or `"`.
    Quote { quote: u8, backslash: bool },
    /// `$tag$`, of so many octets.
    Dollar { tag: usize },
    /// `--`
    Line,
    /// `/*`
    Block,
}

fn next_opening(code: &str) -> Option<(usize, Opening)> {
    let octets = code.as_bytes();
    (0..octets.len()).find_map(|at| {
        let before = &octets[..at];
        let opening = match &octets[at..] {
            [quote @ (b'\'' | b'"'), ..] => Opening::Quote {
                quote: *quote,
                backslash: *quote == b'\'' && is_escape(before),
            },
            [b'-', b'-', ..] => Opening::Line,
            [b'/', b'*', ..] => Opening::Block,
            [b'$', ..] if !before.last().is_some_and(|octet| is_of_a_word(*octet)) => {
                Opening::Dollar {
                    tag: dollar_tag(&octets[at..])?,
                }
            }
            _ => return None,
        };
        Some((at, opening))
    })
}

impl Opening {
    /// Where the part ends that `text` begins with.
    fn end(self, text: &str) -> Result<usize, &'static str> {
        let found = |end: Option<usize>, length: usize| end.map(|end| end + length);
        match self {
            Opening::Quote { quote, backslash } => {
                quote_end(text.as_bytes(), quote, backslash).ok_or("a quote is not closed")
            }
            Opening::Dollar { tag } => {
                let end = text[tag..].find(&text[..tag]);
                found(end, 2 * tag).ok_or("a $ quote is not closed")
            }
            Opening::Line => Ok(found(text.find('\n'), 1).unwrap_or(text.len())),
            Opening::Block => {
                let end = text[2..].find("*/");
                found(end, 4).ok_or("a comment is not closed")
            }
        }
    }
}

/// A quote that is doubled is one of the text; so is one after a backslash in an `E''`.
fn quote_end(octets: &[u8], quote: u8, backslash: bool) -> Option<usize> {
    let mut at = 1;
    loop {
        match *octets.get(at)? {
            b'\\' if backslash => at += 2,
            octet if octet == quote => {
                if octets.get(at + 1) != Some(&quote) {
                    return Some(at + 1);
                }
                at += 2;
            }
            _ => at += 1,
        }
    }
}

/// Whether the quote after this is that of PostgreSQL's `E'…'`.
fn is_escape(before: &[u8]) -> bool {
    match before {
        [.., before, b'e' | b'E'] => !is_of_a_word(*before),
        [b'e' | b'E'] => true,
        _ => false,
    }
}

fn is_of_a_word(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || octet == b'_' || octet == b'$' || !octet.is_ascii()
}

/// The octets of `$tag$` or `$$`, if that is what this begins with.
fn dollar_tag(octets: &[u8]) -> Option<usize> {
    let end = octets[1..].iter().position(|octet| *octet == b'$')? + 1;
    let tag = &octets[1..end];
    let is_tag = !tag.first().is_some_and(u8::is_ascii_digit)
        && tag.iter().all(|octet| is_of_a_word(*octet));
    is_tag.then_some(end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_comments_are_no_code() {
        for (sql, expected) in [
            ("select 1", vec![Part::Code("select 1")]),
            (
                "a 'it''s' b",
                vec![Part::Code("a "), Part::Quoted("'it''s'"), Part::Code(" b")],
            ),
            (
                r"E'\'' x",
                vec![Part::Code("E"), Part::Quoted(r"'\''"), Part::Code(" x")],
            ),
            (
                r"name'\' x",
                vec![Part::Code("name"), Part::Quoted(r"'\'"), Part::Code(" x")],
            ),
            (
                "\"a'b\"--'\n",
                vec![Part::Quoted("\"a'b\""), Part::Comment("--'\n")],
            ),
            (
                "a/*'*/b--",
                vec![
                    Part::Code("a"),
                    Part::Comment("/*'*/"),
                    Part::Code("b"),
                    Part::Comment("--"),
                ],
            ),
            (
                "$a$'$$$a$,$$x$$,$1,b$c$",
                vec![
                    Part::Quoted("$a$'$$$a$"),
                    Part::Code(","),
                    Part::Quoted("$$x$$"),
                    Part::Code(",$1,b$c$"),
                ],
            ),
        ] {
            assert_eq!(parts(sql).unwrap(), expected, "{sql}");
        }
    }

    #[test]
    fn what_is_not_closed_is_told() {
        for sql in ["'a", "'a''", "E'\\'", "\"", "/* *", "$$ $", "$a$ $b$"] {
            assert!(parts(sql).unwrap_err().ends_with("is not closed"), "{sql}");
        }
    }

    #[test]
    fn any_text_is_taken_apart_without_loss() {
        let alphabet = ["'", "\"", "-", "/", "*", "$", "\\", "e", "ü", "\n", " "];
        for number in 0..alphabet.len().pow(5) {
            let mut left = number;
            let mut sql = String::new();
            for _ in 0..5 {
                sql += alphabet[left % alphabet.len()];
                left /= alphabet.len();
            }
            let Ok(parts) = parts(&sql) else { continue };
            let text = |part: &Part<'_>| match *part {
                Part::Code(text) | Part::Quoted(text) | Part::Comment(text) => text.to_owned(),
            };
            assert_eq!(parts.iter().map(text).collect::<String>(), sql);
        }
    }
}

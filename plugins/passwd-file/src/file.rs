//! The file's lines: what they mean, and how one is found without keeping the
//! others.

use std::io::{self, BufRead, Read};
use std::ops::Range;

use restante_guest::log;
use restante_guest::types::Account;
use restante_guest::users::Case;

use crate::Verify;
use crate::hash::{Field, Problem, kind};

/// How lines are read.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Rules {
    /// How names of users are compared.
    pub(crate) case: Case,
    /// Whether those hashes are taken that migrations bring.
    pub(crate) legacy_hashes: bool,
}

/// Octets of the longest line that is read, its end included. A longer one is
/// broken.
pub(crate) const LINE_OCTETS: usize = 8 * 1024;

/// Lines after which a password in the clear will do as the hash that stands
/// in: the file has no others.
const STAND_IN_LINES: usize = 64;

/// Hashes of which one stands in: the first that can be verified. More than a few bad lines at
/// the file's beginning, and the first password in the clear does.
const STAND_INS: usize = 16;

/// A line that is about a user.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    Entry(Entry),
    /// What is wrong with it, without a word of the line itself but for a scheme's name.
    Broken(Problem),
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) user: String,
    pub(crate) hash: Field,
    maildrop: String,
    attributes: Vec<(String, String)>,
}

impl Entry {
    /// Whether it may act as somebody whom it names: as itself only.
    pub(crate) fn may_act_as(&self, other: Option<&str>, case: Case) -> bool {
        other.is_none_or(|other| case.is_same(other, &self.user))
    }

    pub(crate) fn into_account(self) -> Account {
        Account {
            user: self.user,
            maildrop: self.maildrop,
            attributes: self.attributes,
        }
    }
}

/// What one pass over the file found.
pub(crate) struct Search {
    /// The user's line and its number, from 1.
    pub(crate) found: Option<(usize, Line)>,
    /// The first of the file of what was wanted, one to be taken where the one before it
    /// cannot be used.
    pub(crate) stand_ins: Vec<String>,
}

/// What stands in for a user's own, so that nobody is answered sooner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StandIn {
    /// A hash that takes as long to verify: if possible not one in the clear.
    Hash,
    /// A password in the clear, which SCRAM keys are made of.
    Clear,
}

impl Search {
    /// Verifies the secret against the hash that stands in, for the time that it
    /// takes.
    pub(crate) fn waste_time(&self, secret: &str, verify: &mut Verify<'_>) {
        let mut hashes = self.stand_ins.iter();
        let took_time = hashes.any(|hash| verify(hash, secret).is_ok());
        if !took_time && !self.stand_ins.is_empty() {
            log::warn!(
                "none of the file's first hashes can be verified: how long a login takes says whether there is such a user"
            );
        }
    }

    /// What stands in for a password in the clear.
    pub(crate) fn password(&self) -> Option<&str> {
        self.stand_ins.first().map(String::as_str)
    }
}

/// Looks for a user, always as far as the end of the file.
pub(crate) fn search(
    file: impl BufRead,
    user: &str,
    rules: Rules,
    stand_in: StandIn,
) -> io::Result<Search> {
    let case = rules.case;
    let user = case.canonical(user);
    let mut found = None;
    let mut stand_in = Casting::new(stand_in);
    each_line(file, |number, line| {
        let wanted = found.is_none() && is_about(line, &user, case);
        let asked = stand_in.asks_for(line);
        if !wanted && !asked {
            return;
        }
        let Some(line) = parse(line, rules) else {
            return;
        };
        if let Line::Entry(entry) = &line
            && asked
        {
            stand_in.offer(entry);
        }
        if wanted {
            found = Some((number, line));
        }
    })?;
    Ok(Search {
        found,
        stand_ins: stand_in.finish(),
    })
}

/// Looks for what stands in.
struct Casting {
    wanted: StandIn,
    hashes: Vec<String>,
    /// The first legacy hash: it is compared in no time.
    legacy: Option<String>,
    /// The first field with a password in the clear, or that password.
    in_the_clear: Option<String>,
    offers: usize,
}

impl Casting {
    fn new(wanted: StandIn) -> Self {
        Casting {
            wanted,
            hashes: Vec::new(),
            legacy: None,
            in_the_clear: None,
            offers: 0,
        }
    }

    /// Whether this line is worth parsing.
    fn asks_for(&self, line: &[u8]) -> bool {
        match self.wanted {
            StandIn::Hash => {
                let fast = self.legacy.is_some() || self.in_the_clear.is_some();
                let any = fast || !self.hashes.is_empty();
                !any || (self.offers < STAND_IN_LINES && self.hashes.len() < STAND_INS)
            }
            StandIn::Clear => self.in_the_clear.is_none() && may_be_in_the_clear(line),
        }
    }

    fn offer(&mut self, entry: &Entry) {
        self.offers += 1;
        if entry.hash.is_locked() {
            return;
        }
        let hash = entry.hash.for_passwords();
        match (entry.hash.clear(), self.wanted) {
            (Some(password), StandIn::Clear) => {
                self.in_the_clear.get_or_insert_with(|| password.to_owned());
            }
            (Some(_), StandIn::Hash) => {
                self.in_the_clear.get_or_insert_with(|| hash.to_owned());
            }
            (None, StandIn::Hash) if entry.hash.legacy_scheme().is_some() => {
                self.legacy.get_or_insert_with(|| hash.to_owned());
            }
            (None, StandIn::Hash) => self.hashes.push(hash.to_owned()),
            (None, StandIn::Clear) => {}
        }
    }

    /// What takes time comes before what does not.
    fn finish(mut self) -> Vec<String> {
        self.hashes.extend(self.legacy);
        self.hashes.extend(self.in_the_clear);
        self.hashes
    }
}

/// "{PLAIN}", "{CLEAR}" and "{CLEARTEXT}" begin so, as few others do.
fn may_be_in_the_clear(line: &[u8]) -> bool {
    let Some(colon) = line.iter().position(|&octet| octet == b':') else {
        return false;
    };
    matches!(line[colon + 1..], [b'{', b'P' | b'p' | b'C' | b'c', ..])
}

fn is_about(line: &[u8], user: &str, case: Case) -> bool {
    if user.is_empty() || user.contains(':') {
        return false;
    }
    // Most lines are about others, which their first octet shows.
    let first = user.as_bytes()[0];
    if !line
        .first()
        .is_some_and(|octet| octet.eq_ignore_ascii_case(&first))
    {
        return false;
    }
    line.split(|&octet| octet == b':')
        .next()
        .and_then(|name| str::from_utf8(name).ok())
        .is_some_and(|name| case.is_same(name, user))
}

/// Where the hash is that a user's password is checked against.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct HashPlace {
    /// The number of the line, from 1.
    pub(crate) line: usize,
    /// Where the hash is in the file.
    pub(crate) octets: Range<usize>,
}

/// Looks for the hash of an entry's user, to replace it by a new one. None: the line that counts
/// for the user is another by now, or has another field of hashes.
///
/// # Errors
/// What would be wrong with the line if it had the new hash.
pub(crate) fn hash_place(
    file: &[u8],
    entry: &Entry,
    new_hash: &str,
    rules: Rules,
) -> Result<Option<HashPlace>, Problem> {
    let mut end = 0;
    for (index, line) in file.split_inclusive(|&octet| octet == b'\n').enumerate() {
        let begin = end;
        end += line.len();
        let line = without_end(line);
        if !is_about(line, &entry.user, rules.case) {
            continue;
        }
        // A comment, of a user whose name begins as one.
        let Some(found) = parse(line, rules) else {
            continue;
        };
        let colon = line.iter().position(|&octet| octet == b':');
        let (Line::Entry(found), Some(colon)) = (found, colon) else {
            return Ok(None);
        };
        if found.hash != entry.hash {
            return Ok(None);
        }
        let old = colon + 1..colon + 1 + found.hash.for_passwords().len();
        let new_line = [&line[..old.start], new_hash.as_bytes(), &line[old.end..]].concat();
        expect_same_but_hash(&new_line, &found, new_hash, rules)?;
        return Ok(Some(HashPlace {
            line: index + 1,
            octets: begin + old.start..begin + old.end,
        }));
    }
    Ok(None)
}

/// A new line means what the old one did, and has the new hash.
fn expect_same_but_hash(line: &[u8], old: &Entry, hash: &str, rules: Rules) -> Result<(), Problem> {
    match parse(line, rules) {
        Some(Line::Broken(problem)) => Err(problem),
        Some(Line::Entry(new))
            if new.hash.for_passwords() == hash
                && kind(hash).is_some()
                && !hash.contains(char::is_control)
                && !new.hash.is_locked()
                && new.hash.legacy_scheme().is_none()
                && new.user == old.user
                && new.maildrop == old.maildrop
                && new.attributes == old.attributes =>
        {
            Ok(())
        }
        _ => Err("the new hash does not fit into a line".into()),
    }
}

/// Hands over each line with its number, from 1, without its end. One that is
/// too long is cut where it becomes so, which [`parse`] notices.
pub(crate) fn each_line(
    mut file: impl BufRead,
    mut take: impl FnMut(usize, &[u8]),
) -> io::Result<()> {
    let mut number = 0;
    let mut split = Vec::new();
    loop {
        let mut octets = file.fill_buf()?;
        if octets.is_empty() {
            return Ok(());
        }
        let held = octets.len();
        // Most lines lie whole in the buffer and need not be copied.
        while let Some(end) = octets.iter().position(|&octet| octet == b'\n') {
            number += 1;
            take(number, without_end(&octets[..=end]));
            octets = &octets[end + 1..];
        }
        let begun = held - octets.len();
        file.consume(begun);
        split.clear();
        if (&mut file)
            .take(LINE_OCTETS as u64)
            .read_until(b'\n', &mut split)?
            == 0
        {
            continue;
        }
        if split.len() == LINE_OCTETS && split.last() != Some(&b'\n') {
            file.skip_until(b'\n')?;
        }
        number += 1;
        take(number, without_end(&split));
    }
}

fn without_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// What a line says; none: nothing, it is blank or a comment.
pub(crate) fn parse(line: &[u8], rules: Rules) -> Option<Line> {
    let first = line.iter().find(|octet| !octet.is_ascii_whitespace())?;
    if *first == b'#' {
        return None;
    }
    Some(entry(line, rules).map_or_else(Line::Broken, Line::Entry))
}

fn entry(line: &[u8], rules: Rules) -> Result<Entry, Problem> {
    if line.len() >= LINE_OCTETS - 1 {
        return Err("the line is too long".into());
    }
    let line = str::from_utf8(line).map_err(|_| "the line is not UTF-8")?;
    let mut parts = line.splitn(4, ':');
    let user = rules.case.canonical(parts.next().unwrap_or_default());
    if user.is_empty() {
        return Err("the user is missing".into());
    }
    let hash = parts.next().ok_or("there is no \":\" behind the user")?;
    let hash = Field::parse(hash, rules.legacy_hashes)?;
    let maildrop = match parts.next() {
        None | Some("") => user.clone(),
        Some(maildrop) => maildrop.to_owned(),
    };
    let attributes = parts.next().unwrap_or_default();
    let attributes = attributes
        .split_ascii_whitespace()
        .map(|attribute| match attribute.split_once('=') {
            Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
            _ => Err("an attribute is not key=value"),
        })
        .collect::<Result<_, _>>()?;
    Ok(Entry {
        user,
        hash,
        maildrop,
        attributes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXACT: Rules = Rules {
        case: Case::Exact,
        legacy_hashes: false,
    };
    const FOLD: Rules = Rules {
        case: Case::Fold,
        legacy_hashes: false,
    };

    /// Whoever has a line with such a name has it alone.
    #[test]
    fn no_other_letter_opens_a_users_line() {
        let found = |file: &str, user: &str| {
            let found = search(file.as_bytes(), user, FOLD, StandIn::Hash);
            found.unwrap().found.map(|(number, _)| number)
        };
        for user in ["\u{212a}ate", "k\u{e5}te", "kat\u{ff45}"] {
            assert_eq!(found("Kate:{PLAIN}x\n", user), None, "{user}");
            let both = format!("{user}:{{PLAIN}}y\nKate:{{PLAIN}}x\n");
            assert_eq!(
                (found(&both, user), found(&both, "kate")),
                (Some(1), Some(2))
            );
        }
        assert_eq!(found("Kate:{PLAIN}x\n", "KATE"), Some(1));
    }

    /// The local part as the file has it, the domain in any case.
    #[test]
    fn a_domain_is_found_in_any_case() {
        let found = |user: &str| {
            let file = b"kate@Example.ORG:{PLAIN}x\nkate:{PLAIN}y\n";
            let found = search(file.as_slice(), user, EXACT, StandIn::Hash);
            found.unwrap().found.map(|(number, _)| number)
        };
        assert_eq!(found("kate@example.org"), Some(1));
        assert_eq!(found("kate@EXAMPLE.org"), Some(1));
        assert_eq!(found("kate"), Some(2));
        for user in ["Kate@example.org", "KATE", "kate@example.or", "kate@"] {
            assert_eq!(found(user), None, "{user}");
        }
    }

    fn broken(line: &[u8]) -> Problem {
        match parse(line, EXACT) {
            Some(Line::Broken(problem)) => problem,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn blank_lines_and_comments_say_nothing() {
        for line in [&b""[..], b" \t", b"# x:y", b"  # x:y"] {
            assert_eq!(parse(line, EXACT), None);
        }
    }

    #[test]
    fn broken_lines_say_what_is_wrong_and_no_more() {
        assert_eq!(broken(b"secret"), "there is no \":\" behind the user");
        assert_eq!(broken(b":secret"), "the user is missing");
        assert_eq!(broken(b"u::secret"), "the hash is missing");
        assert_eq!(broken(b"u:h:m:secret"), "an attribute is not key=value");
        assert_eq!(broken(b"u:h:m:=secret"), "an attribute is not key=value");
        assert_eq!(broken(b"u:secret\xff"), "the line is not UTF-8");
        assert_eq!(broken(&[b'u'; LINE_OCTETS]), "the line is too long");
    }

    #[test]
    fn a_line_that_is_too_long_keeps_the_count_in_step() {
        let mut file = format!("a:{}\n", "x".repeat(3 * LINE_OCTETS)).into_bytes();
        file.extend_from_slice(b"b:hash\n\nc:hash");
        let mut lines = Vec::new();
        each_line(&file[..], |number, line| {
            lines.push((number, line.len(), parse(line, EXACT)));
        })
        .unwrap();
        assert_eq!(lines.len(), 4);
        assert_eq!(
            lines[0].2,
            Some(Line::Broken("the line is too long".into()))
        );
        assert_eq!((lines[1].0, lines[1].1), (2, 6));
        assert!(matches!(&lines[3], (4, 6, Some(Line::Entry(entry))) if entry.user == "c"));
    }

    #[test]
    fn lines_are_the_same_however_the_file_is_read() {
        let long = "x".repeat(LINE_OCTETS + 1);
        let file = format!("a:1\r\n\n# c\nb:{long}\n\nc:3\nd:{}\ne", &long[3..]);
        let lines = |capacity: usize| {
            let mut lines = Vec::new();
            let reader = io::BufReader::with_capacity(capacity, file.as_bytes());
            each_line(reader, |number, line| {
                lines.push((number, parse(line, EXACT)))
            })
            .unwrap();
            lines
        };
        let whole = lines(file.len());
        assert_eq!(whole.len(), 8);
        assert_eq!(
            whole[3].1,
            Some(Line::Broken("the line is too long".into()))
        );
        for capacity in (1..200).chain(LINE_OCTETS - 9..LINE_OCTETS + 30) {
            assert_eq!(lines(capacity), whole, "{capacity}");
        }
    }

    #[test]
    fn a_line_at_the_limit_is_read_alike_with_and_without_its_end() {
        for (octets, end) in [
            (LINE_OCTETS - 2, "\n"),
            (LINE_OCTETS - 2, ""),
            (LINE_OCTETS - 2, "\r\n"),
        ] {
            let file = format!("u:{}{end}", "h".repeat(octets - 2));
            let mut good = 0;
            each_line(file.as_bytes(), |_, line| {
                good += usize::from(matches!(parse(line, EXACT), Some(Line::Entry(_))));
            })
            .unwrap();
            assert_eq!(good, 1, "{end:?}");
        }
    }

    #[test]
    fn the_stand_in_is_the_first_that_serves() {
        let stand_in = |wanted, file: &str| {
            let search = search(file.as_bytes(), "nobody", EXACT, wanted).unwrap();
            search.stand_ins.into_iter().next()
        };
        for (file, hash, clear) in [
            ("", None, None),
            ("a:!\nb:\n", None, None),
            ("a:{plain}1\nb:{CLEAR}2\n", Some("{plain}1"), Some("1")),
            ("a:{PLAIN}1\nb:*\nc:$6$x\nd:$5$y", Some("$6$x"), Some("1")),
            (
                "c:$6$x|$5$y\nb:!{PLAIN}1\nd:{PLAIN}2",
                Some("$6$x"),
                Some("2"),
            ),
            ("a:{PBKDF2-SHA256}1$\n", Some("{PBKDF2-SHA256}1$"), None),
        ] {
            assert_eq!(stand_in(StandIn::Hash, file).as_deref(), hash, "{file}");
            assert_eq!(stand_in(StandIn::Clear, file).as_deref(), clear, "{file}");
        }
    }

    /// Who is unknown waits as long as who is known by a slow hash.
    #[test]
    fn what_is_compared_in_no_time_stands_in_last() {
        let rules = Rules {
            legacy_hashes: true,
            ..EXACT
        };
        let legacy = "{SHA}qUqP5cyxm6YcTAhz05Hph5gvu9M=";
        let file = format!("a:{legacy}\nb:{{PLAIN}}b\nc:$6$x\n");
        let search = search(file.as_bytes(), "nobody", rules, StandIn::Hash).unwrap();
        assert_eq!(search.stand_ins, ["$6$x", legacy, "{PLAIN}b"]);
    }

    /// Bad lines at the beginning are not what unknown users are told apart by.
    #[test]
    fn a_stand_in_that_cannot_be_verified_makes_way_for_the_next() {
        let file = "a:{MD9}x\nb:$6$broken\nc:{PLAIN}c\nd:$6$good\ne:$6$late\n";
        let search = search(file.as_bytes(), "nobody", EXACT, StandIn::Hash).unwrap();
        let mut asked = Vec::new();
        search.waste_time("secret", &mut |hash, _| {
            asked.push(hash.to_owned());
            hash.ends_with("good")
                .then_some(false)
                .ok_or("no".to_owned())
        });
        assert_eq!(asked, ["{MD9}x", "$6$broken", "$6$good"]);
        // However many there are, a bounded number is kept.
        let many = "u:{MD9}x\n".repeat(1000);
        let search = super::search(many.as_bytes(), "nobody", EXACT, StandIn::Hash).unwrap();
        assert_eq!(search.stand_ins.len(), STAND_INS);
    }
}

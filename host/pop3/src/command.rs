//! A line becomes a [`Command`], or a [`Syntax`] error; after that nothing in
//! it needs checking again. Whether a command is legal in the session's state,
//! and whether a message-number names a message, is decided elsewhere.

use crate::maildrop::Number;
use crate::prepare;
use crate::sasl;
use crate::secret::{Secret, Sensitive};
use crate::syntax::{Malformed, Syntax};

/// A command with its arguments.
///
/// RFC 2449 section 3:
/// ```text
/// command  =  keyword *(SP param) CRLF
/// keyword  =  3*4VCHAR
/// param    =  1*VCHAR
/// ```
/// Keywords are case-insensitive. Arguments are separated by exactly one SP;
/// spaces at the end of a line are forgiven, since clients in use send them,
/// except behind PASS, where they belong to the password.
#[derive(Debug)]
pub(crate) enum Command {
    /// RFC 1939 section 7. The name is prepared (RFC 6856 section 2.2): not
    /// empty, without control characters.
    User(String),
    /// RFC 1939 section 7. Everything behind the first SP, prepared.
    Pass(Secret),
    /// RFC 1939 section 7.
    Apop {
        /// Like USER's.
        user: String,
        /// Lower-case hexadecimal.
        digest: String,
    },
    /// RFC 5034 section 4. None is an old client's way to ask for the list.
    Auth(Option<Auth>),
    /// RFC 6856 section 2.1.
    Utf8,
    /// RFC 6856 section 3.2. None asks for the list.
    Lang(Option<LanguageRange>),
    /// RFC 2595 section 4.
    Stls,
    /// RFC 2449 section 5.
    Capa,
    /// RFC 1939 sections 4 and 6.
    Quit,
    /// RFC 1939 section 5.
    Stat,
    /// RFC 1939 section 5.
    List(Option<Number>),
    /// RFC 1939 section 5.
    Retr(Number),
    /// RFC 1939 section 5.
    Dele(Number),
    /// RFC 1939 section 5.
    Noop,
    /// RFC 1939 section 5.
    Rset,
    /// RFC 1939 section 7.
    Top {
        /// Which message.
        message: Number,
        /// How many lines of its body.
        body_lines: u64,
    },
    /// RFC 1939 section 7.
    Uidl(Option<Number>),
}

/// The arguments of AUTH:
///
/// ```text
/// auth-command     = "AUTH" SP sasl-mech [SP initial-response]
/// initial-response = base64 / "="
/// ```
#[derive(Debug)]
pub(crate) struct Auth {
    /// None: not one of ours.
    pub(crate) mechanism: Option<sasl::Mechanism>,
    /// Decoded; a single "=" stands for nothing.
    pub(crate) initial: Option<Result<Sensitive, Malformed>>,
}

/// What LANG asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum LanguageRange {
    /// "*": as the server likes.
    Any,
    /// A basic language range (RFC 4647 section 2.1).
    Basic(String),
}

impl Command {
    /// Reads a line that has lost its line end.
    pub(crate) fn parse(line: &[u8]) -> Result<Self, Syntax> {
        if line.iter().any(u8::is_ascii_control) {
            return Err(Syntax::ControlCharacter);
        }
        let (keyword, arguments) = match line.iter().position(|&octet| octet == b' ') {
            Some(space) => (&line[..space], Some(&line[space + 1..])),
            None => (line, None),
        };
        let Some((_, read)) = KEYWORDS
            .iter()
            .find(|(known, _)| known.as_bytes().eq_ignore_ascii_case(keyword))
        else {
            return Err(Syntax::UnknownKeyword);
        };
        read(arguments)
    }
}

/// Reads the arguments: what stands behind the first SP, None without one.
type Read = fn(Option<&[u8]>) -> Result<Command, Syntax>;

const KEYWORDS: &[(&str, Read)] = &[
    ("RETR", |rest| one(rest).map(Command::Retr)),
    ("DELE", |rest| one(rest).map(Command::Dele)),
    ("TOP", top),
    ("UIDL", |rest| at_most_one(rest).map(Command::Uidl)),
    ("LIST", |rest| at_most_one(rest).map(Command::List)),
    ("STAT", |rest| none(rest).map(|()| Command::Stat)),
    ("NOOP", |rest| none(rest).map(|()| Command::Noop)),
    ("RSET", |rest| none(rest).map(|()| Command::Rset)),
    ("USER", |rest| user_name(rest).map(Command::User)),
    ("PASS", |rest| password(rest).map(Command::Pass)),
    ("AUTH", |rest| auth(rest).map(Command::Auth)),
    ("APOP", apop),
    ("QUIT", |rest| none(rest).map(|()| Command::Quit)),
    ("CAPA", |rest| none(rest).map(|()| Command::Capa)),
    ("STLS", |rest| none(rest).map(|()| Command::Stls)),
    ("UTF8", |rest| none(rest).map(|()| Command::Utf8)),
    ("LANG", |rest| language_range(rest).map(Command::Lang)),
];

fn none(rest: Option<&[u8]>) -> Result<(), Syntax> {
    match forgiven(rest) {
        b"" => Ok(()),
        _ => Err(Syntax::UnexpectedArgument),
    }
}

fn one(rest: Option<&[u8]>) -> Result<Number, Syntax> {
    at_most_one(rest)?.ok_or(Syntax::MissingArgument)
}

fn at_most_one(rest: Option<&[u8]>) -> Result<Option<Number>, Syntax> {
    match forgiven(rest) {
        b"" => Ok(None),
        argument => decimal(argument).map(|number| Some(Number(number))),
    }
}

fn top(rest: Option<&[u8]>) -> Result<Command, Syntax> {
    let arguments = forgiven(rest);
    if arguments.is_empty() {
        return Err(Syntax::MissingArgument);
    }
    let Some(space) = arguments.iter().position(|&octet| octet == b' ') else {
        // A message-number alone lacks its line count; anything else is worse.
        return Err(decimal(arguments).err().unwrap_or(Syntax::MissingArgument));
    };
    Ok(Command::Top {
        message: Number(decimal(&arguments[..space])?),
        body_lines: decimal(&arguments[space + 1..])?,
    })
}

fn user_name(rest: Option<&[u8]>) -> Result<String, Syntax> {
    let name = forgiven(rest);
    if name.is_empty() {
        return Err(Syntax::MissingArgument);
    }
    let name = std::str::from_utf8(name).map_err(|_| Syntax::UserName)?;
    if name.starts_with(' ') {
        return Err(Syntax::UserName);
    }
    prepare::user_name(name).map_err(|_| Syntax::UserName)
}

fn password(rest: Option<&[u8]>) -> Result<Secret, Syntax> {
    let secret = match rest {
        None | Some(b"") => return Err(Syntax::MissingArgument),
        Some(secret) => std::str::from_utf8(secret).map_err(|_| Syntax::Password)?,
    };
    prepare::password(secret).map_err(|_| Syntax::Password)
}

fn apop(rest: Option<&[u8]>) -> Result<Command, Syntax> {
    let arguments = forgiven(rest);
    if !arguments.contains(&b' ') {
        return Err(Syntax::MissingArgument);
    }
    let arguments = std::str::from_utf8(arguments).map_err(|_| Syntax::UserName)?;
    let (name, digest) = sasl::name_and_digest(arguments).ok_or(Syntax::Digest)?;
    Ok(Command::Apop {
        user: user_name(Some(name.as_bytes()))?,
        digest,
    })
}

fn auth(rest: Option<&[u8]>) -> Result<Option<Auth>, Syntax> {
    let arguments = forgiven(rest);
    if arguments.is_empty() {
        return Ok(None);
    }
    let space = arguments.iter().position(|&octet| octet == b' ');
    let (name, initial) = match space {
        Some(space) => (&arguments[..space], Some(&arguments[space + 1..])),
        None => (arguments, None),
    };
    Ok(Some(Auth {
        mechanism: sasl::Mechanism::named(name),
        initial: initial.map(|initial| match initial {
            b"=" => Ok(Sensitive::default()),
            initial => sasl::decoded(initial),
        }),
    }))
}

/// ```text
/// language-range = (1*8ALPHA *("-" 1*8alphanum)) / "*"
/// ```
fn language_range(rest: Option<&[u8]>) -> Result<Option<LanguageRange>, Syntax> {
    let range = match forgiven(rest) {
        b"" => return Ok(None),
        b"*" => return Ok(Some(LanguageRange::Any)),
        range => std::str::from_utf8(range).map_err(|_| Syntax::LanguageRange)?,
    };
    let is_subtag = |(index, subtag): (usize, &str)| {
        (1..=8).contains(&subtag.len())
            && subtag.bytes().all(|octet| match index {
                0 => octet.is_ascii_alphabetic(),
                _ => octet.is_ascii_alphanumeric(),
            })
    };
    if !range.split('-').enumerate().all(is_subtag) {
        return Err(Syntax::LanguageRange);
    }
    Ok(Some(LanguageRange::Basic(range.to_owned())))
}

/// The arguments without the spaces that some clients leave at the end.
fn forgiven(rest: Option<&[u8]>) -> &[u8] {
    let rest = rest.unwrap_or_default();
    let end = rest.iter().rposition(|&octet| octet != b' ');
    end.map_or(b"", |last| &rest[..=last])
}

/// `1*DIGIT`, the largest u64 standing for everything above.
fn decimal(digits: &[u8]) -> Result<u64, Syntax> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Syntax::NotANumber);
    }
    Ok(digits.iter().fold(0_u64, |number, digit| {
        number
            .saturating_mul(10)
            .saturating_add(u64::from(digit - b'0'))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(line: &[u8]) -> Syntax {
        match Command::parse(line) {
            Err(error) => error,
            Ok(command) => panic!("{} was taken for {command:?}", line.escape_ascii()),
        }
    }

    #[test]
    fn keywords_in_any_case_and_spaces_at_the_end() {
        for line in ["STAT", "stat", "StAt", "STAT ", "STAT   "] {
            let command = Command::parse(line.as_bytes()).unwrap();
            assert!(matches!(command, Command::Stat), "{line:?}");
        }
        assert!(matches!(Command::parse(b"LIST "), Ok(Command::List(None))));
        assert!(matches!(
            Command::parse(b"retr 2 "),
            Ok(Command::Retr(Number(2)))
        ));
    }

    #[test]
    fn whatever_is_no_keyword_of_ours() {
        for line in ["", " ", " STAT", "STATS", "STA", "XYZZY", "GET / HTTP/1.1"] {
            assert_eq!(error(line.as_bytes()), Syntax::UnknownKeyword, "{line:?}");
        }
    }

    #[test]
    fn message_numbers_are_digits() {
        for argument in [
            "+1", "-1", "1x", "0x1", "1.0", " 1", "1 2", "1  ,", "\u{661}",
        ] {
            for keyword in ["RETR", "DELE", "LIST", "UIDL"] {
                let line = format!("{keyword} {argument}");
                assert_eq!(error(line.as_bytes()), Syntax::NotANumber, "{line:?}");
            }
        }
        assert!(matches!(
            Command::parse(b"RETR 18446744073709551617"),
            Ok(Command::Retr(Number(u64::MAX)))
        ));
        assert_eq!(error(b"RETR"), Syntax::MissingArgument);
        assert_eq!(error(b"DELE "), Syntax::MissingArgument);
    }

    #[test]
    fn top_needs_both_arguments() {
        assert!(matches!(
            Command::parse(b"TOP 1 0"),
            Ok(Command::Top {
                message: Number(1),
                body_lines: 0
            })
        ));
        assert!(matches!(
            Command::parse(b"top 1 99999999999999999999"),
            Ok(Command::Top {
                body_lines: u64::MAX,
                ..
            })
        ));
        for line in ["TOP", "TOP ", "TOP 1", "TOP 1 "] {
            assert_eq!(error(line.as_bytes()), Syntax::MissingArgument, "{line:?}");
        }
        for line in [
            "TOP x",
            "TOP 1  2",
            "TOP  1 2",
            "TOP 1 -1",
            "TOP 1 2 3",
            "TOP 1 x",
        ] {
            assert_eq!(error(line.as_bytes()), Syntax::NotANumber, "{line:?}");
        }
    }

    #[test]
    fn commands_without_arguments_take_none() {
        for keyword in ["STAT", "NOOP", "RSET", "QUIT", "CAPA", "STLS", "UTF8"] {
            let line = format!("{keyword} 1");
            assert_eq!(
                error(line.as_bytes()),
                Syntax::UnexpectedArgument,
                "{line:?}"
            );
        }
    }

    #[test]
    fn a_password_is_everything_behind_the_first_space() {
        for (line, password) in [
            ("PASS secret", "secret"),
            ("PASS  two words ", " two words "),
            ("pass  ", " "),
            ("PASS p\u{e4}ss", "p\u{e4}ss"),
        ] {
            match Command::parse(line.as_bytes()).unwrap() {
                Command::Pass(secret) => assert_eq!(secret.expose(), password),
                other => panic!("{line:?} was taken for {other:?}"),
            }
        }
        assert_eq!(error(b"PASS"), Syntax::MissingArgument);
        assert_eq!(error(b"PASS "), Syntax::MissingArgument);
        assert_eq!(error(b"PASS \xff"), Syntax::Password);
    }

    #[test]
    fn a_user_name_is_text() {
        for (line, name) in [
            ("USER mrose", "mrose"),
            ("USER mrose ", "mrose"),
            ("USER j\u{f6}rg@example.org", "j\u{f6}rg@example.org"),
            ("USER ../../etc %s {user} \"", "../../etc %s {user} \""),
        ] {
            match Command::parse(line.as_bytes()).unwrap() {
                Command::User(user) => assert_eq!(user, name),
                other => panic!("{line:?} was taken for {other:?}"),
            }
        }
        assert_eq!(error(b"USER"), Syntax::MissingArgument);
        assert_eq!(error(b"USER  "), Syntax::MissingArgument);
        assert_eq!(error(b"USER  mrose"), Syntax::UserName);
        assert_eq!(error(b"USER \xc3\x28"), Syntax::UserName);
        assert_eq!(error("USER a\u{85}b".as_bytes()), Syntax::UserName);
        assert_eq!(error("USER \u{ad}".as_bytes()), Syntax::UserName);
        assert_eq!(error("PASS a\u{85}b".as_bytes()), Syntax::Password);
    }

    #[test]
    fn names_and_passwords_are_prepared() {
        match Command::parse("USER I\u{ad}\u{2168}".as_bytes()).unwrap() {
            Command::User(user) => assert_eq!(user, "IIX"),
            other => panic!("{other:?}"),
        }
        match Command::parse("PASS a\u{a0}A\u{30a}".as_bytes()).unwrap() {
            Command::Pass(secret) => assert_eq!(secret.expose(), "a \u{c5}"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn apop_takes_a_name_and_a_digest() {
        let digest = "c4c9334bac560ecc979e58001b3e22fb";
        for name in ["mrose", "two words"] {
            let line = format!("APOP {name} {digest} ");
            match Command::parse(line.as_bytes()).unwrap() {
                Command::Apop { user, digest: said } => {
                    assert_eq!((user.as_str(), said.as_str()), (name, digest));
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(error(b"APOP"), Syntax::MissingArgument);
        assert_eq!(error(b"APOP mrose"), Syntax::MissingArgument);
        assert_eq!(error(b"APOP mrose 1234"), Syntax::Digest);
        let line = format!("APOP  mrose {digest}");
        assert_eq!(error(line.as_bytes()), Syntax::UserName);
    }

    #[test]
    fn auth_takes_a_mechanism_and_a_response() {
        use sasl::Mechanism::Plain;
        let read = |line: &str| match Command::parse(line.as_bytes()).unwrap() {
            Command::Auth(auth) => auth.map(|Auth { mechanism, initial }| {
                (mechanism, initial.map(|octets| octets.map(|o| o.to_vec())))
            }),
            other => panic!("{other:?}"),
        };
        assert_eq!(read("AUTH"), None);
        assert_eq!(read("auth "), None);
        assert_eq!(read("AUTH plain"), Some((Some(Plain), None)));
        assert_eq!(read("AUTH PLAIN "), Some((Some(Plain), None)));
        assert_eq!(
            read("AUTH PLAIN ="),
            Some((Some(Plain), Some(Ok(Vec::new()))))
        );
        assert_eq!(
            read("AUTH PLAIN AGEAYg=="),
            Some((Some(Plain), Some(Ok(b"\0a\0b".to_vec()))))
        );
        assert_eq!(read("AUTH GSSAPI"), Some((None, None)));
        for line in [
            "AUTH PLAIN  AGEAYg==",
            "AUTH PLAIN AGEAYg== x",
            "AUTH PLAIN *",
            "AUTH PLAIN ==",
        ] {
            let expected = Some((Some(Plain), Some(Err(Malformed::Base64))));
            assert_eq!(read(line), expected, "{line}");
        }
    }

    #[test]
    fn lang_takes_a_range() {
        let read = |line: &str| match Command::parse(line.as_bytes()) {
            Ok(Command::Lang(range)) => Ok(range),
            Err(syntax) => Err(syntax),
            other => panic!("{other:?}"),
        };
        assert_eq!(read("LANG"), Ok(None));
        assert_eq!(read("LANG *"), Ok(Some(LanguageRange::Any)));
        for range in ["de", "MUL", "en-boont", "de-CH-1996", "i-klingon"] {
            let expected = Ok(Some(LanguageRange::Basic(range.into())));
            assert_eq!(read(&format!("LANG {range}")), expected);
        }
        for range in [
            "**",
            "de-*",
            "d_e",
            "de-",
            "-de",
            "1de",
            "toolonglanguage",
            "de en",
            "\u{e4}",
        ] {
            let line = format!("LANG {range}");
            assert_eq!(read(&line), Err(Syntax::LanguageRange), "{line}");
        }
    }

    #[test]
    fn control_characters_are_refused_everywhere() {
        for octet in (0..0x20).chain([0x7f]) {
            for line in ["USER a?b", "PASS a?b", "STAT?", "?STAT", "RETR 1?"] {
                let line: Vec<u8> = line
                    .bytes()
                    .map(|other| if other == b'?' { octet } else { other })
                    .collect();
                assert_eq!(error(&line), Syntax::ControlCharacter);
            }
        }
    }
}

//! A line becomes a [`Command`], or a [`Fault`]. What stands behind MAIL and RCPT is
//! read in `envelope`; whether a command is legal in the session's state is decided
//! elsewhere.

use crate::fault::Fault;

/// A command, with its arguments as far as they can be read without the session.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command<'a> {
    /// RFC 2033 section 4.1. The client's name.
    Lhlo(&'a str),
    /// RFC 5321 section 4.1.1.2. What stands behind "MAIL ".
    Mail(&'a str),
    /// RFC 5321 section 4.1.1.3. What stands behind "RCPT ".
    Rcpt(&'a str),
    /// RFC 5321 section 4.1.1.4.
    Data,
    /// RFC 3030 section 2.
    Bdat(Chunk),
    /// RFC 5321 section 4.1.1.5.
    Rset,
    /// RFC 5321 section 4.1.1.6.
    Vrfy,
    /// RFC 5321 section 4.1.1.8.
    Help,
    /// RFC 5321 section 4.1.1.9.
    Noop,
    /// RFC 5321 section 4.1.1.10.
    Quit,
    /// RFC 3207 section 4.
    StartTls,
    /// Postfix's XCLIENT_README. The attributes.
    Xclient(&'a str),
    /// Postfix's XFORWARD_README. The attributes.
    Xforward(&'a str),
}

/// A part of a message that follows at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chunk {
    pub(crate) octets: u64,
    pub(crate) is_last: bool,
}

/// Why a line is no command.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoCommand {
    Fault(Fault),
    /// A BDAT that does not say how many octets follow: where the next command
    /// begins, nobody can know.
    BadChunk,
}

impl From<Fault> for NoCommand {
    fn from(fault: Fault) -> Self {
        NoCommand::Fault(fault)
    }
}

/// Longest name in LHLO, in octets (RFC 5321 section 4.5.3.1.2).
const MAX_NAME_OCTETS: usize = 255;

impl<'a> Command<'a> {
    /// Reads a line that has lost its line end. Spaces at its end are forgiven (RFC
    /// 5321 section 4.1.1).
    pub(crate) fn parse(line: &'a [u8]) -> Result<Self, NoCommand> {
        let keyword_end = line.iter().position(|octet| *octet == b' ');
        let keyword = &line[..keyword_end.unwrap_or(line.len())];
        let is_bdat = keyword.eq_ignore_ascii_case(b"BDAT");
        if line.iter().any(u8::is_ascii_control) {
            return Err(match is_bdat {
                true => NoCommand::BadChunk,
                false => Fault::CONTROL_CHARACTER.into(),
            });
        }
        let Ok(line) = std::str::from_utf8(line) else {
            return Err(match is_bdat {
                true => NoCommand::BadChunk,
                false => Fault::NOT_UTF8.into(),
            });
        };
        let line = line.trim_end_matches(' ');
        let (keyword, arguments) = match line.split_once(' ') {
            Some((keyword, arguments)) => (keyword, Some(arguments)),
            None => (line, None),
        };
        if is_bdat {
            let chunk = arguments.and_then(chunk).ok_or(NoCommand::BadChunk)?;
            return Ok(Command::Bdat(chunk));
        }
        read(keyword, arguments).map_err(NoCommand::Fault)
    }
}

fn read<'a>(keyword: &str, arguments: Option<&'a str>) -> Result<Command<'a>, Fault> {
    let alone = |command, usage| match arguments {
        None => Ok(command),
        Some(_) => Err(Fault::syntax(usage)),
    };
    match keyword.to_ascii_uppercase().as_str() {
        "LHLO" => match arguments.filter(|name| is_name(name)) {
            Some(name) => Ok(Command::Lhlo(name)),
            None => Err(Fault::syntax("Syntax: LHLO your-name")),
        },
        "MAIL" => Ok(Command::Mail(arguments.unwrap_or_default())),
        "RCPT" => Ok(Command::Rcpt(arguments.unwrap_or_default())),
        "DATA" => alone(Command::Data, "Syntax: DATA"),
        "RSET" => alone(Command::Rset, "Syntax: RSET"),
        "QUIT" => alone(Command::Quit, "Syntax: QUIT"),
        "STARTTLS" => alone(Command::StartTls, "Syntax: STARTTLS"),
        "NOOP" => Ok(Command::Noop),
        "HELP" => Ok(Command::Help),
        "VRFY" => match arguments {
            Some(_) => Ok(Command::Vrfy),
            None => Err(Fault::syntax("Syntax: VRFY address")),
        },
        "XCLIENT" => Ok(Command::Xclient(arguments.unwrap_or_default())),
        "XFORWARD" => Ok(Command::Xforward(arguments.unwrap_or_default())),
        // RFC 2033 section 4.1: never a positive answer, and 500 is what it should be.
        "HELO" | "EHLO" => Err(Fault::NOT_SMTP),
        "EXPN" | "AUTH" | "ETRN" | "TURN" | "ATRN" | "BURL" | "SEND" | "SOML" | "SAML" => {
            Err(Fault::NOT_IMPLEMENTED)
        }
        _ => Err(Fault::UNKNOWN),
    }
}

/// Anything printable: names that are no domain are sent, and nothing rests on them.
fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= MAX_NAME_OCTETS
        && name.bytes().all(|octet| octet.is_ascii_graphic())
}

/// `bdat-cmd = "BDAT" SP chunk-size [ SP end-marker ]`
fn chunk(arguments: &str) -> Option<Chunk> {
    let (octets, is_last) = match arguments.split_once(' ') {
        None => (arguments, false),
        Some((octets, last)) if last.eq_ignore_ascii_case("LAST") => (octets, true),
        Some(_) => return None,
    };
    let is_number = !octets.is_empty() && octets.bytes().all(|digit| digit.is_ascii_digit());
    // What does not fit could not be skipped within anybody's lifetime.
    let octets = octets.parse().ok().filter(|_| is_number)?;
    Some(Chunk { octets, is_last })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(line: &[u8]) -> String {
        match Command::parse(line) {
            Err(NoCommand::Fault(fault)) => fault.reply.to_string(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn lines_become_commands() {
        for (line, command) in [
            ("LHLO mx.example.org", Command::Lhlo("mx.example.org")),
            ("lhlo [192.0.2.1] ", Command::Lhlo("[192.0.2.1]")),
            ("MAIL FROM:<>", Command::Mail("FROM:<>")),
            ("MAIL", Command::Mail("")),
            ("rcpt TO:<a@b> X", Command::Rcpt("TO:<a@b> X")),
            ("DaTa", Command::Data),
            ("DATA  ", Command::Data),
            ("RSET", Command::Rset),
            ("QUIT", Command::Quit),
            ("NOOP", Command::Noop),
            ("NOOP anything at all", Command::Noop),
            ("HELP", Command::Help),
            ("VRFY mrose", Command::Vrfy),
            ("STARTTLS", Command::StartTls),
            ("XCLIENT NAME=a", Command::Xclient("NAME=a")),
            ("XFORWARD", Command::Xforward("")),
        ] {
            assert_eq!(Command::parse(line.as_bytes()), Ok(command), "{line}");
        }
    }

    #[test]
    fn what_is_no_command_says_why() {
        for (line, code) in [
            (&b""[..], "500 5.5.1"),
            (b" NOOP", "500 5.5.1"),
            (b"XYZZY", "500 5.5.1"),
            (b"EHLO a", "500 5.5.1"),
            (b"HELO a", "500 5.5.1"),
            (b"EXPN a", "502 5.5.1"),
            (b"AUTH PLAIN", "502 5.5.1"),
            (b"LHLO", "501 5.5.4"),
            (b"LHLO a b", "501 5.5.4"),
            (b"LHLO \xc3\xa4", "501 5.5.4"),
            (b"DATA x", "501 5.5.4"),
            (b"RSET x", "501 5.5.4"),
            (b"QUIT x", "501 5.5.4"),
            (b"STARTTLS x", "501 5.5.4"),
            (b"VRFY", "501 5.5.4"),
            (b"NOOP\t", "500 5.5.2"),
            (b"NOOP\rQUIT", "500 5.5.2"),
            (b"NOOP\0", "500 5.5.2"),
            (b"NOOP \xff", "500 5.5.2"),
        ] {
            let said = fault(line);
            assert!(said.starts_with(code), "{}: {said}", line.escape_ascii());
        }
        let long = format!("LHLO {}", "x".repeat(MAX_NAME_OCTETS + 1));
        assert!(fault(long.as_bytes()).starts_with("501 5.5.4"));
    }

    #[test]
    fn a_chunk_says_how_many_octets_follow_or_nothing_can_follow() {
        fn read(line: &str) -> Result<Command<'_>, NoCommand> {
            Command::parse(line.as_bytes())
        }
        let chunk = |octets, is_last| Ok(Command::Bdat(Chunk { octets, is_last }));
        assert_eq!(read("BDAT 0"), chunk(0, false));
        assert_eq!(read("bdat 86 last"), chunk(86, true));
        assert_eq!(read("BDAT 0086 LAST "), chunk(86, true));
        assert_eq!(read("BDAT 18446744073709551615"), chunk(u64::MAX, false));
        for line in [
            "BDAT",
            "BDAT ",
            "BDAT x",
            "BDAT -1",
            "BDAT +1",
            "BDAT 1x",
            "BDAT  1",
            "BDAT 1  LAST",
            "BDAT 1 LAST x",
            "BDAT 1 L",
            "BDAT LAST",
            "BDAT 18446744073709551616",
            "BDAT 1\t",
            "BDAT 1\r",
            "BDAT \u{661}",
        ] {
            assert_eq!(read(line), Err(NoCommand::BadChunk), "{line:?}");
        }
        assert_eq!(Command::parse(b"BDAT \xff"), Err(NoCommand::BadChunk));
    }
}

//! Paths and mailboxes of MAIL and RCPT (RFC 5321 section 4.1.2, RFC 6531 section
//! 3.3): `<…>` -> [`Address`]. Whose it is, and whether mail may go there, is decided
//! elsewhere.

use std::borrow::Cow;
use std::fmt;

/// Longest mailbox in octets: what a path of 256 octets has between its brackets
/// (RFC 5321 section 4.5.3.1.3).
const MAX_MAILBOX_OCTETS: usize = 254;

/// Longest domain in octets (RFC 5321 section 4.5.3.1.2).
const MAX_DOMAIN_OCTETS: usize = 255;

/// Longest label of a domain in octets (RFC 1035 section 2.3.4).
const MAX_LABEL_OCTETS: usize = 63;

/// A mailbox. Prints as it would be written, quoted where it has to be, which need
/// not be as it was.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address {
    local: String,
    domain: Option<String>,
}

/// What is wrong with an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BadAddress {
    /// It is no path.
    Syntax,
    /// Longer than an address may be.
    TooLong,
    /// A mailbox without a domain, and not Postmaster.
    NoDomain,
    /// It needs SMTPUTF8.
    NotAscii,
}

impl Address {
    /// What stands in front of the `@`, without quotes: `"mrose"@example.org` and
    /// `mrose@example.org` are one mailbox (RFC 5321 section 4.1.2). No control character
    /// is in it.
    pub fn local_part(&self) -> &str {
        &self.local
    }

    /// What stands behind the `@`, as it was written: a domain, or an address literal
    /// in `[` and `]`. None: this is Postmaster, who needs none (RFC 5321 section
    /// 4.1.1.3).
    pub fn domain(&self) -> Option<&str> {
        self.domain.as_deref()
    }

    /// Whether an octet is above 127 (RFC 6531).
    pub fn is_internationalized(&self) -> bool {
        !self.local.is_ascii()
            || self
                .domain
                .as_ref()
                .is_some_and(|domain| !domain.is_ascii())
    }

    /// Reads what stands between the brackets of a forward-path.
    pub(crate) fn recipient(path: &str, utf8: bool) -> Result<Self, BadAddress> {
        match Address::mailbox(path, utf8) {
            Err(BadAddress::NoDomain) if path.eq_ignore_ascii_case("postmaster") => Ok(Address {
                local: path.to_owned(),
                domain: None,
            }),
            result => result,
        }
    }

    /// Reads what stands between the brackets of a reverse-path; None: nothing, the
    /// null reverse-path.
    pub(crate) fn sender(path: &str, utf8: bool) -> Result<Option<Self>, BadAddress> {
        if path.is_empty() {
            return Ok(None);
        }
        Address::mailbox(path, utf8).map(Some)
    }

    fn mailbox(path: &str, utf8: bool) -> Result<Self, BadAddress> {
        let mailbox = without_route(path)?;
        if mailbox.len() > MAX_MAILBOX_OCTETS {
            return Err(BadAddress::TooLong);
        }
        if !utf8 && !mailbox.is_ascii() {
            return Err(BadAddress::NotAscii);
        }
        let (local, rest) = match mailbox.strip_prefix('"') {
            Some(quoted) => quoted_string(quoted)?,
            None => dot_string(mailbox)?,
        };
        let Some(domain) = rest.strip_prefix('@') else {
            return Err(match rest {
                "" => BadAddress::NoDomain,
                _ => BadAddress::Syntax,
            });
        };
        if !is_domain(domain) {
            return Err(BadAddress::Syntax);
        }
        Ok(Address {
            local,
            domain: Some(domain.to_owned()),
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&written(&self.local))?;
        match &self.domain {
            Some(domain) => write!(out, "@{domain}"),
            None => Ok(()),
        }
    }
}

/// A local part, quoted if it has to be.
fn written(local: &str) -> Cow<'_, str> {
    let is_dot_string = local
        .split('.')
        .all(|atom| !atom.is_empty() && atom.chars().all(is_atext));
    if is_dot_string {
        return Cow::Borrowed(local);
    }
    let mut quoted = String::with_capacity(local.len() + 2);
    quoted.push('"');
    for char in local.chars() {
        if matches!(char, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(char);
    }
    quoted.push('"');
    Cow::Owned(quoted)
}

/// Strips a source route, which is to be ignored (RFC 5321 sections 3.6.1 and 4.1.1.3).
fn without_route(path: &str) -> Result<&str, BadAddress> {
    if !path.starts_with('@') {
        return Ok(path);
    }
    // No domain of a route has a colon in it but in an address literal.
    let mut rest = path;
    loop {
        let hop = rest.strip_prefix('@').ok_or(BadAddress::Syntax)?;
        let end = match hop.strip_prefix('[') {
            Some(literal) => literal.find(']').ok_or(BadAddress::Syntax)? + 2,
            None => hop.find([',', ':']).ok_or(BadAddress::Syntax)?,
        };
        let (domain, behind) = hop.split_at(end);
        if !is_domain(domain) {
            return Err(BadAddress::Syntax);
        }
        match behind.split_at_checked(1) {
            Some((":", mailbox)) => return Ok(mailbox),
            Some((",", next)) => rest = next,
            _ => return Err(BadAddress::Syntax),
        }
    }
}

/// A local part without quotes, and what comes behind it. Dots may stand anywhere,
/// which RFC 5321 forbids: mail is sent from such addresses, and they mean one thing
/// only. [`Address`] prints them quoted.
fn dot_string(mailbox: &str) -> Result<(String, &str), BadAddress> {
    let end = mailbox
        .find(|char| char != '.' && !is_atext(char))
        .unwrap_or(mailbox.len());
    if end == 0 {
        return Err(BadAddress::Syntax);
    }
    let (local, rest) = mailbox.split_at(end);
    Ok((local.to_owned(), rest))
}

/// What stands between quotes, and what comes behind them.
fn quoted_string(quoted: &str) -> Result<(String, &str), BadAddress> {
    let mut local = String::new();
    let mut chars = quoted.chars();
    loop {
        let char = match chars.next() {
            Some('"') => break,
            Some('\\') => chars.next().filter(|char| matches!(char, ' '..='~')),
            Some(char) if is_quotable(char) => Some(char),
            _ => None,
        };
        local.push(char.ok_or(BadAddress::Syntax)?);
    }
    if local.is_empty() {
        return Err(BadAddress::Syntax);
    }
    Ok((local, chars.as_str()))
}

fn is_atext(char: char) -> bool {
    char.is_ascii_alphanumeric()
        || "!#$%&'*+-/=?^_`{|}~".contains(char)
        || (!char.is_ascii() && !char.is_control())
}

fn is_quotable(char: char) -> bool {
    matches!(char, ' '..='~') || (!char.is_ascii() && !char.is_control())
}

/// A domain or an address literal. An underscore is taken where RFC 5321 has none:
/// there are hosts with such names, and what they send was accepted by whoever
/// speaks to us.
fn is_domain(domain: &str) -> bool {
    if let Some(literal) = domain.strip_prefix('[') {
        let inner = literal.strip_suffix(']').unwrap_or_default();
        return !inner.is_empty()
            && domain.len() <= MAX_DOMAIN_OCTETS
            && inner
                .bytes()
                .all(|octet| matches!(octet, b'!'..=b'Z' | b'^'..=b'~'));
    }
    let is_label = |label: &str| {
        let fits = |char: char| {
            char.is_ascii_alphanumeric()
                || matches!(char, '-' | '_')
                || (!char.is_ascii() && !char.is_control())
        };
        !label.is_empty()
            && label.len() <= MAX_LABEL_OCTETS
            && label.chars().all(fits)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    domain.len() <= MAX_DOMAIN_OCTETS && domain.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipient(path: &str) -> Result<String, BadAddress> {
        Address::recipient(path, true).map(|address| address.to_string())
    }

    #[test]
    fn mailboxes_are_read_and_written() {
        for (path, address) in [
            ("mrose@example.org", "mrose@example.org"),
            ("a+b=c/d@x", "a+b=c/d@x"),
            ("\"mrose\"@x", "mrose@x"),
            ("\"m\\r\\o\\se\"@x", "mrose@x"),
            ("\"a b\"@x", "\"a b\"@x"),
            ("\"a\\\"b\\\\\"@x", "\"a\\\"b\\\\\"@x"),
            ("\"a@b\"@x", "\"a@b\"@x"),
            ("\"a>b\"@x", "\"a>b\"@x"),
            ("a..b.@x", "\"a..b.\"@x"),
            ("a@[192.0.2.1]", "a@[192.0.2.1]"),
            ("a@[IPv6:2001:db8::1]", "a@[IPv6:2001:db8::1]"),
            ("a@some_host.example", "a@some_host.example"),
            ("@one.example,@two.example:a@b", "a@b"),
            ("@[192.0.2.1]:a@b", "a@b"),
            ("@[IPv6:2001:db8::1],@c:a@b", "a@b"),
            (
                "j\u{f6}rg@b\u{fc}cher.example",
                "j\u{f6}rg@b\u{fc}cher.example",
            ),
            ("Postmaster", "Postmaster"),
            ("POSTMASTER", "POSTMASTER"),
        ] {
            assert_eq!(recipient(path).as_deref(), Ok(address), "{path}");
            assert_eq!(recipient(address).as_deref(), Ok(address), "{path}");
        }
    }

    #[test]
    fn what_is_no_mailbox_is_refused() {
        for path in [
            "",
            "@",
            "@b",
            "a@",
            "a@b@c",
            "a b@c",
            "a@b c",
            "<a@b",
            "a@b>",
            "a,b@c",
            "a@-b",
            "a@b-",
            "a@b.",
            "a@.b",
            "a@b..c",
            "\"\"@b",
            "\"a@b",
            "a\"b\"@c",
            "\"a\"b@c",
            "a@[",
            "a@[]",
            "a@[b]c",
            "a@[a[b]",
            "@a",
            "@a:",
            "@a,b:c@d",
            "@:a@b",
            "@a;a@b",
            "@[1:a@b",
            "\"a\\",
            "\"a\u{7f}\"@b",
            "\"a\\\u{e4}\"@b",
            "a\u{85}@b",
            "a@b\u{85}",
            "a\0@b",
            "\"a\tb\"@c",
        ] {
            assert_eq!(recipient(path), Err(BadAddress::Syntax), "{path:?}");
        }
        assert_eq!(recipient("mrose"), Err(BadAddress::NoDomain));
        assert_eq!(recipient("@a:postmaster"), Err(BadAddress::NoDomain));
        assert_eq!(
            Address::sender("postmaster", false),
            Err(BadAddress::NoDomain)
        );
        assert_eq!(Address::sender("", false), Ok(None));
        for path in ["j\u{f6}rg@x", "a@\u{f6}"] {
            let ascii = Address::recipient(path, false);
            assert_eq!(ascii, Err(BadAddress::NotAscii));
        }
    }

    #[test]
    fn lengths_are_in_octets() {
        let domain = ["d".repeat(63), "d".repeat(63), "d".repeat(61)].join(".");
        let of = |octets: usize| format!("{}@{domain}", "l".repeat(octets - domain.len() - 1));
        assert!(recipient(&of(254)).is_ok());
        assert_eq!(recipient(&of(255)), Err(BadAddress::TooLong));
        assert_eq!(
            recipient(&format!("a@{}", "d".repeat(64))),
            Err(BadAddress::Syntax)
        );
    }
}

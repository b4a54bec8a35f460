//! What several sections are read with.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;

use super::claims::Claims;
use super::disk::Wanted;
use super::model::TlsVersion;
use super::problem::{Lines, Problem, quoted};
use super::section::{At, Located, Section, Value};
use super::server::{Pem, Utf8};

/// What the TOML parser says: the first problem of each line, since the others
/// on it are mostly its echoes. Nothing else is said of such a text, for what
/// was recovered from it may not be what was meant.
pub(super) fn syntax_problems(
    text: &str,
    file: &Path,
    errors: &[toml::de::Error],
) -> Vec<(At, Problem)> {
    let lines = Lines::of(text);
    let mut by_line = HashMap::new();
    for error in errors {
        let at = error.span().map_or(text.len(), |span| span.start);
        let problem = by_line
            .entry(lines.place(at).line)
            .or_insert((at, error.message()));
        if at < problem.0 {
            *problem = (at, error.message());
        }
    }
    let mut found: Vec<_> = by_line.into_values().collect();
    found.sort();
    let problem = |(at, message)| {
        let problem = Problem {
            file: file.to_owned(),
            place: Some(lines.place(at)),
            what: format!("not TOML: {message}"),
            mend: Some(syntax_mend(message).into()),
        };
        (at, problem)
    };
    found.into_iter().map(problem).collect()
}

fn syntax_mend(message: &str) -> &'static str {
    if message.starts_with("duplicate key") {
        "write each key and each [section] once"
    } else if message.contains("quote") {
        "write text in double quotes: key = \"value\""
    } else if message.contains("array") {
        "write [\"a\", \"b\"]"
    } else if message.contains("escape") {
        "write a backslash twice, or the text in single quotes"
    } else {
        "write [section] lines, and key = value lines below them"
    }
}

/// `certificate` and `key`, both or none.
pub(super) fn pem(section: &mut Section<'_, '_>, claims: &mut Claims) -> Option<Pem> {
    let certificate = section.take("certificate");
    let key = section.take("key");
    let alone = match (&certificate, &key) {
        (Some(certificate), None) => Some((certificate, "key")),
        (None, Some(key)) => Some((key, "certificate")),
        _ => None,
    };
    if let Some((one, other)) = alone {
        let mend = format!("add: {other} = \"/path/to/{other}.pem\"");
        one.bad::<()>(format_args!("has no `{other}` beside it"), mend);
    }
    // Even a broken one shows that TLS was thought of.
    claims.certificates |= certificate.is_some() || key.is_some();
    let report = section.report;
    let file = |value: Option<Value<'_, '_>>, role| {
        let path = value.and_then(|value| value.path())?;
        report
            .check_path(role, &path, Wanted::File)
            .then_some(path.value)
    };
    let (certificate, key) = (file(certificate, "certificate"), file(key, "key"));
    Some(Pem {
        certificate: certificate?,
        key: key?,
    })
}

pub(super) fn address(value: &Value<'_, '_>, example: &str) -> Option<Located<SocketAddr>> {
    let text = value.string("an address and a port, in quotes")?;
    match text.value.parse() {
        Ok(address) => Some(Located {
            value: address,
            at: text.at,
        }),
        Err(_) => value.bad(
            format_args!("is {}", quoted(&text.value)),
            format!(
                "write an IP address and a port: \"{example}\" (\"[::]\" is every address, \"127.0.0.1\" this machine alone)"
            ),
        ),
    }
}

pub(super) fn set<T>(slot: &mut T, read: Option<T>) {
    if let Some(read) = read {
        *slot = read;
    }
}

/// The oldest version of TLS. Of those that this server does not speak it says what helps
/// clients that have no newer one.
pub(super) fn tls_version(value: &Value<'_, '_>) -> Option<TlsVersion> {
    const WANTED: &str = "\"1.2\" or \"1.3\", in quotes";
    let text = value.string(WANTED)?.value;
    let number = text
        .trim_start_matches("TLS")
        .trim_start_matches(['v', ' ']);
    match (text.as_str(), number) {
        ("1.2", _) => Some(TlsVersion::V1_2),
        ("1.3", _) => Some(TlsVersion::V1_3),
        (_, "1" | "1.0" | "1.1") => value.bad(
            format_args!(
                "is {}: RFC 8996 forbids versions before TLS 1.2, and this server does not speak them",
                quoted(&text)
            ),
            "write \"1.2\"; for clients without it, put a TLS proxy that speaks older versions (HAProxy, stunnel) in front of a listener with tls = \"off\" and `proxy-protocol-from`",
        ),
        _ => value.bad(
            format_args!("is {}", quoted(&text)),
            format!("write {WANTED}"),
        ),
    }
}

/// `utf8`, of the server or of a tenant.
pub(super) fn utf8(section: &mut Section<'_, '_>) -> Option<Utf8> {
    let policies = [
        ("surrogate", Utf8::Surrogate),
        ("refuse", Utf8::Refuse),
        ("off", Utf8::Off),
    ];
    section
        .take("utf8")
        .and_then(|value| value.choice(&policies))
}

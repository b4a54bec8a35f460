//! What a store answers: ranges, and errors in XML.

use http::header::{CONTENT_LENGTH, CONTENT_RANGE};
use http::{HeaderMap, StatusCode};

/// Part of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Range {
    /// First octet.
    pub(super) start: u64,
    /// How many octets.
    pub(super) length: u64,
    /// Octets of the whole object.
    pub(super) total: u64,
}

/// The range that an answer of 200 or 206 brings. None: it does not say.
pub(super) fn range(status: StatusCode, headers: &HeaderMap) -> Option<Range> {
    if status != StatusCode::PARTIAL_CONTENT {
        let total = text(headers, CONTENT_LENGTH)?.parse().ok()?;
        let (start, length) = (0, total);
        return Some(Range {
            start,
            length,
            total,
        });
    }
    let (range, total) = text(headers, CONTENT_RANGE)?
        .strip_prefix("bytes ")?
        .split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (start, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
    let total: u64 = total.parse().ok()?;
    let length = last.checked_add(1)?.checked_sub(start)?;
    (start + length <= total).then_some(Range {
        start,
        length,
        total,
    })
}

/// Octets of the object that an answer of 416 is about.
pub(super) fn total(headers: &HeaderMap) -> Option<u64> {
    let total = text(headers, CONTENT_RANGE)?.strip_prefix("bytes */")?;
    total.parse().ok()
}

/// The code in an error's XML: a word for the log, from a store that may be anything.
pub(super) fn code(body: &[u8]) -> String {
    const MAX_CODE_OCTETS: usize = 64;
    let body = String::from_utf8_lossy(body);
    let code = body
        .split_once("<Code>")
        .and_then(|(_, rest)| rest.split_once("</Code>"));
    let code = code.map_or("", |(code, _)| code).trim();
    match code.len() <= MAX_CODE_OCTETS && code.bytes().all(|octet| octet.is_ascii_alphanumeric()) {
        true => code.to_owned(),
        false => String::new(),
    }
}

/// Whether an answer says that there is no such object. What else answers "404" (a proxy, another
/// program at this address, a bucket that is gone) knows nothing of objects.
pub(super) fn is_no_object(status: StatusCode, code: &str) -> bool {
    status == StatusCode::NOT_FOUND && code == "NoSuchKey"
}

/// To whom the key does not let list a bucket, some stores say so of each object that is not
/// there.
const FORBIDDEN: &str = ": see the credentials file, the region, and what the key may do with the bucket: \
     it has to read, write and delete objects, and to list the bucket";

/// What an operator can do about an answer.
pub(super) fn remedy(status: StatusCode, code: &str) -> &'static str {
    match code {
        "NoSuchBucket" => ": there is no such bucket: make it, or name another",
        "RequestTimeTooSkewed" => ": the clocks of the store and of this machine differ",
        "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "AccessDenied" => FORBIDDEN,
        "SlowDown" => ": it has too much to do",
        _ if status == StatusCode::NOT_FOUND => {
            ": a store says NoSuchKey of an object that is not there: see whether something else \
             answers at this endpoint"
        }
        _ if status.is_redirection() => ": the bucket is at another endpoint or in another region",
        _ if status == StatusCode::FORBIDDEN => FORBIDDEN,
        _ => "",
    }
}

fn text(headers: &HeaderMap, name: http::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(value: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_RANGE, value.parse().unwrap());
        headers.insert(CONTENT_LENGTH, "7".parse().unwrap());
        headers
    }

    #[test]
    fn ranges_are_what_they_say_or_none() {
        let of = |value| range(StatusCode::PARTIAL_CONTENT, &headers(value));
        let part = |start, length, total| {
            Some(Range {
                start,
                length,
                total,
            })
        };
        assert_eq!(of("bytes 2-4/10"), part(2, 3, 10));
        assert_eq!(of("bytes 0-0/1"), part(0, 1, 1));
        for wrong in [
            "bytes 2-4/4",
            "bytes 4-2/10",
            "bytes 2-4/*",
            "bytes */10",
            "2-4/10",
            "bytes a-b/c",
            "bytes 0-18446744073709551615/18446744073709551615",
            "bytes -1-4/10",
        ] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
        assert_eq!(
            range(StatusCode::OK, &headers("bytes 2-4/10")),
            part(0, 7, 7)
        );
        assert_eq!(total(&headers("bytes */10")), Some(10));
        assert_eq!(total(&headers("bytes 1-2/10")), None);
    }

    #[test]
    fn only_a_store_knows_that_there_is_no_object() {
        assert!(is_no_object(StatusCode::NOT_FOUND, "NoSuchKey"));
        for (status, code) in [
            (StatusCode::NOT_FOUND, ""),
            (StatusCode::NOT_FOUND, "NoSuchBucket"),
            (StatusCode::NOT_FOUND, "NotFound"),
            (StatusCode::FORBIDDEN, "NoSuchKey"),
        ] {
            assert!(!is_no_object(status, code), "{status} {code}");
        }
        assert!(remedy(StatusCode::NOT_FOUND, "").contains("at this endpoint"));
    }

    #[test]
    fn codes_are_words() {
        let of = |code: &str| super::code(format!("<Error><Code>{code}</Code></Error>").as_bytes());
        assert_eq!(of("NoSuchKey"), "NoSuchKey");
        for odd in ["", "a b", "a\nb", "<a/>", &"a".repeat(65)] {
            assert_eq!(of(odd), "", "{odd:?}");
        }
        assert_eq!(super::code(b"\xff<Code>"), "");
    }
}

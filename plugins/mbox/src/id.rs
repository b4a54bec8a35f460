//! What a message is called: towards clients, and between host and store.

use restante_guest::header;
use sha2::{Digest as _, Sha256};

use crate::index::Entry;

/// Octets of a digest that are kept.
const OCTETS: usize = 20;

/// The fields that who sent and delivered a message wrote, and nobody edits.
/// Dovecot, UW IMAP, mutt and Alpine add and change others in place: Status,
/// X-Status, X-Keywords, X-UID, X-IMAP, X-IMAPbase, Content-Length, Lines.
///
/// Changing this changes unique-ids: every client would fetch everything anew.
const FIELDS: [&str; 8] = [
    "date",
    "delivered-to",
    "from",
    "message-id",
    "received",
    "subject",
    "to",
    "x-delivery-id",
];

/// What tells a message from others: a digest over its From_ line, the fields of
/// [`FIELDS`], and what its body weighs on the wire. It does not depend on where
/// the message is or what is before it, so it stays when others are removed, by
/// whomever; and a body need not be read twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Digest(pub(crate) [u8; OCTETS]);

impl Digest {
    pub(crate) fn of(from_line: &[u8], header_section: &[u8], body_octets: u64) -> Digest {
        let mut hash = Sha256::new();
        hash.update(from_line);
        for field in header::fields(header_section) {
            let name = field.name.to_ascii_lowercase();
            if FIELDS.contains(&name.as_str()) {
                // No field holds a line end: it was unfolded.
                for part in ["\n", &name, ":", &field.value] {
                    hash.update(part);
                }
            }
        }
        hash.update("\n\n");
        hash.update(body_octets.to_le_bytes());
        let hash = hash.finalize();
        let mut digest = [0; OCTETS];
        digest.copy_from_slice(&hash[..OCTETS]);
        Digest(digest)
    }

    fn push(self, text: &mut String) {
        for octet in self.0 {
            for digit in [octet >> 4, octet & 15] {
                text.push(char::from(b"0123456789abcdef"[usize::from(digit)]));
            }
        }
    }
}

/// The unique-id. Of messages with one digest, which are copies of each other,
/// the first to come has the digest alone, the next ones a number behind it.
pub(crate) fn unique_id(digest: Digest, copy: u32) -> String {
    let mut text = String::with_capacity(2 * OCTETS);
    digest.push(&mut text);
    if copy > 1 {
        text.push_str(&format!("-{copy}"));
    }
    text
}

/// What the host hands back: where the message was when it was listed, and enough
/// to find out whether it still is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Name {
    pub(crate) start: u64,
    pub(crate) content: u64,
    pub(crate) body: u64,
    pub(crate) content_end: u64,
    pub(crate) end: u64,
    pub(crate) body_octets: u64,
    pub(crate) is_quoted: bool,
    pub(crate) unique_id: String,
}

impl Name {
    pub(crate) fn of(entry: &Entry, end: u64) -> Name {
        Name {
            start: entry.start,
            content: entry.content,
            body: entry.body,
            content_end: entry.content_end,
            end,
            body_octets: entry.body_octets,
            is_quoted: entry.is_quoted,
            unique_id: unique_id(entry.digest, entry.copy),
        }
    }

    /// The digest that its unique-id was made of.
    pub(crate) fn has_digest(&self, digest: Digest) -> bool {
        let mut text = String::with_capacity(2 * OCTETS);
        digest.push(&mut text);
        let own = self.unique_id.split('-').next().unwrap_or_default();
        own == text
    }

    pub(crate) fn render(&self) -> String {
        let Name {
            start,
            content,
            body,
            content_end,
            end,
            body_octets,
            is_quoted,
            unique_id,
        } = self;
        let quoted = u8::from(*is_quoted);
        format!("{start}/{content}/{body}/{content_end}/{end}/{body_octets}/{quoted}/{unique_id}")
    }

    pub(crate) fn parse(text: &str) -> Option<Name> {
        let mut parts = text.splitn(8, '/');
        let mut number = || parts.next()?.parse::<u64>().ok();
        let name = Name {
            start: number()?,
            content: number()?,
            body: number()?,
            content_end: number()?,
            end: number()?,
            body_octets: number()?,
            is_quoted: number()? == 1,
            unique_id: parts.next()?.to_owned(),
        };
        let rises = [
            name.start,
            name.content,
            name.body,
            name.content_end,
            name.end,
        ];
        rises.is_sorted().then_some(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FROM: &[u8] = b"From a@b Tue Nov 14 22:13:20 2023";

    #[test]
    fn what_mail_programs_write_does_not_change_the_digest() {
        let plain = b"Subject: x\r\nMessage-ID: <1>\r\n\r\n";
        let edited = b"X-IMAPbase: 1 2\nsubject:  x\nX-UID: 5\nMessage-Id: <1>\n\
            Status: RO\nX-Status: A\nContent-Length: 9\n\n";
        let digest = Digest::of(FROM, plain, 7);
        assert_eq!(digest, Digest::of(FROM, edited, 7));
        assert_ne!(digest, Digest::of(FROM, plain, 8));
        assert_ne!(digest, Digest::of(b"From c", plain, 7));
        let other = b"Subject: y\r\nMessage-ID: <1>\r\n\r\n";
        assert_ne!(digest, Digest::of(FROM, other, 7));
    }

    #[test]
    fn unique_ids_never_change_between_versions() {
        let digest = Digest::of(FROM, b"Subject: x\n\n", 7);
        let unique_id = unique_id(digest, 1);
        // SHA-256 over the same octets by another program.
        assert_eq!(unique_id, "de1a1b6865544b49237142e14d76546d4c3d50d6");
        assert_eq!(super::unique_id(digest, 12), format!("{unique_id}-12"));
    }

    #[test]
    fn a_name_comes_back_as_it_was() {
        let name = Name {
            start: 1,
            content: 2,
            body: 3,
            content_end: 40,
            end: u64::MAX,
            body_octets: 6,
            is_quoted: true,
            unique_id: "ab-2".into(),
        };
        let text = name.render();
        assert_eq!(Name::parse(&text), Some(name));
        for broken in [
            "",
            "1/2/3",
            "x/2/3/4/5/6/0/a",
            "5/4/3/2/1/0/0/a",
            "1/2/3/4/5/6/0",
        ] {
            assert_eq!(Name::parse(broken), None, "{broken}");
        }
    }
}

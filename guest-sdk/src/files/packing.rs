//! Files that are no mail, though they stand where mail is: compressed or encrypted by
//! another mail program.

/// Octets at the beginning of a file that [`packing`] needs.
pub const PACKING_OCTETS: u32 = 16;

/// How a file is compressed or encrypted, by its first [`PACKING_OCTETS`]: `"gzip"`,
/// `"zstd"`, … None: it may be mail. No message begins like that: a header is ASCII or
/// UTF-8 (RFC 5322, RFC 6532).
///
/// ```
/// use restante_guest::files::packing;
///
/// assert_eq!(packing(b"\x1f\x8b\x08\x00\x00\x00\x00\x00"), Some("gzip"));
/// assert_eq!(packing(b"Subject: BZh9\n"), None);
/// ```
pub fn packing(beginning: &[u8]) -> Option<&'static str> {
    /// Of a block, and of the end of an empty stream (bzip2's format).
    const BZIP2: [&[u8]; 2] = [b"1AY&SY", b"\x17\x72\x45\x38\x50\x90"];
    const PREFIXES: [(&[u8], &str); 9] = [
        (b"\x1f\x8b\x08", "gzip"),
        (b"\x28\xb5\x2f\xfd", "zstd"),
        (b"\xfd7zXZ\0", "xz"),
        (b"\x04\x22\x4d\x18", "lz4"),
        (b"Dovecot-LZ4\r\x2a\x9b\xc5", "lz4"),
        (b"\x1f\x9d", "compress"),
        (b"\x5d\0\0", "lzma"),
        // zlib, in its usual levels.
        (b"\x78\x9c", "zlib"),
        (b"CRYPTED\x03\x07", "Dovecot's mail_crypt"),
    ];
    if let Some(block) = beginning.strip_prefix(b"BZh")
        && let Some((b'1'..=b'9', block)) = block.split_first()
        && BZIP2.iter().any(|magic| block.starts_with(magic))
    {
        return Some("bzip2");
    }
    let mut prefixes = PREFIXES.into_iter();
    prefixes.find_map(|(prefix, format)| beginning.starts_with(prefix).then_some(format))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_told_by_their_first_octets() {
        for (beginning, expected) in [
            (&b"\x1f\x8b\x08\x08xxxx"[..], Some("gzip")),
            (b"\x28\xb5\x2f\xfd\x04\x00", Some("zstd")),
            (b"BZh91AY&SY\x00", Some("bzip2")),
            (b"BZh1\x17\x72\x45\x38\x50\x90", Some("bzip2")),
            (b"\xfd7zXZ\0\0", Some("xz")),
            (b"\x04\x22\x4d\x18\x64", Some("lz4")),
            (b"Dovecot-LZ4\r\x2a\x9b\xc5\0", Some("lz4")),
            (b"\x1f\x9d\x90", Some("compress")),
            (b"\x5d\0\0\x80", Some("lzma")),
            (b"\x78\x9c\x03", Some("zlib")),
            (b"CRYPTED\x03\x07\x02", Some("Dovecot's mail_crypt")),
            (b"", None),
            (b"\x1f\x8b", None),
            (b"BZh9", None),
            (b"BZh9: a header\r\n", None),
            (b"BZh01AY&SY", None),
            (b"CRYPTED: no\n", None),
            (b"Dovecot-LZ4: no\n", None),
            (b"x\n", None),
            (b"\xff\xfe", None),
        ] {
            assert_eq!(packing(beginning), expected, "{beginning:?}");
            assert!(beginning.len() <= PACKING_OCTETS as usize);
        }
    }
}

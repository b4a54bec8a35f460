//! How POP3 frames an exchange (RFC 5034 section 4): Base64, a line each.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::secret::Sensitive;
use crate::syntax::Malformed;

/// Decodes a line (RFC 4648 section 4): no character outside the alphabet, no
/// white space, padded at the end and only there.
pub(crate) fn decoded(line: &[u8]) -> Result<Sensitive, Malformed> {
    let mut octets = vec![0; base64::decoded_len_estimate(line.len())];
    let decoded = STANDARD.decode_slice(line, &mut octets);
    octets.truncate(*decoded.as_ref().unwrap_or(&0));
    let octets = Sensitive::from(octets);
    decoded.map(|_| octets).map_err(|_| Malformed::Base64)
}

/// A challenge as a line: "+", a space even in front of nothing, Base64.
pub(crate) fn challenge_line(challenge: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"+ ");
    out.extend_from_slice(STANDARD.encode(challenge).as_bytes());
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_strict() {
        for (line, octets) in [
            ("", &b""[..]),
            ("AA==", b"\0"),
            ("dGVzdAB0ZXN0AHRlc3Q=", b"test\0test\0test"),
            ("+/+/", b"\xfb\xff\xbf"),
        ] {
            assert_eq!(&*decoded(line.as_bytes()).unwrap(), octets, "{line}");
        }
        for line in [
            "=",
            "A",
            "AA",
            "AAA",
            "AA=",
            "AAAAA",
            "=AAA",
            "AAA=BBB",
            "AAA=BBBB",
            "AA==AA==",
            "A===",
            "AAAA====",
            "AAAA=",
            "AB==",
            "AAB=",
            " AAAA",
            "AAAA ",
            "AA AA",
            "AA\tAA",
            "AAA-",
            "AAA_",
            "*",
            "\u{e4}\u{e4}",
        ] {
            let error = decoded(line.as_bytes()).map(|octets| octets.to_vec());
            assert_eq!(error, Err(Malformed::Base64), "{line}");
        }
    }

    #[test]
    fn challenges_keep_their_space() {
        let mut out = Vec::new();
        challenge_line(b"", &mut out);
        challenge_line(b"Password:", &mut out);
        assert_eq!(out, b"+ \r\n+ UGFzc3dvcmQ6\r\n");
    }
}

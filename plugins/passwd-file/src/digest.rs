//! APOP (RFC 1939 section 7) and CRAM-MD5 (RFC 2195): what comes of a challenge
//! and a password that both sides know.

use std::fmt::Write;

use hmac::{Hmac, KeyInit, Mac};
use md5::{Digest, Md5};
use restante_guest::authenticator::DigestAlgorithm;
use subtle::ConstantTimeEq;

/// What a client made of a challenge.
pub(crate) struct Response {
    pub(crate) algorithm: DigestAlgorithm,
    pub(crate) challenge: String,
    /// Lower-case hexadecimal.
    pub(crate) digest: String,
}

impl Response {
    /// Whether it was made with this password, in constant time.
    pub(crate) fn is_made_with(&self, password: &str) -> bool {
        let octets = match self.algorithm {
            DigestAlgorithm::Md5 => Md5::new()
                .chain_update(&self.challenge)
                .chain_update(password)
                .finalize(),
            DigestAlgorithm::HmacMd5 => <Hmac<Md5> as KeyInit>::new_from_slice(password.as_bytes())
                .expect("HMAC takes a key of any length")
                .chain_update(&self.challenge)
                .finalize()
                .into_bytes(),
        };
        let mut expected = String::with_capacity(2 * octets.len());
        for octet in octets {
            write!(expected, "{octet:02x}").expect("a String takes everything");
        }
        expected.as_bytes().ct_eq(self.digest.as_bytes()).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of RFC 1939 section 7 and of RFC 2195 section 2.
    #[test]
    fn the_examples_of_the_rfcs() {
        for (algorithm, challenge, digest, password) in [
            (
                DigestAlgorithm::Md5,
                "<1896.697170952@dbc.mtview.ca.us>",
                "c4c9334bac560ecc979e58001b3e22fb",
                "tanstaaf",
            ),
            (
                DigestAlgorithm::HmacMd5,
                "<1896.697170952@postoffice.reston.mci.net>",
                "b913a602c7eda7a495b4e6e7334d3890",
                "tanstaaftanstaaf",
            ),
        ] {
            let mut response = Response {
                algorithm,
                challenge: challenge.to_owned(),
                digest: digest.to_owned(),
            };
            assert!(response.is_made_with(password), "{challenge}");
            for wrong in ["", "tanstaa", "tanstaaF", "tanstaaftanstaaftanstaaf"] {
                assert!(!response.is_made_with(wrong), "{challenge} {wrong}");
            }
            response.digest.truncate(31);
            assert!(!response.is_made_with(password));
            response.digest.clear();
            assert!(!response.is_made_with(password));
            response.digest = digest.to_owned();
            response.challenge.push('>');
            assert!(!response.is_made_with(password));
        }
    }
}

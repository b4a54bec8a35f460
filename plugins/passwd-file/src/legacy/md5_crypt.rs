//! The crypt(3) of FreeBSD 2: MD5, a thousand times.

use md5::{Digest, Md5};

/// How its strings begin.
pub(super) const MAGIC: &str = "$1$";
/// crypt(3) takes no more of a salt.
pub(super) const MAX_SALT_OCTETS: usize = 8;
/// Characters of a digest.
pub(super) const DIGEST_OCTETS: usize = 22;

const ROUNDS: usize = 1000;

/// The digits of crypt(3), by their value.
const DIGITS: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Which octets of the digest are written together, the most significant one first.
const ORDER: [[usize; 3]; 5] = [[0, 6, 12], [1, 7, 13], [2, 8, 14], [3, 9, 15], [4, 10, 5]];

/// What stands behind `$1$SALT$`.
pub(super) fn digest(secret: &[u8], salt: &[u8]) -> String {
    let inner = Md5::new().chain_update(secret).chain_update(salt);
    let inner = inner.chain_update(secret).finalize();
    let mut first = Md5::new()
        .chain_update(secret)
        .chain_update(MAGIC)
        .chain_update(salt);
    // As many octets of it as the password has.
    for octets in secret.chunks(inner.len()) {
        first.update(&inner[..octets.len()]);
    }
    // By the bits of the password's length: a NUL for each one, the password's first octet for
    // each zero. (A fault of the first program, and a part of the algorithm since.)
    let mut length = secret.len();
    while length > 0 {
        match length & 1 {
            1 => first.update([0]),
            _ => first.update(&secret[..1]),
        }
        length >>= 1;
    }
    let mut digest = first.finalize();
    for round in 0..ROUNDS {
        let mut next = Md5::new();
        let odd = round % 2 == 1;
        match odd {
            true => next.update(secret),
            false => next.update(digest),
        }
        if round % 3 != 0 {
            next.update(salt);
        }
        if round % 7 != 0 {
            next.update(secret);
        }
        match odd {
            true => next.update(digest),
            false => next.update(secret),
        }
        digest = next.finalize();
    }
    let mut text = String::with_capacity(DIGEST_OCTETS);
    for [high, middle, low] in ORDER {
        let octets = [0, digest[high], digest[middle], digest[low]];
        write(&mut text, u32::from_be_bytes(octets), 4);
    }
    write(&mut text, u32::from(digest[11]), 2);
    text
}

/// Six bits a digit, the lowest first.
fn write(text: &mut String, mut bits: u32, digits: usize) {
    for _ in 0..digits {
        text.push(char::from(DIGITS[(bits & 0x3f) as usize]));
        bits >>= 6;
    }
}

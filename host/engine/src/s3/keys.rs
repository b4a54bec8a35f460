//! Which key a blob's path is.

use sha2::{Digest, Sha256};

use crate::blobs::BlobPath;

/// Octets of a key that every store takes.
const MAX_KEY_OCTETS: usize = 1024;

/// Two octets of a hash come first: stores spread load by what keys begin with. Paths too
/// long for a key have one of a hash; no path has the folder that those are in.
pub(super) fn key(prefix: &str, path: &BlobPath) -> String {
    let hash = Sha256::digest(path.as_str());
    let spread = format!("{:02x}", hash[0]);
    let key = format!("{prefix}{spread}/{path}");
    if key.len() <= MAX_KEY_OCTETS {
        return key;
    }
    let hash: String = hash.iter().map(|octet| format!("{octet:02x}")).collect();
    format!("{prefix}{spread}-long/{hash}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_of_a_path_are_where_they_were() {
        // A change of this would lose all mail: SHA-256 of "mail/ab12" by sha256sum.
        let path = BlobPath::new("mail/ab12").unwrap();
        assert_eq!(key("", &path), "71/mail/ab12");
        assert_eq!(key("x/y/", &path), "x/y/71/mail/ab12");
        let long = "ab/".repeat(340);
        let paths = ["a", "b"].map(|last| BlobPath::new(format!("{long}{last}")).unwrap());
        let keys = paths.map(|path| key("mail/", &path));
        assert_ne!(keys[0], keys[1]);
        for key in keys {
            assert!(
                key.starts_with("mail/") && key.contains("-long/") && key.len() < 100,
                "{key}"
            );
        }
    }
}

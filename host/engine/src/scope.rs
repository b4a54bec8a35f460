//! Which blobs are a maildrop's own: what its store names is below a part of the engine that
//! no other maildrop has.

use std::fmt::Write;

use sha2::{Digest, Sha256};

use crate::blobs::BlobPath;
use crate::problem::Problem;

/// The name of an engine's own blobs among the places of its index ([`crate::Placed`]). It
/// does not follow the name that a configuration gives the engine, which may change.
pub const OWN_PLACE: &str = "own";

/// Octets of a digest that tell a maildrop from all others.
const DIGEST_OCTETS: usize = 16;

/// The path in an engine of the blob that the store of this maildrop calls `path`. It begins
/// with the maildrop's own part, which `path` does not lead out of. That part begins with two
/// digits of a hash, so that an object store can spread maildrops over its servers.
///
/// # Errors
/// [`Problem::Invalid`] if `path` is none, or too long with what stands before it.
pub fn blob_of_maildrop(tenant: &str, maildrop: &str, path: &str) -> Result<BlobPath, Problem> {
    let path = BlobPath::new(path)?;
    let mut hash = Sha256::new();
    hash.update(tenant);
    // No name has one in it: where the one ends and the other begins is plain.
    hash.update([0]);
    hash.update(maildrop);
    let mut digits = String::new();
    for octet in &hash.finalize()[..DIGEST_OCTETS] {
        // A String takes whatever is written to it.
        let _ = write!(digits, "{octet:02x}");
    }
    BlobPath::new(format!("{}/{digits}/{path}", &digits[..2]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scoped(tenant: &str, maildrop: &str, path: &str) -> String {
        let path = blob_of_maildrop(tenant, maildrop, path).unwrap();
        path.as_str().to_owned()
    }

    #[test]
    fn the_blobs_of_a_maildrop_are_where_they_were() {
        // A change of this would lose all mail: the digits are those of
        // `printf 'acme\0acme.example/alice' | sha256sum`.
        assert_eq!(
            scoped("acme", "acme.example/alice", "2026/ab12"),
            "ea/eaf5953434d0f24b825f82b82698362c/2026/ab12"
        );
    }

    #[test]
    fn no_two_maildrops_have_a_blob_in_common() {
        let parts = ["a", "b", "ab", "a/b", "", "a\u{1}"];
        let mut all = Vec::new();
        for tenant in parts {
            for maildrop in parts {
                all.push(scoped(tenant, maildrop, "x"));
            }
        }
        all.sort();
        let count = all.len();
        all.dedup();
        assert_eq!(all.len(), count);
    }

    #[test]
    fn no_path_leads_out_of_the_maildrop() {
        let elsewhere = scoped("b", "b", "x");
        for path in [
            "../x",
            "a/../../x",
            "/x",
            "./x",
            "",
            "x//y",
            &format!("/{elsewhere}"),
        ] {
            let refused = blob_of_maildrop("a", "a", path);
            assert!(matches!(refused, Err(Problem::Invalid(_))), "{path:?}");
        }
        let own = scoped("a", "a", "x");
        let part = &own[..own.len() - 1];
        for path in ["x", "a/b", &elsewhere, "\u{e4}", "..."] {
            assert!(scoped("a", "a", path).starts_with(part), "{path:?}");
        }
        let long = "a/".repeat(500) + "b";
        assert!(BlobPath::new(long.clone()).is_ok());
        assert!(blob_of_maildrop("a", "a", &long).is_err());
    }
}

//! Names in a bounded space: what is remembered of users, accounts and networks beyond a
//! session is remembered under 64 bits of theirs, however long a plugin or a client makes
//! its names.

use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::LazyLock;

/// Keyed at random, for this process: nobody finds two names that have the same.
static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// Of a name, or of several things together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(u64);

impl Fingerprint {
    /// The same for the same things, as long as this process runs.
    pub fn of(name: impl Hash) -> Self {
        Fingerprint(KEY.hash_one(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_tell_names_apart_and_hold_nothing_of_them() {
        let long = "x".repeat(64 << 10);
        assert_eq!(Fingerprint::of(&long), Fingerprint::of(long.as_str()));
        assert_ne!(Fingerprint::of(&long), Fingerprint::of("x"));
        assert_ne!(Fingerprint::of(("a", "bc")), Fingerprint::of(("ab", "c")));
        assert_eq!(size_of::<Fingerprint>(), 8);
    }
}

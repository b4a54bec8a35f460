//! What clients may be offered, by what the file keeps.

use std::collections::BTreeMap;
use std::io::{self, BufRead};

use restante_guest::accepts::Kinds;
use restante_guest::scram::Hash;

use crate::Verify;
use crate::file::{Line, Rules, each_line, parse};
use crate::hash::kind;

/// Kinds of hashes that are told apart.
const MAX_KINDS: usize = 32;

/// The kinds of credentials that can be judged. Clients like SCRAM better than a
/// password, so one user without keys is enough to keep it from all; but not one whose line
/// nobody can log in with.
pub(crate) fn kinds(
    file: impl BufRead,
    rules: Rules,
    verify: &mut Verify<'_>,
) -> io::Result<Kinds> {
    let mut kinds = Kinds::PASSWORD;
    let mut mechanisms = [
        Mechanism::new(Hash::Sha1, Kinds::SCRAM_SHA1),
        Mechanism::new(Hash::Sha256, Kinds::SCRAM_SHA256),
    ];
    each_line(file, |_, line| {
        // The user of a broken line is locked.
        let Some(Line::Entry(entry)) = parse(line, rules) else {
            return;
        };
        if entry.hash.is_locked() {
            return;
        }
        let clear = entry.hash.clear().is_some();
        if clear {
            kinds = kinds | Kinds::DIGEST;
        }
        for mechanism in &mut mechanisms {
            if clear || entry.hash.scram(mechanism.hash).is_some() {
                mechanism.with_keys = true;
            } else {
                mechanism.without(entry.hash.for_passwords());
            }
        }
    })?;
    for mechanism in mechanisms {
        if mechanism.locks_nobody_out(verify) {
            kinds = kinds | mechanism.kind;
        }
    }
    Ok(kinds)
}

struct Mechanism {
    hash: Hash,
    kind: Kinds,
    /// Whether any user could log in by it.
    with_keys: bool,
    /// A hash of each kind that users without keys have instead.
    instead: BTreeMap<String, String>,
    /// Whether somebody without keys can log in otherwise, for all that is known here.
    locks_out: bool,
}

impl Mechanism {
    fn new(hash: Hash, kind: Kinds) -> Self {
        Mechanism {
            hash,
            kind,
            with_keys: false,
            instead: BTreeMap::new(),
            locks_out: false,
        }
    }

    fn without(&mut self, hash: &str) {
        // Without a known beginning it is no hash.
        let Some(kind) = kind(hash) else {
            return;
        };
        if self.instead.contains_key(kind) {
            return;
        }
        if self.instead.len() == MAX_KINDS {
            self.locks_out = true;
        } else {
            self.instead.insert(kind.to_owned(), hash.to_owned());
        }
    }

    /// Asks for as little as possible: to verify takes its time.
    fn locks_nobody_out(&self, verify: &mut Verify<'_>) -> bool {
        let can_log_in = |hash: &String| verify(hash, "a secret for trial").is_ok();
        self.with_keys && !self.locks_out && !self.instead.values().any(can_log_in)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA1: &str = "{SCRAM-SHA-1}4096,QSXCR+Q6sek8bf92,6dlGYMOdZcOPutkcNY8U2g7vK9Y=,D+CSWLOshSulAsxiupA+qs2/fTE=";
    const SHA256: &str = "{SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";

    #[test]
    fn what_every_user_has_keys_for_is_offered() {
        let none = Kinds::empty();
        let both = Kinds::SCRAM_SHA1 | Kinds::SCRAM_SHA256;
        for (lines, beside_passwords) in [
            (vec![], none),
            (vec!["!{PLAIN}x"], none),
            (vec!["{PLAIN}x"], both | Kinds::DIGEST),
            (vec!["$6$x"], none),
            (vec!["{PLAIN}x", "$6$x"], Kinds::DIGEST),
            (vec!["{PLAIN}x", "!$6$x", "*"], both | Kinds::DIGEST),
            (vec![SHA256], Kinds::SCRAM_SHA256),
            (vec![SHA256, SHA1], none),
            (vec![SHA1, "{PLAIN}x"], Kinds::SCRAM_SHA1 | Kinds::DIGEST),
            (vec!["$6$x", "BOTH"], none),
            (vec!["BOTH"], both),
            (vec!["BOTH", SHA1], Kinds::SCRAM_SHA1),
        ] {
            let mut file = String::from("# nobody\n\n");
            for (user, hash) in lines.iter().enumerate() {
                let hash = hash.replace("BOTH", &format!("$6$x|{SHA256}|{SHA1}"));
                file += &format!("user-{user}:{hash}\n");
            }
            let kinds = kinds(file.as_bytes(), Rules::default(), &mut |_, _| Ok(false)).unwrap();
            assert_eq!(kinds, Kinds::PASSWORD | beside_passwords, "{lines:?}");
        }
    }

    /// One bad line costs one user.
    #[test]
    fn a_line_that_nobody_can_log_in_with_takes_scram_from_nobody() {
        let mut tried = Vec::new();
        let file =
            format!("a:{SHA256}\nb:{{MD9}}x\nc:no-hash\nd:{{SHA}}x\ne\nf:{{PLAIN}}\ng:{{MD9}}y\n");
        let kinds = kinds(file.as_bytes(), Rules::default(), &mut |hash, _| {
            tried.push(hash.to_owned());
            Err("not supported".into())
        });
        assert_eq!(kinds.unwrap(), Kinds::PASSWORD | Kinds::SCRAM_SHA256);
        assert_eq!(tried, ["{MD9}x"]);
    }
}

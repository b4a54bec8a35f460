//! What clients may be offered, by what the file keeps.

use std::io::{self, BufRead};

use restante_guest::accepts::Kinds;
use restante_guest::scram::Hash;
use restante_guest::users::Case;

use crate::file::{Line, each_line, parse};

/// The kinds of credentials that can be judged. Clients like SCRAM better than a
/// password, so one user without keys is enough to keep it from all.
pub(crate) fn kinds(file: impl BufRead, case: Case) -> io::Result<Kinds> {
    let scram = [
        (Hash::Sha1, Kinds::SCRAM_SHA1),
        (Hash::Sha256, Kinds::SCRAM_SHA256),
    ];
    let mut users = false;
    let mut kinds = Kinds::PASSWORD;
    let mut keys_for_all = [true; 2];
    each_line(file, |_, line| {
        // A broken line keeps the file from being used at all.
        let Some(Line::Entry(entry)) = parse(line, case) else {
            return;
        };
        if entry.hash.is_locked() {
            return;
        }
        users = true;
        if entry.hash.clear().is_some() {
            kinds = kinds | Kinds::DIGEST;
            return;
        }
        for (has_keys, (hash, _)) in keys_for_all.iter_mut().zip(scram) {
            *has_keys &= entry.hash.scram(hash).is_some();
        }
    })?;
    for (has_keys, (_, kind)) in keys_for_all.into_iter().zip(scram) {
        if users && has_keys {
            kinds = kinds | kind;
        }
    }
    Ok(kinds)
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
            let kinds = kinds(file.as_bytes(), Case::Exact).unwrap();
            assert_eq!(kinds, Kinds::PASSWORD | beside_passwords, "{lines:?}");
        }
    }
}

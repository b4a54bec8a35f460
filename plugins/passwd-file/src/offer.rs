//! What clients may be offered, by what the file keeps.

use std::io::{self, BufRead};

use restante_guest::accepts::Kinds;
use restante_guest::scram::Hash;
use restante_guest::users::Case;

use crate::file::{Line, each_line, parse};

/// Lines of users who lack something that are named; of more, only the number.
const LINES: usize = 10;

/// What can be offered, and whom it would lock out.
pub(crate) struct Offer {
    /// The kinds of credentials that can be judged.
    pub(crate) kinds: Kinds,
    /// For the operator: what some users have and others have not.
    pub(crate) warnings: Vec<String>,
}

/// Users who lack something that others have.
#[derive(Default)]
struct Gap {
    others: bool,
    without: usize,
    lines: Vec<String>,
}

impl Gap {
    fn user(&mut self, number: usize, has_it: bool) {
        if has_it {
            self.others = true;
            return;
        }
        self.without += 1;
        if self.lines.len() < LINES {
            self.lines.push(number.to_string());
        }
    }

    /// Which users, where it is not all or none of them.
    fn who(&self) -> Option<String> {
        if self.without == 0 || !self.others {
            return None;
        }
        let more = if self.without > self.lines.len() {
            ", and more"
        } else {
            ""
        };
        let lines = self.lines.join(", ");
        Some(format!(
            "{} of the users (lines {lines}{more})",
            self.without
        ))
    }
}

/// What the file has for its users. Clients like SCRAM better than a password, so one
/// user without keys is enough to keep it from all, unless a tenant offers it anyway.
pub(crate) fn of_file(file: impl BufRead, case: Case) -> io::Result<Offer> {
    let scram = [
        (Hash::Sha1, Kinds::SCRAM_SHA1),
        (Hash::Sha256, Kinds::SCRAM_SHA256),
    ];
    let mut users = false;
    let mut kinds = Kinds::PASSWORD;
    let mut keys_for_all = [true; 2];
    let (mut keys, mut clear) = (Gap::default(), Gap::default());
    each_line(file, |number, line| {
        // A broken line keeps the file from being used at all.
        let Some(Line::Entry(entry)) = parse(line, case) else {
            return;
        };
        if entry.hash.is_locked() {
            return;
        }
        users = true;
        let is_clear = entry.hash.clear().is_some();
        clear.user(number, is_clear);
        keys.user(number, is_clear || entry.hash.scram(Hash::Sha256).is_some());
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
    let keys = keys.who().map(|who| {
        format!(
            "{who} have no keys for SCRAM-SHA-256: it is offered to nobody, unless the tenant has \
             `scram = \"on\"`, and then they cannot log in with it"
        )
    });
    let clear = clear.who().map(|who| {
        format!(
            "{who} have no {{PLAIN}} password: they cannot log in with APOP and CRAM-MD5, if the \
             tenant turns these on"
        )
    });
    Ok(Offer {
        kinds,
        warnings: keys.into_iter().chain(clear).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA1: &str = "{SCRAM-SHA-1}4096,QSXCR+Q6sek8bf92,6dlGYMOdZcOPutkcNY8U2g7vK9Y=,D+CSWLOshSulAsxiupA+qs2/fTE=";
    const SHA256: &str = "{SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";

    #[test]
    fn whom_a_mechanism_would_lock_out_is_told_by_line() {
        let warnings = |file: &str| of_file(file.as_bytes(), Case::Exact).unwrap().warnings;
        let nothing: [&str; 0] = [];
        for file in [
            "a:$6$x\nb:$6$x\n".to_owned(),
            "a:{PLAIN}x\nb:!$6$x\n".to_owned(),
            format!("a:{SHA256}\n"),
        ] {
            assert_eq!(warnings(&file), nothing, "{file}");
        }
        let some = warnings(&format!("# users\na:$6$x\nb:{SHA256}\nc:$6$x\n"));
        assert_eq!(some.len(), 1);
        assert!(some[0].starts_with("2 of the users (lines 2, 4) have no keys for SCRAM-SHA-256"));
        let some = warnings(&format!("a:{{PLAIN}}x\nb:{SHA256}\n"));
        assert_eq!(some.len(), 1);
        assert!(some[0].starts_with("1 of the users (lines 2) have no {PLAIN} password"));
        let many = "a:$6$x\n".repeat(11) + "b:{PLAIN}x\n";
        let many = warnings(&many);
        assert_eq!(many.len(), 2);
        assert!(
            many[0].starts_with("11 of the users (lines 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, and more)")
        );
    }

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
            let offer = of_file(file.as_bytes(), Case::Exact).unwrap();
            assert_eq!(offer.kinds, Kinds::PASSWORD | beside_passwords, "{lines:?}");
        }
    }
}

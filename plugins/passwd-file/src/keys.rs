//! SCRAM: the keys of a user, kept in the file or made of what is kept there.

use restante_guest::passwords::ScramKeys;
use restante_guest::prelude::*;
use restante_guest::scram::{Hash, Keys};

use crate::file::{Entry, Search};
use crate::{Settings, locked, usable};

/// Makes keys for a user of a password in the clear.
pub(crate) type Derive<'a> = dyn FnMut(&str, &str, Hash) -> Result<ScramKeys, String> + 'a;

/// Whose keys are wanted.
pub(crate) struct Wanted {
    pub(crate) user: String,
    pub(crate) acting_as: Option<String>,
    pub(crate) hash: Hash,
}

/// A search for what stands in for a password in the clear becomes keys. If the
/// file has such a password, keys are made of one for everybody: to make them takes
/// milliseconds, to read them none.
pub(crate) fn look_up(
    settings: &Settings,
    mut search: Search,
    wanted: &Wanted,
    derive: &mut Derive<'_>,
) -> Result<Keys, Denial> {
    let usable = usable(settings, search.found.take());
    let own = match &usable {
        Ok((_, entry)) => entry.hash.clear(),
        Err(_) => None,
    };
    let made = own
        .or(search.password())
        .map(|secret| derive(&wanted.user, secret, wanted.hash));
    let (number, entry) = usable?;
    let keys = match (entry.hash.clear(), made) {
        (Some(_), Some(made)) => made.map_err(|problem| locked(settings, number, &problem))?,
        _ => entry.hash.scram(wanted.hash).ok_or_else(|| {
            // Whoever was added since the file was looked over for what to offer.
            log::warn!(
                "{}: line {number}: the user asks for SCRAM and has no keys",
                settings.file
            );
            Denial::Rejected
        })?,
    };
    Ok(with_account(keys, settings, entry, wanted))
}

fn with_account(keys: ScramKeys, settings: &Settings, entry: Entry, wanted: &Wanted) -> Keys {
    let may = entry.may_act_as(wanted.acting_as.as_deref(), settings.rules.case);
    Keys {
        salt: keys.salt,
        iterations: keys.iterations,
        stored_key: keys.stored_key,
        server_key: keys.server_key,
        account: may.then(|| entry.into_account()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::{StandIn, search};

    const SHA256: &str = "{SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";

    /// Asks for keys; says which secrets keys were made of, and for whom.
    fn ask(
        file: &str,
        case: &str,
        user: &str,
        acting_as: Option<&str>,
        hash: Hash,
    ) -> (Result<Keys, Denial>, String) {
        let settings = Settings::parse(vec![
            ("file".into(), "/users/passwd".into()),
            ("case".into(), case.into()),
        ])
        .unwrap();
        let wanted = Wanted {
            user: user.into(),
            acting_as: acting_as.map(str::to_owned),
            hash,
        };
        let search = search(file.as_bytes(), user, settings.rules, StandIn::Clear).unwrap();
        let mut made = Vec::new();
        let keys = look_up(&settings, search, &wanted, &mut |user, secret, hash| {
            made.push(format!("{user}={secret}"));
            Ok(ScramKeys {
                salt: user.into(),
                iterations: 5000,
                stored_key: vec![1; if hash == Hash::Sha1 { 20 } else { 32 }],
                server_key: secret.into(),
            })
        });
        (keys, made.join(" "))
    }

    fn file() -> String {
        format!(
            "alice:$6$hash|{SHA256}:a/drop\n\
             locked:!{SHA256}\n\
             Bob:{{PLAIN}}builder\n\
             carl:{{CLEAR}}x\n\
             broken:{{PLAIN}}\n"
        )
    }

    #[test]
    fn kept_keys_are_handed_out() {
        let (keys, made) = ask(&file(), "exact", "alice", None, Hash::Sha256);
        let keys = keys.unwrap();
        assert_eq!((keys.salt.len(), keys.iterations), (16, 4096));
        assert_eq!(keys.stored_key[..3], [0x58, 0x6e, 0x5d]);
        assert_eq!(keys.server_key[..3], [0xc1, 0xf3, 0xcb]);
        assert_eq!(keys.account.unwrap().maildrop, "a/drop");
        // No sooner than those whose keys are made.
        assert_eq!(made, "alice=builder");
        let (keys, made) = ask(&file(), "exact", "alice", None, Hash::Sha1);
        assert!(matches!(keys, Err(Denial::Rejected)));
        assert_eq!(made, "alice=builder");
    }

    #[test]
    fn keys_are_made_of_a_password_in_the_clear() {
        for hash in [Hash::Sha1, Hash::Sha256] {
            let (keys, made) = ask(&file(), "exact", "Bob", None, hash);
            let keys = keys.unwrap();
            assert_eq!((keys.salt, keys.iterations), (b"Bob".to_vec(), 5000));
            assert_eq!(keys.server_key, b"builder");
            assert_eq!(keys.account.unwrap().user, "Bob");
            assert_eq!(made, "Bob=builder");
        }
        // The host's salts go by the name as it was given.
        let (keys, made) = ask(&file(), "fold", "BOB", None, Hash::Sha1);
        assert_eq!(keys.unwrap().account.unwrap().user, "bob");
        assert_eq!(made, "BOB=builder");
    }

    #[test]
    fn nobody_is_told_sooner() {
        for (user, unknown) in [("nobody", true), ("locked", false), ("", true)] {
            let (keys, made) = ask(&file(), "exact", user, None, Hash::Sha256);
            match keys {
                Err(Denial::Unknown) => assert!(unknown, "{user}"),
                Err(Denial::Rejected) => assert!(!unknown, "{user}"),
                other => panic!("{user}: {other:?}"),
            }
            assert_eq!(made, format!("{user}=builder"));
        }
        let (keys, made) = ask(&file(), "exact", "broken", None, Hash::Sha1);
        assert!(matches!(keys, Err(Denial::Rejected)), "{keys:?}");
        assert_eq!(made, "broken=builder");
        // Where nobody's keys are made, none are.
        for user in ["alice", "nobody"] {
            let line = format!("alice:{SHA256}\n");
            let (_, made) = ask(&line, "exact", user, None, Hash::Sha256);
            assert_eq!(made, "");
        }
    }

    #[test]
    fn keys_without_an_account_for_who_wants_to_be_another() {
        for (case, user, acting_as, may) in [
            ("exact", "alice", "alice", true),
            ("exact", "alice", "Alice", false),
            ("exact", "alice", "carl", false),
            ("exact", "Bob", "carl", false),
            ("fold", "Alice", "aLICE", true),
            ("fold", "Alice", "carl", false),
        ] {
            let (keys, _) = ask(&file(), case, user, Some(acting_as), Hash::Sha256);
            assert_eq!(keys.unwrap().account.is_some(), may, "{user} {acting_as}");
        }
    }

    #[test]
    fn keys_that_cannot_be_made_lock_their_user_alone() {
        let settings = Settings::parse(vec![("file".into(), "/users/passwd".into())]).unwrap();
        for (user, known) in [("Bob", true), ("nobody", false)] {
            let found = search(file().as_bytes(), user, settings.rules, StandIn::Clear).unwrap();
            let wanted = Wanted {
                user: user.into(),
                acting_as: None,
                hash: Hash::Sha1,
            };
            let keys = look_up(&settings, found, &wanted, &mut |_, _, _| Err("no".into()));
            match keys {
                Err(Denial::Rejected) => assert!(known),
                Err(Denial::Unknown) => assert!(!known),
                other => panic!("{other:?}"),
            }
        }
    }
}

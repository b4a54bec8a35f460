use restante_guest::scram::{Hash, Keys, Scram};

use super::*;
use crate::SqlUsers;

const SHA256: &str = "4096,W22ZaJ0SNY7soEsUEjb6gQ==,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";

fn look_up(user: &str, acting_as: Option<&str>, hash: Hash) -> Result<Keys, Denial> {
    let acting_as = acting_as.map(str::to_owned);
    SqlUsers::lookup(testing::connection(), user.into(), acting_as, hash)
}

fn ann() -> Result<Keys, Denial> {
    look_up("ann", None, Hash::Sha256)
}

#[test]
fn keys_come_with_the_account() {
    set_up(&[]);
    for text in [SHA256, &format!("{{SCRAM-SHA-256}}{SHA256}")] {
        knows_ann(
            &["password", "scram_sha_256", "maildrop"],
            row(&["$6$x", text, "a/ann"]),
        );
        let keys = ann().unwrap();
        assert_eq!((keys.iterations, keys.salt.len()), (4096, 16));
        assert_eq!(keys.stored_key[..3], [0x58, 0x6e, 0x5d]);
        assert_eq!(keys.server_key[..3], [0xc1, 0xf3, 0xcb]);
        assert_eq!(keys.account.unwrap().maildrop, "a/ann");
    }
    assert!(matches!(
        look_up("bob", None, Hash::Sha256),
        Err(Denial::Unknown)
    ));
    assert!(matches!(
        look_up("ann", None, Hash::Sha1),
        Err(Denial::Rejected)
    ));
    knows_ann(&["scram_sha_256"], row(&[SHA256]));
    assert_eq!(ann().unwrap().account, Some(Account::new("ann")));
}

#[test]
fn a_user_without_keys_or_with_a_lock_is_rejected() {
    set_up(&[]);
    for (password, keys, words) in [
        ("$6$x".into(), Value::Null, "no keys for SCRAM-SHA-256"),
        ("$6$x".into(), "4096".into(), "scram_sha_256: must be"),
        ("$6$x".into(), 1.into(), "scram_sha_256: must be"),
        ("".into(), SHA256.into(), "password: is empty"),
        (Value::Null, SHA256.into(), ""),
        ("!$6$x".into(), SHA256.into(), ""),
    ] {
        knows_ann(&["password", "scram_sha_256"], vec![vec![password, keys]]);
        assert!(matches!(ann(), Err(Denial::Rejected)));
        let log = log();
        assert!(
            log.contains(words) && log.is_empty() == words.is_empty(),
            "{log}"
        );
    }
}

/// Before the end of the exchange nobody has shown a password.
#[test]
fn a_user_who_may_not_log_in_has_keys_without_an_account() {
    set_up(&[]);
    let columns = ["scram_sha_256", "networks", "disabled", "photo"];
    let good: [Value; 4] = [SHA256.into(), "192.0.2.1".into(), 0.into(), Value::Null];
    let try_with = |at: usize, value: Value, acting_as: Option<&str>| {
        let mut row = good.to_vec();
        row[at] = value;
        knows_ann(&columns, vec![row]);
        look_up("ann", acting_as, Hash::Sha256).unwrap().account
    };
    assert!(try_with(3, Value::Null, None).is_some());
    assert!(try_with(3, Value::Null, Some("ann")).is_some());
    assert_eq!(log(), "");
    assert_eq!(try_with(3, Value::Null, Some("bob")), None);
    for (at, value) in [
        (1, "198.51.100.0/24".into()),
        (1, "x".into()),
        (2, 1.into()),
        (3, b"x"[..].into()),
    ] {
        assert_eq!(try_with(at, value, None), None);
        assert_ne!(log(), "");
    }
}

#[test]
fn a_database_that_does_not_answer_is_a_failure() {
    set_up(&[]);
    answers(|_| Err(refused("57P01")));
    assert!(matches!(ann(), Err(Denial::Failed(Failure::Temporary(_)))));
    knows_ann(
        &["scram_sha_256"],
        [row(&[SHA256]), row(&[SHA256])].concat(),
    );
    assert!(matches!(ann(), Err(Denial::Failed(Failure::Temporary(_)))));
}

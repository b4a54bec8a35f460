use std::cell::RefCell;
use std::rc::Rc;

use super::*;
use crate::{SqlUsers, login};

const RIGHT: &str = "{PLAIN}tanstaaf";

fn try_as(user: &str, password: &str) -> Result<Account, Denial> {
    SqlUsers::authenticate(
        testing::connection(),
        Credentials::Password {
            user: user.into(),
            acting_as: None,
            secret: Secret::new(password),
        },
    )
}

fn ann() -> Result<Account, Denial> {
    try_as("ann", "tanstaaf")
}

fn is_temporary<T>(answer: &Result<T, Denial>) -> bool {
    matches!(answer, Err(Denial::Failed(Failure::Temporary(_))))
}

#[test]
fn a_row_becomes_an_account() {
    set_up(&[]);
    knows_ann(&["password"], row(&[RIGHT]));
    assert_eq!(ann(), Ok(Account::new("ann")));
    assert_eq!(try_as("ann", "Tanstaaf"), Err(Denial::Rejected));
    assert_eq!(try_as("bob", "tanstaaf"), Err(Denial::Unknown));
    knows_ann(
        &["Password", "USER", "maildrop", "quota", "Color", "size"],
        vec![vec![
            RIGHT.into(),
            "ann@example.org".into(),
            "a/ann".into(),
            Value::Null,
            "red".into(),
            5.into(),
        ]],
    );
    let account = ann().unwrap();
    assert_eq!(
        (&*account.user, &*account.maildrop),
        ("ann@example.org", "a/ann")
    );
    let expected = [("Color", "red"), ("size", "5")];
    assert_eq!(
        account.attributes,
        expected.map(|(key, value)| (key.to_owned(), value.to_owned()))
    );
}

#[test]
fn a_maildrop_is_the_user_if_the_row_has_none() {
    set_up(&[]);
    for (user, maildrop, expected) in [
        (Value::Null, Value::Null, ("ann", "ann")),
        ("".into(), "".into(), ("ann", "ann")),
        ("Ann".into(), Value::Null, ("Ann", "Ann")),
        (7.into(), Value::Null, ("7", "7")),
        (Value::Null, 8.into(), ("ann", "8")),
    ] {
        knows_ann(
            &["password", "user", "maildrop"],
            vec![vec![RIGHT.into(), user, maildrop]],
        );
        let account = ann().unwrap();
        assert_eq!((&*account.user, &*account.maildrop), expected);
    }
}

#[test]
fn names_are_asked_for_in_their_canonical_form() {
    let asked: Rc<RefCell<Vec<Statement>>> = Rc::default();
    for (case, user, expected) in [
        ("exact", "Ann@Example.ORG", "Ann@example.org"),
        ("fold", "Ann@Example.ORG", "ann@example.org"),
    ] {
        set_up(&[("case", case)]);
        let log = asked.clone();
        answers(move |statement| {
            log.borrow_mut().push(statement.clone());
            Ok(Rows::of(&["password"], row(&[RIGHT])))
        });
        assert_eq!(try_as(user, "tanstaaf").unwrap().user, expected);
        let statement = Statement::new("select * from users where name = $1").with(expected);
        assert_eq!(asked.take(), [statement]);
    }
}

/// Whatever a client sends is a value, and some is not asked about at all.
#[test]
fn what_is_no_name_is_not_asked_about() {
    set_up(&[]);
    answers(|statement| panic!("{statement:?}"));
    for user in ["", "a\0b", "a\r\nb", &"a".repeat(256)] {
        assert_eq!(try_as(user, "tanstaaf"), Err(Denial::Unknown), "{user:?}");
    }
    let certificate = Credentials::Certificate {
        acting_as: None,
        der: vec![1],
    };
    let answer = SqlUsers::authenticate(testing::connection(), certificate);
    assert_eq!(answer, Err(Denial::Unknown));
}

/// Which hashes are verified for a login as "ann" or another; all are wrong ones.
fn verified(user: &str, is_supported: fn(&str) -> bool) -> (Result<Account, Denial>, String) {
    let mut hashes = Vec::new();
    let secret = Secret::new("sesame");
    let answer = login::by_password(
        &settings(),
        &login_of(user),
        &secret,
        &mut |hash: &str, secret: &str| {
            assert_eq!(secret, "sesame");
            if is_supported(hash) {
                hashes.push(hash.split('$').nth(1).unwrap_or(hash).to_owned());
                Ok(false)
            } else {
                Err("not supported".into())
            }
        },
    );
    (answer, hashes.join(" "))
}

#[test]
fn nobody_is_told_sooner() {
    for (scheme, kind) in [("argon2id", "argon2id"), ("$2y$10$", "2y")] {
        set_up(&[("scheme", scheme)]);
        for (password, denial, expected) in [
            ("$6$abc$def".into(), Denial::Rejected, "6"),
            (Value::Null, Denial::Rejected, kind),
            ("!$6$abc$def".into(), Denial::Rejected, kind),
            ("*".into(), Denial::Rejected, kind),
            ("".into(), Denial::Rejected, kind),
            (5.into(), Denial::Rejected, kind),
            (b"x"[..].into(), Denial::Rejected, kind),
            ("{MD9}x".into(), Denial::Rejected, kind),
        ] {
            let text = format!("{password:?}");
            knows_ann(&["password"], vec![vec![password]]);
            let (answer, hashes) = verified("ann", |hash| !hash.starts_with("{MD9}"));
            assert_eq!((answer, &*hashes), (Err(denial), expected), "{text}");
            let (answer, hashes) = verified("bob", |_| true);
            assert_eq!((answer, &*hashes), (Err(Denial::Unknown), kind));
        }
    }
    take_log();
    set_up(&[("scheme", "bcrypt")]);
    let (answer, _) = verified("bob", |_| false);
    assert_eq!(answer, Err(Denial::Unknown));
    assert!(log().contains("`scheme`"));
}

#[test]
fn a_row_that_is_no_good_locks_its_user_and_is_logged() {
    set_up(&[]);
    for (password, problem) in [
        ("".into(), "password: is empty"),
        (b"x"[..].into(), "password: must be a text"),
        ("{MD9}x".into(), "password: only {PLAIN}"),
    ] {
        knows_ann(&["password"], vec![vec![password]]);
        assert_eq!(ann(), Err(Denial::Rejected));
        let log = log();
        assert!(
            log.contains("Warn database \"accounts\"") && log.contains(problem),
            "{log}"
        );
        assert!(
            log.contains("\"ann\"") && !log.contains("tanstaaf"),
            "{log}"
        );
    }
    knows_ann(&["password"], vec![vec![Value::Null]]);
    assert_eq!(ann(), Err(Denial::Rejected));
    assert_eq!(log(), "");
}

#[test]
fn keys_alone_are_what_passwords_are_checked_against() {
    const SHA256: &str = "4096,W22ZaJ0SNY7soEsUEjb6gQ==,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
    set_up(&[]);
    for (cell, denial, expected) in [
        (
            SHA256.into(),
            Denial::Rejected,
            format!("{{SCRAM-SHA-256}}{SHA256}"),
        ),
        (Value::Null, Denial::Rejected, "{PLAIN}nobody's".into()),
        ("4096".into(), Denial::Rejected, "{PLAIN}nobody's".into()),
    ] {
        knows_ann(&["scram_sha_256"], vec![vec![cell]]);
        let (answer, hashes) = verified("ann", |_| true);
        assert_eq!((answer, hashes), (Err(denial), expected));
    }
}

#[test]
fn two_rows_are_a_failure_that_names_nobody() {
    set_up(&[]);
    let rows = [row(&[RIGHT, "ann"]), row(&[RIGHT, "hidden-name"])].concat();
    knows_ann(&["password", "user"], rows);
    assert!(is_temporary(&ann()));
    let log = log();
    assert!(
        log.starts_with("Error a login could not be decided") && log.contains("2 rows"),
        "{log}"
    );
    assert!(
        !log.contains("hidden-name") && !log.contains("ann"),
        "{log}"
    );
}

#[test]
fn a_database_that_does_not_answer_is_no_wrong_password() {
    set_up(&[]);
    for (problem, words) in [
        (Problem::Unavailable("no route".into()), "no route"),
        (
            refused("42501"),
            "SQLSTATE 42501, said the database; name \"accounts\" in",
        ),
        (refused("42703"), "correct user-query"),
        (Problem::TooLarge, "one row"),
    ] {
        let answer = problem.clone();
        answers(move |_| Err(answer.clone()));
        assert!(is_temporary(&ann()), "{problem:?}");
        let log = log();
        assert!(log.starts_with("Error ") && log.contains(words), "{log}");
        assert!(
            log.contains("\"accounts\"") && !log.contains("\"ann\""),
            "{log}"
        );
    }
    knows_ann(&["hash"], row(&[RIGHT]));
    assert!(is_temporary(&ann()));
    assert!(log().contains("no column `password`"));
}

#[test]
fn a_user_acts_as_itself_only() {
    set_up(&[("case", "fold")]);
    knows_ann(&["password", "user"], row(&[RIGHT, "ann@example.org"]));
    for (acting_as, is_allowed) in [
        ("ANN", true),
        ("ann@EXAMPLE.org", true),
        ("bob", false),
        ("", false),
    ] {
        let answer = SqlUsers::authenticate(
            testing::connection(),
            Credentials::Password {
                user: "Ann".into(),
                acting_as: Some(acting_as.into()),
                secret: Secret::new("tanstaaf"),
            },
        );
        assert_eq!(answer.is_ok(), is_allowed, "{acting_as}");
        assert!(is_allowed || answer == Err(Denial::Rejected));
    }
}

#[test]
fn a_user_logs_in_from_its_networks() {
    // The client is 192.0.2.1.
    set_up(&[]);
    for (networks, is_allowed, words) in [
        (Value::Null, true, ""),
        ("192.0.2.0/24".into(), true, ""),
        ("198.51.100.7, ::ffff:192.0.2.0/120".into(), true, ""),
        (
            "198.51.100.0/24".into(),
            false,
            "Info the user \"ann\" may not log in from 192.0.2.1",
        ),
        ("".into(), false, "may not log in from"),
        ("192.0.2.0/24 x".into(), false, "networks: must be"),
        (1.into(), false, "networks: must be"),
    ] {
        knows_ann(
            &["password", "networks"],
            vec![vec![RIGHT.into(), networks]],
        );
        let answer = ann();
        assert_eq!(answer.is_ok(), is_allowed);
        assert!(is_allowed || answer == Err(Denial::Rejected));
        let log = log();
        assert!(log.contains(words) && log.is_empty() == is_allowed, "{log}");
    }
    // Nobody knows its address.
    knows_ann(&["password", "networks"], row(&[RIGHT, "0.0.0.0/0 ::/0"]));
    let mut login = login_of("ann");
    login.connection.client_address = "::".into();
    let secret = Secret::new("tanstaaf");
    let answer = login::by_password(&settings(), &login, &secret, &mut |_, _| Ok(true));
    assert_eq!(answer, Err(Denial::Rejected));
}

#[test]
fn only_the_right_password_hears_that_an_account_is_disabled() {
    set_up(&[]);
    let told = |text: &str| Err(Denial::Failed(Failure::permanent(text)));
    let columns = ["password", "networks", "disabled", "reason"];
    for no in [
        Value::Null,
        0.into(),
        "0".into(),
        "".into(),
        "f".into(),
        "FALSE".into(),
        "no".into(),
        " N ".into(),
    ] {
        let text = format!("{no:?}");
        knows_ann(
            &columns,
            vec![vec![RIGHT.into(), Value::Null, no, "Paid?".into()]],
        );
        assert!(ann().is_ok(), "{text}");
    }
    for yes in [
        1.into(),
        (-1).into(),
        "t".into(),
        "2026-01-01".into(),
        b""[..].into(),
    ] {
        knows_ann(
            &columns,
            vec![vec![RIGHT.into(), Value::Null, yes, Value::Null]],
        );
        assert_eq!(ann(), told("this account is disabled"));
        assert_eq!(try_as("ann", "wrong"), Err(Denial::Rejected));
    }
    assert!(log().contains("Info the user \"ann\" may not log in: see the column `disabled`"));
    knows_ann(
        &columns,
        vec![vec![
            RIGHT.into(),
            Value::Null,
            1.into(),
            "Call 555.".into(),
        ]],
    );
    assert_eq!(ann(), told("Call 555."));
    // Somebody from elsewhere hears nothing of it.
    knows_ann(
        &columns,
        vec![vec![
            RIGHT.into(),
            "198.51.100.0/24".into(),
            1.into(),
            Value::Null,
        ]],
    );
    assert_eq!(ann(), Err(Denial::Rejected));
}

#[test]
fn columns_that_no_account_can_have_are_told() {
    set_up(&[]);
    for (column, value, words) in [
        ("photo", b"x"[..].into(), "the column \"photo\" has octets"),
        ("user", b"x"[..].into(), "user: must be a text"),
        (
            "maildrop",
            Value::from("a\nb"),
            "maildrop: has control characters",
        ),
    ] {
        knows_ann(&["password", column], vec![vec![RIGHT.into(), value]]);
        assert_eq!(try_as("ann", "wrong"), Err(Denial::Rejected));
        assert!(is_temporary(&ann()), "{column}");
        let log = log();
        assert!(log.starts_with("Error ") && log.contains(words), "{log}");
    }
}

#[test]
fn settings_that_are_wrong_let_nobody_in() {
    set_settings([("database", "accounts")]);
    assert!(matches!(ann(), Err(Denial::Failed(Failure::Permanent(_)))));
    assert!(log().contains("user-query: must be"));
}

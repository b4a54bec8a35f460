use restante_guest::accepts::{Accepts, Kinds};

use super::*;
use crate::{SqlUsers, load};

#[test]
fn the_query_is_tried_for_a_user_that_does_not_exist() {
    set_up(&[]);
    answers(|statement| {
        let expected = Statement::new("select * from users where name = $1")
            .with("restante-trial@restante.invalid");
        assert_eq!(*statement, expected);
        Ok(Rows::of(&["password"], []))
    });
    assert_eq!(SqlUsers::validate(), Ok(()));
    assert_eq!(SqlUsers::accepts(), Kinds::PASSWORD);
    assert_eq!(log(), "");
}

#[test]
fn scram_is_offered_where_the_query_has_the_keys() {
    set_up(&[]);
    let (sha256, sha1) = (Kinds::SCRAM_SHA256, Kinds::SCRAM_SHA1);
    for (columns, more) in [
        (&["password"][..], Kinds::empty()),
        (&["password", "SCRAM_SHA_256"], sha256),
        (&["scram_sha_1"], sha1),
        (&["scram_sha_1", "scram_sha_256"], sha1 | sha256),
        // What is wrong with these, `validate` says.
        (&["hash"], Kinds::empty()),
    ] {
        knows_ann(columns, Vec::new());
        assert_eq!(SqlUsers::accepts(), Kinds::PASSWORD | more, "{columns:?}");
    }
    answers(|_| Err(Problem::Unavailable("away".into())));
    assert_eq!(SqlUsers::accepts(), Kinds::PASSWORD);
    set_settings([("databse", "x")]);
    assert_eq!(SqlUsers::accepts(), Kinds::PASSWORD);
}

#[test]
fn a_database_that_is_away_is_a_warning() {
    set_up(&[]);
    for problem in [
        Problem::Unavailable("no route".into()),
        refused("57P03"),
        refused("53300"),
        refused("28P01"),
    ] {
        let answer = problem.clone();
        answers(move |_| Err(answer.clone()));
        assert_eq!(SqlUsers::validate(), Ok(()), "{problem:?}");
        let log = log();
        assert!(
            log.starts_with("Warn ") && log.contains("reload when the database is back"),
            "{log}"
        );
    }
}

#[test]
fn a_query_that_the_database_refuses_is_refused() {
    set_up(&[]);
    for problem in [
        refused("42601"),
        refused("42703"),
        refused("42P01"),
        refused("42501"),
        refused("25006"),
        refused("08P01"),
        Problem::TooLarge,
    ] {
        let answer = problem.clone();
        answers(move |_| Err(answer.clone()));
        let problems = SqlUsers::validate().unwrap_err();
        assert_eq!(problems.len(), 1);
        assert!(
            problems[0].starts_with("user-query: the database \"accounts\" "),
            "{problems:?}"
        );
    }
    for columns in [&["hash"][..], &["password", "PASSWORD"]] {
        knows_ann(columns, Vec::new());
        let problems = SqlUsers::validate().unwrap_err();
        assert!(
            problems[0].starts_with("user-query: returns "),
            "{problems:?}"
        );
    }
}

#[test]
fn a_query_that_knows_everybody_is_a_warning() {
    set_up(&[]);
    answers(|_| Ok(Rows::of(&["password"], row(&["!"]))));
    assert_eq!(SqlUsers::validate(), Ok(()));
    assert!(log().contains("returns a row for restante-trial"));
}

#[test]
fn bad_settings_are_told_before_the_database_is_asked() {
    set_settings([("user-query", "select '{user}'"), ("case", "x")]);
    answers(|statement| panic!("{statement:?}"));
    let problems = SqlUsers::validate().unwrap_err();
    assert_eq!(problems.len(), 3, "{problems:?}");
}

#[test]
fn a_scheme_that_the_host_cannot_verify_is_told() {
    set_up(&[("scheme", "$2y$31$")]);
    knows_ann(&["password"], Vec::new());
    let problems = load::check(&settings(), &mut |hash, _| {
        assert!(hash.starts_with("$2y$31$"));
        Err("over the limit".into())
    });
    assert_eq!(problems.unwrap_err(), ["scheme: over the limit"]);
    assert_eq!(load::check(&settings(), &mut |_, _| Ok(false)), Ok(()));
}

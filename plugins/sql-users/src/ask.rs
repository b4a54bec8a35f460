//! Asks the database for a user, and says in the operator's words why there is no answer.

use restante_guest::database::{Problem, Rows, query};
use restante_guest::prelude::*;

use crate::settings::Settings;

/// SQLSTATE classes of what the database may have no part in later, whatever the query
/// is: connections, wrong credentials, conflicts, resources, an operator at work.
const PASSING: [&str; 10] = ["08", "28", "3D", "40", "53", "55", "57", "58", "F0", "XX"];

/// protocol_violation, which is of a class that passes: of a query that is refused, it says that
/// the query has other parameters than it seems to have, as with one in a nested comment.
const PROTOCOL_VIOLATION: &str = "08P01";

/// Of a statement's parameters, and of the operator's own functions: the database's words
/// may have a client's in them.
const OF_DATA: [&str; 2] = ["22", "P0"];

/// The rows for a user, whose name is in its canonical form.
pub(crate) fn rows(settings: &Settings, user: &str, tenant: &str) -> Result<Rows, Problem> {
    query(&settings.database, &settings.query.statement(user, tenant))
}

/// Whether the query itself is wrong, so that every login would fail.
pub(crate) fn is_of_the_query(problem: &Problem) -> bool {
    match problem {
        Problem::Unavailable(_) => false,
        Problem::Refused { sqlstate, .. } => !may_pass(sqlstate),
        Problem::TooLarge => true,
    }
}

/// What a client is told whose login cannot be decided.
pub(crate) fn undecided() -> Failure {
    Failure::temporary("passwords cannot be checked at the moment")
}

/// A login cannot be decided: the log says why, and nothing of what the client sent.
pub(crate) fn failed(settings: &Settings, problem: &Problem) -> Failure {
    let told = match problem {
        Problem::Refused { sqlstate, .. } if is_of(&OF_DATA, sqlstate) => {
            let text = "whose text is not logged, because it may hold the name that a client gave";
            words(settings, &refused(sqlstate, text))
        }
        problem => words(settings, problem),
    };
    log::error!("a login could not be decided: {told}");
    undecided()
}

fn may_pass(sqlstate: &str) -> bool {
    sqlstate != PROTOCOL_VIOLATION && is_of(&PASSING, sqlstate)
}

fn is_of(classes: &[&str], sqlstate: &str) -> bool {
    classes.iter().any(|class| sqlstate.starts_with(class))
}

fn refused(sqlstate: &str, text: &str) -> Problem {
    Problem::Refused {
        sqlstate: sqlstate.to_owned(),
        text: text.to_owned(),
    }
}

/// What is wrong and what to do.
pub(crate) fn words(settings: &Settings, problem: &Problem) -> String {
    let database = &settings.database;
    match problem {
        Problem::Unavailable(text) => format!(
            "the database {database:?} does not answer ({text}): until it does, logins fail with [SYS/TEMP]"
        ),
        Problem::TooLarge => format!(
            "the database {database:?} returns more than 64 MiB: user-query must return one row"
        ),
        Problem::Refused { sqlstate, text } => {
            let remedy = remedy(sqlstate, database);
            format!(
                "the database {database:?} refuses user-query: SQLSTATE {sqlstate}, {text}; {remedy}"
            )
        }
    }
}

fn remedy(sqlstate: &str, database: &str) -> String {
    match sqlstate {
        "42501" => format!(
            "name {database:?} in the plugin's grant `databases`, and grant the database's role SELECT on what user-query reads"
        ),
        "25006" => "user-query may only read".to_owned(),
        _ if sqlstate.starts_with("28") || sqlstate.starts_with("3D") => {
            format!("correct role, password or database of [database.{database}]")
        }
        _ if may_pass(sqlstate) => "until that is over, logins fail with [SYS/TEMP]".to_owned(),
        _ => "correct user-query".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        let query = "select password from users where name = {user}";
        let all = [("database", "accounts"), ("user-query", query)];
        let all = all.map(|(key, value)| (key.to_owned(), value.to_owned()));
        Settings::parse(all.to_vec()).unwrap()
    }

    #[test]
    fn words_name_the_database_the_state_and_the_remedy() {
        for (sqlstate, remedy, of_the_query) in [
            ("42601", "correct user-query", true),
            ("42703", "correct user-query", true),
            ("42P01", "correct user-query", true),
            ("42501", "the plugin's grant `databases`", true),
            ("25006", "may only read", true),
            ("22P02", "correct user-query", true),
            ("08P01", "correct user-query", true),
            ("08006", "[SYS/TEMP]", false),
            ("28P01", "[database.accounts]", false),
            ("3D000", "[database.accounts]", false),
            ("53300", "[SYS/TEMP]", false),
            ("57P01", "[SYS/TEMP]", false),
        ] {
            let problem = refused(sqlstate, "words");
            let told = words(&settings(), &problem);
            for part in ["\"accounts\"", sqlstate, "words", remedy] {
                assert!(told.contains(part), "{told}");
            }
            assert_eq!(is_of_the_query(&problem), of_the_query, "{sqlstate}");
        }
        let away = Problem::Unavailable("no route".to_owned());
        assert!(!is_of_the_query(&away));
        assert!(words(&settings(), &away).contains("no route"));
        assert!(is_of_the_query(&Problem::TooLarge));
    }

    #[test]
    fn no_name_that_a_client_gave_is_logged() {
        for sqlstate in ["22P02", "P0001"] {
            let problem = refused(sqlstate, "invalid input: \"hunter2\"");
            assert_eq!(failed(&settings(), &problem), undecided());
            let log = format!("{:?}", restante_guest::testing::take_log());
            assert!(log.contains(sqlstate) && !log.contains("hunter2"), "{log}");
        }
    }
}

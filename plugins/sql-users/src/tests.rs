//! Logins against a database that is a closure.

mod load;
mod login;
mod scram;

use restante_guest::database::{Problem, Rows, Statement, Value};
use restante_guest::prelude::*;
use restante_guest::testing::{self, set_database, set_settings, take_log};

use crate::login::Login;
use crate::settings::Settings;

const QUERY: &str = "select * from users where name = {user}";

/// Sets the plugin up with the database "accounts"; `more` comes after the settings that
/// each test has.
fn set_up(more: &[(&str, &str)]) {
    let all = [
        ("database", "accounts"),
        ("user-query", QUERY),
        ("scheme", "plain"),
    ];
    set_settings(all.iter().chain(more).copied());
}

/// The database answers each query with these rows, for the user "ann" alone.
fn knows_ann(columns: &[&str], rows: Vec<Vec<Value>>) {
    let ann = Rows::of(columns, rows);
    let nobody = Rows::of(columns, []);
    answers(move |statement| {
        let is_ann = statement.parameters.first() == Some(&"ann".into());
        Ok(if is_ann { ann.clone() } else { nobody.clone() })
    });
}

fn answers(mut answer: impl FnMut(&Statement) -> Result<Rows, Problem> + 'static) {
    set_database(move |database, statements, is_change| {
        assert_eq!(
            (database, statements.len(), is_change),
            ("accounts", 1, false)
        );
        answer(&statements[0]).map(|rows| vec![rows])
    });
}

/// A row of texts.
fn row(texts: &[&str]) -> Vec<Vec<Value>> {
    vec![texts.iter().map(|text| (*text).into()).collect()]
}

fn refused(sqlstate: &str) -> Problem {
    Problem::Refused {
        sqlstate: sqlstate.to_owned(),
        text: "said the database".to_owned(),
    }
}

fn login_of(user: &str) -> Login {
    Login {
        connection: testing::connection(),
        user: user.to_owned(),
        acting_as: None,
    }
}

fn settings() -> Settings {
    Settings::parse(restante_guest::settings::all()).unwrap()
}

/// The log, a line each with its level.
fn log() -> String {
    let lines = take_log();
    let lines = lines
        .iter()
        .map(|line| format!("{:?} {}\n", line.level, line.text));
    lines.collect::<String>().replace("Level::", "")
}

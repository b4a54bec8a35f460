//! Databases of the operator's, for plugins that know users: those that the grant
//! `databases` names, in `[plugin.NAME.grants]`. The host connects, keeps connections and
//! prepared statements, and bounds the time; what may be read and changed follows from
//! the role that it connects as.
//!
//! ```
//! use restante_guest::database::{self, Problem, Rows, Statement};
//! use restante_guest::testing;
//!
//! fn hash_of(user: &str) -> Result<Option<String>, Problem> {
//!     let statement = Statement::new("SELECT hash FROM users WHERE name = $1").with(user);
//!     let rows = database::query("users", &statement)?;
//!     let hash = rows.get(0, "hash").and_then(|cell| cell.as_text());
//!     Ok(hash.map(str::to_owned))
//! }
//!
//! // In tests: the database.
//! testing::set_database(|database, statements, _change| {
//!     assert_eq!(database, "users");
//!     let known = statements[0].parameters == ["alice".into()];
//!     let row = known.then(|| vec!["{PLAIN}secret".into()]);
//!     Ok(vec![Rows::of(&["hash"], row)])
//! });
//! assert_eq!(hash_of("alice").unwrap().as_deref(), Some("{PLAIN}secret"));
//! assert_eq!(hash_of("bob").unwrap(), None);
//! ```
//!
//! What differs from call to call belongs into parameters, never into the statement's
//! text: a user name that is pasted into SQL is SQL, and the host may keep what it has
//! prepared for each text.

mod rows;

use std::fmt;
#[cfg(not(target_family = "wasm"))]
use std::slice;

pub use crate::bindings::host::restante::plugin::database::{Statement, Value};
pub use rows::{Cell, Row, Rows};

use crate::bindings::host::restante::plugin::database as raw;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// The database does not answer, or not in time. Nothing was changed unless the text
    /// says otherwise. Trying again later may help.
    Unavailable(String),
    /// The database, or the host in its place, refused a statement, and nothing was
    /// changed.
    Refused {
        /// Five characters. "42501" also if the plugin is not granted the database.
        sqlstate: String,
        /// What the database said. It may hold values of rows: for the log, not for
        /// clients.
        text: String,
    },
    /// The answer has more than 64 MiB. Nothing was changed.
    TooLarge,
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::Unavailable(text) => write!(out, "the database is unavailable: {text}"),
            Problem::Refused { sqlstate, text } => {
                write!(
                    out,
                    "the database refused a statement: {text} (SQLSTATE {sqlstate})"
                )
            }
            Problem::TooLarge => out.write_str("the database's answer has more than 64 MiB"),
        }
    }
}

impl std::error::Error for Problem {}

impl From<raw::Problem> for Problem {
    fn from(problem: raw::Problem) -> Problem {
        match problem {
            raw::Problem::Unavailable(text) => Problem::Unavailable(text),
            raw::Problem::Refused(raw::Refusal { sqlstate, text }) => {
                Problem::Refused { sqlstate, text }
            }
            raw::Problem::TooLarge => Problem::TooLarge,
        }
    }
}

impl Statement {
    /// One statement of SQL, with `$1`, `$2`, … for the parameters in every dialect. The
    /// host may keep it prepared: a plugin has a few texts, always the same.
    pub fn new(text: impl Into<String>) -> Statement {
        Statement {
            text: text.into(),
            parameters: Vec::new(),
        }
    }

    /// With the next parameter.
    ///
    /// ```
    /// use restante_guest::database::{Statement, Value};
    ///
    /// let statement = Statement::new("UPDATE users SET hash = $1 WHERE id = $2")
    ///     .with(None::<&str>)
    ///     .with(7);
    /// assert_eq!(statement.parameters, [Value::Null, Value::Integer(7)]);
    /// ```
    #[must_use]
    pub fn with(mut self, value: impl Into<Value>) -> Statement {
        self.parameters.push(value.into());
        self
    }
}

/// Makes parameters of what they can be made of without loss.
macro_rules! values {
    ($($from:ty => |$given:ident| $value:expr),+ $(,)?) => {
        $(impl From<$from> for Value {
            fn from($given: $from) -> Value {
                $value
            }
        })+
    };
}

values! {
    i64 => |number| Value::Integer(number),
    i32 => |number| Value::Integer(number.into()),
    u32 => |number| Value::Integer(number.into()),
    String => |text| Value::Text(text),
    &String => |text| Value::Text(text.clone()),
    &str => |text| Value::Text(text.to_owned()),
    Vec<u8> => |octets| Value::Octets(octets),
    &[u8] => |octets| Value::Octets(octets.to_vec()),
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Value {
        value.map_or(Value::Null, T::into)
    }
}

/// Asks a database, by its name in the grant `databases`, in a transaction that can
/// change nothing.
///
/// Outside a component, as in `cargo test`,
/// [`testing::set_database`](crate::testing::set_database) says what it answers.
///
/// # Errors
/// Why there is no answer. No row is an answer too.
pub fn query(database: &str, statement: &Statement) -> Result<Rows, Problem> {
    #[cfg(target_family = "wasm")]
    {
        let answer = raw::query(database, statement)?;
        Rows::unpack(answer).map_err(Problem::Unavailable)
    }
    #[cfg(not(target_family = "wasm"))]
    {
        let mut answers =
            crate::testing::ask_database(database, slice::from_ref(statement), false)?;
        Ok(answers.remove(0))
    }
}

/// Runs statements in one transaction: all of them in their order, or none. There is an
/// answer for each, in the same order. At most 1,000; what one of them needs from another
/// has to be said in SQL.
///
/// Outside a component it is as with [`query`].
///
/// # Errors
/// Why there is no answer; nothing was changed then, unless the text of
/// [`Problem::Unavailable`] says otherwise.
pub fn change(database: &str, statements: &[Statement]) -> Result<Vec<Rows>, Problem> {
    #[cfg(target_family = "wasm")]
    {
        let answers = raw::change(database, statements)?.into_iter();
        let rows: Result<_, String> = answers.map(Rows::unpack).collect();
        rows.map_err(|text| Problem::Unavailable(format!("{text}; the change has been made")))
    }
    #[cfg(not(target_family = "wasm"))]
    crate::testing::ask_database(database, statements, true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn parameters_are_made_of_what_a_plugin_has() {
        let owned = "b".to_owned();
        let statement = Statement::new("x")
            .with(i64::MIN)
            .with(-1)
            .with(u32::MAX)
            .with("a")
            .with(&owned)
            .with(owned.clone())
            .with(vec![0])
            .with(&b"\xff"[..])
            .with(Some("c"))
            .with(None::<i64>)
            .with(Value::Null);
        let expected = [
            Value::Integer(i64::MIN),
            Value::Integer(-1),
            Value::Integer(u32::MAX.into()),
            Value::Text("a".into()),
            Value::Text("b".into()),
            Value::Text("b".into()),
            Value::Octets(vec![0]),
            Value::Octets(vec![255]),
            Value::Text("c".into()),
            Value::Null,
            Value::Null,
        ];
        assert_eq!(statement.parameters, expected);
    }

    #[test]
    fn without_a_grant_each_call_is_refused() {
        let statement = Statement::new("SELECT 1");
        let problem = query("users", &statement).unwrap_err();
        assert!(
            matches!(&problem, Problem::Refused { sqlstate, .. } if sqlstate == "42501"),
            "{problem:?}"
        );
        assert!(problem.to_string().contains("SQLSTATE 42501"), "{problem}");
        assert_eq!(change("users", &[statement]), Err(problem));
    }

    #[test]
    fn a_fake_hears_each_statement_and_says_what_comes_of_it() {
        let mut calls = 0;
        testing::set_database(move |database, statements, change| {
            calls += 1;
            assert_eq!((database, change), ("users", calls == 2));
            match calls {
                3 => Err(Problem::TooLarge),
                _ => Ok(statements
                    .iter()
                    .map(|statement| Rows::after_change(statement.parameters.len() as u64))
                    .collect()),
            }
        });
        let statements = [Statement::new("a"), Statement::new("b").with(1).with(2)];
        assert_eq!(query("users", &statements[1]).unwrap().changed(), 2);
        let rows = change("users", &statements).unwrap();
        let changed: Vec<u64> = rows.iter().map(Rows::changed).collect();
        assert_eq!(changed, [0, 2]);
        assert_eq!(query("users", &statements[0]), Err(Problem::TooLarge));
    }

    #[test]
    fn a_fake_without_an_answer_for_each_statement_is_none() {
        testing::set_database(|_, _, _| Ok(Vec::new()));
        let problem = query("users", &Statement::new("a")).unwrap_err();
        assert!(matches!(problem, Problem::Unavailable(_)), "{problem}");
        assert_eq!(change("users", &[]), Ok(Vec::new()));
    }

    #[test]
    fn problems_of_the_host_keep_their_words() {
        let refusal = raw::Refusal {
            sqlstate: "23505".into(),
            text: "twice".into(),
        };
        let problem = Problem::from(raw::Problem::Refused(refusal));
        assert_eq!(
            problem.to_string(),
            "the database refused a statement: twice (SQLSTATE 23505)"
        );
        let problem = Problem::from(raw::Problem::Unavailable("no route".into()));
        assert_eq!(problem.to_string(), "the database is unavailable: no route");
        assert_eq!(Problem::from(raw::Problem::TooLarge), Problem::TooLarge);
    }
}

//! A database of the operator's, as one role.

use std::error::Error;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;

use async_trait::async_trait;
use futures_core::Stream;
use tokio::time::{Instant, timeout_at};
use tokio_postgres::types::private::BytesMut;
use tokio_postgres::types::{Format, FromSql, IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, Column, Row};

use super::failure::Failure;
use super::pool::{Pool, Taken};
use super::settings::Settings;
use crate::bounds::{CALL_DEADLINE, MAX_ANSWER_BYTES, MAX_CONNECTIONS};
use crate::database::{
    Answer, Cell, Columns, Database, Refusal, Statement, Value, check_statements,
};
use crate::meter::Meter;
use crate::problem::Problem;

/// The database ends by itself what takes longer, or waits so long for a lock: a connection
/// that is thrown away does not end what it has begun.
const LIMITS: &str = "set local statement_timeout = '5s'; set local lock_timeout = '4s'";

const INVALID_STATEMENT_NAME: &str = "26000";
const QUERY_CANCELED: &str = "57014";
/// Octets that come for a call: of its answers, and of what is around them.
const MAX_CALL_OCTETS: u64 = MAX_ANSWER_BYTES + (16 << 20);

/// What waits for the end of the transaction is done while [`LIMITS`] hold; then nothing stays
/// in the session, which a pooler may give to somebody else: no table, role, setting or lock.
const COMMIT: &str = "set constraints all immediate; discard temp; reset role; \
    reset session authorization; reset all; select pg_advisory_unlock_all(); commit";
/// Likewise, where nothing was done.
const ROLLBACK: &str = "rollback; select pg_advisory_unlock_all()";

/// A PostgreSQL database.
#[derive(Debug)]
pub struct PostgresDatabase {
    pool: Arc<Pool>,
}

impl PostgresDatabase {
    /// Connects to nothing yet.
    ///
    /// # Errors
    /// [`Problem::Invalid`] if the settings are not as they have to be. Reads files.
    pub fn new(settings: &Settings) -> Result<Self, Problem> {
        // Users may be looked up at a standby, and by a role that can change nothing, unless
        // the URL says otherwise.
        Ok(Self {
            pool: Pool::of(settings.target()?, MAX_CONNECTIONS, Some(MAX_CALL_OCTETS)),
        })
    }

    /// Runs statements in one transaction. What they left in the session goes with it.
    async fn transact(
        &self,
        begin: &str,
        all: &[Statement],
        meter: &Meter,
    ) -> Result<Vec<Answer>, Refusal> {
        check_statements(all)?;
        all.iter().try_for_each(check_kind)?;
        let end = Instant::now() + CALL_DEADLINE;
        let late = |when: &str| {
            Err(Refusal::Unavailable(format!(
                "{}: {when}",
                self.pool.name()
            )))
        };
        let Ok(connection) = timeout_at(end, self.taken(begin, meter)).await else {
            return late(
                "no connection within 5 s, nothing was changed: see whether the host can be reached, and whether statements are slow",
            );
        };
        let connection = connection?;
        let mut knows_types = false;
        let run = async {
            let mut max_bytes = MAX_ANSWER_BYTES;
            let mut answers = Vec::with_capacity(all.len());
            for (number, statement) in all.iter().enumerate() {
                if number > 0 {
                    // The one before may have changed it.
                    connection.batch_execute(LIMITS).await?;
                }
                let told = answer(&connection, statement, &mut max_bytes, &mut knows_types);
                answers.push(told.await?);
            }
            Ok(answers)
        };
        let answers = match timeout_at(end, run).await {
            Ok(answers) => answers,
            Err(_) => return late("it did not answer in time, and nothing was changed"),
        };
        let answers = match answers {
            Ok(answers) => answers,
            // Its transaction goes with it.
            Err(_) if connection.is_over() => return Err(Refusal::TooLarge),
            // Thrown away with its transaction.
            Err(Stop::Refusal(refusal)) => return Err(refusal),
            Err(Stop::Failure(failure)) => {
                // What the driver keeps for types of the database's own is gone.
                let has_lost_its = |state: &str| state == INVALID_STATEMENT_NAME;
                if let Failure::Refused { state, .. } = &failure
                    && !has_lost_its(state)
                {
                    // Not worth a new connection: a guest's mistake may come often.
                    let clean = async {
                        connection.batch_execute(ROLLBACK).await?;
                        connection.batch_execute("discard all").await
                    };
                    if let Ok(Ok(())) = timeout_at(end, clean).await
                        && !knows_types
                    {
                        connection.give_back();
                    }
                }
                return Err(self.refusal(failure));
            }
        };
        let commit = connection.batch_execute(COMMIT);
        match timeout_at(end, commit).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) if is_answer(&error) => {
                return Err(match Stop::from(error) {
                    Stop::Failure(failure) => self.refusal(failure),
                    Stop::Refusal(refusal) => refusal,
                });
            }
            _ => {
                let name = self.pool.name();
                return Err(Refusal::Unknown(format!(
                    "{name}: the answer to the commit was lost"
                )));
            }
        }
        if let Ok(Ok(())) = timeout_at(end, connection.batch_execute("discard all")).await
            && !knows_types
        {
            connection.give_back();
        }
        Ok(answers)
    }

    /// A connection on which a transaction was begun: one that was idle may be gone.
    async fn taken(&self, begin: &str, meter: &Meter) -> Result<Taken, Refusal> {
        loop {
            let connection = self
                .pool
                .take()
                .await
                .map_err(|failure| self.refusal(failure))?;
            connection.begin_call(meter);
            match connection.batch_execute(begin).await {
                Ok(()) => return Ok(connection),
                Err(error) if error.as_db_error().is_none() => self.pool.forget_idle(),
                Err(error) => return Err(self.refusal(Failure::of(&error))),
            }
        }
    }

    fn refusal(&self, failure: Failure) -> Refusal {
        match failure {
            Failure::Refused { state, text } => Refusal::Refused { state, text },
            other => Refusal::Unavailable(format!("{}: {}", self.pool.name(), other.text())),
        }
    }
}

#[async_trait]
impl Database for PostgresDatabase {
    async fn query(&self, statement: Statement, meter: &Meter) -> Result<Answer, Refusal> {
        let begin = format!("begin read only; {LIMITS}");
        let mut answers = self.transact(&begin, &[statement], meter).await?;
        let none = || Refusal::Unavailable("no answer".to_owned());
        answers.pop().ok_or_else(none)
    }

    async fn change(
        &self,
        statements: Vec<Statement>,
        meter: &Meter,
    ) -> Result<Vec<Answer>, Refusal> {
        let begin = format!("begin; {LIMITS}");
        self.transact(&begin, &statements, meter).await
    }
}

enum Stop {
    Refusal(Refusal),
    Failure(Failure),
}

impl From<tokio_postgres::Error> for Stop {
    fn from(error: tokio_postgres::Error) -> Self {
        match Failure::of(&error) {
            // A query that would change something is one of these.
            Failure::Again(text) => {
                let state = error.code().map_or("XX000", |code| code.code());
                Self::Failure(Failure::Refused {
                    state: state.to_owned(),
                    text,
                })
            }
            failure => Self::Failure(failure),
        }
    }
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refusal(refusal)
    }
}

/// Whether the driver has looked up types of the database's own. It keeps statements for that,
/// which `discard all` takes away from it, and a pooler with the server.
fn has_own_types<'a>(mut types: impl Iterator<Item = &'a Type>) -> bool {
    types.any(|one| Type::from_oid(one.oid()).is_none())
}

/// Whether the database, and no pooler or crash in its place, says why it did not commit.
fn is_answer(error: &tokio_postgres::Error) -> bool {
    let state = error.code().map(|code| code.code());
    let unknown = |state: &str| {
        ["08", "57", "58", "XX"]
            .iter()
            .any(|class| state.starts_with(class))
    };
    // Its own limit is the database's word, too.
    state.is_some_and(|state| state == QUERY_CANCELED || !unknown(state))
}

/// Parameters go as texts of no type: the database takes each for what the statement needs.
async fn answer(
    client: &Client,
    statement: &Statement,
    max_bytes: &mut u64,
    knows_types: &mut bool,
) -> Result<Answer, Stop> {
    let parameters = statement.parameters.iter();
    let parameters = parameters.map(|value| (Text(value), Type::UNKNOWN));
    let stream = client.query_typed_raw(&statement.text, parameters).await?;
    let mut stream = pin!(stream);
    let mut columns: Option<Columns> = None;
    while let Some(row) = poll_fn(|context| stream.as_mut().poll_next(context)).await {
        let row = row?;
        let columns = columns.get_or_insert_with(|| {
            *knows_types |= has_own_types(row.columns().iter().map(Column::type_));
            let names = row.columns().iter().map(|column| column.name().to_owned());
            Columns::new(names.collect(), *max_bytes)
        });
        for position in 0..row.len() {
            columns.push(position, cell(&row, position)?)?;
        }
        columns.end_row()?;
    }
    let changed = stream.rows_affected().unwrap_or_default();
    let Some(columns) = columns else {
        // Only a prepared statement tells the columns of no rows. It is gone before the
        // transaction is: a pooler may give the next one to another server.
        let types = vec![Type::UNKNOWN; statement.parameters.len()];
        let prepared = client.prepare_typed(&statement.text, &types).await?;
        let columns = prepared.columns().iter().map(Column::type_);
        *knows_types |= has_own_types(prepared.params().iter().chain(columns));
        let names = prepared
            .columns()
            .iter()
            .map(|column| column.name().to_owned());
        let answer = Columns::new(names.collect(), *max_bytes).answer();
        return Ok(Answer {
            rows: changed,
            ..answer
        });
    };
    *max_bytes = max_bytes.saturating_sub(columns.bytes());
    Ok(columns.answer())
}

/// A value of a row.
fn cell(row: &Row, position: usize) -> Result<Cell<'_>, Stop> {
    let Some(Raw(octets)) = row.try_get(position)? else {
        return Ok(Cell::Null);
    };
    let column = &row.columns()[position];
    let ty = column.type_();
    let cell = match *ty {
        Type::BOOL | Type::INT2 | Type::INT4 | Type::INT8 | Type::OID => integer(octets),
        Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::JSON | Type::UNKNOWN => {
            std::str::from_utf8(octets).ok().map(Cell::Text)
        }
        Type::BYTEA => Some(Cell::Octets(octets)),
        // An extension's text.
        _ if ty.name() == "citext" => std::str::from_utf8(octets).ok().map(Cell::Text),
        _ => None,
    };
    cell.ok_or_else(|| {
        Stop::Failure(Failure::Refused {
            // datatype_mismatch
            state: "42804".to_owned(),
            text: format!(
                "column {:?} of the answer is of type {ty}: cast it in the statement to bigint, text or bytea",
                column.name()
            ),
        })
    })
}

/// A number as PostgreSQL sends it, the first octet first.
fn integer(octets: &[u8]) -> Option<Cell<'static>> {
    let number = match *octets {
        [truth] => i64::from(truth),
        [a, b] => i64::from(i16::from_be_bytes([a, b])),
        [a, b, c, d] => i64::from(i32::from_be_bytes([a, b, c, d])),
        [a, b, c, d, e, f, g, h] => i64::from_be_bytes([a, b, c, d, e, f, g, h]),
        _ => return None,
    };
    Some(Cell::Integer(number))
}

/// Whether a statement is one of rows, as far as its first word tells: none that ends the
/// transaction, and none that changes the session.
fn check_kind(statement: &Statement) -> Result<(), Refusal> {
    const KINDS: [&str; 7] = [
        "select", "with", "values", "insert", "update", "delete", "merge",
    ];
    let word = first_word(&statement.text);
    match KINDS.iter().any(|kind| word.eq_ignore_ascii_case(kind)) {
        true => Ok(()),
        false => Err(Refusal::Refused {
            state: "42601".to_owned(),
            text: format!(
                "a statement begins with {word:?}: possible are {}",
                KINDS.join(", ")
            ),
        }),
    }
}

/// What a statement begins with, after space, comments to the end of their line and brackets.
fn first_word(text: &str) -> &str {
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches(|octet: char| octet.is_ascii_whitespace() || octet == '(');
        match rest.strip_prefix("--") {
            Some(comment) => rest = comment.split_once('\n').map_or("", |(_, rest)| rest),
            None => break,
        }
    }
    let end = rest.find(|octet: char| !octet.is_ascii_alphabetic());
    &rest[..end.unwrap_or(rest.len())]
}

/// A value as it comes.
struct Raw<'a>(&'a [u8]);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Raw(raw))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// A value in PostgreSQL's own writing.
#[derive(Debug)]
struct Text<'a>(&'a Value);

impl ToSql for Text<'_> {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self.0 {
            Value::Null => return Ok(IsNull::Yes),
            Value::Integer(number) => out.extend_from_slice(number.to_string().as_bytes()),
            Value::Text(text) => out.extend_from_slice(text.as_bytes()),
            Value::Octets(octets) => {
                out.extend_from_slice(b"\\x");
                for octet in octets {
                    out.extend_from_slice(format!("{octet:02x}").as_bytes());
                }
            }
        }
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Text
    }

    to_sql_checked!();
}

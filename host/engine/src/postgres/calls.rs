//! One statement, until it is answered.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_core::Stream;
use tokio::time::error::Elapsed;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use super::failure::{Failure, remedy};
use super::gathered::Pace;
use super::pool::{Pool, Taken};
use crate::bounds::{CALL_DEADLINE, INQUIRY_DEADLINE};
use crate::meter::Meter;
use crate::problem::Problem;

/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(50);

/// A parameter and its type.
pub(super) type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

/// Runs a statement that does nothing more when it is sent again: once more on another
/// connection if its answer is lost, within [`CALL_DEADLINE`]. Nobody is wronged if it is not
/// known in the end whether it was run.
pub(super) async fn call(
    pool: &Arc<Pool>,
    sql: &str,
    parameters: &[Parameter<'_>],
) -> Result<Vec<Row>, Problem> {
    let deadline = Instant::now() + CALL_DEADLINE;
    let mut before = None;
    loop {
        let failure = match attempt(pool, sql, parameters, deadline).await {
            Ok(rows) => return Ok(rows),
            Err(failure) => telling(failure, before),
        };
        wait_or_give_up(pool, &failure, deadline).await?;
        before = Some(failure);
    }
}

/// A statement and its parameters.
pub(super) type Statement<'a> = (&'a str, &'a [Parameter<'a>]);

/// The same for a statement, and one that only reads and follows it on its connection, sent
/// without a wait for the first answer: both take one round trip. The second begins when the
/// first is committed, and is a transaction of its own, so it sees what was committed while
/// the first waited for a lock. None: its answer is missing, which is told nobody.
pub(super) async fn call_then(
    pool: &Arc<Pool>,
    first: Statement<'_>,
    then: Statement<'_>,
) -> Result<(Vec<Row>, Option<Vec<Row>>), Problem> {
    let deadline = Instant::now() + CALL_DEADLINE;
    let mut before = None;
    loop {
        let failure = match attempt_both(pool, first, then, deadline).await {
            Ok(rows) => return Ok(rows),
            Err(failure) => telling(failure, before),
        };
        wait_or_give_up(pool, &failure, deadline).await?;
        before = Some(failure);
    }
}

/// The same for an answer of many rows, of which none is kept: `take` puts each, as it comes, into
/// what `begin` makes. If the answer is lost half-way, all begins anew.
///
/// # Errors
/// Those of `take`, too.
pub(super) async fn stream<T: Send>(
    pool: &Arc<Pool>,
    sql: &str,
    parameters: &[Parameter<'_>],
    begin: impl Fn() -> T + Send + Sync,
    take: impl Fn(&mut T, &Row) -> Result<(), Problem> + Send + Sync,
) -> Result<T, Problem> {
    let deadline = Instant::now() + CALL_DEADLINE;
    let mut before = None;
    loop {
        let failure = match attempt_stream(pool, sql, parameters, deadline, begin(), &take).await {
            Ok(told) => return told,
            Err(failure) => telling(failure, before),
        };
        wait_or_give_up(pool, &failure, deadline).await?;
        before = Some(failure);
    }
}

/// The same for what somebody is told of. If an answer is lost, sending the statement again
/// tells what became of it, and that takes as long as it takes to promote a standby.
pub(super) async fn settle(
    pool: &Arc<Pool>,
    sql: &str,
    parameters: &[Parameter<'_>],
) -> Result<Vec<Row>, Problem> {
    let mut deadline = Instant::now() + CALL_DEADLINE;
    let (mut doubtful, mut before) = (false, None);
    loop {
        // Each attempt has its own end: a primary that was cut off lets a commit hang.
        let end = deadline.min(Instant::now() + CALL_DEADLINE);
        let failure = match attempt(pool, sql, parameters, end).await {
            Ok(rows) => return Ok(rows),
            Err(failure) => telling(failure, before),
        };
        if matches!(failure, Failure::Unheard(_)) && !doubtful {
            doubtful = true;
            deadline = Instant::now() + INQUIRY_DEADLINE;
        }
        wait_or_give_up(pool, &failure, deadline)
            .await
            .map_err(|problem| match (doubtful, problem) {
                (true, Problem::Unavailable(text)) => Problem::Unknown(text),
                (_, problem) => problem,
            })?;
        before = Some(failure);
    }
}

/// The last failure, or the one before it if that says more.
fn telling(failure: Failure, before: Option<Failure>) -> Failure {
    match (failure, before) {
        (Failure::Late, Some(before)) => before,
        (failure, _) => failure,
    }
}

/// Sends it once.
async fn attempt(
    pool: &Arc<Pool>,
    sql: &str,
    parameters: &[Parameter<'_>],
    end: Instant,
) -> Result<Vec<Row>, Failure> {
    let connection = taken(pool, end).await?;
    let answered = timeout_at(end, connection.query_typed(sql, parameters)).await;
    finished(connection, answered)
}

/// Sends it once, and takes its rows.
async fn attempt_stream<T: Send>(
    pool: &Arc<Pool>,
    sql: &str,
    parameters: &[Parameter<'_>],
    end: Instant,
    mut told: T,
    take: &(impl Fn(&mut T, &Row) -> Result<(), Problem> + Send + Sync),
) -> Result<Result<T, Problem>, Failure> {
    let connection = taken(pool, end).await?;
    let taking = async {
        let typed = parameters.iter().map(|(value, ty)| (*value, ty.clone()));
        let rows = connection.query_typed_raw(sql, typed).await?;
        let mut rows = pin!(rows);
        let mut pace = Pace::default();
        while let Some(row) = poll_fn(|context| rows.as_mut().poll_next(context)).await {
            if let Err(problem) = take(&mut told, &row?) {
                return Ok(Err(problem));
            }
            pace.step().await;
        }
        Ok::<_, tokio_postgres::Error>(Ok(()))
    };
    let answered = timeout_at(end, taking).await;
    match answered {
        // Nobody waits for the rest, and the connection goes with it.
        Ok(Ok(Err(problem))) => Ok(Err(problem)),
        answered => {
            let answered = answered.map(|answered| answered.map(drop));
            finished(connection, answered)?;
            Ok(Ok(told))
        }
    }
}

async fn taken(pool: &Arc<Pool>, end: Instant) -> Result<Taken, Failure> {
    let connection = timeout_at(end, pool.take()).await;
    let connection = connection.unwrap_or(Err(Failure::Late))?;
    connection.begin_call(&Meter::of_task());
    Ok(connection)
}

/// Sends both once, in this order.
async fn attempt_both(
    pool: &Arc<Pool>,
    (first, of_first): Statement<'_>,
    (then, of_then): Statement<'_>,
    end: Instant,
) -> Result<(Vec<Row>, Option<Vec<Row>>), Failure> {
    let connection = taken(pool, end).await?;
    // Each is sent when it is polled for the first time, and those polls are in this order.
    let (first, then) = tokio::join!(
        biased;
        timeout_at(end, connection.query_typed(first, of_first)),
        timeout_at(end, connection.query_typed(then, of_then)),
    );
    let (first, then) = (heard(first), heard(then));
    if [&first, &then].into_iter().all(has_ended) {
        connection.give_back();
    }
    Ok((first?, then.ok()))
}

/// What came of a statement, and the connection back if it is clean.
fn finished<T>(
    connection: Taken,
    answered: Result<Result<T, tokio_postgres::Error>, Elapsed>,
) -> Result<T, Failure> {
    let answer = heard(answered);
    if has_ended(&answer) {
        connection.give_back();
    }
    answer
}

/// What came of a statement that was sent. The rows end with the server's word that the
/// transaction has ended.
fn heard<T>(answered: Result<Result<T, tokio_postgres::Error>, Elapsed>) -> Result<T, Failure> {
    match answered {
        Ok(answer) => answer.map_err(|error| Failure::of(&error)),
        // Not cancelled: a commit whose wait for the standby is cancelled stays, without it.
        Err(_) => Err(Failure::Unheard("it did not answer in time".to_owned())),
    }
}

/// Whether its connection may have the next statement.
fn has_ended<T>(answer: &Result<T, Failure>) -> bool {
    matches!(answer, Ok(_) | Err(Failure::Refused { .. }))
}

async fn wait_or_give_up(pool: &Pool, failure: &Failure, deadline: Instant) -> Result<(), Problem> {
    let name = pool.name();
    if let Failure::Refused { state, text } = failure {
        return Err(Problem::Unavailable(format!(
            "{name}: {text} (SQLSTATE {state}){}",
            remedy(state)
        )));
    }
    pool.forget_idle();
    if Instant::now() + PAUSE >= deadline {
        return Err(Problem::Unavailable(format!("{name}: {}", failure.text())));
    }
    sleep(PAUSE).await;
    Ok(())
}

//! The tables, and the way from those of an older version.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};
use tokio_postgres::types::Type;

use super::calls::{Parameter, call};
use super::failure::{Failure, remedy};
use super::pool::Pool;
use super::rows::odd;
use super::settings::Settings;
use crate::migration::{Migration, Tables};
use crate::problem::Problem;

/// One step from a version of the schema to the next.
#[derive(Debug)]
struct Step {
    /// What an operator is told about it.
    about: &'static str,
    sql: &'static str,
}

/// Step n makes version n + 1 of version n; version 0 is a database without the schema.
const STEPS: &[Step] = &[
    Step {
        about: "make the schema restante with the tables and functions of an index, holds and blobs",
        sql: include_str!("schema.sql"),
    },
    Step {
        about: "make tables of the nodes' sessions and failed logins, and count logins in holds",
        sql: include_str!("schema_2.sql"),
    },
];

/// How long a step may take, and how long a node waits for another one that makes it.
const STEP_TIMEOUT: Duration = Duration::from_secs(600);
/// Before it looks again what has become of a step that another node makes.
const PAUSE: Duration = Duration::from_millis(100);

/// What has to be done to a database, without doing it. None: nothing.
///
/// # Errors
/// If it does not answer, or is of a newer version than this program knows.
pub async fn pending_migration(settings: &Settings) -> Result<Option<Migration>, Problem> {
    pending(&Pool::new(settings, 1)?, STEPS).await
}

/// Does to the tables what may be done and has to be. Several nodes may do this at once.
pub(super) async fn prepare(pool: &Arc<Pool>, tables: Tables) -> Result<(), Problem> {
    prepare_by(pool, tables, STEPS).await
}

async fn prepare_by(pool: &Arc<Pool>, tables: Tables, steps: &[Step]) -> Result<(), Problem> {
    let mut begun: Option<Begun> = None;
    while let Some(migration) = pending(pool, steps).await? {
        let from = migration.from;
        // What this call has begun it goes on with.
        if begun.is_none() {
            tables.allow(&migration)?;
        }
        let before = begun.filter(|before| before.from == from);
        // A step that another node made meanwhile was refused here, and is done.
        if before.is_some_and(|before| before.is_tried) {
            return Err(Problem::Unavailable(format!(
                "{}: the step to version {} was refused twice: see its log",
                pool.name(),
                from + 1
            )));
        }
        let mut now = before.unwrap_or_else(|| Begun::at(from));
        // Tables that are there for a moment only in an older version would be taken for those
        // of an older program, and stay so if this process ended between two steps.
        let next = match from {
            0 => steps,
            from => &steps[from as usize..=from as usize],
        };
        now.is_tried = true;
        if let Err(failure) = run(pool, from, next).await {
            tracing::debug!(text = failure.text(), "{}: a step was refused", pool.name());
            now.is_tried = is_raced(pool, &failure, next, &now)?;
            sleep(PAUSE).await;
        }
        begun = Some(now);
    }
    Ok(())
}

/// What this process has tried.
#[derive(Debug, Clone, Copy)]
struct Begun {
    from: u32,
    /// Until when it waits for another node that is at it.
    until: Instant,
    /// It was made, or refused: it is not due again.
    is_tried: bool,
}

impl Begun {
    fn at(from: u32) -> Self {
        Begun {
            from,
            until: Instant::now() + STEP_TIMEOUT,
            is_tried: false,
        }
    }
}

/// Whether a failure may be that another node was faster, which shows in the version. False:
/// another one is at it still, and this one waits.
///
/// # Errors
/// It is neither.
fn is_raced(
    pool: &Pool,
    failure: &Failure,
    steps: &[Step],
    begun: &Begun,
) -> Result<bool, Problem> {
    let (state, text) = match failure {
        Failure::Refused { state, text } => (state, text),
        // Its row is locked by a node that makes a step, which may take longer than one waits for
        // a lock.
        Failure::Again(_) if Instant::now() < begun.until => return Ok(false),
        failure => {
            let (name, text) = (pool.name(), failure.text());
            return Err(Problem::Unavailable(format!("{name}: {text}")));
        }
    };
    // unique_violation, duplicate_object and its like, division_by_zero of our own.
    let is_there = state.starts_with("23") || state.starts_with("42P0") || state == "42710";
    if is_there || state == "22012" {
        return Ok(true);
    }
    let abouts: Vec<&str> = steps.iter().map(|step| step.about).collect();
    Err(Problem::Invalid(format!(
        "{}: {} (to version {}): {text} (SQLSTATE {state}){}",
        pool.name(),
        abouts.join("; "),
        begun.from as usize + steps.len(),
        remedy(state)
    )))
}

/// These steps and the version after them, or nothing.
async fn run(pool: &Arc<Pool>, from: u32, steps: &[Step]) -> Result<(), Failure> {
    let to = from as usize + steps.len();
    let take = if from == 0 {
        format!(
            "create schema if not exists restante;
            create table restante.version (number int not null);
            insert into restante.version values ({to});"
        )
    } else {
        // Takes the row; no row: 22012 ends it.
        format!(
            "with taken as (
                update restante.version set number = {to} where number = {from} returning number)
            select 1 / count(*) from taken;"
        )
    };
    let timeout = STEP_TIMEOUT.as_secs();
    let steps: Vec<&str> = steps.iter().map(|step| step.sql).collect();
    let sql = format!(
        "begin; set local lock_timeout = '10s'; set local statement_timeout = '{timeout}s';
        {take}\n{}\ncommit;",
        steps.join("\n")
    );
    let connection = pool.take().await?;
    let end = Instant::now() + STEP_TIMEOUT;
    match timeout_at(end, connection.batch_execute(&sql)).await {
        Ok(Ok(())) => {
            connection.give_back();
            Ok(())
        }
        // It is thrown away with its transaction.
        Ok(Err(error)) => Err(Failure::of(&error)),
        Err(_) => Err(Failure::Unheard("it did not answer in time".to_owned())),
    }
}

async fn pending(pool: &Arc<Pool>, steps: &[Step]) -> Result<Option<Migration>, Problem> {
    let known = steps.len() as u32;
    let sql = "select to_regclass($1) is not null";
    let table: [Parameter<'_>; 1] = [(&"restante.version", Type::TEXT)];
    let is_there = call(pool, sql, &table).await?;
    let is_there: Result<bool, _> = is_there.first().map_or(Ok(false), |row| row.try_get(0));
    let found = if is_there.map_err(|error| odd(pool, &error))? {
        let rows = call(pool, "select number from restante.version", &[]).await?;
        let number = rows.first().map_or(Ok(0), |row| row.try_get::<_, i32>(0));
        number.map_err(|error| odd(pool, &error))?
    } else {
        0
    };
    match u32::try_from(found) {
        Ok(from) if from < known => Ok(Some(Migration {
            database: pool.name().to_owned(),
            from,
            to: known,
            steps: steps[from as usize..]
                .iter()
                .map(|step| step.about)
                .collect(),
        })),
        Ok(from) if from == known => Ok(None),
        _ => Err(Problem::invalid(format!(
            "{}: version {found} of the schema restante is newer than this program ({known}): \
             use the program that made it, or a newer one",
            pool.name()
        ))),
    }
}

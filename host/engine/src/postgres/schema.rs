//! The tables, and the way from those of an older version.

use std::sync::Arc;

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

/// How long a step may take, in seconds of the database's clock.
const STEP_TIMEOUT_S: u32 = 600;

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
    let mut version = None;
    while let Some(migration) = pending(pool, steps).await? {
        // What this call has begun it goes on with.
        if version.is_none() {
            tables.allow(&migration)?;
        }
        // A step that another node made meanwhile was refused here, and is done.
        if version == Some(migration.from) {
            return Err(Problem::Unavailable(format!(
                "{}: the step to version {} was refused twice: see its log",
                pool.name(),
                migration.from + 1
            )));
        }
        version = Some(migration.from);
        let step = &steps[migration.from as usize];
        if let Err(failure) = run(pool, migration.from, step).await {
            tracing::debug!(text = failure.text(), "{}: a step was refused", pool.name());
            let Failure::Refused { state, text } = &failure else {
                return Err(Problem::Unavailable(format!(
                    "{}: {}",
                    pool.name(),
                    failure.text()
                )));
            };
            // Another node is faster: unique_violation, duplicate_object and its like,
            // division_by_zero of our own.
            let raced = state.starts_with("23") || state.starts_with("42P0") || state == "42710";
            if !raced && state != "22012" {
                return Err(Problem::Invalid(format!(
                    "{}: {} (step to version {}): {text} (SQLSTATE {state}){}",
                    pool.name(),
                    step.about,
                    migration.from + 1,
                    remedy(state)
                )));
            }
            sleep(std::time::Duration::from_millis(100)).await;
        }
    }
    Ok(())
}

/// One step and its version, or nothing.
async fn run(pool: &Arc<Pool>, from: u32, step: &Step) -> Result<(), Failure> {
    let take = if from == 0 {
        "create schema if not exists restante;
        create table restante.version (number int not null);
        insert into restante.version values (1);"
            .to_owned()
    } else {
        // Takes the row; no row: 22012 ends it.
        let to = from + 1;
        format!(
            "with taken as (
                update restante.version set number = {to} where number = {from} returning number)
            select 1 / count(*) from taken;"
        )
    };
    let sql = format!(
        "begin; set local lock_timeout = '10s'; set local statement_timeout = '{STEP_TIMEOUT_S}s';
        {take}\n{}\ncommit;",
        step.sql
    );
    let connection = pool.take().await?;
    let end = Instant::now() + std::time::Duration::from_secs(u64::from(STEP_TIMEOUT_S));
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

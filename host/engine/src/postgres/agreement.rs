//! What all servers of the database must agree on.

use std::sync::Arc;

use async_trait::async_trait;
use tokio_postgres::types::Type;

use super::calls::{Parameter, call};
use super::index::Postgres;
use super::pool::Pool;
use super::rows::odd;
use super::settings::Settings;
use crate::agreement::Agreements;
use crate::names;
use crate::problem::Problem;

/// What is noted under a name in a database that has the tables. None: nothing.
///
/// # Errors
/// If it does not answer.
pub async fn agreed(settings: &Settings, name: &str) -> Result<Option<String>, Problem> {
    select(&Pool::new(settings, 1)?, name).await
}

async fn select(pool: &Arc<Pool>, name: &str) -> Result<Option<String>, Problem> {
    let sql = "select said from restante.agreement where name = $1";
    let parameters: [Parameter<'_>; 1] = [(&name, Type::TEXT)];
    let rows = call(pool, sql, &parameters).await?;
    let said = rows.first().map(|row| row.try_get(0)).transpose();
    said.map_err(|error| odd(pool, &error))
}

#[async_trait]
impl Agreements for Postgres {
    async fn agreed(&self, name: &str) -> Result<Option<String>, Problem> {
        names::check("what is agreed on", name)?;
        select(&self.pool, name).await
    }

    async fn agree(&self, name: &str, text: &str) -> Result<String, Problem> {
        names::check("what is agreed on", name)?;
        let sql = "select restante.agree($1, $2)";
        let parameters: [Parameter<'_>; 2] = [(&name, Type::TEXT), (&text, Type::TEXT)];
        let rows = call(&self.pool, sql, &parameters).await?;
        let agreed = self.one(&rows)?.try_get(0);
        agreed.map_err(|error| self.odd(&error))
    }

    async fn agree_anew(&self, name: &str, text: Option<&str>) -> Result<(), Problem> {
        names::check("what is agreed on", name)?;
        let sql = "select restante.agree_anew($1, $2)";
        let parameters: [Parameter<'_>; 2] = [(&name, Type::TEXT), (&text, Type::TEXT)];
        call(&self.pool, sql, &parameters).await.map(drop)
    }
}

//! Holds of all nodes that share the database.

use async_trait::async_trait;
use tokio_postgres::types::Type;

use super::calls::{Parameter, call, call_then};
use super::cluster;
use super::index::Postgres;
use super::rows::{self, signed, unsigned};
use super::uuid::Uuid;
use crate::cluster::{Exchanged, NodeSession, Report, SessionChoice};
use crate::hold::{Acquired, Hold, Holds, Node, Token, Visit, check_folders, check_visit};
use crate::index::{Folder, Summary};
use crate::names;
use crate::problem::Problem;

#[async_trait]
impl Holds for Postgres {
    async fn join(&self, name: &str, about: &str) -> Result<Node, Problem> {
        names::check("the node's name", name)?;
        names::check("what is said about the node", about)?;
        let sql = "select restante.join_node($1, $2, $3)";
        let lasts = self.retention.term.as_secs_f64();
        let parameters: [Parameter<'_>; 3] = [
            (&name, Type::TEXT),
            (&about, Type::TEXT),
            (&lasts, Type::FLOAT8),
        ];
        let rows = call(&self.pool, sql, &parameters).await?;
        let term: i64 = self
            .one(&rows)?
            .try_get(0)
            .map_err(|error| self.odd(&error))?;
        Ok(Node {
            name: name.to_owned(),
            term: unsigned(term),
        })
    }

    async fn exchange(&self, node: &Node, report: &Report) -> Result<Exchanged, Problem> {
        cluster::exchange(self, node, report).await
    }

    async fn sessions_elsewhere(&self, node: &Node) -> Result<Vec<NodeSession>, Problem> {
        cluster::sessions(self, node).await
    }

    async fn end_elsewhere(
        &self,
        node: &Node,
        which: &SessionChoice,
        only: Option<&str>,
    ) -> Result<Vec<NodeSession>, Problem> {
        cluster::end_sessions(self, node, which, only).await
    }

    async fn leave(&self, node: &Node) -> Result<(), Problem> {
        let sql = "select restante.leave($1, $2)";
        let term = signed(node.term);
        let parameters: [Parameter<'_>; 2] = [(&node.name, Type::TEXT), (&term, Type::INT8)];
        call(&self.pool, sql, &parameters).await.map(drop)
    }

    async fn acquire_for(
        &self,
        key: &str,
        node: &Node,
        folders: &[Folder],
        visit: Option<&Visit>,
    ) -> Result<(Acquired, Option<Vec<Summary>>), Problem> {
        names::check("what is to be held", key)?;
        check_folders(folders)?;
        check_visit(visit)?;
        let token = Token::new()?;
        let Some(acquiring) = self.mine.begin(key) else {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            let in_use = Acquired::InUse {
                node: node.name.clone(),
                since: now.unwrap_or_default().as_secs(),
                fence: 0,
                wait: None,
            };
            return Ok((in_use, None));
        };
        let visitor = visit.map(|visit| visit.visitor.as_str());
        let delay = visit.map_or(0.0, |visit| visit.delay.as_secs_f64());
        let elsewhere = visit.map_or(0, |visit| i64::from(visit.most_elsewhere));
        let sql = "select outcome, holder, held_since, hold_fence, wait
            from restante.acquire($1, $2, $3, $4, $5, $6, $7, $8)";
        let parameters: [Parameter<'_>; 8] = [
            (&key, Type::TEXT),
            (&Uuid(token.0), Type::UUID),
            (&node.name, Type::TEXT),
            (&signed(node.term), Type::INT8),
            (&acquiring.is_unknown, Type::BOOL),
            (&visitor, Type::TEXT),
            (&delay, Type::FLOAT8),
            (&elsewhere, Type::INT8),
        ];
        let (rows, states) = match folders.is_empty() {
            true => (call(&self.pool, sql, &parameters).await?, Some(Vec::new())),
            // Not in the statement that holds: that may wait for a removal, and would see
            // what was before it.
            false => {
                let column = |of: fn(&Folder) -> &str| folders.iter().map(of).collect::<Vec<_>>();
                let tenants = column(Folder::tenant);
                let maildrops = column(Folder::maildrop);
                let names = column(Folder::folder);
                let of: [Parameter<'_>; 3] = [
                    (&tenants, Type::TEXT_ARRAY),
                    (&maildrops, Type::TEXT_ARRAY),
                    (&names, Type::TEXT_ARRAY),
                ];
                let asked = call_then(&self.pool, (sql, &parameters), (rows::STATES, &of));
                let (rows, states) = asked.await?;
                let states = states.and_then(|rows| rows::states(&rows, folders).ok());
                (rows, states)
            }
        };
        let row = self.one(&rows)?;
        let odd = |error| self.odd(&error);
        let acquired = match row.try_get(0).map_err(odd)? {
            "held" => {
                let fence: i64 = row.try_get(3).map_err(odd)?;
                acquiring.keep(token);
                let hold = Hold {
                    key: key.to_owned(),
                    token,
                    fence: unsigned(fence),
                };
                (Acquired::Held(hold), states)
            }
            "in use" => {
                let wait: Option<f64> = row.try_get(4).map_err(odd)?;
                let in_use = Acquired::InUse {
                    node: row.try_get(1).map_err(odd)?,
                    since: unsigned(row.try_get(2).map_err(odd)?),
                    fence: unsigned(row.try_get(3).map_err(odd)?),
                    wait: wait.map(cluster::duration),
                };
                (in_use, None)
            }
            "too soon" => {
                let wait: f64 = row.try_get(4).map_err(odd)?;
                (Acquired::TooSoon(cluster::duration(wait)), None)
            }
            "too many" => (Acquired::TooMany, None),
            _ => return Err(Problem::Lost),
        };
        Ok(acquired)
    }

    async fn release(&self, hold: &Hold) -> Result<(), Problem> {
        self.end_hold("select restante.release($1, $2)", hold).await
    }

    async fn release_login(&self, hold: &Hold) -> Result<(), Problem> {
        let sql = "select restante.release_login($1, $2)";
        self.end_hold(sql, hold).await
    }

    async fn check(&self, hold: &Hold) -> Result<(), Problem> {
        let sql = "select 1 from restante.hold where key = $1 and token = $2";
        let token = Uuid(hold.token.0);
        let parameters: [Parameter<'_>; 2] = [(&hold.key, Type::TEXT), (&token, Type::UUID)];
        match call(&self.pool, sql, &parameters).await?.is_empty() {
            true => {
                self.mine.forget(hold);
                Err(Problem::Lost)
            }
            false => Ok(()),
        }
    }
}

impl Postgres {
    async fn end_hold(&self, sql: &str, hold: &Hold) -> Result<(), Problem> {
        // Even if the database does not hear of it: this node may take it back then.
        self.mine.forget(hold);
        let token = Uuid(hold.token.0);
        let parameters: [Parameter<'_>; 2] = [(&hold.key, Type::TEXT), (&token, Type::UUID)];
        call(&self.pool, sql, &parameters).await.map(drop)
    }
}

//! Holds of one process.

use std::sync::atomic::Ordering;
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use rusqlite::{OptionalExtension, Transaction};

use super::aborted::Aborted;
use super::failure::{signed, unsigned};
use super::index::Sqlite;
use super::{rows, tokens};
use crate::cluster::{Exchanged, News, NodeSession, Report, SessionChoice};
use crate::hold::{Acquired, Hold, Holds, Node, Token, Visit, check_folders, check_visit};
use crate::index::{Folder, Summary};
use crate::names;
use crate::problem::Problem;

#[async_trait]
impl Holds for Sqlite {
    /// The file is locked for this process, and holds are in its memory. A heartbeat would wait
    /// behind whatever is written, and tell of the disk.
    fn has_terms(&self) -> bool {
        false
    }

    async fn join(&self, name: &str, about: &str) -> Result<Node, Problem> {
        names::check("the node's name", name)?;
        names::check("what is said about the node", about)?;
        let (name, next) = (name.to_owned(), self.next.clone());
        self.change_holds(move |transaction| {
            let term = next.fetch_add(1, Ordering::Relaxed);
            let sql =
                "insert or replace into temp.node (name, term, is_running) values (?1, ?2, 1)";
            transaction
                .prepare_cached(sql)?
                .execute((&name, signed(term)))?;
            Ok(Node { name, term })
        })
        .await
    }

    /// There is nobody to tell.
    async fn exchange(&self, node: &Node, _: &Report) -> Result<Exchanged, Problem> {
        let node = node.clone();
        self.change_holds(move |transaction| check_term(transaction, &node))
            .await?;
        Ok(Exchanged::News(News::default()))
    }

    async fn sessions_elsewhere(&self, _: &Node) -> Result<Vec<NodeSession>, Problem> {
        Ok(Vec::new())
    }

    async fn end_elsewhere(
        &self,
        _: &Node,
        _: &SessionChoice,
        _: Option<&str>,
    ) -> Result<Vec<NodeSession>, Problem> {
        Ok(Vec::new())
    }

    async fn leave(&self, node: &Node) -> Result<(), Problem> {
        let node = node.clone();
        self.change_holds(move |transaction| {
            let sql = "update temp.node set is_running = 0 where name = ?1 and term = ?2";
            transaction
                .prepare_cached(sql)?
                .execute((&node.name, signed(node.term)))?;
            Ok(())
        })
        .await
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
        let (key, node, token) = (key.to_owned(), node.clone(), Token::new()?);
        let next = self.next.clone();
        let acquiring = self.change_holds(move |transaction| {
            check_term(transaction, &node)?;
            let sql = "select h.node, h.since, h.fence from temp.hold h
                join temp.node n on n.name = h.node and n.term = h.term
                where h.key = ?1 and n.is_running";
            let mut select = transaction.prepare_cached(sql)?;
            let held = select.query_row((&key,), |row| {
                Ok(Acquired::InUse {
                    node: row.get(0)?,
                    since: unsigned(row.get(1)?),
                    fence: unsigned(row.get(2)?),
                    // One process counts its logins itself.
                    wait: None,
                })
            });
            if let Some(in_use) = held.optional()? {
                return Ok(in_use);
            }
            let sql = "insert or replace into temp.hold (key, token, node, term, since, fence)
                values (?1, ?2, ?3, ?4, ?5, ?6)";
            let fence = next.fetch_add(1, Ordering::Relaxed);
            let since = SystemTime::now().duration_since(UNIX_EPOCH);
            let since = signed(since.unwrap_or_default().as_secs());
            let (term, number) = (signed(node.term), signed(fence));
            let values = (&key, &token.0[..], &node.name, term, since, number);
            transaction.prepare_cached(sql)?.execute(values)?;
            Ok(Acquired::Held(Hold { key, token, fence }))
        });
        let acquired = acquiring.await?;
        let states = match &acquired {
            Acquired::InUse { .. } | Acquired::TooSoon(_) | Acquired::TooMany => None,
            // Holds are in memory, and stay apart from what may wait for the disk: whoever has
            // the hold by now gives it back if that takes too long.
            Acquired::Held(_) => self.states(folders).await,
        };
        Ok((acquired, states))
    }

    async fn release(&self, hold: &Hold) -> Result<(), Problem> {
        let hold = hold.clone();
        self.change_holds(move |transaction| {
            let sql = "delete from temp.hold where key = ?1 and token = ?2";
            transaction
                .prepare_cached(sql)?
                .execute((&hold.key, &hold.token.0[..]))?;
            Ok(())
        })
        .await
    }

    async fn release_login(&self, hold: &Hold) -> Result<(), Problem> {
        self.release(hold).await
    }

    async fn check(&self, hold: &Hold) -> Result<(), Problem> {
        let hold = hold.clone();
        self.change_holds(move |transaction| tokens::check(transaction, &hold))
            .await
    }
}

impl Sqlite {
    /// Of each folder in short. None: whoever needs them asks the index, and is told there why it
    /// cannot be read.
    async fn states(&self, folders: &[Folder]) -> Option<Vec<Summary>> {
        if folders.is_empty() {
            return Some(Vec::new());
        }
        let folders = folders.to_vec();
        let looking = self.look(move |transaction| {
            let folders = folders.iter();
            let states = folders.map(|folder| rows::summary(transaction, folder));
            Ok(states.collect::<rusqlite::Result<Vec<Summary>>>()?)
        });
        looking.await.ok()
    }
}

/// Whether this is the name's term, and it has not left.
fn check_term(transaction: &Transaction<'_>, node: &Node) -> Result<(), Aborted> {
    let sql = "select 1 from temp.node where name = ?1 and term = ?2 and is_running";
    let mut select = transaction.prepare_cached(sql)?;
    match select.exists((&node.name, signed(node.term)))? {
        true => Ok(()),
        false => Err(Problem::Lost.into()),
    }
}

//! Holds in memory.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;

use super::index::Memory;
use super::state::{Holder, State, Term};
use crate::hold::{Acquired, Hold, Holds, Node, Token, check_folders};
use crate::index::{Folder, Summary};
use crate::names;
use crate::problem::Problem;
use crate::retention::Retention;

#[async_trait]
impl Holds for Memory {
    async fn join(&self, name: &str, about: &str) -> Result<Node, Problem> {
        names::check("the node's name", name)?;
        names::check("what is said about the node", about)?;
        let mut state = self.state.lock();
        let before = state.nodes.get(name).map_or(0, |term| term.number);
        let term = Term {
            number: before + 1,
            beat: Some(Instant::now()),
        };
        state.nodes.insert(name.to_owned(), term);
        Ok(Node {
            name: name.to_owned(),
            term: term.number,
        })
    }

    async fn beat(&self, node: &Node) -> Result<(), Problem> {
        let mut state = self.state.lock();
        let term = state.term_mut(node).ok_or(Problem::Lost)?;
        term.beat = Some(Instant::now());
        Ok(())
    }

    async fn leave(&self, node: &Node) -> Result<(), Problem> {
        let mut state = self.state.lock();
        if let Some(term) = state.term_mut(node) {
            term.beat = None;
        }
        Ok(())
    }

    async fn acquire_with_states(
        &self,
        key: &str,
        node: &Node,
        folders: &[Folder],
    ) -> Result<(Acquired, Option<Vec<Summary>>), Problem> {
        names::check("what is to be held", key)?;
        check_folders(folders)?;
        let token = Token::new()?;
        let mut state = self.state.lock();
        if !state.is_running(&node.name, node.term, &self.retention) {
            return Err(Problem::Lost);
        }
        if let Some(holder) = state.holds.get(key)
            && state.is_running(&holder.node, holder.term, &self.retention)
        {
            let in_use = Acquired::InUse {
                node: holder.node.clone(),
                since: holder.since,
            };
            return Ok((in_use, None));
        }
        state.fence += 1;
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let holder = Holder {
            token,
            node: node.name.clone(),
            term: node.term,
            since: now.unwrap_or_default().as_secs(),
        };
        state.holds.insert(key.to_owned(), holder);
        let hold = Hold {
            key: key.to_owned(),
            token,
            fence: state.fence,
        };
        let states = folders.iter().map(|folder| state.summary(folder));
        Ok((Acquired::Held(hold), Some(states.collect())))
    }

    async fn release(&self, hold: &Hold) -> Result<(), Problem> {
        let mut state = self.state.lock();
        if state.check(hold).is_ok() {
            state.holds.remove(&hold.key);
        }
        Ok(())
    }

    async fn check(&self, hold: &Hold) -> Result<(), Problem> {
        self.state.lock().check(hold)
    }
}

impl State {
    /// The term of this node, if it is the last one of its name and was not left.
    fn term_mut(&mut self, node: &Node) -> Option<&mut Term> {
        let term = self.nodes.get_mut(&node.name)?;
        (term.number == node.term && term.beat.is_some()).then_some(term)
    }

    fn is_running(&self, name: &str, number: u64, retention: &Retention) -> bool {
        let term = self.nodes.get(name).filter(|term| term.number == number);
        let beat = term.and_then(|term| term.beat);
        beat.is_some_and(|beat| beat.elapsed() < retention.term)
    }
}

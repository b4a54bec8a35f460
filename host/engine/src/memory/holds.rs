//! Holds in memory.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;

use super::index::Memory;
use super::state::{Holder, State, Term};
use crate::bounds::MAX_SESSIONS_TOLD;
use crate::cluster::{Exchanged, News, NodeSession, Report, SessionChoice};
use crate::hold::{Acquired, Hold, Holds, Node, Token, Visit, check_folders, check_visit};
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

    async fn exchange(&self, node: &Node, report: &Report) -> Result<Exchanged, Problem> {
        let mut state = self.state.lock();
        let term = state.term_mut(node).ok_or(Problem::Lost)?;
        term.beat = Some(Instant::now());
        if report.is_deaf {
            return Ok(Exchanged::News(News::default()));
        }
        state.cluster.note(node, report);
        Ok(Exchanged::News(state.cluster.news(node, report)))
    }

    async fn sessions_elsewhere(&self, node: &Node) -> Result<Vec<NodeSession>, Problem> {
        let state = self.state.lock();
        let running = |name: &str, term| state.is_running(name, term, &self.retention);
        let mut told = state.cluster.sessions(node, running);
        told.sort_by(|one, other| (one.since, &one.id).cmp(&(other.since, &other.id)));
        told.truncate(MAX_SESSIONS_TOLD);
        Ok(told)
    }

    async fn end_elsewhere(
        &self,
        node: &Node,
        which: &SessionChoice,
        only: Option<&str>,
    ) -> Result<Vec<NodeSession>, Problem> {
        let mut state = self.state.lock();
        let is_asked = |name: &str| name != node.name && only.is_none_or(|only| only == name);
        let mut asked = Vec::new();
        for (name, term) in &state.nodes {
            if is_asked(name) && state.is_running(name, term.number, &self.retention) {
                asked.push((name.clone(), term.number));
            }
        }
        let running =
            |name: &str, term| is_asked(name) && state.is_running(name, term, &self.retention);
        let mut known = state.cluster.sessions(node, running);
        known.retain(|session| session.is_meant_by(which));
        for (name, term) in asked {
            state.cluster.ask(name, term, which.clone());
        }
        Ok(known)
    }

    async fn leave(&self, node: &Node) -> Result<(), Problem> {
        let mut state = self.state.lock();
        if let Some(term) = state.term_mut(node) {
            term.beat = None;
        }
        Ok(())
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
        let mut state = self.state.lock();
        if !state.is_running(&node.name, node.term, &self.retention) {
            return Err(Problem::Lost);
        }
        if let Some(holder) = state.holds.get(key)
            && state.is_running(&holder.node, holder.term, &self.retention)
        {
            let visit = visit.filter(|visit| holder.visitor.as_ref() == Some(&visit.visitor));
            let wait = match visit {
                Some(visit) => {
                    let last = Some(holder.acquired.elapsed());
                    match state.refused(visit, key, node, &self.retention, last) {
                        Some(Acquired::TooMany) => return Ok((Acquired::TooMany, None)),
                        Some(Acquired::TooSoon(wait)) => Some(wait),
                        _ => Some(Duration::ZERO),
                    }
                }
                None => None,
            };
            let in_use = Acquired::InUse {
                node: holder.node.clone(),
                since: holder.since,
                fence: holder.fence,
                wait,
            };
            return Ok((in_use, None));
        }
        if let Some(visit) = visit
            && let Some(refused) = state.refused(visit, key, node, &self.retention, None)
        {
            return Ok((refused, None));
        }
        state.fence += 1;
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let holder = Holder {
            token,
            fence: state.fence,
            node: node.name.clone(),
            term: node.term,
            since: now.unwrap_or_default().as_secs(),
            acquired: Instant::now(),
            visitor: visit.map(|visit| visit.visitor.clone()),
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

    async fn release_login(&self, hold: &Hold) -> Result<(), Problem> {
        let mut state = self.state.lock();
        if state.check(hold).is_ok()
            && let Some(holder) = state.holds.remove(&hold.key)
            && let Some(visitor) = holder.visitor
        {
            let visit = (visitor, holder.acquired);
            state.visits.insert(hold.key.clone(), visit);
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

    /// Why this visitor does not get this key. `last`: a login that has it still was so long ago.
    fn refused(
        &self,
        visit: &Visit,
        key: &str,
        node: &Node,
        retention: &Retention,
        last: Option<Duration>,
    ) -> Option<Acquired> {
        let visits = self.visits.values();
        let of_visitor = visits.filter(|(visitor, _)| *visitor == visit.visitor);
        let last = of_visitor.map(|(_, at)| at.elapsed()).chain(last).min();
        if let Some(wait) = last.and_then(|ago| visit.delay.checked_sub(ago))
            && !wait.is_zero()
        {
            return Some(Acquired::TooSoon(wait));
        }
        let elsewhere = self.holds.iter().filter(|(held, holder)| {
            holder.visitor.as_ref() == Some(&visit.visitor)
                && *held != key
                && holder.node != node.name
                && self.is_running(&holder.node, holder.term, retention)
        });
        let is_one_too_many = elsewhere.count() > visit.most_elsewhere as usize;
        is_one_too_many.then_some(Acquired::TooMany)
    }

    fn is_running(&self, name: &str, number: u64, retention: &Retention) -> bool {
        let term = self.nodes.get(name).filter(|term| term.number == number);
        let beat = term.and_then(|term| term.beat);
        beat.is_some_and(|beat| beat.elapsed() < retention.term)
    }
}

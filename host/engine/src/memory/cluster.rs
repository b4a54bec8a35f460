//! What nodes told one another, in memory.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use crate::bounds::MAX_NEWS_ROWS;
use crate::cluster::{News, NodeSession, Penalty, Report, SessionChoice};
use crate::hold::Node;

#[derive(Debug, Default)]
pub(super) struct Cluster {
    /// By node: the term, and the sessions by their ids.
    sessions: HashMap<String, (u64, BTreeMap<String, NodeSession>)>,
    /// By client and node, each with its number.
    penalties: HashMap<(String, String), (u64, Owed)>,
    asked: Vec<Asked>,
    /// The last number that was given.
    numbers: u64,
}

#[derive(Debug, Clone, Copy)]
struct Owed {
    failures: u32,
    told: Instant,
    /// How old it was then.
    age: Duration,
    /// How long it counted then.
    remaining: Duration,
}

#[derive(Debug)]
struct Asked {
    number: u64,
    node: String,
    term: u64,
    which: SessionChoice,
    since: Instant,
}

impl Cluster {
    /// What this node tells.
    pub(super) fn note(&mut self, node: &Node, report: &Report) {
        if report.is_whole {
            let none = (node.term, BTreeMap::new());
            self.sessions.insert(node.name.clone(), none);
        }
        // Without a whole report, it is told that one is due.
        if let Some((term, sessions)) = self.sessions.get_mut(&node.name)
            && *term == node.term
        {
            for id in &report.ended {
                sessions.remove(id);
            }
            for session in &report.begun {
                let session = NodeSession {
                    node: node.name.clone(),
                    ..session.clone()
                };
                sessions.insert(session.id.clone(), session);
            }
        }
        for penalty in &report.penalties {
            self.numbers += 1;
            let owed = Owed {
                failures: penalty.failures,
                told: Instant::now(),
                age: penalty.age,
                remaining: penalty.remaining,
            };
            let of = (penalty.network.clone(), node.name.clone());
            self.penalties.insert(of, (self.numbers, owed));
        }
        self.penalties
            .retain(|_, (_, owed)| owed.told.elapsed() < owed.remaining);
        self.asked.retain(|asked| {
            asked.since.elapsed() < asked.which.lasts()
                && !(asked.node == node.name && report.heard.contains(&asked.number))
        });
    }

    /// What others told it.
    pub(super) fn news(&self, node: &Node, report: &Report) -> News {
        let is_report_lost = self
            .sessions
            .get(&node.name)
            .is_none_or(|(term, _)| *term != node.term);
        let for_node = self.asked.iter();
        let for_node = for_node.filter(|asked| asked.node == node.name && asked.term == node.term);
        let last = match report.last_penalty <= self.numbers {
            true => report.last_penalty,
            false => 0,
        };
        let mut fresh: Vec<_> = self
            .penalties
            .iter()
            .filter(|((_, from), (number, _))| *from != node.name && *number > last)
            .collect();
        fresh.sort_by_key(|(_, (number, _))| std::cmp::Reverse(*number));
        let left_out = fresh.len().saturating_sub(MAX_NEWS_ROWS) as u64;
        let penalties = fresh.iter().take(MAX_NEWS_ROWS);
        let penalties = penalties.map(|((network, _), (_, owed))| Penalty {
            network: network.clone(),
            failures: owed.failures,
            age: owed.age.saturating_add(owed.told.elapsed()),
            remaining: owed.remaining.saturating_sub(owed.told.elapsed()),
        });
        News {
            is_report_lost,
            asked: for_node
                .map(|asked| (asked.number, asked.which.clone()))
                .collect(),
            penalties: penalties.collect(),
            left_out,
            last_penalty: fresh
                .first()
                .map_or(report.last_penalty, |(_, (number, _))| *number),
        }
    }

    /// Sessions of other nodes, of terms that are running.
    pub(super) fn sessions(
        &self,
        node: &Node,
        is_running: impl Fn(&str, u64) -> bool,
    ) -> Vec<NodeSession> {
        let others = self.sessions.iter();
        let others =
            others.filter(|(name, (term, _))| **name != node.name && is_running(name, *term));
        others
            .flat_map(|(_, (_, sessions))| sessions.values().cloned())
            .collect()
    }

    pub(super) fn ask(&mut self, node: String, term: u64, which: SessionChoice) {
        self.numbers += 1;
        self.asked.push(Asked {
            number: self.numbers,
            node,
            term,
            which,
            since: Instant::now(),
        });
    }
}

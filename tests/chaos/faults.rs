//! What goes wrong, and when: by a seed, so that a schedule can be had again. What the
//! processes do in between is theirs.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::cluster::{Cluster, NODES};

/// What may go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// `kill -9` of a server, which is started again.
    Kill,
    /// A server stands still for less than a term.
    StandStill,
    /// A server stands still until others may have its maildrops.
    StandStillLong,
    /// Back ends of the database are ended.
    TerminateBackEnds,
    /// The primary is killed and its standby promoted.
    FailOver,
    /// Nothing passes between a server and the database, and nobody is told.
    Stall,
    /// The connections between a server and the database are cut, and there are no new ones.
    Cut,
    /// Changes arrive, and their answers are lost.
    LoseAnswers,
}

/// In the order in which each has its first turn: what takes longest begins.
pub(crate) const ALL: [Fault; 8] = [
    Fault::StandStillLong,
    Fault::LoseAnswers,
    Fault::Kill,
    Fault::Cut,
    Fault::FailOver,
    Fault::Stall,
    Fault::TerminateBackEnds,
    Fault::StandStill,
];

/// How often each comes after that.
const WEIGHTS: [(Fault, u32); 8] = [
    (Fault::StandStillLong, 2),
    (Fault::LoseAnswers, 4),
    (Fault::Kill, 4),
    (Fault::Cut, 3),
    (Fault::FailOver, 1),
    (Fault::Stall, 3),
    (Fault::TerminateBackEnds, 4),
    (Fault::StandStill, 4),
];

/// How long to go on at most until an answer was lost: changes come when they come.
const EXTRA: Duration = Duration::from_secs(60);

/// What ends a fault.
#[derive(Debug, Clone, Copy)]
enum End {
    Start(usize),
    Continue(usize),
    Flow(usize),
    Accept(usize),
}

/// Faults under way.
struct Chaos<'a> {
    cluster: &'a mut Cluster,
    rng: Rng,
    ends: Vec<(Instant, End)>,
    /// Servers that are killed or stand still, and ways that are closed.
    is_down: [bool; NODES.len()],
    is_closed: [bool; NODES.len()],
    counts: BTreeMap<Fault, u32>,
}

/// Has things go wrong until then, each kind at least once; nothing is wrong any more when
/// this returns how often each was.
pub(crate) fn run(cluster: &mut Cluster, rng: Rng, until: Instant) -> BTreeMap<Fault, u32> {
    let mut chaos = Chaos {
        cluster,
        rng,
        ends: Vec::new(),
        is_down: [false; NODES.len()],
        is_closed: [false; NODES.len()],
        counts: BTreeMap::new(),
    };
    let mut first = ALL.to_vec();
    first.reverse();
    while chaos.goes_on(&first, until) {
        match first.pop() {
            Some(fault) if !chaos.begin(fault) => first.push(fault),
            Some(_) => {}
            None => {
                let fault = chaos.any();
                chaos.begin(fault);
            }
        }
        let pause = Duration::from_millis(chaos.rng.u64(200..1_000));
        chaos.wait(pause);
    }
    chaos.end(None);
    let links = chaos.cluster.nodes.iter().map(|node| &node.link);
    for link in links.chain([&chaos.cluster.link]) {
        link.lose_answers(0);
    }
    chaos.counts
}

impl Chaos<'_> {
    fn goes_on(&self, first: &[Fault], until: Instant) -> bool {
        let now = Instant::now();
        let waits = self.cluster.lost_answers() == 0 && now < until + EXTRA;
        now < until || !first.is_empty() || waits
    }

    /// Ends meanwhile what is to end.
    fn wait(&mut self, pause: Duration) {
        let until = Instant::now() + pause;
        while Instant::now() < until {
            self.end(Some(Instant::now()));
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends what was to end by then; none: everything.
    fn end(&mut self, by: Option<Instant>) {
        let due = |(at, _): &mut (Instant, End)| by.is_none_or(|by| *at <= by);
        let due: Vec<_> = self.ends.extract_if(.., due).collect();
        for (_, end) in due {
            match end {
                End::Start(node) => self.cluster.start_node(node),
                End::Continue(node) => self.cluster.continue_node(node),
                End::Flow(node) => self.cluster.nodes[node].link.stall(false),
                End::Accept(node) => self.cluster.nodes[node].link.refuse(false),
            }
            match end {
                End::Start(node) | End::Continue(node) => self.is_down[node] = false,
                End::Flow(node) | End::Accept(node) => self.is_closed[node] = false,
            }
        }
    }

    fn any(&mut self) -> Fault {
        let all: u32 = WEIGHTS.iter().map(|(_, weight)| weight).sum();
        let mut left = self.rng.u32(..all);
        for (fault, weight) in WEIGHTS {
            match left.checked_sub(weight) {
                Some(less) => left = less,
                None => return fault,
            }
        }
        Fault::Kill
    }

    /// Whether it could begin: not where another one of its kind is under way.
    fn begin(&mut self, fault: Fault) -> bool {
        let node = self.rng.usize(..NODES.len());
        let begun = match fault {
            Fault::Kill => self.takes_down(node, 0..3_000, End::Start(node)),
            Fault::StandStill => self.takes_down(node, 500..8_000, End::Continue(node)),
            Fault::StandStillLong => self.takes_down(node, 11_000..15_000, End::Continue(node)),
            Fault::Stall => self.closes(node, 500..8_000, End::Flow(node)),
            Fault::Cut => self.closes(node, 100..4_000, End::Accept(node)),
            Fault::TerminateBackEnds | Fault::FailOver | Fault::LoseAnswers => true,
        };
        if !begun {
            return false;
        }
        match fault {
            Fault::Kill => self.cluster.kill_node(node),
            Fault::StandStill | Fault::StandStillLong => self.cluster.stop_node(node),
            Fault::Stall => self.cluster.nodes[node].link.stall(true),
            Fault::Cut => {
                self.cluster.nodes[node].link.refuse(true);
                self.cluster.nodes[node].link.cut();
            }
            Fault::TerminateBackEnds => {
                let limit = self.rng.u32(1..20);
                self.cluster.terminate_back_ends(limit);
            }
            Fault::FailOver => {
                let gap = Duration::from_millis(self.rng.u64(..2_000));
                self.cluster.fail_over(gap);
            }
            Fault::LoseAnswers => {
                // The inquiries that follow are lost too, if there are as many.
                let answers = self.rng.u32(1..5);
                self.cluster.nodes[node].link.lose_answers(answers);
                self.cluster.link.lose_answers(self.rng.u32(..3));
            }
        }
        *self.counts.entry(fault).or_default() += 1;
        true
    }

    fn takes_down(&mut self, node: usize, ms: std::ops::Range<u64>, end: End) -> bool {
        let is_up = !self.is_down[node];
        if is_up {
            self.is_down[node] = true;
            self.ends_after(ms, end);
        }
        is_up
    }

    fn closes(&mut self, node: usize, ms: std::ops::Range<u64>, end: End) -> bool {
        let is_open = !self.is_closed[node];
        if is_open {
            self.is_closed[node] = true;
            self.ends_after(ms, end);
        }
        is_open
    }

    fn ends_after(&mut self, ms: std::ops::Range<u64>, end: End) {
        let after = Duration::from_millis(self.rng.u64(ms));
        self.ends.push((Instant::now() + after, end));
    }
}

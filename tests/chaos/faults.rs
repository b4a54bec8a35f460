//! What goes wrong, and when: by a seed, so that a schedule can be had again. What the
//! processes do in between is theirs.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::ops::Range;
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::cluster::{Cluster, NODES};
use crate::history::History;

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

/// What went wrong.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    pub(crate) counts: BTreeMap<Fault, u32>,
    /// A line for each, and for its end, by the clock of the history.
    pub(crate) log: Vec<String>,
}

/// Faults under way.
struct Chaos<'a> {
    cluster: &'a mut Cluster,
    history: &'a History,
    rng: Rng,
    ends: Vec<(Instant, End)>,
    /// Servers that are killed or stand still, and ways that are closed.
    is_down: [bool; NODES.len()],
    is_closed: [bool; NODES.len()],
    faults: Faults,
}

/// Has things go wrong until then, each kind at least once; nothing is wrong any more when
/// this returns.
pub(crate) fn run(
    cluster: &mut Cluster,
    history: &History,
    mut rng: Rng,
    until: Instant,
) -> Faults {
    let mut chaos = Chaos {
        cluster,
        history,
        rng: rng.fork(),
        ends: Vec::new(),
        is_down: [false; NODES.len()],
        is_closed: [false; NODES.len()],
        faults: Faults::default(),
    };
    let mut first = ALL.to_vec();
    first.reverse();
    while chaos.goes_on(&first, until) {
        // However much a step draws, the next one begins with the same.
        chaos.rng = rng.fork();
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
    chaos.faults
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
            let (End::Start(node) | End::Continue(node) | End::Flow(node) | End::Accept(node)) =
                end;
            match end {
                End::Start(_) | End::Continue(_) => self.is_down[node] = false,
                End::Flow(_) | End::Accept(_) => self.is_closed[node] = false,
            }
            self.log(&end, NODES[node]);
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

    /// Whether it could begin: not where others of its kind are under way everywhere.
    fn begin(&mut self, fault: Fault) -> bool {
        let first = self.rng.usize(..NODES.len());
        let mut from_first = (0..NODES.len()).map(|step| (first + step) % NODES.len());
        let node = match fault {
            Fault::Kill | Fault::StandStill | Fault::StandStillLong => {
                from_first.find(|node| !self.is_down[*node])
            }
            Fault::Stall | Fault::Cut => from_first.find(|node| !self.is_closed[*node]),
            Fault::TerminateBackEnds | Fault::FailOver | Fault::LoseAnswers => Some(first),
        };
        let Some(node) = node else {
            return false;
        };
        match fault {
            Fault::Kill => self.takes_down(node, 0..3_000, End::Start(node)),
            Fault::StandStill => self.takes_down(node, 500..8_000, End::Continue(node)),
            Fault::StandStillLong => self.takes_down(node, 11_000..15_000, End::Continue(node)),
            Fault::Stall => self.closes(node, 500..8_000, End::Flow(node)),
            Fault::Cut => self.closes(node, 100..4_000, End::Accept(node)),
            Fault::TerminateBackEnds | Fault::FailOver | Fault::LoseAnswers => {}
        }
        match fault {
            Fault::FailOver | Fault::TerminateBackEnds => self.log(&fault, "the database"),
            _ => self.log(&fault, NODES[node]),
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
        *self.faults.counts.entry(fault).or_default() += 1;
        true
    }

    fn log(&mut self, what: &dyn Debug, place: &str) {
        let at = self.history.elapsed().as_secs_f64();
        let line = format!("{at:>11.6} s  {what:?}: {place}");
        self.faults.log.push(line);
    }

    fn takes_down(&mut self, node: usize, ms: Range<u64>, end: End) {
        self.is_down[node] = true;
        self.ends_after(ms, end);
    }

    fn closes(&mut self, node: usize, ms: Range<u64>, end: End) {
        self.is_closed[node] = true;
        self.ends_after(ms, end);
    }

    fn ends_after(&mut self, ms: Range<u64>, end: End) {
        let after = Duration::from_millis(self.rng.u64(ms));
        self.ends.push((Instant::now() + after, end));
    }
}

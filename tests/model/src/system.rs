//! All of it together: what can happen next, and what must be true at any time.

use stateright::{Model, Property};

use crate::database::{Database, Hold, Phase, Transaction};
use crate::node::{Node, Removal, Session};
use crate::{Messages, NODES, NodeId, SECOND, Token, properties};

/// How the hold is made: the design, or one with a fault that the checker has to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Design {
    /// The removal looks at the token under the row lock.
    pub token_check: bool,
    /// Whoever asks how a commit ended writes, and so waits for the standby as it did.
    pub inquiry_writes: bool,
    /// Each removal leaves a marker of its own, not one that the next overwrites.
    pub marker_each: bool,
    /// A node takes over what it holds itself by a token that nobody knows any more.
    pub own_term_too: bool,
}

impl Design {
    /// As built.
    pub const BUILT: Self = Self {
        token_check: true,
        inquiry_writes: true,
        marker_each: true,
        own_term_too: true,
    };
}

/// What the client of a holder was told at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Nothing yet, or nothing at all: the connection ended.
    Nothing,
    /// +OK to a QUIT that removes these messages.
    Removed(Messages),
    /// -ERR: nothing was removed.
    Refused,
}

/// The delivery of the second message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Delivery {
    /// To come.
    Awaited,
    /// Sent to this server.
    Sent(u8),
    /// The connection was lost before an answer.
    Unknown,
    /// The mail server was told 250.
    Acknowledged,
    /// The mail server was told 451, or nothing.
    Refused,
}

/// Everything that is the case.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// The primary and its synchronous standby; after the fail-over what was the primary, which
    /// nobody told, and what was the standby.
    pub databases: [Database; 2],
    /// Whether the standby was promoted.
    pub promoted: bool,
    /// The nodes.
    pub nodes: [Node; NODES],
    /// What each holder's client was told, by token.
    pub outcomes: Vec<Outcome>,
    /// The delivery.
    pub delivery: Delivery,
    /// How many faults may still come.
    pub faults: u8,
}

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The statement that acquires, and the listing behind it.
    Acquire(NodeId),
    /// Fault: the same, but the connection is lost before the answer.
    AcquireUnheard(NodeId),
    /// The session ends without a removal.
    Release(NodeId),
    /// The removal is sent.
    Begin(NodeId),
    /// The server gets the row lock for a removal and looks at its token.
    Check(u8, u8),
    /// The server has the commit of a removal in its log.
    Log(u8, u8),
    /// A removal whose connection is lost is rolled back.
    RollBack(u8, u8),
    /// The standby has all of the log; commits that waited for it are seen and answered.
    Replicate,
    /// A commit at the server that was promoted.
    Commit(u8),
    /// The client is told how its removal ended.
    Tell(NodeId),
    /// The node asks on a new connection how its removal ended: by sending it again.
    Ask(NodeId),
    /// Nobody can say: the client's connection is closed without an answer.
    GiveUp(NodeId),
    /// Fault: the connection of a removal is lost.
    Cut(NodeId),
    /// The node connects to the server that was promoted.
    Reconnect(NodeId),
    /// Fault: the node's process ends, and starts again with a new term.
    Restart(NodeId),
    /// Fault: the node is stopped (SIGSTOP, a pause of its machine) or out of reach, until the
    /// database's clock is past its term. That it goes on is any step of it afterwards; what was
    /// sent before goes on in the server meanwhile.
    Expire(NodeId),
    /// The node hears that its term is over, and begins another.
    Over(NodeId),
    /// A message is delivered to a server.
    Append(u8),
    /// Fault: the connection of the delivery is lost.
    CutAppend,
    /// It is asked on a new connection whether the delivery was committed.
    AskAppend(u8),
    /// Fault: the primary crashes and is started again. With true, what nobody waited for is lost.
    Crash(bool),
    /// Fault: the primary is cut off and the standby promoted.
    FailOver,
}

/// The model: a design, and how much may happen.
#[derive(Clone, Debug)]
pub struct System {
    /// How it is made.
    pub design: Design,
    /// How many hold the maildrop, one after another.
    pub holders: u8,
    /// Faults in one run.
    pub faults: u8,
    /// Whether a message is delivered meanwhile.
    pub delivers: bool,
}

impl System {
    fn answers(state: &State, node: usize) -> bool {
        // A server that is cut off serves whoever is on its side; a standby serves nobody.
        state.nodes[node].side == 0 || state.promoted
    }

    fn actions_of_node(&self, state: &State, id: NodeId, actions: &mut Vec<Action>) {
        let node = state.nodes[usize::from(id)];
        let database = &state.databases[usize::from(node.side)];
        let parted = node.side == 0 && state.promoted;
        if parted {
            actions.push(Action::Reconnect(id));
        }
        // To the new primary a node on the other side is silent, without a fault more.
        let lasts = state.databases[usize::from(state.promoted)].terms[usize::from(id)].lasts;
        if lasts && (parted || state.faults > 0) {
            actions.push(Action::Expire(id));
        }
        if state.faults > 0 {
            actions.push(Action::Restart(id));
        }
        let term = database.terms[usize::from(id)];
        if !(term.lasts && term.number == node.term) {
            actions.push(Action::Over(id));
        }
        match node.session {
            Session::Idle => {
                let left = state.outcomes.len() < usize::from(self.holders);
                let free = database.is_free_for(id, node.term, self.design.own_term_too);
                if left && free && !database.is_locked() {
                    actions.push(Action::Acquire(id));
                    if state.faults > 0 {
                        actions.push(Action::AcquireUnheard(id));
                    }
                }
            }
            Session::Holding { listed, .. } => {
                // Releasing writes the row, and so waits for its lock.
                if !database.is_locked() {
                    actions.push(Action::Release(id));
                }
                if listed != 0 {
                    actions.push(Action::Begin(id));
                }
            }
            Session::Removing { removal, again, .. } => match removal {
                Removal::Unknown => {
                    if !again {
                        actions.push(Action::Ask(id));
                    }
                    actions.push(Action::GiveUp(id));
                }
                Removal::Begun | Removal::Committed | Removal::Refused => {
                    if removal != Removal::Begun {
                        actions.push(Action::Tell(id));
                    }
                    if state.faults > 0 {
                        actions.push(Action::Cut(id));
                    }
                }
            },
        }
    }

    fn actions_of_database(state: &State, side: u8, actions: &mut Vec<Action>) {
        let database = &state.databases[usize::from(side)];
        for (at, transaction) in (0..).zip(&database.transactions) {
            match transaction.phase {
                Phase::Begun
                    if !database.is_locked() || !database.is_held_by(transaction.token) =>
                {
                    actions.push(Action::Check(side, at));
                }
                Phase::Checked => actions.push(Action::Log(side, at)),
                Phase::Committing if side == 1 => actions.push(Action::Commit(at)),
                Phase::Begun | Phase::Committing => {}
            }
            if transaction.orphan && transaction.phase != Phase::Committing {
                actions.push(Action::RollBack(side, at));
            }
        }
    }

    fn actions_of_delivery(&self, state: &State, actions: &mut Vec<Action>) {
        match state.delivery {
            Delivery::Awaited => {
                actions.push(Action::Append(0));
                if state.promoted {
                    actions.push(Action::Append(1));
                }
            }
            Delivery::Sent(_) if state.faults > 0 => actions.push(Action::CutAppend),
            Delivery::Unknown => {
                if !(state.promoted && self.design.inquiry_writes) {
                    actions.push(Action::AskAppend(0));
                }
                if state.promoted {
                    actions.push(Action::AskAppend(1));
                }
            }
            Delivery::Sent(_) | Delivery::Acknowledged | Delivery::Refused => {}
        }
    }

    /// The standby gets the log; commits that waited for it are seen, and answered.
    fn replicate(&self, state: &mut State) {
        let primary = &mut state.databases[0];
        let waiting: Vec<_> = (primary.transactions)
            .extract_if(.., |one| one.phase == Phase::Committing)
            .collect();
        for transaction in &waiting {
            primary.apply(transaction, !self.design.marker_each);
        }
        if primary.appending {
            primary.appending = false;
            primary.messages |= SECOND;
        }
        state.databases[1] = state.databases[0].replica();
        for transaction in waiting {
            answer(state, transaction, Removal::Committed);
        }
        if state.delivery == Delivery::Sent(0) {
            state.delivery = Delivery::Acknowledged;
        }
    }

    fn check(&self, state: &mut State, side: u8, at: u8) {
        let design = self.design;
        let database = &mut state.databases[usize::from(side)];
        let transaction = &mut database.transactions[usize::from(at)];
        let token = transaction.token;
        let is_done = database.removals & (1 << token) != 0;
        let is_held = matches!(database.hold, Hold::Held { token: held, .. } if held == token);
        if is_done && design.inquiry_writes {
            // Its commit waits for the standby as any other, and removes nothing more.
            transaction.messages = 0;
            transaction.phase = Phase::Checked;
        } else if is_held && !is_done || !design.token_check {
            transaction.phase = Phase::Checked;
        } else {
            let transaction = database.transactions.remove(usize::from(at));
            let heard = if is_done {
                Removal::Committed
            } else {
                Removal::Refused
            };
            answer(state, transaction, heard);
        }
    }

    fn crash(&self, state: &mut State, loses: bool) {
        let primary = &mut state.databases[0];
        for transaction in std::mem::take(&mut primary.transactions) {
            // What is in the log is committed, whether the standby has it or not.
            if transaction.phase == Phase::Committing {
                primary.apply(&transaction, !self.design.marker_each);
            }
        }
        if std::mem::take(&mut primary.appending) {
            primary.messages |= SECOND;
        }
        if loses {
            state.databases[0] = state.databases[1].clone();
        }
        for node in &mut state.nodes {
            lose_answer(node);
        }
        if state.delivery == Delivery::Sent(0) {
            state.delivery = Delivery::Unknown;
        }
    }
}

/// Sends a removal to the server that the node is connected to.
fn send(state: &mut State, id: NodeId, token: Token, listed: Messages, again: bool) {
    let node = &mut state.nodes[usize::from(id)];
    node.session = Session::Removing {
        token,
        listed,
        removal: Removal::Begun,
        again,
    };
    let transactions = &mut state.databases[usize::from(node.side)].transactions;
    transactions.push(Transaction {
        node: id,
        token,
        messages: listed,
        phase: Phase::Begun,
        orphan: false,
    });
}

/// The node hears how its removal ended, unless the connection is lost.
fn answer(state: &mut State, transaction: Transaction, heard: Removal) {
    let node = &mut state.nodes[usize::from(transaction.node)];
    if let Session::Removing { removal, .. } = &mut node.session
        && !transaction.orphan
    {
        *removal = heard;
    }
}

/// The client is told, and the hold given back, unless its row is locked: then it stays until
/// the node takes it back or its term is over.
fn conclude(state: &mut State, id: NodeId, token: Token, outcome: Outcome) {
    state.outcomes[usize::from(token) - 1] = outcome;
    let node = &mut state.nodes[usize::from(id)];
    node.session = Session::Idle;
    let database = &mut state.databases[usize::from(node.side)];
    if database.is_held_by(token) && !database.is_locked() {
        database.hold = Hold::Free;
    }
}

fn lose_answer(node: &mut Node) {
    if let Session::Removing { removal, .. } = &mut node.session {
        *removal = Removal::Unknown;
    }
}

/// The connection of this node is lost; the server may or may not notice.
fn orphan(state: &mut State, id: NodeId) {
    for database in &mut state.databases {
        for transaction in &mut database.transactions {
            transaction.orphan |= transaction.node == id;
        }
    }
}

fn register(state: &mut State, id: NodeId) {
    let at = usize::from(id);
    let node = &mut state.nodes[at];
    let row = &mut state.databases[usize::from(node.side)].terms[at];
    row.number += 1;
    row.lasts = true;
    node.term = row.number;
}

impl Model for System {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            databases: [Database::new(), Database::new()],
            promoted: false,
            nodes: [Node::new(); NODES],
            outcomes: Vec::new(),
            delivery: if self.delivers {
                Delivery::Awaited
            } else {
                Delivery::Refused
            },
            faults: self.faults,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for id in 0..NODES {
            if Self::answers(state, id) {
                self.actions_of_node(state, id as NodeId, actions);
            }
        }
        Self::actions_of_database(state, 0, actions);
        if state.promoted {
            Self::actions_of_database(state, 1, actions);
        } else {
            if state.databases[0].replica() != state.databases[1]
                || state.databases[0].appending
                || state.databases[0].is_locked()
            {
                actions.push(Action::Replicate);
            }
            if state.faults > 0 {
                actions.push(Action::FailOver);
                actions.push(Action::Crash(false));
                let primary = &state.databases[0];
                let mut under_way = primary.transactions.iter();
                let logged = under_way.any(|one| one.phase == Phase::Committing);
                // A commit that is waited for takes all before it to the disk.
                if !logged && !primary.appending {
                    actions.push(Action::Crash(true));
                }
            }
        }
        self.actions_of_delivery(state, actions);
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        if let Action::AcquireUnheard(_)
        | Action::Cut(_)
        | Action::Restart(_)
        | Action::CutAppend
        | Action::Crash(_)
        | Action::FailOver = action
        {
            state.faults -= 1;
        }
        match action {
            Action::Acquire(id) | Action::AcquireUnheard(id) => {
                state.outcomes.push(Outcome::Nothing);
                let token = state.outcomes.len() as Token;
                let node = &mut state.nodes[usize::from(id)];
                let database = &mut state.databases[usize::from(node.side)];
                database.hold = Hold::Held {
                    node: id,
                    term: node.term,
                    token,
                };
                if action == Action::Acquire(id) {
                    let listed = database.messages;
                    node.session = Session::Holding { token, listed };
                }
            }
            Action::Release(id) => {
                let node = &mut state.nodes[usize::from(id)];
                let database = &mut state.databases[usize::from(node.side)];
                if let Session::Holding { token, .. } = node.session
                    && database.is_held_by(token)
                {
                    database.hold = Hold::Free;
                }
                node.session = Session::Idle;
            }
            Action::Begin(id) => {
                if let Session::Holding { token, listed } = state.nodes[usize::from(id)].session {
                    send(&mut state, id, token, listed, false);
                }
            }
            Action::Check(side, at) => self.check(&mut state, side, at),
            Action::Log(side, at) => {
                let database = &mut state.databases[usize::from(side)];
                database.transactions[usize::from(at)].phase = Phase::Committing;
            }
            Action::RollBack(side, at) => {
                let transactions = &mut state.databases[usize::from(side)].transactions;
                transactions.remove(usize::from(at));
            }
            Action::Replicate => self.replicate(&mut state),
            Action::Commit(at) => {
                let database = &mut state.databases[1];
                let transaction = database.transactions.remove(usize::from(at));
                database.apply(&transaction, !self.design.marker_each);
                answer(&mut state, transaction, Removal::Committed);
            }
            Action::Tell(id) => {
                if let Session::Removing {
                    token,
                    listed,
                    removal,
                    ..
                } = state.nodes[usize::from(id)].session
                {
                    let outcome = match removal {
                        Removal::Committed => Outcome::Removed(listed),
                        _ => Outcome::Refused,
                    };
                    conclude(&mut state, id, token, outcome);
                }
            }
            Action::Ask(id) => {
                if let Session::Removing { token, listed, .. } =
                    state.nodes[usize::from(id)].session
                {
                    send(&mut state, id, token, listed, true);
                }
            }
            Action::GiveUp(id) => {
                if let Session::Removing { token, .. } = state.nodes[usize::from(id)].session {
                    conclude(&mut state, id, token, Outcome::Nothing);
                }
            }
            Action::Cut(id) => {
                orphan(&mut state, id);
                lose_answer(&mut state.nodes[usize::from(id)]);
            }
            Action::Reconnect(id) => {
                orphan(&mut state, id);
                let node = &mut state.nodes[usize::from(id)];
                node.side = 1;
                lose_answer(node);
            }
            Action::Restart(id) => {
                orphan(&mut state, id);
                state.nodes[usize::from(id)].session = Session::Idle;
                register(&mut state, id);
            }
            Action::Expire(id) => {
                let side = usize::from(state.promoted);
                if state.nodes[usize::from(id)].side == side as u8 {
                    state.faults -= 1;
                }
                state.databases[side].terms[usize::from(id)].lasts = false;
            }
            Action::Over(id) => {
                let session = &mut state.nodes[usize::from(id)].session;
                if let Session::Holding { .. } = session {
                    *session = Session::Idle;
                }
                register(&mut state, id);
            }
            Action::Append(0) => {
                state.delivery = Delivery::Sent(0);
                state.databases[0].appending = true;
            }
            Action::Append(_) => {
                state.delivery = Delivery::Acknowledged;
                state.databases[1].messages |= SECOND;
            }
            Action::CutAppend => state.delivery = Delivery::Unknown,
            Action::AskAppend(side) => {
                if self.design.inquiry_writes && side == 0 {
                    self.replicate(&mut state);
                }
                let database = &state.databases[usize::from(side)];
                let there = database.messages & SECOND != 0 || database.removed_by[1] != 0;
                state.delivery = if there {
                    Delivery::Acknowledged
                } else {
                    Delivery::Refused
                };
            }
            Action::Crash(loses) => self.crash(&mut state, loses),
            Action::FailOver => state.promoted = true,
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::all()
    }
}

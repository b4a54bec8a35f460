//! Whether all comes to a good end once no more faults come. A checker of reachable states cannot
//! say "eventually" of runs that go in circles; but from each state one can play on to the end.

use crate::database::{Hold, Term};
use crate::node::Session;
use crate::system::{State, System};
use crate::{NODES, NodeId};

/// Whether from here each node can have the maildrop: another one at the latest when the terms of
/// those before it are over, and the one that has it already by a token that nobody knows at once.
pub(crate) fn all_can_acquire(system: &System, state: &State) -> bool {
    let database = &state.databases[usize::from(state.promoted)];
    let hold = database.hold;
    let own_term_too = system.design.own_term_too;
    (0..NODES).all(|at| {
        let id = at as NodeId;
        let terms = after_terms(&database.terms, at);
        let later = hold.is_free_for(&terms, id, terms[at].number, own_term_too);
        let now = !is_its_own_obstacle(state, hold, id)
            || hold.is_free_for(&database.terms, id, state.nodes[at].term, own_term_too);
        later && now
    })
}

/// When all terms but that of one node have run out, and it has begun a new one if its own was
/// over.
fn after_terms(terms: &[Term; NODES], kept: usize) -> [Term; NODES] {
    let mut later = *terms;
    for (at, term) in later.iter_mut().enumerate() {
        if at != kept {
            term.lasts = false;
        } else if !term.lasts {
            term.number += 1;
            term.lasts = true;
        }
    }
    later
}

/// Whether the node runs in a term that lasts, has no session, and the hold is its own.
fn is_its_own_obstacle(state: &State, hold: Hold, id: NodeId) -> bool {
    let node = state.nodes[usize::from(id)];
    let side = usize::from(state.promoted);
    let term = state.databases[side].terms[usize::from(id)];
    let current = usize::from(node.side) == side && term.lasts && term.number == node.term;
    let own = matches!(hold, Hold::Held { node, .. } if node == id);
    current && own && node.session == Session::Idle
}

//! Nodes differ in nothing but their names: of all states that are the same but for those, the
//! checker walks through one.

use stateright::Representative;

use crate::database::Hold;
use crate::system::State;
use crate::{NODES, NodeId};

impl Representative for State {
    fn representative(&self) -> Self {
        let mut order: [usize; NODES] = std::array::from_fn(|at| at);
        order.sort_by_key(|&at| {
            let holds = self.databases.each_ref().map(|database| {
                let held = |node: NodeId| usize::from(node) == at;
                matches!(database.hold, Hold::Held { node, .. } if held(node))
            });
            let terms = self.databases.each_ref().map(|database| database.terms[at]);
            let sent = self.databases.each_ref().map(|database| {
                let mut under_way = database.transactions.iter();
                under_way.position(|one| usize::from(one.node) == at)
            });
            (self.nodes[at], holds, terms, sent)
        });
        let mut renamed = [0; NODES];
        for (new, &old) in (0..).zip(&order) {
            renamed[old] = new;
        }
        let mut state = self.clone();
        state.nodes = order.map(|old| self.nodes[old]);
        for database in &mut state.databases {
            let terms = database.terms;
            database.terms = order.map(|old| terms[old]);
            if let Hold::Held { node, .. } = &mut database.hold {
                *node = renamed[usize::from(*node)];
            }
            for transaction in &mut database.transactions {
                transaction.node = renamed[usize::from(transaction.node)];
            }
        }
        state
    }
}

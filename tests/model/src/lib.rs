//! The hold that one session of one node has on a maildrop, as a state machine: what docs/scale.md
//! says of holds, terms, removals and fail-over, without time, without SQL and without a network.
//! A checker of models walks through all that three nodes, two databases and a few faults can do.
//!
//! What a step may do is what one statement, one commit or one lost connection does in the
//! engine; whoever changes a statement of host/engine/src/postgres changes the step here first.

mod database;
mod node;
mod properties;
mod recovery;
mod symmetry;
mod system;

pub use database::{Database, Hold, Phase, Transaction};
pub use node::{Node, Removal, Session};
pub use system::{Action, Design, Outcome, State, System};

/// How many nodes there are.
pub const NODES: usize = 3;

/// Which node.
pub type NodeId = u8;

/// What tells one holder from all others: random in the engine, counted here. 0 is none.
pub type Token = u8;

/// A set of messages, one bit each.
pub type Messages = u8;

/// The message that is there from the beginning.
pub const FIRST: Messages = 0b01;

/// The message that is delivered meanwhile.
pub const SECOND: Messages = 0b10;

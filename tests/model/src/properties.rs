//! What must be true at any time, and what must be possible, or the checker saw nothing.

use stateright::Property;

use crate::database::{Database, Hold, Phase};
use crate::node::{Removal, Session};
use crate::system::{Delivery, Outcome, State, System};
use crate::{Messages, SECOND, recovery};

pub(crate) fn all() -> Vec<Property<System>> {
    vec![
        Property::always("one remover at a time", |_, state: &State| {
            let mut databases = state.databases.iter();
            databases.all(|database| {
                let under_way = database.transactions.iter();
                let checked =
                    under_way.filter(|one| one.phase != Phase::Begun && one.messages != 0);
                checked.count() <= 1
            })
        }),
        Property::always("removed by one who is told so, only", |_, state: &State| {
            state.removed_twice() == 0
        }),
        Property::always(
            "+OK: the messages are gone, for good",
            |_, state: &State| {
                let gone = !state.lasting().messages;
                (state.outcomes.iter()).all(|outcome| match outcome {
                    Outcome::Removed(messages) => messages & gone == *messages,
                    Outcome::Nothing | Outcome::Refused => true,
                })
            },
        ),
        Property::always("-ERR: nothing was removed", |_, state: &State| {
            let removed_by = state.lasting().removed_by;
            (1..).zip(&state.outcomes).all(|(token, outcome)| {
                *outcome != Outcome::Refused || !removed_by.contains(&token)
            })
        }),
        Property::always(
            "250: the message is there, or was fetched",
            |_, state: &State| {
                let lasting = state.lasting();
                state.delivery != Delivery::Acknowledged
                    || lasting.messages & SECOND != 0
                    || lasting.removed_by[1] != 0
            },
        ),
        Property::always(
            "all can have the maildrop again",
            |system: &System, state| recovery::all_can_acquire(system, state),
        ),
        Property::sometimes("a removal is told", |_, state: &State| {
            (state.outcomes.iter()).any(|outcome| matches!(outcome, Outcome::Removed(_)))
        }),
        Property::sometimes("a removal is refused", |_, state: &State| {
            state.outcomes.contains(&Outcome::Refused)
        }),
        Property::sometimes(
            "a removal is lost, asked for and told",
            |_, state: &State| {
                let mut nodes = state.nodes.iter();
                nodes.any(|node| {
                    matches!(
                        node.session,
                        Session::Removing { removal: Removal::Unknown, token, .. }
                            if state.lasting().has_removed(token)
                    )
                })
            },
        ),
        Property::sometimes("holders on both sides", |_, state: &State| {
            let holds = |side: usize| matches!(state.databases[side].hold, Hold::Held { .. });
            let on = |side: u8| {
                let mut nodes = state.nodes.iter();
                nodes.any(|node| {
                    node.side == side && matches!(node.session, Session::Holding { .. })
                })
            };
            state.promoted && holds(0) && holds(1) && on(0) && on(1)
        }),
    ]
}

impl State {
    /// The server that has what lasts: what is told to anybody is there.
    pub fn lasting(&self) -> &Database {
        &self.databases[1]
    }

    /// The messages that two clients were told they removed.
    fn removed_twice(&self) -> Messages {
        let (mut once, mut twice) = (0, 0);
        for outcome in &self.outcomes {
            if let Outcome::Removed(messages) = outcome {
                twice |= once & messages;
                once |= messages;
            }
        }
        twice
    }
}

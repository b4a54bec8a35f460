//! `restante:plugin/hold`: what the session holds its maildrop by, among all servers.

use crate::bindings::restante::plugin::hold::Host;
use crate::instance::state::State;
use crate::record::tape::Exchange;

impl Host for State {
    /// It differs from session to session, so no answer that rests on it is remembered.
    fn fence(&mut self) -> wasmtime::Result<Option<u64>> {
        if let Some(player) = self.player() {
            return Ok(player.fence());
        }
        // What works for other roles than a session's store holds nothing. Work that goes on after
        // its session is told the fence of then.
        let answer = self.work.room().fence();
        self.hear(self.copied(&()), |()| Exchange::Fence { answer });
        Ok(answer)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use restante_roles::metrics::Ledger;
    use restante_roles::work::WorkHold;

    use super::*;
    use crate::instance::facts::Grounds;
    use crate::instance::testing::{state, state_holding};

    #[test]
    fn a_session_is_told_its_fence_also_when_its_hold_is_given_back() {
        let (hold, held) = (WorkHold::default(), Arc::new(()));
        let mut state = state_holding(&Ledger::new("t"), hold.clone());
        assert_eq!(
            Host::fence(&mut state).unwrap(),
            None,
            "it holds nothing yet"
        );
        hold.hold(&held, Some(7));
        for _ in 0..2 {
            assert_eq!(Host::fence(&mut state).unwrap(), Some(7));
        }
        drop(held);
        // None would say that no other server can have the maildrop.
        assert_eq!(Host::fence(&mut state).unwrap(), Some(7), "it is over");
    }

    #[test]
    fn a_hold_of_this_process_alone_has_no_fence_and_other_roles_have_none() {
        let (hold, held) = (WorkHold::default(), Arc::new(()));
        hold.hold(&held, None);
        let mut alone = state_holding(&Ledger::new("t"), hold);
        assert_eq!(Host::fence(&mut alone).unwrap(), None);
        let mut other = state(&Ledger::new("t"));
        assert_eq!(Host::fence(&mut other).unwrap(), None);
    }

    /// What a store told with one fence is not what it would tell with the next.
    #[test]
    fn an_answer_that_rests_on_a_fence_is_not_remembered() {
        let mut state = state(&Ledger::new("t"));
        state.witness.called();
        state.witness.asked();
        assert_eq!(Host::fence(&mut state).unwrap(), None);
        assert!(matches!(state.witness.grounds(1, 0), Grounds::Unknown));
    }
}

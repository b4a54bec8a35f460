//! Which logged-in sessions began and ended since somebody was told of them last: what other
//! servers know of this one's sessions.
//!
//! Nothing is kept before somebody asks, and nothing for longer than whoever asks is answered:
//! after a failure all is told anew. So there is never more here than there are sessions, and
//! those that ended between two times of asking.

use std::collections::HashSet;

use parking_lot::Mutex;

/// By the sessions' ids.
#[derive(Debug, Default)]
pub(crate) struct SessionChanges {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Somebody is told of changes.
    is_told: bool,
    begun: HashSet<String>,
    ended: HashSet<String>,
}

impl SessionChanges {
    /// Somebody has logged in.
    pub(crate) fn began(&self, id: &str) {
        let mut state = self.state.lock();
        if state.is_told {
            state.begun.insert(id.to_owned());
        }
    }

    /// The session of somebody who had logged in is over.
    pub(crate) fn ended(&self, id: &str) {
        let mut state = self.state.lock();
        if state.is_told && !state.begun.remove(id) {
            state.ended.insert(id.to_owned());
        }
    }

    /// Changes are kept from now on, and `all` tells which sessions there are. Whoever logs in
    /// meanwhile is among them or among the changes.
    pub(crate) fn begin(&self, all: impl FnOnce() -> Vec<String>) {
        *self.state.lock() = State {
            is_told: true,
            ..State::default()
        };
        let all = all();
        let mut state = self.state.lock();
        state.begun.extend(all);
    }

    /// Nobody is told of changes any more.
    pub(crate) fn forget(&self) {
        *self.state.lock() = State::default();
    }

    /// Some of those that began and ended, at most `most` of each; the others are for later.
    pub(crate) fn take(&self, most: usize) -> (Vec<String>, Vec<String>) {
        let mut state = self.state.lock();
        (some(&mut state.begun, most), some(&mut state.ended, most))
    }
}

fn some(of: &mut HashSet<String>, most: usize) -> Vec<String> {
    let taken: Vec<String> = of.iter().take(most).cloned().collect();
    for id in &taken {
        of.remove(id);
    }
    taken
}

//! What this process holds, so that it takes back what it holds in the database by a token that
//! nobody knows: the answer to the call that acquired or released it was lost.

use std::collections::HashMap;

use parking_lot::Mutex;

use crate::hold::{Hold, Token};

/// What this process does with each key.
#[derive(Debug, Default)]
pub(super) struct Mine(Mutex<HashMap<String, Use>>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    /// A call that acquires it is under way.
    Acquiring,
    /// It has it by this token.
    Held(Token),
}

/// While a call acquires a key, no other of this process does.
pub(super) struct Acquiring<'a> {
    mine: &'a Mine,
    key: &'a str,
    /// Whether no token of the key is known: what the database says that this node holds is
    /// nobody's then.
    pub(super) is_unknown: bool,
}

impl Mine {
    /// None: another call acquires it.
    pub(super) fn begin<'a>(&'a self, key: &'a str) -> Option<Acquiring<'a>> {
        let mut uses = self.0.lock();
        let is_unknown = match uses.get(key) {
            Some(Use::Acquiring) => return None,
            // It keeps its token until somebody is known to have taken it over.
            Some(Use::Held(_)) => false,
            None => {
                uses.insert(key.to_owned(), Use::Acquiring);
                true
            }
        };
        Some(Acquiring {
            mine: self,
            key,
            is_unknown,
        })
    }

    /// Nobody in this process has the key by this token any more.
    pub(super) fn forget(&self, hold: &Hold) {
        let mut uses = self.0.lock();
        if uses.get(&hold.key) == Some(&Use::Held(hold.token)) {
            uses.remove(&hold.key);
        }
    }
}

impl Acquiring<'_> {
    /// It has it now.
    pub(super) fn keep(self, token: Token) {
        let mut uses = self.mine.0.lock();
        uses.insert(self.key.to_owned(), Use::Held(token));
    }
}

impl Drop for Acquiring<'_> {
    fn drop(&mut self) {
        let mut uses = self.mine.0.lock();
        if self.is_unknown && uses.get(self.key) == Some(&Use::Acquiring) {
            uses.remove(self.key);
        }
    }
}

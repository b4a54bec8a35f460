//! TLS server names → whatever belongs to them: exact names first, then
//! wildcards, which stand for one label as they do in certificates (RFC 9525
//! section 6.3).

use std::collections::HashMap;

/// Names in any case, each leading to one thing.
#[derive(Debug)]
pub struct ServerNames<T> {
    exact: HashMap<String, T>,
    /// "example.org" for "*.example.org".
    wildcard: HashMap<String, T>,
}

impl<T> Default for ServerNames<T> {
    fn default() -> Self {
        ServerNames {
            exact: HashMap::new(),
            wildcard: HashMap::new(),
        }
    }
}

impl<T> ServerNames<T> {
    /// Adds "pop.example.org" or "*.example.org".
    pub fn insert(&mut self, name: &str, to: T) {
        let (names, name) = match name.strip_prefix("*.") {
            Some(parent) => (&mut self.wildcard, parent),
            None => (&mut self.exact, name),
        };
        names.insert(name.to_lowercase(), to);
    }

    /// What a client that asks for `name` gets.
    pub fn find(&self, name: &str) -> Option<&T> {
        let name = name.to_lowercase();
        self.exact.get(&name).or_else(|| {
            let (_, parent) = name.split_once('.')?;
            self.wildcard.get(parent)
        })
    }
}

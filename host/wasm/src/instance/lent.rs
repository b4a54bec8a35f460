//! What a guest is lent: a message, a view of a maildrop.

// The generated bindings re-export the two resources.
#![allow(unreachable_pub)]

use std::sync::Arc;

use restante_roles::backend::{Entries, Message};

/// The host side of the resource `message`.
pub struct MessageEntry(pub(crate) Arc<dyn Message>);

/// The host side of the resource `view`.
pub struct ViewEntry(pub(crate) Arc<Entries>);

impl ViewEntry {
    /// The positions that are asked for, as far as there are any.
    pub(crate) fn range(&self, start: u32, length: u32) -> std::ops::Range<usize> {
        let count = self.0.listing.len();
        let start = (start as usize).min(count);
        start..start.saturating_add(length as usize).min(count)
    }
}

//! Sessions that are recorded, and played again.

pub(crate) mod form;
pub(crate) mod index;
pub(crate) mod player;
pub(crate) mod query;
pub(crate) mod replay;
pub(crate) mod tape;

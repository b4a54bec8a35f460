//! Sessions that are recorded, and played again.

pub(crate) mod form;
pub(crate) mod player;
pub(crate) mod replay;
pub(crate) mod tape;

//! What line-based mail protocols have in common on the server's side, without
//! I/O: octets in and one bounded line out, lines of replies, and memory for what
//! may be secret in either. Nothing here knows a command.

#![deny(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

#[cfg(feature = "dialogue")]
pub mod dialogue;
mod line;
mod reply;
mod sensitive;

pub use line::{Line, LineEnd, LineReader};
pub use reply::{printable, put_line};
pub use sensitive::{Sensitive, wipe};

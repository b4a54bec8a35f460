//! The hold that the session has on its maildrop among all servers, for stores whose mail is
//! where the host cannot check it, behind HTTP say.
//!
//! A server can stand still for so long that another one takes its maildrops over, and then go
//! on. What it removes then was not its to remove. The mail index refuses that by itself. A
//! store of another kind sends the [fence] along with each change, and whoever keeps the mail
//! remembers the largest one for each maildrop and refuses a change with a smaller one.
//!
//! ```
//! use restante_guest::prelude::*;
//! use restante_guest::{hold, testing};
//!
//! /// What is sent to remove a message.
//! fn removal(unique_id: &str) -> String {
//!     match hold::fence() {
//!         Some(fence) => format!("DELETE /{unique_id}?fence={fence}"),
//!         // No other server has the maildrop.
//!         None => format!("DELETE /{unique_id}"),
//!     }
//! }
//!
//! assert_eq!(removal("a"), "DELETE /a");
//! testing::set_fence(Some(7));
//! assert_eq!(removal("a"), "DELETE /a?fence=7");
//! ```

#[cfg(target_family = "wasm")]
use crate::bindings::host::restante::plugin::hold as host;
#[cfg(not(target_family = "wasm"))]
use crate::testing as host;

/// Larger than that of each session that held this maildrop before, on any server; the same for
/// as long as the session lasts. None: the hold is one in this server alone, because servers
/// share no holds here, or the plugin is not asked as a session's store.
///
/// It is another one in each session: a stamp that it is part of is never the same again.
///
/// Outside a component, as in `cargo test`, it is what
/// [`testing::set_fence`](crate::testing::set_fence) has set.
pub fn fence() -> Option<u64> {
    host::fence()
}

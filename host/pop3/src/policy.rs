//! What EXPIRE and LOGIN-DELAY say of a maildrop (RFC 2449 sections 6.5 and 6.7).
//! Plain values; what follows from them is for the driver.

use std::fmt;

/// A policy that may not be the same for every user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByUser<T> {
    /// What holds for everybody; where users differ, the value that is the worst
    /// for a client. Said until login, and after it without a word from
    /// [`Session::policy`](crate::Session::policy).
    pub general: T,
    /// Another value may hold after login: `USER` is added before it.
    pub differs: bool,
}

/// How long messages stay on the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retention {
    /// This many days at least; 0: none may be left there.
    Days(u32),
    /// For ever.
    Never,
}

impl fmt::Display for Retention {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Retention::Days(days) => days.fmt(out),
            Retention::Never => out.write_str("NEVER"),
        }
    }
}

//! Role `scram`, beside an authenticator: the host runs SCRAM (RFC 5802,
//! RFC 7677) with the keys that this role looks up, and no password is seen.

use std::marker::PhantomData;

use crate::authenticator::Denial;
use crate::bindings::scram::exports::restante::plugin::scram as raw;
use crate::types::Connection;

pub use raw::{Hash, Keys};

/// Looks up SCRAM keys.
pub trait Scram {
    /// The keys of `user` for one hash function. Where there is an `acting_as`,
    /// the user wants to act as somebody else: keys without an account say that
    /// this is not allowed.
    ///
    /// It should take the same time whether there is such a user or not.
    ///
    /// # Errors
    /// As [`Authenticator::authenticate`](crate::authenticator::Authenticator::authenticate).
    fn lookup(
        connection: Connection,
        user: String,
        acting_as: Option<String>,
        hash: Hash,
    ) -> Result<Keys, Denial>;
}

/// Joins a [`Scram`] to the generated bindings.
#[doc(hidden)]
pub struct Adapter<T>(PhantomData<T>);

impl<T: Scram> raw::Guest for Adapter<T> {
    fn lookup(
        connection: Connection,
        user: String,
        acting_as: Option<String>,
        hash: Hash,
    ) -> Result<Keys, Denial> {
        T::lookup(connection, user, acting_as, hash)
    }
}

//! `accepts`, beside an authenticator: which kinds of credentials it can judge.
//! The host offers clients what follows from it. An authenticator that does not
//! say is shown passwords alone, and asked for SCRAM keys if it has that role.

use std::marker::PhantomData;

use crate::bindings::accepts::exports::restante::plugin::accepts as raw;

/// Kinds of credentials, as a set: `Kinds::PASSWORD | Kinds::BEARER`.
pub use raw::Kinds;

/// Says which kinds of credentials the authenticator judges.
pub trait Accepts {
    /// Asked when the host loads its configuration; may depend on the settings.
    fn accepts() -> Kinds;
}

/// Joins an [`Accepts`] to the generated bindings.
#[doc(hidden)]
pub struct Adapter<T>(PhantomData<T>);

impl<T: Accepts> raw::Guest for Adapter<T> {
    fn accepts() -> Kinds {
        T::accepts()
    }
}

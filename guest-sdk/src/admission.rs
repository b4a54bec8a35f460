//! Role `admission`: may this client talk to us at all?

use std::marker::PhantomData;

use crate::bindings::admission::exports::restante::plugin::admission as raw;
use crate::types::Connection;

pub use raw::Verdict;

/// Admits clients. Asked before the greeting, and again when TLS is up.
pub trait Admission {
    /// Admit, delay the greeting, or deny with a text.
    fn admit(connection: Connection) -> Verdict;
}

/// Joins an [`Admission`] to the generated bindings.
#[doc(hidden)]
pub struct Adapter<T>(PhantomData<T>);

impl<T: Admission> raw::Guest for Adapter<T> {
    fn admit(connection: Connection) -> Verdict {
        T::admit(connection)
    }
}

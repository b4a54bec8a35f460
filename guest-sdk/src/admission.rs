//! Role `admission`: may this client talk to us at all?

use std::marker::PhantomData;

use crate::bindings::admission::exports::restante::plugin::admission as raw;
use crate::types::Connection;

pub use raw::Verdict;

/// Admits clients. Asked before the greeting, and again when TLS is up.
///
/// ```
/// use restante_guest::admission::{Admission, Verdict};
/// use restante_guest::types::Connection;
///
/// struct OldPhones;
///
/// impl Admission for OldPhones {
///     fn admit(connection: Connection) -> Verdict {
///         match connection.tls {
///             Some(tls) if tls.version == "TLSv1.2" => Verdict::Deny("please update".into()),
///             _ => Verdict::Admit,
///         }
///     }
/// }
///
/// restante_guest::export! { admission: OldPhones }
/// # fn main() {}
/// ```
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

//! A plugin's settings, each value as text, and the optional role `settings`
//! that looks over them before the plugin is put to work.
//!
//! An array in the configuration arrives as its elements, one a line. With the
//! feature `serde`, `parse` makes a type of them all and says what is wrong.

#[cfg(feature = "serde")]
mod parse;
mod units;

use std::marker::PhantomData;

use crate::bindings::settings::exports::restante::plugin::settings as raw;

#[cfg(feature = "serde")]
pub use parse::parse;
pub use units::{BadUnit, Size, Span};

/// Looks over the plugin's settings when the host loads its configuration.
pub trait Validate {
    /// Whether the settings make sense.
    ///
    /// # Errors
    /// One line for each problem, naming the key. No secrets: the lines are
    /// printed and logged.
    fn validate() -> Result<(), Vec<String>>;
}

/// The value of one key, if it is set.
pub fn get(key: &str) -> Option<String> {
    #[cfg(target_family = "wasm")]
    {
        use crate::bindings::host::wasi::config::store;
        store::get(key).unwrap_or_else(|error| {
            crate::log::error!("the setting {key} cannot be read: {error:?}");
            None
        })
    }
    #[cfg(not(target_family = "wasm"))]
    all()
        .into_iter()
        .find(|(name, _)| name == key)
        .map(|(_, value)| value)
}

/// Every key and value.
pub fn all() -> Vec<(String, String)> {
    #[cfg(target_family = "wasm")]
    {
        use crate::bindings::host::wasi::config::store;
        store::get_all().unwrap_or_else(|error| {
            crate::log::error!("the settings cannot be read: {error:?}");
            Vec::new()
        })
    }
    #[cfg(not(target_family = "wasm"))]
    crate::testing::settings()
}

/// Writes into the component which settings the plugin reads, for
/// `restante plugin inspect`; once in a crate.
///
/// ```
/// restante_guest::describe_settings! {
///     "file": "where the users are, in a granted directory",
///     "case": "\"fold\" compares names in lower case; \"exact\" if it is not set",
/// }
/// ```
///
/// It is a custom section called `restante:settings`, one setting a line. The host
/// holds nobody to it: what is wrong with settings is said by [`Validate`].
#[macro_export]
macro_rules! describe_settings {
    ($($key:literal : $meaning:literal),+ $(,)?) => {
        #[cfg(target_family = "wasm")]
        const _: () = {
            const TEXT: &str = ::core::concat!($($key, ": ", $meaning, "\n"),+);
            const LENGTH: usize = TEXT.len();
            // Safe: the section holds octets that nothing but `inspect` reads.
            #[unsafe(link_section = "restante:settings")]
            #[used]
            static DESCRIBED: [u8; LENGTH] = match TEXT.as_bytes().first_chunk() {
                ::core::option::Option::Some(octets) => *octets,
                ::core::option::Option::None => [0; LENGTH],
            };
        };
    };
}

/// Joins a [`Validate`] to the generated bindings.
#[doc(hidden)]
pub struct Adapter<T>(PhantomData<T>);

impl<T: Validate> raw::Guest for Adapter<T> {
    fn validate() -> Result<(), Vec<String>> {
        T::validate()
    }
}

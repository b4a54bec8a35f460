//! The directory that a store was granted, `/maildrop`, and what the host can
//! do there faster than a plugin. Everything else is done with `std::fs`.

use std::path::Path;

pub use crate::bindings::host::restante::plugin::files::Entry;

/// The granted directory. Outside a component, as in `cargo test`, it is what
/// [`testing::set_maildrop`](crate::testing) says.
pub fn root() -> &'static Path {
    #[cfg(target_family = "wasm")]
    {
        Path::new("/maildrop")
    }
    #[cfg(not(target_family = "wasm"))]
    crate::testing::maildrop()
}

/// The regular files of a whole directory in one call, by its path below
/// [`root`]; names that start with "." are left out.
///
/// # Errors
/// What the operating system said.
pub fn scan(directory: &str) -> Result<Vec<Entry>, String> {
    #[cfg(target_family = "wasm")]
    {
        crate::bindings::host::restante::plugin::files::scan(directory)
    }
    #[cfg(not(target_family = "wasm"))]
    crate::testing::scan(directory)
}

/// The octets of a message file as RFC 1939 counts them: every line end is
/// CRLF, byte-stuffing is not counted. The path is below [`root`].
///
/// # Errors
/// What the operating system said.
pub fn measure(path: &str) -> Result<u64, String> {
    #[cfg(target_family = "wasm")]
    {
        crate::bindings::host::restante::plugin::files::measure(path)
    }
    #[cfg(not(target_family = "wasm"))]
    crate::testing::measure(path)
}

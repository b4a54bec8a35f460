//! From a component's file to something that instances are made of.

pub(crate) mod builtin;
pub(crate) mod catalog;
pub(crate) mod compile;
pub(crate) mod confinement;
pub(crate) mod engine;
pub(crate) mod exports;
pub(crate) mod inspect;
pub(crate) mod needs;
pub(crate) mod trust;

/// Largest component, in octets: an 18 MB Python component fits, with room.
pub(crate) const MAX_COMPONENT_BYTES: u64 = 64 << 20;

/// In lower-case hexadecimal.
pub(crate) fn hex(octets: &[u8]) -> String {
    use std::fmt::Write;
    octets.iter().fold(String::new(), |mut text, octet| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{octet:02x}");
        text
    })
}

/// wasmtime's errors as one line, outermost first.
pub(crate) fn chain(error: &wasmtime::Error) -> String {
    error
        .chain()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

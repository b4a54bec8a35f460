//! The components that this build carries, put there by the build script.

include!(concat!(env!("OUT_DIR"), "/builtin.rs"));

/// The component of that name.
pub(crate) fn component(name: &str) -> Option<&'static [u8]> {
    BUILTIN
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, octets)| *octets)
}

/// What there is, in words for an error message.
pub(crate) fn known() -> String {
    if BUILTIN.is_empty() {
        return "it embeds none at all: build it with `cargo xtask build`".into();
    }
    let names: Vec<_> = BUILTIN.iter().map(|(name, _)| *name).collect();
    format!("it has {}", names.join(", "))
}

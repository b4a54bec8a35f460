//! The released versions of the contract, and the digests of their files. Written by
//! `cargo xtask freeze`.

pub(super) const DIGESTS: &[(&str, &str)] = &[(
    "0.1.0",
    "406ae725e6ee4e65edc226180873f609905d049e1bab33bb05704873398a7a94",
)];

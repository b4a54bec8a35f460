//! What the machine lacks: tools and compilers that the project's commands use, had from
//! Debian, crates.io or npm's registry and unpacked below the target folder. Nothing of the
//! system changes.

pub(crate) mod apt;
pub(crate) mod clang;
pub(crate) mod crates_io;
pub(crate) mod cxx;
pub(crate) mod debian;
pub(crate) mod dovecot;
pub(crate) mod npm;

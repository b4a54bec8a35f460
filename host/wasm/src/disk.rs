//! What plugins have been granted of the machine, without WebAssembly: files and
//! directories that are opened below descriptors, and authorities of TLS.

pub(crate) mod ahead;
pub(crate) mod authorities;
pub(crate) mod grants;
pub(crate) mod left_out;
pub(crate) mod look;
pub(crate) mod maildrop_directory;
pub(crate) mod opening;

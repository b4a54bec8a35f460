//! Restante, a POP3 server whose policy is WebAssembly components.
//!
//! The rooms of the host; docs/architecture.md says what each is for, and who
//! may know whom.

pub mod backend;
pub mod config;
pub mod passwords;
pub mod plugin;
pub mod template;

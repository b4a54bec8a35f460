//! The plugin host: WebAssembly components behind the traits of
//! [`restante_roles::backend`].
//!
//! The only room that names wasmtime. It knows nothing of sockets or of POP3
//! beyond the octet rules; the session loop knows nothing of it.

mod bindings;
mod component;
mod convert;
mod disk;
mod imports;
mod instance;
mod plugin;
mod record;
mod roles;

pub use component::catalog::ComponentError;
pub use component::compile::{
    COMMAND as COMPILE_COMMAND, CompileError, CompileLimits, Compiler, serve as serve_compiler,
};
pub use component::confinement::ProcessUser;
pub use component::exports::{Role, RoleError};
pub use component::inspect::{Difference, Differences, Import, Inspection, inspect};
pub use component::needs::{Interface, Need};
pub use component::trust::{TrustError, read_signature, signature_path};
pub use disk::authorities::AuthorityError;
pub use disk::maildrop_directory::NoSuchUser;
pub use instance::answer_cache::AnswerLifetimes;
pub use instance::calls::CallPlaces;
pub use instance::databases::SharedDatabase;
pub use instance::engines::{EngineAccess, EnginePlaces, MailEngine, SharedEngine, TakenHold};
pub use instance::maildrop::EngineMaildrop;
pub use plugin::{Loaded, Plugin, PluginError, Runtime, RuntimeError, Services};
pub use record::replay::{Comparison, Replayed};
pub use roles::MissingRole;

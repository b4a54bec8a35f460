//! Why a server does not start.

use std::io;

use restante_config::Problems;
use restante_engine::Problem;
use restante_server::admin;
use restante_server::listener::BindErrors;
use restante_server::mock_secret::SharedSecretError;
use restante_wasm::RuntimeError;
use tokio::task::JoinError;

/// Why a server does not start, or ends before its time.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Listeners do not have their addresses.
    #[error(transparent)]
    Bind(#[from] BindErrors),
    /// The admin address does not.
    #[error(transparent)]
    Admin(#[from] admin::BindError),
    /// The configuration, or what it names, cannot be served.
    #[error(transparent)]
    Refused(#[from] Problems),
    /// The WebAssembly engine does not start.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// The system has no randomness for secrets.
    #[error("the system's randomness: {0}")]
    Randomness(#[source] io::Error),
    /// The secret that is shared with other servers cannot be had.
    #[error(transparent)]
    MockSecret(#[from] SharedSecretError),
    /// The engine that `holds` names cannot be used.
    #[error(
        "no login is possible without engine `{engine}` (`holds` in [server]), so the server does not start: {problem}"
    )]
    Engine {
        /// Its name.
        engine: String,
        /// What is wrong with it.
        problem: Problem,
    },
    /// The listeners' task ended by a panic.
    #[error("the listeners failed: {0}")]
    Listeners(#[from] JoinError),
}

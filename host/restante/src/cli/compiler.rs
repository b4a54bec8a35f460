//! Who compiles components for the commands.

use restante_config::Server;
use restante_wasm::{CompileLimits, Compiler};
use tracing::warn;

use super::service;

/// This program once more; in this process where the system does not say what
/// program it is.
///
/// # Errors
/// This machine does not have the user that is to compile.
pub(super) fn compiler(server: &Server) -> anyhow::Result<Compiler> {
    let limits = CompileLimits {
        time: server.limits.compile_time,
        memory: server.limits.compile_memory,
    };
    let user = server.compiler_user.as_deref();
    let user = user.map(service::compiler_user).transpose()?;
    let compiler = Compiler::this_program(limits, user.flatten());
    Ok(compiler.unwrap_or_else(|error| {
        warn!(
            %error,
            "the server cannot start a compiler process: components are compiled in the server's own process, without limits on time and memory"
        );
        Compiler::Here
    }))
}

//! Who compiles components for the commands.

use restante_config::ServerLimits;
use restante_wasm::{CompileLimits, Compiler};
use tracing::warn;

/// This program once more; in this process where the system does not say what
/// program it is.
pub(super) fn compiler(limits: &ServerLimits) -> Compiler {
    let limits = CompileLimits {
        time: limits.compile_time,
        memory: limits.compile_memory,
    };
    Compiler::this_program(limits).unwrap_or_else(|error| {
        warn!(
            %error,
            "the server cannot start a compiler process: components are compiled in the server's own process, without limits on time and memory"
        );
        Compiler::Here
    })
}

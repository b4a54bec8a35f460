//! Log lines, which leave with plugin, tenant and session on them:
//! `log::info!("{count} messages")`, and likewise `trace`, `debug`, `warn`,
//! `error`. Outside a component, as in `cargo test`, they go to stderr, and
//! [`testing::take_log`](crate::testing) has them.
//!
//! Never log a password, a token, or a client's raw input.

pub use crate::bindings::host::wasi::logging::logging::Level;

/// What the macros of this module expand to: one line, as it is.
pub fn line(level: Level, context: &str, message: &str) {
    #[cfg(target_family = "wasm")]
    crate::bindings::host::wasi::logging::logging::log(level, context, message);
    #[cfg(not(target_family = "wasm"))]
    {
        eprintln!("{level:?} {context}: {message}");
        crate::testing::log(level, context, message);
    }
}

/// Logs at level trace. The arguments are those of `format!`.
#[doc(hidden)]
#[macro_export]
macro_rules! __log_trace {
    ($($text:tt)+) => {
        $crate::log::line($crate::log::Level::Trace, module_path!(), &format!($($text)+))
    };
}

/// Logs at level debug. The arguments are those of `format!`.
#[doc(hidden)]
#[macro_export]
macro_rules! __log_debug {
    ($($text:tt)+) => {
        $crate::log::line($crate::log::Level::Debug, module_path!(), &format!($($text)+))
    };
}

/// Logs at level info. The arguments are those of `format!`.
#[doc(hidden)]
#[macro_export]
macro_rules! __log_info {
    ($($text:tt)+) => {
        $crate::log::line($crate::log::Level::Info, module_path!(), &format!($($text)+))
    };
}

/// Logs at level warn. The arguments are those of `format!`.
#[doc(hidden)]
#[macro_export]
macro_rules! __log_warn {
    ($($text:tt)+) => {
        $crate::log::line($crate::log::Level::Warn, module_path!(), &format!($($text)+))
    };
}

/// Logs at level error. The arguments are those of `format!`.
#[doc(hidden)]
#[macro_export]
macro_rules! __log_error {
    ($($text:tt)+) => {
        $crate::log::line($crate::log::Level::Error, module_path!(), &format!($($text)+))
    };
}

pub use crate::{
    __log_debug as debug, __log_error as error, __log_info as info, __log_trace as trace,
    __log_warn as warn,
};

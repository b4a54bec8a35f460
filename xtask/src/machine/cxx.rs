//! What fuzzing needs of the machine: a C++ compiler and the address sanitizer.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Result, ensure};

use crate::wasm_target::Toolchain;

/// Whether there is a compiler for libFuzzer, which is C++.
pub(crate) fn has_cxx() -> bool {
    let mut command = Command::new(cxx());
    command.arg("--version");
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

pub(crate) fn require_cxx() -> Result<()> {
    ensure!(
        has_cxx(),
        "there is no C++ compiler \"{}\", and libFuzzer is C++: install one \
         (`apt-get install g++`, `dnf install gcc-c++`), or name yours in CXX",
        cxx().to_string_lossy()
    );
    Ok(())
}

/// The C++ compiler that the cc crate will call; CXX may hold arguments.
fn cxx() -> OsString {
    let named = env::var("CXX").unwrap_or_default();
    named.split_whitespace().next().unwrap_or("c++").into()
}

/// Rust's own toolchains bring the sanitizer's runtime, distributions' do not.
pub(crate) fn has_address_sanitizer(toolchain: &Toolchain) -> bool {
    let libraries = toolchain
        .sysroot
        .join("lib/rustlib")
        .join(&toolchain.host)
        .join("lib");
    fs::read_dir(libraries).is_ok_and(|files| {
        files
            .flatten()
            .any(|file| file.file_name().to_string_lossy().contains("_rt.asan."))
    })
}

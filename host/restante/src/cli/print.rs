//! What commands are asked for, on standard output.

use std::io::{self, Write as _};

use anyhow::Context;

/// A command's result, with a line end. Whoever reads may have had enough:
/// `restante sessions | head`.
///
/// # Errors
/// Standard output takes nothing, and not because nobody reads it any more.
pub(super) fn print(text: &str) -> anyhow::Result<()> {
    let text = text.trim_end();
    if text.is_empty() {
        return Ok(());
    }
    let mut out = io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("cannot write to standard output")
        }
        _ => Ok(()),
    }
}

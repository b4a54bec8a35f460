//! What commands are asked for, on stdout.

/// A command's result.
#[allow(clippy::print_stdout, reason = "the command's result")]
pub(super) fn print(text: &str) {
    println!("{}", text.trim_end());
}

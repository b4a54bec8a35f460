//! Says what a long command is doing, and how long each step of it took.

use std::time::Instant;

/// The numbered steps of one command.
pub(crate) struct Steps {
    of: usize,
    current: usize,
}

impl Steps {
    /// A command of `of` steps, none of which has begun.
    pub(crate) fn new(of: usize) -> Self {
        Self { of, current: 0 }
    }

    /// Announces the next step, does it, and says how long it took.
    pub(crate) fn run<T, E>(
        &mut self,
        what: &str,
        work: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        self.current += 1;
        let number = format!("{}/{}", self.current, self.of);
        eprintln!("{number} {what}");
        let begun = Instant::now();
        let result = work();
        let word = if result.is_ok() { "done" } else { "failed" };
        eprintln!("{number} {word} in {:.1} s", begun.elapsed().as_secs_f64());
        result
    }
}

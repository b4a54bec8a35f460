//! How long a silent session keeps what a store has awake for it.
//!
//! An instance costs some 50 KiB, of which the pool and the allocator keep a part for
//! the next one; waking it up again costs microseconds. So few sessions may think for
//! long, and where many log in at once each is let rest the sooner: what 10,000
//! logins leave behind is what some hundred instances need.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Silence after which a session is idle; clients that are at work answer sooner.
const REST_AFTER: Duration = Duration::from_secs(2);

/// Sessions that may be silent for so long at once. Where there are twice as many, it
/// is half as long.
const AT_ONCE: usize = 64;

/// No session is idle before: clients far away take as long for an answer.
const REST_AFTER_AT_LEAST: Duration = Duration::from_millis(250);

/// How many sessions are silent with a store awake, in the whole process.
#[derive(Debug, Default)]
pub struct Awake(AtomicUsize);

/// One of them, for as long as it lives.
pub(super) struct Silent<'a>(&'a Awake);

impl Awake {
    /// One more; and how long it may stay so.
    pub(super) fn enter(&self) -> (Silent<'_>, Duration) {
        let silent = self.0.fetch_add(1, Ordering::Relaxed) + 1;
        (Silent(self), rest_after(silent))
    }
}

impl Drop for Silent<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn rest_after(silent: usize) -> Duration {
    let share = AT_ONCE as f64 / silent.max(AT_ONCE) as f64;
    REST_AFTER.mul_f64(share).max(REST_AFTER_AT_LEAST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_are_silent_the_sooner_they_rest() {
        assert_eq!(rest_after(1), REST_AFTER);
        assert_eq!(rest_after(AT_ONCE), REST_AFTER);
        assert_eq!(rest_after(2 * AT_ONCE), REST_AFTER / 2);
        assert_eq!(rest_after(usize::MAX), REST_AFTER_AT_LEAST);
    }

    #[test]
    fn who_speaks_again_is_not_counted() {
        let awake = Awake::default();
        let all: Vec<_> = (0..2 * AT_ONCE).map(|_| awake.enter()).collect();
        assert_eq!(all.last().map(|(_, after)| *after), Some(REST_AFTER / 2));
        drop(all);
        assert_eq!(awake.enter().1, REST_AFTER);
    }
}

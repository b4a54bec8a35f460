//! Whether the system's clock can be trusted with what is old: how far it has been
//! set forward since the server started.
//!
//! Compared with a clock that nobody sets, and that goes on while the machine sleeps.

use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use rustix::time::{ClockId, clock_gettime};

/// Both clocks at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    /// What the system says the time is.
    pub told: SystemTime,
    /// Since the machine was started.
    pub running: Duration,
}

impl Clock {
    /// At the start of the server: at the first call.
    pub fn at_start() -> Clock {
        static START: OnceLock<Clock> = OnceLock::new();
        *START.get_or_init(Clock::now)
    }

    /// At this moment.
    pub fn now() -> Clock {
        let running = clock_gettime(ClockId::Boottime);
        Clock {
            told: SystemTime::now(),
            running: running.try_into().unwrap_or_default(),
        }
    }

    /// How far the time was set forward since then, in all. Set back: not at all, for
    /// nothing becomes older by it.
    pub fn set_forward_since(self, then: Clock) -> Duration {
        let passed = self.running.saturating_sub(then.running);
        let told = self.told.duration_since(then.told).unwrap_or_default();
        told.saturating_sub(passed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_set_forward_is_told_from_what_passed() {
        let hour = Duration::from_secs(3600);
        let start = Clock::now();
        let later = |told: Duration, running: Duration| Clock {
            told: start.told + told,
            running: start.running + running,
        };
        let set_forward = |clock: Clock| clock.set_forward_since(start);
        assert_eq!(set_forward(later(hour, hour)), Duration::ZERO);
        assert_eq!(set_forward(later(3 * hour, hour)), 2 * hour);
        assert_eq!(set_forward(later(hour, 3 * hour)), Duration::ZERO);
        let back = Clock {
            told: start.told - hour,
            running: start.running + hour,
        };
        assert_eq!(set_forward(back), Duration::ZERO);
        let now = Clock::now().set_forward_since(Clock::at_start());
        assert!(now < Duration::from_secs(60), "{now:?}");
    }
}

//! Log lines about what strangers can cause without end: one a second, with a
//! count of those that were left out.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// From one log line to the next.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(1);

/// Lets log lines through so seldom that a flood does not fill the log.
#[derive(Debug, Default)]
pub struct Complaints {
    state: Mutex<(Option<Instant>, u64)>,
}

impl Complaints {
    /// Whether there may be a line now: then how many there were since the last
    /// one that were left out.
    pub fn line(&self) -> Option<u64> {
        let now = Instant::now();
        let mut state = self.state.lock();
        let (last, left_out) = &mut *state;
        if last.is_some_and(|last| now.duration_since(last) < COMPLAINT_INTERVAL) {
            *left_out += 1;
            return None;
        }
        *last = Some(now);
        Some(std::mem::take(left_out))
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_one_line_a_second() {
        let complaints = Complaints::default();
        assert_eq!(complaints.line(), Some(0));
        for _ in 0..1000 {
            assert_eq!(complaints.line(), None);
        }
        advance(COMPLAINT_INTERVAL).await;
        assert_eq!(complaints.line(), Some(1000));
        advance(COMPLAINT_INTERVAL).await;
        assert_eq!(complaints.line(), Some(0));
    }
}

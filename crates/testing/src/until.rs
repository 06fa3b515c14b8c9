//! Waiting for an event that has no notification.

use std::time::{Duration, Instant};

/// Longer than anything takes, even on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Looks again and again until there is something: for what has no event that could be waited for.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begin.elapsed() < PATIENCE, "waited too long until {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

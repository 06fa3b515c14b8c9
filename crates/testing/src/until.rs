//! Waiting for an event that sends no notification.

use std::time::{Duration, Instant};

/// Time limit, generous enough for a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Polls `look` until it returns a value, for events without a notification. `what` describes the event in the panic
/// message.
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

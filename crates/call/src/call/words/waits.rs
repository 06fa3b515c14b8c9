//! Waits for an answer.

use std::time::Duration;

use trunkgate_resources::limits::OVERSIZE_SILENCE;

/// Returns how long TCP may be silent where UDP may be for `no_response_timeout`; zero: without a limit.
pub(crate) fn silence(no_response_timeout: Duration) -> Duration {
    if no_response_timeout.is_zero() { OVERSIZE_SILENCE } else { OVERSIZE_SILENCE.min(no_response_timeout) }
}

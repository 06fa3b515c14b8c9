//! Waits for a response.

use std::time::Duration;

use trunkgate_resources::limits::OVERSIZE_SILENCE;

/// Returns the time after which a request without a response is given up, if it is too long for UDP and was sent over
/// TCP instead. `no_response_timeout` is the limit for UDP; zero means none.
pub(crate) fn silence(no_response_timeout: Duration) -> Duration {
    if no_response_timeout.is_zero() { OVERSIZE_SILENCE } else { OVERSIZE_SILENCE.min(no_response_timeout) }
}

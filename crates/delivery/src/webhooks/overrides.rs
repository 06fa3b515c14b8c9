//! Connection overrides: time limits and retries in the fragment of a webhook's URL (`#rc=2&rp=all`), as on Twilio. The
//! fragment is neither sent nor signed.

use std::time::Duration;

use form_urlencoded::parse;

use trunkgate_system::limits::{
    WEBHOOK_CONNECT_MILLISECONDS, WEBHOOK_CONNECT_MOST_MILLISECONDS, WEBHOOK_LEAST_MILLISECONDS, WEBHOOK_RETRIES,
    WEBHOOK_TOTAL_MILLISECONDS,
};

/// Time limits and retries of one webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConnectionOverrides {
    /// `ct`: maximum time for the TCP connection and the TLS handshake.
    pub(crate) connect: Duration,
    /// `rt`: maximum time until the response starts, and between its parts.
    pub(crate) read: Duration,
    /// `tt`: maximum total time.
    pub(crate) total: Duration,
    /// `rc`: maximum number of retries.
    pub(crate) retries: u32,
    /// `rp`: failures that are retried.
    pub(crate) policy: WebhookRetryPolicy,
}

/// Kinds of failures that are retried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WebhookRetryPolicy {
    /// `ct`: no TCP connection could be opened.
    pub(crate) connect: bool,
    /// `rt`: no response within the time limit.
    pub(crate) read: bool,
    /// `4xx`: client error status.
    pub(crate) client_error: bool,
    /// `5xx`: server error status.
    pub(crate) server_error: bool,
}

/// Retries only `ct`, because a request that was never sent is safe to repeat, but one that the server may be
/// processing is not.
impl Default for WebhookRetryPolicy {
    fn default() -> WebhookRetryPolicy {
        WebhookRetryPolicy { connect: true, read: false, client_error: false, server_error: false }
    }
}

impl Default for ConnectionOverrides {
    fn default() -> ConnectionOverrides {
        let total = Duration::from_millis(WEBHOOK_TOTAL_MILLISECONDS);
        let connect = Duration::from_millis(WEBHOOK_CONNECT_MILLISECONDS);
        ConnectionOverrides { connect, read: total, total, retries: 1, policy: WebhookRetryPolicy::default() }
    }
}

impl ConnectionOverrides {
    /// Parses a fragment without its `#`. A number out of range is clamped; `sni`, `e` and unknown names are ignored,
    /// since many fragments are not overrides.
    ///
    /// # Errors
    /// Returns the word of `rp` that is not a policy.
    pub(crate) fn parse(fragment: &str) -> Result<ConnectionOverrides, String> {
        let mut read = ConnectionOverrides::default();
        for (name, value) in parse(fragment.as_bytes()) {
            let time = |most| {
                let millis = value.parse::<u64>().ok()?.clamp(WEBHOOK_LEAST_MILLISECONDS, most);
                Some(Duration::from_millis(millis))
            };
            match name.as_ref() {
                "ct" => read.connect = time(WEBHOOK_CONNECT_MOST_MILLISECONDS).unwrap_or(read.connect),
                "rt" => read.read = time(WEBHOOK_TOTAL_MILLISECONDS).unwrap_or(read.read),
                "tt" => read.total = time(WEBHOOK_TOTAL_MILLISECONDS).unwrap_or(read.total),
                "rc" => read.retries = value.parse().map_or(read.retries, |count: u32| count.min(WEBHOOK_RETRIES)),
                "rp" => read.policy = WebhookRetryPolicy::parse(&value)?,
                _ => {}
            }
        }
        Ok(read)
    }
}

impl WebhookRetryPolicy {
    fn parse(words: &str) -> Result<WebhookRetryPolicy, String> {
        let mut policy = WebhookRetryPolicy { connect: false, ..WebhookRetryPolicy::default() };
        for word in words.split(',').map(str::trim) {
            match word {
                "ct" => policy.connect = true,
                "rt" => policy.read = true,
                "4xx" => policy.client_error = true,
                "5xx" => policy.server_error = true,
                "all" => {
                    return Ok(WebhookRetryPolicy {
                        connect: true,
                        read: true,
                        client_error: true,
                        server_error: true,
                    });
                }
                other => return Err(other.chars().take(16).collect()),
            }
        }
        Ok(policy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(fragment: &str) -> (u128, u128, u128, u32) {
        let read = ConnectionOverrides::parse(fragment).unwrap();
        (read.connect.as_millis(), read.read.as_millis(), read.total.as_millis(), read.retries)
    }

    #[test]
    fn times_and_tries_stay_within_twilios_ranges() {
        assert_eq!(millis(""), (5_000, 15_000, 15_000, 1));
        assert_eq!(millis("ct=2000&rt=3000&tt=4000&rc=3"), (2_000, 3_000, 4_000, 3));
        assert_eq!(millis("ct=1&rt=1&tt=1&rc=0"), (100, 100, 100, 0));
        assert_eq!(millis("ct=99999&rt=99999&tt=99999&rc=99"), (10_000, 15_000, 15_000, 5));
        for fragment in ["section-2", "ct=&rt=soon&tt=-1&rc=many", "sni=n&e=ashburn,dublin", "rc=99999999999"] {
            assert_eq!(millis(fragment), (5_000, 15_000, 15_000, 1), "{fragment}");
        }
    }

    #[test]
    fn a_policy_is_a_list_of_failures() {
        let of = |text: &str| {
            ConnectionOverrides::parse(text)
                .map(|read| read.policy)
                .map(|p| [p.connect, p.read, p.client_error, p.server_error])
        };
        assert_eq!(of("rc=2"), Ok([true, false, false, false]));
        assert_eq!(of("rp=ct"), Ok([true, false, false, false]));
        assert_eq!(of("rp=5xx,ct,rt"), Ok([true, true, false, true]));
        assert_eq!(of("rp=4xx%2C5xx"), Ok([false, false, true, true]));
        assert_eq!(of("rp=all"), Ok([true; 4]));
        assert_eq!(of("rp=rt&rc=5"), Ok([false, true, false, false]));
        assert_eq!(of("rp=5xx,3xx"), Err("3xx".to_owned()));
        assert_eq!(of("rp="), Err(String::new()));
    }
}

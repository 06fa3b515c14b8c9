//! Fixes for an agent by what it said itself: the status of its handshake, the code of its close, or nothing at all.

use trunkgate_media::agent::Loss;

/// Words of an agent that accepts connections and does not open the WebSocket.
pub const NO_UPGRADE: &str = "it accepts the connection and does not answer the WebSocket handshake";

/// Returns the fix for a loss that the agent itself explains; `words` is its message, `signed` whether the handshake was signed.
pub fn of(loss: Loss, words: &str, signed: bool) -> Option<&'static str> {
    match loss {
        Loss::Status(401) if signed => Some(
            "the bot rejects the signature: set `auth_token` to the token that the bot verifies with, and have the bot verify the \
             signature of exactly `url`",
        ),
        Loss::Status(401) => Some(
            "credentials are missing: set `auth_token` to the token that the bot verifies signatures (X-Twilio-Signature) with; the edge \
             sends no user, password or other header",
        ),
        Loss::Status(403) if signed => Some(
            "set `auth_token` to the token that the bot verifies with, and have the bot verify the signature of exactly \
             `url`; then check the path in `url`",
        ),
        Loss::Status(403) => Some(
            "check the path in `url` (FastAPI and Starlette answer an unknown path with 403); then set `auth_token` if the \
             bot verifies signatures",
        ),
        Loss::ConnectTimeout if words.contains(NO_UPGRADE) => Some(
            "look for what blocks the bot (its event loop, a stopped process), and check that the port is the bot's: something accepts \
             the connection and says nothing",
        ),
        Loss::Closed(Some(1001 | 1012)) => Some(
            "keep the bot running during calls: it was stopped or restarted; let a deployment wait until its calls have ended",
        ),
        Loss::Closed(Some(1008)) => Some(
            "the bot refused this stream by a rule of its own: see its reason and its log, then `parameters` and `auth_token`",
        ),
        Loss::Closed(Some(1011)) => {
            Some("look for an exception in the bot's log: its handler failed; close with code 1000 to end the call")
        }
        Loss::Closed(Some(1013)) => Some("let the bot accept more calls, or set `max_sessions` to what it can serve"),
        Loss::Closed(Some(4000..=4999)) => Some(
            "look up the code in the bot's documentation: it is the bot's own; close with code 1000 to end the call",
        ),
        Loss::Unreachable
        | Loss::Tls
        | Loss::Status(_)
        | Loss::NotWebSocket
        | Loss::ConnectTimeout
        | Loss::Silent
        | Loss::PingUnanswered
        | Loss::DataUnacknowledged
        | Loss::Unread
        | Loss::Reset
        | Loss::ProtocolError
        | Loss::Closed(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_that_says_why_has_a_fix_of_its_own() {
        let fix = |loss| of(loss, "", false).unwrap_or_default();
        assert!(fix(Loss::Status(401)).contains("`auth_token`"));
        assert!(fix(Loss::Closed(Some(1013))).contains("`max_sessions`"));
        assert!(of(Loss::ConnectTimeout, &format!("not connected in time: {NO_UPGRADE}"), false).is_some());
        assert_eq!((fix(Loss::ConnectTimeout), fix(Loss::Reset)), ("", ""));
    }
}

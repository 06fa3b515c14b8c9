//! Fixes for an agent that could not be reached or was lost: trace, verdict, `status`, `doctor` and `agent test` print
//! them.

use trunkgate_media::agent::StreamLoss;
use trunkgate_route::{Agent, host_of, is_loopback_host};

use crate::tls::{NOT_TLS, UNKNOWN_ISSUER, UNTRUSTED};

/// Error text for an agent that accepts TCP connections but does not complete the WebSocket handshake.
pub const NO_UPGRADE: &str = "it accepts the connection and does not answer the WebSocket handshake";
/// Error text for an agent that closes the connection during the handshake.
pub const ENDED: &str = "the connection ended before an answer to the handshake";

/// Text for a call that its agent ended within the first seconds without having sent audio.
pub const LEFT_AT_ONCE: &str = "ended the call at once, without audio";
/// Fix for an agent that ends calls before it has sent audio.
pub const WHY_ENDED: &str = "see the agent's log for why it ended; it may greet, or wait for the caller to speak";

/// Returns the fix for a failed or lost stream if its status or error text is specific enough; `None` leaves the choice
/// to [`remedy`]. `words` is the error text, `signed` is true if the handshake was signed (`auth_token`).
fn explained_fix(loss: StreamLoss, words: &str, signed: bool) -> Option<&'static str> {
    match loss {
        StreamLoss::Status(401) if signed => Some(
            "the bot rejects the signature: set `auth_token` to the token that the bot verifies with, and have the bot verify the \
             signature of exactly `url`",
        ),
        StreamLoss::Status(401) => Some(
            "credentials are missing: set `auth_token` to the token that the bot verifies signatures (X-Twilio-Signature) with; the edge \
             sends no user, password or other header",
        ),
        StreamLoss::Status(403) if signed => Some(
            "set `auth_token` to the token that the bot verifies with, and have the bot verify the signature of exactly \
             `url`; then check the path in `url`",
        ),
        StreamLoss::Status(403) => Some(
            "check the path in `url` (FastAPI and Starlette answer an unknown path with 403); then set `auth_token` if the \
             bot verifies signatures",
        ),
        StreamLoss::ConnectTimeout if words.contains(NO_UPGRADE) => Some(
            "look for what blocks the bot (its event loop, a stopped process), and check that the port is the bot's: the port accepts \
             TCP but sends no HTTP response",
        ),
        StreamLoss::Closed(Some(1000)) => Some(WHY_ENDED),
        StreamLoss::Closed(Some(1001 | 1012)) => Some(
            "keep the bot running during calls: it was stopped or restarted; let a deployment wait until its calls have ended",
        ),
        StreamLoss::Closed(Some(1008)) => Some(
            "the bot refused this stream by a rule of its own: see its reason and its log, then `parameters` and `auth_token`",
        ),
        StreamLoss::Closed(Some(1011)) => {
            Some("look for an exception in the bot's log: its handler failed; close with code 1000 to end the call")
        }
        StreamLoss::Closed(Some(1013)) => {
            Some("let the bot accept more calls, or set `max_sessions` to the bot's capacity")
        }
        StreamLoss::Closed(Some(4000..=4999)) => Some(
            "look up the code in the bot's documentation: it is the bot's own; close with code 1000 to end the call",
        ),
        StreamLoss::Unreachable
        | StreamLoss::Tls
        | StreamLoss::Status(_)
        | StreamLoss::NotWebSocket
        | StreamLoss::ConnectTimeout
        | StreamLoss::Silent
        | StreamLoss::PingUnanswered
        | StreamLoss::DataUnacknowledged
        | StreamLoss::Unread
        | StreamLoss::Reset
        | StreamLoss::ProtocolError
        | StreamLoss::Closed(_) => None,
    }
}

/// Appends the command that verifies a fix. `name` is the name of the agent; if it is empty, because an application
/// gave the URL, the fix is returned unchanged.
pub fn with_test(fix: &str, name: &str) -> String {
    if name.is_empty() {
        fix.to_owned()
    } else {
        format!("{fix}; `trunkgate agent test {name}` shows whether it helped")
    }
}

/// Fix for an unreachable bot on this machine.
const NOT_STARTED: &str = "start the bot: no program on this machine listens on the port of `url`; a bot in a container needs its port published";
/// Fix for a certificate that the configured `ca` does not verify.
const OTHER_CA: &str = "`ca` contains another certificate: set it to the certificate of the CA that issued the one which the bot presents now, and have the \
                        bot send its intermediate certificates";

/// Returns the fix for a failed or lost stream of a configured agent: that of a wrong `ca` if the error text names an
/// unknown issuer, else the result of [`remedy_at`].
pub fn remedy_of(agent: &Agent, loss: StreamLoss, words: &str) -> &'static str {
    let is_other_ca = loss == StreamLoss::Tls && agent.ca.is_some() && words.contains(UNKNOWN_ISSUER);
    if is_other_ca { OTHER_CA } else { remedy_at(&agent.url, loss, words, agent.auth_token.is_some()) }
}

/// Returns the fix for a failed or lost stream of the agent at `url`: a refused connection to a loopback host means
/// that the bot is not started; everything else is left to [`remedy`].
pub fn remedy_at(url: &str, loss: StreamLoss, words: &str, signed: bool) -> &'static str {
    let is_refused = loss == StreamLoss::Unreachable && words.contains("refused");
    if is_refused && is_loopback_host(host_of(url)) { NOT_STARTED } else { remedy(loss, words, signed) }
}

/// Returns the fix for a failed or lost stream by its kind and error text (`words`). `signed` is true if the handshake
/// was signed (`auth_token`).
pub fn remedy(loss: StreamLoss, words: &str, signed: bool) -> &'static str {
    if let Some(fix) = explained_fix(loss, words, signed) {
        return fix;
    }
    match loss {
        StreamLoss::Unreachable if words.contains("local_networks") => {
            "use `wss://`, or add the network to `[edge] local_networks`: `ws://` to other networks is refused"
        }
        StreamLoss::Unreachable if words.contains("lookup") || words.contains("not known") => {
            "correct the host name in `url`, or check the name server: DNS returned no address"
        }
        StreamLoss::Unreachable => {
            "start the bot, and bind it to an address that the edge can reach: a bot bound to 127.0.0.1 accepts \
             connections from its own machine only"
        }
        StreamLoss::Tls if words.contains(NOT_TLS) => "use `ws://`, or the port of the bot's TLS proxy",
        StreamLoss::Tls if words.contains("is not valid for") && words.contains(UNTRUSTED) => {
            "the bot's certificate has another name and an issuer that is not trusted: check that `url` leads to the bot, have a certificate issued for the \
             host of `url`, and set `ca` to its issuer's certificate"
        }
        StreamLoss::Tls if words.contains("is not valid for") => {
            "use a name of the bot's certificate in `url`, or have it issued for the host of `url`: `ca` does not help here"
        }
        StreamLoss::Tls if words.contains("expired") => {
            "have the bot's certificate renewed: no setting of the agent accepts an expired one"
        }
        StreamLoss::Tls => {
            "for a private or self-signed certificate, set `ca` to the issuer's certificate or to the certificate itself"
        }
        StreamLoss::Status(500..=599) => {
            "check the log of the bot, and that of a proxy in front of it: a proxy answers 502, 503 or 504 if the bot does not run"
        }
        StreamLoss::Status(404) => "correct the path in `url`",
        StreamLoss::Status(300..=399) => "set `url` to the location of the redirect, which the message shows",
        StreamLoss::Status(_) => {
            "set `url` to the WebSocket, not to the webhook, and have each proxy in between forward the `Upgrade` header"
        }
        StreamLoss::NotWebSocket if words.contains(ENDED) => {
            "look for an exception in the bot's log: it closed the connection in the WebSocket handshake; a bot that expects TLS needs `wss://`"
        }
        StreamLoss::NotWebSocket => "check that the port is the bot's, and use `wss://` if it expects TLS",
        StreamLoss::ConnectTimeout => {
            "open the firewall between edge and bot, or keep the bot running if it starts on demand"
        }
        StreamLoss::Silent => "have the bot send its greeting earlier, or increase `first_audio_timeout`",
        StreamLoss::PingUnanswered => {
            "do not block the bot's event loop, for example by waiting for a model without `await`: the WebSocket library \
             answers pings only while it runs"
        }
        StreamLoss::DataUnacknowledged => {
            "check the network between edge and bot, and that nothing blocks the bot's event loop: its machine took no more data"
        }
        StreamLoss::Unread => {
            "have the bot read its WebSocket all the time: it sends messages, such as marks, and does not read the replies"
        }
        StreamLoss::Reset => {
            "look for an exception in the bot's log; with FastAPI on uvicorn, call `await websocket.close()` at the end of \
             the handler"
        }
        StreamLoss::ProtocolError | StreamLoss::Closed(_) => {
            "close with code 1000 to end the call; any other end counts as a lost agent, and the call fails over to the \
             next target"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_that_says_why_has_a_fix_of_its_own() {
        let fix = |loss| explained_fix(loss, "", false).unwrap_or_default();
        assert!(fix(StreamLoss::Status(401)).contains("`auth_token`"));
        assert!(fix(StreamLoss::Closed(Some(1013))).contains("`max_sessions`"));
        assert!(
            explained_fix(StreamLoss::ConnectTimeout, &format!("not connected in time: {NO_UPGRADE}"), false).is_some()
        );
        assert_eq!((fix(StreamLoss::ConnectTimeout), fix(StreamLoss::Reset)), ("", ""));
    }

    #[test]
    fn a_fix_fits_the_url_and_the_ca_of_the_agent() {
        let refused = |url: &str| {
            remedy_of(&Agent::at("bot", url), StreamLoss::Unreachable, "cannot be reached: Connection refused")
        };
        for url in ["wss://127.0.0.1:25101/media", "ws://localhost/", "wss://[::1]:9/x", "ws://user@127.1.2.3"] {
            assert_eq!(refused(url), NOT_STARTED, "{url}");
        }
        for url in ["wss://192.0.2.7:25101/media", "ws://localhost.example/", "wss://bot.example/127.0.0.1"] {
            assert!(refused(url).contains("bind it to an address that the edge can reach"), "{url}");
        }
        let other = |ca: Option<&[u8]>| {
            let agent = Agent { ca: ca.map(Into::into), ..Agent::at("bot", "wss://127.0.0.1/") };
            remedy_of(&agent, StreamLoss::Tls, UNKNOWN_ISSUER)
        };
        assert_eq!(other(Some(b"pem")), OTHER_CA, "a key that is set is not advised");
        assert!(other(None).contains("set `ca` to the issuer's certificate"));
    }
}

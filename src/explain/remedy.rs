//! Fixes for an agent that was not reached or was lost; docs/agents.md has the same words.

use std::net::IpAddr;

use trunkgate_call::agent_fix;
use trunkgate_media::agent::Loss;
use trunkgate_route::Agent;

use crate::system::tls_words::{NOT_TLS, UNKNOWN_ISSUER};

/// Fix for a bot of this machine that is not reached.
const NOT_STARTED: &str = "start the bot: nothing of this machine accepts connections at the port of `url`; a bot in a container needs its port published";
/// Fix for a certificate that does not come from the configured `ca`.
const OTHER_CA: &str = "`ca` contains another certificate: set it to the certificate of the CA that issued the one which the bot presents now, and have the \
                        bot send its intermediate certificates";

/// Returns the fix for a loss of an agent by what its section says; where that changes nothing the same as [`remedy`].
pub(crate) fn remedy_of(agent: &Agent, loss: Loss, words: &str) -> &'static str {
    let is_other_ca = loss == Loss::Tls && agent.ca.is_some() && words.contains(UNKNOWN_ISSUER);
    if is_other_ca { OTHER_CA } else { remedy_at(&agent.url, loss, words, agent.auth_token.is_some()) }
}

/// Returns the fix for a loss of an agent at this URL.
pub(crate) fn remedy_at(url: &str, loss: Loss, words: &str, signed: bool) -> &'static str {
    let is_refused = loss == Loss::Unreachable && words.contains("refused");
    if is_refused && is_of_this_machine(url) { NOT_STARTED } else { remedy(loss, words, signed) }
}

/// Whether a URL names this machine by a loopback address.
fn is_of_this_machine(url: &str) -> bool {
    let place = url.split_once("://").map_or(url, |(_, place)| place).split(['/', '?', '#']).next().unwrap_or_default();
    let place = place.rsplit_once('@').map_or(place, |(_, place)| place);
    let host = match place.strip_prefix('[') {
        Some(six) => six.split(']').next().unwrap_or_default(),
        None => place.split(':').next().unwrap_or_default(),
    };
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

/// Returns the fix for a loss, as in the table "When it does not work" of docs/agents.md. `words` is the message of the loss,
/// `signed` whether the handshake was signed (`auth_token`).
pub(crate) fn remedy(loss: Loss, words: &str, signed: bool) -> &'static str {
    if let Some(fix) = agent_fix::of(loss, words, signed) {
        return fix;
    }
    match loss {
        Loss::Unreachable if words.contains("local_networks") => {
            "use `wss://`, or add the network to `[edge] local_networks`: `ws://` to other networks is refused"
        }
        Loss::Unreachable if words.contains("lookup") || words.contains("not known") => {
            "correct the host name in `url`, or check the name server: DNS returned no address"
        }
        Loss::Unreachable => {
            "start the bot, and bind it to an address that the edge can reach: a bot bound to 127.0.0.1 accepts \
             connections from its own machine only"
        }
        Loss::Tls if words.contains(NOT_TLS) => "use `ws://`, or the port of the bot's TLS proxy",
        Loss::Tls if words.contains("is not valid for") => {
            "use a name of the bot's certificate in `url`, or have it issued for the host of `url`: `ca` does not help here"
        }
        Loss::Tls if words.contains("expired") => {
            "have the bot's certificate renewed: no key of the agent accepts an expired one"
        }
        Loss::Tls => {
            "for a private or self-signed certificate, set `ca` to the issuer's certificate or to the certificate itself"
        }
        Loss::Status(404) => "correct the path in `url`",
        Loss::Status(300..=399) => "set `url` to the location of the redirect, which the message shows",
        Loss::Status(_) => {
            "set `url` to the WebSocket, not to the webhook, and have each proxy in between forward the `Upgrade` header"
        }
        Loss::NotWebSocket => "check that the port is the bot's, and use `wss://` if it expects TLS",
        Loss::ConnectTimeout => {
            "open the firewall between edge and bot, or keep the bot running if it starts on demand"
        }
        Loss::Silent => "have the bot send its greeting earlier, or increase `first_audio_timeout`",
        Loss::PingUnanswered | Loss::DataUnacknowledged | Loss::Unread => {
            "do not block the bot's event loop, for example by waiting for a model without `await`: the WebSocket library \
             answers pings only while it runs"
        }
        Loss::Reset => {
            "look for an exception in the bot's log; with FastAPI on uvicorn, call `await websocket.close()` at the end of \
             the handler"
        }
        Loss::ProtocolError | Loss::Closed(_) => {
            "close with code 1000 to end the call; any other end counts as a lost agent, and the call fails over to the \
             next target"
        }
    }
}

#[cfg(test)]
mod tests {
    use trunkgate_call::agent_fix::NO_UPGRADE;

    use super::*;

    #[test]
    fn a_fix_fits_the_url_and_the_ca_of_the_agent() {
        let refused =
            |url: &str| remedy_of(&Agent::at("bot", url), Loss::Unreachable, "cannot be reached: Connection refused");
        for url in ["wss://127.0.0.1:25101/media", "ws://localhost/", "wss://[::1]:9/x", "ws://user@127.1.2.3"] {
            assert_eq!(refused(url), NOT_STARTED, "{url}");
        }
        for url in ["wss://192.0.2.7:25101/media", "ws://localhost.example/", "wss://bot.example/127.0.0.1"] {
            assert!(refused(url).contains("bind it to an address that the edge can reach"), "{url}");
        }
        let other = |ca: Option<&[u8]>| {
            let agent = Agent { ca: ca.map(Into::into), ..Agent::at("bot", "wss://127.0.0.1/") };
            remedy_of(&agent, Loss::Tls, UNKNOWN_ISSUER)
        };
        assert_eq!(other(Some(b"pem")), OTHER_CA, "a key that is set is not advised");
        assert!(other(None).contains("set `ca` to the issuer's certificate"));
    }

    #[test]
    fn docs_contain_every_fix() {
        let docs = include_str!("../../docs/agents.md").split_whitespace().collect::<Vec<_>>().join(" ");
        for remedy in [NOT_STARTED, OTHER_CA] {
            assert!(docs.contains(remedy), "{remedy}");
        }
        let losses = [
            Loss::Unreachable,
            Loss::Tls,
            Loss::Status(200),
            Loss::Status(302),
            Loss::Status(401),
            Loss::Status(403),
            Loss::Status(404),
            Loss::NotWebSocket,
            Loss::ConnectTimeout,
            Loss::Silent,
            Loss::Reset,
            Loss::PingUnanswered,
            Loss::DataUnacknowledged,
            Loss::Unread,
            Loss::ProtocolError,
            Loss::Closed(None),
            Loss::Closed(Some(1001)),
            Loss::Closed(Some(1008)),
            Loss::Closed(Some(1011)),
            Loss::Closed(Some(1013)),
            Loss::Closed(Some(4001)),
        ];
        for loss in losses {
            for words in [
                &loss.to_string(),
                "no address in local_networks",
                "failed to lookup",
                NOT_TLS,
                NO_UPGRADE,
                "is not valid for name",
                "its certificate expired on",
            ] {
                for signed in [false, true] {
                    let remedy = remedy(loss, words, signed);
                    assert!(docs.contains(remedy), "{loss}: {remedy}");
                }
            }
        }
    }
}

//! What to look at where an agent was not reached, or was lost: the words of docs/agents.md.

use trunkgate_media::agent::Loss;

use crate::certificates::NOT_TLS;

/// A sentence of "When it does not work" or of "What to look at in the bot". `words`: what the loss was told with; `signed`:
/// whether the handshake was, by `auth_token`.
pub(crate) fn remedy(loss: Loss, words: &str, signed: bool) -> &'static str {
    match loss {
        Loss::Unreachable if words.contains("local_networks") => {
            "`ws://` leads to a public address: `wss://`, or the network in `[edge] local_networks`"
        }
        Loss::Unreachable if words.contains("lookup") || words.contains("not known") => {
            "the name in `url`: there is no such host, or DNS does not answer"
        }
        Loss::Unreachable => {
            "whether the bot runs, and listens on an address that the edge reaches, not only on its own 127.0.0.1"
        }
        Loss::Tls if words.contains(NOT_TLS) => "the bot speaks no TLS there: `ws://`, or the port of its TLS proxy",
        Loss::Tls => "A certificate of your own: its issuer's, or itself, is `ca`.",
        Loss::Status(404) => "the path in `url`",
        Loss::Status(401) | Loss::Status(403) if signed => {
            "`auth_token`: the bot's own; and that it signs the URL which it is called by, as `url` has it. Then the path in \
             `url`"
        }
        Loss::Status(401 | 403) => {
            "the path in `url`: FastAPI and Starlette say 403 for an unknown one. Then `auth_token`, where the bot checks \
             signatures"
        }
        Loss::Status(300..=399) => "the line before names where it leads: write that into `url`",
        Loss::Status(_) => "`url` leads to the webhook, or to a proxy that does not pass `Upgrade` on",
        Loss::NotWebSocket => "whether the port is the bot's, and whether it wants TLS: `wss://`",
        Loss::ConnectTimeout => "a firewall between edge and bot, or a bot that has to wake up first",
        Loss::Silent => "`first_audio_timeout`: a greeting that comes later than that, or never",
        Loss::PingUnanswered | Loss::DataUnacknowledged | Loss::Unread => {
            "The library does so while it reads. A bot that blocks its event loop for 5 s (a model's answer waited for \
             without `await`) is taken for dead"
        }
        Loss::Reset => {
            "an exception in the bot? Its log says. On FastAPI and uvicorn: `await websocket.close()` at the end"
        }
        Loss::ProtocolError | Loss::Closed(_) => {
            "A close with 1000 ends the call; any other end is an agent that was lost, and the caller goes on to the next \
             target."
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_a_sentence_of_the_docs() {
        let docs = include_str!("../../docs/agents.md").split_whitespace().collect::<Vec<_>>().join(" ");
        let losses = [
            Loss::Unreachable,
            Loss::Tls,
            Loss::Status(200),
            Loss::Status(302),
            Loss::Status(403),
            Loss::Status(404),
            Loss::NotWebSocket,
            Loss::ConnectTimeout,
            Loss::Silent,
            Loss::Reset,
            Loss::PingUnanswered,
        ];
        for loss in losses {
            for words in [&loss.to_string(), "no address in local_networks", "failed to lookup", NOT_TLS] {
                for signed in [false, true] {
                    let remedy = remedy(loss, words, signed);
                    assert!(docs.contains(remedy), "{loss}: {remedy}");
                }
            }
        }
    }
}

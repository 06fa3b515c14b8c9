//! The reasons of calls and legs: the cause behind each slug. Its sentence, outcome and fix are in `trunkgate_call`.

use trunkgate_call::ReasonSlug;

/// The explanation of a reason, by its slug.
pub(super) fn explain(slug: &str) -> Option<String> {
    let slug = slug.to_lowercase();
    let reason = ReasonSlug::ALL.into_iter().find(|reason| reason.as_str() == slug)?;
    let fix = reason.fix().map(|fix| format!("\nFix: {}.\n", capital(fix))).unwrap_or_default();
    let (sentence, cause, outcome) = (reason.sentence(), cause(reason), outcome(reason));
    Some(format!(
        "{slug}: {sentence}\n\nCause: {cause}\n{fix}\nOutcome before the answer: {outcome}. Q.850 cause: {}.\nCalls with this \
         reason: trunkgate calls --reason {slug}\n",
        reason.q850(),
    ))
}

/// The outcome of a call that ended for this reason before it was answered.
fn outcome(reason: ReasonSlug) -> &'static str {
    if reason == ReasonSlug::TargetRejected { "depends on its SIP status" } else { reason.outcome() }
}

/// The body of docs/reasons.md: a table of all reasons, then a paragraph on each.
pub(super) fn markdown() -> String {
    let mut page = "| slug | meaning | Q.850 | outcome before the answer |\n| --- | --- | --- | --- |\n".to_owned();
    for reason in ReasonSlug::ALL {
        let (slug, sentence) = (reason.as_str(), reason.sentence());
        page.push_str(&format!("| `{slug}` | {sentence} | {} | {} |\n", reason.q850(), outcome(reason)));
    }
    for reason in ReasonSlug::ALL {
        page.push_str(&format!("\n### {}\n\n{}", reason.as_str(), cause(reason)));
        if let Some(fix) = reason.fix() {
            page.push_str(&format!(" *Fix*: {fix}."));
        }
        page.push('\n');
    }
    page
}

fn capital(text: &str) -> String {
    let mut rest = text.chars();
    rest.next().map(|first| first.to_uppercase().chain(rest).collect()).unwrap_or_default()
}

/// The events that lead to a reason, as sentences.
const fn cause(reason: ReasonSlug) -> &'static str {
    use ReasonSlug as R;
    match reason {
        R::CallerHungUp => "The caller ended an answered call with BYE.",
        R::CalleeHungUp => "The called party ended an answered call with BYE.",
        R::Operator => {
            "An operator ended the call: `trunkgate calls hangup`, `DELETE /v1/calls/{sid}`, or a second SIGTERM."
        }
        R::Draining => "The edge received SIGTERM or `trunkgate drain` and rejects new calls with 503 and Retry-After.",
        R::Overloaded => {
            "New calls waited for more than 25 ms because the CPU is saturated; they are rejected with 503 and Retry-After."
        }
        R::CallerCanceled => {
            "The caller sent CANCEL before an answer: ringing took too long, or the caller changed their mind."
        }
        R::AnsweredElsewhere => {
            "Another target of the same `ring_all` answered, so this leg was canceled. Only legs have this reason."
        }
        R::NoRoute => {
            "No [[route]] matches trunk, called number, caller, headers and time of the call. The caller gets 404."
        }
        R::RouteRejected => "The route's target is `reject:CODE`.",
        R::Denied => {
            "The called number is in `deny` of the target's trunk, or in none of its `allow_prefixes`. The caller gets 403."
        }
        R::HighRisk => {
            "The called number is in a range known for toll fraud and the trunk has `high_risk = \"refuse\"`."
        }
        R::ForbiddenAddress => {
            "A transfer or redirection leads to a URI whose address is the edge's own, loopback, link-local, unspecified or \
             multicast, and no trunk has that peer. Nothing is sent there."
        }
        R::CallerNotAllowed => {
            "The caller is not in `allow_callers` of the agent. The caller gets 486; no further target is tried."
        }
        R::CallerIdRefused => {
            "`caller_id_in` of the caller's trunk or `caller_id` of the target's trunk does not allow the calling number, and \
             there is no `default`. The caller gets 403."
        }
        R::IncompleteNumber => {
            "The user part of the Request-URI is empty, or contains `+` with something else than digits."
        }
        R::CodecMismatch => {
            "The offer has no codec that the other side allows. The Warning of the 488 and the trace list both sides' codecs."
        }
        R::BadMedia => "An SDP body cannot be parsed, or its answer does not fit the offer. The log names the defect.",
        R::SrtpRequired => "The trunk has `srtp = \"required\"` and the offer is plain RTP.",
        R::SrtpOff => {
            "The offer is SRTP only and the trunk has `srtp = \"off\"`. The Warning lists both sides' profiles."
        }
        R::SrtpMismatch => {
            "Both sides use SRTP, but have no crypto suite in common or no key in SDP. DTLS-SRTP is not supported."
        }
        R::LimitCalls => {
            "`[limits] calls`, `max_calls` of a trunk, or `max_calls` of an entry of its `limits` is reached. A call to a trunk \
             waits for `pace` first."
        }
        R::LimitRate => {
            "`calls_per_second` of `[limits]` or of a trunk, or its `peer_calls_per_second`, is exceeded. A call to a trunk waits \
             for `pace` first."
        }
        R::LimitDay => {
            "`calls_per_day` of a trunk or of an entry of its `limits` is reached. The alarm in the log names the limit."
        }
        R::NoPorts => {
            "No free UDP port in `[media] ports`: the range is too small, or another program uses part of it."
        }
        R::TooManyHops => "Max-Forwards reached 0, or the call has passed ten edges: a routing loop between networks.",
        R::Loop => "The call returned to the edge that had forwarded it: two systems route the number to each other.",
        R::EdgeRestarted => {
            "The process ended (crash, kill -9, power failure) during the call; the record is written at the next start. See the \
             end of the log and `journalctl -u trunkgate`. On an agent's leg: the call survived the restart and the agent was \
             reconnected."
        }
        R::TargetRejected => {
            "The target answered with a 4xx, 5xx or 6xx status; the trace and the call record contain it. Outcome: 486 and 600 \
             busy; 408 and 480 no_answer; other 4xx and 6xx refused; 5xx failed. `trunkgate help CODE` explains the status."
        }
        R::CredentialsRefused => {
            "The target answered 401 or 407 and the trunk has no `auth`, or one for another realm, or its user or password was \
             rejected. `trunkgate status` names which."
        }
        R::WrongCredentials => {
            "A request from the trunk had wrong digest credentials for its `require_auth`. The log and `trunkgate status` show it."
        }
        R::NotRegistered => "The registrar rejected our REGISTER or did not answer, so the trunk cannot be used.",
        R::TargetBusy => "The target answered 486 Busy Here or 600 Busy Everywhere.",
        R::RingTimeout => "The target rang for `ring_timeout` without an answer.",
        R::SearchTimeout => {
            "`search_timeout` of the route passed while its targets were tried. On a leg: it was canceled for the route's last \
             target. On a call: the last target did not answer either."
        }
        R::NoResponse => {
            "The target did not respond to the INVITE within `no_response_timeout`: wrong address, a firewall, or it ignores unknown \
             sources."
        }
        R::Unreachable => {
            "The target refused the connection, ICMP reported it unreachable, there is no route to it, or no phone is registered."
        }
        R::TlsFailed => {
            "The TLS handshake with the target failed: expired certificate, wrong name, unknown CA, or a missing client certificate."
        }
        R::NameNotFound => {
            "DNS has no NAPTR, SRV, A or AAAA record for the target's name, or the resolver did not answer."
        }
        R::AckTimeout => {
            "The caller did not acknowledge the 200 OK within 32 s: the ACK is lost, or sent to a wrong address."
        }
        R::MediaTimeout => "A leg that should send RTP sent none for `[media] idle_timeout`.",
        R::DialogLost => {
            "Both parties of a call on hold, or a caller connected to an agent, answered OPTIONS in the dialog with 481 or not at all."
        }
        R::SessionExpired => {
            "A party did not refresh its session, or did not answer our refresh (RFC 4028). The trace names it."
        }
        R::SessionTooShort => "The caller's Session-Expires is below the minimum of 90 s and was answered with 422.",
        R::AgentHungUp => "The agent closed the WebSocket with code 1000, or requested the end of the call.",
        R::Transferred => {
            "The leg was replaced by a transfer: REFER, a transfer requested by the agent or over `POST …/transfer`, a followed 3xx, \
             or an INVITE with Replaces. On a call: its party was joined with another call (attended transfer)."
        }
        R::AgentUnreachable => {
            "The TCP connection to the agent's `url` failed: process not running, DNS, firewall, or `ws://` outside \
             `local_networks`."
        }
        R::AgentTlsFailed => "The TLS handshake with the agent failed: expired certificate, wrong name, or unknown CA.",
        R::AgentRefused => {
            "The agent answered the WebSocket handshake with another status than 101. The trace contains it."
        }
        R::AgentNotWebSocket => "The server at the agent's `url` did not answer the handshake as a WebSocket server.",
        R::AgentConnectTimeout => "The WebSocket was not open within `connect_timeout`.",
        R::AgentSilent => "The agent sent no audio within `first_audio_timeout`.",
        R::AgentReset => "The TCP connection to the agent was reset: its process crashed or was killed.",
        R::AgentProtocolError => "The agent sent an invalid WebSocket frame.",
        R::AgentClosed => {
            "The agent closed the WebSocket with another code than 1000, or with 1000 and `on_close = \"next\"`. The trace contains \
             the code."
        }
        R::AgentPingUnanswered => "The agent did not answer a WebSocket ping in time: its event loop is blocked.",
        R::AgentDataUnacknowledged => {
            "The agent's host did not acknowledge TCP data: the network between is interrupted."
        }
        R::AgentUnread => "The agent did not read its socket, so messages to it piled up.",
        R::AgentSkipped => {
            "Five calls failed at this agent within 30 s, so it is skipped temporarily; one call at a time tests it again."
        }
        R::AgentFull => "All `max_sessions` of the agent are in use and its `queue` is full or absent.",
        R::QueueTimeout => "The caller waited in the agent's queue for longer than `wait`.",
        R::MaxCall => "The agent's `max_call` has passed.",
        R::Internal => "An error in Trunkgate itself.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_of_reasons_contains_what_help_prints() {
        let page = include_str!("../../docs/reasons.md");
        assert!(page.contains(&markdown()), "put `cargo run -- help reasons --markdown` into docs/reasons.md");
    }

    #[test]
    fn every_reason_is_explained_in_sentences() {
        for reason in ReasonSlug::ALL {
            let text = explain(&reason.as_str().to_uppercase()).unwrap();
            assert!(text.starts_with(reason.as_str()) && text.contains("\n\nCause: "), "{text}");
            let cause = cause(reason);
            assert!(cause.starts_with(|c: char| c.is_uppercase() || c == '`'), "{cause}");
            assert!(cause.ends_with('.') && !cause.contains("  "), "{cause}");
            assert!(reason.fix().is_none_or(|fix| !fix.ends_with('.') && fix.len() > 8), "{reason:?}");
        }
        assert_eq!(explain("no_such_reason"), None);
    }
}

//! SIP status codes: the edge's use of them, their meaning from a carrier or PBX, and the next step.
//! docs/reference/sip-answers.md has the exact conditions.

/// Explanation of a status code.
#[derive(Debug)]
pub struct StatusExplanation {
    /// Status code.
    pub code: u16,
    /// Conditions under which the edge sends the code; empty if it never does.
    pub sent: &'static str,
    /// Usual meaning from a carrier or PBX.
    pub received: &'static str,
    /// Next step for the operator.
    pub fix: &'static str,
}

macro_rules! statuses {
    ($($code:literal: $sent:literal, $received:literal, $fix:literal;)*) => {
        &[$(StatusExplanation { code: $code, sent: $sent, received: $received, fix: $fix }),*]
    };
}

const STATUSES: &[StatusExplanation] = statuses! {
    100: "At once for each INVITE.", "The INVITE arrived; the final answer follows.", "Nothing. It stops retransmissions of the INVITE.";
    180: "When a target rings.", "The called phone rings.", "Nothing. `ring_timeout` limits the ringing time.";
    181: "When a target sends it.", "The call is being forwarded.", "Nothing.";
    182: "When a target sends it.", "The call is in a queue.", "Nothing. `ring_timeout` includes the time in the queue.";
    183: "With `answer = \"early\"` of an agent, and when a target sends early media.", "Early media (announcement, ring-back tone) begins.",
        "No audio before the answer: check that the 183 has SDP (`trunkgate trace last`).";
    200: "When a target or an agent answers, and for OPTIONS, BYE, CANCEL, REGISTER.", "The request succeeded; for INVITE: the call is answered.",
        "Nothing.";
    202: "For a REFER: the transfer is in progress.", "The transfer request is accepted; NOTIFY reports its result.", "Nothing.";
    300: "", "Several alternative addresses.", "The edge follows Contacts that lead to a trunk; others count as a failed target.";
    301: "", "The number has moved permanently.", "The edge follows Contacts that lead to a trunk; others count as a failed target.";
    302: "", "The called party forwards its calls (call forwarding).", "The edge follows Contacts that lead to a trunk; others count as a failed target.";
    400: "A mandatory part of the request cannot be parsed; the reason phrase names it.", "The carrier cannot parse the request: number format (no `+`), or a header it rejects.",
        "Compare the INVITE in `trunkgate trace last` with the carrier's examples; `send_numbers`, `headers = { remove = [...] }`.";
    401: "Credentials are missing or wrong (`require_auth`, `accept_register`).", "Digest authentication is required. The edge repeats the request if the trunk has `auth`.",
        "Set `auth` of the trunk to the carrier's user name and password; see reason credentials_refused.";
    402: "", "The account has no credit.", "Check the balance of the carrier account.";
    403: "The called number or the caller ID is not allowed (denied, high_risk, caller_id_refused), or REFER is refused.",
        "The source address is not on the carrier's allow list, the caller ID is not yours, or the destination is not permitted.",
        "Check the allow list for your public address (`trunkgate doctor` shows it), the caller ID (`caller_id` of the route, `send_numbers` of the trunk), and the account's permissions for that country.";
    404: "No route matches the call (no_route).", "The number does not exist at the carrier, or has the wrong format.",
        "For a carrier's 404 check `send_numbers` of the trunk (the form of the number), and whether the number exists; for the edge's own: `trunkgate why --from TRUNK --called NUMBER`.";
    405: "A method that is not supported; REGISTER to a trunk without `accept_register`.", "The method is not supported. An OPTIONS answered so still proves that the peer is up.",
        "For REGISTER set `accept_register = true` and `require_auth`.";
    406: "The request accepts no SDP.", "The peer cannot produce an acceptable body.", "Check the Accept header in the trace.";
    407: "", "A proxy requires digest authentication. The edge repeats the request if the trunk has `auth`.",
        "Set `auth` of the trunk to the carrier's user name and password; see reason credentials_refused.";
    408: "", "The called party did not respond in time; the edge tries the next target.", "Check that the called phone is registered and reachable.";
    410: "", "The number is no longer in service.", "Check the number.";
    413: "The message exceeds `[limits] sip_message_bytes`, or the body of an INFO or MESSAGE 8192 bytes.", "The message is too large.",
        "Remove headers or shorten the body. `sip_message_bytes` can be raised if it is below the default (65535, the maximum).";
    414: "", "The Request-URI is too long.", "Check the number and URI parameters in the trace.";
    415: "A body type or encoding that is not supported; INFO with a DTMF digit from a trunk without `dtmf = \"info\"`.", "The peer does not support the body.",
        "For DTMF set `dtmf` of the trunk; otherwise remove the header or body with `headers`.";
    416: "The Request-URI or Refer-To is not a `sip:`, `sips:` or `tel:` URI.", "The URI scheme is not supported.", "Use `sip:` URIs; for TLS add `;transport=tls`.";
    420: "An extension in Require is not supported (`precondition`, `join`).", "An extension in Require is not supported. The edge requires none.",
        "Disable at the sender the extension that the Unsupported header names.";
    421: "", "The peer requires an extension.", "Check Require in the trace; ask the carrier.";
    422: "Session-Expires is below 90 s.", "The session interval is too short; the edge repeats the request with Min-SE.", "Nothing, unless it repeats: raise `session_expires`.";
    423: "REGISTER with an Expires below 60 s.", "The registration interval is too short; the edge repeats the request with Min-Expires.", "Configure at least 60 s in the phone.";
    428: "", "The carrier requires a STIR/SHAKEN Identity header.", "Ask the carrier to sign your calls.";
    429: "", "Too many calls per second (carrier usage).", "Set `calls_per_second = { out = N }` of the trunk: calls then wait for their turn.";
    433: "", "The caller's number is withheld or missing, and the callee accepts no such calls.",
        "Missing number: set `caller_id` of the route. Withheld number: the edge keeps the caller's choice, so the caller must show the number.";
    436: "", "The certificate of the Identity header cannot be loaded.", "Set `identity = \"strip\"` on the trunk: it also removes P-Asserted-Identity and Privacy.";
    437: "", "The certificate of the Identity header is not trusted.", "Set `identity = \"strip\"` on the trunk: it also removes P-Asserted-Identity and Privacy.";
    438: "", "The signature of the Identity header is invalid: a number changed after signing.", "Set `identity = \"strip\"` on the trunk: it also removes P-Asserted-Identity and Privacy.";
    480: "No target answered (ring_timeout).", "The called party is not available: no answer, not registered, or do not disturb.", "Check that the phone is registered; add a further target to the route.";
    481: "A request for a dialog that does not exist: after a restart, or a repeated BYE.", "The peer has no such call any more; the edge ends it.",
        "Single cases are harmless. Many: check for restarts of the peer.";
    482: "The call has passed this edge before (loop).", "The call loops beyond the carrier.", "Check routes of both systems that send the number to each other.";
    483: "Max-Forwards is 0, or the call has passed ten edges (too_many_hops).", "The call passed too many proxies: a loop.", "Check routes of both systems that send the number to each other.";
    484: "The called number is empty or malformed (incomplete_number).", "Digits are missing, or the number format is wrong.", "Check the dialled number; `send_numbers` of the trunk.";
    485: "", "The number is ambiguous.", "Send the number in E.164: `send_numbers = \"e164\"`.";
    486: "A target is busy, or the caller is not in `allow_callers` of the agent.", "The called party is busy. Final unless `on_busy = true`.", "`on_busy = true` in the route tries the next target.";
    487: "The caller canceled the call.", "Confirms that the edge canceled this leg.", "Nothing.";
    488: "No common codec or SRTP settings (codec_mismatch, srtp_required, srtp_off, srtp_mismatch). Warning lists both sides.",
        "The carrier accepts neither codecs nor SRTP settings of the offer.", "Check `codecs` and `srtp` of both trunks. Twilio: Secure Trunking must match `secure`.";
    489: "", "The event package is not supported.", "Nothing.";
    491: "Two re-INVITEs or UPDATEs crossed.", "Two re-INVITEs or UPDATEs crossed; the edge repeats its request.", "Nothing.";
    493: "", "The body cannot be decrypted.", "Ask the carrier.";
    500: "A target answered 401, 407, 503 or an unusable 3xx as the best answer; or requests out of order.", "An internal error at the carrier; the edge tries the next target.",
        "Ask the carrier for the cause, with the Call-ID in the trace; a Q.850 cause in its response is more specific.";
    501: "An unknown method.", "The method is not supported.", "Nothing. An OPTIONS answered so still proves that the peer is up.";
    502: "", "The carrier's upstream gave an invalid response; the edge tries the next target.", "Ask the carrier with the Call-ID; add a second carrier to the route.";
    503: "No target could be reached, no agent connected, a limit is reached (limit_calls, limit_rate, limit_day, no_ports), or the edge is draining or overloaded (with Retry-After). The trace shows the reason, `trunkgate status` the limits.",
        "The carrier is overloaded or down, or you exceed its call limits. The edge tries the next target and respects Retry-After.",
        "Compare `max_calls` and `calls_per_second` with your contract, and ask the carrier for its state; Retry-After in the trace is the time for which it wants no calls; add a second peer or target to the route.";
    504: "A reliable provisional response was not acknowledged, or an UPDATE was not answered by the other side.", "The carrier's upstream did not respond; the edge tries the next target.",
        "Ask the carrier with the Call-ID; add a second carrier to the route.";
    505: "A SIP version other than 2.0.", "The SIP version is not supported.", "Check the sender: this is usually not a SIP device.";
    513: "", "The message is too large.", "Use TCP: `oversize = \"tcp\"`, or remove headers.";
    580: "", "QoS preconditions cannot be met.", "Switch preconditions off at the peer.";
    600: "A target answered it.", "The called party is busy on all devices. Final unless `on_busy = true`.", "`on_busy = true` in the route tries the next target.";
    603: "A route with `reject:603`, or an attended transfer to a call that has ended.", "The called party declined, or an analytics service blocked the caller ID. Final: no further target is tried.",
        "If many calls are declined, check the reputation of your caller ID.";
    604: "", "The number exists nowhere.", "Check the number and `send_numbers`.";
    606: "", "The media description is not acceptable.", "Check `codecs` and `srtp` of the trunk.";
    607: "", "The called party marked the call as unwanted.", "Stop calling this number; check the reputation of your caller ID.";
    608: "", "An analytics service of the carrier blocked the call.", "Call-Info in the trace has the contact; check the reputation of your caller ID.";
};

/// Start of the advice for a code that the edge itself sends; it follows the advice for a carrier's code.
const OWN: &str = "; for the edge's own: ";

/// Advice that does not apply to calls with another target.
const ADDS_A_TARGET: [&str; 3] = [
    "; add a second carrier to the route",
    "; add a further target to the route",
    "; add a second peer or target to the route",
];

/// Returns the reason why the next target was not tried after a trunk rejected a call with these codes.
pub fn not_tried(next: &str, codes: &[u16], trunk: &str) -> String {
    let codes: Vec<String> = codes.iter().map(u16::to_string).collect();
    match codes.as_slice() {
        [one] => format!(
            "{next} was not tried, because {one} is not in `failover_on` of [trunk.{trunk}]: add it if {next} may take such calls"
        ),
        several => format!(
            "{next} was not tried, because {} are not in `failover_on` of [trunk.{trunk}]: add those on which {next} may take calls",
            several.join(", ")
        ),
    }
}

/// Removes the clause that recommends a further target from advice, for calls that have one.
pub fn beside_a_target(advice: &str) -> String {
    ADDS_A_TARGET.iter().fold(advice.to_owned(), |advice, clause| advice.replace(clause, ""))
}

impl StatusExplanation {
    /// Returns the next step like [`advice`](Self::advice), without the clause that recommends a further target.
    pub fn advice_beside_a_target(&self) -> Option<&'static str> {
        let advice = self.advice()?;
        Some(ADDS_A_TARGET.iter().find_map(|clause| advice.strip_suffix(clause)).unwrap_or(advice))
    }

    /// Returns the next step, as the end of a sentence; `None` if there is nothing to do.
    pub fn advice(&self) -> Option<&'static str> {
        let of_theirs = self.fix.split_once(OWN).map_or(self.fix, |(theirs, _)| theirs);
        Some(of_theirs.trim_end_matches('.')).filter(|fix| !fix.is_empty() && !fix.starts_with("Nothing"))
    }
}

/// Returns the explanation of a code; `None` for a code without one.
pub fn status(code: u16) -> Option<&'static StatusExplanation> {
    STATUSES.iter().find(|status| status.code == code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_ordered_and_explained_in_sentences() {
        assert!(STATUSES.windows(2).all(|pair| pair[0].code < pair[1].code));
        for status in STATUSES {
            for text in [status.sent, status.received, status.fix] {
                assert!(text.is_empty() || text.ends_with('.'), "{}: {text}", status.code);
            }
            assert!(!status.received.is_empty() && !status.fix.is_empty(), "{}", status.code);
            let beside = status.advice_beside_a_target().unwrap_or_default();
            assert!(!beside.contains("add a"), "{}: {beside}", status.code);
        }
        assert_eq!(status(504).unwrap().advice_beside_a_target(), Some("Ask the carrier with the Call-ID"));
        let not_found = status(404).unwrap();
        assert!(
            not_found.fix.contains(OWN) && !not_found.advice().unwrap().contains("TRUNK"),
            "a name to be filled in"
        );
        assert!(!status(503).unwrap().advice().unwrap().contains("503"), "nothing of the edge's own");
    }
}

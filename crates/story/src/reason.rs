//! Reasons for which calls are refused or end: stable slugs for log, call record, metrics, trace and Reason header.

use trunkgate_media::agent::StreamLoss;

/// Row of the table of reasons.
struct ReasonRow {
    slug: &'static str,
    sentence: &'static str,
    cause: &'static str,
    fix: Option<&'static str>,
    q850: u8,
    outcome: &'static str,
}

macro_rules! reasons {
    ($($name:ident {
        slug: $slug:literal,
        sentence: $sentence:literal,
        cause: $cause:literal,
        fix: $fix:expr,
        q850: $q850:literal,
        outcome: $outcome:literal,
    })*) => {
        /// Reason of a call's end or refusal, as in logs and call records.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
        pub enum ReasonSlug {
            $(#[doc = $sentence] #[serde(rename = $slug)] $name,)*
        }

        impl ReasonSlug {
            /// All reasons, for documentation and tests.
            pub const ALL: [ReasonSlug; [$($slug),*].len()] = [$(ReasonSlug::$name),*];

            const fn row(self) -> &'static ReasonRow {
                match self {
                    $(ReasonSlug::$name => &ReasonRow {
                        slug: $slug,
                        sentence: $sentence,
                        cause: $cause,
                        fix: $fix,
                        q850: $q850,
                        outcome: $outcome,
                    },)*
                }
            }
        }
    };
}

// `sentence`: meaning, as a clause without a full stop. `cause`: events that lead to the reason, as sentences. `fix`:
// remedy; none for a normal end. `q850`: ITU-T Q.850 cause if the remote party gave none (26: non-selected user
// clearing). `outcome`: outcome of a call that ended for this reason before it was answered.
reasons! {
    CallerHungUp {
        slug: "caller_hung_up",
        sentence: "the caller hung up",
        cause: "The caller ended an answered call with BYE.",
        fix: None,
        q850: 16,
        outcome: "canceled",
    }
    CalleeHungUp {
        slug: "callee_hung_up",
        sentence: "the callee hung up",
        cause: "The called party ended an answered call with BYE.",
        fix: None,
        q850: 16,
        outcome: "failed",
    }
    Operator {
        slug: "operator",
        sentence: "an operator or a request over HTTP ended the call",
        cause: "`trunkgate calls hangup`, `DELETE /v1/calls/{sid}`, `Status=completed` or `canceled` of the \
             Twilio-compatible API, a second SIGTERM, or the end of the drain time after a SIGTERM ended the call.",
        fix: None,
        q850: 31,
        outcome: "failed",
    }
    Draining {
        slug: "draining",
        sentence: "the edge is draining",
        cause: "SIGTERM or `trunkgate drain`: new calls get 503 with Retry-After.",
        fix: Some("send calls to another edge; `trunkgate drain --undo` ends a drain that `trunkgate drain` began"),
        q850: 42,
        outcome: "refused",
    }
    Overloaded {
        slug: "overloaded",
        sentence: "the edge is overloaded",
        cause: "New calls waited for more than 25 ms for the CPU and get 503 with Retry-After.",
        fix: Some("find the source of the calls (`calls_per_second` of its trunk limits it), or add CPU"),
        q850: 42,
        outcome: "refused",
    }
    CallerCanceled {
        slug: "caller_canceled",
        sentence: "the caller canceled before an answer",
        cause: "The caller sent CANCEL before an answer.",
        fix: None,
        q850: 16,
        outcome: "canceled",
    }
    AnsweredElsewhere {
        slug: "answered_elsewhere",
        sentence: "another target answered first",
        cause: "Another target of the same `ring_all` answered, so this leg was canceled (legs only).",
        fix: None,
        q850: 26,
        outcome: "canceled",
    }
    NoRoute {
        slug: "no_route",
        sentence: "no route matches",
        cause: "No [[route]] matches trunk, called number, caller, headers and time of the call: 404.",
        fix: Some("run `trunkgate why --from TRUNK --called NUMBER`: it shows the first failed condition of each route"),
        q850: 1,
        outcome: "refused",
    }
    RouteRejected {
        slug: "route_rejected",
        sentence: "the route rejects the call",
        cause: "The route's target is `reject:CODE`.",
        fix: Some("check the route's `reject:CODE`"),
        q850: 21,
        outcome: "refused",
    }
    Denied {
        slug: "denied",
        sentence: "calls to that number are not allowed on the trunk",
        cause: "The called number is in `deny` of the target's trunk, or in none of its `allow_prefixes`: 403.",
        fix: Some("check `deny` and `allow_prefixes` of the trunk"),
        q850: 21,
        outcome: "refused",
    }
    HighRisk {
        slug: "high_risk",
        sentence: "the number is in a range known for toll fraud",
        cause: "The called number is in a range known for toll fraud, and the trunk has `high_risk = \"refuse\"`.",
        fix: Some("find out who calls there; `high_risk = \"allow\"` in the target's trunk permits such calls"),
        q850: 21,
        outcome: "refused",
    }
    ForbiddenAddress {
        slug: "forbidden_address",
        sentence: "the target resolves to an address that transfers must not reach",
        cause: "A transfer or redirection leads to an address that is the edge's own, loopback, link-local, unspecified or \
             multicast, and no peer of a trunk.",
        fix: Some("check the addresses of the target's name in DNS; list an intended host as a peer of a trunk"),
        q850: 21,
        outcome: "refused",
    }
    CallerNotAllowed {
        slug: "caller_not_allowed",
        sentence: "the agent does not accept calls from that caller",
        cause: "The caller is not in `allow_callers` of the agent: 486, and no further target.",
        fix: Some("add the caller to `allow_callers` of the agent"),
        q850: 21,
        outcome: "refused",
    }
    CallerIdRefused {
        slug: "caller_id_refused",
        sentence: "the caller ID is not allowed",
        cause: "`caller_id_in` of the caller's trunk or `caller_id` of the target's trunk does not allow the calling number, \
             and there is no `default`: 403.",
        fix: Some("check `caller_id_in` of the caller's trunk and `caller_id` of the target's trunk"),
        q850: 21,
        outcome: "refused",
    }
    IncompleteNumber {
        slug: "incomplete_number",
        sentence: "the called number is empty or malformed",
        cause: "The user part of the Request-URI is empty, or has characters other than digits after `+`.",
        fix: Some("check the number that the caller dials"),
        q850: 28,
        outcome: "refused",
    }
    CodecMismatch {
        slug: "codec_mismatch",
        sentence: "the two sides have no codec in common",
        cause: "The offer has no codec that the other side allows. The trace and the Warning of the 488 list both sides' \
             codecs.",
        fix: Some("allow a common codec in `codecs` of both trunks"),
        q850: 88,
        outcome: "refused",
    }
    BadMedia {
        slug: "bad_media",
        sentence: "a session description is invalid",
        cause: "An SDP body cannot be parsed, or its answer does not fit the offer.",
        fix: Some("check the session description of the remote party: the log names the defect"),
        q850: 88,
        outcome: "refused",
    }
    SrtpRequired {
        slug: "srtp_required",
        sentence: "SRTP is required and was not offered",
        cause: "The trunk has `srtp = \"required\"` and the offer is plain RTP.",
        fix: Some("enable SRTP at the remote party (Twilio: Secure Trunking), or set `srtp = \"optional\"` in its trunk"),
        q850: 88,
        outcome: "refused",
    }
    SrtpOff {
        slug: "srtp_off",
        sentence: "only SRTP was offered and SRTP is off",
        cause: "The offer is SRTP only, and the trunk has `srtp = \"off\"`.",
        fix: Some("set `srtp = \"optional\"` in the trunk that offers it"),
        q850: 88,
        outcome: "refused",
    }
    SrtpMismatch {
        slug: "srtp_mismatch",
        sentence: "the two sides have no SRTP suite and key in common",
        cause: "Both sides use SRTP, but have no crypto suite in common or no key in SDP.",
        fix: Some("configure a common suite with keys in SDP at both sides; DTLS-SRTP is not supported"),
        q850: 88,
        outcome: "refused",
    }
    LimitCalls {
        slug: "limit_calls",
        sentence: "too many concurrent calls",
        cause: "`[limits] calls`, or `max_calls` of a trunk or of an entry of its `limits`, is reached, after `pace` for a \
             call to a trunk.",
        fix: Some("raise `max_calls` of that trunk or of its `limits`, or `[limits] calls`; `trunkgate calls` shows the current calls"),
        q850: 42,
        outcome: "refused",
    }
    LimitRate {
        slug: "limit_rate",
        sentence: "too many new calls per second",
        cause: "`calls_per_second` of `[limits]` or of a trunk, or its `peer_calls_per_second`, is exceeded, after `pace` \
             for a call to a trunk.",
        fix: Some("raise `calls_per_second` of that trunk or of `[limits]`; `pace` lets calls wait for their turn"),
        q850: 42,
        outcome: "refused",
    }
    TrunkCongested {
        slug: "trunk_congested",
        sentence: "the trunk accepts no more calls for now",
        cause: "All peers of the trunk answered with a code of its `congested_on`, or one with 429. Until its Retry-After \
             has passed, or for 1 s and longer each time, calls that have another target skip the trunk.",
        fix: Some("set `calls_per_second` of the trunk to its limit, and `pace` to let calls wait"),
        q850: 42,
        outcome: "failed",
    }
    LimitDay {
        slug: "limit_day",
        sentence: "too many calls today",
        cause: "`calls_per_day` of a trunk or of an entry of its `limits` is reached.",
        fix: Some("check whether so many calls are intended, then raise `calls_per_day` of that trunk or of its `limits`"),
        q850: 42,
        outcome: "refused",
    }
    LimitEmergency {
        slug: "limit_emergency",
        sentence: "too many emergency calls requested over HTTP",
        cause: "Emergency calls requested over HTTP have reached `[api] emergency_calls`: that many at the same time, or four \
             times as many attempts within a minute. Emergency calls of callers are never refused.",
        fix: Some("find out who makes them (`trunkgate calls`, `/v1/api`), and withdraw a stolen key; raise `emergency_calls` of [api] only if so \
                 many are intended"),
        q850: 42,
        outcome: "refused",
    }
    NoPorts {
        slug: "no_ports",
        sentence: "no free media port",
        cause: "No UDP port in `[media] ports` is free.",
        fix: Some("widen `[media] ports`; `ss -lunp` shows programs that use some of them"),
        q850: 47,
        outcome: "failed",
    }
    RecordingUnavailable {
        slug: "recording_unavailable",
        sentence: "the call cannot be recorded",
        cause: "Route with `record = true`: the disk accepts no recordings, and `[recording] on_full` is `refuse_calls`. Route \
             with `siprec` and `required = true`: the recording servers are down, refused the last 3 calls (503 before the \
             answer), or refused or ended this recording (BYE). Emergency calls are not refused. Target `voicemail:NAME`: \
             messages cannot be recorded; the next target gets the call.",
        fix: Some("`trunkgate status` names the error of the disk or of the recording servers (siprec): free space in the directory of recordings, or have the \
                 servers take calls; unrecorded calls are accepted with `on_full = \"continue\"` and `required = false`, messages of mailboxes are not"),
        q850: 42,
        outcome: "refused",
    }
    MailboxFull {
        slug: "mailbox_full",
        sentence: "the mailbox is full",
        cause: "The mailbox has `max_messages` messages, or messages of `max_size` bytes. The next target gets the call, \
             else 480.",
        fix: Some("delete messages (`DELETE` of their recordings in the Twilio-compatible API, or a shorter `keep` of [recording]), or raise `max_messages` or \
                 `max_size` of [voicemail.NAME]"),
        q850: 19,
        outcome: "failed",
    }
    TooManyHops {
        slug: "too_many_hops",
        sentence: "Max-Forwards is exhausted, or the call passed too many edges",
        cause: "Max-Forwards reached 0, or the call passed ten edges.",
        fix: Some("look for routes of two edges, or of an edge and a PBX, that lead to each other"),
        q850: 25,
        outcome: "refused",
    }
    Loop {
        slug: "loop",
        sentence: "the call returned to the edge that forwarded it",
        cause: "Two systems route the number to each other.",
        fix: Some("look for routes of two edges, or of an edge and a PBX, that lead to each other"),
        q850: 25,
        outcome: "refused",
    }
    EdgeRestarted {
        slug: "edge_restarted",
        sentence: "the edge terminated unexpectedly during the call",
        cause: "The process ended during the call (crash, kill -9, power failure): see the end of the log and `journalctl -u \
             trunkgate`.",
        fix: None,
        q850: 41,
        outcome: "failed",
    }
    TargetRejected {
        slug: "target_rejected",
        sentence: "a target rejected the call",
        cause: "The target answered with a 4xx, 5xx or 6xx status. Outcome: 486 and 600 busy; 408 and 480 no_answer; other \
             4xx and 6xx refused; 5xx failed.",
        fix: Some("`trunkgate trace SID` shows the target's status code and text, `trunkgate help CODE` the fix for that code; the target's log has details"),
        q850: 21,
        outcome: "failed",
    }
    CredentialsRefused {
        slug: "credentials_refused",
        sentence: "a target requires credentials that the trunk does not have, or rejected its `auth`",
        cause: "The target answered 401 or 407, and the trunk has no `auth`, one for another realm, or a wrong one: \
             `trunkgate status` names which.",
        fix: Some("check `auth` of its trunk: user, password, realm"),
        q850: 21,
        outcome: "failed",
    }
    WrongCredentials {
        slug: "wrong_credentials",
        sentence: "a request had wrong credentials for the trunk's `require_auth`",
        cause: "A request from the trunk had wrong digest credentials for its `require_auth`: 401, and no call. The log and \
             `trunkgate status` name the user or the password; three in a row from an address are a problem.",
        fix: Some("check user and password at the remote party, or `require_auth`"),
        q850: 21,
        outcome: "refused",
    }
    NotRegistered {
        slug: "not_registered",
        sentence: "a registrar rejected the edge's registration",
        cause: "The registrar rejected the edge's REGISTER or did not answer.",
        fix: Some("check `register` and `auth` of its trunk; `trunkgate status` shows the registrar's answer"),
        q850: 38,
        outcome: "failed",
    }
    TargetBusy {
        slug: "target_busy",
        sentence: "the callee is busy",
        cause: "The target answered 486 Busy Here or 600 Busy Everywhere.",
        fix: None,
        q850: 17,
        outcome: "busy",
    }
    RingTimeout {
        slug: "ring_timeout",
        sentence: "no answer within the ring timeout",
        cause: "The target rang for `ring_timeout` without an answer.",
        fix: Some("raise `ring_timeout` of the trunk or the route, or add a further target"),
        q850: 19,
        outcome: "no_answer",
    }
    SearchTimeout {
        slug: "search_timeout",
        sentence: "the route's `search_timeout` has passed",
        cause: "`search_timeout` of the route passed while its targets were tried. A leg was canceled for the last target; a \
             call got no answer from it either.",
        fix: Some("raise `search_timeout` of the route"),
        q850: 19,
        outcome: "no_answer",
    }
    NoResponse {
        slug: "no_response",
        sentence: "no response from the target",
        cause: "The target did not respond to the INVITE within `no_response_timeout`.",
        fix: Some("check its address, firewalls, and whether it accepts the edge's address: `trunkgate doctor`, line options"),
        q850: 18,
        outcome: "failed",
    }
    Unreachable {
        slug: "unreachable",
        sentence: "a target could not be reached",
        cause: "The connection was refused, ICMP reported the target unreachable, there is no route to it, or no phone is \
             registered.",
        fix: Some("check whether it runs and listens at that address: `trunkgate doctor`, line options"),
        q850: 38,
        outcome: "failed",
    }
    TlsFailed {
        slug: "tls_failed",
        sentence: "TLS with a target failed",
        cause: "Expired certificate, wrong name, unknown CA, or a missing client certificate.",
        fix: Some("ask its operator to renew an expired certificate; for a wrong name write `tls = { names = [\"…\"] }` in [trunk.NAME], for an unknown CA `tls = { ca = \"FILE\" }`: `trunkgate doctor`, line options"),
        q850: 38,
        outcome: "failed",
    }
    NameNotFound {
        slug: "name_not_found",
        sentence: "a target's name could not be resolved",
        cause: "DNS has no NAPTR, SRV, A or AAAA record for the target's name, or did not answer.",
        fix: Some("check its name: `trunkgate doctor`, line dns"),
        q850: 38,
        outcome: "failed",
    }
    AckTimeout {
        slug: "ack_timeout",
        sentence: "the 200 OK was not acknowledged",
        cause: "No ACK for the 200 OK within 32 s.",
        fix: Some("check `public_address`: the ACK is sent to the edge's Contact; a SIP ALG or proxy may drop it (`trunkgate doctor`, \
                 lines public address and sip alg)"),
        q850: 102,
        outcome: "failed",
    }
    MediaTimeout {
        slug: "media_timeout",
        sentence: "a party sent no media for too long",
        cause: "A leg that should send RTP sent none for `[media] idle_timeout`.",
        fix: Some("check whether it still sends: network, or a hold without a=sendonly; `[media] idle_timeout`"),
        q850: 102,
        outcome: "failed",
    }
    DialogLost {
        slug: "dialog_lost",
        sentence: "a party on hold is no longer reachable",
        cause: "Both parties of a call on hold, or a caller connected to an agent, answered OPTIONS in the dialog with 481 \
             or not at all.",
        fix: Some("check the network to the parties: while on hold they answered OPTIONS with 481 or not at all"),
        q850: 102,
        outcome: "failed",
    }
    SessionExpired {
        slug: "session_expired",
        sentence: "a party did not refresh its session",
        cause: "A party did not refresh its session, or did not answer the edge's refresh (RFC 4028). The trace names it.",
        fix: Some("check for a firewall or NAT that drops idle flows: use TCP or TLS, or a shorter `session_expires` of its trunk; \
                 `session_expires = \"0s\"` requests no refresh"),
        q850: 102,
        outcome: "failed",
    }
    SessionTooShort {
        slug: "session_too_short",
        sentence: "the requested session interval is too short",
        cause: "The caller's Session-Expires is below 90 s: 422.",
        fix: Some("raise Session-Expires of the caller to at least 90 s"),
        q850: 127,
        outcome: "refused",
    }
    AgentHungUp {
        slug: "agent_hung_up",
        sentence: "the agent ended the call",
        cause: "The agent closed the WebSocket with code 1000, or requested the end of the call.",
        fix: None,
        q850: 16,
        outcome: "failed",
    }
    AppHungUp {
        slug: "app_hung_up",
        sentence: "the application ended the call",
        cause: "The application's document ended, or its verb Hangup ended the call.",
        fix: None,
        q850: 16,
        outcome: "failed",
    }
    AppRejected {
        slug: "app_rejected",
        sentence: "the application rejected the call",
        cause: "The first verb of the document was Reject: 486 (busy) or 603 (rejected).",
        fix: None,
        q850: 21,
        outcome: "refused",
    }
    AppFailed {
        slug: "app_failed",
        sentence: "the application could not be run",
        cause: "The document, and that of `fallback_url` if there is one, could not be fetched or run.",
        fix: Some("`trunkgate help CODE` explains the error code; a target after the application takes such calls"),
        q850: 38,
        outcome: "failed",
    }
    Announced {
        slug: "announced",
        sentence: "the announcement was played",
        cause: "`play:FILE` was played to its end, and no target follows it.",
        fix: None,
        q850: 16,
        outcome: "failed",
    }
    VoicemailEnded {
        slug: "voicemail_ended",
        sentence: "the mailbox ended the call",
        cause: "The message was over: `silence` of the mailbox, its `max_length`, or the key #.",
        fix: None,
        q850: 16,
        outcome: "failed",
    }
    ConferenceEnded {
        slug: "conference_ended",
        sentence: "the caller's part in the conference ended",
        cause: "A party whose leaving ends the conference left, or a request ended the conference or removed the party.",
        fix: None,
        q850: 16,
        outcome: "failed",
    }
    ConferenceRefused {
        slug: "conference_refused",
        sentence: "the conference took no further party",
        cause: "The conference has 50 parties, the edge has 500, or the call comes from a connected conference; the next \
             target gets the call. An agent: the same, its label is taken, or the conference is over.",
        fix: Some("list a target after the conference for such calls; `trunkgate status` shows the parties of all conferences"),
        q850: 42,
        outcome: "failed",
    }
    Transferred {
        slug: "transferred",
        sentence: "the call was transferred",
        cause: "A leg was replaced by REFER, a transfer of the agent or over HTTP, a followed 3xx, or an INVITE with \
             Replaces, or its party got a document of its own (`POST Calls/{sid}.json`). A call: its party was joined with \
             another call (attended transfer).",
        fix: None,
        q850: 16,
        outcome: "failed",
    }
    TransferDeclined {
        slug: "transfer_declined",
        sentence: "the called party declined the transfer",
        cause: "The party of a warm transfer hung up, or pressed a digit other than the accepting one.",
        fix: None,
        q850: 21,
        outcome: "refused",
    }
    TransferNotAccepted {
        slug: "transfer_not_accepted",
        sentence: "the called party did not accept the transfer in time",
        cause: "The party of a warm transfer pressed no digit within `wait` after its whisper.",
        fix: None,
        q850: 19,
        outcome: "no_answer",
    }
    MachineAnswered {
        slug: "machine_answered",
        sentence: "a machine answered",
        cause: "An answering machine or a fax answered a warm transfer with `detection`.",
        fix: None,
        q850: 19,
        outcome: "no_answer",
    }
    WhisperFailed {
        slug: "whisper_failed",
        sentence: "the whisper of the transfer could not be made",
        cause: "The text of the whisper could not be spoken, or its file could not be fetched or read.",
        fix: Some("the call's trace has the error: check `[speech]`, or the file or URL of `whisper`"),
        q850: 38,
        outcome: "failed",
    }
    AgentUnreachable {
        slug: "agent_unreachable",
        sentence: "an agent could not be reached",
        cause: "No TCP connection to the agent's `url`: process, DNS, firewall, or `ws://` outside `local_networks`.",
        fix: Some("check whether the agent runs, and its `url`: `trunkgate agent test NAME`"),
        q850: 38,
        outcome: "failed",
    }
    AgentTlsFailed {
        slug: "agent_tls_failed",
        sentence: "TLS with an agent failed",
        cause: "Expired certificate, wrong name, or unknown CA.",
        fix: Some("`trunkgate agent test NAME` shows the certificate's fault: its name, its validity or its issuer (`ca`)"),
        q850: 38,
        outcome: "failed",
    }
    AgentRefused {
        slug: "agent_refused",
        sentence: "an agent rejected the WebSocket handshake",
        cause: "The agent answered the WebSocket handshake with a status other than 101, which the trace contains.",
        fix: Some("check the path of its `url`, and `auth_token`: `trunkgate agent test NAME`"),
        q850: 21,
        outcome: "failed",
    }
    AgentNotWebSocket {
        slug: "agent_not_websocket",
        sentence: "the server at the agent's URL does not speak WebSocket",
        cause: "The answer to the handshake was not that of a WebSocket server.",
        fix: Some("check the agent's `url`: the server there does not speak WebSocket"),
        q850: 38,
        outcome: "failed",
    }
    AgentConnectTimeout {
        slug: "agent_connect_timeout",
        sentence: "an agent did not connect in time",
        cause: "The WebSocket was not open within `connect_timeout`.",
        fix: Some("raise `connect_timeout`, or check the agent's load"),
        q850: 102,
        outcome: "failed",
    }
    AgentSilent {
        slug: "agent_silent",
        sentence: "an agent sent no audio in time",
        cause: "The agent sent no audio within `first_audio_timeout`.",
        fix: Some("check in the agent's log why it does not speak, or raise `first_audio_timeout`"),
        q850: 102,
        outcome: "failed",
    }
    AgentReset {
        slug: "agent_reset",
        sentence: "the connection to an agent was reset",
        cause: "The TCP connection was reset, or ended without a WebSocket close: the process crashed, or its handler \
             returned or raised an exception.",
        fix: Some("check the agent's log, and the idle timeouts of proxies"),
        q850: 38,
        outcome: "failed",
    }
    AgentProtocolError {
        slug: "agent_protocol_error",
        sentence: "an agent violated the WebSocket protocol",
        cause: "The agent sent an invalid WebSocket frame.",
        fix: Some("update the agent's WebSocket library"),
        q850: 38,
        outcome: "failed",
    }
    AgentClosed {
        slug: "agent_closed",
        sentence: "an agent closed the connection without ending the call",
        cause: "The agent closed the WebSocket with a code other than 1000, or with 1000 and `on_close = \"next\"`. The \
             trace contains the code.",
        fix: Some("check the agent's log: its process or its server closed the connection"),
        q850: 38,
        outcome: "failed",
    }
    AgentPingUnanswered {
        slug: "agent_ping_unanswered",
        sentence: "an agent did not answer a ping",
        cause: "The agent did not answer a WebSocket ping in time.",
        fix: Some("look for a blocked event loop in the agent"),
        q850: 102,
        outcome: "failed",
    }
    AgentDataUnacknowledged {
        slug: "agent_data_unacknowledged",
        sentence: "an agent did not acknowledge data",
        cause: "The agent's host did not acknowledge TCP data.",
        fix: Some("check the network between the edge and the agent"),
        q850: 102,
        outcome: "failed",
    }
    AgentUnread {
        slug: "agent_unread",
        sentence: "an agent does not read its socket",
        cause: "Messages to the agent piled up, unread.",
        fix: Some("check the agent: it sends marks and does not read them back"),
        q850: 38,
        outcome: "failed",
    }
    AgentSkipped {
        slug: "agent_skipped",
        sentence: "an agent that keeps failing is skipped temporarily",
        cause: "Five calls failed at this agent within 30 s, or two probes in a row. One call at a time, or the next probe, \
             tests it again.",
        fix: Some("find the cause of its failures: `trunkgate agent test NAME`; `trunkgate doctor` has its last failure"),
        q850: 38,
        outcome: "failed",
    }
    AgentFull {
        slug: "agent_full",
        sentence: "all sessions of the agent are in use and its queue is full",
        cause: "All `max_sessions` are in use, and the `queue` is full or absent.",
        fix: Some("raise `max_sessions`, or `size` and `wait` of the `queue` of the agent"),
        q850: 42,
        outcome: "failed",
    }
    QueueTimeout {
        slug: "queue_timeout",
        sentence: "the caller waited in the agent's queue for too long",
        cause: "The caller waited in the agent's queue for longer than `wait`.",
        fix: Some("raise `max_sessions`, or `size` and `wait` of the `queue` of the agent"),
        q850: 42,
        outcome: "failed",
    }
    MaxCall {
        slug: "max_call",
        sentence: "the agent's `max_call` has passed",
        cause: "The agent's `max_call` has passed.",
        fix: None,
        q850: 16,
        outcome: "failed",
    }
    TimeLimit {
        slug: "time_limit",
        sentence: "the time limit of the call has passed",
        cause: "`TimeLimit` or `limit_seconds` of the request, or `timeLimit` of the `<Dial>`, has passed.",
        fix: None,
        q850: 16,
        outcome: "failed",
    }
    Internal {
        slug: "internal",
        sentence: "internal error of the edge",
        cause: "An error in Trunkgate itself.",
        fix: Some("see the log, and please report it"),
        q850: 41,
        outcome: "failed",
    }
}

impl ReasonSlug {
    /// Returns the slug.
    pub const fn as_str(self) -> &'static str {
        self.row().slug
    }

    /// Returns the meaning, as a clause without a full stop.
    pub const fn sentence(self) -> &'static str {
        self.row().sentence
    }

    /// Returns the events that lead to the reason, as sentences.
    pub const fn cause(self) -> &'static str {
        self.row().cause
    }

    /// Returns whether the reason is a failure of an agent: unreachable or lost.
    pub const fn is_agent_failure(self) -> bool {
        matches!(
            self,
            ReasonSlug::AgentUnreachable
                | ReasonSlug::AgentTlsFailed
                | ReasonSlug::AgentRefused
                | ReasonSlug::AgentNotWebSocket
                | ReasonSlug::AgentConnectTimeout
                | ReasonSlug::AgentSilent
                | ReasonSlug::AgentReset
                | ReasonSlug::AgentProtocolError
                | ReasonSlug::AgentClosed
                | ReasonSlug::AgentPingUnanswered
                | ReasonSlug::AgentDataUnacknowledged
                | ReasonSlug::AgentUnread
        )
    }

    /// Returns the remedy; `None` for a normal end: hang-up, busy, transfer, or a command.
    pub const fn fix(self) -> Option<&'static str> {
        self.row().fix
    }

    /// Returns the ITU-T Q.850 cause, used if the remote party gave none.
    pub const fn q850(self) -> u8 {
        self.row().q850
    }

    /// Returns the outcome of a call that ended for this reason before it was answered.
    pub const fn outcome(self) -> &'static str {
        self.row().outcome
    }

    /// Returns the reason slug for a failed or lost stream of an agent.
    pub const fn of_loss(loss: StreamLoss) -> ReasonSlug {
        match loss {
            StreamLoss::Unreachable => ReasonSlug::AgentUnreachable,
            StreamLoss::Tls => ReasonSlug::AgentTlsFailed,
            StreamLoss::Status(_) => ReasonSlug::AgentRefused,
            StreamLoss::NotWebSocket => ReasonSlug::AgentNotWebSocket,
            StreamLoss::ConnectTimeout => ReasonSlug::AgentConnectTimeout,
            StreamLoss::Silent => ReasonSlug::AgentSilent,
            StreamLoss::Reset => ReasonSlug::AgentReset,
            StreamLoss::ProtocolError => ReasonSlug::AgentProtocolError,
            StreamLoss::Closed(_) => ReasonSlug::AgentClosed,
            StreamLoss::PingUnanswered => ReasonSlug::AgentPingUnanswered,
            StreamLoss::DataUnacknowledged => ReasonSlug::AgentDataUnacknowledged,
            StreamLoss::Unread => ReasonSlug::AgentUnread,
        }
    }

    /// Returns the value of a Reason header (RFC 3326) with the cause and the slug.
    pub fn header(self, q850: u8) -> String {
        let cause = format!("Q.850;cause={q850};text=\"{}\"", self.as_str());
        if self == ReasonSlug::AnsweredElsewhere {
            // As in the CANCEL to targets that had not answered, so that they show no missed call.
            return format!("{}, {cause}", trunkgate_sip::COMPLETED_ELSEWHERE);
        }
        cause
    }
}

/// Returns the Q.850 cause in the value of a Reason header (RFC 3326, RFC 6432). `None` if no entry has one from 1 to
/// 127.
pub fn q850_of(value: &[u8]) -> Option<u8> {
    let text = std::str::from_utf8(value).ok()?;
    text.split(',').find_map(|entry| {
        let mut parts = entry.split(';').map(str::trim);
        if !parts.next()?.eq_ignore_ascii_case("q.850") {
            return None;
        }
        let (_, cause) =
            parts.filter_map(|p| p.split_once('=')).find(|(n, _)| n.trim().eq_ignore_ascii_case("cause"))?;
        cause.trim().parse().ok().filter(|cause| (1..=127).contains(cause))
    })
}

/// Returns the Q.850 cause of a final SIP response, by the table of RFC 3398 §8.2.6.1.
pub const fn q850_of_code(code: u16) -> u8 {
    match code {
        200..=299 => 16,
        401 | 402 | 403 | 407 | 603 => 21,
        404 | 485 | 604 => 1,
        405 => 63,
        406 | 415 | 501 => 79,
        408 | 504 => 102,
        410 => 22,
        480 => 18,
        482 | 483 => 25,
        484 => 28,
        486 | 600 => 17,
        488 | 606 => 88,
        487 => 16,
        502 => 38,
        400 | 481 | 500 | 503 => 41,
        413 | 414 | 416 | 420 | 421..=423 | 505 | 513 => 127,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_are_distinct() {
        let slugs: std::collections::BTreeSet<_> = ReasonSlug::ALL.iter().map(|r| r.as_str()).collect();
        assert_eq!(slugs.len(), ReasonSlug::ALL.len());
    }

    #[test]
    fn an_agent_is_lost_for_the_reason_that_its_stream_names() {
        for loss in [
            StreamLoss::Unreachable,
            StreamLoss::Tls,
            StreamLoss::Status(404),
            StreamLoss::NotWebSocket,
            StreamLoss::ConnectTimeout,
            StreamLoss::Silent,
            StreamLoss::Reset,
            StreamLoss::ProtocolError,
            StreamLoss::Closed(Some(1001)),
            StreamLoss::PingUnanswered,
            StreamLoss::DataUnacknowledged,
            StreamLoss::Unread,
        ] {
            assert_eq!(ReasonSlug::of_loss(loss).as_str(), loss.slug());
        }
    }

    #[test]
    fn reason_header_has_the_cause() {
        for (value, cause) in [
            ("Q.850;cause=17;text=\"User busy\"", Some(17)),
            ("SIP;cause=200, q.850 ; cause = 3", Some(3)),
            ("SIP;cause=486", None),
            ("Q.850;cause=0", None),
            ("Q.850;cause=999", None),
            ("Q.850", None),
            ("", None),
        ] {
            assert_eq!(q850_of(value.as_bytes()), cause, "{value}");
        }
    }
}

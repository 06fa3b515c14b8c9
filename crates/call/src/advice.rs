//! What would help where a call failed or ended early: the end of its verdict. What each reason means stands in docs/reasons.md.

use crate::reason::ReasonSlug;

impl ReasonSlug {
    /// What to do about it; `None` where nothing is wrong: somebody hung up, was busy, did not answer, or the edge was told so.
    pub const fn fix(self) -> Option<&'static str> {
        use ReasonSlug as R;
        let fix = match self {
            R::CallerHungUp
            | R::CalleeHungUp
            | R::Operator
            | R::CallerCanceled
            | R::AnsweredElsewhere
            | R::TargetBusy
            | R::Transferred
            | R::AgentHungUp
            | R::MaxCall
            | R::EdgeRestarted => return None,
            R::Draining => "the next address of the caller's network; `trunkgate drain --undo` takes calls again",
            R::Overloaded => "whoever sends so many calls (`calls_per_second` of its trunk); more CPU",
            R::NoRoute => "`trunkgate why --from TRUNK --called NUMBER`: each route with what does not fit",
            R::RouteRejected => "the route's `reject:CODE`",
            R::Denied => "`deny` and `allow_prefixes` of the trunk",
            R::HighRisk => "`high_risk` of the target's trunk, if the call is meant",
            R::CallerNotAllowed => "`allow_callers` of the agent",
            R::CallerIdRefused => "`caller_id_in` of the caller's trunk, `caller_id` of the target's",
            R::IncompleteNumber => "what the caller dials",
            R::CodecMismatch => "`codecs` of both trunks",
            R::BadMedia => "the session description of the far end: the log names what is wrong with it",
            R::SrtpRequired => {
                "SRTP at the far end (at Twilio: Secure Trunking), or `srtp = \"optional\"` in its trunk"
            }
            R::SrtpOff => "`srtp` of the trunk that offers it",
            R::SrtpMismatch => "a suite that both sides have, with keys in SDP: DTLS-SRTP is not spoken",
            R::LimitCalls => {
                "`max_calls` of that trunk or of its `limits`, `[limits] calls`; who calls so much (`trunkgate calls`)"
            }
            R::LimitRate => "`calls_per_second` of that trunk or of `[limits]`; `pace` lets calls wait for their turn",
            R::LimitDay => "`calls_per_day` of that trunk or of its `limits`, if so many calls are meant",
            R::NoPorts => "a wider `[media] ports`; `ss -lunp` names a program that has some of them",
            R::TooManyHops | R::Loop => {
                "routes of two edges, or of an edge and what is behind it, that lead to each other"
            }
            R::TargetRejected => "the log of who rejected it",
            R::CredentialsRefused => "`auth` of its trunk: user, password, realm",
            R::WrongCredentials => "the far end's user and password, or `require_auth`",
            R::NotRegistered => "`register` and `auth` of its trunk; `trunkgate status` has the registrar's answer",
            R::RingTimeout => "`ring_timeout` of the trunk or the route; a further target behind it",
            R::SearchTimeout => "`search_timeout` of the route",
            R::NoResponse => {
                "its address, the firewalls between, whether it knows ours: `trunkgate doctor`, line options"
            }
            R::Unreachable => "whether it runs and listens at that address: `trunkgate doctor`, line options",
            R::TlsFailed => "its certificate, its name or end: `trunkgate doctor`, line tls",
            R::NameNotFound => "its name: `trunkgate doctor`, line dns",
            R::AckTimeout => {
                "`public_address`: the ACK goes to our Contact; no SIP ALG or proxy that keeps it (`trunkgate doctor`, lines public \
                 address and sip alg)"
            }
            R::MediaTimeout => {
                "whether it still sends: its network, a hold that its description does not tell; `[media] idle_timeout`"
            }
            R::DialogLost => "the network of the far ends: asked while on hold, nobody was there",
            R::SessionExpired => {
                "a firewall or NAT between that forgets the flow: TCP or TLS, or a shorter `session_expires` of its trunk, keep it open; \
                 `session_expires = \"0s\"` asks for no refresh"
            }
            R::SessionTooShort => "the caller's Session-Expires: 90 s is the least",
            R::AgentUnreachable => "whether the agent runs, its `url`: `trunkgate agent test NAME`",
            R::AgentTlsFailed => "the agent's certificate, `ca`",
            R::AgentRefused => "the path of its `url`, `auth_token`: the trace has the status",
            R::AgentNotWebSocket => "the agent's `url`: what is there speaks no WebSocket",
            R::AgentConnectTimeout => "`connect_timeout`, the agent's load",
            R::AgentSilent => "the agent's log: what it waits for before it speaks; `first_audio_timeout`",
            R::AgentReset | R::AgentClosed => "the agent's log: its process or its server ended the connection",
            R::AgentProtocolError => "the agent's WebSocket library",
            R::AgentPingUnanswered => "a blocked event loop in the agent",
            R::AgentDataUnacknowledged => "the network between us and the agent",
            R::AgentUnread => "the agent: it sends marks and does not read them back",
            R::AgentSkipped => "what it fails at: `trunkgate status`",
            R::AgentFull | R::QueueTimeout => "`max_sessions` and `queue` of the agent",
            R::Internal => "the log; please report it",
        };
        Some(fix)
    }
}

//! The fix for each reason: the end of a verdict.

use crate::story::reason::ReasonSlug;

impl ReasonSlug {
    /// Returns what to do about it; `None` for a normal end: hang-up, busy, transfer, or a command.
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
            R::Draining => "use the next address of the edge; `trunkgate drain --undo` accepts calls again",
            R::Overloaded => "find the source of the calls (`calls_per_second` of its trunk limits it), or add CPU",
            R::NoRoute => {
                "run `trunkgate why --from TRUNK --called NUMBER`: it shows the first failed condition of each route"
            }
            R::RouteRejected => "check the route's `reject:CODE`",
            R::Denied => "check `deny` and `allow_prefixes` of the trunk",
            R::HighRisk => "find out who calls there; `high_risk = \"allow\"` in the target's trunk permits such calls",
            R::ForbiddenAddress => {
                "check what the target's name resolves to; list an intended host as a peer of a trunk"
            }
            R::CallerNotAllowed => "add the caller to `allow_callers` of the agent",
            R::CallerIdRefused => "check `caller_id_in` of the caller's trunk and `caller_id` of the target's trunk",
            R::IncompleteNumber => "check what the caller dials",
            R::CodecMismatch => "allow a common codec in `codecs` of both trunks",
            R::BadMedia => "check the session description of the remote party: the log names the defect",
            R::SrtpRequired => {
                "enable SRTP at the remote party (Twilio: Secure Trunking), or set `srtp = \"optional\"` in its trunk"
            }
            R::SrtpOff => "set `srtp = \"optional\"` in the trunk that offers it",
            R::SrtpMismatch => "configure a common suite with keys in SDP at both sides; DTLS-SRTP is not supported",
            R::LimitCalls => {
                "raise `max_calls` of that trunk or of its `limits`, or `[limits] calls`; `trunkgate calls` shows the current calls"
            }
            R::LimitRate => {
                "raise `calls_per_second` of that trunk or of `[limits]`; `pace` lets calls wait for their turn"
            }
            R::LimitDay => {
                "check whether so many calls are intended, then raise `calls_per_day` of that trunk or of its `limits`"
            }
            R::NoPorts => "widen `[media] ports`; `ss -lunp` shows programs that use some of them",
            R::TooManyHops | R::Loop => {
                "look for routes of two edges, or of an edge and a PBX, that lead to each other"
            }
            R::TargetRejected => "check the log of the target: it knows why it rejected the call",
            R::CredentialsRefused => "check `auth` of its trunk: user, password, realm",
            R::WrongCredentials => "check user and password at the remote party, or `require_auth`",
            R::NotRegistered => {
                "check `register` and `auth` of its trunk; `trunkgate status` shows the registrar's answer"
            }
            R::RingTimeout => "raise `ring_timeout` of the trunk or the route, or add a further target",
            R::SearchTimeout => "raise `search_timeout` of the route",
            R::NoResponse => {
                "check its address, firewalls, and whether it accepts our address: `trunkgate doctor`, line options"
            }
            R::Unreachable => "check whether it runs and listens at that address: `trunkgate doctor`, line options",
            R::TlsFailed => "check its certificate (expiry, name, CA): `trunkgate doctor`, line tls",
            R::NameNotFound => "check its name: `trunkgate doctor`, line dns",
            R::AckTimeout => {
                "check `public_address`: the ACK is sent to our Contact; a SIP ALG or proxy may drop it (`trunkgate doctor`, \
                 lines public address and sip alg)"
            }
            R::MediaTimeout => {
                "check whether it still sends: network, or a hold without a=sendonly; `[media] idle_timeout`"
            }
            R::DialogLost => "check the network to both parties: they did not answer OPTIONS while on hold",
            R::SessionExpired => {
                "check for a firewall or NAT that drops idle flows: use TCP or TLS, or a shorter `session_expires` of its trunk; \
                 `session_expires = \"0s\"` requests no refresh"
            }
            R::SessionTooShort => "raise Session-Expires of the caller to at least 90 s",
            R::AgentUnreachable => "check whether the agent runs, and its `url`: `trunkgate agent test NAME`",
            R::AgentTlsFailed => "check the agent's certificate, and `ca`",
            R::AgentRefused => "check the path of its `url`, and `auth_token`; the trace shows the status",
            R::AgentNotWebSocket => "check the agent's `url`: the server there does not speak WebSocket",
            R::AgentConnectTimeout => "raise `connect_timeout`, or check the agent's load",
            R::AgentSilent => {
                "check the agent's log for what it waits for before it speaks, or raise `first_audio_timeout`"
            }
            R::AgentReset | R::AgentClosed => "see the agent's log: its process or its server ended the connection",
            R::AgentProtocolError => "update the agent's WebSocket library",
            R::AgentPingUnanswered => "look for a blocked event loop in the agent",
            R::AgentDataUnacknowledged => "check the network between the edge and the agent",
            R::AgentUnread => "check the agent: it sends marks and does not read them back",
            R::AgentSkipped => "find the cause of its failures: `trunkgate status`",
            R::AgentFull | R::QueueTimeout => "raise `max_sessions`, or `size` and `wait` of the `queue` of the agent",
            R::Internal => "see the log, and please report it",
        };
        Some(fix)
    }
}

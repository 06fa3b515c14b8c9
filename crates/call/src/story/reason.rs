//! Why a call was refused or ended: stable slugs, the same in log, call record, metric, trace and Reason header.

use trunkgate_media::agent::Loss;

/// A reason, as in the contract's logs and call records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)] // each is explained by `sentence`
pub enum ReasonSlug {
    CallerHungUp,
    CalleeHungUp,
    Operator,
    Draining,
    Overloaded,
    CallerCanceled,
    AnsweredElsewhere,
    NoRoute,
    RouteRejected,
    Denied,
    HighRisk,
    ForbiddenAddress,
    CallerNotAllowed,
    CallerIdRefused,
    IncompleteNumber,
    CodecMismatch,
    BadMedia,
    SrtpRequired,
    SrtpOff,
    SrtpMismatch,
    LimitCalls,
    LimitRate,
    LimitDay,
    NoPorts,
    TooManyHops,
    Loop,
    EdgeRestarted,
    TargetRejected,
    CredentialsRefused,
    WrongCredentials,
    NotRegistered,
    TargetBusy,
    RingTimeout,
    SearchTimeout,
    NoResponse,
    Unreachable,
    TlsFailed,
    NameNotFound,
    AckTimeout,
    MediaTimeout,
    DialogLost,
    SessionExpired,
    SessionTooShort,
    AgentHungUp,
    Transferred,
    AgentUnreachable,
    AgentTlsFailed,
    AgentRefused,
    AgentNotWebSocket,
    AgentConnectTimeout,
    AgentSilent,
    AgentReset,
    AgentProtocolError,
    AgentClosed,
    AgentPingUnanswered,
    AgentDataUnacknowledged,
    AgentUnread,
    AgentSkipped,
    AgentFull,
    QueueTimeout,
    MaxCall,
    Internal,
}

impl ReasonSlug {
    /// Every reason, for documents and tests.
    pub const ALL: [ReasonSlug; 62] = [
        ReasonSlug::CallerHungUp,
        ReasonSlug::CalleeHungUp,
        ReasonSlug::Operator,
        ReasonSlug::Draining,
        ReasonSlug::Overloaded,
        ReasonSlug::CallerCanceled,
        ReasonSlug::AnsweredElsewhere,
        ReasonSlug::NoRoute,
        ReasonSlug::RouteRejected,
        ReasonSlug::Denied,
        ReasonSlug::HighRisk,
        ReasonSlug::ForbiddenAddress,
        ReasonSlug::CallerNotAllowed,
        ReasonSlug::CallerIdRefused,
        ReasonSlug::IncompleteNumber,
        ReasonSlug::CodecMismatch,
        ReasonSlug::BadMedia,
        ReasonSlug::SrtpRequired,
        ReasonSlug::SrtpOff,
        ReasonSlug::SrtpMismatch,
        ReasonSlug::LimitCalls,
        ReasonSlug::LimitRate,
        ReasonSlug::LimitDay,
        ReasonSlug::NoPorts,
        ReasonSlug::TooManyHops,
        ReasonSlug::Loop,
        ReasonSlug::EdgeRestarted,
        ReasonSlug::TargetRejected,
        ReasonSlug::CredentialsRefused,
        ReasonSlug::WrongCredentials,
        ReasonSlug::NotRegistered,
        ReasonSlug::TargetBusy,
        ReasonSlug::RingTimeout,
        ReasonSlug::SearchTimeout,
        ReasonSlug::NoResponse,
        ReasonSlug::Unreachable,
        ReasonSlug::TlsFailed,
        ReasonSlug::NameNotFound,
        ReasonSlug::AckTimeout,
        ReasonSlug::MediaTimeout,
        ReasonSlug::DialogLost,
        ReasonSlug::SessionExpired,
        ReasonSlug::SessionTooShort,
        ReasonSlug::AgentHungUp,
        ReasonSlug::Transferred,
        ReasonSlug::AgentUnreachable,
        ReasonSlug::AgentTlsFailed,
        ReasonSlug::AgentRefused,
        ReasonSlug::AgentNotWebSocket,
        ReasonSlug::AgentConnectTimeout,
        ReasonSlug::AgentSilent,
        ReasonSlug::AgentReset,
        ReasonSlug::AgentProtocolError,
        ReasonSlug::AgentClosed,
        ReasonSlug::AgentPingUnanswered,
        ReasonSlug::AgentDataUnacknowledged,
        ReasonSlug::AgentUnread,
        ReasonSlug::AgentSkipped,
        ReasonSlug::AgentFull,
        ReasonSlug::QueueTimeout,
        ReasonSlug::MaxCall,
        ReasonSlug::Internal,
    ];

    /// The slug.
    pub const fn as_str(self) -> &'static str {
        match self {
            ReasonSlug::CallerHungUp => "caller_hung_up",
            ReasonSlug::CalleeHungUp => "callee_hung_up",
            ReasonSlug::Operator => "operator",
            ReasonSlug::Draining => "draining",
            ReasonSlug::Overloaded => "overloaded",
            ReasonSlug::CallerCanceled => "caller_canceled",
            ReasonSlug::AnsweredElsewhere => "answered_elsewhere",
            ReasonSlug::NoRoute => "no_route",
            ReasonSlug::RouteRejected => "route_rejected",
            ReasonSlug::Denied => "denied",
            ReasonSlug::HighRisk => "high_risk",
            ReasonSlug::ForbiddenAddress => "forbidden_address",
            ReasonSlug::CallerNotAllowed => "caller_not_allowed",
            ReasonSlug::CallerIdRefused => "caller_id_refused",
            ReasonSlug::IncompleteNumber => "incomplete_number",
            ReasonSlug::CodecMismatch => "codec_mismatch",
            ReasonSlug::BadMedia => "bad_media",
            ReasonSlug::SrtpRequired => "srtp_required",
            ReasonSlug::SrtpOff => "srtp_off",
            ReasonSlug::SrtpMismatch => "srtp_mismatch",
            ReasonSlug::LimitCalls => "limit_calls",
            ReasonSlug::LimitRate => "limit_rate",
            ReasonSlug::LimitDay => "limit_day",
            ReasonSlug::NoPorts => "no_ports",
            ReasonSlug::TooManyHops => "too_many_hops",
            ReasonSlug::Loop => "loop",
            ReasonSlug::EdgeRestarted => "edge_restarted",
            ReasonSlug::TargetRejected => "target_rejected",
            ReasonSlug::CredentialsRefused => "credentials_refused",
            ReasonSlug::WrongCredentials => "wrong_credentials",
            ReasonSlug::NotRegistered => "not_registered",
            ReasonSlug::TargetBusy => "target_busy",
            ReasonSlug::RingTimeout => "ring_timeout",
            ReasonSlug::SearchTimeout => "search_timeout",
            ReasonSlug::NoResponse => "no_response",
            ReasonSlug::Unreachable => "unreachable",
            ReasonSlug::TlsFailed => "tls_failed",
            ReasonSlug::NameNotFound => "name_not_found",
            ReasonSlug::AckTimeout => "ack_timeout",
            ReasonSlug::MediaTimeout => "media_timeout",
            ReasonSlug::DialogLost => "dialog_lost",
            ReasonSlug::SessionExpired => "session_expired",
            ReasonSlug::SessionTooShort => "session_too_short",
            ReasonSlug::AgentHungUp => "agent_hung_up",
            ReasonSlug::Transferred => "transferred",
            ReasonSlug::AgentUnreachable => "agent_unreachable",
            ReasonSlug::AgentTlsFailed => "agent_tls_failed",
            ReasonSlug::AgentRefused => "agent_refused",
            ReasonSlug::AgentNotWebSocket => "agent_not_websocket",
            ReasonSlug::AgentConnectTimeout => "agent_connect_timeout",
            ReasonSlug::AgentSilent => "agent_silent",
            ReasonSlug::AgentReset => "agent_reset",
            ReasonSlug::AgentProtocolError => "agent_protocol_error",
            ReasonSlug::AgentClosed => "agent_closed",
            ReasonSlug::AgentPingUnanswered => "agent_ping_unanswered",
            ReasonSlug::AgentDataUnacknowledged => "agent_data_unacknowledged",
            ReasonSlug::AgentUnread => "agent_unread",
            ReasonSlug::AgentSkipped => "agent_skipped",
            ReasonSlug::AgentFull => "agent_full",
            ReasonSlug::QueueTimeout => "queue_timeout",
            ReasonSlug::MaxCall => "max_call",
            ReasonSlug::Internal => "internal",
        }
    }

    /// What it means, as a clause without a full stop.
    pub const fn sentence(self) -> &'static str {
        match self {
            ReasonSlug::CallerHungUp => "the caller hung up",
            ReasonSlug::CalleeHungUp => "the callee hung up",
            ReasonSlug::Operator => "an operator ended the call",
            ReasonSlug::Draining => "the edge is draining",
            ReasonSlug::Overloaded => "the edge is overloaded",
            ReasonSlug::CallerCanceled => "the caller canceled before an answer",
            ReasonSlug::AnsweredElsewhere => "another target answered first",
            ReasonSlug::NoRoute => "no route matches",
            ReasonSlug::RouteRejected => "the route rejects the call",
            ReasonSlug::Denied => "calls to that number are not allowed on the trunk",
            ReasonSlug::ForbiddenAddress => "the target resolves to an address that transfers must not reach",
            ReasonSlug::HighRisk => "the number is in a range known for toll fraud",
            ReasonSlug::CallerNotAllowed => "the agent does not accept calls from that caller",
            ReasonSlug::CallerIdRefused => "the caller ID is not allowed",
            ReasonSlug::IncompleteNumber => "the called number is empty or malformed",
            ReasonSlug::CodecMismatch => "the two sides have no codec in common",
            ReasonSlug::BadMedia => "a session description is invalid",
            ReasonSlug::SrtpRequired => "SRTP is required and was not offered",
            ReasonSlug::SrtpOff => "only SRTP was offered and SRTP is off",
            ReasonSlug::SrtpMismatch => "the two sides have no SRTP suite and key in common",
            ReasonSlug::LimitCalls => "too many concurrent calls",
            ReasonSlug::LimitRate => "too many new calls per second",
            ReasonSlug::LimitDay => "too many calls today",
            ReasonSlug::NoPorts => "no free media port",
            ReasonSlug::TooManyHops => "Max-Forwards is exhausted, or the call passed too many edges",
            ReasonSlug::Loop => "the call returned to the edge that forwarded it",
            ReasonSlug::EdgeRestarted => "the edge terminated unexpectedly during the call",
            ReasonSlug::TargetRejected => "a target rejected the call",
            ReasonSlug::CredentialsRefused => {
                "a target requires credentials that the trunk does not have, or rejected its `auth`"
            }
            ReasonSlug::WrongCredentials => "a request had wrong credentials for the trunk's `require_auth`",
            ReasonSlug::NotRegistered => "a registrar rejected our registration",
            ReasonSlug::TargetBusy => "the callee is busy",
            ReasonSlug::RingTimeout => "no answer within the ring timeout",
            ReasonSlug::SearchTimeout => "the route's `search_timeout` has passed",
            ReasonSlug::NoResponse => "no response from the target",
            ReasonSlug::Unreachable => "a target could not be reached",
            ReasonSlug::TlsFailed => "TLS with a target failed",
            ReasonSlug::NameNotFound => "a target's name could not be resolved",
            ReasonSlug::AckTimeout => "the 200 OK was not acknowledged",
            ReasonSlug::MediaTimeout => "a party sent no media for too long",
            ReasonSlug::DialogLost => "a party on hold is no longer reachable",
            ReasonSlug::SessionExpired => "a party did not refresh its session",
            ReasonSlug::SessionTooShort => "the requested session interval is too short",
            ReasonSlug::AgentHungUp => "the agent ended the call",
            ReasonSlug::Transferred => "the call was transferred",
            ReasonSlug::AgentUnreachable => "an agent could not be reached",
            ReasonSlug::AgentTlsFailed => "TLS with an agent failed",
            ReasonSlug::AgentRefused => "an agent rejected the WebSocket handshake",
            ReasonSlug::AgentNotWebSocket => "the server at the agent's URL does not speak WebSocket",
            ReasonSlug::AgentConnectTimeout => "an agent did not connect in time",
            ReasonSlug::AgentSilent => "an agent sent no audio in time",
            ReasonSlug::AgentReset => "the connection to an agent was reset",
            ReasonSlug::AgentProtocolError => "an agent violated the WebSocket protocol",
            ReasonSlug::AgentClosed => "an agent closed the connection without ending the call",
            ReasonSlug::AgentPingUnanswered => "an agent did not answer a ping",
            ReasonSlug::AgentDataUnacknowledged => "an agent did not acknowledge data",
            ReasonSlug::AgentUnread => "an agent does not read its socket",
            ReasonSlug::AgentSkipped => "an agent that keeps failing is skipped temporarily",
            ReasonSlug::AgentFull => "all sessions of the agent are in use and its queue is full",
            ReasonSlug::QueueTimeout => "the caller waited in the agent's queue for too long",
            ReasonSlug::MaxCall => "the agent's `max_call` has passed",
            ReasonSlug::Internal => "internal error of the edge",
        }
    }

    /// Its ITU-T Q.850 cause, where no far end gave one.
    pub const fn q850(self) -> u8 {
        match self {
            ReasonSlug::CallerHungUp
            | ReasonSlug::CalleeHungUp
            | ReasonSlug::CallerCanceled
            | ReasonSlug::AgentHungUp
            | ReasonSlug::Transferred
            | ReasonSlug::MaxCall => 16,
            // Non-selected user clearing.
            ReasonSlug::AnsweredElsewhere => 26,
            ReasonSlug::Operator => 31,
            ReasonSlug::Draining | ReasonSlug::Overloaded | ReasonSlug::LimitCalls | ReasonSlug::LimitRate => 42,
            ReasonSlug::LimitDay => 42,
            ReasonSlug::AgentFull | ReasonSlug::QueueTimeout => 42,
            ReasonSlug::NoRoute => 1,
            ReasonSlug::RouteRejected
            | ReasonSlug::Denied
            | ReasonSlug::HighRisk
            | ReasonSlug::ForbiddenAddress
            | ReasonSlug::CallerNotAllowed
            | ReasonSlug::CallerIdRefused
            | ReasonSlug::TargetRejected
            | ReasonSlug::CredentialsRefused
            | ReasonSlug::WrongCredentials
            | ReasonSlug::AgentRefused => 21,
            ReasonSlug::SessionTooShort => 127,
            ReasonSlug::IncompleteNumber => 28,
            ReasonSlug::CodecMismatch
            | ReasonSlug::BadMedia
            | ReasonSlug::SrtpRequired
            | ReasonSlug::SrtpOff
            | ReasonSlug::SrtpMismatch => 88,
            ReasonSlug::NoPorts => 47,
            ReasonSlug::TooManyHops | ReasonSlug::Loop => 25,
            ReasonSlug::TargetBusy => 17,
            ReasonSlug::RingTimeout | ReasonSlug::SearchTimeout => 19,
            ReasonSlug::NoResponse => 18,
            ReasonSlug::Unreachable
            | ReasonSlug::TlsFailed
            | ReasonSlug::NameNotFound
            | ReasonSlug::NotRegistered
            | ReasonSlug::AgentUnreachable
            | ReasonSlug::AgentTlsFailed
            | ReasonSlug::AgentNotWebSocket
            | ReasonSlug::AgentReset
            | ReasonSlug::AgentProtocolError
            | ReasonSlug::AgentClosed
            | ReasonSlug::AgentUnread
            | ReasonSlug::AgentSkipped => 38,
            ReasonSlug::AckTimeout
            | ReasonSlug::MediaTimeout
            | ReasonSlug::DialogLost
            | ReasonSlug::SessionExpired
            | ReasonSlug::AgentConnectTimeout
            | ReasonSlug::AgentSilent
            | ReasonSlug::AgentPingUnanswered
            | ReasonSlug::AgentDataUnacknowledged => 102,
            ReasonSlug::EdgeRestarted | ReasonSlug::Internal => 41,
        }
    }

    /// The outcome of a call that ended for this reason before it was answered.
    pub const fn outcome(self) -> &'static str {
        match self {
            ReasonSlug::CallerHungUp | ReasonSlug::CallerCanceled | ReasonSlug::AnsweredElsewhere => "canceled",
            ReasonSlug::TargetBusy => "busy",
            ReasonSlug::RingTimeout | ReasonSlug::SearchTimeout => "no_answer",
            ReasonSlug::Draining
            | ReasonSlug::Overloaded
            | ReasonSlug::NoRoute
            | ReasonSlug::RouteRejected
            | ReasonSlug::Denied
            | ReasonSlug::HighRisk
            | ReasonSlug::ForbiddenAddress
            | ReasonSlug::CallerNotAllowed
            | ReasonSlug::CallerIdRefused
            | ReasonSlug::SessionTooShort
            | ReasonSlug::IncompleteNumber
            | ReasonSlug::CodecMismatch
            | ReasonSlug::BadMedia
            | ReasonSlug::SrtpRequired
            | ReasonSlug::SrtpOff
            | ReasonSlug::SrtpMismatch
            | ReasonSlug::LimitCalls
            | ReasonSlug::LimitRate
            | ReasonSlug::LimitDay
            | ReasonSlug::TooManyHops
            | ReasonSlug::Loop
            | ReasonSlug::WrongCredentials => "refused",
            ReasonSlug::CalleeHungUp
            | ReasonSlug::Operator
            | ReasonSlug::NoPorts
            | ReasonSlug::NoResponse
            | ReasonSlug::TargetRejected
            | ReasonSlug::CredentialsRefused
            | ReasonSlug::Unreachable
            | ReasonSlug::TlsFailed
            | ReasonSlug::NameNotFound
            | ReasonSlug::NotRegistered
            | ReasonSlug::AckTimeout
            | ReasonSlug::MediaTimeout
            | ReasonSlug::DialogLost
            | ReasonSlug::SessionExpired
            | ReasonSlug::EdgeRestarted
            | ReasonSlug::AgentHungUp
            | ReasonSlug::Transferred
            | ReasonSlug::AgentUnreachable
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
            | ReasonSlug::AgentSkipped
            | ReasonSlug::AgentFull
            | ReasonSlug::QueueTimeout
            | ReasonSlug::MaxCall
            | ReasonSlug::Internal => "failed",
        }
    }

    /// How an agent was lost.
    pub(crate) const fn of_loss(loss: Loss) -> ReasonSlug {
        match loss {
            Loss::Unreachable => ReasonSlug::AgentUnreachable,
            Loss::Tls => ReasonSlug::AgentTlsFailed,
            Loss::Status(_) => ReasonSlug::AgentRefused,
            Loss::NotWebSocket => ReasonSlug::AgentNotWebSocket,
            Loss::ConnectTimeout => ReasonSlug::AgentConnectTimeout,
            Loss::Silent => ReasonSlug::AgentSilent,
            Loss::Reset => ReasonSlug::AgentReset,
            Loss::ProtocolError => ReasonSlug::AgentProtocolError,
            Loss::Closed(_) => ReasonSlug::AgentClosed,
            Loss::PingUnanswered => ReasonSlug::AgentPingUnanswered,
            Loss::DataUnacknowledged => ReasonSlug::AgentDataUnacknowledged,
            Loss::Unread => ReasonSlug::AgentUnread,
        }
    }

    /// The value of a Reason header (RFC 3326) that carries the cause and the slug.
    pub(crate) fn header(self, q850: u8) -> String {
        let cause = format!("Q.850;cause={q850};text=\"{}\"", self.as_str());
        if self == ReasonSlug::AnsweredElsewhere {
            // As in the CANCEL to those that had not answered: no missed call.
            return format!("{}, {cause}", trunkgate_sip::COMPLETED_ELSEWHERE);
        }
        cause
    }
}

/// The Q.850 cause in a Reason header's value (RFC 3326, RFC 6432), where it has one.
pub(crate) fn q850_of(value: &[u8]) -> Option<u8> {
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

/// The Q.850 cause of a final SIP answer, by the table of RFC 3398 §8.2.6.1.
pub(crate) const fn q850_of_code(code: u16) -> u8 {
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
            Loss::Unreachable,
            Loss::Tls,
            Loss::Status(404),
            Loss::NotWebSocket,
            Loss::ConnectTimeout,
            Loss::Silent,
            Loss::Reset,
            Loss::ProtocolError,
            Loss::Closed(Some(1001)),
            Loss::PingUnanswered,
            Loss::DataUnacknowledged,
            Loss::Unread,
        ] {
            assert_eq!(ReasonSlug::of_loss(loss).as_str(), loss.slug());
        }
    }

    #[test]
    fn cause_is_read_from_a_reason_header() {
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

//! Reasons for the loss of an agent; in each case the call fails over to its next target.

use std::fmt;

/// Reason why a stream ended irregularly: neither the edge nor the agent, with code 1000, closed it. The I/O layer
/// reports failures of the socket as [`StreamInput::Lost`](crate::StreamInput::Lost).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StreamLoss {
    /// The agent could not be reached: no address, connection refused, or no route.
    Unreachable,
    /// TLS failed: certificate, name or version.
    Tls,
    /// The handshake was answered with an HTTP status other than 101.
    Status(u16),
    /// The server's response was not WebSocket.
    NotWebSocket,
    /// The socket was not open within the connect timeout.
    ConnectTimeout,
    /// The agent sent no audio within the first-audio timeout.
    Silent,
    /// The connection was reset.
    Reset,
    /// The agent violated the WebSocket protocol.
    ProtocolError,
    /// The agent closed with a code other than 1000, or without a code.
    Closed(Option<u16>),
    /// A ping was not answered within the pong timeout.
    PingUnanswered,
    /// The agent's host did not acknowledge sent data in time.
    DataUnacknowledged,
    /// The agent sends requests but does not read the responses: the queue of control messages is full.
    Unread,
}

impl StreamLoss {
    /// Returns the stable name used in logs, call records and metrics.
    pub const fn slug(self) -> &'static str {
        match self {
            StreamLoss::Unreachable => "agent_unreachable",
            StreamLoss::Tls => "agent_tls_failed",
            StreamLoss::Status(_) => "agent_refused",
            StreamLoss::NotWebSocket => "agent_not_websocket",
            StreamLoss::ConnectTimeout => "agent_connect_timeout",
            StreamLoss::Silent => "agent_silent",
            StreamLoss::Reset => "agent_reset",
            StreamLoss::ProtocolError => "agent_protocol_error",
            StreamLoss::Closed(_) => "agent_closed",
            StreamLoss::PingUnanswered => "agent_ping_unanswered",
            StreamLoss::DataUnacknowledged => "agent_data_unacknowledged",
            StreamLoss::Unread => "agent_unread",
        }
    }
}

impl fmt::Display for StreamLoss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StreamLoss::Unreachable => f.write_str("cannot be reached"),
            StreamLoss::Tls => f.write_str("TLS failed"),
            StreamLoss::Status(status) => write!(f, "answered the handshake with {status}"),
            StreamLoss::NotWebSocket => f.write_str("does not speak WebSocket"),
            StreamLoss::ConnectTimeout => f.write_str("not connected in time"),
            StreamLoss::Silent => f.write_str("did not speak in time"),
            StreamLoss::Reset => f.write_str("the connection was reset"),
            StreamLoss::ProtocolError => f.write_str("violated the WebSocket protocol"),
            StreamLoss::Closed(Some(code)) => write!(f, "closed with {code}"),
            StreamLoss::Closed(None) => f.write_str("closed without a code"),
            StreamLoss::PingUnanswered => f.write_str("did not answer a ping"),
            StreamLoss::DataUnacknowledged => f.write_str("does not acknowledge data"),
            StreamLoss::Unread => f.write_str("does not read the responses to its requests"),
        }
    }
}

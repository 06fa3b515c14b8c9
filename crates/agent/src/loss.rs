//! Reasons for the loss of an agent; in each case the call fails over to its next target.

use std::fmt;

/// Reason for the end of a stream other than a close by the edge or by the agent with code 1000. Failures of the socket
/// are reported by the shell as [`Input::Lost`](crate::Input::Lost).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Loss {
    /// No address, connection refused, or no route.
    Unreachable,
    /// TLS failed: certificate, name or version.
    Tls,
    /// The handshake was answered with an HTTP status other than 101.
    Status(u16),
    /// The server's response was not WebSocket.
    NotWebSocket,
    /// The socket was not open in time.
    ConnectTimeout,
    /// The agent sent no audio in time.
    Silent,
    /// The connection was reset.
    Reset,
    /// The agent violated the WebSocket protocol.
    ProtocolError,
    /// The agent closed with a code other than 1000, or without a code.
    Closed(Option<u16>),
    /// A ping was not answered.
    PingUnanswered,
    /// Sent data was not acknowledged.
    DataUnacknowledged,
    /// The agent sends requests and does not read the responses.
    Unread,
}

impl Loss {
    /// Returns the stable name used in logs, call records and metrics.
    pub const fn slug(self) -> &'static str {
        match self {
            Loss::Unreachable => "agent_unreachable",
            Loss::Tls => "agent_tls_failed",
            Loss::Status(_) => "agent_refused",
            Loss::NotWebSocket => "agent_not_websocket",
            Loss::ConnectTimeout => "agent_connect_timeout",
            Loss::Silent => "agent_silent",
            Loss::Reset => "agent_reset",
            Loss::ProtocolError => "agent_protocol_error",
            Loss::Closed(_) => "agent_closed",
            Loss::PingUnanswered => "agent_ping_unanswered",
            Loss::DataUnacknowledged => "agent_data_unacknowledged",
            Loss::Unread => "agent_unread",
        }
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Loss::Unreachable => f.write_str("cannot be reached"),
            Loss::Tls => f.write_str("TLS failed"),
            Loss::Status(status) => write!(f, "answered the handshake with {status}"),
            Loss::NotWebSocket => f.write_str("does not speak WebSocket"),
            Loss::ConnectTimeout => f.write_str("not connected in time"),
            Loss::Silent => f.write_str("did not speak in time"),
            Loss::Reset => f.write_str("the connection was reset"),
            Loss::ProtocolError => f.write_str("violated the WebSocket protocol"),
            Loss::Closed(Some(code)) => write!(f, "closed with {code}"),
            Loss::Closed(None) => f.write_str("closed without a code"),
            Loss::PingUnanswered => f.write_str("did not answer a ping"),
            Loss::DataUnacknowledged => f.write_str("does not acknowledge data"),
            Loss::Unread => f.write_str("does not read what it asked for"),
        }
    }
}

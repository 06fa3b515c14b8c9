//! Media direction (RFC 3264 §5.1, §6.1).

/// Direction of a stream, from the view of the description's author.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MediaDirection {
    /// The author sends and receives.
    #[default]
    SendRecv,
    /// The author only sends.
    SendOnly,
    /// The author only receives.
    RecvOnly,
    /// The author neither sends nor receives media; RTCP continues.
    Inactive,
}

impl MediaDirection {
    /// Creates a direction from two flags.
    pub const fn new(sends: bool, receives: bool) -> MediaDirection {
        match (sends, receives) {
            (true, true) => MediaDirection::SendRecv,
            (true, false) => MediaDirection::SendOnly,
            (false, true) => MediaDirection::RecvOnly,
            (false, false) => MediaDirection::Inactive,
        }
    }

    /// Returns whether the author of the description sends media.
    pub const fn sends(self) -> bool {
        matches!(self, MediaDirection::SendRecv | MediaDirection::SendOnly)
    }

    /// Returns whether the author receives.
    pub const fn receives(self) -> bool {
        matches!(self, MediaDirection::SendRecv | MediaDirection::RecvOnly)
    }

    /// Returns the direction from the view of the other side.
    pub const fn reversed(self) -> MediaDirection {
        MediaDirection::new(self.receives(), self.sends())
    }

    /// Returns the SDP attribute of the direction.
    pub const fn as_str(self) -> &'static str {
        match self {
            MediaDirection::SendRecv => "sendrecv",
            MediaDirection::SendOnly => "sendonly",
            MediaDirection::RecvOnly => "recvonly",
            MediaDirection::Inactive => "inactive",
        }
    }
}

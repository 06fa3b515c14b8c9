//! One party of a room.

use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::options::{BeepPolicy, JoinRequest, WaitMusic};

/// Id of a party in a room, never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MemberId(pub(super) u32);

/// Audibility of a party in a conference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberRole {
    /// The party hears the others and is heard by them.
    Speaker,
    /// The party hears the others and is muted.
    Listener,
    /// The party hears the others, and only the party with this id hears it.
    Coach(MemberId),
    /// The party neither hears the others nor is heard.
    Away,
}

/// Party of a room with its settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    pub(super) id: MemberId,
    pub(super) call_sid: String,
    pub(super) label: Option<String>,
    pub(super) is_muted: bool,
    pub(super) hold: Option<WaitMusic>,
    pub(super) coached: Option<String>,
    pub(super) beep: BeepPolicy,
    pub(super) starts: bool,
    pub(super) ends: bool,
    pub(super) wait: WaitMusic,
    pub(super) leaves_on_star: bool,
    pub(super) is_agent: bool,
    pub(super) is_line: bool,
    pub(super) leaves_at: Option<Instant>,
    /// Audibility last requested by a [`RoomAction`](super::RoomAction).
    pub(super) standing: Option<MemberRole>,
    pub(super) music: Option<WaitMusic>,
    /// Whether the party's call has not come back after a restart; no audio is requested for it until then.
    pub(super) is_absent: bool,
}

impl Member {
    pub(super) fn new(id: MemberId, now: Instant, joining: JoinRequest) -> Member {
        Member {
            id,
            call_sid: joining.call_sid,
            label: joining.label,
            is_muted: joining.is_muted,
            hold: None,
            coached: joining.coached,
            beep: joining.beep,
            starts: joining.starts,
            ends: joining.ends,
            wait: joining.wait,
            leaves_on_star: joining.leaves_on_star,
            is_agent: joining.is_agent,
            is_line: joining.is_line,
            leaves_at: joining.time_limit.and_then(|limit| now.checked_add(limit)),
            standing: None,
            music: None,
            is_absent: false,
        }
    }

    /// Returns the id of the party in its room.
    pub fn id(&self) -> MemberId {
        self.id
    }

    /// Returns the SID of the party's call.
    pub fn call_sid(&self) -> &str {
        &self.call_sid
    }

    /// Returns the party's label, if it has one.
    pub fn label(&self) -> Option<&str> {
        self.label.as_deref()
    }

    /// Returns whether the party is muted.
    pub fn is_muted(&self) -> bool {
        self.is_muted
    }

    /// Returns whether the party is on hold.
    pub fn is_held(&self) -> bool {
        self.hold.is_some()
    }

    /// Returns the SID of the call that the party coaches, if any.
    pub fn coached(&self) -> Option<&str> {
        self.coached.as_deref()
    }

    /// Returns whether the conference may start with the party.
    pub fn starts(&self) -> bool {
        self.starts
    }

    /// Returns whether the conference ends when the party leaves.
    pub fn ends(&self) -> bool {
        self.ends
    }

    /// Returns whether the conference may continue for the party alone: the party is neither an agent nor a line to
    /// another conference.
    pub(super) fn is_person(&self) -> bool {
        !self.is_agent && !self.is_line
    }

    /// Returns the callback fields of the party.
    pub(super) fn fields(&self) -> Vec<(&'static str, String)> {
        let flag = |flag: bool| flag.to_string();
        let mut fields = vec![
            ("CallSid", self.call_sid.clone()),
            ("Muted", flag(self.is_muted)),
            ("Hold", flag(self.hold.is_some())),
            ("Coaching", flag(self.coached.is_some())),
            ("EndConferenceOnExit", flag(self.ends)),
            ("StartConferenceOnEnter", flag(self.starts)),
        ];
        fields.extend(self.label.clone().map(|label| ("ParticipantLabel", label)));
        fields
    }
}

//! Origin of a call that an HTTP request has begun: its party, and the conference for which the party is called.

use std::time::Instant;

use trunkgate_resources::edge::Edge;
use trunkgate_resources::lookups::key::{CallKey, LegId};
use trunkgate_sip::SipMessage;

use crate::call::legs::caller_id::Hops;

/// Participant that is called for a conference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParticipantRequest {
    /// SID or name of the conference.
    pub conference: String,
    /// Label of the participant.
    pub label: Option<String>,
    /// SID of the call that the participant coaches.
    pub coached: Option<String>,
    /// True if the participant joins muted.
    pub is_muted: bool,
    /// True if the conference may start with this participant.
    pub starts: bool,
    /// True if the conference ends when this participant leaves.
    pub ends: bool,
    /// Maximum number of participants; `None` for the limit of the edge.
    pub most: Option<usize>,
}

impl ParticipantRequest {
    /// Creates a participant with default settings; `conference` is a SID or name.
    pub fn new(conference: &str) -> ParticipantRequest {
        ParticipantRequest {
            conference: conference.to_owned(),
            label: None,
            coached: None,
            is_muted: false,
            starts: true,
            ends: false,
            most: None,
        }
    }
}

/// Origin of a call that an HTTP request has begun.
#[derive(Debug, Default)]
pub(crate) struct RequestOrigin {
    /// Leg of the party, once it has answered.
    party: Option<LegId>,
    /// SID of the call that dialled the party before the party got a call of its own.
    parent: Option<Box<str>>,
    /// Conference for which the party is called, until it joins.
    participant: Option<Box<ParticipantRequest>>,
    /// Hop words of the conference at the other side of the call, taken from the response.
    linked: Hops,
}

impl RequestOrigin {
    /// Creates the origin of a call to be made; `participant` is the conference for which its party is called.
    pub(crate) fn new(participant: Option<Box<ParticipantRequest>>) -> RequestOrigin {
        RequestOrigin { participant, ..RequestOrigin::default() }
    }

    /// Creates the origin of a call with an answered party; `parent` is the SID of the call that dialled it.
    pub(crate) fn answered(party: LegId, parent: Option<Box<str>>) -> RequestOrigin {
        RequestOrigin { party: Some(party), parent, ..RequestOrigin::default() }
    }

    /// Sets the leg of the party, which has answered.
    pub(crate) fn set_party(&mut self, leg: LegId) {
        self.party = Some(leg);
    }

    /// Returns the leg of the party, once it has answered.
    pub(crate) fn party(&self) -> Option<LegId> {
        self.party
    }

    /// Returns the SID of the call that dialled the party before the party got a call of its own.
    pub(crate) fn parent(&self) -> Option<&str> {
        self.parent.as_deref()
    }

    /// Returns the conference for which the party is called, until it joins.
    pub(crate) fn participant(&self) -> Option<&ParticipantRequest> {
        self.participant.as_deref()
    }

    /// Returns the hop words of the conference at the other side of the call.
    pub(crate) fn linked(&self) -> &Hops {
        &self.linked
    }

    /// Stores the hop words of the conference that answers the call.
    pub(crate) fn take_linked(&mut self, message: &SipMessage) {
        if self.participant.is_some() && self.party.is_none() && !message.is_request() {
            self.linked = Hops::of(message);
        }
    }

    /// Cancels the announced arrival of the party at its conference; returns that conference. `None` if the party is
    /// expected in none.
    pub(crate) fn comes_no_longer(
        &mut self,
        now: Instant,
        edge: &mut Edge,
        key: CallKey,
    ) -> Option<Box<ParticipantRequest>> {
        let added = self.participant.take()?;
        let date = edge.date(now);
        edge.sessions_mut().conferences.expect_no_longer(key, date);
        Some(added)
    }
}

//! A call that a request over HTTP has begun, as far as others depend on that: its party, and the conference that the party is called for.

use std::time::Instant;

use trunkgate_resources::edge::Edge;
use trunkgate_resources::lookups::key::{CallKey, LegId};
use trunkgate_sip::Message;

use crate::call::legs::caller_id::Hops;

/// A party that is called for a conference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Added {
    /// SID or name of the conference.
    pub conference: String,
    /// Label of the party.
    pub label: Option<String>,
    /// SID of the call that it is to coach.
    pub coached: Option<String>,
    /// Whether it joins muted.
    pub is_muted: bool,
    /// Whether the conference may start with it.
    pub starts: bool,
    /// Whether the conference ends when it leaves.
    pub ends: bool,
    /// Most parties of the conference; `None`: as many as may be.
    pub most: Option<usize>,
}

impl Added {
    /// Returns it with the defaults of a party; `conference`: a SID or name.
    pub fn new(conference: &str) -> Added {
        Added {
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

/// The origin of a call that a request over HTTP has begun.
#[derive(Debug, Default)]
pub(crate) struct RequestOrigin {
    /// The leg of the party, once it has answered.
    party: Option<LegId>,
    /// SID of the call that had dialled the party before it got a call of its own.
    parent: Option<Box<str>>,
    /// The conference that the party is called for, until it joins.
    participant: Option<Box<Added>>,
    /// Words of the conference at the other side of the call, as the answer brings them.
    linked: Hops,
}

impl RequestOrigin {
    /// Returns that of a call which is to be made; `participant`: the conference that its party is called for.
    pub(crate) fn new(participant: Option<Box<Added>>) -> RequestOrigin {
        RequestOrigin { participant, ..RequestOrigin::default() }
    }

    /// Returns that of a call whose party has answered; `parent`: SID of the call that had dialled it.
    pub(crate) fn answered(party: LegId, parent: Option<Box<str>>) -> RequestOrigin {
        RequestOrigin { party: Some(party), parent, ..RequestOrigin::default() }
    }

    /// Notes the leg of the party, which has answered.
    pub(crate) fn set_party(&mut self, leg: LegId) {
        self.party = Some(leg);
    }

    /// Returns the leg of the party, once it has answered.
    pub(crate) fn party(&self) -> Option<LegId> {
        self.party
    }

    /// Returns the SID of the call that had dialled the party before it got a call of its own.
    pub(crate) fn parent(&self) -> Option<&str> {
        self.parent.as_deref()
    }

    /// Returns the conference that the party is called for, until it joins.
    pub(crate) fn participant(&self) -> Option<&Added> {
        self.participant.as_deref()
    }

    /// Returns words of the conference at the other side of the call.
    pub(crate) fn linked(&self) -> &Hops {
        &self.linked
    }

    /// Takes the words of the conference that answers the call.
    pub(crate) fn take_linked(&mut self, message: &Message) {
        if self.participant.is_some() && self.party.is_none() && !message.is_request() {
            self.linked = Hops::of(message);
        }
    }

    /// Forgets that the party is called for a conference, which is returned.
    pub(crate) fn comes_no_longer(&mut self, now: Instant, edge: &mut Edge, key: CallKey) -> Option<Box<Added>> {
        let added = self.participant.take()?;
        let date = edge.date(now);
        edge.sessions_mut().conferences.expect_no_longer(key, date);
        Some(added)
    }
}

//! Initial INVITEs without a final response in plain data. After a crash the next process ends them, so that no caller
//! waits and no phone rings for a call that no longer exists.

use std::collections::HashSet;
use std::time::Instant;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{EndpointParts, SipEndpoint};
use crate::client::OutgoingInvite;
use crate::event::{Flow, LocalAddress, ResponseSpec, SipPartyId};
use crate::message::SipMessage;
use crate::shared::MessageOrigin;

/// Initial INVITE without a final response, received or sent by this endpoint, in plain data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenInvite {
    pub(crate) flow: Flow,
    pub(crate) local: LocalAddress,
    pub(crate) party: SipPartyId,
    pub(crate) call_id: String,
    /// Parts of the INVITE that its response or its CANCEL repeats.
    pub(crate) side: OpenInviteSide,
}

impl OpenInvite {
    /// Returns the flow on which the INVITE was received or sent.
    pub fn flow(&self) -> Flow {
        self.flow
    }

    /// Returns the id of the party, such as a trunk, that sent or received the INVITE.
    pub fn party(&self) -> SipPartyId {
        self.party
    }

    /// Returns the INVITE with the party's id and the flow of this process.
    pub fn restored(self, party: SipPartyId, flow: Flow) -> OpenInvite {
        OpenInvite { party, flow, ..self }
    }
}

/// Parts of an INVITE that its final response or its CANCEL repeats.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum OpenInviteSide {
    /// Received INVITE: the headers that responses repeat, and the local tag.
    Received { head: String, tag: String },
    /// Sent INVITE.
    Sent(OutgoingInvite),
}

/// Numbers of INVITEs of another process that were ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EndedInvites {
    /// Number of received INVITEs that got a final response.
    pub refused: usize,
    /// Number of sent INVITEs that got a CANCEL.
    pub withdrawn: usize,
}

impl SipEndpoint {
    /// Returns the initial INVITEs of both directions that have no final response. A received one with headers that are
    /// not UTF-8 is omitted.
    pub fn open_invites(&self) -> Vec<OpenInvite> {
        self.servers.open_invites().chain(self.clients.open_invites()).collect()
    }

    /// Ends INVITEs of another process, after its dialogs have been restored: received ones get `answer`, and sent ones
    /// a CANCEL, an ACK to their final response, and a BYE if that is a 2xx. INVITEs that belong to a restored dialog
    /// are omitted: they were answered after they had been written.
    pub fn end_invites(&mut self, now: Instant, invites: Vec<OpenInvite>, answer: &ResponseSpec) -> EndedInvites {
        let mut ended = EndedInvites::default();
        let answered: HashSet<String> = self.dialogs.call_ids().map(str::to_owned).collect();
        for OpenInvite { flow, local, party, call_id, side } in invites {
            if answered.contains(&call_id) {
                continue;
            }
            let EndpointParts { mut cx, clients, servers } = self.parts(now);
            let origin = MessageOrigin { flow, local, party };
            match side {
                OpenInviteSide::Received { head, tag } => {
                    let request = SipMessage::parse(Bytes::from(head));
                    let is_refused =
                        request.is_ok_and(|request| servers.refuse_open(&mut cx, origin, request, tag, answer.clone()));
                    ended.refused += usize::from(is_refused);
                }
                OpenInviteSide::Sent(invite) => {
                    let is_withdrawn = clients.withdraw_open(&mut cx, origin, call_id, invite);
                    ended.withdrawn += usize::from(is_withdrawn);
                }
            }
        }
        ended
    }
}

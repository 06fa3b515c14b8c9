//! Outgoing INVITEs of another process, which this process withdraws.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::ClientTransactions;
use super::transaction::{CancelState, ClientTransaction, InviteState};
use crate::cx::EndpointCx;
use crate::endpoint::{OpenInvite, OpenInviteSide};
use crate::event::ClientId;
use crate::method::Method;
use crate::shared::{MessageOrigin, TimerOwner};
use crate::transaction::client_invite::ClientInviteState;
use crate::transaction::{ClientEvent, StatusClass, key};

/// Numbers left out in the CSeq of the BYE to a phone that has answered: the other process may have sent requests. A
/// remote party accepts a number that is higher than the next one (RFC 3261 §12.2.2).
const CSEQ_MARGIN: u32 = 32;

/// Parts of an outgoing INVITE that its CANCEL and ACK repeat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OutgoingInvite {
    branch: String,
    uri: String,
    /// Value of From, without tag.
    local_uri: String,
    local_tag: String,
    /// Value of To as sent.
    to: String,
    cseq: u32,
    /// Whether the call was answered elsewhere.
    elsewhere: bool,
}

impl ClientTransactions {
    /// Returns the initial INVITEs without a final response.
    pub(crate) fn open_invites(&self) -> impl Iterator<Item = OpenInvite> {
        self.clients.values().filter_map(|client| {
            let inviting = client.invite.as_deref().filter(|_| client.dialog.is_none())?;
            let is_open = matches!(
                client.machine.invite_state(),
                Some(ClientInviteState::Calling | ClientInviteState::Proceeding)
            );
            is_open.then(|| OpenInvite {
                flow: client.flow,
                local: client.local,
                party: client.party,
                call_id: client.call_id.clone(),
                side: OpenInviteSide::Sent(OutgoingInvite {
                    branch: inviting.branch.clone(),
                    uri: inviting.uri.clone(),
                    local_uri: inviting.local_uri.clone(),
                    local_tag: inviting.local_tag.clone(),
                    to: inviting.to.clone(),
                    cseq: inviting.cseq,
                    elsewhere: inviting.elsewhere,
                }),
            })
        })
    }

    /// Withdraws an INVITE of another process. The CANCEL is sent at once: whether a provisional response has arrived
    /// at the other process is unknown, and a remote party without the INVITE answers 481. Returns false if the table is full.
    pub(crate) fn withdraw_open(
        &mut self,
        cx: &mut EndpointCx<'_>,
        origin: MessageOrigin,
        call_id: String,
        invite: OutgoingInvite,
    ) -> bool {
        key::client(&mut cx.shared.scratch, invite.branch.as_bytes(), Method::Invite);
        if self.at_key(cx.shared).is_some() || self.is_full(cx) {
            return false;
        }
        let OutgoingInvite { branch, uri, local_uri, local_tag, to, cseq, elsewhere } = invite;
        key::client(&mut cx.shared.scratch, branch.as_bytes(), Method::Invite);
        let way = (origin.flow, origin.local, origin.party);
        let (mut client, _) =
            ClientTransaction::new(Method::Invite, cx.shared.scratch.as_slice().into(), way, Bytes::new(), &call_id);
        client.silent = true;
        client.invite = Some(Box::new(InviteState {
            branch,
            uri,
            routes: Vec::new(),
            local_uri,
            local_tag,
            remote_uri: to.clone(),
            to,
            cseq,
            skipped_cseqs: CSEQ_MARGIN,
            offers: true,
            contact_user: String::new(),
            credentials: Vec::new(),
            cancel: CancelState::Wanted,
            elsewhere,
            ack: None,
            forks: Vec::new(),
            caused: Vec::new(),
        }));
        let id = ClientId(cx.shared.fresh_id());
        let step = client.machine.step(ClientEvent::Response(StatusClass::Provisional));
        client.slots.apply(&mut cx.shared.timers, cx.now, TimerOwner::Client(id), step);
        self.waiting.insert((client.flow.remote, client.flow.transport, id));
        self.keys.insert(client.key.clone(), id);
        self.clients.insert(id, Box::new(client));
        self.send_cancel(cx, id);
        true
    }
}

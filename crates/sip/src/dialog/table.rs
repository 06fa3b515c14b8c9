//! Table of all dialogs, and the lookup of the dialog to which a message belongs.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Instant;

use bytes::Bytes;
use rustc_hash::FxHashMap;

use super::{Dialog, DialogSnapshot, PendingAck};
use crate::event::{ClientId, ConnectionId, DialogId, Flow, SentMessage, ServerId, SipPartyId, TimerReason};
use crate::header::Replaces;
use crate::limits;
use crate::message::SipMessage;
use crate::method::Method;
use crate::room::shrink;
use crate::shared::{EndpointShared, TimerOwner};
use crate::timer::{T1, T1_64, T2};
use crate::transaction::key::{self, IndexKey};

/// Dialog named by a Replaces header (RFC 3891 §3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplacedDialog {
    /// The dialog is confirmed.
    Confirmed(DialogId),
    /// The dialog is early.
    Early(DialogId),
    /// The dialog was confirmed and has ended.
    Ended,
}

/// All dialogs of an endpoint, and the slots reserved by open INVITEs and SUBSCRIBEs.
#[derive(Debug)]
pub(crate) struct DialogTable {
    dialogs: FxHashMap<DialogId, Box<Dialog>>,
    keys: HashMap<IndexKey, DialogId>,
    /// Keyed hashes of recently ended confirmed dialogs, with our BYE if it ended the dialog.
    ended: VecDeque<(u64, Option<ClientId>)>,
    /// Dialogs by the stream connection they use.
    streams: BTreeSet<(ConnectionId, DialogId)>,
    /// Open INVITEs and SUBSCRIBEs that may still create a dialog.
    reserved: usize,
    /// Maximum number of dialogs, including reserved slots.
    most: usize,
}

impl DialogTable {
    /// Creates an empty table for at most `most` dialogs.
    pub(crate) fn new(most: usize) -> DialogTable {
        DialogTable {
            dialogs: FxHashMap::default(),
            keys: HashMap::new(),
            ended: VecDeque::new(),
            streams: BTreeSet::new(),
            reserved: 0,
            most,
        }
    }

    /// Returns the number of dialogs.
    pub(crate) fn len(&self) -> usize {
        self.dialogs.len()
    }

    /// Returns whether the table is full, reserved slots included.
    pub(crate) fn is_full(&self) -> bool {
        self.dialogs.len() + self.reserved >= self.most
    }

    /// Reserves a slot for a dialog if `is_wanted`.
    pub(crate) fn reserve(&mut self, is_wanted: bool) {
        self.reserved += usize::from(is_wanted);
    }

    /// Releases a reserved slot if `was_reserved`.
    pub(crate) fn release(&mut self, was_reserved: bool) {
        self.reserved -= usize::from(was_reserved);
    }

    /// Returns the dialog with this id; `None` if it is gone.
    pub(crate) fn get(&self, id: DialogId) -> Option<&Dialog> {
        self.dialogs.get(&id).map(Box::as_ref)
    }

    /// Returns the Call-ID of each dialog.
    pub(crate) fn call_ids(&self) -> impl Iterator<Item = &str> {
        self.dialogs.values().map(|dialog| dialog.plain().call_id.as_str())
    }

    /// Returns the dialog with this id, mutably; `None` if it is gone.
    pub(crate) fn get_mut(&mut self, id: DialogId) -> Option<&mut Dialog> {
        self.dialogs.get_mut(&id).map(Box::as_mut)
    }

    /// Returns whether a dialog with this id exists.
    pub(crate) fn contains(&self, id: DialogId) -> bool {
        self.dialogs.contains_key(&id)
    }

    /// Adds a dialog to the table and returns its new id.
    pub(crate) fn insert(&mut self, shared: &mut EndpointShared, dialog: Dialog) -> DialogId {
        let id = DialogId(shared.fresh_id());
        let plain = &dialog.plain;
        key_of(&mut shared.scratch, plain);
        if let Some(old) = self.keys.insert(shared.scratch.as_slice().into(), id) {
            // Only a snapshot that is restored twice can cause this: the local tag is random.
            self.dialogs.remove(&old);
        }
        if let Some(connection) = plain.flow.connection {
            self.streams.insert((connection, id));
        }
        self.dialogs.insert(id, Box::new(dialog));
        id
    }

    /// Removes a dialog; its transactions continue on their own.
    pub(crate) fn remove(&mut self, shared: &mut EndpointShared, id: DialogId) {
        if let Some(party) = self.forget(shared, id) {
            self.remember_ended(shared.name_of_dialog(party));
        }
    }

    /// Removes a dialog without remembering that it ended. Returns the party of a confirmed dialog, and leaves its key
    /// in the scratch buffer.
    pub(crate) fn forget(&mut self, shared: &mut EndpointShared, id: DialogId) -> Option<SipPartyId> {
        let dialog = self.dialogs.remove(&id)?;
        key_of(&mut shared.scratch, &dialog.plain);
        self.keys.remove(shared.scratch.as_slice());
        if let Some(connection) = dialog.plain.flow.connection {
            self.streams.remove(&(connection, id));
        }
        if let Some(unacked) = dialog.unacked {
            shared.timers.cancel(unacked.retransmit);
            shared.timers.cancel(unacked.wait);
        }
        dialog.confirmed.then_some(dialog.plain.party)
    }

    /// Returns the dialog of a request, if it belongs to `party`. The key stays in the scratch buffer.
    pub(crate) fn find(
        &self,
        shared: &mut EndpointShared,
        party: SipPartyId,
        request: &SipMessage,
    ) -> Option<DialogId> {
        let call_id = request.call_id()?;
        key::dialog(&mut shared.scratch, call_id, key::to_tag(request), key::from_tag(request));
        let id = *self.keys.get(shared.scratch.as_slice())?;
        (self.get(id)?.plain.party == party).then_some(id)
    }

    /// Sets the flow of a dialog and indexes the dialog by its connection.
    pub(crate) fn set_flow(&mut self, id: DialogId, flow: Flow) {
        let Some(dialog) = self.dialogs.get_mut(&id) else { return };
        let old = std::mem::replace(&mut dialog.plain.flow, flow);
        dialog.flow_lost = false;
        if old.connection != flow.connection {
            if let Some(connection) = old.connection {
                self.streams.remove(&(connection, id));
            }
            if let Some(connection) = flow.connection {
                self.streams.insert((connection, id));
            }
        }
    }

    /// Removes a lost connection from the dialogs that use it.
    pub(crate) fn drop_connection(&mut self, connection: ConnectionId) {
        let dialogs: Vec<DialogId> = self.dialogs_on(connection).collect();
        for id in dialogs {
            self.streams.remove(&(connection, id));
            if let Some(dialog) = self.dialogs.get_mut(&id) {
                dialog.plain.flow.connection = None;
                dialog.flow_lost = true;
            }
        }
    }

    /// Returns whether any dialog uses a connection.
    pub(crate) fn use_connection(&self, connection: ConnectionId) -> bool {
        self.dialogs_on(connection).next().is_some()
    }

    fn dialogs_on(&self, connection: ConnectionId) -> impl Iterator<Item = DialogId> {
        let dialogs = (connection, DialogId(0))..=(connection, DialogId(u64::MAX));
        self.streams.range(dialogs).map(|&(_, id)| id)
    }

    /// Starts the timers of a 2xx that is retransmitted until its ACK arrives (RFC 3261 §13.3.1.4).
    pub(crate) fn await_ack(
        &mut self,
        shared: &mut EndpointShared,
        now: Instant,
        id: DialogId,
        success: SuccessResponse,
    ) {
        let Some(dialog) = self.dialogs.get_mut(&id) else { return };
        let SuccessResponse { cseq, server, code, flow, bytes } = success;
        let retransmit = shared.timers.arm(now + T1, TimerReason::Retransmit2xx, TimerOwner::Dialog(id));
        let wait = shared.timers.arm(now + T1_64, TimerReason::AckWait, TimerOwner::Dialog(id));
        let unacked = PendingAck { cseq, server, code, flow, bytes, interval: T1, retransmit, wait };
        dialog.unacked = Some(Box::new(unacked));
    }

    /// Retransmits the 2xx, with an interval that doubles from T1 to T2, over streams too (RFC 3261 §13.3.1.4).
    pub(crate) fn repeat_success(&mut self, shared: &mut EndpointShared, now: Instant, id: DialogId) {
        let Some(dialog) = self.dialogs.get_mut(&id) else { return };
        let party = dialog.plain.party;
        let Some(unacked) = dialog.unacked.as_mut() else { return };
        unacked.interval = (unacked.interval * 2).min(T2);
        unacked.retransmit =
            shared.timers.arm(now + unacked.interval, TimerReason::Retransmit2xx, TimerOwner::Dialog(id));
        let what = SentMessage {
            method: Method::Invite,
            code: Some(unacked.code),
            party,
            again: true,
            client: None,
            server: Some(unacked.server),
            dialog: Some(id),
        };
        shared.transmit(unacked.flow, unacked.bytes.clone(), what);
    }

    /// Returns the dialog named by a Replaces header, if it belongs to `party`.
    pub(crate) fn replaced(
        &self,
        shared: &mut EndpointShared,
        party: SipPartyId,
        replaces: &Replaces,
    ) -> Option<ReplacedDialog> {
        // RFC 3891 §3: `0` stands for the missing tag of an RFC 2543 implementation.
        let without = (replaces.from_tag == "0").then_some("");
        [Some(replaces.from_tag.as_str()), without].into_iter().flatten().find_map(|remote_tag| {
            let names = (replaces.call_id.as_bytes(), replaces.to_tag.as_bytes(), remote_tag.as_bytes());
            key::dialog(&mut shared.scratch, names.0, names.1, names.2);
            let id = self.keys.get(shared.scratch.as_slice()).copied();
            match id.and_then(|id| Some((id, self.get(id)?))) {
                Some((id, dialog)) => {
                    let found =
                        if dialog.confirmed { ReplacedDialog::Confirmed(id) } else { ReplacedDialog::Early(id) };
                    (dialog.plain.party == party).then_some(found)
                }
                None => {
                    let name = shared.name_of_dialog(party);
                    self.ended.iter().any(|(ended, _)| *ended == name).then_some(ReplacedDialog::Ended)
                }
            }
        })
    }

    /// Remembers a confirmed dialog that has ended, so that a request to replace it is rejected with the correct
    /// status.
    fn remember_ended(&mut self, name: u64) {
        if self.ended.len() >= limits::ENDED_DIALOGS {
            self.ended.pop_front();
        }
        self.ended.push_back((name, None));
    }

    /// Records the BYE that ended the dialog removed last.
    pub(crate) fn note_bye(&mut self, bye: ClientId) {
        if let Some((_, of)) = self.ended.back_mut() {
            *of = Some(bye);
        }
    }

    /// Returns the BYE with which we ended a dialog of this party, if it is remembered; the dialog's key must be in the
    /// scratch buffer.
    pub(crate) fn bye_of_ended(&self, shared: &EndpointShared, party: SipPartyId) -> Option<ClientId> {
        let name = shared.name_of_dialog(party);
        self.ended.iter().rev().find(|(ended, _)| *ended == name).and_then(|(_, bye)| *bye)
    }

    /// Shrinks the tables when they are nearly empty after a flood.
    pub(crate) fn shrink(&mut self) {
        shrink(&mut self.dialogs);
        shrink(&mut self.keys);
    }

    /// Checks that every dialog has a key, that exactly `reserved` slots are reserved, and that no stream is left
    /// without dialogs; returns a description of the first violation.
    pub(crate) fn check(&self, reserved: usize) -> Result<(), String> {
        if self.keys.len() != self.dialogs.len() {
            return Err(format!("dialogs: {} keys for {} entries", self.keys.len(), self.dialogs.len()));
        }
        if self.reserved != reserved {
            return Err(format!("reserved: {} keys for {reserved} entries", self.reserved));
        }
        if self.dialogs.is_empty() && !self.streams.is_empty() {
            return Err(format!("streams: {} keys for 0 entries", self.streams.len()));
        }
        Ok(())
    }
}

/// 2xx response to an INVITE, kept for retransmission.
#[derive(Debug)]
pub(crate) struct SuccessResponse {
    /// CSeq of the INVITE.
    pub(crate) cseq: u32,
    /// Transaction of the INVITE.
    pub(crate) server: ServerId,
    /// Status code of the response.
    pub(crate) code: u16,
    /// Flow of the response.
    pub(crate) flow: Flow,
    /// Serialized response.
    pub(crate) bytes: Bytes,
}

fn key_of(scratch: &mut Vec<u8>, plain: &DialogSnapshot) {
    let names = (plain.call_id.as_bytes(), plain.local_tag.as_bytes(), plain.remote_tag.as_bytes());
    key::dialog(scratch, names.0, names.1, names.2);
}

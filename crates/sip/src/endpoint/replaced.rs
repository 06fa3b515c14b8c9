//! The dialog that a Replaces header names (RFC 3891 §3). Dialogs that have ended are remembered for a while by a few bytes
//! each, since whoever wants to take the place of one is told so.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use super::Endpoint;
use crate::dialog::Dialog;
use crate::event::DialogId;
use crate::event::Party;
use crate::header::Replaces;
use crate::limits;
use crate::transaction::key;

/// What a Replaces header names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replaced {
    /// A confirmed dialog.
    Confirmed(DialogId),
    /// An early one.
    Early(DialogId),
    /// One that was confirmed, and has ended.
    Ended,
}

impl Endpoint {
    /// Says whether a party may replace dialogs of its own: only then it is told that we know how (RFC 3891 §6.2).
    pub fn allow_replaces(&mut self, party: Party, allowed: bool) {
        if allowed {
            self.replacing.insert(party);
        } else {
            self.replacing.remove(&party);
        }
    }

    /// A dialog as a Replaces header to its far end names it.
    pub fn dialog_names(&self, dialog: DialogId) -> Option<Replaces> {
        let plain = &self.dialogs.get(&dialog)?.plain;
        let [call_id, to_tag, from_tag] = [&plain.call_id, &plain.remote_tag, &plain.local_tag].map(String::clone);
        Some(Replaces { call_id, to_tag, from_tag, early_only: false })
    }

    /// The dialog that a Replaces header of a party names: one of its own, no other is found.
    pub fn replaced_dialog(&mut self, party: Party, replaces: &Replaces) -> Option<Replaced> {
        // RFC 3891 §3: 0 stands for the tag that a far end of RFC 2543 does not have.
        let without = (replaces.from_tag == "0").then_some("");
        [Some(replaces.from_tag.as_str()), without].into_iter().flatten().find_map(|remote_tag| {
            let names = (replaces.call_id.as_bytes(), replaces.to_tag.as_bytes(), remote_tag.as_bytes());
            key::dialog(&mut self.scratch, names.0, names.1, names.2);
            let id = self.dialog_keys.get(self.scratch.as_slice()).copied();
            match id.and_then(|id| Some((id, self.dialogs.get(&id)?))) {
                Some((id, dialog)) => {
                    let found = if dialog.confirmed { Replaced::Confirmed(id) } else { Replaced::Early(id) };
                    (dialog.plain.party == party).then_some(found)
                }
                None => {
                    let name = self.name_of_ended(party);
                    self.ended.iter().any(|(ended, _)| *ended == name).then_some(Replaced::Ended)
                }
            }
        })
    }

    /// Remembers a dialog that is over; its key stands in the scratch buffer.
    pub(super) fn remember_ended(&mut self, dialog: &Dialog) {
        if !dialog.confirmed {
            return;
        }
        if self.ended.len() >= limits::ENDED_DIALOGS {
            self.ended.pop_front();
        }
        let name = self.name_of_ended(dialog.plain.party);
        self.ended.push_back((name, None));
    }

    /// Whether a party's dialog has ended by a BYE of ours whose transaction lives; its key stands in the scratch buffer.
    pub(super) fn is_hung_up_on(&self, party: Party) -> bool {
        let name = self.name_of_ended(party);
        let bye = self.ended.iter().rev().find(|(ended, _)| *ended == name).and_then(|(_, bye)| *bye);
        bye.is_some_and(|bye| self.clients.contains_key(&bye))
    }

    fn name_of_ended(&self, party: Party) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.secret, party.0, self.scratch.as_slice()).hash(&mut hasher);
        hasher.finish()
    }
}

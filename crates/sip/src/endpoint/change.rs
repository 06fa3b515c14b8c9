//! Who may change a session while another change is open: re-INVITE and UPDATE together (RFC 3261 §14, RFC 3311 §5,
//! RFC 6337 §3). Whether the first offer of an early dialog has its answer is known to the layer above, which reads bodies.

use super::Endpoint;
use crate::dialog::Updates;
use crate::event::{ClientId, DialogId, ServerId};
use crate::method::Method;
use crate::sanity::Refusal;

/// The longest Retry-After of a 500 to a change, in seconds (RFC 3261 §14.2, RFC 3311 §5.2).
const RETRY_SECONDS: u32 = 10;

impl Endpoint {
    /// Why a change that the far end wants cannot be looked at now; `offers`: it has a session description.
    pub(super) fn refusal_of_change(&mut self, id: DialogId, method: Method, offers: bool) -> Option<Refusal> {
        let dialog = self.dialogs.get(&id)?;
        let updates = dialog.updates.as_deref().copied().unwrap_or_default();
        let (ours, theirs) = if method == Method::Invite {
            // While our 2xx waits for its ACK the last exchange is not over either (RFC 5407 §3.1.4).
            let ours = dialog.invite_out.is_some() || dialog.unacked.is_some() || updates.ours.is_some();
            (ours, dialog.invite_in.is_some() || updates.theirs.is_some())
        } else if method == Method::Update {
            // One without offer only says where the far end is.
            let inviting = offers && dialog.confirmed;
            let ours = (offers && updates.ours.is_some()) || (inviting && dialog.invite_out.is_some());
            (ours, updates.theirs.is_some() || (inviting && dialog.invite_in.is_some()))
        } else {
            return None;
        };
        if theirs {
            let seconds = self.tokens.below(RETRY_SECONDS + 1);
            return Some(Refusal::with(500, "Retry-After", seconds.to_string()));
        }
        ours.then(|| Refusal::plain(491))
    }

    /// Whether a change of ours may go out; `offers`: it has a session description. An UPDATE without one always may.
    pub(super) fn may_change(&self, id: DialogId, method: Method, offers: bool) -> bool {
        let Some(dialog) = self.dialogs.get(&id) else { return false };
        let updating = dialog.updates.is_some();
        let inviting = dialog.invite_out.is_some() || dialog.invite_in.is_some();
        if method == Method::Invite {
            dialog.confirmed && !inviting && dialog.unacked.is_none() && !updating
        } else {
            !offers || !(updating || (dialog.confirmed && inviting))
        }
    }

    /// An UPDATE of theirs waits for our answer.
    pub(super) fn note_update_in(&mut self, id: DialogId, server: ServerId) {
        if let Some(dialog) = self.dialogs.get_mut(&id) {
            dialog.updates.get_or_insert_default().theirs = Some(server);
        }
    }

    /// An UPDATE of ours with an offer waits for theirs.
    pub(super) fn note_update_out(&mut self, id: DialogId, client: ClientId) {
        if let Some(dialog) = self.dialogs.get_mut(&id) {
            dialog.updates.get_or_insert_default().ours = Some(client);
        }
    }

    /// An UPDATE of theirs has its final answer.
    pub(super) fn update_in_over(&mut self, id: DialogId, server: ServerId) {
        self.update_over(id, |updates| updates.theirs.take_if(|theirs| *theirs == server).is_some());
    }

    /// One of ours has ended.
    pub(super) fn update_out_over(&mut self, id: DialogId, client: ClientId) {
        self.update_over(id, |updates| updates.ours.take_if(|ours| *ours == client).is_some());
    }

    fn update_over(&mut self, id: DialogId, over: impl FnOnce(&mut Updates) -> bool) {
        let Some(dialog) = self.dialogs.get_mut(&id) else { return };
        let Some(updates) = dialog.updates.as_deref_mut() else { return };
        if over(updates) && updates.ours.is_none() && updates.theirs.is_none() {
            dialog.updates = None;
        }
    }
}

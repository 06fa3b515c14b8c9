//! What a phone can be told to say in an answered call, besides hanging up and what its script says.

use std::time::Instant;

use trunkgate_sdp::Direction;
use trunkgate_sip::{Body, Method};

use crate::call::{PhoneCall, State};
use crate::phone::{CallNumber, Phone};

/// A request in an answered call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Within {
    /// INFO with a key in it.
    Key,
    /// UPDATE without a description: a refresh.
    Refresh,
    /// Re-INVITE without an offer: the 2xx makes it, the ACK answers (RFC 3261 §14.1).
    Offerless,
    /// Re-INVITE that holds the call.
    Hold,
    /// Re-INVITE that takes it back.
    Resume,
}

impl Phone {
    /// Says something in a call; nothing in one that is not answered.
    pub fn say_within(&mut self, now: Instant, number: CallNumber, what: Within) {
        self.with_call(now, number, |phone, now, call| phone.within(now, call, what));
        self.drain(now);
    }

    fn within(&mut self, now: Instant, call: &mut PhoneCall, what: Within) {
        let Some(dialog) = call.dialog.filter(|_| call.state == State::Talking && call.acked) else { return };
        match what {
            Within::Key => {
                let bytes = "Signal=5\r\nDuration=160\r\n".into();
                let body = Body { content_type: "application/dtmf-relay".into(), bytes };
                self.endpoint.request(now, dialog, Method::Info, Vec::new(), Some(body));
            }
            Within::Refresh => {
                self.endpoint.request(now, dialog, Method::Update, Vec::new(), None);
            }
            Within::Offerless if call.reinvite.is_none() => {
                call.reinvite = self.endpoint.request(now, dialog, Method::Invite, Vec::new(), None);
                call.asked = call.reinvite.is_some();
                call.has_asked |= call.asked;
            }
            Within::Offerless => {}
            Within::Hold => self.reinvite(now, call, Direction::SendOnly),
            Within::Resume => self.reinvite(now, call, Direction::SendRecv),
        }
    }
}

//! What a phone can be told to say in an answered call, besides hanging up and what its script says.

use std::time::Instant;

use trunkgate_sdp::Direction;
use trunkgate_sip::{Body, Method};

use crate::call::{PhoneCall, State};
use crate::phone::{CallNumber, Phone};
use crate::refer::Leaving;

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
    /// UPDATE with an offer that holds the call, or takes it back (RFC 3311); before the answer too, where a provisional one
    /// was acknowledged.
    Offer {
        /// Whether it holds it.
        holds: bool,
    },
    /// REFER: the other side is to be connected with the number that was called.
    Transfer(Leaving),
}

impl Phone {
    /// Says something in a call; nothing in one that is not answered.
    pub fn say_within(&mut self, now: Instant, number: CallNumber, what: Within) {
        self.with_call(now, number, |phone, now, call| phone.within(now, call, what));
        self.drain(now);
    }

    fn within(&mut self, now: Instant, call: &mut PhoneCall, what: Within) {
        if let Within::Offer { holds } = what {
            return self.offer(now, call, if holds { Direction::SendOnly } else { Direction::SendRecv });
        }
        let Some(dialog) = call.dialog.filter(|_| call.state == State::Talking && call.acked) else { return };
        match what {
            Within::Key => {
                let bytes = "Signal=5\r\nDuration=160\r\n".into();
                let body = Body { content_type: "application/dtmf-relay".into(), bytes };
                self.endpoint.request(now, dialog, Method::Info, Vec::new(), Some(body));
            }
            Within::Refresh => self.update(now, call),
            Within::Offerless if call.reinvite.is_none() => {
                let headers = self.session_headers(call);
                call.reinvite = self.endpoint.request(now, dialog, Method::Invite, headers, None);
                call.asked = call.reinvite.is_some();
                call.has_asked |= call.asked;
            }
            Within::Offerless | Within::Offer { .. } => {}
            Within::Hold => self.reinvite(now, call, Direction::SendOnly),
            Within::Resume => self.reinvite(now, call, Direction::SendRecv),
            Within::Transfer(leaving) => self.refer(now, call, leaving),
        }
    }

    fn offer(&mut self, now: Instant, call: &mut PhoneCall, direction: Direction) {
        let early = || call.dialog.or(call.early).filter(|_| call.state == State::Ringing && call.pracked);
        let dialog = if call.state == State::Talking { call.dialog.filter(|_| call.acked) } else { early() };
        let Some(dialog) = dialog.filter(|_| call.session.update.is_none() && call.ours.is_some()) else { return };
        let before = (call.direction, call.ours.clone());
        call.direction = direction;
        call.version += 1;
        call.has_held = true;
        let body = self.own_offer(call, false);
        let headers = if call.state == State::Talking { self.session_headers(call) } else { Vec::new() };
        call.session.update = self.endpoint.request(now, dialog, Method::Update, headers, Some(body));
        call.session.offers = call.session.update.is_some();
        if !call.session.offers {
            (call.direction, call.ours) = before;
            call.secure.keep_keys();
        }
    }
}

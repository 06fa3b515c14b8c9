//! Context of one operation on a call: the current time, and the state shared by all calls of a phone.

use std::collections::VecDeque;
use std::time::Instant;

use rand_chacha::ChaCha12Rng;
use trunkgate_sip::{Answer, Body, DialogId, Endpoint, Extra, Method, ServerId};

use crate::event::{Event, Output};
use crate::script::PhoneConfig;

/// Phone state borrowed for one operation.
pub(crate) struct Cx<'a> {
    /// Current time.
    pub(crate) now: Instant,
    /// Settings of the phone.
    pub(crate) config: &'a PhoneConfig,
    /// SIP endpoint of the phone.
    pub(crate) endpoint: &'a mut Endpoint,
    /// Random generator for keys.
    pub(crate) keys: &'a mut ChaCha12Rng,
    /// Output queue of the phone.
    pub(crate) outputs: &'a mut VecDeque<Output>,
}

impl Cx<'_> {
    /// Queues an event.
    pub(crate) fn tell(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    /// Sends BYE.
    pub(crate) fn bye(&mut self, dialog: DialogId) {
        self.endpoint.request(self.now, dialog, Method::Bye, Vec::new(), None);
    }

    /// Responds with 200.
    pub(crate) fn agree(&mut self, id: ServerId, headers: Vec<Extra>, body: Option<Body>) -> Option<DialogId> {
        let contact_user = self.config.name.clone();
        let answer = Answer { code: 200, headers, body, contact_user, ..Answer::default() };
        self.endpoint.respond(self.now, id, answer)
    }

    /// Responds with a status code only.
    pub(crate) fn answer(&mut self, id: ServerId, code: u16) {
        let contact_user = self.config.name.clone();
        self.endpoint.respond(self.now, id, Answer { code, contact_user, ..Answer::default() });
    }
}

//! The context of one change to a call: the present and what the calls of a phone share.

use std::collections::VecDeque;
use std::time::Instant;

use rand_chacha::ChaCha12Rng;
use trunkgate_sip::{Answer, Body, DialogId, Endpoint, Extra, Method, ServerId};

use crate::event::{Event, Output};
use crate::script::PhoneConfig;

/// Borrowed from the phone for the length of one change.
pub(crate) struct Cx<'a> {
    /// The present.
    pub(crate) now: Instant,
    /// The settings of the phone.
    pub(crate) config: &'a PhoneConfig,
    /// Its SIP.
    pub(crate) endpoint: &'a mut Endpoint,
    /// Its keys are drawn from here.
    pub(crate) keys: &'a mut ChaCha12Rng,
    /// Its outputs.
    pub(crate) outputs: &'a mut VecDeque<Output>,
}

impl Cx<'_> {
    /// Queues news.
    pub(crate) fn tell(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    /// Sends BYE.
    pub(crate) fn bye(&mut self, dialog: DialogId) {
        self.endpoint.request(self.now, dialog, Method::Bye, Vec::new(), None);
    }

    /// Answers 200.
    pub(crate) fn agree(&mut self, id: ServerId, headers: Vec<Extra>, body: Option<Body>) -> Option<DialogId> {
        let contact_user = self.config.name.clone();
        let answer = Answer { code: 200, headers, body, contact_user, ..Answer::default() };
        self.endpoint.respond(self.now, id, answer)
    }

    /// Answers with a code alone.
    pub(crate) fn answer(&mut self, id: ServerId, code: u16) {
        let contact_user = self.config.name.clone();
        self.endpoint.respond(self.now, id, Answer { code, contact_user, ..Answer::default() });
    }
}

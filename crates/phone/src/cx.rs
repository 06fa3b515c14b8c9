//! Context of one operation on a call: the current time, and the state shared by all calls of a phone.

use std::collections::VecDeque;
use std::time::Instant;

use rand_chacha::ChaCha12Rng;
use trunkgate_sip::{DialogId, ExtraHeader, MessageBody, Method, ResponseSpec, ServerId, SipEndpoint};

use crate::event::{PhoneEvent, PhoneOutput};
use crate::script::PhoneConfig;

/// Phone state borrowed for one operation.
pub(crate) struct PhoneCx<'a> {
    /// Time of the current call into the phone.
    pub(crate) now: Instant,
    /// Settings of the phone.
    pub(crate) config: &'a PhoneConfig,
    /// SIP endpoint of the phone.
    pub(crate) endpoint: &'a mut SipEndpoint,
    /// Random generator for keys.
    pub(crate) keys: &'a mut ChaCha12Rng,
    /// Output queue of the phone.
    pub(crate) outputs: &'a mut VecDeque<PhoneOutput>,
}

impl PhoneCx<'_> {
    /// Queues an event of the call.
    pub(crate) fn queue_event(&mut self, event: PhoneEvent) {
        self.outputs.push_back(PhoneOutput::Event(event));
    }

    /// Ends a dialog by BYE.
    pub(crate) fn bye(&mut self, dialog: DialogId) {
        self.endpoint.request(self.now, dialog, Method::Bye, Vec::new(), None);
    }

    /// Responds to a request with 200 and a description, if any. Returns the request's dialog, if it has one.
    pub(crate) fn agree(
        &mut self,
        id: ServerId,
        headers: Vec<ExtraHeader>,
        body: Option<MessageBody>,
    ) -> Option<DialogId> {
        let contact_user = self.config.name.clone();
        let answer = ResponseSpec { code: 200, headers, body, contact_user, ..ResponseSpec::default() };
        self.endpoint.respond(self.now, id, answer)
    }

    /// Responds to a request with a status code only.
    pub(crate) fn answer(&mut self, id: ServerId, code: u16) {
        let contact_user = self.config.name.clone();
        self.endpoint.respond(self.now, id, ResponseSpec { code, contact_user, ..ResponseSpec::default() });
    }
}

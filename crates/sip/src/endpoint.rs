//! The dispatcher: a message in, its transaction and dialog found, an [`Event`] out; our requests and answers the other way.

use std::time::Instant;

use crate::dialog::{DialogId, DialogSnapshot};
use crate::event::{Answer, Body, ClientId, Deadline, Extra, Flow, Input, Invite, Local, Output, Party, ServerId};
use crate::identity::Identity;
use crate::limits;
use crate::message::{Defect, Message};
use crate::method::Method;

/// What an endpoint is told at the start.
#[derive(Debug, Clone)]
pub struct EndpointConfig {
    /// Whose names we make.
    pub identity: Identity,
    /// Server and User-Agent.
    pub product: String,
    /// Methods we serve: others known get 405 with Allow, unknown ones 501.
    pub methods: Vec<Method>,
    /// Option tags we know: others in Require get 420 with Unsupported.
    pub extensions: Vec<String>,
    /// Longest message, in bytes.
    pub message_bytes: usize,
    /// How much may be alive at once.
    pub limits: Limits,
}

/// How much of each kind may be alive at once; the default is [`limits`](crate::limits).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Server transactions.
    pub servers: usize,
    /// Client transactions.
    pub clients: usize,
    /// Dialogs, those that an open INVITE may still make included.
    pub dialogs: usize,
    /// Dialogs that one INVITE of ours may make by forked answers.
    pub forks: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            servers: limits::SERVER_TRANSACTIONS,
            clients: limits::CLIENT_TRANSACTIONS,
            dialogs: limits::DIALOGS,
            forks: limits::FORKED_DIALOGS,
        }
    }
}

/// Counts, for metrics and for tests that nothing is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Server transactions alive.
    pub servers: usize,
    /// Client transactions alive.
    pub clients: usize,
    /// Dialogs alive, early ones too.
    pub dialogs: usize,
}

/// All transactions and dialogs of one signalling loop.
#[derive(Debug)]
pub struct Endpoint {}

impl Endpoint {
    /// An endpoint whose names come from `seed`.
    pub fn new(config: EndpointConfig, seed: [u8; 32]) -> Endpoint {
        let _ = (config, seed);
        unimplemented!()
    }
    /// Takes a change from outside; drain [`Self::poll_output`] afterwards.
    pub fn handle_input(&mut self, now: Instant, input: Input) {
        let _ = (now, input);
        unimplemented!()
    }
    /// Fires what is due; drain afterwards.
    pub fn handle_timeout(&mut self, now: Instant) {
        let _ = now;
        unimplemented!()
    }
    /// The next output, or `None` when idle.
    pub fn poll_output(&mut self) -> Option<Output> {
        unimplemented!()
    }
    /// When to be woken, and why.
    pub fn poll_timeout(&self) -> Option<Deadline> {
        unimplemented!()
    }
    /// Sends an INVITE that begins a dialog.
    pub fn invite(&mut self, now: Instant, invite: Invite) -> ClientId {
        let _ = (now, invite);
        unimplemented!()
    }
    /// The Call-ID of a request of ours, while its transaction lives.
    pub fn call_id(&self, id: ClientId) -> Option<&str> {
        let _ = id;
        unimplemented!()
    }
    /// Withdraws an INVITE (RFC 3261 §9.1): CANCEL goes out once a provisional has come; a 2xx that crosses it is
    /// still told as [`Event::Response`](crate::Event::Response) (answer it with ack and BYE).
    pub fn cancel(&mut self, now: Instant, id: ClientId) {
        let _ = (now, id);
        unimplemented!()
    }
    /// Stops retransmitting an INVITE that has had no answer, without forgetting it: until Timer B a late provisional
    /// is answered by CANCEL and a late 2xx by ACK and BYE, all by the endpoint itself; the layer above hears no more of it.
    /// Where a provisional has come already it is [`Self::cancel`] with the same silence.
    pub fn abandon(&mut self, now: Instant, id: ClientId) {
        let _ = (now, id);
        unimplemented!()
    }
    /// Acknowledges a 2xx (RFC 3261 §13.2.2.4); the endpoint keeps the ACK and repeats it for repeated 2xx.
    pub fn ack(&mut self, now: Instant, dialog: DialogId, body: Option<Body>) {
        let _ = (now, dialog, body);
        unimplemented!()
    }
    /// Sends a request inside a dialog: BYE (which ends the dialog), re-INVITE. `None` where the dialog is gone, or a
    /// re-INVITE of ours or of theirs is still open (RFC 3261 §14.1).
    pub fn request(
        &mut self,
        now: Instant,
        dialog: DialogId,
        method: Method,
        headers: Vec<Extra>,
        body: Option<Body>,
    ) -> Option<ClientId> {
        let _ = (now, dialog, method, headers, body);
        unimplemented!()
    }
    /// Sends OPTIONS outside of any dialog.
    pub fn options(&mut self, now: Instant, flow: Flow, local: Local, party: Party, uri: &str) -> ClientId {
        let _ = (now, flow, local, party, uri);
        unimplemented!()
    }
    /// Answers a request. For an INVITE: provisionals above 100 carry our tag and make an early dialog, a 2xx a
    /// confirmed one (retransmitted until its ACK); the dialog is returned. `None` too where the transaction is gone.
    pub fn respond(&mut self, now: Instant, id: ServerId, answer: Answer) -> Option<DialogId> {
        let _ = (now, id, answer);
        unimplemented!()
    }
    /// Answers a request with a wrong part that never came to [`Input::Received`] (a stream that lost its framing), where
    /// its Via can be read; nothing is kept of it.
    pub fn refuse(&mut self, flow: Flow, party: Party, request: &Message, defect: Defect) {
        let _ = (flow, party, request, defect);
        unimplemented!()
    }
    /// The way to a dialog's far end.
    pub fn dialog_flow(&self, dialog: DialogId) -> Option<Flow> {
        let _ = dialog;
        unimplemented!()
    }
    /// A confirmed and acknowledged dialog in plain data.
    pub fn snapshot_dialog(&self, dialog: DialogId) -> Option<DialogSnapshot> {
        let _ = dialog;
        unimplemented!()
    }
    /// Takes a dialog back from a snapshot.
    pub fn restore_dialog(&mut self, snapshot: DialogSnapshot) -> DialogId {
        let _ = snapshot;
        unimplemented!()
    }
    /// What is alive.
    pub fn counts(&self) -> Counts {
        unimplemented!()
    }
}

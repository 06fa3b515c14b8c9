//! Input of calls' traces: decisions, and each message once, when sent or handled, in wire order.

use trunkgate_sip::{Flow, SipMessage, SipTransmit};
use trunkgate_story::report::CallRecord;
use trunkgate_story::sampled::LegTimes;

/// A received message that is being handled.
#[derive(Debug)]
pub struct ReceivedMessage {
    pub(crate) flow: Flow,
    pub(crate) message: SipMessage,
    /// Whether the message is in a trace already.
    pub(crate) traced: bool,
}

impl ReceivedMessage {
    /// Returns a message received on a flow.
    pub fn new(flow: Flow, message: SipMessage) -> ReceivedMessage {
        ReceivedMessage { flow, message, traced: false }
    }

    /// Returns whether an outbound message is the response to this request: the endpoint answers some requests before
    /// it reports them.
    pub(crate) fn is_answered_by(&self, transmit: &SipTransmit) -> bool {
        let what = &transmit.what;
        let answers = what.code.is_some() && what.server.is_some() && !what.again;
        answers && self.message.is_request() && what.method == self.message.method()
    }
}

/// Data gathered for a sampled call.
#[derive(Debug, Default)]
pub struct SampledCallData {
    /// Times of the call's legs.
    pub legs: Vec<LegTimes>,
    /// Record of the ended call, with its start and end.
    pub over: Option<Box<(CallRecord, u64)>>,
}

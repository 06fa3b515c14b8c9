//! What goes into calls' traces: decisions, and each message once, where it is sent or dealt with, in the order of the wire.

use trunkgate_sip::{Flow, Message, Transmit};
use trunkgate_story::report::CallRecord;
use trunkgate_story::sampled::LegTimes;

/// A message that is being dealt with.
#[derive(Debug)]
pub struct Arriving {
    pub(crate) flow: Flow,
    pub(crate) message: Message,
    /// Whether it is in a trace already.
    pub(crate) traced: bool,
}

impl Arriving {
    /// One that has come by this way.
    pub fn new(flow: Flow, message: Message) -> Arriving {
        Arriving { flow, message, traced: false }
    }

    /// Whether what goes out answers it: the endpoint answers some requests before it tells of them.
    pub(crate) fn is_answered_by(&self, transmit: &Transmit) -> bool {
        let what = &transmit.what;
        let answers = what.code.is_some() && what.server.is_some() && !what.again;
        answers && self.message.is_request() && what.method == self.message.method()
    }
}

/// What is gathered of a call that is told of.
#[derive(Debug, Default)]
pub struct Gathered {
    /// The times of its legs.
    pub legs: Vec<LegTimes>,
    /// Once it is over: its record, with its beginning, and when it was over.
    pub over: Option<Box<(CallRecord, u64)>>,
}

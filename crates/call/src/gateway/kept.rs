//! Answers to queries for the kept parts of a call, and for a capture of it. `finish()` in `call/parts/sides.rs` keeps
//! view and quality, `forget_done()` in `dispatch.rs` the trace.

use std::time::{Instant, SystemTime};

use trunkgate_story::trace::TraceView;
use trunkgate_story::view::{CallView, KeptView};

use crate::gateway::Gateway;

/// A call with its messages, for a capture file.
#[derive(Debug, Clone)]
pub struct Capture {
    /// View of the call.
    pub call: CallView,
    /// Trace of the call, with the messages that are still kept.
    pub trace: TraceView,
    /// Start of the trace's time scale.
    pub began: SystemTime,
}

/// Returns the kept parts of a call, live or recent; `None` if there is no such call.
pub fn kept(gateway: &Gateway, now: Instant, sid: &str) -> Option<KeptView> {
    let (live, quality) = (gateway.live(sid), gateway.quality(now, sid).is_some());
    let trace = live.and_then(|call| gateway.edge.tracing().traces.get(&call.shared.key));
    let messages = trace.map(|trace| trace.message_bytes() > 0).or_else(|| gateway.edge.recent().is_traced(sid));
    let is_known = live.is_some() || gateway.edge.recent().call(sid).is_some();
    is_known.then(|| KeptView { trace: messages.is_some(), messages: messages == Some(true), quality })
}

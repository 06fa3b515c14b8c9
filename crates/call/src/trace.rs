//! A call's event ring: messages, decisions and media events, written where they happen; the ladder is a view of it.

/// One entry.
#[derive(Debug, Clone, serde::Serialize)]
pub struct TraceEntry {
    /// Since the call began, in microseconds.
    pub at_us: u64,
    /// What it is about.
    #[serde(flatten)]
    pub what: TraceItem,
}

/// What happened.
#[derive(Debug, Clone, serde::Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum TraceItem {
    /// A SIP message came in or went out.
    Message {
        /// Index of its leg in the view's `legs`.
        leg: usize,
        /// Whether we received it.
        received: bool,
        /// First word: method, or code and reason.
        text: String,
        /// A short note: codecs offered, address.
        note: String,
        /// Whether it was sent before.
        again: bool,
    },
    /// The edge decided something.
    Decision {
        /// The sentence.
        text: String,
    },
    /// Media: bound, latched, idle.
    Media {
        /// Index of its leg.
        leg: usize,
        /// The sentence.
        text: String,
    },
}

/// A call's trace.
#[derive(Debug, Clone, serde::Serialize)]
pub struct TraceView {
    /// The call.
    pub sid: String,
    /// The verdict in words.
    pub verdict: String,
    /// Names of the legs: trunk names (or target), in the order of the ladder's columns.
    pub legs: Vec<String>,
    /// Entries in order.
    pub entries: Vec<TraceEntry>,
    /// Entries lost because the ring was full.
    pub dropped: u64,
}

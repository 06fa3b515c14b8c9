//! Queue of spans waiting for the collector, in the order in which their calls ended, with a bounded size.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::CallSpans;
use trunkgate_system::limits::{OTEL_BATCH_BYTES, OTEL_BATCH_SECONDS, OTEL_BATCH_SPANS, OTEL_HELD_BYTES};

/// Bookkeeping overhead of one call in bytes.
const OVERHEAD_BYTES: usize = 64;

/// Spans that wait for a request, and the size of those already in a request.
#[derive(Debug, Default)]
pub(crate) struct WaitingSpans {
    calls: VecDeque<CallSpans>,
    spans: usize,
    bytes: usize,
    /// Size of the spans in a request that has not ended, in bytes.
    taken: usize,
}

/// Spans that are sent in one request to the collector.
#[derive(Debug)]
pub(super) struct SpanBatch {
    pub(super) json: Vec<Vec<u8>>,
    pub(super) spans: usize,
}

fn size(call: &CallSpans) -> usize {
    call.json.len() + OVERHEAD_BYTES
}

impl WaitingSpans {
    /// Adds the spans of a call; returns false if the queue is full.
    pub(super) fn push(&mut self, call: CallSpans) -> bool {
        if self.bytes + self.taken + size(&call) > OTEL_HELD_BYTES {
            return false;
        }
        self.bytes += size(&call);
        self.spans += call.spans;
        self.calls.push_back(call);
        true
    }

    /// Returns the number of spans that are in no request yet.
    pub(super) fn spans(&self) -> usize {
        self.spans
    }

    /// Returns the time of the next request, which is in the past if the request would be full; `None` if no spans
    /// wait.
    pub(super) fn due(&self) -> Option<Instant> {
        let first = self.calls.front()?;
        let is_full = self.spans >= OTEL_BATCH_SPANS || self.bytes >= OTEL_BATCH_BYTES;
        let wait = if is_full { Duration::ZERO } else { Duration::from_secs(OTEL_BATCH_SECONDS) };
        Some(first.at + wait)
    }

    /// Removes and returns the oldest spans, in whole calls, up to the limits of one request; `None` if no spans wait.
    /// They count towards the size limit until [`Self::done`].
    pub(super) fn take(&mut self) -> Option<SpanBatch> {
        let (mut json, mut spans, mut bytes) = (Vec::new(), 0, 0);
        while let Some(call) = self.calls.front() {
            let fits = spans + call.spans <= OTEL_BATCH_SPANS && bytes + size(call) <= OTEL_BATCH_BYTES;
            if !fits && !json.is_empty() {
                break;
            }
            let Some(call) = self.calls.pop_front() else { break };
            spans += call.spans;
            bytes += size(&call);
            json.push(call.json);
        }
        self.spans -= spans;
        self.bytes -= bytes;
        self.taken += bytes;
        (!json.is_empty()).then_some(SpanBatch { json, spans })
    }

    /// Stops counting the spans of the last request towards the size limit, because the request has ended.
    pub(super) fn done(&mut self) {
        self.taken = 0;
    }

    /// Discards all waiting spans; returns their number.
    pub(super) fn clear(&mut self) -> usize {
        let spans = self.spans;
        *self = WaitingSpans::default();
        spans
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The bytes need not be JSON here.
    fn call(spans: usize, bytes: usize) -> CallSpans {
        CallSpans { json: vec![b'x'; bytes], spans, at: Instant::now() }
    }

    #[test]
    fn a_request_has_whole_calls_and_no_more_spans_than_it_may() {
        let mut held = WaitingSpans::default();
        for _ in 0..300 {
            assert!(held.push(call(2, 10)));
        }
        assert!(held.due().unwrap() <= held.calls[0].at, "full: at once");
        let sizes: Vec<usize> = std::iter::from_fn(|| held.take()).map(|batch| batch.spans).collect();
        assert_eq!(sizes, [512, 88]);
        assert_eq!((held.due(), held.spans()), (None, 0));
        // A call larger than the maximum is sent alone.
        for spans in [3, 700, 3] {
            held.push(call(spans, 10));
        }
        let sizes: Vec<usize> = std::iter::from_fn(|| held.take()).map(|batch| batch.spans).collect();
        assert_eq!(sizes, [3, 700, 3]);
        held.push(call(1, OTEL_BATCH_BYTES - 100));
        held.push(call(1, 100));
        assert_eq!(held.take().unwrap().spans, 1);
        assert_eq!(held.due().unwrap(), held.calls[0].at + Duration::from_secs(OTEL_BATCH_SECONDS));
    }

    #[test]
    fn there_is_room_for_so_much_and_what_is_under_way_takes_some() {
        let mut held = WaitingSpans::default();
        let each = OTEL_BATCH_BYTES / 2 - OVERHEAD_BYTES;
        let most = OTEL_HELD_BYTES / (OTEL_BATCH_BYTES / 2);
        let taken = (0..2 * most).filter(|_| held.push(call(1, each))).count();
        assert_eq!((taken, held.spans()), (most, most));
        assert_eq!(held.take().unwrap().spans, 2);
        assert!(!held.push(call(1, each)));
        held.done();
        assert!(held.push(call(1, each)) && held.push(call(1, each)) && !held.push(call(1, 1)));
        assert_eq!(held.clear(), most);
        assert!(held.push(call(1, each)) && held.take().is_some() && held.take().is_none());
    }
}

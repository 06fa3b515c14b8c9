//! Record of an ended call, in the form that is written and sent.

use std::sync::Arc;

use serde_json::Value;
use trunkgate_call::CallRecord;

/// Call record: one JSON object without a line end.
#[derive(Debug, Clone)]
pub(crate) struct StoredRecord {
    pub(crate) sid: String,
    pub(crate) json: Arc<[u8]>,
}

impl StoredRecord {
    pub(crate) fn of(record: &CallRecord) -> serde_json::Result<StoredRecord> {
        Ok(StoredRecord { sid: record.call.sid.clone(), json: serde_json::to_vec(record)?.into() })
    }

    pub(crate) fn value(&self) -> Value {
        serde_json::from_slice(&self.json).unwrap_or_default()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use trunkgate_call::CallView;
    pub(crate) use trunkgate_testing::views::began;

    use super::*;

    pub(crate) fn ended(sid: &str) -> CallRecord {
        let call = CallView {
            state: "ended",
            outcome: Some("answered"),
            reason: Some("caller_hung_up"),
            sip_code: Some(200),
            answered_at: Some("2026-01-01T00:00:01.000Z".into()),
            ended_at: Some("2026-01-01T00:01:01.250Z".into()),
            ..began(sid)
        };
        CallRecord { call, sip_code: 200, q850_cause: 16, post_dial_ms: Some(40), ..CallRecord::default() }
    }

    pub(crate) fn record(sid: &str) -> StoredRecord {
        StoredRecord::of(&ended(sid)).unwrap()
    }
}

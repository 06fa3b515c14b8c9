//! Gaps of recordings: audio lost on the way to the disk, by reason.

use serde::{Deserialize, Serialize};
use trunkgate_story::view::RecordingLoss;

/// Reason for a gap in a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LossReason {
    /// The queue for the disk overflowed.
    DiskSlow,
    /// The disk was full.
    DiskFull,
    /// The disk returned another error.
    DiskFailed,
    /// The edge was restarted during the call.
    Restart,
    /// The edge's process was stopped, or its machine paused.
    ProcessStopped,
}

impl LossReason {
    /// All reasons, in display order.
    pub const ALL: [LossReason; 5] = [
        LossReason::DiskSlow,
        LossReason::DiskFull,
        LossReason::DiskFailed,
        LossReason::Restart,
        LossReason::ProcessStopped,
    ];

    /// Returns the stable name for views.
    pub const fn as_str(self) -> &'static str {
        match self {
            LossReason::DiskSlow => "disk_slow",
            LossReason::DiskFull => "disk_full",
            LossReason::DiskFailed => "disk_failed",
            LossReason::Restart => "restart",
            LossReason::ProcessStopped => "process_stopped",
        }
    }
}

/// Lost audio of a recording, in milliseconds for each reason. The serialised list may have fewer or more reasons, from
/// another version.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<u64>")]
pub struct RecordingLosses([u64; LossReason::ALL.len()]);

impl From<Vec<u64>> for RecordingLosses {
    fn from(each: Vec<u64>) -> RecordingLosses {
        let mut losses = RecordingLosses::default();
        losses.0.iter_mut().zip(each).for_each(|(known, lost)| *known = lost);
        losses
    }
}

impl RecordingLosses {
    /// Adds milliseconds to a reason.
    pub fn add(&mut self, reason: LossReason, milliseconds: u64) {
        for (known, lost) in LossReason::ALL.into_iter().zip(&mut self.0) {
            if known == reason {
                *lost += milliseconds;
            }
        }
    }

    /// Returns the total, in milliseconds.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Returns the losses for display, without reasons that have none.
    pub fn views(&self) -> Vec<RecordingLoss> {
        let each = LossReason::ALL.into_iter().zip(self.0).filter(|(_, lost)| *lost > 0);
        each.map(|(reason, lost)| RecordingLoss { reason: reason.as_str(), seconds: lost as f64 / 1000.0 }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_shown_by_reason_and_add_up() {
        let mut losses = RecordingLosses::default();
        assert!(losses.views().is_empty());
        losses.add(LossReason::DiskFull, 1_500);
        losses.add(LossReason::DiskFull, 500);
        losses.add(LossReason::Restart, 20);
        let shown: Vec<(&str, f64)> = losses.views().iter().map(|loss| (loss.reason, loss.seconds)).collect();
        assert_eq!((shown, losses.total()), (vec![("disk_full", 2.0), ("restart", 0.02)], 2_020));
    }
}

//! What recordings lack: audio that was lost on the way to the disk, by its reason.

use trunkgate_story::view::RecordingLoss;

/// Why a recording lacks audio.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LossReason {
    /// More audio waited for the disk than is kept.
    DiskSlow,
    /// The disk was full.
    DiskFull,
    /// The disk has refused the file for another reason.
    DiskFailed,
    /// The edge was restarted while the call went on.
    Restart,
}

impl LossReason {
    /// All of them, in the order in which they are shown.
    pub const ALL: [LossReason; 4] =
        [LossReason::DiskSlow, LossReason::DiskFull, LossReason::DiskFailed, LossReason::Restart];

    /// Returns the stable word for views.
    pub const fn as_str(self) -> &'static str {
        match self {
            LossReason::DiskSlow => "disk_slow",
            LossReason::DiskFull => "disk_full",
            LossReason::DiskFailed => "disk_failed",
            LossReason::Restart => "restart",
        }
    }
}

/// Audio that a recording lacks, in milliseconds for each reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Losses([u64; LossReason::ALL.len()]);

impl Losses {
    /// Adds to one reason.
    pub fn add(&mut self, reason: LossReason, milliseconds: u64) {
        for (known, lost) in LossReason::ALL.into_iter().zip(&mut self.0) {
            if known == reason {
                *lost += milliseconds;
            }
        }
    }

    /// Returns the sum.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Returns them as they are shown: reasons that have lost none are left out.
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
        let mut losses = Losses::default();
        assert!(losses.views().is_empty());
        losses.add(LossReason::DiskFull, 1_500);
        losses.add(LossReason::DiskFull, 500);
        losses.add(LossReason::Restart, 20);
        let shown: Vec<(&str, f64)> = losses.views().iter().map(|loss| (loss.reason, loss.seconds)).collect();
        assert_eq!((shown, losses.total()), (vec![("disk_full", 2.0), ("restart", 0.02)], 2_020));
    }
}

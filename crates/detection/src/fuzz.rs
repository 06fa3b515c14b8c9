//! Bodies of the fuzz targets, kept here so that they are compiled with the code that they drive.

use std::time::Instant;

use crate::limits::{FRAME, FRAME_SAMPLES};
use crate::{DetectionMode, DetectionSettings, MachineDetector};

/// Feeds any samples. There must be at most one verdict before the timeout, and one at the timeout otherwise.
pub fn detection(data: &[u8]) {
    let (head, audio) = data.split_at(data.len().min(5));
    let value = |place: usize, unit: u32| head.get(place).map(|byte| u32::from(*byte) * unit);
    let mode = if value(0, 1).unwrap_or(0) % 2 == 0 { DetectionMode::Enable } else { DetectionMode::DetectMessageEnd };
    let settings = DetectionSettings::new(mode, [value(1, 1), value(2, 40), value(3, 20), value(4, 40)]);
    let timeout = settings.timeout;
    #[expect(clippy::disallowed_methods, reason = "a fuzz target begins somewhere in time")]
    let began = Instant::now();
    let (mut now, mut detector, mut verdicts) = (began, MachineDetector::new(began, settings), 0);
    let pairs = audio.as_chunks::<2>().0;
    let mut chunks = pairs.chunks(FRAME_SAMPLES).cycle();
    while now <= began + timeout + FRAME {
        let mut frame = [0; FRAME_SAMPLES];
        let samples = chunks.next().unwrap_or_default();
        frame.iter_mut().zip(samples).for_each(|(to, pair)| *to = i16::from_le_bytes(*pair));
        detector.add_frame(now, &frame);
        now += FRAME;
        detector.handle_timeout(now);
        if let Some(verdict) = detector.poll_verdict() {
            assert!(verdict.duration <= timeout + FRAME);
            verdicts += 1;
        }
        assert_eq!(detector.poll_timeout().is_none(), verdicts == 1);
    }
    assert_eq!(verdicts, 1);
}

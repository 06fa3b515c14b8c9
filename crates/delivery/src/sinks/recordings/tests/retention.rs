//! Tests of the deletion of expired recordings while the wall clock is wrong.

use std::time::Duration;

use super::*;
use trunkgate_system::clock::ClockReading;

#[test]
fn a_wall_clock_that_is_ahead_for_five_minutes_deletes_nothing() {
    const DAY: i64 = 86_400_000;
    let mut bench = Bench::new(|settings| settings.keep = Some(Duration::from_secs(30 * 86_400)));
    bench.begin(1, Channels::Dual);
    bench.blocks(1, 0..3);
    bench.end(1);
    let start = bench.entry(1).started;
    let mut look = |passed: i64, ahead: i64| {
        let reading = ClockReading { boot: "1".into(), uptime: passed, wall: start + passed + ahead };
        bench.closer.expire_due(reading).unwrap();
        bench.entry(1).state
    };
    assert_eq!(look(0, 0), RecordingState::Completed);
    for (minutes, ahead) in [(1, 40 * DAY), (6, 40 * DAY), (7, 0), (12, 0)] {
        assert_eq!(look(minutes * 60_000, ahead), RecordingState::Completed, "after {minutes} min, {ahead} ms ahead");
    }
    for day in 1..30 {
        assert_eq!(look(day * DAY, 0), RecordingState::Completed, "day {day}");
    }
    assert_eq!(look(30 * DAY + 1, 0), RecordingState::Deleted);
}

#[test]
fn what_is_over_its_time_or_deleted_leaves_an_entry_without_file() {
    let mut bench = Bench::new(|settings| settings.keep = Some(Duration::from_secs(86_400)));
    for number in [1, 2] {
        bench.begin(number, Channels::Dual);
        bench.blocks(number, 0..3);
        bench.end(number);
    }
    let path = bench.path(&bench.entry(1));
    assert_eq!(bench.recordings.delete(&sid(1)).unwrap(), DeletionOutcome::Done);
    assert_eq!(bench.recordings.delete(&sid(1)).unwrap(), DeletionOutcome::Before);
    assert_eq!(bench.recordings.delete(&sid(9)).unwrap(), DeletionOutcome::Absent);
    let entry = bench.entry(1);
    assert_eq!(
        (entry.state, entry.file, entry.milliseconds, path.exists()),
        (RecordingState::Deleted, None, 600, false)
    );
    assert!(matches!(bench.recordings.open(&sid(1)), Err(RecordingOpenError::Deleted)));
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    assert!(!bench.closer.expire(at("2026-11-26T11:59:59Z")).unwrap());
    assert_eq!(bench.entry(2).state, RecordingState::Completed);
    bench.closer.expire(at("2026-11-26T12:00:01Z")).unwrap();
    assert_eq!(bench.entry(2).state, RecordingState::Deleted);
    assert_eq!(std::fs::read_dir(bench.folder.path().join("recordings")).unwrap().count(), 0);
    assert_eq!(bench.recordings.list(RecordingFilter::default(), 9).unwrap().len(), 2);
    bench.closer.expire(Timestamp::now() + jiff::SignedDuration::from_hours(24 * 41)).unwrap();
    assert_eq!(bench.recordings.list(RecordingFilter::default(), 9).unwrap().len(), 0);
}

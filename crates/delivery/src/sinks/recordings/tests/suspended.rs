//! Recordings whose files another process continues.

use super::*;

/// Ends the process of a bench with one recording; returns the next process, and the recording as it crosses.
fn next_process(mut bench: Bench, change: impl FnOnce(&mut RecordingSettings)) -> (Bench, SuspendedRecording) {
    bench.take(RecordingCommand::Keep(vec![RecordingId(1)]));
    let (answer, suspended) = sync_channel(1);
    bench.take(RecordingCommand::Suspend(vec![RecordingId(1)], answer));
    let mut suspended = suspended.try_recv().unwrap();
    let crossed = serde_json::to_vec(&suspended.remove(0)).unwrap();
    assert!(suspended.is_empty());
    let Bench { folder, recordings, writer, closer, now, .. } = bench;
    drop((recordings, writer, closer));
    let bench = Bench { now, ..Bench::at(folder, change) };
    bench.recordings.shared.expect(vec![sid(1)]);
    (bench, serde_json::from_slice(&crossed).unwrap())
}

fn resume(bench: &mut Bench, suspended: SuspendedRecording) {
    bench.closer.recover((i64::MIN, String::new())).unwrap();
    assert_eq!(bench.entry(1).state, RecordingState::InProgress, "it is not taken for one that a crash has cut");
    bench.take(RecordingCommand::Resume(Box::new(suspended)));
    bench.take(RecordingCommand::ResumeNoMore);
}

#[test]
fn a_file_goes_on_in_another_process_in_every_format() {
    let identities =
        || Some(Arc::new(AgeIdentities::parse(&AgeIdentity::from_secret([9; 32]).unwrap().reveal()).unwrap()));
    for (container, is_encrypted) in
        [(Container::Wav, false), (Container::Wav, true), (Container::Opus, false), (Container::Opus, true)]
    {
        let change = |settings: &mut RecordingSettings| {
            settings.container = container;
            settings.key = identities().filter(|_| is_encrypted);
        };
        let mut bench = Bench::new(change);
        bench.begin(1, Channels::Dual);
        bench.blocks(1, 0..13);
        let (mut bench, suspended) = next_process(bench, change);
        resume(&mut bench, suspended);
        bench.blocks(1, 13..30);
        let entry = bench.end(1);
        assert_eq!((entry.state, entry.milliseconds), (RecordingState::Completed, 6000), "{container:?}");
        assert_eq!((entry.gaps, entry.lost_milliseconds, &entry.error), (0, 0, &None));
        assert!(bench.recordings.verify(&sid(1)).unwrap());
        if container == Container::Wav {
            let audio = bench.audio(1);
            let samples = audio[80..].chunks(4 * FRAME_SAMPLES).map(|frame| i16::from_le_bytes([frame[0], frame[1]]));
            assert_eq!(samples.collect::<Vec<i16>>(), (1..=300).collect::<Vec<i16>>());
        }
    }
}

#[test]
fn a_file_that_is_gone_begins_again_and_what_was_in_it_is_a_gap() {
    let mut bench = Bench::new(|_| {});
    bench.begin(1, Channels::Dual);
    bench.blocks(1, 0..10);
    std::fs::remove_file(bench.path(&bench.entry(1))).unwrap();
    let (mut bench, suspended) = next_process(bench, |_| {});
    resume(&mut bench, suspended);
    bench.blocks(1, 10..20);
    let entry = bench.end(1);
    assert_eq!((entry.state, entry.milliseconds, entry.lost_milliseconds), (RecordingState::Completed, 4000, 2000));
    let audio = bench.audio(1);
    assert_eq!(frames(&audio, Channels::Dual)[100..], (101..=200).collect::<Vec<i16>>());
}

#[test]
fn a_file_that_is_damaged_or_does_not_arrive_is_completed_as_after_a_crash() {
    for arrives in [true, false] {
        let mut bench = Bench::new(|_| {});
        bench.begin(1, Channels::Dual);
        bench.blocks(1, 0..10);
        let path = bench.path(&bench.entry(1));
        let (mut bench, suspended) = next_process(bench, |_| {});
        if arrives {
            std::fs::File::options().write(true).open(path).unwrap().set_len(80 + 640).unwrap();
            resume(&mut bench, suspended);
            let events = bench.events.lock().unwrap();
            let failed =
                events.iter().filter_map(RecordingEvent::in_words).any(|(_, text)| text.contains("not continued"));
            assert!(failed, "{events:?}");
        } else {
            bench.take(RecordingCommand::ResumeNoMore);
        }
        bench.blocks(1, 10..12);
        bench.closer.recover((i64::MIN, String::new())).unwrap();
        let entry = bench.entry(1);
        assert_eq!(entry.milliseconds, if arrives { 20 } else { 2000 });
        assert!(entry.state == RecordingState::Completed && entry.error.is_some(), "{entry:?}");
    }
}

/// Ends the process of a bench with one recording by a crash, and continues the recording in the next process.
fn after_crash(bench: Bench, change: impl FnOnce(&mut RecordingSettings), is_cut: bool) -> Bench {
    after_another_crash(bench, change, is_cut, RecordingLosses::default())
}

/// Continues as [`after_crash`] a recording that has lost audio before.
fn after_another_crash(
    bench: Bench,
    change: impl FnOnce(&mut RecordingSettings),
    is_cut: bool,
    lost: RecordingLosses,
) -> Bench {
    let Bench { folder, recordings, writer, closer, now, .. } = bench;
    drop((recordings, writer, closer));
    let mut bench = Bench { now, ..Bench::at(folder, change) };
    bench.recordings.shared.expect(vec![sid(1)]);
    bench.closer.recover((i64::MIN, String::new())).unwrap();
    let interrupted = InterruptedRecording { id: RecordingId(1), sid: sid(1), is_cut, is_trimmed: false, lost };
    bench.take(RecordingCommand::Reopen(vec![interrupted]));
    bench.take(RecordingCommand::ResumeNoMore);
    bench
}

#[test]
fn a_plain_file_goes_on_after_a_crash_with_a_gap_of_its_length() {
    for container in [Container::Wav, Container::Opus] {
        for is_cut in [false, true] {
            let change = |settings: &mut RecordingSettings| settings.container = container;
            let mut bench = Bench::new(change);
            bench.begin(1, Channels::Dual);
            bench.blocks(1, 0..13);
            let path = bench.path(&bench.entry(1));
            // An incomplete frame or page is cut off.
            let file = std::fs::File::options().write(true).open(&path).unwrap();
            let length = file.metadata().unwrap().len();
            file.set_len(length - 3).unwrap();
            let crashed = std::time::SystemTime::now() - Duration::from_secs(3);
            file.set_modified(crashed).unwrap();
            let mut bench = after_crash(bench, change, is_cut);
            assert_eq!(bench.entry(1).state, RecordingState::InProgress);
            bench.blocks(1, 0..10);
            let entry = bench.end(1);
            assert_eq!((entry.state, &entry.error), (RecordingState::Completed, &None), "{container:?}");
            let lost = entry.lost_milliseconds;
            match is_cut {
                true => assert_eq!((entry.gaps, lost), (0, 0)),
                // The test itself takes some time.
                false => assert!(entry.gaps == 1 && (3_000..30_000).contains(&lost), "{entry:?}"),
            }
            // Ten blocks of 200 ms, the gap, and all of the file before the crash but what was not written.
            let before = entry.milliseconds - lost - 2_000;
            assert!((1_000..=2_600).contains(&before), "{container:?}: {before} {entry:?}");
            assert!(bench.recordings.verify(&sid(1)).unwrap());
            if container == Container::Wav {
                let heard = frames(&bench.audio(1), Channels::Dual);
                assert_eq!(heard[heard.len() - 100..], (1..=100).collect::<Vec<i16>>());
            }
        }
    }
}

#[test]
fn a_file_goes_on_in_another_process_after_a_crash_and_keeps_its_earlier_losses() {
    let mut bench = Bench::new(|_| {});
    bench.begin(1, Channels::Dual);
    bench.blocks(1, 0..15);
    let mut lost = RecordingLosses::default();
    lost.add(LossReason::Restart, 700);
    // No time passes between the file and its continuation.
    let mut bench = after_another_crash(bench, |_| {}, true, lost);
    bench.blocks(1, 0..10);
    let (mut bench, suspended) = next_process(bench, |_| {});
    resume(&mut bench, suspended);
    bench.blocks(1, 10..20);
    let entry = bench.end(1);
    assert_eq!((entry.state, entry.gaps, entry.lost_milliseconds), (RecordingState::Completed, 1, 700), "{entry:?}");
    let heard = frames(&bench.audio(1), Channels::Dual);
    assert_eq!(heard[heard.len() - 200..], (1..=200).collect::<Vec<i16>>(), "{entry:?}");
}

#[test]
fn the_end_of_the_audio_is_the_modification_time_of_a_file() {
    for container in [Container::Wav, Container::Opus] {
        let mut bench = Bench::new(|settings| settings.container = container);
        bench.begin(1, Channels::Dual);
        // The last block waits for another one, or for the interval.
        bench.blocks(1, 0..3);
        bench.now += Duration::from_secs(5);
        bench.writer.look(bench.now);
        let about = std::fs::metadata(bench.path(&bench.entry(1))).unwrap();
        let age = std::time::SystemTime::now().duration_since(about.modified().unwrap()).unwrap();
        assert!(age >= Duration::from_secs(5), "{container:?}: {age:?}");
    }
}

#[test]
fn the_time_in_which_the_process_was_stopped_is_lost() {
    let mut bench = Bench::new(|_| {});
    bench.begin(1, Channels::Dual);
    bench.begin(2, Channels::Dual);
    bench.blocks(1, 0..3);
    bench.blocks(2, 0..3);
    // The other one is paused.
    bench.take(RecordingCommand::ProcessStopped(vec![RecordingId(1), RecordingId(3)], Duration::from_secs(2)));
    let events = std::mem::take(&mut *bench.events.lock().unwrap());
    let [RecordingEvent::Gap(gap), RecordingEvent::Losing(RecordingId(1), lost)] = events.as_slice() else {
        panic!("{events:?}")
    };
    assert_eq!((gap.milliseconds, lost.views()[0].reason), (2_000, "process_stopped"));
    bench.blocks(1, 3..13);
    let (first, second) = (bench.end(1), bench.end(2));
    assert_eq!((first.gaps, first.lost_milliseconds, first.milliseconds), (1, 2_000, 2_600));
    assert_eq!((second.gaps, second.lost_milliseconds), (0, 0));
}

#[test]
fn a_gap_lasts_until_audio_comes_again() {
    let mut bench = Bench::new(|_| {});
    bench.begin(1, Channels::Dual);
    bench.blocks(1, 0..15);
    let path = bench.path(&bench.entry(1));
    let crashed = std::time::SystemTime::now() - Duration::from_secs(3);
    std::fs::File::options().write(true).open(path).unwrap().set_modified(crashed).unwrap();
    let mut bench = after_crash(bench, |_| {}, false);
    // The media session takes a minute to start, and a block of 200 ms.
    bench.now += Duration::from_secs(60);
    bench.blocks(1, 0..10);
    let entry = bench.end(1);
    assert!(entry.gaps == 1 && (62_800..90_000).contains(&entry.lost_milliseconds), "{entry:?}");
    let heard = frames(&bench.audio(1), Channels::Dual);
    assert_eq!(heard[heard.len() - 100..], (1..=100).collect::<Vec<i16>>());
}

#[test]
fn an_encrypted_file_ends_with_the_crash_and_an_absent_one_begins() {
    for is_absent in [false, true] {
        let key = AgeIdentities::parse(&AgeIdentity::from_secret([9; 32]).unwrap().reveal()).unwrap();
        let change = |settings: &mut RecordingSettings| settings.key = Some(Arc::new(key)).filter(|_| !is_absent);
        let mut bench = Bench::new(change);
        bench.begin(1, Channels::Dual);
        bench.blocks(1, 0..13);
        if is_absent {
            std::fs::remove_file(bench.path(&bench.entry(1))).unwrap();
        }
        let key = AgeIdentities::parse(&AgeIdentity::from_secret([9; 32]).unwrap().reveal()).unwrap();
        let change = |settings: &mut RecordingSettings| settings.key = Some(Arc::new(key)).filter(|_| !is_absent);
        // The bench's recordings began at a fixed date, so a gap since then would be of any length.
        let mut bench = after_crash(bench, change, is_absent);
        if is_absent {
            bench.blocks(1, 0..2);
            let entry = bench.end(1);
            let found = (entry.state, entry.gaps, entry.milliseconds);
            assert_eq!(found, (RecordingState::Completed, 0, 400), "{entry:?}");
            continue;
        }
        let told = bench
            .events
            .lock()
            .unwrap()
            .iter()
            .filter_map(RecordingEvent::in_words)
            .any(|(_, text)| text.contains("not continued after a crash"));
        assert!(told);
        bench.blocks(1, 0..2);
        bench.closer.recover((i64::MIN, String::new())).unwrap();
        assert_ne!(bench.entry(1).state, RecordingState::InProgress);
    }
}

//! Tests of recordings from frames to files, with full and missing disks, and with crashes.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Stdio};
use std::sync::mpsc::Receiver;
use std::sync::{Mutex, mpsc::sync_channel};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use trunkgate_call::view::UnrecordedView;
use trunkgate_call::{LossReason, RecordingEvents};
use trunkgate_recording::Container;
use trunkgate_recording::age::{AgeIdentities, AgeIdentity};
use trunkgate_recording::limits::FRAME_SAMPLES;
use trunkgate_recording::wav::{self, DataBytes};

use super::live::{EndedRecording, LiveRecording};
use super::*;
use crate::sinks::store::disk;
use trunkgate_config::{AnnounceTo, DataDirectory, OnFull};
use trunkgate_system::problem::Harm;

mod damaged;
mod retention;
mod suspended;

/// Number of frames per block.
const FRAMES: u64 = 10;

fn sid(number: u64) -> String {
    format!("RE{number:032x}")
}

fn begin(number: u64, channels: Channels) -> NewRecording {
    NewRecording {
        message: None,
        transcription: None,
        id: RecordingId(number),
        sid: sid(number),
        call_sid: "CA1".into(),
        conference_sid: None,
        channels,
        source: RecordingSource::Route,
        tracks: TrackSet::Both,
        trim: false,
        receiver: None,
        started_at: "2026-11-25T12:00:00Z".parse().unwrap(),
    }
}

/// Returns a block in which each sample is the number of its frame: positive from the caller, negative from the other
/// party.
fn block(number: u64, first: u64) -> FrameBlock {
    let frame = |frame: u64| std::iter::repeat_n([(frame + 1) as i16, !(frame as i16)], FRAME_SAMPLES).flatten();
    let samples = (first..first + FRAMES).flat_map(frame).collect();
    FrameBlock { recording: RecordingId(number), first, at: Instant::now(), samples }
}

#[test]
fn recordings_that_the_store_refuses_are_in_the_index_later_also_after_a_restart() {
    let mut bench = Bench::new(|_| {});
    disk::tests::refuse_changes(true);
    for number in 1..=3 {
        bench.begin(number, Channels::Dual);
        bench.blocks(number, 0..10);
    }
    for number in 1..=2 {
        bench.take(RecordingCommand::End(RecordingId(number), None));
        let ended = bench.closing.try_recv().unwrap();
        bench.closer.close(*ended);
        bench.closer.index_late();
    }
    let unindexed = bench.folder.path().join("recordings/.unindexed");
    let files = || std::fs::read_dir(&unindexed).unwrap().count();
    let figures = Arc::clone(&bench.recordings.shared.figures);
    assert_eq!((files(), figures.unindexed.get(), figures.completed.get()), (3, 3, 2));
    assert!(figures.problems(None)[0].to_string().starts_with("3 recordings not in the list of recordings yet: "));
    disk::tests::refuse_changes(false);
    let unknown = "RE9999999999999999999999999999999a.json";
    std::fs::write(unindexed.join(unknown), "{}").unwrap();
    // The process is killed before the third recording ends.
    let Bench { folder, recordings, writer, closer, .. } = bench;
    drop((recordings, writer, closer));
    let mut bench = Bench::at(folder, |_| {});
    bench.closer.read_unindexed();
    bench.closer.index_late();
    bench.closer.recover((i64::MIN, String::new())).unwrap();
    for number in 1..=3 {
        let entry = bench.entry(number);
        assert_eq!(
            (entry.state, entry.call_sid.as_str(), entry.milliseconds),
            (RecordingState::Completed, "CA1", 2000)
        );
        assert!(bench.recordings.verify(&sid(number)).unwrap());
    }
    let figures = &bench.recordings.shared.figures;
    assert_eq!((files(), figures.unindexed.get()), (1, 0), "but for what is no entry");
    assert_eq!(figures.recovered.get(), 1, "the crash has cut the third, and the others had ended");
    let problem = figures.problems(None).iter().map(ToString::to_string).find(|one| one.contains(unknown));
    assert!(problem.unwrap().starts_with("entries of recordings may be missing: "));
}

#[test]
fn an_entry_that_was_refused_takes_nothing_from_what_the_index_knows_since() {
    let mut bench = Bench::new(|_| {});
    disk::tests::refuse_changes(true);
    bench.begin(1, Channels::Mono);
    disk::tests::refuse_changes(false);
    bench.blocks(1, 0..10);
    assert_eq!(bench.end(1).state, RecordingState::Completed);
    bench.closer.index_late();
    assert_eq!((bench.entry(1).state, bench.recordings.shared.figures.unindexed.get()), (RecordingState::Completed, 0));
}

/// Returns a block that Opus cannot compress well.
fn noise(number: u64, first: u64) -> FrameBlock {
    let mut state = first as u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 18) as i16
    };
    let samples = (0..2 * FRAME_SAMPLES * FRAMES as usize).map(|_| next()).collect();
    FrameBlock { recording: RecordingId(number), first, at: Instant::now(), samples }
}

fn identities() -> Arc<AgeIdentities> {
    Arc::new(AgeIdentities::parse(&AgeIdentity::from_secret([4; 32]).unwrap().reveal()).unwrap())
}

fn settings(directory: &Path) -> RecordingSettings {
    RecordingSettings {
        announce: None,
        announce_to: AnnounceTo::Both,
        transcription: None,
        mail: None,
        directory: directory.to_owned(),
        container: Container::Wav,
        keep: None,
        key: None,
        on_full: OnFull::Continue,
        notify: None,
    }
}

/// Recordings without their threads; the test itself does the work.
struct Bench {
    folder: tempfile::TempDir,
    recordings: RecordingsHandle,
    writer: RecordingWriter,
    closer: RecordingCloser,
    closing: Receiver<Box<EndedRecording>>,
    events: Arc<Mutex<Vec<RecordingEvent>>>,
    now: Instant,
}

impl Bench {
    fn new(change: impl FnOnce(&mut RecordingSettings)) -> Bench {
        Bench::at(tempfile::tempdir().unwrap(), change)
    }

    fn at(folder: tempfile::TempDir, change: impl FnOnce(&mut RecordingSettings)) -> Bench {
        let store = Store::start(DataDirectory::of(folder.path())).unwrap();
        let events: Arc<Mutex<Vec<RecordingEvent>>> = Arc::default();
        let heard = Arc::clone(&events);
        let tell: EventCallback = Arc::new(move |event| heard.lock().unwrap().push(event));
        let shared = Arc::new(SharedRecordings::new(store, Arc::default(), tell));
        let mut settings = settings(&folder.path().join("recordings"));
        change(&mut settings);
        shared.configure(Some(settings));
        let (sender, closing) = sync_channel(16);
        let writer = RecordingWriter::new(Arc::clone(&shared), sender);
        let closer = RecordingCloser::new(Arc::clone(&shared));
        let recordings = RecordingsHandle { commands: channel().0, shared };
        Bench { folder, recordings, writer, closer, closing, events, now: Instant::now() }
    }

    fn take(&mut self, command: RecordingCommand) {
        assert!(self.writer.take(command, self.now));
    }

    fn begin(&mut self, number: u64, channels: Channels) {
        self.take(RecordingCommand::Begin(Box::new(begin(number, channels))));
    }

    fn blocks(&mut self, number: u64, firsts: impl IntoIterator<Item = u64>) {
        for first in firsts {
            let at = self.now;
            self.take(RecordingCommand::Block(FrameBlock { at, ..block(number, first * FRAMES) }));
            self.now += Duration::from_millis(200);
        }
    }

    fn end(&mut self, number: u64) -> RecordingEntry {
        self.end_with(number, None)
    }

    /// Ends a recording with sound from the first to the second of these frames.
    fn end_with(&mut self, number: u64, sound: SoundRange) -> RecordingEntry {
        self.take(RecordingCommand::End(RecordingId(number), sound));
        let ended = self.closing.try_recv().unwrap();
        self.closer.close(*ended);
        self.entry(number)
    }

    fn entry(&self, number: u64) -> RecordingEntry {
        self.recordings.find(&sid(number)).unwrap().unwrap()
    }

    fn path(&self, entry: &RecordingEntry) -> PathBuf {
        let (root, path) = entry.file.as_ref().unwrap();
        Path::new(root).join(path)
    }

    fn audio(&self, number: u64) -> Vec<u8> {
        let (_, mut reader) = self.recordings.open(&sid(number)).unwrap();
        let mut audio = vec![0; reader.bytes() as usize];
        let mut at = 0;
        while at < audio.len() {
            at += reader.read_at(at as u64, &mut audio[at..]).unwrap();
        }
        audio
    }
}

/// Returns the first sample from the caller in each frame.
fn frames(wav: &[u8], channels: Channels) -> Vec<i16> {
    let frame = FRAME_SAMPLES * 2 * usize::from(channels.count());
    assert_eq!((wav.len() - 80) % frame, 0);
    let header = wav::header(channels, DataBytes::Known(wav.len() as u64 - 80));
    assert_eq!(wav[..80], header, "the header is that of the length");
    wav[80..].chunks(frame).map(|frame| i16::from_le_bytes([frame[0], frame[1]])).collect()
}

#[test]
fn frames_become_a_file_with_an_entry_and_a_check_sum() {
    let mut bench = Bench::new(|_| {});
    bench.begin(1, Channels::Dual);
    bench.blocks(1, 0..7);
    let written = std::fs::read(bench.path(&bench.entry(1))).unwrap();
    assert_eq!(frames(&written, Channels::Dual).len(), 60, "valid while it is written");
    assert_eq!(bench.recordings.shared.figures.active.get(), 1);
    assert!(matches!(bench.recordings.open(&sid(1)), Err(RecordingOpenError::InProgress)));
    assert_eq!(bench.recordings.delete(&sid(1)).unwrap(), DeletionOutcome::InProgress);
    let entry = bench.end(1);
    assert_eq!((entry.state, entry.milliseconds, entry.bytes), (RecordingState::Completed, 1400, 80 + 70 * 640));
    assert_eq!((entry.gaps, entry.lost_milliseconds, &entry.error), (0, 0, &None));
    let audio = bench.audio(1);
    assert_eq!(frames(&audio, Channels::Dual), (1..=70).collect::<Vec<i16>>());
    assert_eq!(i16::from_le_bytes([audio[82], audio[83]]), -1, "what the caller hears is on the right");
    assert!(bench.recordings.verify(&sid(1)).unwrap());
    let events = bench.events.lock().unwrap();
    assert!(matches!(&events[..], [RecordingEvent::Finished(finished)] if finished.entry == entry), "{events:?}");
    assert_eq!(bench.recordings.shared.figures.active.get(), 0);
    drop(events);
    std::fs::write(bench.path(&entry), "x").unwrap();
    assert!(!bench.recordings.verify(&sid(1)).unwrap());
    let cut = bench.recordings.open(&sid(1)).unwrap_err().to_string();
    assert_eq!(cut, format!("the file of the recording has 1 of {} bytes: it was changed or damaged", entry.bytes));
}

#[test]
fn lost_blocks_leave_silence_of_their_length_and_are_reported() {
    let mut bench = Bench::new(|_| {});
    bench.begin(1, Channels::Mono);
    bench.blocks(1, [0, 1, 4, 5, 5, 6]);
    let entry = bench.end(1);
    assert_eq!((entry.milliseconds, entry.gaps, entry.lost_milliseconds), (1400, 1, 400));
    let expected: Vec<i16> = (0..70).map(|_| 0).collect();
    assert_eq!(frames(&bench.audio(1), Channels::Mono), expected, "the sum of both parties");
    let events = bench.events.lock().unwrap();
    let RecordingEvent::Gap(gap) = &events[0] else { panic!("{events:?}") };
    let RecordingEvent::Losing(_, lost) = &events[1] else { panic!("{events:?}") };
    assert_eq!((lost.views()[0].reason, lost.total()), ("disk_slow", 400));
    let RecordingEvent::Finished(finished) = &events[2] else { panic!("{events:?}") };
    assert_eq!(finished.lost, *lost);
    assert_eq!((gap.at_milliseconds, gap.milliseconds, gap.cause.as_str()), (400, 400, "the writer was behind"));
    let problem = bench.recordings.shared.figures.problems(None).remove(0).to_string();
    let shown = "1 recording without part of the audio, 0.4 s since the start; ";
    assert!(problem.starts_with(shown) && problem.contains(": the disk was too slow; "), "{problem}");
}

#[test]
fn a_recording_without_frames_is_absent() {
    let mut bench = Bench::new(|_| {});
    bench.begin(1, Channels::Dual);
    let entry = bench.end(1);
    assert_eq!((entry.state, entry.file, entry.milliseconds), (RecordingState::Absent, None, 0));
    assert!(matches!(bench.recordings.open(&sid(1)), Err(RecordingOpenError::Absent)));
}

/// Returns all combinations of a container with and without encryption.
fn kinds() -> impl Iterator<Item = (Container, bool)> {
    [Container::Wav, Container::Opus].into_iter().flat_map(|container| [(container, false), (container, true)])
}

#[test]
fn silence_at_both_ends_is_removed_and_what_is_left_is_a_file_of_its_own() {
    for (container, is_encrypted) in kinds() {
        let mut bench = Bench::new(|settings| {
            settings.container = container;
            settings.key = is_encrypted.then(identities);
        });
        bench.take(RecordingCommand::Begin(Box::new(NewRecording { trim: true, ..begin(1, Channels::Dual) })));
        bench.blocks(1, 0..30);
        // The file has frames 95 to 205, including the margins.
        let entry = bench.end_with(1, Some((100, 200)));
        assert_eq!((entry.state, entry.milliseconds, &entry.error), (RecordingState::Completed, 111 * 20, &None));
        assert_eq!(entry.bytes, std::fs::metadata(bench.path(&entry)).unwrap().len());
        let audio = bench.audio(1);
        if container == Container::Wav {
            assert_eq!(frames(&audio, Channels::Dual), (96..=206).collect::<Vec<i16>>());
        } else {
            assert!(audio.starts_with(b"OggS"));
        }
        assert!(bench.recordings.verify(&sid(1)).unwrap());
        let folder = bench.path(&entry).parent().unwrap().to_owned();
        assert_eq!(std::fs::read_dir(folder).unwrap().count(), 1, "no spare file is left");
        // With sound at both ends the file stays unchanged.
        bench.take(RecordingCommand::Begin(Box::new(NewRecording { trim: true, ..begin(2, Channels::Dual) })));
        bench.blocks(2, 0..30);
        assert_eq!(bench.end_with(2, Some((3, 297))).milliseconds, 6_000);
    }
}

#[test]
fn a_trimmed_recording_of_silence_is_absent() {
    for (trim, expected) in
        [(true, (RecordingState::Absent, 0, Some(16_102))), (false, (RecordingState::Completed, 1_000, None))]
    {
        let mut bench = Bench::new(|_| {});
        bench.take(RecordingCommand::Begin(Box::new(NewRecording { trim, ..begin(1, Channels::Dual) })));
        bench.blocks(1, 0..5);
        let path = bench.path(&bench.entry(1));
        let entry = bench.end(1);
        assert_eq!((entry.state, entry.milliseconds, entry.error_code), expected);
        assert_eq!(path.exists(), !trim);
    }
}

#[test]
fn on_a_full_disk_a_recording_stays_untrimmed() {
    let mut bench = Bench::new(|_| {});
    bench.take(RecordingCommand::Begin(Box::new(NewRecording { trim: true, ..begin(1, Channels::Dual) })));
    bench.blocks(1, 0..30);
    disk::tests::set_room(Some(10_000));
    let entry = bench.end_with(1, Some((100, 200)));
    disk::tests::set_room(None);
    assert_eq!((entry.state, entry.milliseconds), (RecordingState::Completed, 6_000));
    assert_eq!(frames(&bench.audio(1), Channels::Dual), (1..=300).collect::<Vec<i16>>());
    assert!(bench.recordings.verify(&sid(1)).unwrap());
}

#[test]
fn reports_of_an_end_are_in_the_store_with_the_entry() {
    let mut bench = Bench::new(|_| {});
    let events = RecordingEvents { in_progress: false, completed: true, absent: false };
    let receiver = RecordingReceiver { events, ..RecordingReceiver::of_all("https://app.example.com/recording") };
    let stored = |bench: &Bench| -> Vec<(String, String)> {
        let read = |store: &rusqlite::Connection| {
            let mut found = store.prepare(
                "SELECT body ->> 'about', body ->> 'url' FROM outbox WHERE kind = 'callback' ORDER BY created",
            )?;
            found.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
        };
        bench.recordings.shared.store.run_now(read).unwrap()
    };
    for (number, blocks) in [(1, 5), (2, 0)] {
        let receiver = Some(Box::new(receiver.clone()));
        bench.take(RecordingCommand::Begin(Box::new(NewRecording { receiver, ..begin(number, Channels::Mono) })));
        bench.blocks(number, 0..blocks);
        assert!(stored(&bench).len() < 2);
        bench.end(number);
    }
    let expected = (sid(1), "https://app.example.com/recording".to_owned());
    assert_eq!(stored(&bench), [expected], "of the completed one: its receiver does not ask for the absent");
}

/// Records to a disk of this size, without a store. With `recovers` the disk gets more room after the fifth block.
fn on_full_disk(
    folder: &Path,
    room: usize,
    recovers: bool,
    change: impl Fn(&mut RecordingSettings),
) -> (EndedRecording, Vec<RecordingGap>) {
    let mut settings = settings(folder);
    change(&mut settings);
    let figures = Arc::default();
    let mut live = LiveRecording::new(&begin(1, Channels::Dual), &settings, figures).unwrap();
    let mut now = Instant::now();
    disk::tests::set_room(Some(room));
    let mut gaps = Vec::new();
    for at in 0..10 {
        if at == 5 && recovers {
            disk::tests::set_room(None);
            now += Duration::from_secs(1);
        }
        gaps.extend(live.take(&block(1, at * FRAMES), now));
        now += Duration::from_millis(200);
    }
    let ended = live.end(None, now);
    disk::tests::set_room(None);
    (ended, gaps)
}

#[test]
fn a_disk_that_is_full_at_any_byte_leaves_a_file_with_silence_in_place_of_what_was_lost() {
    let folder = tempfile::tempdir().unwrap();
    for room in (0..5 * 6400 + 200).step_by(149).chain(0..170).chain(6470..6490) {
        let (ended, gaps) = on_full_disk(folder.path(), room, true, |_| {});
        let written = std::fs::read(folder.path().join(ended.place.path())).unwrap();
        let frames = frames(&written, Channels::Dual);
        let is_right = |(at, frame): (usize, &i16)| *frame == 0 || *frame == at as i16 + 1;
        assert!(ended.is_whole && frames.len() == 100 && frames.iter().enumerate().all(is_right), "{room}: {frames:?}");
        let lost = frames.iter().filter(|frame| **frame == 0).count() as u64;
        assert_eq!((ended.entry.lost_milliseconds, ended.entry.gaps), (lost * 20, gaps.len() as u64), "{room}");
        assert_eq!(gaps.iter().map(|gap| gap.milliseconds).sum::<u64>(), lost * 20, "{room}");
        let reasons: Vec<&str> = ended.lost.0.views().iter().map(|loss| loss.reason).collect();
        assert_eq!(reasons, vec!["disk_full"; usize::from(lost > 0)], "{room}");
        assert!(lost == 0 || gaps[0].cause.contains("full") || gaps[0].cause.contains("space"), "{gaps:?}");
        std::fs::remove_file(folder.path().join(ended.place.path())).unwrap();
    }
}

#[test]
fn a_disk_that_stays_full_leaves_a_file_that_is_completed() {
    let folder = tempfile::tempdir().unwrap();
    for container in [Container::Wav, Container::Opus] {
        for key in [None, Some(identities())] {
            for room in (0..70_000).step_by(3701) {
                let change = |settings: &mut RecordingSettings| {
                    settings.container = container;
                    settings.key.clone_from(&key);
                };
                let (ended, _) = on_full_disk(folder.path(), room, false, change);
                let Some(file) = &ended.file else { continue };
                let milliseconds = repair::repair(file, &ended.entry, key.as_deref()).unwrap();
                assert!(milliseconds <= 2000, "{room}");
                if milliseconds > 0 {
                    let mut reader =
                        RecordingReader::new(file.try_clone().unwrap(), &ended.entry, key.as_deref()).unwrap();
                    let mut start = [0; 4];
                    assert_eq!(reader.read_at(0, &mut start).unwrap(), 4);
                    let magic = if container == Container::Wav { b"RIFF" } else { b"OggS" };
                    assert_eq!(&start, magic);
                }
                let again = repair::repair(file, &ended.entry, key.as_deref()).unwrap();
                assert_eq!(again, milliseconds, "nothing is left to do");
                std::fs::remove_file(folder.path().join(ended.place.path())).unwrap();
            }
        }
    }
}

#[test]
fn encrypted_recordings_open_after_a_full_disk_and_are_read_from_any_place() {
    for container in [Container::Wav, Container::Opus] {
        let mut bench = Bench::new(|settings| {
            settings.key = Some(identities());
            settings.container = container;
        });
        bench.begin(1, Channels::Dual);
        bench.blocks(1, 0..12);
        disk::tests::set_room(Some(30_000));
        bench.blocks(1, 12..32);
        disk::tests::set_room(None);
        bench.blocks(1, 32..60);
        let entry = bench.end(1);
        assert_eq!((entry.state, entry.milliseconds), (RecordingState::Completed, 12_000), "{entry:?}");
        let stored = std::fs::read(bench.path(&entry)).unwrap();
        assert!(
            stored.starts_with(b"age-encryption.org/v1\n")
                && bench.path(&entry).ends_with(format!(
                    "{}.{}.age",
                    sid(1),
                    if container == Container::Wav { "wav" } else { "opus" }
                ))
        );
        let audio = bench.audio(1);
        if container == Container::Wav {
            let frames = frames(&audio, Channels::Dual);
            let is_right = |(at, frame): (usize, &i16)| *frame == 0 || *frame == at as i16 + 1;
            assert!(frames.len() == 600 && frames.iter().enumerate().all(is_right));
            assert!(entry.lost_milliseconds > 0);
        }
        let (_, mut reader) = bench.recordings.open(&sid(1)).unwrap();
        for place in [0, 1, 79, 80, 81, 65_535, 65_536, 65_537, audio.len() - 1] {
            let Some(expected) = audio.get(place..(place + 100).min(audio.len())) else { continue };
            let mut part = vec![0; expected.len()];
            let read = reader.read_at(place as u64, &mut part).unwrap();
            assert_eq!(part[..read], expected[..read], "{place}");
            assert!(read > 0);
        }
        assert_eq!(reader.read_at(audio.len() as u64, &mut [0; 9]).unwrap(), 0);
        let mut other = settings(Path::new("x"));
        bench.recordings.configure(Some(other.clone()), None);
        let refused = bench.recordings.open(&sid(1)).unwrap_err();
        assert_eq!(refused.to_string(), "the recording is encrypted, and [recording] has no `key`");
        other.key = Some(Arc::new(AgeIdentities::parse(&AgeIdentity::from_secret([5; 32]).unwrap().reveal()).unwrap()));
        bench.recordings.configure(Some(other), None);
        let refused = bench.recordings.open(&sid(1)).unwrap_err();
        assert_eq!(refused.to_string(), "the file is encrypted for another key");
    }
}

#[test]
fn a_file_of_the_same_name_is_not_overwritten() {
    let mut bench = Bench::new(|_| {});
    let path = bench.folder.path().join(format!("recordings/2026/11/25/{}.wav", sid(1)));
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, "of another").unwrap();
    bench.begin(1, Channels::Dual);
    bench.blocks(1, 0..5);
    let entry = bench.end(1);
    assert_eq!((entry.state, entry.lost_milliseconds), (RecordingState::Absent, 1000));
    assert!(entry.error.unwrap().contains("exists"));
    assert!(!bench.recordings.shared.figures.is_failing(), "the disk takes others");
    assert_eq!(std::fs::read(&path).unwrap(), b"of another");
}

#[test]
fn what_stands_in_the_way_below_the_directory_is_named_with_its_fix() {
    let mut bench = Bench::new(|_| {});
    let root = bench.folder.path().join("recordings");
    std::fs::create_dir(&root).unwrap();
    let year = root.join("2026");
    std::os::unix::fs::symlink("/nowhere", &year).unwrap();
    bench.begin(1, Channels::Dual);
    bench.blocks(1, 0..6);
    let problem = bench.recordings.shared.figures.problems(None).remove(0).to_string();
    let said = format!("recordings are not written: {} is a symbolic link, which is not followed; ", year.display());
    assert!(problem.starts_with(&said) && problem.contains("; try: move it away: "), "{problem}");
}

#[test]
fn while_the_directory_is_gone_frames_are_lost_and_calls_refused_as_configured() {
    let mut bench = Bench::new(|settings| settings.on_full = OnFull::RefuseCalls);
    let root = bench.folder.path().join("recordings");
    std::fs::write(&root, "in its place").unwrap();
    bench.begin(1, Channels::Dual);
    assert!(bench.recordings.takes_calls());
    bench.blocks(1, 0..6);
    assert!(!bench.recordings.takes_calls());
    let problem = bench.recordings.shared.figures.problems(None).remove(0).to_string();
    let said = format!("recordings are not written: {} is not a directory; ", root.display());
    assert!(problem.starts_with(&said) && problem.ends_with("; try: name a directory, or a new name"), "{problem}");
    let refused = UnrecordedView { calls: 5, recent: 5, last_sid: Some("CA1".to_owned()) };
    let problem = bench.recordings.shared.figures.problems(Some(&refused)).remove(0);
    let headline = "calls are refused: the disk accepts no recordings (on_full = \"refuse_calls\"): 5 callers lost";
    assert_eq!((problem.headline.as_str(), problem.harm), (headline, Harm::Calls));
    assert!(problem.evidence.as_ref().unwrap().contains("503 (recording_unavailable)"), "{problem}");
    assert!(problem.fix.as_ref().unwrap().contains("`on_full = \"continue\"` of [recording]"), "{problem}");
    assert_eq!(problem.command.as_deref(), Some("trunkgate trace CA1"));
    bench.recordings.shared.probe(place::probe);
    assert!(!bench.recordings.takes_calls());
    std::fs::remove_file(&root).unwrap();
    bench.recordings.shared.probe(place::probe);
    assert!(bench.recordings.takes_calls());
    bench.blocks(1, 6..20);
    let entry = bench.end(1);
    let problem = bench.recordings.shared.figures.problems(None).remove(0).to_string();
    let said = format!("recordings could not be written: {} is not a directory; the latest loss", root.display());
    assert!(problem.contains(&said), "the cause outlives the repair: {problem}");
    assert_eq!((entry.state, entry.milliseconds), (RecordingState::Completed, 4000));
    let frames = frames(&bench.audio(1), Channels::Dual);
    assert!(frames.starts_with(&[1, 2]) && frames.ends_with(&[199, 200]), "{frames:?}");
    assert!(frames.iter().enumerate().all(|(at, frame)| *frame == 0 || *frame == at as i16 + 1));
    assert!(entry.lost_milliseconds >= 400, "{entry:?}");
    let events = bench.events.lock().unwrap();
    let Some(RecordingEvent::Losing(id, losing)) = events.first() else { panic!("{events:?}") };
    assert_eq!((*id, losing.views()[0].reason), (RecordingId(1), "disk_failed"), "while it lasts");
    let Some(RecordingEvent::Finished(finished)) = events.last() else { panic!("{events:?}") };
    assert_eq!(finished.lost.total(), entry.lost_milliseconds);
}

/// Function that removes or replaces a file, given the file and another path.
type Removal = fn(&Path, &Path);

#[test]
fn a_file_that_is_removed_while_it_is_written_begins_again_and_what_it_had_is_a_gap() {
    let ways: [Removal; 3] = [
        |_, path| std::fs::remove_file(path).unwrap(),
        |root, _| std::fs::remove_dir_all(root).unwrap(),
        |_, path| {
            std::fs::remove_file(path).unwrap();
            std::fs::create_dir(path.with_extension("other")).unwrap();
        },
    ];
    for (remove, container) in ways.iter().flat_map(|way| [(way, Container::Wav), (way, Container::Opus)]) {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("recordings");
        let settings = RecordingSettings { container, ..settings(&root) };
        let figures = Arc::new(RecordingFigures::default());
        let mut live = LiveRecording::new(&begin(1, Channels::Dual), &settings, Arc::clone(&figures)).unwrap();
        let mut now = Instant::now();
        let mut gaps = Vec::new();
        for at in 0..30 {
            if at == 12 {
                let (root, path) = live.entry().file.clone().unwrap();
                remove(root.as_ref(), &Path::new(&root).join(path));
            }
            gaps.extend(live.take(&block(1, at * FRAMES), now));
            now += Duration::from_millis(200);
        }
        let ended = live.end(None, now);
        assert!(ended.is_whole && ended.entry.milliseconds == 6000, "{:?}", ended.entry);
        let [gap] = &gaps[..] else { panic!("{gaps:?}") };
        assert_eq!((gap.at_milliseconds, gap.cause.as_str()), (0, output::GONE));
        assert!((2400..=3600).contains(&gap.milliseconds), "noticed within a second: {gap:?}");
        assert_eq!((ended.entry.lost_milliseconds, ended.lost.0.views()[0].reason), (gap.milliseconds, "disk_failed"));
        let path = root.join(ended.place.path());
        assert!(std::fs::metadata(&path).unwrap().len() > 1000);
        let shown = figures.problems(None).remove(0).to_string();
        assert!(shown.starts_with("1 recording without part of the audio, "), "the disk takes the new file: {shown}");
    }
}

#[test]
fn files_of_no_recording_are_counted_and_stay() {
    let mut bench = Bench::new(|_| {});
    let _ = [1, 2].map(|number| (bench.begin(number, Channels::Dual), bench.blocks(number, 0..6)));
    let copy = bench.folder.path().join("recordings/copy.wav");
    std::fs::write(&copy, bench.end(1).sid).unwrap();
    assert!(bench.closer.sweep() && copy.exists(), "recording 2 is live");
    assert_eq!(bench.recordings.unlisted(), UnlistedFiles { files: 1, example: Some(copy) });
}

#[test]
fn a_recording_whose_file_is_removed_before_its_end_is_absent() {
    let mut bench = Bench::new(|_| {});
    bench.begin(1, Channels::Dual);
    bench.blocks(1, 0..6);
    std::fs::remove_dir_all(bench.folder.path().join("recordings")).unwrap();
    let entry = bench.end(1);
    assert_eq!(
        (entry.state, entry.lost_milliseconds, entry.error.as_deref()),
        (RecordingState::Absent, 1200, Some(output::GONE))
    );
}

#[test]
fn recordings_of_a_process_that_was_killed_are_completed() {
    for (container, is_encrypted) in
        [(Container::Wav, false), (Container::Opus, false), (Container::Wav, true), (Container::Opus, true)]
    {
        let change = |settings: &mut RecordingSettings| {
            settings.container = container;
            settings.key = is_encrypted.then(identities);
        };
        let mut bench = Bench::new(change);
        bench.begin(1, Channels::Dual);
        let blocks = if container == Container::Wav { 101 } else { 300 };
        if container == Container::Wav {
            bench.blocks(1, 0..blocks);
        } else {
            (0..blocks).for_each(|at| bench.take(RecordingCommand::Block(noise(1, at * FRAMES))));
        }
        let path = bench.path(&bench.entry(1));
        let Bench { folder, recordings, writer, closer, .. } = bench;
        drop((recordings, writer, closer));
        // In the middle of a write.
        let length = std::fs::metadata(&path).unwrap().len();
        std::fs::File::options().write(true).open(&path).unwrap().set_len(length - 3).unwrap();
        let mut bench = Bench::at(folder, change);
        assert_eq!(bench.closer.recover((i64::MIN, String::new())).unwrap(), None);
        let entry = bench.entry(1);
        assert_eq!(entry.state, RecordingState::Completed, "{entry:?}");
        assert!(entry.error.as_ref().unwrap().contains("the edge ended"), "{entry:?}");
        let shown = bench.recordings.shared.figures.problems(None).remove(0).to_string();
        assert!(shown.starts_with("1 recording cut by the end of an earlier run"), "{shown}");
        // Truncation damages one chunk in addition to the open one: 2 s of WAV, up to 26 s of Opus.
        let lacks = match (container, is_encrypted) {
            (_, false) => 1000,
            (Container::Wav, true) => 4200,
            (Container::Opus, true) => 55_000,
        };
        let all = blocks * 200;
        assert!((all - lacks..=all).contains(&entry.milliseconds), "{entry:?}");
        assert!(bench.recordings.verify(&sid(1)).unwrap());
        if container == Container::Wav {
            let frames = frames(&bench.audio(1), Channels::Dual);
            assert_eq!(frames, (1..=frames.len() as i16).collect::<Vec<_>>());
        }
        let events = bench.events.lock().unwrap();
        assert!(matches!(&events[..], [RecordingEvent::Finished(finished)] if finished.id.is_none()), "{events:?}");
    }
}

#[test]
fn what_cannot_be_completed_is_left_as_it_is_and_reported() {
    let mut bench = Bench::new(|settings| settings.key = Some(identities()));
    bench.begin(1, Channels::Dual);
    bench.blocks(1, 0..61);
    let path = bench.path(&bench.entry(1));
    let Bench { folder, recordings, writer, closer, .. } = bench;
    drop((recordings, writer, closer));
    let before = std::fs::read(&path).unwrap();
    let mut bench = Bench::at(folder, |_| {});
    bench.closer.recover((i64::MIN, String::new())).unwrap();
    assert_eq!((bench.entry(1).state, std::fs::read(&path).unwrap()), (RecordingState::InProgress, before));
    let problem = bench.recordings.shared.figures.problems(None).remove(0).to_string();
    let said = format!(
        "1 recording of an earlier run not completed: {}: it is encrypted, and [recording] has no `key`; try: put",
        sid(1)
    );
    assert!(problem.starts_with(&said), "{problem}");
    let opened = bench.recordings.open(&sid(1)).unwrap_err().to_string();
    assert!(opened.ends_with("is not completed: it is encrypted, and [recording] has no `key`"), "{opened}");
    assert!(bench.recordings.why_incomplete(&sid(1)).is_some() && bench.recordings.verify(&sid(1)).is_err());
}

#[test]
fn a_damaged_file_is_not_cut_down_to_what_opens() {
    let key = identities();
    for (is_opus, is_encrypted) in [(true, false), (true, true), (false, true)] {
        let mut bench = Bench::new(|settings| {
            settings.container = if is_opus { Container::Opus } else { Container::Wav };
            settings.key = is_encrypted.then(identities);
        });
        bench.begin(1, Channels::Dual);
        (0..30).for_each(|at| bench.take(RecordingCommand::Block(noise(1, at * FRAMES))));
        let entry = bench.entry(1);
        let path = bench.path(&entry);
        let mut damaged = std::fs::read(&path).unwrap();
        damaged.resize(600_000, 0x55);
        std::fs::write(&path, &damaged).unwrap();
        let file = std::fs::File::options().read(true).write(true).open(&path).unwrap();
        let refused = repair::repair(&file, &entry, is_encrypted.then_some(&*key)).unwrap_err();
        assert_eq!(refused.to_string(), "it is damaged far before its end, and left as it is");
        assert_eq!(std::fs::read(&path).unwrap(), damaged);
    }
}

#[test]
fn a_recording_that_cannot_begin_is_reported_as_absent() {
    let mut bench = Bench::new(|_| {});
    bench.recordings.configure(None, None);
    bench.begin(1, Channels::Dual);
    let events = bench.events.lock().unwrap();
    let [RecordingEvent::Finished(finished)] = &events[..] else { panic!("{events:?}") };
    assert_eq!((finished.id, finished.entry.state), (Some(RecordingId(1)), RecordingState::Absent));
    assert_eq!(finished.entry.error.as_deref(), Some("there is no [recording] in the configuration"));
}

#[test]
fn a_file_of_more_than_4_gib_is_completed_as_rf64() {
    let mut bench = Bench::new(|_| {});
    bench.begin(1, Channels::Dual);
    bench.blocks(1, 0..3);
    let entry = bench.entry(1);
    let file = std::fs::File::options().read(true).write(true).open(bench.path(&entry)).unwrap();
    // The file is sparse, so it needs no room on the disk.
    let frames = 8_000_000;
    file.set_len(80 + frames * 640 + 123).unwrap();
    assert_eq!(repair::repair(&file, &entry, None).unwrap(), frames * 20);
    let mut header = [0; 80];
    std::os::unix::fs::FileExt::read_exact_at(&file, &mut header, 0).unwrap();
    assert_eq!(header, wav::header(Channels::Dual, DataBytes::Known(frames * 640)));
    assert_eq!((&header[..4], file.metadata().unwrap().len()), (&b"RF64"[..], 80 + frames * 640));
}

#[test]
fn the_queue_has_a_bound_and_refuses_without_waiting() {
    let folder = tempfile::tempdir().unwrap();
    let shared = Arc::new(SharedRecordings::new(
        Store::start(DataDirectory::of(folder.path())).unwrap(),
        Arc::default(),
        Arc::new(|_| {}),
    ));
    let (commands, commands_in) = channel();
    let recordings = RecordingsHandle { commands, shared };
    assert_eq!(recordings.begin(begin(1, Channels::Dual)), Err(RecordingBeginError::Off));
    recordings.configure(Some(settings(folder.path())), None);
    assert_eq!(
        recordings.begin(NewRecording { sid: "RE../../x".into(), ..begin(1, Channels::Dual) }),
        Err(RecordingBeginError::Sid)
    );
    assert_eq!(recordings.begin(begin(1, Channels::Dual)), Ok(()));
    let mut taken = 0;
    while recordings.write(block(1, taken * FRAMES)) {
        taken += 1;
    }
    assert!((9_000..11_000).contains(&taken), "{taken}");
    let refused = (2..).map(|number| recordings.begin(begin(number, Channels::Dual))).find(Result::is_err);
    assert_eq!(refused, Some(Err(RecordingBeginError::Busy)));
    let figures = &recordings.shared.figures;
    assert_eq!(figures.refused_blocks.get(), 1);
    recordings.end(RecordingId(1), None);
    commands_in.try_iter().for_each(|command| figures.release(bytes_of(&command)));
    assert_eq!(figures.queued_bytes(), 0);
}

/// Environment variable with the directory that the child process below writes to.
const CHILD: &str = "TRUNKGATE_TEST_RECORDINGS";

/// Runs in a child process: writes until it is killed, and prints the amount of audio written.
#[test]
fn a_process_that_writes_until_it_is_killed() {
    let Some(folder) = std::env::var_os(CHILD) else { return };
    let (store, folder) = (Store::start(DataDirectory::of(Path::new(&folder))).unwrap(), PathBuf::from(folder));
    let mut settings = settings(&folder.join("recordings"));
    settings.key = folder.join("encrypted").exists().then(identities);
    let (recordings, _threads) =
        RecordingsHandle::start((store, Vec::new()), (Some(settings), None), Arc::default(), Arc::new(|_| {})).unwrap();
    let numbers = 1..=4;
    numbers.clone().for_each(|number| recordings.begin(begin(number, Channels::Dual)).unwrap());
    // The entries are written before the first block, which in a call follows after 200 ms.
    for number in numbers.clone() {
        while recordings.find(&sid(number)).unwrap().is_none() {
            std::thread::yield_now();
        }
    }
    for at in 0_u64.. {
        for number in numbers.clone() {
            // The loop waits for the writer, and is about a thousand times faster than a call.
            while recordings.shared.figures.queued_bytes() > 30_000 {
                std::thread::yield_now();
            }
            assert!(recordings.write(block(number, at * FRAMES)));
        }
        println!("\nwritten {}", at * FRAMES * 20);
    }
}

#[test]
fn after_kill_9_at_any_moment_files_open_and_lack_less_than_a_second() {
    for round in 0..16_usize {
        let folder = tempfile::tempdir().unwrap();
        let is_encrypted = round % 4 == 3;
        if is_encrypted {
            std::fs::write(folder.path().join("encrypted"), "").unwrap();
        }
        let mut child = Process::new(std::env::current_exe().unwrap())
            .args(["--exact", "sinks::recordings::tests::a_process_that_writes_until_it_is_killed", "--nocapture"])
            .env(CHILD, folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut written = lines.filter_map(|line| line.strip_prefix("written ")?.parse::<u64>().ok());
        // Each round kills the process at another moment.
        let said = written.by_ref().nth(20 + round * 37).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        let said = written.last().unwrap_or(said);
        let change = |settings: &mut RecordingSettings| settings.key = is_encrypted.then(identities);
        // The queue may lose 30,000 bytes: four blocks, one of each recording.
        let lacks = if is_encrypted { 1000 + 2100 } else { 1000 };
        if !is_encrypted {
            for number in 1..=4 {
                let path = folder.path().join(format!("recordings/2026/11/25/{}.wav", sid(number)));
                let file = std::fs::read(path).unwrap();
                let says = u64::from(u32::from_le_bytes(file[76..80].try_into().unwrap()));
                assert!(says <= file.len() as u64 - 80 && says / 32 + lacks >= said, "{round}: {says} of {said}");
            }
        }
        let mut bench = Bench::at(folder, change);
        bench.closer.recover((i64::MIN, String::new())).unwrap();
        for number in 1..=4 {
            let entry = bench.entry(number);
            assert_eq!(entry.state, RecordingState::Completed, "{round}: {entry:?}");
            assert!(entry.milliseconds + lacks >= said, "{round}: {} of {said}", entry.milliseconds);
            assert!(bench.recordings.verify(&sid(number)).unwrap());
            let frames = frames(&bench.audio(number), Channels::Dual);
            assert!(frames.iter().zip(1_i64..).all(|(frame, at)| *frame == at as i16), "{round}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_blocks_in_order_stand_at_their_place(blocks in prop::collection::vec(any::<bool>(), 1..40), room in 0_usize..200_000) {
        let folder = tempfile::tempdir().unwrap();
        let mut live = LiveRecording::new(&begin(1, Channels::Dual), &settings(folder.path()), Arc::default()).unwrap();
        let mut now = Instant::now();
        disk::tests::set_room(Some(room));
        let mut heard = 0;
        for (at, _) in (0..).zip(&blocks).filter(|(_, is_there)| **is_there) {
            live.take(&block(1, at * FRAMES), now);
            heard = (at + 1) * FRAMES;
            now += Duration::from_millis(200);
        }
        disk::tests::set_room(None);
        let ended = live.end(None, now);
        if heard > 0 {
            let frames = frames(&std::fs::read(folder.path().join(ended.place.path())).unwrap(), Channels::Dual);
            prop_assert!(frames.iter().enumerate().all(|(at, frame)| *frame == 0 || *frame == at as i16 + 1));
            let silent = frames.iter().filter(|frame| **frame == 0).count() as u64;
            prop_assert_eq!((silent + heard - frames.len() as u64) * 20, ended.entry.lost_milliseconds);
        }
    }
}

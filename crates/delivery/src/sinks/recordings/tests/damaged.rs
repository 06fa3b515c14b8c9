//! Files that something else has damaged or replaced, and recordings that cannot be completed.

use std::os::unix::fs::symlink;

use super::*;

/// An encrypted recording of several chunks, which has ended.
fn sealed() -> (Bench, PathBuf) {
    let mut bench = Bench::new(|settings| settings.key = Some(identities()));
    bench.begin(1, Channels::Dual);
    bench.blocks(1, 0..61);
    let entry = bench.end(1);
    let path = bench.path(&entry);
    (bench, path)
}

/// Changes some bytes of a file.
fn damage(path: &Path, place: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[place..place + 4].copy_from_slice(b"XXXX");
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn damage_shows_before_the_audio_behind_it_is_sent() {
    let (bench, path) = sealed();
    let whole = bench.audio(1);
    damage(&path, 1000);
    let (_, mut reader) = bench.recordings.open(&sid(1)).unwrap();
    // The header is made here, and does not pass for audio that opens.
    let error = reader.prepare(0).unwrap_err().to_string();
    assert!(error.contains("damaged or incomplete"), "{error}");
    reader.prepare(70_000).unwrap();
    let mut part = [0; 100];
    assert_eq!(reader.read_at(70_000, &mut part).unwrap(), 100);
    assert_eq!(part, whole[70_000..70_100]);
    assert!(!bench.recordings.verify(&sid(1)).unwrap());
}

#[test]
fn what_was_appended_to_a_file_is_left_out() {
    let (bench, path) = sealed();
    let whole = bench.audio(1);
    let bytes = [std::fs::read(&path).unwrap(), vec![0x55; 70_000]].concat();
    std::fs::write(&path, bytes).unwrap();
    assert_eq!(bench.audio(1), whole);
    assert!(!bench.recordings.verify(&sid(1)).unwrap());
}

/// Leaves a recording as a process does that is killed, without the key that it was encrypted for.
fn incomplete(keep: Option<Duration>) -> (Bench, PathBuf) {
    let mut bench = Bench::new(|settings| settings.key = Some(identities()));
    for number in [1, 2] {
        bench.begin(number, Channels::Dual);
        bench.blocks(number, 0..61);
    }
    let path = bench.path(&bench.entry(1));
    let Bench { folder, recordings, writer, closer, .. } = bench;
    drop((recordings, writer, closer));
    let mut bench = Bench::at(folder, |settings| settings.keep = keep);
    assert_eq!(bench.recordings.delete(&sid(1)).unwrap(), Deleted::InProgress, "it may be completed yet");
    bench.closer.recover((i64::MIN, String::new())).unwrap();
    (bench, path)
}

#[test]
fn what_cannot_be_completed_is_deleted_on_request() {
    let (mut bench, path) = incomplete(None);
    let figures = Arc::clone(&bench.recordings.shared.figures);
    let problem = || figures.problems(None).first().map(ToString::to_string).unwrap_or_default();
    assert!(problem().starts_with("2 recordings of an earlier run not completed: "), "{}", problem());
    assert_eq!(bench.recordings.delete(&sid(2)).unwrap(), Deleted::Done);
    let said = format!("1 recording of an earlier run not completed: {}: ", sid(1));
    assert!(problem().starts_with(&said), "{}", problem());
    assert_eq!(bench.recordings.delete(&sid(1)).unwrap(), Deleted::Done);
    assert_eq!((bench.entry(1).state, path.exists(), problem().as_str()), (State::Deleted, false, ""));
    assert_eq!(bench.recordings.delete(&sid(1)).unwrap(), Deleted::Before);
    bench.closer.recover((i64::MIN, String::new())).unwrap();
    assert_eq!(bench.entry(1).state, State::Deleted);
}

#[test]
fn what_cannot_be_completed_is_deleted_after_its_time_and_what_is_live_is_not() {
    let (mut bench, path) = incomplete(Some(Duration::from_secs(86_400)));
    bench.begin(3, Channels::Dual);
    bench.blocks(3, 0..6);
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    bench.closer.expire(at("2026-11-26T11:59:59Z")).unwrap();
    assert_eq!((bench.entry(1).state, path.exists()), (State::InProgress, true));
    bench.closer.expire(at("2026-11-26T12:00:01Z")).unwrap();
    let states = [1, 2, 3].map(|number| bench.entry(number).state);
    assert_eq!((states, path.exists()), ([State::Deleted, State::Deleted, State::InProgress], false));
    let figures = &bench.recordings.shared.figures;
    assert_eq!((figures.expired.get(), figures.unrecovered.get()), (2, 0));
    assert_eq!(bench.end(3).state, State::Completed);
}

#[test]
fn one_of_several_deletions_at_once_deletes() {
    let (bench, _) = sealed();
    let recordings = &bench.recordings;
    let done = std::thread::scope(|scope| {
        let threads = [(); 8].map(|()| scope.spawn(|| recordings.delete(&sid(1)).unwrap()));
        threads.map(|thread| thread.join().unwrap())
    });
    let count = |wanted| done.iter().filter(|one| **one == wanted).count();
    assert_eq!((count(Deleted::Done), count(Deleted::Before)), (1, 7));
}

#[test]
fn what_stands_in_the_place_of_a_file_that_is_written_is_noticed_and_stays() {
    let ways: [fn(&Path); 4] = [
        |path| symlink("/dev/null", path).unwrap(),
        |path| std::fs::create_dir(path).unwrap(),
        |path| nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).unwrap(),
        |path| std::fs::write(path, "of another").unwrap(),
    ];
    for (put, is_late) in ways.iter().flat_map(|way| [(way, false), (way, true)]) {
        let mut bench = Bench::new(|_| {});
        bench.begin(1, Channels::Dual);
        bench.blocks(1, 0..6);
        let path = bench.path(&bench.entry(1));
        std::fs::rename(&path, path.with_extension("moved")).unwrap();
        put(&path);
        if !is_late {
            bench.blocks(1, 6..30);
            let events = bench.events.lock().unwrap();
            let losing = |event: &Event| matches!(event, Event::Losing(_, lost) if lost.total() >= 1200);
            assert!(events.iter().any(losing), "noticed while it is written: {events:?}");
        }
        let entry = bench.end(1);
        let lost = if is_late { 1200 } else { 6000 };
        assert_eq!((entry.state, entry.lost_milliseconds), (State::Absent, lost), "{entry:?}");
        assert_eq!(entry.error.as_deref(), Some(output::GONE));
        assert!(std::fs::symlink_metadata(&path).is_ok(), "it is not the edge's");
    }
}

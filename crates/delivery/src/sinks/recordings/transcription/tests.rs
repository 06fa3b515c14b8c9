//! Tests of transcription with services that respond correctly, with errors, late, or not at all.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};

use super::*;
use crate::sinks::recordings::index;
use crate::sinks::recordings::place::RecordingLocation;
use crate::sinks::store::Store;
use trunkgate_config::AnnounceTo;
use trunkgate_config::{DataDirectory, OnFull, RecordingSettings};
use trunkgate_recording::age::AgeIdentity;
use trunkgate_recording::wav::{self, DataBytes};
use trunkgate_recording::{Channels, Container};
use trunkgate_testing::until::until;

const RECORDING: &str = "RE0123456789abcdef0123456789abcdef";
const TEXT: &str = r#"{"text":" Good morning, Jörg. "}"#;
const MOST: Duration = Duration::from_secs(30);

/// Transcription service that returns the answers given to [`Endpoint::new`] in turn; for an empty answer it closes the
/// connection, for `hang` it does not respond.
struct Endpoint {
    url: String,
    requests: Receiver<Vec<u8>>,
}

fn body_length(head: &[u8]) -> Option<(usize, usize)> {
    let end = head.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&head[..end]).to_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok())?;
    Some((end, length))
}

fn request(stream: &mut TcpStream) -> Vec<u8> {
    let (mut bytes, mut part) = (Vec::new(), [0; 65_536]);
    loop {
        if body_length(&bytes).is_some_and(|(head, length)| bytes.len() >= head + length) {
            return bytes;
        }
        let read = stream.read(&mut part).unwrap();
        assert!(read > 0, "a request was cut");
        bytes.extend_from_slice(&part[..read]);
    }
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len())
}

impl Endpoint {
    fn new(answers: Vec<String>) -> Endpoint {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/v1/audio/transcriptions", listener.local_addr().unwrap());
        let (sender, requests) = channel();
        std::thread::spawn(move || {
            let mut held = Vec::new();
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let _ = sender.send(request(&mut stream));
                if answer == "hang" {
                    held.push(stream);
                } else {
                    let _ = stream.write_all(answer.as_bytes());
                }
            }
        });
        Endpoint { url, requests }
    }

    fn request(&self) -> Vec<u8> {
        self.requests.recv_timeout(MOST).unwrap()
    }
}

/// Completed recording in a store, and the outbox of transcriptions.
struct Bench {
    folder: tempfile::TempDir,
    shared: Arc<SharedRecordings>,
}

const PACE: Pace = Pace {
    within: Duration::from_secs(2),
    patience: Duration::ZERO,
    backoff: Backoff::new(Duration::from_millis(20), Duration::from_millis(40)),
    tried: Duration::from_secs(600),
};

impl Bench {
    fn new(url: &str, channels: Channels, key: Option<Arc<AgeIdentities>>) -> Bench {
        let bench = Bench::at(tempfile::tempdir().unwrap(), url, key);
        bench.record(channels);
        bench
    }

    fn at(folder: tempfile::TempDir, url: &str, key: Option<Arc<AgeIdentities>>) -> Bench {
        let store = Store::start(DataDirectory::of(folder.path())).unwrap();
        let shared = Arc::new(SharedRecordings::new(store, Arc::default(), Arc::new(drop)));
        let transcription = config::TranscriptionSettings {
            url: url.to_owned(),
            token: Some(config::Secret::new("hunter2".to_owned())),
            model: "large".to_owned(),
            language: Some("de".to_owned()),
            all: true,
        };
        shared.configure(Some(RecordingSettings {
            directory: folder.path().join("recordings"),
            container: Container::Wav,
            keep: None,
            key,
            on_full: OnFull::Continue,
            notify: None,
            announce: None,
            announce_to: AnnounceTo::Both,
            transcription: Some(Arc::new(transcription)),
            mail: None,
        }));
        Bench { folder, shared }
    }

    /// Completes a recording of three frames that is to be transcribed.
    fn record(&self, channels: Channels) {
        let started = "2026-11-25T12:00:00Z".parse().unwrap();
        let place =
            RecordingLocation::new(&self.folder.path().join("recordings"), RECORDING, started, (Container::Wav, false));
        let samples: &[i16] =
            if channels == Channels::Dual { &[1, 2, 30_000, 30_000, -5, 3] } else { &[3, i16::MAX, -2] };
        let data: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        let mut file = wav::header(channels, DataBytes::Known(data.len() as u64)).to_vec();
        file.extend_from_slice(&data);
        place.create().unwrap().write_all(&file).unwrap();
        let entry = RecordingEntry {
            sid: RECORDING.to_owned(),
            call_sid: "CA1".to_owned(),
            source: "RecordVerb".to_owned(),
            channels: channels.count(),
            state: index::RecordingState::Completed,
            file: Some((place.root().to_string_lossy().into_owned(), place.path())),
            milliseconds: 1_700,
            bytes: file.len() as u64,
            transcription: Some(TranscriptionRequest {
                app: "ivr".to_owned(),
                url: Some("https://app.example.com/transcribed".to_owned()),
                allow_private: false,
                from: "+14155550100".to_owned(),
                to: "+14155550199".to_owned(),
            }),
            ..RecordingEntry::begun(started.as_millisecond())
        };
        self.shared.finish(&entry).unwrap();
    }

    fn start(&self) -> std::thread::JoinHandle<()> {
        self.start_at(PACE)
    }

    fn start_at(&self, pace: Pace) -> std::thread::JoinHandle<()> {
        let transcriber = Transcriber::new(Arc::clone(&self.shared), pace);
        std::thread::spawn(move || runtime().block_on(transcriber.keep()))
    }

    fn stop(&self, thread: std::thread::JoinHandle<()>) {
        self.shared.transcribing.stop();
        thread.join().unwrap();
    }

    /// Returns the time of the next attempt in the store.
    fn due(&self) -> i64 {
        let due = "SELECT due FROM outbox WHERE kind = 'transcription'";
        self.shared.store.run_now(|store| store.query_row(due, [], |row| row.get(0))).unwrap()
    }

    fn problems(&self) -> Vec<String> {
        figures::problems(&self.shared.figures.transcriptions).iter().map(ToString::to_string).collect()
    }

    fn one(&self) -> Transcription {
        list(&self.shared, Part::default(), 9).unwrap().remove(0)
    }

    /// Sends requests until the transcription has ended, and returns it.
    fn over(&self) -> Transcription {
        let thread = self.start();
        let one = self.once(|one| one.state != State::InProgress);
        // The counters are updated after the store.
        let figures = &self.shared.figures.transcriptions;
        until("it is counted", || (figures.completed.get() + figures.failed.get() > 0).then_some(()));
        self.stop(thread);
        one
    }

    fn once(&self, is_so: impl Fn(&Transcription) -> bool) -> Transcription {
        until("the transcription is so", || Some(self.one()).filter(&is_so))
    }

    /// Returns URL and parameters of the callbacks in the store.
    fn callbacks(&self) -> Vec<(String, String)> {
        let read = |store: &Connection| {
            let mut found = store.prepare(
                "SELECT body ->> 'url', body ->> 'parameters' FROM outbox WHERE kind = 'callback' ORDER BY created",
            )?;
            found.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
        };
        self.shared.store.run_now(read).unwrap()
    }

    fn retried(&self) -> u64 {
        self.shared.figures.transcriptions.retried.get()
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Returns the file in an upload.
fn file_of(request: &[u8]) -> Vec<u8> {
    let begins = request.windows(4).position(|four| four == b"RIFF").unwrap();
    let ends = request.len() - request.iter().rev().skip(2).position(|byte| *byte == b'\n').unwrap() - 4;
    request[begins..ends].to_vec()
}

#[test]
fn a_recording_is_uploaded_as_one_channel_and_its_text_is_stored_and_reported() {
    for (channels, sum) in [(Channels::Dual, [3, i16::MAX, -2]), (Channels::Mono, [3, i16::MAX, -2])] {
        let service = Endpoint::new(vec![answer("200 OK", "", TEXT)]);
        let bench = Bench::new(&service.url, channels, None);
        let one = bench.over();
        assert_eq!((one.state, one.recording.as_str(), one.milliseconds), (State::Completed, RECORDING, 1_700));
        assert_eq!(opened(&one, None).unwrap().as_deref(), Some("Good morning, Jörg."));
        let request = service.request();
        let shown = String::from_utf8_lossy(&request).into_owned();
        for part in [
            "POST /v1/audio/transcriptions HTTP/1.1\r\n",
            "authorization: Bearer hunter2\r\n",
            "name=\"model\"\r\n\r\nlarge\r\n",
            "name=\"language\"\r\n\r\nde\r\n",
            "name=\"response_format\"\r\n\r\njson\r\n",
            "filename=\"RE0123456789abcdef0123456789abcdef.wav\"\r\nContent-Type: audio/wav\r\n\r\n",
        ] {
            assert!(shown.contains(part), "{part} in {shown}");
        }
        let data: Vec<u8> = sum.iter().flat_map(|sample: &i16| sample.to_le_bytes()).collect();
        let expected = [wav::header(Channels::Mono, DataBytes::Known(6)).as_slice(), &data].concat();
        assert_eq!(file_of(&request), expected, "{channels:?}");
        let callbacks = bench.callbacks();
        assert_eq!((callbacks.len(), callbacks[0].0.as_str()), (1, "https://app.example.com/transcribed"));
        for (name, value) in [
            ("TranscriptionStatus", "completed"),
            ("TranscriptionText", "Good morning, Jörg."),
            ("TranscriptionSid", &one.sid),
            ("RecordingSid", RECORDING),
            ("CallSid", "CA1"),
            ("From", "+14155550100"),
            ("To", "+14155550199"),
        ] {
            assert!(callbacks[0].1.contains(&format!("[\"{name}\",\"{value}\"]")), "{name} in {callbacks:?}");
        }
    }
}

#[test]
fn what_the_service_cannot_do_now_is_repeated() {
    let bad = [
        answer("500 Internal Server Error", "", "{\"error\":{\"message\":\"out of memory, hunter2\"}}"),
        answer("429 Too Many Requests", "retry-after: 1\r\n", ""),
        answer("401 Unauthorized", "", "no"),
        answer("307 Temporary Redirect", "location: http://127.0.0.1:1/\r\n", ""),
        answer("200 OK", "", "not JSON"),
        answer("200 OK", "", "{\"words\":[]}"),
        answer("200 OK", "", &"x".repeat((1 << 20) + 1)),
        String::new(),
        "hang".to_owned(),
    ];
    for (at, bad) in bad.into_iter().enumerate() {
        let service = Endpoint::new(vec![bad, answer("200 OK", "", TEXT)]);
        let bench = Bench::new(&service.url, Channels::Mono, None);
        let thread = bench.start();
        let failed = bench.once(|one| one.error.is_some() || one.state != State::InProgress);
        if failed.state == State::InProgress {
            let why = failed.error.unwrap();
            assert!(why.starts_with("http://127.0.0.1:") && !why.contains("hunter2"), "{at}: {why}");
            assert!(at != 1 || bench.due() - failed.updated >= 1000, "Retry-After");
            assert!(at != 3 || why.contains("redirections are not followed"), "{why}");
            let is_silent = bench.callbacks().is_empty();
            // The request may already have been repeated.
            assert!(is_silent || bench.once(|_| true).state != State::InProgress);
        }
        let one = bench.once(|one| one.state != State::InProgress);
        assert_eq!((one.state, bench.retried(), one.error.as_deref()), (State::Completed, 1, None), "{at}");
        assert_eq!((bench.retried(), bench.callbacks().len()), (1, 1));
        bench.stop(thread);
    }
}

#[test]
fn audio_that_the_service_refuses_has_failed() {
    let service =
        Endpoint::new(vec![answer("400 Bad Request", "", "{\"error\":{\"message\":\"not speech of +14155550100\"}}")]);
    let bench = Bench::new(&service.url, Channels::Mono, None);
    let one = bench.over();
    assert!(
        one.state == State::Failed
            && one.error.as_deref().unwrap().ends_with("400 Bad Request: not speech of +1415****100"),
        "{one:?}"
    );
    assert!(bench.callbacks()[0].1.contains("[\"TranscriptionStatus\",\"failed\"]"));
    assert_eq!((bench.retried(), bench.shared.figures.transcriptions.failed.get()), (0, 1));
    let given_up = format!("1 recording given up without a transcription in the last 24 hours: {RECORDING}: http://");
    let problems = bench.problems();
    assert!(problems[0].starts_with(&given_up) && problems.len() == 1, "the service works");
}

#[test]
fn a_service_that_is_away_is_a_problem_until_it_is_back() {
    let bench = Bench::new("http://127.0.0.1:1/t", Channels::Mono, None);
    let thread = bench.start();
    until("it is repeated", || (bench.retried() > 1).then_some(()));
    let problem = bench.shared.figures.problems(None).into_iter().map(|one| one.to_string()).next().unwrap();
    assert!(problem.contains("not transcribed") && problem.contains("127.0.0.1:1"), "{problem}");
    bench.stop(thread);
    let Bench { folder, shared } = bench;
    drop(shared);
    let bench = Bench::at(folder, "http://127.0.0.1:1/t", None);
    let thread = bench.start_at(Pace { tried: Duration::ZERO, ..PACE });
    let one = bench.once(|one| one.state != State::InProgress);
    assert_eq!(one.state, State::Failed, "given up");
    let kind = Transcriber::new(Arc::clone(&bench.shared), PACE);
    let late = Text { said: "late".into(), stored: Stored::Plain("late".into()) };
    let late: Settled<Text> = (one.sid.as_str().into(), Arc::new(Outcome::Delivered(late)));
    bench.shared.change(move |store| kind.settle(store, &[late]).map(drop)).unwrap();
    assert_eq!(bench.one().state, State::Failed, "and stays so");
    assert_eq!(bench.callbacks().len(), 1);
    until("it is counted", || (bench.shared.figures.transcriptions.failed.get() > 0).then_some(()));
    let problems = bench.shared.figures.problems(None);
    assert!(problems.iter().all(|one| one.to_string().starts_with("1 recording given up")), "{problems:?}");
    bench.stop(thread);
}

#[test]
fn a_service_that_hangs_is_named_before_the_request_is_over() {
    let service = Endpoint::new(vec!["hang".to_owned(), answer("200 OK", "", TEXT)]);
    let bench = Bench::new(&service.url, Channels::Mono, None);
    let thread = bench.start_at(Pace { within: MOST * 2, ..PACE });
    service.request();
    let problem = until("it is a problem", || bench.problems().first().cloned());
    assert!(problem.starts_with("recordings are not transcribed: no answer from the service for "), "{problem}");
    assert_eq!(bench.retried(), 0);
    bench.stop(thread);
}

#[test]
fn a_request_that_the_end_of_the_process_cuts_is_repeated_by_the_next_one() {
    let service = Endpoint::new(vec!["hang".to_owned(), answer("200 OK", "", TEXT)]);
    let Bench { folder, shared } = Bench::new(&service.url, Channels::Mono, None);
    let first = Bench { folder, shared };
    let thread = first.start();
    service.request();
    first.stop(thread);
    assert_eq!(first.one().state, State::InProgress);
    let Bench { folder, shared } = first;
    drop(shared);
    let second = Bench::at(folder, &service.url, None);
    assert_eq!(second.over().state, State::Completed);
}

#[test]
fn texts_of_encrypted_recordings_are_encrypted_and_go_with_their_recording() {
    let key = Arc::new(AgeIdentities::parse(&AgeIdentity::from_secret([4; 32]).unwrap().reveal()).unwrap());
    let service = Endpoint::new(vec![answer("200 OK", "", TEXT)]);
    let bench = Bench::new(&service.url, Channels::Mono, Some(Arc::clone(&key)));
    let one = bench.over();
    assert!(matches!(&one.text, Some(Stored::Sealed(_))), "{one:?}");
    assert_eq!(opened(&one, Some(&key)).unwrap().as_deref(), Some("Good morning, Jörg."));
    assert!(matches!(opened(&one, None), Err(RecordingOpenError::NoKey)));
    let long = "ä".repeat(100_000);
    let sealed = Transcription { text: Some(sealed(&long, Some(&key)).unwrap()), ..one };
    assert_eq!(opened(&sealed, Some(&key)).unwrap(), Some(long));
    bench.shared.delete(RECORDING).unwrap();
    assert!(list(&bench.shared, Part::default(), 9).unwrap().is_empty());
}

#[test]
fn only_recordings_that_ask_for_it_are_transcribed_unless_all_are() {
    let settings = |all| config::TranscriptionSettings {
        url: "https://asr.example.com/".to_owned(),
        token: None,
        model: "m".to_owned(),
        language: None,
        all,
    };
    let silent = RecordingEntry { state: index::RecordingState::Absent, ..RecordingEntry::begun(0) };
    let plain = RecordingEntry { state: index::RecordingState::Completed, ..RecordingEntry::begun(0) };
    let request = TranscriptionRequest {
        app: String::new(),
        url: None,
        allow_private: false,
        from: String::new(),
        to: String::new(),
    };
    let asking = RecordingEntry { transcription: Some(request), ..plain.clone() };
    let is_wanted =
        |entry: &RecordingEntry, all: Option<bool>| wanted(entry, all.map(settings).as_ref()).unwrap().is_some();
    for (entry, expected) in
        [(&silent, [false, false, false]), (&plain, [false, false, true]), (&asking, [false, true, true])]
    {
        assert_eq!([None, Some(false), Some(true)].map(|all| is_wanted(entry, all)), expected);
    }
    assert_eq!((cut("äöü", 3), cut("abc", 9)), ("ä", "abc"));
}

//! Tests of e-mail with accepting, rejecting and unreachable servers.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};

use trunkgate_call::{RecordingLinks, RecordingReceiver, VoicemailMessage};
use trunkgate_recording::age::{AgeIdentities, AgeIdentity};
use trunkgate_recording::wav::{self, DataBytes};
use trunkgate_recording::{Channels, Container};

use super::*;
use crate::sinks::outbox::table::GivenUp;
use crate::sinks::recordings::place::RecordingLocation;
use crate::sinks::store::Store;
use trunkgate_config::{AnnounceTo, DataDirectory, OnFull, RecordingSettings, Secret};
use trunkgate_system::smtp::Security;
use trunkgate_testing::until::until;

const MESSAGE: &str = "RE0123456789abcdef0123456789abcdef";
const MOST: Duration = Duration::from_secs(30);

/// Replies of a mail server on one connection, greeting first; the contents of an e-mail count as one line.
type Replies = &'static [&'static str];

const OK: &str = "250 ok\r\n";
const HELLO: &str = "250-mail.example.com\r\n250 AUTH PLAIN\r\n";
const TAKEN: Replies = &["220 hi\r\n", HELLO, "235 in\r\n", OK, OK, "354 go\r\n", OK, "221 bye\r\n"];

/// Runs a mail server with these replies, one list for each connection; returns the accepted e-mails.
fn serve(listener: TcpListener, connections: Vec<Replies>) -> Receiver<String> {
    let (taken, all) = channel();
    std::thread::spawn(move || {
        for replies in connections {
            let (stream, _) = listener.accept().unwrap();
            let mut writer = stream.try_clone().unwrap();
            let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
            let (mut is_data, mut message) = (false, Vec::new());
            for reply in replies {
                let _ = writer.write_all(reply.as_bytes());
                let mut line = lines.next().unwrap_or_default();
                while is_data && line != "." {
                    message.push(line);
                    line = lines.next().unwrap_or_else(|| ".".to_owned());
                }
                is_data = line == "DATA";
            }
            let _ = taken.send(message.join("\n"));
        }
    });
    all
}

fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

const PACE: Pace = Pace {
    within: Duration::from_secs(5),
    patience: Duration::from_secs(60),
    backoff: Backoff::new(Duration::from_millis(20), Duration::from_millis(40)),
    tried: Duration::from_secs(600),
};

/// Rows of e-mails in the store.
#[derive(Debug)]
struct Rows {
    due: Vec<GivenUp>,
    all: u64,
    failed: u64,
    last_failed: Option<GivenUp>,
}

/// Voicemail message in a store, and the outbox of e-mails.
struct Bench {
    folder: tempfile::TempDir,
    shared: Arc<SharedRecordings>,
}

impl Bench {
    fn new(port: u16) -> Bench {
        let bench = Bench::at(tempfile::tempdir().unwrap(), port, None);
        bench.record(&[3, i16::MAX, -2]);
        bench
    }

    fn at(folder: tempfile::TempDir, port: u16, key: Option<Arc<AgeIdentities>>) -> Bench {
        let store = Store::start(DataDirectory::of(folder.path())).unwrap();
        let shared = Arc::new(SharedRecordings::new(store, Arc::default(), Arc::new(drop)));
        let bench = Bench { folder, shared };
        bench.configure(port, key);
        let base = "https://edge.example.com/2010-04-01/Accounts/AC1/Recordings".to_owned();
        bench.shared.reports.configure(RecordingLinks { base, ..RecordingLinks::default() });
        bench
    }

    fn configure(&self, port: u16, key: Option<Arc<AgeIdentities>>) {
        let mail = MailSettings {
            host: "127.0.0.1".to_owned(),
            port,
            security: Security::Clear,
            user: Some("ann".to_owned()),
            password: Some(Secret::new("hunter2".to_owned())),
            from: "voicemail@example.com".to_owned(),
            ca: None,
        };
        self.shared.configure(Some(RecordingSettings {
            directory: self.folder.path().join("recordings"),
            container: Container::Wav,
            keep: None,
            key,
            on_full: OnFull::Continue,
            notify: None,
            announce: None,
            announce_to: AnnounceTo::Both,
            transcription: None,
            mail: Some(Arc::new(mail)),
        }));
    }

    /// Completes a voicemail message with these samples.
    fn record(&self, samples: &[i16]) {
        let started = "2026-11-25T12:00:00Z".parse().unwrap();
        let place =
            RecordingLocation::new(&self.folder.path().join("recordings"), MESSAGE, started, (Container::Wav, false));
        let data: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        let mut file = wav::header(Channels::Mono, DataBytes::Known(data.len() as u64)).to_vec();
        file.extend_from_slice(&data);
        place.create().unwrap().write_all(&file).unwrap();
        let message =
            VoicemailMessage { mailbox: "front".into(), from: "+14155550100".into(), to: "+14155550199".into() };
        let mailbox = Mailbox { notify: Some("mailto:desk@example.com".into()), ..Mailbox::new("front") };
        let entry = RecordingEntry {
            sid: MESSAGE.to_owned(),
            call_sid: "CA1".to_owned(),
            source: "Voicemail".to_owned(),
            channels: 1,
            state: RecordingState::Completed,
            file: Some((place.root().to_string_lossy().into_owned(), place.path())),
            milliseconds: 1_700,
            bytes: file.len() as u64,
            receiver: RecordingReceiver::of_mailbox(&mailbox),
            message: Some(message),
            ..RecordingEntry::begun(started.as_millisecond())
        };
        self.shared.finish(&entry).unwrap();
    }

    fn start(&self, pace: Pace) -> std::thread::JoinHandle<()> {
        let mailer = MailOutbox::new(Arc::clone(&self.shared), pace);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        std::thread::spawn(move || runtime.block_on(mailer.keep()))
    }

    fn stop(&self, thread: std::thread::JoinHandle<()>) {
        self.shared.mailing.stop();
        thread.join().unwrap();
    }

    /// Reads the rows of e-mails from the store.
    fn row(&self) -> Rows {
        let read = |store: &Connection| {
            let Counts { all, failed, last_failed } = table::counts(store, NAME, 0)?;
            let select = "SELECT share, attempts, error FROM outbox WHERE kind = 'mail' AND given_up IS NULL";
            let mut due = store.prepare(select)?;
            let row =
                |row: &rusqlite::Row<'_>| Ok(GivenUp { share: row.get(0)?, attempts: row.get(1)?, error: row.get(2)? });
            Ok(Rows { due: due.query_map([], row)?.collect::<rusqlite::Result<_>>()?, all, failed, last_failed })
        };
        self.shared.change(read).unwrap()
    }

    fn once(&self, what: &str, is_so: impl Fn(&Rows) -> bool) -> Rows {
        until(what, || Some(self.row()).filter(&is_so))
    }

    fn problems(&self) -> Vec<String> {
        let all = figures::problems(&self.shared.figures.mails);
        all.iter().map(|one| format!("{}: {}", one.headline, one.evidence.as_deref().unwrap_or_default())).collect()
    }
}

#[test]
fn a_message_is_sent_once_with_its_audio() {
    let (listener, port) = listener();
    let taken = serve(listener, vec![TAKEN]);
    let bench = Bench::new(port);
    assert_eq!(bench.row().all, 1, "it is in the store with the entry of the message");
    let callbacks = |store: &Connection| {
        store.query_row("SELECT count(*) FROM outbox WHERE kind = 'callback'", [], |row| row.get::<_, i64>(0))
    };
    assert_eq!(bench.shared.change(callbacks).unwrap(), 0_i64, "no callback goes to an address");
    let thread = bench.start(PACE);
    let mail = taken.recv_timeout(MOST).unwrap();
    assert!(mail.contains("To: <desk@example.com>\nSubject: Voicemail front: +14155550100, 0:02\n"), "{mail}");
    let data: Vec<u8> = [3, i16::MAX, -2].iter().flat_map(|sample: &i16| sample.to_le_bytes()).collect();
    let file = [wav::header(Channels::Mono, DataBytes::Known(6)).as_slice(), &data].concat();
    assert!(mail.replace('\n', "").contains(&STANDARD.encode(file)), "{mail}");
    bench.once("the row leaves", |row| row.all == 0);
    bench.stop(thread);
    assert_eq!(bench.shared.figures.mails.completed.get(), 1);
    assert_eq!(bench.problems(), [""; 0]);
}

#[test]
fn refusals_for_now_are_repeated_and_shown() {
    let refused: [(Replies, &str); 3] = [
        (&["421 busy\r\n"], "does not serve: 421 busy"),
        (&["220 hi\r\n", HELLO, "535 not hunter2 AGFubgBodW50ZXIy\r\n"], "refused user and password: 535 not … …"),
        (
            &["220 hi\r\n", HELLO, "235 in\r\n", OK, "451 greylisted: New message from +14155550100\r\n"],
            "refused the recipient desk@example.com: 451 greylisted: New message from +1415****100",
        ),
    ];
    for (replies, expected) in refused {
        let (listener, port) = listener();
        let bench = Bench::new(port);
        let taken = serve(listener, vec![replies]);
        let thread = bench.start(PACE);
        taken.recv_timeout(MOST).unwrap();
        let row = bench.once("it is repeated", |row| row.due.first().is_some_and(|one| one.attempts >= 1));
        let expected = format!("127.0.0.1:{port}: {expected}");
        // The mail server has stopped, so the errors of later attempts differ.
        let first = row.due[0].error.clone().unwrap();
        assert!(first == expected || first.contains("cannot be reached"), "{first}");
        let shown = bench.problems();
        assert!(shown[0].starts_with("voicemail is not sent by e-mail: 127.0.0.1:"), "{shown:?}");
        assert!(!shown[0].contains("hunter2"), "{shown:?}");
        bench.stop(thread);
    }
}

#[test]
fn a_server_that_hangs_is_named_before_the_attempt_is_over() {
    let (listener, port) = listener();
    let bench = Bench::new(port);
    let thread = bench.start(Pace { within: MOST * 2, patience: Duration::ZERO, ..PACE });
    let (_silent, _) = listener.accept().unwrap();
    until("it is a problem", || (!bench.problems().is_empty()).then_some(()));
    let shown = bench.problems();
    assert!(shown[0].contains("the mail server has not finished an attempt for 0 s; "), "{shown:?}");
    bench.stop(thread);
}

#[test]
fn a_server_that_comes_up_later_gets_what_has_waited_also_behind_a_restart() {
    let (listener, port) = listener();
    drop(listener);
    let bench = Bench::new(port);
    let thread = bench.start(PACE);
    let row = bench.once("attempts fail", |row| row.due.first().is_some_and(|one| one.attempts >= 2));
    assert!(row.due[0].error.as_deref().unwrap().contains("cannot be reached"), "{row:?}");
    bench.stop(thread);
    let Bench { folder, shared } = bench;
    drop(shared);
    let bench = Bench::at(folder, port, None);
    let taken = serve(TcpListener::bind(("127.0.0.1", port)).unwrap(), vec![TAKEN]);
    let thread = bench.start(PACE);
    assert!(taken.recv_timeout(MOST).unwrap().contains("Message-ID: <RE0123456789abcdef0123456789abcdef@example.com>"));
    bench.once("the row leaves", |row| row.all == 0);
    bench.stop(thread);
    assert_eq!(bench.problems(), [""; 0]);
}

#[test]
fn a_recipient_that_is_refused_is_given_up_until_the_address_takes_e_mail() {
    const REFUSED: Replies = &["220 hi\r\n", HELLO, "235 in\r\n", OK, "550 no such user\r\n"];
    let (listener, port) = listener();
    let taken = serve(listener, vec![REFUSED, TAKEN]);
    let bench = Bench::new(port);
    let thread = bench.start(PACE);
    taken.recv_timeout(MOST).unwrap();
    let row = bench.once("it is given up", |row| row.failed == 1);
    assert_eq!((row.all, row.last_failed.unwrap().attempts), (0, 1));
    until("it is a problem", || (!bench.problems().is_empty()).then_some(()));
    let expected = format!(
        "1 voicemail message not sent by e-mail: mailbox front: 127.0.0.1:{port}: refused the recipient desk@example.com: 550 no such user"
    );
    assert_eq!(bench.problems(), [expected]);
    assert_eq!(bench.shared.figures.mails.failed.get(), 1);
    // The mail server accepts the next e-mail to the same address.
    let other = |store: &Connection| {
        let columns = "line, host, place, share, created, due, attempts, error, given_up, body";
        store.execute(
            &format!("INSERT INTO outbox (kind, key, {columns}) SELECT kind, 'RE1', {columns} FROM outbox"),
            [],
        )?;
        store.execute("UPDATE outbox SET given_up = NULL, due = 0 WHERE key = ?1", [MESSAGE])
    };
    bench.shared.change(other).unwrap();
    bench.shared.mailing.wake();
    taken.recv_timeout(MOST).unwrap();
    bench.once("nothing is left", |row| row.all == 0 && row.failed == 0);
    bench.stop(thread);
}

#[test]
fn an_e_mail_is_given_up_after_its_time_and_forgotten_a_day_later() {
    let (listener, port) = listener();
    drop(listener);
    let bench = Bench::new(port);
    let thread = bench.start(Pace { tried: Duration::ZERO, ..PACE });
    let row = bench.once("it is given up", |row| row.failed == 1);
    bench.stop(thread);
    assert!(row.last_failed.unwrap().error.unwrap().contains("cannot be reached"));
    let later = bench.shared.change(|store| table::counts(store, NAME, i64::MAX)).unwrap();
    assert_eq!((later.failed, later.all), (0, 0));
}

#[test]
fn audio_beyond_what_the_server_takes_is_not_attached() {
    const SMALL: Replies = &[
        "220 hi\r\n",
        "250-m\r\n250-SIZE 110000\r\n250 AUTH PLAIN\r\n",
        "235 in\r\n",
        OK,
        OK,
        "354 go\r\n",
        OK,
        "221 bye\r\n",
    ];
    let (listener, port) = listener();
    let taken = serve(listener, vec![SMALL]);
    let bench = Bench::at(tempfile::tempdir().unwrap(), port, None);
    bench.record(&[1; 20_000]);
    let thread = bench.start(PACE);
    let mail = taken.recv_timeout(MOST).unwrap();
    bench.stop(thread);
    let body: String = mail.split_once("\n\n").unwrap().1.split_whitespace().collect();
    let body = String::from_utf8(STANDARD.decode(body).unwrap()).unwrap();
    assert!(body.contains("The audio is not attached: it exceeds the size limit of the mail server."), "{body}");
    assert!(body.contains("/Recordings/RE0123456789abcdef0123456789abcdef.wav"), "{body}");
}

#[test]
fn longer_audio_than_an_e_mail_has_is_not_read() {
    let bench = Bench::at(tempfile::tempdir().unwrap(), 1, None);
    bench.record(&vec![0; MAIL_AUDIO_BYTES as usize / 2 + 1]);
    let mail = written(&bench.shared, MESSAGE, ("a@b", "c@d"), None).unwrap().unwrap();
    let body = String::from_utf8(mail).unwrap();
    let body: String = body.split_once("\r\n\r\n").unwrap().1.split_whitespace().collect();
    let body = String::from_utf8(STANDARD.decode(body).unwrap()).unwrap();
    assert!(body.contains("The audio is not attached: it has more than 10 MiB."), "{body}");
}

#[test]
fn a_deleted_message_is_not_sent() {
    let (listener, port) = listener();
    drop(listener);
    let key = Arc::new(AgeIdentities::parse(&AgeIdentity::from_secret([4; 32]).unwrap().reveal()).unwrap());
    let bench = Bench::at(tempfile::tempdir().unwrap(), port, Some(key));
    bench.record(&[1, 2, 3]);
    assert_eq!(bench.row().all, 1);
    bench.shared.delete(MESSAGE).unwrap();
    assert_eq!(bench.row().all, 0);
    assert!(written(&bench.shared, MESSAGE, ("a@b", "c@d"), None).unwrap().is_none());
}

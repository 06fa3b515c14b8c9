//! Recordings of the real binary: an edge with an unusable recording directory runs, reports the directory, and records
//! again once it is usable.

#![allow(clippy::unwrap_used)] // helpers of tests are not `#[test]` themselves

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use serde_json::json;
use trunkgate_recording::age::{AgeIdentity, FileRandomness, Sealer};

use crate::support::{Process, config, finish, http, http_with_headers, until};

fn metric(edge: &Process, name: &str) -> String {
    let text = edge.get("/metrics").1;
    text.lines().find_map(|line| line.strip_prefix(&format!("{name} "))).unwrap().to_owned()
}

#[test]
fn a_directory_that_becomes_unusable_is_a_problem_until_it_is_usable_again() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("recordings");
    let edge = Process::start(&config(&format!("[recording]\ndirectory = '{}'\n", directory.display())));
    until("the edge has tried the directory", || directory.is_dir().then_some(()));
    assert_eq!(std::fs::metadata(&directory).unwrap().permissions().mode() & 0o777, 0o700);
    // The directory may contain the file by which the edge tests it.
    until("the directory is empty", || std::fs::remove_dir(&directory).ok());
    std::fs::write(&directory, "in its place").unwrap();
    let problem = until("status says so", || {
        let problems = edge.json("/v1/status")["problems"].clone();
        let mine = problems.as_array().unwrap().iter().find(|one| one.as_str().unwrap().starts_with("recordings"));
        mine.map(|one| one.as_str().unwrap().to_owned())
    });
    assert!(problem.starts_with("recordings are not written: ") && problem.contains("irectory"), "{problem}");
    assert_eq!(metric(&edge, "trunkgate_recording_failing"), "1");
    assert_ne!(metric(&edge, "trunkgate_recording_disk_errors_total"), "0");
    std::fs::remove_file(&directory).unwrap();
    until("it is over", || (metric(&edge, "trunkgate_recording_failing") == "0").then_some(()));
    assert!(directory.is_dir());
}

/// Lists, shows, exports and verifies the only recording of an edge by `trunkgate recordings`.
fn by_the_verb(edge: &Process, folder: &Path) {
    let recordings = |arguments: &[&str]| {
        let url = edge.url();
        let output = finish(&[&["recordings", "--url", &url], arguments].concat());
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, listed, _) = recordings(&[]);
    let row = listed.lines().nth(1).unwrap();
    assert!(code == Some(0) && row.starts_with(SID) && row.contains("1 s") && row.contains("wav dual"), "{listed}");
    assert_eq!(recordings(&["ls", "--call", "CA2"]).1, "no recordings\n");
    assert_eq!(recordings(&["ls", "--voicemail", "front"]).1, "no recordings\n");
    assert_eq!(recordings(&["ls", "--since", "2026-11-26"]).1, "no recordings\n");
    assert_eq!(recordings(&["ls", "--since", "yesterday"]).0, Some(2));
    assert!(recordings(&["show", "RE0123"]).1.contains("duration_ms    1000\n"));
    assert!(recordings(&["show", "RE1"]).2.starts_with("error: unknown recording: RE1"));
    let (code, done, error) = recordings(&["export", "last", "--output", folder.to_str().unwrap()]);
    let exported = std::fs::read(folder.join(format!("{SID}.wav"))).unwrap();
    assert_eq!((code, exported.len()), (Some(0), 80 + 50 * 640), "{done}{error}");
    assert!(done.ends_with(&format!("{SID}.wav is written\n")) && exported.starts_with(b"RIFF"));
    // Neither an existing file nor the target of a symbolic link is overwritten.
    let (target, link) = (folder.join("target"), folder.join("link.wav"));
    std::os::unix::fs::symlink(&target, &link).unwrap();
    for there in [folder, &link, &folder.join(format!("{SID}.wav"))] {
        let (code, _, error) = recordings(&["export", "last", "--output", there.to_str().unwrap()]);
        assert!(code == Some(1) && error.contains("exists and is not overwritten: name another"), "{error}");
    }
    assert!(!target.exists());
    assert_eq!(recordings(&["ls", "--limit", "0"]).0, Some(2));
    assert_eq!(recordings(&["verify"]), (Some(0), "1 recording intact\n".to_owned(), String::new()));
    // Another program changes a byte.
    let stored = folder.join(format!("recordings/2026/11/25/{SID}.wav"));
    let whole = std::fs::read(&stored).unwrap();
    let changed = [&whole[..1000], &[!whole[1000]], &whole[1001..]].concat();
    std::fs::write(&stored, changed).unwrap();
    let (code, said, error) = recordings(&["verify"]);
    assert_eq!((code, error.as_str()), (Some(1), "error: 1 of 1 recording not intact\n"));
    assert_eq!(said, format!("{SID}  the file differs from its check sum\n"));
    std::fs::write(&stored, whole).unwrap();
}

const SID: &str = "RE0123456789abcdef0123456789abcdef";

/// Creates a recording as a process leaves it that is killed while writing; returns the configuration, the state folder
/// and the file.
fn cut_by_a_crash(folder: &Path) -> (String, std::sync::Arc<tempfile::TempDir>, PathBuf) {
    let directory = folder.join("recordings");
    let edge = Process::start(&config(&format!("[recording]\ndirectory = '{}'\n", directory.display())));
    assert_eq!(edge.json("/v1/recordings"), json!({"recordings": []}));
    // A killed process leaves the header of an earlier moment, and half a frame.
    let path = format!("2026/11/25/{SID}.wav");
    let file = directory.join(&path);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    let mut wav = vec![0; 80];
    wav.extend((0..50 * 640 + 300_u32).map(|at| at as u8));
    std::fs::write(&file, &wav).unwrap();
    let kept = std::sync::Arc::clone(&edge.directory);
    let (ended, _, log) = {
        edge.signal(nix::sys::signal::Signal::SIGTERM);
        edge.end()
    };
    assert!(ended.success(), "{log}");
    let store = Connection::open(kept.path().join("trunkgate.db")).unwrap();
    store
        .execute(
            "INSERT INTO recording (sid, call, source, channels, state, directory, path, is_opus, is_encrypted, started, updated)
             VALUES (?1, 'CA1', 'DialVerb', 2, 'in-progress', ?2, ?3, 0, 0, 1795608000000, 1795608000000)",
            (SID, directory.to_str().unwrap(), &path),
        )
        .unwrap();
    drop(store);
    let text = std::fs::read_to_string(kept.path().join("trunkgate.toml")).unwrap();
    (text, kept, file)
}

#[test]
fn a_file_that_a_crash_has_cut_is_completed_and_served_by_range_and_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let (text, kept, file) = cut_by_a_crash(folder.path());
    let edge = Process::start_with(&text, &[("STATE_DIRECTORY", kept.path().to_str().unwrap())]);
    let url = format!("{}/v1/recordings/{SID}", edge.url());
    let shown = until("it is completed", || {
        let shown = edge.json(&format!("/v1/recordings/{SID}"));
        (shown["state"] == "completed").then_some(shown)
    });
    assert_eq!((&shown["duration_ms"], &shown["bytes"]), (&json!(1000), &json!(80 + 50 * 640)), "{shown}");
    assert_eq!(shown["started_at"], "2026-11-25T12:00:00.000Z");
    assert_eq!(edge.json("/v1/recordings?call=CA1&limit=1")["recordings"], json!([shown]));
    assert_eq!(edge.json("/v1/recordings?call=CA2")["recordings"], json!([]));
    assert_eq!(edge.json(&format!("/v1/recordings?after={SID}"))["recordings"], json!([]));
    assert_eq!(http("POST", &format!("{url}/verify"), &[], "").1, json!({"intact": true, "sid": SID}).to_string());
    let (status, headers, _) = http_with_headers("GET", &format!("{url}/audio"), &[("Range", "bytes=0-3")], "");
    let field = |name: &str| headers[name].to_str().unwrap().to_owned();
    assert_eq!(
        (status, field("content-range").as_str(), field("content-length").as_str()),
        (206, "bytes 0-3/32080", "4")
    );
    assert_eq!(http("GET", &format!("{url}/audio"), &[("Range", "bytes=0-3")], "").1, "RIFF");
    assert_eq!(http("GET", &format!("{url}/audio"), &[("Range", "bytes=32080-")], "").0, 416);
    assert_eq!(http_with_headers("GET", &format!("{url}/audio"), &[], "").1["content-length"], "32080");
    let peaks = edge.json(&format!("/v1/recordings/{SID}/peaks"));
    assert_eq!((&peaks["sid"], &peaks["sampled"]), (&json!(SID), &json!(false)));
    let levels = |channel: usize| peaks["peaks"][channel].as_array().unwrap().iter().map(|one| one.as_u64().unwrap());
    assert_eq!((levels(0).count(), levels(1).count(), peaks["peaks"][2].is_null()), (50, 50, true));
    assert!(levels(0).chain(levels(1)).all(|level| (200..=255).contains(&level)), "{peaks}");
    let (status, headers, _) = http_with_headers("POST", &format!("{url}/listen"), &[], "");
    assert_eq!((status, headers.get("set-cookie")), (200, None), "there is no token");
    by_the_verb(&edge, folder.path());
    assert_eq!(http("DELETE", &url, &[], ""), (200, json!({"sid": SID}).to_string()));
    assert!(!file.exists());
    assert_eq!((http("GET", &format!("{url}/audio"), &[], "").0, http("DELETE", &url, &[], "").0), (410, 410));
    assert_eq!(edge.json(&format!("/v1/recordings/{SID}"))["state"], "deleted");
    assert_eq!(http("GET", &format!("{url}/peaks"), &[], "").0, 410, "what was read before is not shown");
    assert_eq!(edge.get("/v1/recordings/RE1").0, 404);
    assert_eq!(http("POST", &format!("{}/v1/recordings/RE1/listen", edge.url()), &[], "").0, 404);
    assert_eq!(edge.get("/v1/recordings?since=yesterday").0, 400);
}

/// Encrypts the file of a recording that a crash has cut, as the edge does with `key`; returns the configuration with
/// the key, and the file.
fn sealed(text: &str, state: &Path, plain: &Path) -> (String, PathBuf) {
    let identity = AgeIdentity::from_secret([7; 32]).unwrap();
    let mut file = Vec::new();
    let mut sealer = Sealer::new(identity.recipient(), &FileRandomness::new([9; 64]), &mut file).unwrap();
    let mut contents = std::fs::read(plain).unwrap();
    contents.resize(80 + 1000 * 640, 0x11);
    sealer.push(&contents, &mut file);
    sealer.finish(&mut file);
    let path = plain.with_extension("wav.age");
    std::fs::rename(plain, &path).unwrap();
    std::fs::write(&path, file).unwrap();
    let store = Connection::open(state.join("trunkgate.db")).unwrap();
    store.execute("UPDATE recording SET is_encrypted = 1, path = path || '.age'", ()).unwrap();
    (text.replace("[recording]\n", &format!("[recording]\nkey = '{}'\n", identity.reveal())), path)
}

#[test]
fn a_damaged_file_is_an_error_before_its_audio_or_ends_it_and_is_said_to_be_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let (text, kept, plain) = cut_by_a_crash(folder.path());
    let (text, file) = sealed(&text, kept.path(), &plain);
    let edge = Process::start_with(&text, &[("STATE_DIRECTORY", kept.path().to_str().unwrap())]);
    let url = format!("{}/v1/recordings/{SID}/audio", edge.url());
    until("it is completed", || (edge.json(&format!("/v1/recordings/{SID}"))["state"] == "completed").then_some(()));
    let get = |range: &str| http("GET", &url, &[("Range", range)], "");
    assert_eq!(get("bytes=0-3"), (206, "RIFF".to_owned()));
    let whole = std::fs::read(&file).unwrap();
    let damage = |place: usize| {
        let mut bytes = whole.clone();
        bytes[place..place + 4].copy_from_slice(b"XXXX");
        std::fs::write(&file, bytes).unwrap();
    };
    let export = || {
        let finished =
            finish(&["recordings", "--url", &edge.url(), "export", SID, "-o", folder.path().to_str().unwrap()]);
        assert!(!folder.path().join(format!("{SID}.wav")).exists(), "no part of it passes for the whole");
        (finished.status.code(), String::from_utf8(finished.stderr).unwrap())
    };
    damage(1000);
    for (status, body) in [get("bytes=0-10"), get("bytes=0-"), http("GET", &url, &[], "")] {
        assert!(status == 503 && body.contains("recordings_unreadable") && body.contains("damaged"), "{status} {body}");
    }
    assert_eq!(get("bytes=200000-200003").0, 206, "this part is whole");
    let (code, error) = export();
    assert!(code == Some(1) && error.contains(SID) && error.contains("damaged or incomplete (503)"), "{error}");
    // This damage is after the beginning of the file.
    damage(300_000);
    assert_eq!(get("bytes=0-3").0, 206);
    let (code, error) = export();
    assert!(code == Some(1) && error.contains("the stored file is damaged"), "{error}");
    edge.signal(nix::sys::signal::Signal::SIGTERM);
    let log = edge.end().2;
    assert!(log.contains(&format!("the audio of recording {SID} was sent incompletely: ")), "{log}");
}

#[test]
fn a_cookie_opens_the_audio_of_one_recording_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let (text, kept, _) = cut_by_a_crash(folder.path());
    let text = text.replace("[http]\n", "[http]\ntoken = 'hunter2'\n");
    assert!(text.contains("hunter2"));
    let edge = Process::start_with(&text, &[("STATE_DIRECTORY", kept.path().to_str().unwrap())]);
    let url = format!("{}/v1/recordings/{SID}", edge.url());
    let token = [("Authorization", "Bearer hunter2")];
    until("it is completed", || http("GET", &url, &token, "").1.contains("completed").then_some(()));
    assert_eq!(http("POST", &format!("{url}/listen"), &[], "").0, 401);
    let (status, headers, body) = http_with_headers("POST", &format!("{url}/listen"), &token, "");
    assert_eq!((status, body), (200, json!({"seconds": 3600, "sid": SID}).to_string()));
    let set = headers["set-cookie"].to_str().unwrap();
    let (cookie, attributes) = set.split_once("; ").unwrap();
    assert_eq!(attributes, format!("Path=/v1/recordings/{SID}/audio; Max-Age=3600; HttpOnly; SameSite=Strict"));
    assert!(!set.contains("hunter2"));
    let by_cookie = |method: &str, url: &str| http(method, url, &[("Cookie", cookie), ("Range", "bytes=0-3")], "").0;
    assert_eq!(by_cookie("GET", &format!("{url}/audio")), 206);
    assert_eq!(http("GET", &format!("{url}/audio"), &[], "").0, 401);
    let other = format!("{}/v1/recordings/{}/audio", edge.url(), SID.replace('0', "1"));
    for (method, url) in [("GET", &url), ("DELETE", &url), ("GET", &format!("{url}/peaks")), ("GET", &other)] {
        assert_eq!(by_cookie(method, url), 401, "{method} {url}");
    }
    assert_eq!(http("GET", &format!("{url}/audio"), &[("Cookie", &format!("{cookie}0"))], "").0, 401);
}

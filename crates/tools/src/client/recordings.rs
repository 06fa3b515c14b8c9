//! `recordings`: lists, exports, verifies and deletes recordings of a running edge.

use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use hyper::Method;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{
    EdgeTarget, LAST, NOT_AN_EDGE, PATIENCE, SID_CHARS, escape, exchange_part, only, parsed, print, raw, request, say,
    say_bytes, talk,
};
use crate::cli::{EdgeArgs, RecordingListing, RecordingVerb};
use crate::progress::ProgressOutput;
use trunkgate_system::clock;
use trunkgate_system::text::{number, span};
use trunkgate_system::{files, terminal};

/// Default number of recordings listed.
const SHOWN: usize = 100;
/// Maximum number of recordings in one request.
const PAGE: usize = 1_000;
/// Size of the audio range fetched by one request, in bytes.
const PART_BYTES: u64 = 8 << 20;
/// Ending of the error for a range beyond the end of the audio (HTTP 416).
const OUTSIDE: &str = "(416)";
/// Ending of the error for audio that the edge cannot read (HTTP 503).
const UNREADABLE: &str = "(503)";
/// Column heads of the table; explained by `help`.
pub(super) const RECORDING_HEADS: [&str; 8] =
    ["RECORDING", "STATE", "STARTED", "LENGTH", "FORMAT", "MISSING", "SOURCE", "CALL"];
/// Value of `--output` for standard output.
const STDOUT: &str = "-";

/// Runs `recordings [ls]`, `show SID`, `export SID…`, `verify [SID…]` and `delete SID…`.
pub fn recordings(config: Option<&Path>, remote: &EdgeArgs, json: bool, what: RecordingVerb) -> ExitCode {
    talk(config, remote, async |edge| match what {
        RecordingVerb::Ls(listing) => {
            let ListedRecordings { recordings, unlisted } = listed(edge, &listing).await?;
            let named = files_of_none(&unlisted);
            let answer = answer(&recordings, unlisted);
            Ok(if json { raw(&answer) } else { table(&answer, terminal::width()) + &named })
        }
        RecordingVerb::Show { sid } => {
            let recording = found(edge, &sid).await?;
            Ok(if json { raw(&recording) } else { details(&recording) })
        }
        RecordingVerb::Export { sids, output } => export(edge, &sids, output.as_deref(), json).await,
        RecordingVerb::Verify { sids } => verify(edge, &sids, json).await,
        RecordingVerb::Delete { sids } => delete(edge, &sids, json).await,
    })
}

/// Returns a table of recordings; if it is wider than the terminal, sentences.
fn table(answer: &Value, width: Option<usize>) -> String {
    let answer = &terminal::harmless_json(answer);
    let mut rows = vec![RECORDING_HEADS.map(str::to_owned).to_vec()];
    rows.extend(answer["recordings"].as_array().into_iter().flatten().map(|one| {
        let lost = one["lost_ms"].as_u64().filter(|lost| *lost > 0);
        let channels = if one["channels"] == 2 { "dual" } else { "mono" };
        let encrypted = if one["encrypted"] == true { ", encrypted" } else { "" };
        vec![
            print::shown(&one["sid"]),
            print::shown(&one["state"]),
            print::started(one, clock::now()),
            length(one, clock::now()),
            format!("{} {channels}{encrypted}", print::shown(&one["format"])),
            lost.map_or_else(|| "–".to_owned(), |lost| format!("{:.1} s", lost as f64 / 1e3)),
            print::shown(&one["source"]),
            print::shown(&one["call_sid"]),
        ]
    }));
    if rows.len() == 1 { "no recordings\n".to_owned() } else { print::fitting(&rows, width) }
}

/// Returns the length of a recording; for an active one, the time since its start.
fn length(one: &Value, now: Timestamp) -> String {
    let started = one["started_at"].as_str().filter(|_| one["state"] == "in-progress");
    let seconds = match started.and_then(|started| started.parse::<Timestamp>().ok()) {
        Some(started) => u64::try_from(now.duration_since(started).as_secs()).unwrap_or(0),
        None => one["duration_ms"].as_u64().unwrap_or(0).div_ceil(1000),
    };
    span(seconds)
}

/// Returns all fields of a recording, one per line.
fn details(recording: &Value) -> String {
    let recording = terminal::harmless_json(recording);
    let fields = recording.as_object().into_iter().flatten().filter(|(_, value)| !value.is_array());
    let fields = fields.map(|(key, value)| format!("{key:<14} {}\n", print::shown(value)));
    let transcriptions = recording["transcriptions"].as_array().into_iter().flatten().map(|one| {
        let what = ["text", "error"].into_iter().find_map(|key| one[key].as_str()).unwrap_or("–");
        format!("{:<14} {}: {what}\n", "transcription", print::shown(&one["state"]))
    });
    fields.chain(transcriptions).collect()
}

/// List of recordings received from the edge.
struct ListedRecordings {
    recordings: Vec<Value>,
    /// Files in the recordings directory that belong to no recording; null if there are none.
    unlisted: Value,
}

/// Returns the recordings that match the filters, newest first.
async fn listed(edge: &EdgeTarget, listing: &RecordingListing) -> Result<ListedRecordings, String> {
    let RecordingListing { call, voicemail, since, until, limit } = listing;
    let limit = limit.unwrap_or(SHOWN);
    let filters = [("call", call), ("voicemail", voicemail), ("since", since), ("until", until)];
    let filters = filters.iter().filter_map(|(key, value)| Some(format!("&{key}={}", escape(value.as_deref()?))));
    let filters: String = filters.collect();
    let (mut all, mut unlisted) = (Vec::<Value>::new(), Value::Null);
    while all.len() < limit {
        let wanted = PAGE.min(limit - all.len());
        let after = all.last().and_then(|last| last["sid"].as_str()).map(|sid| format!("&after={}", escape(sid)));
        let path = format!("/v1/recordings?limit={wanted}{filters}{}", after.unwrap_or_default());
        let mut page = parsed(&request(edge, Method::GET, &path, None).await?)?;
        unlisted = page["unlisted"].take();
        let Some(page) = page["recordings"].as_array_mut() else {
            return Err(NOT_AN_EDGE.to_owned());
        };
        let is_last = page.len() < wanted;
        all.append(page);
        if is_last {
            break;
        }
    }
    Ok(ListedRecordings { recordings: all, unlisted })
}

/// Returns the `--json` output for recordings.
fn answer(recordings: &[Value], unlisted: Value) -> Value {
    let mut answer = json!({ "recordings": recordings });
    if !unlisted.is_null() {
        answer["unlisted"] = unlisted;
    }
    answer
}

/// Returns the line on files without a recording; empty if there are none.
fn files_of_none(unlisted: &Value) -> String {
    let unlisted = terminal::harmless_json(unlisted);
    let files = unlisted["files"].as_u64().and_then(|files| usize::try_from(files).ok());
    files.map_or_else(String::new, |files| {
        format!(
            "{} in the directory {} to no recording, for example {}\n",
            number(files, "file"),
            if files == 1 { "belongs" } else { "belong" },
            print::shown(&unlisted["example"])
        )
    })
}

/// Returns the recording given as a SID, as a prefix of one or as `last`; the error names the reason.
async fn found(edge: &EdgeTarget, written: &str) -> Result<Value, String> {
    if written.len() >= SID_CHARS {
        return parsed(&request(edge, Method::GET, &format!("/v1/recordings/{}", escape(written)), None).await?);
    }
    let limit = Some(if written == LAST { 1 } else { PAGE });
    let all = listed(edge, &RecordingListing { limit, ..RecordingListing::default() }).await?.recordings;
    if written == LAST {
        return all.into_iter().next().ok_or_else(|| "no recordings yet".to_owned());
    }
    let sid = only("recording", all.iter().filter_map(|one| one["sid"].as_str()), written)?;
    Ok(all.iter().find(|one| one["sid"] == sid).cloned().unwrap_or_default())
}

/// Returns the SID of a recording in a response. SIDs with other characters than letters and digits are rejected,
/// because the SID becomes a file name.
fn sid_of(recording: &Value) -> Result<&str, String> {
    let sid = recording["sid"].as_str().filter(|sid| sid.bytes().all(|c| c.is_ascii_alphanumeric()));
    sid.ok_or_else(|| format!("{NOT_AN_EDGE} (invalid recording SID)"))
}

/// Runs `recordings export`.
async fn export(edge: &EdgeTarget, written: &[String], output: Option<&Path>, json: bool) -> Result<String, String> {
    let is_directory = output.is_some_and(Path::is_dir);
    if written.len() > 1 && output.is_some() && !is_directory {
        let output = output.unwrap_or(Path::new("")).display().to_string();
        return Err(format!("--output {output} is not a directory: several recordings need one"));
    }
    let mut done = Vec::new();
    let mut progress = ProgressOutput::new();
    for written in written {
        let recording = found(edge, written).await?;
        let sid = sid_of(&recording)?;
        let name = format!("{sid}.{}", if recording["format"] == "opus" { "opus" } else { "wav" });
        if output == Some(Path::new(STDOUT)) {
            copy(edge, &recording, sid, &mut progress, |part| {
                say_bytes(part);
                Ok(())
            })
            .await?;
            continue;
        }
        let path: PathBuf = match output {
            Some(folder) if is_directory => folder.join(&name),
            Some(file) => file.to_owned(),
            None => name.into(),
        };
        let failed = |error: std::io::Error| format!("{}: {error}", path.display());
        let mut file = created(&path)?;
        let copied = copy(edge, &recording, sid, &mut progress, |part| file.write_all(part).map_err(failed)).await;
        // An incomplete file is removed, so that it is not mistaken for the whole recording.
        let bytes = copied.inspect_err(|_| drop(std::fs::remove_file(&path)))?;
        done.push(json!({ "sid": sid, "file": path.display().to_string(), "bytes": bytes }));
    }
    if json && output != Some(Path::new(STDOUT)) {
        return Ok(raw(&json!({ "recordings": done })));
    }
    Ok(done.iter().map(|one| format!("{} is written\n", print::shown(&one["file"]))).collect())
}

/// Creates the file of an exported recording. An existing file is not overwritten and symbolic links are not followed,
/// but an existing pipe (`/dev/stdout`) is opened.
fn created(path: &Path) -> Result<File, String> {
    let is_pipe = std::fs::metadata(path).is_ok_and(|about| about.file_type().is_fifo());
    let create = if is_pipe { files::create } else { files::create_new };
    create(path, files::CALL_DATA).map_err(|error| {
        let shown = path.display();
        if error.kind() == ErrorKind::AlreadyExists {
            format!("{shown} exists and is not overwritten: name another file or directory with --output")
        } else {
            format!("{shown}: {error}")
        }
    })
}

/// Returns the error for a recording that was not sent completely: a failed checksum if the edge reports one, otherwise
/// `error`.
async fn why_cut(edge: &EdgeTarget, sid: &str, error: String) -> String {
    let checked = request(edge, Method::POST, &format!("/v1/recordings/{sid}/verify"), None).await;
    match checked.and_then(|answer| parsed(&answer)) {
        Ok(answer) if answer["intact"] == false => {
            format!("{sid}: the stored file is damaged: it differs from its check sum, and not all of it can be read")
        }
        Ok(_) | Err(_) => error,
    }
}

/// Downloads the audio of a recording in parts and returns its size in bytes.
async fn copy(
    edge: &EdgeTarget,
    recording: &Value,
    sid: &str,
    progress: &mut ProgressOutput,
    mut take: impl FnMut(&[u8]) -> Result<(), String>,
) -> Result<u64, String> {
    let path = format!("/v1/recordings/{sid}/audio");
    let stored = recording["bytes"].as_u64().unwrap_or(0).max(1);
    let mut bytes = 0;
    loop {
        let range = Some((bytes, bytes + PART_BYTES - 1));
        let part = timeout(PATIENCE, exchange_part(edge, Method::GET, &path, None, range)).await;
        let part = match part.map_err(|_| format!("{sid}: the edge does not answer"))? {
            Err(error) if bytes > 0 && error.ends_with(OUTSIDE) => Vec::new(),
            // The edge's error already describes the problem.
            Err(error) if error.ends_with(UNREADABLE) => return Err(format!("{sid}: {error}")),
            Err(error) => return Err(why_cut(edge, sid, error).await),
            Ok(part) => part,
        };
        take(&part)?;
        bytes += part.len() as u64;
        if (part.len() as u64) < PART_BYTES {
            progress.done();
            return Ok(bytes);
        }
        progress.bar(sid, bytes as f64 / stored as f64);
    }
}

/// Runs `recordings verify`.
async fn verify(edge: &EdgeTarget, written: &[String], json: bool) -> Result<String, String> {
    let (mut recordings, mut unlisted) = (Vec::new(), Value::Null);
    for written in written {
        recordings.push(found(edge, written).await?);
    }
    if written.is_empty() {
        let all = RecordingListing { limit: Some(usize::MAX), ..RecordingListing::default() };
        ListedRecordings { recordings, unlisted } = listed(edge, &all).await?;
        // Damage includes recordings that a crash interrupted, but not active ones.
        recordings.retain(|one| one["state"] == "completed" || one["state"] == "incomplete");
    }
    let (mut done, mut damaged) = (Vec::new(), 0);
    let mut progress = ProgressOutput::new();
    for (at, recording) in recordings.iter().enumerate() {
        let sid = sid_of(recording)?;
        progress.bar(sid, at as f64 / recordings.len() as f64);
        let answer = request(edge, Method::POST, &format!("/v1/recordings/{sid}/verify"), None).await;
        let (intact, error) = match answer {
            Ok(answer) => (parsed(&answer)?["intact"].clone(), Value::Null),
            Err(error) => (Value::from(false), Value::from(error)),
        };
        if intact != true {
            damaged += 1;
            progress.done();
            if !json {
                let why = error.as_str().unwrap_or("the file differs from its check sum");
                say(&format!("{sid}  {}\n", terminal::harmless(why)));
            }
        }
        done.push(json!({ "sid": sid, "intact": intact, "error": error }));
    }
    progress.done();
    if json {
        say(&raw(&answer(&done, unlisted)));
    } else {
        say(&files_of_none(&unlisted));
    }
    match (damaged, json) {
        (0, true) => Ok(String::new()),
        (0, false) => Ok(format!("{} intact\n", number(done.len(), "recording"))),
        (damaged, _) => Err(format!("{damaged} of {} not intact", number(done.len(), "recording"))),
    }
}

/// Runs `recordings delete`.
async fn delete(edge: &EdgeTarget, written: &[String], json: bool) -> Result<String, String> {
    let mut done = Vec::new();
    for written in written {
        let recording = found(edge, written).await?;
        let sid = sid_of(&recording)?;
        request(edge, Method::DELETE, &format!("/v1/recordings/{sid}"), None).await?;
        if !json {
            say(&format!("{sid} is deleted\n"));
        }
        done.push(json!({ "sid": sid }));
    }
    Ok(if json { raw(&json!({ "recordings": done })) } else { String::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_that_is_being_made_is_as_long_as_it_has_lasted() {
        let now = "2026-11-26T12:01:30Z".parse().unwrap();
        let live = json!({ "state": "in-progress", "started_at": "2026-11-26T12:00:00.000Z", "duration_ms": 0 });
        assert_eq!(length(&live, now), span(90));
        let whole = json!({ "state": "completed", "started_at": "2026-11-26T12:00:00.000Z", "duration_ms": 1500 });
        assert_eq!(length(&whole, now), span(2));
    }
}

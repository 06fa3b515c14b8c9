//! `kill -9` of a recording edge: each file opens in ffprobe and lacks at most 1 s of its call; encrypted files open
//! with `age` after the next start and lack at most one more chunk.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;

use super::deploy_files::needs;
use crate::commands::output;
use crate::interop::Setting;
use crate::interop::edge::{self, Edge};

/// Kinds of files by format and encryption, with the seconds of audio in a chunk: 64 KiB of dual WAV, or of Ogg Opus.
const KINDS: [Kind; 4] = [
    Kind { format: "wav", is_encrypted: false, chunk_s: 0.0 },
    Kind { format: "opus", is_encrypted: false, chunk_s: 0.0 },
    Kind { format: "wav", is_encrypted: true, chunk_s: 2.048 },
    Kind { format: "opus", is_encrypted: true, chunk_s: 13.2 },
];
/// Maximum seconds of a call that a file may lack after a crash.
const LOST_S: f64 = 1.0;
const CALLERS: &str = "127.0.0.2:15060";
const CALLEES: &str = "127.0.0.3:15060";
const PATIENCE: Duration = Duration::from_secs(30);

struct Kind {
    format: &'static str,
    is_encrypted: bool,
    chunk_s: f64,
}

/// Folder of an edge that is killed and restarted.
struct Place {
    folder: tempfile::TempDir,
    kind: &'static Kind,
}

/// Process that makes calls to an edge, killed on drop.
struct Load(Child);

impl Drop for Load {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Returns a random part of a duration.
fn part_of(time: Duration) -> Duration {
    let random = RandomState::new().hash_one(SystemTime::now()) % 10_000;
    time * u32::try_from(random).unwrap_or(0) / 10_000
}

fn seconds(at: &Value) -> anyhow::Result<f64> {
    let at: jiff::Timestamp = at.as_str().context("a time")?.parse()?;
    Ok(at.as_millisecond() as f64 / 1e3)
}

fn now() -> anyhow::Result<f64> {
    Ok(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs_f64())
}

/// Kills the edge at random times, with each kind of file in turn.
pub(crate) fn run(setting: &Setting) -> anyhow::Result<String> {
    if let Some(skipped) = needs(&[("ffprobe", "ffmpeg"), ("age", "age")]) {
        return Ok(skipped);
    }
    let (kills, calls) = (setting.calls(100, 4), setting.calls(50, 10));
    let (mut files, mut worst) = (0, [0.0_f64; 2]);
    for kill in 0..kills {
        let kind = KINDS.get(kill as usize % KINDS.len()).context("a kind")?;
        let place = Place::new(kind)?;
        let longest = Duration::from_secs(if kind.is_encrypted { 7 } else { 3 });
        let lengths = place.kill(calls, part_of(longest)).with_context(|| format!("kill {kill}, {}", kind.format))?;
        if setting.sabotage {
            place.cut()?;
        }
        if !kind.is_encrypted {
            let lost = place.judge(&lengths, LOST_S).with_context(|| format!("kill {kill}, {}", kind.format))?;
            worst[0] = worst[0].max(lost);
        }
        place.complete().with_context(|| format!("kill {kill}, {}: the next start", kind.format))?;
        let lost = place.judge(&lengths, LOST_S + kind.chunk_s);
        let lost = lost.with_context(|| format!("kill {kill}, {}: after the next start", kind.format))?;
        worst[usize::from(kind.is_encrypted)] = worst[usize::from(kind.is_encrypted)].max(lost);
        files += lengths.len();
    }
    let [plain, encrypted] = worst;
    Ok(format!(
        "{kills} kills with {calls} calls each, {files} files: each opens; at most {plain:.2} s are missing, of encrypted ones {encrypted:.2} s"
    ))
}

impl Place {
    fn new(kind: &'static Kind) -> anyhow::Result<Place> {
        let folder = tempfile::tempdir()?;
        if kind.is_encrypted {
            output(Command::new("age-keygen").arg("-o").arg(folder.path().join("recording.key")))?;
        }
        Ok(Place { folder, kind })
    }

    fn recordings(&self) -> PathBuf {
        self.folder.path().join("recordings")
    }

    fn start(&self) -> anyhow::Result<Edge> {
        let key = self.folder.path().join("recording.key");
        let key = format!("key = {{ file = {:?} }}\n", key.display().to_string());
        let configuration = format!(
            "[limits]\ncalls_per_second = 0\n[recording]\ndirectory = {:?}\nformat = {:?}\n{}\
             [trunk.callers]\npeers = [\"sip:{CALLERS}\"]\noptions_interval = \"0s\"\n\
             [trunk.callees]\npeers = [\"sip:{CALLEES}\"]\noptions_interval = \"0s\"\n\
             [[route]]\nfrom = [\"callers\"]\nconnect = [\"trunk:callees\"]\nrecord = true\n",
            self.recordings().display().to_string(),
            self.kind.format,
            if self.kind.is_encrypted { key.as_str() } else { "" },
        );
        let mut command = Command::new(edge::binary());
        command.env("STATE_DIRECTORY", self.folder.path());
        Edge::start_by(command, &configuration)
    }

    /// Records calls, and kills the edge this long after the first recording begins. Returns the length of each
    /// recording at that time in seconds, by SID.
    fn kill(&self, calls: u32, after: Duration) -> anyhow::Result<BTreeMap<String, f64>> {
        let mut edge = self.start()?;
        let load = Command::new(edge::binary())
            .args(["loadtest", "--to", &format!("sip:+14155550123@{}", edge.udp), "--bind", CALLERS])
            .args(["--answer", CALLEES, "--calls", &calls.to_string(), "--cps", &(2 * calls).to_string()])
            .args(["--duration", "30s", "--hold", "30s"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let _load = Load(load);
        let live = |edge: &Edge| -> anyhow::Result<Vec<Value>> {
            let list: Value = serde_json::from_str(&edge.get("/v1/recordings?limit=1000")?)?;
            Ok(list["recordings"].as_array().cloned().unwrap_or_default())
        };
        edge.wait_until("a recording begins", PATIENCE, |edge| Ok(!live(edge)?.is_empty()))?;
        std::thread::sleep(after);
        let (list, at) = (live(&edge)?, now()?);
        edge.signal(Signal::SIGKILL)?;
        let lengths = list
            .iter()
            .map(|one| Ok((one["sid"].as_str().context("sid")?.to_owned(), at - seconds(&one["started_at"])?)));
        let lengths = lengths.collect::<anyhow::Result<_>>()?;
        edge.gone()?;
        Ok(lengths)
    }

    /// Restarts the edge and waits until no recording is in progress.
    fn complete(&self) -> anyhow::Result<()> {
        let mut edge = self.start()?;
        edge.wait_until("recordings are complete", PATIENCE, |edge| {
            Ok(!edge.get("/v1/recordings?limit=1000")?.contains("\"in-progress\""))
        })?;
        edge.end()
    }

    /// Returns the paths of recordings' files, by name.
    fn files(&self) -> anyhow::Result<BTreeMap<String, PathBuf>> {
        let (mut folders, mut files) = (vec![self.recordings()], BTreeMap::new());
        while let Some(folder) = folders.pop() {
            // An edge that has just started may have no folder yet.
            for entry in std::fs::read_dir(&folder).into_iter().flatten() {
                let path = entry?.path();
                if path.is_dir() {
                    folders.push(path);
                } else if let Some(name) = path.file_name().and_then(|name| name.to_str()) {
                    files.insert(name.to_owned(), path);
                }
            }
        }
        Ok(files)
    }

    /// Returns the length of the audio in a file, which is decrypted if necessary.
    fn length(&self, file: &Path) -> anyhow::Result<f64> {
        let clear = self.folder.path().join("clear");
        let file = if self.kind.is_encrypted {
            let key = self.folder.path().join("recording.key");
            output(Command::new("age").arg("-d").arg("-i").arg(key).arg("-o").arg(&clear).arg(file))?;
            clear.as_path()
        } else {
            file
        };
        let said = output(
            Command::new("ffprobe")
                .args(["-v", "error", "-count_packets", "-select_streams", "a:0"])
                .args(["-show_entries", "stream=duration,channels:format=duration", "-of", "json"])
                .arg(file),
        )?;
        let said: Value = serde_json::from_str(&said)?;
        ensure!(said["streams"][0]["channels"] == 2, "{said}");
        let duration = said["format"]["duration"].as_str().or(said["streams"][0]["duration"].as_str());
        Ok(duration.unwrap_or("0").parse()?)
    }

    /// Returns the most that a file lacks, in seconds; fails if a file does not open or lacks more than `may_lack`.
    fn judge(&self, lengths: &BTreeMap<String, f64>, may_lack: f64) -> anyhow::Result<f64> {
        let (files, mut worst) = (self.files()?, 0.0_f64);
        for (sid, length) in lengths {
            let named = files.range(sid.clone()..).next().filter(|(name, _)| name.starts_with(sid));
            let has = match named {
                Some((_, file)) => match self.length(file) {
                    Ok(has) => has,
                    // The file of such a short call may consist of a header only.
                    Err(_) if *length <= may_lack => 0.0,
                    Err(error) => return Err(error.context(format!("{sid} of {length:.2} s"))),
                },
                None => 0.0,
            };
            ensure!(length - has <= may_lack, "{sid}: {has:.2} s of {length:.2} s");
            worst = worst.max(length - has);
        }
        Ok(worst)
    }

    /// Truncates each file to a third of its length.
    fn cut(&self) -> anyhow::Result<()> {
        for path in self.files()?.values() {
            let file = std::fs::File::options().write(true).open(path)?;
            file.set_len(file.metadata()?.len() / 3)?;
        }
        Ok(())
    }
}

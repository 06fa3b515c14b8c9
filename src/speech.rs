//! Text to audio (`[speech]`), when the configuration is loaded: no call ever waits for it. What was said once is not said
//! again while somebody uses it.

use std::collections::HashMap;
use std::io::Read;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use sha2::{Digest as _, Sha256};

use crate::audio::{self, Most, Use};
use crate::config::{Announcement, Config};
use crate::limits::{ANNOUNCEMENT_SECONDS, SPEECH_AT_ONCE, SPEECH_BYTES, SPEECH_COMPLAINT_BYTES, SPEECH_SECONDS};

/// The voice where none is written.
const VOICE: &str = "en-us";
/// How often a program that has closed its output is asked whether it has ended.
const LOOK: Duration = Duration::from_millis(5);

/// Audio by what was said, and how.
type Spoken = HashMap<[u8; 32], Weak<[u8]>>;

/// What is in use of all that was said.
static SPOKEN: LazyLock<Mutex<Spoken>> = LazyLock::new(Mutex::default);

/// The process ends: nobody waits for a program any more.
static STOPPED: AtomicBool = AtomicBool::new(false);

/// Ends the programs that run.
pub(crate) fn stop() {
    STOPPED.store(true, Ordering::Relaxed);
}

/// Has every announcement of a configuration said that is to come in force, and gives it to its agent. What went wrong is in
/// the log. Blocks, for [`SPEECH_SECONDS`] at most.
pub(crate) fn speak(config: &mut Config) {
    for fault in attempt(config) {
        tracing::warn!("callers hear the ringback tone instead: {fault}");
    }
}

/// The same; what went wrong, a sentence for each.
pub(crate) fn attempt(config: &mut Config) -> Vec<String> {
    let Some(command) = config.speech.clone() else { return Vec::new() };
    let until = Instant::now() + Duration::from_secs(SPEECH_SECONDS);
    let announcements = std::mem::take(&mut config.announcements);
    let mut faults = Vec::new();
    for (announcement, said) in announcements.iter().zip(say_all(&command, &announcements, until)) {
        let agent = config.agents.iter_mut().find(|agent| *agent.name == *announcement.agent);
        match (said, agent.and_then(|agent| agent.hold.as_mut())) {
            (Ok(codes), Some(hold)) => hold.first = Some(codes),
            (Ok(_), None) => {}
            (Err(what), _) => faults.push(format!("`hold` of agent {}: {what}", announcement.agent)),
        }
    }
    config.announcements = announcements;
    faults
}

type Said = Result<Arc<[u8]>, String>;

/// Some at a time, in their order; all until then.
fn say_all(command: &[String], announcements: &[Announcement], until: Instant) -> Vec<Said> {
    let next = AtomicUsize::new(0);
    let some = || {
        let taken = std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed));
        let taken = taken.map_while(|at| Some((at, announcements.get(at)?)));
        taken.map(|(at, announcement)| (at, say(command, announcement, until))).collect::<Vec<_>>()
    };
    let mut said: Vec<(usize, Said)> = std::thread::scope(|scope| {
        let started: Vec<_> = (0..SPEECH_AT_ONCE.min(announcements.len())).map(|_| scope.spawn(some)).collect();
        started.into_iter().flat_map(|one| one.join().unwrap_or_default()).collect()
    });
    said.sort_unstable_by_key(|(at, _)| *at);
    said.into_iter().map(|(_, said)| said).collect()
}

/// One announcement, μ-law at 8 kHz.
fn say(command: &[String], announcement: &Announcement, until: Instant) -> Result<Arc<[u8]>, String> {
    let voice = announcement.voice.as_deref().unwrap_or(VOICE);
    let words: Vec<String> = command.iter().map(|word| fill(word, voice, &announcement.text)).collect();
    let mut hash = Sha256::new();
    for word in &words {
        hash.update((word.len() as u64).to_le_bytes());
        hash.update(word);
    }
    let key = <[u8; 32]>::from(hash.finalize());
    let spoken = || SPOKEN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = spoken().get(&key).and_then(Weak::upgrade) {
        return Ok(known);
    }
    let file = run(&words, until)?;
    let most = Most { bytes: SPEECH_BYTES, seconds: ANNOUNCEMENT_SECONDS };
    let name = words.first().cloned().unwrap_or_default();
    let codes = audio::mulaw_of(&file, most, Use::Once).map_err(|what| format!("{name} wrote no audio: {what}"))?;
    let mut spoken = spoken();
    spoken.retain(|_, codes| codes.strong_count() > 0);
    spoken.insert(key, Arc::downgrade(&codes));
    Ok(codes)
}

/// Puts voice and text where they belong; what they hold is not looked at again.
fn fill(word: &str, voice: &str, text: &str) -> String {
    // Where the text is a word by itself, none of its own may make an option of it.
    if word == "{text}" && text.starts_with('-') {
        return format!(" {text}");
    }
    let mut filled = String::new();
    let mut rest = word;
    while let Some(at) = rest.find('{') {
        let (before, from) = rest.split_at(at);
        filled.push_str(before);
        rest = if let Some(behind) = from.strip_prefix("{voice}") {
            filled.push_str(voice);
            behind
        } else if let Some(behind) = from.strip_prefix("{text}") {
            filled.push_str(text);
            behind
        } else {
            filled.push('{');
            from.get(1..).unwrap_or_default()
        };
    }
    filled + rest
}

/// What a program writes to its output. It and all that it has started are ended when their time is over.
fn run(words: &[String], until: Instant) -> Result<Vec<u8>, String> {
    let (name, rest) = words.split_first().ok_or("no program")?;
    let began = Instant::now();
    if began >= until {
        return Err(format!("{name} was not begun: the texts before took {SPEECH_SECONDS} s"));
    }
    let started = Command::new(name)
        .args(rest)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn();
    let mut child = started.map_err(|error| format!("{name} cannot be run: {error}"))?;
    let output = child.stdout.take().map(|from| gather(from, SPEECH_BYTES + 1));
    let complaint = child.stderr.take().map(|from| gather(from, SPEECH_COMPLAINT_BYTES));
    let file = output.and_then(|output| gathered(&output, until));
    let too_much = file.as_ref().is_some_and(|file| file.len() as u64 > SPEECH_BYTES);
    let status = if file.is_none() || too_much { None } else { ended(&mut child, until) };
    let Some(status) = status else {
        // The child has not been waited for: its group's number is its own.
        if let Ok(group) = i32::try_from(child.id()) {
            let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
        }
        let _ = child.wait();
        return Err(match too_much {
            true => format!("{name} wrote more than {} MiB", SPEECH_BYTES >> 20),
            false => format!("{name} was not done within {:.1} s", began.elapsed().as_secs_f32()),
        });
    };
    let file = file.unwrap_or_default();
    if status.success() {
        return Ok(file);
    }
    let complaint = complaint.and_then(|complaint| complaint.recv_timeout(LOOK * 20).ok()).unwrap_or_default();
    let complaint = String::from_utf8_lossy(&complaint);
    let line: String =
        complaint.trim().lines().next().unwrap_or_default().chars().filter(|c| !c.is_control()).collect();
    Err(format!("{name} failed ({status}){}{line}", if line.is_empty() { "" } else { ": " }))
}

/// What it returned, unless it goes on for too long.
fn ended(child: &mut Child, until: Instant) -> Option<std::process::ExitStatus> {
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if in_time(until) => std::thread::sleep(LOOK),
            Ok(None) | Err(_) => return None,
        }
    }
}

/// Whether it can still be waited for.
fn in_time(until: Instant) -> bool {
    Instant::now() < until && !STOPPED.load(Ordering::Relaxed)
}

fn gathered(from: &Receiver<Vec<u8>>, until: Instant) -> Option<Vec<u8>> {
    loop {
        match from.recv_timeout(LOOK) {
            Ok(bytes) => return Some(bytes),
            Err(RecvTimeoutError::Timeout) if in_time(until) => {}
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return None,
        }
    }
}

/// Keeps so much of what is written, on a thread of its own, which ends with what writes.
fn gather(from: impl Read + Send + 'static, most: u64) -> Receiver<Vec<u8>> {
    let (done, gathered) = channel();
    std::thread::spawn(move || {
        let (mut bytes, mut from) = (Vec::new(), from);
        let _ = from.by_ref().take(most).read_to_end(&mut bytes);
        // Who has lost patience does not want it.
        let _ = done.send(bytes);
        // What is not wanted is read all the same: a closed pipe would end the program.
        let _ = std::io::copy(&mut from, &mut std::io::sink());
    });
    gathered
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    fn run(words: &[String], patience: Duration) -> Result<Vec<u8>, String> {
        super::run(words, Instant::now() + patience)
    }

    fn say(command: &[String], announcement: &Announcement, patience: Duration) -> Said {
        super::say(command, announcement, Instant::now() + patience)
    }

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    fn announcement(text: &str) -> Announcement {
        Announcement { agent: "a".into(), text: text.to_owned(), voice: None }
    }

    #[test]
    fn placeholders_are_filled_once() {
        let fill = |word: &str, text: &str| fill(word, "de", text);
        assert_eq!(fill("{text}", "say {voice} and {text}"), "say {voice} and {text}");
        assert_eq!(fill("-v{voice}", "x"), "-vde");
        assert_eq!(fill("{voice}: {text}!", "{{x}"), "de: {{x}!");
        assert_eq!(fill("{txt} {", "x"), "{txt} {");
        assert_eq!(fill("{text}", "-f /etc/passwd"), " -f /etc/passwd");
    }

    #[test]
    fn the_text_is_one_word_and_no_shell_sees_it() {
        let text = "it's \"quoted\"; $(touch x) `y` \\ {voice} | & *";
        let said = run(&words(&["printf", "%s", text]), PATIENCE).unwrap();
        assert_eq!(said, text.as_bytes());
    }

    #[test]
    fn a_program_that_fails_hangs_or_never_stops_is_named() {
        let fault = |command: &[&str], patience| run(&words(command), patience).unwrap_err();
        assert!(fault(&["no-such-program-at-all"], PATIENCE).contains("cannot be run"));
        assert!(fault(&["printf", "\0"], PATIENCE).contains("cannot be run"));
        let failed = fault(&["sh", "-c", "echo no such voice >&2; exit 3"], PATIENCE);
        assert!(failed.contains("exit status: 3") && failed.ends_with(": no such voice"), "{failed}");
        // It and what it has started are gone, or the output would never end.
        let hangs = fault(&["sh", "-c", "sleep 1000 & sleep 1000"], Duration::from_millis(200));
        assert!(hangs.contains("not done within 0."), "{hangs}");
        let closed = fault(&["sh", "-c", "exec >&- 2>&-; sleep 1000"], Duration::from_millis(200));
        assert!(closed.contains("not done within"), "{closed}");
        assert!(fault(&["cat", "/dev/zero"], PATIENCE).contains("wrote more than 16 MiB"));
        let no_audio = say(&words(&["echo", "{text}"]), &announcement("hello"), PATIENCE).unwrap_err();
        assert!(no_audio.contains("echo wrote no audio"), "{no_audio}");
    }

    /// 200 kB of warnings, more than any pipe holds.
    #[test]
    fn a_program_may_complain_at_length() {
        let script = "yes careful | head -c 200000 >&2 && printf done";
        assert_eq!(run(&words(&["sh", "-c", script]), PATIENCE).unwrap(), b"done");
    }

    #[test]
    fn texts_share_one_time_and_are_said_side_by_side() {
        let texts: Vec<_> = ["1000", "0", "1000", "0", "0", "0"].into_iter().map(announcement).collect();
        let command = words(&["sh", "-c", "sleep $0; echo no audio", "{text}"]);
        let said = say_all(&command, &texts, Instant::now() + Duration::from_secs(2));
        let late = |said: &Said| said.as_ref().unwrap_err().contains("not done within");
        assert_eq!(said.iter().map(late).collect::<Vec<_>>(), [true, false, true, false, false, false]);
    }

    #[test]
    fn what_is_in_use_is_not_said_again() {
        let folder = tempfile::tempdir().unwrap();
        let wav = folder.path().join("said.wav");
        crate::wav::write(&wav, &[1000; 800]).unwrap();
        let script = format!("echo x >> {0}/runs; cat {0}/said.wav", folder.path().display());
        let command = words(&["sh", "-c", &script, "{text}"]);
        let one = say(&command, &announcement("one"), PATIENCE).unwrap();
        let again = say(&command, &announcement("one"), PATIENCE).unwrap();
        assert!(Arc::ptr_eq(&one, &again) && one.len() == 800);
        let runs = || std::fs::read_to_string(folder.path().join("runs")).unwrap().lines().count();
        assert_eq!(runs(), 1);
        say(&command, &announcement("two"), PATIENCE).unwrap();
        assert_eq!(runs(), 2);
    }
}

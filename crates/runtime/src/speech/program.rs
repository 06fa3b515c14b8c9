//! Program of `[speech] command`: run with a time limit.

use std::io::Read;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Instant;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use trunkgate_call::numbers::plain;

use super::{LOOK, SpeechFault, in_time};
use trunkgate_system::limits::{COMPLAINT_BYTES, COMPLAINT_CHARACTERS, SPEECH_BYTES};

/// Values of the placeholders in a program's arguments.
pub(super) struct PlaceholderValues<'a> {
    pub(super) voice: &'a str,
    pub(super) text: &'a str,
    /// Text as SSML.
    pub(super) ssml: &'a str,
}

impl PlaceholderValues<'_> {
    /// Replaces the placeholders in an argument by their values; placeholders within a value are not replaced.
    pub(super) fn fill(&self, word: &str) -> String {
        // A value that forms a whole argument must not be taken for an option.
        let alone = [("{text}", self.text), ("{voice}", self.voice)];
        if let Some((_, value)) = alone.iter().find(|(name, value)| *name == word && value.starts_with('-')) {
            return format!(" {value}");
        }
        let mut filled = String::new();
        let mut rest = word;
        while let Some(at) = rest.find('{') {
            let (before, from) = rest.split_at(at);
            filled.push_str(before);
            let values = [("{voice}", self.voice), ("{text}", self.text), ("{ssml}", self.ssml)];
            let found = values.iter().find_map(|(name, value)| Some((from.strip_prefix(name)?, *value)));
            let (behind, value) = found.unwrap_or((from.get(1..).unwrap_or_default(), "{"));
            filled.push_str(value);
            rest = behind;
        }
        filled + rest
    }
}

/// Runs a program and returns its output. The program and its children are killed at the deadline.
///
/// # Errors
/// Returns the failure: no start, no end before the deadline, an error exit status, or too much output.
pub(super) fn run(words: &[String], until: Instant) -> Result<Vec<u8>, SpeechFault> {
    let (name, rest) = words.split_first().ok_or_else(|| "no program".to_owned())?;
    let began = Instant::now();
    let started = Command::new(name)
        .args(rest)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn();
    let mut child = started.map_err(|error| format!("{name} cannot be run: {error}"))?;
    let output = child.stdout.take().map(|from| gather(from, SPEECH_BYTES + 1));
    let complaint = child.stderr.take().map(|from| gather(from, COMPLAINT_BYTES));
    let file = output.and_then(|output| gathered(&output, until));
    let too_much = file.as_ref().is_some_and(|file| file.len() as u64 > SPEECH_BYTES);
    let status = if file.is_none() || too_much { None } else { ended(&mut child, until) };
    let Some(status) = status else {
        // The child has not been waited for, so its process group id is still valid.
        if let Ok(group) = i32::try_from(child.id()) {
            let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
        }
        let _ = child.wait();
        let what = match too_much {
            true => format!("{name} wrote more than {} MiB", SPEECH_BYTES >> 20),
            false => format!("{name} did not finish within {:.1} s", began.elapsed().as_secs_f32()),
        };
        return Err(what.into());
    };
    let file = file.unwrap_or_default();
    if status.success() {
        return Ok(file);
    }
    let complaint = complaint.and_then(|complaint| complaint.recv_timeout(LOOK * 20).ok()).unwrap_or_default();
    let complaint = String::from_utf8_lossy(&complaint);
    let line = plain(complaint.trim().lines().next().unwrap_or_default(), COMPLAINT_CHARACTERS);
    let what = format!("{name} failed ({status}){}{line}", if line.is_empty() { "" } else { ": " });
    Err(SpeechFault { what, is_refusal: status.code().is_some() })
}

/// Waits for the program until the deadline; returns its exit status, or `None` at the deadline.
fn ended(child: &mut Child, until: Instant) -> Option<std::process::ExitStatus> {
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if in_time(until) => std::thread::sleep(LOOK),
            Ok(None) | Err(_) => return None,
        }
    }
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

/// Collects up to `most` bytes of output on a separate thread, which ends with the program.
fn gather(from: impl Read + Send + 'static, most: u64) -> Receiver<Vec<u8>> {
    let (done, gathered) = channel();
    std::thread::spawn(move || {
        let (mut bytes, mut from) = (Vec::new(), from);
        let _ = from.by_ref().take(most).read_to_end(&mut bytes);
        // The receiver may have given up.
        let _ = done.send(bytes);
        // Read the rest too, since a closed pipe would end the program.
        let _ = std::io::copy(&mut from, &mut std::io::sink());
    });
    gathered
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    fn run(words: &[String], patience: Duration) -> Result<Vec<u8>, String> {
        super::run(words, Instant::now() + patience).map_err(|fault| fault.what)
    }

    #[test]
    fn placeholders_are_filled_once() {
        let fill =
            |word: &str, text: &str| PlaceholderValues { voice: "de", text, ssml: "<speak>x</speak>" }.fill(word);
        assert_eq!(fill("{ssml}{text}", "{ssml}"), "<speak>x</speak>{ssml}");
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
        // The program and its children have ended, else the output would never end.
        let hangs = fault(&["sh", "-c", "sleep 1000 & sleep 1000"], Duration::from_millis(200));
        assert!(hangs.contains("did not finish within 0."), "{hangs}");
        let closed = fault(&["sh", "-c", "exec >&- 2>&-; sleep 1000"], Duration::from_millis(200));
        assert!(closed.contains("did not finish within"), "{closed}");
        assert!(fault(&["cat", "/dev/zero"], PATIENCE).contains("wrote more than 16 MiB"));
    }

    /// 200 kB of warnings exceed the size of a pipe.
    #[test]
    fn a_program_may_complain_at_length() {
        let script = "yes careful | head -c 200000 >&2 && printf done";
        assert_eq!(run(&words(&["sh", "-c", script]), PATIENCE).unwrap(), b"done");
    }
}

//! Log lines on stderr: text on a terminal, otherwise JSON. A separate thread writes them, so that a blocked terminal
//! or pipe never blocks signalling. Lines that do not fit into its queue are dropped and counted.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Once, OnceLock};
use std::time::{Duration, Instant};

use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::Registry;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;
use trunkgate_call::io::LogLine;

use crate::limits;

/// Settings of `[log]`.
#[derive(Debug, Clone)]
pub struct LogSettings {
    /// Format: `auto`, `text` or `json`.
    pub format: String,
    /// Level from `error` to `trace`, or a filter.
    pub level: String,
    /// Whether numbers are shown in full.
    pub full_numbers: bool,
}

static FILTER: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();
static QUEUE: OnceLock<SyncSender<LogEntry>> = OnceLock::new();
static LOST: AtomicU64 = AtomicU64::new(0);
static PANICS: AtomicU64 = AtomicU64::new(0);

/// Entry in the queue of the thread that writes the log.
enum LogEntry {
    Line(Vec<u8>),
    Flush(SyncSender<()>),
}

/// Sets up the log of the process; a further call only changes the level. Returns true if these settings select text,
/// false if they select JSON.
pub fn init(log: &LogSettings) -> bool {
    let terminal = std::io::stderr().is_terminal();
    let (queue, lines) = sync_channel(limits::LOG_LINES);
    let text = match log.format.as_str() {
        "text" => true,
        "json" => false,
        _ => terminal,
    };
    if QUEUE.set(queue).is_err() {
        set_level(&log.level);
        return text;
    }
    let writer = std::thread::Builder::new().name("log".into()).spawn(move || write_lines(&lines));
    if let Err(error) = writer {
        eprintln!("trunkgate: the log thread cannot be started: {error}");
    }
    let (filter, handle) = reload::Layer::new(filter(&log.level));
    let _ = FILTER.set(handle);
    let registry = tracing_subscriber::registry().with(filter);
    let done = if text {
        let colour = terminal && std::env::var_os("NO_COLOR").is_none();
        let layer = tracing_subscriber::fmt::layer().with_target(false).with_ansi(colour).with_writer(StderrWriter);
        registry.with(layer).try_init()
    } else {
        let layer = tracing_subscriber::fmt::layer()
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .with_writer(StderrWriter);
        registry.with(layer).try_init()
    };
    if let Err(error) = done {
        eprintln!("trunkgate: no log: {error}");
    }
    text
}

/// Changes the log level of the running process. `$TRUNKGATE_LOG` takes precedence.
pub(crate) fn set_level(level: &str) {
    if let Some(handle) = FILTER.get()
        && let Err(error) = handle.reload(filter(level))
    {
        tracing::warn!("`level` of [log] is not in force, because the log level cannot be changed: {error}");
    }
}

/// Changes the log level, unless it is `None`, and calls `say` while the more verbose of the two levels applies, so
/// that its lines about the change are logged even if the log becomes quieter.
pub fn change_level(level: Option<&str>, say: impl FnOnce()) {
    let now = FILTER.get().and_then(|handle| handle.with_current(EnvFilter::max_level_hint).ok());
    let Some(level) = level else { return say() };
    let is_quieter = now.is_some_and(|now| filter(level).max_level_hint() < now);
    if is_quieter {
        say();
        set_level(level);
    } else {
        set_level(level);
        say();
    }
}

/// Rate limit for a repeated log line.
#[derive(Debug, Default)]
pub struct LogThrottle {
    said: Option<Instant>,
    held_back: u64,
}

impl LogThrottle {
    /// Decides on a line at this time: `None` if it must be suppressed, which is counted, otherwise a note to append to
    /// the line. The note is empty if no line was suppressed since the last one.
    pub fn due(&mut self, now: Instant) -> Option<String> {
        self.due_each(now, limits::COMPLAINT_SECONDS)
    }

    /// Decides on a line as [`LogThrottle::due`] does, for a limit of one line every `seconds`.
    pub fn due_each(&mut self, now: Instant, seconds: u64) -> Option<String> {
        let pause = Duration::from_secs(seconds);
        if self.said.is_some_and(|said| now.saturating_duration_since(said) < pause) {
            self.held_back += 1;
            return None;
        }
        self.said = Some(now);
        Some(match std::mem::take(&mut self.held_back) {
            0 => String::new(),
            more => format!(" ({more} similar suppressed)"),
        })
    }
}

/// Waits until all queued lines are written, but at most one second. Does not wait if the queue is full.
pub fn flush() {
    let (done, wait) = sync_channel(1);
    if QUEUE.get().is_some_and(|queue| queue.try_send(LogEntry::Flush(done)).is_ok()) {
        let _ = wait.recv_timeout(Duration::from_secs(1));
    }
}

/// Returns the number of log lines that were dropped because the writing thread was too slow.
pub fn lost() -> u64 {
    LOST.load(Ordering::Relaxed)
}

/// Returns the number of panics in this process, including caught ones.
pub fn panics() -> u64 {
    PANICS.load(Ordering::Relaxed)
}

/// Installs a panic hook that counts panics, and logs them with their location in place of the default message.
pub fn watch_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let former = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            PANICS.fetch_add(1, Ordering::Relaxed);
            if FILTER.get().is_some() {
                tracing::error!("panic: {info}");
            } else {
                former(info);
            }
        }));
    });
}

/// Logs an event of a call.
pub fn call_event(line: &LogLine) {
    let call = (!line.call.is_empty()).then(|| tracing::field::display(&line.call));
    let reason = line.reason.map(tracing::field::display);
    if line.warn {
        tracing::warn!(target: "trunkgate::call", call, reason, "{}", line.text);
    } else {
        tracing::info!(target: "trunkgate::call", call, reason, "{}", line.text);
    }
}

/// Returns the filter for a log level. `info`, `debug` and `trace` apply to this program, while its libraries log at
/// warn; `off`, `error` and `warn` apply to both. Other texts are filters; an invalid one counts as `info`.
fn filter(level: &str) -> EnvFilter {
    let level = std::env::var("TRUNKGATE_LOG").unwrap_or_else(|_| level.to_owned());
    let directives = match level.as_str() {
        "off" | "error" | "warn" => level,
        "info" | "debug" | "trace" => format!("warn,trunkgate={level}"),
        _ => level,
    };
    EnvFilter::try_new(&directives).unwrap_or_else(|_| EnvFilter::new("warn,trunkgate=info"))
}

/// Queues a line without blocking; if the queue is full, the line is dropped and counted.
fn queue_line(queue: Option<&SyncSender<LogEntry>>, line: &[u8]) {
    if queue.is_none_or(|queue| queue.try_send(LogEntry::Line(line.to_vec())).is_err()) {
        LOST.fetch_add(1, Ordering::Relaxed);
    }
}

fn write_lines(lines: &Receiver<LogEntry>) {
    let mut stderr = std::io::stderr();
    let mut text = Vec::new();
    while let Ok(entry) = lines.recv() {
        for entry in std::iter::once(entry).chain(lines.try_iter().take(limits::LOG_LINES)) {
            match entry {
                LogEntry::Line(line) => text.extend_from_slice(&line),
                LogEntry::Flush(done) => {
                    let _ = stderr.write_all(&std::mem::take(&mut text));
                    let _ = done.try_send(());
                }
            }
        }
        let _ = stderr.write_all(&text);
        text.clear();
        // The first line of a burst is written at once, the further ones together.
        std::thread::sleep(Duration::from_millis(limits::LOG_PAUSE_MILLISECONDS));
    }
}

/// Passes finished lines to the writing thread.
struct StderrWriter;

impl<'a> MakeWriter<'a> for StderrWriter {
    type Writer = StderrWriter;
    fn make_writer(&'a self) -> StderrWriter {
        StderrWriter
    }
}

impl Write for StderrWriter {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        queue_line(QUEUE.get(), line);
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complaint_is_said_seldom_and_counts_what_it_left_out() {
        let now = Instant::now();
        let pause = Duration::from_secs(limits::COMPLAINT_SECONDS);
        let mut seldom = LogThrottle::default();
        assert_eq!(seldom.due(now).as_deref(), Some(""));
        assert_eq!(seldom.due(now), None);
        assert_eq!(seldom.due(now + pause - Duration::from_millis(1)), None);
        assert_eq!(seldom.due(now + pause).as_deref(), Some(" (2 similar suppressed)"));
        assert_eq!(seldom.due(now + pause * 3).as_deref(), Some(""));
    }

    #[test]
    fn lines_that_nobody_writes_are_lost_and_counted() {
        let (queue, _lines) = sync_channel(limits::LOG_LINES);
        let before = lost();
        for _ in 0..limits::LOG_LINES + 3 {
            queue_line(Some(&queue), b"line\n");
        }
        assert!(lost() - before >= 3, "other tests may lose some too");
    }

    #[test]
    fn a_level_leaves_the_libraries_at_warn() {
        assert_eq!(filter("debug").to_string(), "trunkgate=debug,warn");
        assert_eq!(filter("error").to_string(), "error");
        assert_eq!(filter("trunkgate_sip=trace").to_string(), "trunkgate_sip=trace");
    }
}

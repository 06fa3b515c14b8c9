//! The SIPp process: arguments, end and output files. The load test starts SIPp without a shell, in its own process
//! group, and stops it after a timeout.

use std::ffi::OsString;
use std::fs::{DirBuilder, File};
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, Signal, killpg};
use nix::unistd::Pid;

use super::plan::ScenarioPlan;
use super::statistics::SippStatistics;
use trunkgate_boot::edge::seed;
use trunkgate_system::text::hex;
use trunkgate_system::{files, programs};

/// Name of the program.
const PROGRAM: &str = "sipp";
/// Time from SIGTERM to SIGKILL.
const GRACE: Duration = Duration::from_secs(3);
/// Margin of SIPp's own timeout, which applies if the load test is no longer there to stop it.
const OWN_TIMEOUT: Duration = Duration::from_secs(30);
/// Maximum size read of each output file of SIPp, in bytes.
const MOST_BYTES: u64 = 4 << 20;
/// Maximum number of statistics lines (1 to 2 KB each), so that the file fits into [`MOST_BYTES`].
const LINES: u64 = 1_000;
/// Maximum length of SIPp's error output in a message, in characters.
const COMPLAINT_CHARS: usize = 2_000;
/// Number of random bytes in the name of SIPp's directory.
const NAME_BYTES: usize = 8;
/// Names of SIPp's output files.
const STATISTICS: &str = "statistics.csv";
const ERRORS: &str = "errors.log";
const STDERR: &str = "stderr.log";

/// Exit codes of SIPp with a special meaning.
const EXIT_OK: i32 = 0;
const EXIT_CALLS_FAILED: i32 = 1;
const EXIT_INTERNAL_COMMAND: i32 = 97;
const EXIT_NO_CALLS: i32 = 99;
const EXIT_RTP_CHECK_FAILED: i32 = 253;
const EXIT_CANNOT_BIND: i32 = 254;

/// SIPp child process with its folder, timeout and stage of stopping.
#[derive(Debug)]
pub(super) struct SippProcess {
    child: Child,
    folder: PathBuf,
    began: Instant,
    timeout: Duration,
    stage: SippStage,
    /// Number of the user's stop signals that were already handled.
    stops: u32,
}

/// Stage of stopping SIPp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SippStage {
    Runs,
    /// SIPp was asked to place no further calls.
    Finishes,
    /// SIPp was sent SIGTERM at this time.
    Ending(Instant),
}

/// End of the SIPp process and its cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SippEnd {
    status: ExitStatus,
    /// Timeout that expired and stopped SIPp; `None` if SIPp ended by itself.
    timed_out: Option<Duration>,
    /// Whether the user stopped SIPp before its end.
    pub(super) is_cut: bool,
}

/// Private directory of SIPp's files, removed on drop.
#[derive(Debug)]
pub(super) struct TemporaryFolder {
    path: PathBuf,
}

impl TemporaryFolder {
    /// Creates a private directory in the system's temporary directory.
    pub(super) fn new() -> std::io::Result<TemporaryFolder> {
        let name = seed()?;
        let path = std::env::temp_dir().join(format!("trunkgate-sipp-{}", hex(&name[..NAME_BYTES])));
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(TemporaryFolder { path })
    }

    /// Returns the path of the directory.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// Returns the path of the installed `sipp`.
///
/// # Errors
/// Returns a message with the installation command if `sipp` is not installed.
pub(super) fn installed() -> Result<PathBuf, String> {
    programs::installed(PROGRAM).ok_or_else(|| {
        "--scenario needs SIPp: no absolute folder of PATH has a program `sipp`. Install it: `apt install sip-tester` \
         (Debian, Ubuntu), `dnf install sipp` (Fedora), else https://github.com/SIPp/sipp"
            .to_owned()
    })
}

impl SippProcess {
    /// Starts SIPp with its files in `folder`.
    ///
    /// # Errors
    /// Returns a message if SIPp cannot be started.
    pub(super) fn start(program: &Path, plan: &ScenarioPlan, folder: &Path) -> Result<SippProcess, String> {
        let failed = |error: std::io::Error| format!("{} cannot be run: {error}", program.display());
        let stderr = File::create(folder.join(STDERR)).map_err(failed)?;
        let mut command = Command::new(program);
        command.args(arguments(plan));
        let every = (plan.timeout.as_secs() / LINES).max(1).to_string();
        command.args(["-trace_stat", "-fd", &every, "-stf"]).arg(folder.join(STATISTICS));
        command.args(["-trace_err", "-error_file"]).arg(folder.join(ERRORS));
        // SIPp draws its screens on stdout.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr).process_group(0);
        // A child inherits blocked signals, so SIGTERM is unblocked before the start. SIGINT stays blocked, so that
        // none is lost meanwhile.
        let needed = SigSet::from(Signal::SIGTERM);
        let unblocked = needed.thread_unblock();
        let child = command.spawn().map_err(failed);
        unblocked.and_then(|()| needed.thread_block()).map_err(|error| failed(error.into()))?;
        Ok(SippProcess {
            child: child?,
            folder: folder.to_owned(),
            began: Instant::now(),
            timeout: plan.timeout,
            stage: SippStage::Runs,
            stops: 0,
        })
    }

    /// Returns how SIPp ended; `None` while it runs. Stops SIPp after its timeout or on the user's signals; the first
    /// of `stops` signals only stops new calls.
    ///
    /// # Errors
    /// Returns an error if the state of the process is unknown.
    pub(super) fn poll(&mut self, now: Instant, stops: u32) -> Result<Option<SippEnd>, String> {
        if let Some(status) = self.child.try_wait().map_err(|error| error.to_string())? {
            let is_over = self.stops == 0 && self.stage != SippStage::Runs;
            return Ok(Some(SippEnd { status, timed_out: is_over.then_some(self.timeout), is_cut: self.stops > 0 }));
        }
        match self.stage {
            SippStage::Runs if stops > 0 => {
                self.stops = stops;
                self.stage = SippStage::Finishes;
                self.signal(Signal::SIGUSR1);
            }
            SippStage::Runs | SippStage::Finishes
                if stops > 1 || now.saturating_duration_since(self.began) >= self.timeout =>
            {
                self.stage = SippStage::Ending(now);
                self.signal(Signal::SIGTERM);
            }
            SippStage::Ending(since) if now >= since + GRACE => self.signal(Signal::SIGKILL),
            SippStage::Runs | SippStage::Finishes | SippStage::Ending(_) => {}
        }
        Ok(None)
    }

    /// Returns the latest statistics; `None` before SIPp has written any.
    pub(super) fn statistics(&self) -> Option<SippStatistics> {
        SippStatistics::parse(&self.text(STATISTICS))
    }

    /// Returns the text of the file with failed calls, up to [`MOST_BYTES`].
    pub(super) fn errors(&self) -> String {
        self.text(ERRORS)
    }

    /// Returns SIPp's error output, each message once and without its date.
    pub(super) fn complaint(&self) -> String {
        complaint(&self.text(STDERR))
    }

    fn text(&self, name: &str) -> String {
        let bytes = files::read(&self.folder.join(name), MOST_BYTES).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Sends a signal to SIPp's process group, which exists until the process is waited for.
    fn signal(&self, signal: Signal) {
        let _ = killpg(Pid::from_raw(self.child.id().cast_signed()), signal);
    }
}

impl Drop for SippProcess {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.signal(Signal::SIGKILL);
            let _ = self.child.wait();
        }
    }
}

impl SippEnd {
    /// Returns the reason why SIPp could not run the scenario; `None` if it placed calls, ended normally or was
    /// stopped.
    pub(super) fn refusal(&self, calls: u64, complaint: &str) -> Option<String> {
        let code = self.status.code()?;
        let is_own = self.timed_out.is_none() && !self.is_cut;
        let is_normal = matches!(code, EXIT_OK | EXIT_INTERNAL_COMMAND | EXIT_NO_CALLS | EXIT_RTP_CHECK_FAILED);
        if calls > 0 || !is_own || is_normal {
            return None;
        }
        let hint = match code {
            _ if complaint.contains("bind") || code == EXIT_CANNOT_BIND => {
                "\nChoose a free local address with --bind ADDRESS:PORT."
            }
            _ if complaint.contains("rtpstream file") || complaint.contains("pcap") => {
                "\nSIPp looks for the files of a scenario in the directory in which the load test is started."
            }
            _ => "",
        };
        let complaint = if complaint.is_empty() { "no message" } else { complaint };
        Some(format!("sipp refuses to run the scenario (exit code {code}): {complaint}{hint}"))
    }

    /// Returns the reason why the results are incomplete; `None` if they are complete or the user stopped SIPp.
    pub(super) fn fault(&self, statistics: &SippStatistics, complaint: &str) -> Option<String> {
        if let Some(timeout) = self.timed_out {
            let calls = statistics.unfinished;
            return Some(format!(
                "sipp was ended after {} s (--timeout), with {calls} calls up",
                timeout.as_secs_f64()
            ));
        }
        if self.is_cut {
            return None;
        }
        match (self.status.code(), self.status.signal()) {
            (Some(EXIT_OK | EXIT_CALLS_FAILED | EXIT_INTERNAL_COMMAND), _) if statistics.attempted > 0 => None,
            (Some(EXIT_RTP_CHECK_FAILED), _) => Some("sipp's own check of RTP failed (exit code 253)".to_owned()),
            (Some(code), _) if statistics.attempted == 0 => Some(format!("sipp placed no call (exit code {code})")),
            (Some(code), _) => Some(format!("sipp failed (exit code {code}): {complaint}")),
            (None, signal) => Some(format!("sipp was ended by signal {}", signal.unwrap_or_default())),
        }
    }

    /// Returns the exit code of SIPp; `None` if a signal ended it.
    pub(super) fn code(&self) -> Option<i32> {
        self.status.code()
    }
}

/// Returns SIPp's arguments for a plan.
fn arguments(plan: &ScenarioPlan) -> Vec<OsString> {
    let (rate, period_ms) = rate(plan.base.interval);
    let local = plan.callers.ip().to_string();
    let mut words: Vec<OsString> = vec![plan.base.remote.to_string().into(), "-sf".into(), plan.file.clone().into()];
    let mut add = |flag: &str, value: String| words.extend([OsString::from(flag), OsString::from(value)]);
    add("-s", plan.number.clone());
    add("-i", local.clone());
    add("-mi", local);
    if plan.callers.port() > 0 {
        add("-p", plan.callers.port().to_string());
    }
    add("-m", plan.total.to_string());
    add("-l", plan.base.calls.to_string());
    add("-r", rate.to_string());
    add("-rp", period_ms.to_string());
    add("-d", plan.base.hold.as_millis().to_string());
    add("-timeout", format!("{}s", plan.timeout.saturating_add(OWN_TIMEOUT).as_secs()));
    if let Some(credentials) = &plan.base.credentials {
        add("-au", credentials.username.clone());
        add("-ap", credentials.password.clone());
    }
    words.extend(["-bind_local", "-nostdin"].map(OsString::from));
    words.extend(plan.further.iter().map(OsString::from));
    words
}

/// Returns the call rate as whole calls per period in milliseconds, because SIPp supports no fractions.
fn rate(interval: Duration) -> (u32, u64) {
    let per_second = interval.as_secs_f64().recip();
    // Compensates for the interval, which is rounded to nanoseconds.
    let calls = (per_second - 1e-3).ceil().max(1.0);
    (calls as u32, (calls / per_second * 1000.0).round() as u64)
}

/// Condenses SIPp's error output: without dates, hints and repeated lines, at most `COMPLAINT_CHARS` characters.
fn complaint(stderr: &str) -> String {
    let mut lines: Vec<&str> = Vec::new();
    for line in stderr.lines() {
        // 2026-11-28⇥18:53:45.166711⇥1795892025.166711: Unable to bind …
        let dated = line.rsplit_once('\t').and_then(|(_, rest)| rest.split_once(": "));
        let line = dated.filter(|(date, _)| date.parse::<f64>().is_ok()).map_or(line, |(_, rest)| rest).trim();
        let is_talk = line.starts_with("Resolving remote host") && line.ends_with("Done.");
        let is_hint = line.starts_with("There were more errors, see") || line.starts_with("Use 'sipp -h'");
        if !line.is_empty() && !is_talk && !is_hint && !lines.contains(&line) {
            lines.push(line);
        }
    }
    lines.join("\n").chars().filter(|sign| *sign == '\n' || !sign.is_control()).take(COMPLAINT_CHARS).collect()
}

/// Returns a local address with a free port for SIPp, so that an edge can be configured with it before SIPp runs.
pub(super) fn free_port(at: SocketAddr) -> std::io::Result<SocketAddr> {
    std::net::UdpSocket::bind(at)?.local_addr()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(code: i32) -> SippEnd {
        SippEnd { status: ExitStatus::from_raw(code << 8), timed_out: None, is_cut: false }
    }

    #[test]
    fn each_exit_code_has_its_meaning() {
        let calls = |attempted| SippStatistics { attempted, ..SippStatistics::default() };
        for code in [0, 1, 97] {
            assert_eq!((end(code).refusal(3, ""), end(code).fault(&calls(3), "")), (None, None), "{code}");
        }
        for (code, part) in
            [(0, "no call (exit code 0)"), (97, "(exit code 97)"), (99, "(exit code 99)"), (253, "check of RTP")]
        {
            assert_eq!(end(code).refusal(0, ""), None);
            let fault = end(code).fault(&calls(0), "").unwrap();
            assert!(fault.contains(part), "{fault}");
        }
        assert_eq!(end(253).fault(&calls(3), "").unwrap(), "sipp's own check of RTP failed (exit code 253)");
        assert_eq!(end(255).fault(&calls(3), "out of memory").unwrap(), "sipp failed (exit code 255): out of memory");
        // For an invalid scenario the exit code is 1 or 255, depending on the SIPp version.
        for code in [1, 255] {
            let refusal = end(code).refusal(0, "Unknown element 'sendd' in xml scenario file").unwrap();
            assert!(refusal.ends_with(&format!("(exit code {code}): Unknown element 'sendd' in xml scenario file")));
        }
        assert!(end(254).refusal(0, "Unable to bind main socket").unwrap().contains("--bind ADDRESS:PORT"));
        assert!(end(1).refusal(0, "Cannot read/cache rtpstream file tone.ul").unwrap().contains("directory in which"));
        assert!(end(255).refusal(0, "").unwrap().ends_with("no message"));
    }

    #[test]
    fn a_signal_and_a_timeout_are_faults_and_a_stop_is_none() {
        let calls = SippStatistics { attempted: 3, unfinished: 2, ..SippStatistics::default() };
        let killed = SippEnd { status: ExitStatus::from_raw(11), timed_out: None, is_cut: false };
        assert_eq!((killed.refusal(0, ""), killed.code()), (None, None));
        assert_eq!(killed.fault(&calls, "").unwrap(), "sipp was ended by signal 11");
        let late = SippEnd { timed_out: Some(Duration::from_secs(60)), ..end(0) };
        assert_eq!(late.fault(&calls, "").unwrap(), "sipp was ended after 60 s (--timeout), with 2 calls up");
        let cut = SippEnd { is_cut: true, ..end(99) };
        assert_eq!((cut.refusal(0, "x"), cut.fault(&SippStatistics::default(), "x")), (None, None));
    }

    #[test]
    fn complaints_are_shown_once_and_without_dates() {
        let stderr = "Resolving remote host '127.0.0.1'... Done.\n\
                      2026-11-28\t18:53:49.065786\t1795892029.065786: Unable to bind main socket, errno = 98 (Address already in use)\n\
                      2026-11-28\t18:53:49.065799\t1795892029.065799: Unable to bind main socket, errno = 98 (Address already in use)\n\
                      There were more errors, see 'errors.log' file\nUse 'sipp -h' for details\n\x1b[31m\n";
        assert_eq!(complaint(stderr), "Unable to bind main socket, errno = 98 (Address already in use)\n[31m");
        assert_eq!(complaint("").len(), 0);
        assert_eq!(complaint(&"x".repeat(9_000)).len(), COMPLAINT_CHARS);
    }

    #[test]
    fn rates_are_whole_calls() {
        let rate = |cps: f64| rate(Duration::from_secs_f64(1.0 / cps));
        assert_eq!([20.0, 3.0, 1.0, 0.5, 2.5].map(rate), [(20, 1000), (3, 1000), (1, 1000), (1, 2000), (3, 1200)]);
    }
}

//! Clock synchronization: the state of the time service, and the offset to the clocks of peers, from the Date of their
//! responses.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::findings::Finding;
use trunkgate_system::clock;

/// Time limit for a command of the time service.
const PATIENCE: Duration = Duration::from_secs(2);
/// Clock error above which a warning is given, in seconds, because call records of several machines are then out of
/// order.
const WARNED_SECONDS: f64 = 0.5;
/// Offset up to which two clocks count as equal, in milliseconds: a Date counts whole seconds, and the response was in
/// transit.
const SAME_MS: i64 = 1_500;
/// File that systemd-timesyncd touches whenever it has set the clock.
const TIMESYNC: &str = "/run/systemd/timesync/synchronized";
/// Age above which the file no longer proves synchronization: timesyncd sends requests at least every 34 minutes.
const TIMESYNC_AGE: Duration = Duration::from_secs(2 * 2_048);

/// State of clock synchronization.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Kept {
    /// The clock is synchronized, with a maximum error in seconds if known.
    Synchronised(Option<f64>),
    /// A time service runs, but has not synchronized the clock yet.
    NotYet,
    /// No time service is known, as in a container, which uses its host's clock.
    Unknown,
}

/// Offset of a peer's clock, from the Date of its response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Theirs {
    pub(super) trunk: String,
    pub(super) ahead_ms: i64,
}

/// Determines the synchronization from chronyd, else from systemd, else from the file of timesyncd.
pub(super) async fn kept() -> Kept {
    let chrony = said("chronyc", &["-c", "tracking"]).await.and_then(|text| of_chrony(&text));
    if let Some(kept) = chrony {
        return kept;
    }
    let systemd = said("timedatectl", &["show", "--property=NTPSynchronized", "--value"]).await;
    match systemd.as_deref().map(str::trim) {
        Some("yes") => Kept::Synchronised(None),
        Some("no") => Kept::NotYet,
        _ if is_fresh(Path::new(TIMESYNC)) => Kept::Synchronised(None),
        _ => Kept::Unknown,
    }
}

/// Returns the finding about this machine's clock.
pub(super) fn judge(kept: Kept, theirs: &[Theirs]) -> Finding {
    let (text, fix) = match kept {
        Kept::Synchronised(Some(seconds)) if seconds > WARNED_SECONDS => (
            format!("synchronized, maximum error {seconds:.1} s"),
            "use closer time servers: `chronyc sources` lists them",
        ),
        Kept::Synchronised(Some(seconds)) => {
            (format!("synchronized, maximum error {:.0} ms", (seconds * 1e3).ceil()), "")
        }
        Kept::Synchronised(None) => ("synchronized, accuracy unknown".to_owned(), ""),
        Kept::NotYet => ("not synchronized".to_owned(), "run `timedatectl set-ntp true`, or install chrony"),
        Kept::Unknown => {
            let text = "cannot be determined here (in a container the host keeps the clock)";
            (text.to_owned(), "run `timedatectl` or `chronyc tracking` (in a container: on the host)")
        }
    };
    let apart: Vec<&Theirs> = theirs.iter().filter(|one| one.ahead_ms.abs() > SAME_MS).collect();
    if let Some(worst) = apart.iter().max_by_key(|one| one.ahead_ms.abs()) {
        let (far, way) = (words(worst.ahead_ms.unsigned_abs()), if worst.ahead_ms > 0 { "ahead of" } else { "behind" });
        let text = format!("{text}; the one of {} is {far} {way} ours", worst.trunk);
        let fix = match (kept, apart.len() == theirs.len() && theirs.len() > 1) {
            (Kept::Synchronised(_), false) => "their clock seems wrong: contact the operator",
            _ => "run `timedatectl set-ntp true`, or install chrony",
        };
        return Finding::warn("clock", text, fix);
    }
    let text = match theirs.first() {
        Some(one) => format!("{text}; {} agrees to a second", one.trunk),
        None => text,
    };
    if fix.is_empty() { Finding::ok("clock", text) } else { Finding::warn("clock", text, fix) }
}

fn words(ms: u64) -> String {
    match ms / 1000 {
        seconds if seconds < 120 => format!("{seconds} s"),
        seconds if seconds < 7_200 => format!("{} min", seconds / 60),
        seconds if seconds < 172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

/// Parses the output of `chronyc -c tracking`. The maximum error is computed as described in chronyc(1).
fn of_chrony(text: &str) -> Option<Kept> {
    let fields: Vec<&str> = text.trim().split(',').collect();
    let number = |at: usize| fields.get(at)?.parse::<f64>().ok().filter(|number| number.is_finite());
    let (offset, delay, dispersion) = (number(4)?, number(10)?, number(11)?);
    match *fields.get(13)? {
        "Not synchronised" => Some(Kept::NotYet),
        _ => Some(Kept::Synchronised(Some(offset.abs() + dispersion + delay / 2.0))),
    }
}

fn is_fresh(sign: &Path) -> bool {
    let changed = sign.metadata().and_then(|found| found.modified());
    changed.is_ok_and(|changed| clock::wall().duration_since(changed).is_ok_and(|age| age < TIMESYNC_AGE))
}

/// Returns the output of a program; `None` if it does not exist, fails or takes too long.
async fn said(program: &'static str, arguments: &'static [&'static str]) -> Option<String> {
    let asked = spawn_blocking(move || {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stderr(Stdio::null());
        command.output().ok().filter(|output| output.status.success())
    });
    let output = timeout(PATIENCE, asked).await.ok()?.ok()??;
    String::from_utf8(output.stdout).ok()
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::findings::Level;

    const TRACKING: &str =
        "C0A80101,192.168.1.1,3,1795208400.1,-0.000012,-0.000003,0.00002,1.2,0.0,0.05,0.012,0.0005,64.2,Normal\n";

    fn theirs(ahead_ms: &[i64]) -> Vec<Theirs> {
        let named = ahead_ms.iter().zip(["carrier", "pbx"]);
        named.map(|(ahead_ms, trunk)| Theirs { trunk: trunk.into(), ahead_ms: *ahead_ms }).collect()
    }

    #[test]
    fn chronyd_says_how_well() {
        let Some(Kept::Synchronised(Some(bound))) = of_chrony(TRACKING) else { panic!() };
        assert!((bound - 0.006512).abs() < 1e-9, "{bound}");
        assert_eq!(of_chrony(&TRACKING.replace("Normal", "Not synchronised")), Some(Kept::NotYet));
        for broken in ["", "a,b", "506 Cannot talk to daemon", &TRACKING.replace("0.0005", "nan")] {
            assert_eq!(of_chrony(broken), None, "{broken}");
        }
        let found = judge(Kept::Synchronised(Some(bound)), &[]);
        assert_eq!((found.level, found.text.as_str()), (Level::Ok, "synchronized, maximum error 7 ms"));
        assert_eq!(judge(Kept::Synchronised(Some(2.0)), &[]).level, Level::Warn);
    }

    #[test]
    fn what_is_not_known_is_not_claimed() {
        let found = judge(Kept::Unknown, &theirs(&[400]));
        assert_eq!(found.level, Level::Warn);
        assert!(found.text.contains("cannot be determined here") && found.text.ends_with("carrier agrees to a second"));
        assert_eq!(judge(Kept::NotYet, &[]).text, "not synchronized");
        assert_eq!(judge(Kept::Synchronised(None), &[]).level, Level::Ok);
    }

    #[test]
    fn clocks_that_differ_are_told_with_whose_is_wrong() {
        let one = judge(Kept::Synchronised(Some(0.001)), &theirs(&[-183_000, 200]));
        assert_eq!(one.text, "synchronized, maximum error 1 ms; the one of carrier is 3 min behind ours");
        assert!(one.level == Level::Warn && one.fix.contains("the operator"));
        let all = judge(Kept::Synchronised(Some(0.001)), &theirs(&[60_000, 61_000]));
        assert!(all.text.ends_with("pbx is 61 s ahead of ours") && all.fix.contains("set-ntp"), "{all:?}");
        assert!(judge(Kept::Unknown, &theirs(&[60_000])).fix.contains("set-ntp"));
        assert_eq!([1_600, 200_000, 8_000_000, 900_000_000].map(words), ["1 s", "3 min", "2 h", "10 days"]);
    }

    #[test]
    fn a_sign_of_long_ago_is_none() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(is_fresh(file.path()));
        file.as_file().set_modified(SystemTime::now() - 2 * TIMESYNC_AGE).unwrap();
        assert!(!is_fresh(file.path()) && !is_fresh(Path::new("/nowhere")));
    }
}

//! Plan of a load test with a SIPp scenario: the validated flags.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::assertion::Metric;
use super::super::plan::{LoadTestPlan, OWN_NUMBER};
use super::document::SippScenario;
use crate::cli::LoadTest;
use trunkgate_config as config;

/// Default assertions, the second one for a scenario that sends audio to the callees of the test.
const ASSERTED: &str = "failed=0";
const AUDIBLE: &str = "failed=0,audible=100%";
/// Time allowed in addition to twice the planned time.
const MORE_TIME: Duration = Duration::from_secs(60);
/// SIPp arguments that the load test sets itself, with the flag that determines each.
const OURS: [(&str, &str); 15] = [
    ("-sf", "--scenario"),
    ("-sn", "--scenario"),
    ("-s", "the number in --to"),
    ("-i", "--bind"),
    ("-mi", "--bind"),
    ("-p", "--bind"),
    ("-m", "--total"),
    ("-l", "--calls"),
    ("-users", "--calls"),
    ("-r", "--cps"),
    ("-rp", "--cps"),
    ("-d", "--hold"),
    ("-timeout", "--timeout"),
    ("-au", "--username"),
    ("-ap", "--password-env"),
];
/// SIPp arguments that would hide its statistics, errors or end from the load test.
const NEEDED: [&str; 9] = [
    "-bg",
    "-fd",
    "-stf",
    "-trace_stat",
    "-stat_delimiter",
    "-trace_err",
    "-error_file",
    "-ringbuffer_size",
    "-ringbuffer_files",
];

/// Load test with a scenario, with validated flags.
#[derive(Debug)]
pub(super) struct ScenarioPlan {
    /// Settings shared with a load test without a scenario.
    pub(super) base: LoadTestPlan,
    pub(super) file: PathBuf,
    /// Called number.
    pub(super) number: String,
    /// Total number of calls.
    pub(super) total: u32,
    /// Time after which SIPp is stopped.
    pub(super) timeout: Duration,
    /// Local address of SIPp; with port 0 SIPp chooses the port.
    pub(super) callers: SocketAddr,
    /// Whether phones of the test are the callees; otherwise the edge leads to others.
    pub(super) has_callees: bool,
    /// Further arguments for SIPp.
    pub(super) further: Vec<String>,
}

impl ScenarioPlan {
    /// Validates the flags and reads the scenario file.
    ///
    /// # Errors
    /// Returns a message with the error and a fix.
    pub(super) fn new(verb: &LoadTest, file: &Path) -> Result<ScenarioPlan, String> {
        let scenario = SippScenario::read(file)?;
        let has_callees = verb.to.is_none() || verb.answer.is_some();
        if !has_callees && (verb.codec.is_some() || !verb.ring.is_zero()) {
            return Err("--ring and --codec are of the callees: add --answer ADDRESS:PORT".to_owned());
        }
        check_further(&verb.sipp, verb.to.is_none())?;
        let base = LoadTestPlan::new(verb, if scenario.sends_audio && has_callees { AUDIBLE } else { ASSERTED })?;
        let is_sipps = |metric: Metric| matches!(metric, Metric::Failed | Metric::Retransmissions);
        if let Some(odd) = base.assertions.iter().find(|one| !has_callees && !is_sipps(one.metric)) {
            return Err(format!("--assert {}: only callees measure that: add --answer ADDRESS:PORT", odd.text));
        }
        let number = match &verb.to {
            Some(uri) => config::sip_address(uri).map_err(|what| format!("--to: {what}"))?.user,
            None => OWN_NUMBER.to_owned(),
        };
        let total = verb.total.unwrap_or_else(|| (verb.cps * verb.duration.as_secs_f64()).ceil().max(1.0) as u32);
        Ok(ScenarioPlan {
            file: file.to_owned(),
            number,
            total,
            timeout: verb.timeout.unwrap_or_else(|| planned(&base, total).saturating_mul(2).saturating_add(MORE_TIME)),
            callers: base.shown(base.bound[0]),
            has_callees,
            further: verb.sipp.clone(),
            base,
        })
    }

    /// Returns the number of audio sockets, including those of calls that have just ended.
    pub(super) fn sockets(&self) -> usize {
        let ended = self.base.interval.as_secs_f64().recip().ceil() as usize;
        if self.has_callees { self.base.sockets() + ended } else { 0 }
    }
}

/// Returns the planned time for `total` calls, limited by the rate and by the number of concurrent calls.
fn planned(base: &LoadTestPlan, total: u32) -> Duration {
    let rounds = u64::from(total).div_ceil(base.calls as u64);
    let by_hold = base.hold.saturating_mul(u32::try_from(rounds).unwrap_or(u32::MAX));
    base.interval.saturating_mul(total).max(by_hold).saturating_add(base.hold)
}

/// Rejects SIPp arguments that the load test sets itself.
fn check_further(words: &[String], is_own_edge: bool) -> Result<(), String> {
    for word in words {
        let bare = word.strip_prefix('-').filter(|bare| bare.starts_with('-')).unwrap_or(word);
        if let Some((_, flag)) = OURS.iter().find(|(known, _)| *known == bare) {
            return Err(format!("{word} of sipp: use {flag}"));
        }
        if NEEDED.contains(&bare) {
            return Err(format!("{word} of sipp: the load test sets it itself"));
        }
        if bare == "-t" && is_own_edge {
            return Err("-t of sipp needs --to: the private edge uses UDP".to_owned());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, CliVerb};

    const CALLS: &str = "<scenario><send>x</send></scenario>";
    const AUDIO: &str = "<scenario><send>x</send><nop><action><exec rtp_stream=\"a.ul\"/></action></nop></scenario>";

    fn plan_of(scenario: &str, flags: &[&str]) -> Result<ScenarioPlan, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("scenario.xml");
        std::fs::write(&file, scenario).unwrap();
        let file = file.to_str().unwrap();
        let all = ["trunkgate", "loadtest", "--scenario", file].into_iter().chain(flags.iter().copied());
        let CliVerb::Loadtest(verb) = Cli::try_parse_from(all).map_err(|error| error.to_string())?.verb else {
            panic!("another verb")
        };
        ScenarioPlan::new(&verb, Path::new(file))
    }

    const TO: [&str; 2] = ["--to", "sip:+14155550123@127.0.0.1:5060"];

    #[test]
    fn calls_are_as_many_as_the_rate_places_in_the_duration() {
        let plan = plan_of(CALLS, &[]).unwrap();
        assert_eq!((plan.total, plan.base.calls, plan.base.hold), (50, 10, Duration::from_secs(2)));
        assert_eq!((plan.number.as_str(), plan.has_callees, plan.sockets()), (OWN_NUMBER, true, 33));
        // Planned are 10 s to place the calls and 2 s for the last one; the timeout is twice that and a minute.
        assert_eq!(plan.timeout, Duration::from_secs(84));
        let plan = plan_of(CALLS, &["--total", "7", "--calls", "2", "--cps", "0.5", "--hold", "5s", "--timeout", "9s"])
            .unwrap();
        assert_eq!(
            (plan.total, plan.timeout, planned(&plan.base, 7)),
            (7, Duration::from_secs(9), Duration::from_secs(25))
        );
        let plan = plan_of(CALLS, &["--cps", "0.1", "--duration", "1s", "--", "-inf", "users.csv"]).unwrap();
        assert_eq!((plan.total, plan.further), (1, vec!["-inf".to_owned(), "users.csv".to_owned()]));
    }

    #[test]
    fn audio_is_asserted_where_it_can_be_heard() {
        let asserted = |scenario: &str, flags: &[&str]| {
            let plan = plan_of(scenario, flags).unwrap();
            plan.base.assertions.iter().map(|one| one.text.clone()).collect::<Vec<_>>().join(",")
        };
        assert_eq!((asserted(CALLS, &[]).as_str(), asserted(AUDIO, &[]).as_str()), (ASSERTED, AUDIBLE));
        assert_eq!(asserted(AUDIO, &TO), ASSERTED);
        assert_eq!(asserted(AUDIO, &[&TO[..], &["--answer", "127.0.0.3:0"]].concat()), AUDIBLE);
        assert_eq!(asserted(AUDIO, &["--assert", "loss<1%"]), "loss<1%");
    }

    #[test]
    fn flags_that_do_not_go_together_are_refused() {
        let wrong = |flags: &[&str]| plan_of(CALLS, flags).unwrap_err();
        let to = |more: &[&'static str]| [&TO[..], more].concat();
        for (flags, part) in [
            (vec!["--from", "100"], "--from"),
            (vec!["--total", "3", "--duration", "5s"], "--duration"),
            (vec!["--total", "0"], "--total"),
            (vec!["--bind", "127.0.0.1:0"], "--to"),
            (vec!["--assert", "setup.p99<1s"], "not measured with --scenario"),
            (vec!["--", "-m", "3"], "-m of sipp: use --total"),
            (vec!["--", "--sf", "x.xml"], "--sf of sipp: use --scenario"),
            (vec!["--", "-bg"], "-bg of sipp: the load test sets it itself"),
            (vec!["--", "-t", "t1"], "-t of sipp needs --to"),
            (to(&["--ring", "1s"]), "add --answer"),
            (to(&["--codec", "PCMU"]), "add --answer"),
            (to(&["--assert", "failed=0,loss<1%"]), "--assert loss<1%: only callees measure that"),
        ] {
            let wrong = wrong(&flags);
            assert!(wrong.contains(part), "{flags:?}: {wrong}");
        }
        assert!(plan_of(CALLS, &to(&["--", "-t", "t1"])).is_ok());
        assert!(plan_of("", &[]).unwrap_err().contains("not XML"));
        // These flags are valid only with a scenario.
        for flags in [&["--total", "3"][..], &["--timeout", "3s"], &["--", "-inf", "x"]] {
            let all = ["trunkgate", "loadtest"].iter().chain(flags);
            assert!(Cli::try_parse_from(all).unwrap_err().to_string().contains("--scenario"));
        }
    }
}

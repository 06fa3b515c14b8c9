//! Plan of a load test: the parsed flags, and the addresses shown to the edge.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs as _};
use std::time::Duration;

use trunkgate_route::Transport;
use trunkgate_sip::Credentials;

use super::assertion::{Assertion, check_measured, parse};
use super::line::CallRole;
use super::sockets::shown;
use crate::call;
use crate::cli::LoadTest;
use trunkgate_config as config;
use trunkgate_system::interfaces;

/// Minimum `--hold`; shorter calls have too little audio.
const SHORTEST_HOLD: Duration = Duration::from_secs(2);
/// Audio sockets of a side beyond one per call and a quarter, for calls that have just ended.
const SPARE: usize = 16;
/// Default calling number.
const CALLER: &str = "+12125550100";
/// Called number with the test's own edge.
pub(super) const OWN_NUMBER: &str = "+12125550199";
/// Assertion that is made if none is given.
pub(super) const ASSERTED: &str = "answered=100%";

/// Load test with validated flags.
#[derive(Debug)]
pub(super) struct LoadTestPlan {
    /// Maximum number of concurrent calls.
    pub(super) calls: usize,
    /// Time between the starts of two calls.
    pub(super) interval: Duration,
    /// Time in which calls are placed.
    pub(super) duration: Duration,
    /// Duration of a call after its answer.
    pub(super) hold: Duration,
    /// Ringing time at the callee.
    pub(super) ring: Duration,
    /// Request-URI of the calls; empty until the test's own edge runs.
    pub(super) uri: String,
    /// SIP address of the edge.
    pub(super) remote: SocketAddr,
    /// SIP addresses of callers and callees.
    pub(super) bound: [SocketAddr; 2],
    /// Local address of packets to the edge, which replaces an unspecified one in messages.
    towards: Option<IpAddr>,
    pub(super) from: String,
    caller: String,
    pub(super) codecs: Vec<String>,
    pub(super) credentials: Option<Credentials>,
    pub(super) assertions: Vec<Assertion>,
    /// Whether the test starts its own edge.
    pub(super) is_own: bool,
}

impl LoadTestPlan {
    /// Validates the flags; `asserted` is the default of `--assert`.
    ///
    /// # Errors
    /// Returns a message with the invalid flag and a fix.
    pub(super) fn new(verb: &LoadTest, asserted: &str) -> Result<LoadTestPlan, String> {
        let by_scenario = verb.scenario.is_some();
        let written = if verb.assert.is_empty() { asserted.to_owned() } else { verb.assert.join(",") };
        let assertions = parse(&written).map_err(|mistake| mistake.to_string())?;
        check_measured(&assertions, by_scenario)?;
        if verb.to.is_some() && verb.answer.is_none() && !by_scenario {
            return Err("--to needs --answer ADDRESS:PORT, to which a trunk of the edge points".to_owned());
        }
        let interval = interval(verb.cps)?;
        let build_up = interval.saturating_mul(verb.calls);
        // A scenario may place any number of calls with few at a time.
        if verb.duration < build_up && !by_scenario {
            return Err(format!(
                "placing {} calls at {} per second takes {} s: --duration is shorter",
                verb.calls,
                verb.cps,
                build_up.as_secs()
            ));
        }
        let (remote, bound) = match &verb.to {
            Some(uri) => {
                let bind = verb.bind.unwrap_or(any());
                (server(uri)?, [bind, verb.answer.unwrap_or((bind.ip(), 0).into())])
            }
            None => (loopback(), [loopback(), loopback()]),
        };
        let towards = interfaces::towards(remote);
        if let Some(odd) = bound.iter().find(|bound| bound.is_ipv4() != remote.is_ipv4()) {
            return Err(format!("{} cannot be reached from {}", remote.ip(), odd.ip()));
        }
        let caller = verb.caller.from.clone().unwrap_or_else(|| CALLER.to_owned());
        let host = shown(bound[0], towards).ip();
        Ok(LoadTestPlan {
            calls: verb.calls as usize,
            interval,
            duration: verb.duration,
            hold: verb.hold.unwrap_or(build_up.max(SHORTEST_HOLD)),
            ring: verb.ring,
            uri: verb.to.clone().unwrap_or_default(),
            remote,
            bound,
            towards,
            from: match call::from(&caller)? {
                call::FromArgument::Uri(uri) => uri,
                call::FromArgument::User(user) => format!("<sip:{user}@{}>", call::in_brackets(host)),
            },
            caller,
            codecs: match &verb.codec {
                Some(name) => vec![codec(name)?],
                None => vec!["PCMU".to_owned(), "PCMA".to_owned()],
            },
            credentials: call::credentials(&verb.caller)?,
            assertions,
            is_own: verb.to.is_none(),
        })
    }

    /// Returns the number of audio sockets on each side.
    pub(super) fn sockets(&self) -> usize {
        self.calls + self.calls / 4 + SPARE
    }

    /// Returns the user part of the SIP URIs of a side.
    pub(super) fn user(&self, side: CallRole) -> String {
        match side {
            CallRole::Caller if self.caller.starts_with("sip") => CALLER.to_owned(),
            CallRole::Caller => self.caller.clone(),
            CallRole::Callee => "callee".to_owned(),
        }
    }

    /// Returns the address to write into messages for a bound socket.
    pub(super) fn shown(&self, bound: SocketAddr) -> SocketAddr {
        shown(bound, self.towards)
    }
}

fn any() -> SocketAddr {
    (Ipv4Addr::UNSPECIFIED, 0).into()
}

fn loopback() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

fn interval(cps: f64) -> Result<Duration, String> {
    match cps.is_finite() && (0.01..=10_000.0).contains(&cps) {
        true => Ok(Duration::from_secs_f64(1.0 / cps)),
        false => Err("--cps: use 0.01 to 10000 calls per second".to_owned()),
    }
}

/// Returns the UDP address for a SIP URI, resolving its host name.
fn server(uri: &str) -> Result<SocketAddr, String> {
    let address = config::sip_address(uri).map_err(|what| format!("--to: {what}"))?;
    let destination = address.destination;
    if destination.transport != Transport::Udp {
        return Err(format!("--to: a load test uses UDP, not {}", destination.transport.as_str()));
    }
    if address.user.is_empty() {
        return Err(format!("--to: called number missing: sip:NUMBER@{}", destination.host));
    }
    let port = destination.port_or_default();
    let mut found = (destination.host.as_str(), port)
        .to_socket_addrs()
        .map_err(|error| format!("--to: {}: {error}", destination.host))?;
    found.next().ok_or_else(|| format!("--to: {} has no address", destination.host))
}

fn codec(name: &str) -> Result<String, String> {
    let known = ["PCMU", "PCMA"].into_iter().find(|known| known.eq_ignore_ascii_case(name));
    known.map(str::to_owned).ok_or_else(|| format!("--codec {name}: use PCMU or PCMA"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, CliVerb};
    use clap::Parser as _;

    fn plan(flags: &[&str]) -> Result<LoadTestPlan, String> {
        let all = ["trunkgate", "loadtest"].iter().chain(flags);
        let CliVerb::Loadtest(verb) = Cli::try_parse_from(all).unwrap().verb else { panic!("another verb") };
        LoadTestPlan::new(&verb, ASSERTED)
    }

    const LOAD: [&str; 6] = ["--calls", "20", "--cps", "4", "--duration", "30s"];

    #[test]
    fn calls_last_as_long_as_keeps_so_many_up() {
        let plan = plan(&LOAD).unwrap();
        assert_eq!((plan.calls, plan.interval, plan.hold), (20, Duration::from_millis(250), Duration::from_secs(5)));
        assert!(plan.is_own && plan.assertions.len() == 1 && plan.sockets() == 41);
        assert_eq!(plan.shown(any()).ip(), Ipv4Addr::LOCALHOST);
    }

    #[test]
    fn flags_that_cannot_be_are_told() {
        let with = |more: &[&str]| plan(&[&LOAD[..], more].concat()).unwrap_err();
        let to = |uri| ["--to", uri, "--answer", "127.0.0.2:5080"];
        assert!(with(&["--codec", "opus"]).contains("PCMU or PCMA"));
        assert!(with(&["--assert", "mos>4"]).contains("column 4"));
        assert!(with(&["--assert", "audible=100%"]).contains("not measured without --scenario"));
        assert!(with(&["--to", "sip:1@127.0.0.1"]).contains("--to needs --answer ADDRESS:PORT"));
        assert!(with(&to("sip:1@127.0.0.1;transport=tcp")).contains("uses UDP, not tcp"));
        assert!(with(&to("sip:127.0.0.1")).contains("called number missing"));
        assert!(with(&to("127.0.0.1")).contains("--to: "));
        assert!(with(&to("sip:1@[::1]")).contains("cannot be reached"));
        assert!(plan(&["--calls", "20", "--cps", "1", "--duration", "10s"]).unwrap_err().contains("takes 20 s"));
        assert!(plan(&["--calls", "1", "--cps", "0", "--duration", "10s"]).unwrap_err().contains("--cps"));
    }
}

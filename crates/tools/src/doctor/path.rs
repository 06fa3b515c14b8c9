//! Network path to the peers: the source address and port that they saw, header fields changed on the path, and faults
//! that only calls reveal.

use std::net::{IpAddr, SocketAddr};

use serde_json::Value;
use trunkgate_call::diagnosis::SILENCE;

use super::answer::Seen;
use crate::findings::{Finding, Level};
use trunkgate_system::text::number;

/// Observations about the path from a response of one peer address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) trunk: String,
    pub(super) is_tls: bool,
    /// Local address from which the request was sent.
    pub(super) local: SocketAddr,
    /// Address that the edge would announce in calls to the peer; `None` if there is no route.
    pub(super) shown: Option<IpAddr>,
    /// Whether the peer is outside `local_networks`.
    pub(super) is_outside: bool,
    /// Configuration key that `shown` comes from; `None` for the interface's own address.
    pub(super) key: Option<String>,
    pub(super) seen: Option<Seen>,
    /// Header fields changed on the path; `None` if the response cannot be compared.
    pub(super) rewritten: Option<Vec<String>>,
    pub(super) ahead_ms: Option<i64>,
}

/// Compares the source addresses that peers saw with the announced ones, and checks the source ports. Returns no
/// finding if no response contains a source.
pub(super) fn public_address(told: &[Told], ports: (u16, u16)) -> Vec<Finding> {
    let mut said: Vec<(IpAddr, &Told, Vec<&str>)> = Vec::new();
    for one in told {
        let Some(seen) = one.seen else { continue };
        let alike = |(ip, other, _): &&mut (IpAddr, &Told, Vec<&str>)| {
            *ip == seen.ip && other.shown == one.shown && other.is_outside == one.is_outside
        };
        match said.iter_mut().find(alike) {
            Some((_, _, names)) => names.push(&one.trunk),
            None => said.push((seen.ip, one, vec![&one.trunk])),
        }
    }
    let mut findings: Vec<Finding> = said
        .iter()
        .map(|(ip, one, names)| {
            let elsewhere = |(other, of, _): &&(IpAddr, &Told, Vec<&str>)| {
                of.is_outside && other != ip && other.is_ipv4() == ip.is_ipv4()
            };
            let other = said.iter().find(elsewhere).map(|(other, _, _)| *other);
            judge(*ip, one, names, other)
        })
        .collect();
    findings.extend(changed_ports(told, ports));
    findings
}

/// Compares the source address that a peer saw with the announced one. `other`: a different source address seen by
/// other peers; one key cannot be right for both.
fn judge(ip: IpAddr, told: &Told, trunks: &[&str], other: Option<IpAddr>) -> Finding {
    let names = list(trunks);
    let sees = if names.contains(" and ") { "see" } else { "sees" };
    let Told { shown, local, is_outside, key, .. } = told;
    match (shown, other.filter(|_| *is_outside)) {
        (Some(shown), _) if *shown == ip => {
            let whose = if key.is_some() { "as written, " } else { "" };
            let nat = if ip == local.ip() { "" } else { ", behind NAT" };
            let inside = if *is_outside { "" } else { " within [edge] local_networks" };
            Finding::ok("public address", format!("{ip}, {whose}as {names} {sees} us{inside}{nat}"))
        }
        (Some(shown), Some(other)) => {
            let text = format!(
                "{names} {sees} us at {ip}, others at {other}, but would get {shown}: there are two routes out"
            );
            let first = trunks.first().copied().unwrap_or_default();
            let fix = format!(
                "add a [[listen]] with public_address = \"{ip}\", and set `listen` of [trunk.{first}] to its name"
            );
            Finding::fail("public address", text, fix)
        }
        (Some(shown), None) if *is_outside => {
            let text = format!("{names} {sees} us at {ip}, but would get {shown}");
            let key = key.as_deref().unwrap_or("[edge] public_address");
            Finding::fail("public address", text, format!("{key} = \"{ip}\""))
        }
        (Some(shown), None) => {
            let text = format!("{names} {sees} us at {ip}, but would get {shown}: there is NAT on the path");
            let fix = "remove its network from [edge] local_networks and set public_address, or bypass the NAT";
            Finding::warn("public address", text, fix)
        }
        (None, _) => {
            let text = format!(
                "{names} {sees} us at {ip}, but no [[listen]] has the transport and address family for calls there"
            );
            Finding::warn("public address", text, "add a [[listen]] with that transport and address family")
        }
    }
}

/// Returns a finding if NAT changes source ports of datagrams, because media is sent to the announced port.
fn changed_ports(told: &[Told], (first, last): (u16, u16)) -> Option<Finding> {
    let differs = |one: &&Told| one.seen.and_then(|seen| seen.port).is_some_and(|port| port != one.local.port());
    let changed: Vec<&Told> = told.iter().filter(differs).collect();
    let one = changed.first()?;
    let names: Vec<&str> = changed.iter().map(|one| one.trunk.as_str()).collect();
    let (from, to) = (one.local.port(), one.seen.and_then(|seen| seen.port).unwrap_or_default());
    let text = format!(
        "NAT changes port numbers ({} saw {to} for {from}): audio to the ports in our SDP may not arrive",
        list(&names)
    );
    let fix = format!("forward udp {first}-{last} and the listeners' ports one to one in the router");
    Some(Finding::warn("public address", text, fix))
}

/// Returns the findings about SIP application-level gateways; empty if no response allows a conclusion.
pub(super) fn sip_alg(told: &[Told]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut clean: Vec<&str> = Vec::new();
    for one in told {
        match one.rewritten.as_deref() {
            Some([]) => clean.push(&one.trunk),
            Some(rewritten) => {
                let text = format!("SIP is modified between us and {}: {}", one.trunk, rewritten.join(", "));
                let fix = "disable SIP ALG (SIP helper, SIP inspection) in router and firewall, or use TLS";
                findings.push(Finding::warn("sip alg", text, fix));
            }
            None => {}
        }
    }
    findings.dedup();
    if !clean.is_empty() {
        let is_hidden = told.iter().filter(|one| clean.contains(&one.trunk.as_str())).all(|one| one.is_tls);
        let why = if is_hidden { ": TLS protects SIP on the path" } else { "" };
        findings.push(Finding::ok("sip alg", format!("no modification detected between us and {}{why}", list(&clean))));
    }
    findings
}

/// Audio and silence in calls of the running edge.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Carried {
    /// Number of answered calls.
    answered: u64,
    /// Number of call sides with audio, in ended and live calls.
    heard: u64,
    /// Number of silent call sides by trunk; those in an agent's calls count for the trunk as well.
    silent: Vec<(String, u64)>,
    /// Trunks without audio in calls of the last hour, each with the cause found by the edge and the fix.
    causes: Vec<(String, String, String)>,
    /// Trunks with silent calls in the last hour, but with audio in the latest calls.
    mended: Vec<String>,
    /// Trunks that sent only digital silence in calls of the last hour.
    muted: Vec<Muted>,
    /// Number of sides of live calls that have so far sent only digital silence.
    muted_now: u64,
}

/// Trunk that sends packets with digital silence.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Muted {
    text: String,
    fix: String,
    is_still: bool,
}

impl Muted {
    fn of(trunk: &Value) -> Option<Muted> {
        let unheard = &trunk["unheard"];
        let one = unheard["kinds"].as_array()?.iter().find(|one| one["kind"] == SILENCE)?;
        let (name, sid) = (trunk["name"].as_str()?, one["last_sid"].as_str()?);
        let (calls, of) = (one["calls"].as_u64()?, unheard["of"].as_u64()?);
        let is_still = unheard["still"] == true;
        let past = if is_still { "" } else { " (not in the latest calls)" };
        let text = format!(
            "{name} sends only digital silence in {calls} of {of} calls of the last hour{past}; see: trunkgate trace {sid}"
        );
        Some(Muted { text, fix: one["fix"].as_str()?.to_owned(), is_still })
    }
}

impl Carried {
    /// Parses the page of `/metrics`; `None` if it is not an edge's.
    pub(super) fn read(metrics: &str) -> Option<Carried> {
        let value = |line: &str| Some(line.rsplit_once(' ')?.1.parse::<f64>().ok()? as u64);
        let of = |name: &str| value(metrics.lines().find(|line| line.starts_with(name))?);
        let answered = of("trunkgate_call_setup_seconds_count ")?;
        // The edge observes this histogram once per side with audio.
        let heard = of("trunkgate_rtp_jitter_seconds_count ")?;
        let silent = metrics.lines().filter(|line| line.starts_with("trunkgate_media_one_way_total{"));
        let silent = silent.filter_map(|line| {
            let trunk = line.split_once("trunk=\"")?.1.split_once('"')?.0.to_owned();
            Some((trunk, value(line)?)).filter(|(_, count)| *count > 0)
        });
        let mut by_trunk: Vec<(String, u64)> = Vec::new();
        for (trunk, count) in silent {
            match by_trunk.iter_mut().find(|(known, _)| *known == trunk) {
                Some((_, sum)) => *sum += count,
                None => by_trunk.push((trunk, count)),
            }
        }
        Some(Carried { answered, heard, silent: by_trunk, ..Carried::default() })
    }
}

impl Carried {
    /// Adds the sides with audio in live calls; `calls` is `/v1/calls`.
    pub(super) fn add_live(&mut self, calls: &Value) {
        let calls = calls["calls"].as_array().into_iter().flatten().filter(|call| call["state"] != "ended");
        let legs = calls.flat_map(|call| call["legs"].as_array().into_iter().flatten());
        // The metric already counts ended legs.
        for leg in legs.filter(|leg| leg["state"] != "ended" && leg["rtp"]["rx_packets"].as_u64() > Some(0)) {
            self.heard += 1;
            self.muted_now += u64::from(leg["silent"] == true);
        }
    }

    /// Adds the causes of silence from `/v1/trunks`.
    pub(super) fn explain(&mut self, trunks: &Value) {
        let trunks = trunks["trunks"].as_array().into_iter().flatten();
        self.muted = trunks.clone().filter_map(Muted::of).collect();
        let mut mended = Vec::new();
        let cause = |trunk: &Value| {
            // A stream that stopped during the call is counted with those that never started, but has another cause.
            // The cause with fewer good calls since is the more recent one.
            let good_since =
                |found: &Value| if found.is_object() { found["good_since"].as_u64() } else { Some(u64::MAX) };
            let [unheard, stopped] = ["unheard", "stopped"].map(|key| &trunk[key]);
            let (found, how) = match good_since(unheard) <= good_since(stopped) && unheard.is_object() {
                true => (unheard, ""),
                false => (stopped, "its audio stopped in mid-call: "),
            };
            let [name, cause, fix] = [&trunk["name"], &found["cause"], &found["fix"]].map(Value::as_str);
            let is_past = found["still"] == false;
            mended.extend(name.filter(|_| is_past).map(str::to_owned));
            let past = if is_past { " (not in the latest calls)" } else { "" };
            Some((name?.to_owned(), format!("{how}{}{past}", cause?), fix?.to_owned()))
        };
        self.causes = trunks.filter_map(cause).collect();
        self.mended = mended;
    }
}

/// Returns the finding about unsolicited incoming datagrams. Only calls show whether they arrive, because this machine
/// cannot send one from outside.
pub(super) fn inbound(carried: Option<&Carried>, leads_out: bool, (first, last): (u16, u16)) -> Finding {
    let name = "inbound udp";
    match carried {
        Some(Carried { answered, silent, causes, mended, .. }) if !silent.is_empty() => {
            let all: u64 = silent.iter().map(|(_, count)| count).sum();
            let worst = silent.iter().max_by_key(|(_, count)| *count).map_or("", |(trunk, _)| trunk);
            let calls = number(usize::try_from(*answered).unwrap_or(usize::MAX), "answered call");
            let where_ = match silent.as_slice() {
                [_] => format!(", on trunk {worst}"),
                several => {
                    let each: Vec<String> =
                        several.iter().map(|(trunk, count)| format!("{count} on trunk {trunk}")).collect();
                    format!(": {}", each.join(", "))
                }
            };
            let text = format!("a party sent no media in {all} of {calls}{where_} (since the edge started)");
            // All silent sides, the worst first.
            let mut causes: Vec<&(String, String, String)> = causes.iter().collect();
            causes.sort_by_key(|(trunk, _, _)| {
                std::cmp::Reverse(silent.iter().find(|(name, _)| name == trunk).map_or(0, |(_, count)| *count))
            });
            let told: String =
                causes.iter().map(|(trunk, cause, _)| format!("; the last of {trunk}: {cause}")).collect();
            let mut fixes: Vec<(&str, &str)> = Vec::new();
            for (trunk, _, fix) in &causes {
                if fixes.iter().all(|(_, known)| known != fix) {
                    fixes.push((trunk, fix));
                }
            }
            let fix = match fixes.as_slice() {
                [] => format!("open udp {first}-{last} for its media addresses in firewalls, and forward it in NAT"),
                [(_, fix)] => (*fix).to_owned(),
                several => {
                    several.iter().map(|(trunk, fix)| format!("for {trunk}: {fix}")).collect::<Vec<_>>().join(". ")
                }
            };
            let text = format!("{text}{told}");
            let finding = Finding::warn(name, text, fix);
            let is_mended = mended.iter().any(|name| name == worst);
            if all >= *answered && !is_mended { Finding { level: Level::Fail, ..finding } } else { finding }
        }
        Some(Carried { muted, .. }) if !muted.is_empty() => {
            let text = muted.iter().map(|one| one.text.as_str()).collect::<Vec<_>>().join("; ");
            let fix = muted.iter().map(|one| one.fix.as_str()).collect::<Vec<_>>().join(". ");
            let level = if muted.iter().any(|one| one.is_still) { Level::Fail } else { Level::Warn };
            Finding { level, ..Finding::warn(name, text, fix) }
        }
        Some(Carried { answered, heard: heard @ 1.., muted_now, .. }) => {
            let calls = number(usize::try_from(*answered).unwrap_or(usize::MAX), "answered call");
            let heard = number(usize::try_from(*heard).unwrap_or(usize::MAX), "side");
            let rest = match muted_now {
                0 => "none was silent".to_owned(),
                1 => "1 is silent now".to_owned(),
                some => format!("{some} are silent now"),
            };
            Finding::ok(name, format!("audio received from {heard} in {calls}; {rest}"))
        }
        _ if leads_out => {
            let text = format!("cannot be tested from here: only a remote party can send to udp {first}-{last}");
            let fix = "place a call from outside; `doctor` then uses the statistics of the running edge";
            Finding::warn(name, text, fix)
        }
        _ => Finding::ok(name, "not tested: all peers and `accept_from` are in [edge] local_networks"),
    }
}

/// Joins names as `a`, `a and b` or `a, b and c`, without duplicates.
fn list(names: &[&str]) -> String {
    let mut all: Vec<&str> = Vec::new();
    for name in names {
        if !all.contains(name) {
            all.push(name);
        }
    }
    match all.split_last() {
        Some((last, [])) => (*last).to_owned(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PORTS: (u16, u16) = (16_384, 32_767);

    fn told(trunk: &str, shown: &str, seen: &str) -> Told {
        let seen: SocketAddr = seen.parse().unwrap();
        Told {
            trunk: trunk.into(),
            is_tls: false,
            local: "10.0.0.2:40000".parse().unwrap(),
            shown: shown.parse().ok(),
            is_outside: true,
            key: None,
            seen: Some(Seen { ip: seen.ip(), port: Some(seen.port()).filter(|port| *port > 0) }),
            rewritten: Some(vec![]),
            ahead_ms: None,
        }
    }

    #[test]
    fn an_address_that_is_not_ours_fails_with_the_key_to_set() {
        let found = public_address(&[told("twilio", "10.0.0.2", "203.0.113.10:40000")], PORTS);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].text, "twilio sees us at 203.0.113.10, but would get 10.0.0.2");
        assert_eq!((found[0].level, found[0].fix.as_str()), (Level::Fail, "[edge] public_address = \"203.0.113.10\""));
        let key = Some("[[listen]] `outside`: public_address".to_owned());
        let stale = Told { key, ..told("twilio", "203.0.113.9", "203.0.113.10:40000") };
        assert_eq!(public_address(&[stale], PORTS)[0].fix, "[[listen]] `outside`: public_address = \"203.0.113.10\"");
        let inside = Told { is_outside: false, ..told("pbx", "10.0.0.2", "10.0.9.9:40000") };
        let found = public_address(&[inside], PORTS);
        assert!(found[0].level == Level::Warn && found[0].fix.contains("local_networks"));
    }

    #[test]
    fn audio_that_stopped_in_mid_call_is_no_closed_port() {
        let mut carried =
            Carried { answered: 6, heard: 6, silent: vec![("carrier".to_owned(), 6)], ..Carried::default() };
        assert!(inbound(Some(&carried), true, PORTS).fix.starts_with("open udp 16384-32767"));
        let stopped = serde_json::json!({"cause": "nothing came since 8 s after the answer", "fix": "look at its hold", "still": true});
        carried.explain(&serde_json::json!({"trunks": [{"name": "carrier", "stopped": stopped}]}));
        let found = inbound(Some(&carried), true, PORTS);
        assert!(
            found.text.ends_with(
                "the last of carrier: its audio stopped in mid-call: nothing came since 8 s after the answer"
            )
        );
        assert_eq!((found.level, found.fix.as_str()), (Level::Fail, "look at its hold"));
        // Earlier calls without packets had another fault, which is fixed.
        let stopped =
            serde_json::json!({"cause": "no packets arrived for 5 s", "fix": "hold", "still": true, "good_since": 0});
        let unheard =
            serde_json::json!({"cause": "no packets arrived", "fix": "ports", "still": false, "good_since": 24});
        carried.explain(&serde_json::json!({"trunks": [{"name": "carrier", "stopped": stopped, "unheard": unheard}]}));
        let found = inbound(Some(&carried), true, PORTS);
        assert!(found.text.ends_with("its audio stopped in mid-call: no packets arrived for 5 s"), "{found:?}");
    }

    #[test]
    fn a_trunk_that_sends_only_digital_silence_is_not_well() {
        let mut carried = Carried { answered: 10, heard: 20, ..Carried::default() };
        assert!(inbound(Some(&carried), true, PORTS).text.ends_with("none was silent"));
        let leg = serde_json::json!({"state": "answered", "silent": true, "rtp": {"rx_packets": 500}});
        carried.add_live(&serde_json::json!({"calls": [{"state": "answered", "legs": [leg]}]}));
        assert!(inbound(Some(&carried), true, PORTS).text.ends_with("1 is silent now"));
        let kind = serde_json::json!({"kind": "silence", "calls": 4, "last_sid": "CA9", "fix": "check mute key"});
        for (is_still, level) in [(true, Level::Fail), (false, Level::Warn)] {
            let unheard =
                serde_json::json!({"calls": 4, "of": 5, "still": is_still, "cause": "x", "fix": "y", "kinds": [kind]});
            carried.explain(&serde_json::json!({"trunks": [{"name": "pbx", "unheard": unheard}]}));
            let found = inbound(Some(&carried), true, PORTS);
            assert!(found.text.starts_with("pbx sends only digital silence in 4 of 5 calls"), "{found:?}");
            assert_eq!((found.level, found.fix.as_str()), (level, "check mute key"));
        }
    }

    #[test]
    fn peers_that_agree_share_a_line() {
        let key = Some("[edge] public_address".to_owned());
        let known = |trunk| Told { key: key.clone(), ..told(trunk, "203.0.113.10", "203.0.113.10:40000") };
        let near = Told { is_outside: false, ..told("pbx", "10.0.0.2", "10.0.0.2:40000") };
        let dumb = Told { seen: None, ..near.clone() };
        let found = public_address(&[known("twilio"), dumb, near, known("carrier"), known("twilio")], PORTS);
        let texts: Vec<&str> = found.iter().map(|found| found.text.as_str()).collect();
        let expected = [
            "203.0.113.10, as written, as twilio and carrier see us, behind NAT",
            "10.0.0.2, as pbx sees us within [edge] local_networks",
        ];
        assert_eq!(texts, expected);
        assert!(found.iter().all(|found| found.level == Level::Ok));
    }

    #[test]
    fn no_key_is_told_two_values() {
        let known = Told {
            key: Some("[edge] public_address".to_owned()),
            ..told("twilio", "203.0.113.10", "203.0.113.10:40000")
        };
        let apart = Told { trunk: "fibre".into(), ..told("fibre", "203.0.113.10", "198.51.100.4:40000") };
        let found = public_address(&[known.clone(), apart.clone()], PORTS);
        assert_eq!((found[0].level, found[1].level), (Level::Ok, Level::Fail));
        assert_eq!(
            found[1].text,
            "fibre sees us at 198.51.100.4, others at 203.0.113.10, but would get 203.0.113.10: there are two routes out"
        );
        let fix =
            "add a [[listen]] with public_address = \"198.51.100.4\", and set `listen` of [trunk.fibre] to its name";
        assert_eq!(found[1].fix, fix);
        // One address per family is not a contradiction.
        let six = told("six", "2001:db8::9", "[2001:db8::1]:40000");
        assert_eq!(public_address(&[known, six], PORTS)[1].fix, "[edge] public_address = \"2001:db8::1\"");
    }

    #[test]
    fn ports_that_nat_changes_are_warned_of() {
        let key = Some("[edge] public_address".to_owned());
        let moved = Told { key, ..told("twilio", "203.0.113.10", "203.0.113.10:61234") };
        let found = public_address(std::slice::from_ref(&moved), PORTS);
        assert_eq!((found[0].level, found[1].level), (Level::Ok, Level::Warn));
        assert!(found[1].text.contains("twilio saw 61234 for 40000") && found[1].fix.contains("udp 16384-32767"));
        let silent = Told { seen: Some(Seen { port: None, ..moved.seen.unwrap() }), ..moved };
        assert_eq!(public_address(&[silent], PORTS).len(), 1);
    }

    #[test]
    fn rewriting_is_told_of_whom() {
        let mut damaged = told("x", "10.0.0.2", "10.0.0.2:0");
        damaged.rewritten = None;
        assert_eq!(sip_alg(&[damaged]), []);
        let mut bad = told("twilio", "10.0.0.2", "10.0.0.2:0");
        bad.rewritten = Some(vec!["Via a → b".into(), "Call-ID c → d".into()]);
        let found = sip_alg(&[bad.clone(), bad, told("pbx", "10.0.0.2", "10.0.0.2:0")]);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].text, "SIP is modified between us and twilio: Via a → b, Call-ID c → d");
        assert_eq!(
            (found[0].level, found[1].text.as_str()),
            (Level::Warn, "no modification detected between us and pbx")
        );
        let hidden = Told { is_tls: true, ..told("pbx", "10.0.0.2", "10.0.0.2:0") };
        assert!(sip_alg(&[hidden])[0].text.ends_with("TLS protects SIP on the path"));
    }

    #[test]
    fn whether_anything_comes_in_is_told_by_calls_alone() {
        let page = |answered: u64, silent: &str| {
            let heard = answered / 3 * 2;
            Carried::read(&format!(
                "# HELP x y\ntrunkgate_call_setup_seconds_count {answered}\n{silent}\n\
                 trunkgate_rtp_jitter_seconds_count {heard}\n"
            ))
            .unwrap()
        };
        let of = |carried: Option<Carried>, leads_out| inbound(carried.as_ref(), leads_out, PORTS);
        assert_eq!(of(None, false).level, Level::Ok);
        let unknown = of(Some(page(0, "")), true);
        assert!(unknown.level == Level::Warn && unknown.text.starts_with("cannot be tested from here"), "{unknown:?}");
        let well = "audio received from 2 sides in 3 answered calls; none was silent";
        assert_eq!(of(Some(page(3, "")), true).text, well);
        assert_eq!(of(Some(page(1, "")), true).level, Level::Warn, "answered, and nothing heard");
        let line = "trunkgate_media_one_way_total{trunk=\"carrier\",silent=\"caller\"} 2\n\
                    trunkgate_media_one_way_total{trunk=\"carrier\",silent=\"both\"} 1\n\
                    trunkgate_media_one_way_total{trunk=\"pbx\",silent=\"callee\"} 0\n";
        let some = of(Some(page(9, line)), true);
        assert_eq!(
            some.text,
            "a party sent no media in 3 of 9 answered calls, on trunk carrier (since the edge started)"
        );
        let both = line.replace("\"callee\"} 0", "\"callee\"} 1");
        let most = "a party sent no media in 4 of 9 answered calls: 3 on trunk carrier, 1 on trunk pbx (since the edge started)";
        assert_eq!(of(Some(page(9, &both)), true).text, most);
        assert_eq!((some.level, of(Some(page(3, line)), true).level), (Level::Warn, Level::Fail));
        let mut both_silent = page(9, &both);
        both_silent.causes = [("pbx", "it sends nothing", "wake it"), ("carrier", "nothing came", "open ports")]
            .map(|(trunk, cause, fix)| (trunk.to_owned(), cause.to_owned(), fix.to_owned()))
            .into();
        let found = inbound(Some(&both_silent), true, PORTS);
        assert!(
            found.text.ends_with("; the last of carrier: nothing came; the last of pbx: it sends nothing"),
            "{found:?}"
        );
        assert_eq!(found.fix, "for carrier: open ports. for pbx: wake it");
        assert_eq!(Carried::read("not metrics"), None);
    }

    #[test]
    fn names_are_listed_once() {
        assert_eq!([list(&["a"]), list(&["a", "b", "a"]), list(&["a", "b", "c"])], ["a", "a and b", "a, b and c"]);
    }
}

//! Problems of trunks for `status`: trunks that are down, reject calls, are not registered or not heard, or have poor
//! audio.

use std::time::Duration;

use trunkgate_call::diagnosis::{FaultCause, SILENCE};
use trunkgate_call::status::beside_a_target;
use trunkgate_call::view::{
    AddressView, AffectedCalls, FaultView, PeerView, RejectedView, RejectionView, SilentView, TrunkQuality, TrunkView,
    UnreachedView,
};
use trunkgate_call::{UNSENT, dns, unsent};
use trunkgate_route::locate::NameFault;
use trunkgate_route::{Peer, RoutingTable, SiprecSettings, Transport, Trunk, host_of};

use super::way::{Way, is_large_share, rejects_all, rejects_many};
use trunkgate_runtime::stale_names::StaleName;
use trunkgate_system::limits;
use trunkgate_system::problem::kind::{Consequence, Fault, ProblemKind, Silence, Tally, TrunkProblem, Unheard};
use trunkgate_system::problem::{Harm, Party, Problem, Urgency};
use trunkgate_system::text::number;
use trunkgate_system::tls_words;

/// Maximum number of a trunk's unreachable addresses that are listed with their causes.
const DOWN_TOLD: usize = 3;

/// Returns all problems of a trunk.
pub(super) fn of_trunk(trunk: &TrunkView, silent: &[SilentView], way: &Way<'_>) -> Vec<Problem> {
    let name = &trunk.name;
    let of = |what| ProblemKind::Trunk { trunk: name.clone(), what };
    let mut problems = Vec::new();
    if let Some(group) = name.strip_prefix(SiprecSettings::PREFIX) {
        let required = way.table.trunk(name).and_then(|trunk| trunk.siprec).is_some_and(|siprec| siprec.required);
        return super::siprec::problem(trunk, group, required, &why_down(&trunk.peers, way.unanswered));
    }
    if trunk.state == "down" {
        let is_unregistered = trunk.registrations.phones.as_ref().is_some_and(Vec::is_empty) && trunk.peers.is_empty();
        let why =
            if is_unregistered { "no phone is registered".to_owned() } else { why_down(&trunk.peers, way.unanswered) };
        let without = way.without_down(trunk);
        let unused = (without.urgency == Urgency::Unmet).then(|| "no route sends calls to it".to_owned());
        let wait = waited_for(trunk, way).filter(|_| without.harm == Harm::Detour);
        let waits = wait.map(|wait| format!("each call waits {} s for it before its next target", wait.as_secs_f64()));
        let parts = [Some(why.clone()), unreached(&trunk.unreached).or(unused), waits, next_check(&trunk.peers)];
        let shown = parts.into_iter().flatten().collect::<Vec<_>>().join("; ");
        let down = without.problem(of(TrunkProblem::Down { consequence: without.consequence })).shown_by(shown);
        let down = without.losing(down, &trunk.unreached);
        let is_idle = trunk.tried == 0 && trunk.unreached.calls == 0;
        let down = if is_idle { down.idle() } else { down };
        let fix = match is_unregistered {
            true => "check user, password and server in the phone".to_owned(),
            false => fix_of_down(name, &trunk.peers, &why, way.unanswered),
        };
        let fix = wait.map_or(fix.clone(), |_| format!("{fix}; {}", how_not_to_wait(name)));
        problems.push(down.fixed_by(fix).latest(trunk.unreached.at).out(true));
    } else {
        let silent = not_responding(trunk, way).map(|problem| problem.latest(trunk.unreached.at));
        problems.extend(silent.map(|problem| problem.out(true)));
    }
    // A trunk that does not respond now has rejected calls only before.
    let is_gone = !problems.is_empty() && trunk.rejected.as_ref().is_some_and(|one| trunk.unreached.at > one.at);
    problems.extend(rejecting(trunk, way, is_gone));
    if let Some(registration) =
        trunk.registrations.registration.as_ref().filter(|registration| registration.state == "failed")
    {
        let why = registration.last_problem.as_deref().unwrap_or("no answer");
        let ended = Problem::of(of(TrunkProblem::NotRegistered)).shown_by(why);
        let ended = ended.fixed_by(registration.fix.as_deref().unwrap_or_default());
        problems.push(ended.out(true));
    }
    problems.extend(host_rejected(trunk, way.table));
    problems.extend(nothing_heard(trunk, silent));
    let faults = [
        // A single stream that stopped may be a muted phone, or one that lost its network.
        (trunk.stopped.as_ref().filter(|found| is_many_of(found.calls, found.of, found.recent)), Fault::Stopped),
        (trunk.unsent.as_ref(), Fault::Unsent),
        (trunk.codec_mismatch.as_ref(), Fault::Codecs),
        (trunk.loss.as_ref(), Fault::Loss),
    ];
    problems.extend(faults.into_iter().filter_map(|(found, fault)| faulty(name, fault, found?, way)));
    // Packet loss explains a low score, and is a problem of its own.
    if trunk.loss.as_ref().is_none_or(|loss| !loss.still) {
        problems.extend(trunk.quality.as_ref().and_then(|quality| poor_audio(name, quality)));
    }
    problems
}

/// Returns the problem of a trunk whose addresses do not know the edge's host name: Microsoft Teams answers so if the
/// name is not paired, and rejects each call.
fn host_rejected(trunk: &TrunkView, table: &RoutingTable) -> Option<Problem> {
    let rejecting = trunk.peers.iter().flat_map(|peer| &peer.addresses).find(|address| address.host_rejected)?;
    let host = table.trunk(&trunk.name)?.own_hosts.contact.as_deref()?;
    let fix = format!("correct `contact_host` of [trunk.{}], or pair {host} with the trunk", trunk.name);
    let what = TrunkProblem::HostRejected { host: host.to_owned() };
    let problem = Problem::of(ProblemKind::Trunk { trunk: trunk.name.clone(), what });
    Some(problem.shown_by(format!("{} answers OPTIONS with 403 Forbidden", rejecting.address)).fixed_by(fix).out(true))
}

/// Returns the time that each call waits for a trunk that is down before it fails over; `None` if its addresses refuse
/// calls at once, or no other target follows.
fn waited_for(trunk: &TrunkView, way: &Way<'_>) -> Option<Duration> {
    way.table.fallback_of(&trunk.name)?;
    let silent = |address: &&AddressView| {
        let is_silent = |problem: &str| problem.starts_with("no answer to");
        address.state == "down" && address.last_problem.as_deref().is_none_or(is_silent)
    };
    let addresses = trunk.peers.iter().flat_map(|peer| &peer.addresses).filter(silent).count();
    let one = way.table.trunk(&trunk.name)?.no_response_timeout;
    Some(one.saturating_mul(u32::try_from(addresses).unwrap_or(u32::MAX))).filter(|wait| !wait.is_zero())
}

/// Describes when a trunk that is down is probed next; `None` if it has no address.
fn next_check(peers: &[PeerView]) -> Option<String> {
    let mut addresses = peers.iter().flat_map(|peer| &peer.addresses).peekable();
    addresses.peek()?;
    Some(match addresses.filter_map(|address| address.next_check_seconds).min() {
        Some(0 | 1) => "checked again now".to_owned(),
        Some(seconds) => format!("checked again in {seconds} s"),
        None => "not checked (`options_interval = \"0s\"`): the next call to it shows whether it is back".to_owned(),
    })
}

/// Describes the settings with which calls do not wait for a trunk that is down.
fn how_not_to_wait(name: &str) -> String {
    format!(
        "until then `order = \"asr\"` in the route or another order of `connect` avoids the wait, and a shorter \
         `no_response_timeout` of [trunk.{name}] shortens it"
    )
}

/// Returns the problem of a trunk that is not down yet, although none of its addresses responded to the last request
/// and calls have failed.
fn not_responding(trunk: &TrunkView, way: &Way<'_>) -> Option<Problem> {
    let mut addresses = trunk.peers.iter().flat_map(|peer| &peer.addresses).peekable();
    addresses.peek()?;
    let lost = unreached(&trunk.unreached).filter(|_| addresses.clone().all(|address| address.failures > 0))?;
    let name = &trunk.name;
    let without = way.without_down(trunk);
    let why = addresses
        .next()
        .map(|address| format!("{}: {}", address.address, address.last_problem.as_deref().unwrap_or("no answer")))
        .unwrap_or_default();
    let what = TrunkProblem::NotResponding { lost: trunk.unreached.lost, consequence: without.consequence };
    let problem = without.problem(ProblemKind::Trunk { trunk: name.clone(), what });
    let problem = without.losing(problem, &trunk.unreached);
    let fix = fix_of_down(name, &trunk.peers, &why, way.unanswered);
    let failures = trunkgate_call::limits::HEALTH_FAILURES;
    let fix = format!("{fix}; after {failures} failures in a row it counts as down");
    Some(problem.shown_by(format!("{why}; {lost}")).fixed_by(fix))
}

/// Describes the calls of the last hour that did not reach a trunk or agent; `None` if there were none.
pub(super) fn unreached(of: &UnreachedView) -> Option<String> {
    let calls = usize::try_from(of.calls).unwrap_or(usize::MAX);
    let lost = lost(of);
    (calls > 0).then(|| format!("{} did not reach it in the last hour{lost}", number(calls, "call")))
}

/// Describes the callers that were lost because no other target was left; empty if there were none.
pub(super) fn lost(of: &UnreachedView) -> String {
    match of.lost {
        0 => String::new(),
        1 if of.calls == 1 => ", and its caller was lost".to_owned(),
        all if all == of.calls => ", and their callers were lost".to_owned(),
        1 => ", and the caller of one was lost".to_owned(),
        some => format!(", and the callers of {some} were lost"),
    }
}

/// Returns the fix for a trunk that is down. `why` is the cause, `unanswered` the hosts with failed look-ups.
fn fix_of_down(name: &str, peers: &[PeerView], why: &str, unanswered: &[(String, NameFault)]) -> String {
    if let Some(fix) = tls_words::fix_of_trunk(why, name) {
        return fix;
    }
    let addresses = || peers.iter().flat_map(|peer| &peer.addresses);
    let held_back = addresses().find_map(|one| {
        let why = unsent::named(one.last_problem.as_deref()?)?;
        Some(unsent::fix_of_peer(why, one.address.ip(), None))
    });
    if let Some(fix) = held_back {
        return fix;
    }
    let has_address = addresses().next().is_some();
    match peers.first().filter(|_| !has_address) {
        Some(peer) => {
            let fault = name_fault(&peer.uri, unanswered);
            dns::fix(fault, host_of(&peer.uri), &format!("`peers` of [trunk.{name}]"))
        }
        None => format!(
            "check that the peer runs, that its address in [trunk.{name}] is right, and the firewall (trunkgate doctor)"
        ),
    }
}

/// Returns the reason why a peer has no addresses. `unanswered`: hosts with failed look-ups.
pub(super) fn name_fault(uri: &str, unanswered: &[(String, NameFault)]) -> NameFault {
    let its = |(host, _): &&(String, NameFault)| host.eq_ignore_ascii_case(host_of(uri));
    unanswered.iter().find(its).map_or(NameFault::NotFound, |(_, fault)| *fault)
}

/// Returns the last failure of each unreachable address. Rejections of requests by the trunk do not count as such.
fn why_down(peers: &[PeerView], unanswered: &[(String, NameFault)]) -> String {
    let addresses = peers.iter().flat_map(|peer| &peer.addresses).filter(|address| address.state == "down");
    let mut why: Vec<String> = addresses
        .map(|down| format!("{}: {}", down.address, down.last_problem.as_deref().unwrap_or("no answer")))
        .collect();
    let lost = peers.iter().filter(|peer| peer.state == "down" && peer.addresses.is_empty());
    why.extend(lost.map(|peer| {
        let fault = name_fault(&peer.uri, unanswered);
        let slug = if fault == NameFault::NotFound { " (name_not_found)" } else { "" };
        format!("{}: {}{slug}", peer.uri, dns::words(fault, host_of(&peer.uri)))
    }));
    let more = why.len().saturating_sub(DOWN_TOLD);
    why.truncate(DOWN_TOLD);
    match (why.is_empty(), more) {
        (true, _) => "no answer".to_owned(),
        (false, 0) => why.join("; "),
        (false, more) => format!("{}; and {more} more", why.join("; ")),
    }
}

/// Returns the problem of peers that a restart would not resolve; `None` if all peers are still in DNS or given by
/// address.
pub(super) fn stale_names(trunk: &Trunk, stale: &[StaleName]) -> Option<Problem> {
    let name = &trunk.name;
    let of_peer = |peer: &Peer| stale.iter().find(|stale| stale.destination == peer.destination);
    let (first, one) = trunk.peers.iter().find_map(|peer| Some((peer, of_peer(peer)?)))?;
    let is_all = trunk.peers.iter().all(|peer| peer.servers.is_empty() || of_peer(peer).is_some());
    let host = &one.destination.host;
    let socket = one.servers.iter().find_map(|server| Some((server, server.sockets().next()?)));
    let known = socket.map(|(server, at)| format!("{} {at}", server.transport.as_str())).unwrap_or_default();
    let shown = format!("DNS had {known} before, which calls still use ({})", first.uri);
    let what = TrunkProblem::NameLost { host: host.clone(), is_gone: one.is_gone, is_all };
    let problem = Problem::of(ProblemKind::Trunk { trunk: name.to_string(), what });
    let restored = match one.is_gone {
        true => format!("have the DNS record of {host} restored, or correct `peers` of [trunk.{name}]"),
        false => format!(
            "check the name servers of this machine (/etc/resolv.conf): `trunkgate doctor`, line dns, asks them for {host}"
        ),
    };
    // A certificate is not valid for a bare address, so TLS peers need their names.
    let bridge = socket.filter(|(server, _)| server.transport != Transport::Tls).map(|(server, at)| {
        let transport = if server.transport == Transport::Udp { "" } else { ";transport=tcp" };
        format!("; if it has to restart, write `peers = [\"sip:{at}{transport}\"]` for the time being")
    });
    let fix = format!("do not restart the edge; {restored}{}", bridge.unwrap_or_default());
    Some(problem.shown_by(shown).fixed_by(fix))
}

/// Returns whether a trunk was not heard because this machine blocks packets to it, which is a problem of its own.
pub(super) fn is_unsent(trunk: &TrunkView, calls: u64, kind: &str) -> bool {
    kind == UNSENT && trunk.unsent.as_ref().is_some_and(|unsent| unsent.calls >= calls)
}

/// Returns the problem of calls of the last hour in which a trunk was not heard, if their share is significant. A
/// single live call has a problem of its own.
fn nothing_heard(trunk: &TrunkView, silent: &[SilentView]) -> Option<Problem> {
    let unheard = trunk.unheard.as_ref().filter(|unheard| unheard.still)?;
    let (calls, of) = (unheard.calls, unheard.of);
    let is_up = |silent: &SilentView| silent.name == trunk.name && silent.last_sid == unheard.last_sid;
    let is_told = calls == 1 && silent.iter().any(is_up) || is_unsent(trunk, calls, unheard.kind);
    let recent = unheard.recent;
    (is_many_of(calls, of, recent) && !is_told).then(|| {
        let is_silence = !unheard.kinds.is_empty() && unheard.kinds.iter().all(|one| one.kind == SILENCE);
        let kind = Unheard {
            party: Some(Party::Trunk(trunk.name.clone())),
            name: trunk.name.clone(),
            // Digital silence has other causes than missing packets.
            silence: if is_silence { Silence::Digital } else { Silence::NoMedia },
            cause: Some(unheard.kind),
            live_calls: None,
            tally: Some(tally((calls, of), recent, unheard.good_since)),
            both: unheard.both.clone(),
            taken_in: Vec::new(),
        };
        let problem = Problem::of(ProblemKind::Unheard(Box::new(kind))).harming(recent.calls, calls);
        problem.shown_by(&unheard.cause).fixed_by(&unheard.fix).traced_in(&unheard.last_sid)
    })
}

/// Returns whether the calls that were not heard are a significant share, in the last hour or in the last five minutes.
pub(super) fn is_many_of(calls: u64, of: u64, recent: AffectedCalls) -> bool {
    let is_share = |calls: u64, of: u64| calls * limits::UNHEARD_ONE_IN >= of;
    is_share(calls, of) || recent.calls >= limits::UNHEARD_LEAST && is_share(recent.calls, recent.of)
}

/// Returns the figures of a problem: harmed calls of the last hour and of the last five minutes, and successful calls
/// since.
pub(super) fn tally((calls, of): (u64, u64), recent: AffectedCalls, good_since: u64) -> Tally {
    Tally { calls, of, recent_calls: recent.calls, recent_of: recent.of, good_since }
}

/// Returns the problem of a trunk that rejects most calls and has not answered enough calls since; `None` for any
/// other.
fn rejecting(trunk: &TrunkView, way: &Way<'_>, is_gone: bool) -> Option<Problem> {
    let rejected = trunk.rejected.as_ref().filter(|rejected| rejects_many(rejected))?;
    let RejectedView { calls, of, recent, in_row, lost, good_since, fix, last_sid, .. } = rejected;
    let is_all = is_large_share(rejected) || in_row == of || *in_row == 0;
    let (harm, lost_callers, consequence) = way.without_rejecting(trunk, rejected);
    let what = TrunkProblem::Rejects {
        tally: tally((*calls, *of), *recent, *good_since),
        in_row: (!is_all).then_some(*in_row),
        lost: lost_callers,
        consequence,
        is_gone,
    };
    let why = way.why_lost(trunk, rejected).filter(|_| *lost > 0 || rejected.present_lost > 0);
    let leads_on = rejected.answers.first().is_some_and(|newest| newest.present && newest.leads_on);
    let fix = with_target_behind(fix, why.as_deref(), leads_on);
    let fix = if way.table.fallback_of(&trunk.name).is_some() { beside_a_target(&fix) } else { fix };
    let problem = Problem::of(ProblemKind::Trunk { trunk: trunk.name.clone(), what }).harms(harm);
    let problem = if is_gone { problem } else { problem.latest(rejected.at) };
    let problem = problem.shown_by(rejections(trunk, rejected)).fixed_by(fix).traced_in(last_sid);
    let [recent, of_hour] = rejected.present;
    let problem = problem.out(!is_gone && rejects_all(rejected));
    Some(problem.harming(recent, of_hour))
}

/// Adds to a fix the reason why the next target was not tried. The reason comes first, unless the newest code leads to
/// that target (`leads_on`).
fn with_target_behind(fix: &str, why: Option<&str>, leads_on: bool) -> String {
    match why {
        Some(why) if leads_on => format!("{fix}. {why}"),
        Some(why) => format!("{why}. {fix}"),
        None => fix.to_owned(),
    }
}

/// Returns further facts about rejections in parentheses: the fault of `auth`, and Retry-After.
fn aside(one: &RejectionView) -> Option<String> {
    let retry_after = one.retry_after.map(|seconds| format!("Retry-After {seconds}"));
    let parts: Vec<String> = one.fault.clone().into_iter().chain(retry_after).collect();
    (!parts.is_empty()).then(|| format!(" ({})", parts.join("; ")))
}

/// Lists the codes and texts of current rejections, newest first; then those from before a fix or reload; then the rest
/// of the back-off time.
fn rejections(trunk: &TrunkView, rejected: &RejectedView) -> String {
    let said = |one: &RejectionView, text: Option<&String>| {
        let mut said = format!("{}× {}", one.calls, one.code);
        text.iter().for_each(|text| said.push_str(&format!(" {text}")));
        said.push_str(&aside(one).filter(|_| one.present).unwrap_or_default());
        said
    };
    let listed = |shown: Vec<String>, all: usize| {
        let more = if all > shown.len() { ", …" } else { "" };
        format!("{}{more}", shown.join(", "))
    };
    let (present, mended): (Vec<&RejectionView>, Vec<&RejectionView>) =
        rejected.answers.iter().partition(|one| one.present);
    let told = present.iter().take(limits::REJECTIONS_TOLD).map(|one| said(one, one.text.as_ref())).collect();
    let mut shown = listed(told, present.len());
    if !mended.is_empty() {
        let told = mended.iter().take(limits::REJECTIONS_TOLD).map(|one| said(one, None)).collect();
        let before = if rejected.is_mended { "before that, and solved" } else { "before the reload" };
        shown.push_str(&format!("; {before}: {}", listed(told, mended.len())));
    }
    let addresses = trunk.peers.iter().flat_map(|peer| &peer.addresses);
    if let Some(seconds) = addresses.filter_map(|address| address.rests_seconds).max() {
        shown.push_str(&format!("; it requested no calls for {seconds} s more (Retry-After)"));
    }
    shown
}

/// Returns the problem of a poor mean MOS in the last hour, apart from packet loss; `None` if it is good, newer calls
/// were good, or too few calls were measured.
fn poor_audio(trunk: &str, quality: &TrunkQuality) -> Option<Problem> {
    let TrunkQuality { mos, calls, poor, is_poor, still, good_since, cause, fix, last_sid } = quality;
    (*is_poor && *still && *calls >= limits::POOR_LEAST).then(|| {
        let what = TrunkProblem::PoorAudio { mos: *mos, calls: *calls, good_since: *good_since };
        let cause = cause.as_deref().unwrap_or_default();
        let problem = Problem::of(ProblemKind::Trunk { trunk: trunk.to_owned(), what });
        let problem = problem.shown_by(format!("{poor} below 3.1, the latest: {cause}"));
        problem.fixed_by(fix.as_deref().unwrap_or_default()).traced_in(last_sid.as_deref().unwrap_or("last"))
    })
}

/// Returns the problem of calls with a fault that is significant even in one call; `None` if it no longer occurs.
fn faulty(trunk: &str, fault: Fault, found: &FaultView, way: &Way<'_>) -> Option<Problem> {
    let FaultView { calls, of, recent, cause, fix, last_sid, still, good_since, .. } = found;
    still.then(|| {
        let (harm, consequence) = match way.without_trunk(trunk) {
            // Without common codecs the call cannot be set up with this trunk, so it fails over.
            without if found.kind == FaultCause::Codecs.slug() && without.harm == Harm::Detour => {
                (Harm::Detour, without.consequence)
            }
            _ if found.kind == FaultCause::Codecs.slug() => (Harm::Calls, Consequence::Failed),
            _ => (Harm::Media, Consequence::None),
        };
        let what = TrunkProblem::Faulty { fault, tally: tally((*calls, *of), *recent, *good_since), consequence };
        let problem = Problem::of(ProblemKind::Trunk { trunk: trunk.to_owned(), what }).harms(harm).shown_by(cause);
        let problem = problem.fixed_by(fix).traced_in(last_sid).harming(recent.calls, *calls).latest(found.at);
        // One call among hundreds ranks below a trunk or agent without any successful call.
        if is_many_of(*calls, *of, *recent) { problem } else { problem.urgent(Urgency::Few) }
    })
}

#[cfg(test)]
mod tests {
    use trunkgate_sip::Transport;

    use super::*;

    #[test]
    fn a_trunk_without_an_address_is_sought_in_dns() {
        let peer = |uri: &str| PeerView { uri: uri.to_owned(), state: "down", addresses: Vec::new() };
        let fix = fix_of_down("carrier", &[peer("sip:sbc.carrier.example:5070")], "name not found in DNS", &[]);
        assert!(fix.starts_with("check the host name in `peers` of [trunk.carrier]"), "{fix}");
        assert!(fix.ends_with("AAAA of sbc.carrier.example") && !fix.contains("firewall"), "{fix}");
    }

    #[test]
    fn the_advice_of_the_newest_code_comes_first() {
        let (fix, why) = ("Compare `max_calls`", Some("spare was not tried"));
        assert_eq!(with_target_behind(fix, why, true), "Compare `max_calls`. spare was not tried");
        assert_eq!(with_target_behind(fix, why, false), "spare was not tried. Compare `max_calls`");
        assert_eq!(with_target_behind(fix, None, true), fix);
    }

    #[test]
    fn rejections_have_what_is_wrong_with_auth_and_how_long_no_calls_are_wanted() {
        let one = |fault: Option<&str>, retry_after| RejectionView {
            code: 503,
            text: None,
            fault: fault.map(str::to_owned),
            retry_after,
            leads_on: true,
            calls: 2,
            present: true,
        };
        assert_eq!(aside(&one(None, None)), None);
        assert_eq!(aside(&one(None, Some(30))).as_deref(), Some(" (Retry-After 30)"));
        assert_eq!(aside(&one(Some("wrong"), Some(9))).as_deref(), Some(" (wrong; Retry-After 9)"));
    }

    #[test]
    fn poor_audio_is_a_problem_from_three_calls_on_until_it_is_better() {
        let quality = TrunkQuality {
            mos: 2.41,
            calls: 12,
            poor: 9,
            is_poor: true,
            still: true,
            good_since: 0,
            cause: Some("MOS 2.1, 0.0 % packet loss, jitter 60 ms, codec PCMU".to_owned()),
            fix: Some("look for a saturated link".to_owned()),
            last_sid: Some("CA1".to_owned()),
        };
        let problem = poor_audio("carrier", &quality).unwrap();
        assert_eq!(problem.harm, Harm::Media);
        assert_eq!(
            problem.to_string(),
            "poor audio from carrier: MOS 2.4 on average in 12 calls of the last hour: 9 below 3.1, the latest: MOS 2.1, 0.0 % packet \
             loss, jitter 60 ms, codec PCMU; try: look for a saturated link; see: trunkgate trace CA1"
        );
        for other in [
            TrunkQuality { calls: limits::POOR_LEAST - 1, ..quality.clone() },
            TrunkQuality { is_poor: false, ..quality.clone() },
            TrunkQuality { still: false, ..quality.clone() },
        ] {
            assert_eq!(poor_audio("carrier", &other), None, "{other:?}");
        }
    }

    #[test]
    fn a_trunk_is_down_for_what_its_own_addresses_said() {
        let address = |n: u8, state, problem: Option<&str>| AddressView {
            transport: Transport::Udp,
            address: ([192, 0, 2, n], 5060).into(),
            state,
            down_since: None,
            last_options: None,
            rtt_ms: None,
            failures: 3,
            rests_seconds: None,
            next_check_seconds: None,
            last_problem: problem.map(str::to_owned),
            host_rejected: false,
        };
        let peer = |addresses| PeerView { uri: "sip:pbx.example".to_owned(), state: "down", addresses };
        let down = |n| address(n, "down", Some("503 to OPTIONS"));
        let one =
            [peer(vec![address(1, "unknown", Some("no [[listen]] has its transport and address family")), down(2)])];
        assert_eq!(why_down(&one, &[]), "192.0.2.2:5060: 503 to OPTIONS");
        assert_eq!(why_down(&[peer(vec![address(1, "down", None)])], &[]), "192.0.2.1:5060: no answer");
        let many = [peer((1..=4).map(down).collect()), peer(vec![down(5)])];
        assert!(why_down(&many, &[]).ends_with("192.0.2.3:5060: 503 to OPTIONS; and 2 more"), "{many:?}");
        assert_eq!(why_down(&[], &[]), "no answer");
        assert_eq!(why_down(&[peer(vec![])], &[]), "sip:pbx.example: name not found in DNS (name_not_found)");
        let failed = [("pbx.example".to_owned(), NameFault::Unanswered)];
        let why = why_down(&[peer(vec![])], &failed);
        assert_eq!(why, "sip:pbx.example: no DNS server answers for pbx.example");
        let fix = fix_of_down("pbx", &[peer(vec![])], &why, &failed);
        assert!(fix.starts_with("check the name servers of this machine"), "{fix}");
        assert_eq!(name_fault("sip:my-pbx.example", &failed), NameFault::NotFound, "another name that ends alike");
    }
}

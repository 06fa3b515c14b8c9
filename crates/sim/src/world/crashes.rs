//! Crashes of the edge: the process ends without a goodbye, and another one starts from the state file. The invariants
//! of the calls that continue are here. Crashes have their own random generator, so that the other events of a seed
//! stay unchanged.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha12Rng;
use trunkgate_media::{EndId, MediaCommand, MediaId, OwnSources};
use trunkgate_sip::Transport;

use super::actions::WorldAction;
use super::{SimEvent, World};
use crate::edge;
use crate::proxy::value;

/// Maximum downtime of a crashed edge, in milliseconds.
const DOWN_MS: u64 = 3_000;
/// Interval of checks of time limits.
const CHECK_INTERVAL: Duration = Duration::from_millis(500);
/// `max_call` of the agent that has one.
const MAX_CALL: Duration = Duration::from_secs(8);
/// Agent with a maximum call time and no goodbye.
const LIMITED_AGENT: &str = "night";

/// Dialog of the edge, as its own requests name it: Call-ID, own tag, tag of the remote party.
type OwnDialog = (String, String, String);

/// Crashes of a run, and the state of the calls that must continue.
#[derive(Debug)]
pub(crate) struct SimCrashes {
    rng: ChaCha12Rng,
    /// Whether the edge crashes soon after its next request within a dialog.
    is_armed: bool,
    /// Whether the outputs of a restore are being drained.
    is_restoring: bool,
    /// Highest CSeq of the edge's requests in each dialog, and their branches.
    requests: BTreeMap<OwnDialog, (u32, BTreeSet<String>)>,
    /// Dialogs in which the edge has sent a BYE.
    over: BTreeSet<OwnDialog>,
    /// Media ends with a remote party that a restore has opened again.
    ends: BTreeSet<(MediaId, EndId)>,
    /// SIDs of calls that continued after a crash.
    pub(crate) continued: BTreeSet<String>,
    /// First time at which a call was seen with the limited agent.
    limited: BTreeMap<String, Instant>,
    /// Time of the next check of time limits.
    next_check: Instant,
}

impl SimCrashes {
    /// Returns the crashes of a run, none of which has happened.
    pub(crate) fn new(seed: u64, now: Instant) -> SimCrashes {
        SimCrashes {
            rng: ChaCha12Rng::seed_from_u64(seed ^ 0x6372_6173_6865_6421),
            is_armed: false,
            is_restoring: false,
            requests: BTreeMap::new(),
            over: BTreeSet::new(),
            ends: BTreeSet::new(),
            continued: BTreeSet::new(),
            limited: BTreeMap::new(),
            next_check: now,
        }
    }

    /// Checks that the CSeq of the edge's requests in a dialog rises.
    fn check_cseq(&mut self, text: &str) -> Result<(), String> {
        let tag = |name| value(text, name).split(";tag=").nth(1).map(|tag| tag.split(';').next().unwrap_or_default());
        let cseq = value(text, "CSeq").split(' ').next().and_then(|number| number.parse::<u32>().ok());
        let is_own = text.starts_with("ACK ") || text.starts_with("CANCEL ") || text.starts_with("SIP/2.0 ");
        let (false, Some(ours), Some(theirs), Some(cseq)) = (is_own, tag("From"), tag("To"), cseq) else {
            return Ok(());
        };
        let dialog = (value(text, "Call-ID").to_owned(), ours.to_owned(), theirs.to_owned());
        let branch = value(text, "Via").split("branch=").nth(1).unwrap_or_default().to_owned();
        // A request that is challenged after the BYE is repeated with the CSeq that follows its own.
        if self.over.contains(&dialog) {
            return Ok(());
        }
        if text.starts_with("BYE ") {
            self.over.insert(dialog.clone());
        }
        let (last, branches) = self.requests.entry(dialog).or_default();
        let is_new = branches.insert(branch);
        if is_new && cseq <= *last {
            let first = text.lines().next().unwrap_or_default();
            return Err(format!("CSeq {cseq} of {first:?} follows {last} in {}", value(text, "Call-ID")));
        }
        *last = (*last).max(cseq);
        Ok(())
    }
}

/// Schedules the crashes of a seed.
pub(crate) fn plan(world: &mut World) {
    let latest = world.options.busy.saturating_sub(Duration::from_millis(DOWN_MS + 500));
    for _ in 0..world.options.crashes {
        let at = world.start + latest.mul_f64(world.crashes.rng.random());
        let is_after_request = world.crashes.rng.random_bool(0.4);
        world.at(at, SimEvent::Act(WorldAction::Crash { is_after_request }));
    }
}

/// Crashes the edge now, or soon after its next request within a dialog.
pub(crate) fn crash(world: &mut World, is_after_request: bool) {
    let latest = world.start + world.options.busy - Duration::from_millis(DOWN_MS + 100);
    if is_after_request {
        world.crashes.is_armed = true;
        return;
    }
    if world.now > latest {
        return;
    }
    let now = world.now;
    world.crashes.is_armed = false;
    world.rough = true;
    world.before.forget();
    let table = edge::table(&world.options, world.table_version, false);
    if let Err(what) = world.edge.crash(now, table) {
        world.fail(what);
    }
    world.summary.crashes += 1;
    world.summary.restarts += 1;
    // Events of the process are lost with it, and so is the content of its connections.
    world.queue.retain(|_, event| match event {
        SimEvent::ToEdge(flow, _) => flow.transport == Transport::Udp,
        SimEvent::Lost(_)
        | SimEvent::Agent(..)
        | SimEvent::Told
        | SimEvent::Mix
        | SimEvent::Resolved(..)
        | SimEvent::Answered(..)
        | SimEvent::Recorded(_) => false,
        SimEvent::ToPhone(..)
        | SimEvent::Rtp { .. }
        | SimEvent::ToRegistrar(_)
        | SimEvent::ToVault(_)
        | SimEvent::Record
        | SimEvent::Recover
        | SimEvent::Act(_) => true,
    });
    world.crashes.ends.clear();
    let down = Duration::from_millis(world.crashes.rng.random_range(30..DOWN_MS));
    world.at(now + down, SimEvent::Recover);
}

/// Starts the edge after a crash. Calls that do not continue get their records from the journal of live calls.
pub(crate) fn recover(world: &mut World) {
    let now = world.now;
    let table = edge::table(&world.options, world.table_version, false);
    let recorded: BTreeSet<&String> = world.records.iter().collect();
    let continued = match world.edge.recover(now, table, &recorded) {
        Ok(continued) => continued,
        Err(what) => return world.fail(what),
    };
    let lost: Vec<String> =
        world.began.iter().filter(|sid| !recorded.contains(sid) && !continued.contains(*sid)).cloned().collect();
    for sid in lost {
        world.log.line(now, format_args!("journal {sid}"));
        world.summary.cut_short += 1;
        world.records.push(sid);
    }
    for sid in &continued {
        world.log.line(now, format_args!("goes on {sid}"));
    }
    world.summary.continued += continued.len() as u64;
    world.crashes.continued.extend(continued);
    world.crashes.is_restoring = true;
    world.drain_gateway();
    world.crashes.is_restoring = false;
}

/// Checks a SIP message of the edge: its CSeq rises, and it knows the dialogs of calls that continue. Crashes the edge
/// soon after, if that is due.
pub(crate) fn sent(world: &mut World, bytes: &[u8]) {
    if world.options.crashes == 0 {
        return;
    }
    let text = String::from_utf8_lossy(bytes);
    if let Err(what) = world.crashes.check_cseq(&text) {
        world.fail(what);
    }
    let is_in_dialog = value(&text, "To").contains(";tag=") && !text.starts_with("SIP/2.0 ");
    if is_in_dialog && world.crashes.is_armed {
        world.crashes.is_armed = false;
        let after = Duration::from_micros(world.crashes.rng.random_range(50..25_000));
        world.at(world.now + after, SimEvent::Act(WorldAction::Crash { is_after_request: false }));
    }
    let method = value(&text, "CSeq").split(' ').nth(1).unwrap_or_default();
    if text.starts_with("SIP/2.0 481") && ["INVITE", "UPDATE", "BYE", "INFO"].contains(&method) {
        // The other phone of a forked INVITE may have answered while the edge was down.
        let call_id = value(&text, "Call-ID");
        if world.proxy.has_forked(call_id.as_bytes()) {
            return;
        }
        let calls = world.edge.gateway.calls(world.now);
        let mut live = calls.iter().filter(|call| call.state != "ended" && world.crashes.continued.contains(&call.sid));
        if live.any(|call| call.legs.iter().any(|leg| leg.state != "ended" && leg.sip_call_id == call_id)) {
            world.fail(format!("the edge does not know the dialog of {call_id}, which it has continued"));
        }
    }
}

/// Checks that SRTP of a restored end begins under a new SSRC, and that packets are accepted after a roll-over. No call
/// of a simulation is old enough for a second one.
pub(crate) fn commanded(world: &mut World, id: MediaId, command: &MediaCommand) {
    if let MediaCommand::SetRemote { end, remote } = command {
        if world.crashes.is_restoring {
            world.crashes.ends.insert((id, *end));
        }
        let srtp = remote.srtp.as_ref().filter(|_| world.crashes.ends.contains(&(id, *end)));
        if srtp.is_some_and(|srtp| !srtp.own_sources.is_some_and(OwnSources::is_resumed) || srtp.rolled == 0) {
            world.fail(format!("end {} of {id:?} is restored, and its SRTP is not resumed", end.0));
        }
    } else if let MediaCommand::MoveEnd { end, to, named } = command {
        if world.crashes.ends.remove(&(id, *end)) {
            world.crashes.ends.insert((*to, *named));
        }
    } else if let MediaCommand::RemoveEnd { end } = command {
        world.crashes.ends.remove(&(id, *end));
    } else if matches!(command, MediaCommand::Close) {
        world.crashes.ends.retain(|(of, _)| *of != id);
    }
}

/// Checks, at intervals, that [`LIMITED_AGENT`] has no caller for longer than its `max_call`, whether the edge crashed
/// meanwhile or not.
pub(crate) fn check_limits(world: &mut World) -> Result<(), String> {
    let crashes = &mut world.crashes;
    if world.options.crashes == 0
        || world.now < crashes.next_check
        || world.edge.is_down()
        || world.freezes.until().is_some()
    {
        return Ok(());
    }
    crashes.next_check = world.now + CHECK_INTERVAL;
    let calls = world.edge.gateway.calls(world.now);
    let live = calls.iter().filter(|call| call.state != "ended");
    let mut talking = BTreeSet::new();
    for call in live {
        let legs = || call.legs.iter().filter(|leg| leg.agent == LIMITED_AGENT && leg.state != "ended");
        if legs().next().is_none() {
            continue;
        }
        talking.insert(call.sid.clone());
        if legs().any(|leg| leg.state == "answered") {
            let since = *crashes.limited.entry(call.sid.clone()).or_insert(world.now);
            if world.now > since + MAX_CALL + CHECK_INTERVAL {
                return Err(format!("{LIMITED_AGENT} has {} for longer than its max_call", call.sid));
            }
        }
    }
    crashes.limited.retain(|sid, _| talking.contains(sid));
    Ok(())
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // a test's time has to begin somewhere
mod tests {
    use super::*;

    #[test]
    fn a_cseq_that_does_not_rise_is_noticed() {
        let request = |method: &str, cseq: u32, branch: &str| {
            format!(
                "{method} sip:b@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.1;branch={branch}\r\nFrom: <sip:a@b>;tag=1\r\n\
                 To: <sip:b@b>;tag=2\r\nCall-ID: c\r\nCSeq: {cseq} {method}\r\n\r\n"
            )
        };
        let mut crashes = SimCrashes::new(1, Instant::now());
        let mut check = |method, cseq, branch| crashes.check_cseq(&request(method, cseq, branch)).is_ok();
        assert!(check("INVITE", 33, "a") && check("INVITE", 33, "a"), "a retransmission");
        assert!(check("ACK", 33, "b") && check("UPDATE", 34, "c") && check("INVITE", 33, "a"));
        assert!(!check("UPDATE", 34, "d") && !check("INFO", 2, "e"));
        assert!(check("BYE", 35, "f") && check("UPDATE", 35, "g"), "the dialog is over");
    }
}

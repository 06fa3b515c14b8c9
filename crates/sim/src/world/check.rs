//! Invariants that are checked after each step, and at the end, when no state may be left.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Instant;

use trunkgate_call::conferences_live;
use trunkgate_phone::{AnswerKind, CallEnding, PhoneCall, PhoneCallState};

use super::apps::SimApp;
use super::transfers::{self, transferred};
use super::{World, registrations, sessions};
use crate::options::SeedOptions;
use crate::places::{AGENTS, APPS, ELSEWHERE};

/// Violated invariant, with the information to reproduce it.
#[derive(Debug, Clone)]
pub struct InvariantFailure {
    /// Options that the seed determined.
    pub options: SeedOptions,
    /// Description of the violated invariant.
    pub what: String,
    /// Virtual time since the start, in seconds.
    pub at_s: f64,
    /// Last lines of the event log, or all of them.
    pub tail: Vec<String>,
}

impl fmt::Display for InvariantFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.tail {
            writeln!(f, "{line}")?;
        }
        writeln!(f, "seed {} at {:.6} s: {}", self.options.seed, self.at_s, self.what)?;
        writeln!(f, "options: {}", self.options)?;
        write!(f, "again: cargo run -p trunkgate-sim -- --seed {}", self.options.seed)
    }
}

/// Minimum number of port pairs with which the edge does not reuse a port immediately.
const ROTATING_PAIRS: u16 = 16;
/// Number of frames sent after which a voice must have been heard.
const ENOUGH_FRAMES: u64 = 8;
/// Frames that may be in transit while a call begins, changes or ends.
const STRAY_FRAMES: u64 = 4;

fn is_elsewhere(callee: &PhoneCall, caller: &PhoneCall) -> bool {
    callee.called().is_empty() && caller.called().starts_with(ELSEWHERE)
}

/// Returns a failure with the last log lines of the world.
pub(super) fn failed(world: &World, what: String) -> InvariantFailure {
    InvariantFailure {
        options: world.options.clone(),
        what,
        at_s: world.now.saturating_duration_since(world.start).as_secs_f64(),
        tail: world.log.tail(),
    }
}

/// Checks, after each step, that phones received no damaged audio, and no SRTP that they cannot decrypt.
pub(super) fn audio(world: &World) -> Result<(), String> {
    for seat in &world.seats {
        let damaged = seat.phone.calls().find(|call| call.judge().damaged() + call.judge().not_rtp() > 0);
        let unopened = seat.phone.calls().find(|call| call.unopened() > 0);
        if let Some(call) = damaged.or(unopened) {
            return Err(format!("{} heard damaged audio in {:?}", seat.phone.config().name, call.number()));
        }
    }
    Ok(())
}

/// Checks, at the end, that no state is left and that each call has its record.
pub(super) fn end(world: &World, end: Instant) -> Result<(), String> {
    let gateway = &world.edge.gateway;
    if let Some(call) = gateway.calls(world.now).into_iter().find(|call| call.state != "ended") {
        return Err(format!("call {} is stuck in {}", call.sid, call.state));
    }
    let metrics = gateway.metrics();
    for (name, count) in [
        ("live calls", gateway.live_calls() as u64),
        ("transactions", metrics.sip.transactions_active),
        ("dialogs", metrics.sip.dialogs_active),
        ("media ports", metrics.media_ports_in_use),
        ("conferences", conferences_live(gateway)[0] as u64),
        ("parties at the mixers", world.edge.node.parties() as u64),
        ("media sessions", world.edge.sessions.len() as u64),
        ("bound ports", world.edge.ports.len() as u64),
        ("agents' sockets", world.edge.sockets.live() as u64),
        ("agents' sockets counted", metrics.agent.sessions),
        ("recordings", world.edge.recorded.open() as u64),
        ("callers that wait", metrics.agent.waiting.values().sum()),
        ("calls of trunks", metrics.calls_active.values().sum()),
    ] {
        if count != 0 {
            return Err(format!("{count} {name} are left"));
        }
    }
    if let Some((at, reason)) = gateway.poll_timeout().filter(|(at, _)| *at <= end) {
        return Err(format!("the gateway still wants {reason} {:?} ago", end - at));
    }
    phones(world)?;
    patience(world)?;
    acknowledgements(world)?;
    sessions::check(world)?;
    transfers::news(world)?;
    records(world)?;
    SimApp::check(world)?;
    world.recordings.check()?;
    voices(world)?;
    registrations::bindings(world)?;
    registrations::reached(world)?;
    heard(world)
}

fn phones(world: &World) -> Result<(), String> {
    for seat in world.seats.iter().filter(|seat| !seat.dead && !seat.deaf) {
        let name = &seat.phone.config().name;
        if let Some(call) = seat.phone.calls().find(|call| call.state() != PhoneCallState::Ended) {
            return Err(format!(
                "{name} does not know that {:?} [{}] is over: {:?}",
                call.number(),
                String::from_utf8_lossy(call.call_id()),
                call.state()
            ));
        }
        let counts = seat.phone.counts();
        if counts.servers + counts.clients + counts.dialogs != 0 {
            return Err(format!("{name} has {counts:?} left"));
        }
    }
    Ok(())
}

/// Checks that, without network faults, the edge ends each leg that it began: no phone is left ringing or alone in a
/// call.
fn patience(world: &World) -> Result<(), String> {
    if world.rough || world.was_frozen() {
        return Ok(());
    }
    for seat in &world.seats {
        let left = |call: &&PhoneCall| {
            let ending = call.ending();
            let rang = !call.is_outgoing() && call.answered_at().is_none();
            let is_missing = matches!(ending, Some(CallEnding::AckMissing | CallEnding::PrackMissing));
            is_missing || (rang && ending == Some(CallEnding::GaveUp))
        };
        if let Some(call) = seat.phone.calls().find(left) {
            let name = &seat.phone.config().name;
            return Err(format!("{name} was left alone in {:?}: {:?}", call.number(), call.ending()));
        }
    }
    Ok(())
}

/// Checks that, without network faults, the edge misses an ACK only if a phone omits it, or has given up its call.
fn acknowledgements(world: &World) -> Result<(), String> {
    let calls = || world.seats.iter().flat_map(|seat| seat.phone.calls());
    let omits = |call: &&PhoneCall| call.never_acks() || call.is_outgoing() && call.answered_at().is_none();
    let omitted = calls().filter(omits).count();
    if !world.rough && world.unacknowledged > omitted {
        return Err(format!("{} calls ended without an ACK, which {omitted} phones omitted", world.unacknowledged));
    }
    Ok(())
}

fn records(world: &World) -> Result<(), String> {
    let unique: BTreeSet<&String> = world.records.iter().collect();
    if unique.len() != world.records.len() {
        return Err(format!("{} records of {} calls", world.records.len(), unique.len()));
    }
    // A call that a restart forgot while ringing has no record; in production, the journal provides one. After a crash
    // the simulated journal does.
    let is_forgotten = world.summary.restarts > world.summary.crashes;
    let left = world.began.iter().find(|sid| !is_forgotten && !unique.contains(sid));
    if let Some(sid) = left {
        return Err(format!("call {sid} has begun and has no record"));
    }
    // A restart resets the counters of the gateway.
    if world.summary.restarts == 0 {
        let counted: u64 = world.edge.gateway.metrics().calls.values().sum();
        let (shown, records) = (world.edge.gateway.calls(world.now).len(), world.records.len());
        // A call refused by a limit is counted, but has no record.
        if shown != records || counted < records as u64 || (!world.limited && counted != records as u64) {
            return Err(format!("{records} records, {shown} calls shown, {counted} counted"));
        }
    }
    Ok(())
}

/// Checks that each voice heard in a call belongs to it, that is, called the same number.
fn voices(world: &World) -> Result<(), String> {
    let calls = || world.seats.iter().flat_map(|seat| seat.phone.calls());
    let speakers: BTreeMap<u32, &PhoneCall> = calls().map(|call| (call.ssrc(), call)).collect();
    // If a restart forgot a ringing call, its phone is not notified and may send to the port of a later call with the
    // same trunk, which takes the phone for its remote party. A phone that missed a BYE does the same.
    let is_forgotten = |call: &PhoneCall| {
        let ended_alone = matches!(call.ending(), Some(CallEnding::AckMissing | CallEnding::GaveUp));
        let untold = world.summary.restarts > 0 || world.seats.iter().any(|seat| seat.deaf);
        untold && ended_alone
    };
    // With few ports, a freed one is reused at once, and a phone that has not noticed the end of its call (missing
    // ACK, lost BYE) still sends to it. A normal pool rotates.
    if world.options.port_pairs < ROTATING_PAIRS {
        return Ok(());
    }
    for call in calls() {
        for verdict in call.judge().voice_reports() {
            match speakers.get(&verdict.ssrc) {
                Some(speaker) if speaker.called() == call.called() => {}
                // A target that is a bare URI has no user part, so the called number does not match.
                Some(speaker) if is_elsewhere(speaker, call) || is_elsewhere(call, speaker) => {}
                Some(speaker) if is_forgotten(speaker) || is_forgotten(call) => {}
                Some(speaker) => {
                    return Err(format!("the call to {} hears the call to {}", call.called(), speaker.called()));
                }
                None => return Err(format!("the call to {} hears nobody's voice", call.called())),
            }
        }
    }
    Ok(())
}

/// Returns the number of phones that sent early media in calls to a number.
fn speaks_early(world: &World, called: &str) -> usize {
    let calls = world.seats.iter().flat_map(|seat| seat.phone.calls());
    calls
        .filter(|call| !call.is_outgoing() && call.called() == called)
        .filter(|call| matches!(call.answer_kind(), Some(AnswerKind::Early { .. })))
        .count()
}

/// Checks that, without network faults, each phone in an answered call was heard.
fn heard(world: &World) -> Result<(), String> {
    if world.rough || world.was_frozen() {
        return Ok(());
    }
    // Media reaches no phone after a late 200, nor as early media if the caller's INVITE had no offer.
    let talked = |call: &&PhoneCall| {
        call.answered_at().is_some()
            && !call.never_acks()
            && !matches!(call.answer_kind(), Some(AnswerKind::Late { .. }))
    };
    let unheard = |callee: &PhoneCall, caller: &PhoneCall| {
        matches!(callee.answer_kind(), Some(AnswerKind::Early { .. })) && !caller.has_early_offer()
    };
    // A transferred party talks with different phones before and after the transfer.
    let transferred = transferred(world);
    // In a forked call, only the first phone that answers is heard.
    let stays = |call: &&PhoneCall| !transferred.contains(call.called()) && !world.proxy.has_forked(call.call_id());
    let calls = || world.seats.iter().flat_map(|seat| seat.phone.calls()).filter(talked).filter(stays);
    for (from, to) in calls().flat_map(|from| calls().map(move |to| (from, to))) {
        // Phones discard the audio of calls with an agent or an application.
        if from.called().starts_with(AGENTS) || from.called().starts_with(APPS) {
            continue;
        }
        // A phone that only the edge holds is not notified and continues to send. So does a phone that is held before
        // the answer, or that asks for an offer while it is held.
        let (held, asked) = (from.has_held() || to.has_held(), from.has_asked() || to.has_asked());
        let early = [from, to].iter().any(|call| matches!(call.answer_kind(), Some(AnswerKind::Early { .. })));
        if held && (asked || early || world.options.holds_end_here.contains(&true)) {
            continue;
        }
        if from.is_outgoing() == to.is_outgoing() || from.called() != to.called() || unheard(from, to) {
            continue;
        }
        // Of several phones with early media, only one is heard.
        if early && !from.is_outgoing() && speaks_early(world, from.called()) > 1 {
            continue;
        }
        // Of several ringing phones, one may have been heard before another answered.
        let ears = world.seats.iter().flat_map(|seat| seat.phone.calls()).filter(|call| call.called() == to.called());
        let verdicts = ears.flat_map(|call| call.judge().voice_reports());
        let heard: u64 = verdicts.filter(|v| v.ssrc == from.ssrc()).map(|v| v.packets).sum();
        let sent = u64::from(from.sent());
        if sent >= ENOUGH_FRAMES && heard + STRAY_FRAMES < sent {
            return Err(format!("{heard} of {sent} frames were heard in the call to {}", to.called()));
        }
    }
    Ok(())
}

//! Outcome of the calls: lost ones, their records and recordings, and streams that began again on an upgrade.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::Value;

use super::exchange::{Progress, Role};
use super::judge::EventKind;
use super::kinds::Promise;
use super::recording::{Recording, length_ms};
use super::rig::{Rig, RigCall};

/// Maximum wait for all records after the last call has ended.
const RECORDS: Duration = Duration::from_secs(20);

/// Figures of the calls of one kind.
#[derive(Debug, Default, Clone)]
pub(super) struct CallFigures {
    pub(super) calls: usize,
    /// Answered calls that ended, or that could not be hung up.
    pub(super) lost: usize,
    /// BYEs that no party sent.
    pub(super) byes: usize,
    /// Calls without a record or with two.
    pub(super) wrong_records: usize,
    /// Streams, recording sessions and connections that began again on an upgrade.
    pub(super) begun_again: usize,
    /// Recordings that are missing, or of the wrong length.
    pub(super) wrong_recordings: usize,
    /// Calls being set up that neither rang on nor ended cleanly.
    pub(super) unclean: usize,
}

/// Upgrades and crashes by the clock of the parties.
pub(super) type Times = [(EventKind, Instant)];

/// Judges the calls that are set up after an event, and renews those that did not stay as they were.
pub(super) fn renew(rig: &mut Rig, figures: &mut [CallFigures]) -> anyhow::Result<()> {
    for id in 0..rig.calls.len() {
        let Some(call) = rig.calls.get(id) else { continue };
        let (kind, key) = (call.kind, call.key.clone());
        let Some(shape) = rig.kinds.get(kind).copied().filter(|shape| shape.is_renewed()) else { continue };
        let caller = key.and_then(|key| rig.exchange.dialog(&key));
        let phone = if shape.on_upgrade == Promise::RingsOrEnds { Role::Called } else { Role::Target };
        let phone = rig.newest(id, phone).map(|(_, dialog)| dialog);
        let is_ringing = phone.as_ref().is_some_and(|phone| phone.progress == Progress::Ringing);
        let is_cancelled = phone.as_ref().is_some_and(|phone| phone.is_cancelled);
        let is_clean = if shape.on_upgrade == Promise::RingsOrEnds {
            let goes_on = caller.as_ref().is_none_or(|caller| caller.progress == Progress::Ringing);
            let is_refused = caller.as_ref().is_none_or(|caller| caller.code == 503);
            if is_ringing && goes_on {
                continue;
            }
            is_refused && is_cancelled
        } else {
            caller.as_ref().is_some_and(|caller| caller.progress == Progress::Answered) && (is_ringing || is_cancelled)
        };
        let figures = figures.get_mut(kind).context("no such kind")?;
        if !is_clean {
            figures.unclean += 1;
            eprintln!(
                "a call of the kind \"{}\" is not clean: caller {:?}, phone {:?}",
                shape.name,
                caller.as_ref().map(|caller| (caller.progress, caller.code)),
                phone.as_ref().map(|phone| (phone.progress, phone.is_cancelled))
            );
        }
        if shape.is_answered() && caller.is_none_or(|caller| caller.bye.is_some()) {
            figures.lost += 1;
        }
        rig.renew(id)?;
    }
    Ok(())
}

/// Hangs up all calls, ends the edge and judges what it leaves.
pub(super) fn finish(rig: &mut Rig, figures: &mut [CallFigures], times: &Times) -> anyhow::Result<()> {
    count_begun_again(rig, figures, times);
    for id in 0..rig.calls.len() {
        let Some(call) = rig.calls.get(id) else { continue };
        let Some(shape) = rig.kinds.get(call.kind).copied() else { continue };
        let dialogs = rig.exchange.dialogs(id);
        let is_due = |role: Role| shape.on_upgrade == Promise::CallerGoesOn && role != Role::Caller;
        let byes = dialogs.iter().filter(|(_, dialog)| dialog.bye.is_some() && !is_due(dialog.role)).count();
        let is_ended = rig.end(id).unwrap_or_else(|error| {
            eprintln!("a call of the kind \"{}\" cannot be hung up: {error:#}", shape.name);
            false
        });
        let called = rig.newest(id, Role::Called).filter(|(_, dialog)| dialog.progress == Progress::Answered);
        let is_heard =
            called.is_none_or(|(key, _)| rig.exchange.wait(&key, |dialog| dialog.progress == Progress::Ended).is_ok());
        let figures = figures.get_mut(call.kind).context("no such kind")?;
        figures.calls += 1;
        figures.byes += byes;
        figures.lost += usize::from(shape.is_answered() && (!is_ended || !is_heard));
    }
    let placed = rig.placed.len();
    // Missing records are judged below.
    drop(rig.edge.wait_until("all calls have records", RECORDS, |edge| Ok(edge.records()?.len() >= placed)));
    let recordings = Recording::all(&rig.edge)?;
    rig.edge.end()?;
    let records = rig.edge.records()?;
    count_records(rig, figures, &records);
    count_recordings(rig, figures, &records, &recordings, times);
    Ok(())
}

fn count_begun_again(rig: &Rig, figures: &mut [CallFigures], times: &Times) {
    for (n, (_, began)) in times.iter().enumerate().filter(|(_, (kind, _))| *kind == EventKind::Upgrade) {
        let until = times.get(n + 1).map_or_else(Instant::now, |(_, next)| *next);
        let is_in_time = |at: &Instant| (*began..until).contains(at);
        for (kind, bot) in &rig.bots {
            let starts = bot.starts().iter().filter(|at| is_in_time(at)).count();
            figures.get_mut(*kind).into_iter().for_each(|figures| figures.begun_again += starts);
        }
        for (kind, line) in &rig.connections {
            let closed = rig.exchange.closed(&[*line], *began, until);
            figures.get_mut(*kind).into_iter().for_each(|figures| figures.begun_again += closed);
        }
        let has_recorder = |call: &RigCall| rig.kinds.get(call.kind).is_some_and(|kind| kind.has_recorder);
        for (id, call) in rig.calls.iter().enumerate().filter(|(_, call)| has_recorder(call)) {
            let dialogs = rig.exchange.dialogs(id);
            let sessions =
                dialogs.iter().filter(|(_, dialog)| dialog.role == Role::Recorder && is_in_time(&dialog.began));
            figures.get_mut(call.kind).into_iter().for_each(|figures| figures.begun_again += sessions.clone().count());
        }
    }
}

fn count_records(rig: &Rig, figures: &mut [CallFigures], records: &[Value]) {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for number in records.iter().filter_map(|record| record["to"].as_str()) {
        *counts.entry(number).or_default() += 1;
    }
    for (kind, number) in &rig.placed {
        let count = counts.get(number.as_str()).copied().unwrap_or_default();
        if count != 1 {
            eprintln!("{count} records of a call to {number}");
            figures.get_mut(*kind).into_iter().for_each(|figures| figures.wrong_records += 1);
        }
    }
}

/// Compares each recording with its call, and its gaps with the crashes.
fn count_recordings(rig: &Rig, figures: &mut [CallFigures], records: &[Value], all: &[Recording], times: &Times) {
    let count = |wanted| times.iter().filter(|(kind, _)| *kind == wanted).count();
    let events = (count(EventKind::Crash), count(EventKind::Freeze));
    for (kind, number) in
        rig.placed.iter().filter(|(kind, _)| rig.kinds.get(*kind).is_some_and(|kind| kind.is_recorded))
    {
        let record = records.iter().find(|record| record["to"] == number.as_str());
        let of_call = |one: &&Recording| record.is_some_and(|record| one.entry["call_sid"] == record["sid"]);
        let own: Vec<&Recording> = all.iter().filter(of_call).collect();
        let is_right = match (record, own.as_slice()) {
            (Some(record), [recording]) => recording.is_whole(record, events).unwrap_or_default(),
            _ => false,
        };
        if !is_right {
            let own: Vec<String> = own.iter().map(|one| one.to_string()).collect();
            eprintln!("call to {number} of {:?} ms, recordings: {}", record.and_then(length_ms), own.join(" and "));
            figures.get_mut(*kind).into_iter().for_each(|figures| figures.wrong_recordings += 1);
        }
    }
    for (at, kind) in rig.kinds.iter().enumerate().filter(|(_, kind)| kind.route.contains("room-")) {
        let of_rooms = all.iter().filter(|recording| recording.entry["source"] == "Conference").count();
        let rooms = rig.calls.iter().filter(|call| call.kind == at).count() / kind.group;
        // The page promises a new recording after each event, and not that an earlier one goes on.
        figures.get_mut(at).into_iter().for_each(|figures| figures.wrong_recordings += rooms.saturating_sub(of_rooms));
    }
}

//! Conference mixers, which tick every 20 ms of virtual time while a conference exists, and callbacks about
//! conferences.

use std::collections::BTreeMap;

use trunkgate_call::{DocumentRequest, GatewayInput};
use trunkgate_media::conference::NodeCommand;
use trunkgate_media::conference::limits::FRAME;

use super::apps::parameter;
use super::{SimEvent, World};

/// Callbacks received about one conference.
#[derive(Debug, Default)]
struct ConferenceReports {
    /// Sequence number of the last callback.
    number: u64,
    /// Number of participants according to the callbacks.
    there: i64,
    is_over: bool,
    /// Number of crashes before the last callback.
    crashes: u64,
}

/// Conferences by SID, as the callbacks report them.
#[derive(Debug, Default)]
pub(super) struct ReportedConferences(BTreeMap<String, ConferenceReports>);

impl ReportedConferences {
    /// Checks a callback about a conference. `crashes` is the number of crashes so far. After a crash numbers may be
    /// left out, and what an older state does not have may be reported again, but no number is repeated.
    ///
    /// # Errors
    /// Returns a message if the callback is out of order or follows the callback about the end, or if more participants
    /// have left than joined.
    pub(super) fn take(&mut self, request: &DocumentRequest, crashes: u64) -> Result<(), String> {
        let value = |name| parameter(request, name).unwrap_or_default();
        let (sid, number, event) = (value("ConferenceSid"), value("SequenceNumber"), value("StatusCallbackEvent"));
        let told = self.0.entry(sid.to_owned()).or_default();
        let is_after_crash = crashes > told.crashes;
        match event {
            "participant-join" => told.there += 1,
            "participant-leave" => told.there -= 1,
            _ => {}
        }
        let next = told.number + 1;
        let number: u64 = number.parse().unwrap_or_default();
        let is_next = if is_after_crash { number >= next } else { number == next && !told.is_over };
        (told.number, told.crashes) = (number, crashes);
        if !is_next || crashes == 0 && told.there < 0 {
            return Err(format!("report {number} ({event}) of {sid} is out of turn: {told:?}"));
        }
        told.is_over = event == "conference-end";
        Ok(())
    }

    /// Checks that each conference has ended without participants, in a run without a crash.
    ///
    /// # Errors
    /// Returns a message if a conference has not ended.
    pub(super) fn check(&self) -> Result<(), String> {
        let left = self.0.iter().find(|(_, told)| !told.is_over || told.there != 0);
        left.map_or(Ok(()), |(sid, told)| Err(format!("conference {sid} has not ended: {told:?}")))
    }
}

impl World {
    /// Sends a command to the mixers. Their ticks begin with the first participant.
    pub(super) fn mixer_told(&mut self, command: NodeCommand) {
        self.log.line(self.now, format_args!("mixer   {}", name_of(&command)));
        self.edge.node.handle_input(command);
        if !self.edge.is_mixing && self.edge.node.conferences() > 0 {
            self.edge.is_mixing = true;
            self.at(self.now + FRAME, SimEvent::Mix);
        }
    }

    /// Mixes 20 ms of audio, and schedules the next tick while a conference exists.
    pub(super) fn mix(&mut self) {
        self.edge.node.tick();
        while let Some(event) = self.edge.node.poll_output() {
            self.edge.gateway.handle_input(self.now, GatewayInput::Conference(event));
            self.drain_gateway();
        }
        self.edge.is_mixing = self.edge.node.conferences() > 0;
        if self.edge.is_mixing {
            self.at(self.now + FRAME, SimEvent::Mix);
        }
    }
}

fn name_of(command: &NodeCommand) -> String {
    match command {
        NodeCommand::Seat { conference, seat, .. } => format!("Seat {conference:?} {seat:?}"),
        NodeCommand::Part { seat, part } => format!("Part {seat:?} {part:?}"),
        NodeCommand::Leave { seat } => format!("Leave {seat:?}"),
        NodeCommand::Play { conference, clip, .. } => format!("Play {conference:?} {clip:?}"),
        NodeCommand::Stop { clip } => format!("Stop {clip:?}"),
        NodeCommand::Record { conference, recording, is_crossing: _ } => format!("Record {conference:?} {recording:?}"),
        NodeCommand::PauseRecording { recording, pause } => format!("PauseRecording {recording:?} {pause:?}"),
        NodeCommand::StopRecording { recording } => format!("StopRecording {recording:?}"),
    }
}

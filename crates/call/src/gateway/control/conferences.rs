//! Changes of conferences.

use std::sync::Arc;
use std::time::Instant;

use trunkgate_conference::{Departure, MemberChange, MemberId, RoomId};
use trunkgate_resources::conferences::PartyReport;
use trunkgate_resources::io::{GatewayInput, OperatorCommand};
use trunkgate_route::{App, WebhookMethod};
use trunkgate_twiml::DocumentLocation;

use crate::call::recorders::recording::RecordingChange;
use crate::call::words::webhooks;
use crate::gateway::Gateway;
use crate::gateway::announcements::AnnouncementRequest;
use crate::gateway::conferences::coming;
use crate::gateway::control::GatewayControl;

/// Reason for the refusal of a request about a conference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConferenceRefused {
    /// No active conference has this SID or name, or it has no such party.
    Unknown,
    /// The call that the party would coach is not in the conference.
    NoneToCoach,
    /// The limit of playing and waiting announcements is reached.
    TooManyAnnouncements,
}

/// A change of an active conference.
#[derive(Debug, Clone)]
pub struct ConferenceControl {
    /// SID or name of the conference.
    pub conference: String,
    /// Change to make.
    pub action: ConferenceAction,
}

/// Kinds of changes of a conference. A party is named by the SID of its call or its label.
#[derive(Debug, Clone)]
pub enum ConferenceAction {
    /// Ends the conference; the programs of its parties continue, and calls being made for it end.
    End,
    /// Plays an announcement to all parties, or to one.
    Announce {
        /// SID of the participant's call, or its label; `None`: all participants.
        party: Option<String>,
        /// URL of an audio file or a document.
        url: String,
        /// Method of the request.
        method: WebhookMethod,
        /// Application with the settings for the announcement's requests.
        app: Arc<App>,
    },
    /// Removes a party; its program continues after the conference. The call of a party that has not joined yet ends.
    Remove {
        /// SID of the participant's call, or its label.
        party: String,
    },
}

impl GatewayControl for ConferenceControl {
    type Answer = Result<(), ConferenceRefused>;

    fn apply(self, gateway: &mut Gateway, now: Instant) -> Result<(), ConferenceRefused> {
        let conference = &*self.conference;
        let over = match self.action {
            ConferenceAction::End => {
                let (coming, date) = (coming(gateway, conference), gateway.edge.date(now));
                if !gateway.edge.sessions_mut().conferences.end(conference, date) {
                    return Err(ConferenceRefused::Unknown);
                }
                gateway.settle(now);
                coming
            }
            ConferenceAction::Announce { party, url, method, app } => {
                let conferences = &mut gateway.edge.sessions_mut().conferences;
                let room = conferences.find(conference).ok_or(ConferenceRefused::Unknown)?;
                let report = conferences.report_of(room).ok_or(ConferenceRefused::Unknown)?;
                let to = party.map(|party| report.party(&party).ok_or(ConferenceRefused::Unknown)).transpose()?;
                let member = to.map(|party| party.member.id());
                let location = DocumentLocation::url(&url).map_err(|_| ConferenceRefused::Unknown)?;
                let id = conferences.act(room, |room| room.announce(member, &url)).flatten();
                let id = id.ok_or(ConferenceRefused::TooManyAnnouncements)?;
                let first = to.or(report.parties.first()).map(|party| party.member.call_sid().to_owned());
                let account = gateway.edge.config().account_sid.clone();
                let named = [
                    ("AccountSid", account),
                    ("ConferenceSid", report.sid.clone()),
                    ("FriendlyName", report.name.clone()),
                ];
                let of_party = to.map(|party| ("CallSid", party.member.call_sid().to_owned()));
                let parameters = named.into_iter().chain(of_party);
                let parameters = parameters.map(|(name, value)| (name.to_owned(), value)).collect();
                let (call, source) = (first.unwrap_or_default(), (location, webhooks::method_of(method)));
                gateway.announcements.add(AnnouncementRequest { room, id, member, call, app, source, parameters });
                gateway.settle(now);
                Vec::new()
            }
            ConferenceAction::Remove { party } => {
                if let Ok((room, id)) = find(gateway, conference, &party) {
                    let conferences = &mut gateway.edge.sessions_mut().conferences;
                    conferences.act(room, |room| room.leave(now, id, Departure::Removed));
                    gateway.settle(now);
                    return Ok(());
                }
                let mut coming = coming(gateway, conference).into_iter();
                let found = coming.find(|one| one.call == party || one.added.label.as_ref() == Some(&party));
                vec![found.ok_or(ConferenceRefused::Unknown)?]
            }
        };
        for one in over {
            gateway.handle_input(now, GatewayInput::Control(OperatorCommand::Hangup { sid: one.call }));
        }
        Ok(())
    }
}

/// Changes of a party of a conference; the answer is the changed party.
#[derive(Debug, Clone)]
pub struct PartyControl {
    /// SID or name of the conference.
    pub conference: String,
    /// SID of the party's call, or its label.
    pub party: String,
    /// Changes to make, in order.
    pub changes: Vec<MemberChange>,
}

impl GatewayControl for PartyControl {
    type Answer = Result<PartyReport, ConferenceRefused>;

    fn apply(self, gateway: &mut Gateway, now: Instant) -> Result<PartyReport, ConferenceRefused> {
        let (room, id) = find(gateway, &self.conference, &self.party)?;
        let conferences = &mut gateway.edge.sessions_mut().conferences;
        let changed = conferences.act(room, |room| room.change(id, &self.changes)).ok_or(ConferenceRefused::Unknown)?;
        changed.map_err(|_| ConferenceRefused::NoneToCoach)?;
        let report = conferences.report_of(room);
        gateway.settle(now);
        let parties = report.map(|report| report.parties).unwrap_or_default();
        parties.into_iter().find(|party| party.member.id() == id).ok_or(ConferenceRefused::Unknown)
    }
}

/// A change of a conference's recording. The answer is the SID of the recording; `None` if the conference is over or
/// has no such recording.
#[derive(Debug, Clone)]
pub struct ConferenceRecordingControl {
    /// SID or name of the conference.
    pub conference: String,
    /// SID of the recording; `None`: the newest running one.
    pub recording: Option<String>,
    /// Change to make.
    pub change: RecordingChange,
}

impl GatewayControl for ConferenceRecordingControl {
    type Answer = Option<String>;

    fn apply(self, gateway: &mut Gateway, now: Instant) -> Option<String> {
        let conferences = &mut gateway.edge.sessions_mut().conferences;
        let room = conferences.find(&self.conference)?;
        let recording = self.recording.as_deref();
        let changed = match self.change {
            RecordingChange::Pause(pause) => conferences.pause_recording(room, recording, Some(pause)),
            RecordingChange::Resume => conferences.pause_recording(room, recording, None),
            RecordingChange::Stop => conferences.stop_recording(room, recording),
        };
        gateway.settle(now);
        changed
    }
}

/// Returns the ids of a conference and of its party.
///
/// # Errors
/// No active conference has this SID or name, or no participant this SID or label.
fn find(gateway: &Gateway, conference: &str, party: &str) -> Result<(RoomId, MemberId), ConferenceRefused> {
    let conferences = &gateway.edge.sessions().conferences;
    let found = conferences.find(conference).and_then(|room| Some((room, conferences.report_of(room)?)));
    let (room, report) = found.ok_or(ConferenceRefused::Unknown)?;
    let found = report.party(party).ok_or(ConferenceRefused::Unknown)?;
    Ok((room, found.member.id()))
}

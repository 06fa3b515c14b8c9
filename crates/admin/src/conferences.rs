//! `/v1/conferences`: active conferences with their participants, the last ended ones, and control of them.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};
use trunkgate_call::{
    ConferenceAction, ConferenceControl, ConferenceRefused, ConferenceReport, PartyControl, PartyReport, conferences,
    rfc3339,
};
use trunkgate_conference::{MemberChange, WaitMusic};

use super::ApiError;
use trunkgate_runtime::handle::EdgeHandle;

/// Conference, with the calling and the called number of each participant.
type ConferenceWithCalls = (ConferenceReport, Vec<(String, String)>);

/// Conference as shown in the API.
#[derive(Debug, Serialize)]
struct ShownConference<'a> {
    /// `CF` and 32 hex digits.
    sid: &'a str,
    /// Name of the conference.
    name: &'a str,
    /// `init` (participants wait for the start), `in-progress`, `completed`.
    status: &'static str,
    /// Time at which the first participant joined.
    began_at: String,
    /// End of the conference; null while it is active.
    ended_at: Option<String>,
    /// `last-participant-left`, `last-participant-kicked`, `participant-with-end-conference-on-exit-left`,
    /// `participant-with-end-conference-on-exit-kicked`, `conference-ended-via-api`.
    end_reason: Option<&'static str>,
    /// Recordings in progress.
    recordings: Vec<ShownRecording<'a>>,
    /// Participants in the order in which they joined; empty after the end of the conference.
    parties: Vec<ShownParty>,
}

/// Recording of a conference.
#[derive(Debug, Serialize)]
struct ShownRecording<'a> {
    /// `RE` and 32 hex digits.
    sid: &'a str,
    /// Whether the recording is paused.
    paused: bool,
}

/// Participant of a conference.
#[derive(Debug, Serialize)]
struct ShownParty {
    /// SID of the participant's call.
    call: String,
    /// Label of the participant (`participantLabel`).
    label: Option<String>,
    /// Calling number.
    from: String,
    /// Called number.
    to: String,
    /// Time at which the participant joined.
    joined_at: String,
    /// Whether the participant speaks now.
    talking: bool,
    /// Whether the participant is muted.
    muted: bool,
    /// Whether the participant is on hold.
    held: bool,
    /// SID of the call that is coached: only its party hears this participant.
    coaches: Option<String>,
}

/// Lists conferences, newest first.
pub(super) async fn list(State(handle): State<EdgeHandle>) -> Result<Json<Value>, ApiError> {
    let all = handle.ask(|gateway, now| {
        let with_calls = |report: ConferenceReport| {
            let numbers = |party: &PartyReport| {
                let call = gateway.call(now, party.member.call_sid());
                call.map(|call| (call.from, call.to)).unwrap_or_default()
            };
            let calls = report.parties.iter().map(numbers).collect();
            (report, calls)
        };
        conferences(gateway).reports().into_iter().map(with_calls).collect::<Vec<ConferenceWithCalls>>()
    });
    let all = all.await?;
    Ok(Json(json!({ "conferences": all.iter().map(shown).collect::<Vec<_>>() })))
}

/// Ends a conference.
pub(super) async fn end(State(handle): State<EdgeHandle>, Path(sid): Path<String>) -> Result<Json<Value>, ApiError> {
    let ended = handle.change(ConferenceControl { conference: sid.clone(), action: ConferenceAction::End }).await?;
    ended.map_err(|_| unknown(&sid))?;
    let named = sid.clone();
    let report = handle.ask(move |gateway, _| conferences(gateway).report(&named)).await?;
    report.map(|report| Json(json!(shown(&(report, Vec::new()))))).ok_or_else(|| unknown(&sid))
}

/// Changes a participant of a conference: mute, unmute, hold, resume, or remove.
pub(super) async fn change(
    State(handle): State<EdgeHandle>,
    Path((sid, call, action)): Path<(String, String, String)>,
) -> Result<Json<Value>, ApiError> {
    let change = match action.as_str() {
        "mute" => Some(MemberChange::Muted(true)),
        "unmute" => Some(MemberChange::Muted(false)),
        "hold" => Some(MemberChange::Hold(Some(WaitMusic::BuiltIn))),
        "resume" => Some(MemberChange::Hold(None)),
        "remove" => None,
        other => {
            let message = format!("unknown action {other:?}; known: mute, unmute, hold, resume, remove");
            return Err(ApiError::new(StatusCode::NOT_FOUND, "not_found", message));
        }
    };
    let (conference, party) = (sid.clone(), call.clone());
    let changed = match change {
        Some(change) => handle.change(PartyControl { conference, party, changes: vec![change] }).await?.map(drop),
        None => handle.change(ConferenceControl { conference, action: ConferenceAction::Remove { party } }).await?,
    };
    match changed {
        Ok(()) => Ok(Json(json!({ "sid": sid, "call": call, "done": action }))),
        Err(ConferenceRefused::Unknown | ConferenceRefused::NoneToCoach | ConferenceRefused::TooManyAnnouncements) => {
            let message = format!("no active conference {sid:?} with the party {call:?}");
            Err(ApiError::new(StatusCode::NOT_FOUND, "unknown_conference", message))
        }
    }
}

fn unknown(sid: &str) -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, "unknown_conference", format!("no active conference {sid:?}"))
}

fn shown((report, calls): &ConferenceWithCalls) -> ShownConference<'_> {
    let ended = report.ended.as_ref();
    let party = |(party, (from, to)): (&PartyReport, &(String, String))| ShownParty {
        call: party.member.call_sid().to_owned(),
        label: party.member.label().map(str::to_owned),
        from: from.clone(),
        to: to.clone(),
        joined_at: rfc3339(party.joined),
        talking: party.speaks,
        muted: party.member.is_muted(),
        held: party.member.is_held(),
        coaches: party.member.coached().map(str::to_owned),
    };
    ShownConference {
        sid: &report.sid,
        name: &report.name,
        status: report.status.name(),
        began_at: rfc3339(report.began),
        ended_at: ended.map(|(at, ..)| rfc3339(*at)),
        end_reason: ended.map(|(_, reason, _)| reason.name()),
        recordings: report.recordings.iter().map(|(sid, paused)| ShownRecording { sid, paused: *paused }).collect(),
        parties: report.parties.iter().zip(calls).map(party).collect(),
    }
}

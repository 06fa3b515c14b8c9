//! `Conferences` resources of the API: active conferences, and ended ones that the edge still remembers.

use std::sync::Arc;
use std::time::SystemTime;

use jiff::Timestamp;
use serde_json::{Value, json};
use trunkgate_call::{
    ConferenceAction, ConferenceControl, ConferenceRecordingControl, ConferenceRefused, ConferenceReport,
    RecordingChange, conferences,
};
use trunkgate_conference::ConferenceStatus;
use trunkgate_route::{AppDocument, WebhookMethod};

use super::call_recordings::{self, CURRENT};
use super::error::{Error, shown};
use super::page::PageRequest;
use super::parameters::Parameters;
use super::recordings::{self, RecordingParent};
use super::text::{moment, subresources};
use super::{Asked, VERSION, create};

/// States of a conference, with their names at Twilio.
const STATES: [ConferenceStatus; 3] =
    [ConferenceStatus::Init, ConferenceStatus::InProgress, ConferenceStatus::Completed];

/// Decodes a path segment, because conferences and participants may be addressed by name.
pub(super) fn plain(part: &str) -> String {
    // In a path only percent-encoding applies, and `+` and `&` are literal.
    let form = format!("x={}", part.replace('+', "%2B").replace('&', "%26"));
    form_urlencoded::parse(form.as_bytes()).next().map(|(_, text)| text.into_owned()).unwrap_or_default()
}

/// Returns all conferences that the edge remembers, newest first.
pub(super) async fn reports(cx: &Asked<'_>) -> Result<Vec<ConferenceReport>, Error> {
    Ok(cx.handle.ask(|gateway, _| conferences(gateway).reports()).await?)
}

/// Finds a conference by its SID.
pub(super) async fn find(cx: &Asked<'_>, sid: &str) -> Result<ConferenceReport, Error> {
    let named = sid.to_owned();
    let found = cx.handle.ask(move |gateway, _| conferences(gateway).report(&named)).await?;
    found.ok_or_else(|| Error::not_found(cx.path))
}

/// Lists conferences (`GET …/Conferences.json`).
pub(super) async fn list(cx: &Asked<'_>, mut parameters: Parameters) -> Result<Value, Error> {
    let path = cx.uri("Conferences");
    let page = PageRequest::take(&path, cx.query, &mut parameters)?;
    let name = parameters.take("FriendlyName");
    let status = match parameters.take("Status") {
        None => None,
        Some(text) => Some(STATES.into_iter().find(|state| state.name() == text).ok_or_else(|| {
            let known = STATES.map(ConferenceStatus::name).join(", ");
            Error::bad_request(format!("Status: \"{}\" is not supported: use one of {known}", shown(&text)))
        })?),
    };
    let (created, updated) = (parameters.take_span("DateCreated")?, parameters.take_span("DateUpdated")?);
    parameters.finish()?;
    let is_wanted = |report: &ConferenceReport| {
        name.as_ref().is_none_or(|name| *name == report.name)
            && status.is_none_or(|status| status == report.status)
            && created.has(stamp(report.began))
            && updated.has(stamp(changed(report)))
    };
    let all: Vec<ConferenceReport> = reports(cx).await?.into_iter().filter(is_wanted).collect();
    let shown = page.behind_key(all, |report| &report.sid);
    Ok(page.json("conferences", shown, |report| report.sid.clone(), |report| json(cx, report)))
}

/// Returns a conference (`GET …/Conferences/{sid}.json`).
pub(super) async fn fetch(cx: &Asked<'_>, sid: &str, parameters: Parameters) -> Result<Value, Error> {
    parameters.finish()?;
    find(cx, sid).await.map(|report| json(cx, &report))
}

/// Ends a conference, or plays an announcement to its participants (`POST …/Conferences/{sid}.json`).
pub(super) async fn update(cx: &Asked<'_>, sid: &str, mut parameters: Parameters) -> Result<Value, Error> {
    let status = parameters.take("Status");
    let announcement = take_announcement(&mut parameters)?;
    parameters.finish()?;
    if let Some(status) = &status
        && status != ConferenceStatus::Completed.name()
    {
        return Err(Error::bad_request(format!("Status: \"{}\" is not supported: use completed", shown(status))));
    }
    let report = find(cx, sid).await?;
    if status.is_some() && report.status != ConferenceStatus::Completed {
        let control = ConferenceControl { conference: sid.to_owned(), action: ConferenceAction::End };
        let ended = cx.handle.change(control).await?;
        // A conference that has ended meanwhile needs no change.
        let (Ok(())
        | Err(
            ConferenceRefused::Unknown | ConferenceRefused::NoneToCoach | ConferenceRefused::TooManyAnnouncements,
        )) = ended;
    } else if let Some(announcement) = announcement {
        announce(cx, (&report, None), announcement).await?;
    }
    find(cx, sid).await.map(|report| json(cx, &report))
}

/// Parses an announcement: its URL, and the method to fetch it; `None` without one.
pub(super) fn take_announcement(parameters: &mut Parameters) -> Result<Option<(String, WebhookMethod)>, Error> {
    create::take_url(parameters, "AnnounceUrl", "AnnounceMethod")
}

/// Plays an announcement to one participant, given by the SID of its call, or to all.
pub(super) async fn announce(
    cx: &Asked<'_>,
    (report, party): (&ConferenceReport, Option<&str>),
    (url, method): (String, WebhookMethod),
) -> Result<(), Error> {
    let first = party.or(report.parties.first().map(|party| party.member.call_sid()));
    let first = first.ok_or_else(|| Error::not_found(cx.path))?;
    let app = cx.handle.call(first).await?.and_then(|call| call.app.clone());
    let app = create::keys_of(cx, app.as_deref(), AppDocument::Text("".into()));
    create::judge_heard(cx, "AnnounceUrl", &url, &app)?;
    let action = ConferenceAction::Announce { party: party.map(str::to_owned), url, method, app: Arc::new(app) };
    match cx.handle.change(ConferenceControl { conference: report.sid.clone(), action }).await? {
        Ok(()) => Ok(()),
        Err(ConferenceRefused::Unknown | ConferenceRefused::NoneToCoach) => Err(Error::not_found(cx.path)),
        Err(ConferenceRefused::TooManyAnnouncements) => {
            Err(Error::of_change("AnnounceUrl: too many announcements are playing or waiting"))
        }
    }
}

/// Pauses, resumes or stops a recording of a conference.
pub(super) async fn change_recording(
    cx: &Asked<'_>,
    conference: &str,
    recording: &str,
    parameters: Parameters,
) -> Result<Value, Error> {
    let change = call_recordings::take_change(parameters)?;
    let of = RecordingParent::Conference(conference);
    let asked = Some(recording).filter(|sid| *sid != CURRENT).map(str::to_owned);
    let control = ConferenceRecordingControl { conference: conference.to_owned(), recording: asked, change };
    let Some(sid) = cx.handle.change(control).await? else {
        // An unknown conference leads to "not found", even if the recording has ended.
        find(cx, conference).await?;
        recordings::find(cx, of, recording).await?;
        return Err(Error::of_change("The recording is not changed: it has ended"));
    };
    let entry = recordings::find(cx, of, &sid).await?;
    let status = match change {
        RecordingChange::Pause(_) => "paused",
        RecordingChange::Resume => "in-progress",
        RecordingChange::Stop => "stopped",
    };
    Ok(recordings::json(cx, &entry, of, status))
}

/// Returns SID and status of a conference's recording in progress; `None` if it has ended or is unknown.
pub(super) async fn recording_status(
    cx: &Asked<'_>,
    conference: &str,
    recording: &str,
) -> Result<Option<(String, &'static str)>, Error> {
    let named = conference.to_owned();
    let report = cx.handle.ask(move |gateway, _| conferences(gateway).report(&named)).await?;
    let running = report.into_iter().flat_map(|report| report.recordings).find(|(sid, _)| sid == recording);
    Ok(running.map(|(sid, is_paused)| (sid, if is_paused { "paused" } else { "in-progress" })))
}

/// Converts a system time to a timestamp.
pub(super) fn stamp(at: SystemTime) -> Timestamp {
    Timestamp::try_from(at).unwrap_or_default()
}

/// Returns the time at which the conference last changed: its end, or its start while it is active.
fn changed(report: &ConferenceReport) -> SystemTime {
    report.ended.as_ref().map_or(report.began, |(at, ..)| *at)
}

fn json(cx: &Asked<'_>, report: &ConferenceReport) -> Value {
    let uri = cx.uri(&format!("Conferences/{}", report.sid));
    let ended = report.ended.as_ref();
    json!({
        "account_sid": cx.account,
        "api_version": VERSION,
        "call_sid_ending_conference": ended.and_then(|(_, _, call_sid)| call_sid.clone()),
        "date_created": moment(stamp(report.began)),
        "date_updated": moment(stamp(changed(report))),
        "friendly_name": report.name,
        "reason_conference_ended": ended.map(|(_, reason, _)| reason.name()),
        "region": null,
        "sid": report.sid,
        "status": report.status.name(),
        "subresource_uris": subresources(&uri, &["participants", "recordings"]),
        "uri": format!("{uri}.json"),
    })
}

//! `Conferences/{sid}/Participants`: participants of a conference, and parties that are being called into it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use quick_xml::escape::escape;
use serde_json::{Value, json};
use trunkgate_call::{
    CallRequest, ComingReport, ConferenceAction, ConferenceControl, ConferenceRefused, ConferenceReport, ConnectTarget,
    ParticipantRequest, PartyControl, PartyReport, coming, is_conference_sid,
};
use trunkgate_conference::limits::{LABEL_CHARS, PARTIES};
use trunkgate_conference::{
    BeepPolicy, CallbackMethod as RoomMethod, ConferenceStatus, EventSet, MemberChange, WaitMusic,
};
use trunkgate_route::{App, AppDocument, StatusCallback, WebhookMethod};

use super::call_recordings::RECORDING_EVENTS;
use super::error::{Error, shown};
use super::page::PageRequest;
use super::parameters::Parameters;
use super::text::moment;
use super::{Asked, calls, conferences, create, detection};
use trunkgate_runtime::placing::{self, ApiCallError, PermittedCall};
use trunkgate_system::clock;

/// Conference, with the parties that are being called into it.
struct ConferenceMembers {
    report: ConferenceReport,
    coming: Vec<ComingReport>,
}

impl ConferenceMembers {
    /// Returns the participants, then the parties that are being called.
    fn parties(&self) -> Vec<ParticipantReport<'_>> {
        self.report
            .parties
            .iter()
            .map(ParticipantReport::from)
            .chain(self.coming.iter().map(ParticipantReport::from))
            .collect()
    }
}

/// Finds a conference by its SID; one that is active or about to begin, also by its name.
async fn known(cx: &Asked<'_>, conference: &str) -> Result<ConferenceMembers, Error> {
    let named = conference.to_owned();
    let known = cx.handle.ask(move |gateway, _| {
        let conferences = trunkgate_call::conferences(gateway);
        let report = conferences.report(&named).or_else(|| conferences.report_live(&named))?;
        Some(ConferenceMembers { report, coming: coming(gateway, &named) })
    });
    known.await?.ok_or_else(|| Error::not_found(cx.path))
}

/// Lists participants (`GET …/Conferences/{sid}/Participants.json`).
pub(super) async fn list(cx: &Asked<'_>, conference: &str, mut parameters: Parameters) -> Result<Value, Error> {
    let path = cx.uri(&format!("Conferences/{conference}/Participants"));
    let page = PageRequest::take(&path, cx.query, &mut parameters)?;
    let mut flag = |name| parameters.take_flag(name);
    let [muted, held, coaching] = [flag("Muted")?, flag("Hold")?, flag("Coaching")?];
    parameters.finish()?;
    let known = known(cx, conference).await?;
    let fits = |wanted: Option<bool>, is: bool| wanted.is_none_or(|wanted| wanted == is);
    let is_wanted = |party: &ParticipantReport<'_>| {
        fits(muted, party.is_muted) && fits(held, party.is_held) && fits(coaching, party.coached.is_some())
    };
    let all: Vec<ParticipantReport<'_>> = known.parties().into_iter().filter(is_wanted).collect();
    let shown = page.behind_key(all, |party| party.call);
    let key = |party: &ParticipantReport<'_>| party.call.to_owned();
    Ok(page.json("participants", shown, key, |party| json(cx, &known.report.sid, party)))
}

/// Returns a participant (`GET …/Conferences/{sid}/Participants/{call}.json`).
pub(super) async fn fetch(
    cx: &Asked<'_>,
    (conference, party): (&str, &str),
    parameters: Parameters,
) -> Result<Value, Error> {
    parameters.finish()?;
    let known = known(cx, conference).await?;
    let found = known.parties().into_iter().find(|one| one.is(party)).ok_or_else(|| Error::not_found(cx.path))?;
    Ok(json(cx, &known.report.sid, &found))
}

/// Removes a participant from a conference (`DELETE …/Participants/{call}.json`).
pub(super) async fn delete(
    cx: &Asked<'_>,
    (conference, party): (&str, &str),
    parameters: Parameters,
) -> Result<(), Error> {
    parameters.finish()?;
    let (conference, action) = (conference.to_owned(), ConferenceAction::Remove { party: party.to_owned() });
    let gone = cx.handle.change(ConferenceControl { conference, action }).await?;
    gone.map_err(|_| Error::not_found(cx.path))
}

/// Changes a participant (`POST …/Participants/{call}.json`): mute, hold, coaching, announcements and other settings.
pub(super) async fn update(
    cx: &Asked<'_>,
    (conference, party): (&str, &str),
    mut parameters: Parameters,
) -> Result<Value, Error> {
    let mut flag = |name| parameters.take_flag(name);
    let [muted, hold, coaching] = [flag("Muted")?, flag("Hold")?, flag("Coaching")?];
    let [beeps, ends] = [flag("BeepOnExit")?, flag("EndConferenceOnExit")?];
    let coached = parameters.take("CallSidToCoach");
    let music = take_music(&mut parameters, ("HoldUrl", "HoldMethod"), WebhookMethod::Get)?;
    let wait = take_music(&mut parameters, ("WaitUrl", "WaitMethod"), WebhookMethod::Post)?;
    let announcement = conferences::take_announcement(&mut parameters)?;
    parameters.finish()?;
    let ConferenceMembers { report, coming } = known(cx, conference).await?;
    if report.status == ConferenceStatus::Completed {
        return Err(Error::not_found(cx.path));
    }
    let found =
        report.party(party).ok_or_else(|| match coming.iter().any(|one| ParticipantReport::from(one).is(party)) {
            true => Error::bad_request("The participant has not answered yet: it can be changed when it has joined"),
            false => Error::not_found(cx.path),
        })?;
    let app = cx.handle.call(found.member.call_sid()).await?.and_then(|call| call.app.clone());
    let app = create::keys_of(cx, app.as_deref(), AppDocument::Text("".into()));
    for (name, music) in [("HoldUrl", &music), ("WaitUrl", &wait)] {
        if let Some(WaitMusic::Url { url, .. }) = music {
            create::judge_heard(cx, name, url, &app)?;
        }
    }
    let hold = match hold {
        Some(false) => Some(MemberChange::Hold(None)),
        Some(true) => Some(MemberChange::Hold(Some(music.unwrap_or_default()))),
        // A participant on hold gets other hold music.
        None if found.member.is_held() => music.map(|music| MemberChange::Hold(Some(music))),
        None => None,
    };
    let coached = match (coaching, coached) {
        (Some(false), _) => Some(MemberChange::Coached(None)),
        (Some(true), None) => return Err(Error::none_to_coach()),
        (Some(true) | None, coached) => coached.map(|sid| MemberChange::Coached(Some(sid))),
    };
    let flags = [muted.map(MemberChange::Muted), beeps.map(MemberChange::BeepOnExit), ends.map(MemberChange::Ends)];
    let changes: Vec<MemberChange> =
        flags.into_iter().chain([hold, coached, wait.map(MemberChange::Wait)]).flatten().collect();
    let (conference, party) = (report.sid.clone(), found.member.call_sid().to_owned());
    let changed = cx.handle.change(PartyControl { conference, party, changes }).await?;
    if let (Ok(party), Some(announcement)) = (&changed, announcement) {
        conferences::announce(cx, (&report, Some(party.member.call_sid())), announcement).await?;
    }
    match changed {
        Ok(party) => Ok(json(cx, &report.sid, &ParticipantReport::from(&party))),
        Err(ConferenceRefused::Unknown | ConferenceRefused::TooManyAnnouncements) => Err(Error::not_found(cx.path)),
        Err(ConferenceRefused::NoneToCoach) => Err(Error::none_to_coach()),
    }
}

/// Parses hold or wait music: a URL, or silence for an empty value. `default` is the method if none is given.
fn take_music(
    parameters: &mut Parameters,
    (name, method): (&str, &str),
    default: WebhookMethod,
) -> Result<Option<WaitMusic>, Error> {
    match parameters.take_given(name).as_deref() {
        Some(url) if !url.is_empty() => {
            let method = match create::take_method_or(parameters, method, default)? {
                WebhookMethod::Get => RoomMethod::Get,
                WebhookMethod::Post => RoomMethod::Post,
            };
            Ok(Some(WaitMusic::Url { url: create::parsed_url(name, url)?, method }))
        }
        given => {
            parameters.take(method);
            Ok(given.map(|_| WaitMusic::Silence))
        }
    }
}

/// Settings of the TwiML document with which a party joins a conference.
struct JoinDocument {
    name: String,
    attributes: Vec<(&'static str, String)>,
}

impl JoinDocument {
    fn set(&mut self, name: &'static str, value: impl Into<String>) {
        self.attributes.push((name, value.into()));
    }

    /// Addresses the conference of an agent by its SID, so that the agent starts no new one if the conference has ended
    /// meanwhile.
    fn come_for(&mut self, placing: &PermittedCall, sid: Option<&str>) {
        if let Some(sid) = sid.filter(|_| placing.has_agent()) {
            sid.clone_into(&mut self.name);
        }
    }

    /// Returns the maximum number of participants that the document sets; `None` if it sets none.
    fn most(&self) -> Option<usize> {
        self.attributes.iter().find(|(name, _)| *name == "maxParticipants").and_then(|(_, value)| value.parse().ok())
    }

    /// Returns the TwiML document.
    fn document(&self) -> String {
        let attribute = |(name, value): &(&str, String)| format!(" {name}=\"{}\"", escape(value.as_str()));
        let attributes: String = self.attributes.iter().map(attribute).collect();
        format!("<Response><Dial><Conference{attributes}>{}</Conference></Dial></Response>", escape(self.name.as_str()))
    }
}

/// Calls a party that joins the conference when it answers (`POST …/Participants.json`).
pub(super) async fn create(cx: &Asked<'_>, conference: &str, mut parameters: Parameters) -> Result<Value, Error> {
    let conference = conference.trim();
    let (to, from) = (parameters.take("To"), parameters.take("From"));
    let label = parameters.take_text("Label", LABEL_CHARS)?;
    let mut flag = |name| parameters.take_flag(name);
    let [muted, starts, ends] = [flag("Muted")?, flag("StartConferenceOnEnter")?, flag("EndConferenceOnExit")?];
    let coaching = flag("Coaching")?;
    let mut joining = JoinDocument { name: conference.to_owned(), attributes: Vec::new() };
    let coached = parameters.take("CallSidToCoach").filter(|_| coaching != Some(false));
    if coaching == Some(true) && coached.is_none() {
        return Err(Error::none_to_coach());
    }
    let (is_muted, is_starting, is_ending) = (muted.unwrap_or(false), starts.unwrap_or(true), ends.unwrap_or(false));
    joining.set("muted", is_muted.to_string());
    joining.set("startConferenceOnEnter", is_starting.to_string());
    joining.set("endConferenceOnExit", is_ending.to_string());
    label.iter().for_each(|label| joining.set("participantLabel", label));
    coached.iter().for_each(|sid| joining.set("coach", sid));
    take_settings(&mut parameters, &mut joining)?;
    let status_callback = create::take_callback(&mut parameters)?;
    let ring_timeout = create::take_seconds(&mut parameters, "Timeout", create::TIMEOUT_SECONDS.1)?;
    let ring_timeout = ring_timeout.unwrap_or(Duration::from_secs(create::TIMEOUT_SECONDS.0));
    let time_limit = create::take_time_limit(&mut parameters)?;
    let time_limit = time_limit.unwrap_or(Duration::from_secs(create::LIMIT_SECONDS.0));
    let record = create::take_record(cx, &mut parameters)?;
    // Detection runs in the background, and the party joins without waiting for its result.
    let detection = detection::take(&mut parameters, detection::OF_PARTICIPANT)?;
    parameters.finish()?;
    let named = conference.to_owned();
    let known = cx.handle.ask(move |gateway, _| trunkgate_call::conferences(gateway).report_live(&named)).await?;
    if known.is_none() && is_conference_sid(conference) {
        return Err(Error::not_found(cx.path));
    }
    let (from, placing) = placed(cx, (to, from), conference, (record.is_some(), detection.is_some()))?;
    joining.come_for(&placing, known.as_ref().map(|report| report.sid.as_str()));
    let PermittedCall { to, targets, headers } = placing;
    let app = app_of(cx, &joining, status_callback)?;
    detection::judge(cx, detection::OF_PARTICIPANT.0, detection.as_ref(), &app)?;
    let (detection, onward) = (detection.map(Box::new), vec![ConnectTarget::App(Arc::new(app))]);
    let added = ParticipantRequest {
        conference: joining.name.clone(),
        label,
        coached,
        is_muted,
        starts: is_starting,
        ends: is_ending,
        most: joining.most(),
    };
    let participant = Some(Box::new(added.clone()));
    let request = CallRequest {
        from,
        to,
        targets,
        headers,
        onward,
        ring_timeout,
        time_limit,
        digits: None,
        record,
        participant,
        detection,
    };
    let begun = cx.handle.change(request).await?.map_err(ApiCallError::from)?;
    let sid = begun.conference.unwrap_or_default();
    let call = calls::show_new(cx, &begun.sid).await?;
    let call = call["sid"].as_str().unwrap_or_default().to_owned();
    let coming = ComingReport { call, added, began: clock::wall(), status: "queued" };
    Ok(json(cx, &sid, &ParticipantReport::from(&coming)))
}

/// Returns the calling number and the target for a party, which may be an agent. `of_person`: a recording, and a
/// detection, are requested.
///
/// # Errors
/// Returns an error if the party cannot be called, or if it is an agent and a recording or detection is requested.
fn placed(
    cx: &Asked<'_>,
    (to, from): (Option<String>, Option<String>),
    conference: &str,
    of_person: (bool, bool),
) -> Result<(String, PermittedCall), Error> {
    let table = cx.handle.table();
    let agent = to.as_deref().map(|to| placing::judge_agent_party(&table, to)).transpose()?.flatten();
    let Some(placing) = agent else { return create::placed(cx, to, from) };
    match of_person {
        (true, _) => Err(Error::bad_request("Record: not available for an agent; record the conference")),
        (_, true) => Err(Error::bad_request("MachineDetection: not available for an agent")),
        (false, false) => {
            create::caller_of_agent(cx, &placing, (from.as_deref(), conference)).map(|from| (from, placing))
        }
    }
}

/// Returns the application with which a party joins the conference.
///
/// # Errors
/// Returns an error if a URL in its document can never be reached.
fn app_of(cx: &Asked<'_>, joining: &JoinDocument, status_callback: Option<StatusCallback>) -> Result<App, Error> {
    let document = AppDocument::Text(joining.document().into());
    let app = App { status_callback, ..create::made(cx, document, None)? };
    create::judge_reach(cx, &app)?;
    let given = |wanted: &str| joining.attributes.iter().find(|(known, url)| *known == wanted && !url.is_empty());
    given("waitUrl").map_or(Ok(()), |(_, url)| create::judge_heard(cx, "WaitUrl", url, &app))?;
    for (name, attribute) in [
        ("ConferenceStatusCallback", "statusCallback"),
        ("ConferenceRecordingStatusCallback", "recordingStatusCallback"),
    ] {
        given(attribute).map_or(Ok(()), |(_, url)| create::judge_url(cx, name, url, &app))?;
    }
    Ok(app)
}

/// Parses the other conference settings of a participant.
fn take_settings(parameters: &mut Parameters, joining: &mut JoinDocument) -> Result<(), Error> {
    if let Some(beep) = parameters.take("Beep") {
        if BeepPolicy::parse(&beep).is_none() {
            let known = "true, false, onEnter, onExit";
            return Err(Error::bad_request(format!("Beep: \"{}\" is not supported: use one of {known}", shown(&beep))));
        }
        joining.set("beep", beep);
    }
    match take_music(parameters, ("WaitUrl", "WaitMethod"), WebhookMethod::Post)? {
        None | Some(WaitMusic::BuiltIn) => {}
        Some(WaitMusic::Silence) => joining.set("waitUrl", ""),
        Some(WaitMusic::Url { url, method }) => {
            joining.set("waitUrl", url);
            joining.set("waitMethod", if method == RoomMethod::Get { "GET" } else { "POST" });
        }
    }
    if let Some(most) = parameters.take_number("MaxParticipants", 1..=250)? {
        joining.set("maxParticipants", most.min(PARTIES).to_string());
    }
    let url = create::take_url(parameters, "ConferenceStatusCallback", "ConferenceStatusCallbackMethod")?;
    let events = parameters.take_all("ConferenceStatusCallbackEvent").join(" ");
    if let Err(word) = EventSet::parse(&events) {
        return Err(Error::bad_request(format!("ConferenceStatusCallbackEvent: \"{}\" is unknown", shown(word))));
    }
    if let Some((url, method)) = url {
        joining.set("statusCallback", url);
        joining.set("statusCallbackMethod", method.as_str());
        joining.set("statusCallbackEvent", events);
    }
    take_record(parameters, joining)
}

/// Parses the recording settings for the conference.
fn take_record(parameters: &mut Parameters, joining: &mut JoinDocument) -> Result<(), Error> {
    let records: &[&str] = &["record-from-start", "do-not-record", "true", "false"];
    let trims = &["trim-silence", "do-not-trim"];
    for (name, attribute, known) in [("ConferenceRecord", "record", records), ("ConferenceTrim", "trim", trims)] {
        if let Some(word) = parameters.take_word(name, known)? {
            joining.set(attribute, word);
        }
    }
    let (name, method) = ("ConferenceRecordingStatusCallback", "ConferenceRecordingStatusCallbackMethod");
    let url = create::take_url(parameters, name, method)?;
    let events = parameters.take_words("ConferenceRecordingStatusCallbackEvent", &RECORDING_EVENTS)?.join(" ");
    if let Some((url, method)) = url {
        joining.set("recordingStatusCallback", url);
        joining.set("recordingStatusCallbackMethod", method.as_str());
        joining.set("recordingStatusCallbackEvent", events);
    }
    Ok(())
}

/// Participant of a conference, as the API shows it.
struct ParticipantReport<'p> {
    call: &'p str,
    label: Option<&'p str>,
    coached: Option<&'p str>,
    is_muted: bool,
    is_held: bool,
    starts: bool,
    ends: bool,
    since: SystemTime,
    status: &'static str,
}

impl ParticipantReport<'_> {
    /// Returns whether `sid_or_label` is the SID of the participant's call, or its label.
    fn is(&self, sid_or_label: &str) -> bool {
        self.call == sid_or_label || self.label == Some(sid_or_label)
    }
}

impl<'p> From<&'p PartyReport> for ParticipantReport<'p> {
    fn from(PartyReport { member, joined, .. }: &'p PartyReport) -> ParticipantReport<'p> {
        ParticipantReport {
            call: member.call_sid(),
            label: member.label(),
            coached: member.coached(),
            is_muted: member.is_muted(),
            is_held: member.is_held(),
            starts: member.starts(),
            ends: member.ends(),
            since: *joined,
            status: "connected",
        }
    }
}

impl<'p> From<&'p ComingReport> for ParticipantReport<'p> {
    fn from(ComingReport { call, added, began, status }: &'p ComingReport) -> ParticipantReport<'p> {
        ParticipantReport {
            call,
            label: added.label.as_deref(),
            coached: added.coached.as_deref(),
            is_muted: added.is_muted,
            is_held: false,
            starts: added.starts,
            ends: added.ends,
            since: *began,
            status,
        }
    }
}

fn json(cx: &Asked<'_>, sid: &str, party: &ParticipantReport<'_>) -> Value {
    let since = moment(conferences::stamp(party.since));
    let uri = cx.uri(&format!("Conferences/{sid}/Participants/{}", party.call));
    json!({
        "account_sid": cx.account,
        "call_sid": party.call,
        "call_sid_to_coach": party.coached,
        "coaching": party.coached.is_some(),
        "conference_sid": sid,
        "date_created": since,
        "date_updated": since,
        "end_conference_on_exit": party.ends,
        "hold": party.is_held,
        "label": party.label,
        "muted": party.is_muted,
        "queue_time": null,
        "start_conference_on_enter": party.starts,
        "status": party.status,
        "uri": format!("{uri}.json"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_has_its_texts_escaped() {
        let mut joining = JoinDocument { name: "a<b & c".to_owned(), attributes: Vec::new() };
        joining.set("participantLabel", "\"x\"");
        let document = trunkgate_twiml::parse(&joining.document()).unwrap();
        assert!(document.warnings.list.is_empty());
        let trunkgate_twiml::VerbKind::Dial(dial) = &document.verbs[0].kind else { panic!() };
        let conference = dial.conference.as_ref().unwrap();
        assert_eq!((conference.name.as_str(), conference.label.as_deref()), ("a<b & c", Some("\"x\"")));
    }
}

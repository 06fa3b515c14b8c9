//! Callers in conferences: joining and leaving, the audio of each, and the reports to their applications.

mod restarts;

use std::time::Duration;

use trunkgate_call::{
    AppPlace, CallAction, CallRequest, Channels, ConferenceAction, ConferenceControl, ConferenceRecordingControl,
    ConferenceRefused, ConnectTarget, OperatorCommand, ParticipantRequest, PartyControl, RecordingChange,
    RecordingSource,
};
use trunkgate_conference::{
    CallbackMethod, ClipId, MemberChange, NodeCommand, NodeEvent, ParticipantId, ParticipantRole, WaitMusic,
};
use trunkgate_media::{AudioListenerSpec, MediaCommand, MediaId, PlayerSound, RecordingPause};
use trunkgate_twiml::DocumentLocation;

use super::requested::request;
use super::*;
use crate::recordings::record_all;

const REPORTS: &str = "https://app.example.com/conference";

/// Several callers on one bench.
pub(super) struct Party {
    pub(super) bench: Bench,
    callers: Vec<Dialing>,
}

impl Party {
    /// Creates an edge with a route to these targets.
    fn of(connect: Vec<TargetSpec>) -> Party {
        Party { bench: Bench::with(table(connect)), callers: Vec::new() }
    }

    fn weekly() -> Party {
        Party::of(vec![TargetSpec::Conference("weekly".into())])
    }

    /// Creates an edge with a route to an application.
    pub(super) fn app() -> Party {
        Party::of(vec![TargetSpec::App("ivr".into())])
    }

    /// Adds an answered caller.
    fn joins(&mut self) -> usize {
        let mut caller = self.bench.invite(CARRIER, "+14155550100", &offer());
        self.bench.expect(CARRIER, "SIP/2.0 100");
        self.bench.expect(CARRIER, "SIP/2.0 180");
        let ok = self.bench.expect(CARRIER, "SIP/2.0 200");
        caller.to_tag = ok.tag("To");
        self.bench.receive(CARRIER, caller.request("ACK", "", ""));
        self.callers.push(caller);
        // Beeps in quick succession are played as one.
        self.bench.pass(Duration::from_millis(600));
        self.callers.len() - 1
    }

    /// Adds a caller to an application that answers with this document.
    fn asks_by(&mut self, document: &str) -> Dialing {
        let caller = self.bench.invite(CARRIER, "+14155550100", &offer());
        self.bench.expect(CARRIER, "SIP/2.0 100");
        self.bench.expect(CARRIER, "SIP/2.0 180");
        self.document(document);
        caller
    }

    /// Adds a caller that is answered by this document.
    pub(super) fn joins_by(&mut self, document: &str) -> usize {
        let mut caller = self.asks_by(document);
        let ok = self.bench.expect(CARRIER, "SIP/2.0 200");
        caller.to_tag = ok.tag("To");
        self.bench.receive(CARRIER, caller.request("ACK", "", ""));
        self.callers.push(caller);
        // Beeps in quick succession are played as one.
        self.bench.pass(Duration::from_millis(600));
        self.callers.len() - 1
    }

    /// Makes an announcement to one party or to all.
    fn announces(&mut self, to: Option<usize>) -> Result<(), ConferenceRefused> {
        let calls = self.bench.gateway.calls(self.bench.now);
        let conference = calls[0].conference.clone().unwrap().sid;
        let party = to.map(|at| calls[calls.len() - 1 - at].sid.clone());
        let (url, method) = ("https://app.example.com/news".to_owned(), WebhookMethod::Post);
        let app = Arc::new(App { is_made: true, ..App::new("made", AppDocument::Text("".into())) });
        let action = ConferenceAction::Announce { party, url, method, app };
        let done = self.bench.change(ConferenceControl { conference, action });
        self.bench.drain();
        done
    }

    /// Answers a question for a sound.
    pub(super) fn sound(&mut self) {
        let question = self.bench.questions.pop_front().expect("a question");
        assert!(matches!(question.wanted, AppResource::Speech { .. } | AppResource::Sound(_)), "{:?}", question.wanted);
        let answer = Box::new(AppAnswer::Sound { sound: vec![0x80; 320].into(), told: String::new() });
        self.bench.input(GatewayInput::AppAnswered { query: question.query.unwrap(), answer });
    }

    /// Answers the application's request with a document; returns the request.
    pub(super) fn document(&mut self, text: &str) -> DocumentRequest {
        let question = self.bench.questions.pop_front().expect("a question");
        let AppResource::Document(request) = question.wanted else { panic!("{:?}", question.wanted) };
        is_on_the_page(&request);
        let body = format!("<Response>{text}</Response>").into_bytes();
        let (url, content_type, told) = (None, Some("text/xml".to_owned()), String::new());
        let answer = AppAnswer::Document { url, content_type, body, told };
        self.bench.input(GatewayInput::AppAnswered { query: question.query.unwrap(), answer: Box::new(answer) });
        request
    }

    pub(super) fn hangs_up(&mut self, at: usize) {
        let bye = self.callers[at].request("BYE", "", "");
        self.bench.receive(CARRIER, bye);
        self.bench.expect(CARRIER, "SIP/2.0 200");
    }

    pub(super) fn is_hung_up_on(&mut self, at: usize) {
        let bye = self.bench.expect(CARRIER, "BYE");
        let response = self.callers[at].respond(&bye, 200, "");
        self.bench.receive(CARRIER, response);
    }

    pub(super) fn press(&mut self, at: u64, key: char) {
        self.bench.input(GatewayInput::Media { id: MediaId(at), event: MediaEvent::Key { end: CALLER, key, ms: 0 } });
    }

    /// Returns the commands to the mixers since the last look, abbreviated.
    pub(super) fn mixed(&mut self) -> Vec<String> {
        let word = |command: NodeCommand| match command {
            NodeCommand::Seat { seat, .. } => format!("seat {}", seat.0),
            NodeCommand::Part { seat, part: ParticipantRole::Coach(to) } => format!("{} coach of {}", seat.0, to.0),
            NodeCommand::Part { seat, part } => format!("{} {part:?}", seat.0).to_lowercase(),
            NodeCommand::Leave { seat } => format!("{} leaves", seat.0),
            NodeCommand::Play { clip, to, samples, .. } if samples.len() == 320 => {
                let to = to.map_or("all".to_owned(), |seat| seat.0.to_string());
                format!("clip {} to {to}", clip.0)
            }
            NodeCommand::Play { .. } => "beep".to_owned(),
            NodeCommand::Stop { clip } => format!("stop {}", clip.0),
            NodeCommand::Record { recording, .. } => format!("record {}", recording.0),
            NodeCommand::PauseRecording { recording, pause } => format!("record {} pause {pause:?}", recording.0),
            NodeCommand::StopRecording { recording } => format!("record {} stop", recording.0),
        };
        self.bench.mixer.drain(..).map(word).collect()
    }

    /// Returns the end that each caller hears now, with its sound for a player.
    pub(super) fn heard(&self) -> Vec<String> {
        let last = |id: u64| {
            let of = self.bench.media.iter().filter(|(session, _)| session.0 == id);
            let mut heard = String::new();
            let (mut player, mut sound) = (None, String::new());
            for (_, command) in of {
                match command {
                    MediaCommand::AddListener { end, spec: AudioListenerSpec::Seat(_) } => {
                        heard = format!("added {}", end.0)
                    }
                    MediaCommand::AddPlayer { end, .. } => player = Some(*end),
                    MediaCommand::Play { sound: PlayerSound::Hold(hold), .. } => {
                        sound = if hold.music.is_some() { "music" } else { "ringing" }.to_owned();
                    }
                    MediaCommand::Play { sound: PlayerSound::Ringback, .. } => sound = "ringing".to_owned(),
                    MediaCommand::Play { sound: PlayerSound::Silence, .. } => sound = "silence".to_owned(),
                    MediaCommand::Play { sound: PlayerSound::Once(_), .. } => sound = "sound".to_owned(),
                    MediaCommand::Wire { from, to: CALLER, .. } => heard = format!("{}", from.0),
                    _ => {}
                }
            }
            match player {
                Some(end) if heard == end.0.to_string() => sound,
                _ => "others".to_owned(),
            }
        };
        (0..self.callers.len() as u64).map(last).collect()
    }

    /// Returns the trace of the newest call.
    pub(super) fn story(&self) -> String {
        let sid = self.bench.gateway.calls(self.bench.now).remove(0).sid;
        format!("{:?}", self.bench.gateway.trace(&sid).unwrap().entries)
    }

    fn reports(&mut self) -> Vec<DocumentRequest> {
        let callbacks: Vec<_> = self.bench.callbacks.drain(..).collect();
        for callback in &callbacks {
            is_on_the_page(&callback.request);
            assert_eq!(Some(&*callback.about), parameter(&callback.request, "ConferenceSid"));
        }
        callbacks.into_iter().map(|callback| callback.request).collect()
    }

    fn events(&mut self) -> Vec<String> {
        let event = |request: &DocumentRequest| parameter(request, "StatusCallbackEvent").unwrap().to_owned();
        self.reports().iter().map(event).collect()
    }
}

/// Returns the requests of a conference: for the document of a waiting party, and for its events.
pub(crate) fn requests() -> Vec<DocumentRequest> {
    let mut party = Party::app();
    let status = format!("statusCallback='{REPORTS}' statusCallbackEvent='start end join leave'");
    let document = format!("<Dial><Conference waitUrl='/wait' participantLabel='ann' {status}>a</Conference></Dial>");
    party.joins_by(&document);
    let wait = party.document("<Pause length='60'/>");
    party.hangs_up(0);
    let mut all: Vec<DocumentRequest> = party.reports().into_iter().chain([wait]).collect();
    all.extend(recorded_requests());
    all.extend(announced_requests());
    all
}

/// Returns the requests about the recording of a conference.
fn recorded_requests() -> Vec<DocumentRequest> {
    let mut party = Party::app();
    record_all(&mut party.bench);
    for _ in 0..2 {
        party.joins_by("<Dial><Conference record='true' recordingStatusCallback='/r'>a</Conference></Dial>");
    }
    party.bench.callbacks.drain(..).map(|callback| callback.request).collect()
}

/// Returns the requests of announcements, including one that fails.
fn announced_requests() -> Vec<DocumentRequest> {
    let mut party = Party::app();
    let status = format!("statusCallback='{REPORTS}' statusCallbackEvent='announcement'");
    party.joins_by(&format!("<Dial><Conference {status}>a</Conference></Dial>"));
    party.announces(Some(0)).unwrap();
    let asked = party.document("<Dial>1</Dial>");
    party.reports().into_iter().chain([asked]).collect()
}

#[test]
fn the_second_caller_of_a_route_starts_the_conference() {
    let mut party = Party::weekly();
    let first = party.joins();
    assert_eq!(party.mixed(), ["seat 0", "0 away"]);
    assert_eq!(party.heard(), ["music"]);
    let call = party.bench.gateway.calls(party.bench.now).remove(0);
    let conference = call.conference.unwrap();
    assert_eq!((conference.name.as_str(), &conference.sid[..2], call.app), ("weekly", "CF", None));
    let second = party.joins();
    assert_eq!(party.mixed(), ["seat 1", "beep", "0 speaker", "1 speaker"]);
    assert_eq!(party.heard(), ["others", "others"]);
    let tapped = |(id, command): &(MediaId, MediaCommand)| match command {
        MediaCommand::Tap { of, listener, .. } => Some((id.0, of.0, listener.0)),
        _ => None,
    };
    let taps: Vec<_> = party.bench.media.iter().filter_map(tapped).collect();
    assert_eq!(taps, [(0, CALLER.0, 2), (1, CALLER.0, 2)], "each says to the conference what it says");
    party.hangs_up(first);
    assert_eq!(party.mixed(), ["0 leaves", "beep"]);
    assert_eq!(party.bench.state(), "answered", "the other one stays");
    party.hangs_up(second);
    assert_eq!(party.mixed(), ["1 leaves"]);
    let reasons: Vec<_> = party.bench.reports.iter().map(|record| record.call.reason).collect();
    assert_eq!(reasons, [Some("caller_hung_up"); 2]);
    assert!(party.bench.reports.iter().all(|record| record.call.conference.as_ref() == Some(&conference)));
}

#[test]
fn a_moderator_starts_a_conference_and_ends_it() {
    let mut party = Party::app();
    let guest =
        "<Dial action='/left'><Conference startConferenceOnEnter='false' beep='false'>board</Conference></Dial>";
    party.joins_by(guest);
    party.joins_by(guest);
    assert_eq!(party.heard(), ["music", "music"]);
    party.joins_by("<Dial><Conference endConferenceOnExit='true' beep='false'> board </Conference></Dial>");
    assert_eq!(party.heard(), ["others"; 3]);
    party.mixed();
    party.hangs_up(2);
    assert_eq!(party.mixed(), ["2 leaves", "0 leaves", "1 leaves"]);
    for at in 0..2 {
        let request = party.document("<Hangup/>");
        let fields = ["DialCallStatus", "DialCallSid", "DialCallDuration", "DialBridged"];
        let values = fields.map(|name| parameter(&request, name));
        assert_eq!((request.purpose, values), ("dial", [Some("answered"), None, None, Some("true")]));
        party.is_hung_up_on(at);
    }
}

#[test]
fn callers_of_a_route_are_hung_up_on_when_their_conference_is_over() {
    let mut party = Party::weekly();
    party.joins();
    party.joins();
    party.bench.control(OperatorCommand::EndAll);
    for at in 0..2 {
        party.is_hung_up_on(at);
    }
    assert_eq!(party.mixed().iter().filter(|word| word.ends_with("leaves")).count(), 2);
}

#[test]
fn the_star_key_and_the_time_limit_take_a_caller_out() {
    let document = "<Dial hangupOnStar='true' timeLimit='60'><Conference>a</Conference></Dial><Say>Bye</Say>";
    let mut party = Party::app();
    party.joins_by(document);
    party.joins_by(document);
    party.press(0, '#');
    assert!(party.bench.questions.is_empty());
    party.press(0, '*');
    let say = party.bench.questions.pop_front().unwrap();
    assert!(matches!(say.wanted, AppResource::Speech { .. }), "{say:?}");
    party.bench.pass(Duration::from_secs(61));
    let say = party.bench.questions.pop_front().unwrap();
    assert!(matches!(say.wanted, AppResource::Speech { .. }), "{say:?}");
    assert_eq!(party.mixed().iter().filter(|word| word.ends_with("leaves")).count(), 2);
    assert_eq!(party.heard(), ["silence", "silence"]);
}

#[test]
fn a_conference_that_is_full_leads_to_the_next_target() {
    let mut party = Party::of(vec![TargetSpec::Conference("weekly".into()), to_trunk("pbx")]);
    for _ in 0..50 {
        party.joins();
    }
    party.bench.invite(CARRIER, "+14155550100", &offer());
    party.bench.expect(CARRIER, "SIP/2.0 100");
    party.bench.expect(CARRIER, "SIP/2.0 180");
    let invite = party.bench.expect(PBX, "INVITE");
    assert!(invite.first_line().contains("4155550100"));
    // The call is not answered for a conference that refuses it.
    let phone = Dialed::new(PBX, invite);
    party.bench.receive(PBX, phone.answer(486, ""));
    party.bench.expect(PBX, "ACK");
    let refused = party.bench.expect(CARRIER, "SIP/2.0 486");
    assert!(!refused.text.contains("Content-Type"), "{}", refused.text);
}

#[test]
fn a_call_that_a_full_conference_does_not_take_is_not_answered() {
    let mut party = Party::weekly();
    for _ in 0..50 {
        party.joins();
    }
    party.bench.invite(CARRIER, "+14155550100", &offer());
    party.bench.expect(CARRIER, "SIP/2.0 100");
    party.bench.expect(CARRIER, "SIP/2.0 180");
    let refused = party.bench.expect(CARRIER, "SIP/2.0 603");
    assert!(refused.text.contains("conference_refused"), "{}", refused.text);

    let document = "<Dial action='/full'><Conference>a</Conference></Dial>";
    let mut app = Party::app();
    app.joins_by("<Dial><Conference maxParticipants='1'>a</Conference></Dial>");
    app.asks_by(document);
    let request = app.document("<Hangup/>");
    assert_eq!(parameter(&request, "DialCallStatus"), Some("failed"));
    let refused = app.bench.expect(CARRIER, "SIP/2.0 603");
    assert!(refused.text.contains("conference_refused"), "{}", refused.text);
    // The call is answered for a prompt of its document.
    app.asks_by(document);
    app.document("<Say>Try again later.</Say>");
    app.bench.expect(CARRIER, "SIP/2.0 200");
}

#[test]
fn callers_of_one_trunk_that_take_all_places_leave_some_for_other_trunks() {
    let bench = Bench::configured(table(vec![TargetSpec::App("ivr".into())]), |config| {
        config.max_calls = 1_000;
        config.media_ports = (16_384, 26_383);
    });
    let mut party = Party { bench, callers: Vec::new() };
    for n in 0..500 {
        party.joins_by(&format!("<Dial><Conference>{}</Conference></Dial>", n / 50));
    }
    let joins = |party: &mut Party, peer: &str| {
        party.bench.invite(peer, "+14155550100", &offer());
        party.bench.expect(peer, "SIP/2.0 100");
        party.bench.expect(peer, "SIP/2.0 180");
        party.document("<Dial><Conference>other</Conference></Dial>");
        party.bench.next(peer).code()
    };
    assert_eq!((joins(&mut party, CARRIER), joins(&mut party, PBX)), (603, 200));
}

#[test]
fn fifty_parties_leave_at_once() {
    let mut party = Party::weekly();
    for _ in 0..50 {
        party.joins();
    }
    party.mixed();
    party.bench.control(OperatorCommand::EndAll);
    for _ in 0..50 {
        let bye = party.bench.expect(CARRIER, "BYE");
        let at = party.callers.iter().position(|caller| bye.text.contains(&caller.to_tag)).unwrap();
        let response = party.callers[at].respond(&bye, 200, "");
        party.bench.receive(CARRIER, response);
    }
    assert_eq!(party.mixed().iter().filter(|word| word.ends_with("leaves")).count(), 50);
    assert_eq!(party.bench.gateway.held_calls(), 0);
    party.joins();
    assert_eq!(party.mixed(), ["seat 50", "50 away"], "a new conference of the name");
}

#[test]
fn a_call_that_comes_back_gets_a_new_seat() {
    let mut party = Party::app();
    party.joins_by("<Dial><Conference>a</Conference></Dial>");
    let again = "<Dial hangupOnStar='true'><Conference>a</Conference></Dial><Dial><Conference>a</Conference></Dial>";
    party.joins_by(again);
    party.mixed();
    party.press(1, '*');
    assert_eq!(party.mixed(), ["1 leaves", "seat 2", "beep", "2 speaker"]);
    assert_eq!(party.heard(), ["others", "others"]);
}

#[test]
fn a_document_is_heard_before_the_start_and_again_after_its_end() {
    let mut party = Party::app();
    party.joins_by("<Dial><Conference waitUrl='/wait'>a</Conference></Dial>");
    let said = |party: &mut Party| {
        let request = party.document("<Say>Please wait</Say>");
        assert_eq!((request.purpose, parameter(&request, "CallStatus")), ("wait", Some("in-progress")));
        let AppPlace::Url(url) = request.place else { panic!() };
        assert_eq!(url, "https://app.example.com/wait");
        let question = party.bench.questions.pop_front().unwrap();
        assert!(matches!(question.wanted, AppResource::Speech { .. }));
        let answer = Box::new(AppAnswer::Sound { sound: vec![0x80; 320].into(), told: String::new() });
        party.bench.input(GatewayInput::AppAnswered { query: question.query.unwrap(), answer });
        assert_eq!(party.heard()[0], "sound");
        party.bench.pass(Duration::from_secs(1));
        party.bench.input(GatewayInput::Media { id: MediaId(0), event: MediaEvent::Played { end: PLAYER } });
    };
    said(&mut party);
    said(&mut party);
    let waiting = party.bench.questions.len();
    assert_eq!(waiting, 1, "and once more");
    // The joining party has no document of its own to hear.
    let mut caller = party.bench.invite(CARRIER, "+14155550100", &offer());
    party.bench.expect(CARRIER, "SIP/2.0 100");
    party.bench.expect(CARRIER, "SIP/2.0 180");
    party.bench.questions.rotate_left(1);
    party.document("<Dial><Conference>a</Conference></Dial>");
    let ok = party.bench.expect(CARRIER, "SIP/2.0 200");
    caller.to_tag = ok.tag("To");
    party.bench.receive(CARRIER, caller.request("ACK", "", ""));
    party.callers.push(caller);
    assert_eq!(party.heard(), ["others", "others"]);
    assert_eq!(party.bench.given_up.len(), 1, "the document that was under way is given up");
}

#[test]
fn a_document_for_a_party_that_leaves_is_given_up_before_digits_are_played() {
    let mut party = Party::app();
    let play = "<Play digits='1w2'/>";
    party.joins_by(&format!("<Dial hangupOnStar='true'><Conference waitUrl='/wait'>a</Conference></Dial>{play}"));
    assert_eq!(party.bench.questions.len(), 1, "the document is under way");
    party.press(0, '*');
    assert_eq!(party.bench.given_up.len(), 1);
    party.hangs_up(0);
}

#[test]
fn events_of_a_conference_are_reported() {
    let mut party = Party::app();
    let document = format!(
        "<Dial><Conference statusCallback='{REPORTS}' statusCallbackEvent='start end join leave speaker' \
         participantLabel='LABEL' coach='COACH'>a</Conference></Dial>"
    );
    let with = |label: &str, coach: &str| document.replace("LABEL", label).replace("COACH", coach);
    party.joins_by(&with("ann", ""));
    party.joins_by(&with("bob", ""));
    assert_eq!(party.events(), ["participant-join", "conference-start", "participant-join"]);
    let first = party.bench.gateway.calls(party.bench.now).remove(1).sid;
    party.joins_by(&with("coach", &first));
    assert!(party.mixed().contains(&"2 coach of 0".to_owned()));
    let [report] = &party.reports()[..] else { panic!() };
    for (name, value) in [("Coaching", "true"), ("ParticipantLabel", "coach"), ("FriendlyName", "a"), ("Hold", "false")]
    {
        assert_eq!(parameter(report, name), Some(value), "{name}");
    }
    assert!(parameter(report, "Timestamp").unwrap().ends_with(" +0000"));
    party.bench.input(GatewayInput::Conference(NodeEvent::SpeechStarted(ParticipantId(1))));
    party.bench.input(GatewayInput::Conference(NodeEvent::SpeechStopped(ParticipantId(1))));
    assert_eq!(party.events(), ["participant-speech-start", "participant-speech-stop"]);
    for at in 0..3 {
        party.hangs_up(at);
    }
    let events = party.events();
    assert_eq!(events, ["participant-leave", "participant-leave", "participant-leave", "conference-end"]);
}

#[test]
fn a_label_that_is_taken_keeps_a_caller_out() {
    let mut party = Party::app();
    let document = "<Dial action='/out'><Conference participantLabel='ann'>a</Conference></Dial>";
    party.joins_by(document);
    party.asks_by(document);
    let told = party.story();
    assert!(told.contains("error 16025: its participantLabel is already in use"), "{told}");
    assert_eq!(parameter(&party.document("<Hangup/>"), "DialCallStatus"), Some("failed"));
}

#[test]
fn a_conference_is_joined_by_its_sid_while_it_goes_on() {
    let mut party = Party::app();
    party.joins_by("<Dial><Conference>a</Conference></Dial>");
    let sid = party.bench.gateway.calls(party.bench.now).remove(0).conference.unwrap().sid;
    party.joins_by(&format!("<Dial><Conference>{sid}</Conference></Dial>"));
    assert_eq!(party.heard(), ["others", "others"]);
    party.asks_by(&format!("<Dial action='/out'><Conference>CF{:032x}</Conference></Dial>", 7));
    let told = party.story();
    assert!(told.contains("error 13236"), "{told}");
    assert_eq!(parameter(&party.document("<Hangup/>"), "DialCallStatus"), Some("failed"));
}

#[test]
fn another_document_takes_a_caller_out() {
    let mut party = Party::weekly();
    party.joins();
    party.joins();
    let sid = party.bench.gateway.calls(party.bench.now).remove(1).sid;
    party.mixed();
    let text = "<Response><Pause length='60'/></Response>";
    let app = Arc::new(App { is_made: true, ..App::new("made", AppDocument::Text(text.into())) });
    party.bench.change_call(&sid, CallAction::Redirect(app)).unwrap();
    party.bench.drain();
    assert_eq!(party.mixed(), ["0 leaves", "beep"]);
    assert_eq!(party.heard(), ["silence", "others"]);
    party.bench.pass(Duration::from_secs(61));
    party.is_hung_up_on(0);
}

#[test]
fn a_party_without_a_place_at_the_mixer_leaves() {
    let mut party = Party::app();
    party.joins_by("<Dial action='/out'><Conference>a</Conference></Dial>");
    party.mixed();
    party.bench.input(GatewayInput::Conference(NodeEvent::Refused(ParticipantId(0))));
    assert_eq!(parameter(&party.document("<Hangup/>"), "DialCallStatus"), Some("failed"));
    assert_eq!(party.mixed(), ["0 leaves"]);
    party.is_hung_up_on(0);
    // Events of a party that has left have no effect.
    party.bench.input(GatewayInput::Conference(NodeEvent::Gone(ParticipantId(0))));
}

#[test]
fn a_wait_file_of_a_document_in_a_file_is_one_of_its_folder() {
    let app = App { document: AppDocument::File("ivr/menu.xml".into()), ..app() };
    let connect = vec![TargetSpec::App("ivr".into())];
    let mut party = Party { bench: Bench::with(table_with(app, connect)), callers: Vec::new() };
    party.joins_by("<Dial><Conference waitUrl='hold.wav'>a</Conference></Dial>");
    let question = party.bench.questions.pop_front().unwrap();
    let AppResource::Document(request) = question.wanted else { panic!() };
    assert_eq!(request.place, AppPlace::File("ivr/hold.wav".into()));
    assert_eq!(DocumentLocation::url("ivr/hold.wav").ok(), None);
}

#[test]
fn a_conference_is_recorded_from_its_start_to_its_end() {
    let mut party = Party::app();
    record_all(&mut party.bench);
    let document = "<Dial><Conference record='record-from-start' trim='do-not-trim' recordingStatusCallback='/r' \
                    recordingStatusCallbackEvent='in-progress completed'>a</Conference></Dial>";
    party.joins_by(document);
    assert!(party.bench.recordings.is_empty(), "not before the start");
    party.joins_by(document);
    let begun = party.bench.recordings.remove(0);
    let calls = party.bench.gateway.calls(party.bench.now);
    let conference = calls[0].conference.clone().unwrap().sid;
    assert_eq!((begun.source, begun.channels, begun.trim), (RecordingSource::Conference, Channels::Mono, false));
    assert_eq!((begun.conference.as_ref(), &begun.call), (Some(&conference), &calls[1].sid), "asked for by the first");
    assert_eq!(begun.receiver.as_ref().unwrap().url, "https://app.example.com/r");
    let callbacks: Vec<_> = party.bench.callbacks.drain(..).collect();
    assert_eq!(callbacks.len(), 2, "one to the receiver, one to that of all recordings");
    assert_eq!(callbacks[0].about, begun.sid);
    let report = &callbacks[0].request;
    is_on_the_page(report);
    for (name, value) in
        [("ConferenceSid", conference.as_str()), ("RecordingStatus", "in-progress"), ("RecordingSource", "Conference")]
    {
        assert_eq!(parameter(report, name), Some(value), "{name}");
    }
    let number = begun.id.0;
    assert!(party.mixed().contains(&format!("record {number}")));
    // A third party begins no other recording.
    party.joins_by(document);
    assert!(party.bench.recordings.is_empty());
    party.mixed();
    let change = |party: &mut Party, sid: Option<&str>, change| {
        let (conference, recording) = (conference.clone(), sid.map(str::to_owned));
        let changed = party.bench.change(ConferenceRecordingControl { conference, recording, change });
        party.bench.drain();
        changed
    };
    let pause = RecordingChange::Pause(RecordingPause::Cut);
    assert_eq!(change(&mut party, None, pause).as_ref(), Some(&begun.sid));
    assert_eq!(change(&mut party, Some(&begun.sid), RecordingChange::Resume).as_ref(), Some(&begun.sid));
    assert_eq!(change(&mut party, Some("RE1"), RecordingChange::Stop), None);
    assert_eq!(party.mixed(), [format!("record {number} pause Some(Cut)"), format!("record {number} pause None")]);
    for at in 0..3 {
        party.hangs_up(at);
    }
    assert!(party.mixed().contains(&format!("record {number} stop")));
    assert_eq!(change(&mut party, None, RecordingChange::Stop), None, "it is over");
}

#[test]
fn without_recordings_a_conference_goes_on_unrecorded() {
    let mut party = Party::app();
    for _ in 0..2 {
        party.joins_by("<Dial><Conference record='true'>a</Conference></Dial>");
    }
    assert_eq!(party.heard(), ["others", "others"]);
    let told = party.story();
    assert!(told.contains("without a recording"), "{told}");
    assert!(party.bench.recordings.is_empty() && !party.mixed().iter().any(|word| word.starts_with("record")));
}

#[test]
fn a_party_that_is_called_for_a_conference_and_does_not_join_is_reported() {
    let mut party = Party::app();
    let status = format!("statusCallback='{REPORTS}' statusCallbackEvent='join leave'");
    party.joins_by(&format!("<Dial><Conference {status}>a</Conference></Dial>"));
    party.events();
    // The last party answers, and its document leads to no conference.
    for (code, status) in [(486, "busy"), (603, "busy"), (404, "failed"), (0, "canceled"), (200, "failed")] {
        let added = ParticipantRequest { label: Some("guest".to_owned()), ..ParticipantRequest::new("a") };
        let targets = vec![to_trunk("pbx")];
        let app = App { is_made: true, ..App::new("made", AppDocument::Text("<Response/>".into())) };
        let onward = vec![ConnectTarget::App(Arc::new(app))];
        let request = CallRequest { targets, participant: Some(Box::new(added)), ..request(onward) };
        let sid = party.bench.change(request).unwrap().sid;
        party.bench.drain();
        let called = Dialed::new(PBX, party.bench.expect(PBX, "INVITE"));
        if code == 0 {
            party.bench.receive(PBX, called.answer(180, ""));
            party.bench.control(OperatorCommand::Hangup { sid: sid.clone() });
            let cancel = party.bench.expect(PBX, "CANCEL");
            party.bench.receive(PBX, called.respond(&cancel, 200, ""));
            party.bench.receive(PBX, called.answer(487, ""));
        } else {
            let body = if code == 200 { answer() } else { String::new() };
            party.bench.receive(PBX, called.answer(code, &body));
        }
        party.bench.expect(PBX, "ACK");
        let reports = party.reports();
        let [report] = &reports[..] else { panic!("{code}: {reports:?}") };
        for (name, value) in [
            ("StatusCallbackEvent", "participant-leave"),
            ("CallSid", &sid),
            ("ParticipantLabel", "guest"),
            ("ParticipantCallStatus", status),
            ("ReasonParticipantLeft", "participant_add_failed"),
        ] {
            assert_eq!(parameter(report, name), Some(value), "{code}: {name}");
        }
    }
}

#[test]
fn an_announcement_is_a_document_that_all_hear() {
    let mut party = Party::app();
    let document = format!(
        "<Dial><Conference statusCallback='{REPORTS}' statusCallbackEvent='announcement'>a</Conference></Dial>"
    );
    party.joins_by(&document);
    party.joins_by(&document);
    party.mixed();
    party.announces(None).unwrap();
    let request = party.document("<Say loop='2'>News</Say><Pause length='3'/><Play>/a.wav</Play>");
    assert_eq!(request.purpose, "announce");
    assert_eq!(parameter(&request, "FriendlyName"), Some("a"));
    party.sound();
    let ended =
        |party: &mut Party, clip: u64| party.bench.input(GatewayInput::Conference(NodeEvent::ClipEnded(ClipId(clip))));
    let clip = |mixed: Vec<String>| -> u64 { mixed[0].split(' ').nth(1).unwrap().parse().unwrap() };
    let first = clip(party.mixed());
    ended(&mut party, first);
    let again = clip(party.mixed());
    assert!(again > first, "twice");
    ended(&mut party, again);
    assert!(party.mixed().is_empty() && party.bench.questions.is_empty(), "a pause");
    // Another announcement waits for the end of the first.
    party.announces(None).unwrap();
    assert!(party.bench.questions.is_empty());
    party.bench.pass(Duration::from_secs(3));
    party.sound();
    let last = clip(party.mixed());
    assert!(party.events().is_empty());
    ended(&mut party, last);
    assert_eq!(party.events(), ["announcement-end"]);
    // The second announcement fails.
    party.document("<Dial>1</Dial>");
    let [report] = &party.reports()[..] else { panic!() };
    assert_eq!(parameter(report, "StatusCallbackEvent"), Some("announcement-fail"));
    assert_eq!(parameter(report, "AnnounceUrl"), Some("https://app.example.com/news"));
    assert!(parameter(report, "ReasonAnnouncementFailed").unwrap().contains("error 13238"));
}

#[test]
fn an_announcement_to_a_held_party_is_heard_by_it_alone() {
    let mut party = Party::weekly();
    party.joins();
    party.joins();
    let calls = party.bench.gateway.calls(party.bench.now);
    let (conference, sid) = (calls[1].conference.clone().unwrap().sid, calls[1].sid.clone());
    let changes = vec![MemberChange::Hold(Some(WaitMusic::BuiltIn))];
    party.bench.change(PartyControl { conference, party: sid.clone(), changes }).unwrap();
    party.bench.drain();
    assert_eq!(party.heard(), ["music", "others"]);
    party.mixed();
    party.announces(Some(0)).unwrap();
    let request = party.document("<Say>News</Say>");
    assert_eq!(parameter(&request, "CallSid"), Some(&*sid));
    party.sound();
    let [play] = &party.mixed()[..] else { panic!() };
    assert!(play.ends_with(" to 0"), "{play}");
    assert_eq!(party.heard(), ["others", "others"], "its seat");
    let clip = play.split(' ').nth(1).unwrap().parse().unwrap();
    party.bench.input(GatewayInput::Conference(NodeEvent::ClipEnded(ClipId(clip))));
    assert_eq!(party.heard(), ["music", "others"], "its music again");
    // An announcement to a party that leaves is cancelled.
    party.announces(Some(0)).unwrap();
    party.hangs_up(0);
    assert_eq!(party.bench.given_up.len(), 1);
    party.hangs_up(1);
    assert_eq!(party.bench.gateway.poll_timeout().map(|(_, why)| why).filter(|why| *why == "conference"), None);
}

#[test]
fn announcements_that_wait_are_bounded() {
    let mut party = Party::weekly();
    party.joins();
    for _ in 0..50 {
        party.announces(None).unwrap();
    }
    assert_eq!(party.announces(None), Err(ConferenceRefused::TooManyAnnouncements));
    assert_eq!(party.bench.questions.len(), 1, "one after the other");
    party.hangs_up(0);
    assert_eq!(party.bench.given_up.len(), 1);
}

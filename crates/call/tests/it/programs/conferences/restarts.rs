//! Conferences that continue after an upgrade or a crash: the same SID, parties and settings, and nothing reported twice.

use trunkgate_call::gateway::{ConferenceStates, conferences};
use trunkgate_call::{LossReason, RecordingLosses};
use trunkgate_resources::conferences::ConferenceReport;

use super::*;

impl Party {
    /// Replaces the edge by another one, after a crash or in an upgrade.
    fn goes_on(&mut self, crashes: bool) {
        let table = table(vec![TargetSpec::App("ivr".into()), TargetSpec::Conference("weekly".into())]);
        match crashes {
            true => self.bench.crash(table, Duration::from_millis(700)),
            false => self.bench.restart(table),
        }
        self.bench.gateway.check_invariants().unwrap();
    }

    fn conferences(&self) -> Vec<ConferenceReport> {
        conferences(&self.bench.gateway).reports()
    }

    /// Changes a party of the first conference.
    fn changes(&mut self, party: &str, change: MemberChange) {
        let conference = self.conferences().remove(0).sid;
        let (party, changes) = (party.to_owned(), vec![change]);
        self.bench.change(PartyControl { conference, party, changes }).unwrap();
        self.bench.drain();
    }

    /// Returns sequence number and name of each callback.
    fn numbered(&mut self) -> Vec<(u64, String)> {
        let value = |request: &DocumentRequest, name| parameter(request, name).unwrap().to_owned();
        let reports = self.reports();
        let number = |request| value(request, "SequenceNumber").parse().unwrap();
        reports.iter().map(|request| (number(request), value(request, "StatusCallbackEvent"))).collect()
    }
}

/// Returns a document with a conference that reports all events and has these attributes.
fn board(attributes: &str) -> String {
    let events = "start end join leave mute hold modify announcement";
    format!(
        "<Dial><Conference statusCallback='{REPORTS}' statusCallbackEvent='{events}' {attributes}>a</Conference></Dial>"
    )
}

#[test]
fn parties_of_a_route_hear_each_other_again_without_a_beep() {
    for crashes in [false, true] {
        let mut party = Party::weekly();
        party.joins();
        party.joins();
        party.mixed();
        let before = party.conferences();
        let table = table(vec![TargetSpec::Conference("weekly".into())]);
        match crashes {
            true => party.bench.crash(table, Duration::from_millis(700)),
            false => party.bench.restart(table),
        }
        assert_eq!(party.mixed(), ["seat 0", "seat 1", "0 speaker", "1 speaker"]);
        assert_eq!(party.heard(), ["others", "others"]);
        assert_eq!(party.conferences()[0].sid, before[0].sid);
        // Another caller joins the same conference.
        party.joins();
        assert_eq!(party.conferences()[0].parties.len(), 3);
        assert_eq!(party.mixed(), ["seat 2", "beep", "2 speaker"]);
    }
}

#[test]
fn roles_holds_and_settings_stay_and_nothing_is_reported_twice() {
    for crashes in [false, true] {
        let mut party = Party::app();
        let roles = [
            "participantLabel='host' endConferenceOnExit='true' maxParticipants='4' beep='onExit'",
            "participantLabel='muted' muted='true' startConferenceOnEnter='false'",
            "participantLabel='held' waitUrl=''",
        ];
        roles.iter().for_each(|role| {
            party.joins_by(&board(role));
        });
        let calls: Vec<String> =
            party.conferences()[0].parties.iter().map(|one| one.member.call_sid().into()).collect();
        party.joins_by(&board(&format!("participantLabel='coach' coach='{}'", calls[2])));
        let music = WaitMusic::Url { url: "https://app.example.com/hold".to_owned(), method: CallbackMethod::Get };
        party.changes("held", MemberChange::Hold(Some(music)));
        party.document("<Pause length='30'/>");
        party.changes("muted", MemberChange::Ends(true));
        party.changes("muted", MemberChange::Ends(false));
        let (before, last) = (party.conferences(), party.numbered().last().unwrap().0);
        assert_eq!(before[0].parties.len(), 4);
        party.mixed();
        party.goes_on(crashes);
        assert_eq!(party.numbered(), []);
        let mixed = party.mixed();
        for part in ["0 speaker", "1 listener", "2 away", "3 coach of 2"] {
            let last = mixed.iter().rev().find(|line| line.starts_with(&part[..2]) && *line != part);
            assert!(mixed.contains(&part.to_owned()), "{part}: {last:?} {mixed:?}");
        }
        assert_eq!(
            mixed.last().map(String::as_str),
            Some("3 coach of 2"),
            "once the coached party is there: {mixed:?}"
        );
        assert_eq!(party.document("<Pause length='30'/>").purpose, "wait", "the music of the hold begins again");
        assert_eq!(party.heard(), ["others", "others", "silence", "others"]);
        let after = party.conferences();
        match crashes {
            false => assert_eq!(after, before),
            true => assert_eq!(without_limits(&after), without_limits(&before)),
        }
        // The maximum is still that of the first party, and labels are still taken.
        party.asks_by(&board("").replace("<Dial>", "<Dial action='/out'>"));
        let told = party.story();
        assert!(told.contains("the conference is full"), "{told}");
        party.document("<Hangup/>");
        party.bench.expect(CARRIER, "SIP/2.0 603");
        party.changes("held", MemberChange::Hold(None));
        assert_eq!(party.mixed(), ["2 speaker"]);
        let [(number, event)] = &party.numbered()[..] else { panic!() };
        assert_eq!(event, "participant-unhold");
        assert!(if crashes { *number > last + 1 } else { *number == last + 1 }, "{number} follows {last}");
        party.hangs_up(0);
        let ends = party.numbered().into_iter().map(|(_, event)| event).collect::<Vec<_>>();
        assert_eq!(ends, ["participant-leave"; 4].into_iter().chain(["conference-end"]).collect::<Vec<_>>());
        assert!(party.conferences()[0].ended.is_some());
    }
}

/// Returns reports without the times of the end of each party, which a crash moves by the time that the edge was down.
fn without_limits(reports: &[ConferenceReport]) -> String {
    let text = format!("{reports:?}");
    let mut pieces = text.split("leaves_at: ");
    let first = pieces.next().unwrap().to_owned();
    pieces.fold(first, |all, piece| all + piece.split_once("standing").unwrap().1)
}

#[test]
fn after_a_restart_a_party_that_hears_a_sound_of_its_wait_document_hears_it_again() {
    let mut party = Party::app();
    party.joins_by("<Dial><Conference waitUrl='/wait'>a</Conference></Dial>");
    assert_eq!(party.document("<Say>Please wait</Say>").purpose, "wait");
    party.sound();
    assert_eq!(party.heard(), ["sound"]);
    party.mixed();
    for crashes in [false, true] {
        party.goes_on(crashes);
        assert_eq!(party.mixed(), ["seat 0", "0 away"]);
        assert_eq!(party.document("<Say>Please wait</Say>").purpose, "wait", "it begins again");
        party.sound();
        assert_eq!(party.heard(), ["sound"]);
    }
    party.bench.gateway.check_invariants().unwrap();
    party.hangs_up(0);
}

#[test]
fn a_party_that_waits_for_others_still_waits() {
    let mut party = Party::weekly();
    party.joins();
    party.goes_on(true);
    assert_eq!(party.mixed().last().map(String::as_str), Some("0 away"));
    assert_eq!(party.heard(), ["music"]);
    assert_eq!(party.conferences()[0].status.name(), "init");
}

#[test]
fn a_call_that_is_lost_leaves_and_the_others_go_on() {
    let mut party = Party::app();
    (0..3).for_each(|_| {
        party.joins_by(&board(""));
    });
    party.numbered();
    let usual = || table(vec![TargetSpec::App("ivr".into())]);
    party.bench.crash_with(usual(), Duration::from_millis(700), |left| drop(left.calls.remove(1)));
    party.bench.gateway.check_invariants().unwrap();
    let events: Vec<String> = party.numbered().into_iter().map(|(_, event)| event).collect();
    assert_eq!(events, ["participant-leave"]);
    assert_eq!(party.conferences()[0].parties.len(), 2);
    // With its last parties the conference ends, once.
    party.bench.crash_with(usual(), Duration::from_millis(700), |left| left.calls.clear());
    let events: Vec<String> = party.numbered().into_iter().map(|(_, event)| event).collect();
    assert_eq!(events, ["participant-leave", "participant-leave", "conference-end"]);
    party.goes_on(false);
    assert_eq!(party.numbered(), []);
}

/// The state of conferences is written by itself, so that it may be older than that of a call.
#[test]
fn a_party_that_the_state_of_its_conference_does_not_have_joins_it() {
    let mut party = Party::app();
    party.joins_by(&board(""));
    party.numbered();
    let states = ConferenceStates::of(&party.bench.gateway, party.bench.now);
    party.joins_by(&board(""));
    let sid = party.conferences()[0].sid.clone();
    party.numbered();
    let usual = table(vec![TargetSpec::App("ivr".into())]);
    party.bench.crash_with(usual, Duration::from_millis(700), |left| left.conferences = states);
    let events: Vec<String> = party.numbered().into_iter().map(|(_, event)| event).collect();
    assert_eq!(
        events,
        ["conference-start", "participant-join"],
        "what had been reported under a number that was left out"
    );
    let reports = party.conferences();
    assert_eq!((reports.len(), &reports[0].sid, reports[0].parties.len()), (1, &sid, 2));
}

#[test]
fn announcements_are_played_again() {
    for crashes in [false, true] {
        let mut party = Party::app();
        (0..2).for_each(|_| {
            party.joins_by(&board(""));
        });
        party.announces(None).unwrap();
        party.announces(None).unwrap();
        party.document("<Play>/a.wav</Play>");
        party.sound();
        party.numbered();
        party.mixed();
        party.goes_on(crashes);
        for _ in 0..2 {
            assert_eq!(party.document("<Play>/a.wav</Play>").purpose, "announce");
            party.sound();
            let mixed = party.mixed();
            let clip = mixed.last().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
            party.bench.input(GatewayInput::Conference(NodeEvent::ClipEnded(ClipId(clip))));
            let events: Vec<String> = party.numbered().into_iter().map(|(_, event)| event).collect();
            assert_eq!(events, ["announcement-end"], "{mixed:?}");
        }
        assert!(party.bench.questions.is_empty());
    }
}

#[test]
fn a_recording_goes_on_under_its_sid_and_pause() {
    for crashes in [false, true] {
        let mut party = Party::app();
        record_all(&mut party.bench);
        (0..2).for_each(|_| {
            party.joins_by("<Dial><Conference record='true'>a</Conference></Dial>");
        });
        let begun = party.bench.recordings.remove(0);
        let conference = party.conferences().remove(0).sid;
        let change = RecordingChange::Pause(RecordingPause::Cut);
        party.bench.change(ConferenceRecordingControl { conference, recording: None, change }).unwrap();
        let mut lost = RecordingLosses::default();
        lost.add(LossReason::DiskFull, 700);
        party.bench.input(GatewayInput::RecordingLost(begun.id, lost));
        party.bench.drain();
        let left = party.bench.gateway.snapshot(party.bench.now);
        assert_eq!(left.recordings().collect::<Vec<_>>(), [(begun.id, begun.sid.as_str())]);
        let interrupted = left.interrupted_recordings().next().unwrap();
        assert_eq!((&interrupted.sid, interrupted.is_cut, interrupted.is_trimmed), (&begun.sid, true, true));
        assert_eq!(interrupted.lost, lost);
        party.mixed();
        party.goes_on(crashes);
        assert!(party.bench.recordings.is_empty(), "no other recording begins");
        assert_eq!(party.conferences()[0].recordings, [(begun.sid.clone(), true)]);
        let number = begun.id.0;
        let (record, pause) = (format!("record {number}"), format!("record {number} pause Some(Cut)"));
        let seats = ["seat 0", "seat 1"].map(str::to_owned);
        assert_eq!(party.mixed()[..4], [&seats[..], &[record, pause]].concat());
        party.hangs_up(0);
        party.hangs_up(1);
        assert!(party.mixed().contains(&format!("record {number} stop")));
    }
}

/// The writer of recordings waits for the end of each file.
#[test]
fn a_recording_without_a_party_that_comes_back_ends() {
    let mut party = Party::app();
    record_all(&mut party.bench);
    (0..2).for_each(|_| {
        party.joins_by("<Dial><Conference record='true'>a</Conference></Dial>");
    });
    let number = party.bench.recordings.remove(0).id.0;
    party.mixed();
    let usual = table(vec![TargetSpec::App("ivr".into())]);
    party.bench.crash_with(usual, Duration::from_millis(700), |left| left.calls.clear());
    assert_eq!(party.mixed()[1..], [format!("record {number}"), format!("record {number} stop")]);
}

//! Behaviour of conferences: start, end, music, beeps, callbacks and their fields.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use trunkgate_conference::limits::{EDGE_PARTIES, PARTIES};
use trunkgate_conference::{
    BeepPolicy, CallStatus, CallbackEvent, CallbackMethod, CallbackRequest, ConferenceCallbacks, ConferenceRoom,
    ConferenceStatus, Departure, EndReason, EventSet, JoinRejection, JoinRequest, LeaveReason, Member, MemberChange,
    MemberId, MemberRole, RoomAction, RoomId, RoomRegistry, RoomSnapshot, WaitMusic,
};

/// Conference whose actions are examined by kind.
struct Bench {
    room: ConferenceRoom,
    now: Instant,
}

const ALL: &str = "start end join leave mute hold modify speaker announcement";

fn joining(call_sid: &str) -> JoinRequest {
    JoinRequest { callbacks: Some(callbacks(ALL)), ..JoinRequest::new(call_sid) }
}

fn callbacks(events: &str) -> ConferenceCallbacks {
    let events = EventSet::parse(events).unwrap();
    ConferenceCallbacks { url: "https://app.example.com/events".to_owned(), method: CallbackMethod::Post, events }
}

impl Bench {
    #[expect(clippy::disallowed_methods, reason = "a test begins somewhere in time")]
    fn new() -> Bench {
        Bench { room: ConferenceRoom::new("CF1".to_owned(), "weekly".to_owned()), now: Instant::now() }
    }

    fn join(&mut self, joining: JoinRequest) -> MemberId {
        self.now += Duration::from_secs(1);
        self.room.join(self.now, joining).unwrap()
    }

    fn leave(&mut self, id: MemberId, departure: Departure) {
        self.now += Duration::from_secs(1);
        self.room.leave(self.now, id, departure);
    }

    /// Returns the actions since the last call.
    fn actions(&mut self) -> Vec<RoomAction> {
        std::iter::from_fn(|| self.room.poll_output()).collect()
    }

    /// Returns the new callbacks: name, call and sequence number of each.
    fn reported(&mut self) -> Vec<String> {
        named(&self.actions())
    }
}

fn callbacks_of(actions: &[RoomAction]) -> Vec<&CallbackRequest> {
    actions.iter().filter_map(|action| if let RoomAction::Callback(one) = action { Some(one) } else { None }).collect()
}

fn named(actions: &[RoomAction]) -> Vec<String> {
    let text = |one: &&CallbackRequest| {
        let field = |name| one.field(name).unwrap_or("-").to_owned();
        format!("{} {} {}", field("SequenceNumber"), field("StatusCallbackEvent"), field("CallSid"))
    };
    callbacks_of(actions).iter().map(text).collect()
}

fn stands(actions: &[RoomAction]) -> Vec<(MemberId, MemberRole)> {
    let one = |action: &RoomAction| {
        if let RoomAction::Stand { member, standing } = action { Some((*member, *standing)) } else { None }
    };
    actions.iter().filter_map(one).collect()
}

fn music(actions: &[RoomAction]) -> Vec<(MemberId, Option<WaitMusic>)> {
    let one = |action: &RoomAction| {
        if let RoomAction::Music { member, music } = action { Some((*member, music.clone())) } else { None }
    };
    actions.iter().filter_map(one).collect()
}

fn releases(actions: &[RoomAction]) -> Vec<(MemberId, LeaveReason)> {
    let one = |action: &RoomAction| {
        if let RoomAction::Release { member, reason } = action { Some((*member, *reason)) } else { None }
    };
    actions.iter().filter_map(one).collect()
}

fn beeps(actions: &[RoomAction]) -> usize {
    actions.iter().filter(|action| **action == RoomAction::Beep).count()
}

#[test]
fn the_first_waits_with_music_and_the_second_starts_the_conference() {
    let mut bench = Bench::new();
    let one = bench.join(joining("CA1"));
    let actions = bench.actions();
    assert_eq!(bench.room.status(), ConferenceStatus::Init);
    assert_eq!(stands(&actions), [(one, MemberRole::Away)]);
    assert_eq!(music(&actions), [(one, Some(WaitMusic::BuiltIn))]);
    assert_eq!((beeps(&actions), named(&actions)), (0, vec!["1 participant-join CA1".to_owned()]));
    let two = bench.join(joining("CA2"));
    let actions = bench.actions();
    assert_eq!(bench.room.status(), ConferenceStatus::InProgress);
    assert_eq!(stands(&actions), [(one, MemberRole::Speaker), (two, MemberRole::Speaker)]);
    assert_eq!(music(&actions), [(one, None)], "the second never hears music");
    assert_eq!(beeps(&actions), 1);
    assert_eq!(named(&actions), ["2 conference-start -", "3 participant-join CA2"]);
}

#[test]
fn a_moderated_conference_starts_with_its_moderator() {
    let mut bench = Bench::new();
    let waiting = |sid: &str| JoinRequest { starts: false, ..joining(sid) };
    let ids = ["CA1", "CA2", "CA3"].map(|sid| bench.join(waiting(sid)));
    let actions = bench.actions();
    assert_eq!(bench.room.status(), ConferenceStatus::Init);
    assert_eq!(music(&actions).len(), 3);
    assert!(stands(&actions).iter().all(|(_, standing)| *standing == MemberRole::Away));
    let moderator = bench.join(JoinRequest { ends: true, ..joining("CA4") });
    assert_eq!(bench.room.status(), ConferenceStatus::InProgress);
    assert_eq!(music(&bench.actions()), ids.map(|id| (id, None)));
    // The moderator leaves: all other calls continue after the conference.
    bench.leave(moderator, Departure::HungUp);
    let actions = bench.actions();
    assert_eq!(releases(&actions), ids.map(|id| (id, LeaveReason::ModeratorEnded)));
    assert_eq!(
        named(&actions),
        [
            "6 participant-leave CA4",
            "7 participant-leave CA1",
            "8 participant-leave CA2",
            "9 participant-leave CA3",
            "10 conference-end -"
        ]
    );
    let reported = callbacks_of(&actions);
    assert_eq!(reported[0].field("ReasonParticipantLeft"), Some("participant_hung_up"));
    assert_eq!(reported[0].field("ParticipantCallStatus"), Some("completed"));
    assert_eq!(reported[1].field("ReasonParticipantLeft"), Some("moderator_ended_conference"));
    assert_eq!(reported[1].field("ParticipantCallStatus"), Some("in-progress"));
    assert_eq!(
        reported[4].fields,
        [
            ("ConferenceSid", "CF1"),
            ("FriendlyName", "weekly"),
            ("SequenceNumber", "10"),
            ("StatusCallbackEvent", "conference-end"),
            ("CallSidEndingConference", "CA4"),
            ("ReasonConferenceEnded", "participant-with-end-conference-on-exit-left"),
            ("Reason", "Participant CA4 with endConferenceOnExit left"),
        ]
        .map(|(name, value)| (name, value.to_owned()))
    );
    assert_eq!(bench.room.status(), ConferenceStatus::Completed);
    assert_eq!(bench.room.ended(), Some((EndReason::ModeratorLeft, Some("CA4"))));
    assert_eq!(bench.room.join(bench.now, joining("CA5")), Err(JoinRejection::Ended));
}

#[test]
fn a_party_is_reported_with_all_its_fields() {
    let mut bench = Bench::new();
    let label = Some("customer".to_owned());
    bench.join(JoinRequest { label, is_muted: true, starts: false, ends: true, ..joining("CA1") });
    let actions = bench.actions();
    assert_eq!(
        callbacks_of(&actions)[0].fields,
        [
            ("ConferenceSid", "CF1"),
            ("FriendlyName", "weekly"),
            ("SequenceNumber", "1"),
            ("StatusCallbackEvent", "participant-join"),
            ("CallSid", "CA1"),
            ("Muted", "true"),
            ("Hold", "false"),
            ("Coaching", "false"),
            ("EndConferenceOnExit", "true"),
            ("StartConferenceOnEnter", "false"),
            ("ParticipantLabel", "customer"),
        ]
        .map(|(name, value)| (name, value.to_owned()))
    );
    assert_eq!(callbacks_of(&actions)[0].method(), CallbackMethod::Post);
}

#[test]
fn only_the_events_that_the_first_party_asked_for_are_reported() {
    let mut bench = Bench::new();
    bench.join(JoinRequest { callbacks: Some(callbacks("start leave")), ..JoinRequest::new("CA1") });
    let two = bench.join(joining("CA2"));
    bench.leave(two, Departure::HungUp);
    assert_eq!(bench.reported(), ["1 conference-start -", "2 participant-leave CA2"]);
    let mut silent = Bench::new();
    silent.join(JoinRequest::new("CA1"));
    silent.join(joining("CA2"));
    assert_eq!(silent.reported(), [""; 0], "the first asked for none");
}

#[test]
fn beeps_are_played_as_each_party_wants_and_once_for_those_that_come_together() {
    for (beep, entering, leaving) in
        [(BeepPolicy::Both, 1, 1), (BeepPolicy::Never, 0, 0), (BeepPolicy::OnEnter, 1, 0), (BeepPolicy::OnExit, 0, 1)]
    {
        let mut bench = Bench::new();
        for sid in ["CA1", "CA2"] {
            bench.join(joining(sid));
        }
        bench.actions();
        let id = bench.join(JoinRequest { beep, ..joining("CA3") });
        assert_eq!(beeps(&bench.actions()), entering, "{beep:?}");
        bench.leave(id, Departure::HungUp);
        assert_eq!(beeps(&bench.actions()), leaving, "{beep:?}");
    }
    let mut bench = Bench::new();
    let now = bench.now;
    let ids: Vec<MemberId> = (0..40).map(|n| bench.room.join(now, joining(&format!("CA{n}"))).unwrap()).collect();
    assert_eq!(beeps(&bench.actions()), 1);
    let now = now + Duration::from_secs(9);
    ids.iter().for_each(|id| bench.room.leave(now, *id, Departure::HungUp));
    assert_eq!(beeps(&bench.actions()), 1);
}

#[test]
fn muting_holding_and_modifying_are_reported_once_and_change_what_is_heard() {
    let mut bench = Bench::new();
    let (one, two) = (bench.join(joining("CA1")), bench.join(joining("CA2")));
    bench.actions();
    let url = || WaitMusic::Url { url: "https://app.example.com/hold.mp3".to_owned(), method: CallbackMethod::Get };
    // Change, reported events, resulting audibility, and requested music.
    type Row = (MemberChange, &'static [&'static str], Option<MemberRole>, Option<Option<WaitMusic>>);
    let table: [Row; 12] = [
        (MemberChange::Muted(true), &["participant-mute"], Some(MemberRole::Listener), None),
        (MemberChange::Muted(true), &[], None, None),
        (MemberChange::Hold(Some(url())), &["participant-hold"], Some(MemberRole::Away), Some(Some(url()))),
        (MemberChange::Hold(Some(WaitMusic::BuiltIn)), &[], None, Some(Some(WaitMusic::BuiltIn))),
        (MemberChange::Muted(false), &["participant-unmute"], None, None),
        (MemberChange::Hold(None), &["participant-unhold"], Some(MemberRole::Speaker), Some(None)),
        (MemberChange::Hold(None), &[], None, None),
        (MemberChange::Coached(Some("CA1".to_owned())), &["participant-modify"], Some(MemberRole::Coach(one)), None),
        (MemberChange::Coached(None), &["participant-modify"], Some(MemberRole::Speaker), None),
        (MemberChange::BeepOnExit(false), &["participant-modify"], None, None),
        (MemberChange::Ends(true), &["participant-modify"], None, None),
        (MemberChange::Wait(WaitMusic::Silence), &["participant-modify"], None, None),
    ];
    for (change, reported, standing, plays) in table {
        bench.room.change(two, std::slice::from_ref(&change)).unwrap();
        let actions = bench.actions();
        let names: Vec<&str> =
            callbacks_of(&actions).iter().filter_map(|one| one.field("StatusCallbackEvent")).collect();
        assert_eq!(names, reported, "{change:?}");
        assert_eq!(
            stands(&actions),
            standing.map(|standing| (two, standing)).into_iter().collect::<Vec<_>>(),
            "{change:?}"
        );
        assert_eq!(music(&actions), plays.map(|music| (two, music)).into_iter().collect::<Vec<_>>(), "{change:?}");
    }
    // Several changes are one modification; an unknown call to coach changes nothing.
    bench
        .room
        .change(two, &[MemberChange::Ends(false), MemberChange::BeepOnExit(true), MemberChange::Muted(true)])
        .unwrap();
    assert_eq!(bench.reported().len(), 2);
    let lost = [MemberChange::Ends(true), MemberChange::Coached(Some("CA9".to_owned()))];
    assert_eq!(bench.room.change(two, &lost), Err(JoinRejection::NoneToCoach));
    assert!(bench.actions().is_empty() && !bench.room.member(two).unwrap().ends());
    let itself = [MemberChange::Coached(Some("CA2".to_owned()))];
    assert_eq!(bench.room.change(two, &itself), Err(JoinRejection::NoneToCoach));
}

#[test]
fn a_coach_is_heard_by_one_and_by_nobody_when_that_one_has_left() {
    let mut bench = Bench::new();
    let coach = |sid: &str, of: &str| JoinRequest { coached: Some(of.to_owned()), ..joining(sid) };
    let early = bench.room.join(bench.now, coach("CA9", "CA1"));
    assert_eq!(early.map_err(JoinRejection::code), Err(Some(13_240)), "not in progress");
    let agent = bench.join(joining("CA1"));
    bench.join(joining("CA2"));
    assert_eq!(bench.room.join(bench.now, coach("CA9", "CA7")), Err(JoinRejection::NoneToCoach));
    bench.actions();
    let id = bench.join(coach("CA9", "CA1"));
    let actions = bench.actions();
    assert_eq!(stands(&actions), [(id, MemberRole::Coach(agent))]);
    assert_eq!(callbacks_of(&actions)[0].field("Coaching"), Some("true"));
    bench.leave(agent, Departure::HungUp);
    assert_eq!(stands(&bench.actions()), [(id, MemberRole::Listener)]);
    let again = bench.join(joining("CA1"));
    assert_eq!(stands(&bench.actions()), [(id, MemberRole::Coach(again)), (again, MemberRole::Speaker)]);
}

#[test]
fn a_conference_ends_with_its_last_party() {
    for (departure, reason, why, status) in [
        (Departure::HungUp, "last-participant-left", "participant_hung_up", "completed"),
        (Departure::Redirected, "last-participant-left", "participant_updated_via_api", "in-progress"),
        (Departure::Removed, "last-participant-kicked", "participant_updated_via_api", "in-progress"),
    ] {
        let mut bench = Bench::new();
        let id = bench.join(JoinRequest { label: Some("first".to_owned()), ..joining("CA1") });
        bench.actions();
        bench.leave(id, departure);
        let actions = bench.actions();
        assert_eq!(releases(&actions).len(), usize::from(departure == Departure::Removed));
        let reported = callbacks_of(&actions);
        assert_eq!(reported[0].field("ReasonParticipantLeft"), Some(why));
        assert_eq!(reported[0].field("ParticipantCallStatus"), Some(status));
        assert_eq!(reported[1].field("ReasonConferenceEnded"), Some(reason));
        assert_eq!(reported[1].field("CallSidEndingConference"), Some("CA1"));
        assert_eq!(reported[1].field("ParticipantLabelEndingConference"), Some("first"));
    }
}

#[test]
fn a_conference_that_a_request_ends_names_no_call() {
    let mut bench = Bench::new();
    let ids = ["CA1", "CA2"].map(|sid| bench.join(joining(sid)));
    bench.actions();
    bench.room.end();
    let actions = bench.actions();
    assert_eq!(releases(&actions), ids.map(|id| (id, LeaveReason::ConferenceEndedViaApi)));
    let end = *callbacks_of(&actions).last().unwrap();
    assert_eq!(end.field("ReasonConferenceEnded"), Some("conference-ended-via-api"));
    assert_eq!(end.field("CallSidEndingConference"), None);
    bench.room.end();
    assert!(bench.actions().is_empty(), "only once");
}

#[test]
fn announcements_are_reported_with_the_party_that_is_still_there() {
    let mut bench = Bench::new();
    let (one, two) = (bench.join(joining("CA1")), bench.join(joining("CA2")));
    bench.actions();
    let url = "https://app.example.com/news.wav";
    let all = bench.room.announce(None, url).unwrap();
    let own = bench.room.announce(Some(two), url).unwrap();
    let lost = bench.room.announce(Some(two), url).unwrap();
    bench.room.announced(all, None);
    bench.room.announced(own, Some("404 Not Found"));
    bench.leave(two, Departure::HungUp);
    bench.room.announced(lost, None);
    bench.room.announced(all, None);
    let actions = bench.actions();
    let reported: Vec<_> =
        callbacks_of(&actions).into_iter().filter(|one| one.field("AnnounceUrl") == Some(url)).collect();
    let told: Vec<_> = (reported.iter())
        .map(|one| {
            (one.field("StatusCallbackEvent").unwrap(), one.field("CallSid"), one.field("ReasonAnnouncementFailed"))
        })
        .collect();
    assert_eq!(
        told,
        [
            ("announcement-end", None, None),
            ("announcement-fail", Some("CA2"), Some("404 Not Found")),
            ("announcement-end", None, None)
        ]
    );
    assert!(bench.room.announce(Some(two), url).is_none(), "it has left");
    let many = (0..PARTIES + 5).filter_map(|_| bench.room.announce(Some(one), url)).count();
    assert_eq!(many, PARTIES, "bounded");
}

#[test]
fn speech_is_reported_of_parties_that_are_there() {
    let mut bench = Bench::new();
    let (one, two) = (bench.join(joining("CA1")), bench.join(joining("CA2")));
    bench.actions();
    bench.room.note_speech(one, true);
    bench.room.note_speech(one, false);
    bench.leave(two, Departure::HungUp);
    bench.room.note_speech(two, true);
    let reported = bench.reported();
    assert_eq!(
        reported,
        ["4 participant-speech-start CA1", "5 participant-speech-stop CA1", "6 participant-leave CA2"]
    );
}

#[test]
fn a_call_that_never_came_is_reported_as_such() {
    let mut bench = Bench::new();
    bench.join(joining("CA1"));
    bench.actions();
    for (status, name) in [
        (CallStatus::Busy, "busy"),
        (CallStatus::NoAnswer, "no-answer"),
        (CallStatus::Failed, "failed"),
        (CallStatus::Canceled, "canceled"),
    ] {
        bench.room.add_failed("CA2", Some("guest"), status);
        let actions = bench.actions();
        let reported = callbacks_of(&actions)[0];
        assert_eq!(reported.field("ParticipantCallStatus"), Some(name));
        assert_eq!(reported.field("ReasonParticipantLeft"), Some("participant_add_failed"));
        assert_eq!((reported.field("CallSid"), reported.field("ParticipantLabel")), (Some("CA2"), Some("guest")));
    }
}

#[test]
fn the_star_key_and_the_time_limit_let_a_party_leave() {
    let mut bench = Bench::new();
    bench.join(joining("CA1"));
    let star = bench.join(JoinRequest { leaves_on_star: true, ..joining("CA2") });
    let brief = bench.join(JoinRequest { time_limit: Some(Duration::from_secs(30)), ..joining("CA3") });
    bench.actions();
    bench.room.key(bench.now, star, '#');
    bench.room.key(bench.now, brief, '*');
    assert!(bench.actions().is_empty());
    bench.room.key(bench.now, star, '*');
    assert_eq!(releases(&bench.actions()), [(star, LeaveReason::HungUp)]);
    let at = bench.room.poll_timeout().unwrap();
    assert_eq!(at, bench.now + Duration::from_secs(30));
    bench.room.handle_timeout(at - Duration::from_millis(1));
    assert!(bench.actions().is_empty());
    bench.room.handle_timeout(at);
    assert_eq!(releases(&bench.actions()), [(brief, LeaveReason::HungUp)]);
    assert_eq!(bench.room.poll_timeout(), None);
}

#[test]
fn lines_to_other_conferences_do_not_stay_alone_and_hear_no_music() {
    let mut bench = Bench::new();
    let line = |sid| JoinRequest { is_line: true, ..joining(sid) };
    let first = bench.join(line("CA1"));
    assert_eq!(music(&bench.actions()), [(first, Some(WaitMusic::Silence))]);
    let agent = bench.join(JoinRequest { is_agent: true, ..joining("CA2") });
    let [person, another] = ["CA3", "CA4"].map(|sid| bench.join(joining(sid)));
    bench.actions();
    bench.room.change(first, &[MemberChange::Hold(Some(WaitMusic::BuiltIn))]).unwrap();
    assert_eq!(music(&bench.actions()), [(first, Some(WaitMusic::Silence))], "on hold as well");
    let late = bench.join(line("CA5"));
    bench.room.leave(bench.now, late, Departure::HungUp);
    bench.room.leave(bench.now, person, Departure::HungUp);
    assert_eq!(releases(&bench.actions()), [], "a person is there");
    bench.room.leave(bench.now, another, Departure::HungUp);
    assert_eq!(releases(&bench.actions()), [first, agent].map(|id| (id, LeaveReason::ModeratorEnded)));
    assert_eq!(bench.room.status(), ConferenceStatus::Completed);
}

#[test]
fn agents_do_not_stay_behind_alone() {
    let mut bench = Bench::new();
    let agent = |sid| JoinRequest { is_agent: true, ..joining(sid) };
    let (first, other) = (bench.join(agent("CA1")), bench.join(agent("CA2")));
    bench.room.leave(bench.now, other, Departure::HungUp);
    assert_eq!(releases(&bench.actions()), [], "agents that came first wait");
    let [person, another] = ["CA3", "CA4"].map(|sid| bench.join(joining(sid)));
    bench.room.leave(bench.now, person, Departure::HungUp);
    assert_eq!(releases(&bench.actions()), []);
    bench.room.leave(bench.now, another, Departure::HungUp);
    assert_eq!(releases(&bench.actions()), [(first, LeaveReason::ModeratorEnded)]);
    assert_eq!(bench.room.status(), ConferenceStatus::Completed);
}

#[test]
fn a_recording_runs_from_the_start_to_the_end() {
    let mut bench = Bench::new();
    bench.join(JoinRequest { is_recorded: true, is_trimmed: false, ..joining("CA1") });
    let records = |actions: &[RoomAction]| {
        let of = |action: &&RoomAction| matches!(action, RoomAction::Record { .. } | RoomAction::StopRecording);
        actions.iter().filter(of).cloned().collect::<Vec<_>>()
    };
    assert_eq!(records(&bench.actions()), [], "hold music is not recorded");
    bench.join(joining("CA2"));
    assert_eq!(records(&bench.actions()), [RoomAction::Record { is_trimmed: false }]);
    bench.join(JoinRequest { is_recorded: true, ..joining("CA3") });
    assert_eq!(records(&bench.actions()), [], "one recording");
    bench.room.end();
    assert_eq!(records(&bench.actions()), [RoomAction::StopRecording]);
}

#[test]
fn who_may_not_join_is_refused() {
    let mut bench = Bench::new();
    let labelled = |sid: &str, label: &str| JoinRequest { label: Some(label.to_owned()), ..joining(sid) };
    bench.join(JoinRequest { max_participants: 3, ..labelled("CA1", "one") });
    let mut refused = |joining: JoinRequest| bench.room.join(bench.now, joining).unwrap_err();
    assert_eq!(refused(joining("CA1")), JoinRejection::AlreadyIn, "joins twice");
    assert_eq!(refused(labelled("CA2", "one")).code(), Some(16_025));
    assert_eq!(refused(labelled("CA2", "")), JoinRejection::BadLabel);
    assert_eq!(refused(labelled("CA2", &"x".repeat(129))), JoinRejection::BadLabel);
    bench.join(joining("CA2"));
    bench.join(joining("CA3"));
    assert_eq!(bench.room.join(bench.now, joining("CA4")), Err(JoinRejection::Full), "by the first party's number");
    let found = ["CA2", "one", "two"].map(|name| bench.room.find(name).map(|member| member.call_sid().to_owned()));
    assert_eq!(found, [Some("CA2".to_owned()), Some("CA1".to_owned()), None]);
    // A number above the limit is reduced to it.
    let mut large = Bench::new();
    let now = large.now;
    let many = |n: usize| JoinRequest { max_participants: 250, ..joining(&format!("CA{n}")) };
    let taken = (0..60).filter(|n| large.room.join(now, many(*n)).is_ok()).count();
    assert_eq!(taken, PARTIES);
    // All parties leave at once.
    let ids: Vec<MemberId> = large.room.members().iter().map(|member| member.id()).collect();
    large.actions();
    ids.iter().for_each(|id| large.room.leave(now, *id, Departure::HungUp));
    assert_eq!((named(&large.actions()).len(), large.room.status()), (PARTIES + 1, ConferenceStatus::Completed));
}

#[test]
fn conferences_of_an_edge_are_found_by_name_and_never_empty() {
    let now = Bench::new().now;
    let mut rooms = RoomRegistry::new();
    let sid = || "CF1".to_owned();
    let (id, one) = rooms.join(now, " weekly ", sid, joining("CA1")).unwrap();
    let (same, _) = rooms.join(now, "weekly", || unreachable!("no new one"), joining("CA2")).unwrap();
    assert_eq!((id, rooms.find("weekly"), rooms.find("Weekly")), (same, Some(id), None));
    assert_eq!(rooms.join(now, "other", sid, joining("CA1")).unwrap_err(), JoinRejection::AlreadyIn, "in another one");
    for name in ["", "  ", "a\nb", &"x".repeat(129)] {
        assert_eq!(rooms.join(now, name, sid, joining("CA3")).unwrap_err(), JoinRejection::BadName);
    }
    let coach = JoinRequest { coached: Some("CA1".to_owned()), ..joining("CA3") };
    assert!(rooms.join(now, "other", sid, coach).is_err());
    assert_eq!(rooms.len(), 1, "a refused party leaves no empty conference");
    rooms.act(id, |room| room.leave(now, one, Departure::HungUp));
    rooms.act(id, |room| room.end());
    assert!(rooms.is_empty() && rooms.get(id).is_none() && rooms.act(id, |_| ()).is_none());
    let actions: Vec<_> = std::iter::from_fn(|| rooms.poll_output()).collect();
    assert!(actions.iter().all(|(of, _)| *of == id));
    let [.., (_, RoomAction::Callback(end)), (_, RoomAction::Ended { .. })] = &actions[..] else {
        panic!("{actions:?}")
    };
    assert_eq!(end.field("StatusCallbackEvent"), Some("conference-end"));
    // A new conference with the same name is another one.
    assert_ne!(rooms.join(now, "weekly", sid, joining("CA1")).unwrap().0, id);
}

#[test]
fn a_thousand_conferences_are_bounded_and_leave_nothing() {
    let now = Bench::new().now;
    let mut rooms = RoomRegistry::new();
    let mut joined = Vec::new();
    for n in 0..1000 {
        match rooms.join(now, &format!("room {n}"), || format!("CF{n}"), joining(&format!("CA{n}"))) {
            Ok(ids) => joined.push(ids),
            Err(refusal) => assert_eq!(refusal, JoinRejection::EdgeFull),
        }
    }
    assert_eq!((joined.len(), rooms.len(), rooms.parties()), (EDGE_PARTIES, EDGE_PARTIES, EDGE_PARTIES));
    for (room, member) in joined {
        rooms.act(room, |room| room.leave(now, member, Departure::HungUp));
    }
    assert!(rooms.is_empty() && rooms.parties() == 0);
    // One after another, a thousand times.
    for n in 0..1000 {
        let (room, member) = rooms.join(now, "empty", || format!("CF{n}"), joining("CA1")).unwrap();
        rooms.act(room, |room| room.leave(now, member, Departure::HungUp));
    }
    assert!(rooms.is_empty());
}

/// Random events, with seeds: the invariants of every conference hold after each event.
#[test]
fn any_order_of_events_keeps_conferences_sound() {
    for seed in 0..200 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut below = |most: usize| random.next_u32() as usize % most;
        let (mut now, mut rooms, mut judge) = (Bench::new().now, RoomRegistry::new(), Judge::default());
        let mut ids: Vec<(RoomId, MemberId)> = Vec::new();
        for step in 0..150 {
            now += Duration::from_millis(below(3000) as u64);
            rooms.handle_timeout(now);
            let pick = ids.get(below(ids.len().max(1))).copied();
            match (below(10), pick) {
                (0..4, _) | (_, None) => {
                    let sid = format!("CA{}", below(30));
                    let coached = (below(5) == 0).then(|| format!("CA{}", below(30)));
                    let time_limit = (below(4) == 0).then(|| Duration::from_secs(below(20) as u64));
                    let joining = JoinRequest {
                        starts: below(3) > 0,
                        ends: below(6) == 0,
                        is_muted: below(4) == 0,
                        is_recorded: below(4) == 0,
                        max_participants: 2 + below(6),
                        coached,
                        time_limit,
                        ..joining(&sid)
                    };
                    let name = format!("room {}", below(3));
                    ids.extend(rooms.join(now, &name, || format!("CF{step}"), joining));
                }
                (4, Some((room, member))) => {
                    let how = [Departure::HungUp, Departure::Redirected, Departure::Removed][below(3)];
                    rooms.act(room, |room| room.leave(now, member, how));
                }
                (5, Some((room, _))) if below(4) == 0 => {
                    rooms.act(room, ConferenceRoom::end);
                }
                (6, Some((room, member))) => {
                    rooms.act(room, |room| room.note_speech(member, below(2) == 0));
                }
                (_, Some((room, member))) => {
                    let change = match below(5) {
                        0 => MemberChange::Muted(below(2) == 0),
                        1 => MemberChange::Hold((below(2) == 0).then(WaitMusic::default)),
                        2 => MemberChange::Coached((below(2) == 0).then(|| format!("CA{}", below(30)))),
                        3 => MemberChange::Ends(below(2) == 0),
                        _ => MemberChange::BeepOnExit(below(2) == 0),
                    };
                    rooms.act(room, |room| room.change(member, &[change]));
                }
            }
            while let Some((room, action)) = rooms.poll_output() {
                judge.take(room, action);
            }
            judge.compare(&rooms);
            if below(25) == 0 {
                rooms = continued(now, &rooms);
                judge.forget_ended(&rooms);
            }
        }
    }
}

/// Returns the conferences as another process continues them, with all calls back; the last beep may be repeated.
fn continued(now: Instant, rooms: &RoomRegistry) -> RoomRegistry {
    let text = serde_json::to_string(&rooms.snapshot(now)).unwrap();
    let snapshots: Vec<RoomSnapshot> = serde_json::from_str(&text).unwrap();
    assert_eq!(snapshots, rooms.snapshot(now));
    let mut next = RoomRegistry::new();
    for snapshot in snapshots {
        let (id, members): (_, Vec<MemberId>) = (snapshot.id(), snapshot.members().map(|(member, _)| member).collect());
        assert!(next.restore(now, snapshot.clone()) && !next.restore(now, snapshot), "once");
        assert_eq!(next.poll_output(), None, "nothing is requested for absent parties");
        for member in members.into_iter().rev() {
            next.act(id, |room| room.resume(member));
        }
        while next.poll_output().is_some() {}
    }
    let shown = |rooms: &RoomRegistry| rooms.iter().map(|(id, room)| (id, room.members().to_vec())).collect::<Vec<_>>();
    assert_eq!(shown(&next), shown(rooms));
    next
}

/// State of the conferences reconstructed from their actions.
#[derive(Default)]
struct Judge {
    standing: BTreeMap<(RoomId, MemberId), MemberRole>,
    music: BTreeMap<(RoomId, MemberId), WaitMusic>,
    /// For each conference: its last sequence number, the number of parties reported, and whether it has ended.
    reported: BTreeMap<RoomId, (u64, i64, bool)>,
    recording: BTreeMap<RoomId, bool>,
    ended: BTreeSet<RoomId>,
}

impl Judge {
    fn take(&mut self, room: RoomId, action: RoomAction) {
        let (number, there, is_over) = self.reported.entry(room).or_default();
        assert!(!self.ended.contains(&room), "nothing after the end");
        assert_eq!(*is_over, matches!(action, RoomAction::Ended { .. }), "the end is reported, and then it is over");
        match action {
            RoomAction::Stand { member, standing } => drop(self.standing.insert((room, member), standing)),
            RoomAction::Music { member, music: Some(music) } => drop(self.music.insert((room, member), music)),
            RoomAction::Music { member, music: None } => drop(self.music.remove(&(room, member))),
            RoomAction::Record { .. } => assert_eq!(self.recording.insert(room, true), None, "one recording"),
            RoomAction::StopRecording => assert_eq!(self.recording.insert(room, false), Some(true)),
            RoomAction::Callback(callback) => {
                *number += 1;
                assert_eq!(callback.field("SequenceNumber"), Some(number.to_string().as_str()), "no number is missing");
                let is = |occasion: CallbackEvent| callback.occasion == occasion;
                *there +=
                    i64::from(is(CallbackEvent::ParticipantJoin)) - i64::from(is(CallbackEvent::ParticipantLeave));
                *is_over = is(CallbackEvent::ConferenceEnd);
            }
            RoomAction::Ended { .. } => assert!(self.ended.insert(room)),
            RoomAction::Beep | RoomAction::Release { .. } => {}
        }
    }

    /// Forgets the conferences that have ended: another process may use their ids again.
    fn forget_ended(&mut self, rooms: &RoomRegistry) {
        let is_live = |id: &RoomId| rooms.get(*id).is_some();
        self.standing.retain(|(id, _), _| is_live(id));
        self.music.retain(|(id, _), _| is_live(id));
        self.reported.retain(|id, _| is_live(id));
        self.recording.retain(|id, _| is_live(id));
        self.ended.clear();
    }

    fn compare(&self, rooms: &RoomRegistry) {
        for (id, room) in rooms.iter() {
            assert!(!room.members().is_empty() && room.status() != ConferenceStatus::Completed, "no empty conference");
            let (_, there, is_over) = self.reported[&id];
            assert_eq!((there, is_over), (room.members().len() as i64, false));
            let is_started = room.status() == ConferenceStatus::InProgress;
            for member in room.members() {
                let standing = self.standing[&(id, member.id())];
                assert_eq!(standing == MemberRole::Away, !is_started || member.is_held());
                assert_eq!(
                    self.music.contains_key(&(id, member.id())),
                    standing == MemberRole::Away,
                    "music, or the others"
                );
                assert!(!member.is_muted() || !matches!(standing, MemberRole::Speaker | MemberRole::Coach(_)));
                if let MemberRole::Coach(coached) = standing {
                    assert_eq!(room.member(coached).map(Member::call_sid), member.coached());
                }
            }
            let has_two = room.members().len() > 1 && room.members().iter().any(Member::starts);
            assert!(is_started || !has_two, "two parties do not wait");
        }
        let over = self.reported.iter().filter(|(id, _)| rooms.get(**id).is_none());
        over.for_each(|(id, (_, there, is_over))| {
            assert_eq!((*there, *is_over, self.ended.contains(id)), (0, true, true), "{id:?}");
            assert_ne!(self.recording.get(id), Some(&true), "its recording has ended");
        });
    }
}

#[test]
fn time_limits_are_kept_in_all_conferences() {
    let now = Bench::new().now;
    let mut rooms = RoomRegistry::new();
    for n in 1..4 {
        let limit = Some(Duration::from_secs(n));
        let (name, call) = (format!("room {n}"), format!("CA{n}"));
        rooms.join(now, &name, || name.clone(), JoinRequest { time_limit: limit, ..joining(&call) }).unwrap();
    }
    assert_eq!(rooms.poll_timeout(), Some(now + Duration::from_secs(1)));
    rooms.handle_timeout(now + Duration::from_secs(2));
    assert_eq!((rooms.len(), rooms.poll_timeout()), (1, Some(now + Duration::from_secs(3))));
}

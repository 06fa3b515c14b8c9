//! Conference node: the conferences of an edge, with the ring buffers of their parties.

use trunkgate_conference::limits::{EDGE_PARTIES, EDGE_PARTIES_RESERVED, PARTIES};
use trunkgate_conference::{
    ClipId, ConferenceId, ConferenceNode, FrameReceiver, FrameSender, NodeCommand, NodeEvent, ParticipantId,
    ParticipantRole, RingFrame, SamplingRate, ring,
};
use trunkgate_terms::{Recorded, RecordedSamples, RecordingId, RecordingPause};

use crate::support::{level_db, tone, tone_db};

/// Session's sides of the ring buffers of one party.
struct Session {
    seat: ParticipantId,
    says: FrameSender,
    hears: FrameReceiver,
    tone: Option<f64>,
    heard: Vec<i16>,
}

fn sit(node: &mut ConferenceNode, conference: u64, seat: u64, rate: SamplingRate) -> Session {
    let ((says, from), (to, hears)) = (ring(rate), ring(rate));
    let seat = ParticipantId(seat);
    node.handle_input(NodeCommand::Seat { conference: ConferenceId(conference), seat, from, to });
    Session { seat, says, hears, tone: None, heard: Vec::new() }
}

fn speaks(node: &mut ConferenceNode, session: &Session) {
    node.handle_input(NodeCommand::Part { seat: session.seat, part: ParticipantRole::Speaker });
}

/// Runs `ticks` ticks; each session keeps the audio of the last ten.
fn run(node: &mut ConferenceNode, sessions: &mut [Session], ticks: u64) {
    for at in 0..ticks {
        for session in sessions.iter_mut() {
            let (rate, peak) = (session.says.rate(), if session.tone.is_some() { 3000.0 } else { 0.0 });
            session.says.push(Some(&tone(rate, session.tone.unwrap_or(440.0), peak, at)));
        }
        node.tick();
        for session in sessions.iter_mut() {
            let mut frame = vec![0; session.hears.rate().frame()];
            if at + 10 == ticks {
                session.heard.clear();
            }
            while session.hears.pop(&mut frame) == Some(RingFrame::Audio) {
                session.heard.extend(&frame);
            }
        }
    }
}

fn events(node: &mut ConferenceNode) -> Vec<NodeEvent> {
    std::iter::from_fn(|| node.poll_output()).collect()
}

#[test]
fn parties_hear_their_own_conference_alone() {
    let mut node = ConferenceNode::new();
    let mut sessions: Vec<Session> =
        [(1, SamplingRate::Narrow), (1, SamplingRate::Wide), (2, SamplingRate::Narrow), (2, SamplingRate::Narrow)]
            .into_iter()
            .zip(0..)
            .map(|((conference, rate), seat)| sit(&mut node, conference, seat, rate))
            .collect();
    assert_eq!((node.conferences(), node.parties()), (2, 4));
    (sessions[0].tone, sessions[2].tone) = (Some(500.0), Some(900.0));
    run(&mut node, &mut sessions, 20);
    assert!(sessions.iter().all(|session| session.heard.is_empty()), "no party hears audio before the start");
    sessions.iter().for_each(|session| speaks(&mut node, session));
    run(&mut node, &mut sessions, 40);
    let level = |at: usize, hz| tone_db(&sessions[at].heard, sessions[at].hears.rate(), hz);
    assert!(level(1, 500.0) > -22.0 && level(1, 900.0) < -75.0);
    assert!(level(3, 900.0) > -22.0 && level(3, 500.0) < -75.0);
    assert!(level_db(&sessions[0].heard) < -75.0 && sessions[0].heard.len() == 1600);
    let reported = events(&mut node);
    assert!(reported.contains(&NodeEvent::SpeechStarted(ParticipantId(0))), "{reported:?}");
    assert!(reported.contains(&NodeEvent::ActiveSpeaker(ConferenceId(2), Some(ParticipantId(2)))), "{reported:?}");
}

#[test]
fn coaches_are_heard_by_one_and_held_parties_hear_clips() {
    let mut node = ConferenceNode::new();
    let mut sessions: Vec<Session> = (0..3).map(|seat| sit(&mut node, 1, seat, SamplingRate::Narrow)).collect();
    sessions.iter().for_each(|session| speaks(&mut node, session));
    sessions[0].tone = Some(500.0);
    node.handle_input(NodeCommand::Part { seat: ParticipantId(0), part: ParticipantRole::Coach(ParticipantId(1)) });
    run(&mut node, &mut sessions, 40);
    let level = |sessions: &[Session], at: usize, hz| tone_db(&sessions[at].heard, SamplingRate::Narrow, hz);
    assert!(level(&sessions, 1, 500.0) > -22.0 && level(&sessions, 2, 500.0) < -75.0);
    // The coached party is unknown, so the coach is heard by no one.
    node.handle_input(NodeCommand::Part { seat: ParticipantId(0), part: ParticipantRole::Coach(ParticipantId(9)) });
    node.handle_input(NodeCommand::Part { seat: ParticipantId(2), part: ParticipantRole::Away });
    let samples: Vec<i16> = tone(SamplingRate::Full, 1300.0 * 6.0, 3000.0, 0)[..800].to_vec();
    let play = |clip, to, is_repeated| NodeCommand::Play {
        conference: ConferenceId(1),
        clip: ClipId(clip),
        to,
        samples: samples.clone().into(),
        is_repeated,
    };
    node.handle_input(play(1, Some(ParticipantId(2)), true));
    node.handle_input(play(2, Some(ParticipantId(7)), true));
    run(&mut node, &mut sessions, 40);
    assert!(level(&sessions, 1, 500.0) < -75.0);
    assert!(level_db(&sessions[2].heard) > -30.0 && level_db(&sessions[1].heard) < -75.0);
    node.handle_input(NodeCommand::Stop { clip: ClipId(1) });
    run(&mut node, &mut sessions, 10);
    let ended: Vec<NodeEvent> =
        events(&mut node).into_iter().filter(|event| matches!(event, NodeEvent::ClipEnded(_))).collect();
    assert_eq!(ended, [NodeEvent::ClipEnded(ClipId(2)), NodeEvent::ClipEnded(ClipId(1))]);
}

#[test]
fn a_session_that_is_gone_leaves_and_an_empty_conference_is_none() {
    let mut node = ConferenceNode::new();
    let mut sessions: Vec<Session> = (0..3).map(|seat| sit(&mut node, 1, seat, SamplingRate::Narrow)).collect();
    let samples = vec![1000; 8000].into();
    let (conference, clip) = (ConferenceId(1), ClipId(5));
    node.handle_input(NodeCommand::Play { conference, clip, to: None, samples, is_repeated: true });
    sessions.pop();
    node.tick();
    assert_eq!(events(&mut node), [NodeEvent::Gone(ParticipantId(2))]);
    node.handle_input(NodeCommand::Leave { seat: ParticipantId(0) });
    assert!(sessions[0].hears.is_closed());
    drop(sessions);
    node.tick();
    assert_eq!((node.conferences(), node.parties()), (0, 0));
    assert_eq!(events(&mut node), [NodeEvent::ClipEnded(clip), NodeEvent::Gone(ParticipantId(1))]);
}

#[test]
fn parties_are_bounded_in_a_conference_and_in_the_edge() {
    let mut node = ConferenceNode::new();
    let sessions: Vec<Session> = (0..700).map(|seat| sit(&mut node, seat / 55, seat, SamplingRate::Narrow)).collect();
    let refused = events(&mut node).len();
    let most = EDGE_PARTIES + EDGE_PARTIES_RESERVED;
    assert_eq!((node.parties(), refused), (most, 700 - most));
    assert!(node.conferences() >= EDGE_PARTIES / PARTIES);
    assert_eq!(sessions.iter().filter(|session| session.says.is_closed()).count(), refused);
    // An id in use, and rings of two rates.
    let again = sit(&mut node, 900, 0, SamplingRate::Narrow);
    assert!(again.says.is_closed());
    let ((_says, from), (to, _hears)) = (ring(SamplingRate::Narrow), ring(SamplingRate::Wide));
    node.handle_input(NodeCommand::Leave { seat: ParticipantId(1) });
    node.handle_input(NodeCommand::Seat { conference: ConferenceId(1), seat: ParticipantId(999), from, to });
    assert_eq!(events(&mut node), [NodeEvent::Refused(ParticipantId(0)), NodeEvent::Refused(ParticipantId(999))]);
}

/// Collects recordings: the samples of the conference, and the number of frames of each ended recording.
fn recorded(node: &mut ConferenceNode) -> (Vec<i16>, Vec<(u64, u64)>) {
    let (mut samples, mut ended) = (Vec::new(), Vec::new());
    node.drain_recordings(|id, piece| match piece {
        Recorded::Audio { samples: RecordedSamples::Linear(block), .. } => samples.extend(block.iter().step_by(2)),
        Recorded::Audio { samples: codes, .. } => panic!("{codes:?}"),
        Recorded::End { frames, .. } => ended.push((id.0, frames)),
    });
    (samples, ended)
}

#[test]
fn what_all_hear_is_recorded_at_8_khz_until_the_conference_is_empty() {
    let mut node = ConferenceNode::new();
    let mut sessions: Vec<Session> = (0..2).map(|seat| sit(&mut node, 1, seat, SamplingRate::Wide)).collect();
    (sessions[0].tone, sessions[1].tone) = (Some(600.0), Some(1500.0));
    sessions.iter().for_each(|session| speaks(&mut node, session));
    let conference = ConferenceId(1);
    for recording in [RecordingId(1), RecordingId(2)] {
        node.handle_input(NodeCommand::Record { conference, recording, is_crossing: false });
    }
    node.handle_input(NodeCommand::StopRecording { recording: RecordingId(2) });
    assert_eq!(recorded(&mut node), (vec![], vec![(2, 0)]));
    let mut all = Vec::new();
    for _ in 0..10 {
        run(&mut node, &mut sessions, 10);
        all.extend(recorded(&mut node).0);
    }
    assert_eq!(all.len(), 100 * 160);
    let last = &all[80 * 160..];
    for hz in [600.0, 1500.0] {
        let level = tone_db(last, SamplingRate::Narrow, hz);
        assert!(level > -30.0, "{hz} Hz: {level} dB");
    }
    // Skipped ticks and a pause are both silent.
    node.skip(5);
    node.handle_input(NodeCommand::PauseRecording { recording: RecordingId(1), pause: Some(RecordingPause::Silence) });
    run(&mut node, &mut sessions, 5);
    assert_eq!(recorded(&mut node).0, [0; 10 * 160]);
    drop(sessions);
    node.tick();
    let ended = recorded(&mut node).1;
    assert_eq!(ended, [(1, 111)]);
    // A recording of an unknown conference ends at once.
    node.handle_input(NodeCommand::Record { conference, recording: RecordingId(3), is_crossing: false });
    assert_eq!(recorded(&mut node).1, [(3, 0)]);
}

/// Another process continues the file: no frame is missing and none is repeated, however late the file arrives.
#[test]
fn a_recording_goes_on_in_another_process() {
    let conference = ConferenceId(1);
    let record = |is_crossing| NodeCommand::Record { conference, recording: RecordingId(1), is_crossing };
    let begun = |record| {
        let mut node = ConferenceNode::new();
        let mut sessions: Vec<Session> = (0..2).map(|seat| sit(&mut node, 1, seat, SamplingRate::Narrow)).collect();
        sessions[0].tone = Some(600.0);
        sessions.iter().for_each(|session| speaks(&mut node, session));
        node.handle_input(record);
        (node, sessions)
    };
    let (mut old, mut before) = begun(record(false));
    old.hand_over();
    run(&mut old, &mut before, 53);
    let (mut new, mut after) = begun(record(true));
    // Both mix until the last party has crossed.
    run(&mut new, &mut after, 7);
    run(&mut old, &mut before, 7);
    assert_eq!(old.suspend_recordings(false, |_, _| ()), [], "its parties are still there");
    drop(before);
    let mut passed = 0;
    let [(0, crossing)] = &old.suspend_recordings(false, |_, piece| match piece {
        Recorded::Audio { samples, .. } => passed += samples.len() / 320,
        Recorded::End { .. } => panic!("it goes on"),
    })[..] else {
        panic!()
    };
    assert_eq!(passed, 60, "all blocks");
    assert_eq!(recorded(&mut old), (vec![], vec![]));
    run(&mut new, &mut after, 20);
    assert_eq!(recorded(&mut new), (vec![], vec![]), "the file has not arrived");
    // 23 ticks have passed since the last frame of the process before: three of them without this one's conference.
    new.resume_recording(crossing, 30);
    let mut firsts = Vec::new();
    let mut samples: Vec<i16> = Vec::new();
    let mut take = |id: RecordingId, piece: Recorded<'_>| match piece {
        Recorded::Audio { first, samples: RecordedSamples::Linear(block) } => {
            firsts.push((id.0, first, block.len() as u64 / 320));
            samples.extend(block.iter().step_by(2));
        }
        Recorded::Audio { .. } => panic!("codes"),
        Recorded::End { frames, .. } => firsts.push((id.0, frames, 0)),
    };
    new.drain_recordings(&mut take);
    drop(after);
    new.tick();
    new.drain_recordings(&mut take);
    assert_eq!(firsts, [(1, 60, 30), (1, 90, 1), (1, 91, 0)]);
    assert_eq!(samples[..3 * 160], [0; 3 * 160]);
    assert!(level_db(&samples[20 * 160..30 * 160]) > -30.0, "the tone");
}

#[test]
fn a_recording_that_ends_before_its_file_arrives_waits_for_it() {
    let (conference, recording) = (ConferenceId(1), RecordingId(1));
    let crossing = |node: &mut ConferenceNode| {
        let mut sessions = vec![sit(node, 1, 0, SamplingRate::Narrow)];
        node.handle_input(NodeCommand::Record { conference, recording, is_crossing: true });
        run(node, &mut sessions, 5);
        drop(sessions);
        node.tick();
        assert_eq!(recorded(node), (vec![], vec![]));
        node.tick();
    };
    let mut old = ConferenceNode::new();
    let mut sessions = vec![sit(&mut old, 1, 0, SamplingRate::Narrow)];
    old.handle_input(NodeCommand::Record { conference, recording, is_crossing: false });
    run(&mut old, &mut sessions, 10);
    let [(0, snapshot)] = &old.suspend_recordings(true, |_, _| ())[..] else { panic!() };
    let mut node = ConferenceNode::new();
    crossing(&mut node);
    // The tick that found the closed ring was recorded, the one after it was not.
    node.resume_recording(snapshot, 4);
    assert_eq!(recorded(&mut node), (vec![0; 3 * 160], vec![(1, 13)]));
    // Without a file it ends, too.
    let mut node = ConferenceNode::new();
    crossing(&mut node);
    node.resume_no_more();
    assert_eq!(recorded(&mut node).1, [(1, 0)]);
    node.resume_recording(snapshot, 4);
    assert_eq!(recorded(&mut node), (vec![], vec![]));
}

//! Two sides with different DTMF methods: telephone-events are negotiated with each side separately.

#![allow(clippy::unwrap_used)]

use trunkgate_sdp::{
    CodecPolicy, DtmfMethod, EventPayloads, LocalOrigin, NegotiatedAnswer, OwnEvents, SessionDescription, accept,
    answer_offer, offer_own, relay_offer,
};

fn policy(codecs: &str, dtmf: DtmfMethod) -> CodecPolicy {
    CodecPolicy { codecs: codecs.split(' ').map(str::to_owned).collect(), ptime_ms: 20, dtmf, ..CodecPolicy::default() }
}

fn identity() -> LocalOrigin {
    LocalOrigin { session_id: 7, version: 1, ip: [192, 0, 2, 9].into() }
}

fn said(formats: &str, lines: &str) -> SessionDescription {
    let text = format!(
        "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP {formats}\r\n{lines}"
    );
    SessionDescription::parse(text.as_bytes()).unwrap()
}

fn events(number: u8, clock: u32) -> String {
    format!("a=rtpmap:{number} telephone-event/{clock}\r\na=fmtp:{number} 0-15\r\n")
}

/// Runs a negotiation with two policies, an offer, and a function that answers the edge's offer. Returns the edge's
/// offer and the result.
fn agreed(
    (offerer, answerer): (&CodecPolicy, &CodecPolicy),
    offer: &SessionDescription,
    answer: impl FnOnce(&SessionDescription) -> SessionDescription,
) -> (SessionDescription, NegotiatedAnswer) {
    let sent = relay_offer(offer, &answerer.clone().policy_towards(offerer.clone()), &[5000], &identity()).unwrap();
    let answer = answer(&sent);
    let policy = offerer.clone().policy_towards(answerer.clone());
    let agreed = accept(offer, &sent, &answer, &policy, &[6000], &identity()).unwrap();
    (sent, agreed)
}

#[test]
fn a_side_with_events_has_them_and_the_other_side_hears_nothing_of_it() {
    let (pcmu, info) = (policy("PCMU", DtmfMethod::Events), policy("PCMU", DtmfMethod::Info));
    let own = |takes: u8, sends: &[u8]| Some(EventPayloads { takes, sends: sends.to_vec(), clock: 8000 });
    // Only the offerer uses events.
    let offer = said("0 96", &events(96, 8000));
    let (sent, met) = agreed((&pcmu, &info), &offer, |_| said("0", ""));
    assert_eq!(sent.media[0].formats, ["0"]);
    assert_eq!(met.answer.media[0].formats, ["0", "96"]);
    let stream = &met.streams[0];
    assert_eq!(stream.payloads, [(0, 0)]);
    let met = stream.own_events.as_deref().unwrap();
    assert_eq!((&met.offerer, &met.answerer), (&own(96, &[96]), &None));
    let audio: Vec<_> = met.audio.iter().map(|(ours, theirs)| (ours.number, theirs.number, &*ours.codec)).collect();
    assert_eq!(audio, [(0, 0, "PCMU")]);
    // Only the answerer uses events, with its own payload type; the offerer's events are not accepted.
    let (sent, met) = agreed((&info, &pcmu), &offer, |_| said("0 100", &events(100, 8000)));
    assert_eq!(sent.media[0].formats, ["0", "101"]);
    assert!(sent.to_string().contains("a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n"), "{sent}");
    assert_eq!(met.answer.media[0].formats, ["0"]);
    let stream = &met.streams[0];
    let met = stream.own_events.as_deref().unwrap();
    assert_eq!((&met.offerer, &met.answerer), (&None, &own(100, &[100, 101])));
    // The answerer rejects events, and the result shows it.
    let (_, met) = agreed((&info, &pcmu), &offer, |_| said("0", ""));
    let met = met.streams[0].own_events.as_deref().unwrap();
    assert_eq!((&met.offerer, &met.answerer), (&None, &None));
    // Neither side uses events.
    let tones = policy("PCMU", DtmfMethod::Tones);
    let (sent, met) = agreed((&info, &tones), &offer, |_| said("0", ""));
    assert_eq!((sent.media[0].formats.len(), met.answer.media[0].formats.len()), (1, 1));
}

#[test]
fn sides_that_press_alike_are_left_alone() {
    for dtmf in [DtmfMethod::Events, DtmfMethod::Info, DtmfMethod::Tones] {
        let policy = policy("PCMU", dtmf);
        let (sent, met) =
            agreed((&policy, &policy), &said("0 96", &events(96, 8000)), |_| said("0 96", &events(96, 8000)));
        assert_eq!(sent.media[0].formats, ["0", "96"]);
        assert_eq!(met.answer.media[0].formats, ["0", "96"]);
        assert_eq!((met.streams[0].payloads.as_slice(), &met.streams[0].own_events), (&[(0, 0), (96, 96)][..], &None));
    }
}

#[test]
fn events_have_the_clock_of_the_audio_also_where_that_is_converted() {
    let (opus, pcmu) = (policy("opus", DtmfMethod::Events), policy("PCMU", DtmfMethod::Info));
    let lines = format!("a=rtpmap:96 opus/48000/2\r\n{}{}", events(97, 8000), events(98, 48_000));
    let (sent, met) = agreed((&opus, &pcmu), &said("96 97 98", &lines), |_| said("0", ""));
    assert_eq!(sent.media[0].formats, ["0", "96"]);
    assert_eq!(met.answer.media[0].formats, ["96", "98"]);
    let stream = &met.streams[0];
    assert!(stream.converted.is_some() && stream.payloads.is_empty(), "{stream:?}");
    let own = EventPayloads { takes: 98, sends: vec![98], clock: 48_000 };
    let none = OwnEvents { offerer: Some(own), ..OwnEvents::default() };
    assert_eq!(stream.own_events.as_deref(), Some(&none));
    // Our offer of both codecs has events at both clock rates.
    let both = policy("PCMU opus", DtmfMethod::Events);
    let offer = said("0 96", "a=rtpmap:96 opus/48000/2\r\n");
    let info = policy("PCMU opus", DtmfMethod::Info);
    let answers = |sent: &SessionDescription| {
        assert_eq!(sent.media[0].formats, ["0", "96", "101", "97"]);
        assert!(sent.to_string().contains("a=rtpmap:97 telephone-event/48000\r\n"), "{sent}");
        said("96 97", &format!("a=rtpmap:96 opus/48000/2\r\n{}", events(97, 48_000)))
    };
    let (_, met) = agreed((&info, &both), &offer, answers);
    let own = met.streams[0].own_events.as_ref().unwrap().answerer.as_ref().unwrap();
    assert_eq!((own.takes, own.clock), (97, 48_000));
}

#[test]
fn what_the_edge_says_by_itself_has_events_only_for_a_side_with_events() {
    for (dtmf, has) in [(DtmfMethod::Events, true), (DtmfMethod::Info, false), (DtmfMethod::Tones, false)] {
        let policy = policy("PCMU", dtmf);
        let direction = trunkgate_sdp::MediaDirection::SendRecv;
        let offer = offer_own(&policy, 4000, &identity(), direction);
        assert_eq!(offer.media[0].formats.len(), 1 + usize::from(has));
        let offered = said("0 101", &events(101, 8000));
        let (answer, ..) = answer_offer(&offered, &policy, 4000, &identity(), direction).unwrap();
        assert_eq!(answer.media[0].formats.len(), 1 + usize::from(has));
    }
}

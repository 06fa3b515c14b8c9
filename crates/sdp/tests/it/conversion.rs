//! Offers and answers between two sides without a common codec, and the resulting transcoding.

#![allow(clippy::unwrap_used)]

use trunkgate_sdp::{
    AgreedStream, CodecPolicy, LocalOrigin, NegotiatedAnswer, SdpRejection, SessionDescription, accept, relay_offer,
};

fn policy(codecs: &str) -> CodecPolicy {
    CodecPolicy {
        codecs: codecs.split_whitespace().map(str::to_owned).collect(),
        ptime_ms: 20,
        ..CodecPolicy::default()
    }
}

fn identity() -> LocalOrigin {
    LocalOrigin { session_id: 11, version: 3, ip: [192, 0, 2, 1].into() }
}

/// Creates a description with the encodings of all payload types used in the tests.
fn description(formats: &str, more: &str) -> SessionDescription {
    let maps = [
        (96, "opus/48000/2"),
        (97, "telephone-event/48000"),
        (98, "opus/48000/2"),
        (101, "telephone-event/8000"),
        (107, "opus/48000/2"),
    ];
    let known = maps.iter().filter(|(number, _)| formats.split(' ').any(|format| format == number.to_string()));
    let maps: String = known.map(|(number, map)| format!("a=rtpmap:{number} {map}\r\n")).collect();
    let text = format!(
        "v=0\r\no=- 1 1 IN IP4 10.1.1.1\r\ns=-\r\nc=IN IP4 10.1.1.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP {formats}\r\n{maps}{more}"
    );
    SessionDescription::parse(text.as_bytes()).unwrap()
}

fn offered(formats: &str, from: &str, to: &str) -> Result<SessionDescription, SdpRejection> {
    relay_offer(&description(formats, ""), &policy(to).policy_towards(policy(from)), &[4000], &identity())
}

fn agreed(
    offer: &SessionDescription,
    answer: &SessionDescription,
    from: &str,
    to: &str,
) -> Result<NegotiatedAnswer, SdpRejection> {
    let sent = relay_offer(offer, &policy(to).policy_towards(policy(from)), &[4000], &identity()).unwrap();
    accept(offer, &sent, answer, &policy(from), &[5000], &identity())
}

fn stream(agreed: &NegotiatedAnswer) -> &AgreedStream {
    &agreed.streams[0]
}

fn lines(description: &SessionDescription, name: &str) -> Vec<String> {
    let attributes = description.media[0].attributes.iter().filter(|attribute| attribute.is(name));
    attributes.filter_map(|attribute| attribute.value.clone()).collect()
}

#[test]
fn rfc3264_5_what_both_may_use_comes_first_then_what_is_converted_then_the_rest() {
    for (formats, from, to, passed) in [
        ("0 8 101", "PCMU PCMA", "PCMU PCMA", Some("0 8 101")),
        ("0 101", "PCMU PCMA", "PCMA PCMU", Some("0 8 101")),
        ("0 8 101", "PCMU PCMA opus", "PCMU PCMA opus", Some("0 8 107 101")),
        ("107 101", "PCMU PCMA opus", "PCMU PCMA opus", Some("107 0 8 101")),
        ("96 97", "opus", "PCMU opus", Some("96 0 97 101")),
        ("0 101", "PCMU", "PCMA", Some("8 101")),
        ("0 18 101", "PCMU", "G722 opus PCMA", Some("9 107 8 18 101")),
        ("0 101", "PCMU", "opus PCMU", Some("0 107 101")),
        // Both sides may use Opus.
        ("0 107 101", "PCMU opus", "opus", Some("107 101")),
        // No codec that the offerer may not use.
        ("0 8 101", "PCMA", "PCMU opus", Some("0 107 101")),
        // The telephone-event of Opus has a clock rate that G.711 does not use.
        ("96 97", "opus", "PCMU", Some("0 96 97 101")),
        // A codec that the offerer may not use is not transcoded either.
        ("0", "PCMA", "PCMA", None),
        ("18", "PCMU", "PCMU", Some("18")),
        // G.722 and Opus pass like other codecs if no policy names them.
        ("0 9 96", "PCMU", "PCMU", Some("0 9 96")),
    ] {
        let ours = offered(formats, from, to);
        assert_eq!(ours.ok().map(|o| o.media[0].formats.join(" ")).as_deref(), passed, "{formats}: {from} to {to}");
    }
}

#[test]
fn opus_of_ours_says_what_the_other_side_has() {
    let narrow = offered("0", "PCMU", "opus").unwrap();
    assert_eq!(lines(&narrow, "fmtp"), ["107 maxplaybackrate=8000;sprop-maxcapturerate=8000;useinbandfec=1"]);
    assert_eq!(lines(&narrow, "ptime"), ["20"]);
    let wide = offered("9", "G722", "opus").unwrap();
    assert_eq!(lines(&wide, "fmtp"), ["107 maxplaybackrate=16000;sprop-maxcapturerate=16000;useinbandfec=1"]);
}

#[test]
fn a_codec_that_both_share_comes_before_the_first_choice_of_either() {
    // G.722 passes unnamed; Opus is transcoded from PCMU.
    let agreed = agreed(&description("0 9 101", ""), &description("107 9 101", ""), "PCMU", "opus").unwrap();
    assert_eq!(agreed.answer.media[0].formats, ["9", "101"]);
    let stream = stream(&agreed);
    assert_eq!((stream.codec.as_str(), stream.codec_of_answerer()), ("G722", "G722"));
    assert_eq!(stream.to_answerer(), [(9, 9), (101, 101)]);
    // The answerer may send Opus, which is then transcoded.
    let converted = stream.converted.as_ref().unwrap();
    assert!(converted.to_answerer.is_none());
    let back = converted.to_offerer.as_ref().unwrap();
    assert_eq!((back.from.len(), back.from[0].number, back.to.number), (1, 107, 9));
}

#[test]
fn without_one_each_side_gets_its_first_choice() {
    let offer = description("8 0 101", "a=ptime:30\r\na=maxptime:20\r\n");
    let answer = description("107 101", "a=fmtp:107 useinbandfec=1;usedtx=1;maxplaybackrate=16000\r\na=ptime:40\r\n");
    let agreed = agreed(&offer, &answer, "PCMU PCMA", "opus").unwrap();
    assert_eq!(agreed.answer.media[0].formats, ["0", "101"], "the first of its trunk");
    assert_eq!(lines(&agreed.answer, "ptime"), ["20"]);
    let stream = stream(&agreed);
    assert_eq!((stream.codec.as_str(), stream.codec_of_answerer()), ("PCMU", "opus"));
    assert!(stream.payloads.is_empty(), "nothing passes as it is");
    let converted = stream.converted.as_ref().unwrap();
    let (there, back) = (converted.to_answerer.as_ref().unwrap(), converted.to_offerer.as_ref().unwrap());
    let numbers: Vec<(u8, &str)> = there.from.iter().map(|audio| (audio.number, audio.codec.as_str())).collect();
    assert_eq!(numbers, [(8, "PCMA"), (0, "PCMU")], "it may send all that it offered");
    assert_eq!((there.to.number, there.to.codec.as_str(), there.ptime_ms), (107, "opus", Some(40)));
    let wanted = there.to.opus;
    assert_eq!((wanted.max_playback_rate, wanted.use_in_band_fec, wanted.use_dtx), (16_000, true, true));
    assert_eq!((back.from[0].number, back.to.number, back.ptime_ms), (107, 0, Some(20)));
    assert_eq!(there.events, [((101, 8000), (101, 8000))]);
    assert_eq!(there.noise, Some((13, None)));
    assert_eq!(back.noise, None);
}

#[test]
fn keys_go_between_the_clocks_of_the_two_sides() {
    let agreed = agreed(&description("96 97", ""), &description("0 101", ""), "opus", "PCMU").unwrap();
    assert_eq!(agreed.answer.media[0].formats, ["96", "97"]);
    assert_eq!(lines(&agreed.answer, "fmtp")[0], "96 maxplaybackrate=8000;sprop-maxcapturerate=8000;useinbandfec=1");
    let converted = stream(&agreed).converted.as_ref().unwrap();
    assert_eq!(converted.to_answerer.as_ref().unwrap().events, [((97, 48_000), (101, 8000))]);
    assert_eq!(converted.to_offerer.as_ref().unwrap().events, [((101, 8000), (97, 48_000))]);
}

#[test]
fn comfort_noise_passes_between_the_laws() {
    let agreed = agreed(&description("0 13", ""), &description("8 13", ""), "PCMU", "PCMA").unwrap();
    assert_eq!(agreed.answer.media[0].formats, ["0", "13"]);
    let converted = stream(&agreed).converted.as_ref().unwrap();
    assert_eq!(converted.to_answerer.as_ref().unwrap().noise, Some((13, Some(13))));
    assert_eq!(converted.to_offerer.as_ref().unwrap().noise, Some((13, Some(13))));
}

#[test]
fn where_nothing_fits_both_lists_are_named() {
    let refusal = offered("8 101", "PCMU", "PCMA").unwrap_err();
    assert_eq!((refusal.warn_code, refusal.text.as_str()), (305, "offered PCMA, telephone-event; allowed PCMU"));
    let offer = description("0", "");
    let refusal = agreed(&offer, &description("18", ""), "PCMU", "PCMA opus").unwrap_err();
    assert_eq!((refusal.warn_code, refusal.text.as_str()), (305, "offered PCMA, opus; answered G729"));
}

//! RTP and RTCP on one port (RFC 5761 §5.1), negotiated with each side separately.

#![allow(clippy::unwrap_used)]

use trunkgate_sdp::{
    CodecPolicy, LocalOrigin, MediaDirection, NegotiatedAnswer, SessionDescription, accept, answer_offer, relay_offer,
};

fn policy() -> CodecPolicy {
    CodecPolicy { codecs: vec!["PCMU".to_owned()], ..CodecPolicy::default() }
}

fn identity() -> LocalOrigin {
    LocalOrigin { session_id: 11, version: 3, ip: [192, 0, 2, 1].into() }
}

fn from(host: &str, lines: &str) -> SessionDescription {
    let text = format!("v=0\r\no=- 1 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\nm=audio 4000 {lines}");
    SessionDescription::parse(text.as_bytes()).unwrap()
}

fn agreed(offered: &str, answered: &str) -> (SessionDescription, NegotiatedAnswer) {
    let (offer, answer) = (from("10.1.1.1", offered), from("10.2.2.2", answered));
    let sent = relay_offer(&offer, &policy(), &[20_000], &identity()).unwrap();
    let agreed = accept(&offer, &sent, &answer, &CodecPolicy::default(), &[30_000], &identity()).unwrap();
    (sent, agreed)
}

#[test]
fn rfc5761_5_1_1_each_side_on_its_own() {
    const PLAIN: &str = "RTP/AVP 0\r\n";
    const MUX: &str = "RTP/AVP 0\r\na=rtcp-mux\r\n";
    for (offered, answered, offerer_muxes, answerer_muxes) in
        [(PLAIN, PLAIN, false, false), (MUX, PLAIN, true, false), (PLAIN, MUX, false, false), (MUX, MUX, true, true)]
    {
        let (sent, agreed) = agreed(offered, answered);
        let offers = offered == MUX;
        assert_eq!((sent.media[0].rtcp_mux(), agreed.answer.media[0].rtcp_mux()), (offers, offers));
        let stream = &agreed.streams[0];
        assert_eq!((stream.offerer.rtcp_mux, stream.answerer.rtcp_mux), (offerer_muxes, answerer_muxes));
        let rtcp = |muxes: bool, host: &str| format!("{host}:{}", if muxes { 4000 } else { 4001 }).parse().ok();
        assert_eq!(stream.offerer.rtcp, rtcp(offerer_muxes, "10.1.1.1"));
        assert_eq!(stream.answerer.rtcp, rtcp(answerer_muxes, "10.2.2.2"));
    }
}

#[test]
fn rfc5761_4_not_with_payload_numbers_that_look_like_rtcp() {
    for number in [64, 72, 95] {
        let lines = format!("RTP/AVP 0 {number}\r\na=rtpmap:{number} AMR/8000\r\na=rtcp-mux\r\n");
        let (sent, agreed) = agreed(&lines, "RTP/AVP 0\r\na=rtcp-mux\r\n");
        assert!(!sent.media[0].rtcp_mux() && !agreed.answer.media[0].rtcp_mux(), "{number}");
        assert!(!agreed.streams[0].offerer.rtcp_mux && !agreed.streams[0].answerer.rtcp_mux, "{number}");
    }
    for number in [63, 96] {
        let lines = format!("RTP/AVP 0 {number}\r\na=rtpmap:{number} AMR/8000\r\na=rtcp-mux\r\n");
        assert!(agreed(&lines, "RTP/AVP 0\r\n").0.media[0].rtcp_mux(), "{number}");
    }
}

#[test]
fn rfc5761_5_1_1_an_end_of_our_own_takes_it_where_it_is_offered() {
    for (lines, muxes) in [("RTP/AVP 0\r\n", false), ("RTP/AVP 0\r\na=rtcp-mux\r\n", true)] {
        let offer = from("10.1.1.1", lines);
        let (answer, far, _) = answer_offer(&offer, &policy(), 30_000, &identity(), MediaDirection::SendRecv).unwrap();
        assert_eq!((answer.media[0].rtcp_mux(), far.rtcp_mux), (muxes, muxes));
    }
}

//! Session descriptions of a recording session: two streams sent by the edge, each with a label (RFC 7866 §7.1.1).
//! Pure.

use trunkgate_media::PayloadCodec;
use trunkgate_sdp::{
    Attribute, AudioPayload, CodecPolicy, LocalOrigin, MediaDescription, MediaDirection, MediaEndpoint, SdpRejection,
    SessionDescription, answer_offer, offer_own, remote_endpoint,
};

use super::metadata::{CALLEE_LABEL, CALLER_LABEL};
use crate::call::legs::codecs::coding;

/// Number of streams in a session: one from the caller, and one to it.
pub(crate) const STREAMS: usize = 2;

/// A stream that a server accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RecordedStream {
    /// Remote media description of the stream.
    pub(crate) far: MediaEndpoint,
    /// RTP payload type.
    pub(crate) payload: u8,
    /// Codec of the payload type.
    pub(crate) coding: PayloadCodec,
}

/// Returns our offer: both streams, sent or paused.
pub(crate) fn offer(
    codecs: &[String],
    ports: [u16; STREAMS],
    identity: &LocalOrigin,
    is_paused: bool,
) -> SessionDescription {
    let policy =
        CodecPolicy { codecs: codecs.to_vec(), dtmf: trunkgate_sdp::DtmfMethod::Info, ..CodecPolicy::default() };
    let [one, other] = ports.map(|port| offer_own(&policy, port, identity, wanted(is_paused)));
    let mut offer = one;
    offer.media.extend(other.media);
    labelled(&mut offer);
    offer
}

/// Reads the answer to our offer.
///
/// # Errors
/// The answer lacks a stream or uses no common codec: the reason in plain text.
pub(crate) fn answered(
    sent: &SessionDescription,
    answer: &SessionDescription,
) -> Result<[RecordedStream; STREAMS], String> {
    let [one, other] = [0, 1].map(|at| stream(sent, answer, at));
    Ok([one?, other?])
}

/// Answers an offer of the server with the two streams, each with a codec that both support.
///
/// # Errors
/// [`SdpRejection`] if the offer lacks one of the two streams, or a stream has no common codec.
pub(crate) fn answer(
    offer: &SessionDescription,
    codecs: &[String],
    ports: [u16; STREAMS],
    identity: &LocalOrigin,
    is_paused: bool,
) -> Result<(SessionDescription, [RecordedStream; STREAMS]), SdpRejection> {
    let policy =
        CodecPolicy { codecs: codecs.to_vec(), dtmf: trunkgate_sdp::DtmfMethod::Info, ..CodecPolicy::default() };
    let missing = || SdpRejection { warn_code: 399, text: "a recording session has two audio streams".to_owned() };
    let one = |at: usize, port: u16| {
        let mut alone = offer.clone();
        if alone.media.get(at).is_none_or(|media| media.port == 0) {
            return Err(missing());
        }
        alone.media.iter_mut().enumerate().filter(|(other, _)| *other != at).for_each(|(_, media)| media.port = 0);
        let (answer, far, audio) = answer_offer(&alone, &policy, port, identity, wanted(is_paused))?;
        let stream = RecordedStream { far, payload: audio.number, coding: coding(&audio).ok_or_else(missing)? };
        Ok((answer, stream))
    };
    let [first_port, second_port] = ports;
    let (mut answer, first) = one(0, first_port)?;
    let (other, second) = one(1, second_port)?;
    for (place, section) in answer.media.iter_mut().zip(other.media).skip(1).take(1) {
        *place = section;
    }
    labelled(&mut answer);
    Ok((answer, [first, second]))
}

/// Returns the direction of a stream from the edge to the server.
const fn wanted(is_paused: bool) -> MediaDirection {
    if is_paused { MediaDirection::Inactive } else { MediaDirection::SendOnly }
}

fn labelled(description: &mut SessionDescription) {
    for (media, label) in description.media.iter_mut().zip([CALLER_LABEL, CALLEE_LABEL]) {
        media.attributes.push(Attribute::new("label", label));
    }
}

fn stream(sent: &SessionDescription, answer: &SessionDescription, at: usize) -> Result<RecordedStream, String> {
    let number = at + 1;
    let (Some(ours), Some(theirs)) = (sent.media.get(at), answer.media.get(at)) else {
        return Err(format!("its answer has no stream {number}"));
    };
    if theirs.port == 0 {
        return Err(format!("it refuses stream {number}"));
    }
    let offered = |number: &u8| ours.payloads().contains(number);
    let audio = |section: &MediaDescription| {
        let numbers = section.payloads().into_iter().filter(offered);
        numbers
            .filter_map(|number| {
                AudioPayload::numbered(theirs, number).or_else(|| AudioPayload::numbered(ours, number))
            })
            .next()
    };
    let audio = audio(theirs).ok_or_else(|| format!("it accepts no codec that was offered for stream {number}"))?;
    let coding = coding(&audio)
        .ok_or_else(|| format!("it selected {} for stream {number}, which cannot be sent", audio.codec))?;
    Ok(RecordedStream {
        far: remote_endpoint(answer, theirs, answer.direction_of(theirs)),
        payload: audio.number,
        coding,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> LocalOrigin {
        LocalOrigin { session_id: 7, version: 1, ip: [203, 0, 113, 10].into() }
    }

    fn codecs() -> Vec<String> {
        ["PCMU", "PCMA"].map(str::to_owned).to_vec()
    }

    fn description(media: &str) -> SessionDescription {
        let head = "v=0\r\no=- 1 1 IN IP4 192.0.2.20\r\ns=-\r\nc=IN IP4 192.0.2.20\r\nt=0 0\r\n";
        SessionDescription::parse(format!("{head}{media}").as_bytes()).unwrap()
    }

    fn to(stream: &RecordedStream) -> (String, u8, PayloadCodec, bool) {
        let at = stream.far.rtp.map(|rtp| rtp.to_string()).unwrap_or_default();
        (at, stream.payload, stream.coding, stream.far.direction.receives())
    }

    #[test]
    fn rfc7866_7_1_1_each_stream_is_sent_only_and_has_a_label() {
        let text = offer(&codecs(), [4000, 4002], &identity(), false).to_string();
        let stream = |port: u16, label: &str| {
            format!(
                "m=audio {port} RTP/AVP 0 8\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=ptime:20\r\n\
                 a=sendonly\r\na=label:{label}\r\n"
            )
        };
        let head = "v=0\r\no=- 7 1 IN IP4 203.0.113.10\r\ns=-\r\nc=IN IP4 203.0.113.10\r\nt=0 0\r\n";
        assert_eq!(text, format!("{head}{}{}", stream(4000, "1"), stream(4002, "2")));
        let paused = offer(&codecs(), [4000, 4002], &identity(), true).to_string();
        assert_eq!((paused.matches("a=inactive").count(), paused.matches("a=sendonly").count()), (2, 0));
    }

    #[test]
    fn an_answer_says_where_each_stream_goes_and_in_which_codec() {
        let sent = offer(&codecs(), [4000, 4002], &identity(), false);
        let both = "m=audio 7000 RTP/AVP 8\r\na=recvonly\r\nm=audio 7002 RTP/AVP 0 8\r\na=recvonly\r\n";
        let streams = answered(&sent, &description(both)).unwrap();
        assert_eq!(
            streams.each_ref().map(to),
            [
                ("192.0.2.20:7000".into(), 8, PayloadCodec::Pcma, true),
                ("192.0.2.20:7002".into(), 0, PayloadCodec::Pcmu, true),
            ]
        );
        let held = "m=audio 7000 RTP/AVP 0\r\na=inactive\r\nm=audio 7002 RTP/AVP 0\r\na=inactive\r\n";
        assert!(answered(&sent, &description(held)).unwrap().iter().all(|stream| !stream.far.direction.receives()));
        for (media, why) in [
            ("m=audio 7000 RTP/AVP 0\r\n", "no stream 2"),
            ("m=audio 7000 RTP/AVP 0\r\nm=audio 0 RTP/AVP 0\r\n", "refuses stream 2"),
            ("m=audio 7000 RTP/AVP 18\r\nm=audio 7002 RTP/AVP 0\r\n", "no codec that was offered for stream 1"),
            ("", "no stream 1"),
        ] {
            let error = answered(&sent, &description(media)).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn an_offer_of_the_server_is_answered_stream_by_stream() {
        for (media, paused, sends) in [
            ("m=audio 7000 RTP/AVP 8 0\r\na=recvonly\r\nm=audio 7002 RTP/AVP 0\r\na=recvonly\r\n", false, true),
            ("m=audio 7000 RTP/AVP 8 0\r\na=recvonly\r\nm=audio 7002 RTP/AVP 0\r\na=recvonly\r\n", true, false),
            ("m=audio 7000 RTP/AVP 0\r\na=inactive\r\nm=audio 7002 RTP/AVP 0\r\na=inactive\r\n", false, false),
            ("m=audio 7000 RTP/AVP 0\r\nm=audio 7002 RTP/AVP 0\r\nm=video 7004 RTP/AVP 31\r\n", false, true),
        ] {
            let offer = description(media);
            let (answer, streams) = answer(&offer, &codecs(), [4000, 4002], &identity(), paused).unwrap();
            assert_eq!(answer.media.len(), offer.media.len());
            let ports: Vec<u16> = answer.media.iter().map(|media| media.port).collect();
            assert_eq!(ports.get(..2), Some(&[4000, 4002][..]));
            assert!(ports.iter().skip(2).all(|port| *port == 0), "no further stream");
            let direction = if sends { "a=sendonly" } else { "a=inactive" };
            assert_eq!(answer.to_string().matches(direction).count(), 2, "{answer}");
            assert_eq!(answer.to_string().matches("a=label:").count(), 2);
            assert!(
                streams
                    .iter()
                    .all(|stream| stream.coding == PayloadCodec::Pcmu && stream.far.direction.receives() == sends)
            );
        }
        for media in ["m=audio 7000 RTP/AVP 0\r\n", "m=audio 7000 RTP/AVP 18\r\nm=audio 7002 RTP/AVP 18\r\n"] {
            assert!(answer(&description(media), &codecs(), [4000, 4002], &identity(), false).is_err());
        }
    }
}

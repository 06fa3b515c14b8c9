//! Fuzz target bodies, also replayed by ordinary tests.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use crate::description::SessionDescription;
use trunkgate_terms::{Srtp, Suite};

use crate::keying::{OFFERED, SrtpForm, agreed, check_answer, filter_offer, protect_answer, protect_offer};
use crate::limits;
use crate::negotiate::{CodecPolicy, LocalOrigin, accept, anchored_streams, may_relay, relay_offer};

const PORTS: [u16; 4] = [16384, 16386, 16388, 16390];
/// Offer that covers every kind of section.
const OFFER: &[u8] = b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
    m=audio 4000 RTP/AVP 0 8 18 96 97 101\r\na=rtpmap:96 opus/48000/2\r\na=rtpmap:97 AMR/8000\r\n\
    a=rtpmap:101 telephone-event/8000\r\nm=video 4002 RTP/AVPF 98\r\na=rtpmap:98 H264/90000\r\na=rtcp-fb:98 nack\r\n\
    a=rtcp-mux\r\nm=image 4004 udptl t38\r\na=T38FaxVersion:0\r\n";

fn policy() -> CodecPolicy {
    CodecPolicy { codecs: vec!["PCMU".to_owned(), "PCMA".to_owned()], ..CodecPolicy::default() }
}

fn identity() -> LocalOrigin {
    LocalOrigin { session_id: 1, version: 1, ip: IpAddr::V4(Ipv4Addr::LOCALHOST) }
}

/// Fuzzes an offer: parses it, creates our offer from it, writes and parses that.
///
/// # Panics
/// Panics if one of our descriptions does not survive writing and parsing, or if `may_relay` disagrees with
/// `relay_offer`.
pub fn offer(data: &[u8]) {
    let Ok(offer) = SessionDescription::parse(data) else { return };
    let ports = vec![9; anchored_streams(&offer).len()];
    let made = relay_offer(&offer, &policy(), &ports, &identity());
    assert_eq!(may_relay(&offer, &policy()), made.map(drop), "what can be offered");
    let Ok(ours) = relay_offer(&offer, &policy(), &PORTS, &identity()) else { return };
    reads_back(&ours);
}

/// Fuzzes the answer to a fixed offer: the agreed session must be consistent, and our answer must survive writing and
/// parsing.
///
/// # Panics
/// Panics if the session or our answer breaks this rule, or a stream has payload types that were not offered.
pub fn answer(data: &[u8]) {
    let (Ok(answer), Ok(offer)) = (SessionDescription::parse(data), SessionDescription::parse(OFFER)) else { return };
    let named = |codecs: &[&str]| CodecPolicy {
        codecs: codecs.iter().map(|codec| (*codec).to_owned()).collect(),
        ptime_ms: 20,
        ..CodecPolicy::default()
    };
    let ways = [
        (policy(), CodecPolicy::default()),
        (named(&["opus", "PCMA"]), named(&["PCMU"])),
        (named(&["G722"]), named(&["PCMA"])),
    ];
    for (to, from) in ways {
        let Ok(sent) = relay_offer(&offer, &to.policy_towards(from.clone()), &PORTS, &identity()) else { continue };
        let Ok(agreed) = accept(&offer, &sent, &answer, &from, &PORTS, &identity()) else { continue };
        reads_back(&agreed.answer);
        assert_eq!(agreed.answer.media.len(), offer.media.len());
        for stream in &agreed.streams {
            let numbers = offer.media.get(stream.index).map(|media| media.payloads()).unwrap_or_default();
            assert!(stream.payloads.iter().all(|(offered, _)| numbers.contains(offered)));
            let mut sources: Vec<u8> = stream.to_offerer().into_iter().map(|(from, _)| from).collect();
            let back = stream.converted.as_ref().and_then(|converted| converted.to_offerer.as_ref());
            sources.extend(back.iter().flat_map(|back| back.from.iter().map(|audio| audio.number)));
            let unique: BTreeSet<u8> = sources.iter().copied().collect();
            assert_eq!(sources.len(), unique.len(), "a number means one thing");
        }
    }
}

/// Fuzzes an offer with keys: both sides must derive the same keys from our answer, every stream must have keys if
/// SRTP is required, and our description with keys must survive writing and parsing.
///
/// # Panics
/// Panics if one of these rules is broken.
pub fn keys(data: &[u8]) {
    let Ok(offer) = SessionDescription::parse(data) else { return };
    for srtp in [Srtp::Off, Srtp::Optional, Srtp::Required] {
        let Ok(offer) = filter_offer(offer.clone(), srtp, &Suite::ALL) else { continue };
        let Ok(mut ours) = relay_offer(&offer, &policy(), &PORTS, &identity()) else { continue };
        let streams = || anchored_streams(&ours).into_iter();
        let mut answer = ours.clone();
        protect_answer(&mut answer, &offer, srtp, None, &mut |bytes| bytes.fill(1));
        let pairs = || answer.media.iter().zip(&offer.media);
        for (ours, theirs) in pairs() {
            let (here, there) = (agreed(ours, theirs), agreed(theirs, ours));
            assert_eq!(here.map(|k| (k.suite, k.ours, k.theirs)), there.map(|k| (k.suite, k.theirs, k.ours)));
        }
        let secure = |index: usize| pairs().nth(index).is_some_and(|(ours, theirs)| agreed(ours, theirs).is_some());
        assert!(srtp != Srtp::Required || streams().all(secure));
        assert!(srtp != Srtp::Off || !streams().any(secure));
        assert_eq!(check_answer(&answer, &offer, streams().filter(|index| secure(*index)), srtp), Ok(()));
        reads_back(&answer);
        protect_offer(&mut ours, |_| SrtpForm::Secure, &OFFERED, Some((&answer, &offer)), &mut |bytes| bytes.fill(2));
        reads_back(&ours);
    }
}

fn reads_back(ours: &SessionDescription) {
    let text = ours.to_string();
    if text.len() <= limits::BYTES {
        assert_eq!(SessionDescription::parse(text.as_bytes()).as_ref(), Ok(ours));
    }
}

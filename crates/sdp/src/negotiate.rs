//! Offer and answer between two legs (RFC 3264): whatever one side wrote is never passed on whole; ours is built from
//! what may pass.

use std::net::{IpAddr, SocketAddr};

use crate::description::Description;
use crate::direction::Direction;

/// What one side's trunk may use of the codecs that the edge handles, in order: `PCMU`, `PCMA`. Payloads that the
/// edge does not convert (G.729, AMR …) pass behind them where both sides take them; telephone-event always may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Encoding names as in rtpmap.
    pub codecs: Vec<String>,
}

/// How our descriptions name themselves: one `o=` line per leg; the version rises only when the content changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Session id of this leg.
    pub session_id: u64,
    /// Version to write.
    pub version: u64,
    /// The address that this leg's far end reaches us by (already chosen between public and local).
    pub ip: IpAddr,
}

/// Why an offer or answer cannot be used: becomes 488 with a Warning (RFC 3261 §20.43).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Warn code: 304 media type, 305 format, 302 transport, 399 other.
    pub warn_code: u16,
    /// Text that names both lists, e.g. `offered G729; allowed PCMU, PCMA`.
    pub text: String,
}

/// The far end of one agreed stream, as its description says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Far {
    /// Where its RTP goes; `None` where its address is 0.0.0.0 or a host name (old-style hold: send nothing).
    pub rtp: Option<SocketAddr>,
    /// Where its RTCP goes: `a=rtcp`, or port + 1 (RFC 3605), or the RTP address with rtcp-mux.
    pub rtcp: Option<SocketAddr>,
    /// The direction as *it* wrote it (or as answered): it sends where `sends()`.
    pub direction: Direction,
}

/// One stream that both sides have agreed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgreedStream {
    /// Index of its m-line in both descriptions.
    pub index: usize,
    /// The offerer's end.
    pub offerer: Far,
    /// The answerer's end.
    pub answerer: Far,
    /// Payload numbers that mean the same: (the offerer's, the answerer's). A packet from one end with a number not
    /// listed here is not relayed.
    pub payloads: Vec<(u8, u8)>,
    /// The codec for reports, e.g. `PCMU`: the first agreed one that is not telephone-event.
    pub codec: String,
}

/// What comes of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agreed {
    /// Our answer to the offerer.
    pub answer: Description,
    /// The streams that run.
    pub streams: Vec<AgreedStream>,
}

/// The m-lines of an offer that the edge anchors: RTP/AVP or RTP/AVPF sections with a port, at most
/// [`ANCHORED_STREAMS`](crate::limits::ANCHORED_STREAMS). One local port pair is needed for each, on each side.
pub fn rtp_streams(offer: &Description) -> Vec<usize> {
    let _ = offer;
    unimplemented!()
}

/// Turns one side's offer into ours to the other: same m-line order; anchored sections with our address and
/// `ports[i]` (in the order of [`rtp_streams`]), codecs that `policy` allows in its order and then what else was
/// offered, further attributes kept where they may be (ptime, maxptime, fmtp, rtcp-fb, label …; not ICE, crypto,
/// candidates, addresses), direction kept; other sections with port 0.
///
/// # Errors
/// [`Refusal`] where no section has a usable format.
pub fn relay_offer(
    offer: &Description,
    policy: &Policy,
    ports: &[u16],
    identity: &Identity,
) -> Result<Description, Refusal> {
    let _ = (offer, policy, ports, identity);
    unimplemented!()
}

/// Turns the answer to our offer (`sent`, made by [`relay_offer`] from `offer`) into our answer to the offerer, and
/// says what was agreed. `ports` are ours towards the offerer.
///
/// # Errors
/// [`Refusal`] where the answer leaves nothing usable, or does not fit the offer (RFC 3264 §6).
pub fn accept(
    offer: &Description,
    sent: &Description,
    answer: &Description,
    ports: &[u16],
    identity: &Identity,
) -> Result<Agreed, Refusal> {
    let _ = (offer, sent, answer, ports, identity);
    unimplemented!()
}

/// An offer of our own: one audio section with the policy's codecs and telephone-event 101.
pub fn offer_own(policy: &Policy, port: u16, identity: &Identity, direction: Direction) -> Description {
    let _ = (policy, port, identity, direction);
    unimplemented!()
}

/// An answer of our own to `offer`, for an end that lives in the edge or a phone: the first format of the policy
/// that the offer has, with telephone-event if offered; `direction` is what we want, narrowed by the offer
/// (RFC 3264 §6.1). Returns the answer, the far end, and (payload number, encoding name) of the codec.
///
/// # Errors
/// [`Refusal`] where nothing fits.
pub fn answer_offer(
    offer: &Description,
    policy: &Policy,
    port: u16,
    identity: &Identity,
    direction: Direction,
) -> Result<(Description, Far, (u8, String)), Refusal> {
    let _ = (offer, policy, port, identity, direction);
    unimplemented!()
}

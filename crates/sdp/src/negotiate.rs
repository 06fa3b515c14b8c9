//! Offer and answer between two legs (RFC 3264): whatever one side wrote is never passed on whole; ours is built from
//! what may pass.
//!
//! The offer goes on with the offerer's own payload numbers; the answerer may use others, so the two are matched by
//! meaning (encoding, clock, channels, and the parameters that change the bytes).

use std::net::{IpAddr, SocketAddr};

use crate::convert::{Converted, Outcome, added, outcome, pace, shared_audio};
use crate::description::{Attribute, Connection, Description, Media, Origin};
use crate::direction::Direction;
use crate::dtmf::{Dtmf, Events, OwnEvents, of_answerer, of_offerer, own_events, without_events};
use crate::format::{Rtpmap, fmtp_fits, static_payload};
use crate::keying::{OFFERED, Profile, plain_proto};
use crate::limits;
use crate::passing::pass;
use crate::udptl::{self, is_udptl};

/// Dynamic payload numbers (RFC 3551 §6); those that look like RTCP are lower (RFC 5761 §4).
const DYNAMIC: std::ops::RangeInclusive<u8> = 96..=127;

/// The codecs that the edge itself handles: a trunk's policy rules them. All others pass untouched.
pub const EDGE_CODECS: [&str; 4] = ["PCMU", "PCMA", "G722", "opus"];

/// What one side's trunk may use of the codecs that the edge converts, in order: names of [`EDGE_CODECS`]. Other payloads
/// (G.729, AMR …; G.722 and Opus where they are not named) pass behind them where both sides take them; telephone-event
/// always may.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    /// Encoding names as in rtpmap.
    pub codecs: Vec<String>,
    /// What the side whose offer goes on may use, where the edge converts between the two; empty: it does not.
    pub from: Vec<String>,
    /// Milliseconds of audio in a packet that the edge makes; 0: as the other side says.
    pub ptime_ms: u32,
    /// How the side presses keys.
    pub dtmf: Dtmf,
    /// How the other side does, where there is one.
    pub dtmf_of_other: Option<Dtmf>,
}

impl Policy {
    /// Whether the side whose offer goes on may use a payload.
    pub(crate) fn lets_from(&self, map: &Rtpmap) -> bool {
        !is_g711(map) || self.from.is_empty() || self.from.iter().any(|codec| map.is(codec))
    }
    /// That of an offer from a side with another policy, or of our answer to it.
    pub fn towards(self, from: Policy) -> Policy {
        Policy { from: from.codecs, dtmf_of_other: Some(from.dtmf), ..self }
    }
}

/// How our descriptions name themselves: one `o=` line per leg; the version rises only when the content changes.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
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
    /// Warn code: 304 media type, 305 format, 399 other (SRTP, an answer that does not fit its offer).
    pub warn_code: u16,
    /// Text that names both lists, e.g. `offered G729; allowed PCMU, PCMA`. Fit for a quoted string.
    pub text: String,
}

/// The far end of one agreed stream, as its description says.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Far {
    /// Where its RTP goes; `None` where its address is 0.0.0.0 or a host name (old-style hold: send nothing).
    pub rtp: Option<SocketAddr>,
    /// Where its RTCP goes: `a=rtcp`, or port + 1 (RFC 3605), or where its RTP goes.
    pub rtcp: Option<SocketAddr>,
    /// Whether its RTCP shares the ports of its RTP, on both sides (RFC 5761).
    #[serde(default)]
    pub rtcp_mux: bool,
    /// Whether it speaks UDPTL (T.38) instead of RTP: datagrams that are passed as they are.
    #[serde(default)]
    pub udptl: bool,
    /// The direction agreed, as this far end sees it: it sends where `sends()`.
    pub direction: Direction,
}

impl Far {
    /// The same with RTCP on the ports of RTP, where that is agreed.
    pub(crate) fn muxed(self, agreed: bool) -> Far {
        if agreed { Far { rtcp: self.rtp, rtcp_mux: true, ..self } } else { self }
    }
}

/// One stream that both sides have agreed on.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
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
    /// RTP clock of each of `payloads`, in Hz.
    pub clocks: Vec<u32>,
    /// The offerer's codec for reports, e.g. `PCMU`: the first agreed one that is not telephone-event.
    pub codec: String,
    /// What is converted, where the two sides' audio differs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub converted: Option<Box<Converted>>,
    /// Telephone-events of each side by itself, where the two press keys in different ways.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own_events: Option<Box<OwnEvents>>,
}

impl AgreedStream {
    /// Payload numbers of packets towards the answerer: (as the offerer sends, as the answerer expects).
    pub fn to_answerer(&self) -> Vec<(u8, u8)> {
        self.payloads.clone()
    }

    /// Payload numbers of packets towards the offerer. An answerer should send with the offer's numbers even where its
    /// answer names others (RFC 3264 §6.1); many send with their own: both are taken where they do not collide.
    pub fn to_offerer(&self) -> Vec<(u8, u8)> {
        let own = self.payloads.iter().map(|(offerer, answerer)| (*answerer, *offerer));
        let taken = |number: u8| self.payloads.iter().any(|(_, answerer)| *answerer == number);
        let offered = self.payloads.iter().map(|(offerer, _)| (*offerer, *offerer)).filter(|(o, _)| !taken(*o));
        own.chain(offered).collect()
    }

    /// RTP clocks of packets from the offerer: (payload number as it sends, Hz).
    pub fn clocks_from_offerer(&self) -> Vec<(u8, u32)> {
        self.payloads.iter().map(|(offerer, _)| *offerer).zip(self.clocks.iter().copied()).collect()
    }

    /// RTP clocks of packets from the answerer: (payload number as it sends, Hz), for all of [`Self::to_offerer`].
    pub fn clocks_from_answerer(&self) -> Vec<(u8, u32)> {
        let clock = |number: u8| self.clocks_from_offerer().into_iter().find(|(n, _)| *n == number).map(|(_, hz)| hz);
        self.to_offerer().into_iter().filter_map(|(theirs, ours)| Some((theirs, clock(ours)?))).collect()
    }
}

/// What comes of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agreed {
    /// Our answer to the offerer.
    pub answer: Description,
    /// The streams that run.
    pub streams: Vec<AgreedStream>,
}

/// The m-lines of an offer that the edge anchors: sections of RTP, SRTP or UDPTL with a port, at most
/// [`ANCHORED_STREAMS`](crate::limits::ANCHORED_STREAMS). One local port pair is needed for each, on each side.
pub fn anchored_streams(offer: &Description) -> Vec<usize> {
    let anchored = |media: &Media| media.port != 0 && (Profile::of(&media.proto).is_some() || is_udptl(media));
    let streams = offer.media.iter().enumerate().filter(|(_, media)| anchored(media));
    streams.map(|(index, _)| index).take(limits::ANCHORED_STREAMS).collect()
}

/// Turns one side's offer into ours to the other: same m-line order; anchored sections with our address and
/// `ports[i]` (in the order of [`anchored_streams`]), codecs that `policy` allows in its order, those that were offered
/// before those that the edge would make of them, then what else was offered; further attributes kept where they may be (ptime, maxptime, fmtp, rtcp-fb, label …; not ICE, crypto,
/// candidates, addresses), direction kept; other sections with port 0. It is plain RTP, whatever was offered, until
/// [`protect_offer`](crate::keying::protect_offer) makes SRTP of it.
///
/// # Errors
/// [`Refusal`] where no section has a usable format.
pub fn relay_offer(
    offer: &Description,
    policy: &Policy,
    ports: &[u16],
    identity: &Identity,
) -> Result<Description, Refusal> {
    let streams = anchored_streams(offer);
    let sections: Vec<Media> = offer
        .media
        .iter()
        .enumerate()
        .map(|(index, media)| {
            let port = port_of(&streams, ports, index);
            port.and_then(|port| offered_section(offer, media, policy, port)).unwrap_or_else(|| media.refused())
        })
        .collect();
    if sections.iter().all(|section| section.port == 0) {
        return Err(nothing_offered(offer, policy));
    }
    Ok(ours(identity, session_attributes(offer), sections))
}

/// Turns the answer to our offer (`sent`, made by [`relay_offer`] from `offer`) into our answer to the offerer, and
/// says what was agreed. `policy` is the offerer's, `ports` are ours towards it.
///
/// # Errors
/// [`Refusal`] where the answer leaves nothing usable, or does not fit the offer (RFC 3264 §6).
pub fn accept(
    offer: &Description,
    sent: &Description,
    answer: &Description,
    policy: &Policy,
    ports: &[u16],
    identity: &Identity,
) -> Result<Agreed, Refusal> {
    fits(sent, answer)?;
    let streams = anchored_streams(offer);
    let mut sections = Vec::with_capacity(offer.media.len());
    let mut agreed = Vec::new();
    for (index, offered) in offer.media.iter().enumerate() {
        let section = sent.media.get(index).zip(answer.media.get(index)).zip(port_of(&streams, ports, index)).and_then(
            |((sent, answered), port)| {
                let (section, stream) = answered_section((offer, offered), sent, (answer, answered), policy, port)?;
                agreed.push(AgreedStream { index, ..stream });
                Some(section)
            },
        );
        sections.push(section.unwrap_or_else(|| offered.refused()));
    }
    if agreed.is_empty() {
        return Err(nothing_answered(sent, answer));
    }
    Ok(Agreed { answer: ours(identity, session_attributes(answer), sections), streams: agreed })
}

/// A payload number with its meaning.
#[derive(Debug, Clone)]
pub(crate) struct Payload {
    pub(crate) number: u8,
    pub(crate) map: Rtpmap,
    pub(crate) fmtp: Option<String>,
}

/// The payloads of a section that mean something to a relay, in order.
pub(crate) fn payloads(media: &Media) -> Vec<Payload> {
    let known = media.payloads().into_iter().filter_map(|number| {
        let map = media.rtpmap(number)?;
        (!map.names_other_payloads()).then(|| Payload { number, map, fmtp: media.fmtp(number).map(str::to_owned) })
    });
    known.collect()
}

/// Which of our ports a section gets.
fn port_of(streams: &[usize], ports: &[u16], index: usize) -> Option<u16> {
    let at = streams.iter().position(|stream| *stream == index)?;
    ports.get(at).copied().filter(|port| *port != 0)
}

/// One anchored section of an offer as the other side sees it; `None` where nothing usable is left of it.
fn offered_section(offer: &Description, media: &Media, policy: &Policy, port: u16) -> Option<Media> {
    if is_udptl(media) {
        return udptl::offered_section(offer, media, port);
    }
    let mut offered = payloads(media);
    if policy.parts_keys() {
        offered = without_events(offered);
    }
    let ruled = |payload: &&Payload| is_edge_codec(&payload.map) && policy.lets_from(&payload.map);
    let allowed = policy.codecs.iter().flat_map(|codec| offered.iter().filter(ruled).filter(|p| p.map.is(codec)));
    let further = offered.iter().filter(|payload| !is_g711(&payload.map));
    let (made, made_keys): (Vec<Payload>, Vec<Payload>) =
        added(&offered, policy).into_iter().partition(|payload| payload.map.is_content());
    let is_made = !made.is_empty() && allowed.clone().next().is_none();
    let mut passed: Vec<Payload> = Vec::with_capacity(offered.len());
    for payload in allowed.chain(&made).chain(further).chain(&made_keys) {
        // A policy may name a codec twice.
        if !passed.iter().any(|p| p.number == payload.number) {
            passed.push(payload.clone());
        }
    }
    if policy.parts_keys() && policy.dtmf == Dtmf::Events {
        passed.extend(own_events(&passed));
    }
    let unchanged = |number: u8| passed.iter().any(|p| p.number == number).then_some(number);
    let mut section = section(media, media, port, &passed, unchanged, offer.direction_of(media))?;
    plain_proto(&media.proto).clone_into(&mut section.proto);
    multiplex(&mut section, may_mux(media));
    if is_made {
        pace(&mut section, policy);
    }
    Some(section)
}

/// Whether RTCP may share the ports of RTP: where that is offered, and no payload number looks like RTCP (RFC 5761 §4).
pub(crate) fn may_mux(media: &Media) -> bool {
    media.rtcp_mux() && !media.payloads().iter().any(|number| (64..=95).contains(number))
}

/// Says in a section of ours that they do.
pub(crate) fn multiplex(section: &mut Media, agreed: bool) {
    if agreed {
        section.attributes.push(Attribute::flag("rtcp-mux"));
    }
}

/// One answered section as the offerer sees it, with the stream that was agreed; `None` where it is refused.
fn answered_section(
    (offer, offered): (&Description, &Media),
    sent: &Media,
    (answer, answered): (&Description, &Media),
    policy: &Policy,
    port: u16,
) -> Option<(Media, AgreedStream)> {
    if sent.port == 0 || answered.port == 0 {
        return None;
    }
    if is_udptl(sent) {
        return udptl::answered_section((offer, offered), sent, (answer, answered), port);
    }
    let of_offer = payloads(offered);
    let answers = match_payloads(&payloads(sent), &payloads(answered));
    let usable = if policy.parts_keys() { without_events(of_offer.clone()) } else { of_offer.clone() };
    let Outcome { mut accepted, shared: pairs, converted } =
        outcome(answers.clone(), (offered, &usable), answered, policy)?;
    let own_events = policy.parts_keys().then(|| {
        let audio = shared_audio(&of_offer, &pairs);
        OwnEvents { audio, ..agree_events(&mut accepted, &of_offer, &answers, policy) }
    });
    let number = |theirs: u8| pairs.iter().find(|(_, p)| p.number == theirs).map(|(ours, _)| ours.number);
    let direction = narrowed(answer.direction_of(answered), offer.direction_of(offered));
    let mut section = section(offered, answered, port, &accepted, number, direction)?;
    multiplex(&mut section, may_mux(offered));
    if pairs.is_empty() {
        pace(&mut section, policy);
    }
    let codec = accepted.iter().find(|p| p.map.is_content())?.map.encoding.clone();
    let stream = AgreedStream {
        index: 0,
        offerer: far(offer, offered, direction.reversed()).muxed(may_mux(offered)),
        answerer: far(answer, answered, direction).muxed(sent.rtcp_mux() && answered.rtcp_mux()),
        payloads: pairs.iter().map(|(ours, theirs)| (ours.number, theirs.number)).collect(),
        clocks: pairs.iter().map(|(ours, _)| ours.map.clock).collect(),
        codec,
        converted: converted.map(Box::new),
        own_events: own_events.map(Box::new),
    };
    Some((section, stream))
}

/// Telephone-events of each side by itself; the offerer's are added to what it is told was `accepted`.
fn agree_events(
    accepted: &mut Vec<Payload>,
    offered: &[Payload],
    answers: &[(Payload, Payload)],
    policy: &Policy,
) -> OwnEvents {
    let clock = |payload: Option<&Payload>| payload.map_or(8000, |payload| payload.map.clock);
    let of_answer = answers.iter().map(|(ours, _)| ours).find(|ours| ours.map.is_content());
    let answerer = of_answerer(answers, clock(of_answer));
    let of_offer = accepted.iter().find(|payload| payload.map.is_content());
    let own = of_offerer(offered, clock(of_offer)).filter(|_| policy.dtmf == Dtmf::Events);
    let offerer = own.as_ref().map(|own| Events { takes: own.number, sends: vec![own.number], clock: own.map.clock });
    accepted.extend(own);
    OwnEvents { offerer, answerer, audio: Vec::new() }
}

/// For each payload of an answer, in its order, the one of the offer that means the same: by the same number where
/// possible. No number is used twice.
pub(crate) fn match_payloads(sent: &[Payload], answered: &[Payload]) -> Vec<(Payload, Payload)> {
    let mut pairs: Vec<(Payload, Payload)> = Vec::with_capacity(answered.len());
    for theirs in answered {
        let fits = |ours: &&Payload| {
            let free = !pairs.iter().any(|(used, _)| used.number == ours.number);
            let same = ours.map.same(&theirs.map);
            free && same && fmtp_fits(&ours.map.encoding, ours.fmtp.as_deref(), theirs.fmtp.as_deref())
        };
        let by_number = sent.iter().filter(|ours| ours.number == theirs.number).find(fits);
        if let Some(ours) = by_number.or_else(|| sent.iter().find(fits)) {
            pairs.push((ours.clone(), theirs.clone()));
        }
    }
    pairs
}

/// Builds a section: names of `shape`, attributes of `source` as far as they may pass. `None` without content.
fn section(
    shape: &Media,
    source: &Media,
    port: u16,
    payloads: &[Payload],
    number: impl Fn(u8) -> Option<u8>,
    direction: Direction,
) -> Option<Media> {
    if !payloads.iter().any(|payload| payload.map.is_content()) {
        return None;
    }
    let mut section = Media::new(&shape.kind, port, &shape.proto);
    for payload in payloads {
        describe(&mut section, payload.number, &payload.map, payload.fmtp.as_deref());
    }
    section.attributes.extend(source.attributes.iter().filter_map(|attribute| pass(attribute, &number)));
    // The direction and rtcp-mux are still to come, and keys may.
    section.attributes.truncate(limits::ATTRIBUTES - 2 - OFFERED.len() - 1);
    section.attributes.push(Attribute::flag(direction.as_str()));
    section.other.extend(bandwidths(&source.other));
    Some(section)
}

/// Adds a format with its rtpmap, also where it is static: nobody has to know the table.
pub(crate) fn describe(section: &mut Media, number: u8, map: &Rtpmap, fmtp: Option<&str>) {
    section.formats.push(number.to_string());
    section.attributes.push(Attribute::new("rtpmap", format!("{number} {map}")));
    if let Some(fmtp) = fmtp.filter(|fmtp| !fmtp.is_empty()) {
        section.attributes.push(Attribute::new("fmtp", format!("{number} {fmtp}")));
    }
}

/// A description of ours around `media`.
pub(crate) fn ours(identity: &Identity, attributes: Vec<Attribute>, media: Vec<Media>) -> Description {
    let address = identity.ip.to_string();
    Description {
        origin: Origin {
            username: "-".to_owned(),
            session_id: identity.session_id,
            version: identity.version,
            address: address.clone(),
        },
        name: "-".to_owned(),
        connection: Some(Connection { address }),
        attributes,
        other: vec!["t=0 0".to_owned()],
        media,
    }
}

/// Session-level attributes that the other side may see; a direction is written into each section instead.
fn session_attributes(from: &Description) -> Vec<Attribute> {
    from.attributes.iter().filter_map(|attribute| pass(attribute, |_| None)).collect()
}

pub(crate) fn bandwidths(lines: &[String]) -> impl Iterator<Item = String> {
    lines.iter().filter(|line| line.starts_with("b=")).cloned()
}

/// A far end from its description.
pub fn far(description: &Description, media: &Media, direction: Direction) -> Far {
    let ip = description.connection_of(media).and_then(Connection::ip).filter(|ip| !ip.is_unspecified());
    let rtp = ip.filter(|_| media.port != 0).map(|ip| SocketAddr::new(ip, media.port));
    let rtcp = rtp.and_then(|rtp| match media.rtcp() {
        Some((0, _)) => None,
        Some((port, None)) => Some(SocketAddr::new(rtp.ip(), port)),
        Some((port, Some(connection))) => {
            let ip = connection.ip().filter(|ip| !ip.is_unspecified());
            ip.map(|ip| SocketAddr::new(ip, port))
        }
        None => rtp.port().checked_add(1).map(|port| SocketAddr::new(rtp.ip(), port)),
    });
    Far { rtp, rtcp, rtcp_mux: false, udptl: false, direction }
}

/// What of `wanted` an offer leaves to its answerer (RFC 3264 §6.1).
pub(crate) fn narrowed(wanted: Direction, offered: Direction) -> Direction {
    Direction::new(wanted.sends() && offered.receives(), wanted.receives() && offered.sends())
}

/// Whether the answer has the offer's sections (RFC 3264 §6).
fn fits(sent: &Description, answer: &Description) -> Result<(), Refusal> {
    let (offered, answered) = (sent.media.len(), answer.media.len());
    if offered != answered {
        let text = format!("offered {offered} streams; the answer has {answered}");
        return Err(Refusal { warn_code: 399, text });
    }
    for (offered, answered) in sent.media.iter().zip(&answer.media) {
        let running = offered.port != 0 && answered.port != 0;
        // With feedback or without, protected or not: much is taken for the same; keys are judged by themselves.
        let secure = |media: &Media| Profile::of(&media.proto).map(|profile| profile.secure);
        let same_transport = offered.proto.eq_ignore_ascii_case(&answered.proto)
            || secure(answered).is_some_and(|answered| !answered || secure(offered) == Some(true));
        if !offered.kind.eq_ignore_ascii_case(&answered.kind) || (running && !same_transport) {
            let text = format!("offered {}; the answer has {}", stream_name(offered), stream_name(answered));
            return Err(Refusal { warn_code: 304, text });
        }
    }
    Ok(())
}

/// The number, or another that nobody uses.
pub(crate) fn free(wanted: u8, offered: &[Payload], added: &[Payload]) -> Option<u8> {
    let used = |number: u8| offered.iter().chain(added).any(|payload| payload.number == number);
    std::iter::once(wanted).chain(DYNAMIC).find(|number| !used(*number))
}

fn nothing_offered(offer: &Description, policy: &Policy) -> Refusal {
    let streams = anchored_streams(offer);
    if !streams.is_empty() {
        let offered = streams.iter().filter_map(|index| offer.media.get(*index)).flat_map(format_names);
        return format_refusal(offered, policy);
    }
    let live = || offer.media.iter().filter(|media| media.port != 0);
    let names = if live().next().is_none() { "no stream".to_owned() } else { list(live().map(stream_name)) };
    Refusal { warn_code: 304, text: format!("offered {names}; allowed audio RTP/AVP") }
}

/// The refusal that names what was offered and what the policy allows.
pub(crate) fn format_refusal(offered: impl Iterator<Item = String>, policy: &Policy) -> Refusal {
    // What is converted need only suit its own side.
    let codecs = if policy.from.is_empty() { &policy.codecs } else { &policy.from };
    let allowed = list(codecs.iter().map(|codec| plain(codec)));
    Refusal { warn_code: 305, text: format!("offered {}; allowed {allowed}", list(offered)) }
}

fn nothing_answered(sent: &Description, answer: &Description) -> Refusal {
    let live = |description: &Description| {
        let media = description.media.iter().filter(|media| media.port != 0);
        list(media.flat_map(format_names))
    };
    Refusal { warn_code: 305, text: format!("offered {}; answered {}", live(sent), live(answer)) }
}

/// Encoding names of a section for people; the number where it has none.
pub(crate) fn format_names(media: &Media) -> Vec<String> {
    let name = |format: &String| {
        let map = crate::description::payload_number(format).and_then(|number| media.rtpmap(number));
        map.map_or_else(|| plain(format), |map| plain(&map.encoding))
    };
    media.formats.iter().map(name).collect()
}

/// Encoding names of what a section has for audio, without keys and comfort noise, for people: both lists where no codec
/// suits two sides, and what a target was offered.
pub fn codec_names(media: &Media) -> String {
    let is_content = |name: &String| !["telephone-event", "CN"].iter().any(|other| name.eq_ignore_ascii_case(other));
    list(format_names(media).into_iter().filter(is_content))
}

fn stream_name(media: &Media) -> String {
    format!("{} {}", plain(&media.kind), plain(&media.proto))
}

pub(crate) fn list(names: impl Iterator<Item = String>) -> String {
    let mut unique: Vec<String> = Vec::new();
    for name in names.take(limits::FORMATS) {
        if !unique.contains(&name) && unique.len() < limits::NAMES_IN_TEXT {
            unique.push(name);
        }
    }
    if unique.is_empty() { "nothing".to_owned() } else { unique.join(", ") }
}

/// A name from the wire, fit for a quoted string of any protocol.
pub(crate) fn plain(name: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || "-._+/".contains(c) { c } else { '?' };
    name.chars().take(limits::NAME_CHARS_IN_TEXT).map(safe).collect()
}

pub(crate) fn is_edge_codec(map: &Rtpmap) -> bool {
    // RFC 7587 §4.1: Opus is written with two channels, whatever it has.
    let form = if map.is("opus") { (48_000, 2) } else { (8000, 1) };
    (map.clock, map.channels) == form && EDGE_CODECS.iter().any(|name| map.is(name))
}

/// The codecs that a policy always rules.
pub(crate) fn is_g711(map: &Rtpmap) -> bool {
    is_edge_codec(map) && (map.is("PCMU") || map.is("PCMA"))
}

/// The meaning of a codec name in an offer of ours: number and rtpmap. Dynamic ones start at 96.
pub(crate) fn own_format(codec: &str) -> Option<(u8, Rtpmap)> {
    match crate::format::static_number(codec) {
        Some(number) => Some((number, static_payload(number)?)),
        None if codec.eq_ignore_ascii_case("opus") => {
            Some((96, Rtpmap { encoding: "opus".to_owned(), clock: 48000, channels: 2 }))
        }
        None => None,
    }
}

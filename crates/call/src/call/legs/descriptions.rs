//! Offers, agreements and media of the legs, and their descriptions in traces.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use bytes::Bytes;
use trunkgate_media::agent::AgentFormat;
use trunkgate_media::{EndId, WireSpec};
use trunkgate_resources::edge::Edge;
use trunkgate_resources::limits::PARAMETER_HEADERS;
use trunkgate_resources::lookups::addressing::Addressing;
use trunkgate_resources::lookups::key::LegId;
use trunkgate_route::DtmfMode;
use trunkgate_sdp::{
    AgreedStream, AudioPayload, CodecPolicy, EventPayloads, MediaDirection, SessionDescription, anchored_streams,
    codec_names,
};
use trunkgate_sip::{Flow, ServerId};

use crate::call::legs::codecs::{NARROW_HZ, coding};
use crate::call::legs::leg::{Leg, LegSdp, LegState};
use crate::call::legs::list::Legs;
use crate::call::legs::spoken::{AudioAgreement, talks_as};
use crate::call::words::answer::{FinalAnswer, TargetFailure, bad_media};

impl LegSdp {
    /// Chooses the media address shown to a caller, based on the media address in the caller's offer.
    pub(crate) fn face_media(&mut self, addressing: &Addressing, flow: Flow, offer: &SessionDescription) {
        let first = anchored_streams(offer).first().and_then(|index| offer.media.get(*index));
        let media = first.and_then(|media| offer.connection_of(media)?.ip());
        let ip = media.and_then(|media| addressing.media_shown_to_offer(flow.remote.ip(), media, flow.listener));
        self.media_ip = ip.unwrap_or(self.media_ip);
    }
}

impl Legs {
    /// Returns the codecs for our offer to a target if the caller made none: common codecs first, then those to be
    /// transcoded.
    pub(crate) fn codecs_to_offer(&self, mut theirs: CodecPolicy) -> CodecPolicy {
        let ours = self.near_leg().policy();
        theirs.codecs.sort_by_key(|codec| !ours.codecs.iter().any(|own| own.eq_ignore_ascii_case(codec)));
        theirs
    }

    /// Returns the codec policy of the caller for a session with the edge itself.
    pub(crate) fn own_policy(&self) -> CodecPolicy {
        let mut talking = self.iter().filter(|leg| leg.state != LegState::Ended).filter_map(|leg| leg.agent.as_ref());
        let wide = talking.any(|side| {
            let format = AgentFormat::from_name(side.agent.format).unwrap_or_default();
            !side.listens() && format.sample_rate() > NARROW_HZ
        });
        self.near_leg().own_policy(wide)
    }

    /// Parses the offer in a remote party's request; `None` if it is unusable, after refusing the request.
    pub(crate) fn offer_in(
        &self,
        now: Instant,
        edge: &mut Edge,
        leg: LegId,
        server: ServerId,
        sdp: &[u8],
    ) -> Option<SessionDescription> {
        let read = match SessionDescription::parse(sdp) {
            Ok(offer) => match forbidden_address(edge, &self[leg], &offer) {
                Some(address) => Err(bad_media(&format!("unusable media address {address}")).answer()),
                None => self[leg].admit(offer).map_err(TargetFailure::answer),
            },
            Err(e) => Err(FinalAnswer::bad_request(&format!("session description: {} (line {})", e.what, e.line))),
        };
        match read {
            Ok(offer) => Some(offer),
            Err(answer) => {
                edge.respond(now, server, answer.to_sip());
                None
            }
        }
    }

    /// Returns the media end over which the edge can send its own audio to a side, with codec and payload types. `None`
    /// if the side has no session, or a codec that the edge cannot transcode.
    pub(crate) fn spoken_end(&self, leg: LegId) -> Option<(EndId, AudioAgreement)> {
        let (_, spoken) = self.offer_of(leg)?;
        let spoken = spoken?;
        Some((self[leg].end(spoken.index)?.end, spoken))
    }

    /// Returns the audio agreement of a side as an offer of its codec and telephone-event only, so that the side's
    /// session need not change. Also returns the codec and payload types for the edge itself, if it supports the codec.
    pub(crate) fn offer_of(&self, leg: LegId) -> Option<(SessionDescription, Option<AudioAgreement>)> {
        let side = &self[leg];
        let mut offer = side.theirs()?;
        offer.take_off_hold(side.signalling());
        let anchored = anchored_streams(&offer);
        let is_audio = |at: &usize| offer.media.get(*at).is_some_and(|media| media.kind.eq_ignore_ascii_case("audio"));
        let index = anchored.into_iter().filter(|at| side.end(*at).is_some()).find(is_audio)?;
        for (at, media) in offer.media.iter_mut().enumerate().filter(|(at, _)| *at != index) {
            let _ = at;
            media.port = 0;
        }
        let section = offer.media.get_mut(index)?;
        let named = |section: &trunkgate_sdp::MediaDescription, name: &str| {
            section.payloads().into_iter().find(|number| section.rtpmap(*number).is_some_and(|map| map.is(name)))
        };
        let (number, presses) = (named(section, &side.codec)?, named(section, "telephone-event"));
        let kept = [Some(number), presses].map(|number| number.map(|number| number.to_string()));
        let presses = presses.and_then(|number| Some((number, section.rtpmap(number)?.clock)));
        let audio = AudioPayload::find_codec(section, &side.codec);
        section.formats.retain(|format| kept.iter().flatten().any(|number| number == format));
        let ours = side.sdp.ours.as_ref()?.read()?;
        let keys = ours.media.get(index).and_then(|ours| named(ours, "telephone-event"));
        let coding = audio.as_ref().and_then(coding);
        Some((offer, coding.map(|coding| AudioAgreement { index, audio: number, coding, keys, presses })))
    }

    /// Returns whether a side has a session other than one `sendrecv` stream.
    pub(crate) fn is_stale(&self, leg: LegId) -> bool {
        let Some((ours, theirs)) = self[leg].session() else { return false };
        let talks = |description: &SessionDescription| {
            let mut running = description.media.iter().filter(|media| media.port != 0);
            running.all(|media| description.direction_of(media) == MediaDirection::SendRecv)
        };
        !(talks(&ours) && talks(&theirs)) || self[leg].ends.len() != 1
    }

    /// Returns whether a re-INVITE repeats the remote party's last description unchanged (RFC 4028 §7.4).
    pub(crate) fn is_refresh(&self, leg: LegId, sdp: Option<&Bytes>) -> bool {
        let side = &self[leg];
        let Some((theirs, sdp)) = side.sdp.theirs.as_ref().zip(sdp) else { return false };
        let offer = SessionDescription::parse(sdp).ok().and_then(|offer| side.admit(offer).ok());
        offer.is_some_and(|offer| theirs.says(&offer))
    }

    /// Parses a remote party's description, and refuses forbidden media addresses.
    ///
    /// # Errors
    /// The failure with Warning 399: the description is invalid, or media must not be sent to its address.
    pub(crate) fn read(&self, edge: &Edge, leg: LegId, sdp: &[u8]) -> Result<SessionDescription, TargetFailure> {
        let theirs = SessionDescription::parse(sdp)
            .map_err(|e| bad_media(&format!("session description: {} (line {})", e.what, e.line)))?;
        match forbidden_address(edge, &self[leg], &theirs) {
            Some(address) => Err(bad_media(&format!("unusable media address {address}"))),
            None => Ok(theirs),
        }
    }

    /// Returns the media end and the wire through which the edge can play audio to a side. `None` if the edge cannot
    /// encode the side's codec.
    pub(crate) fn playback_wire(&self, leg: LegId) -> Option<(EndId, WireSpec)> {
        let leg = &self[leg];
        let theirs = leg.theirs()?;
        leg.ends.iter().find_map(|end| {
            let audio = AudioPayload::find_codec(theirs.media.get(end.index)?, &leg.codec)?;
            Some((end.end, talks_as(audio.number, coding(&audio)?)))
        })
    }

    /// Describes the codecs of two legs: one name if the audio is relayed, else the reason for transcoding.
    pub(crate) fn said_of_codecs(&self, index: usize, sides: [(LegId, &str); 2]) -> String {
        let [(offerer, of_offerer), (answerer, of_answerer)] = sides;
        if of_offerer.eq_ignore_ascii_case(of_answerer) {
            return of_offerer.to_owned();
        }
        let list = |leg: LegId, verb: &str| {
            let leg_state = &self[leg];
            let has =
                leg_state.theirs().and_then(|theirs| theirs.media.get(index).map(codec_names)).unwrap_or_default();
            let may = leg_state.policy().codecs.join(", ");
            format!("{} {verb} {has}, may use {may}", self.name_of(leg))
        };
        let (one, other) = (self.name_of(offerer), self.name_of(answerer));
        let (offered, answered) = (list(offerer, "has"), list(answerer, "took"));
        format!(
            "{of_offerer} with {one}, {of_answerer} with {other}: transcoded, no common codec ({offered}; {answered})"
        )
    }

    /// Describes the DTMF conversion between two legs; `None` if telephone-events are relayed unchanged or absent.
    pub(crate) fn said_of_keys(&self, stream: &AgreedStream, legs: [LegId; 2]) -> Option<String> {
        let events = |events: Option<(u8, u32)>| match events {
            Some((number, clock)) => format!("RFC 4733 {number}/{clock}"),
            None => "none".to_owned(),
        };
        let [one, other] = match &stream.own_events {
            Some(own) => {
                let own = [own.offerer.as_ref(), own.answerer.as_ref()];
                let says = |leg: LegId, own: Option<&EventPayloads>| match self[leg].dtmf() {
                    DtmfMode::Rfc4733 => events(own.map(|own| (own.takes, own.clock))),
                    DtmfMode::Info => "INFO".to_owned(),
                    DtmfMode::Inband => "tones".to_owned(),
                };
                [says(legs[0], own[0]), says(legs[1], own[1])]
            }
            None => {
                let (of_offerer, of_answerer) = *stream.converted.as_ref()?.to_answerer.as_ref()?.events.first()?;
                [events(Some(of_offerer)), events(Some(of_answerer))]
            }
        };
        Some(format!("keys: {one} with {} ↔ {other} with {}", self.name_of(legs[0]), self.name_of(legs[1])))
    }

    /// Describes the codecs of the caller and an agent.
    pub(crate) fn said_of_agent(&self, leg: LegId) -> String {
        let (caller, agent) = (self.near_leg(), &self[leg]);
        let (one, other) = (self.name_of(self.near), self.name_of(leg));
        let converted = if caller.converted_to.is_some() { ": converted" } else { "" };
        format!("media: {} with {one}, {} with {other}{converted}", caller.codec, agent.codec)
    }

    /// Traces the codec in use and the SRTP suite of each protected side.
    pub(crate) fn note_media(&mut self, now: Instant, edge: &mut Edge, legs: &[LegId], codec: &str) {
        let mut text = format!("media: {codec}");
        for leg in legs {
            let suite = self[*leg].suite();
            self[*leg].srtp = suite;
            if let Some(suite) = suite {
                text.push_str(&format!(", {} with {}", suite.as_str(), self.name_of(*leg)));
            }
        }
        edge.decide(now, self.key, text);
    }

    /// Adds `X-…` and User-to-User headers of the caller's INVITE as stream parameters with Twilio's names, if the
    /// caller's trunk allows that.
    pub(crate) fn add_headers(&self, headers: &[(String, String)], parameters: &mut Vec<(String, String)>) {
        let Some(trunk) = &self[LegId::CALLER].trunk else { return };
        let is_told = |name: &str| {
            let own = name.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("x-"));
            (own || name.eq_ignore_ascii_case("User-to-User")) && trunk.headers.lists(name)
        };
        let mut left = PARAMETER_HEADERS;
        for (name, value) in headers.iter().filter(|(name, _)| is_told(name)) {
            let name = format!("SipHeader_{name}");
            if left > 0 && !parameters.iter().any(|(known, _)| known.eq_ignore_ascii_case(&name)) {
                parameters.push((name, value.clone()));
                left -= 1;
            }
        }
    }
}

/// Returns the first forbidden media address of a description.
pub(crate) fn forbidden_address(edge: &Edge, leg: &Leg, description: &SessionDescription) -> Option<SocketAddr> {
    let signalling = leg.signalling();
    anchored_streams(description).into_iter().find_map(|index| {
        let media = description.media.get(index)?;
        let ip = media.connection.as_ref().or(description.connection.as_ref())?.ip()?;
        // RTCP may use another address (RFC 3605), and always another port.
        let rtcp = match media.rtcp() {
            Some((port, address)) => (port, address.map_or(Some(ip), |address| address.ip())),
            None => (media.port.saturating_add(1), Some(ip)),
        };
        let rtcp = rtcp.1.filter(|_| rtcp.0 != 0).map(|ip| SocketAddr::new(ip, rtcp.0));
        let both = [Some(SocketAddr::new(ip, media.port)), rtcp].into_iter().flatten();
        both.into_iter().find(|address| !is_usable(edge, *address, signalling))
    })
}

/// Returns whether media may be sent to an address from a description.
fn is_usable(edge: &Edge, address: SocketAddr, signalling: IpAddr) -> bool {
    let ip = address.ip().to_canonical();
    let (first, last) = edge.config().media_ports;
    let relays = (first..=last).contains(&address.port()) && edge.addressing().is_ours(ip);
    let own = relays && !signalling.to_canonical().is_loopback();
    ip.is_unspecified() || (edge.addressing().may_send_media_to(address, signalling) && !own)
}

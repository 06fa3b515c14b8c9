//! The values that a negotiation takes and gives: the policy of a side, what was agreed, what is converted, and how each
//! side sends its DTMF digits.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::payload::{is_edge_codec, is_g711};
use crate::description::{Description, Media};
use crate::direction::Direction;
use crate::format::{Rtpmap, parameter};

/// What one side's trunk may use of the codecs that the edge converts, in order: names of [`EDGE_CODECS`](super::EDGE_CODECS). Other payloads
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
    /// Whether the two sides press keys in different ways.
    pub(crate) fn parts_keys(&self) -> bool {
        self.dtmf_of_other.is_some_and(|other| other != self.dtmf)
    }

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
    /// The answerer's codec.
    pub fn codec_of_answerer(&self) -> &str {
        self.converted.as_ref().map_or(&self.codec, |converted| &converted.codec_of_answerer)
    }

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

/// Audio of one payload number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audio {
    /// Payload number.
    pub number: u8,
    /// Encoding name, as the edge writes it: `PCMU`, `PCMA`, `G722`, `opus`.
    pub codec: String,
    /// What its receiver's description says of Opus.
    pub opus: OpusParameters,
}

impl Audio {
    /// Of a payload number's lines.
    pub(crate) fn new(number: u8, map: &Rtpmap, fmtp: Option<&str>) -> Audio {
        Audio { number, codec: map.encoding.clone(), opus: OpusParameters::parse(fmtp) }
    }

    /// A section's codec that the edge speaks, the first of `codec`'s name.
    pub fn of(section: &Media, codec: &str) -> Option<Audio> {
        let all = section.payloads().into_iter().filter_map(|number| Audio::numbered(section, number));
        all.into_iter().find(|audio| audio.codec.eq_ignore_ascii_case(codec))
    }

    /// A section's payload number, where it is a codec that the edge speaks.
    pub fn numbered(section: &Media, number: u8) -> Option<Audio> {
        let map = section.rtpmap(number).filter(is_edge_codec)?;
        Some(Audio::new(number, &map, section.fmtp(number)))
    }
}

/// Parameters of Opus that its sender has to heed (RFC 7587 §6.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpusParameters {
    /// `maxplaybackrate`, in Hz.
    pub max_playback_rate: u32,
    /// `maxaveragebitrate`, in bits per second; 0 where none is set.
    pub max_average_bit_rate: u32,
    /// `useinbandfec`.
    pub use_in_band_fec: bool,
    /// `usedtx`.
    pub use_dtx: bool,
}

impl OpusParameters {
    /// Of an `a=fmtp` line's value.
    pub fn parse(fmtp: Option<&str>) -> OpusParameters {
        let number = |name: &str| parameter(fmtp, name).and_then(|value| value.parse().ok());
        let is_set = |name: &str| parameter(fmtp, name) == Some("1");
        OpusParameters {
            max_playback_rate: number("maxplaybackrate").unwrap_or(48_000),
            max_average_bit_rate: number("maxaveragebitrate").unwrap_or(0),
            use_in_band_fec: is_set("useinbandfec"),
            use_dtx: is_set("usedtx"),
        }
    }
}

/// One direction's audio that is converted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conversion {
    /// What the sender may send of it.
    pub from: Vec<Audio>,
    /// What the receiver is sent.
    pub to: Audio,
    /// Telephone-events: number and clock (Hz) as the sender has them, and as the receiver has them.
    pub events: Vec<((u8, u32), (u8, u32))>,
    /// Comfort noise: the sender's number, and the receiver's where it takes it.
    pub noise: Option<(u8, Option<u8>)>,
    /// Milliseconds of audio in a packet that the receiver asks for.
    pub ptime_ms: Option<u32>,
}

/// What of a stream is converted. Beside it, payloads that both sides share pass as they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Converted {
    /// From the offerer to the answerer.
    pub to_answerer: Option<Conversion>,
    /// From the answerer to the offerer.
    pub to_offerer: Option<Conversion>,
    /// The answerer's codec, for reports.
    pub codec_of_answerer: String,
}

/// How a side presses keys, and is told those of the other side.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Dtmf {
    /// Telephone-events (RFC 4733).
    #[default]
    Events,
    /// INFO in the dialog.
    Info,
    /// Tones in the audio.
    Tones,
}

/// A side's telephone-events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Events {
    /// The payload number that it wants them under.
    pub takes: u8,
    /// The numbers that it may send them under.
    pub sends: Vec<u8>,
    /// Their clock, in Hz.
    pub clock: u32,
}

/// The telephone-events of two sides that press keys in different ways.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnEvents {
    /// The offerer's, where it presses keys by them.
    pub offerer: Option<Events>,
    /// The answerer's.
    pub answerer: Option<Events>,
    /// Audio that passes as it is and that the edge could convert: as the offerer numbers it, and as the answerer does.
    #[serde(default)]
    pub audio: Vec<(Audio, Audio)>,
}

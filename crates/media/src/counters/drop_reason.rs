//! Reasons for which the edge drops a media packet.

use std::sync::atomic::{AtomicU32, Ordering};

use super::counter::Counter;

/// Reason why a packet was dropped; label of `rtp_dropped_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DropReason {
    /// The source is not the expected one.
    UnexpectedSource,
    /// The datagram is neither RTP nor RTCP.
    NotRtp,
    /// The packet's end is not wired to another end.
    NoWire,
    /// The payload type was not negotiated.
    UnknownPayload,
    /// The remote party has no address yet, or may not receive (hold).
    NoDestination,
    /// The negotiated direction does not allow the sender of the packet to send.
    NotSending,
    /// The operating system rejected the send.
    SendFailed,
    /// No packet buffer was free.
    NoBuffer,
    /// The SRTP authentication tag is wrong.
    SrtpAuth,
    /// SRTP replay: the packet was already received or is too old for the replay window.
    SrtpReplay,
    /// Plain packet from a remote party with SRTP: too short for a tag, or complete RTCP without one.
    SrtpPlain,
    /// More streams (SSRCs) under one key than allowed.
    SrtpStreams,
    /// Outgoing SRTP: the packet index was used before or is too old for the replay window.
    SrtpRepeated,
    /// Outgoing SRTP: the key is used up (RFC 3711 §9.2).
    SrtpSpent,
    /// Transcoding: a later packet was already converted, the packet is a duplicate, or its sequence number jumps and
    /// no second packet has confirmed the jump.
    Late,
    /// Transcoding: the payload cannot be decoded.
    Damaged,
    /// A DTMF digit replaces the packet.
    KeyPressed,
    /// Transcoding: more audio arrived, or was reported missing, than real time allows.
    TooFast,
    /// The address of the remote party is not proven yet (`RemoteSpec::withheld`).
    Withheld,
}

impl DropReason {
    /// Number of reasons in [`DropReason::ALL`].
    pub const COUNT: usize = 19;
    /// Every reason, for metrics and tests.
    pub const ALL: [DropReason; DropReason::COUNT] = [
        DropReason::UnexpectedSource,
        DropReason::NotRtp,
        DropReason::NoWire,
        DropReason::UnknownPayload,
        DropReason::NoDestination,
        DropReason::NotSending,
        DropReason::SendFailed,
        DropReason::NoBuffer,
        DropReason::SrtpAuth,
        DropReason::SrtpReplay,
        DropReason::SrtpPlain,
        DropReason::SrtpStreams,
        DropReason::SrtpRepeated,
        DropReason::SrtpSpent,
        DropReason::Late,
        DropReason::Damaged,
        DropReason::KeyPressed,
        DropReason::TooFast,
        DropReason::Withheld,
    ];
    /// SRTP reasons with their labels in `srtp_errors_total`.
    pub const SRTP: [(DropReason, &str); 6] = [
        (DropReason::SrtpAuth, "auth"),
        (DropReason::SrtpReplay, "replay"),
        (DropReason::SrtpPlain, "plain"),
        (DropReason::SrtpStreams, "streams"),
        (DropReason::SrtpRepeated, "repeated"),
        (DropReason::SrtpSpent, "spent"),
    ];
    /// Returns the label of the reason in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            DropReason::UnexpectedSource => "unexpected_source",
            DropReason::NotRtp => "not_rtp",
            DropReason::NoWire => "no_wire",
            DropReason::UnknownPayload => "unknown_payload",
            DropReason::NoDestination => "no_destination",
            DropReason::NotSending => "not_sending",
            DropReason::SendFailed => "send_failed",
            DropReason::NoBuffer => "no_buffer",
            DropReason::SrtpAuth => "srtp_auth",
            DropReason::SrtpReplay => "srtp_replay",
            DropReason::SrtpPlain => "srtp_plain",
            DropReason::SrtpStreams => "srtp_streams",
            DropReason::SrtpRepeated => "srtp_repeated",
            DropReason::SrtpSpent => "srtp_spent",
            DropReason::Late => "late",
            DropReason::Damaged => "damaged",
            DropReason::KeyPressed => "key_pressed",
            DropReason::TooFast => "too_fast",
            DropReason::Withheld => "withheld",
        }
    }

    /// Counts one drop in counters ordered as `ALL`, with a single writing thread.
    pub fn count_in(self, counters: &[Counter; DropReason::COUNT]) {
        if let Some(counter) = counters.get(self as usize) {
            counter.add_alone(1);
        }
    }
}

/// Dropped packets of one end by reason. Each number saturates at 2^32 - 1; 32 bits save memory, since an end keeps
/// these for a call and most are 0.
#[derive(Debug, Default)]
pub struct DropCounters([AtomicU32; DropReason::COUNT]);

impl DropCounters {
    /// Counts dropped packets; called by the end's worker only.
    pub fn add(&self, reason: DropReason, packets: u32) {
        if let Some(counter) = self.0.get(reason as usize) {
            counter.store(counter.load(Ordering::Relaxed).saturating_add(packets), Ordering::Relaxed);
        }
    }

    /// Returns the number of packets dropped for a reason.
    pub fn drop_count(&self, reason: DropReason) -> u64 {
        self.0.get(reason as usize).map_or(0, |counter| u64::from(counter.load(Ordering::Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_place_and_label() {
        let counters: [Counter; DropReason::COUNT] = Default::default();
        let mut labels = std::collections::BTreeSet::new();
        for (at, reason) in DropReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, at);
            reason.count_in(&counters);
            assert_eq!(counters[at].get(), 1);
            assert!(labels.insert(reason.as_str()));
            let srtp = DropReason::SRTP.iter().find(|(srtp, _)| *srtp == reason).map(|(_, label)| *label);
            assert_eq!(reason.as_str().strip_prefix("srtp_"), srtp);
        }
    }
}

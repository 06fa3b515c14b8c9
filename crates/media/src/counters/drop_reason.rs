//! Reasons to drop a packet.

use std::sync::atomic::{AtomicU32, Ordering};

use super::counter::Counter;

/// Reason why a packet was dropped: labels of `rtp_dropped_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DropReason {
    /// From a source that is not expected.
    UnexpectedSource,
    /// Neither RTP nor RTCP.
    NotRtp,
    /// Nothing is connected to the end.
    NoWire,
    /// A payload number that was not agreed.
    UnknownPayload,
    /// The far side has no address yet, or may not receive (hold).
    NoDestination,
    /// The direction agreed says that this side does not send.
    NotSending,
    /// The system refused the send.
    SendFailed,
    /// No free packet buffer.
    NoBuffer,
    /// From a far side that agreed to SRTP: does not authenticate.
    SrtpAuth,
    /// From such a far side: came before, or too late to tell.
    SrtpReplay,
    /// From such a far side: too short for a tag, or RTCP that is whole without one.
    SrtpPlain,
    /// Of one stream (SSRC) too many under one key.
    SrtpStreams,
    /// To be encrypted: its number was sent before, or is too old to tell.
    SrtpRepeated,
    /// To be encrypted: the key's last number was used (RFC 3711 §9.2).
    SrtpSpent,
    /// To be converted: what comes after it has been converted already, it came twice, or its number is a jump that no
    /// second packet has confirmed.
    Late,
    /// To be converted: cannot be decoded.
    Damaged,
    /// A key was pressed in its place.
    KeyPressed,
    /// To be converted: more audio came, or was said to be missing, than time goes by.
    TooFast,
    /// The address of the far side is not proven yet (`RemoteSpec::withheld`).
    Withheld,
}

impl DropReason {
    /// The number of reasons.
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
    /// Those of SRTP: labels of `srtp_errors_total`, with what they are called there.
    pub const SRTP: [(DropReason, &str); 6] = [
        (DropReason::SrtpAuth, "auth"),
        (DropReason::SrtpReplay, "replay"),
        (DropReason::SrtpPlain, "plain"),
        (DropReason::SrtpStreams, "streams"),
        (DropReason::SrtpRepeated, "repeated"),
        (DropReason::SrtpSpent, "spent"),
    ];
    /// The label.
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

    /// Counts one, in counters ordered as `ALL` that no other thread writes.
    pub fn count_in(self, counters: &[Counter; DropReason::COUNT]) {
        if let Some(counter) = counters.get(self as usize) {
            counter.add_alone(1);
        }
    }
}

/// Dropped packets of one end by reason. Each number stays at its top, 2^32 - 1: an end has these for a call, and most are 0.
#[derive(Debug, Default)]
pub struct Drops([AtomicU32; DropReason::COUNT]);

impl Drops {
    /// Counts some; called by the end's worker alone.
    pub fn add(&self, reason: DropReason, packets: u32) {
        if let Some(counter) = self.0.get(reason as usize) {
            counter.store(counter.load(Ordering::Relaxed).saturating_add(packets), Ordering::Relaxed);
        }
    }

    /// Reads one number.
    pub fn of(&self, reason: DropReason) -> u64 {
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

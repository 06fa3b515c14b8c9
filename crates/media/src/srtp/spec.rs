//! SRTP keys of an end, as signalling specifies them.

use std::num::NonZeroU32;

use super::key::SrtpKey;

/// SRTP keys of an end, one for each direction. Setting the same keys keeps roll-over counters and replay windows.
/// Counters continue under a changed key as well (RFC 3711 §3.3.1), except that those of sent streams restart at zero
/// if the remote party's address changed along with it (RFC 4568 §7.1.4); those of received streams may do either. No
/// two ends may share a `send` key.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SrtpSpec {
    /// Key that protects the packets sent by the edge.
    pub send: SrtpKey,
    /// Key of packets that the remote party sends.
    pub receive: SrtpKey,
    /// Maximum roll-overs of the remote party's sequence numbers before its first packet at this end, for a stream that
    /// another end received before; at most [`SRTP_ROLLED`](crate::limits::SRTP_ROLLED).
    #[serde(default)]
    pub rolled: u32,
    /// SSRCs of this process, and those that later processes may use under `send`; `None` if no other process continues
    /// the call.
    #[serde(default)]
    pub own_sources: Option<OwnSources>,
}

/// SSRCs that the processes which have a call in turn use under an SRTP key.
///
/// After a crash the indices that were used under the key are unknown, and no index may be used twice (RFC 3711 §9.1).
/// Each process therefore begins its streams under SSRCs that no process before it has used: its own ones differ from
/// those of the others, and every process avoids those of later ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct OwnSources {
    /// First SSRC of the first process, before [`mix`].
    base: u32,
    /// Number of processes that have had the call, including this one.
    processes: NonZeroU32,
}

impl OwnSources {
    /// SSRCs of a process. Each kind of packet has one.
    const PER_PROCESS: u32 = 4;
    /// Maximum number of processes that have a call in turn.
    const PROCESSES: u32 = 1 << 16;

    /// Returns the SSRCs of a process. `stream` names the stream and never changes; `process` is the number of
    /// processes before this one.
    pub fn new(stream: &str, process: u32) -> OwnSources {
        // FNV-1a, because the value has to be the same in all versions of the program. It is not secret.
        let base =
            stream.bytes().fold(0x811c_9dc5, |hash: u32, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        OwnSources { base, processes: NonZeroU32::MIN.saturating_add(process.min(Self::PROCESSES - 1)) }
    }

    /// Returns whether an earlier process may have sent packets under the key.
    pub fn is_resumed(self) -> bool {
        self.processes.get() > 1
    }

    /// Returns the SSRC of RTP.
    pub fn rtp(self) -> u32 {
        self.nth(0)
    }

    /// Returns the SSRC of reports before the first RTP packet.
    pub fn reports(self) -> u32 {
        self.nth(1)
    }

    /// Returns the SSRC of keep-alive packets.
    pub fn keep_alive(self) -> u32 {
        self.nth(2)
    }

    /// Returns whether an SSRC belongs to a later process, so that this one must not use it.
    pub fn is_later(self, ssrc: u32) -> bool {
        let place = unmix(ssrc).wrapping_sub(self.base);
        (self.processes.get()..Self::PROCESSES).contains(&(place / Self::PER_PROCESS))
    }

    fn nth(self, kind: u32) -> u32 {
        mix(self.base.wrapping_add((self.processes.get() - 1) * Self::PER_PROCESS + kind))
    }
}

/// Maps numbers to numbers that look random, and different ones to different ones (the finaliser of MurmurHash3).
const fn mix(mut number: u32) -> u32 {
    number ^= number >> 16;
    number = number.wrapping_mul(0x85eb_ca6b);
    number ^= number >> 13;
    number = number.wrapping_mul(0xc2b2_ae35);
    number ^ number >> 16
}

/// Inverse of [`mix`].
const fn unmix(mut number: u32) -> u32 {
    number ^= number >> 16;
    number = number.wrapping_mul(0x7ed1_b41d);
    number ^= number >> 13 ^ number >> 26;
    number = number.wrapping_mul(0xa5cb_9243);
    number ^ number >> 16
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn of(process: u32) -> [u32; 3] {
        let sources = OwnSources::new("CA00112233445566778899aabbccddeeff/0", process);
        [sources.rtp(), sources.reports(), sources.keep_alive()]
    }

    #[test]
    fn no_two_processes_share_an_ssrc() {
        let all: HashSet<u32> = (0..OwnSources::PROCESSES).flat_map(of).collect();
        assert_eq!(all.len(), 3 * OwnSources::PROCESSES as usize);
        assert_ne!(OwnSources::new("a/0", 1), OwnSources::new("a/1", 1));
    }

    #[test]
    fn the_sources_of_later_processes_are_reserved() {
        for process in [0, 1, 7, 1_000] {
            let own = OwnSources::new("CA00112233445566778899aabbccddeeff/0", process);
            for other in 0..2_000 {
                assert!(of(other).into_iter().all(|ssrc| own.is_later(ssrc) == (other > process)), "{process} {other}");
            }
        }
    }

    proptest! {
        #[test]
        fn mixing_is_undone(number in any::<u32>()) {
            prop_assert_eq!(unmix(mix(number)), number);
        }
    }
}

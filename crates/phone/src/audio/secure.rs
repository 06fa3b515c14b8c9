//! SRTP of one call of a test phone.

use std::net::SocketAddr;
use std::time::Instant;

use trunkgate_media::srtp::SrtpPair;
use trunkgate_media::{DropReason, PacketBuf, SrtpKey, SrtpSpec, Suite};
use trunkgate_sdp::crypto::InlineKey;
use trunkgate_sdp::keying::AgreedKeys;

/// SRTP state of a call, with counts of packets that could not be decrypted.
#[derive(Debug, Default)]
pub(crate) struct SrtpState {
    pair: Option<Box<SrtpPair>>,
    /// Whether SRTP was offered and the answer is pending; packets before the answer cannot be decrypted.
    awaits_keys: bool,
    buffer: PacketBuf,
    suite: Option<&'static str>,
    /// Number of packets received before their key.
    early: u64,
    /// Number of packets received twice.
    repeated: u64,
    /// Number of packets that failed authentication.
    refused: u64,
}

impl SrtpState {
    /// Records that SRTP was offered; the answer brings the remote key, or declines.
    pub(crate) fn await_keys(&mut self) {
        self.awaits_keys = true;
    }

    /// Records that the offer was rejected; the keys in force stay in use.
    pub(crate) fn keep_keys(&mut self) {
        self.awaits_keys = false;
    }

    /// Applies the agreed keys; `far` is the remote media address.
    pub(crate) fn agree(&mut self, now: Instant, far: Option<SocketAddr>, keys: Option<AgreedKeys>) {
        self.awaits_keys = false;
        self.suite = keys.as_ref().map(|keys| keys.suite.as_str());
        self.pair = SrtpPair::agree(now, self.pair.take(), far, keys.and_then(spec).as_ref());
    }

    /// Returns whether the audio is encrypted.
    pub(crate) fn is_on(&self) -> bool {
        self.pair.as_ref().is_some_and(|pair| pair.is_active())
    }

    /// Returns the name of the suite in force, as in a description.
    pub(crate) fn suite(&self) -> Option<&'static str> {
        self.suite.filter(|_| self.is_on())
    }

    /// Returns the number of packets that did not authenticate.
    pub(crate) fn refused(&self) -> u64 {
        self.refused
    }

    /// Encrypts a packet to send; without keys returns it unchanged. Returns `None` if encryption fails.
    pub(crate) fn seal(&mut self, rtcp: bool, packet: &[u8]) -> Option<&[u8]> {
        self.fill(packet)?;
        if let Some(pair) = &mut self.pair {
            pair.protect(rtcp, &mut self.buffer).ok()?;
        }
        Some(self.buffer.data())
    }

    /// Decrypts a received packet; without keys returns it unchanged. Returns `None` if the packet must be dropped,
    /// which is counted by reason.
    pub(crate) fn open(&mut self, now: Instant, rtcp: bool, packet: &[u8]) -> Option<&[u8]> {
        self.fill(packet)?;
        let opened = match &mut self.pair {
            Some(pair) => pair.unprotect(now, rtcp, &mut self.buffer),
            None => Ok(()),
        };
        match opened {
            Ok(()) if self.awaits_keys && self.pair.is_none() => self.early += 1,
            Ok(()) => return Some(self.buffer.data()),
            Err(DropReason::SrtpReplay) => self.repeated += 1,
            // The answer to a re-INVITE is pending.
            Err(_) if self.awaits_keys => self.early += 1,
            Err(_) => self.refused += 1,
        }
        None
    }

    fn fill(&mut self, packet: &[u8]) -> Option<()> {
        self.buffer.receive_area().get_mut(..packet.len())?.copy_from_slice(packet);
        self.buffer.set_len(packet.len());
        Some(())
    }
}

/// Converts negotiated keys to the specification of the media crate.
fn spec(keys: AgreedKeys) -> Option<SrtpSpec> {
    let _suite = Suite::ALL.into_iter().find(|suite| suite.as_str() == keys.suite.as_str())?;
    let key = |key: InlineKey| {
        let mki = key.mki.map(trunkgate_sdp::crypto::Mki::to_bytes);
        SrtpKey::new(keys.suite, &key.key_salt, mki.as_deref()).ok()
    };
    Some(SrtpSpec { send: key(keys.ours)?, receive: key(keys.theirs)?, rolled: 0, own_sources: None })
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // tests need an arbitrary start time
mod tests {
    use super::*;
    use crate::tone::{G711Codec, MarkedVoice};

    #[test]
    fn two_phones_hear_each_other_and_nobody_else_does() {
        let now = Instant::now();
        let key = |seed| InlineKey::new(vec![seed; 30]);
        let suite = Suite::AesCm128HmacSha1_80;
        let [there, back] =
            [(1, 2), (2, 1)].map(|(ours, theirs)| AgreedKeys { suite, ours: key(ours), theirs: key(theirs) });
        let (mut one, mut two, mut third) = (SrtpState::default(), SrtpState::default(), SrtpState::default());
        one.agree(now, None, Some(there.clone()));
        two.await_keys();
        let packet = MarkedVoice::new(7, G711Codec::Pcmu).packet(0, 0);
        let sealed = one.seal(false, &packet).unwrap().to_vec();
        assert_ne!(sealed, packet);
        assert_eq!(two.open(now, false, &sealed), None);
        two.agree(now, None, Some(back));
        assert_eq!(two.open(now, false, &sealed).unwrap(), packet);
        assert_eq!(two.open(now, false, &sealed), None);
        assert_eq!(two.open(now, false, &packet), None);
        assert_eq!((two.early, two.repeated, two.refused), (1, 2, 0));
        third.agree(now, None, Some(there));
        assert_eq!(third.open(now, false, &sealed), None);
        assert_eq!((third.refused, third.is_on()), (1, true));
        third.agree(now, None, None);
        assert_eq!(third.open(now, false, &packet).unwrap(), packet);
        assert_eq!(third.seal(false, &packet).unwrap(), packet);
    }
}

//! SRTP of one call of a phone.

use std::net::SocketAddr;
use std::time::Instant;

use trunkgate_media::srtp::Pair;
use trunkgate_media::{DropReason, PacketBuf, SrtpKey, SrtpSpec, Suite};
use trunkgate_sdp::crypto::InlineKey;
use trunkgate_sdp::keying::Keys;

/// How a call's audio is protected, and what did not open.
#[derive(Debug, Default)]
pub(crate) struct Secure {
    pair: Option<Box<Pair>>,
    /// SRTP was offered; what comes before the answer cannot be opened.
    awaits_keys: bool,
    buffer: PacketBuf,
    suite: Option<&'static str>,
    /// Packets that came before their key.
    early: u64,
    /// Packets that came again.
    repeated: u64,
    /// Packets that did not authenticate.
    refused: u64,
}

impl Secure {
    /// SRTP was offered: the answer brings the far side's key, or ends it.
    pub(crate) fn await_keys(&mut self) {
        self.awaits_keys = true;
    }

    /// The offer was refused: what was agreed before goes on.
    pub(crate) fn keep_keys(&mut self) {
        self.awaits_keys = false;
    }

    /// What was agreed; `far`: where the far side is.
    pub(crate) fn agree(&mut self, now: Instant, far: Option<SocketAddr>, keys: Option<Keys>) {
        self.awaits_keys = false;
        self.suite = keys.as_ref().map(|keys| keys.suite.as_str());
        self.pair = Pair::agree(now, self.pair.take(), far, keys.and_then(spec).as_ref());
    }

    /// Whether its audio is encrypted.
    pub(crate) fn is_on(&self) -> bool {
        self.pair.as_ref().is_some_and(|pair| pair.is_active())
    }

    /// The suite in force, by its name in a description.
    pub(crate) fn suite(&self) -> Option<&'static str> {
        self.suite.filter(|_| self.is_on())
    }

    /// Returns the number of packets that did not authenticate.
    pub(crate) fn refused(&self) -> u64 {
        self.refused
    }

    /// A packet as it leaves; `None` where it cannot.
    pub(crate) fn seal(&mut self, rtcp: bool, packet: &[u8]) -> Option<&[u8]> {
        self.fill(packet)?;
        if let Some(pair) = &mut self.pair {
            pair.protect(rtcp, &mut self.buffer).ok()?;
        }
        Some(self.buffer.data())
    }

    /// A packet as it is heard; `None` where it is not.
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
            // A re-INVITE's answer is on its way.
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

/// The same in the words of media.
fn spec(keys: Keys) -> Option<SrtpSpec> {
    let _suite = Suite::ALL.into_iter().find(|suite| suite.as_str() == keys.suite.as_str())?;
    let key = |key: InlineKey| {
        let mki = key.mki.map(trunkgate_sdp::crypto::Mki::to_bytes);
        SrtpKey::new(keys.suite, &key.key_salt, mki.as_deref()).ok()
    };
    Some(SrtpSpec { send: key(keys.ours)?, receive: key(keys.theirs)?, rolled: 0 })
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // a test's time has to begin somewhere
mod tests {
    use super::*;
    use crate::tone::{Codec, Voice};

    #[test]
    fn two_phones_hear_each_other_and_nobody_else_does() {
        let now = Instant::now();
        let key = |seed| InlineKey::new(vec![seed; 30]);
        let suite = Suite::AesCm128HmacSha1_80;
        let [there, back] = [(1, 2), (2, 1)].map(|(ours, theirs)| Keys { suite, ours: key(ours), theirs: key(theirs) });
        let (mut one, mut two, mut third) = (Secure::default(), Secure::default(), Secure::default());
        one.agree(now, None, Some(there.clone()));
        two.await_keys();
        let packet = Voice::new(7, Codec::Pcmu).packet(0, 0);
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

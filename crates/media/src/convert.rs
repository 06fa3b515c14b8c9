//! Wires between sides that speak different codecs: what the transcoder of a wire makes leaves as any packet does.

use std::time::Instant;

use crate::packet::PacketBuf;
use crate::session::{Session, Transmit};
use crate::spec::{EndId, WireSpec};
use crate::transcode::Transcoder;
use crate::voice::numbers;

impl Session {
    /// The next packet that the last one made besides the first, into `packet`: asked until `None` after each
    /// [`Self::handle_packet`] that gave one. Allocates nothing.
    pub fn poll_converted(&mut self, now: Instant, packet: &mut PacketBuf) -> Option<Transmit> {
        let at = self.converting?;
        self.next_converted(now, at, packet)
    }

    /// The next packet that leaves of what an end's transcoder has taken.
    pub(crate) fn next_converted(&mut self, now: Instant, at: usize, packet: &mut PacketBuf) -> Option<Transmit> {
        self.converting = Some(at);
        while let Some((rtp, feeder, clock_hz)) = self.ends.get_mut(at).and_then(|end| {
            let wire = end.wire.as_mut()?;
            let transcoder = wire.transcoder.as_deref_mut()?;
            let rtp = transcoder.poll(packet)?;
            Some((rtp, (transcoder.serial, wire.to), transcoder.clock_hz()))
        }) {
            match self.forward(now, feeder, clock_hz, rtp, packet) {
                Ok(transmit) => return Some(transmit),
                Err(reason) => self.dropped(at, reason),
            }
        }
        self.converting = None;
        None
    }

    /// What converts along a new wire: the one that does so already, where nothing of it changes.
    pub(crate) fn transcoder(&mut self, at: Option<usize>, to: EndId, spec: &WireSpec) -> Option<Box<Transcoder>> {
        let wanted = spec.transcode.as_deref()?;
        let before = self.ends.get_mut(at?)?.wire.take_if(|wire| wire.to == to);
        let before = before.and_then(|wire| wire.transcoder);
        before.filter(|transcoder| transcoder.spec() == wanted).or_else(|| {
            let serial = self.new_serial();
            Transcoder::new(wanted.clone(), serial, numbers(self.id(), to, serial)).map(Box::new)
        })
    }
}

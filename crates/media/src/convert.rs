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

    /// What converts along a new wire from the end at `at`: the one that does so already, where nothing of it changes;
    /// else one that goes on where the last one before the same sink ended.
    pub(crate) fn transcoder(&mut self, at: Option<usize>, to: EndId, spec: &WireSpec) -> Option<Box<Transcoder>> {
        let wanted = spec.transcode.as_deref()?;
        let mut ends = self.ends.iter_mut().enumerate();
        let before = ends.find_map(|(place, end)| Some((place, end.wire.take_if(|wire| wire.to == to)?)));
        let before = before.and_then(|(place, wire)| Some((place, wire.transcoder?)));
        match before {
            Some((place, transcoder)) if Some(place) == at && transcoder.spec() == wanted => Some(transcoder),
            before => {
                at?;
                let serial = self.new_serial();
                let before = before.map(|(_, before)| *before);
                Transcoder::after(before, wanted.clone(), serial, numbers(self.id(), to, serial)).map(Box::new)
            }
        }
    }
}

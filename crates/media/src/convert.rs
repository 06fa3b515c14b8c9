//! Wires between sides that speak different codecs: what the transcoder of a wire makes leaves as any packet does.

use std::sync::Arc;
use std::time::Instant;

use crate::agent_end::AgentEnd;
use crate::counters::{DropReason, WorkerCounters};
use crate::end::End;
use crate::packet::PacketBuf;
use crate::rtp::Rtp;
use crate::session::{Session, Transmit};
use crate::spec::{EndId, WireSpec};
use crate::transcode::{Coding, Encoding, TranscodeSpec, Transcoder};
use crate::voice::numbers;

/// A session among its worker's that convert audio, until it is dropped.
#[derive(Debug)]
pub(crate) struct Counted(Arc<WorkerCounters>);

impl Counted {
    fn new(worker: &Arc<WorkerCounters>) -> Counted {
        worker.transcoding.add(1);
        Counted(Arc::clone(worker))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.transcoding.sub(1);
    }
}

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

    /// Takes a packet of an end whose transcoder takes its payload number: the first packet that comes of it.
    ///
    /// # Errors
    /// Where it is of no use.
    pub(crate) fn convert(
        &mut self,
        now: Instant,
        at: usize,
        rtp: &Rtp,
        packet: &mut PacketBuf,
    ) -> Result<Option<Transmit>, DropReason> {
        let wire = self.ends.get_mut(at).and_then(|end| end.wire.as_mut()).ok_or(DropReason::NoWire)?;
        let (to, transcoder) = (wire.to, wire.transcoder.as_deref_mut().ok_or(DropReason::UnknownPayload)?);
        if transcoder.begins() {
            self.go_on_from_voice(at, to);
        }
        let wire = self.ends.get_mut(at).and_then(|end| end.wire.as_mut()).ok_or(DropReason::NoWire)?;
        let transcoder = wire.transcoder.as_deref_mut().ok_or(DropReason::UnknownPayload)?;
        transcoder.push(now, rtp, packet.data().get(rtp.payload.clone()).unwrap_or_default())?;
        if let Some((key, ms)) = wire.watch().and_then(|watch| watch.over.take()) {
            self.key_ended(now, at, key, ms);
        }
        Ok(self.next_converted(now, at, packet))
    }

    /// What is converted for an end that the edge itself has spoken to goes on from there, where its codec asks for it.
    fn go_on_from_voice(&mut self, at: usize, to: EndId) {
        let sink = self.ends.iter().find(|end| end.id == to);
        let twin = sink.and_then(|sink| sink.voice.as_ref()?.twin());
        let wire = self.ends.get_mut(at).and_then(|end| end.wire.as_mut());
        let transcoder = wire.and_then(|wire| wire.transcoder.as_deref_mut());
        let transcoder = transcoder.filter(|transcoder| transcoder.spec().to.1 == Coding::G722);
        if let Some((transcoder, twin)) = transcoder.zip(twin) {
            *transcoder.encoding() = twin;
        }
    }

    /// What codes on from where the audio of a far side stands that is converted for an end.
    pub(crate) fn twin_towards(&mut self, to: EndId) -> Option<Encoding> {
        let mut wires = self.ends.iter_mut().filter_map(|end| end.wire.as_mut());
        wires.find(|wire| wire.to == to)?.transcoder.as_deref_mut()?.encoding().twin()
    }

    /// What converts along a new wire from the end at `at`: the one that does so already, where nothing of it changes;
    /// else one that goes on where the last one before the same sink ended. Where audio passes as it is there is none yet:
    /// many say of a second codec that they may send it, and hardly anybody does.
    pub(crate) fn transcoder(&mut self, at: Option<usize>, to: EndId, spec: &WireSpec) -> Option<Box<Transcoder>> {
        let wanted = spec.transcode.as_deref()?;
        let mut ends = self.ends.iter_mut().enumerate();
        let before = ends.find_map(|(place, end)| Some((place, end.wire.take_if(|wire| wire.to == to)?)));
        let before = before.and_then(|(place, wire)| Some((place, wire.transcoder?)));
        match before {
            Some((place, transcoder)) if Some(place) == at && transcoder.spec() == wanted => Some(transcoder),
            _ if !spec.payloads.is_empty() && !spec.listens_for_tones() => None,
            before => {
                at?;
                self.new_transcoder(before.map(|(_, before)| *before), to, wanted)
            }
        }
    }

    /// Makes what converts along a wire that has passed all as it was, where it may take a payload number: allocates, once.
    pub(crate) fn begin_converting(&mut self, at: usize, number: u8) -> bool {
        let wire = self.ends.get(at).and_then(|end| end.wire.as_ref()).filter(|wire| wire.transcoder.is_none());
        let Some(wire) = wire else { return false };
        let Some(spec) = wire.spec().transcode.as_deref().filter(|spec| spec.converts(number)) else { return false };
        let (to, spec) = (wire.to, spec.clone());
        let transcoder = self.new_transcoder(None, to, &spec);
        let Some(wire) = self.ends.get_mut(at).and_then(|end| end.wire.as_mut()) else { return false };
        wire.transcoder = transcoder;
        let begins = wire.transcoder.is_some();
        self.count_transcoding();
        begins
    }

    /// Counts it in its worker while it converts audio, between two sides or for whoever listens.
    pub(crate) fn count_transcoding(&mut self) {
        let converts = |end: &End| end.wire.as_ref().is_some_and(|wire| wire.transcoder.is_some());
        let is_converting = self.ends.iter().any(converts) || self.agents.iter().any(AgentEnd::decodes);
        let worker = self.shared.worker.as_ref().filter(|_| is_converting);
        match worker {
            Some(worker) if self.transcoding.is_none() => self.transcoding = Some(Counted::new(worker)),
            Some(_) => {}
            None => self.transcoding = None,
        }
    }

    fn new_transcoder(
        &mut self,
        before: Option<Transcoder>,
        to: EndId,
        spec: &TranscodeSpec,
    ) -> Option<Box<Transcoder>> {
        let serial = self.new_serial();
        Transcoder::after(before, spec.clone(), serial, numbers(self.id(), to, serial)).map(Box::new)
    }
}

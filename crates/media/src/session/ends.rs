//! The RTP ends of a session, and the wires between them.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use crate::codec::{Coding, Encoding};
use crate::counters::{DropReason, EndCounters, Shared};
use crate::listening::Listener;
use crate::playout::Feed;
use crate::rtp::StreamStart;
use crate::spec::{EndId, EndSpec, MediaId, WireSpec};
use crate::transcode::{TranscodeSpec, Transcoder};

use super::cx::Cx;
use super::end::End;
use super::gauge::TranscodingGauge;
use super::snapshot::{EndSnapshot, SessionSnapshot};
use super::wire::Wire;

/// The place of an end among those of its session, until one is added or removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot(usize);

/// All RTP ends of a session.
#[derive(Debug)]
pub(super) struct Ends {
    session: MediaId,
    all: Vec<End>,
    /// The number of the next feeder.
    next_serial: u32,
    /// The end whose last packet may have made more than one.
    converting: Option<Slot>,
    gauge: TranscodingGauge,
}

impl Ends {
    /// Creates a session's ends: none.
    pub(super) fn new(session: MediaId) -> Ends {
        let (all, gauge) = (Vec::with_capacity(2), TranscodingGauge::default());
        Ends { session, all, next_serial: 0, converting: None, gauge }
    }

    /// Writes ends and wires into a snapshot.
    pub(super) fn snapshot(&self, idle_timeout_ms: u64) -> SessionSnapshot {
        SessionSnapshot {
            id: self.session,
            idle_timeout_ms,
            next_serial: self.next_serial,
            ends: self.all.iter().map(End::snapshot).collect(),
            wires: self.all.iter().filter_map(End::wired).collect(),
        }
    }

    /// Restores ends from plain data, without their wires.
    pub(super) fn restore(now: Instant, session: MediaId, next_serial: u32, ends: Vec<EndSnapshot>) -> Ends {
        let all = ends.into_iter().map(|end| End::restore(now, end)).collect();
        Ends { all, next_serial, ..Ends::new(session) }
    }

    /// Returns the end whose last packet may have made more than one.
    pub(super) fn converting(&self) -> Option<Slot> {
        self.converting
    }

    /// Sets the same.
    pub(super) fn set_converting(&mut self, at: Option<Slot>) {
        self.converting = at;
    }

    /// Returns how many there are.
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// Returns the place of an end.
    pub(super) fn slot(&self, id: EndId) -> Option<Slot> {
        self.all.iter().position(|end| end.id() == id).map(Slot)
    }

    /// Lists the places of all ends.
    pub(super) fn slots(&self) -> impl Iterator<Item = Slot> + use<> {
        (0..self.all.len()).map(Slot)
    }

    /// Returns the end at a place.
    pub(super) fn get(&self, at: Slot) -> Option<&End> {
        self.all.get(at.0)
    }

    /// Returns the same, to be changed.
    pub(super) fn get_mut(&mut self, at: Slot) -> Option<&mut End> {
        self.all.get_mut(at.0)
    }

    /// Returns the end of a name.
    pub(super) fn named(&self, id: EndId) -> Option<&End> {
        self.all.iter().find(|end| end.id() == id)
    }

    /// Returns the same, to be changed.
    pub(super) fn named_mut(&mut self, id: EndId) -> Option<&mut End> {
        self.all.iter_mut().find(|end| end.id() == id)
    }

    /// Lists all ends.
    pub(super) fn iter(&self) -> impl Iterator<Item = &End> {
        self.all.iter()
    }

    /// Lists the same, to be changed.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut End> {
        self.all.iter_mut()
    }

    /// Lists names and addresses.
    pub(super) fn binds(&self) -> impl Iterator<Item = (EndId, SocketAddr)> {
        self.all.iter().map(|end| (end.id(), end.bind()))
    }

    /// Returns the counters of an end.
    pub(super) fn counters(&self, id: EndId) -> Option<&Arc<EndCounters>> {
        self.named(id).map(End::counters)
    }

    /// Counts a packet that was dropped at an end.
    pub(super) fn count_dropped(&self, shared: &Shared, at: Slot, reason: DropReason) {
        if let Some(end) = self.get(at) {
            shared.count_dropped(end.counters(), reason);
        }
    }

    /// Adds an end.
    pub(super) fn add(&mut self, now: Instant, id: EndId, spec: EndSpec) {
        let serial = self.new_serial();
        self.all.push(End::new(now, id, serial, spec.bind, spec.counters));
    }

    /// Removes an end and what it counts; returns its RTP port.
    pub(super) fn remove(&mut self, shared: &Shared, id: EndId) -> Option<u16> {
        let at = self.slot(id)?;
        let end = self.all.remove(at.0);
        end.count_rest(shared);
        Some(end.bind().port())
    }

    /// Takes an end out, and returns it with the number of the next feeder.
    pub(super) fn release(&mut self, id: EndId) -> Option<(End, u32)> {
        let at = self.slot(id)?;
        self.converting = None;
        Some((self.all.remove(at.0), self.next_serial))
    }

    /// Takes in an end of another session, whose feeders had numbers below `next_serial`.
    pub(super) fn adopt(&mut self, id: EndId, end: End, next_serial: u32) {
        self.next_serial = self.next_serial.max(next_serial);
        let serial = self.new_serial();
        self.all.push(end.moved(id, serial));
    }

    /// Returns the numbers of a new feeder of an end. They differ from those of other streams, and are not secret.
    pub(super) fn new_start(&mut self, to: EndId) -> StreamStart {
        let serial = self.new_serial();
        let mut hasher = DefaultHasher::new();
        (self.session.0, to.0, serial).hash(&mut hasher);
        let ssrc = hasher.finish();
        serial.hash(&mut hasher);
        let numbers = hasher.finish();
        // Truncation is meant: each takes its own bits. The first number is far from rolling over, so that a remote
        // party that misses the beginning still counts right (RFC 3711 §3.3.1).
        let (ssrc, sequence, timestamp) = (ssrc as u32, numbers as u16 & 0x7fff, (numbers >> 32) as u32);
        StreamStart { serial, ssrc, sequence, timestamp }
    }

    fn new_serial(&mut self) -> u32 {
        let serial = self.next_serial;
        self.next_serial = self.next_serial.wrapping_add(1);
        serial
    }

    /// Lets the agent or recorder `id` listen to an end; it listens to one end at a time: two would be one stream in turn.
    pub(super) fn listen(&mut self, of: Slot, listener: Listener, id: EndId) {
        self.stop_listening(id);
        if let Some(end) = self.get_mut(of) {
            end.add_listener(listener);
        }
    }

    /// Takes a listener away from all ends.
    pub(super) fn stop_listening(&mut self, id: EndId) {
        self.iter_mut().for_each(|end| end.remove_listener(id));
    }

    /// Connects an end to `to`.
    pub(super) fn connect(
        &mut self,
        now: Instant,
        from: Slot,
        to: EndId,
        spec: WireSpec,
        transcoder: Option<Box<Transcoder>>,
    ) {
        let Some(end) = self.get_mut(from) else { return };
        end.connect(Wire::new(to, spec).converting(transcoder).watching(now));
        if let Some(playout) = self.named_mut(to).and_then(End::playout_mut) {
            playout.hurry(now);
        }
    }

    /// Takes away the wires for which `cut(from, to)` holds.
    pub(super) fn disconnect(&mut self, cut: impl Fn(EndId, EndId) -> bool) {
        for end in &mut self.all {
            let from = end.id();
            end.disconnect(|to| cut(from, to));
        }
    }

    /// Feeds an end by an agent or a player.
    pub(super) fn feed(&mut self, begins: Instant, start: StreamStart, feed: Feed) {
        if let Some(end) = self.named_mut(feed.to) {
            end.feed(begins, start, feed);
        }
    }

    /// Lets an end's own stream go on from the encoder of a remote party that fed it before.
    pub(super) fn go_on_from(&mut self, twin: Option<Encoding>, to: EndId) {
        let playout = self.named_mut(to).and_then(End::playout_mut);
        if let Some((playout, twin)) = playout.zip(twin) {
            playout.go_on_from(twin);
        }
    }

    /// Returns the end that this one's RTCP is passed to: where the two feed each other and neither stream was changed.
    pub(super) fn passes_rtcp_to(&self, at: Slot) -> Option<Slot> {
        let end = self.get(at)?;
        let sink = self.slot(end.wire()?.to())?;
        let other = self.get(sink)?;
        (other.feeds(end.id()) && end.is_unchanged() && other.is_unchanged()).then_some(sink)
    }

    /// Returns whether audio is sent to an end at present: by the remote party of another end, or by the edge itself.
    pub(super) fn is_sent_to(&self, now: Instant, at: Slot) -> bool {
        let Some(end) = self.get(at) else { return false };
        end.playout().is_some() || self.all.iter().any(|other| other.feeds(end.id()) && other.is_sending(now))
    }

    /// Returns the transcoder of the audio that leads to an end.
    pub(super) fn transcoder_towards(&mut self, to: EndId) -> Option<&mut Transcoder> {
        self.all.iter_mut().find(|end| end.feeds(to))?.wire_mut()?.transcoder_mut()
    }

    /// Returns an encoder that goes on from the audio of a remote party that is converted for an end.
    pub(super) fn twin_towards(&mut self, to: EndId) -> Option<Encoding> {
        self.transcoder_towards(to)?.encoding().twin()
    }

    /// Returns the encoder of the audio that leads to an end, where it is one of `coding`.
    pub(super) fn encoding_towards(&mut self, to: EndId, coding: Coding) -> Option<&mut Encoding> {
        let transcoder = self.transcoder_towards(to)?;
        (transcoder.spec().to.1 == coding).then(|| transcoder.encoding())
    }

    /// Returns the transcoder of a new wire from the end at `at`: the one that does so already, where nothing of it
    /// changes; else one that goes on where the last one before the same sink ended. Where audio passes as it is there
    /// is none yet: many say of a second codec that they may send it, and hardly any does.
    pub(super) fn transcoder(&mut self, at: Option<Slot>, to: EndId, spec: &WireSpec) -> Option<Box<Transcoder>> {
        let wanted = spec.transcode.as_deref()?;
        let mut ends = self.all.iter_mut().enumerate();
        let before = ends.find_map(|(place, end)| Some((Slot(place), end.disconnect(|sink| sink == to)?)));
        let before = before.and_then(|(place, wire)| Some((place, wire.into_transcoder()?)));
        match before {
            Some((place, transcoder)) if Some(place) == at && transcoder.spec() == wanted => Some(transcoder),
            _ if !spec.payloads.is_empty() && !spec.listens_for_tones() => None,
            before => {
                at?;
                self.new_transcoder(before.map(|(_, before)| *before), to, wanted)
            }
        }
    }

    /// Makes the transcoder of a wire that has passed all audio as it was, where it may take a payload number:
    /// allocates, once.
    pub(super) fn begin_converting(&mut self, cx: &Cx<'_>, at: Slot, number: u8) -> bool {
        let wire = self.get(at).and_then(End::wire).filter(|wire| !wire.is_converting());
        let Some(wire) = wire else { return false };
        let Some(spec) = wire.spec().transcode.as_deref().filter(|spec| spec.converts(number)) else { return false };
        let (to, spec) = (wire.to(), spec.clone());
        let transcoder = self.new_transcoder(None, to, &spec);
        let Some(wire) = self.get_mut(at).and_then(End::wire_mut) else { return false };
        let begins = wire.begin_converting(transcoder);
        self.count_transcoding(cx);
        begins
    }

    /// Counts the session in its worker while it converts audio, between two sides or for an agent.
    pub(super) fn count_transcoding(&mut self, cx: &Cx<'_>) {
        let decodes = cx.agents.decode()
            || cx.recorders.decode()
            || cx.streamers.decode()
            || cx.judges.decode()
            || cx.seats.decode();
        let is_converting = self.iter().any(End::is_converting) || decodes;
        self.gauge.set(cx.shared.worker.as_ref().filter(|_| is_converting));
    }

    fn new_transcoder(
        &mut self,
        before: Option<Transcoder>,
        to: EndId,
        spec: &TranscodeSpec,
    ) -> Option<Box<Transcoder>> {
        let start = self.new_start(to);
        Transcoder::after(before, spec.clone(), start).map(Box::new)
    }
}

//! RTP ends of a session, and the wires between them.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use crate::codec::{PayloadCodec, SinkEncoder};
use crate::counters::{DropReason, EndCounters, SharedCounters};
use crate::listening::EndListener;
use crate::playout::Feed;
use crate::rtp::StreamStart;
use crate::spec::{EndId, EndSpec, MediaId, WireSpec};
use crate::transcode::{TranscodeSpec, Transcoder};

use super::cx::SessionCx;
use super::end::RtpEnd;
use super::gauge::TranscodingGauge;
use super::snapshot::{EndSnapshot, SessionSnapshot};
use super::wire::CompiledWire;

/// Position of an end in its session, valid until an end is added or removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct EndIndex(usize);

/// RTP ends of a session, with the wires from each.
#[derive(Debug)]
pub(super) struct RtpEnds {
    session: MediaId,
    all: Vec<RtpEnd>,
    /// Serial number of the next feeder.
    next_serial: u32,
    /// Random number of the process, from which the initial numbers of generated streams are derived.
    salt: u32,
    /// End with a transcoder that may still hold packets.
    converting: Option<EndIndex>,
    gauge: TranscodingGauge,
}

impl RtpEnds {
    /// Creates a list without ends.
    pub(super) fn new(session: MediaId) -> RtpEnds {
        let (all, gauge) = (Vec::with_capacity(2), TranscodingGauge::default());
        RtpEnds { session, all, next_serial: 0, salt: 0, converting: None, gauge }
    }

    /// Serializes ends and wires.
    pub(super) fn snapshot(&self, idle_timeout_ms: u64) -> SessionSnapshot {
        SessionSnapshot {
            id: self.session,
            idle_timeout_ms,
            next_serial: self.next_serial,
            ends: self.all.iter().map(RtpEnd::snapshot).collect(),
            wires: self.all.iter().filter_map(RtpEnd::wired).collect(),
            players: Vec::new(),
        }
    }

    /// Restores ends from a snapshot, without their wires.
    pub(super) fn restore(
        now: Instant,
        session: MediaId,
        next_serial: u32,
        ends: impl IntoIterator<Item = (EndSnapshot, Arc<EndCounters>)>,
    ) -> RtpEnds {
        let all = ends.into_iter().map(|(end, counters)| RtpEnd::restore(now, end, counters)).collect();
        RtpEnds { all, next_serial, ..RtpEnds::new(session) }
    }

    /// Returns the end with a transcoder that may still hold packets.
    pub(super) fn converting(&self) -> Option<EndIndex> {
        self.converting
    }

    /// Sets the end with a transcoder that may still hold packets.
    pub(super) fn set_converting(&mut self, at: Option<EndIndex>) {
        self.converting = at;
    }

    /// Returns the number of ends.
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// Returns the index of an end; `None` if the session has no such end.
    pub(super) fn slot(&self, id: EndId) -> Option<EndIndex> {
        self.all.iter().position(|end| end.id() == id).map(EndIndex)
    }

    /// Lists the indices of all ends.
    pub(super) fn slots(&self) -> impl Iterator<Item = EndIndex> + use<> {
        (0..self.all.len()).map(EndIndex)
    }

    /// Returns the end at an index.
    pub(super) fn get(&self, at: EndIndex) -> Option<&RtpEnd> {
        self.all.get(at.0)
    }

    /// Returns the end at an index, mutably.
    pub(super) fn get_mut(&mut self, at: EndIndex) -> Option<&mut RtpEnd> {
        self.all.get_mut(at.0)
    }

    /// Returns an end by its id.
    pub(super) fn named(&self, id: EndId) -> Option<&RtpEnd> {
        self.all.iter().find(|end| end.id() == id)
    }

    /// Returns an end by its id, mutably.
    pub(super) fn named_mut(&mut self, id: EndId) -> Option<&mut RtpEnd> {
        self.all.iter_mut().find(|end| end.id() == id)
    }

    /// Iterates over the ends.
    pub(super) fn iter(&self) -> impl Iterator<Item = &RtpEnd> {
        self.all.iter()
    }

    /// Iterates over the ends with mutable access.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut RtpEnd> {
        self.all.iter_mut()
    }

    /// Lists the ends with their local addresses.
    pub(super) fn binds(&self) -> impl Iterator<Item = (EndId, SocketAddr)> {
        self.all.iter().map(|end| (end.id(), end.bind()))
    }

    /// Returns the counters of an end; `None` if the session has no such end.
    pub(super) fn counters(&self, id: EndId) -> Option<&Arc<EndCounters>> {
        self.named(id).map(RtpEnd::counters)
    }

    /// Counts a packet dropped at an end.
    pub(super) fn count_dropped(&self, shared: &SharedCounters, at: EndIndex, reason: DropReason) {
        if let Some(end) = self.get(at) {
            shared.count_dropped(end.counters(), reason);
        }
    }

    /// Adds an end without a remote party.
    pub(super) fn add(&mut self, now: Instant, id: EndId, spec: EndSpec) {
        let serial = self.new_serial();
        self.all.push(RtpEnd::new(now, id, serial, spec.bind, spec.counters));
    }

    /// Removes an end and counts its last losses; returns its RTP port.
    pub(super) fn remove(&mut self, shared: &SharedCounters, id: EndId) -> Option<u16> {
        let at = self.slot(id)?;
        let end = self.all.remove(at.0);
        end.count_rest(shared);
        Some(end.bind().port())
    }

    /// Removes an end for a move to another session; returns it with the serial number of the next feeder.
    pub(super) fn release(&mut self, id: EndId) -> Option<(RtpEnd, u32)> {
        let at = self.slot(id)?;
        self.converting = None;
        Some((self.all.remove(at.0), self.next_serial))
    }

    /// Adds an end that was released by another session, in which feeders have serial numbers below `next_serial`.
    pub(super) fn adopt(&mut self, id: EndId, end: RtpEnd, next_serial: u32) {
        self.next_serial = self.next_serial.max(next_serial);
        let serial = self.new_serial();
        self.all.push(end.moved(id, serial));
    }

    /// Sets the random number from which initial numbers of streams are derived.
    pub(super) fn set_salt(&mut self, salt: u32) {
        self.salt = salt;
    }

    /// Returns initial numbers of a new feeder's stream. They differ from those of other streams, including those that
    /// a predecessor process had in a session of the same id, and are not secret.
    pub(super) fn new_start(&mut self, to: EndId) -> StreamStart {
        let serial = self.new_serial();
        let mut hasher = DefaultHasher::new();
        (self.salt, self.session.0, to.0, serial).hash(&mut hasher);
        let ssrc = hasher.finish();
        serial.hash(&mut hasher);
        let numbers = hasher.finish();
        // Truncation is intended: each value uses its own bits. The first number is far from rolling over, so that a
        // remote party that misses the beginning still has the right roll-over count (RFC 3711 §3.3.1).
        let (ssrc, sequence, timestamp) = (ssrc as u32, numbers as u16 & 0x7fff, (numbers >> 32) as u32);
        StreamStart { serial, ssrc, sequence, timestamp }
    }

    fn new_serial(&mut self) -> u32 {
        let serial = self.next_serial;
        self.next_serial = self.next_serial.wrapping_add(1);
        serial
    }

    /// Attaches the listener `id` to an end. A listener has one end at a time, because two would alternate in one
    /// stream.
    pub(super) fn listen(&mut self, of: EndIndex, listener: EndListener, id: EndId) {
        self.stop_listening(id);
        if let Some(end) = self.get_mut(of) {
            end.add_listener(listener);
        }
    }

    /// Removes a listener from all ends.
    pub(super) fn stop_listening(&mut self, id: EndId) {
        self.iter_mut().for_each(|end| end.remove_listener(id));
    }

    /// Wires an end to the end `to`; a frame that fades out in the generated stream of `to` is sent at once.
    pub(super) fn connect(
        &mut self,
        now: Instant,
        from: EndIndex,
        to: EndId,
        spec: WireSpec,
        transcoder: Option<Box<Transcoder>>,
    ) {
        let Some(end) = self.get_mut(from) else { return };
        end.connect(CompiledWire::new(to, spec).converting(transcoder).watching(now));
        if let Some(playout) = self.named_mut(to).and_then(RtpEnd::playout_mut) {
            playout.hurry(now);
        }
    }

    /// Removes the wire between two ends if `cut(from, to)` is true for them.
    pub(super) fn disconnect(&mut self, cut: impl Fn(EndId, EndId) -> bool) {
        for end in &mut self.all {
            let from = end.id();
            end.disconnect(|to| cut(from, to));
        }
    }

    /// Feeds an end from an agent or a player.
    pub(super) fn feed(&mut self, begins: Instant, start: StreamStart, feed: Feed) {
        if let Some(end) = self.named_mut(feed.to) {
            end.feed(begins, start, feed);
        }
    }

    /// Continues the generated stream of `to` with the encoder state `twin` of the remote party that fed `to` before.
    pub(super) fn go_on_from(&mut self, twin: Option<SinkEncoder>, to: EndId) {
        let playout = self.named_mut(to).and_then(RtpEnd::playout_mut);
        if let Some((playout, twin)) = playout.zip(twin) {
            playout.go_on_from(twin);
        }
    }

    /// Returns the end to which the RTCP of the end at `at` is forwarded: the two feed each other, and neither stream
    /// was changed.
    pub(super) fn passes_rtcp_to(&self, at: EndIndex) -> Option<EndIndex> {
        let end = self.get(at)?;
        let sink = self.slot(end.wire()?.to())?;
        let other = self.get(sink)?;
        (other.feeds(end.id()) && end.is_unchanged() && other.is_unchanged()).then_some(sink)
    }

    /// Returns whether audio is currently sent to an end, by another remote party or by the edge.
    pub(super) fn is_sent_to(&self, now: Instant, at: EndIndex) -> bool {
        let Some(end) = self.get(at) else { return false };
        end.playout().is_some() || self.all.iter().any(|other| other.feeds(end.id()) && other.is_sending(now))
    }

    /// Returns the transcoder of the wire that feeds `to`.
    pub(super) fn transcoder_towards(&mut self, to: EndId) -> Option<&mut Transcoder> {
        self.all.iter_mut().find(|end| end.feeds(to))?.wire_mut()?.transcoder_mut()
    }

    /// Returns an encoder that continues the audio transcoded for `to`, if the codec has state.
    pub(super) fn twin_towards(&mut self, to: EndId) -> Option<SinkEncoder> {
        self.transcoder_towards(to)?.encoding().twin()
    }

    /// Returns the encoder of the wire that feeds `to`, if its codec is `coding`.
    pub(super) fn encoding_towards(&mut self, to: EndId, coding: PayloadCodec) -> Option<&mut SinkEncoder> {
        let transcoder = self.transcoder_towards(to)?;
        (transcoder.spec().to.1 == coding).then(|| transcoder.encoding())
    }

    /// Returns the transcoder for a new wire from the end at `at`: the existing one if nothing changes, otherwise one
    /// that continues from the previous transcoder to the same sink. If a codec passes unchanged, none is created
    /// yet, because many remote parties offer a second codec and hardly any uses it.
    pub(super) fn transcoder(&mut self, at: Option<EndIndex>, to: EndId, spec: &WireSpec) -> Option<Box<Transcoder>> {
        let wanted = spec.transcode.as_deref()?;
        let mut ends = self.all.iter_mut().enumerate();
        let before = ends.find_map(|(place, end)| Some((EndIndex(place), end.disconnect(|sink| sink == to)?)));
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

    /// Starts transcoding on the path of an end that has passed all audio unchanged, if the path may convert this
    /// payload type; returns whether transcoding started. Allocates once.
    pub(super) fn begin_converting(&mut self, cx: &SessionCx<'_>, at: EndIndex, number: u8) -> bool {
        let wire = self.get(at).and_then(RtpEnd::wire).filter(|wire| !wire.is_converting());
        let Some(wire) = wire else { return false };
        let Some(spec) = wire.spec().transcode.as_deref().filter(|spec| spec.converts(number)) else { return false };
        let (to, spec) = (wire.to(), spec.clone());
        let transcoder = self.new_transcoder(None, to, &spec);
        let Some(wire) = self.get_mut(at).and_then(RtpEnd::wire_mut) else { return false };
        let begins = wire.begin_converting(transcoder);
        self.count_transcoding(cx);
        begins
    }

    /// Updates the worker's gauge of transcoding sessions: this session counts while it transcodes between ends or
    /// decodes for an agent or a listener.
    pub(super) fn count_transcoding(&mut self, cx: &SessionCx<'_>) {
        let decodes = cx.agents.decode() || cx.listeners.decode();
        let is_converting = self.iter().any(RtpEnd::is_converting) || decodes;
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

//! Recorders of a session, and the recorded audio for the writer of their files.

use std::collections::VecDeque;
use std::time::Instant;

use trunkgate_terms::{Recorded, RecordingId, RecordingPause};

use crate::spec::{EndId, MediaEvent, RecorderEvent, RecorderSpec, TapSpec};

use super::listener::{EndListener, TrackPacket};
use super::recorder::{Recorder, RecorderSnapshot};

/// All recorders of a session.
#[derive(Debug, Default)]
pub(crate) struct SessionRecorders {
    /// Active recorders, and ended ones with audio not passed to the file writer yet. Allocated with the first
    /// recorder, to keep each session small.
    list: Option<Box<RecorderList>>,
}

#[derive(Debug, Default)]
struct RecorderList {
    all: Vec<Recorder>,
}

impl SessionRecorders {
    /// Adds a recorder that records from now on.
    pub(crate) fn add(&mut self, now: Instant, id: EndId, spec: &RecorderSpec) {
        self.list.get_or_insert_default().all.push(Recorder::new(now, id, spec));
    }

    /// Passes all recorded audio to `take`, also of incomplete blocks, and removes and returns the recorders, which
    /// continue in another process.
    pub(crate) fn suspend(
        &mut self,
        now: Instant,
        mut take: impl FnMut(RecordingId, Recorded<'_>),
    ) -> Vec<RecorderSnapshot> {
        self.drain(&mut take);
        let all = self.list.iter_mut().flat_map(|list| &mut list.all);
        all.map(|recorder| {
            recorder.release_decoders(now);
            recorder.drain(true, &mut take);
            recorder.snapshot(now)
        })
        .collect()
    }

    /// Restores recorders; `now` is the time of their snapshots.
    pub(crate) fn restore(&mut self, now: Instant, recorders: Vec<RecorderSnapshot>) {
        if !recorders.is_empty() {
            let restored = recorders.into_iter().map(|recorder| Recorder::restore(now, recorder));
            self.list.get_or_insert_default().all.extend(restored);
        }
    }

    /// Ends a recorder and reports its length; its last audio follows by [`Self::drain`].
    pub(crate) fn remove(&mut self, now: Instant, id: EndId, events: &mut VecDeque<MediaEvent>) {
        if let Some(recorder) = self.get_mut(id) {
            recorder.end(now);
            let (frames, sound) = (recorder.frames(), recorder.sound());
            events.push_back(MediaEvent::Recorder { end: id, event: RecorderEvent::Ended { frames, sound } });
        }
    }

    /// Iterates over the ids of the recorders.
    pub(crate) fn names(&self) -> impl Iterator<Item = EndId> {
        self.live().map(Recorder::id)
    }

    /// Returns whether a codec other than G.711 is decoded for a recorder.
    pub(crate) fn decode(&self) -> bool {
        self.live().any(Recorder::decodes)
    }

    /// Sets the codecs of a recorder's audio, by payload type; returns false for an unknown recorder.
    pub(crate) fn tune(&mut self, id: EndId, audio: &TapSpec) -> bool {
        self.get_mut(id).map(|recorder| recorder.tune(audio)).is_some()
    }

    /// Pauses or resumes the recorder with this id.
    pub(crate) fn set_pause(&mut self, now: Instant, id: EndId, pause: Option<RecordingPause>) {
        if let Some(recorder) = self.get_mut(id) {
            recorder.set_pause(now, pause);
        }
    }

    /// Passes a packet to the recorders among `listeners`.
    pub(crate) fn hear_all(
        &mut self,
        now: Instant,
        listeners: &[EndListener],
        packet: &TrackPacket<'_>,
        events: &mut VecDeque<MediaEvent>,
    ) {
        for listener in listeners {
            if let Some(recorder) = self.get_mut(listener.id()) {
                recorder.hear(now, packet, listener.coding(packet));
                report_silence(recorder, events);
            }
        }
    }

    /// Processes the expired deadlines of all recorders.
    pub(crate) fn handle_timeout(&mut self, now: Instant, events: &mut VecDeque<MediaEvent>) {
        let all = self.list.iter_mut().flat_map(|list| &mut list.all);
        for recorder in all.filter(|recorder| !recorder.is_over()) {
            recorder.handle_timeout(now);
            report_silence(recorder, events);
        }
    }

    /// Iterates over the next deadlines of the recorders.
    pub(crate) fn deadlines(&self) -> impl Iterator<Item = Instant> {
        self.live().filter_map(Recorder::poll_timeout)
    }

    /// Passes recorded audio to `take`: full blocks, and everything of ended recorders. Does not allocate.
    pub(crate) fn drain(&mut self, mut take: impl FnMut(RecordingId, Recorded<'_>)) {
        let Some(list) = &mut self.list else { return };
        list.all.retain_mut(|recorder| {
            recorder.drain(recorder.is_over(), &mut take);
            if recorder.is_over() {
                take(recorder.recording(), Recorded::End { frames: recorder.frames(), sound: recorder.sound() });
            }
            !recorder.is_over()
        });
    }

    fn live(&self) -> impl Iterator<Item = &Recorder> {
        self.list.iter().flat_map(|list| &list.all).filter(|recorder| !recorder.is_over())
    }

    fn get_mut(&mut self, id: EndId) -> Option<&mut Recorder> {
        let mut all = self.list.iter_mut().flat_map(|list| &mut list.all);
        all.find(|recorder| recorder.id() == id && !recorder.is_over())
    }
}

fn report_silence(recorder: &mut Recorder, events: &mut VecDeque<MediaEvent>) {
    if let Some(was_heard) = recorder.silence_over() {
        events.push_back(MediaEvent::Recorder { end: recorder.id(), event: RecorderEvent::Silent { was_heard } });
    }
}

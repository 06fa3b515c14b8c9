//! Answering machine detection of a session: each detector listens to one direction of an end and reports one verdict
//! (person, machine, …).

use std::collections::VecDeque;
use std::time::Instant;

use trunkgate_agent::{AgentFormat, TrackName, TrackSet};
use trunkgate_detection::MachineDetector;

use crate::codec::PayloadCodec;
use crate::playout::FRAME_SAMPLES;
use crate::spec::{EndId, MachineDetectionSpec, MediaEvent, TapSpec};

use super::hearing::ListenerInput;
use super::listener::{EndListener, TrackPacket};

/// Detectors of a session. The list is allocated with the first one, because few sessions have any.
#[derive(Debug, Default)]
pub(crate) struct DetectionListeners {
    list: Option<Box<DetectionList>>,
}

#[derive(Debug, Default)]
struct DetectionList {
    all: Vec<DetectionListener>,
}

/// Answering machine detector for one direction of an end.
#[derive(Debug)]
struct DetectionListener {
    id: EndId,
    track: TrackName,
    hearing: ListenerInput,
    detector: MachineDetector,
}

impl DetectionListeners {
    /// Adds a detector that starts at `now`.
    pub(crate) fn add(&mut self, now: Instant, id: EndId, spec: MachineDetectionSpec) {
        let track = if spec.track == TrackName::Inbound { TrackSet::Inbound } else { TrackSet::Outbound };
        let mut hearing = ListenerInput::new(AgentFormat::L16Rate8000);
        hearing.begin_recorded(now, track);
        let detector = MachineDetector::new(now, spec.settings);
        self.list.get_or_insert_default().all.push(DetectionListener { id, track: spec.track, hearing, detector });
    }

    /// Removes a detector from the session.
    pub(crate) fn remove(&mut self, id: EndId) {
        if let Some(list) = &mut self.list {
            list.all.retain(|judge| judge.id != id);
        }
    }

    /// Iterates over the ids of the detectors.
    pub(crate) fn names(&self) -> impl Iterator<Item = EndId> {
        self.iter().map(|judge| judge.id)
    }

    /// Returns whether a codec other than G.711 is decoded for a detector.
    pub(crate) fn decode(&self) -> bool {
        self.iter().any(|judge| judge.hearing.decodes())
    }

    /// Sets the codecs that a detector listens to, by payload type; returns false for an unknown detector.
    pub(crate) fn tune(&mut self, id: EndId, audio: &TapSpec) -> bool {
        let judge = self.list.iter_mut().flat_map(|list| &mut list.all).find(|judge| judge.id == id);
        judge.map(|judge| judge.tune(audio)).is_some()
    }

    /// Passes a packet to the detectors among `listeners`.
    pub(crate) fn hear_all(
        &mut self,
        now: Instant,
        listeners: &[EndListener],
        packet: &TrackPacket<'_>,
        events: &mut VecDeque<MediaEvent>,
    ) {
        for judge in self.list.iter_mut().flat_map(|list| &mut list.all) {
            if let Some(listener) = listeners.iter().find(|listener| listener.is(judge.id)) {
                judge.hear(now, packet, listener.coding(packet), events);
            }
        }
    }

    /// Processes the expired deadlines of all detectors.
    pub(crate) fn handle_timeout(&mut self, now: Instant, events: &mut VecDeque<MediaEvent>) {
        for judge in self.list.iter_mut().flat_map(|list| &mut list.all) {
            judge.hearing.handle_timeout(now);
            judge.run_detector(now, events);
        }
    }

    /// Iterates over the next deadlines of the detectors.
    pub(crate) fn deadlines(&self) -> impl Iterator<Item = Instant> {
        self.iter().filter_map(|judge| {
            let verdict = judge.detector.poll_timeout()?;
            judge.hearing.poll_timeout().into_iter().chain([verdict]).min()
        })
    }

    fn iter(&self) -> impl Iterator<Item = &DetectionListener> {
        self.list.iter().flat_map(|list| &list.all)
    }
}

impl DetectionListener {
    fn tune(&mut self, audio: &TapSpec) {
        let heard = if self.track == TrackName::Inbound { &audio.inbound } else { &audio.outbound };
        self.hearing.tune(self.track, heard, None);
    }

    fn hear(
        &mut self,
        now: Instant,
        packet: &TrackPacket<'_>,
        coding: Option<PayloadCodec>,
        events: &mut VecDeque<MediaEvent>,
    ) {
        if packet.track == self.track && !self.detector.is_over() {
            // The detector treats an unusable packet as silence.
            let _ = self.hearing.take(now, packet, coding);
            self.run_detector(now, events);
        }
    }

    /// Feeds complete frames to the detector and reports the verdict.
    fn run_detector(&mut self, now: Instant, events: &mut VecDeque<MediaEvent>) {
        while let Some(heard) = self.hearing.poll(now, false) {
            let mut samples = [0; FRAME_SAMPLES];
            samples.iter_mut().zip(heard.audio.as_chunks().0).for_each(|(to, pair)| *to = i16::from_le_bytes(*pair));
            self.detector.add_frame(now, &samples);
        }
        self.detector.handle_timeout(now);
        if let Some(verdict) = self.detector.poll_verdict() {
            self.hearing.end();
            events.push_back(MediaEvent::Judged { end: self.id, verdict });
        }
    }
}

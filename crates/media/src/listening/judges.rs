//! Answering machine detection of a session: each detector listens to one direction of an end and reports one verdict
//! (person, machine, …).

use std::collections::VecDeque;
use std::time::Instant;

use trunkgate_agent::{Format, TrackName, TrackSet};
use trunkgate_detection::Detector;

use crate::codec::Coding;
use crate::playout::FRAME_SAMPLES;
use crate::spec::{EndId, Event, JudgeSpec, TapSpec};

use super::hearing::Hearing;
use super::listener::{Listener, TrackPacket};

/// Detectors of a session. The list is allocated with the first one, because few sessions have any.
#[derive(Debug, Default)]
pub(crate) struct Judges {
    list: Option<Box<List>>,
}

#[derive(Debug, Default)]
struct List {
    all: Vec<Judge>,
}

/// Detector of one direction of an end.
#[derive(Debug)]
struct Judge {
    id: EndId,
    track: TrackName,
    hearing: Hearing,
    detector: Detector,
}

impl Judges {
    /// Adds a detector; its time begins now.
    pub(crate) fn add(&mut self, now: Instant, id: EndId, spec: JudgeSpec) {
        let track = if spec.track == TrackName::Inbound { TrackSet::Inbound } else { TrackSet::Outbound };
        let mut hearing = Hearing::new(Format::L16Rate8000);
        hearing.begin_recorded(now, track);
        let detector = Detector::new(now, spec.settings);
        self.list.get_or_insert_default().all.push(Judge { id, track: spec.track, hearing, detector });
    }

    /// Removes a detector.
    pub(crate) fn remove(&mut self, id: EndId) {
        if let Some(list) = &mut self.list {
            list.all.retain(|judge| judge.id != id);
        }
    }

    /// Lists the ids of the detectors.
    pub(crate) fn names(&self) -> impl Iterator<Item = EndId> {
        self.iter().map(|judge| judge.id)
    }

    /// Returns whether a codec other than G.711 is decoded for a detector.
    pub(crate) fn decode(&self) -> bool {
        self.iter().any(|judge| judge.hearing.decodes())
    }

    /// Sets the audio of a detector; returns whether the detector exists.
    pub(crate) fn tune(&mut self, id: EndId, audio: &TapSpec) -> bool {
        let judge = self.list.iter_mut().flat_map(|list| &mut list.all).find(|judge| judge.id == id);
        judge.map(|judge| judge.tune(audio)).is_some()
    }

    /// Passes a packet to the detectors among `listeners`.
    pub(crate) fn hear_all(
        &mut self,
        now: Instant,
        listeners: &[Listener],
        packet: &TrackPacket<'_>,
        events: &mut VecDeque<Event>,
    ) {
        for judge in self.list.iter_mut().flat_map(|list| &mut list.all) {
            if let Some(listener) = listeners.iter().find(|listener| listener.is(judge.id)) {
                judge.hear(now, packet, listener.coding(packet), events);
            }
        }
    }

    /// Processes expired deadlines.
    pub(crate) fn handle_timeout(&mut self, now: Instant, events: &mut VecDeque<Event>) {
        for judge in self.list.iter_mut().flat_map(|list| &mut list.all) {
            judge.hearing.handle_timeout(now);
            judge.judge(now, events);
        }
    }

    /// Lists the next deadlines.
    pub(crate) fn deadlines(&self) -> impl Iterator<Item = Instant> {
        self.iter().filter_map(|judge| {
            let verdict = judge.detector.poll_timeout()?;
            judge.hearing.poll_timeout().into_iter().chain([verdict]).min()
        })
    }

    fn iter(&self) -> impl Iterator<Item = &Judge> {
        self.list.iter().flat_map(|list| &list.all)
    }
}

impl Judge {
    fn tune(&mut self, audio: &TapSpec) {
        let heard = if self.track == TrackName::Inbound { &audio.inbound } else { &audio.outbound };
        self.hearing.tune(self.track, heard, None);
    }

    fn hear(&mut self, now: Instant, packet: &TrackPacket<'_>, coding: Option<Coding>, events: &mut VecDeque<Event>) {
        if packet.track == self.track && !self.detector.is_over() {
            // An unusable packet leaves silence.
            let _ = self.hearing.take(now, packet, coding);
            self.judge(now, events);
        }
    }

    /// Feeds complete frames to the detector and reports the verdict.
    fn judge(&mut self, now: Instant, events: &mut VecDeque<Event>) {
        while let Some(heard) = self.hearing.poll(now, false) {
            let mut samples = [0; FRAME_SAMPLES];
            samples.iter_mut().zip(heard.audio.as_chunks().0).for_each(|(to, pair)| *to = i16::from_le_bytes(*pair));
            self.detector.take(now, &samples);
        }
        self.detector.handle_timeout(now);
        if let Some(verdict) = self.detector.poll_verdict() {
            self.hearing.end();
            events.push_back(Event::Judged { end: self.id, verdict });
        }
    }
}

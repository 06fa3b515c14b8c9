//! All listeners of a session, by kind. Each operation names every kind, so that the compiler refuses a kind that an
//! operation has forgotten.
//!
//! Agents are listeners too, but belong to [`agent_audio`](crate::agent_audio), because they have a conversation as
//! well.

use std::collections::VecDeque;
use std::time::Instant;

use crate::playout::{Feed, PlayoutFrame};
use crate::spec::{AudioListenerSpec, EndId, MediaEvent, TapSpec};

use super::copies::CopyListeners;
use super::judges::DetectionListeners;
use super::listener::{EndListener, TrackPacket};
use super::recorders::SessionRecorders;
use super::seats::MixerPorts;
use super::streamers::SessionStreamers;

/// Listeners of a session, except agents.
#[derive(Debug, Default)]
pub(crate) struct SessionListeners {
    /// Listeners that receive plain RTP copies.
    copies: CopyListeners,
    /// Recorders of files.
    recorders: SessionRecorders,
    /// Listeners that feed recording servers.
    streamers: SessionStreamers,
    /// Answering machine detectors.
    detectors: DetectionListeners,
    /// Conference seats.
    seats: MixerPorts,
}

impl SessionListeners {
    /// Adds a listener. Those that receive plain RTP copies are added by [`Self::copies_mut`], because their command is
    /// that of an agent.
    pub(crate) fn add(&mut self, now: Instant, id: EndId, spec: AudioListenerSpec) {
        match spec {
            AudioListenerSpec::Recorder(spec) => self.recorders.add(now, id, &spec),
            AudioListenerSpec::Streamer { track } => self.streamers.add(id, track),
            AudioListenerSpec::Detector(spec) => self.detectors.add(now, id, spec),
            AudioListenerSpec::Seat(spec) => self.seats.add(id, &spec),
        }
    }

    /// Removes a listener of any kind; has no effect for an unknown id.
    pub(crate) fn remove(&mut self, now: Instant, id: EndId, events: &mut VecDeque<MediaEvent>) {
        let SessionListeners { copies, recorders, streamers, detectors, seats } = self;
        copies.remove(id);
        recorders.remove(now, id, events);
        streamers.remove(id);
        detectors.remove(id);
        seats.remove(id);
    }

    /// Iterates over the ids of the listeners.
    pub(crate) fn names(&self) -> impl Iterator<Item = EndId> {
        let SessionListeners { copies, recorders, streamers, detectors, seats } = self;
        let listeners = copies.names().chain(recorders.names()).chain(streamers.names());
        listeners.chain(detectors.names()).chain(seats.names())
    }

    /// Sets the audio of a listener; returns whether the listener exists.
    pub(crate) fn tune(&mut self, id: EndId, audio: &TapSpec) -> bool {
        let SessionListeners { copies, recorders, streamers, detectors, seats } = self;
        recorders.tune(id, audio)
            || streamers.tune(id, audio)
            || detectors.tune(id, audio)
            || seats.tune(id, audio)
            // A copy has the payload of the packet, in any codec.
            || copies.has(id)
    }

    /// Returns whether a codec other than G.711 is decoded for a listener.
    pub(crate) fn decode(&self) -> bool {
        let SessionListeners { copies: _, recorders, streamers, detectors, seats } = self;
        recorders.decode() || streamers.decode() || detectors.decode() || seats.decode()
    }

    /// Passes a packet to all listeners among `listeners`. Does not allocate.
    #[inline]
    pub(crate) fn hear_all(
        &mut self,
        now: Instant,
        listeners: &[EndListener],
        packet: &TrackPacket<'_>,
        events: &mut VecDeque<MediaEvent>,
    ) {
        let SessionListeners { copies, recorders, streamers, detectors, seats } = self;
        copies.hear_all(now, listeners, packet);
        recorders.hear_all(now, listeners, packet, events);
        streamers.hear_all(now, listeners, packet);
        detectors.hear_all(now, listeners, packet, events);
        seats.hear_all(now, listeners, packet);
    }

    /// Processes the expired deadlines of all listeners, except the ticks of seats for agents, which need the agents.
    pub(crate) fn handle_timeout(&mut self, now: Instant, events: &mut VecDeque<MediaEvent>) {
        let SessionListeners { copies: _, recorders, streamers, detectors, seats: _ } = self;
        recorders.handle_timeout(now, events);
        streamers.handle_timeout(now);
        detectors.handle_timeout(now, events);
    }

    /// Iterates over the next deadlines of the listeners.
    pub(crate) fn deadlines(&self) -> impl Iterator<Item = Instant> {
        let SessionListeners { copies: _, recorders, streamers, detectors, seats } = self;
        let listeners = recorders.deadlines().chain(streamers.deadlines());
        listeners.chain(detectors.deadlines()).chain(seats.deadlines())
    }

    /// Wires a listener that also feeds an end to this end, and returns the start time of the end's stream; `None` for
    /// a mere listener.
    pub(crate) fn connect(&mut self, now: Instant, id: EndId, feed: Feed) -> Option<Instant> {
        let SessionListeners { copies: _, recorders: _, streamers, detectors: _, seats } = self;
        streamers.connect(now, id, feed).or_else(|| seats.connect(now, id, feed))
    }

    /// Removes the wires from a listener to an end for which `cut(from, to)` is true.
    pub(crate) fn disconnect(&mut self, cut: impl Fn(EndId, EndId) -> bool) {
        let SessionListeners { copies: _, recorders: _, streamers, detectors: _, seats } = self;
        streamers.disconnect(&cut);
        seats.disconnect(&cut);
    }

    /// Returns the listener that feeds the end `to`, and its next frame; `None` without such a listener.
    pub(crate) fn next_frame(&mut self, to: EndId) -> Option<(EndId, Option<PlayoutFrame>)> {
        let SessionListeners { copies: _, recorders: _, streamers, detectors: _, seats } = self;
        streamers.next_frame(to).or_else(|| seats.next_frame(to))
    }

    /// Returns the listeners that receive plain RTP copies.
    pub(crate) fn copies(&self) -> &CopyListeners {
        &self.copies
    }

    /// Returns the listeners that receive plain RTP copies, mutably.
    pub(crate) fn copies_mut(&mut self) -> &mut CopyListeners {
        &mut self.copies
    }

    /// Returns the recorders, mutably.
    pub(crate) fn recorders_mut(&mut self) -> &mut SessionRecorders {
        &mut self.recorders
    }

    /// Returns the conference seats.
    pub(crate) fn seats(&self) -> &MixerPorts {
        &self.seats
    }

    /// Returns the conference seats, mutably.
    pub(crate) fn seats_mut(&mut self) -> &mut MixerPorts {
        &mut self.seats
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "tests begin somewhere in time")]

    use std::sync::Arc;

    use trunkgate_agent::{TrackName, TrackSet};
    use trunkgate_conference::{SamplingRate, ring};
    use trunkgate_detection::{DetectionMode, DetectionSettings};
    use trunkgate_terms::RecordingId;

    use super::*;
    use crate::spec::{MachineDetectionSpec, MixerPortSpec, RawSpec, RecorderSpec};

    #[test]
    fn a_removed_listener_of_any_kind_leaves_nothing_behind() {
        let (now, mut events, mut listeners) = (Instant::now(), VecDeque::new(), SessionListeners::default());
        let (to_mixer, from_mixer) = (ring(SamplingRate::Narrow).0, ring(SamplingRate::Narrow).1);
        let recorder = RecorderSpec { recording: RecordingId(1), tracks: TrackSet::Both, silence: None };
        let settings = DetectionSettings::new(DetectionMode::Enable, [None; 4]);
        let specs = [
            AudioListenerSpec::Recorder(recorder),
            AudioListenerSpec::Streamer { track: TrackName::Inbound },
            AudioListenerSpec::Detector(MachineDetectionSpec { track: TrackName::Inbound, settings }),
            AudioListenerSpec::Seat(MixerPortSpec::new(to_mixer, from_mixer, now).unwrap()),
        ];
        let ids = 1..=specs.len() as u16;
        for (id, spec) in ids.clone().zip(specs) {
            listeners.add(now, EndId(id), spec);
        }
        listeners.copies_mut().add(EndId(0), RawSpec { inbound: 1, outbound: 2 }, TrackSet::Both, Arc::default());
        assert_eq!(listeners.names().map(|end| end.0).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
        for id in 0..=*ids.end() {
            assert!(listeners.tune(EndId(id), &TapSpec::default()), "listener {id}");
            listeners.remove(now, EndId(id), &mut events);
            assert!(!listeners.tune(EndId(id), &TapSpec::default()), "listener {id}");
        }
        assert_eq!((listeners.names().count(), listeners.deadlines().count()), (0, 0));
    }
}

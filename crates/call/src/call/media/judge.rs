//! Answering-machine detection: media ends that receive the audio of one party until there is a verdict.

use std::time::{Duration, Instant};

use trunkgate_media::agent::{TrackName, TrackSet};
use trunkgate_media::detection::{AnsweredBy, DetectionSettings, DetectionVerdict};
use trunkgate_media::{AudioListenerSpec, EndId, MachineDetectionSpec, MediaCommand, TapSpec};
use trunkgate_resources::lookups::key::LegId;

use crate::call::media::CallMedia;
use crate::call::shared::CallCx;

/// Answering-machine detection of a party.
#[derive(Debug)]
pub(crate) struct MachineDetection {
    /// Leg of the party.
    leg: LegId,
    /// Media end of the detector.
    end: EndId,
    began: Instant,
}

impl MachineDetection {
    /// Starts detection on a track of the caller's side; rewiring of that side does not interrupt it.
    ///
    /// # Errors
    /// Verdict `unknown`, which is recorded: the edge cannot decode the party's audio.
    pub(crate) fn of_caller_side(
        media: &mut CallMedia,
        cx: &mut CallCx<'_>,
        leg: LegId,
        track: TrackName,
        settings: DetectionSettings,
    ) -> Result<MachineDetection, DetectionVerdict> {
        if media.speaks_other_audio(cx.call) {
            return Err(unheard(cx, leg));
        }
        let judge = MachineDetection::add(cx, leg, MachineDetectionSpec { track, settings })?;
        let tracks = match track {
            TrackName::Inbound => TrackSet::Inbound,
            TrackName::Outbound => TrackSet::Outbound,
        };
        cx.call.listeners.add(judge.end, tracks);
        media.tap_caller(cx);
        Ok(judge)
    }

    /// Starts detection on an answered party that is not connected to the caller.
    ///
    /// # Errors
    /// Verdict `unknown`, which is recorded: the edge cannot decode the party's audio.
    pub(crate) fn apart(
        cx: &mut CallCx<'_>,
        leg: LegId,
        settings: DetectionSettings,
    ) -> Result<MachineDetection, DetectionVerdict> {
        let Some(((of, spoken), media)) = cx.call.legs.spoken_end(leg).zip(cx.call.session) else {
            return Err(unheard(cx, leg));
        };
        let judge = MachineDetection::add(cx, leg, MachineDetectionSpec { track: TrackName::Inbound, settings })?;
        let audio = TapSpec { outbound: Vec::new(), ..TapSpec::both(spoken.audio, spoken.coding) };
        cx.edge.media(media, MediaCommand::Tap { of, listener: judge.end, audio });
        Ok(judge)
    }

    fn add(cx: &mut CallCx<'_>, leg: LegId, spec: MachineDetectionSpec) -> Result<MachineDetection, DetectionVerdict> {
        let begun = cx.call.session.and_then(|media| Some((media, cx.edge.new_end(media)?)));
        let Some((media, end)) = begun else { return Err(unheard(cx, leg)) };
        cx.edge.media(media, MediaCommand::AddListener { end, spec: AudioListenerSpec::Detector(spec) });
        cx.edge.decide(cx.now, cx.call.key, "answering-machine detection begins");
        Ok(MachineDetection { leg, end, began: cx.now })
    }

    /// Returns the leg of the party.
    pub(crate) fn leg(&self) -> LegId {
        self.leg
    }

    /// Returns the media end of the detector.
    pub(crate) fn end(&self) -> EndId {
        self.end
    }

    /// Returns the verdict on a party that has left before there was one.
    pub(crate) fn unknown(&self, now: Instant) -> DetectionVerdict {
        DetectionVerdict { answered_by: AnsweredBy::Unknown, duration: now.saturating_duration_since(self.began) }
    }

    /// Ends detection, and records its verdict.
    pub(crate) fn settle(self, cx: &mut CallCx<'_>, verdict: DetectionVerdict) {
        let leg = self.leg;
        self.dismiss(cx);
        record_verdict(cx, leg, verdict);
    }

    /// Ends detection without a verdict.
    pub(crate) fn dismiss(self, cx: &mut CallCx<'_>) {
        cx.call.listeners.remove(self.end);
        if let Some(media) = cx.call.session {
            cx.edge.remove_end(media, self.end);
        }
    }
}

/// Records that detection is impossible for a party.
fn unheard(cx: &mut CallCx<'_>, leg: LegId) -> DetectionVerdict {
    cx.edge.decide(cx.now, cx.call.key, "answering-machine detection: the edge cannot hear the party");
    let verdict = DetectionVerdict { answered_by: AnsweredBy::Unknown, duration: Duration::ZERO };
    record_verdict(cx, leg, verdict);
    verdict
}

/// Adds a verdict to the records of the call.
fn record_verdict(cx: &mut CallCx<'_>, leg: LegId, verdict: DetectionVerdict) {
    let (name, after) = (verdict.answered_by.name(), verdict.duration.as_secs_f64());
    if let Some(dialled) = &mut cx.call.legs[leg].sip.dialled {
        dialled.judged(verdict);
    }
    cx.edge.decide(cx.now, cx.call.key, format!("answering-machine detection: {name} after {after:.1} s"));
    let call = cx.call.legs.sid().to_owned();
    cx.edge.log(&call, format!("answered by {name} after {after:.1} s of detection"), None);
}

//! Judges of who has answered (answering-machine detection): ends of the media session that hear one party until they have a verdict.

use std::time::{Duration, Instant};

use trunkgate_media::agent::{TrackName, TrackSet};
use trunkgate_media::detection::{AnsweredBy, Settings, Verdict};
use trunkgate_media::{Command, EndId, JudgeSpec, TapSpec};
use trunkgate_resources::lookups::key::LegId;

use crate::call::media::CallMedia;
use crate::call::shared::Cx;

/// A judge of a party.
#[derive(Debug)]
pub(crate) struct Judge {
    /// The party.
    leg: LegId,
    /// The end that judges.
    end: EndId,
    began: Instant,
}

impl Judge {
    /// Adds a judge of a party that hears this track of the caller's side as it is wired, now and later.
    ///
    /// # Errors
    /// The verdict `unknown`, noted: the edge cannot hear the party.
    pub(crate) fn of_caller_side(
        media: &mut CallMedia,
        cx: &mut Cx<'_>,
        leg: LegId,
        track: TrackName,
        settings: Settings,
    ) -> Result<Judge, Verdict> {
        if media.speaks_other_audio(cx.call) {
            return Err(unheard(cx, leg));
        }
        let judge = Judge::add(cx, leg, JudgeSpec { track, settings })?;
        let tracks = match track {
            TrackName::Inbound => TrackSet::Inbound,
            TrackName::Outbound => TrackSet::Outbound,
        };
        cx.call.listeners.add(judge.end, tracks);
        media.tap_caller(cx);
        Ok(judge)
    }

    /// Adds a judge of a party that has answered and is not connected with the caller: it hears the party itself.
    ///
    /// # Errors
    /// The verdict `unknown`, noted: the edge cannot hear the party.
    pub(crate) fn apart(cx: &mut Cx<'_>, leg: LegId, settings: Settings) -> Result<Judge, Verdict> {
        let Some(((of, spoken), media)) = cx.call.legs.spoken_end(leg).zip(cx.call.session) else {
            return Err(unheard(cx, leg));
        };
        let judge = Judge::add(cx, leg, JudgeSpec { track: TrackName::Inbound, settings })?;
        let audio = TapSpec { outbound: Vec::new(), ..TapSpec::both(spoken.audio, spoken.coding) };
        cx.edge.media(media, Command::Tap { of, listener: judge.end, audio });
        Ok(judge)
    }

    fn add(cx: &mut Cx<'_>, leg: LegId, spec: JudgeSpec) -> Result<Judge, Verdict> {
        let begun = cx.call.session.and_then(|media| Some((media, cx.edge.new_end(media)?)));
        let Some((media, end)) = begun else { return Err(unheard(cx, leg)) };
        cx.edge.media(media, Command::AddJudge { end, spec });
        cx.edge.decide(cx.now, cx.call.key, "answering-machine detection begins");
        Ok(Judge { leg, end, began: cx.now })
    }

    /// Returns the leg of the party.
    pub(crate) fn leg(&self) -> LegId {
        self.leg
    }

    /// Returns the end that judges.
    pub(crate) fn end(&self) -> EndId {
        self.end
    }

    /// Returns the verdict on a party that has left before there was one.
    pub(crate) fn unknown(&self, now: Instant) -> Verdict {
        Verdict { answered_by: AnsweredBy::Unknown, duration: now.saturating_duration_since(self.began) }
    }

    /// Lets the judge go, and notes its verdict.
    pub(crate) fn settle(self, cx: &mut Cx<'_>, verdict: Verdict) {
        let leg = self.leg;
        self.dismiss(cx);
        note(cx, leg, verdict);
    }

    /// Lets the judge go without a verdict.
    pub(crate) fn dismiss(self, cx: &mut Cx<'_>) {
        cx.call.listeners.remove(self.end);
        if let Some(media) = cx.call.session {
            cx.edge.remove_end(media, self.end);
        }
    }
}

/// Notes that a party cannot be judged.
fn unheard(cx: &mut Cx<'_>, leg: LegId) -> Verdict {
    cx.edge.decide(cx.now, cx.call.key, "answering-machine detection: the edge cannot hear the party");
    let verdict = Verdict { answered_by: AnsweredBy::Unknown, duration: Duration::ZERO };
    note(cx, leg, verdict);
    verdict
}

/// Notes a verdict for the records of the call.
fn note(cx: &mut Cx<'_>, leg: LegId, verdict: Verdict) {
    let (name, after) = (verdict.answered_by.name(), verdict.duration.as_secs_f64());
    if let Some(dialled) = &mut cx.call.legs[leg].sip.dialled {
        dialled.judged(verdict);
    }
    cx.edge.decide(cx.now, cx.call.key, format!("answering-machine detection: {name} after {after:.1} s"));
    let call = cx.call.legs.sid().to_owned();
    cx.edge.log(&call, format!("answered by {name} after {after:.1} s of detection"), None);
}

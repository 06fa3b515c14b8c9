//! SRTP of the legs: acceptance of offers by trunk policy, our keys in descriptions, a second attempt without SRTP, and
//! key changes. Each leg is protected independently; the other side does not notice.

use serde::{Deserialize, Serialize};
use trunkgate_media::OwnSources;
use trunkgate_resources::edge::Edge;
use trunkgate_sdp::keying::{
    OFFERED, agreed, check_answer, filter_offer, form_in_force, keep_protected, protect_answer, protect_offer,
};
use trunkgate_sdp::{SessionDescription, Srtp, SrtpConflict, SrtpForm, SrtpRejection, Suite, keep_family};
use trunkgate_story::reason::ReasonSlug;

use crate::call::legs::leg::Leg;
use crate::call::words::answer::TargetFailure;
use crate::call::words::crash_gap::CrashGap;

/// Status code for an offer that is not acceptable (RFC 3261 §21.4.26).
pub(crate) const NOT_ACCEPTABLE_HERE: u16 = 488;

/// Roll-overs of a leg's SRTP streams before this process had it, or before the leg came to this call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SrtpHistory {
    /// Maximum roll-overs of the remote party's sequence numbers before the leg came to this call.
    rolled: u8,
    /// Maximum roll-overs in this call before it was restored by this process, which counts from zero again.
    #[serde(skip)]
    rolled_here: u8,
    /// Number of earlier processes that may have sent packets under the leg's keys.
    #[serde(default)]
    processes: u32,
}

impl SrtpHistory {
    /// Returns the maximum number of roll-overs.
    pub(crate) fn rolled(self) -> u32 {
        u32::from(self.rolled.saturating_add(self.rolled_here))
    }

    /// Records that the leg goes to another call after at most so many roll-overs in this one.
    pub(crate) fn leave_call(&mut self, rolled: u64) {
        self.rolled = self.rolled.saturating_add(self.rolled_here).saturating_add(counted(rolled));
        self.rolled_here = 0;
    }

    /// Records that another process had the call, in which at most so many roll-overs have happened so far.
    pub(crate) fn resume(&mut self, rolled: u64) {
        self.rolled_here = counted(rolled);
        self.processes = self.processes.saturating_add(1);
    }

    /// Leaves out the SSRCs of processes that have crashed before they wrote the call.
    pub(crate) fn skip_sources(&mut self, gap: CrashGap) {
        self.processes = self.processes.saturating_add(gap.processes() - 1);
    }

    /// Returns the SSRCs of this process for the stream `index` of the leg with this SID.
    pub(crate) fn own_sources(self, sid: &str, index: usize) -> Option<OwnSources> {
        Some(OwnSources::new(&format!("{sid}/{index}"), self.processes))
    }
}

/// Returns a number of roll-overs, capped at 255; the media worker tries fewer.
fn counted(rolled: u64) -> u8 {
    u8::try_from(rolled).unwrap_or(u8::MAX)
}

impl Leg {
    /// Returns the SRTP policy of the trunk; a bare URI gets plain RTP.
    pub(crate) fn srtp_policy(&self) -> Srtp {
        self.trunk.as_ref().map_or(Srtp::Off, |trunk| trunk.srtp)
    }

    /// Returns the suites configured for the trunk; empty for any.
    fn named_suites(&self) -> &[Suite] {
        self.trunk.as_ref().map_or(&[], |trunk| &trunk.srtp_suites)
    }

    /// Returns the suites for our offers, in order of preference.
    fn offered_suites(&self) -> &[Suite] {
        if self.named_suites().is_empty() { &OFFERED } else { self.named_suites() }
    }

    /// Returns the suites that the remote party may offer.
    fn allowed_suites(&self) -> &[Suite] {
        if self.named_suites().is_empty() { &Suite::ALL } else { self.named_suites() }
    }

    /// Returns the SRTP form of our first offer; `again` means that the offer with SRTP was refused.
    pub(crate) fn first_form(&self, again: bool) -> SrtpForm {
        match self.srtp_policy() {
            Srtp::Off => SrtpForm::Plain,
            Srtp::Optional if again => SrtpForm::Plain,
            Srtp::Optional | Srtp::Required => SrtpForm::Secure,
        }
    }

    /// Returns the SRTP form of an offer in our 2xx, which the remote party cannot refuse.
    pub(crate) fn late_form(&self) -> SrtpForm {
        match self.srtp_policy() {
            Srtp::Off => SrtpForm::Plain,
            Srtp::Optional => SrtpForm::Either,
            Srtp::Required => SrtpForm::Secure,
        }
    }

    /// Adds our keys to a first offer.
    ///
    /// # Errors
    /// The failure 488 if the leg requires SRTP and the offer has only streams that cannot be encrypted (UDPTL fax).
    pub(crate) fn protect_first(
        &self,
        edge: &mut Edge,
        offer: &mut SessionDescription,
        form: SrtpForm,
    ) -> Result<(), TargetFailure> {
        keep_protected(offer, self.srtp_policy()).map_err(unfit)?;
        protect_offer(offer, |_| form, self.offered_suites(), None, &mut |bytes| edge.random_mut().draw(bytes));
        Ok(())
    }

    /// Adds our keys to a further offer: each stream keeps its SRTP form in force, and a new stream gets the form of
    /// the others.
    ///
    /// # Errors
    /// The failure 488 if the leg requires SRTP and the offer has only streams that cannot be encrypted (UDPTL fax).
    pub(crate) fn protect_again(&self, edge: &mut Edge, offer: &mut SessionDescription) -> Result<(), TargetFailure> {
        self.protect_further(edge, offer, true)
    }

    /// Adds new keys to a further offer if the media source changes, because the new source cannot know the rollover
    /// counter (RFC 3711 §3.3.1).
    ///
    /// # Errors
    /// The failure 488 if the leg requires SRTP and the offer has only streams that cannot be encrypted (UDPTL fax).
    pub(crate) fn protect_anew(&self, edge: &mut Edge, offer: &mut SessionDescription) -> Result<(), TargetFailure> {
        self.protect_further(edge, offer, false)
    }

    fn protect_further(
        &self,
        edge: &mut Edge,
        offer: &mut SessionDescription,
        keeps_keys: bool,
    ) -> Result<(), TargetFailure> {
        keep_protected(offer, self.srtp_policy()).map_err(unfit)?;
        let session = self.session();
        let session = session.as_ref().map(|(ours, theirs)| (ours, theirs));
        let in_force = |index: usize| {
            let (ours, theirs) = session?;
            let live = |description: &SessionDescription| description.media.get(index).cloned().filter(|m| m.port != 0);
            Some(form_in_force(&live(ours)?, &live(theirs)?))
        };
        let others = (0..offer.media.len()).find_map(in_force).unwrap_or_else(|| self.first_form(true));
        let form = |index| in_force(index).unwrap_or(others);
        let session = session.filter(|_| keeps_keys);
        protect_offer(offer, form, self.offered_suites(), session, &mut |bytes| edge.random_mut().draw(bytes));
        Ok(())
    }

    /// Adds our keys to an answer that is not in force yet.
    pub(crate) fn protect_answer(&self, edge: &mut Edge, answer: &mut SessionDescription, offer: &SessionDescription) {
        let session = self.session();
        let session = session.as_ref().map(|(ours, theirs)| (ours, theirs));
        protect_answer(answer, offer, self.srtp_policy(), session, &mut |bytes| edge.random_mut().draw(bytes));
    }

    /// Puts a further offer and our answer with our keys into force; returns whether the media source must be latched
    /// again.
    pub(crate) fn answer_again(
        &mut self,
        edge: &mut Edge,
        offer: &SessionDescription,
        mut answer: SessionDescription,
    ) -> (SessionDescription, bool) {
        self.protect_answer(edge, &mut answer, offer);
        let relatch = self.take_theirs(offer);
        let answer = self.stamp(answer);
        self.sdp.ours = self.sdp.last_sent.clone();
        self.srtp = self.suite();
        (answer, relatch)
    }

    /// Returns the suite in force of the first protected stream; `None` if no stream is protected.
    pub(crate) fn suite(&self) -> Option<Suite> {
        if !self.sdp.ours.as_ref()?.has_keys() {
            return None;
        }
        let (ours, theirs) = self.session()?;
        ours.media.iter().zip(&theirs.media).find_map(|(ours, theirs)| agreed(ours, theirs)).map(|keys| keys.suite)
    }

    /// Restricts an offer to the streams that the leg's policy accepts.
    ///
    /// # Errors
    /// The failure 488 if no stream is left.
    pub(crate) fn admit(&self, mut offer: SessionDescription) -> Result<SessionDescription, TargetFailure> {
        keep_family(&mut offer, self.identity().ip)
            .map_err(|refusal| TargetFailure::unusable(ReasonSlug::CodecMismatch, refusal))?;
        filter_offer(offer, self.srtp_policy(), self.allowed_suites()).map_err(unfit)
    }

    /// Checks that an answer to our offer has the SRTP protection that the leg's policy requires.
    ///
    /// # Errors
    /// The failure 488 if a stream lacks the required protection.
    pub(crate) fn check_answer(
        &self,
        sent: &SessionDescription,
        answer: &SessionDescription,
        streams: impl IntoIterator<Item = usize>,
    ) -> Result<(), TargetFailure> {
        check_answer(sent, answer, streams, self.srtp_policy()).map_err(unfit)
    }
}

/// Converts an unsuitable protection into a failure: 488 with Warning 399.
pub(crate) fn unfit(unfit: SrtpRejection) -> TargetFailure {
    let reason = match unfit.why {
        SrtpConflict::Required => ReasonSlug::SrtpRequired,
        SrtpConflict::Off => ReasonSlug::SrtpOff,
        SrtpConflict::NoSuite => ReasonSlug::SrtpMismatch,
    };
    TargetFailure::unusable(reason, unfit.refusal)
}

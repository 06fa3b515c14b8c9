//! SRTP of a call's legs: what of an offer a leg's trunk takes, our keys in what we write, a second try without it, and
//! keys that change in mid-call. Each leg is protected, or not, by itself; the other side never learns of it.

use trunkgate_resources::edge::Edge;
use trunkgate_sdp::keying::{
    OFFERED, admit, agreed, check_answer, form_in_force, keep_protected, protect_answer, protect_offer,
};
use trunkgate_sdp::{Clash, Description, Form, Srtp, Suite, Unfit, keep_family};
use trunkgate_story::reason::ReasonSlug;

use crate::call::legs::leg::Leg;
use crate::call::words::answer::Failure;

/// The code by which a far end says that it does not take an offer (RFC 3261 §21.4.26).
pub(crate) const NOT_ACCEPTABLE_HERE: u16 = 488;

impl Leg {
    /// What its trunk does about SRTP; a bare URI gets plain RTP.
    pub(crate) fn srtp_policy(&self) -> Srtp {
        self.trunk.as_ref().map_or(Srtp::Off, |trunk| trunk.srtp)
    }

    /// The suites that its trunk names; none: any.
    fn named_suites(&self) -> &[Suite] {
        self.trunk.as_ref().map_or(&[], |trunk| &trunk.srtp_suites)
    }

    /// The suites that it is offered, the one liked best first.
    fn offered_suites(&self) -> &[Suite] {
        if self.named_suites().is_empty() { &OFFERED } else { self.named_suites() }
    }

    /// The suites that it may offer.
    fn allowed_suites(&self) -> &[Suite] {
        if self.named_suites().is_empty() { &Suite::ALL } else { self.named_suites() }
    }

    /// The form of a first offer to it; `again`: it has refused the secure one.
    pub(crate) fn first_form(&self, again: bool) -> Form {
        match self.srtp_policy() {
            Srtp::Off => Form::Plain,
            Srtp::Optional if again => Form::Plain,
            Srtp::Optional | Srtp::Required => Form::Secure,
        }
    }

    /// The form of an offer that it gets in our answer, which it cannot refuse.
    pub(crate) fn late_form(&self) -> Form {
        match self.srtp_policy() {
            Srtp::Off => Form::Plain,
            Srtp::Optional => Form::Either,
            Srtp::Required => Form::Secure,
        }
    }

    /// Puts our keys into a first offer to it.
    pub(crate) fn protect_first(&self, edge: &mut Edge, offer: &mut Description, form: Form) -> Result<(), Failure> {
        keep_protected(offer, self.srtp_policy()).map_err(unfit)?;
        protect_offer(offer, |_| form, self.offered_suites(), None, &mut |bytes| edge.random_mut().draw(bytes));
        Ok(())
    }

    /// Puts our keys into a further offer: each stream as it is in force, a new one as the others are.
    pub(crate) fn protect_again(&self, edge: &mut Edge, offer: &mut Description) -> Result<(), Failure> {
        self.protect_further(edge, offer, true)
    }

    /// The same with other keys, where its media comes from somewhere else: that could not know how often the numbers of
    /// the packets so far have gone round (RFC 3711 §3.3.1).
    pub(crate) fn protect_anew(&self, edge: &mut Edge, offer: &mut Description) -> Result<(), Failure> {
        self.protect_further(edge, offer, false)
    }

    fn protect_further(&self, edge: &mut Edge, offer: &mut Description, keeps_keys: bool) -> Result<(), Failure> {
        keep_protected(offer, self.srtp_policy()).map_err(unfit)?;
        let session = self.session();
        let session = session.as_ref().map(|(ours, theirs)| (ours, theirs));
        let in_force = |index: usize| {
            let (ours, theirs) = session?;
            let live = |description: &Description| description.media.get(index).cloned().filter(|m| m.port != 0);
            Some(form_in_force(&live(ours)?, &live(theirs)?))
        };
        let others = (0..offer.media.len()).find_map(in_force).unwrap_or_else(|| self.first_form(true));
        let form = |index| in_force(index).unwrap_or(others);
        let session = session.filter(|_| keeps_keys);
        protect_offer(offer, form, self.offered_suites(), session, &mut |bytes| edge.random_mut().draw(bytes));
        Ok(())
    }

    /// Puts our keys into an answer to its offer, which is not in force yet.
    pub(crate) fn protect_answer(&self, edge: &mut Edge, answer: &mut Description, offer: &Description) {
        let session = self.session();
        let session = session.as_ref().map(|(ours, theirs)| (ours, theirs));
        protect_answer(answer, offer, self.srtp_policy(), session, &mut |bytes| edge.random_mut().draw(bytes));
    }

    /// Takes a further offer of its and our answer into force, with our keys; whether its latch opens again.
    pub(crate) fn answer_again(
        &mut self,
        edge: &mut Edge,
        offer: &Description,
        mut answer: Description,
    ) -> (Description, bool) {
        self.protect_answer(edge, &mut answer, offer);
        let relatch = self.take_theirs(offer);
        let answer = self.stamp(answer);
        self.sdp.ours = self.sdp.last_sent.clone();
        self.srtp = self.suite();
        (answer, relatch)
    }

    /// The suite in force, of its first stream that has one.
    pub(crate) fn suite(&self) -> Option<Suite> {
        if !self.sdp.ours.as_ref()?.has_keys() {
            return None;
        }
        let (ours, theirs) = self.session()?;
        ours.media.iter().zip(&theirs.media).find_map(|(ours, theirs)| agreed(ours, theirs)).map(|keys| keys.suite)
    }

    /// What of its offer may be taken.
    pub(crate) fn admit(&self, mut offer: Description) -> Result<Description, Failure> {
        keep_family(&mut offer, self.identity().ip)
            .map_err(|refusal| Failure::unusable(ReasonSlug::CodecMismatch, refusal))?;
        admit(offer, self.srtp_policy(), self.allowed_suites()).map_err(unfit)
    }

    /// Whether its answer to an offer of ours is as protected as it has to be.
    pub(crate) fn check_answer(
        &self,
        sent: &Description,
        answer: &Description,
        streams: impl IntoIterator<Item = usize>,
    ) -> Result<(), Failure> {
        check_answer(sent, answer, streams, self.srtp_policy()).map_err(unfit)
    }
}

/// A description whose protection does not do: seen as 488 with Warning 399.
pub(crate) fn unfit(unfit: Unfit) -> Failure {
    let reason = match unfit.why {
        Clash::Required => ReasonSlug::SrtpRequired,
        Clash::Off => ReasonSlug::SrtpOff,
        Clash::NoSuite => ReasonSlug::SrtpMismatch,
    };
    Failure::unusable(reason, unfit.refusal)
}

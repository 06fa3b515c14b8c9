//! What far ends say before an answer: each early dialog's media kept apart, and of all of them one that the caller hears.
//!
//! Of the forks of one INVITE the newest is heard: most are tried one after the other. Of targets that ring at once it is the
//! first with media, until that target fails: then another that has some. The answer counts alone, whoever was heard before.

use std::time::Instant;

use bytes::Bytes;
use trunkgate_resources::edge::Edge;
use trunkgate_resources::key::{Branch, LegId};
use trunkgate_resources::limits::EARLY_DIALOGS;
use trunkgate_sdp::Description;
use trunkgate_sip::{Answer, Body, DialogId};
use trunkgate_story::change::Happening;

use crate::call::legs::leg::LegState;
use crate::call::legs::written::Written;
use crate::call::{Call, State};

/// The early dialogs of one INVITE that have brought a description.
#[derive(Debug, Default)]
pub(crate) struct EarlyMedia {
    /// In the order in which they came, the one that would be heard last.
    dialogs: Vec<EarlyDialog>,
    /// Whether the caller hears it.
    is_heard: bool,
}

/// One of them.
#[derive(Debug)]
struct EarlyDialog {
    id: Option<DialogId>,
    /// What it has said last.
    said: Written,
    /// Whether that was said reliably, so that both sides may offer again (RFC 3311 §5.1).
    is_reliable: bool,
    /// Whether both sides have agreed on something else since: what an answer to the INVITE says counts no more.
    is_changed: bool,
}

impl EarlyMedia {
    /// Notes what a dialog says in an answer to the INVITE. Whether it is the newest.
    fn say(&mut self, dialog: Option<DialogId>, said: Written, is_reliable: bool) -> bool {
        match self.dialogs.iter_mut().find(|known| known.id == dialog) {
            Some(known) => {
                known.said = said;
                known.is_reliable |= is_reliable;
            }
            None => {
                if self.dialogs.len() >= EARLY_DIALOGS {
                    self.dialogs.remove(0);
                }
                self.dialogs.push(EarlyDialog { id: dialog, said, is_reliable, is_changed: false });
            }
        }
        self.dialogs.last().is_some_and(|last| last.id == dialog)
    }

    /// A dialog is over. Whether it was the newest.
    fn end(&mut self, dialog: DialogId) -> bool {
        let was_newest = self.dialogs.last().is_some_and(|last| last.id == Some(dialog));
        self.dialogs.retain(|known| known.id != Some(dialog));
        was_newest
    }

    /// Both sides have agreed on something else in the dialog that is heard.
    pub(crate) fn change(&mut self, said: Written) {
        if let Some(last) = self.dialogs.last_mut() {
            (last.said, last.is_changed) = (said, true);
        }
    }

    /// Whether they have.
    pub(crate) fn is_changed(&self, dialog: Option<DialogId>) -> bool {
        self.dialogs.iter().any(|known| known.id == dialog && known.is_changed)
    }

    /// The dialog that is heard, where it is the only one; and whether it has answered reliably.
    pub(crate) fn only(&self) -> Option<(DialogId, bool)> {
        match self.dialogs.as_slice() {
            [only] if self.is_heard => Some((only.id?, only.is_reliable)),
            _ => None,
        }
    }

    /// What a dialog has said; where it has said nothing itself, what came without a tag (RFC 3261 §12.1 wants one).
    pub(crate) fn of(&self, dialog: DialogId) -> Option<Written> {
        let said = |wanted| self.dialogs.iter().find(|known| known.id == wanted);
        said(Some(dialog)).or_else(|| said(None)).map(|known| known.said.clone())
    }

    fn newest(&self) -> Option<Written> {
        self.dialogs.last().map(|last| last.said.clone())
    }
}

impl Call {
    /// 101 to 199: what tells the caller something is passed on, with the media that comes with it.
    pub(crate) fn provisional(
        &mut self,
        now: Instant,
        edge: &mut Edge,
        leg: LegId,
        (code, dialog, sdp, is_reliable): (u16, Option<DialogId>, Option<Bytes>, bool),
        headers: &[(String, String)],
    ) {
        let Some(branch) = self.calling_on(leg) else { return };
        self.heard(edge, leg);
        if code == EARLY_DIALOG_TERMINATED {
            return self.early_dialog_over(now, edge, branch, leg, dialog);
        }
        if let Some(attempt) = self.attempt_mut(branch) {
            attempt.has_rung |= code > 100;
        }
        let answer = sdp.and_then(|sdp| self.early_media(now, edge, branch, leg, (dialog, &sdp, is_reliable)));
        let state = match (&answer, code) {
            (Some(_), _) => LegState::Early,
            (None, 180) => LegState::Ringing,
            (None, _) => LegState::Trying,
        };
        let is_told = self.is_told(branch, answer.is_some());
        let told = if self.state == State::Searching && is_told { vec![leg, LegId::CALLER] } else { vec![leg] };
        for at in told {
            let leg = &mut self.legs[at];
            if leg.state != LegState::Early && state != LegState::Trying {
                leg.state = state;
            }
        }
        if self.state == State::Rerouting && (180..=183).contains(&code) {
            self.tell_news(now, edge, code);
        }
        // A caller that hears us already is not to ring.
        if !is_told || !(180..=183).contains(&code) || self.is_early() {
            return;
        }
        let body = answer.map(|d| Body::sdp(d.to_string()));
        let headers = self.passing(edge, headers, leg, LegId::CALLER);
        self.ring_caller(now, edge, Answer { code, body, headers, ..Answer::default() });
    }

    /// Whether the caller is told of a 18x: of several targets only the first ringing, and of the one that it hears.
    fn is_told(&self, branch: Branch, has_media: bool) -> bool {
        let others = || self.search.attempts.iter().filter(|(other, _)| *other != branch).map(|(_, attempt)| attempt);
        if others().any(|attempt| attempt.early.is_heard) {
            return false;
        }
        let heard = has_media || self.attempt(branch).is_some_and(|attempt| attempt.early.is_heard);
        heard || others().next().is_none() || self.legs[LegId::CALLER].state == LegState::Trying
    }

    /// Takes an early dialog's description, and wires its media where the caller is to hear it: ours to the caller.
    fn early_media(
        &mut self,
        now: Instant,
        edge: &mut Edge,
        branch: Branch,
        leg: LegId,
        (dialog, sdp, is_reliable): (Option<DialogId>, &Bytes, bool),
    ) -> Option<Description> {
        let theirs = self.legs.read(edge, leg, sdp).ok()?;
        let early = &mut self.attempt_mut(branch)?.early;
        if early.is_changed(dialog) {
            return None;
        }
        let is_newest = early.say(dialog, Written::new(&theirs), is_reliable);
        let other_is_heard =
            self.search.attempts.iter().any(|(other, attempt)| other != branch && attempt.early.is_heard);
        if !is_newest || other_is_heard || !self.may_be_told(edge) {
            return None;
        }
        self.hear(now, edge, branch, leg, sdp)
    }

    /// Wires early media to the caller.
    fn hear(&mut self, now: Instant, edge: &mut Edge, branch: Branch, leg: LegId, sdp: &[u8]) -> Option<Description> {
        let ours = self.agree(now, edge, leg, Some(sdp)).ok()?;
        self.attempt_mut(branch)?.early.is_heard = true;
        Some(ours)
    }

    /// 199 (RFC 6228 §4): one far end behind the target is out. The caller, who sees one dialog, hears nothing of that.
    fn early_dialog_over(
        &mut self,
        now: Instant,
        edge: &mut Edge,
        branch: Branch,
        leg: LegId,
        dialog: Option<DialogId>,
    ) {
        let (Some(dialog), Some(attempt)) = (dialog, self.attempt_mut(branch)) else { return };
        if !attempt.early.end(dialog) || !attempt.early.is_heard {
            return;
        }
        attempt.early.is_heard = false;
        let next = attempt.early.newest();
        let heard = next.and_then(|said| self.hear(now, edge, branch, leg, said.as_bytes()));
        if heard.is_none() {
            self.hear_another(now, edge);
        }
    }

    /// Where the one that the caller heard is out, another that rings and has media is heard.
    pub(crate) fn hear_another(&mut self, now: Instant, edge: &mut Edge) {
        if !self.may_be_told(edge) || self.search.attempts.values().any(|attempt| attempt.early.is_heard) {
            return;
        }
        let has_media = |branch: Branch, call: &Call| {
            let attempt = call.attempt(branch)?;
            Some((branch, attempt.progress.calling()?, attempt.early.newest()?))
        };
        let ready: Vec<_> = self.search.attempts.iter().filter_map(|(branch, _)| has_media(branch, self)).collect();
        for (branch, leg, said) in ready {
            let Some(ours) = self.hear(now, edge, branch, leg, said.as_bytes()) else { continue };
            self.legs[leg].state = LegState::Early;
            if !self.is_early() {
                let body = Some(Body::sdp(ours.to_string()));
                self.ring_caller(now, edge, Answer { code: 183, body, ..Answer::default() });
            }
            return;
        }
    }

    /// Tells the caller that it rings; nothing once it has its answer.
    pub(crate) fn ring_caller(&mut self, now: Instant, edge: &mut Edge, answer: Answer) {
        let Some(server) = self.legs[LegId::CALLER].server else { return };
        let is_first = self.times.first_ring.is_none();
        if is_first {
            let delay = self.age(now);
            self.times.first_ring = Some(delay);
            edge.metrics.post_dial_delay_seconds.observe(delay.as_secs_f64());
        }
        let answer = Answer { contact_user: self.contact_user(), ..answer };
        self.tell_early(now, edge, server, answer);
        if is_first {
            edge.changed(self.change(Happening::CallRinging));
        }
    }
}

/// 199 Early Dialog Terminated.
const EARLY_DIALOG_TERMINATED: u16 = 199;

#[cfg(test)]
mod tests {
    use super::*;

    fn said(port: u16) -> Written {
        let text = format!(
            "v=0\r\no=- 7 {port} IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\n"
        );
        Written::new(&Description::parse(text.as_bytes()).unwrap())
    }

    #[test]
    fn each_dialog_has_its_own_and_the_newest_is_the_last_that_began() {
        let mut early = EarlyMedia::default();
        let [a, b, c] = [1, 2, 3].map(DialogId);
        assert!(early.say(Some(a), said(4000), false));
        assert!(early.say(Some(b), said(4002), false));
        assert!(!early.say(Some(a), said(4004), false), "a repetition makes nobody newer");
        assert_eq!((early.of(a), early.of(b), early.of(c)), (Some(said(4004)), Some(said(4002)), None));
        assert!(early.end(b) && !early.end(b));
        assert_eq!(early.newest(), Some(said(4004)));
        early.say(None, said(4006), false);
        assert_eq!(early.of(c), Some(said(4006)), "one without a tag is anybody's");
        assert_eq!(early.of(a), Some(said(4004)));
    }

    #[test]
    fn no_more_early_dialogs_are_kept_than_so_many() {
        let mut early = EarlyMedia::default();
        for n in 0..=EARLY_DIALOGS as u64 {
            assert!(early.say(Some(DialogId(n)), said(4000), false));
        }
        assert_eq!(
            (early.dialogs.len(), early.of(DialogId(0)), early.of(DialogId(1))),
            (EARLY_DIALOGS, None, Some(said(4000)))
        );
    }
}

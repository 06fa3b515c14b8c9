//! Media descriptions of early dialogs, kept apart per dialog; the caller hears the media of one of them.
//!
//! Among the forks of one INVITE, the newest is heard: most are tried one after the other. Among targets that ring at
//! the same time, the first with media is heard until it fails, then another one with media. The answer is independent
//! of the dialog heard before.

use trunkgate_resources::limits::EARLY_DIALOGS;
use trunkgate_sip::DialogId;

use crate::call::legs::written::Written;

/// Early dialogs of one INVITE that have sent a description.
#[derive(Debug, Default)]
pub(crate) struct EarlyMedia {
    /// Dialogs in the order of their first description; the last one is heard.
    dialogs: Vec<EarlyDialog>,
    /// True if the caller hears the newest dialog.
    pub(crate) is_heard: bool,
}

/// Early dialog with its description.
#[derive(Debug)]
struct EarlyDialog {
    id: Option<DialogId>,
    /// Latest description of the dialog.
    said: Written,
    /// True if the description was sent reliably; if so, both sides may make further offers (RFC 3311 §5.1).
    is_reliable: bool,
    /// True once a later exchange has replaced the description; if so, the description in the 2xx no longer counts.
    is_changed: bool,
}

impl EarlyMedia {
    /// Stores the description of a dialog from a response to the INVITE; returns whether the dialog is the newest.
    pub(crate) fn say(&mut self, dialog: Option<DialogId>, said: Written, is_reliable: bool) -> bool {
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

    /// Removes a terminated dialog; returns whether it was the newest.
    pub(crate) fn end(&mut self, dialog: DialogId) -> bool {
        let was_newest = self.dialogs.last().is_some_and(|last| last.id == Some(dialog));
        self.dialogs.retain(|known| known.id != Some(dialog));
        was_newest
    }

    /// Stores the result of a further offer/answer exchange in the dialog that is heard.
    pub(crate) fn change(&mut self, said: Written) {
        if let Some(last) = self.dialogs.last_mut() {
            (last.said, last.is_changed) = (said, true);
        }
    }

    /// Returns whether a later exchange has replaced the description in a dialog's response to the INVITE.
    pub(crate) fn is_changed(&self, dialog: Option<DialogId>) -> bool {
        self.dialogs.iter().any(|known| known.id == dialog && known.is_changed)
    }

    /// Returns the dialog that is heard if it is the only one, and whether its description was sent reliably.
    pub(crate) fn only(&self) -> Option<(DialogId, bool)> {
        match self.dialogs.as_slice() {
            [only] if self.is_heard => Some((only.id?, only.is_reliable)),
            _ => None,
        }
    }

    /// Returns the description of a dialog; without one, a description that came without a To tag (RFC 3261 §12.1).
    /// `None` if there is neither.
    pub(crate) fn of(&self, dialog: DialogId) -> Option<Written> {
        let said = |wanted| self.dialogs.iter().find(|known| known.id == wanted);
        said(Some(dialog)).or_else(|| said(None)).map(|known| known.said.clone())
    }

    pub(crate) fn newest(&self) -> Option<Written> {
        self.dialogs.last().map(|last| last.said.clone())
    }
}

/// 199 Early Dialog Terminated.
pub(crate) const EARLY_DIALOG_TERMINATED: u16 = 199;

#[cfg(test)]
mod tests {
    use trunkgate_sdp::SessionDescription;

    use super::*;

    fn said(port: u16) -> Written {
        let text = format!(
            "v=0\r\no=- 7 {port} IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\n"
        );
        Written::new(&SessionDescription::parse(text.as_bytes()).unwrap())
    }

    #[test]
    fn each_dialog_has_its_own_and_the_newest_is_the_last_that_began() {
        let mut early = EarlyMedia::default();
        let [a, b, c] = [1, 2, 3].map(DialogId);
        assert!(early.say(Some(a), said(4000), false));
        assert!(early.say(Some(b), said(4002), false));
        assert!(!early.say(Some(a), said(4004), false), "a repetition does not make a target newer");
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

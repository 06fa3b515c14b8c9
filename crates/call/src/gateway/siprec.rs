//! Requests for recording sessions (SIPREC) of calls.

use std::time::Instant;

use trunkgate_story::view::SiprecView;

use crate::call::refused::Refused;
use crate::call::siprec::{self, SiprecChange};
use crate::gateway::Gateway;

impl Gateway {
    /// Pauses, resumes or ends the recording of a live call by a group of recording servers (`[siprec.NAME]`). Drain
    /// [`Self::poll_output`] afterwards.
    ///
    /// # Errors
    /// Why it stays as it is.
    pub fn change_siprec(
        &mut self,
        now: Instant,
        sid: &str,
        name: &str,
        change: SiprecChange,
    ) -> Result<SiprecView, Refused> {
        self.ask(now, sid, |parts, cx| siprec::change(&mut parts.bridge.media, cx, name, change))
    }
}

//! A request from outside gives a program another document.

use trunkgate_twiml::Source;

use crate::call::State;
use crate::call::program::{Dialler, Runner, Waits};
use crate::call::refused::Refused;
use crate::call::shared::Cx;

impl Runner<'_> {
    /// Has the program go on with another document, whatever it does now.
    ///
    /// # Errors
    /// No application has the call, or the text is no document: nothing changes then.
    pub(crate) fn redirect(&mut self, cx: &mut Cx<'_>, source: Source) -> Result<(), Refused> {
        match cx.call.state {
            State::Leaving | State::Ended => return Err(Refused::CallEnded),
            State::Searching | State::Answered | State::Rerouting => {}
        }
        let Some(run) = self.parts.program.as_ref().filter(|run| !run.is_announcement()) else {
            return Err(Refused::NoApplication);
        };
        // A text that is no document must change nothing, also where a called party hears its own.
        if let Source::Text(text) = &source
            && trunkgate_twiml::parse(text).is_err()
        {
            return Err(Refused::BadDocument);
        }
        if run.is_whispering() {
            // The party that hears its document is part of the Dial that ends.
            Dialler::of(self.parts).drop_whisper(cx);
        }
        let waits_for_caller = self.parts.program.as_ref().is_some_and(|run| run.waits == Waits::Caller);
        if !waits_for_caller {
            self.drop_question(cx);
        }
        let Some(run) = &mut self.parts.program else { return Err(Refused::NoApplication) };
        let time = run.time(cx.now);
        run.under_way = None;
        match run.program.redirect(time, source) {
            Ok(true) => {}
            Ok(false) => return Err(Refused::CallEnded),
            Err(_) => return Err(Refused::BadDocument),
        }
        self.run_program(cx);
        Ok(())
    }
}

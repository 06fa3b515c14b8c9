//! A caller before a mixer: the end of its media session that says what it says to the others, and by which it hears them.

use trunkgate_conference::{ConferenceId, NodeCommand, Rate, SeatId, ring};
use trunkgate_media::{Coding, Command, EndId, SeatSpec, TapSpec};
use trunkgate_resources::io::Output;

use crate::call::Parts;
use crate::call::shared::Cx;

/// A caller's end before a mixer.
#[derive(Debug)]
pub(crate) struct Chair {
    end: EndId,
    /// What of the caller the others hear, and by which of its ends.
    hears: Option<(EndId, TapSpec)>,
}

impl Chair {
    /// Adds an end to the caller's media session, and its rings to the mixer, where the caller is away until it is given a part.
    ///
    /// # Errors
    /// Why there is none, in words.
    pub(crate) fn take(
        parts: &Parts,
        cx: &mut Cx<'_>,
        conference: ConferenceId,
        seat: SeatId,
    ) -> Result<Chair, &'static str> {
        let coding = match cx.call.legs.agent_in_place_of_caller() {
            Some(_) => Coding::Pcmu,
            None => parts.bridge.media.spoken_end(cx.call).ok_or("the edge cannot speak to the caller")?.1.coding,
        };
        Chair::at(cx, (conference, seat), rate_of(coding))
    }

    /// Adds an end of this rate, and its rings to the mixer, where it is away until it is given a part.
    ///
    /// # Errors
    /// Why there is none, in words.
    pub(crate) fn at(
        cx: &mut Cx<'_>,
        (conference, seat): (ConferenceId, SeatId),
        rate: Rate,
    ) -> Result<Chair, &'static str> {
        let media = cx.call.session.ok_or("the call has no media")?;
        let end = cx.edge.new_end(media).ok_or("the call has too many streams")?;
        let ((says, from), (to, hears)) = (ring(rate), ring(rate));
        let spec = SeatSpec::new(says, hears, cx.edge.config.epoch.0).ok_or("the call has too many streams")?;
        cx.edge.media(media, Command::AddSeat { end, spec });
        let command = NodeCommand::Seat { conference, seat, from, to };
        cx.edge.turn.outputs.push_back(Output::Conference(Box::new(command)));
        Ok(Chair { end, hears: None })
    }

    /// Takes the end away; the caller hears the program's player again.
    pub(crate) fn leave(&self, parts: &mut Parts, cx: &mut Cx<'_>) {
        parts.bridge.media.drop_seat(cx, self.end);
    }

    /// Returns its end.
    pub(crate) fn end(&self) -> EndId {
        self.end
    }

    /// Takes what of the caller is there to be heard; returns the command for the media session, where that is new.
    pub(crate) fn listen_to(&mut self, heard: &(EndId, TapSpec)) -> Option<Command> {
        let is_new = self.hears.as_ref() != Some(heard);
        is_new.then(|| {
            let (of, audio) = heard.clone();
            self.hears = Some(heard.clone());
            Command::Tap { of, listener: self.end, audio }
        })
    }
}

/// Returns the rate at which a mixer takes a party that speaks this.
pub(crate) fn rate_of(coding: Coding) -> Rate {
    if coding.is_g711() { Rate::Narrow } else { Rate::Wide }
}

//! Ends of a media session before a mixer: they say to the others what their party says, and by them it hears the others.

use trunkgate_conference::{ConferenceId, NodeCommand, Rate, SeatId, ring};
use trunkgate_media::agent::TrackSet;
use trunkgate_media::{Coding, Command, EndId, SeatSpec, TapSpec};
use trunkgate_resources::io::Output;

use crate::call::media::CallMedia;
use crate::call::shared::Cx;

/// An end before a mixer.
#[derive(Debug)]
pub(crate) struct MixerEnd {
    end: EndId,
    /// What of its party the others hear, and by which of its ends.
    hears: Option<(EndId, TapSpec)>,
}

impl MixerEnd {
    /// Adds an end of this rate to the media session, and its rings to the mixer, where it is away until it is given a part.
    ///
    /// # Errors
    /// Why there is none, in words.
    pub(crate) fn add(
        cx: &mut Cx<'_>,
        (conference, seat): (ConferenceId, SeatId),
        rate: Rate,
    ) -> Result<MixerEnd, &'static str> {
        let media = cx.call.session.ok_or("the call has no media")?;
        let end = cx.edge.new_end(media).ok_or("the call has too many streams")?;
        let ((says, from), (to, hears)) = (ring(rate), ring(rate));
        let spec = SeatSpec::new(says, hears, cx.edge.config().epoch.0).ok_or("the call has too many streams")?;
        cx.edge.media(media, Command::AddSeat { end, spec });
        let command = NodeCommand::Seat { conference, seat, from, to };
        cx.edge.output(Output::Conference(Box::new(command)));
        Ok(MixerEnd { end, hears: None })
    }

    /// Returns its number in the media session.
    pub(crate) fn id(&self) -> EndId {
        self.end
    }

    /// Takes what of its party is there to be heard; returns the command for the media session, where that is new.
    pub(crate) fn listen_to(&mut self, heard: &(EndId, TapSpec)) -> Option<Command> {
        let is_new = self.hears.as_ref() != Some(heard);
        is_new.then(|| {
            let (of, audio) = heard.clone();
            self.hears = Some(heard.clone());
            Command::Tap { of, listener: self.end, audio }
        })
    }
}

/// The caller's end before a mixer: in a conference, or where a queue has connected it with another call.
#[derive(Debug)]
pub(crate) struct CallerSeat {
    end: EndId,
    /// Whether the caller hears it instead of the program's player.
    is_heard: bool,
}

impl CallerSeat {
    /// Adds the caller's end, which the caller hears once it talks to the program again.
    ///
    /// # Errors
    /// Why there is none, in words.
    pub(crate) fn take(
        media: &mut CallMedia,
        cx: &mut Cx<'_>,
        conference: ConferenceId,
        seat: SeatId,
    ) -> Result<(), &'static str> {
        let coding = match cx.call.legs.agent_in_place_of_caller() {
            Some(_) => Coding::Pcmu,
            None => media.spoken_end(cx.call).ok_or("the edge cannot speak to the caller")?.1.coding,
        };
        let MixerEnd { end, .. } = MixerEnd::add(cx, (conference, seat), rate_of(coding))?;
        cx.call.listeners.add(end, TrackSet::Both);
        media.seat = Some(CallerSeat { end, is_heard: true });
        Ok(())
    }

    /// Takes the end away; the caller hears the program's player again.
    pub(crate) fn leave(media: &mut CallMedia, cx: &mut Cx<'_>) {
        if let Some(CallerSeat { end, .. }) = media.seat.take() {
            cx.call.listeners.remove(end);
            media.drop_seat(cx, end);
        }
    }

    /// Sets whether the caller hears it, from its next talk to the program on.
    pub(crate) fn hear(&mut self, is_heard: bool) {
        self.is_heard = is_heard;
    }

    /// Returns its number in the media session.
    pub(crate) fn id(&self) -> EndId {
        self.end
    }

    /// Returns its number where the caller hears it.
    pub(crate) fn heard(&self) -> Option<EndId> {
        self.is_heard.then_some(self.end)
    }
}

/// Returns the rate at which a mixer takes a party that speaks this.
pub(crate) fn rate_of(coding: Coding) -> Rate {
    if coding.is_g711() { Rate::Narrow } else { Rate::Wide }
}

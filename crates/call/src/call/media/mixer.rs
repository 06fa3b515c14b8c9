//! Media ends connected to a conference mixer: each sends its party's audio to the mixer and receives the mix for it.

use trunkgate_conference::{ConferenceId, NodeCommand, ParticipantId, SamplingRate, ring};
use trunkgate_media::agent::TrackSet;
use trunkgate_media::{AudioListenerSpec, EndId, MediaCommand, MixerPortSpec, PayloadCodec, TapSpec};
use trunkgate_resources::io::GatewayOutput;

use crate::call::media::CallMedia;
use crate::call::shared::CallCx;

/// Reason why a caller cannot join a conference or a queue.
pub(crate) const NO_AUDIO_TO_CALLER: &str = "the edge cannot send audio to the caller: no codec is agreed between them";

/// Media end connected to a mixer.
#[derive(Debug)]
pub(crate) struct MixerEnd {
    end: EndId,
    /// Audio of the party sent to the mixer, and the media end from which it is copied.
    hears: Option<(EndId, TapSpec)>,
}

impl MixerEnd {
    /// Adds a media end with this sample rate, and connects it to the mixer. The seat is silent until it gets a role.
    ///
    /// # Errors
    /// The call has no media session, or too many streams: the reason as a message.
    pub(crate) fn add(
        cx: &mut CallCx<'_>,
        (conference, seat): (ConferenceId, ParticipantId),
        rate: SamplingRate,
    ) -> Result<MixerEnd, &'static str> {
        let media = cx.call.session.ok_or("the call has no media")?;
        let end = cx.edge.new_end(media).ok_or("the call has too many streams")?;
        let ((says, from), (to, hears)) = (ring(rate), ring(rate));
        let spec = MixerPortSpec::new(says, hears, cx.edge.config().epoch.0).ok_or("the call has too many streams")?;
        cx.edge.media(media, MediaCommand::AddListener { end, spec: AudioListenerSpec::Seat(spec) });
        let command = NodeCommand::Seat { conference, seat, from, to };
        cx.edge.output(GatewayOutput::Conference(Box::new(command)));
        Ok(MixerEnd { end, hears: None })
    }

    /// Returns the id of the media end.
    pub(crate) fn id(&self) -> EndId {
        self.end
    }

    /// Sets the audio that the party sends to the mixer; returns the command for the media session if it has changed.
    pub(crate) fn listen_to(&mut self, heard: &(EndId, TapSpec)) -> Option<MediaCommand> {
        let is_new = self.hears.as_ref() != Some(heard);
        is_new.then(|| {
            let (of, audio) = heard.clone();
            self.hears = Some(heard.clone());
            MediaCommand::Tap { of, listener: self.end, audio }
        })
    }
}

/// Mixer input of the caller: in a conference, or in a connection with another call by a queue.
#[derive(Debug)]
pub(crate) struct CallerMixerEnd {
    end: EndId,
    /// True if the caller hears the mix instead of the application's player.
    is_heard: bool,
}

impl CallerMixerEnd {
    /// Adds the caller's mixer input. The caller hears the mix from its next connection to the application on.
    ///
    /// # Errors
    /// The edge cannot send audio to the caller, or no media end could be added: the reason as a message.
    pub(crate) fn take(
        media: &mut CallMedia,
        cx: &mut CallCx<'_>,
        conference: ConferenceId,
        seat: ParticipantId,
    ) -> Result<(), &'static str> {
        let coding = match cx.call.legs.agent_in_place_of_caller() {
            Some(_) => PayloadCodec::Pcmu,
            None => media.spoken_end(cx.call).ok_or(NO_AUDIO_TO_CALLER)?.1.coding,
        };
        let MixerEnd { end, .. } = MixerEnd::add(cx, (conference, seat), rate_of(coding))?;
        cx.call.listeners.add(end, TrackSet::Both);
        media.mixer_end = Some(CallerMixerEnd { end, is_heard: true });
        Ok(())
    }

    /// Removes the caller's mixer input; from its next connection to the application on, the caller hears the player
    /// again.
    pub(crate) fn leave(media: &mut CallMedia, cx: &mut CallCx<'_>) {
        if let Some(CallerMixerEnd { end, .. }) = media.mixer_end.take() {
            cx.call.listeners.remove(end);
            media.drop_seat(cx, end);
        }
    }

    /// Sets whether the caller hears the mix, from its next connection to the application on.
    pub(crate) fn hear(&mut self, is_heard: bool) {
        self.is_heard = is_heard;
    }

    /// Returns the id of the caller's media end at the mixer.
    pub(crate) fn id(&self) -> EndId {
        self.end
    }

    /// Returns the id of the media end if the caller hears the mix.
    pub(crate) fn heard(&self) -> Option<EndId> {
        self.is_heard.then_some(self.end)
    }
}

/// Returns the mixer's sample rate for a codec.
pub(crate) fn rate_of(coding: PayloadCodec) -> SamplingRate {
    if coding.is_g711() { SamplingRate::Narrow } else { SamplingRate::Wide }
}

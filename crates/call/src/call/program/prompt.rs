//! What the caller of a program hears, and the digits that it presses.

use std::sync::Arc;
use std::time::Duration;

use trunkgate_media::{HoldSound, Sound};
use trunkgate_resources::applications::question::AppWanted;
use trunkgate_resources::lookups::deadlines::Timer;
use trunkgate_twiml::{Input, Location, Loop, Say, Secret};

use crate::call::media::CallMedia;
use crate::call::negotiation::Bridge;
use crate::call::program::effects::ProgramEffect;
use crate::call::program::{Run, Waits};
use crate::call::shared::Cx;
use crate::call::words::webhooks;

/// From the beginning of a digit that is played to that of the next one.
const DIGIT: Duration = Duration::from_millis(200);
/// Pause of `w`.
const SHORT_PAUSE: Duration = Duration::from_millis(500);
/// Pause of `W`.
const LONG_PAUSE: Duration = Duration::from_secs(1);

impl Run {
    /// Has a text spoken.
    pub(crate) fn say(&mut self, cx: &mut Cx<'_>, id: u32, say: Say) -> ProgramEffect {
        let Say { text, ssml, voice, language, repeat } = say;
        self.ask_for_sound(cx, (id, repeat), AppWanted::Speech { text, ssml, voice, language });
        ProgramEffect::Stay
    }

    /// Has a sound file played.
    pub(crate) fn play_file(&mut self, cx: &mut Cx<'_>, id: u32, location: &Location, repeat: Loop) -> ProgramEffect {
        if let Some(place) = webhooks::place(location) {
            self.ask_for_sound(cx, (id, repeat), AppWanted::Sound(place));
        }
        ProgramEffect::Stay
    }

    fn ask_for_sound(&mut self, cx: &mut Cx<'_>, (id, repeat): (u32, Loop), wanted: AppWanted) {
        self.drop_question(cx);
        let query = cx.edge.ask_for(cx.call.key, cx.call.legs.sid(), &self.app, wanted);
        self.waits = Waits::Sound { query, id, repeat };
    }

    /// A sound that the program has asked for is there.
    pub(crate) fn play_sound(
        &mut self,
        cx: &mut Cx<'_>,
        media: &mut CallMedia,
        (id, repeat): (u32, Loop),
        sound: Arc<[u8]>,
    ) -> ProgramEffect {
        let (heard, left) = match repeat {
            Loop::Times(times) => (Sound::Once(sound.clone()), times.saturating_sub(1)),
            Loop::Forever => (Sound::Hold(HoldSound { first: None, music: Some(sound.clone()) }), u32::MAX),
        };
        self.waits = Waits::Played { id, sound, left };
        media.play_to_party(cx, heard);
        ProgramEffect::Run
    }

    /// The sound of the program's player has been heard to its end.
    pub(crate) fn sound_played(&mut self, cx: &mut Cx<'_>, media: &mut CallMedia) -> ProgramEffect {
        let Waits::Played { id, sound, left } = std::mem::replace(&mut self.waits, Waits::Nothing) else {
            return ProgramEffect::Stay;
        };
        if left == 0 {
            return self.end_step(cx.now, Input::Played { id });
        }
        self.waits = Waits::Played { id, sound: sound.clone(), left: left - 1 };
        media.play_to_party(cx, Sound::Once(sound));
        ProgramEffect::Stay
    }

    /// Stops what the caller hears, or was about to hear.
    pub(crate) fn stop_playing(&mut self, cx: &mut Cx<'_>, media: &mut CallMedia) {
        self.drop_question(cx);
        self.under_way = None;
        if matches!(self.waits, Waits::Played { .. } | Waits::Digits { .. }) {
            self.waits = Waits::Nothing;
        }
        media.play_to_party(cx, Sound::Silence);
    }

    /// Sends digits to the party whose program it is, in that party's own form.
    pub(crate) fn play_digits(
        &mut self,
        cx: &mut Cx<'_>,
        bridge: &mut Bridge,
        (id, repeat): (u32, Loop),
        digits: Secret,
    ) -> ProgramEffect {
        // A document for a conference that the caller has left may still be outstanding.
        self.drop_question(cx);
        let left = match repeat {
            Loop::Times(times) => times.saturating_sub(1),
            Loop::Forever => u32::MAX,
        };
        self.waits = Waits::Digits { id, digits, played: 0, left };
        self.play_next_digit(cx, bridge)
    }

    /// Sends the next digit, or waits where the next sign is a pause.
    pub(crate) fn play_next_digit(&mut self, cx: &mut Cx<'_>, bridge: &mut Bridge) -> ProgramEffect {
        cx.disarm(Timer::Program);
        let Waits::Digits { id, digits, played, left } = &mut self.waits else { return ProgramEffect::Stay };
        let id = *id;
        let next = digits.reveal().chars().nth(*played).or_else(|| {
            let again = left.checked_sub(1)?;
            (*left, *played) = (again, 0);
            digits.reveal().chars().next()
        });
        let Some(next) = next else {
            self.waits = Waits::Nothing;
            return self.end_step(cx.now, Input::Played { id });
        };
        *played += 1;
        let wait = match next {
            'w' => SHORT_PAUSE,
            'W' => LONG_PAUSE,
            digit => {
                let digit = digit.to_string();
                let is_taken = match &self.called {
                    Some(called) => bridge.press_for_called(cx, called.parted.leg, &digit),
                    None => bridge.press_for_caller(cx, &digit),
                };
                if !is_taken {
                    cx.edge.decide(cx.now, cx.call.key, "a digit is not sent: that side takes none");
                }
                DIGIT
            }
        };
        cx.arm(Timer::Program, wait);
        ProgramEffect::Stay
    }

    /// Gives up what the program has asked the shell for.
    pub(crate) fn drop_question(&mut self, cx: &mut Cx<'_>) {
        if let Waits::Document { query, .. } | Waits::Sound { query, .. } = self.waits {
            cx.edge.give_up(query);
            self.waits = Waits::Nothing;
        }
    }
}

//! What the caller of a program hears, and the digits that it presses.

use std::sync::Arc;
use std::time::Duration;

use trunkgate_media::{HoldSound, Sound};
use trunkgate_resources::app::AppWanted;
use trunkgate_resources::deadlines::Timer;
use trunkgate_twiml::{Input, Location, Loop, Say, Secret};

use crate::call::program::{Prompter, Runner, Waits, parameters};
use crate::call::shared::Cx;

/// From the beginning of a digit that is played to that of the next one.
const DIGIT: Duration = Duration::from_millis(200);
/// Pause of `w`.
const SHORT_PAUSE: Duration = Duration::from_millis(500);
/// Pause of `W`.
const LONG_PAUSE: Duration = Duration::from_secs(1);

impl Prompter<'_> {
    /// Has a text spoken.
    pub(crate) fn say(&mut self, cx: &mut Cx<'_>, id: u32, say: Say) {
        let Say { text, ssml, voice, language, repeat } = say;
        self.ask_for_sound(cx, (id, repeat), AppWanted::Speech { text, ssml, voice, language });
    }

    /// Has a sound file played.
    pub(crate) fn play_file(&mut self, cx: &mut Cx<'_>, id: u32, location: &Location, repeat: Loop) {
        if let Some(place) = parameters::place(location) {
            self.ask_for_sound(cx, (id, repeat), AppWanted::Sound(place));
        }
    }

    fn ask_for_sound(&mut self, cx: &mut Cx<'_>, (id, repeat): (u32, Loop), wanted: AppWanted) {
        Runner::of(self.parts).drop_question(cx);
        let Some(run) = &mut self.parts.program.run else { return };
        let query = cx.edge.ask_for(cx.call.key, cx.call.legs.sid(), &run.app, wanted);
        run.waits = Waits::Sound { query, id, repeat };
    }

    /// A sound that the program has asked for is there.
    pub(crate) fn play_sound(&mut self, cx: &mut Cx<'_>, id: u32, repeat: Loop, sound: Arc<[u8]>) {
        let Some(run) = &mut self.parts.program.run else { return };
        let (heard, left) = match repeat {
            Loop::Times(times) => (Sound::Once(sound.clone()), times.saturating_sub(1)),
            Loop::Forever => (Sound::Hold(HoldSound { first: None, music: Some(sound.clone()) }), u32::MAX),
        };
        run.waits = Waits::Played { id, sound, left };
        self.parts.bridge.media.play_to_party(cx, heard);
        Runner::of(self.parts).run_program(cx);
    }

    /// The sound of the program's player has been heard to its end.
    pub(crate) fn program_played(&mut self, cx: &mut Cx<'_>) {
        let Some(run) = &mut self.parts.program.run else { return };
        let Waits::Played { id, sound, left } = std::mem::replace(&mut run.waits, Waits::Nothing) else { return };
        if left == 0 {
            return Runner::of(self.parts).tell_program(cx, Input::Played { id });
        }
        run.waits = Waits::Played { id, sound: sound.clone(), left: left - 1 };
        self.parts.bridge.media.play_to_party(cx, Sound::Once(sound));
    }

    /// Stops what the caller hears, or was about to hear.
    pub(crate) fn stop_playing(&mut self, cx: &mut Cx<'_>) {
        Runner::of(self.parts).drop_question(cx);
        let Some(run) = &mut self.parts.program.run else { return };
        run.under_way = None;
        if matches!(run.waits, Waits::Played { .. } | Waits::Digits { .. }) {
            run.waits = Waits::Nothing;
        }
        self.parts.bridge.media.play_to_party(cx, Sound::Silence);
    }

    /// Sends digits to the party whose program it is, in that party's own form.
    pub(crate) fn play_digits(&mut self, cx: &mut Cx<'_>, id: u32, digits: Secret, repeat: Loop) {
        // A document for a conference that the caller has left may still be outstanding.
        Runner::of(self.parts).drop_question(cx);
        let left = match repeat {
            Loop::Times(times) => times.saturating_sub(1),
            Loop::Forever => u32::MAX,
        };
        if let Some(run) = &mut self.parts.program.run {
            run.waits = Waits::Digits { id, digits, played: 0, left };
            self.play_next_digit(cx);
        }
    }

    /// Sends the next digit, or waits where the next sign is a pause.
    pub(crate) fn play_next_digit(&mut self, cx: &mut Cx<'_>) {
        cx.disarm(Timer::Program);
        let Some(run) = &mut self.parts.program.run else { return };
        let Waits::Digits { id, digits, played, left } = &mut run.waits else { return };
        let id = *id;
        let next = digits.reveal().chars().nth(*played).or_else(|| {
            let again = left.checked_sub(1)?;
            (*left, *played) = (again, 0);
            digits.reveal().chars().next()
        });
        let Some(next) = next else {
            run.waits = Waits::Nothing;
            return Runner::of(self.parts).tell_program(cx, Input::Played { id });
        };
        *played += 1;
        let wait = match next {
            'w' => SHORT_PAUSE,
            'W' => LONG_PAUSE,
            digit => {
                let digit = digit.to_string();
                let is_taken = match self.parts.program.run.as_ref().and_then(|run| run.called.as_ref()) {
                    Some(called) => self.parts.bridge.press_for_called(cx, called.parted.leg, &digit),
                    None => self.parts.bridge.press_for_caller(cx, &digit),
                };
                if !is_taken {
                    cx.edge.decide(cx.now, cx.call.key, "a digit is not sent: that side takes none");
                }
                DIGIT
            }
        };
        cx.arm(Timer::Program, wait);
    }
}

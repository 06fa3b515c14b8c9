//! Sounds and digits that a program plays to its caller.

use std::sync::Arc;
use std::time::Duration;

use trunkgate_media::{HoldSound, PlayerSound};
use trunkgate_resources::lookups::deadlines::CallTimer;
use trunkgate_twiml::{LoopCount, ProgramInput, SensitiveText};

use crate::call::media::CallMedia;
use crate::call::negotiation::Bridge;
use crate::call::program::ProgramRun;
use crate::call::program::effects::ProgramEffect;
use crate::call::program::runner::{ProgramWait, SoundEnd, further_times};
use crate::call::shared::CallCx;

/// Time from the start of one digit to the start of the next.
const DIGIT: Duration = Duration::from_millis(200);
/// Length of the pause `w` between digits.
const SHORT_PAUSE: Duration = Duration::from_millis(500);
/// Length of the pause `W` between digits.
const LONG_PAUSE: Duration = Duration::from_secs(1);

impl ProgramRun {
    /// Plays a sound that the program has requested.
    pub(crate) fn play_sound(
        &mut self,
        cx: &mut CallCx<'_>,
        media: &mut CallMedia,
        (id, repeat): (u32, LoopCount),
        sound: Arc<[u8]>,
    ) -> ProgramEffect {
        let heard = match repeat {
            LoopCount::Times(_) => PlayerSound::Once(sound.clone()),
            LoopCount::Forever => PlayerSound::Hold(HoldSound { first: None, music: Some(sound.clone()) }),
        };
        self.runner.begin_sound((id, repeat), sound);
        media.play_to_party(cx, heard);
        ProgramEffect::Run
    }

    /// Handles the end of a sound of the program's player.
    pub(crate) fn sound_played(&mut self, cx: &mut CallCx<'_>, media: &mut CallMedia) -> ProgramEffect {
        match self.runner.end_sound(cx.now) {
            None => ProgramEffect::Stay,
            Some(SoundEnd::Again(sound)) => {
                media.play_to_party(cx, PlayerSound::Once(sound));
                ProgramEffect::Stay
            }
            Some(SoundEnd::StepOver) => {
                self.under_way = None;
                ProgramEffect::Run
            }
        }
    }

    /// Stops the caller's current or pending sound.
    pub(crate) fn stop_playing(&mut self, cx: &mut CallCx<'_>, media: &mut CallMedia) {
        self.runner.stop_playing(cx.edge);
        self.under_way = None;
        media.play_to_party(cx, PlayerSound::Silence);
    }

    /// Sends digits to the party that the program belongs to, in that party's own DTMF format.
    pub(crate) fn play_digits(
        &mut self,
        cx: &mut CallCx<'_>,
        bridge: &mut Bridge,
        (id, repeat): (u32, LoopCount),
        digits: SensitiveText,
    ) -> ProgramEffect {
        // A document for a conference that the caller has left may still be outstanding.
        self.runner.drop_question(cx.edge);
        self.runner.waits = ProgramWait::Digits { id, digits, played: 0, left: further_times(repeat) };
        self.play_next_digit(cx, bridge)
    }

    /// Sends the next digit, or waits if the next character is a pause.
    pub(crate) fn play_next_digit(&mut self, cx: &mut CallCx<'_>, bridge: &mut Bridge) -> ProgramEffect {
        cx.disarm(CallTimer::Program);
        let ProgramWait::Digits { id, digits, played, left } = &mut self.runner.waits else {
            return ProgramEffect::Stay;
        };
        let id = *id;
        let next = digits.reveal().chars().nth(*played).or_else(|| {
            let again = left.checked_sub(1)?;
            (*left, *played) = (again, 0);
            digits.reveal().chars().next()
        });
        let Some(next) = next else {
            self.runner.waits = ProgramWait::Nothing;
            return self.end_step(cx.now, ProgramInput::Played { id });
        };
        *played += 1;
        let wait = match next {
            'w' => SHORT_PAUSE,
            'W' => LONG_PAUSE,
            digit => {
                let digit = digit.to_string();
                let is_taken = match &self.screened {
                    Some(called) => bridge.press_for_called(cx, called.party.leg, &digit),
                    None => bridge.press_for_caller(cx, &digit),
                };
                if !is_taken {
                    cx.edge.decide(cx.now, cx.call.key, "DTMF digit not sent: that side does not support DTMF");
                }
                DIGIT
            }
        };
        cx.arm(CallTimer::Program, wait);
        ProgramEffect::Stay
    }
}

//! What the caller of a program hears, and the digits that it presses.

use std::sync::Arc;
use std::time::Duration;

use trunkgate_media::{Command, EndId, HoldSound, PartedSpec, Sound, WireSpec};
use trunkgate_resources::app::AppWanted;
use trunkgate_resources::deadlines::Timer;
use trunkgate_resources::key::LegId;
use trunkgate_route::Dtmf;
use trunkgate_twiml::{Input, Location, Loop, Say, Secret};

use crate::call::negotiation::local::{Spoken, talks};
use crate::call::program::{Waits, parameters};
use crate::call::search::agents::Player;
use crate::call::shared::Cx;
use crate::call::{CallMedia, Parts};

/// Usual clock of telephone-events, in Hz.
const EVENT_CLOCK_HZ: u32 = 8000;
/// From the beginning of a digit that is played to that of the next one.
const DIGIT: Duration = Duration::from_millis(200);
/// Pause of `w`.
const SHORT_PAUSE: Duration = Duration::from_millis(500);
/// Pause of `W`.
const LONG_PAUSE: Duration = Duration::from_secs(1);

/// How digits of a party reach its program.
fn digits_of(spoken: Spoken, dtmf: Dtmf) -> WireSpec {
    let parted = PartedSpec {
        events: spoken.keys.map(|number| (number, event_clock_hz(spoken))).into_iter().collect(),
        tones: dtmf == Dtmf::Inband,
        digits_only: Some((spoken.audio, spoken.coding)),
        ..PartedSpec::default()
    };
    WireSpec { parted: Some(Box::new(parted)), ..WireSpec::default() }
}

/// The clock of the caller's telephone-events, in Hz: that which it wants of ours (RFC 4733 §2.1).
fn event_clock_hz(spoken: Spoken) -> u32 {
    spoken.presses.map_or(EVENT_CLOCK_HZ, |(_, clock_hz)| clock_hz)
}

impl CallMedia {
    /// Connects the caller with the program's player, which is silent until it is given a sound; digits of the caller go to
    /// the program. Nothing before the caller's media address is known.
    pub(crate) fn talk_to_caller(&mut self, cx: &mut Cx<'_>) {
        self.talks_to_caller = true;
        let (Some(media), Some((caller, spoken))) = (cx.call.session, self.spoken_end(cx.call)) else { return };
        let player = match self.player {
            Some(player) => player,
            None => {
                let Some(end) = cx.edge.new_end(media) else { return };
                cx.edge.media(media, Command::AddPlayer { end, sound: Sound::Silence });
                *self.player.insert(Player { end, last: None })
            }
        };
        self.connect_ends(cx, player.end, caller, talks(spoken));
        let wire = digits_of(spoken, cx.call.legs.near_leg().dtmf());
        self.connect_ends(cx, caller, player.end, wire);
        self.tap_caller(cx);
    }

    /// The program speaks to the caller no longer.
    pub(crate) fn end_talk(&mut self) {
        self.talks_to_caller = false;
    }

    /// Connects a called party with a player of its own; its digits go to its program. Returns whether it can be spoken to.
    pub(crate) fn talk_to_called(&mut self, cx: &mut Cx<'_>, leg: LegId) -> bool {
        let Some((media, (_, Some(spoken)))) = cx.call.session.zip(cx.call.legs.offer_of(leg)) else { return false };
        let Some(theirs) = cx.call.legs[leg].end(spoken.index).map(|end| end.end) else { return false };
        let Some(end) = cx.edge.new_end(media) else { return false };
        cx.edge.media(media, Command::AddPlayer { end, sound: Sound::Silence });
        self.called_player = Some(end);
        let wire = digits_of(spoken, cx.call.legs[leg].dtmf());
        self.connect_ends(cx, end, theirs, talks(spoken));
        self.connect_ends(cx, theirs, end, wire);
        true
    }

    /// From now on a program is told of the caller's digits, which its party gets as well.
    pub(crate) fn tell_digits(&mut self, cx: &mut Cx<'_>) {
        self.tells_digits = true;
        let ends: Vec<EndId> = cx.call.legs.near_leg().ends.iter().map(|end| end.end).collect();
        for end in ends {
            if let Some((to, wire)) = self.wires.get(end).cloned() {
                self.connect_ends(cx, end, to, wire);
            }
        }
    }

    /// Takes the called party's player away.
    pub(crate) fn end_talk_to_called(&mut self, cx: &mut Cx<'_>) {
        let (Some(end), Some(media)) = (self.called_player.take(), cx.call.session) else { return };
        self.wires.retain(|from, (to, _)| from != end && *to != end);
        cx.edge.remove_end(media, end);
    }

    /// Plays a sound to the party whose program runs, instead of what it hears.
    pub(crate) fn play_to_party(&mut self, cx: &mut Cx<'_>, sound: Sound) {
        match (self.called_player, cx.call.session) {
            (Some(end), Some(media)) => cx.edge.media(media, Command::Play { end, sound }),
            _ => self.play_to_caller(cx, sound),
        }
    }

    /// Plays a sound to the caller of a program instead of what it hears.
    fn play_to_caller(&mut self, cx: &mut Cx<'_>, sound: Sound) {
        self.talk_to_caller(cx);
        if let (Some(media), Some(player)) = (cx.call.session, self.player) {
            cx.edge.media(media, Command::Play { end: player.end, sound });
        }
    }

    /// Stops what the caller of a program hears.
    pub(crate) fn stop_playing_to_caller(&mut self, cx: &mut Cx<'_>) {
        self.play_to_caller(cx, Sound::Silence);
    }

    /// Lets the caller of a program hear ringing, while a party is called.
    pub(crate) fn ring_to_caller(&mut self, cx: &mut Cx<'_>) {
        self.play_to_caller(cx, Sound::Ringback);
    }
}

impl Parts {
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
        self.drop_question(cx);
        let Some(run) = &mut self.program else { return };
        let query = cx.edge.ask_for(cx.call.key, cx.call.legs.sid(), &run.app, wanted);
        run.waits = Waits::Sound { query, id, repeat };
    }

    /// A sound that the program has asked for is there.
    pub(crate) fn play_sound(&mut self, cx: &mut Cx<'_>, id: u32, repeat: Loop, sound: Arc<[u8]>) {
        let Some(run) = &mut self.program else { return };
        let (heard, left) = match repeat {
            Loop::Times(times) => (Sound::Once(sound.clone()), times.saturating_sub(1)),
            Loop::Forever => (Sound::Hold(HoldSound { first: None, music: Some(sound.clone()) }), u32::MAX),
        };
        run.waits = Waits::Played { id, sound, left };
        self.bridge.media.play_to_party(cx, heard);
        self.run_program(cx);
    }

    /// The sound of the program's player has been heard to its end.
    pub(crate) fn program_played(&mut self, cx: &mut Cx<'_>) {
        let Some(run) = &mut self.program else { return };
        let Waits::Played { id, sound, left } = std::mem::replace(&mut run.waits, Waits::Nothing) else { return };
        if left == 0 {
            return self.tell_program(cx, Input::Played { id });
        }
        run.waits = Waits::Played { id, sound: sound.clone(), left: left - 1 };
        self.bridge.media.play_to_party(cx, Sound::Once(sound));
    }

    /// Stops what the caller hears, or was about to hear.
    pub(crate) fn stop_playing(&mut self, cx: &mut Cx<'_>) {
        self.drop_question(cx);
        let Some(run) = &mut self.program else { return };
        run.under_way = None;
        if matches!(run.waits, Waits::Played { .. } | Waits::Digits { .. }) {
            run.waits = Waits::Nothing;
        }
        self.bridge.media.play_to_party(cx, Sound::Silence);
    }

    /// Sends digits to the caller, in the caller's own form.
    pub(crate) fn play_digits(&mut self, cx: &mut Cx<'_>, id: u32, digits: Secret, repeat: Loop) {
        let left = match repeat {
            Loop::Times(times) => times.saturating_sub(1),
            Loop::Forever => u32::MAX,
        };
        if let Some(run) = &mut self.program {
            run.waits = Waits::Digits { id, digits, played: 0, left };
            self.play_next_digit(cx);
        }
    }

    /// Sends the next digit, or waits where the next sign is a pause.
    pub(crate) fn play_next_digit(&mut self, cx: &mut Cx<'_>) {
        cx.disarm(Timer::Program);
        let Some(run) = &mut self.program else { return };
        let Waits::Digits { id, digits, played, left } = &mut run.waits else { return };
        let id = *id;
        let next = digits.reveal().chars().nth(*played).or_else(|| {
            let again = left.checked_sub(1)?;
            (*left, *played) = (again, 0);
            digits.reveal().chars().next()
        });
        let Some(next) = next else {
            run.waits = Waits::Nothing;
            return self.tell_program(cx, Input::Played { id });
        };
        *played += 1;
        let wait = match next {
            'w' => SHORT_PAUSE,
            'W' => LONG_PAUSE,
            digit => {
                if !self.bridge.press_for_caller(cx, &digit.to_string()) {
                    cx.edge.decide(cx.now, cx.call.key, "the caller's side takes no digits");
                }
                DIGIT
            }
        };
        cx.arm(Timer::Program, wait);
    }

    /// Returns whether an end is the program's player.
    pub(crate) fn is_program_player(&self, end: EndId) -> bool {
        let Some(run) = &self.program else { return false };
        match run.called {
            Some(_) => self.bridge.media.called_player == Some(end),
            None => self.bridge.media.player.is_some_and(|player| player.end == end),
        }
    }
}

//! Response times in a conversation: the time from the end of the caller's speech to the agent's first audio, by voice
//! activity detection.
//!
//! The input is the level of frames of 20 ms. The caller speaks in frames well above the noise of the line and above a
//! possible echo of the agent; 100 ms of them are speech. A response is the agent's first audio after it was silent. A
//! caller who is interrupted had no turn, and audio of an agent that was not silent within a second of the caller's end
//! is not a response.

use std::time::{Duration, Instant};

use crate::limits::TURN_LIMIT;

/// Level above which a frame can be voice: −47 dB.
const FAINT: u16 = 150;
/// Minimum ratio of voice to line noise: 10 dB.
const ABOVE_LINE: u32 = 3;
/// Initial and minimum estimate of the line noise.
const LINE: u32 = 40;
/// Factor by which the caller's level may be below the agent's before the frame counts as the agent's echo: 12 dB.
const BELOW_AGENT: u32 = 4;
/// Minimum audible level of an agent's frame: −54 dB.
pub(super) const AUDIBLE: u16 = 60;
/// Consecutive voiced frames that make speech; a single unvoiced frame between them does not count.
const SPEECH_FRAMES: u32 = 5;
/// Consecutive unvoiced frames after which a new utterance has to qualify as speech again.
const PAUSE_FRAMES: u32 = 10;
/// Minimum silence of an agent before audio that can be a response.
const AGENT_PAUSE: Duration = Duration::from_millis(200);
/// Time after the caller's speech after which the turn is dropped if the agent has spoken without a pause.
const TALKS_ON: Duration = Duration::from_secs(1);
/// Minimum response time: earlier audio of the agent interrupts a caller who is still speaking.
const STILL_SPEAKS: Duration = Duration::from_millis(50);

/// Response of the agent to the caller's speech.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AgentResponse {
    /// Time since the end of the caller's speech.
    pub(super) after: Duration,
    /// Part of `after` in which the first audio waited in the edge; `None` if it arrived before the caller's speech
    /// ended.
    pub(super) waited: Option<Duration>,
}

/// Tracks the speech of the caller and of the agent.
#[derive(Debug)]
pub(super) struct TurnTracker {
    /// Estimated mean level of the line noise.
    line: u32,
    loud_frames: u32,
    quiet_frames: u32,
    /// End of the caller's last speech, until the agent responds to it.
    said: Option<Instant>,
    /// Arrival of the agent's first audible audio since the caller's speech ended.
    came: Option<Instant>,
    /// Time of the agent's last audible frame.
    agent: Option<Instant>,
    echo: u32,
}

impl TurnTracker {
    /// Creates a tracker before either side has spoken.
    pub(super) fn new() -> TurnTracker {
        TurnTracker { line: LINE, loud_frames: 0, quiet_frames: 0, said: None, came: None, agent: None, echo: 0 }
    }

    /// Adds a frame of 20 ms of the caller's audio with its mean level.
    pub(super) fn add_caller_frame(&mut self, now: Instant, level: u16) {
        let loud = u32::from(level) > self.line * ABOVE_LINE && level > FAINT;
        let own = u32::from(level) * BELOW_AGENT > self.echo;
        self.echo -= self.echo / 8;
        self.update_noise(u32::from(level));
        if !(loud && own) {
            self.quiet_frames += 1;
            if self.quiet_frames >= PAUSE_FRAMES {
                self.loud_frames = 0;
            } else if self.loud_frames < SPEECH_FRAMES && self.quiet_frames >= 2 {
                // Too short for speech: a click.
                self.loud_frames = 0;
            }
            return;
        }
        self.quiet_frames = 0;
        self.loud_frames = (self.loud_frames + 1).min(SPEECH_FRAMES);
        if self.loud_frames >= SPEECH_FRAMES {
            (self.said, self.came) = (Some(now), None);
        }
    }

    /// Returns whether the caller has spoken and no audible audio of the agent has arrived since.
    pub(super) fn awaits_answer(&self) -> bool {
        self.said.is_some() && self.came.is_none()
    }

    /// Records that audible audio of the agent has been received and queued.
    pub(super) fn note_agent_audio(&mut self, now: Instant) {
        self.came.get_or_insert(now);
    }

    /// Records that the agent's queued audio was discarded.
    pub(super) fn note_clear(&mut self) {
        self.came = None;
    }

    /// Adds a frame of 20 ms of the agent's audio as it is played; returns the response that begins with it, if any.
    pub(super) fn add_agent_frame(&mut self, now: Instant, level: u16) -> Option<AgentResponse> {
        if level < AUDIBLE {
            return None;
        }
        self.echo = self.echo.max(level.into());
        let before = self.agent.replace(now);
        if before.is_some_and(|before| now.saturating_duration_since(before) < AGENT_PAUSE) {
            // Audio received so far may be the rest of an earlier utterance.
            self.came = None;
            self.said.take_if(|said| now.saturating_duration_since(*said) > TALKS_ON);
            return None;
        }
        // Later voice has to qualify as speech again.
        self.loud_frames = 0;
        let (said, came) = (self.said.take()?, self.came.take());
        let after = now.saturating_duration_since(said);
        let waited = came.map(|came| now.saturating_duration_since(came));
        (STILL_SPEAKS..=TURN_LIMIT).contains(&after).then_some(AgentResponse { after, waited })
    }

    /// Updates the noise estimate: a lower level reduces it by a quarter of the difference per frame, a higher one
    /// doubles it in 2 s.
    fn update_noise(&mut self, level: u32) {
        self.line = match self.line {
            line if level < line => line - (line - level).div_ceil(4),
            line => line + line.div_ceil(128),
        }
        .clamp(LINE, u16::MAX.into());
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "tests begin somewhere in time")]

    use super::*;
    use crate::codec::level::level;

    const FRAME: Duration = Duration::from_millis(20);

    /// Simulated conversation in frames of 20 ms.
    struct Line {
        now: Instant,
        turns: TurnTracker,
        /// Mean level of the line noise.
        noise: i32,
        /// Part of the agent's audio that returns as echo, of 256.
        echo: i32,
        seed: u32,
        phase: f64,
        answers: Vec<u128>,
    }

    impl Line {
        fn new(noise: i32, echo: i32) -> Line {
            let (turns, answers) = (TurnTracker::new(), Vec::new());
            Line { now: Instant::now(), turns, noise, echo, seed: 1, phase: 0.0, answers }
        }
        fn chance(&mut self) -> i32 {
            self.seed = self.seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (self.seed >> 16) as i32 - 32_768
        }
        /// Generates speech with this peak: a voice of 120 Hz with harmonics and breath, four syllables a second.
        fn speech(&mut self, peak: f64) -> [i16; 160] {
            std::array::from_fn(|_| {
                self.phase += 1.0 / 8000.0;
                let voice: f64 = (1..8)
                    .map(|n| (std::f64::consts::TAU * 120.0 * f64::from(n) * self.phase).sin() / f64::from(n))
                    .sum();
                let syllable = (std::f64::consts::PI * 4.0 * self.phase).sin().abs();
                (peak * syllable * (voice / 2.0 + f64::from(self.chance()) / 400_000.0)) as i16
            })
        }
        fn frames(&mut self, ms: u64, caller: Option<f64>, agent: Option<f64>) {
            for _ in 0..ms / 20 {
                self.now += FRAME;
                let own = caller.map_or([0; 160], |peak| self.speech(peak));
                let said = agent.map_or([0; 160], |peak| self.speech(peak));
                let heard: [i16; 160] = std::array::from_fn(|n| {
                    let noise = self.chance() * self.noise / 16_384;
                    (i32::from(own[n]) + noise + i32::from(said[n]) * self.echo / 256).clamp(-32_768, 32_767) as i16
                });
                self.turns.add_caller_frame(self.now, level(&heard));
                let answer = self.turns.add_agent_frame(self.now, level(&said));
                self.answers.extend(answer.map(|answer| answer.after.as_millis()));
            }
        }
        fn caller(&mut self, ms: u64) {
            self.frames(ms, Some(8000.0), None);
        }
        fn agent(&mut self, ms: u64) {
            self.frames(ms, None, Some(8000.0));
        }
        fn nobody(&mut self, ms: u64) {
            self.frames(ms, None, None);
        }
        /// Checks the response times in milliseconds, within the decay of a syllable.
        fn assert_answers(&self, expected: &[u128]) {
            let near = |(is, should): (&u128, &u128)| (*should..should + 120).contains(is);
            assert_eq!(self.answers.len(), expected.len(), "{:?}", self.answers);
            assert!(self.answers.iter().zip(expected).all(near), "{:?}", self.answers);
        }
    }

    #[test]
    fn a_conversation_is_timed_from_the_callers_last_word() {
        for (noise, echo) in [(0, 0), (20, 0), (60, 10), (20, 40)] {
            let mut line = Line::new(noise, echo);
            // A greeting is not a response.
            line.agent(2000);
            for pause in [100, 240, 800, 3000] {
                line.nobody(500);
                line.caller(2000);
                line.nobody(pause);
                line.agent(3000);
                // A second sentence is not a second response.
                line.nobody(600);
                line.agent(1000);
            }
            line.assert_answers(&[100, 240, 800, 3000]);
        }
    }

    #[test]
    fn a_quiet_caller_on_a_clean_line_is_heard() {
        let mut line = Line::new(5, 0);
        line.frames(2000, Some(1500.0), None);
        line.nobody(400);
        line.agent(1000);
        line.assert_answers(&[400]);
    }

    /// The waiting time of a response is known if its first audio came after the caller's end and was not discarded.
    #[test]
    fn the_wait_of_an_answer_is_known_from_its_arrival() {
        let ms = Duration::from_millis;
        let speak = |turns: &mut TurnTracker, from: Instant| {
            for n in 0..10 {
                turns.add_caller_frame(from + FRAME * n, 8000);
            }
            from + FRAME * 9
        };
        for (came, is_cleared, waited) in [(true, false, Some(ms(120))), (true, true, None), (false, false, None)] {
            let mut turns = TurnTracker::new();
            assert!(!turns.awaits_answer(), "the caller has said nothing");
            let said = speak(&mut turns, Instant::now());
            assert!(turns.awaits_answer());
            if came {
                turns.note_agent_audio(said + ms(500));
                turns.note_agent_audio(said + ms(520));
                assert!(!turns.awaits_answer());
            }
            if is_cleared {
                turns.note_clear();
            }
            assert_eq!(turns.add_agent_frame(said + ms(620), 8000), Some(AgentResponse { after: ms(620), waited }));
            assert!(!turns.awaits_answer());
        }
        let mut turns = TurnTracker::new();
        let said = speak(&mut turns, Instant::now());
        turns.note_agent_audio(said);
        let said = speak(&mut turns, said + FRAME);
        assert_eq!(
            turns.add_agent_frame(said + ms(300), 8000),
            Some(AgentResponse { after: ms(300), waited: None }),
            "too early"
        );
    }

    #[test]
    fn clicks_and_noise_are_no_speech() {
        let mut line = Line::new(0, 0);
        for _ in 0..20 {
            line.frames(40, Some(30_000.0), None);
            line.nobody(300);
            line.agent(400);
        }
        line.assert_answers(&[]);
        // A constant noise level is learned.
        let mut line = Line::new(400, 0);
        line.nobody(12_000);
        line.turns.said = None;
        line.nobody(5_000);
        line.agent(1000);
        line.assert_answers(&[]);
        line.nobody(1000);
        line.caller(2000);
        line.nobody(600);
        line.agent(1000);
        line.assert_answers(&[600]);
    }

    #[test]
    fn the_agents_own_echo_is_no_caller() {
        for echo in [10, 30, 50] {
            let mut line = Line::new(10, echo);
            for _ in 0..10 {
                line.agent(1500);
                line.nobody(500);
            }
            line.assert_answers(&[]);
        }
    }

    #[test]
    fn who_is_interrupted_had_no_turn() {
        let mut line = Line::new(10, 0);
        line.caller(1000);
        line.frames(1000, Some(8000.0), Some(8000.0));
        line.agent(1000);
        line.assert_answers(&[]);
        // The caller interrupts; the agent stops, and responds.
        line.frames(600, Some(8000.0), Some(8000.0));
        line.caller(1500);
        line.nobody(700);
        line.agent(1000);
        line.assert_answers(&[700]);
    }

    #[test]
    fn an_agent_that_goes_on_speaking_gives_no_answer() {
        let mut line = Line::new(0, 0);
        line.agent(1000);
        line.frames(1000, Some(8000.0), Some(8000.0));
        // The agent plays over the caller's speech, as music does, and pauses long afterwards.
        line.agent(25_000);
        line.nobody(300);
        line.agent(1000);
        line.assert_answers(&[]);
        // Finishing a sentence does not hide the response after it.
        line.frames(1000, Some(8000.0), Some(8000.0));
        line.agent(500);
        line.nobody(400);
        line.agent(1000);
        line.assert_answers(&[900]);
    }

    /// The waiting time begins with the response's own audio, not with the sentence before it.
    #[test]
    fn the_wait_of_an_answer_is_not_that_of_the_sentence_before() {
        let ms = Duration::from_millis;
        let (mut turns, began) = (TurnTracker::new(), Instant::now());
        turns.add_agent_frame(began, 8000);
        for n in 0..10 {
            turns.add_caller_frame(began + FRAME * n, 8000);
            turns.add_agent_frame(began + FRAME * n, 500);
        }
        let said = began + FRAME * 9;
        turns.note_agent_audio(said + ms(20));
        assert_eq!(turns.add_agent_frame(said + ms(40), 8000), None, "the rest of the sentence");
        assert!(turns.awaits_answer());
        turns.note_agent_audio(said + ms(600));
        assert_eq!(
            turns.add_agent_frame(said + ms(640), 8000),
            Some(AgentResponse { after: ms(640), waited: Some(ms(40)) })
        );
    }

    #[test]
    fn a_pause_for_breath_is_not_the_end() {
        let mut line = Line::new(10, 0);
        line.caller(1500);
        line.nobody(900);
        line.caller(1500);
        line.nobody(300);
        line.agent(1000);
        line.assert_answers(&[300]);
    }

    #[test]
    fn nothing_is_an_answer_after_half_a_minute() {
        let mut line = Line::new(0, 0);
        line.caller(1000);
        line.nobody(TURN_LIMIT.as_millis() as u64 + 200);
        line.agent(1000);
        line.assert_answers(&[]);
    }

    proptest::proptest! {
        #[test]
        fn any_levels_at_all(levels in proptest::collection::vec(proptest::prelude::any::<(u16, u16)>(), 0..500)) {
            let (mut turns, mut now) = (TurnTracker::new(), Instant::now());
            for (caller, agent) in levels {
                now += FRAME;
                turns.add_caller_frame(now, caller);
                let answer = turns.add_agent_frame(now, agent);
                proptest::prop_assert!(answer.is_none_or(|answer| answer.after <= TURN_LIMIT));
            }
        }
    }
}

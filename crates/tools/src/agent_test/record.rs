//! Record of a conversation with an agent. Times are in milliseconds since the WebSocket was opened.

use trunkgate_call::numbers::is_control_char;
use trunkgate_media::agent::{AgentFormat, MessageProblem, StreamLoss};

/// Maximum number of audio messages recorded individually; further ones are only added up.
const PIECES: usize = 50_000;
/// Maximum size of the agent's audio that is analysed, in bytes: 8 s at 16 kHz.
const LISTENED_BYTES: usize = 256 << 10;
/// Time without audio after which an answer is complete, in milliseconds.
const PAUSE_MS: u64 = 400;
/// Minimum pause between two utterances, in ticks of 20 ms; a shorter pause is a gap within speech.
const GAP_TICKS: usize = 10;

/// Maximum number of messages of one kind listed individually, if their texts differ.
const ASIDE_KINDS: usize = 5;
/// Maximum number of agent requests recorded, and of characters of each.
const WISHES: usize = 20;
const WISH_CHARS: usize = 80;

/// State of the conversation in one tick of 20 ms.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct TickRecord {
    /// Whether the caller speaks.
    pub(super) caller: bool,
    /// Whether a frame of the agent was played.
    pub(super) played: bool,
    /// Whether the played frame contains more than silence.
    pub(super) voice: bool,
    /// Whether a mark was returned to the agent.
    pub(super) mark: bool,
    /// Whether the agent sent `clear`.
    pub(super) clear: bool,
}

/// Audio message received from the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AudioChunk {
    pub(super) at_ms: u64,
    pub(super) bytes: usize,
}

/// Interruption of the agent by the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Interruption {
    pub(super) at_ms: u64,
    /// Agent audio still buffered when the caller interrupted, in milliseconds.
    pub(super) held_ms: u64,
    /// Time of the agent's `clear`; `None` if it sent none.
    pub(super) cleared_ms: Option<u64>,
    /// Time at which the agent fell silent; `None` if it continued to speak.
    pub(super) silent_ms: Option<u64>,
}

/// Ignored messages of one kind: their slug, the text of one of them, and their number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct IgnoredMessages {
    pub(super) slug: &'static str,
    pub(super) text: String,
    pub(super) count: u32,
}

/// Record of one conversation.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct ConversationRecord {
    /// Time for address look-up, TLS and WebSocket handshake; `None` if no connection was opened.
    pub(super) connect_ms: Option<u64>,
    /// Reason why the connection was lost, and its description.
    pub(super) lost: Option<(StreamLoss, String)>,
    /// URL of the agent.
    pub(super) url: String,
    /// Whether the handshake carried X-Twilio-Signature.
    pub(super) signed: bool,
    /// Limits for real calls: `connect_timeout` and `first_audio_timeout` of a configured agent.
    pub(super) connect_most_ms: Option<u64>,
    pub(super) first_audio_most_ms: Option<u64>,
    /// Audio format in both directions.
    pub(super) format: AgentFormat,
    /// Times of the first audio message, and of the first audio message with more than silence (`first_voice_ms`), in
    /// milliseconds after the connection was opened.
    pub(super) first_piece_ms: Option<u64>,
    pub(super) first_voice_ms: Option<u64>,
    /// Times at which the caller began to speak, and finished speaking (`said_ms`), in milliseconds after the
    /// connection was opened.
    pub(super) spoke_ms: Option<u64>,
    pub(super) said_ms: Option<u64>,
    /// Time of the agent's first voice after the caller began to speak.
    pub(super) answer_ms: Option<u64>,
    pub(super) pieces: Vec<AudioChunk>,
    pub(super) audio_bytes: u64,
    /// Beginning of the audio received from the agent, for analysis.
    pub(super) audio: Vec<u8>,
    /// File format of a header found at the start of the audio, which must be raw; `None` if there is none.
    pub(super) header: Option<&'static str>,
    pub(super) held_ms: u64,
    pub(super) marks_set: u32,
    pub(super) marks_returned: u32,
    pub(super) problems: Vec<IgnoredMessages>,
    /// Actions requested by the agent (transfer, hang-up, DTMF), as text.
    pub(super) wishes: Vec<String>,
    pub(super) interruption: Option<Interruption>,
    /// Round-trip times of WebSocket pings.
    pub(super) pings_ms: Vec<u64>,
    /// Time at which the agent closed with code 1000 before the test did; `None` otherwise.
    pub(super) hung_up_ms: Option<u64>,
    /// Time from the test's `stop` to the agent's close; `None` if the agent did not close.
    pub(super) closed_after_ms: Option<u64>,
    pub(super) ticks: Vec<TickRecord>,
    /// Audio played to the caller during the recorded ticks, in the agent's format.
    pub(super) heard: Vec<u8>,
}

impl ConversationRecord {
    /// Records an audio message of the agent.
    pub(super) fn piece(&mut self, at_ms: u64, audio: &[u8], is_voice: bool) {
        if self.first_piece_ms.is_none() {
            self.first_piece_ms = Some(at_ms);
            let known = [
                (&b"RIFF"[..], "a WAV file"),
                (b"ID3", "an MP3 file"),
                (b"OggS", "an Ogg file"),
                (b"fLaC", "a FLAC file"),
            ];
            self.header = known.into_iter().find(|(begin, _)| audio.starts_with(begin)).map(|(_, what)| what);
        }
        if is_voice {
            self.first_voice_ms.get_or_insert(at_ms);
        }
        self.audio_bytes += audio.len() as u64;
        let room = LISTENED_BYTES.saturating_sub(self.audio.len()).min(audio.len());
        self.audio.extend_from_slice(audio.get(..room).unwrap_or_default());
        if self.pieces.len() < PIECES {
            self.pieces.push(AudioChunk { at_ms, bytes: audio.len() });
        }
    }

    /// Records an action requested by the agent, with control characters replaced.
    pub(super) fn wish(&mut self, what: &str) {
        if self.wishes.len() < WISHES {
            let shown = |c: char| if is_control_char(c) { '\u{fffd}' } else { c };
            self.wishes.push(what.chars().take(WISH_CHARS).map(shown).collect());
        }
    }

    /// Records an ignored message of the agent.
    pub(super) fn problem(&mut self, problem: &MessageProblem) {
        let (slug, mut text) = (problem.slug(), problem.to_string());
        // Only for these kinds does the text identify the problem; the texts of others differ only in their position.
        let is_named = matches!(problem, MessageProblem::UnknownEvent(_) | MessageProblem::ForeignStream(_));
        let alike = self.problems.iter().filter(|one| one.slug == slug).count();
        if is_named && alike >= ASIDE_KINDS && !self.problems.iter().any(|one| one.slug == slug && one.text == text) {
            text = format!("others ({slug})");
        }
        match self.problems.iter_mut().find(|one| one.slug == slug && (!is_named || one.text == text)) {
            Some(known) => known.count += 1,
            None => self.problems.push(IgnoredMessages { slug, text, count: 1 }),
        }
    }

    /// Returns the duration of the agent's audio, in milliseconds.
    pub(super) fn audio_ms(&self) -> u64 {
        self.audio_bytes / self.format.bytes_per_ms() as u64
    }

    /// Returns the duration of the agent's audio divided by the time in which it arrived, without pauses between
    /// answers; `None` for less than 500 ms of audio.
    pub(super) fn real_time_factor(&self) -> Option<f64> {
        let length = |piece: &AudioChunk| (piece.bytes / self.format.bytes_per_ms()) as u64;
        let mut took = self.pieces.last().map(length)?;
        for pair in self.pieces.windows(2) {
            let [one, next] = pair else { continue };
            let apart = next.at_ms.saturating_sub(one.at_ms);
            // The last message of an answer is counted with its own duration, as if it were paced.
            took += if apart > length(one) + PAUSE_MS { length(one) } else { apart };
        }
        let audio = self.pieces.iter().map(length).sum::<u64>();
        (audio >= 500).then(|| audio as f64 / took.max(1) as f64)
    }

    /// Returns the number of gaps within the agent's speech, and the longest in milliseconds.
    pub(super) fn gaps(&self) -> (u32, u64) {
        let (mut gaps, mut longest, mut since) = (0, 0, None);
        for (at, tick) in self.ticks.iter().enumerate() {
            if tick.clear {
                since = None;
            }
            if !tick.played {
                continue;
            }
            if let Some(dry) = since.map(|last: usize| at - last - 1).filter(|dry| (1..GAP_TICKS).contains(dry)) {
                gaps += 1;
                longest = longest.max(dry as u64 * 20);
            }
            since = Some(at);
        }
        (gaps, longest)
    }

    /// Returns the time in which the agent was played to the caller, and the part of it with voice, in milliseconds.
    pub(super) fn heard_ms(&self) -> (u64, u64) {
        let count = |of: fn(&TickRecord) -> bool| self.ticks.iter().filter(|tick| of(tick)).count() as u64 * 20;
        (count(|tick| tick.played), count(|tick| tick.voice))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_short_pauses_between_frames_that_are_played() {
        let ticks = |pattern: &str| ConversationRecord {
            ticks: pattern
                .chars()
                .map(|c| TickRecord { played: c == '#', clear: c == 'c', ..TickRecord::default() })
                .collect(),
            ..ConversationRecord::default()
        };
        assert_eq!(ticks("..##.##...#").gaps(), (2, 60));
        assert_eq!(ticks("##..........##").gaps(), (0, 0), "a pause");
        assert_eq!(ticks("##.c.##").gaps(), (0, 0), "it was asked for");
    }

    #[test]
    fn pace_is_audio_by_time() {
        let mut paced = ConversationRecord::default();
        (0..100).for_each(|n| paced.piece(n * 20, &[0; 160], true));
        assert!((paced.real_time_factor().unwrap() - 1.0).abs() < 0.01);
        let mut burst = ConversationRecord::default();
        (0..10).for_each(|n| burst.piece(n * 10, &[0; 3200], false));
        assert!(burst.real_time_factor().unwrap() > 5.0);
        assert_eq!((burst.first_piece_ms, burst.first_voice_ms), (Some(0), None));
        let mut twice = ConversationRecord::default();
        (0..10).for_each(|n| twice.piece(n / 5 * 10_000 + n % 5, &[0; 3200], true));
        assert!(twice.real_time_factor().unwrap() > 4.0, "what is between two answers does not count");
        let mut short = ConversationRecord::default();
        short.piece(0, b"RIFF....WAVEfmt ", true);
        assert_eq!((short.real_time_factor(), short.header), (None, Some("a WAV file")));
    }

    #[test]
    fn each_unknown_event_is_counted_by_itself_and_their_kinds_are_bounded() {
        let mut record = ConversationRecord::default();
        let unknown = |name: &str| MessageProblem::UnknownEvent(name.to_owned());
        ["ping", "ping", "ack"].iter().for_each(|name| record.problem(&unknown(name)));
        let told = |record: &ConversationRecord| -> Vec<(u32, String)> {
            record.problems.iter().map(|one| (one.count, one.text.clone())).collect()
        };
        assert_eq!(told(&record), [(2, "unknown event \"ping\"".to_owned()), (1, "unknown event \"ack\"".to_owned())]);
        (0..1_000).for_each(|n| record.problem(&unknown(&n.to_string())));
        record.problem(&unknown("ping"));
        assert_eq!((record.problems.len(), record.problems[0].count), (ASIDE_KINDS + 1, 3));
        assert_eq!(told(&record).last(), Some(&(997, "others (unknown_event)".to_owned())));
        let at = |column| MessageProblem::BadJson { line: 1, column };
        (0..3).for_each(|column| record.problem(&at(column)));
        assert_eq!(told(&record).last(), Some(&(3, at(0).to_string())));
    }

    #[test]
    fn wishes_are_bounded_and_leave_the_terminal_alone() {
        let mut record = ConversationRecord::default();
        record.wish("transfer to \u{1b}[2Jtrunk:pbx\u{9b}");
        assert_eq!(record.wishes, ["transfer to \u{fffd}[2Jtrunk:pbx\u{fffd}"]);
        (0..1_000).for_each(|_| record.wish(&"x".repeat(5_000)));
        assert_eq!((record.wishes.len(), record.wishes.last().map(String::len)), (WISHES, Some(WISH_CHARS)));
    }
}

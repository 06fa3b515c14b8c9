//! Findings about an agent, derived from its test conversations.

use trunkgate_media::agent::limits::STOP_TIMEOUT;
use trunkgate_media::agent::{AgentFormat, StreamLoss};

use super::record::ConversationRecord;
use crate::findings::Finding;
use crate::sound::disguised;
use trunkgate_call::agent_fix::{WHY_ENDED, remedy_at};
use trunkgate_system::text::number;

/// Connection time above which a warning is given, in milliseconds: the caller hears hold audio meanwhile.
const SLOW_CONNECT_MS: u64 = 1_000;
/// Response time above which a warning is given, from the end of the caller's words to the first audio, in
/// milliseconds.
const SLOW_ANSWER_MS: u64 = 2_000;
/// Buffered audio that may remain on an interruption without a `clear`, in milliseconds; less is not audible.
const UNCLEARED_MS: u64 = 500;
/// Gaps in the agent's speech per minute above which a warning is given.
const GAPS_PER_MINUTE: f64 = 3.0;
/// Messages of Twilio's client libraries that have no effect.
const HARMLESS: [&str; 2] = ["unknown_event", "binary_message"];

/// Returns the findings about an agent. `times`: milliseconds from the WebSocket's 101 response to the first audio, one
/// per conversation.
pub(super) fn judge(record: &ConversationRecord, times: &[u64]) -> Vec<Finding> {
    let Some(connect) = record.connect_ms else {
        let (loss, words) = record.lost.clone().unwrap_or((StreamLoss::Unreachable, String::new()));
        let fix = remedy_at(&record.url, loss, &words, record.signed);
        let text = match (loss == StreamLoss::Status(401), record.signed) {
            (false, _) => words,
            (true, true) => format!("{words}: the signature made with `auth_token` is rejected"),
            (true, false) => format!("{words}: it requires credentials, and no `auth_token` is set"),
        };
        return vec![Finding::fail("connect", text, fix)];
    };
    let text = format!("101 after {connect} ms");
    let mut all = vec![match record.connect_most_ms.filter(|most| connect > *most) {
        Some(most) => Finding::fail(
            "connect",
            format!("{text}: calls give up on the agent after {}, its `connect_timeout`", time(most)),
            "keep the agent warm, or increase `connect_timeout`",
        ),
        None if connect > SLOW_CONNECT_MS => {
            Finding::warn("connect", text, "run the agent closer to the edge, or keep it warm")
        }
        None => Finding::ok("connect", text),
    }];
    all.push(first_audio(record, times));
    all.extend(answer(record));
    if record.first_piece_ms.is_some() {
        all.extend([audio(record), pieces(record), pacing(record), marks(record), interruption(record)]);
    }
    all.push(messages(record));
    all.extend(pings(record));
    if !record.wishes.is_empty() {
        all.push(Finding::ok("wishes", format!("it requested: {}", record.wishes.join(", "))));
    }
    all.push(end(record));
    all
}

fn first_audio(record: &ConversationRecord, times: &[u64]) -> Finding {
    let name = "first audio";
    let Some(first) = record.first_voice_ms else {
        let (text, fix) = match record.first_piece_ms {
            Some(_) => ("only silence received", "see the agent's log: what does it hear, and what should it say?"),
            None if record.spoke_ms.is_none() => ("none: the stream ended before the caller spoke", WHY_ENDED),
            None => (
                "none, although the caller spoke",
                "send {\"event\":\"media\",\"streamSid\":…,\"media\":{\"payload\":…}}; see the agent's log for the speech that it recognised",
            ),
        };
        return Finding::fail(name, text, fix);
    };
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let middle = sorted.get(sorted.len() / 2).copied().unwrap_or(first);
    let each: Vec<String> = times.iter().map(u64::to_string).collect();
    let times = if each.len() > 1 {
        format!("p50 {middle} ms after the 101 (of {})", each.join(", "))
    } else {
        format!("{middle} ms after the 101")
    };
    let longest = sorted.last().copied().unwrap_or(first).max(first);
    if let Some(most) = record.first_audio_most_ms.filter(|most| longest > *most) {
        let text = format!("{times}: calls give up on the agent after {}, its `first_audio_timeout`", time(most));
        let fix = "have the bot send its greeting earlier, or increase `first_audio_timeout`";
        return Finding::fail(name, text, fix);
    }
    if is_greeting(record) {
        return Finding::ok(name, format!("{times}: a greeting"));
    }
    match record.said_ms.and_then(|said| first.checked_sub(said)) {
        Some(late) if late > SLOW_ANSWER_MS => {
            let text = format!("{times}, {late} ms after the caller's words");
            Finding::warn(name, text, "callers hang up after two seconds of silence: play a greeting first")
        }
        Some(late) => Finding::ok(name, format!("{times}, {late} ms after the caller's words")),
        None => Finding::ok(name, format!("{times}, before the caller had finished speaking")),
    }
}

/// Returns whether the agent spoke before the caller.
fn is_greeting(record: &ConversationRecord) -> bool {
    record.first_voice_ms.is_some_and(|first| record.spoke_ms.is_none_or(|spoke| first < spoke))
}

/// Checks how fast the agent responds to the caller's words; `None` if there was no greeting or the connection ended.
fn answer(record: &ConversationRecord) -> Option<Finding> {
    let name = "answer";
    if !is_greeting(record) || record.lost.is_some() || record.hung_up_ms.is_some() {
        return None;
    }
    let late = |at: u64| record.said_ms.and_then(|said| at.checked_sub(said));
    Some(match record.answer_ms.map(late) {
        Some(Some(late)) if late > SLOW_ANSWER_MS => Finding::warn(
            name,
            format!("{late} ms after the caller's words"),
            "callers ask \"hello?\" after two seconds of silence: use faster models, or say that it takes a moment",
        ),
        Some(Some(late)) => Finding::ok(name, format!("{late} ms after the caller's words")),
        Some(None) => Finding::ok(name, "before the caller had finished speaking"),
        None if record.interruption.is_some() => Finding::warn(
            name,
            "not tested: the greeting did not end within 10 s",
            "have the agent pause, so that callers can speak",
        ),
        None => Finding::warn(
            name,
            "none within 10 s after the caller's words: only the greeting was heard",
            "see the agent's log for the speech that it recognised; if it waits for real words, say some with `--wav FILE`",
        ),
    })
}

fn audio(record: &ConversationRecord) -> Finding {
    let (heard, voice) = record.heard_ms();
    let text = format!("{:.1} s received, {:.1} s of it not silent", heard as f64 / 1e3, voice as f64 / 1e3);
    match record.header {
        Some(what) => {
            let text = format!("it starts with the header of {what}: callers hear it as noise");
            let fix = match record.format {
                AgentFormat::Mulaw8000 => "send μ-law, 8000 Hz, mono, without a header".to_owned(),
                format @ (AgentFormat::L16Rate8000 | AgentFormat::L16Rate16000 | AgentFormat::L16Rate24000) => {
                    format!("send 16-bit little-endian, {} Hz, mono, without a header", format.sample_rate())
                }
            };
            Finding::fail("audio", text, fix)
        }
        None => match disguised(&record.audio, record.format) {
            Some(what) => {
                let taken = record.format.name();
                let text = format!("this is {what}, but the edge expects {taken}: the caller hears loud noise");
                Finding::fail("audio", text, right_form(what))
            }
            None => Finding::ok("audio", text),
        },
    }
}

/// Returns the fix for an agent that sends another audio format than configured.
fn right_form(what: &str) -> &'static str {
    match what {
        "linear 16-bit audio" => {
            "set `format` to that of the agent (l16/8000, l16/16000 or l16/24000, little-endian), or let the agent send μ-law, 8000 Hz"
        }
        "A-law" => "Twilio streams do not support A-law: send μ-law, 8000 Hz",
        "μ-law" => "set `format = \"mulaw/8000\"`, or let the agent send the `mediaFormat` of `start`",
        _ => "send little-endian samples (`mediaFormat` audio/x-l16): swap the two bytes of each",
    }
}

/// Checks the size of audio messages. Any size is accepted: the edge joins and splits them.
fn pieces(record: &ConversationRecord) -> Finding {
    let mut sizes: Vec<usize> = record.pieces.iter().map(|piece| piece.bytes).collect();
    sizes.sort_unstable();
    let (least, most) = (sizes.first().copied().unwrap_or(0), sizes.last().copied().unwrap_or(0));
    let middle = sizes.get(sizes.len() / 2).copied().unwrap_or(0);
    let per_ms = record.format.bytes_per_ms();
    let text = match least == most {
        true => format!("{} of {least} bytes ({} ms)", sizes.len(), least / per_ms),
        false => format!("{} of {least} to {most} bytes, in the middle {middle} ({} ms)", sizes.len(), middle / per_ms),
    };
    let whole = if sizes.iter().all(|size| size.is_multiple_of(record.format.frame_bytes())) {
        ""
    } else {
        "; not whole frames: they are concatenated"
    };
    Finding::ok("pieces", format!("{text}{whole}"))
}

fn pacing(record: &ConversationRecord) -> Finding {
    let name = "pacing";
    let held = time(record.held_ms);
    let pace = match record.real_time_factor() {
        Some(factor) if factor > 1.2 => format!("{factor:.1} times real time"),
        Some(factor) => format!("in real time ({factor:.2} times)"),
        None => "too short to measure".to_owned(),
    };
    let text = format!("{pace}; at most {held} buffered");
    let (gaps, longest) = record.gaps();
    let minutes = record.heard_ms().0 as f64 / 60_000.0;
    if f64::from(gaps) > (GAPS_PER_MINUTE * minutes).max(1.0) {
        let count = number(gaps as usize, "gap");
        let text = format!("{text}; {count} within its speech, up to {longest} ms");
        return Finding::warn(
            name,
            text,
            "send ahead of time: early audio is buffered by the edge, late audio leaves gaps",
        );
    }
    Finding::ok(name, text)
}

/// Formats a duration: `40 ms`, `7.4 s`.
fn time(ms: u64) -> String {
    if ms < 1_000 { format!("{ms} ms") } else { format!("{:.1} s", ms as f64 / 1e3) }
}

fn marks(record: &ConversationRecord) -> Finding {
    let (set, returned) = (record.marks_set, record.marks_returned);
    match set {
        0 => Finding::ok("marks", "none sent: the agent cannot know which audio the caller has heard"),
        _ if returned < set => Finding::ok(
            "marks",
            format!("{set} sent, {returned} returned once played or cleared; the call ended before the rest"),
        ),
        _ => Finding::ok("marks", format!("{set} sent, {returned} returned once played or cleared")),
    }
}

fn interruption(record: &ConversationRecord) -> Finding {
    let name = "interruption";
    let Some(one) = record.interruption else {
        let fix = "say words that have a longer answer: `--wav FILE`";
        let what = match record.answer_ms {
            Some(_) => "not tested: the agent's answer was shorter than a second",
            None => "not tested: the agent did not answer the caller's words",
        };
        return Finding::warn(name, what, fix);
    };
    let held = time(one.held_ms);
    let behind = |at: u64| at.saturating_sub(one.at_ms);
    match (one.cleared_ms, one.silent_ms) {
        (Some(cleared), _) => {
            Finding::ok(name, format!("`clear` {} ms after the caller spoke; {held} were buffered", behind(cleared)))
        }
        (None, Some(silent)) if one.held_ms <= UNCLEARED_MS => {
            Finding::ok(name, format!("silent {} ms after the caller spoke, without `clear`", behind(silent)))
        }
        (None, _) if one.held_ms <= UNCLEARED_MS => {
            Finding::ok(name, format!("it continued; only {held} were buffered, so there is nothing to clear"))
        }
        (None, _) => {
            let text = format!("it continued: {held} were buffered and no `clear` was received");
            Finding::warn(name, text, "send {\"event\":\"clear\",\"streamSid\":…} when the caller speaks")
        }
    }
}

fn messages(record: &ConversationRecord) -> Finding {
    let each: Vec<String> = record.problems.iter().map(|one| format!("{} × {}", one.count, one.text)).collect();
    if each.is_empty() {
        return Finding::ok("messages", "all valid");
    }
    let text = format!("left aside: {}", each.join("; "));
    let fix = "Twilio ignores such messages too: docs/configure/agents.md describes the format of each";
    match record.problems.iter().all(|one| HARMLESS.contains(&one.slug)) {
        true => Finding::warn("messages", text, fix),
        false => Finding::fail("messages", text, fix),
    }
}

fn pings(record: &ConversationRecord) -> Option<Finding> {
    let most = record.pings_ms.iter().max()?;
    Some(Finding::ok("pings", format!("{} answered within {most} ms", record.pings_ms.len())))
}

fn end(record: &ConversationRecord) -> Finding {
    let name = "end";
    if let Some((loss, words)) = &record.lost {
        // One tick is 20 ms.
        let seconds = record.ticks.len() as f64 / 50.0;
        let text = format!("lost {seconds:.1} s after `start`: {words}");
        return Finding::fail(name, text, remedy_at(&record.url, *loss, words, record.signed));
    }
    let ours = u64::try_from(STOP_TIMEOUT.as_millis()).unwrap_or(u64::MAX);
    match (record.hung_up_ms, record.closed_after_ms) {
        (Some(at), _) => Finding::ok(name, format!("it ended the call after {:.1} s", at as f64 / 1e3)),
        (None, Some(after)) if after >= ours => {
            let text =
                format!("it did not close: we closed {ours} ms after `stop`, it followed {} ms later", after - ours);
            Finding::ok(name, text)
        }
        (None, Some(after)) => Finding::ok(name, format!("it closed {after} ms after `stop`")),
        (None, None) => {
            let fix = "its WebSocket library answers while the agent reads; with FastAPI on uvicorn call `await \
                       websocket.close()` at the end";
            Finding::warn(name, "it did not answer our close", fix)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::{AudioChunk, IgnoredMessages, Interruption, TickRecord};
    use super::*;
    use crate::findings::Level;

    fn good() -> ConversationRecord {
        ConversationRecord {
            connect_ms: Some(12),
            first_piece_ms: Some(2_700),
            first_voice_ms: Some(2_700),
            spoke_ms: Some(500),
            said_ms: Some(2_500),
            answer_ms: Some(2_700),
            interruption: Some(Interruption { at_ms: 4_000, held_ms: 40, cleared_ms: Some(4_200), silent_ms: None }),
            pieces: vec![AudioChunk { at_ms: 2_700, bytes: 160 }, AudioChunk { at_ms: 2_720, bytes: 160 }],
            audio_bytes: 320,
            marks_set: 2,
            marks_returned: 2,
            closed_after_ms: Some(3),
            pings_ms: vec![1, 2],
            ..ConversationRecord::default()
        }
    }

    fn of(record: &ConversationRecord, name: &str) -> Finding {
        judge(record, &[900, 2_700, 300]).into_iter().find(|found| found.name == name).unwrap()
    }

    #[test]
    fn a_good_agent_has_nothing_but_ok() {
        let all = judge(&good(), &[900, 2_700, 300]);
        assert!(all.iter().all(|found| found.level == Level::Ok), "{all:?}");
        let first = "p50 900 ms after the 101 (of 900, 2700, 300), 200 ms after the caller's words";
        assert_eq!(of(&good(), "first audio").text, first);
        assert_eq!(of(&good(), "pieces").text, "2 of 160 bytes (20 ms)");
        assert_eq!(of(&good(), "pings").text, "2 answered within 2 ms");
    }

    #[test]
    fn what_a_caller_would_notice_is_told() {
        let late = ConversationRecord { first_voice_ms: Some(5_000), ..good() };
        assert_eq!(of(&late, "first audio").level, Level::Warn);
        let mute = ConversationRecord { first_voice_ms: None, ..good() };
        assert_eq!(
            (of(&mute, "first audio").level, of(&mute, "first audio").text.as_str()),
            (Level::Fail, "only silence received")
        );
        let file = ConversationRecord { header: Some("a WAV file"), ..good() };
        assert_eq!(of(&file, "audio").level, Level::Fail);
        let played = |at: usize| {
            let is_heard = !at.is_multiple_of(10);
            TickRecord { played: is_heard, voice: is_heard, ..TickRecord::default() }
        };
        let stutters = ConversationRecord { ticks: (0..500).map(played).collect(), ..good() };
        assert!(of(&stutters, "pacing").level == Level::Warn && of(&stutters, "pacing").text.contains("49 gaps"));
        let unanswered = ConversationRecord { closed_after_ms: None, ..good() };
        assert_eq!(of(&unanswered, "end").level, Level::Warn);
        let ours = ConversationRecord { closed_after_ms: Some(502), ..good() };
        let text = "it did not close: we closed 500 ms after `stop`, it followed 2 ms later";
        assert_eq!(
            (of(&ours, "end").text.as_str(), of(&good(), "end").text.as_str()),
            (text, "it closed 3 ms after `stop`")
        );
        let lost =
            ConversationRecord { lost: Some((StreamLoss::Closed(Some(1011)), "closed with 1011".into())), ..good() };
        assert_eq!(of(&lost, "end").level, Level::Fail);
    }

    #[test]
    fn what_calls_do_not_wait_for_fails_with_its_key() {
        let slow = ConversationRecord { connect_ms: Some(5_006), connect_most_ms: Some(3_000), ..good() };
        let text = "101 after 5006 ms: calls give up on the agent after 3.0 s, its `connect_timeout`";
        assert_eq!((of(&slow, "connect").level, of(&slow, "connect").text.as_str()), (Level::Fail, text));
        let patient = ConversationRecord { connect_most_ms: Some(10_000), ..slow };
        assert_eq!(of(&patient, "connect").level, Level::Warn);
        let late = ConversationRecord { first_voice_ms: Some(2_700), first_audio_most_ms: Some(2_000), ..good() };
        let found = of(&late, "first audio");
        assert!(
            found.level == Level::Fail && found.text.ends_with("after 2.0 s, its `first_audio_timeout`"),
            "{found:?}"
        );
        assert_eq!(
            of(&ConversationRecord { first_audio_most_ms: Some(3_000), ..late }, "first audio").level,
            Level::Ok
        );
    }

    #[test]
    fn a_greeting_is_no_answer_and_what_was_not_tried_is_a_warning() {
        let greets = ConversationRecord { first_piece_ms: Some(90), first_voice_ms: Some(100), ..good() };
        assert_eq!(of(&greets, "first audio").text, "p50 900 ms after the 101 (of 900, 2700, 300): a greeting");
        assert_eq!(of(&greets, "answer").text, "200 ms after the caller's words");
        assert!(judge(&good(), &[]).iter().all(|found| found.name != "answer"));
        let slow = ConversationRecord { answer_ms: Some(5_000), ..greets.clone() };
        assert_eq!(of(&slow, "answer").level, Level::Warn);
        let deaf = ConversationRecord { answer_ms: None, interruption: None, ..greets.clone() };
        assert_eq!(of(&deaf, "answer").level, Level::Warn);
        assert_eq!(of(&deaf, "interruption").level, Level::Warn);
        assert!(of(&deaf, "interruption").text.contains("did not answer"));
        let endless = ConversationRecord { answer_ms: None, ..greets };
        assert!(of(&endless, "answer").text.contains("did not end"));
        let short = ConversationRecord { interruption: None, ..good() };
        assert!(of(&short, "interruption").text.contains("shorter than a second"));
    }

    #[test]
    fn audio_in_another_form_than_agreed_fails() {
        let tone: Vec<u8> =
            (0..16_000).flat_map(|n| (((f64::from(n) * 0.1).sin() * 9_000.0) as i16).to_le_bytes()).collect();
        let linear = ConversationRecord { audio: tone.clone(), ..good() };
        let found = of(&linear, "audio");
        let text = "this is linear 16-bit audio, but the edge expects mulaw/8000: the caller hears loud noise";
        assert_eq!((found.level, found.text.as_str()), (Level::Fail, text));
        let agreed = ConversationRecord { format: AgentFormat::L16Rate16000, audio: tone, ..good() };
        assert_eq!(of(&agreed, "audio").level, Level::Ok);
    }

    #[test]
    fn an_agent_that_cannot_be_interrupted_is_told_where_that_is_heard() {
        let one = Interruption { at_ms: 4_000, held_ms: 7_400, cleared_ms: None, silent_ms: None };
        let interrupted = |one| ConversationRecord { interruption: Some(one), ..good() };
        assert_eq!(of(&interrupted(one), "interruption").level, Level::Warn);
        let cleared = Interruption { cleared_ms: Some(4_250), ..one };
        let text = of(&interrupted(cleared), "interruption").text;
        assert_eq!(text, "`clear` 250 ms after the caller spoke; 7.4 s were buffered");
        let paced = Interruption { held_ms: 40, ..one };
        assert_eq!(of(&interrupted(paced), "interruption").level, Level::Ok);
        let silent = Interruption { silent_ms: Some(4_300), ..paced };
        assert!(of(&interrupted(silent), "interruption").text.starts_with("silent 300 ms"));
    }

    #[test]
    fn messages_that_make_no_sense_fail_unless_they_are_harmless() {
        let with = |slug| ConversationRecord {
            problems: vec![IgnoredMessages { slug, text: "what".to_owned(), count: 3 }],
            ..good()
        };
        assert_eq!(of(&with("foreign_stream"), "messages").level, Level::Fail);
        assert_eq!(of(&with("unknown_event"), "messages").level, Level::Warn);
        assert_eq!(of(&with("bad_json"), "messages").text, "left aside: 3 × what");
        let lost = (StreamLoss::Status(404), "answered the handshake with 404".to_owned());
        let refused = judge(&ConversationRecord { lost: Some(lost), ..ConversationRecord::default() }, &[]);
        assert_eq!((refused.len(), refused[0].fix.as_str()), (1, "correct the path in `url`"));
    }
}

//! What is to be said of an agent after its conversations.

use trunkgate_media::agent::limits::STOP_TIMEOUT;
use trunkgate_media::agent::{Format, Loss};

use super::record::Record;
use super::remedy::remedy;
use crate::findings::{Finding, number};
use crate::sound::disguised;

/// A way to the socket that takes longer is told: the caller hears hold meanwhile.
const SLOW_CONNECT_MS: u64 = 1_000;
/// First audio that comes later behind the caller's words is told.
const SLOW_ANSWER_MS: u64 = 2_000;
/// What may wait in the edge when an agent is interrupted without a `clear`: nobody hears the difference.
const UNCLEARED_MS: u64 = 500;
/// Gaps of its speech per minute that are told.
const GAPS_PER_MINUTE: f64 = 3.0;
/// Messages that Twilio's clients send and that mean nothing to it.
const HARMLESS: [&str; 2] = ["unknown_event", "binary_message"];

/// A line for each thing; `times`: from 101 to the first audio in each conversation.
pub(super) fn judge(record: &Record, times: &[u64]) -> Vec<Finding> {
    let Some(connect) = record.connect_ms else {
        let (loss, words) = record.lost.clone().unwrap_or((Loss::Unreachable, String::new()));
        let fix = remedy(loss, &words, record.signed);
        return vec![Finding::fail("connect", words, fix)];
    };
    let mut all = vec![match connect > SLOW_CONNECT_MS {
        true => Finding::warn(
            "connect",
            format!("101 after {connect} ms"),
            "an agent nearer to the edge, or one that is awake",
        ),
        false => Finding::ok("connect", format!("101 after {connect} ms")),
    }];
    all.push(first_audio(record, times));
    if record.first_piece_ms.is_some() {
        all.extend([audio(record), pieces(record), pacing(record), marks(record), interruption(record)]);
    }
    all.push(messages(record));
    all.extend(pings(record));
    if !record.wishes.is_empty() {
        all.push(Finding::ok("wishes", format!("it asked for: {}", record.wishes.join(", "))));
    }
    all.push(end(record));
    all
}

fn first_audio(record: &Record, times: &[u64]) -> Finding {
    let name = "first audio";
    let Some(first) = record.first_voice_ms else {
        let (text, fix) = match record.first_piece_ms {
            Some(_) => ("only silence came", "the agent's own log: what does it hear, and what should it say?"),
            None => (
                "none came, and the caller had said its words",
                "send {\"event\":\"media\",\"streamSid\":…,\"media\":{\"payload\":…}}; the agent's log says what it heard",
            ),
        };
        return Finding::fail(name, text, fix);
    };
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let middle = sorted.get(sorted.len() / 2).copied().unwrap_or(first);
    let each: Vec<String> = times.iter().map(u64::to_string).collect();
    let times = if each.len() > 1 {
        format!("p50 {middle} ms behind the 101 (of {})", each.join(", "))
    } else {
        format!("{middle} ms behind the 101")
    };
    match record.said_ms.and_then(|said| first.checked_sub(said)) {
        Some(late) if late > SLOW_ANSWER_MS => {
            let text = format!("{times}, {late} ms behind the caller's words");
            Finding::warn(
                name,
                text,
                "a caller takes two seconds of silence for the end of the call: say something first",
            )
        }
        Some(late) => Finding::ok(name, format!("{times}, {late} ms behind the caller's words")),
        None => Finding::ok(name, format!("{times}, before the caller had said its words")),
    }
}

fn audio(record: &Record) -> Finding {
    let (heard, voice) = record.heard_ms();
    let text = format!("{:.1} s were heard, of them {:.1} s more than silence", heard as f64 / 1e3, voice as f64 / 1e3);
    match record.header {
        Some(what) => {
            let text = format!("it begins with the head of {what}: that is heard as noise");
            let fix = match record.format {
                Format::Mulaw8000 => "μ-law at 8000 Hz, one channel, without any head".to_owned(),
                format @ (Format::L16Rate8000 | Format::L16Rate16000 | Format::L16Rate24000) => {
                    format!("16 bits little-endian at {} Hz, one channel, without any head", format.sample_rate())
                }
            };
            Finding::fail("audio", text, fix)
        }
        None => match disguised(&record.audio, record.format) {
            Some(what) => {
                let taken = record.format.name();
                let text = format!("this is {what}, the edge takes {taken}: the caller hears noise at full level");
                Finding::fail("audio", text, right_form(what))
            }
            None => Finding::ok("audio", text),
        },
    }
}

/// How both sides come to the same form of audio.
fn right_form(what: &str) -> &'static str {
    match what {
        "linear 16-bit audio" => {
            "`format` as the bot has it (l16/8000, l16/16000 or l16/24000, little-endian), or the bot sends μ-law at 8000 Hz"
        }
        "A-law" => "no stream of Twilio's has A-law: μ-law at 8000 Hz",
        "μ-law" => "`format = \"mulaw/8000\"`, or the bot sends what `mediaFormat` in `start` says",
        _ => "little-endian samples, as `mediaFormat` audio/x-l16 is here: swap the two bytes of each",
    }
}

/// Their length does not matter to the edge: it joins and cuts them.
fn pieces(record: &Record) -> Finding {
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
        "; not whole frames: they are joined"
    };
    Finding::ok("pieces", format!("{text}{whole}"))
}

fn pacing(record: &Record) -> Finding {
    let name = "pacing";
    let held = time(record.held_ms);
    let pace = match record.real_time_factor() {
        Some(factor) if factor > 1.2 => format!("{factor:.1} times as fast as it is heard"),
        Some(factor) => format!("as it is heard ({factor:.2} times real time)"),
        None => "too little to tell".to_owned(),
    };
    let text = format!("{pace}; at most {held} waited to be played");
    let (gaps, longest) = record.gaps();
    let minutes = record.heard_ms().0 as f64 / 60_000.0;
    if f64::from(gaps) > (GAPS_PER_MINUTE * minutes).max(1.0) {
        let count = number(gaps as usize, "gap");
        let text = format!("{text}; {count} within its speech, of up to {longest} ms");
        return Finding::warn(name, text, "send ahead of time: what comes early waits here, what comes late is missed");
    }
    Finding::ok(name, text)
}

/// `40 ms`, `7.4 s`
fn time(ms: u64) -> String {
    if ms < 1_000 { format!("{ms} ms") } else { format!("{:.1} s", ms as f64 / 1e3) }
}

fn marks(record: &Record) -> Finding {
    let (set, returned) = (record.marks_set, record.marks_returned);
    match set {
        0 => Finding::ok("marks", "none set: it does not learn what the caller has heard"),
        _ if returned < set => Finding::ok(
            "marks",
            format!("{set} set, {returned} returned when they had been heard or cleared; we hung up before the rest"),
        ),
        _ => Finding::ok("marks", format!("{set} set, {returned} returned when they had been heard or cleared")),
    }
}

fn interruption(record: &Record) -> Finding {
    let name = "interruption";
    let Some(one) = record.interruption else {
        return Finding::ok(name, "not tried: it did not speak for a second behind the caller's words");
    };
    let held = time(one.held_ms);
    let behind = |at: u64| at.saturating_sub(one.at_ms);
    match (one.cleared_ms, one.silent_ms) {
        (Some(cleared), _) => {
            Finding::ok(name, format!("`clear` {} ms after the caller spoke; {held} were waiting", behind(cleared)))
        }
        (None, Some(silent)) if one.held_ms <= UNCLEARED_MS => {
            Finding::ok(name, format!("silent {} ms after the caller spoke, without `clear`", behind(silent)))
        }
        (None, _) if one.held_ms <= UNCLEARED_MS => {
            Finding::ok(name, format!("it spoke on; only {held} waited here, so that there is nothing to clear"))
        }
        (None, _) => {
            let text = format!("it spoke on: {held} were waiting, and no `clear` came");
            Finding::warn(name, text, "send {\"event\":\"clear\",\"streamSid\":…} when the caller speaks")
        }
    }
}

fn messages(record: &Record) -> Finding {
    let each: Vec<String> = record.problems.iter().map(|one| format!("{} × {}", one.count, one.text)).collect();
    if each.is_empty() {
        return Finding::ok("messages", "each made sense");
    }
    let text = format!("left aside: {}", each.join("; "));
    let fix = "Twilio leaves such messages aside, too: docs/agents.md has the form of each";
    match record.problems.iter().all(|one| HARMLESS.contains(&one.slug)) {
        true => Finding::warn("messages", text, fix),
        false => Finding::fail("messages", text, fix),
    }
}

fn pings(record: &Record) -> Option<Finding> {
    let most = record.pings_ms.iter().max()?;
    Some(Finding::ok("pings", format!("{} answered, after at most {most} ms", record.pings_ms.len())))
}

fn end(record: &Record) -> Finding {
    let name = "end";
    if let Some((loss, words)) = &record.lost {
        // A tick is 20 ms.
        let seconds = record.ticks.len() as f64 / 50.0;
        let text = format!("lost {seconds:.1} s after `start`: {words}");
        return Finding::fail(name, text, remedy(*loss, words, record.signed));
    }
    let ours = u64::try_from(STOP_TIMEOUT.as_millis()).unwrap_or(u64::MAX);
    match (record.hung_up_ms, record.closed_after_ms) {
        (Some(at), _) => Finding::ok(name, format!("it ended the call itself after {:.1} s", at as f64 / 1e3)),
        (None, Some(after)) if after >= ours => {
            let text =
                format!("it left the closing to us: we closed {ours} ms after `stop`, it {} ms later", after - ours);
            Finding::ok(name, text)
        }
        (None, Some(after)) => Finding::ok(name, format!("it closed {after} ms after `stop`")),
        (None, None) => {
            let fix = "its WebSocket library does, while the agent reads; where its function has returned, FastAPI on uvicorn \
                       needs `await websocket.close()`";
            Finding::warn(name, "it did not answer our close", fix)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::{Aside, Interruption, Piece, Tick};
    use super::*;
    use crate::findings::Level;

    fn good() -> Record {
        Record {
            connect_ms: Some(12),
            first_piece_ms: Some(2_700),
            first_voice_ms: Some(2_700),
            said_ms: Some(2_500),
            pieces: vec![Piece { at_ms: 2_700, bytes: 160 }, Piece { at_ms: 2_720, bytes: 160 }],
            audio_bytes: 320,
            marks_set: 2,
            marks_returned: 2,
            closed_after_ms: Some(3),
            pings_ms: vec![1, 2],
            ..Record::default()
        }
    }

    fn of(record: &Record, name: &str) -> Finding {
        judge(record, &[900, 2_700, 300]).into_iter().find(|found| found.name == name).unwrap()
    }

    #[test]
    fn a_good_agent_has_nothing_but_ok() {
        let all = judge(&good(), &[900, 2_700, 300]);
        assert!(all.iter().all(|found| found.level == Level::Ok), "{all:?}");
        let first = "p50 900 ms behind the 101 (of 900, 2700, 300), 200 ms behind the caller's words";
        assert_eq!(of(&good(), "first audio").text, first);
        assert_eq!(of(&good(), "pieces").text, "2 of 160 bytes (20 ms)");
        assert_eq!(of(&good(), "pings").text, "2 answered, after at most 2 ms");
    }

    #[test]
    fn what_a_caller_would_notice_is_told() {
        let late = Record { first_voice_ms: Some(5_000), ..good() };
        assert_eq!(of(&late, "first audio").level, Level::Warn);
        let mute = Record { first_voice_ms: None, ..good() };
        assert_eq!(
            (of(&mute, "first audio").level, of(&mute, "first audio").text.as_str()),
            (Level::Fail, "only silence came")
        );
        let file = Record { header: Some("a WAV file"), ..good() };
        assert_eq!(of(&file, "audio").level, Level::Fail);
        let played = |at: usize| {
            let is_heard = !at.is_multiple_of(10);
            Tick { played: is_heard, voice: is_heard, ..Tick::default() }
        };
        let stutters = Record { ticks: (0..500).map(played).collect(), ..good() };
        assert!(of(&stutters, "pacing").level == Level::Warn && of(&stutters, "pacing").text.contains("49 gaps"));
        let unanswered = Record { closed_after_ms: None, ..good() };
        assert_eq!(of(&unanswered, "end").level, Level::Warn);
        let ours = Record { closed_after_ms: Some(502), ..good() };
        let text = "it left the closing to us: we closed 500 ms after `stop`, it 2 ms later";
        assert_eq!(
            (of(&ours, "end").text.as_str(), of(&good(), "end").text.as_str()),
            (text, "it closed 3 ms after `stop`")
        );
        let lost = Record { lost: Some((Loss::Closed(Some(1011)), "closed with 1011".into())), ..good() };
        assert_eq!(of(&lost, "end").level, Level::Fail);
    }

    #[test]
    fn audio_in_another_form_than_agreed_fails() {
        let tone: Vec<u8> =
            (0..16_000).flat_map(|n| (((f64::from(n) * 0.1).sin() * 9_000.0) as i16).to_le_bytes()).collect();
        let linear = Record { audio: tone.clone(), ..good() };
        let found = of(&linear, "audio");
        let text = "this is linear 16-bit audio, the edge takes mulaw/8000: the caller hears noise at full level";
        assert_eq!((found.level, found.text.as_str()), (Level::Fail, text));
        let agreed = Record { format: Format::L16Rate16000, audio: tone, ..good() };
        assert_eq!(of(&agreed, "audio").level, Level::Ok);
    }

    #[test]
    fn an_agent_that_cannot_be_interrupted_is_told_where_that_is_heard() {
        let one = Interruption { at_ms: 4_000, held_ms: 7_400, cleared_ms: None, silent_ms: None };
        let interrupted = |one| Record { interruption: Some(one), ..good() };
        assert_eq!(of(&interrupted(one), "interruption").level, Level::Warn);
        let cleared = Interruption { cleared_ms: Some(4_250), ..one };
        let text = of(&interrupted(cleared), "interruption").text;
        assert_eq!(text, "`clear` 250 ms after the caller spoke; 7.4 s were waiting");
        let paced = Interruption { held_ms: 40, ..one };
        assert_eq!(of(&interrupted(paced), "interruption").level, Level::Ok);
        let silent = Interruption { silent_ms: Some(4_300), ..paced };
        assert!(of(&interrupted(silent), "interruption").text.starts_with("silent 300 ms"));
    }

    #[test]
    fn messages_that_make_no_sense_fail_unless_they_are_harmless() {
        let with = |slug| Record { problems: vec![Aside { slug, text: "what".to_owned(), count: 3 }], ..good() };
        assert_eq!(of(&with("foreign_stream"), "messages").level, Level::Fail);
        assert_eq!(of(&with("unknown_event"), "messages").level, Level::Warn);
        assert_eq!(of(&with("bad_json"), "messages").text, "left aside: 3 × what");
        let lost = (Loss::Status(404), "answered the handshake with 404".to_owned());
        let refused = judge(&Record { lost: Some(lost), ..Record::default() }, &[]);
        assert_eq!((refused.len(), refused[0].fix.as_str()), (1, "the path in `url`"));
    }
}

//! `cargo xtask bench amd`: measures answering machine detection on a generated labelled set: confusion matrix and
//! recalls on its held-out half, time from the answer to the verdict, and delay of the verdict after the earliest
//! moment that the thresholds allow.
//!
//! The detector is tuned on the training half only (`--half training`), for which `--errors` lists the misjudged calls.

mod set;
mod signal;
mod speech;
mod texts;

use std::path::Path;
use std::time::{Duration, Instant};

use trunkgate_detection::limits::{FRAME, FRAME_SAMPLES};
use trunkgate_detection::{AnsweredBy, DetectionMode, DetectionSettings, DetectionVerdict, MachineDetector};

use crate::interop::install;
use set::{Call, Decided, HELD_OUT, Half, Label, TRAINING};

/// Speech synthesizers, and their packages.
const ENGINES: [(&str, &str); 4] = [
    ("espeak-ng", "espeak-ng"),
    ("flite", "flite"),
    ("text2wave", "festival"),
    ("../../share/festival/voices/english/ked_diphone/festvox/ked_diphone.scm", "festvox-kdlpc16k"),
];
/// Labels, in the order of the confusion matrix.
const LABELS: [Label; 4] = [Label::Human, Label::Machine, Label::Fax, Label::Unknown];
/// Longest pause within speech.
const PAUSE_MS: i64 = 300;
/// Thresholds tuned for speed, in the order of `Settings::new`.
const FAST: [Option<u32>; 4] = [None, Some(1_300), Some(500), Some(2_000)];

/// Options of `cargo xtask bench amd`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Calls of humans, and of machines.
    #[arg(long, default_value_t = 400)]
    calls: usize,
    /// The half of the set: held-out or training.
    #[arg(long, default_value = "held-out")]
    half: String,
    /// List calls that are misjudged or late; of the training half only.
    #[arg(long)]
    errors: bool,
}

/// Verdict on a call of the set.
struct Outcome<'a> {
    call: &'a Call,
    verdict: Option<DetectionVerdict>,
    /// Milliseconds from the deciding moment of the thresholds to the verdict.
    delay_ms: Option<i64>,
}

/// Judges one half of the set and prints the tables.
pub(crate) fn run(options: &Options) -> anyhow::Result<bool> {
    install::packages(&ENGINES)?;
    let half: &Half = if options.half == TRAINING.name { &TRAINING } else { &HELD_OUT };
    let folder = Path::new("target/amd");
    let calls = half.calls(folder, options.calls)?;
    let seconds: usize = calls.iter().map(|call| call.samples.len() / 8000).sum();
    println!("{} half: {} calls, {seconds} s of audio.", half.name, calls.len());
    let rows = [("Twilio's defaults", [None; 4]), ("tuned for speed", FAST)];
    for (name, thresholds) in rows {
        let began = Instant::now();
        let outcomes: Vec<Outcome<'_>> =
            calls.iter().map(|call| judged(call, DetectionMode::Enable, thresholds)).collect();
        let cost = began.elapsed().as_secs_f64() / seconds as f64;
        print(name, &outcomes);
        println!("CPU time: {:.2} ms for a second of audio.", cost * 1000.0);
        if options.errors && half.name == TRAINING.name {
            list(&outcomes);
        }
    }
    let ends: Vec<Outcome<'_>> =
        calls.iter().map(|call| judged(call, DetectionMode::DetectMessageEnd, [None; 4])).collect();
    print_ends(&ends);
    Ok(true)
}

fn judged(call: &Call, mode: DetectionMode, thresholds: [Option<u32>; 4]) -> Outcome<'_> {
    let settings = DetectionSettings::new(mode, thresholds);
    let began = Instant::now();
    let (mut now, mut detector) = (began, MachineDetector::new(began, settings.clone()));
    for frame in call.samples.as_chunks::<FRAME_SAMPLES>().0 {
        // A frame is heard only at its end.
        now += FRAME;
        detector.add_frame(now, frame);
        if let Some(verdict) = detector.poll_verdict() {
            let delay_ms = decided_ms(call, &settings).map(|decided| millis(verdict.duration) - decided);
            return Outcome { call, verdict: Some(verdict), delay_ms };
        }
    }
    Outcome { call, verdict: None, delay_ms: None }
}

fn decided_ms(call: &Call, settings: &DetectionSettings) -> Option<i64> {
    match call.decided {
        Decided::SpeechEnds(at) => Some(i64::from(at) + millis(settings.speech_end_threshold)),
        Decided::Speech => spoken_for(&call.spoken, millis(settings.speech_threshold)),
        Decided::Beeps(at) => Some(i64::from(at)),
        Decided::Never => None,
    }
}

/// Returns the time at which the speech, with pauses of up to `PAUSE_MS`, has lasted for the threshold.
fn spoken_for(parts: &[(u32, u32)], threshold: i64) -> Option<i64> {
    let (mut sum, mut before) = (0, None::<i64>);
    for (from, to) in parts.iter().map(|(from, to)| (i64::from(*from), i64::from(*to))) {
        sum += before.map_or(0, |before| (from - before).min(PAUSE_MS));
        if sum + to - from >= threshold {
            return Some(from + (threshold - sum).max(0));
        }
        (sum, before) = (sum + to - from, Some(to));
    }
    None
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// Returns the label that a verdict stands for.
fn label_of(verdict: Option<DetectionVerdict>) -> Label {
    match verdict.map(|verdict| verdict.answered_by) {
        Some(AnsweredBy::Human) => Label::Human,
        Some(AnsweredBy::Fax) => Label::Fax,
        Some(AnsweredBy::Unknown) | None => Label::Unknown,
        Some(_) => Label::Machine,
    }
}

fn is_right(outcome: &Outcome<'_>) -> bool {
    label_of(outcome.verdict) == outcome.call.label
}

fn print(name: &str, outcomes: &[Outcome<'_>]) {
    println!(
        "\n{name}:\n\n| is, heard as | human | machine | fax | unknown | recall |\n| --- | --- | --- | --- | --- | --- |"
    );
    for label in LABELS {
        let of = || outcomes.iter().filter(move |outcome| outcome.call.label == label);
        let heard = LABELS.map(|heard| of().filter(|outcome| label_of(outcome.verdict) == heard).count());
        let right = of().filter(|outcome| is_right(outcome)).count();
        let recall = 100.0 * right as f64 / of().count().max(1) as f64;
        let cells = heard.map(|count| count.to_string()).join(" | ");
        println!("| {} | {cells} | {recall:.1} % |", format!("{label:?}").to_lowercase());
    }
    let right = |label: Label| outcomes.iter().filter(move |one| is_right(one) && one.call.label == label);
    for label in [Label::Human, Label::Machine] {
        let delays = right(label).filter_map(|outcome| outcome.delay_ms).collect();
        println!("\nDelay of `{label:?}` behind the thresholds: {}.", percentiles(delays));
    }
    let both = || right(Label::Human).chain(right(Label::Machine));
    println!("\nDelay of both: {}.", percentiles(both().filter_map(|outcome| outcome.delay_ms).collect()));
    let after = both().filter_map(|outcome| Some(millis(outcome.verdict?.duration))).collect();
    println!("Time after the answer: {}.", percentiles(after));
}

fn percentiles(mut all: Vec<i64>) -> String {
    all.sort_unstable();
    let at = |share: f64| {
        all.get(((all.len() as f64 * share) as usize).min(all.len().saturating_sub(1))).copied().unwrap_or(0)
    };
    format!("p50 {} ms, p95 {} ms, most {} ms", at(0.5), at(0.95), at(1.0))
}

fn list(outcomes: &[Outcome<'_>]) {
    println!();
    let is_late = |outcome: &&Outcome<'_>| outcome.delay_ms.is_some_and(|delay| !(-200..=200).contains(&delay));
    for outcome in outcomes.iter().filter(|outcome| !is_right(outcome) || is_late(outcome)) {
        let (verdict, call) = (outcome.verdict, outcome.call);
        let named = verdict.map_or("none", |verdict| verdict.answered_by.name());
        let after = verdict.map_or(0, |verdict| millis(verdict.duration));
        let is = if is_right(outcome) { "late" } else { "WRONG" };
        println!("{is} {named} after {after} ms, delay {:?}: {}", outcome.delay_ms, call.about);
    }
}

/// Prints how `DetectMessageEnd` judged the calls of machines.
fn print_ends(outcomes: &[Outcome<'_>]) {
    println!(
        "\nDetectMessageEnd, machines:\n\n| message | machine_end_beep | machine_end_silence | other |\n| --- | --- | --- | --- |"
    );
    for (name, has_beep) in [("with a beep", true), ("without", false)] {
        let of = || {
            outcomes.iter().filter(move |one| one.call.label == Label::Machine && one.call.beep.is_some() == has_beep)
        };
        let count =
            |by: AnsweredBy| of().filter(|one| one.verdict.is_some_and(|verdict| verdict.answered_by == by)).count();
        let (beep, silence) = (count(AnsweredBy::MachineEndBeep), count(AnsweredBy::MachineEndSilence));
        println!("| {name} | {beep} | {silence} | {} |", of().count() - beep - silence);
    }
    let after = outcomes.iter().filter_map(|one| {
        let verdict = one.verdict.filter(|verdict| verdict.answered_by == AnsweredBy::MachineEndBeep)?;
        one.call.beep.map(|(_, end)| millis(verdict.duration) - i64::from(end))
    });
    println!("\n`machine_end_beep` after the end of the beep: {}.", percentiles(after.collect()));
}

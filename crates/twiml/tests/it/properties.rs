//! Arbitrary documents and event orders: no panic, every program ends, nothing is lost by saving and restoring.

use std::time::Duration;

use proptest::prelude::*;
use trunkgate_twiml::{
    DialResult, DialStatus, DocumentLocation, DocumentSource, HttpMethod, Program, ProgramInput, ProgramRole,
    ProgramSettings, ProgramStep, RecogniserResult, RecordResult, ReferResult, SensitiveText, parse,
};

const VERBS: [&str; 21] = [
    "<Say loop='2'>Hello</Say>",
    "<Play>a.wav</Play>",
    "<Play digits='12w'/>",
    "<Pause length='2'/>",
    "<Gather numDigits='2'><Say>Press</Say><Pause/><Play>b.wav</Play></Gather>",
    "<Gather action='next' actionOnEmptyResult='true' finishOnKey=''/>",
    "<Gather input='speech'/>",
    "<Gather input='dtmf speech' numDigits='2' partialResultCallback='p'><Say>Say or press</Say></Gather>",
    "<Gather input='speech' speechTimeout='auto' bargeIn='false' actionOnEmptyResult='true'><Pause/></Gather>",
    "<Dial action='after' hangupOnStar='true'>1</Dial>",
    "<Dial answerOnBridge='true'><Sip>sip:a@b.example</Sip></Dial>",
    "<Dial/>",
    "<Connect action='x'><Stream url='wss://a.example/'/></Connect>",
    "<Start><Stream url='/ws' name='n'/></Start><Stop><Stream name='n'/></Stop>",
    "<Start><Siprec connectorName='vault' name='n' statusCallback='/s'/></Start><Stop><Siprec name='n'/></Stop>",
    "<Redirect>next</Redirect>",
    "<Redirect>ftp://x/</Redirect>",
    "<Reject/>",
    "<Refer action='r'><Sip>sip:a@b.example</Sip></Refer>",
    "<Record/>",
    "<Hangup/>",
];

/// Event of the property test; ids are those of the last step of the program.
#[derive(Debug, Clone)]
enum Happens {
    Document(Vec<usize>, &'static str),
    Fails,
    Played,
    PlayFails,
    Digit(char),
    Answered,
    DialEnds,
    StreamEnds,
    ReferEnds,
    Recorded(bool),
    Silent,
    Speaks(&'static str, bool),
    RecogniserFails,
    HangsUp,
    Time(u64),
}

fn happens() -> impl Strategy<Value = Happens> {
    let verbs = proptest::collection::vec(0..VERBS.len(), 0..5);
    let kinds = proptest::sample::select(&["text/xml", "text/xml", "text/xml", "text/plain", "audio/wav", "x/y"][..]);
    prop_oneof![
        4 => (verbs, kinds).prop_map(|(verbs, kind)| Happens::Document(verbs, kind)),
        1 => Just(Happens::Fails),
        4 => Just(Happens::Played),
        1 => Just(Happens::PlayFails),
        3 => proptest::sample::select(&['1', '#', '*', 'x'][..]).prop_map(Happens::Digit),
        2 => Just(Happens::Answered),
        2 => Just(Happens::DialEnds),
        1 => Just(Happens::StreamEnds),
        2 => any::<bool>().prop_map(Happens::Recorded),
        1 => Just(Happens::Silent),
        1 => Just(Happens::ReferEnds),
        3 => (proptest::sample::select(&["", "yes", "yes please"][..]), any::<bool>())
            .prop_map(|(text, is_final)| Happens::Speaks(text, is_final)),
        1 => Just(Happens::RecogniserFails),
        1 => Just(Happens::HangsUp),
        3 => (0..8_000_u64).prop_map(Happens::Time),
    ]
}

fn xml(verbs: &[usize]) -> String {
    format!("<Response>{}</Response>", verbs.iter().map(|verb| VERBS[*verb]).collect::<String>())
}

fn input(happens: &Happens, id: u32, listening: Option<u32>) -> Option<ProgramInput> {
    let text = String::new;
    Some(match happens {
        Happens::Document(verbs, kind) => ProgramInput::Fetched {
            id,
            url: None,
            content_type: Some((*kind).to_owned()),
            body: xml(verbs).into_bytes(),
        },
        Happens::Fails => ProgramInput::FetchFailed { id, code: 11200, text: text() },
        Happens::Played => ProgramInput::Played { id },
        Happens::PlayFails => ProgramInput::PlayFailed { id, code: 11200, text: text() },
        Happens::Digit(digit) => ProgramInput::Digit(*digit),
        Happens::Answered => ProgramInput::DialAnswered { id },
        Happens::DialEnds => ProgramInput::DialEnded { id, result: DialResult::unanswered(DialStatus::Busy) },
        Happens::Recorded(is_silent) => {
            let (sid, url) = ("RE1".to_owned(), "https://e.example/RE1".to_owned());
            ProgramInput::Recorded { id, result: RecordResult { sid, url, seconds: 3, is_silent: *is_silent } }
        }
        Happens::Silent => ProgramInput::Silent { id },
        Happens::StreamEnds => ProgramInput::StreamEnded { id, error: None },
        Happens::ReferEnds => {
            ProgramInput::ReferEnded { id, result: ReferResult { status: None, refer: Some(202), notify: None } }
        }
        Happens::Speaks(text, is_final) => {
            let heard = RecogniserResult {
                text: SensitiveText::new(*text),
                is_final: *is_final,
                confidence_ppm: Some(500_000),
            };
            ProgramInput::Speech { id: listening.unwrap_or(id), heard }
        }
        Happens::RecogniserFails => ProgramInput::RecognitionFailed { id: listening.unwrap_or(id), text: text() },
        Happens::HangsUp => ProgramInput::HungUp,
        Happens::Time(_) => return None,
    })
}

fn drain(program: &mut Program, id: &mut u32) -> Vec<ProgramStep> {
    let steps: Vec<ProgramStep> = std::iter::from_fn(|| program.poll_output()).collect();
    for step in &steps {
        match step {
            ProgramStep::Fetch { id: new, .. }
            | ProgramStep::Say { id: new, .. }
            | ProgramStep::Play { id: new, .. }
            | ProgramStep::PlayDigits { id: new, .. }
            | ProgramStep::Beep { id: new }
            | ProgramStep::Refer { id: new, .. } => *id = *new,
            ProgramStep::Dial(dial) => *id = dial.id,
            ProgramStep::Record(record) => *id = record.id,
            ProgramStep::ConnectStream(stream) => *id = stream.id,
            _ => {}
        }
    }
    steps
}

/// Returns the numbers of recognitions that steps start and stop.
fn recognitions(steps: &[ProgramStep]) -> (usize, usize) {
    let count = |is: fn(&ProgramStep) -> bool| steps.iter().filter(|step| is(step)).count();
    (
        count(|step| matches!(step, ProgramStep::StartRecognition(_))),
        count(|step| matches!(step, ProgramStep::StopRecognition { .. })),
    )
}

/// Returns the number of steps that end the party's call.
fn ends(steps: &[ProgramStep]) -> usize {
    let ends = |step: &&ProgramStep| {
        matches!(step, ProgramStep::Hangup | ProgramStep::Reject(_) | ProgramStep::Failed { .. } | ProgramStep::Join)
    };
    steps.iter().filter(ends).count()
}

proptest! {
    #[test]
    fn any_events_in_any_order(
        first in proptest::collection::vec(0..VERBS.len(), 0..5),
        events in proptest::collection::vec(happens(), 0..40),
        fallback in any::<bool>(),
        called in any::<bool>(),
        restored_at in 0..40_usize,
        unread in any::<bool>(),
        recognition in any::<bool>(),
    ) {
        let settings = ProgramSettings {
            fallback: fallback.then(|| (DocumentLocation::url("https://f.example/").unwrap(), HttpMethod::Get)),
            role: if called { ProgramRole::Called } else { ProgramRole::Caller },
            recognition: recognition && !called,
            transcribes: false,
            records: restored_at % 2 == 0,
        };
        let mut program = Program::new(settings);
        let (mut now, mut id, mut all) = (Duration::ZERO, 0, Vec::new());
        let location = DocumentLocation::url("https://a.example/x").unwrap();
        program.start(now, DocumentSource::Fetch { location, method: HttpMethod::Post }, called);
        all.extend(drain(&mut program, &mut id));
        let mut twin = None;
        // Active recogniser according to the steps.
        let (mut listens, mut gone) = (None, false);
        let opening = Happens::Document(first, "text/xml");
        for (index, event) in std::iter::once(&opening).chain(&events).enumerate() {
            let over = program.is_over();
            let listening = program.recognition().map(|step| step.id);
            prop_assert!(gone || listening == listens, "{:?} {:?}", listening, listens);
            gone |= matches!(event, Happens::HangsUp);
            if matches!(event, Happens::RecogniserFails) {
                listens = None;
            }
            match (event, input(event, id, listening)) {
                (Happens::Time(millis), _) => now += Duration::from_millis(*millis),
                (_, Some(input)) => program.handle_input(now, input),
                (_, None) => {}
            }
            program.handle_timeout(now);
            // Unread steps are part of the saved state.
            if index == restored_at && unread {
                twin = Some(serde_json::to_string(&program).unwrap());
            }
            let mut steps = drain(&mut program, &mut id);
            if let Some(written) = twin.take() {
                let mut restored: Program = serde_json::from_str(&written).unwrap();
                prop_assert_eq!(&drain(&mut restored, &mut id), &steps);
                program = restored;
            }
            if index == restored_at && !unread {
                let written = serde_json::to_string(&program).unwrap();
                let restored: Program = serde_json::from_str(&written).unwrap();
                prop_assert_eq!(restored.poll_timeout(), program.poll_timeout());
                prop_assert_eq!(serde_json::to_string(&restored).unwrap(), written);
                program = restored;
            }
            let (begun, ended) = recognitions(&steps);
            prop_assert!(begun <= usize::from(recognition && (listens.is_none() || ended > 0)), "{:?}", steps);
            listens = program.recognition().map(|step| step.id).or(listens.filter(|_| ended == 0 && begun == 0));
            prop_assert!(!over || steps.is_empty(), "a program that is over does {:?}", steps);
            all.append(&mut steps);
        }
        prop_assert!(ends(&all) <= 1, "{:?}", all);
        prop_assert!(ends(&all) == 0 || program.is_over());
        prop_assert!(all.iter().filter(|step| matches!(step, ProgramStep::Answer)).count() <= 1);
        let answers = all.iter().any(|step| matches!(step, ProgramStep::Answer));
        prop_assert!(!called || !answers, "a called party has answered");
    }

    #[test]
    fn any_text_and_anything_like_a_document(
        text in "\\PC{0,200}",
        verbs in proptest::collection::vec(0..VERBS.len(), 0..6),
        cut in any::<prop::sample::Index>(),
        inserted in "[<>&;'\"=/ A-Za-z!\\[\\]?-]{0,6}",
    ) {
        let _ = parse(&text);
        let xml = xml(&verbs);
        let at = cut.index(xml.len() + 1);
        let _ = parse(&xml[..at]);
        if let Ok(document) = parse(&format!("{}{inserted}{}", &xml[..at], &xml[at..])) {
            prop_assert!(document.warnings.list.len() <= 50);
        }
    }
}

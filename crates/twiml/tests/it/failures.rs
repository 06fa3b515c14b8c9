//! Errors: fallback URL, loops, callers who hang up.

use trunkgate_twiml::{DocumentLocation, HttpMethod, ProgramInput, ProgramSettings, TraceNote};

use super::support::Call;

fn with_fallback() -> Call {
    let location = DocumentLocation::url("https://spare.example/f").unwrap();
    let mut call =
        Call::with(ProgramSettings { fallback: Some((location, HttpMethod::Get)), ..ProgramSettings::default() });
    call.start_at("https://app.example/voice");
    call
}

fn fallback(code: u16, url: &str) -> Vec<String> {
    vec![format!("GET https://spare.example/f fallback ErrorCode={code} ErrorUrl={url}")]
}

behaviours! {
    ["rule:fallback"]
    fn an_error_asks_the_fallback_first() {
        let mut call = with_fallback();
        assert_eq!(call.fetch_fails(11200), fallback(11200, "https://app.example/voice"));
        assert_eq!(call.document("<Say>Sorry</Say>"), ["answer", "say Sorry"]);
        let mut call = with_fallback();
        assert_eq!(call.response(None, "text/xml", "<Response>"), fallback(12100, "https://app.example/voice"));
        assert_eq!(call.fetch_fails(11205), ["failed 11205"]);
        assert!(call.is_over());
        let mut call = with_fallback();
        assert_eq!(call.document("<Redirect>b</Redirect>"), ["POST https://app.example/b redirect"]);
        assert_eq!(call.fetch_fails(11200), fallback(11200, "https://app.example/b"));
        assert_eq!(call.document("<Pay/>"), ["failed 12200"], "its own document is as bad");
        let mut call = with_fallback();
        assert_eq!(call.document("<Pay/>"), fallback(12200, "https://app.example/voice"));
        let mut call = with_fallback();
        assert_eq!(call.response(None, "application/json", "{}"), fallback(12300, "https://app.example/voice"));
        let (_, steps) = Call::begin("<Pay/>");
        assert_eq!(steps, ["failed 12200"], "no fallback");
    }

    ["rule:redirect-bound"]
    fn documents_without_end_are_an_error() {
        let (mut call, mut steps) = Call::begin("<Redirect/>");
        let mut fetched = 1;
        while steps == ["POST https://app.example/ivr/menu redirect"] {
            fetched += 1;
            steps = call.document("<Redirect/>");
        }
        assert_eq!((steps, fetched), (vec!["failed 11215".to_owned()], 30));
        let (mut call, mut steps) = Call::begin("<Pause/><Redirect/>");
        for _ in 0..1_000 {
            assert_eq!(steps, [""; 0]);
            assert_eq!(call.wait(1_000), ["POST https://app.example/ivr/menu redirect"]);
            steps = call.document("<Pause/><Redirect/>");
        }
    }
}

#[test]
fn a_loop_through_the_fallback_ends() {
    let mut call = with_fallback();
    let mut steps = call.fetch_fails(11200);
    let mut fetched = 2;
    while steps.len() == 1 && !steps[0].starts_with("failed") {
        fetched += 1;
        steps = match steps[0].contains(" fallback ") {
            true => call.document("<Redirect>https://app.example/voice</Redirect>"),
            false => call.fetch_fails(11200),
        };
    }
    assert_eq!(steps, ["failed 11215"]);
    assert!(fetched <= 33, "{fetched}");
}

#[test]
fn a_loop_asks_the_fallback_once() {
    let mut call = with_fallback();
    let mut steps = call.document("<Redirect/>");
    let mut fallbacks = 0;
    while !steps.iter().any(|step| step.starts_with("failed")) {
        fallbacks += usize::from(steps[0].contains(" fallback "));
        steps = call.document("<Redirect>/again</Redirect>");
    }
    assert_eq!((steps, fallbacks), (vec!["failed 11215".to_owned()], 1));
}

#[test]
fn a_caller_who_leaves_ends_the_program_wherever_it_is() {
    for body in ["<Say>a</Say>", "<Pause/>", "<Gather action='x'/>", "<Redirect/>", "<Dial>1</Dial>"] {
        let (mut call, _) = Call::begin(body);
        let steps = call.hung_up();
        assert!(steps.iter().all(|step| step == "end dial"), "{body}: {steps:?}");
        assert!(call.is_over(), "{body}");
        assert_eq!(call.wait(100_000), [""; 0]);
        assert_eq!(call.document("<Say>late</Say>"), [""; 0], "{body}: a late document");
    }
}

#[test]
fn a_document_that_came_inline_needs_whole_urls() {
    let mut call = Call::with(ProgramSettings::default());
    assert_eq!(call.start_text("<Response><Gather numDigits='1'/></Response>", true), [""; 0]);
    assert_eq!(call.digits("1"), ["failed 11100"]);
    call.noted(11100, "no URL of its own");
    let mut call = Call::with(ProgramSettings::default());
    assert_eq!(call.start_text("<Response", false), ["failed 12100"]);
}

#[test]
fn a_stale_document_is_ignored() {
    let mut call = Call::with(ProgramSettings::default());
    call.start_at("https://app.example/voice");
    let body = b"<Response/>".to_vec();
    let stale = ProgramInput::Fetched { id: 77, url: None, content_type: Some("text/xml".to_owned()), body };
    assert_eq!(call.input(stale), [""; 0]);
    assert_eq!(call.document("<Pause/>"), [""; 0]);
}

/// Fails each sound at once until none follows; returns the number of sounds and the last steps.
fn all_fail(call: &mut Call, mut steps: Vec<String>) -> (usize, Vec<String>) {
    let mut begun = 0;
    while steps.last().is_some_and(|step| step.starts_with("play ") || step.starts_with("say ")) {
        begun += 1;
        steps = call.input(ProgramInput::PlayFailed { id: call.id(), code: 11_200, text: "no".to_owned() });
    }
    (begun, steps)
}

#[test]
fn sounds_that_fail_one_after_the_other_end_the_program() {
    let plays = "<Play>/a.wav</Play>".repeat(900);
    for body in [plays.clone(), format!("<Gather numDigits='1'>{plays}</Gather>"), "<Say>a</Say>".repeat(900)] {
        let (mut call, steps) = Call::begin(&body);
        let (begun, steps) = all_fail(&mut call, steps);
        assert_eq!((begun, steps), (50, vec!["failed 11215".to_owned()]));
        call.noted(11_215, "sounds follow one another too fast");
    }
    // Unresolvable references are traced at once.
    for body in
        [plays.replace("/a.wav", "file:///a"), format!("<Gather>{}</Gather>", plays.replace("/a.wav", "file:///a"))]
    {
        let (call, steps) = Call::begin(&body);
        assert_eq!(steps.last().unwrap(), "failed 11215");
        assert_eq!(call.traces.iter().filter(|trace| matches!(trace.note, TraceNote::Unheard { .. })).count(), 50);
    }
    // Sounds that play for a while are not limited.
    let (mut call, _) = Call::begin(&"<Say>a</Say>".repeat(200));
    for _ in 0..199 {
        call.wait(250);
        assert_eq!(call.played(), ["say a"]);
    }
    assert_eq!(call.played(), ["hangup"]);
}

#[test]
fn the_fallback_of_sounds_that_fail_is_heard_once() {
    let plays = "<Play>/a.wav</Play>".repeat(60);
    let mut call = with_fallback();
    let steps = call.document(&plays);
    let (_, steps) = all_fail(&mut call, steps);
    assert!(steps[0].contains(" fallback ErrorCode=11215"), "{steps:?}");
    assert_eq!(call.document("<Say>Sorry</Say><Redirect>/again</Redirect>"), ["say Sorry"]);
    assert!(call.played()[0].starts_with("POST "));
    let steps = call.document(&plays);
    let (_, steps) = all_fail(&mut call, steps);
    assert_eq!(steps, ["failed 11215"]);
}

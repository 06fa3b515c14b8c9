//! Enqueue, Leave, and Dial with Queue.

use std::time::Duration;

use trunkgate_twiml::{
    BackgroundAudio, DialQueueStep, DialResult, DialStatus, DocumentLocation, DocumentSource, EnqueueStep, HttpMethod,
    ProgramInput, ProgramStep, QueueOutcome, QueueResult,
};

use super::support::*;

const WAIT: &str = "https://app.example/wait";

fn enqueued(call: &Call) -> EnqueueStep {
    let steps = call.raw.iter().rev();
    steps
        .into_iter()
        .find_map(|step| if let ProgramStep::Enqueue(step) = step { Some(step.clone()) } else { None })
        .unwrap()
}

fn dialled(call: &Call) -> DialQueueStep {
    let steps = call.raw.iter().rev();
    steps
        .into_iter()
        .find_map(|step| if let ProgramStep::DialQueue(step) = step { Some(step.clone()) } else { None })
        .unwrap()
}

/// Returns a call with a caller in a queue.
fn waiting(attributes: &str) -> Call {
    let (call, steps) = Call::begin(&format!("<Enqueue {attributes}>support</Enqueue><Say>after</Say>"));
    assert_eq!(steps, ["answer", "enqueue support"]);
    call
}

impl Call {
    fn in_queue(&mut self, background: Option<BackgroundAudio>) -> Vec<String> {
        let id = enqueued(self).id;
        self.input(ProgramInput::Background { id, background })
    }

    fn queue_document(&mut self) -> Vec<String> {
        let location = DocumentLocation::url(WAIT).unwrap();
        self.in_queue(Some(BackgroundAudio::Document { location, method: HttpMethod::Post }))
    }

    fn left(&mut self, outcome: QueueOutcome) -> Vec<String> {
        let id = enqueued(self).id;
        let was_in = Some(("QU1".to_owned(), Duration::from_millis(7_900)));
        self.input(ProgramInput::QueueLeft { id, result: QueueResult { outcome, was_in } })
    }

    fn prelude(&mut self) -> Vec<String> {
        let id = enqueued(self).id;
        let location = DocumentLocation::url("https://app.example/before").unwrap();
        self.input(ProgramInput::Prelude { id, location, method: HttpMethod::Get })
    }
}

behaviours! {
    ["Enqueue", "Enqueue@(text)", "Enqueue@action", "rule:queue-action"]
    fn a_caller_enters_a_queue_with_defaults() {
        let mut call = waiting("action='/after'");
        let step = enqueued(&call);
        assert_eq!((step.name.as_str(), step.most, &step.wait), ("support", None, &BackgroundAudio::Music));
        assert_eq!(call.in_queue(Some(BackgroundAudio::Music)), ["stop", "music"]);
        assert_eq!(call.in_queue(None), ["stop"]);
        let action = "POST https://app.example/after enqueue QueueResult=bridged QueueSid=QU1 QueueTime=7";
        assert_eq!(call.left(QueueOutcome::Bridged), [action]);
        // Without an action the next verb follows.
        let mut call = waiting("");
        assert_eq!(call.left(QueueOutcome::Bridged), ["say after"]);
        let mut call = waiting("action='/after'");
        let (id, outcome) = (enqueued(&call).id, QueueOutcome::QueueFull);
        let refused = call.input(ProgramInput::QueueLeft { id, result: QueueResult { outcome, was_in: None } });
        assert_eq!(refused, ["POST https://app.example/after enqueue QueueResult=queue-full"]);
    }

    ["Enqueue@method", "Enqueue@maxQueueSize", "Enqueue@waitUrl", "Enqueue@waitUrlMethod"]
    fn an_enqueue_brings_its_settings() {
        let mut call = waiting("action='/a' method='GET' maxQueueSize='7' waitUrl='/wait' waitUrlMethod='GET'");
        let step = enqueued(&call);
        let location = DocumentLocation::url(WAIT).unwrap();
        assert_eq!((step.most, step.wait), (Some(7), BackgroundAudio::Document { location, method: HttpMethod::Get }));
        let action = "GET https://app.example/a enqueue QueueResult=leave QueueSid=QU1 QueueTime=7";
        assert_eq!(call.left(QueueOutcome::Leave), [action]);
        assert_eq!(enqueued(&waiting("waitUrl=''")).wait, BackgroundAudio::Silence);
        let call = waiting("maxQueueSize='0' waitUrl='ftp://a.example/'");
        assert_eq!((enqueued(&call).most, enqueued(&call).wait), (Some(1), BackgroundAudio::Music));
        assert_eq!(enqueued(&waiting("maxQueueSize='50000'")).most, Some(5_000));
        call.noted(13233, "waitUrl");
    }

    ["rule:queue-wait"]
    fn a_queued_caller_hears_its_document_again_and_again() {
        let mut call = waiting("action='/after'");
        assert_eq!(call.queue_document(), ["stop", "POST https://app.example/wait queue wait"]);
        assert_eq!(call.document("<Say>wait</Say>"), ["say wait"]);
        assert_eq!(call.played(), ["POST https://app.example/wait queue wait"]);
        let menu = "<Gather action='/key' numDigits='1'><Say>press</Say></Gather>";
        assert_eq!(call.document(menu), ["say press"]);
        let pressed = "POST https://app.example/key gather msg=Gather End Digits=5 FinishedOnKey=";
        assert_eq!(call.digits("5"), ["stop", pressed]);
        // After the input the document of the queue is repeated.
        assert_eq!(call.document(""), ["POST https://app.example/wait queue wait"]);
        assert_eq!(call.document("<Pause length='2'/>"), Vec::<String>::new());
        assert_eq!(call.wait(2_000), ["POST https://app.example/wait queue wait"]);
        // A document that cannot be run takes the caller out of the queue.
        assert_eq!(call.document("<Dial>1</Dial>"), ["stop", "leave queue error"]);
        call.noted(13238, "not allowed");
        let action = "POST https://app.example/after enqueue QueueResult=error QueueSid=QU1 QueueTime=7";
        assert_eq!(call.left(QueueOutcome::Error), [action]);
    }

    ["Leave", "rule:queue-leave"]
    fn the_document_of_a_queue_leaves_it() {
        let mut call = waiting("");
        call.queue_document();
        assert_eq!(call.document("<Leave/><Say>never</Say>"), ["stop", "leave queue leave"]);
        assert_eq!(call.left(QueueOutcome::Leave), ["say after"]);
        let (call, steps) = Call::begin("<Leave/><Say>next</Say>");
        assert_eq!(steps, ["answer", "say next"]);
        call.noted(12200, "in no queue");
    }

    ["Dial/Queue", "Dial/Queue@(text)", "Dial/Queue@url", "Dial/Queue@method", "rule:queue-dial"]
    fn a_dial_takes_a_caller_from_a_queue() {
        let (mut call, steps) = Call::begin(
            "<Dial action='/after' timeout='9' timeLimit='60'><Queue url='/before' method='GET'>support</Queue></Dial>",
        );
        assert_eq!(steps, ["answer", "dial queue support"]);
        let DialQueueStep { name, prelude, timeout, time_limit, .. } = dialled(&call);
        assert_eq!((name.as_str(), timeout.as_secs(), time_limit.as_secs()), ("support", 9, 60));
        assert_eq!(prelude, Some((DocumentLocation::url("https://app.example/before").unwrap(), HttpMethod::Get)));
        call.dial_answered();
        let result = DialResult {
            sid: Some("CA1".into()),
            duration: Some(Duration::from_secs(3)),
            bridged: true,
            ..DialResult::unanswered(DialStatus::Completed)
        };
        let action = "POST https://app.example/after dial DialCallStatus=completed DialCallSid=CA1 DialCallDuration=3 DialBridged=true";
        assert_eq!(call.dial_ended(result), [action]);
        let (mut call, _) = Call::begin("<Dial><Queue>support</Queue></Dial><Say>none</Say>");
        assert_eq!(call.not_reached(DialStatus::NoAnswer), ["say none"]);
        let (call, _) = Call::begin("<Dial><Number>1</Number><Queue>a</Queue></Dial>");
        call.noted(13000, "only noun");
        let (call, _) = Call::begin("<Dial><Queue/></Dial>");
        call.noted(12200, "needs the name of a queue");
    }
}

#[test]
fn a_queued_caller_hears_a_document_before_it_is_connected() {
    let mut call = waiting("action='/after'");
    call.queue_document();
    call.document("<Say>wait</Say>");
    assert_eq!(call.prelude(), ["stop", "GET https://app.example/before dequeue"]);
    assert_eq!(call.document("<Say>connecting</Say>"), ["say connecting"]);
    assert_eq!(call.played(), ["connect queued"]);
    assert_eq!(call.in_queue(None), ["stop"]);
    // An unresolvable document is left out.
    let mut call = waiting("");
    call.prelude();
    assert_eq!(call.fetch_fails(11200), ["connect queued"]);
}

#[test]
fn a_caller_that_is_gone_or_has_another_document_causes_the_request_too() {
    let mut call = waiting("action='/after'");
    call.queue_document();
    assert_eq!(call.hung_up(), Vec::<String>::new());
    let notified = "notify POST https://app.example/after enqueue QueueResult=hangup QueueSid=QU1 QueueTime=7";
    assert_eq!(call.left(QueueOutcome::Hangup), [notified]);
    assert!(call.is_over());

    let mut call = waiting("action='/after'");
    call.queue_document();
    assert_eq!(call.document("<Hangup/>"), ["stop", "leave queue hangup"]);
    assert_eq!(call.left(QueueOutcome::Hangup), [notified, "hangup"]);

    let mut call = waiting("action='/after'");
    let other = DocumentSource::Text("<Response><Say>other</Say></Response>".to_owned());
    assert_eq!(call.redirect(other), ["stop", "leave queue redirected"]);
    let notified = "notify POST https://app.example/after enqueue QueueResult=redirected QueueSid=QU1 QueueTime=7";
    assert_eq!(call.left(QueueOutcome::Redirected), [notified, "say other"]);
}

#[test]
fn task_router_is_refused_by_name() {
    for body in ["<Enqueue workflowSid='WW1'/>", "<Enqueue workflowSid='WW1'><Task>{}</Task></Enqueue>"] {
        let (call, steps) = Call::begin(body);
        assert_eq!(steps, ["failed 12200"], "{body}");
        call.noted(12200, "TaskRouter is not supported");
    }
}

#[test]
fn an_enqueue_without_a_name_is_an_error_of_its_own() {
    let (call, steps) = Call::begin("<Enqueue action='/after'/>");
    assert_eq!(steps, ["answer", "POST https://app.example/after enqueue QueueResult=error"]);
    call.noted(12200, "needs the name of a queue");
    let (_, steps) = Call::begin(&format!("<Enqueue>{}</Enqueue><Say>next</Say>", "é".repeat(65)));
    assert_eq!(steps, ["answer", "say next"]);
}

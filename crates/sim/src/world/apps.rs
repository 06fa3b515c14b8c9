//! Application for callers: its documents and sounds, which may be late or missing, and the callbacks that the edge
//! sends to it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha12Rng;
use trunkgate_call::{AppAnswer, AppCallback, AppQuestion, AppResource, DocumentRequest, GatewayInput, QueryId};

use super::conferences::ReportedConferences;
use super::{SimEvent, World};
use crate::places::TRUNK_B;

/// Identifier of a query of the edge: the number of restarts so far and the query id. The edge counts its queries
/// from each start.
pub(crate) type QueryKey = (u64, QueryId);

/// State of the scripted application.
#[derive(Debug)]
pub(crate) struct SimApp {
    rng: ChaCha12Rng,
    /// Callbacks received about calls, by call SID.
    reports: BTreeMap<String, ReceivedReports>,
    /// Queries that have no response yet.
    open: BTreeSet<QueryKey>,
    /// Callbacks received about conferences.
    conferences: ReportedConferences,
}

/// Status callbacks received about one call.
#[derive(Debug, Default)]
struct ReceivedReports {
    /// Lowest sequence number that the next callback may have.
    next: u64,
    /// Whether the end was reported.
    is_over: bool,
    /// Crashes of the edge before the last callback.
    crashes: u64,
}

impl SimApp {
    /// Returns the application of a run.
    pub(crate) fn new(seed: u64) -> SimApp {
        let rng = ChaCha12Rng::seed_from_u64(seed ^ 0x7477_696d_6c21);
        SimApp { rng, reports: BTreeMap::new(), open: BTreeSet::new(), conferences: ReportedConferences::default() }
    }

    /// Draws whether a call is routed to the application.
    pub(crate) fn takes_call(&mut self) -> bool {
        self.rng.random_bool(0.6)
    }

    /// Checks a callback about a dialled party.
    ///
    /// # Errors
    /// Fails if the callback is out of order, or follows the one about the end. `crashes` is the number of crashes so
    /// far. After a crash numbers may be left out, and an end that an older state does not have may be reported again,
    /// but no number is repeated.
    fn report(&mut self, request: &DocumentRequest, crashes: u64) -> Result<(), String> {
        let value = |name| parameter(request, name).unwrap_or_default();
        let (sid, number, status) = (value("CallSid"), value("SequenceNumber"), value("CallStatus"));
        let known = self.reports.entry(sid.to_owned()).or_default();
        let is_after_crash = known.crashes < crashes;
        let is_next = |number: u64| if is_after_crash { number >= known.next } else { number == known.next };
        let number = number.parse().ok().filter(|number| is_next(*number) && (is_after_crash || !known.is_over));
        let Some(number) = number else {
            return Err(format!("report {request:?} comes after {known:?}"));
        };
        let is_over = !matches!(status, "initiated" | "ringing" | "in-progress");
        *known = ReceivedReports { next: number + 1, is_over, crashes };
        Ok(())
    }

    /// Checks that the end of each dialled party's call, and of each conference, was reported, unless the edge was
    /// restarted.
    ///
    /// # Errors
    /// Returns a message on the first end that was not reported.
    pub(super) fn check(world: &World) -> Result<(), String> {
        if world.summary.crashes == 0 {
            world.apps.conferences.check()?;
        }
        // After a restart, the edge no longer knows ringing parties.
        let left = world.apps.reports.iter().find(|(_, known)| world.summary.restarts == 0 && !known.is_over);
        left.map_or(Ok(()), |(sid, known)| Err(format!("the end of {sid} was not reported: {known:?}")))
    }
}

/// Handles a query of the edge, or a request to which it expects no response.
pub(crate) fn asked(world: &mut World, question: AppQuestion) {
    let AppQuestion { query, wanted, .. } = question;
    if let AppResource::Document(request) = &wanted
        && let Err(what) = world.recordings.requested(request)
    {
        world.fail(what);
    }
    let Some(query) = query else {
        if let AppResource::Document(request) = &wanted {
            log_report(world, request);
        }
        return;
    };
    let answer = match wanted {
        AppResource::Document(request) => {
            world.summary.documents += 1;
            document(world, &request)
        }
        AppResource::Speech { .. } | AppResource::Sound(_) => match world.apps.rng.random_range(0..10) {
            0 => failed(12_400),
            _ => {
                let sound = vec![0xff; 160 * world.apps.rng.random_range(0..100usize)].into();
                AppAnswer::Sound { sound, told: String::new() }
            }
        },
    };
    match &answer {
        // A sound is logged only by its length.
        AppAnswer::Sound { sound, .. } => {
            world.log.line(world.now, format_args!("app     ? {query:?} Sound of {}", sound.len()));
        }
        answer @ (AppAnswer::Document { .. } | AppAnswer::Failed { .. }) => {
            world.log.line(world.now, format_args!("app     ? {query:?} {answer:?}"));
        }
    }
    let rng = &mut world.apps.rng;
    let late = if rng.random_bool(0.1) { 15_000 } else { 800 };
    let after = Duration::from_millis(rng.random_range(1..late));
    let question = (world.summary.restarts, query);
    world.apps.open.insert(question);
    world.at(world.now + after, SimEvent::Answered(question, Box::new(answer)));
}

/// Handles a status callback of the edge.
pub(crate) fn called_back(world: &mut World, AppCallback { request, .. }: &AppCallback) {
    log_report(world, request);
    if let Err(what) = world.recordings.reported(request) {
        world.fail(what);
    }
    if request.purpose == "conference" {
        world.summary.conferred += 1;
        if let Err(what) = world.apps.conferences.take(request, world.summary.crashes) {
            world.fail(what);
        }
    }
    if request.purpose == "status"
        && let Err(what) = world.apps.report(request, world.summary.crashes)
    {
        world.fail(what);
    }
}

fn log_report(world: &mut World, request: &DocumentRequest) {
    world.summary.reports += 1;
    world.log.line(world.now, format_args!("app     ← {} {:?}", request.purpose, parameter(request, "CallStatus")));
}

/// Delivers a response to the edge, at most once per query and not after a restart.
pub(crate) fn answer(world: &mut World, question: QueryKey, answer: Box<AppAnswer>) {
    let (asked_by, query) = question;
    if world.apps.open.remove(&question) && asked_by == world.summary.restarts {
        world.log.line(world.now, format_args!("app     → {query:?}"));
        world.edge.gateway.handle_input(world.now, GatewayInput::AppAnswered { query, answer });
    }
}

fn failed(code: u16) -> AppAnswer {
    AppAnswer::Failed { code, text: "no answer".to_owned() }
}

pub(super) fn parameter<'r>(request: &'r DocumentRequest, name: &str) -> Option<&'r str> {
    request.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

/// Returns the application's response to a request for a document.
fn document(world: &mut World, request: &DocumentRequest) -> AppAnswer {
    let is_whisper = parameter(request, "Direction") == Some("outbound-dial");
    let to = parameter(request, "To").unwrap_or_default().to_owned();
    let is_healed = world.healed;
    let rng = &mut world.apps.rng;
    let (content_type, body) = match rng.random_range(0..100) {
        0..6 => return failed(11_200),
        6..8 => ("text/xml", "<Response><Say>".to_owned()),
        8..10 => ("application/json", "{}".to_owned()),
        10..13 => ("text/plain", "goodbye".to_owned()),
        13..16 => ("audio/wav", String::new()),
        // Once the network is ideal, every document ends the call.
        _ if is_healed => ("text/xml", "<Response/>".to_owned()),
        _ if is_whisper => ("text/xml", format!("<Response>{}</Response>", whisper(rng))),
        _ => {
            let verbs: String = (0..rng.random_range(0..4)).map(|_| verb(rng, &to)).collect();
            let document = world.recognisers.speaking(format!("<Response>{verbs}</Response>"));
            ("text/xml", world.recordings.recorded(document))
        }
    };
    let content_type = Some(content_type.to_owned());
    AppAnswer::Document { url: None, content_type, body: body.into_bytes(), told: "200".to_owned() }
}

/// Returns a document that a callee hears before the connection.
fn whisper(rng: &mut ChaCha12Rng) -> &'static str {
    [
        "",
        "<Say>a call</Say>",
        "<Gather numDigits='1' timeout='3'><Say>press 1</Say></Gather><Hangup/>",
        "<Pause length='2'/><Play digits='12'/>",
        "<Hangup/>",
        "<Reject/>",
        "<Redirect>/again</Redirect>",
    ][rng.random_range(0..7usize)]
}

/// Returns a verb for a caller's document. Parties are called at the caller's number, so that audio can be matched.
fn verb(rng: &mut ChaCha12Rng, to: &str) -> String {
    let action = ["", " action='/after'"][rng.random_range(0..2usize)];
    match rng.random_range(0..100) {
        0..10 => "<Say loop='2'>hello</Say>".to_owned(),
        10..16 => "<Play>/music.wav</Play>".to_owned(),
        16..20 => "<Play digits='1w2'/>".to_owned(),
        20..27 => format!("<Pause length='{}'/>", rng.random_range(1..4)),
        27..37 => "<Gather numDigits='1' timeout='3'><Say>press a key</Say></Gather>".to_owned(),
        37..60 => dial(rng, action, to),
        60..63 => queue(rng, action),
        63..70 => conference(rng, action),
        70..76 => "<Redirect>/next</Redirect>".to_owned(),
        76..79 => "<Reject reason='busy'/>".to_owned(),
        79..82 => "<Hangup/>".to_owned(),
        82..90 => format!("<Connect{action}><Stream url='ws://10.0.0.9/stream' statusCallback='/stream'/></Connect>"),
        90..95 => "<Start><Stream url='ws://10.0.0.9/fork' name='fork'/></Start>".to_owned(),
        95..97 => "<Stop><Stream name='fork'/></Stop>".to_owned(),
        _ => format!("<Refer{action}><Sip>sip:{to}@{TRUNK_B}</Sip></Refer>"),
    }
}

/// Returns a Dial to one of two conferences, with a short time limit.
fn conference(rng: &mut ChaCha12Rng, action: &str) -> String {
    let limit = rng.random_range(5..40);
    let mut attributes =
        " statusCallback='/conference' statusCallbackEvent='start end join leave mute hold modify'".to_owned();
    for (share, attribute) in [
        (0.2, " startConferenceOnEnter='false'"),
        (0.2, " endConferenceOnExit='true'"),
        (0.2, " muted='true'"),
        (0.2, " beep='false'"),
        (0.3, " waitUrl='/wait'"),
        (0.1, " waitUrl=''"),
        (0.1, " participantLabel='ann'"),
        (0.1, " maxParticipants='2'"),
    ] {
        if rng.random_bool(share) && !(attribute.contains("waitUrl") && attributes.contains("waitUrl")) {
            attributes.push_str(attribute);
        }
    }
    let star = ["", " hangupOnStar='true'"][rng.random_range(0..2usize)];
    let name = ["one", "two"][rng.random_range(0..2usize)];
    format!("<Dial{action}{star} timeLimit='{limit}'><Conference{attributes}>{name}</Conference></Dial>")
}

/// Returns an Enqueue with a wait document, or a Dial to a queue. The wait document ends the wait once the network is
/// ideal.
fn queue(rng: &mut ChaCha12Rng, action: &str) -> String {
    let name = ["one", "two"][rng.random_range(0..2usize)];
    if rng.random_bool(0.5) {
        let most = ["", " maxQueueSize='1'"][rng.random_range(0..2usize)];
        return format!("<Enqueue{action}{most} waitUrl='/wait'>{name}</Enqueue>");
    }
    let url = ["", " url='/wait'"][rng.random_range(0..2usize)];
    let (timeout, limit) = (rng.random_range(1..30), rng.random_range(5..40));
    format!("<Dial{action} timeout='{timeout}' timeLimit='{limit}'><Queue{url}>{name}</Queue></Dial>")
}

fn dial(rng: &mut ChaCha12Rng, action: &str, to: &str) -> String {
    let mut attributes = format!("{action} timeout='{}' timeLimit='40'", rng.random_range(5..30));
    for (share, attribute) in
        [(0.3, " answerOnBridge='true'"), (0.3, " hangupOnStar='true'"), (0.3, " sequential='true'")]
    {
        if rng.random_bool(share) {
            attributes.push_str(attribute);
        }
    }
    let party = |rng: &mut ChaCha12Rng| {
        let mut of_party =
            " statusCallback='/status' statusCallbackEvent='initiated ringing answered completed'".to_owned();
        if rng.random_bool(0.3) {
            of_party.push_str(" url='/screen'");
        }
        if rng.random_bool(0.3) {
            return format!("<Sip{of_party}>sip:{to}@{TRUNK_B}?X-Room=1</Sip>");
        }
        let digits = if rng.random_bool(0.2) { " sendDigits='1w'" } else { "" };
        format!("<Number{of_party}{digits}>{to}</Number>")
    };
    let parties: String = (0..rng.random_range(1..4)).map(|_| party(rng)).collect();
    format!("<Dial{attributes}>{parties}</Dial>")
}

#[cfg(test)]
mod tests {
    use trunkgate_call::AppPlace;
    use trunkgate_route::WebhookMethod;

    use super::*;

    #[test]
    fn a_number_of_a_report_that_repeats_is_noticed() {
        let mut app = SimApp::new(1);
        let mut report = |number: u64, status: &str, crashes| {
            let parameters = [("CallSid", "CA1"), ("SequenceNumber", &number.to_string()), ("CallStatus", status)];
            let parameters = parameters.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
            let place = AppPlace::Url("/status".to_owned());
            let request = DocumentRequest { place, method: WebhookMethod::Post, purpose: "status", parameters };
            app.report(&request, crashes).is_ok()
        };
        assert!(report(0, "initiated", 0) && report(1, "in-progress", 0));
        assert!(!report(1, "completed", 0) && !report(3, "completed", 0), "no crash hides a report");
        assert!(report(2, "completed", 0) && !report(3, "completed", 0), "the end is the last one");
        assert!(!report(2, "completed", 1) && report(6, "completed", 1), "an older state does not have the end");
        assert!(!report(7, "completed", 1));
    }
}

//! Callers in queues: the audio of each, the connections, and the reports to their applications.

use std::time::Duration;

use trunkgate_call::{CallAction, QueueControl, QueueRefusal};
use trunkgate_conference::{NodeCommand, NodeEvent, ParticipantId};

use super::conferences::Party;
use super::*;

const ENQUEUE: &str = "<Enqueue action='/left' waitUrl='/wait'>support</Enqueue><Say>after</Say>";
const DIAL: &str = "<Dial action='/dialled' timeout='20'><Queue>support</Queue></Dial>";
const PRELUDE: &str = "<Dial action='/dialled'><Queue url='/before'>support</Queue></Dial>";

impl Party {
    /// Adds a caller to the queue, with its document.
    fn waits(&mut self) -> usize {
        let caller = self.joins_by(ENQUEUE);
        assert_eq!(self.document("<Pause length='600'/>").purpose, "queue wait");
        caller
    }

    /// Returns the SID of the call with this number.
    fn sid(&self, at: usize) -> String {
        let calls = self.bench.gateway.calls(self.bench.now);
        calls[calls.len() - 1 - at].sid.clone()
    }

    /// Returns the requests and reports to applications since the last look.
    fn asked(&mut self) -> Vec<DocumentRequest> {
        let request = |question: trunkgate_call::AppQuestion| match question.wanted {
            AppResource::Document(request) => Some(request),
            _ => None,
        };
        self.bench.questions.drain(..).filter_map(request).collect()
    }

    /// Returns the outcome of the only report, of an Enqueue or Dial.
    fn outcome(&mut self, name: &str) -> String {
        let asked = self.asked();
        let [request] = &asked[..] else { panic!("{asked:?}") };
        parameter(request, name).unwrap_or_else(|| panic!("no {name} in {request:?}")).to_owned()
    }

    fn size(&self) -> Vec<usize> {
        let queues = trunkgate_call::queues(&self.bench.gateway).reports(self.bench.now);
        queues.iter().map(|queue| queue.members.len()).collect()
    }
}

/// Returns the mixer seats that were taken and left, in the order of the calls.
fn seats(commands: &[NodeCommand]) -> (Vec<ParticipantId>, Vec<ParticipantId>) {
    let taken = commands.iter().filter_map(|one| match one {
        NodeCommand::Seat { seat, .. } => Some(*seat),
        _ => None,
    });
    let left = commands.iter().filter_map(|one| match one {
        NodeCommand::Leave { seat } => Some(*seat),
        _ => None,
    });
    (taken.collect(), left.collect())
}

/// Returns the requests of a queue: for the document of a waiting caller, for the one before the connection, and for
/// the action.
pub(crate) fn requests() -> Vec<DocumentRequest> {
    let mut party = Party::app();
    party.joins_by(ENQUEUE);
    let wait = party.document("<Pause length='60'/>");
    party.joins_by(PRELUDE);
    let before = party.document("");
    party.hangs_up(1);
    let mut all = party.asked();
    all.extend([wait, before]);
    all
}

#[test]
fn a_caller_waits_until_a_party_dials_the_queue() {
    let mut party = Party::app();
    party.joins_by(ENQUEUE);
    party.bench.pass(Duration::from_secs(4));
    let request = party.document("<Pause length='600'/>");
    let sent = |name| parameter(&request, name).unwrap().to_owned();
    assert_eq!(
        ["QueuePosition", "CurrentQueueSize", "MaxQueueSize", "QueueTime", "AvgQueueTime"].map(sent),
        ["1", "1", "1000", "0", "0"]
    );
    let queue = parameter(&request, "QueueSid").unwrap().to_owned();
    party.waits();
    assert_eq!(party.size(), [2]);
    party.bench.pass(Duration::from_secs(5));
    party.joins_by(DIAL);
    assert_eq!(party.size(), [1]);
    let commands: Vec<NodeCommand> = party.bench.mixer.drain(..).collect();
    let (taken, _) = seats(&commands);
    assert_eq!((taken.len(), commands.len()), (2, 4), "a seat and a part for each: {commands:?}");
    assert_eq!(party.heard(), ["others", "silence", "others"]);
    // The party that has dialled hangs up: the caller continues with the action of its Enqueue.
    party.hangs_up(2);
    let (_, left) = seats(&party.bench.mixer.drain(..).collect::<Vec<_>>());
    assert_eq!(left, taken);
    let asked = party.asked();
    let [left, dialled] = &asked[..] else { panic!("{asked:?}") };
    let (left, dialled) = if left.purpose == "enqueue" { (left, dialled) } else { (dialled, left) };
    assert_eq!(parameter(left, "QueueResult"), Some("bridged"));
    assert_eq!((parameter(left, "QueueSid"), parameter(left, "QueueTime")), (Some(queue.as_str()), Some("10")));
    assert_eq!((dialled.purpose, parameter(dialled, "DialCallStatus")), ("dial", Some("completed")));
}

#[test]
fn a_caller_hears_the_document_of_the_queue_before_it_is_connected() {
    let mut party = Party::app();
    party.waits();
    party.joins_by(PRELUDE);
    assert!(party.bench.mixer.is_empty());
    let (caller, dialling) = (party.sid(0), party.sid(1));
    let request = party.document("<Say>you will be connected</Say>");
    assert_eq!(parameter(&request, "CallSid"), Some(caller.as_str()));
    assert_eq!(parameter(&request, "DequeingCallSid"), Some(dialling.as_str()));
    party.sound();
    assert!(party.bench.mixer.is_empty());
    party
        .bench
        .input(GatewayInput::Media { id: trunkgate_media::MediaId(0), event: MediaEvent::Played { end: PLAYER } });
    assert_eq!(party.heard(), ["others", "others"]);
    // The caller hangs up: the party continues with its action.
    party.hangs_up(0);
    let asked = party.asked();
    let found = |purpose| asked.iter().find(|request| request.purpose == purpose).unwrap();
    assert_eq!(parameter(found("enqueue"), "QueueResult"), Some("bridged"));
    assert_eq!(parameter(found("dial"), "DialCallStatus"), Some("completed"));
    assert_eq!(parameter(found("dial"), "DialCallSid"), Some(caller.as_str()));
    assert_eq!(parameter(found("dial"), "DialBridged"), Some("true"));
}

#[test]
fn a_caller_that_hangs_up_leaves_the_queue() {
    let mut party = Party::app();
    party.waits();
    party.waits();
    party.hangs_up(0);
    assert_eq!((party.size(), party.outcome("QueueResult")), (vec![1], "hangup".to_owned()));
    // A party that dials the queue gets the next caller, who hangs up as well during the document.
    party.joins_by(PRELUDE);
    party.document("<Pause length='60'/>");
    party.hangs_up(1);
    assert_eq!((party.size(), party.outcome("QueueResult")), (vec![0], "hangup".to_owned()));
    assert_eq!(party.heard()[2], "ringing", "it waits for another caller");
    // No further caller comes in time.
    party.bench.pass(Duration::from_secs(30));
    assert_eq!(party.outcome("DialCallStatus"), "no-answer");
}

#[test]
fn a_party_that_hangs_up_before_the_connection_gives_its_caller_back() {
    let mut party = Party::app();
    party.waits();
    party.joins_by(PRELUDE);
    party.document("<Pause length='60'/>");
    party.hangs_up(1);
    let asked = party.asked();
    let purposes: Vec<&str> = asked.iter().map(|request| request.purpose).collect();
    assert_eq!((party.size(), purposes.contains(&"queue wait")), (vec![1], true), "{purposes:?}");
    let dialled = asked.iter().find(|request| request.purpose == "dial").unwrap();
    assert_eq!(parameter(dialled, "DialCallStatus"), Some("canceled"));
}

#[test]
fn two_parties_that_dial_at_once_get_a_caller_each() {
    let mut party = Party::app();
    party.waits();
    party.joins_by(DIAL);
    party.joins_by(DIAL);
    party.joins_by(ENQUEUE);
    party.bench.pass(Duration::from_secs(60));
    let (caller, second) = (party.sid(0), party.sid(3));
    party.hangs_up(0);
    party.hangs_up(3);
    let asked = party.asked();
    let mut with: Vec<&str> = asked.iter().filter_map(|request| parameter(request, "DialCallSid")).collect();
    with.sort_unstable();
    let mut expected = [caller.as_str(), second.as_str()];
    expected.sort_unstable();
    assert_eq!(with, expected);
}

#[test]
fn a_dial_of_an_empty_queue_waits_and_one_of_no_queue_fails() {
    let mut party = Party::app();
    party.joins_by(DIAL);
    assert_eq!(party.outcome("DialCallStatus"), "failed");
    let now = party.bench.now;
    party.bench.change(QueueControl::Create { name: "support".to_owned(), most: None }).unwrap();
    party.joins_by(DIAL);
    party.bench.pass(Duration::from_secs(19));
    assert!(party.asked().is_empty());
    party.bench.pass(Duration::from_secs(1));
    assert_eq!(party.outcome("DialCallStatus"), "no-answer");
    party.joins_by(DIAL);
    let sid = trunkgate_call::queues(&party.bench.gateway).reports(now)[0].kept.sid.clone();
    let delete = QueueControl::Delete { sid };
    assert_eq!(party.bench.change(delete.clone()).map(drop), Ok(()));
    party.bench.drain();
    assert_eq!(party.outcome("DialCallStatus"), "failed");
    assert_eq!(party.bench.change(delete).map(drop), Err(QueueRefusal::Unknown));
}

#[test]
fn a_full_queue_is_reported_at_once() {
    let mut party = Party::app();
    let document = "<Enqueue action='/left' maxQueueSize='1'>support</Enqueue>";
    party.joins_by(document);
    party.joins_by(document);
    let asked = party.asked();
    let [request] = &asked[..] else { panic!("{asked:?}") };
    assert_eq!(parameter(request, "QueueResult"), Some("queue-full"));
    assert_eq!(parameter(request, "QueueSid"), None);
    assert_eq!(party.heard()[0], "music");
}

#[test]
fn a_key_and_a_document_take_the_caller_out() {
    let mut party = Party::app();
    party.joins_by(ENQUEUE);
    party.document("<Gather numDigits='1' action='/pressed'><Pause length='60'/></Gather>");
    party.press(0, '1');
    let request = party.document("<Leave/>");
    assert_eq!((request.purpose, parameter(&request, "Digits")), ("gather", Some("1")));
    let request = party.document("<Hangup/>");
    assert_eq!((request.purpose, parameter(&request, "QueueResult")), ("enqueue", Some("leave")));
    party.is_hung_up_on(0);
    // A caller that is hung up on by its document.
    party.joins_by(ENQUEUE);
    party.document("<Hangup/>");
    party.is_hung_up_on(1);
    assert_eq!((party.size(), party.outcome("QueueResult")), (vec![0], "hangup".to_owned()));
}

#[test]
fn another_document_takes_a_caller_out_of_the_queue_or_the_connection() {
    let mut party = Party::app();
    let elsewhere = || {
        let text = "<Response><Pause length='60'/></Response>";
        Arc::new(App { is_made: true, ..App::new("made", AppDocument::Text(text.into())) })
    };
    party.waits();
    let sid = party.sid(0);
    party.bench.change_call(&sid, CallAction::Redirect(elsewhere())).unwrap();
    party.bench.drain();
    assert_eq!((party.size(), party.outcome("QueueResult")), (vec![0], "redirected".to_owned()));
    party.waits();
    party.joins_by(DIAL);
    let sid = party.sid(1);
    party.bench.change_call(&sid, CallAction::Redirect(elsewhere())).unwrap();
    party.bench.drain();
    let asked = party.asked();
    let found = |purpose| asked.iter().find(|request| request.purpose == purpose).unwrap();
    assert_eq!(parameter(found("enqueue"), "QueueResult"), Some("redirected-from-bridged"));
    assert_eq!(parameter(found("dial"), "DialCallStatus"), Some("completed"));
}

#[test]
fn a_connection_lasts_for_the_time_of_its_dial_and_ends_by_its_star() {
    let mut party = Party::app();
    party.waits();
    party.joins_by("<Dial action='/dialled' timeLimit='5' hangupOnStar='true'><Queue>support</Queue></Dial>");
    party.bench.pass(Duration::from_secs(5));
    let statuses = |party: &mut Party| {
        let asked = party.asked();
        let mut all: Vec<String> = asked
            .iter()
            .filter_map(|request| parameter(request, "QueueResult").or(parameter(request, "DialCallStatus")))
            .map(str::to_owned)
            .collect();
        all.sort_unstable();
        all
    };
    assert_eq!(statuses(&mut party), ["bridged", "completed"]);
    party.waits();
    party.joins_by("<Dial action='/dialled' hangupOnStar='true'><Queue>support</Queue></Dial>");
    party.press(3, '*');
    assert_eq!(statuses(&mut party), ["bridged", "completed"]);
}

#[test]
fn a_caller_that_the_mixers_have_no_place_for_is_parted() {
    let mut party = Party::app();
    party.waits();
    party.joins_by(DIAL);
    let (taken, _) = seats(&party.bench.mixer.drain(..).collect::<Vec<_>>());
    party.bench.input(GatewayInput::Conference(NodeEvent::Refused(taken[1])));
    assert_eq!(party.asked().len(), 2);
    assert_eq!(party.heard(), ["silence", "silence"]);
}

#[test]
fn after_a_restart_callers_have_their_places_and_connections_again() {
    let mut party = Party::app();
    party.waits();
    party.joins_by(DIAL);
    party.waits();
    party.bench.pass(Duration::from_secs(7));
    party.waits();
    party.bench.mixer.clear();
    let before = trunkgate_call::queues(&party.bench.gateway).reports(party.bench.now);
    let table = table(vec![TargetSpec::App("ivr".into())]);
    party.bench.restart(table);
    let after = trunkgate_call::queues(&party.bench.gateway).reports(party.bench.now);
    let members = |reports: &[trunkgate_call::QueueReport]| {
        let all = reports.iter().flat_map(|report| report.members.clone());
        all.map(|member| (member.call_sid, member.waited.as_secs())).collect::<Vec<_>>()
    };
    assert_eq!((before.len(), before[0].kept.clone()), (after.len(), after[0].kept.clone()));
    assert_eq!(members(&before), members(&after));
    let (taken, _) = seats(&party.bench.mixer.drain(..).collect::<Vec<_>>());
    assert_eq!((taken.len(), &party.heard()[..2]), (2, &["others".to_owned(), "others".to_owned()][..]));
}

#[test]
fn after_a_restart_a_caller_that_hears_a_sound_of_its_wait_document_is_in_its_queue_again() {
    let mut party = Party::app();
    party.joins_by(ENQUEUE);
    assert_eq!(party.document("<Say>Please wait</Say>").purpose, "queue wait");
    party.sound();
    party.bench.restart(table(vec![TargetSpec::App("ivr".into())]));
    assert_eq!((party.size(), party.heard()), (vec![1], vec!["silence".to_owned()]));
    assert_eq!(party.document("<Pause length='600'/>").purpose, "queue wait", "it begins again");
    party.joins_by(DIAL);
    assert_eq!(party.heard(), ["others", "others"]);
}

#[test]
fn log_lines_name_a_queue_by_its_sid_alone() {
    let mut party = Party::app();
    party.joins_by("<Enqueue>+14155550199</Enqueue>");
    assert!(party.bench.logs.iter().any(|line| line.contains("waits in queue QU")), "{:?}", party.bench.logs);
    assert!(party.bench.logs.iter().all(|line| !line.contains("5550199")), "{:?}", party.bench.logs);
}

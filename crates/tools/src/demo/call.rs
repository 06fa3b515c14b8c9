//! One call of the demo: placed, observed, measured and judged.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::sync::mpsc;
use trunkgate_call::CallView;
use trunkgate_call::trace::TraceView;
use trunkgate_phone::{AnswerScript, CallNumber, CallScript, OutgoingCall, PhoneEvent};
use trunkgate_sip::{Flow, ListenerId, Transport};

use super::DemoEvent;
use super::agent::DemoAgents;
use super::judgement::{self, CallMediaSet};
use super::party::DemoPhone;
use super::quality::{self, AudioDirection, FrameJournal};
use super::stream::Continuity;
use crate::progress::ProgressOutput;
use trunkgate_explain::ladder;
use trunkgate_runtime::handle::EdgeHandle;
use trunkgate_system::terminal::wrapped;

/// Maximum duration of a demo call; a longer call has failed.
const PATIENCE: Duration = Duration::from_secs(15);
/// Interval of progress updates in a call.
const TICK: Duration = Duration::from_millis(100);
/// Calling number of the demo's calls.
const CALLER: &str = "+14155550100";

/// Role of the agent in a demo call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DemoAgentRole {
    /// No agent takes part.
    None,
    /// The agent talks with the caller; with a time, its connection is dropped then.
    Talks {
        /// Time from the answer to the drop of the connection; `None` keeps it.
        killed_after: Option<Duration>,
    },
    /// The agent listens to a call between trunks.
    Listens,
}

/// Script of a demo call.
#[derive(Debug, Clone)]
pub(super) struct DemoCallPlan {
    /// Subject of the call, for the output.
    pub(super) title: &'static str,
    /// Index of the calling phone.
    pub(super) caller: usize,
    /// Called number.
    pub(super) number: &'static str,
    /// Answer script of each called phone, by phone index.
    pub(super) answers: Vec<(usize, AnswerScript)>,
    /// Index of the phone that should answer; `None` if an agent should.
    pub(super) answered_by: Option<usize>,
    /// Role of the agent.
    pub(super) agent: DemoAgentRole,
    /// Whether the two sides use different codecs.
    pub(super) converted: bool,
    /// Number of frames sent by the caller.
    pub(super) frames: u32,
    /// Number of frames sent by the answering phone.
    pub(super) far_frames: u32,
    /// Time from the answer to the caller's BYE, long enough for the last frame to arrive.
    pub(super) length: Duration,
}

/// Result of a demo call.
#[derive(Debug, Serialize)]
pub(super) struct CallResult {
    /// Subject of the call.
    pub(super) title: &'static str,
    /// Called number.
    number: &'static str,
    /// Call as the edge shows it.
    call: Option<CallView>,
    /// Trace of the call.
    trace: Option<TraceView>,
    /// Quality of the audio in each direction.
    directions: Vec<AudioDirection>,
    /// All audio that the caller received, as one RTP stream.
    stream: Continuity,
    /// Problems found in the call.
    pub(super) problems: Vec<String>,
    /// Longest time that the demo waited for a CPU, in milliseconds.
    pub(super) waited_ms: u64,
    /// Total time that all threads, including those of the edge, waited for a CPU, in milliseconds; 0 if the kernel
    /// does not report it.
    pub(super) queued_ms: u64,
}

/// Phones, agents and edge that a demo call runs between.
pub(super) struct DemoCallRunner<'a> {
    /// Phones in this order: carrier, trunks, secure caller.
    pub(super) parties: &'a [DemoPhone],
    /// Agents of the demo.
    pub(super) agents: &'a DemoAgents,
    /// SIP addresses of the edge, for UDP and TLS.
    pub(super) edge: (SocketAddr, SocketAddr),
    /// Handle of the edge.
    pub(super) handle: EdgeHandle,
    /// Journal of sent frames.
    pub(super) journal: &'a FrameJournal,
    /// Events of phones and agents.
    pub(super) news: &'a mut mpsc::Receiver<DemoEvent>,
    /// Progress output.
    pub(super) progress: &'a mut ProgressOutput,
}

/// Progress, problems and delays of a demo call.
#[derive(Debug, Default)]
struct CallObservations {
    answered: Option<Instant>,
    /// Index and call number of the phone that answered.
    far: Option<(usize, CallNumber)>,
    near_ended: bool,
    far_ended: bool,
    /// Number of open connections to an agent.
    agents: usize,
    killed: bool,
    problems: Vec<String>,
    /// Longest delay of a progress tick.
    waited: Duration,
}

/// Returns the total time that the threads of this process have waited for a CPU; zero if the kernel does not report
/// it.
fn run_queue_time() -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let texts = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("schedstat")).ok());
    let waits = texts.filter_map(|text| text.split_whitespace().nth(1)?.parse::<u64>().ok());
    Duration::from_nanos(waits.sum())
}

impl DemoCallRunner<'_> {
    /// Runs a call to its end and judges its audio.
    pub(super) async fn play(&mut self, plan: &DemoCallPlan) -> anyhow::Result<CallResult> {
        let talk = CallScript { frames: Some(plan.far_frames), by_ear: plan.converted, ..CallScript::default() };
        for (at, answer) in &plan.answers {
            if let Some(party) = self.parties.get(*at) {
                party.expect(AnswerScript { talk: talk.clone(), ..answer.clone() }).await;
            }
        }
        let (mut seen, mut directions, mut stream) = (CallObservations::default(), Vec::new(), Continuity::default());
        let queued_before = run_queue_time();
        let near = self.dial(plan).await;
        if let Some(near) = near {
            self.watch(plan, near, &mut seen).await;
        } else {
            seen.problems.push("the caller's phone could not dial".into());
        }
        let call = self.handle.calls().await?.into_iter().find(|call| call.to == plan.number);
        let trace = match &call {
            Some(call) => self.handle.trace(&call.sid).await?,
            None => None,
        };
        if let Some(near) = near {
            let parts = self.parts(plan, near, &mut seen).await;
            stream = parts.near.1.continuity.clone();
            directions = judgement::directions(plan, &parts, self.journal, &mut seen.problems);
            judgement::edge(plan, &parts, call.as_ref(), &mut seen.problems);
        }
        let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Ok(CallResult {
            title: plan.title,
            number: plan.number,
            call,
            trace,
            directions,
            stream,
            problems: seen.problems,
            waited_ms: milliseconds(seen.waited),
            queued_ms: milliseconds(run_queue_time().saturating_sub(queued_before)),
        })
    }

    async fn dial(&self, plan: &DemoCallPlan) -> Option<CallNumber> {
        let caller = self.parties.get(plan.caller)?;
        let (transport, remote) =
            if caller.secure { (Transport::Tls, self.edge.1) } else { (Transport::Udp, self.edge.0) };
        let flow = Flow { transport, listener: ListenerId(0), remote, connection: None };
        let uri = format!("sip:{}@{remote}", plan.number);
        let mut dial = OutgoingCall::new(flow, uri, format!("<sip:{CALLER}@{}>", caller.address));
        dial.talk = CallScript {
            hang_up_after: Some(plan.length),
            frames: Some(plan.frames),
            by_ear: plan.converted,
            ..CallScript::default()
        };
        caller.dial(dial).await
    }

    /// Follows the call until all parties have ended it; after [`PATIENCE`] it ends the call and reports a problem.
    async fn watch(&mut self, plan: &DemoCallPlan, near: CallNumber, seen: &mut CallObservations) {
        let (began, mut tick) = (Instant::now(), tokio::time::interval(TICK));
        while !(seen.near_ended && (seen.far_ended || seen.far.is_none()) && seen.agents == 0) {
            tokio::select! {
                news = self.news.recv() => {
                    let Some(news) = news else { return };
                    self.note(plan, near, news, seen);
                }
                due = tick.tick() => {
                    seen.waited = seen.waited.max(due.elapsed());
                    self.pass_time(plan, seen);
                }
            }
            if began.elapsed() > PATIENCE {
                seen.problems.push(format!("not over after {} s", PATIENCE.as_secs()));
                self.end(plan, near, seen).await;
                return;
            }
        }
    }

    fn pass_time(&mut self, plan: &DemoCallPlan, seen: &mut CallObservations) {
        let talked = seen.answered.map_or(Duration::ZERO, |at| at.elapsed());
        self.progress.bar(plan.title, (talked.as_secs_f64() / plan.length.as_secs_f64()).min(1.0));
        if let DemoAgentRole::Talks { killed_after: Some(after) } = plan.agent
            && !seen.killed
            && talked >= after
        {
            seen.killed = true;
            self.agents.kill();
            self.progress.say(&format!("call to {}: the agent is killed", plan.number));
        }
    }

    fn note(&mut self, plan: &DemoCallPlan, near: CallNumber, news: DemoEvent, seen: &mut CallObservations) {
        let (party, event) = match news {
            DemoEvent::Phone { party, event } => (party, event),
            DemoEvent::AgentOpen { echo } => {
                seen.agents += 1;
                let what = if echo { "the agent has it" } else { "a listener hears it" };
                return self.progress.say(&format!("call to {}: {what}", plan.number));
            }
            DemoEvent::AgentEnded => {
                seen.agents = seen.agents.saturating_sub(1);
                return;
            }
        };
        let name = self.parties.get(party).map_or("?", |party| party.name);
        let is_near = party == plan.caller;
        match event {
            PhoneEvent::Incoming(_) => self.progress.say(&format!("call to {}: {name} is called", plan.number)),
            PhoneEvent::Ringing(_) => {}
            PhoneEvent::Answered(number) if is_near && number == near => {
                seen.answered = Some(Instant::now());
                self.progress.say(&format!("call to {}: answered, the caller sends a tone", plan.number));
            }
            PhoneEvent::Answered(number) => {
                seen.far = Some((party, number));
                self.progress.say(&format!("call to {}: {name} answered and sends a tone", plan.number));
            }
            PhoneEvent::Ended(number, ending) if is_near => {
                seen.near_ended |= number == near;
                if seen.answered.is_none() {
                    seen.problems.push(format!("not answered: {ending:?}"));
                }
            }
            PhoneEvent::Ended(number, _) => seen.far_ended |= seen.far == Some((party, number)),
            PhoneEvent::Heard(..) => {}
        }
    }

    async fn end(&self, plan: &DemoCallPlan, near: CallNumber, seen: &CallObservations) {
        self.agents.kill();
        if let Some(caller) = self.parties.get(plan.caller) {
            caller.hang_up(near).await;
        }
        if let Some((at, number)) = seen.far
            && let Some(party) = self.parties.get(at)
        {
            party.hang_up(number).await;
        }
    }

    /// Collects the audio that each party sent and received.
    async fn parts(&self, plan: &DemoCallPlan, near: CallNumber, seen: &mut CallObservations) -> CallMediaSet {
        let mut parts = CallMediaSet { agents: self.agents.take(), ..CallMediaSet::default() };
        if let Some(caller) = self.parties.get(plan.caller) {
            parts.secure = caller.secure;
            parts.near = (caller.name, caller.report(near).await);
        }
        if let Some((at, number)) = seen.far
            && let Some(party) = self.parties.get(at)
        {
            parts.far = Some((at, party.name, party.report(number).await));
        }
        parts
    }
}

impl CallResult {
    /// Formats ladder, table and problems for a terminal of this width.
    pub(super) fn text(&self, width: Option<usize>) -> String {
        let mut out = String::new();
        if let (Some(call), Some(trace)) = (&self.call, &self.trace) {
            out.push_str(&ladder::page(call, trace, width));
            out.push('\n');
        }
        if !self.directions.is_empty() {
            out.push_str(&quality::table(&self.directions, width));
        }
        let Continuity { step, packets, breaks, largest_gap_ms, .. } = self.stream;
        if packets > 0 {
            let whole = match breaks {
                0 => format!("one SSRC, sequence +1, timestamp +{step} throughout"),
                breaks => format!("broken {breaks} times"),
            };
            let stream = format!("  to the caller: {packets} packets, {whole}, largest gap {largest_gap_ms} ms");
            out.push_str(&wrapped(&stream, 4, width));
        }
        for problem in &self.problems {
            out.push_str(&wrapped(&format!("  ✗ {problem}"), 4, width));
        }
        out
    }
}

//! One call of the demo: played, watched, measured, judged.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::sync::mpsc;
use trunkgate_call::CallView;
use trunkgate_call::trace::TraceView;
use trunkgate_phone::{Answer, CallNumber, Dial, Event, Talk};
use trunkgate_sip::{Flow, ListenerId, Transport};

use super::party::{News, Party};
use super::progress::Progress;
use super::quality::{self, Direction};
use crate::handle::Handle;
use crate::ladder;

/// Frames that each side says: 3.5 s.
const FRAMES: u32 = 175;
/// From the answer to the BYE: the last frame has arrived by then.
const LENGTH: Duration = Duration::from_millis(4000);
/// A call that takes longer is a failed one.
const PATIENCE: Duration = Duration::from_secs(12);
/// How often progress is shown.
const TICK: Duration = Duration::from_millis(100);
/// The calling number.
const CALLER: &str = "+14155550100";

/// What is to happen in a call.
#[derive(Debug)]
pub(super) struct Plan {
    /// What it shows.
    pub(super) title: &'static str,
    /// The called number.
    pub(super) number: &'static str,
    /// Which phone answers how.
    pub(super) answers: Vec<(usize, Answer)>,
    /// Position of the phone that should get it.
    pub(super) answered_by: usize,
}

/// What came of a call.
#[derive(Debug, Serialize)]
pub(super) struct CallResult {
    /// What it shows.
    pub(super) title: &'static str,
    /// The called number.
    number: &'static str,
    /// The edge's view.
    call: Option<CallView>,
    /// The edge's trace.
    trace: Option<TraceView>,
    /// What was heard.
    directions: Vec<Direction>,
    /// What is wrong; empty if nothing is.
    pub(super) problems: Vec<String>,
}

/// What a call is played on.
pub(super) struct Stage<'a> {
    /// Carrier, then trunks.
    pub(super) parties: &'a [Party],
    /// The edge's SIP address.
    pub(super) edge: SocketAddr,
    /// The edge.
    pub(super) handle: Handle,
    /// What the phones tell.
    pub(super) news: &'a mut mpsc::Receiver<News>,
    /// Where progress is shown.
    pub(super) progress: &'a mut Progress,
}

/// What the phones told of a call.
#[derive(Debug, Default)]
struct Seen {
    answered: Option<Instant>,
    /// Phone and call that answered on the far side.
    far: Option<(usize, CallNumber)>,
    near_ended: bool,
    far_ended: bool,
    problems: Vec<String>,
}

impl Stage<'_> {
    /// Plays a call to its end.
    pub(super) async fn play(&mut self, plan: &Plan) -> anyhow::Result<CallResult> {
        let talk = Talk { frames: Some(FRAMES), ..Talk::default() };
        for (at, answer) in &plan.answers {
            if let Some(party) = self.parties.get(*at) {
                party.expect(Answer { talk: talk.clone(), ..answer.clone() }).await;
            }
        }
        let mut seen = Seen::default();
        let mut directions = Vec::new();
        if let Some(near) = self.dial(plan, talk).await {
            self.watch(plan, near, &mut seen).await;
            self.measure(near, plan, &mut seen, &mut directions).await;
        } else {
            seen.problems.push("the carrier's phone could not dial".into());
        }
        let call = self.handle.calls().await?.into_iter().find(|call| call.to == plan.number);
        let trace = match &call {
            Some(call) => self.handle.trace(&call.sid).await?,
            None => None,
        };
        judge_edge(plan, self.parties, call.as_ref(), &directions, &mut seen.problems);
        let problems = seen.problems;
        Ok(CallResult { title: plan.title, number: plan.number, call, trace, directions, problems })
    }

    async fn dial(&self, plan: &Plan, talk: Talk) -> Option<CallNumber> {
        let flow = Flow { transport: Transport::Udp, listener: ListenerId(0), remote: self.edge, connection: None };
        let uri = format!("sip:{}@{}", plan.number, self.edge);
        let mut dial = Dial::new(flow, uri, format!("<sip:{CALLER}@{}>", self.parties.first()?.address));
        dial.talk = Talk { hang_up_after: Some(LENGTH), ..talk };
        self.parties.first()?.dial(dial).await
    }

    /// Follows the call until both phones know that it is over.
    async fn watch(&mut self, plan: &Plan, near: CallNumber, seen: &mut Seen) {
        let (began, mut tick) = (Instant::now(), tokio::time::interval(TICK));
        while !(seen.near_ended && (seen.far_ended || seen.far.is_none())) {
            tokio::select! {
                news = self.news.recv() => {
                    let Some(news) = news else { return };
                    self.note(plan, near, news, seen);
                }
                _ = tick.tick() => {
                    let spoken = seen.answered.map_or(0.0, |at| at.elapsed().as_secs_f64() / LENGTH.as_secs_f64());
                    self.progress.bar(plan.title, spoken.min(1.0));
                }
            }
            if began.elapsed() > PATIENCE {
                seen.problems.push(format!("not over after {} s", PATIENCE.as_secs()));
                self.end(near, seen).await;
                return;
            }
        }
    }

    fn note(&mut self, plan: &Plan, near: CallNumber, news: News, seen: &mut Seen) {
        let name = self.parties.get(news.party).map_or("?", |party| party.name);
        let is_near = news.party == 0;
        match news.event {
            Event::Incoming(_) => self.progress.say(&format!("call to {}: {name} is asked", plan.number)),
            Event::Ringing(_) => {}
            Event::Answered(number) if is_near && number == near => {
                seen.answered = Some(Instant::now());
                self.progress.say(&format!("call to {}: answered, a tone both ways", plan.number));
            }
            Event::Answered(number) => seen.far = Some((news.party, number)),
            Event::Ended(number, ending) if is_near => {
                seen.near_ended |= number == near;
                if seen.answered.is_none() {
                    seen.problems.push(format!("not answered: {ending:?}"));
                }
            }
            Event::Ended(number, _) => seen.far_ended |= seen.far == Some((news.party, number)),
            Event::Heard(..) => {}
        }
    }

    async fn end(&self, near: CallNumber, seen: &Seen) {
        if let Some(carrier) = self.parties.first() {
            carrier.hang_up(near).await;
        }
        if let Some((at, number)) = seen.far
            && let Some(party) = self.parties.get(at)
        {
            party.hang_up(number).await;
        }
    }

    async fn measure(&self, near: CallNumber, plan: &Plan, seen: &mut Seen, directions: &mut Vec<Direction>) {
        let Some((at, number)) = seen.far else {
            seen.problems.push("no trunk answered".into());
            return;
        };
        let (Some(carrier), Some(trunk)) = (self.parties.first(), self.parties.get(at)) else { return };
        if at != plan.answered_by {
            seen.problems.push(format!("answered by trunk {}", trunk.name));
        }
        let (here, there) = (carrier.report(near).await, trunk.report(number).await);
        for (from, to, speaker, listener) in
            [(carrier.name, trunk.name, &here, &there), (trunk.name, carrier.name, &there, &here)]
        {
            let (direction, problems) = Direction::judge(from, to, speaker, listener);
            directions.push(direction);
            seen.problems.extend(problems);
        }
    }
}

/// What the edge itself says of the call must fit what the phones saw.
fn judge_edge(
    plan: &Plan,
    parties: &[Party],
    call: Option<&CallView>,
    directions: &[Direction],
    problems: &mut Vec<String>,
) {
    let Some(call) = call else {
        problems.push("the edge knows nothing of the call".into());
        return;
    };
    let trunk = parties.get(plan.answered_by).map_or("", |party| party.name);
    if call.outcome != Some("answered") {
        problems.push(format!("the edge's outcome is {:?}, reason {:?}", call.outcome, call.reason));
    }
    for (name, heard) in ["carrier", trunk].into_iter().zip(directions) {
        match call.legs.iter().find(|leg| leg.trunk == name) {
            None => problems.push(format!("the edge has no leg of {name}")),
            Some(leg) if leg.rtp.lost > 0 || leg.rtp.rx_packets != heard.sent => problems.push(format!(
                "the edge had {} of {name}'s {} packets, {} lost",
                leg.rtp.rx_packets, heard.sent, leg.rtp.lost
            )),
            Some(_) => {}
        }
    }
}

impl CallResult {
    /// Ladder, table and problems.
    pub(super) fn text(&self) -> String {
        let mut out = String::new();
        if let (Some(call), Some(trace)) = (&self.call, &self.trace) {
            out.push_str(&ladder::page(call, trace));
            out.push('\n');
        }
        if !self.directions.is_empty() {
            out.push_str(&quality::table(&self.directions));
        }
        for problem in &self.problems {
            out.push_str(&format!("  ✗ {problem}\n"));
        }
        out
    }
}

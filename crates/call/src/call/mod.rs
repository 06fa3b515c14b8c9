//! One call: the caller's leg, the attempts to reach the other side, and what happens to them.
//!
//! *Rerouting*: the caller has its answer, and the agent that had it is lost or sends it on, or it was answered before anybody
//! was there (`answer = "at_once"`): the search goes on while the caller hears hold audio; or the agent has it still, and stays
//! until the target answers (`consult`); or an application speaks to it (`program/`). *Leaving*: no target is left, and the caller hears a goodbye.
//!
//! | event | searching | answered | rerouting | leaving | ended |
//! | --- | --- | --- | --- | --- | --- |
//! | caller's CANCEL | attempts withdrawn, call ends | of a re-INVITE: withdrawn on the other leg | it crossed our 2xx: BYE | as before | – |
//! | ACK to our 2xx | – | a late offer's answer taken | the same; the search that waited for it begins | a late offer's answer taken | – |
//! | PRACK | an offer's answer taken; with a further offer as an UPDATE | an offer's answer taken; with a further offer 488 | the same | the same | – |
//! | PRACK missing | attempts withdrawn, call ends | call ends | the same | the same | – |
//! | ACK missing | – | BYE on every leg | the same | the same | – |
//! | BYE | of the caller: as CANCEL | BYE on the other legs, call ends | of the caller: call ends | of the caller: call ends | leg gone |
//! | re-INVITE | 491 | relayed to the other leg, or answered; by the edge itself where an agent is the other side, or a hold ends here | answered by the edge itself; 491 while a far end rings, save to a refresh | 491, save to a refresh | 481 |
//! | UPDATE | answered; with an offer 500 or 491, or where the first one is answered reliably it goes on by UPDATE, or the edge answers | answered; with an offer as a re-INVITE, and UPDATE where the other leg takes it | the same as a re-INVITE | answered; with an offer 491 | 481 |
//! | INFO | 480 | goes on to the other leg; 415 where that is an agent | 480 | 480 | 481 |
//! | the next key may be told by INFO | – | INFO | the same | – | – |
//! | INFO answered | – | the same answer on the other leg; BYE where it is gone | the same answer | the same answer | – |
//! | REFER | 491 | the other side waits, the search begins (transfer); after a change that is under way; refused where it may not | 491 | 491 | 481 |
//! | the call whose leg this one waits for is over | – | as it was, with a NOTIFY to the party that asked | – | – | – |
//! | NOTIFY of a REFER that went on | 481 | goes on to the party that transfers | 481; of the program's own REFER the program is told | 481 | 481 |
//! | a REFER or NOTIFY that went on is answered | – | the same answer on the other leg | the same answer | – | – |
//! | our NOTIFY is answered | the next one | the next one | the next one | the next one | the next one |
//! | the party that transferred the call has not hung up | – | BYE | BYE | BYE | BYE |
//! | 100 | the target lives | – | the target lives | – | – |
//! | 18x | passed to the caller, early media wired, of one target where several ring | – | early media wired | – | – |
//! | 199 | its early dialog is over: another one's media is wired | – | the same | – | – |
//! | 2xx to an INVITE | ACK, caller answered, media wired, others that ring withdrawn | ACK and BYE (a fork, or it crossed our CANCEL) | ACK, media wired | ACK and BYE | ACK and BYE |
//! | final non-2xx | next peer, where a 3xx sends us; with no other that rings, next target, or caller refused | a withdrawn leg is gone | next peer, next target, or goodbye | a withdrawn leg is gone | a withdrawn leg is gone |
//! | INVITE without answer | next peer | a withdrawn leg is gone | next peer | a withdrawn leg is gone | a withdrawn leg is gone |
//! | re-INVITE or UPDATE answered | answered on the other leg, media changed | the same | ACK only | ACK only | ACK only |
//! | re-INVITE or UPDATE without answer | 500 on the other leg | BYE on every leg | – | – | – |
//! | a re-INVITE for an UPDATE takes too long | – | withdrawn, 504 to the UPDATE | – | – | – |
//! | our refresh answered | – | its session goes on, or BYE on every leg | the same | the same | ACK only |
//! | a session is due | – | refreshed; BYE on every leg where nobody did | the same | the same | – |
//! | the wait after a glare is over | – | our re-INVITE again | – | – | – |
//! | caller on hold asked, or answers | – | asked again later; BYE where it is gone | – | – | – |
//! | a withdrawn leg's last answer never comes | leg gone | leg gone | leg gone | leg gone | leg gone |
//! | our BYE is through | withdrawn leg gone | leg gone | leg gone | leg gone | leg gone |
//! | name looked up | first address tried | – | first address tried | – | – |
//! | silence, ring time-out | next peer, next target | – | next peer, next target | – | – |
//! | its turn at a limit of the target's trunk, or waited long enough | first peer, next target | – | first peer, next target | – | – |
//! | its turn at an agent, or waited long enough | its socket asked for, next target | – | its socket asked for, next target | – | – |
//! | the targets have had their time together | what is tried is withdrawn, the last target is next | – | – | – | – |
//! | a wait before an agent's next stream is over | its socket asked for | – | its socket asked for | – | – |
//! | the agent has had the caller for its `max_call` | – | goodbye | goodbye | – | – |
//! | agent's socket open | caller answered, media wired | a listener hears | media wired; a listener hears | – | – |
//! | agent lost | a new stream, next target; a listener is left out | rerouting; a listener is left out | a new stream, next target, or what rings beside it rings on; a listener is left out | a listener is left out | – |
//! | agent closed with 1000 | a listener is left out | call ends, or rerouting (`on_close`) | what rings beside it rings on; a listener is left out | a listener is left out | – |
//! | agent's wish | noted | call ends, or rerouting (transfer) | of one that has the caller still as when answered; else noted | noted | – |
//! | agent's note | noted | noted | noted | noted | – |
//! | a party that is asked presses a key, hangs up, has had its time or is known to be a machine | – | – | media wired; next target, or the caller is back with its agent or party | – | – |
//! | goodbye heard, or overdue | – | – | – | BYE | – |
//! | ports not bound | other ports drawn | call ends | other ports drawn; of the caller: call ends | call ends | – |
//! | ports bound | a caller that waits for them is told of them | – | – | – | – |
//! | latched | noted | the same | the same | the same | – |
//! | early media has gone to an address that is not proven for long enough | withheld | – | – | – | – |
//! | a side is not heard after the answer | – | noted | – | – | – |
//! | no media | – | BYE on every leg | BYE | – | – |
//! | media session lost | caller refused | BYE on every leg | BYE | BYE | – |
//! | the shell answers an application's question | the program goes on | of a called party's document: it goes on | the program goes on | – | – |
//! | the program's own time has come | the program goes on | the same | the program goes on | – | – |
//! | a digit for the program | – | of a called party's document, or `hangupOnStar` | the program goes on | – | – |
//! | a dialled party has been connected for as long as it may | – | BYE to it, the program goes on | – | – | – |
//! | a dialled agent has not taken the caller in time | next turn of the Dial, or the program goes on | – | the same | – | – |
//! | a requested call has lasted for as long as it may | – | BYE on every leg | BYE | BYE | – |
//! | news of the conference that the caller is in | – | – | the program goes on, or the caller hears something else | – | – |
//! | news of the queue that the caller is in or has dialled; its time has passed | – | – | the program goes on, or the caller hears something else | – | – |
//! | operator, drain | caller refused, attempts withdrawn | BYE on every leg | BYE, attempts withdrawn | BYE | – |

pub(crate) mod legs;
pub(crate) mod media;
pub(crate) mod negotiation;
pub(crate) mod parts;
pub(crate) mod program;
pub(crate) mod recorders;
pub(crate) mod search;
pub(crate) mod shared;
pub(crate) mod story;
pub(crate) mod transfer;
pub(crate) mod words;
use std::time::{Instant, SystemTime};

use trunkgate_resources::edge::Edge;
use trunkgate_resources::io::Output;
use trunkgate_resources::limits::NUMBER_CHARS;
use trunkgate_resources::lookups::deadlines::Timer;
use trunkgate_resources::lookups::index::Purpose;
use trunkgate_resources::lookups::key::LegId;
use trunkgate_resources::traces::traced::Gathered;
use trunkgate_route::TargetSpec;
use trunkgate_story::numbers::plain;
use trunkgate_story::reason::ReasonSlug;
use trunkgate_story::sampled::SampledCall;
use trunkgate_story::trace::TraceView;
use trunkgate_story::view::CallView;

use crate::call::legs::agent_leg::Role;
use crate::call::legs::event::CallEvent;
use crate::call::legs::leg_end::EndedBy;
use crate::call::media::coaching::Coaching;
use crate::call::media::local::Listener;
use crate::call::negotiation::Bridge;
use crate::call::parts::effects::in_program;
use crate::call::parts::requested::Requested;
use crate::call::program::CallProgram;
use crate::call::program::effects::LowerParts;
use crate::call::recorders::{detection, recording, siprec};
use crate::call::search::Search;
use crate::call::search::controller::Controller;
use crate::call::shared::{Cx, Next, Shared};
use crate::call::story::noted::micros;
use crate::call::story::silent_agent;
use crate::call::story::verdict::head;
use crate::call::transfer::in_call::Transfers;
use crate::call::words::answer::{FinalAnswer, refuse_request};
use crate::call::words::incoming::Incoming;
use crate::call::words::state::State;

impl CallEvent {
    /// Notes what the event proves of a leg's addresses, before it is dealt with: also of those that it brings itself.
    fn note_proof(&self, cx: &mut Cx<'_>) {
        if let CallEvent::Acked { leg, .. } = self {
            cx.prove(*leg, "its ACK has come");
        } else if let CallEvent::Pracked { leg, .. } = self {
            cx.prove(*leg, "its PRACK has come");
        } else if let CallEvent::Update { leg, .. } = self {
            cx.prove(*leg, "its UPDATE has come");
        } else if let CallEvent::Reinvite { leg, sdp: Some(_), .. } = self {
            cx.ask_for_proof(*leg);
        }
    }
}

/// One call: what its parts share, and the parts.
#[derive(Debug)]
pub(crate) struct Call {
    /// Identity, facts, legs, timers and story.
    pub(crate) shared: Shared,
    /// The parts that act.
    pub(crate) parts: Parts,
}

/// The parts of a call: each owns its state and acts through [`Cx`].
#[derive(Debug, Default)]
pub(crate) struct Parts {
    /// The bridge between the caller and the side that has the call.
    pub(crate) bridge: Bridge,
    /// The search for a target, also that of a transfer or consultation.
    pub(crate) search: Search,
    /// The applications of the call.
    pub(crate) program: CallProgram,
    /// Transfers that one side has asked for.
    pub(crate) transfers: Transfers,
    /// The rest of a request over HTTP that has begun the call.
    pub(crate) requested: Option<Box<Requested>>,
}

impl Call {
    /// Returns the parts and the context that they act in.
    pub(crate) fn act<'a>(&'a mut self, now: Instant, edge: &'a mut Edge) -> (&'a mut Parts, Cx<'a>) {
        (&mut self.parts, Cx { now, edge, call: &mut self.shared })
    }

    /// Takes an event, and does afterwards what has been waiting for such a change.
    pub(crate) fn take(&mut self, now: Instant, edge: &mut Edge, event: CallEvent) {
        let (parts, cx) = &mut self.act(now, edge);
        event.note_proof(cx);
        if siprec::concerns(cx, &event) {
            siprec::take(&mut parts.bridge.media, cx, event).act(parts, cx);
        } else {
            parts.handle(cx, event);
        }
        parts.poll(cx);
        let has_program = parts.program.is_running();
        siprec::poll(&mut parts.bridge.media, cx, has_program).act(parts, cx);
        if !parts.transfers.is_under_way() {
            siprec::follow(cx, parts.program.is_running());
        }
        siprec::report(cx);
        cx.note_legs();
    }

    /// Does what a request wants, and reports the parties that it has called: an agent may answer with the next event.
    pub(crate) fn act_on_request<T>(
        &mut self,
        now: Instant,
        edge: &mut Edge,
        act: impl FnOnce(&mut Parts, &mut Cx<'_>) -> T,
    ) -> T {
        let (parts, mut cx) = self.act(now, edge);
        let done = act(parts, &mut cx);
        parts.program.report_progress(&mut cx, &LowerParts::of(&mut parts.bridge, &mut parts.search));
        done
    }

    /// Returns the head of the call's ladder: its columns and its verdict.
    pub(crate) fn head(&self) -> TraceView {
        head(&self.shared, &self.parts.search.status())
    }

    /// Returns the call as `calls` and `/v1/calls` show it.
    pub(crate) fn view(&self) -> CallView {
        self.shared.view()
    }

    /// Tells of it, where that is wanted; before its trace is put aside.
    pub(crate) fn tell_sampled(&self, edge: &mut Edge) {
        let Some(Gathered { legs, over: Some(over) }) = edge.tracing_mut().sampled.remove(&self.shared.key) else {
            return;
        };
        let Some(trace) = edge.tracing().traces.get(&self.shared.key).map(|trace| trace.view(self.head(), false))
        else {
            return;
        };
        let (record, ended_us) = *over;
        let since = |at: SystemTime| micros(at.duration_since(self.shared.times.started).unwrap_or_default());
        let answered_us = self.shared.times.answered.map(since);
        let told = SampledCall { record, began: self.shared.times.started, answered_us, ended_us, legs, trace };
        edge.output(Output::Sampled(Box::new(told)));
    }
}

impl Parts {
    /// Does what has been waiting for a change: the way back from an early change, a REFER, legs that are to be asked, and reports
    /// of parties that a program has dialled.
    fn poll(&mut self, cx: &mut Cx<'_>) {
        let search = &self.search;
        self.bridge.negotiation.end_early_change(cx, |call, leg| search.calling_on(call, leg).is_some());
        let lower = &mut LowerParts::of(&mut self.bridge, &mut self.search);
        self.transfers.serve_waiting(cx, lower).act(self, cx);
        self.bridge.negotiation.ask_the_owed(cx, &self.search.ringing());
        self.program.report_progress(cx, &LowerParts::of(&mut self.bridge, &mut self.search));
        self.program.report_streams(cx, &self.search, false);
        recording::begin_by_route(self, cx);
        self.program.reports.follow(cx);
    }

    /// Takes an event. One flat match over (state, event): see the table above.
    pub(crate) fn handle(&mut self, cx: &mut Cx<'_>, event: CallEvent) {
        use CallEvent as E;
        use State::{Answered, Ended, Leaving, Rerouting, Searching};
        match (cx.call.state, event) {
            (Searching, E::Canceled { elsewhere, .. }) => {
                cx.call.facts.answered_elsewhere = elsewhere;
                self.caller_left(cx, ReasonSlug::CallerCanceled);
            }
            (Answered, E::Canceled { server, .. }) => self.bridge.canceled_later(cx, server).act(self, cx),
            (Rerouting | Leaving, E::Canceled { .. }) => self.caller_withdrew_answered(cx),
            (Ended, E::Canceled { .. }) => {}

            (Answered | Rerouting | Leaving, E::Acked { leg, sdp }) => self.bridge.acked(cx, leg, sdp).act(self, cx),
            (Searching | Ended, E::Acked { .. }) => {}
            (_, E::Pracked { leg, server: Some(server), sdp }) => {
                self.bridge.offered_in_prack(cx, &self.search.ringing(), leg, server, sdp).act(self, cx)
            }
            (Searching | Answered | Rerouting | Leaving, E::Pracked { leg, server: None, sdp }) => {
                self.bridge.acknowledged_early(cx, leg, sdp).act(self, cx);
            }
            (Ended, E::Pracked { server: None, .. } | E::PrackMissing) => {}
            (Searching | Answered | Rerouting | Leaving, E::PrackMissing) => cx.not_acknowledged_early().act(self, cx),
            (Answered | Rerouting | Leaving, E::AckMissing { leg }) => self.ack_missing(cx, leg),
            (Searching | Ended, E::AckMissing { .. }) => {}

            (Searching, E::Bye { leg: LegId::CALLER, .. }) => self.caller_left_by_bye(cx),
            (Answered | Rerouting | Leaving, E::Bye { leg, headers }) => self.hung_up(cx, leg, headers),
            (Searching | Ended, E::Bye { leg, .. }) => cx.call.legs.leg_gone(cx.edge, leg),
            (Searching | Rerouting, E::EarlyBye { leg }) => self.left_while_ringing(cx, leg),
            (Answered | Leaving | Ended, E::EarlyBye { .. }) => {}

            (Rerouting, E::Update { leg, server, sdp: Some(_), .. }) if self.search.consults.asks(leg) => {
                refuse_request(cx.now, cx.edge, server, 491);
            }
            // Its party and the caller do not hear each other yet, and are not to.
            (Answered, E::Reinvite { server, .. } | E::Update { server, sdp: Some(_), .. })
                if self.program.is_whispering() =>
            {
                refuse_request(cx.now, cx.edge, server, 491);
            }
            (Searching, E::Reinvite { server, .. }) => refuse_request(cx.now, cx.edge, server, 491),
            (Answered | Rerouting | Leaving, E::Reinvite { leg, server, sdp, session }) => {
                self.bridge
                    .reinvited(cx, &self.search.ringing(), leg, server, (sdp, session), Purpose::Reinvite)
                    .act(self, cx);
            }
            (Searching | Answered | Rerouting | Leaving, E::Update { leg, server, sdp, session }) => {
                self.bridge.updated(cx, &self.search.ringing(), leg, server, (sdp, session)).act(self, cx);
            }
            (Ended, E::Reinvite { server, .. } | E::Update { server, .. }) => {
                refuse_request(cx.now, cx.edge, server, 481)
            }

            (Rerouting, E::Info { leg, server, info }) if self.search.consults.asks(leg) && info.is_digit() => {
                self.search.consults.informed(cx, server, &info).act(self, cx);
            }
            (Rerouting, E::Info { leg, server, info }) if self.program.takes_info(cx.call, leg, &info) => {
                self.program.with_run(|run| run.informed(cx, server, &info)).act(self, cx);
            }
            (_, E::Info { leg, server, info }) => self.bridge.informed(cx, leg, server, *info),
            (_, E::InfoAnswered { client, code }) => {
                self.bridge.negotiation.info_answered(cx, client, code).act(self, cx)
            }
            (Ended, E::Refer { server, .. }) => refuse_request(cx.now, cx.edge, server, 481),
            (_, E::Refer { leg, server, refer }) => {
                let lower = &mut LowerParts::of(&mut self.bridge, &mut self.search);
                self.transfers.referred(cx, lower, leg, server, *refer).act(self, cx);
            }
            (_, E::Told { leg, server, told }) if self.program.has_referred(cx.call, leg) => {
                self.program.refer_reported(cx, server, &told).act(self, cx);
            }
            (_, E::PassedAnswered { client, code }) if self.program.refers_by(client) => {
                self.program.refer_answered(cx, code).act(self, cx);
            }
            (_, E::Told { leg, server, told }) => self.transfers.told(cx, leg, server, &told),
            (_, E::Unjoined { client, reason }) => self.unjoined(cx, client, reason),
            (_, E::PassedAnswered { client, code }) => self.transfers.passed_answered(cx, client, code),
            (_, E::Notified { client, taken }) => self.transfers.notified(cx, client, taken),

            (Searching | Rerouting, E::Trying { leg }) => self.search.heard(cx, leg),
            (Searching | Rerouting, E::Challenged { leg }) => self.search.challenged(cx, leg),
            (Searching | Rerouting, E::Provisional { leg, code, dialog, sdp, is_reliable, headers }) => {
                let said = (code, dialog, sdp, is_reliable);
                if self.search.provisional(cx, &mut self.bridge, leg, said, &headers) {
                    self.transfers.tell_news(cx, code);
                }
            }
            (Answered | Leaving | Ended, E::Trying { .. } | E::Challenged { .. } | E::Provisional { .. }) => {}
            (Searching | Rerouting, E::Accepted { leg, dialog, sdp, headers, session }) => {
                self.accepted(cx, leg, (dialog, sdp), &headers);
                cx.session_taken(leg, session);
            }
            (Answered | Leaving | Ended, E::Accepted { leg, dialog, .. }) => {
                cx.accepted_too_late(leg, dialog);
            }
            (Searching | Rerouting, E::Rejected { leg, said, q850, detail, headers, contacts }) => {
                self.rejected(cx, leg, (said, q850, detail), &headers, &contacts);
            }
            (Searching | Rerouting, E::Unanswered { leg, sent }) => self.unanswered(cx, leg, sent),
            (Answered | Leaving | Ended, E::Rejected { leg, .. } | E::Unanswered { leg, .. }) => {
                cx.call.legs.withdrawn(cx.edge, leg);
            }

            (Searching | Answered, E::ReinviteAnswered { client, code, dialog, sdp, session }) => {
                self.bridge
                    .reinvite_answered(cx, &self.search.ringing(), client, code, (dialog, sdp), session)
                    .act(self, cx);
            }
            (Rerouting | Leaving | Ended, E::ReinviteAnswered { code, dialog, .. }) => {
                if let Some(dialog) = dialog.filter(|_| (200..300).contains(&code)) {
                    cx.edge.ack(cx.now, dialog);
                }
            }
            (Searching | Answered, E::ReinviteUnanswered { client }) => {
                self.bridge.reinvite_unanswered(cx, client).act(self, cx)
            }
            (Rerouting | Leaving | Ended, E::ReinviteUnanswered { .. }) => {}

            (_, E::Refreshed { leg, client, code, dialog, sdp, session }) => {
                self.bridge.refresh_answered(cx, (leg, client), code, (dialog, sdp), session).act(self, cx);
            }
            (_, E::SessionTooShort { leg, least }) => cx.call.legs[leg].timer.lengthen(least),

            (_, E::HoldChecked { client, alive }) => {
                self.bridge.negotiation.hold_checked(cx, client, alive).act(self, cx)
            }

            (_, E::ByeDone { leg }) => cx.call.legs.leg_gone(cx.edge, leg),

            (Searching | Rerouting, E::Resolved { query, found }) => self.resolved(cx, query, &found),
            (Answered | Leaving | Ended, E::Resolved { .. }) => {}
            (Searching | Rerouting, E::Due(Timer::NoResponse(branch))) => self.no_response(cx, branch),
            (Searching | Rerouting, E::Due(Timer::Ring(branch))) => self.ring_timeout(cx, branch),
            (Searching | Rerouting, E::Due(Timer::Pace(branch))) => self.try_again(cx, branch),
            (Searching | Rerouting, E::Due(Timer::Queue)) => self.next_in_line(cx),
            (Searching | Rerouting, E::Due(Timer::Retry)) => self.retry_due(cx),
            (_, E::Due(Timer::Search)) => self.search_over(cx),
            (Searching, E::Due(Timer::Ports)) => self.bound(cx, None),
            (Answered | Rerouting | Leaving | Ended, E::Due(Timer::Ports)) => {}
            (Answered | Leaving | Ended, E::Due(Timer::NoResponse(_) | Timer::Ring(_) | Timer::Pace(_))) => {}
            (Answered | Leaving | Ended, E::Due(Timer::Queue | Timer::Retry)) => {}
            (Answered | Rerouting, E::Due(Timer::MaxCall)) => self.max_call_over(cx),
            (Searching | Leaving | Ended, E::Due(Timer::MaxCall)) => {}
            (_, E::Due(Timer::Withdrawn)) => cx.withdrawn_for_good(),
            (_, E::Due(Timer::Goodbye)) => self.goodbye_overdue(cx),
            (_, E::Due(Timer::Glare)) => drop(cx.call.deadlines.remove(Timer::Glare)),
            (_, E::Due(Timer::Update)) => self.bridge.negotiation.update_overdue(cx),
            (_, E::Due(Timer::Refer)) => self.transfers.refer_overdue(cx),
            (_, E::Due(Timer::Referrer)) => self.transfers.referrer_overdue(cx, &mut self.bridge),
            (_, E::Due(Timer::Session)) => self.bridge.session_due(cx).act(self, cx),
            (_, E::Due(Timer::HoldCheck)) => self.bridge.negotiation.check_hold(cx),
            (_, E::Due(Timer::Quality)) => self.bridge.sample_quality(cx),
            (_, E::Due(Timer::Asked)) => self.search.consults.overdue(cx).act(self, cx),
            (_, E::Due(Timer::Key)) => self.bridge.negotiation.key_due(cx),
            (_, E::Due(Timer::Unproven)) => cx.early_grant_over(),
            (_, E::Due(Timer::Siprec(_))) => {}

            (Searching | Rerouting, E::BindFailed { end, error }) => self.bind_failed(cx, end, &error),
            (Answered | Leaving, E::BindFailed { end, error }) => {
                self.bridge.bind_failed_later(cx, end, &error).act(self, cx)
            }
            (Searching, E::Bound { end }) => self.bound(cx, Some(end)),
            (Answered | Rerouting | Leaving | Ended, E::Bound { .. }) => {}
            (Searching | Answered | Rerouting | Leaving, E::Latched { end, source }) => {
                cx.latched(end, source);
            }
            (Answered, E::Idle { end }) if self.program.is_end_of_side(cx.call, end) => {
                in_program(self, cx, |program, cx, lower| program.side_fell_silent(cx, lower));
            }
            (Answered | Rerouting, E::Idle { end }) => cx.idle(end).act(self, cx),
            (Searching | Leaving, E::Idle { .. }) => {}
            (Answered, E::Unheard { end, stranger }) => self.bridge.media.unheard(cx, end, stranger),
            (Answered, E::Stopped { end, silent }) => self.bridge.media.stopped(cx, end, silent),
            (Searching | Rerouting | Leaving | Ended, E::Unheard { .. } | E::Stopped { .. }) => {}
            (Searching, E::MediaLost) => self.refuse(cx, &FinalAnswer::new(500, ReasonSlug::Internal)),
            (Answered | Rerouting | Leaving, E::MediaLost) => self.end(cx, ReasonSlug::Internal),
            (Ended, E::BindFailed { .. } | E::Latched { .. } | E::Idle { .. } | E::MediaLost) => {}

            (_, event) if self.program.is_transcribed(&event) => {
                self.program.transcripts_mut().handle(cx, &mut self.bridge.media, event);
            }
            (_, event) if self.program.is_recognised(&event) => {
                self.program.recognised(cx, event).act(self, cx);
            }
            // Of a recogniser that was let go.
            (_, E::Recognised { .. }) => {}
            (_, E::RecorderEnded { end, frames, sound }) => recording::ended(self, cx, end, (frames, sound)),
            (_, E::Judged { end, verdict }) => detection::judged(self, cx, end, verdict),
            (_, E::RecorderSilent { end }) => recording::silent(self, cx, end),

            (Searching | Answered | Rerouting | Leaving, E::AgentOpen { end }) => self.agent_open(cx, end),
            (Searching | Answered | Rerouting | Leaving, E::AgentLost { end, loss }) => {
                self.agent_lost(cx, end, loss);
            }
            (Searching | Answered | Rerouting | Leaving, E::AgentEnded { end }) => self.agent_ended(cx, end),
            (Searching | Answered | Rerouting | Leaving, E::AgentWish { end, wish }) => {
                self.agent_wishes(cx, end, wish);
            }
            (_, E::AgentSpoke { end }) => cx.call.legs.agent_spoke(cx.now, cx.edge, end),
            (_, E::AgentNote { end, text, logged }) => {
                cx.call.legs.agent_note(cx.now, cx.edge, end, &text, logged);
                silent_agent::look(cx);
            }
            (_, E::Key { end, key, .. }) if self.search.consults.asks_at(cx, end) => {
                self.search.consults.digit_pressed(cx, key).act(self, cx);
            }
            (_, E::Key { end, key, ms }) => {
                cx.note_digit(end);
                if let Some(party) = self.bridge.media.coached_party_of(end) {
                    self.bridge.press_for_called(cx, party, &key.to_string());
                    return;
                }
                match self.program.takes_digits_of(cx.call, &self.bridge.media, end) {
                    true => self.program.with_run(|run| run.digit_pressed(cx.now, key)).act(self, cx),
                    false => self.bridge.negotiation.key_pressed(cx, end, (key, ms)),
                }
            }
            (_, E::AppAnswered { query, answer }) if self.search.consults.wants_whisper(query) => {
                self.search.consults.whisper_came(cx, &self.bridge.media, query, *answer).act(self, cx);
            }
            (_, E::AppAnswered { query, answer }) => {
                self.program.app_answered(cx, &mut self.bridge.media, query, *answer).act(self, cx);
            }
            (_, E::Queue(news)) => self.program.queue_news(cx, &mut self.bridge.media, news).act(self, cx),
            (_, E::Due(Timer::Queued)) => self.program.queue_due(cx, &mut self.bridge.media).act(self, cx),
            (_, E::Conference(_)) if self.bridge.media.is_coached() => {
                let reason = (ReasonSlug::ConferenceRefused, EndedBy::Edge);
                Coaching::end(&mut self.bridge.media, cx, reason);
            }
            (_, E::Conference(news)) => self.program.conference_news(cx, &mut self.bridge.media, news).act(self, cx),
            (_, E::Due(Timer::Program)) => self.program.program_due(cx, &mut self.bridge).act(self, cx),
            (_, E::Due(timer @ (Timer::DialLimit | Timer::DialAnswer))) => {
                in_program(self, cx, |program, cx, lower| program.dial_time_over(cx, lower, timer));
            }
            (_, E::Played { end }) => self.played(cx, end),
            (Ended, E::AgentOpen { .. } | E::AgentLost { .. } | E::AgentEnded { .. } | E::AgentWish { .. }) => {}

            (_, E::Due(Timer::TimeLimit)) => self.time_limit_over(cx),

            (Searching, E::Hangup(reason)) => self.ended_by_operator(cx, reason),
            (Answered | Rerouting | Leaving, E::Hangup(reason)) => self.end(cx, reason),
            (Ended, E::Hangup(_)) => {}
        }
    }

    /// Looks at the INVITE, and goes to the first target or refuses it.
    pub(crate) fn begin(&mut self, cx: &mut Cx<'_>, incoming: &Incoming) {
        let (from, to) = (
            cx.edge.shown(&cx.call.facts.caller.shown()),
            cx.edge.shown(&plain(&cx.call.facts.called.text, NUMBER_CHARS)),
        );
        let text = format!("call from {from} to {to} on trunk {}", incoming.trunk.name);
        let sid = cx.call.legs.sid().to_owned();
        cx.edge.log(&sid, text, None);
        cx.edge.trace_received(cx.now, cx.call.legs.place(LegId::CALLER));
        cx.edge.trace_trying(cx.now, cx.call.legs.place(LegId::CALLER), incoming.server);
        match self.search.prepare(cx, &mut self.bridge, incoming) {
            Ok(()) => self.advance(cx, None),
            Err(answer) => self.refuse(cx, &answer),
        }
    }

    /// Connects the agents of a restored call, once all calls have their ports.
    pub(crate) fn resume<'l>(
        &mut self,
        cx: &mut Cx<'_>,
        listeners: impl Iterator<Item = (&'l Listener, Role)>,
        targets: &[TargetSpec],
    ) {
        cx.begin_series();
        cx.arm_sessions();
        self.requested.iter().for_each(|requested| requested.arm_time_limit(cx));
        self.bridge.media.note_conversion(cx.call, cx.call.legs.ids());
        for (listener, part) in listeners {
            match listener.agent(cx.edge) {
                Some(agent) => {
                    cx.add_agent(&agent, part);
                }
                None => cx.edge.decide(cx.now, cx.call.key, listener.left_out()),
            }
        }
        let has_program = self.program.is_running();
        if has_program {
            in_program(self, cx, |program, cx, lower| program.resume(cx, lower, targets));
        }
        if has_program || cx.call.legs.callee.is_some() {
            self.bridge.media.play_to_held(cx);
            self.bridge.end_lost_sounds(cx);
            recording::begin_by_route(self, cx);
            return self.bridge.media.tap_caller(cx);
        }
        let targets = targets.iter().filter_map(|target| cx.edge.target(target)).collect();
        self.search.controller = Controller::resume(targets);
        self.search_on(cx);
    }

    pub(crate) fn turn_down(&mut self, cx: &mut Cx<'_>, incoming: &Incoming, answer: &FinalAnswer, which: &str) {
        cx.call.story.is_turned_down = true;
        if !which.is_empty() {
            cx.call.story.proof = Some((answer.reason, which.into()));
        }
        // It was never one of its trunk's.
        cx.call.legs[LegId::CALLER].has_left = true;
        cx.edge.trace_received(cx.now, cx.call.legs.place(LegId::CALLER));
        cx.edge.trace_trying(cx.now, cx.call.legs.place(LegId::CALLER), incoming.server);
        self.refuse(cx, answer);
    }
}

impl Next {
    /// Does what a part has asked for.
    pub(crate) fn act(self, parts: &mut Parts, cx: &mut Cx<'_>) {
        match self {
            Next::Stay => {}
            Next::End(reason) => parts.end(cx, reason),
            Next::Refuse(answer) => parts.refuse(cx, &answer),
            Next::Canceled => parts.caller_withdrew_answered(cx),
            Next::Search => parts.search_on(cx),
            Next::CallerSpoke { first, answer } => {
                let next = parts.search.caller_spoke(cx, &mut parts.bridge, first);
                if let Some(answer) = answer {
                    parts.bridge.negotiation.told_again(cx.call);
                    cx.answer_request(cx.call.legs.near, answer.server, &answer.ours);
                }
                next.act(parts, cx);
            }
            Next::SaidAgain(said) => parts.search.said_again(&said),
            Next::OutsiderLeft(leg) => parts.transfers.referrer_left(cx, &mut parts.bridge.media, leg),
            Next::Unacknowledged(code) => parts.end_unacknowledged(cx, code),
        }
    }
}

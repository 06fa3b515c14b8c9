//! Transfers within a call: a REFER that is served here, attended transfers, and callers that an agent sends on.
//!
//! - One side asks for another party in its place, and stays until there is one. The other side hears hold audio or ringback meanwhile; where no
//!   target answers, the call is as it was.
//! - A REFER that arrives while the session is being changed is answered after that: phones that hold and transfer with one key do not repeat it
//!   after a 491, which RFC 3515 does not know.
//! - In an attended transfer a leg of another call comes here, and one of its own leaves.
//! - An agent sends its caller on at once, or when the target answers (`consult`). Until then the two talk, and the target hears nothing. Where the
//!   target does not answer, the caller stays and the agent gets the reason; where the agent goes meanwhile, the target rings on.
//! - Before a party takes the caller it may be asked (`warm`).

use std::sync::Arc;
use std::time::Duration;

use trunkgate_media::{EndId, RemoteSpec, WireSpec};
use trunkgate_resources::limits::{NUMBER_CHARS, REFERRER_SECONDS, UPDATE_WAIT};
use trunkgate_resources::lookups::deadlines::Timer;
use trunkgate_resources::lookups::key::LegId;
use trunkgate_resources::lookups::sip::extra;
use trunkgate_route::{Number, Plan, ReferMode, Target, Trunk};
use trunkgate_sdp::Refusal;
use trunkgate_sip::{Answer, ServerId};
use trunkgate_story::numbers::plain;
use trunkgate_story::reason::ReasonSlug;

use crate::call::legs::event::TransferEvent;
use crate::call::legs::hold::{Hold, HoldKind};
use crate::call::legs::leg::LegState;
use crate::call::legs::leg_end::EndedBy;
use crate::call::legs::spoken::Spoken;
use crate::call::media::CallMedia;
use crate::call::media::coaching::Coaching;
use crate::call::negotiation::join::refused_to_program;
use crate::call::negotiation::{Bridge, Negotiation};
use crate::call::program::effects::LowerParts;
use crate::call::search::controller::Controller;
use crate::call::shared::{Cx, Shared, ShownCallerId};
use crate::call::transfer::effects::TransferEffect;
use crate::call::transfer::notify::News;
use crate::call::transfer::refer_on::Passed;
use crate::call::words::answer::{FinalAnswer, refuse_request, refused};
use crate::call::words::refer::{Refer, Referral};
use crate::call::words::state::State;

/// What becomes of a REFER that may be followed.
enum ReferStep {
    /// These targets are tried.
    Here(Plan),
    /// It is called at the trunk that it came from.
    Back(Arc<Trunk>),
    /// It goes on to this leg.
    On(LegId),
    /// A change of the session is under way: after that.
    Later,
}

/// Transfers that one side has asked for by REFER, or a request for it. Which party is called for whom lower parts read in
/// [`Facts::referral`](crate::call::shared::Facts).
#[derive(Debug, Default)]
pub(crate) struct Transfers {
    /// The one that is under way here.
    now: Option<Box<Transfer>>,
    /// One that went on to the other side.
    pub(super) passed: Option<Box<Passed>>,
    /// One that waits.
    waiting: Option<Box<WaitingRefer>>,
    /// The notifications of the party that asked for one.
    pub(super) news: Option<Box<News>>,
}

/// A transfer that is under way: what is needed to take it back.
#[derive(Debug)]
struct Transfer {
    /// Whether the leg that asked for it has hung up already.
    is_gone: bool,
    /// What was to be tried before.
    controller: Controller,
    /// What the other side and the edge had agreed on.
    spoken: Option<Spoken>,
    /// Holds that ended here.
    held: Vec<(LegId, HoldKind)>,
    /// Whether it was requested over HTTP: the leg knows nothing of it.
    is_requested: bool,
    /// Whether the other side must be asked again once it is connected: it was on hold, or had further streams.
    is_stale: bool,
    /// How the two were connected.
    wires: Vec<(EndId, (EndId, WireSpec))>,
    /// Where their packets went.
    remotes: Vec<(LegId, EndId, RemoteSpec)>,
}

/// A REFER that has no answer yet.
#[derive(Debug)]
struct WaitingRefer {
    /// The leg of its sender.
    leg: LegId,
    /// The request.
    server: ServerId,
    /// What it asks for.
    refer: Refer,
}

impl Transfers {
    /// Returns whether one is under way in this call.
    pub(crate) fn is_under_way(&self) -> bool {
        self.now.is_some()
    }

    /// Returns whether the end of the last transfer is still to be reported to the party that asked for it.
    pub(crate) fn is_telling(&self) -> bool {
        self.news.as_ref().is_some_and(|news| news.is_untold())
    }

    /// Takes an event of a transfer.
    pub(crate) fn handle(
        &mut self,
        cx: &mut Cx<'_>,
        lower: &mut LowerParts<'_>,
        event: TransferEvent,
    ) -> TransferEffect {
        use TransferEvent as E;
        match event {
            E::Refer { server, .. } if cx.call.state == State::Ended => refuse_request(cx.now, cx.edge, server, 481),
            E::Refer { leg, server, refer } => return self.referred(cx, lower, leg, server, *refer),
            E::Reported { leg, server, report } => self.told(cx, leg, server, &report),
            E::PassedAnswered { client, code } => self.passed_answered(cx, client, code),
            E::Notified { client, taken } => self.notified(cx, client, taken),
        }
        TransferEffect::Stay
    }

    /// Takes a REFER: one party wants the other one to be connected with a third.
    fn referred(
        &mut self,
        cx: &mut Cx<'_>,
        lower: &mut LowerParts<'_>,
        leg: LegId,
        server: ServerId,
        refer: Refer,
    ) -> TransferEffect {
        let plan = match self.referable(cx, lower, leg, &refer) {
            Ok(ReferStep::Here(plan)) => plan,
            Ok(ReferStep::Back(trunk)) => return self.refer_back(cx, lower, (leg, server), trunk, refer),
            Ok(ReferStep::On(other)) => {
                self.pass_refer(cx, (leg, other), server, &refer);
                return TransferEffect::Stay;
            }
            Ok(ReferStep::Later) => {
                self.waiting = Some(Box::new(WaitingRefer { leg, server, refer }));
                cx.arm(Timer::Refer, UPDATE_WAIT);
                return TransferEffect::Stay;
            }
            Err(answer) => {
                cx.edge.respond(cx.now, server, answer.to_sip());
                let why = format!("a transfer by {} is refused with {}", cx.call.legs.name_of(leg), answer.code);
                cx.edge.decide(cx.now, cx.call.key, why);
                return TransferEffect::Stay;
            }
        };
        self.follow_refer(cx, leg, server, &refer, &format!("route {}", plan.route.name));
        let ring_timeout = plan.ring_timeout;
        cx.call.facts.spend_hop();
        cx.call.facts.ring_timeout = ring_timeout;
        lower.recorders.plan_later(cx, &plan.route);
        cx.call.facts.shown_as = plan.route.caller_id.clone().map(ShownCallerId::public);
        self.begin(cx, lower, Referral { by: leg, refer }, Controller::plan(plan), false)
    }

    /// Judges where the other side would be sent: as a call of the same number from the same trunk would.
    fn referable(
        &self,
        cx: &mut Cx<'_>,
        LowerParts { bridge, search, .. }: &LowerParts<'_>,
        leg: LegId,
        refer: &Refer,
    ) -> Result<ReferStep, Box<FinalAnswer>> {
        let Some(trunk) = cx.call.legs[leg].trunk.clone().filter(|trunk| trunk.refer != ReferMode::Refuse) else {
            return refused(403, ReasonSlug::Denied);
        };
        if cx.call.is_programmed {
            return Err(refused_to_program());
        }
        let is_untold = self.is_telling();
        if bridge.negotiation.is_changing(cx.call) && self.waiting.is_none() && !is_untold {
            return Ok(ReferStep::Later);
        }
        if cx.call.state != State::Answered || bridge.negotiation.is_unsettled() || is_untold {
            return refused(491, ReasonSlug::Transferred);
        }
        let other = cx.call.legs.other(leg).filter(|_| leg == cx.call.legs.near || cx.call.legs.callee == Some(leg));
        let Some(other) = other else { return refused(403, ReasonSlug::Denied) };
        if cx.call.legs[other].agent.is_some() {
            // Its stream names one caller, and has no message for another in its place.
            let text = "the other side is an agent, which cannot be transferred".to_owned();
            let warning = Some(Refusal { warn_code: 399, text });
            return Err(Box::new(FinalAnswer { warning, ..FinalAnswer::new(403, ReasonSlug::Denied) }));
        }
        if trunk.refer == ReferMode::Relay {
            return Ok(ReferStep::On(other));
        }
        if cx.call.facts.max_forwards == 0 {
            return refused(483, ReasonSlug::TooManyHops);
        }
        // A fax that is under way is nothing that another one could go on with.
        if cx.call.legs.offer_of(other).is_none() {
            return refused(488, ReasonSlug::BadMedia);
        }
        if !search.has_room_for_another(cx.call) {
            return refused(503, ReasonSlug::LimitCalls);
        }
        let number = refer.number.clone().unwrap_or_else(Number::unknown);
        cx.charge_named(&trunk, &number, leg).or_else(|reason| refused(503, reason))?;
        if refer.returned.is_some() {
            return Ok(ReferStep::Back(trunk));
        }
        // The caller is the party that asks: neither the number nor the headers are another's.
        let plan = cx.plan_named(&trunk, &number, leg);
        plan.map_or_else(|| refused(404, ReasonSlug::NoRoute), |plan| Ok(ReferStep::Here(plan)))
    }

    /// Notes a REFER that is followed, by the route or trunk that takes it, and accepts it.
    fn follow_refer(&mut self, cx: &mut Cx<'_>, leg: LegId, server: ServerId, refer: &Refer, by: &str) {
        let (name, to) = (cx.call.legs.name_of(leg), plain(&refer.name, NUMBER_CHARS));
        cx.edge.decide(cx.now, cx.call.key, format!("{name} transfers the other side to {to}: {by}"));
        let (sid, to) = (cx.call.legs.sid().to_owned(), cx.edge.shown(&to));
        let line = format!("{} transfers the other side to {to}", cx.edge.shown_name(&name));
        cx.edge.log(&sid, line, None);
        self.accept_refer(cx, leg, server, refer);
    }

    /// Accepts a REFER that is followed; its sender is notified of what comes of it.
    pub(crate) fn accept_refer(&mut self, cx: &mut Cx<'_>, leg: LegId, server: ServerId, refer: &Refer) {
        let headers = if refer.is_silent { vec![extra("Refer-Sub", "false")] } else { Vec::new() };
        cx.edge.respond(cx.now, server, Answer { code: 202, headers, ..Answer::default() });
        self.drop_news(cx);
        if !refer.is_silent {
            self.news = Some(Box::new(News::new(cx.now, leg, refer.cseq)));
            self.tell_news(cx, 100);
        }
    }

    /// Calls the Refer-To of a REFER at the trunk that it came from: at the trunk's own peers and nowhere else.
    fn refer_back(
        &mut self,
        cx: &mut Cx<'_>,
        lower: &mut LowerParts<'_>,
        (leg, server): (LegId, ServerId),
        trunk: Arc<Trunk>,
        refer: Refer,
    ) -> TransferEffect {
        let Some(returned) = &refer.returned else { return TransferEffect::Stay };
        let peers = returned.peers(&trunk);
        self.follow_refer(cx, leg, server, &refer, &format!("back to trunk {}", trunk.name));
        cx.call.facts.spend_hop();
        // Neither the time nor the caller ID of the first route.
        cx.call.facts.ring_timeout = None;
        cx.call.facts.shown_as = None;
        let target = Target::Trunk { trunk, number: None, peers };
        self.begin(cx, lower, Referral { by: leg, refer }, Controller::plan_of(vec![target]), false)
    }

    /// Serves a REFER that waits for the end of a change, once it can be.
    pub(crate) fn serve_waiting(&mut self, cx: &mut Cx<'_>, lower: &mut LowerParts<'_>) -> TransferEffect {
        if lower.bridge.negotiation.is_changing(cx.call) {
            return TransferEffect::Stay;
        }
        let Some(waiting) = self.waiting.take() else { return TransferEffect::Stay };
        cx.disarm(Timer::Refer);
        let WaitingRefer { leg, server, refer } = *waiting;
        match cx.call.state {
            State::Ended => {
                refuse_request(cx.now, cx.edge, server, 487);
                TransferEffect::Stay
            }
            State::Searching | State::Answered | State::Rerouting | State::Leaving => {
                self.referred(cx, lower, leg, server, refer)
            }
        }
    }

    /// Refuses a REFER that waits: the change takes too long.
    pub(crate) fn refer_overdue(&mut self, cx: &mut Cx<'_>) {
        cx.call.deadlines.remove(Timer::Refer);
        if let Some(waiting) = self.waiting.take() {
            refuse_request(cx.now, cx.edge, waiting.server, 491);
        }
    }

    /// Searches for a party in the place of the one that asks for it; the other side waits.
    pub(crate) fn begin(
        &mut self,
        cx: &mut Cx<'_>,
        LowerParts { bridge, search, .. }: &mut LowerParts<'_>,
        referral: Referral,
        controller: Controller,
        is_requested: bool,
    ) -> TransferEffect {
        let by = referral.by;
        let Some(waits) = cx.call.legs.other(by) else { return TransferEffect::Stay };
        Coaching::end(&mut bridge.media, cx, (ReasonSlug::Transferred, EndedBy::Edge));
        let held = cx.call.legs.holds.iter().map(|(leg, hold)| (leg, hold.kind)).collect();
        bridge.media.end_holds(cx);
        bridge.negotiation.owed.clear();
        cx.disarm(Timer::Glare);
        let Some((offer, spoken)) = cx.call.legs.offer_of(waits) else {
            return TransferEffect::End(ReasonSlug::Internal);
        };
        let wires = bridge.media.wires.iter().map(|(from, to)| (from, to.clone())).collect();
        let ends = [by, waits].into_iter().flat_map(|leg| cx.call.legs[leg].ends.iter().map(move |end| (leg, end)));
        let remotes = ends.filter_map(|(leg, end)| Some((leg, end.end, end.remote.clone()?))).collect();
        cx.call.facts.referral = Some(Box::new(referral));
        self.now = Some(Box::new(Transfer {
            is_gone: false,
            controller: std::mem::replace(&mut search.controller, controller),
            spoken: std::mem::replace(&mut bridge.media.spoken, spoken),
            held,
            is_requested,
            is_stale: cx.call.legs.is_stale(waits),
            wires,
            remotes,
        }));
        bridge.media.part(cx, [by, waits]);
        cx.call.legs.near = waits;
        cx.call.legs.callee = None;
        cx.call.enter(State::Rerouting);
        bridge.negotiation.offer = Some(search.consults.offered(offer));
        search.ring_back(cx, bridge);
        TransferEffect::Advance
    }

    /// Takes the transfer that is under way, with the leg that asked for it.
    fn take(&mut self, call: &mut Shared) -> Option<(LegId, Transfer)> {
        let referral = call.facts.referral.take()?;
        Some((referral.by, *self.now.take()?))
    }

    /// Takes a transfer back that no target has answered, where the party that asked for it is still there; returns whether it was one.
    pub(crate) fn failed(
        &mut self,
        cx: &mut Cx<'_>,
        LowerParts { bridge, search, .. }: &mut LowerParts<'_>,
        answer: &FinalAnswer,
    ) -> bool {
        let Some((by, transfer)) = self.take(cx.call) else { return false };
        self.tell_news(cx, answer.code);
        if transfer.is_gone {
            return false;
        }
        let Transfer { controller, spoken, held, wires, remotes, .. } = transfer;
        let why = format!("the transfer failed with {}: {}", answer.code, answer.reason.sentence());
        let sid = cx.call.legs.sid().to_owned();
        cx.edge.log(&sid, why.clone(), Some(answer.reason));
        cx.edge.decide(cx.now, cx.call.key, format!("{why}; the other side stays with {}", cx.call.legs.name_of(by)));
        bridge.media.stop_player(cx);
        (search.controller, bridge.media.spoken, bridge.negotiation.offer) = (controller, spoken, None);
        // No other target was tried in the place of the one that failed.
        cx.call.story.failed_over = None;
        cx.call.enter(State::Answered);
        if by == LegId::CALLER {
            cx.call.legs.callee = Some(cx.call.legs.near);
            cx.call.legs.near = by;
        } else {
            cx.call.legs.callee = Some(by);
        }
        for (leg, end, remote) in remotes {
            cx.point_back(leg, end, remote);
        }
        for (from, (to, wire)) in wires {
            bridge.media.connect_ends(cx, from, to, wire);
        }
        if !held.is_empty() {
            if let Some(callee) = cx.call.legs.callee {
                bridge.media.part(cx, [cx.call.legs.near, callee]);
            }
            for (leg, kind) in held {
                cx.call.legs.holds.insert(leg, Hold::of(kind));
            }
            bridge.media.play_to_held(cx);
            bridge.end_lost_sounds(cx);
        }
        bridge.media.tap_caller(cx);
        true
    }

    /// Ends a transfer whose target has answered in the place of the leg that asked for it.
    pub(crate) fn target_answered(&mut self, cx: &mut Cx<'_>, bridge: &mut Bridge) {
        let Some((leg, transfer)) = self.take(cx.call) else { return };
        if transfer.is_stale {
            bridge.negotiation.owe(cx.call.legs.near, false);
        }
        self.tell_news(cx, 200);
        if transfer.is_gone {
            return;
        }
        let by = if transfer.is_requested { EndedBy::Edge } else { EndedBy::FarEnd };
        cx.call.legs[leg].end_with(ReasonSlug::Transferred, by);
        bridge.media.drop_ends(cx, leg);
        cx.call.legs.leave_trunk(cx.edge, leg);
        if transfer.is_requested {
            return bridge.media.hang_up_leg(cx, leg, ReasonSlug::Transferred);
        }
        cx.arm(Timer::Referrer, Duration::from_secs(REFERRER_SECONDS));
    }

    /// Forgets the transfer of a call that is over.
    pub(crate) fn end(&mut self, call: &mut Shared) {
        drop(self.take(call));
    }

    /// Hangs up on the leg that has transferred the call, knows so, and has not hung up. A leg that asks for another transfer now stays.
    pub(crate) fn referrer_overdue(&self, cx: &mut Cx<'_>, bridge: &mut Bridge) {
        cx.call.deadlines.remove(Timer::Referrer);
        self.hang_up_left(cx, bridge, None);
    }

    /// Hangs up on legs that are neither side of the call. `asked`: a party that may become one.
    pub(super) fn hang_up_left(&self, cx: &mut Cx<'_>, bridge: &mut Bridge, asked: Option<LegId>) {
        let is_left =
            |at: &LegId| asked != Some(*at) && self.counted_legs(cx.call, &bridge.negotiation).all(|side| side != *at);
        let left: Vec<LegId> = cx.call.legs.ids().filter(is_left).collect();
        for leg in left {
            let side = &cx.call.legs[leg];
            if side.agent.is_none() && !side.records() && side.state == LegState::Answered {
                bridge.media.hang_up_leg(cx, leg, ReasonSlug::Transferred);
            }
        }
    }

    /// Takes the hang-up of a leg that is neither side of the call any more, or not now.
    pub(crate) fn referrer_left(&mut self, cx: &mut Cx<'_>, media: &mut CallMedia, leg: LegId) {
        cx.call.legs[leg].end_with(ReasonSlug::Transferred, EndedBy::FarEnd);
        self.drop_news_of(cx, leg);
        let asked = cx.call.facts.referral.as_ref().is_some_and(|referral| referral.by == leg);
        if let Some(transfer) = self.now.as_mut().filter(|transfer| asked && !transfer.is_gone) {
            transfer.is_gone = true;
            media.drop_ends(cx, leg);
            cx.call.legs.leave_trunk(cx.edge, leg);
            cx.edge.decide(
                cx.now,
                cx.call.key,
                format!("{} has hung up, the transfer goes on", cx.call.legs.name_of(leg)),
            );
        }
    }

    /// Returns the legs that count as calls of their trunks.
    pub(crate) fn counted_legs(&self, call: &Shared, negotiation: &Negotiation) -> impl Iterator<Item = LegId> {
        let is_there = self.now.as_ref().is_some_and(|transfer| !transfer.is_gone);
        let asked = call.facts.referral.as_ref().filter(|_| is_there).map(|referral| referral.by);
        let sides = [Some(call.legs.near), call.legs.callee, asked, negotiation.newcomer()];
        sides.into_iter().flatten().filter(|leg| !call.legs[*leg].has_left)
    }
}

//! Transfers within a call: a REFER served by the edge, attended transfers, and callers that an agent transfers.
//!
//! - The transferor (RFC 5589) stays until the target answers. The other side hears hold audio or ringback meanwhile;
//!   if no target answers, the call continues unchanged.
//! - A REFER that arrives during a session change is answered after the change: phones that hold and transfer with one
//!   key do not repeat it after a 491, which RFC 3515 does not define.
//! - In an attended transfer a leg of another call joins this call, and one of its own leaves.
//! - An agent transfers its caller at once, or when the target answers (`consult`). Until then agent and caller are
//!   connected, and the target hears nothing. If the target does not answer, the caller stays and the agent gets the
//!   reason; if the agent leaves meanwhile, the target continues to ring.
//! - Before a party gets the caller it may be prompted to accept (`warm`).

use std::sync::Arc;
use std::time::Duration;

use trunkgate_media::{EndId, RemoteSpec, WireSpec};
use trunkgate_resources::limits::{NUMBER_CHARS, REFERRER_SECONDS, UPDATE_WAIT};
use trunkgate_resources::lookups::deadlines::CallTimer;
use trunkgate_resources::lookups::key::LegId;
use trunkgate_resources::lookups::sip::extra;
use trunkgate_route::{CallTarget, Number, ReferMode, RoutePlan, Trunk};
use trunkgate_sdp::SdpRejection;
use trunkgate_sip::{ResponseSpec, ServerId};
use trunkgate_story::numbers::plain;
use trunkgate_story::reason::ReasonSlug;

use crate::call::legs::event::TransferEvent;
use crate::call::legs::hold::{HoldKind, LegHold};
use crate::call::legs::leg::LegState;
use crate::call::legs::leg_end::EndedBy;
use crate::call::legs::spoken::AudioAgreement;
use crate::call::media::CallMedia;
use crate::call::media::coaching::Coaching;
use crate::call::negotiation::join::refused_to_program;
use crate::call::negotiation::{Bridge, CallNegotiation};
use crate::call::program::effects::LowerParts;
use crate::call::search::controller::Controller;
use crate::call::shared::{CallCx, SharedCallState, ShownCallerId};
use crate::call::transfer::effects::TransferEffect;
use crate::call::transfer::notify::ReferSubscription;
use crate::call::transfer::refer_on::RelayedRefers;
use crate::call::words::answer::{FinalAnswer, refuse_request, refused};
use crate::call::words::refer::{ActiveReferral, ReferRequest};
use crate::call::words::state::CallState;

/// Handling of a REFER that is allowed.
enum ReferStep {
    /// The edge tries these targets.
    Here(RoutePlan),
    /// The edge calls the target at the trunk that sent the REFER.
    Back(Arc<Trunk>),
    /// The REFER is relayed to this leg.
    On(LegId),
    /// The REFER waits until the current session change is over.
    Later,
}

/// Transfers requested by a side's REFER or over HTTP. Lower parts read the transferor and the request from
/// [`CallFacts::referral`](crate::call::shared::CallFacts).
#[derive(Debug, Default)]
pub(crate) struct CallTransfers {
    /// Transfer in progress.
    now: Option<Box<ActiveTransfer>>,
    /// REFERs relayed to the other side.
    pub(super) relayed: Option<Box<RelayedRefers>>,
    /// REFER that waits for the end of a session change.
    waiting: Option<Box<WaitingRefer>>,
    /// Notifications to the transferor.
    pub(super) subscription: Option<Box<ReferSubscription>>,
}

/// A transfer in progress, with the state needed to undo it.
#[derive(Debug)]
struct ActiveTransfer {
    /// Whether the transferor has already hung up.
    is_gone: bool,
    /// Controller of the search before the transfer.
    controller: Controller,
    /// Audio format agreed between the other side and the edge before the transfer.
    spoken: Option<AudioAgreement>,
    /// Holds that the transfer has ended.
    held: Vec<(LegId, HoldKind)>,
    /// Whether the transfer was requested over HTTP; if so, its leg is not aware of it.
    is_requested: bool,
    /// Whether the other side needs a re-INVITE once it is connected, because it was on hold or had further streams.
    is_stale: bool,
    /// Media connections between the two sides before the transfer.
    wires: Vec<(EndId, (EndId, WireSpec))>,
    /// Destinations of the media streams before the transfer.
    remotes: Vec<(LegId, EndId, RemoteSpec)>,
}

/// A REFER without a response yet.
#[derive(Debug)]
struct WaitingRefer {
    /// Leg on which the REFER arrived.
    leg: LegId,
    /// Server transaction of the REFER.
    server: ServerId,
    /// Content of the REFER.
    refer: ReferRequest,
}

impl CallTransfers {
    /// Returns whether a transfer is in progress.
    pub(crate) fn is_under_way(&self) -> bool {
        self.now.is_some()
    }

    /// Returns whether the final NOTIFY of the last transfer is still to be sent.
    pub(crate) fn is_notify_pending(&self) -> bool {
        self.subscription.as_ref().is_some_and(|news| news.is_untold())
    }

    /// Handles an event of a transfer.
    pub(crate) fn handle(
        &mut self,
        cx: &mut CallCx<'_>,
        lower: &mut LowerParts<'_>,
        event: TransferEvent,
    ) -> TransferEffect {
        use TransferEvent as E;
        match event {
            E::Refer { server, .. } if cx.call.state == CallState::Ended => {
                refuse_request(cx.now, cx.edge, server, 481)
            }
            E::Refer { leg, server, refer } => return self.referred(cx, lower, leg, server, *refer),
            E::Reported { leg, server, report } => self.told(cx, leg, server, &report),
            E::PassedAnswered { client, code } => self.passed_answered(cx, client, code),
            E::Notified { client, taken } => self.notified(cx, client, taken),
        }
        TransferEffect::Stay
    }

    /// Handles a REFER, by which one party requests that the other be connected with a third.
    fn referred(
        &mut self,
        cx: &mut CallCx<'_>,
        lower: &mut LowerParts<'_>,
        leg: LegId,
        server: ServerId,
        refer: ReferRequest,
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
                cx.arm(CallTimer::Refer, UPDATE_WAIT);
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
        self.begin(cx, lower, ActiveReferral { by: leg, refer }, Controller::plan(plan), false)
    }

    /// Decides how a REFER is served. The other side may be sent to those targets that the routes give for a call of
    /// the transferor from its trunk to the same number.
    ///
    /// # Errors
    /// The final response: the trunk or an agent does not permit the REFER (403), no route matches (404), the hop
    /// limit is reached (483), no media can be offered (488), another change is in progress (491), or a limit is
    /// reached (503).
    fn referable(
        &self,
        cx: &mut CallCx<'_>,
        LowerParts { bridge, search, .. }: &LowerParts<'_>,
        leg: LegId,
        refer: &ReferRequest,
    ) -> Result<ReferStep, Box<FinalAnswer>> {
        let Some(trunk) = cx.call.legs[leg].trunk.clone().filter(|trunk| trunk.refer != ReferMode::Refuse) else {
            return refused(403, ReasonSlug::Denied);
        };
        if cx.call.is_programmed {
            return Err(refused_to_program());
        }
        let is_untold = self.is_notify_pending();
        if bridge.negotiation.is_changing(cx.call) && self.waiting.is_none() && !is_untold {
            return Ok(ReferStep::Later);
        }
        if cx.call.state != CallState::Answered || bridge.negotiation.is_unsettled() || is_untold {
            return refused(491, ReasonSlug::Transferred);
        }
        let other = cx.call.legs.other(leg).filter(|_| leg == cx.call.legs.near || cx.call.legs.callee == Some(leg));
        let Some(other) = other else { return refused(403, ReasonSlug::Denied) };
        if cx.call.legs[other].agent.is_some() {
            // An agent's stream belongs to one caller, and its protocol has no message for another caller.
            let text = "the other side is an agent, which cannot be transferred".to_owned();
            let warning = Some(SdpRejection { warn_code: 399, text });
            return Err(Box::new(FinalAnswer { warning, ..FinalAnswer::new(403, ReasonSlug::Denied) }));
        }
        if trunk.refer == ReferMode::Relay {
            return Ok(ReferStep::On(other));
        }
        if cx.call.facts.max_forwards == 0 {
            return refused(483, ReasonSlug::TooManyHops);
        }
        // A fax in progress cannot be continued with another party.
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
        // The transferor counts as the caller of the new call, so number and headers of other parties are not used.
        let plan = cx.plan_named(&trunk, &number, leg);
        plan.map_or_else(|| refused(404, ReasonSlug::NoRoute), |plan| Ok(ReferStep::Here(plan)))
    }

    /// Accepts a REFER, and notes the route or trunk that serves it.
    fn follow_refer(&mut self, cx: &mut CallCx<'_>, leg: LegId, server: ServerId, refer: &ReferRequest, by: &str) {
        let (name, to) = (cx.call.legs.name_of(leg), plain(&refer.name, NUMBER_CHARS));
        cx.edge.decide(cx.now, cx.call.key, format!("{name} transfers the other side to {to}: {by}"));
        let (sid, to) = (cx.call.legs.sid().to_owned(), cx.edge.shown(&to));
        let line = format!("{} transfers the other side to {to}", cx.edge.shown_name(&name));
        cx.edge.log(&sid, line, None);
        self.accept_refer(cx, leg, server, refer);
    }

    /// Accepts a REFER with 202. Unless the sender wants no NOTIFY, its subscription begins, and 100 is notified.
    pub(crate) fn accept_refer(&mut self, cx: &mut CallCx<'_>, leg: LegId, server: ServerId, refer: &ReferRequest) {
        let headers = if refer.is_silent { vec![extra("Refer-Sub", "false")] } else { Vec::new() };
        cx.edge.respond(cx.now, server, ResponseSpec { code: 202, headers, ..ResponseSpec::default() });
        self.drop_subscription(cx);
        if !refer.is_silent {
            self.subscription = Some(Box::new(ReferSubscription::new(cx.now, leg, refer.cseq)));
            self.notify_transferor(cx, 100);
        }
    }

    /// Calls the Refer-To of a REFER at the trunk that sent it: only at that trunk's own peers.
    fn refer_back(
        &mut self,
        cx: &mut CallCx<'_>,
        lower: &mut LowerParts<'_>,
        (leg, server): (LegId, ServerId),
        trunk: Arc<Trunk>,
        refer: ReferRequest,
    ) -> TransferEffect {
        let Some(returned) = &refer.returned else { return TransferEffect::Stay };
        let peers = returned.peers(&trunk);
        self.follow_refer(cx, leg, server, &refer, &format!("back to trunk {}", trunk.name));
        cx.call.facts.spend_hop();
        // Ring time-out and caller ID of the first route do not apply.
        cx.call.facts.ring_timeout = None;
        cx.call.facts.shown_as = None;
        let target = CallTarget::Trunk { trunk, number: None, peers };
        self.begin(cx, lower, ActiveReferral { by: leg, refer }, Controller::plan_of(vec![target]), false)
    }

    /// Serves a waiting REFER once the session change is over; refuses it with 487 if the call has ended.
    pub(crate) fn serve_waiting(&mut self, cx: &mut CallCx<'_>, lower: &mut LowerParts<'_>) -> TransferEffect {
        if lower.bridge.negotiation.is_changing(cx.call) {
            return TransferEffect::Stay;
        }
        let Some(waiting) = self.waiting.take() else { return TransferEffect::Stay };
        cx.disarm(CallTimer::Refer);
        let WaitingRefer { leg, server, refer } = *waiting;
        match cx.call.state {
            CallState::Ended => {
                refuse_request(cx.now, cx.edge, server, 487);
                TransferEffect::Stay
            }
            CallState::Searching | CallState::Answered | CallState::Rerouting | CallState::Leaving => {
                self.referred(cx, lower, leg, server, refer)
            }
        }
    }

    /// Refuses a waiting REFER with 491, because the session change takes too long.
    pub(crate) fn refer_overdue(&mut self, cx: &mut CallCx<'_>) {
        cx.call.deadlines.remove(CallTimer::Refer);
        if let Some(waiting) = self.waiting.take() {
            refuse_request(cx.now, cx.edge, waiting.server, 491);
        }
    }

    /// Starts the search for a party that replaces the transferor; the other side waits. `is_requested` is true for a
    /// transfer over HTTP, which the transferor has not requested by REFER.
    pub(crate) fn begin(
        &mut self,
        cx: &mut CallCx<'_>,
        LowerParts { bridge, search, .. }: &mut LowerParts<'_>,
        referral: ActiveReferral,
        controller: Controller,
        is_requested: bool,
    ) -> TransferEffect {
        let by = referral.by;
        let Some(waits) = cx.call.legs.other(by) else { return TransferEffect::Stay };
        Coaching::end(&mut bridge.media, cx, (ReasonSlug::Transferred, EndedBy::Edge));
        let held = cx.call.legs.holds.iter().map(|(leg, hold)| (leg, hold.kind)).collect();
        bridge.media.end_holds(cx);
        bridge.negotiation.pending_offers.clear();
        cx.disarm(CallTimer::Glare);
        let Some((offer, spoken)) = cx.call.legs.offer_of(waits) else {
            return TransferEffect::End(ReasonSlug::Internal);
        };
        let wires = bridge.media.wires.iter().map(|(from, to)| (from, to.clone())).collect();
        let ends = [by, waits].into_iter().flat_map(|leg| cx.call.legs[leg].ends.iter().map(move |end| (leg, end)));
        let remotes = ends.filter_map(|(leg, end)| Some((leg, end.end, end.remote.clone()?))).collect();
        cx.call.facts.referral = Some(Box::new(referral));
        self.now = Some(Box::new(ActiveTransfer {
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
        cx.call.enter(CallState::Rerouting);
        bridge.negotiation.offer = Some(search.consults.offered(offer));
        search.ring_back(cx, bridge);
        TransferEffect::Advance
    }

    /// Removes the transfer in progress, and returns it with the leg of the transferor; `None` if there is none.
    fn take(&mut self, call: &mut SharedCallState) -> Option<(LegId, ActiveTransfer)> {
        let referral = call.facts.referral.take()?;
        Some((referral.by, *self.now.take()?))
    }

    /// Notifies the transferor that no target has answered, and reconnects it with the other side. Returns `false` if
    /// no transfer was in progress, or the transferor has hung up and cannot be reconnected.
    pub(crate) fn failed(
        &mut self,
        cx: &mut CallCx<'_>,
        LowerParts { bridge, search, .. }: &mut LowerParts<'_>,
        answer: &FinalAnswer,
    ) -> bool {
        let Some((by, transfer)) = self.take(cx.call) else { return false };
        self.notify_transferor(cx, answer.code);
        if transfer.is_gone {
            return false;
        }
        let ActiveTransfer { controller, spoken, held, wires, remotes, .. } = transfer;
        let why = format!("the transfer failed with {}: {}", answer.code, answer.reason.sentence());
        let sid = cx.call.legs.sid().to_owned();
        cx.edge.log(&sid, why.clone(), Some(answer.reason));
        cx.edge.decide(cx.now, cx.call.key, format!("{why}; the other side stays with {}", cx.call.legs.name_of(by)));
        bridge.media.stop_player(cx);
        (search.controller, bridge.media.spoken, bridge.negotiation.offer) = (controller, spoken, None);
        // No other target was tried after the failed one, so no failover is reported.
        cx.call.story.failed_over = None;
        cx.call.enter(CallState::Answered);
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
                cx.call.legs.holds.insert(leg, LegHold::of(kind));
            }
            bridge.media.play_to_held(cx);
            bridge.end_lost_sounds(cx);
        }
        bridge.media.tap_caller(cx);
        true
    }

    /// Completes a transfer whose target has answered. The transferor leaves: after a transfer over HTTP the edge hangs
    /// up; otherwise the transferor has [`REFERRER_SECONDS`] to do so.
    pub(crate) fn target_answered(&mut self, cx: &mut CallCx<'_>, bridge: &mut Bridge) {
        let Some((leg, transfer)) = self.take(cx.call) else { return };
        if transfer.is_stale {
            bridge.negotiation.schedule_reinvite(cx.call.legs.near, false);
        }
        self.notify_transferor(cx, 200);
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
        cx.arm(CallTimer::Referrer, Duration::from_secs(REFERRER_SECONDS));
    }

    /// Drops the transfer of a call that is over.
    pub(crate) fn end(&mut self, call: &mut SharedCallState) {
        drop(self.take(call));
    }

    /// Hangs up on a transferor that has been notified of the result and has not hung up itself. A leg with another
    /// transfer in progress stays.
    pub(crate) fn referrer_overdue(&self, cx: &mut CallCx<'_>, bridge: &mut Bridge) {
        cx.call.deadlines.remove(CallTimer::Referrer);
        self.hang_up_left(cx, bridge, None);
    }

    /// Hangs up on legs that are no longer a side of the call. `asked` is a prompted party, which may become one.
    pub(super) fn hang_up_left(&self, cx: &mut CallCx<'_>, bridge: &mut Bridge, asked: Option<LegId>) {
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

    /// Handles the hang-up of a leg that is not connected with another side, such as a transferor. A transfer in
    /// progress continues.
    pub(crate) fn referrer_left(&mut self, cx: &mut CallCx<'_>, media: &mut CallMedia, leg: LegId) {
        cx.call.legs[leg].end_with(ReasonSlug::Transferred, EndedBy::FarEnd);
        self.drop_leg_subscription(cx, leg);
        let asked = cx.call.facts.referral.as_ref().is_some_and(|referral| referral.by == leg);
        if let Some(transfer) = self.now.as_mut().filter(|transfer| asked && !transfer.is_gone) {
            transfer.is_gone = true;
            media.drop_ends(cx, leg);
            cx.call.legs.leave_trunk(cx.edge, leg);
            cx.edge.decide(
                cx.now,
                cx.call.key,
                format!("{} has hung up, the transfer continues", cx.call.legs.name_of(leg)),
            );
        }
    }

    /// Returns the legs that count as calls of their trunks.
    pub(crate) fn counted_legs(
        &self,
        call: &SharedCallState,
        negotiation: &CallNegotiation,
    ) -> impl Iterator<Item = LegId> {
        let is_there = self.now.as_ref().is_some_and(|transfer| !transfer.is_gone);
        let asked = call.facts.referral.as_ref().filter(|_| is_there).map(|referral| referral.by);
        let sides = [Some(call.legs.near), call.legs.callee, asked, negotiation.newcomer()];
        sides.into_iter().flatten().filter(|leg| !call.legs[*leg].has_left)
    }
}

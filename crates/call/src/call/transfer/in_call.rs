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

use trunkgate_media::{EndId, RemoteSpec, WireSpec};
use trunkgate_resources::edge::Edge;
use trunkgate_resources::limits::UPDATE_WAIT;
use trunkgate_resources::lookups::deadlines::Timer;
use trunkgate_resources::lookups::key::{CallKey, LegId};
use trunkgate_resources::lookups::sip::extra;
use trunkgate_route::{CallerIdRule, Number, Plan, ReferMode, Trunk};
use trunkgate_sdp::{Description, Refusal, anchored_streams, relay_offer};
use trunkgate_sip::header::Replaces;
use trunkgate_sip::{Answer, ClientId, Extra, ServerId};
use trunkgate_story::numbers::Caller;
use trunkgate_story::reason::ReasonSlug;

use crate::call::Call;
use crate::call::legs::headers::{CallerIdentity, Side, of_invite, own_addresses};
use crate::call::legs::hold::HoldKind;
use crate::call::legs::leg::{Leg, StreamEnd};
use crate::call::legs::spoken::Spoken;
use crate::call::negotiation::Negotiation;
use crate::call::search::Search;
use crate::call::search::controller::Controller;
use crate::call::shared::{Cx, Shared};
use crate::call::transfer::notify::News;
use crate::call::transfer::refer_on::Passed;
use crate::call::words::answer::{Failure, FinalAnswer, refuse_request};
use crate::call::words::refer::Refer;
use crate::call::words::refer::ReturnedUri;
use crate::call::words::state::State;

/// What becomes of a REFER that may be followed.
pub(crate) enum ReferStep {
    /// These targets are tried.
    Here(Plan),
    /// It is called at the trunk that it came from.
    Back(Arc<Trunk>),
    /// It goes on to this leg.
    On(LegId),
    /// A change of the session is under way: after that.
    Later,
}

/// Transfers that one side has asked for by REFER.
#[derive(Debug, Default)]
pub(crate) struct Transfers {
    /// The one that is under way here.
    pub(crate) now: Option<Box<Transfer>>,
    /// One that went on to the other side.
    pub(crate) passed: Option<Box<Passed>>,
    /// One that waits.
    pub(crate) waiting: Option<Box<WaitingRefer>>,
    /// A far side of another call that is to come here.
    pub(crate) joining: Option<Box<Joining>>,
    /// One of ours that is to go to another call.
    pub(crate) leaving: Option<Box<Leaving>>,
    /// The notifications of the party that asked for one.
    pub(crate) news: Option<Box<News>>,
}

/// A transfer that is under way.
#[derive(Debug)]
pub(crate) struct Transfer {
    /// The leg that asked for it.
    pub(crate) by: LegId,
    /// Whether that has hung up already.
    pub(crate) is_gone: bool,
    /// The number that is called; `None` for a user of the trunk without one.
    pub(crate) number: Option<Number>,
    /// Who asked, for the target; as it came.
    pub(crate) referred_by: Option<String>,
    /// The dialog that the target is to replace.
    pub(crate) replaces: Option<Replaces>,
    /// Request-URI at the trunk that asked for it, where that gets its Refer-To back.
    pub(crate) returned: Option<ReturnedUri>,
    /// What was to be tried before.
    pub(crate) controller: Controller,
    /// What the other side and the edge had agreed on.
    pub(crate) spoken: Option<Spoken>,
    /// Holds that ended here.
    pub(crate) held: Vec<(LegId, HoldKind)>,
    /// Whether it was requested over HTTP: the leg knows nothing of it.
    pub(crate) is_requested: bool,
    /// Whether the other side must be asked again once it is connected: it was on hold, or had further streams.
    pub(crate) is_stale: bool,
    /// How the two were connected.
    pub(crate) wires: Vec<(EndId, (EndId, WireSpec))>,
    /// Where their packets went.
    pub(crate) remotes: Vec<(LegId, EndId, RemoteSpec)>,
}

impl Transfers {
    /// Tells the sender of a REFER that it is followed.
    pub(crate) fn accept_refer(&mut self, cx: &mut Cx<'_>, leg: LegId, server: ServerId, refer: &Refer) {
        let headers = if refer.is_silent { vec![extra("Refer-Sub", "false")] } else { Vec::new() };
        cx.edge.respond(cx.now, server, Answer { code: 202, headers, ..Answer::default() });
        self.drop_news(cx);
        if !refer.is_silent {
            self.news = Some(Box::new(News::new(cx.now, leg, refer.cseq)));
            self.tell_news(cx, 100);
        }
    }

    /// Whether the end of the last transfer is still to be told.
    pub(crate) fn is_telling(&self) -> bool {
        self.news.as_ref().is_some_and(|news| news.is_untold())
    }

    /// What a target is told of who transferred the call to it (RFC 3892), with addresses of our own, and of the dialog that
    /// it is to replace (RFC 3891). `rule`: which numbers the target may be shown; those that the referrer's trunk may show are
    /// its `caller_id_in`.
    pub(crate) fn of_transfer(
        &self,
        call: &Shared,
        edge: &Edge,
        to: &Side<'_>,
        rule: Option<&CallerIdRule>,
    ) -> Vec<Extra> {
        let Some(transfer) = &self.now else { return Vec::new() };
        let by_trunk = call.legs.get(transfer.by).and_then(|leg| leg.trunk.as_deref());
        let rules = [by_trunk.and_then(|trunk| trunk.caller_id_in.as_ref()), rule];
        // The trunk that gets its own Refer-To back knows the transfer by what it has written.
        let is_back =
            transfer.returned.is_some() && to.trunk.map(|trunk| &trunk.name) == by_trunk.map(|trunk| &trunk.name);
        let by = transfer.referred_by.as_ref();
        let by = match by.filter(|_| is_back) {
            Some(by) => Some(by.clone()),
            None => by.and_then(|by| own_addresses(by, to, edge.numbers(), rules)),
        };
        let replaces = transfer.replaces.as_ref().map(|replaces| extra("Replaces", replaces.to_string()));
        by.map(|by| extra("Referred-By", by)).into_iter().chain(replaces).collect()
    }

    /// Who is said to call a target, and further headers of its INVITE: it is the side that waits for it. `rule`: what may
    /// be shown to it.
    pub(crate) fn introduction(
        &self,
        call: &Shared,
        edge: &Edge,
        from: Option<&Trunk>,
        to: &Side<'_>,
        rule: Option<&CallerIdRule>,
    ) -> (Caller, Vec<Extra>) {
        let numbers = edge.numbers();
        let (caller, showing) = call.introduced(from, to.trunk, rule);
        let nobody = CallerIdentity::default();
        let (headers, identity) = match call.legs.near {
            LegId::CALLER => (&call.facts.headers[..], &call.facts.identity),
            _ => (&[][..], &nobody),
        };
        let headers = of_invite(headers, identity, from, to, numbers, &showing);
        (caller, headers.into_iter().chain(self.of_transfer(call, edge, to, rule)).collect())
    }

    /// Whether a leg is being asked to leave this call.
    pub(crate) fn is_leaving(&self, leg: LegId) -> bool {
        self.leaving.as_ref().is_some_and(|leaving| leaving.leg == leg)
    }

    pub(crate) fn joins_by(&self, call: &Shared, client: ClientId) -> bool {
        call.state == State::Answered && self.joining.as_ref().is_some_and(|join| join.client == client)
    }

    /// Ports of an end towards the far side that is to come could not be bound. Whether it is one of those.
    pub(crate) fn join_unbound(&mut self, end: EndId) -> bool {
        let join = self.joining.as_mut().filter(|join| join.ends.iter().any(|slot| slot.end == end));
        join.map(|join| join.unbound = true).is_some()
    }

    /// Tells the calls that wait for a leg of this one that it is over.
    pub(crate) fn end_joins(&mut self, cx: &mut Cx<'_>, reason: ReasonSlug) {
        self.joining = None;
        if let Some(leaving) = self.leaving.take() {
            cx.edge.index_mut().clients.remove(&leaving.client);
            cx.edge.turn_mut().unjoined.push((leaving.to, leaving.client, reason));
        }
    }

    /// Keeps a REFER until the change is over.
    pub(crate) fn refer_later(&mut self, cx: &mut Cx<'_>, waiting: WaitingRefer) {
        self.waiting = Some(Box::new(waiting));
        cx.arm(Timer::Refer, UPDATE_WAIT);
    }

    /// The change takes too long.
    pub(crate) fn refer_overdue(&mut self, cx: &mut Cx<'_>) {
        cx.call.deadlines.remove(Timer::Refer);
        if let Some(waiting) = self.waiting.take() {
            refuse_request(cx.now, cx.edge, waiting.server, 491);
        }
    }
}

/// The answer to a party of a program that wants to transfer the other one: where the caller goes the program decides.
fn refused_to_program() -> Box<FinalAnswer> {
    let text = "an application has the call, whose sides cannot be transferred".to_owned();
    let warning = Some(Refusal { warn_code: 399, text });
    Box::new(FinalAnswer { warning, ..FinalAnswer::new(403, ReasonSlug::Denied) })
}

impl Negotiation {
    /// Where the other side would be sent: as a call of the same number from the same trunk would.
    pub(crate) fn referable(
        &mut self,
        cx: &mut Cx<'_>,
        search: &Search,
        leg: LegId,
        refer: &Refer,
    ) -> Result<ReferStep, Box<FinalAnswer>> {
        let refused = |code, reason| Box::new(FinalAnswer::new(code, reason));
        let Some(trunk) = cx.call.legs[leg].trunk.clone().filter(|trunk| trunk.refer != ReferMode::Refuse) else {
            return Err(refused(403, ReasonSlug::Denied));
        };
        if cx.call.is_programmed {
            return Err(refused_to_program());
        }
        let is_untold = self.transfers.is_telling();
        if self.is_changing(cx.call) && self.transfers.waiting.is_none() && !is_untold {
            return Ok(ReferStep::Later);
        }
        if cx.call.state != State::Answered || self.is_unsettled() || is_untold {
            return Err(refused(491, ReasonSlug::Transferred));
        }
        let other = cx.call.legs.other(leg).filter(|_| leg == cx.call.legs.near || cx.call.legs.callee == Some(leg));
        let Some(other) = other else { return Err(refused(403, ReasonSlug::Denied)) };
        if cx.call.legs[other].agent.is_some() {
            // Its stream tells it of one caller, and knows no word for another in its place.
            let text = "the other side is an agent, which cannot be transferred".to_owned();
            let warning = Some(Refusal { warn_code: 399, text });
            return Err(Box::new(FinalAnswer { warning, ..FinalAnswer::new(403, ReasonSlug::Denied) }));
        }
        if trunk.refer == ReferMode::Relay {
            return Ok(ReferStep::On(other));
        }
        if cx.call.facts.max_forwards == 0 {
            return Err(refused(483, ReasonSlug::TooManyHops));
        }
        // A fax that is under way is nothing that another one could go on with.
        if cx.call.legs.offer_of(other).is_none() {
            return Err(refused(488, ReasonSlug::BadMedia));
        }
        if !search.has_room_for_another(cx.call) {
            return Err(refused(503, ReasonSlug::LimitCalls));
        }
        let number = refer.number.clone().unwrap_or_else(Number::unknown);
        cx.charge_named(&trunk, &number, leg).map_err(|reason| refused(503, reason))?;
        if refer.returned.is_some() {
            return Ok(ReferStep::Back(trunk));
        }
        // The caller is the party that asks: neither the number nor the headers are another's.
        let plan = cx.plan_named(&trunk, &number, leg);
        plan.map(ReferStep::Here).ok_or_else(|| refused(404, ReasonSlug::NoRoute))
    }

    /// Legs that count as calls of their trunks.
    pub(crate) fn sides(&self, call: &Shared) -> impl Iterator<Item = LegId> {
        let asked = self.transfers.now.as_ref().filter(|transfer| !transfer.is_gone).map(|transfer| transfer.by);
        let sides = [Some(call.legs.near), call.legs.callee, asked, self.newcomer()];
        sides.into_iter().flatten().filter(|leg| !call.legs[*leg].has_left)
    }

    /// Returns what an ended call had at admission, quotas and trunks, and counts it.
    pub(crate) fn count(&self, cx: &mut Cx<'_>) {
        cx.edge.admission_mut().end(cx.call.legs.get(LegId::CALLER).map_or("", Leg::trunk_name));
        cx.edge.quotas_mut().end_call(cx.call.key);
        cx.edge.admission_mut().emergencies.end_call(cx.call.key);
        cx.edge.unproven_early_mut().release(cx.now, cx.call.key);
        for leg in self.sides(cx.call) {
            if let Some(trunk) = cx.call.legs[leg].limited_by() {
                cx.edge.end_trunk_call(&trunk.name);
            }
        }
        if let Some(ending) = cx.call.ending {
            let trunk = cx.call.legs[LegId::CALLER].trunk.as_ref().map_or_else(|| "".into(), |t| t.name.clone());
            *cx.edge.metrics_mut().calls.entry((trunk, cx.call.facts.route.clone(), ending.outcome)).or_default() += 1;
        }
        if let Some(seconds) = cx.call.talked_seconds() {
            cx.edge.metrics_mut().call_duration_seconds.observe(seconds);
            cx.count_media();
        }
    }

    /// Takes every look-up of an ended call away.
    pub(crate) fn forget(&mut self, cx: &mut Cx<'_>) {
        while let Some(timer) = cx.call.deadlines.first() {
            cx.disarm(timer);
        }
        for (at, leg) in cx.call.legs.with_ids() {
            if let Some(server) = leg.sip.server {
                cx.edge.index_mut().servers.remove(&server);
            }
            for client in leg.sip.invite.into_iter().chain(leg.sip.bye) {
                cx.edge.index_mut().clients.remove(&client);
            }
            if let Some(dialog) = leg.sip.dialog {
                cx.edge.index_mut().dialogs.remove(&dialog);
            }
            if let Some(flow) = leg.flow {
                cx.edge.index_mut().leave(leg.sip.call_id.as_bytes(), cx.call.legs.place(at), flow.remote.ip());
            }
        }
        let news = self.transfers.news.as_ref().and_then(|news| news.client());
        let refreshes = cx.call.legs.iter().filter_map(|leg| leg.timer.refresh);
        let asked = self.renegotiation.iter().map(|pending| pending.client).chain(self.hold_check.asked());
        let recording = cx.call.siprec.iter().flat_map(|sessions| sessions.pending());
        for client in asked.chain(refreshes).chain(news).chain(recording) {
            cx.edge.index_mut().clients.remove(&client);
        }
        cx.edge.index_mut().sids.remove(cx.call.legs.sid());
    }

    /// Whether a change is under way that must be over before another one begins.
    pub(crate) fn is_unsettled(&self) -> bool {
        let moves = self.transfers.joining.is_some() || self.transfers.leaving.is_some();
        self.renegotiation.is_some() || self.late.is_some() || moves
    }

    /// Returns the far side of a leg that another one is to replace.
    pub(crate) fn far_side_of(&self, call: &Shared, leg: LegId) -> Result<LegId, Box<FinalAnswer>> {
        let refused = |code, reason| Box::new(FinalAnswer::new(code, reason));
        if call.state != State::Answered || self.is_unsettled() {
            return Err(refused(491, ReasonSlug::Transferred));
        }
        if call.is_programmed {
            return Err(refused_to_program());
        }
        let Some(other) = call.legs.other(leg) else { return Err(refused(603, ReasonSlug::Denied)) };
        if [leg, other].iter().any(|side| call.legs[*side].agent.is_some()) {
            return Err(refused(403, ReasonSlug::Denied));
        }
        Ok(other)
    }

    /// Asks the far side of another call of the REFER's sender to come here.
    pub(crate) fn join(
        &mut self,
        cx: &mut Cx<'_>,
        search: &Search,
        by: LegId,
        (other, theirs): (&mut Call, LegId),
    ) -> Result<(), Box<FinalAnswer>> {
        let refused = |code, reason| Box::new(FinalAnswer::new(code, reason));
        let (waits, comes) =
            (self.far_side_of(cx.call, by)?, other.parts.bridge.negotiation.far_side_of(&other.shared, theirs)?);
        if other.shared.legs[comes].timer.refresh.is_some() {
            return Err(refused(491, ReasonSlug::Transferred));
        }
        if !search.has_room_for_another(cx.call) {
            return Err(refused(503, ReasonSlug::LimitCalls));
        }
        let (mut offer, _) = cx.call.legs.offer_of(waits).ok_or_else(|| refused(488, ReasonSlug::BadMedia))?;
        other.shared.legs[comes].keep_sections(&mut offer);
        let media = cx.call.session.ok_or_else(|| refused(500, ReasonSlug::Internal))?;
        let bind = cx.edge.addressing().media_bind_for(other.shared.legs[comes].flow);
        let mut ends = Vec::new();
        for index in anchored_streams(&offer) {
            match bind.and_then(|bind| cx.edge.add_end(media, bind)) {
                Some(end) => ends.push(StreamEnd::new(index, end)),
                None => {
                    cx.close_joining(ends);
                    return Err(refused(503, ReasonSlug::NoPorts));
                }
            }
        }
        let policy = other.shared.legs[comes].policy().towards(cx.call.legs[waits].policy());
        let asked = other.act(cx.now, cx.edge).1.ask_to_leave(comes, &ends, |ports, identity| {
            relay_offer(&offer, &policy, ports, identity)
                .map_err(|refusal| Failure::unusable(ReasonSlug::CodecMismatch, refusal))
        });
        let client = match asked {
            Ok(client) => client,
            Err(answer) => {
                cx.close_joining(ends);
                return Err(answer);
            }
        };
        let is_stale = cx.call.legs.is_stale(waits);
        let joining = Joining { by, is_gone: false, client, offer, ends, is_stale, unbound: false };
        self.transfers.joining = Some(Box::new(joining));
        let leaving = Leaving { leg: comes, by: theirs, is_gone: false, client, to: cx.call.key };
        other.parts.bridge.negotiation.transfers.leaving = Some(Box::new(leaving));
        let (name, far) = (cx.call.legs.name_of(by), other.shared.legs.name_of(comes));
        cx.edge.decide(
            cx.now,
            cx.call.key,
            format!("{name} joins the other side with {far} of its call {}", other.shared.legs.sid()),
        );
        cx.edge.decide(
            cx.now,
            other.shared.key,
            format!("{name} joins {far} with the other side of its call {}", cx.call.legs.sid()),
        );
        let (sid, name) = (cx.call.legs.sid().to_owned(), cx.edge.shown_name(&name));
        cx.edge.log(
            &sid,
            format!("{name} joins the other side with that of its call {}", other.shared.legs.sid()),
            None,
        );
        Ok(())
    }

    /// Whether an answered call's session is being changed.
    pub(crate) fn is_changing(&self, call: &Shared) -> bool {
        call.state == State::Answered && (self.renegotiation.is_some() || self.late.is_some())
    }
}

/// A REFER that has no answer yet.
#[derive(Debug)]
pub(crate) struct WaitingRefer {
    /// Whose it is.
    pub(crate) leg: LegId,
    /// The request.
    pub(crate) server: ServerId,
    /// What it asks for.
    pub(crate) refer: Refer,
}

/// A far side of another call that is on its way to this one.
#[derive(Debug)]
pub(crate) struct Joining {
    /// Our leg of the party that asked for it.
    pub(crate) by: LegId,
    /// Whether that has hung up already.
    pub(crate) is_gone: bool,
    /// The re-INVITE to that far side.
    pub(crate) client: ClientId,
    /// What our own far side has agreed on, as an offer to it.
    pub(crate) offer: Description,
    /// Our ends towards it.
    pub(crate) ends: Vec<StreamEnd>,
    /// Whether our own far side must be asked again once they are joined: it was on hold, or had further streams.
    pub(crate) is_stale: bool,
    /// Whether the ports of an end could not be bound.
    pub(crate) unbound: bool,
}

/// A leg that is on its way to another call.
#[derive(Debug)]
pub(crate) struct Leaving {
    /// The leg.
    pub(crate) leg: LegId,
    /// The leg of the party that asked for it.
    pub(crate) by: LegId,
    /// Whether that has hung up already.
    pub(crate) is_gone: bool,
    /// The re-INVITE to the one that leaves.
    pub(crate) client: ClientId,
    /// Where it goes.
    pub(crate) to: CallKey,
}

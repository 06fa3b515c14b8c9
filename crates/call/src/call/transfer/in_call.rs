//! A transfer within a call: one side asks for somebody else in its place, and stays until there is one. The other side hears
//! hold audio or our ringback tone meanwhile; where nobody answers, it is as it was before.

use std::time::{Duration, Instant};

use trunkgate_media::{Command, EndId, RemoteSpec, WireSpec};
use trunkgate_resources::deadlines::Timer;
use trunkgate_resources::edge::Edge;
use trunkgate_resources::key::LegId;
use trunkgate_resources::limits::{NUMBER_CHARS, REFERRER_SECONDS};
use trunkgate_resources::quotas::Numbered;
use trunkgate_resources::sip::extra;
use trunkgate_route::{CallInfo, CallerIdRule, Number, Plan, ReferMode, SendNumbers, Target};
use trunkgate_sdp::Refusal;
use trunkgate_sip::header::Replaces;
use trunkgate_sip::{Answer, Extra, ServerId};
use trunkgate_story::numbers::plain;
use trunkgate_story::reason::ReasonSlug;

use crate::call::controller::Controller;
use crate::call::legs::headers::{Side, own_addresses};
use crate::call::legs::leg::LegState;
use crate::call::legs::leg_end::EndedBy;
use crate::call::negotiation::local::Spoken;
use crate::call::search::answer::FinalAnswer;
use crate::call::transfer::joining::{Joining, Leaving};
use crate::call::transfer::notify::News;
use crate::call::transfer::refer::Refer;
use crate::call::transfer::refer_on::Passed;
use crate::call::transfer::refer_wait::WaitingRefer;
use crate::call::{Call, State};

/// What becomes of a REFER that may be followed.
enum Way {
    /// These targets are tried.
    Here(Plan),
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
    /// What whoever asked for one is told of it.
    pub(crate) news: Option<Box<News>>,
}

/// A transfer that is under way.
#[derive(Debug)]
pub(crate) struct Transfer {
    /// The leg that asked for it.
    pub(crate) by: LegId,
    /// Whether that has hung up already.
    pub(crate) is_gone: bool,
    /// Who is called.
    pub(crate) number: Number,
    /// Who asked, for the target; as it came.
    referred_by: Option<String>,
    /// The dialog that the target is to replace.
    replaces: Option<Replaces>,
    /// What was to be tried before.
    controller: Controller,
    /// What the other side and the edge had agreed on.
    spoken: Option<Spoken>,
    /// Whether the leg that asked held the other one here.
    held: bool,
    /// Whether the other side must be asked anew once somebody has it: it was on hold, or had further streams.
    is_stale: bool,
    /// How the two were connected.
    wires: Vec<(EndId, (EndId, WireSpec))>,
    /// Where their packets went.
    remotes: Vec<(LegId, EndId, RemoteSpec)>,
}

impl Call {
    /// A far end wants the other one to be connected with somebody else.
    pub(crate) fn referred(&mut self, now: Instant, edge: &mut Edge, leg: LegId, server: ServerId, refer: Refer) {
        let plan = match self.referable(now, edge, leg, &refer) {
            Ok(Way::Here(plan)) => plan,
            Ok(Way::On(other)) => return self.pass_refer(now, edge, (leg, other), server, &refer),
            Ok(Way::Later) => return self.refer_later(now, edge, WaitingRefer { leg, server, refer }),
            Err(answer) => {
                edge.respond(now, server, answer.to_sip());
                let why = format!("a transfer by {} is refused with {}", self.legs.name_of(leg), answer.code);
                return edge.decide(now, self.key, why);
            }
        };
        let (name, to) = (self.legs.name_of(leg), plain(&refer.number.text, NUMBER_CHARS));
        edge.decide(now, self.key, format!("{name} transfers the other side to {to}: route {}", plan.route.name));
        let (sid, to) = (self.legs.sid().to_owned(), edge.shown(&to));
        let line = format!("{} transfers the other side to {to}", edge.shown_name(&name));
        edge.log(&sid, line, None);
        self.accept_refer(now, edge, leg, server, &refer);
        let ring_timeout = plan.ring_timeout;
        let targets = plan.targets.into_iter().map(|target| numbered(target, &refer.number.text)).collect();
        let plan = Plan { targets, ..plan };
        self.facts.max_forwards = self.facts.max_forwards.saturating_sub(1);
        self.facts.ring_timeout = ring_timeout;
        self.facts.shown_as = plan.route.caller_id.clone();
        self.begin_transfer(now, edge, leg, Controller::plan(plan), refer);
    }

    /// Tells whoever has sent a REFER that it is followed.
    pub(crate) fn accept_refer(&mut self, now: Instant, edge: &mut Edge, leg: LegId, server: ServerId, refer: &Refer) {
        let headers = if refer.is_silent { vec![extra("Refer-Sub", "false")] } else { Vec::new() };
        edge.respond(now, server, Answer { code: 202, headers, ..Answer::default() });
        self.drop_news(edge);
        if !refer.is_silent {
            self.search.transfers.news = Some(Box::new(News::new(now, leg, refer.cseq)));
            self.tell_news(now, edge, 100);
        }
    }

    /// Whether the end of the last transfer is still to be told.
    pub(crate) fn is_telling(&self) -> bool {
        self.search.transfers.news.as_ref().is_some_and(|news| news.is_untold())
    }

    /// Where the other side would be sent: as a call of the same number from the same trunk would.
    fn referable(&mut self, now: Instant, edge: &mut Edge, leg: LegId, refer: &Refer) -> Result<Way, Box<FinalAnswer>> {
        let refused = |code, reason| Box::new(FinalAnswer::new(code, reason));
        let Some(trunk) = self.legs[leg].trunk.clone().filter(|trunk| trunk.refer != ReferMode::Refuse) else {
            return Err(refused(403, ReasonSlug::Denied));
        };
        let is_untold = self.is_telling();
        if self.is_changing() && self.search.transfers.waiting.is_none() && !is_untold {
            return Ok(Way::Later);
        }
        if self.state != State::Answered || self.is_unsettled() || is_untold {
            return Err(refused(491, ReasonSlug::Transferred));
        }
        let other = self.legs.other(leg).filter(|_| leg == self.legs.near || self.legs.callee == Some(leg));
        let Some(other) = other else { return Err(refused(403, ReasonSlug::Denied)) };
        if self.legs[other].agent.is_some() {
            // Its stream tells it of one caller, and knows no word for another in its place.
            let text = "the other side is an agent, which cannot be transferred".to_owned();
            let warning = Some(Refusal { warn_code: 399, text });
            return Err(Box::new(FinalAnswer { warning, ..FinalAnswer::new(403, ReasonSlug::Denied) }));
        }
        if trunk.refer == ReferMode::Relay {
            return Ok(Way::On(other));
        }
        if self.facts.max_forwards == 0 {
            return Err(refused(483, ReasonSlug::TooManyHops));
        }
        // A fax that is under way is nothing that another one could go on with.
        if self.legs.offer_of(other).is_none() {
            return Err(refused(488, ReasonSlug::BadMedia));
        }
        if !self.has_room_for_another() {
            return Err(refused(503, ReasonSlug::LimitCalls));
        }
        // It costs what a new call costs: nobody dials faster by transfers than by calls.
        let admitted = edge.admission.check_rate(now, &trunk.name).and_then(|()| edge.trunks.pay(now, &trunk.name));
        admitted.map_err(|reason| refused(503, reason))?;
        let called = edge.table.numbers().spellings(&refer.number, SendNumbers::AsIs);
        let numbers = Numbered { called: &called, caller: &self.number_of(leg).text };
        if let Err((reason, which)) = edge.take_quota(now, &trunk.name, numbers, (self.key, None)) {
            edge.alarm(now, self.legs.sid(), &trunk.name, reason, &which);
            return Err(refused(503, reason));
        }
        // Who calls is whoever asks: neither the number nor the headers are another's.
        let (called, caller) = (&*refer.number.text, &*self.number_of(leg).text);
        let headers = if leg == LegId::CALLER { &self.facts.headers[..] } else { &[] };
        let info = CallInfo { from: &trunk.name, called, caller, headers, ..CallInfo::default() };
        let mut plan = edge.plan(now, info);
        if let Some(plan) = &mut plan {
            let is_emergency = edge.table.numbers().is_emergency(&refer.number);
            edge.by_ratio(now, self.key, plan, !is_emergency);
        }
        plan.map(Way::Here).ok_or_else(|| refused(404, ReasonSlug::NoRoute))
    }

    /// Searches for somebody in the place of `by`; the other side waits.
    fn begin_transfer(&mut self, now: Instant, edge: &mut Edge, by: LegId, controller: Controller, refer: Refer) {
        let Some(waits) = self.legs.other(by) else { return };
        let held = self.media.holds.contains(by);
        self.end_holds(edge);
        self.negotiation.owed.clear();
        self.disarm(edge, Timer::Glare);
        let Some((offer, spoken)) = self.legs.offer_of(waits) else { return self.end(now, edge, ReasonSlug::Internal) };
        let wires = self.media.wires.iter().map(|(from, to)| (from, to.clone())).collect();
        let ends = [by, waits].into_iter().flat_map(|leg| self.legs[leg].ends.iter().map(move |end| (leg, end)));
        let remotes = ends.filter_map(|(leg, end)| Some((leg, end.end, end.remote.clone()?))).collect();
        self.search.transfers.now = Some(Box::new(Transfer {
            by,
            is_gone: false,
            number: refer.number,
            referred_by: refer.referred_by,
            replaces: refer.replaces,
            controller: std::mem::replace(&mut self.search.controller, controller),
            spoken: std::mem::replace(&mut self.media.spoken, spoken),
            held,
            is_stale: self.legs.is_stale(waits),
            wires,
            remotes,
        }));
        self.part(edge, [by, waits]);
        self.legs.near = waits;
        self.legs.callee = None;
        self.state = State::Rerouting;
        self.negotiation.offer = Some(offer);
        self.ring_back(now, edge);
        self.advance(now, edge, None);
    }

    /// Somebody answered in the place of whoever asked for it.
    pub(crate) fn transferred(&mut self, now: Instant, edge: &mut Edge) {
        let Some(transfer) = self.search.transfers.now.take() else { return };
        if transfer.is_stale {
            self.owe(self.legs.near, false);
        }
        self.tell_news(now, edge, 200);
        if transfer.is_gone {
            return;
        }
        self.legs[transfer.by].end_with(ReasonSlug::Transferred, EndedBy::FarEnd);
        self.drop_ends(edge, transfer.by);
        self.legs.leave_trunk(edge, transfer.by);
        self.arm(now, edge, Timer::Referrer, Duration::from_secs(REFERRER_SECONDS));
    }

    /// Whoever has transferred the call has been told so, and has not hung up. Who asks for another transfer now stays.
    pub(crate) fn referrer_overdue(&mut self, now: Instant, edge: &mut Edge) {
        self.deadlines.remove(Timer::Referrer);
        let left: Vec<LegId> = self.legs.ids().filter(|at| self.sides().all(|side| side != *at)).collect();
        for leg in left {
            if self.legs[leg].agent.is_none() && self.legs[leg].state == LegState::Answered {
                self.hang_up_leg(now, edge, leg, ReasonSlug::Transferred);
            }
        }
    }

    /// Whether nobody answered a transfer that can be taken back: then it is.
    pub(crate) fn transfer_failed(&mut self, now: Instant, edge: &mut Edge, answer: &FinalAnswer) -> bool {
        let Some(transfer) = self.search.transfers.now.take() else { return false };
        self.tell_news(now, edge, answer.code);
        if transfer.is_gone {
            return false;
        }
        let Transfer { by, controller, spoken, held, wires, remotes, .. } = *transfer;
        let why = format!("the transfer failed with {}: {}", answer.code, answer.reason.sentence());
        let sid = self.legs.sid().to_owned();
        edge.log(&sid, why.clone(), Some(answer.reason));
        edge.decide(now, self.key, format!("{why}; the other side stays with {}", self.legs.name_of(by)));
        self.stop_player(edge);
        (self.search.controller, self.media.spoken, self.negotiation.offer) = (controller, spoken, None);
        // Nobody else was tried in the target's place.
        self.search.failed_over = None;
        self.state = State::Answered;
        if by == LegId::CALLER {
            self.legs.callee = Some(self.legs.near);
            self.legs.near = by;
        } else {
            self.legs.callee = Some(by);
        }
        for (leg, end, remote) in remotes {
            self.point_back(edge, leg, end, remote);
        }
        for (from, (to, wire)) in wires {
            self.connect_ends(edge, from, to, wire);
        }
        if held {
            self.part(edge, [self.legs.near, by]);
            self.media.holds.insert(by, None);
            self.play_to_held(edge);
        }
        self.tap_caller(now, edge);
        true
    }

    fn point_back(&mut self, edge: &mut Edge, leg: LegId, end: EndId, remote: RemoteSpec) {
        let Some(media) = self.media.session else { return };
        let slot = self.legs[leg].ends.iter_mut().find(|slot| slot.end == end);
        if let Some(slot) = slot.filter(|slot| slot.remote.as_ref() != Some(&remote)) {
            slot.remote = Some(remote.clone());
            edge.media(media, Command::SetRemote { end, remote });
        }
    }

    /// A leg that is neither side of the call any more, or not now, has hung up.
    pub(crate) fn referrer_left(&mut self, now: Instant, edge: &mut Edge, leg: LegId) {
        self.legs[leg].end_with(ReasonSlug::Transferred, EndedBy::FarEnd);
        self.drop_news_of(edge, leg);
        if let Some(transfer) =
            self.search.transfers.now.as_mut().filter(|transfer| transfer.by == leg && !transfer.is_gone)
        {
            transfer.is_gone = true;
            self.drop_ends(edge, leg);
            self.legs.leave_trunk(edge, leg);
            edge.decide(now, self.key, format!("{} has hung up, the transfer goes on", self.legs.name_of(leg)));
        }
    }

    /// Legs that count as calls of their trunks.
    pub(crate) fn sides(&self) -> impl Iterator<Item = LegId> {
        let asked = self.search.transfers.now.as_ref().filter(|transfer| !transfer.is_gone).map(|transfer| transfer.by);
        let sides = [Some(self.legs.near), self.legs.callee, asked, self.newcomer()];
        sides.into_iter().flatten().filter(|leg| !self.legs[*leg].has_left)
    }

    /// A leg's number: what it calls by, or was called by.
    pub(crate) fn number_of(&self, leg: LegId) -> &Number {
        match leg {
            LegId::CALLER => &self.facts.caller.number,
            _ => self.legs[leg].number.as_deref().unwrap_or(&self.facts.called),
        }
    }

    /// What a target is told of who transferred the call to it (RFC 3892), with addresses of our own, and of the dialog that
    /// it is to replace (RFC 3891). `rule`: which numbers the target may be shown; those that the referrer's trunk may show are
    /// its `caller_id_in`.
    pub(crate) fn of_transfer(&self, edge: &Edge, to: &Side<'_>, rule: Option<&CallerIdRule>) -> Vec<Extra> {
        let Some(transfer) = &self.search.transfers.now else { return Vec::new() };
        let by_trunk = self.legs.get(transfer.by).and_then(|leg| leg.trunk.as_deref());
        let rules = [by_trunk.and_then(|trunk| trunk.caller_id_in.as_ref()), rule];
        let by = transfer.referred_by.as_ref();
        let by = by.and_then(|by| own_addresses(by, to, edge.table.numbers(), rules));
        let replaces = transfer.replaces.as_ref().map(|replaces| extra("Replaces", replaces.to_string()));
        by.map(|by| extra("Referred-By", by)).into_iter().chain(replaces).collect()
    }
}

/// A target that is called by this number, where it has none of its own.
fn numbered(target: Target, number: &str) -> Target {
    match target {
        Target::Trunk { trunk, number: None, peers } => Target::Trunk { trunk, number: Some(number.to_owned()), peers },
        Target::RingAll(targets) => {
            Target::RingAll(targets.into_iter().map(|target| numbered(target, number)).collect())
        }
        other @ (Target::Trunk { .. } | Target::Uri { .. } | Target::Agent(_) | Target::Reject(_)) => other,
    }
}

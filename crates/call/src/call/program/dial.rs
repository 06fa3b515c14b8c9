//! Parties that a program dials: where they are, and what becomes of them.

use std::collections::VecDeque;
use std::sync::Arc;

use trunkgate_media::detection::Settings;
use trunkgate_resources::deadlines::Timer;
use trunkgate_resources::key::{Branch, LegId};
use trunkgate_route::{Number, Numbers, Table, Target, TargetSpec, Wanted, share};
use trunkgate_sip::has_control;
use trunkgate_story::numbers::plain;
use trunkgate_story::reason::ReasonSlug;
use trunkgate_story::redact;
use trunkgate_twiml::{Address, DialResult, DialStatus, DialStep, Header, Input, Party, PartyDetection, SipUri};

use crate::call::controller::TargetResult;
use crate::call::legs::leg_end::EndedBy;
use crate::call::program::progress::PartyCall;
use crate::call::program::records::DialRecording;
use crate::call::program::{Dialled, Dialler, Runner, Side, Whisper, parameters, progress};
use crate::call::recorders::detection::{self, Receiver};
use crate::call::recorders::recording;
use crate::call::search::controller::Controller;
use crate::call::shared::{Cx, ShownCallerId};
use crate::call::words::answer::{Failure, FinalAnswer};
use crate::call::words::state::State;
use crate::call::words::uri::trunk_of_uri;

/// What Twilio's error code of a stream says that could not be opened.
const STREAM_FAILED: u16 = 31_901;
/// Twilio's error code of a caller ID that may not be shown.
const CALLER_ID: u16 = 13_214;
/// Scheme of the identities of Voice SDK clients.
const CLIENT: &str = "client:";
/// Longest name of a caller, in bytes.
const NAME_BYTES: usize = 64;
/// Fewest letters of a name that has as many digits as a number, [`NUMBER_DIGITS`].
const NAME_LETTERS: usize = 4;
/// Fewest digits of what may be read as a number of a telephone network.
const NUMBER_DIGITS: usize = 7;

impl Dialler<'_> {
    /// Calls the parties of a Dial.
    pub(crate) fn dial(&mut self, cx: &mut Cx<'_>, dial: DialStep) {
        let id = dial.id;
        let mut parties: Vec<Dialled> = Vec::new();
        for party in dial.parties {
            match self.party(cx, party) {
                Ok(party) => parties.push(party),
                Err(why) => cx.edge.decide(cx.now, cx.call.key, format!("Dial: party not called: {why}")),
            }
        }
        let shown = dial.caller_id.as_deref().and_then(|text| self.caller_id_for(cx, text, &mut parties));
        if parties.is_empty() {
            let result = DialResult::unanswered(DialStatus::Failed);
            return Runner::of(self.parts).tell_program(cx, Input::DialEnded { id, result });
        }
        let further = turns(cx, parties, dial.sequential);
        if shown.is_some() {
            cx.call.facts.shown_as = shown;
        }
        cx.call.facts.ring_timeout = Some(dial.timeout);
        if let Some(run) = &mut self.parts.program.run {
            let record = dial.record.map(|step| Box::new(DialRecording::of(&run.app, *step)));
            run.side = Some(Side { limit: dial.time_limit, further, record, ..Side::new(id, false) });
        }
        self.begin_recording(cx, false);
        if cx.call.state == State::Rerouting {
            self.parts.bridge.media.ring_to_caller(cx);
        }
        self.parts.bridge.media.end_talk();
        self.call_next_parties(cx);
    }

    /// Returns the caller ID that parties see, and keeps those that may see it: all where the application may show it,
    /// else those that no carrier reaches, which may see any name. The identity of a client (`client:alice`) is for
    /// clients and SIP addresses. An emergency call is made with the number of its caller instead.
    fn caller_id_for(&self, cx: &mut Cx<'_>, text: &str, parties: &mut Vec<Dialled>) -> Option<Box<ShownCallerId>> {
        let table = Arc::clone(&cx.edge.table);
        let numbers = table.numbers();
        let identity = text.strip_prefix(CLIENT);
        let shown = numbers.normalise_caller(identity.unwrap_or(text), None);
        // It leaves as it is understood, not as a document spells it.
        let shown = Number { received: shown.text.clone(), ..shown };
        if identity.is_none() && self.may_show(cx, &shown) {
            return Some(ShownCallerId::public(Arc::new(shown)));
        }
        let is_emergency = |party: &Dialled| numbers.is_emergency(&numbers.normalise_caller(party.call.to(), None));
        let calls_for_help = parties.iter().any(is_emergency);
        let before = parties.len();
        let may_be_seen = is_name(&shown.text) && !is_like_emergency(numbers, &shown);
        let is_public = identity.is_some() && !is_like_number(&shown.text);
        if !calls_for_help {
            parties.retain_mut(|party| {
                let may_see = may_be_seen && (identity.is_none() || !is_number(party.call.to()));
                party.targets.retain_mut(|target| may_see && (is_public || is_behind_no_carrier(target, &table)));
                !party.targets.is_empty()
            });
        }
        if calls_for_help || parties.len() < before {
            let app = self.parts.program.run.as_ref().map_or("", |run| &run.app.name);
            let why = match identity {
                Some(_) => "is the identity of a client, which clients and SIP addresses see, but no number".to_owned(),
                None => format!("is not a number of the edge or of the call, nor in `callers` of the app {app}"),
            };
            let instead = if calls_for_help { "; it is not shown in an emergency call" } else { "" };
            let text = format!("Dial: error {CALLER_ID}: callerId {} {why}{instead}", cx.edge.shown(text));
            cx.edge.decide(cx.now, cx.call.key, text);
        }
        let shown = ShownCallerId { number: Arc::new(shown), is_private: !is_public, is_client: identity.is_some() };
        (!calls_for_help).then(|| Box::new(shown))
    }

    /// Whether the application may have carriers see a number: one of the edge's, of the call's, or that its `callers` allow; never an emergency
    /// number.
    fn may_show(&self, cx: &Cx<'_>, number: &Number) -> bool {
        if cx.edge.table.numbers().is_emergency(number) || has_control(&number.text) {
            return false;
        }
        let (facts, near) = (&cx.call.facts, cx.call.legs.near);
        let of_call = [&facts.caller.number, &facts.called, cx.call.number_of(near)];
        cx.edge.table.is_own_number(&number.text)
            || of_call.iter().any(|own| own.text == number.text)
            || self.parts.program.run.as_ref().is_some_and(|run| !run.is_redirected && run.app.may_show(number))
    }

    /// Calls the next of the parties that are called in turn. Returns whether there was one.
    fn call_next_parties(&mut self, cx: &mut Cx<'_>) -> bool {
        progress::complete_parties(self.parts, cx, None);
        let Some(side) = self.parts.program.run.as_mut().and_then(|run| run.side.as_mut()) else { return false };
        let Some(mut parties) = side.further.pop_front() else { return false };
        let has_agent = parties.iter().flat_map(|party| &party.targets).any(is_agent);
        let mut targets: Vec<_> = parties.iter_mut().map(|party| std::mem::take(&mut party.targets)).collect();
        side.parties = parties;
        if targets.len() == 1 {
            let targets = targets.pop().unwrap_or_default();
            self.parts.search.controller = Controller::plan_of(targets);
        } else {
            let first =
                targets.iter_mut().filter(|targets| !targets.is_empty()).map(|targets| targets.remove(0)).collect();
            self.parts.search.controller = Controller::plan_of(vec![Target::RingAll(first)]);
            self.parts.search.alternatives = targets;
        }
        cx.disarm(Timer::DialAnswer);
        if let Some(timeout) = cx.call.facts.ring_timeout.filter(|timeout| has_agent && !timeout.is_zero()) {
            cx.arm(Timer::DialAnswer, timeout);
        }
        if cx.call.state == State::Rerouting {
            self.parts.search_on(cx);
        } else {
            self.parts.advance(cx, None);
        }
        true
    }

    /// Returns a party with its targets.
    ///
    /// # Errors
    /// Why there are none, in words.
    fn party(&self, cx: &mut Cx<'_>, party: Party) -> Result<Dialled, String> {
        let Party { address, whisper, status, detection } = party;
        let (targets, to, digits) = match address {
            Address::Number { number, send_digits } => {
                let to = cx.edge.table.numbers().normalise_caller(&number, None).text;
                (self.number(cx, &number)?, to, send_digits)
            }
            Address::Client { identity } => {
                let known = cx.edge.table.client(&identity).map(<[TargetSpec]>::to_vec);
                let known = known.ok_or_else(|| format!("the client {} is not in [client]", plain(&identity, 40)))?;
                let found = known.iter().filter_map(|target| cx.edge.target(target)).collect();
                (found, format!("client:{identity}"), None)
            }
            Address::Sip { uris, headers } => {
                let to = uris.first().map(|uri| redact::sip_uri(&uri.uri)).unwrap_or_default();
                let mut below = |total| cx.edge.random.below(total);
                let uris = share::ordered(uris, |uri| uri.priority, |uri| uri.weight, &mut below);
                let found = uris.iter().map(|uri| self.sip_address(cx, uri, &headers)).collect::<Result<_, _>>()?;
                (found, to, None)
            }
        };
        let hears = digits.is_some() || whisper.is_some();
        if hears && targets.iter().any(is_agent) {
            let text = "Dial: an agent is connected without digits or a document of its own";
            cx.edge.decide(cx.now, cx.call.key, text);
        }
        let call = PartyCall::new(to.clone(), status);
        let whisper = hears.then_some(Whisper { digits, document: whisper, to });
        Ok(Dialled { targets, whisper, detection, call })
    }

    /// Where a number leads: to the targets for dialled numbers, else as the routes say of a call of the caller's trunk.
    fn number(&self, cx: &mut Cx<'_>, text: &str) -> Result<Vec<Target>, String> {
        let Ok(number) = cx.edge.table.numbers().normalise(text, None) else {
            return Err("a number is not callable".to_owned());
        };
        let connect = self.parts.program.run.as_ref().map(|run| run.app.connect.clone()).unwrap_or_default();
        let numbered = |target: &TargetSpec| {
            let mut target = target.clone();
            if let TargetSpec::Trunk { number: wanted @ None, .. } = &mut target {
                *wanted = Some(number.text.clone());
            }
            target
        };
        if !connect.is_empty() {
            let found: Vec<Target> =
                connect.iter().map(numbered).filter_map(|target| cx.edge.target(&target)).collect();
            return if found.is_empty() { Err("`connect` leads to no party".to_owned()) } else { Ok(found) };
        }
        let near = cx.call.legs.near;
        let Some(trunk) = cx.call.legs[near].trunk.clone() else { return Err("no trunk".to_owned()) };
        cx.charge_named(&trunk, &number, near).map_err(|reason| reason.sentence().to_owned())?;
        let plan = cx.plan_named(&trunk, &number, near).ok_or("no route matches the number")?;
        let is_party = |target: &Target| matches!(target, Target::Trunk { .. } | Target::Uri { .. });
        let found: Vec<Target> = plan.targets.into_iter().filter(is_party).collect();
        if found.is_empty() { Err(format!("the route {} leads to no party", plan.route.name)) } else { Ok(found) }
    }

    /// A SIP address: one of a trunk, or one that the application may reach.
    pub(crate) fn sip_address(&self, cx: &mut Cx<'_>, uri: &SipUri, common: &[Header]) -> Result<Target, String> {
        let target = self.parts.search.transfer_target(cx, &uri.uri);
        let mut target = target.map_err(|refused| format!("a SIP address: {refused}"))?;
        let Target::Uri { uri: address, destination, headers, .. } = &mut target else {
            return Err("a SIP address is not one".to_owned());
        };
        *headers = common.iter().chain(&uri.headers).map(|one| (one.name.clone(), one.value.clone())).collect();
        let uri = &*address;
        let (trunk, number) = trunk_of_uri(uri, &cx.edge.table);
        let user: Vec<String> = number.into_iter().map(|number| number.text).collect();
        let wanted = match trunk {
            Some(trunk) => Wanted::Trunk(&trunk.name, &user),
            None => Wanted::Uri(uri, destination, &user),
        };
        match &self.parts.program.run {
            Some(run) if run.app.may_dial(wanted) => Ok(target),
            Some(_) | None => {
                Err(format!("a SIP address at {} is neither a trunk's nor in `sip_to`", destination.host))
            }
        }
    }

    /// Ends what a Dial has under way.
    pub(crate) fn end_side(&mut self, cx: &mut Cx<'_>, id: u32) {
        let is_current =
            self.parts.program.run.as_ref().and_then(|run| run.side.as_ref()).is_some_and(|side| side.id == id);
        if !is_current {
            return;
        }
        match cx.call.legs.callee {
            Some(leg) => {
                cx.call.legs[leg].end_with(ReasonSlug::AppHungUp, EndedBy::Edge);
                self.parts.bridge.media.hang_up_leg(cx, leg, ReasonSlug::AppHungUp);
                self.parts.side_left(cx, ReasonSlug::AppHungUp);
            }
            None => {
                self.parts.search.drop_attempts(cx, &mut self.parts.bridge, ReasonSlug::AppHungUp);
                self.side_over(cx, DialStatus::Canceled, None);
            }
        }
    }

    /// The longest time with the party, or the one that an agent may take to answer, is over.
    pub(crate) fn due(&mut self, cx: &mut Cx<'_>, timer: Timer) {
        if timer == Timer::DialAnswer { self.dial_unanswered(cx) } else { self.dial_limit_over(cx) }
    }

    /// Ends the attempt at an agent that has not taken the caller within the `timeout` of its Dial, also one in whose queue the caller waits.
    /// Phones ring for that time by a timer of their own.
    fn dial_unanswered(&mut self, cx: &mut Cx<'_>) {
        cx.call.deadlines.remove(Timer::DialAnswer);
        if self.parts.search.alone().is_none_or(|attempt| attempt.agent.is_none()) {
            return;
        }
        cx.edge.decide(cx.now, cx.call.key, "Dial: timeout has passed");
        self.parts.search.left_line(cx, "leaves the queue");
        // The time of a Dial is that of the party, not of each way to it.
        let failure = Failure::with_code(480, ReasonSlug::RingTimeout);
        self.parts.fail_target(cx, Branch::ALONE, TargetResult::Refused(failure));
    }

    /// The party has been connected for as long as it may.
    fn dial_limit_over(&mut self, cx: &mut Cx<'_>) {
        cx.call.deadlines.remove(Timer::DialLimit);
        if let Some(leg) = cx.call.legs.callee.filter(|_| self.parts.program.run.is_some()) {
            cx.edge.decide(cx.now, cx.call.key, "Dial: timeLimit has passed");
            cx.call.legs[leg].end_with(ReasonSlug::TimeLimit, EndedBy::Edge);
            self.parts.bridge.media.hang_up_leg(cx, leg, ReasonSlug::TimeLimit);
            self.parts.side_left(cx, ReasonSlug::TimeLimit);
        }
    }

    /// Returns the agent that the program has connected with its caller.
    pub(crate) fn connected_agent(&self, cx: &Cx<'_>) -> Option<LegId> {
        let is_agent = |leg: &LegId| self.parts.program.run.is_some() && cx.call.legs[*leg].agent.is_some();
        cx.call.legs.callee.filter(is_agent)
    }

    /// The connected agent has had the caller for as long as it may: it leaves, the caller stays.
    pub(crate) fn agent_time_over(&mut self, cx: &mut Cx<'_>, leg: LegId) {
        cx.call.legs[leg].end_with(ReasonSlug::MaxCall, EndedBy::Edge);
        self.parts.bridge.media.hang_up_leg(cx, leg, ReasonSlug::MaxCall);
        self.parts.side_left(cx, ReasonSlug::MaxCall);
    }

    /// The connected party sends nothing any more: its call ends, the caller stays.
    pub(crate) fn side_fell_silent(&mut self, cx: &mut Cx<'_>) {
        let Some(leg) = cx.call.legs.callee else { return };
        cx.edge.decide(cx.now, cx.call.key, format!("no media from {}", cx.call.legs.name_of(leg)));
        cx.call.legs[leg].end_with(ReasonSlug::MediaTimeout, EndedBy::Edge);
        self.parts.bridge.media.hang_up_leg(cx, leg, ReasonSlug::MediaTimeout);
        self.parts.side_left(cx, ReasonSlug::MediaTimeout);
    }

    /// A party or stream that the program wanted is connected with the caller, or will be after its document.
    pub(crate) fn side_joined(&mut self, cx: &mut Cx<'_>, leg: LegId, whisper: Option<Whisper>) {
        let Some(side) = self.parts.program.run.as_mut().and_then(|run| run.side.as_mut()) else { return };
        if side.since.is_some() {
            // The target that an agent has sent its caller on to.
            return side.parties.iter_mut().for_each(|party| party.call.go_on_with(cx, leg));
        }
        cx.disarm(Timer::DialAnswer);
        side.since = Some(cx.now);
        side.sid = Some(cx.call.legs[leg].sid.clone());
        let (is_stream, limit) = (side.is_stream, side.limit);
        if !limit.is_zero() {
            cx.arm(Timer::DialLimit, limit);
        }
        let whisper = whisper.filter(|_| !is_stream);
        if let Some((settings, receiver)) = self.wanted_detection(cx, leg) {
            match &whisper {
                Some(_) => detection::begin_apart(cx, leg, settings, receiver),
                None => detection::begin_dialled(&self.parts.bridge.media, cx, leg, settings, receiver),
            }
        }
        match whisper {
            Some(whisper) => self.begin_whisper(cx, leg, whisper),
            None => self.side_bridged(cx),
        }
    }

    /// The caller and the party hear each other.
    pub(crate) fn side_bridged(&mut self, cx: &mut Cx<'_>) {
        let Some(side) = self.parts.program.run.as_mut().and_then(|run| run.side.as_mut()) else { return };
        side.is_bridged = true;
        if !side.is_stream {
            self.parts.bridge.media.tell_digits(cx);
            self.begin_recording(cx, true);
        }
        let Some(side) = self.parts.program.run.as_ref().and_then(|run| run.side.as_ref()) else { return };
        let (id, is_stream) = (side.id, side.is_stream);
        match (is_stream, self.connected_agent(cx).is_some()) {
            (true, _) => {}
            // A restart ends the stream of an agent: its Dial is under way again then.
            (false, true) => Runner::of(self.parts).inform_program(cx, Input::DialAnswered { id }),
            (false, false) => Runner::of(self.parts).tell_program(cx, Input::DialAnswered { id }),
        }
    }

    /// Begins the recording of the Dial, where it is to begin now.
    fn begin_recording(&mut self, cx: &mut Cx<'_>, is_connected: bool) {
        let side = self.parts.program.run.as_mut().and_then(|run| run.side.as_mut());
        if let Some(record) = side.and_then(|side| side.record.as_mut()) {
            record.begin(cx, &self.parts.bridge.media, is_connected);
        }
    }

    /// Returns how a party is to be judged, where its Dial asks for that.
    fn wanted_detection(&self, cx: &Cx<'_>, leg: LegId) -> Option<(Settings, Option<Receiver>)> {
        let run = self.parts.program.run.as_ref().filter(|_| cx.call.legs[leg].agent.is_none())?;
        let side = run.side.as_ref().filter(|side| !side.is_stream && cx.call.legs.callee == Some(leg))?;
        let party = side.parties.iter().find(|party| party.call.leg() == Some(leg))?;
        let PartyDetection { settings, receiver } = party.detection.clone()?;
        let app = run.app.clone();
        Some((settings, receiver.map(|(url, method)| Receiver { app, at: (url, parameters::method(method)) })))
    }

    /// No party answered, or the stream could not be opened; or the target that an agent has sent its caller on to did not answer.
    pub(crate) fn side_failed(&mut self, cx: &mut Cx<'_>, answer: &FinalAnswer) {
        let side = self.parts.program.run.as_ref().and_then(|run| run.side.as_ref());
        if side.is_some_and(|side| side.since.is_some()) {
            return self.side_over(cx, DialStatus::Completed, Some(answer));
        }
        if self.call_next_parties(cx) {
            return;
        }
        let status = match (answer.reason, answer.code) {
            (_, 486 | 600) => DialStatus::Busy,
            (ReasonSlug::RingTimeout, _) | (_, 408 | 480 | 487) => DialStatus::NoAnswer,
            _ => DialStatus::Failed,
        };
        self.side_over(cx, status, Some(answer));
    }

    /// The connected party or stream has left, and its caller is still there.
    pub(crate) fn side_has_left(&mut self, cx: &mut Cx<'_>, reason: ReasonSlug) {
        cx.disarm(Timer::DialLimit);
        if let Some(leg) = cx.call.legs.callee {
            detection::leave(cx, leg);
        }
        self.drop_whisper(cx);
        self.parts.bridge.media.tells_digits = false;
        if let Some(leg) = cx.call.legs.callee
            && !self.take_caller_back(cx, leg)
        {
            return self.parts.end(cx, reason);
        }
        self.side_over(cx, DialStatus::Completed, None);
    }

    /// Has the caller talk to the edge again, after a party has left it. Returns whether that is possible.
    pub(crate) fn take_caller_back(&mut self, cx: &mut Cx<'_>, leg: LegId) -> bool {
        cx.disarm(Timer::HoldCheck);
        self.parts.search.withdraw_consult(cx, &mut self.parts.bridge);
        if cx.call.legs[leg].agent.is_some() {
            self.parts.bridge.media.close_agent(cx, leg);
            cx.call.legs.callee = None;
            cx.call.enter(State::Rerouting);
            return true;
        }
        let near = cx.call.legs.near;
        self.parts.bridge.close_open_reinvite(cx);
        self.parts.bridge.negotiation.refuse_infos(cx);
        self.parts.bridge.media.end_holds(cx);
        self.parts.bridge.negotiation.owed.clear();
        cx.disarm(Timer::Glare);
        cx.disarm(Timer::Update);
        let Some((offer, spoken)) = cx.call.legs.offer_of(near) else { return false };
        self.parts.bridge.media.part(cx, [leg, near]);
        self.parts.bridge.media.drop_ends(cx, leg);
        cx.call.legs.leave_trunk(cx.edge, leg);
        cx.call.legs[leg].has_left = true;
        cx.call.legs.callee = None;
        self.parts.bridge.media.spoken = spoken;
        self.parts.bridge.negotiation.offer = Some(offer);
        cx.call.enter(State::Rerouting);
        true
    }

    /// What the program wanted is over.
    fn side_over(&mut self, cx: &mut Cx<'_>, status: DialStatus, answer: Option<&FinalAnswer>) {
        progress::complete_parties(self.parts, cx, None);
        cx.disarm(Timer::DialLimit);
        cx.disarm(Timer::DialAnswer);
        self.parts.bridge.media.tells_digits = false;
        self.parts.bridge.media.drop_sounds();
        let Some(run) = &mut self.parts.program.run else { return };
        let Some(side) = run.side.take() else { return };
        if let Some(sid) = side.record.as_ref().and_then(|record| record.sid.as_deref()) {
            recording::stop(cx, sid);
        }
        cx.call.facts.shown_as.clone_from(&run.shown_as);
        cx.call.facts.ring_timeout = run.ring_timeout;
        if cx.call.legs.agent_in_place_of_caller().is_none() {
            // The next Dial of an agent has its whole time.
            cx.disarm(Timer::MaxCall);
            self.parts.bridge.media.holder = None;
        }
        self.parts.search.controller = Controller::Done;
        if cx.call.state == State::Rerouting {
            self.parts.bridge.media.stop_playing_to_caller(cx);
        }
        if side.is_stream {
            let error = side.since.is_none().then_some(STREAM_FAILED);
            return Runner::of(self.parts).tell_program(cx, Input::StreamEnded { id: side.id, error });
        }
        let result = Runner::of(self.parts).result_of(cx, status, &side, answer.map(|answer| answer.code));
        Runner::of(self.parts).tell_program(cx, Input::DialEnded { id: side.id, result });
    }

    /// The stream or agent that the program connected is lost.
    pub(crate) fn stream_lost(&mut self, cx: &mut Cx<'_>, failure: &Failure) {
        let side = self.parts.program.run.as_ref().and_then(|run| run.side.as_ref());
        let was_dialled = side.is_some_and(|side| !side.is_stream);
        let (what, status) =
            if was_dialled { ("agent", DialStatus::Completed) } else { ("stream", DialStatus::Failed) };
        cx.edge.decide(cx.now, cx.call.key, failure.told_of(what));
        self.side_over(cx, status, None);
    }
}

/// Returns the parties in the turns in which they are called: each by itself, or all at once. An agent answers at once, and
/// is called by itself, after the parties that ring.
fn turns(cx: &mut Cx<'_>, mut parties: Vec<Dialled>, is_sequential: bool) -> VecDeque<Vec<Dialled>> {
    if is_sequential || parties.len() < 2 {
        return parties.into_iter().map(|party| vec![party]).collect();
    }
    let agents: Vec<Dialled> = parties.extract_if(.., |party| has_agents_alone(party)).collect();
    let ring_at_once = parties.len() > 1;
    let mut are_left_out = false;
    // A party that is alone has all its targets.
    for party in parties.iter_mut().filter(|_| ring_at_once) {
        are_left_out |= party.targets.extract_if(.., |target| is_agent(target)).count() > 0;
    }
    if are_left_out {
        cx.edge.decide(cx.now, cx.call.key, "Dial: agents behind parties that are called at once are left out");
    }
    if !agents.is_empty() && !parties.is_empty() {
        cx.edge.decide(cx.now, cx.call.key, "Dial: agents are called if no other party answers");
    }
    let at_once = Some(parties).filter(|parties| !parties.is_empty());
    at_once.into_iter().chain(agents.into_iter().map(|party| vec![party])).collect()
}

fn has_agents_alone(party: &Dialled) -> bool {
    !party.targets.is_empty() && party.targets.iter().all(is_agent)
}

fn is_agent(target: &Target) -> bool {
    matches!(target, Target::Agent(_))
}

/// Whether a text can be the name of a caller for parties that no carrier reaches: what Twilio takes there.
fn is_name(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"+-_.".contains(&byte);
    (1..=NAME_BYTES).contains(&text.len()) && text.bytes().all(is_allowed)
}

/// Returns whether a party of a Dial is one of a number: `client:` and SIP addresses have a scheme.
fn is_number(to: &str) -> bool {
    !to.contains(':')
}

/// Whether a carrier or a person may read a number out of a name: it has no letter, or the digits of a number beside
/// hardly any.
fn is_like_number(text: &str) -> bool {
    let letters = text.bytes().filter(u8::is_ascii_alphabetic).count();
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    letters == 0 || (letters < NAME_LETTERS && digits >= NUMBER_DIGITS)
}

/// Whether a person may read an emergency number out of a caller ID.
fn is_like_emergency(numbers: &Numbers, shown: &Number) -> bool {
    let digits: String = shown.text.chars().filter(char::is_ascii_digit).collect();
    let has_letters = shown.text.bytes().any(|byte| byte.is_ascii_alphabetic());
    numbers.is_written_as_emergency(shown) || (!has_letters && numbers.is_emergency_text(&digits))
}

/// Keeps of a target what no carrier reaches: SIP addresses that belong to no trunk, and registered phones. Returns whether anything is left. A
/// name that turns out to be a trunk's is judged again once it is looked up.
fn is_behind_no_carrier(target: &mut Target, table: &Table) -> bool {
    match target {
        Target::Uri { uri, destination, .. } => {
            let trunk = trunk_of_uri(uri, table).0.or_else(|| table.trunk_towards(destination));
            trunk.is_none_or(|trunk| trunk.accept_register)
        }
        Target::Trunk { trunk, .. } => trunk.accept_register,
        Target::RingAll(all) => {
            all.retain_mut(|target| is_behind_no_carrier(target, table));
            !all.is_empty()
        }
        Target::Agent(_) | Target::App(_) | Target::Reject(_) => true,
    }
}

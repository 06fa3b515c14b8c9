//! Parties that a program dials, and their targets; `side.rs` has their answers and failures.

use std::collections::VecDeque;
use std::sync::Arc;

use trunkgate_media::detection::DetectionSettings;
use trunkgate_resources::lookups::key::LegId;
use trunkgate_route::{App, CallTarget, Number, NumberingPlan, RoutingTable, TargetSpec, TransferTarget, share};
use trunkgate_sip::has_control;
use trunkgate_story::numbers::plain;
use trunkgate_story::redact;
use trunkgate_twiml::{
    DialPartyStep, DialResult, DialStatus, DialStep, PartyAddress, PartyDetection, ProgramInput, RequestParameter,
    SipHeader, SipUri,
};

use crate::call::program::effects::LowerParts;
use crate::call::program::progress::PartyCall;
use crate::call::program::records::DialRecording;
use crate::call::program::{DialParty, PartyWhisper, ProgramConnection, parameters};
use crate::call::recorders::detection::VerdictReceiver;
use crate::call::search::Search;
use crate::call::search::controller::Controller;
use crate::call::shared::{CallCx, ShownCallerId};
use crate::call::words::uri::trunk_of_uri;
use crate::call::words::webhooks;

/// Twilio's error code for a caller ID that is not allowed.
const CALLER_ID: u16 = 13_214;
/// Scheme of the identities of Voice SDK clients.
const CLIENT: &str = "client:";
/// Maximum length of a caller's name, in bytes.
const NAME_BYTES: usize = 64;
/// Minimum letters of a caller's name that has as many digits as a number ([`NUMBER_DIGITS`]).
const NAME_LETTERS: usize = 4;
/// Minimum digits of a text that may be read as a telephone number.
const NUMBER_DIGITS: usize = 7;

/// The parties that an application may dial: their targets and the caller ID that they see.
#[derive(Debug)]
pub(crate) struct DialledParties<'a> {
    app: &'a App,
    /// Whether a request has replaced the document. The permissions that the configuration gives to the application's
    /// own documents do not apply to it.
    is_redirected: bool,
    search: &'a Search,
}

impl<'a> DialledParties<'a> {
    /// Returns the parties of an application. `is_redirected` is true if a request has replaced its document.
    pub(crate) fn of(app: &'a App, is_redirected: bool, search: &'a Search) -> DialledParties<'a> {
        DialledParties { app, is_redirected, search }
    }

    /// Returns the side of a Dial with its callable parties, and the caller ID that they see.
    ///
    /// # Errors
    /// No party can be called: the input that reports this to the program.
    pub(crate) fn plan(
        &self,
        cx: &mut CallCx<'_>,
        dial: DialStep,
    ) -> Result<(ProgramConnection, Option<Box<ShownCallerId>>), ProgramInput> {
        let id = dial.id;
        let mut parties: Vec<DialParty> = Vec::new();
        for party in dial.parties {
            match self.party(cx, party) {
                Ok(party) => parties.push(party),
                Err(why) => cx.edge.decide(cx.now, cx.call.key, format!("Dial: party not called: {why}")),
            }
        }
        let shown = dial.caller_id.as_deref().and_then(|text| self.caller_id_for(cx, text, &mut parties));
        if parties.is_empty() {
            let result = DialResult::unanswered(DialStatus::Failed);
            return Err(ProgramInput::DialEnded { id, result });
        }
        let further = turns(cx, parties, dial.sequential);
        let record = dial.record.map(|step| Box::new(DialRecording::of(self.app, *step)));
        Ok((ProgramConnection { limit: dial.time_limit, further, record, ..ProgramConnection::new(id, false) }, shown))
    }

    /// Returns the caller ID that parties see, and drops the parties that may not see it. All parties see a caller ID
    /// that the application may show; only parties that no carrier reaches see any other name. The identity of a client
    /// (`client:alice`) is for clients and SIP addresses. An emergency call keeps its caller's own number.
    fn caller_id_for(
        &self,
        cx: &mut CallCx<'_>,
        text: &str,
        parties: &mut Vec<DialParty>,
    ) -> Option<Box<ShownCallerId>> {
        let table = Arc::clone(cx.edge.table());
        let numbers = table.numbers();
        let identity = text.strip_prefix(CLIENT);
        let shown = numbers.normalise_caller(identity.unwrap_or(text), None);
        // The number is sent in its normalised form, not as the document spells it.
        let shown = Number { received: shown.text.clone(), ..shown };
        if identity.is_none() && self.may_show(cx, &shown) {
            return Some(ShownCallerId::public(Arc::new(shown)));
        }
        let is_emergency = |party: &DialParty| numbers.is_emergency(&numbers.normalise_caller(party.call.to(), None));
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
            let app = &self.app.name;
            let why = match identity {
                Some(_) => "is a client identity, which only clients and SIP addresses may see".to_owned(),
                None => format!("is not a number of the edge or of the call, nor in `callers` of the app {app}"),
            };
            let instead = if calls_for_help { "; it is not shown in an emergency call" } else { "" };
            let text = format!("Dial: error {CALLER_ID}: callerId {} {why}{instead}", cx.edge.shown(text));
            cx.edge.decide(cx.now, cx.call.key, text);
        }
        let shown = ShownCallerId { number: Arc::new(shown), is_private: !is_public, is_client: identity.is_some() };
        (!calls_for_help).then(|| Box::new(shown))
    }

    /// Returns whether the application may show a number to carriers: a number of the edge or of the call, or one that
    /// `callers` of the application allows; never an emergency number.
    fn may_show(&self, cx: &CallCx<'_>, number: &Number) -> bool {
        if cx.edge.numbers().is_emergency(number) || has_control(&number.text) {
            return false;
        }
        let (facts, near) = (&cx.call.facts, cx.call.legs.near);
        let of_call = [&facts.caller.number, &facts.called, cx.call.number_of(near)];
        cx.edge.table().is_own_number(&number.text)
            || of_call.iter().any(|own| own.text == number.text)
            || (!self.is_redirected && self.app.may_show(number))
    }

    /// Returns a party with its targets.
    ///
    /// # Errors
    /// The client is unknown, or the number or address may not be called: the reason in plain text.
    fn party(&self, cx: &mut CallCx<'_>, party: DialPartyStep) -> Result<DialParty, String> {
        let DialPartyStep { address, whisper, status, detection } = party;
        let (targets, to, digits) = match address {
            PartyAddress::Number { number, send_digits } => {
                let to = cx.edge.numbers().normalise_caller(&number, None).text;
                (self.number(cx, &number)?, to, send_digits)
            }
            PartyAddress::Client { identity } => {
                let known = cx.edge.table().client(&identity).map(<[TargetSpec]>::to_vec);
                let known = known.ok_or_else(|| format!("the client {} is not in [client]", plain(&identity, 40)))?;
                let found = known.iter().filter_map(|target| cx.edge.target(target)).collect();
                (found, format!("client:{identity}"), None)
            }
            PartyAddress::Sip { uris, headers } => {
                let to = uris.first().map(|uri| redact::sip_uri(&uri.uri)).unwrap_or_default();
                let mut below = |total| cx.edge.random_mut().below(total);
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
        let whisper = hears.then_some(PartyWhisper { digits, document: whisper, to });
        Ok(DialParty { targets, whisper, detection, call })
    }

    /// Returns the targets of a number: those of `connect`, else those of the route for a call from the caller's trunk.
    ///
    /// # Errors
    /// The reason as a clause: the text is not a number, a limit is reached, or no target can be called.
    fn number(&self, cx: &mut CallCx<'_>, text: &str) -> Result<Vec<CallTarget>, String> {
        let Ok(number) = cx.edge.numbers().normalise(text, None) else {
            return Err("a number cannot be called".to_owned());
        };
        let connect = &self.app.connect;
        let numbered = |target: &TargetSpec| {
            let mut target = target.clone();
            if let TargetSpec::Trunk { number: wanted @ None, .. } = &mut target {
                *wanted = Some(number.text.clone());
            }
            target
        };
        if !connect.is_empty() {
            let found: Vec<CallTarget> =
                connect.iter().map(numbered).filter_map(|target| cx.edge.target(&target)).collect();
            return if found.is_empty() {
                Err("`connect` has no target that can be called".to_owned())
            } else {
                Ok(found)
            };
        }
        let near = cx.call.legs.near;
        let Some(trunk) = cx.call.legs[near].trunk.clone() else { return Err("no trunk".to_owned()) };
        cx.charge_named(&trunk, &number, near).map_err(|reason| reason.sentence().to_owned())?;
        let plan = cx.plan_named(&trunk, &number, near).ok_or("no route matches the number")?;
        let found: Vec<CallTarget> = plan.targets.into_iter().filter(CallTarget::is_party).collect();
        if found.is_empty() {
            Err(format!("the route {} has no target that can be called", plan.route.name))
        } else {
            Ok(found)
        }
    }

    /// Returns the target of a SIP address at a trunk, or at a host that the application may call.
    ///
    /// # Errors
    /// The reason as a clause: the address is invalid or forbidden, or belongs to no trunk and is not in `sip_to`.
    pub(crate) fn sip_address(
        &self,
        cx: &mut CallCx<'_>,
        uri: &SipUri,
        common: &[SipHeader],
    ) -> Result<CallTarget, String> {
        let target = self.search.transfer_target(cx, &uri.uri);
        let mut target = target.map_err(|refused| format!("a SIP address: {refused}"))?;
        let CallTarget::Uri { uri: address, destination, headers, .. } = &mut target else {
            return Err("a SIP address is malformed".to_owned());
        };
        *headers = common.iter().chain(&uri.headers).map(|one| (one.name.clone(), one.value.clone())).collect();
        let uri = &*address;
        let (trunk, number) = trunk_of_uri(uri, cx.edge.table());
        let user: Vec<String> = number.into_iter().map(|number| number.text).collect();
        let wanted = match trunk {
            Some(trunk) => TransferTarget::Trunk(&trunk.name, &user),
            None => TransferTarget::Uri(uri, destination, &user),
        };
        match self.app.may_dial(wanted) {
            true => Ok(target),
            false => Err(format!("a SIP address at {} is neither a trunk's nor in `sip_to`", destination.host)),
        }
    }
}

impl ProgramConnection {
    /// Starts the search for the parties that are called next. Returns whether an agent is among them; `None` if no
    /// party is left.
    pub(crate) fn plan_next_parties(&mut self, search: &mut Search) -> Option<bool> {
        let mut parties = self.further.pop_front()?;
        let has_agent = parties.iter().flat_map(|party| &party.targets).any(is_agent);
        let mut targets: Vec<_> = parties.iter_mut().map(|party| std::mem::take(&mut party.targets)).collect();
        self.parties = parties;
        if targets.len() == 1 {
            let targets = targets.pop().unwrap_or_default();
            search.controller = Controller::plan_of(targets);
        } else {
            let first =
                targets.iter_mut().filter(|targets| !targets.is_empty()).map(|targets| targets.remove(0)).collect();
            search.controller = Controller::plan_of(vec![CallTarget::RingAll(first)]);
            search.alternatives = targets;
        }
        Some(has_agent)
    }

    /// Begins the recording of the Dial, if it is due now: with the ringing, or once the parties are connected.
    pub(crate) fn begin_recording(&mut self, cx: &mut CallCx<'_>, lower: &mut LowerParts<'_>, is_connected: bool) {
        if let Some(record) = &mut self.record {
            record.begin(cx, lower, is_connected);
        }
    }

    /// Returns the settings of answering-machine detection for a party and the receiver of the verdict; `None` unless
    /// its Dial requests detection.
    pub(crate) fn wanted_detection(
        &self,
        cx: &CallCx<'_>,
        app: &Arc<App>,
        leg: LegId,
    ) -> Option<(DetectionSettings, Option<VerdictReceiver>)> {
        let is_party = !self.is_stream && cx.call.legs[leg].agent.is_none() && cx.call.legs.callee == Some(leg);
        let party = self.parties.iter().find(|party| is_party && party.call.leg() == Some(leg))?;
        let PartyDetection { settings, receiver } = party.detection.clone()?;
        let app = Arc::clone(app);
        Some((settings, receiver.map(|(url, method)| VerdictReceiver { app, at: (url, webhooks::method(method)) })))
    }

    /// Returns the result of a Dial for its action. `code`: status code of the failure, if the party has sent no final
    /// response.
    pub(crate) fn result(&self, cx: &CallCx<'_>, status: DialStatus, code: Option<u16>) -> DialResult {
        let duration = self.since.map(|since| cx.now.saturating_duration_since(since));
        let sid_of = |leg: LegId| cx.call.legs[leg].sid.as_str();
        let mut called = self.parties.iter().rev().filter_map(|party| Some((party.call.leg()?, &party.call)));
        // Without a connected party, the last one called.
        let party = called.find(|(leg, _)| self.sid.as_deref().is_none_or(|sid| sid == sid_of(*leg)));
        let sid = self.sid.clone().or_else(|| party.map(|(leg, _)| sid_of(leg).to_owned()));
        let of_party = |(leg, call): (LegId, &PartyCall)| {
            let said = cx.call.legs[leg].said().map(|said| said.code).or(code);
            let code = self.since.map(|_| 200).or(said);
            parameters::of_dialled(&cx.call.legs[leg], code, call.extensions())
        };
        let mut further = party.map(of_party).unwrap_or_default();
        let recording = self.record.as_ref().and_then(|record| record.sid.as_deref());
        if let Some((sid, links)) = recording.zip(cx.edge.sessions().recordings.links()) {
            further.push(RequestParameter::new("RecordingUrl", links.of(sid)));
            further.push(RequestParameter::new("RecordingSid", sid));
        }
        DialResult { status, sid, duration, bridged: self.is_bridged, further }
    }
}

/// Returns the turns in which the parties are called: one by one, or all at once. An agent answers at once, so it is
/// called alone, after the parties that ring.
fn turns(cx: &mut CallCx<'_>, mut parties: Vec<DialParty>, is_sequential: bool) -> VecDeque<Vec<DialParty>> {
    if is_sequential || parties.len() < 2 {
        return parties.into_iter().map(|party| vec![party]).collect();
    }
    let agents: Vec<DialParty> = parties.extract_if(.., |party| has_agents_alone(party)).collect();
    let ring_at_once = parties.len() > 1;
    let mut are_left_out = false;
    // A party that is alone keeps all its targets.
    for party in parties.iter_mut().filter(|_| ring_at_once) {
        are_left_out |= party.targets.extract_if(.., |target| is_agent(target)).count() > 0;
    }
    if are_left_out {
        cx.edge.decide(cx.now, cx.call.key, "Dial: agents listed after parties that ring at the same time are skipped");
    }
    if !agents.is_empty() && !parties.is_empty() {
        cx.edge.decide(cx.now, cx.call.key, "Dial: agents are called if no other party answers");
    }
    let at_once = Some(parties).filter(|parties| !parties.is_empty());
    at_once.into_iter().chain(agents.into_iter().map(|party| vec![party])).collect()
}

fn has_agents_alone(party: &DialParty) -> bool {
    !party.targets.is_empty() && party.targets.iter().all(is_agent)
}

fn is_agent(target: &CallTarget) -> bool {
    matches!(target, CallTarget::Agent(_))
}

/// Returns whether a text can be a caller's name for parties that no carrier reaches, by Twilio's rules.
fn is_name(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"+-_.".contains(&byte);
    (1..=NAME_BYTES).contains(&text.len()) && text.bytes().all(is_allowed)
}

/// Returns whether a party of a Dial is a number: `client:` and SIP addresses contain a scheme.
fn is_number(to: &str) -> bool {
    !to.contains(':')
}

/// Returns whether a carrier or a person may read a number out of a name: the name has no letter, or enough digits for
/// a number and very few letters.
fn is_like_number(text: &str) -> bool {
    let letters = text.bytes().filter(u8::is_ascii_alphabetic).count();
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    letters == 0 || (letters < NAME_LETTERS && digits >= NUMBER_DIGITS)
}

/// Returns whether a person may read an emergency number out of a caller ID.
fn is_like_emergency(numbers: &NumberingPlan, shown: &Number) -> bool {
    let digits: String = shown.text.chars().filter(char::is_ascii_digit).collect();
    let has_letters = shown.text.bytes().any(|byte| byte.is_ascii_alphabetic());
    numbers.is_written_as_emergency(shown) || (!has_letters && numbers.is_emergency_text(&digits))
}

/// Keeps only the targets that no carrier reaches: SIP addresses that belong to no trunk, and registered phones.
/// Returns whether any target is left. A host name that resolves to a trunk's address is checked again after its
/// look-up.
fn is_behind_no_carrier(target: &mut CallTarget, table: &RoutingTable) -> bool {
    match target {
        CallTarget::Uri { uri, destination, .. } => {
            let trunk = trunk_of_uri(uri, table).0.or_else(|| table.trunk_towards(destination));
            trunk.is_none_or(|trunk| trunk.accept_register)
        }
        CallTarget::Trunk { trunk, .. } => trunk.accept_register,
        CallTarget::RingAll(all) => {
            all.retain_mut(|target| is_behind_no_carrier(target, table));
            !all.is_empty()
        }
        CallTarget::Agent(_) | CallTarget::App(_) | CallTarget::Reject(_) => true,
    }
}

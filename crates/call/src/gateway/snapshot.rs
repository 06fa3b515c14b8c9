//! Answered calls in plain data, and back: no clock, no index, no shared pointer inside. The socket of an agent cannot be
//! handed on: its name is, and it is connected again, by another stream. A change of the session that is under way (a
//! re-INVITE without its last word) is forgotten: the session is as before, and what still comes of it is refused.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use trunkgate_cookies::CookieJar;
use trunkgate_media::agent::{TrackName, TrackSet};
use trunkgate_media::{Command, EndCounters, EndId, MediaId, RemoteSpec, WireSpec};
use trunkgate_resources::conferences::queues::KeptQueue;
use trunkgate_resources::edge::Edge;
use trunkgate_resources::lookups::index::{Named, Place};
use trunkgate_resources::lookups::key::{CallKey, LegId};
use trunkgate_route::{Agent, Number, TargetSpec, Trunk};
use trunkgate_sip::Party;
use trunkgate_sip::dialog::DialogSnapshot;
use trunkgate_story::few::Few;
use trunkgate_story::numbers::Caller;
use trunkgate_story::quality::Scored;
use trunkgate_story::turns::LegTurnView;
use trunkgate_story::view::RtpView;
use trunkgate_story::wall::unix_ms;

use crate::call::legs::agent_leg::{AgentSide, Holder, Role, Turns};
use crate::call::legs::caller_id::Hops;
use crate::call::legs::dialled::Dialled;
use crate::call::legs::headers::{Brought, CallerIdentity};
use crate::call::legs::hold::{Hold, HoldKind};
use crate::call::legs::leg::{Leg, LegQuality, LegSdp, LegSip, LegState, StreamEnd};
use crate::call::legs::leg_end::{LegEnd, WrittenLegEnd};
use crate::call::legs::list::Legs;
use crate::call::legs::location::Location;
use crate::call::legs::session_timer::{SessionTimer, WrittenTimer};
use crate::call::legs::spoken::Spoken;
use crate::call::legs::written::Written;
use crate::call::media::CallMedia;
use crate::call::media::local::Listener;
use crate::call::negotiation::Bridge;
use crate::call::parts::requested::RequestedSnapshot;
use crate::call::parts::{Call, Parts};
use crate::call::program::snapshot::RunSnapshot;
use crate::call::recorders::Recorders;
use crate::call::recorders::recording::RecordingsSnapshot;
use crate::call::recorders::siprec::RecordingSessions;
use crate::call::shared::listeners::CallerListeners;
use crate::call::shared::story::Story;
use crate::call::shared::{Facts, Shared, ShownCallerId, Times, Unannounced};
use crate::call::story::noted::earlier_totals;
use crate::call::words::proof::Proof;
use crate::call::words::state::State;
use crate::gateway::Gateway;

/// Answered calls in plain data.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GatewaySnapshot {
    /// One entry a call.
    pub calls: Vec<CallSnapshot>,
    /// Media ports held, those of calls that are not in it too: their far ends may go on speaking into them for a while.
    #[serde(default)]
    pub ports: Vec<u16>,
    /// Queues that calls may wait in.
    #[serde(default)]
    pub queues: Vec<KeptQueue>,
}

impl GatewaySnapshot {
    /// Writes down all that a gateway keeps.
    pub(super) fn of(gateway: &Gateway, now: Instant) -> GatewaySnapshot {
        GatewaySnapshot {
            calls: gateway.calls.values().filter_map(|call| call.snapshot(now, &gateway.edge)).collect(),
            ports: gateway.edge.sessions().ports().collect(),
            queues: gateway.edge.sessions().queues.kept(),
        }
    }
}

/// An answered call.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CallSnapshot {
    /// The call's sid.
    pub sid: String,
    route: String,
    caller: NumberSnapshot,
    caller_display: String,
    anonymous: bool,
    called: NumberSnapshot,
    started_ms: u64,
    answered_ms: u64,
    first_ring_ms: Option<u64>,
    failovers: u32,
    max_forwards: u8,
    ring_timeout_ms: Option<u64>,
    headers: Brought,
    #[serde(default)]
    locations: Box<[Location]>,
    #[serde(default)]
    identity: CallerIdentity,
    #[serde(default)]
    shown_as: Option<NumberSnapshot>,
    #[serde(default)]
    is_shown_privately: bool,
    #[serde(default)]
    is_shown_client: bool,
    media: MediaId,
    next_end: u16,
    /// RTP ends of legs that are forgotten.
    ends_left: Vec<EndId>,
    /// The caller's leg, then the callee's where that is a far end.
    legs: Vec<LegSnapshot>,
    wires: Vec<(EndId, EndId, WireSpec)>,
    spoken: Option<Spoken>,
    /// Legs that hold the other one here.
    #[serde(default)]
    holds: Vec<usize>,
    /// Of those, the ones that were requested over HTTP, each with whether it is for a sound.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    requested_holds: Vec<(usize, bool)>,
    /// The agent that had the caller.
    former: Option<FormerAgent>,
    /// The agent whose goodbye the caller would hear.
    goodbye: Option<String>,
    /// The agent whose hold audio it would hear.
    #[serde(default)]
    hold: Option<String>,
    /// The agent that has the caller or had it last, and for how long.
    #[serde(default)]
    holder: Option<(String, u64)>,
    pub(crate) agents: AgentsSnapshot,
    /// Its recordings, and whether it is recorded again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    recordings: Option<RecordingsSnapshot>,
    /// Groups of recording servers that record the call: each begins another session.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    siprec: Vec<String>,
    /// The application that has the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) program: Option<RunSnapshot>,
    /// Cookies that its application has set.
    #[serde(default, skip_serializing_if = "CookieJar::is_empty")]
    cookies: CookieJar,
    /// The application that is notified of the call, and the reports that it has.
    #[serde(default)]
    pub(crate) callback: Option<(String, u32)>,
    /// Of a requested call: its time limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) requested: Option<RequestedSnapshot>,
}

/// Agents that are connected again, by name.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct AgentsSnapshot {
    /// Where a caller goes on that has no far end: its agent or what was being tried, then the targets left.
    pub(crate) targets: Vec<TargetSpec>,
    pub(crate) listeners: Vec<ListenerSnapshot>,
}

/// Who listens.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ListenerSnapshot {
    pub(crate) who: Listener,
    inbound: bool,
    outbound: bool,
    parameters: Vec<(String, String)>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct FormerAgent {
    sid: String,
    name: String,
    end: EndId,
    figures: RtpView,
    #[serde(default)]
    turns: Option<Box<LegTurnView>>,
    #[serde(default)]
    ended: Option<WrittenLegEnd>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct NumberSnapshot {
    text: String,
    is_e164: bool,
    received: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct LegSnapshot {
    sid: String,
    /// Whether the far end called us; of a call that its caller has transferred none is.
    inbound: bool,
    #[serde(default)]
    number: Option<NumberSnapshot>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dialled: Option<Box<Dialled>>,
    trunk: Option<String>,
    /// Of a bare URI, the trunk whose limits it counts with.
    #[serde(default)]
    governs: Option<String>,
    peer: String,
    dialog: DialogSnapshot,
    #[serde(default)]
    takes_update: bool,
    media_ip: IpAddr,
    session_id: u64,
    last_sent: Option<Written>,
    ours: Option<Written>,
    theirs: Option<Written>,
    codec: String,
    latched: Option<SocketAddr>,
    #[serde(default)]
    proof: Proof,
    figures: RtpView,
    scores: Scored,
    #[serde(default)]
    timer: Option<WrittenTimer>,
    ends: Vec<EndSnapshot>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct EndSnapshot {
    index: usize,
    end: EndId,
    bind: SocketAddr,
    remote: Option<RemoteSpec>,
}

impl Call {
    /// Writes its program down.
    fn program_snapshot(&self, now: Instant, edge: &Edge, has_far_end: bool) -> Option<RunSnapshot> {
        RunSnapshot::of(&self.parts.program, (now, self.shared.key), &edge.sessions().queues, has_far_end)
    }

    /// Returns the agent that has the caller or had it last, and for how long, in milliseconds.
    fn holder_snapshot(&self, now: Instant) -> Option<(String, u64)> {
        let holder = self.parts.bridge.media.holder.as_ref()?;
        Some((holder.agent.name.to_string(), millis(now.saturating_duration_since(holder.since))))
    }

    /// In plain data; `None` while it is being set up or ended.
    pub(crate) fn snapshot(&self, now: Instant, edge: &Edge) -> Option<CallSnapshot> {
        if matches!(self.shared.state, State::Searching | State::Ended) {
            return None;
        }
        let is_far = |leg: &LegId| self.shared.legs.get(*leg).is_some_and(|leg| leg.agent.is_none());
        let callee = self.shared.legs.callee.filter(is_far);
        let added: &[EndId] =
            self.parts.bridge.negotiation.renegotiation.as_ref().map_or(&[], |pending| &pending.added);
        // Whether the caller has acknowledged, the endpoint knows.
        let kept = [Some(self.shared.legs.near), callee].into_iter().flatten();
        let mut legs: Vec<LegSnapshot> =
            kept.map(|leg| self.shared.legs[leg].snapshot(now, edge, added)).collect::<Option<_>>()?;
        // The call's own: of one that its caller has transferred, the caller's leg is not kept.
        legs.first_mut()?.sid = self.shared.legs.sid().to_owned();
        let is_kept = |end: EndId| legs.iter().any(|leg| leg.ends.iter().any(|kept| kept.end == end));
        // A called party that hears a document is connected after a restart.
        let parted = self.parts.program.parted_wires().map(|(from, to)| (*from, to));
        let wires = self.parts.bridge.media.wires.iter().filter(|(from, (to, _))| is_kept(*from) && is_kept(*to));
        let wires = wires.chain(parted);
        let had_by = self.shared.legs.callee.or(self.shared.legs.answered_by);
        let (ends, next_end) = edge.sessions().ends(self.shared.session?)?;
        Some(CallSnapshot {
            sid: self.shared.legs.sid().to_owned(),
            route: self.shared.facts.route.to_string(),
            caller: (&self.shared.facts.caller.number).into(),
            caller_display: self.shared.facts.caller.display.clone(),
            anonymous: self.shared.facts.caller.anonymous,
            called: (&self.shared.facts.called).into(),
            started_ms: unix_ms(self.shared.times.started),
            answered_ms: unix_ms(self.shared.times.answered?),
            first_ring_ms: self.shared.times.first_ring.map(millis),
            failovers: self.shared.story.failovers,
            max_forwards: self.shared.facts.max_forwards,
            ring_timeout_ms: self.shared.facts.ring_timeout.map(millis),
            headers: self.shared.facts.headers.clone(),
            locations: self.shared.facts.locations.clone(),
            identity: self.shared.facts.identity.clone(),
            shown_as: self.shared.facts.shown_as.as_ref().map(|shown| (&*shown.number).into()),
            is_shown_privately: self.shared.facts.shown_as.as_ref().is_some_and(|shown| shown.is_private),
            is_shown_client: self.shared.facts.shown_as.as_ref().is_some_and(|shown| shown.is_client),
            media: self.shared.session?,
            next_end,
            ends_left: ends.into_iter().filter(|end| !is_kept(*end)).collect(),
            wires: wires.map(|(from, (to, wire))| (from, *to, wire.clone())).collect(),
            spoken: self.parts.bridge.media.spoken,
            holds: self.shared.legs.holds.iter().map(|(leg, _)| usize::from(leg != self.shared.legs.near)).collect(),
            requested_holds: requested_holds(&self.shared.legs),
            former: had_by.and_then(|leg| FormerAgent::of(&self.shared.legs[leg])),
            goodbye: self.parts.bridge.media.goodbye.as_ref().map(|agent| agent.name.to_string()),
            hold: self.parts.bridge.media.hold.as_ref().map(|agent| agent.name.to_string()),
            holder: self.holder_snapshot(now),
            program: self.program_snapshot(now, edge, callee.is_some()),
            callback: self.parts.program.reports.snapshot(),
            cookies: CookieJar::clone(&edge.apps().cookies.of_call(self.shared.legs.sid())),
            requested: RequestedSnapshot::of(now, self),
            agents: AgentsSnapshot {
                targets: match (self.parts.program.run(), callee) {
                    (Some(run), _) => run.of_caller().targets_behind().collect(),
                    (None, None) => self.parts.search.targets_left(&self.shared),
                    (None, Some(_)) => Vec::new(),
                },
                listeners: listeners(&self.shared.legs),
            },
            recordings: self.parts.recorders.recordings.snapshot(edge.date(now)),
            siprec: self.parts.recorders.siprec.groups().map(ToString::to_string).collect(),
            legs,
        })
    }

    /// From plain data: dialogs, ports and look-ups are entered, and the media worker gets its commands again.
    pub(crate) fn restore(now: Instant, edge: &mut Edge, key: CallKey, snapshot: CallSnapshot) -> Call {
        edge.resume_session(snapshot.media, key, snapshot.next_end);
        let (callee, times) = ((snapshot.legs.len() > 1).then_some(LegId::nth(1)), snapshot.times(now));
        let (display, anonymous) = (snapshot.caller_display, snapshot.anonymous);
        let caller = Caller { number: snapshot.caller.into(), display, anonymous };
        let restored = |(at, leg)| Leg::restore(now, edge, Place { key, leg: LegId::nth(at) }, snapshot.media, leg);
        let mut legs: Vec<Leg> = snapshot.legs.into_iter().enumerate().map(restored).collect();
        snapshot.ends_left.into_iter().for_each(|end| edge.remove_end(snapshot.media, end));
        let holds = restored_holds(&snapshot.holds, &snapshot.requested_holds, legs.len());
        let wires = restored_wires(edge, snapshot.media, snapshot.wires);
        if callee.is_none() {
            legs.extend(snapshot.former.map(|former| former.restore(now, edge)));
        }
        let program = snapshot.program.and_then(|program| program.restore(now, edge)).unwrap_or_default();
        let program = program.with_reports(edge, snapshot.callback);
        edge.apps_mut().cookies.restore(&snapshot.sid, snapshot.cookies);
        begin_again(now, edge, key, snapshot.sid);
        edge.admission_mut().begin(now, legs.first().map_or("", Leg::trunk_name));
        let (origin, requested) = snapshot.requested.map(|requested| requested.restore(now)).unzip();
        let shared = Shared {
            key,
            state: if callee.is_some() { State::Answered } else { State::Rerouting },
            facts: Facts {
                caller,
                called: snapshot.called.into(),
                // No target is called by them any more.
                number_parameters: Box::default(),
                headers: snapshot.headers,
                locations: snapshot.locations,
                identity: snapshot.identity,
                max_forwards: snapshot.max_forwards,
                hops: Hops::default(),
                route: Arc::from(snapshot.route),
                ring_timeout: snapshot.ring_timeout_ms.map(Duration::from_millis),
                shown_as: shown_as(snapshot.shown_as, snapshot.is_shown_privately, snapshot.is_shown_client),
                answered_elsewhere: false,
                referral: None,
                record: snapshot.recordings.as_ref().is_some_and(RecordingsSnapshot::goes_on),
                unannounced: Unannounced::None,
                is_incomplete: false,
            },
            times,
            deadlines: Few::default(),
            ending: None,
            is_programmed: program.is_running(),
            awaits_verdict: false,
            origin,
            legs: Legs::restored(key, legs, callee, holds),
            session: Some(snapshot.media),
            listeners: CallerListeners::default(),
            story: Story { failovers: snapshot.failovers, ..Story::default() },
        };
        let bridge = Bridge {
            media: CallMedia {
                wires,
                spoken: snapshot.spoken,
                goodbye: snapshot.goodbye.and_then(|name| edge.table().agent(&name).cloned()),
                hold: snapshot.hold.and_then(|name| edge.table().agent(&name).cloned()),
                holder: Holder::restore(now, edge, snapshot.holder),
                ..CallMedia::default()
            },
            ..Bridge::default()
        };
        let recorders = Recorders {
            recordings: snapshot.recordings.map(RecordingsSnapshot::restore).unwrap_or_default(),
            siprec: RecordingSessions::restored(&snapshot.siprec),
            ..Recorders::default()
        };
        Call { shared, parts: Parts { bridge, recorders, program, requested, ..Parts::default() } }
    }
}

/// Enters a restored call's SID, and begins its trace.
fn begin_again(now: Instant, edge: &mut Edge, key: CallKey, sid: String) {
    edge.begin_trace(now, key, &sid);
    edge.index_mut().sids.insert(sid, key);
    edge.decide(now, key, "the edge was restarted");
}

impl CallSnapshot {
    fn times(&self, now: Instant) -> Times {
        let date = |ms| -> SystemTime { UNIX_EPOCH + Duration::from_millis(ms) };
        Times {
            began: now,
            started: date(self.started_ms),
            first_ring: self.first_ring_ms.map(Duration::from_millis),
            answered: Some(date(self.answered_ms)),
            ended: None,
        }
    }
}

impl ListenerSnapshot {
    fn of(side: &AgentSide) -> Option<ListenerSnapshot> {
        let Role::Listen { tracks, parameters } = &side.part else { return None };
        let (inbound, outbound) = (tracks.has(TrackName::Inbound), tracks.has(TrackName::Outbound));
        Some(ListenerSnapshot { who: Listener::of(&side.agent), inbound, outbound, parameters: parameters.clone() })
    }

    pub(crate) fn part(&self) -> Role {
        let tracks = match (self.inbound, self.outbound) {
            (true, false) => TrackSet::Inbound,
            (false, true) => TrackSet::Outbound,
            (true, true) | (false, false) => TrackSet::Both,
        };
        Role::Listen { tracks, parameters: self.parameters.clone() }
    }
}

impl FormerAgent {
    fn of(leg: &Leg) -> Option<FormerAgent> {
        let side = leg.agent.as_ref()?;
        let (sid, name) = (leg.sid.clone(), side.agent.name.to_string());
        let ended = leg.shown_end().map(WrittenLegEnd::from);
        Some(FormerAgent { sid, name, end: side.end, figures: leg.rtp(), turns: side.turns.view(), ended })
    }

    /// Its leg, ended: for the call's record.
    fn restore(self, now: Instant, edge: &Edge) -> Leg {
        let agent = edge.table().agent(&self.name).cloned().unwrap_or_else(|| Arc::new(Agent::at(&self.name, "")));
        let end = (self.end, Arc::new(EndCounters::default()));
        let side = AgentSide::new(agent, end, self.turns.map_or(Turns::None, Turns::Former), now, Role::Talk);
        let end = Some(LegEnd::restore(self.ended));
        let quality = LegQuality { earlier: Some(Box::new(self.figures)), ..LegQuality::default() };
        Leg { state: LegState::Ended, end, quality, ..Leg::of_agent(self.sid, side) }
    }
}

/// A duration as it is written down.
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Leg {
    /// `added`: ends that are not agreed upon yet.
    fn snapshot(&self, now: Instant, edge: &Edge, added: &[EndId]) -> Option<LegSnapshot> {
        Some(LegSnapshot {
            sid: self.sid.clone(),
            inbound: self.inbound,
            number: self.number.as_deref().map(NumberSnapshot::from),
            dialled: self.sip.dialled.clone(),
            trunk: self.trunk.as_ref().map(|t| t.name.to_string()),
            governs: self.governs.as_ref().map(|t| t.name.to_string()),
            peer: self.peer.clone(),
            // Every process numbers parties for itself; the trunk's name stands for it.
            dialog: DialogSnapshot { party: Party(0), ..edge.endpoint().snapshot_dialog(self.sip.dialog?)? },
            media_ip: self.sdp.media_ip,
            session_id: self.sdp.session_id,
            last_sent: self.sdp.last_sent.clone(),
            ours: self.sdp.ours.clone(),
            theirs: self.sdp.theirs.clone(),
            takes_update: self.sip.takes_update,
            codec: self.codec.clone(),
            latched: self.latched,
            proof: self.proof.clone(),
            figures: self.figures(),
            scores: self.scores(),
            timer: self.timer.written(now, edge),
            ends: self
                .ends
                .iter()
                .filter(|e| !added.contains(&e.end))
                .map(|e| EndSnapshot { index: e.index, end: e.end, bind: e.bind, remote: e.remote.clone() })
                .collect(),
        })
    }

    fn restore(now: Instant, edge: &mut Edge, at: Place, media: MediaId, snapshot: LegSnapshot) -> Leg {
        // A trunk that the configuration no longer has is kept by name for this call.
        let known = |name: &str| edge.table().trunk(name).cloned().unwrap_or_else(|| Arc::new(Trunk::named(name)));
        let (trunk, governs) = (snapshot.trunk.as_deref().map(known), snapshot.governs.as_deref().map(known));
        let party = edge.party(snapshot.trunk.as_deref().unwrap_or_default());
        let flow = snapshot.dialog.flow;
        let call_id = snapshot.dialog.call_id.clone();
        let dialog = edge.endpoint_mut().restore_dialog(DialogSnapshot { party, ..snapshot.dialog });
        edge.index_mut().dialogs.insert(dialog, at);
        let named = Named { at, party, trunk: trunk.clone(), remote: flow.remote.ip() };
        edge.index_mut().enter(call_id.as_bytes(), named);
        if let Some(trunk) = trunk.as_ref().or(governs.as_ref()) {
            edge.resume_trunk_call(&trunk.name);
        }
        let mut ends = Vec::new();
        for end in snapshot.ends {
            let counters = edge.resume_end(media, end.end, end.bind);
            let remote = end.remote.map(|remote| RemoteSpec { withheld: false, ..remote });
            if let Some(remote) = remote.clone() {
                edge.media(media, Command::SetRemote { end: end.end, remote });
            }
            ends.push(StreamEnd { index: end.index, end: end.end, bind: end.bind, counters, remote, is_bound: false });
        }
        let mut leg = Leg {
            trunk,
            governs,
            peer: snapshot.peer,
            inbound: snapshot.inbound,
            number: snapshot.number.map(|number| Box::new(number.into())),
            state: LegState::Answered,
            sip: LegSip {
                call_id,
                dialog: Some(dialog),
                heard: true,
                dialled: snapshot.dialled,
                takes_update: snapshot.takes_update,
                ..LegSip::default()
            },
            sdp: LegSdp {
                media_ip: snapshot.media_ip,
                session_id: snapshot.session_id,
                last_sent: snapshot.last_sent,
                ours: snapshot.ours,
                theirs: snapshot.theirs,
            },
            ends,
            codec: snapshot.codec,
            latched: snapshot.latched,
            proof: snapshot.proof.restored(),
            quality: LegQuality {
                // Counters begin with the process.
                counted: earlier_totals(Some(&snapshot.figures)),
                earlier: Some(Box::new(snapshot.figures)),
                scores: snapshot.scores,
                ..LegQuality::default()
            },
            timer: SessionTimer::restore(now, edge, snapshot.timer),
            ..Leg::new(snapshot.sid, party, flow, snapshot.media_ip, snapshot.session_id)
        };
        leg.srtp = leg.suite();
        leg
    }
}

/// Returns the listeners of a call that have not ended.
fn listeners(legs: &Legs) -> Vec<ListenerSnapshot> {
    let live = legs.iter().filter(|leg| leg.state != LegState::Ended);
    live.filter_map(|leg| ListenerSnapshot::of(leg.agent.as_ref()?)).collect()
}

/// Legs that hold the other one here; what plays to that is made again.
fn restored_holds(holds: &[usize], requested: &[(usize, bool)], legs: usize) -> Few<LegId, Hold> {
    let mut restored = Few::default();
    for leg in holds.iter().copied().filter(|leg| *leg < legs) {
        let kind = match requested.iter().find(|(of, _)| *of == leg) {
            Some((_, true)) => HoldKind::Sound,
            Some((_, false)) => HoldKind::Requested,
            None => HoldKind::Party,
        };
        restored.insert(LegId::nth(leg), Hold::of(kind));
    }
    restored
}

/// Holds that were requested over HTTP: the place of the leg in the snapshot, and whether it is for a sound.
fn requested_holds(legs: &Legs) -> Vec<(usize, bool)> {
    let requested = legs.holds.iter().filter(|(_, hold)| hold.kind != HoldKind::Party);
    requested.map(|(leg, hold)| (usize::from(leg != legs.near), hold.kind == HoldKind::Sound)).collect()
}

/// Tells the worker once more who hears whom.
fn restored_wires(
    edge: &mut Edge,
    media: MediaId,
    written: Vec<(EndId, EndId, WireSpec)>,
) -> Few<EndId, (EndId, WireSpec)> {
    let mut wires = Few::default();
    for (from, to, wire) in written {
        edge.media(media, Command::Wire { from, to, wire: wire.clone() });
        wires.insert(from, (to, wire));
    }
    wires
}

/// Returns the caller ID that parties see.
fn shown_as(number: Option<NumberSnapshot>, is_private: bool, is_client: bool) -> Option<Box<ShownCallerId>> {
    let number = Arc::new(number?.into());
    Some(Box::new(ShownCallerId { number, is_private, is_client }))
}

impl From<&Number> for NumberSnapshot {
    fn from(number: &Number) -> NumberSnapshot {
        let Number { text, is_e164, received } = number.clone();
        NumberSnapshot { text, is_e164, received }
    }
}

impl From<NumberSnapshot> for Number {
    fn from(number: NumberSnapshot) -> Number {
        let NumberSnapshot { text, is_e164, received } = number;
        Number { text, is_e164, received }
    }
}

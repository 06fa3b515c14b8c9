//! A leg of an answered call in plain data, and back: its dialog and its look-ups are entered, and the media worker gets its ends again.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use trunkgate_media::{Command, EndCounters, EndId, MediaId, RemoteSpec};
use trunkgate_resources::edge::Edge;
use trunkgate_resources::lookups::index::{Named, Place};
use trunkgate_route::{Agent, Number, Trunk};
use trunkgate_sip::dialog::DialogSnapshot;
use trunkgate_sip::{Flow, Party};
use trunkgate_story::quality::Scored;
use trunkgate_story::series::Totals;
use trunkgate_story::turns::LegTurnView;
use trunkgate_story::view::RtpView;

use crate::call::legs::agent_leg::{AgentSide, Role, Turns};
use crate::call::legs::dialled::Dialled;
use crate::call::legs::leg::{Leg, LegQuality, LegSdp, LegSip, LegState, StreamEnd};
use crate::call::legs::leg_end::LegEnd;
use crate::call::legs::session_timer::{SessionTimer, WrittenTimer};
use crate::call::words::proof::Proof;

/// An answered leg of a remote party in plain data. It does not carry requests that are open in its dialog, faults of its audio, and the
/// counters of its ends, of which the figures are left.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct LegSnapshot {
    pub(super) sid: String,
    /// Whether the remote party called us; of a call that its caller has transferred none is.
    inbound: bool,
    number: Option<Box<Number>>,
    trunk: Option<String>,
    /// Of a bare URI, the trunk whose limits it counts with.
    governs: Option<String>,
    peer: String,
    sip: LegSipSnapshot,
    sdp: LegSdp,
    codec: String,
    latched: Option<SocketAddr>,
    proof: Proof,
    figures: RtpView,
    scores: Scored,
    timer: Option<WrittenTimer>,
    pub(super) ends: Vec<EndSnapshot>,
}

/// Dialog of a leg in plain data. It does not carry requests that are open, and addresses that only the view of the leg has.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct LegSipSnapshot {
    dialled: Option<Box<Dialled>>,
    dialog: DialogSnapshot,
    takes_update: bool,
}

/// A media end in plain data. It does not carry its counters.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct EndSnapshot {
    index: usize,
    pub(super) end: EndId,
    bind: SocketAddr,
    remote: Option<RemoteSpec>,
}

/// An agent that had the caller, in plain data: an ended leg for the record. It does not carry the agent's stream, and how it failed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct FormerAgentSnapshot {
    sid: String,
    name: String,
    end: EndId,
    figures: RtpView,
    turns: Option<Box<LegTurnView>>,
    ended: Option<LegEnd>,
}

impl Leg {
    /// Writes a leg with a confirmed dialog down; `None` for any other. `under_way`: ends that are not agreed upon yet.
    pub(super) fn snapshot(&self, now: Instant, edge: &Edge, under_way: &[EndId]) -> Option<LegSnapshot> {
        let Leg {
            sid,
            trunk,
            governs,
            peer,
            inbound,
            number,
            timer,
            ends,
            codec,
            latched,
            proof,
            sip,
            sdp,
            // In figures and scores.
            quality: _,
            // The trunk's name, the dialog and the descriptions bring these again.
            party: _,
            flow: _,
            srtp: _,
            converted_to: _,
            // Of legs that are no side of the call any more.
            agent: _,
            state: _,
            end: _,
            rejection: _,
            has_left: _,
            named_to: _,
            rolled: _,
        } = self;
        let ends = ends.iter().filter(|end| !under_way.contains(&end.end)).map(StreamEnd::snapshot);
        Some(LegSnapshot {
            sid: sid.clone(),
            inbound: *inbound,
            number: number.clone(),
            trunk: trunk.as_ref().map(|trunk| trunk.name.to_string()),
            governs: governs.as_ref().map(|trunk| trunk.name.to_string()),
            peer: peer.clone(),
            sip: sip.snapshot(edge)?,
            sdp: sdp.clone(),
            codec: codec.clone(),
            latched: *latched,
            proof: proof.clone(),
            figures: self.figures(),
            scores: self.scores(),
            timer: timer.written(now, edge),
            ends: ends.collect(),
        })
    }

    /// Makes a leg again at its place in the look-ups.
    pub(super) fn restore(now: Instant, edge: &mut Edge, at: Place, media: MediaId, snapshot: LegSnapshot) -> Leg {
        let LegSnapshot {
            sid,
            inbound,
            number,
            trunk,
            governs,
            peer,
            sip,
            sdp,
            codec,
            latched,
            proof,
            figures,
            scores,
            timer,
            ends,
        } = snapshot;
        // A trunk that the configuration no longer has is kept by name for this call.
        let known = |name: String| edge.table().trunk(&name).cloned().unwrap_or_else(|| Arc::new(Trunk::named(&name)));
        let (trunk, governs) = (trunk.map(known), governs.map(known));
        let party = edge.party(trunk.as_ref().map_or("", |trunk| &trunk.name));
        let (sip, flow) = LegSip::restore(edge, at, party, sip);
        let named = Named { at, party, trunk: trunk.clone(), remote: flow.remote.ip() };
        edge.index_mut().enter(sip.call_id.as_bytes(), named);
        if let Some(trunk) = trunk.as_ref().or(governs.as_ref()) {
            edge.resume_trunk_call(&trunk.name);
        }
        let ends = ends.into_iter().map(|end| StreamEnd::restore(edge, media, end)).collect();
        let quality = LegQuality {
            // Counters begin with the process.
            counted: Totals::of_earlier(&figures),
            earlier: Some(Box::new(figures)),
            scores,
            ..LegQuality::default()
        };
        let (proof, timer) = (proof.restored(), SessionTimer::restore(now, edge, timer));
        let new = Leg::new(sid, party, flow, sdp.media_ip, sdp.session_id);
        let leg = Leg {
            trunk,
            governs,
            peer,
            inbound,
            number,
            state: LegState::Answered,
            timer,
            ends,
            codec,
            latched,
            proof,
            sip,
            sdp,
            quality,
            ..new
        };
        Leg { srtp: leg.suite(), ..leg }
    }

    /// Writes an agent's leg down as that of a former agent; `None` for any other.
    pub(super) fn former_snapshot(&self) -> Option<FormerAgentSnapshot> {
        let side = self.agent.as_ref()?;
        let (sid, name) = (self.sid.clone(), side.agent.name.to_string());
        let (figures, turns, ended) = (self.rtp(), side.turns.view(), self.shown_end());
        Some(FormerAgentSnapshot { sid, name, end: side.end, figures, turns, ended })
    }

    /// Makes the leg of a former agent again, ended.
    pub(super) fn restore_former(now: Instant, edge: &Edge, snapshot: FormerAgentSnapshot) -> Leg {
        let FormerAgentSnapshot { sid, name, end, figures, turns, ended } = snapshot;
        let agent = edge.table().agent(&name).cloned().unwrap_or_else(|| Arc::new(Agent::at(&name, "")));
        let end = (end, Arc::new(EndCounters::default()));
        let side = AgentSide::new(agent, end, turns.map_or(Turns::None, Turns::Former), now, Role::Talk);
        let quality = LegQuality { earlier: Some(Box::new(figures)), ..LegQuality::default() };
        let end = ended.or(Some(LegEnd::BY_RESTART));
        Leg { state: LegState::Ended, end, quality, ..Leg::of_agent(sid, side) }
    }
}

impl LegSip {
    fn snapshot(&self, edge: &Edge) -> Option<LegSipSnapshot> {
        let LegSip {
            dialled,
            dialog,
            takes_update,
            call_id: _,
            server: _,
            invite: _,
            unsent: _,
            bye: _,
            heard: _,
            awaits_tls: _,
            contact: _,
            record_route: _,
        } = self;
        // Every process numbers parties for itself; the trunk's name stands for it.
        let dialog = DialogSnapshot { party: Party(0), ..edge.endpoint().snapshot_dialog((*dialog)?)? };
        Some(LegSipSnapshot { dialled: dialled.clone(), dialog, takes_update: *takes_update })
    }

    fn restore(edge: &mut Edge, at: Place, party: Party, snapshot: LegSipSnapshot) -> (LegSip, Flow) {
        let LegSipSnapshot { dialled, dialog, takes_update } = snapshot;
        let (flow, call_id) = (dialog.flow, dialog.call_id.clone());
        let dialog = edge.endpoint_mut().restore_dialog(DialogSnapshot { party, ..dialog });
        edge.index_mut().dialogs.insert(dialog, at);
        let dialog = Some(dialog);
        (LegSip { call_id, dialog, heard: true, dialled, takes_update, ..LegSip::default() }, flow)
    }
}

impl StreamEnd {
    fn snapshot(&self) -> EndSnapshot {
        let StreamEnd { index, end, bind, remote, counters: _, is_bound: _ } = self;
        EndSnapshot { index: *index, end: *end, bind: *bind, remote: remote.clone() }
    }

    fn restore(edge: &mut Edge, media: MediaId, snapshot: EndSnapshot) -> StreamEnd {
        let EndSnapshot { index, end, bind, remote } = snapshot;
        let counters = edge.resume_end(media, end, bind);
        let remote = remote.map(|remote| RemoteSpec { withheld: false, ..remote });
        if let Some(remote) = remote.clone() {
            edge.media(media, Command::SetRemote { end, remote });
        }
        StreamEnd { index, end, bind, counters, remote, is_bound: false }
    }
}

//! Snapshot of a leg of an answered call, and its restoration: registers its dialog and gives its ends to the media
//! worker.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use trunkgate_media::{EndCounters, EndId, MediaCommand, MediaId, RemoteSpec, SrtpSpec};
use trunkgate_resources::edge::Edge;
use trunkgate_resources::lookups::index::{CallIdOwner, LegRef};
use trunkgate_route::{Agent, Number, Trunk};
use trunkgate_sip::dialog::DialogSnapshot;
use trunkgate_sip::{Flow, SipPartyId};
use trunkgate_story::quality::ScoreSum;
use trunkgate_story::series::LegTotals;
use trunkgate_story::turns::LegTurnView;
use trunkgate_story::view::RtpView;

use crate::call::legs::agent_leg::{AgentRole, AgentSide, AgentTurnTimes};
use crate::call::legs::dialled::OutboundCall;
use crate::call::legs::leg::{Leg, LegQuality, LegSdp, LegSip, LegState, StreamEnd};
use crate::call::legs::leg_end::LegEnd;
use crate::call::legs::session_timer::{SessionTimer, SessionTimerSnapshot};
use crate::call::legs::srtp::SrtpHistory;
use crate::call::words::crash_gap::CrashGap;
use crate::call::words::proof::Proof;

/// Answered leg of a remote party in plain data. Open requests in its dialog, faults of its audio and the live counters
/// of its ends are not included; the figures are.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct LegSnapshot {
    pub(super) sid: String,
    /// True if the remote party called the edge; false for all legs of a transferred call.
    inbound: bool,
    number: Option<Box<Number>>,
    trunk: Option<String>,
    /// Trunk with the limits against which a bare URI counts.
    governs: Option<String>,
    peer: String,
    sip: LegSipSnapshot,
    sdp: LegSdp,
    codec: String,
    latched: Option<SocketAddr>,
    proof: Proof,
    figures: RtpView,
    scores: ScoreSum,
    timer: Option<SessionTimerSnapshot>,
    pub(super) ends: Vec<EndSnapshot>,
    #[serde(default)]
    srtp_history: SrtpHistory,
}

/// Dialog of a leg in plain data. Open requests, and addresses that are only displayed, are not included.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct LegSipSnapshot {
    dialled: Option<Box<OutboundCall>>,
    dialog: DialogSnapshot,
    takes_update: bool,
}

/// Media end in plain data, without its counters.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct EndSnapshot {
    index: usize,
    pub(super) end: EndId,
    bind: SocketAddr,
    remote: Option<RemoteSpec>,
}

/// Agent that had the caller, in plain data: an ended leg for the record. Its stream and its failure are not included.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct FormerAgentSnapshot {
    sid: String,
    name: String,
    end: EndId,
    figures: RtpView,
    turns: Option<Box<LegTurnView>>,
    ended: Option<LegEnd>,
}

impl LegSnapshot {
    /// Prepares the SRTP state of the leg to continue in this process. The sequence numbers of the remote party may
    /// have rolled over up to `rolled` times.
    pub(super) fn resume_srtp(&mut self, rolled: u64) {
        self.srtp_history.resume(rolled);
    }

    /// Skips CSeq numbers, versions of descriptions and SRTP sources that crashed processes may have used.
    pub(super) fn skip_numbers(&mut self, gap: CrashGap) {
        self.sip.dialog.skip_cseqs(gap.margins());
        self.sdp.skip_versions(gap);
        self.srtp_history.skip_sources(gap);
    }
}

impl Leg {
    /// Returns a leg with a confirmed dialog in plain data; `None` for any other. `under_way` are ends that are not
    /// agreed on yet.
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
            srtp_history,
            // Stored as figures and scores.
            quality: _,
            // Derived again from the trunk's name, the dialog and the descriptions.
            party: _,
            flow: _,
            srtp: _,
            converted_to: _,
            // Relevant only for legs that are no longer a side of the call.
            agent: _,
            state: _,
            end: _,
            rejection: _,
            has_left: _,
            named_to: _,
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
            srtp_history: *srtp_history,
        })
    }

    /// Restores a leg, and enters its dialog and Call-ID in the look-ups as leg `at`.
    pub(super) fn restore(now: Instant, edge: &mut Edge, at: LegRef, media: MediaId, snapshot: LegSnapshot) -> Leg {
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
            srtp_history,
        } = snapshot;
        // A trunk missing from the configuration is kept by name for this call.
        let known = |name: String| edge.table().trunk(&name).cloned().unwrap_or_else(|| Arc::new(Trunk::named(&name)));
        let (trunk, governs) = (trunk.map(known), governs.map(known));
        let party = edge.party(trunk.as_ref().map_or("", |trunk| &trunk.name));
        let (sip, flow) = LegSip::restore(edge, at, party, sip);
        let named = CallIdOwner { at, party, trunk: trunk.clone(), remote: flow.remote.ip() };
        edge.index_mut().enter(sip.call_id.as_bytes(), named);
        let ends = ends.into_iter().map(|end| StreamEnd::restore(edge, media, end, (&sid, srtp_history))).collect();
        let quality = LegQuality {
            // Live counters start at zero in a new process.
            counted: LegTotals::of_earlier(&figures),
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
            srtp_history,
            ..new
        };
        Leg { srtp: leg.suite(), ..leg }
    }

    /// Returns the leg of an agent as a former agent in plain data; `None` for other legs.
    pub(super) fn former_snapshot(&self) -> Option<FormerAgentSnapshot> {
        let side = self.agent.as_ref()?;
        let (sid, name) = (self.sid.clone(), side.agent.name.to_string());
        let (figures, turns, ended) = (self.rtp(), side.turns.view(), self.shown_end());
        Some(FormerAgentSnapshot { sid, name, end: side.end, figures, turns, ended })
    }

    /// Restores the leg of a former agent, ended.
    pub(super) fn restore_former(now: Instant, edge: &Edge, snapshot: FormerAgentSnapshot) -> Leg {
        let FormerAgentSnapshot { sid, name, end, figures, turns, ended } = snapshot;
        let agent = edge.table().agent(&name).cloned().unwrap_or_else(|| Arc::new(Agent::at(&name, "")));
        let end = (end, Arc::new(EndCounters::default()));
        let side = AgentSide::new(
            agent,
            end,
            turns.map_or(AgentTurnTimes::None, AgentTurnTimes::Former),
            now,
            AgentRole::Talk,
        );
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
        // Party ids differ between processes; the trunk's name replaces them.
        let dialog = DialogSnapshot { party: SipPartyId(0), ..edge.endpoint().snapshot_dialog((*dialog)?)? };
        Some(LegSipSnapshot { dialled: dialled.clone(), dialog, takes_update: *takes_update })
    }

    fn restore(edge: &mut Edge, at: LegRef, party: SipPartyId, snapshot: LegSipSnapshot) -> (LegSip, Flow) {
        let LegSipSnapshot { dialled, dialog, takes_update } = snapshot;
        let (flow, call_id) = (edge.kept_flow(dialog.flow), dialog.call_id.clone());
        let dialog = edge.endpoint_mut().restore_dialog(DialogSnapshot { party, flow, ..dialog });
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

    fn restore(
        edge: &mut Edge,
        media: MediaId,
        snapshot: EndSnapshot,
        (sid, history): (&str, SrtpHistory),
    ) -> StreamEnd {
        let EndSnapshot { index, end, bind, remote } = snapshot;
        let counters = edge.resume_end(media, end, bind);
        // A session that has crossed from another process keeps its own indices.
        let (rolled, own_sources) = (history.rolled(), history.own_sources(sid, index));
        let resumed = |srtp: Box<SrtpSpec>| Box::new(SrtpSpec { rolled, own_sources, ..*srtp });
        let remote = remote.map(|remote| RemoteSpec { withheld: false, srtp: remote.srtp.map(resumed), ..remote });
        if let Some(remote) = remote.clone() {
            edge.media(media, MediaCommand::SetRemote { end, remote });
        }
        StreamEnd { index, end, bind, counters, remote, is_bound: false }
    }
}

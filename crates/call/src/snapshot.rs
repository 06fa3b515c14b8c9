//! Answered calls in plain data, and back: no clock, no index, no shared pointer inside. A call with an agent is not in
//! it: its socket cannot be handed on, and who comes back for the caller would have nobody to bring. A call between
//! trunks is, without those who listen to it.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use trunkgate_media::{Command, EndId, MediaId, RemoteSpec, WireSpec};
use trunkgate_route::{Number, Trunk};
use trunkgate_sdp::Description;
use trunkgate_sip::Party;
use trunkgate_sip::dialog::DialogSnapshot;

use crate::call::{CALLER, Call, CallKey, State, Times};
use crate::controller::Controller;
use crate::edge::Edge;
use crate::index::{Named, Place};
use crate::leg::{Leg, LegState, StreamEnd};
use crate::numbers::Caller;
use crate::quality::{Scored, add_counters};
use crate::trace::Trace;
use crate::view::RtpView;
use crate::wall::unix_ms;

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
    media: MediaId,
    /// The caller's leg, then the callee's.
    legs: [LegSnapshot; 2],
    wires: Vec<(EndId, EndId, WireSpec)>,
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
    trunk: Option<String>,
    peer: String,
    dialog: DialogSnapshot,
    media_ip: IpAddr,
    session_id: u64,
    last_sent: Option<Written>,
    ours: Option<Written>,
    theirs: Option<Written>,
    codec: String,
    latched: Option<SocketAddr>,
    figures: RtpView,
    scores: Scored,
    ends: Vec<EndSnapshot>,
}

/// A session description as text. It may hold keys, which `Debug` never shows.
#[derive(Clone, Serialize, Deserialize)]
struct Written(String);

impl fmt::Debug for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Written(…)")
    }
}

impl Written {
    fn new(description: &Description) -> Written {
        Written(description.to_string())
    }
    fn read(&self) -> Option<Description> {
        Description::parse(self.0.as_bytes()).ok()
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct EndSnapshot {
    index: usize,
    end: EndId,
    bind: SocketAddr,
    remote: Option<RemoteSpec>,
}

impl Call {
    /// In plain data; `None` while it is being set up, changed or ended.
    pub(crate) fn snapshot(&self, edge: &Edge) -> Option<CallSnapshot> {
        // Whether the caller has acknowledged, the endpoint knows.
        if self.state != State::Answered || self.renegotiation.is_some() || self.late.is_some() {
            return None;
        }
        let callee = &self.legs[self.callee?];
        Some(CallSnapshot {
            sid: self.sid().to_owned(),
            route: self.route.to_string(),
            caller: (&self.caller.number).into(),
            caller_display: self.caller.display.clone(),
            anonymous: self.caller.anonymous,
            called: (&self.called).into(),
            started_ms: unix_ms(self.times.started),
            answered_ms: unix_ms(self.times.answered?),
            first_ring_ms: self.times.first_ring.map(|d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX)),
            failovers: self.failovers,
            media: self.media?,
            legs: [self.legs[CALLER].snapshot(edge)?, callee.snapshot(edge)?],
            wires: self.wires.iter().map(|(from, (to, wire))| (*from, *to, wire.clone())).collect(),
        })
    }

    /// From plain data: dialogs, ports and look-ups are entered, and the media worker told anew.
    pub(crate) fn restore(now: Instant, edge: &mut Edge, key: CallKey, snapshot: CallSnapshot) -> Call {
        edge.resume_session(snapshot.media, key);
        let mut legs = Vec::new();
        for (at, leg) in snapshot.legs.into_iter().enumerate() {
            legs.push(Leg::restore(edge, Place { key, leg: at }, snapshot.media, leg));
        }
        let mut wires = BTreeMap::new();
        for (from, to, wire) in snapshot.wires {
            edge.media(snapshot.media, Command::Wire { from, to, wire: wire.clone() });
            wires.insert(from, (to, wire));
        }
        edge.index.sids.insert(snapshot.sid, key);
        edge.traces.insert(key, Trace::new(now));
        edge.decide(now, key, "the edge was restarted");
        edge.admission.begin();
        let date = |ms| -> SystemTime { UNIX_EPOCH + Duration::from_millis(ms) };
        Call {
            key,
            state: State::Answered,
            legs,
            callee: Some(1),
            caller: Caller {
                number: snapshot.caller.into(),
                display: snapshot.caller_display,
                anonymous: snapshot.anonymous,
            },
            called: snapshot.called.into(),
            max_forwards: 0,
            offer: None,
            late: None,
            route: Arc::from(snapshot.route),
            route_ring_timeout: None,
            controller: Controller::Done,
            attempt: None,
            media: Some(snapshot.media),
            wires,
            caller_bind_failures: 0,
            renegotiation: None,
            hold_check: None,
            times: Times {
                began: now,
                started: date(snapshot.started_ms),
                first_ring: snapshot.first_ring_ms.map(Duration::from_millis),
                answered: Some(date(snapshot.answered_ms)),
                ended: None,
            },
            deadlines: BTreeMap::new(),
            failovers: snapshot.failovers,
            failed_over: None,
            ending: None,
            spoken: None,
            player: None,
            goodbye: None,
            answered_by: Some(1),
        }
    }
}

impl Leg {
    fn snapshot(&self, edge: &Edge) -> Option<LegSnapshot> {
        let text = |d: &Option<Description>| d.as_ref().map(Written::new);
        let mut figures = self.earlier.clone();
        for end in &self.ends {
            add_counters(&mut figures, &end.counters);
        }
        Some(LegSnapshot {
            sid: self.sid.clone(),
            trunk: self.trunk.as_ref().map(|t| t.name.to_string()),
            peer: self.peer.clone(),
            // Parties are numbered anew by every process; the trunk's name stands for it.
            dialog: DialogSnapshot { party: Party(0), ..edge.endpoint.snapshot_dialog(self.dialog?)? },
            media_ip: self.media_ip,
            session_id: self.session_id,
            last_sent: text(&self.last_sent),
            ours: text(&self.ours),
            theirs: text(&self.theirs),
            codec: self.codec.clone(),
            latched: self.latched,
            figures,
            scores: self.scores(),
            ends: self
                .ends
                .iter()
                .map(|e| EndSnapshot { index: e.index, end: e.end, bind: e.bind, remote: e.remote.clone() })
                .collect(),
        })
    }

    fn restore(edge: &mut Edge, at: Place, media: MediaId, snapshot: LegSnapshot) -> Leg {
        // A trunk that the configuration no longer has is kept by name for this call.
        let trunk = snapshot
            .trunk
            .as_deref()
            .map(|name| edge.table.trunk(name).cloned().unwrap_or_else(|| Arc::new(Trunk::named(name))));
        let party = edge.party(snapshot.trunk.as_deref().unwrap_or_default());
        let flow = snapshot.dialog.flow;
        let call_id = snapshot.dialog.call_id.clone();
        let dialog = edge.endpoint.restore_dialog(DialogSnapshot { party, ..snapshot.dialog });
        edge.index.dialogs.insert(dialog, at);
        let named = Named { at, party, trunk: trunk.clone(), remote: flow.remote.ip() };
        edge.index.enter(call_id.as_bytes(), named);
        if let Some(trunk) = &trunk {
            edge.resume_trunk_call(&trunk.name);
        }
        let mut ends = Vec::new();
        for end in snapshot.ends {
            let counters = edge.resume_end(media, end.end, end.bind);
            if let Some(remote) = end.remote.clone() {
                edge.media(media, Command::SetRemote { end: end.end, remote });
            }
            ends.push(StreamEnd { index: end.index, end: end.end, bind: end.bind, counters, remote: end.remote });
        }
        let text = |t: Option<Written>| t.and_then(|t| t.read());
        let mut leg = Leg {
            trunk,
            peer: snapshot.peer,
            inbound: at.leg == CALLER,
            call_id,
            state: LegState::Answered,
            dialog: Some(dialog),
            heard: true,
            last_sent: text(snapshot.last_sent),
            ours: text(snapshot.ours),
            theirs: text(snapshot.theirs),
            ends,
            codec: snapshot.codec,
            latched: snapshot.latched,
            earlier: snapshot.figures,
            scores: snapshot.scores,
            ..Leg::new(snapshot.sid, party, flow, snapshot.media_ip, snapshot.session_id)
        };
        leg.srtp = leg.suite();
        leg
    }
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

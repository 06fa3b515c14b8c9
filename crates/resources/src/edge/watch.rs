//! What the edge watches and tells: health of peers, media sessions, traces, samples, alarms, changes.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use trunkgate_media::{Command, EndCounters, EndId, EndSpec, Event, MediaId};
use trunkgate_route::acl::translated;
use trunkgate_route::{Agent, Figures, Peer, Plan, Rank, Target, Trunk};
use trunkgate_sip::{ClientId, Flow, Message, Method, Party, ServerId, Transmit, Transport};
use trunkgate_story::captured::{Captured, CapturedItem};
use trunkgate_story::change::{Change, Happening};
use trunkgate_story::messages::{Way, Wire};
use trunkgate_story::numbers::plain;
use trunkgate_story::reason::ReasonSlug;
use trunkgate_story::sampled::traceparent;
use trunkgate_story::trace::{Trace, TraceItem, TraceView, body_note, first_line};
use trunkgate_story::view::{PeerView, RegistrationsView, TrunkView, state_word};
use trunkgate_story::{dns, unsent};

use crate::admission::limited::Limit;
use crate::agents::Probed;
use crate::agents::breaker::is_failure;
use crate::edge::{Edge, Tracing};
use crate::io::{AgentProbe, Cause, Concerned, Output};
use crate::limits::{
    AGENT_CONNECTS_AGAIN, AGENT_TEXT_CHARS, ALARM_SECONDS, HEALTH_WAIT_SECONDS, PROBED_ONE_IN, STRAY_USER_CHARS,
    TRACE_SETTLES, TRACES_SETTLED,
};
use crate::lookups::addressing::{Addressing, is_no_host};
use crate::lookups::index::{Index, Place};
use crate::lookups::key::CallKey;
use crate::random::pick;
use crate::sessions::{NewEnd, Session};
use crate::sources::logins::WrongLogin;
use crate::traces::traced::Arriving;
use crate::traces::traced::Gathered;
use crate::trunks::health::{Due, Spot};

/// Returns what is wrong with an address that has not answered an OPTIONS in time.
fn overdue(index: &Index, spot: &Spot) -> &'static str {
    let awaits_tls = spot.transport == Transport::Tls && !index.is_connected(&spot.trunk, spot.address);
    if awaits_tls { "TLS failed: connection not up in time for OPTIONS" } else { "no answer to OPTIONS" }
}

impl Edge {
    /// Takes over which addresses the table has.
    pub fn configure_health(&mut self, now: Instant) {
        let (table, rng) = (Arc::clone(&self.table), &mut self.random.rng);
        let given_up = self.health.configure(now, &table, &mut pick(rng));
        for client in given_up {
            self.endpoint.forget(client);
        }
        self.metrics.trunk_up.retain(|name, _| table.trunk(name).is_some());
        self.metrics.siprec.failing.retain(|name, _| table.trunk(name).is_some());
        self.metrics.peer_up.clear();
        for trunk in table.trunks() {
            for peer in &trunk.peers {
                if let Some(fault) = self.health.unresolved(peer) {
                    let words = dns::words(fault, &peer.destination.host);
                    self.trunks.problem(now, &trunk.name, format!("{}: {words} (name_not_found)", peer.uri));
                }
                self.show_peer(&trunk.name, peer);
            }
            self.show_trunk(&trunk.name);
        }
    }

    /// Asks whoever is to be asked, and gives up on answers that are overdue.
    pub fn check_peers(&mut self, now: Instant) {
        while let Some(due) = self.health.pop_due(now) {
            match due {
                Due::Ask(spot) => self.ask_peer(now, &spot),
                Due::Overdue(spot, client) => {
                    self.endpoint.forget(client);
                    self.peer_missed(now, &spot, overdue(&self.index, &spot).to_owned());
                    self.plan_check(now, &spot);
                }
            }
        }
        self.pump();
    }

    fn ask_peer(&mut self, now: Instant, spot: &Spot) {
        let uri = self.health.get(spot).map(|health| health.peer.clone()).unwrap_or_default();
        let listen = self.table.trunk(&spot.trunk).and_then(|trunk| trunk.listen.clone());
        let Some((flow, local)) = self.addressing.way(listen.as_deref(), spot.transport, spot.address) else {
            self.health.problem(spot, "no listener can reach it".to_owned());
            return self.plan_check(now, spot);
        };
        let party = self.party(&spot.trunk);
        let client = self.endpoint.options(now, flow, local, party, &uri);
        self.health.began(now, spot, client);
    }

    /// An answer to an OPTIONS of ours; `false`: it is none.
    pub fn peer_answered(&mut self, now: Instant, client: ClientId, code: u16, response: &Message) -> bool {
        if !self.health.is_asked(client) {
            return false;
        }
        if code < 200 {
            return true;
        }
        let Some((spot, rtt)) = self.health.ended(now, client) else { return true };
        // Any other answer comes from somebody who is there and takes calls.
        if matches!(code, 408 | 503) {
            self.peer_missed(now, &spot, format!("{code} to OPTIONS"));
        } else {
            self.metrics.trunk_keepalive_rtt_seconds.observe(rtt.as_secs_f64());
            self.peer_heard(&spot, Some(rtt));
        }
        if code == 503 {
            self.health.rest(now, &spot, response);
        }
        self.plan_check(now, &spot);
        true
    }

    /// An OPTIONS of ours that could not be sent, or has had its time; `false`: it is none.
    pub fn peer_unanswered(&mut self, now: Instant, client: ClientId, sent: bool) -> bool {
        let Some((spot, _)) = self.health.ended(now, client) else { return false };
        self.peer_missed(now, &spot, self.why_unanswered("OPTIONS", &spot, sent));
        self.plan_check(now, &spot);
        true
    }

    /// Why a request of ours has no answer.
    pub fn why_unanswered(&self, what: &str, spot: &Spot, sent: bool) -> String {
        if sent { format!("no answer to {what}") } else { self.why_unsent(what, spot.transport, spot.address) }
    }

    /// Why a request of ours could not be sent to an address.
    pub fn why_unsent(&self, what: &str, transport: Transport, address: SocketAddr) -> String {
        why_unsent(self.turn.cause.as_ref(), what, transport, address)
    }

    /// A sign of life of an address.
    pub fn peer_heard(&mut self, spot: &Spot, rtt: Option<Duration>) {
        // Each answer to an INVITE comes by here: nothing is done where nothing has changed.
        let Some(before) = self.health.heard(spot, rtt).filter(|before| *before != Some(true)) else { return };
        if let Some(peer) = self.shown_spot(spot).filter(|_| before == Some(false)) {
            self.log("", format!("trunk {}: {peer} answers again", spot.trunk), None);
            self.trunks.answers_again(&spot.trunk, &spot.address.to_string());
        }
        self.show_spot(spot);
    }

    /// An address did not answer.
    pub fn peer_missed(&mut self, now: Instant, spot: &Spot, problem: String) {
        let is_down_now = self.health.missed(now, spot, problem.clone());
        if let Some(peer) = self.shown_spot(spot).filter(|_| is_down_now) {
            self.warn("", format!("trunk {}: {peer} is down: {problem}", spot.trunk), None);
            self.show_spot(spot);
        }
        self.trunks.problem(now, &spot.trunk, format!("{}: {problem}", spot.address));
    }

    /// An agent has answered a probe, or has not.
    pub fn agent_probed(&mut self, now: Instant, probe: AgentProbe) {
        let [what, misses, again] = probe.words();
        let AgentProbe { name, url, began, is_connection, outcome } = probe;
        let is_its = |agent: &&Arc<Agent>| agent.url == url && agent.probe.is_zero() == is_connection;
        let Some(agent) = self.table.agent(&name).filter(is_its) else { return };
        let (loss, detail) = match outcome {
            Ok(took) => {
                if self.agents.probed(now, &name, (!is_connection).then_some((began, took))) == Probed::Back {
                    self.log("", format!("agent {name} {again}"), None);
                    self.note_skipped();
                }
                return;
            }
            Err(failed) => failed,
        };
        // As long as probes come, they decide.
        let interval = if is_connection { AGENT_CONNECTS_AGAIN } else { agent.probe };
        let pause = interval * 2 + Duration::from_secs(HEALTH_WAIT_SECONDS);
        let detail = plain(&detail, AGENT_TEXT_CHARS);
        let problem = if detail.is_empty() { loss.to_string() } else { format!("{loss}: {detail}") };
        let terms = (!is_connection && is_failure(loss), pause, began + interval);
        match self.agents.missed_probe(now, &name, (loss, format!("{what}: {problem}")), terms) {
            Probed::Down => {
                let shown = self.shown_name(&name);
                self.warn("", format!("agent {shown} {misses}: {problem}"), None);
                let text = Some(format!("{what}: {problem}"));
                self.changed(Change { agent: Some(shown), text, ..Change::new(Happening::AgentFailed) });
            }
            Probed::Skipped => {
                let text = format!(
                    "agent {name} does not answer its probes and is skipped by calls that have another target: {problem}"
                );
                self.warn("", text, Some(ReasonSlug::AgentSkipped));
                self.note_skipped();
            }
            Probed::AsBefore | Probed::Back => {}
        }
    }

    /// Notes that a trunk has refused a call because it has too many (`congested_on`), with the seconds of its Retry-After: other
    /// targets come first for a time.
    pub fn trunk_congested(&mut self, now: Instant, trunk: &Trunk, code: u16, retry_after: Option<u32>) {
        let Some(pause) = self.trunks.congested(now, &trunk.name, retry_after) else { return };
        let text = format!(
            "trunk {}: too many calls ({code}): calls that have another target skip it for {} s",
            trunk.name,
            pause.as_secs()
        );
        self.warn("", text, Some(ReasonSlug::TrunkCongested));
    }

    /// A trunk at a glance.
    pub fn trunk_view(&self, now: Instant, trunk: &Trunk) -> TrunkView {
        let peer = |peer: &Peer| PeerView {
            uri: peer.uri.clone(),
            state: state_word(self.health.is_peer_up(&trunk.name, peer)),
            addresses: self
                .health
                .of(&trunk.name)
                .filter(|(_, health)| health.peer == peer.uri)
                .map(|(spot, health)| health.view(now, spot, |at| self.date(at)))
                .collect(),
        };
        let peers = trunk.peers.iter().map(peer).collect();
        let view = self.trunks.view(now, |at| self.date(at), trunk, self.is_trunk_up(trunk), peers);
        let phones = trunk.accept_register.then(|| self.phones_view(&trunk.name));
        let announced = self.addressing.announced_to(trunk);
        let registration = self.registration_view(now, &trunk.name);
        TrunkView { registrations: RegistrationsView { registration, phones }, announced, ..view }
    }

    /// Whether a call to a trunk may arrive: an address of it is up, or a phone has registered. `None`: nothing is known.
    pub fn is_trunk_up(&self, trunk: &Trunk) -> Option<bool> {
        let has_phone = !self.registrar.bindings(&trunk.name).is_empty();
        let up = self.health.is_trunk_up(trunk);
        // Without peers nothing but phones is there to be known.
        up.or(trunk.is_of_phones().then_some(false)).map(|up| up || has_phone)
    }

    /// Shows in the metrics whether a trunk is up.
    pub fn show_trunk(&mut self, name: &str) {
        let Some(trunk) = self.table.trunk(name).cloned() else { return };
        let Some(up) = self.is_trunk_up(&trunk) else {
            self.metrics.trunk_up.remove(&trunk.name);
            return;
        };
        if self.metrics.trunk_up.insert(trunk.name.clone(), up) != Some(up) {
            self.trunk_changed(name, up);
        }
    }

    fn plan_check(&mut self, now: Instant, spot: &Spot) {
        let rng = &mut self.random.rng;
        self.health.plan(now, spot, &mut pick(rng));
    }

    fn shown_spot(&self, spot: &Spot) -> Option<String> {
        let health = self.health.get(spot)?;
        let via = spot.transport.via_token().to_ascii_lowercase();
        Some(format!("{} ({via} {})", health.peer, spot.address))
    }

    fn show_spot(&mut self, spot: &Spot) {
        let Some(uri) = self.health.get(spot).map(|health| health.peer.as_str()) else { return };
        let peers = self.table.trunk(&spot.trunk).into_iter().flat_map(|trunk| &trunk.peers);
        let Some(peer) = peers.into_iter().find(|peer| peer.uri == uri).cloned() else { return };
        self.show_peer(&spot.trunk, &peer);
    }

    fn show_peer(&mut self, trunk: &Arc<str>, peer: &Peer) {
        if let Some(up) = self.health.is_peer_up(trunk, peer) {
            self.metrics.peer_up.insert((Arc::clone(trunk), peer.uri.clone()), up);
        }
        self.show_trunk(trunk);
    }

    /// Tells the capture agent of something.
    pub fn capture(&mut self, now: Instant, call: String, what: CapturedItem) {
        let at = self.date(now);
        self.turn.outputs.push_back(Output::Captured(Box::new(Captured { call, at, what })));
    }

    /// Tells whoever watches.
    pub fn changed(&mut self, change: Change) {
        self.turn.outputs.push_back(Output::Changed(Box::new(change)));
    }

    /// The same of a trunk.
    pub fn trunk_changed(&mut self, trunk: &str, up: bool) {
        let what = if up { Happening::TrunkUp } else { Happening::TrunkDown };
        self.changed(Change { trunk: Some(trunk.to_owned()), ..Change::new(what) });
    }

    /// Adds to a call's trace.
    pub fn trace(&mut self, now: Instant, key: CallKey, item: TraceItem) {
        self.push(now, key, &item, None);
    }

    /// Adds a decision to a call's trace.
    pub fn decide(&mut self, now: Instant, key: CallKey, text: impl Into<String>) {
        self.trace(now, key, TraceItem::decision(text));
    }

    /// Adds a DTMF digit of a leg to a call's trace.
    pub fn trace_digit(&mut self, now: Instant, at: Place, way: &str) {
        if let Some(trace) = self.tracing.traces.get_mut(&at.key) {
            trace.push_digit(now, at.leg.index(), way);
        }
    }

    /// Adds the message that is being dealt with to a leg's trace, unless it is there.
    pub fn trace_received(&mut self, now: Instant, at: Place) {
        let Some(arriving) = self.turn.arriving.as_mut().filter(|arriving| !arriving.traced) else { return };
        arriving.traced = true;
        let (flow, bytes) = (arriving.flow, arriving.message.as_bytes().clone());
        self.trace_message(now, at, (true, false), (flow, &bytes));
    }

    /// Adds a message that goes out to the trace of its leg.
    pub fn trace_sent(&mut self, now: Instant, at: Place, transmit: &Transmit) {
        if self.turn.arriving.as_ref().is_some_and(|arriving| arriving.is_answered_by(transmit)) {
            self.trace_received(now, at);
        }
        self.trace_message(now, at, (false, transmit.what.again), (transmit.flow, &transmit.bytes));
    }

    /// Where a CANCEL of ours belongs: the endpoint sends it by itself.
    pub fn place_of_cancel(&self, transmit: &Transmit) -> Option<Place> {
        let what = &transmit.what;
        let is_cancel = what.method == Method::Cancel && what.code.is_none();
        let message = is_cancel.then(|| Message::parse(transmit.bytes.clone()).ok()).flatten()?;
        Some(self.index.named(message.call_id()?)?.at)
    }

    /// Adds the answer to a CANCEL of ours, which the endpoint tells nobody of.
    pub fn trace_canceled(&mut self, now: Instant) {
        let Some(Arriving { flow, message, .. }) = &self.turn.arriving else { return };
        if message.is_request() || message.method() != Method::Cancel {
            return;
        }
        let named = message.call_id().and_then(|id| self.index.named(id));
        if let Some(at) = named.filter(|named| named.covers(flow.remote.ip())).map(|named| named.at) {
            self.trace_received(now, at);
        }
    }

    /// Adds the 100 that answered an INVITE before its call was there.
    pub fn trace_trying(&mut self, now: Instant, at: Place, server: ServerId) {
        if let Some((_, flow, bytes)) = self.turn.trying.take().filter(|(answered, ..)| *answered == server) {
            self.trace_message(now, at, (false, false), (flow, &bytes));
        }
    }

    fn trace_message(
        &mut self,
        now: Instant,
        at: Place,
        (received, again): (bool, bool),
        (flow, bytes): (Flow, &Bytes),
    ) {
        let (text, note) = (first_line(bytes), body_note(bytes));
        let item = TraceItem::Message { leg: at.leg.index(), received, text, note, again };
        let local = self.addressing.bound_towards(flow.remote.ip(), flow.listener);
        let way = Way { local, remote: flow.remote, transport: flow.transport };
        self.push(now, at.key, &item, Some(Wire { bytes, way }));
    }

    fn push(&mut self, now: Instant, key: CallKey, item: &TraceItem, message: Option<Wire<'_>>) {
        let Some(trace) = self.tracing.traces.get_mut(&key) else { return };
        let before = trace.message_bytes();
        let captured = match (&message, item) {
            (Some(message), TraceItem::Message { received, .. }) if self.tracing.captures => {
                Some((trace.sid().to_owned(), message.masked(), *received))
            }
            _ => None,
        };
        trace.push(now, item, message);
        self.tracing.message_bytes = (self.tracing.message_bytes + trace.message_bytes()).saturating_sub(before);
        if self.tracing.message_bytes > self.tracing.message_bytes_most {
            self.forget_messages();
        }
        if let Some((call, message, received)) = captured {
            self.capture(now, call, CapturedItem::Message(message, received));
        }
    }

    /// Notes a call that is answered: its messages are packed a little later, if it is still up.
    pub fn trace_answered(&mut self, now: Instant, key: CallKey) {
        self.tracing.answered.push_back((now + TRACE_SETTLES, key));
    }

    /// Packs the messages of calls that were answered a while ago, of a few at a time. It has no deadline of its own: calls that are up
    /// have others.
    pub fn settle_traces(&mut self, now: Instant) {
        for _ in 0..TRACES_SETTLED {
            let Some((_, key)) = self.tracing.answered.pop_front_if(|(at, _)| *at <= now) else { return };
            self.settle_trace(key);
        }
    }

    /// Packs the messages of a call that is set up.
    pub fn settle_trace(&mut self, key: CallKey) {
        let Some(trace) = self.tracing.traces.get_mut(&key) else { return };
        let before = trace.message_bytes();
        trace.settle_messages();
        self.tracing.message_bytes = (self.tracing.message_bytes + trace.message_bytes()).saturating_sub(before);
    }

    /// Makes room for messages, more than for one, so that this is seldom done: all are packed, then those of the calls go that
    /// have ended first, then of the oldest.
    fn forget_messages(&mut self) {
        let enough = self.tracing.message_bytes_most - self.tracing.message_bytes_most / 16;
        for trace in self.recent.traces_mut().chain(self.tracing.traces.values_mut()) {
            if self.tracing.message_bytes <= enough {
                return;
            }
            let before = trace.message_bytes();
            trace.settle_messages();
            self.tracing.message_bytes = (self.tracing.message_bytes + trace.message_bytes()).saturating_sub(before);
        }
        for trace in self.recent.traces_mut().chain(self.tracing.traces.values_mut()) {
            if self.tracing.message_bytes <= enough {
                return;
            }
            self.tracing.message_bytes = self.tracing.message_bytes.saturating_sub(trace.message_bytes());
            self.metrics.message_texts.dropped += trace.forget_messages() as u64;
        }
    }

    /// Takes the trace of a call that is let go of to those of ended ones.
    pub fn keep_trace(&mut self, key: CallKey, head: TraceView, is_turned_down: bool) {
        let Some(trace) = self.tracing.traces.remove(&key) else { return };
        if let Some(gone) = self.recent.push_trace(head, trace, is_turned_down) {
            self.tracing.message_bytes = self.tracing.message_bytes.saturating_sub(gone.message_bytes());
        }
    }

    /// Begins the trace of a call, and decides whether it is told of.
    pub fn begin_trace(&mut self, now: Instant, key: CallKey, sid: &str) {
        self.tracing.traces.insert(key, Trace::new(now, sid));
        if self.tracing.sampling.takes(sid) {
            self.tracing.sampled.insert(key, Gathered::default());
        }
    }

    /// What the far end of a leg is told, where its call is told of.
    pub fn traceparent(&self, key: CallKey, call: &str, leg: &str) -> Option<String> {
        traceparent(call, leg).filter(|_| self.tracing.sampled.contains_key(&key))
    }

    /// Sends a command to a session's worker.
    pub fn media(&mut self, id: MediaId, command: Command) {
        self.turn.outputs.push_back(Output::Media { id, command });
    }

    /// Begins a session for a call; `beside`: the session that an end of it comes from.
    pub fn open_session(&mut self, key: CallKey, beside: Option<MediaId>) -> MediaId {
        let id = MediaId(self.sessions.next);
        self.sessions.next += 1;
        self.start_session(id, key, beside);
        id
    }

    fn start_session(&mut self, id: MediaId, key: CallKey, beside: Option<MediaId>) {
        self.sessions.live.insert(id, Session { key, ports: BTreeMap::new(), next_end: 0 });
        let idle_timeout_ms = u64::try_from(self.config.idle_timeout.as_millis()).unwrap_or(u64::MAX);
        let names_key = self.random.names_key();
        self.media(id, Command::Open { idle_timeout_ms, names_key, beside });
    }

    /// Draws a port pair, and has it bound to `address`. `None` where no pair is free.
    pub fn add_end(&mut self, id: MediaId, address: IpAddr) -> Option<NewEnd> {
        let session = self.sessions.live.get_mut(&id)?;
        let end = EndId(session.next_end);
        let next_end = session.next_end.checked_add(1)?;
        let port = self.sessions.ports.take()?;
        session.next_end = next_end;
        session.ports.insert(end, port);
        let (bind, counters) = (SocketAddr::new(address, port), Arc::new(EndCounters::default()));
        self.media(id, Command::AddEnd { end, spec: EndSpec { bind, counters: counters.clone() } });
        Some(NewEnd { end, bind, counters })
    }

    /// A name for an end that has no sockets of its own: an agent, a player.
    pub fn new_end(&mut self, id: MediaId) -> Option<EndId> {
        let session = self.sessions.live.get_mut(&id)?;
        let end = EndId(session.next_end);
        session.next_end = session.next_end.checked_add(1)?;
        Some(end)
    }

    /// Has an end's sockets closed; its ports are free once that is told.
    pub fn remove_end(&mut self, id: MediaId, end: EndId) {
        self.media(id, Command::RemoveEnd { end });
    }

    /// Begins a session anew that comes back from a snapshot; names of ends go on from `next_end`.
    pub fn resume_session(&mut self, id: MediaId, key: CallKey, next_end: u16) {
        self.sessions.next = self.sessions.next.max(id.0.saturating_add(1));
        self.start_session(id, key, None);
        if let Some(session) = self.sessions.live.get_mut(&id) {
            session.next_end = next_end;
        }
    }

    /// Takes an end of such a session back, with its very ports.
    pub fn resume_end(&mut self, id: MediaId, end: EndId, bind: SocketAddr) -> Arc<EndCounters> {
        let counters = Arc::new(EndCounters::default());
        let reserved = self.sessions.ports.reserve(bind.port());
        if let Some(session) = self.sessions.live.get_mut(&id).filter(|_| reserved) {
            session.ports.insert(end, bind.port());
        }
        self.media(id, Command::AddEnd { end, spec: EndSpec { bind, counters: counters.clone() } });
        counters
    }

    /// Takes back what a worker's news sets free. The session's call, where the news is of use to it.
    pub fn settle_media(&mut self, id: MediaId, event: &Event) -> Option<CallKey> {
        let session = self.sessions.live.get_mut(&id)?;
        let key = session.key;
        let freed = match event {
            // The worker keeps no end that it could not bind, but a RemoveEnd for it does no harm.
            Event::EndClosed { end, .. } | Event::BindFailed { end, .. } => session.ports.remove(end),
            Event::Closed => {
                let ports = self.sessions.live.remove(&id).map(|s| s.ports).unwrap_or_default();
                for port in ports.into_values() {
                    self.sessions.ports.give(port);
                }
                None
            }
            Event::Bound { .. }
            | Event::Latched { .. }
            | Event::Idle { .. }
            | Event::Unheard { .. }
            | Event::Stopped { .. }
            | Event::AgentOpen { .. }
            | Event::AgentSpoke { .. }
            | Event::AgentLost { .. }
            | Event::AgentEnded { .. }
            | Event::Recognised { .. }
            | Event::AgentWish { .. }
            | Event::RecorderSilent { .. }
            | Event::Judged { .. }
            | Event::RecorderEnded { .. }
            | Event::AgentNote { .. }
            | Event::Key { .. }
            | Event::Played { .. } => None,
        };
        if let Some(port) = freed {
            self.sessions.ports.give(port);
        }
        Some(key)
    }

    /// A call of a trunk, or to it, was refused for what the file says.
    pub fn alarm(&mut self, now: Instant, call: &str, trunk: &Arc<str>, reason: ReasonSlug, what: &str) {
        let key = (trunk.clone(), reason.as_str());
        *self.metrics.limits_reached.entry(key.clone()).or_default() += 1;
        let again = Duration::from_secs(ALARM_SECONDS);
        let is_due = self.trunks.may_alarm(now, key, again);
        let text = format!("trunk {trunk}: {} ({what})", reason.sentence());
        self.trunks.problem(now, trunk, text.clone());
        if is_due {
            self.warn(call, format!("alarm: {text}"), Some(reason));
        }
    }

    /// A limit of the edge, where it is one, has refused a call of a trunk.
    pub fn limit_alarm(&mut self, now: Instant, trunk: &Arc<str>, reason: ReasonSlug, key: &str) {
        if !key.is_empty() {
            self.alarm(now, "", trunk, reason, key);
        }
    }

    /// Counts a call that was to begin by a request and that a limit of the edge has refused. Returns the reason.
    pub fn note_limit(&mut self, now: Instant, reason: ReasonSlug) -> ReasonSlug {
        let Some(limit) = Limit::of(None, false, reason) else { return reason };
        *self.metrics.limits_reached.entry(("".into(), reason.as_str())).or_default() += 1;
        let key = self.admission.limit_of(reason);
        self.admission.limited.note(now, limit, &key, None);
        reason
    }

    /// Withdraws problems of calls that changed keys may have mended.
    pub fn reconfigured(&mut self, concerned: &Concerned) {
        self.trunks.reconfigured(concerned);
        self.admission.limited.reconfigured(concerned);
        self.apps.reconfigured(concerned);
    }

    /// A request has shown wrong credentials.
    pub fn wrong_credentials(
        &mut self,
        now: Instant,
        trunk: &Arc<str>,
        remote: SocketAddr,
        (user, is_known): (&str, bool),
    ) {
        let fault = if is_known { WRONG_PASSWORD } else { UNKNOWN_USER };
        *self.metrics.wrong_credentials.entry((trunk.clone(), fault)).or_default() += 1;
        let login = WrongLogin {
            user: plain(&self.shown(user), STRAY_USER_CHARS),
            is_user_known: is_known,
            is_of_trunk: self.table.trunk_of(remote).is_some_and(|owner| owner.name == *trunk),
        };
        let text = format!("wrong credentials from {remote}: {}", login.fault());
        self.trunks.problem(now, trunk, text.clone());
        let due = self.sources.logins.failed(now, trunk, remote.ip(), login);
        let reason = Some(ReasonSlug::WrongCredentials);
        match due {
            Some(line) => self.warn("", line, reason),
            None if self.admission.may_log(now) => self.log("", format!("trunk {trunk}: {text}"), reason),
            None => {}
        }
    }

    /// A request that begins something has passed: where its trunk asks for credentials, it has shown them.
    pub fn right_credentials(&mut self, party: Party, remote: SocketAddr) {
        let trunk = self.party_name(party);
        self.sources.logins.passed(&trunk, remote.ip());
    }

    /// Has the counts of limits and wrong credentials begin at zero, so that a query sees the first one as an increase.
    pub(super) fn count_limits(&mut self) {
        for trunk in self.table.trunks().iter().filter(|trunk| trunk.require_auth.is_some()) {
            for fault in [UNKNOWN_USER, WRONG_PASSWORD] {
                self.metrics.wrong_credentials.entry((trunk.name.clone(), fault)).or_default();
            }
        }
        let trunks = self.table.trunks().iter().map(|trunk| trunk.name.clone()).chain(["".into()]);
        for trunk in trunks {
            for reason in [ReasonSlug::LimitCalls, ReasonSlug::LimitRate, ReasonSlug::LimitEmergency] {
                self.metrics.limits_reached.entry((trunk.clone(), reason.as_str())).or_default();
            }
        }
    }

    /// Puts the trunks of a plan that go by their ratio in order, and tells the trace. `may_probe`: now and then one that has
    /// done badly comes first, to see whether it still does.
    pub fn by_ratio(&mut self, now: Instant, key: CallKey, plan: &mut Plan, may_probe: bool) {
        if plan.by_ratio.is_empty() {
            return;
        }
        let runs = plan.by_ratio.clone();
        let trunks = runs.iter().filter_map(|run| plan.targets.get(run.clone())).flatten().filter_map(Target::trunk);
        let known = |trunk: &Arc<Trunk>| {
            let is_down = self.is_trunk_up(trunk) == Some(false);
            (trunk.name.clone(), Known { figures: self.trunks.figures(now, &trunk.name), is_down })
        };
        let known: BTreeMap<Arc<str>, Known> = trunks.map(known).collect();
        plan.sort(|trunk| known.get(&trunk.name).map(Known::rank));
        for run in runs {
            let Some(run) = plan.targets.get_mut(run) else { continue };
            let probed = may_probe && self.probe(now, run, &known);
            let of = |target: &Target| {
                let trunk = target.trunk()?;
                let Known { figures, is_down } = known.get(&trunk.name)?;
                let down = if *is_down { "down, " } else { "" };
                Some(format!("{} ({down}{figures})", trunk.name))
            };
            let order = run.iter().filter_map(of).collect::<Vec<_>>().join(", ");
            let why = if probed { "; tried first to measure it again" } else { "" };
            self.decide(now, key, format!("order asr: {order}{why}"));
        }
    }

    /// Puts one of those first that stand behind the first for what they have done, where it is time for that.
    fn probe(&mut self, now: Instant, run: &mut [Target], known: &BTreeMap<Arc<str>, Known>) -> bool {
        let of = |target: &Target| known.get(&target.trunk()?.name);
        let Some(best) = run.first().and_then(of).map(Known::rank) else { return false };
        let is_worse = |target: &Target| of(target).is_some_and(|known| !known.is_down && known.rank() > best);
        let may = |target: &Target| target.trunk().is_some_and(|trunk| self.trunks.may_probe(now, &trunk.name));
        let worse = run.iter().enumerate().filter(|(_, target)| is_worse(target) && may(target));
        let worse: Vec<usize> = worse.map(|(at, _)| at).collect();
        if worse.is_empty() || self.random.below(PROBED_ONE_IN) != 0 {
            return false;
        }
        let chosen = self.random.below(u32::try_from(worse.len()).unwrap_or(1));
        let chosen = usize::try_from(chosen).ok().and_then(|chosen| worse.get(chosen).copied()).unwrap_or(0);
        if let Some(part) = run.get_mut(..=chosen) {
            part.rotate_right(1);
        }
        if let Some(trunk) = run.first().and_then(Target::trunk) {
            self.trunks.probed(now, &trunk.name);
        }
        true
    }

    /// Returns the trunk that a request to an address reaches: one whose peer or network it is, or whose phone has registered
    /// from there.
    pub fn owner_of(&self, remote: SocketAddr) -> Option<Arc<Trunk>> {
        let by_table = self.table.owner_of(remote).cloned();
        by_table.or_else(|| self.table.trunk(&self.registrar.trunk_at(remote)?).cloned())
    }

    /// Whether nothing that an agent or an operator has named may lead to an address: this machine's own, and those of no
    /// host. A trunk's peer may be there, at exactly its port.
    pub fn is_forbidden(&self, remote: SocketAddr) -> bool {
        let ip = remote.ip().to_canonical();
        let is_inside = |ip: IpAddr| is_no_host(ip) || self.addressing.is_ours(ip);
        let mut hidden = translated(ip).map(IpAddr::V4);
        (is_inside(ip) || hidden.any(is_inside)) && !self.table.is_peer(SocketAddr::new(ip, remote.port()))
    }
}

fn why_unsent(cause: Option<&Cause>, what: &str, transport: Transport, address: SocketAddr) -> String {
    match cause {
        Some(Cause::Tls(why)) => format!("TLS failed: {why}"),
        Some(Cause::Stream(why)) => format!("{what} could not be sent: {why}"),
        Some(Cause::Unsent(why)) => unsent::text(*why, &address.to_string()),
        None if transport == Transport::Udp => {
            format!("{what} was refused: no listener at this port, or a firewall rejects it")
        }
        None => format!("{what} could not be sent"),
    }
}

/// Labels of metrics: the part of credentials that is wrong.
const UNKNOWN_USER: &str = "unknown_user";
const WRONG_PASSWORD: &str = "wrong_password";

/// What is known of a trunk when its place is looked for.
pub(crate) struct Known {
    pub(crate) figures: Figures,
    pub(crate) is_down: bool,
}

impl Known {
    pub(crate) fn rank(&self) -> Rank {
        self.figures.rank(self.is_down)
    }
}

impl Tracing {
    /// Adds an ACK that belongs to no dialog to the trace of the leg that its Call-ID names.
    pub fn add_stray_ack(&mut self, now: Instant, arriving: &Arriving, (index, addressing): (&Index, &Addressing)) {
        let Arriving { flow, message, .. } = arriving;
        let named = message.call_id().and_then(|id| index.named(id));
        let Some(at) = named.filter(|named| named.covers(flow.remote.ip())).map(|named| named.at) else { return };
        let Some(trace) = self.traces.get_mut(&at.key) else { return };
        let before = trace.message_bytes();
        let local = addressing.bound_towards(flow.remote.ip(), flow.listener);
        let way = Way { local, remote: flow.remote, transport: flow.transport };
        trace.push_stray_ack(now, at.leg.index(), Wire { bytes: message.as_bytes(), way });
        self.message_bytes = (self.message_bytes + trace.message_bytes()).saturating_sub(before);
    }

    /// Returns how many of them the trace of a leg has.
    pub fn stray_acks(&self, at: Place) -> usize {
        self.traces.get(&at.key).map_or(0, |trace| trace.stray_acks(at.leg.index()))
    }
}

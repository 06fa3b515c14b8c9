//! Agents on the bench: the worker's commands about them, and the worker's events on their behalf.
#![allow(clippy::wildcard_enum_match_arm)] // one command of many is looked for

use trunkgate_media::agent::{StreamLoss, StreamSettings, TrackName};
use trunkgate_media::mos::MosCodec;
use trunkgate_media::{
    AgentEvent, AgentRequest, AudioListenerSpec, DigitFormat, HoldSound, PlayerSound, RecorderSpec, RecordingPause,
    TapSpec, WireSpec,
};
use trunkgate_route::Agent;

use super::*;

/// Returns the target `agent:NAME`.
pub fn to_agent(name: &str) -> TargetSpec {
    TargetSpec::Agent(name.into())
}

/// Returns an agent with every default.
pub fn agent(name: &str) -> Agent {
    Agent::at(name, &format!("ws://127.0.0.1/{name}"))
}

/// Returns the usual trunks with agents, and a route for everything.
pub fn agent_table(agents: Vec<Agent>, route: Route) -> Arc<RoutingTable> {
    let numbers = NumberingPlan::new("US").unwrap();
    Arc::new(RoutingTable::new(TableDefinition { numbers, trunks: usual_trunks(), agents, routes: vec![route] }))
}

/// A command to a worker about an end, abbreviated.
#[derive(Debug, Clone, PartialEq)]
pub enum Told {
    Agent(EndId),
    Ringback(EndId),
    Once(EndId, usize),
    Hold(EndId, HoldSound),
    /// Player of silence.
    Silence(EndId),
    /// New sound of a player.
    Play(EndId, PlayerSound),
    Wire(EndId, EndId, WireSpec),
    Unwire(EndId),
    Tap(EndId, EndId, TapSpec),
    Record(EndId, RecorderSpec),
    Pause(EndId, Option<RecordingPause>),
    Stream(EndId, TrackName),
    Judge(EndId, trunkgate_media::MachineDetectionSpec),
    Press(EndId, u8, String),
    Keys(EndId, String),
    TransferFailed(EndId, String, &'static str, Option<u16>),
    TransferAccepted(EndId, String),
    Remove(EndId),
    Close,
}

impl Bench {
    /// Returns a bench with one route to these targets, and the agents `desk`, `night` and `scribe`.
    pub fn with_agents(connect: Vec<TargetSpec>) -> Bench {
        Bench::with(agent_table(vec![agent("desk"), agent("night"), agent("scribe")], route(connect)))
    }

    /// Returns the commands to the worker since the last call of this function, except for ports and remote addresses.
    pub fn told(&mut self) -> Vec<Told> {
        let short = |command: MediaCommand| {
            Some(match command {
                MediaCommand::AddAgent { end, .. } => Told::Agent(end),
                MediaCommand::AddPlayer { end, sound: PlayerSound::Ringback } => Told::Ringback(end),
                MediaCommand::AddPlayer { end, sound: PlayerSound::Once(samples) } => Told::Once(end, samples.len()),
                MediaCommand::AddPlayer { end, sound: PlayerSound::Hold(sound) } => Told::Hold(end, sound),
                MediaCommand::AddPlayer { end, sound: PlayerSound::Silence } => Told::Silence(end),
                MediaCommand::Play { end, sound } | MediaCommand::ResumePlay { end, sound } => Told::Play(end, sound),
                MediaCommand::Wire { from, to, wire } => Told::Wire(from, to, wire),
                MediaCommand::Unwire { from } => Told::Unwire(from),
                MediaCommand::Tap { of, listener, audio } => Told::Tap(of, listener, audio),
                MediaCommand::Press { end, press, digits, .. } => {
                    let (DigitFormat::Event { payload, .. } | DigitFormat::Tone { payload, .. }) = press;
                    Told::Press(end, payload, digits)
                }
                MediaCommand::AddListener { end, spec: AudioListenerSpec::Recorder(spec) } => Told::Record(end, spec),
                MediaCommand::AddListener { end, spec: AudioListenerSpec::Streamer { track } } => {
                    Told::Stream(end, track)
                }
                MediaCommand::AddListener { end, spec: AudioListenerSpec::Detector(spec) } => Told::Judge(end, spec),
                MediaCommand::PauseRecorder { end, pause } => Told::Pause(end, pause),
                MediaCommand::TellKeys { end, digits } => Told::Keys(end, digits),
                MediaCommand::TransferFailed { end, target, reason, code } => {
                    Told::TransferFailed(end, target, reason, code)
                }
                MediaCommand::TransferAccepted { end, target } => Told::TransferAccepted(end, target),
                MediaCommand::RemoveEnd { end } => Told::Remove(end),
                MediaCommand::Close => Told::Close,
                MediaCommand::Open { .. }
                | MediaCommand::AddEnd { .. }
                | MediaCommand::AddListener { .. }
                | MediaCommand::MoveEnd { .. }
                | MediaCommand::SetRemote { .. } => {
                    return None;
                }
            })
        };
        self.take_media().into_iter().filter_map(short).collect()
    }

    /// Returns the agents requested since the last look: end and settings.
    pub fn asked(&self) -> Vec<(EndId, StreamSettings)> {
        let asked = self.media.iter().filter_map(|(_, command)| match command {
            MediaCommand::AddAgent { end, spec } => Some((*end, spec.settings.clone())),
            _ => None,
        });
        asked.collect()
    }

    /// Passes a worker's event of the first session.
    pub fn news(&mut self, event: MediaEvent) {
        self.input(GatewayInput::Media { id: MediaId(0), event });
    }

    pub fn open(&mut self, end: EndId) {
        self.news(MediaEvent::Agent { end, event: AgentEvent::Open });
    }

    pub fn lose(&mut self, end: EndId, loss: StreamLoss) {
        self.news(MediaEvent::Agent { end, event: AgentEvent::Lost(loss) });
    }

    pub fn wish(&mut self, end: EndId, wish: AgentRequest) {
        self.news(MediaEvent::Agent { end, event: AgentEvent::Request(wish) });
    }

    /// Makes a call from the carrier that the first agent has answered: the caller, the caller's end, the agent's.
    pub fn talking(&mut self) -> (Dialing, EndId, EndId) {
        let caller = self.invite(CARRIER, "+14155550100", &offer());
        let (agent, _) = self.asked().into_iter().rfind(|(_, settings)| settings.talks).unwrap();
        self.expect(CARRIER, "SIP/2.0 100");
        self.expect(CARRIER, "SIP/2.0 180");
        self.open(agent);
        let ok = self.expect(CARRIER, "SIP/2.0 200");
        let caller = Dialing { to_tag: ok.tag("To"), ..caller };
        self.receive(CARRIER, caller.request("ACK", "", ""));
        self.nothing();
        assert_eq!(self.state(), "answered");
        self.told();
        (caller, EndId(0), agent)
    }

    /// Returns the state of the only call.
    pub fn state(&self) -> &'static str {
        self.gateway.calls(self.now)[0].state
    }

    /// Returns the lines of the only call's trace that are no messages.
    pub fn story(&self) -> String {
        let sid = self.gateway.calls(self.now)[0].sid.clone();
        let entries = self.gateway.trace(&sid).unwrap().entries;
        let text = |entry: &trunkgate_call::trace::TraceEntry| match &entry.what {
            trunkgate_call::trace::TraceItem::Message { .. } => None,
            trunkgate_call::trace::TraceItem::Decision { text }
            | trunkgate_call::trace::TraceItem::Webhook { text, .. } => Some(text.clone()),
            trunkgate_call::trace::TraceItem::Agent { leg, text } => Some(format!("agent {leg}: {text}")),
            trunkgate_call::trace::TraceItem::Media { leg, text } => Some(format!("media {leg}: {text}")),
        };
        entries.iter().filter_map(text).collect::<Vec<_>>().join("\n")
    }
}

/// Returns the wire from a caller with PCMU and telephone-events on 101 to an agent.
pub fn to_agent_wire() -> WireSpec {
    WireSpec { payloads: vec![(0, 0)], keys: Some(101), codec: Some(MosCodec::G711), ..WireSpec::default() }
}

/// Returns the wire from an agent or a player to a caller with PCMU.
pub fn from_agent_wire() -> WireSpec {
    WireSpec { payloads: vec![(0, 0)], ..WireSpec::default() }
}

/// Hangs up the caller, and checks the end of its call.
pub fn hang_up(bench: &mut Bench, caller: &mut Dialing) {
    caller.cseq += 1;
    bench.receive(CARRIER, caller.request("BYE", "", ""));
    bench.expect(CARRIER, "SIP/2.0 200");
}

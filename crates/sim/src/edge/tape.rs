//! Gateway of a run, and a tape that records its inputs and outputs.
//!
//! A tape can be replayed by a new gateway without the simulated world, because a gateway is determined by its inputs
//! and by the audio statistics that workers share with it.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, Instant};

use trunkgate_call::gateway::{CallRestoration, GatewaySnapshot};
use trunkgate_call::{
    AppResource, CallControl, CallRequest, EdgeSettings, ForkControl, Gateway, GatewayConfig, GatewayControl,
    GatewayInput, GatewayOutput, RecogniserSpec, RecordingControl, RecordingLinks, RecordingStart,
};
use trunkgate_media::agent::AgentFormat;
use trunkgate_route::RoutingTable;

use super::figures::{SharedFigures, StatisticsValues};
use super::state_file::{LeftCalls, StateFile};
use super::table::addressing;
use super::through_json;
use crate::log::describe;

/// URL notified of every recording.
pub(crate) const NOTIFIED: &str = "https://app.example/recordings";

/// Input of a gateway as plain data, as recorded on a tape.
#[derive(Debug, Clone)]
pub enum TapedInput {
    /// Start of a gateway, or restart from its snapshot.
    Begin(Box<(GatewayConfig, Arc<RoutingTable>)>),
    /// Start of a gateway after a crash, with the calls that continue.
    Recover(Box<(GatewayConfig, Arc<RoutingTable>, GatewaySnapshot)>),
    /// Event from outside the gateway.
    Input(Box<GatewayInput>),
    /// Timeout of a timer of the gateway.
    Timeout,
    /// Change of a call.
    Call(CallControl),
    /// Change of a call's listeners.
    Fork(ForkControl),
    /// Request to begin a recording.
    Record(RecordingStart),
    /// Change of a recording.
    Recording(RecordingControl),
    /// Request to place a call.
    Request(Box<CallRequest>),
}

impl From<CallControl> for TapedInput {
    fn from(control: CallControl) -> TapedInput {
        TapedInput::Call(control)
    }
}

impl From<ForkControl> for TapedInput {
    fn from(control: ForkControl) -> TapedInput {
        TapedInput::Fork(control)
    }
}

impl From<RecordingStart> for TapedInput {
    fn from(control: RecordingStart) -> TapedInput {
        TapedInput::Record(control)
    }
}

impl From<RecordingControl> for TapedInput {
    fn from(control: RecordingControl) -> TapedInput {
        TapedInput::Recording(control)
    }
}

impl From<CallRequest> for TapedInput {
    fn from(request: CallRequest) -> TapedInput {
        TapedInput::Request(Box::new(request))
    }
}

/// Entry of a tape: input, output or statistics.
#[derive(Debug)]
enum TapeEntry {
    Input(Instant, Box<TapedInput>),
    /// Statistics of a media end; ends are numbered from 0 in order of their addition.
    Figures(usize, Box<StatisticsValues>),
    Output(String),
}

/// Inputs and outputs of a gateway, in the order in which they occurred.
#[derive(Debug, Default)]
pub struct Tape(Vec<TapeEntry>);

impl Tape {
    /// Returns the number of inputs on the tape.
    pub fn inputs(&self) -> usize {
        self.0.iter().filter(|entry| matches!(entry, TapeEntry::Input(..))).count()
    }

    fn outputs(&self) -> impl Iterator<Item = &String> {
        self.0.iter().filter_map(|entry| match entry {
            TapeEntry::Output(text) => Some(text),
            TapeEntry::Input(..) | TapeEntry::Figures(..) => None,
        })
    }

    /// Feeds the recorded inputs to a new gateway, and compares its outputs with the recorded ones.
    ///
    /// # Errors
    /// Returns the first difference between the outputs.
    pub fn replay(&self) -> Result<(), String> {
        let mut played: Option<TapedGateway> = None;
        for entry in &self.0 {
            let (now, input) = match (entry, &played) {
                (TapeEntry::Input(now, input), _) => (now, input),
                (TapeEntry::Figures(end, values), Some(gateway)) => {
                    gateway.shared.get(*end).ok_or("figures of an end that was not added")?.set(values);
                    continue;
                }
                (TapeEntry::Figures(..) | TapeEntry::Output(_), _) => continue,
            };
            match (&mut played, TapedInput::clone(input)) {
                (None, TapedInput::Begin(begun)) => played = Some(TapedGateway::new(*now, begun.0, begun.1, true)),
                (None, _) => return Err("the tape has no beginning".to_owned()),
                (Some(gateway), input) => gateway.take(*now, input)?,
            }
            while played.as_mut().is_some_and(|gateway| gateway.poll_output().is_some()) {}
        }
        let played = played.and_then(|gateway| gateway.tape).unwrap_or_default();
        let mut pairs = self.outputs().zip(played.outputs());
        if let Some((at, (first, second))) = pairs.by_ref().enumerate().find(|(_, (first, second))| first != second) {
            return Err(format!("output {at} differs:\n{first}\n{second}"));
        }
        match (self.outputs().count(), played.outputs().count()) {
            (recorded, replayed) if recorded != replayed => Err(format!("{replayed} outputs instead of {recorded}")),
            _ => Ok(()),
        }
    }
}

/// Formats each input with its time since the start, and each output, one per line.
impl fmt::Display for Tape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut began = None;
        for entry in &self.0 {
            match entry {
                TapeEntry::Input(now, input) => {
                    let time = now.saturating_duration_since(*began.get_or_insert(*now));
                    writeln!(f, "{:12.6} < {input:?}", time.as_secs_f64())?;
                }
                TapeEntry::Figures(end, values) => writeln!(f, "{:12} < {end} {values:?}", "")?,
                TapeEntry::Output(text) => writeln!(f, "{:12} > {text}", "")?,
            }
        }
        Ok(())
    }
}

/// Returns the full text of an output, including fields that its `Debug` output omits.
fn text_of(output: &GatewayOutput) -> String {
    let more = if let GatewayOutput::App(question) = output
        && let AppResource::Document(request) = &question.wanted
    {
        format!("{:?}", request.parameters)
    } else if let GatewayOutput::Callback(callback) = output {
        format!("{:?}", callback.request.parameters)
    } else if let GatewayOutput::Report(record) = output {
        serde_json::to_string(record).unwrap_or_default()
    } else {
        String::new()
    };
    format!("{output:?} {more}")
}

/// Gateway that is changed only by plain data, which a tape may record. Read access is unrestricted.
#[derive(Debug)]
pub struct TapedGateway {
    gateway: Gateway,
    tape: Option<Tape>,
    /// Statistics of all media ends added while the tape records.
    shared: Vec<SharedFigures>,
    /// State file that outlives a crash, if the seed has crashes.
    state_file: Option<StateFile>,
}

impl Deref for TapedGateway {
    type Target = Gateway;

    fn deref(&self) -> &Gateway {
        &self.gateway
    }
}

impl TapedGateway {
    /// Returns a gateway without calls. With `taped`, a tape records its inputs and outputs.
    pub(crate) fn new(now: Instant, config: GatewayConfig, table: Arc<RoutingTable>, taped: bool) -> TapedGateway {
        let begun = || TapedInput::Begin(Box::new((config.clone(), Arc::clone(&table))));
        let tape = taped.then(|| Tape(vec![TapeEntry::Input(now, Box::new(begun()))]));
        let gateway = recognising(now, Gateway::new(config, table, addressing()));
        TapedGateway { gateway, tape, shared: Vec::new(), state_file: None }
    }

    /// Writes the state of calls to a file from now on. With `misses_changes`, a call is written only once.
    pub(crate) fn keep_state(&mut self, now: Instant, misses_changes: bool) {
        self.state_file = Some(StateFile::follow(now, &mut self.gateway, misses_changes));
    }

    /// Returns the time of the next write to the state file; `None` if there is nothing to write.
    pub(crate) fn next_write(&self) -> Option<Instant> {
        self.state_file.as_ref()?.poll_timeout(&self.gateway)
    }

    /// Writes changes to the state file, if its interval is over.
    ///
    /// # Errors
    /// Returns a message if a snapshot cannot be written.
    pub(crate) fn write_state(&mut self, now: Instant) -> Result<(), String> {
        self.state_file.as_mut().map_or(Ok(()), |file| file.write(now, &mut self.gateway))
    }

    /// Loses the gateway. Returns the contents of its state file; the gateway in its place receives nothing until
    /// [`Self::recover`].
    ///
    /// # Errors
    /// Returns a message if the edge has no state file, or the state file lacks a change that is older than its
    /// interval.
    pub(crate) fn crash(
        &mut self,
        now: Instant,
        config: GatewayConfig,
        table: Arc<RoutingTable>,
    ) -> Result<LeftCalls, String> {
        let mut file = self.state_file.take().ok_or("the edge has no state file")?;
        file.check(now, &mut self.gateway)?;
        self.gateway = Gateway::new(config, table, addressing());
        Ok(file.into_left())
    }

    /// Starts a gateway after a crash, with the calls that continue. Returns the SIDs of calls that cannot be restored.
    pub(crate) fn recover(
        &mut self,
        now: Instant,
        config: GatewayConfig,
        table: Arc<RoutingTable>,
        calls: GatewaySnapshot,
    ) -> Vec<String> {
        self.note(now, || TapedInput::Recover(Box::new((config.clone(), Arc::clone(&table), calls.clone()))));
        self.gateway = recognising(now, Gateway::new(config, table, addressing()));
        let mut restoration = CallRestoration::begin(&mut self.gateway, now, calls);
        while restoration.restore_next(&mut self.gateway, now) {}
        restoration.into_lost()
    }

    /// Stops the recording and returns the tape; `None` if there is none.
    pub(crate) fn take_tape(&mut self) -> Option<Tape> {
        self.tape.take()
    }

    fn note(&mut self, now: Instant, input: impl FnOnce() -> TapedInput) {
        if let Some(tape) = &mut self.tape {
            let changed =
                self.shared.iter_mut().enumerate().filter_map(|(end, figures)| Some((end, figures.changed()?)));
            tape.0.extend(changed.map(|(end, values)| TapeEntry::Figures(end, Box::new(values))));
            tape.0.push(TapeEntry::Input(now, Box::new(input())));
        }
    }

    fn take(&mut self, now: Instant, input: TapedInput) -> Result<(), String> {
        match input {
            TapedInput::Begin(begun) => return self.restart(now, begun.0, begun.1),
            TapedInput::Recover(begun) => {
                let (config, table, calls) = *begun;
                self.recover(now, config, table, calls);
            }
            TapedInput::Input(input) => self.handle_input(now, *input),
            TapedInput::Timeout => self.handle_timeout(now),
            TapedInput::Call(control) => self.change_again(now, control),
            TapedInput::Fork(control) => self.change_again(now, control),
            TapedInput::Record(control) => self.change_again(now, control),
            TapedInput::Recording(control) => self.change_again(now, control),
            TapedInput::Request(request) => self.change_again(now, *request),
        }
        Ok(())
    }

    fn change_again<C: GatewayControl + Into<TapedInput>>(&mut self, now: Instant, control: C) {
        let _ = self.change(now, control);
    }

    /// Ends the gateway and starts another from its snapshot, as plain data through JSON.
    ///
    /// # Errors
    /// Returns a message if the snapshot cannot be written or read.
    pub(crate) fn restart(
        &mut self,
        now: Instant,
        config: GatewayConfig,
        table: Arc<RoutingTable>,
    ) -> Result<(), String> {
        let calls = through_json(&self.gateway.snapshot(now))?;
        self.note(now, || TapedInput::Begin(Box::new((config.clone(), Arc::clone(&table)))));
        self.gateway = recognising(now, Gateway::new(config, table, addressing()));
        self.gateway.restore(now, calls);
        if let Some(file) = &mut self.state_file {
            file.start_over(now, &mut self.gateway);
        }
        Ok(())
    }

    /// Returns a second gateway that has restored the calls of a snapshot of this one, as plain data through JSON, and
    /// the lines of what it has said.
    ///
    /// # Errors
    /// Returns a message if the snapshot cannot be written or read.
    pub(crate) fn restored_copy(
        &self,
        now: Instant,
        config: GatewayConfig,
        table: Arc<RoutingTable>,
        calls: &GatewaySnapshot,
    ) -> Result<(Gateway, String), String> {
        let calls = through_json(calls)?;
        let mut copy = Gateway::new(config, table, addressing());
        copy.handle_input(now, GatewayInput::Configure(Box::new(self.gateway.settings())));
        copy.restore(now, calls);
        let mut said = String::new();
        while let Some(output) = copy.poll_output() {
            if let GatewayOutput::Log(line) = &output {
                said.extend(["\n  ", line.call.as_str(), " ", line.text.as_str()]);
            } else if let GatewayOutput::Transmit(sent) = &output {
                said.extend(["\n  sends ", describe(&sent.bytes).as_str()]);
            }
        }
        Ok((copy, said))
    }

    /// Records an event on the tape and passes it to the gateway.
    pub fn handle_input(&mut self, now: Instant, input: GatewayInput) {
        self.note(now, || TapedInput::Input(Box::new(input.clone())));
        self.state_file.iter_mut().for_each(StateFile::handled);
        self.gateway.handle_input(now, input);
    }

    /// Records a timeout on the tape and passes it to the gateway.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.note(now, || TapedInput::Timeout);
        self.gateway.handle_timeout(now);
    }

    /// Records a change on the tape, makes it, and returns the gateway's answer.
    pub(crate) fn change<C: GatewayControl + Into<TapedInput>>(&mut self, now: Instant, control: C) -> C::Answer {
        self.note(now, || control.clone().into());
        self.state_file.iter_mut().for_each(StateFile::handled);
        control.apply(&mut self.gateway, now)
    }

    /// Returns the gateway's next output after recording it on the tape; `None` if there is none.
    pub fn poll_output(&mut self) -> Option<GatewayOutput> {
        let output = self.gateway.poll_output()?;
        if let Some(tape) = &mut self.tape {
            tape.0.push(TapeEntry::Output(text_of(&output)));
            if let GatewayOutput::Media { command, .. } = &output {
                self.shared.extend(SharedFigures::of(command));
            }
        }
        Some(output)
    }
}

/// Returns the gateway with a recording writer, and a recogniser for a few concurrent calls.
fn recognising(now: Instant, mut gateway: Gateway) -> Gateway {
    let recogniser = RecogniserSpec {
        url: "ws://10.0.0.9/recognise".to_owned(),
        token: None,
        ca: None,
        format: AgentFormat::L16Rate8000,
        connect_timeout: Duration::from_secs(2),
        max_sessions: 3,
        events: false,
    };
    let links = RecordingLinks {
        account: "AC0".to_owned(),
        base: "https://edge.example/Recordings".to_owned(),
        notify: Some(NOTIFIED.to_owned()),
        transcribes: true,
    };
    let (recogniser, recordings) = (Some(Arc::new(recogniser)), Some(Arc::new(links)));
    let settings = EdgeSettings { recogniser, recordings, ..gateway.settings() };
    gateway.handle_input(now, GatewayInput::Configure(Box::new(settings)));
    gateway
}

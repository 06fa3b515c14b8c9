//! Agents of the demo: WebSocket servers with Twilio's media-stream protocol, each connection in its own thread. One
//! path echoes the caller's audio, the other only listens. The received audio is compared bit for bit, as for a phone.

use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::{Message, WebSocket, accept_hdr};
use trunkgate_media::agent::NORMAL_CLOSE;
use trunkgate_phone::{AudioVerifier, G711Codec, MarkedVoice, ToneAnalyzer};

use super::DemoEvent;
use super::quality::{FrameDelays, FrameJournal, PartyMedia};

/// Path of the echo agent; on any other path the agent only listens.
const ECHO: &str = "/echo";

/// Record of one connection to an agent.
#[derive(Debug, Clone, Default)]
pub(super) struct AgentConversation {
    /// Audio from the caller.
    pub(super) inbound: PartyMedia,
    /// Audio to the caller.
    pub(super) outbound: PartyMedia,
    /// Protocol errors: sequence numbers, chunk numbers and timestamps that do not follow one another.
    pub(super) problems: Vec<String>,
    /// Whether the stream ended with `stop` and close code 1000.
    pub(super) ended_well: bool,
}

/// Handle of the agents; their threads end with their connections.
#[derive(Debug)]
pub(super) struct DemoAgents {
    /// Address of the WebSocket server.
    pub(super) address: SocketAddr,
    shared: Arc<DemoAgentsState>,
}

#[derive(Debug)]
struct DemoAgentsState {
    journal: FrameJournal,
    news: mpsc::Sender<DemoEvent>,
    /// Whether the echo is damaged on purpose, to test that the demo notices.
    harm: bool,
    live: Mutex<Vec<TcpStream>>,
    heard: Mutex<Vec<AgentConversation>>,
}

impl DemoAgentsState {
    fn live(&self) -> std::sync::MutexGuard<'_, Vec<TcpStream>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn heard(&self) -> std::sync::MutexGuard<'_, Vec<AgentConversation>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl DemoAgents {
    /// Binds a loopback port and accepts connections.
    pub(super) fn start(
        journal: FrameJournal,
        news: mpsc::Sender<DemoEvent>,
        harm: bool,
    ) -> std::io::Result<DemoAgents> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let (live, heard) = (Mutex::default(), Mutex::default());
        let shared = Arc::new(DemoAgentsState { journal, news, harm, live, heard });
        let threads = Arc::clone(&shared);
        let accept = move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let shared = Arc::clone(&threads);
                let serve = move || {
                    // A connection without a handshake is a probe of the edge.
                    if let Ok(conversation) = serve(stream, &shared) {
                        shared.heard().push(conversation);
                        let _ = shared.news.blocking_send(DemoEvent::AgentEnded);
                    }
                };
                let _ = std::thread::Builder::new().name("demo-agent".into()).spawn(serve);
            }
        };
        std::thread::Builder::new().name("demo-agents".into()).spawn(accept)?;
        Ok(DemoAgents { address, shared })
    }

    /// Closes all connections without a close frame, like a process that is killed.
    pub(super) fn kill(&self) {
        for stream in self.shared.live().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Removes and returns the records of connections that have ended.
    pub(super) fn take(&self) -> Vec<AgentConversation> {
        std::mem::take(&mut *self.shared.heard())
    }
}

fn serve(stream: TcpStream, shared: &DemoAgentsState) -> anyhow::Result<AgentConversation> {
    stream.set_nodelay(true)?;
    let other = stream.try_clone()?;
    let peer = stream.peer_addr()?;
    let path = Arc::new(OnceLock::new());
    let noted = Arc::clone(&path);
    // The large error type is required by tungstenite.
    #[allow(clippy::result_large_err)]
    let note = move |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
        let _ = noted.set(request.uri().path() == ECHO);
        Ok(response)
    };
    let mut socket = accept_hdr(stream, note)?;
    shared.live().push(other);
    let mut listener = AgentStreamCheck::new(shared, path.get() == Some(&true));
    let ended_well = listener.listen(&mut socket);
    shared.live().retain(|stream| stream.peer_addr().is_ok_and(|other| other != peer));
    Ok(listener.conversation(ended_well))
}

/// Fields of a stream message that the demo checks.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct StreamFields {
    event: String,
    sequence_number: Option<String>,
    stream_sid: Option<String>,
    media: Option<MediaFields>,
}

#[derive(Debug, Deserialize)]
struct MediaFields {
    track: String,
    chunk: String,
    timestamp: String,
    payload: String,
}

#[derive(Debug, Default)]
struct TrackAnalysis {
    judge: AudioVerifier,
    ear: ToneAnalyzer,
    chunks: u64,
    delays: FrameDelays,
}

/// State of one agent connection: analysis of its messages.
struct AgentStreamCheck<'a> {
    shared: &'a DemoAgentsState,
    echo: bool,
    inbound: TrackAnalysis,
    outbound: TrackAnalysis,
    sequence: u64,
    stopped: bool,
    problems: Vec<String>,
}

impl<'a> AgentStreamCheck<'a> {
    fn new(shared: &'a DemoAgentsState, echo: bool) -> AgentStreamCheck<'a> {
        let (inbound, outbound) = (TrackAnalysis::default(), TrackAnalysis::default());
        AgentStreamCheck { shared, echo, inbound, outbound, sequence: 0, stopped: false, problems: Vec::new() }
    }

    /// Receives messages until the connection ends; returns whether it ended properly.
    fn listen(&mut self, socket: &mut WebSocket<TcpStream>) -> bool {
        loop {
            let told = match socket.read() {
                Ok(Message::Text(text)) => serde_json::from_str::<StreamFields>(&text),
                Ok(Message::Close(frame)) => {
                    // Reading on completes the closing handshake.
                    while socket.read().is_ok() {}
                    return self.stopped && frame.is_some_and(|frame| u16::from(frame.code) == NORMAL_CLOSE);
                }
                Ok(_) => continue,
                Err(_) => return false,
            };
            let answer = told.map_err(|error| error.to_string()).and_then(|told| self.take(told, Instant::now()));
            match answer {
                Ok(Some(answer)) => {
                    if socket.send(Message::text(answer)).is_err() {
                        return false;
                    }
                }
                Ok(None) => {}
                Err(problem) => self.problems.push(problem),
            }
        }
    }

    /// Checks a stream message and returns the agent's reply. The error describes a violation of the protocol.
    fn take(&mut self, told: StreamFields, now: Instant) -> Result<Option<String>, String> {
        if let Some(number) = &told.sequence_number {
            self.sequence += 1;
            if *number != self.sequence.to_string() {
                return Err(format!("sequence number {number} instead of {}", self.sequence));
            }
        }
        match (told.event.as_str(), told.media) {
            ("start", _) => {
                let _ = self.shared.news.blocking_send(DemoEvent::AgentOpen { echo: self.echo });
                Ok(None)
            }
            ("stop", _) => {
                self.stopped = true;
                Ok(None)
            }
            ("media", Some(media)) => {
                let payload = self.hear(&media, now)?;
                let answer = self.echo.then(|| {
                    let media = json!({ "payload": BASE64_STANDARD.encode(payload) });
                    json!({ "event": "media", "streamSid": told.stream_sid, "media": media }).to_string()
                });
                Ok(answer)
            }
            _ => Ok(None),
        }
    }

    fn hear(&mut self, media: &MediaFields, now: Instant) -> Result<Vec<u8>, String> {
        let mut payload = BASE64_STANDARD.decode(&media.payload).map_err(|error| error.to_string())?;
        let track = if media.track == "inbound" { &mut self.inbound } else { &mut self.outbound };
        track.chunks += 1;
        let place = (track.chunks.to_string(), ((track.chunks - 1) * 20).to_string());
        if (&media.chunk, &media.timestamp) != (&place.0, &place.1) {
            return Err(format!("chunk {} at {} ms instead of {place:?}", media.chunk, media.timestamp));
        }
        let samples: Vec<i16> = payload.iter().map(|byte| G711Codec::Pcmu.decode(*byte)).collect();
        // Truncation is intended: the number wraps like RTP sequence numbers.
        track.ear.add_frame(now, track.chunks as u16, &samples);
        // Audio without an identifiable frame is silence, hold tone or transcoded.
        if let Some((ssrc, index)) = MarkedVoice::identify(G711Codec::Pcmu, &payload) {
            let packet = MarkedVoice::new(ssrc, G711Codec::Pcmu).packet(index, G711Codec::Pcmu.payload());
            if let Some(heard) = track.judge.add_packet(now, &packet) {
                track.delays.entry(ssrc).or_default().extend(self.shared.journal.heard(heard, now));
            }
        }
        if self.shared.harm {
            super::harm(&mut payload);
        }
        Ok(payload)
    }

    fn conversation(self, ended_well: bool) -> AgentConversation {
        let side = |track: TrackAnalysis| PartyMedia {
            verdicts: track.judge.voice_reports(),
            ear: track.ear,
            delays: track.delays,
            ..PartyMedia::default()
        };
        let (inbound, outbound) = (side(self.inbound), side(self.outbound));
        AgentConversation { inbound, outbound, problems: self.problems, ended_well }
    }
}

//! Agents on threads: one that echoes many calls, and many that misbehave. The agents use tungstenite and share no code
//! with the edge's agent implementation.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use nix::sys::socket::{setsockopt, sockopt};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tokio_tungstenite::tungstenite::{self, Message, WebSocket};

use super::rtp;

/// Behaviour of an agent on each of its connections.
#[derive(Debug, Clone)]
pub(crate) enum Manner {
    /// Echoes each frame, except for the omitted ones.
    Echo {
        /// Interval of omitted frames: one in this many; 0 if none is omitted.
        leave_out: u32,
    },
    /// Sends these messages after `start`, then echoes.
    Say(Vec<Message>),
    /// Stops reading after a number of messages, and keeps the connection.
    StopsReading {
        /// Number of messages read before the agent stops.
        after: u32,
    },
    /// Echoes each frame, and breaks the connection after a number of them.
    Breaks {
        /// Number of frames echoed before the break.
        after: u32,
    },
    /// Reads and sends nothing.
    Mute,
    /// Reads and records the received audio.
    WriteDown,
    /// Answers the handshake with this text, then closes.
    Http(&'static str),
    /// Accepts the TCP connection and never sends a byte.
    Nothing,
}

/// Running agent; its threads end with the process or with their connections.
#[derive(Debug)]
pub(crate) struct Bot {
    /// Listening address of the agent.
    pub(crate) address: SocketAddr,
    heard: Arc<Mutex<Tracks>>,
    starts: Arc<Mutex<Vec<Instant>>>,
}

/// Received audio in samples: of the inbound and of the outbound track.
type Tracks = [Vec<f64>; 2];

impl Bot {
    /// Starts an agent on a free loopback port.
    pub(crate) fn start(manner: Manner) -> anyhow::Result<Bot> {
        Bot::start_with(manner, None)
    }

    /// Starts an agent on a free loopback port, with TLS if it has an identity.
    pub(crate) fn start_with(manner: Manner, identity: Option<Arc<ServerConfig>>) -> anyhow::Result<Bot> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        if matches!(manner, Manner::StopsReading { .. }) {
            // Each connection inherits this small buffer: the sender stops soon after the reader.
            setsockopt(&listener, sockopt::RcvBuf, &4_096)?;
        }
        let address = listener.local_addr()?;
        let (heard, starts) = (Arc::new(Mutex::new(Tracks::default())), Arc::<Mutex<_>>::default());
        let kept = AgentNotes { heard: Arc::clone(&heard), starts: Arc::clone(&starts) };
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (manner, kept, identity) = (manner.clone(), kept.clone(), identity.clone());
                std::thread::spawn(move || drop(secure(stream, identity, &manner, &kept)));
            }
        });
        Ok(Bot { address, heard, starts })
    }

    /// Returns the times of the messages `start` so far.
    pub(crate) fn starts(&self) -> Vec<Instant> {
        self.starts.lock().map(|starts| starts.clone()).unwrap_or_default()
    }

    /// Returns the audio recorded so far, in samples: inbound and outbound.
    pub(crate) fn written_down(&self) -> Tracks {
        self.heard.lock().map(|tracks| tracks.clone()).unwrap_or_default()
    }

    /// Returns the WebSocket URL of the agent.
    pub(crate) fn url(&self) -> String {
        format!("ws://{}/media", self.address)
    }
}

/// Data that the connections of an agent share.
#[derive(Clone)]
struct AgentNotes {
    heard: Arc<Mutex<Tracks>>,
    starts: Arc<Mutex<Vec<Instant>>>,
}

/// Serves a connection, with TLS if the agent has an identity.
fn secure(
    stream: TcpStream,
    identity: Option<Arc<ServerConfig>>,
    manner: &Manner,
    kept: &AgentNotes,
) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    match identity {
        Some(identity) => serve(StreamOwned::new(ServerConnection::new(identity)?, stream), manner, kept),
        None => serve(stream, manner, kept),
    }
}

fn serve(mut stream: impl Read + Write, manner: &Manner, kept: &AgentNotes) -> anyhow::Result<()> {
    let heard = &kept.heard;
    match manner {
        Manner::Http(answer) => {
            let mut request = [0; 4_096];
            let _ = stream.read(&mut request)?;
            stream.write_all(answer.as_bytes())?;
        }
        Manner::Nothing => std::thread::sleep(Duration::from_secs(600)),
        Manner::Echo { leave_out } => echo(&mut accept(stream)?, *leave_out, u32::MAX, kept)?,
        Manner::Breaks { after } => echo(&mut accept(stream)?, 0, *after, kept)?,
        Manner::Mute => {
            let mut socket = accept(stream)?;
            while let Ok(message) = socket.read() {
                kept.note_start(&message);
            }
        }
        Manner::WriteDown => {
            let mut socket = accept(stream)?;
            loop {
                let Message::Text(text) = socket.read()? else { continue };
                let Some(payload) = field(&text, "payload") else { continue };
                let samples = BASE64.decode(payload)?.into_iter().map(rtp::linear);
                let mut tracks = heard.lock().map_err(|_| anyhow!("a writer panicked"))?;
                let [inbound, outbound] = &mut *tracks;
                let track = if field(&text, "track") == Some("inbound") { inbound } else { outbound };
                track.extend(samples);
            }
        }
        Manner::Say(messages) => {
            let mut socket = accept(stream)?;
            let stream_sid = loop {
                let text = socket.read()?.into_text()?;
                if text.contains("\"start\"") {
                    break field(&text, "streamSid").context("start without streamSid")?.to_owned();
                }
            };
            for message in messages {
                socket.send(match message.to_text() {
                    Ok(text) if message.is_text() => Message::text(text.replace("{sid}", &stream_sid)),
                    _ => message.clone(),
                })?;
            }
            echo(&mut socket, 0, u32::MAX, kept)?;
        }
        Manner::StopsReading { after } => {
            let mut socket = accept(stream)?;
            for _ in 0..*after {
                socket.read()?;
            }
            std::thread::sleep(Duration::from_secs(600));
        }
    }
    Ok(())
}

/// Completes the handshake of a WebSocket connection.
fn accept<S: Read + Write>(stream: S) -> anyhow::Result<WebSocket<S>> {
    tungstenite::accept(stream).map_err(|error| anyhow!("a handshake: {error}"))
}

impl AgentNotes {
    /// Records the time of a message `start`.
    fn note_start(&self, message: &Message) {
        let is_start = message.to_text().is_ok_and(|text| field(text, "event") == Some("start"));
        if is_start && let Ok(mut starts) = self.starts.lock() {
            starts.push(Instant::now());
        }
    }
}

/// Echoes at most this many frames.
fn echo(socket: &mut WebSocket<impl Read + Write>, leave_out: u32, most: u32, kept: &AgentNotes) -> anyhow::Result<()> {
    let mut frames = 0u32;
    while frames < most {
        let message = socket.read()?;
        kept.note_start(&message);
        let Message::Text(text) = message else { continue };
        let (Some(payload), Some(stream)) = (field(&text, "payload"), field(&text, "streamSid")) else { continue };
        frames += 1;
        if leave_out > 0 && frames.is_multiple_of(leave_out) {
            continue;
        }
        let answer = format!(r#"{{"event":"media","streamSid":"{stream}","media":{{"payload":"{payload}"}}}}"#);
        socket.send(Message::text(answer))?;
    }
    Ok(())
}

/// Returns the string of a field anywhere in the text, as far as the edge's messages need it.
pub(crate) fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("\"{name}\":\""))?;
    rest.split('"').next()
}

/// Returns a configuration with a carrier, a PBX, an agent with these keys, and a route from the carrier to these
/// targets.
pub(crate) fn with_agent(keys: &str, connect: &str) -> String {
    format!(
        r#"
[api]
account_sid = "AC0123456789abcdef0123456789abcdef"
[trunk.carrier]
accept_from = ["127.0.0.2/32"]
[trunk.pbx]
options_interval = "0s"
peers = ["sip:127.0.0.3:5060"]
[agent.bot]
{keys}
[[route]]
from = ["carrier"]
connect = [{connect}]
"#
    )
}

//! Agents on threads: one that echoes many calls, and many that misbehave. The agents use tungstenite and share no code
//! with the edge's agent implementation.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use nix::sys::socket::{setsockopt, sockopt};
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
}

/// Received audio in samples: of the inbound and of the outbound track.
type Tracks = [Vec<f64>; 2];

impl Bot {
    /// Starts an agent on a free loopback port.
    pub(crate) fn start(manner: Manner) -> anyhow::Result<Bot> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        if matches!(manner, Manner::StopsReading { .. }) {
            // Each connection inherits this small buffer: the sender stops soon after the reader.
            setsockopt(&listener, sockopt::RcvBuf, &4_096)?;
        }
        let address = listener.local_addr()?;
        let heard = Arc::new(Mutex::new(Tracks::default()));
        let keeps = Arc::clone(&heard);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (manner, heard) = (manner.clone(), Arc::clone(&keeps));
                std::thread::spawn(move || drop(serve(stream, &manner, &heard)));
            }
        });
        Ok(Bot { address, heard })
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

fn serve(mut stream: TcpStream, manner: &Manner, heard: &Mutex<Tracks>) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    match manner {
        Manner::Http(answer) => {
            let mut request = [0; 4_096];
            let _ = stream.read(&mut request)?;
            stream.write_all(answer.as_bytes())?;
        }
        Manner::Nothing => std::thread::sleep(Duration::from_secs(600)),
        Manner::Echo { leave_out } => echo(&mut tungstenite::accept(stream)?, *leave_out, u32::MAX)?,
        Manner::Breaks { after } => echo(&mut tungstenite::accept(stream)?, 0, *after)?,
        Manner::Mute => {
            let mut socket = tungstenite::accept(stream)?;
            while socket.read().is_ok() {}
        }
        Manner::WriteDown => {
            let mut socket = tungstenite::accept(stream)?;
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
            let mut socket = tungstenite::accept(stream)?;
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
            echo(&mut socket, 0, u32::MAX)?;
        }
        Manner::StopsReading { after } => {
            let mut socket = tungstenite::accept(stream)?;
            for _ in 0..*after {
                socket.read()?;
            }
            std::thread::sleep(Duration::from_secs(600));
        }
    }
    Ok(())
}

/// Echoes at most this many frames.
fn echo(socket: &mut WebSocket<TcpStream>, leave_out: u32, most: u32) -> anyhow::Result<()> {
    let mut frames = 0u32;
    while frames < most {
        let Message::Text(text) = socket.read()? else { continue };
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

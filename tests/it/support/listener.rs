//! WebSocket server of a listener, which accepts every stream and parses each message; or of an agent that sends audio
//! and leaves.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tokio_tungstenite::tungstenite::{Message, WebSocket, accept};

use super::{PATIENCE, until};

/// Audio frame of 20 ms on a track.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) timestamp: u64,
    pub(crate) chunk: u64,
    pub(crate) audio: Vec<u8>,
}

/// Content of one stream so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stream {
    pub(crate) start: Value,
    pub(crate) inbound: Vec<Frame>,
    pub(crate) outbound: Vec<Frame>,
    pub(crate) stopped: bool,
    /// Messages that are not audio.
    pub(crate) told: Vec<Value>,
    /// Close code; `Some(None)` if the stream ended without one.
    pub(crate) closed: Option<Option<u16>>,
}

impl Stream {
    /// Checks that both tracks are complete: each frame is 20 ms after the previous one, from 0 on.
    pub(crate) fn assert_unbroken(&self) {
        for track in [&self.inbound, &self.outbound] {
            for (n, frame) in (0..).zip(track) {
                assert_eq!((frame.timestamp, frame.chunk, frame.audio.len()), (n * 20, n + 1, 160));
            }
        }
    }
}

/// Running server; its threads end with the process.
pub(crate) struct Listener {
    pub(crate) address: SocketAddr,
    streams: Arc<Mutex<Vec<Stream>>>,
}

type Socket = WebSocket<TcpStream>;

impl Listener {
    /// Starts a server that only listens.
    pub(crate) fn start() -> Listener {
        Listener::doing(|_, _| true)
    }

    /// Starts a server that calls `deed` after each message with its socket and the stream so far, until `deed` returns
    /// false.
    pub(crate) fn doing(deed: impl Fn(&mut Socket, &Stream) -> bool + Send + Sync + 'static) -> Listener {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let streams: Arc<Mutex<Vec<Stream>>> = Arc::default();
        let (all, deed) = (Arc::clone(&streams), Arc::new(deed));
        std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                let (all, deed) = (Arc::clone(&all), Arc::clone(&deed));
                std::thread::spawn(move || {
                    stream.set_read_timeout(Some(PATIENCE)).unwrap();
                    if let Ok(socket) = accept(stream) {
                        serve(socket, &all, &*deed);
                    }
                });
            }
        });
        Listener { address, streams }
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}/media", self.address)
    }

    /// Returns all streams so far, in order.
    pub(crate) fn streams(&self) -> Vec<Stream> {
        self.streams.lock().unwrap().clone()
    }

    /// Waits until the first stream satisfies a condition.
    pub(crate) fn first(&self, what: &str, wanted: impl Fn(&Stream) -> bool) -> Stream {
        until(what, || self.streams().into_iter().next().filter(&wanted))
    }
}

fn serve(mut socket: Socket, all: &Mutex<Vec<Stream>>, deed: &dyn Fn(&mut Socket, &Stream) -> bool) {
    let at = {
        let mut all = all.lock().unwrap();
        all.push(Stream::default());
        all.len() - 1
    };
    let closed = loop {
        match socket.read() {
            Ok(Message::Text(text)) => {
                let message = serde_json::from_str(&text).unwrap();
                let stream = take(&mut all.lock().unwrap()[at], &message);
                if !deed(&mut socket, &stream) {
                    break None;
                }
            }
            Ok(Message::Close(frame)) => break frame.map(|frame| frame.code.into()),
            Ok(_) => {}
            Err(_) => break None,
        }
    };
    // This sends the response to the close.
    let _ = socket.flush();
    all.lock().unwrap()[at].closed = Some(closed);
}

/// Adds a message to a stream; returns the stream so far.
fn take(stream: &mut Stream, message: &Value) -> Stream {
    let number = |value: &Value| value.as_str().unwrap().parse().unwrap();
    match message["event"].as_str().unwrap() {
        "start" => stream.start = message.clone(),
        "media" => {
            let media = &message["media"];
            let frame = Frame {
                timestamp: number(&media["timestamp"]),
                chunk: number(&media["chunk"]),
                audio: STANDARD.decode(media["payload"].as_str().unwrap()).unwrap(),
            };
            let is_inbound = media["track"] == "inbound";
            if is_inbound { stream.inbound.push(frame) } else { stream.outbound.push(frame) }
        }
        "stop" => stream.stopped = true,
        _ => stream.told.push(message.clone()),
    }
    stream.clone()
}

//! Speech recogniser of a sandbox for `[recognition] url` (docs/configure/recognition.md). The caller's RTP contains
//! the words of `say` in the code of the codebook, so they are decoded from the edge's audio without a speech engine.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, accept_async};

use super::voice::{Codebook, SoundDecoder, SoundKind};

/// Sample rate of the audio, in Hz.
const RATE: f64 = 8000.0;

/// Speech recogniser on loopback; serves until the runtime ends.
#[derive(Debug)]
pub(super) struct SandboxRecogniser {
    /// WebSocket URL of the recogniser.
    pub(super) url: String,
    sessions: SessionCounts,
}

impl SandboxRecogniser {
    /// Binds a free port and starts serving.
    pub(super) async fn start(book: Codebook) -> std::io::Result<SandboxRecogniser> {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let url = format!("ws://{}/", listener.local_addr()?);
        let sessions = SessionCounts::default();
        let counted = sessions.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, book.clone(), counted.clone()));
            }
        });
        Ok(SandboxRecogniser { url, sessions })
    }

    /// Returns whether the edge is sending audio of the call with this SID for recognition.
    pub(super) fn listens(&self, call: &str) -> bool {
        self.sessions.lock().contains_key(call)
    }
}

/// Number of sessions that receive audio, by call SID.
#[derive(Debug, Clone, Default)]
struct SessionCounts(Arc<Mutex<BTreeMap<String, usize>>>);

impl SessionCounts {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Guard that counts a session as receiving audio until it is dropped.
struct SessionGuard {
    sessions: SessionCounts,
    call: String,
}

impl SessionGuard {
    fn begin(sessions: &SessionCounts, call: &str) -> SessionGuard {
        *sessions.lock().entry(call.to_owned()).or_default() += 1;
        SessionGuard { sessions: sessions.clone(), call: call.to_owned() }
    }
}

impl Drop for SessionGuard {
    fn drop(&mut self) {
        let mut sessions = self.sessions.lock();
        let left = sessions.get(&self.call).map_or(0, |count| count.saturating_sub(1));
        match left {
            0 => drop(sessions.remove(&self.call)),
            left => drop(sessions.insert(self.call.clone(), left)),
        }
    }
}

/// Text message from the edge.
#[derive(Debug, PartialEq, Eq)]
enum EdgeMessage {
    /// Audio of the call with this SID follows.
    Start { call: String },
    /// The audio has ended; the server closes the connection.
    Stop,
    /// Any other message.
    Other,
}

impl EdgeMessage {
    fn parse(text: &str) -> EdgeMessage {
        let json: Value = serde_json::from_str(text).unwrap_or_default();
        match json.get("type").and_then(Value::as_str) {
            Some("start") => {
                let call = json.pointer("/options/callSid").and_then(Value::as_str);
                EdgeMessage::Start { call: call.unwrap_or_default().to_owned() }
            }
            Some("stop") => EdgeMessage::Stop,
            Some(_) | None => EdgeMessage::Other,
        }
    }
}

async fn serve(stream: TcpStream, book: Codebook, sessions: SessionCounts) {
    let Ok(mut socket) = accept_async(stream).await else { return };
    let (mut understanding, mut call, mut listening) = (SpeechDecoder::default(), String::new(), None);
    while let Some(Ok(message)) = socket.next().await {
        match message {
            Message::Binary(audio) => {
                listening.get_or_insert_with(|| SessionGuard::begin(&sessions, &call));
                for result in understanding.take(&book, &audio) {
                    if send(&mut socket, &result).await.is_err() {
                        return;
                    }
                }
            }
            Message::Text(text) => match EdgeMessage::parse(&text) {
                EdgeMessage::Start { call: named } => call = named,
                EdgeMessage::Stop => break,
                EdgeMessage::Other => {}
            },
            Message::Close(_) => break,
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
        }
    }
    drop(listening);
    let _ = socket.close(None).await;
}

/// Recognition result, partial or final.
#[derive(Debug, Clone, PartialEq, Eq)]
struct TranscriptResult {
    text: String,
    is_final: bool,
}

async fn send(
    socket: &mut WebSocketStream<TcpStream>,
    result: &TranscriptResult,
) -> Result<(), tokio_tungstenite::tungstenite::Error> {
    let mut alternative = json!({ "transcript": result.text });
    if result.is_final {
        alternative["confidence"] = json!(1.0);
    }
    let message = json!({ "type": "transcription", "is_final": result.is_final, "alternatives": [alternative] });
    socket.send(Message::text(message.to_string())).await
}

/// State of speech recognition in one session.
#[derive(Debug, Default)]
struct SpeechDecoder {
    ear: SoundDecoder,
    samples: usize,
    /// Number of sounds with a final result, then number of characters of the next sound already reported.
    done: (usize, usize),
}

impl SpeechDecoder {
    /// Adds linear 16-bit audio. Returns a partial result at the end of each word, and a final result at the end of a
    /// text.
    fn take(&mut self, book: &Codebook, audio: &[u8]) -> Vec<TranscriptResult> {
        let samples: Vec<i16> = audio.as_chunks::<2>().0.iter().map(|pair| i16::from_le_bytes(*pair)).collect();
        self.ear.take(book, self.samples as f64 / RATE, &samples);
        self.samples += samples.len();
        let mut results = Vec::new();
        for (at, heard) in self.ear.heard().iter().enumerate().skip(self.done.0) {
            let (SoundKind::Text { text, last, .. }, Some(words)) = (&heard.what, heard.words()) else { continue };
            let is_final = last + 1 == text.chars().count();
            let is_word = words.ends_with(char::is_whitespace) && words.len() > self.done.1;
            if is_final || is_word {
                let text = words.trim_end().to_owned();
                self.done = if is_final { (at + 1, 0) } else { (at, words.len()) };
                results.push(TranscriptResult { text, is_final });
            }
        }
        results
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(samples: &[i16]) -> Vec<u8> {
        samples.iter().flat_map(|sample| sample.to_le_bytes()).collect()
    }

    #[test]
    fn a_session_listens_to_the_call_that_it_is_for() {
        let message = |text: &str| EdgeMessage::parse(text);
        let start = "{\"type\":\"start\",\"options\":{\"hints\":[\"stop\"],\"callSid\":\"CA1\"}}";
        assert_eq!(message(start), EdgeMessage::Start { call: "CA1".to_owned() });
        assert_eq!(message("{\"type\":\"stop\"}"), EdgeMessage::Stop);
        assert_eq!((message("{}"), message("stop")), (EdgeMessage::Other, EdgeMessage::Other));
        let sessions = SessionCounts::default();
        let listens = |call: &str| sessions.lock().contains_key(call);
        let (gather, track) = (SessionGuard::begin(&sessions, "CA1"), SessionGuard::begin(&sessions, "CA1"));
        assert!(listens("CA1") && !listens("CA2"));
        drop(gather);
        assert!(listens("CA1"));
        drop(track);
        assert!(!listens("CA1"));
    }

    #[test]
    fn words_are_partial_results_and_a_text_is_a_final_one() {
        let (book, mut understanding) = (Codebook::default(), SpeechDecoder::default());
        let said = [vec![0; 800], book.speak("Put me through"), vec![0; 800], book.speak("Now")].concat();
        let results: Vec<TranscriptResult> =
            said.chunks(160).flat_map(|packet| understanding.take(&book, &bytes(packet))).collect();
        let result = |text: &str, is_final| TranscriptResult { text: text.to_owned(), is_final };
        let wanted =
            [result("Put", false), result("Put me", false), result("Put me through", true), result("Now", true)];
        assert_eq!(results, wanted);
    }

    #[test]
    fn other_audio_is_nothing_that_was_said() {
        let (book, mut understanding) = (Codebook::default(), SpeechDecoder::default());
        let tone: Vec<i16> = (0..1600).map(|n| if n % 20 < 10 { 4000 } else { -4000 }).collect();
        assert!(understanding.take(&book, &bytes(&tone)).is_empty() && understanding.take(&book, &[1]).is_empty());
    }
}

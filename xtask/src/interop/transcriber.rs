//! Transcription service in a thread, which accepts a form with audio and always returns the same text.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::ensure;

use super::front::read_request;

/// Secret that the edge and the service share.
const TOKEN: &str = "transcriber-0123456789abcdef";
/// Text returned for every recording.
pub(crate) const TEXT: &str = "Please call back about the invoice.";
/// Maximum wait for the rest of a request.
const PATIENCE: Duration = Duration::from_secs(10);

/// Running transcription service; its thread ends with the process.
#[derive(Debug)]
pub(crate) struct Transcriber {
    address: SocketAddr,
    answered: Arc<AtomicUsize>,
}

impl Transcriber {
    /// Starts the service on a free loopback port.
    pub(crate) fn start() -> anyhow::Result<Transcriber> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let answered = Arc::<AtomicUsize>::default();
        let count = Arc::clone(&answered);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if take(stream).is_ok() {
                    count.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        Ok(Transcriber { address, answered })
    }

    /// Returns the configuration table of the service; `all`: every recording is transcribed.
    pub(crate) fn table(&self, all: bool) -> String {
        let url = format!("http://{}/v1/audio/transcriptions", self.address);
        format!("[transcription]\nurl = \"{url}\"\ntoken = \"{TOKEN}\"\nmodel = \"whisper-1\"\nall = {all}\n")
    }

    /// Returns the number of recordings transcribed so far.
    pub(crate) fn answered(&self) -> usize {
        self.answered.load(Ordering::Relaxed)
    }
}

/// Answers a request as OpenAI's service does.
fn take(mut stream: TcpStream) -> anyhow::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let (head, body) = read_request(&mut stream)?;
    let has = |bytes: &[u8]| body.windows(bytes.len()).any(|part| part == bytes);
    let is_whole = head.starts_with("POST /v1/audio/transcriptions ")
        && head.lines().any(|line| line.eq_ignore_ascii_case(&format!("authorization: Bearer {TOKEN}")))
        && [&b"name=\"model\""[..], b"whisper-1", b"name=\"file\"", b"RIFF"].into_iter().all(has);
    let (status, text) = match is_whole {
        true => ("200 OK", serde_json::json!({ "text": TEXT }).to_string()),
        false => ("400 Bad Request", serde_json::json!({ "error": { "message": "no form with audio" } }).to_string()),
    };
    let length = text.len();
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{text}"
    );
    stream.write_all(answer.as_bytes())?;
    ensure!(is_whole, "{head}");
    Ok(())
}

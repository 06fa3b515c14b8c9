//! Application: an HTTP server on loopback that measures its own response time.

use std::f64::consts::TAU;
use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::interop::sound::{self, AMPLITUDE};

/// Contents of a document file that plays the same prompt.
pub(super) const FILE: &str = "<Response><Play>prompt.wav</Play><Pause length=\"60\"/></Response>";
/// Documents of the server, by their paths.
const DOCUMENTS: [(&str, &str); 5] = [
    ("/gather", "<Gather timeout=\"600\"/>"),
    ("/menu", "<Gather timeout=\"600\"><Play>/prompt.wav</Play></Gather>"),
    ("/play", "<Play>/prompt.wav</Play><Pause length=\"60\"/>"),
    ("/hang-up", "<Gather timeout=\"1\"/>"),
    ("/say", "<Say>Attention please, this sentence is known by now.</Say><Pause length=\"60\"/>"),
];
/// Path of a document with a new sentence for each request.
pub(super) const NEW_SENTENCE: &str = "/say-new";
/// Number of sentences returned so far.
static SENTENCES: AtomicU64 = AtomicU64::new(0);
/// Length of the prompt in seconds.
const PROMPT_SECONDS: u32 = 1;

/// Running application; its threads end with the process.
#[derive(Debug)]
pub(super) struct Application {
    /// Address of the application's server.
    pub(super) address: SocketAddr,
    took_ns: Arc<AtomicU64>,
    prompt: Arc<[u8]>,
}

impl Application {
    /// Starts an application on a free loopback port.
    pub(super) fn start() -> anyhow::Result<Application> {
        let socket = TcpListener::bind("127.0.0.1:0")?;
        let address = socket.local_addr()?;
        let took_ns = Arc::new(AtomicU64::new(0));
        let prompt: Arc<[u8]> = sound::wav(8000, 1, PROMPT_SECONDS, |t| AMPLITUDE * (TAU * 440.0 * t).sin()).into();
        let (of_threads, body) = (Arc::clone(&took_ns), Arc::clone(&prompt));
        std::thread::spawn(move || {
            for stream in socket.incoming().map_while(Result::ok) {
                let (took_ns, prompt) = (Arc::clone(&of_threads), Arc::clone(&body));
                std::thread::spawn(move || drop(serve(&stream, &took_ns, &prompt)));
            }
        });
        Ok(Application { address, took_ns, prompt })
    }

    /// Returns the prompt as a WAV file.
    pub(super) fn prompt(&self) -> &[u8] {
        &self.prompt
    }

    /// Resets the measured response time.
    pub(super) fn forget(&self) {
        self.took_ns.store(0, Ordering::Relaxed);
    }

    /// Returns the total time from complete requests to written responses since the reset.
    pub(super) fn took(&self) -> Duration {
        Duration::from_nanos(self.took_ns.load(Ordering::Relaxed))
    }
}

fn serve(stream: &TcpStream, took_ns: &AtomicU64, prompt: &[u8]) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    loop {
        let (path, length) = head(&mut reader)?;
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let began = Instant::now();
        let document = DOCUMENTS.iter().find(|(known, _)| *known == path).map(|(_, verbs)| (*verbs).to_owned());
        let new_sentence = || {
            let number = SENTENCES.fetch_add(1, Ordering::Relaxed);
            format!("<Say>Attention please, this is sentence number {number}.</Say><Pause length=\"60\"/>")
        };
        let document = document.or_else(|| (path == NEW_SENTENCE).then(new_sentence));
        let (kind, body) = match document {
            Some(verbs) => ("text/xml", format!("<Response>{verbs}</Response>").into_bytes()),
            None => ("audio/wav", prompt.to_vec()),
        };
        let mut answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nCache-Control: max-age=3600\r\nContent-Length: {}\r\n\r\n",
            body.len()
        )
        .into_bytes();
        answer.extend(body);
        let mut stream = stream;
        stream.write_all(&answer)?;
        let took = u64::try_from(began.elapsed().as_nanos())?;
        took_ns.fetch_add(took, Ordering::Relaxed);
    }
}

/// Reads the head of a request; returns the path of the request and the length of its body.
fn head(reader: &mut impl BufRead) -> anyhow::Result<(String, usize)> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let path = line.split(' ').nth(1).context("the connection was closed")?.to_owned();
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.split_once(':') else { return Ok((path, length)) };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse()?;
        }
    }
}

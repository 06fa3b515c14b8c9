//! Scripted HTTP server for the tests of the client.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Action of the scripted server on a request.
#[derive(Debug, Clone)]
pub(super) enum Act {
    /// Sends these bytes, and reads the next request.
    Send(Vec<u8>),
    /// Sends these bytes, and closes the connection.
    Last(Vec<u8>),
    /// Resets the connection.
    Reset,
    /// Sends nothing, and keeps the connection open.
    Silence,
    /// Sends the first bytes once, then the second ones repeatedly with this pause.
    Endless(Vec<u8>, Vec<u8>, Duration),
}

/// Request that the scripted server has received.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) method: String,
    pub(super) target: String,
    /// Headers by lower-case name.
    pub(super) headers: HashMap<String, String>,
    pub(super) body: String,
    /// Number of the connection, from 0.
    pub(super) connection: usize,
}

/// Scripted server; it ends with the runtime of its test.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    connections: Arc<AtomicUsize>,
}

impl Server {
    /// Starts a server; the script gets the number of each request, from 0, and the request.
    pub(super) async fn start(script: impl Fn(usize, &Seen) -> Act + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = Server { address, seen: Arc::default(), connections: Arc::default() };
        let (seen, connections, script) = (Arc::clone(&server.seen), Arc::clone(&server.connections), Arc::new(script));
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let connection = connections.fetch_add(1, Ordering::Relaxed);
                let (seen, script) = (Arc::clone(&seen), Arc::clone(&script));
                tokio::spawn(async move {
                    // A client may disconnect at any time.
                    drop(serve(stream, connection, &seen, &*script).await);
                });
            }
        });
        server
    }

    /// Starts a server that does the same on every request.
    pub(super) async fn always(act: Act) -> Server {
        Server::start(move |_, _| act.clone()).await
    }

    /// Returns a URL of the server with this path.
    pub(super) fn url(&self, rest: &str) -> String {
        format!("http://{}{rest}", self.address)
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

async fn serve(
    mut stream: TcpStream,
    connection: usize,
    all: &Mutex<Vec<Seen>>,
    script: &(impl Fn(usize, &Seen) -> Act + Sync),
) -> std::io::Result<()> {
    let mut buffer = Vec::new();
    while let Some(mut seen) = read(&mut stream, &mut buffer).await? {
        seen.connection = connection;
        let number = {
            let mut all = all.lock().unwrap();
            all.push(seen.clone());
            all.len() - 1
        };
        match script(number, &seen) {
            Act::Send(bytes) => stream.write_all(&bytes).await?,
            Act::Last(bytes) => return stream.write_all(&bytes).await,
            Act::Reset => return SockRef::from(&stream).set_linger(Some(Duration::ZERO)),
            Act::Silence => {}
            Act::Endless(first, again, pause) => {
                stream.write_all(&first).await?;
                loop {
                    stream.write_all(&again).await?;
                    if !pause.is_zero() {
                        tokio::time::sleep(pause).await;
                    }
                }
            }
        }
    }
    Ok(())
}

/// Reads the next request; `None` if the client has closed the connection.
async fn read(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> std::io::Result<Option<Seen>> {
    let head = loop {
        if let Some(end) = buffer.windows(4).position(|end| end == b"\r\n\r\n") {
            break String::from_utf8(buffer.drain(..end + 4).collect()).unwrap();
        }
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    };
    let mut lines = head.lines();
    let mut first = lines.next().unwrap().split(' ').map(str::to_owned);
    let (method, target) = (first.next().unwrap(), first.next().unwrap());
    let headers: HashMap<String, String> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    while buffer.len() < length {
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
    let body = String::from_utf8(buffer.drain(..length).collect()).unwrap();
    Ok(Some(Seen { method, target, headers, body, connection: 0 }))
}

/// Returns a response with a body and additional header lines, each with its line end.
pub(super) fn answer(status: &str, headers: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// Returns a response with a TwiML document.
pub(super) fn xml(body: &str) -> Vec<u8> {
    answer("200 OK", "Content-Type: Text/XML; charset=utf-8\r\n", body)
}

/// Returns a redirect response.
pub(super) fn redirect(status: u16, location: &str) -> Vec<u8> {
    answer(&format!("{status} Moved"), &format!("Location: {location}\r\n"), "")
}

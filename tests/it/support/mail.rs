//! Mail server on plain threads: STARTTLS or implicit TLS, AUTH PLAIN, and a recipient that does not exist.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::PATIENCE;
use super::tls::{Pair, provider};

/// Maximum number of connections to the server.
const CONNECTIONS: usize = 64;
/// Maximum length of a message, in bytes.
const MESSAGE_BYTES: usize = 32 << 20;
/// Recipient that the server always rejects.
pub(crate) const ABSENT: &str = "absent@example.com";

/// Message that the server has accepted.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) from: String,
    pub(crate) to: String,
    /// User and password of the connection, decoded.
    pub(crate) login: String,
    pub(crate) is_encrypted: bool,
    pub(crate) text: String,
}

/// Encryption that the server offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Offers {
    Tls,
    StartTls,
}

pub(crate) struct MailServer {
    pub(crate) address: SocketAddr,
    taken: Receiver<Taken>,
    /// Accepted connections that got no greeting, while the server hangs.
    hanging: Arc<Mutex<Option<Vec<TcpStream>>>>,
}

impl MailServer {
    /// Starts a server with this certificate; with `hangs`, it accepts connections without a greeting until woken.
    pub(crate) fn start(pair: &Pair, offers: Offers, hangs: bool) -> MailServer {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().unwrap();
        let (chain, key) = pair.read();
        let config = Arc::new(builder.with_no_client_auth().with_single_cert(chain, key).unwrap());
        let hanging = Arc::new(Mutex::new(hangs.then(Vec::new)));
        let (sender, taken) = channel();
        let held = Arc::clone(&hanging);
        std::thread::spawn(move || {
            for stream in listener.incoming().take(CONNECTIONS).map_while(Result::ok) {
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                if let Some(held) = &mut *held.lock().unwrap() {
                    held.push(stream);
                    continue;
                }
                let (config, sender) = (Arc::clone(&config), sender.clone());
                std::thread::spawn(move || serve(stream, &config, offers, &sender));
            }
        });
        MailServer { address, taken, hanging }
    }

    /// Returns the number of connections that got no greeting.
    pub(crate) fn hanging(&self) -> usize {
        self.hanging.lock().unwrap().as_ref().map_or(0, Vec::len)
    }

    /// Lets the server serve further connections again.
    pub(crate) fn wake(&self) {
        *self.hanging.lock().unwrap() = None;
    }

    /// Waits for the next message.
    pub(crate) fn taken(&self) -> Taken {
        self.taken.recv_timeout(PATIENCE).unwrap()
    }

    /// Returns true if no further message has arrived; an arrived message is discarded.
    pub(crate) fn is_silent(&self) -> bool {
        self.taken.try_recv().is_err()
    }
}

fn secured(stream: TcpStream, config: &Arc<ServerConfig>) -> StreamOwned<ServerConnection, TcpStream> {
    StreamOwned::new(ServerConnection::new(Arc::clone(config)).unwrap(), stream)
}

fn serve(stream: TcpStream, config: &Arc<ServerConfig>, offers: Offers, taken: &Sender<Taken>) {
    let plain = match offers {
        Offers::Tls => return drop(converse(secured(stream, config), (true, true), taken)),
        Offers::StartTls => converse(stream, (false, true), taken),
    };
    if let Some(stream) = plain {
        converse(secured(stream, config), (true, false), taken);
    }
}

/// Serves a connection until its end, or until STARTTLS; then returns the stream.
fn converse<S: Read + Write>(stream: S, (is_encrypted, greets): (bool, bool), taken: &Sender<Taken>) -> Option<S> {
    let mut stream = BufReader::new(stream);
    let (mut from, mut to, mut login) = (String::new(), String::new(), String::new());
    if greets {
        stream.get_mut().write_all(b"220 mail.example.com ESMTP\r\n").ok()?;
    }
    loop {
        let mut line = String::new();
        if stream.by_ref().take(4096).read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim_end();
        let within = |command: &str| line.strip_prefix(command).map(|rest| rest.trim_matches(['<', '>']).to_owned());
        let reply = if line.starts_with("EHLO ") {
            let more = if is_encrypted { "AUTH PLAIN LOGIN" } else { "STARTTLS" };
            format!("250-mail.example.com\r\n250-SIZE {MESSAGE_BYTES}\r\n250 {more}")
        } else if line == "STARTTLS" && !is_encrypted {
            stream.get_mut().write_all(b"220 go ahead\r\n").ok()?;
            return Some(stream.into_inner());
        } else if let Some(given) = line.strip_prefix("AUTH PLAIN ").filter(|_| is_encrypted) {
            login = STANDARD.decode(given).ok().and_then(|given| String::from_utf8(given).ok()).unwrap_or_default();
            if login == "\0ann\0hunter2" { "235 logged in" } else { "535 5.7.8 wrong" }.to_owned()
        } else if login.is_empty() {
            "530 5.7.0 log in first".to_owned()
        } else if let Some(sender) = within("MAIL FROM:") {
            from = sender;
            "250 ok".to_owned()
        } else if let Some(recipient) = within("RCPT TO:") {
            to = recipient;
            if to == ABSENT { "550 5.1.1 no such user" } else { "250 ok" }.to_owned()
        } else if line == "DATA" {
            stream.get_mut().write_all(b"354 end with a point\r\n").ok()?;
            let text = message(&mut stream)?;
            let taken_one = Taken { from: from.clone(), to: to.clone(), login: login.clone(), is_encrypted, text };
            taken.send(taken_one).ok()?;
            "250 2.0.0 queued".to_owned()
        } else if line == "QUIT" {
            stream.get_mut().write_all(b"221 bye\r\n").ok()?;
            return None;
        } else {
            "502 5.5.2 unknown".to_owned()
        };
        stream.get_mut().write_all(format!("{reply}\r\n").as_bytes()).ok()?;
    }
}

/// Reads a message up to the line with a single dot, and reverses dot-stuffing.
fn message(stream: &mut impl std::io::BufRead) -> Option<String> {
    let mut text = String::new();
    while text.len() < MESSAGE_BYTES {
        let mut line = String::new();
        if stream.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line == ".\r\n" {
            return Some(text);
        }
        text.push_str(line.strip_prefix('.').unwrap_or(&line));
    }
    None
}

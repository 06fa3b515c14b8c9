//! Agent that serves one call and fails it in one of twelve ways, at one of three moments.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use nix::libc;
use nix::sys::socket::{setsockopt, sockopt};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tokio_tungstenite::tungstenite::{self, Message, WebSocket};

use crate::interop::bots::field;

/// Kind of failure of an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Refused,
    TlsError,
    WrongCertificate,
    Status(u16),
    Redirect,
    Late101,
    ProtocolError,
    Reset,
    Silent,
    Stalled,
}

/// Moment at which an agent fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    Before,
    FirstSecond,
    MidCall,
}

/// Delay longer than the edge waits for the handshake.
const LATE: Duration = Duration::from_secs(2);
/// Time for which the agent keeps a silent stream.
const KEPT: Duration = Duration::from_secs(30);
/// Frame with an undefined opcode (RFC 6455 §5.2).
const NO_FRAME: [u8; 7] = [0x8F, 0x05, b'h', b'e', b'l', b'l', b'o'];

impl Fault {
    /// All twelve kinds of failure.
    pub(crate) const ALL: [Fault; 12] = [
        Fault::Refused,
        Fault::TlsError,
        Fault::WrongCertificate,
        Fault::Status(401),
        Fault::Status(404),
        Fault::Status(500),
        Fault::Redirect,
        Fault::Late101,
        Fault::ProtocolError,
        Fault::Reset,
        Fault::Silent,
        Fault::Stalled,
    ];

    /// Returns the kind of failure in words.
    pub(crate) fn name(self) -> String {
        match self {
            Fault::Refused => "refused".to_owned(),
            Fault::TlsError => "TLS error".to_owned(),
            Fault::WrongCertificate => "wrong certificate".to_owned(),
            Fault::Status(status) => status.to_string(),
            Fault::Redirect => "redirect".to_owned(),
            Fault::Late101 => "late 101".to_owned(),
            Fault::ProtocolError => "protocol error".to_owned(),
            Fault::Reset => "reset".to_owned(),
            Fault::Silent => "silent".to_owned(),
            Fault::Stalled => "stalled reader".to_owned(),
        }
    }

    /// Returns whether an agent that fails like this uses TLS.
    pub(crate) const fn is_over_tls(self) -> bool {
        matches!(self, Fault::TlsError | Fault::WrongCertificate)
    }

    /// Returns whether the failure affects a new stream, after the first one was cut: some kinds cannot happen to an
    /// open stream.
    pub(crate) const fn meets_a_new_stream(self, moment: Moment) -> bool {
        match (self, moment) {
            (_, Moment::Before) | (Fault::ProtocolError | Fault::Reset | Fault::Stalled, _) => false,
            (Fault::Silent, Moment::FirstSecond) => false,
            (
                Fault::Refused
                | Fault::TlsError
                | Fault::WrongCertificate
                | Fault::Status(_)
                | Fault::Redirect
                | Fault::Late101
                | Fault::Silent,
                Moment::FirstSecond | Moment::MidCall,
            ) => true,
        }
    }
}

impl Moment {
    /// All three moments.
    pub(crate) const ALL: [Moment; 3] = [Moment::Before, Moment::FirstSecond, Moment::MidCall];

    /// Returns the moment in words.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Moment::Before => "before the answer",
            Moment::FirstSecond => "first second",
            Moment::MidCall => "mid-call",
        }
    }

    /// Returns the time for which the agent's first stream works.
    const fn good_for(self) -> Duration {
        match self {
            Moment::Before => Duration::ZERO,
            Moment::FirstSecond => Duration::from_millis(300),
            Moment::MidCall => Duration::from_secs(3),
        }
    }
}

/// Certificate that the edge trusts, and one that it does not.
#[derive(Debug, Clone)]
pub(crate) struct Certificates {
    right: Arc<ServerConfig>,
    wrong: Arc<ServerConfig>,
    /// PEM of the trusted certificate.
    pub(crate) pem: String,
}

impl Certificates {
    /// Generates both certificates.
    pub(crate) fn new() -> anyhow::Result<Certificates> {
        let (right, pem) = certificate()?;
        let (wrong, _) = certificate()?;
        Ok(Certificates { right, wrong, pem })
    }
}

fn certificate() -> anyhow::Result<(Arc<ServerConfig>, String)> {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])?;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)?;
    Ok((Arc::new(config), made.cert.pem()))
}

/// Agent for one call; its thread ends with the call, or after [`KEPT`].
#[derive(Debug)]
pub(crate) struct Agent {
    /// WebSocket URL of the agent.
    pub(crate) url: String,
    /// Time at which the agent's stream failed the call, if it had one.
    failed: Arc<OnceLock<Instant>>,
}

impl Agent {
    /// Listens on a free loopback port; an agent that refuses connections from the beginning closes the port again.
    pub(crate) fn start(fault: Fault, moment: Moment, certificates: &Certificates) -> anyhow::Result<Agent> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let scheme = if fault.is_over_tls() { "wss" } else { "ws" };
        let url = format!("{scheme}://{}/media", listener.local_addr()?);
        let failed = Arc::new(OnceLock::new());
        let (mark, certificates) = (Arc::clone(&failed), certificates.clone());
        std::thread::spawn(move || drop(serve(listener, fault, moment, &certificates, &mark)));
        Ok(Agent { url, failed })
    }

    /// Returns the time at which the agent's stream failed the call, if it had one.
    pub(crate) fn failed_at(&self) -> Option<Instant> {
        self.failed.get().copied()
    }
}

fn serve(
    listener: TcpListener,
    fault: Fault,
    moment: Moment,
    certificates: &Certificates,
    failed: &OnceLock<Instant>,
) -> anyhow::Result<()> {
    if moment == Moment::Before {
        return meet(listener, fault, certificates);
    }
    let (tcp, _) = listener.accept()?;
    let keep = tcp.try_clone()?;
    let tls = fault.is_over_tls().then_some(&certificates.right);
    let mut socket = tungstenite::accept(Wire::over(tcp, tls)?)?;
    let silent_at_once = fault == Fault::Silent && moment == Moment::FirstSecond;
    if !silent_at_once {
        echo(&mut socket, moment.good_for())?;
    }
    let new_stream = fault.meets_a_new_stream(moment);
    // An agent that refuses connections closes its port before its stream is cut.
    let listener = Some(listener).filter(|_| !(new_stream && fault == Fault::Refused));
    let _ = failed.set(Instant::now());
    match fault {
        // The stream is cut when both handles are dropped.
        _ if new_stream => cut(&keep)?,
        Fault::Reset => return cut(&keep),
        Fault::ProtocolError => {
            socket.get_mut().write_all(&NO_FRAME)?;
            std::thread::sleep(LATE);
        }
        Fault::Silent => while socket.read().is_ok() {},
        Fault::Stalled => std::thread::sleep(KEPT),
        Fault::Refused
        | Fault::TlsError
        | Fault::WrongCertificate
        | Fault::Status(_)
        | Fault::Redirect
        | Fault::Late101 => bail!("not of an open stream"),
    }
    drop((socket, keep));
    match listener {
        Some(listener) if new_stream => meet_again(&listener, fault, certificates),
        _ => Ok(()),
    }
}

/// Fails the first stream of a call.
fn meet(listener: TcpListener, fault: Fault, certificates: &Certificates) -> anyhow::Result<()> {
    match fault {
        Fault::Refused => drop(listener),
        // The connection is not accepted, although the kernel has completed it.
        Fault::Stalled => std::thread::sleep(KEPT),
        Fault::Silent => {
            let _open = listener.accept()?;
            std::thread::sleep(KEPT);
        }
        Fault::TlsError
        | Fault::WrongCertificate
        | Fault::Status(_)
        | Fault::Redirect
        | Fault::Late101
        | Fault::ProtocolError
        | Fault::Reset => meet_again(&listener, fault, certificates)?,
    }
    Ok(())
}

/// Fails a new stream in its handshake or, if the agent is to be silent, after it.
fn meet_again(listener: &TcpListener, fault: Fault, certificates: &Certificates) -> anyhow::Result<()> {
    let (mut tcp, _) = listener.accept()?;
    let mut request = [0; 4_096];
    let mut answer = |text: &str| -> anyhow::Result<()> {
        let _ = tcp.read(&mut request)?;
        tcp.write_all(text.as_bytes())?;
        Ok(())
    };
    match fault {
        Fault::TlsError => answer("HTTP/1.1 400 Bad Request\r\n\r\n"),
        Fault::Status(status) => answer(&format!("HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n")),
        Fault::Redirect => answer("HTTP/1.1 302 Found\r\nLocation: ws://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"),
        Fault::ProtocolError => answer("SSH-2.0-OpenSSH_9.2\r\n"),
        Fault::Reset => {
            let _ = tcp.read(&mut request)?;
            cut(&tcp)
        }
        Fault::WrongCertificate => {
            let mut wire = Wire::over(tcp, Some(&certificates.wrong))?;
            let _ = wire.read(&mut request)?;
            Ok(())
        }
        Fault::Late101 => {
            std::thread::sleep(LATE);
            let mut socket = tungstenite::accept(tcp).ok().context("it did not wait")?;
            while socket.read().is_ok() {}
            Ok(())
        }
        Fault::Silent => {
            let mut socket = tungstenite::accept(tcp).ok().context("no handshake")?;
            while socket.read().is_ok() {}
            Ok(())
        }
        Fault::Refused | Fault::Stalled => bail!("not of a handshake"),
    }
}

/// Closes a TCP connection by a reset.
fn cut(tcp: &TcpStream) -> anyhow::Result<()> {
    setsockopt(tcp, sockopt::Linger, &libc::linger { l_onoff: 1, l_linger: 0 })?;
    Ok(())
}

/// Echoes each frame of a stream for this long.
fn echo<S: Read + Write>(socket: &mut WebSocket<S>, time: Duration) -> anyhow::Result<()> {
    let began = Instant::now();
    while began.elapsed() < time {
        let Message::Text(text) = socket.read()? else { continue };
        let (Some(payload), Some(stream)) = (field(&text, "payload"), field(&text, "streamSid")) else { continue };
        let answer = format!(r#"{{"event":"media","streamSid":"{stream}","media":{{"payload":"{payload}"}}}}"#);
        socket.send(Message::text(answer))?;
    }
    Ok(())
}

/// Serves many calls by echoing each frame until the process is killed; prints the listening address first.
pub(crate) fn echo_for_all() -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address: SocketAddr = listener.local_addr()?;
    let mut out = io::stdout().lock();
    writeln!(out, "{address}")?;
    out.flush()?;
    for tcp in listener.incoming().map_while(Result::ok) {
        std::thread::spawn(move || {
            let mut socket = tungstenite::accept(tcp).ok()?;
            echo(&mut socket, Duration::MAX).ok()
        });
    }
    Ok(())
}

/// Connection with or without TLS.
enum Wire {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
}

impl Wire {
    fn over(tcp: TcpStream, tls: Option<&Arc<ServerConfig>>) -> anyhow::Result<Wire> {
        tcp.set_nodelay(true)?;
        Ok(match tls {
            Some(config) => Wire::Tls(Box::new(StreamOwned::new(ServerConnection::new(Arc::clone(config))?, tcp))),
            None => Wire::Plain(tcp),
        })
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Wire::Plain(tcp) => tcp.read(buffer),
            Wire::Tls(tls) => tls.read(buffer),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Wire::Plain(tcp) => tcp.write(bytes),
            Wire::Tls(tls) => tls.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Wire::Plain(tcp) => tcp.flush(),
            Wire::Tls(tls) => tls.flush(),
        }
    }
}

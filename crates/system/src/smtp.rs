//! SMTP client (RFC 5321): sends messages to a mail server over TLS (RFC 8314), after STARTTLS (RFC 3207), or without
//! encryption on this machine, with AUTH PLAIN or LOGIN (RFC 4954). Commands contain only addresses and credentials of
//! the configuration. The length of replies is limited.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::ClientConfig;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use trunkgate_call::numbers::plain;

use crate::connector::Connector;
use crate::limits::{COMPLAINT_CHARACTERS, CONNECT_SECONDS, SMTP_LINE_BYTES, SMTP_REPLY_LINES};
use crate::web::Stream;

/// Reply code that reports the success of EHLO, MAIL, RCPT and of a message after DATA.
const OK: u16 = 250;
/// Reply codes to RCPT that concern credentials or TLS, and therefore not the recipient (RFC 4954 §6, RFC 3207 §4).
const OF_SESSION: [u16; 4] = [530, 534, 535, 538];

/// Transport security of an SMTP connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// TLS from the first byte.
    Tls,
    /// TLS after STARTTLS; no message is sent if the server does not offer it.
    StartTls,
    /// No encryption.
    Clear,
}

/// Mail server, with the account for sending.
#[derive(Debug, Clone, Copy)]
pub struct SmtpServer<'a> {
    /// Host name or address, an IPv6 address without brackets.
    pub host: &'a str,
    /// Port.
    pub port: u16,
    /// Transport security of the connection.
    pub security: Security,
    /// User name and password; `None` to send without a login.
    pub login: Option<(&'a str, &'a str)>,
}

/// Reason why the mail server did not accept a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MailRejection {
    /// Temporary failure: a later attempt may succeed.
    Yet(String),
    /// Permanent rejection of the message or its recipient.
    Ever(String),
}

/// Reply of the mail server.
#[derive(Debug, PartialEq, Eq)]
struct SmtpReply {
    code: u16,
    lines: Vec<String>,
}

impl SmtpReply {
    /// Formats the reply on one line.
    fn in_words(&self) -> String {
        let text = self.lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ");
        format!("{} {}", self.code, plain(&text, COMPLAINT_CHARACTERS)).trim_end().to_owned()
    }

    /// Returns the parameters of an extension in the reply to EHLO; `None` if the server does not support it.
    fn extension(&self, name: &str) -> Option<&str> {
        self.lines.iter().skip(1).find_map(|line| {
            let (keyword, arguments) = line.split_once(' ').unwrap_or((line, ""));
            keyword.eq_ignore_ascii_case(name).then_some(arguments)
        })
    }
}

/// Reader and writer of lines on an SMTP connection.
#[derive(Debug)]
struct Wire<S> {
    stream: S,
    /// Received bytes that are not parsed yet.
    received: Vec<u8>,
}

impl<S: Stream> Wire<S> {
    fn new(stream: S) -> Wire<S> {
        Wire { stream, received: Vec::new() }
    }

    /// Reads a line, without its line end.
    async fn line(&mut self) -> Result<String, String> {
        loop {
            if let Some(end) = self.received.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.received.drain(..=end).collect();
                return Ok(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned());
            }
            if self.received.len() > SMTP_LINE_BYTES {
                return Err(format!("sent a line of more than {SMTP_LINE_BYTES} bytes"));
            }
            let mut part = [0; 1024];
            let read = self.stream.read(&mut part).await.map_err(|error| format!("the connection broke: {error}"))?;
            if read == 0 {
                return Err("closed the connection".to_owned());
            }
            self.received.extend_from_slice(part.get(..read).unwrap_or_default());
        }
    }

    /// Reads a reply; every line except the last one has `-` after the code.
    async fn reply(&mut self) -> Result<SmtpReply, String> {
        let mut lines = Vec::new();
        loop {
            let line = self.line().await?;
            let code = line.get(..3).filter(|code| code.bytes().all(|byte| byte.is_ascii_digit()));
            let Some(code) = code.and_then(|code| code.parse().ok()) else {
                return Err("does not reply as SMTP does".to_owned());
            };
            let rest = line.get(3..).unwrap_or_default();
            lines.push(rest.get(1..).unwrap_or_default().to_owned());
            if !rest.starts_with('-') {
                return Ok(SmtpReply { code, lines });
            }
            if lines.len() >= SMTP_REPLY_LINES {
                return Err(format!("sent a reply of more than {SMTP_REPLY_LINES} lines"));
            }
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        let broke = |error: std::io::Error| format!("the connection broke: {error}");
        self.stream.write_all(bytes).await.map_err(broke)?;
        self.stream.flush().await.map_err(broke)
    }

    /// Sends a command and reads its reply.
    async fn ask(&mut self, command: &str) -> Result<SmtpReply, String> {
        self.write(format!("{command}\r\n").as_bytes()).await?;
        self.reply().await
    }

    /// Sends EHLO and returns the reply with the server's extensions.
    async fn hello(&mut self, own: SocketAddr) -> Result<SmtpReply, String> {
        // Every server accepts an address literal (RFC 5321 §4.1.3).
        let name = match own.ip().to_canonical() {
            IpAddr::V4(ip) => format!("[{ip}]"),
            IpAddr::V6(ip) => format!("[IPv6:{ip}]"),
        };
        let reply = self.ask(&format!("EHLO {name}")).await?;
        if reply.code == OK { Ok(reply) } else { Err(format!("answered EHLO with {}", reply.in_words())) }
    }

    async fn greeting(&mut self) -> Result<(), String> {
        let reply = self.reply().await?;
        if reply.code == 220 { Ok(()) } else { Err(format!("does not serve: {}", reply.in_words())) }
    }
}

/// SMTP session over which messages are sent.
pub struct Session {
    wire: Wire<Box<dyn Stream>>,
    most_bytes: Option<u64>,
}

impl Session {
    /// Connects to a mail server, and logs in if it has a login. `tls` is awaited only if the connection uses TLS.
    ///
    /// # Errors
    /// Returns the reason of the failure in words, without credentials.
    pub async fn open(
        server: SmtpServer<'_>,
        tls: impl Future<Output = Result<Arc<ClientConfig>, String>>,
    ) -> Result<Session, String> {
        let limit = Some(Duration::from_secs(CONNECT_SECONDS));
        let connector = Connector { connect_within: limit, handshake_within: limit, ..Connector::default() };
        let stream = connector.host(server.host, server.port).await;
        let stream = stream.map_err(|error| format!("cannot be reached: {error}"))?;
        let own = stream.local_addr().map_err(|error| error.to_string())?;
        let secured = async |stream: TcpStream| -> Result<Wire<Box<dyn Stream>>, String> {
            let stream = connector.tls(tls.await?, server.host, stream).await;
            let stream: Box<dyn Stream> = Box::new(stream.map_err(|fault| format!("TLS: {}", fault.what))?);
            Ok(Wire::new(stream))
        };
        let mut wire: Wire<Box<dyn Stream>> = match server.security {
            Security::Clear => Wire::new(Box::new(stream)),
            Security::Tls => secured(stream).await?,
            Security::StartTls => secured(to_tls(stream, own).await?).await?,
        };
        if server.security != Security::StartTls {
            wire.greeting().await?;
        }
        let hello = wire.hello(own).await?;
        let most_bytes = hello.extension("SIZE").and_then(|bytes| bytes.trim().parse().ok()).filter(|most| *most > 0);
        if let Some(login) = server.login {
            log_in(&mut wire, &hello, login).await?;
        }
        Ok(Session { wire, most_bytes })
    }

    /// Returns the maximum size of a message in bytes (RFC 1870); `None` if the server does not announce it.
    pub fn most_bytes(&self) -> Option<u64> {
        self.most_bytes
    }

    /// Sends a message in ASCII with lines that end in CR LF.
    ///
    /// # Errors
    /// Returns the reason why the server did not accept the message, and whether that is permanent.
    pub async fn send(&mut self, (from, to): (&str, &str), message: &[u8]) -> Result<(), MailRejection> {
        let yet = MailRejection::Yet;
        // Rejection of the sender is temporary: its configuration may be corrected.
        let reply = self.wire.ask(&format!("MAIL FROM:<{from}>")).await.map_err(yet)?;
        if reply.code != OK {
            return Err(yet(format!("refused the sender {from}: {}", reply.in_words())));
        }
        let reply = self.wire.ask(&format!("RCPT TO:<{to}>")).await.map_err(yet)?;
        if !matches!(reply.code, 250 | 251) {
            let what = format!("refused the recipient {to}: {}", reply.in_words());
            return Err(if OF_SESSION.contains(&reply.code) { yet(what) } else { judged(&reply, what) });
        }
        let reply = self.wire.ask("DATA").await.map_err(yet)?;
        if reply.code != 354 {
            return Err(judged(&reply, format!("refused the message: {}", reply.in_words())));
        }
        self.wire.write(&stuffed(message)).await.map_err(yet)?;
        let reply = self.wire.reply().await.map_err(yet)?;
        if reply.code == OK {
            Ok(())
        } else {
            Err(judged(&reply, format!("refused the message: {}", reply.in_words())))
        }
    }

    /// Ends the session with QUIT and ignores the reply.
    pub async fn quit(mut self) {
        let _ = self.wire.ask("QUIT").await;
    }
}

/// Classifies a rejection as permanent or temporary.
fn judged(reply: &SmtpReply, what: String) -> MailRejection {
    if reply.code >= 500 { MailRejection::Ever(what) } else { MailRejection::Yet(what) }
}

/// Sends STARTTLS on a connection; the caller then performs the handshake.
async fn to_tls(stream: TcpStream, own: SocketAddr) -> Result<TcpStream, String> {
    let mut wire = Wire::new(stream);
    wire.greeting().await?;
    if wire.hello(own).await?.extension("STARTTLS").is_none() {
        return Err("does not offer STARTTLS, which the edge requires".to_owned());
    }
    let reply = wire.ask("STARTTLS").await?;
    if reply.code != 220 {
        return Err(format!("refused STARTTLS: {}", reply.in_words()));
    }
    // Bytes received in clear would otherwise be read as replies under TLS.
    if wire.received.is_empty() { Ok(wire.stream) } else { Err("sent data in clear text after STARTTLS".to_owned()) }
}

async fn log_in(
    wire: &mut Wire<Box<dyn Stream>>,
    hello: &SmtpReply,
    (user, password): (&str, &str),
) -> Result<(), String> {
    let offered = hello.extension("AUTH").unwrap_or_default();
    let offers = |name: &str| offered.split_ascii_whitespace().any(|offered| offered.eq_ignore_ascii_case(name));
    let reply = if offers("PLAIN") {
        wire.ask(&format!("AUTH PLAIN {}", STANDARD.encode(format!("\0{user}\0{password}")))).await?
    } else if offers("LOGIN") {
        let mut reply = wire.ask("AUTH LOGIN").await?;
        for answer in [user, password] {
            if reply.code == 334 {
                reply = wire.ask(&STANDARD.encode(answer)).await?;
            }
        }
        reply
    } else {
        return Err("offers neither AUTH PLAIN nor AUTH LOGIN".to_owned());
    };
    if reply.code == 235 { Ok(()) } else { Err(format!("refused user and password: {}", reply.in_words())) }
}

/// Returns a message in the form sent after DATA: leading dots are doubled, and a line with a single dot ends it (RFC
/// 5321 §4.5.2).
fn stuffed(message: &[u8]) -> Vec<u8> {
    let mut stuffed = Vec::with_capacity(message.len() + 64);
    for line in message.split_inclusive(|byte| *byte == b'\n') {
        if line.starts_with(b".") {
            stuffed.push(b'.');
        }
        stuffed.extend_from_slice(line);
    }
    if !stuffed.ends_with(b"\r\n") {
        stuffed.extend_from_slice(b"\r\n");
    }
    stuffed.extend_from_slice(b".\r\n");
    stuffed
}

#[cfg(test)]
mod tests;

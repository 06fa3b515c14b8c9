//! Messaging service in a thread: accepts every message of the edge, sends delivery reports, and passes messages to
//! numbers of the edge.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};

use crate::interop::front::{form, read_request};

/// Secret that the edge and the service share.
const TOKEN: &str = "shared-secret-0123456789abcdef0123";
/// Maximum wait for a message of the edge.
const PATIENCE: Duration = Duration::from_secs(10);

/// Message that the edge has sent to the service.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    pub(super) sid: String,
    pub(super) to: String,
    pub(super) from: String,
    pub(super) body: String,
}

/// Running messaging service; its thread ends with the process.
#[derive(Debug)]
pub(super) struct Provider {
    address: SocketAddr,
    sent: Arc<Mutex<Vec<Sent>>>,
}

impl Provider {
    /// Starts the service on a free loopback port.
    pub(super) fn start() -> anyhow::Result<Provider> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let sent = Arc::<Mutex<Vec<Sent>>>::default();
        let kept = Arc::clone(&sent);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                drop(take(stream, &kept));
            }
        });
        Ok(Provider { address, sent })
    }

    /// Returns the configuration table of the service.
    pub(super) fn table(&self) -> String {
        format!("[messages]\nurl = \"http://{}/send\"\ntoken = \"{TOKEN}\"\n", self.address)
    }

    /// Returns all messages that the edge has sent so far.
    pub(super) fn all(&self) -> Vec<Sent> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for the next message of the edge, not among the first `since`.
    pub(super) fn next(&self, since: usize) -> anyhow::Result<Sent> {
        let began = Instant::now();
        loop {
            if let Some(sent) = self.all().into_iter().nth(since) {
                return Ok(sent);
            }
            if began.elapsed() > PATIENCE {
                bail!("no message came to the service");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Sends a delivery report about a message to the edge.
    pub(super) fn report(&self, edge: SocketAddr, sid: &str, status: &str) -> anyhow::Result<()> {
        let status = post(edge, "/sms/status", &[("MessageSid", sid), ("MessageStatus", status)], Some(TOKEN))?;
        ensure!(status == 204, "the edge answered {status} to a report");
        Ok(())
    }

    /// Passes a message to a number of the edge.
    pub(super) fn pass_on(&self, edge: SocketAddr, message: &Sent) -> anyhow::Result<()> {
        let status = inbound(edge, message, Some(TOKEN))?;
        ensure!(status == 200, "the edge answered {status} to a message");
        Ok(())
    }
}

/// Posts a message to a number of the edge, with this secret if any; returns the status of the response.
pub(super) fn inbound(edge: SocketAddr, message: &Sent, token: Option<&str>) -> anyhow::Result<u16> {
    let Sent { sid, to, from, body } = message;
    post(edge, "/sms/inbound", &[("MessageSid", sid), ("To", to), ("From", from), ("Body", body)], token)
}

fn post(edge: SocketAddr, path: &str, fields: &[(&str, &str)], token: Option<&str>) -> anyhow::Result<u16> {
    let mut form = reqwest::Url::parse("http://form/")?;
    form.query_pairs_mut().extend_pairs(fields);
    let body = form.query().unwrap_or_default().to_owned();
    let client = reqwest::blocking::Client::builder().timeout(PATIENCE).build()?;
    let mut request = client.post(format!("http://{edge}{path}")).body(body);
    request = request.header("Content-Type", "application/x-www-form-urlencoded");
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    Ok(request.send()?.status().as_u16())
}

fn take(mut stream: TcpStream, kept: &Mutex<Vec<Sent>>) -> anyhow::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let (head, body) = read_request(&mut stream)?;
    let is_ours = head.lines().any(|line| {
        let (name, value) = line.split_once(':').unwrap_or_default();
        name.eq_ignore_ascii_case("authorization") && value.trim() == format!("Bearer {TOKEN}")
    });
    let form = form(&body)?;
    let field = |name: &str| form.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value).to_owned();
    let status = if is_ours { "200 OK" } else { "403 Forbidden" };
    if is_ours {
        let sent = Sent { sid: field("MessageSid"), to: field("To"), from: field("From"), body: field("Body") };
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        // A message that arrives twice counts as one.
        if !kept.iter().any(|known| known.sid == sent.sid) {
            kept.push(sent);
        }
    }
    stream.write_all(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").as_bytes())?;
    Ok(())
}

//! The parties of all calls: one table of dialogs, whose requests are answered when they arrive, as phones would, and
//! with which calls are placed, changed and ended.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustls::ClientConfig;

use super::lines::{Intake, LineId, Lines};
use crate::bench::dialer::sdp;
use crate::bench::speech::Codec;
use crate::bench::srtp::{self, SrtpKey, Suite};
use crate::interop::raw::{Call, Invitation, Text};

/// Index of a call.
pub(super) type CallId = usize;

/// Interval at which an unanswered request is repeated.
const T1: Duration = Duration::from_millis(500);
/// Maximum wait for a final response, or for a change of a dialog.
const PATIENCE: Duration = Duration::from_secs(15);
/// Tag of the parties in To.
const TAG: &str = "party";

/// Party of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Caller,
    Called,
    /// Phone to which the call is transferred.
    Target,
    /// Recording server.
    Recorder,
}

/// Media that a party describes in its SDP.
#[derive(Debug, Clone)]
pub(super) struct Description {
    /// Socket of each stream: two at a recording server.
    pub(super) streams: Vec<SocketAddr>,
    pub(super) codec: Codec,
    pub(super) suite: Option<Suite>,
}

/// Call that a party expects, by its number.
#[derive(Debug, Clone)]
pub(super) struct ExpectedCall {
    pub(super) call: CallId,
    pub(super) role: Role,
    pub(super) is_answered: bool,
    pub(super) description: Description,
}

/// Progress of a dialog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    Calling,
    Ringing,
    Answered,
    Ended,
}

/// Dialog of a party with the edge.
#[derive(Debug, Clone)]
pub(super) struct Dialog {
    pub(super) call: CallId,
    pub(super) role: Role,
    pub(super) progress: Progress,
    /// Final response to the INVITE; 0 before it.
    pub(super) code: u16,
    /// Message with the edge's SDP.
    pub(super) offer_or_answer: Option<Text>,
    /// Keys of SRTP with which the party sends and receives.
    pub(super) keys: Option<(SrtpKey, SrtpKey)>,
    /// Time of the edge's BYE, unless the call was ended by a party.
    pub(super) bye: Option<Instant>,
    pub(super) is_cancelled: bool,
    /// Time of the INVITE.
    pub(super) began: Instant,
    line: LineId,
    remote: SocketAddr,
    user: String,
    description: Description,
    version: u32,
    crypto: Option<String>,
    invitation: Option<Invitation>,
    invite: Option<Text>,
    dialog: Option<Call>,
    /// Latest response to an INVITE.
    response: String,
    /// Final responses to our requests, by CSeq.
    finals: HashMap<String, u16>,
    is_over: bool,
}

impl Dialog {
    fn new(expected: ExpectedCall, line: LineId, remote: SocketAddr, user: String) -> Dialog {
        Dialog {
            call: expected.call,
            role: expected.role,
            progress: Progress::Calling,
            code: 0,
            offer_or_answer: None,
            keys: None,
            bye: None,
            is_cancelled: false,
            began: Instant::now(),
            line,
            remote,
            user,
            description: expected.description,
            version: 0,
            crypto: None,
            invitation: None,
            invite: None,
            dialog: None,
            response: String::new(),
            finals: HashMap::new(),
            is_over: false,
        }
    }

    /// Returns the destination of the party's audio.
    pub(super) fn media(&self) -> anyhow::Result<SocketAddr> {
        self.offer_or_answer.as_ref().and_then(Text::media).context("no media")
    }

    /// Returns the payload type of the party's codec.
    pub(super) fn payload_type(&self) -> anyhow::Result<u8> {
        self.description.codec.number_in(self.offer_or_answer.as_ref().context("no SDP")?)
    }

    /// Returns the party's next SDP, which answers `offer` if there is one.
    fn describe(&mut self, offer: Option<&Text>, direction: &str) -> anyhow::Result<String> {
        self.version += 1;
        let Description { streams, codec, suite } = &self.description;
        if let (Some(offer), Some(suite)) = (offer, suite) {
            let (line, keys) = srtp::answer(offer, *suite)?;
            (self.crypto, self.keys) = (Some(line), Some(keys));
        }
        let number = offer.map(|offer| codec.number_in(offer)).transpose()?;
        let mut body = String::new();
        for stream in streams {
            let text = sdp(*stream, *codec, number, self.crypto.as_deref());
            // Further streams have no session lines.
            let from = if body.is_empty() { 0 } else { text.find("m=").context("no stream")? };
            body += text.get(from..).unwrap_or_default();
            body += &format!("a={direction}\r\n");
        }
        Ok(body.replacen("o=- 1 1 ", &format!("o=- 1 {} ", self.version), 1))
    }
}

/// All dialogs, and the expected calls by number.
#[derive(Default)]
struct Table {
    dialogs: HashMap<String, Dialog>,
    expected: HashMap<String, ExpectedCall>,
}

struct Shared {
    lines: RwLock<Lines>,
    table: Mutex<Table>,
    changed: Condvar,
}

/// Parties of all calls; their threads end on drop.
pub(super) struct Exchange(Arc<Shared>);

impl Exchange {
    /// Creates an exchange without transports.
    pub(super) fn new() -> Exchange {
        let lines = RwLock::new(Lines::new());
        Exchange(Arc::new(Shared { lines, table: Mutex::default(), changed: Condvar::new() }))
    }

    fn intake(&self) -> Intake {
        let shared: Weak<Shared> = Arc::downgrade(&self.0);
        Arc::new(move |line, from, text| {
            if let Some(shared) = shared.upgrade() {
                shared.take(line, from, text);
            }
        })
    }

    /// Opens a UDP socket; returns it and its address.
    pub(super) fn add_udp(&self, ip: &str) -> anyhow::Result<(LineId, SocketAddr)> {
        let mut lines = self.0.lines.write().unwrap_or_else(PoisonError::into_inner);
        let line = lines.add_udp(ip, &self.intake())?;
        Ok((line, lines.origin(line, "")?.here))
    }

    /// Opens a connection to the edge, with TLS if there is a configuration.
    pub(super) fn add_connection(
        &self,
        ip: &str,
        edge: SocketAddr,
        tls: Option<Arc<ClientConfig>>,
    ) -> anyhow::Result<LineId> {
        let mut lines = self.0.lines.write().unwrap_or_else(PoisonError::into_inner);
        lines.add_connection(ip, edge, tls, &self.intake())
    }

    /// Returns the number of these connections that were closed between two times.
    pub(super) fn closed(&self, lines: &[LineId], from: Instant, until: Instant) -> usize {
        self.0.lines.read().unwrap_or_else(PoisonError::into_inner).closed(lines, from, until)
    }

    /// Lets a party expect calls of this number: the called one, or that of the caller.
    pub(super) fn expect(&self, number: &str, expected: ExpectedCall) {
        self.0.table().expected.insert(number.to_owned(), expected);
    }

    /// Places a call from a number; returns the key of the dialog.
    pub(super) fn place(
        &self,
        (line, edge): (LineId, SocketAddr),
        (from, number): (&str, &str),
        (call, description): (CallId, Description),
    ) -> anyhow::Result<String> {
        let origin = self.0.lines.read().unwrap_or_else(PoisonError::into_inner).origin(line, from)?;
        let invitation = Invitation::new(origin, from, format!("sip:{number}@{edge}"));
        let key = invitation.call_id.clone();
        let expected = ExpectedCall { call, role: Role::Caller, is_answered: true, description };
        let mut dialog = Dialog::new(expected, line, edge, from.to_owned());
        let invite = invitation.invite(&dialog.describe(None, "sendrecv")?);
        dialog.invitation = Some(invitation);
        self.0.table().dialogs.insert(key.clone(), dialog);
        self.0.send(line, edge, &invite)?;
        let is_arrived = |dialog: &Dialog| dialog.code > 0 || dialog.progress != Progress::Calling;
        self.repeat(&key, &invite, is_arrived).context("an INVITE")?;
        Ok(key)
    }

    /// Waits until a dialog satisfies a condition; returns the dialog.
    pub(super) fn wait(&self, key: &str, is_met: impl Fn(&Dialog) -> bool) -> anyhow::Result<Dialog> {
        let stays = || {
            let dialog = self.dialog(key);
            format!("a dialog stays as it is: {:?}", dialog.map(|dialog| (dialog.role, dialog.progress, dialog.code)))
        };
        self.wait_for(key, PATIENCE, is_met)?.with_context(stays)
    }

    fn wait_for(&self, key: &str, limit: Duration, is_met: impl Fn(&Dialog) -> bool) -> anyhow::Result<Option<Dialog>> {
        let (table, began) = (self.0.table(), Instant::now());
        let is_unmet = |table: &mut Table| !table.dialogs.get(key).is_some_and(&is_met);
        let left = limit.saturating_sub(began.elapsed());
        let waited = self.0.changed.wait_timeout_while(table, left, is_unmet);
        let (table, _) = waited.map_err(|_| anyhow::anyhow!("a thread of the parties panicked"))?;
        Ok(table.dialogs.get(key).filter(|dialog| is_met(dialog)).cloned())
    }

    /// Sends a message, again while it has no effect.
    fn repeat(&self, key: &str, text: &str, is_met: impl Fn(&Dialog) -> bool) -> anyhow::Result<Dialog> {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            if let Some(dialog) = self.wait_for(key, T1, &is_met)? {
                return Ok(dialog);
            }
            let dialog = self.dialog(key).context("no such dialog")?;
            self.0.send(dialog.line, dialog.remote, text)?;
        }
        bail!("no response to {}", text.lines().next().unwrap_or_default())
    }

    /// Sends a request in a dialog; returns the code of the final response.
    pub(super) fn request(&self, key: &str, method: &str, lines: &str, body: &str) -> anyhow::Result<u16> {
        let (text, sequence, line, remote) = {
            let mut table = self.0.table();
            let dialog = table.dialogs.get_mut(key).context("no such dialog")?;
            dialog.is_over |= method == "BYE";
            let origin =
                self.0.lines.read().unwrap_or_else(PoisonError::into_inner).origin(dialog.line, &dialog.user)?;
            let call = dialog.dialog.as_mut().context("the call is not answered")?;
            let (text, sequence) = call.next_request(&origin, method, lines, body);
            (text, format!("{sequence} {method}"), dialog.line, dialog.remote)
        };
        self.0.send(line, remote, &text)?;
        let dialog = self.repeat(key, &text, |dialog| dialog.finals.contains_key(&sequence))?;
        Ok(dialog.finals.get(&sequence).copied().unwrap_or_default())
    }

    /// Offers the same media with this direction; returns the code of the final response.
    pub(super) fn reinvite(&self, key: &str, direction: &str) -> anyhow::Result<u16> {
        let body = {
            let mut table = self.0.table();
            table.dialogs.get_mut(key).context("no such dialog")?.describe(None, direction)?
        };
        self.request(key, "INVITE", "", &body)
    }

    /// Marks the dialogs of a call as ended by a party: the edge's BYE to the other ones is due.
    pub(super) fn end_expected(&self, call: CallId) {
        self.0
            .table()
            .dialogs
            .values_mut()
            .filter(|dialog| dialog.call == call)
            .for_each(|dialog| dialog.is_over = true);
    }

    /// Ends a call that is not answered.
    pub(super) fn cancel(&self, key: &str) -> anyhow::Result<()> {
        let dialog = self.dialog(key).context("no such dialog")?;
        let text = dialog.invitation.as_ref().context("not the caller")?.cancel();
        self.0.send(dialog.line, dialog.remote, &text)
    }

    /// Returns a dialog.
    pub(super) fn dialog(&self, key: &str) -> Option<Dialog> {
        self.0.table().dialogs.get(key).cloned()
    }

    /// Returns the dialogs of a call with their keys, the oldest first.
    pub(super) fn dialogs(&self, call: CallId) -> Vec<(String, Dialog)> {
        let table = self.0.table();
        let of_call = table.dialogs.iter().filter(|(_, dialog)| dialog.call == call);
        let mut all: Vec<(String, Dialog)> = of_call.map(|(key, dialog)| (key.clone(), dialog.clone())).collect();
        all.sort_by_key(|(_, dialog)| dialog.began);
        all
    }
}

impl Shared {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, line: LineId, to: SocketAddr, text: &str) -> anyhow::Result<()> {
        self.lines.read().unwrap_or_else(PoisonError::into_inner).send(line, to, text)
    }

    /// Handles a message of the edge.
    fn take(&self, line: LineId, from: SocketAddr, text: &Text) {
        let handled = match text.code() {
            Some(code) => self.take_response(text, code),
            None => self.take_request(line, from, text),
        };
        if let Err(error) = handled {
            eprintln!("a party cannot handle {:?}: {error:#}", text.first());
        }
        self.changed.notify_all();
    }

    fn take_response(&self, text: &Text, code: u16) -> anyhow::Result<()> {
        let mut table = self.table();
        let Some(dialog) = table.dialogs.get_mut(text.header("Call-ID")) else { return Ok(()) };
        let sequence = text.header("CSeq").to_owned();
        if code < 200 {
            if dialog.progress == Progress::Calling && code > 100 {
                dialog.progress = Progress::Ringing;
            }
            return Ok(());
        }
        let origin = self.lines.read().unwrap_or_else(PoisonError::into_inner).origin(dialog.line, &dialog.user)?;
        let (line, remote) = (dialog.line, dialog.remote);
        dialog.finals.insert(sequence.clone(), code);
        let Some(number) = sequence.strip_suffix(" INVITE") else { return Ok(()) };
        let is_first = number == "1" && dialog.invitation.is_some();
        if is_first && code >= 300 {
            let ack = dialog.invitation.as_ref().map(|invitation| invitation.ack(text));
            (dialog.code, dialog.progress) = (code, Progress::Ended);
            return self.send(line, remote, &ack.unwrap_or_default());
        }
        if let (true, Some(invitation), None) = (is_first, &dialog.invitation, &dialog.dialog) {
            dialog.dialog = Some(invitation.dialog(remote, text)?);
            (dialog.code, dialog.progress) = (code, Progress::Answered);
            dialog.offer_or_answer = Some(text.clone());
        }
        let call = dialog.dialog.as_ref().context("a 200 to no INVITE")?;
        let transaction = if code < 300 { "ACK" } else { "INVITE" };
        let ack = call.request(&origin, ("ACK", transaction), number.parse()?, ("", ""));
        self.send(line, remote, &ack)
    }

    fn take_request(&self, line: LineId, from: SocketAddr, text: &Text) -> anyhow::Result<()> {
        let method = text.first().split(' ').next().unwrap_or_default();
        let mut table = self.table();
        let known = table.dialogs.get_mut(text.header("Call-ID"));
        let contact = self.lines.read().unwrap_or_else(PoisonError::into_inner).origin(line, "party")?.contact;
        let answer = |status: &str, body: &str| text.response(status, TAG, &contact, body);
        let reply = match (method, known) {
            ("ACK", _) => return Ok(()),
            ("INVITE", Some(dialog)) if text.header("To").contains("tag=") => {
                let body = dialog.describe(Some(text), text.mirrored())?;
                dialog.offer_or_answer = Some(text.clone());
                answer("200 OK", &body)
            }
            // The INVITE is sent again.
            ("INVITE", Some(dialog)) => dialog.response.clone(),
            ("INVITE", None) => {
                drop(table);
                return self.take_invite(line, from, text, &contact);
            }
            ("CANCEL", Some(dialog)) => {
                dialog.is_cancelled = true;
                if let (Some(invite), false) = (&dialog.invite, dialog.progress == Progress::Answered) {
                    dialog.response = invite.response("487 Request Terminated", TAG, &contact, "");
                    dialog.progress = Progress::Ended;
                    self.send(line, from, &dialog.response)?;
                }
                answer("200 OK", "")
            }
            ("BYE", Some(dialog)) => {
                if !dialog.is_over {
                    dialog.bye.get_or_insert_with(Instant::now);
                }
                dialog.progress = Progress::Ended;
                answer("200 OK", "")
            }
            ("BYE" | "CANCEL", None) => answer("481 Call/Transaction Does Not Exist", ""),
            ("UPDATE", Some(dialog)) if !text.body().is_empty() => {
                let body = dialog.describe(Some(text), text.mirrored())?;
                answer("200 OK", &body)
            }
            _ => answer("200 OK", ""),
        };
        self.send(line, from, &reply)
    }

    /// Takes a new call, if a party expects it.
    fn take_invite(&self, line: LineId, from: SocketAddr, text: &Text, contact: &str) -> anyhow::Result<()> {
        let mut table = self.table();
        let numbers = [user(text.header("To")), user(text.header("From"))];
        let of_session =
            || text.0.split("sip:").skip(1).map(|rest| format!("recorded:{}", user(&format!("sip:{rest}"))));
        let expected = numbers.iter().find_map(|number| table.expected.get(number).cloned());
        let expected = expected.or_else(|| of_session().find_map(|number| table.expected.get(&number).cloned()));
        let Some(expected) = expected else {
            return self.send(line, from, &text.response("404 Not Found", TAG, contact, ""));
        };
        let is_answered = expected.is_answered;
        let mut dialog = Dialog::new(expected, line, from, "party".to_owned());
        self.send(line, from, &text.response("180 Ringing", TAG, contact, ""))?;
        dialog.response = text.response("180 Ringing", TAG, contact, "");
        dialog.progress = Progress::Ringing;
        if is_answered {
            let direction = if dialog.role == Role::Recorder { "recvonly" } else { "sendrecv" };
            let body = dialog.describe(Some(text), direction)?;
            dialog.response = text.response("200 OK", TAG, contact, &body);
            dialog.dialog = Some(Call::accepted(from, text, TAG)?);
            (dialog.code, dialog.progress) = (200, Progress::Answered);
        }
        dialog.offer_or_answer = Some(text.clone());
        dialog.invite = Some(text.clone());
        self.send(line, from, &dialog.response)?;
        table.dialogs.insert(text.header("Call-ID").to_owned(), dialog);
        Ok(())
    }
}

/// Returns the user of the first SIP URI in a header.
fn user(header: &str) -> String {
    let rest = header.split_once("sip:").map_or("", |(_, rest)| rest);
    rest.split(['@', '>', ';', '<']).next().unwrap_or_default().to_owned()
}

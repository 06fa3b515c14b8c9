//! Requests to us: retransmissions found, what is wrong refused, new ones told (RFC 3261 §8.2, §9.2, §17.2.3).

use std::time::{Duration, Instant};

use super::tables::{Server, ServerMachine};
use super::{Arrival, Endpoint, Timer};
use crate::compose;
use crate::event::{DialogId, DropReason, Event, Flow, Party, Reason, Sent, ServerId};
use crate::header::{HeaderName, params};
use crate::limits;
use crate::message::{Defect, Message};
use crate::method::Method;
use crate::sanity::Refusal;
use crate::scan::{split, trim};
use crate::target::reply_flow;
use crate::transaction::key::{self, Key};
use crate::transaction::{ServerEvent, Slot, Slots, Step, Tell};
use crate::write::reason_phrase;

impl Endpoint {
    pub(super) fn on_request(&mut self, now: Instant, arrival: Arrival, request: Message) {
        let method = request.method();
        if let Some(defect) = request.defect() {
            return self.refuse(arrival.flow, arrival.party, &request, defect);
        }
        if method == Method::Ack {
            return self.on_ack(now, arrival, request);
        }
        if request.as_bytes().len() > self.message_bytes {
            return self.refuse_as(&arrival, &request, Refusal::plain(413));
        }
        if method == Method::Cancel {
            return self.on_cancel(now, arrival, &request);
        }
        if key::server(&mut self.scratch, arrival.party, method, &request).is_none() {
            return self.drop_message(DropReason::Unanswerable);
        }
        if let Some(&id) = self.server_keys.get(self.scratch.as_slice()) {
            self.step_server(now, id, ServerEvent::Request);
            return;
        }
        let key: Key = self.scratch.as_slice().into();
        if !self.may_pass(now, &arrival, &request) {
            return;
        }
        if key::to_tag(&request).is_empty() && self.is_merged(&request) {
            return self.refuse_as(&arrival, &request, Refusal::plain(482));
        }
        if let Some(refusal) = self.rules.judge(&self.tokens, &request, self.replacing.contains(&arrival.party)) {
            return self.refuse_as(&arrival, &request, refusal);
        }
        if key::to_tag(&request).is_empty() {
            self.on_new_request(now, arrival, key, request);
        } else {
            self.on_request_within(now, arrival, key, request);
        }
    }

    /// RFC 3261 §8.2.2.2: the same request that came by another way and is still open.
    fn is_merged(&mut self, request: &Message) -> bool {
        key::merged(&mut self.scratch, request).is_some() && self.merged.contains_key(self.scratch.as_slice())
    }

    /// A request outside of any dialog.
    fn on_new_request(&mut self, now: Instant, arrival: Arrival, key: Key, request: Message) {
        let method = request.method();
        if matches!(method, Method::Bye | Method::Prack | Method::Update | Method::Info) {
            return self.refuse_as(&arrival, &request, Refusal::plain(481));
        }
        let invite = method == Method::Invite;
        self.make_room(now, arrival.party);
        let no_dialog = invite && self.dialogs.len() + self.reserved >= self.limits.dialogs;
        if no_dialog || self.servers_full(arrival.party) {
            return self.refuse_full(&arrival, &request);
        }
        let id = self.start_server(now, arrival, key, request.clone(), None);
        if invite {
            self.send_trying(id);
            self.tell(Event::Invite { id, flow: arrival.flow, party: arrival.party, request });
        } else {
            let (flow, party) = (arrival.flow, arrival.party);
            self.tell(Event::Request { id: Some(id), dialog: None, flow, party, method, request });
        }
    }

    /// Takes a request into the tables.
    pub(super) fn start_server(
        &mut self,
        now: Instant,
        arrival: Arrival,
        key: Key,
        request: Message,
        dialog: Option<DialogId>,
    ) -> ServerId {
        let id = ServerId(self.fresh_id());
        let method = request.method();
        let to_tag = key::to_tag(&request);
        let initial = to_tag.is_empty();
        let tag = if initial { self.tokens.tag() } else { String::from_utf8_lossy(to_tag).into_owned() };
        let merged: Option<Key> =
            (initial && key::merged(&mut self.scratch, &request).is_some()).then(|| self.scratch.as_slice().into());
        if let Some(merged) = &merged {
            self.merged.insert(merged.clone(), id);
        }
        let reserved = method == Method::Invite && initial;
        self.reserved += usize::from(reserved);
        self.server_keys.insert(key.clone(), id);
        let mut slots = Slots::default();
        if method == Method::Invite {
            let lasts = Slot::Arm(Reason::InviteExpires, lifetime(&request));
            slots.apply(&mut self.timers, now, Timer::Server(id), Step { timeout: lasts, ..Step::IDLE });
        }
        let server = Server {
            key,
            merged,
            method,
            machine: ServerMachine::start(method, arrival.flow.transport.is_reliable()),
            slots,
            source: arrival.flow,
            reply: reply_flow(&request, arrival.flow),
            local: arrival.local,
            party: arrival.party,
            cseq: request.cseq().map(|cseq| cseq.number).unwrap_or_default(),
            request: Some(request),
            tag,
            last: None,
            dialog,
            initial,
            reserved,
            reliable: None,
            weight: 0,
        };
        self.servers.insert(id, Box::new(server));
        self.shares.entry(arrival.party).or_default().servers += 1;
        self.weigh_server(id);
        id
    }

    /// A CANCEL (RFC 3261 §9.2). Nothing is kept of it: while its INVITE is known, its repetition gets the same answer.
    fn on_cancel(&mut self, now: Instant, arrival: Arrival, cancel: &Message) {
        let found = key::server(&mut self.scratch, arrival.party, Method::Invite, cancel)
            .and_then(|()| self.server_keys.get(self.scratch.as_slice()).copied());
        let Some((id, server)) = found.and_then(|id| Some((id, self.servers.get(&id)?))) else {
            return self.refuse_as(&arrival, cancel, Refusal::plain(481));
        };
        let open = server.machine.is_open();
        let mut writer = compose::answer(cancel, arrival.flow, 200, "", &server.tag, false);
        self.write_product(&mut writer);
        let what = Sent { method: Method::Cancel, dialog: server.dialog, ..server.sent(id, 200, !open) };
        self.transmit(reply_flow(cancel, arrival.flow), writer.finish(None), what);
        if open {
            self.terminate_request(now, id);
            let elsewhere = cancel.headers(HeaderName::Reason).any(says_elsewhere);
            self.tell(Event::Canceled { id, elsewhere });
        }
    }

    /// An ACK: to a non-2xx final by its transaction, to a 2xx by its dialog.
    fn on_ack(&mut self, now: Instant, arrival: Arrival, ack: Message) {
        let found = key::server(&mut self.scratch, arrival.party, Method::Invite, &ack)
            .and_then(|()| self.server_keys.get(self.scratch.as_slice()).copied());
        if let Some(id) = found {
            // RFC 3261 §17.2.3: of an RFC 2543 client the To tag must be that of our answer.
            let legacy = !ack.via().and_then(|via| via.branch).is_some_and(key::has_cookie);
            let ours = self.servers.get(&id).is_some_and(|server| server.tag.as_bytes() == key::to_tag(&ack));
            if (!legacy || ours) && self.step_server(now, id, ServerEvent::Ack) != Tell::Message {
                return;
            }
        }
        self.on_ack_within(now, arrival, ack);
    }

    /// A refusal that nothing is kept of.
    pub(super) fn refuse_as(&mut self, arrival: &Arrival, request: &Message, refusal: Refusal) {
        self.refuse_request(arrival.flow, arrival.party, request, refusal, None);
    }

    /// Whether a request of a party has its transaction here: then it has come before.
    pub fn has_begun(&mut self, party: Party, request: &Message) -> bool {
        let found = key::server(&mut self.scratch, party, request.method(), request);
        found.is_some() && self.server_keys.contains_key(self.scratch.as_slice())
    }

    /// Refuses a new request with 503 and these headers; nothing is kept of it (RFC 3261 §8.2.7), so whoever does this
    /// sees to it that its repetitions come here too.
    pub fn turn_away(&mut self, flow: Flow, party: Party, request: &Message, headers: Vec<(&'static str, String)>) {
        self.refuse_request(flow, party, request, Refusal { headers, ..Refusal::plain(503) }, None);
    }

    /// The tables are full: 503 with Retry-After (RFC 3261 §21.5.4).
    pub(super) fn refuse_full(&mut self, arrival: &Arrival, request: &Message) {
        let seconds = 1 + self.tokens.below(10);
        self.refuse_as(arrival, request, Refusal::with(503, "Retry-After", seconds.to_string()));
    }

    /// Answers without a transaction: a repeated request gets the answer again, with the same To tag.
    pub(super) fn refuse_request(
        &mut self,
        source: Flow,
        party: Party,
        request: &Message,
        refusal: Refusal,
        defect: Option<Defect>,
    ) {
        if request.method() == Method::Ack {
            return self.drop_message(DropReason::StrayAck);
        }
        if request.via().is_none() {
            return self.drop_message(DropReason::Unanswerable);
        }
        let Refusal { code, what, headers } = refusal;
        let reason = if what.is_empty() { String::new() } else { format!("{}: {what}", reason_phrase(code)) };
        let tag = self.stateless_tag(request);
        let mut writer = compose::answer(request, source, code, &reason, &tag, false);
        for (name, value) in &headers {
            writer.header(name, value);
        }
        // A challenge is no longer than it must be: it may go to an address that has asked for nothing.
        if code != 401 {
            self.write_product(&mut writer);
        }
        let method = request.method();
        let sent = Sent { method, code: Some(code), party, again: false, client: None, server: None, dialog: None };
        self.transmit(reply_flow(request, source), writer.finish(None), sent);
        // A challenge is no refusal: what follows it tells.
        if code >= 300 && code != 401 {
            self.tell(Event::Refused { party, method, code, defect });
        }
    }
}

/// How long an INVITE may stay without final answer: its Expires (RFC 3261 §20.19), within the limit.
fn lifetime(request: &Message) -> Duration {
    let expires = request.header(HeaderName::Expires).and_then(|value| std::str::from_utf8(value).ok());
    let seconds = expires.and_then(|value| value.trim().parse().ok()).unwrap_or(limits::INVITE_SECONDS);
    Duration::from_secs(seconds.min(limits::INVITE_SECONDS).into())
}

/// Whether one of a Reason's values is `SIP;cause=200` (RFC 3326 §3.1): the call was answered elsewhere.
fn says_elsewhere(value: &[u8]) -> bool {
    split(value, b',').any(|entry| {
        let protocol = split(entry, b';').next().map(trim).unwrap_or_default();
        protocol.eq_ignore_ascii_case(b"SIP") && params::find(entry, "cause") == Some(b"200")
    })
}

//! Handles received requests: absorbs retransmissions, rejects invalid requests, requires credentials, and reports new
//! requests (RFC 3261 §8.2, §9.2, §17.2.3, §22.1).

use std::time::Instant;

use super::{Endpoint, Parts};
use crate::compose;
use crate::digest::challenger::Verdict;
use crate::event::{DropReason, Event};
use crate::message::{Defect, Message};
use crate::method::Method;
use crate::sanity::Refusal;
use crate::shared::Arrival;
use crate::transaction::key::{self, Key};

/// Defect reported for valid credentials that were computed for another Request-URI.
pub const DIGEST_URI_DIFFERS: &str = "the digest uri is not the Request-URI";

impl Endpoint {
    pub(super) fn on_request(&mut self, now: Instant, arrival: Arrival, request: Message) {
        let method = request.method();
        if let Some(defect) = request.defect() {
            return self.refuse(arrival.flow, arrival.party, &request, defect);
        }
        if method == Method::Ack {
            let Parts { mut cx, servers, .. } = self.parts(now);
            if !servers.on_ack(&mut cx, &arrival, &request) {
                self.on_ack_within(now, arrival, request);
            }
            return;
        }
        if request.as_bytes().len() > self.message_bytes {
            return self.shared.refuse(&arrival, &request, Refusal::plain(413));
        }
        if method == Method::Cancel {
            let Parts { mut cx, servers, .. } = self.parts(now);
            return servers.on_cancel(&mut cx, arrival, &request);
        }
        if key::server(&mut self.shared.scratch, arrival.party, method, &request).is_none() {
            return self.shared.drop_message(DropReason::Unanswerable);
        }
        if let Some(id) = self.servers.at_key(&self.shared) {
            let Parts { mut cx, servers, .. } = self.parts(now);
            return servers.on_repetition(&mut cx, id, &arrival);
        }
        let key: Key = self.shared.scratch.as_slice().into();
        if !self.may_pass(now, &arrival, &request) {
            return;
        }
        let is_within = !key::to_tag(&request).is_empty();
        if !is_within && self.servers.is_merged(&mut self.shared, &request) {
            return self.shared.refuse(&arrival, &request, Refusal::plain(482));
        }
        let may_replace = self.shared.peers.may_replace(arrival.party);
        if let Some(refusal) = self.shared.rules.judge(&self.shared.tokens, &request, may_replace) {
            return self.shared.refuse(&arrival, &request, refusal);
        }
        if is_within {
            self.on_request_within(now, arrival, key, request);
        } else {
            self.on_new_request(now, arrival, key, request);
        }
    }

    /// Handles a request outside any dialog.
    fn on_new_request(&mut self, now: Instant, arrival: Arrival, key: Key, request: Message) {
        let method = request.method();
        if matches!(method, Method::Bye | Method::Prack | Method::Update | Method::Info) {
            return self.shared.refuse(&arrival, &request, Refusal::plain(481));
        }
        let invite = method == Method::Invite;
        let Parts { mut cx, servers, .. } = self.parts(now);
        servers.make_room(&mut cx, arrival.party);
        if (method.begins_dialog() && cx.dialogs.is_full()) || servers.is_full(arrival.party) {
            return cx.shared.refuse_full(&arrival, &request);
        }
        let id = servers.begin(&mut cx, arrival, key, request.clone(), None);
        let (flow, party) = (arrival.flow, arrival.party);
        if invite {
            servers.send_trying(&mut cx, id);
            cx.shared.tell(Event::Invite { id, flow, party, request });
        } else {
            cx.shared.tell(Event::Request { id: Some(id), dialog: None, flow, party, method, request });
        }
    }

    /// Requires credentials from the party if configured. Returns whether the request may pass. A request inside one
    /// of the party's dialogs is authenticated by the dialog's tags and not challenged again.
    fn may_pass(&mut self, now: Instant, arrival: &Arrival, request: &Message) -> bool {
        let party = arrival.party;
        if !self.challenger.asks(party) {
            return true;
        }
        let shared = &mut self.shared;
        if !key::to_tag(request).is_empty() && self.dialogs.find(shared, party, request).is_some() {
            return true;
        }
        let source = arrival.flow.remote.ip();
        match self.challenger.judge(now, party, source, request) {
            Verdict::Passed => true,
            Verdict::OtherUri => {
                let defect = Defect { code: 400, what: DIGEST_URI_DIFFERS };
                shared.refuse_for(arrival.flow, party, request, defect.into(), Some(defect));
                false
            }
            Verdict::Challenge { stale, failed, proven } => {
                let values = self.challenger.challenge(now, party, source, stale);
                let values = self.fitting(arrival, request, values);
                let headers = values.into_iter().map(|value| ("WWW-Authenticate", value)).collect();
                self.shared.refuse(arrival, request, Refusal { headers, ..Refusal::plain(401) });
                if failed {
                    let flow = arrival.flow;
                    let (user, is_user_known) = self.challenger.user_shown(party, request);
                    self.shared.tell(Event::WrongCredentials { party, flow, proven, user, is_user_known });
                }
                false
            }
        }
    }

    /// Limits the challenges in the response to a datagram from outside the party's networks: at least one, but no
    /// more than keep the response as short as the request. The source may be forged, and the response must not
    /// amplify traffic towards it.
    fn fitting(&self, arrival: &Arrival, request: &Message, values: Vec<String>) -> Vec<String> {
        let source = arrival.flow.remote.ip();
        let reach = self.shared.peers.known_reach(arrival.party).filter(|_| !arrival.flow.transport.is_reliable());
        if reach.is_none_or(|networks| networks.iter().any(|network| network.contains(&source))) {
            return values;
        }
        let tag = self.shared.stateless_tag(request);
        let bare = compose::answer(request, arrival.flow, 401, "", &tag, false);
        let fields: usize = values.iter().map(|value| "WWW-Authenticate: \r\n".len() + value.len()).sum();
        if bare.finish(None).len() + fields <= request.as_bytes().len() {
            return values;
        }
        // The last challenge is the weakest, and the most widely supported.
        values.into_iter().next_back().into_iter().collect()
    }
}

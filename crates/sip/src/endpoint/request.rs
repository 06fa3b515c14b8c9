//! Handles received requests: absorbs retransmissions, rejects invalid requests, requires credentials, and reports new
//! requests (RFC 3261 §8.2, §9.2, §17.2.3, §22.1).

use std::time::Instant;

use super::{EndpointParts, SipEndpoint};
use crate::compose;
use crate::digest::challenger::CredentialsCheck;
use crate::event::{DropReason, EndpointEvent};
use crate::message::{MessageDefect, SipMessage};
use crate::method::Method;
use crate::sanity::RequestRejection;
use crate::shared::MessageOrigin;
use crate::transaction::key::{self, IndexKey};

/// Defect reported for valid credentials that were computed for another Request-URI.
pub const DIGEST_URI_DIFFERS: &str = "the digest uri is not the Request-URI";

impl SipEndpoint {
    pub(super) fn on_request(&mut self, now: Instant, arrival: MessageOrigin, request: SipMessage) {
        let method = request.method();
        if let Some(defect) = request.defect() {
            return self.refuse(arrival.flow, arrival.party, &request, defect);
        }
        if method == Method::Ack {
            let EndpointParts { mut cx, servers, .. } = self.parts(now);
            if !servers.on_ack(&mut cx, &arrival, &request) {
                self.on_ack_within(now, arrival, request);
            }
            return;
        }
        if request.as_bytes().len() > self.message_bytes {
            return self.shared.refuse(&arrival, &request, RequestRejection::with_code(413));
        }
        if method == Method::Cancel {
            let EndpointParts { mut cx, servers, .. } = self.parts(now);
            return servers.on_cancel(&mut cx, arrival, &request);
        }
        if key::server(&mut self.shared.scratch, arrival.party, method, &request).is_none() {
            return self.shared.drop_message(DropReason::Unanswerable);
        }
        if let Some(id) = self.servers.at_key(&self.shared) {
            let EndpointParts { mut cx, servers, .. } = self.parts(now);
            return servers.on_repetition(&mut cx, id, &arrival);
        }
        let key: IndexKey = self.shared.scratch.as_slice().into();
        if !self.may_pass(now, &arrival, &request) {
            return;
        }
        let is_within = !key::to_tag(&request).is_empty();
        if !is_within && self.servers.is_merged(&mut self.shared, &request) {
            return self.shared.refuse(&arrival, &request, RequestRejection::with_code(482));
        }
        let may_replace = self.shared.peers.may_replace(arrival.party);
        if let Some(refusal) = self.shared.rules.check_request(&self.shared.tokens, &request, may_replace) {
            return self.shared.refuse(&arrival, &request, refusal);
        }
        if is_within {
            self.on_request_within(now, arrival, key, request);
        } else {
            self.on_new_request(now, arrival, key, request);
        }
    }

    /// Handles a request outside any dialog.
    fn on_new_request(&mut self, now: Instant, arrival: MessageOrigin, key: IndexKey, request: SipMessage) {
        let method = request.method();
        if matches!(method, Method::Bye | Method::Prack | Method::Update | Method::Info) {
            return self.shared.refuse(&arrival, &request, RequestRejection::with_code(481));
        }
        let invite = method == Method::Invite;
        let EndpointParts { mut cx, servers, .. } = self.parts(now);
        servers.make_room(&mut cx, arrival.party);
        if (method.begins_dialog() && cx.dialogs.is_full()) || servers.is_full(arrival.party) {
            return cx.shared.refuse_full(&arrival, &request);
        }
        let id = servers.insert_request(&mut cx, arrival, key, request.clone(), None);
        let (flow, party) = (arrival.flow, arrival.party);
        if invite {
            servers.send_trying(&mut cx, id);
            cx.shared.queue_event(EndpointEvent::Invite { id, flow, party, request });
        } else {
            cx.shared.queue_event(EndpointEvent::Request { id: Some(id), dialog: None, flow, party, method, request });
        }
    }

    /// Checks the credentials of a request if the party must authenticate, and rejects the request if they are missing
    /// or wrong. Returns whether the request may pass. A request inside one of the party's dialogs is authenticated by
    /// the dialog's tags and not challenged again.
    fn may_pass(&mut self, now: Instant, arrival: &MessageOrigin, request: &SipMessage) -> bool {
        let party = arrival.party;
        if !self.challenger.is_challenged(party) {
            return true;
        }
        let shared = &mut self.shared;
        if !key::to_tag(request).is_empty() && self.dialogs.find(shared, party, request).is_some() {
            return true;
        }
        let source = arrival.flow.remote.ip();
        match self.challenger.verify_request(now, party, source, request) {
            CredentialsCheck::Passed => true,
            CredentialsCheck::OtherUri => {
                let defect = MessageDefect { code: 400, what: DIGEST_URI_DIFFERS };
                shared.refuse_for(arrival.flow, party, request, defect.into(), Some(defect));
                false
            }
            CredentialsCheck::Challenge { stale, failed, proven } => {
                let values = self.challenger.challenge(now, party, source, stale);
                let values = self.fitting(arrival, request, values);
                let headers = values.into_iter().map(|value| ("WWW-Authenticate", value)).collect();
                self.shared.refuse(arrival, request, RequestRejection { headers, ..RequestRejection::with_code(401) });
                if failed {
                    let flow = arrival.flow;
                    let (user, is_user_known) = self.challenger.user_shown(party, request);
                    self.shared.queue_event(EndpointEvent::WrongCredentials {
                        party,
                        flow,
                        proven,
                        user,
                        is_user_known,
                    });
                }
                false
            }
        }
    }

    /// Limits the challenges in the response to a datagram from outside the party's networks: at least one, but no
    /// more than keep the response as short as the request. The source may be forged, and the response must not
    /// amplify traffic towards it.
    fn fitting(&self, arrival: &MessageOrigin, request: &SipMessage, values: Vec<String>) -> Vec<String> {
        let source = arrival.flow.remote.ip();
        let reach = self.shared.peers.known_reach(arrival.party).filter(|_| !arrival.flow.transport.is_reliable());
        if reach.is_none_or(|networks| networks.iter().any(|network| network.contains(&source))) {
            return values;
        }
        let tag = self.shared.stateless_tag(request);
        let bare = compose::begin_response(request, arrival.flow, 401, "", &tag, false);
        let fields: usize = values.iter().map(|value| "WWW-Authenticate: \r\n".len() + value.len()).sum();
        if bare.finish(None).len() + fields <= request.as_bytes().len() {
            return values;
        }
        // The last challenge is the weakest, and the most widely supported.
        values.into_iter().next_back().into_iter().collect()
    }
}

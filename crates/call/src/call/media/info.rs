//! INFO in a call (RFC 6086 §4.2, RFC 2976): what it carries, keys most often, is the far ends' own. It goes on to the other
//! leg as it came, and the answer comes back; keys between sides that press them in different ways stay here
//! (`crates/call/src/call/media/dtmf.rs`). Info packages are not negotiated, so none is taken.

use std::time::Instant;

use trunkgate_resources::edge::Edge;
use trunkgate_resources::index::Purpose;
use trunkgate_resources::key::LegId;
use trunkgate_resources::limits::{INFO_BYTES, INFOS_PER_CALL};
use trunkgate_resources::sip::extra;
use trunkgate_sip::{Answer, Body, ClientId, ServerId};
use trunkgate_story::few::Few;
use trunkgate_story::reason::ReasonSlug;

use crate::call::legs::headers::Brought;
use crate::call::media::dtmf::{Told, told};
use crate::call::search::answer::seen_code;
use crate::call::{Call, State, refuse_request};

/// What an INFO brings.
#[derive(Debug)]
pub(crate) struct Info {
    /// Its body, whatever the type.
    pub(crate) body: Option<Body>,
    /// Its Content-Disposition.
    pub(crate) disposition: Option<String>,
    /// Whether it is of a package.
    pub(crate) is_packaged: bool,
    /// Headers that may go on.
    pub(crate) headers: Brought,
}

impl Info {
    /// What of it would go on besides headers, in bytes.
    fn bytes(&self) -> usize {
        let body = self.body.as_ref().map_or(0, |body| body.bytes.len() + body.content_type.len());
        body + self.disposition.as_ref().map_or(0, String::len)
    }
}

impl Call {
    /// A far end says something to the other one.
    pub(crate) fn informed(&mut self, now: Instant, edge: &mut Edge, leg: LegId, server: ServerId, info: Info) {
        let refusal = match self.state {
            State::Ended => 481,
            State::Searching | State::Rerouting | State::Leaving => 480,
            State::Answered if info.bytes() > INFO_BYTES => 413,
            State::Answered if info.is_packaged => 469,
            State::Answered if self.negotiation.infos.len() >= INFOS_PER_CALL => 500,
            State::Answered => 0,
        };
        if refusal != 0 {
            // Which packages would do (RFC 6086 §4.2.2): none.
            let headers = if refusal == 469 { vec![extra("Recv-Info", "")] } else { Vec::new() };
            edge.respond(now, server, Answer { code: refusal, headers, ..Answer::default() });
            return;
        }
        let to = self.legs.other(leg).and_then(|other| Some((other, self.legs[other].dialog?)));
        let is_same_way = to.is_some_and(|(other, _)| self.legs[other].dtmf() == self.legs[leg].dtmf());
        let taken = match told(info.body.as_ref()) {
            Told::Key(key, ms) if !is_same_way => Some(self.key_told(now, edge, leg, (key, ms))),
            Told::Unreadable if !is_same_way => Some((400, None)),
            Told::Key(..) | Told::Unreadable | Told::Other => None,
        };
        // An agent is told keys by its stream, and nothing else.
        let (Some((other, dialog)), None) = (to, taken) else {
            let (code, wait) = taken.unwrap_or((415, None));
            let accept = (code == 415).then(|| extra("Accept", "application/sdp"));
            let retry = wait.map(|seconds| extra("Retry-After", seconds.to_string()));
            let headers = accept.into_iter().chain(retry).collect();
            edge.respond(now, server, Answer { code, headers, ..Answer::default() });
            return;
        };
        let mut headers = self.passing(edge, &info.headers, leg, other);
        headers.extend(info.disposition.map(|disposition| extra("Content-Disposition", disposition)));
        match edge.request(now, self.legs.place(other), dialog, Purpose::Info, headers, info.body) {
            Some(client) => {
                self.negotiation.infos.insert(client, server);
            }
            None => refuse_request(now, edge, server, 500),
        }
    }

    /// The other far end has answered, or does not (408).
    pub(crate) fn info_answered(&mut self, now: Instant, edge: &mut Edge, client: ClientId, code: u16) {
        if let Some(server) = self.negotiation.infos.remove(client) {
            let seen = if (200..300).contains(&code) { 200 } else { seen_code(code) };
            edge.respond(now, server, Answer { code: seen, ..Answer::default() });
        } else if !self.key_answered(now, edge, client, code) {
            return;
        }
        // It has lost the dialog (RFC 3261 §12.2.1.2).
        if matches!(code, 408 | 481) && self.state == State::Answered {
            self.end(now, edge, ReasonSlug::Unreachable);
        }
    }

    /// The call is over: whoever waits for an answer is told so, and what is answered later is nobody's.
    pub(crate) fn refuse_infos(&mut self, now: Instant, edge: &mut Edge) {
        self.forget_keys(edge);
        terminate_open(now, edge, &mut self.negotiation.infos);
    }
}

/// Nobody waits any more for the answers to requests that went on: those that they were are told so.
pub(crate) fn terminate_open(now: Instant, edge: &mut Edge, open: &mut Few<ClientId, ServerId>) {
    while let Some(client) = open.first() {
        edge.index.clients.remove(&client);
        if let Some(server) = open.remove(client) {
            refuse_request(now, edge, server, 487);
        }
    }
}

//! Received INVITEs of another process, which this process refuses.

use super::ServerTransactions;
use super::transaction::ServerTransaction;
use crate::cx::EndpointCx;
use crate::endpoint::{OpenInvite, OpenInviteSide};
use crate::event::ResponseSpec;
use crate::header::HeaderName;
use crate::message::SipMessage;
use crate::method::Method;
use crate::reply::late_reply_flow;
use crate::shared::MessageOrigin;
use crate::transaction::key::{self, IndexKey};

/// Headers of a request that its responses repeat (RFC 3261 §8.2.6.2), besides Via.
const REPEATED: [(HeaderName, &str); 4] =
    [(HeaderName::From, "From"), (HeaderName::To, "To"), (HeaderName::CallId, "Call-ID"), (HeaderName::CSeq, "CSeq")];

impl ServerTransactions {
    /// Returns the initial INVITEs without a final response.
    pub(crate) fn open_invites(&self) -> impl Iterator<Item = OpenInvite> {
        let open = |server: &&ServerTransaction| server.initial && server.machine.is_open();
        let invites = self.servers.values().map(Box::as_ref).filter(|server| server.method == Method::Invite);
        invites.filter(open).filter_map(|server| {
            let request = server.request.as_ref()?;
            Some(OpenInvite {
                flow: server.source,
                local: server.local,
                party: server.party,
                call_id: std::str::from_utf8(request.call_id()?).ok()?.to_owned(),
                side: OpenInviteSide::Received { head: head(request)?, tag: server.tag.clone() },
            })
        })
    }

    /// Refuses an INVITE of another process, whose responses carried `tag`, and repeats the response until its ACK.
    /// Returns false if the INVITE is invalid or the table is full.
    pub(crate) fn refuse_open(
        &mut self,
        cx: &mut EndpointCx<'_>,
        origin: MessageOrigin,
        request: SipMessage,
        tag: String,
        answer: ResponseSpec,
    ) -> bool {
        let is_valid = request.method() == Method::Invite && request.defect().is_none();
        if !is_valid || key::server(&mut cx.shared.scratch, origin.party, Method::Invite, &request).is_none() {
            return false;
        }
        if self.at_key(cx.shared).is_some() || self.is_full(origin.party) || cx.dialogs.is_full() {
            return false;
        }
        let key: IndexKey = cx.shared.scratch.as_slice().into();
        let reply = late_reply_flow(&request, origin.flow);
        let id = self.insert_request(cx, origin, key, request, None);
        if let Some(server) = self.servers.get_mut(&id) {
            server.tag = tag;
            server.reply = reply;
        }
        self.respond(cx, id, answer);
        true
    }
}

/// Returns a request with the headers that its responses repeat; `None` if one is not UTF-8.
fn head(request: &SipMessage) -> Option<String> {
    let start = request.as_bytes().split(|byte| *byte == b'\r' || *byte == b'\n').next()?;
    let mut head = format!("{}\r\n", std::str::from_utf8(start).ok()?);
    let vias = request.headers(HeaderName::Via).map(|value| ("Via", value));
    let others = REPEATED.iter().filter_map(|(name, text)| Some((*text, request.header(*name)?)));
    for (name, value) in vias.chain(others) {
        // A folded value stays folded.
        head.extend([name, ": ", std::str::from_utf8(value).ok()?, "\r\n"]);
    }
    head.push_str("Max-Forwards: 0\r\nContent-Length: 0\r\n\r\n");
    Some(head)
}

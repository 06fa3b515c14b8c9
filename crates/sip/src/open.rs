//! Initial INVITEs without a final response in plain data. After a crash the next process ends them, so that no caller
//! waits and no phone rings for a call that no longer exists.

use serde::{Deserialize, Serialize};

use crate::event::{Flow, LocalAddress, SipPartyId};
use crate::header::HeaderName;
use crate::message::{SipMessage, StartLine};
use crate::write::MessageWriter;

/// Headers of a request that its responses repeat (RFC 3261 §8.2.6.2).
const REPEATED: [HeaderName; 5] =
    [HeaderName::Via, HeaderName::From, HeaderName::To, HeaderName::CallId, HeaderName::CSeq];

/// Initial INVITE without a final response, received or sent by an endpoint, in plain data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenInvite {
    pub(crate) flow: Flow,
    pub(crate) local: LocalAddress,
    pub(crate) party: SipPartyId,
    pub(crate) call_id: String,
    /// Parts of the INVITE that its response or its CANCEL repeats.
    pub(crate) side: OpenInviteSide,
}

/// Numbers of INVITEs of another process that were ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EndedInvites {
    /// Number of received INVITEs that got a final response.
    pub refused: usize,
    /// Number of sent INVITEs that got a CANCEL.
    pub withdrawn: usize,
}

/// Parts of an INVITE that its final response or its CANCEL repeats.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum OpenInviteSide {
    /// Received INVITE: the headers that responses repeat, and the local tag.
    Received { head: String, tag: String },
    /// Sent INVITE.
    Sent(OutgoingInvite),
}

/// Parts of an outgoing INVITE that its CANCEL and ACK repeat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OutgoingInvite {
    pub(crate) branch: String,
    pub(crate) uri: String,
    /// Value of From, without tag.
    pub(crate) local_uri: String,
    pub(crate) local_tag: String,
    /// Value of To as sent.
    pub(crate) to: String,
    pub(crate) cseq: u32,
    /// Whether the call was answered elsewhere.
    pub(crate) elsewhere: bool,
}

impl OpenInvite {
    /// Returns the flow on which the INVITE was received or sent.
    pub fn flow(&self) -> Flow {
        self.flow
    }

    /// Returns the id of the party, such as a trunk, that sent or received the INVITE.
    pub fn party(&self) -> SipPartyId {
        self.party
    }

    /// Returns the INVITE with the party's id and the flow of this process.
    pub fn restored(self, party: SipPartyId, flow: Flow) -> OpenInvite {
        OpenInvite { party, flow, ..self }
    }
}

/// Returns a request with the headers that its responses repeat; `None` if one is not UTF-8.
pub(crate) fn response_head(request: &SipMessage) -> Option<String> {
    let StartLine::Request { uri, .. } = request.start_line() else { return None };
    let mut writer = MessageWriter::request(request.method(), std::str::from_utf8(uri).ok()?);
    for name in REPEATED {
        for value in request.headers(name) {
            writer.header_bytes(name.as_str(), value);
        }
    }
    String::from_utf8(writer.finish(None).into()).ok()
}

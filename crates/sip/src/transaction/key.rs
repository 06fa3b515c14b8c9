//! Keys that match messages to transactions (RFC 3261 §17.1.3, §17.2.3) and dialogs (§12.2). A key is a sequence of
//! length-prefixed parts, composed in a scratch buffer so that lookups do not allocate.

use std::sync::Arc;

use crate::event::SipPartyId;
use crate::identity::MAGIC_COOKIE;
use crate::message::{SipMessage, StartLine};
use crate::method::Method;

/// Stored key, shared between an index and the indexed entry.
pub(crate) type IndexKey = Arc<[u8]>;

/// Composes the key of a server transaction. It contains the party, so that no other party can cancel or acknowledge
/// the request. Look up an ACK or CANCEL with `method` INVITE. Returns `None` without a Via.
pub(crate) fn server(key: &mut Vec<u8>, party: SipPartyId, method: Method, message: &SipMessage) -> Option<()> {
    key.clear();
    key.extend_from_slice(&party.0.to_le_bytes());
    append_part(key, method.as_str().as_bytes());
    let via = message.via()?;
    match via.branch {
        Some(branch) if is_unique(branch) => {
            append_part(key, branch);
            let at = key.len();
            append_part(key, via.sent_by.host.as_bytes());
            if let Some(host) = key.get_mut(at..) {
                host.make_ascii_lowercase();
            }
            key.extend_from_slice(&via.sent_by.port.unwrap_or(0).to_le_bytes());
        }
        // RFC 3261 §17.2.3: request of an RFC 2543 client, or a branch that is only the cookie. The To tag is
        // excluded, because an ACK has one even if its INVITE had none.
        _ => {
            let StartLine::Request { uri, .. } = message.start_line() else { return None };
            append_part(key, b"");
            append_part(key, uri);
            append_part(key, via.raw);
            append_part(key, message.call_id().unwrap_or_default());
            append_part(key, from_tag(message));
            key.extend_from_slice(&message.cseq()?.number.to_le_bytes());
        }
    }
    Some(())
}

/// Returns the offset after the branch of an outgoing request, where Via is the first header.
pub(crate) fn branch_end(request: &[u8]) -> Option<usize> {
    const BEFORE: &[u8] = b";branch=";
    let via = request.iter().position(|byte| *byte == b'\n')?;
    let found = request.get(via..)?.windows(BEFORE.len()).position(|bytes| bytes == BEFORE)?;
    let branch = via + found + BEFORE.len();
    let len = request.get(branch..)?.iter().position(|byte| matches!(byte, b';' | b',' | b'\r'))?;
    Some(branch + len)
}

/// Returns whether a branch comes from an RFC 3261 client and is therefore unique (§8.1.1.7). The cookie alone
/// identifies no transaction (RFC 4475 §3.2.1).
pub(crate) fn is_unique(branch: &[u8]) -> bool {
    let is_cookie = |start: &[u8]| start.eq_ignore_ascii_case(MAGIC_COOKIE.as_bytes());
    branch.split_at_checked(MAGIC_COOKIE.len()).is_some_and(|(start, rest)| is_cookie(start) && !rest.is_empty())
}

/// Composes the key of a client transaction. The method distinguishes a CANCEL from its INVITE, which has the same
/// branch.
pub(crate) fn client(key: &mut Vec<u8>, branch: &[u8], method: Method) {
    key.clear();
    append_part(key, method.as_str().as_bytes());
    append_part(key, branch);
}

/// Composes the key that detects a merged request (RFC 3261 §8.2.2.2): the same request on another path.
pub(crate) fn merged(key: &mut Vec<u8>, message: &SipMessage) -> Option<()> {
    key.clear();
    append_part(key, message.method().as_str().as_bytes());
    append_part(key, from_tag(message));
    append_part(key, message.call_id()?);
    key.extend_from_slice(&message.cseq()?.number.to_le_bytes());
    Some(())
}

/// Composes the key of a dialog. A missing tag counts as empty (RFC 3261 §12.1.1, for RFC 2543 peers).
pub(crate) fn dialog(key: &mut Vec<u8>, call_id: &[u8], local_tag: &[u8], remote_tag: &[u8]) {
    key.clear();
    append_part(key, call_id);
    append_part(key, local_tag);
    append_part(key, remote_tag);
}

/// Returns the From tag, or an empty slice.
pub(crate) fn from_tag(message: &SipMessage) -> &[u8] {
    message.from().and_then(|from| from.tag()).unwrap_or_default()
}

/// Returns the To tag, or an empty slice.
pub(crate) fn to_tag(message: &SipMessage) -> &[u8] {
    message.to().and_then(|to| to.tag()).unwrap_or_default()
}

fn append_part(key: &mut Vec<u8>, bytes: &[u8]) {
    // Messages are at most 64 KiB, so the length fits.
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    key.extend_from_slice(&length.to_le_bytes());
    key.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn request(method: &str, via: &str, from: &str, cseq: u32) -> SipMessage {
        let text = format!(
            "{method} sip:b@192.0.2.1 SIP/2.0\r\nVia: {via}\r\nFrom: {from}\r\nTo: <sip:b@192.0.2.1>\r\n\
             Call-ID: c\r\nCSeq: {cseq} {method}\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
        );
        SipMessage::parse(Bytes::from(text)).unwrap()
    }

    fn key_of(party: u32, method: Method, message: &SipMessage) -> Vec<u8> {
        let mut key = Vec::new();
        server(&mut key, SipPartyId(party), method, message).unwrap();
        key
    }

    const FROM: &str = "<sip:a@192.0.2.2>;tag=a";

    #[test]
    fn rfc3261_17_2_3_branch_sent_by_method_and_party_decide() {
        let via = "SIP/2.0/UDP Host.example:5060;branch=z9hG4bK1";
        let invite = request("INVITE", via, FROM, 1);
        let key = key_of(1, Method::Invite, &invite);
        assert_eq!(key, key_of(1, Method::Invite, &request("ACK", via, FROM, 1)));
        assert_eq!(
            key,
            key_of(1, Method::Invite, &request("INVITE", "SIP/2.0/UDP hOST.example:5060;branch=z9hG4bK1", FROM, 1)),
            "host names have no case"
        );
        assert_ne!(key, key_of(2, Method::Invite, &invite), "another party");
        assert_ne!(key, key_of(1, Method::Cancel, &invite), "another method");
        let other_port = request("INVITE", "SIP/2.0/UDP host.example:5061;branch=z9hG4bK1", FROM, 1);
        assert_ne!(key, key_of(1, Method::Invite, &other_port), "another sent-by");
        let other_branch = request("INVITE", "SIP/2.0/UDP host.example:5060;branch=z9hG4bK2", FROM, 1);
        assert_ne!(key, key_of(1, Method::Invite, &other_branch), "another branch");
    }

    #[test]
    fn rfc3261_17_2_3_without_the_cookie_the_whole_request_decides() {
        for via in ["", ";branch=1", ";branch=z9hG4bK", ";branch=Z9HG4BK"]
            .map(|branch| format!("SIP/2.0/UDP host.example{branch}"))
        {
            let via = via.as_str();
            let invite = request("INVITE", via, "<sip:a@192.0.2.2>", 1);
            let key = key_of(1, Method::Invite, &invite);
            assert_eq!(key, key_of(1, Method::Invite, &request("ACK", via, "<sip:a@192.0.2.2>", 1)));
            assert_ne!(key, key_of(1, Method::Invite, &request("INVITE", via, "<sip:a@192.0.2.2>", 2)), "CSeq");
            assert_ne!(key, key_of(1, Method::Invite, &request("INVITE", via, FROM, 1)), "From tag");
        }
    }
}

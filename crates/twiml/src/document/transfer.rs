//! Verbs that transfer, reject or redirect the call: Redirect, Reject, Refer.

use serde::{Deserialize, Serialize};

use super::dial::{SipHeader, headers_of_uri, sip_uri};
use super::fields::{ElementFields, HttpMethod};
use super::unknown;
use crate::compat::{self, VOICE};
use crate::problem::code;

/// Verb that continues with another document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RedirectVerb {
    /// URL of the document, as written; if empty, the URL of this document.
    pub url: String,
    /// Method of the request for `url`.
    pub method: HttpMethod,
}

/// Reason with which a Reject verb rejects the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RejectReason {
    /// The call is declined with SIP 603.
    Rejected,
    /// The call is rejected as busy with SIP 486.
    Busy,
}

/// Verb that asks the caller's user agent to call another address (REFER).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReferVerb {
    /// URL requested with the result, as written. If `None`, the document continues with the next verb.
    pub action: Option<String>,
    /// Method of the request to `action`.
    pub method: HttpMethod,
    /// SIP URI to call, without headers.
    pub uri: String,
    /// Headers after the `?` of the URI, in order.
    pub headers: Vec<SipHeader>,
}

/// Reads the URL and method of a Redirect.
pub(super) fn redirect(mut fields: ElementFields<'_>) -> RedirectVerb {
    RedirectVerb { url: fields.element.text(), method: fields.method("method", 13710) }
}

/// Reads the reason of a Reject.
pub(super) fn reject(mut fields: ElementFields<'_>) -> RejectReason {
    let reasons = [("rejected", RejectReason::Rejected), ("busy", RejectReason::Busy)];
    fields.choice("reason", code::SCHEMA, &reasons, RejectReason::Rejected)
}

/// Reads a Refer; returns `None` if it has no SIP URI.
pub(super) fn refer(mut fields: ElementFields<'_>) -> Option<ReferVerb> {
    let action = fields.text("action");
    let method = fields.method("method", code::SCHEMA);
    let mut target = None;
    for child in fields.element.elements() {
        match compat::entry(VOICE, fields.path(), &child.name) {
            None => unknown(child, fields.path(), fields.warnings),
            Some(entry) => {
                let noun = ElementFields::open(entry, child, fields.warnings);
                let uri = sip_uri(noun.element).filter(|_| target.is_none());
                target = uri.map(|uri| headers_of_uri(&uri, noun.element, noun.warnings)).or(target);
            }
        }
    }
    match target {
        Some((uri, headers)) => Some(ReferVerb { action, method, uri, headers }),
        None => {
            fields.warnings.add(code::SIP_URI, fields.element.position, "<Refer> without a SIP URI is skipped");
            None
        }
    }
}

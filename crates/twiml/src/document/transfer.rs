//! Verbs that transfer, reject or redirect the call: Redirect, Reject, Refer.

use serde::{Deserialize, Serialize};

use super::dial::{Header, headers_of_uri, sip_uri};
use super::fields::{Fields, Method};
use super::unknown;
use crate::compat::{self, VOICE};
use crate::problem::code;

/// Continues with another document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redirect {
    /// URL, as written; empty: URL of this document.
    pub url: String,
    /// Method of the request.
    pub method: Method,
}

/// Reason of a rejection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reject {
    /// Declined: SIP 603.
    Rejected,
    /// Busy: SIP 486.
    Busy,
}

/// Asks the caller's user agent to call another address (REFER).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refer {
    /// URL requested with the result, as written; `None`: continue with the next verb.
    pub action: Option<String>,
    /// Method of the request to `action`.
    pub method: Method,
    /// SIP URI to call, without headers.
    pub uri: String,
    /// Headers after the `?` of the URI, in order.
    pub headers: Vec<Header>,
}

/// Reads a Redirect.
pub(super) fn redirect(mut fields: Fields<'_>) -> Redirect {
    Redirect { url: fields.element.text(), method: fields.method("method", 13710) }
}

/// Reads a Reject.
pub(super) fn reject(mut fields: Fields<'_>) -> Reject {
    let reasons = [("rejected", Reject::Rejected), ("busy", Reject::Busy)];
    fields.choice("reason", code::SCHEMA, &reasons, Reject::Rejected)
}

/// Reads a Refer; `None` without a SIP URI.
pub(super) fn refer(mut fields: Fields<'_>) -> Option<Refer> {
    let action = fields.text("action");
    let method = fields.method("method", code::SCHEMA);
    let mut target = None;
    for child in fields.element.elements() {
        match compat::entry(VOICE, fields.path(), &child.name) {
            None => unknown(child, fields.path(), fields.warnings),
            Some(entry) => {
                let noun = Fields::open(entry, child, fields.warnings);
                let uri = sip_uri(noun.element).filter(|_| target.is_none());
                target = uri.map(|uri| headers_of_uri(&uri, noun.element, noun.warnings)).or(target);
            }
        }
    }
    match target {
        Some((uri, headers)) => Some(Refer { action, method, uri, headers }),
        None => {
            fields.warnings.add(code::SIP_URI, fields.element.position, "<Refer> without a SIP URI is skipped");
            None
        }
    }
}

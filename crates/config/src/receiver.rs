//! HTTP receivers of signed webhooks: `url` of `[cdr]` and of `[alerts]`, with its delivery settings.

use std::sync::Arc;
use std::time::Duration;

use super::code;
use super::types::Secret;
use super::values::KeyReader;
use crate::signature;

/// Help text that explains how to create a signing secret.
pub(super) const MAKE_SECRET: &str =
    "create one with `echo whsec_$(openssl rand -base64 32)` and configure it at the receiver too";

/// HTTP receiver of signed webhooks (Standard Webhooks).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WebhookReceiver {
    /// `http` or `https` URL of the requests.
    pub url: String,
    /// Signing secrets; each request carries one signature per secret.
    pub secrets: Vec<Secret>,
    /// Bearer token sent with each request.
    pub token: Option<Secret>,
    /// CA bundle (PEM) to verify the receiver; `None` selects the system roots.
    pub ca: Option<Arc<[u8]>>,
    /// Maximum duration of a request.
    pub timeout: Duration,
}

/// Reads `secret`: one signing secret or a list.
pub(super) fn secrets(reader: &mut KeyReader<'_>) -> Option<Vec<Secret>> {
    reader.items(signing)
}

/// Reads one signing secret in the format of Standard Webhooks.
fn signing(reader: &mut KeyReader<'_>) -> Option<Secret> {
    let secret = reader.secret()?;
    if signature::key(secret.reveal()).is_none() {
        return reader.reject(code::BAD_SECRET, "is not `whsec_` and 24 to 64 bytes in base64", MAKE_SECRET);
    }
    Some(secret)
}

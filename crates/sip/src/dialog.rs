//! Dialogs (RFC 3261 §12): tags, sequence numbers, route set, remote target.

use crate::event::{Flow, Local, Party};

/// One dialog, early or confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct DialogId(pub u64);

/// A confirmed dialog in plain data, for a snapshot: no clock, no index of ours.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct DialogSnapshot {
    /// Call-ID.
    pub call_id: String,
    /// Our tag.
    pub local_tag: String,
    /// The far end's tag.
    pub remote_tag: String,
    /// Our URI as in From of our requests, without tag.
    pub local_uri: String,
    /// The far end's URI, without tag.
    pub remote_uri: String,
    /// Where our requests go: its Contact.
    pub remote_target: String,
    /// Route set in the order in which we write it.
    pub route_set: Vec<String>,
    /// Last CSeq of ours.
    pub local_cseq: u32,
    /// Last CSeq of theirs; `None` where it has sent no request.
    pub remote_cseq: Option<u32>,
    /// Contact user of ours.
    pub contact_user: String,
    /// The way to it.
    pub flow: Flow,
    /// Via and Contact towards it.
    pub local: Local,
    /// Whose dialog.
    pub party: Party,
}

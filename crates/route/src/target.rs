//! Targets of a route as written in the configuration.

use crate::locate::Destination;

/// Target of a route, as written in `connect`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum TargetSpec {
    /// Trunk, `trunk:NAME[/NUMBER][@WEIGHT]`.
    Trunk {
        /// Name of the trunk.
        name: String,
        /// Number to call instead of the called number; may contain placeholders in braces, such as `{rest}`.
        number: Option<String>,
        /// Weight among adjacent targets that have one.
        #[serde(default)]
        weight: Option<u16>,
    },
    /// SIP URI, `sip:URI`.
    Uri {
        /// URI as written in the configuration or the request.
        uri: String,
        /// Host, port and transport of the URI.
        #[serde(flatten)]
        destination: Destination,
        /// Whether an agent or an operator named the URI during the call. Such a URI must not lead to this machine, or
        /// to a link-local or other non-host address.
        #[serde(default)]
        in_call: bool,
    },
    /// Agent, `agent:NAME`.
    Agent(String),
    /// Application, `app:NAME`.
    App(String),
    /// Sound file, `play:FILE`.
    Play(String),
    /// Mailbox, `voicemail:NAME`.
    Voicemail(String),
    /// Conference, `conference:NAME`.
    Conference(String),
    /// Rejection with a status code, `reject:CODE`.
    Reject(u16),
    /// Trunks and URIs that ring simultaneously, `{ ring_all = [...] }`.
    RingAll(Vec<TargetSpec>),
}

impl TargetSpec {
    /// Returns the target itself, or the targets within a `ring_all`.
    pub fn singles(&self) -> &[TargetSpec] {
        if let TargetSpec::RingAll(all) = self { all } else { std::slice::from_ref(self) }
    }
}

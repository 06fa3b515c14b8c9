//! A target of a route, as written in `connect`.

use crate::locate::Destination;

/// A target as written in `connect`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum TargetSpec {
    /// `trunk:NAME[/NUMBER][@WEIGHT]`
    Trunk {
        /// Its name.
        name: String,
        /// The number to call instead of the called one; names of pieces in braces.
        number: Option<String>,
        /// How often it comes first among those with a weight that it stands with.
        #[serde(default)]
        weight: Option<u16>,
    },
    /// `sip:URI`
    Uri {
        /// As written.
        uri: String,
        /// Where it leads.
        #[serde(flatten)]
        destination: Destination,
        /// Whether an agent or an operator named it in mid-call: it leads to no address of the edge or its link.
        #[serde(default)]
        in_call: bool,
    },
    /// `agent:NAME`
    Agent(String),
    /// `app:NAME`
    App(String),
    /// `play:FILE`
    Play(String),
    /// `voicemail:NAME`
    Voicemail(String),
    /// `conference:NAME`
    Conference(String),
    /// `reject:CODE`
    Reject(u16),
    /// `{ ring_all = [...] }`: trunks and URIs that ring at once.
    RingAll(Vec<TargetSpec>),
}

impl TargetSpec {
    /// The targets that stand for it: itself, or all that ring at once.
    pub fn singles(&self) -> &[TargetSpec] {
        if let TargetSpec::RingAll(all) = self { all } else { std::slice::from_ref(self) }
    }
}

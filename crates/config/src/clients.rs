//! `[client]`: SIP parties and voice agents that applications address like Voice SDK clients
//! (`<Client>agent1</Client>`).

use trunkgate_route::TargetSpec;

use super::code;
use super::diagnostic::Findings;
use super::draft::SourceSpan;
use super::section::SpannedValue;
use super::targets::{self, TargetScope};
use super::values;

/// Maximum length of an identity in characters, as at Twilio.
const IDENTITY_CHARS: usize = 121;

/// Client with the positions of its targets in the file.
#[derive(Debug)]
pub(super) struct SpannedClient {
    /// Identity as written by applications.
    pub(super) identity: String,
    /// Targets in calling order.
    pub(super) targets: Vec<(TargetSpec, SourceSpan)>,
}

impl SpannedClient {
    /// Returns the identity with its targets.
    pub(super) fn into_entry(self) -> (Box<str>, Vec<TargetSpec>) {
        (self.identity.into(), self.targets.into_iter().map(|(target, _)| target).collect())
    }
}

/// Reads the section.
pub(super) fn read<'a>(
    value: &'a SpannedValue<'a>,
    means: TargetScope<'_>,
    findings: &mut Findings,
) -> Vec<SpannedClient> {
    let Some(table) = value.get_ref().as_table() else {
        values::wrong_type("client", value, "a table: [client] with agent1 = \"trunk:pbx/201\"", findings);
        return Vec::new();
    };
    let mut clients = Vec::with_capacity(table.len());
    for (name, value) in table {
        let identity = name.get_ref().to_string();
        if identity.trim().is_empty()
            || identity.chars().count() > IDENTITY_CHARS
            || identity.chars().any(char::is_control)
        {
            let help = format!("1 to {IDENTITY_CHARS} characters, in one line");
            findings.error(code::BAD_VALUE, name.span(), "this cannot be the identity of a client", help);
            continue;
        }
        let read = targets::connect(value, TargetScope { groups: None, ..means }, findings);
        let mut targets = Vec::with_capacity(read.len());
        for (target, place) in read {
            if is_party(&target) {
                targets.push((target, place.span));
                continue;
            }
            let message = format!("the client {identity} is neither a SIP party nor a voice agent");
            let help = "use trunk:NAME/NUMBER, such as \"trunk:pbx/201\", sip:USER@HOST or agent:NAME";
            findings.error(code::BAD_TARGET, place.span, message, help);
        }
        clients.push(SpannedClient { identity, targets });
    }
    clients
}

/// Returns whether `<Dial>` can call the target directly.
fn is_party(target: &TargetSpec) -> bool {
    match target {
        TargetSpec::Trunk { number, weight, .. } => number.is_some() && weight.is_none(),
        TargetSpec::Uri { .. } | TargetSpec::Agent(_) => true,
        TargetSpec::App(_)
        | TargetSpec::Play(_)
        | TargetSpec::Voicemail(_)
        | TargetSpec::Conference(_)
        | TargetSpec::Reject(_)
        | TargetSpec::RingAll(_) => false,
    }
}
